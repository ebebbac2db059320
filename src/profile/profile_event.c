/* profile_event.c - what an event says about traits.
 *
 * identify and profile events change traits by their properties; a group event names the group, and
 * what the group is like is not said of the person. Traits in the context of other events are not
 * folded: clients repeat there, with every event, what they have said in an identify before, and an
 * old cached copy would win by its newer time. */
#include "profile/profile_int.h"

#include "base/json.h"

struct taking {
    const struct clean_event *event;
    struct arena *arena;
    struct trait_ops *ops;
    size_t capacity;
    uint64_t *refused;
    struct buf json;
};

static void take(struct taking *taking, struct str name, enum trait_kind kind, struct str value)
{
    struct trait_ops *ops = taking->ops;
    if (ops->count == taking->capacity) {
        taking->capacity = taking->capacity == 0 ? 16 : taking->capacity * 2;
        struct trait_op *list = ARENA_ARRAY(taking->arena, struct trait_op, taking->capacity);
        if (ops->count > 0)
            memcpy(list, ops->list, ops->count * sizeof *list);
        ops->list = list;
    }
    ops->list[ops->count++] =
        (struct trait_op){name, kind, taking->event->time_us, taking->event->message, value};
}

/* JSON null unsets. */
static void take_json(struct taking *taking, struct str name, enum trait_kind kind,
                      yyjson_val *value)
{
    if (yyjson_is_null(value)) {
        if (kind == TRAIT_SET)
            take(taking, name, TRAIT_SET, STR(""));
        return;
    }
    buf_reset(&taking->json);
    json_write(&taking->json, value);
    if (taking->json.overflow) {
        taking->json.overflow = false;
        (*taking->refused)++;
        return;
    }
    take(taking, name, kind, arena_copy(taking->arena, buf_view(&taking->json)));
}

static void take_number(struct taking *taking, struct str name, yyjson_val *value)
{
    int64_t micros = 0;
    buf_reset(&taking->json);
    json_write(&taking->json, value);
    bool number = yyjson_is_num(value) && !taking->json.overflow &&
                  clean_amount_parse(buf_view(&taking->json), &micros);
    taking->json.overflow = false;
    if (number)
        take(taking, name, TRAIT_ADD, trait_micros(micros, taking->arena));
    else
        (*taking->refused)++;
}

static void take_list(struct taking *taking, struct str name, yyjson_val *value)
{
    if (!yyjson_is_arr(value)) {
        take_json(taking, name, TRAIT_APPEND, value);
        return;
    }
    size_t i, count;
    yyjson_val *item;
    yyjson_arr_foreach(value, i, count, item) take_json(taking, name, TRAIT_APPEND, item);
}

static void take_member(struct taking *taking, enum event_operation operation, struct str name,
                        yyjson_val *value)
{
    if (name.n == 0 || name.n > LIMIT_NAME_BYTES) {
        (*taking->refused)++;
        return;
    }
    switch (operation) {
    case EVENT_SET:
        take_json(taking, name, TRAIT_SET, value);
        return;
    case EVENT_SET_ONCE:
        take_json(taking, name, TRAIT_ONCE, value);
        return;
    case EVENT_INCREMENT:
        take_number(taking, name, value);
        return;
    case EVENT_APPEND:
        take_list(taking, name, value);
        return;
    case EVENT_UNSET:
        take(taking, name, TRAIT_SET, STR(""));
        return;
    case EVENT_NONE:
    case EVENT_DELETE:
    case EVENT_OPERATION_END:
        return;
    }
}

static void take_properties(struct taking *taking, enum event_operation operation)
{
    size_t i, count;
    yyjson_val *name, *value;
    yyjson_obj_foreach(taking->event->properties, i, count, name, value)
        take_member(taking, operation, arena_copy(taking->arena, json_str(name)), value);
}

void event_ops(const struct clean_event *event, struct arena *arena, struct trait_ops *ret_ops,
               uint64_t *ret_refused)
{
    *ret_ops = (struct trait_ops){0};
    struct taking taking = {.event = event, .arena = arena, .ops = ret_ops, .refused = ret_refused};
    buf_init(&taking.json, PROFILE_TRAIT_BYTES_MAX);
    if (event->event.type == EVENT_IDENTIFY) {
        take_properties(&taking, EVENT_SET);
    } else if (event->event.type == EVENT_PROFILE) {
        take_properties(&taking, event->event.operation);
        if (event->event.operation == EVENT_DELETE)
            take(&taking, STR(""), TRAIT_DELETE, STR(""));
    } else if (event->event.type == EVENT_GROUP) {
        yyjson_val *group = yyjson_obj_get(event->properties, "groupId");
        if (group != NULL)
            take_json(&taking, STR("group_id"), TRAIT_SET, group);
    }
    buf_done(&taking.json);
}
