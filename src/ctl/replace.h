/* A file that is changed as a whole or not at all. */
#ifndef BINDERY_CTL_REPLACE_H
#define BINDERY_CTL_REPLACE_H

#include <sys/stat.h>

#include "bindery/str.h"

struct old_file {
	const char *path; /* as the user wrote it */
	char *real;       /* without symbolic links: what is renamed over */
	int lock;
	struct stat stat;
	struct str text;
};

/*
 * Reads the file and keeps others of our kind from changing it until
 * old_file_close(), which is due in any case. DONE, or FAILED after telling
 * why; so is the next.
 */
int old_file_open(struct old_file *f, const char *path);
/*
 * Writes the file with `change` in place of the bytes from `from` to `to`. It
 * keeps mode and owner; a crash leaves the old file or the new one.
 */
int old_file_replace(const struct old_file *f, size_t from, size_t to,
    struct str change);
void old_file_close(struct old_file *f);

#endif
