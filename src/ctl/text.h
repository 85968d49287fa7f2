/* Text for people: escaped, measured in columns, numbers made readable. */
#ifndef BINDERY_CTL_TEXT_H
#define BINDERY_CTL_TEXT_H

#include <jansson.h>

#include "bindery/buf.h"

/* Once, before the others. */
void text_begin(void);

static inline struct str
text_of(const struct buf *buf)
{
	return (struct str){ buf->p != NULL ? buf_data(buf) : "",
		buf_size(buf) };
}

void text_add(struct buf *to, struct str text);
void text_format(struct buf *to, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/*
 * Adds the text with everything in it that could do something to a terminal
 * written as \x1b or \u{9b}; so is `also`, unless it is 0, as \" for example.
 */
void text_escape(struct buf *to, struct str text, char also);

/* How many columns of a terminal an escaped text takes. */
size_t text_width(struct str text);
/* How many bytes of it fit into so many columns. */
size_t text_fit(struct str text, size_t columns);

/* "58s", "9m58s", "2h5m", "3d4h". */
void text_duration(struct buf *to, int64_t seconds);
/* "2026-11-23T14:00:00Z" of seconds since 1970. */
void text_time(struct buf *to, int64_t seconds);
/* Any value on one line, escaped: "-" for none, lists joined by blanks. */
void text_value(struct buf *to, const json_t *value);

/* The text of a JSON string; none for anything else. */
struct str string_of(const json_t *value);
/* JSON on standard output, and a newline. `flags` as for json_dumps(). */
void print_json(const json_t *value, size_t flags);

#endif
