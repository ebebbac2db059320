/* live_cohort.c - what customers are worth over time: cohorts by first order, revenue by the period
 * since.
 *
 * The question, besides the common members:
 *   "order"    EVENT, default "Order Completed"; its amount is revenue
 *   "unit"     day | week | month (default)
 *   "periods"  how many after the first, default 12
 * Without "from" the cohorts begin with the first order of all. A person's cohort is the period of
 * the first order ever, also of one before "from": so nobody is new twice. Period 0 is the cohort's
 * own; periods are those of the calendar. ARPU divides by all people of the cohort, also by those
 * who did not come back. A period that has not ended is marked, and no curve has it. */
#include <math.h>
#include <stdlib.h>

#include "analytics/live_order.h"
#include "analytics/live_reach.h"

#define PERIODS_USUAL 12
#define PERIODS_MAX 400

struct cell {
    uint64_t buyers, orders;
    int64_t micros;
};

struct cohorts {
    struct live_ask *ask;
    enum live_unit unit;
    uint32_t *borders;
    size_t count, columns; /* cohorts; periods shown, the first included */
    uint64_t *people;      /* per cohort */
    struct cell *cells;    /* count × columns */
    uint64_t earlier;      /* people whose first order was before the window */
    uint64_t later;        /* orders after the last period shown */
    size_t want_cohort;    /* of a cell */
    int64_t want_period;   /* -1 = the whole cohort */
};

/* --- adding up -------------------------------------------------------------------------------- */

static void person_add(struct cohorts *cohorts, uint32_t slot, const struct live_order *orders,
                       size_t count)
{
    const struct live_ask *ask = cohorts->ask;
    if (orders[0].time < cohorts->borders[0]) {
        cohorts->earlier++;
        return;
    }
    size_t cohort = live_period_of(cohorts->borders, cohorts->count, orders[0].time, 0);
    size_t at = cohort, last = SIZE_MAX;
    bool wanted = ask->want != NULL && cohort == cohorts->want_cohort;
    cohorts->people[cohort]++;
    if (wanted && cohorts->want_period < 0)
        live_want(ask, slot);
    for (size_t i = 0; i < count; i++) {
        at = live_period_of(cohorts->borders, cohorts->count, orders[i].time, at);
        size_t period = at - cohort;
        if (period >= cohorts->columns) {
            cohorts->later += count - i;
            return;
        }
        struct cell *cell = &cohorts->cells[cohort * cohorts->columns + period];
        cell->buyers += period != last;
        cell->orders++;
        cell->micros += orders[i].micros;
        last = period;
        if (wanted && (int64_t)period == cohorts->want_period)
            live_want(ask, slot);
    }
}

static void cohorts_fill(struct cohorts *cohorts, const struct live_orders *orders)
{
    struct arena *arena = cohorts->ask->arena;
    cohorts->people = ARENA_ARRAY(arena, uint64_t, cohorts->count + 1);
    cohorts->cells = ARENA_ARRAY(arena, struct cell, cohorts->count * cohorts->columns + 1);
    for (size_t p = 0; p < orders->people_count; p++)
        person_add(cohorts, orders->people[p], orders->list + orders->starts[p],
                   orders->starts[p + 1] - orders->starts[p]);
}

/* --- the answer ------------------------------------------------------------------------------- */

static double per_person(int64_t micros, uint64_t people)
{
    return people > 0 ? (double)micros / 1e6 / (double)people : NAN;
}

/* Periods of this cohort that have begun. */
static size_t begun(const struct cohorts *cohorts, size_t cohort)
{
    size_t left = cohorts->count - cohort;
    return left < cohorts->columns ? left : cohorts->columns;
}

static bool ended(const struct cohorts *cohorts, size_t cohort, size_t period)
{
    int64_t end = cohorts->borders[cohort + period + 1];
    return end <= cohorts->ask->to_s && end * US_PER_S <= cohorts->ask->now_us;
}

static void put_cohort(struct buf *json, const struct cohorts *cohorts, size_t c, int64_t all)
{
    uint64_t orders = 0;
    int64_t micros = 0;
    size_t columns = begun(cohorts, c);
    for (size_t k = 0; k < columns; k++) {
        orders += cohorts->cells[c * cohorts->columns + k].orders;
        micros += cohorts->cells[c * cohorts->columns + k].micros;
    }
    json_put_comma(json);
    buf_char(json, '{');
    live_put_time(cohorts->ask, json, "cohort", cohorts->borders[c], cohorts->unit);
    json_put_member_uint(json, "people", cohorts->people[c]);
    live_put_cell(cohorts->ask, json, "{\"cohort\":%u}", cohorts->borders[c]);
    json_put_member_uint(json, "orders", orders);
    json_put_member_number(json, "revenue", (double)micros / 1e6);
    json_put_member_number(json, "share", all > 0 ? (double)micros / (double)all : NAN);
    json_put_member_number(json, "arpu", per_person(micros, cohorts->people[c]));
    json_put_member_bool(json, "unfinished", !ended(cohorts, c, 0));
    buf_char(json, '}');
}

static void put_periods(struct buf *json, const struct cohorts *cohorts, size_t c)
{
    int64_t so_far = 0;
    for (size_t k = 0; k < begun(cohorts, c); k++) {
        const struct cell *cell = &cohorts->cells[c * cohorts->columns + k];
        so_far += cell->micros;
        json_put_comma(json);
        buf_char(json, '{');
        live_put_time(cohorts->ask, json, "cohort", cohorts->borders[c], cohorts->unit);
        json_put_member_uint(json, "period", k);
        json_put_member_uint(json, "buyers", cell->buyers);
        live_put_cell(cohorts->ask, json, "{\"cohort\":%u,\"period\":%zu}", cohorts->borders[c], k);
        json_put_member_number(json, "share", (double)cell->buyers / (double)cohorts->people[c]);
        json_put_member_uint(json, "orders", cell->orders);
        json_put_member_number(json, "revenue", (double)cell->micros / 1e6);
        json_put_member_number(json, "cumulative_revenue", (double)so_far / 1e6);
        json_put_member_number(json, "cumulative_arpu", per_person(so_far, cohorts->people[c]));
        json_put_member_bool(json, "unfinished", !ended(cohorts, c, k));
        buf_char(json, '}');
    }
}

/* By period since the first order, over all cohorts for which that period has ended. */
static void put_curve(struct buf *json, const struct cohorts *cohorts)
{
    json_put_name(json, "curve");
    buf_char(json, '[');
    for (size_t k = 0; k < cohorts->columns; k++) {
        uint64_t people = 0, buyers = 0;
        int64_t micros = 0, so_far = 0;
        for (size_t c = 0; c + k < cohorts->count && ended(cohorts, c, k); c++) {
            const struct cell *cells = &cohorts->cells[c * cohorts->columns];
            people += cohorts->people[c];
            buyers += cells[k].buyers;
            micros += cells[k].micros;
            for (size_t i = 0; i <= k; i++)
                so_far += cells[i].micros;
        }
        if (people == 0)
            continue;
        json_put_comma(json);
        buf_char(json, '{');
        json_put_member_uint(json, "period", k);
        json_put_member_uint(json, "people", people);
        json_put_member_uint(json, "buyers", buyers);
        json_put_member_number(json, "share", (double)buyers / (double)people);
        json_put_member_number(json, "revenue", (double)micros / 1e6);
        json_put_member_number(json, "cumulative_arpu", per_person(so_far, people));
        buf_char(json, '}');
    }
    buf_char(json, ']');
}

static void put_left(struct buf *json, const char *reason, const char *what, uint64_t count)
{
    if (count == 0)
        return;
    json_put_comma(json);
    buf_char(json, '{');
    json_put_member_str(json, "reason", str_of(reason));
    json_put_member_uint(json, what, count);
    buf_char(json, '}');
}

static void put_answer(struct buf *json, const struct cohorts *cohorts,
                       const struct live_orders *orders)
{
    static const char *const units[] = {"hour", "day", "week", "month"};
    uint64_t customers = 0, all_orders = 0;
    int64_t micros = 0;
    for (size_t i = 0; i < cohorts->count * cohorts->columns; i++) {
        all_orders += cohorts->cells[i].orders;
        micros += cohorts->cells[i].micros;
    }
    for (size_t c = 0; c < cohorts->count; c++)
        customers += cohorts->people[c];
    json_put_member_str(json, "period_kind", str_of(units[cohorts->unit]));
    json_put_member_uint(json, "customers", customers);
    json_put_member_uint(json, "orders", all_orders);
    json_put_member_number(json, "revenue", (double)micros / 1e6);
    json_put_member_str(json, "bars", STR("arpu"));
    json_put_name(json, "rows");
    buf_char(json, '[');
    for (size_t c = 0; c < cohorts->count; c++)
        if (cohorts->people[c] > 0)
            put_cohort(json, cohorts, c, micros);
    buf_char(json, ']');
    put_curve(json, cohorts);
    json_put_name(json, "periods");
    buf_char(json, '[');
    for (size_t c = 0; c < cohorts->count; c++)
        if (cohorts->people[c] > 0)
            put_periods(json, cohorts, c);
    buf_char(json, ']');
    json_put_name(json, "left_out");
    buf_char(json, '[');
    put_left(json, "first_order_before_window", "people", cohorts->earlier);
    put_left(json, "order_after_last_period", "orders", cohorts->later);
    put_left(json, "no_amount", "orders", orders->without_amount);
    buf_char(json, ']');
}

/* --- the question ----------------------------------------------------------------------------- */

/* All orders up to the window's end: the first one ever may lie before it. */
static enum status orders_read(struct live_ask *ask, const struct live_event *event,
                               struct live_orders *orders, struct err *err)
{
    uint32_t from_s = ask->from_s;
    ask->from_s = 0;
    enum status status = live_orders_collect(ask, event, false, orders, err);
    ask->from_s = from_s;
    if (status == ST_OK && yyjson_obj_get(ask->question, "from") == NULL && orders->count > 0) {
        ask->from_s = orders->first_s;
        ask->from_us = orders->first_s * US_PER_S;
        live_cell_prefix(ask, STR("cohort"));
    }
    return status;
}

static enum status cell_ask(struct cohorts *cohorts, struct err *err)
{
    int64_t start = live_cell_int(cohorts->ask, "cohort");
    cohorts->want_period = live_cell_int(cohorts->ask, "period");
    cohorts->want_cohort = SIZE_MAX;
    for (size_t c = 0; c < cohorts->count; c++)
        if (cohorts->borders[c] == start)
            cohorts->want_cohort = c;
    return start >= 0 ? ST_OK : err_set(err, ST_INVALID, "the cell is none of this report's");
}

void live_cohort_reach(struct live_ask *ask, struct live_reach *reach)
{
    struct live_names names = {0};
    live_order_names(ask, &names, "order");
    live_reach_all(ask, reach, 0, ask->to_s, &names);
}

enum status live_cohort(struct live_ask *ask, struct buf *json, struct err *err)
{
    static const char *const members[] = {"order", "unit", "periods", NULL};
    static const char *const units[] = {"day", "week", "month", NULL};
    struct cohorts cohorts = {.ask = ask};
    struct live_orders orders = {0};
    struct live_event event;
    double periods = PERIODS_USUAL;
    int unit = 2;
    enum status status = live_ask_plain(ask, members, err);
    if (status == ST_OK)
        status = live_order_event(ask, "order", &event, err);
    if (status == ST_OK)
        status = live_ask_word(ask, "unit", units, 2, &unit, err);
    if (status == ST_OK)
        status = live_ask_number(ask, "periods", 0, PERIODS_MAX, PERIODS_USUAL, &periods, err);
    if (status == ST_OK)
        status = orders_read(ask, &event, &orders, err);
    ask->people = UINT64_MAX; /* of the window: not counted */
    cohorts.unit = (enum live_unit)(LIVE_DAY + unit);
    cohorts.columns = (size_t)periods + 1;
    if (status == ST_OK)
        status = live_borders(ask, cohorts.unit, &cohorts.borders, &cohorts.count, err);
    if (status == ST_OK && ask->want != NULL)
        status = cell_ask(&cohorts, err);
    if (status == ST_OK) {
        cohorts_fill(&cohorts, &orders);
        if (ask->want == NULL)
            put_answer(json, &cohorts, &orders);
    }
    live_orders_done(&orders);
    return status;
}
