/* What the files of this room share. */
#ifndef BINDERY_REGISTRAR_PRIV_H
#define BINDERY_REGISTRAR_PRIV_H

#include "bindery/aor.h"
#include "bindery/registrar.h"

enum { ANSWER_SIZE = 196608, TEXTS_SIZE = 65536, AOR_TEXTS_MAX = 49152 };

struct registrar {
	struct registrar_tools tools;
	const struct registrar_conf *conf;
	struct journal *journal; /* NULL: none */
	struct waiting *waiting, **waiting_tail; /* for the journal, by ticket */
	struct gruu_maker *gruus;
	uint32_t last_epoch; /* begins anywhere: workers must not agree */
	int64_t date_at; /* the second that `date` is of */
	char date[32];
	struct sip_contacts contacts;
	struct apply_plan plan;
	char texts[TEXTS_SIZE]; /* of the bindings being made */
	char answer[ANSWER_SIZE];
};

/* One REGISTER on its way through the steps. */
struct registration {
	struct registrar *registrar;
	const struct sip_message *m;
	const struct hop *hop;
	const struct tx_match *match;
	int64_t now;
	const struct registrar_domain *domain;
	struct auth_realm realm;
	struct str host; /* of the Request-URI, lower case */
	const struct user *user;
	struct str aor;
	bool proven;        /* the password was right: answers get a transaction */
	bool stale;         /* for the challenge */
	bool wants_gruu;    /* Supported: gruu, and we do */
	bool has_outbound;  /* Supported: outbound */
	bool ignore_reg_ids;
	bool outbound_used; /* a binding was made by its reg-id */
	uint32_t min_expires; /* for a 423 */
	size_t head;          /* of an answer: up to its CSeq line */
	struct str unsupported; /* for a 420 */
	char host_text[256], aor_text[AOR_MAX], path_text[4096],
	    unsupported_text[512];
	struct str path;
	struct sip_fault fault;
};

/* An extension of the registrar; a row in extensions.c. */
struct extension {
	struct str tag; /* option tag */
	/* Before credentials are looked at; sets r->fault to refuse. */
	void (*check)(struct registration *r);
	/* After contacts were read. */
	void (*check_contacts)(struct registration *r,
	    const struct sip_contacts *contacts);
	/* Adds header lines to the 200. */
	void (*answer)(struct registration *r, struct out *out);
};
extern const struct extension extensions[];
extern const size_t extension_count;

/* extensions.c: all rows, one after the other. */
void extensions_check(struct registration *r);
void extensions_check_contacts(struct registration *r,
    const struct sip_contacts *contacts);
void extensions_answer(struct registration *r, struct out *out);

/* path.c, outbound.c, gruu.c */
void path_check(struct registration *r);
void path_answer(struct registration *r, struct out *out);
void outbound_check_contacts(struct registration *r,
    const struct sip_contacts *contacts);
void outbound_answer(struct registration *r, struct out *out);
void gruu_check_contacts(struct registration *r,
    const struct sip_contacts *contacts);

/* Public and temporary GRUUs (RFC 5627). */
struct gruu_maker *gruu_maker_new(void);
void gruu_maker_free(struct gruu_maker *maker);
/* Adds ;pub-gruu="..." and ;temp-gruu="..." to a Contact. */
void gruu_put(struct registration *r, struct out *out,
    const struct binding *binding);

/* answer.c */
void answer_fault(struct registration *r);
void answer_challenge(struct registration *r);
/* wait.c: the answer leaves when the journal is at `ticket`. */
void answer_wait(struct registration *r, struct str answer,
    journal_ticket ticket);
void waiting_free(struct registrar *registrar);

/* The 200 for an AOR that is held; sent by answer_send() after the release. */
struct str answer_write(struct registration *r,
    const struct location_hold *hold);
void answer_send(struct registration *r, unsigned status, struct str answer);

#endif
