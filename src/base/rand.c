/* Randomness, from OpenSSL's generator of the calling thread. */
#include "config.h"

#include "bindery/rand.h"

#include <stdio.h>
#include <stdlib.h>

#include <openssl/rand.h>

void
random_bytes(void *to, size_t n)
{
	if (RAND_bytes(to, (int)n) != 1) {
		fputs("bindery: no random numbers\n", stderr);
		abort();
	}
}

uint64_t
random_u64(void)
{
	uint64_t number;

	random_bytes(&number, sizeof number);
	return number;
}
