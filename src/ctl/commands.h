/* The tables of commands and options: parsing, help and completion follow. */
#ifndef BINDERY_CTL_COMMANDS_H
#define BINDERY_CTL_COMMANDS_H

#include "ctl.h"

/* What a word stands for, to complete it. */
enum word_kind {
	WORD_NONE,
	WORD_AOR,     /* that has bindings */
	WORD_URI,     /* of a binding of the AOR before it */
	WORD_USER,
	WORD_LEVEL,
	WORD_EVENT,
	WORD_METHOD,
	WORD_COMMAND,
	WORD_FILE
};

enum option_id {
	OPTION_SOCKET, OPTION_JSON, OPTION_LIMIT, OPTION_DOMAIN, OPTION_COUNT,
	OPTION_REALM, OPTION_FILE, OPTION_HELP, OPTION_VERSION,
	OPTIONS
};

struct option {
	const char *name;
	char letter;       /* 0: none */
	const char *value; /* NULL: takes none */
	const char *help;
	enum word_kind kind;
};
extern const struct option options[OPTIONS];
/* Those that go with every command. */
enum { OPTIONS_ANY = 1u << OPTION_SOCKET | 1u << OPTION_JSON |
	    1u << OPTION_HELP | 1u << OPTION_VERSION };

enum { ARGS_ANY = 1000 };

struct command {
	const char *name, *args; /* args as in the help */
	unsigned min, max;       /* number of args */
	unsigned options;        /* bits of enum option_id */
	enum word_kind kinds[2]; /* of args; the last goes on */
	int (*run)(struct ctl *ctl);
	const char *help;
};
extern const struct command commands[]; /* up to one without a name */

const struct command *command_find(const char *name);
/* The name most like this one, or NULL if none is like it. */
const char *command_nearest(const char *name);
const char *option_nearest(const char *name, unsigned among);

/*
 * The index of a word's option, or -1; *value becomes what stands in the same
 * word (--limit=5, -n5), or NULL.
 */
int option_find(const char *word, const char **value);
/*
 * Takes the option at words[*at] and its value, if it is one, and moves *at
 * behind them. Sets the bit in *given. DONE, or USAGE with *why told, which
 * the caller frees.
 */
int option_take(struct ctl *ctl, char **words, size_t count, size_t *at,
    unsigned *given, char **why);
/* True for a word that option_take() would look at. */
bool is_option(const char *word);

int cmd_status(struct ctl *ctl);
int cmd_registrations(struct ctl *ctl);
int cmd_remove(struct ctl *ctl);
int cmd_users(struct ctl *ctl);
int cmd_connections(struct ctl *ctl);
int cmd_upstreams(struct ctl *ctl);
int cmd_reload(struct ctl *ctl);
int cmd_log(struct ctl *ctl);
int cmd_watch(struct ctl *ctl);
int cmd_events(struct ctl *ctl);
int cmd_passwd(struct ctl *ctl);
int cmd_call(struct ctl *ctl);
int cmd_complete(struct ctl *ctl);
int cmd_help(struct ctl *ctl);

#endif
