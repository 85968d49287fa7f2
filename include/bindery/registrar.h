/*
 * The registrar: REGISTER requests, RFC 3261 section 10.3, with Path (RFC
 * 3327), Outbound (RFC 5626), GRUU (RFC 5627) and Service-Route (RFC 3608).
 * One a worker; the location table and the nonces are shared.
 */
#ifndef BINDERY_REGISTRAR_H
#define BINDERY_REGISTRAR_H

#include "bindery/auth.h"
#include "bindery/journal.h"
#include "bindery/location.h"
#include "bindery/net.h"
#include "bindery/transaction.h"

/* Policy; plain data of the configuration. Times in seconds. */
struct registrar_conf {
	int64_t min_expires, default_expires, max_expires, max_contacts;
	int64_t flow_timer; /* RFC 5626 4.4.1; 0: not sent */
	int64_t expires_spread; /* percent by which a grant may be shorter */
	bool gruu;
	bool refuse_on_failure; /* 503 while the journal cannot write */
};

/* A domain that is served; lives as long as its configuration. */
struct registrar_domain {
	struct str name; /* "*" takes what no other takes */
	struct str realm; /* p NULL for "*": the name that was asked for */
	struct auth_realm auth; /* with `realm` filled in by the registrar */
	struct directory *directory;
	struct str service_route; /* whole header lines, or empty */
};
/* The domain that a host name or address literal belongs to, or NULL. */
typedef const struct registrar_domain *(*registrar_domain_fn)(void *context,
    struct str host);

/* ---- the update of an AOR, pure ---- */

struct apply_policy {
	uint32_t min_expires, default_expires, max_expires, max_contacts;
	uint32_t spread; /* percent by which a grant may be shorter */
	uint32_t chance; /* any number; decides how much */
};

struct apply_request {
	const struct sip_contacts *contacts;
	bool has_expires; /* the header */
	uint32_t expires;
	struct str call_id;
	uint32_t cseq;
	bool ignore_reg_ids; /* RFC 5626 section 6 */
	int64_t now;
};

enum apply_action { APPLY_PUT, APPLY_DROP };
struct apply_step {
	enum apply_action action;
	struct binding *old; /* NULL: a new one */
	size_t contact;      /* of the request, for APPLY_PUT */
	uint32_t expires;    /* granted */
	bool evicted;        /* APPLY_DROP: it gave way to another */
};
enum { APPLY_STEPS_MAX = 2 * SIP_CONTACTS_MAX + 1024 };
struct apply_plan {
	struct sip_fault fault; /* status 0: go ahead */
	size_t count;
	struct apply_step steps[APPLY_STEPS_MAX];
};

/*
 * What a REGISTER does to the bindings that there are: all of it or, with a
 * fault (400, 403, 423, 500), nothing. `reachable` tells whose flow lives.
 * The parser is for comparing URIs; the plan refers to bindings and contacts
 * by address and index.
 */
void registrar_apply(struct sip_parser *parser, const struct binding *first,
    const struct apply_request *request, const struct apply_policy *policy,
    bool (*reachable)(void *context, const struct binding *binding),
    void *context, struct apply_plan *plan);

/* ---- the service ---- */

enum registrar_event {
	REGISTRAR_REGISTERED, REGISTRAR_REFRESHED, REGISTRAR_UNREGISTERED,
	REGISTRAR_EXPIRED, REGISTRAR_AUTH_FAILED
};

struct registrar_news {
	enum registrar_event event;
	struct str aor;
	struct str uri;    /* of the contact; or empty */
	struct str reason; /* of a failure; or empty */
	const struct hop *hop;
	uint32_t expires;  /* seconds left */
};

/* What the registrar needs from its worker. */
struct registrar_tools {
	void *context;
	struct net *net;
	struct sip_parser *parser;
	struct tx_table *transactions;
	struct auth *auth;
	struct location *location;
	registrar_domain_fn domain_of;
	/* True while this way in is overloaded: newcomers are to come later. */
	bool (*is_late)(void *context, const struct hop *hop);
	/* Told while an AOR may be held: post, do not wait. */
	void (*news)(void *context, const struct registrar_news *news);
};

struct registrar;
/* `tools` are copied. */
struct registrar *registrar_new(const struct registrar_tools *tools);
void registrar_free(struct registrar *registrar);
/* Policy from now on; lent until the next call. */
void registrar_configure(struct registrar *registrar,
    const struct registrar_conf *conf);

/* Answers wait for this journal from now on, if it wants them to. */
void registrar_use_journal(struct registrar *registrar,
    struct journal *journal);

/* A REGISTER that no transaction knows. */
void registrar_receive(struct registrar *registrar,
    const struct sip_message *m, const struct hop *hop,
    const struct tx_match *match, int64_t now);

/* The journal has got on: answers that waited for it leave. */
void registrar_progress(struct registrar *registrar);
/* Since when the oldest of these waits, by clock_mono_ms(); 0: none does. */
int64_t registrar_waits_since(const struct registrar *registrar);

/* "registered" and the other names of events. */
const char *registrar_event_name(enum registrar_event event);
/* The option tags that a REGISTER may require, as a Supported header line. */
struct str registrar_supported(void);
bool registrar_supports(struct str option);

#endif
