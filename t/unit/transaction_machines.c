/*
 * The four machines against the RFCs' figures, written down here a second
 * time: RFC 6026 figures 5 and 7, RFC 3261 figures 6 and 8 and their text.
 */
#include "config.h"

#include "unit.h"

#include "bindery/transaction.h"

/* "state | event | what it does | next"; what is not here has no effect. */
static const char *const arrows[TX_MACHINES][40] = {
	[TX_INVITE_CLIENT] = {
		"Calling|resend timer|send|Calling",
		"Calling|expire timer|tell|Terminated",
		"Calling|transport error|tell|Terminated",
		"Calling|1xx|tell|Proceeding",
		"Calling|2xx|tell|Accepted",
		"Calling|300-699|ack tell|Completed",
		"Proceeding|1xx|tell|Proceeding",
		"Proceeding|2xx|tell|Accepted",
		"Proceeding|300-699|ack tell|Completed",
		"Completed|300-699|ack|Completed",
		"Completed|transport error|tell|Terminated",
		"Completed|expire timer||Terminated",
		"Accepted|2xx|tell|Accepted",
		"Accepted|expire timer||Terminated",
	},
	[TX_CLIENT] = {
		"Trying|resend timer|send|Trying",
		"Trying|expire timer|tell|Terminated",
		"Trying|transport error|tell|Terminated",
		"Trying|1xx|tell|Proceeding",
		"Trying|2xx|tell|Completed",
		"Trying|300-699|tell|Completed",
		"Proceeding|resend timer|send|Proceeding",
		"Proceeding|expire timer|tell|Terminated",
		"Proceeding|transport error|tell|Terminated",
		"Proceeding|1xx|tell|Proceeding",
		"Proceeding|2xx|tell|Completed",
		"Proceeding|300-699|tell|Completed",
		"Completed|expire timer||Terminated",
	},
	[TX_INVITE_SERVER] = {
		"Proceeding|request|send|Proceeding",
		"Proceeding|1xx|send|Proceeding",
		"Proceeding|transport error|tell|Proceeding",
		"Proceeding|2xx|send|Accepted",
		"Proceeding|300-699|send|Completed",
		"Completed|request|send|Completed",
		"Completed|resend timer|send|Completed",
		"Completed|transport error|tell|Completed",
		"Completed|ACK||Confirmed",
		/* the figure is silent, 17.2.1 has the user told */
		"Completed|expire timer|tell|Terminated",
		"Accepted|2xx|send|Accepted",
		"Accepted|ACK|tell|Accepted",
		"Accepted|transport error|tell|Accepted",
		"Accepted|expire timer||Terminated",
		"Confirmed|expire timer||Terminated",
	},
	[TX_SERVER] = {
		"Trying|1xx|send|Proceeding",
		"Trying|2xx|send|Completed",
		"Trying|300-699|send|Completed",
		"Proceeding|request|send|Proceeding",
		"Proceeding|1xx|send|Proceeding",
		"Proceeding|2xx|send|Completed",
		"Proceeding|300-699|send|Completed",
		"Proceeding|transport error|tell|Terminated",
		"Completed|request|send|Completed",
		"Completed|transport error|tell|Terminated",
		"Completed|expire timer||Terminated",
	},
};

static void
write_arrow(char *to, size_t size, const struct tx_step *step)
{
	snprintf(to, size, "%s|%s|%s%s%s%s|%s", tx_state_name(step->in),
	    tx_event_name(step->on), (step->todo & TX_DO_SEND) != 0 ? "send" : "",
	    (step->todo & TX_DO_ACK) != 0 ? "ack" : "",
	    step->todo == (TX_DO_ACK | TX_DO_TELL) ? " " : "",
	    (step->todo & TX_DO_TELL) != 0 ? "tell" : "", tx_state_name(step->next));
}

/* The arrow of a figure for a state and an event, or NULL. */
static const char *
arrow_of(enum tx_machine machine, enum tx_state state, enum tx_event event)
{
	char start[80];
	int n = snprintf(start, sizeof start, "%s|%s|", tx_state_name(state),
	    tx_event_name(event));

	for (const char *const *arrow = arrows[machine]; *arrow != NULL; arrow++)
		if (strncmp(*arrow, start, (size_t)n) == 0)
			return *arrow;
	return NULL;
}

static void
check_step(enum tx_machine machine, enum tx_state state, enum tx_event event)
{
	const struct tx_step *step = tx_step_for(machine, state, event);
	const char *expected = arrow_of(machine, state, event);
	char got[160] = "no arrow";

	if (step != NULL)
		write_arrow(got, sizeof got, step);
	if (expected == NULL) {
		/* a row that does nothing and stays is as good as none */
		if (step != NULL && (step->todo != 0 || step->next != state))
			fail_msg("%s: %s is in no figure", tx_machine_name(machine),
			    got);
		return;
	}
	if (strcmp(got, expected) != 0)
		fail_msg("%s: expected %s, got %s", tx_machine_name(machine),
		    expected, got);
}

static void
every_state_does_on_every_event_what_the_figure_says(void **state)
{
	(void)state;
	for (int m = 0; m < TX_MACHINES; m++)
		for (int s = 0; s < TX_STATES; s++)
			for (int e = 0; e < TX_EVENTS; e++)
				check_step((enum tx_machine)m, (enum tx_state)s,
				    (enum tx_event)e);
}

static void
the_figures_name_states_and_events_that_there_are(void **state)
{
	(void)state;
	for (int m = 0; m < TX_MACHINES; m++) {
		size_t found = 0, arrow_count = 0;

		while (arrows[m][arrow_count] != NULL)
			arrow_count++;
		for (int s = 0; s < TX_STATES; s++)
			for (int e = 0; e < TX_EVENTS; e++)
				found += arrow_of((enum tx_machine)m,
				             (enum tx_state)s, (enum tx_event)e) != NULL;
		assert_int_equal(found, arrow_count);
	}
}

static void
no_row_is_doubled(void **state)
{
	size_t n;
	const struct tx_step *steps = tx_steps(&n);

	(void)state;
	for (size_t i = 0; i < n; i++)
		for (size_t j = i + 1; j < n; j++)
			assert_false(steps[i].machine == steps[j].machine &&
			    steps[i].in == steps[j].in && steps[i].on == steps[j].on);
}

static void
every_row_is_the_one_that_is_found(void **state)
{
	size_t n;
	const struct tx_step *steps = tx_steps(&n);

	(void)state;
	assert_true(n > 40);
	for (size_t i = 0; i < n; i++)
		assert_ptr_equal(&steps[i],
		    tx_step_for(steps[i].machine, steps[i].in, steps[i].on));
}

static unsigned
reachable_from(enum tx_machine machine, enum tx_state from)
{
	unsigned reached = 1u << from, before;

	do {
		before = reached;
		for (int s = 0; s < TX_STATES; s++)
			for (int e = 0; e < TX_EVENTS; e++) {
				const struct tx_step *step = tx_step_for(machine,
				    (enum tx_state)s, (enum tx_event)e);

				if ((reached >> s & 1) != 0 && step != NULL)
					reached |= 1u << step->next;
			}
	} while (reached != before);
	return reached;
}

static void
all_states_of_a_machine_are_reachable_and_no_others(void **state)
{
	static const unsigned expected[TX_MACHINES] = {
		[TX_INVITE_CLIENT] = 1u << TX_CALLING | 1u << TX_PROCEEDING |
		    1u << TX_ACCEPTED | 1u << TX_COMPLETED | 1u << TX_TERMINATED,
		[TX_CLIENT] = 1u << TX_TRYING | 1u << TX_PROCEEDING |
		    1u << TX_COMPLETED | 1u << TX_TERMINATED,
		[TX_INVITE_SERVER] = 1u << TX_PROCEEDING | 1u << TX_ACCEPTED |
		    1u << TX_COMPLETED | 1u << TX_CONFIRMED | 1u << TX_TERMINATED,
		[TX_SERVER] = 1u << TX_TRYING | 1u << TX_PROCEEDING |
		    1u << TX_COMPLETED | 1u << TX_TERMINATED,
	};

	(void)state;
	for (int m = 0; m < TX_MACHINES; m++)
		assert_int_equal(reachable_from((enum tx_machine)m,
		                     tx_initial((enum tx_machine)m)),
		    expected[m]);
}

static void
the_end_is_reachable_from_every_state(void **state)
{
	size_t n;
	const struct tx_step *steps = tx_steps(&n);

	(void)state;
	for (size_t i = 0; i < n; i++)
		assert_true(reachable_from(steps[i].machine, steps[i].in) >>
		        TX_TERMINATED & 1);
}

static void
nothing_leads_out_of_terminated(void **state)
{
	(void)state;
	for (int m = 0; m < TX_MACHINES; m++)
		for (int e = 0; e < TX_EVENTS; e++)
			assert_null(tx_step_for((enum tx_machine)m, TX_TERMINATED,
			    (enum tx_event)e));
}

static void
servers_never_send_an_ack_and_clients_never_get_one(void **state)
{
	size_t n;
	const struct tx_step *steps = tx_steps(&n);

	(void)state;
	for (size_t i = 0; i < n; i++) {
		bool client = steps[i].machine == TX_CLIENT ||
		    steps[i].machine == TX_INVITE_CLIENT;

		if ((steps[i].todo & TX_DO_ACK) != 0)
			assert_int_equal(steps[i].machine, TX_INVITE_CLIENT);
		if (client)
			assert_false(steps[i].on == TX_ON_ACK ||
			    steps[i].on == TX_ON_REQUEST);
		if (steps[i].machine == TX_SERVER)
			assert_int_not_equal(steps[i].on, TX_ON_ACK);
	}
}

/* ---- timers ---- */

/* RFC 3261 table 4, RFC 6026 8.4 and 8.7: ms over unreliable and reliable. */
static const struct {
	enum tx_machine machine;
	enum tx_state state;
	char resend, expire;
	int64_t resend_ms, expire_ms, reliable_ms;
} timers[] = {
	{ TX_INVITE_CLIENT, TX_CALLING, 'A', 'B', 500, 32000, 32000 },
	{ TX_INVITE_CLIENT, TX_COMPLETED, 0, 'D', 0, 32000, 0 },
	{ TX_INVITE_CLIENT, TX_ACCEPTED, 0, 'M', 0, 32000, 32000 },
	{ TX_CLIENT, TX_TRYING, 'E', 'F', 500, 32000, 32000 },
	{ TX_CLIENT, TX_PROCEEDING, 'E', 'F', 500, 32000, 32000 },
	{ TX_CLIENT, TX_COMPLETED, 0, 'K', 0, 5000, 0 },
	{ TX_INVITE_SERVER, TX_COMPLETED, 'G', 'H', 500, 32000, 32000 },
	{ TX_INVITE_SERVER, TX_CONFIRMED, 0, 'I', 0, 5000, 0 },
	{ TX_INVITE_SERVER, TX_ACCEPTED, 0, 'L', 0, 32000, 32000 },
	{ TX_SERVER, TX_COMPLETED, 0, 'J', 0, 32000, 0 },
};
enum { TIMERS = sizeof timers / sizeof *timers };

static void
each_state_has_the_timers_of_the_figure_by_transport(void **state)
{
	(void)state;
	for (int m = 0; m < TX_MACHINES; m++)
		for (int s = 0; s < TX_STATES; s++) {
			char resend = 0, expire = 0;

			for (size_t i = 0; i < TIMERS; i++)
				if ((int)timers[i].machine == m &&
				    (int)timers[i].state == s) {
					resend = timers[i].resend;
					expire = timers[i].expire;
				}
			assert_int_equal(tx_resend_timer((enum tx_machine)m,
			                     (enum tx_state)s, false),
			    resend);
			assert_int_equal(tx_resend_timer((enum tx_machine)m,
			                     (enum tx_state)s, true),
			    0);
			assert_int_equal(tx_expire_timer((enum tx_machine)m,
			                     (enum tx_state)s),
			    expire);
		}
}

static void
timers_run_as_long_as_table_4_says(void **state)
{
	(void)state;
	for (size_t i = 0; i < TIMERS; i++) {
		if (timers[i].resend != 0)
			assert_int_equal(tx_timer_ms(timers[i].resend, false),
			    timers[i].resend_ms);
		assert_int_equal(tx_timer_ms(timers[i].expire, false),
		    timers[i].expire_ms);
		assert_int_equal(tx_timer_ms(timers[i].expire, true),
		    timers[i].reliable_ms);
	}
}

static void
a_state_with_a_timer_has_an_arrow_for_it(void **state)
{
	(void)state;
	for (int m = 0; m < TX_MACHINES; m++)
		for (int s = 0; s < TX_STATES; s++) {
			assert_int_equal(tx_resend_timer((enum tx_machine)m,
			                     (enum tx_state)s, false) != 0,
			    tx_step_for((enum tx_machine)m, (enum tx_state)s,
			        TX_ON_RESEND) != NULL);
			assert_int_equal(tx_expire_timer((enum tx_machine)m,
			                     (enum tx_state)s) != 0,
			    tx_step_for((enum tx_machine)m, (enum tx_state)s,
			        TX_ON_EXPIRE) != NULL);
		}
}

static void
check_schedule(char letter, enum tx_state in, const int64_t *expected)
{
	int64_t ms = tx_timer_ms(letter, false);

	for (; *expected != 0; expected++) {
		assert_int_equal(ms, *expected);
		ms = tx_next_resend_ms(letter, in, ms);
	}
}

static void
timer_a_doubles_without_end(void **state)
{
	static const int64_t expected[] = { 500, 1000, 2000, 4000, 8000, 16000,
		32000, 0 };

	(void)state;
	check_schedule('A', TX_CALLING, expected);
}

static void
timers_e_and_g_double_up_to_t2(void **state)
{
	static const int64_t expected[] = { 500, 1000, 2000, 4000, 4000, 4000, 0 };

	(void)state;
	check_schedule('E', TX_TRYING, expected);
	check_schedule('G', TX_COMPLETED, expected);
}

static void
timer_e_runs_for_t2_in_proceeding(void **state)
{
	(void)state;
	for (int64_t ms = TX_T1; ms <= TX_T2; ms *= 2)
		assert_int_equal(tx_next_resend_ms('E', TX_PROCEEDING, ms), TX_T2);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_state_does_on_every_event_what_the_figure_says),
		cmocka_unit_test(the_figures_name_states_and_events_that_there_are),
		cmocka_unit_test(no_row_is_doubled),
		cmocka_unit_test(every_row_is_the_one_that_is_found),
		cmocka_unit_test(all_states_of_a_machine_are_reachable_and_no_others),
		cmocka_unit_test(the_end_is_reachable_from_every_state),
		cmocka_unit_test(nothing_leads_out_of_terminated),
		cmocka_unit_test(servers_never_send_an_ack_and_clients_never_get_one),
		cmocka_unit_test(each_state_has_the_timers_of_the_figure_by_transport),
		cmocka_unit_test(timers_run_as_long_as_table_4_says),
		cmocka_unit_test(a_state_with_a_timer_has_an_arrow_for_it),
		cmocka_unit_test(timer_a_doubles_without_end),
		cmocka_unit_test(timers_e_and_g_double_up_to_t2),
		cmocka_unit_test(timer_e_runs_for_t2_in_proceeding),
	};

	return cmocka_run_group_tests_name("transaction/machines", tests, NULL,
	    NULL);
}
