/* The table of transports. Nothing else tells one from another. */
#include "config.h"

#include "net_priv.h"

/* clang-format off */
static const struct transport transports[] = {
	{ "udp", { "UDP", 3 }, 5060, false, false, &udp_ops },
	{ "tcp", { "TCP", 3 }, 5060, true,  false, &tcp_ops },
	{ "tls", { "TLS", 3 }, 5061, true,  true,  &tls_ops },
};
/* clang-format on */

enum { TRANSPORTS = sizeof transports / sizeof *transports };

const struct transport *
transport_find(struct str name)
{
	for (size_t i = 0; i < TRANSPORTS; i++)
		if (str_caseeq(name, str_of(transports[i].name)))
			return &transports[i];
	return NULL;
}

const struct transport *
transport_at(size_t i)
{
	return i < TRANSPORTS ? &transports[i] : NULL;
}
