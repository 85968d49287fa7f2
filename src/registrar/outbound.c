/* Outbound, the registrar's side (RFC 5626 section 6). */
#include "config.h"

#include "registrar_priv.h"

#include <stdio.h>

static bool
is_first_hop(const struct sip_message *m)
{
	const struct sip_line *via = sip_first(m, HEADER_VIA);

	return via != NULL && m->via.after.n == 0 && sip_next(m, via) == NULL;
}

static bool
path_has_ob(struct registration *r)
{
	struct str rest = r->path, value, text;

	while (sip_next_value(&rest, &value)) {
		struct sip_address address;

		if (sip_read_address(r->registrar->tools.parser, value, &address) &&
		    sip_param(address.uri.params, STR("ob"), &text))
			return true;
	}
	return false;
}

void
outbound_check_contacts(struct registration *r,
    const struct sip_contacts *contacts)
{
	uint32_t header = 1;
	size_t lasting = 0;
	bool has_reg_id = false;

	sip_read_expires(r->m, &header);
	for (size_t i = 0; i < contacts->count; i++) {
		const struct sip_contact *c = &contacts->list[i];

		if (c->reg_id != 0 && c->instance.n > 0)
			has_reg_id = true;
		if ((c->has_expires ? c->expires : header) > 0)
			lasting++;
	}
	if (!has_reg_id)
		return;
	r->has_outbound = sip_has_option(r->m, HEADER_SUPPORTED, STR("outbound"));
	if (!is_first_hop(r->m) && !path_has_ob(r)) {
		r->ignore_reg_ids = true;
		if (r->has_outbound) {
			r->fault.status = 439;
			snprintf(r->fault.reason, sizeof r->fault.reason, "%s",
			    sip_reason(439));
		}
	} else if (lasting > 1) {
		r->fault.status = 400;
		snprintf(r->fault.reason, sizeof r->fault.reason,
		    "Bad Contact: Several With reg-id");
	} else {
		r->outbound_used = lasting > 0;
	}
}

void
outbound_answer(struct registration *r, struct out *out)
{
	int64_t flow_timer = r->registrar->conf->flow_timer;

	if (!r->outbound_used || !r->has_outbound)
		return;
	out_lit(out, "Require: outbound\r\n");
	if (flow_timer > 0 && is_first_hop(r->m)) {
		out_lit(out, "Flow-Timer: ");
		out_u64(out, (uint64_t)flow_timer);
		out_lit(out, "\r\n");
	}
}
