/* Connections an address, counted over all workers; and who was told of lately. */
#include "config.h"

#include "net_priv.h"

#include <stdlib.h>
#include <sys/socket.h>

#include "bindery/alloc.h"
#include "bindery/log.h"
#include "bindery/rand.h"

struct address_count {
	struct hash_node node;
	struct addr host;
	int64_t connections;
};

struct net_shared *
net_shared_new(unsigned workers)
{
	struct net_shared *shared = xcalloc(1, sizeof *shared);

	shared->workers = workers;
	random_bytes(&shared->key, sizeof shared->key);
	pthread_mutex_init(&shared->told.lock, NULL);
	for (size_t i = 0; i < LIMIT_SHARDS; i++)
		pthread_mutex_init(&shared->shards[i].lock, NULL);
	return shared;
}

void
net_shared_free(struct net_shared *shared)
{
	if (shared == NULL)
		return;
	for (size_t i = 0; i < LIMIT_SHARDS; i++) {
		hash_free(&shared->shards[i].table);
		pthread_mutex_destroy(&shared->shards[i].lock);
	}
	pthread_mutex_destroy(&shared->told.lock);
	for (size_t i = 0; i < WORKERS_MAX; i++)
		slots_fini(&shared->slots[i]);
	free(shared);
}

bool
flow_is_alive(const struct net_shared *shared, flow_id id)
{
	return slot_worker(id) < shared->workers &&
	    slots_alive(&shared->slots[slot_worker(id)], id);
}

/* Who holds one IPv6 address holds its /64: that is what is counted. */
static struct addr
counted_host(const struct addr *peer)
{
	struct addr host = *peer;

	host.port = 0;
	if (host.family == AF_INET6)
		memset(host.ip + 8, 0, 8);
	return host;
}

static struct address_count *
find(struct limit_shard *shard, uint64_t hash, const struct addr *host)
{
	struct hash_node *node = hash_first(&shard->table, hash);

	for (; node != NULL; node = hash_next(&shard->table, node)) {
		struct address_count *entry =
		    container_of(node, struct address_count, node);

		if (addr_eq(&entry->host, host))
			return entry;
	}
	return NULL;
}

bool
limit_enter(struct net_shared *shared, const struct addr *peer, int64_t most)
{
	struct addr host = counted_host(peer);
	uint64_t hash = hash64(&shared->key, &host, sizeof host);
	struct limit_shard *shard = &shared->shards[hash >> 32 & (LIMIT_SHARDS - 1)];
	struct address_count *entry;
	bool let_in;

	pthread_mutex_lock(&shard->lock);
	entry = find(shard, hash, &host);
	if (entry == NULL) {
		entry = xcalloc(1, sizeof *entry);
		entry->host = host;
		hash_insert(&shard->table, &entry->node, hash);
	}
	let_in = entry->connections < most;
	if (let_in)
		entry->connections++;
	if (entry->connections == 0) {
		hash_remove(&shard->table, &entry->node);
		free(entry);
	}
	pthread_mutex_unlock(&shard->lock);
	return let_in;
}

void
limit_leave(struct net_shared *shared, const struct addr *peer)
{
	struct addr host = counted_host(peer);
	uint64_t hash = hash64(&shared->key, &host, sizeof host);
	struct limit_shard *shard = &shared->shards[hash >> 32 & (LIMIT_SHARDS - 1)];
	struct address_count *entry;

	pthread_mutex_lock(&shard->lock);
	entry = find(shard, hash, &host);
	if (entry != NULL && --entry->connections == 0) {
		hash_remove(&shard->table, &entry->node);
		free(entry);
	}
	pthread_mutex_unlock(&shard->lock);
}

bool
told_lately(struct net_shared *shared, int64_t now, const struct addr *peer,
    unsigned what)
{
	struct told *told = &shared->told;
	struct addr host = counted_host(peer);
	uint64_t hash;
	bool lately;
	size_t at;

	host.port = (uint16_t)what;
	hash = hash64(&shared->key, &host, sizeof host);
	at = hash % TOLD;
	pthread_mutex_lock(&told->lock);
	lately = told->hash[at] == hash && now < told->until[at];
	if (!lately) {
		told->hash[at] = hash;
		told->until[at] = now + 60000;
	}
	pthread_mutex_unlock(&told->lock);
	return lately;
}

void
net_tell_limit(struct net *net, const struct hop *hop, const char *limit,
    enum count which)
{
	char address[ADDR_HOST_SIZE];

	if (told_lately(net->shared, loop_now(net->loop), &hop->peer, which))
		return;
	if (net->handler.limited != NULL)
		net->handler.limited(net->handler.context, limit, &hop->peer,
		    hop->transport);
	log_event(LOG_NOTICE, "security", "limit", LOG_Z("limit", limit),
	    LOG_Z("address", addr_bare_host(&hop->peer, address)),
	    LOG_Z("transport", hop->transport->name));
}
