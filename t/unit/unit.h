/* What unit tests share: cmocka with what it needs, and texts compared. */
#ifndef BINDERY_UNIT_H
#define BINDERY_UNIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "bindery/str.h"

/* A lent text that must be this one. */
#define assert_str(got, expected) \
	check_str((got), str_of(expected), __FILE__, __LINE__)

static inline void
check_str(struct str got, struct str expected, const char *file, int line)
{
	if (str_eq(got, expected) && (got.p == NULL) == (expected.p == NULL))
		return;
	print_error("\"%.*s\"%s is not \"%.*s\"%s\n", STR_ARG(got),
	    got.p == NULL ? " (none)" : "", STR_ARG(expected),
	    expected.p == NULL ? " (none)" : "");
	_fail(file, line);
}

/* A condition that says, when it fails, for which of several cases. */
#define assert_for(what, condition) \
	do { \
		if (!(condition)) \
			fail_msg("%s: not %s", (what), #condition); \
	} while (0)

/* Numbers that are random and the same in each run (SplitMix64). */
static inline uint64_t
next_random(uint64_t *state)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15u;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}

static inline uint64_t
random_up_to(uint64_t *state, uint64_t limit)
{
	return next_random(state) % limit;
}

#endif
