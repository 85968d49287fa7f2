/*
 * What TCP and TLS share once somebody is let in: read messages, answer pings,
 * queue what the peer does not take, close who is idle, slow or a stranger for
 * too long.
 */
#include "config.h"

#include "net_priv.h"

#include <stdlib.h>
#include <unistd.h>

#include "bindery/alloc.h"

enum {
	READS = 4,    /* a wake-up */
	AORS_MAX = 64 /* remembered a connection, to be shown */
};

static void on_event(evutil_socket_t fd, short what, void *argument);

static const struct stream_ops *
ops(const struct connection *c)
{
	return c->flow.transport->ops->stream;
}

#define hit_limit(c, name) \
	limit_met((c)->flow.net, \
	    (&(struct hop){ .transport = (c)->flow.transport, \
	        .peer = (c)->peer }), \
	    name)

/* ---- closing ---- */

static void
end(void *argument)
{
	struct connection *c = argument;

	ops(c)->end(c);
	close(c->flow.fd);
	buf_free(&c->in);
	buf_free(&c->out);
	for (size_t i = 0; i < c->aor_count; i++)
		free(c->aors[i]);
	free(c->aors);
	free(c);
}

static void
leave_strangers(struct connection *c)
{
	if (c->proven)
		return;
	c->proven = true;
	atomic_fetch_sub(&c->flow.net->shared->unproven, 1);
	count_by(connections_unproven, -1);
}

void
stream_close(struct connection *c)
{
	struct net *net = c->flow.net;

	if (c->closed)
		return;
	c->closed = true;
	slots_give(net->slots, c->flow.id);
	event_del(&c->flow.event);
	timer_cancel(net->loop, &c->timer);
	loop_forget(net->loop, &c->more);
	handshake_forget(c);
	*c->link = c->next;
	if (c->next != NULL)
		c->next->link = c->link;
	if (buf_size(&c->out) > 0)
		count_by(connections_sending, -1);
	leave_strangers(c);
	atomic_fetch_sub(&net->shared->connections, 1);
	limit_leave(net->shared, &c->peer);
	count(connections_closed);
	count_add(ops(c)->gauge, -1);
	if (net->handler.closed != NULL)
		net->handler.closed(net->handler.context, c->flow.id);
	loop_defer(net->loop, &c->end, end, c);
}

void
stream_free_all(struct net *net)
{
	while (net->connections != NULL) /* freed by loop_free() */
		stream_close(net->connections);
}

/* ---- time limits ---- */

static int64_t
earlier(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

/* When the first of a connection's time limits runs out. */
static int64_t
deadline(const struct connection *c)
{
	const struct net_conf *conf = &c->flow.net->conf;
	int64_t at = c->active + conf->idle_seconds * 1000;

	if (!c->proven)
		at = earlier(at, c->since + conf->unauthenticated_seconds * 1000);
	if (c->partial != 0)
		at = earlier(at, c->partial + conf->header_seconds * 1000);
	if (c->stalled != 0)
		at = earlier(at, c->stalled + conf->header_seconds * 1000);
	return at;
}

void
stream_schedule(struct connection *c)
{
	struct loop *loop = c->flow.net->loop;
	int64_t ms = deadline(c) - loop_now(loop);

	timer_set(loop, &c->timer, ms > 0 ? ms : 0);
}

static void
on_time(void *argument)
{
	struct connection *c = argument;
	const struct net_conf *conf = &c->flow.net->conf;
	int64_t now = loop_now(c->flow.net->loop);

	if (deadline(c) > now) { /* it was active since */
		stream_schedule(c);
		return;
	}
	if (c->stalled != 0 && now >= c->stalled + conf->header_seconds * 1000)
		hit_limit(c, send_queue);
	else if (c->partial != 0 &&
	    now >= c->partial + conf->header_seconds * 1000)
		hit_limit(c, header_seconds);
	else if (!c->proven &&
	    now >= c->since + conf->unauthenticated_seconds * 1000)
		hit_limit(c, unauthenticated_seconds);
	else
		count(limit_idle_seconds);
	stream_close(c);
}

/* ---- writing ---- */

/*
 * Waits for what it needs: reading unless it rests, writing if it must. A
 * handshake that must write would not take what can be read meanwhile.
 */
void
stream_watch(struct connection *c, bool wants_write)
{
	bool resting = buf_size(&c->out) > OUT_REST || c->closing ||
	    (wants_write && !c->ready);
	short what = (short)(EV_PERSIST | (resting ? 0 : EV_READ) |
	    (wants_write ? EV_WRITE : 0));

	if (wants_write == c->wants_write && resting == c->resting)
		return;
	c->wants_write = wants_write;
	c->resting = resting;
	event_del(&c->flow.event);
	event_assign(&c->flow.event, loop_base(c->flow.net->loop), c->flow.fd,
	    what, on_event, c);
	event_add(&c->flow.event, NULL);
}

static void
queue_changed(struct connection *c, size_t before)
{
	struct net *net = c->flow.net;
	size_t now = buf_size(&c->out);

	if (before == 0 && now > 0) {
		count(connections_sending);
		c->stalled = loop_now(net->loop);
		stream_schedule(c);
	} else if (before > 0 && now == 0) {
		count_by(connections_sending, -1);
		c->stalled = 0;
	} else if (now < before) {
		c->stalled = loop_now(net->loop);
	}
}

static bool
write_now(struct connection *c, struct str bytes, size_t *done)
{
	*done = 0;
	while (*done < bytes.n) {
		ssize_t n = ops(c)->write(c, bytes.p + *done, bytes.n - *done);

		if (n == IO_FAILED)
			return false;
		if (n <= 0)
			break;
		*done += (size_t)n;
	}
	return true;
}

static bool
write_or_queue(struct connection *c, struct str bytes)
{
	size_t before = buf_size(&c->out), done = 0;
	size_t ceiling = (size_t)c->flow.net->conf.send_queue;

	if (before == 0 && c->ready && !write_now(c, bytes, &done)) {
		stream_close(c);
		return false;
	}
	if (!buf_append(&c->out, bytes.p + done, bytes.n - done, ceiling)) {
		hit_limit(c, send_queue);
		stream_close(c);
		return false;
	}
	queue_changed(c, before);
	if (buf_size(&c->out) > 0)
		stream_watch(c, true);
	return true;
}

static void
uncork(struct net *net)
{
	struct connection *c = net->corked;
	struct str bytes = { net->cork, net->cork_size };

	net->corked = NULL;
	net->cork_size = 0;
	if (bytes.n > 0 && !c->closed)
		write_or_queue(c, bytes);
}

bool
stream_send(struct flow *flow, const struct hop *hop, struct str bytes)
{
	struct connection *c = container_of(flow, struct connection, flow);
	struct net *net = flow->net;

	(void)hop;
	if (c->closing)
		return false;
	if (net->corked != c)
		return write_or_queue(c, bytes);
	if (bytes.n > sizeof net->cork - net->cork_size) {
		uncork(net);
		if (c->closed || !write_or_queue(c, bytes))
			return false;
		net->corked = c;
		return true;
	}
	memcpy(net->cork + net->cork_size, bytes.p, bytes.n);
	net->cork_size += bytes.n;
	return true;
}

static void
on_room(struct connection *c)
{
	size_t before = buf_size(&c->out), done;

	if (!write_now(c, (struct str){ buf_data(&c->out), before }, &done)) {
		stream_close(c);
		return;
	}
	buf_take(&c->out, done);
	queue_changed(c, before);
	if (buf_size(&c->out) == 0 && c->closing)
		stream_close(c);
	else
		stream_watch(c, buf_size(&c->out) > 0);
}

/* Closes when all that was written has left. */
static void
close_softly(struct connection *c)
{
	if (c->closed)
		return;
	c->closing = true;
	if (buf_size(&c->out) == 0)
		stream_close(c);
	else
		stream_watch(c, true);
}

/* ---- reading ---- */

/* Handles the messages at the front of `bytes`; gives how many were used. */
static size_t
consume(struct connection *c, struct str bytes)
{
	struct net *net = c->flow.net;
	struct hop hop = { c->flow.transport, c->flow.id, c->peer, c->flow.local };
	size_t used = 0, size = 0;
	enum frame_fault fault;

	while (!c->closed && !c->closing) {
		struct str rest = { bytes.p + used, bytes.n - used };
		enum frame_result result = frame_next(rest,
		    (size_t)net->conf.message_size, &c->scanned, &size, &fault);

		if (result == FRAME_MORE)
			break;
		c->scanned = 0;
		if (result == FRAME_BROKEN) {
			net->handler.broken(net->handler.context, &hop, rest, fault);
			uncork(net);
			close_softly(c);
			return bytes.n;
		}
		if (result == FRAME_PING) {
			count(pings_answered);
			stream_send(&c->flow, &hop, STR("\r\n"));
		} else if (result == FRAME_MESSAGE) {
			net->handler.message(net->handler.context, &hop,
			    (struct str){ rest.p, size });
		}
		used += size;
	}
	return used;
}

static void
keep_rest(struct connection *c, struct str rest)
{
	/* a message's limit is checked before: this holds one and a read more */
	size_t ceiling = (size_t)c->flow.net->conf.message_size + READ_SIZE;

	if (!buf_append(&c->in, rest.p, rest.n, ceiling))
		stream_close(c);
}

static void
take_input(struct connection *c, struct str bytes)
{
	struct net *net = c->flow.net;
	size_t used = 0;

	net->corked = c;
	if (buf_size(&c->in) == 0) {
		used = consume(c, bytes);
		if (!c->closed && used < bytes.n)
			keep_rest(c, str_from(bytes, used));
	} else {
		keep_rest(c, bytes);
		if (!c->closed) {
			used = consume(c,
			    (struct str){ buf_data(&c->in), buf_size(&c->in) });
			if (!c->closed && used > 0)
				buf_take(&c->in, used);
		}
	}
	uncork(net);
	if (c->closed)
		return;
	if (buf_size(&c->in) == 0) {
		c->partial = 0;
	} else if (c->partial == 0 || used > 0) {
		c->partial = loop_now(net->loop);
		stream_schedule(c);
	}
}

static void
on_more(void *argument)
{
	stream_input(argument);
}

void
stream_input(struct connection *c)
{
	struct net *net = c->flow.net;

	for (int i = 0; i < READS && !c->closed && !c->resting; i++) {
		ssize_t n = ops(c)->read(c, net->input, sizeof net->input);

		if (n == IO_WANT_READ)
			return;
		if (n == IO_WANT_WRITE) {
			stream_watch(c, true);
			return;
		}
		if (n <= 0) {
			stream_close(c);
			return;
		}
		c->active = loop_now(net->loop);
		take_input(c, (struct str){ net->input, (size_t)n });
		if (c->closed || !ops(c)->has_pending(c))
			return;
	}
	if (!c->closed && !c->resting) /* others first, then the rest of it */
		loop_next(net->loop, &c->more, on_more, c);
}

static void
on_event(evutil_socket_t fd, short what, void *argument)
{
	struct connection *c = argument;

	(void)fd;
	loop_update_now(c->flow.net->loop);
	if (c->closed || (!c->ready && !handshake_go_on(c)))
		return;
	if ((what & EV_WRITE) != 0 && !c->closed)
		on_room(c);
	if (!c->closed && !c->resting &&
	    ((what & EV_READ) != 0 || ops(c)->has_pending(c)))
		stream_input(c);
}

/* ---- beginning ---- */

void
stream_begin(struct connection *c, struct tls_context *tls)
{
	struct net *net = c->flow.net;

	c->since = c->active = c->partial = loop_now(net->loop);
	timer_init(&c->timer, on_time, c);
	c->link = &net->connections;
	c->next = net->connections;
	if (c->next != NULL)
		c->next->link = &c->next;
	net->connections = c;
	c->flow.id = slots_take(net->slots, net->worker, &c->flow);
	event_assign(&c->flow.event, loop_base(net->loop), c->flow.fd,
	    EV_READ | EV_PERSIST, on_event, c);
	event_add(&c->flow.event, NULL);
	count(connections_accepted);
	count_add(ops(c)->gauge, 1);
	count(connections_unproven);
	if (c->flow.id == FLOW_NONE || !ops(c)->start(c, tls)) {
		stream_close(c);
		return;
	}
	/* a plain stream is ready at once; of TLS nothing has arrived yet */
	if (tls == NULL)
		handshake_go_on(c);
	if (!c->closed)
		stream_schedule(c);
}

/* ---- what others ask ---- */

static struct connection *
find(struct net *net, flow_id id)
{
	struct flow *flow = slots_find(net->slots, id);

	return flow != NULL && flow->transport->ops->stream != NULL
	    ? container_of(flow, struct connection, flow)
	    : NULL;
}

void
net_flow_prove(struct net *net, flow_id id, struct str aor)
{
	struct connection *c =
	    slot_worker(id) == net->worker ? find(net, id) : NULL;

	if (c == NULL)
		return;
	leave_strangers(c);
	for (size_t i = 0; i < c->aor_count; i++)
		if (str_eq(str_of(c->aors[i]), aor))
			return;
	if (c->aor_count == AORS_MAX)
		return;
	c->aors = xrealloc(c->aors, (c->aor_count + 1) * sizeof *c->aors);
	c->aors[c->aor_count++] = xmemdupz(aor.p, aor.n);
}

bool
net_each_connection(struct net *net, uint32_t *slot,
    bool (*each)(void *context, const struct connection_info *info),
    void *context)
{
	for (; *slot < net->slots->used; (*slot)++) {
		struct flow *flow = slots_at(net->slots, *slot);
		struct connection *c;
		struct connection_info info = { 0 };

		if (flow == NULL || flow->transport->ops->stream == NULL)
			continue;
		c = container_of(flow, struct connection, flow);
		info = (struct connection_info){ .id = flow->id,
			.transport = flow->transport, .peer = c->peer,
			.local = flow->local, .since_ms = c->since,
			.aors = c->aors, .aor_count = c->aor_count };
		if (c->ready)
			ops(c)->describe(c, &info);
		if (!each(context, &info))
			return true;
	}
	return false;
}
