/* overview.c - the first diagnosis: four questions to the warehouse, one answer.
 *
 * The questions are SQL (duckdb/overview.sql), because they count and add; what is done here is to
 * give each row its names, so that the answer reads as one object. Numbers pass through as the
 * engine wrote them: no digit is lost on the way. */
#include "analytics/analytics.h"

#include "analytics_queries.h"
#include "base/clock.h"
#include "base/json.h"

#define ANSWER_BYTES_MAX ((size_t)8 << 20)

/* The n-th row of an engine's answer as an object under its columns' names. */
static void put_row(struct buf *json, yyjson_val *columns, yyjson_val *row)
{
    buf_char(json, '{');
    size_t i, count;
    yyjson_val *value;
    yyjson_arr_foreach(row, i, count, value)
    {
        json_put_name(json, yyjson_get_str(yyjson_obj_get(yyjson_arr_get(columns, i), "name")));
        json_write(json, value);
    }
    buf_char(json, '}');
}

/* One question's rows under `name`: a list, or the first row alone. */
static enum status put_answer(struct warehouse *warehouse, const char *name, const char *sql,
                              bool one, struct buf *json, struct err *err)
{
    struct buf answer;
    yyjson_doc *doc = NULL;
    buf_init(&answer, ANSWER_BYTES_MAX);
    enum status status = warehouse_query(warehouse, sql, NULL, 0, &answer, err);
    if (status == ST_OK && answer.overflow)
        status = err_set(err, ST_TOO_LARGE, "the report's part %s is larger than %zu bytes", name,
                         ANSWER_BYTES_MAX);
    if (status == ST_OK)
        status = json_parse_exact(buf_view(&answer), &doc, err);
    buf_done(&answer);
    if (status != ST_OK)
        return status;

    yyjson_val *root = yyjson_doc_get_root(doc);
    yyjson_val *columns = yyjson_obj_get(root, "columns");
    yyjson_val *rows = yyjson_obj_get(root, "rows");
    json_put_name(json, name);
    if (one) {
        put_row(json, columns, yyjson_arr_get_first(rows));
    } else {
        size_t i, count;
        yyjson_val *row;
        buf_char(json, '[');
        yyjson_arr_foreach(rows, i, count, row)
        {
            json_put_comma(json);
            put_row(json, columns, row);
        }
        buf_char(json, ']');
    }
    yyjson_doc_free(doc);
    return ST_OK;
}

enum status analytics_overview(struct warehouse *warehouse, struct buf *json, struct err *err)
{
    static const struct {
        const char *name, *sql;
        bool one;
    } parts[] = {
        {"totals", analytics_overview_totals, true},
        {"lines", analytics_overview_lines, true},
        {"sources", analytics_overview_sources, false},
        {"records", analytics_overview_records, false},
    };
    int64_t start_us = monotonic_us();
    buf_char(json, '{');
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        enum status status =
            put_answer(warehouse, parts[i].name, parts[i].sql, parts[i].one, json, err);
        if (status != ST_OK)
            return status;
    }
    json_put_name(json, "seconds");
    buf_fmt(json, "%.3f", (double)(monotonic_us() - start_us) / 1e6);
    buf_char(json, '}');
    return ST_OK;
}
