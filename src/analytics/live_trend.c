/* live_trend.c - how much, per period: events, people, and the sum, mean and quantiles of a
 * number that the events carry.
 *
 * A SERIES is one event of the question at one value of the breakdown; a cell is a series in one
 * period. Each thread counts into cells of its own. Whether a person was counted in a cell already
 * is a stamp there: the number of the run that came last. Sums are whole millionths in 128 bits, so
 * money stays exact and the threads' order does not matter. Quantiles keep every value, up to a
 * limit that the answer says; between two values they are interpolated.
 *
 * Events of nobody are in counts and sums, and in no number of people. */
#include "analytics/live_reach.h"

#include <math.h>
#include <stdlib.h>

#define EVENTS_MAX 10
#define CELLS_MAX 400000
#define VALUES_MAX ((size_t)8 << 20) /* kept for quantiles, 16 bytes each */
#define MICROS 1000000
#define NO_VALUE INT64_MIN

enum measure { COUNT, PEOPLE, SUM, MEAN, P50, P90, P99 };
static const char *const measures[] = {"count", "people", "sum", "mean", "p50", "p90", "p99", NULL};
static const char *const units[] = {"hour", "day", "week", "month", NULL};

struct counted {
    uint64_t count, valued; /* valued: events that have the number */
    __int128 sum;
    uint32_t people, stamp;
};

struct valued {
    uint32_t cell;
    int64_t micros;
};

struct trend {
    struct live_event *events;
    size_t events_count;
    bool any; /* some event is "*" */
    struct code_set set;
    int unit, measure;
    bool has_numbers, has_quantiles;
    const struct timeline_column *column; /* NULL = the amount */
    int64_t *micros;                      /* by the column's code */
    uint32_t series, values;              /* series = events × values of the breakdown */

    /* Of the window that is counted. */
    const uint32_t *borders;
    size_t periods;

    /* Of a cell. */
    uint64_t want_series, want_period; /* period = periods: all */
    bool want_previous;
};

/* One thread's. */
struct counter {
    const struct trend *trend;
    struct counted *cells;  /* [series × periods] */
    struct counted *totals; /* [series] */
    uint32_t stamp;
    uint32_t *at; /* candidates in a run */
    uint32_t at_capacity;
    struct valued *kept;
    size_t kept_count, kept_capacity;
    uint64_t people, without;
    bool full;
};

/* What came of one window. */
struct tally {
    struct counted *cells, *totals;
    struct valued *kept; /* by (cell, value) */
    size_t kept_count;
    uint64_t people, without;
    const uint32_t *borders;
    size_t periods;
};

/* --- the question ----------------------------------------------------------------------------- */

static enum status events_parse(struct live_ask *ask, struct trend *trend, struct err *err)
{
    bool one = yyjson_obj_get(ask->question, "event") != NULL;
    bool list = yyjson_obj_get(ask->question, "events") != NULL;
    if (one && list)
        return err_set(err, ST_INVALID, "\"event\" and \"events\" are two ways to say the same");
    if (list)
        return live_ask_events(ask, "events", 1, EVENTS_MAX, &trend->events, &trend->events_count,
                               err);
    trend->events = ARENA_NEW(ask->arena, struct live_event);
    trend->events_count = 1;
    trend->events[0].code = TIMELINE_NONE;
    return one ? live_ask_event(ask, "event", &trend->events[0], err) : ST_OK;
}

/* The property's numbers in millionths; what is no number, or beyond 9·10^12, has none. */
static void micros_make(struct live_ask *ask, struct trend *trend)
{
    uint32_t values = timeline_column_values(trend->column);
    trend->micros = ARENA_ARRAY(ask->arena, int64_t, (size_t)values + 1);
    trend->micros[0] = NO_VALUE;
    for (uint32_t code = 1; code <= values; code++) {
        double number;
        bool good =
            live_number(timeline_column_text(trend->column, code), &number) && fabs(number) < 9e12;
        trend->micros[code] = good ? llround(number * MICROS) : NO_VALUE;
    }
}

/* The column of the one event that is asked about, or of all. */
static enum status numbers_parse(struct live_ask *ask, struct trend *trend, struct err *err)
{
    struct str property = json_str(yyjson_obj_get(ask->question, "property"));
    if (yyjson_obj_get(ask->question, "property") != NULL && property.n == 0)
        return err_set(err, ST_INVALID, "\"property\" must be the name of one, with numbers");
    trend->has_numbers = trend->measure >= SUM || property.n > 0;
    trend->has_quantiles = trend->measure >= P50;
    if (property.n == 0)
        return ST_OK;
    struct str event = trend->events_count == 1 ? trend->events[0].name : STR("");
    enum status status = live_column(ask, event, property, &trend->column, err);
    if (status == ST_OK)
        micros_make(ask, trend);
    return status;
}

static enum status trend_parse(struct live_ask *ask, struct trend *trend, struct err *err)
{
    static const char *const members[] = {"event", "events", "unit", "measure", "property", NULL};
    enum status status = live_ask_known(ask, members, err);
    if (status == ST_OK)
        status = events_parse(ask, trend, err);
    if (status == ST_OK)
        status = live_ask_word(ask, "unit", units, LIVE_DAY, &trend->unit, err);
    if (status == ST_OK)
        status = live_ask_word(ask, "measure", measures, COUNT, &trend->measure, err);
    if (status == ST_OK)
        status = numbers_parse(ask, trend, err);
    if (status != ST_OK)
        return status;
    code_set_init(&trend->set);
    for (size_t i = 0; i < trend->events_count; i++) {
        trend->any = trend->any || trend->events[i].code == TIMELINE_NONE;
        if (trend->events[i].code != TIMELINE_NONE)
            code_set_add(&trend->set, (uint16_t)trend->events[i].code);
    }
    trend->values = live_breakdown_values(ask);
    trend->series = (uint32_t)trend->events_count * trend->values;
    return ST_OK;
}

/* --- counting --------------------------------------------------------------------------------- */

static int64_t micros_of(const struct live_ask *ask, const struct trend *trend,
                         const struct timeline_run *run, uint32_t i)
{
    int64_t micros;
    uint64_t row = timeline_row(run, i);
    if (trend->column != NULL)
        return trend->micros[timeline_column_code(trend->column, row)];
    return timeline_amount(ask->view, row, &micros) ? micros : NO_VALUE;
}

static void keep(struct counter *counter, uint32_t cell, int64_t micros)
{
    if (counter->kept_count == VALUES_MAX) {
        counter->full = true;
        return;
    }
    if (counter->kept_count == counter->kept_capacity) {
        counter->kept_capacity = counter->kept_capacity == 0 ? 1024 : counter->kept_capacity * 2;
        counter->kept = mem_grow(counter->kept, counter->kept_capacity * sizeof *counter->kept);
    }
    counter->kept[counter->kept_count++] = (struct valued){cell, micros};
}

static void counted_add(struct counted *counted, uint32_t stamp, bool is_person, int64_t micros)
{
    counted->count++;
    if (is_person && counted->stamp != stamp) {
        counted->stamp = stamp;
        counted->people++;
    }
    if (micros != NO_VALUE) {
        counted->valued++;
        counted->sum += micros;
    }
}

/* Event i of the run is of this series and in this period. */
static void hit(const struct live_ask *ask, struct counter *counter, const struct timeline_run *run,
                uint32_t i, uint32_t series, size_t period)
{
    const struct trend *trend = counter->trend;
    if (ask->want != NULL) {
        if (series == trend->want_series &&
            (trend->want_period == trend->periods || trend->want_period == period))
            live_want(ask, run->person);
        return;
    }
    bool is_person = run->person != TIMELINE_NONE;
    uint32_t cell = series * (uint32_t)trend->periods + (uint32_t)period;
    int64_t micros = NO_VALUE;
    if (trend->has_numbers) {
        micros = micros_of(ask, trend, run, i);
        counter->without += micros == NO_VALUE;
    }
    counted_add(&counter->cells[cell], counter->stamp, is_person, micros);
    counted_add(&counter->totals[series], counter->stamp, is_person, micros);
    if (trend->has_quantiles && micros != NO_VALUE)
        keep(counter, cell, micros);
}

/* Which events of [first, end) may be meant: their indices relative to first, NULL = all. */
static const uint32_t *candidates(struct counter *counter, const struct timeline_run *run,
                                  uint32_t first, uint32_t end, size_t *ret_count)
{
    uint32_t count = end - first;
    if (counter->trend->any) {
        *ret_count = count;
        return NULL;
    }
    if (count > counter->at_capacity) {
        counter->at_capacity = count * 2;
        counter->at = mem_grow(counter->at, counter->at_capacity * sizeof *counter->at);
    }
    *ret_count =
        run->code8 != NULL
            ? code_set_find_u8(&counter->trend->set, run->code8 + first, count, counter->at)
            : code_set_find_u16(&counter->trend->set, run->code16 + first, count, counter->at);
    return counter->at;
}

static void trend_each(const struct live_ask *ask, const struct timeline_run *run, void *ctx)
{
    struct counter *counter = ctx;
    const struct trend *trend = counter->trend;
    uint32_t first, end;
    size_t count = 0, period = 0;
    live_window(ask, run, &first, &end);
    if (first == end)
        return;
    const uint32_t *at = candidates(counter, run, first, end, &count);
    counter->people += run->person != TIMELINE_NONE;
    counter->stamp++;
    for (size_t k = 0; k < count; k++) {
        uint32_t i = first + (at != NULL ? at[k] : (uint32_t)k);
        if (ask->filters_count > 0 &&
            !live_filters_hold(ask, ask->filters, ask->filters_count, run, i))
            continue;
        period = live_period_of(trend->borders, trend->periods, run->time[i], period);
        uint32_t value = live_breakdown_of(ask, run, i);
        for (uint32_t e = 0; e < trend->events_count; e++)
            if (live_event_is(ask, &trend->events[e], run, i))
                hit(ask, counter, run, i, e * trend->values + value, period);
    }
}

/* --- one window ------------------------------------------------------------------------------- */

static int valued_order(const void *a, const void *b)
{
    const struct valued *x = a, *y = b;
    if (x->cell != y->cell)
        return x->cell < y->cell ? -1 : 1;
    return (x->micros > y->micros) - (x->micros < y->micros);
}

static void counted_join(struct counted *into, const struct counted *from, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        into[i].count += from[i].count;
        into[i].valued += from[i].valued;
        into[i].sum += from[i].sum;
        into[i].people += from[i].people;
    }
}

/* The threads' counts together, and their memory given back. */
static enum status counters_join(const struct live_ask *ask, struct trend *trend,
                                 struct counter *counters, struct tally *tally, struct err *err)
{
    bool full = false;
    size_t kept = 0, at = 0;
    for (int t = 0; t < live_threads(ask); t++) {
        full = full || counters[t].full;
        kept += counters[t].kept_count;
    }
    if (full || kept > VALUES_MAX) {
        err_set(err, ST_TOO_LARGE, "quantiles of more than %zu events", VALUES_MAX);
        return err_hint(err, ST_TOO_LARGE, "a shorter window, or a condition in \"where\"");
    }
    tally->kept = mem_alloc((kept + 1) * sizeof *tally->kept);
    for (int t = 0; t < live_threads(ask); t++) {
        struct counter *counter = &counters[t];
        counted_join(tally->cells, counter->cells, trend->series * trend->periods);
        counted_join(tally->totals, counter->totals, trend->series);
        tally->people += counter->people;
        tally->without += counter->without;
        if (counter->kept_count > 0)
            memcpy(tally->kept + at, counter->kept, counter->kept_count * sizeof *tally->kept);
        at += counter->kept_count;
    }
    tally->kept_count = kept;
    qsort(tally->kept, kept, sizeof *tally->kept, valued_order);
    return ST_OK;
}

static enum status window_count(struct live_ask *ask, struct trend *trend, struct tally *tally,
                                struct err *err)
{
    uint32_t *borders = NULL;
    enum status status =
        live_borders(ask, (enum live_unit)trend->unit, &borders, &trend->periods, err);
    if (status != ST_OK)
        return status;
    trend->borders = tally->borders = borders;
    tally->periods = trend->periods;
    size_t cells = (size_t)trend->series * trend->periods;
    if (cells > CELLS_MAX) {
        err_set(err, ST_INVALID, "the answer would have %zu rows, at most %d", cells, CELLS_MAX);
        return err_hint(err, ST_INVALID, "a larger \"unit\", or fewer events or values");
    }
    tally->cells = mem_zero(cells * sizeof *tally->cells);
    tally->totals = mem_zero(trend->series * sizeof *tally->totals);
    int threads = live_threads(ask);
    struct counter *counters = mem_zero((size_t)threads * sizeof *counters);
    for (int t = 0; t < threads; t++) {
        counters[t].trend = trend;
        counters[t].cells = mem_zero(cells * sizeof *tally->cells);
        counters[t].totals = mem_zero(trend->series * sizeof *tally->totals);
    }
    status = live_pass_all(ask, trend_each, counters, sizeof *counters, err);
    if (status == ST_OK)
        status = counters_join(ask, trend, counters, tally, err);
    for (int t = 0; t < threads; t++) {
        free(counters[t].cells);
        free(counters[t].totals);
        free(counters[t].at);
        free(counters[t].kept);
    }
    free(counters);
    return status;
}

static void tally_done(struct tally *tally)
{
    free(tally->cells);
    free(tally->totals);
    free(tally->kept);
}

/* --- numbers ---------------------------------------------------------------------------------- */

/* The quantile of sorted values, between two of them by interpolation. */
static double quantile(const struct valued *sorted, size_t count, double share)
{
    double place = share * (double)(count - 1);
    size_t low = (size_t)place, high = low + 1 < count ? low + 1 : low;
    double a = (double)sorted[low].micros, b = (double)sorted[high].micros;
    return (a + (b - a) * (place - (double)low)) / MICROS;
}

static size_t first_of(const struct tally *tally, uint64_t cell)
{
    size_t low = 0, high = tally->kept_count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (tally->kept[middle].cell < cell)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

struct quantiles {
    bool has;
    double p50, p90, p99;
};

static struct quantiles quantiles_of(const struct valued *sorted, size_t count)
{
    if (count == 0)
        return (struct quantiles){0};
    return (struct quantiles){true, quantile(sorted, count, 0.5), quantile(sorted, count, 0.9),
                              quantile(sorted, count, 0.99)};
}

static struct quantiles cell_quantiles(const struct tally *tally, uint32_t cell)
{
    size_t from = first_of(tally, cell), to = first_of(tally, (uint64_t)cell + 1);
    return quantiles_of(tally->kept + from, to - from);
}

/* Of a whole series: its cells stand together, and are sorted once more as one. */
static struct quantiles series_quantiles(const struct tally *tally, uint32_t series)
{
    uint64_t cell = (uint64_t)series * tally->periods;
    size_t from = first_of(tally, cell), to = first_of(tally, cell + tally->periods);
    size_t count = to - from;
    struct valued *all = mem_alloc((count + 1) * sizeof *all);
    for (size_t i = 0; i < count; i++)
        all[i] = (struct valued){0, tally->kept[from + i].micros};
    qsort(all, count, sizeof *all, valued_order);
    struct quantiles quantiles = quantiles_of(all, count);
    free(all);
    return quantiles;
}

static double measured(const struct trend *trend, const struct counted *counted,
                       const struct quantiles *quantiles)
{
    switch ((enum measure)trend->measure) {
    case COUNT:
        return (double)counted->count;
    case PEOPLE:
        return counted->people;
    case SUM:
        return (double)counted->sum / MICROS;
    case MEAN:
        return counted->valued == 0 ? NAN : (double)counted->sum / MICROS / (double)counted->valued;
    case P50:
        return quantiles->has ? quantiles->p50 : NAN;
    case P90:
        return quantiles->has ? quantiles->p90 : NAN;
    case P99:
        return quantiles->has ? quantiles->p99 : NAN;
    }
    return NAN;
}

/* --- the answer ------------------------------------------------------------------------------- */

static void put_numbers(const struct trend *trend, const struct counted *counted,
                        const struct quantiles *quantiles, const char *const names[7],
                        struct buf *json)
{
    json_put_member_uint(json, names[COUNT], counted->count);
    json_put_member_uint(json, names[PEOPLE], counted->people);
    if (!trend->has_numbers)
        return;
    live_put_micros(json, names[SUM], counted->sum);
    json_put_member_number(
        json, names[MEAN],
        counted->valued == 0 ? NAN : (double)counted->sum / MICROS / (double)counted->valued);
    if (!trend->has_quantiles)
        return;
    json_put_member_number(json, names[P50], quantiles->has ? quantiles->p50 : NAN);
    json_put_member_number(json, names[P90], quantiles->has ? quantiles->p90 : NAN);
    json_put_member_number(json, names[P99], quantiles->has ? quantiles->p99 : NAN);
}

/* Beside the numbers of this period those of the one before, and the share that it changed. */
static void put_compared(const struct trend *trend, const struct counted *now,
                         const struct quantiles *now_quantiles, const struct counted *then,
                         const struct quantiles *then_quantiles, struct buf *json)
{
    static const char *const names[] = {"previous_count", "previous_people", "previous_sum",
                                        "previous_mean",  "previous_p50",    "previous_p90",
                                        "previous_p99"};
    double a = measured(trend, then, then_quantiles), b = measured(trend, now, now_quantiles);
    put_numbers(trend, then, then_quantiles, names, json);
    json_put_member_number(json, "change_share", a == 0 ? NAN : (b - a) / a);
}

static void put_series(const struct live_ask *ask, const struct trend *trend, uint32_t series,
                       struct buf *json)
{
    struct str event = trend->events[series / trend->values].name;
    if (trend->events_count > 1)
        json_put_member_str(json, "event", event.n == 0 ? STR("*") : event);
    live_put_breakdown(ask, json, series % trend->values);
}

static void put_row(const struct live_ask *ask, const struct trend *trend,
                    const struct tally *tally, const struct tally *before, uint32_t series,
                    size_t period, struct buf *json)
{
    uint32_t cell = series * (uint32_t)tally->periods + (uint32_t)period;
    uint32_t start = tally->borders[period], end = tally->borders[period + 1];
    struct quantiles quantiles = cell_quantiles(tally, cell), then;
    json_put_comma(json);
    buf_char(json, '{');
    live_put_time(ask, json, "time", start, (enum live_unit)trend->unit);
    put_series(ask, trend, series, json);
    put_numbers(trend, &tally->cells[cell], &quantiles, measures, json);
    if (before != NULL && period < before->periods) {
        uint32_t old = series * (uint32_t)before->periods + (uint32_t)period;
        then = cell_quantiles(before, old);
        put_compared(trend, &tally->cells[cell], &quantiles, &before->cells[old], &then, json);
        live_put_cell_of(ask, json, "previous_cell",
                         "{\"series\":%u,\"period\":%zu,\"previous\":1}", series, period);
    }
    if (end * US_PER_S > ask->now_us)
        json_put_member_bool(json, "unfinished", true);
    if (start < ask->from_s || end > ask->to_s)
        json_put_member_bool(json, "cut", true);
    live_put_cell(ask, json, "{\"series\":%u,\"period\":%zu}", series, period);
    buf_char(json, '}');
}

/* The measure, period by period: for a small picture. */
static void put_line(const struct trend *trend, const struct tally *tally, uint32_t series,
                     struct buf *json)
{
    json_put_name(json, "series");
    buf_char(json, '[');
    for (size_t period = 0; period < tally->periods; period++) {
        uint32_t cell = series * (uint32_t)tally->periods + (uint32_t)period;
        struct quantiles quantiles = cell_quantiles(tally, cell);
        json_put_comma(json);
        json_put_number(json, measured(trend, &tally->cells[cell], &quantiles));
    }
    buf_char(json, ']');
}

static void put_total(const struct live_ask *ask, const struct trend *trend,
                      const struct tally *tally, const struct tally *before, uint32_t series,
                      struct buf *json)
{
    uint64_t all = 0;
    uint32_t of_event = series / trend->values * trend->values;
    const struct counted *total = &tally->totals[series];
    struct quantiles quantiles = series_quantiles(tally, series), then;
    json_put_comma(json);
    buf_char(json, '{');
    put_series(ask, trend, series, json);
    put_numbers(trend, total, &quantiles, measures, json);
    for (uint32_t v = 0; v < trend->values; v++)
        all += tally->totals[of_event + v].count;
    if (ask->breakdown != NULL && all > 0)
        json_put_member_number(json, "share", (double)total->count / (double)all);
    if (before != NULL) {
        then = series_quantiles(before, series);
        put_compared(trend, total, &quantiles, &before->totals[series], &then, json);
        live_put_cell_of(ask, json, "previous_cell", "{\"series\":%u,\"previous\":1}", series);
    }
    put_line(trend, tally, series, json);
    live_put_cell(ask, json, "{\"series\":%u}", series);
    buf_char(json, '}');
}

/* A value of the breakdown that did not occur needs no line of zeros. */
static bool is_shown(const struct live_ask *ask, const struct tally *tally,
                     const struct tally *before, uint32_t series)
{
    return ask->breakdown == NULL || tally->totals[series].count > 0 ||
           (before != NULL && before->totals[series].count > 0);
}

static void put_answer(const struct live_ask *ask, const struct trend *trend,
                       const struct tally *tally, const struct tally *before, struct buf *json)
{
    json_put_member_str(json, "unit", str_of(units[trend->unit]));
    json_put_member_str(json, "measure", str_of(measures[trend->measure]));
    json_put_member_str(json, "bars", str_of(measures[trend->measure]));
    json_put_name(json, "totals");
    buf_char(json, '[');
    for (uint32_t series = 0; series < trend->series; series++)
        if (is_shown(ask, tally, before, series))
            put_total(ask, trend, tally, before, series, json);
    buf_char(json, ']');
    json_put_name(json, "rows");
    buf_char(json, '[');
    for (uint32_t series = 0; series < trend->series; series++)
        for (size_t period = 0; is_shown(ask, tally, before, series) && period < tally->periods;
             period++)
            put_row(ask, trend, tally, before, series, period, json);
    buf_char(json, ']');
    json_put_name(json, "left_out");
    buf_char(json, '[');
    if (tally->without > 0) {
        buf_char(json, '{');
        json_put_member_str(json, "reason", STR("no_number"));
        json_put_member_uint(json, "events", tally->without);
        buf_char(json, '}');
    }
    buf_char(json, ']');
}

static enum status cell_read(struct live_ask *ask, struct trend *trend, struct err *err)
{
    enum status status = live_cell_number(ask, "series", trend->series, &trend->want_series, err);
    trend->want_period = UINT64_MAX;
    if (status == ST_OK && yyjson_obj_get(ask->cell, "period") != NULL)
        status = live_cell_number(ask, "period", LIVE_BORDERS_MAX, &trend->want_period, err);
    trend->want_previous = yyjson_obj_get(ask->cell, "previous") != NULL;
    return status;
}

/* The pass of a cell: the same counting, which puts people where it is told. */
static enum status cell_count(struct live_ask *ask, struct trend *trend, struct err *err)
{
    struct live_ask window = trend->want_previous ? live_previous(ask) : *ask;
    struct tally tally = {0};
    uint32_t *borders;
    size_t periods = 0;
    enum status status =
        live_borders(&window, (enum live_unit)trend->unit, &borders, &periods, err);
    if (status != ST_OK)
        return status;
    if (trend->want_period == UINT64_MAX)
        trend->want_period = periods;
    status = window_count(&window, trend, &tally, err);
    tally_done(&tally);
    return status;
}

/* "people" are all who were there, with any event. */
void live_trend_reach(struct live_ask *ask, struct live_reach *reach)
{
    struct live_names names = {0};
    bool list = yyjson_obj_get(ask->question, "events") != NULL;
    live_names_ask(ask, &names, list ? "events" : "event");
    live_names_breakdown(ask, &names);
    live_reach_all(ask, reach, live_reach_from(ask), ask->to_s, &names);
    live_reach_present(ask, reach, &names);
}

enum status live_trend(struct live_ask *ask, struct buf *json, struct err *err)
{
    struct trend trend = {0};
    struct tally tally = {0}, before = {0};
    struct live_ask previous = {0};
    enum status status = trend_parse(ask, &trend, err);
    if (status == ST_OK && ask->cell != NULL) {
        status = cell_read(ask, &trend, err);
        return status == ST_OK ? cell_count(ask, &trend, err) : status;
    }
    if (status == ST_OK && ask->compare) {
        previous = live_previous(ask);
        status = window_count(&previous, &trend, &before, err);
        ask->events_read = previous.events_read;
    }
    if (status == ST_OK)
        status = window_count(ask, &trend, &tally, err);
    if (status == ST_OK) {
        ask->people = tally.people;
        put_answer(ask, &trend, &tally, ask->compare ? &before : NULL, json);
    }
    tally_done(&before);
    tally_done(&tally);
    return status;
}
