/*
 * Who may register: an immutable snapshot of users, counted, swapped as a
 * whole. Files are read in any thread; look-ups are lock-free.
 */
#ifndef BINDERY_DIRECTORY_H
#define BINDERY_DIRECTORY_H

#include "bindery/crypto.h"
#include "bindery/faults.h"
#include "bindery/str.h"

struct user {
	struct str username; /* as in credentials */
	struct str domain;   /* as configured: the domain's own name */
	struct str aor;      /* "alice@example.com" */
	struct str *aliases; /* other AORs, canonical */
	size_t alias_count;
	uint32_t max_contacts; /* 0: the registrar's own limit */
	bool enabled;
	uint8_t has_ha1; /* bit i: ha1[i] is there */
	unsigned char ha1[DIGEST_ALGORITHMS][DIGEST_MAX];
};

struct directory;

/* What a domain of the configuration means for its users. */
struct directory_domain {
	struct str name, realm;
};
/*
 * Finds the domain that a user's "domain" names, by name or alias. Its
 * strings must live while the directory is read.
 */
typedef struct directory_domain (*directory_domain_fn)(void *context,
    struct str name);

/*
 * Reads users.json, or users.jsonl by its ending. NULL if there is any fault;
 * all are listed. Secrets are hashed here: no password stays in memory.
 */
struct directory *directory_read_json(const char *path,
    directory_domain_fn domain_of, void *context, struct faults *faults);
struct directory *directory_ref(struct directory *directory);
void directory_unref(struct directory *directory);

/* The user with this name in this domain, or NULL; lent. */
const struct user *directory_find(const struct directory *directory,
    struct str username, struct str domain);
/* The user that an AOR, its own or an alias, belongs to; or NULL. */
const struct user *directory_find_aor(const struct directory *directory,
    struct str aor);
size_t directory_size(const struct directory *directory);
/* User number i, in the order of the file. */
const struct user *directory_at(const struct directory *directory, size_t i);
/* True if this AOR is the user's own or one of its aliases. */
bool user_owns(const struct user *user, struct str aor);

#endif
