/*
 * The configuration's tables: each row has help, and schema, manual page and
 * samples say what they say. Checks that span rows.
 */
#include "config.h"

#include "unit.h"

#include <unistd.h>

#include "bindery/log.h"

#include "daemon/conf.h"

struct fixture {
	char path[64];
	struct conf conf;
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
	conf_free(&f->conf);
	memset(&f->conf, 0, sizeof f->conf);
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
	return conf_read(&f->conf, f->path, &f->faults);
}

#define LISTENERS "\"listeners\": [ { \"transport\": \"udp\" } ]"
#define DIRECTORIES "\"directories\": { \"u\": { \"path\": \"u.json\" } }"
#define DOMAINS "\"domains\": { \"d\": { \"directory\": \"u\" } }"
#define MINIMAL LISTENERS ",\n" DIRECTORIES ",\n" DOMAINS

static void
check_faults(struct fixture *f, const char *text, const char *const *expected)
{
	size_t n = 0;

	assert_for(text, !read_text(f, text));
	for (; expected[n] != NULL; n++) {
		char line[1024];

		snprintf(line, sizeof line, "%s:%s", f->path, expected[n]);
		if (n >= f->faults.count ||
		    strncmp(f->faults.list[n], line, strlen(line)) != 0)
			fail_msg("%s\nexpected %s\ngot %s", text, line,
			    n < f->faults.count ? f->faults.list[n] : "nothing");
	}
	if (f->faults.count != n)
		fail_msg("%s: and also %s", text, f->faults.list[n]);
}
#define CHECK_FAULTS(state, text, ...) \
	check_faults(*(state), (text), \
	    (const char *const[]){ __VA_ARGS__, NULL })

/* ---- the tables ---- */

/* Calls each() for every row, those of objects within objects too. */
static void
walk(const struct settings *object, void (*each)(const struct setting *row,
    void *context), void *context)
{
	for (const struct setting *s = object->rows; s->name != NULL; s++) {
		each(s, context);
		if (s->object != NULL)
			walk(s->object, each, context);
	}
}

static void
check_row(const struct setting *s, void *context)
{
	size_t n = s->help != NULL ? strlen(s->help) : 0;

	++*(size_t *)context;
	assert_for(s->name, n > 3);
	assert_for(s->name, s->help[n - 1] == '.');
	for (const char *p = s->name; *p != '\0'; p++)
		assert_for(s->name, (*p >= 'a' && *p <= 'z') || *p == '_' ||
		        (*p >= '0' && *p <= '9'));
	if (s->type == SETTING_INT && !s->required)
		assert_for(s->name, s->min < s->max);
	if (s->type == SETTING_WORD)
		assert_for(s->name, s->words != NULL && s->words[0] != NULL);
	if (s->type == SETTING_OBJECT || s->type == SETTING_ARRAY ||
	    s->type == SETTING_MAP)
		assert_for(s->name, s->object != NULL);
}

static void
every_row_has_help_and_what_its_type_needs(void **state)
{
	size_t count = 0;

	(void)state;
	walk(&conf_settings, check_row, &count);
	assert_true(count > 40);
}

static char *
read_shipped(const char *name)
{
	const char *top = getenv("top_srcdir");
	char path[4096];
	size_t size;

	snprintf(path, sizeof path, "%s/%s", top != NULL ? top : ".", name);
	return read_file(path, 1 << 20, &size);
}

static void
the_schema_that_is_shipped_is_that_of_the_tables(void **state)
{
	char *shipped = read_shipped("etc/bindery.schema.json");
	char *schema = settings_schema(&conf_settings, "bindery.json");
	bool same = true;

	(void)state;
	if (shipped != NULL) {
		size_t n = strlen(shipped);

		while (n > 0 && shipped[n - 1] == '\n')
			shipped[--n] = '\0';
		same = strcmp(shipped, schema) == 0;
	}
	free(shipped);
	free(schema);
	assert_true(same);
}

static void
look_up(const struct setting *s, void *context)
{
	const char *manual = context, *at = manual;
	size_t n = strlen(s->name);

	/* as a word of its own */
	while ((at = strstr(at, s->name)) != NULL) {
		char before = at > manual ? at[-1] : ' ', after = at[n];

		if (strchr(" \n\".,()", before) != NULL &&
		    strchr(" \n\".,:()", after) != NULL)
			return;
		at += n;
	}
	fail_msg("etc/bindery.json.5 says nothing of %s", s->name);
}

static void
the_manual_page_names_every_key(void **state)
{
	char *manual = read_shipped("etc/bindery.json.5");

	(void)state;
	if (manual != NULL)
		walk(&conf_settings, look_up, manual);
	free(manual);
}

static void
the_sample_that_is_shipped_is_right(void **state)
{
	struct fixture *f = *state;
	char *sample = read_shipped("etc/bindery.json");

	if (sample != NULL && !read_text(f, sample))
		fail_msg("etc/bindery.json: %s", f->faults.list[0]);
	free(sample);
}

/* ---- values ---- */

static void
the_least_configuration_has_all_defaults(void **state)
{
	struct fixture *f = *state;
	const struct listener_conf *listener;
	const struct domain_conf *domain;

	assert_true(read_text(f, "{ " MINIMAL " }"));
	listener = f->conf.listeners.items;
	assert_int_equal(f->conf.listeners.count, 1);
	assert_string_equal(listener->address, "0.0.0.0");
	assert_int_equal(listener->at.port, 5060);
	domain = f->conf.domains.items;
	assert_string_equal(domain->name, "d");
	assert_null(domain->realm);
	assert_int_equal(domain->directory_index, 0);
	assert_int_equal(f->conf.registrar.min_expires, 60);
	assert_int_equal(f->conf.registrar.default_expires, 3600);
	assert_int_equal(f->conf.registrar.max_expires, 7200);
	assert_int_equal(f->conf.registrar.max_contacts, 10);
	assert_int_equal(f->conf.nonce_lifetime, 300);
	assert_int_equal(f->conf.algorithm_count, 3);
	assert_int_equal(f->conf.algorithms[0], DIGEST_SHA512_256);
	assert_int_equal(f->conf.algorithms[2], DIGEST_MD5);
	assert_string_equal(f->conf.control.socket, "/run/bindery/control.sock");
	assert_int_equal(f->conf.control.mode_bits, 0660);
	assert_int_equal(f->conf.limits.message_size, 65535);
	assert_int_equal(f->conf.limits.unauthenticated_seconds, 30);
	assert_int_equal(f->conf.log.level, LOG_INFO);
	assert_int_equal(f->conf.log.format, LOG_TEXT);
}

static void
a_full_configuration_is_read(void **state)
{
	struct fixture *f = *state;
	const struct listener_conf *listeners;
	const struct tls_entry_conf *tls;
	const struct domain_conf *domains;

	assert_true(read_text(f,
	    "{ \"workers\": 3, \"listeners\": ["
	    " { \"transport\": \"tcp\", \"address\": \"::1\", \"port\": 7 },"
	    " { \"transport\": \"tls\", \"tls\": \"two\" } ],"
	    " \"tls\": { \"one\": { \"certificate\": \"c\", \"key\": \"k\" },"
	    " \"two\": { \"certificate\": \"/c\", \"key\": \"/k\","
	    " \"client_ca\": \"/ca\", \"verify_client\": \"require\","
	    " \"min_version\": \"1.3\", \"sni\": { \"x.org\": {"
	    " \"certificate\": \"/x\", \"key\": \"/y\" } } } },"
	    " \"directories\": { \"a\": { \"path\": \"a\" },"
	    " \"b\": { \"path\": \"b\" } },"
	    " \"domains\": { \"d\": { \"directory\": \"b\", \"realm\": \"r\","
	    " \"aliases\": [\"1.2.3.4\"], \"allow_rfc2069\": true,"
	    " \"service_route\": [\"sip:r;lr\"] },"
	    " \"*\": { \"directory\": \"a\" } },"
	    " \"registrar\": { \"algorithms\": [\"MD5\", \"SHA-256\"] },"
	    " \"log\": { \"level\": \"debug\", \"format\": \"json\" } }"));
	listeners = f->conf.listeners.items;
	assert_int_equal(listeners[0].at.port, 7);
	assert_int_equal(listeners[1].at.port, 5061);
	assert_int_equal(listeners[1].tls_index, 1);
	tls = f->conf.tls.items;
	assert_string_equal(tls[0].tls.certificate, "/tmp/c");
	assert_int_equal(tls[1].tls.verify_client, TLS_VERIFY_REQUIRE);
	assert_int_equal(tls[1].tls.min_version, TLS_1_3);
	assert_int_equal(tls[1].tls.sni_count, 1);
	assert_string_equal(tls[1].tls.sni[0].name, "x.org");
	domains = f->conf.domains.items;
	assert_int_equal(domains[0].directory_index, 1);
	assert_true(domains[0].allow_rfc2069);
	assert_int_equal(f->conf.algorithm_count, 2);
	assert_int_equal(f->conf.algorithms[0], DIGEST_MD5);
	assert_int_equal(f->conf.log.level, LOG_DEBUG);
}

/* ---- checks across rows ---- */

static void
the_fault_of_the_interface_page_is_told_as_it_says(void **state)
{
	CHECK_FAULTS(state,
	    "{ \"listeners\": [ { \"transport\": \"udp\" },\n"
	    "{ \"transport\": \"tcp\" },\n"
	    "{ \"transport\": \"udp\", \"address\": \"::\",\n"
	    "\"port\": \"50a61\" } ], " DIRECTORIES ", " DOMAINS " }",
	    "4: listeners[2].port: expected an integer from 1 to 65535, got "
	    "\"50a61\"");
}

static void
a_port_that_is_wrong_is_told_once(void **state)
{
	/* not as another listener's double too, with a port that nobody wrote */
	CHECK_FAULTS(state,
	    "{ \"listeners\": [ { \"transport\": \"udp\" },\n"
	    "{ \"transport\": \"udp\", \"port\": \"50a61\" } ], " DIRECTORIES
	    ", " DOMAINS " }",
	    "2: listeners[1].port: expected an integer");
}

static void
listeners_are_checked(void **state)
{
	CHECK_FAULTS(state,
	    "{ \"listeners\": [ { \"transport\": \"udp\",\n\"address\": \"x\" } ], "
	    DIRECTORIES ", " DOMAINS " }",
	    "2: listeners[0].address: expected an IPv4 or IPv6 address, got \"x\"");
	CHECK_FAULTS(state,
	    "{ \"listeners\": [ { \"transport\": \"udp\" },\n"
	    "{ \"transport\": \"udp\", \"port\": 5060 } ], " DIRECTORIES
	    ", " DOMAINS " }",
	    "2: listeners[1]: is the same as listeners[0]");
	CHECK_FAULTS(state,
	    "{ \"listeners\": [ { \"transport\": \"udp\",\n\"tls\": \"x\" } ], "
	    DIRECTORIES ", " DOMAINS " }",
	    "2: listeners[0].tls: is only for transport tls");
	CHECK_FAULTS(state,
	    "{ \"listeners\": [\n{ \"transport\": \"tls\" } ], " DIRECTORIES
	    ", " DOMAINS " }",
	    "2: listeners[0].tls: expected the name of an entry of tls");
	CHECK_FAULTS(state,
	    "{ \"listeners\": [ { \"transport\": \"tls\",\n\"tls\": \"egde\" } ],"
	    " \"tls\": { \"edge\": { \"certificate\": \"c\", \"key\": \"k\" } }, "
	    DIRECTORIES ", " DOMAINS " }",
	    "2: listeners[0].tls: expected the name of an entry of tls (edge), got "
	    "\"egde\"");
	CHECK_FAULTS(state, "{ \"listeners\":\n[], " DIRECTORIES ", " DOMAINS " }",
	    "2: listeners: expected one at least");
}

static void
domains_are_checked(void **state)
{
	CHECK_FAULTS(state,
	    "{ " LISTENERS ", " DIRECTORIES ", \"domains\": { \"a.b\": {\n"
	    "\"directory\": \"x\" } } }",
	    "2: domains.a.b.directory: expected the name of an entry of "
	    "directories (u), got \"x\"");
	CHECK_FAULTS(state,
	    "{ " LISTENERS ", " DIRECTORIES ", \"domains\": { \"d\": {"
	    "\"directory\": \"u\",\n\"realm\": \"a\\\"b\" } } }",
	    "2: domains.d.realm: must not have quotes");
	CHECK_FAULTS(state,
	    "{ " LISTENERS ", " DIRECTORIES ", \"domains\": { \"d\": {"
	    "\"directory\": \"u\",\n\"service_route\": [\"tel:1\"] } } }",
	    "2: domains.d.service_route: expected SIP URIs, got \"tel:1\"");
}

static void
rules_of_registration_are_checked(void **state)
{
	CHECK_FAULTS(state,
	    "{ " MINIMAL ", \"registrar\": {\n\"default_expires\": 10 } }",
	    "4: registrar.default_expires: expected a time from min_expires (60) "
	    "to max_expires (7200), got 10");
	CHECK_FAULTS(state,
	    "{ " MINIMAL ", \"registrar\": { \"algorithms\": [ \"MD5\",\n"
	    "\"MD4\" ] } }",
	    "4: registrar.algorithms[1]: expected SHA-512-256, SHA-256 or MD5, got "
	    "\"MD4\"");
	CHECK_FAULTS(state,
	    "{ " MINIMAL ", \"registrar\": { \"algorithms\": [ \"MD5\",\n"
	    "\"md5\" ] } }",
	    "4: registrar.algorithms[1]: is there twice");
	CHECK_FAULTS(state,
	    "{ " MINIMAL ", \"registrar\": { \"algorithms\": [] } }",
	    "3: registrar.algorithms: expected one at least");
}

static void
the_rest_is_checked(void **state)
{
	CHECK_FAULTS(state, "{ " MINIMAL ", \"control\": {\n\"mode\": \"9\" } }",
	    "4: control.mode: expected octal permissions");
	CHECK_FAULTS(state, "{ " MINIMAL ", \"control\": {\n\"mode\": \"7777\" } }",
	    "4: control.mode: expected octal permissions");
	CHECK_FAULTS(state,
	    "{ " MINIMAL ", \"tls\": { \"e\": { \"certificate\": \"c\", \"key\":"
	    " \"k\",\n\"verify_client\": \"optional\" } } }",
	    "4: tls.e.verify_client: needs client_ca");
	CHECK_FAULTS(state, "{ " MINIMAL ", \"workers\": 256 }",
	    "3: workers: expected an integer from 0 to 255, got 256");
}

static void
an_empty_mode_is_told_once(void **state)
{
	CHECK_FAULTS(state, "{ " MINIMAL ", \"control\": { \"mode\": \"\" } }",
	    "3: control.mode: expected a string that is not empty, got \"\"");
}

static void
faults_of_rows_and_of_checks_come_together(void **state)
{
	CHECK_FAULTS(state,
	    "{ \"listeners\": [ { \"transport\": \"udp\", \"address\": \"x\" } ],\n"
	    DIRECTORIES ",\n\"domains\": { \"d\": { \"directory\": \"y\" } },\n"
	    "\"wrokers\": 1 }",
	    "4: wrokers: unknown key, the nearest known one is \"workers\"",
	    "1: listeners[0].address: expected",
	    "3: domains.d.directory: expected");
}

static void
what_is_missing_is_told(void **state)
{
	CHECK_FAULTS(state, "{}", "1: \"listeners\" is missing",
	    "1: \"directories\" is missing", "1: \"domains\" is missing");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(every_row_has_help_and_what_its_type_needs),
		TEST(the_schema_that_is_shipped_is_that_of_the_tables),
		TEST(the_manual_page_names_every_key),
		TEST(the_sample_that_is_shipped_is_right),
		TEST(the_least_configuration_has_all_defaults),
		TEST(a_full_configuration_is_read),
		TEST(the_fault_of_the_interface_page_is_told_as_it_says),
		TEST(a_port_that_is_wrong_is_told_once),
		TEST(listeners_are_checked),
		TEST(domains_are_checked),
		TEST(rules_of_registration_are_checked),
		TEST(the_rest_is_checked),
		TEST(an_empty_mode_is_told_once),
		TEST(faults_of_rows_and_of_checks_come_together),
		TEST(what_is_missing_is_told),
	};

	return cmocka_run_group_tests_name("daemon/conf", tests, NULL, NULL);
}
