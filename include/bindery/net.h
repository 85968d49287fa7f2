/*
 * The network: bytes in by listeners, connections and datagrams; bytes out by
 * the way they came. It knows where a SIP message ends and nothing of what it
 * says.
 *
 * Each worker has a `struct net` of its own, and owns its connections for
 * their life. What workers share, limits and who is alive, is in one
 * `struct net_shared`.
 */
#ifndef BINDERY_NET_H
#define BINDERY_NET_H

#include "bindery/count.h"
#include "bindery/hop.h"
#include "bindery/loop.h"

struct net;
struct net_shared;
struct tls_context;

/* ---- transports ---- */

/* By its name in any case; NULL if there is none. */
const struct transport *transport_find(struct str name);
/* The transports one by one, from 0; NULL behind the last. */
const struct transport *transport_at(size_t i);

/* ---- flows ---- */

/* From any thread: is this connection, or this socket, still open? */
bool flow_is_alive(const struct net_shared *shared, flow_id id);

/* ---- what net tells ---- */

enum frame_fault {
	FRAME_NO_LENGTH,   /* a stream needs Content-Length (RFC 3261 18.3) */
	FRAME_BAD_LENGTH,  /* Content-Length is no number, or there are two */
	FRAME_HEADER_SIZE, /* the header part goes beyond the limit */
	FRAME_BODY_SIZE,   /* the body goes beyond the limit */
	FRAME_GARBAGE      /* not SIP at all */
};

/* Called on the worker's thread. Bytes and hops are lent for the call. */
struct net_handler {
	void *context;
	/* A whole message, without blank lines before it. */
	void (*message)(void *context, const struct hop *hop, struct str bytes);
	/*
	 * The stream cannot be followed any more: these bytes begin a message
	 * whose end cannot be told. The connection closes after the call and
	 * whatever the call sent.
	 */
	void (*broken)(void *context, const struct hop *hop, struct str bytes,
	    enum frame_fault why);
	/* A connection is gone. */
	void (*closed)(void *context, flow_id flow);
	/* A limit was hit; once an address and minute. May be NULL. */
	void (*limited)(void *context, const char *limit, const struct addr *peer,
	    const struct transport *transport);
};

/* ---- configuration ---- */

/* Sizes in bytes, times in seconds; see bindery.json(5), `limits`. */
struct net_conf {
	int64_t message_size;
	int64_t connections, connections_per_address;
	int64_t unauthenticated, unauthenticated_seconds;
	int64_t header_seconds, idle_seconds;
	int64_t send_queue;
	int64_t queue_seconds;
};

enum tls_verify { TLS_VERIFY_OFF, TLS_VERIFY_OPTIONAL, TLS_VERIFY_REQUIRE };
enum tls_version { TLS_1_2, TLS_1_3 };

struct tls_sni_conf {
	char *name;
	char *certificate, *key;
};

struct tls_conf {
	char *certificate, *key, *client_ca, *ciphers;
	int64_t verify_client; /* enum tls_verify */
	int64_t min_version;   /* enum tls_version */
	struct tls_sni_conf *sni;
	size_t sni_count;
};

/*
 * Reads certificates and keys and checks that they belong together. NULL
 * with *why (the caller frees it) naming the file and the reason, and *key
 * the setting at fault ("certificate"), in the entry of `sni` named *name
 * if that is not NULL.
 */
struct tls_context *tls_context_new(const struct tls_conf *conf, char **why,
    const char **key, const char **name);
struct tls_context *tls_context_ref(struct tls_context *context);
void tls_context_unref(struct tls_context *context);

/* ---- life ---- */

struct net_shared *net_shared_new(unsigned workers);
void net_shared_free(struct net_shared *shared);

/* The handler is copied. */
struct net *net_new(struct net_shared *shared, struct loop *loop,
    const struct net_conf *conf, const struct net_handler *handler);
/* Closes all that is open. */
void net_free(struct net *net);
/* Takes new limits for what happens from now on; copied. */
void net_configure(struct net *net, const struct net_conf *conf);

/*
 * Opens a socket of this transport for one worker among several that share
 * the address (SO_REUSEPORT). -1 with *why on failure. From any thread.
 */
int net_open_socket(const struct transport *transport, const struct addr *at,
    char **why);
/*
 * Listens on a socket from net_open_socket(), which net takes. `key` names the
 * listener for the calls below. `tls` may be NULL; else net refs it.
 */
void net_listen(struct net *net, unsigned key, int fd,
    const struct transport *transport, const struct addr *at,
    struct tls_context *tls);
/* New handshakes on this listener use this context from now on. */
void net_listen_tls(struct net *net, unsigned key, struct tls_context *tls);
/*
 * Since when, by clock_mono_ms(), more comes in by this flow's way than the
 * worker can take, without a break; 0 if it keeps up. For a datagram socket
 * that is a receive buffer more than half full, for connections turns of the
 * loop that take too long. On the net's thread.
 */
int64_t net_late_since(const struct net *net, flow_id flow);
/*
 * The flow of a datagram socket that is open at this address, or at all
 * addresses with its port; FLOW_NONE if there is none. Before the net's loop
 * runs, or on its thread.
 */
flow_id net_find_socket(const struct net *net,
    const struct transport *transport, const struct addr *at);
/* Stops listening. Connections accepted live on. */
void net_unlisten(struct net *net, unsigned key);

/* ---- use ---- */

/*
 * Sends one message by the hop's flow, to its peer; another worker's flow is
 * reached by mailbox. False if it could not even be queued. What fails later
 * on a stream closes it.
 */
bool net_send(struct net *net, const struct hop *hop, struct str bytes);
/* This connection has proven a user: the limits for strangers no longer apply. */
void net_flow_prove(struct net *net, flow_id flow, struct str aor);

/*
 * Somebody met a limit that was counted as `which`: logged, and told by
 * `limited`, once an address and minute.
 */
void net_tell_limit(struct net *net, const struct hop *hop, const char *limit,
    enum count which);

struct connection_info {
	flow_id id;
	const struct transport *transport;
	struct addr peer, local;
	int64_t since_ms; /* clock_mono_ms() */
	const char *tls_version, *tls_cipher, *tls_peer; /* NULL: none */
	char *const *aors;
	size_t aor_count;
};
/*
 * Calls each() for this worker's stream connections from slot *slot on, until
 * it returns false. *slot is then where to go on; false when there are no more.
 */
bool net_each_connection(struct net *net, uint32_t *slot,
    bool (*each)(void *context, const struct connection_info *info),
    void *context);

/* ---- pure parts, for tests and fuzzers ---- */

/*
 * Looks for the end of the first message in `bytes`, of which the first
 * *scanned have been looked at before. FRAME_MORE: not yet; FRAME_MESSAGE: it
 * has *size bytes; FRAME_PING: a CRLF CRLF stands there, *size is 4;
 * FRAME_SKIP: *size bytes of line ends; FRAME_BROKEN: see *fault.
 */
enum frame_result {
	FRAME_MORE, FRAME_MESSAGE, FRAME_PING, FRAME_SKIP, FRAME_BROKEN
};
enum frame_result frame_next(struct str bytes, size_t limit, size_t *scanned,
    size_t *size, enum frame_fault *fault);

/*
 * The answer to a STUN Binding request (RFC 5389, or RFC 3489's) from `peer`;
 * 0 if the bytes are none.
 */
enum { STUN_ANSWER_MAX = 128 };
size_t stun_answer(struct str bytes, const struct addr *peer,
    unsigned char answer[STUN_ANSWER_MAX]);

#endif
