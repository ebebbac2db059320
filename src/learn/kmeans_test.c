/* kmeans_test.c - the rules of kmeans.h, against a textbook's loop and a reference program's
 * figures. */
#include "learn/kmeans_int.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/arena.h"

/* The example that people learn k-means by: age, income, visits. */
static const double ten[30] = {25, 30,  2, 30, 45,  3, 35, 60,  4, 40, 80, 5, 45, 100, 6,
                               50, 120, 7, 55, 150, 8, 60, 180, 9, 22, 25, 1, 28, 40,  2};

static double *random_points(uint64_t seed, size_t count)
{
    struct rng rng;
    double *points = mem_alloc(count * sizeof *points);
    rng_init_seed(&rng, seed);
    for (size_t i = 0; i < count; i++)
        points[i] = (double)(rng_u64(&rng) >> 11) * 0x1p-53;
    return points;
}

static struct kmeans_result fit(const double *points, size_t rows, size_t features,
                                const struct kmeans_options *options)
{
    struct kmeans_result result;
    struct err err = {0};
    assert_int_equal(kmeans_fit(points, rows, features, options, &result, &err), ST_OK);
    return result;
}

static void assert_same(const struct kmeans_result *a, const struct kmeans_result *b)
{
    assert_memory_equal(a->labels, b->labels, a->rows * sizeof *a->labels);
    assert_memory_equal(a->centres, b->centres, a->k * a->features * sizeof *a->centres);
    assert_memory_equal(&a->inertia, &b->inertia, sizeof a->inertia);
    assert_int_equal(a->iterations, b->iterations);
}

static void avx2_and_plain_code_give_the_same_bits(void **state)
{
    (void)state;
    for (size_t round = 0; round < 60; round++) {
        size_t rows = 5 + round * 7, features = 1 + round % 13, k = 1 + round % 5;
        double *points = random_points(round, rows * features);
        struct kmeans_options options = {.k = k, .starts = 2, .seed = round, .threads = 1};
        struct kmeans_result fast = fit(points, rows, features, &options);
        options.plain = true;
        struct kmeans_result plain = fit(points, rows, features, &options);
        assert_same(&fast, &plain);
        kmeans_result_done(&fast);
        kmeans_result_done(&plain);
        free(points);
    }
}

static void threads_change_nothing(void **state)
{
    (void)state;
    size_t rows = 30000, features = 9;
    double *points = random_points(5, rows * features);
    struct kmeans_options options = {
        .k = 17, .starts = 1, .iterations_max = 6, .seed = 8, .threads = 1};
    struct kmeans_result one = fit(points, rows, features, &options);
    for (unsigned threads = 2; threads < 6; threads++) {
        options.threads = threads;
        struct kmeans_result more = fit(points, rows, features, &options);
        assert_same(&one, &more);
        kmeans_result_done(&more);
    }
    kmeans_result_done(&one);
    free(points);
}

/* One iteration as a textbook writes it. */
static void textbook(const double *points, size_t rows, size_t features, size_t k, double *centres,
                     uint32_t *labels)
{
    double *sums = mem_zero(k * features * sizeof *sums), *counts = mem_zero(k * sizeof *counts);
    for (size_t r = 0; r < rows; r++) {
        double best = INFINITY;
        for (size_t c = 0; c < k; c++) {
            volatile double sum = 0; /* rounded at each step, whatever the compiler likes */
            for (size_t j = 0; j < features; j++) {
                volatile double gap = points[r * features + j] - centres[c * features + j];
                volatile double square = gap * gap;
                sum += square;
            }
            if (sum < best) {
                best = sum;
                labels[r] = (uint32_t)c;
            }
        }
        counts[labels[r]]++;
        for (size_t j = 0; j < features; j++)
            sums[labels[r] * features + j] += points[r * features + j];
    }
    for (size_t i = 0; i < k * features; i++)
        centres[i] = sums[i] / counts[i / features];
    free(sums);
    free(counts);
}

static void rows_are_assigned_as_by_the_textbook(void **state)
{
    (void)state;
    for (size_t round = 0; round < 20; round++) {
        size_t rows = 400 + round, features = 2 + round % 9, k = 3 + round % 6;
        double *points = random_points(round + 100, rows * features);
        double *centres = mem_alloc(k * features * sizeof *centres);
        uint32_t *labels = mem_zero(rows * sizeof *labels);
        memcpy(centres, points, k * features * sizeof *centres);
        struct kmeans_options options = {.k = k, .iterations_max = 12, .centres = points};
        struct kmeans_result result = fit(points, rows, features, &options);
        for (size_t i = 0; i < 13; i++)
            textbook(points, rows, features, k, centres, labels);
        for (size_t r = 0; r < rows; r++) /* the numbers differ, the groups do not */
            for (size_t s = 0; s < r; s++)
                assert_int_equal(labels[r] == labels[s], result.labels[r] == result.labels[s]);
        kmeans_result_done(&result);
        free(points);
        free(centres);
        free(labels);
    }
}

/* scikit-learn 1.2.1, KMeans(3, random_state=42) on StandardScaler's output: groups, inertia,
 * silhouette_score, davies_bouldin_score, calinski_harabasz_score. */
static void ten_rows_fall_into_the_librarys_groups(void **state)
{
    (void)state;
    static const int groups[10] = {1, 1, 2, 2, 2, 0, 0, 0, 1, 1};
    double points[30];
    struct kmeans_scaling scaling;
    struct kmeans_quality quality;
    struct err err = {0};
    memcpy(points, ten, sizeof points);
    assert_int_equal(kmeans_scale(points, 10, 3, false, true, &scaling, &err), ST_OK);
    struct kmeans_options options = {.k = 3, .seed = 42};
    struct kmeans_result result = fit(points, 10, 3, &options);
    for (size_t r = 0; r < 10; r++)
        for (size_t s = 0; s < 10; s++)
            assert_int_equal(groups[r] == groups[s], result.labels[r] == result.labels[s]);
    assert_true(fabs(result.inertia - 2.873808599126801) < 1e-12);
    kmeans_measure(points, &result, 1, &quality);
    assert_true(fabs(quality.silhouette - 0.4999577437121892) < 1e-12);
    assert_true(fabs(quality.davies_bouldin - 0.4529993398750108) < 1e-12);
    assert_true(fabs(quality.calinski_harabasz - 33.03688002461401) < 1e-11);
    assert_int_equal(quality.silhouette_rows, 10);
    assert_int_equal(result.sizes[0], 4);
    assert_true(fabs(kmeans_unscale(&scaling, 1, result.centres[1]) - 35) < 1e-12);
    kmeans_result_done(&result);
    kmeans_scaling_done(&scaling);
}

/* The same program on a grouping with a group of one row, which counts 0. */
static void a_row_alone_has_silhouette_0(void **state)
{
    (void)state;
    uint32_t labels[10] = {0, 1, 1, 1, 2, 2, 2, 2, 1, 1};
    size_t sizes[3] = {1, 5, 4};
    double points[30];
    struct kmeans_scaling scaling;
    struct kmeans_quality quality;
    struct err err = {0};
    memcpy(points, ten, sizeof points);
    assert_int_equal(kmeans_scale(points, 10, 3, false, true, &scaling, &err), ST_OK);
    struct kmeans_result result = {
        .rows = 10, .features = 3, .k = 3, .labels = labels, .sizes = sizes};
    kmeans_measure(points, &result, 1, &quality);
    assert_true(fabs(quality.silhouette - 0.08494569384445903) < 1e-12);
    assert_true(fabs(quality.davies_bouldin - 0.8090950433512475) < 1e-12);
    assert_true(fabs(quality.calinski_harabasz - 13.07697728590096) < 1e-11);
    kmeans_scaling_done(&scaling);
}

static void equal_rows_share_a_group_and_the_rest_stay_empty(void **state)
{
    (void)state;
    static const double points[] = {1, 1, 5, 5, 1, 1, 5, 5, 1, 1};
    struct kmeans_options options = {.k = 4};
    struct kmeans_result result = fit(points, 5, 2, &options);
    assert_int_equal(result.empty, 2);
    assert_int_equal(result.sizes[0], 3);
    assert_int_equal(result.sizes[1], 2);
    assert_int_equal(result.sizes[2] + result.sizes[3], 0);
    assert_true(result.inertia == 0);
    assert_true(result.converged);
    assert_int_equal(result.labels[0], result.labels[4]);
    kmeans_result_done(&result);
}

static void k_equal_to_rows_gives_each_its_own(void **state)
{
    (void)state;
    double *points = random_points(3, 50 * 4);
    struct kmeans_options options = {.k = 50};
    struct kmeans_result result = fit(points, 50, 4, &options);
    assert_true(result.inertia == 0);
    for (size_t c = 0; c < 50; c++)
        assert_int_equal(result.sizes[c], 1);
    for (size_t r = 0; r < 50; r++) /* told in the order of their rows */
        assert_int_equal(result.labels[r], r);
    kmeans_result_done(&result);
    free(points);
}

static void an_empty_cluster_takes_the_farthest_row(void **state)
{
    (void)state;
    static const double points[] = {0, 1, 2, 10, 11, 100};
    static const double begin[] = {0, 11, 1e6}; /* nobody is near the last */
    struct kmeans_options options = {.k = 3, .centres = begin};
    struct kmeans_result result = fit(points, 6, 1, &options);
    assert_int_equal(result.empty, 0);
    assert_int_equal(result.sizes[2], 1);
    assert_true(result.centres[2] == 100);
    assert_true(fabs(result.inertia - 2.5) < 1e-12);
    kmeans_result_done(&result);
}

static void the_inertia_is_the_sum_over_the_clusters(void **state)
{
    (void)state;
    double *points = random_points(9, 1000 * 3), sum = 0;
    size_t sizes = 0;
    struct kmeans_options options = {.k = 7, .seed = 4};
    struct kmeans_result result = fit(points, 1000, 3, &options);
    for (size_t c = 0; c < 7; c++) {
        sum += result.inertias[c];
        sizes += result.sizes[c];
        assert_true(c == 0 || result.sizes[c] <= result.sizes[c - 1]);
    }
    assert_int_equal(sizes, 1000);
    assert_true(fabs(sum - result.inertia) < 1e-10);
    assert_true(result.converged);
    kmeans_result_done(&result);
    free(points);
}

static void more_starts_are_never_worse(void **state)
{
    (void)state;
    double *points = random_points(12, 500 * 2), last = INFINITY;
    for (size_t starts = 1; starts < 20; starts += 3) {
        struct kmeans_options options = {.k = 9, .seed = 4, .starts = starts};
        struct kmeans_result result = fit(points, 500, 2, &options);
        assert_true(result.inertia <= last);
        last = result.inertia;
        kmeans_result_done(&result);
    }
    free(points);
}

static void what_cannot_be_clustered_is_refused(void **state)
{
    (void)state;
    double points[4] = {1, 2, 3, NAN};
    struct kmeans_result result;
    struct err err = {0};
    struct kmeans_options options = {.k = 5};
    assert_int_equal(kmeans_fit(points, 2, 1, &options, &result, &err), ST_INVALID);
    options.k = 0;
    assert_int_equal(kmeans_fit(points, 2, 1, &options, &result, &err), ST_INVALID);
    options.k = 2;
    assert_int_equal(kmeans_fit(points, 4, 0, &options, &result, &err), ST_INVALID);
    assert_int_equal(kmeans_fit(points, 4, 1, &options, &result, &err), ST_INVALID);
    points[3] = 1e200; /* its square is no number */
    assert_int_equal(kmeans_fit(points, 4, 1, &options, &result, &err), ST_INVALID);
    options.k = KMEANS_CLUSTERS_MAX + 1;
    assert_int_equal(kmeans_fit(points, 3, 1, &options, &result, &err), ST_TOO_LARGE);
}

static void scaling_uses_the_population_and_knows_constants(void **state)
{
    (void)state;
    double points[] = {0, 7, 2, 7, 4, 7}, logs[] = {0, M_E - 1}, low[] = {3, -1};
    struct kmeans_scaling scaling;
    struct err err = {0};
    assert_int_equal(kmeans_scale(points, 3, 2, false, true, &scaling, &err), ST_OK);
    assert_true(fabs(points[4] - sqrt(1.5)) < 1e-15); /* (4 - 2) / sqrt(8 / 3) */
    assert_true(points[1] == 0 && points[3] == 0 && points[5] == 0);
    assert_true(kmeans_unscale(&scaling, 1, 0) == 7);
    kmeans_scaling_done(&scaling);
    assert_int_equal(kmeans_scale(logs, 2, 1, true, false, &scaling, &err), ST_OK);
    assert_true(logs[0] == 0 && fabs(logs[1] - 1) < 1e-15);
    assert_true(fabs(kmeans_unscale(&scaling, 0, 1) - (M_E - 1)) < 1e-15);
    kmeans_scaling_done(&scaling);
    assert_int_equal(kmeans_scale(low, 2, 1, true, false, &scaling, &err), ST_INVALID);
}

static void a_large_silhouette_is_sampled_and_says_so(void **state)
{
    (void)state;
    size_t rows = KMEANS_SILHOUETTE_ROWS + 1000;
    double *points = random_points(2, rows);
    struct kmeans_quality first, again;
    for (size_t r = 0; r < rows; r++)
        points[r] += r % 2 == 0 ? 100 : 0; /* two groups far apart */
    struct kmeans_options options = {.k = 2, .starts = 1};
    struct kmeans_result result = fit(points, rows, 1, &options);
    kmeans_measure(points, &result, 7, &first);
    kmeans_measure(points, &result, 7, &again);
    assert_int_equal(first.silhouette_rows, KMEANS_SILHOUETTE_ROWS);
    assert_true(first.silhouette > 0.99 && first.silhouette == again.silhouette);
    kmeans_result_done(&result);
    free(points);
}

static void one_group_has_no_quality(void **state)
{
    (void)state;
    struct kmeans_quality quality;
    struct kmeans_options options = {.k = 1};
    struct kmeans_result result = fit(ten, 10, 3, &options);
    kmeans_measure(ten, &result, 7, &quality);
    assert_true(isnan(quality.silhouette) && isnan(quality.davies_bouldin) &&
                isnan(quality.calinski_harabasz));
    kmeans_result_done(&result);
}

static void a_portrait_speaks_from_half_a_deviation_on(void **state)
{
    (void)state;
    assert_string_equal(kmeans_level_name(kmeans_level(-1)), "far_below");
    assert_string_equal(kmeans_level_name(kmeans_level(-0.5)), "below");
    assert_string_equal(kmeans_level_name(kmeans_level(0.4)), "average");
    assert_string_equal(kmeans_level_name(kmeans_level(0.99)), "above");
    assert_string_equal(kmeans_level_name(kmeans_level(7)), "far_above");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(avx2_and_plain_code_give_the_same_bits),
        cmocka_unit_test(threads_change_nothing),
        cmocka_unit_test(rows_are_assigned_as_by_the_textbook),
        cmocka_unit_test(ten_rows_fall_into_the_librarys_groups),
        cmocka_unit_test(a_row_alone_has_silhouette_0),
        cmocka_unit_test(equal_rows_share_a_group_and_the_rest_stay_empty),
        cmocka_unit_test(k_equal_to_rows_gives_each_its_own),
        cmocka_unit_test(an_empty_cluster_takes_the_farthest_row),
        cmocka_unit_test(the_inertia_is_the_sum_over_the_clusters),
        cmocka_unit_test(more_starts_are_never_worse),
        cmocka_unit_test(what_cannot_be_clustered_is_refused),
        cmocka_unit_test(scaling_uses_the_population_and_knows_constants),
        cmocka_unit_test(a_large_silhouette_is_sampled_and_says_so),
        cmocka_unit_test(one_group_has_no_quality),
        cmocka_unit_test(a_portrait_speaks_from_half_a_deviation_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
