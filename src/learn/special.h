/* special.h - special functions and integrals that the models of customer value need.
 *
 * Each is computed without subtracting what is nearly equal: differences of log-gammas as sums,
 * expectations and tails as integrals of positive functions. Pure. Called by: this module. */
#ifndef LEARN_SPECIAL_H
#define LEARN_SPECIAL_H

#include <stddef.h>

/* log Γ without glibc's global sign; for x > 0. */
double special_log_gamma(double x);
/* The first and second derivative of log Γ; for x > 0. */
double special_digamma(double x);
double special_trigamma(double x);

/* log(exp(a) + exp(b)); either may be -infinity. */
double special_log_sum(double a, double b);

/* log Γ(base + k) - log Γ(base), and its first and second derivative in base, for k = 0 … count:
 * the sums of log(base + i), 1/(base + i), -1/(base + i)². Each array has count + 1 places. */
struct special_rising {
    double *log;
    double *first;
    double *second;
};
void special_rising_fill(double base, size_t count, struct special_rising *rising);

/* e^z E_ν(z) = ∫ exp(-z u) (1 + u)^-ν du over u from 0 to infinity (DLMF 8.19.3); ν > 0, z > 0. */
double special_exponential_integral(double order, double z);

/* The mean of f(p, context) when p follows a beta distribution; a, b > 0 and f is smooth in (0, 1).
 * f also gets q = 1 - p, exact near p = 1. */
double special_beta_mean(double a, double b, double (*f)(double p, double q, const void *context),
                         const void *context);

/* 16-point Gauss-Legendre rule on [-1, 1]: nodes ± special_node[i], weights special_weight[i]. */
#define SPECIAL_HALF 8
extern const double special_node[SPECIAL_HALF];
extern const double special_weight[SPECIAL_HALF];

/* Beyond this many e-folds below its peak a positive integrand is nothing: e^-45 = 3e-20. */
#define SPECIAL_NOTHING 45.0
#endif
