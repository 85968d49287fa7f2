/* The loop: timers, what is deferred, letters, across threads too. */
#include "config.h"

#include "turns.h"

#include <unistd.h>


static char trace[256];
static size_t trace_size;

static void
write_down(char c)
{
	assert_true(trace_size + 1 < sizeof trace);
	trace[trace_size++] = c;
	trace[trace_size] = '\0';
}

static int
set_up(void **state)
{
	struct turns *t = calloc(1, sizeof *t);

	trace_size = 0;
	trace[0] = '\0';
	turns_start(t, 7, t);
	*state = t;
	return 0;
}

static int
tear_down(void **state)
{
	turns_stop(*state);
	turns_end(*state);
	free(*state);
	return 0;
}

/* ---- timers ---- */

#define LETTER(c) ((void *)(uintptr_t)(c))

static void
fire(void *argument)
{
	write_down(*(const char *)argument);
}

static void
timers_fire_in_the_order_of_their_times(void **state)
{
	struct turns *t = *state;
	struct timer a, b, c;

	timer_init(&a, fire, LETTER("a"));
	timer_init(&b, fire, LETTER("b"));
	timer_init(&c, fire, LETTER("c"));
	timer_set(t->loop, &a, 3000);
	timer_set(t->loop, &b, 1000);
	timer_set(t->loop, &c, 2000);
	turns_pass(t, 900);
	assert_string_equal(trace, "");
	turns_pass(t, 200);
	assert_string_equal(trace, "b");
	turns_pass(t, 10000);
	assert_string_equal(trace, "bca");
}

static void
a_cancelled_timer_does_not_fire(void **state)
{
	struct turns *t = *state;
	struct timer a, b;

	timer_init(&a, fire, LETTER("a"));
	timer_init(&b, fire, LETTER("b"));
	timer_set(t->loop, &a, 100);
	timer_set(t->loop, &b, 100);
	timer_cancel(t->loop, &a);
	timer_cancel(t->loop, &a);
	turns_pass(t, 1000);
	assert_string_equal(trace, "b");
}

static void
a_timer_that_is_set_again_moves(void **state)
{
	struct turns *t = *state;
	struct timer a;

	timer_init(&a, fire, LETTER("a"));
	timer_set(t->loop, &a, 100);
	timer_set(t->loop, &a, 1000);
	turns_pass(t, 500);
	assert_string_equal(trace, "");
	timer_set(t->loop, &a, 100);
	turns_pass(t, 200);
	assert_string_equal(trace, "a");
	turns_pass(t, 5000);
	assert_string_equal(trace, "a");
}

static void
far_and_near_timers_do_not_disturb_each_other(void **state)
{
	struct turns *t = *state;
	struct timer far, near;

	timer_init(&far, fire, LETTER("f"));
	timer_init(&near, fire, LETTER("n"));
	timer_set(t->loop, &far, 3600000);
	turns_pass(t, 1000);
	timer_set(t->loop, &near, 50);
	turns_pass(t, 100);
	assert_string_equal(trace, "n");
	turns_pass(t, 3600000 - 1100 - 2000);
	assert_string_equal(trace, "n");
	turns_pass(t, 2100);
	assert_string_equal(trace, "nf");
}

struct again {
	struct timer timer;
	struct loop *loop;
	int left;
};

static void
fire_again(void *argument)
{
	struct again *again = argument;

	write_down('x');
	if (--again->left > 0)
		timer_set(again->loop, &again->timer, 0);
}

static void
a_timer_may_set_itself_from_within(void **state)
{
	struct turns *t = *state;
	struct again again = { .loop = t->loop, .left = 5 };

	timer_init(&again.timer, fire_again, &again);
	timer_set(t->loop, &again.timer, 0);
	turns_pass(t, 1000);
	assert_string_equal(trace, "xxxxx");
}

static void
now_is_read_once_a_turn(void **state)
{
	struct turns *t = *state;
	int64_t now = loop_now(t->loop);

	clock_advance(5000);
	assert_int_equal(loop_now(t->loop), now);
	assert_true(loop_update_now(t->loop) >= now + 5000);
	assert_true(loop_now(t->loop) >= now + 5000);
	clock_advance(5000);
	turns_take(t);
	assert_true(loop_now(t->loop) >= now + 10000);
}

/* ---- deferred ---- */

static void
what_is_deferred_runs_after_this_turn_in_order(void **state)
{
	struct turns *t = *state;
	struct deferred a = { 0 }, b = { 0 };

	loop_defer(t->loop, &a, fire, LETTER("a"));
	loop_defer(t->loop, &b, fire, LETTER("b"));
	loop_defer(t->loop, &a, fire, LETTER("x")); /* changes nothing */
	assert_string_equal(trace, "");
	turns_take(t);
	assert_string_equal(trace, "ab");
	loop_defer(t->loop, &a, fire, LETTER("c")); /* but now it may be used again */
	turns_take(t);
	assert_string_equal(trace, "abc");
}

struct chain {
	struct deferred later;
	struct loop *loop;
	uint64_t turn;
	int left;
	int ready; /* when it ran last */
};

static void
defer_again(void *argument)
{
	struct chain *chain = argument;

	write_down('d');
	if (--chain->left > 0)
		loop_defer(chain->loop, &chain->later, defer_again, chain);
}

static void
what_is_deferred_may_defer_itself(void **state)
{
	struct turns *t = *state;
	struct chain chain = { .loop = t->loop, .left = 4 };

	loop_defer(t->loop, &chain.later, defer_again, &chain);
	turns_take(t);
	turns_take(t);
	turns_take(t);
	turns_take(t);
	assert_string_equal(trace, "dddd");
}

static void
what_is_put_off_runs_once_in_each_turn_to_come(void **state)
{
	struct turns *t = *state;
	struct deferred a = { 0 }, b = { 0 }, c = { 0 };

	loop_next(t->loop, &a, fire, LETTER("a"));
	loop_next(t->loop, &b, fire, LETTER("b"));
	loop_next(t->loop, &c, fire, LETTER("c"));
	loop_next(t->loop, &a, fire, LETTER("x")); /* changes nothing */
	loop_forget(t->loop, &b);
	loop_forget(t->loop, &b);
	turns_take(t);
	turns_take(t);
	assert_string_equal(trace, "ac");
	loop_next(t->loop, &b, fire, LETTER("b"));
	loop_forget(t->loop, &b); /* the only one, and the last */
	loop_next(t->loop, &a, fire, LETTER("a"));
	turns_take(t);
	turns_take(t);
	assert_string_equal(trace, "aca");
}

static int ready; /* how often on_ready() was called */

static void
on_ready(evutil_socket_t fd, short what, void *argument)
{
	(void)fd;
	(void)what;
	(void)argument;
	ready++; /* and leaves it as it is: always ready */
}

static void
put_off_again(void *argument)
{
	struct chain *chain = argument;

	chain->ready = ready;

	assert_true(loop_turn(chain->loop) > chain->turn);
	chain->turn = loop_turn(chain->loop);
	if (--chain->left > 0)
		loop_next(chain->loop, &chain->later, put_off_again, chain);
}

static void
what_puts_itself_off_lets_others_in_between(void **state)
{
	struct turns *t = *state;
	struct chain chain = { .loop = t->loop, .turn = loop_turn(t->loop),
		.left = 20 };

	loop_next(t->loop, &chain.later, put_off_again, &chain);
	while (chain.left > 0)
		turns_take(t);
}

static void
what_is_put_off_runs_though_others_never_rest(void **state)
{
	struct turns *t = *state;
	struct chain chain = { .loop = t->loop, .turn = loop_turn(t->loop),
		.left = 20 };
	int ends[2];
	struct event *event;

	ready = 0;
	assert_int_equal(pipe(ends), 0);
	assert_int_equal(write(ends[1], "x", 1), 1);
	event = event_new(loop_base(t->loop), ends[0], EV_READ | EV_PERSIST,
	    on_ready, NULL);
	event_add(event, NULL);
	loop_next(t->loop, &chain.later, put_off_again, &chain);
	while (chain.left > 0)
		turns_take(t);
	event_free(event);
	close(ends[0]);
	close(ends[1]);
	assert_in_range(chain.ready, 10, 100); /* once for each turn, or so */
}

static void
a_long_turn_is_remembered_for_a_while(void **state)
{
	struct turns *t = *state;

	turns_take(t);
	assert_int_equal(loop_late_since(t->loop), 0);
	clock_advance(400); /* as if a callback had taken so long */
	turns_take(t);
	assert_in_range(loop_lag(t->loop), 400, 1000);
	assert_true(loop_late_since(t->loop) > 0);
	turns_take(t);
	assert_int_equal(loop_late_since(t->loop), 0);
	assert_in_range(loop_lag(t->loop), 400, 1000);
}

static void
a_loop_that_ends_runs_what_was_deferred(void **state)
{
	struct loop *loop = loop_new(0, NULL);
	struct deferred a = { 0 };

	(void)state;
	loop_defer(loop, &a, fire, LETTER("a"));
	loop_free(loop);
	assert_string_equal(trace, "a");
	loop_free(NULL);
}

/* ---- letters ---- */

struct note {
	struct letter letter;
	int from, number;
};

static struct {
	void *owner;
	int next[8];
	int delivered, wrong, discarded;
} mail;

static void
deliver(struct letter *letter, void *owner)
{
	struct note *note = (struct note *)letter;

	mail.owner = owner;
	mail.wrong += note->number != mail.next[note->from];
	mail.next[note->from]++;
	mail.delivered++;
	free(note);
}

static void
discard(struct letter *letter)
{
	mail.discarded++;
	free(letter);
}

static void
post(struct loop *loop, int from, int number)
{
	struct note *note = calloc(1, sizeof *note);

	note->letter.deliver = deliver;
	note->letter.discard = discard;
	note->from = from;
	note->number = number;
	loop_post(loop, &note->letter);
}

static void
a_letter_is_delivered_to_the_loops_owner(void **state)
{
	struct turns *t = *state;

	memset(&mail, 0, sizeof mail);
	post(t->loop, 0, 0);
	assert_int_equal(mail.delivered, 0); /* not from within */
	turns_take(t);
	assert_int_equal(mail.delivered, 1);
	assert_ptr_equal(mail.owner, t);
	assert_int_equal(loop_worker(t->loop), 7);
}

enum { SENDERS = 4, LETTERS = 5000 };

struct sender {
	pthread_t thread;
	struct loop *loop;
	int number;
};

static void *
send_letters(void *argument)
{
	struct sender *sender = argument;

	for (int i = 0; i < LETTERS; i++)
		post(sender->loop, sender->number, i);
	return NULL;
}

static void
letters_of_many_threads_come_each_in_its_order(void **state)
{
	struct turns *t = *state;
	struct sender senders[SENDERS];

	memset(&mail, 0, sizeof mail);
	turns_release(t); /* the loop runs meanwhile */
	for (int i = 0; i < SENDERS; i++) {
		senders[i] = (struct sender){ .loop = t->loop, .number = i };
		assert_int_equal(pthread_create(&senders[i].thread, NULL,
		                     send_letters, &senders[i]),
		    0);
	}
	for (int i = 0; i < SENDERS; i++)
		pthread_join(senders[i].thread, NULL);
	turns_park(t);
	assert_int_equal(mail.delivered, SENDERS * LETTERS);
	assert_int_equal(mail.wrong, 0);
}

static void
letters_that_nobody_got_are_discarded(void **state)
{
	struct loop *loop = loop_new(0, NULL);
	struct letter *plain = calloc(1, sizeof *plain);

	(void)state;
	memset(&mail, 0, sizeof mail);
	post(loop, 0, 0);
	post(loop, 0, 1);
	plain->deliver = deliver;
	loop_post(loop, plain); /* freed by free(): the sanitizer would tell */
	loop_free(loop);
	assert_int_equal(mail.discarded, 2);
	assert_int_equal(mail.delivered, 0);
}

static void *
stop_it(void *argument)
{
	loop_stop(argument);
	return NULL;
}

static void
a_loop_is_stopped_from_another_thread(void **state)
{
	struct loop *loop = loop_new(0, NULL);
	pthread_t thread;

	(void)state;
	assert_int_equal(pthread_create(&thread, NULL, stop_it, loop), 0);
	loop_run(loop);
	pthread_join(thread, NULL);
	loop_run(loop); /* stopped already */
	loop_free(loop);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(timers_fire_in_the_order_of_their_times),
		TEST(a_cancelled_timer_does_not_fire),
		TEST(a_timer_that_is_set_again_moves),
		TEST(far_and_near_timers_do_not_disturb_each_other),
		TEST(a_timer_may_set_itself_from_within),
		TEST(now_is_read_once_a_turn),
		TEST(what_is_deferred_runs_after_this_turn_in_order),
		TEST(what_is_deferred_may_defer_itself),
		TEST(what_is_put_off_runs_once_in_each_turn_to_come),
		TEST(what_puts_itself_off_lets_others_in_between),
		TEST(what_is_put_off_runs_though_others_never_rest),
		TEST(a_long_turn_is_remembered_for_a_while),
		TEST(a_loop_that_ends_runs_what_was_deferred),
		TEST(a_letter_is_delivered_to_the_loops_owner),
		TEST(letters_of_many_threads_come_each_in_its_order),
		TEST(letters_that_nobody_got_are_discarded),
		TEST(a_loop_is_stopped_from_another_thread),
	};

	return cmocka_run_group_tests_name("loop/loop", tests, NULL, NULL);
}
