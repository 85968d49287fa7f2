/*
 * The short cuts for plain Vias, URIs and credentials against the grammar
 * that they spare: what they take, it reads alike.
 */
#include "config.h"

#include "message.h"

#include "sip/sip_priv.h"

static bool
same(struct str a, struct str b)
{
	return str_eq(a, b) && (a.n > 0 || (a.p == NULL) == (b.p == NULL) ||
	    a.n == b.n);
}

/* ---- URIs ---- */

static void
check_uri(struct parsing *p, const char *text)
{
	struct sip_uri plain;
	struct grammar_uri full;
	char copy[512];
	uint32_t port = 0;

	(void)p;
	if (!plain_uri(str_of(text), &plain))
		return;
	snprintf(copy, sizeof copy, "%s", text);
	if (!grammar_uri(copy, &full))
		fail_msg("%s: refused by the grammar", text);
	if (full.port.p != NULL && !sip_read_port(full.port, &port))
		fail_msg("%s: a bad port", text);
	if (!same(plain.user, full.user) || full.password.n > 0 ||
	    !str_eq(plain.host, full.host) || plain.port != port ||
	    !str_eq(plain.params, full.params) || full.headers.n > 0)
		fail_msg("%s: read another way", text);
	if ((plain.user.p == NULL) != (full.user.p == NULL))
		fail_msg("%s: a user or none", text);
}

static void
plain_uris_are_taken(void **state)
{
	static const char *const plain[] = { "sip:alice@example.com",
		"sip:example.com", "sip:192.0.2.1:5060", "sip:a@b;transport=tcp;lr",
		"sip:1008@192.168.1.44:5060;ob", "sip:a.b-c_d!~*'@h" };
	struct sip_uri uri;

	for (size_t i = 0; i < sizeof plain / sizeof *plain; i++) {
		assert_for(plain[i], plain_uri(str_of(plain[i]), &uri));
		check_uri(*state, plain[i]);
	}
}

static void
unusual_uris_are_left_to_the_grammar(void **state)
{
	static const char *const unusual[] = { "", "sip:", "sips:a@b", "SIP:a@b",
		"tel:1", "sip:a%41@b", "sip:a:b@c", "sip:a@b?x=y", "sip:@b", "sip:a@",
		"sip:a@b:", "sip:a@b:0", "sip:a@b:99999", "sip:a@[::1]", "sip:a@b;",
		"sip:a b@c", "sip:a;b@c", "sip:a@b@c", "sip:a/b@c", "sip:a@b/c" };
	struct sip_uri uri;

	(void)state;
	for (size_t i = 0; i < sizeof unusual / sizeof *unusual; i++)
		assert_for(unusual[i], !plain_uri(str_of(unusual[i]), &uri));
}

/* ---- Via ---- */

static void
check_via(struct parsing *p, const char *text)
{
	struct sip_via plain = { 0 };
	struct grammar_via full;
	char copy[512];
	uint32_t port = 0;

	if (!plain_via(str_of(text), &plain))
		return;
	snprintf(copy, sizeof copy, "%s", text);
	/* it is stricter about values that matter to nobody: ttl=1@ */
	if (!grammar_via(p->parser->grammar, copy, strlen(copy), &full))
		return;
	if (full.port.p != NULL && !sip_read_port(full.port, &port))
		fail_msg("%s: a bad port", text);
	if (!str_eq(plain.protocol, full.protocol) ||
	    !str_eq(plain.host, full.host) || plain.port != port ||
	    !str_eq(plain.branch, full.branch) ||
	    plain.has_rport != full.has_rport)
		fail_msg("%s: read another way", text);
}

static void
plain_vias_are_taken(void **state)
{
	static const char *const plain[] = { "SIP/2.0/UDP h",
		"SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK1;rport",
		"SIP/2.0/TLS a.b;rport;branch=z9hG4bK1;received=1.2.3.4;ttl=1" };
	struct sip_via via;

	for (size_t i = 0; i < sizeof plain / sizeof *plain; i++) {
		struct parsing *p = *state;
		struct grammar_via full;
		char copy[128];

		assert_for(plain[i], plain_via(str_of(plain[i]), &via));
		check_via(p, plain[i]);
		snprintf(copy, sizeof copy, "%s", plain[i]);
		assert_for(plain[i], grammar_via(p->parser->grammar, copy,
		    strlen(copy), &full));
	}
}

static void
unusual_vias_are_left_to_the_grammar(void **state)
{
	static const char *const unusual[] = { "", "SIP/2.0/UDP", "SIP/2.0/UDP ",
		"SIP/2.0/ h", "SIP / 2.0/UDP h", "SIP/2.0/UDP  h", "SIP/2.0/UDP h ;x",
		"SIP/2.0/UDP h;", "SIP/2.0/UDP h;;x", "SIP/2.0/UDP h (c)",
		"SIP/2.0/UDP h;branch=1;branch=2", "SIP/2.0/UDP [::1]",
		"SIP/2.0/UDP h:0", "SIP/2.0/UDP h:", "SIP/3.0/UDP h",
		"SIP/2.0/UDP h;x=\"" };
	struct sip_via via;

	(void)state;
	for (size_t i = 0; i < sizeof unusual / sizeof *unusual; i++)
		assert_for(unusual[i], !plain_via(str_of(unusual[i]), &via));
}

/* ---- credentials ---- */

static void
check_credentials(struct parsing *p, const char *text)
{
	struct sip_credentials plain, c = { 0 };
	char copy[512], **params;
	struct str scheme;

	if (!plain_credentials(str_of(text), &plain))
		return;
	snprintf(copy, sizeof copy, "%s", text);
	params = grammar_credentials(p->parser->grammar, copy, strlen(copy),
	    &scheme);
	if (params == NULL || !str_eq(scheme, STR("Digest")))
		fail_msg("%s: refused by the grammar", text);
	for (; params != NULL && *params != NULL; params++) {
		struct str value = str_of(*params);
		struct str name = str_cut(&value, '=');
		struct str *field = sip_credentials_field(&c, str_trim(name));

		if (field != NULL && field->p != NULL)
			fail_msg("%s: twice", text);
		if (field != NULL)
			*field = sip_unquoted(str_trim(value));
	}
	if (!str_eq(c.username, plain.username) || !str_eq(c.realm, plain.realm) ||
	    !str_eq(c.nonce, plain.nonce) || !str_eq(c.uri, plain.uri) ||
	    !str_eq(c.response, plain.response) ||
	    !str_eq(c.algorithm, plain.algorithm) ||
	    !str_eq(c.cnonce, plain.cnonce) || !str_eq(c.opaque, plain.opaque) ||
	    !str_eq(c.qop, plain.qop) || !str_eq(c.nc, plain.nc))
		fail_msg("%s: read another way", text);
}

static void
plain_credentials_are_taken(void **state)
{
	static const char *const plain[] = {
		"Digest username=\"a\",realm=\"b\", nonce=\"\", uri=\"sip:c,d\"",
		"Digest username=\"a\", qop=auth, nc=00000001, cnonce=\"x\", "
		"response=\"1\", algorithm=MD5, opaque=\"\", other=\"y\"" };
	struct sip_credentials c;

	for (size_t i = 0; i < sizeof plain / sizeof *plain; i++) {
		assert_for(plain[i], plain_credentials(str_of(plain[i]), &c));
		check_credentials(*state, plain[i]);
	}
	assert_true(plain_credentials(str_of(plain[0]), &c));
	assert_str(c.uri, "sip:c,d");
	assert_non_null(c.nonce.p);
	assert_null(c.qop.p);
}

static void
unusual_credentials_are_left_to_the_grammar(void **state)
{
	static const char *const unusual[] = { "", "Digest", "Digest ", "Digest ,",
		"digest nonce=\"1\"", "Digest nonce=\"1", "Digest nonce=\"\\1\"",
		"Digest nonce=\"1\",", "Digest nonce=\"1\",,realm=\"2\"",
		"Digest nonce=\"1\" ,realm=\"2\"", "Digest nonce = \"1\"",
		"Digest nonce=\"1\",nonce=\"2\"", "Digest nonce", "Digest =1",
		"Digest nonce=", "Digest nonce=\"1\"x", "Digest userhash=true",
		"Basic nonce=\"1\"" };
	struct sip_credentials c;

	(void)state;
	for (size_t i = 0; i < sizeof unusual / sizeof *unusual; i++)
		assert_for(unusual[i], !plain_credentials(str_of(unusual[i]), &c));
}

/* ---- whatever comes ---- */

/* Texts made of these pieces, and of single characters. */
static void
check_random(struct parsing *p, const char *const *pieces,
    const char *characters, void (*check)(struct parsing *p, const char *text),
    uint64_t seed)
{
	size_t piece_count = 0;

	while (pieces[piece_count] != NULL)
		piece_count++;
	for (int round = 0; round < 60000; round++) {
		char text[400];
		size_t n = (size_t)snprintf(text, sizeof text, "%s", pieces[0]);

		for (uint64_t i = random_up_to(&seed, 9); i > 0; i--) {
			if (random_up_to(&seed, 4) == 0)
				n += (size_t)snprintf(text + n, sizeof text - n, "%c",
				    characters[random_up_to(&seed,
				        strlen(characters))]);
			else
				n += (size_t)snprintf(text + n, sizeof text - n, "%s",
				    pieces[random_up_to(&seed, piece_count)]);
		}
		if (round % 1000 == 0) /* lets its memory go */
			parse_with(p, NULL, NULL);
		check(p, text);
	}
}

static void
random_uris_are_read_alike(void **state)
{
	static const char *const pieces[] = { "sip:", "alice", "@", "h.example",
		":", "5060", ";", "transport=tcp", "lr", "192.0.2.1", "x=", NULL };

	check_random(*state, pieces, ";:@/?%=&.-_*!~'()[]$+,", check_uri, 17);
}

static void
random_vias_are_read_alike(void **state)
{
	static const char *const pieces[] = { "SIP/2.0/UDP ", "h.example", ":",
		"5060", ";", "branch=z9hG4bK1", "rport", "rport=5", "received=1.2.3.4",
		"x=y", "ttl=1", "maddr=h", "hidden", "=", NULL };

	check_random(*state, pieces, ";:= \"(),/[]<>@.-_%", check_via, 18);
}

static void
random_credentials_are_read_alike(void **state)
{
	static const char *const pieces[] = { "Digest ", "username=", "\"a b\"",
		",", ", ", "realm=\"x,y\"", "nonce=\"\"", "qop=auth", "nc=00000001",
		"opaque", "=", "zz=\"q=r\"", NULL };

	check_random(*state, pieces, "=,\" ;:\\<>ab", check_credentials, 19);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		PARSING_TEST(plain_uris_are_taken),
		PARSING_TEST(unusual_uris_are_left_to_the_grammar),
		PARSING_TEST(plain_vias_are_taken),
		PARSING_TEST(unusual_vias_are_left_to_the_grammar),
		PARSING_TEST(plain_credentials_are_taken),
		PARSING_TEST(unusual_credentials_are_left_to_the_grammar),
		PARSING_TEST(random_uris_are_read_alike),
		PARSING_TEST(random_vias_are_read_alike),
		PARSING_TEST(random_credentials_are_read_alike),
	};

	return cmocka_run_group_tests_name("sip/plain", tests, NULL, NULL);
}
