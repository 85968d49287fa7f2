/* What the files of this room share. */
#ifndef BINDERY_SIP_PRIV_H
#define BINDERY_SIP_PRIV_H

#include "bindery/sip.h"

#include "grammar.h"

enum { SCRATCH = 131072, MESSAGE_MAX = 65535 };

struct sip_parser {
	struct sip_message message;
	struct grammar *grammar;
	char *scratch_at; /* copies that the grammar may write into */
	char scratch[SCRATCH];
};

/* words.c */
enum sip_method sip_method_of(struct str name);
enum sip_header sip_header_of(struct str name);
/* The long name; "Header" for HEADER_OTHER. */
const char *sip_long_name(enum sip_header header);
/* True if it may stand once only. */
bool sip_header_is_single(enum sip_header header);
/* Classes of characters; the table is filled by sip_init(). */
enum sip_char {
	CHAR_TOKEN = 1,  /* RFC 3261 25.1 token */
	CHAR_HOST = 2,   /* of a host name; with the _ that people use */
	CHAR_URI = 4,    /* stands for itself in a URI; % is looked at apart */
	CHAR_VALUE = 8,  /* of a parameter's value that is not quoted */
	CHAR_USER = 16,  /* of a user that is a token, without escapes */
	CHAR_CALL_ID = 64,
	CHAR_PARAMS = 32 /* of a URI's parameters: no ? and no @ */
};
extern uint8_t sip_chars[256];
/* The first character that is not of the class, or the end. */
static inline const char *
sip_skip(const char *p, const char *end, enum sip_char class)
{
	while (p < end && (sip_chars[(unsigned char)*p] & class) != 0)
		p++;
	return p;
}

/* True for a text of one class, and not empty. */
static inline bool
sip_is_all(struct str text, enum sip_char class)
{
	return text.n > 0 &&
	    sip_skip(text.p, text.p + text.n, class) == text.p + text.n;
}

static inline bool
sip_is_token(struct str text)
{
	return sip_is_all(text, CHAR_TOKEN);
}

/*
 * plain.c: what is written as everybody writes it needs no grammar. False
 * where there is anything unusual: then Sofia has a look.
 */
bool plain_uri(struct str text, struct sip_uri *uri);
bool plain_via(struct str text, struct sip_via *via);
bool plain_credentials(struct str text, struct sip_credentials *credentials);
/* read.c: as sip_read_address(), but who calls reads the parameters. */
bool sip_cut_address(struct sip_parser *parser, struct str value,
    struct sip_address *address);
/* read.c: the field of credentials with this name, or NULL. */
struct str *sip_credentials_field(struct sip_credentials *credentials,
    struct str name);

/* scan.c: guards and the index of lines. Sets m->fault when one refuses. */
void sip_scan(struct sip_message *m, struct str bytes);
void sip_fail(struct sip_fault *fault, unsigned status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/*
 * A terminated copy that may be written to, folds and NULs made blanks; NULL
 * if the parser's memory is used up.
 */
char *sip_copy(struct sip_parser *parser, struct str text);
/* uri.c: 1 to 65535 */
bool sip_read_port(struct str text, uint32_t *port);
/* uri.c: a host name or address literal, by its characters. */
bool sip_is_host(struct str host);

#endif
