/* Commands that change something, and the one that calls any method. */
#include "config.h"

#include <stdio.h>

#include "client.h"
#include "commands.h"
#include "text.h"

/* A word and the value of one key; for programs the object as it is. */
static int
tell_result(const struct ctl *ctl, json_t *result, const char *word,
    const char *key, const char *unit)
{
	struct buf value = { 0 };

	if (result == NULL)
		return FAILED;
	text_value(&value, json_object_get(result, key));
	if (ctl->json)
		print_json(result, JSON_COMPACT);
	else
		printf("%s %.*s%s\n", word, STR_ARG(text_of(&value)), unit);
	buf_free(&value);
	json_decref(result);
	return DONE;
}

int
cmd_remove(struct ctl *ctl)
{
	json_t *params = json_pack("{s:s, s:s*}", "aor", ctl->args[0], "uri",
	    ctl->arg_count > 1 ? ctl->args[1] : NULL);
	json_t *result = ask(ctl, "registrations.remove", params);
	const json_t *removed = json_object_get(result, "removed");

	return tell_result(ctl, result, "removed", "removed",
	    json_integer_value(removed) == 1 ? " binding" : " bindings");
}

int
cmd_reload(struct ctl *ctl)
{
	struct client *client = client_open(ctl->socket);
	json_t *result;

	if (client == NULL)
		return FAILED;
	/* a directory of a million users takes its time */
	client_be_patient(client);
	result = client_call(client, "config.reload", NULL);
	client_close(client);
	return tell_result(ctl, result, "reloaded, generation", "generation", "");
}

int
cmd_log(struct ctl *ctl)
{
	json_t *params = ctl->arg_count > 0
	    ? json_pack("{s:s}", "level", ctl->args[0])
	    : NULL;

	return tell_result(ctl, ask(ctl, "log.level", params), "log level",
	    "level", "");
}

int
cmd_call(struct ctl *ctl)
{
	json_t *params = NULL, *result;
	json_error_t error;

	if (ctl->arg_count > 1) {
		params = json_loads(ctl->args[1], JSON_REJECT_DUPLICATES, &error);
		if (params == NULL)
			return misused("the parameters are not a JSON object or "
			    "array: %s", error.text);
	}
	result = ask(ctl, ctl->args[0], params);
	if (result == NULL)
		return FAILED;
	print_json(result, ctl->json ? JSON_COMPACT : JSON_INDENT(2));
	json_decref(result);
	return DONE;
}
