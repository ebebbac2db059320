/* timeline_rebuild.c - from the warehouse's rows to base pages, at the memory's speed.
 *
 *   1. Number: whoever the warehouse knows gets a slot, people in order, each person's visitors
 *      beside each other (timeline_number.c).
 *   2. Load: threads stream spans of positions. An event becomes a row of 24 bytes, in its page's
 *      list at once (timeline_pages.c): one look for the slot is all that is far away in memory.
 *   3. Build: a page's rows go straight into the columns (timeline_gather.c); the lists are given
 *      back.
 *
 * So at no time are there much more than 24 bytes per event and the visitors' slots. Above the
 * memory's limit the newest rows are read only. Then, and for a question, not everybody is meant,
 * so rows come before slots: each thread numbers the strangers that it meets, and when they have
 * slots their rows are dealt to the pages, too.
 *
 * A timeline of one question (timeline_extract) is made in the same way, of the rows that the
 * question needs: parts of the warehouse instead of all of it, and an error instead of fewer days
 * when they do not fit.
 *
 * Everything here lies before the cut; what was fed since waits in the queue and comes after. Who
 * belongs to whom is read as it is now, which may be newer than the cut: the queue says the same
 * again. */
#include "timeline/timeline_rebuild_int.h"

#include <stdlib.h>
#include <sys/mman.h>

#include "base/arena.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/thread.h"
#include "timeline/timeline_extract.h"

#define AHEAD 16U           /* rows; and the ids of so many more */
#define SPANS_PER_THREAD 8U /* at most; and … */
#define SPAN_ROWS 100000U   /* … about so many rows at least */
#define HUGE_BYTES ((size_t)2 << 20)
#define EVENT_BYTES 27   /* of a rebuild, at its peak */
#define VISITOR_BYTES 48 /* slots, and what numbering them takes */
#define COLUMN_BYTES 40  /* of an event while one property of it is read, at most */

/* --- what the steps need ---------------------------------------------------------------------- */

/* Whole huge pages where it is that large, else populated at once: nearly all of it is written. */
static void *map_new(size_t bytes)
{
    bool huge = bytes % HUGE_BYTES == 0;
    size_t more = huge ? HUGE_BYTES : 0;
    char *p = mmap(NULL, bytes + more, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | (huge ? 0 : MAP_POPULATE), -1, 0);
    CHECK(p != MAP_FAILED);
    if (!huge)
        return p;
    size_t before = -(uintptr_t)p & (HUGE_BYTES - 1);
    if (before > 0)
        munmap(p, before);
    if (more > before)
        munmap(p + before + bytes, more - before);
    (void)madvise(p + before, bytes, MADV_HUGEPAGE); /* small pages do as well */
    return p + before;
}

void *timeline_map_take(struct rebuilding *whole, size_t bytes)
{
    void *p = map_new(bytes);
    size_t held = __atomic_add_fetch(&whole->bytes, bytes, __ATOMIC_RELAXED) +
                  __atomic_load_n(&whole->timeline->bytes, __ATOMIC_RELAXED);
    size_t peak = __atomic_load_n(&whole->peak, __ATOMIC_RELAXED);
    while (held > peak && !__atomic_compare_exchange_n(&whole->peak, &peak, held, true,
                                                       __ATOMIC_RELAXED, __ATOMIC_RELAXED))
        ;
    return p;
}

void timeline_map_give(struct rebuilding *whole, void *p, size_t bytes)
{
    munmap(p, bytes);
    __atomic_sub_fetch(&whole->bytes, bytes, __ATOMIC_RELAXED);
}

void timeline_threads_run(struct rebuilding *whole, void *(*run)(void *loader))
{
    whole->next = 0;
    for (int i = 1; i < whole->threads; i++)
        CHECK(thread_start(&whole->loaders[i].thread, "timeline load", run, &whole->loaders[i]) ==
              0);
    run(&whole->loaders[0]);
    for (int i = 1; i < whole->threads; i++)
        CHECK(pthread_join(whole->loaders[i].thread, NULL) == 0);
}

/* --- 1. load ---------------------------------------------------------------------------------- */

static struct row *row_new(struct loader *loader)
{
    struct block *block = loader->blocks;
    if (block == NULL || block->count == BLOCK_ROWS) {
        block = timeline_map_take(loader->whole, sizeof *block);
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

/* Memory is far away, so it is asked for what comes soon while the rows before it are made: the
 * table for one visitor, and behind it the ids, which prove what the table says, for another. */
static uint32_t slot_guess(const struct slots *slots, uint64_t id)
{
    uint64_t hash = hash_mix(id);
    uint32_t slot = id_number(slots->table.entries[id_probe(&slots->table, hash, (uint32_t)hash)]);
    if (slot != TIMELINE_NONE)
        __builtin_prefetch(&slots->ids[slot / PAGE_SLOTS][slot % PAGE_SLOTS]);
    return slot;
}

static void slots_ahead(const struct slots *slots, const uint64_t *ids, size_t count, size_t i,
                        uint32_t guesses[2 * AHEAD])
{
    for (size_t j = i == 0 ? 0 : i + 2 * AHEAD - 1; j < i + 2 * AHEAD && j < count; j++)
        timeline_slot_ahead(slots, ids[j], false);
    for (size_t j = i == 0 ? 0 : i + AHEAD - 1; j < i + AHEAD && j < count; j++)
        guesses[j % (2 * AHEAD)] = slot_guess(slots, ids[j]);
}

/* Row i of some: in its page's list, or, a stranger's, in a block. */
static struct row *row_take(struct loader *loader, const uint64_t *ids, size_t count, size_t i,
                            uint32_t guesses[2 * AHEAD])
{
    const struct slots *slots = &loader->whole->timeline->slots;
    struct row *row;
    if (loader->whole->known) {
        slots_ahead(slots, ids, count, i, guesses);
        uint32_t slot = guesses[i % (2 * AHEAD)];
        if (slot != TIMELINE_NONE && slots->ids[slot / PAGE_SLOTS][slot % PAGE_SLOTS] != ids[i])
            slot = timeline_slot_find(slots, ids[i]);
        if (slot != TIMELINE_NONE) {
            row = timeline_list_row(loader, slot);
            row->slot = slot;
            return row;
        }
    } else if (i % BATCH == 0) {
        timeline_visitors_ahead(&loader->strangers, ids + i, count - i < BATCH ? count - i : BATCH);
    }
    row = row_new(loader);
    row->slot = timeline_visitors_add(&loader->strangers, ids[i]);
    return row;
}

static bool columns_load(void *ctx, const struct warehouse_columns *columns)
{
    struct loader *loader = ctx;
    uint32_t guesses[2 * AHEAD];
    uint32_t strangers = loader->strangers.count;
    uint32_t channel = TIMELINE_NONE, campaign = TIMELINE_NONE;
    uint16_t origin = 0;
    codes_reserve(loader, columns->texts_count);
    for (size_t i = 0; i < columns->count; i++) {
        struct row *row = row_take(loader, columns->visitor, columns->count, i, guesses);
        if (columns->channel[i] != channel || columns->campaign[i] != campaign) {
            channel = columns->channel[i];
            campaign = columns->campaign[i];
            origin = pair_origin(loader, columns, channel, campaign);
        }
        timeline_row_time(columns->time_us[i], columns->position[i], row);
        row->code = name_code(loader, columns, columns->name[i]);
        row->origin = origin;
        row->amount = 0;
        if (columns->amount_valid == NULL || (columns->amount_valid[i / 64] >> i % 64 & 1) != 0)
            row->amount = amount_new(loader, columns->amount_micros[i]);
    }
    struct rebuilding *whole = loader->whole;
    uint64_t loaded = __atomic_add_fetch(&whole->rows_loaded, columns->count, __ATOMIC_RELAXED);
    struct timeline *timeline = whole->timeline;
    uint64_t known = __atomic_add_fetch(&whole->visitors_loaded,
                                        loader->strangers.count - strangers, __ATOMIC_RELAXED);
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

/* Each thread has its own part of the spans, so that what it reads is in order, and helps the next
 * one when it is done. */
static bool span_next(struct loader *loader, uint32_t *ret_span)
{
    struct rebuilding *whole = loader->whole;
    int own = (int)(loader - whole->loaders);
    for (int t = 0; t < whole->threads; t++) {
        struct loader *of = &whole->loaders[(own + t) % whole->threads];
        *ret_span = __atomic_fetch_add(&of->span, 1, __ATOMIC_RELAXED);
        if (*ret_span < of->spans_end)
            return true;
    }
    return false;
}

static uint32_t spans_count(const struct rebuilding *whole)
{
    const struct timeline_extract *extract = whole->timeline->extract;
    return (extract == NULL ? 1 : (uint32_t)extract->parts_count) * whole->spans;
}

/* What to stream next: a share of the positions, of each part. What is summed up by visitor cannot
 * be shared out so. */
static bool span_take(struct loader *loader, struct warehouse_span *ret_span)
{
    const struct rebuilding *whole = loader->whole;
    const struct timeline_extract *extract = whole->timeline->extract;
    uint64_t step = whole->cut / whole->spans + 1;
    for (uint32_t i; span_next(loader, &i);) {
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
    while (loader->status == ST_OK && span_take(loader, &span)) {
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

/* --- how much fits ---------------------------------------------------------------------------- */

static enum status number_query(struct warehouse *warehouse, const char *sql, struct buf *json,
                                yyjson_doc **ret_doc, struct err *err)
{
    buf_reset(json);
    enum status status = warehouse_query(warehouse, sql, NULL, 0, json, err);
    return status == ST_OK ? json_parse(NULL, buf_view(json), ret_doc, err) : status;
}

/* What a query says of rows (time, events), the newest first. */
struct fitting {
    double room;          /* events; what is left of it */
    uint64_t kept, total; /* events */
    int64_t cut;          /* the newest time of which not all fit; -1 = all do */
};

static enum status fitting_read(struct warehouse *warehouse, const char *sql, struct buf *json,
                                struct fitting *fitting, struct err *err)
{
    yyjson_doc *doc = NULL;
    enum status status = number_query(warehouse, sql, json, &doc, err);
    yyjson_val *row;
    yyjson_arr_iter rows;
    yyjson_arr_iter_init(yyjson_obj_get(yyjson_doc_get_root(doc), "rows"), &rows);
    fitting->cut = -1;
    while (status == ST_OK && (row = yyjson_arr_iter_next(&rows)) != NULL) {
        uint64_t events = yyjson_get_uint(yyjson_arr_get_last(row));
        fitting->total += events;
        if (fitting->cut < 0 && (double)events > fitting->room)
            fitting->cut = yyjson_get_sint(yyjson_arr_get_first(row));
        if (fitting->cut >= 0)
            continue;
        fitting->room -= (double)events;
        fitting->kept += events;
    }
    yyjson_doc_free(doc);
    return status;
}

/* Whole hours from the newest on, and of the next one the seconds that fit. */
static enum status trim_find(struct rebuilding *whole, double room, struct err *err)
{
    struct timeline *timeline = whole->timeline;
    struct buf json;
    struct fitting hours = {.room = room};
    char sql[320];
    buf_init(&json, (size_t)64 << 20);
    enum status status =
        fitting_read(timeline->options.warehouse,
                     "SELECT (epoch_us(time) // 3600000000)::BIGINT AS hour, count(*)::UBIGINT "
                     "FROM raw.event GROUP BY 1 ORDER BY 1 DESC",
                     &json, &hours, err);
    struct fitting seconds = {.room = hours.room};
    if (status == ST_OK && hours.cut >= 0 && hours.cut + 1 < HOURS) {
        long long hour_us = HOUR_S * US_PER_S;
        snprintf(
            sql, sizeof sql,
            "SELECT (epoch_us(time) // 1000000)::BIGINT AS second, count(*)::UBIGINT "
            "FROM raw.event WHERE time >= make_timestamp(%lld) AND time < make_timestamp(%lld) "
            "GROUP BY 1 ORDER BY 1 DESC",
            (long long)hours.cut * hour_us, (long long)(hours.cut + 1) * hour_us);
        status = fitting_read(timeline->options.warehouse, sql, &json, &seconds, err);
        if (status == ST_OK) /* all fit: somebody was erased meanwhile */
            whole->trim_before =
                seconds.cut >= 0 ? (uint32_t)(seconds.cut + 1) : (uint32_t)hours.cut * HOUR_S;
    }
    buf_done(&json);
    pthread_mutex_lock(&timeline->mutex);
    timeline->stats.dropped += hours.total - hours.kept - seconds.kept;
    pthread_mutex_unlock(&timeline->mutex);
    return status;
}

/* The first second that is kept, when not all of it fits. */
static enum status trim_choose(struct rebuilding *whole, struct err *err)
{
    struct timeline *timeline = whole->timeline;
    struct buf json;
    yyjson_doc *doc = NULL;
    size_t memory = timeline->options.memory_bytes;
    buf_init(&json, 4096);
    enum status status = number_query(
        timeline->options.warehouse, "SELECT count(*)::UBIGINT FROM raw.visitor", &json, &doc, err);
    yyjson_val *row = yyjson_arr_get_first(yyjson_obj_get(yyjson_doc_get_root(doc), "rows"));
    uint64_t visitors = yyjson_get_uint(yyjson_arr_get_first(row));
    yyjson_doc_free(doc);
    buf_done(&json);
    if (status != ST_OK)
        return status;
    double people = (double)visitors * VISITOR_BYTES;
    double half = (double)memory / 2;
    double room = ((double)memory - (people < half ? people : half)) / EVENT_BYTES;
    if ((double)whole->rows_all > room)
        return trim_find(whole, room, err);
    whole->known = people < half && visitors <= whole->rows_all; /* most have events */
    return ST_OK;
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
    free(timeline->hours);
    timeline->hours = mem_zero(HOURS * sizeof *timeline->hours);
    timeline_snapshot_publish(timeline); /* empty; nobody can open it, and the memory is free */
}

static void loader_done(struct rebuilding *whole, struct loader *loader)
{
    while (loader->blocks != NULL) {
        struct block *block = loader->blocks;
        loader->blocks = block->next;
        timeline_map_give(whole, block, sizeof *block);
    }
    for (uint32_t group = 0; group < whole->groups; group++)
        while (loader->groups[group] != NULL) {
            struct slab *slab = loader->groups[group];
            loader->groups[group] = slab->next;
            timeline_map_give(whole, slab, whole->slab_bytes);
        }
    timeline_visitors_done(&loader->strangers);
    free(loader->slots);
    free(loader->amounts);
    free(loader->memo);
    free(loader->name_codes);
    free(loader->lists);
    free(loader->groups);
    timeline_gathering_done(&loader->gathering);
}

/* All rows below the cut, each in its page's list or, a stranger's, in a block. */
static enum status load(struct rebuilding *whole, struct err *err)
{
    uint64_t count = spans_count(whole), threads = (uint64_t)whole->threads;
    for (int t = 0; t < whole->threads; t++) {
        whole->loaders[t].span = (uint32_t)(count * (uint64_t)t / threads);
        whole->loaders[t].spans_end = (uint32_t)(count * ((uint64_t)t + 1) / threads);
        timeline_visitors_add(&whole->loaders[t].strangers, 0); /* visitor 0 is slot 0 everywhere */
    }
    timeline_pages_reserve(whole);
    timeline_threads_run(whole, load_main);
    for (int t = 0; t < whole->threads; t++)
        if (whole->loaders[t].status != ST_OK) {
            *err = whole->loaders[t].err;
            return err->status;
        }
    return ST_OK;
}

enum status timeline_rebuild(struct timeline *timeline, uint64_t cut, struct err *err)
{
    struct rebuilding *whole = mem_zero(sizeof *whole);
    struct warehouse_stats stats;
    whole->timeline = timeline;
    whole->cut = cut;
    whole->threads = timeline->threads < THREADS_MAX ? timeline->threads : THREADS_MAX;
    warehouse_stats(timeline->options.warehouse, &stats);
    whole->rows_all = stats.events;
    uint64_t spans = 1 + whole->rows_all / (SPAN_ROWS * (uint64_t)whole->threads);
    whole->spans =
        (uint32_t)whole->threads * (uint32_t)(spans < SPANS_PER_THREAD ? spans : SPANS_PER_THREAD);
    forget(timeline);
    for (int t = 0; t < whole->threads; t++) {
        whole->loaders[t].whole = whole;
        whole->loaders[t].memo = mem_zero(sizeof *whole->loaders[t].memo);
    }
    enum status status = timeline->extract == NULL ? trim_choose(whole, err)
                                                   : timeline_extract_names(timeline, cut, err);
    if (status == ST_OK && whole->known)
        status = timeline_number_all(whole, err);
    if (status == ST_OK)
        status = load(whole, err);
    if (status == ST_OK)
        status = timeline_number_strangers(whole, err);
    if (status == ST_OK) {
        timeline->trim_before = whole->trim_before;
        timeline_pages_deal(whole);
        timeline_pages_build(whole);
    }
    for (int t = 0; t < whole->threads; t++)
        loader_done(whole, &whole->loaders[t]);
    pthread_mutex_lock(&timeline->mutex);
    timeline->stats.rebuild_bytes_peak = whole->peak;
    pthread_mutex_unlock(&timeline->mutex);
    free(whole);
    return status;
}
