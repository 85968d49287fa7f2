/* Events, a line each, until somebody has seen enough. */
#include "config.h"

#include "events.h"

#include <stdio.h>
#include <string.h>

#include "bindery/clock.h"
#include "commands.h"
#include "terminal.h"

static void
put_quoted(struct buf *to, struct str text)
{
	text_add(to, STR("\""));
	text_escape(to, text, '"');
	text_add(to, STR("\""));
}

static void
put_field(struct buf *to, const char *key, const json_t *value)
{
	struct str text = string_of(value);

	text_add(to, STR(" "));
	text_escape(to, str_of(key), 0);
	text_add(to, STR("="));
	if (json_is_string(value) && (text.n == 0 ||
	        str_find(text, ' ') < text.n || str_find(text, '"') < text.n))
		put_quoted(to, text);
	else
		text_value(to, value);
}

/* Whatever a type of event tells is shown: new ones need no change here. */
void
event_text(struct buf *to, const json_t *params)
{
	struct str type = string_of(json_object_get(params, "type"));
	const char *key;
	char time[ISO_TIME_SIZE];
	json_t *value;

	clock_iso(json_integer_value(json_object_get(params, "time")), time);
	text_format(to, "%s ", time);
	text_escape(to, type, 0);
	if (str_eq(type, STR("lost")))
		text_add(to, STR(" (this client reads too slowly)"));
	json_object_foreach((json_t *)params, key, value)
		if (strcmp(key, "type") != 0 && strcmp(key, "time") != 0)
			put_field(to, key, value);
}

bool
subscribe(struct client *client, char *const *types, size_t count)
{
	json_t *list = count > 0 ? json_array() : NULL, *result;

	for (size_t i = 0; i < count; i++)
		json_array_append_new(list, json_string(types[i]));
	result = client_call(client, "events.subscribe",
	    json_pack("{s:o*}", "types", list));
	json_decref(result);
	return result != NULL;
}

struct listener {
	const struct ctl *ctl;
	uint32_t seen;
};

static bool
has_enough(const struct listener *listener)
{
	return listener->ctl->count > 0 && listener->seen >= listener->ctl->count;
}

static void
print_event(void *context, const json_t *params)
{
	struct listener *listener = context;
	struct buf line = { 0 };

	if (has_enough(listener)) /* they may come faster than one at a time */
		return;
	if (listener->ctl->json) {
		print_json(params, JSON_COMPACT);
	} else {
		event_text(&line, params);
		printf("%.*s\n", STR_ARG(text_of(&line)));
	}
	fflush(stdout);
	buf_free(&line);
	listener->seen++;
}

int
cmd_events(struct ctl *ctl)
{
	struct client *client = client_open(ctl->socket);
	struct listener listener = { ctl, 0 };
	bool alive;

	if (client == NULL)
		return FAILED;
	interrupts_catch();
	client_on_event(client, print_event, &listener);
	alive = subscribe(client, ctl->args, ctl->arg_count);
	while (alive && interrupted() == 0 && !ferror(stdout) &&
	    !has_enough(&listener))
		alive = client_listen(client, -1, -1);
	client_close(client);
	return alive || interrupted() != 0 ? DONE : FAILED;
}
