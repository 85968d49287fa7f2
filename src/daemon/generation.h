/*
 * A generation: one configuration with the directories and certificates that
 * it names, read, checked, and never changed again. A reload makes the next
 * one and swaps it in as a whole. Workers count their hold on it.
 */
#ifndef BINDERY_GENERATION_H
#define BINDERY_GENERATION_H

#include <stdatomic.h>

#include "bindery/hash.h"
#include "conf.h"

struct generation {
	_Atomic int references;
	unsigned number;
	int64_t loaded_at; /* clock_wall_ms() */
	struct conf conf;
	struct directory **directories;     /* as conf.directories */
	struct tls_context **tls;           /* as conf.tls */
	struct registrar_domain *domains;   /* as conf.domains */
	const struct registrar_domain *any; /* the domain "*", or NULL */
	struct hash_key key;
	struct hash_table hosts;
	struct host_entry *host_entries;
	size_t host_count;
};

/* Reads everything anew. NULL with all the faults that there are. */
struct generation *generation_read(const char *path, struct faults *faults);
struct generation *generation_ref(struct generation *generation);
void generation_unref(struct generation *generation);

/* The domain of a lower-case host name or address, or NULL. */
const struct registrar_domain *generation_domain(
    const struct generation *generation, struct str host);
/* The user of an AOR "name@domain" of a domain that is served; or NULL. */
const struct user *generation_user(const struct generation *generation,
    struct str aor);
size_t generation_users(const struct generation *generation);

#endif
