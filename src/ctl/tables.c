/* Cells, their widths, and how values become cells. */
#include "config.h"

#include "tables.h"

#include <stdio.h>
#include <stdlib.h>

#include "bindery/alloc.h"
#include "bindery/clock.h"
#include "text.h"

struct cell {
	char *text; /* NULL: a title, which is not ours to free */
	struct str shown;
	size_t width;
	enum tone tone;
};

/* ---- values ---- */

static void
put_tls(struct buf *to, const json_t *tls)
{
	if (!json_is_object(tls)) {
		text_add(to, STR("-"));
		return;
	}
	text_value(to, json_object_get(tls, "version"));
	text_add(to, STR(" "));
	text_value(to, json_object_get(tls, "cipher"));
	if (json_is_string(json_object_get(tls, "peer"))) {
		text_add(to, STR(" "));
		text_value(to, json_object_get(tls, "peer"));
	}
}

static void
put_aor(struct buf *to, const json_t *aor)
{
	struct str text = string_of(aor);

	if (str_starts(text, STR("sip:")))
		text_escape(to, str_from(text, 4), 0);
	else
		text_value(to, aor);
}

static void
put_number(struct buf *to, enum show show, int64_t number)
{
	if (show == SHOW_SECONDS)
		text_duration(to, number);
	else if (show == SHOW_TIME)
		text_time(to, number);
	else
		text_duration(to, clock_wall_ms() / 1000 - number);
}

enum tone
column_text(struct buf *to, const struct column *column, const json_t *object)
{
	const json_t *value = json_object_get(object, column->key);

	switch (column->show) {
	case SHOW_SECONDS:
	case SHOW_SINCE:
	case SHOW_TIME:
		if (!json_is_integer(value))
			break;
		put_number(to, column->show, json_integer_value(value));
		return TONE_PLAIN;
	case SHOW_AOR:
		put_aor(to, value);
		return TONE_PLAIN;
	case SHOW_TLS:
		put_tls(to, value);
		return TONE_PLAIN;
	case SHOW_BOOL:
		text_value(to, value);
		return json_is_false(value) ? TONE_BAD : TONE_PLAIN;
	case SHOW_VALUE:
		break;
	}
	text_value(to, value);
	return TONE_PLAIN;
}

/* ---- tables ---- */

void
table_begin(struct table *table, const struct column *columns)
{
	*table = (struct table){ .columns = columns, .screen = screen_now() };
	while (columns[table->width].title != NULL)
		table->width++;
	table->sizes = xcalloc(table->width, sizeof *table->sizes);
	for (size_t i = 0; i < table->width; i++)
		table->sizes[i] = text_width(str_of(columns[i].title));
}

void
table_cell(struct table *table, struct str text, enum tone tone)
{
	size_t column = table->count % table->width;
	struct cell cell = { .text = xmemdupz(text.p, text.n), .tone = tone };

	cell.shown = (struct str){ cell.text, text.n };
	cell.width = text_width(text);
	if (table->count == table->room) {
		table->room = table->room > 0 ? 2 * table->room : 64;
		table->cells = xrealloc(table->cells,
		    table->room * sizeof *table->cells);
	}
	table->cells[table->count++] = cell;
	if (cell.width > table->sizes[column])
		table->sizes[column] = cell.width;
}

void
table_row(struct table *table, const json_t *object)
{
	for (size_t i = 0; i < table->width; i++) {
		struct buf text = { 0 };
		enum tone tone = column_text(&text, &table->columns[i], object);

		table_cell(table, text_of(&text), tone);
		buf_free(&text);
	}
}

/* Pads a cell, and cuts it where the terminal ends: *left columns from here. */
static void
print_cell(const struct table *table, size_t column, const struct cell *cell,
    size_t *left)
{
	size_t pad = table->sizes[column] - cell->width;
	bool last = column + 1 == table->width;
	bool right = table->columns[column].right;
	size_t before = (column > 0 ? 2 : 0) + (right ? pad : 0);
	size_t after = right || last ? 0 : pad;
	struct str shown = cell->shown;

	if (*left <= before)
		shown.n = 0;
	else if (cell->width > *left - before)
		shown.n = text_fit(shown, *left - before - 1);
	printf("%*s%s%.*s%s%s", (int)(*left < before ? *left : before), "",
	    tone_on(&table->screen, cell->tone), STR_ARG(shown),
	    shown.n < cell->shown.n && *left > before ? "…" : "",
	    tone_off(&table->screen, cell->tone));
	*left -= *left < before ? *left : before;
	*left -= *left < cell->width ? *left : cell->width;
	if (*left > after)
		printf("%*s", (int)after, "");
	*left -= *left < after ? *left : after;
}

static void
print_row(const struct table *table, const struct cell *cells)
{
	size_t left = table->screen.width > 0 ? table->screen.width : SIZE_MAX;

	for (size_t i = 0; i < table->width; i++)
		print_cell(table, i, &cells[i], &left);
	putchar('\n');
}

static void
print_titles(struct table *table)
{
	struct cell *titles = xcalloc(table->width, sizeof *titles);

	for (size_t i = 0; i < table->width; i++) {
		struct str title = str_of(table->columns[i].title);

		titles[i] = (struct cell){ NULL, title, text_width(title),
			TONE_HEAD };
	}
	print_row(table, titles);
	free(titles);
	table->headed = true;
}

void
table_flush(struct table *table)
{
	if (!table->headed)
		print_titles(table);
	for (size_t i = 0; i < table->count; i += table->width)
		print_row(table, &table->cells[i]);
	for (size_t i = 0; i < table->count; i++)
		free(table->cells[i].text);
	table->count = 0;
	fflush(stdout);
}

void
table_end(struct table *table)
{
	table_flush(table);
	free(table->cells);
	free(table->sizes);
}

void
print_details(const struct column *columns, const json_t *object)
{
	struct screen screen = screen_now();
	size_t widest = 0;

	for (const struct column *c = columns; c->title != NULL; c++)
		if (text_width(str_of(c->title)) > widest)
			widest = text_width(str_of(c->title));
	for (const struct column *c = columns; c->title != NULL; c++) {
		struct buf text = { 0 };
		enum tone tone = column_text(&text, c, object);

		printf("%s%-*s%s  %s%.*s%s\n", tone_on(&screen, TONE_HEAD),
		    (int)widest, c->title, tone_off(&screen, TONE_HEAD),
		    tone_on(&screen, tone), STR_ARG(text_of(&text)),
		    tone_off(&screen, tone));
		buf_free(&text);
	}
}
