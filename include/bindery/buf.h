/*
 * Two ways to collect bytes: `struct out` writes into memory of a fixed size
 * and remembers if it was too small; `struct buf` grows, up to a ceiling.
 */
#ifndef BINDERY_BUF_H
#define BINDERY_BUF_H

#include "bindery/str.h"

/*
 * Writes text into `size` bytes that the caller owns. After the first piece
 * that does not fit nothing is written any more and `full` stays true, so a
 * caller checks once, at the end.
 */
struct out {
	char *start, *at, *end;
	bool full;
};

static inline struct out
out_to(void *memory, size_t size)
{
	char *start = memory;

	return (struct out){ start, start, start + size, false };
}

static inline size_t
out_size(const struct out *out)
{
	return (size_t)(out->at - out->start);
}

static inline struct str
out_str(const struct out *out)
{
	return (struct str){ out->start, out_size(out) };
}

static inline void
out_bytes(struct out *out, const void *bytes, size_t n)
{
	if (out->full || (size_t)(out->end - out->at) < n) {
		out->full = true;
		return;
	}
	if (n > 0)
		memcpy(out->at, bytes, n);
	out->at += n;
}

static inline void
out_add(struct out *out, struct str text)
{
	out_bytes(out, text.p, text.n);
}

#define out_lit(out, literal) out_bytes(out, "" literal, sizeof(literal) - 1)

static inline void
out_char(struct out *out, char c)
{
	out_bytes(out, &c, 1);
}

void out_u64(struct out *out, uint64_t number);
/* Exactly `digits` lower-case hexadecimal digits. */
void out_hex(struct out *out, uint64_t number, unsigned digits);
/* In double quotes, with \ before " and \ (RFC 3261 25.1 quoted-string). */
void out_quoted(struct out *out, struct str text);
void out_format(struct out *out, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* Terminates the text, cutting it if need be, and returns it. For people. */
const char *out_z(struct out *out);

/* A byte queue: append at the end, take from the front. {0} is an empty one. */
struct buf {
	char *p;
	size_t from, to, room;
};

static inline size_t
buf_size(const struct buf *buf)
{
	return buf->to - buf->from;
}

static inline char *
buf_data(const struct buf *buf)
{
	return buf->p + buf->from;
}

/*
 * Appends, but never beyond `ceiling` bytes held: then false, and nothing was
 * appended.
 */
bool buf_append(struct buf *buf, const void *bytes, size_t n, size_t ceiling);
/* Drops n bytes from the front; the memory goes when nothing is left. */
void buf_take(struct buf *buf, size_t n);
void buf_free(struct buf *buf);

#endif
