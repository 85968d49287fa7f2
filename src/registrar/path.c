/* Path (RFC 3327 5.3): stored with the binding, given back to who knows it. */
#include "config.h"

#include "registrar_priv.h"

#include <stdio.h>

void
path_check(struct registration *r)
{
	const struct sip_line *line = sip_first(r->m, HEADER_PATH);
	struct out out = out_to(r->path_text, sizeof r->path_text);

	for (; line != NULL; line = sip_next(r->m, line)) {
		struct str rest = line->value, value;

		while (sip_next_value(&rest, &value)) {
			struct sip_address address;

			if (!sip_read_address(r->registrar->tools.parser, value,
			        &address) ||
			    address.uri.scheme == SCHEME_OTHER) {
				r->fault.status = 400;
				snprintf(r->fault.reason, sizeof r->fault.reason,
				    "Bad Path");
				return;
			}
			if (out_size(&out) > 0)
				out_lit(&out, ", ");
			out_add(&out, value);
		}
	}
	r->path = out_str(&out);
	if (out.full) {
		r->fault.status = 513;
		snprintf(r->fault.reason, sizeof r->fault.reason, "Path Too Large");
	} else if (r->path.n > 0 &&
	    !sip_has_option(r->m, HEADER_SUPPORTED, STR("path"))) {
		/* a phone that would not know where its calls come from */
		r->fault.status = 420;
		snprintf(r->fault.reason, sizeof r->fault.reason, "%s",
		    sip_reason(420));
		r->unsupported = STR("path");
	}
}

void
path_answer(struct registration *r, struct out *out)
{
	if (r->path.n == 0)
		return;
	out_lit(out, "Path: ");
	out_add(out, r->path);
	out_lit(out, "\r\n");
}
