/*
 * Aligned tables, a page at a time: columns only ever grow wider, so that a
 * list of any length is printed while it comes.
 */
#ifndef BINDERY_CTL_TABLES_H
#define BINDERY_CTL_TABLES_H

#include <jansson.h>

#include "bindery/buf.h"
#include "terminal.h"

enum show {
	SHOW_VALUE,   /* as text_value() */
	SHOW_AOR,     /* without sip: */
	SHOW_SECONDS, /* a duration */
	SHOW_SINCE,   /* seconds since 1970, as the time that has passed */
	SHOW_TIME,    /* seconds since 1970, as a date */
	SHOW_BOOL,    /* false in red */
	SHOW_TLS
};

/* How one key of a JSON object is shown. */
struct column {
	const char *title, *key;
	enum show show;
	bool right; /* as numbers are */
};

struct table {
	const struct column *columns; /* up to one without a title */
	struct screen screen;
	size_t width; /* number of columns */
	size_t *sizes;
	struct cell *cells;
	size_t count, room;
	bool headed;
};

void table_begin(struct table *table, const struct column *columns);
/* Rows are added cell by cell; the text is taken as it is. */
void table_cell(struct table *table, struct str text, enum tone tone);
/* A row of the keys of an object. */
void table_row(struct table *table, const json_t *object);
/* Prints the rows so far, below the titles if those have not been printed. */
void table_flush(struct table *table);
/* Flushes and frees. */
void table_end(struct table *table);

/* The same columns of one object, one below the other. */
void print_details(const struct column *columns, const json_t *object);

/* One value as its column says. */
enum tone column_text(struct buf *to, const struct column *column,
    const json_t *object);

#endif
