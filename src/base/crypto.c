/* Hashing by OpenSSL with everything costly done once. */
#include "config.h"

#include "bindery/crypto.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>

#include "bindery/alloc.h"
#include "bindery/buf.h"
#include "bindery/rand.h"

static const struct {
	const char *name;    /* in SIP */
	const char *openssl; /* in OpenSSL */
	size_t size;
} algorithms[DIGEST_ALGORITHMS] = {
	[DIGEST_SHA512_256] = { "SHA-512-256", "SHA512-256", 32 },
	[DIGEST_SHA256] = { "SHA-256", "SHA256", 32 },
	[DIGEST_MD5] = { "MD5", "MD5", 16 },
};

static EVP_MD *fetched[DIGEST_ALGORITHMS];
static pthread_once_t fetch_once = PTHREAD_ONCE_INIT;
static pthread_key_t context_key;

static void
must(bool done, const char *what)
{
	if (!done) {
		fprintf(stderr, "bindery: OpenSSL: no %s\n", what);
		abort();
	}
}

static void
free_context(void *context)
{
	EVP_MD_CTX_free(context);
}

static void
fetch(void)
{
	for (int i = 0; i < DIGEST_ALGORITHMS; i++) {
		fetched[i] = EVP_MD_fetch(NULL, algorithms[i].openssl, NULL);
		must(fetched[i] != NULL, algorithms[i].openssl);
	}
	must(pthread_key_create(&context_key, free_context) == 0, "thread key");
}

static EVP_MD_CTX *
thread_context(void)
{
	static _Thread_local EVP_MD_CTX *context;

	if (context == NULL) {
		pthread_once(&fetch_once, fetch);
		context = EVP_MD_CTX_new();
		must(context != NULL, "hash context");
		pthread_setspecific(context_key, context); /* frees it at the end */
	}
	return context;
}

const char *
digest_name(enum digest_algorithm algorithm)
{
	return algorithms[algorithm].name;
}

bool
digest_of_name(struct str name, enum digest_algorithm *algorithm)
{
	for (int i = 0; i < DIGEST_ALGORITHMS; i++)
		if (str_caseeq(name, str_of(algorithms[i].name))) {
			*algorithm = (enum digest_algorithm)i;
			return true;
		}
	return false;
}

size_t
digest_size(enum digest_algorithm algorithm)
{
	return algorithms[algorithm].size;
}

void
digest_hash(enum digest_algorithm algorithm, const struct str *parts, size_t n,
    unsigned char to[DIGEST_MAX])
{
	EVP_MD_CTX *context = thread_context();
	bool done = EVP_DigestInit_ex2(context, fetched[algorithm], NULL) == 1;
	char text[512];
	struct out out = out_to(text, sizeof text);

	/* each update has its price: what is short goes in at once */
	for (size_t i = 0; i < n; i++)
		out_add(&out, parts[i]);
	if (!out.full)
		done = done && EVP_DigestUpdate(context, text, out_size(&out)) == 1;
	else
		for (size_t i = 0; i < n && done; i++)
			done = EVP_DigestUpdate(context, parts[i].p, parts[i].n) == 1;
	must(done && EVP_DigestFinal_ex(context, to, NULL) == 1, "hash");
}

void
digest_ha1(enum digest_algorithm algorithm, struct str username,
    struct str realm, struct str password, unsigned char to[DIGEST_MAX])
{
	const struct str parts[] = { username, STR(":"), realm, STR(":"),
		password };

	digest_hash(algorithm, parts, 5, to);
}

struct mac {
	EVP_MAC_CTX *context;
	unsigned char key[32];
};

static struct mac *
mac_with_key(const unsigned char key[32])
{
	struct mac *mac = xcalloc(1, sizeof *mac);
	EVP_MAC *hmac = EVP_MAC_fetch(NULL, "HMAC", NULL);
	char sha256[] = "SHA256";
	OSSL_PARAM parameters[] = {
		OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, sha256, 0),
		OSSL_PARAM_construct_end()
	};

	must(hmac != NULL, "HMAC");
	memcpy(mac->key, key, sizeof mac->key);
	mac->context = EVP_MAC_CTX_new(hmac);
	must(mac->context != NULL &&
	        EVP_MAC_init(mac->context, mac->key, sizeof mac->key,
	            parameters) == 1,
	    "HMAC context");
	EVP_MAC_free(hmac);
	return mac;
}

struct mac *
mac_new(void)
{
	unsigned char key[32];

	random_bytes(key, sizeof key);
	return mac_with_key(key);
}

struct mac *
mac_dup(const struct mac *mac)
{
	return mac_with_key(mac->key);
}

void
mac_free(struct mac *mac)
{
	if (mac == NULL)
		return;
	EVP_MAC_CTX_free(mac->context);
	OPENSSL_cleanse(mac->key, sizeof mac->key);
	free(mac);
}

void
mac_sign(struct mac *mac, struct str bytes, unsigned char to[MAC_SIZE])
{
	size_t size;

	/* without a key the kept one is taken, at a fifth of the cost */
	must(EVP_MAC_init(mac->context, NULL, 0, NULL) == 1 &&
	        EVP_MAC_update(mac->context, (const unsigned char *)bytes.p,
	            bytes.n) == 1 &&
	        EVP_MAC_final(mac->context, to, &size, MAC_SIZE) == 1,
	    "HMAC");
}

bool
same_secret(const void *a, const void *b, size_t n)
{
	return CRYPTO_memcmp(a, b, n) == 0;
}
