/* Random bytes fit for keys. */
#ifndef BINDERY_RAND_H
#define BINDERY_RAND_H

#include <stddef.h>
#include <stdint.h>

/* Fills all of it, or ends the process: nothing here is safe without. */
void random_bytes(void *to, size_t n);
/* A number below `limit`, which is at least 1. */
uint32_t random_below(uint32_t limit);
uint64_t random_u64(void);

#endif
