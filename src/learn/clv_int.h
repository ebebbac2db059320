/* clv_int.h - what the files of the models share.
 *
 * A likelihood here is a product over customers of a sum of positive terms (alive, or left at one
 * of the possible moments). Each term is kept as its logarithm with derivatives. */
#ifndef LEARN_CLV_INT_H
#define LEARN_CLV_INT_H

#include "learn/clv.h"
#include "learn/optimise.h"
#include "learn/special.h"

#define CLV_N OPTIMISE_PARAMETERS_MAX
_Static_assert(CLV_PARAMETERS_MAX == OPTIMISE_PARAMETERS_MAX, "one size of parameter arrays");

/* Customers to fit, equal ones merged; `rising` are tables up to repeats_max + 1 (BG/BB: age). */
struct clv_problem {
    enum clv_model model;
    const struct clv_customer *rows;
    size_t rows_count;
    size_t tables_max;
    struct special_rising rising[6];
};

/* Log-likelihood, gradient and Hessian: optimise_function with a clv_problem. */
optimise_function clv_bgnbd_likelihood; /* BG/NBD and MBG/NBD */
optimise_function clv_pareto_likelihood;
optimise_function clv_bgbb_likelihood;
optimise_function clv_gammagamma_likelihood;

/* Those of clv.h; expected and discounted for one who is known to be alive. */
double clv_bgnbd_alive(const struct clv_fit *fit, const struct clv_customer *customer);
double clv_bgnbd_expected(const struct clv_fit *fit, const struct clv_customer *customer,
                          double weeks);
double clv_bgnbd_discounted(const struct clv_fit *fit, const struct clv_customer *customer,
                            double rate);
double clv_bgnbd_probability(const struct clv_fit *fit, double weeks, size_t repeats);

double clv_pareto_alive(const struct clv_fit *fit, const struct clv_customer *customer);
double clv_pareto_expected(const struct clv_fit *fit, const struct clv_customer *customer,
                           double weeks);
double clv_pareto_discounted(const struct clv_fit *fit, const struct clv_customer *customer,
                             double rate);
double clv_pareto_probability(const struct clv_fit *fit, double weeks, size_t repeats);

double clv_bgbb_alive(const struct clv_fit *fit, const struct clv_customer *customer);
double clv_bgbb_expected(const struct clv_fit *fit, const struct clv_customer *customer,
                         double opportunities);
double clv_bgbb_discounted(const struct clv_fit *fit, const struct clv_customer *customer,
                           double rate);
double clv_bgbb_probability(const struct clv_fit *fit, double opportunities, size_t repeats);

/* From each of `starts` uphill; the best maximum, or ST_INVALID why there is none. */
enum status clv_fit_from(enum clv_model model, optimise_function *function, const void *context,
                         const double (*starts)[CLV_PARAMETERS_MAX], size_t starts_count,
                         struct clv_fit *ret_fit, struct err *err);

/* log P(X = x) of a negative binomial with shape r, after `weeks`; log_ways = log Γ(r+x)/(Γ(r) x!).
 */
double clv_log_ways(double r, size_t repeats);
double clv_log_nbd(double log_ways, double r, double alpha, double weeks, size_t repeats);
#endif
