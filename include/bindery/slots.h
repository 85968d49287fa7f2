/*
 * Names for objects that may be gone: an id is worker, slot and generation,
 * and is kept across any wait in place of a pointer. Its owner's thread turns
 * it back into the object; any thread may ask whether the object still lives.
 */
#ifndef BINDERY_SLOTS_H
#define BINDERY_SLOTS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

typedef uint64_t slot_id;
enum { SLOT_NONE = 0 }; /* never names anything */

static inline unsigned
slot_worker(slot_id id)
{
	return (unsigned)(id >> 56);
}

struct slot {
	_Atomic uint32_t generation; /* odd: in use */
	union {
		void *object; /* its worker's alone */
		uint32_t next_free;
	};
};

enum { SLOT_CHUNK = 1024, SLOT_CHUNKS = 4096 }; /* four million a worker */

/* {0} is empty. */
struct slots {
	struct slot *_Atomic chunks[SLOT_CHUNKS];
	uint32_t used;       /* slots that were ever in use */
	uint32_t first_free; /* 0: none; else slot + 1 */
};

/* A new id for the object, or SLOT_NONE when all slots are taken. */
slot_id slots_take(struct slots *slots, unsigned worker, void *object);
/* The id names nothing from now on. */
void slots_give(struct slots *slots, slot_id id);
/* The object, or NULL if it is gone. Owner's thread. */
void *slots_find(const struct slots *slots, slot_id id);
/* The object in slot number n, or NULL; from slots->used on there are none. */
void *slots_at(const struct slots *slots, uint32_t n);
/* From any thread. */
bool slots_alive(const struct slots *slots, slot_id id);
void slots_fini(struct slots *slots);

#endif
