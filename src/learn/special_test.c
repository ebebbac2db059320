/* special_test.c - special functions hold 13 digits against 40-digit arithmetic (mpmath). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>

#include "learn/optimise.h"
#include "learn/special.h"

static void near(double have, double want, double tolerance)
{
    if (!(fabs(have - want) <= tolerance * fabs(want)))
        fail_msg("have %.17g, want %.17g: off by %.2g", have, want, fabs(have / want - 1));
}

static void digamma_and_trigamma(void **state)
{
    (void)state;
    static const double cases[][3] = {
        {0.01, -100.56088545786867, 10001.621213528313},
        {0.5, -1.9635100260214235, 4.9348022005446793},
        {1, -0.57721566490153286, 1.6449340668482264},
        {3.74, 1.1794793534628924, 0.30626810968956344},
        {9.99, 2.2507003728312011, 0.10527695014824179},
        {10, 2.2517525890667211, 0.10516633568168575},
        {154.25, 5.0353296692928311, 0.0065040421126093563},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        near(special_digamma(cases[i][0]), cases[i][1], 2e-14);
        near(special_trigamma(cases[i][0]), cases[i][2], 2e-14);
    }
}

static void rising_is_the_difference_of_log_gammas(void **state)
{
    (void)state;
    double block[3][41];
    struct special_rising rising = {block[0], block[1], block[2]};
    special_rising_fill(0.2426, 40, &rising);
    near(rising.log[40], special_log_gamma(40.2426) - special_log_gamma(0.2426), 1e-14);
    near(rising.first[40], special_digamma(40.2426) - special_digamma(0.2426), 1e-14);
    near(rising.second[40], special_trigamma(40.2426) - special_trigamma(0.2426), 1e-14);
}

static void exponential_integral_of_real_order(void **state)
{
    (void)state;
    static const double cases[][3] = {
        {0.606, 0.136, 2.8643291992520669}, {1, 0.001, 6.337874070325488},
        {0.05, 0.5, 1.9105897381541841},    {3.3, 1, 0.27575836423209015},
        {30, 0.01, 0.034470447909211542},   {30, 40, 0.014372288975942041},
        {1.24, 1e-5, 3.8479966757629435},   {250, 2.5, 0.0039759853784533416},
        {2, 0.99, 0.40559019747777642},     {3.011, 0.3, 0.40335017613565677},
        {3.009, 0.3, 0.40365176714278957},  {180.5, 0.5, 0.00555546934675667},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        near(special_exponential_integral(cases[i][0], cases[i][1]), cases[i][2], 1e-13);
}

static double itself(double p, double q, const void *context)
{
    (void)q;
    (void)context;
    return p;
}

static double squares(double p, double q, const void *context)
{
    (void)context;
    return p * p * q;
}

static void beta_means_are_the_moments(void **state)
{
    (void)state;
    static const double shapes[][2] = {{0.793, 2.426}, {0.05, 0.3}, {0.8, 257}, {300, 40},
                                       {1, 1},         {5000, 2},   {0.02, 900}};
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
        double a = shapes[i][0], b = shapes[i][1], sum = a + b;
        near(special_beta_mean(a, b, itself, NULL), a / sum, 1e-12);
        near(special_beta_mean(a, b, squares, NULL),
             a * (a + 1) * b / (sum * (sum + 1) * (sum + 2)), 1e-12);
    }
}

static void log_sum_of_nothing_and_of_the_far(void **state)
{
    (void)state;
    assert_true(special_log_sum(-INFINITY, -INFINITY) == -INFINITY);
    assert_true(special_log_sum(-1000, -INFINITY) == -1000);
    near(special_log_sum(-1000, -1000), -1000 + log(2), 1e-15);
    near(special_log_sum(0, -800), 0, 0);
}

/* --- the search ------------------------------------------------------------------------------- */

/* Poisson with 30 events in 12 units, and an unused second parameter when *context. */
static double poisson(const void *context, const double *p, double *g,
                      double (*h)[OPTIMISE_PARAMETERS_MAX])
{
    (void)context;
    g[0] = 30 / p[0] - 12;
    h[0][0] = -30 / (p[0] * p[0]);
    return 30 * log(p[0]) - 12 * p[0];
}

static double growing(const void *context, const double *p, double *g,
                      double (*h)[OPTIMISE_PARAMETERS_MAX])
{
    (void)context;
    g[0] = 1 / ((1 + p[0]) * (1 + p[0]));
    h[0][0] = -2 / ((1 + p[0]) * (1 + p[0]) * (1 + p[0]));
    return p[0] / (1 + p[0]);
}

static void newton_finds_the_top_and_its_error(void **state)
{
    (void)state;
    struct optimise_result result;
    const double start[] = {1000};
    optimise_maximise(poisson, NULL, 1, start, &result);
    assert_int_equal(result.end, OPTIMISE_CONVERGED);
    near(result.parameters[0], 2.5, 1e-14);
    near(sqrt(result.covariance[0][0]), 2.5 / sqrt(30), 1e-12);
}

static void what_only_grows_has_no_maximum(void **state)
{
    (void)state;
    struct optimise_result result;
    const double start[] = {1};
    optimise_maximise(growing, NULL, 1, start, &result);
    assert_int_not_equal(result.end, OPTIMISE_CONVERGED);
    assert_int_equal(result.culprit, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(digamma_and_trigamma),
        cmocka_unit_test(rising_is_the_difference_of_log_gammas),
        cmocka_unit_test(exponential_integral_of_real_order),
        cmocka_unit_test(beta_means_are_the_moments),
        cmocka_unit_test(log_sum_of_nothing_and_of_the_far),
        cmocka_unit_test(newton_finds_the_top_and_its_error),
        cmocka_unit_test(what_only_grows_has_no_maximum),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
