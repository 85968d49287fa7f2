/* The table of extensions: what REGISTER may require, and what each adds. */
#include "config.h"

#include "registrar_priv.h"

/* clang-format off */
const struct extension extensions[] = {
	{ { "path",     4 }, path_check, NULL,                    path_answer },
	{ { "outbound", 8 }, NULL,       outbound_check_contacts, outbound_answer },
	{ { "gruu",     4 }, NULL,       gruu_check_contacts,     NULL },
};
/* clang-format on */
const size_t extension_count = sizeof extensions / sizeof *extensions;

struct str
registrar_supported(void)
{
	return STR("Supported: path, outbound, gruu\r\n");
}

bool
registrar_supports(struct str option)
{
	for (size_t i = 0; i < extension_count; i++)
		if (str_caseeq(option, extensions[i].tag))
			return true;
	return false;
}

void
extensions_check(struct registration *r)
{
	for (size_t i = 0; i < extension_count && r->fault.status == 0; i++)
		if (extensions[i].check != NULL)
			extensions[i].check(r);
}

void
extensions_check_contacts(struct registration *r,
    const struct sip_contacts *contacts)
{
	for (size_t i = 0; i < extension_count && r->fault.status == 0; i++)
		if (extensions[i].check_contacts != NULL)
			extensions[i].check_contacts(r, contacts);
}

void
extensions_answer(struct registration *r, struct out *out)
{
	for (size_t i = 0; i < extension_count; i++)
		if (extensions[i].answer != NULL)
			extensions[i].answer(r, out);
}
