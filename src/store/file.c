/*
 * A lock by flock(). What lies under a name is known by an O_PATH descriptor:
 * as long as that is open the inode's number is not given to another file, and
 * to close it does not take away SQLite's locks.
 */
#include "config.h"

#include "file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bindery/alloc.h"
#include "bindery/clock.h"
#include "bindery/log.h"

void
file_init(struct journal_file *file, const char *path)
{
	*file = (struct journal_file){ xstrdup(path), -1, -1, -1 };
}

static void
shut(int fd)
{
	if (fd >= 0)
		close(fd);
}

void
file_close(struct journal_file *file)
{
	shut(file->lock);
	shut(file->data);
	shut(file->log);
	free(file->path);
}

static int
look(const char *path, const char *suffix)
{
	char *name = xasprintf("%s%s", path, suffix);
	int fd = open(name, O_PATH | O_CLOEXEC);

	free(name);
	return fd;
}

/* True if what `fd` has open, or nothing, lies under this name now. */
static bool
lies_there(int fd, const char *path, const char *suffix)
{
	char *name = xasprintf("%s%s", path, suffix);
	struct stat ours, there;
	bool is_there = stat(name, &there) == 0;

	free(name);
	if (fd < 0)
		return !is_there;
	return is_there && fstat(fd, &ours) == 0 &&
	    ours.st_dev == there.st_dev && ours.st_ino == there.st_ino;
}

static bool
is_locked(const struct journal_file *file)
{
	return file->lock >= 0 && lies_there(file->lock, file->path, ".lock");
}

enum file_lock
file_lock(struct journal_file *file, char **why)
{
	enum file_lock result = FILE_UNLOCKABLE;
	char *name;

	if (is_locked(file))
		return FILE_LOCKED;
	shut(file->lock);
	name = xasprintf("%s.lock", file->path);
	file->lock = open(name, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (file->lock < 0) /* where nothing can be written a lock still can be held */
		file->lock = open(name, O_RDONLY | O_CLOEXEC);
	if (file->lock < 0)
		*why = xasprintf("%s: %s", name, strerror(errno));
	else if (flock(file->lock, LOCK_EX | LOCK_NB) == 0)
		result = FILE_LOCKED;
	else if (errno == EWOULDBLOCK) {
		*why = xstrdup("another server uses it");
		result = FILE_TAKEN;
	} else
		*why = xasprintf("%s: %s", name, strerror(errno));
	if (result != FILE_LOCKED) {
		shut(file->lock);
		file->lock = -1;
	}
	free(name);
	return result;
}

bool
file_remember(struct journal_file *file)
{
	bool is_same = file->data < 0 || lies_there(file->data, file->path, "");

	shut(file->data);
	shut(file->log);
	file->data = look(file->path, "");
	file->log = look(file->path, "-wal");
	return is_same;
}

bool
file_is_there(const struct journal_file *file)
{
	return lies_there(file->data, file->path, "") &&
	    lies_there(file->log, file->path, "-wal") && is_locked(file);
}

void
file_put_aside(struct journal_file *file, const char *why)
{
	static const char *const parts[] = { "", "-wal", "-shm" };
	long long stamp = clock_wall_ms();

	for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
		char *from = xasprintf("%s%s", file->path, parts[i]);
		char *to = xasprintf("%s.damaged-%lld%s", file->path, stamp,
		    parts[i]);

		if (rename(from, to) == 0 && i == 0)
			log_event(LOG_ERROR, "store", "damaged",
			    LOG_Z("file", file->path), LOG_Z("reason", why),
			    LOG_Z("kept_as", to));
		free(from);
		free(to);
	}
}
