/*
 * A piece of somebody else's text: pointer and length, never owned, rarely
 * terminated. What is read from a message is handed around in this form.
 */
#ifndef BINDERY_STR_H
#define BINDERY_STR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct str {
	const char *p; /* NULL means that there is none; then n is 0 */
	size_t n;
};

#define STR(literal) ((struct str){ "" literal, sizeof(literal) - 1 })
#define STR_NONE ((struct str){ NULL, 0 })
/* For printf's "%.*s". */
#define STR_ARG(s) (int)(s).n, (s).p != NULL ? (s).p : ""

static inline struct str
str_of(const char *text)
{
	return text != NULL ? (struct str){ text, strlen(text) } : STR_NONE;
}

static inline bool
str_eq(struct str a, struct str b)
{
	return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

/* As str_caseeq(), for texts of one length. */
bool str_casesame(const char *a, const char *b, size_t n);
/* Equal but for the case of ASCII letters, whatever the locale. */
static inline bool
str_caseeq(struct str a, struct str b)
{
	return a.n == b.n && str_casesame(a.p, b.p, a.n);
}
/* Order as by memcmp, the shorter first. */
int str_cmp(struct str a, struct str b);
static inline bool
str_starts(struct str text, struct str start)
{
	return text.n >= start.n && memcmp(text.p, start.p, start.n) == 0;
}

static inline bool
str_is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* Without blanks, tabs, CR and LF at either end. */
static inline struct str
str_trim(struct str text)
{
	while (text.n > 0 && str_is_blank(text.p[0])) {
		text.p++;
		text.n--;
	}
	while (text.n > 0 && str_is_blank(text.p[text.n - 1]))
		text.n--;
	return text;
}

/* From byte `at` on; none of it when `at` is behind the end. */
static inline struct str
str_from(struct str text, size_t at)
{
	if (at >= text.n)
		return STR_NONE;
	return (struct str){ text.p + at, text.n - at };
}

/* Position of `c`, or the length where there is none. */
static inline size_t
str_find(struct str text, char c)
{
	const char *found =
	    text.n > 0 ? (const char *)memchr(text.p, c, text.n) : NULL;

	return found != NULL ? (size_t)(found - text.p) : text.n;
}

/*
 * Cuts *rest at the first `by`: gives what stands before it and leaves in
 * *rest what stands behind it, or none when there was no `by`.
 */
struct str str_cut(struct str *rest, char by);
/* All of the text as a decimal number; false if it is none or too large. */
bool str_u32(struct str text, uint32_t *number);
bool str_u64(struct str text, uint64_t *number);
/* All of the text as 1 to 8 hexadecimal digits. */
bool str_hex32(struct str text, uint32_t *number);
/* Writes lower-case letters for upper-case ones, at most text.n bytes. */
void str_lower(char *to, struct str text);
/* True for well-formed UTF-8 (RFC 3629); ASCII is. */
bool str_is_utf8(struct str text);

static inline char
ascii_lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
}

/* The value of a hexadecimal digit, or -1. */
static inline int
hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = ascii_lower(c);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Writes 2 * n lower-case digits, no NUL. */
void hex_write(char *to, const void *bytes, size_t n);
/* Reads exactly 2 * n digits; false if they are not. */
bool hex_read(void *to, size_t n, struct str digits);

#endif
