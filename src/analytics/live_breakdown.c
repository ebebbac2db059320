/* live_breakdown.c - a number once for each channel, campaign or value of a property.
 *
 * Values are numbered 0 = none, then the most frequent ones, last all others as one, the rest.
 * Which are frequent is counted over the events that the question is about, in a pass of its own,
 * and only when there are more than asked for: most questions by channel need none. With "compare"
 * the window before is counted too, and says among equals: what has gone keeps its name while there
 * is room. "values" names
 * them instead; a cell does so, and keeps its meaning when tomorrow another value is frequent. */
#include "analytics/live_int.h"

#include <stdlib.h>

#define TOP_DEFAULT 10

static const char *const kind_names[] = {"property", "channel", "campaign", NULL};

struct live_breakdown {
    enum live_kind kind;
    const struct timeline_column *column;
    const uint32_t *values; /* by the column's code, or by origin */
    struct str *texts;
    uint32_t count; /* of values, none and the rest included */
    uint32_t rest;  /* how many the last one stands for */

    /* While it is made. */
    uint32_t codes;            /* of the column, of the channels or campaigns; 0 = none */
    const uint8_t *code_taken; /* [65,536] events that count; NULL = all */
    uint32_t *by_code;
};

struct frequency {
    uint64_t events, before; /* in the window, in the one before */
    uint32_t code;
    struct str text;
};

/* --- which values there are ------------------------------------------------------------------- */

static struct str text_of_code(const struct live_ask *ask, const struct live_breakdown *breakdown,
                               uint32_t code)
{
    return breakdown->column != NULL ? timeline_column_text(breakdown->column, code)
                                     : live_origin_text(ask, breakdown->kind, code);
}

static uint32_t code_of_event(const struct live_ask *ask, const struct live_breakdown *breakdown,
                              const struct timeline_run *run, uint32_t i)
{
    if (breakdown->column != NULL)
        return timeline_column_code(breakdown->column, timeline_row(run, i));
    return live_origin_code(ask, breakdown->kind, timeline_origin(run, i));
}

static void count_each(const struct live_ask *ask, const struct timeline_run *run, void *ctx)
{
    const struct live_breakdown *breakdown = ask->breakdown;
    uint32_t *counts = *(uint32_t **)ctx, first, end;
    live_window(ask, run, &first, &end);
    for (uint32_t i = first; i < end; i++) {
        if (breakdown->code_taken != NULL && !breakdown->code_taken[timeline_code(run, i)])
            continue;
        if (!live_filters_hold(ask, ask->filters, ask->filters_count, run, i))
            continue;
        uint32_t code = code_of_event(ask, breakdown, run, i);
        counts[code < breakdown->codes ? code : 0]++;
    }
}

/* Is `a` more frequent? Those of one count by their text. */
static bool is_before(const struct frequency *a, const struct frequency *b)
{
    if (a->events != b->events)
        return a->events > b->events;
    return a->before != b->before ? a->before > b->before : str_compare(a->text, b->text) < 0;
}

/* Sorted in when it is among the first `most`: a million values are not sorted for ten. */
static void frequent_add(struct frequency *list, uint32_t *count, uint32_t most,
                         const struct frequency *one)
{
    uint32_t at = *count;
    while (at > 0 && is_before(one, &list[at - 1]))
        at--;
    if (at == most)
        return;
    uint32_t kept = *count < most ? *count : most - 1;
    memmove(list + at + 1, list + at, (kept - at) * sizeof *list);
    list[at] = *one;
    *count = kept + 1;
}

/* How often each code is in the window: malloc'd for the caller. */
static enum status window_count(struct live_ask *ask, uint32_t **ret_counts, struct err *err)
{
    int threads = live_threads(ask);
    uint32_t codes = ask->breakdown->codes;
    uint32_t **counts = mem_zero((size_t)threads * sizeof *counts);
    for (int t = 0; t < threads; t++)
        counts[t] = mem_zero(codes * sizeof **counts);
    uint64_t read = ask->events_read;
    enum status status = live_pass_all(ask, count_each, counts, sizeof *counts, err);
    ask->events_read = read; /* said once, by the report's own pass */
    for (int t = 1; t < threads; t++) {
        for (uint32_t code = 0; code < codes; code++)
            counts[0][code] += counts[t][code];
        free(counts[t]);
    }
    if (status == ST_OK)
        *ret_counts = counts[0];
    else
        free(counts[0]);
    free(counts);
    return status;
}

/* The `most` most frequent codes; how many occur at all. */
static enum status frequencies(struct live_ask *ask, uint32_t most, struct frequency *ret_list,
                               uint32_t *ret_count, uint32_t *ret_occur, struct err *err)
{
    struct live_breakdown *breakdown = ask->breakdown;
    uint32_t *now = NULL, *before = NULL;
    enum status status = window_count(ask, &now, err);
    if (status == ST_OK && ask->compare) {
        struct live_ask previous = live_previous(ask);
        status = window_count(&previous, &before, err);
    }
    *ret_count = *ret_occur = 0;
    for (uint32_t code = 1; code < breakdown->codes && status == ST_OK; code++) {
        struct frequency one = {
            .events = now[code], .before = before == NULL ? 0 : before[code], .code = code};
        if (one.events + one.before == 0)
            continue;
        one.text = text_of_code(ask, breakdown, code);
        ++*ret_occur;
        frequent_add(ret_list, ret_count, most, &one);
    }
    free(now);
    free(before);
    return status;
}

/* --- parsing ---------------------------------------------------------------------------------- */

static enum status bad_breakdown(struct err *err, const char *why)
{
    err_set(err, ST_INVALID, "\"breakdown\": %s", why);
    return err_hint(err, ST_INVALID,
                    "{\"by\": \"channel\" | \"campaign\" | \"property\", \"property\", \"event\", "
                    "\"top\": 1 to %d}",
                    LIVE_TOP_MAX);
}

/* An event of the question, as a name or an object. */
static void take_event(const struct live_ask *ask, yyjson_val *value, uint8_t *taken, bool *any)
{
    struct str name = json_str(yyjson_is_obj(value) ? yyjson_obj_get(value, "event") : value);
    uint32_t code =
        name.n == 0 || str_is(name, "*") ? TIMELINE_NONE : timeline_name_find(ask->view, name);
    if (code == TIMELINE_NONE)
        *any = true;
    else
        taken[code] = 1;
}

/* What the question counts: its own "event", else that of the report. */
static void events_taken(struct live_ask *ask, struct live_breakdown *breakdown, yyjson_val *own)
{
    static const char *const members[] = {"event", "events", "steps", "conversion", "start"};
    uint8_t *taken = ARENA_ARRAY(ask->arena, uint8_t, LIVE_ORIGINS);
    bool any = false, found = own != NULL;
    if (own != NULL)
        take_event(ask, own, taken, &any);
    for (size_t m = 0; !found && m < sizeof members / sizeof members[0]; m++) {
        yyjson_val *value = yyjson_obj_get(ask->question, members[m]), *one;
        size_t i, max;
        found = value != NULL;
        if (found && !yyjson_is_arr(value))
            take_event(ask, value, taken, &any);
        yyjson_arr_foreach(value, i, max, one) take_event(ask, one, taken, &any);
    }
    breakdown->code_taken = found && !any ? taken : NULL;
}

static void value_add(struct live_ask *ask, struct live_breakdown *breakdown, uint32_t code,
                      struct str text)
{
    breakdown->texts[breakdown->count] = arena_copy(ask->arena, text);
    if (code != 0)
        breakdown->by_code[code] = breakdown->count;
    breakdown->count++;
}

static uint32_t code_find(const struct live_ask *ask, const struct live_breakdown *breakdown,
                          struct str text)
{
    if (breakdown->column != NULL)
        return timeline_column_find(breakdown->column, text);
    for (uint32_t code = 1; code < breakdown->codes; code++)
        if (str_eq(live_origin_text(ask, breakdown->kind, code), text))
            return code;
    return 0;
}

static enum status values_named(struct live_ask *ask, struct live_breakdown *breakdown,
                                yyjson_val *list, struct err *err)
{
    size_t i, max;
    yyjson_val *value;
    if (!yyjson_is_arr(list) || yyjson_arr_size(list) > LIVE_TOP_MAX)
        return bad_breakdown(err, "\"values\" must be a list of texts");
    yyjson_arr_foreach(list, i, max, value)
    {
        struct str text = json_str(value);
        if (text.n == 0)
            return bad_breakdown(err, "\"values\" must be a list of texts");
        uint32_t code = code_find(ask, breakdown, text);
        if (code != 0 && breakdown->by_code[code] != 0)
            return bad_breakdown(err, "a value stands twice in \"values\"");
        value_add(ask, breakdown, code, text);
    }
    return ST_OK;
}

static enum status values_frequent(struct live_ask *ask, struct live_breakdown *breakdown,
                                   yyjson_val *top, struct err *err)
{
    uint64_t most = top == NULL ? TOP_DEFAULT : yyjson_get_uint(top);
    struct frequency list[LIVE_TOP_MAX + 1];
    uint32_t count = 0, occur = 0;
    if ((top != NULL && !yyjson_is_uint(top)) || most < 1 || most > LIVE_TOP_MAX)
        return bad_breakdown(err, "\"top\" must be a whole number from 1");
    if (breakdown->codes - 1 <= most) {
        for (uint32_t code = 1; code < breakdown->codes; code++)
            value_add(ask, breakdown, code, text_of_code(ask, breakdown, code));
        return ST_OK;
    }
    enum status status = frequencies(ask, (uint32_t)most, list, &count, &occur, err);
    for (uint32_t i = 0; status == ST_OK && i < count; i++)
        value_add(ask, breakdown, list[i].code, list[i].text);
    breakdown->rest = occur - count;
    return status;
}

/* Codes to values; origins by way of their channel or campaign. The rest has a number also where it
 * is empty: the window before may have what this one has not, and a cell's coordinates stay what
 * they were when a new value appears. */
static void table_make(struct live_ask *ask, struct live_breakdown *breakdown, bool named)
{
    uint32_t others = 0;
    for (uint32_t code = 1; code < breakdown->codes; code++) {
        if (breakdown->by_code[code] != 0)
            continue;
        breakdown->by_code[code] = breakdown->count;
        others++;
    }
    if (named)
        breakdown->rest = others;
    breakdown->count++;
    breakdown->values = breakdown->by_code;
    if (breakdown->column != NULL)
        return;
    uint32_t *values = ARENA_ARRAY(ask->arena, uint32_t, LIVE_ORIGINS);
    for (uint32_t origin = 0; origin < ask->view->origins; origin++) {
        uint32_t code = live_origin_code(ask, breakdown->kind, origin);
        values[origin] = code < breakdown->codes ? breakdown->by_code[code] : 0;
    }
    breakdown->values = values;
}

static enum status subject_parse(struct live_ask *ask, yyjson_val *by,
                                 struct live_breakdown *breakdown, struct err *err)
{
    static const char *const members[] = {"by", "property", "event", "top", "values"};
    yyjson_val *event = yyjson_obj_get(by, "event");
    struct str word = json_member_str(by, "by"), property = json_member_str(by, "property");
    size_t known = 0;
    int kind = 0;
    for (size_t i = 0; i < sizeof members / sizeof members[0]; i++)
        known += yyjson_obj_get(by, members[i]) != NULL;
    if (!yyjson_is_obj(by) || known != yyjson_obj_size(by))
        return bad_breakdown(err, "must be an object of known members");
    while (kind_names[kind] != NULL && !str_is(word, kind_names[kind]))
        kind++;
    if (kind_names[kind] == NULL)
        return bad_breakdown(err, "\"by\" is not known");
    if ((kind == LIVE_PROPERTY) != (property.n > 0))
        return bad_breakdown(err, "\"property\" is the name, and goes with \"by\": \"property\"");
    struct str name = str_is(json_str(event), "*") ? STR("") : json_str(event);
    if (event != NULL && !yyjson_is_str(event))
        return bad_breakdown(err, "\"event\" must be a name");
    if (name.n > 0 && timeline_name_find(ask->view, name) == TIMELINE_NONE) {
        struct near near = near_to(name);
        for (uint32_t code = 0; code < ask->view->names; code++)
            near_offer(&near, timeline_name(ask->view, code));
        return live_not_found(err, "event", &near);
    }
    breakdown->kind = (enum live_kind)kind;
    breakdown->codes = live_origin_codes(ask, breakdown->kind);
    if (kind != LIVE_PROPERTY)
        return ST_OK;
    enum status status = live_column(ask, name, property, &breakdown->column, err);
    if (status == ST_OK)
        breakdown->codes = timeline_column_values(breakdown->column) + 1;
    return status;
}

enum status live_breakdown_parse(struct live_ask *ask, yyjson_val *by, struct err *err)
{
    struct live_breakdown *breakdown = ARENA_NEW(ask->arena, struct live_breakdown);
    yyjson_val *named = yyjson_obj_get(by, "values");
    enum status status = subject_parse(ask, by, breakdown, err);
    if (status != ST_OK)
        return status;
    if (breakdown->codes == 0) /* an empty timeline knows not even "none" */
        breakdown->codes = 1;
    breakdown->texts = ARENA_ARRAY(ask->arena, struct str, LIVE_TOP_MAX + 2);
    breakdown->by_code = ARENA_ARRAY(ask->arena, uint32_t, breakdown->codes);
    breakdown->count = 1; /* none */
    events_taken(ask, breakdown, yyjson_obj_get(by, "event"));
    ask->breakdown = breakdown;
    status = named != NULL ? values_named(ask, breakdown, named, err)
                           : values_frequent(ask, breakdown, yyjson_obj_get(by, "top"), err);
    if (status == ST_OK)
        table_make(ask, breakdown, named != NULL);
    return status;
}

/* --- reading ---------------------------------------------------------------------------------- */

uint32_t live_breakdown_of(const struct live_ask *ask, const struct timeline_run *run, uint32_t i)
{
    const struct live_breakdown *breakdown = ask->breakdown;
    if (breakdown == NULL)
        return 0;
    if (breakdown->column == NULL)
        return breakdown->values[timeline_origin(run, i)];
    return breakdown->values[timeline_column_code(breakdown->column, timeline_row(run, i))];
}

uint32_t live_breakdown_values(const struct live_ask *ask)
{
    return ask->breakdown == NULL ? 1 : ask->breakdown->count;
}

bool live_breakdown_is_rest(const struct live_ask *ask, uint32_t value)
{
    const struct live_breakdown *breakdown = ask->breakdown;
    return breakdown != NULL && value == breakdown->count - 1;
}

struct str live_breakdown_text(const struct live_ask *ask, uint32_t value)
{
    const struct live_breakdown *breakdown = ask->breakdown;
    if (breakdown == NULL || value >= breakdown->count)
        return STR("");
    return live_breakdown_is_rest(ask, value) ? STR("other") : breakdown->texts[value];
}

void live_put_breakdown(const struct live_ask *ask, struct buf *json, uint32_t value)
{
    if (ask->breakdown == NULL)
        return;
    if (value == 0)
        json_put_member_raw(json, "breakdown", STR("null"));
    else
        json_put_member_str(json, "breakdown", live_breakdown_text(ask, value));
    if (!live_breakdown_is_rest(ask, value))
        return;
    json_put_member_bool(json, "other", true);
    json_put_member_uint(json, "values", ask->breakdown->rest);
}
