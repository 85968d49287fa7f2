/* Hashes and codes: vectors, threads, keys. */
#include "config.h"

#include "unit.h"

#include <pthread.h>

#include "bindery/crypto.h"

static void
check_hash(enum digest_algorithm algorithm, const char *text,
    const char *expected)
{
	const struct str part = str_of(text);
	unsigned char hash[DIGEST_MAX];
	char hex[DIGEST_HEX_MAX];

	digest_hash(algorithm, &part, 1, hash);
	hex_write(hex, hash, digest_size(algorithm));
	assert_str(((struct str){ hex, 2 * digest_size(algorithm) }), expected);
}

static void
hashes_are_those_of_the_standards(void **state)
{
	(void)state;
	check_hash(DIGEST_MD5, "", "d41d8cd98f00b204e9800998ecf8427e");
	check_hash(DIGEST_MD5, "abc", "900150983cd24fb0d6963f7d28e17f72");
	check_hash(DIGEST_SHA256, "",
	    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
	check_hash(DIGEST_SHA256, "abc",
	    "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
	check_hash(DIGEST_SHA512_256, "",
	    "c672b8d1ef56ed28ab87c3622c5114069bdd3ad7b8f9737498d0c01ecef0967a");
	check_hash(DIGEST_SHA512_256, "abc",
	    "53048e2681941ef99b2e29b76b4c7dabe4c2d0c634fc6d46e0e2f13107e7af23");
}

static void
parts_are_hashed_as_one_text(void **state)
{
	static const char text[] = "the quick brown fox";
	const struct str whole = STR("the quick brown fox");

	(void)state;
	for (int a = 0; a < DIGEST_ALGORITHMS; a++)
		for (size_t at = 0; at < whole.n; at++) {
			const struct str parts[] = { { text, at }, STR_NONE,
				{ text + at, whole.n - at }, STR("") };
			unsigned char x[DIGEST_MAX] = { 0 }, y[DIGEST_MAX] = { 0 };

			digest_hash((enum digest_algorithm)a, &whole, 1, x);
			digest_hash((enum digest_algorithm)a, parts, 4, y);
			assert_memory_equal(x, y, DIGEST_MAX);
		}
}

static void
ha1_is_the_hash_of_name_realm_and_password(void **state)
{
	unsigned char ha1[DIGEST_MAX];
	char hex[DIGEST_HEX_MAX];

	(void)state;
	digest_ha1(DIGEST_MD5, STR("Mufasa"), STR("testrealm@host.com"),
	    STR("Circle Of Life"), ha1);
	hex_write(hex, ha1, 16);
	assert_str(((struct str){ hex, 32 }), "939e7578ed9e3c518a452acee763bce9");
	/* RFC 7616 3.9.2's user and realm, without a password: its userhash */
	digest_hash(DIGEST_SHA512_256,
	    &(const struct str){ "J\xc3\xa4s\xc3\xb8n Doe:api@example.org", 27 }, 1,
	    ha1);
	hex_write(hex, ha1, 32);
	assert_str(((struct str){ hex, 64 }),
	    "793263caabb707a56211940d90411ea4a575adeccb7e360aeb624ed06ece9b0b");
}

static void
algorithms_are_known_by_their_names(void **state)
{
	static const struct {
		const char *name;
		enum digest_algorithm algorithm;
		size_t size;
	} names[] = { { "SHA-512-256", DIGEST_SHA512_256, 32 },
		{ "SHA-256", DIGEST_SHA256, 32 }, { "MD5", DIGEST_MD5, 16 } };
	static const char *const unknown[] = { "", "MD", "MD5-sess", "SHA-1",
		"SHA256", "SHA-512", "SHA-512-25", "SHA-256 " };
	enum digest_algorithm algorithm;

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		char lower[16];

		assert_string_equal(digest_name(names[i].algorithm),
		    names[i].name);
		assert_int_equal(digest_size(names[i].algorithm), names[i].size);
		assert_true(digest_of_name(str_of(names[i].name), &algorithm));
		assert_int_equal(algorithm, names[i].algorithm);
		str_lower(lower, str_of(names[i].name));
		assert_true(digest_of_name((struct str){ lower,
		                               strlen(names[i].name) },
		    &algorithm));
		assert_int_equal(algorithm, names[i].algorithm);
	}
	for (size_t i = 0; i < sizeof unknown / sizeof *unknown; i++)
		assert_for(unknown[i],
		    !digest_of_name(str_of(unknown[i]), &algorithm));
	assert_false(digest_of_name(STR_NONE, &algorithm));
}

/* ---- message authentication codes ---- */

static void
a_code_depends_on_key_and_text(void **state)
{
	struct mac *one = mac_new(), *other = mac_new();
	unsigned char a[MAC_SIZE], b[MAC_SIZE];

	(void)state;
	mac_sign(one, STR("text"), a);
	mac_sign(one, STR("text"), b);
	assert_memory_equal(a, b, MAC_SIZE);
	mac_sign(one, STR("texs"), b);
	assert_memory_not_equal(a, b, MAC_SIZE);
	mac_sign(other, STR("text"), b);
	assert_memory_not_equal(a, b, MAC_SIZE);
	mac_sign(one, STR(""), b);
	mac_sign(one, STR("text"), b);
	assert_memory_equal(a, b, MAC_SIZE);
	mac_free(one);
	mac_free(other);
	mac_free(NULL);
}

static void
a_copy_has_the_same_key_and_a_life_of_its_own(void **state)
{
	struct mac *one = mac_new(), *copy = mac_dup(one);
	unsigned char a[MAC_SIZE], b[MAC_SIZE];

	(void)state;
	mac_sign(one, STR("text"), a);
	mac_free(one);
	mac_sign(copy, STR("text"), b);
	assert_memory_equal(a, b, MAC_SIZE);
	mac_free(copy);
}

static void
secrets_are_compared_in_full(void **state)
{
	char a[40], b[40];

	(void)state;
	memset(a, 'x', sizeof a);
	memset(b, 'x', sizeof b);
	assert_true(same_secret(a, b, sizeof a));
	for (size_t i = 0; i < sizeof a; i++) {
		b[i] = 'y';
		assert_false(same_secret(a, b, sizeof a));
		assert_true(same_secret(a, b, i));
		b[i] = 'x';
	}
	assert_true(same_secret(a, b, 0));
}

/* ---- threads ---- */

static void *
hash_much(void *argument)
{
	unsigned char first[DIGEST_MAX], hash[DIGEST_MAX];
	const struct str part = STR("some text");

	(void)argument;
	digest_hash(DIGEST_SHA256, &part, 1, first);
	for (int i = 0; i < 2000; i++) {
		digest_hash(DIGEST_MD5, &part, 1, hash);
		digest_hash(DIGEST_SHA256, &part, 1, hash);
		if (memcmp(hash, first, 32) != 0)
			return (void *)1;
	}
	return NULL;
}

static void
threads_hash_at_the_same_time(void **state)
{
	pthread_t threads[8];
	void *wrong;

	(void)state;
	for (int i = 0; i < 8; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, hash_much, NULL),
		    0);
	for (int i = 0; i < 8; i++) {
		pthread_join(threads[i], &wrong);
		assert_null(wrong);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hashes_are_those_of_the_standards),
		cmocka_unit_test(parts_are_hashed_as_one_text),
		cmocka_unit_test(ha1_is_the_hash_of_name_realm_and_password),
		cmocka_unit_test(algorithms_are_known_by_their_names),
		cmocka_unit_test(a_code_depends_on_key_and_text),
		cmocka_unit_test(a_copy_has_the_same_key_and_a_life_of_its_own),
		cmocka_unit_test(secrets_are_compared_in_full),
		cmocka_unit_test(threads_hash_at_the_same_time),
	};

	return cmocka_run_group_tests_name("base/crypto", tests, NULL, NULL);
}
