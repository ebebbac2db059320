/* timeline_batch.c - a page's people at once, only the events that somebody asked for.
 *
 * The codes of a page's piece are searched in one go: a bit for each event, and the list of those
 * that are set. How many are set before a slot's first event says where its part of the list
 * begins, so no visitor costs a search of their own. Each person then picks from that list: one
 * visitor's part as it lies, the parts of several visitors in their order; what was picked is read
 * in one loop. Whoever has something in the deltas or in another page comes last, part by part.
 *
 * People have a few events each, and how many is anybody's guess: a loop for each of them costs
 * more for its end than for its work. So what can be done for the page is done for the page, and
 * eight numbers are copied where there may be one. */
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
    uint64_t has[PAGE_SLOTS / 64];      /* a bit each: it has some */
    uint32_t person[PAGE_SLOTS], starts[PAGE_SLOTS + 1], far[PAGE_SLOTS];
    uint32_t people, count;

    uint64_t *marks; /* a bit for each event of the page's piece */
    uint32_t *ranks; /* how many are set before each word */
    uint32_t *found; /* which are set … */
    uint32_t *when;  /* … and their times: read in one go, which memory likes best */
    uint32_t capacity;
    bool dense; /* was the page before: most of the times will be read */

    uint32_t *picks; /* numbers in `found`: what is given, person by person */
    uint32_t picks_room;

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
    free(scratch->picks);
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

static inline __attribute__((always_inline)) uint32_t rank_of(const struct batch_scratch *scratch,
                                                              uint32_t i)
{
    uint64_t before = scratch->marks[i / 64] & ((UINT64_C(1) << i % 64) - 1);
    return scratch->ranks[i / 64] + (uint32_t)__builtin_popcountll(before);
}

/* From marks to numbers. */
static inline __attribute__((always_inline)) uint32_t marks_list(const struct piece *piece,
                                                                 struct batch_scratch *scratch)
{
    const uint32_t words = (piece->count + 63) / 64;
    const bool dense = scratch->dense;
    uint64_t *restrict marks = scratch->marks;
    uint32_t *restrict ranks = scratch->ranks, *restrict found = scratch->found, n = 0;
    for (uint32_t w = 0; w < words; w++) {
        ranks[w] = n;
        for (uint32_t line = 0; dense && line < 64; line += 16)
            __builtin_prefetch(piece->time + (size_t)(w + AHEAD) * 64 + line);
        for (uint64_t bits = marks[w]; bits != 0; bits &= bits - 1) {
            found[n] = w * 64 + (uint32_t)__builtin_ctzll(bits);
            if (!dense)
                __builtin_prefetch(piece->time + found[n]);
            n++;
        }
    }
    marks[words] = 0;
    ranks[words] = n;
    uint32_t *restrict starts = scratch->starts_of;
    starts[0] = 0;
    for (uint32_t w = 0; w < PAGE_SLOTS / 64; w++) {
        uint64_t has = 0;
        for (uint32_t i = 0; i < 64; i++) {
            uint32_t run = w * 64 + i;
            starts[run + 1] = rank_of(scratch, piece->offsets[run + 1]);
            has |= (uint64_t)(starts[run + 1] != starts[run]) << i;
        }
        scratch->has[w] = has;
    }
    return n;
}

#if defined(__x86_64__)
/* Counting bits is one instruction here and a call elsewhere. */
__attribute__((target("popcnt,bmi"))) static uint32_t marks_list_fast(const struct piece *piece,
                                                                      struct batch_scratch *scratch)
{
    return marks_list(piece, scratch);
}
#endif

static uint32_t marks_listed(const struct piece *piece, struct batch_scratch *scratch)
{
#if defined(__x86_64__)
    if (__builtin_cpu_supports("popcnt") && __builtin_cpu_supports("bmi"))
        return marks_list_fast(piece, scratch);
#endif
    return marks_list(piece, scratch);
}

static void page_search(const struct timeline_cursor *cursor, struct batch_scratch *scratch)
{
    const struct piece *piece = cursor->base;
    const struct code_set *set = &cursor->scan->set;
    scratch->people = scratch->count = 0;
    if (piece == NULL) {
        memset(scratch->starts_of, 0, sizeof scratch->starts_of);
        memset(scratch->has, 0, sizeof scratch->has);
        return;
    }
    found_reserve(scratch, piece->count);
    if (piece->code_bytes == 1)
        code_set_mark_u8(set, piece->code, piece->count, scratch->marks);
    else
        code_set_mark_u16(set, (const uint16_t *)piece->code, piece->count, scratch->marks);
    uint32_t n = marks_listed(piece, scratch);
    for (uint32_t i = 0; i < n; i++)
        scratch->when[i] = piece->time[scratch->found[i]];
    scratch->dense = n > piece->count / DENSE;
}

static void picks_reserve(struct batch_scratch *scratch, uint64_t count)
{
    if (count + SLACK <= scratch->picks_room)
        return;
    CHECK(count < UINT32_MAX / 2);
    scratch->picks_room = (uint32_t)(count + count / 2 + SLACK);
    scratch->picks = mem_grow(scratch->picks, scratch->picks_room * sizeof *scratch->picks);
}

static void person_begin(struct batch_scratch *scratch, uint32_t person)
{
    scratch->person[scratch->people] = person;
    scratch->starts[scratch->people++] = scratch->count;
}

/* All that a person has, as it lies in `found`. Mostly a few: then eight are written. */
static void slice_pick(struct batch_scratch *scratch, uint32_t person, uint32_t from, uint32_t to)
{
    if (from == to)
        return;
    picks_reserve(scratch, (uint64_t)scratch->count + to - from);
    person_begin(scratch, person);
    uint32_t *picks = scratch->picks + scratch->count;
    for (uint32_t i = 0; i < SLACK; i++)
        picks[i] = from + i;
    for (uint32_t i = SLACK; i < to - from; i++)
        picks[i] = from + i;
    scratch->count += to - from;
}

/* What was picked. */
static void picks_read(const struct timeline_cursor *cursor, struct batch_scratch *scratch)
{
    const struct piece *piece = cursor->base;
    const uint32_t n = scratch->count;
    if (n == 0)
        return;
    room_reserve(scratch, n);
    const uint32_t *restrict picks = scratch->picks, *restrict found = scratch->found;
    const uint32_t *restrict when = scratch->when;
    uint32_t *restrict time = scratch->time;
    uint16_t *restrict code = scratch->code, *restrict origin = scratch->origin;
    uint64_t *restrict rows = scratch->rows, row = (uint64_t)cursor->page << 32;
    for (uint32_t i = 0; i < n; i++) {
        uint32_t at = found[picks[i]];
        time[i] = when[picks[i]];
        rows[i] = row | at;
        code[i] = (uint16_t)timeline_piece_code(piece, at);
    }
    for (uint32_t i = 0; i < n && !cursor->scan->options.no_origins; i++)
        origin[i] = (uint16_t)timeline_piece_origin(piece, found[picks[i]]);
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

/* Of two visitors. Which of them is next is a coin's toss, so it is a number and not a branch. */
static void pair_pick(const struct timeline_cursor *cursor, struct batch_scratch *scratch,
                      uint32_t i, uint32_t i_end, uint32_t j, uint32_t j_end)
{
    uint32_t *picks = scratch->picks + scratch->count;
    scratch->count += i_end - i + j_end - j;
    while (i < i_end && j < j_end) {
        uint32_t x = scratch->when[i], y = scratch->when[j], second = y < x;
        if (__builtin_expect(x == y, 0))
            second = found_before(cursor, scratch, j, i);
        *picks++ = i ^ ((i ^ j) & -second);
        i += 1 - second;
        j += second;
    }
    while (i < i_end)
        *picks++ = i++;
    while (j < j_end)
        *picks++ = j++;
}

/* Of many. */
static void slices_pick(const struct timeline_cursor *cursor, struct batch_scratch *scratch,
                        uint32_t first, uint32_t count)
{
    uint32_t n = 0;
    items_reserve(scratch, count);
    for (uint32_t v = first; v != TIMELINE_NONE; v = cursor->map->next[v % PAGE_SLOTS])
        for (uint32_t i = scratch->starts_of[v % PAGE_SLOTS];
             i < scratch->starts_of[v % PAGE_SLOTS + 1]; i++)
            scratch->keys[n++] = (uint64_t)scratch->when[i] << 32 | i;
    keys_sort(scratch, n);
    ties_sort(cursor, scratch, n, found_before);
    for (uint32_t i = 0; i < n; i++)
        scratch->picks[scratch->count++] = (uint32_t)scratch->keys[i];
}

/* The person's visitors, when all of them are of this page and none is in the deltas. False: some
 * are not. */
static bool near_pick(const struct timeline_cursor *cursor, struct batch_scratch *scratch,
                      uint32_t person, uint32_t first)
{
    uint32_t count = 0, slices = 0, from[2] = {0}, to[2] = {0};
    if (cursor->base == NULL)
        return false;
    for (uint32_t v = first, slot; v != TIMELINE_NONE; v = cursor->map->next[slot]) {
        slot = v % PAGE_SLOTS;
        if (v / PAGE_SLOTS != cursor->page || cursor->touched[slot] != TIMELINE_NONE)
            return false;
        if (scratch->starts_of[slot] == scratch->starts_of[slot + 1])
            continue;
        from[slices & 1] = scratch->starts_of[slot];
        to[slices & 1] = scratch->starts_of[slot + 1];
        count += to[slices & 1] - from[slices & 1];
        slices++;
    }
    if (slices <= 1) {
        slice_pick(scratch, person, from[0], to[0]);
        return true;
    }
    picks_reserve(scratch, (uint64_t)scratch->count + count);
    person_begin(scratch, person);
    if (slices == 2)
        pair_pick(cursor, scratch, from[0], to[0], from[1], to[1]);
    else
        slices_pick(cursor, scratch, first, count);
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
    room_reserve(scratch, (uint64_t)scratch->count + n);
    person_begin(scratch, person);
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

/* Whom of the page's people to look at: whose visitors have something here or in the deltas, or lie
 * in another page. A bit each. */
static void todo_make(const struct timeline_cursor *cursor, const struct batch_scratch *scratch,
                      uint64_t *todo)
{
    const struct slot_page *map = cursor->map;
    for (uint32_t w = 0; w < PAGE_SLOTS / 64; w++)
        todo[w] = (scratch->has[w] & map->own[w]) | map->far[w]; /* or one of their visitors */
    for (uint32_t w = 0; w < PAGE_SLOTS / 64; w++)
        for (uint64_t left = (scratch->has[w] | map->far[w]) & ~map->own[w]; left != 0;
             left &= left - 1)
            todo_add(cursor, todo, map->person[w * 64 + (uint32_t)__builtin_ctzll(left)]);
    for (uint32_t slot = 0; slot < PAGE_SLOTS && cursor->touches_count > 0; slot++)
        if (cursor->touched[slot] != TIMELINE_NONE)
            todo_add(cursor, todo, map->person[slot]);
}

static void people_add(struct timeline_cursor *cursor, struct batch_scratch *scratch)
{
    const struct timeline_set *only = cursor->scan->options.only;
    uint64_t todo[PAGE_SLOTS / 64];
    uint32_t far = 0;
    todo_make(cursor, scratch, todo);
    for (uint32_t w = 0; w < PAGE_SLOTS / 64; w++) {
        uint32_t page_slot = cursor->page * PAGE_SLOTS + w * 64;
        if (only != NULL)
            todo[w] &= page_slot < only->slots ? only->words[page_slot / 64] : 0;
        for (uint64_t left = todo[w]; left != 0; left &= left - 1) {
            uint32_t bit = (uint32_t)__builtin_ctzll(left), slot = w * 64 + bit;
            uint32_t person = page_slot + bit, first = cursor->map->first[slot];
            if (first == TIMELINE_NONE)
                continue;
            if (timeline_cursor_alone(cursor, person, first))
                slice_pick(scratch, person, scratch->starts_of[slot], scratch->starts_of[slot + 1]);
            else if (!near_pick(cursor, scratch, person, first))
                scratch->far[far++] = person;
        }
    }
    picks_read(cursor, scratch);
    for (uint32_t i = 0; i < far; i++)
        parts_add(cursor, scratch, scratch->far[i],
                  cursor->map->first[scratch->far[i] % PAGE_SLOTS]);
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
        .origin = cursor->scan->options.no_origins ? NULL : scratch->origin,
        .time = scratch->time,
        .rows = scratch->rows,
        .events = events,
    };
    return true;
}
