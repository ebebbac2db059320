/* weekly.c - the automatic page of the week: what changed against the usual, and what explains it.
 *
 * The question, besides the common members (no "from"; the week is the last one that ended before
 * "to" or now):
 *   "order"  EVENT, default "Order Completed"; its amount is revenue
 *   "steps"  events between the visit and the order, at most 5; default those of Product Viewed,
 *            Product Added and Checkout Started that somebody has
 *   "lang"   "zh" (default) or "en": the language of "text"
 * The answer: "rows" (a row per figure), "facts" (everything the text says, and more), "text",
 * "history" (the weeks). One pass on all cores sums up nine weeks by channel, campaign, step and
 * new or returning; weekly_fact.c makes facts of the sums, weekly_text.c words of the facts. The
 * text is made of fixed sentences: same facts, same text. No language model has a hand in it.
 *
 * Who visits is who has any event in the week, our own (results saved as traits) apart. A person is
 * new in the week of the first event that the timeline has. An order's campaign is its own, else
 * the last one that its person came with in the week. */
#include <math.h>
#include <stdlib.h>

#include "analytics/weekly_int.h"
#include "analytics/live_reach.h"

#define ORDER_BIT 0x80u
#define OWN_CHANNEL "hezou" /* live_save.c */

/* --- the pass --------------------------------------------------------------------------------- */

struct worker {
    const struct weekly_ask *want;
    struct weekly_sums sums;
};

/* One person in one week. */
struct visit {
    uint32_t channel, campaign; /* of the first event; the last one named so far */
    bool is_new, bought;
    uint8_t steps;
};

static void visit_begin(struct worker *worker, struct visit *visit, size_t week, uint32_t channel,
                        bool is_new)
{
    struct weekly_sums *sums = &worker->sums;
    *visit = (struct visit){.channel = channel, .is_new = is_new};
    struct weekly_sum *parts[] = {&sums->total[week], &sums->customer[is_new][week],
                                  &sums->channels[channel * WEEKLY_WEEKS + week]};
    for (size_t i = 0; i < 3; i++) {
        parts[i]->people++;
        parts[i]->new_people += is_new;
    }
}

static bool is_wanted(const struct weekly_ask *want, const struct visit *visit)
{
    return (want->want_channel == TIMELINE_NONE || want->want_channel == visit->channel) &&
           (want->want_new < 0 || want->want_new == visit->is_new);
}

static void order_add(struct worker *worker, struct visit *visit, size_t week, uint32_t channel,
                      int64_t micros)
{
    struct weekly_sums *sums = &worker->sums;
    struct weekly_sum *parts[] = {&sums->total[week], &sums->customer[visit->is_new][week],
                                  &sums->channels[channel * WEEKLY_WEEKS + week],
                                  &sums->campaigns[visit->campaign * WEEKLY_WEEKS + week]};
    for (size_t i = 0; i < 4; i++) {
        parts[i]->orders++;
        parts[i]->micros += micros;
    }
    if (visit->bought)
        return;
    visit->bought = true;
    sums->total[week].buyers++;
    sums->customer[visit->is_new][week].buyers++;
    sums->channels[visit->channel * WEEKLY_WEEKS + week].buyers++;
}

static uint32_t code_within(uint32_t code, uint32_t count)
{
    return code < count ? code : 0; /* TIMELINE_OTHER: the dictionary was full */
}

/* The people of a cell: who visited, or who ordered (in this channel, by this campaign). */
static void event_want(const struct live_ask *ask, const struct weekly_ask *want,
                       const struct timeline_run *run, const struct visit *visit, bool is_order,
                       uint32_t order_channel)
{
    bool by_visit = want->want != WEEKLY_ORDERS && want->want != WEEKLY_REVENUE;
    if (by_visit) {
        if (is_wanted(want, visit) && (want->want != WEEKLY_NEW_PEOPLE || visit->is_new) &&
            (want->want != WEEKLY_CONVERSION || is_order))
            live_want(ask, run->person);
        return;
    }
    if (is_order && (want->want_new < 0 || want->want_new == visit->is_new) &&
        (want->want_channel == TIMELINE_NONE || want->want_channel == order_channel) &&
        (want->want_campaign == TIMELINE_NONE || want->want_campaign == visit->campaign))
        live_want(ask, run->person);
}

static void event_add(const struct live_ask *ask, struct worker *worker,
                      const struct timeline_run *run, uint32_t i, size_t week, struct visit *visit)
{
    const struct weekly_ask *want = worker->want;
    uint32_t origin = timeline_origin(run, i);
    uint32_t channel = code_within(timeline_origin_channel(ask->view, origin), ask->view->channels);
    uint32_t campaign =
        code_within(timeline_origin_campaign(ask->view, origin), ask->view->campaigns);
    uint8_t bits = want->bits[timeline_code(run, i)];
    bool is_order = (bits & ORDER_BIT) != 0 && live_event_is(ask, &want->order, run, i);
    int64_t micros = 0;
    if (campaign != 0)
        visit->campaign = campaign;
    if (ask->want != NULL)
        event_want(ask, want, run, visit, is_order, channel);
    for (size_t s = 0; s < want->steps_count; s++)
        if ((bits >> s & 1) != 0 && (visit->steps >> s & 1) == 0 &&
            live_event_is(ask, &want->steps[s], run, i)) {
            visit->steps |= (uint8_t)(1u << s);
            worker->sums.steps[s][week]++;
        }
    if (!is_order)
        return;
    if (!timeline_amount(ask->view, timeline_row(run, i), &micros))
        micros = 0;
    order_add(worker, visit, week, channel, micros);
}

static void person_add(const struct live_ask *ask, const struct timeline_run *run, void *ctx)
{
    struct worker *worker = ctx;
    const struct weekly_ask *want = worker->want;
    struct visit visit = {0};
    size_t week = 0, begun = SIZE_MAX;
    uint32_t first, end;
    if (run->time[0] < worker->sums.first_s)
        worker->sums.first_s = run->time[0];
    live_window(ask, run, &first, &end);
    for (uint32_t i = first; i < end; i++) {
        if (want->own_origin[timeline_origin(run, i)] ||
            (ask->filters_count > 0 &&
             !live_filters_hold(ask, ask->filters, ask->filters_count, run, i)))
            continue;
        while (run->time[i] >= want->borders[week + 1])
            week++;
        if (week != begun) {
            uint32_t channel = timeline_origin_channel(ask->view, timeline_origin(run, i));
            visit_begin(worker, &visit, week, code_within(channel, ask->view->channels),
                        run->time[0] >= want->borders[week]);
            begun = week;
        }
        event_add(ask, worker, run, i, week, &visit);
    }
}

/* --- all threads ------------------------------------------------------------------------------ */

static void sums_open(struct weekly_sums *sums, const struct timeline_view *view)
{
    sums->first_s = UINT32_MAX;
    sums->channels =
        mem_zero(((size_t)view->channels + 1) * WEEKLY_WEEKS * sizeof(struct weekly_sum));
    sums->campaigns =
        mem_zero(((size_t)view->campaigns + 1) * WEEKLY_WEEKS * sizeof(struct weekly_sum));
}

static void sums_done(struct weekly_sums *sums)
{
    free(sums->channels);
    free(sums->campaigns);
}

static void sum_add(struct weekly_sum *to, const struct weekly_sum *from, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        to[i].people += from[i].people;
        to[i].new_people += from[i].new_people;
        to[i].buyers += from[i].buyers;
        to[i].orders += from[i].orders;
        to[i].micros += from[i].micros;
    }
}

static void sums_add(struct weekly_sums *to, const struct weekly_sums *from,
                     const struct timeline_view *view)
{
    sum_add(to->total, from->total, WEEKLY_WEEKS);
    sum_add(to->customer[0], from->customer[0], WEEKLY_WEEKS);
    sum_add(to->customer[1], from->customer[1], WEEKLY_WEEKS);
    sum_add(to->channels, from->channels, (size_t)view->channels * WEEKLY_WEEKS);
    sum_add(to->campaigns, from->campaigns, (size_t)view->campaigns * WEEKLY_WEEKS);
    for (size_t s = 0; s < WEEKLY_STEPS_MAX; s++)
        for (size_t w = 0; w < WEEKLY_WEEKS; w++)
            to->steps[s][w] += from->steps[s][w];
    to->first_s = from->first_s < to->first_s ? from->first_s : to->first_s;
}

/* --- the answer ------------------------------------------------------------------------------- */

static void put_figure(struct buf *json, const struct weekly_ask *want,
                       const struct weekly_facts *facts, enum weekly_metric metric)
{
    const struct weekly_figure *figure = &facts->figures[metric];
    json_put_member_str(json, "metric", str_of(weekly_metric_name(metric)));
    json_put_member_number(json, "value", figure->value);
    if (facts->weeks >= WEEKLY_LEAST) {
        json_put_member_number(json, "usual", figure->usual);
        json_put_member_number(json, "change", figure->change);
        json_put_member_number(json, "change_share", figure->change_share);
        json_put_member_number(json, "usual_low", figure->low);
        json_put_member_number(json, "usual_high", figure->high);
        json_put_member_bool(json, "beyond_noise", figure->beyond_noise);
    }
    live_put_cell(want->ask, json, "{\"metric\":\"%s\"}", weekly_metric_name(metric));
}

static void put_rows(struct buf *json, const struct weekly_ask *want,
                     const struct weekly_facts *facts)
{
    json_put_name(json, "rows");
    buf_char(json, '[');
    for (int m = 0; m < WEEKLY_METRICS; m++) {
        json_put_comma(json);
        buf_char(json, '{');
        put_figure(json, want, facts, (enum weekly_metric)m);
        buf_char(json, '}');
    }
    buf_char(json, ']');
}

/* Whose numbers the part is made of. */
static void put_part_cell(struct buf *json, const struct weekly_ask *want,
                          enum weekly_metric metric, enum weekly_by by,
                          const struct weekly_part *part)
{
    struct buf name;
    const char *word = weekly_by_name(by);
    if (part->other || by == WEEKLY_STEP)
        return;
    buf_init(&name, (size_t)1 << 16);
    json_put_str(&name, part->name);
    live_put_cell(want->ask, json, "{\"metric\":\"%s\",\"%s\":%.*s}", weekly_metric_name(metric),
                  word, STR_ARG(buf_view(&name)));
    buf_done(&name);
}

static void put_part(struct buf *json, const struct weekly_ask *want,
                     const struct weekly_facts *facts, enum weekly_metric metric, enum weekly_by by,
                     const struct weekly_part *part)
{
    double change = facts->figures[metric].change;
    json_put_comma(json);
    buf_char(json, '{');
    json_put_member_str(json, "fact", STR("contribution"));
    json_put_member_str(json, "metric", str_of(weekly_metric_name(metric)));
    json_put_member_str(json, "by", str_of(weekly_by_name(by)));
    json_put_name(json, "name");
    json_put_lossy(json, part->none ? STR("(none)") : part->other ? STR("(other)") : part->name);
    json_put_member_number(json, "value", part->value);
    json_put_member_number(json, "usual", part->usual);
    json_put_member_number(json, "contribution", part->contribution);
    json_put_member_number(json, "share_of_change",
                           change != 0 ? part->contribution / change : NAN);
    if (metric == WEEKLY_CONVERSION) {
        json_put_member_number(json, "mix_effect", part->mix);
        json_put_member_number(json, "rate_effect", part->rate);
    }
    put_part_cell(json, want, metric, by, part);
    buf_char(json, '}');
}

static void put_facts(struct buf *json, const struct weekly_ask *want,
                      const struct weekly_facts *facts)
{
    json_put_name(json, "facts");
    buf_char(json, '[');
    for (int m = 0; m < WEEKLY_METRICS; m++) {
        const struct weekly_figure *figure = &facts->figures[m];
        json_put_comma(json);
        buf_char(json, '{');
        json_put_member_str(json, "fact", STR("figure"));
        put_figure(json, want, facts, (enum weekly_metric)m);
        if (facts->weeks >= WEEKLY_LEAST) {
            json_put_member_number(json, "mad", figure->mad);
            json_put_member_number(json, "score", figure->score);
        }
        buf_char(json, '}');
        for (int by = 0; by < WEEKLY_BYS; by++)
            for (size_t i = 0; i < figure->parts_count[by]; i++)
                put_part(json, want, facts, (enum weekly_metric)m, (enum weekly_by)by,
                         &figure->parts[by][i]);
    }
    buf_char(json, ']');
}

static void put_history(struct buf *json, const struct weekly_ask *want,
                        const struct weekly_sums *sums, size_t weeks)
{
    json_put_name(json, "history");
    buf_char(json, '[');
    for (size_t w = WEEKLY_BEFORE - weeks; w < WEEKLY_WEEKS; w++) {
        json_put_comma(json);
        buf_char(json, '{');
        live_put_time(want->ask, json, "week", want->borders[w], LIVE_WEEK);
        for (int m = 0; m < WEEKLY_METRICS; m++)
            json_put_member_number(json, weekly_metric_name((enum weekly_metric)m),
                                   weekly_value(&sums->total[w], (enum weekly_metric)m));
        buf_char(json, '}');
    }
    buf_char(json, ']');
}

static void answer(const struct weekly_ask *want, const struct weekly_sums *sums, struct buf *json)
{
    struct weekly_facts facts;
    struct buf text;
    weekly_facts_find(want, sums, &facts);
    buf_init(&text, (size_t)1 << 20);
    weekly_text(want, &facts, &text);
    json_put_member_uint(json, "weeks_before", facts.weeks);
    json_put_member_bool(json, "enough_history", facts.weeks >= WEEKLY_LEAST);
    json_put_name(json, "text");
    json_put_lossy(json, buf_view(&text));
    put_rows(json, want, &facts);
    put_facts(json, want, &facts);
    put_history(json, want, sums, facts.weeks);
    json_put_name(json, "left_out");
    buf_text(json, "[]");
    buf_done(&text);
}

/* --- the question ----------------------------------------------------------------------------- */

/* The nine weeks that end with the last finished one; the window is the nine of them. */
static void weeks_set(struct weekly_ask *want)
{
    struct live_ask *ask = want->ask;
    int64_t now_s = ask->now_us / US_PER_S, to_s = ask->to_s < now_s ? ask->to_s : now_s;
    int64_t end = zone_start(ask->calendar, ZONE_WEEK, to_s);
    for (size_t w = WEEKLY_WEEKS + 1; w-- > 0;) {
        want->borders[w] = (uint32_t)(end < 0 ? 0 : end);
        end = zone_start(ask->calendar, ZONE_WEEK, end - 1);
    }
}

static void window_set(struct live_ask *ask, uint32_t from_s, uint32_t to_s)
{
    ask->from_s = from_s;
    ask->to_s = to_s;
    ask->from_us = from_s * US_PER_S;
    ask->to_us = to_s * US_PER_S;
}

static enum status steps_ask(struct weekly_ask *want, struct err *err)
{
    static const char *const usual[] = {"Product Viewed", "Product Added", "Checkout Started"};
    struct live_ask *ask = want->ask;
    struct live_event *events;
    size_t count;
    enum status status = live_order_event(ask, "order", &want->order, err);
    if (status != ST_OK)
        return status;
    if (yyjson_obj_get(ask->question, "steps") != NULL) {
        status = live_ask_events(ask, "steps", 1, WEEKLY_STEPS_MAX, &events, &count, err);
        for (size_t i = 0; status == ST_OK && i < count; i++)
            want->steps[want->steps_count++] = events[i];
        return status;
    }
    for (size_t i = 0; i < 3; i++) {
        uint32_t code = timeline_name_find(ask->view, str_of(usual[i]));
        if (code != TIMELINE_NONE)
            want->steps[want->steps_count++] =
                (struct live_event){.name = str_of(usual[i]), .code = code};
    }
    return ST_OK;
}

static void tables_make(struct weekly_ask *want)
{
    struct live_ask *ask = want->ask;
    want->bits = ARENA_ARRAY(ask->arena, uint8_t, 65536);
    want->own_origin = ARENA_ARRAY(ask->arena, bool, 65536);
    for (uint32_t code = 0; code < 65536; code++) {
        for (size_t s = 0; s < want->steps_count; s++)
            if (want->steps[s].code == TIMELINE_NONE || want->steps[s].code == code)
                want->bits[code] |= (uint8_t)(1u << s);
        if (want->order.code == TIMELINE_NONE || want->order.code == code)
            want->bits[code] |= ORDER_BIT;
    }
    for (uint32_t origin = 0; origin < ask->view->origins; origin++)
        want->own_origin[origin] = str_is(
            timeline_channel(ask->view, timeline_origin_channel(ask->view, origin)), OWN_CHANNEL);
}

static enum status cell_ask(struct weekly_ask *want, struct err *err)
{
    struct live_ask *ask = want->ask;
    struct str metric = live_cell_str(ask, "metric"), customer = live_cell_str(ask, "customer");
    yyjson_val *channel = yyjson_obj_get(ask->cell, "channel");
    yyjson_val *campaign = yyjson_obj_get(ask->cell, "campaign");
    int m = 0;
    while (m < WEEKLY_METRICS && !str_is(metric, weekly_metric_name((enum weekly_metric)m)))
        m++;
    if (m == WEEKLY_METRICS)
        return err_set(err, ST_INVALID, "the cell is none of this report's");
    want->want = (enum weekly_metric)m;
    want->want_new = customer.n == 0 ? -1 : str_is(customer, "new_customers");
    want->want_channel = want->want_campaign = TIMELINE_NONE;
    for (uint32_t c = 0; channel != NULL && c < ask->view->channels; c++)
        if (str_eq(timeline_channel(ask->view, c), json_str(channel)))
            want->want_channel = c;
    for (uint32_t c = 0; campaign != NULL && c < ask->view->campaigns; c++)
        if (str_eq(timeline_campaign(ask->view, c), json_str(campaign)))
            want->want_campaign = c;
    if ((channel != NULL && want->want_channel == TIMELINE_NONE) ||
        (campaign != NULL && want->want_campaign == TIMELINE_NONE))
        return err_set(err, ST_NOT_FOUND,
                       "nobody has the channel or campaign of the cell any more");
    return ST_OK;
}

static enum status run_all(struct weekly_ask *want, struct buf *json, struct err *err)
{
    struct live_ask *ask = want->ask;
    int threads = live_threads(ask);
    struct worker *workers = mem_zero((size_t)threads * sizeof *workers);
    for (int t = 0; t < threads; t++) {
        workers[t].want = want;
        sums_open(&workers[t].sums, ask->view);
    }
    /* A cell is of the last week alone. */
    window_set(ask, want->borders[ask->want != NULL ? WEEKLY_BEFORE : 0],
               want->borders[WEEKLY_WEEKS]);
    enum status status = live_pass(ask, NULL, NULL, person_add, workers, sizeof *workers, err);
    window_set(ask, want->borders[WEEKLY_BEFORE], want->borders[WEEKLY_WEEKS]);
    if (status == ST_OK && ask->want == NULL) {
        for (int t = 1; t < threads; t++)
            sums_add(&workers[0].sums, &workers[t].sums, ask->view);
        ask->people = workers[0].sums.total[WEEKLY_BEFORE].people;
        live_cell_prefix(ask, STR("weekly"));
        answer(want, &workers[0].sums, json);
    }
    for (int t = 0; t < threads; t++)
        sums_done(&workers[t].sums);
    free(workers);
    return status;
}

void live_weekly_reach(struct live_ask *ask, struct live_reach *reach)
{
    struct weekly_ask want = {.ask = ask};
    weeks_set(&want);
    live_reach_all(ask, reach, want.borders[0], want.borders[WEEKLY_WEEKS], NULL);
    live_reach_before(ask, reach, want.borders[0], NULL, NULL); /* who is new? */
}

enum status live_weekly(struct live_ask *ask, struct buf *json, struct err *err)
{
    static const char *const members[] = {"order", "steps", "lang", NULL};
    static const char *const languages[] = {"zh", "en", NULL};
    struct weekly_ask want = {.ask = ask};
    int language = 0;
    enum status status = live_ask_plain(ask, members, err);
    if (status == ST_OK)
        status = live_ask_word(ask, "lang", languages, 0, &language, err);
    if (status == ST_OK)
        status = steps_ask(&want, err);
    if (status == ST_OK && ask->want != NULL)
        status = cell_ask(&want, err);
    if (status != ST_OK)
        return status;
    want.language = language == 0 ? LANGUAGE_ZH : LANGUAGE_EN;
    weeks_set(&want);
    tables_make(&want);
    return run_all(&want, json, err);
}
