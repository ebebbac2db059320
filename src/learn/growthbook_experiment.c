/* growthbook_experiment.c - one experiment for one person: in or out, which variation, and why.
 *
 * The order of the checks is the specification's, and decides: a variation forced by the URL comes
 * before an experiment that is not active, coverage before a forced variation, quality assurance
 * after both. Each check that keeps a person out gives its reason; the reasons are what
 * `hezou feature` prints.
 *
 * A rule of a feature counts as an experiment with fewer fields: what a rule has no business saying
 * (status, force, url, parentConditions …) is not read from it. */
#include "learn/growthbook_int.h"

#include <math.h>
#include <stdio.h>

const char *growthbook_why_name(enum growthbook_why why)
{
    static const char *const names[GROWTHBOOK_WHY_COUNT] = {
#define X(id, name) name,
#include "learn/growthbook_why.def"
#undef X
    };
    return names[why];
}

/* A field that only an experiment on its own can have. */
static yyjson_val *own(const struct growthbook_experiment *e, const char *name)
{
    return e->is_rule ? NULL : yyjson_obj_get(e->source, name);
}

/* --- the person's place ----------------------------------------------------------------------- */

static yyjson_val *attribute(struct growthbook_session *session, struct str name)
{
    yyjson_val *attributes = session->person->attributes;
    (void)growthbook_spend(session, 1 + yyjson_get_len(attributes) / 8);
    yyjson_val *value = yyjson_obj_getn(attributes, name.p, name.n);
    return js_truthy(value) ? value : NULL;
}

yyjson_val *growthbook_hash_value(struct growthbook_session *session, struct str name,
                                  struct str fallback, struct str *ret_name)
{
    *ret_name = name.n > 0 ? name : STR("id");
    yyjson_val *value = attribute(session, *ret_name);
    if (value == NULL && fallback.n > 0) {
        value = attribute(session, fallback);
        if (value != NULL)
            *ret_name = fallback;
    }
    return value;
}

static yyjson_val *hash_value_of(struct growthbook_session *session,
                                 const struct growthbook_experiment *e, struct str *ret_name)
{
    struct str fallback = STR("");
    if (growthbook_sticky_on(session, e))
        fallback = json_member_str(e->source, "fallbackAttribute");
    return growthbook_hash_value(session, json_member_str(e->source, "hashAttribute"), fallback,
                                 ret_name);
}

int64_t growthbook_hash_version(yyjson_val *version, int64_t otherwise)
{
    if (!js_truthy(version))
        return otherwise;
    double number = yyjson_is_num(version) ? yyjson_get_num(version) : 0;
    return number == 1 ? 1 : number == 2 ? 2 : -1;
}

static double border(yyjson_val *value)
{
    return yyjson_is_num(value) ? yyjson_get_num(value) : NAN;
}

/* [from, to]; what is no range holds nobody, since NaN compares with nothing. */
struct bucket_range growthbook_range(yyjson_val *range)
{
    return (struct bucket_range){border(yyjson_arr_get(range, 0)),
                                 border(yyjson_arr_get(range, 1))};
}

static int64_t choose(struct growthbook_session *session, double n, yyjson_val *ranges)
{
    size_t i, count;
    yyjson_val *range;
    (void)growthbook_spend(session, yyjson_arr_size(ranges));
    yyjson_arr_foreach(ranges, i, count, range)
    {
        if (bucket_in_range(n, growthbook_range(range)))
            return (int64_t)i;
    }
    return -1;
}

bool growthbook_filtered_out(struct growthbook_session *session, yyjson_val *filters)
{
    size_t i, count;
    yyjson_val *filter;
    yyjson_arr_foreach(filters, i, count, filter)
    {
        struct str name;
        double n;
        yyjson_val *value =
            growthbook_hash_value(session, json_member_str(filter, "attribute"), STR(""), &name);
        int64_t version = growthbook_hash_version(yyjson_obj_get(filter, "hashVersion"), 2);
        struct str seed = js_string(session, yyjson_obj_get(filter, "seed"));
        if (value == NULL || !bucket_hash(seed, js_string(session, value), version, &n) ||
            choose(session, n, yyjson_obj_get(filter, "ranges")) < 0)
            return true;
    }
    return false;
}

static bool in_namespace(struct growthbook_session *session, yyjson_val *value,
                         yyjson_val *namespace)
{
    struct bucket_range part = {border(yyjson_arr_get(namespace, 1)),
                                border(yyjson_arr_get(namespace, 2))};
    return bucket_in_namespace(js_string(session, value),
                               js_string(session, yyjson_arr_get(namespace, 0)), part);
}

/* Where the weights, or the ranges that stand for them, put n. */
static int64_t assigned(struct growthbook_session *session, const struct growthbook_experiment *e,
                        double n)
{
    size_t count = yyjson_arr_size(e->variations), weights_count = yyjson_arr_size(e->weights);
    yyjson_val *ranges = js_member(e->source, "ranges"), *weight;
    yyjson_val *coverage = yyjson_obj_get(e->source, "coverage");
    if (ranges != NULL)
        return choose(session, n, ranges);
    if (!growthbook_spend(session, count + weights_count))
        return -1;
    double *weights = ARENA_ARRAY(session->arena, double, weights_count + 1);
    struct bucket_range *places = ARENA_ARRAY(session->arena, struct bucket_range, count);
    size_t i, total;
    yyjson_arr_foreach(e->weights, i, total, weight)
    {
        weights[i] = js_number(session, weight);
    }
    bucket_ranges(count, coverage == NULL ? 1 : js_number(session, coverage),
                  yyjson_is_arr(e->weights) ? weights : NULL, weights_count, places);
    return bucket_choose(n, places, count);
}

/* --- results ---------------------------------------------------------------------------------- */

static void result_fill(struct growthbook_session *session, const struct growthbook_experiment *e,
                        int64_t variation, enum growthbook_why why,
                        struct growthbook_result *result)
{
    size_t count = yyjson_arr_size(e->variations);
    bool is_valid = variation >= 0 && (uint64_t)variation < count;
    result->why = why;
    result->in_experiment = is_valid;
    result->variation = is_valid ? variation : 0;
    result->variations = count;
    result->value = yyjson_arr_get(e->variations, (size_t)result->variation);
    result->hash_value = hash_value_of(session, e, &result->hash_attribute);
    yyjson_val *meta = yyjson_arr_get(yyjson_obj_get(e->source, "meta"), (size_t)result->variation);
    result->key = json_member_str(meta, "key");
    result->name = json_member_str(meta, "name");
    result->passthrough = js_member(meta, "passthrough") != NULL;
    if (result->key.n == 0) {
        char *text = arena_alloc(session->arena, 24);
        result->key =
            (struct str){text, (size_t)snprintf(text, 24, "%lld", (long long)result->variation)};
    }
    if (e->has_bandit && result->hash_used && is_valid) {
        result->has_leaf = true;
        result->leaf = e->bandit;
    }
}

/* --- the checks, in order --------------------------------------------------------------------- */

/* A variation that context or URL asks for; true when it decides. */
static bool is_overridden(struct growthbook_session *session, const struct growthbook_experiment *e,
                          int64_t *ret_variation, enum growthbook_why *ret_why)
{
    size_t count = yyjson_arr_size(e->variations);
    (void)growthbook_spend(session, 1 + session->person->url.n / 4);
    *ret_variation = bucket_query_override(e->key, session->person->url, count);
    *ret_why = GROWTHBOOK_QUERY;
    if (*ret_variation >= 0)
        return true;
    yyjson_val *forced = yyjson_obj_getn(session->person->forced_variations, e->key.p, e->key.n);
    double number = yyjson_is_num(forced) ? yyjson_get_num(forced) : -1;
    *ret_why = GROWTHBOOK_FORCED;
    *ret_variation = number >= 0 && number < (double)count ? (int64_t)number : -1;
    return forced != NULL;
}

static bool prerequisites_hold(struct growthbook_session *session,
                               const struct growthbook_experiment *e,
                               const struct growthbook_chain *chain, enum growthbook_why *ret_why)
{
    size_t i, count;
    yyjson_val *parent;
    yyjson_arr_foreach(own(e, "parentConditions"), i, count, parent)
    {
        struct growthbook_feature feature;
        yyjson_val *condition = js_member(parent, "condition");
        growthbook_evaluate(session, json_member_str(parent, "id"), chain, &feature);
        *ret_why =
            feature.source == GROWTHBOOK_SOURCE_CYCLIC ? GROWTHBOOK_CYCLE : GROWTHBOOK_PREREQUISITE;
        struct growthbook_subject subject = {feature.value, true};
        if (*ret_why == GROWTHBOOK_CYCLE ||
            (condition != NULL && !growthbook_passes(session, subject, condition, NULL)))
            return false;
    }
    return true;
}

static bool in_a_group(struct growthbook_session *session, yyjson_val *names)
{
    size_t i, count;
    yyjson_val *name, *groups = growthbook_part(session->book, "groups");
    yyjson_arr_foreach(names, i, count, name)
    {
        if (growthbook_spend(session, 1) &&
            js_truthy(yyjson_obj_getn(groups, yyjson_get_str(name), yyjson_get_len(name))))
            return true;
    }
    return false;
}

/* What is asked of those only who have no sticky bucket. GROWTHBOOK_IN = nothing against it. */
static enum growthbook_why excluded(struct growthbook_session *session,
                                    const struct growthbook_experiment *e, yyjson_val *hash_value,
                                    const struct growthbook_chain *chain)
{
    struct growthbook_subject person = {.value = session->person->attributes};
    yyjson_val *filters = js_member(e->source, "filters");
    yyjson_val *namespace = js_member(e->source, "namespace");
    yyjson_val *condition = js_member(e->source, "condition");
    yyjson_val *groups = own(e, "groups");
    enum growthbook_why why;
    if (filters != NULL) {
        if (growthbook_filtered_out(session, filters))
            return GROWTHBOOK_FILTER;
    } else if (namespace != NULL && !in_namespace(session, hash_value, namespace)) {
        return GROWTHBOOK_NAMESPACE;
    }
    if (condition != NULL && !growthbook_passes(session, person, condition,
                                                growthbook_part(session->book, "savedGroups")))
        return GROWTHBOOK_CONDITION;
    if (!prerequisites_hold(session, e, chain, &why))
        return why;
    return js_truthy(groups) && !in_a_group(session, groups) ? GROWTHBOOK_GROUP : GROWTHBOOK_IN;
}

/* The old way to target: one regular expression for the URL or its path. */
static bool old_url_fits(struct growthbook_session *session, yyjson_val *pattern)
{
    struct str url = session->person->url, path = url;
    if (pattern == NULL)
        return true;
    if (url.n == 0 || !yyjson_is_str(pattern))
        return false;
    if (str_starts(path, STR("http://")) || str_starts(path, STR("https://"))) {
        size_t skip = path.p[4] == 's' ? 8 : 7;
        path = (struct str){path.p + skip, path.n - skip};
    }
    const char *slash = path.n == 0 ? NULL : memchr(path.p, '/', path.n);
    if (slash != NULL)
        path = (struct str){slash, path.n - (size_t)(slash - path.p)};
    return growthbook_regex(session, json_str(pattern), url, false) == GROWTHBOOK_MATCH ||
           growthbook_regex(session, json_str(pattern), path, false) == GROWTHBOOK_MATCH;
}

/* Those the experiment reaches: what forces or stops them after all. GROWTHBOOK_IN = nothing. */
static enum growthbook_why intercepted(struct growthbook_session *session,
                                       const struct growthbook_experiment *e, int64_t *variation)
{
    yyjson_val *force = own(e, "force");
    if (force != NULL) {
        double number = yyjson_is_num(force) ? yyjson_get_num(force) : -1;
        *variation = number >= 0 && number < 1e9 ? (int64_t)number : -1;
        return GROWTHBOOK_EXPERIMENT_FORCE;
    }
    *variation = -1;
    if (session->person->is_qa)
        return GROWTHBOOK_QA;
    return yyjson_equals_str(own(e, "status"), "stopped") ? GROWTHBOOK_STOPPED : GROWTHBOOK_IN;
}

/* Steps 6 to 13 of the specification. */
static void bucket(struct growthbook_session *session, const struct growthbook_experiment *e,
                   const struct growthbook_chain *chain, struct growthbook_result *result)
{
    struct str name;
    bool is_blocked = false, is_sticky = growthbook_sticky_on(session, e);
    int64_t variation = -1, forced;
    double n = 0;
    yyjson_val *value = hash_value_of(session, e, &name);
    enum growthbook_why why = value == NULL ? GROWTHBOOK_NO_HASH_VALUE : GROWTHBOOK_IN;
    if (value != NULL && is_sticky)
        variation = growthbook_sticky_find(session, e, &is_blocked);
    bool is_found = variation >= 0;
    struct str seed = js_member(e->source, "seed") == NULL
                          ? e->key
                          : js_string(session, yyjson_obj_get(e->source, "seed"));
    if (why == GROWTHBOOK_IN && !is_found)
        why = excluded(session, e, value, chain);
    if (why == GROWTHBOOK_IN &&
        !old_url_fits(session, js_truthy(own(e, "url")) ? own(e, "url") : NULL))
        why = GROWTHBOOK_URL;
    int64_t version = growthbook_hash_version(yyjson_obj_get(e->source, "hashVersion"), 1);
    if (why == GROWTHBOOK_IN && !bucket_hash(seed, js_string(session, value), version, &n))
        why = GROWTHBOOK_HASH_VERSION;
    if (why == GROWTHBOOK_IN && !is_found)
        variation = assigned(session, e, n);
    if (why == GROWTHBOOK_IN && is_blocked)
        why = GROWTHBOOK_BLOCKED;
    if (why == GROWTHBOOK_IN && variation < 0)
        why = GROWTHBOOK_COVERAGE;
    result->sticky_used = why == GROWTHBOOK_BLOCKED;
    forced = -1;
    if (why == GROWTHBOOK_IN)
        why = intercepted(session, e, &forced);
    if (why != GROWTHBOOK_IN) {
        result_fill(session, e, forced, why, result);
        return;
    }
    result->hash_used = true;
    result->sticky_used = is_found;
    result->bucket = n;
    result_fill(session, e, variation, why, result);
    if (is_sticky)
        growthbook_sticky_keep(session, e, result);
}

void growthbook_experiment(struct growthbook_session *session, struct growthbook_experiment *e,
                           const struct growthbook_chain *chain,
                           struct growthbook_result *ret_result)
{
    const struct growthbook_person *person = session->person;
    yyjson_val *patterns = own(e, "urlPatterns");
    int64_t variation = -1;
    enum growthbook_why why;
    *ret_result = (struct growthbook_result){.in_experiment = false};
    (void)growthbook_spend(session, 32);
    if (e->has_bandit && e->weights != NULL)
        e->bandit.weights = e->weights;
    if (yyjson_arr_size(e->variations) < 2)
        why = GROWTHBOOK_FEW_VARIATIONS;
    else if (person->is_disabled)
        why = GROWTHBOOK_DISABLED;
    else if (js_truthy(patterns) && !growthbook_url_targeted(session, person->url, patterns))
        why = GROWTHBOOK_URL;
    else if (is_overridden(session, e, &variation, &why))
        ;
    else if (yyjson_equals_str(own(e, "status"), "draft") || yyjson_is_false(own(e, "active")))
        why = GROWTHBOOK_INACTIVE;
    else {
        bucket(session, e, chain, ret_result);
        return;
    }
    result_fill(session, e, variation, why, ret_result);
}
