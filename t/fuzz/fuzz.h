/* What every fuzz target is: one function over some bytes. */
#ifndef BINDERY_FUZZ_H
#define BINDERY_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

/* The folder of its seeds in t/fuzz/seeds; others that suit it, or NULL. */
extern const char *const fuzz_seeds[];

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

/* What must hold whatever comes. */
#define fuzz_must(condition) \
	do { \
		if (!(condition)) { \
			fprintf(stderr, "%s:%d: not %s\n", __FILE__, __LINE__, \
			    #condition); \
			abort(); \
		} \
	} while (0)

#endif
