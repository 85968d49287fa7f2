/*
 * Transactions at work: a table on a real loop, with a network that only
 * writes down what it is given, and a clock that the tests turn.
 */
#include "config.h"

#include "turns.h"

#include "bindery/count.h"
#include "bindery/transaction.h"

enum { SENT_MAX = 64, TOLD_MAX = 256, WORKER = 3 };

struct fixture {
	struct turns turns;
	struct tx_table *table;
	struct sip_parser *parser;
	struct hop udp, tcp;
	const struct sip_message *m; /* the request that came last */
	char request[4096]; /* its text */

	size_t sent_count;
	char *sent[SENT_MAX];
	bool fails; /* sending does */

	char told[TOLD_MAX]; /* r response, a ack, t timeout, x transport, g gone */
	size_t told_count;
	unsigned last_status;
	bool table_freed;
};

/* ---- the fakes ---- */

static bool
fake_send(void *context, const struct hop *hop, struct str bytes)
{
	struct fixture *f = context;

	if (f->fails)
		return false;
	assert_true(hop->transport == f->udp.transport ||
	    hop->transport == f->tcp.transport);
	assert_true(f->sent_count < SENT_MAX);
	f->sent[f->sent_count++] = strndup(bytes.p, bytes.n);
	return true;
}

static void
write_down(struct fixture *f, char what)
{
	assert_true(f->told_count + 1 < TOLD_MAX);
	f->told[f->told_count++] = what;
	f->told[f->told_count] = '\0';
}

static void
on_response(void *context, tx_id id, const struct sip_message *m)
{
	struct fixture *f = context;

	assert_int_not_equal(id, TX_NONE);
	f->last_status = m->status;
	write_down(f, 'r');
}

static void
on_ack(void *context, tx_id id, const struct sip_message *m)
{
	assert_int_not_equal(id, TX_NONE);
	assert_int_equal(m->method, METHOD_ACK);
	write_down(context, 'a');
}

static void
on_failed(void *context, tx_id id, enum tx_failure why)
{
	assert_int_not_equal(id, TX_NONE);
	write_down(context, why == TX_FAILED_TIMEOUT ? 't' : 'x');
}

static void
on_gone(void *context, tx_id id)
{
	assert_int_not_equal(id, TX_NONE);
	write_down(context, 'g');
}

static const struct tx_user user = { on_response, on_ack, on_failed, on_gone };

static int
set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof *f);
	const struct hash_key key = { 1, 2 };

	sip_init();
	turns_start(&f->turns, WORKER, f);
	f->parser = sip_parser_new();
	f->table = tx_table_new(f->turns.loop, &key, fake_send, f, 100);
	f->udp = (struct hop){ .transport = transport_find(STR("udp")),
		.flow = 11 };
	f->tcp = (struct hop){ .transport = transport_find(STR("tcp")),
		.flow = 12 };
	*state = f;
	return 0;
}

static void
forget_sent(struct fixture *f)
{
	for (size_t i = 0; i < f->sent_count; i++)
		free(f->sent[i]);
	f->sent_count = 0;
}

static int
tear_down(void **state)
{
	struct fixture *f = *state;

	if (!f->table_freed)
		tx_table_free(f->table);
	turns_stop(&f->turns);
	turns_end(&f->turns);
	sip_parser_free(f->parser);
	forget_sent(f);
	free(f);
	return 0;
}

static void
pass(struct fixture *f, int64_t ms)
{
	turns_pass(&f->turns, ms);
}

/* ---- requests that come in ---- */

/* What is left out is "z9hG4bK1", "call" and so on; a branch "" is none. */
struct come {
	const char *method, *branch, *uri, *call_id, *from_tag, *to_tag, *host;
	unsigned cseq;
};

static const struct sip_message *
message(struct fixture *f, struct come c)
{
	char to_tag[80] = "";
	int n;

	if (c.branch == NULL)
		c.branch = "z9hG4bK1";
	if (c.cseq == 0)
		c.cseq = 1;
	if (c.to_tag != NULL)
		snprintf(to_tag, sizeof to_tag, ";tag=%s", c.to_tag);
	n = snprintf(f->request, sizeof f->request,
	    "%s %s SIP/2.0\r\nVia: SIP/2.0/UDP %s%s%s\r\n"
	    "From: <sip:a@b>;tag=%s\r\nTo: <sip:b@c>%s\r\n"
	    "Call-ID: %s\r\nCSeq: %u %s\r\n\r\n",
	    c.method, c.uri != NULL ? c.uri : "sip:b@c",
	    c.host != NULL ? c.host : "192.0.2.1", *c.branch != '\0' ? ";branch=" : "",
	    c.branch, c.from_tag != NULL ? c.from_tag : "1",
	    to_tag, c.call_id != NULL ? c.call_id : "call", c.cseq, c.method);
	return sip_parser_read(f->parser, (struct str){ f->request, (size_t)n });
}

static enum tx_verdict
come(struct fixture *f, struct come c, struct tx_match *match)
{
	const struct sip_message *m = message(f, c);

	assert_int_equal(m->fault.status, 0);
	f->m = m;
	return tx_receive_request(f->table, m, match);
}

#define COME(f, ...) \
	come((f), (struct come){ __VA_ARGS__ }, \
	    &(struct tx_match){ { 0, 0 }, { 0, 0 } })

static tx_id
begin(struct fixture *f, struct come c, const struct hop *hop,
    const char *trying)
{
	struct tx_match match;
	tx_id id;

	assert_int_equal(come(f, c, &match), TX_NEW);
	id = tx_server_new(f->table, f->m, &match, hop,
	    str_of(trying), &user, f);
	assert_int_not_equal(id, TX_NONE);
	return id;
}

#define BEGIN(f, hop, trying, ...) \
	begin((f), (struct come){ __VA_ARGS__ }, (hop), (trying))

static bool
respond(struct fixture *f, tx_id id, unsigned status)
{
	char text[32];

	snprintf(text, sizeof text, "response %u", status);
	return tx_respond(f->table, id, status, str_of(text));
}

static bool
is_gone(struct fixture *f, tx_id id)
{
	return !respond(f, id, 200) && !respond(f, id, 100) &&
	    strchr(f->told, 'g') != NULL;
}

/* ---- servers, not INVITE ---- */

static void
a_request_is_new_until_it_has_a_transaction(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(COME(f, .method = "REGISTER"), TX_NEW);
	assert_int_equal(COME(f, .method = "REGISTER"), TX_NEW);
	BEGIN(f, &f->udp, NULL, .method = "REGISTER");
	assert_int_equal(COME(f, .method = "REGISTER"), TX_ABSORBED);
	assert_int_equal(f->sent_count, 0); /* nothing to repeat yet */
}

static void
a_repetition_gets_the_last_response_again(void **state)
{
	struct fixture *f = *state;
	tx_id id = BEGIN(f, &f->udp, NULL, .method = "REGISTER");

	assert_true(respond(f, id, 182));
	assert_int_equal(COME(f, .method = "REGISTER"), TX_ABSORBED);
	assert_int_equal(f->sent_count, 2);
	assert_string_equal(f->sent[1], "response 182");
	assert_true(respond(f, id, 200));
	assert_int_equal(COME(f, .method = "REGISTER"), TX_ABSORBED);
	assert_int_equal(COME(f, .method = "REGISTER"), TX_ABSORBED);
	assert_int_equal(f->sent_count, 5);
	assert_string_equal(f->sent[4], "response 200");
}

static void
a_second_final_response_is_refused(void **state)
{
	struct fixture *f = *state;
	tx_id id = BEGIN(f, &f->udp, NULL, .method = "REGISTER");

	assert_true(respond(f, id, 200));
	assert_false(respond(f, id, 500));
	assert_false(respond(f, id, 200));
	assert_false(respond(f, id, 100));
	assert_int_equal(f->sent_count, 1);
	COME(f, .method = "REGISTER");
	assert_string_equal(f->sent[1], "response 200");
}

static void
timer_j_ends_an_answered_request_over_udp(void **state)
{
	struct fixture *f = *state;
	tx_id id = BEGIN(f, &f->udp, NULL, .method = "REGISTER");

	pass(f, 100000); /* unanswered, it waits for ever */
	assert_true(respond(f, id, 200));
	pass(f, 31900);
	assert_int_equal(COME(f, .method = "REGISTER"), TX_ABSORBED);
	pass(f, 300);
	assert_string_equal(f->told, "g");
	assert_true(is_gone(f, id));
	assert_int_equal(COME(f, .method = "REGISTER"), TX_NEW);
}

static void
over_tcp_an_answered_request_ends_at_once(void **state)
{
	struct fixture *f = *state;
	tx_id id = BEGIN(f, &f->tcp, NULL, .method = "REGISTER");

	assert_true(respond(f, id, 200));
	assert_int_equal(f->sent_count, 1);
	assert_string_equal(f->told, "g");
	assert_true(is_gone(f, id));
}

static void
answering_in_one_keeps_a_transaction_where_it_is_needed(void **state)
{
	struct fixture *f = *state;
	struct tx_match match;

	assert_int_equal(come(f, (struct come){ .method = "REGISTER",
	                             .branch = "z9hG4bK1", .cseq = 1 }, &match),
	    TX_NEW);
	assert_true(tx_answer(f->table, f->m, &match, &f->udp, 200,
	    STR("answer")));
	assert_int_equal(COME(f, .method = "REGISTER"), TX_ABSORBED);
	assert_int_equal(f->sent_count, 2);
	assert_string_equal(f->sent[1], "answer");
	pass(f, 33000);
	assert_int_equal(come(f, (struct come){ .method = "REGISTER",
	                             .branch = "z9hG4bK1", .cseq = 1 }, &match),
	    TX_NEW);
	assert_true(tx_answer(f->table, f->m, &match, &f->tcp, 200,
	    STR("answer")));
	assert_int_equal(COME(f, .method = "REGISTER"), TX_NEW);
}

static void
a_response_that_cannot_leave_ends_the_transaction(void **state)
{
	struct fixture *f = *state;
	tx_id id = BEGIN(f, &f->udp, NULL, .method = "REGISTER");

	f->fails = true;
	respond(f, id, 200);
	assert_string_equal(f->told, ""); /* never from inside */
	turns_take(&f->turns);
	turns_take(&f->turns);
	assert_string_equal(f->told, "xg");
	assert_true(is_gone(f, id));
}

static void
over_tcp_too(void **state)
{
	struct fixture *f = *state;
	tx_id id = BEGIN(f, &f->tcp, NULL, .method = "REGISTER");

	f->fails = true;
	respond(f, id, 200);
	turns_take(&f->turns);
	turns_take(&f->turns);
	assert_string_equal(f->told, "xg");
	assert_true(is_gone(f, id));
}

/* ---- INVITE servers ---- */

static void
a_100_leaves_after_200_ms_without_an_answer(void **state)
{
	struct fixture *f = *state;

	BEGIN(f, &f->udp, "100 ready", .method = "INVITE");
	pass(f, 150);
	assert_int_equal(f->sent_count, 0);
	pass(f, 100);
	assert_int_equal(f->sent_count, 1);
	assert_string_equal(f->sent[0], "100 ready");
	pass(f, 100000);
	assert_int_equal(f->sent_count, 1);
}

static void
no_100_leaves_after_an_answer(void **state)
{
	struct fixture *f = *state;
	tx_id id = BEGIN(f, &f->udp, "100 ready", .method = "INVITE");

	assert_true(respond(f, id, 180));
	pass(f, 1000);
	assert_int_equal(f->sent_count, 1);
	assert_string_equal(f->sent[0], "response 180");
}

static void
timer_g_repeats_a_failure_until_timer_h(void **state)
{
	struct fixture *f = *state;
	static const struct {
		int64_t until;
		size_t sent;
	} schedule[] = { { 400, 1 }, { 900, 2 }, { 2500, 3 }, { 5500, 4 },
		{ 9500, 5 }, { 13500, 6 }, { 17500, 7 }, { 21500, 8 }, { 25500, 9 },
		{ 29500, 10 }, { 31850, 11 }, { 33000, 11 } };
	tx_id id = BEGIN(f, &f->udp, NULL, .method = "INVITE");
	int64_t now = 0;

	assert_true(respond(f, id, 486));
	for (size_t i = 0; i < sizeof schedule / sizeof *schedule; i++) {
		pass(f, schedule[i].until - now);
		now = schedule[i].until;
		if (f->sent_count != schedule[i].sent)
			fail_msg("after %d ms %zu were sent, not %zu", (int)now,
			    f->sent_count, schedule[i].sent);
	}
	assert_string_equal(f->told, "tg");
	for (size_t i = 0; i < f->sent_count; i++)
		assert_string_equal(f->sent[i], "response 486");
}

static void
over_tcp_a_failure_is_not_repeated_but_timer_h_runs(void **state)
{
	struct fixture *f = *state;
	tx_id id = BEGIN(f, &f->tcp, NULL, .method = "INVITE");

	assert_true(respond(f, id, 486));
	pass(f, 31800);
	assert_int_equal(f->sent_count, 1);
	assert_string_equal(f->told, "");
	pass(f, 400);
	assert_string_equal(f->told, "tg");
}

static void
an_ack_ends_the_repetitions_and_timer_i_the_transaction(void **state)
{
	struct fixture *f = *state;
	tx_id id = BEGIN(f, &f->udp, NULL, .method = "INVITE");

	respond(f, id, 486);
	pass(f, 700);
	assert_int_equal(f->sent_count, 2);
	assert_int_equal(COME(f, .method = "ACK", .to_tag = "x"), TX_ABSORBED);
	pass(f, 4800);
	assert_int_equal(COME(f, .method = "ACK", .to_tag = "x"), TX_ABSORBED);
	assert_int_equal(COME(f, .method = "INVITE"), TX_ABSORBED);
	assert_int_equal(f->sent_count, 2);
	assert_string_equal(f->told, "");
	pass(f, 400);
	assert_string_equal(f->told, "g");
	assert_int_equal(COME(f, .method = "ACK", .to_tag = "x"), TX_STRAY_ACK);
}

static void
over_tcp_an_ack_ends_it_at_once(void **state)
{
	struct fixture *f = *state;
	tx_id id = BEGIN(f, &f->tcp, NULL, .method = "INVITE");

	respond(f, id, 404);
	assert_int_equal(COME(f, .method = "ACK", .to_tag = "x"), TX_ABSORBED);
	assert_string_equal(f->told, "g");
}

static void
an_accepted_invite_absorbs_repetitions_and_passes_acks(void **state)
{
	struct fixture *f = *state;
	tx_id id = BEGIN(f, &f->udp, NULL, .method = "INVITE");

	assert_true(respond(f, id, 200));
	assert_int_equal(COME(f, .method = "INVITE"), TX_ABSORBED);
	assert_int_equal(f->sent_count, 1);
	assert_true(respond(f, id, 200)); /* the user repeats it itself */
	assert_int_equal(f->sent_count, 2);
	assert_false(respond(f, id, 486));
	assert_int_equal(COME(f, .method = "ACK"), TX_ABSORBED);
	assert_int_equal(COME(f, .method = "ACK"), TX_ABSORBED);
	assert_string_equal(f->told, "aa");
	pass(f, 31800);
	assert_string_equal(f->told, "aa");
	pass(f, 400);
	assert_string_equal(f->told, "aag");
	assert_int_equal(f->sent_count, 2);
}

static void
timer_l_runs_over_tcp_as_well(void **state)
{
	struct fixture *f = *state;
	tx_id id = BEGIN(f, &f->tcp, NULL, .method = "INVITE");

	assert_true(respond(f, id, 200));
	pass(f, 31800);
	assert_string_equal(f->told, "");
	pass(f, 400);
	assert_string_equal(f->told, "g");
}

static void
an_invite_repeated_before_its_answer_gets_the_last_provisional(void **state)
{
	struct fixture *f = *state;
	tx_id id = BEGIN(f, &f->udp, NULL, .method = "INVITE");

	assert_int_equal(COME(f, .method = "INVITE"), TX_ABSORBED);
	assert_int_equal(f->sent_count, 0);
	respond(f, id, 180);
	respond(f, id, 183);
	COME(f, .method = "INVITE");
	assert_int_equal(f->sent_count, 3);
	assert_string_equal(f->sent[2], "response 183");
}

static void
a_failure_that_cannot_leave_is_told_and_the_invite_absorbed_on(void **state)
{
	struct fixture *f = *state;
	tx_id id = BEGIN(f, &f->udp, NULL, .method = "INVITE");

	f->fails = true;
	respond(f, id, 486);
	turns_take(&f->turns);
	assert_string_equal(f->told, "x");
	f->fails = false;
	assert_int_equal(COME(f, .method = "INVITE"), TX_ABSORBED);
	assert_int_equal(f->sent_count, 1);
}

static void
an_ack_in_the_turn_of_a_failed_send_ends_it_all_the_same(void **state)
{
	struct fixture *f = *state;
	tx_id id = BEGIN(f, &f->tcp, NULL, .method = "INVITE");

	f->fails = true;
	respond(f, id, 486);
	COME(f, .method = "ACK", .to_tag = "x"); /* Confirmed; timer I is 0 */
	turns_take(&f->turns);
	turns_take(&f->turns);
	pass(f, 40000);
	assert_non_null(strchr(f->told, 'g'));
	assert_true(is_gone(f, id));
}

/* ---- which request belongs to which ---- */

static void
branch_sent_by_and_method_make_a_transaction(void **state)
{
	struct fixture *f = *state;

	BEGIN(f, &f->udp, NULL, .method = "OPTIONS", .call_id = "c1");
	/* the same, whatever else has changed */
	assert_int_equal(
	    COME(f, .method = "OPTIONS", .call_id = "c2", .cseq = 9), TX_ABSORBED);
	assert_int_equal(COME(f, .method = "OPTIONS", .host = "192.0.2.1",
	                     .from_tag = "9"),
	    TX_ABSORBED);
	/* others */
	assert_int_equal(
	    COME(f, .method = "OPTIONS", .call_id = "c3", .branch = "z9hG4bK2"),
	    TX_NEW);
	assert_int_equal(
	    COME(f, .method = "OPTIONS", .call_id = "c3", .branch = "z9hG4bK1x"),
	    TX_NEW);
	assert_int_equal(
	    COME(f, .method = "OPTIONS", .call_id = "c3", .host = "192.0.2.2"),
	    TX_NEW);
	assert_int_equal(
	    COME(f, .method = "OPTIONS", .call_id = "c3", .host = "192.0.2.1:5062"),
	    TX_NEW);
	assert_int_equal(COME(f, .method = "REGISTER", .call_id = "c3"), TX_NEW);
	assert_int_equal(COME(f, .method = "FOO", .call_id = "c3"), TX_NEW);
}

static void
sent_by_is_compared_without_case(void **state)
{
	struct fixture *f = *state;

	BEGIN(f, &f->udp, NULL, .method = "OPTIONS", .host = "Phone.Local:5062");
	assert_int_equal(
	    COME(f, .method = "OPTIONS", .host = "phone.LOCAL:5062"), TX_ABSORBED);
}

static void
unknown_methods_are_told_apart(void **state)
{
	struct fixture *f = *state;

	BEGIN(f, &f->udp, NULL, .method = "FOO");
	assert_int_equal(COME(f, .method = "FOO"), TX_ABSORBED);
	assert_int_equal(COME(f, .method = "BAR", .call_id = "x"), TX_NEW);
}

static void
very_long_branches_are_told_apart(void **state)
{
	struct fixture *f = *state;
	char one[601] = "z9hG4bK", two[601];

	memset(one + 7, 'x', sizeof one - 8);
	memcpy(two, one, sizeof two);
	two[sizeof two - 2] = 'y';
	BEGIN(f, &f->udp, NULL, .method = "OPTIONS", .branch = one);
	assert_int_equal(COME(f, .method = "OPTIONS", .branch = one),
	    TX_ABSORBED);
	assert_int_equal(
	    COME(f, .method = "OPTIONS", .branch = two, .call_id = "x"), TX_NEW);
}

static void
without_the_cookie_it_goes_by_rfc_2543(void **state)
{
	static const char *const branches[] = { "", "1", "z9hG4b", "z9hG4bK" };
	struct fixture *f = *state;

	for (size_t i = 0; i < 4; i++) {
		char call[16];

		snprintf(call, sizeof call, "old%zu", i);
		BEGIN(f, &f->udp, NULL, .method = "REGISTER", .branch = branches[i],
		    .call_id = call);
		assert_int_equal(COME(f, .method = "REGISTER",
		                     .branch = branches[i], .call_id = call),
		    TX_ABSORBED);
		/* each of these makes it another request */
		assert_int_equal(COME(f, .method = "REGISTER",
		                     .branch = branches[i], .call_id = "other"),
		    TX_NEW);
		assert_int_equal(COME(f, .method = "REGISTER",
		                     .branch = branches[i], .call_id = call,
		                     .cseq = 2),
		    TX_NEW);
		assert_int_equal(COME(f, .method = "REGISTER",
		                     .branch = branches[i], .call_id = call,
		                     .from_tag = "2"),
		    TX_NEW);
		assert_int_equal(COME(f, .method = "REGISTER",
		                     .branch = branches[i], .call_id = call,
		                     .uri = "sip:other", .to_tag = "x"),
		    TX_NEW);
		assert_int_equal(COME(f, .method = "REGISTER",
		                     .branch = branches[i], .call_id = call,
		                     .host = "192.0.2.9", .to_tag = "x"),
		    TX_NEW);
	}
}

static void
an_rfc_2543_ack_finds_its_invite(void **state)
{
	struct fixture *f = *state;
	tx_id id = BEGIN(f, &f->udp, NULL, .method = "INVITE", .branch = "");

	respond(f, id, 486);
	assert_int_equal(
	    COME(f, .method = "ACK", .branch = "", .to_tag = "x"), TX_ABSORBED);
	pass(f, 3000);
	assert_int_equal(f->sent_count, 1); /* no repetition: it was heard */
}

static void
an_rfc_2543_ack_to_a_2xx_reaches_the_user(void **state)
{
	struct fixture *f = *state;
	tx_id id = BEGIN(f, &f->udp, NULL, .method = "INVITE", .branch = "");

	/* RFC 6026 section 6 */
	respond(f, id, 200);
	assert_int_equal(
	    COME(f, .method = "ACK", .branch = "", .to_tag = "x"), TX_ABSORBED);
	assert_string_equal(f->told, "a");
}

static void
an_ack_alone_is_a_stray(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(COME(f, .method = "ACK"), TX_STRAY_ACK);
	BEGIN(f, &f->udp, NULL, .method = "OPTIONS");
	assert_int_equal(COME(f, .method = "ACK"), TX_STRAY_ACK);
}

static void
the_same_request_by_two_ways_is_merged(void **state)
{
	struct fixture *f = *state;

	BEGIN(f, &f->udp, NULL, .method = "REGISTER");
	assert_int_equal(COME(f, .method = "REGISTER", .branch = "z9hG4bK2"),
	    TX_MERGED);
	assert_int_equal(
	    COME(f, .method = "REGISTER", .branch = "z9hG4bK2", .cseq = 2),
	    TX_NEW);
	assert_int_equal(COME(f, .method = "REGISTER", .branch = "z9hG4bK2",
	                     .call_id = "other"),
	    TX_NEW);
	assert_int_equal(COME(f, .method = "REGISTER", .branch = "z9hG4bK2",
	                     .from_tag = "other"),
	    TX_NEW);
	/* within a dialog nothing is merged */
	assert_int_equal(COME(f, .method = "REGISTER", .branch = "z9hG4bK2",
	                     .to_tag = "x"),
	    TX_NEW);
}

static void
nothing_is_merged_with_what_is_over(void **state)
{
	struct fixture *f = *state;
	tx_id id = BEGIN(f, &f->udp, NULL, .method = "REGISTER");

	respond(f, id, 200);
	pass(f, 33000);
	assert_int_equal(COME(f, .method = "REGISTER", .branch = "z9hG4bK2"),
	    TX_NEW);
}

static void
a_cancel_finds_what_it_is_for(void **state)
{
	struct fixture *f = *state;
	struct tx_match match;
	tx_id id = BEGIN(f, &f->udp, NULL, .method = "INVITE");

	assert_int_equal(come(f, (struct come){ .method = "CANCEL", .cseq = 1,
	                             .branch = "z9hG4bK1" }, &match),
	    TX_NEW);
	assert_int_equal(tx_cancelled_by(f->table, f->m, &match),
	    id);
	assert_int_equal(come(f, (struct come){ .method = "CANCEL", .cseq = 1,
	                             .branch = "z9hG4bK2", .call_id = "c9" },
	                     &match),
	    TX_NEW);
	assert_int_equal(tx_cancelled_by(f->table, f->m, &match),
	    TX_NONE);
}

static void
a_cancel_has_a_transaction_of_its_own(void **state)
{
	struct fixture *f = *state;
	tx_id invite = BEGIN(f, &f->udp, NULL, .method = "INVITE");
	tx_id cancel = BEGIN(f, &f->udp, NULL, .method = "CANCEL");

	assert_true(invite != cancel);
	assert_true(respond(f, cancel, 200));
	assert_int_equal(COME(f, .method = "CANCEL"), TX_ABSORBED);
	assert_true(respond(f, invite, 487));
	assert_int_equal(f->sent_count, 3);
	assert_int_equal(COME(f, .method = "ACK", .to_tag = "x"), TX_ABSORBED);
	pass(f, 3000);
	assert_int_equal(f->sent_count, 3);
}

/* ---- limits and the end ---- */

static void
beyond_the_limit_there_is_no_transaction(void **state)
{
	struct fixture *f = *state;
	struct tx_match match;
	tx_id id;
	char branch[TX_BRANCH_SIZE];

	tx_table_limit(f->table, 2);
	id = BEGIN(f, &f->udp, NULL, .method = "REGISTER", .branch = "z9hG4bKa");
	BEGIN(f, &f->udp, NULL, .method = "REGISTER", .branch = "z9hG4bKb",
	    .cseq = 2);
	assert_int_equal(come(f, (struct come){ .method = "REGISTER", .cseq = 3,
	                             .branch = "z9hG4bKc" }, &match),
	    TX_NEW);
	assert_int_equal(tx_server_new(f->table, f->m, &match,
	                     &f->udp, STR_NONE, &user, f),
	    TX_NONE);
	assert_false(tx_answer(f->table, f->m, &match, &f->udp, 200,
	    STR("x")));
	assert_int_equal(f->sent_count, 0);
	assert_int_equal(tx_client_new(f->table, METHOD_OPTIONS, &user, f, branch),
	    TX_NONE);
	respond(f, id, 200);
	pass(f, 33000);
	assert_int_not_equal(
	    tx_client_new(f->table, METHOD_OPTIONS, &user, f, branch), TX_NONE);
}

static void
gauges_go_up_and_down(void **state)
{
	struct fixture *f = *state;
	int64_t servers = count_total(COUNT_transactions_server);
	int64_t pending = count_total(COUNT_transactions_pending);
	tx_id id = BEGIN(f, &f->udp, NULL, .method = "REGISTER");

	assert_int_equal(count_total(COUNT_transactions_server), servers + 1);
	assert_int_equal(count_total(COUNT_transactions_pending), pending + 1);
	respond(f, id, 200);
	assert_int_equal(count_total(COUNT_transactions_pending), pending);
	pass(f, 33000);
	assert_int_equal(count_total(COUNT_transactions_server), servers);
}

static void
a_table_ends_with_all_that_is_in_it(void **state)
{
	struct fixture *f = *state;
	char branch[TX_BRANCH_SIZE];
	tx_id id;

	for (int i = 0; i < 20; i++) {
		char b[32];

		snprintf(b, sizeof b, "z9hG4bK%d", i);
		id = BEGIN(f, &f->udp, "100", .method = i % 2 ? "INVITE" : "INFO",
		    .branch = b, .cseq = (unsigned)i + 1);
		if (i % 3 == 0)
			respond(f, id, 486);
	}
	id = tx_client_new(f->table, METHOD_INVITE, &user, f, branch);
	f->fails = true; /* with a failure that is still to be told */
	tx_client_start(f->table, id, &f->udp, STR("x"));
	tx_table_free(f->table);
	f->table_freed = true;
	pass(f, 100000);
	assert_string_equal(f->told, ""); /* nobody is told any more */
}

/* ---- clients ---- */

struct client {
	tx_id id;
	char branch[TX_BRANCH_SIZE];
	const char *method;
	enum sip_method which;
};

static struct client
start(struct fixture *f, const char *method, const struct hop *hop)
{
	struct client c = { .method = method,
		.which = strcmp(method, "INVITE") == 0 ? METHOD_INVITE
		                                       : METHOD_OPTIONS };
	char text[1024];
	int n;

	c.id = tx_client_new(f->table, c.which, &user, f, c.branch);
	assert_int_not_equal(c.id, TX_NONE);
	n = snprintf(text, sizeof text,
	    "%s sip:b@c SIP/2.0\r\nVia: SIP/2.0/UDP us;branch=%s\r\n"
	    "Max-Forwards: 5\r\nRoute: <sip:r;lr>\r\n"
	    "From: <sip:a@b>;tag=1\r\nTo: <sip:b@c>\r\nCall-ID: k\r\n"
	    "CSeq: 314 %s\r\n\r\n",
	    method, c.branch, method);
	tx_client_start(f->table, c.id, hop, (struct str){ text, (size_t)n });
	return c;
}

static bool
respond_to(struct fixture *f, const struct client *c, unsigned status,
    const char *to_tag)
{
	const struct sip_message *m;
	int n = snprintf(f->request, sizeof f->request,
	    "SIP/2.0 %u X\r\nVia: SIP/2.0/UDP us;branch=%s\r\n"
	    "From: <sip:a@b>;tag=1\r\nTo: <sip:b@c>;tag=%s\r\nCall-ID: k\r\n"
	    "CSeq: 314 %s\r\n\r\n",
	    status, c->branch, to_tag, c->method);

	m = sip_parser_read(f->parser, (struct str){ f->request, (size_t)n });
	assert_int_equal(m->fault.status, 0);
	return tx_receive_response(f->table, m);
}

static void
check_schedule(struct fixture *f, const int64_t *until, size_t n)
{
	int64_t now = 0;

	for (size_t i = 0; i < n; i++) {
		pass(f, until[i] - now);
		now = until[i];
		if (f->sent_count != i + 1)
			fail_msg("after %d ms %zu were sent, not %zu", (int)now,
			    f->sent_count, i + 1);
	}
	for (size_t i = 1; i < f->sent_count; i++)
		assert_string_equal(f->sent[i], f->sent[0]);
}

static void
timer_a_repeats_an_invite_until_timer_b(void **state)
{
	struct fixture *f = *state;
	static const int64_t until[] = { 450, 1400, 3400, 7300, 15200, 31200,
		31850 };

	start(f, "INVITE", &f->udp);
	check_schedule(f, until, 7); /* at 0, 0.5, 1.5, 3.5, 7.5, 15.5, 31.5 s */
	assert_string_equal(f->told, "");
	pass(f, 400);
	assert_string_equal(f->told, "tg");
	pass(f, 100000);
	assert_int_equal(f->sent_count, 7);
}

static void
timer_e_repeats_a_request_until_timer_f(void **state)
{
	struct fixture *f = *state;
	static const int64_t until[] = { 450, 1400, 3400, 7300, 11300, 15300,
		19300, 23300, 27200, 31200, 31850 };

	start(f, "OPTIONS", &f->udp);
	check_schedule(f, until, 11); /* up to every 4 s: RFC 3261 17.1.2.2 */
	pass(f, 400);
	assert_string_equal(f->told, "tg");
	assert_int_equal(f->sent_count, 11);
}

static void
over_tcp_nothing_is_repeated_but_it_times_out(void **state)
{
	struct fixture *f = *state;

	start(f, "INVITE", &f->tcp);
	start(f, "OPTIONS", &f->tcp);
	pass(f, 31800);
	assert_int_equal(f->sent_count, 2);
	assert_string_equal(f->told, "");
	pass(f, 400);
	assert_int_equal(f->sent_count, 2);
	assert_int_equal(f->told_count, 4);
}

static void
a_provisional_response_ends_the_repetitions_of_an_invite(void **state)
{
	struct fixture *f = *state;
	struct client c = start(f, "INVITE", &f->udp);

	assert_true(respond_to(f, &c, 180, "x"));
	assert_true(respond_to(f, &c, 183, "x"));
	assert_string_equal(f->told, "rr");
	pass(f, 100000); /* how long is up to the user */
	assert_int_equal(f->sent_count, 1);
	assert_string_equal(f->told, "rr");
}

static void
after_a_provisional_response_a_request_is_repeated_each_4_s(void **state)
{
	struct fixture *f = *state;
	struct client c = start(f, "OPTIONS", &f->udp);

	pass(f, 100);
	assert_true(respond_to(f, &c, 100, "x"));
	/* timer E runs on as it was set, then for T2: 0.5, 4.5, ... 28.5 s */
	pass(f, 3900);
	assert_int_equal(f->sent_count, 2);
	pass(f, 1000);
	assert_int_equal(f->sent_count, 3);
	pass(f, 25000);
	assert_int_equal(f->sent_count, 9);
	pass(f, 2300);
	assert_string_equal(f->told, "rtg");
}

static void
a_failure_of_an_invite_is_told_once_and_acked_each_time(void **state)
{
	struct fixture *f = *state;
	struct client c = start(f, "INVITE", &f->udp);
	char expected[1024];

	snprintf(expected, sizeof expected,
	    "ACK sip:b@c SIP/2.0\r\nVia: SIP/2.0/UDP us;branch=%s\r\n"
	    "Max-Forwards: 70\r\nRoute: <sip:r;lr>\r\n"
	    "From: <sip:a@b>;tag=1\r\nTo: <sip:b@c>;tag=theirs\r\nCall-ID: k\r\n"
	    "CSeq: 314 ACK\r\nContent-Length: 0\r\n\r\n",
	    c.branch);
	for (size_t i = 1; i <= 3; i++) {
		assert_true(respond_to(f, &c, 486, "theirs"));
		assert_int_equal(f->sent_count, i + 1);
		assert_string_equal(f->sent[i], expected);
	}
	assert_string_equal(f->told, "r");
	assert_int_equal(f->last_status, 486);
	pass(f, 31800);
	assert_true(respond_to(f, &c, 486, "theirs"));
	pass(f, 400);
	assert_string_equal(f->told, "rg");
	assert_int_equal(f->sent_count, 5);
	assert_false(respond_to(f, &c, 486, "theirs"));
}

static void
over_tcp_timer_d_is_zero(void **state)
{
	struct fixture *f = *state;
	struct client c = start(f, "INVITE", &f->tcp);

	assert_true(respond_to(f, &c, 603, "x"));
	assert_int_equal(f->sent_count, 2);
	assert_string_equal(f->told, "rg");
}

static void
every_2xx_of_an_invite_is_told_for_32_s(void **state)
{
	struct fixture *f = *state;
	struct client c = start(f, "INVITE", &f->udp);

	assert_true(respond_to(f, &c, 200, "x"));
	assert_true(respond_to(f, &c, 200, "y")); /* another branch of a fork */
	assert_true(respond_to(f, &c, 486, "z"));
	assert_string_equal(f->told, "rr");
	assert_int_equal(f->sent_count, 1); /* the ACK is the user's */
	pass(f, 31800);
	assert_true(respond_to(f, &c, 200, "x"));
	pass(f, 400);
	assert_string_equal(f->told, "rrrg");
}

static void
a_final_response_is_told_once_and_absorbed_for_5_s(void **state)
{
	struct fixture *f = *state;
	struct client c = start(f, "OPTIONS", &f->udp);

	assert_true(respond_to(f, &c, 200, "x"));
	assert_true(respond_to(f, &c, 200, "x"));
	assert_true(respond_to(f, &c, 404, "x"));
	assert_string_equal(f->told, "r");
	pass(f, 4800);
	assert_true(respond_to(f, &c, 200, "x"));
	assert_string_equal(f->told, "r");
	pass(f, 400);
	assert_string_equal(f->told, "rg");
	assert_int_equal(f->sent_count, 1);
}

static void
over_tcp_timer_k_is_zero(void **state)
{
	struct fixture *f = *state;
	struct client c = start(f, "OPTIONS", &f->tcp);

	assert_true(respond_to(f, &c, 200, "x"));
	assert_string_equal(f->told, "rg");
	assert_false(respond_to(f, &c, 200, "x"));
}

static void
a_request_that_cannot_leave_fails_later(void **state)
{
	struct fixture *f = *state;

	f->fails = true;
	start(f, "OPTIONS", &f->udp);
	start(f, "INVITE", &f->tcp);
	assert_string_equal(f->told, "");
	turns_take(&f->turns);
	turns_take(&f->turns);
	assert_string_equal(f->told, "xgxg");
}

static void
a_response_in_the_turn_of_a_failed_send_ends_it_all_the_same(void **state)
{
	struct fixture *f = *state;
	struct client c;

	f->fails = true;
	c = start(f, "OPTIONS", &f->tcp);
	assert_true(respond_to(f, &c, 200, "x")); /* Completed; timer K is 0 */
	turns_take(&f->turns);
	turns_take(&f->turns);
	pass(f, 40000);
	assert_non_null(strchr(f->told, 'g'));
	assert_false(respond_to(f, &c, 200, "x"));
}

static void
an_ack_that_cannot_leave_is_told(void **state)
{
	struct fixture *f = *state;
	struct client c = start(f, "INVITE", &f->udp);

	f->fails = true;
	assert_true(respond_to(f, &c, 486, "x"));
	turns_take(&f->turns);
	turns_take(&f->turns);
	assert_string_equal(f->told, "rxg");
}

static void
a_flow_that_closes_fails_what_waits_on_it(void **state)
{
	struct fixture *f = *state;

	start(f, "OPTIONS", &f->tcp);
	start(f, "INVITE", &f->udp);
	tx_flow_closed(f->table, f->tcp.flow);
	assert_string_equal(f->told, "xg");
	tx_flow_closed(f->table, 99);
	assert_string_equal(f->told, "xg");
}

static void
a_response_must_have_our_branch_and_method(void **state)
{
	struct fixture *f = *state;
	struct client c = start(f, "OPTIONS", &f->udp), other = c;

	for (size_t i = 0; c.branch[i] != '\0'; i++) {
		other = c;
		other.branch[i] = c.branch[i] == '1' ? '2' : '1';
		assert_false(respond_to(f, &other, 200, "x"));
	}
	other = c;
	strcpy(other.branch, "z9hG4bK");
	assert_false(respond_to(f, &other, 200, "x"));
	other = c;
	other.method = "INVITE";
	assert_false(respond_to(f, &other, 200, "x"));
	assert_string_equal(f->told, "");
	assert_true(respond_to(f, &c, 200, "x"));
}

static void
branches_differ_and_have_the_cookie(void **state)
{
	struct fixture *f = *state;
	char branches[50][TX_BRANCH_SIZE];

	for (int i = 0; i < 50; i++) {
		assert_int_not_equal(tx_client_new(f->table, METHOD_OPTIONS, &user,
		                         f, branches[i]),
		    TX_NONE);
		assert_memory_equal(branches[i], "z9hG4bK", 7);
		for (int j = 0; j < i; j++)
			assert_string_not_equal(branches[i], branches[j]);
	}
}

static void
a_branch_that_was_not_used_is_given_back(void **state)
{
	struct fixture *f = *state;
	char branch[TX_BRANCH_SIZE];
	int64_t clients = count_total(COUNT_transactions_client);
	tx_id id = tx_client_new(f->table, METHOD_OPTIONS, &user, f, branch);
	struct client c = { .method = "OPTIONS" };

	memcpy(c.branch, branch, sizeof branch);
	assert_false(respond_to(f, &c, 200, "x")); /* nothing was asked */
	tx_client_drop(f->table, id);
	tx_client_drop(f->table, id);
	assert_string_equal(f->told, "");
	assert_int_equal(count_total(COUNT_transactions_client), clients);
	assert_false(tx_client_start(f->table, id, &f->udp, STR("x")));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_request_is_new_until_it_has_a_transaction),
		TEST(a_repetition_gets_the_last_response_again),
		TEST(a_second_final_response_is_refused),
		TEST(timer_j_ends_an_answered_request_over_udp),
		TEST(over_tcp_an_answered_request_ends_at_once),
		TEST(answering_in_one_keeps_a_transaction_where_it_is_needed),
		TEST(a_response_that_cannot_leave_ends_the_transaction),
		TEST(over_tcp_too),
		TEST(a_100_leaves_after_200_ms_without_an_answer),
		TEST(no_100_leaves_after_an_answer),
		TEST(timer_g_repeats_a_failure_until_timer_h),
		TEST(over_tcp_a_failure_is_not_repeated_but_timer_h_runs),
		TEST(an_ack_ends_the_repetitions_and_timer_i_the_transaction),
		TEST(over_tcp_an_ack_ends_it_at_once),
		TEST(an_accepted_invite_absorbs_repetitions_and_passes_acks),
		TEST(timer_l_runs_over_tcp_as_well),
		TEST(an_invite_repeated_before_its_answer_gets_the_last_provisional),
		TEST(a_failure_that_cannot_leave_is_told_and_the_invite_absorbed_on),
		TEST(an_ack_in_the_turn_of_a_failed_send_ends_it_all_the_same),
		TEST(branch_sent_by_and_method_make_a_transaction),
		TEST(sent_by_is_compared_without_case),
		TEST(unknown_methods_are_told_apart),
		TEST(very_long_branches_are_told_apart),
		TEST(without_the_cookie_it_goes_by_rfc_2543),
		TEST(an_rfc_2543_ack_finds_its_invite),
		TEST(an_rfc_2543_ack_to_a_2xx_reaches_the_user),
		TEST(an_ack_alone_is_a_stray),
		TEST(the_same_request_by_two_ways_is_merged),
		TEST(nothing_is_merged_with_what_is_over),
		TEST(a_cancel_finds_what_it_is_for),
		TEST(a_cancel_has_a_transaction_of_its_own),
		TEST(beyond_the_limit_there_is_no_transaction),
		TEST(gauges_go_up_and_down),
		TEST(a_table_ends_with_all_that_is_in_it),
		TEST(timer_a_repeats_an_invite_until_timer_b),
		TEST(timer_e_repeats_a_request_until_timer_f),
		TEST(over_tcp_nothing_is_repeated_but_it_times_out),
		TEST(a_provisional_response_ends_the_repetitions_of_an_invite),
		TEST(after_a_provisional_response_a_request_is_repeated_each_4_s),
		TEST(a_failure_of_an_invite_is_told_once_and_acked_each_time),
		TEST(over_tcp_timer_d_is_zero),
		TEST(every_2xx_of_an_invite_is_told_for_32_s),
		TEST(a_final_response_is_told_once_and_absorbed_for_5_s),
		TEST(over_tcp_timer_k_is_zero),
		TEST(a_request_that_cannot_leave_fails_later),
		TEST(a_response_in_the_turn_of_a_failed_send_ends_it_all_the_same),
		TEST(an_ack_that_cannot_leave_is_told),
		TEST(a_flow_that_closes_fails_what_waits_on_it),
		TEST(a_response_must_have_our_branch_and_method),
		TEST(branches_differ_and_have_the_cookie),
		TEST(a_branch_that_was_not_used_is_given_back),
	};

	return cmocka_run_group_tests_name("transaction/transaction", tests, NULL,
	    NULL);
}
