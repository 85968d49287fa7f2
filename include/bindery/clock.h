/*
 * Time. Deadlines are milliseconds of a clock that never jumps; people and
 * files get the wall clock. Tests replace both by setting an offset.
 */
#ifndef BINDERY_CLOCK_H
#define BINDERY_CLOCK_H

#include <stdint.h>

/* Milliseconds since some moment before the program began; never 0. */
int64_t clock_mono_ms(void);
/* The same in microseconds, to measure with; no test moves it. */
int64_t clock_mono_us(void);
/* Milliseconds since 1970 UTC. */
int64_t clock_wall_ms(void);
/* For tests: both clocks go this much ahead of the true ones. */
void clock_advance(int64_t ms);

/* "Mon, 23 Nov 2026 14:00:00 GMT" (RFC 3261 20.17), and the NUL. */
enum { HTTP_DATE_SIZE = 30 };
void clock_date(int64_t wall_ms, char text[HTTP_DATE_SIZE]);
/* "2026-11-23T14:00:00.123Z", and the NUL. */
enum { ISO_TIME_SIZE = 25 };
void clock_iso(int64_t wall_ms, char text[ISO_TIME_SIZE]);

#endif
