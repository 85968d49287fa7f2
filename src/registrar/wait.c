/*
 * Answers that wait until their change is on disk (durability "commit"). They
 * are whole already; the worker goes on, and a transaction absorbs what the
 * phone repeats meanwhile.
 */
#include "config.h"

#include "registrar_priv.h"

#include <stdlib.h>

#include "bindery/alloc.h"
#include "bindery/count.h"

struct waiting {
	struct waiting *next;
	int64_t since;
	journal_ticket ticket;
	tx_id transaction;
	size_t head, size;
	char answer[];
};

void
answer_wait(struct registration *r, struct str answer, journal_ticket ticket)
{
	struct registrar *registrar = r->registrar;
	struct hop back = *r->hop;
	struct waiting *w;
	tx_id transaction;

	if (!back.transport->reliable)
		back.peer.port = sip_reply_port(r->m, &back.peer);
	transaction = tx_server_new(registrar->tools.transactions, r->m, r->match,
	    &back, STR_NONE, NULL, NULL);
	if (transaction == TX_NONE)
		return; /* too many: the phone asks again */
	w = xmalloc(sizeof *w + answer.n);
	*w = (struct waiting){ .since = r->now, .ticket = ticket,
		.transaction = transaction, .head = r->head, .size = answer.n };
	memcpy(w->answer, answer.p, answer.n);
	*registrar->waiting_tail = w;
	registrar->waiting_tail = &w->next;
}

/* The same head with another status: the change did not reach the disk. */
static void
refuse(struct registrar *registrar, const struct waiting *w)
{
	struct out out = out_to(registrar->answer, sizeof registrar->answer);
	struct str head = { w->answer, w->head };

	str_cut(&head, '\n'); /* its status line */
	out_lit(&out, "SIP/2.0 503 Service Unavailable\r\n");
	out_add(&out, head);
	out_lit(&out, "Retry-After: ");
	out_u64(&out, 5 + w->ticket % 26);
	out_lit(&out, "\r\n");
	sip_end(&out, STR_NONE);
	tx_respond(registrar->tools.transactions, w->transaction, 503,
	    out_str(&out));
}

void
registrar_progress(struct registrar *registrar)
{
	journal_ticket durable = journal_durable(registrar->journal);
	bool failed = journal_has_failed(registrar->journal);
	struct waiting *w;

	while ((w = registrar->waiting) != NULL &&
	    (failed || w->ticket <= durable)) {
		registrar->waiting = w->next;
		if (w->next == NULL)
			registrar->waiting_tail = &registrar->waiting;
		count(answers);
		if (w->ticket > durable && registrar->conf->refuse_on_failure)
			refuse(registrar, w);
		else
			tx_respond(registrar->tools.transactions, w->transaction, 200,
			    (struct str){ w->answer, w->size });
		free(w);
	}
}

int64_t
registrar_waits_since(const struct registrar *registrar)
{
	return registrar->waiting != NULL ? registrar->waiting->since : 0;
}

void
waiting_free(struct registrar *registrar)
{
	while (registrar->waiting != NULL) {
		struct waiting *w = registrar->waiting;

		registrar->waiting = w->next;
		free(w);
	}
}
