/* experiment_many.h - what many arms ask beyond two: sample ratio, corrections, the best arm.
 *
 * Pure; scratch memory during a call. Depends on: base. Called by: the file report, later live
 * reports and the API. */
#ifndef LEARN_EXPERIMENT_MANY_H
#define LEARN_EXPERIMENT_MANY_H

#include <stdbool.h>
#include <stddef.h>

#define EXPERIMENT_ARMS_MAX 1000 /* the best arm takes time by the square of it: 0.2 s */

/* Sample ratio mismatch: chi-square of the arms' sizes against weights (any scale; arms of weight 0
 * are left out of the sum, as gbstats does, but count in the degrees of freedom). */
double experiment_srm(const double *sizes, const double *weights, size_t count,
                      double *ret_chi_square);

enum experiment_correction { EXPERIMENT_NONE, EXPERIMENT_HOLM, EXPERIMENT_BENJAMINI_HOCHBERG };
/* Adjusts in place; NAN stays and does not count as a test. */
void experiment_correct(enum experiment_correction kind, double *p_values, size_t count);

struct experiment_belief {
    bool is_beta; /* Beta(a, b); else normal with mean a and standard deviation b >= 0 */
    double a, b;
};
/* The probability of each arm to be the largest, by quadrature. All of one kind. */
void experiment_best_arm(const struct experiment_belief *arms, size_t count,
                         double *ret_probabilities);
#endif
