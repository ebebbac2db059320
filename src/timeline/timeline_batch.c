/* timeline_batch.c - a page's people at once, only the events that somebody asked for.
 *
 * The codes of a page's piece are searched in one go: a bit for each event, and the list of those
 * that are set. How many are set before a slot's first event says where its part of the list
 * begins, so a person with one visitor costs no search of their own; neighbours of that kind are
 * copied together. The others' parts are gathered (from the list where they lie in this page) and
 * put in order; they are few events each, so that who is before whom is counted and not asked. */
#include "timeline/timeline_cursor_int.h"

#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/check.h"

#define SLACK 8 /* numbers that may be copied beyond an end */
#define DENSE 10
#define AHEAD 8 /* words */
#define FEW 32  /* events of a person that are ordered by counting */

/* Of one cursor. */
struct batch_scratch {
    uint32_t starts_of[PAGE_SLOTS + 1]; /* by slot: where its events begin in `found` */
    uint32_t person[PAGE_SLOTS], starts[PAGE_SLOTS + 1];
    uint32_t people, count;

    uint64_t *marks; /* a bit for each event of the page's piece */
    uint32_t *ranks; /* how many are set before each word */
    uint32_t *found; /* which are set … */
    uint32_t *when;  /* … and their times: read in one go, which memory likes best */
    uint32_t capacity;
    bool dense; /* was the page before: most of the times will be read */

    uint32_t from, to; /* in `found`: of neighbours that wait to be copied */

    uint8_t *begins; /* what is given */
    uint16_t *code, *origin;
    uint32_t *time;
    uint64_t *rows;
    uint32_t room;

    uint64_t *keys, *sorted; /* of one person: time, index in the next two */
    uint32_t *at, *moments, *part;
    uint32_t items_room;
};

void timeline_batch_free(struct batch_scratch *scratch)
{
    if (scratch == NULL)
        return;
    free(scratch->marks);
    free(scratch->ranks);
    free(scratch->found);
    free(scratch->when);
    free(scratch->begins);
    free(scratch->code);
    free(scratch->origin);
    free(scratch->time);
    free(scratch->rows);
    free(scratch->keys);
    free(scratch->sorted);
    free(scratch->at);
    free(scratch->moments);
    free(scratch->part);
    free(scratch);
}

static void found_reserve(struct batch_scratch *scratch, uint32_t count)
{
    if (count + SLACK < scratch->capacity)
        return;
    scratch->capacity = count + count / 2 + 64; /* more than SLACK */
    size_t words = scratch->capacity / 64 + 2;
    scratch->marks = mem_grow(scratch->marks, words * sizeof *scratch->marks);
    scratch->ranks = mem_grow(scratch->ranks, words * sizeof *scratch->ranks);
    scratch->found = mem_grow(scratch->found, scratch->capacity * sizeof *scratch->found);
    scratch->when = mem_grow(scratch->when, scratch->capacity * sizeof *scratch->when);
}

static void room_reserve(struct batch_scratch *scratch, uint64_t count)
{
    if (count <= scratch->room)
        return;
    CHECK(count < UINT32_MAX / 2);
    size_t n = count + count / 2, beyond = READ_BEYOND;
    scratch->room = (uint32_t)n;
    scratch->begins = mem_grow(scratch->begins, n + beyond);
    scratch->code = mem_grow(scratch->code, n * sizeof *scratch->code + beyond);
    scratch->origin = mem_grow(scratch->origin, n * sizeof *scratch->origin + beyond);
    scratch->time = mem_grow(scratch->time, n * sizeof *scratch->time + beyond);
    scratch->rows = mem_grow(scratch->rows, n * sizeof *scratch->rows + beyond);
}

static void items_reserve(struct batch_scratch *scratch, uint64_t count)
{
    if (count <= scratch->items_room)
        return;
    CHECK(count < UINT32_MAX / 2);
    size_t n = count + count / 2;
    scratch->items_room = (uint32_t)n;
    scratch->keys = mem_grow(scratch->keys, n * sizeof *scratch->keys);
    scratch->sorted = mem_grow(scratch->sorted, n * sizeof *scratch->sorted);
    scratch->at = mem_grow(scratch->at, n * sizeof *scratch->at);
    scratch->moments = mem_grow(scratch->moments, n * sizeof *scratch->moments);
    scratch->part = mem_grow(scratch->part, n * sizeof *scratch->part);
}

/* --- the page's own piece --------------------------------------------------------------------- */

/* How many bits are set. The instruction is not every processor's, and the compiler's own way is a
 * call. */
static uint32_t bits_count(uint64_t x)
{
    x -= x >> 1 & UINT64_C(0x5555555555555555);
    x = (x & UINT64_C(0x3333333333333333)) + (x >> 2 & UINT64_C(0x3333333333333333));
    x = (x + (x >> 4)) & UINT64_C(0x0f0f0f0f0f0f0f0f);
    return (uint32_t)(x * UINT64_C(0x0101010101010101) >> 56);
}

static uint32_t rank_of(const struct batch_scratch *scratch, uint32_t i)
{
    return scratch->ranks[i / 64] +
           bits_count(scratch->marks[i / 64] & ((UINT64_C(1) << i % 64) - 1));
}

static void page_search(const struct timeline_cursor *cursor, struct batch_scratch *scratch)
{
    const struct piece *piece = cursor->base;
    scratch->people = scratch->count = scratch->from = scratch->to = 0;
    if (piece == NULL) {
        memset(scratch->starts_of, 0, sizeof scratch->starts_of);
        return;
    }
    uint32_t words = (piece->count + 63) / 64, n = 0;
    found_reserve(scratch, piece->count);
    if (piece->code_bytes == 1)
        code_set_mark_u8(&cursor->scan->set, piece->code, piece->count, scratch->marks);
    else
        code_set_mark_u16(&cursor->scan->set, (const uint16_t *)piece->code, piece->count,
                          scratch->marks);
    for (uint32_t w = 0; w < words; w++) {
        scratch->ranks[w] = n;
        for (uint32_t line = 0; scratch->dense && line < 64; line += 16)
            __builtin_prefetch(piece->time + (size_t)(w + AHEAD) * 64 + line);
        for (uint64_t bits = scratch->marks[w]; bits != 0; bits &= bits - 1)
            scratch->found[n++] = w * 64 + (uint32_t)__builtin_ctzll(bits);
    }
    for (uint32_t i = 0; i < n; i++)
        scratch->when[i] = piece->time[scratch->found[i]];
    scratch->dense = n > piece->count / DENSE;
    scratch->marks[words] = 0;
    scratch->ranks[words] = n;
    for (uint32_t run = 0; run <= piece->runs; run++)
        scratch->starts_of[run] = rank_of(scratch, piece->offsets[run]);
}

/* Those who wait, one after the other as they lie. */
static void waiting_copy(const struct timeline_cursor *cursor, struct batch_scratch *scratch)
{
    uint32_t n = scratch->to - scratch->from, count = scratch->count;
    if (n == 0)
        return;
    room_reserve(scratch, (uint64_t)count + n);
    const struct piece *piece = cursor->base;
    const uint32_t *restrict found = scratch->found + scratch->from;
    memcpy(scratch->time + count, scratch->when + scratch->from, n * sizeof *scratch->time);
    uint16_t *restrict code = scratch->code + count, *restrict origin = scratch->origin + count;
    uint64_t *restrict rows = scratch->rows + count, row = (uint64_t)cursor->page << 32;
    if (piece->code_bytes == 1 && piece->origin_bytes == 1)
        for (uint32_t i = 0; i < n; i++) {
            uint32_t at = found[i];
            code[i] = piece->code[at];
            origin[i] = piece->origin[at];
            rows[i] = row | at;
        }
    else
        for (uint32_t i = 0; i < n; i++) {
            uint32_t at = found[i];
            code[i] = (uint16_t)timeline_piece_code(piece, at);
            origin[i] = (uint16_t)timeline_piece_origin(piece, at);
            rows[i] = row | at;
        }
    scratch->count += n;
    scratch->from = scratch->to;
}

/* All that a person has. */
static void slice_add(const struct timeline_cursor *cursor, struct batch_scratch *scratch,
                      uint32_t person, uint32_t from, uint32_t to)
{
    if (from == to)
        return;
    if (from != scratch->to) {
        waiting_copy(cursor, scratch);
        scratch->from = from;
    }
    scratch->to = to;
    scratch->person[scratch->people] = person;
    scratch->starts[scratch->people++] = scratch->count + (from - scratch->from);
}

/* --- an order for what came from several places --------------------------------------------- */

static int key_order(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

/* By time. No two keys are equal, as their lower halves are numbers. A few find their places by
 * counting who is smaller. */
static void keys_sort(struct batch_scratch *scratch, uint32_t count)
{
    uint64_t *keys = scratch->keys, *sorted = scratch->sorted;
    if (count > FEW) {
        qsort(keys, count, sizeof *keys, key_order);
        return;
    }
    for (uint32_t i = 0; i < count; i++) {
        uint32_t place = 0;
        for (uint32_t j = 0; j < count; j++)
            place += keys[j] < keys[i];
        sorted[place] = keys[i];
    }
    scratch->keys = sorted;
    scratch->sorted = keys;
}

/* Of neighbours of one second, is the second to be first? */
typedef bool is_before(const struct timeline_cursor *cursor, const struct batch_scratch *scratch,
                       uint32_t a, uint32_t b);

/* Those of one second by what is finer; rare. */
static void ties_sort(const struct timeline_cursor *cursor, struct batch_scratch *scratch,
                      uint32_t count, is_before *before)
{
    uint64_t *keys = scratch->keys;
    for (uint32_t i = 1; i < count; i++)
        for (uint32_t j = i; j > 0 && keys[j - 1] >> 32 == keys[j] >> 32 &&
                             before(cursor, scratch, (uint32_t)keys[j], (uint32_t)keys[j - 1]);
             j--) {
            uint64_t key = keys[j];
            keys[j] = keys[j - 1];
            keys[j - 1] = key;
        }
}

/* --- several visitors of this page --------------------------------------------------------------
 */

static bool found_before(const struct timeline_cursor *cursor, const struct batch_scratch *scratch,
                         uint32_t a, uint32_t b)
{
    const uint64_t *place = cursor->base->place;
    return place[scratch->found[a]] < place[scratch->found[b]];
}

/* Keys are times and numbers in `found`. */
static void keys_add(const struct timeline_cursor *cursor, struct batch_scratch *scratch,
                     uint32_t person, uint32_t count)
{
    const struct piece *piece = cursor->base;
    waiting_copy(cursor, scratch);
    room_reserve(scratch, (uint64_t)scratch->count + count);
    scratch->person[scratch->people] = person;
    scratch->starts[scratch->people++] = scratch->count;
    for (uint32_t i = 0, to = scratch->count; i < count; i++, to++) {
        uint32_t at = scratch->found[(uint32_t)scratch->keys[i]];
        scratch->time[to] = (uint32_t)(scratch->keys[i] >> 32);
        scratch->code[to] = (uint16_t)timeline_piece_code(piece, at);
        scratch->origin[to] = (uint16_t)timeline_piece_origin(piece, at);
        scratch->rows[to] = (uint64_t)cursor->page << 32 | at;
    }
    scratch->count += count;
}

/* The person's visitors, when all of them are of this page and none is in the deltas: no part has
 * to be searched. False: some are not. */
static bool near_add(const struct timeline_cursor *cursor, struct batch_scratch *scratch,
                     uint32_t person, uint32_t first)
{
    uint32_t count = 0, from = 0, to = 0, slices = 0;
    if (cursor->base == NULL)
        return false;
    for (uint32_t v = first, slot; v != TIMELINE_NONE; v = cursor->map->next[slot]) {
        slot = v % PAGE_SLOTS;
        if (v / PAGE_SLOTS != cursor->page || cursor->touched[slot] != TIMELINE_NONE)
            return false;
        if (scratch->starts_of[slot] == scratch->starts_of[slot + 1])
            continue;
        from = scratch->starts_of[slot];
        to = scratch->starts_of[slot + 1];
        slices++;
        items_reserve(scratch, (uint64_t)count + to - from);
        for (uint32_t i = from; i < to; i++)
            scratch->keys[count++] = (uint64_t)scratch->when[i] << 32 | i;
    }
    if (slices <= 1) {
        slice_add(cursor, scratch, person, from, to);
        return true;
    }
    keys_sort(scratch, count);
    ties_sort(cursor, scratch, count, found_before);
    keys_add(cursor, scratch, person, count);
    return true;
}

/* --- people with several parts ---------------------------------------------------------------- */

/* Mostly a few: then eight are copied, which needs no call. */
static void numbers_copy(uint32_t *to, const uint32_t *from, uint32_t count)
{
    if (count <= SLACK)
        memcpy(to, from, SLACK * sizeof *to);
    else
        memcpy(to, from, count * sizeof *to);
}

/* The wanted events of a part: where they are in its piece, and when. */
static uint32_t part_search(const struct timeline_cursor *cursor,
                            const struct batch_scratch *scratch, const struct part *part,
                            uint32_t *ret_at, uint32_t *ret_when)
{
    const struct code_set *set = &cursor->scan->set;
    const struct piece *piece = part->piece;
    uint32_t from = part->from, count = part->to - from, n;
    if (part->number == cursor->page) {
        uint32_t first = rank_of(scratch, from);
        n = rank_of(scratch, part->to) - first;
        numbers_copy(ret_at, scratch->found + first, n);
        numbers_copy(ret_when, scratch->when + first, n);
        return n;
    }
    n = (uint32_t)(piece->code_bytes == 1
                       ? code_set_find_u8_beyond(set, piece->code + from, count, ret_at)
                       : code_set_find_u16(set, (const uint16_t *)piece->code + from, count,
                                           ret_at));
    for (uint32_t i = 0; i < n; i++) {
        ret_at[i] += from;
        ret_when[i] = piece->time[ret_at[i]];
    }
    return n;
}

/* Those of all parts, one part after the other. True: they are in their order. */
static bool parts_gather(struct timeline_cursor *cursor, struct batch_scratch *scratch,
                         uint32_t *ret_count)
{
    uint64_t most = 0;
    uint32_t count = 0, before = 0;
    bool ordered = true;
    for (uint32_t p = 0; p < cursor->parts_count; p++)
        most += cursor->parts[p].to - cursor->parts[p].from;
    items_reserve(scratch, most + SLACK);
    for (uint32_t p = 0; p < cursor->parts_count; p++) {
        uint32_t *when = scratch->moments + count;
        uint32_t n = part_search(cursor, scratch, &cursor->parts[p], scratch->at + count, when);
        if (n == 0)
            continue;
        ordered &= when[0] > before;
        before = when[n - 1];
        for (uint32_t i = 0; i < n; i++)
            scratch->part[count + i] = p;
        count += n;
    }
    for (uint32_t i = 0; i < count; i++)
        scratch->keys[i] = (uint64_t)scratch->moments[i] << 32 | i;
    *ret_count = count;
    return ordered;
}

static bool item_before(const struct timeline_cursor *cursor, const struct batch_scratch *scratch,
                        uint32_t a, uint32_t b)
{
    const struct piece *x = cursor->parts[scratch->part[a]].piece;
    const struct piece *y = cursor->parts[scratch->part[b]].piece;
    return x->place[scratch->at[a]] < y->place[scratch->at[b]];
}

static void parts_add(struct timeline_cursor *cursor, struct batch_scratch *scratch,
                      uint32_t person, uint32_t first)
{
    uint32_t n;
    timeline_cursor_parts(cursor, first);
    bool ordered = parts_gather(cursor, scratch, &n);
    if (n == 0)
        return;
    if (!ordered) {
        keys_sort(scratch, n);
        ties_sort(cursor, scratch, n, item_before);
    }
    waiting_copy(cursor, scratch);
    room_reserve(scratch, (uint64_t)scratch->count + n);
    scratch->person[scratch->people] = person;
    scratch->starts[scratch->people++] = scratch->count;
    for (uint32_t i = 0; i < n; i++) {
        uint32_t item = (uint32_t)scratch->keys[i], to = scratch->count + i;
        const struct part *part = &cursor->parts[scratch->part[item]];
        uint32_t at = scratch->at[item];
        scratch->time[to] = (uint32_t)(scratch->keys[i] >> 32);
        scratch->code[to] = (uint16_t)timeline_piece_code(part->piece, at);
        scratch->origin[to] = (uint16_t)timeline_piece_origin(part->piece, at);
        scratch->rows[to] = (uint64_t)part->number << 32 | at;
    }
    scratch->count += n;
}

/* --- a page ----------------------------------------------------------------------------------- */

static void todo_add(const struct timeline_cursor *cursor, uint64_t *todo, uint32_t person)
{
    uint32_t slot = person % PAGE_SLOTS;
    if (person / PAGE_SLOTS == cursor->page)
        todo[slot / 64] |= UINT64_C(1) << slot % 64;
}

static bool is_elsewhere(uint32_t page, uint32_t visitor)
{
    return (visitor / PAGE_SLOTS != page) & (visitor != TIMELINE_NONE);
}

/* Whom of the page's people to look at: whose visitors have something here or in the deltas, or lie
 * in another page. A bit each. */
static void todo_make(const struct timeline_cursor *cursor, const struct batch_scratch *scratch,
                      uint64_t *todo)
{
    const struct slot_page *map = cursor->map;
    const uint32_t page = cursor->page;
    memset(todo, 0, PAGE_SLOTS / 8);
    for (uint32_t w = 0; w < PAGE_SLOTS / 64; w++) {
        uint64_t here = 0;
        for (uint32_t i = 0; i < 64; i++) {
            uint32_t slot = w * 64 + i;
            bool has = scratch->starts_of[slot] != scratch->starts_of[slot + 1];
            bool far = is_elsewhere(page, map->next[slot]) | is_elsewhere(page, map->first[slot]);
            here |= (uint64_t)has << i;
            todo[w] |= (uint64_t)far << i; /* the person or one of their visitors */
        }
        for (; here != 0; here &= here - 1)
            todo_add(cursor, todo, map->person[w * 64 + (uint32_t)__builtin_ctzll(here)]);
    }
    for (uint32_t slot = 0; slot < PAGE_SLOTS && cursor->touches_count > 0; slot++)
        if (cursor->touched[slot] != TIMELINE_NONE)
            todo_add(cursor, todo, map->person[slot]);
    for (uint32_t w = 0; w < PAGE_SLOTS / 64; w++)
        for (uint64_t far = todo[w]; far != 0; far &= far - 1) {
            uint32_t slot = w * 64 + (uint32_t)__builtin_ctzll(far);
            if (is_elsewhere(page, map->next[slot]))
                todo_add(cursor, todo, map->person[slot]);
        }
}

static void people_add(struct timeline_cursor *cursor, struct batch_scratch *scratch)
{
    const struct timeline_set *only = cursor->scan->options.only;
    uint64_t todo[PAGE_SLOTS / 64];
    todo_make(cursor, scratch, todo);
    for (uint32_t w = 0; w < PAGE_SLOTS / 64; w++) {
        uint32_t first_slot = cursor->page * PAGE_SLOTS + w * 64;
        if (only != NULL)
            todo[w] &= first_slot < only->slots ? only->words[first_slot / 64] : 0;
        for (uint64_t left = todo[w]; left != 0; left &= left - 1) {
            uint32_t slot = w * 64 + (uint32_t)__builtin_ctzll(left);
            uint32_t person = first_slot - w * 64 + slot, first = cursor->map->first[slot];
            if (first == TIMELINE_NONE)
                continue;
            if (timeline_cursor_alone(cursor, person, first))
                slice_add(cursor, scratch, person, scratch->starts_of[slot],
                          scratch->starts_of[slot + 1]);
            else if (!near_add(cursor, scratch, person, first))
                parts_add(cursor, scratch, person, first);
        }
    }
    waiting_copy(cursor, scratch);
    room_reserve(scratch, 1);
    scratch->starts[scratch->people] = scratch->count;
    memset(scratch->begins, 0, scratch->count);
    for (uint32_t i = 0; i < scratch->people; i++)
        scratch->begins[scratch->starts[i]] = 1;
}

bool timeline_cursor_batch(struct timeline_cursor *cursor, struct timeline_batch *ret_batch)
{
    const struct timeline_set *only = cursor->scan->options.only;
    CHECK(cursor->scan->options.wanted != NULL && !cursor->nobody);
    if (cursor->batch == NULL)
        cursor->batch = mem_zero(sizeof *cursor->batch);
    struct batch_scratch *scratch = cursor->batch;
    *ret_batch = (struct timeline_batch){0};
    if (!timeline_cursor_page(cursor))
        return false;
    if (only != NULL && timeline_set_next(only, cursor->slot, cursor->slot_end) == cursor->slot_end)
        return true;
    page_search(cursor, scratch);
    people_add(cursor, scratch);
    uint64_t events = cursor->base == NULL ? 0 : cursor->base->count;
    for (uint32_t i = 0; i < cursor->touches_count; i++)
        events += cursor->touches[i].to - cursor->touches[i].from;
    *ret_batch = (struct timeline_batch){
        .people = scratch->people,
        .count = scratch->count,
        .person = scratch->person,
        .starts = scratch->starts,
        .begins = scratch->begins,
        .code = scratch->code,
        .origin = scratch->origin,
        .time = scratch->time,
        .rows = scratch->rows,
        .events = events,
    };
    return true;
}
