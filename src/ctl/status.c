/* What the server is and does, on one screen. */
#include "config.h"

#include <stdio.h>
#include <string.h>

#include "bindery/count.h"
#include "client.h"
#include "commands.h"
#include "tables.h"
#include "text.h"

/* clang-format off */
static const struct column counter_columns[] = {
	{ "COUNTER", "", SHOW_VALUE, false },
	{ "COUNT",   "", SHOW_VALUE, true },
	{ "WHAT",    "", SHOW_VALUE, false },
	{ 0 }
};
/* clang-format on */

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

/* Where bindings are kept, and whether that works; older servers do not say. */
static void
print_store(const struct screen *screen, const json_t *store)
{
	const json_t *error = json_object_get(store, "error");
	struct buf text = { 0 };

	if (store == NULL)
		return;
	text_value(&text, json_object_get(store, "kind"));
	text_add(&text, STR(", "));
	if (json_is_string(error)) {
		text_add(&text, str_of(tone_on(screen, TONE_BAD)));
		text_value(&text, json_object_get(store, "state"));
		text_add(&text, STR(": "));
		text_value(&text, error);
		text_add(&text, str_of(tone_off(screen, TONE_BAD)));
	} else {
		text_value(&text, json_object_get(store, "state"));
	}
	if (json_object_get(store, "pending") != NULL)
		add_number(&text, store, "pending", "changes to be written");
	print_line(screen, "store", &text);
}

static void
print_sizes(const struct screen *screen, const json_t *status)
{
	const json_t *part = json_object_get(status, "registrations");
	struct buf text = { 0 };

	add_number(&text, part, "aors", "addresses of record");
	add_number(&text, part, "bindings", "bindings");
	print_line(screen, "registrations", &text);
	print_store(screen, json_object_get(status, "store"));
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
	return "-"; /* of a server that is newer */
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
	add_number(&text, status, "lag_ms", "ms at most waited for");
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
