/* live_customer.c - orders with the days of a calendar.
 *
 * The window begins with the first order of all, when the question does not say; then the cells'
 * beginning is made again, so that they mean the same window tomorrow. */
#include "analytics/live_customer.h"
#include "analytics/live_reach.h"

#include <stdlib.h>

static void window_widen(struct live_ask *ask, const char *name, const struct live_orders *orders)
{
    ask->from_s = orders->first_s;
    ask->from_us = orders->first_s * US_PER_S;
    live_cell_prefix(ask, str_of(name));
}

static enum status orders_read(struct live_ask *ask, struct live_customers *customers,
                               struct err *err)
{
    struct live_event event;
    bool whole = yyjson_obj_get(ask->question, "from") == NULL;
    bool clean = yyjson_is_true(yyjson_obj_get(ask->question, "clean"));
    enum status status = live_order_event(ask, "order", &event, err);
    if (status != ST_OK)
        return status;
    ask->from_s = whole ? 0 : ask->from_s;
    status = live_orders_collect(ask, &event, clean, &customers->orders, err);
    if (status == ST_OK && customers->orders.people_count == 0) {
        err_set(err, ST_INVALID, "nobody has an order in the window");
        return err_hint(err, ST_INVALID, "a longer window, or another event in \"order\"");
    }
    if (status == ST_OK && whole)
        window_widen(ask, customers->report, &customers->orders);
    return status;
}

enum status live_customers_collect(struct live_ask *ask, const char *name,
                                   struct live_customers *ret_customers, struct err *err)
{
    uint32_t *borders;
    size_t count, at = 0;
    *ret_customers = (struct live_customers){.report = name};
    ask->people = UINT64_MAX; /* of the window: not counted */
    enum status status = orders_read(ask, ret_customers, err);
    if (status == ST_OK)
        status = live_borders(ask, LIVE_DAY, &borders, &count, err);
    if (status != ST_OK)
        return status;
    const struct live_orders *orders = &ret_customers->orders;
    ret_customers->days = mem_alloc((orders->count + 1) * sizeof *ret_customers->days);
    for (size_t i = 0; i < orders->count; i++) {
        at = live_period_of(borders, count, orders->list[i].time, at);
        ret_customers->days[i] = (int32_t)at;
    }
    ret_customers->analysis_day = (int32_t)count - (ask->to_s < borders[count]);
    return ST_OK;
}

void live_customers_reach(struct live_ask *ask, struct live_reach *reach)
{
    struct live_names names = {0};
    bool whole = yyjson_obj_get(ask->question, "from") == NULL;
    live_order_names(ask, &names, "order");
    live_reach_all(ask, reach, whole ? 0 : ask->from_s, ask->to_s, &names);
}

void live_customers_done(struct live_customers *customers)
{
    live_orders_done(&customers->orders);
    free(customers->days);
}

static void put_left(struct buf *json, const char *reason, const char *what, uint64_t count)
{
    if (count == 0)
        return;
    json_put_comma(json);
    buf_char(json, '{');
    json_put_member_str(json, "reason", str_of(reason));
    json_put_member_uint(json, what, count);
    buf_char(json, '}');
}

void live_customers_put_end(struct buf *json, const struct live_customers *customers,
                            uint64_t customers_left_out, const char *reason)
{
    const struct live_orders *orders = &customers->orders;
    json_put_name(json, "left_out");
    buf_char(json, '[');
    put_left(json, "no_amount", "orders", orders->without_amount);
    if (orders->positive)
        put_left(json, "amount_not_positive", "orders", orders->not_positive);
    put_left(json, reason, "customers", customers_left_out);
    buf_char(json, ']');
}
