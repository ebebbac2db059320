/* timeline_piece.c - columns of events, made once and never changed.
 *
 * Per event: the name's code (1 or 2 bytes), the time in seconds (4), the origin (1 or 2), and its
 * place (8): microseconds and journal position in one number, which orders events inside a second
 * and is all that is needed to find the event's row in the warehouse. Amounts are packed, found by
 * a bit and a count of the bits before it.
 *
 * One block of memory per piece, mapped by itself when it is large, so that what a merge replaces
 * goes back to the system and not into the gaps of a heap; populated at once, because all of it is
 * written at once. */
#include "timeline/timeline_int.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/arena.h"
#include "base/check.h"

#define MAP_BYTES ((size_t)64 << 10) /* smaller blocks come from the heap */

static size_t aligned(size_t n)
{
    return (n + 63) & ~(size_t)63;
}

static void *memory_take(size_t bytes)
{
    if (bytes < MAP_BYTES)
        return mem_zero(bytes);
    void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE,
                   -1, 0);
    CHECK(p != MAP_FAILED);
    return p;
}

/* Where an array of n bytes stands; the next one begins far enough for READ_BEYOND. */
static void *carve(struct piece *piece, size_t *at, size_t n)
{
    void *p = piece->memory == NULL ? NULL : (char *)piece->memory + *at;
    *at += aligned(n);
    return p;
}

static size_t lay_out(struct piece *piece, const struct piece_shape *shape)
{
    size_t at = 0, words = shape->amounts > 0 ? (size_t)shape->count / 64 + 1 : 0;
    piece->time = carve(piece, &at, (size_t)shape->count * 4);
    piece->place = carve(piece, &at, (size_t)shape->count * 8);
    piece->code = carve(piece, &at, (size_t)shape->count * shape->code_bytes);
    piece->origin = carve(piece, &at, (size_t)shape->count * shape->origin_bytes);
    piece->offsets = carve(piece, &at, ((size_t)shape->runs + 1) * 4);
    if (shape->fences > 0) {
        piece->slots = carve(piece, &at, (size_t)shape->runs * 4);
        piece->fence = carve(piece, &at, ((size_t)shape->fences + 1) * 4);
    }
    if (shape->amounts > 0) {
        piece->amount_bits = carve(piece, &at, words * 8);
        piece->amount_rank = carve(piece, &at, words * 4);
        piece->amounts = carve(piece, &at, (size_t)shape->amounts * 8);
    }
    return at + READ_BEYOND;
}

struct piece *timeline_piece_new(struct timeline *timeline, const struct piece_shape *shape)
{
    struct piece *piece = mem_zero(sizeof *piece);
    piece->serial = __atomic_add_fetch(&timeline->serials, 1, __ATOMIC_RELAXED);
    piece->code_bytes = shape->code_bytes;
    piece->origin_bytes = shape->origin_bytes;
    piece->fences = shape->fences;
    piece->bytes = lay_out(piece, shape);
    piece->memory = memory_take(piece->bytes);
    size_t again = lay_out(piece, shape);
    CHECK(again == piece->bytes);
    __atomic_add_fetch(&timeline->bytes, piece->bytes + sizeof *piece, __ATOMIC_RELAXED);
    return piece;
}

void timeline_piece_free(struct timeline *timeline, struct piece *piece)
{
    if (piece == NULL)
        return;
    if (piece->postings != NULL)
        timeline_postings_free(timeline, piece->postings);
    __atomic_sub_fetch(&timeline->bytes, piece->bytes + sizeof *piece, __ATOMIC_RELAXED);
    if (piece->bytes < MAP_BYTES)
        free(piece->memory);
    else
        munmap(piece->memory, piece->bytes);
    free(piece);
}

bool timeline_piece_amount(const struct piece *piece, uint32_t i, int64_t *ret_micros)
{
    if (piece->amount_bits == NULL)
        return false;
    uint64_t word = piece->amount_bits[i / 64], bit = UINT64_C(1) << i % 64;
    if ((word & bit) == 0)
        return false;
    *ret_micros = piece->amounts[piece->amount_rank[i / 64] +
                                 (uint32_t)__builtin_popcountll(word & (bit - 1))];
    return true;
}

void timeline_piece_run(const struct piece *piece, uint32_t slot, uint32_t *ret_from,
                        uint32_t *ret_to)
{
    uint32_t run = slot - piece->first_slot;
    if (piece->slots != NULL) {
        uint32_t page = slot / PAGE_SLOTS;
        uint32_t low = page < piece->fences ? piece->fence[page] : piece->runs;
        uint32_t high = page < piece->fences ? piece->fence[page + 1] : piece->runs;
        while (low < high) {
            uint32_t middle = (low + high) / 2;
            if (piece->slots[middle] < slot)
                low = middle + 1;
            else
                high = middle;
        }
        run = low < piece->runs && piece->slots[low] == slot ? low : piece->runs;
    }
    *ret_from = *ret_to = 0;
    if (run < piece->runs) {
        *ret_from = piece->offsets[run];
        *ret_to = piece->offsets[run + 1];
    }
}

/* --- writing ---------------------------------------------------------------------------------- */

/* Runs are appended in the order of slots; the end is noted by piece_end. */
static void run_begin(struct piece *piece, uint32_t slot)
{
    if (piece->slots != NULL) {
        piece->slots[piece->runs] = slot;
        piece->offsets[piece->runs++] = piece->count;
        return;
    }
    while (piece->runs <= slot - piece->first_slot)
        piece->offsets[piece->runs++] = piece->count;
}

void timeline_piece_end(struct piece *piece)
{
    if (piece->slots == NULL)
        while (piece->runs < PAGE_SLOTS)
            piece->offsets[piece->runs++] = piece->count;
    piece->offsets[piece->runs] = piece->count;
    uint32_t run = 0;
    for (uint32_t page = 0; page <= piece->fences && piece->slots != NULL; page++) {
        while (run < piece->runs && piece->slots[run] / PAGE_SLOTS < page)
            run++;
        piece->fence[page] = run;
    }
    uint32_t rank = 0;
    for (uint32_t word = 0; piece->amount_bits != NULL && word <= piece->count / 64; word++) {
        piece->amount_rank[word] = rank;
        rank += (uint32_t)__builtin_popcountll(piece->amount_bits[word]);
    }
}

static void amount_put(struct piece *piece, uint32_t i, int64_t micros)
{
    piece->amount_bits[i / 64] |= UINT64_C(1) << i % 64;
    piece->amounts[piece->amounts_count++] = micros;
}

static uint32_t fences_of(const struct timeline *timeline)
{
    return timeline->slots.pages;
}

struct piece *timeline_piece_build(struct timeline *timeline, const struct row *rows,
                                   uint32_t count, const int64_t *amounts)
{
    uint32_t codes = 0, origins = 0;
    struct piece_shape shape = {.count = count, .fences = fences_of(timeline)};
    for (uint32_t i = 0; i < count; i++) {
        codes |= rows[i].code;
        origins |= rows[i].origin;
        shape.amounts += rows[i].amount != 0;
        shape.runs += i == 0 || rows[i].slot != rows[i - 1].slot;
    }
    shape.code_bytes = codes > 255 ? 2 : 1;
    shape.origin_bytes = origins > 255 ? 2 : 1;
    struct piece *piece = timeline_piece_new(timeline, &shape);
    for (uint32_t i = 0; i < count; i++) {
        if (i == 0 || rows[i].slot != rows[i - 1].slot)
            run_begin(piece, rows[i].slot);
        piece->time[i] = rows[i].time;
        piece->place[i] = rows[i].place;
        timeline_piece_put(piece, i, &rows[i]);
        if (rows[i].amount != 0)
            amount_put(piece, i, amounts[rows[i].amount - 1]);
        piece->count++;
    }
    timeline_piece_end(piece);
    return piece;
}

/* --- merging ---------------------------------------------------------------------------------- */

static void narrow_copy(uint8_t *to, uint8_t to_bytes, uint32_t at, const uint8_t *from,
                        uint8_t from_bytes, uint32_t from_at, uint32_t n)
{
    if (to_bytes == from_bytes) {
        memcpy(to + (size_t)at * to_bytes, from + (size_t)from_at * from_bytes,
               (size_t)n * to_bytes);
        return;
    }
    for (uint32_t i = 0; i < n; i++)
        ((uint16_t *)to)[at + i] = from[from_at + i];
}

/* Append n events of a piece, from one on. */
static void events_copy(struct piece *out, const struct piece *piece, uint32_t from, uint32_t n)
{
    uint32_t at = out->count;
    memcpy(out->time + at, piece->time + from, (size_t)n * 4);
    memcpy(out->place + at, piece->place + from, (size_t)n * 8);
    narrow_copy(out->code, out->code_bytes, at, piece->code, piece->code_bytes, from, n);
    narrow_copy(out->origin, out->origin_bytes, at, piece->origin, piece->origin_bytes, from, n);
    out->count += n;
    if (piece->amount_bits == NULL)
        return;
    for (uint32_t i = 0; i < n;) {
        uint64_t left = piece->amount_bits[(from + i) / 64] >> (from + i) % 64;
        uint32_t skip = left == 0 ? 64 - (from + i) % 64 : (uint32_t)__builtin_ctzll(left);
        i += skip;
        if (left == 0 || i >= n)
            continue;
        int64_t micros = 0;
        bool there = timeline_piece_amount(piece, from + i, &micros);
        CHECK(there);
        amount_put(out, at + i, micros);
        i++;
    }
}

static bool event_before(const struct piece *a, uint32_t i, const struct piece *b, uint32_t j)
{
    return a->time[i] != b->time[j] ? a->time[i] < b->time[j] : a->place[i] < b->place[j];
}

struct span {
    const struct piece *piece;
    uint32_t from, to;
};

/* Two runs into one: in spans, because events that came later mostly happened later. */
static void runs_merge(struct piece *out, struct span a, struct span b)
{
    while (a.from < a.to && b.from < b.to) {
        uint32_t start = a.from;
        while (a.from < a.to && !event_before(b.piece, b.from, a.piece, a.from))
            a.from++;
        if (a.from > start)
            events_copy(out, a.piece, start, a.from - start);
        struct span other = a;
        a = b;
        b = other;
    }
    if (a.from < a.to)
        events_copy(out, a.piece, a.from, a.to - a.from);
    if (b.from < b.to)
        events_copy(out, b.piece, b.from, b.to - b.from);
}

/* One side of a merge: its runs of a page, or all, in the order of slots. */
struct source {
    const struct piece *piece;
    uint32_t run, end;
};

static struct source source_open(const struct piece *piece, uint32_t page)
{
    struct source source = {.piece = piece};
    if (piece == NULL)
        return source;
    source.end = piece->runs;
    if (piece->slots != NULL && page != TIMELINE_NONE) {
        source.run = page < piece->fences ? piece->fence[page] : piece->runs;
        source.end = page < piece->fences ? piece->fence[page + 1] : piece->runs;
    }
    return source;
}

static uint32_t source_slot(const struct source *source)
{
    if (source->run == source->end)
        return TIMELINE_NONE;
    return source->piece->slots == NULL ? source->piece->first_slot + source->run
                                        : source->piece->slots[source->run];
}

/* The run of this slot, if it is the next one. */
static struct span source_take(struct source *source, uint32_t slot)
{
    struct span span = {.piece = source->piece};
    if (source_slot(source) != slot)
        return span;
    span.from = source->piece->offsets[source->run++];
    span.to = source->piece->offsets[source->run];
    return span;
}

/* Both sides, and what comes of them. */
struct merging {
    struct timeline *timeline;
    struct source a, b;
    struct piece *out; /* NULL = measure */
    bool all;          /* nothing is left out */
    struct piece_shape shape;
};

/* What of a run is kept: nothing of the erased, and what is new enough. */
static struct span span_kept(const struct merging *merging, struct span span, uint32_t slot)
{
    const struct timeline *timeline = merging->timeline;
    if (merging->all || span.from == span.to)
        return span;
    if (timeline_slot_person(&timeline->slots, slot) == PERSON_ERASED)
        span.from = span.to;
    if (span.from == span.to || span.piece->time[span.from] >= timeline->trim_before)
        return span;
    uint32_t low = span.from, high = span.to;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (span.piece->time[middle] < timeline->trim_before)
            low = middle + 1;
        else
            high = middle;
    }
    span.from = low;
    return span;
}

static void slot_merge(struct merging *merging, uint32_t slot)
{
    struct span a = span_kept(merging, source_take(&merging->a, slot), slot);
    struct span b = span_kept(merging, source_take(&merging->b, slot), slot);
    uint32_t n = a.to - a.from + b.to - b.from;
    if (n == 0)
        return;
    if (merging->out == NULL) {
        merging->shape.count += n;
        merging->shape.runs++;
        return;
    }
    run_begin(merging->out, slot);
    runs_merge(merging->out, a, b);
}

static void deltas_walk(struct merging *merging)
{
    for (;;) {
        uint32_t x = source_slot(&merging->a), y = source_slot(&merging->b);
        uint32_t slot = x < y ? x : y;
        if (slot == TIMELINE_NONE)
            return;
        slot_merge(merging, slot);
    }
}

/* Slots of the base, in one copy. */
static void base_copy(struct merging *merging, uint32_t slot, uint32_t to)
{
    struct source *a = &merging->a;
    struct piece *out = merging->out;
    uint32_t from = a->piece->offsets[a->run], n = 0;
    while (out->runs < slot - out->first_slot)
        out->offsets[out->runs++] = out->count;
    for (; slot < to; slot++) {
        out->offsets[out->runs++] = out->count + a->piece->offsets[a->run] - from;
        n = a->piece->offsets[++a->run] - from;
    }
    events_copy(out, a->piece, from, n);
}

/* Is what the delta has of this slot, its next one, later than what the base has? */
static bool delta_is_later(const struct merging *merging, uint32_t slot)
{
    const struct piece *a = merging->a.piece, *b = merging->b.piece;
    uint32_t run = slot - a->first_slot, end = a->offsets[run + 1];
    return a->offsets[run] == end || !event_before(b, b->offsets[merging->b.run], a, end - 1);
}

/* When all is kept: from one slot of the delta to the next, the base in one copy, which nearly
 * always holds that slot's run as well. */
static void page_walk_all(struct merging *merging, uint32_t slot, uint32_t end)
{
    while (slot < end) {
        uint32_t next = source_slot(&merging->b);
        bool later = next < end && delta_is_later(merging, next);
        uint32_t to = next < end ? next + later : end;
        if (to > slot)
            base_copy(merging, slot, to);
        slot = to;
        if (later) {
            struct span b = source_take(&merging->b, next);
            events_copy(merging->out, b.piece, b.from, b.to - b.from);
        } else if (slot < end) {
            slot_merge(merging, slot++);
        }
    }
}

static void page_walk(struct merging *merging, uint32_t page)
{
    uint32_t slot = page * PAGE_SLOTS, end = slot + PAGE_SLOTS;
    if (merging->out != NULL && merging->all && merging->a.piece != NULL) {
        page_walk_all(merging, slot, end);
        return;
    }
    while (slot < end)
        slot_merge(merging, slot++);
}

static void merge_walk(struct merging *merging, const struct piece *a, const struct piece *b,
                       uint32_t page)
{
    merging->a = source_open(a, page);
    merging->b = source_open(b, page);
    if (page == TIMELINE_NONE)
        deltas_walk(merging);
    else
        page_walk(merging, page);
}

uint32_t timeline_piece_page_events(const struct piece *piece, uint32_t page)
{
    if (piece == NULL)
        return 0;
    if (piece->slots == NULL || page == TIMELINE_NONE)
        return piece->count;
    struct source source = source_open(piece, page);
    return piece->offsets[source.end] - piece->offsets[source.run];
}

static uint8_t max_u8(uint8_t a, uint8_t b)
{
    return a > b ? a : b;
}

/* Amounts of the events that may be copied: at least as many as will be. */
static uint32_t page_amounts(const struct piece *piece, uint32_t page)
{
    if (piece == NULL || piece->amounts_count == 0)
        return 0;
    uint32_t events = timeline_piece_page_events(piece, page);
    return events < piece->amounts_count ? events : piece->amounts_count;
}

struct piece *timeline_piece_merge(struct timeline *timeline, const struct piece *a,
                                   const struct piece *b, uint32_t page)
{
    struct merging merging = {.timeline = timeline,
                              .all = !timeline->sweep_wanted && !timeline->sweeping};
    if (merging.all) {
        merging.shape.count =
            timeline_piece_page_events(a, page) + timeline_piece_page_events(b, page);
        merging.shape.runs = a == NULL || b == NULL ? 0 : a->runs + b->runs; /* at most */
    } else {
        merge_walk(&merging, a, b, page);
    }
    if (merging.shape.count == 0)
        return NULL;
    merging.shape.amounts = page_amounts(a, page) + page_amounts(b, page);
    merging.shape.code_bytes = max_u8(a == NULL ? 1 : a->code_bytes, b == NULL ? 1 : b->code_bytes);
    merging.shape.origin_bytes =
        max_u8(a == NULL ? 1 : a->origin_bytes, b == NULL ? 1 : b->origin_bytes);
    if (page == TIMELINE_NONE)
        merging.shape.fences = fences_of(timeline);
    else
        merging.shape.runs = PAGE_SLOTS;
    merging.out = timeline_piece_new(timeline, &merging.shape);
    merging.out->first_slot = page == TIMELINE_NONE ? 0 : page * PAGE_SLOTS;
    merge_walk(&merging, a, b, page);
    timeline_piece_end(merging.out);
    CHECK(merging.out->count == merging.shape.count);
    return merging.out;
}
