/* One message: what every element must understand of it, and what is wrong. */
#include "config.h"

#include "sip_priv.h"

#include <stdlib.h>

#include "bindery/alloc.h"

struct sip_parser *
sip_parser_new(void)
{
	struct sip_parser *parser = xcalloc(1, sizeof *parser);

	parser->grammar = xcalloc(1, grammar_size());
	return parser;
}

void
sip_parser_free(struct sip_parser *parser)
{
	if (parser == NULL)
		return;
	grammar_reset(parser->grammar);
	free(parser->grammar);
	free(parser);
}

char *
sip_copy(struct sip_parser *parser, struct str text)
{
	char *copy = parser->scratch_at;

	if ((size_t)(parser->scratch + SCRATCH - copy) <= text.n)
		return NULL;
	if (text.n > 0)
		memcpy(copy, text.p, text.n);
	copy[text.n] = '\0';
	for (char *p = copy; (p = memchr(p, '\n', (size_t)(copy + text.n - p)));)
		p[-1] = p[0] = ' '; /* a fold is one blank, RFC 3261 7.3.1 */
	for (char *p = copy; (p = memchr(p, '\0', (size_t)(copy + text.n - p)));)
		*p = ' ';
	parser->scratch_at = copy + text.n + 1;
	return copy;
}

/* ---- the start line ---- */

static bool
is_version(struct str text)
{
	return str_caseeq(text, STR("SIP/2.0"));
}

static bool
looks_like_version(struct str text)
{
	return text.n >= 7 && str_caseeq((struct str){ text.p, 4 }, STR("SIP/"));
}

static void
read_status_line(struct sip_message *m)
{
	struct str rest = m->start;
	struct str version = str_cut(&rest, ' ');
	struct str code = str_cut(&rest, ' ');
	uint32_t status;

	m->is_request = false;
	if (!is_version(version) || code.n != 3 || !str_u32(code, &status) ||
	    status < 100 || status > 699)
		sip_fail(&m->fault, 400, "Bad Status Line");
	else
		m->status = status;
}

static void
read_request_line(struct sip_parser *parser, struct sip_message *m)
{
	struct str rest = m->start, uri, version;

	m->is_request = true;
	m->method_name = str_cut(&rest, ' ');
	m->method = sip_method_of(m->method_name);
	if (!sip_is_token(m->method_name)) {
		sip_fail(&m->fault, 400, "Bad Request Line");
		return;
	}
	uri = str_cut(&rest, ' ');
	version = rest;
	if (!is_version(version)) {
		if (looks_like_version(version) && str_find(version, ' ') == version.n)
			sip_fail(&m->fault, 505, "%s", sip_reason(505));
		else
			sip_fail(&m->fault, 400, "Bad Request Line");
	}
	m->uri_text = uri;
	if (!sip_read_uri(parser, uri, &m->uri))
		sip_fail(&m->fault, 400, "Bad Request-URI");
	else if (m->uri.headers.n > 0)
		sip_fail(&m->fault, 400, "Headers in Request-URI");
}

/* ---- headers that every message has ---- */

static bool
read_via(struct sip_parser *parser, struct sip_message *m)
{
	const struct sip_line *line = sip_first(m, HEADER_VIA);
	struct grammar_via via;
	struct str rest, value, name, text;
	char *copy;

	if (line == NULL)
		return false;
	rest = line->value;
	m->answerable = looks_like_version(rest);
	if (!sip_next_value(&rest, &value))
		return false;
	m->via.after = rest;
	if (plain_via(value, &m->via))
		return true;
	m->via = (struct sip_via){ 0 };
	copy = sip_copy(parser, value);
	if (copy == NULL ||
	    !grammar_via(parser->grammar, copy, value.n, &via) ||
	    !str_starts(via.protocol, STR("SIP/2.0/")) || !sip_is_host(via.host))
		return false;
	m->via = (struct sip_via){ .protocol = via.protocol,
		.transport = str_from(via.protocol, 8), .host = via.host,
		.branch = via.branch, .has_rport = via.has_rport, .after = rest };
	/* what cannot be walked through could not be written again */
	for (rest = str_from(value, str_find(value, ';') + 1);
	     sip_next_param(&rest, &name, &text);)
		;
	return rest.n == 0 &&
	    (via.port.p == NULL || sip_read_port(via.port, &m->via.port)) &&
	    sip_is_token(m->via.transport);
}

static bool
read_party(struct sip_parser *parser, const struct sip_message *m,
    enum sip_header header, struct sip_address *address, struct str *tag)
{
	const struct sip_line *line = sip_first(m, header);
	struct str params, name, value;

	*tag = STR_NONE;
	if (line == NULL || !sip_cut_address(parser, line->value, address))
		return false;
	for (params = address->params; sip_next_param(&params, &name, &value);)
		if (str_caseeq(name, STR("tag"))) {
			if (tag->p != NULL || !sip_is_token(value))
				return false;
			*tag = value;
		}
	return params.n == 0;
}

/* Call-ID is word ["@" word]: any of these characters will do. */
static bool
is_call_id(struct str text)
{
	return sip_is_all(text, CHAR_CALL_ID);
}

static bool
read_cseq(struct sip_message *m)
{
	const struct sip_line *line = sip_first(m, HEADER_CSEQ);
	size_t digits = 0;

	if (line == NULL)
		return false;
	while (digits < line->value.n && line->value.p[digits] >= '0' &&
	    line->value.p[digits] <= '9')
		digits++;
	m->cseq_method_name = str_trim(str_from(line->value, digits));
	m->cseq_method = sip_method_of(m->cseq_method_name);
	return str_u32((struct str){ line->value.p, digits }, &m->cseq) &&
	    m->cseq < UINT32_C(1) << 31 && digits < line->value.n &&
	    m->cseq_method_name.p > line->value.p + digits &&
	    sip_is_token(m->cseq_method_name);
}

static bool
read_max_forwards(struct sip_message *m)
{
	const struct sip_line *line = sip_first(m, HEADER_MAX_FORWARDS);

	m->max_forwards = SIP_NO_MAX_FORWARDS;
	return line == NULL ||
	    (str_u32(line->value, &m->max_forwards) && m->max_forwards <= 255);
}

/* The body ends where Content-Length says; what is behind it is not ours. */
static bool
read_length(struct sip_message *m)
{
	const struct sip_line *line = sip_first(m, HEADER_CONTENT_LENGTH);
	uint32_t length;

	if (line == NULL)
		return true;
	if (!str_u32(line->value, &length) || length > m->body.n)
		return false;
	m->body.n = length;
	return true;
}

/* A header that is needed or, if it is there, must be right. */
static void
must(struct sip_message *m, bool right, enum sip_header header)
{
	if (right)
		return;
	sip_fail(&m->fault, 400, m->first[header] != 0 ? "Bad %s" : "Missing %s",
	    sip_long_name(header));
}

struct sip_message *
sip_parser_read(struct sip_parser *parser, struct str bytes)
{
	struct sip_message *m = &parser->message;
	const struct sip_line *call_id;

	grammar_reset(parser->grammar);
	parser->scratch_at = parser->scratch;
	memset(m, 0, offsetof(struct sip_message, lines));
	m->fault.status = 0;
	if (bytes.n > MESSAGE_MAX) {
		bytes.n = MESSAGE_MAX;
		sip_fail(&m->fault, 513, "%s", sip_reason(513));
	}
	sip_scan(m, bytes);

	if (looks_like_version(m->start))
		read_status_line(m);
	else
		read_request_line(parser, m);
	must(m, read_via(parser, m), HEADER_VIA);
	if (m->fault.status != 0 && !m->answerable)
		return m;
	must(m, read_cseq(m), HEADER_CSEQ);
	call_id = sip_first(m, HEADER_CALL_ID);
	m->call_id = call_id != NULL ? call_id->value : STR_NONE;
	must(m, is_call_id(m->call_id), HEADER_CALL_ID);
	must(m, read_party(parser, m, HEADER_FROM, &m->from, &m->from_tag),
	    HEADER_FROM);
	must(m, read_party(parser, m, HEADER_TO, &m->to, &m->to_tag), HEADER_TO);
	must(m, read_max_forwards(m), HEADER_MAX_FORWARDS);
	must(m, read_length(m), HEADER_CONTENT_LENGTH);
	if (m->is_request && m->fault.status == 0 &&
	    !str_eq(m->method_name, m->cseq_method_name))
		sip_fail(&m->fault, 400, "CSeq Method Mismatch");
	return m;
}

const struct sip_line *
sip_first(const struct sip_message *m, enum sip_header header)
{
	return m->first[header] != 0 ? &m->lines[m->first[header] - 1] : NULL;
}

const struct sip_line *
sip_next(const struct sip_message *m, const struct sip_line *line)
{
	const struct sip_line *end = m->lines + m->line_count;

	for (const struct sip_line *l = line + 1; l < end; l++)
		if (l->header == line->header)
			return l;
	return NULL;
}
