/* Sockets that are listened on, and the life of a worker's net. */
#include "config.h"

#include "net_priv.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bindery/alloc.h"

enum { BACKLOG = 4096, UDP_BUFFER = 4 << 20 };

static bool
set(int fd, int level, int option, int value)
{
	return setsockopt(fd, level, option, &value, sizeof value) == 0;
}

int
net_open_socket(const struct transport *transport, const struct addr *at,
    char **why)
{
	struct sockaddr_storage address;
	unsigned size = addr_to_sockaddr(at, &address);
	bool stream = transport->ops->socket_type == SOCK_STREAM;
	char text[ADDR_SIZE];
	int fd = socket(at->family,
	    transport->ops->socket_type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	bool done = fd >= 0 && set(fd, SOL_SOCKET, SO_REUSEPORT, 1) &&
	    (!stream || set(fd, SOL_SOCKET, SO_REUSEADDR, 1));

	if (done && at->family == AF_INET6)
		done = set(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1);
	if (done && !stream && addr_is_any(at))
		done = at->family == AF_INET6
		    ? set(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, 1)
		    : set(fd, IPPROTO_IP, IP_PKTINFO, 1);
	/* beyond the kernel's limit if we may, else as much as that lets us have */
	if (done && !stream &&
	    !set(fd, SOL_SOCKET, SO_RCVBUFFORCE, UDP_BUFFER))
		set(fd, SOL_SOCKET, SO_RCVBUF, UDP_BUFFER);
	done = done &&
	    bind(fd, (const struct sockaddr *)&address, size) == 0 &&
	    (!stream || listen(fd, BACKLOG) == 0);
	if (done)
		return fd;
	*why = xasprintf("cannot listen on %s %s: %s", transport->name,
	    addr_text(at, text), strerror(errno));
	if (fd >= 0)
		close(fd);
	return -1;
}

struct net *
net_new(struct net_shared *shared, struct loop *loop,
    const struct net_conf *conf, const struct net_handler *handler)
{
	struct net *net = xcalloc(1, sizeof *net);

	net->shared = shared;
	net->loop = loop;
	net->worker = loop_worker(loop);
	net->slots = &shared->slots[net->worker];
	net->conf = *conf;
	net->handler = *handler;
	shared->nets[net->worker] = net;
	return net;
}

void
net_free(struct net *net)
{
	if (net == NULL)
		return;
	while (net->listeners != NULL)
		net_unlisten(net, net->listeners->key);
	stream_free_all(net);
	net->shared->nets[net->worker] = NULL;
	free(net->receiver);
	free(net);
}

void
net_configure(struct net *net, const struct net_conf *conf)
{
	net->conf = *conf;
}

void
net_listen(struct net *net, unsigned key, int fd,
    const struct transport *transport, const struct addr *at,
    struct tls_context *tls)
{
	struct listener *listener = xcalloc(1, sizeof *listener);

	listener->flow = (struct flow){ .net = net, .transport = transport,
		.fd = fd, .local = *at };
	listener->key = key;
	listener->any_address = addr_is_any(at);
	listener->tls = tls != NULL ? tls_context_ref(tls) : NULL;
	listener->next = net->listeners;
	net->listeners = listener;
	transport->ops->listen(listener);
}

void
net_listen_tls(struct net *net, unsigned key, struct tls_context *tls)
{
	for (struct listener *l = net->listeners; l != NULL; l = l->next)
		if (l->key == key && l->tls != NULL) {
			tls_context_unref(l->tls);
			l->tls = tls_context_ref(tls);
		}
}

int64_t
net_late_since(const struct net *net, flow_id id)
{
	struct flow *flow = slots_find(net->slots, id);

	return flow != NULL && !flow->transport->reliable
	    ? container_of(flow, struct listener, flow)->late_since
	    : loop_late_since(net->loop);
}

flow_id
net_find_socket(const struct net *net, const struct transport *transport,
    const struct addr *at)
{
	for (struct listener *l = net->listeners; l != NULL; l = l->next)
		if (l->flow.transport == transport && !transport->reliable &&
		    l->flow.local.family == at->family &&
		    l->flow.local.port == at->port &&
		    (l->any_address || addr_same_host(&l->flow.local, at)))
			return l->flow.id;
	return FLOW_NONE;
}

void
net_unlisten(struct net *net, unsigned key)
{
	struct listener **link = &net->listeners, *listener;

	while ((listener = *link) != NULL && listener->key != key)
		link = &listener->next;
	if (listener == NULL)
		return;
	*link = listener->next;
	listener->flow.transport->ops->unlisten(listener);
	tls_context_unref(listener->tls);
	free(listener);
}

/* ---- sending, whatever the transport ---- */

struct send_letter {
	struct letter letter;
	struct net_shared *shared;
	struct hop hop;
	size_t size;
	char bytes[];
};

static void
deliver_send(struct letter *letter, void *owner)
{
	struct send_letter *send = (struct send_letter *)letter;
	struct net *net = send->shared->nets[slot_worker(send->hop.flow)];

	(void)owner;
	if (net != NULL)
		net_send(net, &send->hop, (struct str){ send->bytes, send->size });
	free(send);
}

static bool
send_elsewhere(struct net *net, const struct hop *hop, struct str bytes)
{
	struct net *other = net->shared->nets[slot_worker(hop->flow)];
	struct send_letter *send;

	if (!flow_is_alive(net->shared, hop->flow) || other == NULL)
		return false;
	send = xmalloc(sizeof *send + bytes.n);
	send->letter = (struct letter){ .deliver = deliver_send };
	send->shared = net->shared;
	send->hop = *hop;
	send->size = bytes.n;
	memcpy(send->bytes, bytes.p, bytes.n);
	loop_post(other->loop, &send->letter);
	return true;
}

bool
net_send(struct net *net, const struct hop *hop, struct str bytes)
{
	struct flow *flow;
	bool sent;

	if (slot_worker(hop->flow) != net->worker) {
		sent = send_elsewhere(net, hop, bytes);
		flow = NULL;
	} else {
		flow = slots_find(net->slots, hop->flow);
		sent = flow != NULL && flow->transport->ops->send(flow, hop, bytes);
	}
	if (!sent && flow != NULL)
		count(send_failed);
	else if (!sent)
		count(unreachable_flows);
	return sent;
}
