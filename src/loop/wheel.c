/*
 * A hierarchical timing wheel: level 0 has a slot a tick, each level above
 * has slots 256 times as wide, whose nodes fall down a level when their time
 * comes near.
 */
#include "config.h"

#include "bindery/loop.h"

#include <assert.h>
#include <string.h>

enum { BITS = 8, MASK = WHEEL_SLOTS - 1 };

void
wheel_init(struct wheel *wheel, int64_t now)
{
	memset(wheel, 0, sizeof *wheel);
	wheel->tick = now / WHEEL_TICK_MS;
}

static int64_t
tick_of(int64_t at)
{
	return at / WHEEL_TICK_MS + (at % WHEEL_TICK_MS > 0);
}

static void
put(struct wheel *wheel, struct wheel_node *node, int64_t tick)
{
	const int64_t farthest = ((int64_t)1 << (BITS * WHEEL_LEVELS)) - 1;
	int64_t ahead = tick - wheel->tick;
	int level = 0;
	struct wheel_node **slot;

	if (ahead > farthest) {
		ahead = farthest;
		tick = wheel->tick + farthest;
	}
	while (level < WHEEL_LEVELS - 1 &&
	    ahead >= (int64_t)1 << (BITS * (level + 1)))
		level++;
	if (level == 0)
		wheel->used[(tick & MASK) / 64] |= (uint64_t)1 << (tick & 63);
	slot = &wheel->slots[level][(tick >> (BITS * level)) & MASK];
	node->next = *slot;
	node->link = slot;
	if (*slot != NULL)
		(*slot)->link = &node->next;
	*slot = node;
}

static void
take(struct wheel_node *node)
{
	*node->link = node->next;
	if (node->next != NULL)
		node->next->link = node->link;
	node->next = NULL;
	node->link = NULL;
}

void
wheel_set(struct wheel *wheel, struct wheel_node *node, int64_t at)
{
	int64_t tick = tick_of(at);

	if (wheel_is_set(node))
		take(node);
	else
		wheel->count++;
	node->at = at;
	/* the current tick's slot has been emptied: not before the next one */
	put(wheel, node, tick > wheel->tick ? tick : wheel->tick + 1);
}

void
wheel_cancel(struct wheel *wheel, struct wheel_node *node)
{
	if (!wheel_is_set(node))
		return;
	take(node);
	wheel->count--;
}

/* At the end of a level's turn the next slot above falls down. */
static void
cascade(struct wheel *wheel)
{
	for (int level = 1; level < WHEEL_LEVELS; level++) {
		int64_t turn = wheel->tick >> (BITS * level);
		struct wheel_node *node = wheel->slots[level][turn & MASK], *next;

		wheel->slots[level][turn & MASK] = NULL;
		for (; node != NULL; node = next) {
			int64_t tick = tick_of(node->at);

			next = node->next;
			put(wheel, node, tick > wheel->tick ? tick : wheel->tick);
		}
		if ((turn & MASK) != 0)
			break;
	}
}

struct wheel_node *
wheel_next_due(struct wheel *wheel, int64_t now)
{
	int64_t last = now / WHEEL_TICK_MS;

	if (wheel->count == 0 && wheel->tick < last) {
		/* level 0 may still have stale marks; they are harmless */
		wheel->tick = last;
		return NULL;
	}
	for (;;) {
		struct wheel_node *node = wheel->slots[0][wheel->tick & MASK];

		if (node != NULL && wheel->tick <= last) {
			take(node);
			wheel->count--;
			return node;
		}
		if (wheel->tick >= last)
			return NULL;
		wheel->used[(wheel->tick & MASK) / 64] &=
		    ~((uint64_t)1 << (wheel->tick & 63));
		wheel->tick++;
		if ((wheel->tick & MASK) == 0)
			cascade(wheel);
	}
}

int64_t
wheel_wake(const struct wheel *wheel)
{
	int64_t tick = wheel->tick + 1;

	if (wheel->count == 0)
		return INT64_MAX;
	/* the next slot in use of this turn, or the turn's end */
	for (; (tick & MASK) != 0; tick++) {
		uint64_t rest = wheel->used[(tick & MASK) / 64] >> (tick & 63);

		if (rest != 0) {
			tick += __builtin_ctzll(rest);
			break;
		}
		tick |= 63;
	}
	return tick * WHEEL_TICK_MS;
}
