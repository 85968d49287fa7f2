/* Text that is lent: compare, cut, read numbers. */
#include "config.h"

#include "bindery/str.h"

bool
str_caseeq(struct str a, struct str b)
{
	if (a.n != b.n)
		return false;
	if (a.n == 0 || memcmp(a.p, b.p, a.n) == 0)
		return true;
	for (size_t i = 0; i < a.n; i++)
		if (ascii_lower(a.p[i]) != ascii_lower(b.p[i]))
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
	for (size_t i = 0; i < text.n; i++)
		to[i] = ascii_lower(text.p[i]);
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
	static const char digits[] = "0123456789abcdef";
	const unsigned char *from = bytes;

	for (size_t i = 0; i < n; i++) {
		*to++ = digits[from[i] >> 4];
		*to++ = digits[from[i] & 15];
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
