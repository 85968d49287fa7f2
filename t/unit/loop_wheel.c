/* The timing wheel against a model that keeps a plain list. */
#include "config.h"

#include "unit.h"

#include <inttypes.h>

#include "bindery/loop.h"

enum { TICK = WHEEL_TICK_MS };

static const int64_t start = 1234567; /* in the middle of a tick */

/* ---- one node ---- */

/* Walks as a loop does: to each time that wheel_wake() names. When it fires. */
static int64_t
when_it_fires(struct wheel *wheel, const struct wheel_node *node)
{
	for (;;) {
		int64_t wake = wheel_wake(wheel);
		struct wheel_node *due;

		assert_true(wake != INT64_MAX);
		due = wheel_next_due(wheel, wake);
		if (due == NULL)
			continue;
		assert_ptr_equal(due, node);
		assert_null(wheel_next_due(wheel, wake));
		return wake;
	}
}

static void
a_deadline_is_never_early_and_at_most_a_tick_late(void **state)
{
	static const int64_t ahead[] = { 0, 1, 9, 10, 11, 100, 2549, 2550, 2551,
		2559, 2560, 2561, 2570, 5120, 10000, 655350, 655359, 655360, 655361,
		655370, 3600000, 7200000, 86400000, 167772150, 167772160,
		167772161 };

	(void)state;
	for (size_t i = 0; i < sizeof ahead / sizeof *ahead; i++)
		for (int64_t from = start; from < start + 30; from += 7) {
			static struct wheel wheel;
			struct wheel_node node = { 0 };
			int64_t at = from + ahead[i], fired;

			wheel_init(&wheel, from);
			wheel_set(&wheel, &node, at);
			assert_true(wheel_is_set(&node));
			fired = when_it_fires(&wheel, &node);
			if (fired < at || fired >= at + 2 * TICK)
				fail_msg("%" PRId64 " ms: %" PRId64 " ms off", ahead[i],
				    fired - at);
			assert_false(wheel_is_set(&node));
			assert_int_equal(wheel.count, 0);
		}
}

static void
a_deadline_that_passed_fires_at_the_next_tick(void **state)
{
	static struct wheel wheel;
	struct wheel_node node = { 0 };

	(void)state;
	wheel_init(&wheel, start);
	wheel_set(&wheel, &node, start - 100000);
	assert_true(wheel_wake(&wheel) <= start + TICK);
	assert_null(wheel_next_due(&wheel, start));
	assert_ptr_equal(wheel_next_due(&wheel, start + TICK), &node);
}

static void
a_node_that_is_set_again_moves(void **state)
{
	static struct wheel wheel;
	struct wheel_node node = { 0 };

	(void)state;
	wheel_init(&wheel, start);
	wheel_set(&wheel, &node, start + 100);
	wheel_set(&wheel, &node, start + 5000);
	assert_int_equal(wheel.count, 1);
	assert_null(wheel_next_due(&wheel, start + 200));
	assert_int_equal(node.at, start + 5000);
	wheel_set(&wheel, &node, start + 300);
	assert_ptr_equal(wheel_next_due(&wheel, start + 310), &node);
}

static void
a_cancelled_node_never_fires(void **state)
{
	static struct wheel wheel;
	struct wheel_node nodes[5] = { 0 };

	(void)state;
	wheel_init(&wheel, start);
	for (int i = 0; i < 5; i++)
		wheel_set(&wheel, &nodes[i], start + 100); /* one slot, a list */
	wheel_cancel(&wheel, &nodes[2]); /* in the middle */
	wheel_cancel(&wheel, &nodes[4]); /* at its head */
	wheel_cancel(&wheel, &nodes[0]); /* at its end */
	wheel_cancel(&wheel, &nodes[0]); /* again: nothing */
	assert_int_equal(wheel.count, 2);
	for (int i = 0; i < 2; i++) {
		struct wheel_node *due = wheel_next_due(&wheel, start + 120);

		assert_true(due == &nodes[1] || due == &nodes[3]);
	}
	assert_null(wheel_next_due(&wheel, start + 100000));
	assert_int_equal(wheel_wake(&wheel), INT64_MAX);
}

static void
the_next_due_may_be_cancelled_by_the_one_before(void **state)
{
	static struct wheel wheel;
	struct wheel_node nodes[3] = { 0 };
	struct wheel_node *first;

	(void)state;
	wheel_init(&wheel, start);
	for (int i = 0; i < 3; i++)
		wheel_set(&wheel, &nodes[i], start + 100);
	first = wheel_next_due(&wheel, start + 110);
	assert_non_null(first);
	for (int i = 0; i < 3; i++)
		wheel_cancel(&wheel, &nodes[i]);
	assert_null(wheel_next_due(&wheel, start + 110));
	assert_int_equal(wheel.count, 0);
}

static void
an_empty_wheel_needs_no_waking_and_loses_no_time(void **state)
{
	static struct wheel wheel;
	struct wheel_node node = { 0 };
	int64_t later = start + INT64_C(400) * 86400000;

	(void)state;
	wheel_init(&wheel, start);
	assert_int_equal(wheel_wake(&wheel), INT64_MAX);
	assert_null(wheel_next_due(&wheel, later)); /* at once, not tick by tick */
	wheel_set(&wheel, &node, later + 50);
	assert_int_equal(when_it_fires(&wheel, &node) / TICK,
	    (later + 50 + TICK - 1) / TICK);
}

static void
a_clock_that_stands_still_does_no_harm(void **state)
{
	static struct wheel wheel;
	struct wheel_node node = { 0 };

	(void)state;
	wheel_init(&wheel, start);
	wheel_set(&wheel, &node, start + 30);
	for (int i = 0; i < 10; i++)
		assert_null(wheel_next_due(&wheel, start));
	assert_null(wheel_next_due(&wheel, start - 1000)); /* or goes back */
	assert_ptr_equal(wheel_next_due(&wheel, start + 40), &node);
}

/* ---- many nodes, against the model ---- */

enum { NODES = 500, PAST = 20 }; /* some deadlines have passed when set */

struct model {
	struct wheel wheel;
	struct wheel_node nodes[NODES];
	int64_t at[NODES]; /* 0: not set */
	int64_t now;
	uint64_t seed;
};

static int64_t
random_ahead(uint64_t *seed)
{
	static const int64_t ranges[] = { 30, 3000, 700000, 3000000 };

	return (int64_t)random_up_to(seed, (uint64_t)ranges[random_up_to(seed, 4)]);
}

static void
change_one(struct model *m)
{
	size_t i = random_up_to(&m->seed, NODES);

	if (random_up_to(&m->seed, 4) == 0) {
		wheel_cancel(&m->wheel, &m->nodes[i]);
		m->at[i] = 0;
	} else {
		m->at[i] = m->now + random_ahead(&m->seed) - PAST;
		wheel_set(&m->wheel, &m->nodes[i], m->at[i]);
	}
}

static void
fire_due(struct model *m, int64_t before)
{
	struct wheel_node *node;

	while ((node = wheel_next_due(&m->wheel, m->now)) != NULL) {
		size_t i = (size_t)(node - m->nodes);

		assert_true(i < NODES);
		assert_int_not_equal(m->at[i], 0);
		assert_int_equal(node->at, m->at[i]);
		assert_true(m->at[i] <= m->now); /* not early */
		/* not late: then it would have been due the time before */
		assert_true(m->at[i] > before - PAST - 2 * TICK);
		m->at[i] = 0;
		if (random_up_to(&m->seed, 3) == 0)
			change_one(m); /* while others are due */
	}
}

static void
check_nothing_is_overdue(const struct model *m)
{
	size_t set = 0;
	int64_t least = INT64_MAX;

	for (size_t i = 0; i < NODES; i++) {
		assert_int_equal(wheel_is_set(&m->nodes[i]), m->at[i] != 0);
		if (m->at[i] == 0)
			continue;
		set++;
		least = m->at[i] < least ? m->at[i] : least;
	}
	assert_int_equal(m->wheel.count, set);
	if (set == 0)
		return;
	assert_true(least > m->now - PAST - 2 * TICK);
	/* the wake is never later than the first deadline, rounded up */
	assert_true(wheel_wake(&m->wheel) <=
	    (least > m->now ? least : m->now) + 2 * TICK);
}

static void
a_random_run_agrees_with_a_plain_list(void **state)
{
	static struct model m;

	(void)state;
	m.seed = 5;
	m.now = start;
	wheel_init(&m.wheel, m.now);
	for (int round = 0; round < 30000; round++) {
		int64_t before = m.now;

		for (uint64_t i = random_up_to(&m.seed, 4); i > 0; i--)
			change_one(&m);
		m.now += (int64_t)random_up_to(&m.seed,
		    random_up_to(&m.seed, 50) == 0 ? 800000 : 300);
		fire_due(&m, before);
		check_nothing_is_overdue(&m);
	}
}

static void
who_sleeps_until_wheel_wake_is_never_late(void **state)
{
	static struct model m;
	size_t fired = 0;

	(void)state;
	m.seed = 6;
	m.now = start;
	wheel_init(&m.wheel, m.now);
	for (size_t i = 0; i < NODES; i++) {
		m.at[i] = m.now + random_ahead(&m.seed);
		wheel_set(&m.wheel, &m.nodes[i], m.at[i]);
	}
	while (m.wheel.count > 0) {
		int64_t wake = wheel_wake(&m.wheel);
		struct wheel_node *node;

		assert_true(wake > m.now);
		m.now = wake;
		while ((node = wheel_next_due(&m.wheel, m.now)) != NULL) {
			assert_true(node->at <= m.now);
			assert_true(node->at > m.now - 2 * TICK);
			fired++;
		}
	}
	assert_int_equal(fired, NODES);
}

/* ---- beyond its reach ---- */

static void
a_deadline_beyond_its_reach_is_met_all_the_same(void **state)
{
	static struct wheel wheel;
	const int64_t turn = INT64_C(1) << 24; /* ticks of a slot of the last level */
	struct wheel_node node = { 0 };
	int64_t at = start + (300 * turn + 12345) * TICK, fired;

	(void)state;
	wheel_init(&wheel, start);
	wheel_set(&wheel, &node, at);
	/* as the wheel is empty but for it, whole turns can be passed over */
	while (node.link >= &wheel.slots[WHEEL_LEVELS - 1][0]) {
		wheel.tick = (wheel.tick / turn + 1) * turn - 1;
		assert_true(wheel.tick * TICK < at);
		assert_null(wheel_next_due(&wheel, (wheel.tick + 1) * TICK));
		assert_true(wheel_is_set(&node));
		assert_int_equal(node.at, at);
	}
	fired = when_it_fires(&wheel, &node);
	assert_true(fired >= at && fired < at + 2 * TICK);
}

/* ---- a million ---- */

static void
a_million_nodes_fire_each_in_its_time(void **state)
{
	enum { MILLION = 1000000, SPAN = 7200000 };
	static struct wheel wheel;
	struct wheel_node *nodes = calloc(MILLION, sizeof *nodes);
	uint64_t seed = 7;
	size_t fired = 0, cancelled = 0;

	(void)state;
	wheel_init(&wheel, start);
	for (size_t i = 0; i < MILLION; i++)
		wheel_set(&wheel, &nodes[i],
		    start + (int64_t)random_up_to(&seed, SPAN));
	for (size_t i = 0; i < MILLION; i += 10, cancelled++)
		wheel_cancel(&wheel, &nodes[i]);
	assert_int_equal(wheel.count, MILLION - cancelled);
	for (int64_t now = start; now <= start + SPAN + TICK; now += 100) {
		struct wheel_node *node;

		while ((node = wheel_next_due(&wheel, now)) != NULL) {
			assert_true(node->at <= now && node->at > now - 100 - TICK);
			fired++;
		}
	}
	assert_int_equal(fired, MILLION - cancelled);
	free(nodes);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_deadline_is_never_early_and_at_most_a_tick_late),
		cmocka_unit_test(a_deadline_that_passed_fires_at_the_next_tick),
		cmocka_unit_test(a_node_that_is_set_again_moves),
		cmocka_unit_test(a_cancelled_node_never_fires),
		cmocka_unit_test(the_next_due_may_be_cancelled_by_the_one_before),
		cmocka_unit_test(an_empty_wheel_needs_no_waking_and_loses_no_time),
		cmocka_unit_test(a_clock_that_stands_still_does_no_harm),
		cmocka_unit_test(a_random_run_agrees_with_a_plain_list),
		cmocka_unit_test(who_sleeps_until_wheel_wake_is_never_late),
		cmocka_unit_test(a_deadline_beyond_its_reach_is_met_all_the_same),
		cmocka_unit_test(a_million_nodes_fire_each_in_its_time),
	};

	return cmocka_run_group_tests_name("loop/wheel", tests, NULL, NULL);
}
