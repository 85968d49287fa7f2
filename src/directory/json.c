/* users.json and users.jsonl. */
#include "config.h"

#include "directory_priv.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "bindery/alloc.h"
#include "bindery/aor.h"
#include "bindery/settings.h"

/* clang-format off */
struct ha1_conf {
	char *hex[DIGEST_ALGORITHMS];
};
static const struct setting ha1_rows[] = {
	{ "SHA-512-256", SETTING_STRING, offsetof(struct ha1_conf, hex[DIGEST_SHA512_256]), .secret = true,
	  .help = "SHA-512/256 of username:realm:password, 64 hexadecimal digits" },
	{ "SHA-256", SETTING_STRING, offsetof(struct ha1_conf, hex[DIGEST_SHA256]), .secret = true,
	  .help = "SHA-256 of username:realm:password, 64 hexadecimal digits" },
	{ "MD5", SETTING_STRING, offsetof(struct ha1_conf, hex[DIGEST_MD5]), .secret = true,
	  .help = "MD5 of username:realm:password, 32 hexadecimal digits" },
	{ 0 }
};
static const struct settings ha1_object = { ha1_rows, sizeof(struct ha1_conf),
	"Hashes in place of a password." };

struct user_conf {
	char *username, *domain, *password;
	struct ha1_conf ha1;
	struct setting_list aliases;
	int64_t max_contacts;
	bool enabled;
};
static const struct setting user_rows[] = {
	{ "username", SETTING_STRING, offsetof(struct user_conf, username), .required = true,
	  .help = "The name in credentials and before the @ of the address of record." },
	{ "domain", SETTING_STRING, offsetof(struct user_conf, domain), .required = true,
	  .help = "A domain of the configuration, or one of its aliases." },
	{ "password", SETTING_STRING, offsetof(struct user_conf, password), .secret = true,
	  .help = "The clear password; `binderyctl passwd` makes hashes to put in its place." },
	{ "ha1", SETTING_OBJECT, offsetof(struct user_conf, ha1), .secret = true, .object = &ha1_object,
	  .help = "Hashes in place of a password, by algorithm." },
	{ "aliases", SETTING_STRINGS, offsetof(struct user_conf, aliases),
	  .help = "Other addresses of record of the user: sip:name@domain." },
	{ "max_contacts", SETTING_INT, offsetof(struct user_conf, max_contacts), .min = 0, .max = 1000,
	  .help = "Bindings at a time; 0: as registrar.max_contacts says." },
	{ "enabled", SETTING_BOOL, offsetof(struct user_conf, enabled), .number = 1,
	  .help = "false: the user cannot register, and loses its bindings." },
	{ 0 }
};
static const struct settings user_object = { user_rows, sizeof(struct user_conf), "A user." };

struct file_conf {
	struct setting_list users;
};
static const struct setting file_rows[] = {
	{ "users", SETTING_ARRAY, offsetof(struct file_conf, users), .object = &user_object,
	  .required = true, .help = "The users." },
	{ 0 }
};
static const struct settings file_object = { file_rows, sizeof(struct file_conf), "A user directory." };
/* clang-format on */

struct loader {
	const char *path;
	struct str json; /* of users.json, to find lines in */
	unsigned line;   /* of users.jsonl; 0 for users.json */
	size_t index;    /* of users.json */
	directory_domain_fn domain_of;
	void *context;
	struct directory *directory;
	struct faults *faults;
};

static void
complain(const struct loader *l, const char *key, const char *what)
{
	char index[24], place[64] = "";
	const char *steps[] = { "users", index, key };
	unsigned line = l->line;

	if (l->line == 0) {
		snprintf(index, sizeof index, "%zu", l->index);
		snprintf(place, sizeof place, "users[%zu].%s", l->index, key);
		line = settings_line(l->json, steps, 3);
	}
	faults_add(l->faults, l->path, line, l->line == 0 ? place : key, "%s",
	    what);
}

/* "sip:alice.smith@example.com" as "alice.smith@example.com", canonical. */
static bool
put_alias(const struct loader *l, struct out *out, const char *text)
{
	struct str rest = str_of(text), user, domain;
	struct directory_domain found;
	char lower[256];

	if (rest.n > 4 && str_caseeq((struct str){ rest.p, 4 }, STR("sip:")))
		rest = str_from(rest, 4);
	else if (rest.n > 5 &&
	    str_caseeq((struct str){ rest.p, 5 }, STR("sips:")))
		rest = str_from(rest, 5);
	user = str_cut(&rest, '@');
	domain = rest;
	if (user.n == 0 || domain.n == 0 || domain.n > sizeof lower ||
	    str_find(domain, ';') < domain.n)
		return false;
	str_lower(lower, domain);
	domain.p = lower;
	found = l->domain_of(l->context, domain);
	if (found.name.p != NULL)
		domain = found.name;
	aor_write(out, user, domain);
	return true;
}

static void
hash_password(struct user *user, struct str realm, const char *password)
{
	for (int i = 0; i < DIGEST_ALGORITHMS; i++) {
		digest_ha1((enum digest_algorithm)i, user->username, realm,
		    str_of(password), user->ha1[i]);
		user->has_ha1 |= (uint8_t)(1 << i);
	}
}

static void
read_hashes(const struct loader *l, struct user *user,
    const struct ha1_conf *ha1)
{
	for (int i = 0; i < DIGEST_ALGORITHMS; i++) {
		size_t size = digest_size((enum digest_algorithm)i);
		char what[80];

		if (ha1->hex[i] == NULL)
			continue;
		if (hex_read(user->ha1[i], size, str_of(ha1->hex[i]))) {
			user->has_ha1 |= (uint8_t)(1 << i);
			continue;
		}
		snprintf(what, sizeof what, "%s: expected %zu hexadecimal digits",
		    digest_name((enum digest_algorithm)i), 2 * size);
		complain(l, "ha1", what);
	}
}

static bool
is_plain_name(const char *text)
{
	for (; *text != '\0'; text++)
		if ((unsigned char)*text < ' ' || *text == 0x7f || *text == ':')
			return false;
	return true;
}

static struct entry *
new_entry(const struct loader *l, const struct user_conf *conf,
    struct directory_domain domain)
{
	size_t room = 2 * strlen(conf->username) + 2 * domain.name.n + 4;
	char **aliases = conf->aliases.items;
	struct entry *entry;
	struct user *user;
	struct out out;

	for (size_t i = 0; i < conf->aliases.count; i++)
		room += strlen(aliases[i]) + 256;
	entry = xcalloc(1, sizeof *entry + room);
	user = &entry->user;
	out = out_to(entry->text, room);
	user->aor.p = out.at;
	out_add(&out, str_of(conf->username));
	out_char(&out, '@');
	out_add(&out, domain.name);
	user->aor.n = out_size(&out);
	user->username = (struct str){ user->aor.p, strlen(conf->username) };
	user->domain = str_from(user->aor, user->username.n + 1);
	user->aliases = xcalloc(conf->aliases.count, sizeof *user->aliases);
	for (size_t i = 0; i < conf->aliases.count; i++) {
		char *start = out.at;

		if (!put_alias(l, &out, aliases[i]))
			complain(l, "aliases", "expected sip:name@domain");
		user->aliases[user->alias_count++] =
		    (struct str){ start, (size_t)(out.at - start) };
	}
	user->enabled = conf->enabled;
	user->max_contacts = (uint32_t)conf->max_contacts;
	entry->line = l->line;
	return entry;
}

static void
add_user(struct loader *l, const struct user_conf *conf)
{
	struct directory_domain domain;
	struct entry *entry;
	char lower[256];
	size_t n = conf->domain != NULL ? strlen(conf->domain) : 0;

	if (conf->username == NULL || n == 0 || n > sizeof lower)
		return; /* told already */
	if (!is_plain_name(conf->username))
		complain(l, "username", "has a colon or a control character");
	str_lower(lower, str_of(conf->domain));
	domain = l->domain_of(l->context, (struct str){ lower, n });
	if (domain.name.p == NULL)
		domain = (struct directory_domain){ { lower, n }, { lower, n } };
	entry = new_entry(l, conf, domain);
	read_hashes(l, &entry->user, &conf->ha1);
	if (conf->password != NULL && entry->user.has_ha1 != 0)
		complain(l, "password", "there is a password and ha1; keep one");
	else if (conf->password != NULL)
		hash_password(&entry->user, domain.realm, conf->password);
	else if (entry->user.has_ha1 == 0)
		complain(l, "username", "has neither a password nor ha1");
	if (directory_add(l->directory, entry) != NULL) {
		char what[640];

		snprintf(what, sizeof what, "%.*s, or an alias of it, is there already",
		    STR_ARG(entry->user.aor));
		complain(l, "username", what);
		free(entry->user.aliases);
		free(entry);
	}
}

static void
read_whole(struct loader *l)
{
	struct file_conf file = { 0 };
	size_t size;
	char *text;

	if (settings_read_file(&file_object, l->path, &file, l->faults)) {
		text = read_file(l->path, SIZE_MAX, &size);
		if (text == NULL)
			text = xstrdup("");
		l->json = str_of(text);
		for (; l->index < file.users.count; l->index++)
			add_user(l, (struct user_conf *)file.users.items + l->index);
		free(text);
	}
	settings_free(&file_object, &file);
}

static void
read_lines(struct loader *l)
{
	FILE *file = fopen(l->path, "re");
	char *line = NULL;
	size_t room = 0;
	ssize_t n;

	if (file == NULL) {
		faults_add(l->faults, l->path, 0, "", "cannot be read: %s",
		    strerror(errno));
		return;
	}
	while ((n = getline(&line, &room, file)) >= 0) {
		struct str json = str_trim((struct str){ line, (size_t)n });
		struct user_conf conf = { 0 };

		l->line++;
		if (json.n == 0)
			continue;
		if (settings_read_line(&user_object, l->path, l->line, json, &conf,
		        l->faults))
			add_user(l, &conf);
		settings_free(&user_object, &conf);
	}
	if (ferror(file))
		faults_add(l->faults, l->path, l->line, "", "cannot be read: %s",
		    strerror(errno));
	free(line);
	fclose(file);
}

struct directory *
directory_read_json(const char *path, directory_domain_fn domain_of,
    void *context, struct faults *faults)
{
	struct loader l = { .path = path, .domain_of = domain_of,
		.context = context, .faults = faults };
	size_t before = faults->count + faults->more, n = strlen(path);

	l.directory = directory_new();
	if (n > 6 && strcmp(path + n - 6, ".jsonl") == 0)
		read_lines(&l);
	else
		read_whole(&l);
	if (faults->count + faults->more == before)
		return l.directory;
	directory_unref(l.directory);
	return NULL;
}
