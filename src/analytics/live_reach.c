/* live_reach.c - parts of the past, as reports ask for them. */
#include "analytics/live_reach.h"

/* --- names ------------------------------------------------------------------------------------ */

static void name_add(struct live_names *names, struct str name)
{
    for (size_t i = 0; i < names->count; i++)
        if (str_eq(names->list[i], name))
            return;
    if (name.n == 0 || str_is(name, "*") || names->count == WAREHOUSE_NAMES_MAX)
        names->any = true;
    else
        names->list[names->count++] = name;
}

static void event_add(struct live_names *names, yyjson_val *value)
{
    while (yyjson_is_obj(value))
        value = yyjson_obj_get(value, "event");
    name_add(names, json_str(value));
}

void live_names_add(struct live_names *names, yyjson_val *value)
{
    size_t i, max;
    yyjson_val *one;
    if (value != NULL && !yyjson_is_arr(value))
        event_add(names, value);
    yyjson_arr_foreach(value, i, max, one) event_add(names, one);
}

void live_names_ask(const struct live_ask *ask, struct live_names *names, const char *member)
{
    yyjson_val *value = yyjson_obj_get(ask->question, member);
    names->any = names->any || value == NULL;
    live_names_add(names, value);
}

void live_names_breakdown(const struct live_ask *ask, struct live_names *names)
{
    live_names_add(names, yyjson_obj_get(yyjson_obj_get(ask->question, "breakdown"), "event"));
}

/* --- conditions ------------------------------------------------------------------------------- */

/* How much of an event the conditions of a "where" look at. */
static enum warehouse_first where_needs(yyjson_val *where, enum warehouse_first least)
{
    size_t i, max;
    yyjson_val *condition;
    if (where == NULL)
        return least;
    yyjson_arr_foreach(where, i, max, condition)
    {
        if (yyjson_obj_get(condition, "property") != NULL)
            return WAREHOUSE_EVERY;
    }
    return WAREHOUSE_OF_KIND;
}

static enum warehouse_first before_needs(const struct live_ask *ask, const char *member,
                                         bool any_name)
{
    enum warehouse_first least = any_name ? WAREHOUSE_OF_VISITOR : WAREHOUSE_OF_NAME;
    if (member == NULL)
        return least;
    yyjson_val *event = yyjson_obj_get(ask->question, member);
    yyjson_val *own = yyjson_is_obj(event) ? yyjson_obj_get(event, "where") : NULL;
    enum warehouse_first needs = where_needs(yyjson_obj_get(ask->question, "where"), least);
    return needs == WAREHOUSE_EVERY ? needs : where_needs(own, needs);
}

/* --- parts ------------------------------------------------------------------------------------ */

static struct warehouse_span *part_add(const struct live_ask *ask, struct live_reach *reach,
                                       int64_t from_s, int64_t below_s,
                                       const struct live_names *names)
{
    if (from_s >= below_s)
        return NULL;
    struct warehouse_span *part = &reach->parts[reach->count++];
    *part = (struct warehouse_span){
        .time_from_us = from_s > 0 ? from_s * US_PER_S : 0,
        .time_below_us = below_s < LIVE_FOREVER_S ? below_s * US_PER_S : 0,
    };
    if (names != NULL && !names->any && names->count > 0) {
        struct str *list = ARENA_ARRAY(ask->arena, struct str, names->count);
        memcpy(list, names->list, names->count * sizeof *list);
        part->names = list;
        part->names_count = names->count;
    }
    return part;
}

void live_reach_all(const struct live_ask *ask, struct live_reach *reach, int64_t from_s,
                    int64_t below_s, const struct live_names *names)
{
    (void)part_add(ask, reach, from_s, below_s, names);
}

void live_reach_before(const struct live_ask *ask, struct live_reach *reach, int64_t below_s,
                       const char *member, const struct live_names *names)
{
    struct warehouse_span *part = part_add(ask, reach, 0, below_s, names);
    if (part != NULL)
        part->first = before_needs(ask, member, part->names == NULL);
}

void live_reach_present(const struct live_ask *ask, struct live_reach *reach,
                        const struct live_names *names)
{
    if (names->any || names->count == 0)
        return; /* all events of the window are there already */
    struct warehouse_span *part = part_add(ask, reach, ask->from_s, ask->to_s, names);
    if (part == NULL)
        return;
    part->but_names = true;
    part->first = WAREHOUSE_OF_VISITOR;
}

int64_t live_reach_from(const struct live_ask *ask)
{
    if (yyjson_obj_get(ask->question, "compare") == NULL)
        return ask->from_s;
    struct live_ask previous = live_previous(ask);
    return previous.from_s;
}
