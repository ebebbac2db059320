/* experiment_test.c - the kernels of experiments against gbstats' figures, closed forms and each
 * other.
 *
 * Figures: GrowthBook packages/stats (MIT) at 8f1db445, as its tests publish them or as it
 * computes them; quadratures of normals and betas. All cases run through the program in
 * tests/golden. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <string.h>

#include "learn/distribution.h"
#include "learn/experiment.h"
#include "learn/experiment_many.h"

static const struct experiment_shape means, proportions = {.proportion = true},
                                            ratios = {.ratio = true}, adjusted = {.cuped = true};
static const struct experiment_test usual = {.alpha = 0.05, .tuning = 5000};

static void near(double value, double expected, double most)
{
    if (!(fabs(value - expected) <= most))
        print_error("%.17g is not %.17g\n", value, expected);
    assert_true(fabs(value - expected) <= most);
}

static struct experiment_arm mean_arm(double n, double sum, double squares)
{
    struct experiment_sums sums = {.n = n, .sum = {sum}, .product = {{squares}}};
    return experiment_arm_of_sums(&sums, &means);
}

static void welch_and_delta_give_the_published_figures(void **state)
{
    (void)state;
    struct experiment_arm a = mean_arm(3407, 1396.87, 52377.9767);
    struct experiment_arm b = mean_arm(3461, 2422.7, 134698.29);
    struct experiment_effect e = experiment_effect(&a, &b, &means, true);
    struct experiment_result r = experiment_welch(&e, &usual);
    near(e.standard_error, 0.3787943616681428, 1e-14);
    near(r.low, -0.03526008906611777, 1e-13);
    near(r.p_value, 0.06191182745618362, 1e-13);
    e = experiment_effect(&a, &b, &means, false);
    r = experiment_welch(&e, &usual);
    near(r.p_value, 0.020158402643587037, 1e-13);
}

static void sides_of_a_test_fit_together(void **state)
{
    struct experiment_arm a = mean_arm(100, 100, 250), b = mean_arm(90, 120, 330);
    struct experiment_effect e = experiment_effect(&a, &b, &means, false);
    struct experiment_test test = usual;
    (void)state;
    double both = experiment_welch(&e, &test).p_value;
    test.side = EXPERIMENT_GREATER;
    double greater = experiment_welch(&e, &test).p_value;
    assert_true(isinf(experiment_welch(&e, &test).high));
    test.side = EXPERIMENT_LESS;
    double less = experiment_welch(&e, &test).p_value;
    assert_true(isinf(experiment_welch(&e, &test).low));
    near(greater + less, 1, 1e-14);
    near(2 * fmin(greater, less), both, 1e-14);
}

static void a_p_value_is_alpha_where_the_bound_touches_zero(void **state)
{
    static const double sizes[] = {50, 5000, 1e6};
    (void)state;
    for (int k = 0; k < 3; k++)
        for (int side = 0; side < 3; side++) {
            struct experiment_effect e = {.standard_error = 0.1, .n = sizes[k], .df = sizes[k]};
            struct experiment_test test = usual;
            test.side = (enum experiment_side)side;
            struct experiment_result r = experiment_sequential(&e, &test);
            e.estimate = side == EXPERIMENT_LESS ? -r.high : -r.low;
            near(experiment_sequential(&e, &test).p_value, 0.05, 1e-12);
            test.tolerance = 1e-6;
            near(experiment_sequential(&e, &test).p_value, 0.05, 1e-5);
            e.estimate = 0, r = experiment_welch(&e, &test);
            e.estimate = side == EXPERIMENT_LESS ? -r.high : -r.low;
            near(experiment_welch(&e, &test).p_value, 0.05, 1e-12);
        }
}

static void far_tails_keep_their_digits(void **state)
{
    struct experiment_effect e = {.estimate = 3, .standard_error = 0.1, .n = 1e6, .df = 1e15};
    double risk[2];
    (void)state;
    near(experiment_welch(&e, &usual).p_value / 9.813428545303e-198, 1, 1e-3);
    e.estimate = 30; /* 300 standard errors */
    assert_true(experiment_welch(&e, &usual).p_value == 0);
    assert_true(experiment_sequential(&e, &usual).p_value == 0);
    experiment_risk(0.01, 4.5e-9, risk);
    assert_true(risk[0] == 0.01 && risk[1] == 0);
    experiment_risk(-0.01, 4.5e-9, risk);
    assert_true(risk[0] == 0 && risk[1] == 0.01);
    experiment_risk(0.1, 0.05, risk);
    near(risk[0], 0.1004245351308, 1e-13);
    near(risk[1], 0.0004245351308414, 1e-15);
    for (double mean = -40; mean <= 40; mean += 0.5) {
        experiment_risk(mean, 1, risk);
        assert_true(risk[0] >= 0 && risk[1] >= 0);
        near(risk[0] - risk[1], mean, 1e-13);
    }
}

static void counts_and_sums_say_the_same(void **state)
{
    struct experiment_arm a = experiment_arm_of_counts(100, 49);
    struct experiment_sums sums = {.n = 100, .sum = {49}, .product = {{49}}};
    struct experiment_arm b = experiment_arm_of_sums(&sums, &proportions);
    (void)state;
    near(a.cov[0][0], b.cov[0][0], 0);
    near(a.cov[0][0], 0.49 * 0.51, 1e-15);
}

static void bayes_gives_the_published_figures(void **state)
{
    struct experiment_arm a = mean_arm(10, 100, 1002.25), b = mean_arm(10, 105, 1111.5);
    struct experiment_effect e = experiment_effect(&a, &b, &means, true);
    struct experiment_prior flat = {0}, prior = {true, 0.1, 0.1};
    (void)state;
    struct experiment_posterior p = experiment_bayes(&e, &flat, 0.05);
    near(p.chance_to_win, 0.9192339081566245, 1e-13);
    near(p.risk[1], 0.001309817163926532, 1e-13);
    p = experiment_bayes(&e, &prior, 0.05);
    near(p.mean, 0.05062977888312217, 1e-13);
    near(p.low, -0.018929830742817608, 1e-13);
    near(p.chance_to_win, 0.9231499085772956, 1e-13);
}

/* Arms whose series are made from whole numbers, so sums are exact. */
static struct experiment_sums made(uint64_t seed, int n, double lift)
{
    struct experiment_sums sums = {.n = n};
    for (int i = 0; i < n; i++) {
        double u[EXPERIMENT_SERIES];
        for (int k = 0; k < EXPERIMENT_SERIES; k++) {
            seed = seed * 6364136223846793005u + 1442695040888963407u;
            u[k] = (double)(seed >> 56);
        }
        u[0] += lift + u[2] * 2; /* the metric follows its covariate */
        u[1] += 100, u[3] += 100;
        for (int k = 0; k < EXPERIMENT_SERIES; k++) {
            sums.sum[k] += u[k];
            for (int l = k; l < EXPERIMENT_SERIES; l++)
                sums.product[k][l] += u[k] * u[l];
        }
    }
    return sums;
}

static void cuped_narrows_what_a_covariate_explains(void **state)
{
    static const struct experiment_shape both = {.ratio = true, .cuped = true};
    struct experiment_sums left = made(1, 4000, 0), right = made(2, 4000, 5);
    (void)state;
    for (int ratio = 0; ratio < 2; ratio++)
        for (int relative = 0; relative < 2; relative++) {
            const struct experiment_shape *plain = ratio ? &ratios : &means;
            const struct experiment_shape *cuped = ratio ? &both : &adjusted;
            struct experiment_arm a = experiment_arm_of_sums(&left, plain);
            struct experiment_arm b = experiment_arm_of_sums(&right, plain);
            struct experiment_effect raw = experiment_effect(&a, &b, plain, relative);
            a = experiment_arm_of_sums(&left, cuped), b = experiment_arm_of_sums(&right, cuped);
            struct experiment_effect less = experiment_effect(&a, &b, cuped, relative);
            assert_true(less.standard_error < raw.standard_error);
            assert_true(ratio || (less.standard_error < 0.55 * raw.standard_error &&
                                  fabs(less.theta - 2) < 0.1));
        }
}

static void theta_is_the_published_one(void **state)
{
    static const double pre[] = {0.3, 0.5, 0.9, 22}, post[] = {2, 1, 5, 3};
    struct experiment_sums sums = {.n = 4};
    (void)state;
    for (int i = 0; i < 4; i++) {
        sums.sum[0] += post[i], sums.sum[2] += pre[i];
        sums.product[0][0] += post[i] * post[i], sums.product[2][2] += pre[i] * pre[i];
        sums.product[0][2] += post[i] * pre[i];
    }
    struct experiment_arm arm = experiment_arm_of_sums(&sums, &adjusted);
    struct experiment_effect e = experiment_effect(&arm, &arm, &adjusted, false);
    near(e.theta, 0.01864, 5e-6);
}

/* The delta method's claim: the derivative of the effect, taken by moving the means. */
static void the_delta_method_is_the_derivative(void **state)
{
    static const struct experiment_shape both = {.ratio = true, .cuped = true};
    struct experiment_sums left = made(3, 500, 0), right = made(4, 700, 9);
    struct experiment_arm a = experiment_arm_of_sums(&left, &both);
    struct experiment_arm b = experiment_arm_of_sums(&right, &both);
    struct experiment_effect e = experiment_effect(&a, &b, &both, true);
    double variance = 0, theta = e.theta;
    (void)state;
    for (int arm = 0; arm < 2; arm++) {
        double slope[EXPERIMENT_SERIES];
        for (int k = 0; k < EXPERIMENT_SERIES; k++) {
            double up[2];
            for (int s = 0; s < 2; s++) {
                struct experiment_arm m[2] = {a, b};
                m[arm].mean[k] += s == 0 ? 1e-4 : -1e-4;
                double at[2];
                for (int j = 0; j < 2; j++)
                    at[j] = m[j].mean[0] / m[j].mean[1] - theta * m[j].mean[2] / m[j].mean[3];
                up[s] = (at[1] - at[0]) / (m[0].mean[0] / m[0].mean[1]);
            }
            slope[k] = (up[0] - up[1]) / 2e-4;
        }
        for (int k = 0; k < EXPERIMENT_SERIES; k++)
            for (int l = 0; l < EXPERIMENT_SERIES; l++)
                variance +=
                    slope[k] * slope[l] * (arm == 0 ? a.cov[k][l] / a.n : b.cov[k][l] / b.n);
    }
    near(e.standard_error / sqrt(variance), 1, 1e-7);
}

static void a_negative_control_mean_turns_nothing_round(void **state)
{
    struct experiment_arm a = mean_arm(50, -100, 400), b = mean_arm(50, -50, 200);
    struct experiment_effect e = experiment_effect(&a, &b, &means, true);
    (void)state;
    near(e.estimate, 0.5, 1e-15); /* less negative is a gain */
}

static void what_cannot_be_said_has_a_reason(void **state)
{
    struct experiment_arm fine = mean_arm(10, 5, 10), empty = mean_arm(0, 0, 0);
    struct experiment_arm zero = mean_arm(10, 0, 10), flat = mean_arm(10, 10, 10);
    (void)state;
    assert_true(experiment_effect(&empty, &fine, &means, true).problem == EXPERIMENT_EMPTY_ARM);
    assert_true(experiment_effect(&fine, &empty, &means, true).problem == EXPERIMENT_EMPTY_ARM);
    assert_true(experiment_effect(&flat, &fine, &means, true).problem == EXPERIMENT_ZERO_VARIANCE);
    assert_true(experiment_effect(&zero, &fine, &means, true).problem ==
                EXPERIMENT_CONTROL_MEAN_ZERO);
    assert_true(experiment_effect(&zero, &fine, &means, false).problem == EXPERIMENT_FINE);
    struct experiment_sums sums = {.n = 5, .sum = {3, 0}, .product = {{5}}};
    struct experiment_arm none = experiment_arm_of_sums(&sums, &ratios);
    assert_true(experiment_effect(&none, &none, &ratios, true).problem ==
                EXPERIMENT_DENOMINATOR_ZERO);
}

static void proportion_intervals_are_the_published_ones(void **state)
{
    static const double expected[4][2] = {{0.0930598529, 0.2328355960},
                                          {0.0919142363, 0.2339812125},
                                          {0.0864543856, 0.2353075001},
                                          {0.0903695164, 0.2295306592}};
    double low, high;
    (void)state;
    for (int k = 0; k < 4; k++) {
        experiment_proportion_interval((enum experiment_interval)k, 15, 100, 0.05, &low, &high);
        near(low, expected[k][0], 1e-10);
        near(high, expected[k][1], 1e-10);
        experiment_proportion_interval((enum experiment_interval)k, 0, 10, 0.05, &low, &high);
        assert_true(low == 0 && high > 0.1 && high < 0.5);
        experiment_proportion_interval((enum experiment_interval)k, 10, 10, 0.05, &low, &high);
        assert_true(high == 1 && low > 0.5 && low < 0.9);
    }
    struct experiment_result z = experiment_two_proportions(150, 1000, 120, 1000, &usual);
    near(z.statistic, -1.9630498076, 5e-11);
    near(z.p_value, 0.0496403869, 5e-11);
}

static void sample_ratio_mismatch_is_chi_square(void **state)
{
    static const double sizes[] = {310, 98, 7}, weights[] = {3, 1, 0};
    double chi;
    (void)state;
    near(experiment_srm(sizes, weights, 2, &chi), 0.647434185701797, 1e-13);
    near(experiment_srm(sizes, sizes, 3, &chi), 1, 0);
}

static void corrections_are_holms_and_benjamini_hochbergs(void **state)
{
    static const double given[] = {0.01, 0.04, 0.03, 0.005, 0.9};
    static const double holm[] = {0.04, 0.09, 0.09, 0.025, 0.9};
    static const double bh[] = {0.025, 0.05, 0.05, 0.025, 0.9};
    double p[6];
    (void)state;
    memcpy(p, given, sizeof given);
    p[5] = NAN;
    experiment_correct(EXPERIMENT_HOLM, p, 6);
    for (int i = 0; i < 5; i++)
        near(p[i], holm[i], 1e-15);
    assert_true(isnan(p[5]));
    memcpy(p, given, sizeof given);
    experiment_correct(EXPERIMENT_BENJAMINI_HOCHBERG, p, 6);
    for (int i = 0; i < 5; i++)
        near(p[i], bh[i], 1e-15);
}

static void the_best_arm_is_found_by_quadrature(void **state)
{
    struct experiment_belief near_tie[] = {{false, 0, 0.1}, {false, 0.1, 0.1}, {false, 0.2, 0.1}};
    struct experiment_belief uneven[] = {{false, 0, 0.05}, {false, 0.5, 0.5}, {false, 1, 1.5}};
    struct experiment_belief beta[] = {{true, 50, 52}, {true, 52, 50}};
    double p[3];
    (void)state;
    experiment_best_arm(near_tie, 3, p);
    near(p[0], 0.04715067991908846, 1e-12);
    near(p[2], 0.7287510153004694, 1e-12);
    experiment_best_arm(uneven, 3, p);
    near(p[0], 0.04063998111949841, 1e-12);
    experiment_best_arm(beta, 2, p);
    near(p[1], 0.6107705226878388, 1e-12);
}

/* Two normals have a closed form; a point among spread arms too. */
static void two_arms_and_points_have_closed_forms(void **state)
{
    double p[3];
    (void)state;
    for (double ratio = 1e-8; ratio < 1e9; ratio *= 10) {
        struct experiment_belief two[] = {{false, 1, 1}, {false, 1 + ratio / 2, ratio}};
        experiment_best_arm(two, 2, p);
        near(p[1], distribution_normal_cdf(ratio / 2 / hypot(1, ratio)), 1e-11);
        near(p[0] + p[1], 1, 1e-11);
    }
    struct experiment_belief points[] = {{false, 1, 0}, {false, 1, 0}, {false, 0.5, 0.25}};
    experiment_best_arm(points, 3, p);
    near(p[0], distribution_normal_cdf(2) / 2, 1e-12);
    near(p[2], distribution_normal_tail(2), 1e-12);
    struct experiment_belief low[] = {{true, 1, 1e6}, {true, 1, 1e6}, {true, 0.5, 0.5}};
    experiment_best_arm(low, 3, p);
    near(p[0] + p[1] + p[2], 1, 1e-9);
    near(p[0], p[1], 1e-12);
}

static void more_units_reach_the_power_that_was_asked(void **state)
{
    struct experiment_arm a = mean_arm(500, 500, 1500), b = mean_arm(500, 525, 1551.25);
    struct experiment_effect e = experiment_effect(&a, &b, &means, true);
    struct experiment_prior flat = {0}, prior = {true, 0.05, 0.001};
    (void)state;
    near(experiment_scaling(&e, EXPERIMENT_WELCH, &usual, &flat, 0.05, 0.8, 1e-5), 25.45703125, 0);
    near(experiment_scaling(&e, EXPERIMENT_SEQUENTIAL, &usual, &flat, 0.05, 0.8, 1e-5), 55.66796875,
         0);
    near(experiment_scaling(&e, EXPERIMENT_BAYES, &usual, &prior, 0.05, 0.8, 1e-5), 13.9404296875,
         0);
    near(experiment_scaling(&e, EXPERIMENT_WELCH, &usual, &flat, 0.05, 0.8, 1e-12), 25.4564797128,
         1e-8);
    assert_true(experiment_scaling(&e, EXPERIMENT_WELCH, &usual, &flat, 5, 0.8, 1e-5) == 0);
    assert_true(isnan(experiment_scaling(&e, EXPERIMENT_WELCH, &usual, &flat, 1e-9, 0.8, 1e-5)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(welch_and_delta_give_the_published_figures),
        cmocka_unit_test(sides_of_a_test_fit_together),
        cmocka_unit_test(a_p_value_is_alpha_where_the_bound_touches_zero),
        cmocka_unit_test(far_tails_keep_their_digits),
        cmocka_unit_test(counts_and_sums_say_the_same),
        cmocka_unit_test(bayes_gives_the_published_figures),
        cmocka_unit_test(cuped_narrows_what_a_covariate_explains),
        cmocka_unit_test(theta_is_the_published_one),
        cmocka_unit_test(the_delta_method_is_the_derivative),
        cmocka_unit_test(a_negative_control_mean_turns_nothing_round),
        cmocka_unit_test(what_cannot_be_said_has_a_reason),
        cmocka_unit_test(proportion_intervals_are_the_published_ones),
        cmocka_unit_test(sample_ratio_mismatch_is_chi_square),
        cmocka_unit_test(corrections_are_holms_and_benjamini_hochbergs),
        cmocka_unit_test(the_best_arm_is_found_by_quadrature),
        cmocka_unit_test(two_arms_and_points_have_closed_forms),
        cmocka_unit_test(more_units_reach_the_power_that_was_asked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
