/* The server as a whole: what all workers share, and how it starts and ends. */
#ifndef BINDERY_DAEMON_H
#define BINDERY_DAEMON_H

#include <pthread.h>

#include "bindery/control.h"
#include "generation.h"

struct worker;

enum { WORKERS_LIMIT = 255 };

/* A listener that is open: a socket a worker, under one key. */
struct open_listener {
	unsigned key;
	const struct transport *transport;
	struct addr at;
};

struct daemon {
	const char *path; /* of the configuration */
	unsigned workers;
	struct worker *worker[WORKERS_LIMIT];
	struct loop *loops[WORKERS_LIMIT];
	struct net *nets[WORKERS_LIMIT];
	struct net_shared *shared;
	struct auth_shared *auth;
	struct location *location;
	struct journal *journal; /* NULL: location.store is memory */
	struct keeper *keeper;   /* restore.c's own */
	struct control *control;
	struct hash_key key; /* of tags and transactions */
	int64_t started_at;

	/* worker 0's own */
	struct generation *generation;
	struct faults last_error;
	struct open_listener *listeners;
	size_t listener_count;
	unsigned next_key;
	struct reload *reload; /* that is under way */
	bool reload_again;     /* it was asked for meanwhile */
	bool stopping;
	int64_t stop_at;
	struct timer stop_timer;
};

int daemon_main(int argc, char **argv);
/* Asks all workers to end, after what is in flight or the grace time. */
void daemon_stop(struct daemon *daemon);

/* restore.c: opens the journal and brings the bindings back; false with *why. */
bool restore(struct daemon *daemon, char **why);
/* The journal writes from here on. */
void restore_begin(struct daemon *daemon);
/* Writes what is left and closes the journal; the loops must be there still. */
void restore_end(struct daemon *daemon);

/* reload.c */
/* Opens the listeners of the first generation; false with *why. */
bool listeners_open(struct daemon *daemon, char **why);
/* Reads everything anew in a thread of its own, then swaps or complains. */
void reload_begin(struct daemon *daemon);
void reload_free(struct daemon *daemon);

/*
 * notify.c: what systemd wants to hear (sd_notify(3)), if it listens. Opened
 * before privileges are dropped.
 */
void notify_open(void);
void notify(const char *state);
/* For RELOADING=1, which carries a time. */
void notify_reloading(void);

/* machines.c: --print-machines. */
void print_machines(void);

#endif
