/* growthbook_feature.c - a feature's value for one person: its rules from top to bottom.
 *
 * The first rule that applies decides: a forced value (for all, or for a part of all), or an
 * experiment. Prerequisites evaluate other features first, each with the chain of those that asked
 * for it, so that a circle is seen; the chain's length and the session's steps bound the work. */
#include "learn/growthbook_int.h"

#include "base/check.h"

const char *growthbook_source_name(enum growthbook_source source)
{
    static const char *const names[] = {
#define X(id, name) name,
#include "learn/growthbook_source.def"
#undef X
    };
    return names[source];
}

void growthbook_begin(struct growthbook_session *session, const struct growthbook *book,
                      const struct growthbook_person *person, struct arena *arena)
{
    *session = (struct growthbook_session){.book = book, .person = person, .arena = arena};
}

static void trace(struct growthbook_session *session, struct str feature, size_t rule,
                  enum growthbook_why why)
{
    if (!session->is_traced)
        return;
    struct growthbook_trace *item = ARENA_NEW(session->arena, struct growthbook_trace);
    *item = (struct growthbook_trace){NULL, feature, rule, why};
    if (session->trace_last == NULL)
        session->trace = item;
    else
        session->trace_last->next = item;
    session->trace_last = item;
}

/* --- one rule --------------------------------------------------------------------------------- */

struct step { /* one rule of one feature */
    struct growthbook_session *session;
    const struct growthbook_chain *chain;
    yyjson_val *rule;
    size_t index;
};

/* In the part of all that the rule is rolled out to. */
static bool in_rollout(const struct step *step)
{
    struct growthbook_session *session = step->session;
    yyjson_val *range = js_member(step->rule, "range");
    yyjson_val *coverage = yyjson_obj_get(step->rule, "coverage");
    yyjson_val *seed = js_member(step->rule, "seed");
    struct str name, fallback = STR("");
    double n;
    if (range == NULL && coverage == NULL)
        return true;
    if (range == NULL && yyjson_is_num(coverage) && yyjson_get_num(coverage) == 0)
        return false;
    if (session->person->is_sticky && js_member(step->rule, "disableStickyBucketing") == NULL)
        fallback = json_member_str(step->rule, "fallbackAttribute");
    yyjson_val *value = growthbook_hash_value(session, json_member_str(step->rule, "hashAttribute"),
                                              fallback, &name);
    int64_t version = growthbook_hash_version(yyjson_obj_get(step->rule, "hashVersion"), 1);
    struct str text = seed == NULL ? step->chain->feature : js_string(session, seed);
    if (value == NULL || !bucket_hash(text, js_string(session, value), version, &n))
        return false;
    return range != NULL ? bucket_in_range(n, growthbook_range(range))
                         : n <= js_number(session, coverage);
}

static enum growthbook_why force(const struct step *step, struct growthbook_feature *feature)
{
    struct growthbook_session *session = step->session;
    struct growthbook_subject person = {.value = session->person->attributes};
    yyjson_val *condition = js_member(step->rule, "condition");
    if (condition != NULL && !growthbook_passes(session, person, condition,
                                                growthbook_part(session->book, "savedGroups")))
        return GROWTHBOOK_CONDITION;
    if (!in_rollout(step))
        return GROWTHBOOK_COVERAGE;
    feature->value = yyjson_obj_get(step->rule, "force");
    feature->source = GROWTHBOOK_SOURCE_FORCE;
    return GROWTHBOOK_FORCED_VALUE;
}

/* The first context that describes the person gives the weights; else those of the rule stay. */
static void bandit_choose(struct growthbook_session *session, struct str name,
                          struct growthbook_experiment *e)
{
    struct growthbook_subject person = {.value = session->person->attributes};
    yyjson_val *bandits = growthbook_part(session->book, "contextualBandits");
    yyjson_val *bandit = yyjson_obj_getn(bandits, name.p, name.n), *context;
    size_t i, count;
    if (!js_truthy(bandit))
        return;
    e->has_bandit = true;
    e->bandit =
        (struct growthbook_weights){NULL, e->weights, yyjson_obj_get(bandit, "banditVersion")};
    yyjson_arr_foreach(yyjson_obj_get(bandit, "contexts"), i, count, context)
    {
        yyjson_val *condition = js_member(context, "condition");
        if (condition != NULL && !growthbook_passes(session, person, condition,
                                                    growthbook_part(session->book, "savedGroups")))
            continue;
        e->weights = yyjson_obj_get(context, "weights");
        e->bandit.weights = e->weights;
        e->bandit.leaf_id = yyjson_obj_get(context, "leafId");
        return;
    }
}

static enum growthbook_why experiment(const struct step *step, struct growthbook_feature *feature)
{
    struct growthbook_session *session = step->session;
    yyjson_val *variations = yyjson_obj_get(step->rule, "contextualVariations");
    if (variations == NULL || yyjson_is_null(variations))
        variations = yyjson_obj_get(step->rule, "variations");
    if (!yyjson_is_arr(variations))
        return GROWTHBOOK_NO_EXPERIMENT;
    struct growthbook_experiment *e = ARENA_NEW(session->arena, struct growthbook_experiment);
    *e = (struct growthbook_experiment){.source = step->rule,
                                        .is_rule = true,
                                        .key = json_member_str(step->rule, "key"),
                                        .variations = variations,
                                        .weights = js_member(step->rule, "weights")};
    if (e->key.n == 0)
        e->key = step->chain->feature;
    struct str bandit = json_member_str(step->rule, "contextualBanditRef");
    if (bandit.n > 0)
        bandit_choose(session, bandit, e);
    growthbook_experiment(session, e, step->chain, &feature->result);
    if (!feature->result.has_leaf)
        e->has_bandit = false;
    if (!feature->result.in_experiment)
        return feature->result.why;
    if (feature->result.passthrough)
        return GROWTHBOOK_PASSTHROUGH;
    feature->value = feature->result.value;
    feature->source = GROWTHBOOK_SOURCE_EXPERIMENT;
    feature->experiment = e;
    feature->experiment_key = e->key;
    return feature->result.why;
}

/* GROWTHBOOK_IN: all hold. Else the reason, and *ret_final says that it ends the whole feature. */
static enum growthbook_why prerequisites(const struct step *step, enum growthbook_source *ret_final)
{
    size_t i, count;
    yyjson_val *parent;
    yyjson_arr_foreach(yyjson_obj_get(step->rule, "parentConditions"), i, count, parent)
    {
        struct growthbook_feature feature;
        yyjson_val *condition = js_member(parent, "condition");
        growthbook_evaluate(step->session, json_member_str(parent, "id"), step->chain, &feature);
        if (feature.source == GROWTHBOOK_SOURCE_CYCLIC) {
            *ret_final = GROWTHBOOK_SOURCE_CYCLIC;
            return GROWTHBOOK_CYCLE;
        }
        struct growthbook_subject subject = {feature.value, true};
        if (condition == NULL || growthbook_passes(step->session, subject, condition, NULL))
            continue;
        if (js_member(parent, "gate") != NULL)
            *ret_final = GROWTHBOOK_SOURCE_PREREQUISITE;
        return GROWTHBOOK_PREREQUISITE;
    }
    return GROWTHBOOK_IN;
}

/* True when the rule decides. */
static bool rule_applies(const struct step *step, struct growthbook_feature *feature)
{
    enum growthbook_source final = GROWTHBOOK_SOURCE_DEFAULT;
    yyjson_val *filters = js_member(step->rule, "filters");
    enum growthbook_why why = GROWTHBOOK_MALFORMED;
    if (yyjson_is_obj(step->rule))
        why = prerequisites(step, &final);
    if (final != GROWTHBOOK_SOURCE_DEFAULT) {
        *feature = (struct growthbook_feature){.source = final, .rule = (int64_t)step->index};
    } else if (why == GROWTHBOOK_IN) {
        if (filters != NULL && growthbook_filtered_out(step->session, filters))
            why = GROWTHBOOK_FILTER;
        else if (yyjson_obj_get(step->rule, "force") != NULL)
            why = force(step, feature);
        else
            why = experiment(step, feature);
    }
    trace(step->session, step->chain->feature, step->index, why);
    if (feature->source == GROWTHBOOK_SOURCE_DEFAULT)
        return false;
    feature->rule = (int64_t)step->index;
    if (final == GROWTHBOOK_SOURCE_DEFAULT)
        feature->rule_id = json_member_str(step->rule, "id");
    return true;
}

/* --- the feature ------------------------------------------------------------------------------ */

static bool is_in_chain(const struct growthbook_chain *chain, struct str feature)
{
    for (; chain != NULL; chain = chain->up)
        if (str_eq(chain->feature, feature))
            return true;
    return false;
}

static void evaluate(struct growthbook_session *session, const struct growthbook_chain *chain,
                     struct growthbook_feature *feature)
{
    struct str key = chain->feature;
    yyjson_val *features = growthbook_part(session->book, "features"), *rule;
    yyjson_val *forced = yyjson_obj_getn(session->person->forced_values, key.p, key.n);
    yyjson_val *found = yyjson_obj_getn(features, key.p, key.n);
    size_t i, count;
    *feature = (struct growthbook_feature){.source = GROWTHBOOK_SOURCE_DEFAULT, .rule = -1};
    if (is_in_chain(chain->up, key)) {
        feature->source = GROWTHBOOK_SOURCE_CYCLIC;
        return;
    }
    if (forced != NULL) {
        feature->source = GROWTHBOOK_SOURCE_OVERRIDE;
        feature->value = forced;
        return;
    }
    if (!js_truthy(found)) {
        feature->source = GROWTHBOOK_SOURCE_UNKNOWN;
        return;
    }
    yyjson_arr_foreach(yyjson_obj_get(found, "rules"), i, count, rule)
    {
        struct step step = {session, chain, rule, i};
        if (!growthbook_spend(session, 8) || rule_applies(&step, feature))
            return;
    }
    feature->value = yyjson_obj_get(found, "defaultValue");
}

void growthbook_evaluate(struct growthbook_session *session, struct str key,
                         const struct growthbook_chain *up, struct growthbook_feature *ret_feature)
{
    yyjson_val *features = growthbook_part(session->book, "features");
    struct growthbook_chain chain = {up, key, up == NULL ? 1 : up->depth + 1};
    if (chain.depth > GROWTHBOOK_NESTED_MAX)
        session->steps = 0;
    *ret_feature = (struct growthbook_feature){.source = GROWTHBOOK_SOURCE_DEFAULT, .rule = -1};
    if (!growthbook_spend(session, 8 + yyjson_get_len(features) / 8))
        return;
    evaluate(session, &chain, ret_feature);
    ret_feature->on = js_truthy(ret_feature->value);
}

/* --- the public calls ------------------------------------------------------------------------- */

static enum status finish(const struct growthbook_session *session, const char *what,
                          struct err *err)
{
    if (session->steps > 0)
        return ST_OK;
    err_set(err, ST_TOO_LARGE,
            "could not evaluate the %s: more than %d steps, or %d prerequisites deep", what,
            GROWTHBOOK_STEPS_MAX, GROWTHBOOK_NESTED_MAX);
    return err_hint(err, ST_TOO_LARGE, "look for prerequisites that fan out and slow expressions");
}

enum status growthbook_feature(struct growthbook_session *session, struct str key,
                               struct growthbook_feature *ret_feature, struct err *err)
{
    struct growthbook_feature feature;
    session->steps = GROWTHBOOK_STEPS_MAX;
    growthbook_evaluate(session, key, NULL, &feature);
    enum status status = finish(session, "feature", err);
    if (status == ST_OK)
        *ret_feature = feature;
    return status;
}

enum status growthbook_run(struct growthbook_session *session, yyjson_val *source,
                           struct growthbook_result *ret_result, struct err *err)
{
    struct growthbook_experiment e = {.source = source,
                                      .key = json_member_str(source, "key"),
                                      .variations = yyjson_obj_get(source, "variations"),
                                      .weights = js_member(source, "weights")};
    struct growthbook_result result;
    if (!yyjson_is_arr(e.variations))
        return err_set(err, ST_INVALID, "could not run the experiment: it has no variations");
    session->steps = GROWTHBOOK_STEPS_MAX;
    growthbook_experiment(session, &e, NULL, &result);
    enum status status = finish(session, "experiment", err);
    if (status == ST_OK)
        *ret_result = result;
    return status;
}

/* --- redirects -------------------------------------------------------------------------------- */

/* It has URL patterns and a variation with a urlRedirect, and all of these are URLs; it does not
 * wait to be started by hand. */
static bool can_redirect(struct growthbook_session *session, yyjson_val *source)
{
    size_t i, count;
    yyjson_val *variation;
    bool has_redirect = false;
    if (!js_truthy(yyjson_obj_get(source, "urlPatterns")) || js_member(source, "manual") != NULL ||
        !growthbook_url_valid(session, session->person->url))
        return false;
    yyjson_arr_foreach(yyjson_obj_get(source, "variations"), i, count, variation)
    {
        yyjson_val *url = js_member(variation, "urlRedirect");
        has_redirect |= url != NULL;
        if (url != NULL && !growthbook_url_valid(session, json_str(url)))
            return false;
    }
    return has_redirect;
}

enum status growthbook_redirect(struct growthbook_session *session, struct str *ret_url,
                                yyjson_val **ret_experiment, struct growthbook_result *ret_result,
                                struct err *err)
{
    size_t i, count;
    yyjson_val *source, *experiments = growthbook_part(session->book, "experiments");
    struct growthbook_result result = {0};
    yyjson_val *chosen = NULL;
    session->steps = GROWTHBOOK_STEPS_MAX;
    yyjson_arr_foreach(experiments, i, count, source)
    {
        struct growthbook_experiment e = {.source = source,
                                          .key = json_member_str(source, "key"),
                                          .variations = yyjson_obj_get(source, "variations"),
                                          .weights = js_member(source, "weights")};
        if (!growthbook_spend(session, 8) || !can_redirect(session, source))
            continue;
        growthbook_experiment(session, &e, NULL, &result);
        if (result.in_experiment) {
            chosen = source;
            break;
        }
    }
    struct str url = chosen == NULL ? STR("") : json_member_str(result.value, "urlRedirect");
    if (url.n > 0 && js_member(chosen, "persistQueryString") != NULL)
        url = growthbook_url_merge(session, session->person->url, url);
    if (url.n > 0 && growthbook_url_targeted(session, url, yyjson_obj_get(chosen, "urlPatterns")))
        url = STR(""); /* it would lead in a circle */
    enum status status = finish(session, "redirects", err);
    if (status != ST_OK)
        return status;
    *ret_url = url;
    *ret_experiment = chosen;
    *ret_result = result;
    return ST_OK;
}
