/* Where in a JSON text a place is; jansson keeps no positions. */
#include "config.h"

#include "bindery/settings.h"

#include <stdlib.h>
#include <string.h>

static const char *
skip_space(const char *p, const char *end)
{
	while (p < end && (*p == ' ' || *p == '\t' || *p == '\r' || *p == '\n'))
		p++;
	return p;
}

/* Behind the string that begins at p; the text is known to be valid JSON. */
static const char *
skip_string(const char *p, const char *end)
{
	for (p++; p < end && *p != '"'; p++)
		if (*p == '\\')
			p++;
	return p < end ? p + 1 : end;
}

static const char *
skip_value(const char *p, const char *end)
{
	int depth = 0;

	do {
		p = skip_space(p, end);
		if (p >= end)
			return end;
		if (*p == '"') {
			p = skip_string(p, end);
			continue;
		}
		depth += (*p == '{' || *p == '[') - (*p == '}' || *p == ']');
		if (strchr("{}[],:", *p) != NULL) {
			p++;
		} else {
			while (p < end && strchr(",:{}[] \t\r\n", *p) == NULL)
				p++;
		}
	} while (p < end && depth > 0);
	return p;
}

/* The value of a key of the object at p, or of an index of the array there. */
static const char *
step_into(const char *p, const char *end, const char *step)
{
	bool array;
	unsigned long index = 0, wanted;

	p = skip_space(p, end);
	if (p >= end || (*p != '{' && *p != '['))
		return NULL;
	array = *p == '[';
	wanted = array ? strtoul(step, NULL, 10) : 0;
	for (p = skip_space(p + 1, end); p < end && *p != '}' && *p != ']';
	     index++) {
		const char *key = p;
		size_t size = 0;

		if (!array) {
			p = skip_string(p, end);
			size = (size_t)(p - key) - 2;
			p = skip_space(p, end);
			p = skip_space(p < end ? p + 1 : end, end);
		}
		if (array ? index == wanted
		          : size == strlen(step) &&
		                memcmp(key + 1, step, size) == 0)
			return p;
		p = skip_space(skip_value(p, end), end);
		if (p < end && *p == ',')
			p = skip_space(p + 1, end);
	}
	return NULL;
}

static unsigned
line_at(struct str json, const char *at)
{
	unsigned line = 1;

	for (const char *p = json.p; p < at; p++)
		line += *p == '\n';
	return line;
}

unsigned
settings_line(struct str json, const char *const *steps, size_t count)
{
	const char *at = json.p, *end = json.p + json.n;

	for (size_t i = 0; i < count; i++) {
		const char *next = step_into(at, end, steps[i]);

		if (next == NULL) /* what is missing is missing from its parent */
			break;
		at = next;
	}
	return line_at(json, skip_space(at, end));
}

void
settings_place(struct out *out, const char *const *steps, size_t depth)
{
	for (size_t i = 0; i < depth; i++) {
		if (steps[i][0] >= '0' && steps[i][0] <= '9' &&
		    strspn(steps[i], "0123456789") == strlen(steps[i])) {
			out_format(out, "[%s]", steps[i]);
		} else {
			out_format(out, "%s%s", i > 0 ? "." : "", steps[i]);
		}
	}
}
