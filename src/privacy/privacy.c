/* privacy.c - may we keep it? The event's own consent decides; the browser's signal only asks.
 *
 *   the event refuses the category              denied, whatever else is said
 *   the event grants the category               kept, also with Sec-GPC (asked more exactly)
 *   it gives no answer, and Sec-GPC: 1          denied
 *   it gives no answer, and no signal           kept
 *
 * An answer is a boolean at context.consent.categoryPreferences.<category>, the name compared
 * without case. Where several spellings of the name are there, one `false` is enough. Anything that
 * is no boolean is a client's mistake and grants nothing; but who wrote a refusal is believed, so
 * the texts "false" and "0" and the number 0 refuse too. */
#include "privacy/privacy.h"

#include <stdlib.h>

#include "base/arena.h"

struct privacy {
    char *category;
    bool ignore_gpc;
    uint64_t denied_consent, denied_gpc; /* atomic */
};

struct privacy *privacy_new(const struct privacy_options *options)
{
    struct str category = options->category.n > 0 ? options->category : STR("analytics");
    struct privacy *privacy = mem_zero(sizeof *privacy);
    privacy->category = mem_zero(category.n + 1);
    memcpy(privacy->category, category.p, category.n);
    privacy->ignore_gpc = options->ignore_gpc;
    return privacy;
}

void privacy_free(struct privacy *privacy)
{
    if (privacy == NULL)
        return;
    free(privacy->category);
    free(privacy);
}

enum consent { CONSENT_NONE, CONSENT_GRANTED, CONSENT_REFUSED };

static enum consent consent_value(yyjson_val *value)
{
    if (yyjson_is_true(value))
        return CONSENT_GRANTED;
    if (yyjson_is_false(value) || (yyjson_is_num(value) && yyjson_get_num(value) == 0))
        return CONSENT_REFUSED;
    struct str text = str_trim(json_str(value));
    return str_eq_nocase(text, STR("false")) || str_is(text, "0") ? CONSENT_REFUSED : CONSENT_NONE;
}

static enum consent consent_of(const struct privacy *privacy, yyjson_val *context)
{
    yyjson_val *preferences =
        yyjson_obj_get(yyjson_obj_get(context, "consent"), "categoryPreferences");
    enum consent consent = CONSENT_NONE;
    size_t i, n;
    yyjson_val *name, *value;
    if (preferences == NULL)
        return consent;
    yyjson_obj_foreach(preferences, i, n, name, value)
    {
        if (!str_eq_nocase(json_str(name), str_of(privacy->category)))
            continue;
        enum consent one = consent_value(value);
        consent = one > consent ? one : consent;
    }
    return consent;
}

enum privacy_answer privacy_may_keep(struct privacy *privacy, yyjson_val *context, bool gpc)
{
    enum consent consent = consent_of(privacy, context);
    if (consent == CONSENT_REFUSED) {
        __atomic_add_fetch(&privacy->denied_consent, 1, __ATOMIC_RELAXED);
        return PRIVACY_DENIED_CONSENT;
    }
    if (gpc && !privacy->ignore_gpc && consent != CONSENT_GRANTED) {
        __atomic_add_fetch(&privacy->denied_gpc, 1, __ATOMIC_RELAXED);
        return PRIVACY_DENIED_GPC;
    }
    return PRIVACY_KEEP;
}

void privacy_stats(struct privacy *privacy, struct privacy_stats *ret_stats)
{
    ret_stats->denied_consent = __atomic_load_n(&privacy->denied_consent, __ATOMIC_RELAXED);
    ret_stats->denied_gpc = __atomic_load_n(&privacy->denied_gpc, __ATOMIC_RELAXED);
}
