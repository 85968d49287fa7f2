/* What the files of this room share. */
#ifndef BINDERY_CONTROL_PRIV_H
#define BINDERY_CONTROL_PRIV_H

#include "bindery/control.h"

#include <stdatomic.h>

#include <event2/bufferevent.h>
#include <event2/event.h>
#include <jansson.h>

#include "bindery/slots.h"

enum { CLIENTS_MAX = 64, LINE_MAX_SIZE = 1 << 20, OUT_MAX = 1 << 20,
	LATER_MAX = 16, POSTED_MAX = 16384, PAGE_MAX = 1000, PAGE_DEFAULT = 100 };
enum { RPC_PARSE = -32700, RPC_REQUEST = -32600, RPC_METHOD = -32601,
	RPC_PARAMS = -32602, RPC_FAILED = -32000 };

/* One program at the other end of the socket. */
struct client {
	struct client *next, **link;
	struct control *control;
	slot_id id;
	struct bufferevent *stream;
	struct deferred end;
	unsigned later; /* requests that reply_later() will answer */
	json_t *types;  /* of events it wants; NULL: none */
	uint64_t lost;  /* events that it was too slow for */
	json_t *reload; /* the id of a request that waits for a reload's end */
	bool waits_for_reload;
};

struct control {
	struct control_tools tools;
	char *path;
	int fd;
	struct event *listen;
	struct timer rest; /* no accept while descriptors are short */
	struct client *clients;
	size_t client_count;
	struct slots slots;
	_Atomic uint64_t posted;  /* events that were not delivered yet */
	_Atomic uint64_t dropped; /* events that were too many to be posted */
	_Atomic int subscribers;
};

/* One request being answered. */
struct call {
	struct control *control;
	struct client *client;
	json_t *id; /* NULL: a notification, nobody wants an answer */
	json_t *params;
};

/* control.c */
void reply(struct call *call, json_t *result); /* takes the result */
void reply_error(struct call *call, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/*
 * The answer to a call that was counted in `client->later`, for a client that
 * may be gone; takes `request` and `result`.
 */
void reply_later(struct control *control, slot_id client, json_t *request,
    json_t *result);
void reply_reloaded(struct client *client, unsigned generation,
    const struct faults *faults);

/* methods.c: the table. */
struct method {
	const char *name, *help;
	void (*run)(struct call *call);
};
extern const struct method methods[];
const struct method *find_method(const char *name);

/* lists.c: what comes in pages. */
void run_registrations_list(struct call *call);
void run_registrations_get(struct call *call);
void run_registrations_remove(struct call *call);
void run_users_list(struct call *call);
void run_users_get(struct call *call);
void run_connections_list(struct call *call);

/* params.c: typed reads of parameters; false after reply_error(). */
bool check_params(struct call *call, const char *const *known);
bool read_limit(struct call *call, size_t *limit);
/* A string, or NULL if it is not there. */
bool read_text(struct call *call, const char *name, bool required,
    const char **text);
/* A cursor that we gave: `parts` hexadecimal numbers. */
bool read_cursor(struct call *call, uint64_t *parts, size_t count);
json_t *cursor_of(const uint64_t *parts, size_t count);
/* "sip:alice@example.com" or without sip:, as the tables name it. */
struct str aor_of(const char *text);
json_t *aor_json(struct str aor);
json_t *text_json(struct str text);
json_t *text_or_null(struct str text);

#endif
