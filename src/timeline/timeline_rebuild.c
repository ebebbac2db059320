/* timeline_rebuild.c - from the warehouse's rows to base pages, at the memory's speed.
 *
 *   1. Load: threads stream spans of positions. An event becomes a row of 24 bytes with its
 *      visitor's number in that thread; the tables of visitors are small and asked ahead.
 *   2. Number: people in order, each person's visitors beside each other, so that a report reads
 *      memory from front to back.
 *   3. Deal: rows go to their page's list. The blocks of step 1 are given back on the way.
 *   4. Build: a page's rows are sorted and become columns; the lists are given back.
 *
 * So at no time are there much more than 24 bytes per event and the visitors' tables. Above the
 * memory's limit the rows of the newest days are read only.
 *
 * A timeline of one question (timeline_extract) is made in the same way, of the rows that the
 * question needs: parts of the warehouse instead of all of it, and an error instead of fewer days
 * when they do not fit.
 *
 * Everything here lies before the cut; what was fed since waits in the queue and comes after. Who
 * belongs to whom is read as it is now, which may be newer than the cut: the queue says the same
 * again. */
#include "timeline/timeline_int.h"

#include <stdlib.h>
#include <sys/mman.h>

#include "base/arena.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/thread.h"
#include "timeline/timeline_extract.h"
#include "warehouse/warehouse_stream.h"

#define BLOCK_ROWS 65536
#define CHUNK_ROWS 128 /* of a page's list */
#define SLAB_BYTES ((size_t)256 << 10)
#define GROUP_PAGES 64U /* share slabs, and are given back together */
#define SPANS_PER_THREAD 4U
#define THREADS_MAX 64
#define PAIRS_MEMO 256U
#define AHEAD 16U /* rows whose slot is fetched while others are dealt */
#define BATCH 64U /* visitors that are asked ahead: so many lines the nearest cache holds twice */
#define EVENT_BYTES 27   /* of a rebuild, at its peak */
#define VISITOR_BYTES 48 /* slots, and what numbering them takes */
#define COLUMN_BYTES 40  /* of an event while one property of it is read, at most */
#define DAY_S 86400

/* --- a set of visitors, numbered in the order of adding --------------------------------------- */

struct visitors {
    uint64_t *ids;
    uint32_t count, capacity;
    struct id_table table;
};

static void visitors_table(struct visitors *visitors, uint32_t size)
{
    struct id_table *table = &visitors->table;
    free(table->entries);
    *table = (struct id_table){mem_zero((size_t)size * 8), size - 1};
    for (uint32_t i = 0; i < visitors->count; i++) {
        uint64_t hash = hash_mix(visitors->ids[i]);
        uint32_t at = (uint32_t)hash & table->mask;
        while (table->entries[at] != 0)
            at = (at + 1) & table->mask;
        table->entries[at] = id_entry(hash, i);
    }
}

static uint32_t visitors_find(const struct visitors *visitors, uint64_t id, uint32_t *ret_at)
{
    uint64_t hash = hash_mix(id);
    for (uint32_t at = (uint32_t)hash;; at++) {
        at = id_probe(&visitors->table, hash, at);
        uint32_t number = id_number(visitors->table.entries[at]);
        if (number != TIMELINE_NONE && visitors->ids[number] != id)
            continue;
        *ret_at = at;
        return number;
    }
}

static uint32_t visitors_add(struct visitors *visitors, uint64_t id)
{
    uint32_t at;
    if (visitors->table.entries == NULL)
        visitors_table(visitors, ID_TABLE_FIRST);
    else if (visitors->count >= visitors->table.mask / 4 * 3)
        visitors_table(visitors, (visitors->table.mask + 1) * 2);
    uint32_t known = visitors_find(visitors, id, &at);
    if (known != TIMELINE_NONE)
        return known;
    if (visitors->count == visitors->capacity) {
        visitors->capacity = visitors->capacity == 0 ? 4096 : visitors->capacity * 2;
        visitors->ids = mem_grow(visitors->ids, visitors->capacity * sizeof *visitors->ids);
    }
    visitors->ids[visitors->count] = id;
    visitors->table.entries[at] = id_entry(hash_mix(id), visitors->count);
    return visitors->count++;
}

/* What is asked soon, in the cache now. A whole batch does not fit the nearest cache: a part. */
static void visitors_ahead(const struct visitors *visitors, const uint64_t *ids, size_t count)
{
    const struct id_table *table = &visitors->table;
    for (size_t i = 0; i < count; i++)
        __builtin_prefetch(&table->entries[hash_mix(ids[i]) & table->mask]);
    for (size_t i = 0; i < count; i++) {
        uint64_t hash = hash_mix(ids[i]);
        uint32_t number = id_number(table->entries[id_probe(table, hash, (uint32_t)hash)]);
        if (number != TIMELINE_NONE)
            __builtin_prefetch(&visitors->ids[number]);
    }
}

static void visitors_done(struct visitors *visitors)
{
    free(visitors->ids);
    free(visitors->table.entries);
    *visitors = (struct visitors){0};
}

/* --- the whole of a rebuild ------------------------------------------------------------------- */

struct block {
    struct block *next;
    uint32_t count;
    struct row rows[BLOCK_ROWS];
};

struct chunk {
    struct chunk *next;
    uint32_t count;
    struct row rows[CHUNK_ROWS];
};

struct slab {
    struct slab *next;
    size_t used;
};

/* One thread's share. */
struct loader {
    struct rebuilding *whole;
    pthread_t thread;
    struct visitors visitors;
    uint32_t *slots; /* [visitors.count] */
    struct block *blocks;
    int64_t *amounts;
    uint32_t amounts_count, amounts_capacity;
    struct memo *memo;
    /* The stream's codes in ours, + 1; 0 = not asked yet. */
    uint32_t *name_codes;
    uint32_t codes_capacity;
    struct pair_memo {
        uint32_t channel, campaign, origin; /* origin + 1 */
    } pairs[PAIRS_MEMO];                    /* where the pair's hash says */
    struct chunk **pages;  /* [pages]: this thread's rows of each page, newest chunk first */
    struct slab **groups;  /* [groups] */
    uint64_t *code_events; /* [65,536], added to the timeline's at the end */
    uint32_t *days;
    uint64_t events;
    enum status status;
    struct err err;
};

struct rebuilding {
    struct timeline *timeline;
    struct loader loaders[THREADS_MAX];
    int threads;
    uint64_t cut;
    uint32_t trim_before;
    uint32_t next; /* span, or group; atomic */
    uint32_t spans, pages, groups;
    uint64_t rows_all, rows_loaded; /* the second atomic */
    uint64_t visitors_loaded;       /* atomic; who is in two threads' sets counts twice */
    size_t bytes, peak;             /* atomic */
};

/* Populated at once: nearly all of it is written. */
static void *map_take(struct rebuilding *whole, size_t bytes)
{
    void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE,
                   -1, 0);
    CHECK(p != MAP_FAILED);
    size_t held = __atomic_add_fetch(&whole->bytes, bytes, __ATOMIC_RELAXED) +
                  __atomic_load_n(&whole->timeline->bytes, __ATOMIC_RELAXED);
    size_t peak = __atomic_load_n(&whole->peak, __ATOMIC_RELAXED);
    while (held > peak && !__atomic_compare_exchange_n(&whole->peak, &peak, held, true,
                                                       __ATOMIC_RELAXED, __ATOMIC_RELAXED))
        ;
    return p;
}

static void map_give(struct rebuilding *whole, void *p, size_t bytes)
{
    munmap(p, bytes);
    __atomic_sub_fetch(&whole->bytes, bytes, __ATOMIC_RELAXED);
}

static void threads_run(struct rebuilding *whole, void *(*run)(void *loader))
{
    whole->next = 0;
    for (int i = 1; i < whole->threads; i++)
        CHECK(pthread_create(&whole->loaders[i].thread, NULL, run, &whole->loaders[i]) == 0);
    run(&whole->loaders[0]);
    for (int i = 1; i < whole->threads; i++)
        CHECK(pthread_join(whole->loaders[i].thread, NULL) == 0);
}

/* --- 1. load ---------------------------------------------------------------------------------- */

static struct row *row_new(struct loader *loader)
{
    struct block *block = loader->blocks;
    if (block == NULL || block->count == BLOCK_ROWS) {
        block = map_take(loader->whole, sizeof *block);
        block->next = loader->blocks;
        loader->blocks = block;
    }
    return &block->rows[block->count++];
}

static uint32_t amount_new(struct loader *loader, int64_t micros)
{
    if (loader->amounts_count == loader->amounts_capacity) {
        loader->amounts_capacity =
            loader->amounts_capacity == 0 ? 65536 : loader->amounts_capacity * 2;
        loader->amounts =
            mem_grow(loader->amounts, loader->amounts_capacity * sizeof *loader->amounts);
    }
    loader->amounts[loader->amounts_count++] = micros;
    return loader->amounts_count;
}

static uint16_t name_code(struct loader *loader, const struct warehouse_columns *columns,
                          uint32_t text)
{
    uint32_t *code = &loader->name_codes[text];
    if (*code == 0)
        *code = 1U + timeline_names_code(&loader->whole->timeline->names, loader->memo,
                                         columns->texts[text]);
    return (uint16_t)(*code - 1);
}

static uint16_t pair_origin(struct loader *loader, const struct warehouse_columns *columns,
                            uint32_t channel, uint32_t campaign)
{
    struct pair_memo *pair =
        &loader->pairs[hash_mix((uint64_t)channel << 32 | campaign) % PAIRS_MEMO];
    if (pair->origin == 0 || pair->channel != channel || pair->campaign != campaign)
        *pair = (struct pair_memo){channel, campaign,
                                   1U + timeline_names_origin(&loader->whole->timeline->names,
                                                              loader->memo, columns->texts[channel],
                                                              columns->texts[campaign])};
    return (uint16_t)(pair->origin - 1);
}

static void codes_reserve(struct loader *loader, uint32_t count)
{
    if (count <= loader->codes_capacity)
        return;
    uint32_t capacity = count * 2;
    loader->name_codes = mem_grow(loader->name_codes, capacity * sizeof *loader->name_codes);
    memset(loader->name_codes + loader->codes_capacity, 0,
           (capacity - loader->codes_capacity) * sizeof *loader->name_codes);
    loader->codes_capacity = capacity;
}

/* Of a question: is there time and room to go on? */
static bool extract_goes_on(struct loader *loader, uint64_t events, uint64_t visitors)
{
    const struct timeline *timeline = loader->whole->timeline;
    const struct timeline_extract *extract = timeline->extract;
    size_t memory = timeline->options.memory_bytes;
    uint64_t each = EVENT_BYTES + (extract->columns ? COLUMN_BYTES : 0);
    if (extract->stop(extract->stop_ctx))
        loader->status = err_set(&loader->err, ST_BUSY, "stopped");
    else if (events * each + visitors * VISITOR_BYTES > memory)
        loader->status =
            err_set(&loader->err, ST_TOO_LARGE,
                    "more than %llu events of %llu visitors do not fit into %zu MB",
                    (unsigned long long)events, (unsigned long long)visitors, memory >> 20);
    return loader->status == ST_OK;
}

static bool columns_load(void *ctx, const struct warehouse_columns *columns)
{
    struct loader *loader = ctx;
    uint32_t visitors = loader->visitors.count;
    uint32_t channel = TIMELINE_NONE, campaign = TIMELINE_NONE;
    uint16_t origin = 0;
    codes_reserve(loader, columns->texts_count);
    for (size_t i = 0; i < columns->count; i++) {
        if (i % BATCH == 0)
            visitors_ahead(&loader->visitors, columns->visitor + i,
                           columns->count - i < BATCH ? columns->count - i : BATCH);
        struct row *row = row_new(loader);
        if (columns->channel[i] != channel || columns->campaign[i] != campaign) {
            channel = columns->channel[i];
            campaign = columns->campaign[i];
            origin = pair_origin(loader, columns, channel, campaign);
        }
        timeline_row_time(columns->time_us[i], columns->position[i], row);
        row->slot = visitors_add(&loader->visitors, columns->visitor[i]);
        row->code = name_code(loader, columns, columns->name[i]);
        row->origin = origin;
        row->amount = 0;
        if (columns->amount_valid == NULL || (columns->amount_valid[i / 64] >> i % 64 & 1) != 0)
            row->amount = amount_new(loader, columns->amount_micros[i]);
    }
    struct rebuilding *whole = loader->whole;
    uint64_t loaded = __atomic_add_fetch(&whole->rows_loaded, columns->count, __ATOMIC_RELAXED);
    struct timeline *timeline = whole->timeline;
    uint64_t known = __atomic_add_fetch(&whole->visitors_loaded, loader->visitors.count - visitors,
                                        __ATOMIC_RELAXED);
    if (timeline->extract != NULL)
        return extract_goes_on(loader, loaded, known);
    pthread_mutex_lock(&timeline->mutex);
    timeline->rebuild_progress =
        0.7 * (double)loaded / (double)(whole->rows_all > loaded ? whole->rows_all : loaded);
    bool stopping = timeline->stopping;
    pthread_mutex_unlock(&timeline->mutex);
    if (stopping)
        loader->status = err_set(&loader->err, ST_BUSY, "stopped");
    return !stopping;
}

/* What to stream next: a share of the positions, of each part. What is summed up by visitor cannot
 * be shared out so. */
static bool span_take(struct rebuilding *whole, struct warehouse_span *ret_span)
{
    const struct timeline_extract *extract = whole->timeline->extract;
    uint64_t step = whole->cut / whole->spans + 1, i;
    uint64_t count = (extract == NULL ? 1 : extract->parts_count) * whole->spans;
    while ((i = __atomic_fetch_add(&whole->next, 1, __ATOMIC_RELAXED)) < count) {
        uint64_t from = i % whole->spans * step, below = from + step;
        struct warehouse_span span = {.time_from_us = (int64_t)whole->trim_before * US_PER_S};
        if (extract != NULL) {
            span = extract->parts[i / whole->spans];
            span.stop = extract->stop;
            span.stop_ctx = extract->stop_ctx;
        }
        if (span.first != WAREHOUSE_EVERY) {
            if (from > 0)
                continue;
            below = whole->cut;
        }
        span.position_from = from;
        span.position_below = below < whole->cut ? below : whole->cut;
        *ret_span = span;
        if (span.position_from < span.position_below)
            return true;
    }
    return false;
}

static void *load_main(void *argument)
{
    struct loader *loader = argument;
    struct rebuilding *whole = loader->whole;
    struct warehouse_span span;
    while (loader->status == ST_OK && span_take(whole, &span)) {
        if (loader->codes_capacity > 0) /* a new stream has a new dictionary */
            memset(loader->name_codes, 0, loader->codes_capacity * sizeof *loader->name_codes);
        memset(loader->pairs, 0, sizeof loader->pairs);
        struct err err;
        enum status status = warehouse_stream_events(whole->timeline->options.warehouse, &span,
                                                     columns_load, loader, &err);
        if (status != ST_OK) {
            loader->status = status;
            loader->err = err;
        }
    }
    return NULL;
}

/* --- 2. number -------------------------------------------------------------------------------- */

struct owner {
    uint64_t person;
    uint32_t visitor; /* in the set of all */
};

struct numbering {
    struct visitors *visitors; /* of all loaders: the first one's */
    uint64_t *persons;         /* 0 = no owner is known: the visitor itself */
};
#define PERSON_GONE UINT64_MAX /* of numbering: erased */

static void owners_take(void *ctx, size_t count, const uint64_t *visitors, const uint64_t *persons)
{
    struct numbering *numbering = ctx;
    for (size_t i = 0; i < count; i++) {
        if (i % BATCH == 0)
            visitors_ahead(numbering->visitors, visitors + i,
                           count - i < BATCH ? count - i : BATCH);
        uint32_t at, known = visitors_find(numbering->visitors, visitors[i], &at);
        if (known != TIMELINE_NONE)
            numbering->persons[known] = persons[i];
    }
}

/* Rows of the erased may have been read before the erase; they are dropped with their visitor. */
static void erased_take(void *ctx, size_t count, const uint64_t *visitors)
{
    struct numbering *numbering = ctx;
    for (size_t i = 0; i < count; i++) {
        uint32_t at, known = visitors_find(numbering->visitors, visitors[i], &at);
        if (known != TIMELINE_NONE)
            numbering->persons[known] = PERSON_GONE;
    }
}

/* By person, least digit first. */
static struct owner *owners_sort(struct owner *owners, struct owner *scratch, uint32_t count)
{
    uint64_t all = 0;
    for (uint32_t i = 0; i < count; i++)
        all |= owners[i].person;
    for (unsigned shift = 0; shift < 64 && all >> shift != 0; shift += 11) {
        uint32_t starts[2048] = {0};
        for (uint32_t i = 0; i < count; i++)
            starts[owners[i].person >> shift & 2047]++;
        uint32_t sum = 0;
        for (uint32_t i = 0; i < 2048; i++) {
            uint32_t n = starts[i];
            starts[i] = sum;
            sum += n;
        }
        for (uint32_t i = 0; i < count; i++)
            scratch[starts[owners[i].person >> shift & 2047]++] = owners[i];
        struct owner *other = owners;
        owners = scratch;
        scratch = other;
    }
    return owners;
}

/* All visitors in the first loader's set; where the others' stand there. */
static void visitors_unite(struct rebuilding *whole)
{
    struct visitors *all = &whole->loaders[0].visitors;
    for (int t = 1; t < whole->threads; t++) {
        struct loader *loader = &whole->loaders[t];
        const uint64_t *ids = loader->visitors.ids;
        uint32_t count = loader->visitors.count;
        loader->slots = mem_alloc((count + 1) * sizeof *loader->slots);
        for (uint32_t i = 0; i < count; i += BATCH) {
            uint32_t end = count - i < BATCH ? count : i + BATCH;
            visitors_ahead(all, ids + i, end - i);
            for (uint32_t j = i; j < end; j++)
                loader->slots[j] = visitors_add(all, ids[j]);
        }
        visitors_done(&loader->visitors);
        loader->visitors.count = count; /* of `slots` */
    }
}

static uint32_t *slots_make(struct timeline *timeline, const struct numbering *numbering)
{
    const struct visitors *all = numbering->visitors;
    struct owner *owners = mem_alloc((all->count + 1) * sizeof *owners);
    struct owner *scratch = mem_alloc((all->count + 1) * sizeof *scratch);
    uint32_t *slots = mem_zero((all->count + 1) * sizeof *slots);
    uint32_t count = 0;
    for (uint32_t i = 0; i < all->count; i++)
        if (all->ids[i] != 0)
            owners[count++] =
                (struct owner){numbering->persons[i] != 0 ? numbering->persons[i] : all->ids[i], i};
    timeline_slots_reserve(timeline, timeline->slots.count + count);
    const struct owner *sorted = owners_sort(owners, scratch, count);
    for (uint32_t i = 0; i < count; i++) {
        bool gone = sorted[i].person == PERSON_GONE;
        uint32_t person = gone ? 0 : timeline_slot_take(timeline, sorted[i].person);
        uint32_t slot = timeline_slot_take(timeline, all->ids[sorted[i].visitor]);
        if (gone)
            timeline_slot_erase(timeline, slot);
        else
            timeline_slot_give(timeline, slot, person);
        slots[sorted[i].visitor] = slot;
    }
    free(owners);
    free(scratch);
    return slots;
}

static enum status slots_number(struct rebuilding *whole, struct err *err)
{
    struct timeline *timeline = whole->timeline;
    visitors_unite(whole);
    struct visitors *all = &whole->loaders[0].visitors;
    if (all->count == 0)
        return ST_OK;
    struct numbering numbering = {
        .visitors = all,
        .persons = mem_zero((all->count + 1) * sizeof *numbering.persons),
    };
    enum status status =
        warehouse_stream_owners(timeline->options.warehouse, owners_take, &numbering, err);
    if (status == ST_OK && timeline->extract != NULL)
        warehouse_erased(timeline->options.warehouse, erased_take, &numbering);
    if (status == ST_OK) {
        uint32_t *slots = slots_make(timeline, &numbering);
        for (int t = 1; t < whole->threads; t++)
            for (uint32_t i = 0; i < whole->loaders[t].visitors.count; i++)
                whole->loaders[t].slots[i] = slots[whole->loaders[t].slots[i]];
        whole->loaders[0].slots = slots;
    }
    free(numbering.persons);
    uint32_t count = all->count;
    visitors_done(all);
    all->count = count; /* of `slots` */
    return status;
}

/* --- 3. deal ---------------------------------------------------------------------------------- */

static struct chunk *chunk_new(struct loader *loader, uint32_t page)
{
    struct slab **slab = &loader->groups[page / GROUP_PAGES];
    if (*slab == NULL || (*slab)->used + sizeof(struct chunk) > SLAB_BYTES) {
        struct slab *fresh = map_take(loader->whole, SLAB_BYTES);
        fresh->next = *slab;
        fresh->used = 64;
        *slab = fresh;
    }
    struct chunk *chunk = (struct chunk *)((char *)*slab + (*slab)->used);
    (*slab)->used += sizeof *chunk;
    chunk->next = loader->pages[page];
    loader->pages[page] = chunk;
    return chunk;
}

static void *deal_main(void *argument)
{
    struct loader *loader = argument;
    struct rebuilding *whole = loader->whole;
    const struct slots *slots = &whole->timeline->slots;
    for (uint32_t i = 0; i < loader->visitors.count; i++) {
        uint32_t slot = loader->slots[i];
        if (slot != 0 && timeline_slot_person(slots, slot) == PERSON_ERASED)
            loader->slots[i] = TIMELINE_NONE;
    }
    while (loader->blocks != NULL) {
        struct block *block = loader->blocks;
        for (uint32_t i = 0; i < block->count; i++) {
            const struct row *row = &block->rows[i];
            if (i + AHEAD < block->count)
                __builtin_prefetch(&loader->slots[row[AHEAD].slot]);
            uint32_t slot = loader->slots[row->slot];
            if (slot == TIMELINE_NONE)
                continue;
            struct chunk *chunk = loader->pages[slot / PAGE_SLOTS];
            if (chunk == NULL || chunk->count == CHUNK_ROWS)
                chunk = chunk_new(loader, slot / PAGE_SLOTS);
            struct row *to = &chunk->rows[chunk->count++];
            *to = *row;
            to->slot = slot;
        }
        loader->blocks = block->next;
        map_give(whole, block, sizeof *block);
    }
    return NULL;
}

/* --- 4. build --------------------------------------------------------------------------------- */

struct bench {
    struct row *rows, *scratch;
    int64_t *amounts;
    size_t capacity;
};

static void bench_reserve(struct bench *bench, size_t count)
{
    if (count <= bench->capacity)
        return;
    free(bench->rows);
    free(bench->scratch);
    free(bench->amounts);
    bench->capacity = count + count / 2;
    bench->rows = mem_alloc(bench->capacity * sizeof *bench->rows);
    bench->scratch = mem_alloc(bench->capacity * sizeof *bench->scratch);
    bench->amounts = mem_alloc(bench->capacity * sizeof *bench->amounts);
}

static size_t page_rows(const struct rebuilding *whole, uint32_t page)
{
    size_t count = 0;
    for (int t = 0; t < whole->threads; t++)
        for (const struct chunk *chunk = whole->loaders[t].pages[page]; chunk != NULL;
             chunk = chunk->next)
            count += chunk->count;
    return count;
}

static void page_make(struct loader *loader, struct bench *bench, uint32_t page)
{
    struct rebuilding *whole = loader->whole;
    size_t count = page_rows(whole, page), at = 0;
    uint32_t amounts = 0;
    if (count == 0)
        return;
    CHECK(count < UINT32_MAX / 2);
    bench_reserve(bench, count);
    for (int t = 0; t < whole->threads; t++)
        for (const struct chunk *chunk = whole->loaders[t].pages[page]; chunk != NULL;
             chunk = chunk->next)
            for (uint32_t i = 0; i < chunk->count; i++) {
                struct row *row = &bench->rows[at++];
                *row = chunk->rows[i];
                loader->code_events[row->code]++;
                loader->days[row->time / DAY_S]++;
                if (row->amount != 0) {
                    bench->amounts[amounts++] = whole->loaders[t].amounts[row->amount - 1];
                    row->amount = amounts;
                }
            }
    timeline_rows_sort(bench->rows, bench->scratch, count, page * PAGE_SLOTS, PAGE_SLOTS);
    whole->timeline->base[page] =
        timeline_piece_build(whole->timeline, bench->rows, (uint32_t)count, bench->amounts, page);
    loader->events += count;
}

static void *build_main(void *argument)
{
    struct loader *loader = argument;
    struct rebuilding *whole = loader->whole;
    struct bench bench = {0};
    for (uint32_t group;
         (group = __atomic_fetch_add(&whole->next, 1, __ATOMIC_RELAXED)) < whole->groups;) {
        uint32_t end = (group + 1) * GROUP_PAGES;
        for (uint32_t page = group * GROUP_PAGES; page < end && page < whole->pages; page++)
            page_make(loader, &bench, page);
        for (int t = 0; t < whole->threads; t++)
            while (whole->loaders[t].groups[group] != NULL) {
                struct slab *slab = whole->loaders[t].groups[group];
                whole->loaders[t].groups[group] = slab->next;
                map_give(whole, slab, SLAB_BYTES);
            }
    }
    free(bench.rows);
    free(bench.scratch);
    free(bench.amounts);
    return NULL;
}

static void pages_build(struct rebuilding *whole)
{
    struct timeline *timeline = whole->timeline;
    whole->pages = timeline->slots.pages;
    whole->groups = (whole->pages + GROUP_PAGES - 1) / GROUP_PAGES;
    for (int t = 0; t < whole->threads; t++) {
        struct loader *loader = &whole->loaders[t];
        loader->pages = mem_zero(whole->pages * sizeof(void *));
        loader->groups = mem_zero(whole->groups * sizeof(void *));
        loader->code_events = mem_zero(65536 * sizeof *loader->code_events);
        loader->days = mem_zero(DAYS * sizeof *loader->days);
    }
    threads_run(whole, deal_main);
    threads_run(whole, build_main);
    for (int t = 0; t < whole->threads; t++) {
        const struct loader *loader = &whole->loaders[t];
        timeline->events += loader->events;
        for (uint32_t i = 0; i < 65536 && timeline->extract == NULL; i++)
            timeline->code_events[i] += loader->code_events[i];
        for (uint32_t i = 0; i < DAYS; i++)
            timeline->days[i] += loader->days[i];
    }
    timeline->base_events = timeline->events;
}

/* --- how much fits ---------------------------------------------------------------------------- */

static enum status number_query(struct warehouse *warehouse, const char *sql, struct buf *json,
                                yyjson_doc **ret_doc, struct err *err)
{
    buf_reset(json);
    enum status status = warehouse_query(warehouse, sql, NULL, 0, json, err);
    return status == ST_OK ? json_parse(NULL, buf_view(json), ret_doc, err) : status;
}

/* The first second that is kept, when not all of it fits: days from the newest on. */
static enum status trim_choose(struct rebuilding *whole, struct err *err)
{
    struct timeline *timeline = whole->timeline;
    struct warehouse *warehouse = timeline->options.warehouse;
    struct warehouse_stats stats;
    struct buf json;
    yyjson_doc *doc = NULL;
    uint64_t dropped = 0;
    warehouse_stats(warehouse, &stats);
    whole->rows_all = stats.events;
    size_t memory = timeline->options.memory_bytes;
    if ((double)stats.events * (EVENT_BYTES + VISITOR_BYTES) < (double)memory)
        return ST_OK; /* whoever they are */
    buf_init(&json, (size_t)64 << 20);
    enum status status =
        number_query(warehouse, "SELECT count(*)::UBIGINT FROM raw.visitor", &json, &doc, err);
    if (status == ST_OK) {
        yyjson_val *row = yyjson_arr_get_first(yyjson_obj_get(yyjson_doc_get_root(doc), "rows"));
        double people = (double)yyjson_get_uint(yyjson_arr_get_first(row)) * VISITOR_BYTES;
        double half = (double)memory / 2;
        double room = ((double)memory - (people < half ? people : half)) / EVENT_BYTES;
        yyjson_doc_free(doc);
        doc = NULL;
        if ((double)stats.events <= room) {
            buf_done(&json);
            return ST_OK;
        }
        status = number_query(warehouse,
                              "SELECT (epoch_us(time) // 86400000000)::BIGINT AS day, "
                              "count(*)::UBIGINT FROM raw.event GROUP BY 1 ORDER BY 1 DESC",
                              &json, &doc, err);
        yyjson_arr_iter rows;
        yyjson_arr_iter_init(yyjson_obj_get(yyjson_doc_get_root(doc), "rows"), &rows);
        while (status == ST_OK && (row = yyjson_arr_iter_next(&rows)) != NULL) {
            int64_t day = yyjson_get_sint(yyjson_arr_get_first(row));
            uint64_t events = yyjson_get_uint(yyjson_arr_get_last(row));
            room -= (double)events;
            if (room < 0 && whole->trim_before == 0 && day + 1 < DAYS && day >= 0)
                whole->trim_before = (uint32_t)(day + 1) * DAY_S;
            if (whole->trim_before != 0)
                dropped += events;
        }
        pthread_mutex_lock(&timeline->mutex);
        timeline->stats.dropped += dropped;
        pthread_mutex_unlock(&timeline->mutex);
    }
    yyjson_doc_free(doc);
    buf_done(&json);
    return status;
}

/* --- all of it -------------------------------------------------------------------------------- */

/* What was there before, if this is not the first time. */
static void forget(struct timeline *timeline)
{
    for (uint32_t i = 0; i < timeline->slots.pages; i++) {
        if (timeline->base[i] != NULL)
            timeline_retire(timeline, RETIRED_PIECE, timeline->base[i]);
        timeline->base[i] = NULL;
    }
    for (uint32_t i = 0; i < timeline->deltas_count; i++)
        timeline_retire(timeline, RETIRED_PIECE, timeline->deltas[i]);
    if (timeline->folding_piece != NULL)
        timeline_retire(timeline, RETIRED_PIECE, timeline->folding_piece);
    timeline->folding_piece = NULL;
    timeline->folding = timeline->sweeping = timeline->sweep_wanted = false;
    timeline->folded_pages = timeline->deltas_count = 0;
    timeline->events = timeline->base_events = 0;
    timeline->trim_before = 0;
    memset(timeline->code_events, 0, 65536 * sizeof *timeline->code_events);
    memset(timeline->days, 0, DAYS * sizeof *timeline->days);
    timeline_snapshot_publish(timeline); /* empty; nobody can open it, and the memory is free */
}

static void loader_done(struct rebuilding *whole, struct loader *loader)
{
    while (loader->blocks != NULL) {
        struct block *block = loader->blocks;
        loader->blocks = block->next;
        map_give(whole, block, sizeof *block);
    }
    visitors_done(&loader->visitors);
    free(loader->slots);
    free(loader->amounts);
    free(loader->memo);
    free(loader->name_codes);
    free(loader->pages);
    free(loader->groups);
    free(loader->code_events);
    free(loader->days);
}

enum status timeline_rebuild(struct timeline *timeline, uint64_t cut, struct err *err)
{
    struct rebuilding *whole = mem_zero(sizeof *whole);
    whole->timeline = timeline;
    whole->cut = cut;
    whole->threads = timeline->threads < THREADS_MAX ? timeline->threads : THREADS_MAX;
    whole->spans = (uint32_t)whole->threads * SPANS_PER_THREAD;
    forget(timeline);
    for (int t = 0; t < whole->threads; t++) {
        whole->loaders[t].whole = whole;
        whole->loaders[t].memo = mem_zero(sizeof *whole->loaders[t].memo);
        visitors_add(&whole->loaders[t].visitors, 0); /* visitor 0 is slot 0 everywhere */
    }
    enum status status = timeline->extract == NULL ? trim_choose(whole, err)
                                                   : timeline_extract_names(timeline, cut, err);
    if (status == ST_OK)
        threads_run(whole, load_main);
    for (int t = 0; t < whole->threads && status == ST_OK; t++)
        if (whole->loaders[t].status != ST_OK) {
            *err = whole->loaders[t].err;
            status = err->status;
        }
    if (status == ST_OK)
        status = slots_number(whole, err);
    if (status == ST_OK) {
        timeline->trim_before = whole->trim_before;
        pages_build(whole);
    }
    for (int t = 0; t < whole->threads; t++)
        loader_done(whole, &whole->loaders[t]);
    pthread_mutex_lock(&timeline->mutex);
    timeline->stats.rebuild_bytes_peak = whole->peak;
    pthread_mutex_unlock(&timeline->mutex);
    free(whole);
    return status;
}
