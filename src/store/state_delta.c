/* state_delta.c - what changed since the last merge, in files beside state.db.
 *
 * A NOTE appends one chunk: each object that was changed since the note before, as it is now, with
 * the values, at one journal position. That is sequential, so it costs a fraction of the same rows
 * in SQLite, where neighbours in time lie on a thousand pages; a merge (state_merge.c) brings many
 * chunks into the tables together. A start stands where the last note was (state_recovered.c).
 *
 * A chunk is whole or absent: it has a checksum, and the next number. So what a crash tore, and
 * what another history left, ends the reading of its file, and the journal has the events. A
 * file is removed when the tables have all of it on the disk. docs/format/state.md draws the bytes.
 *
 * Notes are begun by the one thread that changes objects. So nothing changes while it encodes, and
 * the lock is only held to keep others from loading and evicting beside it. From then on an object
 * is what the chunk says, which another thread writes: as long as that has not succeeded, no merge
 * goes so far, and nothing of it can be evicted. */
#include "store/state_int.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/check.h"
#include "base/hook.h"

#define MAGIC 0x31445a48u /* "HZD1" */
#define HEADER_BYTES 32   /* magic, checksum, history, number, bytes of the body */
#define FILE_BYTES_MAX ((size_t)1 << 32)
#define KEEP_BYTES ((size_t)32 << 20) /* memory that the next note may use again */
#define VARINT_BYTES_MAX 10
#define LENGTH_BYTES 2 /* of most objects' length */
#define AHEAD 16       /* objects that are fetched before their turn */

/* --- files ------------------------------------------------------------------------------------ */

void state_delta_path(const struct state *state, uint64_t first, char ret[STATE_PATH_MAX])
{
    int n = snprintf(ret, STATE_PATH_MAX, "%s-delta-%llu", state->path, (unsigned long long)first);
    CHECK(n > 0 && n < STATE_PATH_MAX);
}

static int delta_compare(const void *left, const void *right)
{
    uint64_t x = ((const struct delta_file *)left)->first;
    uint64_t y = ((const struct delta_file *)right)->first;
    return (x > y) - (x < y);
}

static void delta_add(struct state_delta *delta, uint64_t first)
{
    delta->files = mem_grow(delta->files, (delta->files_count + 1) * sizeof *delta->files);
    delta->files[delta->files_count++] = (struct delta_file){.first = first, .last = first - 1};
}

void state_delta_list(struct state *state)
{
    char prefix[STATE_PATH_MAX];
    const char *slash = strrchr(state->path, '/');
    snprintf(prefix, sizeof prefix, "%s-delta-", slash == NULL ? state->path : slash + 1);
    DIR *dir = opendir(state->delta.folder);
    if (dir == NULL)
        return; /* then the database cannot be opened either, and says why */
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;) {
        char *end = NULL;
        if (strncmp(entry->d_name, prefix, strlen(prefix)) != 0)
            continue;
        unsigned long long first = strtoull(entry->d_name + strlen(prefix), &end, 10);
        if (*end == '\0' && first > 0)
            delta_add(&state->delta, first);
    }
    closedir(dir);
    if (state->delta.files_count > 0)
        qsort(state->delta.files, state->delta.files_count, sizeof *state->delta.files,
              delta_compare);
}

/* The file that the next chunk goes to. */
static enum status delta_open(struct state *state, uint64_t number, struct err *err)
{
    struct state_delta *delta = &state->delta;
    char path[STATE_PATH_MAX];
    if (delta->fd >= 0)
        return ST_OK;
    state_delta_path(state, number, path);
    enum status status = disk_open(delta->disk, path, O_RDWR | O_CREAT | O_TRUNC, &delta->fd, err);
    if (status != ST_OK)
        return status;
    pthread_mutex_lock(&delta->mutex);
    delta_add(delta, number);
    pthread_mutex_unlock(&delta->mutex);
    delta->end = 0;
    delta->folder_dirty = true;
    return ST_OK;
}

static void file_close(struct state_delta *delta)
{
    if (delta->fd >= 0)
        close(delta->fd);
    delta->fd = -1;
}

size_t state_delta_files(struct state *state, uint64_t **ret_first)
{
    struct state_delta *delta = &state->delta;
    pthread_mutex_lock(&delta->mutex);
    size_t count = delta->files_count;
    *ret_first = mem_alloc((count + 1) * sizeof **ret_first);
    for (size_t i = 0; i < count; i++)
        (*ret_first)[i] = delta->files[i].first;
    pthread_mutex_unlock(&delta->mutex);
    return count;
}

enum status state_delta_read(struct state *state, uint64_t first, struct buf *ret_bytes,
                             struct err *err)
{
    char path[STATE_PATH_MAX];
    state_delta_path(state, first, path);
    return disk_read_file(state->delta.disk, path, FILE_BYTES_MAX, &ret_bytes->p, &ret_bytes->n,
                          err);
}

enum status state_delta_map(struct state *state, uint64_t first, struct str *ret_bytes,
                            struct err *err)
{
    char path[STATE_PATH_MAX];
    state_delta_path(state, first, path);
    return disk_map_file(state->delta.disk, path, ret_bytes, err);
}

void state_delta_forget(struct state *state, uint64_t merged)
{
    struct state_delta *delta = &state->delta;
    size_t kept = 0;
    struct err err;
    pthread_mutex_lock(&delta->mutex);
    for (size_t i = 0; i < delta->files_count; i++) {
        struct delta_file *file = &delta->files[i];
        bool done = file->sealed && file->last <= merged;
        char path[STATE_PATH_MAX];
        if (done)
            state_delta_path(state, file->first, path);
        /* One that cannot be removed now is tried again with the next. */
        if (!done || (disk_remove(delta->disk, path, &err) != ST_OK && err.status != ST_NOT_FOUND))
            delta->files[kept++] = *file;
    }
    delta->files_count = kept;
    pthread_mutex_unlock(&delta->mutex);
}

void state_delta_init(struct state *state, struct disk *disk)
{
    struct state_delta *delta = &state->delta;
    const char *slash = strrchr(state->path, '/');
    int n = slash == NULL ? snprintf(delta->folder, STATE_PATH_MAX, ".")
                          : snprintf(delta->folder, STATE_PATH_MAX, "%.*s",
                                     (int)(slash - state->path), state->path);
    CHECK(n > 0 && n < STATE_PATH_MAX);
    disk_init(&delta->own_disk);
    delta->disk = disk != NULL ? disk : &delta->own_disk;
    delta->fd = -1;
    buf_init(&delta->chunk, FILE_BYTES_MAX);
    CHECK(pthread_mutex_init(&delta->mutex, NULL) == 0);
}

/* --- encoding a chunk ------------------------------------------------------------------------- */

/* Under the lock. */
static void encode_values(struct state *state, struct buf *chunk)
{
    size_t count = 0;
    for (size_t i = 0; i < state->values_count; i++)
        count += state->values[i].changed;
    buf_varint(chunk, count);
    for (size_t i = 0; i < state->values_count; i++) {
        struct state_named_value *value = &state->values[i];
        if (!value->changed)
            continue;
        value->changed = false;
        buf_blob(chunk, str_of(value->name));
        buf_blob(chunk, buf_view(&value->value));
    }
}

static void encode_key(const struct state_table *table, struct hash128 key, struct buf *chunk)
{
    buf_u64(chunk, key.a);
    if (!table->def->integer_key)
        buf_u64(chunk, key.b);
}

/* The object's bytes are written where they will stand, behind a length of two bytes, which most
 * have; else they are moved. */
static void encode_object(const struct state_table *table, const struct state_entry *entry,
                          struct buf *chunk)
{
    char length[VARINT_BYTES_MAX];
    size_t length_n = 0, at = chunk->n;
    CHECK(buf_room(chunk, VARINT_BYTES_MAX) != NULL);
    chunk->n += LENGTH_BYTES;
    table->def->encode(entry, chunk);
    CHECK(!chunk->overflow);
    size_t n = chunk->n - at - LENGTH_BYTES, left = n;
    CHECK(n <= STATE_OBJECT_BYTES_MAX);
    for (; left >= 0x80; left >>= 7)
        length[length_n++] = (char)(left | 0x80);
    length[length_n++] = (char)left;
    if (length_n != LENGTH_BYTES) {
        CHECK(buf_room(chunk, VARINT_BYTES_MAX) != NULL);
        memmove(chunk->p + at + length_n, chunk->p + at + LENGTH_BYTES, n);
    }
    memcpy(chunk->p + at, length, length_n);
    chunk->n = at + length_n + n;
}

static void encode_row(const struct state_table *table, const struct state_entry *entry,
                       struct buf *chunk)
{
    encode_key(table, entry->key, chunk);
    buf_char(chunk, entry->flags & FLAG_REMOVED ? DELTA_REMOVED : DELTA_PUT);
    if (!(entry->flags & FLAG_REMOVED))
        encode_object(table, entry, chunk);
}

/* The objects lie all over the memory, each in some blocks of its own. */
static void encode_prefetch(const struct state_table *table, size_t i)
{
    const struct entry_list *changed = &table->changed;
    if (i + AHEAD < changed->count) {
        const char *soon = (const char *)changed->entries[i + AHEAD];
        __builtin_prefetch(soon);
        __builtin_prefetch(soon + 64);
        __builtin_prefetch(soon + 128);
    }
    if (i + AHEAD / 2 < changed->count && table->def->prefetch != NULL)
        table->def->prefetch(changed->entries[i + AHEAD / 2]);
}

/* A section's length stands before it, so that a reader of other tables may skip it. */
static void encode_table(struct state_table *table, uint64_t number, struct buf *chunk)
{
    struct state *state = table->state;
    buf_blob(chunk, str_of(table->def->name));
    buf_varint(chunk, table->changed.count);
    size_t at = chunk->n;
    buf_u64(chunk, 0);
    for (size_t i = 0; i < table->changed.count; i++) {
        encode_prefetch(table, i);
        struct state_entry *entry = table->changed.entries[i];
        encode_row(table, entry, chunk);
        entry->flags &= (uint8_t)~FLAG_CHANGED;
        entry->chunk = (uint32_t)number;
        state->bytes += entry_cost(entry);
        if (i % SLICE == SLICE - 1)
            state_breathe(state);
    }
    table->changed.count = 0;
    CHECK(!chunk->overflow);
    uint64_t bytes = chunk->n - at - sizeof bytes;
    memcpy(chunk->p + at, &bytes, sizeof bytes);
}

static void encode_header(struct state *state, uint64_t number, struct buf *chunk)
{
    struct buf header;
    uint32_t sum;
    buf_init(&header, HEADER_BYTES);
    buf_u32(&header, MAGIC);
    buf_u32(&header, 0);
    buf_u64(&header, state->delta.history);
    buf_u64(&header, number);
    buf_u64(&header, chunk->n - HEADER_BYTES);
    memcpy(chunk->p, header.p, HEADER_BYTES);
    buf_done(&header);
    sum = crc32c(0, chunk->p + 8, chunk->n - 8);
    memcpy(chunk->p + 4, &sum, sizeof sum);
}

static void set_rows_value(struct state_table *table)
{
    char name[STATE_ROWS_NAME_MAX];
    state_rows_name(table->def->name, name);
    struct buf value;
    buf_init(&value, sizeof table->rows);
    buf_u64(&value, table->rows);
    state_set_value(table->state, name, buf_view(&value));
    buf_done(&value);
}

static void encode_chunk(struct state *state, uint64_t number)
{
    struct buf *chunk = &state->delta.chunk;
    buf_reset(chunk);
    CHECK(buf_room(chunk, HEADER_BYTES) != NULL);
    chunk->n = HEADER_BYTES;
    state_lock(state);
    for (int i = 0; i < state->tables_count; i++)
        set_rows_value(&state->tables[i]);
    encode_values(state, chunk);
    buf_varint(chunk, (uint64_t)state->tables_count);
    for (int i = 0; i < state->tables_count; i++)
        encode_table(&state->tables[i], number, chunk);
    state_unlock(state);
}

/* --- a note ----------------------------------------------------------------------------------- */

void state_note_begin(struct state *state)
{
    struct state_delta *delta = &state->delta;
    CHECK(!__atomic_load_n(&delta->chunk_waits, __ATOMIC_ACQUIRE));
    CHECK(delta->noted < UINT32_MAX);
    encode_chunk(state, delta->noted + 1);
    __atomic_store_n(&delta->chunk_waits, true, __ATOMIC_RELEASE);
}

static enum status chunk_write(struct state *state, uint64_t number, struct err *err)
{
    struct state_delta *delta = &state->delta;
    const struct buf *chunk = &delta->chunk;
    size_t half = chunk->n / 2;
    encode_header(state, number, &delta->chunk);
    enum status status = delta_open(state, number, err);
    if (status == ST_OK)
        status = disk_write_at(delta->disk, delta->fd, chunk->p, half, delta->end, err);
    HOOK("state_note_half");
    if (status == ST_OK)
        status = disk_write_at(delta->disk, delta->fd, chunk->p + half, chunk->n - half,
                               delta->end + half, err);
    if (status == ST_OK)
        status = disk_sync(delta->disk, delta->fd, err);
    if (status == ST_OK && delta->folder_dirty)
        status = disk_sync_folder(delta->disk, delta->folder, err);
    if (status != ST_OK)
        return status;
    delta->folder_dirty = false;
    delta->end += chunk->n;
    return ST_OK;
}

enum status state_note_write(struct state *state, struct err *err)
{
    struct state_delta *delta = &state->delta;
    if (!__atomic_load_n(&delta->chunk_waits, __ATOMIC_ACQUIRE))
        return ST_OK;
    uint64_t number = delta->noted + 1;
    enum status status = chunk_write(state, number, err);
    if (status != ST_OK)
        return status;
    pthread_mutex_lock(&delta->mutex);
    delta->noted = number;
    delta->unmerged_bytes += delta->chunk.n;
    delta->files[delta->files_count - 1].last = number;
    pthread_mutex_unlock(&delta->mutex);
    if (delta->chunk.capacity > KEEP_BYTES)
        buf_done(&delta->chunk);
    __atomic_store_n(&delta->chunk_waits, false, __ATOMIC_RELEASE);
    return ST_OK;
}

enum status state_note(struct state *state, struct err *err)
{
    if (!__atomic_load_n(&state->delta.chunk_waits, __ATOMIC_ACQUIRE))
        state_note_begin(state);
    return state_note_write(state, err);
}

uint64_t state_unmerged_bytes(struct state *state)
{
    pthread_mutex_lock(&state->delta.mutex);
    uint64_t bytes = state->delta.unmerged_bytes;
    pthread_mutex_unlock(&state->delta.mutex);
    return bytes;
}

void state_seal(struct state *state)
{
    struct state_delta *delta = &state->delta;
    pthread_mutex_lock(&delta->mutex);
    delta->sealed = delta->noted;
    delta->unmerged_bytes = 0;
    if (delta->files_count > 0)
        delta->files[delta->files_count - 1].sealed = true;
    pthread_mutex_unlock(&delta->mutex);
    file_close(delta);
}

/* --- reading chunks --------------------------------------------------------------------------- */

bool delta_chunk_next(struct cursor *cursor, uint64_t history, struct delta_chunk *ret_chunk)
{
    const unsigned char *start = cursor->p;
    size_t left = (size_t)(cursor->end - start);
    uint32_t magic, sum;
    if (left < HEADER_BYTES)
        return false;
    memcpy(&magic, start, sizeof magic);
    memcpy(&sum, start + 4, sizeof sum);
    struct cursor header = cursor_of((struct str){(const char *)start + 8, HEADER_BYTES - 8});
    uint64_t theirs = cursor_u64(&header);
    ret_chunk->number = cursor_u64(&header);
    uint64_t bytes = cursor_u64(&header);
    if (magic != MAGIC || theirs != history || bytes > left - HEADER_BYTES ||
        crc32c(0, start + 8, HEADER_BYTES - 8 + bytes) != sum)
        return false;
    ret_chunk->body = (struct str){(const char *)start + HEADER_BYTES, bytes};
    cursor->p = start + HEADER_BYTES + bytes;
    return true;
}

void delta_values(struct cursor *cursor, delta_value *value, void *ctx)
{
    uint64_t count = cursor_varint(cursor);
    for (uint64_t i = 0; i < count && !cursor->bad; i++) {
        struct str name = cursor_blob(cursor);
        struct str bytes = cursor_blob(cursor);
        if (!cursor->bad)
            value(ctx, name, bytes);
    }
}

bool delta_row_next(const struct state_table *table, struct cursor *cursor, struct delta_row *row)
{
    row->place = (const char *)cursor->p;
    row->key = (struct hash128){cursor_u64(cursor), 0};
    if (!table->def->integer_key)
        row->key.b = cursor_u64(cursor);
    uint8_t kind = cursor_u8(cursor);
    row->removed = kind == DELTA_REMOVED;
    row->bytes = row->removed ? (struct str){NULL, 0} : cursor_blob(cursor);
    return !cursor->bad && (row->removed || kind == DELTA_PUT);
}

bool delta_rows(const struct state_table *table, struct str body, delta_row_found *found, void *ctx)
{
    struct cursor cursor = cursor_of(body);
    uint64_t values = cursor_varint(&cursor);
    for (uint64_t i = 0; i < 2 * values && !cursor.bad; i++)
        (void)cursor_blob(&cursor);
    uint64_t tables = cursor_varint(&cursor);
    for (uint64_t t = 0; t < tables && !cursor.bad; t++) {
        struct str name = cursor_blob(&cursor);
        uint64_t count = cursor_varint(&cursor);
        struct cursor rows = cursor_of(cursor_bytes(&cursor, cursor_u64(&cursor)));
        if (cursor.bad || !str_is(name, table->def->name))
            continue;
        struct delta_row row;
        for (uint64_t i = 0; i < count; i++) {
            if (!delta_row_next(table, &rows, &row))
                return false;
            found(ctx, &row);
        }
    }
    return !cursor.bad;
}

void state_delta_close(struct state *state)
{
    struct state_delta *delta = &state->delta;
    file_close(delta);
    buf_done(&delta->chunk);
    free(delta->files);
    pthread_mutex_destroy(&delta->mutex);
}
