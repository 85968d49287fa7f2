/*
 * A buffer of changes is a queue of records, each a struct change. Who appends
 * holds up everybody who does the same, so this only copies; sense is made of
 * it by the journal's thread.
 */
#include "config.h"

#include "changes.h"

#include <stdlib.h>

#include "bindery/alloc.h"

/* Of a CHANGE_DROP there is only the head; an AOR and texts follow a CHANGE_PUT. */
struct change {
	uint32_t size; /* of all of it */
	uint16_t kind, aor_size;
	uint64_t id;
	struct hop hop; /* from here on: the figures */
	int64_t expires_at, since, refreshed;
	uint32_t cseq, reg_id, gruu_epoch;
	uint16_t q, text_size[BINDING_TEXTS];
	char text[];
};

enum { HEAD_SIZE = offsetof(struct change, hop) };

static size_t
padded(size_t size)
{
	return (size + _Alignof(struct change) - 1) &
	    ~(_Alignof(struct change) - 1);
}

bool
changes_put(struct buf *changes, struct str aor, const struct binding *b,
    bool new_texts, size_t ceiling)
{
	static const char zeros[_Alignof(struct change)];
	struct change change = {
		.kind = new_texts ? CHANGE_PUT : CHANGE_REFRESH,
		.id = b->id,
		.hop = binding_hop(b),
		.expires_at = binding_expires_at(b),
		.since = b->since,
		.refreshed = b->refreshed,
		.cseq = b->cseq,
		.reg_id = b->reg_id,
		.gruu_epoch = b->gruu_epoch,
		.q = b->q,
	};
	size_t size = offsetof(struct change, text);

	if (buf_size(changes) >= ceiling)
		return false;
	if (new_texts) {
		change.aor_size = (uint16_t)aor.n;
		size += aor.n;
		for (int i = 0; i < BINDING_TEXTS; i++) {
			change.text_size[i] = b->size[i];
			size += b->size[i];
		}
	}
	change.size = (uint32_t)padded(size);
	buf_append(changes, &change, offsetof(struct change, text), SIZE_MAX);
	if (new_texts) {
		buf_append(changes, aor.p, aor.n, SIZE_MAX);
		for (int i = 0; i < BINDING_TEXTS; i++) {
			struct str text = binding_text(b, (enum binding_text)i);

			buf_append(changes, text.p, text.n, SIZE_MAX);
		}
	}
	buf_append(changes, zeros, change.size - size, SIZE_MAX);
	return true;
}

bool
changes_drop(struct buf *changes, uint64_t id, size_t ceiling)
{
	struct change change = { .size = HEAD_SIZE, .kind = CHANGE_DROP,
		.id = id };

	if (buf_size(changes) >= ceiling)
		return false;
	return buf_append(changes, &change, HEAD_SIZE, SIZE_MAX);
}

static int
by_id_and_age(const void *a, const void *b)
{
	const struct outcome *x = a, *y = b;

	if (x->id != y->id)
		return x->id < y->id ? -1 : 1;
	return x->last < y->last ? -1 : x->last > y->last;
}

/* Every change by itself. */
static struct outcome *
list(const struct buf *changes, size_t *count)
{
	const char *at = buf_data(changes), *end = at + buf_size(changes);
	struct outcome *all = NULL;
	size_t n = 0, room = 0;

	while (at < end) {
		const struct change *c = (const struct change *)(const void *)at;

		if (n == room) {
			room = room > 0 ? 2 * room : 64;
			all = xrealloc(all, room * sizeof *all);
		}
		all[n++] = (struct outcome){ c->id, c,
			c->kind == CHANGE_PUT ? c : NULL };
		at += c->size;
	}
	*count = n;
	return all;
}

struct outcome *
changes_settle(const struct buf *changes, size_t *count)
{
	size_t n, kept = 0;
	struct outcome *all = list(changes, &n);

	if (n > 1)
		qsort(all, n, sizeof *all, by_id_and_age);
	for (size_t i = 0; i < n; i++) {
		if (kept > 0 && all[kept - 1].id == all[i].id) {
			all[kept - 1].last = all[i].last;
			if (all[i].texts != NULL)
				all[kept - 1].texts = all[i].texts;
		} else {
			all[kept++] = all[i];
		}
	}
	*count = kept;
	return all;
}

enum change_kind
outcome_kind(const struct outcome *outcome)
{
	if (outcome->last->kind == CHANGE_DROP)
		return CHANGE_DROP;
	return outcome->texts != NULL ? CHANGE_PUT : CHANGE_REFRESH;
}

struct journal_row
outcome_row(const struct outcome *outcome, int64_t wall_ahead)
{
	const struct change *c = outcome->last, *texts = outcome->texts;
	struct journal_row row = { .id = c->id, .hop = c->hop,
		.expires_at = c->expires_at + wall_ahead,
		.since = c->since + wall_ahead,
		.refreshed = c->refreshed + wall_ahead, .cseq = c->cseq,
		.reg_id = c->reg_id, .gruu_epoch = c->gruu_epoch, .q = c->q };
	const char *at;

	if (texts == NULL)
		return row;
	at = texts->text;
	row.aor = (struct str){ at, texts->aor_size };
	at += texts->aor_size;
	for (int i = 0; i < BINDING_TEXTS; i++) {
		row.text[i] = (struct str){ at, texts->text_size[i] };
		at += texts->text_size[i];
	}
	return row;
}
