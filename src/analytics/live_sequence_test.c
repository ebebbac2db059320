/* live_sequence_test.c - patterns of steps and retention by conditions on a small world: numbers by
 * hand, and every number's people. */
#include "analytics/live_test_int.h"

static void shop(struct world *world)
{
    add(world, 1, "view", "2026-11-20T08:00:00Z", "web", -1);
    add(world, 1, "view", "2026-11-20T08:10:00Z", "web", -1);
    add(world, 1, "cart", "2026-11-20T08:20:00Z", "web", -1);
    add(world, 1, "order", "2026-11-20T08:30:00Z", "web", 10);
    add(world, 1, "view", "2026-11-20T09:00:00Z", "web", -1);
    add(world, 1, "cart", "2026-11-20T09:05:00Z", "web", -1);
    add(world, 2, "view", "2026-11-20T08:00:00Z", "app", -1);
    add(world, 2, "help", "2026-11-20T09:00:00Z", "app", -1);
    add(world, 2, "order", "2026-11-20T10:00:00Z", "app", 10);
    add(world, 3, "cart", "2026-11-20T08:00:00Z", "web", -1);
    add(world, 3, "view", "2026-11-20T09:00:00Z", "web", -1);
    add(world, 4, "view", "2026-11-20T08:00:00Z", "app", -1);
    add(world, 5, "help", "2026-11-20T08:00:00Z", "app", -1);
    add(world, 0, "view", "2026-11-20T08:00:00Z", "app", -1);
}

#define DAY "{\"from\":\"2026-11-20\",\"to\":\"2026-11-20\""
#define STEPS DAY ",\"steps\":[\"view\",\"cart\",\"order\"],\"pattern\":"

/* Who entered, matched, how often; each of them opens, and so does every row. */
static void pattern_is(struct world *world, const char *question, unsigned entered, unsigned people,
                       unsigned matches)
{
    yyjson_doc *doc = ask(world, "sequence", question);
    yyjson_val *root = yyjson_doc_get_root(doc), *one;
    if (number(root, "entered") != entered || number(root, "people_matching") != people ||
        number(root, "matches") != matches)
        fail_msg("%s: %g %g %g", question, number(root, "entered"), number(root, "people_matching"),
                 number(root, "matches"));
    assert_int_equal(number(root, "missed"), entered - people);
    assert_int_equal(opens(world, root, "entered_cell"), entered);
    assert_int_equal(opens(world, root, "cell"), people);
    assert_int_equal(opens(world, root, "missed_cell"), entered - people);
    yyjson_arr_iter rows = yyjson_arr_iter_with(yyjson_obj_get(root, "rows"));
    while ((one = yyjson_arr_iter_next(&rows)) != NULL) {
        assert_int_equal(opens(world, one, "cell"), number(one, "people"));
        if (number(one, "step") > 1)
            assert_int_equal(opens(world, one, "dropped_cell"), number(one, "dropped"));
    }
    yyjson_doc_free(doc);
}

static void a_pattern_counts_people_matches_and_who_did_not_finish(void **state)
{
    (void)state;
    struct world world;
    world_open(&world, NULL);
    shop(&world);
    pattern_is(&world, STEPS "\"(?1).*(?2)\"}", 4, 1, 2);
    pattern_is(&world, STEPS "\"(?1)(?t<=600)(?2)\"}", 4, 1, 2);
    pattern_is(&world, STEPS "\"(?1)(?t<600)(?2)\"}", 4, 1, 1);
    pattern_is(&world, STEPS "\"(?1)(?t>=1200)(?2)\"}", 4, 1, 1);
    pattern_is(&world, STEPS "\"(?1)(?t==7200)(?3)\"}", 4, 1, 1);
    pattern_is(&world, STEPS "\"(?1)(?2)(?3)\"}", 4, 1, 1);
    pattern_is(&world, STEPS "\"(?1)(?1)(?2)\"}", 4, 1, 1);
    pattern_is(&world, STEPS "\"(?1).*(?3)\"}", 4, 2, 2);
    pattern_is(&world, STEPS "\"(?1)(?t<=3600)(?3)\"}", 4, 1, 1);
    /* Something must stand behind the last step: who reached it has not matched yet. */
    pattern_is(&world, STEPS "\"(?2).\"}", 2, 2, 2);
    pattern_is(&world, STEPS "\"(?3).\"}", 2, 1, 1);
    /* What is no step is not there: p2's help lies between view and order. */
    pattern_is(&world, STEPS "\"(?1)(?3)\"}", 4, 1, 1);
    pattern_is(&world, DAY ",\"steps\":[\"view\",\"*\",\"order\"],\"pattern\":\"(?1)(?3)\"}", 4, 0,
               0);
    /* Without steps; and without any event that is one. */
    pattern_is(&world, DAY ",\"steps\":[\"order\"],\"pattern\":\".\"}", 2, 2, 2);
    pattern_is(&world, DAY ",\"steps\":[\"view\"],\"pattern\":\"..\"}", 4, 1, 1);
    pattern_is(&world, DAY ",\"steps\":[\"order\"],\"pattern\":\"\"}", 5, 5, 2);
    /* Conditions of the question and of a step. */
    pattern_is(&world, STEPS "\"(?1).*(?3)\",\"where\":[{\"channel\":\"app\"}]}", 2, 1, 1);
    pattern_is(&world, STEPS "\"\",\"where\":[{\"channel\":\"app\"}]}", 3, 3, 3);
    pattern_is(&world,
               DAY ",\"steps\":[{\"event\":\"view\",\"where\":[{\"channel\":\"web\"}]},\"order\"],"
                   "\"pattern\":\"(?1).*(?2)\"}",
               2, 1, 1);
    /* Equal times: as they came. */
    add(&world, 7, "cart", "2026-11-20T08:00:00Z", "web", -1);
    add(&world, 7, "view", "2026-11-20T08:00:00Z", "web", -1);
    pattern_is(&world, STEPS "\"(?1).*(?2)\"}", 5, 1, 2);
    pattern_is(&world, STEPS "\"(?2)(?t==0)(?1)\"}", 3, 1, 1);
    world_close(&world);
}

static void each_step_says_how_many_came_so_far(void **state)
{
    (void)state;
    struct world world;
    world_open(&world, NULL);
    shop(&world);
    yyjson_doc *doc = ask(&world, "sequence", STEPS "\"(?1).*(?2)(?t<=600)(?3)\"}");
    assert_int_equal(number(row(doc, "rows", 0), "people"), 4);
    assert_int_equal(number(row(doc, "rows", 1), "people"), 1);
    assert_int_equal(number(row(doc, "rows", 2), "people"), 1);
    text_is(row(doc, "rows", 1), "event", "cart");
    assert_int_equal(number(row(doc, "rows", 1), "dropped"), 3);
    assert_true(number(row(doc, "rows", 1), "from_previous") == 0.25);
    assert_true(number(row(doc, "rows", 2), "from_first") == 0.25);
    assert_true(number(yyjson_doc_get_root(doc), "rate") == 0.25);
    yyjson_doc_free(doc);
    world_close(&world);
}

static void a_breakdown_goes_by_the_matchs_first_event_and_compares(void **state)
{
    (void)state;
    struct world world;
    world_open(&world, NULL);
    shop(&world);
    add(&world, 4, "view", "2026-11-19T08:00:00Z", "app", -1);
    add(&world, 4, "order", "2026-11-19T09:00:00Z", "app", 3);
    yyjson_doc *doc = ask(&world, "sequence",
                          STEPS "\"(?1).*(?3)\",\"breakdown\":{\"by\":\"channel\"},"
                                "\"compare\":\"previous\"}");
    yyjson_val *root = yyjson_doc_get_root(doc), *app;
    assert_int_equal(number(root, "previous_people"), 1);
    assert_int_equal(number(root, "change"), 1);
    assert_int_equal(opens(&world, root, "previous_cell"), 1);
    for (size_t i = 0; i < 2; i++) {
        app = row(doc, "matching", i);
        assert_int_equal(number(app, "entered"), 2);
        assert_int_equal(number(app, "people_matching"), 1);
        assert_int_equal(opens(&world, app, "cell"), 1);
        assert_int_equal(opens(&world, app, "entered_cell"), 2);
        assert_int_equal(opens(&world, app, "missed_cell"), 1);
        bool is_app = str_is(json_member_str(app, "breakdown"), "app");
        assert_int_equal(number(app, "previous_people"), is_app);
        assert_int_equal(opens(&world, app, "previous_cell"), is_app);
    }
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(opens(&world, row(doc, "rows", i), "cell"),
                         number(row(doc, "rows", i), "people"));
    yyjson_doc_free(doc);
    world_close(&world);
}

static void examples_show_times_and_open_one_person(void **state)
{
    (void)state;
    struct world world;
    world_open(&world, "Asia/Shanghai");
    shop(&world);
    yyjson_doc *doc = ask(&world, "sequence", STEPS "\"(?1).*(?3)\",\"examples\":3}");
    static const char *const firsts[] = {"2026-11-20T16:00:00+08:00", "2026-11-20T16:00:00+08:00",
                                         "2026-11-20T17:00:00+08:00"};
    static const size_t steps[] = {2, 2, 1};
    for (size_t i = 0; i < 3; i++) { /* p2's order was later; p3 only began */
        yyjson_val *times = yyjson_obj_get(row(doc, "examples", i), "times");
        assert_int_equal(yyjson_arr_size(times), steps[i]);
        assert_true(str_is(json_str(yyjson_arr_get_first(times)), firsts[i]));
        assert_int_equal(number(row(doc, "examples", i), "matches"), i < 2);
        assert_int_equal(opens(&world, row(doc, "examples", i), "cell"), 1);
    }
    assert_true(
        str_is(json_str(yyjson_arr_get_last(yyjson_obj_get(row(doc, "examples", 0), "times"))),
               "2026-11-20T18:00:00+08:00"));
    yyjson_doc_free(doc);
    world_close(&world);
}

static void a_rare_step_gives_the_same_numbers(void **state)
{
    (void)state;
    struct world world;
    world_open(&world, NULL);
    shop(&world);
    for (uint64_t i = 0; i < 400; i++)
        add(&world, 10 + i % 20, "noise", "2026-11-20T08:00:00Z", "web", -1);
    add(&world, 12, "once", "2026-11-20T08:00:00Z", "web", -1);
    add(&world, 12, "noise", "2026-11-20T09:00:00Z", "web", -1);
#define RARE DAY ",\"steps\":[\"once\",\"noise\"],\"pattern\":"
    pattern_is(&world, RARE "\"(?1).*(?2)\"}", 1, 1, 1);
    pattern_is(&world, RARE "\"(?2).*(?1)\"}", 20, 1, 1);
    pattern_is(&world, RARE "\"(?2)(?t>=3600)(?1)\"}", 20, 0, 0);
    world_close(&world);
}

static void conditions_are_counted_among_those_of_the_first(void **state)
{
    (void)state;
    struct world world;
    world_open(&world, NULL);
    shop(&world);
    static const struct {
        const char *question;
        int people[4];
    } cases[] = {
        {DAY ",\"conditions\":[\"view\",\"cart\",\"order\"]}", {4, 2, 2}},
        {DAY ",\"conditions\":[\"cart\",\"view\",\"order\",\"*\"]}", {2, 2, 1, 2}},
        {DAY ",\"conditions\":[\"*\",\"help\"]}", {5, 2}},
        {DAY ",\"conditions\":[\"view\",\"order\"],\"where\":[{\"channel\":\"app\"}]}", {2, 1}},
        {"{\"from\":\"2026-11-21\",\"conditions\":[\"view\",\"order\"]}", {0, 0}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        yyjson_doc *doc = ask(&world, "retention", cases[i].question);
        size_t rows = yyjson_arr_size(yyjson_obj_get(yyjson_doc_get_root(doc), "rows"));
        assert_int_equal(number(yyjson_doc_get_root(doc), "people_started"), cases[i].people[0]);
        for (size_t k = 0; k < rows; k++) {
            assert_int_equal(number(row(doc, "rows", k), "people"), cases[i].people[k]);
            assert_int_equal(opens(&world, row(doc, "rows", k), "cell"), cases[i].people[k]);
        }
        yyjson_doc_free(doc);
    }
    world_close(&world);
}

static void a_bad_question_about_a_pattern_says_what_is_wrong(void **state)
{
    (void)state;
    struct world world;
    world_open(&world, NULL);
    shop(&world);
    char longer[1024] = STEPS "\"", *at = longer + strlen(longer);
    for (int i = 0; i < 63; i++)
        at = stpcpy(at, "(?1)");
    stpcpy(at, "\"}");
    refused(&world, "sequence", longer, ST_TOO_LARGE, "62 parts");
    refused(&world, "sequence", DAY ",\"steps\":[\"view\"]}", ST_INVALID, "\"pattern\"");
    refused(&world, "sequence", STEPS "7}", ST_INVALID, "(?1).*(?2)");
    refused(&world, "sequence", STEPS "\"(?1)(?4)\"}", ST_INVALID, "step that was not given");
    refused(&world, "sequence", STEPS "\"(?1)(?t~3)\"}", ST_INVALID, "position 8");
    refused(&world, "sequence", STEPS "\"view\"}", ST_INVALID, "position 1");
    refused(&world, "sequence", STEPS "\".\",\"examples\":101}", ST_INVALID, "0 to 100");
    refused(&world, "sequence", STEPS "\".\",\"patern\":\".\"}", ST_INVALID, "pattern");
    refused(&world, "sequence", DAY ",\"steps\":[],\"pattern\":\".\"}", ST_INVALID, "1 to 20");
    refused(&world, "sequence", DAY ",\"steps\":[\"viev\"],\"pattern\":\".\"}", ST_NOT_FOUND,
            "view");
    refused(&world, "retention", DAY ",\"conditions\":[\"viev\"]}", ST_NOT_FOUND, "view");
    refused(&world, "retention", DAY ",\"conditions\":[\"view\"],\"unit\":\"day\"}", ST_INVALID,
            "unit");
    refused(&world, "retention", DAY ",\"conditions\":[\"view\"],\"compare\":\"previous\"}",
            ST_INVALID, "where");
    refused(&world, "retention", DAY ",\"conditons\":[\"view\"]}", ST_INVALID, "conditions");
    world_close(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_pattern_counts_people_matches_and_who_did_not_finish),
        cmocka_unit_test(each_step_says_how_many_came_so_far),
        cmocka_unit_test(a_breakdown_goes_by_the_matchs_first_event_and_compares),
        cmocka_unit_test(examples_show_times_and_open_one_person),
        cmocka_unit_test(a_rare_step_gives_the_same_numbers),
        cmocka_unit_test(conditions_are_counted_among_those_of_the_first),
        cmocka_unit_test(a_bad_question_about_a_pattern_says_what_is_wrong),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
