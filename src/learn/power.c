/* power.c - one of sample size, effect and power from the other two.
 *
 * power_of() is the formula of each kind; the missing figure is found by bisection, on a
 * logarithmic scale for n, since power grows in n and in the effect. Bisection because it cannot
 * fail: a step is microseconds and the answer has all its digits. */
#include "learn/power.h"

#include <math.h>

#include "learn/distribution.h"

#define N_LEAST 2.0
#define N_MOST 1e12

/* Rejections of a normal test statistic with mean `shift` and unit variance. */
static double normal_power(double shift, double critical, bool both_sides)
{
    double right = distribution_normal_tail(critical - shift);
    return both_sides ? right + distribution_normal_cdf(-critical - shift) : right;
}

static double t_power(const struct power_design *d, double tail, bool both_sides)
{
    double df = 2 * (d->n - 1), delta = sqrt(d->n / 2) * fabs(d->effect) / d->stddev;
    double critical = -distribution_t_quantile(tail, df);
    double right = distribution_noncentral_t_tail(critical, df, delta);
    return both_sides ? right + distribution_noncentral_t_cdf(-critical, df, delta) : right;
}

static double power_of(const struct power_design *d)
{
    double tail = d->one_sided ? d->alpha : d->alpha / 2;
    double critical = -distribution_normal_quantile(tail);
    bool both_sides = d->strict && !d->one_sided;
    double p1 = d->baseline, p2 = d->baseline + d->effect;
    switch (d->kind) {
    case POWER_T:
        return t_power(d, tail, both_sides);
    case POWER_PROPORTIONS: {
        double own = sqrt(p1 * (1 - p1) + p2 * (1 - p2));
        double pooled = sqrt((p1 + p2) * (1 - (p1 + p2) / 2));
        double shift = sqrt(d->n) * fabs(p2 - p1) / own;
        return normal_power(shift, critical * pooled / own, both_sides);
    }
    case POWER_ARCSINE: {
        double h = 2 * asin(sqrt(fmin(1, fmax(0, p2)))) - 2 * asin(sqrt(p1));
        return normal_power(fabs(h) * sqrt(d->n / 2), critical, both_sides);
    }
    }
    return NAN;
}

static enum status ranges_check(const struct power_design *d, struct err *err)
{
    int missing = isnan(d->n) + isnan(d->effect) + isnan(d->power);
    bool is_mean = d->kind == POWER_T;
    if (missing != 1)
        return err_set(err, ST_INVALID, "two of n, effect and power must be given, not %d",
                       3 - missing);
    if (!(d->alpha > 0 && d->alpha < 1))
        return err_set(err, ST_INVALID, "alpha must lie between 0 and 1");
    if (!isnan(d->power) && !(d->power > 0 && d->power < 1))
        return err_set(err, ST_INVALID, "power must lie between 0 and 1");
    if (!isnan(d->n) && !(d->n >= N_LEAST && d->n <= N_MOST))
        return err_set(err, ST_INVALID, "n must lie between 2 and 1e12");
    if (!isnan(d->effect) && (d->effect == 0 || isinf(d->effect)))
        return err_set(err, ST_INVALID, "the effect must be a number other than 0");
    if (is_mean && !(d->stddev > 0 && isfinite(d->stddev)))
        return err_set(err, ST_INVALID, "the standard deviation must be above 0");
    if (!is_mean && !(d->baseline > 0 && d->baseline < 1))
        return err_set(err, ST_INVALID, "the baseline must lie between 0 and 1");
    double p2 = d->baseline + d->effect;
    if (!is_mean && !isnan(d->effect) && !(p2 > 0 && p2 < 1))
        return err_set(err, ST_INVALID, "baseline and effect give a proportion of %g", p2);
    return ST_OK;
}

/* The least value of *slot in [low, high] with the wanted power; on a log scale. */
static bool least_with(struct power_design *d, double *slot, double low, double high)
{
    double a = log(low), b = log(high);
    *slot = high;
    if (!(power_of(d) >= d->power))
        return false;
    *slot = low;
    if (power_of(d) >= d->power)
        return true;
    for (int i = 0; i < 100 && b - a > 1e-15 * fabs(a); i++) {
        double middle = (a + b) / 2;
        *slot = exp(middle);
        if (power_of(d) >= d->power)
            b = middle;
        else
            a = middle;
    }
    *slot = exp(b);
    return true;
}

enum status power_solve(struct power_design *design, struct err *err)
{
    struct power_design d = *design;
    enum status status = ranges_check(&d, err);
    if (status != ST_OK)
        return status;
    if (isnan(d.power)) {
        d.power = power_of(&d);
    } else if (isnan(d.n)) {
        if (!least_with(&d, &d.n, N_LEAST, N_MOST))
            return err_set(err, ST_INVALID, "no group of up to 1e12 units reaches that power");
    } else {
        double most = d.kind == POWER_T ? 1e6 * d.stddev : (1 - d.baseline) * (1 - 1e-12);
        if (!least_with(&d, &d.effect, most * 1e-15, most))
            return err_set(err, ST_INVALID, "no effect reaches that power with %g units per group",
                           d.n);
    }
    *design = d;
    return ST_OK;
}
