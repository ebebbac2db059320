/* timeline_column.c - one property of the events, as small numbers beside the timeline's own.
 *
 * Properties stay in the warehouse: most are never asked for. The first report that needs one reads
 * it once: the engine gives (visitor, position, time, value) of every event that has it, and the
 * triple names the event exactly. Per piece there is one bit per event and the codes of those that
 * have a value.
 *
 * Pieces do not change, so a column stays right for every piece that it was made for. The next view
 * shares those, and asks the engine for the rest: only the deltas are new as a rule, and they hold
 * nothing older than a position that is known. After a merge into the base the column is made
 * again. Columns that nobody has open go, the longest unused first, when together they pass an
 * eighth of the timeline's memory. A property whose different values alone would pass a quarter of
 * it (an order's number among 50 million orders) is refused: a column is as large as its values.
 *
 * A column holds texts, and an erased visitor's must go: columns of before an erase are not used
 * again and go when nobody reads them, and one that is made afterwards takes no text of theirs,
 * though the warehouse may still have it. */
#include "timeline/timeline_int.h"

#include <stdlib.h>

#include "base/arena.h"
#include "base/check.h"
#include "timeline/timeline_extract.h"
#include "warehouse/warehouse_stream.h"

#define MEMORY_SHARE 8 /* of the timeline's: unused columns */
#define VALUES_SHARE 4 /* … the different values of one */
#define VALUES_MAX (UINT32_MAX - 1)

/* The values of one piece's events. */
struct vector {
    uint64_t serial; /* of the piece */
    uint32_t refs;
    uint32_t words;
    uint64_t *bits;
    uint32_t *rank;
    uint32_t *codes;
    size_t bytes;
};

struct timeline_column {
    struct timeline_column *older; /* in the cache, by use */
    struct timeline *timeline;
    struct str event, property;
    uint32_t refs;
    uint32_t pages;
    uint32_t vectors_count;
    struct vector **vectors; /* by piece number; NULL = no event has one */
    uint64_t *serials;       /* of the pieces, by number */
    uint64_t position;       /* of the view that it was made for */
    uint64_t erasures;       /* the same */
    uint64_t delta_from;     /* the lowest position in that view's deltas */
    struct arena arena;
    struct map map;
    struct hash_key key;
    struct str *texts; /* by code - 1 */
    uint32_t texts_count, texts_capacity;
    size_t bytes;
};

/* A value on its way: where, and what. */
struct value {
    uint64_t row;
    uint32_t code;
};

struct making {
    struct timeline_column *column;
    const struct snapshot *snapshot;
    struct slots *slots;
    struct value *values;
    size_t count, capacity;
    uint32_t *codes; /* of the stream's texts, 0 = not asked yet */
    uint32_t codes_count;
    bool full;
};

void timeline_columns_init(struct column_cache *cache)
{
    *cache = (struct column_cache){0};
    pthread_mutex_init(&cache->mutex, NULL);
}

static void vector_leave(struct vector *vector)
{
    if (vector == NULL || --vector->refs > 0)
        return;
    free(vector->bits);
    free(vector->rank);
    free(vector->codes);
    free(vector);
}

static void column_free(struct column_cache *cache, struct timeline_column *column)
{
    for (uint32_t i = 0; i < column->vectors_count; i++)
        vector_leave(column->vectors[i]);
    __atomic_sub_fetch(&cache->bytes, column->bytes, __ATOMIC_RELAXED);
    arena_done(&column->arena);
    map_done(&column->map);
    free(column->vectors);
    free(column->serials);
    free(column->texts);
    free(column);
}

void timeline_columns_done(struct column_cache *cache)
{
    while (cache->newest != NULL) {
        struct timeline_column *column = cache->newest;
        cache->newest = column->older;
        column_free(cache, column);
    }
    pthread_mutex_destroy(&cache->mutex);
}

/* --- values arrive ---------------------------------------------------------------------------- */

static uint32_t code_of(struct timeline_column *column, struct str text)
{
    bool fresh = false;
    uint64_t *code = map_put(&column->map, hash_keyed(&column->key, text), &fresh);
    if (!fresh)
        return (uint32_t)*code;
    if (column->texts_count == column->texts_capacity) {
        column->texts_capacity = column->texts_capacity == 0 ? 64 : column->texts_capacity * 2;
        column->texts = mem_grow(column->texts, column->texts_capacity * sizeof *column->texts);
    }
    CHECK(column->texts_count < VALUES_MAX);
    column->texts[column->texts_count++] = arena_copy(&column->arena, text);
    *code = column->texts_count;
    return column->texts_count;
}

static uint32_t stream_code(struct making *making, const struct warehouse_columns *columns,
                            uint32_t text)
{
    if (text >= making->codes_count) {
        uint32_t count = columns->texts_count * 2;
        making->codes = mem_grow(making->codes, count * sizeof *making->codes);
        memset(making->codes + making->codes_count, 0,
               (count - making->codes_count) * sizeof *making->codes);
        making->codes_count = count;
    }
    if (making->codes[text] == 0)
        making->codes[text] = code_of(making->column, columns->texts[text]);
    return making->codes[text];
}

/* The event in this piece, or false. */
static bool event_find(const struct piece *piece, uint32_t slot, const struct row *wanted,
                       uint32_t *ret_at)
{
    uint32_t low, high, end;
    timeline_piece_run(piece, slot, &low, &high);
    end = high;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        bool before = piece->time[middle] != wanted->time ? piece->time[middle] < wanted->time
                                                          : piece->place[middle] < wanted->place;
        if (before)
            low = middle + 1;
        else
            high = middle;
    }
    *ret_at = low;
    return low < end && piece->time[low] == wanted->time && piece->place[low] == wanted->place;
}

static void value_add(struct making *making, uint32_t number, uint32_t at, uint32_t code)
{
    if (making->count == making->capacity) {
        making->capacity = making->capacity == 0 ? 4096 : making->capacity * 2;
        making->values = mem_grow(making->values, making->capacity * sizeof *making->values);
    }
    making->values[making->count++] = (struct value){(uint64_t)number << 32 | at, code};
}

/* Slot 0 is nobody. */
static bool is_erased(const struct snapshot *snapshot, uint32_t slot)
{
    return slot != 0 && slot < snapshot->view.slots &&
           snapshot->maps[slot / PAGE_SLOTS]->person[slot % PAGE_SLOTS] == PERSON_ERASED;
}

/* Which piece holds it? An event that no piece has is too old for the memory. */
static bool event_place(const struct snapshot *snapshot, uint32_t slot, const struct row *wanted,
                        uint32_t *ret_number, uint32_t *ret_at)
{
    uint32_t page = slot / PAGE_SLOTS;
    if (slot >= snapshot->view.slots)
        return false;
    *ret_number = page;
    if (snapshot->base[page] != NULL && event_find(snapshot->base[page], slot, wanted, ret_at))
        return true;
    for (uint32_t i = page < snapshot->folded_pages ? 1 : 0; i < snapshot->deltas_count; i++) {
        *ret_number = snapshot->pages + i;
        if (event_find(snapshot->deltas[i], slot, wanted, ret_at))
            return true;
    }
    return false;
}

static size_t values_bytes(const struct timeline_column *column)
{
    return column->arena.total + column->texts_capacity * sizeof *column->texts +
           map_bytes(&column->map);
}

static bool values_take(void *ctx, const struct warehouse_columns *columns)
{
    struct making *making = ctx;
    size_t bytes_max = making->column->timeline->options.memory_bytes / VALUES_SHARE;
    uint32_t slots[4096];
    CHECK(columns->count <= sizeof slots / sizeof slots[0]);
    pthread_mutex_lock(&making->slots->mutex);
    for (size_t i = 0; i < columns->count; i++)
        slots[i] = timeline_slot_find(making->slots, columns->visitor[i]);
    pthread_mutex_unlock(&making->slots->mutex);
    for (size_t i = 0; i < columns->count; i++) {
        struct row wanted;
        uint32_t number, place;
        if (is_erased(making->snapshot, slots[i]))
            continue;
        uint32_t code = stream_code(making, columns, columns->value[i]);
        timeline_row_time(columns->time_us[i], columns->position[i], &wanted);
        if (event_place(making->snapshot, slots[i], &wanted, &number, &place))
            value_add(making, number, place, code);
    }
    making->full = values_bytes(making->column) > bytes_max;
    return !making->full;
}

/* --- vectors ---------------------------------------------------------------------------------- */

static int value_compare(const void *left, const void *right)
{
    const struct value *a = left, *b = right;
    return (a->row > b->row) - (a->row < b->row);
}

static struct vector *vector_make(const struct piece *piece, const struct value *values,
                                  size_t count)
{
    struct vector *vector = mem_zero(sizeof *vector);
    vector->serial = piece->serial;
    vector->refs = 1;
    vector->words = piece->count / 64 + 1;
    vector->bits = mem_zero(vector->words * sizeof *vector->bits);
    vector->rank = mem_zero(vector->words * sizeof *vector->rank);
    vector->codes = mem_alloc(count * sizeof *vector->codes);
    for (size_t i = 0; i < count; i++) {
        uint32_t at = (uint32_t)values[i].row;
        vector->bits[at / 64] |= UINT64_C(1) << at % 64;
        vector->codes[i] = values[i].code;
    }
    uint32_t rank = 0;
    for (uint32_t word = 0; word < vector->words; word++) {
        vector->rank[word] = rank;
        rank += (uint32_t)__builtin_popcountll(vector->bits[word]);
    }
    CHECK(rank == count);
    vector->bytes = sizeof *vector + vector->words * 12 + count * 4;
    return vector;
}

static void vectors_make(struct making *making)
{
    struct timeline_column *column = making->column;
    if (making->count == 0)
        return;
    qsort(making->values, making->count, sizeof *making->values, value_compare);
    for (size_t i = 0, end; i < making->count; i = end) {
        uint32_t number = (uint32_t)(making->values[i].row >> 32);
        for (end = i; end < making->count && making->values[end].row >> 32 == number;)
            end++;
        if (column->vectors[number] != NULL)
            continue; /* shared with an older column */
        column->vectors[number] =
            vector_make(snapshot_piece(making->snapshot, number), making->values + i, end - i);
        column->bytes += column->vectors[number]->bytes;
    }
}

/* --- columns ---------------------------------------------------------------------------------- */

static uint64_t deltas_from(const struct snapshot *snapshot)
{
    uint64_t from = snapshot->view.position;
    for (uint32_t i = 0; i < snapshot->deltas_count; i++)
        for (uint32_t j = 0; j < snapshot->deltas[i]->count; j++) {
            uint64_t position = snapshot->deltas[i]->place[j] & POSITION_MASK;
            from = position < from ? position : from;
        }
    return from;
}

static struct timeline_column *column_new(const struct snapshot *snapshot, struct str event,
                                          struct str property)
{
    struct timeline_column *column = mem_zero(sizeof *column);
    column->timeline = snapshot->timeline;
    column->pages = snapshot->pages;
    column->vectors_count = snapshot->pages + snapshot->deltas_count;
    column->vectors = mem_zero((column->vectors_count + 1) * sizeof(void *));
    column->serials = mem_zero((column->vectors_count + 1) * sizeof *column->serials);
    for (uint32_t i = 0; i < column->vectors_count; i++) {
        const struct piece *piece = snapshot_piece(snapshot, i);
        column->serials[i] = piece == NULL ? 0 : piece->serial;
    }
    column->position = snapshot->view.position;
    column->erasures = snapshot->erasures;
    column->delta_from = deltas_from(snapshot);
    column->key = snapshot->timeline->names.key;
    arena_init(&column->arena);
    map_init(&column->map);
    column->event = arena_copy(&column->arena, event);
    column->property = arena_copy(&column->arena, property);
    return column;
}

/* Both of before the same erase? Else the older one has texts that must go. */
static bool erasures_same(const struct timeline_column *older, const struct timeline_column *column)
{
    return older->erasures == column->erasures;
}

/* Is the base of the older column's view this view's base? New pages behind it have none. */
static bool base_same(const struct timeline_column *older, const struct timeline_column *column)
{
    for (uint32_t i = 0; i < column->pages; i++)
        if (column->serials[i] != (i < older->pages ? older->serials[i] : 0))
            return false;
    return older->pages <= column->pages;
}

static bool pieces_same(const struct timeline_column *older, const struct timeline_column *column)
{
    return older->position == column->position && older->vectors_count == column->vectors_count &&
           memcmp(older->serials, column->serials,
                  column->vectors_count * sizeof *column->serials) == 0;
}

/* Take over the base's vectors and all texts, so that codes stay what they were. */
static void base_share(struct timeline_column *older, struct timeline_column *column)
{
    for (uint32_t i = 0; i < older->texts_count; i++) {
        uint32_t code = code_of(column, older->texts[i]);
        CHECK(code == i + 1);
    }
    for (uint32_t i = 0; i < older->pages; i++) {
        column->vectors[i] = older->vectors[i];
        if (column->vectors[i] != NULL) {
            column->vectors[i]->refs++;
            column->bytes += column->vectors[i]->bytes;
        }
    }
}

static enum status values_too_many(const struct timeline_column *column, struct err *err)
{
    err_set(err, ST_TOO_LARGE,
            "could not read the property \"" STR_FMT "\": it has more than %u different values",
            STR_ARG(column->property), column->texts_count - 1);
    return err_hint(err, ST_TOO_LARGE,
                    "another property, the SQL of \"hezou sql\", or more memory (--timeline-mb)");
}

static enum status column_make(struct timeline_column *column, const struct snapshot *snapshot,
                               struct timeline_column *older, struct err *err)
{
    struct timeline *timeline = snapshot->timeline;
    struct warehouse_span span = {.position_below = snapshot->view.position};
    struct making making = {.column = column, .snapshot = snapshot, .slots = &timeline->slots};
    if (older != NULL && erasures_same(older, column) && base_same(older, column)) {
        base_share(older, column);
        span.position_from = column->delta_from;
    }
    if (snapshot->view.complete_from_us > 0)
        span.time_from_us = snapshot->view.complete_from_us;
    if (timeline->extract != NULL) { /* all values there are, as if all events were here */
        span.stop = timeline->extract->stop;
        span.stop_ctx = timeline->extract->stop_ctx;
    }
    enum status status = ST_OK;
    if (span.position_from < span.position_below)
        status = warehouse_stream_property(timeline->options.warehouse, &span, column->event,
                                           column->property, values_take, &making, err);
    if (making.full)
        status = values_too_many(column, err);
    if (status == ST_OK)
        vectors_make(&making);
    free(making.values);
    free(making.codes);
    column->bytes += sizeof *column + column->vectors_count * 16 + values_bytes(column);
    return status;
}

/* Under the mutex: the cache's newest for this property, taken out. */
static struct timeline_column *column_take(struct column_cache *cache, struct str event,
                                           struct str property)
{
    for (struct timeline_column **at = &cache->newest; *at != NULL; at = &(*at)->older) {
        struct timeline_column *column = *at;
        if (str_eq(column->event, event) && str_eq(column->property, property)) {
            *at = column->older;
            return column;
        }
    }
    return NULL;
}

/* One that was made again for a newer view, or is of before an erase. */
static bool is_superseded(const struct column_cache *cache, const struct timeline_column *column)
{
    if (column->erasures != __atomic_load_n(&cache->erasures, __ATOMIC_RELAXED))
        return true;
    const struct timeline_column *at = cache->newest;
    while (!str_eq(at->event, column->event) || !str_eq(at->property, column->property))
        at = at->older;
    return at != column;
}

static void columns_shrink(struct column_cache *cache, size_t bytes_max)
{
    for (;;) {
        bool full = __atomic_load_n(&cache->bytes, __ATOMIC_RELAXED) > bytes_max;
        struct timeline_column **last = NULL;
        for (struct timeline_column **at = &cache->newest; *at != NULL; at = &(*at)->older)
            if ((*at)->refs == 0 && (full || is_superseded(cache, *at)))
                last = at;
        if (last == NULL)
            return;
        struct timeline_column *column = *last;
        *last = column->older;
        column_free(cache, column);
    }
}

void timeline_columns_forget(struct timeline *timeline)
{
    struct column_cache *cache = &timeline->columns;
    pthread_mutex_lock(&cache->mutex);
    columns_shrink(cache, timeline->options.memory_bytes / MEMORY_SHARE);
    pthread_mutex_unlock(&cache->mutex);
}

static void column_put(struct column_cache *cache, struct timeline_column *column)
{
    column->older = cache->newest;
    cache->newest = column;
}

enum status timeline_column_open(const struct timeline_view *view, struct str event,
                                 struct str property, const struct timeline_column **ret_column,
                                 struct err *err)
{
    const struct snapshot *snapshot = snapshot_of(view);
    struct timeline *timeline = snapshot->timeline;
    struct column_cache *cache = &timeline->columns;
    if (property.n == 0 || property.n > 1000)
        return err_set(err, ST_INVALID, "could not read a property: its name has %zu bytes",
                       property.n);
    pthread_mutex_lock(&cache->mutex);
    struct timeline_column *older = column_take(cache, event, property);
    struct timeline_column *column = column_new(snapshot, event, property);
    enum status status = ST_OK;
    if (older != NULL && erasures_same(older, column) && pieces_same(older, column)) {
        column_free(cache, column);
        column = older;
    } else {
        status = column_make(column, snapshot, older, err);
        __atomic_add_fetch(&cache->bytes, column->bytes, __ATOMIC_RELAXED);
        if (older != NULL)
            column_put(cache, older);
    }
    if (status == ST_OK) {
        column->refs++;
        column_put(cache, column);
        *ret_column = column;
    } else {
        column_free(cache, column);
    }
    columns_shrink(cache, timeline->options.memory_bytes / MEMORY_SHARE);
    pthread_mutex_unlock(&cache->mutex);
    return status;
}

void timeline_column_close(const struct timeline_column *column)
{
    struct timeline_column *own = (struct timeline_column *)(uintptr_t)column;
    struct column_cache *cache = &own->timeline->columns;
    size_t bytes_max = own->timeline->options.memory_bytes / MEMORY_SHARE;
    pthread_mutex_lock(&cache->mutex);
    if (--own->refs == 0)
        columns_shrink(cache, bytes_max);
    pthread_mutex_unlock(&cache->mutex);
}

uint32_t timeline_column_code(const struct timeline_column *column, uint64_t row)
{
    const struct vector *vector = column->vectors[row >> 32];
    if (vector == NULL)
        return 0;
    uint32_t at = (uint32_t)row;
    uint64_t word = vector->bits[at / 64], bit = UINT64_C(1) << at % 64;
    if ((word & bit) == 0)
        return 0;
    return vector->codes[vector->rank[at / 64] + (uint32_t)__builtin_popcountll(word & (bit - 1))];
}

uint32_t timeline_column_values(const struct timeline_column *column)
{
    return column->texts_count;
}

struct str timeline_column_text(const struct timeline_column *column, uint32_t code)
{
    return code == 0 || code > column->texts_count ? (struct str){"", 0} : column->texts[code - 1];
}

uint32_t timeline_column_find(const struct timeline_column *column, struct str text)
{
    uint64_t *code = map_find(&column->map, hash_keyed(&column->key, text));
    return code == NULL ? 0 : (uint32_t)*code;
}
