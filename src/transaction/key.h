/* Keys of server transactions. */
#ifndef BINDERY_KEY_H
#define BINDERY_KEY_H

#include "bindery/transaction.h"

/* A branch that is unique by RFC 3261: the magic cookie and more. */
bool tx_has_cookie(struct str branch);
/*
 * The keys of a request: without its method, which is compared apart, as an
 * ACK and a CANCEL have the branch of what they are for. No merge key (zeros)
 * for a request within a dialog.
 */
void tx_keys(const struct sip_message *m, const struct hash_key *key,
    struct tx_match *match);

#endif
