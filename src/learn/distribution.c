/* distribution.c - probabilities and quantiles of the usual distributions.
 *
 * Problem: p-values are read in the far tail and for millions of units, where the textbook forms
 * lose their digits: exp(lgamma(a + b) - lgamma(a) - lgamma(b)) is wrong in the tenth digit at
 * a = 1e5. Rules:
 *
 *   1. Every prefactor x^a y^b / B(a, b) and x^a e^-x / Γ(a) is the saddle-point form of C. Loader,
 *      "Fast and accurate computation of binomial probabilities" (2000): Stirling errors and
 *      deviances, which stay small where the probability is not small.
 *   2. The incomplete beta is the continued fraction of A. R. DiDonato and A. H. Morris
 *      (1992, eq. 9), the incomplete gamma the series DLMF 8.11.4 or the fraction 8.9.2, by Lentz's
 *      method (modified: Thompson and Barnett 1986); each side of the mean uses the form that
 * converges there and takes the other tail as the complement.
 *   3. t, F and binomial are incomplete betas whose x and 1 - x are both computed, never by
 *      subtraction. The normal is libm's erfc.
 *   4. Quantiles: Newton on the logarithm of the smaller tail, in the coordinate (ln x, or
 *      ln x/(1-x)) in which the density is log-concave, so that Newton converges from any start.
 *      The normal quantile starts from Abramowitz and Stegun 26.2.23 (|error| < 4.5e-4) and takes
 *      Halley steps.
 *   5. The noncentral t is its definition, an integral over ln s of s = sqrt(chi-square/df), by the
 *      trapezoidal rule, which converges geometrically there (Trefethen and Weideman 2014).
 *
 * Why not one library more? These are 300 lines, and the reports' digits hang on them. */
#include "learn/distribution.h"

#include <float.h>
#include <math.h>
#include <stdbool.h>

#include "learn/learn_int.h"

#define LN_SQRT_2PI 0.918938533204672741780329736406
#define SQRT_2PI 2.50662827463100050241576528481
#define TERMS_MAX 1000000 /* both fractions need about sqrt(parameter) terms */
#define TINY 1e-300
#define STEPS_MAX 200

/* --- prefactors (Loader) ---------------------------------------------------------------------- */

/* ln Γ(n + 1) less Stirling's formula. */
static double stirling_error(double n)
{
    int sign;
    if (n < 15)
        return lgamma_r(n + 1, &sign) - (n + 0.5) * log(n) + n - LN_SQRT_2PI;
    double r = 1 / (n * n);
    double sum = 1.0 / 1188 - r * (691.0 / 360360);
    sum = 1.0 / 1680 - r * sum;
    sum = 1.0 / 1260 - r * sum;
    sum = 1.0 / 360 - r * sum;
    return (1.0 / 12 - r * sum) / n;
}

/* x ln(x/m) + m - x, without cancellation where x is near m. */
static double deviance(double x, double m)
{
    double d = x - m;
    if (fabs(d) >= 0.1 * (x + m))
        return x * log(x / m) - d;
    double v = d / (x + m), sum = d * v, term = 2 * x * v;
    for (int j = 1; j < 1000; j++) {
        term *= v * v;
        double next = sum + term / (2 * j + 1);
        if (next == sum)
            break;
        sum = next;
    }
    return sum;
}

/* m^x e^-m / Γ(x + 1) */
static double poisson_term(double x, double m)
{
    if (x == 0 || m == 0)
        return x == 0 ? exp(-m) : 0;
    return exp(-stirling_error(x) - deviance(x, m)) / (SQRT_2PI * sqrt(x));
}

/* Γ(a+b+1) / (Γ(a+1) Γ(b+1)) x^a y^b, with x + y = 1. */
static double binomial_term(double a, double b, double x, double y)
{
    double n = a + b;
    if (x == 0 || y == 0)
        return (x == 0 ? a : b) == 0 ? 1 : 0;
    double exponent = stirling_error(n) - stirling_error(a) - stirling_error(b) -
                      deviance(a, n * x) - deviance(b, n * y);
    return exp(exponent) * sqrt(n / a / b) / SQRT_2PI;
}

double learn_beta_density_logit(double x, double y, double a, double b)
{
    return a * (b / (a + b)) * binomial_term(a, b, x, y);
}

/* x^a e^-x / Γ(a): the density of ln X for X ~ Gamma(a). */
static double gamma_density_log(double x, double a)
{
    return a * poisson_term(a, x);
}

/* --- incomplete beta and gamma ---------------------------------------------------------------- */

/* Lentz's method for b0 + a1/(b1 + a2/(b2 + …)), from c = value = b0; a step is false when settled.
 */
struct fraction {
    double c, d, value;
};

static bool fraction_step(struct fraction *f, double numerator, double denominator)
{
    f->d = denominator + numerator * f->d;
    f->c = denominator + numerator / f->c;
    if (fabs(f->d) < TINY)
        f->d = TINY;
    if (fabs(f->c) < TINY)
        f->c = TINY;
    f->d = 1 / f->d;
    double factor = f->c * f->d;
    f->value *= factor;
    return fabs(factor - 1) > DBL_EPSILON / 2;
}

/* I_x(a, b) where x is below the mean. a y - b x, not a - (a + b) x: exact also when x is near 1.
 */
static double beta_fraction(double x, double y, double a, double b)
{
    double scale = learn_beta_density_logit(x, y, a, b);
    double first = a * (a * y - b * x + 1) / (a + 1);
    struct fraction f = {.c = first, .d = 0, .value = first};
    if (scale == 0)
        return 0;
    for (double n = 1; n < TERMS_MAX; n++) {
        double k = a + 2 * n - 1;
        double over = (a + n - 1) / k * ((a + b + n - 1) / k) * n * (b - n) * x * x;
        double under =
            n + n * (b - n) * x / k + (a + n) * (a * y - b * x + 1 + n * (1 + y)) / (k + 2);
        if (!fraction_step(&f, over, under))
            break;
    }
    return fmin(1, scale / f.value);
}

struct learn_tails learn_beta_tails(double x, double y, double a, double b)
{
    if (!(x > 0) || !(y > 0))
        return x > 0 ? (struct learn_tails){1, 0} : (struct learn_tails){0, 1};
    if (x * (a + b) < a) {
        double lower = beta_fraction(x, y, a, b);
        return (struct learn_tails){lower, 1 - lower};
    }
    double upper = beta_fraction(y, x, b, a);
    return (struct learn_tails){1 - upper, upper};
}

static double gamma_series(double x, double a)
{
    double sum = 1, term = 1;
    for (double n = 1; n < TERMS_MAX && term > sum * (DBL_EPSILON / 4); n++) {
        term *= x / (a + n);
        sum += term;
    }
    return poisson_term(a, x) * sum;
}

static double gamma_fraction(double x, double a)
{
    struct fraction f = {.c = x + 1 - a, .d = 0, .value = x + 1 - a};
    for (double n = 1; n < TERMS_MAX; n++)
        if (!fraction_step(&f, n * (a - n), x + 1 - a + 2 * n))
            break;
    return gamma_density_log(x, a) / f.value;
}

static struct learn_tails gamma_tails(double x, double a)
{
    if (!(x > 0))
        return (struct learn_tails){0, 1};
    if (isinf(x))
        return (struct learn_tails){1, 0};
    if (x < a + 1) {
        double lower = gamma_series(x, a);
        return (struct learn_tails){lower, 1 - lower};
    }
    double upper = gamma_fraction(x, a);
    return (struct learn_tails){1 - upper, upper};
}

/* --- normal ----------------------------------------------------------------------------------- */

double distribution_normal_density(double x)
{
    return exp(-x * x / 2) / SQRT_2PI;
}

double distribution_normal_cdf(double x)
{
    return 0.5 * erfc(-x * M_SQRT1_2);
}

double distribution_normal_tail(double x)
{
    return 0.5 * erfc(x * M_SQRT1_2);
}

double distribution_normal_log_cdf(double x)
{
    if (x > 0)
        return log1p(-distribution_normal_tail(x));
    if (x > -30)
        return log(distribution_normal_cdf(x));
    /* Abramowitz and Stegun 26.2.12; at 30 the first term left out is below 1e-11 of the sum's
     * smallest kept, and the sum below 2e-3 of the logarithm. */
    double r = 1 / (x * x);
    double series = -r * (1 - 3 * r * (1 - 5 * r * (1 - 7 * r * (1 - 9 * r))));
    return -x * x / 2 - log(-x) - LN_SQRT_2PI + log1p(series);
}

double distribution_normal_quantile(double p)
{
    if (!(p > 0 && p < 1))
        return p == 0 ? -INFINITY : p == 1 ? INFINITY : NAN;
    if (p > 0.5)
        return -distribution_normal_quantile(1 - p); /* exact subtraction: p >= 1/2 */
    double t = sqrt(-2 * log(p));
    double x = (2.515517 + t * (0.802853 + t * 0.010328)) /
                   (1 + t * (1.432788 + t * (0.189269 + t * 0.001308))) -
               t;
    for (int i = 0; i < 4; i++) {
        double density = distribution_normal_density(x);
        if (density == 0)
            break;
        double error = (distribution_normal_cdf(x) - p) / density;
        x -= error / (1 + x * error / 2);
    }
    return x;
}

/* --- quantiles by Newton on the logarithm of a tail ------------------------------------------- */

struct tail_curve {
    bool is_beta; /* in u = ln x/(1-x); else gamma, in u = ln x */
    double a, b;
};

static struct learn_tails curve_at(const struct tail_curve *curve, double u, double *ret_slope)
{
    if (!curve->is_beta) {
        double x = exp(u);
        *ret_slope = gamma_density_log(x, curve->a);
        return gamma_tails(x, curve->a);
    }
    double x = 1 / (1 + exp(-u)), y = 1 / (1 + exp(u));
    *ret_slope = learn_beta_density_logit(x, y, curve->a, curve->b);
    return learn_beta_tails(x, y, curve->a, curve->b);
}

/* The u at which the lower tail is p and the upper q. */
static double curve_solve(const struct tail_curve *curve, double p, double q, double u)
{
    double last = INFINITY, before = u;
    for (int i = 0; i < STEPS_MAX; i++) {
        double slope;
        struct learn_tails tails = curve_at(curve, u, &slope);
        double tail = p <= q ? tails.lower : tails.upper;
        if (!(slope > 0) || !(tail > 0)) { /* a step so far out that nothing is left there */
            u = (u + before) / 2;
            continue;
        }
        double step = p <= q ? log(tail / p) * tail / slope : log(q / tail) * tail / slope;
        before = u;
        u = fmax(-700, fmin(700, u - step));
        bool settled = fabs(step) <= 1e-15 * fmax(1, fabs(u));
        bool turning = fabs(step) < 1e-12 && fabs(step) >= last;
        if (settled || turning)
            break;
        last = fabs(step);
    }
    return u;
}

/* ln x/(1-x) of the quantile whose lower tail is p and whose upper is q. */
static double beta_quantile_logit(double p, double q, double a, double b)
{
    struct tail_curve curve = {.is_beta = true, .a = a, .b = b};
    return curve_solve(&curve, p, q, log(a / b));
}

static double edge(double p, double least, double most)
{
    return p == 0 ? least : p == 1 ? most : NAN;
}

/* --- chi-square, beta, F ---------------------------------------------------------------------- */

double distribution_chi_square_cdf(double x, double df)
{
    return gamma_tails(x / 2, df / 2).lower;
}

double distribution_chi_square_tail(double x, double df)
{
    return gamma_tails(x / 2, df / 2).upper;
}

double distribution_chi_square_quantile(double p, double df)
{
    struct tail_curve curve = {.is_beta = false, .a = df / 2};
    if (!(p > 0 && p < 1))
        return edge(p, 0, INFINITY);
    return 2 * exp(curve_solve(&curve, p, 1 - p, log(df / 2)));
}

double distribution_beta_cdf(double x, double a, double b)
{
    return learn_beta_tails(x, 1 - x, a, b).lower;
}

double distribution_beta_tail(double x, double a, double b)
{
    return learn_beta_tails(x, 1 - x, a, b).upper;
}

double distribution_beta_quantile(double p, double a, double b)
{
    if (!(p > 0 && p < 1))
        return edge(p, 0, 1);
    return 1 / (1 + exp(-beta_quantile_logit(p, 1 - p, a, b)));
}

static struct learn_tails f_tails(double x, double df1, double df2)
{
    double odds = x * (df1 / df2);
    if (!(odds > 0))
        return (struct learn_tails){0, 1};
    if (isinf(odds))
        return (struct learn_tails){1, 0};
    return learn_beta_tails(1 / (1 + 1 / odds), 1 / (1 + odds), df1 / 2, df2 / 2);
}

double distribution_f_cdf(double x, double df1, double df2)
{
    return f_tails(x, df1, df2).lower;
}

double distribution_f_tail(double x, double df1, double df2)
{
    return f_tails(x, df1, df2).upper;
}

double distribution_f_quantile(double p, double df1, double df2)
{
    if (!(p > 0 && p < 1))
        return edge(p, 0, INFINITY);
    return df2 / df1 * exp(beta_quantile_logit(p, 1 - p, df1 / 2, df2 / 2));
}

/* --- t ---------------------------------------------------------------------------------------- */

/* T² is F(1, df): half of its upper tail is the tail beyond |x|. */
double distribution_t_tail(double x, double df)
{
    if (df > T_IS_NORMAL_DF)
        return distribution_normal_tail(x);
    double beyond = f_tails(x * x, 1, df).upper / 2;
    return x >= 0 ? beyond : 1 - beyond;
}

double distribution_t_cdf(double x, double df)
{
    return distribution_t_tail(-x, df);
}

double distribution_t_quantile(double p, double df)
{
    if (!(p > 0 && p < 1))
        return edge(p, -INFINITY, INFINITY);
    if (p == 0.5)
        return 0;
    if (df > T_IS_NORMAL_DF)
        return distribution_normal_quantile(p);
    double beyond = p < 0.5 ? p : 1 - p;
    double u = beta_quantile_logit(1 - 2 * beyond, 2 * beyond, 0.5, df / 2);
    double t = sqrt(df) * exp(u / 2);
    return p < 0.5 ? -t : t;
}

/* ∫ P(Z <= sign (x s - delta)) g(ln s) d ln s, g the density of ln sqrt(chi-square/df). */
static double noncentral_t(double x, double df, double delta, double sign)
{
    double step = 1 / (3 * (1 + sqrt(2 * df) + fabs(delta)));
    double sum = 0;
    for (int side = -1; side <= 1; side += 2) {
        for (double k = side > 0 ? 0 : 1;; k++) {
            double v = side * k * step, squared = exp(2 * v);
            double density = df * poisson_term(df / 2, df / 2 * squared);
            sum += density * distribution_normal_cdf(sign * (x * exp(v) - delta));
            if (density < 1e-20) /* the density only falls on either side of 0 */
                break;
        }
    }
    return fmin(1, sum * step);
}

/* The same by the normal part: s >= (Z + delta)/x, a smooth function of Z where delta is large, for
 * which the step above would be too fine. For delta > 20, so that Z + delta > 0. */
static struct learn_tails noncentral_t_far(double x, double df, double delta)
{
    struct learn_tails out = {0, 0};
    const double step = 0.25;
    if (x <= 0)
        return (struct learn_tails){distribution_normal_tail(delta), 1};
    for (double z = -10; z <= 10; z += step) {
        double s = (z + delta) / x, weight = step * distribution_normal_density(z);
        struct learn_tails at = gamma_tails(df / 2 * s * s, df / 2);
        out.lower += weight * at.upper;
        out.upper += weight * at.lower;
    }
    return out;
}

double distribution_noncentral_t_cdf(double x, double df, double delta)
{
    if (delta < 0)
        return distribution_noncentral_t_tail(-x, df, -delta);
    if (delta > 20 && delta > 2 * sqrt(df))
        return noncentral_t_far(x, df, delta).lower;
    return noncentral_t(x, df, delta, 1);
}

double distribution_noncentral_t_tail(double x, double df, double delta)
{
    if (delta < 0)
        return distribution_noncentral_t_cdf(-x, df, -delta);
    if (delta > 20 && delta > 2 * sqrt(df))
        return noncentral_t_far(x, df, delta).upper;
    return noncentral_t(x, df, delta, -1);
}

/* --- binomial --------------------------------------------------------------------------------- */

static struct learn_tails binomial_tails(double k, double n, double p)
{
    if (k < 0)
        return (struct learn_tails){0, 1};
    if (k >= n)
        return (struct learn_tails){1, 0};
    struct learn_tails swapped = learn_beta_tails(p, 1 - p, k + 1, n - k);
    return (struct learn_tails){swapped.upper, swapped.lower};
}

double distribution_binomial_cdf(double k, double n, double p)
{
    return binomial_tails(floor(k), n, p).lower;
}

double distribution_binomial_tail(double k, double n, double p)
{
    return binomial_tails(floor(k), n, p).upper;
}

double distribution_binomial_quantile(double q, double n, double p)
{
    double low = -1, high = n; /* cdf(low) < q <= cdf(high) */
    if (!(q > 0 && q < 1))
        return edge(q, 0, n);
    while (high - low > 1) {
        double middle = floor((low + high) / 2);
        if (distribution_binomial_cdf(middle, n, p) >= q)
            high = middle;
        else
            low = middle;
    }
    return high;
}
