/* Nonces: made without memory, judged by their own text. */
#ifndef BINDERY_NONCE_H
#define BINDERY_NONCE_H

#include "bindery/auth.h"

enum { NONCE_SIZE = 32 }; /* characters */

struct nonce_maker; /* a worker's own */
struct nonce_maker *nonce_maker_new(struct auth_shared *shared);
void nonce_maker_free(struct nonce_maker *maker);

void nonce_make(struct nonce_maker *maker, struct str realm, int64_t now_ms,
    char text[NONCE_SIZE]);

enum { NONCE_CODE = 12 };
struct nonce {
	uint32_t issued; /* seconds of the monotonic clock */
	uint64_t number; /* unique */
	unsigned char code[NONCE_CODE]; /* proves it, see nonce_use() */
};
/* False if it has not even the form of ours. */
bool nonce_read(struct str text, struct nonce *nonce);

/* True if it was made here for this realm, at any time. */
bool nonce_is_ours(struct nonce_maker *maker, struct str realm,
    const struct nonce *nonce);

enum nonce_verdict {
	NONCE_STALE, /* too old, or none that we made for this realm */
	NONCE_USED,  /* this count was seen before */
	NONCE_FRESH
};
/*
 * Judges a nonce that came with right credentials, and notes that its count
 * is used. `count` 0: it serves this once (RFC 2069). Nonces older than
 * `lifetime` seconds are stale.
 */
enum nonce_verdict nonce_use(struct auth_shared *shared,
    struct nonce_maker *maker, struct str realm, const struct nonce *nonce,
    uint32_t count, int64_t lifetime, int64_t now_ms);

#endif
