/* print_int.h - for the print files alone: values as texts, and texts in columns (print_cell.c). */
#ifndef APP_PRINT_INT_H
#define APP_PRINT_INT_H

#include "app/print.h"
#include "base/json.h"

/* The document, numbers as their text; NULL (and shown as it came) when it is no JSON. */
yyjson_doc *print_parse(struct str json);

void print_spaces(size_t n);
/* `text` in a field of `width` columns of the terminal (a Chinese character has two); numbers stand
 * right. */
void print_cell(struct str text, size_t width, bool right);

/* 8911407.904000 → 8,911,407.904 */
void print_put_number(struct buf *out, struct str number);
/* A value as a person reads it. */
void print_put_value(struct buf *out, yyjson_val *value, bool thousands);

/* A table of texts whose columns are as wide as their widest cell. */
struct print_table {
    size_t columns;
    size_t width_max; /* of a text; a longer one ends in … */
    struct print_table_cell *cells;
    size_t count, capacity;
    struct buf text; /* of all cells; the one under way is its end */
    size_t text_from;
};

#define PRINT_WIDTH_ANY ((size_t)1 << 40)
void print_table_init(struct print_table *table, size_t columns, size_t width_max);
/* The next cell, row by row: what was written to table->text since the last one. */
void print_table_put(struct print_table *table, bool right);
/* Prints it with `indent` blanks before each row, and ends it. With a head, the first row stands as
 * the cells below it do. */
void print_table_end(struct print_table *table, size_t indent, bool head);
#endif
