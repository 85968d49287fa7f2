/*
 * The control socket: a real server on a real loop, which gets lines and must
 * go on answering. Each input ends with a request whose answer is waited for.
 */
#include "config.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "bindery/clock.h"
#include "bindery/control.h"

#include "fuzz.h"

const char *const fuzz_seeds[] = { "fuzz/seeds/control", NULL };

static char folder[] = "/tmp/bindery-fuzz-XXXXXX", path[64];
static struct loop *loop;
static struct net *net;
static struct net_shared *shared;
static struct control *control;
static struct location *location;
static struct user user;

static void
tell_status(void *context, struct control_status *status)
{
	(void)context;
	status->config_path = "/etc/bindery/bindery.json";
	status->generation = 1;
	status->loaded_at = status->started_at = clock_wall_ms();
	status->users = 1;
	status->listeners = 1;
}

static void
tell_listener(void *context, size_t i, const struct transport **transport,
    struct addr *at)
{
	(void)context;
	fuzz_must(i == 0);
	*transport = transport_find(STR("udp"));
	addr_parse(STR("127.0.0.1"), 5060, at);
}

static const struct user *
user_at(void *context, size_t i)
{
	(void)context;
	return i == 0 ? &user : NULL;
}

static const struct user *
user_of(void *context, struct str aor)
{
	(void)context;
	return str_eq(aor, user.aor) ? &user : NULL;
}

static void
reload(void *context)
{
	(void)context;
	control_reloaded(control, 2, NULL);
}

static void
ignore_message(void *context, const struct hop *hop, struct str bytes)
{
	(void)context;
	(void)hop;
	(void)bytes;
}

static void
ignore_broken(void *context, const struct hop *hop, struct str bytes,
    enum frame_fault why)
{
	(void)context;
	(void)hop;
	(void)bytes;
	(void)why;
}

static void
ignore_closed(void *context, flow_id flow)
{
	(void)context;
	(void)flow;
}

static void
bind_some(void)
{
	for (int i = 0; i < 20; i++) {
		struct binding_data data = { .q = 1000,
			.expires_at = INT64_C(1) << 50 };
		struct location_hold hold;
		char aor[32];

		data.text[BINDING_URI] = STR("sip:x@192.0.2.1");
		data.text[BINDING_CALL_ID] = STR("c");
		data.hop.transport = transport_find(STR("udp"));
		snprintf(aor, sizeof aor, "u%d@example.com", i % 15);
		location_hold(location, str_of(aor), 1, &hold);
		location_put(&hold, NULL, &data);
		location_release(&hold);
	}
}

static void *
run_loop(void *argument)
{
	loop_run(argument);
	return NULL;
}

static void
remove_socket(void)
{
	unlink(path);
	rmdir(folder);
}

static bool
is_alive(void *context, flow_id flow)
{
	return flow_is_alive(context, flow);
}

static void
start(void)
{
	static const struct net_conf conf = { 65535, 10, 10, 10, 30, 10, 100,
		1 << 20, 4 };
	static const struct net_handler handler = { .message = ignore_message,
		.broken = ignore_broken, .closed = ignore_closed };
	struct control_tools tools = { .workers = 1, .status = tell_status,
		.listener = tell_listener, .user_at = user_at, .user = user_of,
		.reload = reload };
	char *why = NULL;
	pthread_t thread;

	signal(SIGPIPE, SIG_IGN); /* as the daemon does */
	log_set_level(LOG_ERROR);
	user = (struct user){ .username = STR("u1"), .domain = STR("example.com"),
		.aor = STR("u1@example.com"), .enabled = true };
	loop = loop_new(0, NULL);
	shared = net_shared_new(1);
	net = net_new(shared, loop, &conf, &handler);
	location = location_new(is_alive, shared);
	bind_some();
	tools.location = location;
	tools.loops = &loop;
	tools.nets = &net;
	fuzz_must(mkdtemp(folder) != NULL);
	snprintf(path, sizeof path, "%s/control.sock", folder);
	control = control_new(&tools, path, 0600, &why);
	fuzz_must(control != NULL);
	atexit(remove_socket);
	control_start(control);
	fuzz_must(pthread_create(&thread, NULL, run_loop, loop) == 0);
}

static int
connect_to(void)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(at.sun_path, sizeof at.sun_path, "%s", path);
	while (connect(fd, (struct sockaddr *)&at, sizeof at) < 0)
		fuzz_must(errno == EINTR);
	return fd;
}

static void
write_all(int fd, const char *bytes, size_t n)
{
	while (n > 0) {
		ssize_t written = write(fd, bytes, n);

		fuzz_must(written >= 0 || errno == EINTR);
		if (written < 0)
			continue;
		bytes += written;
		n -= (size_t)written;
	}
}

/* Reads until the last answer; false if the server hung up. */
static bool
read_answers(int fd)
{
	static const char last[] = "\"id\":\"fuzz-last\"";
	static char text[1 << 20];
	size_t n = 0;

	for (;;) {
		ssize_t got = read(fd, text + n, sizeof text - n);

		if (got < 0 && errno == EINTR)
			continue; /* libFuzzer's alarm */
		if (got <= 0)
			return false;
		n += (size_t)got;
		if (memmem(text, n, last, sizeof last - 1) != NULL &&
		    text[n - 1] == '\n')
			return true;
		if (n > sizeof text / 2) {
			memmove(text, text + n - 4096, 4096);
			n = 4096;
		}
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
	static const char last[] = "\n{\"jsonrpc\":\"2.0\",\"id\":\"fuzz-last\","
	                           "\"method\":\"log.level\"}\n";
	int fd;

	if (control == NULL)
		start();
	if (n > 60000) /* what the socket's buffers take while nobody reads */
		return 0;
	fd = connect_to();
	write_all(fd, (const char *)bytes, n);
	write_all(fd, last, sizeof last - 1);
	fuzz_must(read_answers(fd));
	close(fd);
	return 0;
}
