/*
 * The journal with a file of SQLite: what goes in comes out, and what happens
 * to changes while the file cannot be written for long.
 */
#include "config.h"

#include "unit.h"

#include <pthread.h>
#include <sqlite3.h>
#include <unistd.h>

#include "bindery/clock.h"
#include "bindery/journal.h"
#include "bindery/location.h"
#include "bindery/net.h"

enum { FLOW = 77, PHONES = 10 };

struct fixture {
	char folder[32], path[64];
	struct location *location;
	struct journal *journal;
};

static bool
is_alive(void *context, flow_id flow)
{
	(void)context;
	return flow == FLOW;
}

static flow_id
flow_of(void *context, const struct hop *hop)
{
	(void)context;
	return hop->peer.port == 5070 ? FLOW : FLOW_NONE;
}

static void
on_progress(void *context)
{
	(void)context;
}

static size_t
open_journal(struct fixture *f)
{
	struct journal_conf conf = { f->path, JOURNAL_COMMIT, transport_find };
	char *why = NULL;
	size_t loaded;

	f->location = location_new(is_alive, f);
	f->journal = journal_open(&conf, f->location, &why);
	if (f->journal == NULL)
		fail_msg("%s", why);
	loaded = journal_load(f->journal, flow_of, f);
	journal_start(f->journal, on_progress, f);
	return loaded;
}

static void
close_journal(struct fixture *f)
{
	journal_close(f->journal);
	location_free(f->location);
}

static int
set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof *f);

	strcpy(f->folder, "/tmp/bindery-XXXXXX");
	if (mkdtemp(f->folder) == NULL)
		return -1;
	snprintf(f->path, sizeof f->path, "%s/100%% #1?.db", f->folder);
	*state = f;
	return 0;
}

static int
tear_down(void **state)
{
	static const char *const parts[] = { "", "-wal", "-shm", ".lock" };
	struct fixture *f = *state;

	close_journal(f);
	for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
		char name[80];

		snprintf(name, sizeof name, "%s%s", f->path, parts[i]);
		unlink(name);
	}
	rmdir(f->folder);
	free(f);
	return 0;
}

static void
put(struct fixture *f, int phone, uint32_t cseq)
{
	struct binding_data data = { .expires_at = clock_mono_ms() + 60000,
		.cseq = cseq, .q = 1000 };
	struct location_hold hold;
	char aor[16];

	snprintf(aor, sizeof aor, "u%d@b", phone);
	data.text[BINDING_URI] = STR("sip:x@192.0.2.7");
	data.text[BINDING_CALL_ID] = STR("call");
	data.hop.transport = transport_find(STR("udp"));
	assert_true(addr_parse(STR("2001:db8::7"), 5070, &data.hop.peer));
	assert_true(addr_parse(STR("192.0.2.1"), 5060, &data.hop.local));
	location_hold(f->location, str_of(aor), clock_mono_ms(), &hold);
	location_put(&hold, hold.first, &data);
	location_release(&hold);
}

static void
wait_for(struct fixture *f, bool failed)
{
	for (int i = 0; i < 6000; i++) {
		struct journal_status status;

		journal_tell(f->journal, &status);
		if (failed ? status.failed
		           : !status.failed && status.pending == 0)
			return;
		usleep(10000);
	}
	fail_msg("%s", failed ? "it did not fail" : "it did not recover");
}

/* What another program finds in the file, as text. */
static void
check_file(struct fixture *f, const char *query, const char *expected)
{
	sqlite3 *db;
	sqlite3_stmt *s;

	assert_int_equal(sqlite3_open(f->path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_prepare_v2(db, query, -1, &s, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_step(s), SQLITE_ROW);
	assert_string_equal(sqlite3_column_text(s, 0), expected);
	sqlite3_finalize(s);
	sqlite3_close(db);
}

static void
what_goes_in_comes_out(void **state)
{
	struct fixture *f = *state;
	struct location_hold hold;
	struct hop hop;

	assert_int_equal(open_journal(f), 0);
	put(f, 1, 7);
	wait_for(f, false);
	check_file(f, "SELECT received || ' ' || local FROM bindings",
	    "[2001:db8::7]:5070 192.0.2.1:5060");
	close_journal(f);
	assert_int_equal(open_journal(f), 1);
	location_hold(f->location, STR("u1@b"), clock_mono_ms(), &hold);
	assert_int_equal(hold.count, 1);
	assert_int_equal(hold.first->cseq, 7);
	assert_str(binding_text(hold.first, BINDING_URI), "sip:x@192.0.2.7");
	hop = binding_hop(hold.first);
	assert_int_equal(hop.flow, FLOW);
	assert_int_equal(hop.peer.port, 5070);
	assert_true(location_is_reachable(f->location, hold.first));
	location_release(&hold);
}

/* Somebody else writes, and does not end. */
static sqlite3 *
block(struct fixture *f)
{
	sqlite3 *db;

	assert_int_equal(sqlite3_open(f->path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL),
	    SQLITE_OK);
	return db;
}

static void
what_a_queue_cannot_hold_is_written_from_the_table(void **state)
{
	enum { REFRESHES = 600000 }; /* more than 64 MiB of them */
	struct fixture *f = *state;
	struct location_hold hold;
	struct journal_status before, after;
	sqlite3 *other;

	open_journal(f);
	for (int i = 0; i < PHONES; i++)
		put(f, i, 1);
	wait_for(f, false);
	journal_tell(f->journal, &before);
	other = block(f);
	put(f, 0, 2);
	wait_for(f, true);
	for (uint32_t i = 0; i < REFRESHES; i++)
		put(f, (int)(i % PHONES), 3 + i / PHONES);
	location_hold(f->location, STR("u9@b"), clock_mono_ms(), &hold);
	location_drop(&hold, hold.first);
	location_release(&hold);
	sqlite3_close(other);
	wait_for(f, false);
	journal_tell(f->journal, &after);
	assert_in_range(after.rows - before.rows, PHONES - 1, 2 * PHONES);
	check_file(f, "SELECT count(*) || ' ' || min(cseq) FROM bindings",
	    "9 60002");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(what_goes_in_comes_out),
		TEST(what_a_queue_cannot_hold_is_written_from_the_table),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
