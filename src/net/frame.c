/* Cuts a stream of bytes into SIP messages (RFC 3261 18.3, RFC 5626 4.4.1). */
#include "config.h"

#include "bindery/net.h"

/* Values of Content-Length in a header part, compact form included. */
static bool
find_length(struct str header, struct str *value, unsigned *count)
{
	const char *p = header.p, *end = header.p + header.n;

	*count = 0;
	while (p < end) {
		const char *line_end = memchr(p, '\n', (size_t)(end - p));
		struct str line;

		if (line_end == NULL)
			line_end = end;
		line = (struct str){ p, (size_t)(line_end - p) };
		p = line_end + 1;
		if (line.n < 2 || (ascii_lower(line.p[0]) != 'l' &&
		        ascii_lower(line.p[0]) != 'c'))
			continue;
		struct str name = str_trim(str_cut(&line, ':'));
		if (!str_caseeq(name, STR("l")) &&
		    !str_caseeq(name, STR("Content-Length")))
			continue;
		(*count)++;
		if (line.p == NULL) { /* no colon: a length, but a bad one */
			*value = STR("");
			continue;
		}
		while (p < end && (*p == ' ' || *p == '\t')) { /* a fold */
			line_end = memchr(p, '\n', (size_t)(end - p));
			p = line_end != NULL ? line_end + 1 : end;
			line.n = (size_t)(p - line.p);
		}
		*value = str_trim(line);
	}
	return *count > 0;
}

static enum frame_result
broken(enum frame_fault why, enum frame_fault *fault)
{
	*fault = why;
	return FRAME_BROKEN;
}

static enum frame_result
frame_blank(struct str bytes, size_t *size)
{
	size_t n = 0;

	if (str_starts(bytes, STR("\r\n\r\n"))) {
		*size = 4;
		return FRAME_PING;
	}
	if (bytes.n < 4 && str_starts(STR("\r\n\r\n"), bytes))
		return FRAME_MORE; /* it may become a ping */
	while (n < bytes.n && (bytes.p[n] == '\r' || bytes.p[n] == '\n'))
		n++;
	*size = n;
	return FRAME_SKIP;
}

enum frame_result
frame_next(struct str bytes, size_t limit, size_t *scanned, size_t *size,
    enum frame_fault *fault)
{
	const char *end;
	struct str value = STR_NONE;
	uint32_t body;
	unsigned count;
	size_t head, from;

	if (bytes.n == 0)
		return FRAME_MORE;
	if (bytes.p[0] == '\r' || bytes.p[0] == '\n')
		return frame_blank(bytes, size);
	if ((unsigned char)bytes.p[0] <= ' ' || (unsigned char)bytes.p[0] >= 0x7f)
		return broken(FRAME_GARBAGE, fault);

	from = *scanned > 3 ? *scanned - 3 : 0;
	end = memmem(bytes.p + from, bytes.n - from, "\r\n\r\n", 4);
	if (end == NULL) {
		*scanned = bytes.n;
		return bytes.n > limit ? broken(FRAME_HEADER_SIZE, fault)
		                       : FRAME_MORE;
	}
	head = (size_t)(end - bytes.p) + 4;
	*scanned = (size_t)(end - bytes.p); /* found again at no cost */
	if (head > limit)
		return broken(FRAME_HEADER_SIZE, fault);
	if (!find_length((struct str){ bytes.p, head }, &value, &count))
		return broken(FRAME_NO_LENGTH, fault);
	if (count > 1 || !str_u32(value, &body))
		return broken(FRAME_BAD_LENGTH, fault);
	if (body > limit - head)
		return broken(FRAME_BODY_SIZE, fault);
	if (bytes.n < head + body)
		return FRAME_MORE;
	*size = head + body;
	return FRAME_MESSAGE;
}
