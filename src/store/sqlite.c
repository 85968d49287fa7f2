/*
 * The journal in SQLite, and the only file that names it. The table is meant
 * to be read by people too: sqlite3 FILE 'SELECT * FROM bindings'.
 */
#include "config.h"

#include "bindery/journal.h"

#include <stdlib.h>

#include <sqlite3.h>

#include "bindery/alloc.h"

enum { SCHEMA_VERSION = 1 };

enum statement {
	BEGIN, COMMIT, UNDO, CLEAR, PUT, REFRESH, DROP, EXPIRE, LOAD, STATEMENTS
};

static const char *const texts[STATEMENTS] = {
	[BEGIN] = "BEGIN IMMEDIATE",
	[COMMIT] = "COMMIT",
	[UNDO] = "ROLLBACK",
	[CLEAR] = "DELETE FROM bindings",
	[PUT] = "INSERT OR REPLACE INTO bindings (id, aor, uri, params, call_id, "
	    "instance, path, user_agent, cseq, reg_id, gruu_epoch, q, transport, "
	    "received, local, expires_at, registered_at, refreshed_at) VALUES "
	    "(?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
	[REFRESH] = "UPDATE bindings SET cseq=?2, transport=?3, received=?4, "
	    "local=?5, expires_at=?6, refreshed_at=?7 WHERE id=?1",
	[DROP] = "DELETE FROM bindings WHERE id=?",
	[EXPIRE] = "DELETE FROM bindings WHERE expires_at <= ?",
	[LOAD] = "SELECT id, aor, uri, params, call_id, instance, path, "
	    "user_agent, cseq, reg_id, gruu_epoch, q, transport, received, local, "
	    "expires_at, registered_at, refreshed_at FROM bindings",
};

/* Times are milliseconds since 1970; q is in thousandths. */
static const char schema[] =
    "CREATE TABLE IF NOT EXISTS bindings ("
    " id INTEGER PRIMARY KEY, aor TEXT NOT NULL, uri TEXT NOT NULL,"
    " params TEXT, call_id TEXT, instance TEXT, path TEXT, user_agent TEXT,"
    " cseq INTEGER, reg_id INTEGER, gruu_epoch INTEGER, q INTEGER,"
    " transport TEXT, received TEXT, local TEXT,"
    " expires_at INTEGER NOT NULL, registered_at INTEGER,"
    " refreshed_at INTEGER);";

struct handle {
	sqlite3 *db;
	const struct journal_conf *conf;
	sqlite3_stmt *statements[STATEMENTS];
};

static bool
complain(struct handle *h, char **why)
{
	*why = xstrdup(sqlite3_errmsg(h->db));
	return false;
}

static bool
is_damage(int code)
{
	return (code & 0xff) == SQLITE_CORRUPT || (code & 0xff) == SQLITE_NOTADB;
}

static void
sqlite_close(void *handle)
{
	struct handle *h = handle;

	for (int i = 0; i < STATEMENTS; i++)
		sqlite3_finalize(h->statements[i]);
	sqlite3_close(h->db);
	free(h);
}

static int
version_of(struct handle *h)
{
	sqlite3_stmt *ask;
	int version = -1;

	if (sqlite3_prepare_v2(h->db, "PRAGMA user_version", -1, &ask, NULL) !=
	    SQLITE_OK)
		return -1;
	if (sqlite3_step(ask) == SQLITE_ROW)
		version = sqlite3_column_int(ask, 0);
	sqlite3_finalize(ask);
	return version;
}

static bool
set_up(struct handle *h, const struct journal_conf *conf, char **why)
{
	int version;
	bool done;

	h->conf = conf;
	done = sqlite3_exec(h->db, "PRAGMA journal_mode=WAL;"
	                                "PRAGMA wal_autocheckpoint=4000;"
	                                "PRAGMA cache_size=-65536;", NULL, NULL,
	                NULL) == SQLITE_OK &&
	    /* FULL: the log is on disk when COMMIT returns */
	    sqlite3_exec(h->db, conf->durability == JOURNAL_COMMIT
	            ? "PRAGMA synchronous=FULL"
	            : "PRAGMA synchronous=NORMAL", NULL, NULL, NULL) == SQLITE_OK;

	if (!done)
		return complain(h, why);
	version = version_of(h);
	if (version > SCHEMA_VERSION) {
		*why = xasprintf("made by a newer bindery (schema %d, this one "
		                 "knows %d)", version, SCHEMA_VERSION);
		return false;
	}
	if (sqlite3_exec(h->db, schema, NULL, NULL, NULL) != SQLITE_OK ||
	    sqlite3_exec(h->db, "PRAGMA user_version=1", NULL, NULL, NULL) !=
	        SQLITE_OK)
		return complain(h, why);
	for (int i = 0; i < STATEMENTS; i++)
		if (sqlite3_prepare_v3(h->db, texts[i], -1,
		        SQLITE_PREPARE_PERSISTENT, &h->statements[i], NULL) !=
		    SQLITE_OK)
			return complain(h, why);
	return true;
}

static void *
sqlite_open(const struct journal_conf *conf, bool *damaged, char **why)
{
	struct handle *h = xcalloc(1, sizeof *h);
	int code = sqlite3_open_v2(conf->path, &h->db, SQLITE_OPEN_READWRITE |
	        SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, NULL);

	*damaged = false;
	if (h->db == NULL) {
		*why = xstrdup("out of memory");
		free(h);
		return NULL;
	}
	sqlite3_extended_result_codes(h->db, 1);
	sqlite3_busy_timeout(h->db, 2000); /* somebody may be reading it */
	if (code == SQLITE_OK && set_up(h, conf, why))
		return h;
	if (code != SQLITE_OK)
		complain(h, why);
	*damaged = is_damage(sqlite3_errcode(h->db));
	sqlite_close(h);
	return NULL;
}

static bool
run(struct handle *h, enum statement which, char **why)
{
	sqlite3_stmt *statement = h->statements[which];
	int code = sqlite3_step(statement);

	if (code != SQLITE_DONE && code != SQLITE_ROW)
		complain(h, why);
	sqlite3_reset(statement);
	return code == SQLITE_DONE || code == SQLITE_ROW;
}

static bool
sqlite_begin(void *handle, char **why)
{
	return run(handle, BEGIN, why);
}

static bool
sqlite_commit(void *handle, char **why)
{
	return run(handle, COMMIT, why);
}

static void
sqlite_undo(void *handle)
{
	struct handle *h = handle;
	char *why = NULL;

	if (sqlite3_get_autocommit(h->db) == 0)
		run(h, UNDO, &why);
	free(why);
}

static bool
sqlite_clear(void *handle, char **why)
{
	return run(handle, CLEAR, why);
}

static void
bind_text(sqlite3_stmt *s, int at, struct str text)
{
	if (text.n > 0)
		sqlite3_bind_text(s, at, text.p, (int)text.n, SQLITE_STATIC);
	else
		sqlite3_bind_null(s, at);
}

static void
bind_address(sqlite3_stmt *s, int at, const struct addr *addr)
{
	char text[ADDR_SIZE];

	sqlite3_bind_text(s, at, addr_text(addr, text), -1, SQLITE_TRANSIENT);
}

static bool
sqlite_put(void *handle, const struct journal_row *row, char **why)
{
	struct handle *h = handle;
	sqlite3_stmt *s = h->statements[PUT];

	sqlite3_bind_int64(s, 1, (sqlite3_int64)row->id);
	bind_text(s, 2, row->aor);
	for (int i = 0; i < BINDING_TEXTS; i++)
		bind_text(s, 3 + i, row->text[i]);
	sqlite3_bind_int64(s, 9, row->cseq);
	sqlite3_bind_int64(s, 10, row->reg_id);
	sqlite3_bind_int64(s, 11, row->gruu_epoch);
	sqlite3_bind_int64(s, 12, row->q);
	sqlite3_bind_text(s, 13, row->hop.transport->name, -1, SQLITE_STATIC);
	bind_address(s, 14, &row->hop.peer);
	bind_address(s, 15, &row->hop.local);
	sqlite3_bind_int64(s, 16, row->expires_at);
	sqlite3_bind_int64(s, 17, row->since);
	sqlite3_bind_int64(s, 18, row->refreshed);
	return run(h, PUT, why);
}

static bool
sqlite_refresh(void *handle, const struct journal_row *row, char **why)
{
	struct handle *h = handle;
	sqlite3_stmt *s = h->statements[REFRESH];

	sqlite3_bind_int64(s, 1, (sqlite3_int64)row->id);
	sqlite3_bind_int64(s, 2, row->cseq);
	sqlite3_bind_text(s, 3, row->hop.transport->name, -1, SQLITE_STATIC);
	bind_address(s, 4, &row->hop.peer);
	bind_address(s, 5, &row->hop.local);
	sqlite3_bind_int64(s, 6, row->expires_at);
	sqlite3_bind_int64(s, 7, row->refreshed);
	return run(h, REFRESH, why);
}

static bool
sqlite_drop(void *handle, uint64_t id, char **why)
{
	struct handle *h = handle;

	sqlite3_bind_int64(h->statements[DROP], 1, (sqlite3_int64)id);
	return run(h, DROP, why);
}

static bool
sqlite_expire(void *handle, int64_t wall_ms, char **why)
{
	struct handle *h = handle;

	sqlite3_bind_int64(h->statements[EXPIRE], 1, wall_ms);
	return run(h, EXPIRE, why);
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

static bool
sqlite_load(void *handle,
    void (*take)(void *context, const struct journal_row *row), void *context,
    char **why)
{
	struct handle *h = handle;
	sqlite3_stmt *s = h->statements[LOAD];
	int code;

	while ((code = sqlite3_step(s)) == SQLITE_ROW) {
		struct journal_row row = {
			.id = (uint64_t)sqlite3_column_int64(s, 0),
			.aor = column(s, 1),
			.cseq = (uint32_t)sqlite3_column_int64(s, 8),
			.reg_id = (uint32_t)sqlite3_column_int64(s, 9),
			.gruu_epoch = (uint32_t)sqlite3_column_int64(s, 10),
			.q = (uint16_t)sqlite3_column_int64(s, 11),
			.hop = { .transport = h->conf->transport_of(column(s, 12)),
			    .peer = address_column(s, 13),
			    .local = address_column(s, 14) },
			.expires_at = sqlite3_column_int64(s, 15),
			.since = sqlite3_column_int64(s, 16),
			.refreshed = sqlite3_column_int64(s, 17),
		};

		for (int i = 0; i < BINDING_TEXTS; i++)
			row.text[i] = column(s, 2 + i);
		take(context, &row);
	}
	if (code != SQLITE_DONE)
		complain(h, why);
	sqlite3_reset(s);
	return code == SQLITE_DONE;
}

const struct journal_backend journal_sqlite = {
	.name = "sqlite",
	.open = sqlite_open,
	.close = sqlite_close,
	.begin = sqlite_begin,
	.put = sqlite_put,
	.refresh = sqlite_refresh,
	.drop = sqlite_drop,
	.clear = sqlite_clear,
	.commit = sqlite_commit,
	.undo = sqlite_undo,
	.expire = sqlite_expire,
	.load = sqlite_load,
};
