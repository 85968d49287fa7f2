/*
 * What TCP and TLS share: accept within limits, read messages, answer pings,
 * queue what the peer does not take, close who is idle, slow or a stranger
 * for too long.
 */
#include "config.h"

#include "net_priv.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bindery/alloc.h"
#include "bindery/clock.h"
#include "bindery/log.h"

enum {
	ACCEPTS = 64,  /* connections a wake-up */
	READS = 4,     /* reads a wake-up */
	HANDSHAKES = 8, /* steps a turn: who is connected is served in between */
	AORS_MAX = 64, /* remembered a connection, to be shown */
	REST_MS = 100  /* after running out of descriptors */
};

static void on_event(evutil_socket_t fd, short what, void *argument);

static const struct stream_ops *
ops(const struct connection *c)
{
	return c->flow.transport->ops->stream;
}

static void
tell(struct connection *c, const char *limit, enum count which)
{
	struct hop hop = { .transport = c->flow.transport, .peer = c->peer };

	net_tell_limit(c->flow.net, &hop, limit, which);
}

#define hit_limit(c, name) \
	(count(limit_##name), tell((c), #name, COUNT_limit_##name))

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

/* ---- handshakes that wait ---- */

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

static void
leave_queue(struct connection *c)
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
static bool
is_late(const struct net *net)
{
	const struct handshakes *h = &net->handshakes;
	int64_t most = net->conf.queue_seconds * 1000;
	int64_t since = loop_late_since(net->loop);
	int64_t steps = 2 * (int64_t)h->new.count + h->begun.count;

	return steps * h->turn_us / HANDSHAKES / 1000 > most ||
	    (since != 0 && loop_now(net->loop) - since >= most);
}

/* ---- closing ---- */

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
	leave_queue(c);
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

static void
schedule(struct connection *c)
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
		schedule(c);
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
static void
watch(struct connection *c, bool wants_write)
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
		schedule(c);
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
		watch(c, true);
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
		watch(c, buf_size(&c->out) > 0);
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
		watch(c, true);
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
		schedule(c);
	}
}

static void on_input(struct connection *c);

static void
on_more(void *argument)
{
	on_input(argument);
}

static void
on_input(struct connection *c)
{
	struct net *net = c->flow.net;

	for (int i = 0; i < READS && !c->closed && !c->resting; i++) {
		ssize_t n = ops(c)->read(c, net->input, sizeof net->input);

		if (n == IO_WANT_READ)
			return;
		if (n == IO_WANT_WRITE) {
			watch(c, true);
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

/* ---- handshakes ---- */

/* The first step of a turn: how long did a full turn take before it? */
static void
begin_steps(struct net *net)
{
	struct handshakes *h = &net->handshakes;
	uint64_t turn = loop_turn(net->loop);
	int64_t now = clock_mono_us();

	if (turn == h->turn)
		return;
	if (turn == h->turn + 1 && h->steps >= HANDSHAKES)
		h->turn_us += (now - h->turn_at - h->turn_us) / 8;
	h->turn = turn;
	h->turn_at = now;
	h->steps = 0;
}

/* True when it is done. */
static bool
step(struct connection *c)
{
	int result = ops(c)->handshake(c);

	c->flow.net->handshakes.steps++;
	c->greeted = true;
	if (result == IO_FAILED) {
		stream_close(c);
		return false;
	}
	if (result != 1) {
		watch(c, result == IO_WANT_WRITE);
		return false;
	}
	c->ready = true;
	c->partial = 0;
	watch(c, buf_size(&c->out) > 0);
	return true;
}

static void
let_in(struct connection *c)
{
	leave_queue(c);
	c->partial = loop_now(c->flow.net->loop); /* its own time begins now */
	schedule(c);
	event_add(&c->flow.event, NULL);
	if (step(c) && !c->closed && !c->resting)
		on_input(c); /* what came with the end of its handshake */
}

static void
on_handshakes(void *argument)
{
	struct net *net = argument;
	struct handshakes *h = &net->handshakes;

	begin_steps(net);
	while (h->steps < HANDSHAKES && h->begun.count + h->new.count > 0)
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

static bool
shake_hands(struct connection *c)
{
	struct handshakes *h = &c->flow.net->handshakes;

	if (!ops(c)->costly)
		return step(c);
	begin_steps(c->flow.net);
	if (h->steps < HANDSHAKES && h->begun.count + h->new.count == 0)
		return step(c);
	wait_for_turn(c);
	return false;
}

static void
on_event(evutil_socket_t fd, short what, void *argument)
{
	struct connection *c = argument;

	(void)fd;
	loop_update_now(c->flow.net->loop);
	if (c->closed || (!c->ready && !shake_hands(c)))
		return;
	if ((what & EV_WRITE) != 0 && !c->closed)
		on_room(c);
	if (!c->closed && !c->resting &&
	    ((what & EV_READ) != 0 || ops(c)->has_pending(c)))
		on_input(c);
}

/* ---- accepting ---- */

static void
welcome(struct listener *listener, int fd, const struct addr *peer)
{
	struct net *net = listener->flow.net;
	struct connection *c = xcalloc(1, sizeof *c);
	struct sockaddr_storage local;
	socklen_t size = sizeof local;
	int on = 1;

	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
	setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
	c->flow = (struct flow){ .net = net,
		.transport = listener->flow.transport, .fd = fd,
		.local = listener->flow.local };
	if (getsockname(fd, (struct sockaddr *)&local, &size) == 0)
		addr_from_sockaddr(&c->flow.local, &local);
	c->peer = *peer;
	c->since = c->active = c->partial = loop_now(net->loop);
	timer_init(&c->timer, on_time, c);
	c->link = &net->connections;
	c->next = net->connections;
	if (c->next != NULL)
		c->next->link = &c->next;
	net->connections = c;
	c->flow.id = slots_take(net->slots, net->worker, &c->flow);
	event_assign(&c->flow.event, loop_base(net->loop), fd,
	    EV_READ | EV_PERSIST, on_event, c);
	event_add(&c->flow.event, NULL);
	count(connections_accepted);
	count_add(ops(c)->gauge, 1);
	count(connections_unproven);
	if (c->flow.id == FLOW_NONE || !ops(c)->start(c, listener->tls)) {
		stream_close(c);
		return;
	}
	/* a plain stream is ready at once; of TLS nothing has arrived yet */
	if (listener->tls == NULL)
		shake_hands(c);
	if (!c->closed)
		schedule(c);
}

/* True if one more may come in; then it is counted in. */
static bool
admit(struct listener *listener, const struct addr *peer)
{
	struct net *net = listener->flow.net;
	struct net_shared *shared = net->shared;
	struct connection probe = { .flow = listener->flow, .peer = *peer };

	if (atomic_fetch_add(&shared->connections, 1) >= net->conf.connections)
		hit_limit(&probe, connections);
	else if (is_late(net))
		hit_limit(&probe, queue_seconds);
	else if (atomic_fetch_add(&shared->unproven, 1) >=
	    net->conf.unauthenticated) {
		hit_limit(&probe, unauthenticated);
		atomic_fetch_sub(&shared->unproven, 1);
	} else if (!limit_enter(shared, peer, net->conf.connections_per_address)) {
		hit_limit(&probe, connections_per_address);
		atomic_fetch_sub(&shared->unproven, 1);
	} else
		return true;
	atomic_fetch_sub(&shared->connections, 1);
	return false;
}

static void
resume(void *argument)
{
	struct listener *listener = argument;

	event_add(&listener->flow.event, NULL);
}

/* Without descriptors accept() would fail at once again: rest a little. */
static void
rest(struct listener *listener, int error)
{
	struct net *net = listener->flow.net;

	if (!told_lately(net->shared, loop_now(net->loop), &listener->flow.local, 0))
		log_event(LOG_ERROR, "net", "accept_failed",
		    LOG_Z("reason", strerror(error)));
	event_del(&listener->flow.event);
	timer_set(net->loop, &listener->rest, REST_MS);
}

static void
on_connection(evutil_socket_t fd, short what, void *argument)
{
	struct listener *listener = argument;

	(void)what;
	loop_update_now(listener->flow.net->loop);
	for (int i = 0; i < ACCEPTS; i++) {
		struct sockaddr_storage from;
		socklen_t size = sizeof from;
		struct addr peer;
		int new_fd = accept4(fd, (struct sockaddr *)&from, &size,
		    SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (new_fd < 0 && (errno == EMFILE || errno == ENFILE ||
		        errno == ENOBUFS || errno == ENOMEM)) {
			rest(listener, errno);
			return;
		}
		if (new_fd < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
			return;
		if (new_fd < 0)
			continue; /* that one is gone already */
		if (addr_from_sockaddr(&peer, &from) && admit(listener, &peer))
			welcome(listener, new_fd, &peer);
		else
			close(new_fd);
	}
}

void
stream_listen(struct listener *listener)
{
	struct flow *flow = &listener->flow;

	timer_init(&listener->rest, resume, listener);
	event_assign(&flow->event, loop_base(flow->net->loop), flow->fd,
	    EV_READ | EV_PERSIST, on_connection, listener);
	event_add(&flow->event, NULL);
}

void
stream_unlisten(struct listener *listener)
{
	/* who is in the kernel's queue already is not turned away */
	on_connection(listener->flow.fd, EV_READ, listener);
	timer_cancel(listener->flow.net->loop, &listener->rest);
	event_del(&listener->flow.event);
	close(listener->flow.fd);
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
