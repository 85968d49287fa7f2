/* What the files of binderyctl share: the command line, taken apart. */
#ifndef BINDERY_CTL_H
#define BINDERY_CTL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DEFAULT_SOCKET "/run/bindery/control.sock"

/* Exit codes. */
enum { DONE, FAILED, USAGE };

struct ctl {
	const char *socket;
	const char *domain, *realm, *file; /* NULL: not given */
	uint32_t limit, count;             /* 0: not given */
	bool json, help, version;
	char **args; /* of the command; lent by main() */
	size_t arg_count;
};

/* One line on standard error, escaped; gives FAILED or USAGE to return. */
int failed(const char *format, ...) __attribute__((format(printf, 1, 2)));
int misused(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
