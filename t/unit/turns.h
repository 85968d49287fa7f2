/*
 * A loop whose turns and whose time a test decides. The loop runs in a thread
 * of its own, but stands still while the test does something: between
 * turns_start() and turns_end() all of the loop's functions may be called
 * from the test, as if from one of the loop's callbacks.
 *
 *	turns_start(&turns);
 *	timer_set(turns.loop, &timer, 500);
 *	turns_pass(&turns, 499);    the clock goes on, timers fire on the way
 *	turns_take(&turns);         one turn more, with what was deferred
 *	turns_end(&turns);
 */
#ifndef BINDERY_UNIT_TURNS_H
#define BINDERY_UNIT_TURNS_H

#include "unit.h"

#include <pthread.h>
#include <sys/time.h>

#include <event2/event.h>

#include "bindery/clock.h"
#include "bindery/loop.h"

struct turns {
	struct loop *loop;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t moved;
	bool parked;  /* the loop's thread stands in a letter */
	bool go;      /* it may go on */
};

struct parking_letter {
	struct letter letter;
	struct turns *turns;
};

static inline void
deliver_parking(struct letter *letter, void *owner)
{
	struct turns *t = ((struct parking_letter *)letter)->turns;

	(void)owner;
	free(letter);
	pthread_mutex_lock(&t->lock);
	t->parked = true;
	pthread_cond_broadcast(&t->moved);
	while (!t->go)
		pthread_cond_wait(&t->moved, &t->lock);
	t->go = false;
	t->parked = false;
	pthread_cond_broadcast(&t->moved);
	pthread_mutex_unlock(&t->lock);
}

static inline void
turns_park(struct turns *t)
{
	struct parking_letter *letter = calloc(1, sizeof *letter);

	letter->letter.deliver = deliver_parking;
	letter->turns = t;
	loop_post(t->loop, &letter->letter);
	pthread_mutex_lock(&t->lock);
	while (!t->parked)
		pthread_cond_wait(&t->moved, &t->lock);
	pthread_mutex_unlock(&t->lock);
}

static inline void
turns_release(struct turns *t)
{
	pthread_mutex_lock(&t->lock);
	t->go = true;
	pthread_cond_broadcast(&t->moved);
	while (t->parked)
		pthread_cond_wait(&t->moved, &t->lock);
	pthread_mutex_unlock(&t->lock);
}

static inline void *
turns_run(void *argument)
{
	loop_run(((struct turns *)argument)->loop);
	return NULL;
}

static inline void
turns_start(struct turns *t, unsigned worker, void *owner)
{
	memset(t, 0, sizeof *t);
	pthread_mutex_init(&t->lock, NULL);
	pthread_cond_init(&t->moved, NULL);
	t->loop = loop_new(worker, owner);
	assert_non_null(t->loop);
	assert_int_equal(pthread_create(&t->thread, NULL, turns_run, t), 0);
	turns_park(t);
}

/* Ends this turn: callbacks that are due run, then what was deferred. */
static inline void
turns_take(struct turns *t)
{
	turns_release(t);
	turns_park(t);
}

struct turns_tick {
	bool found;
	int64_t in_ms; /* when the loop means to look at its timers */
};

static inline int
turns_look(const struct event_base *base, const struct event *event,
    void *argument)
{
	struct turns_tick *tick = argument;
	struct timeval at, now;

	(void)base;
	if (event_get_fd(event) >= 0 || !event_pending(event, EV_TIMEOUT, &at))
		return 0;
	evutil_gettimeofday(&now, NULL);
	tick->found = true;
	tick->in_ms = (at.tv_sec - now.tv_sec) * 1000 +
	    (at.tv_usec - now.tv_usec) / 1000 + 1;
	return 0;
}

static inline int
turns_activate(const struct event_base *base, const struct event *event,
    void *argument)
{
	(void)base;
	(void)argument;
	if (event_get_fd(event) < 0)
		event_active((struct event *)(uintptr_t)event, EV_TIMEOUT, 1);
	return 0;
}

/* The clock goes on by so much, and the timers with it. */
static inline void
turns_pass(struct turns *t, int64_t ms)
{
	struct event_base *base = loop_base(t->loop);

	while (ms > 0) {
		struct turns_tick tick = { 0 };
		int64_t step = ms;

		event_base_foreach_event(base, turns_look, &tick);
		if (tick.found && tick.in_ms < step)
			step = tick.in_ms > 1 ? tick.in_ms : 1;
		clock_advance(step);
		ms -= step;
		event_base_foreach_event(base, turns_activate, NULL);
		turns_take(t);
	}
	turns_take(t);
}

/* The loop ends; what is still to be freed with it is up to the caller. */
static inline void
turns_stop(struct turns *t)
{
	loop_stop(t->loop);
	turns_release(t);
	pthread_join(t->thread, NULL);
}

static inline void
turns_end(struct turns *t)
{
	loop_free(t->loop);
	pthread_cond_destroy(&t->moved);
	pthread_mutex_destroy(&t->lock);
}

#endif
