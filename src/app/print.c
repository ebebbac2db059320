/* print.c - answers for people: aligned tables on a terminal, every digit as the server wrote it.
 *
 * A Chinese character is two columns wide, so widths are counted in columns (utf8proc_charwidth),
 * not in bytes. */
#include <stdio.h>
#include <stdlib.h>
#include <utf8proc.h>

#include "app/remote.h"
#include "base/json.h"

static size_t columns_of(struct str text)
{
    size_t columns = 0;
    utf8proc_int32_t c;
    for (size_t at = 0; at < text.n;) {
        utf8proc_ssize_t n = utf8proc_iterate((const utf8proc_uint8_t *)text.p + at,
                                              (utf8proc_ssize_t)(text.n - at), &c);
        if (n <= 0)
            break;
        columns += (size_t)utf8proc_charwidth(c);
        at += (size_t)n;
    }
    return columns;
}

static void spaces(size_t n)
{
    for (; n > 0; n--)
        putchar(' ');
}

/* `text` in a field of `width` columns; numbers stand right. */
static void cell(struct str text, size_t width, bool right)
{
    size_t columns = columns_of(text);
    size_t gap = columns < width ? width - columns : 0;
    if (right)
        spaces(gap);
    fwrite(text.p, 1, text.n, stdout);
    if (!right)
        spaces(gap);
}

/* A number's text with thousands apart and without trailing zeros: 8911407.904000 → 8,911,407.904
 */
static void put_number(struct buf *out, struct str number)
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

/* A value as a person reads it. */
static void put_value(struct buf *out, yyjson_val *value, bool thousands)
{
    struct str raw = {yyjson_get_raw(value), yyjson_get_len(value)};
    if (yyjson_is_raw(value) && thousands)
        put_number(out, raw);
    else if (yyjson_is_raw(value))
        buf_str(out, raw);
    else if (yyjson_is_str(value))
        buf_str(out, json_str(value));
    else if (value != NULL && !yyjson_is_null(value))
        json_write(out, value);
}

static yyjson_doc *parse(struct str json)
{
    struct err err;
    yyjson_doc *doc = NULL;
    if (json_parse_exact(json, &doc, &err) != ST_OK) {
        printf(STR_FMT "\n", STR_ARG(json)); /* not what we expected: show it as it came */
        return NULL;
    }
    return doc;
}

void print_json(struct str json)
{
    yyjson_doc *doc = parse(json);
    if (doc == NULL)
        return;
    char *text = yyjson_write(doc, YYJSON_WRITE_PRETTY_TWO_SPACES, NULL);
    if (text != NULL)
        puts(text);
    free(text);
    yyjson_doc_free(doc);
}

/* --- tables ----------------------------------------------------------------------------------- */

#define TABLE_COLUMNS_MAX 64

struct table {
    yyjson_val *names; /* [{"name"}] */
    yyjson_val *rows;  /* [[…]] */
    size_t widths[TABLE_COLUMNS_MAX];
    size_t count;
    struct buf cell;
};

static struct str cell_text(struct table *table, yyjson_val *value)
{
    buf_reset(&table->cell);
    put_value(&table->cell, value, false);
    return table->cell.n == 0 ? STR("") : buf_view(&table->cell);
}

static void table_measure(struct table *table)
{
    for (size_t i = 0; i < table->count; i++)
        table->widths[i] = columns_of(json_member_str(yyjson_arr_get(table->names, i), "name"));
    size_t r, rows_count;
    yyjson_val *row;
    yyjson_arr_foreach(table->rows, r, rows_count, row)
    {
        for (size_t i = 0; i < table->count; i++) {
            size_t width = columns_of(cell_text(table, yyjson_arr_get(row, i)));
            if (width > table->widths[i])
                table->widths[i] = width;
        }
    }
}

void print_rows(struct str json)
{
    yyjson_doc *doc = parse(json);
    if (doc == NULL)
        return;
    struct table table = {.names = yyjson_obj_get(yyjson_doc_get_root(doc), "columns"),
                          .rows = yyjson_obj_get(yyjson_doc_get_root(doc), "rows")};
    buf_init(&table.cell, (size_t)64 << 20);
    table.count = yyjson_arr_size(table.names);
    if (table.count > TABLE_COLUMNS_MAX)
        table.count = TABLE_COLUMNS_MAX;
    table_measure(&table);
    for (size_t i = 0; i < table.count; i++) {
        cell(json_member_str(yyjson_arr_get(table.names, i), "name"), table.widths[i], false);
        fputs(i + 1 < table.count ? "  " : "\n", stdout);
    }
    size_t r, rows_count;
    yyjson_val *row;
    yyjson_arr_foreach(table.rows, r, rows_count, row)
    {
        for (size_t i = 0; i < table.count; i++) {
            yyjson_val *value = yyjson_arr_get(row, i);
            cell(cell_text(&table, value), table.widths[i], yyjson_is_raw(value));
            fputs(i + 1 < table.count ? "  " : "\n", stdout);
        }
    }
    buf_done(&table.cell);
    yyjson_doc_free(doc);
}

/* --- the overview ----------------------------------------------------------------------------- */

#define LABEL_COLUMNS 50
#define NUMBER_COLUMNS 16

static void line(const char *label, yyjson_val *value)
{
    struct buf text;
    buf_init(&text, 256);
    put_value(&text, value, true);
    fputs("  ", stdout);
    cell(str_of(label), LABEL_COLUMNS, false);
    cell(text.n == 0 ? STR("-") : buf_view(&text), NUMBER_COLUMNS, true);
    putchar('\n');
    buf_done(&text);
}

static void lines_of(yyjson_val *object, enum language language, const char *const *names,
                     const enum text *labels, size_t count)
{
    for (size_t i = 0; i < count; i++)
        line(text_in(language, labels[i]), yyjson_obj_get(object, names[i]));
}

/* A row of texts and numbers under given column widths. */
static void row_of(yyjson_val *object, const char *const *names, const size_t *widths, size_t count)
{
    struct buf text;
    buf_init(&text, 4096);
    fputs("  ", stdout);
    for (size_t i = 0; i < count; i++) {
        yyjson_val *value = yyjson_obj_get(object, names[i]);
        buf_reset(&text);
        put_value(&text, value, true);
        cell(text.n == 0 ? STR("-") : buf_view(&text), widths[i], yyjson_is_raw(value));
        fputs(i + 1 < count ? "  " : "\n", stdout);
    }
    buf_done(&text);
}

static void heading(enum language language, const enum text *labels, const size_t *widths,
                    size_t count, size_t texts)
{
    fputs("  ", stdout);
    for (size_t i = 0; i < count; i++) {
        cell(str_of(text_in(language, labels[i])), widths[i], i >= texts);
        fputs(i + 1 < count ? "  " : "\n", stdout);
    }
}

static void sources_print(yyjson_val *sources, enum language language)
{
    static const char *const names[] = {"source", "channel", "events",
                                        "people", "orders",  "revenue"};
    static const enum text labels[] = {TEXT_SOURCE, TEXT_CHANNEL, TEXT_EVENTS,
                                       TEXT_PEOPLE, TEXT_ORDERS,  TEXT_REVENUE};
    static const size_t widths[] = {18, 14, 12, 10, 10, 18};
    printf("\n%s\n", text_in(language, TEXT_BY_SOURCE));
    heading(language, labels, widths, 6, 2);
    size_t i, count;
    yyjson_val *source;
    yyjson_arr_foreach(sources, i, count, source) row_of(source, names, widths, 6);
}

static void records_print(yyjson_val *records, enum language language)
{
    static const char *const names[] = {"verdict", "reason", "records"};
    static const size_t widths[] = {18, 20, 12};
    printf("\n%s\n", text_in(language, TEXT_RECORDS));
    size_t i, count;
    yyjson_val *record;
    yyjson_arr_foreach(records, i, count, record) row_of(record, names, widths, 3);
}

void print_overview(struct str json, enum language language)
{
    static const char *const totals[] = {"events", "match_rate", "people", "orders"};
    static const enum text total_labels[] = {TEXT_EVENTS, TEXT_MATCH_RATE, TEXT_PEOPLE,
                                             TEXT_ORDERS};
    static const char *const all[] = {"lines", "invoices", "customers"};
    static const enum text all_labels[] = {TEXT_LINES, TEXT_INVOICES, TEXT_CUSTOMERS};
    static const char *const out[] = {"no_customer", "quantity_not_positive", "price_zero",
                                      "price_negative"};
    static const enum text out_labels[] = {TEXT_NO_CUSTOMER, TEXT_QUANTITY_LOW, TEXT_PRICE_ZERO,
                                           TEXT_PRICE_NEGATIVE};
    static const char *const clean[] = {"clean_lines", "clean_customers", "clean_revenue"};
    static const enum text clean_labels[] = {TEXT_CLEAN_LINES, TEXT_CLEAN_CUSTOMERS,
                                             TEXT_CLEAN_REVENUE};
    yyjson_doc *doc = parse(json);
    if (doc == NULL)
        return;
    yyjson_val *root = yyjson_doc_get_root(doc);
    yyjson_val *lines = yyjson_obj_get(root, "lines");
    printf("%s\n\n", text_in(language, TEXT_OVERVIEW));
    lines_of(yyjson_obj_get(root, "totals"), language, totals, total_labels, 4);
    lines_of(lines, language, all, all_labels, 3);
    printf("\n%s\n", text_in(language, TEXT_LEFT_OUT));
    lines_of(lines, language, out, out_labels, 4);
    printf("\n%s\n", text_in(language, TEXT_CLEANED));
    lines_of(lines, language, clean, clean_labels, 3);
    sources_print(yyjson_obj_get(root, "sources"), language);
    records_print(yyjson_obj_get(root, "records"), language);
    struct buf seconds;
    buf_init(&seconds, 64);
    put_value(&seconds, yyjson_obj_get(root, "seconds"), false);
    printf("\n  " STR_FMT " %s\n", STR_ARG(buf_view(&seconds)),
           text_in(language, TEXT_SECONDS_READ));
    buf_done(&seconds);
    yyjson_doc_free(doc);
}
