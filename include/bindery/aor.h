/*
 * Addresses of record, as they name bindings and users: one text for all ways
 * to write one.
 */
#ifndef BINDERY_AOR_H
#define BINDERY_AOR_H

#include "bindery/buf.h"

enum { AOR_MAX = 512 };

/*
 * Writes the canonical address of record (RFC 3261 10.3 step 5): the user with
 * its escapes undone, but for those that would be no text any more, and
 * `domain` as given: "alice@example.com".
 */
void aor_write(struct out *out, struct str user, struct str domain);

#endif
