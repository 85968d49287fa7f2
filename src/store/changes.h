/* Changes of bindings, from the moment they are made until they are on disk. */
#ifndef BINDERY_CHANGES_H
#define BINDERY_CHANGES_H

#include "bindery/buf.h"
#include "bindery/journal.h"

struct change;

/*
 * Append to a buffer of changes, for as long as that holds less than `ceiling`
 * bytes; else false, and nothing was appended.
 */
bool changes_put(struct buf *changes, struct str aor, const struct binding *b,
    bool new_texts, size_t ceiling);
bool changes_drop(struct buf *changes, uint64_t id, size_t ceiling);

/* What all changes of one binding come to. */
struct outcome {
	uint64_t id;
	const struct change *last;
	const struct change *texts; /* that brings them; NULL: they stand */
};

/* In the order of ids, as the file has them; the caller frees the list. */
struct outcome *changes_settle(const struct buf *changes, size_t *count);

enum change_kind { CHANGE_PUT, CHANGE_REFRESH, CHANGE_DROP };
enum change_kind outcome_kind(const struct outcome *outcome);
/* The row, lent; no texts if they stand. Not for CHANGE_DROP. */
struct journal_row outcome_row(const struct outcome *outcome,
    int64_t wall_ahead);

#endif
