/* SipHash against its reference and against OpenSSL; tables against a model. */
#include "config.h"

#include "unit.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>

#include "bindery/hash.h"

/* The key of the reference vectors: bytes 00 to 0f. */
static const struct hash_key reference_key = { 0x0706050403020100u,
	0x0f0e0d0c0b0a0908u };

static void
hash128_gives_the_reference_vectors_of_siphash_2_4_128(void **state)
{
	/* vectors_sip128 of the authors' implementation; input 00 01 02 ... */
	static const unsigned char vectors[][16] = {
		{ 0xa3, 0x81, 0x7f, 0x04, 0xba, 0x25, 0xa8, 0xe6, 0x6d, 0xf6, 0x72,
		    0x14, 0xc7, 0x55, 0x02, 0x93 },
		{ 0xda, 0x87, 0xc1, 0xd8, 0x6b, 0x99, 0xaf, 0x44, 0x34, 0x76, 0x59,
		    0x11, 0x9b, 0x22, 0xfc, 0x45 },
		{ 0x81, 0x77, 0x22, 0x8d, 0xa4, 0xa4, 0x5d, 0xc7, 0xfc, 0xa3, 0x8b,
		    0xde, 0xf6, 0x0a, 0xff, 0xe4 },
		{ 0x9c, 0x70, 0xb6, 0x0c, 0x52, 0x67, 0xa9, 0x4e, 0x5f, 0x33, 0xb6,
		    0xb0, 0x29, 0x85, 0xed, 0x51 },
		{ 0xf8, 0x81, 0x64, 0xc1, 0x2d, 0x9c, 0x8f, 0xaf, 0x7d, 0x0f, 0x6e,
		    0x7c, 0x7b, 0xcd, 0x55, 0x79 },
	};
	unsigned char input[16];

	(void)state;
	for (size_t i = 0; i < sizeof input; i++)
		input[i] = (unsigned char)i;
	for (size_t n = 0; n < sizeof vectors / sizeof *vectors; n++) {
		struct hash128 hash = hash128(&reference_key, input, n);

		for (size_t i = 0; i < 8; i++) {
			assert_int_equal(hash.a >> (8 * i) & 0xff, vectors[n][i]);
			assert_int_equal(hash.b >> (8 * i) & 0xff,
			    vectors[n][8 + i]);
		}
	}
}

/* SipHash-c-d by OpenSSL. */
static void
openssl_siphash(const struct hash_key *key, const void *bytes, size_t n,
    unsigned c, unsigned d, unsigned char *to, size_t size)
{
	EVP_MAC *mac = EVP_MAC_fetch(NULL, "SIPHASH", NULL);
	EVP_MAC_CTX *context = EVP_MAC_CTX_new(mac);
	OSSL_PARAM parameters[] = {
		OSSL_PARAM_construct_size_t(OSSL_MAC_PARAM_SIZE, &size),
		OSSL_PARAM_construct_uint(OSSL_MAC_PARAM_C_ROUNDS, &c),
		OSSL_PARAM_construct_uint(OSSL_MAC_PARAM_D_ROUNDS, &d),
		OSSL_PARAM_construct_end()
	};
	unsigned char key_bytes[16];
	size_t got;

	for (size_t i = 0; i < 8; i++) {
		key_bytes[i] = (unsigned char)(key->k0 >> (8 * i));
		key_bytes[8 + i] = (unsigned char)(key->k1 >> (8 * i));
	}
	assert_int_equal(EVP_MAC_init(context, key_bytes, 16, parameters), 1);
	assert_int_equal(EVP_MAC_update(context, bytes, n), 1);
	assert_int_equal(EVP_MAC_final(context, to, &got, size), 1);
	assert_int_equal(got, size);
	EVP_MAC_CTX_free(context);
	EVP_MAC_free(mac);
}

static uint64_t
word(const unsigned char *p)
{
	uint64_t w = 0;

	for (int i = 7; i >= 0; i--)
		w = w << 8 | p[i];
	return w;
}

static void
both_hashes_agree_with_openssl(void **state)
{
	uint64_t seed = 10;

	(void)state;
	for (size_t n = 0; n < 130; n++) {
		const struct hash_key key = { next_random(&seed),
			next_random(&seed) };
		unsigned char *bytes = malloc(n + 1), expected[16];
		struct hash128 hash;

		for (size_t i = 0; i < n; i++)
			bytes[i] = (unsigned char)next_random(&seed);
		openssl_siphash(&key, bytes, n, 1, 3, expected, 8);
		assert_true(hash64(&key, bytes, n) == word(expected));
		openssl_siphash(&key, bytes, n, 2, 4, expected, 16);
		hash = hash128(&key, bytes, n);
		assert_true(hash.a == word(expected));
		assert_true(hash.b == word(expected + 8));
		free(bytes);
	}
}

static void
each_bit_of_key_and_text_matters(void **state)
{
	char text[] = "sip:alice@example.com";
	struct hash_key key = { 1, 2 };
	uint64_t hash = hash64(&key, text, sizeof text);
	struct hash128 wide = hash128(&key, text, sizeof text);

	(void)state;
	for (int bit = 0; bit < 64; bit++) {
		struct hash_key other = { key.k0 ^ UINT64_C(1) << bit, key.k1 };

		assert_true(hash64(&other, text, sizeof text) != hash);
		other = (struct hash_key){ key.k0, key.k1 ^ UINT64_C(1) << bit };
		assert_true(hash64(&other, text, sizeof text) != hash);
		assert_true(hash128(&other, text, sizeof text).b != wide.b);
	}
	for (size_t i = 0; i < 8 * sizeof text; i++) {
		text[i / 8] = (char)(text[i / 8] ^ 1 << (i % 8));
		assert_true(hash64(&key, text, sizeof text) != hash);
		assert_true(hash128(&key, text, sizeof text).a != wide.a);
		text[i / 8] = (char)(text[i / 8] ^ 1 << (i % 8));
	}
	assert_true(hash64(&key, text, sizeof text - 1) != hash);
}

/* ---- tables ---- */

enum { THINGS = 3000 };

struct thing {
	int value;
	struct hash_node node;
	bool inside;
	uint64_t hash;
};

static size_t
count_with(const struct hash_table *table, uint64_t hash,
    const struct thing *wanted)
{
	struct hash_node *node = hash_first(table, hash);
	size_t found = 0;

	for (; node != NULL; node = hash_next(table, node)) {
		assert_true(node->hash == hash);
		found += container_of(node, struct thing, node) == wanted;
	}
	return found;
}

static void
check_table(const struct hash_table *table, const struct thing *things)
{
	size_t inside = 0, walked = 0;

	for (int i = 0; i < THINGS; i++) {
		inside += things[i].inside;
		assert_int_equal(count_with(table, things[i].hash, &things[i]),
		    things[i].inside ? 1 : 0);
	}
	assert_int_equal(table->count, inside);
	for (size_t i = 0; i < hash_slots(table); i++)
		walked += hash_at(table, i) != NULL;
	assert_int_equal(walked, inside);
}

static void
run_model(uint64_t seed, uint64_t mask)
{
	static struct thing things[THINGS];
	struct hash_table table = { 0 };

	memset(things, 0, sizeof things);
	for (int i = 0; i < THINGS; i++)
		things[i].hash = next_random(&seed) & mask;
	/* mostly in, then mostly out, so that it grows and shrinks */
	for (int phase = 0; phase < 6; phase++) {
		for (int round = 0; round < 4000; round++) {
			struct thing *thing = &things[random_up_to(&seed, THINGS)];
			bool want = random_up_to(&seed, 10) < 8;

			want = phase % 2 == 0 ? want : !want;
			if (want == thing->inside)
				continue;
			if (want)
				hash_insert(&table, &thing->node, thing->hash);
			else
				hash_remove(&table, &thing->node);
			thing->inside = want;
		}
		check_table(&table, things);
	}
	for (int i = 0; i < THINGS; i++)
		if (things[i].inside)
			hash_remove(&table, &things[i].node);
	assert_int_equal(table.count, 0);
	hash_free(&table);
}

static void
a_table_agrees_with_a_plain_list(void **state)
{
	(void)state;
	run_model(11, UINT64_MAX);
}

static void
equal_hashes_are_all_found(void **state)
{
	(void)state;
	run_model(12, 255);                /* many nodes a hash */
	run_model(13, UINT64_C(0xff) << 40); /* and all in one place at first */
}

static void
an_empty_table_holds_nothing(void **state)
{
	struct hash_table table = { 0 };

	(void)state;
	assert_null(hash_first(&table, 5));
	assert_int_equal(hash_slots(&table), 0);
	hash_free(&table);
}

static void
a_table_that_was_large_gives_memory_back(void **state)
{
	enum { MANY = 100000 };
	struct thing *things = calloc(MANY, sizeof *things);
	struct hash_table table = { 0 };
	uint64_t seed = 14;
	size_t most;

	(void)state;
	for (int i = 0; i < MANY; i++)
		hash_insert(&table, &things[i].node, next_random(&seed));
	most = hash_slots(&table);
	assert_true(most >= MANY);
	for (int i = 10; i < MANY; i++)
		hash_remove(&table, &things[i].node);
	assert_true(hash_slots(&table) < most / 16);
	for (int i = 0; i < 10; i++)
		assert_ptr_equal(hash_first(&table, things[i].node.hash),
		    &things[i].node);
	hash_free(&table);
	free(things);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hash128_gives_the_reference_vectors_of_siphash_2_4_128),
		cmocka_unit_test(both_hashes_agree_with_openssl),
		cmocka_unit_test(each_bit_of_key_and_text_matters),
		cmocka_unit_test(a_table_agrees_with_a_plain_list),
		cmocka_unit_test(equal_hashes_are_all_found),
		cmocka_unit_test(an_empty_table_holds_nothing),
		cmocka_unit_test(a_table_that_was_large_gives_memory_back),
	};

	return cmocka_run_group_tests_name("base/hash", tests, NULL, NULL);
}
