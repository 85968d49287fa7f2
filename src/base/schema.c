/* Settings told: the JSON Schema of a table, and a struct as JSON. */
#include "config.h"

#include "bindery/settings.h"

#include <jansson.h>

static json_t *schema_of(const struct settings *object);

static json_t *
schema_type(const struct setting *s)
{
	json_t *words;

	switch (s->type) {
	case SETTING_BOOL:
		return json_pack("{s:s}", "type", "boolean");
	case SETTING_INT:
		return json_pack("{s:s, s:I, s:I}", "type", "integer", "minimum",
		    (json_int_t)s->min, "maximum", (json_int_t)s->max);
	case SETTING_WORD:
		words = json_array();
		for (size_t i = 0; s->words[i] != NULL; i++)
			json_array_append_new(words, json_string(s->words[i]));
		return json_pack("{s:o}", "enum", words);
	case SETTING_STRINGS:
		return json_pack("{s:s, s:{s:s, s:i}}", "type", "array", "items",
		    "type", "string", "minLength", 1);
	case SETTING_OBJECT:
		return schema_of(s->object);
	case SETTING_ARRAY:
		return json_pack("{s:s, s:o}", "type", "array", "items",
		    schema_of(s->object));
	case SETTING_MAP:
		return json_pack("{s:s, s:o}", "type", "object",
		    "additionalProperties", schema_of(s->object));
	case SETTING_STRING:
	case SETTING_PATH:
		break;
	}
	return json_pack("{s:s, s:i}", "type", "string", "minLength", 1);
}

static json_t *
schema_of(const struct settings *object)
{
	json_t *properties = json_object(), *required = json_array();
	json_t *schema;

	for (const struct setting *s = object->rows; s->name != NULL; s++) {
		json_t *property = schema_type(s);

		json_object_set_new(property, "description", json_string(s->help));
		if (s->type == SETTING_INT)
			json_object_set_new(property, "default",
			    json_integer(s->number));
		else if (s->type == SETTING_BOOL)
			json_object_set_new(property, "default",
			    json_boolean(s->number != 0));
		else if (s->text != NULL)
			json_object_set_new(property, "default", json_string(s->text));
		json_object_set_new(properties, s->name, property);
		if (s->required)
			json_array_append_new(required, json_string(s->name));
	}
	schema = json_pack("{s:s, s:b, s:o}", "type", "object",
	    "additionalProperties", 0, "properties", properties);
	if (json_array_size(required) > 0)
		json_object_set_new(schema, "required", required);
	else
		json_decref(required);
	return schema;
}

char *
settings_schema(const struct settings *object, const char *title)
{
	json_t *schema = schema_of(object);
	char *text;

	json_object_set_new(schema, "$schema",
	    json_string("http://json-schema.org/draft-07/schema#"));
	json_object_set_new(schema, "title", json_string(title));
	text = json_dumps(schema, JSON_INDENT(2) | JSON_SORT_KEYS);
	json_decref(schema);
	return text;
}

static json_t *json_of(const struct settings *object, const char *from);

static json_t *
json_of_value(const struct setting *s, const char *from)
{
	const void *at = from + s->offset;
	const struct setting_list *list = at;
	json_t *json;

	switch (s->type) {
	case SETTING_BOOL:
		return json_boolean(*(const bool *)at);
	case SETTING_INT:
		return json_integer(*(const int64_t *)at);
	case SETTING_WORD:
		return json_string(s->words[*(const int64_t *)at]);
	case SETTING_STRING:
	case SETTING_PATH:
		return *(char *const *)at != NULL ? json_string(*(char *const *)at)
		                                  : NULL;
	case SETTING_OBJECT:
		return json_of(s->object, at);
	case SETTING_STRINGS:
		json = json_array();
		for (size_t i = 0; i < list->count; i++)
			json_array_append_new(json,
			    json_string(((char **)list->items)[i]));
		return json;
	case SETTING_ARRAY:
		json = json_array();
		for (size_t i = 0; i < list->count; i++)
			json_array_append_new(json, json_of(s->object,
			    (const char *)list->items + i * s->object->size));
		return json;
	case SETTING_MAP:
		json = json_object();
		for (size_t i = 0; i < list->count; i++) {
			const char *item =
			    (const char *)list->items + i * s->object->size;

			json_object_set_new(json, *(char *const *)(const void *)item,
			    json_of(s->object, item));
		}
		return json;
	}
	return NULL;
}

static json_t *
json_of(const struct settings *object, const char *from)
{
	json_t *json = json_object();

	for (const struct setting *s = object->rows; s->name != NULL; s++) {
		json_t *value = json_of_value(s, from);

		if (value != NULL)
			json_object_set_new(json, s->name, value);
	}
	return json;
}

char *
settings_print(const struct settings *object, const void *from)
{
	json_t *json = json_of(object, from);
	char *text = json_dumps(json, JSON_INDENT(2));

	json_decref(json);
	return text;
}
