/* table_report.c - a look at a file: what each column is, and which cells do not fit.
 *
 * Every figure is exact (distinct values too): what is looked at here is what a report will count,
 * read by the same functions, so a cell that is odd here is the cell a report would refuse. */
#include "table/report.h"

#include <math.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/when.h"
#include "table/table_int.h"

enum kind { KIND_EMPTY, KIND_NUMBER, KIND_TIME, KIND_TEXT };

struct figures {
    size_t empty, numbers, times, texts;       /* of cells; a number may be a time too */
    size_t distinct;                           /* texts, the empty one not counted */
    uint64_t number_not, time_not;             /* the first line that is not, 0 = none */
    double number_min, number_max, number_sum; /* of numbers */
    int64_t time_min, time_max;
    struct str text_min, text_max;
};

static void number_count(struct figures *f, double value)
{
    f->number_min = f->numbers == 0 || value < f->number_min ? value : f->number_min;
    f->number_max = f->numbers == 0 || value > f->number_max ? value : f->number_max;
    f->number_sum += value;
    f->numbers++;
}

static void time_count(struct figures *f, int64_t us)
{
    f->time_min = f->times == 0 || us < f->time_min ? us : f->time_min;
    f->time_max = f->times == 0 || us > f->time_max ? us : f->time_max;
    f->times++;
}

static void text_count(struct figures *f, struct str text)
{
    f->text_min = f->texts == 0 || str_compare(text, f->text_min) < 0 ? text : f->text_min;
    f->text_max = f->texts == 0 || str_compare(text, f->text_max) > 0 ? text : f->text_max;
    f->texts++;
}

static void column_look(const struct table *table, int column, struct figures *f)
{
    for (size_t row = 0; row < table->rows; row++) {
        struct str cell = str_trim(table_cell(table, row, column));
        double value;
        int64_t us;
        if (table_cell_is_empty(cell)) {
            f->empty++;
            continue;
        }
        text_count(f, cell);
        if (table_cell_number(cell, &value))
            number_count(f, value);
        else if (f->number_not == 0)
            f->number_not = table_line(table, row);
        if (when_parse(cell, 0, &us))
            time_count(f, us);
        else if (f->time_not == 0)
            f->time_not = table_line(table, row);
    }
}

static bool name_has(struct str name, const char *word)
{
    size_t n = strlen(word);
    for (size_t i = 0; i + n <= name.n; i++)
        if (str_eq_nocase((struct str){name.p + i, n}, str_of(word)))
            return true;
    return false;
}

static enum kind kind_of(const struct figures *f, struct str name)
{
    bool named = name_has(name, "date") || name_has(name, "time");
    if (f->texts == 0)
        return KIND_EMPTY;
    if (f->times * 2 > f->texts && (f->numbers < f->times || named))
        return KIND_TIME;
    return f->numbers * 2 > f->texts ? KIND_NUMBER : KIND_TEXT;
}

static void time_put(struct buf *json, const char *name, int64_t us)
{
    char text[28];
    when_format(us, text);
    json_put_member_str(json, name, str_of(text));
}

static void figures_put(struct buf *json, const struct figures *f, struct str name)
{
    static const char *const kinds[] = {"empty", "number", "time", "text"};
    enum kind kind = kind_of(f, name);
    size_t fit = kind == KIND_NUMBER ? f->numbers : kind == KIND_TIME ? f->times : f->texts;
    uint64_t odd_line = kind == KIND_NUMBER ? f->number_not : f->time_not;
    json_put_member_str(json, "kind", str_of(kinds[kind]));
    json_put_member_uint(json, "empty", f->empty);
    json_put_member_uint(json, "odd", f->texts - fit);
    if (fit < f->texts)
        json_put_member_uint(json, "odd_line", odd_line);
    else
        json_put_member_raw(json, "odd_line", STR("null"));
    json_put_member_uint(json, "distinct", f->distinct);
    if (kind == KIND_NUMBER) {
        json_put_member_number(json, "min", f->number_min);
        json_put_member_number(json, "max", f->number_max);
        json_put_member_number(json, "mean", f->number_sum / (double)f->numbers);
    } else if (kind == KIND_TIME) {
        time_put(json, "min", f->time_min);
        time_put(json, "max", f->time_max);
    } else if (kind == KIND_TEXT) {
        json_put_member_str(json, "min", f->text_min);
        json_put_member_str(json, "max", f->text_max);
    }
}

/* Distinct texts that are not empty. */
static enum status distinct_count(const struct table *table, int column, size_t *ret_distinct,
                                  struct err *err)
{
    uint32_t *codes;
    struct str *texts;
    size_t count, distinct = 0;
    enum status status = table_codes(table, column, &codes, &texts, &count, err);
    if (status != ST_OK)
        return status;
    for (size_t i = 0; i < count; i++)
        distinct += !table_cell_is_empty(str_trim(texts[i]));
    free(codes);
    free(texts);
    *ret_distinct = distinct;
    return ST_OK;
}

static enum status column_put(const struct table *table, int column, struct buf *json,
                              struct err *err)
{
    struct figures figures = {0};
    enum status status = distinct_count(table, column, &figures.distinct, err);
    if (status != ST_OK)
        return status;
    column_look(table, column, &figures);
    json_put_comma(json);
    buf_char(json, '{');
    json_put_member_str(json, "column", table_name(table, column));
    for (size_t i = 0; i < table->roles_count; i++)
        if (table->roles[i].column == column)
            json_put_member_str(json, "role", table->roles[i].role);
    figures_put(json, &figures, table_name(table, column));
    buf_char(json, '}');
    return ST_OK;
}

enum status table_report(const struct table_options *options, struct buf *json, struct err *err)
{
    int64_t start_us = monotonic_us();
    struct table *table;
    enum status status = table_read(options, &table, err);
    if (status != ST_OK)
        return status;
    buf_char(json, '{');
    json_put_member_str(json, "report", STR("table"));
    json_put_member_str(json, "format", table->delimiter == 0 ? STR("parquet") : STR("text"));
    if (table->delimiter != 0)
        json_put_member_str(json, "delimiter", (struct str){&table->delimiter, 1});
    json_put_member_uint(json, "row_count", table->rows);
    json_put_member_uint(json, "column_count", table->columns);
    json_put_member_str(json, "bars", STR("empty"));
    json_put_name(json, "rows");
    buf_char(json, '[');
    for (size_t i = 0; i < table->columns && status == ST_OK; i++)
        status = column_put(table, (int)i, json, err);
    buf_text(json, "]");
    json_put_member_raw(json, "left_out", STR("[]"));
    json_put_member_number(json, "seconds", (double)(monotonic_us() - start_us) / 1e6);
    buf_char(json, '}');
    table_free(table);
    return status;
}
