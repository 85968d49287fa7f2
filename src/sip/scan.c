/*
 * The guards before the parser: what stands here never reaches Sofia, which
 * would take quadratic time over it, overrun its stack or accept it silently.
 * On the way the lines are indexed, once.
 */
#include "config.h"

#include "sip_priv.h"

#include <stdarg.h>
#include <stdio.h>

void
sip_fail(struct sip_fault *fault, unsigned status, const char *format, ...)
{
	va_list arguments;

	if (fault->status != 0)
		return; /* the first one counts */
	fault->status = status;
	va_start(arguments, format);
	vsnprintf(fault->reason, sizeof fault->reason, format, arguments);
	va_end(arguments);
}

struct census {
	unsigned controls, commas, returns, feeds, high;
};

/* One pass over all bytes, plain enough for the compiler to vectorise. */
/* its resolver runs before ThreadSanitizer is ready for it */
#if defined __x86_64__ && defined __GNUC__ && !defined __clang__ && !defined __SANITIZE_THREAD__
__attribute__((optimize("O3"), target_clones("avx2", "default")))
#endif
static struct census
take_census(struct str text)
{
	struct census sum = { 0 };

	while (text.n > 0) {
		size_t n = text.n < 224 ? text.n : 224; /* whole vectors */
		uint8_t controls = 0, commas = 0, returns = 0, feeds = 0, high = 0;

		for (size_t i = 0; i < n; i++) {
			uint8_t c = (uint8_t)text.p[i];

			controls = (uint8_t)(controls + (c < 0x20) + (c == 0x7f) -
			    (c == '\t') - (c == '\r') - (c == '\n'));
			commas = (uint8_t)(commas + (c == ','));
			returns = (uint8_t)(returns + (c == '\r'));
			feeds = (uint8_t)(feeds + (c == '\n'));
			high |= c & 0x80;
		}
		sum.controls += controls;
		sum.commas += commas;
		sum.returns += returns;
		sum.feeds += feeds;
		sum.high |= high;
		text = str_from(text, n);
	}
	return sum;
}

/* Any octet may stand behind a backslash in a quoted string (25.1 quoted-pair). */
static bool
controls_are_quoted(struct str text)
{
	for (size_t i = 0; i < text.n; i++) {
		unsigned char c = (unsigned char)text.p[i];

		if ((c < 0x20 || c == 0x7f) && c != '\t' && c != '\r' &&
		    c != '\n' && (i == 0 || text.p[i - 1] != '\\'))
			return false;
	}
	return true;
}

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t';
}

/* "Name :value" of a line whose raw text, with the CRLF, is known. */
static bool
split_line(struct sip_line *line)
{
	const char *p = line->raw.p, *end = p + line->raw.n - 2;

	while ((sip_chars[(unsigned char)*p] & CHAR_TOKEN) != 0)
		p++; /* the CRLF ends this */
	line->name = (struct str){ line->raw.p, (size_t)(p - line->raw.p) };
	while (is_blank(*p))
		p++;
	if (*p != ':' || line->name.n == 0)
		return false;
	for (p++; p < end && is_blank(*p);)
		p++;
	while (end > p && is_blank(end[-1]))
		end--;
	line->value = (struct str){ p, (size_t)(end - p) };
	if (line->value.n > 0 && *p == '\r') /* a fold at once */
		line->value = str_trim(line->value);
	if (line->value.p == NULL)
		line->value = STR("");
	line->header = sip_header_of(line->name);
	return true;
}

static bool
index_line(struct sip_message *m, const char *start, const char *end)
{
	struct sip_line *line;

	if (*start == ' ' || *start == '\t') { /* a fold: part of the one before */
		if (m->line_count == 0) {
			sip_fail(&m->fault, 400, "Bad Start Line");
			return false;
		}
		line = &m->lines[m->line_count - 1];
		line->raw.n = (size_t)(end - line->raw.p);
		return split_line(line);
	}
	line = &m->lines[m->line_count];
	*line = (struct sip_line){ .raw = { start, (size_t)(end - start) } };
	if (!split_line(line)) {
		sip_fail(&m->fault, 400, "Bad Header Line");
		return true; /* go on: Via may be good enough to answer */
	}
	if (m->first[line->header] == 0)
		m->first[line->header] = (uint8_t)(m->line_count + 1);
	else if (sip_header_is_single(line->header))
		sip_fail(&m->fault, 400, "Duplicate %s",
		    sip_long_name(line->header));
	m->line_count++;
	return true;
}

static void
check_census(struct sip_message *m, struct str header)
{
	struct census census = take_census(header);

	if (census.controls > 0 && !controls_are_quoted(header))
		sip_fail(&m->fault, 400, "Bad Control Character");
	if (census.high != 0 && !str_is_utf8(header))
		sip_fail(&m->fault, 400, "Bad UTF-8");
	if (census.commas > SIP_COMMAS_MAX)
		sip_fail(&m->fault, 400, "Too Many Commas");
	if (census.returns != census.feeds)
		sip_fail(&m->fault, 400, "Bare CR or LF");
}

void
sip_scan(struct sip_message *m, struct str bytes)
{
	const char *at = bytes.p, *end = bytes.p + bytes.n;
	size_t lines = 0;
	bool ended = false;

	m->bytes = bytes;
	m->line_count = 0;
	memset(m->first, 0, sizeof m->first);
	for (; at < end && !ended; lines++) {
		const char *feed = memchr(at, '\n', (size_t)(end - at));

		if (feed == NULL)
			break; /* an unfinished line: the missing end is told */
		ended = feed - at == 1 && *at == '\r';
		if (feed == at || feed[-1] != '\r')
			sip_fail(&m->fault, 400, "Bare CR or LF");
		else if (ended)
			; /* the empty line is no header line */
		else if (lines == 0)
			m->start = (struct str){ at, (size_t)(feed - 1 - at) };
		else if (lines > SIP_LINES_MAX) {
			sip_fail(&m->fault, 400, "Too Many Header Lines");
			break;
		} else if (!index_line(m, at, feed + 1))
			break;
		at = feed + 1;
	}
	m->body = (struct str){ at, (size_t)(end - at) };
	check_census(m, (struct str){ bytes.p, (size_t)(at - bytes.p) });
	if (!ended)
		sip_fail(&m->fault, 400, "Missing Empty Line");
}
