/* report.c - the frame of a report's object, and lists in options. */
#include "learn/report_int.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/json.h"

#define NAME_MAX_BYTES 200

void report_begin(struct buf *json, const char *name)
{
    buf_char(json, '{');
    json_put_member_str(json, "report", str_of(name));
}

void report_left_out(struct buf *json, const char *const *reasons, const size_t *rows, size_t count)
{
    json_put_name(json, "left_out");
    buf_char(json, '[');
    for (size_t i = 0; i < count; i++) {
        if (rows[i] == 0)
            continue;
        json_put_comma(json);
        buf_char(json, '{');
        json_put_member_str(json, "reason", str_of(reasons[i]));
        json_put_member_uint(json, "rows", rows[i]);
        buf_char(json, '}');
    }
    buf_char(json, ']');
}

void report_end(struct buf *json, int64_t start_us)
{
    json_put_member_number(json, "seconds", (double)(monotonic_us() - start_us) / 1e6);
    buf_char(json, '}');
}

bool report_next(struct str *list, struct str *ret_name)
{
    if (list->p == NULL)
        return false;
    const char *comma = list->n > 0 ? memchr(list->p, ',', list->n) : NULL;
    size_t n = comma == NULL ? list->n : (size_t)(comma - list->p);
    *ret_name = str_trim((struct str){list->p, n});
    *list = comma == NULL ? (struct str){NULL, 0} : (struct str){comma + 1, list->n - n - 1};
    return true;
}

enum status report_column(const struct table *table, struct str name, int *ret_column,
                          struct err *err)
{
    char text[NAME_MAX_BYTES + 1];
    for (size_t i = 0; i < table_columns(table); i++) {
        if (str_eq(table_name(table, (int)i), name)) {
            *ret_column = (int)i;
            return ST_OK;
        }
    }
    snprintf(text, sizeof text, STR_FMT, STR_ARG(name));
    return table_find(table, text, text, true, ret_column, err);
}

bool report_number(struct str text, double *ret_value)
{
    char copy[64], *end;
    text = str_trim(text);
    if (text.n == 0 || text.n >= sizeof copy)
        return false;
    memcpy(copy, text.p, text.n);
    copy[text.n] = '\0';
    double value = strtod(copy, &end);
    if (end != copy + text.n || !isfinite(value))
        return false;
    *ret_value = value;
    return true;
}
