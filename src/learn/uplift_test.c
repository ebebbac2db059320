/* uplift_test.c - the rules of uplift.h, and the regression under its T-learner. */
#include "learn/uplift.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/rng.h"
#include "learn/logistic.h"

#define N 300

struct people {
    double scores[N];
    uint8_t treated[N], outcomes[N];
};

static void people_make(struct people *people, uint64_t seed, unsigned scores)
{
    struct rng rng;
    rng_init_seed(&rng, seed);
    for (size_t i = 0; i < N; i++) {
        people->treated[i] = rng_u64(&rng) % 2 == 0;
        people->outcomes[i] = rng_u64(&rng) % 5 == 0;
        people->scores[i] = (double)(rng_u64(&rng) % scores);
    }
}

static struct uplift_figures measure(const struct people *people, size_t count, double k)
{
    struct uplift_figures figures;
    struct err err = {0};
    assert_int_equal(
        uplift_measure(people->scores, people->treated, people->outcomes, count, k, &figures, &err),
        ST_OK);
    return figures;
}

/* Four people by falling score: treated yes, control no, treated no, control yes. Qini curve 1, 1,
 * 1, 0, area 3; perfect 1, 1, 1, 0 in the order TY, {CN, TN}, CY: area 3; random 0. */
static void four_people_can_be_summed_by_hand(void **state)
{
    (void)state;
    struct people people = {
        .scores = {4, 3, 2, 1}, .treated = {1, 0, 1, 0}, .outcomes = {1, 0, 0, 1}};
    struct uplift_figures figures = measure(&people, 4, 0.5);
    assert_true(figures.qini == 1);
    /* Uplift curve 1, 2, 1.5, 0, area 4.5: the perfect order here, as the control's yes do not
     * outnumber the treated's no. */
    assert_true(figures.auuc == 1);
    assert_true(figures.effect == 0);
    assert_true(figures.at_k_overall == 1 && figures.at_k_by_group == 1);
    assert_true(isnan(figures.tenths[0].uplift));
}

static void the_perfect_score_has_qini_1(void **state)
{
    (void)state;
    struct people people;
    for (uint64_t seed = 0; seed < 20; seed++) {
        people_make(&people, seed, 10);
        for (size_t i = 0; i < N; i++)
            people.scores[i] = people.outcomes[i] * (people.treated[i] ? 1 : -1);
        assert_true(fabs(measure(&people, N, 0.3).qini - 1) < 1e-12);
    }
}

static void equal_scores_are_one_point_in_any_order(void **state)
{
    (void)state;
    struct people people, turned;
    for (uint64_t seed = 0; seed < 20; seed++) {
        people_make(&people, seed, 7);
        for (size_t i = 0; i < N; i++) {
            turned.scores[i] = people.scores[N - 1 - i];
            turned.treated[i] = people.treated[N - 1 - i];
            turned.outcomes[i] = people.outcomes[N - 1 - i];
        }
        struct uplift_figures a = measure(&people, N, 0.3), b = measure(&turned, N, 0.3);
        assert_true(a.qini == b.qini && a.auuc == b.auuc);
    }
}

static void among_equals_the_later_row_comes_first(void **state)
{
    (void)state;
    struct people people = {
        .scores = {1, 1, 1, 1}, .treated = {1, 0, 1, 0}, .outcomes = {0, 1, 1, 0}};
    struct uplift_figures figures = measure(&people, 4, 0.5);
    assert_true(figures.at_k_overall == 1);  /* rows 3 and 4 */
    assert_true(figures.at_k_by_group == 1); /* row 3 of the treated, 4 of the control */
}

static void a_score_that_says_nothing_has_area_0(void **state)
{
    (void)state;
    struct people people;
    people_make(&people, 5, 1);
    struct uplift_figures figures = measure(&people, N, 1);
    assert_true(fabs(figures.at_k_overall - figures.effect) < 1e-15);
    assert_true(isfinite(figures.qini) && isfinite(figures.auuc));
}

static void what_cannot_be_measured_is_refused(void **state)
{
    (void)state;
    struct people people;
    struct uplift_figures figures;
    struct err err = {0};
    people_make(&people, 1, 9);
    assert_int_equal(
        uplift_measure(people.scores, people.treated, people.outcomes, N, 0, &figures, &err),
        ST_INVALID);
    people.scores[7] = NAN;
    assert_int_equal(
        uplift_measure(people.scores, people.treated, people.outcomes, N, 0.3, &figures, &err),
        ST_INVALID);
    people.scores[7] = 1;
    memset(people.treated, 1, N);
    assert_int_equal(
        uplift_measure(people.scores, people.treated, people.outcomes, N, 0.3, &figures, &err),
        ST_INVALID);
    assert_int_equal(
        uplift_measure(people.scores, people.treated, people.outcomes, 0, 0.3, &figures, &err),
        ST_INVALID);
}

/* scikit-learn 1.2.1, LogisticRegression(C=1, tol=1e-12, solver="newton-cg") on the standardised
 * ten rows of kmeans_test.c. */
static void weights_equal_the_librarys(void **state)
{
    (void)state;
    static const double raw[30] = {25, 30,  2, 30, 45,  3, 35, 60,  4, 40, 80, 5, 45, 100, 6,
                                   50, 120, 7, 55, 150, 8, 60, 180, 9, 22, 25, 1, 28, 40,  2};
    static const uint8_t outcomes[10] = {0, 0, 1, 0, 1, 1, 1, 1, 0, 1};
    static const double want[4] = {0.5396229685830956, 0.49379044888130275, 0.39949712719960556,
                                   0.64752507};
    double points[30], weights[4];
    struct err err = {0};
    for (size_t j = 0; j < 3; j++) {
        double sum = 0, squares = 0;
        for (size_t r = 0; r < 10; r++)
            sum += raw[r * 3 + j];
        for (size_t r = 0; r < 10; r++)
            squares += (raw[r * 3 + j] - sum / 10) * (raw[r * 3 + j] - sum / 10);
        for (size_t r = 0; r < 10; r++)
            points[r * 3 + j] = (raw[r * 3 + j] - sum / 10) / sqrt(squares / 10);
    }
    assert_int_equal(logistic_fit(points, 3, outcomes, NULL, 10, 1, weights, &err), ST_OK);
    for (size_t j = 0; j < 4; j++)
        assert_true(fabs(weights[j] - want[j]) < 1e-7);
}

static void rows_that_part_cleanly_have_finite_weights(void **state)
{
    (void)state;
    static const double points[] = {1, 2, 3, 1000, 2000, 3000};
    static const uint8_t outcomes[] = {0, 0, 0, 1, 1, 1};
    double weights[2];
    struct err err = {0};
    assert_int_equal(logistic_fit(points, 1, outcomes, NULL, 6, 1, weights, &err), ST_OK);
    assert_true(isfinite(weights[0]) && weights[0] > 0);
    assert_true(logistic_chance(weights, &points[0], 1) < 0.1);
    assert_true(logistic_chance(weights, &points[5], 1) > 0.9);
}

static void one_answer_teaches_nothing(void **state)
{
    (void)state;
    static const double points[] = {1, 2, 3};
    static const uint8_t no[] = {0, 0, 0}, odd[] = {0, 1, 2};
    double weights[2];
    struct err err = {0};
    assert_int_equal(logistic_fit(points, 1, no, NULL, 3, 1, weights, &err), ST_INVALID);
    assert_int_equal(logistic_fit(points, 1, odd, NULL, 3, 1, weights, &err), ST_INVALID);
}

static void a_t_learner_finds_whom_the_treatment_moves(void **state)
{
    (void)state;
    static double points[N], scores[N];
    static uint8_t treated[N], outcomes[N];
    static size_t train[N];
    struct rng rng;
    struct err err = {0};
    rng_init_seed(&rng, 17);
    for (size_t i = 0; i < N; i++) { /* the treatment works on those with a 1 */
        points[i] = (double)(rng_u64(&rng) % 2);
        treated[i] = rng_u64(&rng) % 2 == 0;
        outcomes[i] = rng_u64(&rng) % 10 < (points[i] > 0 && treated[i] ? 8 : 2);
        train[i] = i;
    }
    assert_int_equal(uplift_t_learner(points, 1, N, treated, outcomes, train, N, 1, scores, &err),
                     ST_OK);
    for (size_t i = 0; i < N; i++)
        assert_true(points[i] > 0 ? scores[i] > 0.3 : scores[i] < 0.2);
    memset(outcomes, 0, N);
    assert_int_equal(uplift_t_learner(points, 1, N, treated, outcomes, train, N, 1, scores, &err),
                     ST_INVALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(four_people_can_be_summed_by_hand),
        cmocka_unit_test(the_perfect_score_has_qini_1),
        cmocka_unit_test(equal_scores_are_one_point_in_any_order),
        cmocka_unit_test(among_equals_the_later_row_comes_first),
        cmocka_unit_test(a_score_that_says_nothing_has_area_0),
        cmocka_unit_test(what_cannot_be_measured_is_refused),
        cmocka_unit_test(weights_equal_the_librarys),
        cmocka_unit_test(rows_that_part_cleanly_have_finite_weights),
        cmocka_unit_test(one_answer_teaches_nothing),
        cmocka_unit_test(a_t_learner_finds_whom_the_treatment_moves),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
