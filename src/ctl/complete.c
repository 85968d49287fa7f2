/*
 * What the shell asks when somebody presses Tab: candidates for the last
 * word, one a line, and never a word on standard error.
 */
#include "config.h"

#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bindery/alloc.h"
#include "bindery/log.h"
#include "client.h"
#include "commands.h"
#include "text.h"

/* Of a list that may be endless: a person reads no more anyway. */
enum { PAGES = 5, PAGE = 1000 };

struct completion {
	struct ctl line; /* the command line so far, its args without options */
	const char *partial;
};

static void
offer(const struct completion *c, struct str text)
{
	struct buf harmless = { 0 };

	/* what would have to be escaped cannot be typed either */
	text_escape(&harmless, text, 0);
	if (text.n > 0 && str_starts(text, str_of(c->partial)) &&
	    str_eq(text, text_of(&harmless)))
		printf("%.*s\n", STR_ARG(text));
	buf_free(&harmless);
}

/* With sip: only for who has begun to type it. */
static void
offer_aor(const struct completion *c, struct str aor)
{
	bool bare = strncmp(c->partial, "sip:", 4) != 0;

	offer(c, bare && str_starts(aor, STR("sip:")) ? str_from(aor, 4) : aor);
}

/* ---- from the server ---- */

static void
offer_list(const struct completion *c, const char *method, const char *key)
{
	struct client *client = client_open_quiet(c->line.socket);
	json_t *page, *cursor = NULL, *entry;
	size_t i;

	for (int pages = 0; client != NULL && pages < PAGES; pages++) {
		page = client_call(client, method, json_pack("{s:i, s:O*}",
		    "limit", PAGE, "cursor", cursor));
		json_array_foreach(json_object_get(page, key), i, entry)
			offer_aor(c, string_of(json_object_get(entry, "aor")));
		json_decref(cursor);
		cursor = json_incref(json_object_get(page, "cursor"));
		json_decref(page);
		if (!json_is_string(cursor))
			break;
	}
	json_decref(cursor);
	client_close(client);
}

/* One key of each entry of a list that comes whole. */
static void
offer_each(const struct completion *c, const char *method, json_t *params,
    const char *in, const char *key)
{
	struct client *client = client_open_quiet(c->line.socket);
	json_t *result, *entry;
	size_t i;

	if (client == NULL) {
		json_decref(params);
		return;
	}
	result = client_call(client, method, params);
	json_array_foreach(in != NULL ? json_object_get(result, in) : result, i,
	    entry)
		offer(c, string_of(json_object_get(entry, key)));
	json_decref(result);
	client_close(client);
}

/* ---- from here ---- */

static void
offer_commands(const struct completion *c)
{
	for (const struct command *i = commands; i->name != NULL; i++)
		offer(c, str_of(i->name));
}

static void
offer_options(const struct completion *c, unsigned which)
{
	for (int i = 0; i < OPTIONS; i++) {
		char name[32];

		if ((which >> i & 1) == 0)
			continue;
		snprintf(name, sizeof name, "--%s", options[i].name);
		offer(c, str_of(name));
	}
}

static void
offer_levels(const struct completion *c)
{
	for (int i = LOG_ERROR; i <= LOG_DEBUG; i++)
		offer(c, str_of(log_level_name((enum log_level)i)));
}

static void
offer_events(const struct completion *c)
{
	static const char *const types[] = { "registered", "refreshed",
		"unregistered", "expired", "auth_failed", "upstream_state",
		"reloaded", "reload_failed", "limited" };

	for (size_t i = 0; i < sizeof types / sizeof *types; i++)
		offer(c, str_of(types[i]));
}

static void
offer_files(const struct completion *c)
{
	char *pattern = xasprintf("%s*", c->partial);
	glob_t found;

	if (glob(pattern, GLOB_MARK, NULL, &found) == 0) {
		for (size_t i = 0; i < found.gl_pathc; i++)
			offer(c, str_of(found.gl_pathv[i]));
		globfree(&found);
	}
	free(pattern);
}

/* ---- which of them ---- */

static void
offer_kind(const struct completion *c, enum word_kind kind)
{
	switch (kind) {
	case WORD_NONE:
		break;
	case WORD_AOR:
		offer_list(c, "registrations.list", "registrations");
		break;
	case WORD_URI:
		offer_each(c, "registrations.get",
		    json_pack("{s:s}", "aor", c->line.args[1]), "bindings", "uri");
		break;
	case WORD_USER:
		offer_list(c, "users.list", "users");
		break;
	case WORD_LEVEL:
		offer_levels(c);
		break;
	case WORD_EVENT:
		offer_events(c);
		break;
	case WORD_METHOD:
		offer_each(c, "methods", NULL, NULL, "name");
		break;
	case WORD_COMMAND:
		offer_commands(c);
		break;
	case WORD_FILE:
		offer_files(c);
		break;
	}
}

/* An option whose value is the word that is being typed. */
static const struct option *
awaits_value(char **words, size_t at, size_t count)
{
	const char *value;
	int i = option_find(words[at], &value);

	if (i < 0 || options[i].value == NULL || value != NULL)
		return NULL;
	return at + 1 == count ? &options[i] : NULL;
}

/* args[0] of the line is the command, as its kinds are counted from there. */
static void
offer_word(const struct completion *c)
{
	const struct command *command = c->line.arg_count > 0
	    ? command_find(c->line.args[0])
	    : NULL;
	size_t index = c->line.arg_count - 1;

	if (c->line.arg_count == 0 && c->partial[0] != '-')
		offer_commands(c);
	else if (c->line.arg_count == 0)
		offer_options(c, OPTIONS_ANY);
	else if (command != NULL && c->partial[0] == '-')
		offer_options(c, command->options | OPTIONS_ANY);
	else if (command != NULL && index < command->max)
		offer_kind(c, command->kinds[index > 0]);
}

int
cmd_complete(struct ctl *ctl)
{
	struct completion c = { .line = { .socket = ctl->socket } };
	size_t count = ctl->arg_count > 0 ? ctl->arg_count - 1 : 0;
	const struct option *awaiting = NULL;
	unsigned given = 0;
	char *why;

	c.partial = ctl->arg_count > 0 ? ctl->args[count] : "";
	c.line.args = xcalloc(count, sizeof *c.line.args);
	for (size_t at = 0; at < count && awaiting == NULL;) {
		if (!is_option(ctl->args[at])) {
			c.line.args[c.line.arg_count++] = ctl->args[at++];
			continue;
		}
		awaiting = awaits_value(ctl->args, at, count);
		if (awaiting == NULL && option_take(&c.line, ctl->args, count, &at,
		        &given, &why) != DONE)
			free(why);
	}
	if (awaiting != NULL)
		offer_kind(&c, awaiting->kind);
	else
		offer_word(&c);
	free(c.line.args);
	return DONE;
}
