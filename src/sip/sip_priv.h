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
bool sip_is_token(struct str text);

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
