/* live_customer.h - what the reports rfm, kmeans and clv share: customers with the days of their
 * orders, and results that become traits.
 *
 * Common members of the three questions:
 *   "order"  EVENT, default "Order Completed"
 *   "clean"  true: only orders with an amount above 0
 * Results become traits where the asker wants it (live_run.save). Without "from" all orders count.
 * Days are those of the question's zone, at most some ten years of them. Part of analytics:
 * included by its live reports only. */
#ifndef ANALYTICS_LIVE_CUSTOMER_H
#define ANALYTICS_LIVE_CUSTOMER_H

#include "analytics/live_order.h"

struct live_customers {
    const char *report;
    struct live_orders orders;
    int32_t *days;        /* per order, since the window's first day */
    int32_t analysis_day; /* the first one after the window */
};

/* `name` is the report's, for its cells. ST_INVALID when nobody ordered in the window. */
MUST_USE enum status live_customers_collect(struct live_ask *ask, const char *name,
                                            struct live_customers *ret_customers, struct err *err);
void live_customers_done(struct live_customers *customers);
/* "left_out", and what was saved. */
void live_customers_put_end(struct buf *json, const struct live_customers *customers,
                            uint64_t customers_left_out, const char *reason);

/* Puts the traits of customer i: members of one object. */
typedef void live_traits(const void *ctx, size_t i, struct buf *json);
/* With run->save: write them to the journal and say how many. The message's id is made from report,
 * person and the window's end (now, when that lies ahead): the same question again is a duplicate,
 * not a second event. */
MUST_USE enum status live_customers_save(struct live_ask *ask,
                                         const struct live_customers *customers,
                                         live_traits *traits, const void *ctx, struct buf *json,
                                         struct err *err);
#endif
