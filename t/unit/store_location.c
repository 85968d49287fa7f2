/*
 * The location table: holding and changing one AOR, expiry on time, listings
 * while others come and go, and threads.
 */
#include "config.h"

#include "unit.h"

#include <pthread.h>

#include "bindery/location.h"
#include "bindery/net.h"

static const int64_t start = 5000000;

struct fixture {
	struct location *location;
};

enum { LIVING_FLOW = 1234 };

static bool
is_alive(void *context, flow_id flow)
{
	assert_non_null(context);
	return flow == LIVING_FLOW;
}

static int
set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof *f);

	f->location = location_new(is_alive, f);
	*state = f;
	return 0;
}

static int
tear_down(void **state)
{
	struct fixture *f = *state;

	location_free(f->location);
	free(f);
	return 0;
}

static struct binding_data
data_of(const char *uri, int64_t expires_at)
{
	struct binding_data data = { .expires_at = expires_at, .cseq = 1,
		.q = 1000 };

	data.text[BINDING_URI] = str_of(uri);
	data.text[BINDING_CALL_ID] = STR("call");
	data.hop.transport = transport_find(STR("udp"));
	assert_true(addr_parse(STR("192.0.2.7"), 5070, &data.hop.peer));
	assert_true(addr_parse(STR("::1"), 5060, &data.hop.local));
	return data;
}

static void
bind(struct fixture *f, const char *aor, const char *uri, int64_t now,
    int64_t expires_at)
{
	struct binding_data data = data_of(uri, expires_at);
	struct location_hold hold;

	location_hold(f->location, str_of(aor), now, &hold);
	location_put(&hold, NULL, &data);
	location_release(&hold);
}

static void
check_count(struct fixture *f, uint64_t aors, uint64_t bindings)
{
	uint64_t a, b;

	location_count(f->location, &a, &b);
	assert_int_equal(a, aors);
	assert_int_equal(b, bindings);
}

/* ---- one AOR ---- */

static void
nothing_is_bound_at_first(void **state)
{
	struct fixture *f = *state;
	struct location_hold hold;

	location_hold(f->location, STR("a@b"), start, &hold);
	assert_null(hold.first);
	assert_int_equal(hold.count, 0);
	location_release(&hold);
	check_count(f, 0, 0);
}

static void
a_binding_keeps_all_that_it_was_given(void **state)
{
	struct fixture *f = *state;
	struct binding_data data = data_of("sip:x@h", start + 60000);
	struct location_hold hold;
	struct binding *b;
	struct hop hop;

	data.text[BINDING_PARAMS] = STR("+sip.instance=\"<urn:1>\";reg-id=3");
	data.text[BINDING_INSTANCE] = STR("<urn:1>");
	data.text[BINDING_PATH] = STR("<sip:p;lr>");
	data.text[BINDING_USER_AGENT] = STR("Phone/1.0");
	data.cseq = 77;
	data.reg_id = 3;
	data.gruu_epoch = 9;
	data.q = 500;
	data.hop.flow = 1234;
	location_hold(f->location, STR("a@b"), start, &hold);
	b = location_put(&hold, NULL, &data);
	assert_ptr_equal(hold.first, b);
	assert_int_equal(hold.count, 1);
	for (int i = 0; i < BINDING_TEXTS; i++) {
		struct str got = binding_text(b, (enum binding_text)i);

		assert_true(str_eq(got, data.text[i]));
	}
	assert_int_equal(b->cseq, 77);
	assert_int_equal(b->reg_id, 3);
	assert_int_equal(b->gruu_epoch, 9);
	assert_int_equal(b->q, 500);
	assert_int_equal(b->since, start);
	assert_int_equal(b->refreshed, start);
	assert_int_equal(binding_expires_at(b), start + 60000);
	hop = binding_hop(b);
	assert_ptr_equal(hop.transport, data.hop.transport);
	assert_int_equal(hop.flow, 1234);
	assert_true(addr_eq(&hop.peer, &data.hop.peer));
	assert_true(addr_eq(&hop.local, &data.hop.local));
	location_release(&hold);
	check_count(f, 1, 1);
}

static void
an_instance_that_is_not_in_the_parameters_is_kept_too(void **state)
{
	struct fixture *f = *state;
	struct location_hold hold;

	for (int i = 0; i < 4; i++) {
		struct binding_data data = data_of("sip:x@h", start + 60000);
		struct binding *b;

		data.text[BINDING_INSTANCE] = STR("<urn:1>");
		data.text[BINDING_PARAMS] = i == 0 ? STR_NONE
		    : i == 1                       ? STR("x=\"<urn:2>\"")
		    : i == 2                       ? STR("x=<urn:1")
		                                   : STR("<urn:1>");
		location_hold(f->location, STR("a@b"), start, &hold);
		b = location_put(&hold, hold.first, &data);
		assert_str(binding_text(b, BINDING_INSTANCE), "<urn:1>");
		assert_true(str_eq(binding_text(b, BINDING_PARAMS),
		    data.text[BINDING_PARAMS]));
		assert_str(binding_text(b, BINDING_CALL_ID), "call");
		location_release(&hold);
	}
}

static void
seconds_left_are_rounded_up(void **state)
{
	struct fixture *f = *state;
	struct binding_data data = data_of("sip:x@h", start + 60000);
	struct location_hold hold;
	struct binding *b;

	location_hold(f->location, STR("a@b"), start, &hold);
	b = location_put(&hold, NULL, &data);
	assert_int_equal(binding_expires_in(b, start), 60);
	assert_int_equal(binding_expires_in(b, start + 1), 60);
	assert_int_equal(binding_expires_in(b, start + 999), 60);
	assert_int_equal(binding_expires_in(b, start + 1000), 59);
	assert_int_equal(binding_expires_in(b, start + 59999), 1);
	assert_int_equal(binding_expires_in(b, start + 60000), 0);
	assert_int_equal(binding_expires_in(b, start + 99999), 0);
	location_release(&hold);
}

static void
a_refresh_keeps_place_and_beginning(void **state)
{
	struct fixture *f = *state;
	struct binding_data data;
	struct location_hold hold;
	struct binding *b;
	uint64_t id;

	bind(f, "a@b", "sip:1@h", start, start + 60000);
	bind(f, "a@b", "sip:2@h", start, start + 60000);
	bind(f, "a@b", "sip:3@h", start, start + 60000);
	for (int texts_change = 0; texts_change < 2; texts_change++) {
		location_hold(f->location, STR("a@b"), start + 5000, &hold);
		id = hold.first->next->id;
		data = data_of(texts_change ? "sip:longer@h" : "sip:2@h",
		    start + 90000);
		data.cseq = 2;
		b = location_put(&hold, hold.first->next, &data);
		assert_int_equal(hold.count, 3);
		assert_ptr_equal(hold.first->next, b);
		assert_str(binding_text(hold.first, BINDING_URI), "sip:1@h");
		assert_str(binding_text(b->next, BINDING_URI), "sip:3@h");
		assert_null(b->next->next);
		assert_int_equal(b->since, start);
		assert_int_equal(b->refreshed, start + 5000);
		assert_int_equal(b->cseq, 2);
		assert_int_equal(b->id, id);
		assert_int_equal(binding_expires_at(b), start + 90000);
		location_release(&hold);
		check_count(f, 1, 3);
	}
}

static void
bindings_are_dropped_and_the_aor_with_the_last(void **state)
{
	struct fixture *f = *state;
	struct location_hold hold;

	bind(f, "a@b", "sip:1@h", start, start + 60000);
	bind(f, "a@b", "sip:2@h", start, start + 60000);
	location_hold(f->location, STR("a@b"), start, &hold);
	location_drop(&hold, hold.first);
	assert_int_equal(hold.count, 1);
	assert_str(binding_text(hold.first, BINDING_URI), "sip:2@h");
	location_drop(&hold, hold.first);
	assert_null(hold.first);
	location_release(&hold);
	check_count(f, 0, 0);
	bind(f, "a@b", "sip:1@h", start, start + 60000);
	check_count(f, 1, 1);
}

static void
aors_do_not_disturb_each_other(void **state)
{
	struct fixture *f = *state;
	struct location_hold hold;

	bind(f, "a@b", "sip:1@h", start, start + 60000);
	bind(f, "A@b", "sip:2@h", start, start + 60000);
	bind(f, "a@", "sip:3@h", start, start + 60000);
	check_count(f, 3, 3);
	location_hold(f->location, STR("A@b"), start, &hold);
	assert_int_equal(hold.count, 1);
	assert_str(binding_text(hold.first, BINDING_URI), "sip:2@h");
	location_release(&hold);
}

static void
a_binding_is_reachable_while_its_flow_lives(void **state)
{
	struct fixture *f = *state;
	struct binding_data data = data_of("sip:x@h", start + 60000);
	struct location_hold hold;

	location_hold(f->location, STR("a@b"), start, &hold);
	data.hop.flow = LIVING_FLOW;
	assert_true(location_is_reachable(f->location,
	    location_put(&hold, NULL, &data)));
	data.hop.flow = LIVING_FLOW + 1;
	assert_false(location_is_reachable(f->location,
	    location_put(&hold, hold.first, &data)));
	location_release(&hold);
}

/* ---- expiry ---- */

struct expiry {
	int64_t now, before;
	size_t count, early, late;
};

static void
on_expired(void *context, struct str aor, const struct binding *binding)
{
	struct expiry *e = context;
	int64_t at = binding_expires_at(binding);

	assert_true(aor.n > 0);
	e->count++;
	e->early += at > e->now;
	e->late += at <= e->before - WHEEL_TICK_MS;
}

static void
expire_all(struct fixture *f, struct expiry *e, int64_t now, size_t most)
{
	e->before = e->now;
	e->now = now;
	for (unsigned i = 0; i < LOCATION_SHARDS; i++)
		while (location_expire(f->location, i, now, most, on_expired, e))
			;
}

static void
a_binding_expires_in_its_time_and_is_told(void **state)
{
	struct fixture *f = *state;
	struct expiry e = { .now = start };

	bind(f, "a@b", "sip:1@h", start, start + 60000);
	bind(f, "a@b", "sip:2@h", start, start + 90000);
	expire_all(f, &e, start + 59990, 100);
	assert_int_equal(e.count, 0);
	expire_all(f, &e, start + 60010, 100);
	assert_int_equal(e.count, 1);
	check_count(f, 1, 1);
	expire_all(f, &e, start + 100000, 100);
	assert_int_equal(e.count, 2);
	check_count(f, 0, 0);
}

static void
a_refreshed_binding_expires_later(void **state)
{
	struct fixture *f = *state;
	struct expiry e = { .now = start };
	struct binding_data data = data_of("sip:1@h", start + 120000);
	struct location_hold hold;

	bind(f, "a@b", "sip:1@h", start, start + 60000);
	location_hold(f->location, STR("a@b"), start + 50000, &hold);
	location_put(&hold, hold.first, &data);
	location_release(&hold);
	expire_all(f, &e, start + 119990, 100);
	assert_int_equal(e.count, 0);
	expire_all(f, &e, start + 120010, 100);
	assert_int_equal(e.count, 1);
}

static void
a_table_that_stood_empty_is_not_late(void **state)
{
	struct fixture *f = *state;
	struct expiry e = { .now = start };
	int64_t later = start + INT64_C(86400000) * 300;

	bind(f, "a@b", "sip:1@h", start, start + 60000);
	expire_all(f, &e, start + 70000, 100);
	bind(f, "a@b", "sip:1@h", later, later + 60000);
	expire_all(f, &e, later + 59990, 100);
	assert_int_equal(e.count, 1);
	expire_all(f, &e, later + 60010, 100);
	assert_int_equal(e.count, 2);
}

static void
expiry_goes_in_portions(void **state)
{
	struct fixture *f = *state;
	struct expiry e = { .now = start + 70000 };
	unsigned shard = 0;

	for (int i = 0; i < 2000; i++) {
		char aor[32];

		snprintf(aor, sizeof aor, "u%d@b", i);
		bind(f, aor, "sip:1@h", start, start + 60000);
	}
	while (location_expire(f->location, shard, start + 70000, 1, on_expired,
	    &e))
		;
	assert_true(e.count > 0 && e.count < 2000);
	expire_all(f, &e, start + 70000, 10);
	assert_int_equal(e.count, 2000);
	check_count(f, 0, 0);
}

static void
a_million_bindings_expire_on_time(void **state)
{
	enum { AORS = 250000, EACH = 4, SPAN_S = 3600 };
	struct fixture *f = *state;
	struct expiry e = { .now = start };
	uint64_t seed = 20;

	for (int i = 0; i < AORS; i++) {
		struct location_hold hold;
		char aor[32];

		snprintf(aor, sizeof aor, "u%d@b", i);
		location_hold(f->location, str_of(aor), start, &hold);
		for (int j = 0; j < EACH; j++) {
			struct binding_data data = data_of("sip:1@h", start + 1000 +
			        (int64_t)random_up_to(&seed, SPAN_S * 1000));

			location_put(&hold, NULL, &data);
		}
		location_release(&hold);
	}
	check_count(f, AORS, AORS * EACH);
	for (int64_t s = 0; s <= SPAN_S + 2; s++) {
		uint64_t aors, bindings;

		expire_all(f, &e, start + 1000 * s, 1000);
		location_count(f->location, &aors, &bindings);
		assert_int_equal(bindings, AORS * EACH - e.count);
	}
	assert_int_equal(e.count, AORS * EACH);
	assert_int_equal(e.early, 0);
	assert_int_equal(e.late, 0);
	check_count(f, 0, 0);
}

/* ---- listings ---- */

enum { STAYING = 1500 };

struct listing {
	unsigned shown[STAYING];
	size_t page, others;
};

static void
on_shown(void *context, struct str aor, const struct binding *first)
{
	struct listing *l = context;
	uint32_t number;
	struct str digits = str_from(aor, 1);

	assert_non_null(first);
	l->page++;
	digits = str_cut(&digits, '@');
	assert_true(str_u32(digits, &number));
	if (aor.p[0] == 's')
		l->shown[number]++;
	else
		l->others++;
}

static void
list_while_others_come_and_go(struct fixture *f, size_t limit, uint64_t seed)
{
	struct listing l = { { 0 }, 0, 0 };
	uint64_t cursor = 0;
	bool more = true;

	for (int pages = 0; more; pages++) {
		assert_true(pages < 100000);
		l.page = 0;
		more = location_list(f->location, &cursor, limit, on_shown, &l);
		assert_true(l.page <= limit);
		assert_true(!more || l.page == limit);
		for (int i = 0; i < 20; i++) {
			struct location_hold hold;
			char aor[32];

			snprintf(aor, sizeof aor, "t%u@b",
			    (unsigned)random_up_to(&seed, 3000));
			location_hold(f->location, str_of(aor), start, &hold);
			if (hold.first == NULL) {
				struct binding_data data =
				    data_of("sip:1@h", start + 60000);

				location_put(&hold, NULL, &data);
			} else {
				location_drop(&hold, hold.first);
			}
			location_release(&hold);
		}
	}
	for (int i = 0; i < STAYING; i++)
		if (l.shown[i] != 1)
			fail_msg("s%d was shown %u times", i, l.shown[i]);
}

static void
who_is_there_all_the_time_is_listed_exactly_once(void **state)
{
	static const size_t limits[] = { 1, 2, 7, 100, 1000, 100000 };
	struct fixture *f = *state;

	for (int i = 0; i < STAYING; i++) {
		char aor[32];

		snprintf(aor, sizeof aor, "s%d@b", i);
		bind(f, aor, "sip:1@h", start, start + 60000);
	}
	for (size_t i = 0; i < sizeof limits / sizeof *limits; i++)
		list_while_others_come_and_go(f, limits[i], 21 + i);
}

static void
an_empty_table_has_an_empty_list(void **state)
{
	struct fixture *f = *state;
	struct listing l = { { 0 }, 0, 0 };
	uint64_t cursor = 0;

	assert_false(location_list(f->location, &cursor, 10, on_shown, &l));
	assert_int_equal(l.page, 0);
	cursor = UINT64_MAX; /* whatever somebody made up */
	assert_false(location_list(f->location, &cursor, 10, on_shown, &l));
}

/* ---- sweeping ---- */

static bool
keep_even(void *context, struct str aor)
{
	(void)context;
	return (aor.p[str_find(aor, '@') - 1] - '0') % 2 == 0;
}

static void
on_dropped(void *context, struct str aor, const struct binding *binding)
{
	assert_false(keep_even(NULL, aor));
	assert_non_null(binding);
	++*(size_t *)context;
}

static void
a_sweep_drops_those_that_are_not_kept_and_no_others(void **state)
{
	struct fixture *f = *state;
	size_t dropped = 0;

	for (int i = 0; i < 20000; i++) {
		char aor[32];

		snprintf(aor, sizeof aor, "u%d@b", i);
		bind(f, aor, "sip:1@h", start, start + 60000);
		if (i % 3 == 0)
			bind(f, aor, "sip:2@h", start, start + 60000);
	}
	check_count(f, 20000, 20000 + 6667);
	location_sweep(f->location, keep_even, on_dropped, &dropped);
	check_count(f, 10000, 20000 + 6667 - dropped);
	for (int i = 0; i < 20000; i++) {
		struct location_hold hold;
		char aor[32];

		snprintf(aor, sizeof aor, "u%d@b", i);
		location_hold(f->location, str_of(aor), start, &hold);
		assert_int_equal(hold.first != NULL, i % 2 == 0);
		location_release(&hold);
	}
}

/* ---- who is told ---- */

struct told {
	char trace[64];
	size_t n;
	uint64_t id;
};

static void
on_put(void *context, struct str aor, const struct binding *binding,
    bool new_texts)
{
	struct told *told = context;

	assert_str(aor, "a@b");
	told->id = binding->id;
	told->trace[told->n++] = new_texts ? 'P' : 'p';
}

static void
on_drop(void *context, struct str aor, const struct binding *binding)
{
	struct told *told = context;

	assert_str(aor, "a@b");
	assert_int_equal(binding->id, told->id);
	told->trace[told->n++] = 'd';
}

static void
an_observer_is_told_of_each_change(void **state)
{
	struct fixture *f = *state;
	struct told told = { .n = 0 };
	const struct location_observer observer = { &told, on_put, on_drop };
	struct expiry e = { .now = start };
	struct binding_data data = data_of("sip:1@h", start + 60000);
	struct location_hold hold;

	location_observe(f->location, &observer);
	location_hold(f->location, STR("a@b"), start, &hold);
	location_put(&hold, NULL, &data);
	location_put(&hold, hold.first, &data);
	data.text[BINDING_URI] = STR("sip:2@h");
	location_put(&hold, hold.first, &data);
	location_drop(&hold, hold.first);
	location_put(&hold, NULL, &data);
	location_release(&hold);
	expire_all(f, &e, start + 70000, 10);
	assert_string_equal(told.trace, "PpPdPd");
	location_observe(f->location, NULL);
	bind(f, "a@b", "sip:1@h", start, start + 60000);
	assert_int_equal(told.n, 6);
}

static void
what_was_saved_is_restored_as_it_was(void **state)
{
	struct fixture *f = *state;
	struct location_saved saved = { .id = 4711, .since = -5000,
		.refreshed = start - 100, .data = data_of("sip:1@h", start + 9000) };
	struct location_hold hold;
	struct binding *b;

	location_restore(f->location, STR("a@b"), &saved, start);
	saved.id = 4712;
	saved.data.text[BINDING_URI] = STR("sip:2@h");
	location_restore(f->location, STR("a@b"), &saved, start);
	check_count(f, 1, 2);
	location_hold(f->location, STR("a@b"), start, &hold);
	b = hold.first;
	assert_int_equal(b->id, 4711);
	assert_int_equal(b->since, -5000);
	assert_int_equal(b->refreshed, start - 100);
	assert_int_equal(binding_expires_in(b, start), 9);
	assert_int_equal(b->next->id, 4712);
	/* ids that are given from now on are others */
	b = location_put(&hold, NULL, &saved.data);
	assert_true(b->id > 4712);
	location_release(&hold);
}

/* ---- threads ---- */

enum { THREADS = 4, ROUNDS = 20000, SHARED_AORS = 50 };

struct worker {
	pthread_t thread;
	struct fixture *f;
	uint64_t seed;
	int64_t balance; /* bindings made less those dropped */
	unsigned wrong;
};

static void *
work(void *argument)
{
	struct worker *w = argument;

	for (int round = 0; round < ROUNDS; round++) {
		struct binding_data data = data_of("sip:1@h", start + 60000);
		struct location_hold hold;
		struct binding *b;
		size_t count = 0;
		char aor[32];

		snprintf(aor, sizeof aor, "u%u@b",
		    (unsigned)random_up_to(&w->seed, SHARED_AORS));
		location_hold(w->f->location, str_of(aor), start, &hold);
		for (b = hold.first; b != NULL; b = b->next)
			count++;
		w->wrong += count != hold.count;
		if (count > 3 || (count > 0 && random_up_to(&w->seed, 2) == 0)) {
			location_drop(&hold, hold.first);
			w->balance--;
		} else {
			location_put(&hold, NULL, &data);
			w->balance++;
		}
		location_release(&hold);
	}
	return NULL;
}

static void
threads_hold_one_aor_at_a_time(void **state)
{
	struct worker workers[THREADS];
	uint64_t aors, bindings;
	int64_t balance = 0;

	for (int i = 0; i < THREADS; i++) {
		workers[i] = (struct worker){ .f = *state, .seed = 30 + (uint64_t)i };
		assert_int_equal(pthread_create(&workers[i].thread, NULL, work,
		                     &workers[i]),
		    0);
	}
	for (int i = 0; i < THREADS; i++) {
		pthread_join(workers[i].thread, NULL);
		assert_int_equal(workers[i].wrong, 0);
		balance += workers[i].balance;
	}
	location_count(((struct fixture *)*state)->location, &aors, &bindings);
	assert_int_equal(bindings, balance);
	assert_true(aors <= SHARED_AORS);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(nothing_is_bound_at_first),
		TEST(a_binding_keeps_all_that_it_was_given),
		TEST(an_instance_that_is_not_in_the_parameters_is_kept_too),
		TEST(seconds_left_are_rounded_up),
		TEST(a_refresh_keeps_place_and_beginning),
		TEST(bindings_are_dropped_and_the_aor_with_the_last),
		TEST(aors_do_not_disturb_each_other),
		TEST(a_binding_is_reachable_while_its_flow_lives),
		TEST(a_binding_expires_in_its_time_and_is_told),
		TEST(a_refreshed_binding_expires_later),
		TEST(a_table_that_stood_empty_is_not_late),
		TEST(expiry_goes_in_portions),
		TEST(a_million_bindings_expire_on_time),
		TEST(who_is_there_all_the_time_is_listed_exactly_once),
		TEST(an_empty_table_has_an_empty_list),
		TEST(a_sweep_drops_those_that_are_not_kept_and_no_others),
		TEST(an_observer_is_told_of_each_change),
		TEST(what_was_saved_is_restored_as_it_was),
		TEST(threads_hold_one_aor_at_a_time),
	};

	return cmocka_run_group_tests_name("store/location", tests, NULL, NULL);
}
