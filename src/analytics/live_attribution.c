/* live_attribution.c - which touches earned the conversions: journeys out of the timeline.
 *
 * The question, besides the common members:
 *   "conversion"  EVENT, default "Order Completed"; its amount is the value
 *   "conversions" "every" (default), or "first": of each person in the window
 *   "touches", "lookback"   see live_touch.h
 *   "gap"         the same touch again within it is one touch: default "30m", a visit's pages
 *   "by"          channel | campaign | content | keyword | source | medium | property (then
 *                 "property" names it); content … medium are the utm_ properties of the touch
 *   "models"      a list of attribution.h's names, default ["last"]; "data_driven": true = markov
 *                 with the order that predicts best
 *   "order"       markov, 1 … 16 or "auto"; "half_life" of decay, default "7d"; "position"
 * [40,20,40] "costs"       [{"channel": …, "spend": …}]; the first member's name may be the word of
 * "by" "top"         how many values have a row of their own, default 50
 *
 * A journey is the person's touches since the conversion before, each within its look-back, and the
 * conversion that ends it; what comes after the last conversion is a journey that did not convert,
 * its look-backs counted from its last touch, which must lie in the window. An event that converts
 * is no touch. At equal seconds the journal's order decides. A conversion is of a new customer when
 * the timeline has no earlier one of this person. "where" of the question is asked of conversions.
 *
 * One pass on all cores; each thread interns its journeys (live_journey.h), so the models see each
 * distinct path once. Only time decay needs the ages of every single touch: it is shared out in the
 * pass, in whole numbers, so that the parts are exactly the whole. */
#include <math.h>
#include <stdlib.h>

#include "analytics/live_attribution_int.h"
#include "analytics/live_reach.h"

#define NONE_TEXT "(none)"

static const char *const by_words[] = {"channel", "campaign", "content",  "keyword",
                                       "source",  "medium",   "property", NULL};

struct str live_attribution_value(const struct live_ask *ask, const struct attribution_ask *want,
                                  uint32_t value)
{
    if (value == 0)
        return STR(NONE_TEXT);
    if (want->by == BY_CHANNEL)
        return timeline_channel(ask->view, value);
    if (want->by == BY_CAMPAIGN)
        return timeline_campaign(ask->view, value);
    return timeline_column_text(want->column, value);
}

/* --- the pass --------------------------------------------------------------------------------- */

struct touch {
    uint32_t value, time, seen; /* seen: when it was last touched again */
    enum live_touch kind;
};

struct worker {
    const struct attribution_ask *want;
    struct attribution_found found;
    struct touch *touches; /* of the person's journey */
    size_t count, capacity;
    uint32_t *path;               /* LIVE_JOURNEY_TOUCHES_MAX */
    uint32_t *through, *assisted; /* per value: the last person counted, slot + 1 */
    bool converted;               /* this person, in the window */
    uint64_t people;              /* with an event in the window */
};

static void touch_add(struct worker *worker, struct touch touch)
{
    struct touch *last = worker->count > 0 ? &worker->touches[worker->count - 1] : NULL;
    if (last != NULL && last->kind == touch.kind && last->value == touch.value &&
        touch.time - last->seen <= worker->want->gap_s) {
        last->seen = touch.time;
        return;
    }
    if (worker->count == worker->capacity) {
        worker->capacity = worker->capacity == 0 ? 256 : worker->capacity * 2;
        worker->touches = mem_grow(worker->touches, worker->capacity * sizeof *worker->touches);
    }
    worker->touches[worker->count++] = touch;
}

/* The journey's touches that count at `time`, kept at the front of worker->touches and as a path.
 */
static uint32_t journey_cut(struct worker *worker, uint32_t time)
{
    size_t kept = 0;
    for (size_t i = 0; i < worker->count; i++)
        if (time - worker->touches[i].time <=
            worker->want->touches.lookback_s[worker->touches[i].kind])
            worker->touches[kept++] = worker->touches[i];
    if (kept > LIVE_JOURNEY_TOUCHES_MAX) {
        size_t over = kept - LIVE_JOURNEY_TOUCHES_MAX;
        worker->found.older_touches += over;
        memmove(worker->touches, worker->touches + over,
                LIVE_JOURNEY_TOUCHES_MAX * sizeof *worker->touches);
        kept = LIVE_JOURNEY_TOUCHES_MAX;
    }
    for (size_t i = 0; i < kept; i++)
        worker->path[i] = worker->touches[i].value;
    worker->count = kept;
    return (uint32_t)kept;
}

/* 2^(-age/h) of all, the rest of rounding to the last touch. */
static void share_out(struct worker *worker, uint32_t length, int64_t micros)
{
    double weights[LIVE_JOURNEY_TOUCHES_MAX], sum = 0;
    double half_life_s = (double)worker->want->rules.half_life_us / 1e6;
    int64_t left_unit = (int64_t)LIVE_DECAY_UNIT, left_micros = micros;
    uint32_t newest = worker->touches[length - 1].time;
    for (uint32_t i = 0; i < length; i++)
        sum += weights[i] = exp2(-(double)(newest - worker->touches[i].time) / half_life_s);
    for (uint32_t i = 0; i < length; i++) {
        struct attribution_value *value = &worker->found.values[worker->path[i]];
        bool last = i + 1 == length;
        int64_t unit = last ? left_unit : llround(weights[i] / sum * LIVE_DECAY_UNIT);
        int64_t money = last ? left_micros : llround(weights[i] / sum * (double)micros);
        value->decay_conversions += unit;
        value->decay_micros += money;
        left_unit -= unit;
        left_micros -= money;
    }
}

/* The touches that a conversion passed through; the last is the one that closed it, the others
 * assisted. Gives the number of distinct values. */
static uint32_t values_count(struct worker *worker, uint32_t length, uint32_t person)
{
    uint32_t distinct = 0;
    for (uint32_t i = 0; i < length; i++) {
        uint32_t value = worker->path[i], earlier = 0;
        struct attribution_value *counts = &worker->found.values[value];
        counts->touches++;
        worker->found.kinds[worker->touches[i].kind]++;
        while (earlier < i && worker->path[earlier] != value)
            earlier++;
        if (earlier < i)
            continue;
        distinct++;
        if (worker->through[value] != person + 1)
            counts->people++;
        worker->through[value] = person + 1;
        if (value == worker->path[length - 1])
            continue;
        counts->assisted++;
        if (worker->assisted[value] != person + 1)
            counts->assisted_people++;
        worker->assisted[value] = person + 1;
    }
    return distinct;
}

static bool bought_before(const struct live_ask *ask, const struct attribution_ask *want,
                          const struct timeline_run *run, uint32_t end)
{
    for (uint32_t i = 0; i < end; i++)
        if (live_event_is(ask, &want->conversion, run, i))
            return true;
    return false;
}

/* Does this conversion make its person one of the cell's? */
static bool is_wanted(const struct worker *worker, uint32_t length, bool is_new)
{
    const struct attribution_ask *want = worker->want;
    bool through = false, two = false;
    for (uint32_t i = 0; i < length; i++) {
        through = through || worker->path[i] == want->want_value;
        two = two || worker->path[i] != worker->path[0];
    }
    switch (want->want) {
    case WANT_CONVERTED:
        return want->want_value == TIMELINE_NONE || through;
    case WANT_ASSISTED:
        return through && worker->path[length - 1] != want->want_value;
    case WANT_CROSS_CHANNEL:
        return two;
    case WANT_NO_TOUCH:
        return length == 0;
    case WANT_NEW:
        return is_new;
    }
    return false;
}

static void delay_add(struct attribution_found *found, uint32_t seconds)
{
    if (found->delays_count == found->delays_capacity) {
        found->delays_capacity = found->delays_capacity == 0 ? 4096 : found->delays_capacity * 2;
        found->delays = mem_grow(found->delays, found->delays_capacity * sizeof *found->delays);
    }
    found->delays[found->delays_count++] = seconds;
}

static void convert(const struct live_ask *ask, struct worker *worker,
                    const struct timeline_run *run, uint32_t i, bool is_new)
{
    struct attribution_found *found = &worker->found;
    int64_t micros = 0;
    uint32_t time = run->time[i], length = journey_cut(worker, time);
    if (ask->want != NULL) {
        if (is_wanted(worker, length, is_new))
            live_want(ask, run->person);
        return;
    }
    found->without_amount += !timeline_amount(ask->view, timeline_row(run, i), &micros);
    found->conversions++;
    found->arrivals += is_new;
    found->micros += micros;
    found->converted_people += !worker->converted;
    worker->converted = true;
    if (length == 0)
        return;
    found->with_touch++;
    found->micros_touched += micros;
    found->cross_channel += values_count(worker, length, run->person) >= 2;
    delay_add(found, time - worker->touches[0].time);
    if (worker->want->decay)
        share_out(worker, length, micros);
    struct live_journey *journey = live_journeys_put(&found->journeys, worker->path, length);
    journey->conversions++;
    journey->arrivals += is_new;
    journey->micros += micros;
}

/* What came after the last conversion led to none. */
static void end_without(const struct live_ask *ask, struct worker *worker)
{
    if (worker->count == 0 || ask->want != NULL)
        return;
    uint32_t last = worker->touches[worker->count - 1].seen;
    if (last < ask->from_s)
        return;
    uint32_t length = journey_cut(worker, worker->touches[worker->count - 1].time);
    live_journeys_put(&worker->found.journeys, worker->path, length)->nulls++;
}

static uint32_t first_at(const struct timeline_run *run, uint32_t time)
{
    uint32_t low = 0, high = run->count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (run->time[middle] < time)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static void journeys_of(const struct live_ask *ask, const struct timeline_run *run, void *ctx)
{
    struct worker *worker = ctx;
    const struct attribution_ask *want = worker->want;
    const struct live_touches *touches = &want->touches;
    uint32_t back = touches->lookback_max_s;
    uint32_t begin = first_at(run, ask->from_s > back ? ask->from_s - back : 0);
    int before = -1; /* an earlier conversion: 1 there is one, 0 none, -1 not yet looked */
    worker->count = 0;
    worker->converted = false;
    uint32_t first, end;
    live_window(ask, run, &first, &end);
    worker->people += first < end;
    for (uint32_t i = begin; i < end; i++) {
        uint32_t bits =
            touches->by_code[timeline_code(run, i)] & touches->by_origin[timeline_origin(run, i)];
        if (bits == 0)
            continue;
        if ((bits & LIVE_TOUCH_CALLER) != 0 && live_event_is(ask, &want->conversion, run, i)) {
            bool counts = run->time[i] >= ask->from_s &&
                          live_filters_hold(ask, ask->filters, ask->filters_count, run, i);
            if (before < 0)
                before = bought_before(ask, want, run, begin);
            if (counts)
                convert(ask, worker, run, i, before == 0);
            before = 1;
            worker->count = 0;
            if (counts && want->first_only)
                return;
            continue;
        }
        enum live_touch kind = live_touch_of(ask, touches, bits, run, i);
        if (kind == LIVE_TOUCHES)
            continue;
        uint32_t value = want->column != NULL
                             ? timeline_column_code(want->column, timeline_row(run, i))
                             : want->value_of_origin[timeline_origin(run, i)];
        touch_add(worker, (struct touch){value, run->time[i], run->time[i], kind});
    }
    end_without(ask, worker);
}

/* --- all threads ------------------------------------------------------------------------------ */

static void worker_open(struct worker *worker, const struct attribution_ask *want)
{
    size_t values = (size_t)want->values + 1;
    worker->want = want;
    worker->path = mem_alloc(LIVE_JOURNEY_TOUCHES_MAX * sizeof *worker->path);
    worker->through = mem_zero(values * sizeof *worker->through);
    worker->assisted = mem_zero(values * sizeof *worker->assisted);
    worker->found.values = mem_zero(values * sizeof *worker->found.values);
}

static void found_done(struct attribution_found *found)
{
    live_journeys_done(&found->journeys);
    free(found->values);
    free(found->delays);
}

static void worker_done(struct worker *worker)
{
    free(worker->touches);
    free(worker->path);
    free(worker->through);
    free(worker->assisted);
    found_done(&worker->found);
}

static void found_add(struct attribution_found *sum, const struct attribution_found *part,
                      uint32_t values)
{
    live_journeys_add(&sum->journeys, &part->journeys);
    for (uint32_t v = 0; v < values; v++) {
        sum->values[v].touches += part->values[v].touches;
        sum->values[v].assisted += part->values[v].assisted;
        sum->values[v].people += part->values[v].people;
        sum->values[v].assisted_people += part->values[v].assisted_people;
        sum->values[v].decay_conversions += part->values[v].decay_conversions;
        sum->values[v].decay_micros += part->values[v].decay_micros;
    }
    for (int k = 0; k < LIVE_TOUCHES; k++)
        sum->kinds[k] += part->kinds[k];
    sum->conversions += part->conversions;
    sum->with_touch += part->with_touch;
    sum->cross_channel += part->cross_channel;
    sum->arrivals += part->arrivals;
    sum->without_amount += part->without_amount;
    sum->converted_people += part->converted_people;
    sum->micros += part->micros;
    sum->micros_touched += part->micros_touched;
    sum->older_touches += part->older_touches;
    for (size_t i = 0; i < part->delays_count; i++)
        delay_add(sum, part->delays[i]);
}

/* Codes that may be a touch or a conversion; all, when a rule is for any event. */
static const uint8_t *wanted_codes(struct live_ask *ask, const struct attribution_ask *want)
{
    uint8_t *wanted = ARENA_ARRAY(ask->arena, uint8_t, 65536);
    bool all = true;
    for (uint32_t code = 0; code < 65536; code++) {
        wanted[code] = want->touches.by_code[code] != 0;
        all = all && wanted[code] != 0;
    }
    return all ? NULL : wanted;
}

static enum status run_all(struct live_ask *ask, struct attribution_ask *want, struct buf *json,
                           struct err *err)
{
    int threads = live_threads(ask);
    struct worker *workers = mem_zero((size_t)threads * sizeof *workers);
    struct live_touches *touches = &want->touches;
    for (uint32_t code = 0; code < 65536; code++)
        if (want->conversion.code == TIMELINE_NONE || want->conversion.code == code)
            touches->by_code[code] |= LIVE_TOUCH_CALLER;
    for (int t = 0; t < threads; t++)
        worker_open(&workers[t], want);
    const uint8_t *wanted = wanted_codes(ask, want);
    enum status status = live_pass(ask, NULL, wanted, journeys_of, workers, sizeof *workers, err);
    if (status == ST_OK && ask->want == NULL) {
        ask->people = wanted == NULL ? 0 : UINT64_MAX; /* of a part of the events: not everybody */
        for (int t = 0; t < threads && wanted == NULL; t++)
            ask->people += workers[t].people;
        for (int t = 1; t < threads; t++)
            found_add(&workers[0].found, &workers[t].found, want->values);
        live_journeys_sort(&workers[0].found.journeys);
        status = live_attribution_put(ask, want, &workers[0].found, json, err);
    }
    for (int t = 0; t < threads; t++)
        worker_done(&workers[t]);
    free(workers);
    return status;
}

/* --- the question ----------------------------------------------------------------------------- */

static enum status models_ask(struct live_ask *ask, struct attribution_ask *want, struct err *err)
{
    yyjson_val *list = yyjson_obj_get(ask->question, "models"), *word;
    bool data_driven = yyjson_is_true(yyjson_obj_get(ask->question, "data_driven"));
    yyjson_arr_iter words = yyjson_arr_iter_with(list);
    if (list == NULL)
        want->models[want->models_count++] = data_driven ? ATTRIBUTION_MARKOV : ATTRIBUTION_LAST;
    if (list != NULL && (!yyjson_is_arr(list) || yyjson_arr_size(list) == 0))
        return err_set(err, ST_INVALID, "\"models\" is a list like [\"last\", \"markov\"]");
    while (list != NULL && (word = yyjson_arr_iter_next(&words)) != NULL) {
        enum attribution_model model;
        if (!attribution_model_of(json_str(word), &model))
            return err_set(err, ST_INVALID,
                           "\"models\": first, last, last-non-direct, linear, position, decay, "
                           "markov, shapley or shao; not \"%.40s\"",
                           yyjson_is_str(word) ? yyjson_get_str(word) : "");
        for (size_t m = 0; m < want->models_count; m++)
            if (want->models[m] == model)
                return err_set(err, ST_INVALID, "\"models\" has %s twice",
                               attribution_model_name(model));
        want->models[want->models_count++] = model;
    }
    want->order_auto = data_driven;
    for (size_t m = 0; m < want->models_count; m++)
        want->decay = want->decay || want->models[m] == ATTRIBUTION_DECAY;
    return ST_OK;
}

static enum status position_ask(struct live_ask *ask, struct attribution_rules *rules,
                                struct err *err)
{
    yyjson_val *list = yyjson_obj_get(ask->question, "position");
    double parts[3], sum = 0;
    if (list == NULL)
        return ST_OK;
    for (size_t i = 0; i < 3; i++) {
        yyjson_val *part = yyjson_arr_get(list, i);
        parts[i] = yyjson_is_num(part) ? yyjson_get_num(part) : -1;
        sum += parts[i];
        if (!(parts[i] >= 0 && parts[i] <= 1e6))
            sum = -1e9;
    }
    if (yyjson_arr_size(list) != 3 || !(sum > 0))
        return err_set(err, ST_INVALID,
                       "\"position\" is three weights for the first, the middle and the last "
                       "touch, like [40, 20, 40]");
    rules->first = parts[0];
    rules->middle = parts[1];
    rules->last = parts[2];
    return ST_OK;
}

static enum status rules_ask(struct live_ask *ask, struct attribution_ask *want, struct err *err)
{
    static const char *const which[] = {"every", "first", NULL};
    int64_t half_life_s, gap_s;
    double order = 1, top;
    int first = 0;
    want->rules = attribution_rules_usual();
    enum status status = position_ask(ask, &want->rules, err);
    if (status == ST_OK)
        status = live_ask_duration(ask, "half_life", INT64_C(7) * 86400, &half_life_s, err);
    if (status == ST_OK && (half_life_s < 1 || half_life_s > INT64_C(3660) * 86400))
        status = err_set(err, ST_INVALID, "\"half_life\" is 1 second to 3660 days");
    if (status == ST_OK)
        status = live_ask_duration(ask, "gap", 1800, &gap_s, err);
    if (status == ST_OK && (gap_s < 0 || gap_s > 86400))
        status = err_set(err, ST_INVALID, "\"gap\" is 0 to 24 hours");
    if (status == ST_OK && str_is(json_member_str(ask->question, "order"), "auto"))
        want->order_auto = true;
    else if (status == ST_OK)
        status = live_ask_number(ask, "order", 1, ATTRIBUTION_ORDER_MAX, 1, &order, err);
    if (status == ST_OK)
        status = live_ask_word(ask, "conversions", which, 0, &first, err);
    if (status == ST_OK)
        status = live_ask_number(ask, "top", 1, LIVE_TOP_MAX, LIVE_TOP_USUAL, &top, err);
    if (status != ST_OK)
        return status;
    want->rules.half_life_us = half_life_s * 1000000;
    want->rules.order = (unsigned)order;
    want->gap_s = (uint32_t)gap_s;
    want->first_only = first == 1;
    want->top = (size_t)top;
    return ST_OK;
}

static enum status costs_ask(struct live_ask *ask, struct attribution_ask *want, struct err *err)
{
    yyjson_val *list = yyjson_obj_get(ask->question, "costs"), *one;
    yyjson_arr_iter costs = yyjson_arr_iter_with(list);
    if (list == NULL)
        return ST_OK;
    if (!yyjson_is_arr(list))
        return err_set(err, ST_INVALID,
                       "\"costs\" is a list like [{\"channel\": \"ads\", \"spend\": 1200}]");
    want->costs = ARENA_ARRAY(ask->arena, struct live_cost, yyjson_arr_size(list) + 1);
    while ((one = yyjson_arr_iter_next(&costs)) != NULL) {
        struct live_cost *cost = &want->costs[want->costs_count++];
        yyjson_val *spend = yyjson_obj_get(one, "spend");
        cost->name = json_member_str(one, want->by_word);
        if (cost->name.n == 0)
            cost->name = json_member_str(one, "channel");
        cost->spend = yyjson_is_num(spend) ? yyjson_get_num(spend) : -1;
        if (cost->name.n == 0 || !(cost->spend >= 0 && cost->spend < 1e15))
            return err_set(err, ST_INVALID,
                           "\"costs\": each has \"%s\" and a \"spend\" of 0 or more",
                           want->by_word);
    }
    return ST_OK;
}

/* Where a touch's value comes from. */
static enum status by_ask(struct live_ask *ask, struct attribution_ask *want, struct err *err)
{
    static const char *const utm[] = {[BY_CONTENT] = "utm_content",
                                      [BY_KEYWORD] = "utm_term",
                                      [BY_SOURCE] = "utm_source",
                                      [BY_MEDIUM] = "utm_medium"};
    int by = 0;
    enum status status = live_ask_word(ask, "by", by_words, BY_CHANNEL, &by, err);
    if (status != ST_OK)
        return status;
    want->by = (enum live_by)by;
    want->by_word = by_words[by];
    if (want->by <= BY_CAMPAIGN) {
        const struct timeline_view *view = ask->view;
        want->value_of_origin = ARENA_ARRAY(ask->arena, uint32_t, 65536);
        want->values = want->by == BY_CHANNEL ? view->channels : view->campaigns;
        for (uint32_t origin = 0; origin < view->origins; origin++) {
            uint32_t value = want->by == BY_CHANNEL ? timeline_origin_channel(view, origin)
                                                    : timeline_origin_campaign(view, origin);
            want->value_of_origin[origin] = value < want->values ? value : 0; /* TIMELINE_OTHER */
        }
        return ST_OK;
    }
    struct str property = want->by == BY_PROPERTY ? json_member_str(ask->question, "property")
                                                  : str_of(utm[want->by]);
    if (property.n == 0)
        return err_set(err, ST_INVALID, "\"by\": \"property\" needs the \"property\"");
    status = live_column(ask, STR(""), property, &want->column, err);
    if (status == ST_OK)
        want->values = timeline_column_values(want->column) + 1;
    return status;
}

static enum status cell_ask(struct live_ask *ask, struct attribution_ask *want, struct err *err)
{
    static const char *const words[] = {"converted", "assisted", "cross_channel", "no_touch",
                                        "new_customers"};
    struct str what = live_cell_str(ask, "what"), value = live_cell_str(ask, "value");
    want->want_value = TIMELINE_NONE;
    size_t i = 0;
    while (i < 5 && !str_is(what, words[i]))
        i++;
    if (i == 5)
        return err_set(err, ST_INVALID, "the cell is none of this report's");
    want->want = i;
    for (uint32_t v = 0; value.n > 0 && v < want->values; v++)
        if (str_eq(live_attribution_value(ask, want, v), value))
            want->want_value = v;
    if ((value.n > 0 || want->want == WANT_ASSISTED) && want->want_value == TIMELINE_NONE)
        return err_set(err, ST_NOT_FOUND, "nobody has the %s of the cell any more", want->by_word);
    return ST_OK;
}

/* Touches have many names; an earlier conversion may be any time ago. */
void live_attribution_reach(struct live_ask *ask, struct live_reach *reach)
{
    struct live_names names = {0};
    int64_t first = ask->from_s - live_touches_lookback_most(ask);
    live_order_names(ask, &names, "conversion");
    live_reach_all(ask, reach, first, ask->to_s, NULL);
    live_reach_before(ask, reach, first, "conversion", &names);
}

enum status live_attribution(struct live_ask *ask, struct buf *json, struct err *err)
{
    static const char *const members[] = {
        "conversion",  "conversions", "touches",   "lookback", "gap",   "by",  "property", "models",
        "data_driven", "order",       "half_life", "position", "costs", "top", NULL};
    struct attribution_ask want = {0};
    enum status status = live_ask_plain(ask, members, err);
    if (status == ST_OK)
        status = live_order_event(ask, "conversion", &want.conversion, err);
    if (status == ST_OK)
        status = live_touches_ask(ask, &want.touches, err);
    if (status == ST_OK)
        status = models_ask(ask, &want, err);
    if (status == ST_OK)
        status = rules_ask(ask, &want, err);
    if (status == ST_OK)
        status = by_ask(ask, &want, err);
    if (status == ST_OK)
        status = costs_ask(ask, &want, err);
    if (status == ST_OK && ask->want != NULL)
        status = cell_ask(ask, &want, err);
    if (status == ST_OK)
        status = run_all(ask, &want, json, err);
    return status;
}
