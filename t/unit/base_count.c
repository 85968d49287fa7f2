/* Counters over the threads that come and go. */
#include "config.h"

#include "unit.h"

#include <malloc.h>
#include <pthread.h>

#include "bindery/count.h"

enum { THREADS = 1000 };

static void *
count_one(void *unused)
{
	(void)unused;
	count(requests);
	return NULL;
}

static void
count_in_threads(int threads)
{
	for (int i = 0; i < threads; i++) {
		pthread_t thread;

		assert_int_equal(
		    pthread_create(&thread, NULL, count_one, NULL), 0);
		pthread_join(thread, NULL);
	}
}

static void
what_an_ended_thread_counted_still_counts(void **state)
{
	int64_t before = count_total(COUNT_requests);

	(void)state;
	count_in_threads(THREADS);
	count(requests);
	assert_int_equal(count_total(COUNT_requests), before + THREADS + 1);
}

/* Each reload has threads of its own. */
static void
ended_threads_leave_no_memory_behind(void **state)
{
	size_t before;

	(void)state;
	count_in_threads(10);
	before = mallinfo2().uordblks;
	count_in_threads(THREADS);
	assert_in_range(mallinfo2().uordblks, 0, before + 16384);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_an_ended_thread_counted_still_counts),
		cmocka_unit_test(ended_threads_leave_no_memory_behind),
	};

	return cmocka_run_group_tests_name("base/count", tests, NULL, NULL);
}
