/*
 * The journal's queue and thread. Changes are appended while their AOR is
 * held, so that their order is the table's own; the thread takes all that
 * there is, and writes what it comes to in one transaction.
 */
#include "config.h"

#include "bindery/journal.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "bindery/alloc.h"
#include "bindery/clock.h"
#include "bindery/log.h"
#include "changes.h"
#include "file.h"

enum {
	QUEUE_MAX = 64 << 20,  /* bytes; beyond, the table is written instead */
	KEPT_ROOM = 4 << 20,   /* of a queue that is empty */
	ROWS_MAX = 5000,       /* a transaction */
	BATCH_MS = 400,        /* between the writes of durability "batch" */
	LOOK_MS = 1000,        /* between looks after the file */
	RETRY_MS = 1000,
	SLOW_MS = 5000,        /* without an answer of the disk: a failure */
	CLOCK_JUMP_MS = 10000, /* of the wall clock: the rows' times are wrong */
	AORS_AT_ONCE = 500     /* held up while they are copied */
};

struct journal {
	const struct journal_backend *backend;
	struct journal_conf conf;
	struct location *location;
	journal_progress_fn progress;
	void *context;
	pthread_t thread;
	bool started;

	/* the thread's own */
	struct journal_file file;
	void *handle;     /* NULL: not open for writing */
	struct buf taken; /* from the queue, being written */
	bool anew;        /* the file lacks more than what is queued */
	int64_t wall_ahead; /* of the monotonic clock, when rows were written last */
	int64_t looked_at;

	pthread_mutex_t lock;
	pthread_cond_t wake;
	struct buf queue;
	bool idle, stopping;
	bool overflowed; /* changes were let go of: then `anew` */
	char error[200];

	_Atomic uint64_t latest, durable, commits, rows, commit_us;
	_Atomic int64_t busy_since; /* with one transaction; 0: not busy */
	_Atomic bool failed;
};

static int64_t
wall_ahead(void)
{
	return clock_wall_ms() - clock_mono_ms();
}

/* ---- failing and recovering ---- */

/* Locked. */
static void
set_failed(struct journal *j, const char *why)
{
	if (!atomic_load(&j->failed))
		log_event(LOG_ERROR, "store", "write_failed",
		    LOG_Z("file", j->file.path), LOG_Z("reason", why));
	snprintf(j->error, sizeof j->error, "%s", why);
	atomic_store(&j->failed, true);
}

static void
shut(struct journal *j)
{
	if (j->handle != NULL)
		j->backend->close(j->handle);
	j->handle = NULL;
}

/*
 * The file is opened anew before the next try: that finds out what became of
 * it. What was not written goes back to the head of the queue.
 */
static void
fail(struct journal *j, struct journal_fault *fault)
{
	if (j->handle != NULL)
		j->backend->undo(j->handle);
	shut(j);
	if (fault->damaged) {
		file_put_aside(&j->file, fault->text);
		j->anew = true;
	}
	pthread_mutex_lock(&j->lock);
	if (buf_append(&j->taken, buf_data(&j->queue), buf_size(&j->queue),
	        QUEUE_MAX)) {
		struct buf emptied = j->queue;

		j->queue = j->taken;
		j->taken = emptied;
	} else {
		j->overflowed = true;
	}
	if (j->overflowed)
		buf_free(&j->queue);
	set_failed(j, fault->text);
	pthread_mutex_unlock(&j->lock);
	buf_free(&j->taken);
	free(fault->text);
}

static void
succeed(struct journal *j, journal_ticket ticket)
{
	pthread_mutex_lock(&j->lock);
	if (atomic_load(&j->failed) && !j->overflowed) {
		log_event(LOG_NOTICE, "store", "recovered",
		    LOG_Z("file", j->file.path));
		j->error[0] = '\0';
		atomic_store(&j->failed, false);
	}
	atomic_store(&j->durable, ticket);
	pthread_mutex_unlock(&j->lock);
}

void
journal_watch(struct journal *j)
{
	int64_t since;
	bool slow;

	pthread_mutex_lock(&j->lock);
	since = atomic_load(&j->busy_since);
	slow = since != 0 && clock_mono_ms() - since > SLOW_MS &&
	    !atomic_load(&j->failed);
	if (slow)
		set_failed(j, "the disk does not answer");
	pthread_mutex_unlock(&j->lock);
	if (slow)
		j->progress(j->context);
}

/* ---- opening ---- */

/* False with *fault; then *taken tells whether another server has it. */
static bool
open_file(struct journal *j, bool *taken, struct journal_fault *fault)
{
	enum file_lock lock = file_lock(&j->file, &fault->text);

	*taken = lock == FILE_TAKEN;
	if (lock != FILE_LOCKED)
		return false;
	j->handle = j->backend->open(&j->conf, fault);
	if (j->handle == NULL && fault->damaged) {
		file_put_aside(&j->file, fault->text);
		free(fault->text);
		*fault = (struct journal_fault){ 0 };
		j->handle = j->backend->open(&j->conf, fault);
	}
	if (j->handle == NULL)
		return false;
	if (!file_remember(&j->file))
		j->anew = true;
	return true;
}

struct journal *
journal_open(const struct journal_conf *conf, struct location *location,
    char **why)
{
	struct journal *j = xcalloc(1, sizeof *j);
	struct journal_fault fault = { 0 }, reading = { 0 };
	pthread_condattr_t attributes;
	bool taken;

	j->backend = &journal_sqlite;
	j->conf = *conf;
	file_init(&j->file, conf->path);
	j->conf.path = j->file.path;
	j->location = location;
	pthread_mutex_init(&j->lock, NULL);
	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_cond_init(&j->wake, &attributes);
	pthread_condattr_destroy(&attributes);
	j->wall_ahead = wall_ahead();
	if (open_file(j, &taken, &fault))
		return j;
	if (!taken)
		j->handle = j->backend->open_to_read(&j->conf, &reading);
	free(reading.text);
	if (j->handle != NULL) {
		set_failed(j, fault.text);
		free(fault.text);
		return j;
	}
	*why = xasprintf("location.path %s: %s", j->file.path, fault.text);
	free(fault.text);
	journal_close(j);
	return NULL;
}

/* ---- loading ---- */

struct loading {
	struct journal *journal;
	flow_id (*flow_of)(void *context, const struct hop *hop);
	void *context;
	int64_t mono, wall;
	size_t loaded;
};

/* Somebody may have written to the file. */
static bool
is_sane(const struct journal_row *row)
{
	for (int i = 0; i < BINDING_TEXTS; i++)
		if (row->text[i].n >= UINT16_MAX)
			return false;
	return row->aor.n > 0 && row->aor.n < UINT16_MAX &&
	    row->text[BINDING_URI].n > 0 && row->hop.transport != NULL;
}

static void
take_row(void *context, const struct journal_row *row)
{
	struct loading *l = context;
	/* a clock that was set back makes nothing live longer than it was granted */
	int64_t left = row->expires_at - l->wall;
	int64_t granted = row->expires_at - row->refreshed;
	struct location_saved saved = { .id = row->id,
		.since = row->since - l->journal->wall_ahead,
		.refreshed = row->refreshed - l->journal->wall_ahead,
		.data = { .hop = row->hop,
		    .expires_at = l->mono + (left < granted ? left : granted),
		    .cseq = row->cseq, .reg_id = row->reg_id,
		    .gruu_epoch = row->gruu_epoch, .q = row->q } };

	if (left <= 0 || !is_sane(row)) {
		changes_drop(&l->journal->queue, row->id, SIZE_MAX);
		return;
	}
	memcpy(saved.data.text, row->text, sizeof row->text);
	saved.data.hop.flow = l->flow_of(l->context, &row->hop);
	location_restore(l->journal->location, row->aor, &saved, l->mono);
	l->loaded++;
}

size_t
journal_load(struct journal *j,
    flow_id (*flow_of)(void *context, const struct hop *hop), void *context)
{
	struct loading l = { j, flow_of, context, clock_mono_ms(),
		clock_wall_ms(), 0 };
	struct journal_fault fault = { 0 };
	bool done = j->backend->load(j->handle, take_row, &l, &fault);

	if (!done) {
		log_event(LOG_ERROR, "store", "load_failed",
		    LOG_Z("file", j->file.path), LOG_Z("reason", fault.text));
		fault.damaged = true; /* what was read is written to a new file */
		fail(j, &fault);
	}
	if (j->failed)
		shut(j); /* it was open for reading alone */
	return l.loaded;
}

/* ---- changes, from any thread, with the AOR held ---- */

/* Locked; unlocks. `appended` is false for a change that did not fit. */
static void
count_change(struct journal *j, bool appended)
{
	bool idle = j->idle;

	atomic_store(&j->latest, atomic_load(&j->latest) + 1);
	if (!appended) {
		j->overflowed = true;
		buf_free(&j->queue);
	}
	j->idle = false; /* one wakeup is enough */
	pthread_mutex_unlock(&j->lock);
	if (idle)
		pthread_cond_signal(&j->wake);
}

static void
on_put(void *context, struct str aor, const struct binding *b, bool new_texts)
{
	struct journal *j = context;

	pthread_mutex_lock(&j->lock);
	count_change(j, !j->overflowed &&
	        changes_put(&j->queue, aor, b, new_texts, QUEUE_MAX));
}

static void
on_drop(void *context, struct str aor, const struct binding *b)
{
	struct journal *j = context;

	(void)aor;
	pthread_mutex_lock(&j->lock);
	count_change(j, !j->overflowed &&
	        changes_drop(&j->queue, b->id, QUEUE_MAX));
}

/* ---- writing ---- */

static bool
write_outcome(struct journal *j, const struct outcome *outcome,
    struct journal_fault *fault)
{
	enum change_kind kind = outcome_kind(outcome);
	struct journal_row row;

	if (kind == CHANGE_DROP)
		return j->backend->drop(j->handle, outcome->id, fault);
	row = outcome_row(outcome, j->wall_ahead);
	return kind == CHANGE_PUT ? j->backend->put(j->handle, &row, fault)
	                          : j->backend->refresh(j->handle, &row, fault);
}

static uint64_t
now_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

static bool
write_transaction(struct journal *j, const struct outcome *list, size_t n,
    struct journal_fault *fault)
{
	uint64_t began = now_us(), average = atomic_load(&j->commit_us);

	atomic_store(&j->busy_since, clock_mono_ms());
	if (!j->backend->begin(j->handle, fault))
		return false;
	for (size_t i = 0; i < n; i++)
		if (!write_outcome(j, &list[i], fault))
			return false;
	if (!j->backend->commit(j->handle, fault))
		return false;
	atomic_store(&j->commit_us, (7 * average + (now_us() - began)) / 8);
	atomic_fetch_add(&j->commits, 1);
	atomic_fetch_add(&j->rows, n);
	return true;
}

static bool
write_changes(struct journal *j, const struct buf *changes,
    struct journal_fault *fault)
{
	size_t count;
	struct outcome *list;
	bool done = true;

	if (buf_size(changes) == 0)
		return true;
	list = changes_settle(changes, &count);
	for (size_t at = 0; at < count && done; at += ROWS_MAX)
		done = write_transaction(j, list + at,
		    count - at < ROWS_MAX ? count - at : ROWS_MAX, fault);
	free(list);
	return done;
}

/* ---- all of the table ---- */

struct copying {
	struct buf changes;
	struct buf ids; /* of all bindings that there are */
	size_t at;      /* among the ids */
};

static void
copy_aor(void *context, struct str aor, const struct binding *first)
{
	struct copying *c = context;

	for (const struct binding *b = first; b != NULL; b = b->next) {
		changes_put(&c->changes, aor, b, true, SIZE_MAX);
		buf_append(&c->ids, &b->id, sizeof b->id, SIZE_MAX);
	}
}

static int
by_number(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

/* The file's ids come in order, as ours are by now. */
static void
drop_if_unknown(void *context, uint64_t id)
{
	struct copying *c = context;
	const uint64_t *ids = (const uint64_t *)(const void *)buf_data(&c->ids);
	size_t n = buf_size(&c->ids) / sizeof *ids;

	while (c->at < n && ids[c->at] < id)
		c->at++;
	if (c->at == n || ids[c->at] != id)
		changes_drop(&c->changes, id, SIZE_MAX);
}

/*
 * A part at a time, as changes: so no lock is held while there is writing,
 * and the file is never worse than it was before.
 */
static bool
write_all(struct journal *j, struct journal_fault *fault)
{
	struct copying c = { 0 };
	uint64_t cursor = 0;
	bool more = true, done = true;

	while (more && done) {
		more = location_list(j->location, &cursor, AORS_AT_ONCE, copy_aor,
		    &c);
		done = write_changes(j, &c.changes, fault);
		c.changes.from = c.changes.to = 0;
	}
	if (done && buf_size(&c.ids) > 0)
		qsort(buf_data(&c.ids), buf_size(&c.ids) / sizeof(uint64_t),
		    sizeof(uint64_t), by_number);
	done = done && j->backend->ids(j->handle, drop_if_unknown, &c, fault) &&
	    write_changes(j, &c.changes, fault);
	j->anew = !done;
	buf_free(&c.changes);
	buf_free(&c.ids);
	return done;
}

/* ---- the thread ---- */

static bool
is_there(struct journal *j, struct journal_fault *fault)
{
	int64_t now = clock_mono_ms();

	if (now - j->looked_at < LOOK_MS)
		return true;
	j->looked_at = now;
	if (file_is_there(&j->file))
		return true;
	fault->text = xstrdup("it was removed or replaced");
	return false;
}

/* Times in the file are the wall clock's: if that was set, all are wrong. */
static void
look_at_clock(struct journal *j)
{
	int64_t before = j->wall_ahead;

	j->wall_ahead = wall_ahead();
	if (llabs(j->wall_ahead - before) > CLOCK_JUMP_MS)
		j->anew = true;
}

static bool
write_out(struct journal *j, struct journal_fault *fault)
{
	bool taken;

	if (j->handle == NULL ? !open_file(j, &taken, fault) : !is_there(j, fault))
		return false;
	look_at_clock(j);
	return (!j->anew || write_all(j, fault)) &&
	    write_changes(j, &j->taken, fault);
}

/* Locked on entry and return. */
static void
work_once(struct journal *j)
{
	struct buf emptied = j->taken;
	journal_ticket ticket = atomic_load(&j->latest);
	bool behind = ticket != atomic_load(&j->durable) || j->failed;
	struct journal_fault fault = { 0 };

	j->taken = j->queue;
	j->queue = emptied;
	if (j->overflowed)
		j->anew = true;
	j->overflowed = false;
	pthread_mutex_unlock(&j->lock);
	atomic_store(&j->busy_since, clock_mono_ms());
	if (write_out(j, &fault))
		succeed(j, ticket);
	else
		fail(j, &fault);
	atomic_store(&j->busy_since, 0);
	if (j->taken.room > KEPT_ROOM)
		buf_free(&j->taken);
	j->taken.from = j->taken.to = 0;
	if (behind || atomic_load(&j->failed))
		j->progress(j->context);
	pthread_mutex_lock(&j->lock);
}

/* Locked on entry and return: until there is something to do, or time passed. */
static void
rest(struct journal *j)
{
	bool waits = j->conf.durability == JOURNAL_COMMIT && !j->failed;
	int64_t ms = j->failed ? RETRY_MS : waits ? LOOK_MS : BATCH_MS;
	struct timespec until;

	if (waits && (buf_size(&j->queue) > 0 || j->overflowed))
		return;
	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_nsec += ms % 1000 * 1000000;
	until.tv_sec += ms / 1000 + until.tv_nsec / 1000000000;
	until.tv_nsec %= 1000000000;
	j->idle = waits;
	pthread_cond_timedwait(&j->wake, &j->lock, &until);
	j->idle = false;
}

static void *
work(void *argument)
{
	struct journal *j = argument;

	pthread_mutex_lock(&j->lock);
	while (!j->stopping) {
		rest(j);
		work_once(j);
	}
	work_once(j); /* for what came meanwhile */
	pthread_mutex_unlock(&j->lock);
	return NULL;
}

void
journal_start(struct journal *j, journal_progress_fn progress, void *context)
{
	struct location_observer observer = { j, on_put, on_drop };
	sigset_t all, before;

	j->progress = progress;
	j->context = context;
	location_observe(j->location, &observer);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	if (pthread_create(&j->thread, NULL, work, j) != 0)
		abort();
	pthread_setname_np(j->thread, "journal");
	j->started = true;
	pthread_sigmask(SIG_SETMASK, &before, NULL);
}

void
journal_close(struct journal *j)
{
	if (j == NULL)
		return;
	if (j->started) {
		pthread_mutex_lock(&j->lock);
		j->stopping = true;
		pthread_cond_signal(&j->wake);
		pthread_mutex_unlock(&j->lock);
		pthread_join(j->thread, NULL);
		location_observe(j->location, NULL);
	}
	shut(j);
	file_close(&j->file);
	buf_free(&j->queue);
	buf_free(&j->taken);
	pthread_cond_destroy(&j->wake);
	pthread_mutex_destroy(&j->lock);
	free(j);
}

/* ---- asking ---- */

journal_ticket
journal_latest(const struct journal *j)
{
	return atomic_load(&j->latest);
}

journal_ticket
journal_durable(const struct journal *j)
{
	return atomic_load(&j->durable);
}

bool
journal_has_failed(const struct journal *j)
{
	return atomic_load_explicit(&j->failed, memory_order_relaxed);
}

bool
journal_waits(const struct journal *j)
{
	return j->conf.durability == JOURNAL_COMMIT;
}

void
journal_tell(struct journal *j, struct journal_status *status)
{
	pthread_mutex_lock(&j->lock);
	snprintf(status->error, sizeof status->error, "%s", j->error);
	pthread_mutex_unlock(&j->lock);
	status->failed = atomic_load(&j->failed);
	status->pending = atomic_load(&j->latest) - atomic_load(&j->durable);
	status->commits = atomic_load(&j->commits);
	status->rows = atomic_load(&j->rows);
	status->commit_us = atomic_load(&j->commit_us);
}
