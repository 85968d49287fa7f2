/*
 * The location table: which addresses of record are bound to which contacts,
 * by which flows. All workers share it; it is cut into shards with a lock
 * each. Who changes an AOR holds it:
 *
 *	struct location_hold hold;
 *	location_hold(location, aor, &hold);
 *	... look at hold.first, location_put(), location_drop() ...
 *	location_release(&hold);
 *
 * A hold is a lock: between the two, compute, do not wait.
 */
#ifndef BINDERY_LOCATION_H
#define BINDERY_LOCATION_H

#include "bindery/hash.h"
#include "bindery/hop.h"
#include "bindery/loop.h"

/* ---- bindings ---- */

/* The texts of a binding, as they were received. */
enum binding_text {
	BINDING_URI,        /* the Contact's URI, without < > */
	BINDING_PARAMS,     /* its parameters, without expires and the registrar's own */
	BINDING_CALL_ID,
	BINDING_INSTANCE,   /* of +sip.instance: "<urn:...>" */
	BINDING_PATH,       /* the Path values, with commas between */
	BINDING_USER_AGENT,
	BINDING_TEXTS
};

/* What a REGISTER says of one binding; lent. */
struct binding_data {
	struct str text[BINDING_TEXTS];
	struct hop hop;      /* whence it was registered */
	int64_t expires_at;  /* clock_mono_ms() */
	uint32_t cseq;
	uint32_t reg_id;     /* 0: none */
	uint32_t gruu_epoch; /* names the instance's temporary GRUUs */
	uint16_t q;          /* thousandths */
};

struct binding {
	struct binding *next; /* the AOR's next, in order of their making */
	struct wheel_node expiry;
	struct location_aor *aor;
	uint64_t id; /* its own for life, on disk too */
	const struct transport *transport;
	flow_id flow;
	int64_t since, refreshed; /* clock_mono_ms() */
	uint32_t cseq, reg_id, gruu_epoch;
	uint16_t q;
	uint16_t size[BINDING_TEXTS];
	uint16_t instance_at; /* within the parameters, which have it too */
	uint8_t peer_size, local_size; /* addresses, packed behind the texts */
	char text[];
};

struct str binding_text(const struct binding *binding, enum binding_text which);
static inline int64_t
binding_expires_at(const struct binding *binding)
{
	return binding->expiry.at;
}
/* Whence it was registered, and the way to it. */
struct hop binding_hop(const struct binding *binding);
/* Seconds left, rounded up. */
uint32_t binding_expires_in(const struct binding *binding, int64_t now);

/* ---- the table ---- */

struct location;
struct location_shard;
struct location_aor;

enum { LOCATION_SHARDS = 64 };

/* `alive` tells, from any thread, which flows live. */
struct location *location_new(bool (*alive)(void *context, flow_id flow),
    void *context);
void location_free(struct location *location);

struct location_hold {
	struct location *location;
	struct location_shard *shard;
	struct location_aor *aor; /* NULL: nothing is bound yet */
	struct binding *first;    /* the bindings, in order of their making */
	size_t count;
	struct str name;
	uint64_t hash;
	int64_t now;
};

/*
 * Locks the AOR's shard and finds its bindings; some may have expired by `now`
 * and wait to be dropped. `aor` is lent until the release.
 */
void location_hold(struct location *location, struct str aor, int64_t now,
    struct location_hold *hold);
void location_release(struct location_hold *hold);
/*
 * Makes a binding from data, in place of `old` if that is not NULL, whose
 * `since` it keeps. Returns the binding, whose address may differ from old's.
 */
struct binding *location_put(struct location_hold *hold, struct binding *old,
    const struct binding_data *data);
void location_drop(struct location_hold *hold, struct binding *binding);
/* True if a request could be sent to it now: its flow lives. */
bool location_is_reachable(const struct location *location,
    const struct binding *binding);

/* Numbers over all shards. */
void location_count(const struct location *location, uint64_t *aors,
    uint64_t *bindings);

/*
 * Drops what expired in one shard and tells of each; the shard is locked
 * meanwhile, and at most `most` are dropped. True if there may be more.
 */
typedef void (*location_expired_fn)(void *context, struct str aor,
    const struct binding *binding);
bool location_expire(struct location *location, unsigned shard, int64_t now,
    size_t most, location_expired_fn expired, void *context);

/*
 * Walks over the AORs in the order of their hashes, for listings: at most
 * `limit` of them from *cursor on, each held while it is shown. *cursor is
 * then where to go on; false when all have been shown. An AOR that is there
 * all the time is shown exactly once.
 */
typedef void (*location_show_fn)(void *context, struct str aor,
    const struct binding *first);
bool location_list(struct location *location, uint64_t *cursor, size_t limit,
    location_show_fn show, void *context);

/*
 * Drops all bindings of the AORs that keep() refuses, a few at a time, so that
 * nobody waits long; tells of each as location_expire() does. From any thread.
 */
void location_sweep(struct location *location,
    bool (*keep)(void *context, struct str aor), location_expired_fn dropped,
    void *context);

/*
 * Who is told of each change, while the AOR is held: post, do not wait.
 * `new_texts` is false when only figures changed. NULL ends it.
 */
struct location_observer {
	void *context;
	void (*put)(void *context, struct str aor, const struct binding *binding,
	    bool new_texts);
	void (*dropped)(void *context, struct str aor,
	    const struct binding *binding);
};
void location_observe(struct location *location,
    const struct location_observer *observer);

/* A binding from before a restart; its observer is not told. */
struct location_saved {
	uint64_t id;
	int64_t since, refreshed; /* clock_mono_ms(); may be negative */
	struct binding_data data;
};
void location_restore(struct location *location, struct str aor,
    const struct location_saved *saved, int64_t now);

/* The hash that names an AOR in this table, and in temporary GRUUs. */
uint64_t location_hash(const struct location *location, struct str aor);

#endif
