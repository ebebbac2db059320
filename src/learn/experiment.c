/* experiment.c - from the moments of two arms to the effect and its error, by one formula.
 *
 * Per unit an arm has up to four series: metric y, denominator d, covariate x and its denominator
 * w. Its adjusted mean is y/d - theta x/w (means of series; d = w = 1 without denominators,
 * theta = 0 without CUPED), a smooth function of four means, so its variance is g' C g / n with
 * gradient g and covariance C: the delta method. The relative effect (mB - mA)/|uA|, uA = y/d of
 * the control unadjusted, is a function of eight means, and gets its variance in the same way.
 *
 * One convention follows the reference program where it approximates: for CUPED of means the
 * derivative of the relative effect by the control's mean takes uB for uA + (mB - mA), which is
 * equal but for theta times the difference of the covariates; for ratios it is exact.
 *
 * Invariants: without CUPED and ratio the variance is varB/nB/mA² + varA/nA mB²/mA⁴; the numbers
 * of the two constructors agree on 0/1 data. */
#include "learn/experiment.h"

#include <math.h>

enum { Y = EXPERIMENT_METRIC, D, X, W, SERIES };

/* --- arms ------------------------------------------------------------------------------------- */

struct experiment_arm experiment_arm_of_sums(const struct experiment_sums *sums,
                                             const struct experiment_shape *shape)
{
    struct experiment_arm arm = {.n = sums->n, .mean = {0, 1, 0, 1}};
    bool used[SERIES] = {true, shape->ratio, shape->cuped, shape->ratio && shape->cuped};
    if (!(arm.n > 0))
        return arm;
    double divisor = shape->proportion ? arm.n : arm.n - 1;
    for (int i = 0; i < SERIES; i++) {
        if (used[i])
            arm.mean[i] = sums->sum[i] / arm.n;
        for (int j = 0; j <= i; j++) {
            double spread = sums->product[j][i] - sums->sum[i] * sums->sum[j] / arm.n;
            if (used[i] && used[j] && divisor > 0)
                arm.cov[i][j] = arm.cov[j][i] = spread / divisor;
        }
    }
    if (shape->proportion) /* without the cancellation of sum - sum²/n */
        arm.cov[Y][Y] = arm.mean[Y] * (1 - arm.mean[Y]);
    return arm;
}

struct experiment_arm experiment_arm_of_counts(double n, double conversions)
{
    struct experiment_sums sums = {.n = n, .sum = {conversions}, .product = {{conversions}}};
    return experiment_arm_of_sums(&sums, &(struct experiment_shape){.proportion = true});
}

const char *experiment_problem_name(enum experiment_problem problem)
{
    switch (problem) {
    case EXPERIMENT_FINE:
        break;
    case EXPERIMENT_EMPTY_ARM:
        return "empty_arm";
    case EXPERIMENT_ZERO_VARIANCE:
        return "zero_variance";
    case EXPERIMENT_CONTROL_MEAN_ZERO:
        return "control_mean_zero";
    case EXPERIMENT_DENOMINATOR_ZERO:
        return "denominator_zero";
    }
    return "";
}

/* --- the delta method ------------------------------------------------------------------------- */

/* v' C u */
static double form(const struct experiment_arm *arm, const double *v, const double *u)
{
    double sum = 0;
    for (int i = 0; i < SERIES; i++)
        for (int j = 0; j < SERIES; j++)
            sum += v[i] * arm->cov[i][j] * u[j];
    return sum;
}

/* Gradients of y/d and x/w. */
static void slopes(const struct experiment_arm *arm, double *ret_post, double *ret_pre)
{
    const double *m = arm->mean;
    for (int i = 0; i < SERIES; i++)
        ret_post[i] = ret_pre[i] = 0;
    ret_post[Y] = 1 / m[D], ret_post[D] = -m[Y] / (m[D] * m[D]);
    ret_pre[X] = 1 / m[W], ret_pre[W] = -m[X] / (m[W] * m[W]);
}

/* Covariance of series i and j in all arms taken as one sample. */
static double pooled(const struct experiment_arm *const *arms, size_t count, bool proportion, int i,
                     int j)
{
    double n = 0, mean_i = 0, mean_j = 0, sum = 0, less = proportion ? 0 : 1;
    for (size_t k = 0; k < count; k++) {
        n += arms[k]->n;
        mean_i += arms[k]->n * arms[k]->mean[i], mean_j += arms[k]->n * arms[k]->mean[j];
    }
    mean_i /= n, mean_j /= n;
    for (size_t k = 0; k < count; k++)
        sum += (arms[k]->n - less) * arms[k]->cov[i][j] +
               arms[k]->n * (arms[k]->mean[i] - mean_i) * (arms[k]->mean[j] - mean_j);
    return sum / (n - less);
}

double experiment_theta(const struct experiment_arm *const *arms, size_t count,
                        const struct experiment_shape *shape)
{
    double var_pre = 0, cov = 0;
    if (!shape->cuped)
        return 0;
    if (!shape->ratio) {
        var_pre = pooled(arms, count, shape->proportion, X, X);
        cov = pooled(arms, count, shape->proportion, Y, X);
    }
    for (size_t k = 0; k < count && shape->ratio; k++) {
        double post[SERIES], pre[SERIES];
        slopes(arms[k], post, pre);
        var_pre += form(arms[k], pre, pre);
        cov += form(arms[k], post, pre);
    }
    return var_pre > 0 ? cov / var_pre : 0;
}

/* The adjusted mean, its gradient and its variance per unit. */
struct adjusted {
    double mean, raw, gradient[SERIES], variance;
};

static struct adjusted adjust(const struct experiment_arm *arm, double theta)
{
    struct adjusted out = {.raw = arm->mean[Y] / arm->mean[D]};
    double pre[SERIES];
    slopes(arm, out.gradient, pre);
    for (int i = 0; i < SERIES; i++)
        out.gradient[i] -= theta * pre[i];
    out.mean = out.raw - (theta == 0 ? 0 : theta * arm->mean[X] / arm->mean[W]);
    out.variance = form(arm, out.gradient, out.gradient);
    return out;
}

void experiment_adjusted(const struct experiment_arm *arm, double theta, double *ret_mean,
                         double *ret_variance)
{
    struct adjusted at = adjust(arm, theta);
    *ret_mean = at.mean;
    *ret_variance = at.variance;
}

static double square(double x)
{
    return x * x;
}

/* Variance of (mB - mA)/|uA|; `toward` is what the control's unadjusted mean is measured against.
 */
static double relative_variance(const struct experiment_arm *a, const struct experiment_arm *b,
                                const struct adjusted *left, const struct adjusted *right,
                                double toward)
{
    double size = fabs(left->raw), sign = left->raw < 0 ? -1 : 1, g[SERIES];
    double by_raw = -sign * toward / (left->raw * left->raw);
    g[Y] = by_raw * left->gradient[Y], g[D] = by_raw * left->gradient[D];
    g[X] = -left->gradient[X] / size, g[W] = -left->gradient[W] / size;
    return form(a, g, g) / a->n + right->variance / b->n / (size * size);
}

/* A sum of squares that cancellation made 1e-16 instead of nothing. */
static bool is_constant(const struct experiment_arm *arm, double variance)
{
    return !(variance > 0) || variance <= 1e-24 * square(arm->mean[Y] / arm->mean[D]);
}

static enum experiment_problem problem_of(const struct experiment_arm *a,
                                          const struct experiment_arm *b,
                                          const struct experiment_shape *shape)
{
    if (!(a->n > 0) || !(b->n > 0))
        return EXPERIMENT_EMPTY_ARM;
    if (shape->ratio && (a->mean[D] == 0 || b->mean[D] == 0))
        return EXPERIMENT_DENOMINATOR_ZERO;
    if (shape->ratio && shape->cuped && (a->mean[W] == 0 || b->mean[W] == 0))
        return EXPERIMENT_DENOMINATOR_ZERO;
    return EXPERIMENT_FINE;
}

struct experiment_effect experiment_effect(const struct experiment_arm *a,
                                           const struct experiment_arm *b,
                                           const struct experiment_shape *shape, bool relative)
{
    struct experiment_effect out = {.problem = problem_of(a, b, shape)};
    if (out.problem != EXPERIMENT_FINE)
        return out;
    double theta = experiment_theta((const struct experiment_arm *const[]){a, b}, 2, shape);
    struct adjusted left = adjust(a, theta), right = adjust(b, theta);
    if (is_constant(a, left.variance) || is_constant(b, right.variance))
        return (struct experiment_effect){.problem = EXPERIMENT_ZERO_VARIANCE};
    if (relative && left.raw == 0)
        return (struct experiment_effect){.problem = EXPERIMENT_CONTROL_MEAN_ZERO};
    double va = left.variance / a->n, vb = right.variance / b->n, variance = va + vb;
    out.n = a->n + b->n, out.theta = theta, out.control_mean = left.raw;
    out.estimate = right.mean - left.mean;
    out.df = square(va + vb) / (square(va) / (a->n - 1) + square(vb) / (b->n - 1));
    if (relative) {
        double toward = shape->ratio ? left.raw + out.estimate : right.raw;
        variance = relative_variance(a, b, &left, &right, toward);
        out.estimate /= fabs(left.raw);
    }
    out.standard_error = sqrt(variance);
    return out;
}
