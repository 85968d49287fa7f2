/*
 * Server transactions that are Completed and only wait for timer J: nearly all
 * of them. What is left of one is a key and the answer's bytes; as all wait
 * equally long they end in the order they began, and lie in memory so.
 */
#ifndef BINDERY_KEPT_H
#define BINDERY_KEPT_H

#include "bindery/transaction.h"

struct kept;
struct kept_queue;

/* One that is asked for again. */
struct kept_answer {
	struct hop hop;
	struct str bytes;
};

struct kept_queue *kept_new(struct loop *loop);
void kept_free(struct kept_queue *queue);
size_t kept_count(const struct kept_queue *queue);

void kept_add(struct kept_queue *queue, const struct tx_match *match,
    uint64_t method, bool merges, const struct hop *hop, struct str bytes);
/* The answer to the same request; lent until the next call. */
bool kept_find(const struct kept_queue *queue, const struct tx_match *match,
    uint64_t method, struct kept_answer *answer);
/* True if a transaction with the same branch but another method is there. */
bool kept_has_other_method(const struct kept_queue *queue,
    const struct tx_match *match, uint64_t method);
bool kept_is_merged(const struct kept_queue *queue,
    const struct tx_match *match);

#endif
