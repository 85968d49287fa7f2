/* Registrations, users, connections, upstreams: as lists, or one in full. */
#include "config.h"

#include <stdio.h>

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
