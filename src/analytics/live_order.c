/* live_order.c - one pass that gathers the orders, per thread; then they stand person by person. */
#include "analytics/live_order.h"
#include "analytics/live_reach.h"

#include <stdlib.h>

#define USUAL_ORDER "Order Completed"

enum status live_ask_plain(struct live_ask *ask, const char *const *members, struct err *err)
{
    if (ask->breakdown != NULL || ask->compare)
        return err_set(err, ST_INVALID, "this report has no \"%s\"",
                       ask->compare ? "compare" : "breakdown");
    return live_ask_known(ask, members, err);
}

enum status live_order_event(struct live_ask *ask, const char *member, struct live_event *ret_event,
                             struct err *err)
{
    if (yyjson_obj_get(ask->question, member) != NULL)
        return live_ask_event(ask, member, ret_event, err);
    *ret_event = (struct live_event){.name = STR(USUAL_ORDER),
                                     .code = timeline_name_find(ask->view, STR(USUAL_ORDER))};
    if (ret_event->code != TIMELINE_NONE)
        return ST_OK;
    err_set(err, ST_NOT_FOUND, "no event is named \"" USUAL_ORDER "\"");
    return err_hint(err, ST_NOT_FOUND, "Name the event that is meant in \"%s\".", member);
}

void live_order_names(const struct live_ask *ask, struct live_names *names, const char *member)
{
    yyjson_val *value = yyjson_obj_get(ask->question, member);
    if (value != NULL)
        live_names_add(names, value);
    else
        names->list[names->count++] = STR(USUAL_ORDER);
}

/* --- the pass --------------------------------------------------------------------------------- */

struct person {
    uint64_t id;
    uint32_t slot, count;
    size_t start; /* into the gatherer's list */
    struct live_order *orders;
};

struct gatherer {
    const struct live_event *event;
    bool positive;
    struct person *people;
    struct live_order *list;
    size_t people_count, people_capacity, count, capacity;
    uint64_t without_amount, not_positive;
};

static void order_add(struct gatherer *gatherer, struct live_order order)
{
    if (gatherer->count == gatherer->capacity) {
        gatherer->capacity = gatherer->capacity == 0 ? 4096 : gatherer->capacity * 2;
        gatherer->list = mem_grow(gatherer->list, gatherer->capacity * sizeof *gatherer->list);
    }
    gatherer->list[gatherer->count++] = order;
}

static void person_add(struct gatherer *gatherer, struct person person)
{
    if (gatherer->people_count == gatherer->people_capacity) {
        gatherer->people_capacity =
            gatherer->people_capacity == 0 ? 1024 : gatherer->people_capacity * 2;
        gatherer->people =
            mem_grow(gatherer->people, gatherer->people_capacity * sizeof *gatherer->people);
    }
    gatherer->people[gatherer->people_count++] = person;
}

static void gather(const struct live_ask *ask, const struct timeline_run *run, void *ctx)
{
    struct gatherer *gatherer = ctx;
    size_t before = gatherer->count;
    uint32_t first, end;
    live_window(ask, run, &first, &end);
    for (uint32_t i = first; i < end; i++) {
        if (!live_event_is(ask, gatherer->event, run, i) ||
            !live_filters_hold(ask, ask->filters, ask->filters_count, run, i))
            continue;
        struct live_order order = {.time = run->time[i]};
        order.has_amount = timeline_amount(ask->view, timeline_row(run, i), &order.micros);
        order.micros = order.has_amount ? order.micros : 0;
        gatherer->without_amount += !order.has_amount;
        gatherer->not_positive += order.has_amount && order.micros <= 0;
        if (!gatherer->positive || order.micros > 0)
            order_add(gatherer, order);
    }
    if (gatherer->count > before)
        person_add(gatherer, (struct person){.id = timeline_person_id(ask->view, run->person),
                                             .slot = run->person,
                                             .start = before,
                                             .count = (uint32_t)(gatherer->count - before)});
}

/* --- all of them ------------------------------------------------------------------------------ */

static int by_id(const void *a, const void *b)
{
    const struct person *p = a, *q = b;
    return (p->id > q->id) - (p->id < q->id);
}

static void gather_all(const struct gatherer *gatherers, int threads, struct live_orders *orders)
{
    size_t n = 0;
    for (int t = 0; t < threads; t++) {
        orders->people_count += gatherers[t].people_count;
        orders->count += gatherers[t].count;
        orders->without_amount += gatherers[t].without_amount;
        orders->not_positive += gatherers[t].not_positive;
    }
    struct person *people = mem_alloc((orders->people_count + 1) * sizeof *people);
    for (int t = 0; t < threads; t++)
        for (size_t i = 0; i < gatherers[t].people_count; i++) {
            people[n] = gatherers[t].people[i];
            people[n].orders = gatherers[t].list + people[n].start;
            n++;
        }
    qsort(people, n, sizeof *people, by_id);
    orders->people = mem_alloc((n + 1) * sizeof *orders->people);
    orders->starts = mem_zero((n + 1) * sizeof *orders->starts);
    orders->list = mem_alloc((orders->count + 1) * sizeof *orders->list);
    for (size_t i = 0; i < n; i++) {
        const struct person *person = &people[i];
        struct live_order *list = orders->list + orders->starts[i];
        memcpy(list, person->orders, person->count * sizeof *list);
        orders->people[i] = person->slot;
        orders->starts[i + 1] = orders->starts[i] + person->count;
        if (i == 0 || list[0].time < orders->first_s)
            orders->first_s = list[0].time;
        if (list[person->count - 1].time > orders->last_s)
            orders->last_s = list[person->count - 1].time;
    }
    free(people);
}

enum status live_orders_collect(struct live_ask *ask, const struct live_event *event, bool positive,
                                struct live_orders *ret_orders, struct err *err)
{
    int threads = live_threads(ask);
    struct gatherer *gatherers = mem_zero((size_t)threads * sizeof *gatherers);
    uint8_t *wanted = ARENA_ARRAY(ask->arena, uint8_t, 65536);
    *ret_orders = (struct live_orders){.positive = positive};
    for (int t = 0; t < threads; t++) {
        gatherers[t].event = event;
        gatherers[t].positive = positive;
    }
    struct timeline_set only = {0};
    bool named = event->code != TIMELINE_NONE;
    if (named) {
        wanted[event->code] = 1;
        timeline_set_init(&only, ask->view);
        timeline_people_with(ask->view, event->code, &only);
    }
    enum status status = live_pass(ask, named ? &only : NULL, named ? wanted : NULL, gather,
                                   gatherers, sizeof *gatherers, err);
    if (named)
        timeline_set_done(&only);
    if (status == ST_OK)
        gather_all(gatherers, threads, ret_orders);
    for (int t = 0; t < threads; t++) {
        free(gatherers[t].people);
        free(gatherers[t].list);
    }
    free(gatherers);
    return status;
}

void live_orders_done(struct live_orders *orders)
{
    free(orders->people);
    free(orders->starts);
    free(orders->list);
    *orders = (struct live_orders){0};
}
