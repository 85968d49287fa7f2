/*
 * The control socket: JSON-RPC 2.0, one message a line, on a Unix stream
 * socket (INTERFACE: `binderyctl`). It lives on worker 0's loop and asks the
 * others by letters. Events may be published from any thread.
 */
#ifndef BINDERY_CONTROL_H
#define BINDERY_CONTROL_H

#include "bindery/directory.h"
#include "bindery/faults.h"
#include "bindery/journal.h"
#include "bindery/location.h"
#include "bindery/log.h"
#include "bindery/net.h"

struct control;

/* What is in force; lent until the callback that asked returns. */
struct control_status {
	const char *config_path;
	unsigned generation;
	int64_t loaded_at, started_at; /* clock_wall_ms() */
	const struct faults *last_error;
	size_t users;
	size_t listeners;
	struct journal *journal; /* NULL: bindings are kept in memory alone */
};

struct control_tools {
	void *context;
	struct location *location;
	unsigned workers;
	struct loop *const *loops; /* of all workers; the first is control's */
	struct net *const *nets;
	void (*status)(void *context, struct control_status *status);
	void (*listener)(void *context, size_t i, const struct transport **transport,
	    struct addr *at);
	/* Users of all directories: number i, or by AOR; NULL: none. */
	const struct user *(*user_at)(void *context, size_t i);
	const struct user *(*user)(void *context, struct str aor);
	/* Begins a reload; its end is told by control_reloaded(). */
	void (*reload)(void *context);
};

/*
 * Listens at `path` with permissions `mode`. NULL with *why. A socket that
 * nobody listens on any more is replaced, one in use is not.
 */
struct control *control_new(const struct control_tools *tools,
    const char *path, unsigned mode, char **why);
/* Begins to answer; on the loop's thread, with loops and nets in place. */
void control_start(struct control *control);
void control_free(struct control *control);

/* A reload ended: with the generation in force, or with faults. */
void control_reloaded(struct control *control, unsigned generation,
    const struct faults *faults);

/* From any thread: would anybody be told? To save the making of fields. */
bool control_has_listeners(const struct control *control);
/*
 * Tells those that subscribed. From any thread; costs nothing when nobody
 * did. Fields are lent, their keys are literals; texts that are empty are
 * left out.
 */
void control_publish(struct control *control, const char *type,
    const struct log_field *fields);

#endif
