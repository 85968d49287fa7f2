/*
 * Messages: the parser, everything that is read of one, and the answer, which
 * must be readable itself and belong to its request.
 */
#include "config.h"

#include <string.h>

#include "bindery/aor.h"
#include "bindery/sip.h"

#include "fuzz.h"

const char *const fuzz_seeds[] = { "fuzz/seeds/message", "torture", NULL };

static struct sip_parser *parser, *second;

static void
read_lists(const struct sip_message *m)
{
	static const enum sip_header addresses[] = { HEADER_PATH, HEADER_ROUTE,
		HEADER_RECORD_ROUTE, HEADER_CONTACT };

	for (size_t i = 0; i < sizeof addresses / sizeof *addresses; i++) {
		const struct sip_line *line = sip_first(m, addresses[i]);

		for (; line != NULL; line = sip_next(m, line)) {
			struct str rest = line->value, value, name, text;
			struct sip_address address;

			while (sip_next_value(&rest, &value)) {
				if (!sip_read_address(parser, value, &address))
					continue;
				while (sip_next_param(&address.params, &name, &text))
					fuzz_must(name.n > 0);
			}
		}
	}
	(void)sip_has_option(m, HEADER_REQUIRE, STR("path"));
	(void)sip_has_option(m, HEADER_SUPPORTED, STR("outbound"));
}

static void
read_contacts(const struct sip_message *m)
{
	static struct sip_contacts contacts;
	struct sip_fault why;
	uint32_t seconds;

	(void)sip_read_expires(m, &seconds);
	if (!sip_read_contacts(parser, m, &contacts, &why)) {
		fuzz_must(why.status == 400);
		return;
	}
	for (size_t i = 0; i < contacts.count; i++) {
		const struct sip_contact *c = &contacts.list[i];

		fuzz_must(c->q <= 1000);
		for (size_t j = 0; j < i; j++)
			fuzz_must(sip_uri_equal(&c->address.uri,
			              &contacts.list[j].address.uri) ==
			    sip_uri_equal(&contacts.list[j].address.uri,
			        &c->address.uri));
	}
}

static void
read_credentials(const struct sip_message *m)
{
	static const enum sip_header headers[] = { HEADER_AUTHORIZATION,
		HEADER_PROXY_AUTHORIZATION };

	for (size_t i = 0; i < sizeof headers / sizeof *headers; i++) {
		const struct sip_line *line = sip_first(m, headers[i]);
		struct sip_credentials c;

		for (; line != NULL; line = sip_next(m, line))
			if (sip_read_credentials(parser, line, &c))
				for (size_t j = 0; j < c.username.n; j++)
					(void)*(volatile const char *)&c.username.p[j];
	}
}

static void
write_aor(const struct sip_message *m)
{
	char text[AOR_MAX];
	struct out out = out_to(text, sizeof text);

	if (m->to.uri.scheme == SCHEME_OTHER)
		return;
	aor_write(&out, m->to.uri.user, STR("example.com"));
	for (size_t i = 0; i < out_size(&out); i++)
		fuzz_must((unsigned char)text[i] > ' ' &&
		    (unsigned char)text[i] < 0x7f);
}

static void
answer(const struct sip_message *m)
{
	static char text[200000];
	struct out out = out_to(text, sizeof text);
	const struct hash_key key = { 1, 2 };
	char tag[SIP_TAG_SIZE];
	struct addr peer;
	struct sip_message *a;

	addr_parse(STR("2001:db8::1"), 5070, &peer);
	sip_stateless_tag(m, &key, tag);
	sip_begin_reply(&out, m, m->fault.status != 0 ? m->fault.status : 200,
	    "Because", (struct str){ tag, sizeof tag }, &peer);
	sip_end(&out, STR_NONE);
	fuzz_must(!out.full);
	(void)sip_reply_port(m, &peer);
	if (m->fault.status != 0 || out_size(&out) > 65535)
		return;
	a = sip_parser_read(second, out_str(&out));
	/* what was added may be a line too long for its own parser */
	if (a->fault.status != 0)
		fprintf(stderr, "the answer: %s\n%.*s", a->fault.reason,
		    (int)out_size(&out), text);
	fuzz_must(a->fault.status == 0 && !a->is_request);
	fuzz_must(str_eq(a->via.branch, m->via.branch));
	fuzz_must(a->cseq == m->cseq && str_eq(a->call_id, m->call_id));
	fuzz_must(str_eq(a->from_tag, m->from_tag));
	fuzz_must(a->to_tag.p != NULL);
	out = out_to(text, sizeof text);
	sip_write_ack(&out, m, m);
}

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
	struct sip_message *m;

	if (parser == NULL) {
		sip_init();
		parser = sip_parser_new();
		second = sip_parser_new();
	}
	m = sip_parser_read(parser, (struct str){ (const char *)bytes, n });
	fuzz_must(m->line_count <= SIP_LINES_MAX);
	read_lists(m);
	read_contacts(m);
	read_credentials(m);
	if (m->fault.status == 0)
		write_aor(m);
	if (m->answerable && m->is_request)
		answer(m);
	return 0;
}
