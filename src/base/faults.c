/* A list of faults for people. */
#include "config.h"

#include "bindery/faults.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bindery/alloc.h"

void
faults_add(struct faults *faults, const char *file, unsigned line,
    const char *place, const char *format, ...)
{
	char what[1024], where[32] = "";
	va_list arguments;

	if (faults->count == FAULTS_MAX) {
		faults->more++;
		return;
	}
	va_start(arguments, format);
	vsnprintf(what, sizeof what, format, arguments);
	va_end(arguments);
	if (line > 0)
		snprintf(where, sizeof where, "%u:", line);
	faults->list = xrealloc(faults->list,
	    (faults->count + 1) * sizeof *faults->list);
	faults->list[faults->count++] = xasprintf("%s:%s %s%s%s", file, where,
	    place, *place != '\0' ? ": " : "", what);
}

char *
faults_text(const struct faults *faults)
{
	char *text = xstrdup(""), *longer;

	for (size_t i = 0; i < faults->count; i++) {
		longer = xasprintf("%s%s\n", text, faults->list[i]);
		free(text);
		text = longer;
	}
	if (faults->more > 0) {
		longer = xasprintf("%sand %zu more\n", text, faults->more);
		free(text);
		text = longer;
	}
	return text;
}

void
faults_free(struct faults *faults)
{
	for (size_t i = 0; i < faults->count; i++)
		free(faults->list[i]);
	free(faults->list);
	*faults = (struct faults){ 0 };
}
