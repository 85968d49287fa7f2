/*
 * Short cuts for Via, URIs and credentials in their plain form, which is
 * nearly all of them: cut at their delimiters, checked by character, nothing
 * copied. t/unit/sip_plain.c holds them against Sofia.
 */
#include "config.h"

#include "sip_priv.h"

/* Host and port up to `end`, or to a semicolon, where *at is then. */
static bool
cut_host(const char **at, const char *end, struct str *host, uint32_t *port)
{
	const char *start = *at, *p = sip_skip(start, end, CHAR_HOST);
	const char *digits;

	*host = (struct str){ start, (size_t)(p - start) };
	*port = 0;
	if (host->n == 0 || host->n > 255 || *start == '.' || *start == '-')
		return false;
	if (p < end && *p == ':') {
		for (digits = ++p; p < end && *p >= '0' && *p <= '9' &&
		     *port <= 65535; p++)
			*port = *port * 10 + (uint32_t)(*p - '0');
		if (p == digits || *port == 0 || *port > 65535)
			return false;
	}
	*at = p;
	return p == end || *p == ';';
}

/* No escapes, no password, no headers. */
bool
plain_uri(struct str text, struct sip_uri *uri)
{
	const char *at, *end, *p;

	if (text.n < 5 || memcmp(text.p, "sip:", 4) != 0)
		return false;
	*uri = (struct sip_uri){ .scheme = SCHEME_SIP };
	at = text.p + 4;
	end = text.p + text.n;
	p = sip_skip(at, end, CHAR_USER);
	if (p < end && *p == '@') {
		uri->user = (struct str){ at, (size_t)(p - at) };
		if (uri->user.n == 0)
			return false;
		at = p + 1;
	}
	if (!cut_host(&at, end, &uri->host, &uri->port))
		return false;
	if (at == end)
		return true;
	uri->params = (struct str){ at + 1, (size_t)(end - at - 1) };
	return sip_is_all(uri->params, CHAR_PARAMS);
}

bool
plain_via(struct str text, struct sip_via *via)
{
	const char *at, *end = text.p + text.n;
	struct str params, name, value;
	bool received = false;

	if (!str_starts(text, STR("SIP/2.0/")))
		return false;
	at = sip_skip(text.p + 8, end, CHAR_TOKEN);
	via->protocol = (struct str){ text.p, (size_t)(at - text.p) };
	via->transport = str_from(via->protocol, 8);
	if (via->transport.n == 0 || at == end || *at++ != ' ' ||
	    !cut_host(&at, end, &via->host, &via->port))
		return false;
	params = str_from(text, (size_t)(at - text.p) + 1);
	via->branch = STR_NONE;
	via->has_rport = false;
	via->rport = STR_NONE;
	while (sip_next_param(&params, &name, &value)) {
		if (name.n == 8 && str_caseeq(name, STR("received")))
			received = true;
		else if (name.n == 6 && str_caseeq(name, STR("branch"))) {
			if (via->branch.p != NULL)
				return false;
			via->branch = value;
		} else if (name.n == 5 && str_caseeq(name, STR("rport"))) {
			const char *behind = value.p != NULL ? value.p + value.n
			                                     : name.p + name.n;

			via->has_rport = true;
			via->rport = (struct str){ name.p, (size_t)(behind - name.p) };
		}
	}
	if (received)
		via->rport = STR_NONE; /* more has to be cut than this */
	return params.n == 0 && text.p[text.n - 1] != ';';
}

bool
plain_credentials(struct str text, struct sip_credentials *credentials)
{
	const char *p, *end = text.p + text.n, *start;
	struct str name, value, *field;

	*credentials = (struct sip_credentials){ 0 };
	if (!str_starts(text, STR("Digest ")) ||
	    memchr(text.p, '\\', text.n) != NULL)
		return false;
	for (p = text.p + 7;;) {
		start = p;
		p = sip_skip(p, end, CHAR_TOKEN);
		name = (struct str){ start, (size_t)(p - start) };
		if (name.n == 0 || p == end || *p++ != '=' || p == end)
			return false;
		if (*p == '"') {
			start = ++p;
			p = memchr(p, '"', (size_t)(end - p));
			if (p == NULL)
				return false;
			value = (struct str){ start, (size_t)(p++ - start) };
		} else {
			start = p;
			p = sip_skip(p, end, CHAR_TOKEN);
			value = (struct str){ start, (size_t)(p - start) };
			if (value.n == 0)
				return false;
		}
		field = sip_credentials_field(credentials, name);
		if (field != NULL && field->p != NULL)
			return false;
		if (field != NULL)
			*field = value;
		else if (str_caseeq(name, STR("userhash")))
			return false;
		if (p == end)
			return true;
		if (*p++ != ',')
			return false;
		if (p < end && *p == ' ')
			p++;
	}
}
