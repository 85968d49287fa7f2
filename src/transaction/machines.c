/*
 * The four state machines. Read each block beside its figure: a row says
 * what happens in a state on an event, and where that leads.
 */
#include "config.h"

#include "bindery/transaction.h"

#define SEND TX_DO_SEND
#define ACK TX_DO_ACK
#define TELL TX_DO_TELL

/* clang-format off */
static const struct tx_step steps[] = {
	/* RFC 6026 figure 5: INVITE client */
	{ TX_INVITE_CLIENT, TX_CALLING,    TX_ON_RESEND,  SEND,       TX_CALLING },    /* A */
	{ TX_INVITE_CLIENT, TX_CALLING,    TX_ON_EXPIRE,  TELL,       TX_TERMINATED }, /* B */
	{ TX_INVITE_CLIENT, TX_CALLING,    TX_ON_ERROR,   TELL,       TX_TERMINATED },
	{ TX_INVITE_CLIENT, TX_CALLING,    TX_ON_1XX,     TELL,       TX_PROCEEDING },
	{ TX_INVITE_CLIENT, TX_CALLING,    TX_ON_2XX,     TELL,       TX_ACCEPTED },
	{ TX_INVITE_CLIENT, TX_CALLING,    TX_ON_FAILURE, ACK | TELL, TX_COMPLETED },
	{ TX_INVITE_CLIENT, TX_PROCEEDING, TX_ON_1XX,     TELL,       TX_PROCEEDING },
	{ TX_INVITE_CLIENT, TX_PROCEEDING, TX_ON_2XX,     TELL,       TX_ACCEPTED },
	{ TX_INVITE_CLIENT, TX_PROCEEDING, TX_ON_FAILURE, ACK | TELL, TX_COMPLETED },
	{ TX_INVITE_CLIENT, TX_ACCEPTED,   TX_ON_2XX,     TELL,       TX_ACCEPTED },
	{ TX_INVITE_CLIENT, TX_ACCEPTED,   TX_ON_EXPIRE,  0,          TX_TERMINATED }, /* M */
	{ TX_INVITE_CLIENT, TX_COMPLETED,  TX_ON_FAILURE, ACK,        TX_COMPLETED },
	{ TX_INVITE_CLIENT, TX_COMPLETED,  TX_ON_ERROR,   TELL,       TX_TERMINATED },
	{ TX_INVITE_CLIENT, TX_COMPLETED,  TX_ON_EXPIRE,  0,          TX_TERMINATED }, /* D */

	/* RFC 3261 figure 6: non-INVITE client */
	{ TX_CLIENT,        TX_TRYING,     TX_ON_RESEND,  SEND,       TX_TRYING },     /* E */
	{ TX_CLIENT,        TX_TRYING,     TX_ON_EXPIRE,  TELL,       TX_TERMINATED }, /* F */
	{ TX_CLIENT,        TX_TRYING,     TX_ON_ERROR,   TELL,       TX_TERMINATED },
	{ TX_CLIENT,        TX_TRYING,     TX_ON_1XX,     TELL,       TX_PROCEEDING },
	{ TX_CLIENT,        TX_TRYING,     TX_ON_2XX,     TELL,       TX_COMPLETED },
	{ TX_CLIENT,        TX_TRYING,     TX_ON_FAILURE, TELL,       TX_COMPLETED },
	{ TX_CLIENT,        TX_PROCEEDING, TX_ON_RESEND,  SEND,       TX_PROCEEDING }, /* E */
	{ TX_CLIENT,        TX_PROCEEDING, TX_ON_EXPIRE,  TELL,       TX_TERMINATED }, /* F */
	{ TX_CLIENT,        TX_PROCEEDING, TX_ON_ERROR,   TELL,       TX_TERMINATED },
	{ TX_CLIENT,        TX_PROCEEDING, TX_ON_1XX,     TELL,       TX_PROCEEDING },
	{ TX_CLIENT,        TX_PROCEEDING, TX_ON_2XX,     TELL,       TX_COMPLETED },
	{ TX_CLIENT,        TX_PROCEEDING, TX_ON_FAILURE, TELL,       TX_COMPLETED },
	{ TX_CLIENT,        TX_COMPLETED,  TX_ON_1XX,     0,          TX_COMPLETED },
	{ TX_CLIENT,        TX_COMPLETED,  TX_ON_2XX,     0,          TX_COMPLETED },
	{ TX_CLIENT,        TX_COMPLETED,  TX_ON_FAILURE, 0,          TX_COMPLETED },
	{ TX_CLIENT,        TX_COMPLETED,  TX_ON_EXPIRE,  0,          TX_TERMINATED }, /* K */

	/* RFC 6026 figure 7: INVITE server */
	{ TX_INVITE_SERVER, TX_PROCEEDING, TX_ON_REQUEST, SEND,       TX_PROCEEDING },
	{ TX_INVITE_SERVER, TX_PROCEEDING, TX_ON_1XX,     SEND,       TX_PROCEEDING },
	{ TX_INVITE_SERVER, TX_PROCEEDING, TX_ON_2XX,     SEND,       TX_ACCEPTED },
	{ TX_INVITE_SERVER, TX_PROCEEDING, TX_ON_FAILURE, SEND,       TX_COMPLETED },
	{ TX_INVITE_SERVER, TX_PROCEEDING, TX_ON_ERROR,   TELL,       TX_PROCEEDING },
	{ TX_INVITE_SERVER, TX_ACCEPTED,   TX_ON_REQUEST, 0,          TX_ACCEPTED },
	{ TX_INVITE_SERVER, TX_ACCEPTED,   TX_ON_2XX,     SEND,       TX_ACCEPTED },
	{ TX_INVITE_SERVER, TX_ACCEPTED,   TX_ON_ACK,     TELL,       TX_ACCEPTED },
	{ TX_INVITE_SERVER, TX_ACCEPTED,   TX_ON_ERROR,   TELL,       TX_ACCEPTED },
	{ TX_INVITE_SERVER, TX_ACCEPTED,   TX_ON_EXPIRE,  0,          TX_TERMINATED }, /* L */
	{ TX_INVITE_SERVER, TX_COMPLETED,  TX_ON_REQUEST, SEND,       TX_COMPLETED },
	{ TX_INVITE_SERVER, TX_COMPLETED,  TX_ON_RESEND,  SEND,       TX_COMPLETED },  /* G */
	{ TX_INVITE_SERVER, TX_COMPLETED,  TX_ON_ACK,     0,          TX_CONFIRMED },
	{ TX_INVITE_SERVER, TX_COMPLETED,  TX_ON_ERROR,   TELL,       TX_COMPLETED },
	{ TX_INVITE_SERVER, TX_COMPLETED,  TX_ON_EXPIRE,  TELL,       TX_TERMINATED }, /* H */
	{ TX_INVITE_SERVER, TX_CONFIRMED,  TX_ON_ACK,     0,          TX_CONFIRMED },
	{ TX_INVITE_SERVER, TX_CONFIRMED,  TX_ON_EXPIRE,  0,          TX_TERMINATED }, /* I */

	/* RFC 3261 figure 8: non-INVITE server */
	{ TX_SERVER,        TX_TRYING,     TX_ON_REQUEST, 0,          TX_TRYING },
	{ TX_SERVER,        TX_TRYING,     TX_ON_1XX,     SEND,       TX_PROCEEDING },
	{ TX_SERVER,        TX_TRYING,     TX_ON_2XX,     SEND,       TX_COMPLETED },
	{ TX_SERVER,        TX_TRYING,     TX_ON_FAILURE, SEND,       TX_COMPLETED },
	{ TX_SERVER,        TX_PROCEEDING, TX_ON_REQUEST, SEND,       TX_PROCEEDING },
	{ TX_SERVER,        TX_PROCEEDING, TX_ON_1XX,     SEND,       TX_PROCEEDING },
	{ TX_SERVER,        TX_PROCEEDING, TX_ON_2XX,     SEND,       TX_COMPLETED },
	{ TX_SERVER,        TX_PROCEEDING, TX_ON_FAILURE, SEND,       TX_COMPLETED },
	{ TX_SERVER,        TX_PROCEEDING, TX_ON_ERROR,   TELL,       TX_TERMINATED },
	{ TX_SERVER,        TX_COMPLETED,  TX_ON_REQUEST, SEND,       TX_COMPLETED },
	{ TX_SERVER,        TX_COMPLETED,  TX_ON_2XX,     0,          TX_COMPLETED },  /* discarded, 17.2.2 */
	{ TX_SERVER,        TX_COMPLETED,  TX_ON_FAILURE, 0,          TX_COMPLETED },
	{ TX_SERVER,        TX_COMPLETED,  TX_ON_ERROR,   TELL,       TX_TERMINATED },
	{ TX_SERVER,        TX_COMPLETED,  TX_ON_EXPIRE,  0,          TX_TERMINATED }, /* J */
};

/*
 * The timers of a state. A letter that is in the next state too keeps
 * running; one that is new starts, one that is missing stops.
 */
static const struct {
	char resend, expire;
} timers[TX_MACHINES][TX_STATES] = {
	[TX_INVITE_CLIENT] = {
		[TX_CALLING]    = { 'A', 'B' },
		[TX_ACCEPTED]   = { 0,   'M' },
		[TX_COMPLETED]  = { 0,   'D' },
	},
	[TX_CLIENT] = {
		[TX_TRYING]     = { 'E', 'F' },
		[TX_PROCEEDING] = { 'E', 'F' },
		[TX_COMPLETED]  = { 0,   'K' },
	},
	[TX_INVITE_SERVER] = {
		[TX_ACCEPTED]   = { 0,   'L' },
		[TX_COMPLETED]  = { 'G', 'H' },
		[TX_CONFIRMED]  = { 0,   'I' },
	},
	[TX_SERVER] = {
		[TX_COMPLETED]  = { 0,   'J' },
	},
};

/* RFC 3261 table 4, RFC 6026 8.4 and 8.7; ms. */
static const struct {
	char letter;
	int32_t unreliable, reliable;
	int32_t ceiling; /* of doubling; 0: none */
} values[] = {
	{ 'A', TX_T1,      0,          0 },
	{ 'B', 64 * TX_T1, 64 * TX_T1, 0 },
	{ 'D', 32000,      0,          0 },
	{ 'E', TX_T1,      0,          TX_T2 },
	{ 'F', 64 * TX_T1, 64 * TX_T1, 0 },
	{ 'G', TX_T1,      0,          TX_T2 },
	{ 'H', 64 * TX_T1, 64 * TX_T1, 0 },
	{ 'I', TX_T4,      0,          0 },
	{ 'J', 64 * TX_T1, 0,          0 },
	{ 'K', TX_T4,      0,          0 },
	{ 'L', 64 * TX_T1, 64 * TX_T1, 0 },
	{ 'M', 64 * TX_T1, 64 * TX_T1, 0 },
};
/* clang-format on */

enum { STEPS = sizeof steps / sizeof *steps };

enum tx_state
tx_initial(enum tx_machine machine)
{
	static const enum tx_state initial[TX_MACHINES] = {
		[TX_INVITE_CLIENT] = TX_CALLING,
		[TX_CLIENT] = TX_TRYING,
		[TX_INVITE_SERVER] = TX_PROCEEDING,
		[TX_SERVER] = TX_TRYING,
	};

	return initial[machine];
}

const struct tx_step *
tx_step_for(enum tx_machine machine, enum tx_state in, enum tx_event on)
{
	for (size_t i = 0; i < STEPS; i++)
		if (steps[i].machine == machine && steps[i].in == in &&
		    steps[i].on == on)
			return &steps[i];
	return NULL;
}

const struct tx_step *
tx_steps(size_t *count)
{
	*count = STEPS;
	return steps;
}

char
tx_resend_timer(enum tx_machine machine, enum tx_state state, bool reliable)
{
	return reliable ? 0 : timers[machine][state].resend;
}

char
tx_expire_timer(enum tx_machine machine, enum tx_state state)
{
	return timers[machine][state].expire;
}

int64_t
tx_timer_ms(char letter, bool reliable)
{
	for (size_t i = 0; i < sizeof values / sizeof *values; i++)
		if (values[i].letter == letter)
			return reliable ? values[i].reliable : values[i].unreliable;
	return 0;
}

int64_t
tx_next_resend_ms(char letter, enum tx_state state, int64_t ms)
{
	if (letter == 'E' && state == TX_PROCEEDING)
		return TX_T2;
	for (size_t i = 0; i < sizeof values / sizeof *values; i++)
		if (values[i].letter == letter && values[i].ceiling != 0 &&
		    2 * ms > values[i].ceiling)
			return values[i].ceiling;
	return 2 * ms;
}

const char *
tx_machine_name(enum tx_machine machine)
{
	static const char *const names[TX_MACHINES] = {
		[TX_INVITE_CLIENT] = "INVITE client",
		[TX_CLIENT] = "non-INVITE client",
		[TX_INVITE_SERVER] = "INVITE server",
		[TX_SERVER] = "non-INVITE server",
	};

	return names[machine];
}

const char *
tx_state_name(enum tx_state state)
{
	static const char *const names[TX_STATES] = {
		[TX_CALLING] = "Calling",
		[TX_TRYING] = "Trying",
		[TX_PROCEEDING] = "Proceeding",
		[TX_ACCEPTED] = "Accepted",
		[TX_COMPLETED] = "Completed",
		[TX_CONFIRMED] = "Confirmed",
		[TX_TERMINATED] = "Terminated",
	};

	return names[state];
}

const char *
tx_event_name(enum tx_event event)
{
	static const char *const names[TX_EVENTS] = {
		[TX_ON_REQUEST] = "request",
		[TX_ON_ACK] = "ACK",
		[TX_ON_1XX] = "1xx",
		[TX_ON_2XX] = "2xx",
		[TX_ON_FAILURE] = "300-699",
		[TX_ON_RESEND] = "resend timer",
		[TX_ON_EXPIRE] = "expire timer",
		[TX_ON_ERROR] = "transport error",
	};

	return names[event];
}
