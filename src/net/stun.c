/* STUN Binding on the SIP port: the keep-alive of RFC 5626 4.4.2. */
#include "config.h"

#include "bindery/net.h"

#include <sys/socket.h>

enum {
	HEADER = 20,
	BINDING_REQUEST = 0x0001,
	BINDING_SUCCESS = 0x0101,
	BINDING_ERROR = 0x0111,
	MAPPED_ADDRESS = 0x0001,
	ERROR_CODE = 0x0009,
	UNKNOWN_ATTRIBUTES = 0x000a,
	XOR_MAPPED_ADDRESS = 0x0020,
	COOKIE_SIZE = 4
};

static const unsigned char cookie[COOKIE_SIZE] = { 0x21, 0x12, 0xa4, 0x42 };

static unsigned
get16(const unsigned char *p)
{
	return (unsigned)(p[0] << 8 | p[1]);
}

static unsigned char *
put16(unsigned char *p, unsigned value)
{
	p[0] = (unsigned char)(value >> 8);
	p[1] = (unsigned char)value;
	return p + 2;
}

enum { ALL_KNOWN = -1, MALFORMED = -2 };

/*
 * The first attribute that must be understood and is not: those that may
 * stand in a Binding request (RFC 5389 15, RFC 3489's requests for a change
 * of address are refused). ALL_KNOWN, or MALFORMED.
 */
static int
first_unknown(const unsigned char *p, size_t n)
{
	while (n >= 4) {
		unsigned type = get16(p), size = get16(p + 2);
		size_t padded = 4 + ((size_t)size + 3) / 4 * 4;

		if (padded > n)
			return MALFORMED;
		/* USERNAME and MESSAGE-INTEGRITY ask for nothing of us */
		if (type < 0x8000 && type != 0x0006 && type != 0x0008)
			return (int)type;
		p += padded;
		n -= padded;
	}
	return n == 0 ? ALL_KNOWN : MALFORMED;
}

static unsigned char *
put_address(unsigned char *p, const struct addr *peer,
    const unsigned char *mask)
{
	size_t size = peer->family == AF_INET ? 4 : 16;
	unsigned port = peer->port;

	if (mask != NULL)
		port ^= get16(mask);
	p = put16(p, mask != NULL ? XOR_MAPPED_ADDRESS : MAPPED_ADDRESS);
	p = put16(p, (unsigned)(4 + size));
	p = put16(p, peer->family == AF_INET ? 1 : 2);
	p = put16(p, port);
	for (size_t i = 0; i < size; i++)
		*p++ = (unsigned char)(peer->ip[i] ^ (mask != NULL ? mask[i] : 0));
	return p;
}

static unsigned char *
put_refusal(unsigned char *p, unsigned type)
{
	p = put16(p, ERROR_CODE);
	p = put16(p, 4);
	p = put16(p, 0);
	p = put16(p, 4 << 8 | 20); /* 420 Unknown Attribute */
	p = put16(p, UNKNOWN_ATTRIBUTES);
	p = put16(p, 2);
	p = put16(p, type);
	return put16(p, 0);
}

size_t
stun_answer(struct str bytes, const struct addr *peer,
    unsigned char answer[STUN_ANSWER_MAX])
{
	const unsigned char *request = (const unsigned char *)bytes.p;
	unsigned char *end = answer + HEADER;
	int unknown;

	if (bytes.n < HEADER || get16(request) != BINDING_REQUEST ||
	    get16(request + 2) != bytes.n - HEADER || bytes.n % 4 != 0)
		return 0;
	unknown = first_unknown(request + HEADER, bytes.n - HEADER);
	if (unknown == MALFORMED)
		return 0;
	if (unknown != ALL_KNOWN)
		end = put_refusal(end, (unsigned)unknown);
	else if (memcmp(request + 4, cookie, COOKIE_SIZE) == 0)
		end = put_address(end, peer, request + 4);
	else
		end = put_address(end, peer, NULL); /* RFC 3489 */
	put16(answer, unknown != ALL_KNOWN ? BINDING_ERROR : BINDING_SUCCESS);
	put16(answer + 2, (unsigned)(end - answer - HEADER));
	memcpy(answer + 4, request + 4, 16); /* cookie and transaction id */
	return (size_t)(end - answer);
}
