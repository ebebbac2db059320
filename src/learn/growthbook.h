/* growthbook.h - what a GrowthBook payload decides for one person: features, rules, experiments.
 *
 * A payload is what a GrowthBook server (or Hezou) hands to its SDKs: features with rules (force,
 * rollout, experiment, prerequisites), experiments with redirects, saved groups, contextual
 * bandits. Evaluation is on the server's side and gives what the JavaScript SDK gives, conversions
 * of that language included. Source: GrowthBook's public SDK documentation, specification 0.8.0,
 * and the 517 cases of its JavaScript SDK, all of which are a test here.
 *
 * Payload and attributes come from outside: work, depth and expressions are bounded, and what is
 * malformed never passes a condition.
 *
 * Differences from the JavaScript SDK: an exception there is a condition that does not pass here;
 * regular expressions see characters, not code units, and read \u{41} (as with JavaScript's flag
 * u); a URL's host must be ASCII; lower case is per character; keys of equal objects must stand in
 * the same order; of two members of one name the first counts.
 *
 * Ownership: results borrow from payload, person and arena. Depends on: base (json, arena). Called
 * by: app, the API, journeys. */
#ifndef LEARN_GROWTHBOOK_H
#define LEARN_GROWTHBOOK_H

#include "base/arena.h"
#include "base/json.h"

#define GROWTHBOOK_STEPS_MAX 10000000 /* comparisons in one evaluation: about half a second */
#define GROWTHBOOK_NESTED_MAX 32      /* prerequisites of prerequisites */
#define GROWTHBOOK_PAYLOAD_BYTES_MAX ((size_t)64 << 20)
#define GROWTHBOOK_BANDIT_FALLBACK (-1) /* the leaf of those whom no context describes */

/* A parsed payload; read-only, so any number of threads may evaluate it. */
struct growthbook;

/* Encrypted parts are opened by `key` (or empty). ST_INVALID: no JSON object, or a wrong key. */
MUST_USE enum status growthbook_open(struct str json, struct str key, struct growthbook **ret_book,
                                     struct err *err);
void growthbook_close(struct growthbook *book);
/* A member of the payload: "features", "experiments", "savedGroups", … or NULL. */
yyjson_val *growthbook_part(const struct growthbook *book, const char *name);

/* The person: what the SDKs call context. All may be empty. */
struct growthbook_person {
    yyjson_val *attributes;
    struct str url;
    yyjson_val *forced_variations; /* {"experiment": 1} */
    yyjson_val *forced_values;     /* {"feature": value} */
    yyjson_val *sticky;            /* {"id||1": {…, "assignments": {"experiment__0": "key"}}} */
    bool is_sticky;                /* keep and use sticky buckets */
    bool is_disabled, is_qa;
};

/* Why an experiment gave what it gave, or a rule was passed over (growthbook_why.def). */
enum growthbook_why {
#define X(id, name) GROWTHBOOK_##id,
#include "learn/growthbook_why.def"
#undef X
    GROWTHBOOK_WHY_COUNT
};
const char *growthbook_why_name(enum growthbook_why why);

struct growthbook_result { /* of an experiment */
    struct str key;        /* of the variation */
    struct str name;       /* of the variation, or empty */
    bool in_experiment, hash_used, sticky_used, passthrough;
    int64_t variation;
    yyjson_val *value;
    struct str hash_attribute;
    yyjson_val *hash_value; /* NULL: none */
    double bucket;          /* when hash_used */
    bool has_leaf;          /* a contextual bandit chose the weights */
    struct growthbook_weights {
        yyjson_val *leaf_id; /* NULL = GROWTHBOOK_BANDIT_FALLBACK */
        yyjson_val *weights; /* NULL = equal */
        yyjson_val *version; /* or NULL */
    } leaf;
    size_t variations; /* how many there are */
    enum growthbook_why why;
};

enum growthbook_source {
#define X(id, name) GROWTHBOOK_SOURCE_##id,
#include "learn/growthbook_source.def"
#undef X
};
const char *growthbook_source_name(enum growthbook_source source);

struct growthbook_feature {
    yyjson_val *value; /* NULL = null */
    bool on;           /* the value is none of null, false, 0, "" */
    enum growthbook_source source;
    struct str rule_id;
    int64_t rule;                                   /* its index, or -1 */
    const struct growthbook_experiment *experiment; /* or NULL */
    struct str experiment_key;
    struct growthbook_result result; /* when there is an experiment */
};

/* One rule that was looked at; prerequisites are among them. */
struct growthbook_trace {
    const struct growthbook_trace *next;
    struct str feature;
    size_t rule;
    enum growthbook_why why;
};

/* One person's evaluations: what they share and leave behind. Not for two threads at once. */
struct growthbook_session {
    const struct growthbook *book;
    const struct growthbook_person *person;
    struct arena *arena;
    uint64_t steps; /* left */
    struct growthbook_assigned {
        struct growthbook_assigned *next;
        struct str attribute, value; /* whose bucket */
        struct str key, variation;   /* "experiment__0" → variation key */
    } * assigned;                    /* new sticky buckets, newest first; the caller stores them */
    bool is_traced;
    const struct growthbook_trace *trace;
    struct growthbook_trace *trace_last;
};

void growthbook_begin(struct growthbook_session *session, const struct growthbook *book,
                      const struct growthbook_person *person, struct arena *arena);

/* ST_TOO_LARGE: more work than the limits above allow. An unknown feature is a result. */
MUST_USE enum status growthbook_feature(struct growthbook_session *session, struct str key,
                                        struct growthbook_feature *ret_feature, struct err *err);
/* An experiment as it stands in `experiments`. ST_INVALID when it has no variations. */
MUST_USE enum status growthbook_run(struct growthbook_session *session, yyjson_val *experiment,
                                    struct growthbook_result *ret_result, struct err *err);
/* The payload's experiments that can redirect, in their order, until one does: *ret_url is where
 * the person must go (empty: stay) and *ret_experiment the one that says so (or NULL). */
MUST_USE enum status growthbook_redirect(struct growthbook_session *session, struct str *ret_url,
                                         yyjson_val **ret_experiment,
                                         struct growthbook_result *ret_result, struct err *err);
/* A condition alone, for audiences and journeys; `groups` (saved groups) may be NULL. */
MUST_USE enum status growthbook_condition(yyjson_val *attributes, yyjson_val *condition,
                                          yyjson_val *groups, struct arena *arena, bool *ret_passes,
                                          struct err *err);

/* Results as the SDKs write them. */
void growthbook_put_feature(struct buf *json, const struct growthbook_feature *feature,
                            struct str key);
void growthbook_put_result(struct buf *json, const struct growthbook_result *result,
                           struct str feature);
/* The person's sticky buckets: those handed in that are theirs, and what the session added. */
void growthbook_put_sticky(struct buf *json, struct growthbook_session *session);
#endif
