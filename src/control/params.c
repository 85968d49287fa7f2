/* Parameters read, values written: what all methods need. */
#include "config.h"

#include "control_priv.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bindery/alloc.h"
#include "bindery/buf.h"

bool
check_params(struct call *call, const char *const *known)
{
	const char *name;
	json_t *value;

	json_object_foreach(call->params, name, value) {
		const char *const *k = known;

		while (*k != NULL && strcmp(*k, name) != 0)
			k++;
		if (*k == NULL) {
			reply_error(call, RPC_PARAMS, "unknown parameter \"%s\"", name);
			return false;
		}
	}
	return true;
}

bool
read_limit(struct call *call, size_t *limit)
{
	json_t *value = json_object_get(call->params, "limit");
	json_int_t number = PAGE_DEFAULT;

	if (value != NULL && !json_is_null(value)) {
		number = json_integer_value(value);
		if (!json_is_integer(value) || number < 1) {
			reply_error(call, RPC_PARAMS,
			    "limit: expected an integer from 1 to %d", PAGE_MAX);
			return false;
		}
	}
	*limit = number > PAGE_MAX ? PAGE_MAX : (size_t)number;
	return true;
}

bool
read_text(struct call *call, const char *name, bool required,
    const char **text)
{
	json_t *value = json_object_get(call->params, name);

	*text = json_string_value(value);
	if (*text != NULL && **text != '\0')
		return true;
	if (!required && (value == NULL || json_is_null(value)))
		return true;
	if (value == NULL)
		reply_error(call, RPC_PARAMS, "\"%s\" is missing", name);
	else
		reply_error(call, RPC_PARAMS,
		    "%s: expected a string that is not empty", name);
	return false;
}

bool
read_cursor(struct call *call, uint64_t *parts, size_t count)
{
	const char *text;

	memset(parts, 0, count * sizeof *parts);
	if (!read_text(call, "cursor", false, &text))
		return false;
	if (text == NULL)
		return true;
	for (size_t i = 0; i < count; i++) {
		int n = 0;

		if (sscanf(text, "%16lx%n", &parts[i], &n) != 1 ||
		    text[n] != (i + 1 < count ? '.' : '\0')) {
			reply_error(call, RPC_PARAMS,
			    "cursor: expected what the page before gave");
			return false;
		}
		text += n + 1;
	}
	return true;
}

json_t *
cursor_of(const uint64_t *parts, size_t count)
{
	char text[64];
	struct out out = out_to(text, sizeof text);

	for (size_t i = 0; i < count; i++)
		out_format(&out, i > 0 ? ".%lx" : "%lx", parts[i]);
	return json_string(out_z(&out));
}

struct str
aor_of(const char *text)
{
	struct str aor = str_of(text);

	if (aor.n > 4 && str_caseeq((struct str){ aor.p, 4 }, STR("sip:")))
		return str_from(aor, 4);
	if (aor.n > 5 && str_caseeq((struct str){ aor.p, 5 }, STR("sips:")))
		return str_from(aor, 5);
	return aor;
}

json_t *
text_json(struct str text)
{
	json_t *json = json_stringn(text.p != NULL ? text.p : "", text.n);

	return json != NULL ? json : json_string("(not UTF-8)");
}

json_t *
text_or_null(struct str text)
{
	return text.n > 0 ? text_json(text) : json_null();
}

json_t *
aor_json(struct str aor)
{
	char *text = xmalloc(aor.n + 4);
	json_t *json;

	memcpy(text, "sip:", 4);
	memcpy(text + 4, aor.p, aor.n);
	json = text_json((struct str){ text, aor.n + 4 });
	free(text);
	return json;
}
