/*
 * The journal's queue and thread. Changes are appended while their AOR is
 * held, so that their order is the table's own; the thread takes all that
 * there is, keeps the last change of each binding, and writes them in one
 * transaction.
 */
#include "config.h"

#include "bindery/journal.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

#include "bindery/alloc.h"
#include "bindery/buf.h"
#include "bindery/clock.h"
#include "bindery/count.h"
#include "bindery/log.h"

enum {
	QUEUE_MAX = 256 << 20, /* beyond that the table is written anew instead */
	BATCH_MS = 250,        /* between the writes of durability "batch" */
	RETRY_MS = 1000
};

enum change_kind { CHANGE_PUT, CHANGE_REFRESH, CHANGE_DROP };

/* In the queue; an AOR and the texts follow a CHANGE_PUT. */
struct change {
	uint32_t size; /* with what follows */
	uint16_t kind, aor_size;
	uint16_t text_size[BINDING_TEXTS];
	uint16_t q;
	uint32_t cseq, reg_id, gruu_epoch;
	uint64_t id;
	int64_t expires_at, since, refreshed; /* wall clock, ms */
	struct hop hop;
	char text[];
};

struct journal {
	const struct journal_backend *backend;
	struct journal_conf conf;
	char *path;
	struct location *location;
	void *handle; /* NULL: it could not be opened again yet */
	int lock_fd;
	pthread_t thread;
	journal_progress_fn progress;
	void *context;

	pthread_mutex_t lock;
	pthread_cond_t wake;
	struct buf queue;
	bool started, stopping;
	bool overflowed; /* changes were lost: the table is written anew */
	char error[200];

	_Atomic uint64_t latest, durable, commits, rows;
	_Atomic bool failed;
};

/* ---- opening ---- */

static bool
lock_file(struct journal *j, char **why)
{
	char *name = xasprintf("%s.lock", j->path);
	bool done;

	j->lock_fd = open(name, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	done = j->lock_fd >= 0 && flock(j->lock_fd, LOCK_EX | LOCK_NB) == 0;
	if (!done)
		*why = errno == EWOULDBLOCK
		    ? xasprintf("location.path %s: another server uses it", j->path)
		    : xasprintf("location.path %s: %s", name, strerror(errno));
	free(name);
	return done;
}

/* A damaged file is kept for who wants to look at it. */
static void
put_aside(struct journal *j, const char *why)
{
	static const char *const parts[] = { "", "-wal", "-shm" };
	long long stamp = clock_wall_ms();

	for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
		char *from = xasprintf("%s%s", j->path, parts[i]);
		char *to = xasprintf("%s.damaged-%lld%s", j->path, stamp, parts[i]);

		if (rename(from, to) == 0 && i == 0)
			log_event(LOG_ERROR, "store", "damaged", LOG_Z("file", j->path),
			    LOG_Z("reason", why), LOG_Z("kept_as", to));
		free(from);
		free(to);
	}
}

static bool
open_file(struct journal *j, char **why)
{
	bool damaged;

	j->handle = j->backend->open(&j->conf, &damaged, why);
	if (j->handle != NULL || !damaged)
		return j->handle != NULL;
	put_aside(j, *why);
	free(*why);
	*why = NULL;
	j->handle = j->backend->open(&j->conf, &damaged, why);
	return j->handle != NULL;
}

struct journal *
journal_open(const struct journal_conf *conf, struct location *location,
    char **why)
{
	struct journal *j = xcalloc(1, sizeof *j);
	char *reason = NULL;

	j->backend = &journal_sqlite;
	j->path = xstrdup(conf->path);
	j->conf = *conf;
	j->conf.path = j->path;
	j->location = location;
	j->lock_fd = -1;
	pthread_mutex_init(&j->lock, NULL);
	pthread_cond_init(&j->wake, NULL);
	if (lock_file(j, why)) {
		if (open_file(j, &reason))
			return j;
		*why = xasprintf("location.path %s: %s", j->path, reason);
		free(reason);
	}
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

static void
take_row(void *context, const struct journal_row *row)
{
	struct loading *l = context;
	int64_t ahead = l->mono - l->wall;
	struct location_saved saved = { .id = row->id,
		.since = row->since + ahead, .refreshed = row->refreshed + ahead,
		.data = { .hop = row->hop, .expires_at = row->expires_at + ahead,
		    .cseq = row->cseq, .reg_id = row->reg_id,
		    .gruu_epoch = row->gruu_epoch, .q = row->q } };

	if (row->expires_at <= l->wall || row->hop.transport == NULL)
		return;
	for (int i = 0; i < BINDING_TEXTS; i++)
		saved.data.text[i] = row->text[i];
	saved.data.hop.flow = l->flow_of(l->context, &row->hop);
	location_restore(l->journal->location, row->aor, &saved, l->mono);
	l->loaded++;
}

bool
journal_load(struct journal *j,
    flow_id (*flow_of)(void *context, const struct hop *hop), void *context,
    size_t *loaded)
{
	struct loading l = { j, flow_of, context, clock_mono_ms(),
		clock_wall_ms(), 0 };
	char *why = NULL;
	bool done = j->backend->load(j->handle, take_row, &l, &why);

	*loaded = l.loaded;
	if (done) /* so that the file does not keep what nobody needs */
		done = j->backend->expire(j->handle, l.wall, &why);
	if (!done) {
		log_event(LOG_ERROR, "store", "load_failed", LOG_Z("file", j->path),
		    LOG_Z("reason", why));
		j->backend->close(j->handle);
		put_aside(j, why);
		free(why);
		why = NULL;
		if (!open_file(j, &why)) {
			log_event(LOG_ERROR, "store", "open_failed",
			    LOG_Z("file", j->path), LOG_Z("reason", why));
			free(why);
		}
		j->overflowed = true; /* what was read is written to the new file */
	}
	return done;
}

/* ---- changes, from any thread, with the AOR held ---- */

static int64_t
to_wall(int64_t mono_ms)
{
	return mono_ms + (clock_wall_ms() - clock_mono_ms());
}

enum { ALIGNMENT = 16 };

static size_t
padded(size_t size)
{
	return (size + ALIGNMENT - 1) & ~(size_t)(ALIGNMENT - 1);
}

static void
append(struct journal *j, const struct change *change, struct str aor,
    const struct binding *binding)
{
	static const char zeros[ALIGNMENT];
	bool is_put = change->kind == CHANGE_PUT;

	pthread_mutex_lock(&j->lock);
	atomic_store(&j->latest, atomic_load(&j->latest) + 1);
	if (!j->overflowed &&
	    buf_append(&j->queue, change, sizeof *change, QUEUE_MAX)) {
		if (is_put) {
			buf_append(&j->queue, aor.p, aor.n, SIZE_MAX);
			for (int i = 0; i < BINDING_TEXTS; i++) {
				struct str text = binding_text(binding, (enum binding_text)i);

				buf_append(&j->queue, text.p, text.n, SIZE_MAX);
			}
		}
		buf_append(&j->queue, zeros, padded(change->size) - change->size,
		    SIZE_MAX);
	} else {
		j->overflowed = true;
		buf_free(&j->queue);
	}
	if (j->conf.durability == JOURNAL_COMMIT)
		pthread_cond_signal(&j->wake);
	pthread_mutex_unlock(&j->lock);
}

static struct change
change_of(enum change_kind kind, const struct binding *b)
{
	struct change change = {
		.size = sizeof change,
		.kind = (uint16_t)kind,
		.id = b->id,
		.cseq = b->cseq,
		.reg_id = b->reg_id,
		.gruu_epoch = b->gruu_epoch,
		.q = b->q,
		.hop = binding_hop(b),
		.expires_at = to_wall(binding_expires_at(b)),
		.since = to_wall(b->since),
		.refreshed = to_wall(b->refreshed),
	};

	return change;
}

static void
on_put(void *context, struct str aor, const struct binding *b, bool new_texts)
{
	struct change change =
	    change_of(new_texts ? CHANGE_PUT : CHANGE_REFRESH, b);

	if (new_texts) {
		change.aor_size = (uint16_t)aor.n;
		change.size += (uint32_t)aor.n;
		for (int i = 0; i < BINDING_TEXTS; i++) {
			change.text_size[i] = b->size[i];
			change.size += b->size[i];
		}
	}
	append(context, &change, aor, b);
}

static void
on_drop(void *context, struct str aor, const struct binding *b)
{
	struct change change = change_of(CHANGE_DROP, b);

	append(context, &change, aor, b);
}

/* ---- writing ---- */

static struct journal_row
row_of(const struct change *c)
{
	struct journal_row row = { .id = c->id, .hop = c->hop,
		.expires_at = c->expires_at, .since = c->since,
		.refreshed = c->refreshed, .cseq = c->cseq, .reg_id = c->reg_id,
		.gruu_epoch = c->gruu_epoch, .q = c->q };
	const char *at = c->text;

	row.aor = (struct str){ at, c->aor_size };
	at += c->aor_size;
	for (int i = 0; i < BINDING_TEXTS; i++) {
		row.text[i] = (struct str){ at, c->text_size[i] };
		at += c->text_size[i];
	}
	return row;
}

/* The last word on one binding within a batch. */
struct last {
	struct hash_node node;
	const struct change *put; /* that brings the texts; NULL: they stand */
	const struct change *last;
};

static struct last *
last_of(struct hash_table *table, uint64_t id)
{
	/* ids are counted: spread them over the table */
	uint64_t hash = id * 0x9e3779b97f4a7c15u;
	struct hash_node *node = hash_first(table, hash);
	struct last *last;

	if (node != NULL)
		return container_of(node, struct last, node);
	last = xcalloc(1, sizeof *last);
	hash_insert(table, &last->node, hash);
	return last;
}

static bool
write_last(struct journal *j, const struct last *last, char **why)
{
	struct journal_row row = row_of(last->last);

	if (last->last->kind == CHANGE_DROP)
		return j->backend->drop(j->handle, row.id, why);
	if (last->put == NULL)
		return j->backend->refresh(j->handle, &row, why);
	if (last->put != last->last) { /* its texts, and the latest figures */
		struct journal_row texts = row_of(last->put);

		row.aor = texts.aor;
		memcpy(row.text, texts.text, sizeof row.text);
	}
	return j->backend->put(j->handle, &row, why);
}

static void
gather(struct hash_table *table, const struct buf *changes)
{
	const char *at = buf_data(changes), *end = at + buf_size(changes);

	while (at < end) {
		const struct change *c = (const struct change *)(const void *)at;
		struct last *last = last_of(table, c->id);

		if (c->kind == CHANGE_PUT)
			last->put = c;
		last->last = c;
		at += padded(c->size);
	}
}

static bool
write_changes(struct journal *j, const struct buf *changes, char **why)
{
	struct hash_table table = { 0 };
	bool done = j->backend->begin(j->handle, why);

	gather(&table, changes);
	for (size_t i = 0; i < hash_slots(&table); i++) {
		struct last *last;

		if (hash_at(&table, i) == NULL)
			continue;
		last = container_of(hash_at(&table, i), struct last, node);
		done = done && write_last(j, last, why);
		free(last);
		atomic_fetch_add(&j->rows, 1);
	}
	hash_free(&table);
	return done && j->backend->commit(j->handle, why);
}

/* ---- all of it anew, after a failure ---- */

struct rewrite {
	struct journal *journal;
	char **why;
	bool done;
};

static void
rewrite_aor(void *context, struct str aor, const struct binding *first)
{
	struct rewrite *w = context;

	for (const struct binding *b = first; b != NULL && w->done; b = b->next) {
		struct change change = change_of(CHANGE_PUT, b);
		struct journal_row row = row_of(&change);

		row.aor = aor;
		for (int i = 0; i < BINDING_TEXTS; i++)
			row.text[i] = binding_text(b, (enum binding_text)i);
		w->done = w->journal->backend->put(w->journal->handle, &row, w->why);
	}
}

static bool
write_all(struct journal *j, char **why)
{
	struct rewrite w = { j, why, true };
	uint64_t cursor = 0;

	if (!j->backend->begin(j->handle, why) ||
	    !j->backend->clear(j->handle, why))
		return false;
	while (location_list(j->location, &cursor, 100, rewrite_aor, &w) && w.done)
		;
	return w.done && j->backend->commit(j->handle, why);
}

/* ---- the thread ---- */

static void
sleep_until_wanted(struct journal *j, int64_t ms)
{
	struct timespec until;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += ms / 1000;
	until.tv_nsec += ms % 1000 * 1000000;
	if (until.tv_nsec >= 1000000000) {
		until.tv_sec++;
		until.tv_nsec -= 1000000000;
	}
	pthread_cond_timedwait(&j->wake, &j->lock, &until);
}

static void
fail(struct journal *j, char *why)
{
	if (!atomic_load(&j->failed))
		log_event(LOG_ERROR, "store", "write_failed", LOG_Z("file", j->path),
		    LOG_Z("reason", why));
	pthread_mutex_lock(&j->lock);
	snprintf(j->error, sizeof j->error, "%s", why);
	j->overflowed = true;
	buf_free(&j->queue);
	pthread_mutex_unlock(&j->lock);
	atomic_store(&j->failed, true);
	if (j->handle != NULL) {
		j->backend->undo(j->handle);
		j->backend->close(j->handle);
		j->handle = NULL;
	}
	free(why);
}

static void
succeed(struct journal *j, uint64_t ticket)
{
	if (atomic_exchange(&j->failed, false))
		log_event(LOG_NOTICE, "store", "recovered", LOG_Z("file", j->path));
	pthread_mutex_lock(&j->lock);
	j->error[0] = '\0';
	pthread_mutex_unlock(&j->lock);
	atomic_store(&j->durable, ticket);
	atomic_fetch_add(&j->commits, 1);
}

/* Held on entry and return: writes what there is. */
static void
work_once(struct journal *j)
{
	struct buf changes = j->queue;
	uint64_t ticket = atomic_load(&j->latest);
	bool anew = j->overflowed, done;
	char *why = NULL;

	j->queue = (struct buf){ 0 };
	j->overflowed = false;
	pthread_mutex_unlock(&j->lock);
	done = (j->handle != NULL || open_file(j, &why)) &&
	    (anew ? write_all(j, &why) : write_changes(j, &changes, &why));
	buf_free(&changes);
	if (done)
		succeed(j, ticket);
	else
		fail(j, why != NULL ? why : xstrdup("unknown error"));
	j->progress(j->context);
	pthread_mutex_lock(&j->lock);
}

static void *
work(void *argument)
{
	struct journal *j = argument;

	pthread_mutex_lock(&j->lock);
	for (;;) {
		bool something = buf_size(&j->queue) > 0 || j->overflowed;

		if (j->stopping) {
			if (something)
				work_once(j);
			break;
		}
		if (atomic_load(&j->failed))
			sleep_until_wanted(j, RETRY_MS);
		else if (j->conf.durability == JOURNAL_BATCH)
			sleep_until_wanted(j, BATCH_MS);
		else if (!something)
			pthread_cond_wait(&j->wake, &j->lock);
		if (buf_size(&j->queue) > 0 || j->overflowed)
			work_once(j);
	}
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
	j->started = pthread_create(&j->thread, NULL, work, j) == 0;
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
	if (j->handle != NULL)
		j->backend->close(j->handle);
	if (j->lock_fd >= 0)
		close(j->lock_fd);
	buf_free(&j->queue);
	pthread_cond_destroy(&j->wake);
	pthread_mutex_destroy(&j->lock);
	free(j->path);
	free(j);
}

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
}
