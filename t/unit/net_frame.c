/* Streams cut into messages: wherever they are split, the cut is the same. */
#include "config.h"

#include "unit.h"

#include "bindery/net.h"

#define HEAD "OPTIONS sip:a@b SIP/2.0\r\nVia: SIP/2.0/TCP h;branch=z9hG4bK1\r\n"

enum { LIMIT = 4096, EVENTS = 64 };

/* What came out of a stream: sizes of messages, 'P' pings, 'B' broken. */
struct seen {
	size_t count;
	struct {
		char what;
		size_t size;
		enum frame_fault fault;
	} list[EVENTS];
};

struct stream {
	char bytes[16384]; /* what came and was not taken yet */
	size_t n, scanned;
	bool broken;
	struct seen seen;
};

static void
take(struct stream *s, size_t n)
{
	assert_true(n > 0 && n <= s->n);
	memmove(s->bytes, s->bytes + n, s->n - n);
	s->n -= n;
	s->scanned = 0;
}

static void
note(struct stream *s, char what, size_t size, enum frame_fault fault)
{
	assert_true(s->seen.count < EVENTS);
	s->seen.list[s->seen.count].what = what;
	s->seen.list[s->seen.count].fault = fault;
	s->seen.list[s->seen.count++].size = size;
}

static void
feed(struct stream *s, const char *bytes, size_t n)
{
	size_t size = 0;
	enum frame_fault fault = 0;

	assert_true(s->n + n <= sizeof s->bytes);
	memcpy(s->bytes + s->n, bytes, n);
	s->n += n;
	while (!s->broken) {
		/* in memory of just its size: a look beyond it is seen */
		char *exact = malloc(s->n > 0 ? s->n : 1);
		enum frame_result result;

		memcpy(exact, s->bytes, s->n);
		result = frame_next((struct str){ exact, s->n }, LIMIT,
		    &s->scanned, &size, &fault);
		free(exact);
		assert_true(s->scanned <= s->n);
		if (result == FRAME_MORE)
			return;
		if (result == FRAME_BROKEN) {
			note(s, 'B', 0, fault);
			s->broken = true;
			return;
		}
		if (result == FRAME_MESSAGE)
			note(s, 'M', size, 0);
		else if (result == FRAME_PING)
			note(s, 'P', size, 0);
		take(s, size);
	}
}

static bool
same_seen(const struct seen *a, const struct seen *b)
{
	if (a->count != b->count)
		return false;
	for (size_t i = 0; i < a->count; i++)
		if (a->list[i].what != b->list[i].what ||
		    a->list[i].size != b->list[i].size ||
		    a->list[i].fault != b->list[i].fault)
			return false;
	return true;
}

/* ---- samples ---- */

static const struct {
	const char *what, *bytes, *events;
} samples[] = {
	{ "one message", HEAD "Content-Length: 0\r\n\r\n", "M" },
	{ "a body", HEAD "Content-Length: 5\r\n\r\nhello", "M" },
	{ "the compact name", HEAD "l: 5\r\n\r\nhello", "M" },
	{ "blanks around it", HEAD "CONTENT-LENGTH \t:   5  \r\n\r\nhello", "M" },
	{ "two messages", HEAD "l:2\r\n\r\nhi" HEAD "l:3\r\n\r\nhey", "MM" },
	{ "a message in a body",
	    HEAD "l: 82\r\n\r\n" HEAD "Content-Length: 0\r\n\r\n" HEAD "l:0\r\n\r\n",
	    "MM" },
	{ "an empty line in a body", HEAD "l: 8\r\n\r\n\r\n\r\n\r\n\r\n", "M" },
	{ "a ping", "\r\n\r\n", "P" },
	{ "two pings", "\r\n\r\n\r\n\r\n", "PP" },
	{ "a ping and a message", "\r\n\r\n" HEAD "l:0\r\n\r\n", "PM" },
	{ "a message and a ping", HEAD "l:1\r\n\r\nx\r\n\r\n", "MP" },
	{ "pings all over",
	    "\r\n\r\n" HEAD "l:0\r\n\r\n\r\n\r\n" HEAD "l:0\r\n\r\n\r\n\r\n",
	    "PMPMP" },
	{ "a line end before a message", "\r\n" HEAD "l:0\r\n\r\n", "M" },
	{ "a line end between messages", HEAD "l:0\r\n\r\n\r\n" HEAD "l:0\r\n\r\n",
	    "MM" },
	{ "no length", HEAD "Content-Type: a/b\r\n\r\n", "B" },
	{ "no length after a message", HEAD "l:0\r\n\r\n" HEAD "\r\n", "MB" },
	{ "a length that is none", HEAD "l: x\r\n\r\n", "B" },
	{ "a negative length", HEAD "l: -1\r\n\r\n", "B" },
	{ "a length of 4 GB and 1", HEAD "l: 4294967297\r\n\r\nx", "B" },
	{ "a huge length", HEAD "l: 99999999999999999999999\r\n\r\nx", "B" },
	{ "two lengths", HEAD "l: 1\r\nContent-Length: 1\r\n\r\nx", "B" },
	{ "two different lengths", HEAD "l: 1\r\nl: 0\r\n\r\nx", "B" },
	{ "a list of lengths", HEAD "l: 1, 1\r\n\r\nx", "B" },
	{ "a length in a body", HEAD "l: 6\r\n\r\nl: 9\r\n", "M" },
	{ "a length in a fold",
	    HEAD "Subject: x\r\n l: 9\r\nContent-Length: 0\r\n\r\n", "M" },
	{ "a length without a colon", HEAD "l\r\n\r\n", "B" },
	{ "a length without a colon, and a fold", HEAD "L\r\n 5\r\n\r\n", "B" },
	{ "a name in a fold", HEAD "Content-Length\r\n : 0\r\n\r\n", "B" },
	{ "a length that is continued", HEAD "l: 1\r\n 0\r\n\r\n0123456789", "B" },
	{ "a length with empty folds", HEAD "l:\r\n \r\n\t2\r\n \r\n\r\nhi", "M" },
	{ "names that begin alike",
	    HEAD "Content-LengthX: 9\r\nli: 7\r\nC: a/b\r\nl: 0\r\n\r\n", "M" },
	{ "TLS on a plain port", "\x16\x03\x01\x02", "B" },
	{ "a blank first", " OPTIONS", "B" },
	{ "a NUL first", "\x7f", "B" },
	{ "a high byte first", "\xff\xff", "B" },
};
enum { SAMPLES = sizeof samples / sizeof *samples };

static void
run_whole(const char *bytes, size_t n, struct stream *s)
{
	memset(s, 0, sizeof *s);
	feed(s, bytes, n);
}

static void
samples_are_cut_where_they_should(void **state)
{
	static struct stream s;

	(void)state;
	for (size_t i = 0; i < SAMPLES; i++) {
		char got[EVENTS + 1] = "";

		run_whole(samples[i].bytes, strlen(samples[i].bytes), &s);
		for (size_t e = 0; e < s.seen.count; e++)
			got[e] = s.seen.list[e].what;
		if (strcmp(got, samples[i].events) != 0)
			fail_msg("%s: expected %s, got %s", samples[i].what,
			    samples[i].events, got);
	}
}

static void
every_split_of_every_sample_is_cut_alike(void **state)
{
	static struct stream whole, split;

	(void)state;
	for (size_t i = 0; i < SAMPLES; i++) {
		const char *bytes = samples[i].bytes;
		size_t n = strlen(bytes);

		run_whole(bytes, n, &whole);
		for (size_t at = 1; at < n; at++) {
			memset(&split, 0, sizeof split);
			feed(&split, bytes, at);
			if (!split.broken)
				feed(&split, bytes + at, n - at);
			if (!same_seen(&whole.seen, &split.seen))
				fail_msg("%s: split at %zu it differs",
				    samples[i].what, at);
		}
	}
}

static void
byte_by_byte_it_is_cut_alike(void **state)
{
	static struct stream whole, split;

	(void)state;
	for (size_t i = 0; i < SAMPLES; i++) {
		const char *bytes = samples[i].bytes;
		size_t n = strlen(bytes);

		run_whole(bytes, n, &whole);
		memset(&split, 0, sizeof split);
		for (size_t at = 0; at < n && !split.broken; at++)
			feed(&split, bytes + at, 1);
		assert_for(samples[i].what, same_seen(&whole.seen, &split.seen));
	}
}

static void
pieces_of_random_size_are_cut_alike(void **state)
{
	static struct stream whole, split;
	char bytes[8192];
	size_t n = 0;
	uint64_t seed = 3;

	(void)state;
	for (size_t i = 0; i < SAMPLES; i++) /* those that do not break it */
		if (strchr(samples[i].events, 'B') == NULL)
			n += (size_t)snprintf(bytes + n, sizeof bytes - n, "%s",
			    samples[i].bytes);
	run_whole(bytes, n, &whole);
	for (int round = 0; round < 500; round++) {
		memset(&split, 0, sizeof split);
		for (size_t at = 0; at < n;) {
			size_t piece = random_up_to(&seed, 100) + 1;

			piece = piece < n - at ? piece : n - at;
			feed(&split, bytes + at, piece);
			at += piece;
		}
		assert_true(same_seen(&whole.seen, &split.seen));
	}
}

static void
a_folded_length_is_read(void **state)
{
	static struct stream s;
	static const char bytes[] = HEAD "Content-Length:\r\n 2\r\n\r\nhi";

	(void)state;
	run_whole(bytes, sizeof bytes - 1, &s);
	assert_int_equal(s.seen.count, 1);
	assert_int_equal(s.seen.list[0].what, 'M');
}

static void
each_way_to_break_has_its_name(void **state)
{
	static const struct {
		const char *bytes;
		enum frame_fault fault;
	} broken[] = {
		{ HEAD "\r\n", FRAME_NO_LENGTH },
		{ HEAD "l: x\r\n\r\n", FRAME_BAD_LENGTH },
		{ HEAD "l: 1\r\nl: 1\r\n\r\n", FRAME_BAD_LENGTH },
		{ HEAD "l: 4000\r\n\r\n", 99 },
		{ HEAD "l: 4096\r\n\r\n", FRAME_BODY_SIZE },
		{ HEAD "l: 4294967295\r\n\r\n", FRAME_BODY_SIZE },
		{ "\x80", FRAME_GARBAGE },
	};
	static struct stream s;

	(void)state;
	for (size_t i = 0; i < sizeof broken / sizeof *broken; i++) {
		run_whole(broken[i].bytes, strlen(broken[i].bytes), &s);
		assert_for(broken[i].bytes, s.broken == (broken[i].fault != 99));
		if (s.broken)
			assert_int_equal(s.seen.list[0].fault, broken[i].fault);
	}
}

/* ---- limits ---- */

static enum frame_result
frame(const char *bytes, size_t n, size_t limit, enum frame_fault *fault)
{
	size_t scanned = 0, size = 0;

	return frame_next((struct str){ bytes, n }, limit, &scanned, &size,
	    fault);
}

static void
a_message_may_be_just_as_large_as_the_limit(void **state)
{
	char bytes[1024];
	size_t n = (size_t)snprintf(bytes, sizeof bytes, HEAD "l: 100\r\n\r\n%0100d",
	    1);
	enum frame_fault fault;

	(void)state;
	assert_int_equal(frame(bytes, n, n, &fault), FRAME_MESSAGE);
	assert_int_equal(frame(bytes, n, n - 1, &fault), FRAME_BROKEN);
	assert_int_equal(fault, FRAME_BODY_SIZE);
	/* it is known before the body came */
	assert_int_equal(frame(bytes, n - 100, n - 1, &fault), FRAME_BROKEN);
	assert_int_equal(frame(bytes, n - 100, n - 101, &fault), FRAME_BROKEN);
	assert_int_equal(fault, FRAME_HEADER_SIZE);
}

static void
a_header_without_an_end_is_broken_at_the_limit(void **state)
{
	static struct stream s;
	char x[64];

	(void)state;
	memset(x, 'x', sizeof x);
	memset(&s, 0, sizeof s);
	while (s.n < LIMIT)
		feed(&s, x, sizeof x);
	assert_false(s.broken);
	feed(&s, x, 1);
	assert_true(s.broken);
	assert_int_equal(s.seen.list[0].fault, FRAME_HEADER_SIZE);
}

static void
what_was_scanned_is_not_scanned_again(void **state)
{
	static char bytes[60000];
	size_t scanned = 0, size;
	enum frame_fault fault;

	(void)state;
	memset(bytes, 'x', sizeof bytes);
	/* quadratic, it would take minutes */
	for (size_t n = 1; n <= sizeof bytes; n++) {
		assert_int_equal(frame_next((struct str){ bytes, n }, 65535, &scanned,
		                     &size, &fault),
		    FRAME_MORE);
		assert_int_equal(scanned, n);
	}
}

static void
nothing_is_no_message(void **state)
{
	enum frame_fault fault;

	(void)state;
	assert_int_equal(frame("", 0, LIMIT, &fault), FRAME_MORE);
}

static void
anything_is_cut_without_standing_still(void **state)
{
	static const char bytes[] = "\r\n\r\n\r\n l:0123Cc-ontentLengthx\0\xff";
	static struct stream s;
	uint64_t seed = 4;

	(void)state;
	for (int round = 0; round < 20000; round++) {
		char text[64];
		size_t n = random_up_to(&seed, sizeof text) + 1;

		for (size_t i = 0; i < n; i++)
			text[i] = bytes[random_up_to(&seed, sizeof bytes)];
		run_whole(text, n, &s); /* take() checks that there is progress */
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(samples_are_cut_where_they_should),
		cmocka_unit_test(every_split_of_every_sample_is_cut_alike),
		cmocka_unit_test(byte_by_byte_it_is_cut_alike),
		cmocka_unit_test(pieces_of_random_size_are_cut_alike),
		cmocka_unit_test(a_folded_length_is_read),
		cmocka_unit_test(each_way_to_break_has_its_name),
		cmocka_unit_test(a_message_may_be_just_as_large_as_the_limit),
		cmocka_unit_test(a_header_without_an_end_is_broken_at_the_limit),
		cmocka_unit_test(what_was_scanned_is_not_scanned_again),
		cmocka_unit_test(nothing_is_no_message),
		cmocka_unit_test(anything_is_cut_without_standing_still),
	};

	return cmocka_run_group_tests_name("net/frame", tests, NULL, NULL);
}
