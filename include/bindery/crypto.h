/*
 * Hashes and a message authentication code, over OpenSSL. Algorithms are
 * fetched once and contexts kept a thread, as a fetch costs more than a hash.
 */
#ifndef BINDERY_CRYPTO_H
#define BINDERY_CRYPTO_H

#include "bindery/str.h"

/* The hashes of digest authentication (RFC 7616, RFC 8760), strongest first. */
enum digest_algorithm {
	DIGEST_SHA512_256,
	DIGEST_SHA256,
	DIGEST_MD5,
	DIGEST_ALGORITHMS
};
enum { DIGEST_MAX = 32, DIGEST_HEX_MAX = 2 * DIGEST_MAX };

/* "SHA-512-256", "SHA-256", "MD5", as SIP writes them. */
const char *digest_name(enum digest_algorithm algorithm);
/* The algorithm of a name in any case; false if it is none of ours. */
bool digest_of_name(struct str name, enum digest_algorithm *algorithm);
/* Bytes of its result: 16 or 32. */
size_t digest_size(enum digest_algorithm algorithm);

/* Hashes the parts one behind the other into `to`, digest_size() bytes. */
void digest_hash(enum digest_algorithm algorithm, const struct str *parts,
    size_t n, unsigned char to[DIGEST_MAX]);
/* H(username:realm:password), RFC 7616 section 3.4.2. */
void digest_ha1(enum digest_algorithm algorithm, struct str username,
    struct str realm, struct str password, unsigned char to[DIGEST_MAX]);

/* A random key of HMAC-SHA-256 and, a thread, its keyed context. */
struct mac;
struct mac *mac_new(void);
void mac_free(struct mac *mac);
enum { MAC_SIZE = 32 };
/* Not for two threads at once: each thread has a mac_dup() of its own. */
void mac_sign(struct mac *mac, struct str bytes, unsigned char to[MAC_SIZE]);
/* Another context with the same key. */
struct mac *mac_dup(const struct mac *mac);

/* In a time that tells nothing of where the bytes differ. */
bool same_secret(const void *a, const void *b, size_t n);

#endif
