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

static inline struct sip_state
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
	for (size_t i = 0; i < n; i++)
		last |= (uint64_t)p[i] << (8 * i);
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

struct hash_node *
hash_next(const struct hash_node *node)
{
	struct hash_node *next = node->next;

	while (next != NULL && next->hash != node->hash)
		next = next->next;
	return next;
}

struct hash_node *
hash_first(const struct hash_table *table, uint64_t hash)
{
	struct hash_node *node;

	if (table->slots == NULL)
		return NULL;
	node = table->slots[hash & table->mask];
	while (node != NULL && node->hash != hash)
		node = node->next;
	return node;
}

static void
grow(struct hash_table *table)
{
	size_t size = table->slots != NULL ? 2 * (table->mask + 1) : 8;
	struct hash_node **slots = xcalloc(size, sizeof(struct hash_node *));

	for (size_t i = 0; table->slots != NULL && i <= table->mask; i++) {
		struct hash_node *node = table->slots[i], *next;

		for (; node != NULL; node = next) {
			next = node->next;
			node->next = slots[node->hash & (size - 1)];
			slots[node->hash & (size - 1)] = node;
		}
	}
	free(table->slots);
	table->slots = slots;
	table->mask = size - 1;
}

void
hash_insert(struct hash_table *table, struct hash_node *node, uint64_t hash)
{
	if (table->slots == NULL || table->count > table->mask)
		grow(table);
	node->hash = hash;
	node->next = table->slots[hash & table->mask];
	table->slots[hash & table->mask] = node;
	table->count++;
}

void
hash_remove(struct hash_table *table, struct hash_node *node)
{
	struct hash_node **link = &table->slots[node->hash & table->mask];

	while (*link != node) {
		assert(*link != NULL);
		link = &(*link)->next;
	}
	*link = node->next;
	node->next = NULL;
	table->count--;
}

void
hash_free(struct hash_table *table)
{
	free(table->slots);
	*table = (struct hash_table){ 0 };
}
