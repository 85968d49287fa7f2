/* Events as lines of text: for `events`, and the last ones for `watch`. */
#ifndef BINDERY_CTL_EVENTS_H
#define BINDERY_CTL_EVENTS_H

#include "client.h"
#include "text.h"

/* "2026-11-23T14:00:00.123Z registered aor=sip:alice@example.com uri=..." */
void event_text(struct buf *to, const json_t *params);
/* Events of these types from now on, of all if there are none. */
bool subscribe(struct client *client, char *const *types, size_t count);

#endif
