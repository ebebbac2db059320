/* door.c - the memory and the JSON of one request at a time.
 *
 * A door is borrowed for one request and used again: parser pool, writer slots and arena stay warm,
 * so that an event costs no malloc.
 *
 * A whole body is parsed strictly, once. But one visitor's cut emoji or one deep item must not
 * throw away the 99 other events of a batch, as a 400 would. So a body that strict parsing refuses
 * is read again: lone surrogates are replaced by U+FFFD (JavaScript makes them by cutting a text in
 * the middle of an emoji), bytes that are no UTF-8 and any depth are let through, and then every
 * single item is judged by the strict parser alone. Only a text that is no JSON in any reading is
 * refused whole.
 *
 * Invariant: no value reaches a translator that strict parsing has not passed. */
#include "collect/collect_int.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/when.h"

void collect_door_init(struct door *door, struct rng *rng)
{
    *door = (struct door){.rng = rng};
    json_pool_init(&door->pool);
    json_pool_init(&door->judge);
    arena_init(&door->arena);
    buf_init(&door->payload, COLLECT_FRAMES_MAX);
    buf_init(&door->body, LIMIT_INFLATED_BYTES);
    buf_init(&door->fields, COLLECT_FRAMES_MAX);
    buf_init(&door->scratch, COLLECT_FRAMES_MAX);
    buf_init(&door->context, COLLECT_FRAMES_MAX);
}

static void forget_documents(struct door *door)
{
    yyjson_doc_free(door->loose);
    yyjson_doc_free(door->merged);
    door->loose = NULL;
    door->merged = NULL;
}

void collect_door_done(struct door *door)
{
    forget_documents(door);
    json_pool_done(&door->pool);
    json_pool_done(&door->judge);
    arena_done(&door->arena);
    buf_done(&door->payload);
    buf_done(&door->body);
    buf_done(&door->fields);
    buf_done(&door->scratch);
    buf_done(&door->context);
    for (int i = 0; i < SLOT_COUNT; i++)
        free(door->slots[i].p);
}

static void buf_shrink(struct buf *buf)
{
    size_t max = buf->max;
    if (buf->capacity > COLLECT_POOL_KEPT) {
        buf_done(buf);
        buf_init(buf, max);
    }
    buf_reset(buf);
}

static void pool_shrink(struct json_pool *pool)
{
    if (pool->size > COLLECT_POOL_KEPT)
        json_pool_done(pool);
}

void collect_door_reset(struct door *door)
{
    forget_documents(door);
    pool_shrink(&door->pool);
    pool_shrink(&door->judge);
    arena_reset(&door->arena);
    buf_shrink(&door->payload);
    buf_shrink(&door->body);
    buf_shrink(&door->fields);
    buf_shrink(&door->scratch);
    buf_shrink(&door->context);
    for (int i = 0; i < SLOT_COUNT; i++) {
        if (door->slots[i].capacity > COLLECT_POOL_KEPT) {
            free(door->slots[i].p);
            door->slots[i] = (struct text_slot){0};
        }
    }
}

/* --- writing ---------------------------------------------------------------------------------- */

static void *slot_grow(void *ctx, void *old, size_t old_size, size_t size)
{
    (void)old, (void)old_size; /* a slot holds one text, and yyjson grows the one it is writing */
    struct text_slot *slot = ctx;
    if (slot->capacity < size) {
        slot->p = mem_grow(slot->p, size);
        slot->capacity = size;
    }
    return slot->p;
}

static void *slot_take(void *ctx, size_t size)
{
    return slot_grow(ctx, NULL, 0, size);
}

static void slot_keep(void *ctx, void *p)
{
    (void)ctx, (void)p;
}

static struct str write_value(struct text_slot *slot, yyjson_write_flag flags, yyjson_val *value)
{
    const yyjson_alc alc = {slot_take, slot_grow, slot_keep, slot};
    size_t n = 0;
    const char *text = yyjson_val_write_opts(value, flags, &alc, &n, NULL);
    return text == NULL ? (struct str){"", 0} : (struct str){text, n};
}

struct str collect_door_write(struct door *door, enum slot slot, yyjson_val *value)
{
    return write_value(&door->slots[slot], YYJSON_WRITE_NOFLAG, value);
}

struct str collect_door_write_raw(struct door *door, enum slot slot, yyjson_val *value)
{
    return write_value(&door->slots[slot], YYJSON_WRITE_ALLOW_INVALID_UNICODE, value);
}

struct str collect_door_text(struct door *door, yyjson_val *value)
{
    if (!yyjson_is_num(value))
        return json_str(value);
    if (yyjson_is_int(value)) {
        char *digits = arena_alloc(&door->arena, 24);
        int n = yyjson_is_uint(value) ? snprintf(digits, 24, "%" PRIu64, yyjson_get_uint(value))
                                      : snprintf(digits, 24, "%" PRId64, yyjson_get_sint(value));
        return (struct str){digits, (size_t)n};
    }
    struct text_slot slot = {0};
    struct str text = arena_copy(&door->arena, write_value(&slot, YYJSON_WRITE_NOFLAG, value));
    free(slot.p);
    return text;
}

/* --- reading ---------------------------------------------------------------------------------- */

/* 4 hexadecimal digits at `p`, or -1. */
static int hex4(const char *p, const char *end)
{
    int value = 0;
    if (end - p < 4)
        return -1;
    for (int i = 0; i < 4; i++) {
        char c = p[i];
        int digit = c >= '0' && c <= '9'   ? c - '0'
                    : c >= 'a' && c <= 'f' ? c - 'a' + 10
                    : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                           : -1;
        if (digit < 0)
            return -1;
        value = value * 16 + digit;
    }
    return value;
}

/* The bytes of the escape at `p`, which is a backslash: *ret_lone when it is half a pair. */
static size_t escape_bytes(const char *p, const char *end, bool *ret_lone)
{
    *ret_lone = false;
    int first = end - p >= 2 && p[1] == 'u' ? hex4(p + 2, end) : -1;
    if (first < 0)
        return end - p >= 2 ? 2 : 1;
    if (first < 0xd800 || first > 0xdfff)
        return 6;
    bool low_follows = end - p >= 8 && p[6] == '\\' && p[7] == 'u';
    int second = low_follows ? hex4(p + 8, end) : -1;
    if (first <= 0xdbff && second >= 0xdc00 && second <= 0xdfff)
        return 12;
    *ret_lone = true;
    return 6;
}

/* `text` with each lone surrogate escape replaced; true when there was one. */
static bool surrogates_replaced(struct str text, struct buf *ret)
{
    const char *end = text.p + text.n, *from = text.p, *p = text.p;
    bool any = false;
    while (p < end && (p = memchr(p, '\\', (size_t)(end - p))) != NULL) {
        bool lone;
        size_t n = escape_bytes(p, end, &lone);
        if (lone) {
            buf_put(ret, from, (size_t)(p - from));
            buf_text(ret, "\\ufffd");
            from = p + n;
            any = true;
        }
        p += n;
    }
    buf_put(ret, from, (size_t)(end - from));
    return any && !ret->overflow;
}

enum status collect_door_parse(struct door *door, struct str text, yyjson_val **ret_root,
                               bool *ret_strict, struct err *err)
{
    yyjson_doc *doc = NULL;
    enum status status = json_parse(&door->pool, text, &doc, err);
    if (status == ST_INVALID && text.n > 0) {
        buf_reset(&door->scratch);
        if (surrogates_replaced(text, &door->scratch)) {
            text = arena_copy(&door->arena, buf_view(&door->scratch));
            status = json_parse(&door->pool, text, &doc, err);
        }
    }
    *ret_strict = status == ST_OK;
    if (status != ST_OK && text.n > 0) {
        yyjson_doc_free(door->loose);
        doc = door->loose = yyjson_read_opts((char *)(uintptr_t)text.p, text.n,
                                             YYJSON_READ_ALLOW_INVALID_UNICODE, NULL, NULL);
    }
    if (doc == NULL)
        return status == ST_OK ? ST_INVALID : status; /* the strict parser has said why */
    *ret_root = yyjson_doc_get_root(doc);
    return ST_OK;
}

enum event_reason collect_door_judge(struct door *door, yyjson_val *item, yyjson_val **ret_item)
{
    struct str text = collect_door_write_raw(door, SLOT_RAW, item);
    yyjson_doc *doc;
    switch (json_parse(&door->judge, text, &doc, NULL)) {
    case ST_OK:
        *ret_item = yyjson_doc_get_root(doc);
        return REASON_NONE;
    case ST_TOO_LARGE:
        return REASON_TOO_DEEP;
    default:
        return REASON_BAD_UTF8;
    }
}

/* --- what every protocol has ------------------------------------------------------------------ */

bool collect_time(struct door *door, yyjson_val *value, int64_t *ret_us)
{
    *ret_us = 0;
    if (value == NULL || yyjson_is_null(value))
        return true;
    struct str text = collect_door_text(door, value);
    return text.n > 0 && when_parse(text, 0, ret_us);
}

bool collect_object(struct door *door, enum slot slot, yyjson_val *value, struct str *ret_text)
{
    *ret_text = (struct str){"", 0};
    if (value == NULL || yyjson_is_null(value))
        return true;
    if (!yyjson_is_obj(value))
        return false;
    if (yyjson_obj_size(value) > 0)
        *ret_text = collect_door_write(door, slot, value);
    return true;
}

struct str collect_with_member(struct buf *out, const char *name, struct str value,
                               struct str object)
{
    buf_reset(out);
    buf_char(out, '{');
    json_put_member_str(out, name, value);
    if (object.n > 2) {
        buf_char(out, ',');
        buf_put(out, object.p + 1, object.n - 1);
    } else {
        buf_char(out, '}');
    }
    return buf_view(out);
}
