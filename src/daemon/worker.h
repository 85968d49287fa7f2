/* One worker: a thread, its loop, and one of everything that hangs on it. */
#ifndef BINDERY_WORKER_H
#define BINDERY_WORKER_H

#include "daemon.h"

struct worker {
	unsigned index;
	struct daemon *daemon;
	pthread_t thread;
	struct loop *loop;
	struct net *net;
	struct sip_parser *parser;
	struct tx_table *transactions;
	struct auth *auth;
	struct registrar *registrar;
	struct generation *generation;
	struct timer expiry;
	char answer[65536]; /* of dispatch.c */
};

/* NULL with errno. The generation is the daemon's current one. */
struct worker *worker_new(struct daemon *daemon, unsigned index);
void worker_free(struct worker *worker);
/* Takes a generation as its own, and lets go of the one before. */
void worker_use(struct worker *worker, struct generation *generation);

/* dispatch.c: messages from the network. `context` is the worker. */
void dispatch_message(void *context, const struct hop *hop, struct str bytes);
void dispatch_broken(void *context, const struct hop *hop, struct str bytes,
    enum frame_fault why);

#endif
