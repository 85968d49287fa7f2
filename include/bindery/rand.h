/* Random bytes fit for keys. */
#ifndef BINDERY_RAND_H
#define BINDERY_RAND_H

#include <stddef.h>
#include <stdint.h>

/* Fills all of it, or ends the process: nothing here is safe without. */
void random_bytes(void *to, size_t n);
uint64_t random_u64(void);

#endif
