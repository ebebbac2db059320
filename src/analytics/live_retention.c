/* live_retention.c - of those who started in a period, how many came back in the periods after.
 *
 *   "start", "return"  events, default any
 *   "cohort"           "first": people belong to the period of their first start ever; "any": to
 *                      each period in which they started
 *   "unit", "periods"  day (default), week, month; how many after the start's, default 14
 *   "unbounded"        true: came back in this period or any later one
 *   "closed"           true: only what happened before "to" counts
 * With "conditions" instead it is another question: live_conditions.c.
 *
 * Cohorts lie in [from, to); returns may lie after it. A return counts when it stands after the
 * cohort's start in the person's order, so a start is never its own return, and period 0 says who
 * came again in the same period. A period that has not ended yet is shown in the triangle, said to
 * be unfinished, and kept out of the curve.
 *
 * One pass; of a person it keeps which periods had a return and where the last of each stands. */
#include "analytics/live_reach.h"

#include <math.h>
#include <stdlib.h>

#define PERIODS_DEFAULT 14
#define PERIODS_MAX 366
#define CELLS_MAX ((size_t)400000)
#define GUESS_BITS 14
#define HAS_START 1
#define HAS_RETURN 2

enum cohort_kind { FIRST, ANY };
static const char *const cohort_kinds[] = {"first", "any", NULL};
static const char *const units[] = {"day", "week", "month", NULL};

struct retention_ask {
    struct live_event start, back;
    int unit, cohort_kind; /* unit: from day */
    bool unbounded, closed, is_short;
    size_t columns; /* period 0 included */
    uint32_t *borders;
    size_t cohorts, periods;
    uint32_t end_s;  /* what is read: before this */
    uint16_t *guess; /* by 2^14 seconds after the first border: the period of their first one */

    struct code_set set;
    bool all, filtered; /* some event has conditions */
    uint8_t *bits;      /* [live_codes] by code; also what merges keep */

    uint64_t want_cohort, want_period; /* cohort = cohorts: all finished ones; period = columns: the
                                          cohort itself */
};

/* A period in which something happened, and the index of one such event. */
struct mark {
    uint32_t period, at;
};

struct worker {
    const struct retention_ask *retention;
    uint64_t *people;   /* [cohorts] */
    uint64_t *returned; /* [cohorts × columns] */
    uint64_t counted;
    struct mark *starts, *returns; /* [periods + 1] */
    uint32_t *at;
    size_t capacity;
    char apart[64];
};

/* --- the question ----------------------------------------------------------------------------- */

static enum status bool_member(const struct live_ask *ask, const char *member, bool *ret_value,
                               struct err *err)
{
    yyjson_val *value = yyjson_obj_get(ask->question, member);
    *ret_value = yyjson_get_bool(value);
    if (value != NULL && !yyjson_is_bool(value))
        return err_set(err, ST_INVALID, "\"%s\" must be true or false", member);
    return ST_OK;
}

static void guesses_make(struct live_ask *ask, struct retention_ask *retention)
{
    const uint32_t *borders = retention->borders;
    size_t count = ((borders[retention->periods] - borders[0]) >> GUESS_BITS) + 1, period = 0;
    retention->guess = ARENA_ARRAY(ask->arena, uint16_t, count);
    for (size_t i = 0; i < count; i++) {
        uint64_t time = borders[0] + ((uint64_t)i << GUESS_BITS);
        while (period + 1 < retention->periods && time >= borders[period + 1])
            period++;
        retention->guess[i] = (uint16_t)period;
    }
}

static const uint32_t longest[] = {25 * 3600, 7 * 86400 + 3600, 31 * 86400 + 3600}; /* by unit */

/* Periods of the cohorts, and as many after the last as there are columns. */
static enum status borders_make(struct live_ask *ask, struct retention_ask *retention,
                                struct err *err)
{
    struct live_ask wider = *ask;
    enum live_unit unit = (enum live_unit)(retention->unit + LIVE_DAY);
    uint64_t to = ask->to_s + (uint64_t)retention->columns * longest[retention->unit];
    enum status status = live_borders(ask, unit, &retention->borders, &retention->cohorts, err);
    wider.to_s = (uint32_t)(to < UINT32_MAX / 2 * 2U ? to : UINT32_MAX - 1);
    if (status == ST_OK)
        status = live_borders(&wider, unit, &retention->borders, &retention->periods, err);
    if (status != ST_OK)
        return status;
    if (retention->periods > retention->cohorts + retention->columns - 1)
        retention->periods = retention->cohorts + retention->columns - 1;
    guesses_make(ask, retention);
    retention->end_s = retention->borders[retention->periods];
    if (retention->unbounded)
        retention->end_s = UINT32_MAX;
    if (retention->closed)
        retention->end_s = ask->to_s;
    if (retention->cohorts * retention->columns <= CELLS_MAX)
        return ST_OK;
    err_set(err, ST_INVALID, "the answer would have more than %zu cells", CELLS_MAX);
    return err_hint(err, ST_INVALID, "a larger \"unit\", fewer \"periods\" or a shorter window");
}

static void code_add(const struct live_ask *ask, struct retention_ask *retention,
                     const struct live_event *event, uint8_t bit)
{
    if (event->code != TIMELINE_NONE) {
        retention->bits[event->code] |= bit;
        code_set_add(&retention->set, (uint16_t)event->code);
        return;
    }
    retention->all = true;
    for (uint32_t code = 0; code < live_codes(ask); code++)
        retention->bits[code] |= bit;
}

static enum status events_parse(struct live_ask *ask, struct retention_ask *retention,
                                struct err *err)
{
    enum status status = ST_OK;
    retention->start.code = retention->back.code = TIMELINE_NONE;
    if (yyjson_obj_get(ask->question, "start") != NULL)
        status = live_ask_event(ask, "start", &retention->start, err);
    if (status == ST_OK && yyjson_obj_get(ask->question, "return") != NULL)
        status = live_ask_event(ask, "return", &retention->back, err);
    if (status != ST_OK)
        return status;
    retention->filtered =
        ask->filters_count + retention->start.filters_count + retention->back.filters_count > 0;
    code_set_init(&retention->set);
    retention->bits = ARENA_ARRAY(ask->arena, uint8_t, live_codes(ask));
    code_add(ask, retention, &retention->start, HAS_START);
    code_add(ask, retention, &retention->back, HAS_RETURN);
    return ST_OK;
}

static enum status retention_parse(struct live_ask *ask, struct retention_ask *retention,
                                   struct err *err)
{
    static const char *const members[] = {"start",     "return", "cohort",     "unit", "periods",
                                          "unbounded", "closed", "conditions", NULL};
    double periods = PERIODS_DEFAULT;
    enum status status = live_ask_known(ask, members, err);
    if (status == ST_OK && (ask->breakdown != NULL || ask->compare))
        return err_set(err, ST_INVALID,
                       "\"breakdown\" and \"compare\": this report has none; use \"where\"");
    if (status == ST_OK)
        status = events_parse(ask, retention, err);
    if (status == ST_OK)
        status = live_ask_word(ask, "cohort", cohort_kinds, FIRST, &retention->cohort_kind, err);
    if (status == ST_OK)
        status = live_ask_word(ask, "unit", units, 0, &retention->unit, err);
    if (status == ST_OK)
        status = live_ask_number(ask, "periods", 1, PERIODS_MAX, PERIODS_DEFAULT, &periods, err);
    if (status == ST_OK)
        status = bool_member(ask, "unbounded", &retention->unbounded, err);
    if (status == ST_OK)
        status = bool_member(ask, "closed", &retention->closed, err);
    if (status != ST_OK)
        return status;
    retention->columns = (size_t)periods + 1;
    retention->is_short = retention->cohort_kind == FIRST && !retention->unbounded &&
                          !retention->filtered && retention->columns <= 64;
    return borders_make(ask, retention, err);
}

/* --- counting --------------------------------------------------------------------------------- */

/* What of event i counts: HAS_START, HAS_RETURN. */
static inline unsigned bits_of(const struct live_ask *ask, const struct retention_ask *retention,
                               const struct timeline_run *run, uint32_t i)
{
    unsigned bits = retention->bits[timeline_code(run, i)];
    if (!retention->filtered)
        return bits;
    if (!live_filters_hold(ask, ask->filters, ask->filters_count, run, i))
        return 0;
    if ((bits & HAS_START) != 0 && !live_event_is(ask, &retention->start, run, i))
        bits &= ~(unsigned)HAS_START;
    if ((bits & HAS_RETURN) != 0 && !live_event_is(ask, &retention->back, run, i))
        bits &= ~(unsigned)HAS_RETURN;
    return bits;
}

static bool is_finished(const struct live_ask *ask, const struct retention_ask *retention,
                        size_t cohort, size_t period)
{
    uint32_t end = retention->borders[cohort + period + 1];
    return end * US_PER_S <= ask->now_us && (!retention->closed || end <= ask->to_s);
}

static void cell_add(const struct live_ask *ask, struct worker *worker, uint32_t person,
                     size_t cohort, size_t period)
{
    const struct retention_ask *retention = worker->retention;
    if (ask->want == NULL)
        worker->returned[cohort * retention->columns + period]++;
    else if (retention->want_period == period &&
             (retention->want_cohort == cohort || (retention->want_cohort == retention->cohorts &&
                                                   is_finished(ask, retention, cohort, period))))
        live_want(ask, person);
}

static void cohort_person(const struct live_ask *ask, struct worker *worker, uint32_t person,
                          size_t cohort)
{
    const struct retention_ask *retention = worker->retention;
    if (ask->want == NULL)
        worker->people[cohort]++;
    else if (retention->want_period == retention->columns && retention->want_cohort == cohort)
        live_want(ask, person);
}

/* One cohort of the person, and the periods in which they came back to it. */
static void cohort_add(const struct live_ask *ask, struct worker *worker, uint32_t person,
                       const struct mark *start, size_t returns)
{
    const struct retention_ask *retention = worker->retention;
    size_t cohort = start->period, columns = retention->columns;
    cohort_person(ask, worker, person, cohort);
    if (retention->unbounded) {
        const struct mark *last = returns > 0 ? &worker->returns[returns - 1] : NULL;
        if (last != NULL && last->at > start->at)
            for (size_t k = 0; k < columns && k <= last->period - cohort; k++)
                cell_add(ask, worker, person, cohort, k);
        return;
    }
    for (size_t r = 0; r < returns; r++) {
        const struct mark *back = &worker->returns[r];
        if (back->at > start->at && back->period - cohort < columns)
            cell_add(ask, worker, person, cohort, back->period - cohort);
    }
}

static size_t candidates(struct worker *worker, const struct timeline_run *run)
{
    const struct retention_ask *retention = worker->retention;
    if (run->count > worker->capacity) {
        worker->capacity = run->count * (size_t)2;
        worker->at = mem_grow(worker->at, worker->capacity * sizeof *worker->at);
    }
    return run->code8 != NULL
               ? code_set_find_u8_beyond(&retention->set, run->code8, run->count, worker->at)
               : code_set_find_u16(&retention->set, run->code16, run->count, worker->at);
}

/* Periods are longer than a guess's span: at most one step on. `periods` = beyond all columns. */
static inline size_t period_of(const struct retention_ask *retention, uint32_t time)
{
    const uint32_t *borders = retention->borders;
    if (time >= borders[retention->periods])
        return retention->periods;
    size_t period = retention->guess[(time - borders[0]) >> GUESS_BITS];
    return period + (time >= borders[period + 1]);
}

/* `at` NULL: all of the run. */
static inline uint32_t index_of(const uint32_t *at, size_t c)
{
    return at == NULL ? (uint32_t)c : at[c];
}

/* The usual question, people of their first start and no conditions: of the events after it the
 * periods in which one lies, as bits. No event is a case of its own, so the processor guesses
 * right. */
static inline void short_each(const struct live_ask *ask, struct worker *worker,
                              const struct timeline_run *run, const uint32_t *at, size_t count)
{
    const struct retention_ask *retention = worker->retention;
    size_t c = 0, columns = retention->columns;
    while (c < count && (retention->bits[timeline_code(run, index_of(at, c))] & HAS_START) == 0)
        c++;
    if (c == count)
        return;
    uint32_t start = run->time[index_of(at, c)];
    if (start < ask->from_s || start >= ask->to_s || start >= retention->end_s)
        return;
    size_t cohort = period_of(retention, start), last = cohort + columns;
    uint32_t end = retention->borders[last < retention->periods ? last : retention->periods];
    uint64_t back = 0;
    if (end > retention->end_s)
        end = retention->end_s;
    for (c++; c < count && run->time[index_of(at, c)] < end; c++) {
        uint64_t is = (retention->bits[timeline_code(run, index_of(at, c))] & HAS_RETURN) != 0;
        back |= is << (period_of(retention, run->time[index_of(at, c)]) - cohort);
    }
    worker->counted++;
    cohort_person(ask, worker, run->person, cohort);
    for (; back != 0; back &= back - 1)
        cell_add(ask, worker, run->person, cohort, (size_t)__builtin_ctzll(back));
}

static void retention_each(const struct live_ask *ask, const struct timeline_run *run, void *ctx)
{
    struct worker *worker = ctx;
    const struct retention_ask *retention = worker->retention;
    const uint32_t *borders = retention->borders;
    size_t starts = 0, returns = 0, period = 0, periods = retention->periods;
    uint32_t next = 0; /* where `period` ends; 0 = none yet */
    size_t count = retention->all ? run->count : candidates(worker, run);
    if (retention->is_short) {
        if (retention->all)
            short_each(ask, worker, run, NULL, count);
        else
            short_each(ask, worker, run, worker->at, count);
        return;
    }
    bool first_only = retention->cohort_kind == FIRST, has_started = false;
    bool short_row = first_only && !retention->unbounded;
    for (size_t c = 0; c < count; c++) {
        uint32_t i = retention->all ? (uint32_t)c : worker->at[c], time = run->time[i];
        if (time >= retention->end_s || (time < ask->from_s && (!first_only || has_started)))
            continue;
        unsigned bits = bits_of(ask, retention, run, i);
        if (time < ask->from_s) {
            has_started = (bits & HAS_START) != 0;
            if (has_started)
                return; /* their first start was before the window */
            continue;
        }
        if (time >= next) { /* most events lie in the period of the one before */
            period = period_of(retention, time);
            next = period == periods ? UINT32_MAX : borders[period + 1];
        }
        if (short_row && starts > 0 && period - worker->starts[0].period >= retention->columns)
            break; /* all that follows is beyond this person's last column */
        if ((bits & HAS_START) != 0 && time < ask->to_s && !(first_only && has_started) &&
            (starts == 0 || worker->starts[starts - 1].period != period)) {
            worker->starts[starts++] = (struct mark){(uint32_t)period, i};
            has_started = true;
        }
        if ((bits & HAS_RETURN) == 0)
            continue;
        if (returns == 0 || worker->returns[returns - 1].period != period)
            returns++;
        worker->returns[returns - 1] = (struct mark){(uint32_t)period, i};
    }
    worker->counted += starts > 0;
    for (size_t s = 0; s < starts; s++)
        cohort_add(ask, worker, run->person, &worker->starts[s], returns);
}

/* --- the answer ------------------------------------------------------------------------------- */

static void put_curve(const struct live_ask *ask, const struct retention_ask *retention,
                      const struct worker *sum, struct buf *json)
{
    json_put_name(json, "rows");
    buf_char(json, '[');
    for (size_t k = 0; k < retention->columns; k++) {
        uint64_t people = 0, returned = 0, cohorts = 0;
        for (size_t c = 0; c < retention->cohorts; c++) {
            if (!is_finished(ask, retention, c, k))
                continue;
            people += sum->people[c];
            returned += sum->returned[c * retention->columns + k];
            cohorts += sum->people[c] > 0;
        }
        if (cohorts == 0)
            continue;
        json_put_comma(json);
        buf_char(json, '{');
        json_put_member_uint(json, "period", k);
        json_put_member_uint(json, "cohorts", cohorts);
        json_put_member_uint(json, "people", people);
        json_put_member_uint(json, "returned", returned);
        json_put_member_number(json, "share",
                               people == 0 ? NAN : (double)returned / (double)people);
        if (retention->cohort_kind == FIRST)
            live_put_cell(ask, json, "{\"period\":%zu}", k);
        buf_char(json, '}');
    }
    buf_char(json, ']');
}

static void put_cohort_time(const struct live_ask *ask, const struct retention_ask *retention,
                            size_t cohort, struct buf *json)
{
    live_put_time(ask, json, "cohort", retention->borders[cohort],
                  (enum live_unit)(retention->unit + LIVE_DAY));
}

static void put_cohorts(const struct live_ask *ask, const struct retention_ask *retention,
                        const struct worker *sum, struct buf *json)
{
    json_put_name(json, "cohorts");
    buf_char(json, '[');
    for (size_t c = 0; c < retention->cohorts; c++) {
        json_put_comma(json);
        buf_char(json, '{');
        put_cohort_time(ask, retention, c, json);
        json_put_member_uint(json, "people", sum->people[c]);
        if (retention->borders[c] < ask->from_s || retention->borders[c + 1] > ask->to_s)
            json_put_member_bool(json, "cut", true);
        if (retention->borders[c + 1] * US_PER_S > ask->now_us)
            json_put_member_bool(json, "unfinished", true);
        live_put_cell(ask, json, "{\"cohort\":%zu}", c);
        buf_char(json, '}');
    }
    buf_char(json, ']');
}

/* What has begun, cohort by cohort. */
static void put_triangle(const struct live_ask *ask, const struct retention_ask *retention,
                         const struct worker *sum, struct buf *json)
{
    json_put_name(json, "triangle");
    buf_char(json, '[');
    for (size_t c = 0; c < retention->cohorts; c++)
        for (size_t k = 0; sum->people[c] > 0 && k < retention->columns; k++) {
            uint64_t returned = sum->returned[c * retention->columns + k];
            uint32_t begin = retention->borders[c + k];
            if (begin * US_PER_S >= ask->now_us || (retention->closed && begin >= ask->to_s))
                break;
            json_put_comma(json);
            buf_char(json, '{');
            put_cohort_time(ask, retention, c, json);
            json_put_member_uint(json, "period", k);
            json_put_member_uint(json, "returned", returned);
            json_put_member_number(json, "share", (double)returned / (double)sum->people[c]);
            if (!is_finished(ask, retention, c, k))
                json_put_member_bool(json, "unfinished", true);
            live_put_cell(ask, json, "{\"cohort\":%zu,\"period\":%zu}", c, k);
            buf_char(json, '}');
        }
    buf_char(json, ']');
}

static void put_answer(const struct live_ask *ask, const struct retention_ask *retention,
                       const struct worker *sum, struct buf *json)
{
    json_put_member_str(json, "unit", str_of(units[retention->unit]));
    json_put_member_str(json, "cohort_kind", str_of(cohort_kinds[retention->cohort_kind]));
    json_put_member_bool(json, "unbounded", retention->unbounded);
    json_put_member_bool(json, "closed", retention->closed);
    json_put_member_uint(json, "people_started", sum->counted);
    json_put_member_str(json, "bars", STR("share"));
    put_curve(ask, retention, sum, json);
    put_cohorts(ask, retention, sum, json);
    put_triangle(ask, retention, sum, json);
    json_put_name(json, "left_out");
    buf_text(json, "[]");
}

/* --- the pass --------------------------------------------------------------------------------- */

static enum status cell_read(const struct live_ask *ask, struct retention_ask *retention,
                             struct err *err)
{
    enum status status = ST_OK;
    retention->want_cohort = retention->cohorts;
    retention->want_period = retention->columns;
    if (yyjson_obj_get(ask->cell, "cohort") != NULL)
        status = live_cell_number(ask, "cohort", retention->cohorts, &retention->want_cohort, err);
    if (status == ST_OK && (yyjson_obj_get(ask->cell, "period") != NULL ||
                            retention->want_cohort == retention->cohorts))
        status = live_cell_number(ask, "period", retention->columns, &retention->want_period, err);
    return status;
}

static void worker_init(struct worker *worker, const struct retention_ask *retention)
{
    size_t cells = retention->cohorts * retention->columns;
    worker->retention = retention;
    worker->people = mem_zero(retention->cohorts * sizeof *worker->people);
    worker->returned = mem_zero(cells * sizeof *worker->returned);
    worker->starts = mem_zero((retention->periods + 1) * sizeof *worker->starts);
    worker->returns = mem_zero((retention->periods + 1) * sizeof *worker->returns);
}

static void worker_join(struct worker *sum, const struct worker *worker)
{
    const struct retention_ask *retention = worker->retention;
    for (size_t c = 0; c < retention->cohorts; c++)
        sum->people[c] += worker->people[c];
    for (size_t i = 0; i < retention->cohorts * retention->columns; i++)
        sum->returned[i] += worker->returned[i];
    sum->counted += worker->counted;
}

static void worker_done(struct worker *worker)
{
    free(worker->people);
    free(worker->returned);
    free(worker->starts);
    free(worker->returns);
    free(worker->at);
}

void live_retention_reach(struct live_ask *ask, struct live_reach *reach)
{
    struct live_names starts = {0}, names = {0};
    struct err ignored;
    double periods = PERIODS_DEFAULT;
    int unit = 0, kind = FIRST;
    live_names_ask(ask, &starts, "start");
    live_names_ask(ask, &names, "start");
    live_names_ask(ask, &names, "return");
    (void)!live_ask_word(ask, "cohort", cohort_kinds, FIRST, &kind, &ignored);
    (void)!live_ask_word(ask, "unit", units, 0, &unit, &ignored);
    (void)!live_ask_number(ask, "periods", 1, PERIODS_MAX, PERIODS_DEFAULT, &periods, &ignored);
    int64_t end_s = ask->to_s + (int64_t)(periods + 1) * longest[unit];
    if (yyjson_is_true(yyjson_obj_get(ask->question, "unbounded")))
        end_s = LIVE_FOREVER_S;
    if (yyjson_is_true(yyjson_obj_get(ask->question, "closed")))
        end_s = ask->to_s;
    live_reach_all(ask, reach, ask->from_s, end_s, &names);
    if (kind == FIRST)
        live_reach_before(ask, reach, ask->from_s, "start", &starts);
}

enum status live_retention(struct live_ask *ask, struct buf *json, struct err *err)
{
    struct retention_ask *retention = ARENA_NEW(ask->arena, struct retention_ask);
    int threads = live_threads(ask);
    if (yyjson_obj_get(ask->question, "conditions") != NULL)
        return live_conditions(ask, json, err);
    enum status status = retention_parse(ask, retention, err);
    if (status == ST_OK && ask->cell != NULL)
        status = cell_read(ask, retention, err);
    if (status != ST_OK)
        return status;
    struct worker *workers = mem_zero((size_t)threads * sizeof *workers);
    for (int t = 0; t < threads; t++)
        worker_init(&workers[t], retention);
    status = live_pass(ask, NULL, retention->all ? NULL : retention->bits, retention_each, workers,
                       sizeof *workers, err);
    for (int t = 1; t < threads; t++)
        worker_join(&workers[0], &workers[t]);
    if (status == ST_OK && ask->cell == NULL)
        put_answer(ask, retention, &workers[0], json);
    for (int t = 0; t < threads; t++)
        worker_done(&workers[t]);
    free(workers);
    return status;
}
