/* The rows of the configuration, and what no row can check alone. */
#include "config.h"

#include "conf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bindery/alloc.h"
#include "bindery/log.h"

static const char *const transport_words[] = { "udp", "tcp", "tls", NULL };
static const char *const verify_words[] = { "off", "optional", "require", NULL };
static const char *const version_words[] = { "1.2", "1.3", NULL };
static const char *const directory_words[] = { "json", NULL };
static const char *const store_words[] = { "memory", "sqlite", NULL };
static const char *const durability_words[] = { "commit", "batch", NULL };
static const char *const failure_words[] = { "serve", "refuse", NULL };
static const char *const level_words[] = { "error", "warning", "notice", "info",
	"debug", NULL };
static const char *const format_words[] = { "text", "json", NULL };

enum { YEAR = 366 * 86400 };

/* clang-format off */
static const struct setting listener_rows[] = {
	{ "transport", SETTING_WORD, offsetof(struct listener_conf, transport), .words = transport_words, .required = true,
	  .help = "What is spoken: udp, tcp or tls." },
	{ "address", SETTING_STRING, offsetof(struct listener_conf, address), .text = "0.0.0.0",
	  .help = "The IPv4 or IPv6 address to listen on; 0.0.0.0 and :: are all of their kind." },
	{ "port", SETTING_INT, offsetof(struct listener_conf, port), .min = 1, .max = 65535, .number = 0,
	  .help = "The port; left out it is 5060, or 5061 for tls." },
	{ "tls", SETTING_STRING, offsetof(struct listener_conf, tls),
	  .help = "The name of an entry of \"tls\", for transport tls." },
	{ 0 }
};
static const struct settings listener_object = { listener_rows, sizeof(struct listener_conf), "" };

static const struct setting sni_rows[] = {
	{ "certificate", SETTING_PATH, offsetof(struct tls_sni_conf, certificate), .required = true,
	  .help = "The certificate chain for this name, PEM." },
	{ "key", SETTING_PATH, offsetof(struct tls_sni_conf, key), .required = true,
	  .help = "Its private key, PEM." },
	{ 0 }
};
static const struct settings sni_object = { sni_rows, sizeof(struct tls_sni_conf), "" };

static const struct setting tls_rows[] = {
	{ "certificate", SETTING_PATH, offsetof(struct tls_entry_conf, tls.certificate), .required = true,
	  .help = "The certificate chain, PEM, the server's own first." },
	{ "key", SETTING_PATH, offsetof(struct tls_entry_conf, tls.key), .required = true,
	  .help = "Its private key, PEM." },
	{ "client_ca", SETTING_PATH, offsetof(struct tls_entry_conf, tls.client_ca),
	  .help = "The CAs that client certificates are checked against, PEM." },
	{ "verify_client", SETTING_WORD, offsetof(struct tls_entry_conf, tls.verify_client), .words = verify_words, .text = "off",
	  .help = "Whether clients are asked for a certificate: off, optional or require." },
	{ "min_version", SETTING_WORD, offsetof(struct tls_entry_conf, tls.min_version), .words = version_words, .text = "1.2",
	  .help = "The oldest TLS version that is spoken." },
	{ "ciphers", SETTING_STRING, offsetof(struct tls_entry_conf, tls.ciphers),
	  .help = "OpenSSL's cipher list for TLS 1.2; left out it is OpenSSL's own." },
	{ "sni", SETTING_MAP, offsetof(struct tls_entry_conf, sni), .object = &sni_object,
	  .help = "Other certificates, by the name that a client asks for (SNI)." },
	{ 0 }
};
static const struct settings tls_object = { tls_rows, sizeof(struct tls_entry_conf), "" };

static const struct setting directory_rows[] = {
	{ "type", SETTING_WORD, offsetof(struct directory_conf, type), .words = directory_words, .text = "json",
	  .help = "The kind of directory: json." },
	{ "path", SETTING_PATH, offsetof(struct directory_conf, path), .required = true,
	  .help = "The file, users.json or users.jsonl." },
	{ 0 }
};
static const struct settings directory_object = { directory_rows, sizeof(struct directory_conf), "" };

static const struct setting domain_rows[] = {
	{ "realm", SETTING_STRING, offsetof(struct domain_conf, realm),
	  .help = "The realm of its challenges; left out it is the domain's name." },
	{ "aliases", SETTING_STRINGS, offsetof(struct domain_conf, aliases),
	  .help = "Other host names and addresses that mean this domain." },
	{ "directory", SETTING_STRING, offsetof(struct domain_conf, directory), .required = true,
	  .help = "The name of the entry of \"directories\" with its users." },
	{ "service_route", SETTING_STRINGS, offsetof(struct domain_conf, service_route),
	  .help = "URIs of Service-Route (RFC 3608) in the 200, in order." },
	{ "allow_rfc2069", SETTING_BOOL, offsetof(struct domain_conf, allow_rfc2069),
	  .help = "Accept responses without qop, of phones older than RFC 2617." },
	{ 0 }
};
static const struct settings domain_object = { domain_rows, sizeof(struct domain_conf), "" };

static const struct setting registrar_rows[] = {
	{ "min_expires", SETTING_INT, offsetof(struct conf, registrar.min_expires), .min = 1, .max = 3600, .number = 60, .unit = "seconds",
	  .help = "A shorter registration is refused with 423." },
	{ "default_expires", SETTING_INT, offsetof(struct conf, registrar.default_expires), .min = 1, .max = YEAR, .number = 3600, .unit = "seconds",
	  .help = "Granted to who asks for no time." },
	{ "max_expires", SETTING_INT, offsetof(struct conf, registrar.max_expires), .min = 1, .max = YEAR, .number = 7200, .unit = "seconds",
	  .help = "Granted to who asks for more." },
	{ "max_contacts", SETTING_INT, offsetof(struct conf, registrar.max_contacts), .min = 1, .max = 1000, .number = 10,
	  .help = "Bindings of an address of record." },
	{ "algorithms", SETTING_STRINGS, offsetof(struct conf, algorithm_names),
	  .help = "Digest algorithms in the order they are offered: SHA-512-256, SHA-256, MD5." },
	{ "nonce_lifetime", SETTING_INT, offsetof(struct conf, nonce_lifetime), .min = 1, .max = 86400, .number = 300, .unit = "seconds",
	  .help = "How long a nonce serves; then it is stale." },
	{ "expires_spread", SETTING_INT, offsetof(struct conf, registrar.expires_spread), .min = 0, .max = 50, .number = 0, .unit = "percent",
	  .help = "A grant may be shorter by up to so much, at random, so that storms flatten." },
	{ "flow_timer", SETTING_INT, offsetof(struct conf, registrar.flow_timer), .min = 0, .max = 3600, .number = 120, .unit = "seconds",
	  .help = "Flow-Timer (RFC 5626) told to phones with outbound; 0: not told." },
	{ "gruu", SETTING_BOOL, offsetof(struct conf, registrar.gruu), .number = 1,
	  .help = "Give GRUUs (RFC 5627) to phones that ask for them." },
	{ 0 }
};
static const struct settings registrar_object = { registrar_rows, sizeof(struct conf), "" };

static const struct setting location_rows[] = {
	{ "store", SETTING_WORD, offsetof(struct conf, store), .words = store_words, .text = "memory",
	  .restart = true,
	  .help = "Where bindings are kept: memory alone, or in sqlite too, to outlive a restart." },
	{ "path", SETTING_PATH, offsetof(struct conf, store_path), .restart = true,
	  .help = "The file of store sqlite." },
	{ "durability", SETTING_WORD, offsetof(struct conf, durability), .words = durability_words, .text = "commit", .restart = true,
	  .help = "commit: a 200 leaves when its binding is on disk; batch: bindings are on disk within a second." },
	{ "on_store_failure", SETTING_WORD, offsetof(struct conf, on_failure), .words = failure_words, .text = "serve",
	  .help = "While the file cannot be written: serve from memory, or refuse with 503." },
	{ 0 }
};
static const struct settings location_object = { location_rows, sizeof(struct conf), "" };

static const struct setting control_rows[] = {
	{ "socket", SETTING_PATH, offsetof(struct conf, control.socket), .text = "/run/bindery/control.sock", .restart = true,
	  .help = "The Unix socket that binderyctl speaks to." },
	{ "mode", SETTING_STRING, offsetof(struct conf, control.mode), .text = "0660", .restart = true,
	  .help = "Its permissions, octal." },
	{ 0 }
};
static const struct settings control_object = { control_rows, sizeof(struct conf), "" };

static const struct setting limit_rows[] = {
	{ "message_size", SETTING_INT, offsetof(struct conf, limits.message_size), .min = 1024, .max = 65535, .number = 65535, .unit = "bytes",
	  .help = "The largest SIP message; larger ones get 513 or 413." },
	{ "connections", SETTING_INT, offsetof(struct conf, limits.connections), .min = 1, .max = 10000000, .number = 100000,
	  .help = "TCP and TLS connections at a time, in all." },
	{ "connections_per_address", SETTING_INT, offsetof(struct conf, limits.connections_per_address), .min = 1, .max = 10000000, .number = 1000,
	  .help = "The same from one IPv4 address or one IPv6 /64." },
	{ "unauthenticated", SETTING_INT, offsetof(struct conf, limits.unauthenticated), .min = 1, .max = 10000000, .number = 1000,
	  .help = "Connections that have not proven a user yet, in all." },
	{ "unauthenticated_seconds", SETTING_INT, offsetof(struct conf, limits.unauthenticated_seconds), .min = 1, .max = YEAR, .number = 30, .unit = "seconds",
	  .help = "The time that each of these has to do so." },
	{ "header_seconds", SETTING_INT, offsetof(struct conf, limits.header_seconds), .min = 1, .max = 3600, .number = 10, .unit = "seconds",
	  .help = "The time for a TLS handshake, for the rest of a message once it began, and for a peer to take what is sent." },
	{ "idle_seconds", SETTING_INT, offsetof(struct conf, limits.idle_seconds), .min = 1, .max = YEAR, .number = 7500, .unit = "seconds",
	  .help = "A connection that is silent for so long is closed." },
	{ "send_queue", SETTING_INT, offsetof(struct conf, limits.send_queue), .min = 65536, .max = 1 << 30, .number = 1 << 20, .unit = "bytes",
	  .help = "What may wait to be sent on a connection; beyond it is closed." },
	{ "queue_seconds", SETTING_INT, offsetof(struct conf, limits.queue_seconds), .min = 0, .max = 3600, .number = 4, .unit = "seconds",
	  .help = "An overload that lasts longer is not waited out: newcomers get 503 or no connection." },
	{ "transactions", SETTING_INT, offsetof(struct conf, transactions), .min = 100, .max = 100000000, .number = 4000000,
	  .help = "Transactions at a time, in all." },
	{ 0 }
};
static const struct settings limit_object = { limit_rows, sizeof(struct conf), "" };

static const struct setting log_rows[] = {
	{ "level", SETTING_WORD, offsetof(struct conf, log.level), .words = level_words, .text = "info",
	  .help = "What is logged: error, warning, notice, info or debug." },
	{ "format", SETTING_WORD, offsetof(struct conf, log.format), .words = format_words, .text = "text",
	  .help = "A line's form: text or json." },
	{ "file", SETTING_PATH, offsetof(struct conf, log.file),
	  .help = "The log file, opened anew on SIGUSR1; left out it is standard error." },
	{ 0 }
};
static const struct settings log_object = { log_rows, sizeof(struct conf), "" };

static const struct setting root_rows[] = {
	{ "workers", SETTING_INT, offsetof(struct conf, workers), .min = 0, .max = 255, .number = 0, .restart = true,
	  .help = "Event loops, each a thread; 0: one a core." },
	{ "user", SETTING_STRING, offsetof(struct conf, user), .restart = true,
	  .help = "The user to become once the sockets are open, when started as root." },
	{ "shutdown_grace", SETTING_INT, offsetof(struct conf, shutdown_grace), .min = 0, .max = 3600, .number = 5, .unit = "seconds",
	  .help = "The time to finish what is in flight when told to stop." },
	{ "listeners", SETTING_ARRAY, offsetof(struct conf, listeners), .object = &listener_object, .required = true,
	  .help = "What to listen on." },
	{ "tls", SETTING_MAP, offsetof(struct conf, tls), .object = &tls_object,
	  .help = "Certificates and rules of TLS, by name." },
	{ "directories", SETTING_MAP, offsetof(struct conf, directories), .object = &directory_object, .required = true,
	  .help = "Directories of users, by name." },
	{ "domains", SETTING_MAP, offsetof(struct conf, domains), .object = &domain_object, .required = true,
	  .help = "The domains that are served, by name; \"*\" takes what no other takes." },
	{ "registrar", SETTING_OBJECT, 0, .object = &registrar_object,
	  .help = "Rules of registration." },
	{ "location", SETTING_OBJECT, 0, .object = &location_object,
	  .help = "Where bindings are kept." },
	{ "control", SETTING_OBJECT, 0, .object = &control_object,
	  .help = "The control socket." },
	{ "limits", SETTING_OBJECT, 0, .object = &limit_object,
	  .help = "What an outsider can use up." },
	{ "log", SETTING_OBJECT, 0, .object = &log_object,
	  .help = "The log." },
	{ 0 }
};
/* clang-format on */
const struct settings conf_settings = { root_rows, sizeof(struct conf),
	"The configuration of bindery" };

/* ---- checks across rows ---- */

struct checker {
	const char *path;
	struct str json;
	bool readable; /* the tables found no fault */
	struct faults *faults;
};

enum { STEPS = 4 };

__attribute__((format(printf, 3, 4))) static void
complain(const struct checker *c, const char *const steps[STEPS],
    const char *format, ...)
{
	char place[512], what[512];
	struct out out = out_to(place, sizeof place);
	va_list arguments;
	size_t n = 0;

	while (n < STEPS && steps[n] != NULL)
		n++;
	settings_place(&out, steps, n);
	va_start(arguments, format);
	vsnprintf(what, sizeof what, format, arguments);
	va_end(arguments);
	faults_add(c->faults, c->path, settings_line(c->json, steps, n),
	    out_z(&out), "%s", what);
}

#define COMPLAIN(c, a, b, key, ...) \
	complain((c), (const char *const[STEPS]){ (a), (b), (key), NULL }, \
	    __VA_ARGS__)

/* The names in a map, for who mistyped one; the struct begins with its name. */
static const char *
names_of(const struct setting_list *map, size_t size, char *text, size_t room)
{
	struct out out = out_to(text, room);

	for (size_t i = 0; i < map->count; i++)
		out_format(&out, i > 0 ? ", %s" : "%s",
		    *(char *const *)(const void *)((const char *)map->items +
		        i * size));
	if (map->count == 0)
		out_lit(&out, "there is none");
	return out_z(&out);
}

static void
check_listener(const struct checker *c, const struct conf *conf,
    struct listener_conf *l, const char *index)
{
	const struct transport *transport = transport_at((size_t)l->transport);
	const struct tls_entry_conf *tls = conf->tls.items;
	char names[256];

	if (l->address != NULL && !addr_parse(str_of(l->address),
	        (uint16_t)(l->port != 0 ? l->port : transport->port), &l->at))
		COMPLAIN(c, "listeners", index, "address",
		    "expected an IPv4 or IPv6 address, got \"%s\"", l->address);
	if (!transport->secure) {
		if (l->tls != NULL)
			COMPLAIN(c, "listeners", index, "tls",
			    "is only for transport tls");
		return;
	}
	if (l->tls == NULL) {
		COMPLAIN(c, "listeners", index, "tls",
		    "expected the name of an entry of tls, got nothing");
		return;
	}
	while (l->tls_index < conf->tls.count &&
	    strcmp(tls[l->tls_index].name, l->tls) != 0)
		l->tls_index++;
	if (l->tls_index == conf->tls.count)
		COMPLAIN(c, "listeners", index, "tls",
		    "expected the name of an entry of tls (%s), got \"%s\"",
		    names_of(&conf->tls, sizeof *tls, names, sizeof names), l->tls);
}

static void
check_listeners(const struct checker *c, struct conf *conf)
{
	struct listener_conf *listeners = conf->listeners.items;

	for (size_t i = 0; i < conf->listeners.count; i++) {
		char index[24];

		snprintf(index, sizeof index, "%zu", i);
		check_listener(c, conf, &listeners[i], index);
		for (size_t j = 0; j < i && c->readable; j++)
			if (listeners[j].at.family != 0 &&
			    listeners[j].transport == listeners[i].transport &&
			    addr_eq(&listeners[j].at, &listeners[i].at))
				COMPLAIN(c, "listeners", index, NULL,
				    "is the same as listeners[%zu]", j);
	}
	if (conf->listeners.count == 0)
		COMPLAIN(c, "listeners", NULL, NULL, "expected one at least");
}

static void
check_domains(const struct checker *c, struct conf *conf)
{
	struct domain_conf *domains = conf->domains.items;
	const struct directory_conf *directories = conf->directories.items;
	char names[256];

	for (size_t i = 0; i < conf->domains.count; i++) {
		struct domain_conf *d = &domains[i];
		char **routes = d->service_route.items;

		while (d->directory != NULL &&
		    d->directory_index < conf->directories.count &&
		    strcmp(directories[d->directory_index].name, d->directory) != 0)
			d->directory_index++;
		if (d->directory != NULL &&
		    d->directory_index == conf->directories.count)
			COMPLAIN(c, "domains", d->name, "directory",
			    "expected the name of an entry of directories (%s), got "
			    "\"%s\"",
			    names_of(&conf->directories, sizeof *directories, names,
			        sizeof names),
			    d->directory);
		if (d->realm != NULL && strpbrk(d->realm, "\"\\\r\n") != NULL)
			COMPLAIN(c, "domains", d->name, "realm",
			    "must not have quotes, backslashes or line ends");
		for (size_t j = 0; j < d->service_route.count; j++)
			if (strncasecmp(routes[j], "sip:", 4) != 0 &&
			    strncasecmp(routes[j], "sips:", 5) != 0)
				COMPLAIN(c, "domains", d->name, "service_route",
				    "expected SIP URIs, got \"%s\"", routes[j]);
	}
}

static void
check_algorithms(const struct checker *c, struct conf *conf)
{
	static const enum digest_algorithm all[DIGEST_ALGORITHMS] = {
		DIGEST_SHA512_256, DIGEST_SHA256, DIGEST_MD5
	};
	char **names = conf->algorithm_names.items;

	if (names == NULL) {
		memcpy(conf->algorithms, all, sizeof all);
		conf->algorithm_count = DIGEST_ALGORITHMS;
		return;
	}
	for (size_t i = 0; i < conf->algorithm_names.count; i++) {
		enum digest_algorithm algorithm;
		char index[24];
		bool twice = false;

		snprintf(index, sizeof index, "%zu", i);
		if (!digest_of_name(str_of(names[i]), &algorithm)) {
			COMPLAIN(c, "registrar", "algorithms", index,
			    "expected SHA-512-256, SHA-256 or MD5, got \"%s\"", names[i]);
			continue;
		}
		for (size_t j = 0; j < conf->algorithm_count; j++)
			twice = twice || conf->algorithms[j] == algorithm;
		if (twice)
			COMPLAIN(c, "registrar", "algorithms", index, "is there twice");
		else
			conf->algorithms[conf->algorithm_count++] = algorithm;
	}
	if (conf->algorithm_names.count == 0)
		COMPLAIN(c, "registrar", "algorithms", NULL, "expected one at least");
}

static void
check_rest(const struct checker *c, struct conf *conf)
{
	const struct registrar_conf *r = &conf->registrar;
	struct tls_entry_conf *tls = conf->tls.items;
	char *end;

	if (r->default_expires < r->min_expires ||
	    r->default_expires > r->max_expires)
		COMPLAIN(c, "registrar", "default_expires", NULL,
		    "expected a time from min_expires (%lld) to max_expires (%lld), "
		    "got %lld",
		    (long long)r->min_expires, (long long)r->max_expires,
		    (long long)r->default_expires);
	conf->control.mode_bits = (unsigned)strtoul(conf->control.mode, &end, 8);
	if (*end != '\0' || conf->control.mode_bits > 0777)
		COMPLAIN(c, "control", "mode", NULL,
		    "expected octal permissions such as \"0660\", got \"%s\"",
		    conf->control.mode);
	conf->registrar.refuse_on_failure = conf->on_failure == 1;
	if (conf->store == 1 && conf->store_path == NULL)
		COMPLAIN(c, "location", "path", NULL,
		    "expected the file of store sqlite, got nothing");
	for (size_t i = 0; i < conf->tls.count; i++) {
		tls[i].tls.sni = tls[i].sni.items;
		tls[i].tls.sni_count = tls[i].sni.count;
		for (size_t j = 0; j < tls[i].sni.count; j++)
			if (tls[i].tls.sni[j].certificate == NULL ||
			    tls[i].tls.sni[j].key == NULL)
				tls[i].tls.sni_count = 0; /* told already */
		if (tls[i].tls.verify_client != TLS_VERIFY_OFF &&
		    tls[i].tls.client_ca == NULL)
			COMPLAIN(c, "tls", tls[i].name, "verify_client",
			    "needs client_ca");
	}
}

bool
conf_read(struct conf *conf, const char *path, struct faults *faults)
{
	struct checker c = { .path = path, .faults = faults,
		.readable = settings_read_file(&conf_settings, path, conf, faults) };
	char *text = read_file(path, SIZE_MAX, &c.json.n);

	if (text == NULL)
		return false;
	c.json.p = text;
	/* with a table's faults too, so that all faults come in one go */
	if (c.readable || conf->listeners.items != NULL) {
		check_listeners(&c, conf);
		check_domains(&c, conf);
		check_algorithms(&c, conf);
		if (conf->control.mode != NULL)
			check_rest(&c, conf);
	}
	free(text);
	return faults->count == 0;
}

void
conf_free(struct conf *conf)
{
	settings_free(&conf_settings, conf);
}
