/*
 * What is wrong with a file that a person wrote: all of it, each with file,
 * line and place, so that it takes one look to mend.
 */
#ifndef BINDERY_FAULTS_H
#define BINDERY_FAULTS_H

#include <stdbool.h>
#include <stddef.h>

enum { FAULTS_MAX = 100 }; /* kept; more are counted */

/* {0} is an empty list. */
struct faults {
	char **list; /* "bindery.json:14: listeners[2].port: expected ..." */
	size_t count;
	size_t more; /* that are not in the list */
};

/* `line` 0: it is not known. `place` may be "". */
void faults_add(struct faults *faults, const char *file, unsigned line,
    const char *place, const char *format, ...)
    __attribute__((format(printf, 5, 6)));
/* All of them, a line each; the caller frees. */
char *faults_text(const struct faults *faults);
void faults_free(struct faults *faults);

#endif
