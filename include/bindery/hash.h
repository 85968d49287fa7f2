/*
 * Keyed hashing that an outsider cannot steer (SipHash), and a hash table of
 * intrusive nodes that grows by itself.
 */
#ifndef BINDERY_HASH_H
#define BINDERY_HASH_H

#include "bindery/str.h"

/* A secret: fill it from random_bytes(). */
struct hash_key {
	uint64_t k0, k1;
};

struct hash128 {
	uint64_t a, b;
};

/* SipHash-1-3: for tables. */
uint64_t hash64(const struct hash_key *key, const void *bytes, size_t n);
/*
 * SipHash-2-4 with 128 bits out: where the hash stands for the text itself,
 * as two texts with one hash cannot be found without the key.
 */
struct hash128 hash128(const struct hash_key *key, const void *bytes, size_t n);

/* In the caller's objects. */
struct hash_node {
	uint64_t hash;
};

struct hash_slot {
	uint64_t hash;
	struct hash_node *node; /* NULL: free */
};

/*
 * Open addressing: a look-up that finds nothing touches no object, and growing
 * touches none at all. {0} is an empty table.
 */
struct hash_table {
	struct hash_slot *slots;
	size_t mask; /* number of slots - 1 */
	size_t count;
};

/* The first node with this hash, or NULL; then hash_next() for the others. */
struct hash_node *hash_first(const struct hash_table *table, uint64_t hash);
struct hash_node *hash_next(const struct hash_table *table,
    const struct hash_node *node);
void hash_insert(struct hash_table *table, struct hash_node *node,
    uint64_t hash);
/* The node must be in the table. */
void hash_remove(struct hash_table *table, struct hash_node *node);
/* Frees the slots, not the nodes. */
void hash_free(struct hash_table *table);

/* The node in slot number i, or NULL; for walks over all of the table. */
static inline struct hash_node *
hash_at(const struct hash_table *table, size_t i)
{
	return table->slots[i].node;
}
/* How many slots there are to walk over. */
static inline size_t
hash_slots(const struct hash_table *table)
{
	return table->slots != NULL ? table->mask + 1 : 0;
}

#define container_of(pointer, type, member) \
	((type *)(void *)((char *)(pointer)-offsetof(type, member)))

#endif
