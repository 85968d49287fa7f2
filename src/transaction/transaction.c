/* Carries out the machines: keys, timers, sending, telling. */
#include "config.h"

#include "bindery/transaction.h"

#include <assert.h>
#include <stdlib.h>

#include "bindery/alloc.h"
#include "bindery/count.h"
#include "bindery/rand.h"

#include "kept.h"
#include "key.h"

enum { TRYING_MS = 200, ACK_SIZE = 65536 };

struct transaction {
	struct hash_node by_key;   /* servers alone */
	struct hash_node by_merge; /* likewise, and out of dialogs alone */
	struct tx_match match;
	struct tx_table *table;
	const struct tx_user *user;
	void *context;
	tx_id id;
	struct hop hop;
	struct timer resend, expire;
	int32_t resend_ms;
	uint8_t machine, state, method;
	char resend_letter, expire_letter;
	bool merges, final, doomed;
	uint32_t cookie;  /* clients: the random part of the branch */
	uint32_t unknown; /* a hash of a method's name that is none of ours */
	size_t size;
	char *bytes; /* the request of a client, the last response of a server */
	struct deferred later;
};

struct tx_table {
	struct loop *loop;
	struct hash_key key;
	tx_send_fn send;
	void *send_context;
	int64_t limit;
	size_t servers, clients;
	struct hash_table by_key, by_merge;
	struct kept_queue *kept; /* answers that wait for timer J */
	struct slots slots;
	struct sip_parser *parser; /* of requests that an ACK is made from */
};

static bool
is_server(const struct transaction *tx)
{
	return tx->machine == TX_INVITE_SERVER || tx->machine == TX_SERVER;
}

/* ---- life ---- */

struct tx_table *
tx_table_new(struct loop *loop, const struct hash_key *key, tx_send_fn send,
    void *send_context, int64_t limit)
{
	struct tx_table *table = xcalloc(1, sizeof *table);

	table->loop = loop;
	table->key = *key;
	table->send = send;
	table->send_context = send_context;
	table->limit = limit;
	table->parser = sip_parser_new();
	table->kept = kept_new(loop);
	return table;
}

static void
forget(struct transaction *tx)
{
	struct tx_table *table = tx->table;

	timer_cancel(table->loop, &tx->resend);
	timer_cancel(table->loop, &tx->expire);
	slots_give(&table->slots, tx->id);
	if (is_server(tx)) {
		hash_remove(&table->by_key, &tx->by_key);
		if (tx->merges)
			hash_remove(&table->by_merge, &tx->by_merge);
		table->servers--;
		count_by(transactions_server, -1);
	} else {
		table->clients--;
		count_by(transactions_client, -1);
	}
	if (!tx->final)
		count_by(transactions_pending, -1);
}

static void
release(void *argument)
{
	struct transaction *tx = argument;

	free(tx->bytes);
	free(tx);
}

/* The end, whether by its machine or by its table's. */
static void
terminate(struct transaction *tx)
{
	if (tx->doomed)
		return;
	tx->doomed = true;
	forget(tx);
	if (tx->user != NULL && tx->user->gone != NULL)
		tx->user->gone(tx->context, tx->id);
	loop_defer(tx->table->loop, &tx->later, release, tx);
}

void
tx_table_free(struct tx_table *table)
{
	if (table == NULL)
		return;
	for (uint32_t i = 0; i < table->slots.used; i++) {
		struct transaction *tx = slots_at(&table->slots, i);

		if (tx != NULL) {
			tx->user = NULL;
			terminate(tx);
		}
	}
	kept_free(table->kept);
	hash_free(&table->by_key);
	hash_free(&table->by_merge);
	slots_fini(&table->slots);
	sip_parser_free(table->parser);
	free(table);
}

void
tx_table_limit(struct tx_table *table, int64_t limit)
{
	table->limit = limit;
}

/* ---- the machines at work ---- */

static void play(struct transaction *tx, enum tx_event on,
    const struct sip_message *m);

static void
on_resend(void *argument)
{
	struct transaction *tx = argument;

	tx->resend_ms = (int32_t)tx_next_resend_ms(tx->resend_letter,
	    (enum tx_state)tx->state, tx->resend_ms);
	timer_set(tx->table->loop, &tx->resend, tx->resend_ms);
	play(tx, TX_ON_RESEND, NULL);
}

static void
on_expire(void *argument)
{
	play(argument, TX_ON_EXPIRE, NULL);
}

/* Nobody answered the INVITE within 200 ms: the 100 that stands ready leaves. */
static void
on_trying(void *argument)
{
	play(argument, TX_ON_1XX, NULL);
}

static void
turn_timers(struct transaction *tx)
{
	struct loop *loop = tx->table->loop;
	bool reliable = tx->hop.transport->reliable;
	char resend = tx_resend_timer((enum tx_machine)tx->machine,
	    (enum tx_state)tx->state, reliable);
	char expire = tx_expire_timer((enum tx_machine)tx->machine,
	    (enum tx_state)tx->state);

	if (resend != tx->resend_letter) {
		timer_cancel(loop, &tx->resend);
		tx->resend_letter = resend;
		tx->resend_ms = (int32_t)tx_timer_ms(resend, reliable);
		timer_init(&tx->resend, on_resend, tx);
		if (resend != 0)
			timer_set(loop, &tx->resend, tx->resend_ms);
	}
	if (expire != tx->expire_letter) {
		int64_t ms = tx_timer_ms(expire, reliable);

		timer_cancel(loop, &tx->expire);
		tx->expire_letter = expire;
		if (expire != 0 && ms > 0)
			timer_set(loop, &tx->expire, ms);
	}
}

/* A state whose timer is zero ends as soon as it begins. */
static bool
is_over(const struct transaction *tx)
{
	return tx->state == TX_TERMINATED ||
	    (tx->expire_letter != 0 && tx_timer_ms(tx->expire_letter,
	         tx->hop.transport->reliable) == 0);
}

static void
on_failed_send(void *argument)
{
	struct transaction *tx = argument;

	if (tx->doomed) { /* it ended meanwhile, and left its release to us */
		release(tx);
		return;
	}
	play(tx, TX_ON_ERROR, NULL);
	if (is_over(tx)) /* a state without a time, that waited for this */
		terminate(tx);
}

/* Failure comes later as an event of its own, never inside another. */
static bool
send_bytes(struct transaction *tx, struct str bytes)
{
	struct tx_table *table = tx->table;

	if (bytes.p == NULL || table->send(table->send_context, &tx->hop, bytes))
		return true;
	loop_defer(table->loop, &tx->later, on_failed_send, tx);
	return false;
}

/* RFC 3261 17.1.1.3: the ACK is made of the INVITE, and the response's To. */
static void
send_ack(struct transaction *tx, const struct sip_message *response)
{
	struct sip_message *invite = sip_parser_read(tx->table->parser,
	    (struct str){ tx->bytes, tx->size });
	char *memory = xmalloc(ACK_SIZE);
	struct out out = out_to(memory, ACK_SIZE);

	sip_write_ack(&out, invite, response);
	if (!out.full)
		send_bytes(tx, out_str(&out));
	free(memory);
}

static void
tell(struct transaction *tx, enum tx_event on, const struct sip_message *m)
{
	const struct tx_user *user = tx->user;

	if (user == NULL)
		return;
	if (on == TX_ON_EXPIRE || on == TX_ON_ERROR) {
		if (user->failed != NULL)
			user->failed(tx->context, tx->id, on == TX_ON_ERROR
			        ? TX_FAILED_TRANSPORT
			        : TX_FAILED_TIMEOUT);
	} else if (on == TX_ON_ACK) {
		if (user->ack != NULL)
			user->ack(tx->context, tx->id, m);
	} else if (user->response != NULL) {
		user->response(tx->context, tx->id, m);
	}
}

static void
play(struct transaction *tx, enum tx_event on, const struct sip_message *m)
{
	const struct tx_step *step = tx_step_for((enum tx_machine)tx->machine,
	    (enum tx_state)tx->state, on);

	if (step == NULL || tx->doomed) /* not in the figure */
		return;
	assert(tx->state != TX_TERMINATED);
	tx->state = (uint8_t)step->next;
	if (!tx->final && step->next >= TX_ACCEPTED) {
		tx->final = true;
		count_by(transactions_pending, -1);
	}
	turn_timers(tx);
	if ((step->todo & TX_DO_SEND) != 0)
		send_bytes(tx, (struct str){ tx->bytes, tx->size });
	if ((step->todo & TX_DO_ACK) != 0)
		send_ack(tx, m);
	if ((step->todo & TX_DO_TELL) != 0)
		tell(tx, on, m); /* last: the user may act at once */
	if (is_over(tx) && !(tx->later.queued && tx->state != TX_TERMINATED))
		terminate(tx);
}

static void
keep(struct transaction *tx, struct str bytes)
{
	free(tx->bytes);
	tx->bytes = bytes.n > 0 ? xmemdupz(bytes.p, bytes.n) : NULL;
	tx->size = bytes.n;
}

static bool
is_full(const struct tx_table *table)
{
	size_t all = table->servers + table->clients + kept_count(table->kept);

	if ((int64_t)all < table->limit)
		return false;
	count(limit_transactions);
	return true;
}

static struct transaction *
new_transaction(struct tx_table *table, enum tx_machine machine,
    const struct tx_user *user, void *context)
{
	struct transaction *tx;

	if (is_full(table))
		return NULL;
	tx = xcalloc(1, sizeof *tx);
	tx->id = slots_take(&table->slots, loop_worker(table->loop), tx);
	if (tx->id == TX_NONE) {
		count(limit_transactions);
		free(tx);
		return NULL;
	}
	tx->table = table;
	tx->machine = (uint8_t)machine;
	tx->state = (uint8_t)tx_initial(machine);
	tx->user = user;
	tx->context = context;
	timer_init(&tx->expire, on_expire, tx);
	count(transactions_pending);
	return tx;
}

/* ---- servers ---- */

static uint32_t
name_hash(const struct tx_table *table, const struct sip_message *m)
{
	return m->method == METHOD_UNKNOWN
	    ? (uint32_t)hash64(&table->key, m->method_name.p, m->method_name.n)
	    : 0;
}

static bool
same_key(struct hash128 a, struct hash128 b)
{
	return a.a == b.a && a.b == b.b;
}

/* A server transaction by its key; `fits` says whether the method does. */
static struct transaction *
find_server(const struct tx_table *table, const struct tx_match *match,
    bool (*fits)(const struct transaction *tx, enum sip_method method,
        uint32_t unknown),
    enum sip_method method, uint32_t unknown)
{
	struct hash_node *node = hash_first(&table->by_key, match->key.a);

	for (; node != NULL; node = hash_next(&table->by_key, node)) {
		struct transaction *tx =
		    container_of(node, struct transaction, by_key);

		if (same_key(tx->match.key, match->key) &&
		    fits(tx, method, unknown))
			return tx;
	}
	return NULL;
}

static bool
fits_request(const struct transaction *tx, enum sip_method method,
    uint32_t unknown)
{
	if (method == METHOD_ACK)
		method = METHOD_INVITE;
	return tx->method == method && tx->unknown == unknown;
}

static bool
fits_cancel(const struct transaction *tx, enum sip_method method,
    uint32_t unknown)
{
	(void)unknown;
	return tx->method != method;
}

static bool
is_merged(const struct tx_table *table, const struct tx_match *match,
    const struct sip_message *m)
{
	struct hash_node *node;

	if (match->merge.a == 0)
		return false;
	node = hash_first(&table->by_merge, match->merge.a);
	for (; node != NULL; node = hash_next(&table->by_merge, node)) {
		struct transaction *tx =
		    container_of(node, struct transaction, by_merge);

		if (same_key(tx->match.merge, match->merge) &&
		    fits_request(tx, m->method, name_hash(table, m)))
			return true;
	}
	return false;
}

/* A method as one number: its own, or the hash of a name that is none of ours. */
static uint64_t
method_key(const struct tx_table *table, const struct sip_message *m)
{
	return (uint64_t)m->method << 32 | name_hash(table, m);
}

enum tx_verdict
tx_receive_request(struct tx_table *table, const struct sip_message *m,
    struct tx_match *match)
{
	struct kept_answer answer;
	enum kept_verdict kept;
	struct transaction *tx;

	tx_keys(m, &table->key, match);
	kept = kept_find(table->kept, match, method_key(table, m), &answer);
	if (kept == KEPT_SAME) { /* Completed: the last response again, figure 8 */
		count(retransmissions_absorbed);
		table->send(table->send_context, &answer.hop, answer.bytes);
		return TX_ABSORBED;
	}
	tx = find_server(table, match, fits_request, m->method,
	    name_hash(table, m));
	if (tx != NULL && m->method == METHOD_ACK) {
		play(tx, TX_ON_ACK, m);
		return TX_ABSORBED;
	}
	if (tx != NULL) {
		count(retransmissions_absorbed);
		play(tx, TX_ON_REQUEST, m);
		return TX_ABSORBED;
	}
	if (m->method == METHOD_ACK)
		return TX_STRAY_ACK;
	if (m->method == METHOD_CANCEL)
		return TX_NEW;
	return kept == KEPT_MERGED || is_merged(table, match, m) ? TX_MERGED
	                                                         : TX_NEW;
}

tx_id
tx_server_new(struct tx_table *table, const struct sip_message *m,
    const struct tx_match *match, const struct hop *hop, struct str trying,
    const struct tx_user *user, void *context)
{
	struct transaction *tx = new_transaction(table,
	    m->method == METHOD_INVITE ? TX_INVITE_SERVER : TX_SERVER, user,
	    context);

	if (tx == NULL)
		return TX_NONE;
	tx->hop = *hop;
	tx->match = *match;
	tx->method = (uint8_t)m->method;
	tx->unknown = name_hash(table, m);
	hash_insert(&table->by_key, &tx->by_key, match->key.a);
	tx->merges = m->method != METHOD_CANCEL && match->merge.a != 0;
	if (tx->merges)
		hash_insert(&table->by_merge, &tx->by_merge, match->merge.a);
	table->servers++;
	count(transactions_server);
	if (trying.n > 0) {
		keep(tx, trying);
		timer_init(&tx->resend, on_trying, tx);
		timer_set(table->loop, &tx->resend, TRYING_MS);
	}
	return tx->id;
}

static enum tx_event
event_of(unsigned status)
{
	return status < 200 ? TX_ON_1XX : status < 300 ? TX_ON_2XX
	                                               : TX_ON_FAILURE;
}

bool
tx_respond(struct tx_table *table, tx_id id, unsigned status, struct str bytes)
{
	struct transaction *tx = slots_find(&table->slots, id);
	enum tx_event on = event_of(status);
	const struct tx_step *step;

	if (tx == NULL)
		return false;
	step = tx_step_for((enum tx_machine)tx->machine, (enum tx_state)tx->state,
	    on);
	if (step == NULL || (step->todo & TX_DO_SEND) == 0)
		return false;
	timer_cancel(table->loop, &tx->resend); /* no 100 after this */
	if (tx->machine == TX_SERVER && status >= 200 && tx->user == NULL &&
	    !tx->hop.transport->reliable) {
		/* Completed, and nobody wants to hear of it: see kept.h */
		if (table->send(table->send_context, &tx->hop, bytes))
			kept_add(table->kept, &tx->match,
			    (uint64_t)tx->method << 32 | tx->unknown, &tx->hop,
			    bytes);
		terminate(tx);
		return true;
	}
	keep(tx, bytes);
	play(tx, on, NULL);
	return true;
}

bool
tx_answer(struct tx_table *table, const struct sip_message *m,
    const struct tx_match *match, const struct hop *hop, unsigned status,
    struct str bytes)
{
	tx_id id;

	/* with timer J at zero it would end as it begins: it need not begin */
	if (hop->transport->reliable && m->method != METHOD_INVITE) {
		table->send(table->send_context, hop, bytes);
		return true;
	}
	if (m->method == METHOD_INVITE) {
		id = tx_server_new(table, m, match, hop, STR_NONE, NULL, NULL);
		return id != TX_NONE && tx_respond(table, id, status, bytes);
	}
	if (is_full(table))
		return false;
	/* Trying to Completed at once; a transport error would end it */
	if (table->send(table->send_context, hop, bytes))
		kept_add(table->kept, match, method_key(table, m), hop, bytes);
	return true;
}

/* True if a request of another method has the branch of this CANCEL. */
bool
tx_has_answered(const struct tx_table *table, const struct sip_message *cancel,
    const struct tx_match *match)
{
	struct kept_answer answer;

	return kept_find(table->kept, match, method_key(table, cancel),
	           &answer) == KEPT_OTHER_METHOD;
}

tx_id
tx_cancelled_by(struct tx_table *table, const struct sip_message *cancel,
    const struct tx_match *match)
{
	struct transaction *tx = find_server(table, match, fits_cancel,
	    cancel->method, 0);

	return tx != NULL ? tx->id : TX_NONE;
}

/* ---- clients ---- */

/* "z9hG4bKb", 16 digits of the id, 8 of the cookie. */
enum { ID_AT = 8, COOKIE_AT = ID_AT + 16, BRANCH_LENGTH = COOKIE_AT + 8 };

tx_id
tx_client_new(struct tx_table *table, enum sip_method method,
    const struct tx_user *user, void *context, char branch[TX_BRANCH_SIZE])
{
	struct transaction *tx = new_transaction(table,
	    method == METHOD_INVITE ? TX_INVITE_CLIENT : TX_CLIENT, user,
	    context);
	struct out out = out_to(branch, TX_BRANCH_SIZE);

	if (tx == NULL)
		return TX_NONE;
	tx->method = (uint8_t)method;
	random_bytes(&tx->cookie, sizeof tx->cookie);
	table->clients++;
	count(transactions_client);
	out_lit(&out, "z9hG4bKb");
	out_hex(&out, tx->id, 16);
	out_hex(&out, tx->cookie, 8);
	out_z(&out);
	return tx->id;
}

bool
tx_client_start(struct tx_table *table, tx_id id, const struct hop *hop,
    struct str request)
{
	struct transaction *tx = slots_find(&table->slots, id);

	if (tx == NULL)
		return false;
	tx->hop = *hop;
	keep(tx, request);
	turn_timers(tx);
	return send_bytes(tx, request);
}

void
tx_client_drop(struct tx_table *table, tx_id id)
{
	struct transaction *tx = slots_find(&table->slots, id);

	if (tx != NULL) {
		tx->user = NULL;
		terminate(tx);
	}
}

static bool
read_hex(struct str digits, uint64_t *number)
{
	*number = 0;
	for (size_t i = 0; i < digits.n; i++) {
		int digit = hex_digit(digits.p[i]);

		if (digit < 0)
			return false;
		*number = *number << 4 | (uint64_t)digit;
	}
	return true;
}

bool
tx_receive_response(struct tx_table *table, const struct sip_message *m)
{
	struct str branch = m->via.branch;
	struct transaction *tx;
	uint64_t id, cookie;

	if (branch.n != BRANCH_LENGTH || !str_starts(branch, STR("z9hG4bKb")) ||
	    !read_hex((struct str){ branch.p + ID_AT, 16 }, &id) ||
	    !read_hex((struct str){ branch.p + COOKIE_AT, 8 }, &cookie))
		return false;
	tx = slot_worker(id) == loop_worker(table->loop)
	    ? slots_find(&table->slots, id)
	    : NULL;
	if (tx == NULL || is_server(tx) || tx->cookie != cookie ||
	    tx->method != m->cseq_method || tx->bytes == NULL)
		return false;
	play(tx, event_of(m->status), m);
	return true;
}

void
tx_flow_closed(struct tx_table *table, flow_id flow)
{
	if (table->clients == 0) /* a server's answers just have nowhere to go */
		return;
	for (uint32_t i = 0; i < table->slots.used; i++) {
		struct transaction *tx = slots_at(&table->slots, i);

		if (tx != NULL && !is_server(tx) && tx->hop.flow == flow)
			play(tx, TX_ON_ERROR, NULL);
	}
}
