/* The socket, its clients, and JSON-RPC 2.0. */
#include "config.h"

#include "control_priv.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <event2/buffer.h>

#include "bindery/alloc.h"
#include "bindery/clock.h"
#include "bindery/count.h"

enum { REST_MS = 100 }; /* after running out of descriptors */

/* ---- clients ---- */

static void
free_client(void *argument)
{
	struct client *client = argument;

	bufferevent_free(client->stream);
	json_decref(client->types);
	json_decref(client->reload);
	free(client);
}

static void
drop_client(struct client *client)
{
	struct control *control = client->control;

	if (client->id == SLOT_NONE)
		return;
	slots_give(&control->slots, client->id);
	client->id = SLOT_NONE;
	*client->link = client->next;
	if (client->next != NULL)
		client->next->link = client->link;
	control->client_count--;
	if (client->types != NULL)
		atomic_fetch_sub(&control->subscribers, 1);
	bufferevent_disable(client->stream, EV_READ | EV_WRITE);
	bufferevent_setcb(client->stream, NULL, NULL, NULL, NULL);
	loop_defer(control->tools.loops[0], &client->end, free_client, client);
}

static size_t
pending(const struct client *client)
{
	return evbuffer_get_length(bufferevent_get_output(client->stream));
}

/* Who asks for more than it reads or waits for much is not read from. */
static bool
has_enough(const struct client *client)
{
	return pending(client) > OUT_MAX || client->later >= LATER_MAX;
}

static void on_readable(struct bufferevent *stream, void *argument);

/* Reads again from a client that was not read from. */
static void
go_on(struct client *client)
{
	if (has_enough(client) ||
	    (bufferevent_get_enabled(client->stream) & EV_READ) != 0)
		return;
	bufferevent_enable(client->stream, EV_READ);
	on_readable(client->stream, client);
}

static void
send_json(struct client *client, json_t *message)
{
	char *text = json_dumps(message, JSON_COMPACT);

	json_decref(message);
	if (text == NULL)
		return;
	bufferevent_write(client->stream, text, strlen(text));
	bufferevent_write(client->stream, "\n", 1);
	free(text);
}

/* ---- replies ---- */

void
reply(struct call *call, json_t *result)
{
	if (call->id == NULL) {
		json_decref(result);
		return;
	}
	send_json(call->client, json_pack("{s:s, s:O, s:o}", "jsonrpc", "2.0",
	    "id", call->id, "result", result));
}

void
reply_error(struct call *call, int code, const char *format, ...)
{
	char text[512];
	va_list arguments;

	if (call->id == NULL)
		return;
	va_start(arguments, format);
	vsnprintf(text, sizeof text, format, arguments);
	va_end(arguments);
	send_json(call->client, json_pack("{s:s, s:O, s:{s:i, s:o}}", "jsonrpc",
	    "2.0", "id", call->id, "error", "code", code, "message",
	    text_json(str_of(text))));
}

void
reply_later(struct control *control, slot_id id, json_t *request,
    json_t *result)
{
	struct client *client = slots_find(&control->slots, id);
	json_t *error = json_object_get(result, "error");

	if (client != NULL && request != NULL)
		send_json(client, json_pack("{s:s, s:O, s:O}", "jsonrpc", "2.0",
		    "id", request, error != NULL ? "error" : "result",
		    error != NULL ? error : result));
	json_decref(request);
	json_decref(result);
	if (client != NULL) {
		client->later--;
		go_on(client);
	}
}

/* ---- requests ---- */

static void
run(struct client *client, json_t *message)
{
	json_t *method = json_object_get(message, "method");
	json_t *params = json_object_get(message, "params");
	const char *version =
	    json_string_value(json_object_get(message, "jsonrpc"));
	struct call call = { .control = client->control, .client = client,
		.id = json_object_get(message, "id"), .params = params };
	json_t *null = json_null(), *none;
	const struct method *found;

	if (!json_is_object(message) || version == NULL ||
	    strcmp(version, "2.0") != 0 || !json_is_string(method) ||
	    (call.id != NULL && !json_is_string(call.id) &&
	        !json_is_number(call.id) && !json_is_null(call.id)) ||
	    (params != NULL && !json_is_object(params) &&
	        !json_is_array(params))) {
		if (call.id == NULL || json_is_object(call.id) ||
		    json_is_array(call.id) || json_is_boolean(call.id))
			call.id = null;
		reply_error(&call, RPC_REQUEST, "not a JSON-RPC 2.0 request");
		return;
	}
	found = find_method(json_string_value(method));
	if (found == NULL) {
		reply_error(&call, RPC_METHOD, "there is no method \"%s\"",
		    json_string_value(method));
		return;
	}
	if (json_is_array(params) && json_array_size(params) > 0) {
		reply_error(&call, RPC_PARAMS, "parameters are named: {...}");
		return;
	}
	none = json_object();
	if (!json_is_object(params))
		call.params = none;
	found->run(&call);
	json_decref(none);
}

static void
handle_line(struct client *client, const char *line, size_t n)
{
	json_error_t error;
	json_t *message;
	struct call call = { .control = client->control, .client = client,
		.id = json_null() };

	if (str_trim((struct str){ line, n }).n == 0)
		return;
	message = json_loadb(line, n, JSON_DECODE_ANY | JSON_REJECT_DUPLICATES,
	    &error);
	if (message == NULL) {
		reply_error(&call, RPC_PARSE, "not valid JSON: %s", error.text);
		return;
	}
	run(client, message);
	json_decref(message);
}

static void
on_readable(struct bufferevent *stream, void *argument)
{
	struct client *client = argument;
	struct evbuffer *in = bufferevent_get_input(stream);
	size_t n;
	char *line;

	while (!has_enough(client) &&
	    (line = evbuffer_readln(in, &n, EVBUFFER_EOL_LF)) != NULL) {
		handle_line(client, line, n);
		free(line);
	}
	if (has_enough(client))
		bufferevent_disable(stream, EV_READ);
	else if (evbuffer_get_length(in) > LINE_MAX_SIZE)
		drop_client(client);
}

static void
tell_lost(struct client *client)
{
	json_t *params;

	if (client->lost == 0)
		return;
	params = json_pack("{s:s, s:I, s:I}", "type", "lost", "lost",
	    (json_int_t)client->lost, "time", (json_int_t)clock_wall_ms());
	client->lost = 0;
	send_json(client, json_pack("{s:s, s:s, s:o}", "jsonrpc", "2.0", "method",
	    "event", "params", params));
}

/* All that waited has been taken. */
static void
on_drained(struct bufferevent *stream, void *argument)
{
	struct client *client = argument;

	(void)stream;
	tell_lost(client);
	go_on(client);
}

/* Who only stopped to write is read from no more, until all is answered. */
static void
on_end(struct bufferevent *stream, short what, void *argument)
{
	struct client *client = argument;

	(void)stream;
	if ((what & BEV_EVENT_EOF) == 0 ||
	    (pending(client) == 0 && client->later == 0))
		drop_client(client);
}

static void
resume(void *argument)
{
	struct control *control = argument;

	event_add(control->listen, NULL);
}

static void
on_client(evutil_socket_t fd, short what, void *argument)
{
	struct control *control = argument;
	struct client *client;
	int new_fd = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

	(void)what;
	if (new_fd < 0) {
		/* without descriptors it would fail at once again: rest a little */
		event_del(control->listen);
		timer_set(control->tools.loops[0], &control->rest, REST_MS);
		return;
	}
	if (control->client_count == CLIENTS_MAX) {
		count(limit_control_clients);
		close(new_fd);
		return;
	}
	client = xcalloc(1, sizeof *client);
	client->control = control;
	client->id = slots_take(&control->slots, 0, client);
	client->stream = bufferevent_socket_new(loop_base(control->tools.loops[0]),
	    new_fd, BEV_OPT_CLOSE_ON_FREE);
	client->link = &control->clients;
	client->next = control->clients;
	if (client->next != NULL)
		client->next->link = &client->next;
	control->clients = client;
	control->client_count++;
	bufferevent_setcb(client->stream, on_readable, on_drained, on_end, client);
	bufferevent_enable(client->stream, EV_READ | EV_WRITE);
}

/* ---- the socket ---- */

static bool
is_answered(const struct sockaddr_un *at)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bool answered = fd >= 0 &&
	    connect(fd, (const struct sockaddr *)at, sizeof *at) == 0;

	if (fd >= 0)
		close(fd);
	return answered;
}

static int
open_socket(const char *path, unsigned mode, char **why)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	int fd;

	if (strlen(path) >= sizeof at.sun_path) {
		*why = xasprintf("control socket %s: the path is too long", path);
		return -1;
	}
	strcpy(at.sun_path, path);
	if (is_answered(&at)) {
		*why = xasprintf("control socket %s: another server answers on it",
		    path);
		return -1;
	}
	unlink(path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd >= 0 && bind(fd, (struct sockaddr *)&at, sizeof at) == 0 &&
	    chmod(path, (mode_t)mode) == 0 && listen(fd, CLIENTS_MAX) == 0)
		return fd;
	*why = xasprintf("control socket %s: %s", path, strerror(errno));
	if (fd >= 0)
		close(fd);
	return -1;
}

struct control *
control_new(const struct control_tools *tools, const char *path, unsigned mode,
    char **why)
{
	int fd = open_socket(path, mode, why);
	struct control *control;

	if (fd < 0)
		return NULL;
	control = xcalloc(1, sizeof *control);
	control->tools = *tools;
	control->path = xstrdup(path);
	control->fd = fd;
	return control;
}

void
control_start(struct control *control)
{
	control->listen = event_new(loop_base(control->tools.loops[0]), control->fd,
	    EV_READ | EV_PERSIST, on_client, control);
	timer_init(&control->rest, resume, control);
	event_add(control->listen, NULL);
}

void
control_free(struct control *control)
{
	if (control == NULL)
		return;
	while (control->clients != NULL)
		drop_client(control->clients);
	if (control->listen != NULL) {
		timer_cancel(control->tools.loops[0], &control->rest);
		event_free(control->listen);
	}
	close(control->fd);
	unlink(control->path);
	slots_fini(&control->slots);
	free(control->path);
	free(control);
}

void
control_reloaded(struct control *control, unsigned generation,
    const struct faults *faults)
{
	for (struct client *c = control->clients; c != NULL; c = c->next)
		if (c->waits_for_reload)
			reply_reloaded(c, generation, faults);
}

/* ---- events ---- */

struct event_letter {
	struct letter letter;
	struct control *control;
	const char *type;
	json_t *params;
};

static bool
wants(const struct client *client, const char *type)
{
	json_t *value;
	size_t i;

	json_array_foreach(client->types, i, value)
		if (strcmp(json_string_value(value), type) == 0)
			return true;
	return false;
}

static void
discard_event(struct letter *letter)
{
	json_decref(((struct event_letter *)letter)->params);
	free(letter);
}

static void
deliver_event(struct letter *letter, void *owner)
{
	struct event_letter *event = (struct event_letter *)letter;
	struct control *control = event->control;
	uint64_t dropped = atomic_exchange(&control->dropped, 0);

	(void)owner;
	atomic_fetch_sub(&control->posted, 1);
	for (struct client *client = control->clients; client != NULL;
	     client = client->next) {
		if (client->types != NULL)
			client->lost += dropped;
		if (!wants(client, event->type))
			continue;
		if (pending(client) > OUT_MAX) {
			client->lost++;
			count(events_lost);
			continue;
		}
		tell_lost(client);
		send_json(client, json_pack("{s:s, s:s, s:O}", "jsonrpc", "2.0",
		    "method", "event", "params", event->params));
	}
	discard_event(letter);
}

bool
control_has_listeners(const struct control *control)
{
	return control != NULL &&
	    atomic_load_explicit(&control->subscribers, memory_order_relaxed) > 0;
}

void
control_publish(struct control *control, const char *type,
    const struct log_field *fields)
{
	struct event_letter *event;

	if (!control_has_listeners(control))
		return;
	if (atomic_fetch_add(&control->posted, 1) >= POSTED_MAX) {
		atomic_fetch_sub(&control->posted, 1);
		atomic_fetch_add(&control->dropped, 1);
		count(events_lost);
		return;
	}
	event = xcalloc(1, sizeof *event);
	event->letter.deliver = deliver_event;
	event->letter.discard = discard_event;
	event->control = control;
	event->type = type;
	event->params = json_pack("{s:s, s:I}", "type", type, "time",
	    (json_int_t)clock_wall_ms());
	for (; fields->key != NULL; fields++)
		if (fields->text.p == NULL)
			json_object_set_new(event->params, fields->key,
			    json_integer(fields->number));
		else if (fields->text.n > 0)
			json_object_set_new(event->params, fields->key,
			    strcmp(fields->key, "aor") == 0 ? aor_json(fields->text)
			                                    : text_json(fields->text));
	loop_post(control->tools.loops[0], &event->letter);
}
