/* Bounded writing, and the queue that grows up to a ceiling. */
#include "config.h"

#include "unit.h"

#include "bindery/buf.h"

static void
pieces_are_written_one_behind_the_other(void **state)
{
	char memory[64];
	struct out out = out_to(memory, sizeof memory);

	(void)state;
	out_lit(&out, "a");
	out_char(&out, 'b');
	out_add(&out, STR("cd"));
	out_bytes(&out, "e\0", 2);
	out_add(&out, STR_NONE);
	out_u64(&out, 0);
	out_u64(&out, UINT64_MAX);
	out_hex(&out, 0xab, 4);
	out_hex(&out, UINT64_MAX, 16);
	assert_false(out.full);
	assert_int_equal(out_size(&out), 6 + 1 + 20 + 4 + 16);
	assert_memory_equal(memory,
	    "abcde\0" "0" "18446744073709551615" "00ab" "ffffffffffffffff", 47);
}

static void
after_the_first_piece_that_does_not_fit_nothing_is_written(void **state)
{
	char memory[8];
	struct out out = out_to(memory, 5);

	(void)state;
	memset(memory, '.', sizeof memory);
	out_lit(&out, "abc");
	out_lit(&out, "def");
	assert_true(out.full);
	out_char(&out, 'x'); /* it would fit */
	out_format(&out, "y");
	assert_str(out_str(&out), "abc");
	assert_memory_equal(memory, "abc.....", 8);
}

static void
just_as_much_as_there_is_room_fits(void **state)
{
	char memory[6];
	struct out out = out_to(memory, 5);

	(void)state;
	memory[5] = '.';
	out_lit(&out, "abcde");
	assert_false(out.full);
	out_lit(&out, "");
	assert_false(out.full);
	out_char(&out, 'f');
	assert_true(out.full);
	assert_int_equal(memory[5], '.');
}

static void
a_terminated_text_is_cut_if_need_be(void **state)
{
	char memory[5];
	struct out out = out_to(memory, sizeof memory);

	(void)state;
	out_lit(&out, "abcd");
	assert_string_equal(out_z(&out), "abcd");
	assert_false(out.full);
	out_char(&out, 'e');
	assert_string_equal(out_z(&out), "abcd");
	assert_true(out.full);
}

static void
formats_are_written_if_they_fit_with_their_nul(void **state)
{
	char memory[8];
	struct out out = out_to(memory, sizeof memory);

	(void)state;
	out_format(&out, "%d-%s", 12, "ab");
	assert_str(out_str(&out), "12-ab");
	out_format(&out, "%s", "xyz");
	assert_true(out.full);
	assert_str(out_str(&out), "12-ab");
}

static void
quotes_and_backslashes_are_escaped(void **state)
{
	char memory[32];
	struct out out = out_to(memory, sizeof memory);

	(void)state;
	out_quoted(&out, STR("a\"b\\c"));
	assert_str(out_str(&out), "\"a\\\"b\\\\c\"");
}

/* ---- the queue ---- */

static void
bytes_come_out_in_the_order_they_went_in(void **state)
{
	struct buf buf = { 0 };
	uint64_t seed = 9;
	unsigned char next_in = 0, next_out = 0;

	(void)state;
	for (int round = 0; round < 20000; round++) {
		unsigned char bytes[300];
		size_t n = random_up_to(&seed, sizeof bytes);

		for (size_t i = 0; i < n; i++)
			bytes[i] = (unsigned char)(next_in + i);
		if (buf_append(&buf, bytes, n, 5000))
			next_in = (unsigned char)(next_in + n);
		assert_true(buf_size(&buf) <= 5000);
		n = random_up_to(&seed, 300);
		n = n < buf_size(&buf) ? n : buf_size(&buf);
		for (size_t i = 0; i < n; i++)
			assert_int_equal((unsigned char)buf_data(&buf)[i],
			    next_out++);
		buf_take(&buf, n);
	}
	buf_free(&buf);
}

static void
a_queue_never_holds_more_than_its_ceiling(void **state)
{
	struct buf buf = { 0 };
	char bytes[100] = { 0 };

	(void)state;
	assert_true(buf_append(&buf, bytes, 60, 100));
	assert_false(buf_append(&buf, bytes, 41, 100));
	assert_int_equal(buf_size(&buf), 60);
	assert_true(buf_append(&buf, bytes, 40, 100));
	assert_false(buf_append(&buf, bytes, 1, 100));
	assert_true(buf_append(&buf, bytes, 0, 100));
	assert_false(buf_append(&buf, bytes, SIZE_MAX, 100));
	buf_take(&buf, 1);
	assert_true(buf_append(&buf, bytes, 1, 100));
	buf_free(&buf);
}

static void
an_emptied_queue_gives_its_memory_back(void **state)
{
	struct buf buf = { 0 };

	(void)state;
	assert_true(buf_append(&buf, "abc", 3, 10));
	buf_take(&buf, 3);
	assert_null(buf.p);
	assert_int_equal(buf_size(&buf), 0);
	assert_true(buf_append(&buf, "d", 1, 10));
	buf_take(&buf, 99);
	assert_int_equal(buf_size(&buf), 0);
	buf_free(&buf);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pieces_are_written_one_behind_the_other),
		cmocka_unit_test(after_the_first_piece_that_does_not_fit_nothing_is_written),
		cmocka_unit_test(just_as_much_as_there_is_room_fits),
		cmocka_unit_test(a_terminated_text_is_cut_if_need_be),
		cmocka_unit_test(formats_are_written_if_they_fit_with_their_nul),
		cmocka_unit_test(quotes_and_backslashes_are_escaped),
		cmocka_unit_test(bytes_come_out_in_the_order_they_went_in),
		cmocka_unit_test(a_queue_never_holds_more_than_its_ceiling),
		cmocka_unit_test(an_emptied_queue_gives_its_memory_back),
	};

	return cmocka_run_group_tests_name("base/buf", tests, NULL, NULL);
}
