/* clv_report_sbg.c - contracts: how many are still there after each renewal, and how many will be.
 *
 * The numbers of survivors come from the command line or from a column of a file, in the order of
 * the periods, the start first. */
#include <math.h>
#include <stdlib.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/json.h"
#include "learn/clv_report_int.h"

#define PERIODS_MAX 10000

struct survivors {
    double *list;
    size_t count;
};

/* "1000,869,743" */
static enum status list_parse(const char *text, struct survivors *survivors, struct err *err)
{
    survivors->list = mem_alloc(PERIODS_MAX * sizeof *survivors->list);
    for (const char *at = text;; at++) {
        char *end;
        double value = strtod(at, &end);
        if (end == at || (*end != ',' && *end != '\0') || survivors->count == PERIODS_MAX)
            return err_set(err, ST_INVALID,
                           "\"%.60s\" is no list of numbers like 1000,869,743 (at place %zu)", text,
                           survivors->count + 1);
        survivors->list[survivors->count++] = value;
        if (*end == '\0')
            return ST_OK;
        at = end;
    }
}

static enum status file_read(const struct clv_report_options *options, struct survivors *survivors,
                             struct err *err)
{
    struct table *table;
    int column;
    enum status status = table_read(&options->file, &table, err);
    if (status != ST_OK)
        return status;
    status = table_find(table, "survivors", "survivors|alive|remaining|active|customers", true,
                        &column, err);
    if (status == ST_OK)
        status = table_numbers(table, column, TABLE_EMPTY_REFUSED, 0, &survivors->list, err);
    survivors->count = status == ST_OK ? table_rows(table) : 0;
    table_free(table);
    if (survivors->count > PERIODS_MAX)
        return err_set(err, ST_TOO_LARGE, "could not fit sbg: more than %d periods", PERIODS_MAX);
    return status;
}

static void put_rows(struct buf *json, const struct survivors *survivors, const struct clv_fit *fit,
                     size_t periods, double discount)
{
    json_put_member_str(json, "bars", STR("survival"));
    json_put_name(json, "rows");
    buf_char(json, '[');
    for (size_t t = 0; t <= periods; t++) {
        double survival = clv_sbg_survival(fit, (double)t);
        bool seen = t < survivors->count;
        json_put_comma(json);
        buf_char(json, '{');
        json_put_member_uint(json, "period", t);
        json_put_name(json, "survivors");
        json_put_number(json, seen ? survivors->list[t] : NAN);
        json_put_member_number(json, "expected_survivors", survival * survivors->list[0]);
        json_put_member_number(json, "survival", survival);
        json_put_member_number(json, "retention",
                               seen && t > 0 ? survivors->list[t] / survivors->list[t - 1] : NAN);
        json_put_member_number(json, "expected_retention",
                               t > 0 ? clv_sbg_retention(fit, (double)t) : NAN);
        json_put_member_number(json, "residual_periods",
                               clv_sbg_residual(fit, (double)t, discount));
        buf_char(json, '}');
    }
    buf_char(json, ']');
}

enum status clv_put_sbg(struct buf *json, const struct clv_report_options *options, struct err *err)
{
    int64_t start_us = monotonic_us();
    struct survivors survivors = {0};
    struct clv_fit fit;
    enum status status = options->survivors[0] != '\0'
                             ? list_parse(options->survivors, &survivors, err)
                             : file_read(options, &survivors, err);
    if (status == ST_OK)
        status = clv_sbg_fit(survivors.list, survivors.count, &fit, err);
    if (status == ST_OK) {
        double ahead = options->horizon > 0 ? floor(options->horizon) : (double)survivors.count - 1;
        buf_char(json, '{');
        json_put_member_str(json, "report", STR("clv"));
        json_put_member_str(json, "model", STR("sbg"));
        json_put_member_number(json, "customers", fit.customers);
        json_put_member_number(json, "horizon", ahead);
        json_put_member_number(json, "discount", options->discount);
        clv_put_fit(json, &fit);
        put_rows(json, &survivors, &fit, survivors.count - 1 + (size_t)ahead, options->discount);
        json_put_name(json, "parameters");
        buf_char(json, '[');
        clv_put_parameters(json, &fit);
        buf_text(json, "],\"left_out\":[]");
        json_put_member_number(json, "seconds", (double)(monotonic_us() - start_us) / 1e6);
        buf_char(json, '}');
    }
    free(survivors.list);
    return status;
}
