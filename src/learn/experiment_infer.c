/* experiment_infer.c - from an effect and its standard error to a decision: three schools.
 *
 * Welch: t with the effect's degrees of freedom. Sequential: a confidence sequence, valid at every
 * look. Bayes: a normal posterior.
 *
 * The one-sided sequential p-value is the alpha at which the bound touches zero while rho stays as
 * it was tuned. With e = z² n rho² / (2 (n rho² + 1)) the bound of eq. 134 gives it in closed form,
 * alpha = sqrt(n rho² + 1) / (2 (exp(e) - 1)), capped at 1/2. The reference program looks for it by
 * bisection in [1e-5, 0.4999] until the bound is within 1e-6 of zero; `tolerance` asks for that.
 *
 * Tails are computed for themselves (never 1 - cdf), so a p-value of 1e-300 is one. */
#include "learn/experiment.h"

#include <math.h>

#include "learn/distribution.h"

#define ALPHA_LEAST 1e-5
#define ALPHA_MOST 0.4999
#define BISECTIONS_MAX 200

static struct experiment_result around(const struct experiment_effect *effect,
                                       const struct experiment_test *test, double half)
{
    struct experiment_result out = {.low = effect->estimate - half,
                                    .high = effect->estimate + half};
    if (test->side == EXPERIMENT_GREATER)
        out.high = INFINITY;
    else if (test->side == EXPERIMENT_LESS)
        out.low = -INFINITY;
    out.statistic = effect->estimate / effect->standard_error;
    return out;
}

struct experiment_result experiment_welch(const struct experiment_effect *effect,
                                          const struct experiment_test *test)
{
    double tail = test->side == EXPERIMENT_TWO_SIDED ? test->alpha / 2 : test->alpha;
    double half = -distribution_t_quantile(tail, effect->df) * effect->standard_error;
    struct experiment_result out = around(effect, test, half);
    if (test->side == EXPERIMENT_TWO_SIDED)
        out.p_value = 2 * distribution_t_tail(fabs(out.statistic), effect->df);
    else if (test->side == EXPERIMENT_GREATER)
        out.p_value = distribution_t_tail(out.statistic, effect->df);
    else
        out.p_value = distribution_t_cdf(out.statistic, effect->df);
    return out;
}

/* --- sequential ------------------------------------------------------------------------------- */

static double tuned_rho_squared(double alpha, double tuning)
{
    double log_term = -2 * log(alpha);
    return (log_term + log1p(log_term)) / tuning;
}

/* The half-width in standard errors: n rho² = m. */
static double half_two_sided(double m, double alpha)
{
    return sqrt(2 * (m + 1) * log(sqrt(m + 1) / alpha) / m);
}

static double half_one_sided(double m, double alpha)
{
    return sqrt(2 * (m + 1) * log1p(sqrt(m + 1) / (2 * alpha)) / m);
}

static double one_sided_p_exact(double m, double statistic)
{
    if (statistic <= 0)
        return 0.5;
    double exponent = statistic * statistic * m / (2 * (m + 1));
    return fmin(0.5, sqrt(m + 1) / (2 * expm1(exponent)));
}

/* The reference program's search; `toward` is the effect in the direction of the test. */
static double one_sided_p_searched(double m, double toward, double error, double tolerance)
{
    double least = ALPHA_LEAST, most = ALPHA_MOST, alpha = 0.5 * (least + most);
    if (toward - error * half_one_sided(m, least) > 0)
        return least;
    if (toward - error * half_one_sided(m, most) < 0)
        return most;
    for (int i = 0; i < BISECTIONS_MAX; i++) {
        double bound = toward - error * half_one_sided(m, alpha);
        if (bound < 0)
            least = alpha;
        else
            most = alpha;
        alpha = 0.5 * (least + most);
        if (fabs(bound) < tolerance)
            break;
    }
    return alpha;
}

struct experiment_result experiment_sequential(const struct experiment_effect *effect,
                                               const struct experiment_test *test)
{
    bool both = test->side == EXPERIMENT_TWO_SIDED;
    double sign = test->side == EXPERIMENT_LESS ? -1 : 1;
    double m = effect->n * tuned_rho_squared(both ? test->alpha : 2 * test->alpha, test->tuning);
    double width = both ? half_two_sided(m, test->alpha) : half_one_sided(m, test->alpha);
    struct experiment_result out = around(effect, test, width * effect->standard_error);
    double z = out.statistic;
    if (both)
        out.p_value = fmin(1, sqrt(m + 1) * exp(-z * z * m / (2 * (m + 1))));
    else if (test->tolerance > 0)
        out.p_value = one_sided_p_searched(m, sign * effect->estimate, effect->standard_error,
                                           test->tolerance);
    else
        out.p_value = one_sided_p_exact(m, sign * z);
    return out;
}

/* --- Bayes ------------------------------------------------------------------------------------ */

void experiment_risk(double mean, double stddev, double ret_risk[2])
{
    double r = mean / stddev, density = stddev * distribution_normal_density(r);
    if (!(stddev > 0) || fabs(r) > 37) { /* a tail below 1e-300: the loss is the mean or nothing */
        ret_risk[0] = fmax(mean, 0), ret_risk[1] = fmax(-mean, 0);
        return;
    }
    ret_risk[0] = fmax(0, density + mean * distribution_normal_cdf(r));
    ret_risk[1] = fmax(0, density - mean * distribution_normal_tail(r));
}

struct experiment_posterior experiment_bayes(const struct experiment_effect *effect,
                                             const struct experiment_prior *prior, double alpha)
{
    double data = 1 / (effect->standard_error * effect->standard_error);
    double before = prior->proper ? 1 / prior->variance : 0;
    double shift = prior->proper ? prior->mean * before : 0;
    struct experiment_posterior out = {
        .mean =
            prior->proper ? (effect->estimate * data + shift) / (data + before) : effect->estimate,
        .stddev = prior->proper ? sqrt(1 / (data + before)) : effect->standard_error};
    double half = -distribution_normal_quantile(alpha / 2) * out.stddev;
    out.low = out.mean - half, out.high = out.mean + half;
    out.chance_to_win = distribution_normal_cdf(out.mean / out.stddev);
    experiment_risk(out.mean, out.stddev, out.risk);
    return out;
}

/* --- how many more units ---------------------------------------------------------------------- */

struct outlook {
    const struct experiment_effect *effect;
    enum experiment_method method;
    const struct experiment_test *test;
    const struct experiment_prior *prior;
    double target;
};

/* The power at (1 + scale) times the units. Under a proper prior: the chance that the credible
 * interval leaves zero when the effect is the target. */
static double power_at(const struct outlook *outlook, double scale)
{
    const struct experiment_effect *effect = outlook->effect;
    double variance = effect->standard_error * effect->standard_error / (1 + scale);
    double error = sqrt(variance), alpha = outlook->test->alpha;
    double critical = -distribution_normal_quantile(alpha / 2), shift = 0;
    if (outlook->method == EXPERIMENT_BAYES && outlook->prior->proper) {
        critical *= error * sqrt(1 / outlook->prior->variance + 1 / variance);
        shift = error * outlook->prior->mean / outlook->prior->variance;
    } else if (outlook->method == EXPERIMENT_SEQUENTIAL) {
        double rho_squared = tuned_rho_squared(alpha, outlook->test->tuning);
        /* The sequence's half-width takes the variance per unit, n times that of the effect now. */
        critical = half_two_sided(effect->n * (1 + scale) * rho_squared, alpha);
    }
    double aim = outlook->target / error;
    return distribution_normal_tail(critical - shift - aim) +
           distribution_normal_cdf(-(critical + shift + aim));
}

double experiment_scaling(const struct experiment_effect *effect, enum experiment_method method,
                          const struct experiment_test *test, const struct experiment_prior *prior,
                          double target, double power, double tolerance)
{
    struct outlook outlook = {effect, method, test, prior, fabs(target)};
    double low = 0, high = 1;
    if (power_at(&outlook, 0) > power)
        return 0;
    for (int i = 0; i < 27 && power_at(&outlook, high) < power; i++)
        high *= 2;
    if (power_at(&outlook, high) < power)
        return NAN;
    double scale = high;
    for (int i = 0; i < BISECTIONS_MAX; i++) {
        double excess = power_at(&outlook, scale) - power;
        if (fabs(excess) < tolerance && i > 0)
            break;
        if (excess > 0)
            high = scale;
        else
            low = scale;
        scale = 0.5 * (low + high);
    }
    return scale;
}
