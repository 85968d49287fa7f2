/* Start, signals, stop. */
#include "config.h"

#include "worker.h"

#include <errno.h>
#include <getopt.h>
#include <grp.h>
#include <jansson.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <event2/event.h>
#include <openssl/crypto.h>

#include "bindery/alloc.h"
#include "bindery/clock.h"
#include "bindery/count.h"
#include "bindery/rand.h"

enum { STACK_SIZE = 8 << 20, STOP_CHECK_MS = 20 };

/* ---- command line ---- */

static void
print_help(void)
{
	puts("usage: binderyd -c FILE [--check]\n"
	     "\n"
	     "  -c, --config FILE   the configuration (/etc/bindery/bindery.json)\n"
	     "  -t, --check         read configuration, directories and certificates,\n"
	     "                      say what is wrong, and exit\n"
	     "      --print-config  show the configuration as it is understood\n"
	     "      --print-schema  show the JSON Schema of the configuration\n"
	     "      --print-machines  show the transaction state machines, as Graphviz\n"
	     "  -V, --version       show versions\n"
	     "  -h, --help          show this\n"
	     "\n"
	     "It runs in the foreground and logs to standard error. SIGHUP reloads,\n"
	     "SIGUSR1 opens the log file anew, SIGTERM and SIGINT stop.");
}

static void
print_version(void)
{
	printf("binderyd %s\n", PACKAGE_VERSION);
	printf("libevent %s, %s, jansson %s\n", event_get_version(),
	    OpenSSL_version(OPENSSL_VERSION), jansson_version_str());
	printf("transports:");
	for (size_t i = 0; transport_at(i) != NULL; i++)
		printf(" %s", transport_at(i)->name);
	puts("");
}

enum command { RUN, CHECK, PRINT_CONFIG, DONE, MISUSED };

static enum command
read_arguments(int argc, char **argv, const char **path)
{
	static const struct option options[] = {
		{ "config", required_argument, NULL, 'c' },
		{ "check", no_argument, NULL, 't' },
		{ "print-config", no_argument, NULL, 'p' },
		{ "print-schema", no_argument, NULL, 's' },
		{ "print-machines", no_argument, NULL, 'm' },
		{ "version", no_argument, NULL, 'V' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 },
	};
	enum command command = RUN;
	char *schema;
	int c;

	while ((c = getopt_long(argc, argv, "c:tVh", options, NULL)) != -1) {
		switch (c) {
		case 'c':
			*path = optarg;
			break;
		case 't':
			command = CHECK;
			break;
		case 'p':
			command = PRINT_CONFIG;
			break;
		case 's':
			schema = settings_schema(&conf_settings, "bindery.json");
			puts(schema);
			free(schema);
			return DONE;
		case 'm':
			print_machines();
			return DONE;
		case 'V':
			print_version();
			return DONE;
		case 'h':
			print_help();
			return DONE;
		default:
			return MISUSED;
		}
	}
	if (optind == argc)
		return command;
	fprintf(stderr, "binderyd: unexpected argument \"%s\"\n", argv[optind]);
	return MISUSED;
}

/* ---- stop ---- */

static void
stop_now(struct daemon *daemon)
{
	for (unsigned i = 0; i < daemon->workers; i++)
		loop_stop(daemon->loops[i]);
}

static void
check_stopped(void *argument)
{
	struct daemon *daemon = argument;
	bool busy = count_total(COUNT_connections_sending) > 0 ||
	    count_total(COUNT_transactions_pending) > 0;

	if (!busy || loop_now(daemon->loops[0]) >= daemon->stop_at)
		stop_now(daemon);
	else
		timer_set(daemon->loops[0], &daemon->stop_timer, STOP_CHECK_MS);
}

/* On each worker: no new connections, no new datagrams. */
static void
on_stop(struct letter *letter, void *owner)
{
	struct worker *worker = owner;
	struct daemon *daemon = worker->daemon;

	free(letter);
	for (size_t i = 0; i < daemon->listener_count; i++)
		if (daemon->listeners[i].transport->reliable)
			net_unlisten(worker->net, daemon->listeners[i].key);
}

void
daemon_stop(struct daemon *daemon)
{
	if (daemon->stopping) {
		stop_now(daemon); /* asked twice: at once */
		return;
	}
	daemon->stopping = true;
	notify("STOPPING=1");
	log_event(LOG_NOTICE, "daemon", "stopping");
	daemon->stop_at = loop_now(daemon->loops[0]) +
	    daemon->generation->conf.shutdown_grace * 1000;
	for (unsigned i = 0; i < daemon->workers; i++) {
		struct letter *letter = xcalloc(1, sizeof *letter);

		letter->deliver = on_stop;
		loop_post(daemon->loops[i], letter);
	}
	timer_init(&daemon->stop_timer, check_stopped, daemon);
	timer_set(daemon->loops[0], &daemon->stop_timer, STOP_CHECK_MS);
}

/* ---- signals: read on worker 0 as letters from the kernel ---- */

static void
on_signal(evutil_socket_t fd, short what, void *argument)
{
	struct daemon *daemon = argument;
	struct signalfd_siginfo info;

	(void)what;
	loop_update_now(daemon->loops[0]);
	while (read(fd, &info, sizeof info) == (ssize_t)sizeof info) {
		if (info.ssi_signo == SIGHUP)
			reload_begin(daemon);
		else if (info.ssi_signo == SIGUSR1)
			log_reopen();
		else
			daemon_stop(daemon);
	}
}

static int
open_signals(void)
{
	sigset_t set;

	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN); /* a file that cannot grow is a full disk */
	sigemptyset(&set);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGUSR1);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	/* all threads inherit this: signals are read, never delivered */
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

/* ---- what control asks ---- */

static void
tell_status(void *context, struct control_status *status)
{
	struct daemon *daemon = context;

	*status = (struct control_status){
		.config_path = daemon->path,
		.generation = daemon->generation->number,
		.loaded_at = daemon->generation->loaded_at,
		.started_at = daemon->started_at,
		.last_error = &daemon->last_error,
		.users = generation_users(daemon->generation),
		.listeners = daemon->listener_count,
		.journal = daemon->journal,
	};
}

static void
tell_listener(void *context, size_t i, const struct transport **transport,
    struct addr *at)
{
	struct daemon *daemon = context;

	*transport = daemon->listeners[i].transport;
	*at = daemon->listeners[i].at;
}

static const struct user *
tell_user_at(void *context, size_t i)
{
	struct daemon *daemon = context;
	const struct generation *g = daemon->generation;

	for (size_t d = 0; d < g->conf.directories.count; d++) {
		size_t n = directory_size(g->directories[d]);

		if (i < n)
			return directory_at(g->directories[d], i);
		i -= n;
	}
	return NULL;
}

static const struct user *
tell_user(void *context, struct str aor)
{
	struct daemon *daemon = context;

	return generation_user(daemon->generation, aor);
}

static void
ask_reload(void *context)
{
	reload_begin(context);
}

/* ---- start ---- */

/* As many descriptors as the system lets us have. */
static void
raise_files(const struct conf *conf)
{
	struct rlimit limit;
	rlim_t wanted = (rlim_t)conf->limits.connections + 1024;

	if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
		return;
	if (limit.rlim_max < wanted && geteuid() == 0) {
		struct rlimit more = { wanted, wanted };

		if (setrlimit(RLIMIT_NOFILE, &more) == 0)
			return;
	}
	limit.rlim_cur = limit.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur < wanted)
		log_event(LOG_WARNING, "daemon", "few_files",
		    LOG_I("limit", limit.rlim_cur), LOG_I("wanted", wanted),
		    LOG_Z("setting", "limits.connections"));
}

static bool
drop_privileges(const char *name, char **why)
{
	struct passwd *user;

	if (name == NULL || geteuid() != 0)
		return true;
	user = getpwnam(name);
	if (user == NULL) {
		*why = xasprintf("user: there is no user \"%s\"", name);
		return false;
	}
	if (initgroups(name, user->pw_gid) == 0 && setgid(user->pw_gid) == 0 &&
	    setuid(user->pw_uid) == 0)
		return true;
	*why = xasprintf("user: cannot become %s: %s", name, strerror(errno));
	return false;
}

/* The control socket must be the user's own, to be removed at the end. */
static void
give_socket(const struct conf *conf)
{
	struct passwd *user;

	if (conf->user != NULL && geteuid() == 0 &&
	    (user = getpwnam(conf->user)) != NULL)
		(void)!chown(conf->control.socket, user->pw_uid, user->pw_gid);
}

static unsigned
worker_count(const struct conf *conf)
{
	long cores = sysconf(_SC_NPROCESSORS_ONLN);

	if (conf->workers > 0)
		return (unsigned)conf->workers;
	return cores < 1 ? 1 : cores > 64 ? 64 : (unsigned)cores;
}

static bool
is_alive(void *shared, flow_id flow)
{
	return flow_is_alive(shared, flow);
}

static bool
set_up(struct daemon *daemon, char **why)
{
	const struct conf *conf = &daemon->generation->conf;
	struct control_tools tools = { .context = daemon,
		.loops = daemon->loops, .nets = daemon->nets,
		.status = tell_status, .listener = tell_listener,
		.user_at = tell_user_at, .user = tell_user, .reload = ask_reload };

	notify_open();
	raise_files(conf);
	daemon->workers = worker_count(conf);
	daemon->shared = net_shared_new(daemon->workers);
	daemon->auth = auth_shared_new();
	daemon->location = location_new(is_alive, daemon->shared);
	random_bytes(&daemon->key, sizeof daemon->key);
	for (unsigned i = 0; i < daemon->workers; i++) {
		struct worker *worker = worker_new(daemon, i);

		if (worker == NULL) {
			*why = xasprintf("worker %u: %s", i, strerror(errno));
			return false;
		}
		daemon->worker[i] = worker;
		daemon->loops[i] = worker->loop;
		daemon->nets[i] = worker->net;
	}
	if (!listeners_open(daemon, why))
		return false;
	tools.location = daemon->location;
	tools.workers = daemon->workers;
	daemon->control = control_new(&tools, conf->control.socket,
	    conf->control.mode_bits, why);
	if (daemon->control == NULL)
		return false;
	give_socket(conf);
	return drop_privileges(conf->user, why) && restore(daemon, why);
}

static void
tear_down(struct daemon *daemon)
{
	reload_free(daemon);
	restore_end(daemon);
	control_free(daemon->control);
	daemon->control = NULL;
	for (unsigned i = 0; i < daemon->workers; i++)
		worker_free(daemon->worker[i]);
	free(daemon->keeper); /* letters to it went with the loops */
	location_free(daemon->location);
	auth_shared_free(daemon->auth);
	net_shared_free(daemon->shared);
	generation_unref(daemon->generation);
	faults_free(&daemon->last_error);
	free(daemon->listeners);
}

static void *
work(void *argument)
{
	struct worker *worker = argument;

	loop_run(worker->loop);
	return NULL;
}

static void
run(struct daemon *daemon, int signals)
{
	struct event *event = event_new(loop_base(daemon->loops[0]), signals,
	    EV_READ | EV_PERSIST, on_signal, daemon);
	pthread_attr_t attributes;

	event_add(event, NULL);
	control_start(daemon->control);
	/* Sofia's grammar recurses: threads get what the main one has */
	pthread_attr_init(&attributes);
	pthread_attr_setstacksize(&attributes, STACK_SIZE);
	for (unsigned i = 1; i < daemon->workers; i++)
		if (pthread_create(&daemon->worker[i]->thread, &attributes, work,
		        daemon->worker[i]) != 0)
			abort();
	pthread_attr_destroy(&attributes);
	log_event(LOG_NOTICE, "daemon", "started", LOG_Z("version", PACKAGE_VERSION),
	    LOG_I("workers", daemon->workers),
	    LOG_I("users", generation_users(daemon->generation)));
	notify("READY=1");
	loop_run(daemon->loops[0]);
	for (unsigned i = 1; i < daemon->workers; i++)
		pthread_join(daemon->worker[i]->thread, NULL);
	event_free(event);
	log_event(LOG_NOTICE, "daemon", "stopped");
}

static int
serve(struct daemon *daemon)
{
	const struct log_conf *log = &daemon->generation->conf.log;
	int signals = open_signals();
	char *why = NULL;

	log_set_level((enum log_level)log->level);
	log_set_format((enum log_format)log->format);
	if (!log_open(log->file)) {
		fprintf(stderr, "binderyd: log.file %s: %s\n", log->file,
		    strerror(errno));
		return 1;
	}
	if (!set_up(daemon, &why)) {
		fprintf(stderr, "binderyd: %s\n", why);
		free(why);
		tear_down(daemon);
		return 1;
	}
	log_start();
	restore_begin(daemon);
	run(daemon, signals);
	tear_down(daemon);
	log_stop();
	close(signals);
	return 0;
}

int
daemon_main(int argc, char **argv)
{
	static struct daemon daemon;
	struct faults faults = { 0 };
	enum command command;
	char *text;

	daemon.path = "/etc/bindery/bindery.json";
	command = read_arguments(argc, argv, &daemon.path);
	if (command == DONE)
		return 0;
	if (command == MISUSED) {
		fputs("Try binderyd --help.\n", stderr);
		return 2;
	}
	alloc_init();
	sip_init();
	daemon.started_at = clock_wall_ms();
	daemon.generation = generation_read(daemon.path, &faults);
	if (daemon.generation == NULL) {
		text = faults_text(&faults);
		fputs(text, stderr);
		free(text);
		faults_free(&faults);
		return 1;
	}
	daemon.generation->number = 1;
	if (command == RUN)
		return serve(&daemon);
	if (command == PRINT_CONFIG) {
		text = settings_print(&conf_settings, &daemon.generation->conf);
		puts(text);
		free(text);
	} else {
		printf("%s: all is well, %zu users\n", daemon.path,
		    generation_users(daemon.generation));
	}
	generation_unref(daemon.generation);
	return 0;
}
