/* Slots and generations. Other threads may ask at any time, so chunks never move. */
#include "config.h"

#include "bindery/slots.h"

#include <stdlib.h>

#include "bindery/alloc.h"

static uint32_t
slot_number(slot_id id)
{
	return (uint32_t)(id >> 32) & 0xffffff;
}

static struct slot *
slot_of(const struct slots *slots, uint32_t number)
{
	struct slot *chunk;

	if (number / SLOT_CHUNK >= SLOT_CHUNKS)
		return NULL;
	chunk = atomic_load_explicit(&slots->chunks[number / SLOT_CHUNK],
	    memory_order_acquire);
	return chunk != NULL ? &chunk[number % SLOT_CHUNK] : NULL;
}

slot_id
slots_take(struct slots *slots, unsigned worker, void *object)
{
	struct slot *slot;
	uint32_t number, generation;

	if (slots->first_free != 0) {
		number = slots->first_free - 1;
		slot = slot_of(slots, number);
		slots->first_free = slot->next_free;
	} else {
		number = slots->used;
		if (number == SLOT_CHUNK * SLOT_CHUNKS)
			return SLOT_NONE;
		if (number % SLOT_CHUNK == 0)
			atomic_store_explicit(&slots->chunks[number / SLOT_CHUNK],
			    xcalloc(SLOT_CHUNK, sizeof(struct slot)),
			    memory_order_release);
		slots->used++;
		slot = slot_of(slots, number);
	}
	slot->object = object;
	generation = atomic_load_explicit(&slot->generation,
	                 memory_order_relaxed) + 1;
	atomic_store_explicit(&slot->generation, generation,
	    memory_order_release);
	return (slot_id)worker << 56 | (slot_id)number << 32 | generation;
}

bool
slots_alive(const struct slots *slots, slot_id id)
{
	struct slot *slot = slot_of(slots, slot_number(id));

	return slot != NULL && ((uint32_t)id & 1) != 0 &&
	    atomic_load_explicit(&slot->generation, memory_order_acquire) ==
	    (uint32_t)id;
}

void
slots_give(struct slots *slots, slot_id id)
{
	struct slot *slot = slot_of(slots, slot_number(id));

	if (!slots_alive(slots, id))
		return;
	atomic_store_explicit(&slot->generation, (uint32_t)id + 1,
	    memory_order_release);
	slot->next_free = slots->first_free;
	slots->first_free = slot_number(id) + 1;
}

void *
slots_find(const struct slots *slots, slot_id id)
{
	return slots_alive(slots, id) ? slot_of(slots, slot_number(id))->object
	                              : NULL;
}

void *
slots_at(const struct slots *slots, uint32_t number)
{
	struct slot *slot = slot_of(slots, number);

	return slot != NULL && (atomic_load(&slot->generation) & 1) != 0
	    ? slot->object
	    : NULL;
}

void
slots_fini(struct slots *slots)
{
	for (size_t i = 0; i < SLOT_CHUNKS; i++)
		free(atomic_load(&slots->chunks[i]));
}
