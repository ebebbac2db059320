/* power_test.c - sample sizes as R's documentation prints them, boundaries as Jennison and Turnbull
 * (2000) tabulate them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>

#include "learn/power.h"

static void near(double value, double expected, double most)
{
    if (!(fabs(value - expected) <= most))
        print_error("%.17g is not %.17g\n", value, expected);
    assert_true(fabs(value - expected) <= most);
}

static struct power_design solved(struct power_design design)
{
    struct err err = {0};
    enum status status = power_solve(&design, &err);
    if (status != ST_OK)
        print_error("%s\n", err.message);
    assert_int_equal(status, ST_OK);
    return design;
}

static struct power_design t_of(double n, double effect, double power)
{
    return (struct power_design){
        .kind = POWER_T, .n = n, .effect = effect, .power = power, .stddev = 1, .alpha = 0.05};
}

static struct power_design shares_of(enum power_kind kind, double p1, double p2, double power)
{
    return (struct power_design){.kind = kind,
                                 .n = NAN,
                                 .effect = p2 - p1,
                                 .power = power,
                                 .baseline = p1,
                                 .stddev = 1,
                                 .alpha = 0.05};
}

static void sample_sizes_are_the_published_ones(void **state)
{
    (void)state;
    near(solved(t_of(NAN, 1, 0.9)).n, 22.02110, 5e-6);
    near(solved(t_of(20, 1, NAN)).power, 0.8689528, 5e-8);
    struct power_design one_sided = t_of(NAN, 0.5, 0.9);
    one_sided.stddev = 2, one_sided.one_sided = true;
    near(solved(one_sided).n, 274.722, 5e-4);
    struct power_design small = t_of(NAN, 0.1, 0.8);
    near(solved(small).n, 1570.737, 5e-4);
    small.strict = true;
    near(solved(small).n, 1570.733, 5e-4);
    near(solved(shares_of(POWER_PROPORTIONS, 0.5, 0.75, 0.9)).n, 76.7, 0.05);
    near(solved(shares_of(POWER_PROPORTIONS, 0.2, 0.25, 0.8)).n, 1093.739046, 1e-4);
    near(solved(shares_of(POWER_PROPORTIONS, 0.02, 0.022, 0.8)).n, 80681.38028, 1e-4);
    struct power_design arcsine = shares_of(POWER_ARCSINE, 0.2, 0.25, 0.8);
    arcsine.strict = true;
    near(solved(arcsine).n, 1091.896, 5e-4);
}

static void each_of_the_three_is_found_from_the_other_two(void **state)
{
    (void)state;
    for (int kind = 0; kind < 3; kind++)
        for (int strict = 0; strict < 2; strict++) {
            struct power_design d = shares_of((enum power_kind)kind, 0.3, 0.37, 0.85);
            d.strict = strict;
            d = solved(d);
            double n = d.n;
            d.power = NAN, d = solved(d);
            near(d.power, 0.85, 1e-10);
            d.effect = NAN, d = solved(d);
            near(d.effect, 0.07, 1e-9);
            near(d.n, n, 0);
        }
}

static void what_cannot_be_is_said(void **state)
{
    struct err err;
    (void)state;
    struct power_design bad[] = {t_of(NAN, NAN, 0.8),
                                 t_of(20, 1, 0.8),
                                 t_of(NAN, 0, 0.8),
                                 t_of(1, 1, NAN),
                                 t_of(NAN, 1, 1),
                                 shares_of(POWER_PROPORTIONS, 0.5, 1.5, 0.8),
                                 shares_of(POWER_PROPORTIONS, 0, 0.5, 0.8),
                                 t_of(NAN, 1e-9, 0.8)};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        err = (struct err){0};
        assert_int_equal(power_solve(&bad[i], &err), ST_INVALID);
        assert_true(err.message[0] != '\0');
    }
}

static void extreme_designs_end(void **state)
{
    struct power_design tiny = t_of(2, NAN, 0.999999);
    (void)state;
    tiny.alpha = 1e-9;
    assert_true(solved(tiny).effect > 1000);
    assert_true(solved(t_of(1e12, NAN, 0.8)).effect < 1e-5);
}

static void boundaries_are_the_tabulated_ones(void **state)
{
    static const double obrien[] = {4.562, 3.226, 2.634, 2.281, 2.040};
    struct power_look looks[POWER_LOOKS_MAX];
    double inflation;
    (void)state;
    power_group_sequential(POWER_POCOCK, 5, 0.05, 0.8, looks, &inflation);
    for (int k = 0; k < 5; k++)
        near(looks[k].z, 2.413, 5e-4);
    near(looks[4].spent, 0.05, 1e-13);
    near(inflation, 1.228, 1e-3);
    power_group_sequential(POWER_OBRIEN_FLEMING, 5, 0.05, 0.8, looks, &inflation);
    for (int k = 0; k < 5; k++)
        near(looks[k].z, obrien[k], 5e-4);
    near(inflation, 1.028, 1e-3);
    power_group_sequential(POWER_POCOCK, 1, 0.05, 0.8, looks, &inflation);
    near(looks[0].z, 1.959963984540054, 1e-12);
    near(inflation, 1, 1e-9);
    power_group_sequential(POWER_POCOCK, 10, 0.01, 0.9, looks, NULL);
    near(looks[9].z, 3.117, 5e-4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sample_sizes_are_the_published_ones),
        cmocka_unit_test(each_of_the_three_is_found_from_the_other_two),
        cmocka_unit_test(what_cannot_be_is_said),
        cmocka_unit_test(extreme_designs_end),
        cmocka_unit_test(boundaries_are_the_tabulated_ones),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
