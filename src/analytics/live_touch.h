/* live_touch.h - which events are touches of marketing, of what kind, and for how long one counts.
 *
 * A rule is an event (with its conditions) and perhaps a channel and a campaign; rules are asked in
 * order and the first that fits says the kind. The usual rules stand in live_touch.def; a question
 * brings its own in "touches", which then replace all of them:
 *   "touches":  [{"type": "click", "event": EVENT, "channel": "sms", "campaign": true or a name,
 *                 "lookback": "7d"}]
 *   "lookback": "30d", or {"click": "7d", "view": "1d"}: over rules and defaults
 * On the fast path an event costs two loads: the rules that its name may meet, and those that its
 * origin may meet, as bits.
 *
 * Part of analytics: included by its live reports only. */
#ifndef ANALYTICS_LIVE_TOUCH_H
#define ANALYTICS_LIVE_TOUCH_H

#include "analytics/live_int.h"

enum live_touch {
#define X(id, word, days, campaign, names) LIVE_TOUCH_##id,
#include "analytics/live_touch.def"
#undef X
    LIVE_TOUCHES, /* how many kinds; also: no touch */
};

#define LIVE_TOUCH_RULES_MAX 31 /* a bit each; the last one is the caller's */
#define LIVE_TOUCH_CALLER (UINT32_C(1) << 31)

struct live_touch_rule {
    enum live_touch type;
    size_t filters_count;
    struct live_filter *filters;
};

struct live_touches {
    uint32_t *by_code;   /* [65,536] */
    uint32_t *by_origin; /* [65,536]; LIVE_TOUCH_CALLER is set in all */
    uint32_t lookback_s[LIVE_TOUCHES], lookback_max_s;
    struct live_touch_rule rules[LIVE_TOUCH_RULES_MAX];
    size_t rules_count;
};

/* From the question, in its arena. */
MUST_USE enum status live_touches_ask(struct live_ask *ask, struct live_touches *ret_touches,
                                      struct err *err);
/* No touch of the question counts longer: for what it needs of the past (live_reach.h). */
int64_t live_touches_lookback_most(const struct live_ask *ask);
const char *live_touch_name(enum live_touch touch);

/* `bits` = by_code & by_origin of the event. */
static inline enum live_touch live_touch_of(const struct live_ask *ask,
                                            const struct live_touches *touches, uint32_t bits,
                                            const struct timeline_run *run, uint32_t i)
{
    for (bits &= ~LIVE_TOUCH_CALLER; bits != 0; bits &= bits - 1) {
        const struct live_touch_rule *rule = &touches->rules[__builtin_ctz(bits)];
        if (rule->filters_count == 0 ||
            live_filters_hold(ask, rule->filters, rule->filters_count, run, i))
            return rule->type;
    }
    return LIVE_TOUCHES;
}
#endif
