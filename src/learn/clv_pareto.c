/* clv_pareto.c - Pareto/NBD: buys at a gamma-distributed rate, lives an exponential time whose rate
 * is gamma-distributed too.
 *
 *   L = Γ(r+x) α^r β^s / Γ(r) × { (α+T)^-(r+x) (β+T)^-s
 *                                 + s ∫ (α+t)^-(r+x) (β+t)^-(s+1) dt, t from t_x to T }
 *
 * The papers give the integral as a difference of two 2F1, with a branch for α >= β, that loses all
 * its digits for t_x near T and underflows for x = 221. Here it is integrated: the integrand is
 * positive, falls, and is smooth in u = log(min(α, β) + t). The 16 points of a piece serve the
 * value and all its derivatives, since those only put logarithms and reciprocals under the
 * integral.
 *
 * Invariants: see special.c; clv_test.c compares with the 2F1 form in 50 digits on both sides of
 * α = β, and the derivatives with differences of the value. */
#include "learn/clv_int.h"

#include <math.h>

enum { R, ALPHA, S, BETA };

/* --- the integral ----------------------------------------------------------------------------- */

/* Sums over nodes of weight × products of: 1, 1/(α+t), log(α+t), 1/(β+t), log(β+t). */
enum { ONE, REC_A, LOG_A, REC_B, LOG_B, BASES };

struct moments {
    double top; /* the log of the scale of `sum` */
    double sum[BASES][BASES];
};

struct integrand {
    double k;     /* r + x, the exponent of α + t */
    double m;     /* s + 1, that of β + t */
    double near;  /* min(α, β) */
    double apart; /* max - min */
    bool alpha_near;
    bool moments; /* all sums, or only [ONE][ONE] */
};

/* How fast the logarithm of the integrand falls per unit of u. */
static double fall(const struct integrand *f, double u)
{
    double share = 1 / (1 + f->apart * exp(-u)); /* (near + t) / (far + t) */
    return f->alpha_near ? f->k + f->m * share : f->m + f->k * share;
}

static double put_node(const struct integrand *f, double u, double weight, struct moments *moments)
{
    double near = exp(u);
    double log_far = log(near + f->apart);
    double log_a = f->alpha_near ? u : log_far;
    double log_b = f->alpha_near ? log_far : u;
    double level = u - f->k * log_a - f->m * log_b - moments->top;
    double w = weight * exp(level);
    moments->sum[ONE][ONE] += w;
    if (!f->moments)
        return level;
    double far = near + f->apart;
    const double base[BASES] = {1, 1 / (f->alpha_near ? near : far), log_a,
                                1 / (f->alpha_near ? far : near), log_b};
    for (int i = 0; i < BASES; i++) {
        double wi = w * base[i];
        for (int j = i + (i == 0); j < BASES; j++)
            moments->sum[i][j] += wi * base[j];
    }
    return level;
}

/* Over t from `from` to `to`. */
static void integrate(const double *p, double x, double from, double to, bool all,
                      struct moments *moments)
{
    const struct integrand f = {.k = p[R] + x,
                                .m = p[S] + 1,
                                .near = fmin(p[ALPHA], p[BETA]),
                                .apart = fabs(p[ALPHA] - p[BETA]),
                                .alpha_near = p[ALPHA] <= p[BETA],
                                .moments = all};
    double u = log(f.near + from);
    double length = log1p((to - from) / (f.near + from));
    *moments = (struct moments){.top = u - f.k * log(p[ALPHA] + from) - f.m * log(p[BETA] + from)};
    for (double level = 0; length > 0 && level > -SPECIAL_NOTHING;) {
        double step = fmin(length, fmin(1.5, 12 / fall(&f, u)));
        step = fmin(step, 16 / fall(&f, u + step));
        for (int i = 0; i < SPECIAL_HALF; i++) {
            double away = 0.5 * step * special_node[i];
            double weight = 0.5 * step * special_weight[i];
            put_node(&f, u + 0.5 * step - away, weight, moments);
            level = put_node(&f, u + 0.5 * step + away, weight, moments);
        }
        length = step < length ? length - step : 0;
        u += step;
    }
}

/* --- likelihood ------------------------------------------------------------------------------- */

/* The derivatives of the integral's logarithm, times its share of the braces. */
static void put_left(const double *p, double k, const struct moments *moments, double share,
                     double *g, double (*h)[CLV_N])
{
    double scale = 1 / moments->sum[ONE][ONE];
    double m = p[S] + 1;
    /* d log integrand: by r -LOG_A, by alpha -k REC_A, by s 1/s - LOG_B, by beta -m REC_B. */
    static const int base[CLV_N] = {LOG_A, REC_A, LOG_B, REC_B};
    const double factor[CLV_N] = {-1, -k, -1, -m};
    double add[CLV_N] = {0, 0, 1 / p[S], 0};
    double mean[CLV_N];
    for (int i = 0; i < CLV_N; i++) {
        mean[i] = factor[i] * moments->sum[ONE][base[i]] * scale;
        g[i] += share * (mean[i] + add[i]);
    }
    for (int i = 0; i < CLV_N; i++)
        for (int j = i; j < CLV_N; j++) {
            int low = base[i] < base[j] ? base[i] : base[j];
            int high = base[i] < base[j] ? base[j] : base[i];
            double product = factor[i] * factor[j] * moments->sum[low][high] * scale;
            h[i][j] += share * (product + add[i] * mean[j] + add[j] * mean[i] + add[i] * add[j]);
        }
    h[R][ALPHA] -= share * moments->sum[ONE][REC_A] * scale;
    h[ALPHA][ALPHA] += share * k * moments->sum[REC_A][REC_A] * scale;
    h[S][S] -= share / (p[S] * p[S]);
    h[S][BETA] -= share * moments->sum[ONE][REC_B] * scale;
    h[BETA][BETA] += share * m * moments->sum[REC_B][REC_B] * scale;
}

static void put_alive(const double *p, double k, double age, double share, double *g,
                      double (*h)[CLV_N])
{
    double a = 1 / (p[ALPHA] + age);
    double b = 1 / (p[BETA] + age);
    const double d[CLV_N] = {log(a), -k * a, log(b), -p[S] * b};
    for (int i = 0; i < CLV_N; i++) {
        g[i] += share * d[i];
        for (int j = i; j < CLV_N; j++)
            h[i][j] += share * d[i] * d[j];
    }
    h[R][ALPHA] -= share * a;
    h[ALPHA][ALPHA] += share * k * a * a;
    h[S][BETA] -= share * b;
    h[BETA][BETA] += share * p[S] * b * b;
}

/* The braces of one customer: log, with derivatives added under `weight`. */
static double braces(const double *p, const struct clv_customer *row, double *gradient,
                     double (*hessian)[CLV_N])
{
    struct moments moments;
    double k = p[R] + row->repeats;
    integrate(p, row->repeats, row->recency, row->age, true, &moments);
    double alive = -k * log(p[ALPHA] + row->age) - p[S] * log(p[BETA] + row->age);
    double left = moments.sum[ONE][ONE] > 0
                      ? log(p[S]) + moments.top + log(moments.sum[ONE][ONE])
                      : -INFINITY; /* recency = age: no time in which to have left */
    double value = special_log_sum(alive, left);
    double g[CLV_N] = {0};
    double h[CLV_N][CLV_N] = {0};
    put_alive(p, k, row->age, exp(alive - value), g, h);
    if (left > -INFINITY)
        put_left(p, k, &moments, exp(left - value), g, h);
    for (int i = 0; i < CLV_N; i++) {
        gradient[i] += row->weight * g[i];
        for (int j = i; j < CLV_N; j++)
            hessian[i][j] += row->weight * (h[i][j] - g[i] * g[j]);
    }
    return row->weight * value;
}

double clv_pareto_likelihood(const void *context, const double *parameters, double *gradient,
                             double (*hessian)[OPTIMISE_PARAMETERS_MAX])
{
    const struct clv_problem *problem = context;
    const double *p = parameters;
    struct special_rising r = problem->rising[0];
    special_rising_fill(p[R], problem->tables_max, &r);
    double value = 0;
    for (size_t i = 0; i < problem->rows_count; i++) {
        const struct clv_customer *row = &problem->rows[i];
        size_t x = (size_t)row->repeats;
        double weight = row->weight;
        value += braces(p, row, gradient, hessian);
        value += weight * (r.log[x] + p[R] * log(p[ALPHA]) + p[S] * log(p[BETA]));
        gradient[R] += weight * (r.first[x] + log(p[ALPHA]));
        gradient[ALPHA] += weight * p[R] / p[ALPHA];
        gradient[S] += weight * log(p[BETA]);
        gradient[BETA] += weight * p[S] / p[BETA];
        hessian[R][R] += weight * r.second[x];
        hessian[R][ALPHA] += weight / p[ALPHA];
        hessian[ALPHA][ALPHA] -= weight * p[R] / (p[ALPHA] * p[ALPHA]);
        hessian[S][BETA] += weight / p[BETA];
        hessian[BETA][BETA] -= weight * p[S] / (p[BETA] * p[BETA]);
    }
    for (int i = 0; i < CLV_N; i++)
        for (int j = 0; j < i; j++)
            hessian[i][j] = hessian[j][i];
    return value;
}

/* --- one customer ----------------------------------------------------------------------------- */

double clv_pareto_alive(const struct clv_fit *fit, const struct clv_customer *customer)
{
    const double *p = fit->parameters;
    struct moments moments;
    integrate(p, customer->repeats, customer->recency, customer->age, false, &moments);
    if (!(moments.sum[ONE][ONE] > 0))
        return 1;
    double alive = -(p[R] + customer->repeats) * log(p[ALPHA] + customer->age) -
                   p[S] * log(p[BETA] + customer->age);
    double left = log(p[S]) + moments.top + log(moments.sum[ONE][ONE]);
    return 1 / (1 + exp(left - alive));
}

double clv_pareto_expected(const struct clv_fit *fit, const struct clv_customer *customer,
                           double weeks)
{
    const double *p = fit->parameters;
    double rate = (p[R] + customer->repeats) / (p[ALPHA] + customer->age);
    double length = log1p(weeks / (p[BETA] + customer->age));
    /* (1 - e^-(s-1)length) / (s-1), whose limit for s = 1 is length. */
    double exponent = (p[S] - 1) * length;
    double life = fabs(exponent) < 1e-12 ? length : -expm1(-exponent) / (p[S] - 1);
    return rate * (p[BETA] + customer->age) * life;
}

double clv_pareto_discounted(const struct clv_fit *fit, const struct clv_customer *customer,
                             double rate)
{
    /* The paper's Ψ(s, s; z) z^(s-1), z = rate (β+T), is e^z E_s(z). */
    const double *p = fit->parameters;
    double late = p[BETA] + customer->age;
    return (p[R] + customer->repeats) / (p[ALPHA] + customer->age) * late *
           special_exponential_integral(p[S], rate * late);
}

/* Lives on: an NBD of the whole time; else of the time until the life ended, u = log(1 + t/β). */
double clv_pareto_probability(const struct clv_fit *fit, double weeks, size_t repeats)
{
    const double *p = fit->parameters;
    double length = log1p(weeks / p[BETA]);
    double ways = clv_log_ways(p[R], repeats);
    double value = exp(clv_log_nbd(ways, p[R], p[ALPHA], weeks, repeats) - p[S] * length);
    size_t pieces = (size_t)ceil(length * (2 + p[S] + sqrt((double)repeats))) + 1;
    double half = 0.5 * length / (double)pieces;
    for (size_t i = 0; i < pieces; i++)
        for (int j = 0; j < SPECIAL_HALF; j++)
            for (int side = -1; side <= 1; side += 2) {
                double u = half * (2 * (double)i + 1 + side * special_node[j]);
                double t = p[BETA] * expm1(u);
                value += half * special_weight[j] * p[S] *
                         exp(clv_log_nbd(ways, p[R], p[ALPHA], t, repeats) - p[S] * u);
            }
    return value;
}
