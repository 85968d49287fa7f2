/* URIs: reading, the comparison of RFC 3261 19.1.4, addresses of record. */
#include "config.h"

#include "bindery/aor.h"
#include "message.h"

static bool
read_uri(struct parsing *p, const char *text, struct sip_uri *uri)
{
	return sip_read_uri(p->parser, str_of(text), uri);
}

static void
a_uri_is_read_in_all_its_parts(void **state)
{
	struct parsing *p = *state;
	struct sip_uri uri;

	parse_with(p, NULL, NULL);
	assert_true(read_uri(p,
	    "SIPS:al.ice:se%20cret@Atlanta.com:5061;transport=tcp;lr?subject=x&y=z",
	    &uri));
	assert_int_equal(uri.scheme, SCHEME_SIPS);
	assert_str(uri.user, "al.ice");
	assert_str(uri.password, "se%20cret");
	assert_true(str_caseeq(uri.host, STR("atlanta.com")));
	assert_int_equal(uri.port, 5061);
	assert_str(uri.params, "transport=tcp;lr");
	assert_str(uri.headers, "subject=x&y=z");
	assert_true(read_uri(p, "sip:[2001:db8::9:1]", &uri));
	assert_str(uri.host, "[2001:db8::9:1]");
	assert_null(uri.user.p);
	assert_int_equal(uri.port, 0);
}

static void
escapes_stand_as_they_were_written(void **state)
{
	struct parsing *p = *state;
	struct sip_uri uri;

	parse_with(p, NULL, NULL);
	assert_true(read_uri(p, "sip:%61%6C%69ce@example.com", &uri));
	assert_str(uri.user, "%61%6C%69ce");
	assert_true(read_uri(p, "sip:a%00b@example.com", &uri));
	assert_str(uri.user, "a%00b");
}

static void
what_is_no_uri_is_refused(void **state)
{
	static const char *const bad[] = { "", "sip:", "sip:@", "sip:a@",
		"sip:@b", "sip::5060", "sip:a@b:0", "sip:a@b:65536",
		"sip:a@b:x", "sip:a@b:-1", "sip:a@b:5060x", "sip:a b@c", "sip:a@b c",
		"sip:a@[::1", "sip:a@::1", "sip:a@[::g]", "sip:a@[]", "sip:a@b/c",
		"sip:a<@b", "sip:a\"@b", "sip:a%@b", "sip:a%4@b", "sip:a%zz@b",
		"sip:a@b;x=%", "sip:a@b\x80", "sip:a@\xc3\xa4", ":a@b", "a@b", "1234",
		"sip:a@b^", "sip:a@-b", "sip:a@.b", "sip:a@b_c!" };
	struct parsing *p = *state;
	struct sip_uri uri;

	parse_with(p, NULL, NULL);
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		assert_for(bad[i], !read_uri(p, bad[i], &uri));
}

static void
a_scheme_without_a_colon_is_no_uri(void **state)
{
	static const char *const bad[] = { "sip", "sips", "SIP", "tel" };
	struct parsing *p = *state;
	struct sip_uri uri;

	parse_with(p, NULL, NULL);
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		assert_for(bad[i], !read_uri(p, bad[i], &uri));
}

static void
a_number_sign_must_be_escaped(void **state)
{
	static const char *const bad[] = { "sip:a#b@c", "sip:a@b#", "sip:a@b#c",
		"sip:a@b;x=1#y", "sip:a@b;x=1#", "sip:a%23@b#" };
	struct parsing *p = *state;
	struct sip_uri uri;

	parse_with(p, NULL, NULL);
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		assert_for(bad[i], !read_uri(p, bad[i], &uri));
	assert_true(read_uri(p, "sip:%2300@b", &uri));
}

static void
a_uri_with_a_parameter_twice_is_refused_or_equals_itself(void **state)
{
	static const char text[] = "sip:a@b;x=1;x=2";
	struct parsing *p = *state;
	struct sip_uri a, b;

	parse_with(p, NULL, NULL);
	/* "any given parameter-name MUST NOT appear more than once" (19.1.1) */
	if (read_uri(p, text, &a) && read_uri(p, text, &b))
		assert_true(sip_uri_equal(&a, &b));
}

static void
odd_but_legal_uris_are_read(void **state)
{
	static const char *const good[] = { "sip:a@b", "sip:a:@b", "sip:a@b:65535",
		"sip:a@192.0.2.1", "sip:a@b.", "sip:*@b",
		"sip:+1-212-555-1212:1234@gateway.com;user=phone",
		"sip:a;b=c@d", "sip:a?b@c", "sip:a@b;x", "sip:a@b;x=1;y=2",
		"sip:a@b?x=y", "sip:a/b@c", "sip:%40@b", "sip:$&+,/:;=?@b" };
	struct parsing *p = *state;
	struct sip_uri uri;

	parse_with(p, NULL, NULL);
	for (size_t i = 0; i < sizeof good / sizeof *good; i++)
		assert_for(good[i], read_uri(p, good[i], &uri));
}

/* ---- comparison ---- */

static bool
are_equal(struct parsing *p, const char *a, const char *b)
{
	struct sip_uri x, y;

	parse_with(p, NULL, NULL);
	assert_for(a, read_uri(p, a, &x));
	assert_for(b, read_uri(p, b, &y));
	if (sip_uri_equal(&x, &y) != sip_uri_equal(&y, &x))
		fail_msg("%s and %s: it depends on their order", a, b);
	return sip_uri_equal(&x, &y);
}

static void
the_equal_pairs_of_19_1_4_are_equal(void **state)
{
	static const char *const pairs[][2] = {
		{ "sip:%61lice@atlanta.com;transport=TCP",
		    "sip:alice@AtLanTa.CoM;Transport=tcp" },
		{ "sip:carol@chicago.com", "sip:carol@chicago.com;newparam=5" },
		{ "sip:carol@chicago.com", "sip:carol@chicago.com;security=on" },
		{ "sip:carol@chicago.com;newparam=5",
		    "sip:carol@chicago.com;security=on" },
		{ "sip:biloxi.com;transport=tcp;method=REGISTER"
		  "?to=sip:bob%40biloxi.com",
		    "sip:biloxi.com;method=REGISTER;transport=tcp"
		    "?to=sip:bob%40biloxi.com" },
		{ "sip:alice@atlanta.com?subject=project%20x&priority=urgent",
		    "sip:alice@atlanta.com?priority=urgent&subject=project%20x" },
	};

	for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++)
		assert_for(pairs[i][0], are_equal(*state, pairs[i][0], pairs[i][1]));
}

static void
the_unequal_pairs_of_19_1_4_are_not(void **state)
{
	static const char *const pairs[][2] = {
		{ "SIP:ALICE@AtLanTa.CoM;Transport=udp",
		    "sip:alice@AtLanTa.CoM;Transport=UDP" },
		{ "sip:bob@biloxi.com", "sip:bob@biloxi.com:5060" },
		{ "sip:bob@biloxi.com", "sip:bob@biloxi.com;transport=udp" },
		{ "sip:bob@biloxi.com", "sip:bob@biloxi.com:6000;transport=tcp" },
		{ "sip:carol@chicago.com",
		    "sip:carol@chicago.com?Subject=next%20meeting" },
		{ "sip:bob@phone21.boxesbybob.com", "sip:bob@192.0.2.4" },
		/* equality is not transitive */
		{ "sip:carol@chicago.com;security=on",
		    "sip:carol@chicago.com;security=off" },
	};

	for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++)
		assert_for(pairs[i][0],
		    !are_equal(*state, pairs[i][0], pairs[i][1]));
}

static void
each_rule_of_19_1_4_holds(void **state)
{
	static const struct {
		const char *a, *b;
		bool equal;
	} pairs[] = {
		{ "sip:a@b", "sips:a@b", false },
		{ "SIP:a@b", "sip:a@b", true },
		{ "sip:a@b", "sip:A@b", false },
		{ "sip:a:pw@b", "sip:a@b", false },
		{ "sip:a:pw@b", "sip:a:PW@b", false },
		{ "sip:a:pw@b", "sip:a:pw@B", true },
		{ "sip:a@b", "sip:b", false },
		{ "sip:a%2cb@c", "sip:a%2Cb@c", true },
		{ "sip:a%2db@c", "sip:a-b@c", true },
		{ "sip:a%20b@c", "sip:a%20b@c", true },
		{ "sip:a%25b@c", "sip:a%25b@c", true },
		{ "sip:a@b:5060", "sip:a@b:5060", true },
		{ "sip:a@b:5060", "sip:a@b:05060", true },
		{ "sip:a@b;user=phone", "sip:a@b", false },
		{ "sip:a@b;user=ip", "sip:a@b", false }, /* even the default */
		{ "sip:a@b;ttl=1", "sip:a@b", false },
		{ "sip:a@b;method=INVITE", "sip:a@b", false },
		{ "sip:a@b;maddr=1.2.3.4", "sip:a@b", false },
		{ "sip:a@b;maddr=1.2.3.4", "sip:a@b;maddr=1.2.3.4", true },
		{ "sip:a@b;maddr=1.2.3.4", "sip:a@b;maddr=1.2.3.5", false },
		{ "sip:a@b;user=phone", "sip:a@b;USER=PHONE", true },
		{ "sip:a@b;x=1", "sip:a@b;x=2", false },
		{ "sip:a@b;x=1", "sip:a@b;X=1", true },
		{ "sip:a@b;x=a%41", "sip:a@b;x=aA", true },
		{ "sip:a@b;x", "sip:a@b;x", true },
		{ "sip:a@b;x", "sip:a@b;x=1", false },
		{ "sip:a@b;lr", "sip:a@b", true },
		{ "sip:a@b;x=1;y=2", "sip:a@b;y=2;z=3", true },
		{ "sip:a@b?h=1", "sip:a@b?h=2", false },
		{ "sip:a@b?h=1", "sip:a@b?h=1&i=2", false },
		{ "sip:a@b?h=1&i=2", "sip:a@b?i=2&h=1", true },
		{ "sip:a@[::1]", "sip:a@[::1]", true },
		{ "sip:a@[2001:DB8::1]", "sip:a@[2001:db8::1]", true },
	};

	for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++)
		if (are_equal(*state, pairs[i].a, pairs[i].b) != pairs[i].equal)
			fail_msg("%s and %s", pairs[i].a, pairs[i].b);
}

static void
a_reserved_character_is_not_its_escape(void **state)
{
	/* those that may stand bare in a user part (25.1 user-unreserved) */
	static const char reserved[] = "&=+$,;?/";

	for (const char *c = reserved; *c != '\0'; c++) {
		char bare[32], escaped[32];

		snprintf(bare, sizeof bare, "sip:a%cb@c", *c);
		snprintf(escaped, sizeof escaped, "sip:a%%%02Xb@c",
		    (unsigned char)*c);
		assert_for(bare, !are_equal(*state, bare, escaped));
	}
}

static void
foreign_uris_are_never_equal(void **state)
{
	assert_false(are_equal(*state, "tel:+1", "tel:+1"));
	assert_false(are_equal(*state, "tel:+1", "sip:+1@b"));
}

/* ---- addresses of record ---- */

static void
check_aor(struct parsing *p, const char *uri, const char *expected)
{
	struct sip_uri parts;
	char memory[AOR_MAX];
	struct out out = out_to(memory, sizeof memory);

	parse_with(p, NULL, NULL);
	assert_for(uri, read_uri(p, uri, &parts));
	aor_write(&out, parts.user, STR("example.com"));
	assert_false(out.full);
	assert_str(out_str(&out), expected);
}

static void
an_address_of_record_is_the_same_however_it_is_written(void **state)
{
	check_aor(*state, "sip:alice@example.com", "alice@example.com");
	check_aor(*state, "sip:%61%6cic%65@EXAMPLE.com:5060;x=1?y=z",
	    "alice@example.com");
	check_aor(*state, "sips:alice:password@example.com", "alice@example.com");
	check_aor(*state, "sip:Alice@example.com", "Alice@example.com");
	check_aor(*state, "sip:a%2Cb@example.com", "a,b@example.com");
	check_aor(*state, "sip:a,b@example.com", "a,b@example.com");
	check_aor(*state, "sip:a%2db@example.com", "a-b@example.com");
}

static void
what_would_be_no_text_stays_escaped(void **state)
{
	check_aor(*state, "sip:a%00b@example.com", "a%00b@example.com");
	check_aor(*state, "sip:a%0d%0ab@example.com", "a%0D%0Ab@example.com");
	check_aor(*state, "sip:a%20b@example.com", "a%20b@example.com");
	check_aor(*state, "sip:a%c3%a4@example.com", "a%C3%A4@example.com");
	check_aor(*state, "sip:a%2561@example.com", "a%2561@example.com");
	check_aor(*state, "sip:a%7f@example.com", "a%7F@example.com");
}

static void
two_escapes_of_one_character_are_one_address_of_record(void **state)
{
	check_aor(*state, "sip:%c3%A4@example.com", "%C3%A4@example.com");
	check_aor(*state, "sip:%C3%a4@example.com", "%C3%A4@example.com");
}

static void
an_address_of_record_never_overruns(void **state)
{
	char memory[8];
	struct out out = out_to(memory, sizeof memory);

	(void)state;
	aor_write(&out, STR("alice"), STR("example.com"));
	assert_true(out.full);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		PARSING_TEST(a_uri_is_read_in_all_its_parts),
		PARSING_TEST(escapes_stand_as_they_were_written),
		PARSING_TEST(what_is_no_uri_is_refused),
		PARSING_TEST(a_scheme_without_a_colon_is_no_uri),
		PARSING_TEST(a_number_sign_must_be_escaped),
		PARSING_TEST(a_uri_with_a_parameter_twice_is_refused_or_equals_itself),
		PARSING_TEST(odd_but_legal_uris_are_read),
		PARSING_TEST(the_equal_pairs_of_19_1_4_are_equal),
		PARSING_TEST(the_unequal_pairs_of_19_1_4_are_not),
		PARSING_TEST(each_rule_of_19_1_4_holds),
		PARSING_TEST(a_reserved_character_is_not_its_escape),
		PARSING_TEST(foreign_uris_are_never_equal),
		PARSING_TEST(an_address_of_record_is_the_same_however_it_is_written),
		PARSING_TEST(what_would_be_no_text_stays_escaped),
		PARSING_TEST(two_escapes_of_one_character_are_one_address_of_record),
		PARSING_TEST(an_address_of_record_never_overruns),
	};

	return cmocka_run_group_tests_name("sip/uri", tests, NULL, NULL);
}
