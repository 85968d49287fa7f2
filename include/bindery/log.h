/*
 * One line an event: room, verb, then key=value; or the same as JSON.
 *
 *	log_event(LOG_INFO, "registrar", "registered",
 *	    LOG_S("aor", aor), LOG_I("contacts", n));
 *
 * A thread of its own writes, so that a slow disk or a full pipe stops no
 * worker; what does not fit its queue is counted and told. Text from outside
 * is escaped here: log injection is not the caller's worry. Secrets are: they
 * never belong in a field.
 */
#ifndef BINDERY_LOG_H
#define BINDERY_LOG_H

#include "bindery/str.h"

enum log_level { LOG_ERROR, LOG_WARNING, LOG_NOTICE, LOG_INFO, LOG_DEBUG };
enum log_format { LOG_TEXT, LOG_JSON };

struct log_field {
	const char *key; /* NULL ends a list */
	struct str text; /* text.p NULL: `number` it is */
	int64_t number;
};

#define LOG_S(key, s) ((struct log_field){ (key), log_text(s), 0 })
#define LOG_Z(key, z) ((struct log_field){ (key), log_text(str_of(z)), 0 })
#define LOG_I(key, i) ((struct log_field){ (key), STR_NONE, (int64_t)(i) })

static inline struct str
log_text(struct str s)
{
	return s.p != NULL ? s : STR("");
}

/* `room` and `verb` are literals. Fields are lent for the call. */
#define log_event(level, room, ...) \
	do { \
		if (log_is_on(level)) \
			log_fields((level), (room), LOG_VERB_AND(__VA_ARGS__)); \
	} while (0)
#define LOG_VERB_AND(verb, ...) \
	(verb), (const struct log_field[]){ __VA_ARGS__ __VA_OPT__(, ) { 0 } }
void log_fields(enum log_level level, const char *room, const char *verb,
    const struct log_field *fields);

bool log_is_on(enum log_level level);
void log_set_level(enum log_level level);
enum log_level log_get_level(void);
void log_set_format(enum log_format format);
/* The word for a level and back; false if there is no such level. */
const char *log_level_name(enum log_level level);
bool log_level_of(struct str name, enum log_level *level);

/*
 * Writes to this file from now on, or to standard error when it is NULL.
 * False with errno if it cannot be opened: then all stays as it was.
 */
bool log_open(const char *path);
/* Opens the file anew, as after logrotate moved it (SIGUSR1). */
bool log_reopen(void);
/* From here on a thread writes; before, and after log_stop(), the caller does. */
void log_start(void);
/* Writes all that is queued and ends the thread. */
void log_stop(void);

#endif
