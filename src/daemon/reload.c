/*
 * Reload: everything is read and checked in a thread of its own, listeners
 * that are new are opened, and only then the workers swap, all or none. At
 * the end users that are gone lose their bindings.
 */
#include "config.h"

#include "worker.h"

#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "bindery/alloc.h"
#include "bindery/count.h"

enum { NICE = 10 };

/* A listener that the next generation adds: sockets for all workers. */
struct addition {
	struct open_listener listener;
	size_t tls; /* index into the generation's contexts */
	int fds[WORKERS_LIMIT];
};

struct reload {
	struct daemon *daemon;
	pthread_t thread;
	void *(*run)(void *argument); /* on that thread */
	bool threaded;
	struct generation *next; /* NULL: there were faults */
	struct generation *before;
	struct faults faults;
	struct addition *additions;
	size_t addition_count;
	unsigned *removals; /* keys */
	size_t removal_count;
	_Atomic unsigned waiting; /* workers that have not swapped yet */
};

struct reload_letter {
	struct letter letter;
	struct reload *reload;
};

static void post(struct loop *loop, struct reload *reload,
    void (*deliver)(struct letter *letter, void *owner));

/* ---- listeners ---- */

static void
close_additions(struct reload *r, unsigned workers)
{
	for (size_t i = 0; i < r->addition_count; i++)
		for (unsigned w = 0; w < workers; w++)
			if (r->additions[i].fds[w] >= 0)
				close(r->additions[i].fds[w]);
}

static bool
open_addition(struct reload *r, const struct listener_conf *conf, char **why)
{
	struct daemon *daemon = r->daemon;
	struct addition *a = &r->additions[r->addition_count++];

	a->listener = (struct open_listener){ daemon->next_key++,
		transport_at((size_t)conf->transport), conf->at };
	a->tls = conf->tls_index;
	for (unsigned w = 0; w < WORKERS_LIMIT; w++)
		a->fds[w] = -1;
	for (unsigned w = 0; w < daemon->workers; w++) {
		a->fds[w] = net_open_socket(a->listener.transport, &conf->at, why);
		if (a->fds[w] < 0)
			return false;
	}
	return true;
}

static bool
is_wanted(const struct listener_conf *conf, const struct open_listener *open)
{
	return transport_at((size_t)conf->transport) == open->transport &&
	    addr_eq(&conf->at, &open->at);
}

/* What has to be opened and closed; false if something cannot be opened. */
static bool
plan_listeners(struct reload *r, struct generation *next, char **why)
{
	struct daemon *daemon = r->daemon;
	const struct listener_conf *conf = next->conf.listeners.items;
	size_t n = next->conf.listeners.count, i, j;

	r->additions = xcalloc(n, sizeof *r->additions);
	r->removals = xcalloc(daemon->listener_count, sizeof *r->removals);
	for (j = 0; j < daemon->listener_count; j++) {
		for (i = 0; i < n && !is_wanted(&conf[i], &daemon->listeners[j]);)
			i++;
		if (i == n)
			r->removals[r->removal_count++] = daemon->listeners[j].key;
	}
	for (i = 0; i < n; i++) {
		for (j = 0; j < daemon->listener_count &&
		     !is_wanted(&conf[i], &daemon->listeners[j]);)
			j++;
		if (j == daemon->listener_count && !open_addition(r, &conf[i], why))
			return false;
	}
	return true;
}

static bool
is_removed(const struct reload *r, unsigned key)
{
	for (size_t i = 0; i < r->removal_count; i++)
		if (r->removals[i] == key)
			return true;
	return false;
}

static void
record_listeners(struct reload *r)
{
	struct daemon *daemon = r->daemon;
	struct open_listener *all = xcalloc(
	    daemon->listener_count + r->addition_count, sizeof *all);
	size_t n = 0;

	for (size_t i = 0; i < daemon->listener_count; i++)
		if (!is_removed(r, daemon->listeners[i].key))
			all[n++] = daemon->listeners[i];
	for (size_t i = 0; i < r->addition_count; i++)
		all[n++] = r->additions[i].listener;
	free(daemon->listeners);
	daemon->listeners = all;
	daemon->listener_count = n;
}

/* On each worker's thread, or before there are threads. */
static void
change_listeners(struct worker *worker, const struct reload *r,
    const struct generation *next)
{
	const struct listener_conf *conf = next->conf.listeners.items;
	const struct daemon *daemon = worker->daemon;

	for (size_t i = 0; i < r->removal_count; i++)
		net_unlisten(worker->net, r->removals[i]);
	for (size_t i = 0; i < r->addition_count; i++) {
		const struct addition *a = &r->additions[i];
		bool secure = a->listener.transport->secure;

		net_listen(worker->net, a->listener.key, a->fds[worker->index],
		    a->listener.transport, &a->listener.at,
		    secure ? next->tls[a->tls] : NULL);
	}
	for (size_t i = 0; i < next->conf.listeners.count; i++)
		for (size_t j = 0; j < daemon->listener_count; j++)
			if (is_wanted(&conf[i], &daemon->listeners[j]) &&
			    daemon->listeners[j].transport->secure)
				net_listen_tls(worker->net, daemon->listeners[j].key,
				    next->tls[conf[i].tls_index]);
}

bool
listeners_open(struct daemon *daemon, char **why)
{
	struct reload r = { .daemon = daemon };
	bool done = plan_listeners(&r, daemon->generation, why);

	if (done) {
		record_listeners(&r);
		for (unsigned w = 0; w < daemon->workers; w++)
			change_listeners(daemon->worker[w], &r, daemon->generation);
	} else {
		close_additions(&r, daemon->workers);
	}
	free(r.additions);
	free(r.removals);
	return done;
}

/* ---- users that are gone ---- */

static bool
is_still_user(void *context, struct str aor)
{
	const struct reload *r = context;
	const struct user *user = generation_user(r->next, aor);

	return user != NULL && user->enabled;
}

static void
on_lost_user(void *context, struct str aor, const struct binding *binding)
{
	const struct reload *r = context;
	struct str uri = binding_text(binding, BINDING_URI);

	count(bindings_removed);
	log_event(LOG_INFO, "registrar", "unregistered", LOG_S("aor", aor),
	    LOG_S("contact", uri), LOG_Z("reason", "user removed or disabled"));
	control_publish(r->daemon->control, "unregistered",
	    (const struct log_field[]){ LOG_S("aor", aor), LOG_S("uri", uri),
	        LOG_Z("reason", "user removed or disabled"), { 0 } });
}

/* ---- the end ---- */

/* Works when no worker wants the processor. */
static void *
run_aside(void *argument)
{
	struct reload *r = argument;

	setpriority(PRIO_PROCESS, (id_t)gettid(), NICE); /* this thread's alone */
	return r->run(r);
}

static bool
start_thread(struct reload *r, void *(*run)(void *argument))
{
	r->run = run;
	r->threaded = pthread_create(&r->thread, NULL, run_aside, r) == 0;
	return r->threaded;
}

static void
join_thread(struct reload *r)
{
	if (r->threaded)
		pthread_join(r->thread, NULL);
	r->threaded = false;
}

static void
free_reload(struct reload *r)
{
	generation_unref(r->next);
	faults_free(&r->faults);
	free(r->additions);
	free(r->removals);
	free(r);
}

static void
end(struct daemon *daemon)
{
	struct reload *r = daemon->reload;

	join_thread(r);
	daemon->reload = NULL;
	free_reload(r);
	notify("READY=1");
	if (daemon->reload_again) {
		daemon->reload_again = false;
		reload_begin(daemon);
	}
}

static void
fail(struct daemon *daemon)
{
	struct reload *r = daemon->reload;

	for (size_t i = 0; i < r->faults.count; i++)
		log_event(LOG_ERROR, "config", "reload_failed",
		    LOG_Z("reason", r->faults.list[i]));
	faults_free(&daemon->last_error);
	daemon->last_error = r->faults;
	r->faults = (struct faults){ 0 };
	control_publish(daemon->control, "reload_failed",
	    (const struct log_field[]){
	        LOG_Z("reason", daemon->last_error.list[0]), { 0 } });
	control_reloaded(daemon->control, daemon->generation->number,
	    &daemon->last_error);
	end(daemon);
}

static void
on_forgotten(struct letter *letter, void *owner)
{
	struct worker *worker = owner;

	free(letter);
	end(worker->daemon);
}

/* A million users take a while to free: on no worker's time. */
static void *
forget_before(void *argument)
{
	struct reload *r = argument;

	generation_unref(r->before);
	post(r->daemon->loops[0], r, on_forgotten);
	return NULL;
}

static void
succeed(struct daemon *daemon)
{
	struct reload *r = daemon->reload;

	/* only now, so that who asks is told of what holds everywhere */
	r->before = daemon->generation;
	daemon->generation = generation_ref(r->next);
	faults_free(&daemon->last_error);
	log_event(LOG_NOTICE, "config", "reloaded",
	    LOG_I("generation", daemon->generation->number),
	    LOG_I("users", generation_users(daemon->generation)));
	control_publish(daemon->control, "reloaded",
	    (const struct log_field[]){
	        LOG_I("generation", daemon->generation->number), { 0 } });
	control_reloaded(daemon->control, r->next->number, NULL);
	join_thread(r);
	if (!start_thread(r, forget_before))
		forget_before(r);
}

/* ---- from thread to thread ---- */

/* Back on worker 0, when the sweep is done. */
static void
on_swept(struct letter *letter, void *owner)
{
	struct worker *worker = owner;

	free(letter);
	succeed(worker->daemon);
}

static void *
sweep(void *argument)
{
	struct reload *r = argument;

	location_sweep(r->daemon->location, is_still_user, on_lost_user, r);
	post(r->daemon->loops[0], r, on_swept);
	return NULL;
}

/* All workers have swapped: no one lets a removed user in any more. */
static void
on_all_swapped(struct letter *letter, void *owner)
{
	struct worker *worker = owner;
	struct reload *r = worker->daemon->reload;

	free(letter);
	join_thread(r);
	if (!start_thread(r, sweep))
		sweep(r); /* better late for others than never */
}

static void
on_swap(struct letter *letter, void *owner)
{
	struct worker *worker = owner;
	struct reload *r = ((struct reload_letter *)letter)->reload;

	free(letter);
	change_listeners(worker, r, r->next);
	worker_use(worker, r->next);
	if (atomic_fetch_sub(&r->waiting, 1) == 1)
		post(r->daemon->loops[0], r, on_all_swapped);
}

static bool
same_text(const char *a, const char *b)
{
	return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

static void
warn_of_restart(const struct conf *before, const struct conf *now)
{
	const struct {
		const char *name;
		bool same;
	} rows[] = {
		{ "workers", before->workers == now->workers },
		{ "control.socket",
		    strcmp(before->control.socket, now->control.socket) == 0 },
		{ "control.mode",
		    before->control.mode_bits == now->control.mode_bits },
		{ "user", same_text(before->user, now->user) },
		{ "location.store", before->store == now->store },
		{ "location.path", same_text(before->store_path, now->store_path) },
		{ "location.durability", before->durability == now->durability },
	};

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
		if (!rows[i].same)
			log_event(LOG_WARNING, "config", "needs_restart",
			    LOG_Z("setting", rows[i].name));
}

static void
apply_log(const struct conf *before, const struct conf *now)
{
	if (before->log.level != now->log.level)
		log_set_level((enum log_level)now->log.level);
	log_set_format((enum log_format)now->log.format);
	if (!log_open(now->log.file))
		log_event(LOG_ERROR, "log", "cannot_open",
		    LOG_Z("file", now->log.file));
}

/* On worker 0: the thread has read what there is. */
static void
on_read(struct letter *letter, void *owner)
{
	struct worker *worker = owner;
	struct daemon *daemon = worker->daemon;
	struct reload *r = daemon->reload;
	char *why = NULL;

	free(letter);
	if (daemon->stopping) /* tear_down() frees it */
		return;
	if (r->next == NULL) {
		fail(daemon);
		return;
	}
	if (!plan_listeners(r, r->next, &why)) {
		faults_add(&r->faults, daemon->path, 0, "listeners", "%s", why);
		free(why);
		close_additions(r, daemon->workers);
		fail(daemon);
		return;
	}
	warn_of_restart(&daemon->generation->conf, &r->next->conf);
	apply_log(&daemon->generation->conf, &r->next->conf);
	r->next->number = daemon->generation->number + 1;
	/* listeners that stay are told their new certificates by record */
	record_listeners(r);
	atomic_store(&r->waiting, daemon->workers);
	for (unsigned w = 0; w < daemon->workers; w++)
		post(daemon->loops[w], r, on_swap);
}

static void
post(struct loop *loop, struct reload *r,
    void (*deliver)(struct letter *letter, void *owner))
{
	struct reload_letter *letter = xcalloc(1, sizeof *letter);

	letter->letter.deliver = deliver;
	letter->reload = r;
	loop_post(loop, &letter->letter);
}

static void *
read_all(void *argument)
{
	struct reload *r = argument;

	r->next = generation_read(r->daemon->path, &r->faults);
	post(r->daemon->loops[0], r, on_read);
	return NULL;
}

void
reload_begin(struct daemon *daemon)
{
	struct reload *r;

	if (daemon->stopping)
		return;
	if (daemon->reload != NULL) { /* what changed meanwhile is read again */
		daemon->reload_again = true;
		return;
	}
	notify_reloading();
	r = xcalloc(1, sizeof *r);
	r->daemon = daemon;
	daemon->reload = r;
	if (!start_thread(r, read_all)) {
		faults_add(&r->faults, daemon->path, 0, "",
		    "cannot be read: the system has no thread left");
		fail(daemon);
	}
}

void
reload_free(struct daemon *daemon)
{
	if (daemon->reload == NULL)
		return;
	join_thread(daemon->reload);
	free_reload(daemon->reload);
	daemon->reload = NULL;
}
