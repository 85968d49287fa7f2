/* URIs: Sofia splits them, we check them, compare them and name the AOR. */
#include "config.h"

#include "sip_priv.h"

static bool
is_alnum(char c)
{
	return (c >= '0' && c <= '9') || (ascii_lower(c) >= 'a' &&
	           ascii_lower(c) <= 'z');
}

bool
sip_is_host(struct str host)
{
	if (host.n > 2 && host.p[0] == '[') {
		for (size_t i = 1; i < host.n - 1; i++)
			if (hex_digit(host.p[i]) < 0 && host.p[i] != ':' &&
			    host.p[i] != '.')
				return false;
		return host.p[host.n - 1] == ']';
	}
	return sip_is_all(host, CHAR_HOST) && host.n <= 255 &&
	    host.p[0] != '.' && host.p[0] != '-';
}

/* Characters that stand for themselves in a URI, and whole escapes. */
static bool
is_uri_text(struct str text)
{
	for (size_t i = 0; i < text.n; i++) {
		if ((sip_chars[(unsigned char)text.p[i]] & CHAR_URI) != 0)
			continue;
		if (text.p[i] != '%' || i + 2 >= text.n ||
		    hex_digit(text.p[i + 1]) < 0 || hex_digit(text.p[i + 2]) < 0)
			return false;
	}
	return text.n > 0;
}

static enum sip_scheme
scheme_of(struct str text)
{
	struct str scheme = str_cut(&text, ':');

	return text.p == NULL                 ? SCHEME_OTHER
	    : str_caseeq(scheme, STR("sip"))  ? SCHEME_SIP
	    : str_caseeq(scheme, STR("sips")) ? SCHEME_SIPS
	                                      : SCHEME_OTHER;
}

/* A scheme of letters and then anything: all that we know of foreign URIs. */
static bool
is_absolute(struct str text)
{
	size_t colon = str_find(text, ':');

	if (colon == 0 || colon == text.n || colon + 1 == text.n ||
	    !is_alnum(text.p[0]))
		return false;
	for (size_t i = 0; i < colon; i++)
		if (!is_alnum(text.p[i]) && text.p[i] != '+' &&
		    text.p[i] != '-' && text.p[i] != '.')
			return false;
	return true;
}

bool
sip_read_port(struct str text, uint32_t *port)
{
	return str_u32(text, port) && *port > 0 && *port <= 65535;
}

/*
 * User and password as written: Sofia undoes escapes that make a difference
 * (19.1.4: a reserved character is not its escape).
 */
static void
read_userinfo(struct str text, struct sip_uri *uri)
{
	struct str info;

	str_cut(&text, ':');
	info = (struct str){ text.p, str_find(text, '@') };
	if (info.n == text.n)
		return;
	uri->user = str_cut(&info, ':');
	uri->password = info;
}

bool
sip_read_uri(struct sip_parser *parser, struct str text, struct sip_uri *uri)
{
	struct grammar_uri parts;
	char *copy;

	if (plain_uri(text, uri))
		return true;
	*uri = (struct sip_uri){ .scheme = scheme_of(text) };
	if (!is_uri_text(text))
		return false;
	if (uri->scheme == SCHEME_OTHER)
		return is_absolute(text);
	copy = sip_copy(parser, text);
	if (copy == NULL || !grammar_uri(copy, &parts))
		return false;
	read_userinfo(text, uri);
	uri->host = parts.host;
	uri->params = parts.params;
	uri->headers = parts.headers;
	return (parts.port.p == NULL || sip_read_port(parts.port, &uri->port)) &&
	    sip_is_host(uri->host) && (uri->user.p == NULL || uri->user.n > 0);
}

/* ---- comparison, RFC 3261 19.1.4 ---- */

/* The next character with its escape undone; *at moves behind it. */
static int
next_char(struct str text, size_t *at)
{
	int c = (unsigned char)text.p[(*at)++];

	if (c == '%' && *at + 1 < text.n && hex_digit(text.p[*at]) >= 0 &&
	    hex_digit(text.p[*at + 1]) >= 0) {
		c = hex_digit(text.p[*at]) << 4 | hex_digit(text.p[*at + 1]);
		*at += 2;
		if (strchr(";/?:@&=+$,%", c) != NULL)
			c |= 0x100; /* a reserved character escaped is not itself */
	}
	return c;
}

static bool
same_text(struct str a, struct str b, bool mind_case)
{
	size_t i = 0, j = 0;

	if ((a.p == NULL) != (b.p == NULL))
		return false;
	while (i < a.n && j < b.n) {
		int c = next_char(a, &i), d = next_char(b, &j);

		if (!mind_case && c < 0x100 && d < 0x100) {
			c = ascii_lower((char)c);
			d = ascii_lower((char)d);
		}
		if (c != d)
			return false;
	}
	return i == a.n && j == b.n;
}

static struct str
or_none(struct str text)
{
	return text.p != NULL ? text : STR("");
}

/* Parameters that change where a request goes count even on one side alone. */
static bool
counts_alone(struct str name)
{
	static const char *const names[] = { "user", "ttl", "method", "maddr",
		"transport" };

	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		if (str_caseeq(name, str_of(names[i])))
			return true;
	return false;
}

static bool
params_agree(struct str a, struct str b)
{
	struct str name, value, other;

	while (sip_next_param(&a, &name, &value)) {
		if (sip_param(b, name, &other)) {
			if (!same_text(or_none(value), or_none(other), false))
				return false;
		} else if (counts_alone(name)) {
			return false;
		}
	}
	return true;
}

static bool
headers_within(struct str a, struct str b)
{
	while (a.n > 0) {
		struct str header = str_cut(&a, '&'), rest = b;
		bool found = false;

		while (rest.n > 0 && !found)
			found = same_text(header, str_cut(&rest, '&'), false);
		if (!found)
			return false;
	}
	return true;
}

bool
sip_uri_equal(const struct sip_uri *a, const struct sip_uri *b)
{
	return a->scheme == b->scheme && a->scheme != SCHEME_OTHER &&
	    a->port == b->port && same_text(a->user, b->user, true) &&
	    same_text(a->password, b->password, true) &&
	    str_caseeq(a->host, b->host) &&
	    (str_eq(a->params, b->params) ||
	        (params_agree(a->params, b->params) &&
	            params_agree(b->params, a->params))) &&
	    headers_within(a->headers, b->headers) &&
	    headers_within(b->headers, a->headers);
}
