/* own.c - our own batch: the envelope itself as JSON, so that translating is little more than
 * checking.
 *
 *   {"events":[{"type":"track","name":"Order Completed","message_id":"…","identifiers":
 *   {"member_no":"17850","phone":["138…"]},"time":"2026-11-24T10:00:00Z","properties":{…}}]}
 *
 * or one event a line. Who writes to this door reads the answer, so it is stricter than the foreign
 * ones: an identifier type or operation that does not exist puts the event into quarantine instead
 * of being passed over in silence. An event about nobody is welcome where it says something about
 * the business (track, page, screen, group), and refused where all it does is change somebody. */
#include "collect/collect_int.h"

static const char *const operations[EVENT_OPERATION_END] = {
    [EVENT_NONE] = "",
    [EVENT_SET] = "set",
    [EVENT_SET_ONCE] = "set_once",
    [EVENT_INCREMENT] = "increment",
    [EVENT_APPEND] = "append",
    [EVENT_UNSET] = "unset",
    [EVENT_DELETE] = "delete",
};

static yyjson_val *member(yyjson_val *item, const char *name, const char *other)
{
    yyjson_val *value = yyjson_obj_get(item, name);
    return value != NULL ? value : yyjson_obj_get(item, other);
}

/* EVENT_TRACK where none is given; 0 when there is no such type. */
static enum event_type type_of(yyjson_val *value)
{
    if (value == NULL)
        return EVENT_TRACK;
    struct str text = json_str(value);
    for (int type = 1; type < EVENT_TYPE_END; type++)
        if (str_is(text, event_type_name((enum event_type)type)))
            return (enum event_type)type;
    return 0;
}

static bool operation_take(yyjson_val *value, struct event *event)
{
    if (event->type != EVENT_PROFILE)
        return value == NULL;
    event->operation = value == NULL ? EVENT_SET : EVENT_NONE;
    struct str text = json_str(value);
    for (int i = EVENT_SET; i < EVENT_OPERATION_END && event->operation == EVENT_NONE; i++)
        if (str_is(text, operations[i]))
            event->operation = (enum event_operation)i;
    return event->operation != EVENT_NONE;
}

static void add(struct door *door, struct event *event, enum identifier_type type,
                yyjson_val *value)
{
    event_add_identifier(event, type, collect_door_text(door, value));
}

/* False for a type that does not exist, or for what is no object at all. */
static bool identifiers_take(struct door *door, yyjson_val *ids, struct event *event)
{
    if (ids == NULL || yyjson_is_null(ids))
        return true;
    if (!yyjson_is_obj(ids))
        return false;
    size_t i, n;
    yyjson_val *key, *value;
    yyjson_obj_foreach(ids, i, n, key, value)
    {
        enum identifier_type type = identifier_type_of(json_str(key));
        if (type == IDENTIFIER_NONE)
            return false;
        if (!yyjson_is_arr(value)) {
            add(door, event, type, value);
            continue;
        }
        size_t j, m;
        yyjson_val *one;
        yyjson_arr_foreach(value, j, m, one)
        {
            add(door, event, type, one);
        }
    }
    return true;
}

static bool needs_somebody(enum event_type type)
{
    return type == EVENT_IDENTIFY || type >= EVENT_ALIAS;
}

/* Traits are another word for properties where these are about somebody. */
static bool properties_take(struct door *door, yyjson_val *item, struct event *event)
{
    yyjson_val *traits = yyjson_obj_get(item, "traits");
    bool allowed =
        event->type == EVENT_IDENTIFY || event->type == EVENT_GROUP || event->type == EVENT_PROFILE;
    if (traits != NULL && !allowed)
        return false;
    return collect_object(door, SLOT_PROPERTIES,
                          traits != NULL ? traits : yyjson_obj_get(item, "properties"),
                          &event->properties);
}

enum event_reason collect_own_event(struct door *door, const struct batch_head *head,
                                    yyjson_val *item, struct translated *ret)
{
    struct event *event = &ret->event;
    yyjson_val *context = yyjson_obj_get(item, "context");

    ret->context = yyjson_is_obj(context) ? context : NULL;
    ret->has_ip = collect_ip_own(door, ret->context);
    ret->by_visitor = collect_ip_direct(ret->context);
    event->message_id = collect_door_text(door, member(item, "message_id", "messageId"));
    event->type = type_of(yyjson_obj_get(item, "type"));
    if (event->type == 0 || !operation_take(yyjson_obj_get(item, "operation"), event))
        return REASON_UNKNOWN_TYPE;
    if (!collect_object(door, SLOT_CONTEXT, context, &event->context) ||
        !properties_take(door, item, event))
        return REASON_BAD_PROPERTIES;
    event->name = json_str(member(item, "name", "event"));
    if (event->type == EVENT_TRACK && event->name.n == 0)
        return REASON_NO_NAME;
    if (!collect_time(door, member(item, "time", "timestamp"), &event->original_us))
        return REASON_BAD_TIME;
    if (!collect_time(door, member(item, "sent_at", "sentAt"), &event->sent_us) ||
        event->sent_us == 0)
        event->sent_us = head->sent_us;
    event->channel = json_member_str(item, "channel");
    if (!identifiers_take(door, yyjson_obj_get(item, "identifiers"), event))
        return REASON_UNKNOWN_TYPE;
    if (event->identifiers_count == 0 && needs_somebody(event->type))
        return REASON_NO_IDENTIFIER;
    return REASON_NONE;
}

bool collect_own_take(struct intake *intake, yyjson_val *root, bool strict)
{
    struct batch_head head = {0};
    yyjson_val *events = yyjson_is_arr(root) ? root : yyjson_obj_get(root, "events");
    if (yyjson_is_arr(events)) {
        if (!collect_time(intake->door, yyjson_obj_get(root, "sent_at"), &head.sent_us))
            head.sent_us = 0;
        collect_intake_items(intake, collect_own_event, &head, events, strict);
        return true;
    }
    if (!yyjson_is_obj(root) || events != NULL)
        return false;
    collect_intake_item(intake, collect_own_event, &head, root, strict, STR(""));
    return true;
}

/* --- one event a line ------------------------------------------------------------------------- */

/* The next line that is not blank; an empty text at the end. */
static struct str line_next(struct str *rest)
{
    while (rest->n > 0) {
        const char *end = memchr(rest->p, '\n', rest->n);
        size_t n = end == NULL ? rest->n : (size_t)(end - rest->p);
        struct str line = str_trim((struct str){rest->p, n});
        size_t skip = end == NULL ? n : n + 1;
        *rest = (struct str){rest->p + skip, rest->n - skip};
        if (line.n > 0)
            return line;
    }
    return STR("");
}

static void line_take(struct intake *intake, struct str line)
{
    static const struct batch_head head = {0};
    struct err err;
    yyjson_val *root;
    bool strict;
    if (collect_door_parse(intake->door, line, &root, &strict, &err) != ST_OK)
        collect_intake_refuse(intake, REASON_NOT_JSON, NULL, line);
    else
        collect_intake_item(intake, collect_own_event, &head, root, strict, line);
}

bool collect_own_take_lines(struct intake *intake, struct str body)
{
    struct str rest = body, first = line_next(&rest);
    yyjson_val *root;
    bool strict;
    if (first.n == 0 || first.p[0] != '{' ||
        collect_door_parse(intake->door, first, &root, &strict, NULL) != ST_OK)
        return false;
    rest = body;
    for (struct str line; (line = line_next(&rest)).n > 0;) {
        if (collect_intake_full(intake)) {
            struct str left = {line.p, (size_t)(body.p + body.n - line.p)};
            collect_intake_refuse(intake, REASON_TOO_LARGE, NULL, left);
            break;
        }
        line_take(intake, line);
    }
    return true;
}
