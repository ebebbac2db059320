/* event.c - the journal form of an event, its writer and its reader.
 *
 * A payload is a run of tagged fields in ascending field number, each at most once (identifiers may
 * repeat). The high bit of a tag says how to step over it without knowing it: set = 8 bytes follow,
 * clear = a varint length and that many bytes. So an older program skips what a newer one added.
 *
 * Writing is on the door's hot path: the room is asked for once, then fields are laid down with
 * plain copies. Reading borrows: the texts of a decoded event point into the payload.
 *
 * Invariant: for known fields there is exactly one byte form of an event. The reader refuses every
 * other one (an empty text, a time of 0, a long varint, a wrong order, an identifier twice), so
 * decode(encode(x)) == x and encode(decode(b)) == b hold, and a damaged payload that still parses
 * is not taken for an event. docs/format/event.md has the drawing; event_fuzz.c checks both. */
#include "event/event.h"

#include "base/check.h"

#define FIXED 0x80u /* 8 bytes follow instead of a length */
enum field {
    FIELD_KIND = 1, /* type, operation: one byte each */
    FIELD_MESSAGE_ID = 2,
    FIELD_NAME = 3,
    FIELD_CHANNEL = 4,
    FIELD_ORIGINAL = FIXED | 5,
    FIELD_SENT = FIXED | 6,
    FIELD_IDENTIFIER = 7, /* type: one byte; then the value */
    FIELD_PROPERTIES = 8,
    FIELD_CONTEXT = 9,
};
#define NUMBER_KNOWN_LAST 9

static const struct {
    const char *name;
    int limit;
} identifiers[IDENTIFIER_END] = {
#define X(name, text, limit, sensors) [IDENTIFIER_##name] = {text, limit},
#include "event/identifier.def"
#undef X
};

const char *identifier_name(enum identifier_type type)
{
    CHECK(type > IDENTIFIER_NONE && type < IDENTIFIER_END);
    return identifiers[type].name;
}

enum identifier_type identifier_type_of(struct str name)
{
    for (int type = IDENTIFIER_NONE + 1; type < IDENTIFIER_END; type++)
        if (str_is(name, identifiers[type].name))
            return (enum identifier_type)type;
    return IDENTIFIER_NONE;
}

int identifier_limit(enum identifier_type type)
{
    CHECK(type > IDENTIFIER_NONE && type < IDENTIFIER_END);
    return identifiers[type].limit;
}

const char *event_type_name(enum event_type type)
{
    static const char *const names[EVENT_TYPE_END] = {
        [EVENT_TRACK] = "track",   [EVENT_IDENTIFY] = "identify", [EVENT_PAGE] = "page",
        [EVENT_SCREEN] = "screen", [EVENT_GROUP] = "group",       [EVENT_ALIAS] = "alias",
        [EVENT_BIND] = "bind",     [EVENT_UNBIND] = "unbind",     [EVENT_PROFILE] = "profile"};
    CHECK(type > 0 && type < EVENT_TYPE_END);
    return names[type];
}

const char *event_reason_name(enum event_reason reason)
{
    static const char *const names[REASON_END] = {
        [REASON_NONE] = "none",
#define X(name, text) [REASON_##name] = text,
#include "event/reason.def"
#undef X
    };
    CHECK(reason >= REASON_NONE && reason < REASON_END);
    return names[reason];
}

/* --- identifiers ------------------------------------------------------------------------------ */

static bool identifier_may_enter(const struct event *event, enum identifier_type type,
                                 struct str value)
{
    return type > IDENTIFIER_NONE && type < IDENTIFIER_END && value.n > 0 &&
           value.n <= LIMIT_IDENTIFIER_BYTES && event->identifiers_count < LIMIT_EVENT_IDENTIFIERS;
}

static bool identifier_present(const struct event *event, enum identifier_type type,
                               struct str value)
{
    for (size_t i = 0; i < event->identifiers_count; i++)
        if (event->identifiers[i].type == type && str_eq(event->identifiers[i].value, value))
            return true;
    return false;
}

bool event_add_identifier(struct event *event, enum identifier_type type, struct str value)
{
    if (identifier_present(event, type, value))
        return true;
    if (!identifier_may_enter(event, type, value))
        return false;
    event->identifiers[event->identifiers_count++] = (struct event_identifier){type, value};
    return true;
}

/* --- writing ---------------------------------------------------------------------------------- */

#define FIELD_OVERHEAD 12 /* tag, longest varint, identifier type */

static char *put_length(char *to, size_t n)
{
    while (n >= 0x80) {
        *to++ = (char)(n | 0x80);
        n >>= 7;
    }
    *to++ = (char)n;
    return to;
}

static char *put_text(char *to, enum field field, struct str text)
{
    if (text.n == 0)
        return to;
    *to++ = (char)field;
    to = put_length(to, text.n);
    memcpy(to, text.p, text.n);
    return to + text.n;
}

static char *put_time(char *to, enum field field, int64_t us)
{
    if (us == 0)
        return to;
    *to++ = (char)field;
    memcpy(to, &us, sizeof us);
    return to + sizeof us;
}

static char *put_identifier(char *to, const struct event_identifier *identifier)
{
    *to++ = FIELD_IDENTIFIER;
    to = put_length(to, identifier->value.n + 1);
    *to++ = (char)identifier->type;
    memcpy(to, identifier->value.p, identifier->value.n);
    return to + identifier->value.n;
}

/* More than the payload can take; the difference is given back. */
static size_t encoded_bytes_max(const struct event *event)
{
    size_t n = 8 * FIELD_OVERHEAD + event->message_id.n + event->name.n + event->channel.n +
               event->properties.n + event->context.n;
    for (size_t i = 0; i < event->identifiers_count; i++)
        n += FIELD_OVERHEAD + event->identifiers[i].value.n;
    return n;
}

void event_encode(const struct event *event, struct buf *buf)
{
    CHECK(event->type > 0 && event->type < EVENT_TYPE_END);
    CHECK(event->operation >= EVENT_NONE && event->operation < EVENT_OPERATION_END);
    CHECK(event->message_id.n > 0 && event->identifiers_count <= LIMIT_EVENT_IDENTIFIERS);
    char *start = buf_room(buf, encoded_bytes_max(event));
    if (start == NULL)
        return;
    char *to = start;
    *to++ = FIELD_KIND;
    *to++ = 2;
    *to++ = (char)event->type;
    *to++ = (char)(event->type == EVENT_IDENTIFY ? EVENT_SET : event->operation);
    to = put_text(to, FIELD_MESSAGE_ID, event->message_id);
    to = put_text(to, FIELD_NAME, event->name);
    to = put_text(to, FIELD_CHANNEL, event->channel);
    to = put_time(to, FIELD_ORIGINAL, event->original_us);
    to = put_time(to, FIELD_SENT, event->sent_us);
    for (size_t i = 0; i < event->identifiers_count; i++) {
        CHECK(event->identifiers[i].value.n > 0);
        to = put_identifier(to, &event->identifiers[i]);
    }
    to = put_text(to, FIELD_PROPERTIES, event->properties);
    to = put_text(to, FIELD_CONTEXT, event->context);
    *to = '\0';
    buf->n += (size_t)(to - start);
}

/* --- reading ---------------------------------------------------------------------------------- */

static bool take_kind(struct event *event, struct str bytes)
{
    if (bytes.n != 2)
        return false;
    unsigned char type = (unsigned char)bytes.p[0], operation = (unsigned char)bytes.p[1];
    event->type = (enum event_type)type;
    event->operation = (enum event_operation)operation;
    return type > 0 && type < EVENT_TYPE_END && operation < EVENT_OPERATION_END &&
           (type != EVENT_IDENTIFY || operation == EVENT_SET);
}

static bool take_text(struct str *field, struct str bytes)
{
    *field = bytes;
    return bytes.n > 0;
}

static bool take_time(int64_t *field, struct str bytes)
{
    memcpy(field, bytes.p, sizeof *field);
    return *field != 0;
}

static bool take_identifier(struct event *event, struct str bytes)
{
    if (bytes.n < 1)
        return false;
    enum identifier_type type = (enum identifier_type)(unsigned char)bytes.p[0];
    struct str value = {bytes.p + 1, bytes.n - 1};
    if (!identifier_may_enter(event, type, value) || identifier_present(event, type, value))
        return false;
    event->identifiers[event->identifiers_count++] = (struct event_identifier){type, value};
    return true;
}

/* False when the field cannot have been written by event_encode. */
static bool take_field(struct event *event, unsigned tag, struct str bytes)
{
    switch (tag) {
    case FIELD_KIND:
        return take_kind(event, bytes);
    case FIELD_MESSAGE_ID:
        return take_text(&event->message_id, bytes);
    case FIELD_NAME:
        return take_text(&event->name, bytes);
    case FIELD_CHANNEL:
        return take_text(&event->channel, bytes);
    case FIELD_ORIGINAL:
        return take_time(&event->original_us, bytes);
    case FIELD_SENT:
        return take_time(&event->sent_us, bytes);
    case FIELD_IDENTIFIER:
        return take_identifier(event, bytes);
    case FIELD_PROPERTIES:
        return take_text(&event->properties, bytes);
    case FIELD_CONTEXT:
        return take_text(&event->context, bytes);
    default:
        return (tag & ~FIXED) > NUMBER_KNOWN_LAST;
    }
}

#define LENGTH_BYTES_MAX 5 /* no payload reaches 32 GiB, so no length takes more 7-bit groups */

/* A length in the shortest form; a longer one is nothing that put_length writes. */
static size_t take_length(struct cursor *cursor)
{
    const unsigned char *start = cursor->p;
    uint64_t n = cursor_varint(cursor);
    if (cursor->p - start > LENGTH_BYTES_MAX || (cursor->p - start > 1 && cursor->p[-1] == 0))
        cursor->bad = true;
    if (n > (uint64_t)(cursor->end - cursor->p))
        cursor->bad = true;
    return cursor->bad ? 0 : (size_t)n;
}

static bool take_fields(struct cursor *cursor, struct event *event)
{
    unsigned last = 0;
    while (!cursor_at_end(cursor)) {
        unsigned tag = cursor_u8(cursor), number = tag & ~FIXED;
        size_t n = (tag & FIXED) != 0 ? 8 : take_length(cursor);
        struct str bytes = cursor_bytes(cursor, n);
        bool repeats = number == last && (tag == FIELD_IDENTIFIER || number > NUMBER_KNOWN_LAST);
        if (cursor->bad || (number <= last && !repeats) || !take_field(event, tag, bytes))
            return false;
        last = number;
    }
    return event->type != 0 && event->message_id.n > 0;
}

enum status event_decode(struct str payload, struct event *ret_event, struct err *err)
{
    struct cursor cursor = cursor_of(payload);
    struct event event __attribute__((uninitialized)); /* most of it is room for identifiers */
    event_clear(&event);
    if (!take_fields(&cursor, &event))
        return err_set(err, ST_CORRUPT, "could not read an event: byte %zu of its %zu is wrong",
                       payload.n - (size_t)(cursor.end - cursor.p), payload.n);
    const size_t behind = offsetof(struct event, identifiers_count);
    memcpy(ret_event, &event,
           offsetof(struct event, identifiers) +
               event.identifiers_count * sizeof event.identifiers[0]);
    memcpy((char *)ret_event + behind, (char *)&event + behind, sizeof event - behind);
    return ST_OK;
}

/* --- the two other payloads ------------------------------------------------------------------- */

void quarantine_encode(const struct quarantine *quarantine, struct buf *buf)
{
    CHECK(quarantine->reason > REASON_NONE && quarantine->reason < REASON_END);
    buf_u16(buf, (uint16_t)quarantine->reason);
    buf_blob(buf, quarantine->path);
    buf_blob(buf, quarantine->raw);
}

static struct str take_blob(struct cursor *cursor)
{
    return cursor_bytes(cursor, take_length(cursor));
}

enum status quarantine_decode(struct str payload, struct quarantine *ret_quarantine,
                              struct err *err)
{
    struct cursor cursor = cursor_of(payload);
    unsigned reason = cursor_u16(&cursor);
    struct str path = take_blob(&cursor);
    struct str raw = take_blob(&cursor);
    if (cursor.bad || !cursor_at_end(&cursor) || reason == REASON_NONE || reason >= REASON_END)
        return err_set(err, ST_CORRUPT, "could not read a quarantine record of %zu bytes",
                       payload.n);
    *ret_quarantine = (struct quarantine){(enum event_reason)reason, path, raw};
    return ST_OK;
}

void erasure_encode(const struct erasure *erasure, struct buf *buf)
{
    buf_u64(buf, erasure->ledger_id);
    buf_varint(buf, erasure->hashes_count);
    buf_put(buf, erasure->hashes, erasure->hashes_count * sizeof *erasure->hashes);
}

enum status erasure_decode(struct str payload, struct arena *arena, struct erasure *ret_erasure,
                           struct err *err)
{
    struct cursor cursor = cursor_of(payload);
    uint64_t ledger_id = cursor_u64(&cursor);
    size_t count = take_length(&cursor);
    size_t left = (size_t)(cursor.end - cursor.p);
    if (cursor.bad || left % sizeof(struct hash128) != 0 || left / sizeof(struct hash128) != count)
        return err_set(err, ST_CORRUPT, "could not read an erase record of %zu bytes", payload.n);
    struct hash128 *hashes = ARENA_ARRAY(arena, struct hash128, count);
    if (left > 0)
        memcpy(hashes, cursor.p, left);
    *ret_erasure = (struct erasure){ledger_id, hashes, count};
    return ST_OK;
}
