/* clv_sbg.c - shifted beta-geometric: a contract is renewed period after period, and each customer
 * ends it with the same, beta-distributed probability every time.
 *
 *   P(ends in period t) = B(α+1, β+t-1)/B(α, β),  S(t) = B(α, β+t)/B(α, β)
 *
 * Log-likelihood: lost customers in their period, those who stayed in S(n). Retention
 * r(t) = (β+t-1)/(α+β+t-1) rises by itself: who ends easily ends early. */
#include "learn/clv_int.h"

#include <math.h>

enum { ALPHA, BETA, COUNT };

struct survival {
    const double *survivors;
    size_t count;
};

/* One outcome of `weight` customers: `ended` is 1 or 0, after `stayed` renewals. */
static double put(const double *p, double weight, double ended, double stayed,
                  const double sums[2][3], double *g, double (*h)[CLV_N])
{
    (void)stayed;
    double end1 = ended / p[ALPHA];
    g[ALPHA] += weight * (end1 - sums[1][1]);
    g[BETA] += weight * (sums[0][1] - sums[1][1]);
    h[ALPHA][ALPHA] += weight * (-end1 / p[ALPHA] - sums[1][2]);
    h[ALPHA][BETA] -= weight * sums[1][2];
    h[BETA][BETA] += weight * (sums[0][2] - sums[1][2]);
    return weight * ((ended > 0 ? log(p[ALPHA]) : 0) + sums[0][0] - sums[1][0]);
}

/* Running sums of log(base + i) and derivatives, one step further. */
static void climb(double sums[3], double base, double i)
{
    double x = base + i;
    sums[0] += log(x);
    sums[1] += 1 / x;
    sums[2] -= 1 / (x * x);
}

static double likelihood(const void *context, const double *parameters, double *gradient,
                         double (*hessian)[OPTIMISE_PARAMETERS_MAX])
{
    const struct survival *data = context;
    const double *p = parameters;
    double sums[2][3] = {{0}, {0}}; /* of β up to `stayed`, of α+β up to `stayed + ended` */
    double value = 0;
    for (size_t t = 1; t < data->count; t++) {
        climb(sums[1], p[ALPHA] + p[BETA], (double)t - 1);
        value += put(p, data->survivors[t - 1] - data->survivors[t], 1, (double)t - 1, sums,
                     gradient, hessian);
        climb(sums[0], p[BETA], (double)t - 1);
    }
    value += put(p, data->survivors[data->count - 1], 0, (double)data->count - 1, sums, gradient,
                 hessian);
    hessian[BETA][ALPHA] = hessian[ALPHA][BETA];
    return value;
}

enum status clv_sbg_fit(const double *survivors, size_t survivors_count, struct clv_fit *ret_fit,
                        struct err *err)
{
    static const double starts[][CLV_PARAMETERS_MAX] = {{1, 1}, {0.5, 4}, {4, 10}};
    if (survivors_count < 3)
        return err_set(err, ST_INVALID,
                       "could not fit sbg: %zu numbers of survivors, at least 3 are needed",
                       survivors_count);
    for (size_t i = 0; i < survivors_count; i++)
        if (!isfinite(survivors[i]) || survivors[i] < 0 ||
            (i > 0 && survivors[i] > survivors[i - 1]))
            return err_set(err, ST_INVALID,
                           "could not fit sbg: survivors must fall and not be negative, but number "
                           "%zu is %g",
                           i + 1, survivors[i]);
    if (survivors[0] == survivors[survivors_count - 1])
        return err_set(err, ST_INVALID, "could not fit sbg: nobody left");
    const struct survival data = {survivors, survivors_count};
    struct clv_fit fit = {.customers = survivors[0]};
    enum status status = clv_fit_from(CLV_SBG, likelihood, &data, starts, 3, &fit, err);
    if (status == ST_OK)
        *ret_fit = fit;
    return status;
}

double clv_sbg_survival(const struct clv_fit *fit, double period)
{
    const double *p = fit->parameters;
    return exp(special_log_gamma(p[BETA] + period) - special_log_gamma(p[BETA]) +
               special_log_gamma(p[ALPHA] + p[BETA]) -
               special_log_gamma(p[ALPHA] + p[BETA] + period));
}

double clv_sbg_retention(const struct clv_fit *fit, double period)
{
    const double *p = fit->parameters;
    return (p[BETA] + period - 1) / (p[ALPHA] + p[BETA] + period - 1);
}

double clv_sbg_residual(const struct clv_fit *fit, double renewals, double yearly)
{
    double stays = clv_sbg_retention(fit, renewals + 1);
    double sum = 0;
    double rest = yearly / (1 + yearly); /* a term's tail is at most the term over this */
    for (double t = renewals + 2; stays > sum * 1e-17 * rest && stays > 0; t++) {
        sum += stays;
        stays *= clv_sbg_retention(fit, t) / (1 + yearly);
    }
    return sum;
}
