/*
 * Short cuts for Via, URIs and credentials in their plain form, which is
 * nearly all of them: cut at their delimiters, checked by character, nothing
 * copied. t/unit/sip_plain.c holds them against Sofia.
 */
#include "config.h"

#include "sip_priv.h"

static bool
plain_host(struct str text, struct str *host, uint32_t *port)
{
	size_t colon = str_find(text, ':');

	*host = (struct str){ text.p, colon };
	*port = 0;
	return sip_is_all(*host, CHAR_HOST) && sip_is_host(*host) &&
	    (colon == text.n || sip_read_port(str_from(text, colon + 1), port));
}

bool
plain_uri(struct str text, struct sip_uri *uri)
{
	struct str rest, user = STR_NONE;
	size_t at;

	if (text.n < 5 || memcmp(text.p, "sip:", 4) != 0)
		return false;
	rest = str_from(text, 4);
	/* no escapes, and no ? as it is in CHAR_URI */
	if (!sip_is_all(rest, CHAR_URI) || memchr(rest.p, '?', rest.n) != NULL)
		return false;
	at = str_find(rest, '@');
	if (at < rest.n) {
		user = (struct str){ rest.p, at };
		rest = str_from(rest, at + 1);
		if (!sip_is_token(user))
			return false;
	}
	*uri = (struct sip_uri){ .scheme = SCHEME_SIP, .user = user };
	at = str_find(rest, ';');
	uri->params = str_from(rest, at + 1);
	if (at < rest.n && uri->params.n == 0)
		return false;
	return plain_host((struct str){ rest.p, at }, &uri->host, &uri->port);
}

bool
plain_via(struct str text, struct sip_via *via)
{
	struct str params, name, value;
	size_t blank, end;
	bool received = false;

	if (!str_starts(text, STR("SIP/2.0/")))
		return false;
	blank = str_find(text, ' ');
	end = str_find(text, ';');
	if (blank >= end)
		return false;
	via->protocol = (struct str){ text.p, blank };
	via->transport = str_from(via->protocol, 8);
	if (!sip_is_token(via->transport) ||
	    !plain_host((struct str){ text.p + blank + 1, end - blank - 1 },
	        &via->host, &via->port))
		return false;
	params = str_from(text, end + 1);
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

/* A quoted string without escapes, or a token; *rest is then behind it. */
static bool
cut_value(struct str *rest, struct str *value)
{
	size_t end;

	if (rest->n > 0 && rest->p[0] == '"') {
		*rest = str_from(*rest, 1);
		end = str_find(*rest, '"');
		*value = (struct str){ rest->p, end };
		if (end == rest->n || memchr(value->p, '\\', end) != NULL)
			return false;
		*rest = str_from(*rest, end + 1);
		return true;
	}
	end = str_find(*rest, ',');
	*value = (struct str){ rest->p, end };
	*rest = str_from(*rest, end);
	return sip_is_token(*value);
}

bool
plain_credentials(struct str text, struct sip_credentials *credentials)
{
	struct str rest, value, *field;

	*credentials = (struct sip_credentials){ 0 };
	if (!str_starts(text, STR("Digest ")))
		return false;
	for (rest = str_from(text, 7); rest.n > 0;) {
		size_t equals = str_find(rest, '=');
		struct str name = { rest.p, equals };

		if (!sip_is_token(name))
			return false;
		rest = str_from(rest, equals + 1);
		if (!cut_value(&rest, &value))
			return false;
		field = sip_credentials_field(credentials, name);
		if (field != NULL && field->p != NULL)
			return false;
		if (field != NULL)
			*field = value;
		else if (str_caseeq(name, STR("userhash")))
			return false;
		if (rest.n > 0 && rest.p[0] != ',')
			return false;
		rest = str_from(rest, 1);
		if (rest.n > 0 && rest.p[0] == ' ')
			rest = str_from(rest, 1);
	}
	return text.p[text.n - 1] != ',' && text.n > 7;
}
