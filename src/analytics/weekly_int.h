/* weekly_int.h - what the three files of the weekly page share: sums per week, facts, words. */
#ifndef ANALYTICS_WEEKLY_INT_H
#define ANALYTICS_WEEKLY_INT_H

#include "analytics/live_order.h"
#include "base/text.h"

#define WEEKLY_BEFORE 8 /* weeks that say what is usual … */
#define WEEKLY_LEAST 4  /* … and how few of them still do */
#define WEEKLY_WEEKS (WEEKLY_BEFORE + 1)
#define WEEKLY_STEPS_MAX 5
#define WEEKLY_PARTS_MAX 20 /* named; the rest is one */
#define WEEKLY_NOISE 3.0    /* robust standard deviations … */
#define WEEKLY_SHARE 0.05   /* … and this share of the usual: less is no news */

enum weekly_metric {
    WEEKLY_PEOPLE,
    WEEKLY_NEW_PEOPLE,
    WEEKLY_ORDERS,
    WEEKLY_REVENUE,
    WEEKLY_CONVERSION,
    WEEKLY_METRICS,
};

enum weekly_by { WEEKLY_CHANNEL, WEEKLY_CAMPAIGN, WEEKLY_CUSTOMER, WEEKLY_STEP, WEEKLY_BYS };

/* Of one week and one part of it. People, new people and buyers belong to the channel of the
 * person's first event of the week, orders and revenue to that of the order. */
struct weekly_sum {
    uint64_t people, new_people, buyers, orders;
    int64_t micros;
};

struct weekly_sums {
    struct weekly_sum total[WEEKLY_WEEKS];
    struct weekly_sum customer[2][WEEKLY_WEEKS];    /* 1 = new in that week */
    uint64_t steps[WEEKLY_STEPS_MAX][WEEKLY_WEEKS]; /* people with the event */
    struct weekly_sum *channels, *campaigns;        /* [code × WEEKLY_WEEKS + week] */
    uint32_t first_s;                               /* of the first event of all */
};

struct weekly_ask {
    struct live_ask *ask;
    struct live_event order, steps[WEEKLY_STEPS_MAX];
    size_t steps_count;
    uint8_t *bits;    /* by code: which steps it may be; bit 7: the order */
    bool *own_origin; /* our own events are nobody's doing */
    uint32_t borders[WEEKLY_WEEKS + 1];
    enum language language;
    /* Of a cell. */
    enum weekly_metric want;
    uint32_t want_channel;  /* TIMELINE_NONE = any */
    uint32_t want_campaign; /* of an order */
    int want_new;           /* -1 = both */
};

/* --- facts (weekly_fact.c) -------------------------------------------------------------------- */

struct weekly_part {
    struct str name; /* "" with none */
    bool other, none;
    double value, usual, contribution;
    double mix, rate; /* of conversion: contribution = mix + rate */
};

struct weekly_figure {
    double value, usual, mad, low, high, change, change_share, score;
    bool beyond_noise;
    struct weekly_part *parts[WEEKLY_BYS]; /* largest contribution first */
    size_t parts_count[WEEKLY_BYS];
};

struct weekly_facts {
    size_t weeks; /* of history; below WEEKLY_LEAST nothing is judged */
    struct weekly_figure figures[WEEKLY_METRICS];
};

void weekly_facts_find(const struct weekly_ask *want, const struct weekly_sums *sums,
                       struct weekly_facts *ret_facts);
const char *weekly_metric_name(enum weekly_metric metric);
const char *weekly_by_name(enum weekly_by by);
double weekly_value(const struct weekly_sum *sum, enum weekly_metric metric);

/* --- words (weekly_text.c) -------------------------------------------------------------------- */

void weekly_text(const struct weekly_ask *want, const struct weekly_facts *facts, struct buf *text);
#endif
