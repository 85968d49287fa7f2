/* User directories in JSON: who is in them, and what is wrong with a file. */
#include "config.h"

#include "unit.h"

#include <unistd.h>

#include "bindery/directory.h"

struct fixture {
	char folder[64], json[96], jsonl[96];
	struct faults faults;
	struct directory *directory;
};

static struct directory_domain
domain_of(void *context, struct str name)
{
	(void)context;
	if (str_eq(name, STR("example.com")) || str_eq(name, STR("192.0.2.10")))
		return (struct directory_domain){ STR("example.com"),
			STR("the realm") };
	if (str_eq(name, STR("asterisk")))
		return (struct directory_domain){ STR("asterisk"),
			STR("asterisk") };
	return (struct directory_domain){ STR_NONE, STR_NONE };
}

static int
set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof *f);

	snprintf(f->folder, sizeof f->folder, "/tmp/bindery-unit-XXXXXX");
	assert_non_null(mkdtemp(f->folder));
	snprintf(f->json, sizeof f->json, "%s/users.json", f->folder);
	snprintf(f->jsonl, sizeof f->jsonl, "%s/users.jsonl", f->folder);
	*state = f;
	return 0;
}

static void
clear(struct fixture *f)
{
	directory_unref(f->directory);
	f->directory = NULL;
	faults_free(&f->faults);
}

static int
tear_down(void **state)
{
	struct fixture *f = *state;

	clear(f);
	unlink(f->json);
	unlink(f->jsonl);
	rmdir(f->folder);
	free(f);
	return 0;
}

static bool
read_text(struct fixture *f, const char *path, const char *text)
{
	FILE *file = fopen(path, "w");

	assert_non_null(file);
	fputs(text, file);
	fclose(file);
	clear(f);
	f->directory = directory_read_json(path, domain_of, NULL, &f->faults);
	assert_int_equal(f->directory == NULL, f->faults.count > 0);
	return f->directory != NULL;
}

static bool
read_json(struct fixture *f, const char *text)
{
	return read_text(f, f->json, text);
}

/* One user's members, in a file of one. */
static bool
read_user(struct fixture *f, const char *members)
{
	char text[2048];

	snprintf(text, sizeof text, "{ \"users\": [\n{ %s }\n] }", members);
	return read_json(f, text);
}

static void
check_fault(struct fixture *f, const char *members, const char *expected)
{
	assert_for(members, !read_user(f, members));
	for (size_t i = 0; i < f->faults.count; i++)
		if (strstr(f->faults.list[i], expected) != NULL)
			return;
	fail_msg("%s: expected ...%s..., got %s", members, expected,
	    f->faults.list[0]);
}

static void
check_hex(const unsigned char *bytes, size_t n, const char *expected)
{
	char hex[DIGEST_HEX_MAX];

	hex_write(hex, bytes, n);
	assert_str(((struct str){ hex, 2 * n }), expected);
}

/* ---- users ---- */

static void
a_password_becomes_hashes_of_every_algorithm(void **state)
{
	struct fixture *f = *state;
	const struct user *user;
	unsigned char expected[DIGEST_MAX];

	assert_true(read_user(f, "\"username\": \"1008\", \"domain\": \"asterisk\","
	                         " \"password\": \"1008\""));
	assert_int_equal(directory_size(f->directory), 1);
	user = directory_find(f->directory, STR("1008"), STR("asterisk"));
	assert_non_null(user);
	assert_int_equal(user->has_ha1, 7);
	for (int i = 0; i < DIGEST_ALGORITHMS; i++) {
		digest_ha1((enum digest_algorithm)i, STR("1008"), STR("asterisk"),
		    STR("1008"), expected);
		assert_memory_equal(user->ha1[i], expected,
		    digest_size((enum digest_algorithm)i));
	}
	assert_true(user->enabled);
	assert_int_equal(user->max_contacts, 0);
	assert_str(user->aor, "1008@asterisk");
}

static void
passwords_are_hashed_with_the_domains_realm(void **state)
{
	struct fixture *f = *state;
	const struct user *user;
	unsigned char expected[DIGEST_MAX];

	assert_true(read_user(f, "\"username\": \"a\", \"domain\": \"192.0.2.10\","
	                         " \"password\": \"p\""));
	user = directory_at(f->directory, 0);
	assert_str(user->domain, "example.com"); /* the domain's own name */
	assert_str(user->aor, "a@example.com");
	digest_ha1(DIGEST_MD5, STR("a"), STR("the realm"), STR("p"), expected);
	assert_memory_equal(user->ha1[DIGEST_MD5], expected, 16);
	assert_true(read_user(f, "\"username\": \"a\", \"domain\": \"Other.Org\","
	                         " \"password\": \"p\""));
	user = directory_at(f->directory, 0);
	assert_str(user->aor, "a@other.org");
	digest_ha1(DIGEST_MD5, STR("a"), STR("other.org"), STR("p"), expected);
	assert_memory_equal(user->ha1[DIGEST_MD5], expected, 16);
}

static void
hashes_are_taken_as_they_are(void **state)
{
	struct fixture *f = *state;
	const struct user *user;

	assert_true(read_user(f,
	    "\"username\": \"a\", \"domain\": \"b\", \"ha1\": {"
	    " \"MD5\": \"00112233445566778899AABBCCDDEEFF\", \"SHA-256\": "
	    "\"000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f\" }"));
	user = directory_at(f->directory, 0);
	assert_int_equal(user->has_ha1, 1 << DIGEST_MD5 | 1 << DIGEST_SHA256);
	check_hex(user->ha1[DIGEST_MD5], 16, "00112233445566778899aabbccddeeff");
	assert_int_equal(user->ha1[DIGEST_SHA256][31], 0x1f);
}

static void
aliases_are_other_addresses_of_record(void **state)
{
	struct fixture *f = *state;
	const struct user *user;

	assert_true(read_user(f,
	    "\"username\": \"alice\", \"domain\": \"example.com\","
	    " \"password\": \"p\", \"max_contacts\": 3, \"enabled\": false,"
	    " \"aliases\": [\"sip:alice.smith@EXAMPLE.com\", \"SIPS:a@192.0.2.10\","
	    " \"plain@Other.org\"]"));
	user = directory_at(f->directory, 0);
	assert_int_equal(user->alias_count, 3);
	assert_str(user->aliases[0], "alice.smith@example.com");
	assert_str(user->aliases[1], "a@example.com");
	assert_str(user->aliases[2], "plain@other.org");
	assert_false(user->enabled);
	assert_int_equal(user->max_contacts, 3);
	assert_ptr_equal(directory_find_aor(f->directory, STR("plain@other.org")),
	    user);
	assert_ptr_equal(directory_find_aor(f->directory, STR("alice@example.com")),
	    user);
	assert_null(directory_find_aor(f->directory, STR("b@example.com")));
	assert_true(user_owns(user, STR("a@example.com")));
	assert_true(user_owns(user, STR("alice@example.com")));
	assert_false(user_owns(user, STR("alice@other.org")));
	assert_null(directory_find(f->directory, STR("a"), STR("example.com")));
}

static void
an_alias_with_escapes_is_the_address_that_it_means(void **state)
{
	struct fixture *f = *state;

	/* requests name it with escapes undone (RFC 3261 10.3 step 5) */
	assert_true(read_user(f,
	    "\"username\": \"alice\", \"domain\": \"example.com\","
	    " \"password\": \"p\", \"aliases\": [\"sip:%61lice%2Db@example.com\"]"));
	assert_non_null(
	    directory_find_aor(f->directory, STR("alice-b@example.com")));
}

static void
names_are_case_sensitive_and_domains_are_not(void **state)
{
	struct fixture *f = *state;

	assert_true(read_json(f,
	    "{ \"users\": ["
	    "{ \"username\": \"a\", \"domain\": \"EXAMPLE.com\", \"password\": \"1\" },"
	    "{ \"username\": \"A\", \"domain\": \"example.COM\", \"password\": \"2\" }"
	    "] }"));
	assert_int_equal(directory_size(f->directory), 2);
	assert_true(directory_find(f->directory, STR("a"), STR("example.com")) !=
	    directory_find(f->directory, STR("A"), STR("example.com")));
}

static void
an_empty_directory_is_one(void **state)
{
	struct fixture *f = *state;

	assert_true(read_json(f, "{ \"users\": [] }"));
	assert_int_equal(directory_size(f->directory), 0);
	assert_null(directory_find(f->directory, STR("a"), STR("b")));
	assert_true(read_text(f, f->jsonl, ""));
	assert_int_equal(directory_size(f->directory), 0);
}

static void
a_directory_lives_as_long_as_it_is_referred_to(void **state)
{
	struct fixture *f = *state;
	struct directory *other;

	assert_true(read_user(f, "\"username\": \"a\", \"domain\": \"b\","
	                         " \"password\": \"p\""));
	other = directory_ref(f->directory);
	directory_unref(f->directory);
	f->directory = NULL;
	assert_int_equal(directory_size(other), 1);
	directory_unref(other);
	directory_unref(NULL);
}

/* ---- one a line ---- */

static void
a_file_of_lines_is_read(void **state)
{
	struct fixture *f = *state;

	assert_true(read_text(f, f->jsonl,
	    "{ \"username\": \"a\", \"domain\": \"b\", \"password\": \"p\" }\n"
	    "\n  \r\n"
	    "{ \"username\": \"c\", \"domain\": \"b\", \"password\": \"p\" }"));
	assert_int_equal(directory_size(f->directory), 2);
	assert_str(directory_at(f->directory, 1)->username, "c");
}

static void
faults_in_lines_name_the_line(void **state)
{
	struct fixture *f = *state;
	char expected[200];

	assert_false(read_text(f, f->jsonl,
	    "{ \"username\": \"a\", \"domain\": \"b\", \"password\": \"p\" }\n"
	    "\n"
	    "{ \"username\": \"c\", \"domain\": \"b\" }\n"
	    "nonsense\n"
	    "{ \"username\": \"a\", \"domain\": \"b\", \"password\": \"p\" }\n"));
	assert_int_equal(f->faults.count, 3);
	snprintf(expected, sizeof expected,
	    "%s:3: username: has neither a password nor ha1", f->jsonl);
	assert_string_equal(f->faults.list[0], expected);
	snprintf(expected, sizeof expected, "%s:4: not valid JSON", f->jsonl);
	assert_memory_equal(f->faults.list[1], expected, strlen(expected));
	snprintf(expected, sizeof expected,
	    "%s:5: username: a@b, or an alias of it, is there already", f->jsonl);
	assert_string_equal(f->faults.list[2], expected);
}

/* ---- faults ---- */

static void
what_is_wrong_with_a_user_is_told(void **state)
{
	check_fault(*state, "\"domain\": \"b\", \"password\": \"p\"",
	    ":2: users[0]: \"username\" is missing");
	check_fault(*state, "\"username\": \"a\", \"password\": \"p\"",
	    ":2: users[0]: \"domain\" is missing");
	check_fault(*state, "\"username\": \"a\", \"domain\": \"b\"",
	    ":2: users[0].username: has neither a password nor ha1");
	check_fault(*state, "\"username\": \"a\", \"domain\": \"b\",\n\"ha1\": {}",
	    "has neither a password nor ha1");
	check_fault(*state, "\"username\": \"a\", \"domain\": \"b\",\n"
	                    "\"ha1\": { \"MD5\": \"0\" }",
	    ":3: users[0].ha1: MD5: expected 32 hexadecimal digits");
	check_fault(*state, "\"username\": \"a\", \"domain\": \"b\",\n"
	                    "\"ha1\": { \"SHA-256\": "
	                    "\"00112233445566778899aabbccddeeff\" }",
	    ":3: users[0].ha1: SHA-256: expected 64 hexadecimal digits");
	check_fault(*state, "\"username\": \"a\", \"domain\": \"b\",\n"
	                    "\"ha1\": { \"SHA-1\": \"0\" }",
	    "unknown key, the nearest known one is \"SHA-");
	check_fault(*state, "\"username\": \"a\", \"domain\": \"b\","
	                    " \"password\": \"p\", \"ha1\": { \"MD5\": "
	                    "\"00112233445566778899aabbccddeeff\" }",
	    "users[0].password: there is a password and ha1");
	check_fault(*state, "\"username\": \"a:b\", \"domain\": \"b\","
	                    " \"password\": \"p\"",
	    "users[0].username: has a colon");
	check_fault(*state, "\"username\": \"a\\nb\", \"domain\": \"b\","
	                    " \"password\": \"p\"",
	    "users[0].username: has a colon");
	check_fault(*state, "\"username\": \"a\", \"domain\": \"b\","
	                    " \"pasword\": \"p\"",
	    "users[0].pasword: unknown key, the nearest known one is \"password\"");
	check_fault(*state, "\"username\": \"a\", \"domain\": \"b\","
	                    " \"password\": \"p\", \"max_contacts\": -1",
	    "users[0].max_contacts: expected an integer from 0 to 1000, got -1");
}

static void
aliases_that_are_none_are_told(void **state)
{
	static const char *const bad[] = { "sip:", "alice", "@b", "a@", "sip:@b",
		"sip:a@b;x=1" };

	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		char members[200];

		snprintf(members, sizeof members,
		    "\"username\": \"a\", \"domain\": \"b\", \"password\": \"p\","
		    " \"aliases\": [\"%s\"]",
		    bad[i]);
		check_fault(*state, members,
		    "users[0].aliases: expected sip:name@domain");
	}
}

static void
users_and_addresses_that_are_there_twice_are_told(void **state)
{
	static const char *const second[] = {
		"\"username\": \"a\", \"domain\": \"example.com\"",
		"\"username\": \"a\", \"domain\": \"192.0.2.10\"", /* by an alias */
		"\"username\": \"x\", \"domain\": \"example.com\"", /* a's alias */
		"\"username\": \"c\", \"domain\": \"d\","
		" \"aliases\": [\"sip:a@example.com\"]",
		"\"username\": \"c\", \"domain\": \"d\","
		" \"aliases\": [\"sip:x@example.com\"]",
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < sizeof second / sizeof *second; i++) {
		char text[1024];

		snprintf(text, sizeof text,
		    "{ \"users\": [ { \"username\": \"a\", \"domain\": \"example.com\","
		    " \"password\": \"p\", \"aliases\": [\"x@example.com\"] },\n"
		    "{ %s, \"password\": \"p\" } ] }",
		    second[i]);
		assert_for(second[i], !read_json(f, text));
		assert_int_equal(f->faults.count, 1);
		assert_non_null(strstr(f->faults.list[0], ":2: users[1].username: "));
		assert_non_null(strstr(f->faults.list[0], "is there already"));
	}
}

static void
no_fault_tells_a_secret(void **state)
{
	static const char *const members[] = {
		"\"username\": \"a\", \"domain\": \"b\", \"password\": 4711",
		"\"username\": \"a\", \"domain\": \"b\", \"password\": [\"4711\"]",
		"\"username\": \"a\", \"domain\": \"b\", \"password\": \"4711",
		"\"username\": \"a\", \"domain\": \"b\", \"ha1\": \"4711\"",
		"\"username\": \"a\", \"domain\": \"b\", \"ha1\": { \"MD5\": 4711 }",
		"\"username\": \"a\", \"domain\": \"b\", \"ha1\": { \"MD5\": \"4711\" }",
		"\"username\": \"a\", \"domain\": \"b\", \"password\" \"4711\"",
		"\"username\": \"a\", \"domain\": \"b\", \"ha1\": [ \"4711\" ]",
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < sizeof members / sizeof *members; i++) {
		assert_for(members[i], !read_user(f, members[i]));
		for (size_t j = 0; j < f->faults.count; j++)
			if (strstr(f->faults.list[j], "4711") != NULL)
				fail_msg("%s: %s", members[i], f->faults.list[j]);
	}
}

static void
a_file_that_is_not_there_is_told(void **state)
{
	struct fixture *f = *state;

	f->directory = directory_read_json("/nowhere/users.jsonl", domain_of, NULL,
	    &f->faults);
	assert_null(f->directory);
	assert_string_equal(f->faults.list[0],
	    "/nowhere/users.jsonl: cannot be read: No such file or directory");
}

/* ---- many ---- */

static void
many_users_are_found(void **state)
{
	enum { N = 20000 };
	struct fixture *f = *state;
	FILE *file = fopen(f->jsonl, "w");

	for (int i = 0; i < N; i++)
		fprintf(file,
		    "{\"username\":\"u%d\",\"domain\":\"example.com\",\"ha1\":{"
		    "\"MD5\":\"%032x\"},\"aliases\":[\"sip:%d@example.com\"]}\n",
		    i, (unsigned)i, 100000 + i);
	fclose(file);
	f->directory = directory_read_json(f->jsonl, domain_of, NULL, &f->faults);
	assert_non_null(f->directory);
	assert_int_equal(directory_size(f->directory), N);
	for (int i = 0; i < N; i += 7) {
		char name[32], aor[48];
		const struct user *user;

		snprintf(name, sizeof name, "u%d", i);
		user = directory_find(f->directory, str_of(name), STR("example.com"));
		assert_ptr_equal(user, directory_at(f->directory, (size_t)i));
		snprintf(aor, sizeof aor, "%d@example.com", 100000 + i);
		assert_ptr_equal(directory_find_aor(f->directory, str_of(aor)), user);
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_password_becomes_hashes_of_every_algorithm),
		TEST(passwords_are_hashed_with_the_domains_realm),
		TEST(hashes_are_taken_as_they_are),
		TEST(aliases_are_other_addresses_of_record),
		TEST(an_alias_with_escapes_is_the_address_that_it_means),
		TEST(names_are_case_sensitive_and_domains_are_not),
		TEST(an_empty_directory_is_one),
		TEST(a_directory_lives_as_long_as_it_is_referred_to),
		TEST(a_file_of_lines_is_read),
		TEST(faults_in_lines_name_the_line),
		TEST(what_is_wrong_with_a_user_is_told),
		TEST(aliases_that_are_none_are_told),
		TEST(users_and_addresses_that_are_there_twice_are_told),
		TEST(no_fault_tells_a_secret),
		TEST(a_file_that_is_not_there_is_told),
		TEST(many_users_are_found),
	};

	return cmocka_run_group_tests_name("directory/json", tests, NULL, NULL);
}
