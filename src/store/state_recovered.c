/* state_recovered.c - what a start finds in the delta, and how it is there at once.
 *
 * Problem: between two merges the delta grows to more rows than a start has time to decode. Rule:
 * the start only finds them. It reads the files, takes the values, and enters where the last row of
 * each key begins. Whoever asks for a key that is not in memory asks here before the file; then the
 * row is decoded, once. The first merge has all of this, for it goes up to the last note: in the
 * same hold of the lock in which it says so, before anything may be evicted, the bytes go. */
#include "store/state_int.h"

#include <stdlib.h>

#include "base/check.h"

/* --- finding ---------------------------------------------------------------------------------- */

static void value_take(void *ctx, struct str name, struct str bytes)
{
    state_set_loaded_value(ctx, name, bytes);
}

static void chunk_keep(struct state_recovered *recovered, const struct delta_chunk *chunk)
{
    recovered->chunks =
        mem_grow(recovered->chunks, (recovered->chunks_count + 1) * sizeof *recovered->chunks);
    recovered->chunks[recovered->chunks_count++] = *chunk;
    recovered->upto = chunk->number;
}

/* The chunks that follow what is there. */
static void chunks_take(struct state *state, struct delta_file *file, struct str bytes)
{
    struct state_delta *delta = &state->delta;
    struct cursor cursor = cursor_of(bytes);
    struct delta_chunk chunk;
    while (delta_chunk_next(&cursor, delta->history, &chunk) &&
           (chunk.number <= delta->merged || chunk.number == delta->noted + 1)) {
        file->last = chunk.number;
        if (chunk.number <= delta->merged)
            continue;
        struct cursor body = cursor_of(chunk.body);
        delta_values(&body, value_take, state);
        delta->noted = chunk.number;
        delta->unmerged_bytes += chunk.body.n;
        chunk_keep(&state->recovered, &chunk);
    }
}

/* What follows its chunks is none of ours: torn, or of a note that a full disk refused. Nobody
 * reads it, for the number that it would have comes in the next file. */
static enum status file_read(struct state *state, struct delta_file *file, struct err *err)
{
    struct state_recovered *recovered = &state->recovered;
    struct buf bytes = {0};
    size_t before = recovered->chunks_count;
    enum status status = state_delta_read(state, file->first, &bytes, err);
    if (status != ST_OK)
        return status;
    chunks_take(state, file, buf_view(&bytes));
    file->sealed = true; /* the next note begins a file of its own */
    if (recovered->chunks_count == before) {
        free(bytes.p);
        return ST_OK;
    }
    recovered->files =
        mem_grow(recovered->files, (recovered->files_count + 1) * sizeof *recovered->files);
    recovered->files[recovered->files_count++] = bytes;
    recovered->bytes += bytes.n;
    return ST_OK;
}

/* Files in the order of their numbers. One without a chunk, and all behind a gap, are no use to
 * anybody, and must not be there when their number comes again. Those that are merged stay until a
 * checkpoint: what the tables say may not be on the disk yet. */
enum status state_recovered_open(struct state *state, struct err *err)
{
    struct state_delta *delta = &state->delta;
    enum status status = ST_OK;
    char path[STATE_PATH_MAX];
    size_t kept = 0;
    delta->noted = delta->sealed = delta->merged;
    state_delta_list(state);
    for (size_t i = 0; status == ST_OK && i < delta->files_count; i++) {
        struct delta_file *file = &delta->files[i];
        if (file->first <= delta->noted + 1)
            status = file_read(state, file, err);
        if (file->last >= file->first) {
            delta->files[kept++] = *file;
            continue;
        }
        state_delta_path(state, file->first, path);
        if (status == ST_OK)
            status = disk_remove(delta->disk, path, err);
    }
    delta->files_count = kept;
    state->bytes += state->recovered.bytes;
    return status;
}

static void row_enter(void *ctx, const struct delta_row *row)
{
    struct state_table *table = ctx;
    *map_put(&table->recovered, map_key(table, row->key), NULL) = (uintptr_t)row->place;
}

void state_recovered_table(struct state_table *table)
{
    struct state_recovered *recovered = &table->state->recovered;
    for (size_t i = 0; i < recovered->chunks_count; i++)
        if (!delta_rows(table, recovered->chunks[i].body, row_enter, table))
            fatal("could not read %s: chunk %llu of its delta is damaged; delete state.db and "
                  "its delta files, they are rebuilt from the journal",
                  table->state->path, (unsigned long long)recovered->chunks[i].number);
    recovered->bytes += map_bytes(&table->recovered);
    table->state->bytes += map_bytes(&table->recovered);
}

/* --- asking ----------------------------------------------------------------------------------- */

/* The row was read once before, when it was entered: it ends where it says. */
static void row_at(const struct state_table *table, uint64_t place, struct delta_row *ret_row)
{
    const unsigned char *start = (const unsigned char *)(uintptr_t)place;
    struct cursor cursor = {.p = start, .end = start + STATE_OBJECT_BYTES_MAX + 64};
    CHECK(delta_row_next(table, &cursor, ret_row));
}

bool state_recovered_find(const struct state_table *table, struct hash128 mapped,
                          struct delta_row *ret_row)
{
    const uint64_t *place = map_find(&table->recovered, mapped);
    if (place == NULL)
        return false;
    row_at(table, *place, ret_row);
    return true;
}

bool state_recovered_scan(struct state_table *table, state_each *each, void *ctx)
{
    bool more = true;
    for (struct map_slot *slot = NULL;
         more && (slot = map_next(&table->recovered, slot)) != NULL;) {
        struct delta_row row;
        if (map_find(&table->map, slot->key) != NULL)
            continue; /* newer there */
        row_at(table, slot->value, &row);
        if (row.removed)
            continue;
        struct state_entry *entry = state_decode(table, row.key, row.bytes);
        more = each(ctx, entry);
        table->def->free(entry);
    }
    return more;
}

/* --- leaving ---------------------------------------------------------------------------------- */

void state_recovered_take(struct state *state, struct recovered_rest *ret_rest)
{
    *ret_rest = (struct recovered_rest){.recovered = state->recovered};
    state->bytes -= state->recovered.bytes;
    state->recovered = (struct state_recovered){0};
    for (int i = 0; i < state->tables_count; i++) {
        ret_rest->maps[i] = state->tables[i].recovered;
        map_init(&state->tables[i].recovered);
    }
}

void state_recovered_free(struct recovered_rest *rest)
{
    for (size_t i = 0; i < rest->recovered.files_count; i++)
        free(rest->recovered.files[i].p);
    free(rest->recovered.files);
    free(rest->recovered.chunks);
    for (int i = 0; i < STATE_TABLES_MAX; i++)
        map_done(&rest->maps[i]);
}
