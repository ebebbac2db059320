/* live_lifecycle.c - of whom each period's active people consist, and who stayed away.
 *
 * Active is who had the event in the period. NEW: for the first time ever; RETURNING: also in the
 * period before; RESURRECTING: before that, but not in the period before. DORMANT: active in the
 * period before and not in this one. So new + returning + resurrecting = active, and the growth is
 * new + resurrecting - dormant. Events before the window decide too: "new" means new, not new in
 * the window. */
#include "analytics/live_reach.h"

#include <stdlib.h>

enum state { NEW, RETURNING, RESURRECTING, DORMANT, STATES };
static const char *const states[] = {"new", "returning", "resurrecting", "dormant"};
static const char *const cells[] = {"new_cell", "returning_cell", "resurrecting_cell",
                                    "dormant_cell"};
static const char *const units[] = {"hour", "day", "week", "month", NULL};

struct lifecycle {
    struct live_event event;
    int unit;
    uint32_t *borders; /* of the period before the window's first, and of the window's */
    size_t periods;    /* that one included */
    uint64_t want_state, want_period; /* STATES = active */
};

struct counter {
    const struct lifecycle *lifecycle;
    uint64_t (*counts)[STATES]; /* [periods] */
    uint64_t people;
};

static void put_person(const struct live_ask *ask, struct counter *counter, uint32_t person,
                       enum state state, size_t period)
{
    const struct lifecycle *lifecycle = counter->lifecycle;
    uint64_t wanted = lifecycle->want_state;
    if (ask->want == NULL)
        counter->counts[period][state]++;
    else if (lifecycle->want_period == period &&
             (wanted == state || (wanted == STATES && state != DORMANT)))
        live_want(ask, person);
}

/* The periods in which the person was active come in their order; "before" is period -1. */
static void lifecycle_each(const struct live_ask *ask, const struct timeline_run *run, void *ctx)
{
    struct counter *counter = ctx;
    const struct lifecycle *lifecycle = counter->lifecycle;
    const uint32_t *borders = lifecycle->borders;
    size_t last = SIZE_MAX, period = 0;
    bool was_active = false, in_window = false;
    for (uint32_t i = 0; i < run->count && run->time[i] < ask->to_s; i++) {
        if (!live_event_is(ask, &lifecycle->event, run, i) ||
            !live_filters_hold(ask, ask->filters, ask->filters_count, run, i))
            continue;
        if (run->time[i] < borders[0]) {
            was_active = true;
            continue;
        }
        period = live_period_of(borders, lifecycle->periods, run->time[i], period);
        if (period == last)
            continue;
        if (last != SIZE_MAX && period > last + 1)
            put_person(ask, counter, run->person, DORMANT, last + 1);
        put_person(ask, counter, run->person,
                   !was_active                              ? NEW
                   : last != SIZE_MAX && period == last + 1 ? RETURNING
                                                            : RESURRECTING,
                   period);
        in_window = in_window || period > 0;
        was_active = true;
        last = period;
    }
    if (last != SIZE_MAX && last + 1 < lifecycle->periods)
        put_person(ask, counter, run->person, DORMANT, last + 1);
    counter->people += in_window;
}

/* Of the period before the window's first. */
static int64_t first_border(const struct live_ask *ask, enum live_unit unit)
{
    int64_t start = live_start_of(ask, unit, ask->from_s);
    return live_start_of(ask, unit, start > 0 ? start - 1 : 0);
}

static enum status lifecycle_parse(struct live_ask *ask, struct lifecycle *lifecycle,
                                   struct err *err)
{
    static const char *const members[] = {"event", "unit", NULL};
    lifecycle->event.code = TIMELINE_NONE;
    if (ask->breakdown != NULL || ask->compare)
        return err_set(err, ST_INVALID,
                       "\"breakdown\" and \"compare\": this report has none; use \"where\"");
    enum status status = live_ask_known(ask, members, err);
    if (status == ST_OK && yyjson_obj_get(ask->question, "event") != NULL)
        status = live_ask_event(ask, "event", &lifecycle->event, err);
    if (status == ST_OK)
        status = live_ask_word(ask, "unit", units, LIVE_DAY, &lifecycle->unit, err);
    if (status != ST_OK)
        return status;
    /* Whole periods, and the one before the first. */
    struct live_ask wider = *ask;
    enum live_unit unit = (enum live_unit)lifecycle->unit;
    wider.from_s = (uint32_t)first_border(ask, unit);
    return live_borders(&wider, unit, &lifecycle->borders, &lifecycle->periods, err);
}

static void put_answer(const struct live_ask *ask, const struct lifecycle *lifecycle,
                       uint64_t (*counts)[STATES], struct buf *json)
{
    json_put_member_str(json, "unit", str_of(units[lifecycle->unit]));
    json_put_member_str(json, "bars", STR("active"));
    json_put_name(json, "rows");
    buf_char(json, '[');
    for (size_t period = 1; period < lifecycle->periods; period++) {
        const uint64_t *count = counts[period];
        uint64_t active = count[NEW] + count[RETURNING] + count[RESURRECTING];
        json_put_comma(json);
        buf_char(json, '{');
        live_put_time(ask, json, "time", lifecycle->borders[period],
                      (enum live_unit)lifecycle->unit);
        json_put_member_uint(json, "active", active);
        for (int state = 0; state < STATES; state++)
            json_put_member_uint(json, states[state], count[state]);
        json_put_member_number(json, "new_share",
                               active == 0 ? 0 : (double)count[NEW] / (double)active);
        json_put_member_int(json, "growth",
                            (int64_t)(count[NEW] + count[RESURRECTING]) - (int64_t)count[DORMANT]);
        if (lifecycle->borders[period + 1] * US_PER_S > ask->now_us)
            json_put_member_bool(json, "unfinished", true);
        live_put_cell(ask, json, "{\"state\":%d,\"period\":%zu}", STATES, period);
        for (int state = 0; state < STATES; state++)
            live_put_cell_of(ask, json, cells[state], "{\"state\":%d,\"period\":%zu}", state,
                             period);
        buf_char(json, '}');
    }
    buf_text(json, "],\"left_out\":[]");
}

void live_lifecycle_reach(struct live_ask *ask, struct live_reach *reach)
{
    struct live_names names = {0};
    struct err ignored;
    int word = LIVE_DAY;
    live_names_ask(ask, &names, "event");
    (void)!live_ask_word(ask, "unit", units, LIVE_DAY, &word, &ignored);
    int64_t first = first_border(ask, (enum live_unit)word);
    live_reach_all(ask, reach, first, ask->to_s, &names);
    live_reach_before(ask, reach, first, "event", &names);
}

enum status live_lifecycle(struct live_ask *ask, struct buf *json, struct err *err)
{
    struct lifecycle lifecycle = {0};
    int threads = live_threads(ask);
    enum status status = lifecycle_parse(ask, &lifecycle, err);
    if (status == ST_OK && ask->cell != NULL)
        status = live_cell_number(ask, "state", STATES + 1, &lifecycle.want_state, err);
    if (status == ST_OK && ask->cell != NULL)
        status = live_cell_number(ask, "period", lifecycle.periods, &lifecycle.want_period, err);
    if (status != ST_OK)
        return status;
    struct counter *counters = mem_zero((size_t)threads * sizeof *counters);
    for (int t = 0; t < threads; t++) {
        counters[t].lifecycle = &lifecycle;
        counters[t].counts = mem_zero(lifecycle.periods * sizeof *counters[t].counts);
    }
    status = live_pass(ask, NULL, NULL, lifecycle_each, counters, sizeof *counters, err);
    ask->people = 0;
    for (int t = 0; t < threads; t++) {
        for (size_t i = 0; t > 0 && i < lifecycle.periods * STATES; i++)
            counters[0].counts[i / STATES][i % STATES] +=
                counters[t].counts[i / STATES][i % STATES];
        ask->people += counters[t].people;
    }
    if (status == ST_OK && ask->cell == NULL)
        put_answer(ask, &lifecycle, counters[0].counts, json);
    for (int t = 0; t < threads; t++)
        free(counters[t].counts);
    free(counters);
    return status;
}
