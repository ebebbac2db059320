/* timeline_gather.c - rows of one page, in any order, become its base piece.
 *
 * They are counted by slot, and then each goes straight to where it will stand in the columns: rows
 * of one slot came mostly in the order of their time, so there is nearly nothing left to sort. A
 * run in which something is late is taken out, sorted as rows, and put back. The piece is small
 * enough to lie in a core's cache meanwhile. */
#include "timeline/timeline_int.h"

#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/check.h"

/* One page being gathered. */
struct page {
    struct gathering *with;
    struct piece *piece;
    const uint32_t *persons; /* of the page's slots; NULL = nobody is erased */
    uint32_t first_slot;
};

static bool is_left_out(const struct page *page, const struct row *row)
{
    return page->persons != NULL && row->slot != 0 &&
           page->persons[row->slot % PAGE_SLOTS] == PERSON_ERASED;
}

static struct page page_open(struct timeline *timeline, uint32_t number, struct gathering *with)
{
    struct page page = {.with = with, .first_slot = number * PAGE_SLOTS};
    const uint32_t *persons = timeline->slots.maps[number]->person;
    for (uint32_t i = 0; i < PAGE_SLOTS && page.persons == NULL; i++)
        if (persons[i] == PERSON_ERASED)
            page.persons = persons;
    return page;
}

static struct piece_shape rows_count(const struct page *page, const struct rows_part *parts,
                                     size_t parts_count)
{
    struct gathering *with = page->with;
    struct piece_shape shape = {.runs = PAGE_SLOTS};
    uint64_t count = 0;
    uint32_t codes = 0, origins = 0;
    memset(with->ends, 0, sizeof with->ends);
    for (size_t p = 0; p < parts_count; p++)
        for (uint32_t i = 0; i < parts[p].count; i++) {
            const struct row *row = &parts[p].rows[i];
            if (is_left_out(page, row))
                continue;
            with->ends[row->slot % PAGE_SLOTS]++;
            with->code_events[row->code]++;
            with->hours[row->time / HOUR_S]++;
            codes |= row->code;
            origins |= row->origin;
            shape.amounts += row->amount != 0;
            count++;
        }
    CHECK(count < UINT32_MAX / 2);
    shape.count = (uint32_t)count;
    shape.code_bytes = codes > 255 ? 2 : 1;
    shape.origin_bytes = origins > 255 ? 2 : 1;
    return shape;
}

/* Amounts stand by event for now; `bits` says which. */
static void rows_place(const struct page *page, const struct rows_part *parts, size_t parts_count)
{
    struct gathering *with = page->with;
    struct piece *piece = page->piece;
    for (size_t p = 0; p < parts_count; p++)
        for (uint32_t i = 0; i < parts[p].count; i++) {
            const struct row *row = &parts[p].rows[i];
            if (is_left_out(page, row))
                continue;
            uint32_t at = with->ends[row->slot % PAGE_SLOTS]++;
            piece->time[at] = row->time;
            piece->place[at] = row->place;
            timeline_piece_put(piece, at, row);
            if (row->amount != 0) {
                piece->amount_bits[at / 64] |= UINT64_C(1) << at % 64;
                with->amounts[at] = parts[p].amounts[row->amount - 1];
            }
        }
}

static bool run_in_order(const struct piece *piece, uint32_t from, uint32_t to)
{
    for (uint32_t i = from + 1; i < to; i++)
        if (piece->time[i] < piece->time[i - 1] ||
            (piece->time[i] == piece->time[i - 1] && piece->place[i] < piece->place[i - 1]))
            return false;
    return true;
}

static void run_reserve(struct gathering *with, uint32_t count)
{
    if (count <= with->rows_capacity)
        return;
    free(with->rows);
    free(with->scratch);
    free(with->amounts_scratch);
    with->rows_capacity = count + count / 2;
    with->rows = mem_alloc(with->rows_capacity * sizeof *with->rows);
    with->scratch = mem_alloc(with->rows_capacity * sizeof *with->scratch);
    with->amounts_scratch = mem_alloc(with->rows_capacity * sizeof *with->amounts_scratch);
}

/* A row's `slot` is its place in the run before. */
static void run_order(const struct page *page, uint32_t from, uint32_t to)
{
    struct gathering *with = page->with;
    struct piece *piece = page->piece;
    run_reserve(with, to - from);
    for (uint32_t i = from; i < to; i++)
        with->rows[i - from] = (struct row){
            .place = piece->place[i],
            .time = piece->time[i],
            .slot = i - from,
            .code = (uint16_t)timeline_piece_code(piece, i),
            .origin = (uint16_t)timeline_piece_origin(piece, i),
            .amount = piece->amount_bits != NULL && (piece->amount_bits[i / 64] >> i % 64 & 1) != 0,
        };
    timeline_run_sort(with->rows, with->scratch, to - from);
    if (piece->amount_bits != NULL)
        memcpy(with->amounts_scratch, with->amounts + from, (size_t)(to - from) * 8);
    for (uint32_t i = from; i < to; i++) {
        const struct row *row = &with->rows[i - from];
        piece->time[i] = row->time;
        piece->place[i] = row->place;
        timeline_piece_put(piece, i, row);
        if (piece->amount_bits == NULL)
            continue;
        piece->amount_bits[i / 64] &= ~(UINT64_C(1) << i % 64);
        piece->amount_bits[i / 64] |= (uint64_t)row->amount << i % 64;
        with->amounts[i] = with->amounts_scratch[row->slot];
    }
}

/* Rows lie by slot; `ends` says where. */
static void runs_finish(const struct page *page)
{
    struct gathering *with = page->with;
    struct piece *piece = page->piece;
    uint32_t from = 0;
    for (uint32_t run = 0; run < PAGE_SLOTS; run++) {
        uint32_t to = with->ends[run];
        piece->offsets[run] = from;
        if (!run_in_order(piece, from, to))
            run_order(page, from, to);
        from = to;
    }
    piece->runs = PAGE_SLOTS;
    for (uint32_t word = 0; piece->amount_bits != NULL && word <= piece->count / 64; word++)
        for (uint64_t left = piece->amount_bits[word]; left != 0; left &= left - 1)
            piece->amounts[piece->amounts_count++] =
                with->amounts[word * 64 + (uint32_t)__builtin_ctzll(left)];
    timeline_piece_end(piece);
}

struct piece *timeline_piece_gather(struct timeline *timeline, const struct rows_part *parts,
                                    size_t parts_count, uint32_t number,
                                    struct gathering *gathering)
{
    struct page page = page_open(timeline, number, gathering);
    struct piece_shape shape = rows_count(&page, parts, parts_count);
    if (shape.count == 0)
        return NULL;
    if (shape.amounts > 0 && shape.count > gathering->amounts_capacity) {
        free(gathering->amounts);
        gathering->amounts_capacity = shape.count + shape.count / 2;
        gathering->amounts = mem_alloc(gathering->amounts_capacity * sizeof *gathering->amounts);
    }
    page.piece = timeline_piece_new(timeline, &shape);
    page.piece->first_slot = page.first_slot;
    page.piece->count = shape.count;
    uint32_t sum = 0;
    for (uint32_t run = 0; run < PAGE_SLOTS; run++) {
        uint32_t n = gathering->ends[run];
        gathering->ends[run] = sum;
        sum += n;
    }
    rows_place(&page, parts, parts_count);
    runs_finish(&page);
    CHECK(page.piece->amounts_count == shape.amounts);
    return page.piece;
}

void timeline_gathering_done(struct gathering *gathering)
{
    free(gathering->code_events);
    free(gathering->hours);
    free(gathering->rows);
    free(gathering->scratch);
    free(gathering->amounts);
    free(gathering->amounts_scratch);
}
