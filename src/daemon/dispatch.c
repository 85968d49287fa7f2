/* Which service gets a message, and the answers that need no service. */
#include "config.h"

#include "worker.h"

#include "bindery/count.h"

enum { URI_MAX = 2048 };

#define ALLOW "Allow: REGISTER, OPTIONS, CANCEL, ACK\r\n"
#define ACCEPT "Accept: application/sdp\r\n"

struct answer {
	unsigned status;
	const char *reason; /* NULL: the status's own */
	struct str headers; /* whole lines */
	const struct tx_match *match; /* of what it is one more answer to */
};

/* A stateless answer (RFC 3261 8.2.7): the same when it is asked for again. */
static void
answer(struct worker *worker, const struct sip_message *m,
    const struct hop *hop, struct answer what)
{
	struct out out = out_to(worker->answer, sizeof worker->answer);
	struct hop back = *hop;
	char tag[SIP_TAG_SIZE];

	if (m->method == METHOD_ACK)
		return; /* never answered, 17.1.1.3 */
	if (what.status == 400)
		count(refused_bad_request);
	else if (what.status == 413 || what.status == 513)
		count(refused_too_large);
	if (what.match != NULL)
		tx_tag(what.match, tag);
	else
		sip_stateless_tag(m, &worker->daemon->key, tag);
	sip_begin_reply(&out, m, what.status,
	    what.reason != NULL ? what.reason : sip_reason(what.status),
	    (struct str){ tag, sizeof tag }, &hop->peer);
	out_add(&out, what.headers);
	sip_end(&out, STR_NONE);
	if (!back.transport->reliable)
		back.peer.port = sip_reply_port(m, &back.peer);
	count(answers);
	if (!out.full)
		net_send(worker->net, &back, out_str(&out));
}

#define ANSWER(worker, m, hop, status_, ...) \
	answer((worker), (m), (hop), \
	    (struct answer){ .status = (status_), __VA_ARGS__ })

/* ---- checks that every request passes (RFC 3261 8.2, 16.3) ---- */

/* A body must be of a kind that we know, or be marked as optional (8.2.3). */
static bool
body_is_fine(struct worker *worker, const struct sip_message *m,
    const struct hop *hop)
{
	const struct sip_line *encoding = sip_first(m, HEADER_CONTENT_ENCODING);
	const struct sip_line *type = sip_first(m, HEADER_CONTENT_TYPE);
	const struct sip_line *disposition =
	    sip_first(m, HEADER_CONTENT_DISPOSITION);
	struct str handling, rest, name;

	if (m->body.n == 0)
		return true;
	if (disposition != NULL) {
		rest = disposition->value;
		str_cut(&rest, ';');
		if (sip_param(rest, STR("handling"), &handling) &&
		    str_caseeq(handling, STR("optional")))
			return true;
	}
	if (encoding != NULL && encoding->value.n > 0 &&
	    !str_caseeq(encoding->value, STR("identity"))) {
		ANSWER(worker, m, hop, 415,
		    .headers = STR("Accept-Encoding: identity\r\n"));
		return false;
	}
	if (type == NULL) {
		ANSWER(worker, m, hop, 400, .reason = "Missing Content-Type");
		return false;
	}
	rest = type->value;
	name = str_trim(str_cut(&rest, ';'));
	if (str_caseeq(name, STR("application/sdp")))
		return true;
	ANSWER(worker, m, hop, 415, .headers = STR(ACCEPT));
	return false;
}

/* ---- methods ---- */

static void
on_register(struct worker *worker, const struct sip_message *m,
    const struct hop *hop, const struct tx_match *match)
{
	if (body_is_fine(worker, m, hop))
		registrar_receive(worker->registrar, m, hop, match,
		    loop_now(worker->loop));
}

static bool
options_are_known(struct worker *worker, const struct sip_message *m,
    const struct hop *hop)
{
	const struct sip_line *line = sip_first(m, HEADER_REQUIRE);
	char text[512];
	struct out out = out_to(text, sizeof text);

	for (; line != NULL; line = sip_next(m, line)) {
		struct str rest = line->value, option;

		while (sip_next_value(&rest, &option))
			if (option.n > 0 && !registrar_supports(option)) {
				out_add(&out, out_size(&out) > 0 ? STR(", ")
				                                 : STR("Unsupported: "));
				out_add(&out, option);
			}
	}
	if (out_size(&out) == 0)
		return true;
	out_lit(&out, "\r\n");
	ANSWER(worker, m, hop, 420, .headers = out_str(&out));
	return false;
}

/* To the server itself: no user in the Request-URI (RFC 3261 11.2). */
static void
on_options(struct worker *worker, const struct sip_message *m,
    const struct hop *hop, const struct tx_match *match)
{
	char text[256];
	struct out out = out_to(text, sizeof text);

	(void)match;
	if (m->to_tag.p != NULL) {
		ANSWER(worker, m, hop, 481, 0);
		return;
	}
	if (!options_are_known(worker, m, hop) || !body_is_fine(worker, m, hop))
		return;
	if (m->uri.user.p != NULL) {
		char lower[256];
		struct str host = m->uri.host;

		str_lower(lower, host);
		host.p = lower;
		ANSWER(worker, m, hop,
		    generation_domain(worker->generation, host) != NULL ? 404 : 403,
		    0);
		return;
	}
	out_lit(&out, ALLOW ACCEPT);
	out_add(&out, registrar_supported());
	ANSWER(worker, m, hop, 200, .headers = out_str(&out));
}

static void
on_cancel(struct worker *worker, const struct sip_message *m,
    const struct hop *hop, const struct tx_match *match)
{
	/* what we answer is answered at once: there is nothing left to cancel */
	if (tx_has_answered(worker->transactions, m, match))
		ANSWER(worker, m, hop, 200, .match = match);
	else
		ANSWER(worker, m, hop, 481, 0);
}

static void
on_other(struct worker *worker, const struct sip_message *m,
    const struct hop *hop, const struct tx_match *match)
{
	(void)match;
	if (m->method == METHOD_UNKNOWN)
		ANSWER(worker, m, hop, 501, .headers = STR(ALLOW));
	else if (m->to_tag.p != NULL)
		ANSWER(worker, m, hop, 481, 0); /* we are in no dialog */
	else
		ANSWER(worker, m, hop, 405, .headers = STR(ALLOW));
}

static const struct {
	enum sip_method method;
	void (*take)(struct worker *worker, const struct sip_message *m,
	    const struct hop *hop, const struct tx_match *match);
} services[] = {
	{ METHOD_REGISTER, on_register },
	{ METHOD_OPTIONS, on_options },
	{ METHOD_CANCEL, on_cancel },
};

static void
serve(struct worker *worker, const struct sip_message *m, const struct hop *hop,
    const struct tx_match *match)
{
	for (size_t i = 0; i < sizeof services / sizeof *services; i++)
		if (services[i].method == m->method) {
			services[i].take(worker, m, hop, match);
			return;
		}
	on_other(worker, m, hop, match);
}

/* ---- messages ---- */

static void
on_request(struct worker *worker, const struct sip_message *m,
    const struct hop *hop)
{
	struct tx_match match;
	enum tx_verdict verdict;

	count(requests);
	verdict = tx_receive_request(worker->transactions, m, &match);
	if (verdict == TX_ABSORBED)
		return;
	if (verdict == TX_STRAY_ACK) {
		count(dropped_acks);
	} else if (verdict == TX_MERGED) {
		count(refused_merged);
		ANSWER(worker, m, hop, 482, .reason = "Request Merged");
	} else if (m->uri_text.n > URI_MAX) {
		ANSWER(worker, m, hop, 414, 0);
	} else if (m->method != METHOD_UNKNOWN &&
	    m->uri.scheme == SCHEME_OTHER) {
		ANSWER(worker, m, hop, 416, 0);
	} else if (m->max_forwards == 0 && m->method != METHOD_OPTIONS) {
		ANSWER(worker, m, hop, 483, 0);
	} else {
		serve(worker, m, hop, &match);
	}
}

/* The source of a datagram can be forged: it is not named. */
static void
hit_message_size(struct worker *worker, const struct hop *hop)
{
	count(limit_message_size);
	if (hop->transport->reliable)
		net_tell_limit(worker->net, hop, "message_size",
		    COUNT_limit_message_size);
}

static void
on_fault(struct worker *worker, const struct sip_message *m,
    const struct hop *hop)
{
	if (!m->is_request || !m->answerable || m->method == METHOD_ACK)
		count(dropped_unanswerable);
	else
		answer(worker, m, hop,
		    (struct answer){ .status = m->fault.status,
		        .reason = m->fault.reason });
}

void
dispatch_message(void *context, const struct hop *hop, struct str bytes)
{
	struct worker *worker = context;
	size_t most = (size_t)worker->generation->conf.limits.message_size;
	bool too_large = bytes.n > most;
	struct sip_message *m = sip_parser_read(worker->parser,
	    (struct str){ bytes.p, too_large ? most : bytes.n });

	if (too_large) { /* what its beginning says is enough to refuse it */
		hit_message_size(worker, hop);
		m->fault.status = 513;
		strcpy(m->fault.reason, sip_reason(513));
	}
	if (m->fault.status != 0) {
		on_fault(worker, m, hop);
	} else if (m->is_request) {
		on_request(worker, m, hop);
	} else {
		count(responses);
		if (!tx_receive_response(worker->transactions, m))
			count(dropped_stray_responses);
	}
}

void
dispatch_broken(void *context, const struct hop *hop, struct str bytes,
    enum frame_fault why)
{
	static const struct {
		unsigned status;
		const char *reason;
	} answers[] = {
		[FRAME_NO_LENGTH] = { 400, "Missing Content-Length" },
		[FRAME_BAD_LENGTH] = { 400, "Bad Content-Length" },
		[FRAME_HEADER_SIZE] = { 513, "Message Too Large" },
		[FRAME_BODY_SIZE] = { 413, "Request Entity Too Large" },
		[FRAME_GARBAGE] = { 0, NULL },
	};
	struct worker *worker = context;
	struct sip_message *m;

	if (answers[why].status == 0) {
		count(dropped_junk);
		return;
	}
	if (answers[why].status != 400)
		hit_message_size(worker, hop);
	m = sip_parser_read(worker->parser, bytes);
	m->fault.status = answers[why].status;
	strcpy(m->fault.reason, answers[why].reason);
	on_fault(worker, m, hop);
}
