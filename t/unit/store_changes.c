/*
 * Changes on their way to the disk: what several of one binding come to, and
 * that a row has all that a binding has.
 */
#include "config.h"

#include "unit.h"

#include "bindery/location.h"
#include "bindery/net.h"
#include "store/changes.h"

enum { NO_LIMIT = 1 << 30, START = 5000000, AHEAD = 1000 };

struct fixture {
	struct location *location;
	struct buf changes;
	bool new_texts;
};

static bool
is_alive(void *context, flow_id flow)
{
	(void)context;
	(void)flow;
	return false;
}

static int
set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof *f);

	f->location = location_new(is_alive, f);
	*state = f;
	return 0;
}

static int
tear_down(void **state)
{
	struct fixture *f = *state;

	location_free(f->location);
	buf_free(&f->changes);
	free(f);
	return 0;
}

static void
on_put(void *context, struct str aor, const struct binding *b, bool new_texts)
{
	struct fixture *f = context;

	f->new_texts = new_texts;
	assert_true(changes_put(&f->changes, aor, b, new_texts, NO_LIMIT));
}

static void
on_drop(void *context, struct str aor, const struct binding *b)
{
	struct fixture *f = context;

	(void)aor;
	assert_true(changes_drop(&f->changes, b->id, NO_LIMIT));
}

static void
watch(struct fixture *f)
{
	location_observe(f->location,
	    &(struct location_observer){ f, on_put, on_drop });
}

static struct binding_data
data_of(const char *uri, uint32_t cseq)
{
	struct binding_data data = { .expires_at = START + 60000, .cseq = cseq,
		.q = 500, .reg_id = 2, .gruu_epoch = 4000000000 };

	data.text[BINDING_URI] = str_of(uri);
	data.text[BINDING_PARAMS] = STR("a=1;+sip.instance=\"<urn:uuid:1>\"");
	data.text[BINDING_CALL_ID] = STR("call");
	data.text[BINDING_INSTANCE] = STR("<urn:uuid:1>");
	data.text[BINDING_USER_AGENT] = STR("agent");
	data.hop.transport = transport_find(STR("udp"));
	assert_true(addr_parse(STR("192.0.2.7"), 5070, &data.hop.peer));
	assert_true(addr_parse(STR("2001:db8::1"), 5060, &data.hop.local));
	return data;
}

/* Puts the AOR's n-th binding, or one more; its id. */
static uint64_t
put(struct fixture *f, const char *aor, int number, const char *uri,
    uint32_t cseq)
{
	struct binding_data data = data_of(uri, cseq);
	struct location_hold hold;
	struct binding *old;
	uint64_t id;

	location_hold(f->location, str_of(aor), START, &hold);
	old = hold.first;
	while (number-- > 0 && old != NULL)
		old = old->next;
	id = location_put(&hold, old, &data)->id;
	location_release(&hold);
	return id;
}

static void
drop(struct fixture *f, const char *aor)
{
	struct location_hold hold;

	location_hold(f->location, str_of(aor), START, &hold);
	location_drop(&hold, hold.first);
	location_release(&hold);
}

static void
nothing_comes_to_nothing(void **state)
{
	struct fixture *f = *state;
	size_t count;

	free(changes_settle(&f->changes, &count));
	assert_int_equal(count, 0);
}

static void
a_row_has_all_of_a_binding(void **state)
{
	struct fixture *f = *state;
	struct outcome *list;
	struct journal_row row;
	size_t count;

	watch(f);
	put(f, "a@b", 0, "sip:x@192.0.2.7", 7);
	list = changes_settle(&f->changes, &count);
	assert_int_equal(count, 1);
	assert_int_equal(outcome_kind(list), CHANGE_PUT);
	row = outcome_row(list, AHEAD);
	assert_int_equal(row.id, list->id);
	assert_str(row.aor, "a@b");
	assert_str(row.text[BINDING_URI], "sip:x@192.0.2.7");
	assert_str(row.text[BINDING_PARAMS],
	    "a=1;+sip.instance=\"<urn:uuid:1>\"");
	assert_str(row.text[BINDING_CALL_ID], "call");
	assert_str(row.text[BINDING_INSTANCE], "<urn:uuid:1>");
	assert_int_equal(row.text[BINDING_PATH].n, 0);
	assert_str(row.text[BINDING_USER_AGENT], "agent");
	assert_string_equal(row.hop.transport->name, "udp");
	assert_int_equal(row.hop.peer.port, 5070);
	assert_int_equal(row.hop.local.port, 5060);
	assert_int_equal(row.expires_at, START + 60000 + AHEAD);
	assert_int_equal(row.since, START + AHEAD);
	assert_int_equal(row.refreshed, START + AHEAD);
	assert_int_equal(row.cseq, 7);
	assert_int_equal(row.reg_id, 2);
	assert_int_equal(row.gruu_epoch, 4000000000);
	assert_int_equal(row.q, 500);
	free(list);
}

static void
refreshes_come_to_one_with_the_last_figures(void **state)
{
	struct fixture *f = *state;
	struct outcome *list;
	size_t count;

	put(f, "a@b", 0, "sip:x@192.0.2.7", 1);
	watch(f);
	for (uint32_t cseq = 2; cseq < 100; cseq++) {
		put(f, "a@b", 0, "sip:x@192.0.2.7", cseq);
		assert_false(f->new_texts);
	}
	list = changes_settle(&f->changes, &count);
	assert_int_equal(count, 1);
	assert_int_equal(outcome_kind(list), CHANGE_REFRESH);
	assert_int_equal(outcome_row(list, 0).cseq, 99);
	free(list);
}

static void
texts_stay_when_figures_follow(void **state)
{
	struct fixture *f = *state;
	struct outcome *list;
	struct journal_row row;
	size_t count;

	watch(f);
	put(f, "a@b", 0, "sip:x@192.0.2.7", 1);
	put(f, "a@b", 0, "sip:y@192.0.2.7", 2);
	put(f, "a@b", 0, "sip:y@192.0.2.7", 3);
	list = changes_settle(&f->changes, &count);
	assert_int_equal(count, 1);
	assert_int_equal(outcome_kind(list), CHANGE_PUT);
	row = outcome_row(list, 0);
	assert_str(row.text[BINDING_URI], "sip:y@192.0.2.7");
	assert_str(row.aor, "a@b");
	assert_int_equal(row.cseq, 3);
	free(list);
}

static void
what_is_dropped_in_the_end_is_dropped(void **state)
{
	struct fixture *f = *state;
	struct outcome *list;
	uint64_t id;
	size_t count;

	watch(f);
	id = put(f, "a@b", 0, "sip:x@192.0.2.7", 1);
	put(f, "a@b", 0, "sip:x@192.0.2.7", 2);
	drop(f, "a@b");
	list = changes_settle(&f->changes, &count);
	assert_int_equal(count, 1);
	assert_int_equal(outcome_kind(list), CHANGE_DROP);
	assert_int_equal(list->id, id);
	free(list);
}

static void
bindings_come_in_the_order_of_their_ids(void **state)
{
	struct fixture *f = *state;
	struct outcome *list;
	uint64_t random = 1;
	size_t count;

	watch(f);
	for (int i = 0; i < 5000; i++) {
		char aor[16];

		snprintf(aor, sizeof aor, "u%d@b",
		    (int)random_up_to(&random, 300));
		put(f, aor, 0, "sip:x@192.0.2.7", (uint32_t)i);
	}
	list = changes_settle(&f->changes, &count);
	assert_in_range(count, 290, 300);
	for (size_t i = 1; i < count; i++)
		assert_true(list[i - 1].id < list[i].id);
	free(list);
}

static void
a_full_buffer_takes_nothing(void **state)
{
	struct fixture *f = *state;
	size_t size;

	assert_true(changes_drop(&f->changes, 1, 10));
	size = buf_size(&f->changes);
	assert_true(size >= 10);
	assert_false(changes_drop(&f->changes, 2, 10));
	assert_int_equal(buf_size(&f->changes), size);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(nothing_comes_to_nothing),
		TEST(a_row_has_all_of_a_binding),
		TEST(refreshes_come_to_one_with_the_last_figures),
		TEST(texts_stay_when_figures_follow),
		TEST(what_is_dropped_in_the_end_is_dropped),
		TEST(bindings_come_in_the_order_of_their_ids),
		TEST(a_full_buffer_takes_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
