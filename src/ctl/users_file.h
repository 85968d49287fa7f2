/*
 * One user's entry in users.json or users.jsonl, changed in place: the rest
 * of the file stays as its author wrote it.
 */
#ifndef BINDERY_CTL_USERS_FILE_H
#define BINDERY_CTL_USERS_FILE_H

#include <jansson.h>

#include "bindery/str.h"

/*
 * Gives the user these hashes instead of what it had, password or hashes, or
 * adds the user. The file changes as a whole or not at all, and keeps its
 * mode and owner. DONE, or FAILED after telling why.
 */
int users_file_put(const char *path, struct str username, struct str domain,
    json_t *ha1, bool *added);

/* {"username": ..., "domain": ..., "ha1": ...} */
json_t *user_object(struct str username, struct str domain, json_t *ha1);

#endif
