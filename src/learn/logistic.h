/* logistic.h - logistic regression: the chance of a yes from a row of numbers.
 *
 * Minimises sum of log(1 + exp(-y z)) + |weights|² / (2 C), z = intercept + weights · row, y = ±1,
 * with the intercept not penalised: scikit-learn's LogisticRegression(penalty="l2", C). Newton's
 * method (iteratively reweighted least squares: McCullagh and Nelder, Generalized Linear Models,
 * 1989) with halved steps when a full one does not descend, until the gradient's largest entry is
 * below 1e-8 times the number of rows. The penalty makes the minimum unique for the weights, also
 * when a feature never varies, two say the same, or yes and no part cleanly; the intercept has one
 * as long as both answers occur.
 *
 * Pure; depends on: base. Called by: the T-learner of uplift.h. */
#ifndef LEARN_LOGISTIC_H
#define LEARN_LOGISTIC_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

#define LOGISTIC_FEATURES_MAX 2000 /* the Hessian has as many squared */

/* `points`: rows of `features`; `rows_used` numbers the rows to learn from, NULL = all of `count`.
 * `ret_weights`: features + 1 numbers, the intercept last. ST_INVALID when an outcome is not 0 or
 * 1, or never or always 1; ST_TOO_LARGE; ST_INVALID when it does not converge. */
MUST_USE enum status logistic_fit(const double *points, size_t features, const uint8_t *outcomes,
                                  const size_t *rows_used, size_t count, double c,
                                  double *ret_weights, struct err *err);
double logistic_chance(const double *weights, const double *point, size_t features);
#endif
