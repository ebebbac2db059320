/* growthbook_test.c - what the published cases leave open: JavaScript's corners, URLs, and payloads
 * made to hurt. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "learn/growthbook.h"

/* --- helpers ---------------------------------------------------------------------------------- */

static yyjson_doc *parsed(const char *json)
{
    yyjson_doc *doc = NULL;
    struct err err;
    assert_int_equal(json_parse(NULL, str_of(json), &doc, &err), ST_OK);
    return doc;
}

static bool passes_with(const char *condition, const char *attributes, const char *groups)
{
    struct arena arena;
    struct err err;
    bool passes = true;
    arena_init(&arena);
    yyjson_doc *a = parsed(attributes), *c = parsed(condition), *g = parsed(groups);
    assert_int_equal(growthbook_condition(yyjson_doc_get_root(a), yyjson_doc_get_root(c),
                                          yyjson_doc_get_root(g), &arena, &passes, &err),
                     ST_OK);
    yyjson_doc_free(a);
    yyjson_doc_free(c);
    yyjson_doc_free(g);
    arena_done(&arena);
    return passes;
}

static bool passes(const char *condition, const char *attributes)
{
    return passes_with(condition, attributes, "{}");
}

struct world {
    struct growthbook *book;
    struct growthbook_person person;
    struct growthbook_session session;
    struct arena arena;
};

static void world_open(struct world *world, const char *payload)
{
    struct err err;
    *world = (struct world){0};
    arena_init(&world->arena);
    assert_int_equal(growthbook_open(str_of(payload), STR(""), &world->book, &err), ST_OK);
    world->person.attributes = growthbook_part(world->book, "attributes");
    world->person.url = json_str(growthbook_part(world->book, "url"));
    growthbook_begin(&world->session, world->book, &world->person, &world->arena);
}

static void world_close(struct world *world)
{
    growthbook_close(world->book);
    arena_done(&world->arena);
}

/* The reason of an experiment on its own. */
static enum growthbook_why why_of(const char *payload, int64_t *ret_variation)
{
    struct world world;
    struct growthbook_result result;
    struct err err;
    world_open(&world, payload);
    yyjson_val *experiment = yyjson_arr_get(growthbook_part(world.book, "experiments"), 0);
    assert_int_equal(growthbook_run(&world.session, experiment, &result, &err), ST_OK);
    *ret_variation = result.in_experiment ? result.variation : -1;
    world_close(&world);
    return result.why;
}

static bool targeted(const char *url, const char *type, const char *pattern)
{
    char payload[4096];
    int64_t variation;
    snprintf(payload, sizeof payload,
             "{\"attributes\":{\"id\":\"1\"},\"url\":\"%s\",\"experiments\":[{\"key\":\"k\","
             "\"variations\":[0,1],\"urlPatterns\":[{\"type\":\"%s\",\"pattern\":\"%s\"}]}]}",
             url, type, pattern);
    return why_of(payload, &variation) != GROWTHBOOK_URL;
}

/* --- JavaScript's corners --------------------------------------------------------------------- */

static void test_values_are_converted_as_javascript_does(void **state)
{
    (void)state;
    assert_true(passes("{\"a\":0}", "{}"));        /* null * 1 is 0 */
    assert_true(passes("{\"a\":\"null\"}", "{}")); /* null + "" */
    assert_true(passes("{\"a\":\"1,2\"}", "{\"a\":[1,2]}"));
    assert_true(passes("{\"a\":\"1,,x\"}", "{\"a\":[1,null,\"x\"]}"));
    assert_true(passes("{\"a\":\"[object Object]\"}", "{\"a\":{}}"));
    assert_true(passes("{\"a\":255}", "{\"a\":\" 0xFF \"}"));
    assert_true(passes("{\"a\":10}", "{\"a\":[\"1e1\"]}"));
    assert_false(passes("{\"a\":10}", "{\"a\":\"10px\"}"));
    assert_true(passes("{\"a\":{\"$gt\":\"9\"}}", "{\"a\":10}"));
    assert_false(passes("{\"a\":{\"$gt\":\"9\"}}", "{\"a\":\"10\"}")); /* as texts */
    assert_false(passes("{\"a\":{\"$lte\":\"x\"}}", "{\"a\":1}"));     /* NaN */
    assert_false(passes("{\"a\":{\"$gte\":\"x\"}}", "{\"a\":1}"));
    assert_true(passes("{\"a.length\":2}", "{\"a\":[5,6]}"));
    assert_true(passes("{\"a.1.b\":6}", "{\"a\":[5,{\"b\":6}]}"));
}

static void test_numbers_are_written_as_javascript_does(void **state)
{
    (void)state;
    static const char *const pairs[][2] = {
        {"1e21", "1e+21"},
        {"123456789012345680000", "123456789012345680000"},
        {"1e-7", "1e-7"},
        {"0.000001", "0.000001"},
        {"-1.5e-9", "-1.5e-9"},
        {"100", "100"},
        {"-0.0", "0"},
        {"0.1", "0.1"},
        {"5e-324", "5e-324"},
        {"1.7976931348623157e308", "1.7976931348623157e+308"},
        {"12345678901234567890", "12345678901234567000"},
    };
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++) {
        char condition[64], attributes[64];
        snprintf(condition, sizeof condition, "{\"a\":\"%s\"}", pairs[i][1]);
        snprintf(attributes, sizeof attributes, "{\"a\":%s}", pairs[i][0]);
        assert_true(passes(condition, attributes));
    }
}

static void test_texts_sort_by_utf16(void **state)
{
    (void)state; /* U+FF01 is smaller than U+1F600 as a character and greater as a code unit */
    assert_true(passes("{\"a\":{\"$gt\":\"\\ud83d\\ude00\"}}", "{\"a\":\"\\uff01\"}"));
    assert_true(passes("{\"a\":{\"$lt\":\"\\u00e9\"}}", "{\"a\":\"z\"}"));
    assert_true(passes("{\"a\":{\"$lt\":\"\\u4e8c\"}}", "{\"a\":\"\\u4e00\"}"));
}

static void test_case_is_ignored_for_all_letters(void **state)
{
    (void)state;
    assert_true(passes("{\"a\":{\"$ini\":[\"\\u00c4PFEL\"]}}", "{\"a\":\"\\u00e4pfel\"}"));
    assert_true(passes("{\"a\":{\"$alli\":[\"\\u0416\"]}}", "{\"a\":[\"\\u0436\"]}"));
    assert_false(passes("{\"a\":{\"$ini\":[\"ab\"]}}", "{\"a\":\"abc\"}"));
}

static void test_expressions_are_read_as_javascript_does(void **state)
{
    (void)state;
    assert_true(passes("{\"a\":{\"$regex\":\"^(?=.*\\\\d)(?!x)\\\\w+$\"}}", "{\"a\":\"ab1\"}"));
    assert_true(passes("{\"a\":{\"$regex\":\"^\\\\u4e2d[^]$\"}}", "{\"a\":\"\\u4e2d\\n\"}"));
    assert_false(passes("{\"a\":{\"$regex\":\"a$\"}}", "{\"a\":\"a\\n\"}"));
    assert_true(
        passes("{\"a\":{\"$regex\":\"(?<y>\\\\d{4})-\\\\k<y>\"}}", "{\"a\":\"2024-2024\"}"));
    assert_true(passes("{\"a\":{\"$regex\":\"^a\\/b$\"}}", "{\"a\":\"a/b\"}"));
    assert_true(passes("{\"a\":{\"$regex\":\"^null$\"}}", "{}"));
    assert_true(passes("{\"a\":{\"$regex\":\"^\\\\A\\\\h\\\\Q$\"}}", "{\"a\":\"AhQ\"}"));
    assert_true(passes("{\"a\":{\"$regex\":\"^[[:a]]$\"}}", "{\"a\":\":]\"}"));
    assert_true(
        passes("{\"a\":{\"$regex\":\"^[\\\\w-.]+@[a-\\\\d]+$\"}}", "{\"a\":\"a.b-c@-a1\"}"));
    static const char *const foreign[] = {
        "a++", "(?i)A", "(?>a)", "(*ACCEPT)", "(*LIMIT_MATCH=9)a", "(?R)?a", "(?#x)a"};
    for (size_t i = 0; i < sizeof foreign / sizeof foreign[0]; i++) {
        char condition[64];
        snprintf(condition, sizeof condition, "{\"a\":{\"$regex\":\"%s\"}}", foreign[i]);
        assert_false(passes(condition, "{\"a\":\"a\"}"));
    }
    assert_true(passes("{\"a\":{\"$regexi\":\"^\\u00e4$\"}}", "{\"a\":\"\\u00c4\"}"));
}

/* --- what is malformed lets nobody in --------------------------------------------------------- */

static void test_a_malformed_condition_passes_nobody_even_under_not(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "{\"$not\":null}",
        "{\"$not\":{\"$not\":[]}}",
        "{\"$nor\":{}}",
        "{\"$or\":5}",
        "{\"$and\":{}}",
        "{\"$or\":[1]}",
        "[]",
        "{\"a\":{\"$not\":{\"$elemMatch\":7}}}",
        "{\"a\":{\"$not\":{\"$inGroup\":\"odd\"}}}",
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_false(passes_with(bad[i], "{\"a\":[1]}", "{\"odd\":{\"1\":2}}"));
    assert_true(passes("{\"a\":{\"$not\":{\"$unknown\":1}}}", "{}")); /* plainly false, so not */
}

static void test_an_expression_that_backtracks_for_ever_is_stopped_and_passes_nobody(void **state)
{
    (void)state;
    const char *attributes =
        "{\"a\":\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa!\"}";
    assert_false(passes("{\"a\":{\"$regex\":\"^(a+)+$\"}}", attributes));
    assert_false(passes("{\"a\":{\"$not\":{\"$regex\":\"^(a+)+$\"}}}", attributes));
}

/* Many rules that each ask for as much as one may: an end comes, and it is an error. */
static void test_many_slow_expressions_end_together(void **state)
{
    (void)state;
    struct buf payload;
    struct world world;
    struct growthbook_feature feature;
    struct err err;
    buf_init(&payload, 1 << 20);
    buf_text(&payload,
             "{\"attributes\":{\"a\":\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa!\"},"
             "\"features\":{\"f\":{\"rules\":[");
    for (int i = 0; i < 2000; i++) {
        json_put_comma(&payload);
        buf_text(&payload, "{\"force\":1,\"condition\":{\"a\":{\"$regex\":\"^(a+)+$\"}}}");
    }
    buf_text(&payload, "]}}}");
    world_open(&world, payload.p);
    assert_int_equal(growthbook_feature(&world.session, STR("f"), &feature, &err), ST_TOO_LARGE);
    world_close(&world);
    buf_done(&payload);
}

/* Two prerequisites each, forty deep: 2^40 evaluations if nobody counted. */
static void test_prerequisites_that_fan_out_end(void **state)
{
    (void)state;
    for (int levels = 20; levels <= 40; levels += 20) {
        struct buf payload;
        struct world world;
        struct growthbook_feature feature;
        struct err err;
        buf_init(&payload, 1 << 20);
        buf_text(&payload, "{\"features\":{\"f0\":{\"defaultValue\":1}");
        for (int i = 1; i <= levels; i++)
            buf_fmt(
                &payload,
                ",\"f%d\":{\"rules\":[{\"parentConditions\":[{\"id\":\"f%d\"},{\"id\":\"f%d\"}],"
                "\"force\":1}]}",
                i, i - 1, i - 1);
        buf_text(&payload, "}}");
        world_open(&world, payload.p);
        char top[8];
        snprintf(top, sizeof top, "f%d", levels);
        assert_int_equal(growthbook_feature(&world.session, str_of(top), &feature, &err),
                         ST_TOO_LARGE);
        assert_int_equal(growthbook_feature(&world.session, STR("f3"), &feature, &err), ST_OK);
        assert_true(feature.on); /* the session still works */
        world_close(&world);
        buf_done(&payload);
    }
}

static void test_a_large_group_against_a_large_list_ends(void **state)
{
    (void)state;
    struct buf attributes, condition;
    struct err err;
    struct arena arena;
    bool found;
    buf_init(&attributes, 1 << 23);
    buf_init(&condition, 1 << 23);
    buf_text(&attributes, "{\"a\":[-1");
    buf_text(&condition, "{\"a\":{\"$in\":[0");
    for (int i = 1; i < 100000; i++) {
        buf_fmt(&attributes, ",-%d", i);
        buf_fmt(&condition, ",%d", i);
    }
    buf_text(&attributes, "]}");
    buf_text(&condition, "]}}");
    arena_init(&arena);
    yyjson_doc *a = parsed(attributes.p), *c = parsed(condition.p);
    assert_int_equal(growthbook_condition(yyjson_doc_get_root(a), yyjson_doc_get_root(c), NULL,
                                          &arena, &found, &err),
                     ST_TOO_LARGE);
    yyjson_doc_free(a);
    yyjson_doc_free(c);
    arena_done(&arena);
    buf_done(&attributes);
    buf_done(&condition);
}

static void test_odd_payloads_are_worked_with_or_refused(void **state)
{
    (void)state;
    static const char *const odd[] = {
        "{}",
        "{\"features\":[]}",
        "{\"features\":{\"f\":5}}",
        "{\"features\":{\"f\":{\"rules\":7}}}",
        "{\"features\":{\"f\":{\"rules\":[null,1,\"x\",[],{}]}}}",
        "{\"features\":{\"f\":{\"rules\":[{\"variations\":5}]}}}",
        "{\"features\":{\"f\":{\"rules\":[{\"variations\":[1,2],\"weights\":\"x\",\"meta\":3,"
        "\"ranges\":[1,[],[1]],\"namespace\":1,\"hashAttribute\":5,\"hashVersion\":\"2\"}]}}}",
        "{\"features\":{\"f\":{\"rules\":[{\"force\":1,\"filters\":5,\"range\":{},\"coverage\":[]}]"
        "}}}",
        "{\"features\":{\"f\":{\"rules\":[{\"force\":1,\"filters\":[7]}]}}}",
        "{\"features\":{\"f\":{\"rules\":[{\"parentConditions\":[1,{\"id\":\"f\"}]}]}}}",
        "{\"features\":{\"f\":{\"rules\":[{\"contextualBanditRef\":\"b\",\"variations\":[1,2]}]}},"
        "\"contextualBandits\":{\"b\":{\"contexts\":[5,{\"weights\":7}]}},"
        "\"attributes\":{\"id\":1}}",
    };
    for (size_t i = 0; i < sizeof odd / sizeof odd[0]; i++) {
        struct world world;
        struct growthbook_feature feature;
        struct buf json;
        struct err err;
        world_open(&world, odd[i]);
        buf_init(&json, 1 << 16);
        assert_int_equal(growthbook_feature(&world.session, STR("f"), &feature, &err), ST_OK);
        growthbook_put_feature(&json, &feature, STR("f"));
        yyjson_doc_free(parsed(json.p));
        buf_done(&json);
        world_close(&world);
    }
    static const char *const bad[] = {
        "", "[]", "5", "{", "{\"a\":\"\xff\"}", "{\"encryptedFeatures\":\"x.y\"}"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct growthbook *book = NULL;
        struct err err;
        assert_int_equal(growthbook_open(str_of(bad[i]), STR(""), &book, &err), ST_INVALID);
        assert_null(book);
    }
}

static void test_an_old_bucket_version_without_end_is_not_counted_up_to(void **state)
{
    (void)state;
    struct world world;
    struct growthbook_feature feature;
    struct err err;
    world_open(&world,
               "{\"attributes\":{\"id\":\"1\"},\"features\":{\"f\":{\"rules\":[{\"key\":\"k\","
               "\"variations\":[0,1],\"bucketVersion\":1e300,\"minBucketVersion\":1e300}]}},"
               "\"docs\":{\"id||1\":{\"assignments\":{\"k__7\":\"0\",\"k__x\":1}}}}");
    world.person.is_sticky = true;
    assert_int_equal(growthbook_feature(&world.session, STR("f"), &feature, &err), ST_OK);
    assert_int_equal(feature.source, GROWTHBOOK_SOURCE_EXPERIMENT);
    world.person.sticky = growthbook_part(world.book, "docs");
    assert_int_equal(growthbook_feature(&world.session, STR("f"), &feature, &err), ST_OK);
    assert_int_equal(feature.source, GROWTHBOOK_SOURCE_DEFAULT);
    world_close(&world);
}

/* --- an experiment's reasons, sticky buckets -------------------------------------------------- */

static void test_an_experiment_says_why(void **state)
{
    (void)state;
    static const struct {
        const char *fields;
        enum growthbook_why why;
    } cases[] = {
        {"\"status\":\"draft\"", GROWTHBOOK_INACTIVE},
        {"\"status\":\"stopped\"", GROWTHBOOK_STOPPED},
        {"\"hashAttribute\":\"none\"", GROWTHBOOK_NO_HASH_VALUE},
        {"\"hashVersion\":9", GROWTHBOOK_HASH_VERSION},
        {"\"coverage\":0", GROWTHBOOK_COVERAGE},
        {"\"force\":1", GROWTHBOOK_EXPERIMENT_FORCE},
        {"\"groups\":[\"staff\"]", GROWTHBOOK_GROUP},
        {"\"url\":\"^/elsewhere\"", GROWTHBOOK_URL},
        {"\"url\":\"^/page$\"", GROWTHBOOK_IN},
        {"\"condition\":{\"id\":\"2\"}", GROWTHBOOK_CONDITION},
        {"\"namespace\":[\"n\",0,0]", GROWTHBOOK_NAMESPACE},
        {"\"filters\":[{\"seed\":\"s\",\"ranges\":[]}]", GROWTHBOOK_FILTER},
        {"\"parentConditions\":[{\"id\":\"off\",\"condition\":{\"value\":true}}]",
         GROWTHBOOK_PREREQUISITE},
        {"\"parentConditions\":[{\"id\":\"circle\"}]", GROWTHBOOK_CYCLE},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char payload[1024];
        int64_t variation;
        snprintf(
            payload, sizeof payload,
            "{\"attributes\":{\"id\":\"1\"},\"url\":\"http://a.b/page\",\"features\":{\"circle\":"
            "{\"rules\":[{\"parentConditions\":[{\"id\":\"circle\"}]}]}},"
            "\"experiments\":[{\"key\":\"k\",\"variations\":[0,1],%s}]}",
            cases[i].fields);
        assert_string_equal(growthbook_why_name(why_of(payload, &variation)),
                            growthbook_why_name(cases[i].why));
    }
}

static void test_a_rule_cannot_say_what_only_an_experiment_may(void **state)
{
    (void)state;
    struct world world;
    struct growthbook_feature feature;
    struct err err;
    world_open(&world, "{\"attributes\":{\"id\":\"1\"},\"features\":{\"f\":{\"rules\":[{\"status\":"
                       "\"draft\",\"active\":false,\"url\":\"x\",\"variations\":[0,1]}]}}}");
    assert_int_equal(growthbook_feature(&world.session, STR("f"), &feature, &err), ST_OK);
    assert_int_equal(feature.source, GROWTHBOOK_SOURCE_EXPERIMENT);
    world_close(&world);
}

static void test_a_bucket_of_one_feature_is_seen_by_the_next(void **state)
{
    (void)state;
    struct world world;
    struct growthbook_feature feature;
    struct err err;
    struct buf json;
    world_open(&world, "{\"attributes\":{\"id\":\"1\"},\"features\":{"
                       "\"a\":{\"rules\":[{\"key\":\"k\",\"variations\":[0,1],\"weights\":[1,0],"
                       "\"meta\":[{\"key\":\"x\"},{\"key\":\"y\"}]}]},"
                       "\"b\":{\"rules\":[{\"key\":\"k\",\"variations\":[0,1],\"weights\":[0,1],"
                       "\"meta\":[{\"key\":\"x\"},{\"key\":\"y\"}]}]}}}");
    world.person.is_sticky = true;
    assert_int_equal(growthbook_feature(&world.session, STR("a"), &feature, &err), ST_OK);
    assert_int_equal(feature.result.variation, 0);
    assert_false(feature.result.sticky_used);
    assert_int_equal(growthbook_feature(&world.session, STR("b"), &feature, &err), ST_OK);
    assert_int_equal(feature.result.variation, 0);
    assert_true(feature.result.sticky_used);
    buf_init(&json, 4096);
    growthbook_put_sticky(&json, &world.session);
    assert_string_equal(json.p, "{\"id||1\":{\"attributeName\":\"id\",\"attributeValue\":\"1\","
                                "\"assignments\":{\"k__0\":\"x\"}}}");
    buf_done(&json);
    world_close(&world);
}

/* --- URLs ------------------------------------------------------------------------------------- */

static void test_urls_are_targeted_as_browsers_read_them(void **state)
{
    (void)state;
    assert_true(targeted("https://Example.com/pricing/", "simple", "example.com/pricing"));
    assert_true(targeted("https://example.com:443/a/../pricing", "simple", "/pricing"));
    assert_true(targeted("https://shop.example.com/a/b", "simple", "*.example.com/*"));
    assert_false(targeted("https://example.org/a", "simple", "*.example.com/*"));
    assert_true(targeted("https://example.com/?b=2&a=1", "simple", "/?a=1"));
    assert_false(targeted("https://example.com/?b=2", "simple", "/?a=1"));
    assert_true(targeted("https://example.com/?a=x%20y", "simple", "/?a=x+*"));
    assert_true(targeted("https://example.com/p#top", "simple", "/p#top"));
    assert_true(targeted("https://example.com/p#top", "simple", "/p"));
    assert_false(targeted("https://example.com/p", "simple", "/p#top"));
    assert_true(targeted("https://example.com/\u4ef7", "simple", "/%E4%BB%B7"));
    assert_true(targeted("https://example.com/a", "regex", "^/a$"));
    assert_true(targeted("https://example.com/a", "regex", "example"));
    assert_false(targeted("https://example.com/a", "regex", "["));
    assert_false(targeted("https://example.com/a", "other", "/a"));
    assert_false(targeted("javascript:alert(1)", "simple", "*"));
    assert_false(targeted("https://exa mple.com/", "simple", "*"));
    assert_true(targeted("", "simple", "/")); /* no URL is the root of an unknown host */
}

static void test_a_pattern_of_wildcards_is_not_slow(void **state)
{
    (void)state;
    char url[2048], pattern[1024];
    size_t n = (size_t)snprintf(url, sizeof url, "http://a/");
    memset(url + n, 'a', 1500);
    url[n + 1500] = '\0';
    for (size_t i = 0; i + 2 < 900; i += 2)
        memcpy(pattern + i, "*a", 3);
    memcpy(pattern + 800, "b", 2);
    assert_false(targeted(url, "simple", pattern));
}

static void redirected(const char *experiment, const char *url, const char *expected)
{
    char payload[2048];
    struct world world;
    struct str to;
    yyjson_val *chosen;
    struct growthbook_result result;
    struct err err;
    snprintf(payload, sizeof payload,
             "{\"attributes\":{\"id\":\"1\"},\"url\":\"%s\",\"experiments\":[{\"key\":\"k\","
             "\"weights\":[0,1],%s}]}",
             url, experiment);
    world_open(&world, payload);
    assert_int_equal(growthbook_redirect(&world.session, &to, &chosen, &result, &err), ST_OK);
    assert_true(str_is(to, expected));
    world_close(&world);
}

static void test_a_redirect_keeps_the_query_and_never_leads_in_a_circle(void **state)
{
    (void)state;
    const char *here = "\"urlPatterns\":[{\"type\":\"simple\",\"pattern\":\"/a\"}],";
    char keep[512], circle[512], bad[512];
    snprintf(keep, sizeof keep,
             "%s\"persistQueryString\":true,\"variations\":[{},{\"urlRedirect\":"
             "\"http://x.y/b?z=1\"}]",
             here);
    redirected(keep, "http://x.y/a?q=%E4%B8%AD+%26&z=2&q=3", "http://x.y/b?z=1&q=%E4%B8%AD+%26");
    redirected(keep, "http://x.y/a", "http://x.y/b?z=1");
    snprintf(circle, sizeof circle, "%s\"variations\":[{},{\"urlRedirect\":\"http://x.y/a/\"}]",
             here);
    redirected(circle, "http://x.y/a", "");
    snprintf(bad, sizeof bad, "%s\"variations\":[{},{\"urlRedirect\":\"javascript:alert(1)\"}]",
             here);
    redirected(bad, "http://x.y/a", "");
}

/* --- encrypted payloads ----------------------------------------------------------------------- */

static void test_an_encrypted_part_is_opened_or_the_payload_refused(void **state)
{
    (void)state; /* text and key of the published cases */
    const char *payload =
        "{\"features\":{},\"encryptedFeatures\":\"m5ylFM6ndyOJA2OPadubkw==.Uu7ViqgKEt/"
        "dWvCyhI46q088PkAEJbnXKf3KPZjf9IEQQ+A8fojNoxw4wIbPX3aj\"}";
    struct growthbook *book = NULL;
    struct err err;
    assert_int_equal(growthbook_open(str_of(payload), STR("Zvwv/+uhpFDznZ6SX28Yjg=="), &book, &err),
                     ST_OK);
    assert_non_null(yyjson_obj_get(growthbook_part(book, "features"), "feature"));
    growthbook_close(book);
    assert_int_equal(growthbook_open(str_of(payload), STR("Zvwv/+uhpFDznZ6SX39Yjg=="), &book, &err),
                     ST_INVALID);
    assert_int_equal(growthbook_open(str_of(payload), STR(""), &book, &err), ST_INVALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values_are_converted_as_javascript_does),
        cmocka_unit_test(test_numbers_are_written_as_javascript_does),
        cmocka_unit_test(test_texts_sort_by_utf16),
        cmocka_unit_test(test_case_is_ignored_for_all_letters),
        cmocka_unit_test(test_expressions_are_read_as_javascript_does),
        cmocka_unit_test(test_a_malformed_condition_passes_nobody_even_under_not),
        cmocka_unit_test(test_an_expression_that_backtracks_for_ever_is_stopped_and_passes_nobody),
        cmocka_unit_test(test_many_slow_expressions_end_together),
        cmocka_unit_test(test_prerequisites_that_fan_out_end),
        cmocka_unit_test(test_a_large_group_against_a_large_list_ends),
        cmocka_unit_test(test_odd_payloads_are_worked_with_or_refused),
        cmocka_unit_test(test_an_old_bucket_version_without_end_is_not_counted_up_to),
        cmocka_unit_test(test_an_experiment_says_why),
        cmocka_unit_test(test_a_rule_cannot_say_what_only_an_experiment_may),
        cmocka_unit_test(test_a_bucket_of_one_feature_is_seen_by_the_next),
        cmocka_unit_test(test_urls_are_targeted_as_browsers_read_them),
        cmocka_unit_test(test_a_pattern_of_wildcards_is_not_slow),
        cmocka_unit_test(test_a_redirect_keeps_the_query_and_never_leads_in_a_circle),
        cmocka_unit_test(test_an_encrypted_part_is_opened_or_the_payload_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
