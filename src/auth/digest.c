/* Credentials judged, challenges written. */
#include "config.h"

#include "bindery/auth.h"

#include <stdlib.h>

#include "bindery/alloc.h"
#include "bindery/rand.h"
#include "bindery/sip.h"
#include "nonce.h"

/* The last H(method:uri) of an algorithm: most requests ask for the same. */
struct known_ha2 {
	char text[128];
	size_t n;
	char hex[DIGEST_HEX_MAX];
};

struct auth {
	struct auth_shared *shared;
	struct nonce_maker *nonces;
	unsigned char dummy[DIGEST_MAX]; /* the HA1 of who does not exist */
	struct known_ha2 known[DIGEST_ALGORITHMS];
};

struct auth *
auth_new(struct auth_shared *shared)
{
	struct auth *auth = xcalloc(1, sizeof *auth);

	auth->shared = shared;
	auth->nonces = nonce_maker_new(shared);
	random_bytes(auth->dummy, sizeof auth->dummy);
	return auth;
}

void
auth_free(struct auth *auth)
{
	if (auth == NULL)
		return;
	nonce_maker_free(auth->nonces);
	free(auth);
}

static void
hash_hex(enum digest_algorithm algorithm, const struct str *parts, size_t n,
    char hex[DIGEST_HEX_MAX])
{
	unsigned char hash[DIGEST_MAX];

	digest_hash(algorithm, parts, n, hash);
	hex_write(hex, hash, digest_size(algorithm));
}

static void
hash_ha2(enum digest_algorithm algorithm, struct str method, struct str uri,
    char hex[DIGEST_HEX_MAX])
{
	const struct str parts[] = { method, STR(":"), uri };

	hash_hex(algorithm, parts, 3, hex);
}

static const char *
ha2_of(struct auth *auth, enum digest_algorithm algorithm, struct str method,
    struct str uri)
{
	struct known_ha2 *known = &auth->known[algorithm];
	char text[sizeof known->text];
	struct out out = out_to(text, sizeof text);

	out_add(&out, method);
	out_char(&out, ':');
	out_add(&out, uri);
	if (!out.full &&
	    str_eq(out_str(&out), (struct str){ known->text, known->n }))
		return known->hex;
	known->n = 0;
	hash_ha2(algorithm, method, uri, known->hex);
	if (!out.full) {
		known->n = out_size(&out);
		memcpy(known->text, text, known->n);
	}
	return known->hex;
}

static void
hash_response(enum digest_algorithm algorithm, const unsigned char *ha1,
    const char *ha2_hex, const struct sip_credentials *c,
    char hex[DIGEST_HEX_MAX])
{
	size_t size = digest_size(algorithm);
	char ha1_hex[DIGEST_HEX_MAX];
	const struct str colon = STR(":");
	const struct str ha1_text = { ha1_hex, 2 * size };
	const struct str ha2_text = { ha2_hex, 2 * size };

	hex_write(ha1_hex, ha1, size);
	if (c->qop.n > 0) {
		const struct str all[] = { ha1_text, colon, c->nonce, colon, c->nc,
			colon, c->cnonce, colon, c->qop, colon, ha2_text };

		hash_hex(algorithm, all, sizeof all / sizeof *all, hex);
	} else {
		const struct str all[] = { ha1_text, colon, c->nonce, colon,
			ha2_text };

		hash_hex(algorithm, all, sizeof all / sizeof *all, hex);
	}
}

void
auth_response(enum digest_algorithm algorithm, const unsigned char *ha1,
    struct str method, const struct sip_credentials *c,
    char hex[DIGEST_HEX_MAX])
{
	char ha2_hex[DIGEST_HEX_MAX];

	hash_ha2(algorithm, method, c->uri, ha2_hex);
	hash_response(algorithm, ha1, ha2_hex, c, hex);
}

static bool
is_offered(const struct auth_realm *realm, enum digest_algorithm algorithm)
{
	for (size_t i = 0; i < realm->algorithm_count; i++)
		if (realm->algorithms[i] == algorithm)
			return true;
	return false;
}

/* An upper-case response counts as well; a wrong length never does. */
static bool
is_response(struct str given, const char *expected, size_t n)
{
	char lower[DIGEST_HEX_MAX];

	if (given.n != n)
		return false;
	if (same_secret(given.p, expected, n))
		return true;
	str_lower(lower, given);
	return same_secret(lower, expected, n);
}

static bool
lacks_something(const struct sip_credentials *c, uint32_t *count)
{
	if (c->username.p == NULL || c->nonce.p == NULL || c->uri.n == 0 ||
	    c->response.p == NULL)
		return true;
	*count = 0;
	return c->qop.n > 0 &&
	    (c->cnonce.p == NULL || c->nc.n != 8 ||
	        !str_hex32(c->nc, count) || *count == 0);
}

enum auth_verdict
auth_check(struct auth *auth, const struct auth_realm *realm,
    struct str method, const struct sip_credentials *c,
    const struct user *user, int64_t now_ms)
{
	enum digest_algorithm algorithm = DIGEST_MD5;
	const unsigned char *ha1 = auth->dummy;
	char expected[DIGEST_HEX_MAX];
	struct nonce nonce;
	uint32_t count;
	bool right;

	/* the first REGISTER of many phones: a form not filled in yet */
	if (c->nonce.p != NULL && c->nonce.n == 0 && c->response.n == 0)
		return AUTH_NONE;
	if (lacks_something(c, &count))
		return AUTH_BAD;
	if ((c->algorithm.p != NULL &&
	        !digest_of_name(c->algorithm, &algorithm)) ||
	    !is_offered(realm, algorithm) ||
	    (c->qop.n > 0 ? !str_caseeq(c->qop, STR("auth"))
	                  : !realm->allow_rfc2069))
		return AUTH_NONE;

	if (user != NULL && user->enabled && (user->has_ha1 >> algorithm & 1) != 0)
		ha1 = user->ha1[algorithm];
	hash_response(algorithm, ha1, ha2_of(auth, algorithm, method, c->uri), c,
	    expected);
	right = is_response(c->response, expected, 2 * digest_size(algorithm)) &&
	    ha1 != auth->dummy;
	if (!right)
		return nonce_read(c->nonce, &nonce) &&
		        nonce_is_ours(auth->nonces, realm->realm, &nonce)
		    ? AUTH_WRONG
		    : AUTH_FOREIGN;
	if (!nonce_read(c->nonce, &nonce))
		return AUTH_STALE;
	switch (nonce_use(auth->shared, auth->nonces, realm->realm, &nonce, count,
	    realm->nonce_lifetime, now_ms)) {
	case NONCE_FRESH:
		return AUTH_RIGHT;
	case NONCE_USED:
		return AUTH_REPLAYED;
	default:
		return AUTH_STALE;
	}
}

void
auth_challenge(struct auth *auth, const struct auth_realm *realm,
    struct out *out, struct str header, bool stale, int64_t now_ms)
{
	char nonce[NONCE_SIZE];

	nonce_make(auth->nonces, realm->realm, now_ms, nonce);
	for (size_t i = 0; i < realm->algorithm_count; i++) {
		out_add(out, header);
		out_lit(out, ": Digest realm=");
		out_quoted(out, realm->realm);
		out_lit(out, ", nonce=\"");
		out_bytes(out, nonce, sizeof nonce);
		out_lit(out, "\", algorithm=");
		out_add(out, str_of(digest_name(realm->algorithms[i])));
		out_lit(out, ", qop=\"auth\"");
		if (stale)
			out_lit(out, ", stale=true");
		out_lit(out, "\r\n");
	}
}
