/* The inside of a directory, for those that fill it. */
#ifndef BINDERY_DIRECTORY_PRIV_H
#define BINDERY_DIRECTORY_PRIV_H

#include "bindery/directory.h"

#include <stdatomic.h>

#include <openssl/crypto.h>

#include "bindery/buf.h"
#include "bindery/hash.h"

struct entry;

struct aor_entry {
	struct hash_node node;
	struct str aor;
	struct entry *owner;
};

struct entry {
	struct user user;
	struct hash_node by_name;
	struct aor_entry own, *aliases;
	unsigned line; /* of the file, or the index of the user in it */
	char text[];   /* what the user's strings lie in */
};

struct directory {
	_Atomic int references;
	struct hash_key key;
	struct hash_table by_name, by_aor;
	struct entry **entries;
	size_t count, room;
};

struct directory *directory_new(void);
/*
 * Takes the entry, unless its name or an AOR is taken already: then whoever
 * has it is returned, and the entry is still the caller's.
 */
const struct user *directory_add(struct directory *directory,
    struct entry *entry);

#endif
