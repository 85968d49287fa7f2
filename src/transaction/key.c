/* What makes two requests the same one (RFC 3261 17.2.3, 8.2.2.2). */
#include "config.h"

#include "key.h"

#define COOKIE STR("z9hG4bK")


/* Lengths part the fields, so that none can pass for two. */
static void
add(struct out *out, struct str field)
{
	uint32_t n = (uint32_t)field.n;

	out_bytes(out, &n, sizeof n);
	out_add(out, field);
}

/*
 * The material is hashed in one go. What is too long for it is replaced by
 * its own hash, so that no field is ever cut.
 */
static struct hash128
finish(const struct hash_key *key, struct out *out, const struct str *fields,
    size_t n, char kind)
{
	out_char(out, kind);
	for (size_t i = 0; i < n; i++) {
		struct str field = fields[i];
		struct hash128 hash;

		if (field.n > 256) {
			hash = hash128(key, field.p, field.n);
			field = (struct str){ (const char *)&hash, sizeof hash };
		}
		add(out, field);
	}
	return hash128(key, out->start, out_size(out));
}

bool
tx_has_cookie(struct str branch)
{
	return branch.n > COOKIE.n && str_starts(branch, COOKIE);
}

void
tx_keys(const struct sip_message *m, const struct hash_key *key,
    struct tx_match *match)
{
	char text[2048], host[256], number[16];
	struct out out = out_to(text, sizeof text), digits;
	struct str sent_by = m->via.host;

	digits = out_to(number, sizeof number);
	out_u64(&digits, m->cseq);
	if (sent_by.n > sizeof host)
		sent_by.n = sizeof host;
	str_lower(host, sent_by);
	sent_by.p = host;
	if (tx_has_cookie(m->via.branch)) {
		uint32_t port = m->via.port;
		const struct str fields[] = { m->via.branch, sent_by,
			{ (const char *)&port, sizeof port } };

		match->key = finish(key, &out, fields, 3, 'b');
	} else { /* RFC 2543: Request-URI, From tag, Call-ID, CSeq, top Via */
		const struct str fields[] = { m->uri_text, m->from_tag, m->call_id,
			out_str(&digits), sent_by, m->via.branch };

		match->key = finish(key, &out, fields, 6, 'o');
	}
	if (m->to_tag.p == NULL) {
		const struct str fields[] = { m->from_tag, m->call_id,
			out_str(&digits) };

		out = out_to(text, sizeof text);
		match->merge = finish(key, &out, fields, 3, 'm');
		match->merge.a |= 1; /* 0 says that there is none */
	} else {
		match->merge = (struct hash128){ 0, 0 };
	}
}
