/* Escapes, widths, durations. */
#include "config.h"

#include "text.h"

#include <locale.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <wchar.h>

#include "bindery/alloc.h"
#include "bindery/clock.h"

static bool has_widths; /* the C library knows the widths of Unicode */

void
text_begin(void)
{
	/* what the server sends is UTF-8, whatever the user's locale */
	has_widths = setlocale(LC_CTYPE, "C.UTF-8") != NULL ||
	    setlocale(LC_CTYPE, "en_US.UTF-8") != NULL;
}

void
text_add(struct buf *to, struct str text)
{
	(void)buf_append(to, text.p, text.n, SIZE_MAX);
}

void
text_format(struct buf *to, const char *format, ...)
{
	va_list arguments;
	char *text;
	int n;

	va_start(arguments, format);
	n = vasprintf(&text, format, arguments);
	va_end(arguments);
	if (n < 0)
		return;
	text_add(to, (struct str){ text, (size_t)n });
	free(text);
}

/* ---- characters ---- */

/* Takes the first character; -1 for a byte that is not UTF-8. */
static int32_t
take_character(struct str *text)
{
	unsigned char first = (unsigned char)text->p[0];
	size_t n = first < 0x80 ? 1 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
	int32_t code;

	if (n > text->n || !str_is_utf8((struct str){ text->p, n }))
		n = 0;
	code = n == 0 ? -1 : n == 1 ? first : first & (0xff >> (n + 1));
	for (size_t i = 1; i < n; i++)
		code = code << 6 | (text->p[i] & 0x3f);
	*text = (struct str){ text->p + (n > 0 ? n : 1),
		text->n - (n > 0 ? n : 1) };
	return code;
}

/* Invisible, and some of it turns the direction of writing around. */
static bool
is_format(int32_t code)
{
	return code == 0xad || code == 0x61c || code == 0xfeff ||
	    (code >= 0x200b && code <= 0x200f) ||
	    (code >= 0x2028 && code <= 0x202e) ||
	    (code >= 0x2060 && code <= 0x206f);
}

/* Columns of a character, or -1 if it must not reach a terminal. */
static int
columns_of(int32_t code)
{
	if (code < ' ' || (code >= 0x7f && code < 0xa0) || is_format(code))
		return -1;
	if (code < 0x7f || !has_widths)
		return 1;
	return wcwidth((wchar_t)code);
}

void
text_escape(struct buf *to, struct str text, char also)
{
	while (text.n > 0) {
		struct str before = text;
		int32_t code = take_character(&text);
		size_t n = before.n - text.n;

		if (code == '\\' || (also != 0 && code == also))
			text_format(to, "\\%c", (char)code);
		else if (columns_of(code) >= 0)
			text_add(to, (struct str){ before.p, n });
		else if (n > 1)
			text_format(to, "\\u{%x}", (unsigned)code);
		else
			text_format(to, "\\x%02x", (unsigned char)before.p[0]);
	}
}

size_t
text_width(struct str text)
{
	size_t width = 0;

	while (text.n > 0) {
		int columns = columns_of(take_character(&text));

		width += columns > 0 ? (size_t)columns : 0;
	}
	return width;
}

size_t
text_fit(struct str text, size_t columns)
{
	struct str rest = text;

	while (rest.n > 0) {
		struct str before = rest;
		int width = columns_of(take_character(&rest));

		if (width > 0 && (size_t)width > columns)
			return text.n - before.n;
		columns -= width > 0 ? (size_t)width : 0;
	}
	return text.n;
}

/* ---- values ---- */

void
text_duration(struct buf *to, int64_t seconds)
{
	long long s = seconds;

	if (s < 0) {
		text_add(to, STR("-"));
		s = -s;
	}
	if (s < 60)
		text_format(to, "%llds", s);
	else if (s < 3600)
		text_format(to, "%lldm%llds", s / 60, s % 60);
	else if (s < 86400)
		text_format(to, "%lldh%lldm", s / 3600, s / 60 % 60);
	else
		text_format(to, "%lldd%lldh", s / 86400, s / 3600 % 24);
}

void
text_time(struct buf *to, int64_t seconds)
{
	char text[ISO_TIME_SIZE];

	clock_iso(seconds * 1000, text);
	text_format(to, "%.19sZ", text);
}

struct str
string_of(const json_t *value)
{
	if (!json_is_string(value))
		return STR_NONE;
	return (struct str){ json_string_value(value),
		json_string_length(value) };
}

static void
put_array(struct buf *to, const json_t *array)
{
	const json_t *value;
	size_t i;

	if (json_array_size(array) == 0)
		text_add(to, STR("-"));
	json_array_foreach(array, i, value) {
		if (i > 0)
			text_add(to, STR(" "));
		text_value(to, value);
	}
}

static void
put_object(struct buf *to, const json_t *object)
{
	char *text = json_dumps(object, JSON_COMPACT | JSON_REAL_PRECISION(15));

	text_escape(to, str_of(text), 0);
	free(text);
}

void
text_value(struct buf *to, const json_t *value)
{
	switch (value != NULL ? json_typeof(value) : JSON_NULL) {
	case JSON_STRING:
		if (json_string_length(value) == 0)
			text_add(to, STR("-"));
		text_escape(to, string_of(value), 0);
		break;
	case JSON_INTEGER:
		text_format(to, "%lld", (long long)json_integer_value(value));
		break;
	case JSON_REAL:
		text_format(to, "%.6g", json_real_value(value));
		break;
	case JSON_TRUE:
		text_add(to, STR("yes"));
		break;
	case JSON_FALSE:
		text_add(to, STR("no"));
		break;
	case JSON_NULL:
		text_add(to, STR("-"));
		break;
	case JSON_ARRAY:
		put_array(to, value);
		break;
	case JSON_OBJECT:
		put_object(to, value);
		break;
	}
}

void
print_json(const json_t *value, size_t flags)
{
	char *text = json_dumps(value,
	    flags | JSON_ENCODE_ANY | JSON_REAL_PRECISION(15));
	struct str rest = str_of(text);

	/* strings may hold what jansson leaves as it is and terminals obey */
	while (rest.n > 0) {
		struct str before = rest;
		int32_t code = take_character(&rest);

		if (code == 0x7f || (code >= 0x80 && code < 0xa0) ||
		    is_format(code))
			printf("\\u%04x", (unsigned)code);
		else
			fwrite(before.p, 1, before.n - rest.n, stdout);
	}
	putchar('\n');
	free(text);
}
