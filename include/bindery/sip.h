/*
 * SIP messages: read strictly, written by copying raw lines. Guards come
 * first, then Sofia's grammar for what has one worth sharing (Via, URIs,
 * credentials), then checks of our own. Only this room includes Sofia.
 *
 *	struct sip_message *m = sip_parser_read(parser, bytes);
 *	if (m->fault.status != 0) ... answer it, if m->answerable
 *
 * All that a message gives away lies in the bytes that were read or in the
 * parser, and lives until the parser reads the next message.
 */
#ifndef BINDERY_SIP_H
#define BINDERY_SIP_H

#include "bindery/addr.h"
#include "bindery/buf.h"
#include "bindery/hash.h"

/* ---- words ---- */

/* clang-format off */
#define SIP_METHODS(X) \
	X(ACK) X(BYE) X(CANCEL) X(INFO) X(INVITE) X(MESSAGE) X(NOTIFY) \
	X(OPTIONS) X(PRACK) X(PUBLISH) X(REFER) X(REGISTER) X(SUBSCRIBE) X(UPDATE)
/* clang-format on */
enum sip_method {
	METHOD_UNKNOWN,
#define SIP_METHOD_ENUM(name) METHOD_##name,
	SIP_METHODS(SIP_METHOD_ENUM)
#undef SIP_METHOD_ENUM
};

/* Headers that are read here; all others are HEADER_OTHER. */
enum sip_header {
	HEADER_OTHER,
	HEADER_VIA, HEADER_FROM, HEADER_TO, HEADER_CALL_ID, HEADER_CSEQ,
	HEADER_MAX_FORWARDS, HEADER_CONTENT_LENGTH, HEADER_CONTACT,
	HEADER_EXPIRES, HEADER_AUTHORIZATION, HEADER_PROXY_AUTHORIZATION,
	HEADER_REQUIRE, HEADER_PROXY_REQUIRE, HEADER_SUPPORTED, HEADER_PATH,
	HEADER_ROUTE, HEADER_RECORD_ROUTE, HEADER_USER_AGENT,
	HEADER_CONTENT_TYPE, HEADER_CONTENT_ENCODING,
	HEADER_CONTENT_DISPOSITION, HEADER_DATE,
	SIP_HEADERS
};

/* The reason phrase that goes with a status. */
const char *sip_reason(unsigned status);

/* ---- parts of a message ---- */

struct sip_line {
	enum sip_header header;
	struct str name;
	struct str value; /* trimmed; may hold folds (CRLF and blanks) */
	struct str raw;   /* the whole line, with folds and the last CRLF */
};

enum sip_scheme { SCHEME_OTHER, SCHEME_SIP, SCHEME_SIPS };

/* All as written: escapes stand. */
struct sip_uri {
	enum sip_scheme scheme;
	struct str user, password, host; /* user.p NULL: there is none */
	uint32_t port;                   /* 0: none */
	struct str params, headers;      /* "transport=udp;lr", "subject=x" */
};

/* A From, To, Contact, Route or Path value. */
struct sip_address {
	struct str display;  /* as written, quotes included */
	struct str uri_text; /* as written, without < > */
	struct sip_uri uri;
	struct str params; /* of the header: "tag=1;x=y", as written */
};

struct sip_via {
	struct str protocol;  /* "SIP/2.0/UDP" */
	struct str transport; /* "UDP" */
	struct str host;      /* sent-by, IPv6 in brackets */
	uint32_t port;        /* 0: none */
	struct str branch;    /* without the cookie's being checked */
	bool has_rport;
	struct str rport; /* the parameter as written, where a copy may be cut */
	struct str after; /* what stands behind the first value of its line */
};

enum { SIP_LINES_MAX = 128, SIP_COMMAS_MAX = 512, SIP_CONTACTS_MAX = 64 };
enum { SIP_REASON_SIZE = 80, SIP_NO_MAX_FORWARDS = 256 };

struct sip_fault {
	unsigned status; /* 0: none */
	char reason[SIP_REASON_SIZE];
};

struct sip_message {
	struct str bytes; /* start line to the end of the body */
	struct str start; /* the start line, without CRLF */
	struct str body;
	bool is_request;
	bool answerable; /* Via is good enough to send an answer */

	/* requests */
	enum sip_method method;
	struct str method_name;
	struct str uri_text;
	struct sip_uri uri;
	uint32_t max_forwards; /* SIP_NO_MAX_FORWARDS: it was not said */

	/* responses */
	unsigned status;

	struct sip_via via; /* the first */
	struct sip_address from, to;
	struct str from_tag, to_tag; /* p NULL: none */
	struct str call_id;
	uint32_t cseq;
	enum sip_method cseq_method;
	struct str cseq_method_name;

	struct sip_line lines[SIP_LINES_MAX];
	size_t line_count;
	uint8_t first[SIP_HEADERS]; /* index + 1 of the first such line; 0: none */
	struct sip_fault fault;
};

/* ---- reading ---- */

struct sip_parser;

/* Once, before the first parser and any thread. */
void sip_init(void);
/* One parser reads one message at a time; one a worker. */
struct sip_parser *sip_parser_new(void);
void sip_parser_free(struct sip_parser *parser);

/*
 * Reads one whole message of at most 65,535 bytes. Never NULL: a message that
 * is wrong has a fault (status and reason phrase that name the header), and
 * as many fields as could be read. `bytes` are lent until the next call.
 */
struct sip_message *sip_parser_read(struct sip_parser *parser,
    struct str bytes);

/* The first line of a header, or NULL; then those behind it. */
const struct sip_line *sip_first(const struct sip_message *m,
    enum sip_header header);
const struct sip_line *sip_next(const struct sip_message *m,
    const struct sip_line *line);

/*
 * Cuts the next value off a comma-separated list, minding quotes and < >.
 * False at the end. An unbalanced quote makes the rest one value.
 */
bool sip_next_value(struct str *rest, struct str *value);
/*
 * The next parameter of "a=1;b;c=\"x;y\"": the value as written, quotes
 * included, p NULL where there is none. False at the end, and at a parameter
 * without a name: then *rest is not empty.
 */
bool sip_next_param(struct str *rest, struct str *name, struct str *value);
/* Looks for a parameter by its name in any case. */
bool sip_param(struct str params, struct str name, struct str *value);
/* Without the quotes of a quoted string; escapes are left as they are. */
struct str sip_unquoted(struct str text);

/*
 * Reads a From, To, Contact or route value. False if it is not a name-addr
 * or addr-spec (RFC 3261 25.1). The fields lie in `value` or in the parser.
 */
bool sip_read_address(struct sip_parser *parser, struct str value,
    struct sip_address *address);
/* Reads a URI alone. False if it is none, or no valid SIP or SIPS URI. */
bool sip_read_uri(struct sip_parser *parser, struct str text,
    struct sip_uri *uri);

/* True if a list header (Require, Supported) names the tag. */
bool sip_has_option(const struct sip_message *m, enum sip_header header,
    struct str tag);

/* One value of a REGISTER's Contact. */
struct sip_contact {
	struct sip_address address;
	bool has_expires;  /* a number; else it is left to the header */
	uint32_t expires;  /* seconds */
	uint16_t q;        /* thousandths; 1000 where it is not said */
	bool has_q;
	struct str instance; /* of +sip.instance, without quotes: "<urn:...>" */
	uint32_t reg_id;     /* 0: none */
	bool has_ours; /* parameters that the registrar sets: expires, GRUUs */
};
struct sip_contacts {
	bool star;
	size_t count;
	struct sip_contact list[SIP_CONTACTS_MAX];
};
/*
 * Reads all Contacts. False with a fault in `why`, which names what is wrong;
 * more than SIP_CONTACTS_MAX are a fault too.
 */
bool sip_read_contacts(struct sip_parser *parser, const struct sip_message *m,
    struct sip_contacts *contacts, struct sip_fault *why);
/*
 * The Expires header: true with seconds. One that is malformed counts as 3600
 * (RFC 3261 10.3 step 7); one that is too large as its greatest value.
 */
bool sip_read_expires(const struct sip_message *m, uint32_t *seconds);

/* One Authorization or Proxy-Authorization of scheme Digest. */
struct sip_credentials {
	struct str username, realm, nonce, uri, response, algorithm, cnonce, opaque,
	    qop, nc; /* without quotes; p NULL: not there */
	bool username_hashed; /* userhash=true (RFC 7616 3.4.4) */
};
/*
 * Reads the credentials of a line. False if the scheme is not Digest or the
 * line is malformed. Values with escapes are unescaped in the parser.
 */
bool sip_read_credentials(struct sip_parser *parser,
    const struct sip_line *line, struct sip_credentials *credentials);

/* ---- URIs ---- */

/* RFC 3261 19.1.4. */
bool sip_uri_equal(const struct sip_uri *a, const struct sip_uri *b);

/* ---- writing ---- */

/*
 * Begins an answer: status line, Vias (with received and rport for `peer`,
 * RFC 3581), From, To, Call-ID, CSeq. A To without a tag gets `to_tag`,
 * unless that is empty. Headers follow with out_*; then sip_end().
 */
void sip_begin_reply(struct out *out, const struct sip_message *request,
    unsigned status, const char *reason, struct str to_tag,
    const struct addr *peer);
/* Content-Length and the body. */
void sip_end(struct out *out, struct str body);
/*
 * The ACK for a response of 300 to 699 (RFC 3261 17.1.1.3): the INVITE's URI,
 * first Via, From, Call-ID, Route and CSeq number, the response's To.
 */
void sip_write_ack(struct out *out, const struct sip_message *invite,
    const struct sip_message *response);
/*
 * Where an answer goes that does not stay on a connection: the source's
 * address with its port (rport) or sent-by's (RFC 3261 18.2.2).
 */
uint16_t sip_reply_port(const struct sip_message *request,
    const struct addr *peer);

/* A tag for To that is the same each time the same request comes. */
enum { SIP_TAG_SIZE = 16 };
void sip_stateless_tag(const struct sip_message *request,
    const struct hash_key *key, char tag[SIP_TAG_SIZE]);

#endif
