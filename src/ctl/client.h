/*
 * The other end of the control socket: JSON-RPC 2.0, one message a line.
 * Whatever goes wrong is told to the user here, once.
 */
#ifndef BINDERY_CTL_CLIENT_H
#define BINDERY_CTL_CLIENT_H

#include <jansson.h>

#include "ctl.h"

struct client;
/* `params` of an event are lent. */
typedef void (*client_event_fn)(void *context, const json_t *params);

/* NULL after telling why. `path` is lent for the client's life. */
struct client *client_open(const char *path);
/* The same without a word to the user, then and later; waits less. */
struct client *client_open_quiet(const char *path);
void client_close(struct client *client);

/* Events that come in between go there. */
void client_on_event(struct client *client, client_event_fn fn,
    void *context);
/* client_close() tells what went wrong: until then the screen is in use. */
void client_hold_words(struct client *client);
/* Silence is no fault as long as the server answers somebody else. */
void client_be_patient(struct client *client);

/*
 * Takes `params`, which may be NULL. The result, to be freed by
 * json_decref(), or NULL after telling why, or when interrupted.
 */
json_t *client_call(struct client *client, const char *method,
    json_t *params);

/*
 * Waits for events until deadline_ms (clock_mono_ms(); -1: without end), or
 * until `fd` can be read (-1: none), or a signal. False after telling that
 * the server is gone.
 */
bool client_listen(struct client *client, int64_t deadline_ms, int fd);

/* One connection, one call: for the commands that need no more. */
json_t *ask(const struct ctl *ctl, const char *method, json_t *params);

#endif
