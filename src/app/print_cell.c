/* print_cell.c - values as texts, texts in columns.
 *
 * A Chinese character is two columns wide, so widths are counted in columns (utf8proc_charwidth),
 * not in bytes. Control characters in data would move the terminal's cursor, so they are shown as a
 * blank. */
#include "app/print_int.h"

#include <stdio.h>
#include <stdlib.h>
#include <utf8proc.h>

#include "base/arena.h"
#include "base/check.h"

#define TEXT_BYTES_MAX ((size_t)1 << 30)

yyjson_doc *print_parse(struct str json)
{
    struct err err;
    yyjson_doc *doc = NULL;
    if (json_parse_exact(json, &doc, &err) != ST_OK) {
        printf(STR_FMT "\n", STR_ARG(json)); /* not what we expected: show it as it came */
        return NULL;
    }
    return doc;
}

/* The width of the character at `at`, which is moved behind it; 0 at what is none. */
static size_t character(struct str text, size_t *at)
{
    utf8proc_int32_t c;
    utf8proc_ssize_t n = utf8proc_iterate((const utf8proc_uint8_t *)text.p + *at,
                                          (utf8proc_ssize_t)(text.n - *at), &c);
    *at = n > 0 ? *at + (size_t)n : text.n;
    return n > 0 ? (size_t)utf8proc_charwidth(c) : 0;
}

static size_t width_of(struct str text)
{
    size_t columns = 0;
    for (size_t at = 0; at < text.n;)
        columns += character(text, &at);
    return columns;
}

void print_spaces(size_t n)
{
    for (; n > 0; n--)
        putchar(' ');
}

void print_cell(struct str text, size_t width, bool right)
{
    size_t columns = width_of(text);
    size_t gap = columns < width ? width - columns : 0;
    if (right)
        print_spaces(gap);
    fwrite(text.p, 1, text.n, stdout);
    if (!right)
        print_spaces(gap);
}

void print_put_number(struct buf *out, struct str number)
{
    const char *point = number.n > 0 ? memchr(number.p, '.', number.n) : NULL;
    size_t whole = point == NULL ? number.n : (size_t)(point - number.p);
    size_t end = number.n;
    while (point != NULL && end > whole && (number.p[end - 1] == '0' || number.p[end - 1] == '.'))
        if (number.p[--end] == '.')
            break;
    size_t sign = whole > 0 && number.p[0] == '-';
    for (size_t i = 0; i < whole; i++) {
        if (i > sign && (whole - i) % 3 == 0)
            buf_char(out, ',');
        buf_char(out, number.p[i]);
    }
    buf_put(out, number.p + whole, end - whole);
}

void print_put_value(struct buf *out, yyjson_val *value, bool thousands)
{
    struct str raw = {yyjson_get_raw(value), yyjson_get_len(value)};
    if (yyjson_is_raw(value) && thousands)
        print_put_number(out, raw);
    else if (yyjson_is_raw(value))
        buf_str(out, raw);
    else if (yyjson_is_str(value))
        buf_str(out, json_str(value));
    else if (value != NULL && !yyjson_is_null(value))
        json_write(out, value);
}

/* --- tables ----------------------------------------------------------------------------------- */

struct print_table_cell {
    size_t from, n, width;
    bool right;
};

void print_table_init(struct print_table *table, size_t columns, size_t width_max)
{
    CHECK(columns > 0);
    *table = (struct print_table){.columns = columns, .width_max = width_max};
    buf_init(&table->text, TEXT_BYTES_MAX);
}

/* In one line, and not wider than asked; gives the width. */
static size_t text_shorten(struct buf *text, size_t from, size_t width_max)
{
    for (size_t i = from; i < text->n; i++)
        if ((unsigned char)text->p[i] < ' ' || text->p[i] == 0x7f)
            text->p[i] = ' ';
    struct str all = {text->p + from, text->n - from};
    size_t columns = 0, cut = 0;
    for (size_t at = 0; at < all.n;) {
        columns += character(all, &at);
        if (columns < width_max)
            cut = at;
    }
    if (columns <= width_max)
        return columns;
    text->n = from + cut;
    buf_text(text, "…");
    return width_of((struct str){text->p + from, text->n - from});
}

void print_table_put(struct print_table *table, bool right)
{
    if (table->count == table->capacity) {
        table->capacity = table->capacity == 0 ? 256 : table->capacity * 2;
        table->cells = mem_grow(table->cells, table->capacity * sizeof *table->cells);
    }
    size_t from = table->text_from, width = 0;
    if (table->text.n > from)
        width = text_shorten(&table->text, from, table->width_max);
    table->cells[table->count++] =
        (struct print_table_cell){from, table->text.n - from, width, right};
    table->text_from = table->text.n;
}

/* The head's cells stand right where a number stands below. */
static void head_align(struct print_table *table)
{
    for (size_t i = 0; i < table->columns; i++)
        for (size_t at = i + table->columns; at < table->count; at += table->columns)
            if (table->cells[at].right)
                table->cells[i].right = true;
}

void print_table_end(struct print_table *table, size_t indent, bool head)
{
    size_t *widths = mem_zero(table->columns * sizeof *widths);
    CHECK(table->count % table->columns == 0);
    for (size_t i = 0; i < table->count; i++)
        if (table->cells[i].width > widths[i % table->columns])
            widths[i % table->columns] = table->cells[i].width;
    if (head)
        head_align(table);
    for (size_t i = 0; i < table->count; i++) {
        const struct print_table_cell *cell = &table->cells[i];
        bool last = i % table->columns + 1 == table->columns;
        struct str text = {cell->n == 0 ? "" : table->text.p + cell->from, cell->n};
        if (i % table->columns == 0)
            print_spaces(indent);
        print_cell(text, last && !cell->right ? 0 : widths[i % table->columns], cell->right);
        fputs(last ? "\n" : "  ", stdout);
    }
    free(widths);
    free(table->cells);
    buf_done(&table->text);
    *table = (struct print_table){0};
}
