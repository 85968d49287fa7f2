/* The registrar's answers. */
#include "config.h"

#include "registrar_priv.h"

#include <stdio.h>

#include "bindery/clock.h"
#include "bindery/count.h"

static struct out
begin(struct registration *r, unsigned status, const char *reason)
{
	struct registrar *registrar = r->registrar;
	struct out out = out_to(registrar->answer, sizeof registrar->answer);
	char tag[SIP_TAG_SIZE];

	tx_tag(r->match, tag);
	sip_begin_reply(&out, r->m, status, reason,
	    (struct str){ tag, sizeof tag }, &r->hop->peer);
	return out;
}

/*
 * Before the password was right an answer is stateless: who asks again is
 * answered again (RFC 3261 8.2.7). After that it stays with a transaction.
 */
void
answer_send(struct registration *r, unsigned status, struct str answer)
{
	struct registrar_tools *tools = &r->registrar->tools;
	struct hop back = *r->hop;

	if (answer.n == 0)
		return;
	if (!back.transport->reliable)
		back.peer.port = sip_reply_port(r->m, &back.peer);
	count(answers);
	if (r->proven && tx_answer(tools->transactions, r->m, r->match, &back,
	                     status, answer))
		return;
	if (r->proven)
		net_tell_limit(tools->net, r->hop, "transactions",
		    COUNT_limit_transactions);
	net_send(tools->net, &back, answer);
}

static void
finish(struct registration *r, unsigned status, struct out *out)
{
	sip_end(out, STR_NONE);
	answer_send(r, status, out->full ? STR_NONE : out_str(out));
}

void
answer_fault(struct registration *r)
{
	struct out out = begin(r, r->fault.status, r->fault.reason);

	if (r->fault.status == 400)
		count(refused_bad_request);
	if (r->fault.status == 423) {
		out_lit(&out, "Min-Expires: ");
		out_u64(&out, r->min_expires);
		out_lit(&out, "\r\n");
	}
	if (r->fault.status == 420 || r->fault.status == 439)
		out_add(&out, registrar_supported());
	if (r->unsupported.n > 0) {
		out_lit(&out, "Unsupported: ");
		out_add(&out, r->unsupported);
		out_lit(&out, "\r\n");
	}
	if (r->fault.status == 503) {
		out_lit(&out, "Retry-After: ");
		out_u64(&out, 5 + r->match->key.b % 26); /* not all at once */
		out_lit(&out, "\r\n");
	}
	finish(r, r->fault.status, &out);
}

void
answer_challenge(struct registration *r)
{
	struct out out = begin(r, 401, sip_reason(401));

	auth_challenge(r->registrar->tools.auth, &r->realm, &out,
	    STR("WWW-Authenticate"), r->stale, r->now);
	finish(r, 401, &out);
}

static void
put_contact(struct registration *r, struct out *out,
    const struct binding *binding)
{
	struct str params = binding_text(binding, BINDING_PARAMS);

	out_lit(out, "Contact: <");
	out_add(out, binding_text(binding, BINDING_URI));
	out_char(out, '>');
	if (params.n > 0) {
		out_char(out, ';');
		out_add(out, params);
	}
	out_lit(out, ";expires=");
	out_u64(out, binding_expires_in(binding, r->now));
	gruu_put(r, out, binding);
	out_lit(out, "\r\n");
}

static void
put_date(struct registrar *registrar, struct out *out)
{
	int64_t wall = clock_wall_ms();

	if (wall / 1000 != registrar->date_at) {
		registrar->date_at = wall / 1000;
		clock_date(wall, registrar->date);
	}
	out_lit(out, "Date: ");
	out_add(out, str_of(registrar->date));
	out_lit(out, "\r\n");
}

struct str
answer_write(struct registration *r, const struct location_hold *hold)
{
	struct out out = begin(r, 200, sip_reason(200));

	r->head = out_size(&out);
	for (const struct binding *b = hold->first; b != NULL; b = b->next)
		put_contact(r, &out, b);
	put_date(r->registrar, &out);
	out_add(&out, registrar_supported());
	extensions_answer(r, &out);
	out_add(&out, r->domain->service_route);
	sip_end(&out, STR_NONE);
	return out.full ? STR_NONE : out_str(&out);
}
