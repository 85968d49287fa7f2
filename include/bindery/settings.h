/*
 * Files of JSON objects, read by tables: one row a setting says its name,
 * type, range, default, help, and where it lands in a struct. Reading, errors
 * with line and place, defaults, printing and the JSON Schema follow from the
 * row.
 */
#ifndef BINDERY_SETTINGS_H
#define BINDERY_SETTINGS_H

#include <stdint.h>

#include "bindery/buf.h"
#include "bindery/faults.h"

enum setting_type {
	SETTING_BOOL,    /* bool */
	SETTING_INT,     /* int64_t, within min and max */
	SETTING_STRING,  /* char * */
	SETTING_PATH,    /* char *; relative to the file's folder */
	SETTING_WORD,    /* int64_t, the index into `words` */
	SETTING_STRINGS, /* struct setting_list of char * */
	SETTING_OBJECT,  /* a struct of its own, by `object` */
	SETTING_ARRAY,   /* struct setting_list of structs */
	SETTING_MAP      /* the same; the structs begin with their char *name */
};

struct setting_list {
	void *items;
	size_t count;
};

struct setting;

/* What a JSON object may hold. `size` is that of the struct it is read to. */
struct settings {
	const struct setting *rows; /* up to a row without a name */
	size_t size;
	const char *help;
};

struct setting {
	const char *name;
	enum setting_type type;
	size_t offset;
	const char *help;
	int64_t min, max, number; /* SETTING_INT; `number` is the default */
	const char *text;         /* the default of a string or a word */
	const char *const *words; /* up to a NULL */
	const struct settings *object;
	const char *unit; /* "seconds", "bytes" */
	bool required;
	bool restart; /* a reload does not change it */
	bool secret;  /* no fault quotes it */
};

/*
 * Reads a file into `to`, which has size object->size. Whatever is not in the
 * file gets its default. False if there are faults; then, too, `to` must be
 * freed by settings_free().
 */
bool settings_read_file(const struct settings *object, const char *path,
    void *to, struct faults *faults);
/*
 * The same for one JSON object in memory, on its own line of a file.
 */
bool settings_read_line(const struct settings *object, const char *path,
    unsigned line, struct str json, void *to, struct faults *faults);
void settings_free(const struct settings *object, void *from);

/* For a check that no row can do: the line of a place such as
 * {"domains", "example.com", "realm"}; steps that are decimal numbers index
 * arrays. 0 if there is none. */
unsigned settings_line(struct str json, const char *const *steps, size_t count);

/* Writes a place as faults name it: listeners[2].port. */
void settings_place(struct out *out, const char *const *steps, size_t count);

/* All of a file's text, at most `most` bytes; NULL with errno. Caller frees. */
char *read_file(const char *path, size_t most, size_t *size);

/* A JSON Schema (draft-07) of the object; the caller frees. */
char *settings_schema(const struct settings *object, const char *title);
/* The settings as they are, as JSON; secrets do not stand in settings. */
char *settings_print(const struct settings *object, const void *from);

#endif
