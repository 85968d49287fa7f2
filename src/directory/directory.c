/* The snapshot of users and its two indexes. */
#include "config.h"

#include "directory_priv.h"

#include <stdlib.h>

#include "bindery/alloc.h"
#include "bindery/rand.h"

struct directory *
directory_new(void)
{
	struct directory *directory = xcalloc(1, sizeof *directory);

	atomic_init(&directory->references, 1);
	random_bytes(&directory->key, sizeof directory->key);
	return directory;
}

struct directory *
directory_ref(struct directory *directory)
{
	atomic_fetch_add(&directory->references, 1);
	return directory;
}

void
directory_unref(struct directory *directory)
{
	if (directory == NULL || atomic_fetch_sub(&directory->references, 1) > 1)
		return;
	for (size_t i = 0; i < directory->count; i++) {
		struct entry *entry = directory->entries[i];

		OPENSSL_cleanse(entry->user.ha1, sizeof entry->user.ha1);
		free(entry->user.aliases);
		free(entry->aliases);
		free(entry);
	}
	free(directory->entries);
	hash_free(&directory->by_name);
	hash_free(&directory->by_aor);
	free(directory);
}

/* "alice" and "example.com" as "alice@example.com", for hashing. */
static uint64_t
hash_of(const struct directory *directory, struct str a, struct str b)
{
	char text[1024];
	struct out out = out_to(text, sizeof text);

	out_add(&out, a);
	out_char(&out, '\n');
	out_add(&out, b);
	return hash64(&directory->key, text, out_size(&out));
}

const struct user *
directory_find(const struct directory *directory, struct str username,
    struct str domain)
{
	struct hash_node *node = hash_first(&directory->by_name,
	    hash_of(directory, username, domain));

	for (; node != NULL; node = hash_next(&directory->by_name, node)) {
		struct entry *entry = container_of(node, struct entry, by_name);

		if (str_eq(entry->user.username, username) &&
		    str_eq(entry->user.domain, domain))
			return &entry->user;
	}
	return NULL;
}

const struct user *
directory_find_aor(const struct directory *directory, struct str aor)
{
	struct hash_node *node = hash_first(&directory->by_aor,
	    hash64(&directory->key, aor.p, aor.n));

	for (; node != NULL; node = hash_next(&directory->by_aor, node)) {
		struct aor_entry *entry =
		    container_of(node, struct aor_entry, node);

		if (str_eq(entry->aor, aor))
			return &entry->owner->user;
	}
	return NULL;
}

static void
index_aor(struct directory *directory, struct aor_entry *entry,
    struct entry *owner, struct str aor)
{
	entry->owner = owner;
	entry->aor = aor;
	hash_insert(&directory->by_aor, &entry->node,
	    hash64(&directory->key, aor.p, aor.n));
}

const struct user *
directory_add(struct directory *directory, struct entry *entry)
{
	struct user *user = &entry->user;
	const struct user *other =
	    directory_find(directory, user->username, user->domain);

	if (other == NULL)
		other = directory_find_aor(directory, user->aor);
	for (size_t i = 0; i < user->alias_count && other == NULL; i++)
		other = directory_find_aor(directory, user->aliases[i]);
	if (other != NULL)
		return other;
	if (directory->count == directory->room) {
		directory->room = directory->room > 0 ? 2 * directory->room : 64;
		directory->entries = xrealloc(directory->entries,
		    directory->room * sizeof(struct entry *));
	}
	directory->entries[directory->count++] = entry;
	hash_insert(&directory->by_name, &entry->by_name,
	    hash_of(directory, user->username, user->domain));
	index_aor(directory, &entry->own, entry, user->aor);
	entry->aliases = xcalloc(user->alias_count, sizeof *entry->aliases);
	for (size_t i = 0; i < user->alias_count; i++)
		index_aor(directory, &entry->aliases[i], entry, user->aliases[i]);
	return NULL;
}

size_t
directory_size(const struct directory *directory)
{
	return directory->count;
}

const struct user *
directory_at(const struct directory *directory, size_t i)
{
	return &directory->entries[i]->user;
}

bool
user_owns(const struct user *user, struct str aor)
{
	if (str_eq(user->aor, aor))
		return true;
	for (size_t i = 0; i < user->alias_count; i++)
		if (str_eq(user->aliases[i], aor))
			return true;
	return false;
}
