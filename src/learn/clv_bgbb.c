/* clv_bgbb.c - BG/BB: at each of n opportunities buys with a beta-distributed probability, and
 * before each leaves with another.
 *
 *   L = B(α+x, β+n-x)/B(α, β) × B(γ, δ+n)/B(γ, δ)                                   still there
 *     + Σ B(α+x, β+t_x-x+i)/B(α, β) × B(γ+1, δ+t_x+i)/B(γ, δ), i from 0 to n-t_x-1   left after
 * t_x+i
 *
 * All quotients of betas have whole steps, so each is a product of few factors, and its logarithm
 * and derivatives come from six tables of running sums (special_rising). Expectations: the papers'
 * closed forms divide by γ - 1; the sums over opportunities from which they come do not, and n is
 * small. */
#include "learn/clv_int.h"

#include <math.h>

enum { ALPHA, BETA, GAMMA, DELTA };
enum { OF_ALPHA, OF_BETA, OF_BOUGHT, OF_GAMMA, OF_DELTA, OF_LEFT, TABLES };

/* One term of the sum: steps of the six gamma functions in it. */
struct term {
    size_t bought, missed; /* steps of α, β */
    size_t left, stayed;   /* steps of γ, δ */
};

static double term_log(const struct special_rising *of, const struct term *t)
{
    return of[OF_ALPHA].log[t->bought] + of[OF_BETA].log[t->missed] -
           of[OF_BOUGHT].log[t->bought + t->missed] + of[OF_GAMMA].log[t->left] +
           of[OF_DELTA].log[t->stayed] - of[OF_LEFT].log[t->left + t->stayed];
}

static void term_put(const struct special_rising *of, const struct term *t, double share, double *g,
                     double (*h)[CLV_N])
{
    double buy1 = of[OF_BOUGHT].first[t->bought + t->missed];
    double buy2 = of[OF_BOUGHT].second[t->bought + t->missed];
    double leave1 = of[OF_LEFT].first[t->left + t->stayed];
    double leave2 = of[OF_LEFT].second[t->left + t->stayed];
    const double d[CLV_N] = {
        of[OF_ALPHA].first[t->bought] - buy1, of[OF_BETA].first[t->missed] - buy1,
        of[OF_GAMMA].first[t->left] - leave1, of[OF_DELTA].first[t->stayed] - leave1};
    for (int i = 0; i < CLV_N; i++) {
        g[i] += share * d[i];
        for (int j = i; j < CLV_N; j++)
            h[i][j] += share * d[i] * d[j];
    }
    h[ALPHA][ALPHA] += share * (of[OF_ALPHA].second[t->bought] - buy2);
    h[ALPHA][BETA] -= share * buy2;
    h[BETA][BETA] += share * (of[OF_BETA].second[t->missed] - buy2);
    h[GAMMA][GAMMA] += share * (of[OF_GAMMA].second[t->left] - leave2);
    h[GAMMA][DELTA] -= share * leave2;
    h[DELTA][DELTA] += share * (of[OF_DELTA].second[t->stayed] - leave2);
}

/* Term 0 is "still there", term 1 + i "left after t_x + i". */
static struct term term_of(const struct clv_customer *row, size_t i)
{
    size_t x = (size_t)row->repeats, n = (size_t)row->age, last = (size_t)row->recency;
    if (i == 0)
        return (struct term){x, n - x, 0, n};
    return (struct term){x, last - x + i - 1, 1, last + i - 1};
}

static size_t terms_count(const struct clv_customer *row)
{
    return 1 + (size_t)row->age - (size_t)row->recency;
}

static double row_log(const struct special_rising *of, const struct clv_customer *row)
{
    double value = -INFINITY;
    for (size_t i = 0; i < terms_count(row); i++) {
        struct term t = term_of(row, i);
        value = special_log_sum(value, term_log(of, &t));
    }
    return value;
}

static void tables_fill(const double *p, size_t count, struct special_rising *of)
{
    special_rising_fill(p[ALPHA], count, &of[OF_ALPHA]);
    special_rising_fill(p[BETA], count, &of[OF_BETA]);
    special_rising_fill(p[ALPHA] + p[BETA], count, &of[OF_BOUGHT]);
    special_rising_fill(p[GAMMA], count, &of[OF_GAMMA]);
    special_rising_fill(p[DELTA], count, &of[OF_DELTA]);
    special_rising_fill(p[GAMMA] + p[DELTA], count, &of[OF_LEFT]);
}

double clv_bgbb_likelihood(const void *context, const double *parameters, double *gradient,
                           double (*hessian)[OPTIMISE_PARAMETERS_MAX])
{
    const struct clv_problem *problem = context;
    struct clv_problem tables = *problem;
    tables_fill(parameters, problem->tables_max, tables.rising);
    double value = 0;
    for (size_t r = 0; r < problem->rows_count; r++) {
        const struct clv_customer *row = &problem->rows[r];
        double whole = row_log(tables.rising, row);
        double g[CLV_N] = {0};
        double h[CLV_N][CLV_N] = {0};
        for (size_t i = 0; i < terms_count(row); i++) {
            struct term t = term_of(row, i);
            term_put(tables.rising, &t, exp(term_log(tables.rising, &t) - whole), g, h);
        }
        value += row->weight * whole;
        for (int i = 0; i < CLV_N; i++) {
            gradient[i] += row->weight * g[i];
            for (int j = i; j < CLV_N; j++)
                hessian[i][j] += row->weight * (h[i][j] - g[i] * g[j]);
        }
    }
    for (int i = 0; i < CLV_N; i++)
        for (int j = 0; j < i; j++)
            hessian[i][j] = hessian[j][i];
    return value;
}

/* --- one customer ----------------------------------------------------------------------------- */

/* log B(a+i, b+j)/B(a, b) */
static double log_beta_step(double a, double b, double i, double j)
{
    return special_log_gamma(a + i) - special_log_gamma(a) + special_log_gamma(b + j) -
           special_log_gamma(b) - special_log_gamma(a + b + i + j) + special_log_gamma(a + b);
}

/* log of the whole likelihood, without tables. */
static double customer_log(const double *p, const struct clv_customer *row)
{
    double value = -INFINITY;
    for (size_t i = 0; i < terms_count(row); i++) {
        struct term t = term_of(row, i);
        value = special_log_sum(
            value, log_beta_step(p[ALPHA], p[BETA], (double)t.bought, (double)t.missed) +
                       log_beta_step(p[GAMMA], p[DELTA], (double)t.left, (double)t.stayed));
    }
    return value;
}

double clv_bgbb_alive(const struct clv_fit *fit, const struct clv_customer *customer)
{
    const double *p = fit->parameters;
    double x = customer->repeats, n = customer->age;
    return exp(log_beta_step(p[ALPHA], p[BETA], x, n - x) +
               log_beta_step(p[GAMMA], p[DELTA], 0, n + 1) - customer_log(p, customer));
}

/* P(buys at opportunity n + 1), given there. Still there at n + 1 + j, given at n + j:
 * (δ+n+j) / (γ+δ+n+j). */
static double buys_next(const double *p, const struct clv_customer *customer)
{
    return (p[ALPHA] + customer->repeats) / (p[ALPHA] + p[BETA] + customer->age);
}

double clv_bgbb_expected(const struct clv_fit *fit, const struct clv_customer *customer,
                         double opportunities)
{
    const double *p = fit->parameters;
    double buys = buys_next(p, customer);
    double sum = 0;
    for (double j = 1; j <= opportunities; j++) {
        sum += buys;
        double at = p[DELTA] + customer->age + j;
        buys *= at / (p[GAMMA] + at);
    }
    return sum;
}

double clv_bgbb_discounted(const struct clv_fit *fit, const struct clv_customer *customer,
                           double rate)
{
    const double *p = fit->parameters;
    double step = exp(-rate);
    double buys = step * buys_next(p, customer);
    double sum = 0;
    for (double j = 1; buys > sum * 1e-17 * -expm1(-rate) && buys > 0; j++) {
        sum += buys;
        double at = p[DELTA] + customer->age + j;
        buys *= step * at / (p[GAMMA] + at);
    }
    return sum;
}

static double log_choose(double n, double k)
{
    return special_log_gamma(n + 1) - special_log_gamma(k + 1) - special_log_gamma(n - k + 1);
}

double clv_bgbb_probability(const struct clv_fit *fit, double opportunities, size_t repeats)
{
    const double *p = fit->parameters;
    double n = floor(opportunities), x = (double)repeats;
    if (x > n)
        return 0;
    double value = exp(log_choose(n, x) + log_beta_step(p[ALPHA], p[BETA], x, n - x) +
                       log_beta_step(p[GAMMA], p[DELTA], 0, n));
    for (double i = x; i < n; i++)
        value += exp(log_choose(i, x) + log_beta_step(p[ALPHA], p[BETA], x, i - x) +
                     log_beta_step(p[GAMMA], p[DELTA], 1, i));
    return value;
}
