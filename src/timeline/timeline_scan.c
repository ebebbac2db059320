/* timeline_scan.c - people, one after the other, each as one run of events.
 *
 * Threads take pages from a shared counter. In a page a cursor goes along the slots; a slot that is
 * some person gives that person. Most people have one visitor and nothing in the deltas: their run
 * is handed out where it lies. For the others the parts are gathered and merged into scratch, in
 * the order (second, microsecond and position); the second is in the arrays, the rest is looked at
 * on a tie only. Who asks for few names takes batches (timeline_batch.c).
 *
 * What the deltas have of a page's slots is listed once per page, by walking their runs of it; so
 * the common case costs one look, and the others no search. Most deltas are later than all of the
 * base, and then merging is copying one after the other. */
#include "timeline/timeline_cursor_int.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/check.h"
#include "base/thread.h"

void timeline_scan_open(const struct timeline_view *view,
                        const struct timeline_scan_options *options,
                        struct timeline_scan **ret_scan)
{
    struct timeline_scan *scan = mem_zero(sizeof *scan);
    scan->snapshot = snapshot_of(view);
    if (options != NULL)
        scan->options = *options;
    const uint8_t *wanted = scan->options.wanted;
    for (uint32_t code = 0; wanted != NULL && code < (view->wide_codes ? 65536 : 256); code++)
        if (wanted[code] != 0)
            code_set_add(&scan->set, (uint16_t)code);
    *ret_scan = scan;
}

void timeline_scan_close(struct timeline_scan *scan)
{
    free(scan);
}

double timeline_scan_progress(const struct timeline_scan *scan)
{
    uint32_t done = __atomic_load_n(&scan->pages_done, __ATOMIC_RELAXED);
    uint32_t all = scan->snapshot->pages;
    return done >= all ? 1 : (double)done / all;
}

void timeline_scan_cancel(struct timeline_scan *scan)
{
    __atomic_store_n(&scan->cancelled, 1, __ATOMIC_RELAXED);
}

bool timeline_scan_cancelled(const struct timeline_scan *scan)
{
    return __atomic_load_n(&scan->cancelled, __ATOMIC_RELAXED) != 0;
}

struct timeline_cursor *timeline_cursor_open(struct timeline_scan *scan)
{
    struct timeline_cursor *cursor = mem_zero(sizeof *cursor);
    cursor->scan = scan;
    cursor->snapshot = scan->snapshot;
    cursor->page = TIMELINE_NONE;
    cursor->nobody = scan->options.nobody_too &&
                     __atomic_exchange_n(&scan->nobody_taken, 1, __ATOMIC_RELAXED) == 0;
    return cursor;
}

void timeline_cursor_close(struct timeline_cursor *cursor)
{
    if (cursor == NULL)
        return;
    free(cursor->touches);
    free(cursor->parts);
    free(cursor->items);
    free(cursor->items_scratch);
    free(cursor->ends);
    free(cursor->at);
    free(cursor->when);
    free(cursor->order);
    free(cursor->code);
    free(cursor->origin);
    free(cursor->time);
    free(cursor->rows);
    timeline_batch_free(cursor->batch);
    free(cursor);
}

/* --- one run ---------------------------------------------------------------------------------- */

static void run_of_part(uint32_t person, const struct part *part, struct timeline_run *ret_run)
{
    const struct piece *piece = part->piece;
    uint32_t from = part->from;
    *ret_run = (struct timeline_run){
        .person = person,
        .count = part->to - from,
        .code8 = piece->code_bytes == 1 ? piece->code + from : NULL,
        .code16 = piece->code_bytes == 2 ? (const uint16_t *)piece->code + from : NULL,
        .time = piece->time + from,
        .origin8 = piece->origin_bytes == 1 ? piece->origin + from : NULL,
        .origin16 = piece->origin_bytes == 2 ? (const uint16_t *)piece->origin + from : NULL,
        .first_row = (uint64_t)part->number << 32 | from,
    };
}

static void part_put(struct timeline_cursor *cursor, const struct part *part)
{
    if (part->piece == NULL || part->from == part->to)
        return;
    if (cursor->parts_count == cursor->parts_capacity) {
        cursor->parts_capacity = cursor->parts_capacity == 0 ? 16 : cursor->parts_capacity * 2;
        cursor->parts = mem_grow(cursor->parts, cursor->parts_capacity * sizeof *cursor->parts);
    }
    cursor->parts[cursor->parts_count++] = *part;
}

static void part_find(struct timeline_cursor *cursor, uint32_t number, uint32_t slot)
{
    struct part part = {.piece = snapshot_piece(cursor->snapshot, number), .number = number};
    if (part.piece != NULL)
        timeline_piece_run(part.piece, slot, &part.from, &part.to);
    part_put(cursor, &part);
}

static void visitor_parts(struct timeline_cursor *cursor, uint32_t visitor)
{
    const struct snapshot *snapshot = cursor->snapshot;
    uint32_t page = visitor / PAGE_SLOTS;
    part_find(cursor, page, visitor);
    if (page != cursor->page) { /* elsewhere: search */
        for (uint32_t i = page < snapshot->folded_pages ? 1 : 0; i < snapshot->deltas_count; i++)
            part_find(cursor, snapshot->pages + i, visitor);
        return;
    }
    for (uint32_t at = cursor->touched[visitor % PAGE_SLOTS]; at != TIMELINE_NONE;) {
        const struct touch *touch = &cursor->touches[at];
        struct part part = {snapshot_piece(snapshot, touch->number), touch->number, touch->from,
                            touch->to};
        part_put(cursor, &part);
        at = touch->next;
    }
}

/* --- merging ---------------------------------------------------------------------------------- */

static void scratch_reserve(struct timeline_cursor *cursor)
{
    uint64_t events = 0;
    for (uint32_t i = 0; i < cursor->parts_count; i++)
        events += cursor->parts[i].to - cursor->parts[i].from;
    CHECK(events < UINT32_MAX / 2);
    if (cursor->parts_count > cursor->ends_capacity) {
        cursor->ends_capacity = cursor->parts_count * 2;
        cursor->ends = mem_grow(cursor->ends, cursor->ends_capacity * sizeof *cursor->ends);
    }
    if (events <= cursor->capacity)
        return;
    cursor->capacity = (uint32_t)events * 2;
    size_t n = cursor->capacity, beyond = READ_BEYOND;
    cursor->items = mem_grow(cursor->items, n * sizeof *cursor->items);
    cursor->items_scratch = mem_grow(cursor->items_scratch, n * sizeof *cursor->items_scratch);
    cursor->at = mem_grow(cursor->at, n * sizeof *cursor->at);
    cursor->when = mem_grow(cursor->when, n * sizeof *cursor->when);
    cursor->order = mem_grow(cursor->order, n * sizeof *cursor->order);
    cursor->code = mem_grow(cursor->code, n * 2 + beyond);
    cursor->origin = mem_grow(cursor->origin, n * 2 + beyond);
    cursor->time = mem_grow(cursor->time, n * sizeof *cursor->time + beyond);
    cursor->rows = mem_grow(cursor->rows, n * sizeof *cursor->rows + beyond);
}

static bool item_before(const struct part *parts, const struct item *a, const struct item *b)
{
    if (a->time != b->time)
        return a->time < b->time;
    return parts[a->part].piece->place[a->at] < parts[b->part].piece->place[b->at];
}

static uint32_t part_gather(const struct part *part, uint32_t *ret_at)
{
    for (uint32_t i = part->from; i < part->to; i++)
        *ret_at++ = i;
    return part->to - part->from;
}

/* The events of each part; `ends` says where a part's stretch ends. */
static uint32_t items_gather(struct timeline_cursor *cursor)
{
    uint32_t count = 0;
    for (uint32_t p = 0; p < cursor->parts_count; p++) {
        const struct part *part = &cursor->parts[p];
        uint32_t found = part_gather(part, cursor->at);
        for (uint32_t i = 0; i < found; i++)
            cursor->items[count++] =
                (struct item){part->piece->time[cursor->at[i]], cursor->at[i], p};
        cursor->ends[p] = count;
    }
    return count;
}

static void stretches_merge(const struct part *parts, const struct item *from, uint32_t start,
                            uint32_t middle, uint32_t end, struct item *to)
{
    uint32_t i = start, j = middle;
    for (uint32_t out = start; out < end; out++)
        to[out] = j == end || (i < middle && !item_before(parts, &from[j], &from[i])) ? from[i++]
                                                                                      : from[j++];
}

/* Neighbouring stretches become one until one is left. */
static void items_sort(struct timeline_cursor *cursor)
{
    uint32_t stretches = cursor->parts_count;
    while (stretches > 1) {
        uint32_t start = 0, made = 0;
        for (uint32_t i = 0; i < stretches; i += 2) {
            uint32_t middle = cursor->ends[i];
            uint32_t end = i + 1 < stretches ? cursor->ends[i + 1] : middle;
            stretches_merge(cursor->parts, cursor->items, start, middle, end,
                            cursor->items_scratch);
            cursor->ends[made++] = start = end;
        }
        stretches = made;
        struct item *other = cursor->items;
        cursor->items = cursor->items_scratch;
        cursor->items_scratch = other;
    }
}

/* Where each array of the run begins, and how wide its elements are. */
struct widths {
    uint8_t code, origin;
};

static struct widths widths_of(const struct timeline_cursor *cursor)
{
    struct widths widths = {1, 1};
    for (uint32_t i = 0; i < cursor->parts_count; i++) {
        const struct piece *piece = cursor->parts[i].piece;
        widths.code = piece->code_bytes > widths.code ? piece->code_bytes : widths.code;
        widths.origin = piece->origin_bytes > widths.origin ? piece->origin_bytes : widths.origin;
    }
    return widths;
}

static void merged_run(const struct timeline_cursor *cursor, uint32_t person, uint32_t count,
                       struct widths widths, struct timeline_run *ret_run)
{
    *ret_run = (struct timeline_run){
        .person = person,
        .count = count,
        .code8 = widths.code == 1 ? cursor->code : NULL,
        .code16 = widths.code == 2 ? (const uint16_t *)cursor->code : NULL,
        .time = cursor->time,
        .origin8 = widths.origin == 1 ? cursor->origin : NULL,
        .origin16 = widths.origin == 2 ? (const uint16_t *)cursor->origin : NULL,
        .rows = cursor->rows,
    };
}

static void element_put(uint8_t *array, uint8_t width, uint32_t at, uint32_t v)
{
    if (width == 1)
        array[at] = (uint8_t)v;
    else
        ((uint16_t *)array)[at] = (uint16_t)v;
}

/* Is each part over before the next begins? */
static bool parts_in_order(const struct timeline_cursor *cursor)
{
    for (uint32_t i = 1; i < cursor->parts_count; i++) {
        const struct part *a = &cursor->parts[i - 1], *b = &cursor->parts[i];
        uint32_t x = a->piece->time[a->to - 1], y = b->piece->time[b->from];
        if (x > y || (x == y && a->piece->place[a->to - 1] > b->piece->place[b->from]))
            return false;
    }
    return true;
}

static void elements_copy(uint8_t *to, uint8_t to_width, uint32_t at, const uint8_t *from,
                          uint8_t from_width, uint32_t from_at, uint32_t n)
{
    if (to_width == from_width) {
        memcpy(to + (size_t)at * to_width, from + (size_t)from_at * to_width, (size_t)n * to_width);
        return;
    }
    for (uint32_t i = 0; i < n; i++)
        ((uint16_t *)to)[at + i] = from[from_at + i];
}

/* One after the other, all of them. */
static uint32_t parts_append(struct timeline_cursor *cursor, struct widths widths)
{
    uint32_t count = 0;
    for (uint32_t p = 0; p < cursor->parts_count; p++) {
        const struct part *part = &cursor->parts[p];
        const struct piece *piece = part->piece;
        uint32_t n = part->to - part->from;
        memcpy(cursor->time + count, piece->time + part->from, (size_t)n * sizeof *piece->time);
        elements_copy(cursor->code, widths.code, count, piece->code, piece->code_bytes, part->from,
                      n);
        elements_copy(cursor->origin, widths.origin, count, piece->origin, piece->origin_bytes,
                      part->from, n);
        uint64_t row = (uint64_t)part->number << 32 | part->from;
        for (uint32_t i = 0; i < n; i++)
            cursor->rows[count + i] = row + i;
        count += n;
    }
    return count;
}

static void event_put(struct timeline_cursor *cursor, struct widths widths, uint32_t at,
                      const struct part *part, uint32_t i)
{
    const struct piece *piece = part->piece;
    cursor->time[at] = piece->time[i];
    element_put(cursor->code, widths.code, at, timeline_piece_code(piece, i));
    element_put(cursor->origin, widths.origin, at, timeline_piece_origin(piece, i));
    cursor->rows[at] = (uint64_t)part->number << 32 | i;
}

/* at, when: of both parts. Which of the two is next is a coin's toss, so it is a number and not a
 * branch. */
static uint32_t pair_order(const struct timeline_cursor *cursor, uint32_t middle, uint32_t end)
{
    const struct part *parts = cursor->parts;
    const uint32_t *at = cursor->at, *when = cursor->when;
    uint32_t *order = cursor->order, i = 0, j = middle, count = 0;
    while (i < middle && j < end) {
        uint32_t x = when[i], y = when[j], second = y < x;
        if (__builtin_expect(x == y, 0))
            second = parts[1].piece->place[at[j]] < parts[0].piece->place[at[i]];
        order[count++] = i ^ ((i ^ j) & -second);
        i += 1 - second;
        j += second;
    }
    while (i < middle)
        order[count++] = i++;
    while (j < end)
        order[count++] = j++;
    return count;
}

/* Two parts that overlap: the usual case of several visitors. */
static uint32_t pair_merge(struct timeline_cursor *cursor, struct widths widths)
{
    const struct part *a = &cursor->parts[0], *b = &cursor->parts[1];
    const struct piece *piece = a->piece;
    uint32_t middle = part_gather(a, cursor->at);
    uint32_t end = middle + part_gather(b, cursor->at + middle);
    for (uint32_t i = 0; i < end; i++)
        cursor->when[i] = (i < middle ? piece : b->piece)->time[cursor->at[i]];
    uint32_t count = pair_order(cursor, middle, end);
    if (piece != b->piece || piece->code_bytes != 1 || piece->origin_bytes != 1) {
        for (uint32_t c = 0; c < count; c++)
            event_put(cursor, widths, c, cursor->order[c] < middle ? a : b,
                      cursor->at[cursor->order[c]]);
        return count;
    }
    const uint32_t *restrict order = cursor->order, *restrict at = cursor->at;
    const uint32_t *restrict when = cursor->when;
    uint8_t *restrict code = cursor->code, *restrict origin = cursor->origin;
    uint32_t *restrict time = cursor->time;
    uint64_t *restrict rows = cursor->rows, row = (uint64_t)a->number << 32;
    for (uint32_t c = 0; c < count; c++) {
        uint32_t i = at[order[c]];
        time[c] = when[order[c]];
        code[c] = piece->code[i];
        origin[c] = piece->origin[i];
        rows[c] = row | i;
    }
    return count;
}

static uint32_t many_merge(struct timeline_cursor *cursor, struct widths widths)
{
    uint32_t count = items_gather(cursor);
    items_sort(cursor);
    for (uint32_t i = 0; i < count; i++) {
        const struct item *item = &cursor->items[i];
        event_put(cursor, widths, i, &cursor->parts[item->part], item->at);
    }
    return count;
}

static bool parts_merge(struct timeline_cursor *cursor, uint32_t person,
                        struct timeline_run *ret_run)
{
    struct widths widths = widths_of(cursor);
    uint32_t count;
    scratch_reserve(cursor);
    if (parts_in_order(cursor))
        count = parts_append(cursor, widths);
    else
        count = cursor->parts_count == 2 ? pair_merge(cursor, widths) : many_merge(cursor, widths);
    merged_run(cursor, person, count, widths, ret_run);
    return count > 0;
}

/* --- people ----------------------------------------------------------------------------------- */

void timeline_cursor_parts(struct timeline_cursor *cursor, uint32_t first)
{
    cursor->parts_count = 0;
    for (uint32_t v = first; v != TIMELINE_NONE;) {
        visitor_parts(cursor, v);
        v = cursor->snapshot->maps[v / PAGE_SLOTS]->next[v % PAGE_SLOTS];
    }
}

static bool person_run(struct timeline_cursor *cursor, uint32_t person, uint32_t first,
                       struct timeline_run *ret_run)
{
    timeline_cursor_parts(cursor, first);
    if (cursor->parts_count == 0)
        return false;
    if (cursor->parts_count > 1)
        return parts_merge(cursor, person, ret_run);
    run_of_part(person, &cursor->parts[0], ret_run);
    return true;
}

bool timeline_person(struct timeline_cursor *cursor, uint32_t person, struct timeline_run *ret_run)
{
    if (person >= cursor->snapshot->view.slots)
        return false;
    uint32_t first = cursor->snapshot->maps[person / PAGE_SLOTS]->first[person % PAGE_SLOTS];
    return person_run(cursor, person, first, ret_run);
}

/* What holds nothing that was asked for spoils no run that can be handed out where it lies. */
static bool run_is_wanted(const struct timeline_cursor *cursor, const struct piece *delta,
                          uint32_t run)
{
    const uint8_t *wanted = cursor->scan->options.wanted;
    uint32_t any = wanted == NULL;
    for (uint32_t i = delta->offsets[run]; i < delta->offsets[run + 1] && any == 0; i++)
        any = wanted[timeline_piece_code(delta, i)];
    return any != 0;
}

static void delta_list(struct timeline_cursor *cursor, uint32_t i)
{
    const struct piece *delta = cursor->snapshot->deltas[i];
    uint32_t page = cursor->page;
    if (page >= delta->fences)
        return;
    uint32_t count = cursor->touches_count + delta->fence[page + 1] - delta->fence[page];
    if (count > cursor->touches_capacity) {
        cursor->touches_capacity = count * 2;
        cursor->touches =
            mem_grow(cursor->touches, cursor->touches_capacity * sizeof *cursor->touches);
    }
    for (uint32_t run = delta->fence[page]; run < delta->fence[page + 1]; run++) {
        if (!run_is_wanted(cursor, delta, run))
            continue;
        uint32_t slot = delta->slots[run] % PAGE_SLOTS, at = cursor->touches_count++;
        cursor->touches[at] = (struct touch){cursor->snapshot->pages + i, delta->offsets[run],
                                             delta->offsets[run + 1], TIMELINE_NONE};
        if (cursor->touched[slot] == TIMELINE_NONE)
            cursor->touched[slot] = at;
        else
            cursor->touches[cursor->touched_last[slot]].next = at;
        cursor->touched_last[slot] = at;
    }
}

bool timeline_cursor_page(struct timeline_cursor *cursor)
{
    const struct snapshot *snapshot = cursor->snapshot;
    if (cursor->page != TIMELINE_NONE)
        __atomic_fetch_add(&cursor->scan->pages_done, 1, __ATOMIC_RELAXED);
    cursor->page = TIMELINE_NONE;
    uint32_t page = __atomic_fetch_add(&cursor->scan->next_page, 1, __ATOMIC_RELAXED);
    if (page >= snapshot->pages || timeline_scan_cancelled(cursor->scan))
        return false;
    uint32_t end = (page + 1) * PAGE_SLOTS;
    cursor->page = page;
    cursor->slot = page * PAGE_SLOTS;
    cursor->slot_end = end < snapshot->view.slots ? end : snapshot->view.slots;
    cursor->map = snapshot->maps[page];
    cursor->base = snapshot->base[page];
    memset(cursor->touched, 0xff, sizeof cursor->touched);
    cursor->touches_count = 0;
    for (uint32_t i = page < snapshot->folded_pages ? 1 : 0; i < snapshot->deltas_count; i++)
        delta_list(cursor, i);
    return true;
}

/* The events of visitor 0, piece by piece. */
static bool nobody_run(struct timeline_cursor *cursor, struct timeline_run *ret_run)
{
    const struct snapshot *snapshot = cursor->snapshot;
    while (cursor->nobody && !timeline_scan_cancelled(cursor->scan)) {
        uint32_t number = cursor->nobody_next++;
        cursor->nobody = number < snapshot->deltas_count;
        /* The base's first, then the deltas; deltas[0] may be part of page 0 already. */
        if (number == 1 && snapshot->folded_pages > 0)
            continue;
        cursor->parts_count = 0;
        part_find(cursor, number == 0 ? 0 : snapshot->pages + number - 1, 0);
        if (cursor->parts_count == 0)
            continue;
        run_of_part(TIMELINE_NONE, &cursor->parts[0], ret_run);
        return true;
    }
    return false;
}

uint32_t timeline_set_next(const struct timeline_set *set, uint32_t slot, uint32_t end)
{
    uint32_t last = end < set->slots ? end : set->slots;
    while (slot < last) {
        uint64_t left = set->words[slot / 64] >> slot % 64;
        if (left != 0) {
            slot += (uint32_t)__builtin_ctzll(left);
            return slot < last ? slot : end;
        }
        slot = (slot / 64 + 1) * 64;
    }
    return end;
}

bool timeline_cursor_next(struct timeline_cursor *cursor, struct timeline_run *ret_run)
{
    CHECK(cursor->scan->options.wanted == NULL);
    const struct timeline_set *only = cursor->scan->options.only;
    if (cursor->nobody && nobody_run(cursor, ret_run))
        return true;
    for (;;) {
        while (cursor->slot < cursor->slot_end) {
            if (only != NULL) {
                cursor->slot = timeline_set_next(only, cursor->slot, cursor->slot_end);
                if (cursor->slot >= cursor->slot_end)
                    break;
            }
            uint32_t person = cursor->slot++, first = cursor->map->first[person % PAGE_SLOTS];
            if (first == TIMELINE_NONE)
                continue;
            if (!timeline_cursor_alone(cursor, person, first)) {
                if (person_run(cursor, person, first, ret_run))
                    return true;
                continue;
            }
            const uint32_t *offsets = cursor->base->offsets + person % PAGE_SLOTS;
            struct part part = {cursor->base, cursor->page, offsets[0], offsets[1]};
            if (part.from == part.to)
                continue;
            run_of_part(person, &part, ret_run);
            return true;
        }
        if (!timeline_cursor_page(cursor))
            return false;
    }
}

/* --- threads ---------------------------------------------------------------------------------- */

struct worker {
    pthread_t thread;
    struct timeline_scan *scan;
    timeline_work *work;
    void *ctx;
};

static void *worker_main(void *argument)
{
    struct worker *worker = argument;
    struct timeline_cursor *cursor = timeline_cursor_open(worker->scan);
    worker->work(cursor, worker->ctx);
    timeline_cursor_close(cursor);
    return NULL;
}

void timeline_scan_run(struct timeline_scan *scan, int threads, timeline_work *work, void *ctxs,
                       size_t ctx_size)
{
    if (threads <= 0)
        threads = (int)sysconf(_SC_NPROCESSORS_ONLN);
    struct worker *workers = mem_zero((size_t)threads * sizeof *workers);
    for (int i = 0; i < threads; i++)
        workers[i] =
            (struct worker){.scan = scan, .work = work, .ctx = (char *)ctxs + (size_t)i * ctx_size};
    for (int i = 1; i < threads; i++)
        CHECK(thread_start(&workers[i].thread, "report", worker_main, &workers[i]) == 0);
    worker_main(&workers[0]);
    for (int i = 1; i < threads; i++)
        CHECK(pthread_join(workers[i].thread, NULL) == 0);
    free(workers);
}
