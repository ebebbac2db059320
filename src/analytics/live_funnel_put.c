/* live_funnel_put.c - a funnel's counts as an answer: shares, times to convert, the bottleneck.
 *
 * Quantiles of a million times without sorting them: a histogram of 4,096 buckets finds where the
 * wanted rank lies, and only that bucket is sorted. */
#include "analytics/live_funnel_int.h"

#include <math.h>
#include <stdlib.h>

#define BUCKETS 4096

static const char *const orders[] = {"ordered", "strict", "unordered"};

/* --- times ------------------------------------------------------------------------------------ */

void live_waits_reserve(struct live_waits *waits, size_t count)
{
    if (waits->count + count <= waits->capacity)
        return;
    waits->capacity = (waits->count + count) * 2 + 64;
    waits->list = mem_grow(waits->list, waits->capacity * sizeof *waits->list);
}

void live_waits_join(struct live_waits *waits, struct live_waits *from)
{
    if (waits->count == 0) {
        free(waits->list);
        *waits = *from;
    } else if (from->count > 0) {
        waits->capacity = waits->count + from->count;
        waits->list = mem_grow(waits->list, waits->capacity * sizeof *waits->list);
        memcpy(waits->list + waits->count, from->list, from->count * sizeof *from->list);
        waits->count += from->count;
        waits->sum += from->sum;
        free(from->list);
    }
    *from = (struct live_waits){0};
}

static int wait_order(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

/* Times in buckets of equal width. */
struct histogram {
    const struct live_waits *waits;
    unsigned shift;
    uint32_t buckets[BUCKETS];
};

static void histogram_make(struct histogram *histogram, const struct live_waits *waits)
{
    uint32_t all = 0;
    *histogram = (struct histogram){.waits = waits};
    for (size_t i = 0; i < waits->count; i++)
        all |= waits->list[i];
    while (all >> histogram->shift >= BUCKETS)
        histogram->shift++;
    for (size_t i = 0; i < waits->count; i++)
        histogram->buckets[waits->list[i] >> histogram->shift]++;
}

/* The elements of rank `rank`, from 0, and of the next one. */
static void rank_find(const struct histogram *histogram, size_t rank, uint32_t ret_pair[2])
{
    const struct live_waits *waits = histogram->waits;
    uint32_t low = 0, high, n = 0;
    size_t before = 0;
    while (before + histogram->buckets[low] <= rank)
        before += histogram->buckets[low++];
    size_t next = rank + 1 < waits->count ? rank + 1 : rank;
    size_t room = histogram->buckets[low];
    for (high = low; before + room <= next;)
        room += histogram->buckets[++high];
    uint32_t *members = mem_alloc(room * sizeof *members);
    for (size_t i = 0; i < waits->count; i++) {
        uint32_t b = waits->list[i] >> histogram->shift;
        if (b >= low && b <= high)
            members[n++] = waits->list[i];
    }
    qsort(members, n, sizeof *members, wait_order);
    ret_pair[0] = members[rank - before];
    ret_pair[1] = members[next - before];
    free(members);
}

/* Interpolated. */
static double waits_quantile(const struct histogram *histogram, double share)
{
    double place = share * (double)(histogram->waits->count - 1);
    uint32_t pair[2];
    rank_find(histogram, (size_t)place, pair);
    return pair[0] + (double)(pair[1] - pair[0]) * (place - floor(place));
}

static void put_waits(struct buf *json, const char *const names[3], const struct live_waits *waits)
{
    double values[3] = {NAN, NAN, NAN};
    if (waits->count > 0) {
        struct histogram *histogram = mem_alloc(sizeof *histogram);
        histogram_make(histogram, waits);
        values[0] = waits_quantile(histogram, 0.5);
        values[1] = waits_quantile(histogram, 0.9);
        values[2] = (double)waits->sum / (double)waits->count;
        free(histogram);
    }
    for (size_t i = 0; i < 3; i++)
        json_put_member_number(json, names[i], values[i]);
}

/* --- people ----------------------------------------------------------------------------------- */

/* People who reached at least `step` (from 1), of one value of the breakdown. */
static uint64_t reached(const struct live_funnel *funnel, const struct live_tally *tally,
                        uint32_t value, unsigned step)
{
    unsigned steps = funnel->chain.steps;
    uint64_t people = 0;
    for (unsigned level = step; level <= steps; level++)
        people += tally->people[(size_t)value * (steps + 1) + level];
    return people;
}

static uint64_t reached_all(const struct live_ask *ask, const struct live_funnel *funnel,
                            const struct live_tally *tally, unsigned step)
{
    uint64_t people = 0;
    for (uint32_t value = 0; value < live_breakdown_values(ask); value++)
        people += reached(funnel, tally, value, step);
    return people;
}

/* Where the largest share is lost: step `*ret_step` (from 2), 0 = nobody came so far. */
static void bottleneck_find(const uint64_t *people, unsigned steps, unsigned *ret_step)
{
    double worst = 2;
    *ret_step = 0;
    for (unsigned k = 2; k <= steps && people[k - 1] > 0; k++) {
        double share = (double)people[k] / (double)people[k - 1];
        if (share < worst)
            worst = share, *ret_step = k;
    }
}

static struct str event_name(const struct live_event *event)
{
    return event->name.n == 0 ? STR("*") : event->name;
}

static double share_of(uint64_t part, uint64_t whole)
{
    return whole == 0 ? NAN : (double)part / (double)whole;
}

/* Of one line: a value of the breakdown, or all of them (value = values). */
struct line {
    uint32_t value;
    bool all;
    const struct live_waits *waits; /* [steps + 1]; NULL = not said */
    uint64_t people[LIVE_STEPS_MAX + 2], previous[LIVE_STEPS_MAX + 2]; /* by step from 1 */
};

static void put_cells(const struct live_ask *ask, const struct line *line, unsigned step,
                      bool has_previous, struct buf *json)
{
    char value[32] = "";
    if (!line->all)
        snprintf(value, sizeof value, ",\"value\":%u", line->value);
    live_put_cell(ask, json, "{\"step\":%u%s}", step, value);
    if (step > 1)
        live_put_cell_of(ask, json, "dropped_cell", "{\"step\":%u,\"dropped\":1%s}", step, value);
    if (has_previous)
        live_put_cell_of(ask, json, "previous_cell", "{\"step\":%u,\"previous\":1%s}", step, value);
}

static void put_step(const struct live_ask *ask, const struct live_funnel *funnel,
                     const struct line *line, unsigned step, bool has_previous, struct buf *json)
{
    static const char *const names[3] = {"median_seconds", "p90_seconds", "mean_seconds"};
    uint64_t people = line->people[step], before = line->people[step > 1 ? step - 1 : 1];
    json_put_comma(json);
    buf_char(json, '{');
    if (!line->all)
        live_put_breakdown(ask, json, line->value);
    json_put_member_uint(json, "step", step);
    if (!funnel->chain.any_order)
        json_put_member_str(json, "event", event_name(&funnel->steps[step - 1]));
    json_put_member_uint(json, "people", people);
    json_put_member_number(json, "from_previous", share_of(people, before));
    json_put_member_number(json, "from_first", share_of(people, line->people[1]));
    json_put_member_uint(json, "dropped", before - people);
    if (step > 1 && line->waits != NULL)
        put_waits(json, names, &line->waits[step - 1]);
    if (has_previous) {
        uint64_t then = line->previous[step];
        json_put_member_uint(json, "previous_people", then);
        json_put_member_number(json, "previous_from_first", share_of(then, line->previous[1]));
        json_put_member_number(json, "change",
                               then == 0 ? NAN : ((double)people - (double)then) / (double)then);
    }
    put_cells(ask, line, step, has_previous, json);
    buf_char(json, '}');
}

static void put_line(const struct live_ask *ask, const struct live_funnel *funnel,
                     const struct live_tally *tally, const struct live_tally *before,
                     uint32_t value, struct buf *json)
{
    unsigned steps = funnel->chain.steps;
    struct line line = {.value = value, .waits = tally->waits + (size_t)value * (steps + 1)};
    line.all = ask->breakdown == NULL;
    for (unsigned k = 1; k <= steps; k++) {
        line.people[k] = reached(funnel, tally, value, k);
        line.previous[k] = before == NULL ? 0 : reached(funnel, before, value, k);
    }
    if (!line.all && line.people[1] == 0 && line.previous[1] == 0)
        return; /* a value that did not occur needs no lines of zeros */
    for (unsigned k = 1; k <= steps; k++)
        put_step(ask, funnel, &line, k, before != NULL, json);
}

/* All values as one, when there are several. */
static void put_totals(const struct live_ask *ask, const struct live_funnel *funnel,
                       const struct live_tally *tally, const struct live_tally *before,
                       struct buf *json)
{
    struct line line = {.all = true};
    for (unsigned k = 1; k <= funnel->chain.steps; k++) {
        line.people[k] = reached_all(ask, funnel, tally, k);
        line.previous[k] = before == NULL ? 0 : reached_all(ask, funnel, before, k);
    }
    json_put_name(json, "totals");
    buf_char(json, '[');
    for (unsigned k = 1; k <= funnel->chain.steps; k++)
        put_step(ask, funnel, &line, k, before != NULL, json);
    buf_char(json, ']');
}

static void put_bottleneck(const struct live_funnel *funnel, const uint64_t *people,
                           struct buf *json)
{
    unsigned step;
    bottleneck_find(people, funnel->chain.steps, &step);
    if (step == 0) {
        json_put_member_raw(json, "bottleneck", STR("null"));
        return;
    }
    json_put_name(json, "bottleneck");
    buf_char(json, '{');
    json_put_member_uint(json, "step", step);
    if (!funnel->chain.any_order)
        json_put_member_str(json, "event", event_name(&funnel->steps[step - 1]));
    json_put_member_uint(json, "dropped", people[step - 1] - people[step]);
    json_put_member_number(json, "from_previous", share_of(people[step], people[step - 1]));
    buf_char(json, '}');
}

/* From the first step to the last, of everybody. */
static void put_conversion(const struct live_ask *ask, const struct live_funnel *funnel,
                           const struct live_tally *tally, const uint64_t *people, struct buf *json)
{
    static const char *const names[3] = {"conversion_median_seconds", "conversion_p90_seconds",
                                         "conversion_mean_seconds"};
    unsigned steps = funnel->chain.steps;
    struct live_waits all = {0};
    for (uint32_t value = 0; value < live_breakdown_values(ask); value++) {
        const struct live_waits *waits = &tally->waits[(size_t)value * (steps + 1) + steps];
        for (size_t i = 0; ask->breakdown != NULL && i < waits->count; i++)
            live_waits_add(&all, waits->list[i]);
    }
    json_put_member_uint(json, "entered", people[1]);
    json_put_member_uint(json, "converted", people[steps]);
    json_put_member_number(json, "conversion", share_of(people[steps], people[1]));
    json_put_member_uint(json, "window_open", tally->open);
    if (steps > 1)
        put_waits(json, names, ask->breakdown != NULL ? &all : &tally->waits[steps]);
    free(all.list);
}

void live_funnel_put(const struct live_ask *ask, const struct live_funnel *funnel,
                     const struct live_tally *tally, const struct live_tally *before,
                     struct buf *json)
{
    uint64_t people[LIVE_STEPS_MAX + 2] = {0};
    for (unsigned k = 1; k <= funnel->chain.steps; k++)
        people[k] = reached_all(ask, funnel, tally, k);
    json_put_member_str(json, "order", str_of(orders[funnel->order]));
    json_put_member_int(json, "window_seconds", funnel->window);
    json_put_member_bool(json, "closed", funnel->closed);
    put_conversion(ask, funnel, tally, people, json);
    put_bottleneck(funnel, people, json);
    json_put_member_str(json, "bars", STR("people"));
    json_put_name(json, "rows");
    buf_char(json, '[');
    for (uint32_t value = 0; value < live_breakdown_values(ask); value++)
        put_line(ask, funnel, tally, before, value, json);
    buf_char(json, ']');
    if (ask->breakdown != NULL)
        put_totals(ask, funnel, tally, before, json);
    json_put_name(json, "left_out");
    buf_text(json, "[]");
}
