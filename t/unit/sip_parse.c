/*
 * Whole messages: the guards one by one, what Sofia would accept silently,
 * and what every element must understand.
 */
#include "config.h"

#include "message.h"

/* ---- a good one ---- */

static void
a_good_request_is_read_in_all_its_parts(void **state)
{
	struct parsing *p = *state;
	struct sip_message *m = parse_with(p, NULL, NULL);

	assert_int_equal(m->fault.status, 0);
	assert_true(m->is_request);
	assert_true(m->answerable);
	assert_int_equal(m->method, METHOD_REGISTER);
	assert_str(m->method_name, "REGISTER");
	assert_str(m->uri_text, "sip:example.com");
	assert_str(m->uri.host, "example.com");
	assert_null(m->uri.user.p);
	assert_int_equal(m->max_forwards, 70);
	assert_str(m->via.protocol, "SIP/2.0/UDP");
	assert_str(m->via.transport, "UDP");
	assert_str(m->via.host, "192.0.2.1");
	assert_int_equal(m->via.port, 5062);
	assert_str(m->via.branch, "z9hG4bKbase");
	assert_true(m->via.has_rport);
	assert_int_equal(m->via.after.n, 0);
	assert_str(m->from.display, "\"Alice\"");
	assert_str(m->from.uri_text, "sip:alice@example.com");
	assert_str(m->from_tag, "f1");
	assert_str(m->to.uri.user, "alice");
	assert_null(m->to_tag.p);
	assert_str(m->call_id, "c1@192.0.2.1");
	assert_int_equal(m->cseq, 7);
	assert_int_equal(m->cseq_method, METHOD_REGISTER);
	assert_int_equal(m->line_count, 8);
	assert_int_equal(m->body.n, 0);
}

static void
a_good_response_is_read_in_all_its_parts(void **state)
{
	struct parsing *p = *state;
	struct sip_message *m =
	    parse_with(p, "REGISTER", "SIP/2.0 200 All is well\r\n");

	assert_int_equal(m->fault.status, 0);
	assert_false(m->is_request);
	assert_int_equal(m->status, 200);
	assert_int_equal(m->cseq_method, METHOD_REGISTER);
	assert_str(m->via.branch, "z9hG4bKbase");
}

static void
a_parser_remembers_nothing_of_the_message_before(void **state)
{
	struct parsing *p = *state;

	parse_with(p, "To:", "To: <sip:a@b>;tag=9\r\n");
	assert_non_null(p->m->to_tag.p);
	parse_with(p, "CSeq:", "CSeq: nonsense\r\n");
	assert_int_not_equal(p->m->fault.status, 0);
	a_good_request_is_read_in_all_its_parts(state);
	assert_null(p->m->to_tag.p);
}

/* ---- what is wrong ---- */

struct wrong {
	const char *start, *line; /* see register_with() */
	unsigned status;
	const char *reason; /* NULL: any */
};

static void
check_wrong(struct parsing *p, const struct wrong *wrong, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		const char *what = wrong[i].line != NULL ? wrong[i].line
		                                         : wrong[i].start;
		struct sip_message *m =
		    parse_with(p, wrong[i].start, wrong[i].line);

		if (m->fault.status != wrong[i].status)
			fail_msg("%s: expected %u, got %u %s", what, wrong[i].status,
			    m->fault.status, m->fault.reason);
		if (wrong[i].reason != NULL && wrong[i].status != 0 &&
		    strcmp(m->fault.reason, wrong[i].reason) != 0)
			fail_msg("%s: expected \"%s\", got \"%s\"", what,
			    wrong[i].reason, m->fault.reason);
	}
}
#define CHECK_WRONG(state, wrong) \
	check_wrong(*(state), (wrong), sizeof(wrong) / sizeof *(wrong))

static void
a_start_line_is_read_strictly(void **state)
{
	static const struct wrong wrong[] = {
		{ "REGISTER", "REGISTER sip:example.com SIP/3.0\r\n", 505, NULL },
		{ "REGISTER", "REGISTER sip:example.com SIP/2.01\r\n", 505, NULL },
		{ "REGISTER", "REGISTER sip:example.com SIP/7.0\r\n", 505, NULL },
		{ "REGISTER", "REGISTER sip:example.com sip/2.0\r\n", 0, NULL },
		{ "REGISTER", "REGISTER  sip:example.com SIP/2.0\r\n", 400, NULL },
		{ "REGISTER", "REGISTER sip:example.com  SIP/2.0\r\n", 400, NULL },
		{ "REGISTER", "REGISTER sip:example.com SIP/2.0 \r\n", 400, NULL },
		{ "REGISTER", " REGISTER sip:example.com SIP/2.0\r\n", 400, NULL },
		{ "REGISTER", "REGISTER sip:example.com HTTP/1.1\r\n", 400, NULL },
		{ "REGISTER", "REGISTER sip:example.com\r\n", 400, NULL },
		{ "REGISTER", "REGISTER\r\n", 400, NULL },
		{ "REGISTER", "REGISTER <sip:example.com> SIP/2.0\r\n", 400, NULL },
		{ "REGISTER", "REG(ISTER sip:example.com SIP/2.0\r\n", 400, NULL },
		{ "REGISTER", "REGISTER sip: SIP/2.0\r\n", 400, NULL },
		{ "REGISTER", "REGISTER sip:example.com:0 SIP/2.0\r\n", 400, NULL },
		{ "REGISTER", "REGISTER sip:example.com:99999 SIP/2.0\r\n", 400, NULL },
		{ "REGISTER", "REGISTER sip:a@b?Route=%3Csip:c%3E SIP/2.0\r\n", 400,
		    NULL },
		{ "REGISTER", "REGISTER sip:example.com;p=%4 SIP/2.0\r\n", 400, NULL },
		{ "REGISTER", "REGISTER sip:ex\"ample.com SIP/2.0\r\n", 400, NULL },
		{ "REGISTER", "SIP/2.0 99 Early\r\n", 400, NULL },
		{ "REGISTER", "SIP/2.0 7000 Late\r\n", 400, NULL },
		{ "REGISTER", "SIP/2.0 700 Late\r\n", 400, NULL },
		{ "REGISTER", "SIP/2.0 2x0 Odd\r\n", 400, NULL },
		{ "REGISTER", "SIP/2.0  200 OK\r\n", 400, NULL },
		{ "REGISTER", "SIP/2.0 +20 OK\r\n", 400, NULL },
		{ "REGISTER", "SIP/3.0 200 OK\r\n", 400, NULL },
	};

	CHECK_WRONG(state, wrong);
}

static void
a_foreign_scheme_is_read_and_left_to_others_to_refuse(void **state)
{
	struct parsing *p = *state;
	struct sip_message *m;

	m = parse_with(p, "REGISTER", "REGISTER tel:+49301234 SIP/2.0\r\n");
	assert_int_equal(m->fault.status, 0);
	assert_int_equal(m->uri.scheme, SCHEME_OTHER);
	m = parse_with(p, "REGISTER",
	    "REGISTER nobodyKnowsThisScheme:x SIP/2.0\r\n");
	assert_int_equal(m->fault.status, 0);
	assert_int_equal(m->uri.scheme, SCHEME_OTHER);
}

static void
an_unknown_method_is_no_fault_of_the_message(void **state)
{
	struct parsing *p = *state;
	char text[MESSAGE_SIZE];
	struct str bytes;
	struct sip_message *m;
	char *cseq;

	bytes = register_with(text, "REGISTER", "REGISTE_ sip:example.com SIP/2.0\r\n");
	cseq = strstr(text, "7 REGISTER");
	memcpy(cseq, "7 REGISTE_", 10);
	m = parse_bytes(p, bytes.p, bytes.n);
	assert_int_equal(m->fault.status, 0);
	assert_int_equal(m->method, METHOD_UNKNOWN);
	assert_str(m->method_name, "REGISTE_");
}

static void
methods_are_case_sensitive(void **state)
{
	struct parsing *p = *state;
	struct sip_message *m = parse_with(p, "REGISTER",
	    "register sip:example.com SIP/2.0\r\n");

	assert_int_equal(m->method, METHOD_UNKNOWN);
	assert_int_equal(m->fault.status, 400); /* CSeq says another */
}

static void
a_header_that_is_needed_and_missing_is_named(void **state)
{
	static const struct wrong wrong[] = {
		{ "Via:", NULL, 400, "Missing Via" },
		{ "From:", NULL, 400, "Missing From" },
		{ "To:", NULL, 400, "Missing To" },
		{ "Call-ID:", NULL, 400, "Missing Call-ID" },
		{ "CSeq:", NULL, 400, "Missing CSeq" },
		{ "Max-Forwards:", NULL, 0, NULL },
		{ "Content-Length:", NULL, 0, NULL },
		{ "Contact:", NULL, 0, NULL },
	};

	CHECK_WRONG(state, wrong);
}

static void
a_header_that_is_wrong_is_named(void **state)
{
	static const struct wrong wrong[] = {
		/* Via */
		{ "Via:", "Via: \r\n", 400, "Bad Via" },
		{ "Via:", "Via: SIP/2.0/UDP\r\n", 400, "Bad Via" },
		{ "Via:", "Via: SIP/2.0/UDP ;branch=z9hG4bK1\r\n", 400, "Bad Via" },
		{ "Via:", "Via: SIP/2.0/U@P h;branch=z9hG4bK1\r\n", 400, "Bad Via" },
		{ "Via:", "Via: SIP/3.0/UDP h;branch=z9hG4bK1\r\n", 400, "Bad Via" },
		{ "Via:", "Via: HTTP/2.0/UDP h;branch=z9hG4bK1\r\n", 400, "Bad Via" },
		{ "Via:", "Via: SIP/2.0/UDP h<x>;branch=z9hG4bK1\r\n", 400, "Bad Via" },
		{ "Via:", "Via: SIP/2.0/UDP h:0;branch=z9hG4bK1\r\n", 400, "Bad Via" },
		{ "Via:", "Via: SIP/2.0/UDP h:65536;branch=z9hG4bK1\r\n", 400, "Bad Via" },
		{ "Via:", "Via: SIP/2.0/UDP [::g];branch=z9hG4bK1\r\n", 400, "Bad Via" },
		/* From and To */
		{ "From:", "From: \r\n", 400, "Bad From" },
		{ "From:", "From: <sip:a@b\r\n", 400, "Bad From" },
		{ "From:", "From: \"Alice <sip:a@b>;tag=1\r\n", 400, "Bad From" },
		{ "From:", "From: a@b;tag=1\r\n", 400, "Bad From" },
		{ "From:", "From: <sip:a@b>;tag=1;tag=2\r\n", 400, "Bad From" },
		{ "From:", "From: <sip:a@b>;tag=\r\n", 400, "Bad From" },
		{ "From:", "From: <sip:a@b>;tag\r\n", 400, "Bad From" },
		{ "From:", "From: <sip:a@b>;tag=\"1\"\r\n", 400, "Bad From" },
		{ "From:", "From: <sip:a@b> x;tag=1\r\n", 400, "Bad From" },
		{ "From:", "From: Bell, Alexander <sip:a@b>;tag=1\r\n", 400, "Bad From" },
		{ "From:", "From: sip:a@b?x=y;tag=1\r\n", 400, "Bad From" },
		{ "From:", "From: <sip:a@b:99999>;tag=1\r\n", 400, "Bad From" },
		{ "To:", "To: <sip:a b@c>\r\n", 400, "Bad To" },
		{ "To:", "To: <sip:@c>\r\n", 400, "Bad To" },
		{ "To:", "To: <sip:a@b>;tag=1;tag=2\r\n", 400, "Bad To" },
		{ "To:", "To: <sip:a@b>, <sip:c@d>\r\n", 400, "Bad To" },
		{ "To:", "To: <sip:a@b>;;x\r\n", 400, "Bad To" },
		/* Call-ID */
		{ "Call-ID:", "Call-ID: \r\n", 400, "Bad Call-ID" },
		{ "Call-ID:", "Call-ID: a b\r\n", 400, "Bad Call-ID" },
		/* CSeq */
		{ "CSeq:", "CSeq: REGISTER\r\n", 400, "Bad CSeq" },
		{ "CSeq:", "CSeq: 7\r\n", 400, "Bad CSeq" },
		{ "CSeq:", "CSeq: 7REGISTER\r\n", 400, "Bad CSeq" },
		{ "CSeq:", "CSeq: -7 REGISTER\r\n", 400, "Bad CSeq" },
		{ "CSeq:", "CSeq: 0x7 REGISTER\r\n", 400, "Bad CSeq" },
		{ "CSeq:", "CSeq: 2147483648 REGISTER\r\n", 400, "Bad CSeq" },
		{ "CSeq:", "CSeq: 4294967303 REGISTER\r\n", 400, "Bad CSeq" },
		{ "CSeq:", "CSeq: 36893488147419103232 REGISTER\r\n", 400, "Bad CSeq" },
		{ "CSeq:", "CSeq: 7 REGISTER x\r\n", 400, "Bad CSeq" },
		{ "CSeq:", "CSeq: 7 INVITE\r\n", 400, "CSeq Method Mismatch" },
		{ "CSeq:", "CSeq: 2147483647 REGISTER\r\n", 0, NULL },
		{ "CSeq:", "CSeq: 0 REGISTER\r\n", 0, NULL },
		{ "CSeq:", "CSeq:   007 \t REGISTER  \r\n", 0, NULL },
		/* Max-Forwards */
		{ "Max-Forwards:", "Max-Forwards: \r\n", 400, "Bad Max-Forwards" },
		{ "Max-Forwards:", "Max-Forwards: 256\r\n", 400, "Bad Max-Forwards" },
		{ "Max-Forwards:", "Max-Forwards: -1\r\n", 400, "Bad Max-Forwards" },
		{ "Max-Forwards:", "Max-Forwards: 7 0\r\n", 400, "Bad Max-Forwards" },
		{ "Max-Forwards:", "Max-Forwards: 255\r\n", 0, NULL },
		{ "Max-Forwards:", "Max-Forwards: 0\r\n", 0, NULL },
		/* Content-Length */
		{ "Content-Length:", "Content-Length: 1\r\n", 400, "Bad Content-Length" },
		{ "Content-Length:", "Content-Length: -1\r\n", 400, "Bad Content-Length" },
		{ "Content-Length:", "Content-Length: 0x0\r\n", 400, "Bad Content-Length" },
		{ "Content-Length:", "Content-Length: \r\n", 400, "Bad Content-Length" },
		{ "Content-Length:", "Content-Length: 4294967296\r\n", 400,
		    "Bad Content-Length" },
		{ "Content-Length:", "Content-Length: 18446744073709551616\r\n", 400,
		    "Bad Content-Length" },
	};

	CHECK_WRONG(state, wrong);
}

static void
a_header_that_may_stand_once_is_refused_twice(void **state)
{
	static const char *const lines[][2] = {
		{ "From: <sip:a@b>;tag=2\r\n", "Duplicate From" },
		{ "f: <sip:a@b>;tag=2\r\n", "Duplicate From" },
		{ "To: <sip:a@b>\r\n", "Duplicate To" },
		{ "t: <sip:a@b>\r\n", "Duplicate To" },
		{ "Call-ID: x\r\n", "Duplicate Call-ID" },
		{ "i: c1@192.0.2.1\r\n", "Duplicate Call-ID" },
		{ "CSEQ: 7 REGISTER\r\n", "Duplicate CSeq" },
		{ "max-forwards: 70\r\n", "Duplicate Max-Forwards" },
		{ "Content-Length: 0\r\n", "Duplicate Content-Length" },
		{ "l: 0\r\n", "Duplicate Content-Length" },
		{ "Expires: 1\r\nExpires: 1\r\n", "Duplicate Expires" },
		{ "Content-Type: a/b\r\nc: a/b\r\n", "Duplicate Content-Type" },
		{ "Date: x\r\nDate: x\r\n", "Duplicate Date" },
	};
	struct parsing *p = *state;

	for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
		struct sip_message *m = parse_with(p, "none", lines[i][0]);

		assert_for(lines[i][0], m->fault.status == 400);
		assert_string_equal(m->fault.reason, lines[i][1]);
	}
}

static void
a_header_that_may_stand_often_is_read_often(void **state)
{
	struct parsing *p = *state;
	struct sip_message *m = parse_with(p, "none",
	    "m: <sip:b@h>\r\nSupported: a\r\nk: b\r\nContact: <sip:c@h>\r\n");
	const struct sip_line *line = sip_first(m, HEADER_CONTACT);

	assert_int_equal(m->fault.status, 0);
	assert_str(line->value, "<sip:alice@192.0.2.1:5062>");
	line = sip_next(m, line);
	assert_str(line->value, "<sip:b@h>");
	assert_str(line->name, "m");
	line = sip_next(m, line);
	assert_str(line->value, "<sip:c@h>");
	assert_null(sip_next(m, line));
	assert_str(sip_next(m, sip_first(m, HEADER_SUPPORTED))->value, "b");
}

/* ---- guards ---- */

static void
guards_refuse_what_never_may_reach_the_grammar(void **state)
{
	static const struct wrong wrong[] = {
		{ "none", "no colon here\r\n", 400, "Bad Header Line" },
		{ "none", ": no name\r\n", 400, "Bad Header Line" },
		{ "none", "two names: x\r\n", 400, "Bad Header Line" },
		{ "none", "b@d: x\r\n", 400, "Bad Header Line" },
		{ "none", "Subject: a\nb: c\r\n", 400, "Bare CR or LF" },
		{ "none", "Subject: a\rb\r\n", 400, "Bare CR or LF" },
		{ "none", "Subject: a\r\r\n", 400, "Bare CR or LF" },
		{ "none", "\nSubject: a\r\n", 400, "Bare CR or LF" },
		{ "none", "Subject: \x01\r\n", 400, "Bad Control Character" },
		{ "none", "Subject: \x1b[2J\r\n", 400, "Bad Control Character" },
		{ "none", "Subject: \x7f\r\n", 400, "Bad Control Character" },
		{ "From:", "From: \"\x02\" <sip:a@b>;tag=1\r\n", 400,
		    "Bad Control Character" },
		{ "none", "Subject: \xff\r\n", 400, "Bad UTF-8" },
		{ "none", "Subject: \xc0\xaf\r\n", 400, "Bad UTF-8" },
		{ "From:", "From: \"\xe4\" <sip:a@b>;tag=1\r\n", 400, "Bad UTF-8" },
		{ "From:", "From: \"\xc3\xa4\" <sip:a@b>;tag=1\r\n", 0, NULL },
		{ "From:", "From: <sip:\xc3\xa4@b>;tag=1\r\n", 400, "Bad From" },
		/* a quoted-pair may be any octet but CR and LF (25.1) */
		{ "From:", "From: \"BEL:\\\x07 DEL:\\\x7f\" <sip:a@b>;tag=1\r\n", 0,
		    NULL },
	};

	CHECK_WRONG(state, wrong);
}

static void
a_nul_is_refused_wherever_it_stands(void **state)
{
	struct parsing *p = *state;
	struct str whole = register_with(p->text, "none", "Subject: abc\r\n");

	for (size_t i = 0; i + 4 < whole.n; i++) {
		char *text = malloc(whole.n);

		memcpy(text, whole.p, whole.n);
		if (text[i] != '\r' && text[i] != '\n') {
			text[i] = '\0';
			parse_bytes(p, text, whole.n);
			assert_int_equal(p->m->fault.status, 400);
		}
		free(text);
	}
}

static void
a_message_without_its_empty_line_is_refused(void **state)
{
	struct parsing *p = *state;
	struct str whole = register_with(p->text, NULL, NULL);

	for (size_t n = 0; n < whole.n; n++) {
		struct sip_message *m = parse_bytes(p, p->text, n);

		if (m->fault.status != 400)
			fail_msg("%zu bytes: got %u", n, m->fault.status);
	}
	/* the last thing is what makes it whole, and was what was missing */
	parse_bytes(p, p->text, whole.n - 2);
	assert_string_equal(p->m->fault.reason, "Missing Empty Line");
	assert_true(p->m->answerable);
}

/* The request with `n` times this text in front of its end. */
static struct str
register_with_many(struct parsing *p, const char *text, size_t n,
    const char *end)
{
	struct str whole = register_with(p->text, NULL, NULL);
	char *at = p->text + whole.n - 2;

	for (size_t i = 0; i < n; i++)
		at = stpcpy(at, text);
	at = stpcpy(at, end);
	return (struct str){ p->text, (size_t)(at - p->text) };
}

static unsigned
status_of_many(struct parsing *p, const char *text, size_t n, const char *end)
{
	struct str bytes = register_with_many(p, text, n, end);

	return parse_bytes(p, bytes.p, bytes.n)->fault.status;
}

static void
header_lines_are_counted_folds_included(void **state)
{
	struct parsing *p = *state;

	assert_int_equal(status_of_many(p, "X: y\r\n", 120, "\r\n"), 0);
	assert_int_equal(p->m->line_count, SIP_LINES_MAX);
	assert_int_equal(status_of_many(p, "X: y\r\n", 121, "\r\n"), 400);
	assert_string_equal(p->m->fault.reason, "Too Many Header Lines");
	assert_int_equal(status_of_many(p, "X: y\r\n y\r\n", 60, "\r\n"), 0);
	assert_int_equal(status_of_many(p, "X: y\r\n y\r\n", 61, "\r\n"), 400);
	assert_int_equal(status_of_many(p, "X: y\r\n", 5000, "\r\n"), 400);
}

static void
commas_are_counted(void **state)
{
	struct parsing *p = *state;
	struct str bytes = register_with(p->text, NULL, NULL);
	char *at = p->text + bytes.n - 2;

	at = stpcpy(at, "Allow: ");
	for (int i = 0; i < SIP_COMMAS_MAX; i++)
		at = stpcpy(at, "a,");
	strcpy(at, "\r\n\r\n");
	parse_bytes(p, p->text, (size_t)(at - p->text) + 4);
	assert_int_equal(p->m->fault.status, 0);
	strcpy(at, ",\r\n\r\n");
	parse_bytes(p, p->text, (size_t)(at - p->text) + 5);
	assert_int_equal(p->m->fault.status, 400);
	assert_string_equal(p->m->fault.reason, "Too Many Commas");
}

static void
commas_in_the_body_do_not_count(void **state)
{
	struct parsing *p = *state;
	struct str bytes = register_with(p->text, "Content-Length:",
	    "Content-Length: 1000\r\n");

	memset(p->text + bytes.n, ',', 1000);
	parse_bytes(p, p->text, bytes.n + 1000);
	assert_int_equal(p->m->fault.status, 0);
}

static void
a_message_has_at_most_65535_bytes(void **state)
{
	struct parsing *p = *state;
	struct str bytes = register_with(p->text, "Content-Length:", NULL);
	size_t rest = 65535 - bytes.n;

	memset(p->text + bytes.n, 'x', rest + 1);
	parse_bytes(p, p->text, 65535);
	assert_int_equal(p->m->fault.status, 0);
	assert_int_equal(p->m->body.n, rest);
	parse_bytes(p, p->text, 65536);
	assert_int_equal(p->m->fault.status, 513);
	assert_true(p->m->answerable);
}

/* ---- lines ---- */

static void
a_folded_line_is_one_line(void **state)
{
	struct parsing *p = *state;
	struct sip_message *m;
	const struct sip_line *line;

	m = parse_with(p, "none", "Subject: one\r\n two\r\n\tthree\r\nX: y\r\n");
	assert_int_equal(m->fault.status, 0);
	assert_int_equal(m->line_count, 10);
	line = &m->lines[8];
	assert_str(line->value, "one\r\n two\r\n\tthree");
	assert_str(line->raw, "Subject: one\r\n two\r\n\tthree\r\n");
	m = parse_with(p, "From:", "From:\r\n \"A\"\r\n <sip:a@b>\r\n ;tag=9\r\n");
	assert_int_equal(m->fault.status, 0);
	assert_str(m->from.uri_text, "sip:a@b");
	assert_str(m->from_tag, "9");
	m = parse_with(p, "CSeq:", "CSeq:\r\n 7\r\n REGISTER\r\n");
	assert_int_equal(m->fault.status, 0);
	assert_int_equal(m->cseq, 7);
	m = parse_with(p, "Content-Length:", "Content-Length:\r\n 0\r\n");
	assert_int_equal(m->fault.status, 0);
	m = parse_with(p, "Via:",
	    "Via: SIP/2.0/UDP\r\n h\r\n ;branch=z9hG4bK2\r\n");
	assert_int_equal(m->fault.status, 0);
	assert_str(m->via.branch, "z9hG4bK2");
}

static void
a_fold_behind_the_start_line_is_refused(void **state)
{
	static const struct wrong wrong[] = {
		{ "REGISTER", "REGISTER sip:example.com SIP/2.0\r\n x\r\n", 400, NULL },
		{ "REGISTER", "REGISTER sip:example.com\r\n SIP/2.0\r\n", 400, NULL },
	};

	CHECK_WRONG(state, wrong);
}

static void
compact_and_oddly_written_names_are_known(void **state)
{
	static const struct {
		const char *line;
		enum sip_header header;
	} names[] = {
		{ "v: SIP/2.0/UDP h\r\n", HEADER_VIA },
		{ "V: SIP/2.0/UDP h\r\n", HEADER_VIA },
		{ "m: x\r\n", HEADER_CONTACT },
		{ "k: x\r\n", HEADER_SUPPORTED },
		{ "c: x\r\n", HEADER_CONTENT_TYPE },
		{ "e: x\r\n", HEADER_CONTENT_ENCODING },
		{ "cOnTaCt: x\r\n", HEADER_CONTACT },
		{ "EXPIRES  : 1\r\n", HEADER_EXPIRES },
		{ "AUTHORIZATION\t: x\r\n", HEADER_AUTHORIZATION },
		{ "proxy-authorization: x\r\n", HEADER_PROXY_AUTHORIZATION },
		{ "require: x\r\n", HEADER_REQUIRE },
		{ "proxy-Require: x\r\n", HEADER_PROXY_REQUIRE },
		{ "path: x\r\n", HEADER_PATH },
		{ "route: x\r\n", HEADER_ROUTE },
		{ "record-route: x\r\n", HEADER_RECORD_ROUTE },
		{ "user-agent: x\r\n", HEADER_USER_AGENT },
		{ "content-disposition: x\r\n", HEADER_CONTENT_DISPOSITION },
		{ "date: x\r\n", HEADER_DATE },
		{ "x: x\r\n", HEADER_OTHER },
		{ "Expirez: x\r\n", HEADER_OTHER },
		{ "Contac: x\r\n", HEADER_OTHER },
	};
	struct parsing *p = *state;

	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		struct sip_message *m = parse_with(p, "none", names[i].line);

		assert_for(names[i].line, m->fault.status == 0);
		assert_for(names[i].line, m->lines[8].header == names[i].header);
	}
}

static void
all_needed_headers_may_be_compact(void **state)
{
	static const char text[] = "REGISTER sip:b SIP/2.0\r\n"
	                           "v:SIP/2.0/TCP h;branch=z9hG4bK1\r\n"
	                           "f:<sip:a@b>;tag=1\r\nt:<sip:a@b>\r\n"
	                           "i:1\r\nCSeq:1 REGISTER\r\nl:2\r\n\r\nhi";
	struct parsing *p = *state;
	struct sip_message *m = parse_bytes(p, text, sizeof text - 1);

	assert_int_equal(m->fault.status, 0);
	assert_str(m->via.transport, "TCP");
	assert_str(m->call_id, "1");
	assert_str(m->body, "hi");
	assert_int_equal(m->max_forwards, SIP_NO_MAX_FORWARDS);
}

static void
an_empty_value_is_a_value(void **state)
{
	struct parsing *p = *state;
	struct sip_message *m = parse_with(p, "none", "Require:\r\nRoute: \r\n");

	assert_int_equal(m->fault.status, 0);
	assert_str(sip_first(m, HEADER_REQUIRE)->value, "");
	assert_false(sip_has_option(m, HEADER_REQUIRE, STR("")));
}

/* ---- Via ---- */

static void
vias_on_one_line_and_on_several_are_read(void **state)
{
	struct parsing *p = *state;
	struct sip_message *m = parse_with(p, "Via:",
	    "Via: SIP/2.0/TLS [2001:db8::1]:5061;branch=z9hG4bK1 , "
	    "SIP/2.0/UDP second;branch=z9hG4bK2\r\n"
	    "v: SIP/2.0/UDP third\r\n");
	const struct sip_line *line = sip_first(m, HEADER_VIA);

	assert_int_equal(m->fault.status, 0);
	assert_str(m->via.transport, "TLS");
	assert_str(m->via.host, "[2001:db8::1]");
	assert_int_equal(m->via.port, 5061);
	assert_false(m->via.has_rport);
	assert_str(str_trim(m->via.after), "SIP/2.0/UDP second;branch=z9hG4bK2");
	assert_str(sip_next(m, line)->value, "SIP/2.0/UDP third");
}

static void
a_via_without_branch_or_with_blanks_is_read(void **state)
{
	struct parsing *p = *state;
	struct sip_message *m;

	m = parse_with(p, "Via:", "Via: SIP/2.0/UDP h\r\n");
	assert_int_equal(m->fault.status, 0);
	assert_null(m->via.branch.p);
	assert_int_equal(m->via.port, 0);
	m = parse_with(p, "Via:",
	    "Via: SIP / 2.0 / UDP h : 5070 ; branch = z9hG4bK3 ; rport\r\n");
	assert_int_equal(m->fault.status, 0);
	assert_str(m->via.protocol, "SIP/2.0/UDP");
	assert_str(m->via.transport, "UDP");
	assert_int_equal(m->via.port, 5070);
	assert_str(m->via.branch, "z9hG4bK3");
	assert_true(m->via.has_rport);
}

static void
without_a_usable_via_nothing_is_answerable(void **state)
{
	static const char *const vias[] = { NULL, "Via: \r\n",
		"Via: nonsense\r\n", "Via: HTTP/1.1/TCP h\r\n" };
	struct parsing *p = *state;

	for (size_t i = 0; i < sizeof vias / sizeof *vias; i++)
		assert_false(parse_with(p, "Via:", vias[i])->answerable);
}

static void
other_faults_leave_a_message_answerable(void **state)
{
	static const char *const lines[][2] = {
		{ "From:", NULL }, { "CSeq:", "CSeq: x\r\n" },
		{ "Max-Forwards:", "Max-Forwards: x\r\n" },
		{ "none", "no colon\r\n" }, { "none", "To: <sip:x@y>\r\n" },
	};
	struct parsing *p = *state;

	for (size_t i = 0; i < sizeof lines / sizeof *lines; i++)
		assert_true(
		    parse_with(p, lines[i][0], lines[i][1])->answerable);
}

/* ---- bodies ---- */

static void
a_body_ends_where_content_length_says(void **state)
{
	struct parsing *p = *state;
	struct str bytes = register_with(p->text, "Content-Length:",
	    "Content-Length: 3\r\n");

	memcpy(p->text + bytes.n, "abcdef", 6);
	parse_bytes(p, p->text, bytes.n + 6);
	assert_int_equal(p->m->fault.status, 0);
	assert_str(p->m->body, "abc");
	parse_bytes(p, p->text, bytes.n + 2);
	assert_int_equal(p->m->fault.status, 400);
	assert_string_equal(p->m->fault.reason, "Bad Content-Length");
}

static void
a_second_message_in_a_datagram_is_not_read(void **state)
{
	struct parsing *p = *state;
	struct str first = register_with(p->text, NULL, NULL);

	memcpy(p->text + first.n, p->text, first.n);
	parse_bytes(p, p->text, 2 * first.n);
	assert_int_equal(p->m->fault.status, 0);
	assert_int_equal(p->m->body.n, 0);
	assert_int_equal(p->m->line_count, 8);
}

static void
a_body_may_hold_any_bytes(void **state)
{
	struct parsing *p = *state;
	struct str bytes = register_with(p->text, "Content-Length:",
	    "Content-Length: 256\r\n");

	for (int i = 0; i < 256; i++)
		p->text[bytes.n + (size_t)i] = (char)i;
	parse_bytes(p, p->text, bytes.n + 256);
	assert_int_equal(p->m->fault.status, 0);
	assert_int_equal(p->m->body.n, 256);
}

/* ---- whatever comes ---- */

static void
check_sound(const struct sip_message *m, struct str bytes)
{
	assert_true(m->fault.status == 0 || m->fault.status == 400 ||
	    m->fault.status == 505 || m->fault.status == 513);
	assert_true(m->line_count <= SIP_LINES_MAX);
	for (size_t i = 0; i < m->line_count; i++) {
		assert_true(m->lines[i].raw.p >= bytes.p);
		assert_true(m->lines[i].raw.p + m->lines[i].raw.n <=
		    bytes.p + bytes.n);
	}
	for (int h = 0; h < SIP_HEADERS; h++)
		assert_true(m->first[h] <= m->line_count);
	if (m->fault.status != 0)
		return;
	assert_true(m->answerable);
	assert_true(m->cseq < 1u << 31);
	assert_true(m->call_id.n > 0 && m->via.host.n > 0);
	assert_true(m->body.p + m->body.n <= bytes.p + bytes.n);
}

static void
changed_at_random_a_message_is_read_soundly(void **state)
{
	static const char *const lines = "Authorization: Digest username=\"a\"\r\n"
	                                 "Path: <sip:p;lr>,<sip:q;lr>\r\n"
	                                 "Expires: 60\r\nSupported: path, gruu\r\n";
	static const char bytes[] = " \t\r\n\0:;,<>\"\\@%=/?[]x0\x7f\xc3";
	struct parsing *p = *state;
	struct str whole = register_with(p->text, "none", lines);
	char *text = malloc(whole.n);
	uint64_t seed = 2;

	for (int round = 0; round < 20000; round++) {
		size_t n = whole.n;

		memcpy(text, whole.p, n);
		for (uint64_t i = random_up_to(&seed, 4) + 1; i > 0; i--)
			text[random_up_to(&seed, n)] =
			    bytes[random_up_to(&seed, sizeof bytes - 1)];
		if (random_up_to(&seed, 8) == 0)
			n = random_up_to(&seed, n);
		parse_bytes(p, text, n);
		check_sound(p->m, p->m->bytes);
	}
	free(text);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		PARSING_TEST(a_good_request_is_read_in_all_its_parts),
		PARSING_TEST(a_good_response_is_read_in_all_its_parts),
		PARSING_TEST(a_parser_remembers_nothing_of_the_message_before),
		PARSING_TEST(a_start_line_is_read_strictly),
		PARSING_TEST(a_foreign_scheme_is_read_and_left_to_others_to_refuse),
		PARSING_TEST(an_unknown_method_is_no_fault_of_the_message),
		PARSING_TEST(methods_are_case_sensitive),
		PARSING_TEST(a_header_that_is_needed_and_missing_is_named),
		PARSING_TEST(a_header_that_is_wrong_is_named),
		PARSING_TEST(a_header_that_may_stand_once_is_refused_twice),
		PARSING_TEST(a_header_that_may_stand_often_is_read_often),
		PARSING_TEST(guards_refuse_what_never_may_reach_the_grammar),
		PARSING_TEST(a_nul_is_refused_wherever_it_stands),
		PARSING_TEST(a_message_without_its_empty_line_is_refused),
		PARSING_TEST(header_lines_are_counted_folds_included),
		PARSING_TEST(commas_are_counted),
		PARSING_TEST(commas_in_the_body_do_not_count),
		PARSING_TEST(a_message_has_at_most_65535_bytes),
		PARSING_TEST(a_folded_line_is_one_line),
		PARSING_TEST(a_fold_behind_the_start_line_is_refused),
		PARSING_TEST(compact_and_oddly_written_names_are_known),
		PARSING_TEST(all_needed_headers_may_be_compact),
		PARSING_TEST(an_empty_value_is_a_value),
		PARSING_TEST(vias_on_one_line_and_on_several_are_read),
		PARSING_TEST(a_via_without_branch_or_with_blanks_is_read),
		PARSING_TEST(without_a_usable_via_nothing_is_answerable),
		PARSING_TEST(other_faults_leave_a_message_answerable),
		PARSING_TEST(a_body_ends_where_content_length_says),
		PARSING_TEST(a_second_message_in_a_datagram_is_not_read),
		PARSING_TEST(a_body_may_hold_any_bytes),
		PARSING_TEST(changed_at_random_a_message_is_read_soundly),
	};

	return cmocka_run_group_tests_name("sip/parse", tests, NULL, NULL);
}
