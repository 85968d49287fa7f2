/* Finds the bytes of one user's object, and what to write in their place. */
#include "config.h"

#include "users_file.h"

#include <stdlib.h>
#include <string.h>

#include "bindery/alloc.h"
#include "bindery/buf.h"
#include "ctl.h"
#include "replace.h"
#include "text.h"

struct users_file {
	const char *path;
	struct str text;
	struct str username, domain; /* who is looked for */

	/* while walking */
	size_t at;
	unsigned line;

	/* what was found: bytes to replace, and what they say; or the end of
	 * the last user, to add one behind it */
	size_t from, to;
	json_t *user;
	size_t last_from, last_to, gap; /* gap: where the blanks before it began */
	bool has_users;
};

/* ---- walking ---- */

static int
wrong(const struct users_file *f, const char *what)
{
	return failed("%s:%u: %s; nothing was changed", f->path, f->line, what);
}

/* The byte behind the blanks; 0 at the end. */
static char
next_byte(struct users_file *f)
{
	for (; f->at < f->text.n; f->at++) {
		char c = f->text.p[f->at];

		if (c == '\n')
			f->line++;
		else if (c != ' ' && c != '\t' && c != '\r')
			return c != '\0' ? c : '\1'; /* no end, but no JSON */
	}
	return '\0';
}

static int
expect(struct users_file *f, char c)
{
	char what[] = "expected ?";

	what[sizeof what - 2] = c;
	if (next_byte(f) != c)
		return wrong(f, what);
	f->at++;
	return DONE;
}

/* The value that comes; NULL after telling why. At most `size` bytes of it. */
static json_t *
take_value(struct users_file *f, size_t size)
{
	json_error_t error;
	json_t *value;
	size_t end;

	(void)next_byte(f);
	value = json_loadb(f->text.p + f->at, size, JSON_DECODE_ANY |
	    JSON_DISABLE_EOF_CHECK | JSON_REJECT_DUPLICATES, &error);
	if (value == NULL) {
		f->line += error.line > 0 ? (unsigned)error.line - 1 : 0;
		(void)wrong(f, error.text);
		return NULL;
	}
	end = f->at + (size_t)error.position;
	for (; f->at < end; f->at++)
		f->line += f->text.p[f->at] == '\n';
	return value;
}

/* Takes one user, and remembers it if it is the one that is looked for. */
static int
take_user(struct users_file *f, size_t size)
{
	size_t from;
	unsigned line;
	json_t *user;
	bool is_it;

	(void)next_byte(f);
	from = f->at;
	line = f->line;
	user = take_value(f, size);
	if (user == NULL)
		return FAILED;
	f->last_from = from;
	f->last_to = f->at;
	is_it = str_eq(string_of(json_object_get(user, "username")),
	            f->username) &&
	    str_caseeq(string_of(json_object_get(user, "domain")), f->domain);
	if (json_is_object(user) && !is_it) {
		json_decref(user);
		return DONE;
	}
	if (!json_is_object(user) || f->user != NULL) {
		json_decref(user);
		f->line = line;
		return wrong(f, f->user != NULL ? "the user is there twice"
		                                : "expected an object");
	}
	f->user = user;
	f->from = from;
	f->to = f->at;
	return DONE;
}

static int
walk_users(struct users_file *f)
{
	int code = expect(f, '[');

	f->has_users = true;
	f->gap = f->last_from = f->last_to = f->at;
	if (code == DONE && next_byte(f) == ']') {
		f->at++;
		return DONE;
	}
	while (code == DONE) {
		code = take_user(f, f->text.n - f->at);
		if (code == DONE && next_byte(f) != ',')
			return expect(f, ']');
		f->gap = ++f->at;
	}
	return code;
}

static int
walk_member(struct users_file *f)
{
	json_t *key, *value = NULL;
	bool is_users;

	if (next_byte(f) == '}' && !f->has_users)
		return wrong(f, "expected \"users\"");
	if (next_byte(f) != '"')
		return expect(f, '"');
	key = take_value(f, f->text.n - f->at);
	is_users = str_eq(string_of(key), STR("users"));
	json_decref(key);
	if (key == NULL || expect(f, ':') != DONE)
		return FAILED;
	if (is_users && f->has_users)
		return wrong(f, "\"users\" is there twice");
	if (is_users)
		return walk_users(f);
	value = take_value(f, f->text.n - f->at);
	json_decref(value);
	return value != NULL ? DONE : FAILED;
}

static int
walk_whole(struct users_file *f)
{
	int code = expect(f, '{');

	while (code == DONE) {
		code = walk_member(f);
		if (code != DONE || next_byte(f) != ',')
			break;
		f->at++;
	}
	if (code == DONE)
		code = expect(f, '}');
	if (code == DONE && next_byte(f) != '\0')
		return wrong(f, "expected nothing more");
	if (code == DONE && !f->has_users)
		return wrong(f, "expected \"users\"");
	return code;
}

static int
walk_lines(struct users_file *f)
{
	int code = DONE;

	while (code == DONE && next_byte(f) != '\0') {
		unsigned line = f->line;
		size_t end = f->at +
		    str_find(str_from(f->text, f->at), '\n');

		code = take_user(f, end - f->at);
		if (code == DONE && next_byte(f) != '\0' && f->line == line)
			return wrong(f, "expected one object a line");
	}
	return code;
}

/* ---- writing the entry ---- */

static size_t
indent_at(const struct users_file *f, size_t at)
{
	size_t n = 0;

	while (at > 0 && f->text.p[at - 1] != '\n')
		at--;
	while (at + n < f->text.n &&
	    (f->text.p[at + n] == ' ' || f->text.p[at + n] == '\t'))
		n++;
	return n;
}

static struct str
line_start(const struct users_file *f, size_t at)
{
	size_t n = indent_at(f, at);

	while (at > 0 && f->text.p[at - 1] != '\n')
		at--;
	return (struct str){ f->text.p + at, n };
}

/* Broken into lines, and set in, as the object that it replaces or follows. */
static void
put_object(struct buf *to, const struct users_file *f, const json_t *user)
{
	struct str old = { f->text.p + f->last_from, f->last_to - f->last_from };
	struct str margin = line_start(f, f->last_from), rest, line;
	size_t first_line = f->last_from + str_find(old, '\n');
	size_t inner = 2;
	char *text;

	if (first_line < f->last_to &&
	    indent_at(f, first_line + 1) > margin.n)
		inner = indent_at(f, first_line + 1) - margin.n;
	if (first_line < f->last_to)
		text = json_dumps(user, JSON_INDENT(inner > 8 ? 8 : inner));
	else
		text = json_dumps(user, old.n > 0 && memmem(old.p, old.n, "\": ", 3) ==
		        NULL ? JSON_COMPACT : 0);
	rest = str_of(text);
	line = str_cut(&rest, '\n');
	text_add(to, line);
	while (rest.p != NULL) {
		line = str_cut(&rest, '\n');
		text_add(to, STR("\n"));
		text_add(to, margin);
		text_add(to, line);
	}
	free(text);
}

static void
put_change(struct buf *to, struct users_file *f, json_t *ha1)
{
	f->last_from = f->from;
	f->last_to = f->to;
	json_object_del(f->user, "password");
	json_object_set(f->user, "ha1", ha1);
	put_object(to, f, f->user);
}

/* Behind the last user, with the same blanks between. */
static void
put_addition(struct buf *to, struct users_file *f, json_t *ha1, bool lines)
{
	json_t *user = user_object(f->username, f->domain, ha1);
	bool first = f->last_to == f->last_from;

	f->from = f->to = f->last_to;
	if (lines) {
		if (f->text.n > 0 && f->text.p[f->text.n - 1] != '\n')
			text_add(to, STR("\n"));
		f->from = f->to = f->text.n;
	} else if (first) {
		text_add(to, STR("\n  "));
	} else {
		text_add(to, STR(","));
		text_add(to, (struct str){ f->text.p + f->gap,
		                 f->last_from - f->gap });
	}
	put_object(to, f, user);
	if (lines || (first && f->text.p[f->to] == ']'))
		text_add(to, STR("\n"));
	json_decref(user);
}

/* ---- */

json_t *
user_object(struct str username, struct str domain, json_t *ha1)
{
	return json_pack("{s:s%, s:s%, s:O}", "username", username.p, username.n,
	    "domain", domain.p, domain.n, "ha1", ha1);
}

int
users_file_put(const char *path, struct str username, struct str domain,
    json_t *ha1, bool *added)
{
	struct users_file f = { .path = path, .line = 1, .username = username,
		.domain = domain };
	struct old_file old;
	size_t n = strlen(path);
	bool lines = n > 6 && strcmp(path + n - 6, ".jsonl") == 0;
	struct buf change = { 0 };
	int code = old_file_open(&old, path);

	f.text = old.text;
	if (code == DONE)
		code = lines ? walk_lines(&f) : walk_whole(&f);
	if (code == DONE) {
		*added = f.user == NULL;
		if (*added)
			put_addition(&change, &f, ha1, lines);
		else
			put_change(&change, &f, ha1);
		code = old_file_replace(&old, f.from, f.to, text_of(&change));
	}
	buf_free(&change);
	json_decref(f.user);
	old_file_close(&old);
	return code;
}
