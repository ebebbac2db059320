/* clv_people_test.c - how purchases become customers: days, merging, calibration and hold-out, what
 * is left out. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "learn/clv_report_int.h"

#define NOW_US (INT64_C(20000) * US_PER_DAY) /* 2024-10-04 */

struct world {
    char folder[64], path[96];
    struct clv_report_options options;
    struct clv_people people;
    struct err err;
};

static enum status world_read(struct world *world, enum clv_model model, const char *text)
{
    snprintf(world->folder, sizeof world->folder, "/tmp/clv.XXXXXX");
    assert_non_null(mkdtemp(world->folder));
    snprintf(world->path, sizeof world->path, "%s/file.csv", world->folder);
    FILE *file = fopen(world->path, "w");
    assert_non_null(file);
    assert_int_equal(fputs(text, file) < 0, 0);
    assert_int_equal(fclose(file), 0);
    world->options.file.path = world->path;
    world->options.now_us = NOW_US;
    if (world->options.calibration_end == NULL)
        world->options.calibration_end = "";
    if (world->options.period_us == 0)
        world->options.period_us = 7 * US_PER_DAY;
    return clv_people_read(&world->options, model, &world->people, &world->err);
}

static void world_done(struct world *world)
{
    clv_people_done(&world->people);
    assert_int_equal(unlink(world->path), 0);
    assert_int_equal(rmdir(world->folder), 0);
}

static void is(double have, double want)
{
    assert_true(fabs(have - want) < 1e-12);
}

static void a_day_is_one_purchase_and_the_first_is_no_repeat(void **state)
{
    (void)state;
    struct world world = {.options.calibration_end = "2024-02-29"};
    assert_int_equal(world_read(&world, CLV_BGNBD,
                                "id,date,price\n"
                                "a,2024-01-15,9\n" /* the rows stand in no order */
                                "a,2024-01-01,5\n"
                                "a,2024-01-15,1\n"
                                "a,2024-02-29,20\n"
                                "a,2024-03-01,7\n"
                                "b,2024-02-28T23:59:59Z,3\n"
                                "b,2024-02-29T00:00:00+01:00,4\n"),
                     ST_OK);
    assert_int_equal(world.people.count, 2);
    const struct clv_person *a = &world.people.list[0], *b = &world.people.list[1];
    is(a->value.repeats, 2);
    is(a->value.recency, 59.0 / 7);
    is(a->value.age, 59.0 / 7);
    is(a->value.spend, 15); /* (9 + 1 + 20) / 2 */
    is(a->holdout, 1);
    is(a->ahead, 1.0 / 7);
    is(b->value.repeats, 0); /* one day in UTC */
    is(b->value.age, 1.0 / 7);
    assert_int_equal(world.people.repeats_on[14], 1);
    assert_int_equal(world.people.repeats_on[60], 1);
    world_done(&world);
}

static void what_does_not_count_is_counted(void **state)
{
    (void)state;
    struct world world = {.options.calibration_end = "2024-01-31"};
    assert_int_equal(world_read(&world, CLV_BGNBD,
                                "id,date,price\n"
                                "a,2024-01-01,5\n"
                                ",2024-01-02,5\n"
                                "a,2024-01-09,-5\n"
                                "a,2999-01-01,5\n"
                                "late,2024-02-01,5\n"
                                "late,2024-02-02,5\n"),
                     ST_OK);
    assert_int_equal(world.people.count, 1);
    is(world.people.list[0].value.repeats, 0);
    assert_int_equal(world.people.left[CLV_LEFT_NO_CUSTOMER], 1);
    assert_int_equal(world.people.left[CLV_LEFT_NEGATIVE], 1);
    assert_int_equal(world.people.left[CLV_LEFT_FUTURE], 1);
    assert_int_equal(world.people.left[CLV_LEFT_LATE], 1);
    world_done(&world);
}

static void opportunities_are_counted_from_the_first_day(void **state)
{
    (void)state;
    struct world world = {.options.calibration_end = "2024-01-31"};
    assert_int_equal(world_read(&world, CLV_BGBB,
                                "id,date,price\n"
                                "a,2024-01-01,100\n"
                                "a,2024-01-03,50\n" /* still the first opportunity */
                                "a,2024-01-08,10\n" /* 1 */
                                "a,2024-01-14,20\n" /* 1 again */
                                "a,2024-01-22,30\n" /* 3 */
                                "a,2024-02-07,30\n" /* 5, after n = 4 */),
                     ST_OK);
    const struct clv_person *a = &world.people.list[0];
    is(a->value.repeats, 2);
    is(a->value.recency, 3);
    is(a->value.age, 4);
    is(a->value.spend, 30);
    is(a->holdout, 1);
    is(a->ahead, 1);
    assert_null(clv_customer_check(CLV_BGBB, &a->value));
    world_done(&world);
}

static void summaries_have_the_names_of_the_reference_programs(void **state)
{
    (void)state;
    static const char *const texts[] = {"ID,frequency,recency,T\n1,2,30.43,38.86\n",
                                        "x,t.x,T.cal\n2,30.43,38.86\n",
                                        "ID,x,t_x,T,zbar\n1,2,30.43,38.86,22.35\n",
                                        "frequency,recency,periods,weights\n2,30.43,38.86,1\n"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct world world = {.options.summaries = true};
        assert_int_equal(world_read(&world, CLV_PARETONBD, texts[i]), ST_OK);
        is(world.people.list[0].value.recency, 30.43);
        is(world.people.list[0].value.age, 38.86);
        is(world.people.list[0].value.weight, 1);
        assert_int_equal(world.people.money, i == 2);
        world_done(&world);
    }
}

static void a_report_is_one_object(void **state)
{
    (void)state;
    struct world world = {.options = {.summaries = true, .model = "bgbb", .discount = 0.1}};
    struct buf json;
    buf_init(&json, 1 << 20);
    assert_int_equal(world_read(&world, CLV_BGBB,
                                "x,t_x,n,weight\n0,0,6,3464\n1,1,6,1091\n1,4,6,78\n2,2,6,613\n"
                                "2,6,6,234\n4,5,6,284\n6,6,6,1203\n"),
                     ST_OK);
    assert_int_equal(clv_report(&world.options, &json, &world.err), ST_OK);
    assert_true(json.p[0] == '{' && json.p[json.n - 1] == '}');
    assert_non_null(strstr(json.p, "\"model\":\"bgbb\""));
    world.options.model = "gammagamma";
    size_t before = json.n;
    assert_int_equal(clv_report(&world.options, &json, &world.err), ST_INVALID);
    assert_int_equal(json.n, before);
    buf_done(&json);
    world_done(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_day_is_one_purchase_and_the_first_is_no_repeat),
        cmocka_unit_test(what_does_not_count_is_counted),
        cmocka_unit_test(opportunities_are_counted_from_the_first_day),
        cmocka_unit_test(summaries_have_the_names_of_the_reference_programs),
        cmocka_unit_test(a_report_is_one_object),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
