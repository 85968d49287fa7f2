/* The composition root: the one file that knows every room and wires it. */
#include "config.h"

#include "worker.h"

#include <stdlib.h>

#include "bindery/alloc.h"
#include "bindery/count.h"

enum { EXPIRY_MS = 50, EXPIRY_BATCH = 256 };

static void
publish_news(void *context, const struct registrar_news *news)
{
	struct worker *worker = context;
	char address[ADDR_SIZE] = "";

	if (!control_has_listeners(worker->daemon->control))
		return;
	if (news->hop != NULL)
		addr_text(&news->hop->peer, address);
	control_publish(worker->daemon->control,
	    registrar_event_name(news->event),
	    (const struct log_field[]){ LOG_S("aor", news->aor),
	        LOG_S("uri", news->uri), LOG_S("reason", news->reason),
	        LOG_Z("address", address),
	        LOG_Z("transport",
	            news->hop != NULL ? news->hop->transport->name : ""),
	        LOG_I("expires", news->expires), { 0 } });
}

static void
on_expired(void *context, struct str aor, const struct binding *binding)
{
	struct str uri = binding_text(binding, BINDING_URI);
	struct hop hop = binding_hop(binding);
	struct registrar_news news = { REGISTRAR_EXPIRED, aor, uri, STR_NONE, &hop,
		0 };

	count(bindings_expired);
	log_event(LOG_INFO, "registrar", "expired", LOG_S("aor", aor),
	    LOG_S("contact", uri));
	publish_news(context, &news);
}

/* Each worker looks after its share of the shards. */
static void
expire(void *argument)
{
	struct worker *worker = argument;
	struct daemon *daemon = worker->daemon;
	bool more = false;

	for (unsigned i = worker->index; i < LOCATION_SHARDS; i += daemon->workers)
		more |= location_expire(daemon->location, i,
		    loop_now(worker->loop), EXPIRY_BATCH, on_expired, worker);
	timer_set(worker->loop, &worker->expiry, more ? 1 : EXPIRY_MS);
}

static bool
send_message(void *context, const struct hop *hop, struct str bytes)
{
	struct worker *worker = context;

	return net_send(worker->net, hop, bytes);
}

static void
on_closed(void *context, flow_id flow)
{
	struct worker *worker = context;

	tx_flow_closed(worker->transactions, flow);
}

static void
on_limited(void *context, const char *limit, const struct addr *peer,
    const struct transport *transport)
{
	struct worker *worker = context;
	char address[ADDR_SIZE];

	control_publish(worker->daemon->control, "limited",
	    (const struct log_field[]){ LOG_Z("reason", limit),
	        LOG_Z("address", addr_text(peer, address)),
	        LOG_Z("transport", transport->name), { 0 } });
}

static const struct registrar_domain *
domain_of(void *context, struct str host)
{
	struct worker *worker = context;

	return generation_domain(worker->generation, host);
}

static bool
is_late(void *context, const struct hop *hop)
{
	struct worker *worker = context;
	int64_t most = worker->generation->conf.limits.queue_seconds * 1000;
	int64_t come = net_late_since(worker->net, hop->flow);
	int64_t wait = registrar_waits_since(worker->registrar);
	int64_t now = loop_now(worker->loop);

	return (come != 0 && now - come >= most) ||
	    (wait != 0 && now - wait > most);
}

static int64_t
share_of(int64_t all, unsigned workers)
{
	return (all + workers - 1) / workers;
}

void
worker_use(struct worker *worker, struct generation *generation)
{
	struct generation *before = worker->generation;
	const struct conf *conf = &generation->conf;

	worker->generation = generation_ref(generation);
	net_configure(worker->net, &conf->limits);
	registrar_configure(worker->registrar, &conf->registrar);
	tx_table_limit(worker->transactions,
	    share_of(conf->transactions, worker->daemon->workers));
	generation_unref(before);
}

struct worker *
worker_new(struct daemon *daemon, unsigned index)
{
	struct worker *worker = xcalloc(1, sizeof *worker);
	const struct conf *conf = &daemon->generation->conf;
	struct net_handler handler = { worker, dispatch_message, dispatch_broken,
		on_closed, on_limited };
	struct registrar_tools tools = { .context = worker,
		.location = daemon->location, .domain_of = domain_of,
		.is_late = is_late, .news = publish_news };

	worker->index = index;
	worker->daemon = daemon;
	worker->loop = loop_new(index, worker);
	if (worker->loop == NULL) {
		free(worker);
		return NULL;
	}
	tools.net = worker->net =
	    net_new(daemon->shared, worker->loop, &conf->limits, &handler);
	tools.parser = worker->parser = sip_parser_new();
	tools.transactions = worker->transactions = tx_table_new(worker->loop,
	    &daemon->key, send_message, worker, conf->transactions);
	tools.auth = worker->auth = auth_new(daemon->auth);
	worker->registrar = registrar_new(&tools);
	worker_use(worker, daemon->generation);
	timer_init(&worker->expiry, expire, worker);
	timer_set(worker->loop, &worker->expiry, EXPIRY_MS);
	return worker;
}

void
worker_free(struct worker *worker)
{
	if (worker == NULL)
		return;
	timer_cancel(worker->loop, &worker->expiry);
	registrar_free(worker->registrar);
	net_free(worker->net);
	tx_table_free(worker->transactions);
	loop_free(worker->loop);
	auth_free(worker->auth);
	sip_parser_free(worker->parser);
	generation_unref(worker->generation);
	free(worker);
}
