/* Connecting, calling, waiting. */
#include "config.h"

#include "client.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "bindery/alloc.h"
#include "bindery/buf.h"
#include "bindery/clock.h"
#include "terminal.h"
#include "text.h"

enum { WAIT_SECONDS = 10, QUIET_SECONDS = 2, LINE_CEILING = 256 << 20 };

struct client {
	const char *path;
	int fd;
	int wait_seconds;
	bool quiet, patient, holds;
	char *held; /* what client_close() is to tell */
	struct buf in;
	size_t looked_at; /* bytes of `in` that have no newline */
	json_int_t id;
	client_event_fn on_event;
	void *context;
};

__attribute__((format(printf, 2, 3))) static void
tell(struct client *client, const char *format, ...)
{
	va_list arguments;
	char *text;

	if (client->quiet)
		return;
	va_start(arguments, format);
	if (vasprintf(&text, format, arguments) < 0)
		text = NULL;
	va_end(arguments);
	if (client->holds && client->held == NULL) {
		client->held = text;
		return;
	}
	if (!client->holds)
		(void)failed("%s", text != NULL ? text : format);
	free(text);
}

/* ---- connecting ---- */

static void
tell_unreachable(struct client *client, int error)
{
	switch (error) {
	case ENOENT:
	case ECONNREFUSED:
		tell(client, "no server answers on %s: is binderyd running?",
		    client->path);
		break;
	case EACCES:
	case EPERM:
		tell(client, "%s: permission denied: are you in the group that "
		    "may control binderyd?", client->path);
		break;
	case EAGAIN:
		tell(client, "the server on %s has more clients than it takes",
		    client->path);
		break;
	default:
		tell(client, "%s: %s", client->path, strerror(error));
	}
}

static int
connect_to(const char *path, int wait_seconds)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	struct timeval wait = { .tv_sec = wait_seconds };
	int fd;

	if (strlen(path) >= sizeof at.sun_path) {
		errno = ENAMETOOLONG;
		return -1;
	}
	strcpy(at.sun_path, path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -1;
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof wait);
	if (connect(fd, (struct sockaddr *)&at, sizeof at) != 0) {
		int error = errno;

		close(fd);
		errno = error;
		return -1;
	}
	return fd;
}

static struct client *
open_client(const char *path, bool quiet)
{
	struct client *client = xcalloc(1, sizeof *client);

	client->path = path;
	client->quiet = quiet;
	client->wait_seconds = quiet ? QUIET_SECONDS : WAIT_SECONDS;
	client->fd = connect_to(path, client->wait_seconds);
	if (client->fd >= 0)
		return client;
	tell_unreachable(client, errno);
	client_close(client);
	return NULL;
}

struct client *
client_open(const char *path)
{
	return open_client(path, false);
}

struct client *
client_open_quiet(const char *path)
{
	return open_client(path, true);
}

void
client_close(struct client *client)
{
	if (client == NULL)
		return;
	if (client->fd >= 0)
		close(client->fd);
	if (client->held != NULL)
		(void)failed("%s", client->held);
	free(client->held);
	buf_free(&client->in);
	free(client);
}

void
client_on_event(struct client *client, client_event_fn fn, void *context)
{
	client->on_event = fn;
	client->context = context;
}

void
client_hold_words(struct client *client)
{
	client->holds = true;
}

void
client_be_patient(struct client *client)
{
	client->patient = true;
}

/* ---- messages ---- */

enum came { CAME_MESSAGE, CAME_BYTES, CAME_NOTHING, CAME_WAKE, CAME_END };

/* The next whole line that is there, parsed. */
static enum came
take_message(struct client *client, json_t **message)
{
	struct str held = text_of(&client->in), line;
	size_t at = str_find(str_from(held, client->looked_at), '\n');
	json_error_t error;

	line = (struct str){ held.p, client->looked_at + at };
	if (line.n >= held.n) {
		client->looked_at = held.n;
		return CAME_NOTHING;
	}
	*message = json_loadb(line.p, line.n, JSON_ALLOW_NUL, &error);
	buf_take(&client->in, line.n + 1);
	client->looked_at = 0;
	if (json_is_object(*message))
		return CAME_MESSAGE;
	json_decref(*message);
	tell(client, "what answers on %s does not speak JSON-RPC", client->path);
	return CAME_END;
}

static enum came
read_more(struct client *client)
{
	static char bytes[1 << 16];
	ssize_t n = recv(client->fd, bytes, sizeof bytes, MSG_DONTWAIT);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return CAME_NOTHING;
	if (n > 0 &&
	    buf_append(&client->in, bytes, (size_t)n, LINE_CEILING))
		return CAME_BYTES;
	if (n > 0)
		tell(client, "the answer of the server on %s has no end",
		    client->path);
	else if (n == 0 || errno == ECONNRESET)
		tell(client, "the server on %s closed the connection",
		    client->path);
	else
		tell(client, "%s: %s", client->path, strerror(errno));
	return CAME_END;
}

static enum came
wait_for_bytes(struct client *client, int64_t deadline_ms, int fd)
{
	struct pollfd polls[] = { { client->fd, POLLIN, 0 }, { fd, POLLIN, 0 } };
	int64_t left = deadline_ms - clock_mono_ms();
	struct timespec timeout;

	if (left < 0)
		left = 0;
	timeout = (struct timespec){ left / 1000, left % 1000 * 1000000 };
	if (interrupted() != 0)
		return CAME_WAKE;
	if (ppoll(polls, fd >= 0 ? 2 : 1, deadline_ms < 0 ? NULL : &timeout,
	        interrupts_mask()) < 0)
		return errno == EINTR ? CAME_WAKE : CAME_END;
	if (polls[0].revents != 0)
		return read_more(client);
	return fd >= 0 && polls[1].revents != 0 ? CAME_WAKE : CAME_NOTHING;
}

static bool
is_event(const json_t *message)
{
	return str_eq(string_of(json_object_get(message, "method")),
	    STR("event"));
}

static void
hand_over(struct client *client, const json_t *message)
{
	if (client->on_event != NULL && is_event(message))
		client->on_event(client->context,
		    json_object_get(message, "params"));
}

/* ---- calls ---- */

static bool
send_all(struct client *client, const char *text)
{
	struct str rest = str_of(text);

	while (rest.n > 0) {
		ssize_t n = send(client->fd, rest.p, rest.n, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			tell(client, "the server on %s has taken nothing for %d s",
			    client->path, client->wait_seconds);
		else if (n < 0)
			tell(client, "the server on %s closed the connection",
			    client->path);
		if (n < 0)
			return false;
		rest = str_from(rest, (size_t)n);
	}
	return true;
}

static bool
send_request(struct client *client, const char *method, json_t *params)
{
	json_t *message = json_pack("{s:s, s:I, s:s, s:o*}", "jsonrpc", "2.0",
	    "id", ++client->id, "method", method, "params", params);
	char *text = json_dumps(message, JSON_COMPACT);
	char *line = xasprintf("%s\n", text);
	bool sent = send_all(client, line);

	free(line);
	free(text);
	json_decref(message);
	return sent;
}

/* Each fault on a line of its own, as it comes; then the sentence. */
static void
tell_error(struct client *client, const json_t *error)
{
	struct str message = string_of(json_object_get(error, "message"));
	const json_t *data = json_object_get(error, "data"), *fault;
	bool told = false;
	size_t i;

	json_array_foreach(data, i, fault) {
		struct buf line = { 0 };

		text_value(&line, fault);
		if (!client->quiet)
			fprintf(stderr, "%.*s\n", STR_ARG(text_of(&line)));
		told |= str_eq(string_of(fault), message);
		buf_free(&line);
	}
	if (!told)
		tell(client, "%.*s", STR_ARG(message.n > 0 ? message
		                                           : STR("refused")));
}

static bool
is_alive(const char *path)
{
	struct client *other = client_open_quiet(path);
	json_t *status = other != NULL ? client_call(other, "status", NULL) : NULL;
	bool alive = status != NULL;

	json_decref(status);
	client_close(other);
	return alive;
}

static int64_t
patience_end(const struct client *client)
{
	return clock_mono_ms() + (int64_t)client->wait_seconds * 1000;
}

/* An error without an id is about the line that could not be read. */
static bool
is_answer(const struct client *client, const json_t *message)
{
	const json_t *id = json_object_get(message, "id");

	return json_is_null(id) ? json_object_get(message, "error") != NULL
	                        : json_integer_value(id) == client->id;
}

/* The message that answers the last request; NULL after telling why. */
static json_t *
await_answer(struct client *client)
{
	int64_t deadline = patience_end(client);
	json_t *message;

	for (;;) {
		enum came came = take_message(client, &message);

		if (came == CAME_NOTHING)
			came = wait_for_bytes(client, deadline, -1);
		else if (came == CAME_MESSAGE) {
			if (is_answer(client, message))
				return message;
			hand_over(client, message);
			json_decref(message);
		}
		if (came == CAME_END || interrupted() != 0)
			return NULL;
		if (came == CAME_BYTES)
			deadline = patience_end(client);
		if (came != CAME_NOTHING || clock_mono_ms() < deadline)
			continue;
		if (!client->patient || !is_alive(client->path)) {
			tell(client, "the server on %s has not answered for %d s",
			    client->path, client->wait_seconds);
			return NULL;
		}
		deadline = patience_end(client);
	}
}

json_t *
client_call(struct client *client, const char *method, json_t *params)
{
	json_t *answer, *result, *error;

	if (!send_request(client, method, params))
		return NULL;
	answer = await_answer(client);
	if (answer == NULL)
		return NULL;
	error = json_object_get(answer, "error");
	result = json_incref(json_object_get(answer, "result"));
	if (error != NULL && !json_is_null(error)) {
		tell_error(client, error);
		json_decref(result);
		result = NULL;
	} else if (result == NULL) {
		tell(client, "what answers on %s does not speak JSON-RPC",
		    client->path);
	}
	json_decref(answer);
	return result;
}

bool
client_listen(struct client *client, int64_t deadline_ms, int fd)
{
	json_t *message;

	for (;;) {
		enum came came = take_message(client, &message);

		if (came == CAME_MESSAGE) {
			hand_over(client, message);
			json_decref(message);
			return true;
		}
		if (came == CAME_NOTHING)
			came = wait_for_bytes(client, deadline_ms, fd);
		if (came != CAME_BYTES)
			return came != CAME_END;
	}
}

json_t *
ask(const struct ctl *ctl, const char *method, json_t *params)
{
	struct client *client = client_open(ctl->socket);
	json_t *result;

	if (client == NULL) {
		json_decref(params);
		return NULL;
	}
	result = client_call(client, method, params);
	client_close(client);
	return result;
}
