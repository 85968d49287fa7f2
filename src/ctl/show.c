/* What the server knows: status and lists. */
#include "config.h"

#include <stdio.h>
#include <string.h>

#include "bindery/alloc.h"
#include "bindery/count.h"
#include "client.h"
#include "commands.h"
#include "tables.h"
#include "text.h"

/* clang-format off */
static const struct column registration_columns[] = {
	{ "AOR",        "aor",        SHOW_AOR,     false },
	{ "CONTACT",    "uri",        SHOW_VALUE,   false },
	{ "EXPIRES",    "expires",    SHOW_SECONDS, true },
	{ "TRANSPORT",  "transport",  SHOW_VALUE,   false },
	{ "RECEIVED",   "received",   SHOW_VALUE,   false },
	{ "REACHABLE",  "reachable",  SHOW_BOOL,    false },
	{ "USER AGENT", "user_agent", SHOW_VALUE,   false },
	{ 0 }
};

static const struct column binding_details[] = {
	{ "contact",    "uri",        SHOW_VALUE,   false },
	{ "parameters", "params",     SHOW_VALUE,   false },
	{ "expires",    "expires",    SHOW_SECONDS, false },
	{ "q",          "q",          SHOW_VALUE,   false },
	{ "transport",  "transport",  SHOW_VALUE,   false },
	{ "received",   "received",   SHOW_VALUE,   false },
	{ "reachable",  "reachable",  SHOW_BOOL,    false },
	{ "path",       "path",       SHOW_VALUE,   false },
	{ "instance",   "instance",   SHOW_VALUE,   false },
	{ "reg-id",     "reg_id",     SHOW_VALUE,   false },
	{ "Call-ID",    "call_id",    SHOW_VALUE,   false },
	{ "CSeq",       "cseq",       SHOW_VALUE,   false },
	{ "user agent", "user_agent", SHOW_VALUE,   false },
	{ "since",      "since",      SHOW_TIME,    false },
	{ "refreshed",  "refreshed",  SHOW_TIME,    false },
	{ 0 }
};

static const struct column user_columns[] = {
	{ "AOR",          "aor",          SHOW_AOR,   false },
	{ "ENABLED",      "enabled",      SHOW_BOOL,  false },
	{ "BINDINGS",     "bindings",     SHOW_VALUE, true },
	{ "MAX CONTACTS", "max_contacts", SHOW_VALUE, true },
	{ "ALGORITHMS",   "algorithms",   SHOW_VALUE, false },
	{ "ALIASES",      "aliases",      SHOW_VALUE, false },
	{ 0 }
};

static const struct column user_details[] = {
	{ "address of record", "aor",          SHOW_VALUE, false },
	{ "username",          "username",     SHOW_VALUE, false },
	{ "domain",            "domain",       SHOW_VALUE, false },
	{ "enabled",           "enabled",      SHOW_BOOL,  false },
	{ "bindings",          "bindings",     SHOW_VALUE, false },
	{ "max contacts",      "max_contacts", SHOW_VALUE, false },
	{ "algorithms",        "algorithms",   SHOW_VALUE, false },
	{ "aliases",           "aliases",      SHOW_VALUE, false },
	{ 0 }
};

static const struct column connection_columns[] = {
	{ "ID",        "id",        SHOW_VALUE, false },
	{ "TRANSPORT", "transport", SHOW_VALUE, false },
	{ "REMOTE",    "remote",    SHOW_VALUE, false },
	{ "LOCAL",     "local",     SHOW_VALUE, false },
	{ "AGE",       "since",     SHOW_SINCE, true },
	{ "TLS",       "tls",       SHOW_TLS,   false },
	{ "AORS",      "aors",      SHOW_VALUE, false },
	{ 0 }
};

static const struct column upstream_columns[] = {
	{ "NAME",         "name",         SHOW_VALUE,   false },
	{ "REGISTRAR",    "registrar",    SHOW_VALUE,   false },
	{ "AOR",          "aor",          SHOW_AOR,     false },
	{ "STATE",        "state",        SHOW_VALUE,   false },
	{ "EXPIRES",      "expires",      SHOW_SECONDS, true },
	{ "LAST STATUS",  "last_status",  SHOW_VALUE,   true },
	{ "NEXT ATTEMPT", "next_attempt", SHOW_VALUE,   true },
	{ 0 }
};

static const struct column counter_columns[] = {
	{ "COUNTER", "", SHOW_VALUE, false },
	{ "COUNT",   "", SHOW_VALUE, true },
	{ "WHAT",    "", SHOW_VALUE, false },
	{ 0 }
};
/* clang-format on */

/* ---- lists ---- */

enum { PAGE = 200 };

struct list {
	const char *method, *key; /* key: of the array in a page */
	const struct column *columns;
	void (*add)(struct table *table, json_t *entry);
};

static void
add_entry(struct table *table, json_t *entry)
{
	table_row(table, entry);
}

static void
add_registration(struct table *table, json_t *entry)
{
	json_t *bindings = json_object_get(entry, "bindings"), *binding;
	size_t i;

	json_array_foreach(bindings, i, binding) {
		json_object_set(binding, "aor", json_object_get(entry, "aor"));
		table_row(table, binding);
	}
}

static const struct list registrations = { "registrations.list",
	"registrations", registration_columns, add_registration };
static const struct list users = { "users.list", "users", user_columns,
	add_entry };
static const struct list connections = { "connections.list", "connections",
	connection_columns, add_entry };
static const struct list upstreams = { "upstreams.list", "upstreams",
	upstream_columns, add_entry };

/* Shows at most *left entries and counts them off. */
static void
show_page(const struct ctl *ctl, const struct list *list, const json_t *page,
    struct table *table, uint64_t *left)
{
	const json_t *entries = json_is_array(page)
	    ? page
	    : json_object_get(page, list->key);
	json_t *entry;
	size_t i;

	json_array_foreach(entries, i, entry) {
		if (*left == 0)
			break;
		(*left)--;
		if (ctl->json)
			print_json(entry, JSON_COMPACT);
		else
			list->add(table, entry);
	}
	if (ctl->json)
		fflush(stdout);
	else
		table_flush(table);
}

static json_t *
page_params(const struct ctl *ctl, uint64_t left, json_t *cursor)
{
	json_t *params = json_pack("{s:i, s:O*}", "limit",
	    left < PAGE ? (int)left : PAGE, "cursor", cursor);

	if (ctl->domain != NULL)
		json_object_set_new(params, "domain", json_string(ctl->domain));
	return params;
}

/* Page after page; what has been printed is forgotten. */
static int
show_pages(const struct ctl *ctl, const struct list *list,
    struct client *client, struct table *table)
{
	uint64_t left = ctl->limit > 0 ? ctl->limit : UINT64_MAX;
	json_t *cursor = NULL, *before = NULL;
	int code = DONE;

	do {
		json_t *page = client_call(client, list->method,
		    page_params(ctl, left, cursor));

		if (page == NULL) {
			code = FAILED;
			break;
		}
		show_page(ctl, list, page, table, &left);
		json_decref(before);
		before = cursor;
		cursor = json_incref(json_object_get(page, "cursor"));
		json_decref(page);
		if (json_is_string(cursor) && json_equal(cursor, before))
			code = failed("the server repeats a page of %s",
			    list->key);
	} while (code == DONE && json_is_string(cursor) && left > 0 &&
	    !ferror(stdout));
	json_decref(before);
	json_decref(cursor);
	return code;
}

static int
show_list(const struct ctl *ctl, const struct list *list)
{
	struct client *client = client_open(ctl->socket);
	struct table table;
	int code;

	if (client == NULL)
		return FAILED;
	table_begin(&table, list->columns);
	code = show_pages(ctl, list, client, &table);
	/* nothing came but an error: then no titles either */
	table.headed |= ctl->json || code != DONE;
	table_end(&table);
	client_close(client);
	return code;
}

int
cmd_connections(struct ctl *ctl)
{
	return show_list(ctl, &connections);
}

/* All of them in one answer: this list has no pages. */
int
cmd_upstreams(struct ctl *ctl)
{
	json_t *result = ask(ctl, upstreams.method, NULL);
	uint64_t left = UINT64_MAX;
	struct table table;

	if (result == NULL)
		return FAILED;
	table_begin(&table, upstreams.columns);
	show_page(ctl, &upstreams, result, &table, &left);
	table.headed |= ctl->json;
	table_end(&table);
	json_decref(result);
	return DONE;
}

/* ---- one of them ---- */

static json_t *
ask_about(const struct ctl *ctl, const char *method)
{
	return ask(ctl, method, json_pack("{s:s}", "aor", ctl->args[0]));
}

static void
print_registration(const json_t *result)
{
	const json_t *bindings = json_object_get(result, "bindings"), *binding;
	struct screen screen = screen_now();
	struct buf aor = { 0 };
	size_t i;

	text_value(&aor, json_object_get(result, "aor"));
	printf("%s%.*s%s%s\n", tone_on(&screen, TONE_HEAD),
	    STR_ARG(text_of(&aor)), tone_off(&screen, TONE_HEAD),
	    json_array_size(bindings) > 0 ? "" : " has no bindings");
	buf_free(&aor);
	json_array_foreach(bindings, i, binding) {
		putchar('\n');
		print_details(binding_details, binding);
	}
}

int
cmd_registrations(struct ctl *ctl)
{
	json_t *result;

	if (ctl->arg_count == 0)
		return show_list(ctl, &registrations);
	if (ctl->domain != NULL || ctl->limit > 0)
		return misused("--domain and --limit are for the list of all");
	result = ask_about(ctl, "registrations.get");
	if (result == NULL)
		return FAILED;
	if (ctl->json)
		print_json(result, JSON_COMPACT);
	else
		print_registration(result);
	json_decref(result);
	return DONE;
}

int
cmd_users(struct ctl *ctl)
{
	json_t *result;

	if (ctl->arg_count == 0)
		return show_list(ctl, &users);
	if (ctl->limit > 0)
		return misused("--limit is for the list of all");
	result = ask_about(ctl, "users.get");
	if (result == NULL)
		return FAILED;
	if (ctl->json)
		print_json(result, JSON_COMPACT);
	else
		print_details(user_details, result);
	json_decref(result);
	return DONE;
}

/* ---- status ---- */

static void
print_line(const struct screen *screen, const char *title, struct buf *text)
{
	printf("%s%-13s%s  %.*s\n", tone_on(screen, TONE_HEAD), title,
	    tone_off(screen, TONE_HEAD), STR_ARG(text_of(text)));
	buf_free(text);
}

static void
add_number(struct buf *to, const json_t *object, const char *key,
    const char *unit)
{
	if (buf_size(to) > 0)
		text_add(to, STR(", "));
	text_value(to, json_object_get(object, key));
	text_format(to, " %s", unit);
}

static void
print_listeners(const struct screen *screen, const json_t *listeners)
{
	const char *title = "listeners";
	const json_t *listener;
	size_t i;

	json_array_foreach(listeners, i, listener) {
		struct str address =
		    string_of(json_object_get(listener, "address"));
		bool brackets = str_find(address, ':') < address.n;
		struct buf text = { 0 };

		text_value(&text, json_object_get(listener, "transport"));
		text_add(&text, brackets ? STR(" [") : STR(" "));
		text_escape(&text, address, 0);
		text_add(&text, brackets ? STR("]:") : STR(":"));
		text_value(&text, json_object_get(listener, "port"));
		print_line(screen, title, &text);
		title = "";
	}
}

static void
print_configuration(const struct screen *screen, const json_t *config)
{
	const json_t *faults = json_object_get(config, "last_error"), *fault;
	struct buf text = { 0 };
	size_t i;

	text_value(&text, json_object_get(config, "path"));
	text_add(&text, STR(", generation "));
	text_value(&text, json_object_get(config, "generation"));
	text_add(&text, STR(", loaded "));
	text_time(&text, json_integer_value(json_object_get(config, "loaded_at")));
	print_line(screen, "configuration", &text);
	if (json_is_string(faults)) {
		text_value(&text, faults);
		print_line(screen, "last error", &text);
	}
	json_array_foreach(faults, i, fault) {
		text_add(&text, str_of(tone_on(screen, TONE_BAD)));
		text_value(&text, fault);
		text_add(&text, str_of(tone_off(screen, TONE_BAD)));
		print_line(screen, i == 0 ? "last error" : "", &text);
	}
}

static void
print_sizes(const struct screen *screen, const json_t *status)
{
	const json_t *part = json_object_get(status, "registrations");
	struct buf text = { 0 };

	add_number(&text, part, "aors", "addresses of record");
	add_number(&text, part, "bindings", "bindings");
	print_line(screen, "registrations", &text);
	text_value(&text, json_object_get(status, "users"));
	print_line(screen, "users", &text);
	part = json_object_get(status, "connections");
	add_number(&text, part, "tcp", "TCP");
	add_number(&text, part, "tls", "TLS");
	print_line(screen, "connections", &text);
	part = json_object_get(status, "transactions");
	add_number(&text, part, "server", "server");
	add_number(&text, part, "client", "client");
	print_line(screen, "transactions", &text);
}

static const char *
counter_help(const char *name)
{
	for (int i = 0; i < COUNTS; i++)
		if (strcmp(count_rows[i].name, name) == 0)
			return count_rows[i].help;
	return "";
}

/* Those that have counted something; --json has them all. */
static void
print_counters(json_t *counters)
{
	struct table table;
	const char *name;
	json_t *value;

	table_begin(&table, counter_columns);
	json_object_foreach(counters, name, value) {
		struct buf text = { 0 };

		if (json_integer_value(value) == 0)
			continue;
		text_escape(&text, str_of(name), 0);
		table_cell(&table, text_of(&text), TONE_PLAIN);
		buf_free(&text);
		text_value(&text, value);
		table_cell(&table, text_of(&text), TONE_PLAIN);
		buf_free(&text);
		table_cell(&table, str_of(counter_help(name)), TONE_DIM);
	}
	if (table.count > 0)
		putchar('\n');
	else
		table.headed = true;
	table_end(&table);
}

static void
print_status(const json_t *status)
{
	struct screen screen = screen_now();
	struct buf text = { 0 };

	text_value(&text, json_object_get(status, "name"));
	text_add(&text, STR(" "));
	text_value(&text, json_object_get(status, "version"));
	print_line(&screen, "server", &text);
	text_value(&text, json_object_get(status, "pid"));
	add_number(&text, status, "workers", "workers");
	text_add(&text, STR(", up "));
	text_duration(&text,
	    json_integer_value(json_object_get(status, "uptime")));
	print_line(&screen, "process", &text);
	print_configuration(&screen, json_object_get(status, "config"));
	print_listeners(&screen, json_object_get(status, "listeners"));
	print_sizes(&screen, status);
	print_counters(json_object_get(status, "counters"));
}

int
cmd_status(struct ctl *ctl)
{
	json_t *result = ask(ctl, "status", NULL);

	if (result == NULL)
		return FAILED;
	if (ctl->json)
		print_json(result, JSON_COMPACT);
	else
		print_status(result);
	json_decref(result);
	return DONE;
}
