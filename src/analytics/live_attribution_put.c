/* live_attribution_put.c - the models over the journeys found, and the answer's members.
 *
 * Values with a row of their own are the `top` ones by touches of converting journeys; all others
 * are one channel "(other)" before the models run, so that no model sees a million channels. Rows
 * stand by the first model's conversions. CAC divides by new customers only: the same model shares
 * out the conversions that were a first one. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "analytics/live_attribution_int.h"

#define PATHS_SHOWN 10
#define LENGTHS_SHOWN 10

struct channel {
    uint32_t value; /* TIMELINE_NONE: the rest */
    uint64_t touches, assisted, people, assisted_people;
    double spend; /* NAN without */
};

struct answer {
    struct live_ask *ask;
    const struct attribution_ask *want;
    struct attribution_found *found;
    struct attribution_paths paths;
    struct channel *channels;
    uint32_t channels_count, *channel_of; /* by value */
    size_t others;
    double *arrivals; /* per path */
    struct attribution_rules rules;
    struct attribution_credit credits[ATTRIBUTION_MODELS], arrived[ATTRIBUTION_MODELS];
    struct attribution_order orders[ATTRIBUTION_ORDER_MAX];
    unsigned orders_count;
    uint64_t nulls;
    double spend, spend_unknown;
    size_t spend_unknown_rows;
};

static struct str channel_name(const struct answer *answer, uint32_t c)
{
    uint32_t value = answer->channels[c].value;
    return value == TIMELINE_NONE ? STR("(other)")
                                  : live_attribution_value(answer->ask, answer->want, value);
}

/* --- channels --------------------------------------------------------------------------------- */

struct ranked {
    uint32_t value;
    uint64_t touches;
};

static int by_touches(const void *a, const void *b)
{
    const struct ranked *x = a, *y = b;
    if (x->touches != y->touches)
        return x->touches > y->touches ? -1 : 1;
    return (x->value > y->value) - (x->value < y->value);
}

/* Every value that some journey has. Converting touches weigh more than any number of the others.
 */
static size_t values_rank(const struct answer *answer, struct ranked *ranked)
{
    const struct live_journeys *journeys = &answer->found->journeys;
    size_t kept = 0;
    for (uint32_t v = 0; v < answer->want->values; v++)
        ranked[v] = (struct ranked){v, 0};
    for (size_t j = 0; j < journeys->count; j++) {
        const struct live_journey *journey = &journeys->list[j];
        for (uint32_t i = 0; i < journey->length; i++)
            ranked[journeys->touches[journey->start + i]].touches +=
                (journey->conversions << 24) + journey->nulls;
    }
    for (uint32_t v = 0; v < answer->want->values; v++)
        if (ranked[v].touches > 0)
            ranked[kept++] = ranked[v];
    qsort(ranked, kept, sizeof *ranked, by_touches);
    return kept;
}

static void channel_add(struct channel *channel, const struct attribution_value *value)
{
    channel->touches += value->touches;
    channel->assisted += value->assisted;
    channel->people += value->people;
    channel->assisted_people += value->assisted_people;
}

static void channels_choose(struct answer *answer)
{
    uint32_t values = answer->want->values;
    struct ranked *ranked = mem_alloc(((size_t)values + 1) * sizeof *ranked);
    size_t used = values_rank(answer, ranked), top = answer->want->top;
    answer->channel_of = ARENA_ARRAY(answer->ask->arena, uint32_t, (size_t)values + 1);
    answer->channels = ARENA_ARRAY(answer->ask->arena, struct channel, top + 1);
    answer->others = used > top ? used - top : 0;
    answer->channels_count = (uint32_t)(used > top ? top + 1 : used);
    for (uint32_t c = 0; c < answer->channels_count; c++)
        answer->channels[c] =
            (struct channel){.value = c < top ? ranked[c].value : TIMELINE_NONE, .spend = NAN};
    for (size_t i = 0; i < used; i++) {
        uint32_t c = (uint32_t)(i < top ? i : top);
        answer->channel_of[ranked[i].value] = c;
        channel_add(&answer->channels[c], &answer->found->values[ranked[i].value]);
    }
    free(ranked);
}

static void paths_make(struct answer *answer)
{
    struct arena *arena = answer->ask->arena;
    const struct live_journeys *journeys = &answer->found->journeys;
    size_t count = journeys->count, n = 0;
    uint32_t *touches = ARENA_ARRAY(arena, uint32_t, journeys->touches_count + 1);
    uint64_t *starts = ARENA_ARRAY(arena, uint64_t, count + 1);
    double *sums = ARENA_ARRAY(arena, double, count * 4 + 1);
    for (size_t j = 0; j < count; j++) {
        const struct live_journey *journey = &journeys->list[j];
        for (uint32_t i = 0; i < journey->length; i++)
            touches[n++] = answer->channel_of[journeys->touches[journey->start + i]];
        starts[j + 1] = n;
        sums[j] = (double)journey->conversions;
        /* Refunds may make a journey worth less than nothing, which no model can share out. */
        sums[count + j] = fmax(0, (double)journey->micros / 1e6);
        sums[2 * count + j] = (double)journey->nulls;
        sums[3 * count + j] = (double)journey->arrivals;
        answer->nulls += journey->nulls;
    }
    answer->arrivals = sums + 3 * count;
    answer->paths = (struct attribution_paths){.touches = touches,
                                               .starts = starts,
                                               .conversions = sums,
                                               .values = sums + count,
                                               .nulls = sums + 2 * count,
                                               .paths_count = count,
                                               .channels_count = answer->channels_count};
}

static void direct_find(struct answer *answer)
{
    static const char *const names[] = {"(none)",        "direct",  "(direct)", "(direct) / (none)",
                                        "direct / none", "直接访问"};
    bool *direct = ARENA_ARRAY(answer->ask->arena, bool, answer->channels_count + 1);
    for (uint32_t c = 0; c < answer->channels_count; c++)
        for (size_t i = 0; i < sizeof names / sizeof *names; i++)
            direct[c] = direct[c] || str_eq_nocase(channel_name(answer, c), str_of(names[i]));
    answer->rules.direct = direct;
}

static void costs_match(struct answer *answer)
{
    for (size_t i = 0; i < answer->want->costs_count; i++) {
        const struct live_cost *cost = &answer->want->costs[i];
        uint32_t c = 0;
        answer->spend += cost->spend;
        while (c < answer->channels_count && !str_eq(channel_name(answer, c), cost->name))
            c++;
        if (c == answer->channels_count) {
            answer->spend_unknown_rows++;
            answer->spend_unknown += cost->spend;
        } else {
            double before = answer->channels[c].spend;
            answer->channels[c].spend = (isnan(before) ? 0 : before) + cost->spend;
        }
    }
}

/* --- models ----------------------------------------------------------------------------------- */

/* Shared out in the pass, for it needs every touch's age; new customers by the same parts of
 * conversions that they would get without ages. */
static struct attribution_credit decay_credit(struct answer *answer)
{
    size_t n = (size_t)answer->channels_count + 1;
    struct attribution_credit credit = {.conversions = ARENA_ARRAY(answer->ask->arena, double, n),
                                        .values = ARENA_ARRAY(answer->ask->arena, double, n)};
    for (uint32_t v = 0; v < answer->want->values; v++) {
        const struct attribution_value *value = &answer->found->values[v];
        if (value->touches == 0)
            continue;
        credit.conversions[answer->channel_of[v]] +=
            (double)value->decay_conversions / LIVE_DECAY_UNIT;
        credit.values[answer->channel_of[v]] += (double)value->decay_micros / 1e6;
    }
    return credit;
}

static bool has_markov(const struct answer *answer, size_t *ret_at)
{
    for (size_t m = 0; m < answer->want->models_count; m++)
        if (answer->want->models[m] == ATTRIBUTION_MARKOV) {
            *ret_at = m;
            return true;
        }
    return false;
}

static enum status models_run(struct answer *answer, struct err *err)
{
    size_t markov;
    enum status status = ST_OK;
    struct arena *arena = answer->ask->arena;
    struct attribution_paths arrivals = answer->paths;
    arrivals.values = answer->arrivals;
    if (answer->want->order_auto && has_markov(answer, &markov) && answer->paths.paths_count > 0)
        status = attribution_choose_order(&answer->paths, 10, answer->orders, &answer->orders_count,
                                          &answer->rules.order, err);
    for (size_t m = 0; status == ST_OK && m < answer->want->models_count; m++) {
        enum attribution_model model = answer->want->models[m];
        if (model == ATTRIBUTION_DECAY)
            answer->credits[m] = decay_credit(answer);
        else
            status = attribution_run(&answer->paths, model, &answer->rules, arena,
                                     &answer->credits[m], err);
        if (status == ST_OK && answer->want->costs_count > 0)
            status =
                attribution_run(&arrivals, model, &answer->rules, arena, &answer->arrived[m], err);
    }
    return status;
}

/* --- rows ------------------------------------------------------------------------------------- */

static int by_credit(const void *a, const void *b, void *context)
{
    const struct answer *answer = context;
    uint32_t i = *(const uint32_t *)a, j = *(const uint32_t *)b;
    double x = answer->credits[0].conversions[i], y = answer->credits[0].conversions[j];
    if (x != y)
        return x > y ? -1 : 1;
    return (i > j) - (i < j);
}

static void model_field(enum attribution_model model, const char *what, char ret_name[64])
{
    snprintf(ret_name, 64, "%s%s", attribution_model_name(model), what);
    for (char *p = ret_name; *p != '\0'; p++)
        *p = *p == '-' ? '_' : *p;
}

static void put_credit(struct buf *json, const struct answer *answer, size_t m, uint32_t c)
{
    char name[64];
    const struct attribution_credit *credit = &answer->credits[m], *first = &answer->credits[0];
    enum attribution_model model = answer->want->models[m];
    model_field(model, "_conversions", name);
    json_put_member_number(json, name, credit->conversions[c]);
    model_field(model, "_value", name);
    json_put_member_number(json, name, credit->values[c]);
    if (m == 0)
        return;
    model_field(model, "_difference", name);
    json_put_member_number(json, name, credit->conversions[c] - first->conversions[c]);
    model_field(model, "_value_difference", name);
    json_put_member_number(json, name, credit->values[c] - first->values[c]);
}

static double share(double part, double whole)
{
    return whole > 0 ? part / whole : NAN;
}

static void put_row(struct buf *json, const struct answer *answer, uint32_t c)
{
    const struct channel *channel = &answer->channels[c];
    size_t markov;
    bool other = channel->value == TIMELINE_NONE;
    struct str name = channel_name(answer, c);
    json_put_comma(json);
    buf_char(json, '{');
    json_put_member_str(json, answer->want->by_word, name);
    if (answer->want->models_count == 1) {
        json_put_member_number(json, "conversions", answer->credits[0].conversions[c]);
        json_put_member_number(json, "value", answer->credits[0].values[c]);
        json_put_member_number(
            json, "share",
            share(answer->credits[0].conversions[c], (double)answer->found->with_touch));
    }
    for (size_t m = 0; answer->want->models_count > 1 && m < answer->want->models_count; m++)
        put_credit(json, answer, m, c);
    if (has_markov(answer, &markov))
        json_put_member_number(json, "removal_effect",
                               answer->credits[markov].removal_conversions[c]);
    json_put_member_uint(json, "touches", channel->touches);
    json_put_member_uint(json, "assisted_conversions", channel->assisted);
    if (other) { /* one person may have come through several of them */
        json_put_member_bool(json, "other", true);
        json_put_member_uint(json, "other_values", answer->others);
    } else {
        struct buf text;
        buf_init(&text, (size_t)1 << 16);
        json_put_str(&text, name);
        json_put_member_uint(json, "people", channel->people);
        json_put_member_uint(json, "assisted_people", channel->assisted_people);
        live_put_cell(answer->ask, json, "{\"what\":\"converted\",\"value\":%.*s}",
                      STR_ARG(buf_view(&text)));
        buf_done(&text);
    }
    buf_char(json, '}');
}

/* The people of an assist, beside the row's own cell. */
static void put_assists(struct buf *json, const struct answer *answer, const uint32_t *sorted)
{
    struct buf text;
    buf_init(&text, (size_t)1 << 16);
    json_put_name(json, "assists");
    buf_char(json, '[');
    for (uint32_t i = 0; i < answer->channels_count; i++) {
        const struct channel *channel = &answer->channels[sorted[i]];
        if (channel->assisted == 0 || channel->value == TIMELINE_NONE)
            continue;
        buf_reset(&text);
        json_put_str(&text, channel_name(answer, sorted[i]));
        json_put_comma(json);
        buf_char(json, '{');
        json_put_member_str(json, answer->want->by_word, channel_name(answer, sorted[i]));
        json_put_member_uint(json, "assisted_conversions", channel->assisted);
        json_put_member_number(json, "assist_rate",
                               share((double)channel->assisted, (double)answer->found->with_touch));
        json_put_member_uint(json, "assisted_people", channel->assisted_people);
        live_put_cell(answer->ask, json, "{\"what\":\"assisted\",\"value\":%.*s}",
                      STR_ARG(buf_view(&text)));
        buf_char(json, '}');
    }
    buf_char(json, ']');
    buf_done(&text);
}

/* --- costs ------------------------------------------------------------------------------------ */

static void put_ratios(struct buf *json, double spend, double conversions, double arrivals,
                       double value)
{
    json_put_member_number(json, "spend", spend);
    json_put_member_number(json, "cpa", share(spend, conversions));
    json_put_member_number(json, "cac", share(spend, arrivals));
    json_put_member_number(json, "roas", share(value, spend));
    json_put_member_number(json, "roi", share(value - spend, spend));
}

static void put_costs(struct buf *json, const struct answer *answer, const uint32_t *sorted)
{
    char name[64];
    if (answer->want->costs_count == 0)
        return;
    put_ratios(json, answer->spend, (double)answer->found->conversions,
               (double)answer->found->arrivals, (double)answer->found->micros / 1e6);
    json_put_member_str(json, "cac_counts", STR("new_customers"));
    json_put_name(json, "costs");
    buf_char(json, '[');
    for (size_t m = 0; m < answer->want->models_count; m++)
        for (uint32_t i = 0; i < answer->channels_count; i++) {
            uint32_t c = sorted[i];
            if (isnan(answer->channels[c].spend))
                continue;
            model_field(answer->want->models[m], "", name);
            json_put_comma(json);
            buf_char(json, '{');
            json_put_member_str(json, "model", str_of(name));
            json_put_member_str(json, answer->want->by_word, channel_name(answer, c));
            put_ratios(json, answer->channels[c].spend, answer->credits[m].conversions[c],
                       answer->arrived[m].values[c], answer->credits[m].values[c]);
            buf_char(json, '}');
        }
    buf_char(json, ']');
}

/* --- times, paths ----------------------------------------------------------------------------- */

static int by_size(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static void put_delays(struct buf *json, struct attribution_found *found)
{
    static const struct {
        const char *name;
        uint32_t below_s;
    } classes[LIVE_DELAYS] = {{"within_1_hour", 3600},     {"within_1_day", 86400},
                              {"within_3_days", 259200},   {"within_7_days", 604800},
                              {"within_14_days", 1209600}, {"within_30_days", 2592000},
                              {"later", UINT32_MAX}};
    uint64_t counts[LIVE_DELAYS] = {0};
    double sum = 0;
    size_t n = found->delays_count;
    if (n > 0)
        qsort(found->delays, n, sizeof *found->delays, by_size);
    for (size_t i = 0, k = 0; i < n; i++) {
        sum += found->delays[i];
        while (k + 1 < LIVE_DELAYS && found->delays[i] >= classes[k].below_s)
            k++;
        counts[k]++;
    }
    json_put_member_number(json, "time_to_convert_mean_days", share(sum / 86400, (double)n));
    json_put_member_number(
        json, "time_to_convert_median_days",
        n == 0 ? NAN : ((double)found->delays[(n - 1) / 2] + found->delays[n / 2]) / 2 / 86400);
    json_put_name(json, "time_to_convert");
    buf_char(json, '[');
    for (int k = 0; k < LIVE_DELAYS; k++) {
        if (counts[k] == 0)
            continue;
        json_put_comma(json);
        buf_char(json, '{');
        json_put_member_str(json, "delay", str_of(classes[k].name));
        json_put_member_uint(json, "conversions", counts[k]);
        json_put_member_number(json, "share", share((double)counts[k], (double)n));
        buf_char(json, '}');
    }
    buf_char(json, ']');
}

static void put_lengths(struct buf *json, const struct attribution_found *found)
{
    uint64_t counts[LENGTHS_SHOWN + 1] = {0};
    for (size_t j = 0; j < found->journeys.count; j++) {
        uint32_t length = found->journeys.list[j].length;
        counts[length < LENGTHS_SHOWN ? length : LENGTHS_SHOWN] +=
            found->journeys.list[j].conversions;
    }
    json_put_name(json, "path_lengths");
    buf_char(json, '[');
    for (uint32_t n = 1; n <= LENGTHS_SHOWN; n++) {
        if (counts[n] == 0)
            continue;
        json_put_comma(json);
        buf_char(json, '{');
        json_put_member_uint(json, "path_length", n);
        json_put_member_bool(json, "and_more", n == LENGTHS_SHOWN);
        json_put_member_uint(json, "conversions", counts[n]);
        json_put_member_number(json, "share", share((double)counts[n], (double)found->with_touch));
        buf_char(json, '}');
    }
    buf_char(json, ']');
}

static bool comes_first(const struct live_journey *a, const struct live_journey *b)
{
    if (a->conversions != b->conversions)
        return a->conversions > b->conversions;
    return a->micros > b->micros;
}

static void put_path(struct buf *json, const struct answer *answer,
                     const struct live_journey *journey)
{
    struct buf text;
    buf_init(&text, (size_t)1 << 16);
    for (uint32_t i = 0; i < journey->length; i++) {
        uint32_t value = answer->found->journeys.touches[journey->start + i];
        buf_text(&text, i == 0 ? "" : " > ");
        buf_str(&text, channel_name(answer, answer->channel_of[value]));
    }
    json_put_comma(json);
    buf_char(json, '{');
    json_put_name(json, "path");
    json_put_lossy(json, buf_view(&text));
    json_put_member_uint(json, "conversions", journey->conversions);
    json_put_member_number(json, "value", (double)journey->micros / 1e6);
    json_put_member_number(
        json, "conversion_rate",
        share((double)journey->conversions, (double)(journey->conversions + journey->nulls)));
    buf_char(json, '}');
    buf_done(&text);
}

static void put_paths(struct buf *json, const struct answer *answer)
{
    const struct live_journeys *journeys = &answer->found->journeys;
    const struct live_journey *best[PATHS_SHOWN];
    size_t count = 0;
    for (size_t j = 0; j < journeys->count; j++) {
        const struct live_journey *journey = &journeys->list[j];
        if (journey->conversions == 0 ||
            (count == PATHS_SHOWN && !comes_first(journey, best[count - 1])))
            continue;
        size_t at = count < PATHS_SHOWN ? count++ : count - 1;
        for (; at > 0 && comes_first(journey, best[at - 1]); at--)
            best[at] = best[at - 1];
        best[at] = journey;
    }
    json_put_name(json, "paths_top");
    buf_char(json, '[');
    for (size_t i = 0; i < count; i++)
        put_path(json, answer, best[i]);
    buf_char(json, ']');
}

static void put_kinds(struct buf *json, const struct answer *answer)
{
    uint64_t sum = 0;
    for (int k = 0; k < LIVE_TOUCHES; k++)
        sum += answer->found->kinds[k];
    json_put_name(json, "touch_types");
    buf_char(json, '[');
    for (int k = 0; k < LIVE_TOUCHES; k++) {
        json_put_comma(json);
        buf_char(json, '{');
        json_put_member_str(json, "kind", str_of(live_touch_name((enum live_touch)k)));
        json_put_member_uint(json, "touches", answer->found->kinds[k]);
        json_put_member_number(json, "share", share((double)answer->found->kinds[k], (double)sum));
        json_put_member_number(json, "lookback_days",
                               (double)answer->want->touches.lookback_s[k] / 86400);
        buf_char(json, '}');
    }
    buf_char(json, ']');
}

/* --- the answer ------------------------------------------------------------------------------- */

static void put_totals(struct buf *json, const struct answer *answer)
{
    const struct attribution_found *found = answer->found;
    json_put_member_str(json, "conversion_event", answer->want->conversion.name);
    json_put_member_str(json, "by", str_of(answer->want->by_word));
    json_put_member_uint(json, "converted_people", found->converted_people);
    live_put_cell(answer->ask, json, "{\"what\":\"converted\"}");
    json_put_member_uint(json, "conversions", found->conversions);
    json_put_member_number(json, "value", (double)found->micros / 1e6);
    json_put_member_uint(json, "conversions_with_touch", found->with_touch);
    json_put_member_number(json, "value_with_touch", (double)found->micros_touched / 1e6);
    json_put_member_uint(json, "new_customers", found->arrivals);
    json_put_member_uint(json, "nulls", answer->nulls);
    json_put_member_number(
        json, "conversion_rate",
        share((double)found->with_touch, (double)(found->with_touch + answer->nulls)));
    json_put_member_uint(json, "cross_channel_conversions", found->cross_channel);
    json_put_member_number(json, "cross_channel_rate",
                           share((double)found->cross_channel, (double)found->with_touch));
    json_put_member_uint(json, "distinct_paths", found->journeys.count);
    json_put_name(json, "models");
    buf_char(json, '[');
    for (size_t m = 0; m < answer->want->models_count; m++) {
        char name[64];
        model_field(answer->want->models[m], "", name);
        json_put_comma(json);
        json_put_str(json, str_of(name));
    }
    buf_char(json, ']');
}

static void put_chain(struct buf *json, const struct answer *answer)
{
    size_t markov;
    if (!has_markov(answer, &markov))
        return;
    json_put_member_uint(json, "order", answer->rules.order);
    json_put_member_uint(json, "states", answer->credits[markov].states);
    json_put_member_uint(json, "transitions", answer->credits[markov].transitions);
    json_put_member_number(json, "error_max", answer->credits[markov].error_max);
    if (answer->orders_count == 0)
        return;
    json_put_name(json, "order_choice");
    buf_char(json, '[');
    for (unsigned i = 0; i < answer->orders_count; i++) {
        json_put_comma(json);
        buf_char(json, '{');
        json_put_member_uint(json, "order", i + 1);
        json_put_member_number(json, "auc", answer->orders[i].auc);
        json_put_member_number(json, "penalized_auc", answer->orders[i].penalized);
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

static void put_left_out(struct buf *json, const struct answer *answer)
{
    const struct attribution_found *found = answer->found;
    json_put_name(json, "left_out");
    buf_char(json, '[');
    put_left(json, "no_touch", "conversions", found->conversions - found->with_touch);
    put_left(json, "no_value", "conversions", found->without_amount);
    put_left(json, "older_touches_of_long_journeys", "touches", found->older_touches);
    put_left(json, "spend_of_unknown_channel", "rows", answer->spend_unknown_rows);
    buf_char(json, ']');
}

enum status live_attribution_put(struct live_ask *ask, const struct attribution_ask *want,
                                 struct attribution_found *found, struct buf *json, struct err *err)
{
    struct answer answer = {.ask = ask, .want = want, .found = found, .rules = want->rules};
    channels_choose(&answer);
    paths_make(&answer);
    direct_find(&answer);
    costs_match(&answer);
    enum status status = models_run(&answer, err);
    if (status != ST_OK)
        return status;
    uint32_t *sorted = ARENA_ARRAY(ask->arena, uint32_t, answer.channels_count + 1);
    for (uint32_t c = 0; c < answer.channels_count; c++)
        sorted[c] = c;
    qsort_r(sorted, answer.channels_count, sizeof *sorted, by_credit, &answer);
    put_totals(json, &answer);
    if (want->models_count == 1)
        json_put_member_str(json, "bars", STR("share"));
    put_chain(json, &answer);
    json_put_name(json, "rows");
    buf_char(json, '[');
    for (uint32_t i = 0; i < answer.channels_count; i++)
        put_row(json, &answer, sorted[i]);
    buf_char(json, ']');
    put_assists(json, &answer, sorted);
    put_costs(json, &answer, sorted);
    put_delays(json, found);
    put_kinds(json, &answer);
    put_lengths(json, found);
    put_paths(json, &answer);
    put_left_out(json, &answer);
    return ST_OK;
}
