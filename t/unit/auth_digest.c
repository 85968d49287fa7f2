/* Digest credentials judged: vectors, the verdicts, what a challenge says. */
#include "config.h"

#include "unit.h"

#include "bindery/auth.h"
#include "bindery/sip.h"

static const int64_t start = 7000000;

/* ---- vectors ---- */

static void
check_response(enum digest_algorithm algorithm, const char *username,
    const char *realm, const char *password, const char *method,
    const struct sip_credentials *c, const char *expected)
{
	unsigned char ha1[DIGEST_MAX];
	char hex[DIGEST_HEX_MAX];

	digest_ha1(algorithm, str_of(username), str_of(realm), str_of(password),
	    ha1);
	auth_response(algorithm, ha1, str_of(method), c, hex);
	assert_str(((struct str){ hex, 2 * digest_size(algorithm) }), expected);
}

static void
the_vectors_of_rfc_7616_3_9_1_come_out(void **state)
{
	const struct sip_credentials c = {
		.nonce = STR("7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v"),
		.uri = STR("/dir/index.html"), .qop = STR("auth"),
		.nc = STR("00000001"),
		.cnonce = STR("f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ"),
	};

	(void)state;
	check_response(DIGEST_MD5, "Mufasa", "http-auth@example.org",
	    "Circle of Life", "GET", &c, "8ca523f5e9506fed4657c9700eebdbec");
	check_response(DIGEST_SHA256, "Mufasa", "http-auth@example.org",
	    "Circle of Life", "GET", &c,
	    "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1");
}

static void
the_vector_of_rfc_7616_3_9_2_comes_out(void **state)
{
	const struct sip_credentials c = {
		.nonce = STR("5TsQWLVdgBdmrQ0XsxbDODV+57QdFR34I9HAbC/RVvkK"),
		.uri = STR("/doe.json"), .qop = STR("auth"), .nc = STR("00000001"),
		.cnonce = STR("NTg6RKcb9boFIAS3KrFK9BGeh+iDa/sm6jUMp2wds69v"),
	};

	(void)state;
	/* as corrected by erratum 4897: the RFC cut SHA-512 short instead */
	check_response(DIGEST_SHA512_256, "J\xc3\xa4s\xc3\xb8n Doe",
	    "api@example.org", "Secret, or not?", "GET", &c,
	    "3798d4131c277846293534c3edc11bd8a5e4cdcbff78b05db9d95eeb1cec68a5");
}

static void
the_vector_from_the_field_comes_out(void **state)
{
	const struct sip_credentials c = { .nonce = STR("183658a0"),
		.uri = STR("sip:192.168.1.173") };

	(void)state;
	check_response(DIGEST_MD5, "1008", "asterisk", "1008", "REGISTER", &c,
	    "8d96b7a24f38fc762cdea53000220323");
}

/* ---- a realm and a user ---- */

struct fixture {
	struct auth_shared *shared;
	struct auth *auth;
	enum digest_algorithm algorithms[DIGEST_ALGORITHMS];
	struct auth_realm realm;
	struct user user;
	char nonce[64], response[DIGEST_HEX_MAX];
	enum digest_algorithm algorithm; /* of `response` */
	struct sip_credentials c;
};

static int
set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof *f);

	f->shared = auth_shared_new();
	f->auth = auth_new(f->shared);
	for (int i = 0; i < DIGEST_ALGORITHMS; i++) {
		f->algorithms[i] = (enum digest_algorithm)i;
		digest_ha1((enum digest_algorithm)i, STR("alice"),
		    STR("example.com"), STR("secret"), f->user.ha1[i]);
	}
	f->realm = (struct auth_realm){ STR("example.com"), f->algorithms,
		DIGEST_ALGORITHMS, 300, false };
	f->user.username = STR("alice");
	f->user.enabled = true;
	f->user.has_ha1 = 7;
	f->algorithm = DIGEST_MD5;
	*state = f;
	return 0;
}

static int
tear_down(void **state)
{
	struct fixture *f = *state;

	auth_free(f->auth);
	auth_shared_free(f->shared);
	free(f);
	return 0;
}

/* The nonce of a new challenge. */
static void
be_challenged(struct fixture *f, int64_t now)
{
	char text[2048];
	struct out out = out_to(text, sizeof text);
	const char *at;

	auth_challenge(f->auth, &f->realm, &out, STR("WWW-Authenticate"), false,
	    now);
	at = strstr(out_z(&out), "nonce=\"");
	assert_non_null(at);
	snprintf(f->nonce, sizeof f->nonce, "%.*s", (int)strcspn(at + 7, "\""),
	    at + 7);
}

/* Fills in the response to what stands in f->c. */
static void
respond(struct fixture *f)
{
	auth_response(f->algorithm, f->user.ha1[f->algorithm], STR("REGISTER"),
	    &f->c, f->response);
	f->c.response =
	    (struct str){ f->response, 2 * digest_size(f->algorithm) };
}

/* Good credentials for the last challenge. */
static void
answer(struct fixture *f, const char *nc)
{
	f->c = (struct sip_credentials){ .username = STR("alice"),
		.realm = STR("example.com"), .nonce = str_of(f->nonce),
		.uri = STR("sip:example.com"), .qop = STR("auth"),
		.cnonce = STR("xyz"), .nc = str_of(nc),
		.algorithm = str_of(digest_name(f->algorithm)) };
	respond(f);
}

static enum auth_verdict
check(struct fixture *f, int64_t now)
{
	return auth_check(f->auth, &f->realm, STR("REGISTER"), &f->c, &f->user,
	    now);
}

static void
a_right_answer_is_right_by_every_algorithm(void **state)
{
	struct fixture *f = *state;

	for (int i = 0; i < DIGEST_ALGORITHMS; i++) {
		f->algorithm = (enum digest_algorithm)i;
		be_challenged(f, start);
		answer(f, "00000001");
		assert_int_equal(check(f, start), AUTH_RIGHT);
	}
}

static void
without_an_algorithm_it_is_md5(void **state)
{
	struct fixture *f = *state;

	be_challenged(f, start);
	answer(f, "00000001");
	f->c.algorithm = STR_NONE;
	assert_int_equal(check(f, start), AUTH_RIGHT);
}

static void
upper_case_digits_are_digits(void **state)
{
	struct fixture *f = *state;

	be_challenged(f, start);
	answer(f, "0000000a");
	for (size_t i = 0; i < f->c.response.n; i++)
		if (f->response[i] >= 'a')
			f->response[i] = (char)(f->response[i] - 32);
	assert_int_equal(check(f, start), AUTH_RIGHT);
}

static void
a_count_is_right_once_then_replayed(void **state)
{
	struct fixture *f = *state;

	be_challenged(f, start);
	answer(f, "00000001");
	assert_int_equal(check(f, start), AUTH_RIGHT);
	assert_int_equal(check(f, start + 1), AUTH_REPLAYED);
	answer(f, "00000002");
	assert_int_equal(check(f, start + 2), AUTH_RIGHT);
}

static void
what_is_wrong_uses_nothing_up(void **state)
{
	struct fixture *f = *state;

	be_challenged(f, start);
	answer(f, "00000001");
	f->response[0] ^= 1;
	assert_int_equal(check(f, start), AUTH_WRONG);
	f->response[0] ^= 1;
	assert_int_equal(check(f, start), AUTH_RIGHT);
}

static void
each_part_of_the_answer_counts(void **state)
{
	struct fixture *f = *state;
	struct str *const parts[] = { &f->c.uri, &f->c.cnonce, &f->c.nonce };

	be_challenged(f, start);
	for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
		answer(f, "00000001");
		*parts[i] = STR("other");
		assert_int_equal(check(f, start),
		    parts[i] == &f->c.nonce ? AUTH_FOREIGN : AUTH_WRONG);
	}
	answer(f, "00000001");
	f->c.nc = STR("00000002");
	assert_int_equal(check(f, start), AUTH_WRONG);
	answer(f, "00000001");
	assert_int_equal(auth_check(f->auth, &f->realm, STR("INVITE"), &f->c,
	                     &f->user, start),
	    AUTH_WRONG);
}

static void
a_response_of_another_length_is_wrong(void **state)
{
	struct fixture *f = *state;

	be_challenged(f, start);
	answer(f, "00000001");
	for (size_t n = 0; n < 32; n++) {
		f->c.response.n = n;
		assert_int_equal(check(f, start), AUTH_WRONG);
	}
}

static void
an_unknown_user_looks_like_a_wrong_password(void **state)
{
	struct fixture *f = *state;

	be_challenged(f, start);
	answer(f, "00000001");
	assert_int_equal(auth_check(f->auth, &f->realm, STR("REGISTER"), &f->c,
	                     NULL, start),
	    AUTH_WRONG);
	f->user.enabled = false;
	assert_int_equal(check(f, start), AUTH_WRONG);
	f->user.enabled = true;
	f->user.has_ha1 = 1 << DIGEST_SHA256;
	assert_int_equal(check(f, start), AUTH_WRONG);
}

static void
a_user_without_this_hash_is_no_user(void **state)
{
	struct fixture *f = *state;

	/* with a hash of zeros, which is what stands in its place */
	f->user.has_ha1 = 1 << DIGEST_SHA256;
	memset(f->user.ha1[DIGEST_MD5], 0, DIGEST_MAX);
	be_challenged(f, start);
	answer(f, "00000001");
	assert_int_equal(check(f, start), AUTH_WRONG);
}

static void
an_aged_nonce_is_stale(void **state)
{
	struct fixture *f = *state;

	be_challenged(f, start);
	answer(f, "00000001");
	assert_int_equal(check(f, start + 300 * 1000), AUTH_STALE);
	assert_int_equal(check(f, start + 299 * 1000), AUTH_RIGHT);
}

static void
a_wrong_answer_is_not_told_that_its_nonce_aged(void **state)
{
	struct fixture *f = *state;

	be_challenged(f, start);
	answer(f, "00000001");
	f->response[3] ^= 1;
	assert_int_equal(check(f, start + 400 * 1000), AUTH_WRONG);
}

static void
a_foreign_nonce_is_stale_if_the_password_is_right(void **state)
{
	static const char *const foreign[] = { "183658a0", "x",
		"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA" };
	struct fixture *f = *state;

	for (size_t i = 0; i < sizeof foreign / sizeof *foreign; i++) {
		snprintf(f->nonce, sizeof f->nonce, "%s", foreign[i]);
		answer(f, "00000001");
		assert_int_equal(check(f, start), AUTH_STALE);
		f->response[0] ^= 1;
		assert_int_equal(check(f, start), AUTH_FOREIGN);
	}
}

static void
a_nonce_from_the_future_is_not_taken(void **state)
{
	struct fixture *f = *state;

	be_challenged(f, start + 5000);
	answer(f, "00000001");
	assert_int_equal(check(f, start), AUTH_STALE);
}

static void
a_nonce_of_another_realm_is_stale(void **state)
{
	struct fixture *f = *state;

	f->realm.realm = STR("other.example");
	be_challenged(f, start);
	f->realm.realm = STR("example.com");
	answer(f, "00000001");
	assert_int_equal(check(f, start), AUTH_STALE);
}

static void
a_form_not_filled_in_is_no_credentials(void **state)
{
	struct fixture *f = *state;

	f->c = (struct sip_credentials){ .username = STR("1008"),
		.realm = STR("example.com"), .nonce = STR(""),
		.uri = STR("sip:192.168.1.173"), .response = STR("") };
	assert_int_equal(check(f, start), AUTH_NONE);
}

static void
an_algorithm_that_is_not_offered_is_no_credentials(void **state)
{
	static const char *const names[] = { "SHA-1", "MD5-sess", "SHA-256-sess",
		"", "md4" };
	struct fixture *f = *state;

	be_challenged(f, start);
	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		answer(f, "00000001");
		f->c.algorithm = str_of(names[i]);
		assert_int_equal(check(f, start), AUTH_NONE);
	}
	answer(f, "00000001");
	f->realm.algorithm_count = 2; /* without MD5, the last */
	assert_int_equal(check(f, start), AUTH_NONE);
	f->c.algorithm = STR_NONE; /* MD5 by another way */
	assert_int_equal(check(f, start), AUTH_NONE);
}

static void
another_qop_is_no_credentials(void **state)
{
	struct fixture *f = *state;

	be_challenged(f, start);
	answer(f, "00000001");
	f->c.qop = STR("auth-int");
	respond(f);
	assert_int_equal(check(f, start), AUTH_NONE);
}

static void
credentials_that_lack_something_are_bad(void **state)
{
	struct fixture *f = *state;
	struct str *const parts[] = { &f->c.username, &f->c.nonce, &f->c.uri,
		&f->c.response, &f->c.cnonce, &f->c.nc };

	be_challenged(f, start);
	for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
		answer(f, "00000001");
		*parts[i] = STR_NONE;
		assert_int_equal(check(f, start), AUTH_BAD);
	}
}

static void
a_count_that_is_none_is_bad(void **state)
{
	static const char *const counts[] = { "", "1", "0000001", "000000001",
		"0000000g", "00000000", "-0000001", "0x000001" };
	struct fixture *f = *state;

	be_challenged(f, start);
	for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
		answer(f, counts[i]);
		assert_int_equal(check(f, start), AUTH_BAD);
	}
}

/* ---- without qop, RFC 2069 ---- */

static void
answer_the_old_way(struct fixture *f)
{
	answer(f, NULL);
	f->c.qop = f->c.cnonce = f->c.nc = STR_NONE;
	respond(f);
}

static void
without_qop_it_is_taken_only_where_allowed_and_once(void **state)
{
	struct fixture *f = *state;

	be_challenged(f, start);
	answer_the_old_way(f);
	assert_int_equal(check(f, start), AUTH_NONE);
	f->realm.allow_rfc2069 = true;
	assert_int_equal(check(f, start), AUTH_RIGHT);
	assert_int_equal(check(f, start), AUTH_REPLAYED);
	answer(f, "00000001"); /* nor with qop, now */
	assert_int_equal(check(f, start), AUTH_REPLAYED);
}

/* ---- challenges ---- */

static void
a_challenge_offers_each_algorithm_in_order(void **state)
{
	struct fixture *f = *state;
	char text[2048], expected[2048];
	struct out out = out_to(text, sizeof text);
	const char *nonce;

	f->algorithms[0] = DIGEST_MD5;
	f->algorithms[1] = DIGEST_SHA512_256;
	f->realm.algorithm_count = 2;
	auth_challenge(f->auth, &f->realm, &out, STR("Proxy-Authenticate"), true,
	    start);
	assert_false(out.full);
	nonce = strstr(out_z(&out), "nonce=\"") + 7;
	snprintf(expected, sizeof expected,
	    "Proxy-Authenticate: Digest realm=\"example.com\", nonce=\"%.32s\", "
	    "algorithm=MD5, qop=\"auth\", stale=true\r\n"
	    "Proxy-Authenticate: Digest realm=\"example.com\", nonce=\"%.32s\", "
	    "algorithm=SHA-512-256, qop=\"auth\", stale=true\r\n",
	    nonce, nonce);
	assert_string_equal(text, expected);
}

static void
a_realm_with_quotes_is_escaped(void **state)
{
	struct fixture *f = *state;
	char text[2048];
	struct out out = out_to(text, sizeof text);

	f->realm.realm = STR("a\"b\\c");
	f->realm.algorithm_count = 1;
	auth_challenge(f->auth, &f->realm, &out, STR("WWW-Authenticate"), false,
	    start);
	assert_non_null(strstr(out_z(&out), "realm=\"a\\\"b\\\\c\""));
	assert_null(strstr(text, "stale"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_vectors_of_rfc_7616_3_9_1_come_out),
		cmocka_unit_test(the_vector_of_rfc_7616_3_9_2_comes_out),
		cmocka_unit_test(the_vector_from_the_field_comes_out),
		TEST(a_right_answer_is_right_by_every_algorithm),
		TEST(without_an_algorithm_it_is_md5),
		TEST(upper_case_digits_are_digits),
		TEST(a_count_is_right_once_then_replayed),
		TEST(what_is_wrong_uses_nothing_up),
		TEST(each_part_of_the_answer_counts),
		TEST(a_response_of_another_length_is_wrong),
		TEST(an_unknown_user_looks_like_a_wrong_password),
		TEST(a_user_without_this_hash_is_no_user),
		TEST(an_aged_nonce_is_stale),
		TEST(a_wrong_answer_is_not_told_that_its_nonce_aged),
		TEST(a_foreign_nonce_is_stale_if_the_password_is_right),
		TEST(a_nonce_from_the_future_is_not_taken),
		TEST(a_nonce_of_another_realm_is_stale),
		TEST(a_form_not_filled_in_is_no_credentials),
		TEST(an_algorithm_that_is_not_offered_is_no_credentials),
		TEST(another_qop_is_no_credentials),
		TEST(credentials_that_lack_something_are_bad),
		TEST(a_count_that_is_none_is_bad),
		TEST(without_qop_it_is_taken_only_where_allowed_and_once),
		TEST(a_challenge_offers_each_algorithm_in_order),
		TEST(a_realm_with_quotes_is_escaped),
	};

	return cmocka_run_group_tests_name("auth/digest", tests, NULL, NULL);
}
