/* distribution.h - normal, t, chi-square, beta, F, binomial and noncentral t: probabilities and
 * quantiles to about 1e-13 of the smaller tail.
 *
 * `_cdf` is P(X <= x), `_tail` is P(X > x), each computed for itself, so that a small one keeps its
 * digits. A quantile takes a probability strictly between 0 and 1. Parameters must be positive and
 * finite; they need not be whole. Pure functions, callable from any thread. Depends on: libm.
 * Called by: learn, analytics' callers of tests. */
#ifndef LEARN_DISTRIBUTION_H
#define LEARN_DISTRIBUTION_H

double distribution_normal_density(double x);
double distribution_normal_cdf(double x);
double distribution_normal_tail(double x);
/* ln P(X <= x), finite however far out. */
double distribution_normal_log_cdf(double x);
double distribution_normal_quantile(double p);

double distribution_chi_square_cdf(double x, double df);
double distribution_chi_square_tail(double x, double df);
double distribution_chi_square_quantile(double p, double df);

double distribution_beta_cdf(double x, double a, double b);
double distribution_beta_tail(double x, double a, double b);
double distribution_beta_quantile(double p, double a, double b);

double distribution_f_cdf(double x, double df1, double df2);
double distribution_f_tail(double x, double df1, double df2);
double distribution_f_quantile(double p, double df1, double df2);

double distribution_t_cdf(double x, double df);
double distribution_t_tail(double x, double df);
double distribution_t_quantile(double p, double df);

/* The t of a normal with mean `delta` over an independent sqrt(chi-square / df). */
double distribution_noncentral_t_cdf(double x, double df, double delta);
double distribution_noncentral_t_tail(double x, double df, double delta);

/* k and n are whole numbers. */
double distribution_binomial_cdf(double k, double n, double p);
double distribution_binomial_tail(double k, double n, double p);
/* The smallest k with P(X <= k) >= q. */
double distribution_binomial_quantile(double q, double n, double p);
#endif
