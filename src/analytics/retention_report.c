/* retention_report.c - who came back: a curve over all cohorts, the cohorts themselves, or which of
 * several things each person ever did.
 *
 * The calendar is UTC; a week begins on Monday. A cell is compared with others only when its period
 * had ended with the last event of the file: a curve that falls at its end because the month is not
 * over has misled more people than any other. */
#include "analytics/sequence_file_int.h"

#include <stdlib.h>

#include "analytics/retention.h"
#include "base/arena.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/when.h"

#define COHORTS_MAX 40000 /* a century of days */

/* --- which of several ------------------------------------------------------------------------- */

static enum status conditions_report(const struct retention_report_options *options,
                                     struct buf *json, struct err *err)
{
    const struct sequence_source *source = &options->source;
    int64_t start_us = monotonic_us();
    size_t people[SEQUENCE_STEPS_MAX] = {0};
    struct sequence_file file;
    enum status status = sequence_file_open(source, false, &file, err);
    if (status != ST_OK)
        return status;
    for (size_t u = 0; u < file.users_count; u++) {
        uint32_t held =
            retention_conditions(file.events + file.starts[u], file.starts[u + 1] - file.starts[u]);
        for (; held != 0; held &= held - 1)
            people[__builtin_ctz(held)]++;
    }
    buf_char(json, '{');
    json_put_member_str(json, "report", STR("retention"));
    json_put_member_uint(json, "events", file.rows);
    json_put_member_uint(json, "people", file.people);
    json_put_member_str(json, "bars", STR("people"));
    json_put_name(json, "rows");
    buf_char(json, '[');
    for (size_t k = 0; k < source->steps_count; k++) {
        json_put_comma(json);
        buf_char(json, '{');
        json_put_member_uint(json, "step", k + 1);
        json_put_member_str(json, "name", str_trim(str_of(source->steps[k])));
        json_put_member_uint(json, "people", people[k]);
        sequence_put_ratio(json, "from_first", people[k], people[0]);
        buf_char(json, '}');
    }
    buf_char(json, ']');
    sequence_file_put_end(&file, start_us, json);
    buf_char(json, '}');
    sequence_file_close(&file);
    return ST_OK;
}

/* --- the calendar ----------------------------------------------------------------------------- */

enum period { PERIOD_DAY, PERIOD_WEEK, PERIOD_MONTH };

static enum status period_parse(const char *text, enum period *ret_period, struct err *err)
{
    static const char *const names[] = {"day", "week", "month"};
    for (int i = 0; i < 3; i++) {
        if (strcmp(text, names[i]) != 0)
            continue;
        *ret_period = (enum period)i;
        return ST_OK;
    }
    return err_set(err, ST_INVALID, "--period is day, week or month, not %s", text);
}

static bool begins(enum period period, int64_t day)
{
    int y, m, d;
    if (period == PERIOD_DAY)
        return true;
    if (period == PERIOD_WEEK)
        return ((day + 3) % 7 + 7) % 7 == 0; /* 1970-01-01 was a Thursday */
    when_civil(day, &y, &m, &d);
    return d == 1;
}

static int64_t day_of(int64_t us)
{
    return us / US_PER_DAY - (us % US_PER_DAY < 0);
}

/* The borders of all periods from that of `first` to that of `last`; one more than periods. */
static enum status borders_make(enum period period, int64_t first, int64_t last,
                                int64_t **ret_borders, size_t *ret_periods, struct err *err)
{
    int64_t *borders = mem_alloc((COHORTS_MAX + 1) * sizeof *borders);
    size_t n = 0;
    int64_t day = day_of(first);
    while (!begins(period, day))
        day--;
    for (;; day++) {
        if (!begins(period, day))
            continue;
        if (n > COHORTS_MAX) {
            free(borders);
            return err_set(err, ST_TOO_LARGE,
                           "the times of the file are more than %d periods apart: is one wrong?",
                           COHORTS_MAX);
        }
        borders[n++] = day * US_PER_DAY;
        if (day * US_PER_DAY > last)
            break;
    }
    *ret_borders = borders;
    *ret_periods = n - 1;
    return ST_OK;
}

/* --- cohorts ---------------------------------------------------------------------------------- */

/* Row by period after the first: all cohorts for which it had ended. */
static void put_curve(const struct retention *retention, int64_t last, struct buf *json)
{
    json_put_name(json, "rows");
    buf_char(json, '[');
    for (size_t k = 0; k < retention->columns; k++) {
        uint64_t people = 0, returned = 0;
        for (size_t c = 0; c + k < retention->starts_count; c++) {
            if (retention->starts[c + k + 1] > last)
                break;
            people += retention->people[c];
            returned += retention->returned[c * retention->columns + k];
        }
        if (people == 0)
            continue;
        json_put_comma(json);
        buf_char(json, '{');
        json_put_member_uint(json, "period", k);
        json_put_member_uint(json, "people", people);
        json_put_member_uint(json, "returned", returned);
        sequence_put_ratio(json, "rate", returned, people);
        buf_char(json, '}');
    }
    buf_char(json, ']');
}

static void put_cohorts(const struct retention *retention, int64_t last, struct buf *json)
{
    char day[28];
    json_put_name(json, "cohorts");
    buf_char(json, '[');
    for (size_t c = 0; c < retention->starts_count; c++) {
        size_t begun = retention->starts_count - c;
        begun = begun < retention->columns ? begun : retention->columns;
        if (retention->people[c] == 0)
            continue;
        when_format(retention->starts[c], day);
        json_put_comma(json);
        buf_char(json, '{');
        json_put_member_str(json, "cohort", (struct str){day, 10});
        json_put_member_uint(json, "people", retention->people[c]);
        json_put_name(json, "returned");
        buf_char(json, '[');
        for (size_t k = 0; k < begun; k++) {
            json_put_comma(json);
            buf_fmt(json, "%llu",
                    (unsigned long long)retention->returned[c * retention->columns + k]);
        }
        buf_char(json, ']');
        json_put_member_bool(json, "unfinished", retention->starts[c + begun] > last);
        buf_char(json, '}');
    }
    buf_char(json, ']');
}

static void put_report(const struct retention_report_options *options,
                       const struct sequence_file *file, const struct retention *retention,
                       int64_t start_us, struct buf *json)
{
    size_t people = 0;
    for (size_t c = 0; c < retention->starts_count; c++)
        people += retention->people[c];
    buf_char(json, '{');
    json_put_member_str(json, "report", STR("retention"));
    json_put_member_uint(json, "events", file->rows);
    json_put_member_uint(json, "people", file->people);
    json_put_member_uint(json, "people_started", people);
    json_put_member_str(json, "period_kind", str_of(options->period));
    json_put_member_str(json, "bars", STR("rate"));
    put_curve(retention, file->last, json);
    put_cohorts(retention, file->last, json);
    sequence_file_put_end(file, start_us, json);
    buf_char(json, '}');
}

static enum status cohorts_report(const struct retention_report_options *options, struct buf *json,
                                  struct err *err)
{
    const char *const steps[] = {options->start, options->back};
    struct sequence_source source = options->source;
    int64_t start_us = monotonic_us(), *borders = NULL;
    struct retention retention = {.columns = options->periods + 1};
    struct sequence_file file;
    enum period period;
    enum status status = period_parse(options->period, &period, err);
    if (status == ST_OK && source.plain_time)
        return err_set(err, ST_INVALID, "plain times have no calendar: cohorts need real times");
    if (status == ST_OK && (options->periods < 1 || options->periods >= RETENTION_PERIODS_MAX))
        return err_set(err, ST_INVALID, "--periods is from 1 to %d", RETENTION_PERIODS_MAX - 1);
    source.steps = steps;
    source.steps_count = 2;
    if (status == ST_OK)
        status = sequence_file_open(&source, false, &file, err);
    if (status != ST_OK)
        return status;
    status = borders_make(period, file.first, file.last, &borders, &retention.starts_count, err);
    if (status == ST_OK) {
        retention.starts = borders;
        retention.people = mem_zero(retention.starts_count * sizeof *retention.people);
        retention.returned =
            mem_zero(retention.starts_count * retention.columns * sizeof *retention.returned);
        for (size_t u = 0; u < file.users_count; u++)
            retention_add(&retention, file.events + file.starts[u],
                          file.starts[u + 1] - file.starts[u]);
        put_report(options, &file, &retention, start_us, json);
    }
    free(borders);
    free(retention.people);
    free(retention.returned);
    sequence_file_close(&file);
    return status;
}

enum status retention_report(const struct retention_report_options *options, struct buf *json,
                             struct err *err)
{
    return options->source.steps_count > 0 ? conditions_report(options, json, err)
                                           : cohorts_report(options, json, err);
}
