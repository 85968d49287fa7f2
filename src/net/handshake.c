/*
 * TLS handshakes cost a hundred times what a request does: some are let into a
 * turn of the loop, so that who is connected is served in between, the others
 * queue. Those that have begun go first, so that under any load some are
 * finished.
 */
#include "config.h"

#include "net_priv.h"

#include "bindery/clock.h"

enum { STEPS = 8 }; /* a turn */

static void
join_queue(struct queue *queue, struct connection *c)
{
	if (queue->tail == NULL)
		queue->tail = &queue->first;
	c->queue_next = NULL;
	c->queue_link = queue->tail;
	*queue->tail = c;
	queue->tail = &c->queue_next;
	queue->count++;
}

void
handshake_forget(struct connection *c)
{
	struct handshakes *h = &c->flow.net->handshakes;
	struct queue *queue = c->greeted ? &h->begun : &h->new;

	if (c->queue_link == NULL)
		return;
	*c->queue_link = c->queue_next;
	if (c->queue_next != NULL)
		c->queue_next->queue_link = c->queue_link;
	else
		queue->tail = c->queue_link;
	c->queue_link = NULL;
	queue->count--;
}

/* Would one more have to wait for longer than it should? */
bool
handshakes_are_late(const struct net *net)
{
	const struct handshakes *h = &net->handshakes;
	int64_t most = net->conf.queue_seconds * 1000;
	int64_t steps = 2 * (int64_t)h->new.count + h->begun.count;

	return steps * h->turn_us / STEPS / 1000 > most;
}

/* The first step of a turn: how long did a full turn take before it? */
static void
begin_steps(struct net *net)
{
	struct handshakes *h = &net->handshakes;
	uint64_t turn = loop_turn(net->loop);
	int64_t now = clock_mono_us();

	if (turn == h->turn)
		return;
	/* one that left somebody waiting was followed by this one at once */
	if (turn == h->turn + 1 && h->begun.count + h->new.count > 0)
		h->turn_us += (now - h->turn_at - h->turn_us) / 8;
	h->turn = turn;
	h->turn_at = now;
	h->steps = 0;
}

/* True when it is done. */
static bool
step(struct connection *c)
{
	int result = c->flow.transport->ops->stream->handshake(c);

	c->flow.net->handshakes.steps++;
	c->greeted = true;
	if (result == IO_FAILED) {
		stream_close(c);
		return false;
	}
	if (result != 1) {
		stream_watch(c, result == IO_WANT_WRITE);
		return false;
	}
	c->ready = true;
	c->partial = 0;
	stream_watch(c, buf_size(&c->out) > 0);
	return true;
}

static void
let_in(struct connection *c)
{
	handshake_forget(c);
	c->partial = loop_now(c->flow.net->loop); /* its own time begins now */
	stream_schedule(c);
	event_add(&c->flow.event, NULL);
	if (step(c) && !c->closed && !c->resting)
		stream_input(c); /* what came with the end of its handshake */
}

static void
on_handshakes(void *argument)
{
	struct net *net = argument;
	struct handshakes *h = &net->handshakes;

	begin_steps(net);
	while (h->steps < STEPS && h->begun.count + h->new.count > 0)
		let_in(h->begun.count > 0 ? h->begun.first : h->new.first);
	if (h->begun.count + h->new.count > 0)
		loop_next(net->loop, &h->next, on_handshakes, net);
}

static void
wait_for_turn(struct connection *c)
{
	struct net *net = c->flow.net;
	struct handshakes *h = &net->handshakes;

	event_del(&c->flow.event);
	if (c->queue_link != NULL)
		return;
	c->partial = 0; /* it is not the peer who takes so long */
	join_queue(c->greeted ? &h->begun : &h->new, c);
	loop_next(net->loop, &h->next, on_handshakes, net);
}

bool
handshake_go_on(struct connection *c)
{
	struct handshakes *h = &c->flow.net->handshakes;

	if (!c->flow.transport->ops->stream->costly)
		return step(c);
	begin_steps(c->flow.net);
	if (h->steps < STEPS && h->begun.count + h->new.count == 0)
		return step(c);
	wait_for_turn(c);
	return false;
}
