/* The log: lines are made by whoever logs, and written by a thread. */
#include "config.h"

#include "bindery/log.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

#include "bindery/alloc.h"
#include "bindery/buf.h"
#include "bindery/clock.h"
#include "bindery/count.h"

enum { QUEUE_MAX = 1 << 20, LINE_SIZE = 4096 };

static struct {
	_Atomic int level, format;
	pthread_mutex_t lock;
	pthread_cond_t wake;
	pthread_t thread;
	bool threaded, stopping;
	struct buf queue;
	uint64_t lost;
	int fd;
	char *path;
} the_log = {
	.level = LOG_INFO,
	.lock = PTHREAD_MUTEX_INITIALIZER,
	.wake = PTHREAD_COND_INITIALIZER,
	.fd = STDERR_FILENO,
};

static const char *const level_names[] = { "error", "warning", "notice", "info",
	"debug" };

const char *
log_level_name(enum log_level level)
{
	return level_names[level];
}

bool
log_level_of(struct str name, enum log_level *level)
{
	for (unsigned i = 0; i < sizeof level_names / sizeof *level_names; i++)
		if (str_eq(name, str_of(level_names[i]))) {
			*level = (enum log_level)i;
			return true;
		}
	return false;
}

bool
log_is_on(enum log_level level)
{
	return (int)level <=
	    atomic_load_explicit(&the_log.level, memory_order_relaxed);
}

void
log_set_level(enum log_level level)
{
	atomic_store(&the_log.level, (int)level);
}

enum log_level
log_get_level(void)
{
	return (enum log_level)atomic_load(&the_log.level);
}

void
log_set_format(enum log_format format)
{
	atomic_store(&the_log.format, (int)format);
}

static void
write_all(int fd, const char *p, size_t n)
{
	while (n > 0) {
		ssize_t done = write(fd, p, n);

		if (done < 0 && errno == EINTR)
			continue;
		if (done <= 0)
			return; /* a full disk must not stop the server */
		p += done;
		n -= (size_t)done;
	}
}

/* Bytes that could end a line, a field or a string become \xNN. */
static void
put_escaped(struct out *out, struct str text, bool json)
{
	for (size_t i = 0; i < text.n; i++) {
		unsigned char c = (unsigned char)text.p[i];

		if (c == '"' || c == '\\') {
			out_char(out, '\\');
			out_char(out, (char)c);
		} else if (c < 0x20 || c == 0x7f) {
			out_bytes(out, json ? "\\u00" : "\\x", json ? 4 : 2);
			out_hex(out, c, 2);
		} else {
			out_char(out, (char)c);
		}
	}
}

static bool
is_plain(struct str text)
{
	for (size_t i = 0; i < text.n; i++) {
		unsigned char c = (unsigned char)text.p[i];

		if (c <= ' ' || c == '"' || c == '\\' || c == 0x7f || c == '=')
			return false;
	}
	return text.n > 0;
}

static void
put_number(struct out *out, int64_t number)
{
	if (number < 0)
		out_char(out, '-');
	out_u64(out, number < 0 ? 0 - (uint64_t)number : (uint64_t)number);
}

static void
put_text_field(struct out *out, const struct log_field *field)
{
	out_char(out, ' ');
	out_add(out, str_of(field->key));
	out_char(out, '=');
	if (field->text.p == NULL) {
		put_number(out, field->number);
	} else if (is_plain(field->text)) {
		out_add(out, field->text);
	} else {
		out_char(out, '"');
		put_escaped(out, field->text, false);
		out_char(out, '"');
	}
}

static void
put_json_field(struct out *out, const struct log_field *field)
{
	out_lit(out, ",\"");
	out_add(out, str_of(field->key));
	out_lit(out, "\":");
	if (field->text.p == NULL) {
		put_number(out, field->number);
	} else if (!str_is_utf8(field->text)) {
		out_lit(out, "\"(not UTF-8)\"");
	} else {
		out_char(out, '"');
		put_escaped(out, field->text, true);
		out_char(out, '"');
	}
}

static void
put_line(struct out *out, enum log_level level, const char *room,
    const char *verb, const struct log_field *fields)
{
	bool json = atomic_load(&the_log.format) == LOG_JSON;
	char time[ISO_TIME_SIZE];

	clock_iso(clock_wall_ms(), time);
	if (json)
		out_format(out,
		    "{\"time\":\"%s\",\"level\":\"%s\",\"room\":\"%s\",\"event\":\"%s\"",
		    time, level_names[level], room, verb);
	else
		out_format(out, "%s %s %s %s", time, level_names[level], room, verb);
	for (; fields->key != NULL; fields++) {
		struct out before = *out;

		(json ? put_json_field : put_text_field)(out, fields);
		if (out->full || out->end - out->at < 8) { /* leave it out whole */
			*out = before;
			continue;
		}
	}
	if (json)
		out_char(out, '}');
	out_char(out, '\n');
}

void
log_fields(enum log_level level, const char *room, const char *verb,
    const struct log_field *fields)
{
	char line[LINE_SIZE];
	struct out out = out_to(line, sizeof line);

	put_line(&out, level, room, verb, fields);
	pthread_mutex_lock(&the_log.lock);
	if (!the_log.threaded)
		write_all(the_log.fd, line, out_size(&out));
	else if (!buf_append(&the_log.queue, line, out_size(&out), QUEUE_MAX)) {
		the_log.lost++;
		count(log_lines_lost);
	} else
		pthread_cond_signal(&the_log.wake);
	pthread_mutex_unlock(&the_log.lock);
}

static void
tell_lost(int fd, uint64_t lost)
{
	char line[LINE_SIZE];
	struct out out = out_to(line, sizeof line);

	put_line(&out, LOG_WARNING, "log", "lines_lost",
	    (const struct log_field[]){ LOG_I("count", lost), { 0 } });
	write_all(fd, line, out_size(&out));
}

static void *
write_lines(void *unused)
{
	(void)unused;
	pthread_mutex_lock(&the_log.lock);
	for (;;) {
		struct buf lines = the_log.queue;
		uint64_t lost = the_log.lost;
		int fd;

		if (buf_size(&lines) == 0 && lost == 0) {
			if (the_log.stopping)
				break;
			pthread_cond_wait(&the_log.wake, &the_log.lock);
			continue;
		}
		the_log.queue = (struct buf){ 0 };
		the_log.lost = 0;
		fd = the_log.fd;
		pthread_mutex_unlock(&the_log.lock);
		if (buf_size(&lines) > 0)
			write_all(fd, buf_data(&lines), buf_size(&lines));
		if (lost > 0)
			tell_lost(fd, lost);
		buf_free(&lines);
		pthread_mutex_lock(&the_log.lock);
	}
	pthread_mutex_unlock(&the_log.lock);
	return NULL;
}

void
log_start(void)
{
	sigset_t all, before;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	the_log.stopping = false;
	the_log.threaded =
	    pthread_create(&the_log.thread, NULL, write_lines, NULL) == 0;
	pthread_sigmask(SIG_SETMASK, &before, NULL);
}

void
log_stop(void)
{
	if (!the_log.threaded)
		return;
	pthread_mutex_lock(&the_log.lock);
	the_log.stopping = true;
	pthread_cond_signal(&the_log.wake);
	pthread_mutex_unlock(&the_log.lock);
	pthread_join(the_log.thread, NULL);
	the_log.threaded = false;
}

static bool
use_file(const char *path)
{
	int fd = path != NULL
	    ? open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0640)
	    : STDERR_FILENO;

	if (fd < 0)
		return false;
	pthread_mutex_lock(&the_log.lock);
	if (the_log.fd == STDERR_FILENO) {
		the_log.fd = fd;
	} else { /* under its number: a line may be on its way to it */
		dup3(fd, the_log.fd, O_CLOEXEC);
		if (fd != STDERR_FILENO)
			close(fd);
	}
	pthread_mutex_unlock(&the_log.lock);
	return true;
}

bool
log_open(const char *path)
{
	char *kept;

	if (!use_file(path))
		return false;
	kept = path != NULL ? xstrdup(path) : NULL;
	free(the_log.path);
	the_log.path = kept;
	return true;
}

bool
log_reopen(void)
{
	return use_file(the_log.path);
}
