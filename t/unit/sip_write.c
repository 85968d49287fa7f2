/* Answers and ACKs as text; each must be readable by the same parser. */
#include "config.h"

#include "message.h"

struct writing {
	char text[8192];
	struct str all;
};

static struct addr
peer_at(const char *host, uint16_t port)
{
	struct addr addr;

	assert_true(addr_parse(str_of(host), port, &addr));
	return addr;
}

/* The whole answer to the message that was read last. */
static struct str
answer(struct parsing *p, struct writing *w, unsigned status,
    const char *to_tag, const char *host, uint16_t port)
{
	struct out out = out_to(w->text, sizeof w->text);
	struct addr peer = peer_at(host, port);

	sip_begin_reply(&out, p->m, status, sip_reason(status), str_of(to_tag),
	    &peer);
	sip_end(&out, STR_NONE);
	assert_false(out.full);
	w->all = out_str(&out);
	return w->all;
}

/* A line of what was written, by the start of it; without its end. */
static const char *
line_of(const struct writing *w, const char *start)
{
	static char line[2048];
	const char *at = memmem(w->all.p, w->all.n, start, strlen(start));
	const char *end;

	assert_for(start, at != NULL);
	assert_for(start, at == w->all.p || at[-1] == '\n');
	end = memmem(at, (size_t)(w->all.p + w->all.n - at), "\r\n", 2);
	assert_non_null(end);
	snprintf(line, sizeof line, "%.*s", (int)(end - at), at);
	return line;
}

static bool
holds(const struct writing *w, const char *text)
{
	return memmem(w->all.p, w->all.n, text, strlen(text)) != NULL;
}

static void
an_answer_copies_what_it_must(void **state)
{
	struct parsing *p = *state;
	struct writing w;

	parse_with(p, NULL, NULL);
	assert_str(answer(p, &w, 200, "t1", "192.0.2.1", 5062),
	    "SIP/2.0 200 OK\r\n"
	    "Via: SIP/2.0/UDP 192.0.2.1:5062;branch=z9hG4bKbase;rport=5062"
	    ";received=192.0.2.1\r\n"
	    "From: \"Alice\" <sip:alice@example.com>;tag=f1\r\n"
	    "To: <sip:alice@example.com>;tag=t1\r\n"
	    "Call-ID: c1@192.0.2.1\r\n"
	    "CSeq: 7 REGISTER\r\n"
	    "Content-Length: 0\r\n\r\n");
}

static void
received_and_rport_tell_where_it_came_from(void **state)
{
	struct parsing *p = *state;
	struct writing w;

	parse_with(p, NULL, NULL);
	answer(p, &w, 200, "", "203.0.113.9", 40000);
	assert_string_equal(line_of(&w, "Via:"),
	    "Via: SIP/2.0/UDP 192.0.2.1:5062;branch=z9hG4bKbase;rport=40000"
	    ";received=203.0.113.9");
}

static void
received_stands_when_sent_by_is_a_name_or_another_host(void **state)
{
	struct parsing *p = *state;
	struct writing w;

	parse_with(p, "Via:", "Via: SIP/2.0/UDP phone.local;branch=z9hG4bK1\r\n");
	answer(p, &w, 200, "", "192.0.2.1", 5060);
	assert_string_equal(line_of(&w, "Via:"),
	    "Via: SIP/2.0/UDP phone.local;branch=z9hG4bK1;received=192.0.2.1");
	parse_with(p, "Via:", "Via: SIP/2.0/UDP 192.0.2.7;branch=z9hG4bK1\r\n");
	answer(p, &w, 200, "", "192.0.2.1", 5060);
	assert_string_equal(line_of(&w, "Via:"),
	    "Via: SIP/2.0/UDP 192.0.2.7;branch=z9hG4bK1;received=192.0.2.1");
}

static void
nothing_is_added_when_sent_by_is_right_and_nobody_asked(void **state)
{
	struct parsing *p = *state;
	struct writing w;

	parse_with(p, "Via:", "Via: SIP/2.0/TCP 192.0.2.1:99;branch=z9hG4bK1\r\n");
	answer(p, &w, 200, "", "192.0.2.1", 5060);
	assert_string_equal(line_of(&w, "Via:"),
	    "Via: SIP/2.0/TCP 192.0.2.1:99;branch=z9hG4bK1");
}

static void
what_a_request_says_of_our_view_is_replaced(void **state)
{
	struct parsing *p = *state;
	struct writing w;

	parse_with(p, "Via:", "Via: SIP/2.0/UDP 192.0.2.1;received=6.6.6.6"
	                      ";branch=z9hG4bK1;rport=666;x=\"a;b\"\r\n");
	answer(p, &w, 200, "", "192.0.2.1", 5060);
	assert_string_equal(line_of(&w, "Via:"),
	    "Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1;rport=5060;x=\"a;b\""
	    ";received=192.0.2.1");
}

static void
ipv6_is_told_without_brackets_in_received(void **state)
{
	struct parsing *p = *state;
	struct writing w;

	parse_with(p, "Via:",
	    "Via: SIP/2.0/UDP [2001:db8::1]:5060;branch=z9hG4bK1;rport\r\n");
	answer(p, &w, 200, "", "2001:db8::2", 5070);
	assert_string_equal(line_of(&w, "Via:"),
	    "Via: SIP/2.0/UDP [2001:db8::1]:5060;branch=z9hG4bK1;rport=5070"
	    ";received=2001:db8::2");
}

static void
all_vias_are_given_back_in_order(void **state)
{
	struct parsing *p = *state;
	struct writing w;
	const char *first;

	parse_with(p, "Via:",
	    "v: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1 , SIP/2.0/TCP b;branch=2\r\n"
	    "Subject: between\r\n"
	    "Via:SIP/2.0/TLS c\r\n ;branch=3\r\n");
	answer(p, &w, 200, "", "192.0.2.1", 5060);
	first = line_of(&w, "Via: ");
	assert_string_equal(first, "Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1, "
	                           "SIP/2.0/TCP b;branch=2");
	assert_true(holds(&w, "\r\nVia:SIP/2.0/TLS c\r\n ;branch=3\r\n"));
}

static void
a_to_tag_is_added_once(void **state)
{
	struct parsing *p = *state;
	struct writing w;

	parse_with(p, "To:", "t :<sip:a@b>;x=1  \r\n");
	answer(p, &w, 200, "new", "192.0.2.1", 5062);
	assert_string_equal(line_of(&w, "t :"), "t :<sip:a@b>;x=1;tag=new");
	parse_with(p, "To:", "To: <sip:a@b>;tag=old\r\n");
	answer(p, &w, 200, "new", "192.0.2.1", 5062);
	assert_string_equal(line_of(&w, "To:"), "To: <sip:a@b>;tag=old");
	parse_with(p, "To:", "To: <sip:a@b>\r\n");
	answer(p, &w, 100, "", "192.0.2.1", 5062);
	assert_string_equal(line_of(&w, "To:"), "To: <sip:a@b>");
}

static void
folds_are_copied_as_they_are(void **state)
{
	struct parsing *p = *state;
	struct writing w;

	parse_with(p, "From:", "From: \"A\"\r\n <sip:a@b>;\r\n\ttag=f1\r\n");
	answer(p, &w, 200, "x", "192.0.2.1", 5062);
	assert_true(holds(&w, "From: \"A\"\r\n <sip:a@b>;\r\n\ttag=f1\r\n"));
}

static void
an_answer_can_be_read_and_belongs_to_its_request(void **state)
{
	static const char *const vias[] = {
		"Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKx\r\n",
		"Via: SIP / 2.0 / UDP  h : 5070 ; branch = z9hG4bKx ; rport\r\n",
		"Via: SIP/2.0/UDP h;ttl=1;maddr=224.0.0.1;branch=z9hG4bKx\r\n",
		"Via: SIP/2.0/UDP h\r\n ;branch=z9hG4bKx\r\n",
		"Via: SIP/2.0/UDP h;hidden;branch=z9hG4bKx\r\n",
		"Via: SIP/2.0/UDP h;x=\"a,b\";branch=z9hG4bKx, SIP/2.0/UDP i\r\n",
		"Via: SIP/2.0/UDP h (comment);branch=z9hG4bKx\r\n",
		"Via: SIP/2.0/UDP h;branch=z9hG4bKx (comment)\r\n",
		"Via: SIP/2.0/UDP h;;branch=z9hG4bKx\r\n",
		"Via: SIP/2.0/UDP h;x=;branch=z9hG4bKx\r\n",
		"Via: SIP/2.0/UDP h; ;branch=z9hG4bKx\r\n",
		"Via: SIP/2.0/UDP h;rport=;branch=z9hG4bKx\r\n",
		"Via: SIP/2.0/UDP h;rport;rport;branch=z9hG4bKx\r\n",
		"Via: SIP/2.0/UDP h;x=<y>;branch=z9hG4bKx\r\n",
		"Via: SIP/2.0/UDP h;x=[::1];branch=z9hG4bKx\r\n",
		"Via: SIP/2.0/UDP h:5060;received=::1;branch=z9hG4bKx\r\n",
	};
	struct parsing *p = *state;

	for (size_t i = 0; i < sizeof vias / sizeof *vias; i++) {
		struct writing w;
		struct sip_message *m = parse_with(p, "Via:", vias[i]);

		if (m->fault.status != 0)
			continue; /* refused: fine as well */
		assert_str(m->via.branch, "z9hG4bKx");
		answer(p, &w, 200, "t", "198.51.100.1", 1234);
		m = parse_bytes(p, w.all.p, w.all.n);
		if (m->fault.status != 0)
			fail_msg("%s: its answer is refused: %s", vias[i],
			    m->fault.reason);
		if (!str_eq(m->via.branch, STR("z9hG4bKx")))
			fail_msg("%s: its answer lost the branch", vias[i]);
	}
}

static void
an_answer_that_does_not_fit_is_known_to_be_cut(void **state)
{
	struct parsing *p = *state;
	struct addr peer = peer_at("192.0.2.1", 5060);
	char small[200];

	parse_with(p, NULL, NULL);
	for (size_t size = 0; size < sizeof small; size++) {
		struct out out = out_to(small, size);

		sip_begin_reply(&out, p->m, 200, "OK", STR("t"), &peer);
		sip_end(&out, STR_NONE);
		assert_true(out.full);
	}
}

static void
a_body_is_counted(void **state)
{
	char text[64];
	struct out out = out_to(text, sizeof text);

	(void)state;
	sip_end(&out, STR("hello"));
	assert_str(out_str(&out), "Content-Length: 5\r\n\r\nhello");
}

static void
a_broken_request_is_answered_with_what_there_is(void **state)
{
	static const char *const lines[][2] = {
		{ "From:", NULL }, { "To:", NULL }, { "Call-ID:", NULL },
		{ "CSeq:", NULL }, { "To:", "To: <<>>\r\n" },
		{ "CSeq:", "CSeq: x\r\n" }, { "Via:", "Via: SIP/2.0/UDP\r\n" },
		{ "Via:", "Via: SIP/2.0/UDP h:99999;branch=z9hG4bK1\r\n" },
	};
	struct parsing *p = *state;

	for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
		struct writing w;
		struct sip_message *m = parse_with(p, lines[i][0], lines[i][1]);

		assert_int_equal(m->fault.status, 400);
		if (!m->answerable)
			continue;
		answer(p, &w, 400, "t", "192.0.2.1", 5060);
		assert_true(str_starts(w.all, STR("SIP/2.0 400 ")));
		assert_true(holds(&w, "\r\nVia:"));
	}
}

/* ---- where an answer goes ---- */

static void
an_answer_goes_to_rport_or_to_sent_by(void **state)
{
	struct parsing *p = *state;
	struct addr peer = peer_at("192.0.2.1", 40000);

	parse_with(p, NULL, NULL);
	assert_int_equal(sip_reply_port(p->m, &peer), 40000);
	parse_with(p, "Via:", "Via: SIP/2.0/UDP h:5070;branch=z9hG4bK1\r\n");
	assert_int_equal(sip_reply_port(p->m, &peer), 5070);
	parse_with(p, "Via:", "Via: SIP/2.0/UDP h;branch=z9hG4bK1\r\n");
	assert_int_equal(sip_reply_port(p->m, &peer), 5060);
	parse_with(p, "Via:", "Via: SIP/2.0/UDP h;branch=z9hG4bK1;rport=1\r\n");
	assert_int_equal(sip_reply_port(p->m, &peer), 40000);
}

/* ---- ACK, RFC 3261 17.1.1.3 ---- */

static void
an_ack_is_made_of_the_invite_and_the_responses_to(void **state)
{
	static const char invite[] =
	    "INVITE sip:bob@biloxi.com SIP/2.0\r\n"
	    "Via: SIP/2.0/UDP pc33.atlanta.com;branch=z9hG4bKkjshdyff, "
	    "SIP/2.0/UDP other;branch=z9hG4bKother\r\n"
	    "Via: SIP/2.0/UDP third\r\n"
	    "To: Bob <sip:bob@biloxi.com>\r\n"
	    "From: Alice <sip:alice@atlanta.com>;tag=88sja8x\r\n"
	    "Max-Forwards: 12\r\n"
	    "Call-ID: 987asjd97y7atg\r\n"
	    "Route: <sip:p1;lr>\r\nRoute: <sip:p2;lr>,\r\n <sip:p3;lr>\r\n"
	    "Contact: <sip:alice@pc33>\r\n"
	    "CSeq: 986759 INVITE\r\nContent-Length: 0\r\n\r\n";
	static const char response[] =
	    "SIP/2.0 486 Busy Here\r\n"
	    "Via: SIP/2.0/UDP pc33.atlanta.com;branch=z9hG4bKkjshdyff\r\n"
	    "To: Bob <sip:bob@biloxi.com>;tag=b7\r\n"
	    "From: Alice <sip:alice@atlanta.com>;tag=88sja8x\r\n"
	    "Call-ID: 987asjd97y7atg\r\n"
	    "CSeq: 986759 INVITE\r\n\r\n";
	struct parsing *p = *state;
	struct sip_parser *other = sip_parser_new();
	char text[2048];
	struct out out = out_to(text, sizeof text);
	struct sip_message *a = sip_parser_read(p->parser, str_of(invite));
	struct sip_message *b = sip_parser_read(other, str_of(response));

	assert_int_equal(a->fault.status, 0);
	assert_int_equal(b->fault.status, 0);
	sip_write_ack(&out, a, b);
	assert_false(out.full);
	assert_str(out_str(&out),
	    "ACK sip:bob@biloxi.com SIP/2.0\r\n"
	    "Via: SIP/2.0/UDP pc33.atlanta.com;branch=z9hG4bKkjshdyff\r\n"
	    "Max-Forwards: 70\r\n"
	    "Route: <sip:p1;lr>\r\nRoute: <sip:p2;lr>,\r\n <sip:p3;lr>\r\n"
	    "From: Alice <sip:alice@atlanta.com>;tag=88sja8x\r\n"
	    "To: Bob <sip:bob@biloxi.com>;tag=b7\r\n"
	    "Call-ID: 987asjd97y7atg\r\n"
	    "CSeq: 986759 ACK\r\n"
	    "Content-Length: 0\r\n\r\n");
	assert_int_equal(sip_parser_read(other, out_str(&out))->fault.status, 0);
	sip_parser_free(other);
}

/* ---- tags without memory ---- */

static void
tag_of(struct parsing *p, const char *start, const char *line,
    const struct hash_key *key, char tag[SIP_TAG_SIZE])
{
	sip_stateless_tag(parse_with(p, start, line), key, tag);
}

static void
a_stateless_tag_is_the_same_for_the_same_request_alone(void **state)
{
	static const char *const other[][2] = {
		{ "Call-ID:", "Call-ID: c2\r\n" },
		{ "CSeq:", "CSeq: 8 REGISTER\r\n" },
		{ "From:", "From: <sip:alice@example.com>;tag=f2\r\n" },
		{ "Via:", "Via: SIP/2.0/UDP 192.0.2.1:5062;branch=z9hG4bKb\r\n" },
	};
	const struct hash_key key = { 1, 2 }, other_key = { 1, 3 };
	char first[SIP_TAG_SIZE], again[SIP_TAG_SIZE];

	tag_of(*state, NULL, NULL, &key, first);
	for (int i = 0; i < SIP_TAG_SIZE; i++)
		assert_true(hex_digit(first[i]) >= 0);
	/* a repetition may differ in what does not matter */
	tag_of(*state, "Max-Forwards:", NULL, &key, again);
	assert_memory_equal(first, again, SIP_TAG_SIZE);
	tag_of(*state, NULL, NULL, &other_key, again);
	assert_memory_not_equal(first, again, SIP_TAG_SIZE);
	for (size_t i = 0; i < sizeof other / sizeof *other; i++) {
		tag_of(*state, other[i][0], other[i][1], &key, again);
		assert_memory_not_equal(first, again, SIP_TAG_SIZE);
	}
}

static void
every_status_has_a_reason_phrase(void **state)
{
	(void)state;
	for (unsigned status = 100; status < 700; status++)
		assert_true(strlen(sip_reason(status)) > 0);
	assert_string_equal(sip_reason(401), "Unauthorized");
	assert_string_equal(sip_reason(423), "Interval Too Brief");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		PARSING_TEST(an_answer_copies_what_it_must),
		PARSING_TEST(received_and_rport_tell_where_it_came_from),
		PARSING_TEST(received_stands_when_sent_by_is_a_name_or_another_host),
		PARSING_TEST(nothing_is_added_when_sent_by_is_right_and_nobody_asked),
		PARSING_TEST(what_a_request_says_of_our_view_is_replaced),
		PARSING_TEST(ipv6_is_told_without_brackets_in_received),
		PARSING_TEST(all_vias_are_given_back_in_order),
		PARSING_TEST(a_to_tag_is_added_once),
		PARSING_TEST(folds_are_copied_as_they_are),
		PARSING_TEST(an_answer_can_be_read_and_belongs_to_its_request),
		PARSING_TEST(an_answer_that_does_not_fit_is_known_to_be_cut),
		PARSING_TEST(a_body_is_counted),
		PARSING_TEST(a_broken_request_is_answered_with_what_there_is),
		PARSING_TEST(an_answer_goes_to_rport_or_to_sent_by),
		PARSING_TEST(an_ack_is_made_of_the_invite_and_the_responses_to),
		PARSING_TEST(a_stateless_tag_is_the_same_for_the_same_request_alone),
		PARSING_TEST(every_status_has_a_reason_phrase),
	};

	return cmocka_run_group_tests_name("sip/write", tests, NULL, NULL);
}
