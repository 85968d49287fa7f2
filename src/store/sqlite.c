/*
 * The journal in SQLite, and the only file that names it. The table is meant
 * to be read by people too: sqlite3 FILE 'SELECT * FROM bindings'.
 *
 * Changes go to SQLite's write-ahead log; what is there moves to the table
 * proper in a thread of its own, so that no commit waits for it.
 */
#include "config.h"

#include "bindery/journal.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <sqlite3.h>

#include "bindery/alloc.h"
#include "bindery/buf.h"

enum {
	SCHEMA_VERSION = 1,
	LOG_PAGES = 16384,        /* in the log: time to move them */
	LOG_MAX = 2 * LOG_PAGES,  /* then whatever it takes to begin anew */
	REST_PAGES = 256          /* so few take no time */
};

enum statement {
	BEGIN, COMMIT, UNDO, PUT, REFRESH, DROP, IDS, LOAD, STATEMENTS
};

#define COLUMNS \
	"id, aor, uri, params, call_id, instance, path, user_agent, cseq, " \
	"reg_id, gruu_epoch, q, transport, received, local, expires_at, " \
	"registered_at, refreshed_at"

static const char *const statement_texts[STATEMENTS] = {
	[BEGIN] = "BEGIN IMMEDIATE",
	[COMMIT] = "COMMIT",
	[UNDO] = "ROLLBACK",
	[PUT] = "INSERT OR REPLACE INTO bindings (" COLUMNS ") VALUES "
	    "(?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
	[REFRESH] = "UPDATE bindings SET cseq=?2, transport=?3, received=?4, "
	    "local=?5, expires_at=?6, refreshed_at=?7 WHERE id=?1",
	[DROP] = "DELETE FROM bindings WHERE id=?",
	[IDS] = "SELECT id FROM bindings",
	[LOAD] = "SELECT " COLUMNS " FROM bindings",
};

/*
 * A page holds two or three bindings: what changes is one here and one there,
 * and a whole page is written for each. All of it is on disk when COMMIT
 * returns (synchronous).
 */
static const char settings[] =
    "PRAGMA page_size=1024;"
    "PRAGMA journal_mode=WAL;"
    "PRAGMA synchronous=FULL;"
    "PRAGMA wal_autocheckpoint=0;"
    "PRAGMA journal_size_limit=67108864;"
    "PRAGMA cache_size=-16384;"
    "PRAGMA secure_delete=OFF;";

/* Times are milliseconds since 1970; q is in thousandths. */
static const char schema[] =
    "BEGIN IMMEDIATE;"
    "CREATE TABLE IF NOT EXISTS bindings ("
    " id INTEGER PRIMARY KEY, aor TEXT NOT NULL, uri TEXT NOT NULL,"
    " params TEXT, call_id TEXT, instance TEXT, path TEXT, user_agent TEXT,"
    " cseq INTEGER, reg_id INTEGER, gruu_epoch INTEGER, q INTEGER,"
    " transport TEXT, received TEXT, local TEXT,"
    " expires_at INTEGER NOT NULL, registered_at INTEGER,"
    " refreshed_at INTEGER);"
    "PRAGMA user_version=1;"
    "COMMIT;";

/* Moves the log's pages to where they belong, on a connection of its own. */
struct mover {
	sqlite3 *db;
	pthread_t thread;
	bool started;
	pthread_mutex_t lock;
	pthread_cond_t wake;
	bool wanted, stopping; /* under the lock */
	_Atomic bool busy;
	/* of the last time, for when it is not busy */
	int code, moved;
};

struct handle {
	sqlite3 *db;
	const struct journal_conf *conf;
	sqlite3_stmt *statements[STATEMENTS];
	int log_pages; /* after the last commit */
	bool moving;   /* the mover was asked, and its result not looked at */
	struct mover mover;
};

static bool
is_damage(int code)
{
	return (code & 0xff) == SQLITE_CORRUPT || (code & 0xff) == SQLITE_NOTADB;
}

static bool
complain(int code, const char *text, struct journal_fault *fault)
{
	fault->text = xstrdup(text);
	fault->damaged = is_damage(code);
	return false;
}

static bool
complain_of(struct handle *h, struct journal_fault *fault)
{
	return complain(sqlite3_errcode(h->db), sqlite3_errmsg(h->db), fault);
}

static bool
execute(struct handle *h, const char *text, struct journal_fault *fault)
{
	return sqlite3_exec(h->db, text, NULL, NULL, NULL) == SQLITE_OK ||
	    complain_of(h, fault);
}

/* ---- from the log to the table ---- */

static void *
move(void *argument)
{
	struct mover *m = argument;
	int pages;

	pthread_mutex_lock(&m->lock);
	for (;;) {
		while (!m->wanted && !m->stopping)
			pthread_cond_wait(&m->wake, &m->lock);
		if (m->stopping)
			break;
		m->wanted = false;
		pthread_mutex_unlock(&m->lock);
		m->code = sqlite3_wal_checkpoint_v2(m->db, NULL,
		    SQLITE_CHECKPOINT_PASSIVE, &pages, &m->moved);
		atomic_store(&m->busy, false);
		pthread_mutex_lock(&m->lock);
	}
	pthread_mutex_unlock(&m->lock);
	return NULL;
}

static bool
start_mover(struct handle *h, struct journal_fault *fault)
{
	struct mover *m = &h->mover;
	int code = sqlite3_open_v2(h->conf->path, &m->db,
	    SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);

	if (code == SQLITE_OK) /* a connection that never read knows of no log */
		code = sqlite3_exec(m->db, "PRAGMA user_version", NULL, NULL, NULL);
	if (code != SQLITE_OK)
		return complain(code, sqlite3_errstr(code), fault);
	pthread_mutex_init(&m->lock, NULL);
	pthread_cond_init(&m->wake, NULL);
	if (pthread_create(&m->thread, NULL, move, m) != 0)
		return complain(SQLITE_ERROR, "no more threads", fault);
	pthread_setname_np(m->thread, "mover");
	m->started = true;
	return true;
}

static void
stop_mover(struct mover *m)
{
	if (m->started) {
		pthread_mutex_lock(&m->lock);
		m->stopping = true;
		pthread_cond_signal(&m->wake);
		pthread_mutex_unlock(&m->lock);
		pthread_join(m->thread, NULL);
	}
	sqlite3_close(m->db);
}

static int
on_commit(void *argument, sqlite3 *db, const char *name, int log_pages)
{
	struct handle *h = argument;

	(void)db;
	(void)name;
	h->log_pages = log_pages;
	return SQLITE_OK;
}

/*
 * The log begins anew once all of it has been moved. While there are commits
 * the mover never gets that far, so what it lacks is moved here.
 */
static bool
tend_log(struct handle *h, struct journal_fault *fault)
{
	struct mover *m = &h->mover;
	int rest;

	if (h->moving && !atomic_load(&m->busy)) {
		h->moving = false;
		rest = h->log_pages - m->moved;
		if (m->code == SQLITE_OK &&
		    (rest < REST_PAGES || h->log_pages > LOG_MAX))
			m->code = sqlite3_wal_checkpoint_v2(h->db, NULL,
			    SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
		if (m->code != SQLITE_OK && m->code != SQLITE_BUSY)
			return complain(m->code, sqlite3_errstr(m->code), fault);
	} else if (!h->moving && h->log_pages >= LOG_PAGES) {
		h->moving = true;
		atomic_store(&m->busy, true);
		pthread_mutex_lock(&m->lock);
		m->wanted = true;
		pthread_cond_signal(&m->wake);
		pthread_mutex_unlock(&m->lock);
	}
	return true;
}

/* ---- opening ---- */

static void
sqlite_close(void *handle)
{
	struct handle *h = handle;

	stop_mover(&h->mover);
	for (int i = 0; i < STATEMENTS; i++)
		sqlite3_finalize(h->statements[i]);
	sqlite3_close(h->db);
	free(h);
}

static bool
check_version(struct handle *h, struct journal_fault *fault)
{
	sqlite3_stmt *ask;
	int version = 0;

	if (sqlite3_prepare_v2(h->db, "PRAGMA user_version", -1, &ask, NULL) !=
	    SQLITE_OK)
		return complain_of(h, fault);
	if (sqlite3_step(ask) == SQLITE_ROW)
		version = sqlite3_column_int(ask, 0);
	if (sqlite3_finalize(ask) != SQLITE_OK)
		return complain_of(h, fault);
	if (version <= SCHEMA_VERSION)
		return true;
	fault->text = xasprintf("made by a newer bindery (schema %d, this one "
	                        "knows %d)", version, SCHEMA_VERSION);
	return false;
}

static bool
prepare(struct handle *h, enum statement which, struct journal_fault *fault)
{
	return sqlite3_prepare_v3(h->db, statement_texts[which], -1,
	           SQLITE_PREPARE_PERSISTENT, &h->statements[which], NULL) ==
	    SQLITE_OK ||
	    complain_of(h, fault);
}

/*
 * Whatever a failure left in the log goes to the table first, where it is
 * written and synced anew: after an error of fsync() nobody knows what of the
 * log is on disk.
 */
static bool
empty_log(struct handle *h, struct journal_fault *fault)
{
	int code = sqlite3_wal_checkpoint_v2(h->db, NULL,
	    SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);

	return code == SQLITE_OK || code == SQLITE_BUSY || /* it is being read */
	    complain_of(h, fault);
}

static bool
set_up(struct handle *h, struct journal_fault *fault)
{
	if (sqlite3_db_readonly(h->db, NULL) == 1)
		return complain(SQLITE_READONLY, "it can only be read", fault);
	if (!check_version(h, fault) || !execute(h, settings, fault) ||
	    !execute(h, schema, fault) || !empty_log(h, fault))
		return false;
	for (int i = 0; i < STATEMENTS; i++)
		if (!prepare(h, (enum statement)i, fault))
			return false;
	sqlite3_wal_hook(h->db, on_commit, h);
	return start_mover(h, fault);
}

static struct handle *
open_as(const char *name, int flags, const struct journal_conf *conf,
    struct journal_fault *fault)
{
	struct handle *h = xcalloc(1, sizeof *h);
	int code = sqlite3_open_v2(name, &h->db, flags | SQLITE_OPEN_NOMUTEX,
	    NULL);

	h->conf = conf;
	if (code == SQLITE_OK) {
		sqlite3_extended_result_codes(h->db, 1);
		sqlite3_busy_timeout(h->db, 2000); /* somebody may be reading it */
		return h;
	}
	complain(code, sqlite3_errstr(code), fault);
	sqlite_close(h);
	return NULL;
}

static void *
sqlite_open(const struct journal_conf *conf, struct journal_fault *fault)
{
	struct handle *h = open_as(conf->path,
	    SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, conf, fault);

	if (h == NULL || set_up(h, fault))
		return h;
	sqlite_close(h);
	return NULL;
}

/* "file:", the path with what means something in a URI escaped. */
static char *
immutable_name(const char *path)
{
	size_t room = 3 * strlen(path) + 32;
	char *name = xmalloc(room);
	struct out out = out_to(name, room);

	out_lit(&out, "file:");
	for (; *path != '\0'; path++) {
		if (strchr("%?#", *path) == NULL) {
			out_char(&out, *path);
		} else {
			out_char(&out, '%');
			out_hex(&out, (unsigned char)*path, 2);
		}
	}
	out_lit(&out, "?immutable=1");
	out_z(&out);
	return name;
}

static struct handle *
open_to_read(const char *name, int flags, const struct journal_conf *conf,
    struct journal_fault *fault)
{
	struct handle *h = open_as(name, SQLITE_OPEN_READONLY | flags, conf,
	    fault);

	if (h == NULL || (check_version(h, fault) && prepare(h, LOAD, fault)))
		return h;
	sqlite_close(h);
	return NULL;
}

/*
 * To read beside a log SQLite makes another file, which the folder may not
 * allow, and which would stay as unwritable as the first. But a file whose log
 * is empty can be read as one that never changes.
 */
static void *
sqlite_open_to_read(const struct journal_conf *conf,
    struct journal_fault *fault)
{
	char *log = xasprintf("%s-wal", conf->path);
	struct stat found;
	struct handle *h;

	if (stat(log, &found) == 0 && found.st_size > 0) {
		h = open_to_read(conf->path, 0, conf, fault);
	} else {
		char *name = immutable_name(conf->path);

		h = open_to_read(name, SQLITE_OPEN_URI, conf, fault);
		free(name);
	}
	free(log);
	return h;
}

/* ---- writing ---- */

static bool
run(struct handle *h, enum statement which, struct journal_fault *fault)
{
	sqlite3_stmt *statement = h->statements[which];
	bool done = sqlite3_step(statement) == SQLITE_DONE ||
	    complain_of(h, fault);

	sqlite3_reset(statement);
	return done;
}

static bool
sqlite_begin(void *handle, struct journal_fault *fault)
{
	return run(handle, BEGIN, fault);
}

static bool
sqlite_commit(void *handle, struct journal_fault *fault)
{
	return run(handle, COMMIT, fault) && tend_log(handle, fault);
}

static void
sqlite_undo(void *handle)
{
	struct handle *h = handle;

	if (sqlite3_get_autocommit(h->db) == 0)
		sqlite3_step(h->statements[UNDO]);
	sqlite3_reset(h->statements[UNDO]);
}

static void
bind_text(sqlite3_stmt *s, int at, struct str text)
{
	if (text.n > 0)
		sqlite3_bind_text(s, at, text.p, (int)text.n, SQLITE_STATIC);
	else
		sqlite3_bind_null(s, at);
}

/* Binds the ways, in three columns; `texts` must outlive the step. */
struct hop_texts {
	char peer[ADDR_SIZE], local[ADDR_SIZE];
};

static void
bind_hop(sqlite3_stmt *s, int at, const struct hop *hop,
    struct hop_texts *texts)
{
	sqlite3_bind_text(s, at, hop->transport->name, -1, SQLITE_STATIC);
	sqlite3_bind_text(s, at + 1, addr_text(&hop->peer, texts->peer), -1,
	    SQLITE_STATIC);
	sqlite3_bind_text(s, at + 2, addr_text(&hop->local, texts->local), -1,
	    SQLITE_STATIC);
}

static bool
sqlite_put(void *handle, const struct journal_row *row,
    struct journal_fault *fault)
{
	struct handle *h = handle;
	sqlite3_stmt *s = h->statements[PUT];
	struct hop_texts texts;

	sqlite3_bind_int64(s, 1, (sqlite3_int64)row->id);
	bind_text(s, 2, row->aor);
	for (int i = 0; i < BINDING_TEXTS; i++)
		bind_text(s, 3 + i, row->text[i]);
	sqlite3_bind_int64(s, 9, row->cseq);
	sqlite3_bind_int64(s, 10, row->reg_id);
	sqlite3_bind_int64(s, 11, row->gruu_epoch);
	sqlite3_bind_int64(s, 12, row->q);
	bind_hop(s, 13, &row->hop, &texts);
	sqlite3_bind_int64(s, 16, row->expires_at);
	sqlite3_bind_int64(s, 17, row->since);
	sqlite3_bind_int64(s, 18, row->refreshed);
	return run(h, PUT, fault);
}

static bool
sqlite_refresh(void *handle, const struct journal_row *row,
    struct journal_fault *fault)
{
	struct handle *h = handle;
	sqlite3_stmt *s = h->statements[REFRESH];
	struct hop_texts texts;

	sqlite3_bind_int64(s, 1, (sqlite3_int64)row->id);
	sqlite3_bind_int64(s, 2, row->cseq);
	bind_hop(s, 3, &row->hop, &texts);
	sqlite3_bind_int64(s, 6, row->expires_at);
	sqlite3_bind_int64(s, 7, row->refreshed);
	return run(h, REFRESH, fault);
}

static bool
sqlite_drop(void *handle, uint64_t id, struct journal_fault *fault)
{
	struct handle *h = handle;

	sqlite3_bind_int64(h->statements[DROP], 1, (sqlite3_int64)id);
	return run(h, DROP, fault);
}

/* ---- reading ---- */

static bool
sqlite_ids(void *handle, void (*take)(void *context, uint64_t id),
    void *context, struct journal_fault *fault)
{
	struct handle *h = handle;
	sqlite3_stmt *s = h->statements[IDS];
	int code;

	while ((code = sqlite3_step(s)) == SQLITE_ROW)
		take(context, (uint64_t)sqlite3_column_int64(s, 0));
	if (code != SQLITE_DONE)
		complain_of(h, fault);
	sqlite3_reset(s);
	return code == SQLITE_DONE;
}

static struct str
column(sqlite3_stmt *s, int at)
{
	const char *text = (const char *)sqlite3_column_text(s, at);

	return text != NULL
	    ? (struct str){ text, (size_t)sqlite3_column_bytes(s, at) }
	    : STR("");
}

/* "192.0.2.1:5060", "[2001:db8::1]:5060" */
static struct addr
address_column(sqlite3_stmt *s, int at)
{
	struct str text = column(s, at);
	struct addr addr = { 0 };
	size_t colon = text.n;
	uint32_t port;

	while (colon > 0 && text.p[colon - 1] != ':')
		colon--;
	if (colon > 0 && str_u32(str_from(text, colon), &port) && port < 65536)
		addr_parse((struct str){ text.p, colon - 1 }, (uint16_t)port, &addr);
	return addr;
}

static struct journal_row
row_of(struct handle *h)
{
	sqlite3_stmt *s = h->statements[LOAD];
	struct journal_row row = {
		.id = (uint64_t)sqlite3_column_int64(s, 0),
		.aor = column(s, 1),
		.cseq = (uint32_t)sqlite3_column_int64(s, 8),
		.reg_id = (uint32_t)sqlite3_column_int64(s, 9),
		.gruu_epoch = (uint32_t)sqlite3_column_int64(s, 10),
		.q = (uint16_t)sqlite3_column_int64(s, 11),
		.hop = { .transport = h->conf->transport_of(column(s, 12)),
		    .peer = address_column(s, 13), .local = address_column(s, 14) },
		.expires_at = sqlite3_column_int64(s, 15),
		.since = sqlite3_column_int64(s, 16),
		.refreshed = sqlite3_column_int64(s, 17),
	};

	for (int i = 0; i < BINDING_TEXTS; i++)
		row.text[i] = column(s, 2 + i);
	return row;
}

static bool
sqlite_load(void *handle,
    void (*take)(void *context, const struct journal_row *row), void *context,
    struct journal_fault *fault)
{
	struct handle *h = handle;
	int code;

	while ((code = sqlite3_step(h->statements[LOAD])) == SQLITE_ROW) {
		struct journal_row row = row_of(h);

		take(context, &row);
	}
	if (code != SQLITE_DONE)
		complain_of(h, fault);
	sqlite3_reset(h->statements[LOAD]);
	return code == SQLITE_DONE;
}

const struct journal_backend journal_sqlite = {
	.name = "sqlite",
	.open = sqlite_open,
	.open_to_read = sqlite_open_to_read,
	.close = sqlite_close,
	.begin = sqlite_begin,
	.put = sqlite_put,
	.refresh = sqlite_refresh,
	.drop = sqlite_drop,
	.commit = sqlite_commit,
	.undo = sqlite_undo,
	.ids = sqlite_ids,
	.load = sqlite_load,
};
