/* SipHash (Aumasson and Bernstein) and chained tables. */
#include "config.h"

#include "bindery/hash.h"

#include <assert.h>
#include <endian.h>
#include <stdlib.h>

#include "bindery/alloc.h"

struct sip_state {
	uint64_t v0, v1, v2, v3;
};

static inline uint64_t
rotate(uint64_t x, int bits)
{
	return x << bits | x >> (64 - bits);
}

static inline void
sip_round(struct sip_state *s)
{
	s->v0 += s->v1;
	s->v1 = rotate(s->v1, 13) ^ s->v0;
	s->v0 = rotate(s->v0, 32);
	s->v2 += s->v3;
	s->v3 = rotate(s->v3, 16) ^ s->v2;
	s->v0 += s->v3;
	s->v3 = rotate(s->v3, 21) ^ s->v0;
	s->v2 += s->v1;
	s->v1 = rotate(s->v1, 17) ^ s->v2;
	s->v2 = rotate(s->v2, 32);
}

static inline uint64_t
word(const unsigned char *p)
{
	uint64_t w;

	memcpy(&w, p, sizeof w);
	return le64toh(w);
}

static inline void
absorb(struct sip_state *s, uint64_t w, int rounds)
{
	s->v3 ^= w;
	for (int i = 0; i < rounds; i++)
		sip_round(s);
	s->v0 ^= w;
}

/* Inlined wherever it is used, so that the compiler unrolls the rounds. */
__attribute__((always_inline)) static inline struct sip_state
sip_start(const struct hash_key *key, const void *bytes, size_t n, int rounds,
    uint64_t tweak)
{
	struct sip_state s = {
		key->k0 ^ 0x736f6d6570736575u, key->k1 ^ 0x646f72616e646f6du ^ tweak,
		key->k0 ^ 0x6c7967656e657261u, key->k1 ^ 0x7465646279746573u
	};
	const unsigned char *p = bytes;
	uint64_t last = (uint64_t)n << 56;

	for (; n >= 8; n -= 8, p += 8)
		absorb(&s, word(p), rounds);
	if (n >= 4) { /* two words that overlap */
		uint32_t low, high;

		memcpy(&low, p, sizeof low);
		memcpy(&high, p + n - 4, sizeof high);
		last |= le32toh(low) | (uint64_t)le32toh(high) << (8 * (n - 4));
	} else {
		for (size_t i = 0; i < n; i++)
			last |= (uint64_t)p[i] << (8 * i);
	}
	absorb(&s, last, rounds);
	return s;
}

static inline uint64_t
sip_end(struct sip_state *s, int rounds)
{
	for (int i = 0; i < rounds; i++)
		sip_round(s);
	return s->v0 ^ s->v1 ^ s->v2 ^ s->v3;
}

uint64_t
hash64(const struct hash_key *key, const void *bytes, size_t n)
{
	struct sip_state s = sip_start(key, bytes, n, 1, 0);

	s.v2 ^= 0xff;
	return sip_end(&s, 3);
}

struct hash128
hash128(const struct hash_key *key, const void *bytes, size_t n)
{
	struct sip_state s = sip_start(key, bytes, n, 2, 0xee);
	struct hash128 h;

	s.v2 ^= 0xee;
	h.a = sip_end(&s, 4);
	s.v1 ^= 0xdd;
	h.b = sip_end(&s, 4);
	return h;
}

/* From slot `at` on, the first one with this hash. */
static struct hash_node *
probe(const struct hash_table *table, uint64_t hash, size_t at)
{
	for (;; at++) {
		const struct hash_slot *slot = &table->slots[at & table->mask];

		if (slot->node == NULL || slot->hash == hash)
			return slot->node;
	}
}

static size_t
slot_of(const struct hash_table *table, const struct hash_node *node)
{
	size_t at = node->hash & table->mask;

	while (table->slots[at].node != node) {
		assert(table->slots[at].node != NULL);
		at = (at + 1) & table->mask;
	}
	return at;
}

struct hash_node *
hash_first(const struct hash_table *table, uint64_t hash)
{
	return table->slots != NULL ? probe(table, hash, hash) : NULL;
}

struct hash_node *
hash_next(const struct hash_table *table, const struct hash_node *node)
{
	return probe(table, node->hash, slot_of(table, node) + 1);
}

static void
put(struct hash_table *table, struct hash_slot slot)
{
	size_t at = slot.hash & table->mask;

	while (table->slots[at].node != NULL)
		at = (at + 1) & table->mask;
	table->slots[at] = slot;
}

static void
resize(struct hash_table *table, size_t size)
{
	struct hash_slot *old = table->slots;
	size_t n = hash_slots(table);

	table->slots = xcalloc(size, sizeof *table->slots);
	table->mask = size - 1;
	for (size_t i = 0; i < n; i++)
		if (old[i].node != NULL)
			put(table, old[i]);
	free(old);
}

void
hash_insert(struct hash_table *table, struct hash_node *node, uint64_t hash)
{
	size_t n = hash_slots(table);

	if (4 * (table->count + 1) > 3 * n)
		resize(table, n > 0 ? 2 * n : 8);
	node->hash = hash;
	put(table, (struct hash_slot){ hash, node });
	table->count++;
}

/* What follows moves up, so that no gap ends a search too early. */
void
hash_remove(struct hash_table *table, struct hash_node *node)
{
	size_t gap = slot_of(table, node), at = gap;

	for (;;) {
		size_t home;

		at = (at + 1) & table->mask;
		if (table->slots[at].node == NULL)
			break;
		home = table->slots[at].hash & table->mask;
		if (((at - home) & table->mask) < ((at - gap) & table->mask))
			continue; /* it would stand before its home */
		table->slots[gap] = table->slots[at];
		gap = at;
	}
	table->slots[gap].node = NULL;
	table->count--;
	/* a table that was large once gives its memory back */
	if (table->mask >= 1024 && 16 * table->count < table->mask)
		resize(table, (table->mask + 1) / 4);
}

void
hash_free(struct hash_table *table)
{
	free(table->slots);
	*table = (struct hash_table){ 0 };
}
