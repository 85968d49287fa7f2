/* Datagrams. */
#include "config.h"

#include "net_priv.h"

#include <errno.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bindery/alloc.h"
#include "bindery/log.h"

enum {
	BATCH = 64, /* datagrams a wake-up, so that timers get their turn */
	AT_ONCE = 8 /* of these a call of the kernel */
};

union control {
	char bytes[CMSG_SPACE(sizeof(struct in6_pktinfo))];
	struct cmsghdr align;
};

/* Where datagrams are received; a worker's sockets share it. */
struct receiver {
	struct mmsghdr messages[AT_ONCE];
	struct iovec parts[AT_ONCE];
	struct sockaddr_storage from[AT_ONCE];
	union control controls[AT_ONCE];
	char bytes[AT_ONCE][UDP_SIZE];
};

/* The address that a datagram was sent to, on a socket of all addresses. */
static void
read_destination(struct msghdr *message, struct addr *local)
{
	struct cmsghdr *c = CMSG_FIRSTHDR(message);

	for (; c != NULL; c = CMSG_NXTHDR(message, c)) {
		if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO) {
			struct in_pktinfo info;

			memcpy(&info, CMSG_DATA(c), sizeof info);
			memcpy(local->ip, &info.ipi_addr, 4);
		} else if (c->cmsg_level == IPPROTO_IPV6 &&
		    c->cmsg_type == IPV6_PKTINFO) {
			struct in6_pktinfo info;

			memcpy(&info, CMSG_DATA(c), sizeof info);
			memcpy(local->ip, &info.ipi6_addr, 16);
		}
	}
}

static struct receiver *
new_receiver(void)
{
	struct receiver *receiver = xcalloc(1, sizeof *receiver);

	for (int i = 0; i < AT_ONCE; i++) {
		struct msghdr *header = &receiver->messages[i].msg_hdr;

		receiver->parts[i] = (struct iovec){ receiver->bytes[i], UDP_SIZE };
		header->msg_name = &receiver->from[i];
		header->msg_iov = &receiver->parts[i];
		header->msg_iovlen = 1;
	}
	return receiver;
}

/* Datagrams received, or -1. */
static int
receive(struct listener *listener)
{
	struct receiver *receiver = listener->flow.net->receiver;

	for (int i = 0; i < AT_ONCE; i++) {
		struct msghdr *header = &receiver->messages[i].msg_hdr;

		header->msg_namelen = sizeof receiver->from[i];
		header->msg_control =
		    listener->any_address ? &receiver->controls[i] : NULL;
		header->msg_controllen =
		    listener->any_address ? sizeof receiver->controls[i] : 0;
	}
	return recvmmsg(listener->flow.fd, receiver->messages, AT_ONCE,
	    MSG_DONTWAIT, NULL);
}

static void
handle(struct listener *listener, const struct hop *hop, struct str bytes)
{
	struct net *net = listener->flow.net;
	unsigned char stun[STUN_ANSWER_MAX];
	size_t n;

	while (bytes.n > 0 && (bytes.p[0] == '\r' || bytes.p[0] == '\n'))
		bytes = str_from(bytes, 1);
	if (bytes.n == 0)
		return; /* a keep-alive of empty lines wants no answer here */
	if ((unsigned char)bytes.p[0] > ' ' && (unsigned char)bytes.p[0] < 0x7f) {
		net->handler.message(net->handler.context, hop, bytes);
		return;
	}
	n = stun_answer(bytes, &hop->peer, stun);
	if (n > 0) {
		count(stun_answered);
		net_send(net, hop, (struct str){ (char *)stun, n });
	} else {
		count(dropped_junk);
	}
}

/* After a whole batch: is it getting less? */
static int64_t
late_since(const struct listener *listener)
{
	uint32_t memory[SK_MEMINFO_VARS] = { 0 };
	socklen_t size = sizeof memory;

	if (getsockopt(listener->flow.fd, SOL_SOCKET, SO_MEMINFO, memory, &size) !=
	        0 ||
	    memory[SK_MEMINFO_RMEM_ALLOC] <= memory[SK_MEMINFO_RCVBUF] / 2)
		return 0;
	return listener->late_since != 0 ? listener->late_since
	                                 : loop_now(listener->flow.net->loop);
}

static void
take(struct listener *listener, int i)
{
	struct receiver *receiver = listener->flow.net->receiver;
	struct mmsghdr *message = &receiver->messages[i];
	struct hop hop = { .transport = listener->flow.transport,
		.flow = listener->flow.id, .local = listener->flow.local };

	addr_from_sockaddr(&hop.peer, &receiver->from[i]);
	if (listener->any_address)
		read_destination(&message->msg_hdr, &hop.local);
	handle(listener, &hop,
	    (struct str){ receiver->bytes[i], message->msg_len });
}

static void
on_readable(evutil_socket_t fd, short what, void *argument)
{
	struct listener *listener = argument;

	(void)fd;
	(void)what;
	loop_update_now(listener->flow.net->loop);
	for (int done = 0; done < BATCH; done += AT_ONCE) {
		int n = receive(listener);

		/* errors belong to earlier sends (ICMP): the socket lives on */
		for (int i = 0; i < n; i++)
			take(listener, i);
		if (n >= 0 ? n < AT_ONCE : errno == EAGAIN || errno == EWOULDBLOCK) {
			listener->late_since = 0;
			return;
		}
	}
	listener->late_since = late_since(listener);
}

/*
 * Datagrams leave with "don't fragment", which spares the kernel an
 * identifier that is dear to get; one that is too large for its path may then
 * go in fragments.
 */
static void
may_fragment(int fd, bool yes)
{
	int how = yes ? IP_PMTUDISC_WANT : IP_PMTUDISC_DO;

	setsockopt(fd, IPPROTO_IP, IP_MTU_DISCOVER, &how, sizeof how);
}

static void
udp_listen(struct listener *listener)
{
	struct flow *flow = &listener->flow;

	if (flow->net->receiver == NULL)
		flow->net->receiver = new_receiver();
	if (flow->local.family == AF_INET)
		may_fragment(flow->fd, false);
	flow->id = slots_take(flow->net->slots, flow->net->worker, flow);
	event_assign(&flow->event, loop_base(flow->net->loop), flow->fd,
	    EV_READ | EV_PERSIST, on_readable, listener);
	event_add(&flow->event, NULL);
}

static void
udp_unlisten(struct listener *listener)
{
	slots_give(listener->flow.net->slots, listener->flow.id);
	event_del(&listener->flow.event);
	close(listener->flow.fd);
}

static bool
send_datagram(struct flow *flow, const struct hop *hop, struct str bytes)
{
	struct listener *listener = container_of(flow, struct listener, flow);
	struct sockaddr_storage to;
	unsigned size = addr_to_sockaddr(&hop->peer, &to);
	union control control = { { 0 } };
	struct iovec part = { (char *)(uintptr_t)bytes.p, bytes.n };
	struct msghdr message = { .msg_name = &to, .msg_namelen = size,
		.msg_iov = &part, .msg_iovlen = 1 };
	struct cmsghdr *c = &control.align;

	if (!listener->any_address || hop->local.family != hop->peer.family)
		return sendto(flow->fd, bytes.p, bytes.n, MSG_DONTWAIT,
		           (struct sockaddr *)&to, size) == (ssize_t)bytes.n;
	/* from the address that the request was sent to */
	message.msg_control = &control;
	if (hop->peer.family == AF_INET) {
		struct in_pktinfo info = { 0 };

		memcpy(&info.ipi_spec_dst, hop->local.ip, 4);
		c->cmsg_level = IPPROTO_IP;
		c->cmsg_type = IP_PKTINFO;
		c->cmsg_len = CMSG_LEN(sizeof info);
		memcpy(CMSG_DATA(c), &info, sizeof info);
		message.msg_controllen = CMSG_SPACE(sizeof info);
	} else {
		struct in6_pktinfo info = { 0 };

		memcpy(&info.ipi6_addr, hop->local.ip, 16);
		c->cmsg_level = IPPROTO_IPV6;
		c->cmsg_type = IPV6_PKTINFO;
		c->cmsg_len = CMSG_LEN(sizeof info);
		memcpy(CMSG_DATA(c), &info, sizeof info);
		message.msg_controllen = CMSG_SPACE(sizeof info);
	}
	return sendmsg(flow->fd, &message, MSG_DONTWAIT) == (ssize_t)bytes.n;
}

static bool
udp_send(struct flow *flow, const struct hop *hop, struct str bytes)
{
	bool sent = send_datagram(flow, hop, bytes);

	if (sent || errno != EMSGSIZE || flow->local.family != AF_INET)
		return sent;
	may_fragment(flow->fd, true);
	sent = send_datagram(flow, hop, bytes);
	may_fragment(flow->fd, false);
	return sent;
}

const struct transport_ops udp_ops = {
	.socket_type = SOCK_DGRAM,
	.listen = udp_listen,
	.unlisten = udp_unlisten,
	.send = udp_send,
};
