/* A password becomes hashes; the clear one goes nowhere. */
#include "config.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bindery/crypto.h"
#include "commands.h"
#include "terminal.h"
#include "text.h"
#include "users_file.h"

enum { PASSWORD_MAX = 1024 };

struct password {
	char bytes[PASSWORD_MAX];
	size_t n;
};

/* ---- reading it ---- */

/*
 * One line of standard input, byte by byte: a stream would keep a copy, and
 * take more than the line from whoever reads next.
 */
static int
read_line(struct password *to)
{
	struct pollfd in = { STDIN_FILENO, POLLIN, 0 };
	ssize_t n = 1;
	char c;

	to->n = 0;
	for (;;) {
		if (ppoll(&in, 1, NULL, interrupts_mask()) < 0 && errno != EINTR)
			return failed("standard input: %s", strerror(errno));
		if (interrupted() != 0)
			return FAILED;
		if (in.revents == 0)
			continue;
		n = read(STDIN_FILENO, &c, 1);
		if (n < 0)
			return failed("standard input: %s", strerror(errno));
		if (n == 0 || c == '\n')
			break;
		if (to->n == PASSWORD_MAX)
			return failed("the password is longer than %d bytes",
			    PASSWORD_MAX);
		to->bytes[to->n++] = c;
	}
	if (to->n > 0 && to->bytes[to->n - 1] == '\r')
		to->n--;
	return to->n > 0 ? DONE : failed("the password is empty");
}

static int
ask_once(const char *prompt, struct password *to)
{
	int code;

	fputs(prompt, stderr);
	code = read_line(to);
	fputc('\n', stderr);
	return code;
}

static int
ask_twice(struct password *password)
{
	struct password again = { .n = 0 };
	struct termios before;
	int code;

	interrupts_catch();
	if (!keyboard_hush(STDIN_FILENO, false, &before))
		return failed("the terminal cannot be silenced: %s",
		    strerror(errno));
	code = ask_once("Password: ", password);
	if (code == DONE)
		code = ask_once("Again: ", &again);
	keyboard_restore(STDIN_FILENO, &before);
	interrupts_obey();
	if (code == DONE && (password->n != again.n ||
	        memcmp(password->bytes, again.bytes, again.n) != 0))
		code = failed("the passwords differ");
	explicit_bzero(&again, sizeof again);
	return code;
}

/* ---- hashing it ---- */

static json_t *
hashes_of(struct str username, struct str realm,
    const struct password *password)
{
	json_t *ha1 = json_object();

	for (int i = DIGEST_ALGORITHMS; i-- > 0;) {
		enum digest_algorithm algorithm = (enum digest_algorithm)i;
		size_t size = digest_size(algorithm);
		unsigned char hash[DIGEST_MAX];
		char hex[DIGEST_HEX_MAX];

		digest_ha1(algorithm, username, realm,
		    (struct str){ password->bytes, password->n }, hash);
		hex_write(hex, hash, size);
		json_object_set_new(ha1, digest_name(algorithm),
		    json_stringn(hex, 2 * size));
		explicit_bzero(hash, sizeof hash);
	}
	return ha1;
}

/* As the server has it: nothing that could not stand in credentials. */
static bool
is_name(struct str text)
{
	for (size_t i = 0; i < text.n; i++)
		if ((unsigned char)text.p[i] <= ' ' || text.p[i] == 0x7f ||
		    strchr("\":@", text.p[i]) != NULL)
			return false;
	return text.n > 0;
}

static int
read_user(const char *word, struct str *username, struct str *domain)
{
	struct str rest = str_of(word);

	if (str_starts(rest, STR("sip:")))
		rest = str_from(rest, 4);
	*username = str_cut(&rest, '@');
	*domain = rest;
	/* an IPv6 address has colons of its own */
	if (is_name(*username) && domain->n > 0 &&
	    (is_name(*domain) || domain->p[0] == '['))
		return DONE;
	return misused("expected USER@DOMAIN, got \"%s\"", word);
}

static int
put(const struct ctl *ctl, struct str username, struct str domain, json_t *ha1)
{
	json_t *user;
	bool added;

	if (ctl->file == NULL) {
		user = user_object(username, domain, ha1);
		print_json(user, 0);
		json_decref(user);
		return DONE;
	}
	if (users_file_put(ctl->file, username, domain, ha1, &added) != DONE)
		return FAILED;
	if (ctl->json) {
		json_t *told = json_pack("{s:s%, s:s%, s:b}", "username",
		    username.p, username.n, "domain", domain.p, domain.n, "added",
		    (int)added);

		print_json(told, JSON_COMPACT);
		json_decref(told);
	} else {
		printf("%.*s@%.*s %s; binderyctl reload makes the server read it\n",
		    STR_ARG(username), STR_ARG(domain),
		    added ? "added" : "has a new password");
	}
	return DONE;
}

int
cmd_passwd(struct ctl *ctl)
{
	struct password password = { .n = 0 };
	struct str username, domain;
	json_t *ha1;
	int code = read_user(ctl->args[0], &username, &domain);

	if (code != DONE)
		return code;
	code = isatty(STDIN_FILENO) ? ask_twice(&password)
	                            : read_line(&password);
	if (code == DONE) {
		ha1 = hashes_of(username,
		    ctl->realm != NULL ? str_of(ctl->realm) : domain, &password);
		code = put(ctl, username, domain, ha1);
		json_decref(ha1);
	}
	explicit_bzero(&password, sizeof password);
	return code;
}
