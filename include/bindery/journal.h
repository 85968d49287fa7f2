/*
 * The journal: the location table on disk. The table stays the authority; the
 * journal is told of each change while the AOR is held, writes in a thread of
 * its own, many changes a transaction, and tells when they are safe. At the
 * start it gives the bindings back.
 *
 * When writing fails, or takes too long, the server goes on. Changes are kept
 * meanwhile, up to a limit; beyond it they are let go of, and the file is
 * brought up to date from the table itself once it can be written again.
 */
#ifndef BINDERY_JOURNAL_H
#define BINDERY_JOURNAL_H

#include "bindery/location.h"

struct journal;

enum journal_durability {
	JOURNAL_COMMIT, /* an answer waits until its change is on disk */
	JOURNAL_BATCH   /* changes are on disk within a second */
};

struct journal_conf {
	const char *path;
	enum journal_durability durability;
	const struct transport *(*transport_of)(struct str name);
};

/* A change's number; what is at or below journal_durable() is on disk. */
typedef uint64_t journal_ticket;

/* Called from the journal's thread when durable or failed has changed. */
typedef void (*journal_progress_fn)(void *context);

/*
 * Opens or makes the file and locks it against other servers. A file that is
 * damaged is put aside, named in the log, and begun anew; one that can only be
 * read is read, and the journal begins in failure. NULL with *why if it can be
 * neither read nor made, or another server has it.
 */
struct journal *journal_open(const struct journal_conf *conf,
    struct location *location, char **why);
/*
 * Gives back each binding that has not expired; flow_of() finds the way to a
 * datagram peer, FLOW_NONE where there is none. Returns how many there were.
 */
size_t journal_load(struct journal *journal,
    flow_id (*flow_of)(void *context, const struct hop *hop), void *context);
/* Begins to write; the location table tells it of changes from here on. */
void journal_start(struct journal *journal, journal_progress_fn progress,
    void *context);
/*
 * To be called about once a second, from one thread: when the disk did not
 * answer for long, that is a failure too.
 */
void journal_watch(struct journal *journal);
/* Writes what is left, ends the thread, closes. */
void journal_close(struct journal *journal);

/* The ticket of the latest change of all; take it while the AOR is held. */
journal_ticket journal_latest(const struct journal *journal);
journal_ticket journal_durable(const struct journal *journal);
/* True while changes do not reach the disk. */
bool journal_has_failed(const struct journal *journal);
bool journal_waits(const struct journal *journal); /* durability: commit */

struct journal_status {
	bool failed;
	char error[200];
	uint64_t pending; /* changes that are not on disk yet */
	uint64_t commits, rows;
	uint64_t commit_us; /* what a transaction takes lately, on average */
};
void journal_tell(struct journal *journal, struct journal_status *status);

/* ---- backends: the table is in journal.c ---- */

/* One binding as it is written; texts are lent. */
struct journal_row {
	uint64_t id;
	struct str aor;
	struct str text[BINDING_TEXTS];
	struct hop hop;
	int64_t expires_at, since, refreshed; /* wall clock, ms */
	uint32_t cseq, reg_id, gruu_epoch;
	uint16_t q;
};

/* Why something failed; the text is the receiver's. */
struct journal_fault {
	char *text;
	bool damaged; /* the file; a new one would do */
};

struct journal_backend {
	const char *name;
	/* A handle, or NULL with *fault; to write, or only to load from. */
	void *(*open)(const struct journal_conf *conf,
	    struct journal_fault *fault);
	void *(*open_to_read)(const struct journal_conf *conf,
	    struct journal_fault *fault);
	void (*close)(void *handle);
	/* Each false with *fault: then the transaction is undone. */
	bool (*begin)(void *handle, struct journal_fault *fault);
	bool (*put)(void *handle, const struct journal_row *row,
	    struct journal_fault *fault);
	/* The row is there: all but its texts. */
	bool (*refresh)(void *handle, const struct journal_row *row,
	    struct journal_fault *fault);
	bool (*drop)(void *handle, uint64_t id, struct journal_fault *fault);
	bool (*commit)(void *handle, struct journal_fault *fault);
	void (*undo)(void *handle);
	/* All rows, or the ids alone. */
	bool (*load)(void *handle,
	    void (*take)(void *context, const struct journal_row *row),
	    void *context, struct journal_fault *fault);
	bool (*ids)(void *handle, void (*take)(void *context, uint64_t id),
	    void *context, struct journal_fault *fault);
};
extern const struct journal_backend journal_sqlite;

#endif
