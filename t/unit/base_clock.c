/* The clocks of tests, and dates as they stand on the wire. */
#include "config.h"

#include "unit.h"

#include <time.h>

#include "bindery/clock.h"

static int64_t
seconds_of(int year, int month, int day)
{
	struct tm t = { .tm_year = year - 1900, .tm_mon = month - 1,
		.tm_mday = day };

	return (int64_t)timegm(&t);
}

static void
check_date(int64_t seconds)
{
	char got[HTTP_DATE_SIZE], expected[64];
	time_t at = (time_t)seconds;
	struct tm t;

	gmtime_r(&at, &t);
	/* the C locale is in force, as nobody has set another */
	strftime(expected, sizeof expected, "%a, %d %b %Y %H:%M:%S GMT", &t);
	clock_date(1000 * seconds, got);
	assert_string_equal(got, expected);
	clock_date(1000 * seconds + 999, got);
	assert_string_equal(got, expected);
}

static void
check_iso(int64_t seconds, unsigned ms)
{
	char got[ISO_TIME_SIZE], expected[64];
	time_t at = (time_t)seconds;
	struct tm t;
	size_t n;

	gmtime_r(&at, &t);
	n = strftime(expected, sizeof expected, "%Y-%m-%dT%H:%M:%S", &t);
	snprintf(expected + n, sizeof expected - n, ".%03uZ", ms);
	clock_iso(1000 * seconds + ms, got);
	assert_string_equal(got, expected);
}

static void
every_day_from_2024_to_2035_has_its_date(void **state)
{
	int64_t from = seconds_of(2024, 1, 1), to = seconds_of(2036, 1, 1);

	(void)state;
	for (int64_t day = from; day < to; day += 86400) {
		check_date(day);
		check_date(day + 86399);
		check_date(day + 45296);
		check_iso(day, 0);
		check_iso(day + 86399, 999);
	}
}

static void
leap_days_are_where_they_should_be(void **state)
{
	static const int years[] = { 2000, 2024, 2028, 2096, 2100, 2400 };

	(void)state;
	for (size_t i = 0; i < sizeof years / sizeof *years; i++)
		for (int64_t day = -2; day <= 40; day++)
			check_date(seconds_of(years[i], 2, 28) + 86400 * day);
}

static void
dates_look_as_rfc_3261_says(void **state)
{
	char date[HTTP_DATE_SIZE], iso[ISO_TIME_SIZE];

	(void)state;
	clock_date(INT64_C(1000) * (seconds_of(2010, 11, 13) + 84560), date);
	assert_string_equal(date, "Sat, 13 Nov 2010 23:29:20 GMT");
	clock_date(0, date);
	assert_string_equal(date, "Thu, 01 Jan 1970 00:00:00 GMT");
	clock_iso(INT64_C(1000) * seconds_of(2024, 2, 29) + 7, iso);
	assert_string_equal(iso, "2024-02-29T00:00:00.007Z");
	clock_date(INT64_C(4102444799999), date); /* beyond 2038 */
	assert_string_equal(date, "Thu, 31 Dec 2099 23:59:59 GMT");
}

static void
both_clocks_go_ahead_together(void **state)
{
	int64_t mono = clock_mono_ms(), wall = clock_wall_ms(), later;

	(void)state;
	assert_true(mono > 0);
	clock_advance(3600000);
	later = clock_mono_ms();
	assert_true(later >= mono + 3600000 && later < mono + 3660000);
	later = clock_wall_ms();
	assert_true(later >= wall + 3600000 && later < wall + 3660000);
}

static void
the_wall_clock_is_that_of_the_system(void **state)
{
	int64_t before = (int64_t)time(NULL), now;

	(void)state;
	clock_advance(-3600000); /* what the test before has added */
	now = clock_wall_ms() / 1000;
	assert_true(now >= before && now <= before + 60);
}

static void
the_monotonic_clock_never_goes_back(void **state)
{
	int64_t last = clock_mono_ms();

	(void)state;
	for (int i = 0; i < 100000; i++) {
		int64_t now = clock_mono_ms();

		assert_true(now >= last);
		last = now;
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_day_from_2024_to_2035_has_its_date),
		cmocka_unit_test(leap_days_are_where_they_should_be),
		cmocka_unit_test(dates_look_as_rfc_3261_says),
		cmocka_unit_test(both_clocks_go_ahead_together),
		cmocka_unit_test(the_wall_clock_is_that_of_the_system),
		cmocka_unit_test(the_monotonic_clock_never_goes_back),
	};

	return cmocka_run_group_tests_name("base/clock", tests, NULL, NULL);
}
