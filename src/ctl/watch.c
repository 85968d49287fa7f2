/*
 * The live view: status once a second, rates from the counters of two looks,
 * and the events between them.
 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bindery/alloc.h"
#include "bindery/clock.h"
#include "commands.h"
#include "events.h"
#include "terminal.h"

/* What is counted, from counters of one name or of one beginning. */
struct rate {
	const char *title;       /* on a terminal */
	const char *key;         /* in a line */
	const char *counters[5]; /* "refused_*" takes all that begin so */
};

/* clang-format off */
static const struct rate rates[] = {
	{ "requests",           "requests",    { "requests" } },
	{ "answers",            "answers",     { "answers" } },
	{ "bindings added",     "added",       { "bindings_added" } },
	{ "bindings refreshed", "refreshed",   { "bindings_refreshed" } },
	{ "bindings gone",      "gone",        { "bindings_removed", "bindings_expired", "bindings_replaced" } },
	{ "challenges",         "challenges",  { "auth_challenged", "auth_stale" } },
	{ "failed logins",      "auth_failed", { "auth_bad_credentials", "auth_unknown_user", "auth_replayed", "auth_forbidden" } },
	{ "new connections",    "connected",   { "connections_accepted" } },
	{ "TLS handshakes",     "handshakes",  { "tls_handshakes", "tls_handshakes_failed" } },
	{ "refused, dropped",   "refused",     { "refused_*", "dropped_*" } },
	{ "over a limit",       "limited",     { "limit_*" } },
};
/* clang-format on */
enum { RATES = sizeof rates / sizeof *rates, EVENTS = 100, SECOND_MS = 1000 };

struct look {
	int64_t at_ms; /* 0: not yet */
	int64_t totals[RATES];
};

struct watch {
	const struct ctl *ctl;
	struct client *client;
	struct screen screen;
	json_t *status;
	struct look now, before;
	char *events[EVENTS]; /* a ring */
	size_t event_count;
	bool keys; /* standard input is a keyboard */
	bool quit;
};

/* ---- counting ---- */

static bool
matches(const char *pattern, const char *name)
{
	size_t n = strlen(pattern);

	if (pattern[n - 1] == '*')
		return strncmp(pattern, name, n - 1) == 0;
	return strcmp(pattern, name) == 0;
}

static int64_t
total_of(const struct rate *rate, json_t *counters)
{
	int64_t total = 0;
	const char *name;
	json_t *value;

	json_object_foreach(counters, name, value)
		for (int i = 0; rate->counters[i] != NULL; i++)
			if (matches(rate->counters[i], name))
				total += json_integer_value(value);
	return total;
}

static bool
look(struct watch *w)
{
	json_t *status = client_call(w->client, "status", NULL);

	if (status == NULL)
		return false;
	json_decref(w->status);
	w->status = status;
	w->before = w->now;
	w->now.at_ms = clock_mono_ms();
	for (int i = 0; i < RATES; i++)
		w->now.totals[i] = total_of(&rates[i],
		    json_object_get(status, "counters"));
	return true;
}

/* "12.5", or "-" at the first look. */
static void
put_rate(struct buf *to, const struct watch *w, int i)
{
	int64_t passed = w->now.at_ms - w->before.at_ms;

	if (w->before.at_ms == 0 || passed <= 0)
		text_add(to, STR("-"));
	else
		text_format(to, "%.1f",
		    (double)(w->now.totals[i] - w->before.totals[i]) *
		        SECOND_MS / (double)passed);
}

static void
remember_event(void *context, const json_t *params)
{
	struct watch *w = context;
	char **at = &w->events[w->event_count++ % EVENTS];
	struct buf line = { 0 };

	event_text(&line, params);
	free(*at);
	*at = xmemdupz(text_of(&line).p, text_of(&line).n);
	buf_free(&line);
}

static const json_t *
status_at(const struct watch *w, const char *part, const char *key)
{
	return json_object_get(json_object_get(w->status, part), key);
}

/* ---- as lines ---- */

static void
put_pair(struct buf *to, const char *key, const json_t *value)
{
	text_format(to, " %s=", key);
	text_value(to, value);
}

static void
print_line(const struct watch *w)
{
	char time[ISO_TIME_SIZE];
	struct buf line = { 0 };

	clock_iso(clock_wall_ms(), time);
	text_format(&line, "%s ", time);
	text_value(&line, json_object_get(w->status, "name"));
	put_pair(&line, "aors", status_at(w, "registrations", "aors"));
	put_pair(&line, "bindings", status_at(w, "registrations", "bindings"));
	put_pair(&line, "tcp", status_at(w, "connections", "tcp"));
	put_pair(&line, "tls", status_at(w, "connections", "tls"));
	for (int i = 0; i < RATES; i++) {
		text_format(&line, " %s/s=", rates[i].key);
		put_rate(&line, w, i);
	}
	printf("%.*s\n", STR_ARG(text_of(&line)));
	fflush(stdout);
	buf_free(&line);
}

/* ---- as a screen ---- */

/* One line of the screen, cut to its width; counts off *left. */
static void
draw(const struct watch *w, size_t *left, enum tone tone, struct buf *line)
{
	struct str text = text_of(line);

	if (*left > 0) {
		(*left)--;
		if (w->screen.width > 0)
			text.n = text_fit(text, w->screen.width);
		printf("\033[K%s%.*s%s%s", tone_on(&w->screen, tone),
		    STR_ARG(text), tone_off(&w->screen, tone),
		    *left > 0 ? "\r\n" : "");
	}
	buf_free(line);
}

static void
draw_head(const struct watch *w, size_t *left)
{
	const json_t *error = status_at(w, "config", "last_error");
	struct buf line = { 0 };

	text_value(&line, json_object_get(w->status, "name"));
	text_add(&line, STR(" "));
	text_value(&line, json_object_get(w->status, "version"));
	text_add(&line, STR("  up "));
	text_duration(&line,
	    json_integer_value(json_object_get(w->status, "uptime")));
	put_pair(&line, " pid", json_object_get(w->status, "pid"));
	put_pair(&line, " generation", status_at(w, "config", "generation"));
	draw(w, left, TONE_HEAD, &line);
	if (error != NULL && !json_is_null(error)) {
		text_add(&line, STR("the last reload failed; status tells why"));
		draw(w, left, TONE_BAD, &line);
	}
	text_add(&line, STR("registrations"));
	put_pair(&line, " aors", status_at(w, "registrations", "aors"));
	put_pair(&line, " bindings", status_at(w, "registrations", "bindings"));
	put_pair(&line, " users", json_object_get(w->status, "users"));
	draw(w, left, TONE_PLAIN, &line);
	text_add(&line, STR("connections  "));
	put_pair(&line, " tcp", status_at(w, "connections", "tcp"));
	put_pair(&line, " tls", status_at(w, "connections", "tls"));
	text_add(&line, STR("  transactions"));
	put_pair(&line, "server", status_at(w, "transactions", "server"));
	put_pair(&line, "client", status_at(w, "transactions", "client"));
	draw(w, left, TONE_PLAIN, &line);
	draw(w, left, TONE_PLAIN, &line);
}

static void
draw_rates(const struct watch *w, size_t *left)
{
	struct buf line = { 0 }, rate = { 0 };

	text_format(&line, "%-20s %10s %14s", "", "PER SECOND", "IN ALL");
	draw(w, left, TONE_HEAD, &line);
	for (int i = 0; i < RATES; i++) {
		put_rate(&rate, w, i);
		text_format(&line, "%-20s %10.*s %14lld", rates[i].title,
		    STR_ARG(text_of(&rate)), (long long)w->now.totals[i]);
		buf_free(&rate);
		draw(w, left, TONE_PLAIN, &line);
	}
	draw(w, left, TONE_PLAIN, &line);
}

/* The newest at the bottom, as in a log. */
static void
draw_events(const struct watch *w, size_t *left)
{
	size_t held = w->event_count < EVENTS ? w->event_count : EVENTS;
	struct buf line = { 0 };
	size_t shown;

	text_add(&line, held > 0 ? STR("LAST EVENTS")
	                         : STR("LAST EVENTS (none yet)"));
	draw(w, left, TONE_HEAD, &line);
	shown = held < *left ? held : *left;
	for (size_t i = w->event_count - shown; i < w->event_count; i++) {
		text_add(&line, str_of(w->events[i % EVENTS]));
		draw(w, left, TONE_PLAIN, &line);
	}
}

static void
draw_screen(struct watch *w)
{
	size_t left;

	w->screen = screen_now();
	left = w->screen.height > 0 ? w->screen.height : 24;
	printf("\033[H");
	draw_head(w, &left);
	draw_rates(w, &left);
	draw_events(w, &left);
	printf("\033[J");
	fflush(stdout);
}

/* ---- from one second to the next ---- */

static void
read_keys(struct watch *w)
{
	char keys[32];
	ssize_t n = read(STDIN_FILENO, keys, sizeof keys);

	w->keys = n > 0; /* else it is gone: look no more */
	for (ssize_t i = 0; i < n; i++)
		if (keys[i] == 'q' || keys[i] == 'Q')
			w->quit = true;
}

static bool
keys_wait(const struct watch *w)
{
	return w->keys && fd_is_readable(STDIN_FILENO);
}

static void
show(struct watch *w)
{
	if (w->ctl->json)
		print_json(w->status, JSON_COMPACT);
	else if (w->screen.terminal)
		draw_screen(w);
	else
		print_line(w);
	fflush(stdout);
}

/* Waits for the next second. A changed window is drawn at once. */
static bool
pass_second(struct watch *w, int64_t until_ms)
{
	bool draws = w->screen.terminal && !w->ctl->json;

	while (!w->quit && interrupted() == 0 && clock_mono_ms() < until_ms) {
		struct screen now = screen_now();

		if (draws && (now.width != w->screen.width ||
		        now.height != w->screen.height))
			draw_screen(w);
		if (!client_listen(w->client, until_ms,
		        w->keys ? STDIN_FILENO : -1))
			return false;
		if (keys_wait(w))
			read_keys(w);
	}
	return true;
}

static bool
watch(struct watch *w)
{
	int64_t next = clock_mono_ms();

	for (uint32_t shown = 0; !w->quit && interrupted() == 0;) {
		if (!look(w))
			return interrupted() != 0;
		show(w);
		shown++;
		if (ferror(stdout) || shown == w->ctl->count)
			break;
		next += SECOND_MS;
		if (next < clock_mono_ms()) /* after a stop: no hurry */
			next = clock_mono_ms() + SECOND_MS;
		if (!pass_second(w, next))
			return false;
	}
	return true;
}

/* An alternate screen without a cursor, so that the old one comes back. */
static bool
watch_on_screen(struct watch *w)
{
	struct termios before;
	bool hushed = keyboard_hush(STDIN_FILENO, true, &before), alive;

	w->keys = hushed;
	client_hold_words(w->client);
	printf("\033[?1049h\033[?25l");
	alive = watch(w);
	printf("\033[?25h\033[?1049l");
	fflush(stdout);
	if (hushed)
		keyboard_restore(STDIN_FILENO, &before);
	return alive;
}

int
cmd_watch(struct ctl *ctl)
{
	struct watch w = { .ctl = ctl, .screen = screen_now() };
	bool alive;

	w.client = client_open(ctl->socket);
	if (w.client == NULL)
		return FAILED;
	interrupts_catch();
	client_on_event(w.client, remember_event, &w);
	alive = ctl->json || !w.screen.terminal ||
	    subscribe(w.client, NULL, 0);
	if (alive && w.screen.terminal && !ctl->json)
		alive = watch_on_screen(&w);
	else if (alive)
		alive = watch(&w);
	for (size_t i = 0; i < EVENTS; i++)
		free(w.events[i]);
	json_decref(w.status);
	client_close(w.client);
	return alive || interrupted() != 0 ? DONE : FAILED;
}
