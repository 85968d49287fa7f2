/*
 * A nonce is 24 bytes in base64url: when it was made, a number, and a MAC of
 * both and the realm. What was used with each is kept in tables by time of
 * issue, so that forgetting is dropping a table.
 */
#include "config.h"

#include "nonce.h"

#include <pthread.h>
#include <stdlib.h>

#include "bindery/alloc.h"
#include "bindery/hash.h"
#include "bindery/rand.h"

enum { TIME = 4, NUMBER = 8, CODE = NONCE_CODE, BYTES = TIME + NUMBER + CODE };
enum { SHARDS = 64, PERIOD_S = 128, WINDOW = 32 };
enum { USES_MAX = 1 << 18 }; /* a shard; beyond it the oldest are forgotten */

/*
 * A nonce is known by 64 bits, of its number and of its realm and code. These
 * were proven right and need not be computed again: a hash is enough, as who
 * comes so far knows a password.
 */
struct use {
	uint32_t number, proof;
	uint32_t highest; /* count; 0: free */
	uint32_t seen;    /* bit i: count `highest` - i was used */
};

/* Uses of the nonces that were issued in one period, in an open table. */
struct period {
	struct period *next;
	uint32_t epoch;
	size_t room, count;
	struct use *uses;
};

struct shard {
	_Alignas(64) pthread_mutex_t lock;
	struct period *periods; /* the latest first */
	size_t count;           /* of uses, in all of these */
	uint32_t forgotten;     /* epochs before this one are not known any more */
};

struct auth_shared {
	struct mac *mac; /* to be duplicated, not used */
	struct hash_key key;
	struct shard shards[SHARDS];
};

struct nonce_maker {
	struct mac *mac;
	uint64_t next_number;
};

struct auth_shared *
auth_shared_new(void)
{
	struct auth_shared *shared = xcalloc(1, sizeof *shared);

	shared->mac = mac_new();
	random_bytes(&shared->key, sizeof shared->key);
	for (int i = 0; i < SHARDS; i++)
		pthread_mutex_init(&shared->shards[i].lock, NULL);
	return shared;
}

static void
free_periods(struct period *period)
{
	struct period *next;

	for (; period != NULL; period = next) {
		next = period->next;
		free(period->uses);
		free(period);
	}
}

void
auth_shared_free(struct auth_shared *shared)
{
	if (shared == NULL)
		return;
	for (int i = 0; i < SHARDS; i++) {
		free_periods(shared->shards[i].periods);
		pthread_mutex_destroy(&shared->shards[i].lock);
	}
	mac_free(shared->mac);
	free(shared);
}

struct nonce_maker *
nonce_maker_new(struct auth_shared *shared)
{
	struct nonce_maker *maker = xcalloc(1, sizeof *maker);

	maker->mac = mac_dup(shared->mac);
	maker->next_number = random_u64();
	return maker;
}

void
nonce_maker_free(struct nonce_maker *maker)
{
	if (maker == NULL)
		return;
	mac_free(maker->mac);
	free(maker);
}

/* ---- text ---- */

static const char alphabet[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

static void
encode(const unsigned char from[BYTES], char text[NONCE_SIZE])
{
	for (int i = 0; i < BYTES; i += 3) {
		unsigned group = (unsigned)from[i] << 16 |
		    (unsigned)from[i + 1] << 8 | from[i + 2];

		for (int shift = 18; shift >= 0; shift -= 6)
			*text++ = alphabet[group >> shift & 63];
	}
}

/* The value of a character of the alphabet with 1 added; 0 for any other. */
/* clang-format off */
static const uint8_t values[256] = {
	['A'] = 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19,
	20, 21, 22, 23, 24, 25, 26,
	['a'] = 27, 28, 29, 30, 31, 32, 33, 34, 35, 36, 37, 38, 39, 40, 41, 42, 43,
	44, 45, 46, 47, 48, 49, 50, 51, 52,
	['0'] = 53, 54, 55, 56, 57, 58, 59, 60, 61, 62,
	['-'] = 63, ['_'] = 64,
};
/* clang-format on */

static bool
decode(struct str text, unsigned char to[BYTES])
{
	if (text.n != NONCE_SIZE)
		return false;
	for (size_t i = 0; i < NONCE_SIZE; i += 4) {
		unsigned group = 0;

		for (size_t j = 0; j < 4; j++) {
			unsigned value = values[(unsigned char)text.p[i + j]];

			if (value == 0)
				return false;
			group = group << 6 | (value - 1);
		}
		*to++ = (unsigned char)(group >> 16);
		*to++ = (unsigned char)(group >> 8);
		*to++ = (unsigned char)group;
	}
	return true;
}

static void
sign(struct nonce_maker *maker, const unsigned char head[TIME + NUMBER],
    struct str realm, unsigned char code[MAC_SIZE])
{
	char bytes[TIME + NUMBER + 256];
	struct out out = out_to(bytes, sizeof bytes);

	out_bytes(&out, head, TIME + NUMBER);
	out_bytes(&out, realm.p, realm.n < 256 ? realm.n : 256);
	mac_sign(maker->mac, out_str(&out), code);
}

void
nonce_make(struct nonce_maker *maker, struct str realm, int64_t now_ms,
    char text[NONCE_SIZE])
{
	uint32_t issued = (uint32_t)(now_ms / 1000);
	unsigned char bytes[BYTES], code[MAC_SIZE];

	if (maker->next_number == 0)
		maker->next_number++;
	memcpy(bytes, &issued, TIME);
	memcpy(bytes + TIME, &maker->next_number, NUMBER);
	maker->next_number++;
	sign(maker, bytes, realm, code);
	memcpy(bytes + TIME + NUMBER, code, CODE);
	encode(bytes, text);
}

bool
nonce_read(struct str text, struct nonce *nonce)
{
	unsigned char bytes[BYTES];

	if (!decode(text, bytes))
		return false;
	memcpy(&nonce->issued, bytes, TIME);
	memcpy(&nonce->number, bytes + TIME, NUMBER);
	memcpy(nonce->code, bytes + TIME + NUMBER, CODE);
	return nonce->number != 0;
}

bool
nonce_is_ours(struct nonce_maker *maker, struct str realm, const struct nonce *nonce)
{
	unsigned char head[TIME + NUMBER], code[MAC_SIZE];

	memcpy(head, &nonce->issued, TIME);
	memcpy(head + TIME, &nonce->number, NUMBER);
	sign(maker, head, realm, code);
	return same_secret(nonce->code, code, CODE);
}

/* ---- what was used ---- */

/* The use of this nonce, or the place for it. */
static struct use *
find(const struct period *period, uint32_t number, uint32_t proof)
{
	size_t at = (size_t)((uint64_t)(number * 0x9e3779b9u) * period->room >> 32);

	for (;; at++) {
		struct use *use;

		if (at == period->room)
			at = 0;
		use = &period->uses[at];
		if (use->highest == 0 ||
		    (use->number == number && use->proof == proof))
			return use;
	}
}

/* In small steps: these tables are most of what a registration leaves behind. */
static void
grow(struct period *period)
{
	struct use *old = period->uses;
	size_t room = period->room;

	period->room = room > 0 ? room + room / 2 : 16;
	period->uses = xcalloc(period->room, sizeof *period->uses);
	for (size_t i = 0; i < room; i++)
		if (old[i].highest != 0)
			*find(period, old[i].number, old[i].proof) = old[i];
	free(old);
}

/* A nonce of this period or before is stale from now on. */
static void
forget(struct shard *shard, struct period **link)
{
	struct period *period = *link;

	*link = NULL;
	shard->forgotten = period->epoch + 1;
	for (const struct period *p = period; p != NULL; p = p->next)
		shard->count -= p->count;
	free_periods(period);
}

/* Those whose nonces have all aged; and the oldest if there are too many. */
static void
forget_old(struct shard *shard, int64_t lifetime, int64_t now_ms)
{
	int64_t oldest = (now_ms / 1000 - lifetime) / PERIOD_S;
	struct period **link = &shard->periods;

	while (*link != NULL && (int64_t)(*link)->epoch >= oldest &&
	    (shard->count <= USES_MAX || (*link)->next != NULL ||
	        link == &shard->periods))
		link = &(*link)->next;
	if (*link != NULL)
		forget(shard, link);
}

static struct period *
period_of(struct shard *shard, uint32_t epoch)
{
	struct period **link = &shard->periods, *period;

	while (*link != NULL && (*link)->epoch > epoch)
		link = &(*link)->next;
	period = *link;
	if (period != NULL && period->epoch == epoch)
		return period;
	period = xcalloc(1, sizeof *period);
	period->epoch = epoch;
	period->next = *link;
	*link = period;
	grow(period);
	return period;
}

static bool
use_count(struct use *use, uint32_t count)
{
	uint32_t bit;

	if (count > use->highest) {
		uint32_t ahead = count - use->highest;

		use->seen = ahead < WINDOW ? use->seen << ahead : 0;
		use->seen |= 1;
		use->highest = count;
		return true;
	}
	if (use->highest - count >= WINDOW)
		return false;
	bit = (uint32_t)1 << (use->highest - count);
	if ((use->seen & bit) != 0)
		return false;
	use->seen |= bit;
	return true;
}

static struct shard *
shard_of(struct auth_shared *shared, const struct nonce *nonce)
{
	return &shared->shards[nonce->number % SHARDS];
}

/* Numbers count up, and a shard has each 64th: these bits differ longest. */
static uint32_t
number_of(const struct nonce *nonce)
{
	return (uint32_t)(nonce->number / SHARDS);
}

static uint32_t
proof_of(const struct auth_shared *shared, struct str realm,
    const struct nonce *nonce)
{
	uint64_t code;

	memcpy(&code, nonce->code, sizeof code);
	code ^= hash64(&shared->key, realm.p, realm.n) +
	    nonce->issued * 0x9e3779b97f4a7c15u;
	return (uint32_t)(code ^ code >> 32);
}

/* Held: notes a count of a nonce that is known; false if it is not. */
static bool
use_known(struct shard *shard, const struct nonce *nonce, uint32_t proof,
    uint32_t count, enum nonce_verdict *verdict)
{
	uint32_t epoch = nonce->issued / PERIOD_S;
	struct period *period = shard->periods;
	struct use *use;

	while (period != NULL && period->epoch > epoch)
		period = period->next;
	if (period == NULL || period->epoch != epoch)
		return false;
	use = find(period, number_of(nonce), proof);
	if (use->highest == 0)
		return false;
	/* one that is used without a count, then or now, serves once */
	*verdict = count != 0 && use_count(use, count) ? NONCE_FRESH : NONCE_USED;
	return true;
}

/* Held: the first use of a nonce that was proven to be ours. */
static enum nonce_verdict
use_first(struct shard *shard, const struct nonce *nonce, uint32_t proof,
    uint32_t count, int64_t lifetime, int64_t now_ms)
{
	struct period *period;
	struct use *use;

	if (shard->periods == NULL || shard->count > USES_MAX ||
	    nonce->issued / PERIOD_S > shard->periods->epoch)
		forget_old(shard, lifetime, now_ms);
	if (nonce->issued / PERIOD_S < shard->forgotten)
		return NONCE_STALE;
	period = period_of(shard, nonce->issued / PERIOD_S);
	if (5 * (period->count + 1) > 4 * period->room)
		grow(period);
	use = find(period, number_of(nonce), proof);
	if (use->highest == 0) {
		period->count++;
		shard->count++;
	}
	*use = (struct use){ .number = number_of(nonce), .proof = proof };
	if (count == 0) { /* serves once: all counts are used up */
		use->highest = UINT32_MAX;
		use->seen = UINT32_MAX;
	} else {
		use_count(use, count);
	}
	return NONCE_FRESH;
}

enum nonce_verdict
nonce_use(struct auth_shared *shared, struct nonce_maker *maker,
    struct str realm, const struct nonce *nonce, uint32_t count,
    int64_t lifetime, int64_t now_ms)
{
	struct shard *shard = shard_of(shared, nonce);
	uint32_t proof = proof_of(shared, realm, nonce);
	enum nonce_verdict verdict;
	bool known;

	if (now_ms / 1000 < nonce->issued ||
	    now_ms / 1000 - nonce->issued >= lifetime)
		return NONCE_STALE;
	pthread_mutex_lock(&shard->lock);
	known = use_known(shard, nonce, proof, count, &verdict);
	pthread_mutex_unlock(&shard->lock);
	if (known)
		return verdict;
	if (!nonce_is_ours(maker, realm, nonce))
		return NONCE_STALE;
	pthread_mutex_lock(&shard->lock);
	/* another worker may have come first */
	if (!use_known(shard, nonce, proof, count, &verdict))
		verdict = use_first(shard, nonce, proof, count, lifetime, now_ms);
	pthread_mutex_unlock(&shard->lock);
	return verdict;
}
