/* The location table in memory: shards of AORs, AORs of bindings. */
#include "config.h"

#include "bindery/location.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>

#include "bindery/alloc.h"
#include "bindery/clock.h"
#include "bindery/rand.h"

struct location_aor {
	struct hash_node node;
	struct binding *first;
	uint32_t count;
	uint16_t size;
	char name[];
};

struct location_shard {
	_Alignas(64) pthread_mutex_t lock;
	struct hash_table aors;
	struct wheel *wheel; /* made with the first binding: it is large */
	_Atomic int64_t wake; /* no expiry before */
	_Atomic uint64_t aor_count, binding_count;
};

struct location {
	struct hash_key key;
	bool (*alive)(void *context, flow_id flow);
	void *context;
	struct location_observer observer; /* set before there are workers */
	_Atomic uint64_t last_id;
	struct location_shard shards[LOCATION_SHARDS];
};

struct location *
location_new(bool (*alive)(void *context, flow_id flow), void *context)
{
	struct location *location = xcalloc(1, sizeof *location);

	location->alive = alive;
	location->context = context;
	random_bytes(&location->key, sizeof location->key);
	for (int i = 0; i < LOCATION_SHARDS; i++) {
		pthread_mutex_init(&location->shards[i].lock, NULL);
		atomic_init(&location->shards[i].wake, INT64_MAX);
	}
	return location;
}

/* The AOR in slot number `slot` of a shard, or NULL. */
static struct location_aor *
aor_at(const struct location_shard *shard, size_t slot)
{
	struct hash_node *node = hash_at(&shard->aors, slot);

	return node != NULL ? container_of(node, struct location_aor, node) : NULL;
}

void
location_free(struct location *location)
{
	if (location == NULL)
		return;
	for (int i = 0; i < LOCATION_SHARDS; i++) {
		struct location_shard *shard = &location->shards[i];

		for (size_t s = 0; s < hash_slots(&shard->aors); s++) {
			struct location_aor *aor = aor_at(shard, s);

			while (aor != NULL && aor->first != NULL) {
				struct binding *binding = aor->first;

				aor->first = binding->next;
				free(binding);
			}
			free(aor);
		}
		hash_free(&shard->aors);
		free(shard->wheel);
		pthread_mutex_destroy(&shard->lock);
	}
	free(location);
}

uint64_t
location_hash(const struct location *location, struct str aor)
{
	return hash64(&location->key, aor.p, aor.n);
}

static struct location_shard *
shard_of(struct location *location, uint64_t hash)
{
	return &location->shards[hash >> 58];
}

static struct str
name_of(const struct location_aor *aor)
{
	return (struct str){ aor->name, aor->size };
}

static void
add_to(_Atomic uint64_t *count, uint64_t by)
{
	/* written under the shard's lock, read without */
	atomic_store_explicit(count,
	    atomic_load_explicit(count, memory_order_relaxed) + by,
	    memory_order_relaxed);
}

/* ---- bindings ---- */

/* Bytes that a text takes of its own. */
static size_t
own_size(const struct binding *binding, int which)
{
	return which == BINDING_INSTANCE && binding->instance_at != UINT16_MAX
	    ? 0
	    : binding->size[which];
}

static const char *
text_at(const struct binding *binding, int which)
{
	const char *at = binding->text;

	for (int i = 0; i < which; i++)
		at += own_size(binding, i);
	return at;
}

struct str
binding_text(const struct binding *binding, enum binding_text which)
{
	const char *at = which == BINDING_INSTANCE &&
	        binding->instance_at != UINT16_MAX
	    ? text_at(binding, BINDING_PARAMS) + binding->instance_at
	    : text_at(binding, (int)which);

	return (struct str){ at, binding->size[which] };
}

struct hop
binding_hop(const struct binding *binding)
{
	const unsigned char *at =
	    (const unsigned char *)text_at(binding, BINDING_TEXTS);

	return (struct hop){ binding->transport, binding->flow,
		addr_unpack(at, binding->peer_size),
		addr_unpack(at + binding->peer_size, binding->local_size) };
}

uint32_t
binding_expires_in(const struct binding *binding, int64_t now)
{
	int64_t left = binding_expires_at(binding) - now;

	return left > 0 ? (uint32_t)((left + 999) / 1000) : 0;
}

static bool
same_texts(const struct binding *binding, const struct binding_data *data)
{
	for (int i = 0; i < BINDING_TEXTS; i++)
		if (!str_eq(binding_text(binding, (enum binding_text)i),
		        data->text[i]))
			return false;
	return true;
}

/* The addresses as they are kept; their sizes follow from their families. */
struct packed {
	unsigned char peer[ADDR_PACKED_MAX], local[ADDR_PACKED_MAX];
	size_t peer_size, local_size;
};

static struct packed
pack(const struct hop *hop)
{
	struct packed packed;

	packed.peer_size = addr_pack(&hop->peer, packed.peer);
	packed.local_size = addr_pack(&hop->local, packed.local);
	return packed;
}

static void
set_addresses(struct binding *binding, const struct packed *packed)
{
	char *at = (char *)(uintptr_t)text_at(binding, BINDING_TEXTS);

	memcpy(at, packed->peer, packed->peer_size);
	memcpy(at + packed->peer_size, packed->local, packed->local_size);
	binding->peer_size = (uint8_t)packed->peer_size;
	binding->local_size = (uint8_t)packed->local_size;
}

/* The instance stands in the parameters too: once is enough. */
static uint16_t
find_instance(const struct binding_data *data)
{
	struct str params = data->text[BINDING_PARAMS];
	struct str instance = data->text[BINDING_INSTANCE];
	const char *found = instance.n > 0 && params.n > 0
	    ? memmem(params.p, params.n, instance.p, instance.n)
	    : NULL;

	return found != NULL ? (uint16_t)(found - params.p) : UINT16_MAX;
}

static struct binding *
new_binding(const struct binding_data *data, const struct packed *packed)
{
	uint16_t instance_at = find_instance(data);
	size_t size = packed->peer_size + packed->local_size;
	struct binding *binding;
	char *at;

	for (int i = 0; i < BINDING_TEXTS; i++) {
		assert(data->text[i].n < UINT16_MAX);
		if (i != BINDING_INSTANCE || instance_at == UINT16_MAX)
			size += data->text[i].n;
	}
	binding = xmalloc(sizeof *binding + size);
	memset(binding, 0, sizeof *binding);
	binding->instance_at = instance_at;
	at = binding->text;
	for (int i = 0; i < BINDING_TEXTS; i++) {
		binding->size[i] = (uint16_t)data->text[i].n;
		if (own_size(binding, i) > 0)
			memcpy(at, data->text[i].p, data->text[i].n);
		at += own_size(binding, i);
	}
	return binding;
}

static void
set_expiry(struct location_shard *shard, struct binding *binding, int64_t at,
    int64_t now)
{
	if (shard->wheel == NULL) {
		shard->wheel = xmalloc(sizeof *shard->wheel);
		wheel_init(shard->wheel, now);
	}
	if (wheel_is_set(&binding->expiry) && at >= binding->expiry.at) {
		/* a refresh: the wheel gives it out early, and then looks */
		binding->expiry.at = at;
		return;
	}
	if (shard->wheel->count == 0) /* an empty wheel stood still */
		wheel_next_due(shard->wheel, now);
	wheel_set(shard->wheel, &binding->expiry, at);
	if (at < atomic_load_explicit(&shard->wake, memory_order_relaxed))
		atomic_store_explicit(&shard->wake, at, memory_order_relaxed);
}

static void
unlink_binding(struct location *location, struct location_shard *shard,
    struct binding *binding)
{
	struct location_aor *aor = binding->aor;
	struct binding **link = &aor->first;

	if (location->observer.dropped != NULL)
		location->observer.dropped(location->observer.context, name_of(aor),
		    binding);

	while (*link != binding)
		link = &(*link)->next;
	*link = binding->next;
	aor->count--;
	wheel_cancel(shard->wheel, &binding->expiry);
	add_to(&shard->binding_count, (uint64_t)-1);
	free(binding);
}

static void
drop_aor_if_empty(struct location_shard *shard, struct location_aor *aor)
{
	if (aor->count > 0)
		return;
	hash_remove(&shard->aors, &aor->node);
	add_to(&shard->aor_count, (uint64_t)-1);
	free(aor);
}

/* ---- holding one AOR ---- */

static struct location_aor *
find_aor(struct location_shard *shard, uint64_t hash, struct str name)
{
	struct hash_node *node = hash_first(&shard->aors, hash);

	for (; node != NULL; node = hash_next(&shard->aors, node)) {
		struct location_aor *aor =
		    container_of(node, struct location_aor, node);

		if (str_eq(name_of(aor), name))
			return aor;
	}
	return NULL;
}

static void
look(struct location_hold *hold)
{
	hold->first = hold->aor != NULL ? hold->aor->first : NULL;
	hold->count = hold->aor != NULL ? hold->aor->count : 0;
}

void
location_hold(struct location *location, struct str aor, int64_t now,
    struct location_hold *hold)
{
	uint64_t hash = location_hash(location, aor);

	*hold = (struct location_hold){ .location = location,
		.shard = shard_of(location, hash), .name = aor, .hash = hash,
		.now = now };
	pthread_mutex_lock(&hold->shard->lock);
	hold->aor = find_aor(hold->shard, hash, aor);
	look(hold);
}

void
location_release(struct location_hold *hold)
{
	if (hold->aor != NULL)
		drop_aor_if_empty(hold->shard, hold->aor);
	pthread_mutex_unlock(&hold->shard->lock);
	hold->aor = NULL;
	hold->first = NULL;
}

static struct location_aor *
make_aor(struct location_hold *hold)
{
	struct location_aor *aor = xmalloc(sizeof *aor + hold->name.n);

	*aor = (struct location_aor){ .size = (uint16_t)hold->name.n };
	memcpy(aor->name, hold->name.p, hold->name.n);
	hash_insert(&hold->shard->aors, &aor->node, hold->hash);
	add_to(&hold->shard->aor_count, 1);
	return aor;
}

/* The new one takes the old one's place in the AOR's order. */
static void
link_binding(struct location_hold *hold, struct binding *binding,
    struct binding *old)
{
	struct binding **link = &hold->aor->first;

	while (*link != old)
		link = &(*link)->next;
	binding->aor = hold->aor;
	binding->next = old != NULL ? old->next : NULL;
	*link = binding;
	if (old == NULL) {
		hold->aor->count++;
		add_to(&hold->shard->binding_count, 1);
		return;
	}
	wheel_cancel(hold->shard->wheel, &old->expiry);
	free(old);
}

static struct binding *
put(struct location_hold *hold, struct binding *old,
    const struct binding_data *data, bool *new_texts)
{
	struct binding *binding = old;
	int64_t since = old != NULL ? old->since : hold->now;
	uint64_t id = old != NULL ? old->id : 0;
	struct packed packed = pack(&data->hop);

	*new_texts = old == NULL || !same_texts(old, data);
	if (*new_texts || old->peer_size != packed.peer_size ||
	    old->local_size != packed.local_size) {
		if (hold->aor == NULL)
			hold->aor = make_aor(hold);
		binding = new_binding(data, &packed);
		link_binding(hold, binding, old);
	}
	set_addresses(binding, &packed);
	binding->id = id;
	binding->transport = data->hop.transport;
	binding->flow = data->hop.flow;
	binding->since = since;
	binding->refreshed = hold->now;
	binding->cseq = data->cseq;
	binding->reg_id = data->reg_id;
	binding->gruu_epoch = data->gruu_epoch;
	binding->q = data->q;
	set_expiry(hold->shard, binding, data->expires_at, hold->now);
	look(hold);
	return binding;
}

struct binding *
location_put(struct location_hold *hold, struct binding *old,
    const struct binding_data *data)
{
	const struct location_observer *observer = &hold->location->observer;
	bool new_texts;
	struct binding *binding = put(hold, old, data, &new_texts);

	if (binding->id == 0)
		binding->id = atomic_fetch_add_explicit(&hold->location->last_id, 1,
		                  memory_order_relaxed) + 1;
	if (observer->put != NULL)
		observer->put(observer->context, hold->name, binding, new_texts);
	return binding;
}

void
location_observe(struct location *location,
    const struct location_observer *observer)
{
	location->observer =
	    observer != NULL ? *observer : (struct location_observer){ 0 };
}

void
location_restore(struct location *location, struct str aor,
    const struct location_saved *saved, int64_t now)
{
	struct location_hold hold;
	struct binding *binding;
	bool new_texts;

	location_hold(location, aor, now, &hold);
	binding = put(&hold, NULL, &saved->data, &new_texts);
	binding->id = saved->id;
	binding->since = saved->since;
	binding->refreshed = saved->refreshed;
	if (saved->id > atomic_load(&location->last_id))
		atomic_store(&location->last_id, saved->id);
	location_release(&hold);
}

void
location_drop(struct location_hold *hold, struct binding *binding)
{
	unlink_binding(hold->location, hold->shard, binding);
	look(hold);
}

bool
location_is_reachable(const struct location *location,
    const struct binding *binding)
{
	return location->alive(location->context, binding->flow);
}

/* ---- all of them ---- */

void
location_count(const struct location *location, uint64_t *aors,
    uint64_t *bindings)
{
	*aors = *bindings = 0;
	for (int i = 0; i < LOCATION_SHARDS; i++) {
		*aors += atomic_load_explicit(&location->shards[i].aor_count,
		    memory_order_relaxed);
		*bindings += atomic_load_explicit(
		    &location->shards[i].binding_count, memory_order_relaxed);
	}
}

bool
location_expire(struct location *location, unsigned number, int64_t now,
    size_t most, location_expired_fn expired, void *context)
{
	struct location_shard *shard = &location->shards[number];

	if (now < atomic_load_explicit(&shard->wake, memory_order_relaxed))
		return false;
	pthread_mutex_lock(&shard->lock);
	for (; most > 0; most--) {
		struct wheel_node *node = wheel_next_due(shard->wheel, now);
		struct binding *binding;
		struct location_aor *aor;

		if (node == NULL)
			break;
		if (node->at > now) { /* refreshed, or was beyond its reach */
			wheel_set(shard->wheel, node, node->at);
			continue;
		}
		binding = container_of(node, struct binding, expiry);
		aor = binding->aor;
		if (expired != NULL)
			expired(context, name_of(aor), binding);
		unlink_binding(location, shard, binding);
		drop_aor_if_empty(shard, aor);
	}
	atomic_store_explicit(&shard->wake,
	    most == 0 ? now : wheel_wake(shard->wheel), memory_order_relaxed);
	pthread_mutex_unlock(&shard->lock);
	return most == 0;
}

/* Keeps the `n` entries of the least hashes, the greatest of them on top. */
static void
sift_down(struct location_aor **heap, size_t n, size_t at)
{
	for (;;) {
		size_t child = 2 * at + 1;
		struct location_aor *moved = heap[at];

		if (child >= n)
			return;
		if (child + 1 < n && heap[child + 1]->node.hash >
		        heap[child]->node.hash)
			child++;
		if (heap[child]->node.hash <= moved->node.hash)
			return;
		heap[at] = heap[child];
		heap[child] = moved;
		at = child;
	}
}

static void
sift_up(struct location_aor **heap, size_t at)
{
	while (at > 0 &&
	    heap[(at - 1) / 2]->node.hash < heap[at]->node.hash) {
		struct location_aor *moved = heap[at];

		heap[at] = heap[(at - 1) / 2];
		heap[(at - 1) / 2] = moved;
		at = (at - 1) / 2;
	}
}

static int
by_hash(const void *a, const void *b)
{
	uint64_t x = (*(struct location_aor *const *)a)->node.hash;
	uint64_t y = (*(struct location_aor *const *)b)->node.hash;

	return (x > y) - (x < y);
}

/* The `limit` AORs of a shard with the least hashes from `from` on, in order. */
static size_t
least_from(const struct location_shard *shard, uint64_t from,
    struct location_aor **heap, size_t limit)
{
	size_t n = 0;

	for (size_t s = 0; s < hash_slots(&shard->aors); s++) {
		struct hash_slot slot = shard->aors.slots[s];
		struct location_aor *aor;

		if (slot.node == NULL || slot.hash < from ||
		    (n == limit && slot.hash >= heap[0]->node.hash))
			continue; /* without a look at the AOR itself */
		aor = container_of(slot.node, struct location_aor, node);
		if (n < limit) {
			heap[n] = aor;
			sift_up(heap, n++);
		} else {
			heap[0] = aor;
			sift_down(heap, n, 0);
		}
	}
	qsort(heap, n, sizeof(struct location_aor *), by_hash);
	return n;
}

bool
location_list(struct location *location, uint64_t *cursor, size_t limit,
    location_show_fn show, void *context)
{
	struct location_aor **found = xcalloc(limit, sizeof *found);
	unsigned number = (unsigned)(*cursor >> 58);

	while (limit > 0) {
		struct location_shard *shard = &location->shards[number];
		size_t n;

		pthread_mutex_lock(&shard->lock);
		n = least_from(shard, *cursor, found, limit);
		for (size_t i = 0; i < n; i++)
			show(context, name_of(found[i]), found[i]->first);
		if (n == limit) {
			*cursor = found[n - 1]->node.hash + 1;
			pthread_mutex_unlock(&shard->lock);
			free(found);
			return *cursor != 0;
		}
		pthread_mutex_unlock(&shard->lock);
		limit -= n;
		if (++number == LOCATION_SHARDS)
			break;
		*cursor = (uint64_t)number << 58;
	}
	free(found);
	return false;
}

enum { SWEEP = 256 }; /* AORs looked at while a shard is held */

struct sweep {
	bool (*keep)(void *context, struct str aor);
	void *context;
	struct str unwanted[SWEEP]; /* names, copied */
	size_t count;
};

static void
judge(void *argument, struct str aor, const struct binding *first)
{
	struct sweep *sweep = argument;

	(void)first;
	if (!sweep->keep(sweep->context, aor))
		sweep->unwanted[sweep->count++] =
		    (struct str){ xmemdupz(aor.p, aor.n), aor.n };
}

void
location_sweep(struct location *location,
    bool (*keep)(void *context, struct str aor), location_expired_fn dropped,
    void *context)
{
	struct sweep sweep = { .keep = keep, .context = context };
	uint64_t cursor = 0;
	bool more;

	do {
		more = location_list(location, &cursor, SWEEP, judge, &sweep);
		while (sweep.count > 0) {
			struct str aor = sweep.unwanted[--sweep.count];
			struct location_hold hold;

			location_hold(location, aor, clock_mono_ms(), &hold);
			while (hold.first != NULL) {
				dropped(context, aor, hold.first);
				location_drop(&hold, hold.first);
			}
			location_release(&hold);
			free((char *)(uintptr_t)aor.p);
		}
	} while (more);
}
