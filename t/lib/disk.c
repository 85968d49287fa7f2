/*
 * Preloaded into the server by disk.py: a disk that does what it is told.
 * Whenever something is to be synced, the file that BINDERY_DISK names is
 * read: "fail" is an I/O error, "hang" waits for another word.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int
is_told(const char *word)
{
	char text[16] = "";
	int fd = open(getenv("BINDERY_DISK"), O_RDONLY | O_CLOEXEC);

	if (fd >= 0) {
		(void)!read(fd, text, sizeof text - 1);
		close(fd);
	}
	return strncmp(text, word, strlen(word)) == 0;
}

static int
sync_by(const char *name, int fd)
{
	int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, name);

	while (is_told("hang"))
		usleep(5000);
	if (!is_told("fail"))
		return real(fd);
	errno = EIO;
	return -1;
}

int
fsync(int fd)
{
	return sync_by("fsync", fd);
}

int
fdatasync(int fd)
{
	return sync_by("fdatasync", fd);
}
