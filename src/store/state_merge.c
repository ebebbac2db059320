/* state_merge.c - many chunks of the delta become one transaction, while folding goes on.
 *
 * A merge reads what was noted up to the seal, takes the last word on each key, and writes it
 * sorted by key, since neighbours share pages. It touches no object: the bytes come from the
 * delta's files, so it needs the lock only at its end, to tell the cache that what was noted may
 * leave it. When the commit fails nothing has changed, and the next call does it all again.
 *
 * It runs behind the threads that answer somebody, and holds no lock of ours meanwhile.
 *
 * Invariant: a reader of the tables sees them at one journal position, that of a note. */
#include "store/state_int.h"

#include <stdlib.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/hook.h"
#include "base/thread.h"
#include "state_sql.h"

/* --- what is to be written -------------------------------------------------------------------- */

/* A row by where it is: what is sorted stays small, and nothing is copied. */
struct merge_row {
    uint64_t rank;  /* the key's first 8 bytes, in the file's order */
    uint64_t place; /* file << FILE_SHIFT | byte in it: of one key the last counts */
};

#define FILE_SHIFT 40

struct merge_rows {
    struct merge *merge;
    struct state_table *table;
    struct merge_row *rows;
    size_t count, capacity;
};

struct merge_value {
    struct str name, bytes;
};

struct merge {
    struct state *state;
    uint64_t from, upto; /* chunks (from, upto] */
    struct str *files;   /* mapped; all below points into their bytes */
    size_t files_count;
    struct merge_rows tables[STATE_TABLES_MAX];
    struct merge_value *values; /* of one name the last counts */
    size_t values_count;
    struct err *err;
    enum status status;
};

static void merge_done(struct merge *merge)
{
    for (size_t i = 0; i < merge->files_count; i++)
        disk_unmap(merge->files[i]);
    for (int t = 0; t < merge->state->tables_count; t++)
        free(merge->tables[t].rows);
    free(merge->files);
    free(merge->values);
}

static void row_gather(void *ctx, const struct delta_row *row)
{
    struct merge_rows *into = ctx;
    size_t file = into->merge->files_count - 1;
    if (into->count == into->capacity) {
        into->capacity = into->capacity == 0 ? 1024 : into->capacity * 2;
        into->rows = mem_grow(into->rows, into->capacity * sizeof *into->rows);
    }
    uint64_t sign = into->table->def->integer_key ? UINT64_C(1) << 63 : 0;
    uint64_t at = (uint64_t)(row->place - into->merge->files[file].p);
    into->rows[into->count++] = (struct merge_row){row->key.a ^ sign, file << FILE_SHIFT | at};
}

static void row_read(const struct merge_rows *rows, size_t i, struct delta_row *ret_row)
{
    uint64_t place = rows->rows[i].place;
    struct str file = rows->merge->files[place >> FILE_SHIFT];
    size_t at = (size_t)(place & ((UINT64_C(1) << FILE_SHIFT) - 1));
    struct cursor cursor = cursor_of((struct str){file.p + at, file.n - at});
    CHECK(delta_row_next(rows->table, &cursor, ret_row)); /* it was read once before */
}

static void value_gather(void *ctx, struct str name, struct str bytes)
{
    struct merge *merge = ctx;
    merge->values = mem_grow(merge->values, (merge->values_count + 1) * sizeof *merge->values);
    merge->values[merge->values_count++] = (struct merge_value){name, bytes};
}

static enum status chunk_gather(struct merge *merge, const struct delta_chunk *chunk,
                                struct err *err)
{
    struct state *state = merge->state;
    struct cursor body = cursor_of(chunk->body);
    delta_values(&body, value_gather, merge);
    for (int t = 0; t < state->tables_count; t++)
        if (!delta_rows(&state->tables[t], chunk->body, row_gather, &merge->tables[t]))
            return err_set(err, ST_CORRUPT, "chunk %llu of the delta is damaged",
                           (unsigned long long)chunk->number);
    return ST_OK;
}

static enum status file_gather(struct merge *merge, uint64_t first, struct err *err)
{
    struct str *file = &merge->files[merge->files_count++];
    enum status status = state_delta_map(merge->state, first, file, err);
    struct cursor cursor = cursor_of(*file);
    struct delta_chunk chunk;
    while (status == ST_OK && merge->from < merge->upto &&
           delta_chunk_next(&cursor, merge->state->delta.history, &chunk)) {
        if (chunk.number != merge->from + 1)
            continue;
        status = chunk_gather(merge, &chunk, err);
        merge->from = chunk.number;
    }
    return status;
}

static enum status merge_gather(struct merge *merge, struct err *err)
{
    uint64_t *first = NULL;
    size_t count = state_delta_files(merge->state, &first);
    enum status status = ST_OK;
    merge->files = mem_zero((count + 1) * sizeof *merge->files);
    for (size_t i = 0; status == ST_OK && i < count && first[i] <= merge->upto; i++)
        status = file_gather(merge, first[i], err);
    free(first);
    if (status == ST_OK && merge->from != merge->upto)
        status = err_set(err, ST_CORRUPT, "chunk %llu of the delta is not there",
                         (unsigned long long)merge->from + 1);
    return status;
}

/* --- write ------------------------------------------------------------------------------------ */

static int compare_rows(const void *left, const void *right)
{
    const struct merge_row *x = left;
    const struct merge_row *y = right;
    if (x->rank != y->rank)
        return x->rank < y->rank ? -1 : 1;
    return (x->place > y->place) - (x->place < y->place);
}

/* Does the i-th row hold, or is there a later word on its key? Two keys may share a rank. */
static bool is_last(const struct merge_rows *rows, size_t i, struct hash128 key)
{
    struct delta_row later;
    for (size_t k = i + 1; k < rows->count && rows->rows[k].rank == rows->rows[i].rank; k++) {
        row_read(rows, k, &later);
        if (hash128_eq(later.key, key))
            return false;
    }
    return true;
}

static enum status write_table(const struct merge_rows *rows, struct err *err)
{
    struct state_table *table = rows->table;
    struct db_stmt *put = db_prepare(table->state->writer, table->sql_put);
    struct db_stmt *delete = db_prepare(table->state->writer, table->sql_delete);
    enum status status = ST_OK;
    for (size_t i = 0; status == ST_OK && i < rows->count; i++) {
        struct delta_row row;
        row_read(rows, i, &row);
        if (!is_last(rows, i, row.key))
            continue;
        struct db_stmt *stmt = row.removed ? delete : put;
        state_bind_key(table, stmt, 1, row.key);
        if (!row.removed)
            db_bind_borrowed(stmt, 2, row.bytes);
        status = db_exec(stmt, err);
    }
    return status;
}

static enum status write_values(const struct merge *merge, struct err *err)
{
    struct db_stmt *put = db_prepare(merge->state->writer, state_value_put);
    enum status status = ST_OK;
    for (size_t i = 0; status == ST_OK && i < merge->values_count; i++) {
        db_bind_str(put, 1, merge->values[i].name);
        db_bind_borrowed(put, 2, merge->values[i].bytes);
        status = db_exec(put, err);
    }
    return status;
}

static enum status write_all(const struct merge *merge, struct err *err)
{
    struct state *state = merge->state;
    for (int t = 0; t < state->tables_count; t++)
        if (merge->tables[t].count > 0)
            qsort(merge->tables[t].rows, merge->tables[t].count, sizeof(struct merge_row),
                  compare_rows);
    enum status status = db_begin(state->writer, err);
    for (int t = 0; status == ST_OK && t < state->tables_count; t++)
        status = write_table(&merge->tables[t], err);
    if (status == ST_OK)
        status = write_values(merge, err);
    if (status == ST_OK) {
        struct db_stmt *merged = db_prepare(state->writer, state_delta_merged);
        db_bind_int(merged, 1, (int64_t)merge->upto);
        status = db_exec(merged, err);
    }
    HOOK("state_flush_before_commit");
    if (status == ST_OK)
        status = db_commit(state->writer, err);
    if (status != ST_OK)
        db_rollback(state->writer);
    return status;
}

static void merge_run(void *ctx)
{
    struct merge *merge = ctx;
    merge->status = merge_gather(merge, merge->err);
    db_pace(true);
    if (merge->status == ST_OK)
        merge->status = write_all(merge, merge->err);
    db_pace(false);
}

/* --- after the commit ------------------------------------------------------------------------- */

/* Its row is gone: nobody needs to know any more that it was removed. True when it has been freed.
 */
static bool tombstone_free(struct state *state, struct removed_entry removed)
{
    struct state_entry *entry = removed.entry;
    if ((entry->flags & FLAG_CHANGED) || entry->chunk > state->delta.merged)
        return false;
    struct hash128 mapped = map_key(removed.table, entry->key);
    const uint64_t *slot = map_find(&removed.table->map, mapped);
    if (slot != NULL && entry_of(*slot) == entry)
        map_remove(&removed.table->map, mapped);
    state->bytes -= entry_cost(entry);
    removed.table->def->free(entry);
    return true;
}

static void tombstones_free(struct state *state)
{
    state_lock(state);
    struct removed_list list = state->removed;
    state->removed = (struct removed_list){0};
    for (size_t i = 0; i < list.count; i++) {
        if (!tombstone_free(state, list.entries[i]))
            removed_add(&state->removed, list.entries[i]);
        if (i % SLICE == SLICE - 1) {
            state_unlock(state);
            state_lock(state);
        }
    }
    state_unlock(state);
    free(list.entries);
}

static void settle(struct state *state, uint64_t upto, int64_t start_us)
{
    struct recovered_rest rest;
    state_lock(state);
    CHECK(upto >= state->recovered.upto);
    /* Before an entry may be evicted and read again: from a view that has this commit. */
    state_reader_refresh(state);
    state_recovered_take(state, &rest);
    __atomic_store_n(&state->delta.merged, upto, __ATOMIC_RELEASE);
    state->hand_idle = 0;
    state->flushes++;
    state->flush_last_us = monotonic_us() - start_us;
    state_unlock(state);
    state_recovered_free(&rest);
    tombstones_free(state);
    state_evict_down(state);
}

enum status state_merge(struct state *state, struct err *err)
{
    struct merge merge = {.state = state, .from = state->delta.merged, .err = err};
    pthread_mutex_lock(&state->delta.mutex);
    merge.upto = state->delta.sealed;
    pthread_mutex_unlock(&state->delta.mutex);
    if (merge.from >= merge.upto)
        return ST_OK;
    for (int t = 0; t < state->tables_count; t++)
        merge.tables[t] = (struct merge_rows){.merge = &merge, .table = &state->tables[t]};
    int64_t start_us = monotonic_us();
    HOOK("state_flush_begin");
    thread_background_run(merge_run, &merge);
    merge_done(&merge);
    if (merge.status != ST_OK)
        return merge.status;
    HOOK("state_flush_after_commit");
    settle(state, merge.upto, start_us);
    return ST_OK;
}
