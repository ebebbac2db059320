/* profile_trait.c - traits as the operations that made them.
 *
 * "The latest value wins" is not all that clients say: they add to numbers, fill a trait once,
 * append to lists, take traits away, and their events arrive late. So a summary keeps, for each
 * trait, the operations that can still count, and its value is their replay in the order of
 * (event time, on a tie the LARGER message hash first, so that the smaller one has the last word).
 *
 * What can never count again goes: everything before the latest set or unset of its trait, and
 * before the latest delete of all; of one appended value all but the latest. Bounds: of set-onces
 * the first and the three newest stay (one of these fills the trait when an unset voids the first);
 * the 64 newest increments stay single and older ones become one sum; of appended values the first
 * 100 in byte order stay; of traits the first 512 names. Below the bounds the result is a function
 * of the set of events. Above them it still is, except when a set, an unset or a delete arrives
 * late among set-onces that are gone, increments that are summed (they count as later than it, if
 * the newest of them is), or values and names that were left out (they do not come back).
 *
 * Bytes: docs/format/profile.md. */
#include "profile/profile_int.h"

#include <stdlib.h>

#include "base/check.h"

/* --- order ------------------------------------------------------------------------------------ */

/* Later is greater; on a tie the smaller message hash is later. */
static int moment_compare(const struct trait_op *x, const struct trait_op *y)
{
    if (x->time_us != y->time_us)
        return x->time_us < y->time_us ? -1 : 1;
    return -hash128_compare(x->message, y->message);
}

static int op_compare(const void *left, const void *right)
{
    const struct trait_op *x = left;
    const struct trait_op *y = right;
    int order = str_compare(x->name, y->name);
    if (order == 0)
        order = (int)x->kind - (int)y->kind;
    if (order == 0 && x->kind == TRAIT_APPEND)
        order = str_compare(x->value, y->value);
    if (order == 0)
        order = moment_compare(x, y);
    return order != 0 ? order : str_compare(x->value, y->value);
}

static size_t group_end(const struct trait_ops *ops, size_t from)
{
    size_t to = from;
    while (to < ops->count && str_eq(ops->list[to].name, ops->list[from].name))
        to++;
    return to;
}

static size_t kind_end(const struct trait_op *list, size_t from, size_t to)
{
    size_t end = from;
    while (end < to && list[end].kind == list[from].kind)
        end++;
    return end;
}

void traits_find(const struct trait_ops *ops, struct str name, size_t *ret_from, size_t *ret_to)
{
    size_t low = 0, high = ops->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (str_compare(ops->list[middle].name, name) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    *ret_from = low;
    *ret_to = low;
    while (*ret_to < ops->count && str_eq(ops->list[*ret_to].name, name))
        (*ret_to)++;
}

/* --- numbers ---------------------------------------------------------------------------------- */

struct str trait_micros(int64_t micros, struct arena *arena)
{
    char *bytes = arena_alloc(arena, sizeof micros);
    memcpy(bytes, &micros, sizeof micros);
    return (struct str){bytes, sizeof micros};
}

static int64_t op_micros(const struct trait_op *op)
{
    int64_t micros = 0;
    CHECK(op->value.n == sizeof micros);
    memcpy(&micros, op->value.p, sizeof micros);
    return micros;
}

/* Stops at the ends of the range: no trait gets there by adding. */
static int64_t add_bounded(int64_t x, int64_t y)
{
    int64_t sum = 0;
    if (!__builtin_add_overflow(x, y, &sum))
        return sum;
    return x < 0 ? INT64_MIN : INT64_MAX;
}

/* --- what can still count --------------------------------------------------------------------- */

/* What one kind keeps is written to list[at…]; returns behind it. Sources lie at or after `at`. */
static size_t keep_onces(struct trait_op *list, size_t at, size_t from, size_t to)
{
    list[at++] = list[from];
    size_t newest = to - from > PROFILE_ONCES_MAX ? to - (PROFILE_ONCES_MAX - 1) : from + 1;
    memmove(&list[at], &list[newest], (to - newest) * sizeof *list);
    return at + (to - newest);
}

static size_t keep_appended(struct trait_op *list, size_t at, size_t from, size_t to)
{
    size_t first = at;
    for (size_t i = from; i < to && at - first < PROFILE_APPENDED_MAX; i++)
        if (i + 1 == to || !str_eq(list[i].value, list[i + 1].value))
            list[at++] = list[i];
    return at;
}

/* Sums, then single increments, in order: list[from..to) becomes at most one sum and 64 single. */
static size_t keep_added(struct trait_op *list, size_t at, size_t from, size_t to,
                         struct arena *arena)
{
    size_t singles = from;
    while (singles < to && list[singles].kind == TRAIT_SUM)
        singles++;
    size_t folded = to - singles > PROFILE_INCREMENTS_MAX ? to - PROFILE_INCREMENTS_MAX : singles;
    if (folded == from) {
        memmove(&list[at], &list[from], (to - from) * sizeof *list);
        return at + (to - from);
    }
    struct trait_op sum = list[from];
    int64_t micros = op_micros(&sum);
    for (size_t i = from + 1; i < folded; i++) {
        micros = add_bounded(micros, op_micros(&list[i]));
        if (moment_compare(&list[i], &sum) > 0)
            sum = list[i];
    }
    sum.kind = TRAIT_SUM;
    sum.value = trait_micros(micros, arena);
    memmove(&list[at + 1], &list[folded], (to - folded) * sizeof *list);
    list[at] = sum;
    return at + 1 + (to - folded);
}

/* Without those that are not later than `base`. */
static size_t drop_void(struct trait_op *list, size_t from, size_t to, const struct trait_op *base)
{
    size_t at = from;
    for (size_t i = from; i < to; i++)
        if (moment_compare(&list[i], base) > 0)
            list[at++] = list[i];
    return at;
}

/* One trait's operations, ordered: keep what counts, from `at` on; returns behind it. */
static size_t keep_trait(struct trait_op *list, size_t at, size_t from, size_t to,
                         struct arena *arena)
{
    if (list[from].kind == TRAIT_SET) {
        size_t sets = kind_end(list, from, to);
        struct trait_op base = list[sets - 1];
        to = drop_void(list, sets, to, &base);
        from = sets;
        list[at++] = base;
    }
    while (from < to) {
        size_t end = kind_end(list, from, to);
        if (list[from].kind == TRAIT_SUM) /* sums and increments go together */
            end = end < to && list[end].kind == TRAIT_ADD ? kind_end(list, end, to) : end;
        if (list[from].kind == TRAIT_ONCE)
            at = keep_onces(list, at, from, end);
        else if (list[from].kind == TRAIT_APPEND)
            at = keep_appended(list, at, from, end);
        else
            at = keep_added(list, at, from, end, arena);
        from = end;
    }
    return at;
}

static size_t op_bytes(const struct trait_op *op)
{
    return 1 + 10 + sizeof op->message + 3 + op->value.n;
}

static size_t group_bytes(const struct trait_op *list, size_t from, size_t to)
{
    size_t bytes = list[from].name.n + 6;
    for (size_t i = from; i < to; i++)
        bytes += op_bytes(&list[i]);
    return bytes;
}

size_t traits_join(const struct trait_ops *a, const struct trait_ops *b, struct arena *arena,
                   struct trait_ops *ret_ops)
{
    struct trait_ops all = {ARENA_ARRAY(arena, struct trait_op, a->count + b->count + 1), 0};
    if (a->count > 0)
        memcpy(all.list, a->list, a->count * sizeof *all.list);
    if (b->count > 0)
        memcpy(all.list + a->count, b->list, b->count * sizeof *all.list);
    all.count = a->count + b->count;
    qsort(all.list, all.count, sizeof *all.list, op_compare);
    size_t from = 0, at = 0, traits = 0, bytes = 0, refused = 0;
    if (all.count > 0 && all.list[0].kind == TRAIT_DELETE) { /* its name is empty: the first */
        from = kind_end(all.list, 0, all.count);
        struct trait_op base = all.list[from - 1];
        all.count = drop_void(all.list, from, all.count, &base);
        all.list[at++] = base;
    }
    while (from < all.count) {
        size_t to = group_end(&all, from);
        size_t end = keep_trait(all.list, at, from, to, arena);
        size_t size = group_bytes(all.list, at, end);
        from = to;
        if (traits == PROFILE_TRAITS_MAX || bytes + size > PROFILE_TRAITS_BYTES_MAX) {
            refused++;
            continue;
        }
        traits++;
        bytes += size;
        at = end;
    }
    *ret_ops = (struct trait_ops){all.list, at};
    return refused;
}

/* --- bytes ------------------------------------------------------------------------------------ */

void traits_encode(const struct trait_ops *ops, struct buf *buf)
{
    for (size_t from = 0; from < ops->count;) {
        size_t to = group_end(ops, from);
        buf_blob(buf, ops->list[from].name);
        buf_varint(buf, to - from);
        for (; from < to; from++) {
            const struct trait_op *op = &ops->list[from];
            buf_char(buf, (char)op->kind);
            buf_varint(buf, ((uint64_t)op->time_us << 1) ^ (uint64_t)(op->time_us >> 63));
            buf_u64(buf, op->message.a);
            buf_u64(buf, op->message.b);
            buf_blob(buf, op->value);
        }
    }
}

static bool op_decode(struct cursor *cursor, struct str name, struct trait_op *op)
{
    uint8_t kind = cursor_u8(cursor);
    uint64_t time = cursor_varint(cursor);
    *op = (struct trait_op){.name = name, .kind = (enum trait_kind)kind};
    op->time_us = (int64_t)((time >> 1) ^ (~(time & 1) + 1));
    op->message.a = cursor_u64(cursor);
    op->message.b = cursor_u64(cursor);
    op->value = cursor_blob(cursor);
    bool number = kind == TRAIT_SUM || kind == TRAIT_ADD;
    return !cursor->bad && kind >= TRAIT_DELETE && kind < TRAIT_END &&
           (kind == TRAIT_DELETE) == (name.n == 0) && (!number || op->value.n == sizeof(int64_t));
}

bool traits_decode(struct str bytes, struct arena *arena, struct trait_ops *ret_ops)
{
    /* The shortest operation has 19 bytes, so this is room for all. */
    struct trait_ops ops = {ARENA_ARRAY(arena, struct trait_op, bytes.n / 19 + 1), 0};
    struct cursor cursor = cursor_of(bytes);
    while (!cursor_at_end(&cursor)) {
        struct str name = cursor_blob(&cursor);
        uint64_t count = cursor_varint(&cursor);
        if (cursor.bad || count == 0 || count > bytes.n)
            return false;
        for (uint64_t i = 0; i < count; i++) {
            struct trait_op *op = &ops.list[ops.count];
            if (!op_decode(&cursor, name, op))
                return false;
            if (ops.count > 0 && op_compare(op - 1, op) > 0)
                return false;
            ops.count++;
        }
    }
    *ret_ops = ops;
    return true;
}
