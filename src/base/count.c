/* A counter is written by one thread and read by any: no lock, no contended line. */
#include "config.h"

#include "bindery/count.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "bindery/alloc.h"

const struct count_row count_rows[COUNTS] = {
#define COUNT_ROW(name, help) { #name, help },
	COUNT_ROWS(COUNT_ROW)
#undef COUNT_ROW
};

/*
 * Blocks outlive their threads, as what they counted still counts; the next
 * thread counts on in them.
 */
struct block {
	_Alignas(64) _Atomic int64_t value[COUNTS];
	struct block *next, *next_spare;
};

static pthread_mutex_t blocks_lock = PTHREAD_MUTEX_INITIALIZER;
static struct block *blocks, *spare;
static _Thread_local struct block *mine;
static pthread_key_t at_end;
static pthread_once_t at_end_once = PTHREAD_ONCE_INIT;

static void
give_back(void *argument)
{
	struct block *block = argument;

	pthread_mutex_lock(&blocks_lock);
	block->next_spare = spare;
	spare = block;
	pthread_mutex_unlock(&blocks_lock);
	mine = NULL;
}

static void
make_key(void)
{
	if (pthread_key_create(&at_end, give_back) != 0)
		abort();
}

static struct block *
take_block(void)
{
	struct block *block;

	pthread_once(&at_end_once, make_key);
	pthread_mutex_lock(&blocks_lock);
	block = spare;
	if (block != NULL) {
		spare = block->next_spare;
	} else {
		block = xcalloc(1, sizeof *block);
		block->next = blocks;
		blocks = block;
	}
	pthread_mutex_unlock(&blocks_lock);
	pthread_setspecific(at_end, block);
	return block;
}

void
count_add(enum count which, int64_t by)
{
	_Atomic int64_t *value;

	if (mine == NULL)
		mine = take_block();
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
