/* print.c - a server's answers for people, every digit as the server wrote it. */
#include "app/print_int.h"

#include <stdio.h>
#include <stdlib.h>

void print_bar(char ret_cells[PRINT_BAR_COLUMNS + 1], double share)
{
    for (int i = 0; i < PRINT_BAR_COLUMNS; i++)
        ret_cells[i] = i < (int)(share * PRINT_BAR_COLUMNS) ? '#' : '.';
    ret_cells[PRINT_BAR_COLUMNS] = '\0';
}

void print_json(struct str json)
{
    yyjson_doc *doc = print_parse(json);
    if (doc == NULL)
        return;
    char *text = yyjson_write(doc, YYJSON_WRITE_PRETTY_TWO_SPACES, NULL);
    if (text != NULL)
        puts(text);
    free(text);
    yyjson_doc_free(doc);
}

void print_rows(struct str json)
{
    yyjson_doc *doc = print_parse(json);
    if (doc == NULL)
        return;
    yyjson_val *root = yyjson_doc_get_root(doc), *name, *row;
    yyjson_val *names = yyjson_obj_get(root, "columns"), *rows = yyjson_obj_get(root, "rows");
    size_t i, r, n, columns = yyjson_arr_size(names);
    struct print_table table;
    if (columns > 0) {
        print_table_init(&table, columns, PRINT_WIDTH_ANY);
        yyjson_arr_foreach(names, i, n, name)
        {
            buf_str(&table.text, json_member_str(name, "name"));
            print_table_put(&table, false);
        }
        yyjson_arr_foreach(rows, r, n, row)
        {
            for (i = 0; i < columns; i++) {
                yyjson_val *value = yyjson_arr_get(row, i);
                print_put_value(&table.text, value, false);
                print_table_put(&table, yyjson_is_raw(value));
            }
        }
        print_table_end(&table, 0, true);
    }
    yyjson_doc_free(doc);
}

/* --- the overview ----------------------------------------------------------------------------- */

#define LABEL_COLUMNS 50
#define NUMBER_COLUMNS 16

static void line(const char *label, yyjson_val *value)
{
    struct buf text;
    buf_init(&text, 256);
    print_put_value(&text, value, true);
    fputs("  ", stdout);
    print_cell(str_of(label), LABEL_COLUMNS, false);
    print_cell(text.n == 0 ? STR("-") : buf_view(&text), NUMBER_COLUMNS, true);
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
        print_put_value(&text, value, true);
        print_cell(text.n == 0 ? STR("-") : buf_view(&text), widths[i], yyjson_is_raw(value));
        fputs(i + 1 < count ? "  " : "\n", stdout);
    }
    buf_done(&text);
}

static void heading(enum language language, const enum text *labels, const size_t *widths,
                    size_t count, size_t texts)
{
    fputs("  ", stdout);
    for (size_t i = 0; i < count; i++) {
        print_cell(str_of(text_in(language, labels[i])), widths[i], i >= texts);
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
    yyjson_doc *doc = print_parse(json);
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
    print_put_value(&seconds, yyjson_obj_get(root, "seconds"), false);
    printf("\n  " STR_FMT " %s\n", STR_ARG(buf_view(&seconds)),
           text_in(language, TEXT_SECONDS_READ));
    buf_done(&seconds);
    yyjson_doc_free(doc);
}
