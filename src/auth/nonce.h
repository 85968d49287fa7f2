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

struct nonce {
	uint32_t issued; /* seconds of the monotonic clock */
	uint64_t number; /* unique */
};
/* False if it is none of ours, or another realm's. Says nothing of its age. */
bool nonce_read(struct nonce_maker *maker, struct str realm, struct str text,
    struct nonce *nonce);
/*
 * Notes that a nonce count was used with right credentials; false if it was
 * before. `count` 0: the nonce serves this once (RFC 2069). Nonces older than
 * `lifetime` seconds are forgotten.
 */
bool nonce_use(struct auth_shared *shared, const struct nonce *nonce,
    uint32_t count, int64_t lifetime, int64_t now_ms);

#endif
