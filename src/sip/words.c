/* Methods, headers, reason phrases: the words of SIP as tables. */
#include "config.h"

#include "sip_priv.h"

/* clang-format off */
static const struct header_row {
	struct str name;
	char compact; /* RFC 3261 7.3.3 */
	bool single;
} headers[SIP_HEADERS] = {
	[HEADER_OTHER]               = { { "Header", sizeof "Header" - 1 }, 0,   false },
	[HEADER_VIA]                 = { { "Via", sizeof "Via" - 1 }, 'v', false },
	[HEADER_FROM]                = { { "From", sizeof "From" - 1 }, 'f', true },
	[HEADER_TO]                  = { { "To", sizeof "To" - 1 }, 't', true },
	[HEADER_CALL_ID]             = { { "Call-ID", sizeof "Call-ID" - 1 }, 'i', true },
	[HEADER_CSEQ]                = { { "CSeq", sizeof "CSeq" - 1 }, 0,   true },
	[HEADER_MAX_FORWARDS]        = { { "Max-Forwards", sizeof "Max-Forwards" - 1 }, 0,   true },
	[HEADER_CONTENT_LENGTH]      = { { "Content-Length", sizeof "Content-Length" - 1 }, 'l', true },
	[HEADER_CONTACT]             = { { "Contact", sizeof "Contact" - 1 }, 'm', false },
	[HEADER_EXPIRES]             = { { "Expires", sizeof "Expires" - 1 }, 0,   true },
	[HEADER_AUTHORIZATION]       = { { "Authorization", sizeof "Authorization" - 1 }, 0,   false },
	[HEADER_PROXY_AUTHORIZATION] = { { "Proxy-Authorization", sizeof "Proxy-Authorization" - 1 }, 0,   false },
	[HEADER_REQUIRE]             = { { "Require", sizeof "Require" - 1 }, 0,   false },
	[HEADER_PROXY_REQUIRE]       = { { "Proxy-Require", sizeof "Proxy-Require" - 1 }, 0,   false },
	[HEADER_SUPPORTED]           = { { "Supported", sizeof "Supported" - 1 }, 'k', false },
	[HEADER_PATH]                = { { "Path", sizeof "Path" - 1 }, 0,   false },
	[HEADER_ROUTE]               = { { "Route", sizeof "Route" - 1 }, 0,   false },
	[HEADER_RECORD_ROUTE]        = { { "Record-Route", sizeof "Record-Route" - 1 }, 0,   false },
	[HEADER_USER_AGENT]          = { { "User-Agent", sizeof "User-Agent" - 1 }, 0,   false },
	[HEADER_CONTENT_TYPE]        = { { "Content-Type", sizeof "Content-Type" - 1 }, 'c', true },
	[HEADER_CONTENT_ENCODING]    = { { "Content-Encoding", sizeof "Content-Encoding" - 1 }, 'e', false },
	[HEADER_CONTENT_DISPOSITION] = { { "Content-Disposition", sizeof "Content-Disposition" - 1 }, 0,   true },
	[HEADER_DATE]                = { { "Date", sizeof "Date" - 1 }, 0,   true },
};

static const struct {
	unsigned status;
	const char *phrase;
} reasons[] = {
	{ 100, "Trying" },
	{ 200, "OK" },
	{ 400, "Bad Request" },
	{ 401, "Unauthorized" },
	{ 403, "Forbidden" },
	{ 404, "Not Found" },
	{ 405, "Method Not Allowed" },
	{ 407, "Proxy Authentication Required" },
	{ 408, "Request Timeout" },
	{ 413, "Request Entity Too Large" },
	{ 414, "Request-URI Too Long" },
	{ 415, "Unsupported Media Type" },
	{ 416, "Unsupported URI Scheme" },
	{ 420, "Bad Extension" },
	{ 421, "Extension Required" },
	{ 423, "Interval Too Brief" },
	{ 430, "Flow Failed" },
	{ 439, "First Hop Lacks Outbound Support" },
	{ 480, "Temporarily Unavailable" },
	{ 481, "Call/Transaction Does Not Exist" },
	{ 482, "Loop Detected" },
	{ 483, "Too Many Hops" },
	{ 500, "Server Internal Error" },
	{ 501, "Not Implemented" },
	{ 503, "Service Unavailable" },
	{ 505, "Version Not Supported" },
	{ 513, "Message Too Large" },
};
/* clang-format on */

static const struct str method_names[] = { { "", 0 },
#define METHOD_NAME(name) { #name, sizeof #name - 1 },
	SIP_METHODS(METHOD_NAME)
#undef METHOD_NAME
};

/* Headers by a small perfect-enough hash of their names; filled by sip_init(). */
enum { BUCKETS = 128, DEPTH = 4 };
static uint8_t buckets[BUCKETS][DEPTH];
static uint8_t compacts[128];

uint8_t sip_chars[256];

static unsigned
bucket_of(struct str name)
{
	unsigned first = (unsigned char)ascii_lower(name.p[0]);
	unsigned last = (unsigned char)ascii_lower(name.p[name.n - 1]);

	return (unsigned)(name.n * 7 + first * 5 + last) % BUCKETS;
}

void
sip_init(void)
{
	for (int c = 1; c < 256; c++) {
		bool alnum = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
		    (c >= 'A' && c <= 'Z');

		sip_chars[c] = 0;
		if (alnum || strchr("-.!%*_+`'~", c) != NULL)
			sip_chars[c] |= CHAR_TOKEN;
		if (alnum || strchr("-._", c) != NULL)
			sip_chars[c] |= CHAR_HOST;
		if (c > ' ' && c < 0x7f && strchr("<>\"\\^`{}|%#", c) == NULL)
			sip_chars[c] |= CHAR_URI;
		if (c > ' ' && c < 0x7f && strchr("\"<>,;", c) == NULL)
			sip_chars[c] |= CHAR_VALUE;
		if (c > ' ' && c < 0x7f && c != ',' && c != ';')
			sip_chars[c] |= CHAR_CALL_ID;
		if ((sip_chars[c] & CHAR_URI) != 0 && c != '?' && c != '@')
			sip_chars[c] |= CHAR_PARAMS;
		if ((sip_chars[c] & CHAR_TOKEN) != 0 &&
		    (sip_chars[c] & CHAR_URI) != 0)
			sip_chars[c] |= CHAR_USER;
	}
	memset(buckets, 0, sizeof buckets);
	for (int h = HEADER_OTHER + 1; h < SIP_HEADERS; h++) {
		uint8_t *bucket = buckets[bucket_of(headers[h].name)];

		while (*bucket != 0)
			bucket++;
		*bucket = (uint8_t)h;
		if (headers[h].compact != 0)
			compacts[(unsigned char)headers[h].compact] = (uint8_t)h;
	}
}

enum sip_header
sip_header_of(struct str name)
{
	const uint8_t *bucket;

	if (name.n == 1)
		return (enum sip_header)
		    compacts[(unsigned char)ascii_lower(name.p[0]) & 127];
	bucket = buckets[bucket_of(name)];
	for (int i = 0; i < DEPTH && bucket[i] != 0; i++)
		if (str_caseeq(name, headers[bucket[i]].name))
			return (enum sip_header)bucket[i];
	return HEADER_OTHER;
}

const char *
sip_long_name(enum sip_header header)
{
	return headers[header].name.p;
}

bool
sip_header_is_single(enum sip_header header)
{
	return headers[header].single;
}

enum sip_method
sip_method_of(struct str name)
{
	for (unsigned i = 1; i < sizeof method_names / sizeof *method_names;
	     i++)
		if (str_eq(name, method_names[i]))
			return (enum sip_method)i;
	return METHOD_UNKNOWN;
}

const char *
sip_reason(unsigned status)
{
	for (size_t i = 0; i < sizeof reasons / sizeof *reasons; i++)
		if (reasons[i].status == status)
			return reasons[i].phrase;
	return status < 300 ? "OK" : "Error";
}

