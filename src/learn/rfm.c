/* rfm.c - from orders to customers, from customers to scores, from scores to segments.
 *
 * The rules stand in rfm.h. A quantile is taken from sorted copies, so equal values stay equal and
 * the order of the input does not matter; sums add in the order of the file.
 *
 * Invariant, checked by rfm_test.c: every customer has exactly one score of each kind and exactly
 * one segment, so the segments' counts, orders and revenue add up to the whole. */
#include "learn/rfm.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"

#define BINS 5

/* --- orders ----------------------------------------------------------------------------------- */

static int by_number(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

/* Distinct pairs of customer and order. */
static void orders_count(const uint32_t *customers, const uint32_t *orders, size_t rows,
                         struct rfm_customer *ret_customers)
{
    uint64_t *pairs = mem_alloc((rows + 1) * sizeof *pairs);
    for (size_t i = 0; i < rows; i++)
        pairs[i] = (uint64_t)customers[i] << 32 | orders[i];
    qsort(pairs, rows, sizeof *pairs, by_number);
    for (size_t i = 0; i < rows; i++)
        if (i == 0 || pairs[i] != pairs[i - 1])
            ret_customers[pairs[i] >> 32].orders++;
    free(pairs);
}

void rfm_collect(const uint32_t *customers, const uint32_t *orders, const int64_t *days,
                 const double *amounts, size_t rows, int64_t analysis_day, size_t customers_count,
                 struct rfm_customer *ret_customers)
{
    for (size_t c = 0; c < customers_count; c++)
        ret_customers[c] = (struct rfm_customer){.recency_days = NAN, .segment = RFM_OTHERS};
    for (size_t i = 0; i < rows; i++) {
        struct rfm_customer *customer = &ret_customers[customers[i]];
        double recency = (double)(analysis_day - days[i]);
        if (!(customer->recency_days <= recency))
            customer->recency_days = recency;
        customer->revenue += amounts[i];
        customer->orders += orders == NULL;
    }
    if (orders != NULL)
        orders_count(customers, orders, rows, ret_customers);
}

/* --- scores ----------------------------------------------------------------------------------- */

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* The quantile of type 7 of sorted values. */
static double quantile(const double *sorted, size_t count, double p)
{
    double at = (double)(count - 1) * p, low = floor(at), part = at - low;
    size_t i = (size_t)low;
    if (part <= 0 || i + 1 >= count || !(sorted[i + 1] > sorted[i]))
        return sorted[i];
    return (1 - part) * sorted[i] + part * sorted[i + 1];
}

/* The three measures by number, so that each is cut by the same lines. */
enum measure { RECENCY, FREQUENCY, MONETARY, MEASURES };

static double value_of(const struct rfm_customer *customer, enum measure measure)
{
    switch (measure) {
    case RECENCY:
        return customer->recency_days;
    case FREQUENCY:
        return customer->orders;
    case MONETARY:
    case MEASURES:
        break;
    }
    return customer->revenue;
}

static void cuts_by_quantile(const struct rfm_customer *customers, size_t count,
                             enum measure measure, size_t bins, double step, double *ret_cuts)
{
    double *values = mem_alloc(count * sizeof *values);
    for (size_t i = 0; i < count; i++)
        values[i] = value_of(&customers[i], measure);
    qsort(values, count, sizeof *values, by_value);
    for (size_t i = 1; i < bins; i++)
        ret_cuts[i - 1] = quantile(values, count, (double)i / (double)bins) + step;
    free(values);
}

static uint32_t score(const double *cuts, size_t bins, double value)
{
    uint32_t below = 0;
    while (below < bins - 1 && cuts[below] <= value)
        below++;
    return below + 1;
}

static enum status check(const struct rfm_customer *customers, size_t count, size_t bins,
                         const double *const own[MEASURES], struct err *err)
{
    if (count == 0)
        return err_set(err, ST_INVALID, "could not score: there is no customer");
    if (bins < 2 || bins > RFM_BINS_MAX)
        return err_set(err, ST_INVALID, "could not score: bins is %zu, not 2 to %d", bins,
                       RFM_BINS_MAX);
    for (size_t m = 0; m < MEASURES; m++)
        for (size_t i = 0; own[m] != NULL && i + 1 < bins; i++)
            if (!isfinite(own[m][i]) || (i > 0 && own[m][i] <= own[m][i - 1]))
                return err_set(err, ST_INVALID, "could not score: own cuts must rise");
    for (size_t i = 0; i < count; i++)
        if (!isfinite(customers[i].recency_days) || !isfinite(customers[i].orders) ||
            !isfinite(customers[i].revenue))
            return err_set(err, ST_INVALID, "could not score: customer %zu has no finite values",
                           i + 1);
    return ST_OK;
}

/* --- segments --------------------------------------------------------------------------------- */

struct range {
    uint32_t from, to;
};

static const struct {
    const char *name;
    struct range recency, frequency, monetary;
} segments[] = {
#define X(id, name, r0, r1, f0, f1, m0, m1) {name, {r0, r1}, {f0, f1}, {m0, m1}},
#include "learn/rfm_segment.def"
#undef X
};

/* The fifth in which the middle of bin `score` lies; with five bins the score itself. */
static uint32_t fifth(uint32_t score, size_t bins)
{
    return (uint32_t)((2 * (size_t)score - 1) * BINS / (2 * bins)) + 1;
}

static bool in_range(struct range range, uint32_t v)
{
    return v >= range.from && v <= range.to;
}

static enum rfm_segment segment_of(const struct rfm_customer *customer, size_t bins)
{
    uint32_t r = fifth(customer->recency_score, bins), f = fifth(customer->frequency_score, bins);
    uint32_t m = fifth(customer->monetary_score, bins);
    size_t i = 0;
    while (i < RFM_OTHERS &&
           !(in_range(segments[i].recency, r) && in_range(segments[i].frequency, f) &&
             in_range(segments[i].monetary, m)))
        i++;
    return (enum rfm_segment)i;
}

const char *rfm_segment_name(enum rfm_segment segment)
{
    return segments[segment].name;
}

enum status rfm_score(struct rfm_customer *customers, size_t count,
                      const struct rfm_options *options, struct rfm_cuts *ret_cuts, struct err *err)
{
    size_t bins = options->bins == 0 ? BINS : options->bins;
    double step = options->step > 0 ? options->step : 1;
    const double *const own[MEASURES] = {options->recency_cuts, options->frequency_cuts,
                                         options->monetary_cuts};
    enum status status = check(customers, count, bins, own, err);
    if (status != ST_OK)
        return status;
    struct rfm_cuts cuts = {.bins = bins};
    double *const of[MEASURES] = {cuts.recency, cuts.frequency, cuts.monetary};
    for (size_t m = 0; m < MEASURES; m++) {
        if (own[m] != NULL)
            memcpy(of[m], own[m], (bins - 1) * sizeof(double));
        else
            cuts_by_quantile(customers, count, (enum measure)m, bins, step, of[m]);
    }
    for (size_t i = 0; i < count; i++) {
        struct rfm_customer *customer = &customers[i];
        customer->recency_score =
            (uint32_t)bins + 1 - score(cuts.recency, bins, customer->recency_days);
        customer->frequency_score = score(cuts.frequency, bins, customer->orders);
        customer->monetary_score = score(cuts.monetary, bins, customer->revenue);
        customer->segment = segment_of(customer, bins);
    }
    *ret_cuts = cuts;
    return ST_OK;
}

uint32_t rfm_code(const struct rfm_customer *customer, size_t bins)
{
    uint32_t base = bins <= 9 ? 10 : 100;
    return (customer->recency_score * base + customer->frequency_score) * base +
           customer->monetary_score;
}

/* --- summaries -------------------------------------------------------------------------------- */

static double median(const struct rfm_customer *customers, size_t count, enum rfm_segment segment,
                     enum measure measure, double *scratch)
{
    size_t n = 0;
    for (size_t i = 0; i < count; i++)
        if (customers[i].segment == segment)
            scratch[n++] = value_of(&customers[i], measure);
    if (n == 0)
        return NAN;
    qsort(scratch, n, sizeof *scratch, by_value);
    return quantile(scratch, n, 0.5);
}

void rfm_summarise(const struct rfm_customer *customers, size_t count,
                   struct rfm_summary ret_summaries[RFM_SEGMENT_COUNT])
{
    double *scratch = mem_alloc((count + 1) * sizeof *scratch);
    for (size_t s = 0; s < RFM_SEGMENT_COUNT; s++) {
        enum rfm_segment segment = (enum rfm_segment)s;
        ret_summaries[s] = (struct rfm_summary){
            .recency_median = median(customers, count, segment, RECENCY, scratch),
            .orders_median = median(customers, count, segment, FREQUENCY, scratch),
            .revenue_median = median(customers, count, segment, MONETARY, scratch)};
    }
    for (size_t i = 0; i < count; i++) {
        struct rfm_summary *summary = &ret_summaries[customers[i].segment];
        summary->customers++;
        summary->orders += customers[i].orders;
        summary->revenue += customers[i].revenue;
    }
    free(scratch);
}
