/*
 * A network address and port, IPv4 or IPv6, in one plain struct that can be
 * copied, compared and hashed as bytes.
 */
#ifndef BINDERY_ADDR_H
#define BINDERY_ADDR_H

#include "bindery/str.h"

struct addr {
	uint16_t family;  /* AF_INET, AF_INET6, or 0: none */
	uint16_t port;    /* host order */
	uint32_t scope;   /* of a link-local IPv6 address */
	uint8_t ip[16];   /* IPv4 in the first four bytes, the rest 0 */
};

struct sockaddr_storage;

bool addr_eq(const struct addr *a, const struct addr *b);
/* The same host, whatever the port. */
bool addr_same_host(const struct addr *a, const struct addr *b);
/* True for 0.0.0.0 and ::. */
bool addr_is_any(const struct addr *addr);

/*
 * Reads an IPv4 or IPv6 address, the latter with or without brackets. No
 * names. False if it is neither.
 */
bool addr_parse(struct str host, uint16_t port, struct addr *addr);

enum { ADDR_HOST_SIZE = 64, ADDR_SIZE = 80 };
/* "192.0.2.1", "[2001:db8::1]": as in a URI, with brackets. Returns `text`. */
const char *addr_host(const struct addr *addr, char text[ADDR_HOST_SIZE]);
/* Without brackets, as in a received parameter of IPv4 or a log. */
const char *addr_bare_host(const struct addr *addr, char text[ADDR_HOST_SIZE]);
/* "192.0.2.1:5060", "[2001:db8::1]:5060". Returns `text`. */
const char *addr_text(const struct addr *addr, char text[ADDR_SIZE]);

/*
 * To and from a short form of 6 bytes (IPv4) or 22 (IPv6), for where a
 * million of them are kept. The former returns its length.
 */
enum { ADDR_PACKED_MAX = 22 };
size_t addr_pack(const struct addr *addr, unsigned char to[ADDR_PACKED_MAX]);
struct addr addr_unpack(const unsigned char *from, size_t n);

/* To and from the kernel's form. The former returns its length. */
unsigned addr_to_sockaddr(const struct addr *addr, struct sockaddr_storage *to);
bool addr_from_sockaddr(struct addr *addr, const struct sockaddr_storage *from);

#endif
