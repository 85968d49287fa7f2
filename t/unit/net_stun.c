/* STUN on the SIP port: RFC 5389 and 3489 Binding requests and their answers. */
#include "config.h"

#include "unit.h"

#include "bindery/net.h"

/* The transaction id of RFC 5769's samples, behind the cookie. */
static const unsigned char id[16] = { 0x21, 0x12, 0xa4, 0x42, 0xb7, 0xe7, 0xa7,
	0x01, 0xbc, 0x34, 0xd6, 0x86, 0xfa, 0x87, 0xdf, 0xae };

static struct addr
peer_at(const char *host, uint16_t port)
{
	struct addr addr;

	assert_true(addr_parse(str_of(host), port, &addr));
	return addr;
}

/* A request with these attributes; returns its size. */
static size_t
request(unsigned char to[256], const void *attributes, size_t n)
{
	to[0] = 0;
	to[1] = 1;
	to[2] = (unsigned char)(n >> 8);
	to[3] = (unsigned char)n;
	memcpy(to + 4, id, 16);
	if (n > 0)
		memcpy(to + 20, attributes, n);
	return 20 + n;
}

/* Asks from memory of just its size, so that each look beyond it is seen. */
static size_t
ask(const void *bytes, size_t n, const struct addr *peer,
    unsigned char answer[STUN_ANSWER_MAX])
{
	char *exact = malloc(n > 0 ? n : 1);
	size_t size;

	if (n > 0)
		memcpy(exact, bytes, n);
	size = stun_answer((struct str){ exact, n }, peer, answer);
	assert_true(size <= STUN_ANSWER_MAX);
	free(exact);
	return size;
}

static void
the_mapped_addresses_of_rfc_5769_are_told(void **state)
{
	/* its sample responses 2.2 and 2.3, without SOFTWARE and what follows */
	static const unsigned char ipv4[] = { 0x00, 0x20, 0x00, 0x08, 0x00, 0x01,
		0xa1, 0x47, 0xe1, 0x12, 0xa6, 0x43 };
	static const unsigned char ipv6[] = { 0x00, 0x20, 0x00, 0x14, 0x00, 0x02,
		0xa1, 0x47, 0x01, 0x13, 0xa9, 0xfa, 0xa5, 0xd3, 0xf1, 0x79, 0xbc,
		0x25, 0xf4, 0xb5, 0xbe, 0xd2, 0xb9, 0xd9 };
	unsigned char bytes[256], answer[STUN_ANSWER_MAX];
	struct addr peer = peer_at("192.0.2.1", 32853);
	size_t n = request(bytes, NULL, 0);

	(void)state;
	assert_int_equal(ask(bytes, n, &peer, answer), 32);
	assert_memory_equal(answer, "\x01\x01\x00\x0c", 4);
	assert_memory_equal(answer + 4, id, 16);
	assert_memory_equal(answer + 20, ipv4, sizeof ipv4);
	peer = peer_at("2001:db8:1234:5678:11:2233:4455:6677", 32853);
	assert_int_equal(ask(bytes, n, &peer, answer), 44);
	assert_memory_equal(answer, "\x01\x01\x00\x18", 4);
	assert_memory_equal(answer + 20, ipv6, sizeof ipv6);
}

static void
without_the_cookie_the_address_is_told_plainly(void **state)
{
	static const unsigned char mapped[] = { 0x00, 0x01, 0x00, 0x08, 0x00, 0x01,
		0x13, 0xc4, 192, 0, 2, 1 };
	unsigned char bytes[256], answer[STUN_ANSWER_MAX];
	struct addr peer = peer_at("192.0.2.1", 5060);
	size_t n = request(bytes, NULL, 0);

	(void)state;
	bytes[4] ^= 1; /* RFC 3489: these four bytes are part of the id */
	assert_int_equal(ask(bytes, n, &peer, answer), 32);
	assert_memory_equal(answer + 4, bytes + 4, 16);
	assert_memory_equal(answer + 20, mapped, sizeof mapped);
}

static void
attributes_that_ask_for_nothing_are_passed_over(void **state)
{
	/* SOFTWARE, padded; FINGERPRINT; an unknown one that may be ignored */
	static const unsigned char attributes[] = { 0x80, 0x22, 0x00, 0x05, 'a',
		'b', 'c', 'd', 'e', 0, 0, 0, 0x80, 0x28, 0x00, 0x04, 1, 2, 3, 4,
		0xff, 0xff, 0x00, 0x00 };
	static const unsigned char user[] = { 0x00, 0x06, 0x00, 0x03, 'a', 'b', 'c',
		0 };
	unsigned char bytes[256], answer[STUN_ANSWER_MAX];
	struct addr peer = peer_at("192.0.2.1", 5060);
	size_t n = request(bytes, attributes, sizeof attributes);

	(void)state;
	assert_int_equal(ask(bytes, n, &peer, answer), 32);
	assert_int_equal(answer[1], 1);
	n = request(bytes, user, sizeof user);
	assert_int_equal(ask(bytes, n, &peer, answer), 32);
	assert_int_equal(answer[0] << 8 | answer[1], 0x0101);
}

static void
an_attribute_that_must_be_understood_is_refused_with_420(void **state)
{
	static const unsigned char types[][2] = { { 0x00, 0x03 }, /* CHANGE-REQUEST */
		{ 0x00, 0x24 }, { 0x7f, 0xff } };
	unsigned char bytes[256], answer[STUN_ANSWER_MAX];
	struct addr peer = peer_at("192.0.2.1", 5060);

	(void)state;
	for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
		unsigned char attribute[] = { types[i][0], types[i][1], 0, 4, 0, 0, 0,
			0 };
		size_t n = request(bytes, attribute, sizeof attribute);

		assert_true(ask(bytes, n, &peer, answer) > 20);
		assert_memory_equal(answer, "\x01\x11", 2);
		assert_memory_equal(answer + 4, id, 16);
		assert_memory_equal(answer + 20, "\x00\x09\x00\x04\x00\x00\x04\x14", 8);
		assert_memory_equal(answer + 28, "\x00\x0a\x00\x02", 4);
		assert_memory_equal(answer + 32, types[i], 2);
	}
}

static void
type_zero_must_be_understood_as_well(void **state)
{
	/* and what stands behind it looked at */
	static const unsigned char attributes[] = { 0, 0, 0, 0, 0, 3, 0, 4, 0, 0, 0,
		0 };
	unsigned char bytes[256], answer[STUN_ANSWER_MAX];
	struct addr peer = peer_at("192.0.2.1", 5060);
	size_t n = request(bytes, attributes, sizeof attributes);

	(void)state;
	assert_true(ask(bytes, n, &peer, answer) > 20);
	assert_memory_equal(answer, "\x01\x11", 2);
}

static void
what_is_no_binding_request_is_not_answered(void **state)
{
	static const unsigned char attribute[] = { 0x80, 0x22, 0x00, 0x04, 1, 2, 3,
		4 };
	unsigned char bytes[256], answer[STUN_ANSWER_MAX];
	struct addr peer = peer_at("192.0.2.1", 5060);
	size_t n = request(bytes, attribute, sizeof attribute);

	(void)state;
	assert_int_not_equal(ask(bytes, n, &peer, answer), 0);
	for (size_t cut = 0; cut < n; cut++)
		assert_int_equal(ask(bytes, cut, &peer, answer), 0);
	bytes[3]++;
	assert_int_equal(ask(bytes, n, &peer, answer), 0);
	bytes[3]--;
	bytes[23] = 5; /* an attribute beyond the end */
	assert_int_equal(ask(bytes, n, &peer, answer), 0);
	bytes[23] = 0xff;
	bytes[22] = 0xff;
	assert_int_equal(ask(bytes, n, &peer, answer), 0);
	for (int type = 0; type < 0x10000; type++) { /* responses, indications */
		n = request(bytes, NULL, 0);
		bytes[0] = (unsigned char)(type >> 8);
		bytes[1] = (unsigned char)type;
		assert_int_equal(ask(bytes, n, &peer, answer) != 0, type == 1);
	}
}

static void
anything_is_looked_at_safely(void **state)
{
	unsigned char bytes[256], answer[STUN_ANSWER_MAX];
	struct addr peer = peer_at("2001:db8::1", 5060);
	uint64_t seed = 16;

	(void)state;
	for (int round = 0; round < 50000; round++) {
		unsigned char attributes[60];
		size_t n = random_up_to(&seed, sizeof attributes / 4) * 4;

		for (size_t i = 0; i < n; i++)
			attributes[i] = (unsigned char)(random_up_to(&seed, 3) == 0
			        ? random_up_to(&seed, 256)
			        : random_up_to(&seed, 9));
		n = request(bytes, attributes, n);
		ask(bytes, n, &peer, answer);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_mapped_addresses_of_rfc_5769_are_told),
		cmocka_unit_test(without_the_cookie_the_address_is_told_plainly),
		cmocka_unit_test(attributes_that_ask_for_nothing_are_passed_over),
		cmocka_unit_test(an_attribute_that_must_be_understood_is_refused_with_420),
		cmocka_unit_test(type_zero_must_be_understood_as_well),
		cmocka_unit_test(what_is_no_binding_request_is_not_answered),
		cmocka_unit_test(anything_is_looked_at_safely),
	};

	return cmocka_run_group_tests_name("net/stun", tests, NULL, NULL);
}
