/* clv_compare.c - a fitted model beside what happened: customers by number of purchases, and
 * purchases week by week.
 *
 * Frequency: how many customers the model says have 0, 1, … repeat purchases at their own ages, and
 * for each group what it expected of the hold-out, beside what came. Tracking: purchases of all
 * customers per week since the first of all, beside the sum of what the model expects of a customer
 * of that age. These are the tables by which the papers judge their models. */
#include "base/arena.h"
#include "base/json.h"
#include "learn/clv_report_int.h"

#include <math.h>
#include <stdlib.h>

#define BINS 8 /* 0 … 6, and 7 or more */

struct bin {
    double customers, fitted, expected, holdout, holdout_expected;
};

static int by_number(const void *a, const void *b)
{
    double p = *(const double *)a, q = *(const double *)b;
    return (p > q) - (p < q);
}

static int by_age(const void *a, const void *b)
{
    const struct clv_customer *p = a, *q = b;
    return by_number(&p->age, &q->age);
}

/* P(X(T) = x) summed over customers; those of one age share it. */
static void bins_fit(const struct clv_people *people, const struct clv_fit *fit, struct bin *bins)
{
    struct clv_customer *ages = mem_alloc((people->count + 1) * sizeof *ages);
    for (size_t i = 0; i < people->count; i++)
        ages[i] = people->list[i].value;
    qsort(ages, people->count, sizeof *ages, by_age);
    for (size_t from = 0, to; from < people->count; from = to) {
        double weight = 0, rest = 1;
        for (to = from; to < people->count && ages[to].age == ages[from].age; to++)
            weight += ages[to].weight;
        for (size_t x = 0; x + 1 < BINS; x++) {
            double p = clv_probability(fit, ages[from].age, x);
            bins[x].fitted += weight * p;
            rest -= p;
        }
        bins[BINS - 1].fitted += weight * fmax(rest, 0);
    }
    free(ages);
}

static bool bins_count(const struct clv_people *people, struct bin *bins)
{
    bool holdout = false;
    for (size_t i = 0; i < people->count; i++) {
        const struct clv_person *person = &people->list[i];
        struct bin *bin = &bins[(size_t)fmin(person->value.repeats, BINS - 1)];
        double weight = person->value.weight;
        bin->customers += weight;
        bin->expected += weight * person->expected;
        if (!(person->ahead > 0))
            continue;
        holdout = true;
        bin->holdout += weight * person->holdout;
        bin->holdout_expected += weight * person->holdout_expected;
    }
    return holdout;
}

void clv_put_frequency(struct buf *json, const struct clv_people *people, const struct clv_fit *fit)
{
    struct bin bins[BINS] = {0};
    bins_fit(people, fit, bins);
    bool holdout = bins_count(people, bins);
    json_put_name(json, "frequency");
    buf_char(json, '[');
    for (size_t x = 0; x < BINS; x++) {
        const struct bin *bin = &bins[x];
        char name[8] = {(char)('0' + x), x + 1 == BINS ? '+' : '\0'};
        if (bin->customers == 0 && bin->fitted < 1e-9)
            continue;
        json_put_comma(json);
        buf_char(json, '{');
        json_put_member_str(json, "repeats", str_of(name));
        json_put_member_number(json, "customers", bin->customers);
        json_put_member_number(json, "fitted_customers", bin->fitted);
        json_put_member_number(json, "mean_expected", bin->expected / bin->customers);
        if (holdout) {
            json_put_member_number(json, "holdout_mean", bin->holdout / bin->customers);
            json_put_member_number(json, "holdout_expected",
                                   bin->holdout_expected / bin->customers);
        }
        buf_char(json, '}');
    }
    buf_char(json, ']');
}

/* --- tracking --------------------------------------------------------------------------------- */

static void put_period(struct buf *json, size_t period, bool known, const double *actual,
                       const double *expected)
{
    json_put_comma(json);
    buf_char(json, '{');
    json_put_member_uint(json, "period", period);
    if (known)
        json_put_member_number(json, "purchases", actual[1] - actual[0]);
    json_put_member_number(json, "expected", expected[1] - expected[0]);
    if (known)
        json_put_member_number(json, "cumulative_purchases", actual[1]);
    json_put_member_number(json, "cumulative_expected", expected[1]);
    buf_char(json, '}');
}

/* Whole weeks from the first day of all to the last. Week w has the days 7(w-1) … 7w-1. */
static void put_weeks(struct buf *json, const struct clv_people *people, const struct clv_fit *fit)
{
    size_t days = (size_t)(people->last_day - people->first_day) + 1;
    uint32_t *born = mem_zero((days + 1) * sizeof *born);
    double *mean = mem_zero((days + 8) * sizeof *mean);
    for (size_t i = 0; i < people->count; i++)
        born[people->list[i].first_day - people->first_day]++;
    for (size_t day = 1; day <= days; day++)
        mean[day] = clv_expected_new(fit, (double)day / 7);
    double actual[2] = {0}, expected[2] = {0};
    for (size_t week = 1; week * 7 <= days; week++) {
        actual[0] = actual[1];
        expected[0] = expected[1];
        expected[1] = 0;
        for (size_t day = week * 7 - 7; day < week * 7; day++)
            actual[1] += people->repeats_on[day];
        for (size_t day = 0; day < week * 7; day++)
            expected[1] += born[day] > 0 ? born[day] * mean[week * 7 - day] : 0;
        put_period(json, week, true, actual, expected);
    }
    free(born);
    free(mean);
}

static bool all_of_one_age(const struct clv_people *people)
{
    for (size_t i = 1; i < people->count; i++)
        if (people->list[i].value.age != people->list[0].value.age)
            return false;
    return true;
}

/* Opportunities 1 … n + horizon of customers who all came at once. */
static void put_opportunities(struct buf *json, const struct clv_people *people,
                              const struct clv_fit *fit, double horizon)
{
    double weight = 0, expected[2] = {0};
    for (size_t i = 0; i < people->count; i++)
        weight += people->list[i].value.weight;
    size_t count = (size_t)fmin(people->list[0].value.age + horizon, 1000);
    for (size_t n = 1; n <= count; n++) {
        expected[0] = expected[1];
        expected[1] = weight * clv_expected_new(fit, (double)n);
        put_period(json, n, false, NULL, expected);
    }
}

void clv_put_tracking(struct buf *json, const struct clv_people *people, const struct clv_fit *fit,
                      double horizon)
{
    bool weeks = people->dated && fit->model != CLV_BGBB;
    if (!weeks && (fit->model != CLV_BGBB || !all_of_one_age(people)))
        return; /* it is not known who came when */
    json_put_name(json, "tracking");
    buf_char(json, '[');
    if (weeks)
        put_weeks(json, people, fit);
    else
        put_opportunities(json, people, fit, horizon);
    buf_char(json, ']');
}
