/* Header values: lists, parameters, addresses, contacts, credentials. */
#include "config.h"

#include "message.h"

#include <unistd.h>

/* ---- lists and parameters ---- */

static void
check_values(const char *text, const char *const *expected)
{
	struct str rest = str_of(text), value;

	for (; *expected != NULL; expected++) {
		assert_for(text, sip_next_value(&rest, &value));
		assert_str(value.p != NULL ? value : STR(""), *expected);
	}
	assert_for(text, !sip_next_value(&rest, &value));
}
#define CHECK_VALUES(text, ...) \
	check_values((text), (const char *const[]){ __VA_ARGS__, NULL })

static void
a_list_is_cut_at_commas_outside_quotes_and_angles(void **state)
{
	(void)state;
	CHECK_VALUES("a", "a");
	CHECK_VALUES("a,b", "a", "b");
	CHECK_VALUES(" a ,\r\n\tb ", "a", "b");
	CHECK_VALUES("\"a,b\" <sip:x>, c", "\"a,b\" <sip:x>", "c");
	CHECK_VALUES("<sip:a,b@c>;x=\"1,2\",<sip:d>", "<sip:a,b@c>;x=\"1,2\"",
	    "<sip:d>");
	CHECK_VALUES("\"a\\\",b\",c", "\"a\\\",b\"", "c");
	CHECK_VALUES("\"<\",b", "\"<\"", "b");
	CHECK_VALUES("a,,b", "a", "", "b");
	CHECK_VALUES("\"a,b", "\"a,b");
	CHECK_VALUES("\"a,b\\", "\"a,b\\");
}

static void
parameters_are_read_one_by_one(void **state)
{
	struct str rest = STR("a=1 ; b ;c = \"x;y\\\"z\"; d=[::1]"), name, value;

	(void)state;
	assert_true(sip_next_param(&rest, &name, &value));
	assert_str(name, "a");
	assert_str(value, "1");
	assert_true(sip_next_param(&rest, &name, &value));
	assert_str(name, "b");
	assert_null(value.p);
	assert_true(sip_next_param(&rest, &name, &value));
	assert_str(name, "c");
	assert_str(value, "\"x;y\\\"z\"");
	assert_true(sip_next_param(&rest, &name, &value));
	assert_str(name, "d");
	assert_str(value, "[::1]");
	assert_false(sip_next_param(&rest, &name, &value));
	assert_int_equal(rest.n, 0);
}

static void
a_malformed_parameter_stops_the_reading_and_stays(void **state)
{
	static const char *const bad[] = { ";a", "=1", "a=", "a=\"x", "a=x\"y",
		"a=b c", "a=<x>", "a=\"x\"y" };

	(void)state;
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		struct str rest = str_of(bad[i]), name, value;

		assert_for(bad[i], !sip_next_param(&rest, &name, &value));
		assert_for(bad[i], rest.n > 0);
	}
}

static void
a_parameter_is_found_by_its_name_in_any_case(void **state)
{
	const struct str params = STR("ttl=1;LR;Branch=z;branch=y");
	struct str value;

	(void)state;
	assert_true(sip_param(params, STR("branch"), &value));
	assert_str(value, "z");
	assert_true(sip_param(params, STR("lr"), &value));
	assert_null(value.p);
	assert_false(sip_param(params, STR("l"), &value));
	assert_false(sip_param(params, STR("lrx"), &value));
	assert_false(sip_param(STR_NONE, STR("lr"), &value));
	/* where Sofia reads beyond the end */
	assert_false(sip_param(STR("lrx"), STR("lr"), &value));
	assert_false(sip_param(STR("l"), STR("lr"), &value));
}

static void
quotes_are_taken_off(void **state)
{
	(void)state;
	assert_str(sip_unquoted(STR("\"a b\"")), "a b");
	assert_str(sip_unquoted(STR("\"\"")), "");
	assert_str(sip_unquoted(STR("a")), "a");
	assert_str(sip_unquoted(STR("\"")), "\"");
	assert_str(sip_unquoted(STR("")), "");
	assert_str(sip_unquoted(STR("\"a\\\"b\"")), "a\\\"b");
}

static void
option_tags_are_found_in_all_lines(void **state)
{
	struct sip_message *m = parse_with(*state, "none",
	    "Supported: path , GRUU\r\nk: outbound\r\nRequire: \r\n");

	assert_true(sip_has_option(m, HEADER_SUPPORTED, STR("path")));
	assert_true(sip_has_option(m, HEADER_SUPPORTED, STR("gruu")));
	assert_true(sip_has_option(m, HEADER_SUPPORTED, STR("outbound")));
	assert_false(sip_has_option(m, HEADER_SUPPORTED, STR("out")));
	assert_false(sip_has_option(m, HEADER_SUPPORTED, STR("outboundx")));
	assert_false(sip_has_option(m, HEADER_REQUIRE, STR("path")));
}

/* ---- addresses ---- */

static void
an_address_may_be_written_in_many_ways(void **state)
{
	static const struct {
		const char *text, *display, *uri, *params;
	} good[] = {
		{ "sip:a@b", NULL, "sip:a@b", NULL },
		{ "sip:a@b;tag=1", NULL, "sip:a@b", "tag=1" },
		{ "<sip:a@b;lr>", "", "sip:a@b;lr", NULL },
		{ "<sip:a@b;lr>;x=1;y", "", "sip:a@b;lr", "x=1;y" },
		{ "Al Ice <sip:a@b>", "Al Ice", "sip:a@b", NULL },
		{ "\"A. \\\"l\\\" <x>\" <sip:a@b>", "\"A. \\\"l\\\" <x>\"", "sip:a@b",
		    NULL },
		{ "\"\"<sip:a@b>", "\"\"", "sip:a@b", NULL },
		{ "<sip:a@b?h=v>", "", "sip:a@b?h=v", NULL },
		{ "<tel:+1-201-555-0123;phone-context=x>", "",
		    "tel:+1-201-555-0123;phone-context=x", NULL },
		{ "<sip:a@[2001:db8::1]:5060>", "", "sip:a@[2001:db8::1]:5060", NULL },
		{ "<sip:a,b@c>", "", "sip:a,b@c", NULL },
		{ "<sip:a@b> ; x = 1", "", "sip:a@b", "x = 1" },
	};
	struct parsing *p = *state;

	parse_with(p, NULL, NULL);
	for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
		struct sip_address a;

		assert_for(good[i].text,
		    sip_read_address(p->parser, str_of(good[i].text), &a));
		assert_str(a.uri_text, good[i].uri);
		if (good[i].display != NULL && *good[i].display != '\0')
			assert_str(a.display, good[i].display);
		else
			assert_int_equal(a.display.n, 0);
		if (good[i].params != NULL)
			assert_str(a.params, good[i].params);
		else
			assert_int_equal(a.params.n, 0);
	}
}

static void
what_is_no_address_is_refused(void **state)
{
	static const char *const bad[] = { "", "<>", "<sip:>", "<sip:a@b",
		"sip:a@b>", "< sip:a@b>", "<sip:a@b >", "<sip:a@b>x", "<sip:a@b>;",
		"<sip:a@b>;;a", "<sip:a@b>;=1", "\"x <sip:a@b>", "a \"b\" <sip:a@b>",
		"\"a\" b <sip:a@b>", "a;b <sip:a@b>", "sip:a@b,sip:c@d",
		"sip:a@b?x=y", "sip:a@b c", "<a@b>", "<sip:a@b>;x=\"", "nonsense",
		"<sip:a@b>;x=<y>", "<sip:a@>", "<sip:a@b:>x", "<sip:a@-b>" };
	struct parsing *p = *state;

	parse_with(p, NULL, NULL);
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		struct sip_address a;

		assert_for(bad[i],
		    !sip_read_address(p->parser, str_of(bad[i]), &a));
	}
}

/* ---- contacts ---- */

struct contact_test {
	struct sip_contacts contacts;
	struct sip_fault why;
};

static bool
read_contacts(struct parsing *p, const char *lines, struct contact_test *t)
{
	struct sip_message *m = parse_with(p, "Contact:", lines);

	assert_for(lines, m->fault.status == 0);
	memset(t, 0xee, sizeof *t);
	return sip_read_contacts(p->parser, m, &t->contacts, &t->why);
}

static void
contacts_are_read_with_all_they_say(void **state)
{
	static struct contact_test t;
	const struct sip_contact *c = t.contacts.list;

	assert_true(read_contacts(*state,
	    "Contact: \"A\" <sip:a@192.0.2.1>;q=0.7;expires=60;"
	    "+sip.instance=\"<urn:uuid:1>\";reg-id=3;audio\r\n"
	    "m: sip:b@192.0.2.2 , <sip:c@192.0.2.3;ob>\r\n",
	    &t));
	assert_false(t.contacts.star);
	assert_int_equal(t.contacts.count, 3);
	assert_str(c[0].address.uri_text, "sip:a@192.0.2.1");
	assert_str(c[0].address.params, "q=0.7;expires=60;"
	    "+sip.instance=\"<urn:uuid:1>\";reg-id=3;audio");
	assert_true(c[0].has_expires && c[0].has_q);
	assert_int_equal(c[0].expires, 60);
	assert_int_equal(c[0].q, 700);
	assert_str(c[0].instance, "<urn:uuid:1>");
	assert_int_equal(c[0].reg_id, 3);
	assert_false(c[1].has_expires || c[1].has_q);
	assert_int_equal(c[1].q, 1000);
	assert_int_equal(c[1].reg_id, 0);
	assert_int_equal(c[1].instance.n, 0);
	assert_str(c[2].address.uri_text, "sip:c@192.0.2.3;ob");
}

static void
a_contact_from_the_field_is_read(void **state)
{
	static struct contact_test t;

	assert_true(read_contacts(*state,
	    "Contact: <sip:1008@192.168.1.44:5060>;expires=3600;+g.oma.sip-im;"
	    "language=\"en,fr\";+g.3gpp.icsi-ref=\"urn%3Aurn-7%3A3gpp-application"
	    ".ims.iari.gsma-vs\";audio\r\n",
	    &t));
	assert_int_equal(t.contacts.count, 1);
	assert_int_equal(t.contacts.list[0].expires, 3600);
}

static void
expires_that_is_odd_has_a_meaning(void **state)
{
	static const struct {
		const char *line;
		uint32_t seconds;
	} odd[] = {
		{ "Contact: <sip:a@b>;expires=0\r\n", 0 },
		{ "Contact: <sip:a@b>;EXPIRES=0060\r\n", 60 },
		{ "Contact: <sip:a@b>;expires=4294967295\r\n", UINT32_MAX },
		{ "Contact: <sip:a@b>;expires=4294967296\r\n", UINT32_MAX },
		{ "Contact: <sip:a@b>;expires=99999999999999999999\r\n", UINT32_MAX },
		{ "Contact: <sip:a@b>;expires=soon\r\n", 3600 },
		{ "Contact: <sip:a@b>;expires=-1\r\n", 3600 },
		{ "Contact: <sip:a@b>;expires=1.5\r\n", 3600 },
		{ "Contact: <sip:a@b>;expires\r\n", 3600 },
		{ "Contact: <sip:a@b>;expires=\"60\"\r\n", 3600 },
	};
	static struct contact_test t;

	for (size_t i = 0; i < sizeof odd / sizeof *odd; i++) {
		assert_for(odd[i].line, read_contacts(*state, odd[i].line, &t));
		assert_for(odd[i].line,
		    t.contacts.list[0].expires == odd[i].seconds);
	}
}

static void
the_expires_header_has_the_same_meaning(void **state)
{
	static const struct {
		const char *line;
		uint32_t seconds;
	} odd[] = {
		{ "Expires: 0\r\n", 0 },
		{ "Expires: 7200 \r\n", 7200 },
		{ "Expires: 4294967296\r\n", UINT32_MAX },
		{ "Expires: 1e9\r\n", 3600 },
		{ "Expires: \r\n", 3600 },
		{ "Expires: Thu, 01 Dec 1994 16:00:00 GMT\r\n", 3600 },
	};
	uint32_t seconds = 1;

	assert_false(sip_read_expires(parse_with(*state, NULL, NULL), &seconds));
	for (size_t i = 0; i < sizeof odd / sizeof *odd; i++) {
		assert_true(sip_read_expires(
		    parse_with(*state, "none", odd[i].line), &seconds));
		assert_for(odd[i].line, seconds == odd[i].seconds);
	}
}

static void
q_is_thousandths(void **state)
{
	static const struct {
		const char *q;
		int thousandths; /* -1: refused */
	} values[] = {
		{ "0", 0 }, { "1", 1000 }, { "0.5", 500 }, { "0.55", 550 },
		{ "0.555", 555 }, { "0.001", 1 }, { "1.000", 1000 }, { "0.", 0 },
		{ "1.", 1000 }, { "1.001", -1 }, { "2", -1 }, { "-1", -1 },
		{ ".5", -1 }, { "0.5555", -1 }, { "0.x", -1 }, { "01", -1 },
		{ "10", -1 }, { "1e0", -1 }, { "\"0.5\"", -1 },
	};
	static struct contact_test t;

	for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
		char line[80];
		bool good;

		snprintf(line, sizeof line, "Contact: <sip:a@b>;q=%s\r\n",
		    values[i].q);
		good = read_contacts(*state, line, &t);
		assert_for(line, good == (values[i].thousandths >= 0));
		if (good)
			assert_int_equal(t.contacts.list[0].q,
			    values[i].thousandths);
		else
			assert_string_equal(t.why.reason, "Bad Contact q");
	}
}

static void
the_star_is_told_apart(void **state)
{
	static struct contact_test t;

	assert_true(read_contacts(*state, "Contact: *\r\n", &t));
	assert_true(t.contacts.star);
	assert_int_equal(t.contacts.count, 0);
	assert_true(read_contacts(*state, "Contact: *\r\nContact: <sip:a@b>\r\n",
	    &t));
	assert_true(t.contacts.star);
	assert_int_equal(t.contacts.count, 1);
	assert_true(read_contacts(*state, "Contact: <sip:*@b>\r\n", &t));
	assert_false(t.contacts.star);
	assert_false(read_contacts(*state, "Contact: *, *\r\n", &t));
	assert_int_equal(t.why.status, 400);
	assert_false(read_contacts(*state, "Contact: *;expires=0\r\n", &t));
	assert_int_equal(t.why.status, 400);
}

static void
contacts_that_are_wrong_are_refused(void **state)
{
	static const char *const bad[] = { "Contact: \r\n",
		"Contact: <sip:a@b>,\r\n", "Contact: ,<sip:a@b>\r\n",
		"Contact: <sip:a@b>,,<sip:c@d>\r\n", "Contact: <sip:a@b\r\n",
		"Contact: <sip:a@b>;reg-id=0\r\n", "Contact: <sip:a@b>;reg-id=x\r\n",
		"Contact: <sip:a@b>;reg-id\r\n",
		"Contact: <sip:a@b>;reg-id=2147483648\r\n",
		"Contact: <sip:a@b>;+sip.instance=\"\"\r\n",
		"Contact: <sip:a@b>;+sip.instance\r\n",
		"Contact: <sip:a@b:0>\r\n", "Contact: \"A <sip:a@b>\r\n",
		"Contact: <sip:a@b>;q=0.5;;\r\n" };
	static struct contact_test t;

	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		assert_for(bad[i], !read_contacts(*state, bad[i], &t));
		assert_for(bad[i], t.why.status == 400);
		assert_for(bad[i], strstr(t.why.reason, "Contact") != NULL);
	}
}

static void
contacts_are_counted(void **state)
{
	static struct contact_test t;
	char line[4096];
	size_t n = (size_t)snprintf(line, sizeof line, "Contact: <sip:a@h>");

	for (int i = 1; i < SIP_CONTACTS_MAX; i++)
		n += (size_t)snprintf(line + n, sizeof line - n, ",<sip:a%d@h>", i);
	snprintf(line + n, sizeof line - n, "\r\n");
	assert_true(read_contacts(*state, line, &t));
	assert_int_equal(t.contacts.count, SIP_CONTACTS_MAX);
	snprintf(line + n, sizeof line - n, ",<sip:b@h>\r\n");
	assert_false(read_contacts(*state, line, &t));
	assert_int_equal(t.why.status, 400);
	assert_string_equal(t.why.reason, "Too Many Contacts");
}

static void
the_largest_list_of_contacts_fits_the_parsers_memory(void **state)
{
	static struct contact_test t;
	static char line[62000];
	size_t n = (size_t)snprintf(line, sizeof line, "Contact: <sip:a@h>");

	for (int i = 1; i < SIP_CONTACTS_MAX; i++)
		n += (size_t)snprintf(line + n, sizeof line - n, ",<sip:%0900d@h>", i);
	snprintf(line + n, sizeof line - n, "\r\n");
	assert_true(read_contacts(*state, line, &t));
	assert_int_equal(t.contacts.count, SIP_CONTACTS_MAX);
	assert_int_equal(t.contacts.list[63].address.uri.user.n, 900);
}

/* ---- credentials ---- */

static bool
read_credentials(struct parsing *p, const char *line,
    struct sip_credentials *c)
{
	struct sip_message *m = parse_with(p, "none", line);

	assert_for(line, m->fault.status == 0);
	return sip_read_credentials(p->parser, sip_first(m, HEADER_AUTHORIZATION),
	    c);
}

static void
credentials_are_read_with_all_they_say(void **state)
{
	struct sip_credentials c;

	assert_true(read_credentials(*state,
	    "Authorization: Digest username=\"bob\",\r\n realm=\"biloxi.com\", "
	    "nonce=\"dcd98b\", uri=\"sip:bob@biloxi.com;x=1,2\", qop=auth, "
	    "nc=00000001, cnonce=\"0a4f\", response=\"6629\", opaque=\"5ccc\", "
	    "algorithm=SHA-256\r\n",
	    &c));
	assert_str(c.username, "bob");
	assert_str(c.realm, "biloxi.com");
	assert_str(c.nonce, "dcd98b");
	assert_str(c.uri, "sip:bob@biloxi.com;x=1,2");
	assert_str(c.qop, "auth");
	assert_str(c.nc, "00000001");
	assert_str(c.cnonce, "0a4f");
	assert_str(c.response, "6629");
	assert_str(c.opaque, "5ccc");
	assert_str(c.algorithm, "SHA-256");
	assert_false(c.username_hashed);
}

static void
credentials_may_be_written_in_many_ways(void **state)
{
	struct sip_credentials c;

	/* quotes where none belong, none where some do; names in any case */
	assert_true(read_credentials(*state,
	    "authorization: DIGEST Username=bob,QOP=\"auth\",NC=\"00000002\" , "
	    "algorithm=\"MD5\",unknown=\"x\",userhash=true\r\n",
	    &c));
	assert_str(c.username, "bob");
	assert_str(c.qop, "auth");
	assert_str(c.nc, "00000002");
	assert_str(c.algorithm, "MD5");
	assert_null(c.realm.p);
	assert_true(c.username_hashed);
}

static void
escapes_in_credentials_are_undone(void **state)
{
	struct sip_credentials c;

	assert_true(read_credentials(*state,
	    "Authorization: Digest username=\"b\\\"o\\\\b\", realm=\"a, b\"\r\n",
	    &c));
	assert_str(c.username, "b\"o\\b");
	assert_str(c.realm, "a, b");
}

static void
a_form_that_is_not_filled_in_is_read(void **state)
{
	struct sip_credentials c;

	assert_true(read_credentials(*state,
	    "Authorization: Digest username=\"1008\",realm=\"192.168.1.173\","
	    "nonce=\"\",uri=\"sip:192.168.1.173\",response=\"\"\r\n",
	    &c));
	assert_str(c.username, "1008");
	assert_non_null(c.nonce.p);
	assert_int_equal(c.nonce.n, 0);
	assert_non_null(c.response.p);
	assert_int_equal(c.response.n, 0);
}

static void
what_is_no_digest_is_refused(void **state)
{
	static const char *const bad[] = {
		"Authorization: Digest ,\r\n", /* aborts in Sofia's own reader */
		"Authorization: Digest\r\n", "Authorization: Digest \r\n",
		"Authorization: \r\n", "Authorization: ,\r\n",
		"Authorization: Basic dXNlcjpwdw==\r\n",
		"Authorization: Digestusername=\"a\"\r\n",
		"Authorization: Digest username\r\n",
		"Authorization: Digest username=\"a\",username=\"b\"\r\n",
		"Authorization: Digest nonce=\"a\",NONCE=\"a\"\r\n",
		"Authorization: Digest response=a,response=b\r\n",
	};
	struct sip_credentials c;

	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		assert_for(bad[i], !read_credentials(*state, bad[i], &c));
}

static void
several_credentials_are_read_line_by_line(void **state)
{
	struct parsing *p = *state;
	struct sip_credentials a, b;
	struct sip_message *m = parse_with(p, "none",
	    "Authorization: Digest realm=\"one\",nonce=\"\\1\"\r\n"
	    "Authorization: Digest realm=\"two\",nonce=\"\\2\"\r\n");
	const struct sip_line *line = sip_first(m, HEADER_AUTHORIZATION);

	assert_true(sip_read_credentials(p->parser, line, &a));
	assert_true(sip_read_credentials(p->parser, sip_next(m, line), &b));
	assert_str(a.realm, "one");
	assert_str(a.nonce, "1");
	assert_str(b.realm, "two");
	assert_str(b.nonce, "2");
}

/* Each of these bytes once asked for a look at all that follow. */
static void
a_list_is_cut_in_one_pass_whatever_is_in_it(void **state)
{
	static const char *const pieces[] = { "<>\"\"", "\"\"", "<\"", "<>,",
		"\"\\\"" };
	enum { N = 60000 };
	char *text = malloc(N);

	(void)state;
	alarm(20); /* it took minutes */
	for (size_t p = 0; p < sizeof pieces / sizeof *pieces; p++) {
		size_t n = strlen(pieces[p]);
		struct str rest = { text, N }, value;

		for (size_t i = 0; i < N; i++)
			text[i] = pieces[p][i % n];
		text[N - 1] = ',';
		while (sip_next_value(&rest, &value))
			assert_true(value.n <= N);
	}
	alarm(0);
	free(text);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		PARSING_TEST(a_list_is_cut_at_commas_outside_quotes_and_angles),
		cmocka_unit_test(a_list_is_cut_in_one_pass_whatever_is_in_it),
		PARSING_TEST(parameters_are_read_one_by_one),
		PARSING_TEST(a_malformed_parameter_stops_the_reading_and_stays),
		PARSING_TEST(a_parameter_is_found_by_its_name_in_any_case),
		PARSING_TEST(quotes_are_taken_off),
		PARSING_TEST(option_tags_are_found_in_all_lines),
		PARSING_TEST(an_address_may_be_written_in_many_ways),
		PARSING_TEST(what_is_no_address_is_refused),
		PARSING_TEST(contacts_are_read_with_all_they_say),
		PARSING_TEST(a_contact_from_the_field_is_read),
		PARSING_TEST(expires_that_is_odd_has_a_meaning),
		PARSING_TEST(the_expires_header_has_the_same_meaning),
		PARSING_TEST(q_is_thousandths),
		PARSING_TEST(the_star_is_told_apart),
		PARSING_TEST(contacts_that_are_wrong_are_refused),
		PARSING_TEST(contacts_are_counted),
		PARSING_TEST(the_largest_list_of_contacts_fits_the_parsers_memory),
		PARSING_TEST(credentials_are_read_with_all_they_say),
		PARSING_TEST(credentials_may_be_written_in_many_ways),
		PARSING_TEST(escapes_in_credentials_are_undone),
		PARSING_TEST(a_form_that_is_not_filled_in_is_read),
		PARSING_TEST(what_is_no_digest_is_refused),
		PARSING_TEST(several_credentials_are_read_line_by_line),
	};

	return cmocka_run_group_tests_name("sip/read", tests, NULL, NULL);
}
