/* Text that is lent: compare, cut, read numbers. */
#include "config.h"

#include "bindery/str.h"

static inline uint64_t
load(const char *from, size_t n)
{
	uint64_t word = 0;

	memcpy(&word, from, n);
	return word;
}

/* Byte for byte, by words that overlap at the end: short texts are the rule. */
static bool
is_same(const char *a, const char *b, size_t n)
{
	if (n < 4)
		return false; /* a loop is as quick */
	if (n < 8)
		return load(a, 4) == load(b, 4) &&
		    load(a + n - 4, 4) == load(b + n - 4, 4);
	for (size_t i = 0; i < n - 8; i += 8)
		if (load(a + i, 8) != load(b + i, 8))
			return false;
	return load(a + n - 8, 8) == load(b + n - 8, 8);
}

bool
str_casesame(const char *a, const char *b, size_t n)
{
	if (is_same(a, b, n))
		return true;
	for (size_t i = 0; i < n; i++)
		if (a[i] != b[i] && ascii_lower(a[i]) != ascii_lower(b[i]))
			return false;
	return true;
}

int
str_cmp(struct str a, struct str b)
{
	size_t common = a.n < b.n ? a.n : b.n;
	int order = common > 0 ? memcmp(a.p, b.p, common) : 0;

	return order != 0 ? order : (a.n > b.n) - (a.n < b.n);
}

struct str
str_cut(struct str *rest, char by)
{
	size_t at = str_find(*rest, by);
	struct str first = { rest->p, at };

	*rest = at < rest->n
	    ? (struct str){ rest->p + at + 1, rest->n - at - 1 }
	    : STR_NONE;
	return first;
}

bool
str_u64(struct str text, uint64_t *number)
{
	uint64_t value = 0;

	if (text.n == 0)
		return false;
	for (size_t i = 0; i < text.n; i++) {
		unsigned digit = (unsigned char)text.p[i] - '0';

		if (digit > 9 || value > (UINT64_MAX - digit) / 10)
			return false;
		value = value * 10 + digit;
	}
	*number = value;
	return true;
}

bool
str_u32(struct str text, uint32_t *number)
{
	uint64_t value;

	if (!str_u64(text, &value) || value > UINT32_MAX)
		return false;
	*number = (uint32_t)value;
	return true;
}

bool
str_hex32(struct str text, uint32_t *number)
{
	uint32_t value = 0;

	if (text.n == 0 || text.n > 8)
		return false;
	for (size_t i = 0; i < text.n; i++) {
		int digit = hex_digit(text.p[i]);

		if (digit < 0)
			return false;
		value = value << 4 | (uint32_t)digit;
	}
	*number = value;
	return true;
}

void
str_lower(char *to, struct str text)
{
	for (size_t i = 0; i < text.n; i++) {
		unsigned char c = (unsigned char)text.p[i];

		to[i] = (char)(c | (c - (unsigned)'A' < 26) << 5);
	}
}

bool
str_is_utf8(struct str text)
{
	const unsigned char *p = (const unsigned char *)text.p;
	const unsigned char *end = text.n > 0 ? p + text.n : p;

	while (p < end) {
		unsigned c = *p++;
		int more = c < 0x80 ? 0
		    : c >= 0xc2 && c <= 0xdf ? 1
		    : (c & 0xf0) == 0xe0 ? 2
		    : c >= 0xf0 && c <= 0xf4 ? 3
		    : -1;

		if (more < 0 || end - p < more)
			return false;
		/* overlong forms, surrogates, beyond U+10FFFF */
		if ((c == 0xe0 && p[0] < 0xa0) || (c == 0xed && p[0] > 0x9f) ||
		    (c == 0xf0 && p[0] < 0x90) || (c == 0xf4 && p[0] > 0x8f))
			return false;
		for (; more > 0; more--)
			if ((*p++ & 0xc0) != 0x80)
				return false;
	}
	return true;
}

void
hex_write(char *to, const void *bytes, size_t n)
{
	const unsigned char *from = bytes;

	for (size_t i = 0; i < n; i++) {
		/* both digits at once: 10 and more lie 39 further on in ASCII
		 */
		uint32_t pair = (uint32_t)from[i] >> 4 | (from[i] & 15u) << 8;
		uint32_t letters = ((pair + 0x0606) >> 4 & 0x0101) * 39;

		pair += 0x3030 + letters;
		to[2 * i] = (char)(pair & 0xff);
		to[2 * i + 1] = (char)(pair >> 8);
	}
}

bool
hex_read(void *to, size_t n, struct str digits)
{
	unsigned char *out = to;

	if (digits.n != 2 * n)
		return false;
	for (size_t i = 0; i < n; i++) {
		int high = hex_digit(digits.p[2 * i]);
		int low = hex_digit(digits.p[2 * i + 1]);

		if (high < 0 || low < 0)
			return false;
		out[i] = (unsigned char)(high << 4 | low);
	}
	return true;
}
