/*
 * The framer: the first bytes say how the rest is split. However that is, the
 * same messages must come out, and it must get on.
 */
#include "config.h"

#include <string.h>

#include "bindery/net.h"

#include "fuzz.h"

const char *const fuzz_seeds[] = { "fuzz/seeds/frame", NULL };

enum { LIMIT = 2000, ROOM = 1 << 16 };

struct seen {
	uint64_t hash; /* of all messages and pings */
	size_t count;
	bool broken;
	enum frame_fault fault;
};

static void
note(struct seen *seen, const char *bytes, size_t n)
{
	for (size_t i = 0; i < n; i++)
		seen->hash = (seen->hash ^ (uint8_t)bytes[i]) * 1099511628211u;
	seen->hash = (seen->hash ^ n) * 1099511628211u;
	seen->count++;
}

/* Feeds pieces as large as `pieces` says, over and over; 0: all at once. */
static struct seen
run(const char *bytes, size_t n, const uint8_t *pieces, size_t piece_count)
{
	struct seen seen = { .hash = 14695981039346656037u };
	size_t from = 0, to = 0, scanned = 0;

	for (size_t turn = 0; to < n && !seen.broken; turn++) {
		size_t piece = piece_count > 0 ? pieces[turn % piece_count] + 1u : n;

		to += piece < n - to ? piece : n - to;
		while (from < to && !seen.broken) {
			size_t size = 0;
			enum frame_result result = frame_next(
			    (struct str){ bytes + from, to - from }, LIMIT, &scanned,
			    &size, &seen.fault);

			fuzz_must(scanned <= to - from);
			if (result == FRAME_MORE)
				break;
			if (result == FRAME_BROKEN) {
				seen.broken = true;
				break;
			}
			fuzz_must(size > 0 && size <= to - from);
			fuzz_must(result != FRAME_MESSAGE || size <= LIMIT);
			fuzz_must(result != FRAME_PING || size == 4);
			if (result == FRAME_MESSAGE)
				note(&seen, bytes + from, size);
			from += size;
			scanned = 0;
		}
	}
	return seen;
}

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
	size_t piece_count = n > 0 ? bytes[0] % 8 + 1u : 0;
	struct seen whole, split;
	const char *rest;

	if (n < 1 + piece_count || n > ROOM)
		return 0;
	rest = (const char *)bytes + 1 + piece_count;
	n -= 1 + piece_count;
	whole = run(rest, n, NULL, 0);
	split = run(rest, n, bytes + 1, piece_count);
	/* which limit is hit first may depend on what has come */
	fuzz_must(whole.broken == split.broken);
	fuzz_must(whole.count == split.count && whole.hash == split.hash);
	return 0;
}
