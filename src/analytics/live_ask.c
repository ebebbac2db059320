/* live_ask.c - a question taken apart: its common members, and readers for what a report's own
 * members may be.
 *
 * A member that nobody knows is an error, not a silence: a misspelled "brekdown" would else give a
 * wrong number that looks right. Names of events and properties are looked up here, once, so that a
 * typing error is an answer with the nearest names and not a row of zeros. */
#include "analytics/live_int.h"

#include <stdio.h>

#include "analytics_queries.h"
#include "base/check.h"

#define SHOWN_BYTES 60 /* of a stranger's text in a message */
#define LIMIT_US_DEFAULT (INT64_C(30) * US_PER_S)
#define LIMIT_US_MAX (INT64_C(600) * US_PER_S)
#define DURATION_S_MAX (INT64_C(100) * 366 * 86400)

struct live_column {
    struct live_column *next;
    struct str event, property;
    const struct timeline_column *column;
};

static const char *const common[] = {"from", "to", "zone", "where", "breakdown", "compare", NULL};

/* --- errors ----------------------------------------------------------------------------------- */

static struct str shown(struct str text)
{
    size_t n = text.n < SHOWN_BYTES ? text.n : SHOWN_BYTES;
    return (struct str){text.p, str_utf8((struct str){text.p, n})};
}

static enum status hint_near(struct err *err, enum status status, const struct near *near)
{
    struct buf text;
    if (near->count == 0)
        return status;
    buf_init(&text, 140);
    near_put(near, &text);
    struct str names = shown(buf_view(&text));
    if (!text.overflow && text.n < 120)
        names = buf_view(&text);
    err_hint(err, status, "did you mean " STR_FMT "?", STR_ARG(names));
    buf_done(&text);
    return status;
}

enum status live_not_found(struct err *err, const char *what, struct near *near)
{
    struct str name = shown(near->wanted);
    err_set(err, ST_NOT_FOUND, "could not find the %s \"" STR_FMT "\"", what, STR_ARG(name));
    return hint_near(err, ST_NOT_FOUND, near);
}

static bool is_one_of(const char *const *words, struct str word)
{
    for (; *words != NULL; words++)
        if (str_is(word, *words))
            return true;
    return false;
}

enum status live_ask_known(struct live_ask *ask, const char *const *members, struct err *err)
{
    yyjson_val *key;
    yyjson_obj_iter iter = yyjson_obj_iter_with(ask->question);
    while (ask->question != NULL && (key = yyjson_obj_iter_next(&iter)) != NULL) {
        struct str name = json_str(key), cut = shown(name);
        if (is_one_of(common, name) || is_one_of(members, name))
            continue;
        struct near near = near_to(name);
        for (size_t i = 0; common[i] != NULL; i++)
            near_offer(&near, str_of(common[i]));
        for (size_t i = 0; members[i] != NULL; i++)
            near_offer(&near, str_of(members[i]));
        err_set(err, ST_INVALID, "this report has no member \"" STR_FMT "\"", STR_ARG(cut));
        return hint_near(err, ST_INVALID, &near);
    }
    return ST_OK;
}

/* --- names ------------------------------------------------------------------------------------ */

static enum status event_unknown(const struct live_ask *ask, struct str name, struct err *err)
{
    struct near near = near_to(name);
    for (uint32_t code = 0; code < ask->view->names; code++)
        if (ask->view->code_events[code] > 0)
            near_offer(&near, timeline_name(ask->view, code));
    return live_not_found(err, "event", &near);
}

/* Names of properties come from the warehouse, so they are asked for only here. */
static enum status property_unknown(struct live_ask *ask, struct str event, struct str property,
                                    struct err *err)
{
    struct near near = near_to(property);
    struct buf json;
    struct err ignored;
    yyjson_doc *doc = NULL;
    buf_init(&json, (size_t)1 << 20);
    struct warehouse *warehouse = ask->live->options.warehouse;
    if (warehouse != NULL &&
        warehouse_query(warehouse, analytics_live_properties, &event, 1, &json, &ignored) ==
            ST_OK &&
        json_parse(NULL, buf_view(&json), &doc, &ignored) == ST_OK) {
        yyjson_val *row;
        yyjson_arr_iter rows =
            yyjson_arr_iter_with(yyjson_obj_get(yyjson_doc_get_root(doc), "rows"));
        while ((row = yyjson_arr_iter_next(&rows)) != NULL)
            near_offer(&near, json_str(yyjson_arr_get_first(row)));
    }
    enum status status = live_not_found(err, "property", &near);
    yyjson_doc_free(doc);
    buf_done(&json);
    return status;
}

enum status live_column(struct live_ask *ask, struct str event, struct str property,
                        const struct timeline_column **ret_column, struct err *err)
{
    for (struct live_column *at = ask->columns; at != NULL; at = at->next)
        if (str_eq(at->event, event) && str_eq(at->property, property)) {
            *ret_column = at->column;
            return ST_OK;
        }
    const struct timeline_column *column = NULL;
    enum status status = ask->live->options.warehouse == NULL
                             ? property_unknown(ask, event, property, err)
                             : timeline_column_open(ask->view, event, property, &column, err);
    if (status != ST_OK)
        return status;
    struct live_column *own = ARENA_NEW(ask->arena, struct live_column);
    *own = (struct live_column){ask->columns, event, property, column};
    ask->columns = own;
    if (timeline_column_values(column) == 0)
        return property_unknown(ask, event, property, err);
    *ret_column = column;
    return ST_OK;
}

/* --- events ----------------------------------------------------------------------------------- */

enum status live_event_parse(struct live_ask *ask, const char *member, yyjson_val *value,
                             struct live_event *ret_event, struct err *err)
{
    struct live_event event = {.code = TIMELINE_NONE};
    bool is_object = yyjson_is_obj(value);
    struct str name = json_str(is_object ? yyjson_obj_get(value, "event") : value);
    yyjson_val *where = is_object ? yyjson_obj_get(value, "where") : NULL;
    if (name.n == 0 || (is_object && yyjson_obj_size(value) > (where == NULL ? 1U : 2U))) {
        err_set(err, ST_INVALID, "\"%s\" is no event", member);
        return err_hint(err, ST_INVALID, "a name, \"*\" for any, or {\"event\", \"where\": […]}");
    }
    if (!str_is(name, "*")) {
        event.name = name;
        event.code = timeline_name_find(ask->view, name);
        if (event.code == TIMELINE_NONE)
            return event_unknown(ask, name, err);
    }
    enum status status =
        live_filters_parse(ask, where, event.name, &event.filters, &event.filters_count, err);
    if (status == ST_OK)
        *ret_event = event;
    return status;
}

enum status live_ask_event(struct live_ask *ask, const char *member, struct live_event *ret_event,
                           struct err *err)
{
    return live_event_parse(ask, member, yyjson_obj_get(ask->question, member), ret_event, err);
}

enum status live_ask_events(struct live_ask *ask, const char *member, size_t least, size_t most,
                            struct live_event **ret_events, size_t *ret_count, struct err *err)
{
    yyjson_val *list = yyjson_obj_get(ask->question, member), *value;
    size_t count = yyjson_arr_size(list), i, max;
    if (list == NULL && least == 0) {
        *ret_count = 0;
        *ret_events = NULL;
        return ST_OK;
    }
    if (!yyjson_is_arr(list) || count < least || count > most) {
        err_set(err, ST_INVALID, "\"%s\" has %zu events", member, count);
        return err_hint(err, ST_INVALID, "a list of %zu to %zu events", least, most);
    }
    struct live_event *events = ARENA_ARRAY(ask->arena, struct live_event, count + 1);
    yyjson_arr_foreach(list, i, max, value)
    {
        enum status status = live_event_parse(ask, member, value, &events[i], err);
        if (status != ST_OK)
            return status;
    }
    *ret_events = events;
    *ret_count = count;
    return ST_OK;
}

/* --- other members ---------------------------------------------------------------------------- */

/* "90m" in seconds; -1 = none. */
static int64_t duration_of(struct str text)
{
    static const struct {
        char unit;
        int64_t seconds;
    } units[] = {{'s', 1}, {'m', 60}, {'h', 3600}, {'d', 86400}, {'w', 7 * 86400}};
    int64_t count = 0;
    if (text.n < 2 || text.n > 11)
        return -1;
    for (size_t i = 0; i + 1 < text.n; i++) {
        if (text.p[i] < '0' || text.p[i] > '9')
            return -1;
        count = count * 10 + (text.p[i] - '0');
    }
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++)
        if (text.p[text.n - 1] == units[i].unit)
            return count * units[i].seconds;
    return -1;
}

enum status live_ask_duration(struct live_ask *ask, const char *member, int64_t otherwise_s,
                              int64_t *ret_s, struct err *err)
{
    yyjson_val *value = yyjson_obj_get(ask->question, member);
    *ret_s = otherwise_s;
    return value == NULL ? ST_OK : live_duration_parse(member, value, ret_s, err);
}

enum status live_duration_parse(const char *member, yyjson_val *value, int64_t *ret_s,
                                struct err *err)
{
    int64_t seconds = -1;
    if (yyjson_is_int(value))
        seconds = yyjson_get_sint(value);
    else if (yyjson_is_str(value))
        seconds = duration_of(json_str(value));
    if (seconds < 0 || seconds > DURATION_S_MAX) {
        err_set(err, ST_INVALID, "\"%s\" is no duration up to 100 years", member);
        return err_hint(err, ST_INVALID, "seconds, or a text like 3600s, 90m, 24h, 7d, 2w");
    }
    *ret_s = seconds;
    return ST_OK;
}

enum status live_ask_word(struct live_ask *ask, const char *member, const char *const *words,
                          int otherwise, int *ret_index, struct err *err)
{
    yyjson_val *value = yyjson_obj_get(ask->question, member);
    char list[140] = "";
    size_t n = 0;
    if (value == NULL) {
        *ret_index = otherwise;
        return ST_OK;
    }
    for (int i = 0; words[i] != NULL; i++) {
        if (yyjson_is_str(value) && str_is(json_str(value), words[i])) {
            *ret_index = i;
            return ST_OK;
        }
        if (n < sizeof list)
            n += (size_t)snprintf(list + n, sizeof list - n, i == 0 ? "%s" : ", %s", words[i]);
    }
    struct str cut = shown(json_str(value));
    err_set(err, ST_INVALID, "\"%s\" cannot be \"" STR_FMT "\"", member, STR_ARG(cut));
    return err_hint(err, ST_INVALID, "one of %s", list);
}

enum status live_ask_number(struct live_ask *ask, const char *member, double least, double most,
                            double otherwise, double *ret_v, struct err *err)
{
    yyjson_val *value = yyjson_obj_get(ask->question, member);
    if (value == NULL) {
        *ret_v = otherwise;
        return ST_OK;
    }
    double v = yyjson_get_num(value);
    if (!yyjson_is_num(value) || !(v >= least && v <= most))
        return err_set(err, ST_INVALID, "\"%s\" must be a number from %g to %g", member, least,
                       most);
    *ret_v = v;
    return ST_OK;
}

/* --- the common part -------------------------------------------------------------------------- */

static enum status text_member(const struct live_ask *ask, const char *member, struct str *ret_text,
                               struct err *err)
{
    yyjson_val *value = yyjson_obj_get(ask->question, member);
    if (value != NULL && !yyjson_is_str(value))
        return err_set(err, ST_INVALID, "\"%s\" must be a text", member);
    *ret_text = json_str(value);
    return ST_OK;
}

static enum status window_parse(struct live_ask *ask, struct err *err)
{
    struct str from, to, zone;
    enum status status = text_member(ask, "from", &from, err);
    if (status == ST_OK)
        status = text_member(ask, "to", &to, err);
    if (status == ST_OK)
        status = text_member(ask, "zone", &zone, err);
    if (status != ST_OK)
        return status;
    const char *otherwise = ask->live->options.zone;
    ask->zone = zone.n > 0 ? zone : str_of(otherwise == NULL ? "UTC" : otherwise);
    status = zone_open(ask->zone, &ask->calendar, err);
    return status == ST_OK ? live_window_parse(ask, from, to, err) : status;
}

static enum status common_parse(struct live_ask *ask, struct err *err)
{
    static const char *const compares[] = {"previous", NULL};
    int compare = -1;
    enum status status = window_parse(ask, err);
    if (status == ST_OK)
        status = live_ask_word(ask, "compare", compares, -1, &compare, err);
    if (status == ST_OK)
        status = live_filters_parse(ask, yyjson_obj_get(ask->question, "where"), STR(""),
                                    &ask->filters, &ask->filters_count, err);
    ask->compare = compare == 0;
    yyjson_val *by = yyjson_obj_get(ask->question, "breakdown");
    return status == ST_OK && by != NULL ? live_breakdown_parse(ask, by, err) : status;
}

enum status live_ask_open(struct live_ask *ask, struct err *err)
{
    int64_t limit_us = ask->run->limit_us;
    if (limit_us <= 0)
        limit_us = LIMIT_US_DEFAULT;
    ask->limit_us = limit_us < LIMIT_US_MAX ? limit_us : LIMIT_US_MAX;
    ask->deadline_us = monotonic_us() + ask->limit_us;
    ask->now_us = clock_now_us(ask->live->options.clock);
    ask->people = UINT64_MAX;
    return common_parse(ask, err);
}

void live_ask_close(struct live_ask *ask)
{
    for (struct live_column *at = ask->columns; at != NULL; at = at->next)
        timeline_column_close(at->column);
    zone_close(ask->calendar);
    ask->columns = NULL;
    ask->calendar = NULL;
}

/* --- numbers ---------------------------------------------------------------------------------- */

void live_put_micros(struct buf *json, const char *member, __int128 micros)
{
    bool negative = micros < 0;
    unsigned __int128 size = negative ? -(unsigned __int128)micros : (unsigned __int128)micros;
    unsigned long long whole = (unsigned long long)(size / 1000000);
    unsigned fraction = (unsigned)(size % 1000000);
    json_put_name(json, member);
    buf_fmt(json, negative ? "-%llu" : "%llu", whole);
    if (fraction == 0)
        return;
    buf_fmt(json, ".%06u", fraction);
    while (json->p[json->n - 1] == '0')
        json->p[--json->n] = '\0';
}
