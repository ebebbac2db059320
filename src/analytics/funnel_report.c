/* funnel_report.c - people per step, what share went on, how long they took, and where most are
 * lost. */
#include "analytics/sequence_file_int.h"

#include <stdlib.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/json.h"

/* Each person's level and the waits between the steps. */
struct tally {
    size_t people[SEQUENCE_STEPS_MAX + 1]; /* [k]: reached step k */
    int64_t *waits[SEQUENCE_STEPS_MAX];    /* [k]: from step k to k + 1, of people[k + 1] */
    size_t room[SEQUENCE_STEPS_MAX];
};

static void tally_done(struct tally *tally)
{
    for (size_t k = 0; k < SEQUENCE_STEPS_MAX; k++)
        free(tally->waits[k]);
}

static void tally_add(struct tally *tally, unsigned level, const int64_t *times)
{
    for (unsigned k = 1; k <= level; k++) {
        size_t n = tally->people[k]++;
        if (k < 2)
            continue;
        if (n == tally->room[k - 1]) {
            tally->room[k - 1] = n * 2 + 256;
            tally->waits[k - 1] =
                mem_grow(tally->waits[k - 1], tally->room[k - 1] * sizeof *tally->waits[k - 1]);
        }
        tally->waits[k - 1][n] = times[k - 1] - times[k - 2];
    }
}

static int wait_order(const void *left, const void *right)
{
    const int64_t *a = left, *b = right;
    return (*a > *b) - (*a < *b);
}

/* The smallest wait that at least `percent` of them do not pass. */
static double rank_of(const int64_t *waits, size_t count, size_t percent, int64_t unit)
{
    return (double)waits[(count * percent + 99) / 100 - 1] / (double)unit;
}

static void put_waits(struct buf *json, int64_t *waits, size_t count, int64_t unit)
{
    if (count == 0) {
        json_put_member_raw(json, "median_seconds", STR("null"));
        json_put_member_raw(json, "p90_seconds", STR("null"));
        return;
    }
    qsort(waits, count, sizeof *waits, wait_order);
    json_put_member_number(json, "median_seconds", rank_of(waits, count, 50, unit));
    json_put_member_number(json, "p90_seconds", rank_of(waits, count, 90, unit));
}

static void put_rows(const struct sequence_source *source, struct tally *tally, struct buf *json)
{
    json_put_name(json, "rows");
    buf_char(json, '[');
    for (size_t k = 0; k < source->steps_count; k++) {
        size_t people = tally->people[k + 1];
        json_put_comma(json);
        buf_char(json, '{');
        json_put_member_uint(json, "step", k + 1);
        json_put_member_str(json, "name", str_trim(str_of(source->steps[k])));
        json_put_member_uint(json, "people", people);
        sequence_put_ratio(json, "from_previous", people, k == 0 ? people : tally->people[k]);
        sequence_put_ratio(json, "from_first", people, tally->people[1]);
        put_waits(json, tally->waits[k], k == 0 ? 0 : people, sequence_file_unit(source));
        buf_char(json, '}');
    }
    buf_char(json, ']');
}

/* The step (from 1) that the smallest share of those before it reached; 0 = there is none. */
static size_t bottleneck_of(const struct tally *tally, size_t steps)
{
    size_t worst = 0;
    double worst_share = 2;
    for (size_t k = 2; k <= steps && tally->people[k - 1] > 0; k++) {
        double share = (double)tally->people[k] / (double)tally->people[k - 1];
        if (share < worst_share)
            worst = k, worst_share = share;
    }
    return worst;
}

static void put_report(const struct funnel_report_options *options,
                       const struct sequence_file *file, struct tally *tally, int64_t start_us,
                       struct buf *json)
{
    const struct sequence_source *source = &options->source;
    size_t worst = bottleneck_of(tally, source->steps_count);
    buf_char(json, '{');
    json_put_member_str(json, "report", STR("funnel"));
    json_put_member_uint(json, "events", file->rows);
    json_put_member_uint(json, "people", file->people);
    json_put_member_number(json, "window_seconds", (double)options->window_us / 1e6);
    json_put_member_str(json, "mode", str_of(options->modes));
    sequence_put_ratio(json, "conversion", tally->people[source->steps_count], tally->people[1]);
    if (worst == 0)
        json_put_member_raw(json, "bottleneck", STR("null"));
    else
        json_put_member_str(json, "bottleneck", str_trim(str_of(source->steps[worst - 1])));
    json_put_member_str(json, "bars", STR("people"));
    put_rows(source, tally, json);
    sequence_file_put_end(file, start_us, json);
    buf_char(json, '}');
}

enum status funnel_report(const struct funnel_report_options *options, struct buf *json,
                          struct err *err)
{
    const struct sequence_source *source = &options->source;
    struct funnel funnel = {.steps = (unsigned)source->steps_count,
                            .window = source->plain_time ? options->window_us / US_PER_S
                                                         : options->window_us};
    int64_t start_us = monotonic_us(), times[SEQUENCE_STEPS_MAX];
    struct sequence_file file;
    if (source->steps_count == 0)
        return err_set(err, ST_INVALID, "a funnel needs --step NAME, once for each step");
    enum status status = funnel_modes_parse(str_of(options->modes), &funnel.modes, err);
    if (status == ST_OK)
        status = sequence_file_open(source, (funnel.modes & FUNNEL_STRICT_ORDER) != 0, &file, err);
    if (status != ST_OK)
        return status;
    struct funnel_scratch *scratch = mem_alloc(sizeof *scratch);
    struct tally tally = {0};
    for (size_t u = 0; u < file.users_count; u++) {
        unsigned level = funnel_level(&funnel, file.events + file.starts[u],
                                      file.starts[u + 1] - file.starts[u], scratch, times);
        tally_add(&tally, level, times);
    }
    put_report(options, &file, &tally, start_us, json);
    tally_done(&tally);
    free(scratch);
    sequence_file_close(&file);
    return ST_OK;
}
