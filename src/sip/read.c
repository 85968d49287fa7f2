/* Typed reads of header values: lists, parameters, addresses, contacts, credentials. */
#include "config.h"

#include "sip_priv.h"

/* Where the quoted string that begins at `from` closes; or the length. */
static size_t
find_close(struct str text, size_t from)
{
	size_t at = from + 1;

	for (;; at++) {
		size_t before;

		at += str_find(str_from(text, at), '"');
		if (at >= text.n)
			return text.n;
		for (before = at; text.p[before - 1] == '\\';)
			before--;
		if ((at - before) % 2 == 0) /* else this one is escaped */
			return at;
	}
}

/* The first of `c` outside quotes; the length if there is none. */
static size_t
find_unquoted(struct str text, char c)
{
	for (size_t at = 0; at < text.n; at++) {
		if (text.p[at] == c)
			return at;
		if (text.p[at] == '"')
			at = find_close(text, at);
	}
	return text.n;
}

/* In one pass, whatever is in it: this is reached before anybody proved much. */
bool
sip_next_value(struct str *rest, struct str *value)
{
	struct str text = *rest;
	size_t at = 0;

	if (text.n == 0)
		return false;
	if (memchr(text.p, ',', text.n) == NULL) { /* as nearly all are */
		*value = str_trim(text);
		*rest = STR_NONE;
		return true;
	}
	/* a comma within < > is part of a URI */
	for (; at < text.n && text.p[at] != ','; at++) {
		if (text.p[at] == '"')
			at = find_close(text, at);
		else if (text.p[at] == '<')
			at += str_find(str_from(text, at), '>');
	}
	if (at > text.n)
		at = text.n;
	*value = str_trim((struct str){ text.p, at });
	*rest = str_from(text, at + 1);
	return true;
}

/* A quoted string that ends where the text ends. */
static bool
is_quoted(struct str text)
{
	return text.n > 1 && text.p[0] == '"' && find_close(text, 0) == text.n - 1;
}

bool
sip_next_param(struct str *rest, struct str *name, struct str *value)
{
	const char *p = rest->p, *end, *start;

	if (rest->n == 0)
		return false;
	end = p + rest->n;
	while (p < end && str_is_blank(*p))
		p++;
	start = p;
	p = sip_skip(p, end, CHAR_TOKEN);
	*name = (struct str){ start, (size_t)(p - start) };
	*value = STR_NONE;
	while (p < end && str_is_blank(*p))
		p++;
	if (p < end && *p == '=') {
		for (p++; p < end && str_is_blank(*p);)
			p++;
		start = p;
		if (p < end && *p == '"') {
			p += find_close((struct str){ p, (size_t)(end - p) }, 0);
			if (p++ == end)
				return false;
		} else {
			p = sip_skip(p, end, CHAR_VALUE);
		}
		*value = (struct str){ start, (size_t)(p - start) };
		if (value->n == 0)
			return false;
		while (p < end && str_is_blank(*p))
			p++;
	}
	if (name->n == 0 || (p < end && *p != ';'))
		return false; /* *rest stays: that is how the caller can tell */
	*rest = p < end ? (struct str){ p + 1, (size_t)(end - p - 1) } : STR_NONE;
	return true;
}

bool
sip_param(struct str params, struct str name, struct str *value)
{
	struct str found;

	while (sip_next_param(&params, &found, value))
		if (str_caseeq(found, name))
			return true;
	return false;
}

struct str
sip_unquoted(struct str text)
{
	return text.n >= 2 && text.p[0] == '"'
	    ? (struct str){ text.p + 1, text.n - 2 }
	    : text;
}

/* ---- addresses ---- */

/* A quoted string, or tokens with blanks between them, or nothing. */
static bool
is_display(struct str text)
{
	if (text.n > 0 && text.p[0] == '"')
		return is_quoted(text);
	for (size_t i = 0; i < text.n; i++) {
		unsigned char c = (unsigned char)text.p[i];

		/* RFC 4475 lets UTF-8 pass; blanks part the tokens */
		if (c < 0x80 && c != ' ' && c != '\t' && c != '\r' && c != '\n' &&
		    !sip_is_token((struct str){ &text.p[i], 1 }))
			return false;
	}
	return true;
}

/* ";a=1;b" without the first semicolon, and not ending in one. */
static bool
cut_params(struct str text, struct str *params)
{
	*params = STR_NONE;
	if (text.n == 0)
		return true;
	*params = str_trim(str_from(text, 1));
	return text.p[0] == ';' && params->n > 0 &&
	    params->p[params->n - 1] != ';';
}

bool
sip_cut_address(struct sip_parser *parser, struct str value,
    struct sip_address *address)
{
	size_t open = find_unquoted(value, '<'), close;
	struct str after;

	*address = (struct sip_address){ 0 };
	if (open < value.n) { /* name-addr */
		address->display = str_trim((struct str){ value.p, open });
		close = open + str_find(str_from(value, open), '>');
		if (close >= value.n || !is_display(address->display))
			return false;
		address->uri_text = (struct str){ value.p + open + 1,
			close - open - 1 };
		after = str_trim(str_from(value, close + 1));
	} else { /* addr-spec: ; begins the header's parameters, ? is not allowed */
		size_t end = str_find(value, ';');

		address->uri_text = str_trim((struct str){ value.p, end });
		after = str_from(value, end);
		if (str_find(address->uri_text, '?') < address->uri_text.n ||
		    str_find(address->uri_text, ',') < address->uri_text.n)
			return false;
	}
	return sip_read_uri(parser, address->uri_text, &address->uri) &&
	    cut_params(after, &address->params);
}

bool
sip_read_address(struct sip_parser *parser, struct str value,
    struct sip_address *address)
{
	struct str rest, name, text;

	if (!sip_cut_address(parser, value, address))
		return false;
	for (rest = address->params; sip_next_param(&rest, &name, &text);)
		;
	return rest.n == 0;
}

/* ---- option tags ---- */

bool
sip_has_option(const struct sip_message *m, enum sip_header header,
    struct str tag)
{
	const struct sip_line *line = sip_first(m, header);

	for (; line != NULL; line = sip_next(m, line)) {
		struct str rest = line->value, value;

		while (sip_next_value(&rest, &value))
			if (str_caseeq(value, tag))
				return true;
	}
	return false;
}

/* ---- contacts ---- */

enum { MALFORMED_EXPIRES = 3600, URI_PARAMS_MAX = 32 };

/* Digits beyond 32 bits are the greatest value; anything else is none. */
static bool
read_seconds(struct str text, uint32_t *seconds)
{
	uint64_t number = UINT64_MAX;

	for (size_t i = 0; i < text.n; i++)
		if (text.p[i] < '0' || text.p[i] > '9')
			return false;
	if (text.n == 0)
		return false;
	if (!str_u64(text, &number) || number > UINT32_MAX)
		number = UINT32_MAX;
	*seconds = (uint32_t)number;
	return true;
}

bool
sip_read_expires(const struct sip_message *m, uint32_t *seconds)
{
	const struct sip_line *line = sip_first(m, HEADER_EXPIRES);

	if (line == NULL)
		return false;
	if (!read_seconds(line->value, seconds))
		*seconds = MALFORMED_EXPIRES;
	return true;
}

/* qvalue = "0" ["." 0*3DIGIT] / "1" ["." 0*3("0")] */
static bool
read_q(struct str text, uint16_t *q)
{
	unsigned value, scale = 100;

	if (text.n == 0 || text.n > 5 || (text.p[0] != '0' && text.p[0] != '1') ||
	    (text.n > 1 && text.p[1] != '.'))
		return false;
	value = (unsigned)(text.p[0] - '0') * 1000;
	for (size_t i = 2; i < text.n; i++, scale /= 10) {
		if (text.p[i] < '0' || text.p[i] > '9')
			return false;
		value += (unsigned)(text.p[i] - '0') * scale;
	}
	*q = (uint16_t)value;
	return value <= 1000;
}

/* Comparing URIs takes a look at each parameter of one for each of the other. */
static bool
has_many(struct str text, char separator)
{
	size_t n = 0;

	while (text.n > 0 && n <= URI_PARAMS_MAX) {
		str_cut(&text, separator);
		n++;
	}
	return n > URI_PARAMS_MAX;
}

static bool
read_contact(struct sip_parser *parser, struct str value,
    struct sip_contact *contact, struct sip_fault *why)
{
	struct str params, name, text;

	*contact = (struct sip_contact){ .q = 1000 };
	if (!sip_cut_address(parser, value, &contact->address)) {
		sip_fail(why, 400, "Bad Contact");
		return false;
	}
	if (has_many(contact->address.uri.params, ';')) {
		sip_fail(why, 400, "Bad Contact: Too Many URI Parameters");
		return false;
	}
	params = contact->address.params;
	while (sip_next_param(&params, &name, &text)) {
		if (str_caseeq(name, STR("expires"))) {
			contact->has_ours = true;
			contact->has_expires = true;
			if (!read_seconds(text, &contact->expires))
				contact->expires = MALFORMED_EXPIRES;
		} else if (str_caseeq(name, STR("q"))) {
			contact->has_q = true;
			if (!read_q(text, &contact->q))
				sip_fail(why, 400, "Bad Contact q");
		} else if (str_caseeq(name, STR("+sip.instance"))) {
			contact->instance = sip_unquoted(text);
			if (contact->instance.n == 0)
				sip_fail(why, 400, "Bad Contact +sip.instance");
		} else if (str_caseeq(name, STR("pub-gruu")) ||
		    str_caseeq(name, STR("temp-gruu")) ||
		    str_caseeq(name, STR("temp-gruu-cookie"))) {
			contact->has_ours = true;
		} else if (str_caseeq(name, STR("reg-id"))) {
			if (!str_u32(text, &contact->reg_id) ||
			    contact->reg_id == 0 || contact->reg_id >> 31 != 0)
				sip_fail(why, 400, "Bad Contact reg-id");
		}
	}
	if (params.n > 0)
		sip_fail(why, 400, "Bad Contact");
	return why->status == 0;
}

bool
sip_read_contacts(struct sip_parser *parser, const struct sip_message *m,
    struct sip_contacts *contacts, struct sip_fault *why)
{
	const struct sip_line *line = sip_first(m, HEADER_CONTACT);
	bool star = false;

	contacts->count = 0;
	why->status = 0;
	for (; line != NULL; line = sip_next(m, line)) {
		struct str rest = line->value, value;

		if (rest.n == 0)
			sip_fail(why, 400, "Bad Contact");
		while (sip_next_value(&rest, &value)) {
			if (str_eq(value, STR("*"))) {
				if (star)
					sip_fail(why, 400, "Bad Contact");
				star = true;
			} else if (contacts->count == SIP_CONTACTS_MAX) {
				sip_fail(why, 400, "Too Many Contacts");
			} else if (read_contact(parser, value,
			               &contacts->list[contacts->count], why)) {
				contacts->count++;
			}
			if (why->status != 0)
				return false;
		}
		if (line->value.n > 0 && line->value.p[line->value.n - 1] == ',')
			sip_fail(why, 400, "Bad Contact");
	}
	contacts->star = star;
	return why->status == 0;
}

/* ---- credentials ---- */

/* Undoes \x in place; the text lies in the parser's own copy. */
static struct str
unescape(char *text)
{
	char *to = text, *from = text;

	if (*from == '"') {
		for (from++; *from != '\0' && *from != '"'; from++) {
			if (*from == '\\' && from[1] != '\0')
				from++;
			*to++ = *from;
		}
		return (struct str){ text, (size_t)(to - text) };
	}
	return str_of(text);
}

struct str *
sip_credentials_field(struct sip_credentials *c, struct str name)
{
	static const struct {
		struct str name;
		size_t offset;
	} fields[] = {
#define FIELD(name) { { #name, sizeof #name - 1 }, \
	offsetof(struct sip_credentials, name) }
		FIELD(username), FIELD(realm), FIELD(nonce), FIELD(uri),
		FIELD(response), FIELD(algorithm), FIELD(cnonce), FIELD(opaque),
		FIELD(qop), FIELD(nc),
#undef FIELD
	};

	for (size_t i = 0; i < sizeof fields / sizeof *fields; i++)
		if (name.n == fields[i].name.n &&
		    ascii_lower(*name.p) == *fields[i].name.p &&
		    str_caseeq(name, fields[i].name))
			return (struct str *)(void *)((char *)c + fields[i].offset);
	return NULL;
}

bool
sip_read_credentials(struct sip_parser *parser, const struct sip_line *line,
    struct sip_credentials *c)
{
	char *copy, **params;
	struct str scheme;

	if (plain_credentials(line->value, c))
		return true;
	*c = (struct sip_credentials){ 0 };
	copy = sip_copy(parser, line->value);
	if (copy == NULL)
		return false;
	params = grammar_credentials(parser->grammar, copy, line->value.n, &scheme);
	if (params == NULL || !str_caseeq(scheme, STR("Digest")))
		return false;
	for (; *params != NULL; params++) {
		char *equals = strchr(*params, '=');
		struct str name, *field;

		if (equals == NULL)
			return false;
		name = str_trim((struct str){ *params, (size_t)(equals - *params) });
		for (equals++; *equals == ' ' || *equals == '\t';)
			equals++;
		field = sip_credentials_field(c, name);
		if (field != NULL && field->p != NULL)
			return false; /* said twice */
		if (field != NULL)
			*field = unescape(equals);
		else if (str_caseeq(name, STR("userhash")))
			c->username_hashed = str_caseeq(str_of(equals), STR("true"));
	}
	return true;
}
