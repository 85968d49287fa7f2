/*
 * Digest authentication (RFC 7616, RFC 8760, RFC 3261 22). A challenge costs
 * no memory: its nonce proves itself. Only a nonce that somebody answered
 * rightly is remembered, to see each nonce count once.
 */
#ifndef BINDERY_AUTH_H
#define BINDERY_AUTH_H

#include "bindery/buf.h"
#include "bindery/crypto.h"
#include "bindery/directory.h"

struct sip_credentials;

/* The key and the memory of nonces, shared by all workers. */
struct auth_shared;
struct auth_shared *auth_shared_new(void);
void auth_shared_free(struct auth_shared *shared);

/* A worker's own contexts. */
struct auth;
struct auth *auth_new(struct auth_shared *shared);
void auth_free(struct auth *auth);

/* What a realm asks for; plain data of the configuration. */
struct auth_realm {
	struct str realm;
	const enum digest_algorithm *algorithms; /* in the order offered */
	size_t algorithm_count;
	int64_t nonce_lifetime; /* seconds */
	bool allow_rfc2069;     /* a response without qop, once a nonce */
};

enum auth_verdict {
	AUTH_NONE,     /* no credentials that we could use */
	AUTH_BAD,      /* credentials without what they must have: 400 */
	AUTH_WRONG,    /* a wrong response; an unknown user looks the same */
	AUTH_FOREIGN,  /* the same, to a nonce that we never gave: the sender's
	                  address may be forged */
	AUTH_STALE,    /* right, but the nonce is not (any more) ours */
	AUTH_REPLAYED, /* right, but this nonce count was seen */
	AUTH_RIGHT
};

/*
 * Judges credentials whose realm is this one. `user` NULL: unknown, at the
 * same cost. `now_ms` is clock_mono_ms().
 */
enum auth_verdict auth_check(struct auth *auth, const struct auth_realm *realm,
    struct str method, const struct sip_credentials *credentials,
    const struct user *user, int64_t now_ms);

/*
 * Writes a challenge an algorithm, each a whole line: `header` is
 * "WWW-Authenticate" or "Proxy-Authenticate".
 */
void auth_challenge(struct auth *auth, const struct auth_realm *realm,
    struct out *out, struct str header, bool stale, int64_t now_ms);

/* ---- for tests ---- */

/* The response to a challenge, in hexadecimal; qop.n 0: as in RFC 2069. */
void auth_response(enum digest_algorithm algorithm, const unsigned char *ha1,
    struct str method, const struct sip_credentials *credentials,
    char hex[DIGEST_HEX_MAX]);

#endif
