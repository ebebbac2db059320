/* sensors.c - 神策 (Sensors Data) records to our envelope.
 *
 * A transmission is base64 of JSON, perhaps gzipped before: one record or an array of them.
 * Everything that cannot be taken goes into quarantine and is answered 200, because the web SDK
 * sends again what a 4xx refuses, for ever (docs/api/openapi.yaml).
 *
 *   who      identities by the table below. distinct_id is the user's where login_id, $is_login_id
 * or $identity_login_id say so, else the anonymous one. Server SDKs of identity version 3 write
 *            "key+value" of an identity into distinct_id: that is no identifier of its own.
 *   sign-up  track_signup binds original_id and login. Old SDKs mark no event as the user's, so
 * there the login is bound as an anonymous id too: 神策's server looks it up in both roles. unbind
 * the identities alone: the first leaves the others; one alone leaves any other. time     `time` is
 * the event's, `_flush_time` the moment of sending. id       there is none: the hash of the record
 * without _flush_time, which is all that a retry changes. kept     properties as they are, $-names
 * too. The library, the campaign and identities of a kind we do not know stand in the context.
 *
 * item_* and detail_* are about things, not about people: quarantined as unknown until the
 * catalogue takes them. */
#include "collect/collect_int.h"

#include <stdlib.h>

#include "net/inflate.h"

static const struct {
    const char *name;
    enum event_type type;
    enum event_operation operation;
} types[] = {
    {"track", EVENT_TRACK, EVENT_NONE},
    {"track_signup", EVENT_BIND, EVENT_NONE},
    {"track_id_bind", EVENT_BIND, EVENT_NONE},
    {"track_id_unbind", EVENT_UNBIND, EVENT_NONE},
    {"profile_set", EVENT_PROFILE, EVENT_SET},
    {"profile_set_once", EVENT_PROFILE, EVENT_SET_ONCE},
    {"profile_append", EVENT_PROFILE, EVENT_APPEND},
    {"profile_increment", EVENT_PROFILE, EVENT_INCREMENT},
    {"profile_unset", EVENT_PROFILE, EVENT_UNSET},
    {"profile_delete", EVENT_PROFILE, EVENT_DELETE},
};

/* Identity keys that are not in identifier.def, which has one for each type. */
static const struct {
    const char *name;
    enum identifier_type type;
} more_identities[] = {
    {"$identity_cookie_id", IDENTIFIER_ANONYMOUS_ID},
    {"$identity_mp_id", IDENTIFIER_ANONYMOUS_ID},
    {"$identity_idfv", IDENTIFIER_DEVICE_ID},
    {"$identity_idfa", IDENTIFIER_DEVICE_ID},
    {"$identity_android_uuid", IDENTIFIER_DEVICE_ID},
    {"$identity_oaid", IDENTIFIER_DEVICE_ID},
    {"mobile", IDENTIFIER_PHONE},
};

static enum identifier_type identity_type_of(struct str name)
{
#define X(suffix, text, limit, sensors)                                                            \
    if (str_is(name, sensors))                                                                     \
        return IDENTIFIER_##suffix;
#include "event/identifier.def"
#undef X
    for (size_t i = 0; i < sizeof more_identities / sizeof *more_identities; i++)
        if (str_is(name, more_identities[i].name))
            return more_identities[i].type;
    /* The mini-program's key carries its app id: $identity_mp_wx123_openid. */
    const struct str start = STR("$identity_mp_"), end = STR("_openid");
    if (str_starts(name, start) && name.n > start.n + end.n &&
        memcmp(name.p + name.n - end.n, end.p, end.n) == 0)
        return IDENTIFIER_OPENID;
    return identifier_type_of(name);
}

/* --- who -------------------------------------------------------------------------------------- */

/* True when `text` is "key+value" of one of the identities. */
static bool composed(struct door *door, yyjson_val *identities, struct str text)
{
    size_t i, n;
    yyjson_val *key, *value;
    if (!yyjson_is_obj(identities) || memchr(text.p, '+', text.n) == NULL)
        return false;
    yyjson_obj_foreach(identities, i, n, key, value)
    {
        struct str name = json_str(key), id = collect_door_text(door, value);
        if (text.n == name.n + 1 + id.n && str_starts(text, name) && text.p[name.n] == '+' &&
            memcmp(text.p + name.n + 1, id.p, id.n) == 0)
            return true;
    }
    return false;
}

/* Adds the known ones; true when there is a login among them. Unknown ones go to `unknown`. */
static bool identities_take(struct door *door, yyjson_val *identities, struct event *event,
                            struct buf *unknown)
{
    size_t i, n;
    yyjson_val *key, *value;
    bool login = false;
    if (!yyjson_is_obj(identities))
        return false;
    yyjson_obj_foreach(identities, i, n, key, value)
    {
        enum identifier_type type = identity_type_of(json_str(key));
        struct str text = collect_door_text(door, value);
        if (type != IDENTIFIER_NONE) {
            event_add_identifier(event, type, text);
            login = login || type == IDENTIFIER_USER_ID;
        } else if (text.n > 0) {
            json_put_comma(unknown);
            json_put_str(unknown, json_str(key));
            buf_char(unknown, ':');
            json_put_str(unknown, text);
        }
    }
    return login;
}

static void add(struct door *door, yyjson_val *identities, struct event *event,
                enum identifier_type type, yyjson_val *value)
{
    struct str text = collect_door_text(door, value);
    if (text.n > 0 && !composed(door, identities, text))
        event_add_identifier(event, type, text);
}

static void who_take(struct door *door, yyjson_val *item, bool signup, struct event *event,
                     struct buf *unknown)
{
    yyjson_val *identities = yyjson_obj_get(item, "identities");
    yyjson_val *distinct = yyjson_obj_get(item, "distinct_id");
    yyjson_val *login = yyjson_obj_get(item, "login_id");
    bool logged_in = identities_take(door, identities, event, unknown);
    if (event->type == EVENT_UNBIND && event->identifiers_count > 0)
        return;
    yyjson_val *marked = yyjson_obj_get(yyjson_obj_get(item, "properties"), "$is_login_id");
    logged_in = logged_in || login != NULL || signup || yyjson_is_true(marked);
    if (signup && login == NULL && !yyjson_is_obj(identities))
        add(door, identities, event, IDENTIFIER_ANONYMOUS_ID, distinct);
    add(door, identities, event, IDENTIFIER_USER_ID, login);
    add(door, identities, event, logged_in ? IDENTIFIER_USER_ID : IDENTIFIER_ANONYMOUS_ID,
        distinct);
    add(door, identities, event, IDENTIFIER_ANONYMOUS_ID, yyjson_obj_get(item, "anonymous_id"));
    if (signup)
        add(door, identities, event, IDENTIFIER_ANONYMOUS_ID, yyjson_obj_get(item, "original_id"));
}

/* --- context ---------------------------------------------------------------------------------- */

static struct str channel_of(struct str lib)
{
    static const struct {
        const char *lib, *channel;
    } channels[] = {{"js", "web"},
                    {"Android", "app"},
                    {"iOS", "app"},
                    {"HarmonyOS", "app"},
                    {"MiniProgram", "miniprogram"}};
    for (size_t i = 0; i < sizeof channels / sizeof *channels; i++)
        if (str_is(lib, channels[i].lib))
            return str_of(channels[i].channel);
    return STR("");
}

static void put_member(struct buf *out, const char *name, struct str value)
{
    if (value.n > 0)
        json_put_member_str(out, name, value);
}

/* An object that got no member is taken back, with its name. */
static void object_end(struct buf *out, size_t before)
{
    if (out->n > 0 && out->p[out->n - 1] == '{')
        out->n = before;
    else
        buf_char(out, '}');
}

/* Library, campaign and the identities of unknown kinds, in the words of the envelope's context. */
static struct str context_make(struct door *door, yyjson_val *item, struct str unknown)
{
    static const char *const names[][2] = {{"name", "$utm_campaign"},
                                           {"source", "$utm_source"},
                                           {"medium", "$utm_medium"},
                                           {"term", "$utm_term"},
                                           {"content", "$utm_content"}};
    yyjson_val *lib = yyjson_obj_get(item, "lib"), *properties = yyjson_obj_get(item, "properties");
    struct buf *out = &door->scratch;
    buf_reset(out);
    buf_char(out, '{');
    size_t before = out->n;
    buf_text(out, "\"library\":{");
    put_member(out, "name", json_member_str(lib, "$lib"));
    put_member(out, "version", json_member_str(lib, "$lib_version"));
    object_end(out, before);
    before = out->n;
    json_put_name(out, "campaign");
    buf_char(out, '{');
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        put_member(out, names[i][0], json_member_str(properties, names[i][1]));
    object_end(out, before);
    if (unknown.n > 2)
        json_put_member_raw(out, "identities", unknown);
    buf_char(out, '}');
    return out->n > 2 ? buf_view(out) : STR("");
}

/* --- the record ------------------------------------------------------------------------------- */

/* Hex of the hash of the record without _flush_time. */
static struct str message_id_make(struct door *door, yyjson_val *item)
{
    struct buf *out = &door->payload;
    size_t i, n;
    yyjson_val *key, *value;
    buf_reset(out);
    buf_char(out, '{');
    yyjson_obj_foreach(item, i, n, key, value)
    {
        if (yyjson_equals_str(key, "_flush_time"))
            continue;
        json_put_comma(out);
        json_put_str(out, json_str(key));
        buf_char(out, ':');
        buf_str(out, collect_door_write(door, SLOT_RAW, value));
    }
    buf_char(out, '}');
    struct hash128 hash = hash_public(buf_view(out));
    char *text = arena_alloc(&door->arena, 33);
    static const char hex[] = "0123456789abcdef";
    for (int digit = 0; digit < 32; digit++) {
        uint64_t half = digit < 16 ? hash.a : hash.b;
        text[digit] = hex[half >> (60 - 4 * (digit % 16)) & 15];
    }
    return (struct str){text, 32};
}

static enum event_reason type_take(struct str name, struct event *event)
{
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        if (str_is(name, types[i].name)) {
            event->type = types[i].type;
            event->operation = types[i].operation;
            return REASON_NONE;
        }
    }
    return REASON_UNKNOWN_TYPE;
}

enum event_reason collect_sensors_event(struct door *door, const struct batch_head *head,
                                        yyjson_val *item, struct translated *ret)
{
    (void)head; /* a 神策 batch says nothing for all */
    struct event *event = &ret->event;
    struct str type = json_member_str(item, "type");

    event->message_id = message_id_make(door, item);
    if (type_take(type, event) != REASON_NONE)
        return REASON_UNKNOWN_TYPE;
    if (!collect_object(door, SLOT_PROPERTIES, yyjson_obj_get(item, "properties"),
                        &event->properties))
        return REASON_BAD_PROPERTIES;
    if (event->type != EVENT_PROFILE)
        event->name = json_member_str(item, "event");
    if (event->type == EVENT_TRACK && event->name.n == 0)
        return REASON_NO_NAME;
    if (!collect_time(door, yyjson_obj_get(item, "time"), &event->original_us))
        return REASON_BAD_TIME;
    if (!collect_time(door, yyjson_obj_get(item, "_flush_time"), &event->sent_us))
        event->sent_us = 0;
    struct buf *unknown = &door->fields;
    buf_reset(unknown);
    buf_char(unknown, '{');
    who_take(door, item, str_is(type, "track_signup"), event, unknown);
    buf_char(unknown, '}');
    event->context = context_make(door, item, buf_view(unknown));
    event->channel = channel_of(json_member_str(yyjson_obj_get(item, "lib"), "$lib"));
    ret->by_visitor = event->channel.n > 0;
    return event->identifiers_count == 0 ? REASON_NO_IDENTIFIER : REASON_NONE;
}

/* --- the transmission ------------------------------------------------------------------------- */

static bool refused(struct sensors_opened *ret, enum event_reason reason, struct str raw)
{
    ret->root = NULL;
    ret->reason = reason;
    ret->raw = raw;
    return false;
}

bool collect_sensors_open(struct door *door, const struct sensors_form *form,
                          struct sensors_opened *ret)
{
    struct err err;
    struct str bytes = form->data;
    *ret = (struct sensors_opened){0};
    if (form->crc.n > 0) {
        char digits[16] = {0};
        memcpy(digits, form->crc.p, form->crc.n < 15 ? form->crc.n : 15);
        ret->crc_mismatch = strtol(digits, NULL, 10) != collect_java_hash(form->data);
    }
    if (str_is(form->gzip, "9"))
        return refused(ret, REASON_ENCRYPTED, form->data);
    struct str plain = str_trim(bytes);
    bool is_json = plain.n > 0 && (plain.p[0] == '{' || plain.p[0] == '[');
    if (!is_json && !collect_base64(bytes, &door->arena, &bytes))
        return refused(ret, REASON_BAD_ENCODING, form->data);
    if (inflate_is_gzip(bytes)) {
        buf_reset(&door->body);
        enum status status = inflate_gzip(bytes, &door->body, &err);
        if (status != ST_OK)
            return refused(ret, status == ST_TOO_LARGE ? REASON_TOO_LARGE : REASON_BAD_ENCODING,
                           form->data);
        bytes = buf_view(&door->body);
    }
    if (collect_door_parse(door, bytes, &ret->root, &ret->strict, &err) != ST_OK)
        return refused(ret, REASON_NOT_JSON, bytes);
    return true;
}

void collect_sensors_take(struct intake *intake, const struct sensors_opened *opened)
{
    static const struct batch_head head = {0};
    intake->crc_mismatches += opened->crc_mismatch;
    if (opened->root == NULL)
        collect_intake_refuse(intake, opened->reason, NULL, opened->raw);
    else if (yyjson_is_arr(opened->root))
        collect_intake_items(intake, collect_sensors_event, &head, opened->root, opened->strict);
    else
        collect_intake_item(intake, collect_sensors_event, &head, opened->root, opened->strict,
                            STR(""));
}
