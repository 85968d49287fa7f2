/* Plain streams. */
#include "config.h"

#include "net_priv.h"

#include <errno.h>
#include <sys/socket.h>

static ssize_t
result(ssize_t n, int blocked)
{
	if (n >= 0)
		return n;
	return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR
	    ? blocked
	    : IO_FAILED;
}

static bool
tcp_start(struct connection *c, struct tls_context *tls)
{
	(void)c;
	(void)tls;
	return true;
}

static int
tcp_handshake(struct connection *c)
{
	(void)c;
	return 1;
}

static ssize_t
tcp_read(struct connection *c, void *to, size_t n)
{
	return result(recv(c->flow.fd, to, n, MSG_DONTWAIT), IO_WANT_READ);
}

static ssize_t
tcp_write(struct connection *c, const void *from, size_t n)
{
	return result(send(c->flow.fd, from, n, MSG_DONTWAIT | MSG_NOSIGNAL),
	    IO_WANT_WRITE);
}

static bool
tcp_has_pending(struct connection *c)
{
	(void)c;
	return false;
}

static void
tcp_end(struct connection *c)
{
	(void)c;
}

static void
tcp_describe(struct connection *c, struct connection_info *info)
{
	(void)c;
	(void)info;
}

static const struct stream_ops tcp_stream = {
	.start = tcp_start,
	.handshake = tcp_handshake,
	.read = tcp_read,
	.write = tcp_write,
	.has_pending = tcp_has_pending,
	.end = tcp_end,
	.describe = tcp_describe,
	.gauge = COUNT_connections_tcp,
};

const struct transport_ops tcp_ops = {
	.socket_type = SOCK_STREAM,
	.listen = stream_listen,
	.unlisten = stream_unlisten,
	.send = stream_send,
	.stream = &tcp_stream,
};
