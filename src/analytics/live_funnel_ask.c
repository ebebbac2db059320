/* live_funnel_ask.c - what a question about a funnel may hold, and the tables that the pass reads.
 *
 *   "steps"        2 to 20 events (1 is allowed: who did it)
 *   "order"        "ordered" (others may lie between), "strict" (nothing may), "unordered"
 *   "modes"        those of windowFunnel: "strict_increase", "strict_deduplication", …
 *   "window"       from step 1 to the last one, default 7d; "step_windows": ["1d", null, …], from
 *                  each step to the next
 *   "exclusions"   [{"event", "after": 1, "before": 2}]: such an event between these steps ends the
 *                  chain; without numbers, between the first and the last
 *   "hold"         a property that must be the same in all steps
 *   "once"         true: one event counts for one step (default)
 *   "ties"         "journal" (default): equal times as they came; "steps": in the steps' favour
 *   "closed"       true: conversions after "to" do not count
 *
 * What does not go together is said, never ignored. */
#include "analytics/live_funnel_int.h"
#include "analytics/live_reach.h"

#define WINDOW_S (INT64_C(7) * 86400)

enum order { ORDERED, STRICT, UNORDERED };
static const char *const orders[] = {"ordered", "strict", "unordered", NULL};
enum ties { JOURNAL, STEPS };
static const char *const tie_words[] = {"journal", "steps", NULL};

static enum status bool_member(const struct live_ask *ask, const char *member, bool otherwise,
                               bool *ret_value, struct err *err)
{
    yyjson_val *value = yyjson_obj_get(ask->question, member);
    *ret_value = value == NULL ? otherwise : yyjson_get_bool(value);
    if (value != NULL && !yyjson_is_bool(value))
        return err_set(err, ST_INVALID, "\"%s\" must be true or false", member);
    return ST_OK;
}

static enum status modes_parse(struct live_ask *ask, struct live_funnel *funnel, struct err *err)
{
    yyjson_val *value = yyjson_obj_get(ask->question, "modes");
    struct live_chain *chain = &funnel->chain;
    if (value != NULL && !yyjson_is_str(value))
        return err_set(err, ST_INVALID, "\"modes\" must be a text");
    enum status status = live_ask_word(ask, "order", orders, ORDERED, &funnel->order, err);
    if (status == ST_OK)
        status = live_ask_word(ask, "ties", tie_words, JOURNAL, &funnel->ties, err);
    if (status == ST_OK)
        status = funnel_modes_parse(json_str(value), &chain->modes, err);
    if (status == ST_OK)
        status = bool_member(ask, "once", true, &chain->once, err);
    if (status == ST_OK)
        status = bool_member(ask, "closed", false, &funnel->closed, err);
    if (status != ST_OK)
        return status;
    chain->any_order = funnel->order == UNORDERED;
    funnel->ties_by_steps = funnel->ties == STEPS;
    if (funnel->order == STRICT)
        chain->modes |= FUNNEL_STRICT_ORDER;
    if ((chain->modes & FUNNEL_STRICT_ONCE) != 0)
        chain->once = true;
    if (chain->any_order && (chain->modes != 0 || funnel->ties != JOURNAL))
        return err_set(err, ST_INVALID,
                       "\"modes\" and \"ties\" do not go with \"order\": \"unordered\"");
    return ST_OK;
}

static enum status windows_parse(struct live_ask *ask, struct live_funnel *funnel, struct err *err)
{
    yyjson_val *list = yyjson_obj_get(ask->question, "step_windows"), *value;
    struct live_chain *chain = &funnel->chain;
    size_t i, max;
    enum status status = live_ask_duration(ask, "window", WINDOW_S, &funnel->window, err);
    chain->window = (uint32_t)funnel->window;
    for (unsigned k = 0; k < LIVE_STEPS_MAX; k++)
        chain->gaps[k] = UINT32_MAX;
    if (status != ST_OK || list == NULL)
        return status;
    if (!yyjson_is_arr(list) || yyjson_arr_size(list) != chain->steps - 1)
        return err_set(err, ST_INVALID,
                       "\"step_windows\" must be a list of %u durations or null, one between every "
                       "two steps",
                       chain->steps - 1);
    yyjson_arr_foreach(list, i, max, value)
    {
        int64_t seconds = UINT32_MAX;
        if (!yyjson_is_null(value))
            status = live_duration_parse("step_windows", value, &seconds, err);
        if (status != ST_OK)
            return status;
        chain->gaps[i + 1] = (uint32_t)seconds;
    }
    return ST_OK;
}

static enum status bad_exclusion(struct err *err, unsigned steps)
{
    err_set(err, ST_INVALID, "\"exclusions\" must be a list of at most %d", LIVE_EXCLUSIONS_MAX);
    return err_hint(err, ST_INVALID, "{\"event\", \"after\": 1, \"before\": %u}; steps in order",
                    steps);
}

static enum status exclusion_parse(struct live_ask *ask, yyjson_val *value, unsigned steps,
                                   struct live_exclusion *exclusion, struct err *err)
{
    yyjson_val *event = yyjson_obj_get(value, "event"), *after = yyjson_obj_get(value, "after");
    yyjson_val *before = yyjson_obj_get(value, "before");
    size_t known = 1 + (after != NULL) + (before != NULL);
    uint64_t a = after == NULL ? 1 : yyjson_get_uint(after);
    uint64_t b = before == NULL ? steps : yyjson_get_uint(before);
    if (event == NULL || yyjson_obj_size(value) != known || a < 1 || a >= b || b > steps)
        return bad_exclusion(err, steps);
    for (uint64_t k = a; k < b; k++)
        exclusion->spoils |= UINT32_C(1) << (k - 1);
    return live_event_parse(ask, "exclusions", event, &exclusion->event, err);
}

static enum status exclusions_parse(struct live_ask *ask, struct live_funnel *funnel,
                                    struct err *err)
{
    yyjson_val *list = yyjson_obj_get(ask->question, "exclusions"), *value;
    size_t i, max;
    if (list == NULL)
        return ST_OK;
    if (!yyjson_is_arr(list) || yyjson_arr_size(list) > LIVE_EXCLUSIONS_MAX)
        return bad_exclusion(err, funnel->chain.steps);
    yyjson_arr_foreach(list, i, max, value)
    {
        enum status status =
            exclusion_parse(ask, value, funnel->chain.steps, &funnel->exclusions[i], err);
        if (status != ST_OK)
            return status;
    }
    funnel->exclusions_count = yyjson_arr_size(list);
    return ST_OK;
}

/* --- what goes together ----------------------------------------------------------------------- */

static bool codes_meet(const struct live_event *a, const struct live_event *b)
{
    return a->code == b->code || a->code == TIMELINE_NONE || b->code == TIMELINE_NONE;
}

/* Can one event be two of the steps? */
static bool steps_overlap(const struct live_funnel *funnel)
{
    for (unsigned a = 0; a < funnel->chain.steps; a++)
        for (unsigned b = 0; b < a; b++)
            if (codes_meet(&funnel->steps[a], &funnel->steps[b]))
                return true;
    return false;
}

/* Which search: live_chain.c's own, or the kernel that has all of windowFunnel's modes. */
static enum status search_choose(struct live_funnel *funnel, struct err *err)
{
    struct live_chain *chain = &funnel->chain;
    bool has_gaps = false, has_own = funnel->exclusions_count > 0;
    for (unsigned k = 0; k < chain->steps; k++)
        has_gaps = has_gaps || chain->gaps[k] != UINT32_MAX;
    bool own_modes = (chain->modes & ~(unsigned)(FUNNEL_STRICT_INCREASE | FUNNEL_STRICT_ONCE)) == 0;
    bool overlap = steps_overlap(funnel);
    if (chain->any_order && (has_gaps || has_own))
        return err_set(err, ST_INVALID,
                       "\"step_windows\" and \"exclusions\" do not go with \"order\": "
                       "\"unordered\"");
    if (chain->any_order && overlap) {
        err_set(err, ST_INVALID, "one event could be two steps, and they have no order");
        return err_hint(err, ST_INVALID, "\"order\": \"ordered\", or steps of different events");
    }
    if (chain->any_order)
        return ST_OK;
    chain->kernel = !own_modes || funnel->ties == STEPS;
    if (chain->kernel && (has_gaps || has_own))
        return err_set(err, ST_INVALID,
                       "\"step_windows\" and \"exclusions\" do not go with strict orders nor with "
                       "\"ties\": \"steps\"");
    if (funnel->ties == JOURNAL)
        chain->modes |= FUNNEL_ARRAY_ORDER;
    chain->plain = !chain->kernel && !has_gaps && !has_own && !overlap &&
                   (chain->modes & FUNNEL_STRICT_INCREASE) == 0;
    if (chain->once && overlap)
        chain->modes |= FUNNEL_STRICT_ONCE;
    return ST_OK;
}

/* --- tables ----------------------------------------------------------------------------------- */

/* This event's bit at its code, or at all codes. */
static void code_add(const struct live_ask *ask, struct live_funnel *funnel,
                     const struct live_event *event, uint32_t *bits, uint32_t bit)
{
    if (event->code != TIMELINE_NONE) {
        bits[event->code] |= bit;
        code_set_add(&funnel->set, (uint16_t)event->code);
        return;
    }
    funnel->all = true;
    for (uint32_t code = 0; code < live_codes(ask); code++)
        bits[code] |= bit;
}

static void tables_make(struct live_ask *ask, struct live_funnel *funnel)
{
    uint32_t codes = live_codes(ask);
    code_set_init(&funnel->set);
    funnel->all = (funnel->chain.modes & FUNNEL_STRICT_ORDER) != 0;
    funnel->step_bits = ARENA_ARRAY(ask->arena, uint32_t, codes);
    if (funnel->exclusions_count > 0)
        funnel->spoil_bits = ARENA_ARRAY(ask->arena, uint32_t, codes);
    for (unsigned k = 0; k < funnel->chain.steps; k++) {
        code_add(ask, funnel, &funnel->steps[k], funnel->step_bits, UINT32_C(1) << k);
        if (funnel->steps[k].filters_count > 0)
            funnel->filtered |= UINT32_C(1) << k;
    }
    funnel->step_of = ARENA_ARRAY(ask->arena, uint8_t, codes);
    for (uint32_t code = 0; code < codes; code++)
        if (funnel->step_bits[code] != 0)
            funnel->step_of[code] = (uint8_t)__builtin_ctz(funnel->step_bits[code]);
    for (size_t e = 0; e < funnel->exclusions_count; e++)
        code_add(ask, funnel, &funnel->exclusions[e].event, funnel->spoil_bits, UINT32_C(1) << e);
    if (funnel->all)
        return;
    funnel->wanted = ARENA_ARRAY(ask->arena, uint8_t, codes);
    for (uint32_t code = 0; code < codes; code++)
        funnel->wanted[code] = funnel->step_bits[code] != 0 ||
                               (funnel->spoil_bits != NULL && funnel->spoil_bits[code] != 0);
}

void live_funnel_reach(struct live_ask *ask, struct live_reach *reach)
{
    struct live_names names = {0};
    struct err ignored;
    bool closed = yyjson_is_true(yyjson_obj_get(ask->question, "closed"));
    int order = ORDERED;
    int64_t window = WINDOW_S;
    live_names_ask(ask, &names, "steps");
    live_names_add(&names, yyjson_obj_get(ask->question, "exclusions"));
    live_names_breakdown(ask, &names);
    (void)!live_ask_duration(ask, "window", WINDOW_S, &window, &ignored);
    (void)!live_ask_word(ask, "order", orders, ORDERED, &order, &ignored);
    /* Where a strict order is asked for, whatever happens between two steps counts. */
    if (order == STRICT || yyjson_obj_get(ask->question, "modes") != NULL)
        names.any = true;
    live_reach_all(ask, reach, live_reach_from(ask), ask->to_s + (closed ? 0 : window), &names);
}

enum status live_funnel_parse(struct live_ask *ask, struct live_funnel *funnel, struct err *err)
{
    static const char *const members[] = {"steps",        "order",      "modes", "window",
                                          "step_windows", "exclusions", "hold",  "once",
                                          "ties",         "closed",     NULL};
    size_t count = 0;
    yyjson_val *hold = yyjson_obj_get(ask->question, "hold");
    if (hold != NULL && json_str(hold).n == 0)
        return err_set(err, ST_INVALID, "\"hold\" must be the name of a property");
    enum status status = live_ask_known(ask, members, err);
    if (status == ST_OK)
        status = live_ask_events(ask, "steps", 1, LIVE_STEPS_MAX, &funnel->steps, &count, err);
    funnel->chain.steps = (unsigned)count;
    if (status == ST_OK)
        status = modes_parse(ask, funnel, err);
    if (status == ST_OK)
        status = windows_parse(ask, funnel, err);
    if (status == ST_OK)
        status = exclusions_parse(ask, funnel, err);
    if (status == ST_OK)
        status = search_choose(funnel, err);
    if (status == ST_OK && hold != NULL)
        status = live_column(ask, STR(""), json_str(hold), &funnel->hold, err);
    if (status == ST_OK)
        tables_make(ask, funnel);
    return status;
}
