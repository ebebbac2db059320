/* experiment.h - what an experiment says: pure kernels on the moments of its arms.
 *
 * An arm is known by the means and covariances of up to four series per unit: metric, denominator,
 * covariate and the covariate's denominator. One delta-method formula serves means, proportions,
 * ratios, CUPED and CUPED of ratios.
 *
 * Conventions (those of GrowthBook's gbstats, against which the figures are held):
 *   relative effect  (mB - mA) / |mA|, where CUPED divides by the unadjusted mA;
 *   proportions have variance p(1-p), means n-1 in the divisor;
 *   Welch's degrees of freedom come from the absolute variances, for relative effects too;
 *   CUPED (Deng, Xu, Kohavi, Walker 2013): theta = cov/var of both arms pooled as one sample; for
 *   ratios from the linearised series (Deng, Knoblich, Lu 2018), summed over the arms;
 *   sequential: asymptotic confidence sequences of Waudby-Smith, Arbour, Sinha, Kennedy, Ramdas
 *   (arXiv 2103.06476v7): eq. 9 two-sided, 134 one-sided, 155 p-value, 161 tuning;
 *   Bayes: normal likelihood of the effect, normal or flat prior; risk = expected loss of a choice.
 *
 * Pure: owns and allocates nothing. Depends on: base. Called by: the
 * file report, later live reports and the API. */
#ifndef LEARN_EXPERIMENT_H
#define LEARN_EXPERIMENT_H

#include <stddef.h>

#include "base/status.h"

enum experiment_series {
    EXPERIMENT_METRIC,
    EXPERIMENT_DENOMINATOR,
    EXPERIMENT_COVARIATE,
    EXPERIMENT_COVARIATE_DENOMINATOR,
    EXPERIMENT_SERIES
};

struct experiment_shape {
    bool proportion; /* metric (and covariate) are 0 or 1 */
    bool ratio;      /* metric over denominator */
    bool cuped;      /* adjusted by the covariate */
};

struct experiment_arm {
    double n;
    double mean[EXPERIMENT_SERIES];
    double cov[EXPERIMENT_SERIES][EXPERIMENT_SERIES]; /* per unit */
};

/* Sums over an arm's units: of each series and of each product of two (i <= j is read). */
struct experiment_sums {
    double n, sum[EXPERIMENT_SERIES], product[EXPERIMENT_SERIES][EXPERIMENT_SERIES];
};
struct experiment_arm experiment_arm_of_sums(const struct experiment_sums *sums,
                                             const struct experiment_shape *shape);
struct experiment_arm experiment_arm_of_counts(double n, double conversions);

enum experiment_problem {
    EXPERIMENT_FINE,
    EXPERIMENT_EMPTY_ARM,
    EXPERIMENT_ZERO_VARIANCE,
    EXPERIMENT_CONTROL_MEAN_ZERO, /* a relative effect is undefined */
    EXPERIMENT_DENOMINATOR_ZERO
};
const char *experiment_problem_name(enum experiment_problem problem);

struct experiment_effect {
    enum experiment_problem problem; /* but for EXPERIMENT_FINE, the rest is 0 */
    double estimate, standard_error, df, n;
    double theta;        /* of CUPED, else 0 */
    double control_mean; /* unadjusted */
};
struct experiment_effect experiment_effect(const struct experiment_arm *control,
                                           const struct experiment_arm *treatment,
                                           const struct experiment_shape *shape, bool relative);

/* CUPED's theta of all these arms, 0 without; and an arm's adjusted mean with its variance per
 * unit. */
double experiment_theta(const struct experiment_arm *const *arms, size_t count,
                        const struct experiment_shape *shape);
void experiment_adjusted(const struct experiment_arm *arm, double theta, double *ret_mean,
                         double *ret_variance);

enum experiment_side { EXPERIMENT_TWO_SIDED, EXPERIMENT_GREATER, EXPERIMENT_LESS };

struct experiment_test {
    double alpha; /* in (0, 1); one-sided sequential tests need < 1/2 */
    enum experiment_side side;
    double tuning;    /* the sample size at which a sequence is tightest; usual 5000 */
    double tolerance; /* 0: the exact one-sided sequential p-value; else bisection on the bound */
};

struct experiment_result {
    double low, high; /* infinite on the open side of a one-sided test */
    double statistic, p_value;
};
struct experiment_result experiment_welch(const struct experiment_effect *effect,
                                          const struct experiment_test *test);
struct experiment_result experiment_sequential(const struct experiment_effect *effect,
                                               const struct experiment_test *test);

struct experiment_prior {
    bool proper; /* false: flat */
    double mean, variance;
};
struct experiment_posterior {
    double mean, stddev, low, high;
    double chance_to_win; /* P(effect > 0) */
    double risk[2];       /* loss expected of keeping the control, of taking the treatment */
};
struct experiment_posterior experiment_bayes(const struct experiment_effect *effect,
                                             const struct experiment_prior *prior, double alpha);
/* E max(X, 0), E max(-X, 0) of a normal X. */
void experiment_risk(double mean, double stddev, double ret_risk[2]);

enum experiment_method { EXPERIMENT_WELCH, EXPERIMENT_SEQUENTIAL, EXPERIMENT_BAYES };

/* How many times the present units must come in addition until an effect of `target` is found with
 * `power`; 0 when it is already, NAN when 2^27 times are not enough. Bisection until the power is
 * within `tolerance` (gbstats: 1e-5). */
double experiment_scaling(const struct experiment_effect *effect, enum experiment_method method,
                          const struct experiment_test *test, const struct experiment_prior *prior,
                          double target, double power, double tolerance);

/* --- one and two proportions ------------------------------------------------------------------ */

enum experiment_interval {
    EXPERIMENT_WILSON,
    EXPERIMENT_AGRESTI_COULL,
    EXPERIMENT_CLOPPER_PEARSON,
    EXPERIMENT_JEFFREYS
};
/* Brown, Cai, DasGupta 2001. n > 0, 0 <= hits <= n. */
void experiment_proportion_interval(enum experiment_interval kind, double hits, double n,
                                    double alpha, double *ret_low, double *ret_high);
/* Pooled z of treatment less control. NAN when nobody or everybody converted. */
struct experiment_result experiment_two_proportions(double control_hits, double control_n,
                                                    double hits, double n,
                                                    const struct experiment_test *test);
#endif
