/* What is parsed by Sofia. All text is terminated and may be written to. */
#ifndef BINDERY_GRAMMAR_H
#define BINDERY_GRAMMAR_H

#include "bindery/str.h"

struct grammar;
struct grammar_via {
	struct str protocol, host, port, branch;
	bool has_rport;
};
struct grammar_uri {
	struct str user, password, host, port, params, headers;
};
size_t grammar_size(void);
/* Frees what was parsed. A zeroed one is ready. */
void grammar_reset(struct grammar *grammar);
bool grammar_via(struct grammar *grammar, char *text, size_t n,
    struct grammar_via *via);
bool grammar_uri(char *text, struct grammar_uri *uri);
/* The "name=value" strings behind a scheme, up to a NULL; NULL if none. */
char **grammar_credentials(struct grammar *grammar, char *text, size_t n,
    struct str *scheme);

#endif
