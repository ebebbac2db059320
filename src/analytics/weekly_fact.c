/* weekly_fact.c - what is usual, what is more than noise, and which parts make up a change.
 *
 * Usual is the median of the weeks before, its noise 1.4826 MAD (the standard deviation of a normal
 * distribution with that MAD), but no less than counting alone makes: the root of a count, the
 * value of as many orders, the binomial of a rate. A change is news when it is 3 of these and 5 %
 * of the usual.
 *
 * Parts must add up to the change, and medians do not add. So a part's usual is its share of all
 * the weeks before, of the usual whole. The decompositions: channel, campaign, new or returning:
 * value minus usual of the part. conversion by channel: with shares s of the visitors and rates r,
 * before (0) and now (1), the midpoint form: mix (s1-s0)((r0+r1)/2 - (R0+R1)/2), rate (s0+s1)/2
 * (r1-r0). The centring by the whole's rate R sums to 0, so that more visitors in a channel of
 * average rate are no effect. revenue by step: revenue = people × share that reaches each step ×
 * orders per buyer × revenue per order, by logarithmic means (LMDI, Ang 2004): L(R1,R0) ln(f1/f0),
 * exact without a rest. A factor that fell to 0 takes the whole loss. A step that more people have
 * than the one before is left out of the chain. */
#include <math.h>
#include <stdlib.h>

#include "analytics/weekly_int.h"

#define MAD_TO_SD 1.4826
#define VANISHED 1e-12 /* of its usual: a factor that fell to 0 */

const char *weekly_metric_name(enum weekly_metric metric)
{
    static const char *const names[] = {"people", "new_people", "orders", "revenue", "conversion"};
    return names[metric];
}

const char *weekly_by_name(enum weekly_by by)
{
    static const char *const names[] = {"channel", "campaign", "customer", "step"};
    return names[by];
}

double weekly_value(const struct weekly_sum *sum, enum weekly_metric metric)
{
    switch (metric) {
    case WEEKLY_PEOPLE:
        return (double)sum->people;
    case WEEKLY_NEW_PEOPLE:
        return (double)sum->new_people;
    case WEEKLY_ORDERS:
        return (double)sum->orders;
    case WEEKLY_REVENUE:
        return (double)sum->micros / 1e6;
    case WEEKLY_CONVERSION:
        return sum->people > 0 ? (double)sum->buyers / (double)sum->people : 0;
    case WEEKLY_METRICS:
        break;
    }
    return 0;
}

struct facts {
    const struct weekly_ask *want;
    const struct weekly_sums *sums;
    struct weekly_facts *out;
    size_t first; /* week of the history */
};

/* --- usual ------------------------------------------------------------------------------------ */

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *values, size_t n)
{
    qsort(values, n, sizeof *values, by_size);
    return (values[(n - 1) / 2] + values[n / 2]) / 2;
}

/* What counting alone makes. */
static double noise_least(const struct facts *facts, enum weekly_metric metric, double usual)
{
    double people = facts->out->figures[WEEKLY_PEOPLE].usual;
    double orders = facts->out->figures[WEEKLY_ORDERS].usual;
    if (metric == WEEKLY_CONVERSION)
        return people > 0 ? sqrt(usual * (1 - usual) / people) : 0;
    if (metric == WEEKLY_REVENUE)
        return orders > 0 ? fabs(usual) / sqrt(orders) : 0;
    return sqrt(usual);
}

static void figure_judge(const struct facts *facts, enum weekly_metric metric)
{
    struct weekly_figure *figure = &facts->out->figures[metric];
    double values[WEEKLY_BEFORE], n = (double)facts->out->weeks;
    for (size_t w = facts->first; w < WEEKLY_BEFORE; w++)
        values[w - facts->first] = weekly_value(&facts->sums->total[w], metric);
    figure->usual = median(values, facts->out->weeks);
    for (size_t i = 0; i < facts->out->weeks; i++)
        values[i] = fabs(values[i] - figure->usual);
    figure->mad = median(values, (size_t)n);
    double noise = fmax(MAD_TO_SD * figure->mad, noise_least(facts, metric, figure->usual));
    figure->low = fmax(0, figure->usual - WEEKLY_NOISE * noise);
    figure->high = figure->usual + WEEKLY_NOISE * noise;
    if (metric == WEEKLY_CONVERSION)
        figure->high = fmin(1, figure->high);
    figure->change = figure->value - figure->usual;
    figure->change_share = figure->usual != 0 ? figure->change / figure->usual : NAN;
    figure->score = noise > 0 ? figure->change / noise : NAN;
    bool far = noise > 0 ? fabs(figure->score) >= WEEKLY_NOISE : figure->change != 0;
    figure->beyond_noise =
        far && (figure->usual == 0 || fabs(figure->change_share) >= WEEKLY_SHARE);
}

/* --- parts ------------------------------------------------------------------------------------ */

static int by_contribution(const void *a, const void *b)
{
    const struct weekly_part *p = a, *q = b;
    double x = fabs(p->contribution), y = fabs(q->contribution);
    if (p->other != q->other)
        return p->other ? 1 : -1;
    if (x != y)
        return x > y ? -1 : 1;
    return str_compare(p->name, q->name);
}

/* Sorted; what is beyond WEEKLY_PARTS_MAX becomes one. */
static void parts_set(const struct facts *facts, enum weekly_metric metric, enum weekly_by by,
                      struct weekly_part *parts, size_t count)
{
    struct weekly_figure *figure = &facts->out->figures[metric];
    if (count > 0)
        qsort(parts, count, sizeof *parts, by_contribution);
    if (count > WEEKLY_PARTS_MAX) {
        struct weekly_part *rest = &parts[WEEKLY_PARTS_MAX];
        rest->other = true;
        for (size_t i = WEEKLY_PARTS_MAX + 1; i < count; i++) {
            rest->value += parts[i].value;
            rest->usual += parts[i].usual;
            rest->contribution += parts[i].contribution;
            rest->mix += parts[i].mix;
            rest->rate += parts[i].rate;
        }
        count = WEEKLY_PARTS_MAX + 1;
    }
    figure->parts[by] = parts;
    figure->parts_count[by] = count;
}

static double sum_before(const struct facts *facts, const struct weekly_sum *weeks,
                         enum weekly_metric metric)
{
    double sum = 0;
    for (size_t w = facts->first; w < WEEKLY_BEFORE; w++)
        sum += weekly_value(&weeks[w], metric);
    return sum;
}

static struct str part_name(const struct facts *facts, enum weekly_by by, size_t code)
{
    const struct timeline_view *view = facts->want->ask->view;
    if (by == WEEKLY_CHANNEL)
        return timeline_channel(view, (uint32_t)code);
    if (by == WEEKLY_CAMPAIGN)
        return timeline_campaign(view, (uint32_t)code);
    return code == 1 ? STR("new_customers") : STR("returning_customers");
}

/* `all` has the weeks of each part, one part after the other. */
static void parts_add(const struct facts *facts, enum weekly_metric metric, enum weekly_by by,
                      const struct weekly_sum *all, size_t codes)
{
    const struct weekly_figure *figure = &facts->out->figures[metric];
    struct weekly_part *parts = ARENA_ARRAY(facts->want->ask->arena, struct weekly_part, codes + 1);
    double whole = sum_before(facts, facts->sums->total, metric);
    size_t count = 0;
    for (size_t code = 0; code < codes; code++) {
        const struct weekly_sum *weeks = all + code * WEEKLY_WEEKS;
        double value = weekly_value(&weeks[WEEKLY_BEFORE], metric);
        double before = sum_before(facts, weeks, metric);
        if (value == 0 && before == 0)
            continue;
        struct str name = part_name(facts, by, code);
        double usual = whole != 0 ? before / whole * figure->usual : 0;
        parts[count++] = (struct weekly_part){.name = name,
                                              .none = name.n == 0,
                                              .value = value,
                                              .usual = usual,
                                              .contribution = value - usual};
    }
    parts_set(facts, metric, by, parts, count);
}

/* --- mix and rate ----------------------------------------------------------------------------- */

static void conversion_parts(const struct facts *facts)
{
    const struct weekly_figure *figure = &facts->out->figures[WEEKLY_CONVERSION];
    const struct weekly_sum *now = &facts->sums->total[WEEKLY_BEFORE];
    size_t channels = facts->want->ask->view->channels, count = 0;
    struct weekly_part *parts =
        ARENA_ARRAY(facts->want->ask->arena, struct weekly_part, channels + 1);
    double people = sum_before(facts, facts->sums->total, WEEKLY_PEOPLE), buyers = 0;
    for (size_t w = facts->first; w < WEEKLY_BEFORE; w++)
        buyers += (double)facts->sums->total[w].buyers;
    if (people == 0 || buyers == 0 || now->people == 0)
        return;
    double scale = figure->usual / (buyers / people);
    double middle = (figure->usual + figure->value) / 2;
    for (size_t c = 0; c < channels; c++) {
        const struct weekly_sum *weeks = facts->sums->channels + c * WEEKLY_WEEKS;
        double before = sum_before(facts, weeks, WEEKLY_PEOPLE), bought = 0;
        double here = (double)weeks[WEEKLY_BEFORE].people;
        for (size_t w = facts->first; w < WEEKLY_BEFORE; w++)
            bought += (double)weeks[w].buyers;
        if (before == 0 && here == 0)
            continue;
        double s0 = before / people, s1 = here / (double)now->people;
        double r0 = before > 0 ? bought / before * scale : 0;
        double r1 = here > 0 ? (double)weeks[WEEKLY_BEFORE].buyers / here : r0;
        r0 = before > 0 ? r0 : r1;
        struct str name = timeline_channel(facts->want->ask->view, (uint32_t)c);
        struct weekly_part part = {.name = name, .none = name.n == 0, .value = r1, .usual = r0};
        part.mix = (s1 - s0) * ((r0 + r1) / 2 - middle);
        part.rate = (s0 + s1) / 2 * (r1 - r0);
        part.contribution = part.mix + part.rate;
        parts[count++] = part;
    }
    parts_set(facts, WEEKLY_CONVERSION, WEEKLY_CHANNEL, parts, count);
}

/* --- the chain of steps ----------------------------------------------------------------------- */

struct chain {
    struct weekly_part parts[WEEKLY_STEPS_MAX + 4];
    size_t count;
    bool possible;
};

static void factor_add(struct chain *chain, struct str name, double now, double now_of,
                       double before, double before_of)
{
    double usual = before_of > 0 ? before / before_of : 0;
    double value = now_of > 0 ? now / now_of : usual; /* of nobody: nothing changed here */
    chain->possible = chain->possible && usual > 0 && value >= 0;
    chain->parts[chain->count++] =
        (struct weekly_part){.name = name, .value = value, .usual = usual};
}

static double log_mean(double a, double b)
{
    return fabs(a - b) <= 1e-9 * fabs(b) ? (a + b) / 2 : (a - b) / log(a / b);
}

static void chain_make(const struct facts *facts, struct chain *chain)
{
    const struct weekly_sums *sums = facts->sums;
    const struct weekly_sum *now = &sums->total[WEEKLY_BEFORE];
    struct weekly_sum before = {0};
    for (size_t w = facts->first; w < WEEKLY_BEFORE; w++) {
        before.people += sums->total[w].people;
        before.buyers += sums->total[w].buyers;
        before.orders += sums->total[w].orders;
        before.micros += sums->total[w].micros;
    }
    /* How many people make the usual revenue, at the rates of the weeks before. */
    double scale = (double)before.micros / 1e6 > 0
                       ? facts->out->figures[WEEKLY_REVENUE].usual / ((double)before.micros / 1e6)
                       : 0;
    double now_last = (double)now->people, before_last = (double)before.people;
    factor_add(chain, STR("people"), now_last, 1, before_last * scale, 1);
    for (size_t s = 0; s < facts->want->steps_count; s++) {
        double have = (double)sums->steps[s][WEEKLY_BEFORE], had = 0;
        for (size_t w = facts->first; w < WEEKLY_BEFORE; w++)
            had += (double)sums->steps[s][w];
        if (have > now_last || had > before_last || had == 0 || had < (double)before.buyers)
            continue;
        factor_add(chain, facts->want->steps[s].name, have, now_last, had, before_last);
        now_last = have;
        before_last = had;
    }
    factor_add(chain, facts->want->order.name, (double)now->buyers, now_last, (double)before.buyers,
               before_last);
    factor_add(chain, STR("orders_per_buyer"), (double)now->orders, (double)now->buyers,
               (double)before.orders, (double)before.buyers);
    factor_add(chain, STR("revenue_per_order"), (double)now->micros / 1e6, (double)now->orders,
               (double)before.micros / 1e6, (double)before.orders);
}

static void revenue_steps(const struct facts *facts)
{
    struct chain chain = {.possible = true};
    double r0 = 1, r1 = 1;
    chain_make(facts, &chain);
    if (!chain.possible)
        return;
    struct weekly_part *parts =
        ARENA_ARRAY(facts->want->ask->arena, struct weekly_part, chain.count);
    for (size_t i = 0; i < chain.count; i++) {
        parts[i] = chain.parts[i];
        r0 *= parts[i].usual;
        r1 *= fmax(parts[i].value, parts[i].usual * VANISHED);
    }
    double mean = log_mean(r1, r0);
    for (size_t i = 0; i < chain.count; i++)
        parts[i].contribution =
            mean * log(fmax(parts[i].value, parts[i].usual * VANISHED) / parts[i].usual);
    parts_set(facts, WEEKLY_REVENUE, WEEKLY_STEP, parts, chain.count);
}

/* --- all of them ------------------------------------------------------------------------------ */

/* Weeks that were there from their first day on, and that the memory still holds whole. */
static size_t weeks_known(const struct weekly_ask *want, const struct weekly_sums *sums)
{
    int64_t from_us = want->ask->view->complete_from_us;
    size_t w = 0;
    while (w < WEEKLY_BEFORE && ((int64_t)sums->first_s >= (int64_t)want->borders[w] + 86400 ||
                                 (from_us != INT64_MIN && from_us > want->borders[w] * US_PER_S)))
        w++;
    return WEEKLY_BEFORE - w;
}

void weekly_facts_find(const struct weekly_ask *want, const struct weekly_sums *sums,
                       struct weekly_facts *ret_facts)
{
    struct facts facts = {.want = want, .sums = sums, .out = ret_facts};
    const struct timeline_view *view = want->ask->view;
    *ret_facts = (struct weekly_facts){.weeks = weeks_known(want, sums)};
    facts.first = WEEKLY_BEFORE - ret_facts->weeks;
    for (int m = 0; m < WEEKLY_METRICS; m++)
        ret_facts->figures[m].value =
            weekly_value(&sums->total[WEEKLY_BEFORE], (enum weekly_metric)m);
    if (ret_facts->weeks < WEEKLY_LEAST)
        return;
    for (int m = 0; m < WEEKLY_METRICS; m++)
        figure_judge(&facts, (enum weekly_metric)m);
    for (int m = 0; m < WEEKLY_CONVERSION; m++)
        parts_add(&facts, (enum weekly_metric)m, WEEKLY_CHANNEL, sums->channels, view->channels);
    conversion_parts(&facts);
    for (int m = WEEKLY_ORDERS; m <= WEEKLY_REVENUE; m++) {
        parts_add(&facts, (enum weekly_metric)m, WEEKLY_CAMPAIGN, sums->campaigns, view->campaigns);
        parts_add(&facts, (enum weekly_metric)m, WEEKLY_CUSTOMER,
                  (const struct weekly_sum *)sums->customer, 2);
    }
    revenue_steps(&facts);
}
