/* experiment_proportion.c - intervals for one proportion, the z-test for two.
 *
 * Wilson 1927, Agresti and Coull 1998 (with z² pseudo-observations), Clopper and Pearson 1934 (by
 * beta quantiles), Jeffreys as in Brown, Cai, DasGupta 2001 (bounds 0 and 1 where nobody or
 * everybody converted). The z-test pools the proportion under the hypothesis and does not correct
 * for continuity; its interval is the unpooled one of the difference. */
#include "learn/experiment.h"

#include <math.h>

#include "learn/distribution.h"

static void centre_and_half(double centre, double half, double *ret_low, double *ret_high)
{
    *ret_low = fmax(0, centre - half);
    *ret_high = fmin(1, centre + half);
}

void experiment_proportion_interval(enum experiment_interval kind, double hits, double n,
                                    double alpha, double *ret_low, double *ret_high)
{
    double z = -distribution_normal_quantile(alpha / 2), z2 = z * z, p = hits / n;
    double centre = (hits + z2 / 2) / (n + z2), misses = n - hits;
    switch (kind) {
    case EXPERIMENT_WILSON:
        centre_and_half(centre, z / (n + z2) * sqrt(n * p * (1 - p) + z2 / 4), ret_low, ret_high);
        if (hits == 0) /* exactly, where rounding leaves 1e-18 */
            *ret_low = 0;
        if (misses == 0)
            *ret_high = 1;
        return;
    case EXPERIMENT_AGRESTI_COULL:
        centre_and_half(centre, z * sqrt(centre * (1 - centre) / (n + z2)), ret_low, ret_high);
        return;
    case EXPERIMENT_CLOPPER_PEARSON:
        *ret_low = hits > 0 ? distribution_beta_quantile(alpha / 2, hits, misses + 1) : 0;
        *ret_high = misses > 0 ? distribution_beta_quantile(1 - alpha / 2, hits + 1, misses) : 1;
        return;
    case EXPERIMENT_JEFFREYS:
        *ret_low = hits > 0 ? distribution_beta_quantile(alpha / 2, hits + 0.5, misses + 0.5) : 0;
        *ret_high =
            misses > 0 ? distribution_beta_quantile(1 - alpha / 2, hits + 0.5, misses + 0.5) : 1;
        return;
    }
}

struct experiment_result experiment_two_proportions(double control_hits, double control_n,
                                                    double hits, double n,
                                                    const struct experiment_test *test)
{
    double p0 = control_hits / control_n, p1 = hits / n;
    double p = (control_hits + hits) / (control_n + n);
    double z = (p1 - p0) / sqrt(p * (1 - p) * (1 / control_n + 1 / n));
    double error = sqrt(p0 * (1 - p0) / control_n + p1 * (1 - p1) / n);
    bool both = test->side == EXPERIMENT_TWO_SIDED;
    double half = -distribution_normal_quantile(both ? test->alpha / 2 : test->alpha) * error;
    struct experiment_result out = {.low = p1 - p0 - half, .high = p1 - p0 + half, .statistic = z};
    if (both)
        out.p_value = 2 * distribution_normal_tail(fabs(z));
    else if (test->side == EXPERIMENT_GREATER)
        out.p_value = distribution_normal_tail(z), out.high = INFINITY;
    else
        out.p_value = distribution_normal_cdf(z), out.low = -INFINITY;
    return out;
}
