/* growthbook_write.c - results as GrowthBook's SDKs write them. */
#include "learn/growthbook_int.h"

static void put_member(struct buf *json, const char *name, yyjson_val *value)
{
    if (value == NULL)
        return;
    json_put_name(json, name);
    json_write(json, value);
}

static void put_value(struct buf *json, yyjson_val *value)
{
    json_put_name(json, "value");
    if (value == NULL)
        buf_text(json, "null");
    else
        json_write(json, value);
}

/* leafId, variationWeights, banditVersion */
static void put_leaf(struct buf *json, const struct growthbook_weights *leaf, size_t variations)
{
    if (leaf->leaf_id == NULL)
        json_put_member_int(json, "leafId", GROWTHBOOK_BANDIT_FALLBACK);
    put_member(json, "leafId", leaf->leaf_id);
    put_member(json, "variationWeights", leaf->weights);
    if (leaf->weights == NULL) {
        json_put_name(json, "variationWeights");
        buf_char(json, '[');
        for (size_t i = 0; i < variations; i++) {
            json_put_comma(json);
            json_put_number(json, 1.0 / (double)variations);
        }
        buf_char(json, ']');
    }
    put_member(json, "banditVersion", leaf->version);
}

static void put_experiment(struct buf *json, const struct growthbook_experiment *e)
{
    static const char *const truthy[] = {"hashAttribute",
                                         "fallbackAttribute",
                                         "disableStickyBucketing",
                                         "namespace",
                                         "meta",
                                         "ranges",
                                         "name",
                                         "phase",
                                         "seed",
                                         "hashVersion",
                                         "filters",
                                         "condition"};
    buf_char(json, '{');
    json_put_member_str(json, "key", e->key);
    put_member(json, "variations", e->variations);
    put_member(json, "coverage", yyjson_obj_get(e->source, "coverage"));
    put_member(json, "weights", e->weights);
    put_member(json, "bucketVersion", yyjson_obj_get(e->source, "bucketVersion"));
    put_member(json, "minBucketVersion", yyjson_obj_get(e->source, "minBucketVersion"));
    for (size_t i = 0; i < sizeof truthy / sizeof truthy[0]; i++)
        put_member(json, truthy[i], js_member(e->source, truthy[i]));
    if (e->has_bandit) {
        json_put_name(json, "contextualBandit");
        buf_char(json, '{');
        put_leaf(json, &e->bandit, yyjson_arr_size(e->variations));
        buf_char(json, '}');
    }
    buf_char(json, '}');
}

void growthbook_put_result(struct buf *json, const struct growthbook_result *result,
                           struct str feature)
{
    buf_char(json, '{');
    json_put_member_str(json, "key", result->key);
    json_put_name(json, "featureId");
    if (feature.p == NULL)
        buf_text(json, "null");
    else
        json_put_str(json, feature);
    json_put_member_bool(json, "inExperiment", result->in_experiment);
    json_put_member_bool(json, "hashUsed", result->hash_used);
    json_put_member_int(json, "variationId", result->variation);
    put_value(json, result->value);
    json_put_member_str(json, "hashAttribute", result->hash_attribute);
    if (result->hash_value == NULL)
        json_put_member_str(json, "hashValue", STR(""));
    put_member(json, "hashValue", result->hash_value);
    json_put_member_bool(json, "stickyBucketUsed", result->sticky_used);
    if (result->name.n > 0)
        json_put_member_str(json, "name", result->name);
    if (result->hash_used)
        json_put_member_number(json, "bucket", result->bucket);
    if (result->passthrough)
        json_put_member_bool(json, "passthrough", true);
    if (result->has_leaf)
        put_leaf(json, &result->leaf, result->variations);
    buf_char(json, '}');
}

void growthbook_put_feature(struct buf *json, const struct growthbook_feature *feature,
                            struct str key)
{
    buf_char(json, '{');
    put_value(json, feature->value);
    json_put_member_bool(json, "on", feature->on);
    json_put_member_bool(json, "off", !feature->on);
    json_put_member_str(json, "source", str_of(growthbook_source_name(feature->source)));
    json_put_member_str(json, "ruleId", feature->rule_id);
    if (feature->experiment != NULL) {
        json_put_name(json, "experiment");
        put_experiment(json, feature->experiment);
        json_put_name(json, "experimentResult");
        growthbook_put_result(json, &feature->result, key);
    }
    buf_char(json, '}');
}
