/* The journal's file as a thing that lies on a disk: locked, watched, put aside. */
#ifndef BINDERY_FILE_H
#define BINDERY_FILE_H

#include <stdbool.h>

struct journal_file {
	char *path;
	int lock; /* -1: not locked */
	/* What lay there when it was opened, so that no other can be taken for it. */
	int data, log; /* -1: nothing */
};

void file_init(struct journal_file *file, const char *path);
void file_close(struct journal_file *file);

/*
 * Keeps other servers away. The lock is a file of its own beside the other,
 * and made anew if somebody removed it.
 */
enum file_lock { FILE_LOCKED, FILE_TAKEN, FILE_UNLOCKABLE };
enum file_lock file_lock(struct journal_file *file, char **why);

/* Remembers what lies there now; false if it is not the file it was before. */
bool file_remember(struct journal_file *file);
/* False if it was removed or replaced behind the back of who has it open. */
bool file_is_there(const struct journal_file *file);
/* Renames it; who wants to look at it finds it under another name. */
void file_put_aside(struct journal_file *file, const char *why);

#endif
