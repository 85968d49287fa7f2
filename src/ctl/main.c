/* binderyctl: asks a running binderyd over its control socket. */
#include "config.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "bindery/alloc.h"
#include "commands.h"
#include "text.h"

static int
complain(int code, const char *format, va_list arguments)
{
	struct buf line = { 0 };
	char *text;

	if (vasprintf(&text, format, arguments) < 0)
		return code;
	text_escape(&line, str_of(text), 0);
	fprintf(stderr, "binderyctl: %.*s\n", STR_ARG(text_of(&line)));
	buf_free(&line);
	free(text);
	return code;
}

int
failed(const char *format, ...)
{
	va_list arguments;
	int code;

	va_start(arguments, format);
	code = complain(FAILED, format, arguments);
	va_end(arguments);
	return code;
}

int
misused(const char *format, ...)
{
	va_list arguments;
	int code;

	va_start(arguments, format);
	code = complain(USAGE, format, arguments);
	va_end(arguments);
	return code;
}

static int
print_version(void)
{
	printf("binderyctl %s\njansson %s\n", PACKAGE_VERSION,
	    jansson_version_str());
	return DONE;
}

/* Options may stand anywhere before "--"; the rest goes to ctl->args. */
static int
read_words(struct ctl *ctl, char **words, size_t count, unsigned *given)
{
	bool open = true;

	for (size_t at = 0; at < count;) {
		char *why;

		if (open && strcmp(words[at], "--") == 0) {
			open = false;
			at++;
		} else if (!open || !is_option(words[at])) {
			ctl->args[ctl->arg_count++] = words[at++];
		} else if (option_take(ctl, words, count, &at, given, &why) !=
		    DONE) {
			misused("%s", why);
			free(why);
			return USAGE;
		}
	}
	return DONE;
}

static int
check_usage(const struct ctl *ctl, const struct command *c, unsigned given)
{
	unsigned wrong = given & ~(c->options | OPTIONS_ANY);

	for (int i = 0; i < OPTIONS; i++)
		if ((wrong >> i & 1) != 0)
			return misused("%s has no option --%s", c->name,
			    options[i].name);
	if (ctl->arg_count > c->max && c->max == 0)
		return misused("%s takes no arguments", c->name);
	if (ctl->arg_count < c->min || ctl->arg_count > c->max)
		return misused("usage: binderyctl %s %s", c->name, c->args);
	return DONE;
}

/* A word that JSON cannot hold would be left out of the request unseen. */
static const char *
not_utf8(const struct ctl *ctl)
{
	for (size_t i = 0; i < ctl->arg_count; i++)
		if (!str_is_utf8(str_of(ctl->args[i])))
			return ctl->args[i];
	if (ctl->domain != NULL && !str_is_utf8(str_of(ctl->domain)))
		return ctl->domain;
	return ctl->realm != NULL && !str_is_utf8(str_of(ctl->realm))
	    ? ctl->realm
	    : NULL;
}

static int
run(struct ctl *ctl, unsigned given)
{
	const char *name = ctl->arg_count > 0 ? ctl->args[0] : NULL;
	const struct command *c = name != NULL ? command_find(name) : NULL;
	const char *near;
	int code;

	if (not_utf8(ctl) != NULL)
		return misused("%s is not UTF-8", not_utf8(ctl));
	if (ctl->version)
		return print_version();
	if (ctl->help && (name == NULL || c != NULL)) {
		ctl->arg_count = c != NULL;
		return cmd_help(ctl);
	}
	if (name == NULL)
		return misused("a command is missing; try: binderyctl help");
	if (c == NULL && (near = command_nearest(name)) != NULL)
		return misused("there is no command %s; did you mean %s?", name,
		    near);
	if (c == NULL)
		return misused("there is no command %s; try: binderyctl help",
		    name);
	ctl->args++;
	ctl->arg_count--;
	code = check_usage(ctl, c, given);
	return code != DONE ? code : c->run(ctl);
}

int
main(int argc, char **argv)
{
	struct ctl ctl = { .socket = getenv("BINDERY_SOCKET") };
	size_t count = argc > 1 ? (size_t)argc - 1 : 0;
	char **args = xcalloc(count, sizeof *args);
	unsigned given = 0;
	int code;

	if (ctl.socket == NULL || *ctl.socket == '\0')
		ctl.socket = DEFAULT_SOCKET;
	text_begin();
	ctl.args = args;
	code = read_words(&ctl, argv + 1, count, &given);
	if (code == DONE)
		code = run(&ctl, given);
	if (fflush(stdout) != 0 || ferror(stdout))
		code = failed("standard output: %s", strerror(errno));
	free(args);
	return code;
}
