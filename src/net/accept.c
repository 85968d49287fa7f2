/* New connections: let in within limits. */
#include "config.h"

#include "net_priv.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bindery/alloc.h"
#include "bindery/log.h"

enum {
	ACCEPTS = 64, /* a wake-up */
	REST_MS = 100 /* after running out of descriptors */
};

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
	stream_begin(c, listener->tls);
}

/* Are newcomers to come later? */
static bool
is_late(const struct net *net)
{
	int64_t since = loop_late_since(net->loop);

	return handshakes_are_late(net) || (since != 0 &&
	    loop_now(net->loop) - since >= net->conf.queue_seconds * 1000);
}

/* True if one more may come in; then it is counted in. */
static bool
admit(struct listener *listener, const struct addr *peer)
{
	struct net *net = listener->flow.net;
	struct net_shared *shared = net->shared;
	struct hop hop = { .transport = listener->flow.transport, .peer = *peer };

	if (atomic_fetch_add(&shared->connections, 1) >= net->conf.connections)
		limit_met(net, &hop, connections);
	else if (is_late(net))
		limit_met(net, &hop, queue_seconds);
	else if (atomic_fetch_add(&shared->unproven, 1) >=
	    net->conf.unauthenticated) {
		limit_met(net, &hop, unauthenticated);
		atomic_fetch_sub(&shared->unproven, 1);
	} else if (!limit_enter(shared, peer, net->conf.connections_per_address)) {
		limit_met(net, &hop, connections_per_address);
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
