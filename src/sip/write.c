/* Answers as text: raw lines copied, little added. */
#include "config.h"

#include "sip_priv.h"

/* The end of a first Via: where it came from, and what else its line has. */
static void
put_received(struct out *out, const struct addr *peer, struct str rest)
{
	char host[ADDR_HOST_SIZE];

	if (peer != NULL) {
		out_lit(out, ";received=");
		out_add(out, str_of(addr_bare_host(peer, host)));
	}
	if (rest.n > 0) {
		out_lit(out, ", ");
		out_add(out, str_trim(rest));
	}
	out_lit(out, "\r\n");
}

static void
put_first_via(struct out *out, const struct sip_message *m,
    const struct addr *peer)
{
	const struct sip_line *line = sip_first(m, HEADER_VIA);
	const struct sip_via *via = &m->via;
	struct str value, rest = line->value, params, name, text;
	struct addr sent_by;
	bool foreign;

	if (!sip_next_value(&rest, &value) || via->transport.n == 0) {
		out_add(out, line->raw); /* too broken to be touched */
		return;
	}
	out_lit(out, "Via: ");
	if (via->rport.p != NULL) { /* raw but for this one parameter */
		out_bytes(out, value.p, (size_t)(via->rport.p - value.p));
		out_lit(out, "rport=");
		out_u64(out, peer->port);
		out_add(out, (struct str){ via->rport.p + via->rport.n,
		                 (size_t)(value.p + value.n - via->rport.p -
		                     via->rport.n) });
		put_received(out, peer, rest);
		return;
	}
	foreign = !addr_parse(via->host, 0, &sent_by) ||
	    !addr_same_host(&sent_by, peer);
	out_add(out, via->protocol);
	out_char(out, ' ');
	out_add(out, via->host);
	if (via->port != 0) {
		out_char(out, ':');
		out_u64(out, via->port);
	}
	params = str_from(value, str_find(value, ';') + 1);
	while (sip_next_param(&params, &name, &text)) {
		/* what they say of our view is ours to say */
		if (str_caseeq(name, STR("received")))
			continue;
		if (str_caseeq(name, STR("rport"))) {
			out_lit(out, ";rport=");
			out_u64(out, peer->port);
			continue;
		}
		out_char(out, ';');
		out_add(out, name);
		if (text.p != NULL) {
			out_char(out, '=');
			out_add(out, text);
		}
	}
	put_received(out, foreign || via->has_rport ? peer : NULL, rest);
}

static void
put_raw(struct out *out, const struct sip_message *m, enum sip_header header)
{
	const struct sip_line *line = sip_first(m, header);

	if (line != NULL)
		out_add(out, line->raw);
}

static void
put_to(struct out *out, const struct sip_message *m, struct str tag)
{
	const struct sip_line *line = sip_first(m, HEADER_TO);

	if (line == NULL)
		return;
	if (m->to_tag.p != NULL || tag.n == 0) {
		out_add(out, line->raw);
		return;
	}
	out_bytes(out, line->raw.p,
	    (size_t)(line->value.p + line->value.n - line->raw.p));
	out_lit(out, ";tag=");
	out_add(out, tag);
	out_lit(out, "\r\n");
}

void
sip_begin_reply(struct out *out, const struct sip_message *m, unsigned status,
    const char *reason, struct str to_tag, const struct addr *peer)
{
	const struct sip_line *via = sip_first(m, HEADER_VIA);

	out_lit(out, "SIP/2.0 ");
	out_u64(out, status);
	out_char(out, ' ');
	out_add(out, str_of(reason));
	out_lit(out, "\r\n");
	if (via != NULL) {
		put_first_via(out, m, peer);
		while ((via = sip_next(m, via)) != NULL)
			out_add(out, via->raw);
	}
	put_raw(out, m, HEADER_FROM);
	put_to(out, m, to_tag);
	put_raw(out, m, HEADER_CALL_ID);
	put_raw(out, m, HEADER_CSEQ);
}

void
sip_end(struct out *out, struct str body)
{
	out_lit(out, "Content-Length: ");
	out_u64(out, body.n);
	out_lit(out, "\r\n\r\n");
	out_add(out, body);
}

void
sip_write_ack(struct out *out, const struct sip_message *invite,
    const struct sip_message *response)
{
	const struct sip_line *via = sip_first(invite, HEADER_VIA);
	const struct sip_line *route = sip_first(invite, HEADER_ROUTE);
	struct str rest = via != NULL ? via->value : STR_NONE, value;

	out_lit(out, "ACK ");
	out_add(out, invite->uri_text);
	out_lit(out, " SIP/2.0\r\n");
	if (sip_next_value(&rest, &value)) {
		out_lit(out, "Via: ");
		out_add(out, value);
		out_lit(out, "\r\n");
	}
	out_lit(out, "Max-Forwards: 70\r\n");
	for (; route != NULL; route = sip_next(invite, route))
		out_add(out, route->raw);
	put_raw(out, invite, HEADER_FROM);
	put_raw(out, response, HEADER_TO);
	put_raw(out, invite, HEADER_CALL_ID);
	out_lit(out, "CSeq: ");
	out_u64(out, invite->cseq);
	out_lit(out, " ACK\r\n");
	sip_end(out, STR_NONE);
}

uint16_t
sip_reply_port(const struct sip_message *request, const struct addr *peer)
{
	if (request->via.has_rport || request->via.transport.n == 0)
		return peer->port;
	return request->via.port != 0 ? (uint16_t)request->via.port : 5060;
}

void
sip_stateless_tag(const struct sip_message *m, const struct hash_key *key,
    char tag[SIP_TAG_SIZE])
{
	/* fixed parts of a request: the same when it is sent again */
	const struct str parts[] = { m->call_id, m->from_tag, m->via.branch,
		m->via.host };
	char text[512];
	struct out out = out_to(text, sizeof text);
	uint64_t hash = m->cseq;

	for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
		out_bytes(&out, parts[i].p, parts[i].n < 120 ? parts[i].n : 120);
	hash += hash64(key, text, out_size(&out));
	out = out_to(tag, SIP_TAG_SIZE);
	out_hex(&out, hash, SIP_TAG_SIZE);
}
