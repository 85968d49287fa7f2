/*
 * The way that a message came by: words of the network that rooms keep which
 * know nothing else of it.
 */
#ifndef BINDERY_HOP_H
#define BINDERY_HOP_H

#include "bindery/addr.h"
#include "bindery/slots.h"

/* A row of the table of transports; all that differs between them is here. */
struct transport {
	const char *name;  /* in configuration and URIs: "udp" */
	struct str via;    /* in Via: "UDP" */
	uint16_t port;     /* default port */
	bool reliable;     /* RFC 3261 17: no retransmissions, timers are 0 */
	bool secure;
	const struct transport_ops *ops; /* net's own */
};

/*
 * Names a connection, or a worker's UDP socket: worker, slot, generation. It
 * may be kept for any time: when the connection is gone it names nothing.
 */
typedef slot_id flow_id;
enum { FLOW_NONE = SLOT_NONE };

/* The way that a message came by, and that its answer takes. */
struct hop {
	const struct transport *transport;
	flow_id flow;
	struct addr peer;  /* who sent it */
	struct addr local; /* where it arrived */
};

#endif
