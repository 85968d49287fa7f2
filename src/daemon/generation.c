/* Makes a generation of what the configuration names. */
#include "config.h"

#include "generation.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bindery/alloc.h"
#include "bindery/clock.h"
#include "bindery/rand.h"

struct host_entry {
	struct hash_node node;
	struct str host;
	char text[258]; /* lower case, IPv6 in brackets */
	const struct registrar_domain *domain;
};

static const struct host_entry *
find_host(const struct generation *g, struct str host)
{
	struct hash_node *node =
	    hash_first(&g->hosts, hash64(&g->key, host.p, host.n));

	for (; node != NULL; node = hash_next(&g->hosts, node)) {
		struct host_entry *entry =
		    container_of(node, struct host_entry, node);

		if (str_eq(entry->host, host))
			return entry;
	}
	return NULL;
}

const struct registrar_domain *
generation_domain(const struct generation *g, struct str host)
{
	const struct host_entry *entry = find_host(g, host);

	return entry != NULL ? entry->domain : g->any;
}

/* An IPv6 address is in brackets in a URI; people write it without. */
static void
add_host(struct generation *g, const char *path, const char *name,
    const struct registrar_domain *domain, struct faults *faults)
{
	struct host_entry *entry = &g->host_entries[g->host_count];
	bool bare_ipv6 = strchr(name, ':') != NULL && name[0] != '[';
	struct out out = out_to(entry->text, sizeof entry->text);

	if (strlen(name) > 250) {
		faults_add(faults, path, 0, "domains", "a name is too long: %.40s...",
		    name);
		return;
	}
	if (bare_ipv6)
		out_char(&out, '[');
	str_lower(out.at, str_of(name));
	out.at += strlen(name);
	if (bare_ipv6)
		out_char(&out, ']');
	entry->host = out_str(&out);
	entry->domain = domain;
	if (find_host(g, entry->host) != NULL) {
		faults_add(faults, path, 0, "domains",
		    "\"%s\" is the name or alias of two domains", name);
		return;
	}
	hash_insert(&g->hosts, &entry->node,
	    hash64(&g->key, entry->host.p, entry->host.n));
	g->host_count++;
}

static struct str
service_route(const struct domain_conf *conf)
{
	char *text = xstrdup(""), *longer;
	char **routes = conf->service_route.items;

	for (size_t i = 0; i < conf->service_route.count; i++) {
		longer = xasprintf("%sService-Route: <%s>\r\n", text, routes[i]);
		free(text);
		text = longer;
	}
	return str_of(text);
}

static void
make_domains(struct generation *g, const char *path, struct faults *faults)
{
	const struct domain_conf *conf = g->conf.domains.items;
	size_t hosts = 0;

	for (size_t i = 0; i < g->conf.domains.count; i++)
		hosts += 1 + conf[i].aliases.count;
	g->domains = xcalloc(g->conf.domains.count, sizeof *g->domains);
	g->host_entries = xcalloc(hosts, sizeof *g->host_entries);
	for (size_t i = 0; i < g->conf.domains.count; i++) {
		struct registrar_domain *domain = &g->domains[i];
		char **aliases = conf[i].aliases.items;
		bool any = strcmp(conf[i].name, "*") == 0;

		domain->auth = (struct auth_realm){
			.algorithms = g->conf.algorithms,
			.algorithm_count = g->conf.algorithm_count,
			.nonce_lifetime = g->conf.nonce_lifetime,
			.allow_rfc2069 = conf[i].allow_rfc2069,
		};
		domain->service_route = service_route(&conf[i]);
		if (any) {
			domain->name = STR("*");
			g->any = domain;
		} else {
			size_t at = g->host_count;

			add_host(g, path, conf[i].name, domain, faults);
			domain->name = g->host_entries[at].host;
		}
		domain->realm = conf[i].realm != NULL ? str_of(conf[i].realm)
		    : any                             ? STR_NONE
		                                      : str_of(conf[i].name);
		for (size_t j = 0; j < conf[i].aliases.count; j++)
			add_host(g, path, aliases[j], domain, faults);
	}
}

/* What a user's "domain" means: the domain's own name and realm. */
static struct directory_domain
domain_of(void *context, struct str name)
{
	const struct generation *g = context;
	const struct host_entry *entry = find_host(g, name);
	const struct registrar_domain *domain =
	    entry != NULL ? entry->domain : g->any;

	if (domain == NULL)
		return (struct directory_domain){ STR_NONE, STR_NONE };
	return (struct directory_domain){
		domain == g->any ? name : domain->name,
		domain->realm.p != NULL ? domain->realm : name
	};
}

/* A fault of what a setting names, at that setting's line. */
static void
complain(const char *path, const char *const *steps, size_t n,
    const char *what, struct faults *faults)
{
	char place[512];
	struct out out = out_to(place, sizeof place);
	struct str json;
	char *text = read_file(path, SIZE_MAX, &json.n);

	json.p = text;
	settings_place(&out, steps, n);
	faults_add(faults, path,
	    text != NULL ? settings_line(json, steps, n) : 0, out_z(&out), "%s",
	    what);
	free(text);
}

static void
read_directories(struct generation *g, const char *path, struct faults *faults)
{
	const struct directory_conf *conf = g->conf.directories.items;

	g->directories = xcalloc(g->conf.directories.count,
	    sizeof(struct directory *));
	for (size_t i = 0; i < g->conf.directories.count; i++) {
		const char *steps[] = { "directories", conf[i].name, "path" };
		char *what;

		if (conf[i].path == NULL)
			continue; /* told already */
		if (access(conf[i].path, R_OK) != 0) {
			what = xasprintf("%s: %s", conf[i].path, strerror(errno));
			complain(path, steps, 3, what, faults);
			free(what);
			continue;
		}
		g->directories[i] =
		    directory_read_json(conf[i].path, domain_of, g, faults);
	}
}

static void
read_certificates(struct generation *g, const char *path,
    struct faults *faults)
{
	const struct tls_entry_conf *conf = g->conf.tls.items;

	g->tls = xcalloc(g->conf.tls.count, sizeof(struct tls_context *));
	for (size_t i = 0; i < g->conf.tls.count; i++) {
		char *why = NULL;
		const char *key = NULL, *name = NULL;

		if (conf[i].tls.certificate == NULL || conf[i].tls.key == NULL)
			continue;
		g->tls[i] = tls_context_new(&conf[i].tls, &why, &key, &name);
		if (g->tls[i] != NULL)
			continue;
		if (name != NULL)
			complain(path, (const char *[]){ "tls", conf[i].name, "sni", name,
			                   key }, 5, why, faults);
		else
			complain(path, (const char *[]){ "tls", conf[i].name, key }, 3,
			    why, faults);
		free(why);
	}
}

static void
connect_directories(struct generation *g)
{
	const struct domain_conf *conf = g->conf.domains.items;

	for (size_t i = 0; i < g->conf.domains.count; i++)
		g->domains[i].directory = g->directories[conf[i].directory_index];
}

struct generation *
generation_read(const char *path, struct faults *faults)
{
	struct generation *g = xcalloc(1, sizeof *g);
	bool sound;

	atomic_init(&g->references, 1);
	random_bytes(&g->key, sizeof g->key);
	sound = conf_read(&g->conf, path, faults);
	/* what can be looked at is looked at: one run tells all faults */
	read_certificates(g, path, faults);
	if (sound) {
		make_domains(g, path, faults);
		read_directories(g, path, faults);
		connect_directories(g);
	}
	g->loaded_at = clock_wall_ms();
	if (faults->count == 0)
		return g;
	generation_unref(g);
	return NULL;
}

struct generation *
generation_ref(struct generation *g)
{
	atomic_fetch_add(&g->references, 1);
	return g;
}

void
generation_unref(struct generation *g)
{
	if (g == NULL || atomic_fetch_sub(&g->references, 1) > 1)
		return;
	for (size_t i = 0; g->directories != NULL && i < g->conf.directories.count;
	     i++)
		directory_unref(g->directories[i]);
	for (size_t i = 0; g->tls != NULL && i < g->conf.tls.count; i++)
		tls_context_unref(g->tls[i]);
	for (size_t i = 0; g->domains != NULL && i < g->conf.domains.count; i++)
		free((char *)(uintptr_t)g->domains[i].service_route.p);
	free(g->directories);
	free(g->tls);
	free(g->domains);
	free(g->host_entries);
	hash_free(&g->hosts);
	conf_free(&g->conf);
	free(g);
}

const struct user *
generation_user(const struct generation *g, struct str aor)
{
	size_t at = aor.n;
	const struct registrar_domain *domain;
	const struct user *user;

	while (at > 0 && aor.p[at - 1] != '@')
		at--;
	if (at == 0)
		return NULL;
	domain = generation_domain(g, str_from(aor, at));
	if (domain == NULL)
		return NULL;
	user = directory_find_aor(domain->directory, aor);
	if (user == NULL && domain == g->any)
		user = directory_find(domain->directory,
		    (struct str){ aor.p, at - 1 }, STR("*"));
	return user;
}

size_t
generation_users(const struct generation *g)
{
	size_t n = 0;

	for (size_t i = 0; i < g->conf.directories.count; i++)
		n += directory_size(g->directories[i]);
	return n;
}
