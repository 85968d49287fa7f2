/* The rows, and how a word is found in them. */
#include "config.h"

#include "commands.h"

#include <stdlib.h>
#include <string.h>

#include "bindery/alloc.h"
#include "bindery/str.h"

/* clang-format off */
const struct option options[OPTIONS] = {
	[OPTION_SOCKET]  = { "socket",  's', "PATH",   "the control socket (" DEFAULT_SOCKET ")", WORD_FILE },
	[OPTION_JSON]    = { "json",    'j', NULL,     "print JSON, one object a line", WORD_NONE },
	[OPTION_LIMIT]   = { "limit",   'n', "N",      "end after N entries", WORD_NONE },
	[OPTION_DOMAIN]  = { "domain",  'd', "DOMAIN", "only addresses of this domain", WORD_NONE },
	[OPTION_COUNT]   = { "count",   'c', "N",      "end after N lines", WORD_NONE },
	[OPTION_REALM]   = { "realm",   'r', "REALM",  "the realm that is hashed (the domain)", WORD_NONE },
	[OPTION_FILE]    = { "file",    'f', "FILE",   "users.json or users.jsonl to change", WORD_FILE },
	[OPTION_HELP]    = { "help",    'h', NULL,     "print this and exit", WORD_NONE },
	[OPTION_VERSION] = { "version", 'V', NULL,     "print the version and exit", WORD_NONE },
};

const struct command commands[] = {
	{ "status", "", 0, 0, 0, { 0 }, cmd_status,
	  "what the server is and does" },
	{ "registrations", "[AOR]", 0, 1, 1u << OPTION_LIMIT | 1u << OPTION_DOMAIN, { WORD_AOR }, cmd_registrations,
	  "who is registered where; of one address in full" },
	{ "remove", "AOR [URI]", 1, 2, 0, { WORD_AOR, WORD_URI }, cmd_remove,
	  "remove the bindings of an address, or one of them" },
	{ "users", "[AOR]", 0, 1, 1u << OPTION_LIMIT, { WORD_USER }, cmd_users,
	  "who may register" },
	{ "connections", "", 0, 0, 1u << OPTION_LIMIT, { 0 }, cmd_connections,
	  "TCP and TLS connections" },
	{ "upstreams", "", 0, 0, 0, { 0 }, cmd_upstreams,
	  "registrations with other servers" },
	{ "reload", "", 0, 0, 0, { 0 }, cmd_reload,
	  "read configuration, users and certificates anew" },
	{ "log", "[LEVEL]", 0, 1, 0, { WORD_LEVEL }, cmd_log,
	  "tell or set the log level" },
	{ "watch", "", 0, 0, 1u << OPTION_COUNT, { 0 }, cmd_watch,
	  "look on, drawn anew each second" },
	{ "events", "[TYPE...]", 0, ARGS_ANY, 1u << OPTION_COUNT, { WORD_EVENT, WORD_EVENT }, cmd_events,
	  "print events as they happen" },
	{ "passwd", "USER@DOMAIN", 1, 1, 1u << OPTION_REALM | 1u << OPTION_FILE, { WORD_USER }, cmd_passwd,
	  "hash a password for the user directory" },
	{ "call", "METHOD [JSON]", 1, 2, 0, { WORD_METHOD, WORD_NONE }, cmd_call,
	  "call a method of the control socket" },
	{ "complete", "-- WORD...", 0, ARGS_ANY, 0, { 0 }, cmd_complete,
	  "what may stand in place of the last word" },
	{ "help", "[COMMAND]", 0, 1, 0, { WORD_COMMAND }, cmd_help,
	  "what there is, or how one command works" },
	{ 0 }
};
/* clang-format on */

const struct command *
command_find(const char *name)
{
	for (const struct command *c = commands; c->name != NULL; c++)
		if (strcmp(c->name, name) == 0)
			return c;
	return NULL;
}

/* ---- typing mistakes ---- */

static size_t
least(size_t a, size_t b, size_t c)
{
	size_t ab = a < b ? a : b;

	return ab < c ? ab : c;
}

enum { NAME_MAX_SIZE = 32, FAR = NAME_MAX_SIZE };

/* Letters to add, drop, change or swap to make one of the other. */
static size_t
distance(const char *a, const char *b)
{
	size_t m = strlen(a), n = strlen(b);
	size_t rows[NAME_MAX_SIZE][NAME_MAX_SIZE];

	if (m >= NAME_MAX_SIZE || n >= NAME_MAX_SIZE)
		return FAR;
	for (size_t i = 0; i <= m; i++)
		for (size_t j = 0; j <= n; j++) {
			if (i == 0 || j == 0) {
				rows[i][j] = i + j;
				continue;
			}
			rows[i][j] = least(rows[i - 1][j] + 1, rows[i][j - 1] + 1,
			    rows[i - 1][j - 1] + (a[i - 1] != b[j - 1]));
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] &&
			    a[i - 2] == b[j - 1] && rows[i - 2][j - 2] < rows[i][j])
				rows[i][j] = rows[i - 2][j - 2] + 1;
		}
	return rows[m][n];
}

struct nearest {
	const char *wanted, *name;
	size_t distance;
};

static struct nearest
nearest_to(const char *wanted)
{
	/* half of it wrong is another word, and so are three letters */
	size_t most = strlen(wanted) / 2;

	return (struct nearest){ wanted, NULL, most < 3 ? most + 1 : 4 };
}

static void
compare(struct nearest *n, const char *name)
{
	size_t far = distance(n->wanted, name);

	if (n->wanted[0] != '\0' && str_starts(str_of(name), str_of(n->wanted)))
		far = 0;
	if (far < n->distance) {
		n->distance = far;
		n->name = name;
	}
}

const char *
command_nearest(const char *name)
{
	struct nearest n = nearest_to(name);

	for (const struct command *c = commands; c->name != NULL; c++)
		compare(&n, c->name);
	return n.name;
}

const char *
option_nearest(const char *name, unsigned among)
{
	struct nearest n = nearest_to(name);

	for (int i = 0; i < OPTIONS; i++)
		if ((among >> i & 1) != 0)
			compare(&n, options[i].name);
	return n.name;
}

/* ---- options ---- */

bool
is_option(const char *word)
{
	return word[0] == '-' && word[1] != '\0';
}

int
option_find(const char *word, const char **value)
{
	struct str name;

	*value = NULL;
	for (int i = 0; i < OPTIONS; i++) {
		if (word[1] != '-' && word[1] == options[i].letter) {
			*value = word[2] != '\0' ? word + 2 : NULL;
			return i;
		}
		name = str_of(options[i].name);
		if (word[1] != '-' || !str_starts(str_of(word + 2), name))
			continue;
		if (word[2 + name.n] == '=')
			*value = word + 3 + name.n;
		if (word[2 + name.n] == '\0' || *value != NULL)
			return i;
	}
	return -1;
}

static bool
set_number(uint32_t *to, const char *value)
{
	return str_u32(str_of(value), to) && *to > 0;
}

static bool
set_option(struct ctl *ctl, enum option_id id, const char *value)
{
	switch (id) {
	case OPTION_SOCKET:
		ctl->socket = value;
		return true;
	case OPTION_JSON:
		return ctl->json = true;
	case OPTION_LIMIT:
		return set_number(&ctl->limit, value);
	case OPTION_DOMAIN:
		ctl->domain = value;
		return true;
	case OPTION_COUNT:
		return set_number(&ctl->count, value);
	case OPTION_REALM:
		ctl->realm = value;
		return true;
	case OPTION_FILE:
		ctl->file = value;
		return true;
	case OPTION_HELP:
		return ctl->help = true;
	case OPTION_VERSION:
		return ctl->version = true;
	case OPTIONS:
		break;
	}
	return false;
}

static char *
unknown_option(const char *word)
{
	const char *near = word[1] == '-'
	    ? option_nearest(word + 2, (1u << OPTIONS) - 1)
	    : NULL;

	if (near == NULL)
		return xasprintf("there is no option %s", word);
	return xasprintf("there is no option %s; did you mean --%s?", word, near);
}

int
option_take(struct ctl *ctl, char **words, size_t count, size_t *at,
    unsigned *given, char **why)
{
	const char *word = words[(*at)++], *value;
	int i = option_find(word, &value);
	const struct option *o = &options[i >= 0 ? i : 0];

	if (i < 0) {
		*why = unknown_option(word);
		return USAGE;
	}
	if (o->value == NULL && value != NULL) {
		*why = xasprintf("--%s takes no value", o->name);
		return USAGE;
	}
	if (o->value != NULL && value == NULL && *at < count)
		value = words[(*at)++];
	if (o->value != NULL && (value == NULL || *value == '\0')) {
		*why = xasprintf("--%s needs a value: %s", o->name, o->value);
		return USAGE;
	}
	if (!set_option(ctl, (enum option_id)i, value)) {
		*why = xasprintf("--%s: expected a number from 1 on, got \"%s\"",
		    o->name, value);
		return USAGE;
	}
	*given |= 1u << i;
	return DONE;
}
