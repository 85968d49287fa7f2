/* Locking, reading, and renaming a new file over the old one. */
#include "config.h"

#include "replace.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "bindery/alloc.h"
#include "bindery/settings.h"
#include "ctl.h"

static int
fail(const struct old_file *f, const char *what)
{
	return failed("%s: %s: %s", f->path, what, strerror(errno));
}

/* Another passwd may have put a new file here while this one waited. */
static bool
lock_file(struct old_file *f)
{
	struct stat now;

	for (;;) {
		f->lock = open(f->real, O_RDONLY | O_CLOEXEC);
		if (f->lock < 0)
			return false;
		/* where there are no locks, none is better than no password */
		(void)flock(f->lock, LOCK_EX);
		if (fstat(f->lock, &f->stat) != 0 || stat(f->real, &now) != 0)
			return false;
		if (f->stat.st_ino == now.st_ino && f->stat.st_dev == now.st_dev)
			return true;
		close(f->lock);
	}
}

int
old_file_open(struct old_file *f, const char *path)
{
	char *text;

	*f = (struct old_file){ .path = path, .lock = -1 };
	f->real = realpath(f->path, NULL);
	if (f->real == NULL || !lock_file(f))
		return failed("%s: %s", f->path, strerror(errno));
	if (!S_ISREG(f->stat.st_mode))
		return failed("%s: not a file", f->path);
	text = read_file(f->real, (size_t)1 << 31, &f->text.n);
	if (text == NULL)
		return fail(f, "cannot be read");
	f->text.p = text;
	return DONE;
}

void
old_file_close(struct old_file *f)
{
	if (f->lock >= 0)
		close(f->lock);
	free((char *)f->text.p);
	free(f->real);
}

static bool
write_all(int fd, struct str text)
{
	while (text.n > 0) {
		ssize_t n = write(fd, text.p, text.n);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return false;
		text = str_from(text, (size_t)n);
	}
	return true;
}

static int
fill(const struct old_file *f, int fd, size_t from, size_t to,
    struct str change)
{
	/* the owner first: until the mode is set nobody else may read it */
	if (fchown(fd, f->stat.st_uid, f->stat.st_gid) != 0)
		return fail(f, "its owner cannot be kept");
	if (fchmod(fd, f->stat.st_mode & 07777) != 0)
		return fail(f, "its mode cannot be kept");
	if (!write_all(fd, (struct str){ f->text.p, from }) ||
	    !write_all(fd, change) ||
	    !write_all(fd, str_from(f->text, to)) || fsync(fd) != 0)
		return fail(f, "cannot be written");
	return DONE;
}

static void
sync_folder(const char *path)
{
	char *folder = xstrdup(path);
	int fd;

	strrchr(folder, '/')[1] = '\0';
	fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd >= 0) {
		(void)fsync(fd); /* some file systems cannot */
		close(fd);
	}
	free(folder);
}

int
old_file_replace(const struct old_file *f, size_t from, size_t to,
    struct str change)
{
	char *fresh = xasprintf("%s.XXXXXX", f->real);
	int fd = mkostemp(fresh, O_CLOEXEC), code;

	if (fd < 0) {
		code = fail(f, "no file can be made beside it");
		free(fresh);
		return code;
	}
	code = fill(f, fd, from, to, change);
	if (close(fd) != 0 && code == DONE)
		code = fail(f, "cannot be written");
	if (code == DONE && rename(fresh, f->real) != 0)
		code = fail(f, "cannot be replaced");
	if (code == DONE)
		sync_folder(f->real);
	else
		unlink(fresh);
	free(fresh);
	return code;
}
