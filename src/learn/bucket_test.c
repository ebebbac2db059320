/* bucket_test.c - the rules of bucket.h beyond the published cases. */
#include <math.h>
#include <stdio.h>
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include "learn/bucket.h"
#include "learn/growthbook_report.h"

static double hash(const char *seed, const char *value, int64_t version)
{
    double n = -1;
    assert_true(bucket_hash(str_of(seed), str_of(value), version, &n));
    return n;
}

static void test_ids_that_are_no_ascii_fall_where_javascript_puts_them(void **state)
{
    (void)state; /* made by the JavaScript SDK's own hash function */
    assert_true(hash("实验", "用户1", 1) == 0.073);
    assert_true(hash("实验", "用户1", 2) == 0.5832);
    assert_true(hash("s", "😀é", 1) == 0.624);
    assert_true(hash("s", "😀é", 2) == 0.9734);
}

static void test_bytes_that_are_no_utf8_have_a_place_too(void **state)
{
    (void)state;
    double n = hash("s", "\xff\xc3\xe4\xb8", 2);
    assert_true(n >= 0 && n < 1 && n == hash("s", "\xff\xc3\xe4\xb8", 2));
}

static void test_an_unknown_hash_version_puts_nobody_anywhere(void **state)
{
    (void)state;
    double n = 7;
    assert_false(bucket_hash(STR("a"), STR("b"), 0, &n));
    assert_false(bucket_hash(STR("a"), STR("b"), 3, &n));
    assert_true(n == 7);
}

static void test_more_coverage_moves_nobody_to_another_variation(void **state)
{
    (void)state;
    const double weights[] = {0.2, 0.3, 0.5};
    struct bucket_range few[3], all[3];
    bucket_ranges(3, 0.1, weights, 3, few);
    bucket_ranges(3, 1, weights, 3, all);
    for (int i = 0; i < 10000; i++) {
        int64_t before = bucket_choose(i / 10000.0, few, 3);
        assert_true(before < 0 || before == bucket_choose(i / 10000.0, all, 3));
    }
}

static void test_a_coverage_that_is_no_number_covers_nobody(void **state)
{
    (void)state;
    struct bucket_range ranges[2];
    bucket_ranges(2, NAN, NULL, 0, ranges);
    for (int i = 0; i < 100; i++)
        assert_int_equal(bucket_choose(i / 100.0, ranges, 2), -1);
}

static void test_parts_of_a_namespace_never_share_a_person(void **state)
{
    (void)state;
    for (int i = 0; i < 1000; i++) {
        char id[16];
        int n = snprintf(id, sizeof id, "%d", i);
        struct str value = {id, (size_t)n};
        bool first = bucket_in_namespace(value, STR("n"), (struct bucket_range){0, 0.4});
        bool second = bucket_in_namespace(value, STR("n"), (struct bucket_range){0.4, 1});
        assert_true(first != second);
    }
}

static void test_the_hash_spreads_evenly(void **state)
{
    (void)state;
    int counts[10] = {0};
    double chi2 = 0;
    for (int i = 0; i < 100000; i++) {
        char id[16];
        snprintf(id, sizeof id, "user-%d", i);
        counts[(int)(hash("experiment", id, 2) * 10)]++;
    }
    for (int i = 0; i < 10; i++)
        chi2 += (counts[i] - 10000.0) * (counts[i] - 10000.0) / 10000.0;
    assert_true(chi2 < 27.88); /* 9 degrees of freedom, p = 0.001 */
}

static void test_the_url_is_read_to_its_end_and_no_further(void **state)
{
    (void)state;
    assert_int_equal(bucket_query_override(STR("k"), STR("http://a/?k"), 2), -1);
    assert_int_equal(bucket_query_override(STR("k"), STR("http://a/?k="), 2), -1);
    assert_int_equal(bucket_query_override(STR("k"), STR("?k=99999999999999999999999"), 2), -1);
    assert_int_equal(bucket_query_override(STR("k"), STR("?k= 1"), 2), 1);
    assert_int_equal(bucket_query_override(STR("k"), STR("?k=x&k=1"), 2), -1);
    assert_int_equal(bucket_query_override(STR("k"), STR("?a=1?k=1"), 2), -1);
    assert_int_equal(bucket_query_override(STR(""), STR("?=1"), 2), 1);
    assert_int_equal(bucket_query_override(STR("k"), (struct str){NULL, 0}, 2), -1);
}

static struct bucket_report_options asked(const char *weights, long long variations)
{
    return (struct bucket_report_options){.seed = "seed",
                                          .value = "a",
                                          .version = 2,
                                          .weights = weights,
                                          .variations = variations,
                                          .coverage = 1};
}

static void test_the_report_refuses_weights_that_the_sdk_would_silently_replace(void **state)
{
    (void)state;
    static const char *const bad[] = {".5,.6", ".5", "x", ".5,,.5", "-1,2", "1,0,"};
    struct buf json;
    struct err err;
    buf_init(&json, 1 << 16);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct bucket_report_options options = asked(bad[i], 2);
        assert_int_equal(bucket_report(&options, &json, &err), ST_INVALID);
    }
    struct bucket_report_options many = asked("", 1001);
    assert_int_equal(bucket_report(&many, &json, &err), ST_INVALID);
    struct bucket_report_options good = asked(".5,.5", 0);
    assert_int_equal(bucket_report(&good, &json, &err), ST_OK);
    assert_non_null(strstr(json.p, "\"bucket\":0.0505,\"variation\":0"));
    buf_done(&json);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ids_that_are_no_ascii_fall_where_javascript_puts_them),
        cmocka_unit_test(test_bytes_that_are_no_utf8_have_a_place_too),
        cmocka_unit_test(test_an_unknown_hash_version_puts_nobody_anywhere),
        cmocka_unit_test(test_more_coverage_moves_nobody_to_another_variation),
        cmocka_unit_test(test_a_coverage_that_is_no_number_covers_nobody),
        cmocka_unit_test(test_parts_of_a_namespace_never_share_a_person),
        cmocka_unit_test(test_the_hash_spreads_evenly),
        cmocka_unit_test(test_the_url_is_read_to_its_end_and_no_further),
        cmocka_unit_test(test_the_report_refuses_weights_that_the_sdk_would_silently_replace),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
