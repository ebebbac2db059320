/* zone_test.c - the calendar's borders where places are odd, and nearest names. */
#include "base/zone.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/near.h"
#include "base/when.h"

static struct zone *open_zone(const char *name)
{
    struct zone *zone = NULL;
    struct err err;
    assert_int_equal(zone_open(str_of(name), &zone, &err), ST_OK);
    return zone;
}

static int64_t at(const char *text)
{
    int64_t us = 0;
    assert_true(when_parse(str_of(text), 0, &us));
    return us / 1000000;
}

static void days_of_23_and_25_hours_are_days(void **state)
{
    (void)state;
    struct zone *zone = open_zone("Europe/Berlin");
    int64_t spring = zone_midnight(zone, 2026, 3, 29), autumn = zone_midnight(zone, 2026, 10, 25);
    assert_int_equal(spring, at("2026-03-28T23:00:00Z"));
    assert_int_equal(zone_next(zone, ZONE_DAY, spring) - spring, 23 * 3600);
    assert_int_equal(zone_next(zone, ZONE_DAY, autumn) - autumn, 25 * 3600);
    assert_int_equal(zone_start(zone, ZONE_DAY, autumn + 24 * 3600 + 1), autumn);
    int hours = 0;
    for (int64_t t = autumn; t < autumn + 25 * 3600; t = zone_next(zone, ZONE_HOUR, t), hours++)
        assert_int_equal(zone_start(zone, ZONE_HOUR, t + 1800), t);
    assert_int_equal(hours, 25);
    zone_close(zone);
}

static void zones_off_by_half_an_hour_have_their_own_hours(void **state)
{
    (void)state;
    struct zone *zone = open_zone("Asia/Kolkata");
    int64_t hour = at("2026-11-24T10:30:00Z");
    assert_int_equal(zone_start(zone, ZONE_HOUR, hour + 1799), hour);
    assert_int_equal(zone_next(zone, ZONE_HOUR, hour + 1799), hour + 3600);
    assert_int_equal(zone_start(zone, ZONE_DAY, hour), at("2026-11-23T18:30:00Z"));
    zone_close(zone);
    /* The clocks go from 2:00 to 2:30, and from 2:00 back to 1:30. */
    zone = open_zone("Australia/Lord_Howe");
    int64_t spring = at("2026-10-03T15:30:00Z"), autumn = at("2026-04-04T15:00:00Z");
    assert_int_equal(zone_start(zone, ZONE_HOUR, spring + 10), spring);
    assert_int_equal(zone_next(zone, ZONE_HOUR, spring), spring + 1800);
    assert_int_equal(zone_next(zone, ZONE_HOUR, autumn - 1), autumn);
    assert_int_equal(zone_next(zone, ZONE_HOUR, autumn), autumn + 1800);
    assert_int_equal(zone_start(zone, ZONE_HOUR, autumn + 1), autumn);
    zone_close(zone);
}

static void weeks_begin_on_monday_and_months_carry_over(void **state)
{
    (void)state;
    struct zone *zone = open_zone("Asia/Shanghai");
    struct zone_time local;
    int64_t tuesday = at("2026-11-24T10:00:00Z"), monday = at("2026-11-22T16:00:00Z");
    assert_int_equal(zone_start(zone, ZONE_WEEK, tuesday), monday);
    assert_int_equal(zone_start(zone, ZONE_WEEK, monday), monday);
    assert_int_equal(zone_start(zone, ZONE_WEEK, monday - 1), monday - 7 * 86400);
    assert_int_equal(zone_next(zone, ZONE_WEEK, monday + 7 * 86400 - 1), monday + 7 * 86400);
    assert_int_equal(zone_start(zone, ZONE_MONTH, tuesday), at("2026-10-31T16:00:00Z"));
    assert_int_equal(zone_next(zone, ZONE_MONTH, at("2026-12-15T00:00:00Z")),
                     at("2026-12-31T16:00:00Z"));
    assert_int_equal(zone_midnight(zone, 2027, -1, 1), at("2026-10-31T16:00:00Z"));
    zone_local(zone, tuesday, &local);
    assert_int_equal(local.hour, 18);
    assert_int_equal(local.offset_s, 8 * 3600);
    zone_close(zone);
}

static void every_border_follows_the_one_before_it(void **state)
{
    (void)state;
    const char *const names[] = {"America/Sao_Paulo",   "America/Havana", "Pacific/Apia",
                                 "Australia/Lord_Howe", "Asia/Kathmandu", "UTC"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        struct zone *zone = open_zone(names[i]);
        for (enum zone_unit unit = ZONE_HOUR; unit <= ZONE_MONTH; unit++) {
            int64_t t = zone_start(zone, unit, at("2011-10-01T00:00:00Z"));
            while (t < at("2012-05-01T00:00:00Z")) {
                int64_t next = zone_next(zone, unit, t);
                assert_true(next > t);
                assert_int_equal(zone_start(zone, unit, t), t);
                assert_int_equal(zone_start(zone, unit, next - 1), t);
                assert_int_equal(zone_next(zone, unit, next - 1), next);
                t = next;
            }
        }
        zone_close(zone);
    }
}

static void a_name_that_is_no_zone_is_refused(void **state)
{
    (void)state;
    const char *const names[] = {"", "Mars/Olympus", "GMT+25", "Asia/Shang hai", "\xff\xfe"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        struct zone *zone = NULL;
        struct err err;
        assert_int_equal(zone_open(str_of(names[i]), &zone, &err), ST_INVALID);
        assert_null(zone);
    }
}

static void the_nearest_names_come_first(void **state)
{
    (void)state;
    struct near near = near_to(STR("ordr"));
    struct buf out;
    near_offer(&near, STR("visit"));
    near_offer(&near, STR("orders"));
    near_offer(&near, STR("order"));
    near_offer(&near, STR("ordr_of_something_long"));
    buf_init(&out, 200);
    near_put(&near, &out);
    assert_string_equal(out.p, "order, orders, ordr_of_something_long");
    buf_done(&out);
    assert_int_equal(
        near_distance(STR("\xe4\xb8\x8b\xe5\x8d\x95"), STR("\xe4\xb8\x8a\xe5\x8d\x95")), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(days_of_23_and_25_hours_are_days),
        cmocka_unit_test(zones_off_by_half_an_hour_have_their_own_hours),
        cmocka_unit_test(weeks_begin_on_monday_and_months_carry_over),
        cmocka_unit_test(every_border_follows_the_one_before_it),
        cmocka_unit_test(a_name_that_is_no_zone_is_refused),
        cmocka_unit_test(the_nearest_names_come_first),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
