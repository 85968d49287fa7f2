/* Addresses: read, written, compared. */
#include "config.h"

#include "bindery/addr.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>

#include "bindery/buf.h"

bool
addr_eq(const struct addr *a, const struct addr *b)
{
	return a->port == b->port && addr_same_host(a, b);
}

bool
addr_same_host(const struct addr *a, const struct addr *b)
{
	return a->family == b->family && a->scope == b->scope &&
	    memcmp(a->ip, b->ip, sizeof a->ip) == 0;
}

bool
addr_is_any(const struct addr *addr)
{
	static const uint8_t any[16];

	return memcmp(addr->ip, any, sizeof any) == 0;
}

bool
addr_parse(struct str host, uint16_t port, struct addr *addr)
{
	char text[INET6_ADDRSTRLEN];
	struct addr found = { .port = port };

	if (host.n >= 2 && host.p[0] == '[' && host.p[host.n - 1] == ']')
		host = (struct str){ host.p + 1, host.n - 2 };
	if (host.n == 0 || host.n >= sizeof text)
		return false;
	memcpy(text, host.p, host.n);
	text[host.n] = '\0';
	if (inet_pton(AF_INET, text, found.ip) == 1)
		found.family = AF_INET;
	else if (inet_pton(AF_INET6, text, found.ip) == 1)
		found.family = AF_INET6;
	else
		return false;
	*addr = found;
	return true;
}

static const char *
ipv4_text(const uint8_t ip[4], char text[ADDR_HOST_SIZE])
{
	struct out out = out_to(text, ADDR_HOST_SIZE);

	for (int i = 0; i < 4; i++) {
		if (i > 0)
			out_char(&out, '.');
		out_u64(&out, ip[i]);
	}
	return out_z(&out);
}

const char *
addr_bare_host(const struct addr *addr, char text[ADDR_HOST_SIZE])
{
	if (addr->family == AF_INET) /* it stands in most answers */
		return ipv4_text(addr->ip, text);
	if (addr->family == 0 ||
	    inet_ntop(addr->family, addr->ip, text, ADDR_HOST_SIZE) == NULL)
		snprintf(text, ADDR_HOST_SIZE, "-");
	return text;
}

const char *
addr_host(const struct addr *addr, char text[ADDR_HOST_SIZE])
{
	char bare[ADDR_HOST_SIZE];

	if (addr->family != AF_INET6)
		return addr_bare_host(addr, text);
	snprintf(text, ADDR_HOST_SIZE, "[%.60s]", addr_bare_host(addr, bare));
	return text;
}

const char *
addr_text(const struct addr *addr, char text[ADDR_SIZE])
{
	char host[ADDR_HOST_SIZE];
	struct out out = out_to(text, ADDR_SIZE);

	out_add(&out, str_of(addr_host(addr, host)));
	out_char(&out, ':');
	out_u64(&out, addr->port);
	return out_z(&out);
}

unsigned
addr_to_sockaddr(const struct addr *addr, struct sockaddr_storage *to)
{
	struct sockaddr_in *in = (struct sockaddr_in *)to;
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)to;

	if (addr->family == AF_INET) {
		*in = (struct sockaddr_in){ .sin_family = AF_INET,
			.sin_port = htons(addr->port) };
		memcpy(&in->sin_addr, addr->ip, 4);
		return sizeof *in;
	}
	*in6 = (struct sockaddr_in6){ .sin6_family = AF_INET6,
		.sin6_port = htons(addr->port), .sin6_scope_id = addr->scope };
	memcpy(&in6->sin6_addr, addr->ip, 16);
	return sizeof *in6;
}

bool
addr_from_sockaddr(struct addr *addr, const struct sockaddr_storage *from)
{
	const struct sockaddr_in *in = (const struct sockaddr_in *)from;
	const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)from;

	*addr = (struct addr){ .family = from->ss_family };
	if (from->ss_family == AF_INET) {
		addr->port = ntohs(in->sin_port);
		memcpy(addr->ip, &in->sin_addr, 4);
		return true;
	}
	if (from->ss_family == AF_INET6) {
		addr->port = ntohs(in6->sin6_port);
		addr->scope = in6->sin6_scope_id;
		memcpy(addr->ip, &in6->sin6_addr, 16);
		return true;
	}
	addr->family = 0;
	return false;
}

size_t
addr_pack(const struct addr *addr, unsigned char to[ADDR_PACKED_MAX])
{
	size_t n = addr->family == AF_INET6 ? 16 : 4;

	memcpy(to, addr->ip, n);
	if (n == 16) {
		memcpy(to + n, &addr->scope, sizeof addr->scope);
		n += sizeof addr->scope;
	}
	memcpy(to + n, &addr->port, sizeof addr->port);
	return n + sizeof addr->port;
}

struct addr
addr_unpack(const unsigned char *from, size_t n)
{
	struct addr addr = { 0 };
	size_t ip = n == ADDR_PACKED_MAX ? 16 : 4;

	addr.family = ip == 16 ? AF_INET6 : AF_INET;
	memcpy(addr.ip, from, ip);
	if (ip == 16)
		memcpy(&addr.scope, from + ip, sizeof addr.scope);
	memcpy(&addr.port, from + n - sizeof addr.port, sizeof addr.port);
	return addr;
}
