/*
 * GRUUs (RFC 5627). A public one names AOR and instance. A temporary one is a
 * sealed note of which AOR, which epoch of the instance, and a number that
 * makes each different: nothing needs to be remembered to honour it.
 */
#include "config.h"

#include "registrar_priv.h"

#include <stdio.h>
#include <stdlib.h>

#include "bindery/alloc.h"
#include "bindery/rand.h"

enum { NOTE = 16, CODE = 8 };

struct gruu_maker {
	struct mac *mac;
	struct hash_key pad; /* hides the note's fields */
	uint32_t number;
};

struct gruu_maker *
gruu_maker_new(void)
{
	struct gruu_maker *maker = xcalloc(1, sizeof *maker);

	maker->mac = mac_new();
	random_bytes(&maker->pad, sizeof maker->pad);
	random_bytes(&maker->number, sizeof maker->number);
	return maker;
}

void
gruu_maker_free(struct gruu_maker *maker)
{
	if (maker == NULL)
		return;
	mac_free(maker->mac);
	free(maker);
}

void
gruu_check_contacts(struct registration *r,
    const struct sip_contacts *contacts)
{
	r->wants_gruu = r->registrar->conf->gruu &&
	    sip_has_option(r->m, HEADER_SUPPORTED, STR("gruu"));
	if (!r->wants_gruu)
		return;
	/* 5.1: a contact must lead somewhere else than to where it is kept */
	for (size_t i = 0; i < contacts->count; i++) {
		const struct sip_contact *c = &contacts->list[i];
		struct str text;

		if (c->instance.n == 0)
			continue;
		if (sip_uri_equal(&c->address.uri, &r->m->to.uri) ||
		    (sip_param(c->address.uri.params, STR("gr"), &text) &&
		        r->registrar->tools.domain_of(
		            r->registrar->tools.context, c->address.uri.host) ==
		            r->domain)) {
			r->fault.status = 403;
			snprintf(r->fault.reason, sizeof r->fault.reason,
			    "Contact Is the AOR or a GRUU");
			return;
		}
	}
}

/* What may stand in a URI parameter stays, the rest is escaped. */
static void
put_escaped(struct out *out, struct str text)
{
	for (size_t i = 0; i < text.n; i++) {
		unsigned char c = (unsigned char)text.p[i];

		if ((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
		    (c >= 'A' && c <= 'Z') || strchr("-_.!~*'()[]/:&+$", c)) {
			out_char(out, (char)c);
		} else {
			out_char(out, '%');
			out_hex(out, c, 2);
		}
	}
}

/* The sealed note: what it says is hidden under a pad drawn from its code. */
static void
put_note(struct gruu_maker *maker, struct out *out, uint64_t aor,
    uint32_t epoch)
{
	unsigned char note[NOTE], code[MAC_SIZE];
	struct hash128 pad;

	maker->number++;
	memcpy(note, &aor, 8);
	memcpy(note + 8, &epoch, 4);
	memcpy(note + 12, &maker->number, 4);
	mac_sign(maker->mac, (struct str){ (char *)note, NOTE }, code);
	pad = hash128(&maker->pad, code, CODE);
	for (int i = 0; i < NOTE; i++)
		note[i] ^= ((unsigned char *)&pad)[i];
	for (int i = 0; i < CODE; i++)
		out_hex(out, code[i], 2);
	for (int i = 0; i < NOTE; i++)
		out_hex(out, note[i], 2);
}

void
gruu_put(struct registration *r, struct out *out,
    const struct binding *binding)
{
	struct str instance = binding_text(binding, BINDING_INSTANCE);
	const char *scheme = r->m->to.uri.scheme == SCHEME_SIPS ? "sips" : "sip";
	struct str domain = str_from(r->aor, str_find(r->aor, '@') + 1);

	if (!r->wants_gruu || instance.n == 0)
		return;
	if (instance.p[0] == '<' && instance.p[instance.n - 1] == '>')
		instance = (struct str){ instance.p + 1, instance.n - 2 };
	out_lit(out, ";pub-gruu=\"");
	out_add(out, str_of(scheme));
	out_char(out, ':');
	out_add(out, r->aor);
	out_lit(out, ";gr=");
	put_escaped(out, instance);
	out_lit(out, "\";temp-gruu=\"");
	out_add(out, str_of(scheme));
	out_lit(out, ":tgruu.");
	put_note(r->registrar->gruus, out,
	    location_hash(r->registrar->tools.location, r->aor),
	    binding->gruu_epoch);
	out_char(out, '@');
	out_add(out, domain);
	out_lit(out, ";gr\"");
}
