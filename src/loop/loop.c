/* A worker's loop over libevent: one timer event drives all timers. */
#include "config.h"

#include "bindery/loop.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <event2/event.h>

#include "bindery/alloc.h"
#include "bindery/clock.h"

enum { LATE_MS = 250, LAG_WINDOW_MS = 5000 };

/* What is to be run, in order. */
struct work {
	struct deferred *first, **tail;
};

struct loop {
	unsigned worker;
	void *owner;
	struct event_base *base;
	struct event *tick, *mail;
	uint64_t turn;
	int64_t now;
	int64_t began; /* the first callback of this turn; 0: none yet */
	int64_t late_since;
	int64_t window;               /* that lag[1] is of */
	_Atomic int64_t lag[2];       /* of the window before and of this one */
	int64_t armed; /* when `tick` fires; INT64_MAX: not set */
	struct wheel wheel;
	struct work deferred, next; /* of this turn and of the one to come */
	_Atomic bool stopping;

	int eventfd;
	pthread_mutex_t lock; /* for the letters alone */
	struct letter *letters, **letters_tail;
};

static void
ring(struct loop *loop)
{
	uint64_t one = 1;

	while (write(loop->eventfd, &one, sizeof one) < 0 && errno == EINTR)
		;
}

void
loop_post(struct loop *loop, struct letter *letter)
{
	bool first;

	letter->next = NULL;
	pthread_mutex_lock(&loop->lock);
	first = loop->letters == NULL;
	*loop->letters_tail = letter;
	loop->letters_tail = &letter->next;
	pthread_mutex_unlock(&loop->lock);
	if (first)
		ring(loop);
}

static struct letter *
take_letters(struct loop *loop)
{
	struct letter *letters;

	pthread_mutex_lock(&loop->lock);
	letters = loop->letters;
	loop->letters = NULL;
	loop->letters_tail = &loop->letters;
	pthread_mutex_unlock(&loop->lock);
	return letters;
}

static void
on_mail(evutil_socket_t fd, short what, void *argument)
{
	struct loop *loop = argument;
	struct letter *letter, *next;
	uint64_t rung;

	(void)what;
	while (read(fd, &rung, sizeof rung) < 0 && errno == EINTR)
		;
	loop_update_now(loop);
	for (letter = take_letters(loop); letter != NULL; letter = next) {
		next = letter->next;
		letter->deliver(letter, loop->owner);
	}
}

static void
arm(struct loop *loop)
{
	int64_t wake = wheel_wake(&loop->wheel);
	struct timeval after;

	if (wake >= loop->armed)
		return;
	loop->armed = wake;
	wake = wake > loop->now ? wake - loop->now : 0;
	after = (struct timeval){ wake / 1000, wake % 1000 * 1000 };
	event_add(loop->tick, &after);
}

static void
on_tick(evutil_socket_t fd, short what, void *argument)
{
	struct loop *loop = argument;
	struct wheel_node *node;

	(void)fd;
	(void)what;
	loop->armed = INT64_MAX;
	loop_update_now(loop);
	while ((node = wheel_next_due(&loop->wheel, loop->now)) != NULL) {
		struct timer *timer = (struct timer *)(void *)node;

		if (node->at > loop->now) /* was beyond the wheel's reach */
			wheel_set(&loop->wheel, node, node->at);
		else
			timer->fire(timer->argument);
	}
	arm(loop);
}

static void
empty(struct work *work)
{
	*work = (struct work){ NULL, &work->first };
}

static void
enqueue(struct work *work, uint64_t turn, struct deferred *deferred,
    void (*run)(void *), void *argument)
{
	if (deferred->queued)
		return;
	*deferred = (struct deferred){ .link = work->tail, .turn = turn,
		.run = run, .argument = argument, .queued = true };
	*work->tail = deferred;
	work->tail = &deferred->next;
}

static void
dequeue(struct work *work, struct deferred *deferred)
{
	*deferred->link = deferred->next;
	if (deferred->next != NULL)
		deferred->next->link = deferred->link;
	else
		work->tail = deferred->link;
	deferred->queued = false;
}

static void
run_all(struct work *work)
{
	while (work->first != NULL) {
		struct deferred *first = work->first;

		dequeue(work, first);
		first->run(first->argument);
	}
}

/* What was put off in the turn before; what puts itself off again waits. */
static void
run_next(struct loop *loop)
{
	while (loop->next.first != NULL && loop->next.first->turn < loop->turn) {
		struct deferred *first = loop->next.first;

		loop_update_now(loop);
		dequeue(&loop->next, first);
		first->run(first->argument);
	}
}

struct loop *
loop_new(unsigned worker, void *owner)
{
	struct event_config *config = event_config_new();
	struct loop *loop = xcalloc(1, sizeof *loop);

	loop->worker = worker;
	loop->owner = owner;
	loop->armed = INT64_MAX;
	empty(&loop->deferred);
	empty(&loop->next);
	loop->letters_tail = &loop->letters;
	loop->now = clock_mono_ms();
	wheel_init(&loop->wheel, loop->now);
	pthread_mutex_init(&loop->lock, NULL);
	event_config_set_flag(config,
	    EVENT_BASE_FLAG_NOLOCK | EVENT_BASE_FLAG_PRECISE_TIMER);
	loop->base = event_base_new_with_config(config);
	event_config_free(config);
	loop->eventfd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (loop->base == NULL || loop->eventfd < 0) {
		loop_free(loop);
		return NULL;
	}
	loop->tick = evtimer_new(loop->base, on_tick, loop);
	loop->mail = event_new(loop->base, loop->eventfd, EV_READ | EV_PERSIST,
	    on_mail, loop);
	event_add(loop->mail, NULL);
	return loop;
}

void
loop_free(struct loop *loop)
{
	struct letter *letter, *next;

	if (loop == NULL)
		return;
	run_all(&loop->deferred);
	for (letter = take_letters(loop); letter != NULL; letter = next) {
		next = letter->next;
		if (letter->discard != NULL)
			letter->discard(letter);
		else
			free(letter);
	}
	if (loop->tick != NULL)
		event_free(loop->tick);
	if (loop->mail != NULL)
		event_free(loop->mail);
	if (loop->eventfd >= 0)
		close(loop->eventfd);
	if (loop->base != NULL)
		event_base_free(loop->base);
	pthread_mutex_destroy(&loop->lock);
	free(loop);
}

unsigned
loop_worker(const struct loop *loop)
{
	return loop->worker;
}

struct event_base *
loop_base(struct loop *loop)
{
	return loop->base;
}

/* How long did this turn keep others waiting? */
static void
measure_turn(struct loop *loop)
{
	int64_t lag, window;

	if (loop->began == 0)
		return;
	lag = loop_update_now(loop) - loop->began;
	window = loop->now / LAG_WINDOW_MS;
	if (window != loop->window) {
		atomic_store_explicit(&loop->lag[0], window == loop->window + 1
		        ? atomic_load_explicit(&loop->lag[1], memory_order_relaxed)
		        : 0,
		    memory_order_relaxed);
		atomic_store_explicit(&loop->lag[1], 0, memory_order_relaxed);
		loop->window = window;
	}
	if (lag > atomic_load_explicit(&loop->lag[1], memory_order_relaxed))
		atomic_store_explicit(&loop->lag[1], lag, memory_order_relaxed);
	if (lag < LATE_MS)
		loop->late_since = 0;
	else if (loop->late_since == 0)
		loop->late_since = loop->began;
	loop->began = 0;
}

int64_t
loop_lag(const struct loop *loop)
{
	int64_t before = atomic_load_explicit(&loop->lag[0], memory_order_relaxed);
	int64_t now = atomic_load_explicit(&loop->lag[1], memory_order_relaxed);

	return before > now ? before : now;
}

int64_t
loop_late_since(const struct loop *loop)
{
	return loop->late_since;
}

void
loop_run(struct loop *loop)
{
	loop->began = 0;
	while (!atomic_load(&loop->stopping)) {
		/* without ONCE it would go on for as long as anything is ready */
		if (event_base_loop(loop->base, EVLOOP_ONCE |
		        (loop->next.first != NULL ? EVLOOP_NONBLOCK : 0)) != 0)
			break;
		run_next(loop);
		run_all(&loop->deferred);
		loop->turn++;
		measure_turn(loop);
	}
	run_all(&loop->deferred);
}

void
loop_stop(struct loop *loop)
{
	atomic_store(&loop->stopping, true);
	ring(loop);
}

uint64_t
loop_turn(const struct loop *loop)
{
	return loop->turn;
}

int64_t
loop_now(const struct loop *loop)
{
	return loop->now;
}

int64_t
loop_update_now(struct loop *loop)
{
	loop->now = clock_mono_ms();
	if (loop->began == 0)
		loop->began = loop->now;
	return loop->now;
}

void
timer_init(struct timer *timer, void (*fire)(void *), void *argument)
{
	*timer = (struct timer){ .fire = fire, .argument = argument };
}

void
timer_set(struct loop *loop, struct timer *timer, int64_t ms)
{
	if (loop->wheel.count == 0) /* an empty wheel stood still */
		wheel_next_due(&loop->wheel, loop->now);
	wheel_set(&loop->wheel, &timer->node, loop->now + ms);
	arm(loop);
}

void
timer_cancel(struct loop *loop, struct timer *timer)
{
	wheel_cancel(&loop->wheel, &timer->node);
}

void
loop_defer(struct loop *loop, struct deferred *deferred, void (*run)(void *),
    void *argument)
{
	enqueue(&loop->deferred, loop->turn, deferred, run, argument);
}

void
loop_next(struct loop *loop, struct deferred *deferred, void (*run)(void *),
    void *argument)
{
	enqueue(&loop->next, loop->turn, deferred, run, argument);
}

void
loop_forget(struct loop *loop, struct deferred *deferred)
{
	if (deferred->queued)
		dequeue(&loop->next, deferred);
}
