/* The journal's start: bindings come back, and from then on it is told of all. */
#include "config.h"

#include "worker.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "bindery/alloc.h"
#include "bindery/clock.h"

/* Datagrams need no connection: any socket at the same address will do. */
static flow_id
flow_of(void *context, const struct hop *hop)
{
	struct daemon *daemon = context;

	return hop->transport->reliable
	    ? FLOW_NONE
	    : net_find_socket(daemon->nets[0], hop->transport, &hop->local);
}

/* What the journal says to the workers, and who looks after it. */
struct keeper {
	struct daemon *daemon;
	struct timer watch;
	_Atomic bool told[WORKERS_LIMIT]; /* a letter is under way */
};

enum { WATCH_MS = 1000 };

static void
on_progress(struct letter *letter, void *owner)
{
	struct worker *worker = owner;

	free(letter);
	atomic_store(&worker->daemon->keeper->told[worker->index], false);
	registrar_progress(worker->registrar);
}

/* From the journal's thread, and from worker 0. */
static void
tell_workers(void *context)
{
	struct keeper *keeper = context;
	struct daemon *daemon = keeper->daemon;

	if (!journal_waits(daemon->journal))
		return;
	for (unsigned i = 0; i < daemon->workers; i++) {
		struct letter *letter;

		if (atomic_exchange(&keeper->told[i], true))
			continue;
		letter = xcalloc(1, sizeof *letter);
		letter->deliver = on_progress;
		loop_post(daemon->loops[i], letter);
	}
}

static void
watch(void *argument)
{
	struct keeper *keeper = argument;

	journal_watch(keeper->daemon->journal);
	timer_set(keeper->daemon->loops[0], &keeper->watch, WATCH_MS);
}

static bool
is_user(void *context, struct str aor)
{
	const struct daemon *daemon = context;
	const struct user *user = generation_user(daemon->generation, aor);

	return user != NULL && user->enabled;
}

static void
on_lost_user(void *context, struct str aor, const struct binding *binding)
{
	(void)context;
	log_event(LOG_INFO, "registrar", "unregistered", LOG_S("aor", aor),
	    LOG_S("contact", binding_text(binding, BINDING_URI)),
	    LOG_Z("reason", "user removed or disabled"));
}

bool
restore(struct daemon *daemon, char **why)
{
	const struct conf *conf = &daemon->generation->conf;
	struct journal_conf journal = { conf->store_path,
		(enum journal_durability)conf->durability, transport_find };
	int64_t began = clock_mono_ms();
	size_t loaded;

	if (conf->store == 0)
		return true;
	daemon->journal = journal_open(&journal, daemon->location, why);
	if (daemon->journal == NULL)
		return false;
	for (unsigned i = 0; i < daemon->workers; i++)
		registrar_use_journal(daemon->worker[i]->registrar, daemon->journal);
	loaded = journal_load(daemon->journal, flow_of, daemon);
	log_event(LOG_NOTICE, "store", "loaded", LOG_I("bindings", loaded),
	    LOG_I("ms", clock_mono_ms() - began));
	return true;
}

void
restore_begin(struct daemon *daemon)
{
	if (daemon->journal == NULL)
		return;
	daemon->keeper = xcalloc(1, sizeof *daemon->keeper);
	daemon->keeper->daemon = daemon;
	journal_start(daemon->journal, tell_workers, daemon->keeper);
	timer_init(&daemon->keeper->watch, watch, daemon->keeper);
	watch(daemon->keeper);
	/* users may have gone while the server was down */
	location_sweep(daemon->location, is_user, on_lost_user, daemon);
}

void
restore_end(struct daemon *daemon)
{
	if (daemon->keeper != NULL)
		timer_cancel(daemon->loops[0], &daemon->keeper->watch);
	journal_close(daemon->journal);
}
