/* Completed server transactions, in a queue of chunks. */
#include "config.h"

#include "kept.h"

#include <stdlib.h>
#include <sys/mman.h>

#include "bindery/alloc.h"
#include "bindery/count.h"

enum {
	CHUNK = 256 << 10,
	SPARE_MAX = 8,   /* chunks kept for the next ones */
	BATCH = 2048,    /* ended by the timer at once, so that others get their turn */
	SHARE = 3,       /* ended with each that is added: they never pile up */
	TABLES = 16      /* to grow in small steps */
};

struct kept {
	struct hash_node node;
	uint64_t key_b, merge_b;
	uint64_t method;
	int64_t until;
	struct hop hop;
	uint32_t size; /* of `bytes` */
	char bytes[];
};

struct chunk {
	struct chunk *next;
	size_t used, size;
	_Alignas(16) char memory[];
};

struct kept_queue {
	struct loop *loop;
	struct timer timer;
	struct chunk *first, *last, *spare;
	size_t at; /* the oldest, in the first chunk */
	size_t spares, count;
	struct hash_table tables[TABLES];
};

/* From the kernel and back to it, never among what malloc() keeps. */
static struct chunk *
new_chunk(size_t size)
{
	struct chunk *chunk = mmap(NULL, size, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

	if (chunk == MAP_FAILED)
		abort();
	chunk->size = size;
	return chunk;
}

static struct chunk *
take_chunk(struct kept_queue *queue, size_t needed)
{
	struct chunk *chunk = queue->spare;

	if (needed > CHUNK - sizeof *chunk)
		return new_chunk((needed + sizeof *chunk + 4095) & ~(size_t)4095);
	if (chunk == NULL)
		return new_chunk(CHUNK);
	queue->spare = chunk->next;
	queue->spares--;
	chunk->next = NULL;
	chunk->used = 0;
	return chunk;
}

static void
give_chunk(struct kept_queue *queue, struct chunk *chunk)
{
	if (chunk->size != CHUNK || queue->spares == SPARE_MAX) {
		munmap(chunk, chunk->size);
		return;
	}
	chunk->next = queue->spare;
	queue->spare = chunk;
	queue->spares++;
}

static size_t
size_of(const struct kept *kept)
{
	return (sizeof *kept + kept->size + 15) & ~(size_t)15;
}

/*
 * Where a request is looked for: by what makes it one request whatever way it
 * came, so that one look finds both a repetition and a merged one.
 */
static uint64_t
place_of(const struct tx_match *match)
{
	return match->merge.a != 0 ? match->merge.a : match->key.a;
}

static struct hash_table *
table_of(struct kept_queue *queue, uint64_t hash)
{
	return &queue->tables[hash >> 60];
}

static struct kept *
oldest(const struct kept_queue *queue)
{
	return queue->count > 0
	    ? (struct kept *)(void *)(queue->first->memory + queue->at)
	    : NULL;
}

static void
drop_oldest(struct kept_queue *queue)
{
	struct chunk *chunk = queue->first;
	struct kept *kept = oldest(queue);

	hash_remove(table_of(queue, kept->node.hash), &kept->node);
	queue->at += size_of(kept);
	queue->count--;
	count_by(transactions_server, -1);
	if (queue->at < chunk->used)
		return;
	queue->first = chunk->next;
	queue->at = 0;
	if (queue->first == NULL)
		queue->last = NULL;
	give_chunk(queue, chunk);
}

static bool
drop_due(struct kept_queue *queue, int most)
{
	int64_t now = loop_now(queue->loop);
	struct kept *kept;

	while ((kept = oldest(queue)) != NULL && kept->until <= now && most-- > 0)
		drop_oldest(queue);
	return kept != NULL;
}

static void
on_time(void *argument)
{
	struct kept_queue *queue = argument;
	int64_t now = loop_now(queue->loop);

	if (drop_due(queue, BATCH))
		timer_set(queue->loop, &queue->timer,
		    oldest(queue)->until > now ? oldest(queue)->until - now : 1);
}

struct kept_queue *
kept_new(struct loop *loop)
{
	struct kept_queue *queue = xcalloc(1, sizeof *queue);

	queue->loop = loop;
	timer_init(&queue->timer, on_time, queue);
	return queue;
}

void
kept_free(struct kept_queue *queue)
{
	if (queue == NULL)
		return;
	while (queue->count > 0)
		drop_oldest(queue);
	timer_cancel(queue->loop, &queue->timer);
	while (queue->spare != NULL) {
		struct chunk *chunk = queue->spare;

		queue->spare = chunk->next;
		munmap(chunk, chunk->size);
	}
	for (int i = 0; i < TABLES; i++)
		hash_free(&queue->tables[i]);
	free(queue);
}

size_t
kept_count(const struct kept_queue *queue)
{
	return queue->count;
}

static struct kept *
allocate(struct kept_queue *queue, size_t needed)
{
	struct chunk *chunk = queue->last;
	struct kept *kept;

	if (chunk == NULL ||
	    chunk->size - sizeof *chunk - chunk->used < needed) {
		chunk = take_chunk(queue, needed);
		if (queue->last != NULL)
			queue->last->next = chunk;
		else
			queue->first = chunk;
		queue->last = chunk;
	}
	kept = (struct kept *)(void *)(chunk->memory + chunk->used);
	chunk->used += needed;
	return kept;
}

void
kept_add(struct kept_queue *queue, const struct tx_match *match,
    uint64_t method, const struct hop *hop, struct str bytes)
{
	int64_t wait = tx_timer_ms('J', false);
	uint64_t place = place_of(match);
	struct kept *kept;

	drop_due(queue, SHARE);
	kept = allocate(queue, (sizeof *kept + bytes.n + 15) & ~(size_t)15);
	kept->key_b = match->key.b;
	kept->merge_b = match->merge.b;
	kept->method = method;
	kept->until = loop_now(queue->loop) + wait;
	kept->hop = *hop;
	kept->size = (uint32_t)bytes.n;
	memcpy(kept->bytes, bytes.p, bytes.n);
	hash_insert(table_of(queue, place), &kept->node, place);
	count(transactions_server);
	if (queue->count++ == 0)
		timer_set(queue->loop, &queue->timer, wait);
}

enum kept_verdict
kept_find(struct kept_queue *queue, const struct tx_match *match,
    uint64_t method, struct kept_answer *answer)
{
	uint64_t place = place_of(match);
	struct hash_table *table = table_of(queue, place);
	struct hash_node *node = hash_first(table, place);
	enum kept_verdict verdict = KEPT_NONE;

	for (; node != NULL; node = hash_next(table, node)) {
		struct kept *kept = container_of(node, struct kept, node);

		if (kept->merge_b != match->merge.b)
			continue;
		if (kept->key_b == match->key.b && kept->method == method) {
			answer->hop = kept->hop;
			answer->bytes = (struct str){ kept->bytes, kept->size };
			return KEPT_SAME;
		}
		if (kept->key_b == match->key.b)
			verdict = KEPT_OTHER_METHOD;
		else if (kept->method == method && match->merge.a != 0)
			verdict = KEPT_MERGED;
	}
	return verdict;
}
