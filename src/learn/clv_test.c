/* clv_test.c - the models against their closed forms in 50 digits (mpmath), published figures, and
 * their own identities. The fits of the published data sets are in tests/golden. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdlib.h>

#include "base/rng.h"
#include "learn/clv_int.h"

static void near(double have, double want, double tolerance)
{
    if (!(fabs(have - want) <= tolerance * fabs(want)))
        fail_msg("have %.17g, want %.17g: off by %.2g", have, want, fabs(have / want - 1));
}

static struct clv_fit fit_of(enum clv_model model, double a, double b, double c, double d)
{
    return (struct clv_fit){.model = model, .parameters = {a, b, c, d}};
}

/* --- traps ------------------------------------------------------------------------------------ */

static void pareto_is_the_hypergeometric_form(void **state)
{
    (void)state;
    /* r, alpha, s, beta, x, t_x, T, log-likelihood, alive: both sides of alpha = beta, x = 221 of
     * the CLVTools tests, the underflows of the lifetimes tests. */
    static const double cases[][9] = {
        {0.5143, 2.8845, 0.2856, 14.1087, 221, 103.42857, 103.57143, -61.584648561729207,
         0.99959605231793814},
        {0.5143, 2.8845, 0.2856, 14.1087, 254, 97.14286, 97.28571, -19.623292217511774,
         0.99955822612301074},
        {0.5143, 2.8845, 0.2856, 14.1087, 161, 94.71429, 98, -87.429254863308535,
         0.74948775225810545},
        {0.5143, 2.8845, 0.2856, 14.1087, 204, 98.57143, 99.42857, -65.198342189260382,
         0.99425507963789591},
        {0.55, 14.1, 0.6, 3.2, 2, 30.43, 38.86, -10.204991406389808, 0.84613067780999393},
        {0.55, 3.2, 0.6, 14.1, 2, 30.43, 38.86, -9.7103989611133446, 0.87095478413607244},
        {0.55, 10, 0.6, 10, 5, 1, 38, -10.86670105677241, 0.0011890195992827113},
        {10.465, 0.00798565181, 3.0516, 2.82, 500, 1, 37, 2594.4044546227567, 0},
        {10.465, 0.00798565181, 3.0516, 2.82, 400, 5, 6, 1323.1889309678178,
         5.1374581133193757e-31},
        {0.0553, 10.5, 0.01, 11.7, 0, 0, 38.86, -0.084958919185534201, 0.98484775701164046},
        {0.55, 10.58, 0.61, 11.67, 132, 200, 200, -196.38244685375776, 1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const double *c = cases[i];
        const struct clv_customer customer = {c[4], c[5], c[6], 0, 1};
        struct clv_fit fit = fit_of(CLV_PARETONBD, c[0], c[1], c[2], c[3]);
        near(clv_log_likelihood(CLV_PARETONBD, c, &customer, 1), c[7], 1e-12);
        near(clv_alive(&fit, &customer), c[8], 1e-12);
    }
}

static void pareto_expectations_stay_finite(void **state)
{
    (void)state;
    /* lifetimes, test_conditional_expectation_underflow. */
    struct clv_fit fit = fit_of(CLV_PARETONBD, 0.55, 10.58, 0.61, 11.67);
    const struct clv_customer many = {132, 200, 200, 0, 1};
    const struct clv_customer more = {133, 200, 200, 0, 1};
    near(clv_expected(&fit, &many, 10), 6.2060517889632418, 1e-9);
    near(clv_expected(&fit, &more, 10), 6.2528722475748113, 1e-9);
    /* s = 1 is a removable gap. */
    struct clv_fit one = fit_of(CLV_PARETONBD, 0.55, 10.58, 1, 11.67);
    struct clv_fit about = fit_of(CLV_PARETONBD, 0.55, 10.58, 1 + 1e-9, 11.67);
    near(clv_expected(&about, &many, 10), clv_expected(&one, &many, 10), 1e-8);
}

static void pareto_discounted_is_tricomis_form(void **state)
{
    (void)state;
    const struct clv_customer busy = {26, 30.86, 31, 0, 1};
    const struct clv_customer idle = {2, 20, 39, 0, 1};
    struct clv_fit fit = fit_of(CLV_PARETONBD, 0.55, 10.58, 0.61, 11.67);
    near(clv_discounted(&fit, &busy, 0.0027), 85.551554156189924, 1e-12);
    fit = fit_of(CLV_PARETONBD, 0.55, 10.58, 1, 11.67);
    near(clv_discounted(&fit, &idle, 0.0027), 2.0627860176982248, 1e-12);
    fit = fit_of(CLV_PARETONBD, 0.55, 10.58, 1.8, 500);
    near(clv_discounted(&fit, &idle, 0.05), 0.85769245404177364, 1e-12);
}

static void bgnbd_is_the_hypergeometric_form(void **state)
{
    (void)state;
    /* r, alpha, a, b, x, t_x, T, weeks, expected: a near 1, heavy and thin shapes, x = 200. */
    static const double cases[][9] = {
        {0.243, 4.414, 0.793, 2.426, 2, 30.43, 38.86, 39, 1.2260281747671444},
        {0.243, 4.414, 0.793, 2.426, 26, 30.86, 31, 52, 25.758195936483515},
        {0.243, 4.414, 0.793, 2.426, 0, 0, 38.86, 5000, 4.9315639008518186},
        {0.5, 2, 3.5, 0.7, 200, 50, 60, 0.1, 8.8912115077671705e-15},
        {0.1, 20, 0.05, 0.3, 3, 50, 60, 100, 3.6520825933072909},
        {2, 20, 1.0000001, 3, 3, 50, 60, 100, 3.0636983499165096},
        {2, 20, 40, 300, 3, 50, 60, 100, 3.3710591262016124},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const double *c = cases[i];
        const struct clv_customer customer = {c[4], c[5], c[6], 0, 1};
        struct clv_fit fit = fit_of(CLV_BGNBD, c[0], c[1], c[2], c[3]);
        near(clv_expected(&fit, &customer, c[7]), c[8], 2e-12);
    }
}

static void bgnbd_discounted_is_the_integral_of_the_rate(void **state)
{
    (void)state;
    static const double cases[][9] = {
        {0.243, 4.414, 0.793, 2.426, 2, 30.43, 38.86, 0.0027, 5.15637982615404},
        {0.243, 4.414, 0.793, 2.426, 26, 30.86, 31, 0.0027, 70.9064865255581},
        {0.1, 20, 0.05, 0.3, 0, 0, 60, 0.001, 1.00899200372694},
        {2, 20, 40, 300, 3, 50, 60, 0.01, 2.75313322762509},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const double *c = cases[i];
        const struct clv_customer customer = {c[4], c[5], c[6], 0, 1};
        struct clv_fit fit = fit_of(CLV_BGNBD, c[0], c[1], c[2], c[3]);
        near(clv_discounted(&fit, &customer, c[7]), c[8], 1e-10);
    }
}

static void who_never_came_back_cannot_have_left_in_bgnbd(void **state)
{
    (void)state;
    const struct clv_customer once = {0, 0, 38.86, 0, 1};
    const struct clv_customer often = {1000, 10, 100, 0, 1}; /* lifetimes: 0, not NaN */
    struct clv_fit fit = fit_of(CLV_BGNBD, 0.243, 4.414, 0.793, 2.426);
    assert_true(clv_alive(&fit, &once) == 1);
    assert_true(clv_alive(&fit, &often) >= 0 && clv_alive(&fit, &often) < 1e-300);
    fit.model = CLV_MBGNBD;
    assert_true(clv_alive(&fit, &once) < 1);
}

static void new_on_the_last_day_says_nothing(void **state)
{
    (void)state;
    const struct clv_customer today = {0, 0, 0, 0, 1};
    const double p[] = {0.5, 10, 0.6, 11};
    assert_true(fabs(clv_log_likelihood(CLV_BGNBD, p, &today, 1)) < 1e-14);
    assert_true(fabs(clv_log_likelihood(CLV_MBGNBD, p, &today, 1)) < 1e-14);
    assert_true(fabs(clv_log_likelihood(CLV_PARETONBD, p, &today, 1)) < 1e-14);
}

/* --- published figures ------------------------------------------------------------------------ */

static void probabilities_as_in_btyd(void **state)
{
    (void)state;
    /* lifetimes, test_probability_of_n_purchases_up_to_time_same_as_R_BTYD. */
    static const double want[] = {0.0019995214, 0.0015170236, 0.0011633150, 0.0009003148,
                                  0.0007023638, 0.0005517902, 0.0004361913, 0.0003467171,
                                  0.0002769613, 0.0002222260};
    struct clv_fit fit = fit_of(CLV_BGNBD, 0.243, 4.414, 0.793, 2.426);
    near(clv_probability(&fit, 2, 10), 1.07869e-07, 5e-6);
    near(clv_probability(&fit, 39, 0), 0.5737864, 1e-7);
    for (size_t i = 0; i < 10; i++)
        assert_true(fabs(clv_probability(&fit, 30, 11 + i) - want[i]) < 6e-11);
    /* Pareto/NBD: the integral in 30 digits. */
    fit = fit_of(CLV_PARETONBD, 0.55, 10.56, 0.61, 11.64);
    near(clv_probability(&fit, 2, 10), 1.8937075966825139e-9, 1e-12);
    near(clv_probability(&fit, 39, 0), 0.59593806959792014, 1e-12);
    near(clv_probability(&fit, 30, 11), 0.0018899414730869065, 1e-12);
    near(clv_probability(&fit, 30, 20), 9.0937347989532899e-5, 1e-12);
}

static void probabilities_have_mean_and_sum(void **state)
{
    (void)state;
    static const enum clv_model which[] = {CLV_BGNBD, CLV_MBGNBD, CLV_PARETONBD};
    for (size_t m = 0; m < 3; m++) {
        struct clv_fit fit = fit_of(which[m], 0.5, 10, 0.9, 3);
        double sum = 0, mean = 0;
        for (size_t x = 0; x < 300; x++) {
            sum += clv_probability(&fit, 20, x);
            mean += (double)x * clv_probability(&fit, 20, x);
        }
        near(sum, 1, 1e-12);
        near(mean, clv_expected_new(&fit, 20), 1e-11);
    }
    struct clv_fit fit = fit_of(CLV_BGBB, 1.2035, 0.7497, 0.6567, 2.7834);
    double sum = 0, mean = 0;
    for (size_t x = 0; x <= 6; x++) {
        sum += clv_probability(&fit, 6, x);
        mean += (double)x * clv_probability(&fit, 6, x);
    }
    near(sum, 1, 1e-12);
    near(mean, clv_expected_new(&fit, 6), 1e-12);
}

static void customers_as_in_the_btyd_walkthrough(void **state)
{
    (void)state;
    /* At the parameters that the walkthrough prints; horizon 52 weeks. x = 10, 15, 20, 25 with
     * t_x = 20, T = 39 is its "increasing frequency paradox". */
    static const double bgnbd[] = {0.3474606, 0.04283391, 0.004158973, 0.0003583685};
    static const double pareto[] = {0.7062289, 0.1442396, 0.02250658, 0.00309267};
    const struct clv_customer c1516 = {26, 216.0 / 7, 31, 0, 1};
    struct clv_fit fit = fit_of(CLV_BGNBD, 0.2425967, 4.413659, 0.7929869, 2.426164);
    near(clv_expected_new(&fit, 52), 1.444004, 1e-6);
    near(clv_expected(&fit, &c1516, 52), 25.75659, 1e-6);
    near(clv_alive(&fit, &c1516), 0.9688523, 1e-6);
    for (int i = 0; i < 4; i++) {
        const struct clv_customer customer = {10 + 5 * i, 20, 39, 0, 1};
        near(clv_expected(&fit, &customer, 52), bgnbd[i], 1e-6);
    }
    fit = fit_of(CLV_PARETONBD, 0.553, 10.580, 0.606, 11.656); /* printed with three decimals */
    near(clv_expected_new(&fit, 52), 1.473434, 1e-3);
    near(clv_expected(&fit, &c1516, 52), 25.45647, 1e-3);
    near(clv_alive(&fit, &c1516), 0.997874, 1e-5);
    for (int i = 0; i < 4; i++) {
        const struct clv_customer customer = {10 + 5 * i, 20, 39, 0, 1};
        near(clv_expected(&fit, &customer, 52), pareto[i], 1e-3);
    }
    static const double weeks[] = {0,          0.05077821, 0.09916088, 0.14542507, 0.18979930,
                                   0.23247466, 0.27361274, 0.31335159, 0.35181024, 0.38909211};
    fit = fit_of(CLV_PARETONBD, 0.55, 10.56, 0.61, 11.64); /* pnbd.Expectation's example */
    for (int t = 0; t < 10; t++)
        assert_true(fabs(clv_expected_new(&fit, t) - weeks[t]) < 6e-9);
    fit = fit_of(CLV_BGBB, 1.203528, 0.7497260, 0.6567808, 2.783796);
    const struct clv_customer a = {0, 0, 6, 0, 1}, b = {4, 5, 6, 0, 1};
    near(clv_expected_new(&fit, 10), 3.179805, 1e-6);
    near(clv_expected(&fit, &a, 10), 0.1302169, 1e-6);
    near(clv_expected(&fit, &b, 10), 3.627858, 1e-6);
}

static void bgbb_discounted_is_the_closed_sum(void **state)
{
    (void)state;
    /* Eq. 14 with its 2F1(1, d+n+1; g+d+n+1; 1/(1+d)) as a plain series. */
    struct clv_fit fit = fit_of(CLV_BGBB, 1.20, 0.75, 0.66, 2.78);
    const struct clv_customer customer = {3, 4, 6, 0, 1};
    double sum = 0;
    for (double j = 1; j < 2000; j++)
        sum +=
            (clv_expected(&fit, &customer, j) - clv_expected(&fit, &customer, j - 1)) / pow(1.1, j);
    near(clv_discounted(&fit, &customer, log(1.1)), sum, 1e-10);
}

static void spend_as_in_lifetimes(void **state)
{
    (void)state;
    /* lifetimes, test_conditional_expected_average_profit: first ten customers, two decimals. */
    static const double cases[][3] = {
        {2, 22.35, 24.65}, {1, 11.77, 18.91}, {0, 0, 35.17}, {7, 73.74, 71.46}, {2, 25.55, 27.28}};
    struct clv_fit fit = fit_of(CLV_GAMMAGAMMA, 6.25, 3.74, 15.44, 0);
    for (size_t i = 0; i < 3; i++)
        assert_true(fabs(clv_spend(&fit, cases[i][0], cases[i][1]) - cases[i][2]) < 0.1);
    fit.parameters[1] = 0.9;
    assert_false(isfinite(clv_spend(&fit, 0, 0)));
    assert_true(isfinite(clv_spend(&fit, 1, 20)));
}

static void sbg_as_in_fader_and_hardie(void **state)
{
    (void)state;
    static const double high[] = {1000, 869, 743, 653, 593, 551, 517, 491};
    static const double regular[] = {1000, 631, 468, 382, 326, 289, 262, 241};
    struct clv_fit fit;
    assert_int_equal(clv_sbg_fit(high, 8, &fit, NULL), ST_OK);
    assert_true(fabs(fit.parameters[0] - 0.668088) < 1e-6);
    assert_true(fabs(fit.parameters[1] - 3.806096) < 2e-6);
    assert_true(fabs(fit.log_likelihood + 1611.158147) < 1e-6);
    assert_int_equal(fit.agreed, 3);
    double product = 1;
    for (int t = 1; t <= 12; t++)
        product *= clv_sbg_retention(&fit, t);
    near(product, clv_sbg_survival(&fit, 12), 1e-13);
    /* Residual: the sum of S(t) / S(n) discounted, written out. */
    double sum = 0;
    for (int t = 0; t < 3000; t++)
        sum += clv_sbg_survival(&fit, 3 + t) / clv_sbg_survival(&fit, 2) / pow(1.1, t);
    near(clv_sbg_residual(&fit, 2, 0.1), sum, 1e-12);
    assert_int_equal(clv_sbg_fit(regular, 8, &fit, NULL), ST_OK);
    assert_true(fabs(fit.parameters[0] - 0.704077) < 1e-6);
    assert_true(fabs(fit.parameters[1] - 1.182042) < 2e-6);
}

/* --- derivatives and fits --------------------------------------------------------------------- */

static void derivatives_are_those_of_the_value(enum clv_model model, optimise_function *function,
                                               const double *at, const struct clv_customer *rows,
                                               size_t count)
{
    struct clv_problem problem = {
        .model = model, .rows = rows, .rows_count = count, .tables_max = 300};
    static double block[6][3][301];
    size_t n = clv_parameters_count(model);
    for (int i = 0; i < 6; i++)
        problem.rising[i] = (struct special_rising){block[i][0], block[i][1], block[i][2]};
    double g[CLV_N] = {0}, h[CLV_N][CLV_N] = {{0}};
    function(&problem, at, g, h);
    for (size_t i = 0; i < n; i++) {
        double up[CLV_N], down[CLV_N], g1[2][CLV_N] = {{0}}, h1[2][CLV_N][CLV_N] = {{{0}}};
        for (size_t j = 0; j < CLV_N; j++)
            up[j] = down[j] = at[j];
        double step = at[i] * 1e-5;
        up[i] += step;
        down[i] -= step;
        double v1 = function(&problem, up, g1[0], h1[0]);
        double v2 = function(&problem, down, g1[1], h1[1]);
        assert_true(fabs((v1 - v2) / (2 * step) - g[i]) < 1e-6 * (1 + fabs(g[i])));
        for (size_t j = 0; j < n; j++)
            assert_true(fabs((g1[0][j] - g1[1][j]) / (2 * step) - h[i][j]) <
                        1e-6 * (1 + fabs(h[i][j])));
    }
}

static void all_derivatives(void **state)
{
    (void)state;
    static const struct clv_customer rows[] = {{0, 0, 30, 0, 3},
                                               {0, 0, 38, 0, 1},
                                               {1, 5, 20, 12, 2},
                                               {4, 30, 38, 31, 1},
                                               {250, 35, 38, 8, 1}};
    static const struct clv_customer discrete[] = {
        {0, 0, 6, 0, 3}, {1, 4, 6, 0, 2}, {3, 5, 6, 0, 2}, {6, 6, 6, 0, 1}};
    static const double p[] = {0.6, 9, 0.8, 7}, mirrored[] = {0.6, 7, 0.8, 9};
    static const double shapes[] = {1.2, 0.75, 0.66, 2.78}, money[] = {6, 3.7, 15, 1};
    derivatives_are_those_of_the_value(CLV_BGNBD, clv_bgnbd_likelihood, p, rows, 5);
    derivatives_are_those_of_the_value(CLV_MBGNBD, clv_bgnbd_likelihood, p, rows, 5);
    derivatives_are_those_of_the_value(CLV_PARETONBD, clv_pareto_likelihood, p, rows, 5);
    derivatives_are_those_of_the_value(CLV_PARETONBD, clv_pareto_likelihood, mirrored, rows, 5);
    derivatives_are_those_of_the_value(CLV_GAMMAGAMMA, clv_gammagamma_likelihood, money, rows + 2,
                                       3);
    derivatives_are_those_of_the_value(CLV_BGBB, clv_bgbb_likelihood, shapes, discrete, 4);
}

static double uniform(struct rng *rng)
{
    return ((double)(rng_u64(rng) >> 11) + 0.5) / 9007199254740992.0;
}

/* Gamma with whole shape. */
static double gamma_of(struct rng *rng, int shape, double rate)
{
    double sum = 0;
    for (int i = 0; i < shape; i++)
        sum -= log(uniform(rng));
    return sum / rate;
}

/* Customers who live by Pareto/NBD(1, 5, 2, 60). */
static void draw(struct rng *rng, struct clv_customer *customers, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        double rate = gamma_of(rng, 1, 5), end = gamma_of(rng, 1, gamma_of(rng, 2, 60));
        struct clv_customer c = {.age = 40, .weight = 1};
        for (double t = gamma_of(rng, 1, rate); t < fmin(end, 40); t += gamma_of(rng, 1, rate)) {
            c.repeats++;
            c.recency = t;
        }
        customers[i] = c;
    }
}

static void a_fit_finds_what_the_data_were_drawn_from(void **state)
{
    (void)state;
    enum { COUNT = 4000 };
    struct clv_customer *customers = calloc(COUNT, sizeof *customers);
    struct rng rng;
    rng_init_seed(&rng, 7);
    draw(&rng, customers, COUNT);
    struct clv_fit fit;
    static const double truth[] = {1, 5, 2, 60};
    assert_int_equal(clv_fit(CLV_PARETONBD, customers, COUNT, &fit, NULL), ST_OK);
    for (int i = 0; i < 4; i++)
        assert_true(fabs(fit.parameters[i] - truth[i]) < 4 * fit.errors[i]);
    assert_true(fit.log_likelihood >= clv_log_likelihood(CLV_PARETONBD, truth, customers, COUNT));
    free(customers);
}

static void a_weight_is_so_many_customers(void **state)
{
    (void)state;
    enum { COUNT = 600 };
    struct clv_customer weighted[COUNT], twice[2 * COUNT];
    struct rng rng;
    rng_init_seed(&rng, 11);
    draw(&rng, weighted, COUNT);
    for (size_t i = 0; i < COUNT; i++) {
        weighted[i].recency = ceil(weighted[i].recency); /* whole weeks: many are equal */
        weighted[i].spend = 5 + 20 * uniform(&rng);
        twice[2 * i] = twice[2 * i + 1] = weighted[i];
        weighted[i].weight = 2;
    }
    for (int model = CLV_BGNBD; model <= CLV_PARETONBD; model++) {
        struct clv_fit a, b;
        assert_int_equal(clv_fit((enum clv_model)model, weighted, COUNT, &a, NULL), ST_OK);
        assert_int_equal(clv_fit((enum clv_model)model, twice, (size_t)2 * COUNT, &b, NULL), ST_OK);
        assert_true(a.log_likelihood == b.log_likelihood && a.customers == 2 * COUNT);
        assert_true(a.parameters[2] == b.parameters[2] && a.errors[0] == b.errors[0]);
    }
}

/* --- refusals --------------------------------------------------------------------------------- */

static void no_maximum_is_said(void **state)
{
    (void)state;
    struct err err;
    struct clv_fit fit;
    const struct clv_customer few[] = {{1, 2, 3, 0, 1}, {0, 0, 3, 0, 1}, {2, 2, 3, 0, 1}};
    assert_int_equal(clv_fit(CLV_BGNBD, few, 3, &fit, &err), ST_INVALID);
    assert_string_equal(err.message, "could not fit bgnbd: 3 customers for 4 parameters");
    const struct clv_customer once[] = {{0, 0, 3, 0, 900}};
    assert_int_equal(clv_fit(CLV_PARETONBD, once, 1, &fit, &err), ST_INVALID);
    assert_string_equal(err.message, "could not fit paretonbd: no customer has bought again");
    /* All alike: no heterogeneity, so the shapes grow without end. */
    const struct clv_customer alike[] = {{2, 30, 30, 20, 400}};
    for (int model = 0; model <= CLV_GAMMAGAMMA; model++) {
        if (model == CLV_BGBB)
            continue;
        assert_int_equal(clv_fit((enum clv_model)model, alike, 1, &fit, &err), ST_INVALID);
        assert_non_null(strstr(err.message, "could not fit "));
    }
}

static void impossible_customers_are_named(void **state)
{
    (void)state;
    static const struct clv_customer bad[] = {
        {-1, 0, 3, 0, 1},  {1.5, 1, 3, 0, 1}, {NAN, 1, 3, 0, 1}, {1, 4, 3, 0, 1},
        {1, 0, 3, 0, 1},   {0, 1, 3, 0, 1},   {1, 1, 3, -5, 1},  {1, 1, 3, 0, 0},
        {1, 1, NAN, 0, 1}, {1, NAN, 3, 0, 1}, {1e9, 1, 3, 0, 1},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_non_null(clv_customer_check(CLV_PARETONBD, &bad[i]));
    const struct clv_customer zero = {0, 0, 0, 0, 1};
    assert_null(clv_customer_check(CLV_PARETONBD, &zero));
    const struct clv_customer half = {1, 1.5, 3, 0, 1};
    assert_null(clv_customer_check(CLV_BGNBD, &half));
    assert_non_null(clv_customer_check(CLV_BGBB, &half));
}

static void survivors_must_fall(void **state)
{
    (void)state;
    static const double rising[] = {10, 5, 6}, same[] = {10, 10, 10}, negative[] = {10, 5, -1};
    struct clv_fit fit;
    struct err err;
    assert_int_equal(clv_sbg_fit(rising, 3, &fit, &err), ST_INVALID);
    assert_int_equal(clv_sbg_fit(same, 3, &fit, &err), ST_INVALID);
    assert_int_equal(clv_sbg_fit(negative, 3, &fit, &err), ST_INVALID);
    assert_int_equal(clv_sbg_fit(rising, 1, &fit, &err), ST_INVALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pareto_is_the_hypergeometric_form),
        cmocka_unit_test(pareto_expectations_stay_finite),
        cmocka_unit_test(pareto_discounted_is_tricomis_form),
        cmocka_unit_test(bgnbd_is_the_hypergeometric_form),
        cmocka_unit_test(bgnbd_discounted_is_the_integral_of_the_rate),
        cmocka_unit_test(who_never_came_back_cannot_have_left_in_bgnbd),
        cmocka_unit_test(new_on_the_last_day_says_nothing),
        cmocka_unit_test(probabilities_as_in_btyd),
        cmocka_unit_test(probabilities_have_mean_and_sum),
        cmocka_unit_test(customers_as_in_the_btyd_walkthrough),
        cmocka_unit_test(bgbb_discounted_is_the_closed_sum),
        cmocka_unit_test(spend_as_in_lifetimes),
        cmocka_unit_test(sbg_as_in_fader_and_hardie),
        cmocka_unit_test(all_derivatives),
        cmocka_unit_test(a_fit_finds_what_the_data_were_drawn_from),
        cmocka_unit_test(a_weight_is_so_many_customers),
        cmocka_unit_test(no_maximum_is_said),
        cmocka_unit_test(impossible_customers_are_named),
        cmocka_unit_test(survivors_must_fall),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
