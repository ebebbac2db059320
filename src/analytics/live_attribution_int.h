/* live_attribution_int.h - what the two halves of live attribution share: the question understood,
 * and what the pass found. */
#ifndef ANALYTICS_LIVE_ATTRIBUTION_INT_H
#define ANALYTICS_LIVE_ATTRIBUTION_INT_H

#include "analytics/attribution.h"
#include "analytics/live_journey.h"
#include "analytics/live_order.h"
#include "analytics/live_touch.h"

#define LIVE_JOURNEY_TOUCHES_MAX 200 /* the newest; a longer journey is a machine's */
#define LIVE_TOP_USUAL 50            /* values with a row of their own */
#define LIVE_DELAYS 7                /* classes of time to convert */

/* By what a touch is named: of its origin, or a property of its event. */
enum live_by { BY_CHANNEL, BY_CAMPAIGN, BY_CONTENT, BY_KEYWORD, BY_SOURCE, BY_MEDIUM, BY_PROPERTY };

struct live_cost {
    struct str name;
    double spend;
    bool used;
};

struct attribution_ask {
    struct live_event conversion;
    struct live_touches touches;
    enum live_by by;
    const char *by_word;
    const struct timeline_column *column; /* BY_CONTENT and on */
    uint32_t *value_of_origin;            /* before */
    uint32_t values;                      /* every value is below; 0 = none */
    uint32_t gap_s;                       /* the same touch again within it is one */
    bool first_only;                      /* of each person's conversions in the window */
    size_t top;
    enum attribution_model models[ATTRIBUTION_MODELS];
    size_t models_count;
    bool decay; /* one of them: by age, so it is shared out in the pass */
    struct attribution_rules rules;
    bool order_auto;
    struct live_cost *costs;
    size_t costs_count;
    /* Of a cell. */
    enum { WANT_CONVERTED, WANT_ASSISTED, WANT_CROSS_CHANNEL, WANT_NO_TOUCH, WANT_NEW } want;
    uint32_t want_value; /* TIMELINE_NONE = any */
};

/* Per value. Times are of the pass; people are counted once each. */
struct attribution_value {
    uint64_t touches, assisted, people, assisted_people;
    /* Time decay, shared out exactly: conversions in 2^-32, money in millionths. */
    int64_t decay_conversions, decay_micros;
};

struct attribution_found {
    struct live_journeys journeys;
    struct attribution_value *values;
    uint64_t kinds[LIVE_TOUCHES];
    uint64_t conversions, with_touch, cross_channel, arrivals, without_amount, converted_people;
    int64_t micros;         /* of all conversions */
    int64_t micros_touched; /* of those with a touch */
    uint64_t older_touches; /* left out of journeys that are too long */
    uint32_t *delays;       /* first touch to conversion, per conversion with a touch */
    size_t delays_count, delays_capacity;
};

#define LIVE_DECAY_UNIT 4294967296.0

/* The text of a value. */
struct str live_attribution_value(const struct live_ask *ask, const struct attribution_ask *want,
                                  uint32_t value);
/* live_attribution_put.c: run the models over what was found and write the answer. */
MUST_USE enum status live_attribution_put(struct live_ask *ask, const struct attribution_ask *want,
                                          struct attribution_found *found, struct buf *json,
                                          struct err *err);
#endif
