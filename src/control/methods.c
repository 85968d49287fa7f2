/* The table of methods, and those that need no pages. */
#include "config.h"

#include "control_priv.h"

#include <string.h>
#include <unistd.h>

#include "bindery/clock.h"
#include "bindery/count.h"

static json_t *
faults_json(const struct faults *faults)
{
	json_t *list;

	if (faults == NULL || faults->count == 0)
		return json_null();
	list = json_array();
	for (size_t i = 0; i < faults->count; i++)
		json_array_append_new(list, text_json(str_of(faults->list[i])));
	if (faults->more > 0)
		json_array_append_new(list, json_sprintf("and %zu more",
		    faults->more));
	return list;
}

static json_t *
listeners_json(const struct control_tools *tools, size_t n)
{
	json_t *list = json_array();

	for (size_t i = 0; i < n; i++) {
		const struct transport *transport;
		struct addr at;
		char host[ADDR_HOST_SIZE];

		tools->listener(tools->context, i, &transport, &at);
		json_array_append_new(list, json_pack("{s:s, s:s, s:i}",
		    "transport", transport->name, "address",
		    addr_bare_host(&at, host), "port", (int)at.port));
	}
	return list;
}

static json_t *
store_json(struct journal *journal)
{
	struct journal_status status;

	if (journal == NULL)
		return json_pack("{s:s, s:s}", "kind", "memory", "state", "ok");
	journal_tell(journal, &status);
	return json_pack("{s:s, s:s, s:o, s:I, s:I, s:I, s:I}", "kind", "sqlite",
	    "state", status.failed ? "failed" : "ok", "error",
	    text_or_null(str_of(status.error)), "pending",
	    (json_int_t)status.pending, "commits", (json_int_t)status.commits,
	    "rows", (json_int_t)status.rows, "commit_us",
	    (json_int_t)status.commit_us);
}

static json_t *
counters_json(void)
{
	json_t *counters = json_object();

	for (int i = 0; i < COUNTS; i++)
		json_object_set_new(counters, count_rows[i].name,
		    json_integer(count_total((enum count)i)));
	return counters;
}

static void
run_status(struct call *call)
{
	const struct control_tools *tools = &call->control->tools;
	struct control_status status = { 0 };
	uint64_t aors, bindings;
	json_t *json = json_object();
	int64_t lag = 0;

	tools->status(tools->context, &status);
	location_count(tools->location, &aors, &bindings);
	json_object_set_new(json, "name", json_string("bindery"));
	json_object_set_new(json, "version", json_string(PACKAGE_VERSION));
	json_object_set_new(json, "pid", json_integer(getpid()));
	json_object_set_new(json, "uptime",
	    json_integer((clock_wall_ms() - status.started_at) / 1000));
	json_object_set_new(json, "config", json_pack("{s:s, s:i, s:I, s:o}",
	    "path", status.config_path, "generation", (int)status.generation,
	    "loaded_at", (json_int_t)(status.loaded_at / 1000), "last_error",
	    faults_json(status.last_error)));
	for (unsigned i = 0; i < tools->workers; i++)
		if (loop_lag(tools->loops[i]) > lag)
			lag = loop_lag(tools->loops[i]);
	json_object_set_new(json, "workers", json_integer(tools->workers));
	json_object_set_new(json, "lag_ms", json_integer(lag));
	json_object_set_new(json, "listeners",
	    listeners_json(tools, status.listeners));
	json_object_set_new(json, "registrations", json_pack("{s:I, s:I}", "aors",
	    (json_int_t)aors, "bindings", (json_int_t)bindings));
	json_object_set_new(json, "store", store_json(status.journal));
	json_object_set_new(json, "users", json_integer((json_int_t)status.users));
	json_object_set_new(json, "transactions", json_pack("{s:I, s:I}", "server",
	    (json_int_t)count_total(COUNT_transactions_server), "client",
	    (json_int_t)count_total(COUNT_transactions_client)));
	json_object_set_new(json, "connections", json_pack("{s:I, s:I}", "tcp",
	    (json_int_t)count_total(COUNT_connections_tcp), "tls",
	    (json_int_t)count_total(COUNT_connections_tls)));
	json_object_set_new(json, "counters", counters_json());
	reply(call, json);
}

static void
run_upstreams_list(struct call *call)
{
	/* no upstream can be configured in this version: there are none */
	reply(call, json_pack("{s:[]}", "upstreams"));
}

static void
run_config_reload(struct call *call)
{
	static const char *const known[] = { NULL };
	struct client *client = call->client;

	if (!check_params(call, known))
		return;
	if (client->waits_for_reload) {
		reply_error(call, RPC_FAILED, "a reload is under way");
		return;
	}
	client->waits_for_reload = true;
	client->reload = json_incref(call->id);
	client->later++;
	call->control->tools.reload(call->control->tools.context);
}

void
reply_reloaded(struct client *client, unsigned generation,
    const struct faults *faults)
{
	json_t *request = client->reload, *result;

	client->waits_for_reload = false;
	client->reload = NULL;
	if (faults == NULL || faults->count == 0)
		result = json_pack("{s:i}", "generation", (int)generation);
	else
		result = json_pack("{s:{s:i, s:s, s:o}}", "error", "code", RPC_FAILED,
		    "message", faults->list[0], "data", faults_json(faults));
	reply_later(client->control, client->id, request, result);
}

static void
run_log_level(struct call *call)
{
	static const char *const known[] = { "level", NULL };
	const char *text;
	enum log_level level;

	if (!check_params(call, known) || !read_text(call, "level", false, &text))
		return;
	if (text != NULL) {
		if (!log_level_of(str_of(text), &level)) {
			reply_error(call, RPC_PARAMS, "level: expected error, warning, "
			    "notice, info or debug, got \"%s\"", text);
			return;
		}
		log_set_level(level);
	}
	reply(call, json_pack("{s:s}", "level", log_level_name(log_get_level())));
}

static const char *const event_types[] = { "registered", "refreshed",
	"unregistered", "expired", "auth_failed", "upstream_state", "reloaded",
	"reload_failed", "limited", NULL };

static bool
is_event_type(const char *text)
{
	for (size_t i = 0; event_types[i] != NULL; i++)
		if (text != NULL && strcmp(text, event_types[i]) == 0)
			return true;
	return false;
}

static void
run_events_subscribe(struct call *call)
{
	static const char *const known[] = { "types", NULL };
	json_t *asked = json_object_get(call->params, "types");
	json_t *types = json_array(), *value;
	size_t i;

	if (!check_params(call, known)) {
		json_decref(types);
		return;
	}
	if (asked == NULL || json_is_null(asked))
		for (i = 0; event_types[i] != NULL; i++)
			json_array_append_new(types, json_string(event_types[i]));
	else if (!json_is_array(asked)) {
		json_decref(types);
		reply_error(call, RPC_PARAMS, "types: expected an array");
		return;
	}
	json_array_foreach(asked, i, value) {
		if (!is_event_type(json_string_value(value))) {
			json_decref(types);
			reply_error(call, RPC_PARAMS, "types[%zu]: expected one of "
			    "registered, refreshed, unregistered, expired, auth_failed, "
			    "upstream_state, reloaded, reload_failed, limited", i);
			return;
		}
		json_array_append(types, value);
	}
	if (call->client->types == NULL)
		atomic_fetch_add(&call->control->subscribers, 1);
	json_decref(call->client->types);
	call->client->types = types;
	reply(call, json_pack("{s:O}", "types", types));
}

static void
run_methods(struct call *call)
{
	json_t *list = json_array();

	for (const struct method *m = methods; m->name != NULL; m++)
		json_array_append_new(list, json_pack("{s:s, s:s}", "name", m->name,
		    "help", m->help));
	reply(call, list);
}

/* clang-format off */
const struct method methods[] = {
	{ "status",               "what the server is and does, with all counters", run_status },
	{ "registrations.list",   "addresses of record and their bindings, in pages", run_registrations_list },
	{ "registrations.get",    "the bindings of one address of record", run_registrations_get },
	{ "registrations.remove", "removes the bindings of an address of record, or one of them", run_registrations_remove },
	{ "users.list",           "the users of all directories, in pages", run_users_list },
	{ "users.get",            "one user", run_users_get },
	{ "connections.list",     "TCP and TLS connections, in pages", run_connections_list },
	{ "upstreams.list",       "registrations with other servers", run_upstreams_list },
	{ "config.reload",        "reads configuration, directories and certificates anew", run_config_reload },
	{ "log.level",            "sets or tells the log level", run_log_level },
	{ "events.subscribe",     "sends events from now on", run_events_subscribe },
	{ "methods",              "this list", run_methods },
	{ 0 }
};
/* clang-format on */

const struct method *
find_method(const char *name)
{
	for (const struct method *m = methods; m->name != NULL; m++)
		if (strcmp(m->name, name) == 0)
			return m;
	return NULL;
}
