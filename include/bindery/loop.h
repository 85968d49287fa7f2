/*
 * A worker's heart: its event base, its timers, its deferred calls and its
 * mailbox. One thread owns a loop; only loop_post() and loop_stop() may be
 * called from others.
 */
#ifndef BINDERY_LOOP_H
#define BINDERY_LOOP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* ---- the wheel: a million timers at a constant cost each ---- */

/* In the caller's object. Zero it before the first use. */
struct wheel_node {
	struct wheel_node *next, **link; /* link NULL: not on a wheel */
	int64_t at;                      /* due, in ms of clock_mono_ms() */
};

enum { WHEEL_LEVELS = 4, WHEEL_SLOTS = 256, WHEEL_TICK_MS = 10 };

/*
 * A hierarchical timing wheel. It rounds a deadline up to its tick, never
 * down. Beyond 490 days a node waits that long and is then set anew.
 */
struct wheel {
	struct wheel_node *slots[WHEEL_LEVELS][WHEEL_SLOTS];
	uint64_t used[WHEEL_SLOTS / 64]; /* level 0: which slots are not empty */
	int64_t tick;                    /* all up to this one have fired */
	size_t count;
};

void wheel_init(struct wheel *wheel, int64_t now);
/* Sets or moves a node. A deadline that has passed fires at the next tick. */
void wheel_set(struct wheel *wheel, struct wheel_node *node, int64_t at);
void wheel_cancel(struct wheel *wheel, struct wheel_node *node);
static inline bool
wheel_is_set(const struct wheel_node *node)
{
	return node->link != NULL;
}
/*
 * Takes one node that is due by `now` off the wheel, or NULL when there is
 * none: call it until then. Nodes may be set and cancelled in between.
 */
struct wheel_node *wheel_next_due(struct wheel *wheel, int64_t now);
/* A time by which wheel_next_due() should be asked again; INT64_MAX if empty. */
int64_t wheel_wake(const struct wheel *wheel);

/* ---- the loop ---- */

struct loop;
struct event_base;

/* `owner` is what letters are delivered to. NULL with errno if the kernel refuses. */
struct loop *loop_new(unsigned worker, void *owner);
/* Runs what was deferred, discards letters, frees. */
void loop_free(struct loop *loop);
unsigned loop_worker(const struct loop *loop);
/* For the rooms that speak libevent themselves: net and control. */
struct event_base *loop_base(struct loop *loop);
/* Runs until loop_stop(). */
void loop_run(struct loop *loop);
void loop_stop(struct loop *loop);
/* Counts the turns: one call of the kernel for events, and their callbacks. */
uint64_t loop_turn(const struct loop *loop);
/*
 * The longest turn of the last seconds (5 to 10), in milliseconds: so long
 * somebody had to wait for this loop. From any thread.
 */
int64_t loop_lag(const struct loop *loop);
/*
 * Since when, by clock_mono_ms(), each turn took longer than it should (a
 * quarter of a second); 0 if the last one did not.
 */
int64_t loop_late_since(const struct loop *loop);
/* Milliseconds of clock_mono_ms(), read once a turn. */
int64_t loop_now(const struct loop *loop);
/* Reads the clock anew; for who works long within a turn, and for who begins one. */
int64_t loop_update_now(struct loop *loop);

/* ---- timers ---- */

struct timer {
	struct wheel_node node;
	void (*fire)(void *argument);
	void *argument;
};

void timer_init(struct timer *timer, void (*fire)(void *), void *argument);
/* In `ms` from now; a timer that is set already is moved. */
void timer_set(struct loop *loop, struct timer *timer, int64_t ms);
void timer_cancel(struct loop *loop, struct timer *timer);

/* ---- later ---- */

struct deferred {
	struct deferred *next, **link;
	uint64_t turn;
	void (*run)(void *argument);
	void *argument;
	bool queued;
};

/*
 * Calls run(argument) when this turn's callbacks are done; a second call
 * before then changes nothing. So an object is never freed inside its own
 * callback.
 */
void loop_defer(struct loop *loop, struct deferred *deferred,
    void (*run)(void *), void *argument);

/*
 * The same in the next turn, when the kernel has been asked what else is
 * ready: for who has more to do than others should wait for. Until it ran, or
 * loop_forget() was called, the object must live.
 */
void loop_next(struct loop *loop, struct deferred *deferred,
    void (*run)(void *), void *argument);
void loop_forget(struct loop *loop, struct deferred *deferred);

/* ---- mailboxes ---- */

/*
 * A closed letter: what a thread says to a worker. It starts a larger struct
 * that malloc() made; deliver() runs on the worker's thread, with the `owner`
 * of its loop, and frees it. Letters that were never delivered are freed by
 * discard(), or by free() where that is NULL, when the loop ends.
 */
struct letter {
	struct letter *next;
	void (*deliver)(struct letter *letter, void *owner);
	void (*discard)(struct letter *letter);
};

/* From any thread; takes the letter. In order, from one sender. */
void loop_post(struct loop *loop, struct letter *letter);

#endif
