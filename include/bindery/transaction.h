/*
 * Transactions (RFC 3261 section 17 as amended by RFC 6026): who repeats,
 * who absorbs repetitions, and when it is over. The four machines are tables
 * of plain rows, to be read beside the RFC's figures; transaction.c carries
 * them out with timers and sockets.
 *
 * One `struct tx_table` a worker. Transactions are named by ids: between two
 * callbacks any of them may be gone.
 */
#ifndef BINDERY_TRANSACTION_H
#define BINDERY_TRANSACTION_H

#include "bindery/net.h"
#include "bindery/sip.h"

/* ---- the machines, pure ---- */

enum tx_machine {
	TX_INVITE_CLIENT, /* RFC 6026 figure 5 */
	TX_CLIENT,        /* RFC 3261 figure 6 */
	TX_INVITE_SERVER, /* RFC 6026 figure 7 */
	TX_SERVER,        /* RFC 3261 figure 8 */
	TX_MACHINES
};

enum tx_state {
	TX_CALLING, TX_TRYING, TX_PROCEEDING, TX_ACCEPTED, TX_COMPLETED,
	TX_CONFIRMED, TX_TERMINATED,
	TX_STATES
};

/* Responses come from the network for a client, from the user for a server. */
enum tx_event {
	TX_ON_REQUEST, TX_ON_ACK, TX_ON_1XX, TX_ON_2XX, TX_ON_FAILURE,
	TX_ON_RESEND,  /* the timer that repeats: A, E, G */
	TX_ON_EXPIRE,  /* the timer that ends a state: B D F H I J K L M */
	TX_ON_ERROR,   /* the transport failed */
	TX_EVENTS
};

/* What a step does, in this order. */
enum {
	TX_DO_SEND = 1, /* the request, or the last response, again or at first */
	TX_DO_ACK = 2,  /* an ACK for a failure of INVITE */
	TX_DO_TELL = 4  /* tells the user */
};

struct tx_step {
	enum tx_machine machine;
	enum tx_state in;
	enum tx_event on;
	unsigned todo;
	enum tx_state next;
};

/* The state that a machine begins in. */
enum tx_state tx_initial(enum tx_machine machine);
/* The step for an event, or NULL where the figure has no arrow. */
const struct tx_step *tx_step_for(enum tx_machine machine, enum tx_state in,
    enum tx_event on);
/* All steps, for who lists or draws them. */
const struct tx_step *tx_steps(size_t *count);

/* Timer values in ms, RFC 3261 table 4. */
enum { TX_T1 = 500, TX_T2 = 4000, TX_T4 = 5000 };
/* The letter of the timer that repeats, or that ends, a state; 0: none. */
char tx_resend_timer(enum tx_machine machine, enum tx_state state,
    bool reliable);
char tx_expire_timer(enum tx_machine machine, enum tx_state state);
/* How long a timer runs when its state is entered. */
int64_t tx_timer_ms(char letter, bool reliable);
/* How long the repeating timer runs next, after it ran for `ms` in `state`. */
int64_t tx_next_resend_ms(char letter, enum tx_state state, int64_t ms);

const char *tx_machine_name(enum tx_machine machine);
const char *tx_state_name(enum tx_state state);
const char *tx_event_name(enum tx_event event);

/* ---- a worker's transactions ---- */

struct tx_table;
typedef slot_id tx_id;
enum { TX_NONE = SLOT_NONE };

enum tx_failure { TX_FAILED_TIMEOUT, TX_FAILED_TRANSPORT };

/*
 * Who is told of a transaction; a constant, one a service. Each may be NULL.
 * `context` is the one given when the transaction was made.
 */
struct tx_user {
	/* Client: a response that is not a repetition. */
	void (*response)(void *context, tx_id id, const struct sip_message *m);
	/* Server: the ACK to a 2xx (RFC 6026 7.1). */
	void (*ack)(void *context, tx_id id, const struct sip_message *m);
	/* No response, no ACK, or no way to send. */
	void (*failed)(void *context, tx_id id, enum tx_failure why);
	/* It is over; the id names nothing any more. */
	void (*gone)(void *context, tx_id id);
};

/* How messages leave; lent for the call. False: it could not be sent. */
typedef bool (*tx_send_fn)(void *context, const struct hop *hop,
    struct str bytes);

/* At most `limit` server and client transactions at a time. */
struct tx_table *tx_table_new(struct loop *loop, const struct hash_key *key,
    tx_send_fn send, void *send_context, int64_t limit);
void tx_table_free(struct tx_table *table);
void tx_table_limit(struct tx_table *table, int64_t limit);

/* What a request is to the transactions that there are. */
enum tx_verdict {
	TX_NEW,      /* unknown: the user decides whether it gets a transaction */
	TX_ABSORBED, /* a repetition or an ACK: done with */
	TX_STRAY_ACK, /* an ACK of no transaction here */
	TX_MERGED    /* the same request by another way: 482 (8.2.2.2) */
};
struct tx_match {
	struct hash128 key, merge;
};
/* Fills `match` for tx_server_new(). */
enum tx_verdict tx_receive_request(struct tx_table *table,
    const struct sip_message *m, struct tx_match *match);
/* A tag for To that is the same each time the same request comes (8.2.7). */
static inline void
tx_tag(const struct tx_match *match, char tag[SIP_TAG_SIZE])
{
	struct out out = out_to(tag, SIP_TAG_SIZE);

	/* the half that places nothing in a table: it may be known */
	out_hex(&out, match->key.b, SIP_TAG_SIZE);
}

/*
 * A server transaction for a request that tx_receive_request() called new.
 * TX_NONE if there are too many. `trying`, if any, is sent after 200 ms
 * without an answer to an INVITE (17.2.1). Copies what it keeps.
 */
tx_id tx_server_new(struct tx_table *table, const struct sip_message *m,
    const struct tx_match *match, const struct hop *hop, struct str trying,
    const struct tx_user *user, void *context);
/*
 * The user's response; copied. False if the transaction is gone, has its
 * final response already, or could not send.
 */
bool tx_respond(struct tx_table *table, tx_id id, unsigned status,
    struct str bytes);
/*
 * Both in one, for a request whose final response stands at once. False if
 * there are too many transactions: then nothing was sent.
 */
bool tx_answer(struct tx_table *table, const struct sip_message *m,
    const struct tx_match *match, const struct hop *hop, unsigned status,
    struct str bytes);
/* True if a CANCEL is for a request that has its final response (9.2). */
bool tx_has_answered(const struct tx_table *table,
    const struct sip_message *cancel, const struct tx_match *match);
/* The transaction that a CANCEL is for (9.2), or TX_NONE. */
tx_id tx_cancelled_by(struct tx_table *table, const struct sip_message *cancel,
    const struct tx_match *match);

/*
 * Begins a client transaction. First a branch for the request's Via, then,
 * with the request written, the start, which sends it. A branch whose
 * request cannot be written is given back by tx_client_drop().
 */
enum { TX_BRANCH_SIZE = 40 };
tx_id tx_client_new(struct tx_table *table, enum sip_method method,
    const struct tx_user *user, void *context, char branch[TX_BRANCH_SIZE]);
/*
 * Copies the request and sends it by the hop. False if sending failed at
 * once: then `failed` is called later, from the loop, never from here.
 */
bool tx_client_start(struct tx_table *table, tx_id id, const struct hop *hop,
    struct str request);
void tx_client_drop(struct tx_table *table, tx_id id);
/* True if it belonged to one of our transactions. */
bool tx_receive_response(struct tx_table *table, const struct sip_message *m);

/* A connection is gone: what waits on it fails. */
void tx_flow_closed(struct tx_table *table, flow_id flow);

#endif
