/* The two clocks, and dates as SIP and logs write them. */
#include "config.h"

#include "bindery/clock.h"

#include <stdatomic.h>
#include <stdio.h>
#include <time.h>

static _Atomic int64_t ahead_ms; /* 0 but in tests */

static int64_t
read_clock(clockid_t which)
{
	struct timespec now;

	clock_gettime(which, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000 +
	    atomic_load_explicit(&ahead_ms, memory_order_relaxed);
}

int64_t
clock_mono_ms(void)
{
	return read_clock(CLOCK_MONOTONIC) + 1;
}

int64_t
clock_mono_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

int64_t
clock_wall_ms(void)
{
	return read_clock(CLOCK_REALTIME);
}

void
clock_advance(int64_t ms)
{
	atomic_fetch_add(&ahead_ms, ms);
}

static struct tm
broken_down(int64_t wall_ms)
{
	time_t seconds = (time_t)(wall_ms / 1000);
	struct tm parts;

	gmtime_r(&seconds, &parts);
	return parts;
}

void
clock_date(int64_t wall_ms, char text[HTTP_DATE_SIZE])
{
	static const char days[] = "SunMonTueWedThuFriSat";
	static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
	struct tm t = broken_down(wall_ms);

	/* not strftime: a locale must not reach the wire */
	snprintf(text, HTTP_DATE_SIZE, "%.3s, %02u %.3s %04u %02u:%02u:%02u GMT",
	    days + 3 * t.tm_wday, (unsigned)t.tm_mday % 100u,
	    months + 3 * t.tm_mon, (unsigned)(t.tm_year + 1900) % 10000u,
	    (unsigned)t.tm_hour % 100u, (unsigned)t.tm_min % 100u,
	    (unsigned)t.tm_sec % 100u);
}

void
clock_iso(int64_t wall_ms, char text[ISO_TIME_SIZE])
{
	struct tm t = broken_down(wall_ms);

	snprintf(text, ISO_TIME_SIZE, "%04u-%02u-%02uT%02u:%02u:%02u.%03uZ",
	    (unsigned)(t.tm_year + 1900) % 10000u, (unsigned)(t.tm_mon + 1) % 100u,
	    (unsigned)t.tm_mday % 100u, (unsigned)t.tm_hour % 100u,
	    (unsigned)t.tm_min % 100u, (unsigned)t.tm_sec % 100u,
	    (unsigned)(wall_ms % 1000) % 1000u);
}
