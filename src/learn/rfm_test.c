/* rfm_test.c - the rules of rfm.h on numbers that can be checked by hand, and on random customers.
 */
#include "learn/rfm.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/rng.h"

static void orders_become_customers(void **state)
{
    (void)state;
    static const uint32_t customers[] = {0, 1, 0, 0, 1};
    static const uint32_t orders[] = {7, 8, 7, 9, 8};
    static const int64_t days[] = {10, 11, 10, 14, 11};
    static const double amounts[] = {5, 1, 6, 7, -3};
    struct rfm_customer got[3];
    rfm_collect(customers, orders, days, amounts, 5, 20, 3, got);
    assert_true(got[0].recency_days == 6 && got[0].orders == 2 && got[0].revenue == 18);
    assert_true(got[1].recency_days == 9 && got[1].orders == 1 && got[1].revenue == -2);
    assert_true(isnan(got[2].recency_days) && got[2].orders == 0);
    rfm_collect(customers, NULL, days, amounts, 5, 20, 3, got);
    assert_true(got[0].orders == 3 && got[1].orders == 2);
}

/* The package's own test: bins(mtcars, mpg, 5) gives 16.20 18.92 22.00 25.08. */
static void cuts_are_quantiles_of_type_7_plus_1(void **state)
{
    (void)state;
    static const double mpg[32] = {21,   21,   22.8, 21.4, 18.7, 18.1, 14.3, 24.4, 22.8, 19.2, 17.8,
                                   16.4, 17.3, 15.2, 10.4, 10.4, 14.7, 32.4, 30.4, 33.9, 21.5, 15.5,
                                   15.2, 13.3, 19.2, 27.3, 26,   30.4, 15.8, 19.7, 15,   21.4};
    static const double want[4] = {16.20, 18.92, 22.00, 25.08};
    struct rfm_customer customers[32];
    struct rfm_options options = {0};
    struct rfm_cuts cuts;
    struct err err = {0};
    for (size_t i = 0; i < 32; i++)
        customers[i] = (struct rfm_customer){.recency_days = 1, .orders = 1, .revenue = mpg[i]};
    assert_int_equal(rfm_score(customers, 32, &options, &cuts, &err), ST_OK);
    for (size_t i = 0; i < 4; i++)
        assert_true(fabs(cuts.monetary[i] - want[i]) < 1e-12);
}

static void a_value_equal_to_a_cut_lies_above_it(void **state)
{
    (void)state;
    static const double cuts_own[] = {10, 20};
    static const double values[] = {9, 10, 19, 20, 21};
    static const uint32_t up[] = {1, 2, 2, 3, 3}, down[] = {3, 2, 2, 1, 1};
    struct rfm_customer customers[5];
    struct rfm_options options = {
        .bins = 3, .recency_cuts = cuts_own, .frequency_cuts = cuts_own, .monetary_cuts = cuts_own};
    struct rfm_cuts cuts;
    struct err err = {0};
    for (size_t i = 0; i < 5; i++)
        customers[i] = (struct rfm_customer){
            .recency_days = values[i], .orders = values[i], .revenue = values[i]};
    assert_int_equal(rfm_score(customers, 5, &options, &cuts, &err), ST_OK);
    for (size_t i = 0; i < 5; i++) {
        assert_int_equal(customers[i].recency_score, down[i]);
        assert_int_equal(customers[i].frequency_score, up[i]);
        assert_int_equal(customers[i].monetary_score, up[i]);
    }
    assert_int_equal(rfm_code(&customers[0], 3), 311);
    assert_int_equal(rfm_code(&customers[0], 10), 30101);
}

static void ties_never_part(void **state)
{
    (void)state;
    struct rfm_customer customers[50];
    struct rfm_options options = {0};
    struct rfm_cuts cuts;
    struct err err = {0};
    for (size_t i = 0; i < 50; i++)
        customers[i] = (struct rfm_customer){
            .recency_days = 3, .orders = i < 40 ? 1 : 2, .revenue = (double)(i % 2)};
    assert_int_equal(rfm_score(customers, 50, &options, &cuts, &err), ST_OK);
    for (size_t i = 0; i < 50; i++) {
        assert_int_equal(customers[i].recency_score, 5);
        assert_int_equal(customers[i].frequency_score, i < 40 ? 1 : 4);
        assert_int_equal(customers[i].monetary_score, i % 2 == 0 ? 1 : 3);
    }
}

/* Orders of some cents: plus 1 puts all into the lowest bin, plus one cent does not. */
static void small_units_need_a_small_step(void **state)
{
    (void)state;
    struct rfm_customer customers[100];
    struct rfm_options options = {0};
    struct rfm_cuts cuts;
    struct err err = {0};
    size_t lowest = 0;
    for (size_t i = 0; i < 100; i++)
        customers[i] =
            (struct rfm_customer){.recency_days = 1, .orders = 1, .revenue = (double)i / 100};
    assert_int_equal(rfm_score(customers, 100, &options, &cuts, &err), ST_OK);
    for (size_t i = 0; i < 100; i++)
        lowest += customers[i].monetary_score == 1;
    assert_int_equal(lowest, 100);
    options.step = 0.01;
    assert_int_equal(rfm_score(customers, 100, &options, &cuts, &err), ST_OK);
    for (lowest = 0; lowest < 100 && customers[lowest].monetary_score == 1;)
        lowest++;
    assert_in_range(lowest, 20, 22);
}

static void the_first_match_names_the_segment(void **state)
{
    (void)state;
    static const double cuts_own[] = {1, 2, 3, 4}; /* the value v scores v + 1 */
    static const struct {
        uint32_t r, f, m;
        const char *name;
    } cases[] = {
        {5, 5, 5, "champions"},
        {4, 4, 4, "champions"},
        {3, 5, 5, "loyal_customers"},
        {3, 3, 3, "loyal_customers"},
        {5, 1, 1, "potential_loyalist"},
        {2, 2, 2, "need_attention"},
        {2, 1, 1, "about_to_sleep"},
        {1, 5, 5, "at_risk"},
        {1, 1, 1, "lost"},
        {1, 1, 5, "others"},
        {5, 1, 5, "others"},
    };
    struct rfm_options options = {
        .recency_cuts = cuts_own, .frequency_cuts = cuts_own, .monetary_cuts = cuts_own};
    struct rfm_cuts cuts;
    struct err err = {0};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct rfm_customer customer = {
            .recency_days = 5 - cases[i].r, .orders = cases[i].f - 1, .revenue = cases[i].m - 1};
        assert_int_equal(rfm_score(&customer, 1, &options, &cuts, &err), ST_OK);
        assert_int_equal(rfm_code(&customer, 5), cases[i].r * 100 + cases[i].f * 10 + cases[i].m);
        assert_string_equal(rfm_segment_name(customer.segment), cases[i].name);
    }
}

static void segments_add_up_to_the_whole(void **state)
{
    (void)state;
    struct rfm_customer customers[777];
    struct rfm_summary summaries[RFM_SEGMENT_COUNT];
    struct rfm_cuts cuts;
    struct err err = {0};
    struct rng rng;
    rng_init_seed(&rng, 3);
    for (size_t bins = 2; bins < 12; bins++) {
        struct rfm_options options = {.bins = bins};
        size_t count = 0;
        double orders = 0, revenue = 0, orders_all = 0, revenue_all = 0;
        for (size_t i = 0; i < 777; i++) {
            customers[i] = (struct rfm_customer){.recency_days = (double)(rng_u64(&rng) % 400),
                                                 .orders = (double)(rng_u64(&rng) % 20),
                                                 .revenue = (double)(rng_u64(&rng) % 2000)};
            orders_all += customers[i].orders;
            revenue_all += customers[i].revenue;
        }
        assert_int_equal(rfm_score(customers, 777, &options, &cuts, &err), ST_OK);
        for (size_t i = 0; i < 777; i++) {
            assert_in_range(customers[i].recency_score, 1, bins);
            assert_in_range(customers[i].frequency_score, 1, bins);
            assert_in_range(customers[i].monetary_score, 1, bins);
        }
        rfm_summarise(customers, 777, summaries);
        for (size_t s = 0; s < RFM_SEGMENT_COUNT; s++) {
            count += summaries[s].customers;
            orders += summaries[s].orders;
            revenue += summaries[s].revenue;
            assert_true(isnan(summaries[s].revenue_median) == (summaries[s].customers == 0));
        }
        assert_int_equal(count, 777);
        assert_true(orders == orders_all && revenue == revenue_all);
    }
}

static void what_cannot_be_scored_is_refused(void **state)
{
    (void)state;
    static const double falling[] = {3, 2, 1, 0};
    struct rfm_customer customer = {.recency_days = 1, .orders = 1, .revenue = 1};
    struct rfm_options options = {0};
    struct rfm_cuts cuts;
    struct err err = {0};
    assert_int_equal(rfm_score(&customer, 0, &options, &cuts, &err), ST_INVALID);
    options.bins = 1;
    assert_int_equal(rfm_score(&customer, 1, &options, &cuts, &err), ST_INVALID);
    options.bins = RFM_BINS_MAX + 1;
    assert_int_equal(rfm_score(&customer, 1, &options, &cuts, &err), ST_INVALID);
    options = (struct rfm_options){.monetary_cuts = falling};
    assert_int_equal(rfm_score(&customer, 1, &options, &cuts, &err), ST_INVALID);
    options = (struct rfm_options){0};
    customer.revenue = NAN;
    assert_int_equal(rfm_score(&customer, 1, &options, &cuts, &err), ST_INVALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(orders_become_customers),
        cmocka_unit_test(cuts_are_quantiles_of_type_7_plus_1),
        cmocka_unit_test(a_value_equal_to_a_cut_lies_above_it),
        cmocka_unit_test(ties_never_part),
        cmocka_unit_test(small_units_need_a_small_step),
        cmocka_unit_test(the_first_match_names_the_segment),
        cmocka_unit_test(segments_add_up_to_the_whole),
        cmocka_unit_test(what_cannot_be_scored_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
