/* JSON files read by tables: values, defaults, faults with line and place. */
#include "config.h"

#include "unit.h"

#include <unistd.h>

#include <jansson.h>

#include "bindery/settings.h"

/* ---- a table with every type ---- */

struct inner {
	char *name; /* of a map */
	int64_t number;
	char *text;
};

struct outer {
	bool on, off;
	int64_t number, word;
	char *text, *path, *missing;
	struct setting_list strings, array, map;
	struct inner object;
};

static const char *const words[] = { "red", "green", "blue", NULL };

/* clang-format off */
static const struct setting inner_rows[] = {
	{ "number", SETTING_INT, offsetof(struct inner, number), .min = -5, .max = 5, .number = 3, .help = "A number." },
	{ "text", SETTING_STRING, offsetof(struct inner, text), .required = true, .help = "A text." },
	{ 0 }
};
static const struct settings inner_object = { inner_rows, sizeof(struct inner), "" };

static const struct setting optional_rows[] = {
	{ "number", SETTING_INT, offsetof(struct inner, number), .min = 0, .max = 9, .number = 4, .help = "A number." },
	{ "text", SETTING_STRING, offsetof(struct inner, text), .text = "default", .help = "A text." },
	{ 0 }
};
static const struct settings optional_object = { optional_rows, sizeof(struct inner), "" };

static const struct setting outer_rows[] = {
	{ "on", SETTING_BOOL, offsetof(struct outer, on), .number = 1, .help = "On." },
	{ "off", SETTING_BOOL, offsetof(struct outer, off), .help = "Off." },
	{ "number", SETTING_INT, offsetof(struct outer, number), .min = 1, .max = 65535, .number = 5060, .help = "A number." },
	{ "word", SETTING_WORD, offsetof(struct outer, word), .words = words, .text = "green", .help = "A colour." },
	{ "text", SETTING_STRING, offsetof(struct outer, text), .text = "here", .help = "A text." },
	{ "path", SETTING_PATH, offsetof(struct outer, path), .text = "file.pem", .help = "A path." },
	{ "missing", SETTING_STRING, offsetof(struct outer, missing), .help = "None by default." },
	{ "strings", SETTING_STRINGS, offsetof(struct outer, strings), .help = "Texts." },
	{ "array", SETTING_ARRAY, offsetof(struct outer, array), .object = &inner_object, .help = "Objects." },
	{ "map", SETTING_MAP, offsetof(struct outer, map), .object = &inner_object, .help = "Named objects." },
	{ "object", SETTING_OBJECT, offsetof(struct outer, object), .object = &optional_object, .help = "An object." },
	{ 0 }
};
static const struct settings outer_object = { outer_rows, sizeof(struct outer), "All there is." };
/* clang-format on */

struct fixture {
	char path[64];
	struct outer outer;
	struct faults faults;
};

static int
set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof *f);
	int fd;

	snprintf(f->path, sizeof f->path, "/tmp/bindery-unit-XXXXXX");
	fd = mkstemp(f->path);
	assert_true(fd >= 0);
	close(fd);
	*state = f;
	return 0;
}

static void
clear(struct fixture *f)
{
	settings_free(&outer_object, &f->outer);
	faults_free(&f->faults);
}

static int
tear_down(void **state)
{
	struct fixture *f = *state;

	clear(f);
	unlink(f->path);
	free(f);
	return 0;
}

static bool
read_text(struct fixture *f, const char *text)
{
	FILE *file = fopen(f->path, "w");

	assert_non_null(file);
	fputs(text, file);
	fclose(file);
	clear(f);
	return settings_read_file(&outer_object, f->path, &f->outer, &f->faults);
}

/* Reads what is wrong in one place and must be told just so, behind the path. */
static void
check_fault(struct fixture *f, const char *text, const char *expected)
{
	char line[1024];

	assert_for(text, !read_text(f, text));
	if (f->faults.count != 1)
		fail_msg("%s: %zu faults, the first: %s", text, f->faults.count,
		    f->faults.count > 0 ? f->faults.list[0] : "none");
	snprintf(line, sizeof line, "%s:%s", f->path, expected);
	assert_string_equal(f->faults.list[0], line);
}

/* ---- values ---- */

static void
what_is_not_there_gets_its_default(void **state)
{
	struct fixture *f = *state;

	assert_true(read_text(f, "{}"));
	assert_true(f->outer.on);
	assert_false(f->outer.off);
	assert_int_equal(f->outer.number, 5060);
	assert_int_equal(f->outer.word, 1);
	assert_string_equal(f->outer.text, "here");
	assert_string_equal(f->outer.path, "/tmp/file.pem");
	assert_null(f->outer.missing);
	assert_int_equal(f->outer.strings.count, 0);
	assert_int_equal(f->outer.object.number, 4);
	assert_string_equal(f->outer.object.text, "default");
}

static void
what_is_there_is_read(void **state)
{
	struct fixture *f = *state;
	const struct inner *array, *map;
	char **strings;

	assert_true(read_text(f,
	    "{ \"on\": false, \"off\": true, \"number\": 1, \"word\": \"blue\",\n"
	    "  \"text\": \"t\", \"path\": \"/abs\", \"missing\": \"m\\u00e4\",\n"
	    "  \"strings\": [\"a\", \"b\"],\n"
	    "  \"array\": [{ \"text\": \"x\" }, { \"text\": \"y\", \"number\": -5 }],\n"
	    "  \"map\": { \"one\": { \"text\": \"1\" }, \"\": { \"text\": \"2\" } },\n"
	    "  \"object\": { \"number\": 9 } }\n"));
	assert_false(f->outer.on);
	assert_true(f->outer.off);
	assert_int_equal(f->outer.number, 1);
	assert_int_equal(f->outer.word, 2);
	assert_string_equal(f->outer.path, "/abs");
	assert_string_equal(f->outer.missing, "m\xc3\xa4");
	strings = f->outer.strings.items;
	assert_int_equal(f->outer.strings.count, 2);
	assert_string_equal(strings[1], "b");
	array = f->outer.array.items;
	assert_int_equal(f->outer.array.count, 2);
	assert_int_equal(array[0].number, 3);
	assert_int_equal(array[1].number, -5);
	map = f->outer.map.items;
	assert_int_equal(f->outer.map.count, 2);
	assert_string_equal(map[0].name, "one");
	assert_string_equal(map[1].text, "2");
	assert_int_equal(f->outer.object.number, 9);
	assert_string_equal(f->outer.object.text, "default");
}

static void
paths_start_at_the_files_folder(void **state)
{
	struct fixture *f = *state;

	assert_true(read_text(f, "{ \"path\": \"a/../b\" }"));
	assert_string_equal(f->outer.path, "/tmp/a/../b");
}

/* ---- faults ---- */

static void
a_fault_is_told_with_line_and_place(void **state)
{
	check_fault(*state, "{\n  \"number\": \"50a61\" }",
	    "2: number: expected an integer from 1 to 65535, got \"50a61\"");
	check_fault(*state, "{\n\n\"array\": [ { \"text\": \"x\" },\n"
	                    "{ \"text\": \"y\",\n\"number\": 6 } ] }",
	    "5: array[1].number: expected an integer from -5 to 5, got 6");
	check_fault(*state, "{ \"map\": {\n\"one\": {\n\"text\": 5 } } }",
	    "3: map.one.text: expected a string that is not empty, got 5");
	check_fault(*state, "{ \"strings\": [ \"a\",\n \"b\",\n [] ] }",
	    "3: strings[2]: expected a string that is not empty, got []");
	check_fault(*state, "{ \"object\":\n{ \"number\": 10 } }",
	    "2: object.number: expected an integer from 0 to 9, got 10");
}

static void
each_type_says_what_it_expects(void **state)
{
	check_fault(*state, "{ \"on\": 1 }",
	    "1: on: expected true or false, got 1");
	check_fault(*state, "{ \"number\": 0 }",
	    "1: number: expected an integer from 1 to 65535, got 0");
	check_fault(*state, "{ \"number\": 65536 }",
	    "1: number: expected an integer from 1 to 65535, got 65536");
	check_fault(*state, "{ \"number\": 1.0 }",
	    "1: number: expected an integer from 1 to 65535, got 1.0");
	check_fault(*state, "{ \"number\": null }",
	    "1: number: expected an integer from 1 to 65535, got null");
	check_fault(*state, "{ \"word\": \"pink\" }",
	    "1: word: expected one of \"red\", \"green\", \"blue\", got \"pink\"");
	check_fault(*state, "{ \"text\": \"\" }",
	    "1: text: expected a string that is not empty, got \"\"");
	check_fault(*state, "{ \"text\": \"a\\u0041\", \"path\": {} }",
	    "1: path: expected a string that is not empty, got {}");
	check_fault(*state, "{ \"strings\": \"a\" }",
	    "1: strings: expected an array of strings, got \"a\"");
	check_fault(*state, "{ \"array\": {} }",
	    "1: array: expected an array of objects, got {}");
	check_fault(*state, "{ \"array\": [ 5 ] }",
	    "1: array[0]: expected an object, got 5");
	check_fault(*state, "{ \"map\": [] }",
	    "1: map: expected an object of named objects, got []");
	check_fault(*state, "{ \"object\": [] }",
	    "1: object: expected an object, got []");
}

static void
a_text_with_a_nul_is_no_text(void **state)
{
	struct fixture *f = *state;

	assert_false(read_text(f, "{ \"text\": \"a\\u0000b\" }"));
	assert_int_equal(f->faults.count, 1);
}

static void
an_unknown_key_names_the_nearest_known_one(void **state)
{
	check_fault(*state, "{\n\"nubmer\": 1 }",
	    "2: nubmer: unknown key, the nearest known one is \"number\"");
	check_fault(*state, "{ \"array\": [ { \"text\": \"a\",\n\"txet\": 1 } ] }",
	    "2: array[0].txet: unknown key, the nearest known one is \"text\"");
	check_fault(*state, "{ \"Word\": \"red\" }",
	    "1: Word: unknown key, the nearest known one is \"word\"");
}

static void
a_very_long_unknown_key_is_told_without_nonsense(void **state)
{
	struct fixture *f = *state;

	assert_false(read_text(f, "{ \"a_key_with_a_name_that_is_longer_than_any_"
	                          "key_that_could_have_been_meant\": 1 }"));
	assert_int_equal(f->faults.count, 1);
	assert_non_null(strstr(f->faults.list[0], "unknown key"));
	assert_null(strstr(f->faults.list[0], "(null)"));
}

static void
what_is_required_and_missing_is_told_at_its_parent(void **state)
{
	check_fault(*state, "{ \"array\": [\n{ \"number\": 1 } ] }",
	    "2: array[0]: \"text\" is missing");
	check_fault(*state, "{\n \"map\": {\n \"one\": {} } }",
	    "3: map.one: \"text\" is missing");
}

static void
all_faults_are_told_at_once(void **state)
{
	struct fixture *f = *state;
	char *text;

	assert_false(read_text(f, "{ \"on\": 1,\n\"off\": 2,\n\"number\": 0,\n"
	                          "\"array\": [ {}, { \"text\": 1 } ],\n\"x\": 1 }"));
	assert_int_equal(f->faults.count, 6);
	text = faults_text(&f->faults);
	assert_int_equal(strchr(text, '\n') != NULL, 1);
	assert_non_null(strstr(text, ":5: x: unknown key"));
	free(text);
}

static void
faults_beyond_a_hundred_are_counted(void **state)
{
	struct fixture *f = *state;
	char *json = malloc(20000), *text;
	size_t n = (size_t)sprintf(json, "{ \"strings\": [");

	for (int i = 0; i < 150; i++)
		n += (size_t)sprintf(json + n, "%s%d", i > 0 ? "," : "", i);
	sprintf(json + n, "] }");
	assert_false(read_text(f, json));
	assert_int_equal(f->faults.count, FAULTS_MAX);
	assert_int_equal(f->faults.more, 50);
	text = faults_text(&f->faults);
	assert_non_null(strstr(text, "and 50 more"));
	free(text);
	free(json);
}

static void
what_is_no_json_is_told_with_its_line(void **state)
{
	static const char *const bad[] = { "", "{", "{\n\"a\" 1 }", "{ \"a\": }",
		"{} x", "{ 'a': 1 }", "{ \"on\": true, }", "{ \"\xff\": 1 }" };
	struct fixture *f = *state;

	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		assert_for(bad[i], !read_text(f, bad[i]));
		assert_int_equal(f->faults.count, 1);
		assert_non_null(strstr(f->faults.list[0], ": not valid JSON: "));
	}
	assert_false(read_text(f, "{\n\n\"on\" 1 }"));
	assert_non_null(strstr(f->faults.list[0], ":3: not valid JSON"));
	assert_false(read_text(f, "[ 1 ]"));
	assert_non_null(strstr(f->faults.list[0], "expected an object, got [1]"));
}

static void
a_key_that_stands_twice_is_a_fault(void **state)
{
	struct fixture *f = *state;

	assert_false(read_text(f, "{ \"number\": 1,\n\"number\": 2 }"));
	assert_int_equal(f->faults.count, 1);
	assert_false(read_text(f, "{ \"map\": { \"a\": { \"text\": \"1\" },\n"
	                          "\"a\": { \"text\": \"2\" } } }"));
}

static void
a_file_that_cannot_be_read_is_a_fault(void **state)
{
	struct fixture *f = *state;

	assert_false(settings_read_file(&outer_object, "/nowhere/at/all.json",
	    &f->outer, &f->faults));
	assert_string_equal(f->faults.list[0],
	    "/nowhere/at/all.json: cannot be read: No such file or directory");
	clear(f);
	assert_false(
	    settings_read_file(&outer_object, "/tmp", &f->outer, &f->faults));
	assert_int_equal(f->faults.count, 1);
}

static void
faults_free_nothing_twice_whatever_was_read(void **state)
{
	static const char *const texts[] = { "{ \"text\": 5, \"array\": [ {} ] }",
		"{ \"strings\": [ \"a\", 5, \"b\" ], \"map\": { \"x\": 1 } }",
		"{ \"object\": 5, \"path\": [] }", "[]", "5", "\"x\"", "null" };
	struct fixture *f = *state;

	for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
		assert_for(texts[i], !read_text(f, texts[i]));
}

/* ---- one object a line ---- */

static void
a_line_of_a_file_is_read_alone(void **state)
{
	struct fixture *f = *state;

	assert_true(settings_read_line(&outer_object, "/x/users.jsonl", 7,
	    STR("{ \"number\": 5, \"path\": \"p\" }"), &f->outer, &f->faults));
	assert_int_equal(f->outer.number, 5);
	assert_string_equal(f->outer.path, "/x/p");
	clear(f);
	assert_false(settings_read_line(&outer_object, "/x/users.jsonl", 7,
	    STR("{ \"number\": 0 }"), &f->outer, &f->faults));
	assert_string_equal(f->faults.list[0], "/x/users.jsonl:7: number: expected "
	                                       "an integer from 1 to 65535, got 0");
	clear(f);
	assert_false(settings_read_line(&outer_object, "/x/users.jsonl", 8,
	    STR("{ nonsense"), &f->outer, &f->faults));
	assert_non_null(strstr(f->faults.list[0], "/x/users.jsonl:8: not valid"));
}

/* ---- lines of places ---- */

static void
the_line_of_a_place_is_found(void **state)
{
	static const char json[] = "{\n"
	                           "  \"a\": { \"b\": [ 1,\n"
	                           "    2, \"]\\\"{\",\n"
	                           "    { \"c\":\n"
	                           "      true } ] },\n"
	                           "  \"d\": 5\n"
	                           "}\n";
	static const struct {
		const char *steps[4];
		size_t count;
		unsigned line;
	} places[] = {
		{ { "a" }, 1, 2 },
		{ { "a", "b" }, 2, 2 },
		{ { "a", "b", "0" }, 3, 2 },
		{ { "a", "b", "1" }, 3, 3 },
		{ { "a", "b", "2" }, 3, 3 },
		{ { "a", "b", "3" }, 3, 4 },
		{ { "a", "b", "3", "c" }, 4, 5 },
		{ { "d" }, 1, 6 },
		{ { "a", "x" }, 2, 2 }, /* its parent's, if it is not there */
		{ { "x" }, 1, 1 },
		{ { "a", "b", "9" }, 3, 2 },
		{ { "d", "x" }, 2, 6 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof places / sizeof *places; i++)
		if (settings_line(str_of(json), places[i].steps, places[i].count) !=
		    places[i].line)
			fail_msg("place %zu", i);
	assert_int_equal(settings_line(str_of(json), NULL, 0), 1);
	assert_true(settings_line(STR(""), places[0].steps, 1) <= 1);
}

static void
a_place_is_written_as_people_write_it(void **state)
{
	static const char *const steps[] = { "listeners", "2", "port" };
	static const char *const odd[] = { "domains", "example.com", "12x" };
	char text[64];
	struct out out = out_to(text, sizeof text);

	(void)state;
	settings_place(&out, steps, 3);
	assert_str(out_str(&out), "listeners[2].port");
	out = out_to(text, sizeof text);
	settings_place(&out, odd, 3);
	assert_str(out_str(&out), "domains.example.com.12x");
}

/* ---- printing ---- */

static void
what_is_printed_is_read_as_the_same(void **state)
{
	struct fixture *f = *state;
	char *first, *second;

	assert_true(read_text(f,
	    "{ \"on\": false, \"word\": \"red\", \"missing\": \"\\\"\\\\\\n\","
	    " \"strings\": [\"a\"], \"array\": [{ \"text\": \"x\" }],"
	    " \"map\": { \"one\": { \"text\": \"1\" } } }"));
	first = settings_print(&outer_object, &f->outer);
	assert_true(read_text(f, first));
	second = settings_print(&outer_object, &f->outer);
	assert_string_equal(first, second);
	free(first);
	free(second);
}

static void
the_schema_says_what_the_table_says(void **state)
{
	char *text = settings_schema(&outer_object, "A title");
	json_t *schema = json_loads(text, 0, NULL), *rows, *row;

	(void)state;
	assert_non_null(schema);
	assert_string_equal(json_string_value(json_object_get(schema, "$schema")),
	    "http://json-schema.org/draft-07/schema#");
	assert_string_equal(json_string_value(json_object_get(schema, "title")),
	    "A title");
	assert_true(json_is_false(json_object_get(schema, "additionalProperties")));
	assert_null(json_object_get(schema, "required"));
	rows = json_object_get(schema, "properties");
	assert_int_equal(json_object_size(rows), 11);
	row = json_object_get(rows, "number");
	assert_string_equal(json_string_value(json_object_get(row, "type")),
	    "integer");
	assert_int_equal(json_integer_value(json_object_get(row, "minimum")), 1);
	assert_int_equal(json_integer_value(json_object_get(row, "maximum")), 65535);
	assert_int_equal(json_integer_value(json_object_get(row, "default")), 5060);
	assert_string_equal(json_string_value(json_object_get(row, "description")),
	    "A number.");
	row = json_object_get(rows, "word");
	assert_int_equal(json_array_size(json_object_get(row, "enum")), 3);
	assert_string_equal(json_string_value(json_object_get(row, "default")),
	    "green");
	row = json_object_get(json_object_get(rows, "array"), "items");
	assert_string_equal(json_string_value(json_array_get(
	                        json_object_get(row, "required"), 0)),
	    "text");
	json_decref(schema);
	free(text);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(what_is_not_there_gets_its_default),
		TEST(what_is_there_is_read),
		TEST(paths_start_at_the_files_folder),
		TEST(a_fault_is_told_with_line_and_place),
		TEST(each_type_says_what_it_expects),
		TEST(a_text_with_a_nul_is_no_text),
		TEST(an_unknown_key_names_the_nearest_known_one),
		TEST(a_very_long_unknown_key_is_told_without_nonsense),
		TEST(what_is_required_and_missing_is_told_at_its_parent),
		TEST(all_faults_are_told_at_once),
		TEST(faults_beyond_a_hundred_are_counted),
		TEST(what_is_no_json_is_told_with_its_line),
		TEST(a_key_that_stands_twice_is_a_fault),
		TEST(a_file_that_cannot_be_read_is_a_fault),
		TEST(faults_free_nothing_twice_whatever_was_read),
		TEST(a_line_of_a_file_is_read_alone),
		TEST(the_line_of_a_place_is_found),
		TEST(a_place_is_written_as_people_write_it),
		TEST(what_is_printed_is_read_as_the_same),
		TEST(the_schema_says_what_the_table_says),
	};

	return cmocka_run_group_tests_name("base/settings", tests, NULL, NULL);
}
