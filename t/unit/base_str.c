/* Lent text: compared, cut, trimmed, read as numbers. */
#include "config.h"

#include "unit.h"

static void
none_and_empty_are_equal_but_told_apart_by_their_pointer(void **state)
{
	(void)state;
	assert_true(str_eq(STR_NONE, STR("")));
	assert_null(str_of(NULL).p);
	assert_int_equal(str_of(NULL).n, 0);
	assert_non_null(str_of("").p);
	assert_true(str_caseeq(STR_NONE, STR_NONE));
}

static void
texts_are_compared_byte_by_byte(void **state)
{
	(void)state;
	assert_true(str_eq(STR("abc"), STR("abc")));
	assert_false(str_eq(STR("abc"), STR("abd")));
	assert_false(str_eq(STR("abc"), STR("ab")));
	assert_true(str_eq(STR("a\0b"), STR("a\0b")));
	assert_false(str_eq(STR("a\0b"), STR("a\0c")));
	assert_int_equal(str_cmp(STR("a"), STR("a")), 0);
	assert_true(str_cmp(STR("a"), STR("b")) < 0);
	assert_true(str_cmp(STR("b"), STR("a")) > 0);
	assert_true(str_cmp(STR("a"), STR("ab")) < 0);
	assert_true(str_cmp(STR("ab"), STR("b")) < 0);
	assert_true(str_cmp(STR_NONE, STR("")) == 0);
	assert_true(str_cmp(STR("\xff"), STR("a")) > 0);
}

static void
only_ascii_letters_have_two_cases(void **state)
{
	(void)state;
	for (int a = 0; a < 256; a++)
		for (int b = 0; b < 256; b++) {
			char x = (char)a, y = (char)b;
			bool same = a == b ||
			    (((a | 0x20) == (b | 0x20)) && (a | 0x20) >= 'a' &&
			        (a | 0x20) <= 'z');

			assert_int_equal(str_caseeq((struct str){ &x, 1 },
			                     (struct str){ &y, 1 }),
			    same);
		}
}

static void
a_start_is_found(void **state)
{
	(void)state;
	assert_true(str_starts(STR("abc"), STR("ab")));
	assert_true(str_starts(STR("abc"), STR("abc")));
	assert_true(str_starts(STR("abc"), STR("")));
	assert_false(str_starts(STR("ab"), STR("abc")));
	assert_false(str_starts(STR("abc"), STR("b")));
}

static void
blanks_are_trimmed_at_both_ends(void **state)
{
	(void)state;
	assert_str(str_trim(STR(" \t\r\na b\r\n ")), "a b");
	assert_str(str_trim(STR("a")), "a");
	assert_int_equal(str_trim(STR(" \t\r\n")).n, 0);
	assert_int_equal(str_trim(STR_NONE).n, 0);
	assert_str(str_trim(STR("\va\f")), "\va\f");
}

static void
what_is_behind_the_end_is_none(void **state)
{
	(void)state;
	assert_str(str_from(STR("abc"), 0), "abc");
	assert_str(str_from(STR("abc"), 2), "c");
	assert_null(str_from(STR("abc"), 3).p);
	assert_null(str_from(STR("abc"), 99).p);
	assert_null(str_from(STR_NONE, 0).p);
}

static void
a_text_is_cut_at_the_first_of_a_character(void **state)
{
	struct str rest = STR("a:b::c");

	(void)state;
	assert_str(str_cut(&rest, ':'), "a");
	assert_str(str_cut(&rest, ':'), "b");
	assert_str(str_cut(&rest, ':'), "");
	assert_str(rest, "c");
	assert_str(str_cut(&rest, ':'), "c");
	assert_null(rest.p);
	rest = STR("a:");
	assert_str(str_cut(&rest, ':'), "a");
	assert_non_null(rest.p); /* there was one, and nothing behind it */
	assert_int_equal(rest.n, 0);
	rest = STR_NONE;
	assert_int_equal(str_cut(&rest, ':').n, 0);
	assert_int_equal(str_find(STR("abc"), 'c'), 2);
	assert_int_equal(str_find(STR("abc"), 'x'), 3);
	assert_int_equal(str_find(STR_NONE, 'x'), 0);
}

static void
numbers_are_all_of_the_text(void **state)
{
	static const char *const bad[] = { "", " 1", "1 ", "+1", "-1", "0x1", "1a",
		"1.0", "18446744073709551616", "99999999999999999999999999" };
	uint64_t n = 7;
	uint32_t m = 7;

	(void)state;
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		assert_for(bad[i], !str_u64(str_of(bad[i]), &n));
		assert_for(bad[i], !str_u32(str_of(bad[i]), &m));
	}
	assert_false(str_u64(STR_NONE, &n));
	assert_true(str_u64(STR("18446744073709551615"), &n));
	assert_true(n == UINT64_MAX);
	assert_true(str_u64(STR("0000000000000000000000001"), &n));
	assert_int_equal(n, 1);
	assert_true(str_u32(STR("4294967295"), &m));
	assert_int_equal(m, UINT32_MAX);
	assert_false(str_u32(STR("4294967296"), &m));
	assert_int_equal(m, UINT32_MAX);
}

static void
hexadecimal_numbers_have_up_to_eight_digits(void **state)
{
	uint32_t n = 0;

	(void)state;
	assert_true(str_hex32(STR("0"), &n));
	assert_int_equal(n, 0);
	assert_true(str_hex32(STR("DeadBeef"), &n));
	assert_int_equal(n, 0xdeadbeef);
	assert_true(str_hex32(STR("0000000a"), &n));
	assert_int_equal(n, 10);
	assert_false(str_hex32(STR(""), &n));
	assert_false(str_hex32(STR("000000001"), &n));
	assert_false(str_hex32(STR("g"), &n));
	assert_false(str_hex32(STR("-1"), &n));
}

static void
bytes_and_digits_turn_into_each_other(void **state)
{
	unsigned char bytes[256], back[256];
	char digits[512];

	(void)state;
	for (int i = 0; i < 256; i++)
		bytes[i] = (unsigned char)i;
	hex_write(digits, bytes, sizeof bytes);
	assert_memory_equal(digits, "000102", 6);
	assert_memory_equal(digits + 506, "fdfeff", 6);
	assert_true(hex_read(back, 256, (struct str){ digits, 512 }));
	assert_memory_equal(bytes, back, 256);
	assert_false(hex_read(back, 256, (struct str){ digits, 511 }));
	assert_false(hex_read(back, 255, (struct str){ digits, 512 }));
	assert_true(hex_read(back, 2, STR("aBCd")));
	assert_int_equal(back[0], 0xab);
	assert_int_equal(back[1], 0xcd);
	assert_false(hex_read(back, 2, STR("aBCg")));
	assert_true(hex_read(back, 0, STR("")));
}

static void
letters_are_lowered(void **state)
{
	char to[8] = "xxxxxxx";

	(void)state;
	str_lower(to, STR("aBZ[\xc4"));
	assert_memory_equal(to, "abz[\xc4xx", 8);
}

/* RFC 3629 in its own words: every scalar value, and nothing else. */
static size_t
encode(uint32_t c, char to[4])
{
	if (c < 0x80) {
		to[0] = (char)c;
		return 1;
	}
	if (c < 0x800) {
		to[0] = (char)(0xc0 | c >> 6);
		to[1] = (char)(0x80 | (c & 63));
		return 2;
	}
	if (c < 0x10000) {
		to[0] = (char)(0xe0 | c >> 12);
		to[1] = (char)(0x80 | (c >> 6 & 63));
		to[2] = (char)(0x80 | (c & 63));
		return 3;
	}
	to[0] = (char)(0xf0 | c >> 18);
	to[1] = (char)(0x80 | (c >> 12 & 63));
	to[2] = (char)(0x80 | (c >> 6 & 63));
	to[3] = (char)(0x80 | (c & 63));
	return 4;
}

static void
every_character_is_utf8_and_surrogates_are_not(void **state)
{
	(void)state;
	for (uint32_t c = 0; c < 0x110000 + 0x1000; c++) {
		char text[4];
		size_t n = encode(c, text);
		bool good = c < 0x110000 && (c < 0xd800 || c > 0xdfff);

		if (str_is_utf8((struct str){ text, n }) != good)
			fail_msg("U+%04X", c);
		/* cut short, it is not */
		if (n > 1 && str_is_utf8((struct str){ text, n - 1 }))
			fail_msg("U+%04X cut", c);
	}
}

static void
overlong_and_stray_bytes_are_not_utf8(void **state)
{
	static const char *const bad[] = { "\x80", "\xbf", "\xc0\x80", "\xc1\xbf",
		"\xe0\x80\x80", "\xe0\x9f\xbf", "\xf0\x80\x80\x80",
		"\xf0\x8f\xbf\xbf", "\xf5\x80\x80\x80", "\xf8\x88\x80\x80\x80",
		"\xfe", "\xff", "a\xc3", "\xc3(", "\xe2\x82(", "\xe2(\xa1",
		"\xc3\xc3\xa4" };

	(void)state;
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		if (str_is_utf8(str_of(bad[i])))
			fail_msg("case %zu", i);
	assert_true(str_is_utf8(STR("")));
	assert_true(str_is_utf8(STR_NONE));
	assert_true(str_is_utf8(STR("gr\xc3\xbc\xc3\x9f dich \xf0\x9f\x93\x9e")));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(none_and_empty_are_equal_but_told_apart_by_their_pointer),
		cmocka_unit_test(texts_are_compared_byte_by_byte),
		cmocka_unit_test(only_ascii_letters_have_two_cases),
		cmocka_unit_test(a_start_is_found),
		cmocka_unit_test(blanks_are_trimmed_at_both_ends),
		cmocka_unit_test(what_is_behind_the_end_is_none),
		cmocka_unit_test(a_text_is_cut_at_the_first_of_a_character),
		cmocka_unit_test(numbers_are_all_of_the_text),
		cmocka_unit_test(hexadecimal_numbers_have_up_to_eight_digits),
		cmocka_unit_test(bytes_and_digits_turn_into_each_other),
		cmocka_unit_test(letters_are_lowered),
		cmocka_unit_test(every_character_is_utf8_and_surrogates_are_not),
		cmocka_unit_test(overlong_and_stray_bytes_are_not_utf8),
	};

	return cmocka_run_group_tests_name("base/str", tests, NULL, NULL);
}
