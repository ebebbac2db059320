/* growthbook_cases_test.c - all published cases of the GrowthBook SDKs against the functions
 * themselves; prints the golden line.
 *
 *   growthbook_cases cases.json.gz
 *
 * Each group of the file has its own form (a list per case); what a case expects is compared as
 * JSON, numbers as doubles, bit by bit where the published test does so. Where that test rounds to
 * eight places (ranges and equal weights) so do we. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <zlib.h>

#include "learn/bucket.h"
#include "learn/growthbook_int.h"

#define FILE_BYTES_MAX ((size_t)16 << 20)
#define CASES_PUBLISHED 517

static struct arena arena;
static double worst;

/* --- reading and comparing -------------------------------------------------------------------- */

static bool file_read(const char *path, struct buf *text)
{
    gzFile file = gzopen(path, "rb");
    if (file == NULL)
        return false;
    int got = 0;
    for (;;) {
        char *room = buf_room(text, 65536);
        got = room == NULL ? -1 : gzread(file, room, 65536);
        if (got <= 0)
            break;
        text->n += (size_t)got;
    }
    gzclose(file);
    return got == 0;
}

static void deviation(double a, double b)
{
    double difference = fabs(a - b);
    worst = difference > worst ? difference : worst;
}

static bool same(yyjson_val *a, yyjson_val *b)
{
    size_t i, count;
    yyjson_val *key, *value;
    if (yyjson_is_num(a) && yyjson_is_num(b)) {
        deviation(yyjson_get_num(a), yyjson_get_num(b));
        return yyjson_get_num(a) == yyjson_get_num(b);
    }
    if (yyjson_get_type(a) != yyjson_get_type(b) ||
        (yyjson_is_ctn(a) && yyjson_get_len(a) != yyjson_get_len(b)))
        return false;
    if (yyjson_is_obj(a)) {
        yyjson_obj_foreach(a, i, count, key, value)
        {
            if (!same(value, yyjson_obj_getn(b, yyjson_get_str(key), yyjson_get_len(key))))
                return false;
        }
        return true;
    }
    yyjson_arr_foreach(a, i, count, value)
    {
        if (!same(value, yyjson_arr_get(b, i)))
            return false;
    }
    return yyjson_is_ctn(a) || yyjson_equals(a, b);
}

static bool same_text(const struct buf *json, yyjson_val *expected)
{
    struct err err;
    yyjson_doc *doc = NULL;
    if (json_parse(NULL, buf_view(json), &doc, &err) != ST_OK)
        return false;
    bool is_same = same(yyjson_doc_get_root(doc), expected);
    yyjson_doc_free(doc);
    return is_same;
}

/* --- single functions ------------------------------------------------------------------------- */

static yyjson_val *at(yyjson_val *list, size_t i)
{
    return yyjson_arr_get(list, i);
}

static bool hash_case(yyjson_val *c)
{
    double n = NAN, expected = yyjson_get_num(at(c, 3));
    bool found = bucket_hash(json_str(at(c, 0)), json_str(at(c, 1)), yyjson_get_sint(at(c, 2)), &n);
    if (yyjson_is_null(at(c, 3)))
        return !found;
    deviation(n, expected);
    return found && n == expected;
}

static double rounded(double v)
{
    return floor(v * 1e8) / 1e8;
}

static size_t ranges_read(yyjson_val *list, struct bucket_range *ranges)
{
    size_t i, count;
    yyjson_val *item;
    yyjson_arr_foreach(list, i, count, item)
    {
        ranges[i] = (struct bucket_range){yyjson_get_num(at(item, 0)), yyjson_get_num(at(item, 1))};
    }
    return yyjson_arr_size(list);
}

static bool range_case(yyjson_val *c)
{
    struct bucket_range have[16], want[16];
    double weights[16];
    size_t i, count;
    yyjson_val *weight, *in = at(c, 1);
    yyjson_arr_foreach(at(in, 2), i, count, weight)
    {
        weights[i] = yyjson_get_num(weight);
    }
    size_t variations = yyjson_get_uint(at(in, 0)), n = ranges_read(at(c, 2), want);
    bucket_ranges(variations, yyjson_get_num(at(in, 1)), yyjson_is_arr(at(in, 2)) ? weights : NULL,
                  yyjson_arr_size(at(in, 2)), have);
    for (i = 0; i < variations && i < n; i++) {
        deviation(rounded(have[i].from), rounded(want[i].from));
        deviation(rounded(have[i].to), rounded(want[i].to));
        if (rounded(have[i].from) != rounded(want[i].from) ||
            rounded(have[i].to) != rounded(want[i].to))
            return false;
    }
    return variations == n;
}

static bool choose_case(yyjson_val *c)
{
    struct bucket_range ranges[16];
    size_t n = ranges_read(at(c, 2), ranges);
    return bucket_choose(yyjson_get_num(at(c, 1)), ranges, n) == yyjson_get_sint(at(c, 3));
}

static bool query_case(yyjson_val *c)
{
    int64_t have =
        bucket_query_override(json_str(at(c, 1)), json_str(at(c, 2)), yyjson_get_uint(at(c, 3)));
    return have == (yyjson_is_null(at(c, 4)) ? -1 : yyjson_get_sint(at(c, 4)));
}

static bool namespace_case(yyjson_val *c)
{
    yyjson_val *space = at(c, 2);
    struct bucket_range part = {yyjson_get_num(at(space, 1)), yyjson_get_num(at(space, 2))};
    return bucket_in_namespace(json_str(at(c, 1)), json_str(at(space, 0)), part) ==
           yyjson_get_bool(at(c, 3));
}

static bool equal_case(yyjson_val *c)
{
    double weights[16];
    int64_t asked = yyjson_get_sint(at(c, 0));
    size_t n = asked < 0 ? 0 : (size_t)asked;
    bucket_equal_weights(n, weights);
    for (size_t i = 0; i < n; i++)
        if (rounded(weights[i]) != rounded(yyjson_get_num(at(at(c, 1), i))))
            return false;
    return n == yyjson_arr_size(at(c, 1));
}

static bool decrypt_case(yyjson_val *c)
{
    struct buf text;
    struct err err;
    buf_init(&text, 1 << 16);
    bool is_open = growthbook_decrypt(json_str(at(c, 1)), json_str(at(c, 2)), &text, &err) == ST_OK;
    bool right = yyjson_is_null(at(c, 3)) ? !is_open
                                          : is_open && str_eq(buf_view(&text), json_str(at(c, 3)));
    buf_done(&text);
    return right;
}

/* --- evaluations ------------------------------------------------------------------------------ */

static bool condition_case(yyjson_val *c)
{
    bool passes = false;
    struct err err;
    return growthbook_condition(at(c, 2), at(c, 1), at(c, 4), &arena, &passes, &err) == ST_OK &&
           passes == yyjson_get_bool(at(c, 3));
}

struct world {
    struct growthbook *book;
    struct growthbook_person person;
    struct growthbook_session session;
    yyjson_doc *sticky;
};

/* The context of a case is a payload that also says who is asking. */
static void world_open(struct world *world, yyjson_val *context)
{
    struct buf json;
    struct err err = {0};
    buf_init(&json, FILE_BYTES_MAX);
    json_write(&json, context);
    *world = (struct world){0};
    if (growthbook_open(buf_view(&json), STR(""), &world->book, &err) != ST_OK) {
        fprintf(stderr, "%s\n", err.message);
        exit(1);
    }
    buf_done(&json);
    world->person = (struct growthbook_person){
        .attributes = growthbook_part(world->book, "attributes"),
        .url = json_str(growthbook_part(world->book, "url")),
        .forced_variations = growthbook_part(world->book, "forcedVariations"),
        .is_disabled = yyjson_is_false(growthbook_part(world->book, "enabled")),
        .is_qa = yyjson_is_true(growthbook_part(world->book, "qaMode"))};
    growthbook_begin(&world->session, world->book, &world->person, &arena);
}

static void world_close(struct world *world)
{
    growthbook_close(world->book);
    yyjson_doc_free(world->sticky);
}

static bool feature_case(yyjson_val *c)
{
    struct world world;
    struct growthbook_feature feature;
    struct err err;
    struct buf json;
    world_open(&world, at(c, 1));
    buf_init(&json, FILE_BYTES_MAX);
    bool right = growthbook_feature(&world.session, json_str(at(c, 2)), &feature, &err) == ST_OK;
    if (right)
        growthbook_put_feature(&json, &feature, json_str(at(c, 2)));
    right = right && same_text(&json, at(c, 3));
    buf_done(&json);
    world_close(&world);
    return right;
}

static bool run_case(yyjson_val *c)
{
    struct world world;
    struct growthbook_result result;
    struct err err;
    world_open(&world, at(c, 1));
    bool right = growthbook_run(&world.session, at(c, 2), &result, &err) == ST_OK &&
                 same(result.value, at(c, 3)) &&
                 result.in_experiment == yyjson_get_bool(at(c, 4)) &&
                 result.hash_used == yyjson_get_bool(at(c, 5));
    world_close(&world);
    return right;
}

/* The case lists the documents; the SDKs keep them under "attribute||value". */
static void sticky_open(struct world *world, yyjson_val *documents)
{
    size_t i, count;
    yyjson_val *document;
    struct buf json, name;
    struct err err;
    buf_init(&json, FILE_BYTES_MAX);
    buf_init(&name, 4096);
    buf_char(&json, '{');
    yyjson_arr_foreach(documents, i, count, document)
    {
        buf_reset(&name);
        buf_str(&name, json_member_str(document, "attributeName"));
        buf_text(&name, "||");
        buf_str(&name, json_member_str(document, "attributeValue"));
        json_put_comma(&json);
        json_put_str(&json, buf_view(&name));
        buf_char(&json, ':');
        json_write(&json, document);
    }
    buf_char(&json, '}');
    if (json_parse(NULL, buf_view(&json), &world->sticky, &err) != ST_OK)
        exit(1);
    world->person.sticky = yyjson_doc_get_root(world->sticky);
    world->person.is_sticky = true;
    buf_done(&name);
    buf_done(&json);
}

static bool sticky_case(yyjson_val *c)
{
    struct world world;
    struct growthbook_feature feature;
    struct err err;
    struct buf json;
    world_open(&world, at(c, 1));
    sticky_open(&world, at(c, 2));
    buf_init(&json, FILE_BYTES_MAX);
    bool right = growthbook_feature(&world.session, json_str(at(c, 3)), &feature, &err) == ST_OK;
    if (right && feature.experiment == NULL)
        right = yyjson_is_null(at(c, 4));
    else if (right) {
        growthbook_put_result(&json, &feature.result, json_str(at(c, 3)));
        right = same_text(&json, at(c, 4));
    }
    buf_reset(&json);
    growthbook_put_sticky(&json, &world.session);
    right = right && same_text(&json, at(c, 5));
    buf_done(&json);
    world_close(&world);
    return right;
}

static bool redirect_case(yyjson_val *c)
{
    struct world world;
    struct growthbook_result result;
    struct str url;
    yyjson_val *chosen, *want = at(at(c, 2), 0);
    struct err err;
    world_open(&world, at(c, 1));
    bool right = growthbook_redirect(&world.session, &url, &chosen, &result, &err) == ST_OK &&
                 yyjson_arr_size(at(c, 2)) == 1 &&
                 str_eq(url, json_member_str(want, "urlWithParams")) &&
                 str_eq(json_member_str(result.value, "urlRedirect"),
                        json_member_str(want, "urlRedirect")) &&
                 result.in_experiment == yyjson_get_bool(yyjson_obj_get(want, "inExperiment"));
    world_close(&world);
    return right;
}

/* --- all -------------------------------------------------------------------------------------- */

static const struct {
    const char *name;
    bool (*is_right)(yyjson_val *);
} groups[] = {
    {"evalCondition", condition_case},
    {"hash", hash_case},
    {"getBucketRange", range_case},
    {"feature", feature_case},
    {"run", run_case},
    {"chooseVariation", choose_case},
    {"getQueryStringOverride", query_case},
    {"inNamespace", namespace_case},
    {"getEqualWeights", equal_case},
    {"decrypt", decrypt_case},
    {"stickyBucket", sticky_case},
    {"urlRedirect", redirect_case},
    {"contextualBandit", feature_case},
};

static size_t group_run(yyjson_val *root, size_t group, size_t *failed)
{
    size_t i, count;
    yyjson_val *c, *cases = yyjson_obj_get(root, groups[group].name);
    yyjson_arr_foreach(cases, i, count, c)
    {
        arena_reset(&arena);
        if (groups[group].is_right(c))
            continue;
        struct str name = json_str(at(c, 0));
        printf("FAILED %s %zu: " STR_FMT "\n", groups[group].name, i, STR_ARG(name));
        (*failed)++;
    }
    return yyjson_arr_size(cases);
}

int main(int argc, char **argv)
{
    struct buf text;
    struct err err = {0};
    yyjson_doc *doc = NULL;
    size_t cases = 0, failed = 0;
    buf_init(&text, FILE_BYTES_MAX);
    arena_init(&arena);
    if (argc != 2 || !file_read(argv[1], &text) ||
        json_parse(NULL, buf_view(&text), &doc, &err) != ST_OK) {
        fprintf(stderr, "growthbook_cases: could not read %s: %s\n", argc > 1 ? argv[1] : "no file",
                err.message);
        return 1;
    }
    for (size_t i = 0; i < sizeof groups / sizeof groups[0]; i++)
        cases += group_run(yyjson_doc_get_root(doc), i, &failed);
    printf("golden growthbook: %zu cases, %zu failed, worst deviation %g, tolerance 0 (exact)\n",
           cases, failed, worst);
    if (cases != CASES_PUBLISHED)
        printf("FAILED %d cases are published\n", CASES_PUBLISHED);
    yyjson_doc_free(doc);
    buf_done(&text);
    arena_done(&arena);
    return failed == 0 && cases == CASES_PUBLISHED ? 0 : 1;
}
