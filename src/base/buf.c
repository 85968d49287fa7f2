/* Bounded writing and bounded growing. */
#include "config.h"

#include "bindery/buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "bindery/alloc.h"

void
out_u64(struct out *out, uint64_t number)
{
	size_t n = 1;
	char *at;

	for (uint64_t left = number; left >= 10; left /= 10)
		n++;
	if (out->full || (size_t)(out->end - out->at) < n) {
		out->full = true;
		return;
	}
	out->at += n;
	at = out->at;
	do {
		*--at = (char)('0' + number % 10);
		number /= 10;
	} while (number > 0);
}

void
out_hex(struct out *out, uint64_t number, unsigned digits)
{
	char text[16];

	if (digits > sizeof text)
		digits = sizeof text;
	for (unsigned i = digits; i-- > 0; number >>= 4)
		text[i] = "0123456789abcdef"[number & 15];
	out_bytes(out, text, digits);
}

void
out_quoted(struct out *out, struct str text)
{
	out_char(out, '"');
	for (size_t i = 0; i < text.n; i++) {
		if (text.p[i] == '"' || text.p[i] == '\\')
			out_char(out, '\\');
		out_char(out, text.p[i]);
	}
	out_char(out, '"');
}

void
out_format(struct out *out, const char *format, ...)
{
	size_t room = (size_t)(out->end - out->at);
	va_list arguments;
	int n;

	if (out->full)
		return;
	va_start(arguments, format);
	n = vsnprintf(out->at, room, format, arguments);
	va_end(arguments);
	if (n < 0 || (size_t)n >= room)
		out->full = true;
	else
		out->at += n;
}

const char *
out_z(struct out *out)
{
	if (out->at == out->end) {
		out->at--;
		out->full = true;
	}
	*out->at = '\0';
	return out->start;
}

bool
buf_append(struct buf *buf, const void *bytes, size_t n, size_t ceiling)
{
	size_t held = buf_size(buf);

	if (n == 0)
		return true;
	if (n > ceiling || held > ceiling - n)
		return false;
	if (buf->room - buf->to < n) {
		if (buf->from > 0) {
			memmove(buf->p, buf->p + buf->from, held);
			buf->from = 0;
			buf->to = held;
		}
		if (buf->room - held < n) {
			size_t room = buf->room > 0 ? buf->room : 256;

			while (room - held < n)
				room *= 2;
			buf->p = xrealloc(buf->p, room);
			buf->room = room;
		}
	}
	memcpy(buf->p + buf->to, bytes, n);
	buf->to += n;
	return true;
}

void
buf_take(struct buf *buf, size_t n)
{
	if (n >= buf_size(buf))
		buf_free(buf);
	else
		buf->from += n;
}

void
buf_free(struct buf *buf)
{
	free(buf->p);
	*buf = (struct buf){ 0 };
}
