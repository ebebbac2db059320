/* live_test.c - live reports on small worlds: numbers by hand, and every number's people. */
#include "analytics/live_test_int.h"

/* --- trend ------------------------------------------------------------------------------------ */

static void shop(struct world *world)
{
    add(world, 1, "visit", "2026-11-20T08:00:00Z", "web", -1);
    add(world, 1, "order", "2026-11-20T09:00:00Z", "web", 10);
    add(world, 1, "order", "2026-11-20T15:59:59Z", "app", 20);
    add(world, 2, "order", "2026-11-20T16:00:00Z", "app", 30);
    add(world, 2, "visit", "2026-11-22T10:00:00Z", "store", -1);
    add(world, 3, "order", "2026-11-24T01:00:00Z", "web", 50);
    add(world, 0, "order", "2026-11-24T02:00:00Z", "web", 5);
    add(world, 4, "order", "2026-11-01T02:00:00Z", "web", 7);
}

static void a_trend_counts_events_people_and_money_per_day(void **state)
{
    (void)state;
    struct world world;
    world_open(&world, "Asia/Shanghai");
    shop(&world);
    yyjson_doc *doc =
        ask(&world, "trend", "{\"event\":\"order\",\"from\":\"2026-11-20\",\"measure\":\"sum\"}");
    yyjson_val *root = yyjson_doc_get_root(doc);
    assert_int_equal(yyjson_arr_size(yyjson_obj_get(root, "rows")), 5);
    text_is(row(doc, "rows", 0), "time", "2026-11-20");
    assert_int_equal(number(row(doc, "rows", 0), "count"), 2);
    assert_int_equal(number(row(doc, "rows", 0), "people"), 1);
    assert_int_equal(number(row(doc, "rows", 0), "sum"), 30);
    assert_int_equal(number(row(doc, "rows", 1), "sum"), 30); /* 16:00 UTC is the next day */
    assert_int_equal(number(row(doc, "rows", 4), "count"), 2);
    assert_int_equal(number(row(doc, "rows", 4), "people"), 1); /* the other is nobody's */
    assert_true(yyjson_get_bool(yyjson_obj_get(row(doc, "rows", 4), "unfinished")));
    assert_null(yyjson_obj_get(row(doc, "rows", 3), "unfinished"));
    assert_int_equal(number(row(doc, "totals", 0), "people"), 3);
    assert_int_equal(number(row(doc, "totals", 0), "sum"), 115);
    assert_int_equal(number(root, "people"), 3);
    assert_int_equal(opens(&world, row(doc, "totals", 0), "cell"), 3);
    assert_int_equal(opens(&world, row(doc, "rows", 0), "cell"), 1);
    assert_int_equal(opens(&world, row(doc, "rows", 2), "cell"), 0);
    yyjson_doc_free(doc);
    world_close(&world);
}

static void quantiles_lie_between_the_values(void **state)
{
    (void)state;
    struct world world;
    world_open(&world, NULL);
    shop(&world);
    yyjson_doc *doc = ask(&world, "trend",
                          "{\"event\":\"order\",\"from\":\"2026-11-20\",\"unit\":\"month\","
                          "\"measure\":\"p90\"}");
    /* 5 10 20 30 50 */
    assert_int_equal(number(row(doc, "rows", 0), "p50"), 20);
    assert_int_equal(number(row(doc, "rows", 0), "p90"), 42);
    assert_int_equal(number(row(doc, "totals", 0), "mean"), 23);
    assert_true(yyjson_get_bool(yyjson_obj_get(row(doc, "rows", 0), "cut")));
    yyjson_doc_free(doc);
    world_close(&world);
}

static void a_breakdown_keeps_the_top_and_calls_the_rest_other(void **state)
{
    (void)state;
    struct world world;
    world_open(&world, "Asia/Shanghai");
    shop(&world);
    yyjson_doc *doc = ask(&world, "trend",
                          "{\"event\":\"*\",\"from\":\"2026-11-20\",\"unit\":\"month\","
                          "\"breakdown\":{\"by\":\"channel\",\"top\":1}}");
    yyjson_val *web = row(doc, "totals", 0), *other = row(doc, "totals", 1);
    text_is(web, "breakdown", "web");
    assert_int_equal(number(web, "count"), 4);
    assert_int_equal(number(web, "people"), 2);
    assert_true(yyjson_get_bool(yyjson_obj_get(other, "other")));
    assert_int_equal(number(other, "values"), 2);
    assert_int_equal(number(other, "count"), 3);
    assert_int_equal(opens(&world, other, "cell"), 2);
    assert_int_equal(opens(&world, web, "cell"), 2);
    /* What a cell means does not change when another channel becomes the first. */
    for (int i = 0; i < 20; i++)
        add(&world, 9, "order", "2026-11-23T10:00:00Z", "app", 1);
    timeline_commit(world.timeline, world.position + 1);
    yyjson_doc *again = ask(&world, "trend", "{\"breakdown\":{\"by\":\"channel\",\"top\":1}}");
    text_is(row(again, "totals", 0), "breakdown", "app");
    yyjson_doc_free(again);
    assert_int_equal(opens(&world, web, "cell"), 2);
    assert_int_equal(opens(&world, other, "cell"), 3);
    yyjson_doc_free(doc);
    world_close(&world);
}

static void a_window_is_compared_with_the_one_before(void **state)
{
    (void)state;
    struct world world;
    world_open(&world, "Asia/Shanghai");
    shop(&world);
    add(&world, 5, "order", "2026-10-05T02:00:00Z", "web", 7);
    yyjson_doc *doc = ask(&world, "trend",
                          "{\"event\":\"order\",\"from\":\"2026-11-01\",\"to\":\"2026-11-30\","
                          "\"unit\":\"month\",\"compare\":\"previous\",\"measure\":\"people\"}");
    yyjson_val *only = row(doc, "rows", 0); /* November's is October */
    assert_int_equal(number(only, "people"), 4);
    assert_int_equal(number(only, "previous_people"), 1);
    assert_int_equal(number(only, "change_share"), 3);
    assert_int_equal(opens(&world, only, "previous_cell"), 1);
    yyjson_doc_free(doc);
    world_close(&world);
}

static void several_events_stand_side_by_side_under_conditions(void **state)
{
    (void)state;
    struct world world;
    world_open(&world, NULL);
    shop(&world);
    yyjson_doc *doc =
        ask(&world, "trend",
            "{\"events\":[\"visit\",{\"event\":\"order\",\"where\":[{\"channel\":\"app\"}]}],"
            "\"where\":[{\"channel\":[\"app\",\"store\"],\"op\":\"in\"}],\"unit\":\"month\"}");
    text_is(row(doc, "totals", 0), "event", "visit");
    assert_int_equal(number(row(doc, "totals", 0), "count"), 1);
    assert_int_equal(number(row(doc, "totals", 1), "count"), 2);
    assert_int_equal(opens(&world, row(doc, "totals", 1), "cell"), 2);
    yyjson_doc_free(doc);
    world_close(&world);
}

/* --- lifecycle and stickiness ----------------------------------------------------------------- */

static void coming_and_going(struct world *world)
{
    add(world, 1, "visit", "2026-11-10T08:00:00Z", "web", -1);
    add(world, 1, "visit", "2026-11-11T08:00:00Z", "web", -1);
    add(world, 1, "visit", "2026-11-11T09:00:00Z", "web", -1);
    add(world, 1, "visit", "2026-11-14T09:00:00Z", "web", -1);
    add(world, 2, "visit", "2026-11-11T09:00:00Z", "web", -1);
    add(world, 2, "visit", "2026-11-12T09:00:00Z", "web", -1);
    add(world, 3, "order", "2026-11-12T09:00:00Z", "web", 5);
    add(world, 3, "visit", "2026-10-01T09:00:00Z", "web", -1);
    add(world, 0, "visit", "2026-11-12T09:00:00Z", "web", -1);
}

static void everybody_is_new_returning_resurrecting_or_dormant(void **state)
{
    (void)state;
    static const int want[4][5] = {/* active new returning resurrecting dormant */
                                   {2, 1, 1, 0, 0},
                                   {2, 0, 1, 1, 1},
                                   {0, 0, 0, 0, 2},
                                   {1, 0, 0, 1, 0}};
    static const char *const members[] = {"active", "new", "returning", "resurrecting", "dormant"};
    static const char *const cells[] = {"cell", "new_cell", "returning_cell", "resurrecting_cell",
                                        "dormant_cell"};
    struct world world;
    world_open(&world, NULL);
    coming_and_going(&world);
    yyjson_doc *doc = ask(&world, "lifecycle", "{\"from\":\"2026-11-11\",\"to\":\"2026-11-14\"}");
    for (size_t i = 0; i < 4; i++)
        for (size_t k = 0; k < 5; k++) {
            assert_int_equal(number(row(doc, "rows", i), members[k]), want[i][k]);
            assert_int_equal(opens(&world, row(doc, "rows", i), cells[k]), want[i][k]);
        }
    yyjson_doc_free(doc);
    doc = ask(&world, "lifecycle", "{\"event\":\"order\",\"unit\":\"week\"}");
    assert_int_equal(number(row(doc, "rows", 2), "new"), 1);
    assert_int_equal(number(row(doc, "rows", 3), "dormant"), 1);
    yyjson_doc_free(doc);
    world_close(&world);
}

static void stickiness_counts_days_and_dau_wau_mau_are_people(void **state)
{
    (void)state;
    static const int want[4][3] = {{2, 2, 3}, {2, 3, 3}, {0, 3, 3}, {1, 3, 3}};
    struct world world;
    world_open(&world, NULL);
    coming_and_going(&world);
    add(&world, 3, "visit", "2026-10-20T09:00:00Z", "web", -1);
    yyjson_doc *doc = ask(&world, "stickiness", "{\"from\":\"2026-11-11\",\"to\":\"2026-11-14\"}");
    assert_int_equal(number(row(doc, "rows", 0), "people"), 1); /* 3 */
    assert_int_equal(number(row(doc, "rows", 1), "people"), 2); /* 1 and 2 */
    assert_int_equal(number(row(doc, "rows", 0), "at_least"), 3);
    assert_int_equal(opens(&world, row(doc, "rows", 1), "cell"), 2);
    for (size_t i = 0; i < 4; i++) {
        yyjson_val *day = row(doc, "days", i);
        assert_int_equal(number(day, "dau"), want[i][0]);
        assert_int_equal(number(day, "wau"), want[i][1]);
        assert_int_equal(number(day, "mau"), want[i][2]);
        assert_int_equal(opens(&world, day, "dau_cell"), want[i][0]);
        assert_int_equal(opens(&world, day, "wau_cell"), want[i][1]);
        assert_int_equal(opens(&world, day, "mau_cell"), want[i][2]);
    }
    yyjson_doc_free(doc);
    world_close(&world);
}

/* --- what is refused -------------------------------------------------------------------------- */

static void errors_name_the_member_and_what_is_near(void **state)
{
    (void)state;
    struct world world;
    world_open(&world, NULL);
    shop(&world);
    refused(&world, "trent", "{}", ST_NOT_FOUND, "trend");
    refused(&world, "trend", "{\"event\":\"ordr\"}", ST_NOT_FOUND, "order");
    refused(&world, "trend", "{\"brekdown\":1}", ST_INVALID, "breakdown");
    refused(&world, "trend", "{\"unit\":\"year\"}", ST_INVALID, "hour, day, week, month");
    refused(&world, "trend", "{\"zone\":\"Mars\"}", ST_INVALID, "zone");
    refused(&world, "trend", "{\"from\":\"2026-11-02\",\"to\":\"2026-11-01\"}", ST_INVALID,
            "window is empty");
    refused(&world, "trend", "{\"from\":\"1900-01-01\"}", ST_INVALID, "1970");
    refused(&world, "trend", "{\"from\":\"2000-01-01\",\"unit\":\"hour\"}", ST_INVALID, "periods");
    refused(&world, "trend", "{\"where\":[{\"channel\":\"wep\"}]}", ST_NOT_FOUND, "web");
    refused(&world, "trend", "{\"where\":[{\"property\":\"x\",\"value\":1}]}", ST_NOT_FOUND, "x");
    refused(&world, "trend", "{\"where\":[{\"channel\":\"web\",\"op\":\"~\"}]}", ST_INVALID,
            "contains");
    refused(&world, "trend", "{\"breakdown\":{\"by\":\"moon\"}}", ST_INVALID, "campaign");
    refused(&world, "trend", "{\"breakdown\":{\"by\":\"channel\",\"top\":0}}", ST_INVALID, "top");
    refused(&world, "trend", "[]", ST_INVALID, "object");
    struct err err;
    struct buf json;
    buf_init(&json, 1000);
    const char *const cells[] = {"", "x", "e30.e30", "a.b", "e30", "....."};
    for (size_t i = 0; i < sizeof cells / sizeof cells[0]; i++)
        assert_int_equal(live_people(world.live, str_of(cells[i]), STR(""), 10, NULL, &json, &err),
                         ST_INVALID);
    buf_done(&json);
    world_close(&world);
}

static void people_come_in_pages_the_most_recent_first(void **state)
{
    (void)state;
    struct world world;
    struct err err;
    world_open(&world, NULL);
    for (uint64_t i = 1; i <= 25; i++) {
        char time[32];
        snprintf(time, sizeof time, "2026-11-20T%02d:00:00Z", (int)(i % 20));
        add(&world, i, "visit", time, "web", -1);
    }
    yyjson_doc *doc = ask(&world, "trend", "{\"event\":\"visit\"}");
    struct str cell = json_member_str(row(doc, "totals", 0), "cell");
    char next[100] = "", seen[64] = "9";
    size_t found = 0;
    for (int pages = 1; pages == 1 || next[0] != '\0'; pages++) {
        struct buf json;
        yyjson_doc *page = NULL;
        buf_init(&json, (size_t)1 << 20);
        must(live_people(world.live, cell, str_of(next), 10, NULL, &json, &err), &err);
        must(json_parse(NULL, buf_view(&json), &page, &err), &err);
        yyjson_val *root = yyjson_doc_get_root(page), *list = yyjson_obj_get(root, "people"), *who;
        size_t i, max;
        yyjson_arr_foreach(list, i, max, who)
        {
            const char *time = yyjson_get_str(yyjson_obj_get(who, "last_seen"));
            assert_true(strcmp(time, seen) <= 0);
            snprintf(seen, sizeof seen, "%s", time);
            found++;
        }
        snprintf(next, sizeof next, STR_FMT, STR_ARG(json_member_str(root, "next")));
        yyjson_doc_free(page);
        buf_done(&json);
    }
    assert_int_equal(found, 25);
    yyjson_doc_free(doc);
    world_close(&world);
}

static void a_report_ends_when_it_is_cancelled(void **state)
{
    (void)state;
    struct world world;
    struct err err;
    struct buf json;
    bool cancel = true;
    struct live_run run = {.cancel = &cancel};
    world_open(&world, NULL);
    shop(&world);
    yyjson_doc_free(ask(&world, "trend", "{}"));
    buf_init(&json, 100000);
    assert_int_equal(live_report(world.live, STR("trend"), NULL, &run, &json, &err), ST_BUSY);
    buf_done(&json);
    world_close(&world);
}

/* --- runs ------------------------------------------------------------------------------------- */

struct heard {
    int times;
    bool in_order;
    double last;
};

static void hear_share(void *ctx, double share)
{
    struct heard *heard = ctx;
    heard->times++;
    heard->in_order = heard->in_order && share >= heard->last && share < 1;
    heard->last = share;
}

static void a_run_says_how_far_it_is_and_ends_when_told(void **state)
{
    (void)state;
    struct world world;
    struct err err;
    struct buf json;
    struct heard heard = {.in_order = true};
    bool cancel = false;
    struct live_run run = {.cancel = &cancel, .progress = hear_share, .ctx = &heard};
    world_open(&world, NULL);
    shop(&world);
    yyjson_doc_free(ask(&world, "trend", "{}")); /* until the timeline shows them */
    buf_init(&json, (size_t)1 << 20);
    must(live_report(world.live, STR("trend"), NULL, &run, &json, &err), &err);
    assert_true(heard.times > 0 && heard.in_order);
    buf_reset(&json);
    heard.times = 0;
    cancel = true;
    assert_int_equal(live_report(world.live, STR("trend"), NULL, &run, &json, &err), ST_BUSY);
    assert_int_equal(heard.times, 1); /* it began its pass, and no other */
    assert_int_equal(json.n, 0);
    buf_done(&json);
    world_close(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_run_says_how_far_it_is_and_ends_when_told),
        cmocka_unit_test(a_trend_counts_events_people_and_money_per_day),
        cmocka_unit_test(quantiles_lie_between_the_values),
        cmocka_unit_test(a_breakdown_keeps_the_top_and_calls_the_rest_other),
        cmocka_unit_test(a_window_is_compared_with_the_one_before),
        cmocka_unit_test(several_events_stand_side_by_side_under_conditions),
        cmocka_unit_test(everybody_is_new_returning_resurrecting_or_dormant),
        cmocka_unit_test(stickiness_counts_days_and_dau_wau_mau_are_people),
        cmocka_unit_test(errors_name_the_member_and_what_is_near),
        cmocka_unit_test(people_come_in_pages_the_most_recent_first),
        cmocka_unit_test(a_report_ends_when_it_is_cancelled),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
