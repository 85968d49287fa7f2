/*
 * Sofia-SIP, and the only file that names it: the grammar of Via, URIs and
 * credentials, over copies that it may write to.
 */
#include "config.h"

#include "grammar.h"

#include <sofia-sip/msg_header.h>
#include <sofia-sip/sip.h>
#include <sofia-sip/sip_header.h>
#include <sofia-sip/sip_protos.h>
#include <sofia-sip/su_alloc.h>
#include <sofia-sip/url.h>

enum { ARENA = 8192 };

struct grammar {
	su_home_t *home; /* lies in `arena`, and beyond it when that is full */
	_Alignas(16) char arena[ARENA];
};

size_t
grammar_size(void)
{
	return sizeof(struct grammar);
}

void
grammar_reset(struct grammar *grammar)
{
	if (grammar->home != NULL)
		su_home_deinit(grammar->home);
	grammar->home = NULL;
}

static su_home_t *
home_of(struct grammar *grammar)
{
	if (grammar->home == NULL)
		grammar->home = su_home_auto(grammar->arena, ARENA);
	return grammar->home;
}

/* Parses one value as a header of this class; NULL if it is none. */
static msg_header_t *
parse(struct grammar *grammar, msg_hclass_t *class, char *text, size_t n)
{
	su_home_t *home = home_of(grammar);
	msg_header_t *header = msg_header_alloc(home, class, 0);

	if (header == NULL || class->hc_parse(home, header, text, (isize_t)n) < 0)
		return NULL;
	return header;
}

bool
grammar_via(struct grammar *grammar, char *text, size_t n,
    struct grammar_via *via)
{
	sip_via_t *v = (sip_via_t *)parse(grammar, sip_via_class, text, n);

	if (v == NULL || v->v_host == NULL || v->v_protocol == NULL)
		return false;
	*via = (struct grammar_via){ str_of(v->v_protocol), str_of(v->v_host),
		str_of(v->v_port), str_of(v->v_branch), v->v_rport != NULL };
	return true;
}

bool
grammar_uri(char *text, struct grammar_uri *uri)
{
	url_t u[1];

	if (url_d(u, text) < 0 || u->url_host == NULL || u->url_path != NULL)
		return false;
	*uri = (struct grammar_uri){ str_of(u->url_user),
		str_of(u->url_password), str_of(u->url_host), str_of(u->url_port),
		str_of(u->url_params), str_of(u->url_headers) };
	return true;
}

char **
grammar_credentials(struct grammar *grammar, char *text, size_t n,
    struct str *scheme)
{
	msg_auth_t *auth = (msg_auth_t *)parse(grammar, sip_authorization_class,
	    text, n);

	if (auth == NULL || auth->au_scheme == NULL)
		return NULL;
	*scheme = str_of(auth->au_scheme);
	/* the strings lie in `text`, which is the caller's to write to */
	return (char **)(uintptr_t)auth->au_params;
}
