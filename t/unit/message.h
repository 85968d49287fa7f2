/* A REGISTER as text, to be changed line by line. */
#ifndef BINDERY_UNIT_MESSAGE_H
#define BINDERY_UNIT_MESSAGE_H

#include "unit.h"

#include "bindery/sip.h"

enum { MESSAGE_SIZE = 70000 };

static const char *const register_lines[] = {
	"REGISTER sip:example.com SIP/2.0\r\n",
	"Via: SIP/2.0/UDP 192.0.2.1:5062;branch=z9hG4bKbase;rport\r\n",
	"From: \"Alice\" <sip:alice@example.com>;tag=f1\r\n",
	"To: <sip:alice@example.com>\r\n",
	"Call-ID: c1@192.0.2.1\r\n",
	"CSeq: 7 REGISTER\r\n",
	"Max-Forwards: 70\r\n",
	"Contact: <sip:alice@192.0.2.1:5062>\r\n",
	"Content-Length: 0\r\n",
	NULL
};

/*
 * Writes that request to `text`, with the line that begins as `start` does
 * ("Via:") replaced by `line`, or left out if that is NULL; where there is no
 * such line, `line` stands at the end.
 */
static inline struct str
register_with(char text[MESSAGE_SIZE], const char *start, const char *line)
{
	size_t n = 0;
	bool done = start == NULL;

	for (const char *const *l = register_lines; *l != NULL; l++) {
		const char *from = *l;

		if (!done && strncmp(*l, start, strlen(start)) == 0) {
			done = true;
			from = line != NULL ? line : "";
		}
		n += (size_t)snprintf(text + n, MESSAGE_SIZE - n, "%s", from);
	}
	n += (size_t)snprintf(text + n, MESSAGE_SIZE - n, "%s\r\n",
	    !done && line != NULL ? line : "");
	return (struct str){ text, n };
}

/* A parser and memory for one message. */
struct parsing {
	struct sip_parser *parser;
	struct sip_message *m;
	char text[MESSAGE_SIZE];
};

static inline int
set_up_parsing(void **state)
{
	struct parsing *p = calloc(1, sizeof *p);

	sip_init();
	p->parser = sip_parser_new();
	*state = p;
	return 0;
}

static inline int
tear_down_parsing(void **state)
{
	struct parsing *p = *state;

	sip_parser_free(p->parser);
	free(p);
	return 0;
}

/* Reads the request with one line changed. */
static inline struct sip_message *
parse_with(struct parsing *p, const char *start, const char *line)
{
	p->m = sip_parser_read(p->parser, register_with(p->text, start, line));
	return p->m;
}

/*
 * Reads bytes from memory of just their size, so that a sanitizer sees each
 * look beyond them. They live until the next call.
 */
static inline struct sip_message *
parse_bytes(struct parsing *p, const void *bytes, size_t n)
{
	static char *exact;

	if (n > MESSAGE_SIZE)
		abort();
	free(exact);
	exact = malloc(n > 0 ? n : 1);
	if (n > 0)
		memcpy(exact, bytes, n);
	p->m = sip_parser_read(p->parser, (struct str){ exact, n });
	return p->m;
}

#define PARSING_TEST(name) \
	cmocka_unit_test_setup_teardown(name, set_up_parsing, tear_down_parsing)

#endif
