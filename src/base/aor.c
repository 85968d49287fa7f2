/* The canonical form of an address of record. */
#include "config.h"

#include "bindery/aor.h"

void
aor_write(struct out *out, struct str user, struct str domain)
{
	for (size_t i = 0; i < user.n; i++) {
		int c = (unsigned char)user.p[i];

		if (c == '%' && i + 2 < user.n && hex_digit(user.p[i + 1]) >= 0 &&
		    hex_digit(user.p[i + 2]) >= 0) {
			c = hex_digit(user.p[i + 1]) << 4 | hex_digit(user.p[i + 2]);
			i += 2;
			/* what would not be text any more stays escaped */
			if (c <= ' ' || c >= 0x7f || c == '%') {
				static const char digits[] = "0123456789ABCDEF";

				out_char(out, '%');
				out_char(out, digits[c >> 4 & 15]);
				out_char(out, digits[c & 15]);
				continue;
			}
		}
		out_char(out, (char)c);
	}
	out_char(out, '@');
	out_add(out, domain);
}
