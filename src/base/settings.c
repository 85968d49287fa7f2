/* Table-driven reading of JSON. */
#include "config.h"

#include "bindery/settings.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "bindery/alloc.h"

enum { DEPTH_MAX = 16, FILE_MAX = 1 << 30 };

struct reader {
	const char *path;
	struct str json;
	unsigned line; /* of a file of one object a line; else 0 */
	const char *steps[DEPTH_MAX];
	size_t depth;
	bool secret; /* what is read now must not be quoted */
	struct faults *faults;
};

/* ---- faults ---- */

__attribute__((format(printf, 2, 3))) static void
fault(struct reader *r, const char *format, ...)
{
	char place[512], what[512];
	struct out out = out_to(place, sizeof place);
	va_list arguments;

	settings_place(&out, r->steps, r->depth);
	va_start(arguments, format);
	vsnprintf(what, sizeof what, format, arguments);
	va_end(arguments);
	faults_add(r->faults, r->path,
	    r->line != 0 ? r->line : settings_line(r->json, r->steps, r->depth),
	    out_z(&out), "%s", what);
}

static void
expected(struct reader *r, const char *what, const json_t *got)
{
	char *text;

	if (r->secret) {
		fault(r, "expected %s", what);
		return;
	}
	text = json_dumps(got, JSON_ENCODE_ANY | JSON_COMPACT);
	fault(r, "expected %s, got %.120s", what, text != NULL ? text : "nothing");
	free(text);
}

/* ---- nearest names ---- */

static size_t
distance(const char *a, const char *b)
{
	size_t m = strlen(a), n = strlen(b), row[64];

	if (m > 60 || n > 60)
		return 60;
	for (size_t j = 0; j <= n; j++)
		row[j] = j;
	for (size_t i = 1; i <= m; i++) {
		size_t corner = row[0];

		row[0] = i;
		for (size_t j = 1; j <= n; j++) {
			size_t above = row[j];
			size_t best = corner + (a[i - 1] != b[j - 1]);

			if (above + 1 < best)
				best = above + 1;
			if (row[j - 1] + 1 < best)
				best = row[j - 1] + 1;
			corner = above;
			row[j] = best;
		}
	}
	return row[n];
}

static const char *
nearest(const struct settings *object, const char *name)
{
	const char *best = NULL;
	size_t least = 60;

	for (const struct setting *s = object->rows; s->name != NULL; s++) {
		size_t d = distance(name, s->name);

		if (d < least) {
			least = d;
			best = s->name;
		}
	}
	return best;
}

static void
unknown_key(struct reader *r, const struct settings *object, const char *name)
{
	const char *known = nearest(object, name);

	if (known != NULL)
		fault(r, "unknown key, the nearest known one is \"%s\"", known);
	else
		fault(r, "unknown key");
}

/* ---- reading ---- */

static void read_object(struct reader *r, const struct settings *object,
    const json_t *json, char *to);

static char *
beside(const char *file, const char *path)
{
	const char *slash = strrchr(file, '/');

	if (path[0] == '/' || slash == NULL)
		return xstrdup(path);
	return xasprintf("%.*s/%s", (int)(slash - file), file, path);
}

static void
read_int(struct reader *r, const struct setting *s, const json_t *json,
    int64_t *to)
{
	char what[128];
	int64_t value = json_integer_value(json);

	if (json_is_integer(json) && value >= s->min && value <= s->max) {
		*to = value;
		return;
	}
	snprintf(what, sizeof what, "an integer from %lld to %lld",
	    (long long)s->min, (long long)s->max);
	expected(r, what, json);
}

static void
read_word(struct reader *r, const struct setting *s, const json_t *json,
    int64_t *to)
{
	const char *value = json_string_value(json);
	char what[256];
	struct out out = out_to(what, sizeof what);

	out_lit(&out, "one of");
	for (int64_t i = 0; s->words[i] != NULL; i++) {
		if (value != NULL && strcmp(value, s->words[i]) == 0) {
			*to = i;
			return;
		}
		out_format(&out, "%s \"%s\"", i > 0 ? "," : "", s->words[i]);
	}
	expected(r, out_z(&out), json);
}

static void
read_string(struct reader *r, const struct setting *s, const json_t *json,
    char **to)
{
	const char *value = json_string_value(json);

	if (value == NULL || *value == '\0' ||
	    strlen(value) != json_string_length(json)) {
		expected(r, "a string that is not empty", json);
		return;
	}
	free(*to);
	*to = s->type == SETTING_PATH ? beside(r->path, value) : xstrdup(value);
}

static void
read_strings(struct reader *r, const struct setting *s, const json_t *json,
    struct setting_list *to)
{
	char **items;
	size_t n = json_array_size(json);

	if (!json_is_array(json)) {
		expected(r, "an array of strings", json);
		return;
	}
	items = xcalloc(n, sizeof *items);
	*to = (struct setting_list){ items, n };
	for (size_t i = 0; i < n; i++) {
		char step[24];

		snprintf(step, sizeof step, "%zu", i);
		r->steps[r->depth++] = step;
		items[i] = xstrdup("");
		read_string(r, s, json_array_get(json, i), &items[i]);
		r->depth--;
	}
}

static void
read_array(struct reader *r, const struct setting *s, const json_t *json,
    struct setting_list *to)
{
	size_t n = json_array_size(json);

	if (!json_is_array(json)) {
		expected(r, "an array of objects", json);
		return;
	}
	*to = (struct setting_list){ xcalloc(n, s->object->size), n };
	for (size_t i = 0; i < n; i++) {
		char step[24];

		snprintf(step, sizeof step, "%zu", i);
		r->steps[r->depth++] = step;
		read_object(r, s->object, json_array_get(json, i),
		    (char *)to->items + i * s->object->size);
		r->depth--;
	}
}

static void
read_map(struct reader *r, const struct setting *s, const json_t *json,
    struct setting_list *to)
{
	const char *name;
	json_t *value;
	size_t i = 0;

	if (!json_is_object(json)) {
		expected(r, "an object of named objects", json);
		return;
	}
	to->count = json_object_size(json);
	to->items = xcalloc(to->count, s->object->size);
	json_object_foreach((json_t *)(uintptr_t)json, name, value) {
		char *item = (char *)to->items + i++ * s->object->size;

		*(char **)(void *)item = xstrdup(name);
		r->steps[r->depth++] = name;
		read_object(r, s->object, value, item);
		r->depth--;
	}
}

static void
read_value(struct reader *r, const struct setting *s, const json_t *json,
    char *to)
{
	void *at = to + s->offset;
	bool was_secret = r->secret;

	r->secret = was_secret || s->secret;
	switch (s->type) {
	case SETTING_BOOL:
		if (!json_is_boolean(json))
			expected(r, "true or false", json);
		*(bool *)at = json_is_true(json);
		break;
	case SETTING_INT:
		read_int(r, s, json, at);
		break;
	case SETTING_WORD:
		read_word(r, s, json, at);
		break;
	case SETTING_STRING:
	case SETTING_PATH:
		read_string(r, s, json, at);
		break;
	case SETTING_STRINGS:
		read_strings(r, s, json, at);
		break;
	case SETTING_OBJECT:
		read_object(r, s->object, json, at);
		break;
	case SETTING_ARRAY:
		read_array(r, s, json, at);
		break;
	case SETTING_MAP:
		read_map(r, s, json, at);
		break;
	}
	r->secret = was_secret;
}

static void
set_defaults(const struct reader *r, const struct settings *object, char *to)
{
	for (const struct setting *s = object->rows; s->name != NULL; s++) {
		void *at = to + s->offset;

		if (s->type == SETTING_INT)
			*(int64_t *)at = s->number;
		else if (s->type == SETTING_BOOL)
			*(bool *)at = s->number != 0;
		else if (s->type == SETTING_OBJECT)
			set_defaults(r, s->object, at);
		else if (s->type == SETTING_WORD)
			while (s->text != NULL &&
			    strcmp(s->words[*(int64_t *)at], s->text) != 0)
				++*(int64_t *)at;
		else if (s->text == NULL || *(char **)at != NULL)
			continue; /* of a nested object that was set before */
		else if (s->type == SETTING_STRING)
			*(char **)at = xstrdup(s->text);
		else if (s->type == SETTING_PATH)
			*(char **)at = beside(r->path, s->text);
	}
}

static void
read_object(struct reader *r, const struct settings *object,
    const json_t *json, char *to)
{
	const char *name;
	json_t *value;

	set_defaults(r, object, to);
	if (!json_is_object(json)) {
		expected(r, "an object", json);
		return;
	}
	json_object_foreach((json_t *)(uintptr_t)json, name, value) {
		const struct setting *s = object->rows;

		while (s->name != NULL && strcmp(s->name, name) != 0)
			s++;
		r->steps[r->depth++] = name;
		if (s->name == NULL)
			unknown_key(r, object, name);
		else if (r->depth < DEPTH_MAX - 1)
			read_value(r, s, value, to);
		r->depth--;
	}
	for (const struct setting *s = object->rows; s->name != NULL; s++)
		if (s->required && json_object_get(json, s->name) == NULL)
			fault(r, "\"%s\" is missing", s->name);
}

static bool
read_json(struct reader *r, const struct settings *object, void *to)
{
	size_t before = r->faults->count + r->faults->more;
	json_error_t error;
	json_t *json = json_loadb(r->json.p, r->json.n,
	    JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &error);
	char *near;

	memset(to, 0, object->size);
	if (json == NULL) {
		set_defaults(r, object, to);
		/* what stands near the fault may be a password */
		near = strstr(error.text, " near ");
		if (near != NULL)
			*near = '\0';
		faults_add(r->faults, r->path,
		    r->line != 0 ? r->line : (unsigned)error.line, "",
		    "not valid JSON: %s", error.text);
		return false;
	}
	read_object(r, object, json, to);
	json_decref(json);
	return r->faults->count + r->faults->more == before;
}

char *
read_file(const char *path, size_t most, size_t *size)
{
	FILE *file = fopen(path, "re");
	size_t room = 65536, n;
	char *text;

	if (file == NULL)
		return NULL;
	text = xmalloc(room + 1);
	*size = 0;
	while ((n = fread(text + *size, 1, room - *size, file)) > 0) {
		*size += n;
		if (*size > most) {
			errno = EFBIG;
			break;
		}
		if (*size == room)
			text = xrealloc(text, (room *= 2) + 1);
	}
	if (ferror(file) || *size > most) {
		int error = errno;

		free(text);
		fclose(file);
		errno = error;
		return NULL;
	}
	fclose(file);
	text[*size] = '\0';
	return text;
}

bool
settings_read_file(const struct settings *object, const char *path, void *to,
    struct faults *faults)
{
	struct reader r = { .path = path, .faults = faults };
	char *text = read_file(path, FILE_MAX, &r.json.n);
	bool done;

	if (text == NULL) {
		memset(to, 0, object->size);
		faults_add(faults, path, 0, "", "cannot be read: %s",
		    strerror(errno));
		return false;
	}
	r.json.p = text;
	done = read_json(&r, object, to);
	free(text);
	return done;
}

bool
settings_read_line(const struct settings *object, const char *path,
    unsigned line, struct str json, void *to, struct faults *faults)
{
	struct reader r = { .path = path, .faults = faults, .json = json,
		.line = line };

	return read_json(&r, object, to);
}

void
settings_free(const struct settings *object, void *from)
{
	for (const struct setting *s = object->rows; s->name != NULL; s++) {
		void *at = (char *)from + s->offset;
		struct setting_list *list = at;

		switch (s->type) {
		case SETTING_STRING:
		case SETTING_PATH:
			free(*(char **)at);
			*(char **)at = NULL;
			break;
		case SETTING_STRINGS:
			for (size_t i = 0; i < list->count; i++)
				free(((char **)list->items)[i]);
			free(list->items);
			*list = (struct setting_list){ 0 };
			break;
		case SETTING_OBJECT:
			settings_free(s->object, at);
			break;
		case SETTING_MAP:
		case SETTING_ARRAY:
			for (size_t i = 0; i < list->count; i++) {
				char *item = (char *)list->items + i * s->object->size;

				settings_free(s->object, item);
				if (s->type == SETTING_MAP)
					free(*(char **)(void *)item);
			}
			free(list->items);
			*list = (struct setting_list){ 0 };
			break;
		case SETTING_BOOL:
		case SETTING_INT:
		case SETTING_WORD:
			break;
		}
	}
}
