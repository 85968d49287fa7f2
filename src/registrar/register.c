/*
 * A REGISTER from its arrival to its answer: check -> credentials -> own ->
 * contacts -> apply -> answer. Each step either passes or sets a fault.
 */
#include "config.h"

#include "registrar_priv.h"

#include <stdio.h>
#include <stdlib.h>

#include "bindery/alloc.h"
#include "bindery/aor.h"
#include "bindery/count.h"
#include "bindery/log.h"
#include "bindery/rand.h"

struct registrar *
registrar_new(const struct registrar_tools *tools)
{
	struct registrar *registrar = xcalloc(1, sizeof *registrar);

	registrar->tools = *tools;
	registrar->waiting_tail = &registrar->waiting;
	registrar->gruus = gruu_maker_new();
	registrar->last_epoch = (uint32_t)random_u64();
	return registrar;
}

void
registrar_free(struct registrar *registrar)
{
	if (registrar == NULL)
		return;
	waiting_free(registrar);
	gruu_maker_free(registrar->gruus);
	free(registrar);
}

void
registrar_configure(struct registrar *registrar,
    const struct registrar_conf *conf)
{
	registrar->conf = conf;
}

void
registrar_use_journal(struct registrar *registrar, struct journal *journal)
{
	registrar->journal = journal;
}

const char *
registrar_event_name(enum registrar_event event)
{
	static const char *const names[] = {
		[REGISTRAR_REGISTERED] = "registered",
		[REGISTRAR_REFRESHED] = "refreshed",
		[REGISTRAR_UNREGISTERED] = "unregistered",
		[REGISTRAR_EXPIRED] = "expired",
		[REGISTRAR_AUTH_FAILED] = "auth_failed",
	};

	return names[event];
}

static bool
refuse(struct registration *r, unsigned status, const char *reason)
{
	if (r->fault.status == 0) {
		r->fault.status = status;
		snprintf(r->fault.reason, sizeof r->fault.reason, "%s", reason);
	}
	return false;
}

static void
tell(struct registration *r, enum registrar_event event, struct str uri,
    struct str reason, uint32_t expires)
{
	struct registrar_news news = { event, r->aor, uri, reason, r->hop,
		expires };

	r->registrar->tools.news(r->registrar->tools.context, &news);
}

/* ---- check ---- */

static bool
find_domain(struct registration *r)
{
	struct registrar *registrar = r->registrar;
	struct str host = r->m->uri.host;

	if (r->m->uri.scheme == SCHEME_OTHER)
		return refuse(r, 416, sip_reason(416));
	if (r->m->to.uri.scheme == SCHEME_OTHER)
		return refuse(r, 400, "Bad To");
	if (host.n > sizeof r->host_text)
		return refuse(r, 400, "Bad Request-URI");
	str_lower(r->host_text, host);
	r->host = (struct str){ r->host_text, host.n };
	r->domain = registrar->tools.domain_of(registrar->tools.context, r->host);
	if (r->domain == NULL)
		return refuse(r, 403, "Domain Not Served Here");
	r->realm = r->domain->auth;
	r->realm.realm = r->domain->realm.p != NULL ? r->domain->realm : r->host;
	return true;
}

static bool
check_requirements(struct registration *r)
{
	const struct sip_line *line = sip_first(r->m, HEADER_REQUIRE);
	struct out out = out_to(r->unsupported_text, sizeof r->unsupported_text);

	for (; line != NULL; line = sip_next(r->m, line)) {
		struct str rest = line->value, option;

		while (sip_next_value(&rest, &option))
			if (option.n > 0 && !registrar_supports(option)) {
				if (out_size(&out) > 0)
					out_lit(&out, ", ");
				out_add(&out, option);
			}
	}
	r->unsupported = out_str(&out);
	if (r->unsupported.n > 0)
		return refuse(r, 420, sip_reason(420));
	extensions_check(r);
	return r->fault.status == 0;
}

/* ---- credentials ---- */

enum { CREDENTIALS_MAX = 4 }; /* lines looked at, as each costs a hash */

static const struct user *
find_user(const struct registration *r, struct str username)
{
	const struct registrar_domain *domain = r->domain;
	const struct user *user;

	if (!str_eq(domain->name, STR("*")))
		return directory_find(domain->directory, username, domain->name);
	user = directory_find(domain->directory, username, r->host);
	return user != NULL ? user
	                    : directory_find(domain->directory, username, STR("*"));
}

static enum auth_verdict
judge(struct registration *r, struct sip_credentials *credentials)
{
	struct registrar_tools *tools = &r->registrar->tools;
	const struct sip_line *line = sip_first(r->m, HEADER_AUTHORIZATION);
	enum auth_verdict verdict = AUTH_NONE;

	for (int i = 0; line != NULL && i < CREDENTIALS_MAX;
	     i++, line = sip_next(r->m, line)) {
		if (!sip_read_credentials(tools->parser, line, credentials) ||
		    !str_eq(credentials->realm, r->realm.realm))
			continue;
		r->user = find_user(r, credentials->username);
		verdict = auth_check(tools->auth, &r->realm, r->m->method_name,
		    credentials, r->user, r->now);
		if (verdict == AUTH_RIGHT)
			break;
	}
	return verdict;
}

/* The URI in the credentials must be for the domain that is asked. */
static bool
is_for_us(struct registration *r, const struct sip_credentials *credentials)
{
	struct registrar_tools *tools = &r->registrar->tools;
	struct sip_uri uri;
	char lower[256];

	if (str_eq(credentials->uri, r->m->uri_text))
		return true;
	if (!sip_read_uri(tools->parser, credentials->uri, &uri) ||
	    uri.host.n > sizeof lower)
		return false;
	str_lower(lower, uri.host);
	return tools->domain_of(tools->context,
	           (struct str){ lower, uri.host.n }) == r->domain;
}

static void
tell_failure(struct registration *r, const char *why,
    const struct sip_credentials *credentials)
{
	char address[ADDR_HOST_SIZE];

	log_event(LOG_NOTICE, "security", why,
	    LOG_S("user", credentials->username), LOG_S("realm", r->realm.realm),
	    LOG_Z("address", addr_bare_host(&r->hop->peer, address)),
	    LOG_I("port", r->hop->peer.port),
	    LOG_Z("transport", r->hop->transport->name));
	if (r->aor.n == 0)
		r->aor = credentials->username;
	tell(r, REGISTRAR_AUTH_FAILED, STR_NONE, str_of(why), 0);
	r->aor = STR_NONE;
}

/* True if the password was right; else the request has been answered. */
static bool
check_credentials(struct registration *r)
{
	struct sip_credentials credentials = { 0 };
	char address[ADDR_HOST_SIZE];

	switch (judge(r, &credentials)) {
	case AUTH_RIGHT:
		count(auth_ok);
		r->proven = true;
		if (is_for_us(r, &credentials))
			return true;
		refuse(r, 400, "Bad Authorization uri");
		answer_fault(r);
		return false;
	case AUTH_BAD:
		refuse(r, 400, "Bad Authorization");
		answer_fault(r);
		return false;
	case AUTH_NONE:
		if (r->registrar->tools.is_late(r->registrar->tools.context, r->hop)) {
			count(refused_late);
			refuse(r, 503, sip_reason(503));
			answer_fault(r);
			return false;
		}
		count(auth_challenged);
		log_event(LOG_DEBUG, "security", "challenged",
		    LOG_Z("address", addr_bare_host(&r->hop->peer, address)));
		break;
	case AUTH_STALE:
		count(auth_stale);
		r->stale = true;
		log_event(LOG_DEBUG, "security", "stale",
		    LOG_S("user", credentials.username),
		    LOG_Z("address", addr_bare_host(&r->hop->peer, address)));
		break;
	case AUTH_REPLAYED:
		count(auth_replayed);
		tell_failure(r, "replayed_nonce_count", &credentials);
		break;
	case AUTH_FOREIGN:
		count(auth_bad_credentials);
		/* a connection cannot be forged; a datagram's source can */
		if (r->hop->transport->reliable)
			tell_failure(r, "foreign_nonce", &credentials);
		break;
	case AUTH_WRONG:
		if (r->user == NULL) {
			count(auth_unknown_user);
			tell_failure(r, "unknown_user", &credentials);
		} else {
			count(auth_bad_credentials);
			tell_failure(r, r->user->enabled ? "bad_credentials"
			                                 : "disabled_user",
			    &credentials);
		}
		break;
	}
	answer_challenge(r);
	return false;
}

/* ---- whose AOR ---- */

static bool
check_aor(struct registration *r)
{
	struct registrar_tools *tools = &r->registrar->tools;
	const struct sip_uri *to = &r->m->to.uri;
	struct out out = out_to(r->aor_text, sizeof r->aor_text);
	struct str name = r->domain->name, host;
	char lower[256];

	if (to->host.n > sizeof lower)
		return refuse(r, 404, sip_reason(404));
	str_lower(lower, to->host);
	host = (struct str){ lower, to->host.n };
	if (!str_eq(host, r->host) &&
	    tools->domain_of(tools->context, host) != r->domain)
		return refuse(r, 404, sip_reason(404));
	if (str_eq(name, STR("*")))
		name = host;
	aor_write(&out, to->user, name);
	if (out.full)
		return refuse(r, 400, "Bad To");
	r->aor = out_str(&out);
	if (user_owns(r->user, r->aor)) {
		r->aor = r->user->aor; /* an alias leads to the same bindings */
		return true;
	}
	if (str_eq(r->user->domain, STR("*")) &&
	    str_eq(to->user, r->user->username))
		return true;
	count(auth_forbidden);
	log_event(LOG_NOTICE, "security", "forbidden",
	    LOG_S("user", r->user->aor), LOG_S("aor", r->aor));
	return refuse(r, 403, sip_reason(403));
}

/* ---- contacts ---- */

static bool
read_contacts(struct registration *r)
{
	struct registrar *registrar = r->registrar;

	return sip_read_contacts(registrar->tools.parser, r->m,
	    &registrar->contacts, &r->fault);
}

/* ---- apply ---- */

static bool
is_reachable(void *context, const struct binding *binding)
{
	return location_is_reachable(context, binding);
}

/* The Contact's parameters without those that are ours to set. */
static struct str
kept_params(struct out *out, struct str params)
{
	static const char *const ours[] = { "expires", "pub-gruu", "temp-gruu",
		"temp-gruu-cookie" };
	char *start = out->at;
	struct str rest = params, before = params, name, value;

	for (; sip_next_param(&rest, &name, &value); before = rest) {
		bool keep = true;

		for (size_t i = 0; i < sizeof ours / sizeof *ours; i++)
			if (str_caseeq(name, str_of(ours[i])))
				keep = false;
		if (!keep)
			continue;
		if (out->at > start)
			out_char(out, ';');
		out_add(out, str_trim((struct str){ before.p,
		                 str_find(before, ';') < before.n && rest.p != NULL
		                     ? (size_t)(rest.p - before.p) - 1
		                     : before.n }));
	}
	return (struct str){ start, (size_t)(out->at - start) };
}

/* An instance keeps its epoch as long as it keeps its Call-ID (RFC 5627 5.4). */
static uint32_t
gruu_epoch(struct registration *r, const struct location_hold *hold,
    struct str instance)
{
	if (instance.n == 0)
		return 0;
	for (const struct binding *b = hold->first; b != NULL; b = b->next)
		if (str_eq(binding_text(b, BINDING_INSTANCE), instance) &&
		    str_eq(binding_text(b, BINDING_CALL_ID), r->m->call_id))
			return b->gruu_epoch;
	return ++r->registrar->last_epoch;
}

static struct binding_data
binding_data(struct registration *r, const struct location_hold *hold,
    const struct apply_step *step, struct out *texts)
{
	const struct sip_contact *c =
	    &r->registrar->contacts.list[step->contact];
	const struct sip_line *agent = sip_first(r->m, HEADER_USER_AGENT);
	struct binding_data data = {
		.hop = *r->hop,
		.expires_at = r->now + (int64_t)step->expires * 1000,
		.cseq = r->m->cseq,
		.q = c->q,
		.gruu_epoch = gruu_epoch(r, hold, c->instance),
	};

	if (!r->ignore_reg_ids && c->instance.n > 0)
		data.reg_id = c->reg_id;
	data.text[BINDING_URI] = c->address.uri_text;
	data.text[BINDING_PARAMS] = c->has_ours
	    ? kept_params(texts, c->address.params)
	    : c->address.params;
	data.text[BINDING_CALL_ID] = r->m->call_id;
	data.text[BINDING_INSTANCE] = c->instance;
	data.text[BINDING_PATH] = r->path;
	if (agent != NULL)
		data.text[BINDING_USER_AGENT] = agent->value;
	if (data.text[BINDING_USER_AGENT].n > 256)
		data.text[BINDING_USER_AGENT].n = 256;
	return data;
}

static void
tell_change(struct registration *r, const struct binding *binding,
    enum registrar_event event)
{
	struct str uri = binding_text(binding, BINDING_URI);
	uint32_t expires = binding_expires_in(binding, r->now);
	char address[ADDR_SIZE];

	log_event(event == REGISTRAR_REFRESHED ? LOG_DEBUG : LOG_INFO, "registrar",
	    registrar_event_name(event), LOG_S("aor", r->aor),
	    LOG_S("contact", uri), LOG_Z("transport", r->hop->transport->name),
	    LOG_Z("peer", addr_text(&r->hop->peer, address)),
	    LOG_I("expires", expires));
	tell(r, event, uri, STR_NONE, expires);
}

static void
carry_out(struct registration *r, struct location_hold *hold)
{
	struct registrar *registrar = r->registrar;
	struct apply_plan *plan = &registrar->plan;
	struct out texts = out_to(registrar->texts, sizeof registrar->texts);

	for (size_t i = 0; i < plan->count; i++) {
		struct apply_step *step = &plan->steps[i];

		if (step->action == APPLY_DROP) {
			if (step->evicted)
				count(bindings_replaced);
			else
				count(bindings_removed);
			tell_change(r, step->old, REGISTRAR_UNREGISTERED);
			location_drop(hold, step->old);
		} else {
			struct binding_data data = binding_data(r, hold, step, &texts);
			bool is_new = step->old == NULL;
			struct binding *binding = location_put(hold, step->old, &data);

			if (is_new)
				count(bindings_added);
			else
				count(bindings_refreshed);
			tell_change(r, binding, is_new ? REGISTRAR_REGISTERED
			                               : REGISTRAR_REFRESHED);
		}
	}
}

static void
drop_expired(struct registration *r, struct location_hold *hold)
{
	struct binding *next;

	for (struct binding *b = hold->first; b != NULL; b = next) {
		next = b->next;
		if (binding_expires_at(b) <= r->now) {
			count(bindings_expired);
			tell_change(r, b, REGISTRAR_EXPIRED);
			location_drop(hold, b);
		}
	}
}

/* What is told of a binding besides its texts. */
static size_t
frame_size(const struct registration *r, struct str instance)
{
	return 40 + (r->wants_gruu && instance.n > 0
	        ? 2 * r->aor.n + 3 * instance.n + 128 : 0);
}

static size_t
size_of(const struct registration *r, const struct binding *b)
{
	size_t n = frame_size(r, binding_text(b, BINDING_INSTANCE));

	for (int i = 0; i < BINDING_TEXTS; i++)
		n += b->size[i];
	return n;
}

static size_t
asked_size(const struct registration *r, const struct sip_contact *c)
{
	const struct sip_line *agent = sip_first(r->m, HEADER_USER_AGENT);

	return c->address.uri_text.n + c->address.params.n + c->instance.n +
	    r->path.n + r->m->call_id.n + frame_size(r, c->instance) +
	    (agent == NULL ? 0 : agent->value.n < 256 ? agent->value.n : 256);
}

/* Everything that an AOR will hold must fit into one answer, if it grows. */
static bool
fits(const struct registration *r, const struct location_hold *hold)
{
	const struct apply_plan *plan = &r->registrar->plan;
	size_t n = 0, before;

	for (const struct binding *b = hold->first; b != NULL; b = b->next)
		n += size_of(r, b);
	before = n;
	for (size_t i = 0; i < plan->count; i++) {
		const struct apply_step *step = &plan->steps[i];

		if (step->old != NULL)
			n -= size_of(r, step->old);
		if (step->action == APPLY_PUT)
			n += asked_size(r,
			    &r->registrar->contacts.list[step->contact]);
	}
	return n <= AOR_TEXTS_MAX || n <= before;
}

static bool
apply(struct registration *r, struct location_hold *hold)
{
	struct registrar *registrar = r->registrar;
	const struct registrar_conf *conf = registrar->conf;
	struct apply_request request = { .contacts = &registrar->contacts,
		.call_id = r->m->call_id, .cseq = r->m->cseq,
		.ignore_reg_ids = r->ignore_reg_ids, .now = r->now };
	struct apply_policy policy = { (uint32_t)conf->min_expires,
		(uint32_t)conf->default_expires, (uint32_t)conf->max_expires,
		r->user->max_contacts != 0 ? r->user->max_contacts
		                           : (uint32_t)conf->max_contacts,
		(uint32_t)conf->expires_spread,
		conf->expires_spread > 0 ? (uint32_t)random_u64() : 0 };

	drop_expired(r, hold);
	request.has_expires = sip_read_expires(r->m, &request.expires);
	registrar_apply(registrar->tools.parser, hold->first, &request, &policy,
	    is_reachable, registrar->tools.location, &registrar->plan);
	r->fault = registrar->plan.fault;
	if (r->fault.status == 0 && !fits(r, hold)) {
		refuse(r, 403, "Contacts Too Large");
		registrar->plan.count = 0;
	}
	r->min_expires = policy.min_expires;
	if (r->fault.status == 0)
		carry_out(r, hold);
	return r->fault.status == 0;
}

static void
update(struct registration *r)
{
	struct journal *journal = r->registrar->journal;
	struct location_hold hold;
	struct str answer = STR_NONE;
	journal_ticket ticket = 0;

	location_hold(r->registrar->tools.location, r->aor, r->now, &hold);
	if (apply(r, &hold))
		answer = answer_write(r, &hold);
	if (journal != NULL && r->registrar->plan.count > 0)
		ticket = journal_latest(journal);
	location_release(&hold);
	if (r->fault.status == 403) {
		count(limit_max_contacts);
		net_tell_limit(r->registrar->tools.net, r->hop, "max_contacts",
		    COUNT_limit_max_contacts);
	}
	if (r->fault.status != 0)
		answer_fault(r);
	else if (ticket > 0 && journal_waits(journal) &&
	    !journal_has_failed(journal))
		answer_wait(r, answer, ticket);
	else
		answer_send(r, 200, answer);
}

void
registrar_receive(struct registrar *registrar, const struct sip_message *m,
    const struct hop *hop, const struct tx_match *match, int64_t now)
{
	struct registration r;

	memset(&r, 0, offsetof(struct registration, host_text));
	r.path = STR_NONE;
	r.fault.status = 0;
	r.registrar = registrar;
	r.m = m;
	r.hop = hop;
	r.match = match;
	r.now = now;
	if (!find_domain(&r) || !check_requirements(&r)) {
		answer_fault(&r);
		return;
	}
	if (!check_credentials(&r))
		return;
	net_flow_prove(registrar->tools.net, hop->flow, r.user->aor);
	/* nobody reads the contacts of who proved nothing */
	if (read_contacts(&r))
		extensions_check_contacts(&r, &registrar->contacts);
	if (registrar->conf->refuse_on_failure &&
	    registrar->journal != NULL &&
	    journal_has_failed(registrar->journal))
		refuse(&r, 503, "Store Failed");
	if (r.fault.status != 0 || !check_aor(&r))
		answer_fault(&r);
	else
		update(&r);
}
