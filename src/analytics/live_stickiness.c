/* live_stickiness.c - on how many days people come, and what part of a month's people a day has.
 *
 * "rows": how many people were active on exactly n of the window's days, and on at least n.
 * "days": for each day DAU, the people of that day; WAU and MAU, those of the 7 and 30 days that
 * end with it; and DAU/MAU. Each is a count of persons, not of days: somebody active on three days
 * of a week is one of the week. A person adds to WAU from their active day until six days later, so
 * each stretch of days is added as its first day and taken off after its last: no day is looked at
 * twice. Days are those of the zone, with 23 or 25 hours where they have. */
#include "analytics/live_reach.h"

#include <stdlib.h>

#define WEEK 7
#define MONTH 30

struct stickiness {
    struct live_event event;
    uint32_t *borders; /* of the MONTH - 1 days before the window, and of the window's */
    size_t days;       /* all of them */
    size_t before;     /* those before the window */
    uint64_t want_days, want_day;
    uint64_t want_span; /* 0 = by number of days, else 1, WEEK or MONTH */
};

struct counter {
    const struct stickiness *stickiness;
    uint64_t *by_days;           /* [window's days + 1] */
    int64_t *day, *week, *month; /* [days + 1]: how many begin here, less how many ended */
    uint64_t people;
};

/* Active on `day`, and last on `before` (none: SIZE_MAX): the new part of a span of `span` days. */
static void span_add(int64_t *changes, size_t days, size_t day, size_t before, size_t span)
{
    size_t from = day, to = day + span < days ? day + span : days;
    if (before != SIZE_MAX && before + span > from)
        from = before + span < to ? before + span : to;
    changes[from]++;
    changes[to]--;
}

static void stickiness_each(const struct live_ask *ask, const struct timeline_run *run, void *ctx)
{
    struct counter *counter = ctx;
    const struct stickiness *stickiness = counter->stickiness;
    size_t day = 0, last = SIZE_MAX, active = 0;
    bool is_in_span = false;
    for (uint32_t i = 0; i < run->count && run->time[i] < ask->to_s; i++) {
        if (run->time[i] < stickiness->borders[0] ||
            !live_event_is(ask, &stickiness->event, run, i) ||
            !live_filters_hold(ask, ask->filters, ask->filters_count, run, i))
            continue;
        day = live_period_of(stickiness->borders, stickiness->days, run->time[i], day);
        if (day == last)
            continue;
        active += day >= stickiness->before;
        if (ask->want == NULL) {
            span_add(counter->day, stickiness->days, day, last, 1);
            span_add(counter->week, stickiness->days, day, last, WEEK);
            span_add(counter->month, stickiness->days, day, last, MONTH);
        } else if (day <= stickiness->want_day &&
                   day + stickiness->want_span > stickiness->want_day) {
            is_in_span = true;
        }
        last = day;
    }
    if (ask->want == NULL) {
        counter->by_days[active]++;
        counter->people += active > 0;
    } else if (stickiness->want_span > 0 ? is_in_span : active == stickiness->want_days) {
        live_want(ask, run->person);
    }
}

/* Of the first month that ends in the window. */
static int64_t first_day(const struct live_ask *ask)
{
    struct zone_time local;
    zone_local(ask->calendar, ask->from_s, &local);
    int64_t from = zone_midnight(ask->calendar, local.year, local.month, local.day - (MONTH - 1));
    return from < 0 ? 0 : from;
}

static enum status stickiness_parse(struct live_ask *ask, struct stickiness *stickiness,
                                    struct err *err)
{
    static const char *const members[] = {"event", NULL};
    stickiness->event.code = TIMELINE_NONE;
    if (ask->breakdown != NULL || ask->compare)
        return err_set(err, ST_INVALID,
                       "\"breakdown\" and \"compare\": this report has none; use \"where\"");
    enum status status = live_ask_known(ask, members, err);
    if (status == ST_OK && yyjson_obj_get(ask->question, "event") != NULL)
        status = live_ask_event(ask, "event", &stickiness->event, err);
    if (status != ST_OK)
        return status;
    struct live_ask wider = *ask;
    int64_t first = live_start_of(ask, LIVE_DAY, ask->from_s);
    wider.from_s = (uint32_t)first_day(ask);
    status = live_borders(&wider, LIVE_DAY, &stickiness->borders, &stickiness->days, err);
    if (status != ST_OK)
        return status;
    while (stickiness->borders[stickiness->before] < first)
        stickiness->before++;
    if (ask->cell == NULL)
        return ST_OK;
    status = live_cell_number(ask, "span", MONTH + 1, &stickiness->want_span, err);
    if (status != ST_OK)
        return status;
    return stickiness->want_span > 0
               ? live_cell_number(ask, "day", stickiness->days, &stickiness->want_day, err)
               : live_cell_number(ask, "days", stickiness->days + 1, &stickiness->want_days, err);
}

static void put_days(const struct live_ask *ask, const struct stickiness *stickiness,
                     const struct counter *all, struct buf *json)
{
    int64_t dau = 0, wau = 0, mau = 0;
    json_put_name(json, "days");
    buf_char(json, '[');
    for (size_t day = 0; day < stickiness->days; day++) {
        dau += all->day[day];
        wau += all->week[day];
        mau += all->month[day];
        if (day < stickiness->before)
            continue;
        json_put_comma(json);
        buf_char(json, '{');
        live_put_time(ask, json, "time", stickiness->borders[day], LIVE_DAY);
        json_put_member_int(json, "dau", dau);
        json_put_member_int(json, "wau", wau);
        json_put_member_int(json, "mau", mau);
        json_put_member_number(json, "dau_mau", mau == 0 ? 0 : (double)dau / (double)mau);
        if (stickiness->borders[day + 1] * US_PER_S > ask->now_us)
            json_put_member_bool(json, "unfinished", true);
        live_put_cell_of(ask, json, "dau_cell", "{\"span\":1,\"day\":%zu}", day);
        live_put_cell_of(ask, json, "wau_cell", "{\"span\":%d,\"day\":%zu}", WEEK, day);
        live_put_cell_of(ask, json, "mau_cell", "{\"span\":%d,\"day\":%zu}", MONTH, day);
        buf_char(json, '}');
    }
    buf_char(json, ']');
}

static void put_answer(const struct live_ask *ask, const struct stickiness *stickiness,
                       const struct counter *all, struct buf *json)
{
    size_t days = stickiness->days - stickiness->before;
    uint64_t people = all->people, at_least = people;
    double sum = 0;
    for (size_t n = 1; n <= days; n++)
        sum += (double)n * (double)all->by_days[n];
    json_put_member_number(json, "average_days", people == 0 ? 0 : sum / (double)people);
    json_put_member_str(json, "bars", STR("share"));
    json_put_name(json, "rows");
    buf_char(json, '[');
    for (size_t n = 1; n <= days; n++) {
        json_put_comma(json);
        buf_char(json, '{');
        json_put_member_uint(json, "active_days", n);
        json_put_member_uint(json, "people", all->by_days[n]);
        json_put_member_number(json, "share",
                               people == 0 ? 0 : (double)all->by_days[n] / (double)people);
        json_put_member_uint(json, "at_least", at_least);
        live_put_cell(ask, json, "{\"span\":0,\"days\":%zu}", n);
        buf_char(json, '}');
        at_least -= all->by_days[n];
    }
    buf_char(json, ']');
    put_days(ask, stickiness, all, json);
    json_put_member_raw(json, "left_out", STR("[]"));
}

static void counter_init(struct counter *counter, const struct stickiness *stickiness)
{
    size_t n = stickiness->days + 1;
    counter->stickiness = stickiness;
    counter->by_days = mem_zero(n * sizeof *counter->by_days);
    counter->day = mem_zero(3 * n * sizeof *counter->day);
    counter->week = counter->day + n;
    counter->month = counter->week + n;
}

void live_stickiness_reach(struct live_ask *ask, struct live_reach *reach)
{
    struct live_names names = {0};
    live_names_ask(ask, &names, "event");
    live_reach_all(ask, reach, first_day(ask), ask->to_s, &names);
}

enum status live_stickiness(struct live_ask *ask, struct buf *json, struct err *err)
{
    struct stickiness stickiness = {0};
    int threads = live_threads(ask);
    enum status status = stickiness_parse(ask, &stickiness, err);
    if (status != ST_OK)
        return status;
    struct counter *counters = mem_zero((size_t)threads * sizeof *counters), *all = &counters[0];
    for (int t = 0; t < threads; t++)
        counter_init(&counters[t], &stickiness);
    status = live_pass(ask, NULL, NULL, stickiness_each, counters, sizeof *counters, err);
    for (int t = 1; t < threads; t++) {
        for (size_t i = 0; i <= stickiness.days; i++)
            all->by_days[i] += counters[t].by_days[i];
        for (size_t i = 0; i < 3 * (stickiness.days + 1); i++)
            all->day[i] += counters[t].day[i];
        all->people += counters[t].people;
    }
    ask->people = all->people;
    if (status == ST_OK && ask->cell == NULL)
        put_answer(ask, &stickiness, all, json);
    for (int t = 0; t < threads; t++) {
        free(counters[t].by_days);
        free(counters[t].day);
    }
    free(counters);
    return status;
}
