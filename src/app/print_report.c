/* print_report.c - any report's object on a terminal, or its rows as CSV.
 *
 * Nothing here knows a report: a scalar is a line, an array of objects is a table, an object is a
 * block of its own, `left_out` comes with its reasons, and labels are found by the field's name. So
 * a new report is shown on the day it is made. Numbers are cut to six digits for the eye; all
 * digits are in --json and --csv. */
#include "app/print_int.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/arena.h"
#include "base/check.h"

#define ROWS_SHOWN_MAX 100
#define CELL_WIDTH_MAX 60
#define LIST_WIDTH_MAX 160 /* of several values: times of steps, periods of a cohort */
#define BAR_WIDTH 24
#define SPARK_WIDTH ((size_t)40)
#define DIGITS_SHOWN 6

/* --- values ----------------------------------------------------------------------------------- */

/* Fields whose texts are words of ours, not of the data. */
static bool is_word_field(const char *name)
{
    static const char *const fields[] = {
        "reason",  "kind", "model",  "models",   "method",     "mode",   "verdict", "segment",
        "measure", "unit", "format", "portrait", "cac_counts", "metric", "fact",    "delay"};
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++)
        if (strcmp(name, fields[i]) == 0)
            return true;
    return false;
}

static bool is_whole(struct str raw)
{
    for (size_t i = 0; i < raw.n; i++)
        if (raw.p[i] == '.' || raw.p[i] == 'e' || raw.p[i] == 'E')
            return false;
    return true;
}

/* Six digits, or all that stand before the point. */
static void put_short(struct buf *out, struct str raw)
{
    char text[64];
    if (is_whole(raw)) {
        print_put_number(out, raw);
        return;
    }
    snprintf(text, sizeof text, STR_FMT, STR_ARG(raw));
    double value = strtod(text, NULL);
    int power = value == 0 ? 0 : (int)floor(log10(fabs(value)));
    if (power >= 15 || power < -DIGITS_SHOWN) {
        buf_fmt(out, "%.*g", DIGITS_SHOWN, value);
        return;
    }
    int decimals = power >= DIGITS_SHOWN - 1 ? 0 : DIGITS_SHOWN - 1 - power;
    snprintf(text, sizeof text, "%.*f", decimals, value);
    print_put_number(out, str_of(text));
}

static void put_scalar(struct buf *out, const char *name, yyjson_val *value, enum language language)
{
    struct str text = json_str(value);
    if (yyjson_is_raw(value))
        put_short(out, (struct str){yyjson_get_raw(value), yyjson_get_len(value)});
    else if (yyjson_is_bool(value))
        buf_text(out, text_find(language, yyjson_get_bool(value) ? "true" : "false"));
    else if (yyjson_is_str(value) && is_word_field(name))
        buf_text(out, text_find(language, text.p));
    else if (yyjson_is_str(value))
        buf_str(out, text);
    else
        buf_char(out, '-');
}

static double number_of(yyjson_val *value)
{
    return yyjson_is_raw(value) ? strtod(yyjson_get_raw(value), NULL) : 0;
}

/* A series of numbers as one line; a long one is drawn in steps, each as high as its highest. */
static void put_sparkline(struct buf *out, yyjson_val *list)
{
    static const char *const heights[] = {"▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
    size_t i, n, count = yyjson_arr_size(list), shown = count < SPARK_WIDTH ? count : SPARK_WIDTH;
    yyjson_val *item;
    double steps[SPARK_WIDTH] = {0}, greatest = 0;
    yyjson_arr_foreach(list, i, n, item)
    {
        double value = number_of(item), *step = &steps[i * shown / count];
        *step = fmax(*step, value);
        greatest = fmax(greatest, value);
    }
    for (size_t k = 0; k < shown; k++)
        buf_text(out, heights[greatest > 0 ? (int)(steps[k] / greatest * 7 + 0.5) : 0]);
}

/* A scalar, or a short list of them: 40, 20, 40 and name: 1, other: 2. */
static void put_any(struct buf *out, const char *name, yyjson_val *value, enum language language)
{
    size_t i, n;
    yyjson_val *key, *item;
    if (yyjson_is_arr(value) && strcmp(name, "series") == 0) {
        put_sparkline(out, value);
    } else if (yyjson_is_arr(value)) {
        yyjson_arr_foreach(value, i, n, item)
        {
            buf_text(out, i > 0 ? ", " : "");
            if (yyjson_is_ctn(item))
                json_write(out, item);
            else
                put_scalar(out, name, item, language);
        }
    } else if (yyjson_is_obj(value)) {
        yyjson_obj_foreach(value, i, n, key, item)
        {
            buf_text(out, i > 0 ? ", " : "");
            buf_text(out, text_find(language, yyjson_get_str(key)));
            buf_text(out, ": ");
            if (yyjson_is_ctn(item))
                json_write(out, item);
            else
                put_scalar(out, yyjson_get_str(key), item, language);
        }
    } else {
        put_scalar(out, name, value, language);
    }
}

/* --- arrays of objects ------------------------------------------------------------------------ */

struct columns {
    const char **names;
    size_t count, capacity;
};

static size_t column_at(struct columns *columns, const char *name, size_t guess)
{
    if (guess < columns->count && strcmp(columns->names[guess], name) == 0)
        return guess;
    for (size_t i = 0; i < columns->count; i++)
        if (strcmp(columns->names[i], name) == 0)
            return i;
    if (columns->count == columns->capacity) {
        columns->capacity = columns->capacity * 2 + 16;
        columns->names = mem_grow(columns->names, columns->capacity * sizeof *columns->names);
    }
    columns->names[columns->count] = name;
    return columns->count++;
}

/* The address of a number's people is for programs. */
static bool is_cell(const char *name)
{
    size_t n = strlen(name);
    return strcmp(name, "cell") == 0 || (n > 5 && strcmp(name + n - 5, "_cell") == 0);
}

/* The members of all rows, in order of first appearance. */
static void columns_find(struct columns *columns, yyjson_val *rows)
{
    size_t r, rows_count, i, n;
    yyjson_val *row, *key, *value;
    yyjson_arr_foreach(rows, r, rows_count, row)
    {
        yyjson_obj_foreach(row, i, n, key, value)
        {
            if (!is_cell(yyjson_get_str(key)))
                column_at(columns, yyjson_get_str(key), i);
        }
    }
}

static double greatest_of(yyjson_val *rows, const char *name)
{
    size_t r, n;
    yyjson_val *row;
    double greatest = 0;
    yyjson_arr_foreach(rows, r, n, row) greatest =
        fmax(greatest, number_of(yyjson_obj_get(row, name)));
    return greatest;
}

static void put_bar(struct buf *out, double value, double greatest)
{
    int cells = value > 0 && greatest > 0 ? (int)ceil(value / greatest * BAR_WIDTH) : 0;
    for (int i = 0; i < cells; i++)
        buf_text(out, "▇");
}

static void rows_print(yyjson_val *rows, const char *bars, enum language language, size_t indent)
{
    struct columns columns = {0};
    struct print_table table;
    size_t r, n, all = yyjson_arr_size(rows);
    yyjson_val *row;
    double greatest = bars == NULL ? 0 : greatest_of(rows, bars);
    columns_find(&columns, rows);
    if (columns.count == 0)
        return;
    print_table_init(&table, columns.count + (greatest > 0), CELL_WIDTH_MAX);
    for (size_t i = 0; i < columns.count; i++) {
        buf_text(&table.text, text_find(language, columns.names[i]));
        print_table_put(&table, false);
    }
    if (greatest > 0)
        print_table_put(&table, false);
    yyjson_arr_foreach(rows, r, n, row)
    {
        if (r == ROWS_SHOWN_MAX)
            break;
        for (size_t i = 0; i < columns.count; i++) {
            yyjson_val *value = yyjson_obj_get(row, columns.names[i]);
            put_any(&table.text, columns.names[i], value, language);
            table.width_max = yyjson_is_arr(value) ? LIST_WIDTH_MAX : CELL_WIDTH_MAX;
            print_table_put(&table, yyjson_is_raw(value));
        }
        if (greatest > 0) {
            put_bar(&table.text, number_of(yyjson_obj_get(row, bars)), greatest);
            print_table_put(&table, false);
        }
    }
    print_table_end(&table, indent, true);
    free(columns.names);
    if (all > ROWS_SHOWN_MAX) {
        print_spaces(indent);
        printf("… %zu %s\n", all - ROWS_SHOWN_MAX, text_in(language, TEXT_MORE_ROWS));
    }
}

/* --- the object ------------------------------------------------------------------------------- */

static bool is_rows(yyjson_val *value)
{
    return yyjson_is_arr(value) && yyjson_is_obj(yyjson_arr_get_first(value));
}

/* Members that are no line of their own. */
static bool is_frame(const char *name)
{
    return strcmp(name, "report") == 0 || strcmp(name, "bars") == 0 ||
           strcmp(name, "left_out") == 0 || strcmp(name, "seconds") == 0 || is_cell(name);
}

static void lines_print(yyjson_val *object, enum language language, size_t indent)
{
    struct print_table table;
    size_t i, n;
    yyjson_val *key, *value;
    print_table_init(&table, 2, PRINT_WIDTH_ANY);
    yyjson_obj_foreach(object, i, n, key, value)
    {
        const char *name = yyjson_get_str(key);
        bool is_token = strcmp(name, "position") == 0 && yyjson_is_str(value);
        if (is_frame(name) || is_token || is_rows(value) || yyjson_is_obj(value) ||
            (yyjson_is_arr(value) && yyjson_arr_size(value) == 0))
            continue;
        buf_text(&table.text, text_find(language, name));
        print_table_put(&table, false);
        put_any(&table.text, name, value, language);
        print_table_put(&table, yyjson_is_raw(value));
    }
    print_table_end(&table, indent, false);
}

/* Lines first, then each block under its heading; the rows of a report need none. */
static void object_print(yyjson_val *object, enum language language, size_t indent)
{
    size_t i, n;
    yyjson_val *key, *value;
    const char *bars = yyjson_get_str(yyjson_obj_get(object, "bars"));
    lines_print(object, language, indent);
    yyjson_obj_foreach(object, i, n, key, value)
    {
        const char *name = yyjson_get_str(key);
        bool rows = strcmp(name, "rows") == 0;
        if (is_frame(name) || (!is_rows(value) && !yyjson_is_obj(value)))
            continue;
        putchar('\n');
        if (!rows) {
            print_spaces(indent);
            puts(text_find(language, name));
        }
        if (yyjson_is_obj(value))
            object_print(value, language, indent + 2);
        else
            rows_print(value, rows ? bars : NULL, language, rows ? indent : indent + 2);
    }
}

static void left_out_print(yyjson_val *left_out, enum language language)
{
    if (yyjson_arr_size(left_out) == 0) {
        printf("\n%s\n", text_in(language, TEXT_NOTHING_LEFT_OUT));
        return;
    }
    printf("\n%s\n", text_find(language, "left_out"));
    rows_print(left_out, NULL, language, 2);
}

void print_report(struct str json, enum language language)
{
    char title[64];
    yyjson_doc *doc = print_parse(json);
    if (doc == NULL)
        return;
    yyjson_val *root = yyjson_doc_get_root(doc);
    yyjson_val *left_out = yyjson_obj_get(root, "left_out");
    yyjson_val *seconds = yyjson_obj_get(root, "seconds");
    snprintf(title, sizeof title, "report_" STR_FMT, STR_ARG(json_member_str(root, "report")));
    printf("%s\n\n", text_find(language, title));
    object_print(root, language, 2);
    if (left_out != NULL)
        left_out_print(left_out, language);
    if (seconds != NULL) {
        struct buf text;
        buf_init(&text, 64);
        put_any(&text, "seconds", seconds, language);
        printf("\n  " STR_FMT " %s\n", STR_ARG(buf_view(&text)),
               text_in(language, TEXT_SECONDS_READ));
        buf_done(&text);
    }
    yyjson_doc_free(doc);
}

/* --- CSV -------------------------------------------------------------------------------------- */

/* RFC 4180: quotes where they are needed. */
static void csv_put(struct buf *text, bool last)
{
    struct str cell = text->n == 0 ? STR("") : buf_view(text);
    bool quoted = false;
    for (size_t i = 0; i < cell.n; i++)
        quoted = quoted || strchr(",\"\r\n", cell.p[i]) != NULL;
    if (quoted)
        putchar('"');
    for (size_t i = 0; i < cell.n; i++) {
        if (cell.p[i] == '"')
            putchar('"');
        putchar(cell.p[i]);
    }
    fputs(quoted ? "\"" : "", stdout);
    putchar(last ? '\n' : ',');
    buf_reset(text);
}

static void csv_print(yyjson_val *rows)
{
    struct columns columns = {0};
    struct buf text;
    size_t r, n;
    yyjson_val *row;
    columns_find(&columns, rows);
    buf_init(&text, (size_t)1 << 30);
    for (size_t i = 0; i < columns.count; i++) {
        buf_text(&text, columns.names[i]);
        csv_put(&text, i + 1 == columns.count);
    }
    yyjson_arr_foreach(rows, r, n, row)
    {
        for (size_t i = 0; i < columns.count; i++) {
            print_put_value(&text, yyjson_obj_get(row, columns.names[i]), false);
            csv_put(&text, i + 1 == columns.count);
        }
    }
    buf_done(&text);
    free(columns.names);
}

enum status print_csv(struct str json, enum language language, struct err *err)
{
    yyjson_doc *doc;
    enum status status = json_parse_exact(json, &doc, err);
    if (status != ST_OK)
        return status;
    yyjson_val *rows = yyjson_obj_get(yyjson_doc_get_root(doc), "rows");
    if (yyjson_is_arr(rows))
        csv_print(rows);
    else
        status = err_set(err, ST_INVALID, "%s", text_in(language, TEXT_NO_CSV_ROWS));
    yyjson_doc_free(doc);
    return status;
}
