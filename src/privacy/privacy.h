/* privacy.h - may we keep it? The first of the two gates (DESIGN §2).
 *
 * An event is DENIED (not stored, counted by reason) when its own consent says no: context.consent.
 * categoryPreferences has the analytics category set to false (name configurable, compared without
 * case), or the request carries `Sec-GPC: 1` and the event does not itself grant that category. No
 * consent field and no signal: kept. Depends on: base, event. Called by: collect, import. */
#ifndef PRIVACY_PRIVACY_H
#define PRIVACY_PRIVACY_H

#include "base/json.h"
#include "event/event.h"

struct privacy;

struct privacy_options {
    struct str category; /* empty = "analytics" */
    bool ignore_gpc;
};

struct privacy *privacy_new(const struct privacy_options *options);
void privacy_free(struct privacy *privacy);

enum privacy_answer { PRIVACY_KEEP, PRIVACY_DENIED_CONSENT, PRIVACY_DENIED_GPC };
/* `context` is the event's (after the batch's is merged under it), NULL if none. Any thread;
 * counts. */
enum privacy_answer privacy_may_keep(struct privacy *privacy, yyjson_val *context, bool gpc);

struct privacy_stats {
    uint64_t denied_consent, denied_gpc;
};
void privacy_stats(struct privacy *privacy, struct privacy_stats *ret_stats);
#endif
