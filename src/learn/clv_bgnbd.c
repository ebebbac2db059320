/* clv_bgnbd.c - BG/NBD and MBG/NBD: buys at a gamma-distributed rate, and after each purchase
 * leaves with a beta-distributed probability.
 *
 * The two models differ in one coin: MBG/NBD tosses it after the first purchase too, BG/NBD only
 * after repeats. With n = x + coin tosses so far, each likelihood is
 *
 *   Γ(r+x) α^r / Γ(r) × B(a, b+n) / B(a, b)
 *     × { (α+T)^-(r+x) + [n > 0] a / (b+n-1) (α+t_x)^-(r+x) }
 *
 * so one file serves both. Who never bought again has no second term in BG/NBD: such a customer
 * cannot have left, which is that model's known oddity.
 *
 * Expectations: given alive, λ is Gamma(r+x, α+T) and p is Beta(a, b+n). The papers integrate to a
 * 2F1 and divide by a - 1; here the mean over p of (1 - (1 + p z)^-k) / p is taken as it stands
 * (k = r+x, z = t/(α+T)), which is the same number and has no gap at a = 1. */
#include "learn/clv_int.h"

#include <math.h>

enum { R, ALPHA, A, B };

/* Coin tosses before the first repeat purchase. */
static double early(enum clv_model model)
{
    return model == CLV_MBGNBD ? 1 : 0;
}

/* --- likelihood ------------------------------------------------------------------------------- */

/* The factors in front of the braces, for a customer with `x` repeats and `n` tosses. */
static double front(const struct clv_problem *problem, const double *p, size_t x, size_t n,
                    double weight, double *g, double (*h)[CLV_N])
{
    const struct special_rising *r = &problem->rising[0];
    const struct special_rising *b = &problem->rising[1];
    const struct special_rising *ab = &problem->rising[2];
    g[R] += weight * (r->first[x] + log(p[ALPHA]));
    g[ALPHA] += weight * p[R] / p[ALPHA];
    g[A] -= weight * ab->first[n];
    g[B] += weight * (b->first[n] - ab->first[n]);
    h[R][R] += weight * r->second[x];
    h[R][ALPHA] += weight / p[ALPHA];
    h[ALPHA][ALPHA] -= weight * p[R] / (p[ALPHA] * p[ALPHA]);
    h[A][A] -= weight * ab->second[n];
    h[A][B] -= weight * ab->second[n];
    h[B][B] += weight * (b->second[n] - ab->second[n]);
    return weight * (r->log[x] + p[R] * log(p[ALPHA]) + b->log[n] - ab->log[n]);
}

/* The braces: the sum of two terms, whose shares are those of the posterior alive and left. */
static double braces(const double *p, const struct clv_customer *row, double n, double *g,
                     double (*h)[CLV_N])
{
    double k = p[R] + row->repeats;
    double late = 1 / (p[ALPHA] + row->age);
    double log_late = -log(late);
    double weight = row->weight;
    if (n <= 0) {
        g[R] -= weight * log_late;
        g[ALPHA] -= weight * k * late;
        h[R][ALPHA] -= weight * late;
        h[ALPHA][ALPHA] += weight * k * late * late;
        return -weight * k * log_late;
    }
    double soon = 1 / (p[ALPHA] + row->recency);
    double log_soon = -log(soon);
    double tail = p[B] + n - 1;
    double alive = -k * log_late;
    double left = log(p[A] / tail) - k * log_soon;
    double value = special_log_sum(alive, left);
    double w0 = exp(alive - value);
    double w1 = exp(left - value);
    const double first[CLV_N] = {-log_late, -k * late, 0, 0};
    const double second[CLV_N] = {-log_soon, -k * soon, 1 / p[A], -1 / tail};
    for (int i = 0; i < CLV_N; i++) {
        g[i] += weight * (w0 * first[i] + w1 * second[i]);
        for (int j = i; j < CLV_N; j++)
            h[i][j] += weight * w0 * w1 * (first[i] - second[i]) * (first[j] - second[j]);
    }
    h[R][ALPHA] -= weight * (w0 * late + w1 * soon);
    h[ALPHA][ALPHA] += weight * k * (w0 * late * late + w1 * soon * soon);
    h[A][A] -= weight * w1 / (p[A] * p[A]);
    h[B][B] += weight * w1 / (tail * tail);
    return weight * value;
}

double clv_bgnbd_likelihood(const void *context, const double *parameters, double *gradient,
                            double (*hessian)[OPTIMISE_PARAMETERS_MAX])
{
    const struct clv_problem *problem = context;
    struct clv_problem tables = *problem;
    double coin = early(problem->model);
    special_rising_fill(parameters[R], problem->tables_max, &tables.rising[0]);
    special_rising_fill(parameters[B], problem->tables_max, &tables.rising[1]);
    special_rising_fill(parameters[A] + parameters[B], problem->tables_max, &tables.rising[2]);
    double value = 0;
    double same = 0; /* weight of the run of rows with equal repeats: rows are sorted by them */
    for (size_t i = 0; i < problem->rows_count; i++) {
        const struct clv_customer *row = &problem->rows[i];
        value += braces(parameters, row, row->repeats + coin, gradient, hessian);
        same += row->weight;
        if (i + 1 == problem->rows_count || row[1].repeats != row->repeats) {
            value += front(&tables, parameters, (size_t)row->repeats, (size_t)(row->repeats + coin),
                           same, gradient, hessian);
            same = 0;
        }
    }
    for (int i = 0; i < CLV_N; i++)
        for (int j = 0; j < i; j++)
            hessian[i][j] = hessian[j][i];
    return value;
}

/* --- one customer ----------------------------------------------------------------------------- */

double clv_bgnbd_alive(const struct clv_fit *fit, const struct clv_customer *customer)
{
    const double *p = fit->parameters;
    double n = customer->repeats + early(fit->model);
    if (n <= 0)
        return 1;
    double odds = log(p[A] / (p[B] + n - 1)) +
                  (p[R] + customer->repeats) *
                      log1p((customer->age - customer->recency) / (p[ALPHA] + customer->recency));
    return 1 / (1 + exp(odds));
}

struct future {
    double k; /* r + x */
    double z; /* t / (α + T) */
    double rate;
};

/* Purchases until z of one who leaves with probability p after each. */
static double purchases_of(double p, double q, const void *context)
{
    (void)q;
    const struct future *future = context;
    double gone = -expm1(-future->k * log1p(p * future->z));
    return p * future->z < 1e-300 ? future->k * future->z : gone / p;
}

double clv_bgnbd_expected(const struct clv_fit *fit, const struct clv_customer *customer,
                          double weeks)
{
    const double *p = fit->parameters;
    const struct future future = {.k = p[R] + customer->repeats,
                                  .z = weeks / (p[ALPHA] + customer->age)};
    double n = customer->repeats + early(fit->model);
    return special_beta_mean(p[A], p[B] + n, purchases_of, &future);
}

/* The same for ever, discounted: the mean over λ of λ / (λ p + rate). */
static double discounted_of(double p, double q, const void *context)
{
    (void)q;
    const struct future *future = context;
    double z = future->rate / p;
    if (!(z < 1e9))
        return future->k / future->rate;
    return future->k / p * special_exponential_integral(future->k + 1, z);
}

double clv_bgnbd_discounted(const struct clv_fit *fit, const struct clv_customer *customer,
                            double rate)
{
    const double *p = fit->parameters;
    const struct future future = {.k = p[R] + customer->repeats,
                                  .rate = rate * (p[ALPHA] + customer->age)};
    double n = customer->repeats + early(fit->model);
    return special_beta_mean(p[A], p[B] + n, discounted_of, &future);
}

/* P(NBD >= x): the tail is summed, for 1 - (all before) would have lost its digits. */
static double nbd_from(double r, double alpha, double weeks, size_t x)
{
    if (x == 0)
        return 1;
    double ratio = weeks / (alpha + weeks);
    double term = exp(clv_log_nbd(clv_log_ways(r, x), r, alpha, weeks, x));
    double sum = term;
    for (double j = (double)x; term > sum * 1e-17 && term > 0; j++) {
        term *= ratio * (r + j) / (j + 1);
        sum += term;
    }
    return fmin(sum, 1);
}

double clv_bgnbd_probability(const struct clv_fit *fit, double weeks, size_t repeats)
{
    const double *p = fit->parameters;
    size_t n = repeats + (size_t)early(fit->model);
    double log_stay = special_log_gamma(p[B] + (double)n) - special_log_gamma(p[B]) +
                      special_log_gamma(p[A] + p[B]) - special_log_gamma(p[A] + p[B] + (double)n);
    double value =
        exp(log_stay + clv_log_nbd(clv_log_ways(p[R], repeats), p[R], p[ALPHA], weeks, repeats));
    if (n > 0)
        value += exp(log_stay) * p[A] / (p[B] + (double)n - 1) *
                 nbd_from(p[R], p[ALPHA], weeks, repeats);
    return value;
}
