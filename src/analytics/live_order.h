/* live_order.h - what people bought: orders out of the timeline, for the reports on customers.
 *
 * An order is the event of the member "order" ("Order Completed" when the question has none); its
 * amount is what the road understood as its revenue, total, value or amount. Each such event is one
 * order. Part of analytics: included by its live reports only. */
#ifndef ANALYTICS_LIVE_ORDER_H
#define ANALYTICS_LIVE_ORDER_H

#include "analytics/live_int.h"

struct live_order {
    uint32_t time;
    bool has_amount;
    int64_t micros;
};

struct live_orders {
    uint32_t *people; /* slots, by their ids rising: the same order at every start */
    size_t *starts;   /* people_count + 1, into list; one person's in order of time */
    struct live_order *list;
    size_t people_count, count;
    uint64_t without_amount, not_positive; /* orders; counted as 0, and as they are */
    bool positive;                         /* … or, so asked, left out */
    uint32_t first_s, last_s;              /* of the first and the last order; 0 without any */
};

/* live_ask_known for reports that are not broken down nor compared: then these two members are
 * refused, not passed over in silence. */
MUST_USE enum status live_ask_plain(struct live_ask *ask, const char *const *members,
                                    struct err *err);

/* The event of `member`, else of the usual name. ST_NOT_FOUND when nobody ever ordered. */
MUST_USE enum status live_order_event(struct live_ask *ask, const char *member,
                                      struct live_event *ret_event, struct err *err);

/* The name of that event, for what a question needs (live_reach.h). */
struct live_names;
void live_order_names(const struct live_ask *ask, struct live_names *names, const char *member);

/* All orders inside [from_s, to_s), of every person. With `positive` those without an amount above
 * 0 are left out (and counted). */
MUST_USE enum status live_orders_collect(struct live_ask *ask, const struct live_event *event,
                                         bool positive, struct live_orders *ret_orders,
                                         struct err *err);
void live_orders_done(struct live_orders *orders);

/* A cell's member, "" when it has none. */
static inline struct str live_cell_str(const struct live_ask *ask, const char *member)
{
    return ask->cell == NULL ? STR("") : json_member_str(ask->cell, member);
}
/* A number of the cell, or -1. */
static inline int64_t live_cell_int(const struct live_ask *ask, const char *member)
{
    yyjson_val *value = ask->cell == NULL ? NULL : yyjson_obj_get(ask->cell, member);
    return yyjson_is_int(value) ? yyjson_get_sint(value) : -1;
}
#endif
