/* growthbook_int.h - what the files of GrowthBook's evaluation share. */
#ifndef LEARN_GROWTHBOOK_INT_H
#define LEARN_GROWTHBOOK_INT_H

#include "learn/bucket.h"
#include "learn/growthbook.h"

struct growthbook {
    yyjson_doc *doc;
    yyjson_doc *opened[4]; /* decrypted parts; their names stand in growthbook_payload.c */
};

/* "IV.CIPHERTEXT", both base64, AES-CBC with PKCS 7; key of 16, 24 or 32 bytes in base64. */
MUST_USE enum status growthbook_decrypt(struct str sealed, struct str key, struct buf *ret_text,
                                        struct err *err);

/* Take `n` steps; false once none are left, and then for ever. */
bool growthbook_spend(struct growthbook_session *session, uint64_t n);

/* --- growthbook_js.c: JavaScript's conversions, NULL being null ------------------------------- */

struct str js_string(struct growthbook_session *session, yyjson_val *value);
double js_number(struct growthbook_session *session, yyjson_val *value);
bool js_truthy(yyjson_val *value);
/* === */
bool js_equal(yyjson_val *a, yyjson_val *b);
/* JSON.stringify(a) === JSON.stringify(b) */
bool js_same_json(struct growthbook_session *session, yyjson_val *a, yyjson_val *b);
/* a < b: -1, a > b: 1, equal: 0; JS_UNORDERED when NaN takes part. */
#define JS_UNORDERED 2
int js_compare(struct growthbook_session *session, yyjson_val *a, yyjson_val *b);
/* By UTF-16 code units. */
int js_compare_text(struct str a, struct str b);
/* Equal after toLowerCase. */
bool js_equal_folded(struct str a, struct str b);
/* {"name": member}, where an empty text, 0, false and null count as absent. */
yyjson_val *js_member(yyjson_val *object, const char *name);

/* --- growthbook_condition.c ------------------------------------------------------------------- */

/* What a condition is asked about: an object, or {"value": value} without building it. */
struct growthbook_subject {
    yyjson_val *value;
    bool is_wrapped;
};
bool growthbook_passes(struct growthbook_session *session, struct growthbook_subject subject,
                       yyjson_val *condition, yyjson_val *groups);

/* --- growthbook_regex.c ----------------------------------------------------------------------- */

enum growthbook_match { GROWTHBOOK_NO_MATCH, GROWTHBOOK_MATCH, GROWTHBOOK_MATCH_REFUSED };
/* REFUSED: over a limit. An invalid expression matches nothing, as in the SDK. */
enum growthbook_match growthbook_regex(struct growthbook_session *session, struct str pattern,
                                       struct str subject, bool no_case);

/* --- growthbook_url.c ------------------------------------------------------------------------- */

bool growthbook_url_targeted(struct growthbook_session *session, struct str url,
                             yyjson_val *patterns);
/* An absolute http(s) URL. */
bool growthbook_url_valid(struct growthbook_session *session, struct str url);
/* `target` with those query parameters of `from` that it does not have itself. */
struct str growthbook_url_merge(struct growthbook_session *session, struct str from,
                                struct str target);

/* --- growthbook_experiment.c ------------------------------------------------------------------ */

struct growthbook_experiment {
    yyjson_val *source; /* the rule or the experiment */
    bool is_rule;
    struct str key;
    yyjson_val *variations, *weights;
    bool has_bandit;
    struct growthbook_weights bandit;
};

struct growthbook_chain { /* features that are being evaluated, innermost first */
    const struct growthbook_chain *up;
    struct str feature;
    int depth;
};

void growthbook_evaluate(struct growthbook_session *session, struct str key,
                         const struct growthbook_chain *up, struct growthbook_feature *ret_feature);
void growthbook_experiment(struct growthbook_session *session, struct growthbook_experiment *e,
                           const struct growthbook_chain *chain,
                           struct growthbook_result *ret_result);
/* The person's value of the attribute (empty = id), else of the fallback; NULL when both are
 * falsy. *ret_name is whose it is. */
yyjson_val *growthbook_hash_value(struct growthbook_session *session, struct str attribute,
                                  struct str fallback, struct str *ret_name);
bool growthbook_filtered_out(struct growthbook_session *session, yyjson_val *filters);
struct bucket_range growthbook_range(yyjson_val *range);
/* hashVersion as the SDK reads it; -1 = one that does not exist. */
int64_t growthbook_hash_version(yyjson_val *version, int64_t otherwise);

/* --- growthbook_sticky.c ---------------------------------------------------------------------- */

bool growthbook_sticky_on(const struct growthbook_session *session,
                          const struct growthbook_experiment *e);
/* The variation kept for the person, or -1; *ret_blocked when an older bucket excludes them. */
int64_t growthbook_sticky_find(struct growthbook_session *session,
                               const struct growthbook_experiment *e, bool *ret_blocked);
void growthbook_sticky_keep(struct growthbook_session *session,
                            const struct growthbook_experiment *e,
                            const struct growthbook_result *result);
#endif
