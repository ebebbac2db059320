/* segment.c - the Segment HTTP tracking API (and RudderStack's, which differs little) to our
 * envelope.
 *
 * Pure: an item in, an event or a reason out; no server, no clock. The rules, from the public spec
 * and from what real SDKs send (docs/api/openapi.yaml names the paths):
 *
 *   identifiers  userId, anonymousId, previousId; for identify traits.email and .phone, for all but
 *                group context.traits' too; context.device.id, or .advertisingId where tracking is
 *                allowed; context.externalIds by type. properties.email of a track is NO
 * identifier: a shop assistant may type in anybody's. traits       an identify without traits takes
 * context.traits (RudderStack's browser SDK). category     of a page and groupId of a group go into
 * the properties, which is where reports look. context      a batch's is merged under each item's:
 * the item wins, member by member (RFC 7396, so null in the item takes a member away). dropped
 * integrations and _metadata: they talk to Segment, not to us.
 *
 * Names are looked at once: an item's members are sorted into a struct by a table, not searched
 * for. */
#include "collect/collect_int.h"

#define SEGMENT_FIELDS(X)                                                                          \
    X(type)                                                                                        \
    X(messageId)                                                                                   \
    X(anonymousId)                                                                                 \
    X(userId)                                                                                      \
    X(previousId)                                                                                  \
    X(groupId)                                                                                     \
    X(event)                                                                                       \
    X(name)                                                                                        \
    X(category)                                                                                    \
    X(timestamp)                                                                                   \
    X(originalTimestamp)                                                                           \
    X(sentAt)                                                                                      \
    X(channel)                                                                                     \
    X(properties)                                                                                  \
    X(traits)                                                                                      \
    X(context)

struct segment_item {
#define X(name) yyjson_val *name;
    SEGMENT_FIELDS(X)
#undef X
};

static struct segment_item item_fields(yyjson_val *item)
{
    struct segment_item fields = {0};
    yyjson_obj_iter iter = yyjson_obj_iter_with(item);
    yyjson_val *key;
    while ((key = yyjson_obj_iter_next(&iter)) != NULL) {
        size_t n = yyjson_get_len(key);
        const char *text = yyjson_get_str(key);
#define X(name)                                                                                    \
    if (n == sizeof(#name) - 1 && memcmp(text, #name, sizeof(#name) - 1) == 0) {                   \
        fields.name = yyjson_obj_iter_get_val(key);                                                \
        continue;                                                                                  \
    }
        SEGMENT_FIELDS(X)
#undef X
    }
    return fields;
}

static enum event_type type_of(struct str text)
{
    static const enum event_type types[] = {EVENT_TRACK,  EVENT_IDENTIFY, EVENT_PAGE,
                                            EVENT_SCREEN, EVENT_GROUP,    EVENT_ALIAS};
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (str_is(text, event_type_name(types[i])))
            return types[i];
    return 0;
}

/* --- identifiers ------------------------------------------------------------------------------ */

static void add(struct door *door, struct event *event, enum identifier_type type,
                yyjson_val *value)
{
    if (value != NULL)
        event_add_identifier(event, type, collect_door_text(door, value));
}

static void add_traits(struct door *door, struct event *event, yyjson_val *traits)
{
    if (!yyjson_is_obj(traits))
        return;
    add(door, event, IDENTIFIER_EMAIL, yyjson_obj_get(traits, "email"));
    add(door, event, IDENTIFIER_PHONE, yyjson_obj_get(traits, "phone"));
}

static void add_external(struct door *door, struct event *event, yyjson_val *ids)
{
    yyjson_arr_iter iter;
    if (!yyjson_is_arr(ids) || !yyjson_arr_iter_init(ids, &iter))
        return;
    yyjson_val *id;
    while ((id = yyjson_arr_iter_next(&iter)) != NULL) {
        enum identifier_type type = identifier_type_of(json_member_str(id, "type"));
        struct str collection = json_member_str(id, "collection");
        if (type != IDENTIFIER_NONE && (collection.n == 0 || str_is(collection, "users")))
            add(door, event, type, yyjson_obj_get(id, "id"));
    }
}

static void add_context(struct door *door, struct event *event, yyjson_val *context)
{
    if (!yyjson_is_obj(context))
        return;
    if (event->type != EVENT_GROUP)
        add_traits(door, event, yyjson_obj_get(context, "traits"));
    add_external(door, event, yyjson_obj_get(context, "externalIds"));
    yyjson_val *device = yyjson_obj_get(context, "device");
    if (!yyjson_is_obj(device))
        return;
    add(door, event, IDENTIFIER_DEVICE_ID, yyjson_obj_get(device, "id"));
    if (yyjson_is_true(yyjson_obj_get(device, "adTrackingEnabled")))
        add(door, event, IDENTIFIER_DEVICE_ID, yyjson_obj_get(device, "advertisingId"));
}

/* --- context ---------------------------------------------------------------------------------- */

/* The batch's context under the item's. Both went through the depth limit, so the library's
 * recursion is bounded by it. */
static yyjson_val *context_merged(struct door *door, yyjson_val *under, yyjson_val *over)
{
    yyjson_doc_free(door->merged);
    door->merged = NULL;
    yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
    yyjson_mut_val *merged = yyjson_merge_patch(doc, under, over);
    door->merged = yyjson_mut_val_imut_copy(merged, NULL);
    yyjson_mut_doc_free(doc);
    return yyjson_doc_get_root(door->merged);
}

static void context_take(struct door *door, const struct batch_head *head, yyjson_val *own,
                         struct translated *ret)
{
    bool has_own = yyjson_is_obj(own) && yyjson_obj_size(own) > 0;
    if (has_own && head->context != NULL)
        ret->context = context_merged(door, head->context, own);
    else
        ret->context = has_own ? own : head->context;
    ret->has_ip = collect_ip_own(door, ret->context);
    ret->by_visitor = collect_ip_direct(ret->context);
    if (ret->context == head->context)
        ret->event.context = head->context_text;
    else
        ret->event.context = collect_door_write(door, SLOT_CONTEXT, ret->context);
}

/* --- the event -------------------------------------------------------------------------------- */

static bool times_take(struct door *door, const struct batch_head *head,
                       const struct segment_item *fields, struct event *event)
{
    yyjson_val *original = fields->timestamp;
    if (original == NULL || yyjson_is_null(original))
        original = fields->originalTimestamp;
    if (!collect_time(door, fields->sentAt, &event->sent_us) || event->sent_us == 0)
        event->sent_us = head->sent_us;
    return collect_time(door, original, &event->original_us);
}

/* The properties (or traits) as one compact object. False when they are no object. */
static bool properties_take(struct door *door, const struct segment_item *fields,
                            struct translated *ret)
{
    struct event *event = &ret->event;
    bool of_person = event->type == EVENT_IDENTIFY, of_group = event->type == EVENT_GROUP;
    yyjson_val *value = of_person || of_group ? fields->traits : fields->properties;
    if (of_person && (value == NULL || yyjson_is_null(value)) && ret->context != NULL)
        value = yyjson_obj_get(ret->context, "traits");
    if (!collect_object(door, SLOT_PROPERTIES, value, &event->properties))
        return false;
    struct str group = of_group ? collect_door_text(door, fields->groupId) : STR("");
    if (group.n > 0 && yyjson_obj_get(value, "group_id") == NULL)
        event->properties =
            collect_with_member(&door->fields, "group_id", group, event->properties);
    bool of_page = event->type == EVENT_PAGE || event->type == EVENT_SCREEN;
    struct str category = of_page ? json_str(fields->category) : STR("");
    if (category.n > 0 && yyjson_obj_get(value, "category") == NULL)
        event->properties =
            collect_with_member(&door->fields, "category", category, event->properties);
    return true;
}

static void channel_take(const struct segment_item *fields, struct translated *ret)
{
    if (ret->context != NULL)
        ret->event.channel = json_member_str(ret->context, "channel");
    if (ret->event.channel.n == 0)
        ret->event.channel = json_str(fields->channel);
}

static void identifiers_take(struct door *door, const struct segment_item *fields,
                             struct translated *ret)
{
    struct event *event = &ret->event;
    add(door, event, IDENTIFIER_USER_ID, fields->userId);
    add(door, event, IDENTIFIER_ANONYMOUS_ID, fields->anonymousId);
    if (event->type == EVENT_ALIAS)
        add(door, event, IDENTIFIER_ANONYMOUS_ID, fields->previousId);
    if (event->type == EVENT_IDENTIFY)
        add_traits(door, event, fields->traits);
    add_context(door, event, ret->context);
}

enum event_reason collect_segment_event(struct door *door, const struct batch_head *head,
                                        yyjson_val *item, struct translated *ret)
{
    const struct segment_item fields = item_fields(item);
    struct event *event = &ret->event;

    event->message_id = collect_door_text(door, fields.messageId);
    context_take(door, head, fields.context, ret);
    event->type = head->type != 0 ? head->type : type_of(json_str(fields.type));
    if (event->type == 0)
        return REASON_UNKNOWN_TYPE;
    if (fields.context != NULL && !yyjson_is_obj(fields.context) && !yyjson_is_null(fields.context))
        return REASON_BAD_PROPERTIES;
    if (!properties_take(door, &fields, ret))
        return REASON_BAD_PROPERTIES;
    if (event->type == EVENT_TRACK)
        event->name = json_str(fields.event);
    else if (event->type == EVENT_PAGE || event->type == EVENT_SCREEN)
        event->name = json_str(fields.name);
    else if (event->type == EVENT_IDENTIFY)
        event->operation = EVENT_SET;
    if (event->type == EVENT_TRACK && event->name.n == 0)
        return REASON_NO_NAME;
    if (!times_take(door, head, &fields, event))
        return REASON_BAD_TIME;
    channel_take(&fields, ret);
    identifiers_take(door, &fields, ret);
    return event->identifiers_count == 0 ? REASON_NO_IDENTIFIER : REASON_NONE;
}

/* --- a body ----------------------------------------------------------------------------------- */

/* The batch's context, which the judge's next document would take away: parsed once more. */
static enum event_reason context_judged(struct door *door, yyjson_val *context,
                                        yyjson_val **ret_context)
{
    enum event_reason reason = collect_door_judge(door, context, &context);
    if (reason != REASON_NONE)
        return reason;
    struct str text = arena_copy(&door->arena, collect_door_write(door, SLOT_CONTEXT, context));
    yyjson_doc *doc;
    if (json_parse(&door->pool, text, &doc, NULL) != ST_OK)
        return REASON_BAD_UTF8;
    *ret_context = yyjson_doc_get_root(doc);
    return REASON_NONE;
}

/* The members of a batch that hold for its items; a reason when no item could carry its context. */
static enum event_reason head_take(struct intake *intake, yyjson_val *root, bool strict,
                                   struct batch_head *head)
{
    struct door *door = intake->door;
    yyjson_val *context = yyjson_obj_get(root, "context");
    if (!collect_time(door, yyjson_obj_get(root, "sentAt"), &head->sent_us))
        head->sent_us = 0; /* only a correction is lost */
    if (!yyjson_is_obj(context) || yyjson_obj_size(context) == 0)
        return REASON_NONE;
    enum event_reason reason = strict ? REASON_NONE : context_judged(door, context, &context);
    if (reason != REASON_NONE)
        return reason;
    head->context = context;
    (void)collect_ip_own(door, context); /* before it is written for all */
    head->context_text = arena_copy(&door->arena, collect_door_write(door, SLOT_CONTEXT, context));
    return head->context_text.n > intake->event_max ? REASON_TOO_LARGE : REASON_NONE;
}

bool collect_segment_take(struct intake *intake, enum event_type type, yyjson_val *root,
                          bool strict)
{
    struct batch_head head = {.type = type};
    yyjson_val *batch = type == 0 && yyjson_is_obj(root) ? yyjson_obj_get(root, "batch") : NULL;
    if (yyjson_is_arr(batch)) {
        enum event_reason reason = head_take(intake, root, strict, &head);
        if (reason != REASON_NONE)
            collect_intake_refuse(intake, reason, yyjson_obj_get(root, "context"),
                                  collect_door_write_raw(intake->door, SLOT_RAW, root));
        else
            collect_intake_items(intake, collect_segment_event, &head, batch, strict);
    } else if (type == 0 && yyjson_is_arr(root)) {
        collect_intake_items(intake, collect_segment_event, &head, root, strict);
    } else if (yyjson_is_obj(root)) {
        collect_intake_item(intake, collect_segment_event, &head, root, strict, STR(""));
    } else {
        return false;
    }
    return true;
}
