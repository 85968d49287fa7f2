/* Ids: what is given back is never named again, by whatever thread asks. */
#include "config.h"

#include "unit.h"

#include <pthread.h>

#include "bindery/slots.h"

static void
an_id_names_its_object_until_it_is_given_back(void **state)
{
	struct slots *slots = calloc(1, sizeof *slots);
	int a, b;
	slot_id x = slots_take(slots, 5, &a), y = slots_take(slots, 5, &b);

	(void)state;
	assert_true(x != SLOT_NONE && y != SLOT_NONE && x != y);
	assert_int_equal(slot_worker(x), 5);
	assert_ptr_equal(slots_find(slots, x), &a);
	assert_ptr_equal(slots_find(slots, y), &b);
	slots_give(slots, x);
	assert_null(slots_find(slots, x));
	assert_false(slots_alive(slots, x));
	assert_true(slots_alive(slots, y));
	slots_give(slots, x); /* again: nothing */
	slots_give(slots, y);
	slots_fini(slots);
	free(slots);
}

static void
nothing_and_nonsense_name_nothing(void **state)
{
	struct slots *slots = calloc(1, sizeof *slots);
	int a;
	slot_id id;

	(void)state;
	assert_null(slots_find(slots, SLOT_NONE));
	assert_null(slots_find(slots, UINT64_MAX));
	id = slots_take(slots, 0, &a);
	assert_null(slots_find(slots, SLOT_NONE));
	for (int bit = 0; bit < 56; bit++)
		assert_null(slots_find(slots, id ^ UINT64_C(1) << bit));
	slots_give(slots, UINT64_MAX);
	slots_give(slots, SLOT_NONE);
	assert_ptr_equal(slots_find(slots, id), &a);
	slots_give(slots, id);
	slots_fini(slots);
	free(slots);
}

static void
an_id_is_never_taken_twice(void **state)
{
	enum { N = 5000 };
	struct slots *slots = calloc(1, sizeof *slots);
	slot_id *old = calloc(N, sizeof *old);
	int a;

	(void)state;
	for (int i = 0; i < N; i++) { /* the same slot over and over */
		slot_id id = slots_take(slots, 1, &a);

		for (int j = i > 50 ? i - 50 : 0; j < i; j++) {
			assert_true(old[j] != id);
			assert_null(slots_find(slots, old[j]));
		}
		slots_give(slots, id);
		old[i] = id;
	}
	assert_int_equal(slots->used, 1);
	slots_fini(slots);
	free(slots);
	free(old);
}

static void
many_objects_have_many_ids(void **state)
{
	enum { N = 5000 }; /* several chunks */
	struct slots *slots = calloc(1, sizeof *slots);
	slot_id *ids = calloc(N, sizeof *ids);
	int *objects = calloc(N, sizeof *objects);
	uint64_t seed = 15;
	uint32_t seen = 0;

	(void)state;
	for (int round = 0; round < 50000; round++) {
		size_t i = random_up_to(&seed, N);

		if (ids[i] == SLOT_NONE) {
			ids[i] = slots_take(slots, 2, &objects[i]);
		} else {
			assert_ptr_equal(slots_find(slots, ids[i]), &objects[i]);
			slots_give(slots, ids[i]);
			ids[i] = SLOT_NONE;
		}
	}
	for (size_t i = 0; i < N; i++)
		if (ids[i] != SLOT_NONE)
			assert_ptr_equal(slots_find(slots, ids[i]), &objects[i]);
	for (uint32_t n = 0; n < slots->used; n++)
		seen += slots_at(slots, n) != NULL;
	for (size_t i = 0; i < N; i++)
		seen -= ids[i] != SLOT_NONE;
	assert_int_equal(seen, 0);
	assert_null(slots_at(slots, slots->used));
	assert_null(slots_at(slots, UINT32_MAX));
	slots_fini(slots);
	free(slots);
	free(ids);
	free(objects);
}

/* ---- from another thread ---- */

struct asker {
	struct slots *slots;
	slot_id always, never;
	_Atomic bool stop;
	unsigned wrong;
};

static void *
ask(void *argument)
{
	struct asker *a = argument;

	do {
		a->wrong += !slots_alive(a->slots, a->always);
		a->wrong += slots_alive(a->slots, a->never);
	} while (!atomic_load(&a->stop));
	return NULL;
}

static void
other_threads_may_ask_at_any_time(void **state)
{
	enum { N = 3000 };
	struct slots *slots = calloc(1, sizeof *slots);
	struct asker asker = { .slots = slots };
	slot_id *ids = calloc(N, sizeof *ids);
	pthread_t thread;
	int a;

	(void)state;
	asker.never = slots_take(slots, 0, &a);
	slots_give(slots, asker.never);
	asker.always = slots_take(slots, 0, &a);
	assert_int_equal(pthread_create(&thread, NULL, ask, &asker), 0);
	for (int round = 0; round < 20; round++) {
		for (int i = 0; i < N; i++)
			ids[i] = slots_take(slots, 0, &a);
		for (int i = 0; i < N; i++)
			slots_give(slots, ids[i]);
	}
	atomic_store(&asker.stop, true);
	pthread_join(thread, NULL);
	assert_int_equal(asker.wrong, 0);
	slots_fini(slots);
	free(slots);
	free(ids);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_id_names_its_object_until_it_is_given_back),
		cmocka_unit_test(nothing_and_nonsense_name_nothing),
		cmocka_unit_test(an_id_is_never_taken_twice),
		cmocka_unit_test(many_objects_have_many_ids),
		cmocka_unit_test(other_threads_may_ask_at_any_time),
	};

	return cmocka_run_group_tests_name("base/slots", tests, NULL, NULL);
}
