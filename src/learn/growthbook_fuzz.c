/* growthbook_fuzz.c - arbitrary JSON as a payload with its person, evaluated whole; arbitrary bytes
 * as a URL and as an encrypted part.
 *
 * What must hold: it ends; a variation is one of the experiment's; a place on the line is from 0 to
 * below 1; what is written is JSON. Built by -Dfuzz=true with clang. */
#include "learn/growthbook.h"

#include "base/check.h"
#include "learn/bucket.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

static void check_result(const struct growthbook_result *result)
{
    CHECK(result->bucket >= 0 && result->bucket < 1);
    CHECK(!result->in_experiment || (uint64_t)result->variation < result->variations);
    /* Used, and in no experiment: with more ranges than variations, as in the reference SDK. */
    CHECK(!result->hash_used || result->why == GROWTHBOOK_IN);
}

static void check_json(struct buf *json)
{
    yyjson_doc *doc = NULL;
    struct err err = {0};
    /* Written a level or two deeper than it was read. */
    CHECK(json->overflow || json_parse(NULL, buf_view(json), &doc, &err) == ST_OK ||
          err.status == ST_TOO_LARGE);
    yyjson_doc_free(doc);
    buf_reset(json);
}

static void evaluate(struct growthbook_session *session, struct buf *json)
{
    size_t i, count;
    yyjson_val *key, *value;
    struct growthbook_feature feature;
    struct growthbook_result result;
    struct str url;
    yyjson_obj_foreach(growthbook_part(session->book, "features"), i, count, key, value)
    {
        if (growthbook_feature(session, json_str(key), &feature, NULL) != ST_OK)
            continue;
        check_result(&feature.result);
        growthbook_put_feature(json, &feature, json_str(key));
        check_json(json);
    }
    yyjson_arr_foreach(growthbook_part(session->book, "experiments"), i, count, value)
    {
        if (growthbook_run(session, value, &result, NULL) == ST_OK)
            check_result(&result);
    }
    if (growthbook_redirect(session, &url, &value, &result, NULL) == ST_OK)
        check_result(&result);
    growthbook_put_sticky(json, session);
    check_json(json);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    struct str input = {(const char *)bytes, n};
    struct growthbook *book = NULL;
    struct arena arena;
    struct buf json;
    double place = 0;
    buf_init(&json, (size_t)16 << 20);
    if (growthbook_decrypt(input, STR("Zvwv/+uhpFDznZ6SX28Yjg=="), &json, NULL) == ST_OK)
        buf_reset(&json);
    CHECK(bucket_hash(input, input, 2, &place) && place >= 0 && place < 1);
    CHECK(bucket_query_override(STR("k"), input, 3) < 3);
    if (growthbook_open(input, STR(""), &book, NULL) == ST_OK) {
        yyjson_val *url = growthbook_part(book, "url");
        struct growthbook_person person = {
            .attributes = growthbook_part(book, "attributes"),
            .url = yyjson_is_str(url) ? json_str(url) : input,
            .forced_variations = growthbook_part(book, "forcedVariations"),
            .sticky = growthbook_part(book, "stickyBucketAssignmentDocs"),
            .is_sticky = true};
        struct growthbook_session session;
        arena_init(&arena);
        growthbook_begin(&session, book, &person, &arena);
        session.is_traced = true;
        evaluate(&session, &json);
        arena_done(&arena);
        growthbook_close(book);
    }
    buf_done(&json);
    return 0;
}
