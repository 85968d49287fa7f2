/* A counter is written by one thread and read by any: no lock, no contended line. */
#include "config.h"

#include "bindery/count.h"

#include <pthread.h>
#include <stdatomic.h>

#include "bindery/alloc.h"

const struct count_row count_rows[COUNTS] = {
#define COUNT_ROW(name, help) { #name, help },
	COUNT_ROWS(COUNT_ROW)
#undef COUNT_ROW
};

/* Blocks outlive their threads, as what they counted still counts. */
struct block {
	_Alignas(64) _Atomic int64_t value[COUNTS];
	struct block *next;
};

static pthread_mutex_t blocks_lock = PTHREAD_MUTEX_INITIALIZER;
static struct block *blocks;
static _Thread_local struct block *mine;

static struct block *
new_block(void)
{
	struct block *block = xcalloc(1, sizeof *block);

	pthread_mutex_lock(&blocks_lock);
	block->next = blocks;
	blocks = block;
	pthread_mutex_unlock(&blocks_lock);
	return block;
}

void
count_add(enum count which, int64_t by)
{
	_Atomic int64_t *value;

	if (mine == NULL)
		mine = new_block();
	value = &mine->value[which];
	/* one writer: a load and a store do, no locked instruction */
	atomic_store_explicit(value,
	    atomic_load_explicit(value, memory_order_relaxed) + by,
	    memory_order_relaxed);
}

int64_t
count_total(enum count which)
{
	int64_t total = 0;

	pthread_mutex_lock(&blocks_lock);
	for (struct block *block = blocks; block != NULL; block = block->next)
		total += atomic_load_explicit(&block->value[which],
		    memory_order_relaxed);
	pthread_mutex_unlock(&blocks_lock);
	return total;
}
