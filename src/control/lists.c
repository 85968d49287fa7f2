/* Registrations, users and connections: in pages, never built whole. */
#include "config.h"

#include "control_priv.h"

#include <stdlib.h>

#include "bindery/alloc.h"
#include "bindery/clock.h"
#include "bindery/count.h"
#include "bindery/sip.h"

static int64_t
wall_seconds(int64_t mono_ms)
{
	return (clock_wall_ms() - (clock_mono_ms() - mono_ms)) / 1000;
}

/* ---- registrations ---- */

static json_t *
path_json(struct str path)
{
	json_t *list = json_array();
	struct str value;

	while (sip_next_value(&path, &value))
		json_array_append_new(list, text_json(value));
	return list;
}

static json_t *
binding_json(const struct control *control, const struct binding *b)
{
	char address[ADDR_SIZE];
	struct hop hop = binding_hop(b);
	json_t *json = json_object();

	json_object_set_new(json, "uri", text_json(binding_text(b, BINDING_URI)));
	json_object_set_new(json, "expires",
	    json_integer(binding_expires_in(b, clock_mono_ms())));
	json_object_set_new(json, "q", json_real(b->q / 1000.0));
	json_object_set_new(json, "call_id",
	    text_json(binding_text(b, BINDING_CALL_ID)));
	json_object_set_new(json, "cseq", json_integer(b->cseq));
	json_object_set_new(json, "instance",
	    text_or_null(binding_text(b, BINDING_INSTANCE)));
	json_object_set_new(json, "reg_id",
	    b->reg_id != 0 ? json_integer(b->reg_id) : json_null());
	json_object_set_new(json, "path", path_json(binding_text(b, BINDING_PATH)));
	json_object_set_new(json, "received",
	    json_string(addr_text(&hop.peer, address)));
	json_object_set_new(json, "transport",
	    json_string(hop.transport->name));
	json_object_set_new(json, "user_agent",
	    text_or_null(binding_text(b, BINDING_USER_AGENT)));
	json_object_set_new(json, "params",
	    text_json(binding_text(b, BINDING_PARAMS)));
	json_object_set_new(json, "since", json_integer(wall_seconds(b->since)));
	json_object_set_new(json, "refreshed",
	    json_integer(wall_seconds(b->refreshed)));
	json_object_set_new(json, "reachable",
	    json_boolean(location_is_reachable(control->tools.location, b)));
	return json;
}

static json_t *
bindings_json(const struct control *control, const struct binding *b)
{
	int64_t now = clock_mono_ms();
	json_t *list = json_array();

	for (; b != NULL; b = b->next)
		if (binding_expires_at(b) > now)
			json_array_append_new(list, binding_json(control, b));
	return list;
}

struct show {
	const struct control *control;
	struct str domain; /* p NULL: all */
	json_t *list;
};

static struct str
domain_of(struct str aor)
{
	size_t at = aor.n;

	while (at > 0 && aor.p[at - 1] != '@')
		at--;
	return str_from(aor, at);
}

static void
show_aor(void *context, struct str aor, const struct binding *first)
{
	struct show *show = context;
	json_t *json;

	if (show->domain.p != NULL && !str_caseeq(domain_of(aor), show->domain))
		return;
	json = json_object();
	json_object_set_new(json, "aor", aor_json(aor));
	json_object_set_new(json, "bindings", bindings_json(show->control, first));
	json_array_append_new(show->list, json);
}

/* An alias leads to the bindings of its user. */
static struct str
canonical_aor(struct call *call, const char *text)
{
	const struct control_tools *tools = &call->control->tools;
	struct str aor = aor_of(text);
	const struct user *user = tools->user(tools->context, aor);

	return user != NULL && user_owns(user, aor) ? user->aor : aor;
}

static void
show_one(struct call *call, struct show *show, const char *text)
{
	struct str aor = canonical_aor(call, text);
	struct location_hold hold;

	location_hold(call->control->tools.location, aor, clock_mono_ms(), &hold);
	if (hold.count > 0)
		show_aor(show, aor, hold.first);
	location_release(&hold);
}

void
run_registrations_list(struct call *call)
{
	static const char *const known[] = { "limit", "cursor", "aor", "domain",
		NULL };
	struct show show = { call->control, STR_NONE, NULL };
	const char *aor, *domain;
	uint64_t cursor;
	size_t limit;
	bool more = false;

	if (!check_params(call, known) || !read_limit(call, &limit) ||
	    !read_cursor(call, &cursor, 1) || !read_text(call, "aor", false, &aor) ||
	    !read_text(call, "domain", false, &domain))
		return;
	show.domain = str_of(domain);
	show.list = json_array();
	if (aor != NULL)
		show_one(call, &show, aor);
	else
		more = location_list(call->control->tools.location, &cursor, limit,
		    show_aor, &show);
	reply(call, json_pack("{s:o, s:o}", "registrations", show.list, "cursor",
	    more ? cursor_of(&cursor, 1) : json_null()));
}

void
run_registrations_get(struct call *call)
{
	static const char *const known[] = { "aor", NULL };
	const char *text;
	struct location_hold hold;
	struct str aor;
	json_t *bindings;

	if (!check_params(call, known) || !read_text(call, "aor", true, &text))
		return;
	aor = canonical_aor(call, text);
	location_hold(call->control->tools.location, aor, clock_mono_ms(), &hold);
	bindings = bindings_json(call->control, hold.first);
	location_release(&hold);
	reply(call, json_pack("{s:o, s:o}", "aor", aor_json(aor), "bindings",
	    bindings));
}

void
run_registrations_remove(struct call *call)
{
	static const char *const known[] = { "aor", "uri", NULL };
	const char *text, *uri;
	struct location_hold hold;
	struct str aor;
	struct binding *next;
	json_int_t removed = 0;

	if (!check_params(call, known) || !read_text(call, "aor", true, &text) ||
	    !read_text(call, "uri", false, &uri))
		return;
	aor = canonical_aor(call, text);
	location_hold(call->control->tools.location, aor, clock_mono_ms(), &hold);
	for (struct binding *b = hold.first; b != NULL; b = next) {
		next = b->next;
		if (uri != NULL &&
		    !str_eq(binding_text(b, BINDING_URI), str_of(uri)))
			continue;
		control_publish(call->control, "unregistered",
		    (const struct log_field[]){ LOG_S("aor", aor),
		        LOG_S("uri", binding_text(b, BINDING_URI)),
		        LOG_Z("reason", "removed by an operator"), { 0 } });
		location_drop(&hold, b);
		count(bindings_removed);
		removed++;
	}
	location_release(&hold);
	reply(call, json_pack("{s:I}", "removed", removed));
}

/* ---- users ---- */

static json_t *
user_json(struct call *call, const struct user *user)
{
	json_t *aliases = json_array(), *algorithms = json_array();
	json_t *json = json_object();
	struct location_hold hold;
	size_t bindings;

	for (size_t i = 0; i < user->alias_count; i++)
		json_array_append_new(aliases, aor_json(user->aliases[i]));
	for (int i = 0; i < DIGEST_ALGORITHMS; i++)
		if ((user->has_ha1 >> i & 1) != 0)
			json_array_append_new(algorithms,
			    json_string(digest_name((enum digest_algorithm)i)));
	location_hold(call->control->tools.location, user->aor, clock_mono_ms(),
	    &hold);
	bindings = hold.count;
	location_release(&hold);
	json_object_set_new(json, "aor", aor_json(user->aor));
	json_object_set_new(json, "username", text_json(user->username));
	json_object_set_new(json, "domain", text_json(user->domain));
	json_object_set_new(json, "aliases", aliases);
	json_object_set_new(json, "enabled", json_boolean(user->enabled));
	json_object_set_new(json, "max_contacts", user->max_contacts != 0
	        ? json_integer(user->max_contacts)
	        : json_null());
	json_object_set_new(json, "algorithms", algorithms);
	json_object_set_new(json, "bindings", json_integer((json_int_t)bindings));
	return json;
}

void
run_users_list(struct call *call)
{
	static const char *const known[] = { "limit", "cursor", NULL };
	const struct control_tools *tools = &call->control->tools;
	const struct user *user = NULL;
	json_t *list;
	uint64_t at;
	size_t limit;

	if (!check_params(call, known) || !read_limit(call, &limit) ||
	    !read_cursor(call, &at, 1))
		return;
	list = json_array();
	while (json_array_size(list) < limit &&
	    (user = tools->user_at(tools->context, at)) != NULL) {
		json_array_append_new(list, user_json(call, user));
		at++;
	}
	user = tools->user_at(tools->context, at);
	reply(call, json_pack("{s:o, s:o}", "users", list, "cursor",
	    user != NULL ? cursor_of(&at, 1) : json_null()));
}

void
run_users_get(struct call *call)
{
	static const char *const known[] = { "aor", NULL };
	const struct control_tools *tools = &call->control->tools;
	const struct user *user;
	const char *aor;

	if (!check_params(call, known) || !read_text(call, "aor", true, &aor))
		return;
	user = tools->user(tools->context, aor_of(aor));
	if (user == NULL)
		reply_error(call, RPC_FAILED, "there is no user %s", aor);
	else
		reply(call, user_json(call, user));
}

/* ---- connections: asked of one worker after the other ---- */

struct page {
	struct letter letter;
	struct control *control;
	slot_id client;
	json_t *request; /* its id */
	json_t *list;
	size_t limit;
	uint64_t at[2]; /* worker, slot */
};

static json_t *
tls_json(const struct connection_info *info)
{
	if (info->tls_version == NULL)
		return json_null();
	return json_pack("{s:s, s:s, s:o}", "version", info->tls_version, "cipher",
	    info->tls_cipher, "peer", text_or_null(str_of(info->tls_peer)));
}

static bool
add_connection(void *context, const struct connection_info *info)
{
	struct page *page = context;
	char remote[ADDR_SIZE], local[ADDR_SIZE], id[24];
	json_t *aors, *json;
	struct out out = out_to(id, sizeof id);

	if (json_array_size(page->list) == page->limit)
		return false;
	aors = json_array();
	for (size_t i = 0; i < info->aor_count; i++)
		json_array_append_new(aors, aor_json(str_of(info->aors[i])));
	out_hex(&out, info->id, 16);
	json = json_object();
	json_object_set_new(json, "id", text_json(out_str(&out)));
	json_object_set_new(json, "transport", json_string(info->transport->name));
	json_object_set_new(json, "remote",
	    json_string(addr_text(&info->peer, remote)));
	json_object_set_new(json, "local",
	    json_string(addr_text(&info->local, local)));
	json_object_set_new(json, "since",
	    json_integer(wall_seconds(info->since_ms)));
	json_object_set_new(json, "tls", tls_json(info));
	json_object_set_new(json, "aors", aors);
	json_array_append_new(page->list, json);
	return true;
}

static void
discard_page(struct letter *letter)
{
	struct page *page = (struct page *)letter;

	json_decref(page->request);
	json_decref(page->list);
	free(page);
}

static void
finish_page(struct letter *letter, void *owner)
{
	struct page *page = (struct page *)letter;
	bool more = page->at[0] < page->control->tools.workers;
	json_t *result = json_pack("{s:o, s:o}", "connections", page->list,
	    "cursor", more ? cursor_of(page->at, 2) : json_null());

	(void)owner;
	reply_later(page->control, page->client, page->request, result);
	free(page);
}

/* On the thread of the worker that is asked. */
static void
fill_page(struct letter *letter, void *owner)
{
	struct page *page = (struct page *)letter;
	const struct control_tools *tools = &page->control->tools;
	uint32_t slot = (uint32_t)page->at[1];
	bool more = net_each_connection(tools->nets[page->at[0]], &slot,
	    add_connection, page);

	(void)owner;
	page->at[1] = more ? slot : 0;
	if (!more)
		page->at[0]++;
	if (more || page->at[0] >= tools->workers) {
		page->letter.deliver = finish_page;
		loop_post(tools->loops[0], &page->letter);
	} else {
		loop_post(tools->loops[page->at[0]], &page->letter);
	}
}

void
run_connections_list(struct call *call)
{
	static const char *const known[] = { "limit", "cursor", NULL };
	const struct control_tools *tools = &call->control->tools;
	struct page *page;
	uint64_t at[2];
	size_t limit;

	if (!check_params(call, known) || !read_limit(call, &limit) ||
	    !read_cursor(call, at, 2))
		return;
	if (at[0] >= tools->workers || at[1] > UINT32_MAX) {
		reply_error(call, RPC_PARAMS,
		    "cursor: expected what the page before gave");
		return;
	}
	page = xcalloc(1, sizeof *page);
	page->letter.deliver = fill_page;
	page->letter.discard = discard_page;
	page->control = call->control;
	page->client = call->client->id;
	page->request = json_incref(call->id);
	page->list = json_array();
	page->limit = limit;
	page->at[0] = at[0];
	page->at[1] = at[1];
	call->client->later++;
	loop_post(tools->loops[at[0]], &page->letter);
}
