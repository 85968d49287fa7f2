/* Nonces: what they prove by themselves, and that each count serves once. */
#include "config.h"

#include "unit.h"

#include <pthread.h>

#include "auth/nonce.h"

enum { LIFETIME = 300, WINDOW = 32 }; /* of counts out of order */
static const int64_t now = 5000000;

struct fixture {
	struct auth_shared *shared;
	struct nonce_maker *maker;
};

static int
set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof *f);

	f->shared = auth_shared_new();
	f->maker = nonce_maker_new(f->shared);
	*state = f;
	return 0;
}

static int
tear_down(void **state)
{
	struct fixture *f = *state;

	nonce_maker_free(f->maker);
	auth_shared_free(f->shared);
	free(f);
	return 0;
}

static struct nonce
make(struct fixture *f, int64_t at_ms)
{
	char text[NONCE_SIZE];
	struct nonce nonce;

	nonce_make(f->maker, STR("example.com"), at_ms, text);
	assert_true(nonce_read((struct str){ text, sizeof text }, &nonce));
	return nonce;
}

static enum nonce_verdict
judge(struct fixture *f, const struct nonce *nonce, uint32_t count, int64_t at)
{
	return nonce_use(f->shared, f->maker, STR("example.com"), nonce, count,
	    LIFETIME, at);
}

/* True if the count is fresh; the nonce must be ours and young. */
static bool
use(struct fixture *f, const struct nonce *nonce, uint32_t count, int64_t at)
{
	enum nonce_verdict verdict = judge(f, nonce, count, at);

	assert_int_not_equal(verdict, NONCE_STALE);
	return verdict == NONCE_FRESH;
}

/* True if it is a nonce that was made for this realm. */
static bool
is_ours(struct fixture *f, struct nonce_maker *maker, struct str realm,
    struct str text)
{
	static uint32_t count;
	struct nonce nonce;

	return nonce_read(text, &nonce) &&
	    nonce_use(f->shared, maker, realm, &nonce, ++count, LIFETIME, now) !=
	    NONCE_STALE;
}

/* ---- the text ---- */

static void
a_nonce_tells_when_it_was_made(void **state)
{
	struct nonce nonce = make(*state, now + 999);

	assert_int_equal(nonce.issued, (now + 999) / 1000);
	assert_int_not_equal(nonce.number, 0);
}

static void
nonces_differ(void **state)
{
	struct fixture *f = *state;
	enum { N = 2000 };
	static char texts[N][NONCE_SIZE];

	for (int i = 0; i < N; i++)
		nonce_make(f->maker, STR("r"), now, texts[i]);
	for (int i = 0; i < N; i++)
		for (int j = 0; j < i; j++)
			assert_memory_not_equal(texts[i], texts[j], NONCE_SIZE);
}

static void
a_nonce_fits_a_quoted_string(void **state)
{
	struct fixture *f = *state;

	for (int i = 0; i < 1000; i++) {
		char text[NONCE_SIZE];

		nonce_make(f->maker, STR("r"), now, text);
		for (int c = 0; c < NONCE_SIZE; c++)
			assert_true(text[c] > ' ' && text[c] < 0x7f &&
			    text[c] != '"' && text[c] != '\\' && text[c] != ',');
	}
}

static void
a_changed_nonce_is_not_ours(void **state)
{
	struct fixture *f = *state;
	static const char letters[] = "AZaz09-_=+/ \"";
	char text[NONCE_SIZE];

	nonce_make(f->maker, STR("r"), now, text);
	for (int i = 0; i < NONCE_SIZE; i++)
		for (const char *c = letters; *c != '\0'; c++) {
			char was = text[i];

			text[i] = *c;
			if (*c != was)
				assert_false(is_ours(f, f->maker, STR("r"),
				    (struct str){ text, sizeof text }));
			text[i] = was;
		}
	assert_true(is_ours(f, f->maker, STR("r"),
	    (struct str){ text, sizeof text }));
}

static void
a_nonce_of_another_length_is_not_ours(void **state)
{
	struct fixture *f = *state;
	char text[NONCE_SIZE + 4];
	struct nonce nonce;

	nonce_make(f->maker, STR("r"), now, text);
	memcpy(text + NONCE_SIZE, "AAAA", 4);
	for (size_t n = 0; n <= sizeof text; n++)
		assert_int_equal(nonce_read((struct str){ text, n }, &nonce),
		    n == NONCE_SIZE);
	assert_false(nonce_read(STR_NONE, &nonce));
}

static void
a_nonce_of_another_realm_is_not_ours(void **state)
{
	struct fixture *f = *state;
	char text[NONCE_SIZE];
	const struct str nonce_text = { text, sizeof text };
	static const char *const others[] = { "example.co", "Example.com", "",
		"example.com " };

	nonce_make(f->maker, STR("example.com"), now, text);
	for (int known = 0; known < 2; known++) { /* then it was used before */
		for (size_t i = 0; i < sizeof others / sizeof *others; i++)
			assert_false(is_ours(f, f->maker, str_of(others[i]),
			    nonce_text));
		assert_true(is_ours(f, f->maker, STR("example.com"), nonce_text));
	}
}

static void
workers_know_each_others_nonces_and_strangers_do_not(void **state)
{
	struct fixture *f = *state;
	struct nonce_maker *other = nonce_maker_new(f->shared);
	struct auth_shared *stranger = auth_shared_new();
	struct nonce_maker *third = nonce_maker_new(stranger);
	char text[NONCE_SIZE];

	nonce_make(third, STR("r"), now, text);
	assert_false(is_ours(f, f->maker, STR("r"),
	    (struct str){ text, sizeof text }));
	nonce_make(f->maker, STR("r"), now, text);
	assert_true(is_ours(f, other, STR("r"),
	    (struct str){ text, sizeof text }));
	nonce_maker_free(other);
	nonce_maker_free(third);
	auth_shared_free(stranger);
}

/* ---- counts ---- */

static void
a_count_serves_once(void **state)
{
	struct nonce nonce = make(*state, now);

	assert_true(use(*state, &nonce, 1, now));
	assert_false(use(*state, &nonce, 1, now));
	assert_true(use(*state, &nonce, 2, now));
	assert_false(use(*state, &nonce, 1, now));
	assert_false(use(*state, &nonce, 2, now));
}

static void
counts_may_come_out_of_order_within_a_window(void **state)
{
	struct nonce nonce = make(*state, now);

	assert_true(use(*state, &nonce, 70, now));
	for (uint32_t count = 69; count > 70 - WINDOW; count--)
		assert_true(use(*state, &nonce, count, now));
	for (uint32_t count = 1; count <= 70; count++)
		assert_false(use(*state, &nonce, count, now));
}

static void
a_count_behind_the_window_is_refused_unseen(void **state)
{
	struct nonce nonce = make(*state, now);

	assert_true(use(*state, &nonce, 1000, now));
	assert_false(use(*state, &nonce, 1000 - WINDOW, now));
	assert_true(use(*state, &nonce, 1000 - WINDOW + 1, now));
}

static void
a_great_leap_forgets_nothing_that_it_should_know(void **state)
{
	struct nonce nonce = make(*state, now);

	assert_true(use(*state, &nonce, 5, now));
	assert_true(use(*state, &nonce, 5 + WINDOW - 1, now));
	assert_false(use(*state, &nonce, 5, now));
	assert_true(use(*state, &nonce, UINT32_MAX, now));
	assert_false(use(*state, &nonce, UINT32_MAX, now));
	assert_false(use(*state, &nonce, 6, now));
	assert_true(use(*state, &nonce, UINT32_MAX - 1, now));
}

static void
counts_agree_with_a_plain_set(void **state)
{
	static bool seen[4096];
	struct nonce nonce = make(*state, now);
	uint64_t seed = 8;
	uint32_t base = 1, highest = 0;

	for (int i = 0; i < 20000; i++) {
		uint32_t count = base + (uint32_t)random_up_to(&seed, 80);
		bool expected;

		if (count >= 4096)
			break;
		expected = !seen[count] && (count > highest || highest - count < WINDOW);
		assert_int_equal(use(*state, &nonce, count, now), expected);
		seen[count] = seen[count] || expected;
		highest = count > highest ? count : highest;
		base += random_up_to(&seed, 8) == 0;
	}
}

static void
without_qop_a_nonce_serves_once(void **state)
{
	struct nonce nonce = make(*state, now);

	assert_true(use(*state, &nonce, 0, now));
	assert_false(use(*state, &nonce, 0, now));
	assert_false(use(*state, &nonce, 1, now));
	assert_false(use(*state, &nonce, UINT32_MAX, now));
}

static void
a_nonce_used_with_qop_does_not_serve_without(void **state)
{
	struct nonce nonce = make(*state, now);

	assert_true(use(*state, &nonce, 1, now));
	assert_false(use(*state, &nonce, 0, now));
}

static void
nonces_do_not_disturb_each_other(void **state)
{
	enum { N = 20000 };
	struct nonce *nonces = calloc(N, sizeof *nonces);

	for (int i = 0; i < N; i++)
		nonces[i] = make(*state, now + i * 10);
	for (uint32_t count = 1; count <= 3; count++)
		for (int i = 0; i < N; i++) {
			assert_true(use(*state, &nonces[i], count, now + i * 10));
			assert_false(use(*state, &nonces[i], count, now + i * 10));
		}
	free(nonces);
}

static void
what_was_used_is_known_as_long_as_the_nonce_lives(void **state)
{
	struct nonce nonce = make(*state, now);

	assert_true(use(*state, &nonce, 1, now));
	for (int64_t s = 0; s < LIFETIME; s++) {
		struct nonce other = make(*state, now + s * 1000);

		assert_true(use(*state, &other, 1, now + s * 1000));
		assert_false(use(*state, &nonce, 1, now + s * 1000));
	}
}

static void
an_aged_nonce_is_stale_used_or_not(void **state)
{
	struct nonce used = make(*state, now), unused = make(*state, now);

	assert_int_equal(judge(*state, &used, 1, now), NONCE_FRESH);
	assert_int_equal(judge(*state, &used, 2, now + 1000 * (LIFETIME - 1)),
	    NONCE_FRESH);
	assert_int_equal(judge(*state, &used, 3, now + 1000 * LIFETIME),
	    NONCE_STALE);
	assert_int_equal(judge(*state, &unused, 1, now + 1000 * LIFETIME),
	    NONCE_STALE);
	assert_int_equal(judge(*state, &unused, 1, now - 1000), NONCE_STALE);
}

static void
a_used_nonce_cannot_be_made_younger(void **state)
{
	struct nonce nonce = make(*state, now);

	/* its code says when it was made, and is not looked at again */
	assert_int_equal(judge(*state, &nonce, 1, now), NONCE_FRESH);
	for (uint32_t s = 1; s < 200; s++) {
		nonce.issued += s;
		assert_int_equal(judge(*state, &nonce, 1 + s, now + 200000),
		    NONCE_STALE);
		nonce.issued -= s;
	}
	assert_int_equal(judge(*state, &nonce, 300, now), NONCE_FRESH);
}

static void
what_was_forgotten_is_refused_even_if_lifetimes_grow(void **state)
{
	struct fixture *f = *state;
	struct nonce nonce = make(f, now);
	int64_t later = now + 1000 * LIFETIME * 10;

	assert_true(use(f, &nonce, 1, now));
	/* enough new ones that each shard has cleaned up */
	for (int i = 0; i < 1000; i++) {
		struct nonce other = make(f, later);

		assert_true(use(f, &other, 1, later));
	}
	/* a reload made lifetimes longer: to be on the safe side, refused */
	assert_int_equal(nonce_use(f->shared, f->maker, STR("example.com"), &nonce,
	                     1, 100 * LIFETIME, later),
	    NONCE_STALE);
}

/* ---- threads ---- */

struct racer {
	pthread_t thread;
	struct fixture *f;
	struct nonce_maker *maker;
	const struct nonce *nonce;
	unsigned won;
};

static void *
race(void *argument)
{
	struct racer *r = argument;

	for (uint32_t count = 1; count <= 3000; count++)
		r->won += nonce_use(r->f->shared, r->maker, STR("example.com"),
		              r->nonce, count, LIFETIME, now) == NONCE_FRESH;
	return NULL;
}

static void
of_two_threads_one_alone_gets_a_count(void **state)
{
	struct nonce nonce = make(*state, now);
	struct racer racers[2] = { { .f = *state, .nonce = &nonce },
		{ .f = *state, .nonce = &nonce } };

	for (int i = 0; i < 2; i++) {
		racers[i].maker = nonce_maker_new(racers[i].f->shared);
		assert_int_equal(pthread_create(&racers[i].thread, NULL, race,
		                     &racers[i]),
		    0);
	}
	for (int i = 0; i < 2; i++) {
		pthread_join(racers[i].thread, NULL);
		nonce_maker_free(racers[i].maker);
	}
	/* one that lags beyond the window loses a count to nobody */
	assert_true(racers[0].won + racers[1].won <= 3000);
	assert_true(racers[0].won + racers[1].won > 0);
	assert_false(use(*state, &nonce, 3000, now));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_nonce_tells_when_it_was_made),
		TEST(nonces_differ),
		TEST(a_nonce_fits_a_quoted_string),
		TEST(a_changed_nonce_is_not_ours),
		TEST(a_nonce_of_another_length_is_not_ours),
		TEST(a_nonce_of_another_realm_is_not_ours),
		TEST(workers_know_each_others_nonces_and_strangers_do_not),
		TEST(a_count_serves_once),
		TEST(counts_may_come_out_of_order_within_a_window),
		TEST(a_count_behind_the_window_is_refused_unseen),
		TEST(a_great_leap_forgets_nothing_that_it_should_know),
		TEST(counts_agree_with_a_plain_set),
		TEST(without_qop_a_nonce_serves_once),
		TEST(a_nonce_used_with_qop_does_not_serve_without),
		TEST(nonces_do_not_disturb_each_other),
		TEST(what_was_used_is_known_as_long_as_the_nonce_lives),
		TEST(an_aged_nonce_is_stale_used_or_not),
		TEST(a_used_nonce_cannot_be_made_younger),
		TEST(what_was_forgotten_is_refused_even_if_lifetimes_grow),
		TEST(of_two_threads_one_alone_gets_a_count),
	};

	return cmocka_run_group_tests_name("auth/nonce", tests, NULL, NULL);
}
