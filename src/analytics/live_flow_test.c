/* live_flow_test.c - live funnels, retention and paths on small worlds: numbers by hand, and every
 * number's people. */
#include "analytics/live_test_int.h"

#define ROWS "rows"

static void steps_are(yyjson_doc *doc, const int *people, size_t count)
{
    for (size_t k = 0; k < count; k++)
        if ((int)number(row(doc, ROWS, k), "people") != people[k])
            fail_msg("step %zu: %g people, not %d", k + 1, number(row(doc, ROWS, k), "people"),
                     people[k]);
}

/* Asks, compares people per step, and opens every cell. */
static void funnel_is(struct world *world, const char *question, const int *people, size_t count)
{
    yyjson_doc *doc = ask(world, "funnel", question);
    assert_int_equal(yyjson_arr_size(yyjson_obj_get(yyjson_doc_get_root(doc), ROWS)), count);
    steps_are(doc, people, count);
    for (size_t k = 0; k < count; k++) {
        assert_int_equal(opens(world, row(doc, ROWS, k), "cell"), people[k]);
        if (k > 0)
            assert_int_equal(opens(world, row(doc, ROWS, k), "dropped_cell"),
                             people[k - 1] - people[k]);
    }
    yyjson_doc_free(doc);
}
#define FUNNEL_IS(world, question, ...)                                                            \
    funnel_is(world, question, (const int[]){__VA_ARGS__},                                         \
              sizeof((const int[]){__VA_ARGS__}) / sizeof(int))

/* --- funnel ----------------------------------------------------------------------------------- */

static void shop(struct world *world)
{
    add(world, 1, "visit", "2026-11-20T08:00:00Z", "web", -1);
    add(world, 1, "cart", "2026-11-20T09:00:00Z", "web", -1);
    add(world, 1, "order", "2026-11-20T10:00:00Z", "web", 10);
    add(world, 2, "visit", "2026-11-20T08:00:00Z", "app", -1);
    add(world, 2, "help", "2026-11-20T08:30:00Z", "app", -1);
    add(world, 2, "cart", "2026-11-20T09:30:00Z", "app", -1);
    add(world, 2, "order", "2026-11-21T10:00:00Z", "app", 10);
    add(world, 3, "order", "2026-11-20T08:00:00Z", "web", 5);
    add(world, 3, "cart", "2026-11-20T09:00:00Z", "web", -1);
    add(world, 3, "visit", "2026-11-20T10:00:00Z", "web", -1);
    add(world, 4, "visit", "2026-11-20T08:00:00Z", "app", -1);
    add(world, 0, "visit", "2026-11-20T08:00:00Z", "app", -1);
}

static void a_funnel_counts_shares_times_and_names_the_bottleneck(void **state)
{
    (void)state;
    struct world world;
    world_open(&world, NULL);
    shop(&world);
    const char *question = "{\"steps\":[\"visit\",\"cart\",\"order\"],\"from\":\"2026-11-20\"}";
    FUNNEL_IS(&world, question, 4, 2, 2);
    yyjson_doc *doc = ask(&world, "funnel", question);
    yyjson_val *root = yyjson_doc_get_root(doc), *neck = yyjson_obj_get(root, "bottleneck");
    assert_int_equal(number(root, "entered"), 4);
    assert_int_equal(number(root, "converted"), 2);
    assert_int_equal(number(root, "window_open"), 2);
    assert_true(number(root, "conversion") == 0.5);
    assert_int_equal(number(neck, "step"), 2);
    text_is(neck, "event", "cart");
    assert_int_equal(number(neck, "dropped"), 2);
    assert_int_equal(number(row(doc, ROWS, 1), "median_seconds"), 4500); /* 3600 5400 */
    assert_int_equal(number(row(doc, ROWS, 1), "mean_seconds"), 4500);
    assert_int_equal(number(root, "conversion_median_seconds"), (7200 + 93600) / 2);
    assert_true(number(row(doc, ROWS, 1), "from_previous") == 0.5);
    assert_true(number(row(doc, ROWS, 2), "from_first") == 0.5);
    yyjson_doc_free(doc);
    world_close(&world);
}

static void orders_windows_exclusions_and_ties_decide(void **state)
{
    (void)state;
    struct world world;
    world_open(&world, NULL);
    shop(&world);
#define STEPS "{\"from\":\"2026-11-20\",\"steps\":[\"visit\",\"cart\",\"order\"]"
    FUNNEL_IS(&world, STEPS ",\"order\":\"strict\"}", 4, 1, 1);
    FUNNEL_IS(&world, STEPS ",\"order\":\"unordered\"}", 4, 3, 3);
    FUNNEL_IS(&world, STEPS ",\"window\":\"24h\"}", 4, 2, 1);
    FUNNEL_IS(&world, STEPS ",\"window\":0}", 4, 0, 0);
    FUNNEL_IS(&world, STEPS ",\"step_windows\":[\"1h\",null]}", 4, 1, 1);
    FUNNEL_IS(&world, STEPS ",\"step_windows\":[null,\"1h\"]}", 4, 2, 1);
    FUNNEL_IS(&world, STEPS ",\"exclusions\":[{\"event\":\"help\"}]}", 4, 1, 1);
    FUNNEL_IS(&world, STEPS ",\"exclusions\":[{\"event\":\"help\",\"after\":2}]}", 4, 2, 2);
    FUNNEL_IS(&world, STEPS ",\"closed\":true,\"to\":\"2026-11-20\"}", 4, 2, 1);
    FUNNEL_IS(&world, STEPS ",\"to\":\"2026-11-20\"}", 4, 2, 2);
    FUNNEL_IS(&world, STEPS ",\"where\":[{\"channel\":\"app\"}]}", 2, 1, 1);
    /* Equal times: as they came; or in the steps' favour. */
    add(&world, 7, "cart", "2026-11-22T08:00:00Z", "web", -1);
    add(&world, 7, "visit", "2026-11-22T08:00:00Z", "web", -1);
    FUNNEL_IS(&world, STEPS "}", 5, 2, 2);
    FUNNEL_IS(&world, STEPS ",\"ties\":\"steps\"}", 5, 3, 2);
    FUNNEL_IS(&world, STEPS ",\"ties\":\"steps\",\"modes\":\"strict_increase\"}", 5, 2, 2);
    /* A step that comes twice needs two events. */
    FUNNEL_IS(&world, "{\"from\":\"2026-11-20\",\"steps\":[\"visit\",\"visit\"]}", 5, 0);
    add(&world, 7, "visit", "2026-11-22T08:00:00Z", "web", -1);
    FUNNEL_IS(&world, "{\"from\":\"2026-11-20\",\"steps\":[\"visit\",\"visit\"]}", 5, 1);
    FUNNEL_IS(&world, "{\"from\":\"2026-11-20\",\"steps\":[\"visit\",\"visit\"],\"once\":false}", 5,
              5);
    FUNNEL_IS(&world, "{\"from\":\"2026-11-20\",\"steps\":[\"visit\",\"*\",\"order\"]}", 5, 3, 2);
    world_close(&world);
}

static void a_breakdown_goes_by_the_first_step_and_compares(void **state)
{
    (void)state;
    struct world world;
    world_open(&world, NULL);
    shop(&world);
    add(&world, 5, "visit", "2026-11-17T08:00:00Z", "web", -1);
    yyjson_doc *doc = ask(&world, "funnel",
                          STEPS ",\"to\":\"2026-11-22\",\"breakdown\":{\"by\":\"channel\"},"
                                "\"compare\":\"previous\"}");
    assert_int_equal(yyjson_arr_size(yyjson_obj_get(yyjson_doc_get_root(doc), ROWS)), 6);
    yyjson_val *web = row(doc, ROWS, 0), *app = row(doc, ROWS, 3);
    if (strcmp(yyjson_get_str(yyjson_obj_get(web, "breakdown")), "web") != 0) {
        web = row(doc, ROWS, 3);
        app = row(doc, ROWS, 0);
    }
    text_is(web, "breakdown", "web");
    assert_int_equal(number(web, "people"), 2);
    assert_int_equal(number(web, "previous_people"), 1);
    assert_true(number(web, "change") == 1);
    assert_int_equal(opens(&world, web, "cell"), 2);
    assert_int_equal(opens(&world, web, "previous_cell"), 1);
    assert_int_equal(number(app, "people"), 2);
    assert_int_equal(number(row(doc, "totals", 0), "people"), 4);
    assert_int_equal(opens(&world, row(doc, "totals", 2), "cell"), 2);
    yyjson_doc_free(doc);
    world_close(&world);
}

static void a_bad_question_about_a_funnel_says_what_is_wrong(void **state)
{
    (void)state;
    struct world world;
    world_open(&world, NULL);
    shop(&world);
    refused(&world, "funnel", "{}", ST_INVALID, "steps");
    refused(&world, "funnel", "{\"steps\":[]}", ST_INVALID, "1 to 20");
    refused(&world, "funnel", "{\"steps\":[\"vist\"]}", ST_NOT_FOUND, "visit");
    refused(&world, "funnel", STEPS ",\"ordr\":\"strict\"}", ST_INVALID, "order");
    refused(&world, "funnel", STEPS ",\"order\":\"loose\"}", ST_INVALID, "unordered");
    refused(&world, "funnel", STEPS ",\"window\":\"101y\"}", ST_INVALID, "window");
    refused(&world, "funnel", STEPS ",\"step_windows\":[1]}", ST_INVALID, "list of 2");
    refused(&world, "funnel", STEPS ",\"modes\":\"strikt\"}", ST_INVALID, "strict_increase");
    refused(&world, "funnel", STEPS ",\"exclusions\":[{\"event\":\"help\",\"after\":3}]}",
            ST_INVALID, "after");
    refused(&world, "funnel", STEPS ",\"order\":\"strict\",\"step_windows\":[1,1]}", ST_INVALID,
            "do not go");
    refused(&world, "funnel", "{\"steps\":[\"visit\",\"visit\"],\"order\":\"unordered\"}",
            ST_INVALID, "two steps");
    refused(&world, "funnel", STEPS ",\"to\":\"2026-11-01\"}", ST_INVALID, "empty");
    refused(&world, "retention", "{\"periods\":0}", ST_INVALID, "periods");
    refused(&world, "retention", "{\"start\":\"vist\"}", ST_NOT_FOUND, "visit");
    refused(&world, "paths", "{\"depth\":11}", ST_INVALID, "depth");
    refused(&world, "paths", "{\"start\":\"visit\",\"end\":\"order\"}", ST_INVALID, "not both");
    world_close(&world);
}

/* --- retention -------------------------------------------------------------------------------- */

static yyjson_val *triangle(yyjson_doc *doc, const char *cohort, unsigned period)
{
    yyjson_val *cell;
    yyjson_arr_iter cells =
        yyjson_arr_iter_with(yyjson_obj_get(yyjson_doc_get_root(doc), "triangle"));
    while ((cell = yyjson_arr_iter_next(&cells)) != NULL)
        if (strcmp(yyjson_get_str(yyjson_obj_get(cell, "cohort")), cohort) == 0 &&
            (unsigned)number(cell, "period") == period)
            return cell;
    return NULL;
}

static void returned_is(struct world *world, yyjson_doc *doc, const char *cohort, unsigned period,
                        int returned)
{
    yyjson_val *cell = triangle(doc, cohort, period);
    assert_non_null(cell);
    assert_int_equal(number(cell, "returned"), returned);
    assert_int_equal(opens(world, cell, "cell"), returned);
}

static void retention_follows_cohorts_and_its_curve_only_what_is_over(void **state)
{
    (void)state;
    struct world world;
    world_open(&world, "Asia/Shanghai");
    add(&world, 1, "visit", "2026-11-20T01:00:00Z", "web", -1);
    add(&world, 1, "visit", "2026-11-20T02:00:00Z", "web", -1);
    add(&world, 1, "order", "2026-11-21T02:00:00Z", "web", -1);
    add(&world, 1, "visit", "2026-11-22T01:00:00Z", "web", -1);
    add(&world, 2, "visit", "2026-11-20T15:59:59Z", "web", -1);
    add(&world, 2, "visit", "2026-11-20T16:00:00Z", "web", -1); /* the next day */
    add(&world, 3, "visit", "2026-11-22T01:00:00Z", "web", -1);
    add(&world, 3, "visit", "2026-11-24T01:00:00Z", "web", -1);
    add(&world, 4, "visit", "2026-11-01T01:00:00Z", "web", -1); /* started before the window */
    add(&world, 4, "visit", "2026-11-20T01:00:00Z", "web", -1);
#define FROM "{\"from\":\"2026-11-20\",\"to\":\"2026-11-24\",\"periods\":5,\"start\":\"visit\""
    yyjson_doc *doc = ask(&world, "retention", FROM ",\"return\":\"visit\"}");
    assert_int_equal(number(yyjson_doc_get_root(doc), "people_started"), 3);
    returned_is(&world, doc, "2026-11-20", 0, 1);
    returned_is(&world, doc, "2026-11-20", 1, 1);
    returned_is(&world, doc, "2026-11-20", 2, 1);
    returned_is(&world, doc, "2026-11-20", 3, 0);
    returned_is(&world, doc, "2026-11-22", 2, 1);
    assert_true(yyjson_get_bool(yyjson_obj_get(triangle(doc, "2026-11-22", 2), "unfinished")));
    assert_null(triangle(doc, "2026-11-22", 3)); /* tomorrow */
    assert_int_equal(opens(&world, row(doc, "cohorts", 0), "cell"), 2);
    /* Two days later: only the first cohort's is over. */
    assert_int_equal(number(row(doc, ROWS, 2), "people"), 2);
    assert_int_equal(number(row(doc, ROWS, 2), "returned"), 1);
    assert_int_equal(number(row(doc, ROWS, 1), "people"), 3);
    assert_int_equal(opens(&world, row(doc, ROWS, 1), "cell"), 1);
    yyjson_doc_free(doc);
    doc = ask(&world, "retention", FROM ",\"return\":\"visit\",\"unbounded\":true}");
    returned_is(&world, doc, "2026-11-20", 0, 2);
    returned_is(&world, doc, "2026-11-20", 1, 2);
    returned_is(&world, doc, "2026-11-20", 2, 1);
    returned_is(&world, doc, "2026-11-22", 1, 1);
    yyjson_doc_free(doc);
    doc = ask(&world, "retention", FROM ",\"return\":\"order\"}");
    returned_is(&world, doc, "2026-11-20", 1, 1);
    returned_is(&world, doc, "2026-11-20", 2, 0);
    yyjson_doc_free(doc);
    doc = ask(&world, "retention", FROM ",\"return\":\"visit\",\"cohort\":\"any\"}");
    returned_is(&world, doc, "2026-11-20", 1, 1);
    assert_int_equal(opens(&world, row(doc, "cohorts", 0), "cell"), 3);
    assert_int_equal(opens(&world, row(doc, "cohorts", 2), "cell"), 2);
    yyjson_doc_free(doc);
    doc = ask(&world, "retention", FROM ",\"return\":\"*\",\"unit\":\"month\"}");
    returned_is(&world, doc, "2026-11-01", 0, 3);
    yyjson_doc_free(doc);
    world_close(&world);
}

/* --- paths ------------------------------------------------------------------------------------ */

static void edge_is(struct world *world, yyjson_doc *doc, unsigned level, const char *from,
                    const char *to, int paths, int people)
{
    yyjson_val *edge;
    yyjson_arr_iter edges = yyjson_arr_iter_with(yyjson_obj_get(yyjson_doc_get_root(doc), ROWS));
    while ((edge = yyjson_arr_iter_next(&edges)) != NULL) {
        const char *next = yyjson_get_str(yyjson_obj_get(edge, "to_event"));
        if ((unsigned)number(edge, "level") != level ||
            strcmp(yyjson_get_str(yyjson_obj_get(edge, "from_event")), from) != 0 ||
            strcmp(next == NULL ? "" : next, to) != 0)
            continue;
        assert_int_equal(number(edge, "paths"), paths);
        assert_int_equal(number(edge, "people"), people);
        assert_int_equal(opens(world, edge, "cell"), people);
        return;
    }
    fail_msg("no edge from %s to %s on level %u", from, to, level);
}

static void paths_go_from_a_step_or_to_one_session_by_session(void **state)
{
    (void)state;
    struct world world;
    world_open(&world, NULL);
    shop(&world);
    add(&world, 1, "visit", "2026-11-20T10:00:10Z", "web", -1);
    add(&world, 1, "visit", "2026-11-20T10:00:20Z", "app", -1);
    add(&world, 1, "help", "2026-11-20T10:00:30Z", "app", -1);
#define LONG "{\"from\":\"2026-11-20\",\"gap\":\"2h\""
    yyjson_doc *doc = ask(&world, "paths", LONG ",\"start\":\"visit\"}");
    assert_int_equal(number(yyjson_doc_get_root(doc), "paths"), 4);
    edge_is(&world, doc, 1, "visit", "cart", 1, 1);
    edge_is(&world, doc, 1, "visit", "help", 1, 1);
    edge_is(&world, doc, 1, "visit", "", 2, 2);
    edge_is(&world, doc, 4, "visit", "help", 1, 1);
    yyjson_doc_free(doc);
    doc = ask(&world, "paths", LONG ",\"start\":\"visit\",\"collapse\":false}");
    edge_is(&world, doc, 4, "visit", "visit", 1, 1);
    yyjson_doc_free(doc);
    doc = ask(&world, "paths", LONG ",\"end\":\"order\"}");
    edge_is(&world, doc, 1, "order", "cart", 1, 1);
    edge_is(&world, doc, 1, "order", "", 2, 2);
    edge_is(&world, doc, 2, "cart", "visit", 1, 1);
    yyjson_doc_free(doc);
    doc = ask(&world, "paths", LONG ",\"top\":1}");
    edge_is(&world, doc, 1, "visit", "other", 1, 1); /* help; the top is cart */
    edge_is(&world, doc, 1, "other", "cart", 1, 1);
    yyjson_doc_free(doc);
    doc = ask(&world, "paths", LONG ",\"cross_channel\":true,\"collapse\":true}");
    edge_is(&world, doc, 4, "visit", "visit", 1, 1);
    yyjson_doc_free(doc);
    doc = ask(&world, "paths", "{\"from\":\"2026-11-20\"}"); /* 30 minutes */
    edge_is(&world, doc, 1, "visit", "help", 1, 1);
    edge_is(&world, doc, 1, "order", "visit", 1, 1);
    yyjson_doc_free(doc);
    world_close(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_funnel_counts_shares_times_and_names_the_bottleneck),
        cmocka_unit_test(orders_windows_exclusions_and_ties_decide),
        cmocka_unit_test(a_breakdown_goes_by_the_first_step_and_compares),
        cmocka_unit_test(a_bad_question_about_a_funnel_says_what_is_wrong),
        cmocka_unit_test(retention_follows_cohorts_and_its_curve_only_what_is_over),
        cmocka_unit_test(paths_go_from_a_step_or_to_one_session_by_session),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
