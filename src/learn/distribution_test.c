/* distribution_test.c - probabilities against closed forms and tables, tails and quantiles against
 * each other.
 *
 * Closed forms: t with 1 and 2 degrees of freedom, chi-square with 2, beta with a = 1, small
 * binomials. Values with more digits than tables have are from those forms. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>

#include "learn/distribution.h"
#include "learn/learn_int.h"

static void near(double value, double expected, double relative)
{
    if (!(fabs(value - expected) <= relative * fabs(expected)))
        print_error("%.17g is not %.17g\n", value, expected);
    assert_true(fabs(value - expected) <= relative * fabs(expected));
}

static void the_normal_keeps_its_digits_in_the_tails(void **state)
{
    (void)state;
    near(distribution_normal_quantile(0.975), 1.959963984540054, 1e-15);
    near(distribution_normal_cdf(-10), 7.619853024160527e-24, 1e-13);
    near(distribution_normal_log_cdf(-40), -804.6084420137538, 1e-14);
    near(distribution_normal_log_cdf(-29.999999), distribution_normal_log_cdf(-30.000001), 1e-6);
    for (double x = -37; x < 5; x += 0.373)
        near(distribution_normal_quantile(distribution_normal_cdf(x)), x, x < 0 ? 1e-14 : 1e-9);
    assert_true(isinf(distribution_normal_quantile(0)));
    assert_true(isnan(distribution_normal_quantile(-1)));
}

static void t_follows_its_closed_forms(void **state)
{
    (void)state;
    for (double x = -50; x < 50; x += 0.7) {
        double cauchy = x < 0 ? atan2(1, -x) / M_PI : 1 - atan2(1, x) / M_PI;
        double two = x / sqrt(2 + x * x), tail = 1 / (2 + x * x) / (1 + fabs(two));
        near(distribution_t_cdf(x, 1), cauchy, 1e-13);
        near(distribution_t_cdf(x, 2), x < 0 ? tail : 1 - tail, 1e-13);
    }
    near(distribution_t_quantile(0.975, 1), 12.706204736174704, 1e-14);
    near(distribution_t_quantile(0.975, 10), 2.228138851964939, 1e-10);
}

static void t_becomes_normal_without_a_step(void **state)
{
    (void)state;
    for (double df = 1e8; df < 1e19; df *= 10) /* Abramowitz and Stegun 26.7.8, two terms */
        near(distribution_t_tail(3, df),
             distribution_normal_tail(3) + distribution_normal_density(3) * 7.5 / df, 3e-13);
}

static void chi_square_and_beta_follow_their_closed_forms(void **state)
{
    (void)state;
    for (double x = 0.01; x < 700; x *= 1.7) {
        near(distribution_chi_square_tail(x, 2), exp(-x / 2), 1e-13);
        near(distribution_chi_square_cdf(x, 2), -expm1(-x / 2), 1e-13);
        near(distribution_chi_square_tail(x, 1), erfc(sqrt(x / 2)), 2e-13);
    }
    for (double x = 0.001; x < 1; x += 0.0371) {
        near(distribution_beta_cdf(x, 1, 7.5), -expm1(7.5 * log1p(-x)), 1e-13);
        near(distribution_beta_cdf(x, 3.25, 1), pow(x, 3.25), 1e-13);
    }
    near(distribution_beta_cdf(0.3, 2, 5), 0.579825, 1e-13);
    near(distribution_beta_cdf(0.5, 1e8, 1e8), 0.5, 1e-13);
    near(distribution_f_tail(4, 2, 10), pow(1 + 2 * 4 / 10.0, -5), 1e-13);
}

static void quantiles_undo_probabilities(void **state)
{
    static const double p[] = {1e-12, 0.001, 0.25, 0.5, 0.9, 0.999};
    static const double parameter[] = {0.3, 1, 2.5, 40, 1234.5, 1e6};
    (void)state;
    for (int i = 0; i < 6; i++)
        for (int j = 0; j < 6; j++) {
            double a = parameter[j];
            near(distribution_chi_square_cdf(distribution_chi_square_quantile(p[i], a), a), p[i],
                 3e-11);
            near(distribution_beta_cdf(distribution_beta_quantile(p[i], a, 3.5), a, 3.5), p[i],
                 a < 1e5 ? 3e-11 : 1e-6); /* x itself is within an ulp of 1 */
            near(distribution_f_cdf(distribution_f_quantile(p[i], a, 7), a, 7), p[i], 3e-11);
            near(distribution_t_cdf(distribution_t_quantile(p[i], a), a), p[i], 3e-11);
        }
}

static void binomial_sums_its_terms(void **state)
{
    double sum = 0, term = pow(0.7, 20);
    (void)state;
    for (int k = 0; k < 20; k++) {
        sum += term;
        near(distribution_binomial_cdf(k, 20, 0.3), sum, 1e-13);
        assert_true(distribution_binomial_quantile(sum * (1 - 1e-9), 20, 0.3) == k);
        term *= (20.0 - k) / (k + 1) * 3 / 7;
    }
    assert_true(distribution_binomial_cdf(-1, 20, 0.3) == 0);
    assert_true(distribution_binomial_cdf(20, 20, 0.3) == 1);
}

static void noncentral_t_is_t_at_zero_and_agrees_with_itself(void **state)
{
    (void)state;
    for (double df = 1; df < 1e7; df *= 7)
        for (double x = -6; x < 7; x += 1.3)
            near(distribution_noncentral_t_cdf(x, df, 0), distribution_t_cdf(x, df), 1e-12);
    /* Two formulas meet at a shift of 20. */
    near(distribution_noncentral_t_cdf(21, 5, 20 * (1 - 1e-13)),
         distribution_noncentral_t_cdf(21, 5, 20 * (1 + 1e-13)), 1e-11);
    near(distribution_noncentral_t_cdf(2, 11, 1.5) + distribution_noncentral_t_tail(2, 11, 1.5), 1,
         1e-13);
    near(distribution_noncentral_t_tail(1e6, 2, 1e6), 1 - exp(-1), 1e-9);
}

static void gauss_legendre_is_exact_for_polynomials(void **state)
{
    double nodes[50], weights[50];
    (void)state;
    for (int n = 1; n <= 50; n++) {
        double sum = 0, even = 0;
        learn_gauss_legendre(n, nodes, weights);
        for (int i = 0; i < n; i++) {
            sum += weights[i];
            even += weights[i] * pow(nodes[i], 2 * (n - 1));
        }
        near(sum, 2, 1e-14);
        near(even, 2.0 / (2 * n - 1), 1e-12);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_normal_keeps_its_digits_in_the_tails),
        cmocka_unit_test(t_follows_its_closed_forms),
        cmocka_unit_test(t_becomes_normal_without_a_step),
        cmocka_unit_test(chi_square_and_beta_follow_their_closed_forms),
        cmocka_unit_test(quantiles_undo_probabilities),
        cmocka_unit_test(binomial_sums_its_terms),
        cmocka_unit_test(noncentral_t_is_t_at_zero_and_agrees_with_itself),
        cmocka_unit_test(gauss_legendre_is_exact_for_polynomials),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
