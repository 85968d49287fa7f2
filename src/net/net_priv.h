/* What the files of this room share. */
#ifndef BINDERY_NET_PRIV_H
#define BINDERY_NET_PRIV_H

#include "bindery/net.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/types.h>

#include <event2/event.h>
#include <event2/event_struct.h>

#include "bindery/buf.h"
#include "bindery/count.h"
#include "bindery/hash.h"
#include "bindery/slots.h"

struct net;

/* ---- limit.c: what workers count together ---- */

enum { LIMIT_SHARDS = 64, WORKERS_MAX = 255 };

struct limit_shard {
	_Alignas(64) pthread_mutex_t lock;
	struct hash_table table; /* of connections an address */
};

enum { TOLD = 1024 };

/* Who was told of lately. */
struct told {
	pthread_mutex_t lock;
	uint64_t hash[TOLD];
	int64_t until[TOLD];
};

struct net_shared {
	struct told told;
	unsigned workers;
	struct net *nets[WORKERS_MAX];
	struct slots slots[WORKERS_MAX];
	_Atomic int64_t connections, unproven;
	struct hash_key key;
	struct limit_shard shards[LIMIT_SHARDS];
};

/* True if a log line about this address came within the last minute. */
bool told_lately(struct net_shared *shared, int64_t now,
    const struct addr *peer, unsigned what);
/* One connection more from this address, if fewer than `most` are there. */
bool limit_enter(struct net_shared *shared, const struct addr *peer,
    int64_t most);
void limit_leave(struct net_shared *shared, const struct addr *peer);

/* ---- flows ---- */

struct flow {
	flow_id id;
	struct net *net;
	const struct transport *transport;
	int fd;
	struct event event;
	struct addr local;
};

struct listener {
	struct flow flow; /* its id is for datagrams alone */
	unsigned key;
	bool any_address; /* datagrams: the local address differs each time */
	struct tls_context *tls;
	struct timer rest; /* no accept while descriptors are short */
	int64_t late_since; /* datagrams: see net_late_since() */
	struct listener *next;
};

struct receiver;
struct tls_session; /* tls.c's: an SSL */

struct connection {
	struct flow flow;
	struct addr peer;
	struct tls_session *tls;
	struct buf in;    /* the beginning of a message */
	size_t scanned;   /* frame_next()'s memory */
	struct buf out;   /* what the peer did not take yet */
	struct timer timer;
	struct deferred end, more;
	struct connection *queue_next, **queue_link; /* NULL: in no queue */
	int64_t since, active, partial, stalled; /* ms; the latter two 0: not so */
	char **aors;
	size_t aor_count;
	bool ready;   /* the handshake is done */
	bool greeted; /* the first step of a handshake was taken */
	bool proven;  /* a user was proven */
	bool closing; /* when `out` is empty */
	bool closed;  /* unlinked, freed at the end of this turn */
	bool wants_write; /* the event waits for room */
	bool resting; /* no reading while `out` is long */
	struct connection *next, **link;
};

/* Connections in the order in which they came, taken off the event loop. */
struct queue {
	struct connection *first, **tail;
	unsigned count;
};

/*
 * Handshakes are let in by a budget a turn, the others queue: those that have
 * begun first, so that under any load some are finished.
 */
struct handshakes {
	uint64_t turn; /* that `steps` are of */
	unsigned steps;
	int64_t turn_at, turn_us; /* its begin; what a full one takes on average */
	struct queue begun, new;
	struct deferred next;
};

enum { UDP_SIZE = 65536 };
enum { READ_SIZE = 65536 + 4096, CORK_SIZE = 65536, OUT_REST = 65536 };

struct net {
	struct net_shared *shared;
	struct loop *loop;
	unsigned worker;
	struct net_conf conf;
	struct net_handler handler;
	struct listener *listeners;
	struct connection *connections;
	struct slots *slots;
	struct handshakes handshakes;
	struct receiver *receiver; /* udp.c's; NULL before there is a socket */
	struct connection *corked; /* its answers are collected in `cork` */
	size_t cork_size;
	char cork[CORK_SIZE];
	char input[READ_SIZE];
};

/* ---- what a transport can do ---- */

enum { IO_END = 0, IO_WANT_READ = -1, IO_WANT_WRITE = -2, IO_FAILED = -3 };

struct stream_ops {
	/* Begins on an accepted socket; false if it cannot. */
	bool (*start)(struct connection *c, struct tls_context *tls);
	/* 1 when done, else IO_*. */
	int (*handshake)(struct connection *c);
	/* Bytes moved, or IO_*. */
	ssize_t (*read)(struct connection *c, void *to, size_t n);
	ssize_t (*write)(struct connection *c, const void *from, size_t n);
	/* True if bytes wait that the socket does not tell of. */
	bool (*has_pending)(struct connection *c);
	/* A handshake costs so much that only some are let into a turn. */
	bool costly;
	/* Says goodbye if it still can, and frees. */
	void (*end)(struct connection *c);
	void (*describe)(struct connection *c, struct connection_info *info);
	enum count gauge;
};

struct transport_ops {
	int socket_type;
	void (*listen)(struct listener *listener);
	void (*unlisten)(struct listener *listener);
	bool (*send)(struct flow *flow, const struct hop *hop, struct str bytes);
	const struct stream_ops *stream; /* NULL: datagrams */
};

extern const struct transport_ops udp_ops, tcp_ops, tls_ops;

/* Counts a limit that this peer met, logs it and tells of it. */
#define limit_met(net, hop, name) \
	(count(limit_##name), \
	    net_tell_limit((net), (hop), #name, COUNT_limit_##name))

/* accept.c */
void stream_listen(struct listener *listener);
void stream_unlisten(struct listener *listener);

/* handshake.c */
/* True when it is done; else it waits for its peer or for its turn. */
bool handshake_go_on(struct connection *c);
void handshake_forget(struct connection *c);
/* Would one more have to wait for longer than it should? */
bool handshakes_are_late(const struct net *net);

/* stream.c */
/* A connection whose flow and peer are set; takes it. */
void stream_begin(struct connection *c, struct tls_context *tls);
bool stream_send(struct flow *flow, const struct hop *hop, struct str bytes);
void stream_close(struct connection *c);
void stream_free_all(struct net *net);
/* Sets the timer to the first of its time limits. */
void stream_schedule(struct connection *c);
/* Waits for what it needs: for room to write too, if it wants that. */
void stream_watch(struct connection *c, bool wants_write);
/* Reads what is there, and handles it. */
void stream_input(struct connection *c);

#endif
