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
    uint64_t method, const struct hop *hop, struct str bytes);

enum kept_verdict {
	KEPT_NONE,
	KEPT_SAME,         /* a repetition: it gets the same answer */
	KEPT_OTHER_METHOD, /* what a CANCEL with this branch is for */
	KEPT_MERGED        /* the same request by another way */
};
/* Fills `answer` for KEPT_SAME; lent until the next call. */
enum kept_verdict kept_find(struct kept_queue *queue,
    const struct tx_match *match, uint64_t method,
    struct kept_answer *answer);

#endif
