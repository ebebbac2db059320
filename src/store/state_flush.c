/* state_flush.c - the dirty set becomes one transaction, at one journal position, while folding
 * goes on.
 *
 * Three steps. FREEZE, under the lock: the generations change places; nothing is copied, so its
 * cost does not depend on how much is dirty. ENCODE, in slices of SLICE objects under the lock:
 * bytes as they were at the freeze (an object changed since then kept them in `frozen`). WRITE,
 * without the lock: sorted by key, since neighbours share pages, then the values, then the commit.
 * After it the entries are clean.
 *
 * Why encode first and write later? The lock is held for memory only, never for the disk, and when
 * the commit fails the bytes are still there: the next call writes them again, however much was
 * changed meanwhile. They cost as much memory as the dirty objects, for as long as a flush takes.
 *
 * Only WRITE runs behind the threads that answer somebody: one that waits for a processor while it
 * holds the lock would make all readers wait with it (measured: 100 ms and more, each flush).
 *
 * Invariant: a reader of the file sees whole flushes only. */
#include "store/state_int.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/disk.h"
#include "base/hook.h"
#include "base/thread.h"
#include "state_sql.h"

/* --- freeze
 * ---------------------------------------------------------------------------------------- */

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

void state_freeze(struct state *state)
{
    CHECK(state->phase == FLUSH_NONE);
    for (int i = 0; i < state->tables_count; i++)
        set_rows_value(&state->tables[i]);
    struct arena *arena = &state->flush_arena; /* the flush thread's, once the phase is set */
    state->flush_values = ARENA_ARRAY(arena, struct flush_value, state->values_count);
    state->flush_values_count = 0;
    for (size_t i = 0; i < state->values_count; i++) {
        struct state_named_value *value = &state->values[i];
        if (!value->changed)
            continue;
        value->changed = false;
        state->flush_values[state->flush_values_count++] = (struct flush_value){
            arena_copy(arena, str_of(value->name)), arena_copy(arena, buf_view(&value->value))};
    }
    state->generation = 1 - state->generation;
    state->phase = FLUSH_FROZEN;
}

bool state_is_frozen(const struct state *state)
{
    return state->phase != FLUSH_NONE;
}

/* --- encode
 * ---------------------------------------------------------------------------------------- */

static void encode_one(struct state_table *table, struct state_entry *entry, struct flush_row *row)
{
    struct state *state = table->state;
    *row = (struct flush_row){.key = entry->key, .entry = entry};
    if (entry->frozen != NULL) {
        row->write = true;
        row->bytes = arena_copy(&state->flush_arena, buf_view(entry->frozen));
        buf_done(entry->frozen);
        free(entry->frozen);
        entry->frozen = NULL;
    } else if (entry->flags & FLAG_REMOVED) {
        row->retire = true;
        row->remove = !(entry->flags & FLAG_REPLACED);
    } else {
        row->write = true;
        buf_reset(&state->scratch);
        table->def->encode(entry, &state->scratch);
        CHECK(!state->scratch.overflow);
        row->bytes = arena_copy(&state->flush_arena, buf_view(&state->scratch));
    }
    entry->flags |= FLAG_ENCODED;
}

static void encode_table(struct state_table *table, unsigned generation)
{
    struct state *state = table->state;
    struct entry_list *list = &table->dirty[generation];
    table->flush_rows = mem_grow(table->flush_rows, (list->count + 1) * sizeof *table->flush_rows);
    for (size_t i = 0; i < list->count;) {
        polite_lock_take_late(&state->lock);
        for (size_t end = i + SLICE; i < end && i < list->count; i++)
            encode_one(table, list->entries[i], &table->flush_rows[i]);
        state_unlock(state);
    }
    table->flush_count = list->count;
}

/* --- write
 * ----------------------------------------------------------------------------------------- */

static int compare_rows(const void *x, const void *y, void *table)
{
    return state_key_compare(table, ((const struct flush_row *)x)->key,
                             ((const struct flush_row *)y)->key);
}

static enum status write_table(struct state_table *table, struct err *err)
{
    struct db_stmt *put = db_prepare(table->state->writer, table->sql_put);
    struct db_stmt *delete = db_prepare(table->state->writer, table->sql_delete);
    enum status status = ST_OK;
    for (size_t i = 0; status == ST_OK && i < table->flush_count; i++) {
        const struct flush_row *row = &table->flush_rows[i];
        struct db_stmt *stmt = row->remove ? delete : put;
        if (!row->write && !row->remove)
            continue;
        state_bind_key(table, stmt, 1, row->key);
        if (row->write)
            db_bind_borrowed(stmt, 2, row->bytes);
        status = db_exec(stmt, err);
    }
    return status;
}

static enum status write_values(struct state *state, struct err *err)
{
    struct db_stmt *put = db_prepare(state->writer, state_value_put);
    enum status status = ST_OK;
    for (size_t i = 0; status == ST_OK && i < state->flush_values_count; i++) {
        db_bind_str(put, 1, state->flush_values[i].name);
        db_bind_borrowed(put, 2, state->flush_values[i].bytes);
        status = db_exec(put, err);
    }
    return status;
}

static enum status write_all(struct state *state, struct err *err)
{
    for (int i = 0; i < state->tables_count; i++)
        qsort_r(state->tables[i].flush_rows, state->tables[i].flush_count, sizeof(struct flush_row),
                compare_rows, &state->tables[i]);
    enum status status = db_begin(state->writer, err);
    for (int i = 0; status == ST_OK && i < state->tables_count; i++)
        status = write_table(&state->tables[i], err);
    if (status == ST_OK)
        status = write_values(state, err);
    HOOK("state_flush_before_commit");
    if (status == ST_OK)
        status = db_commit(state->writer, err);
    if (status != ST_OK)
        db_rollback(state->writer);
    return status;
}

struct write_job {
    struct state *state;
    struct err *err;
    enum status status;
};

static void write_job_run(void *ctx)
{
    struct write_job *job = ctx;
    job->status = write_all(job->state, job->err);
}

/* --- after the commit
 * ------------------------------------------------------------------------------- */

static void settle_one(struct state_table *table, const struct flush_row *row, uint8_t frozen)
{
    struct state_entry *entry = row->entry;
    entry->flags &= (uint8_t) ~(frozen | FLAG_ENCODED);
    if (row->retire) {
        struct hash128 mapped = map_key(table, entry->key);
        const uint64_t *slot = map_find(&table->map, mapped);
        if (slot != NULL && entry_of(*slot) == entry)
            map_remove(&table->map, mapped);
        table->def->free(entry);
    } else if (entry->flags == 0) {
        table->state->clean_bytes += entry_cost(entry);
    }
}

static void settle_table(struct state_table *table, unsigned generation)
{
    struct state *state = table->state;
    for (size_t i = 0; i < table->flush_count;) {
        polite_lock_take_late(&state->lock);
        for (size_t end = i + SLICE; i < end && i < table->flush_count; i++)
            settle_one(table, &table->flush_rows[i], flag_of(generation));
        state_unlock(state); /* evicts: what became clean counts, also on an idle server */
    }
    table->flush_count = 0;
    free(table->flush_rows);
    table->flush_rows = NULL;
}

static void settle(struct state *state, unsigned generation, int64_t start_us)
{
    state_lock(state);
    /* Before an entry may be evicted and read again: from a view that has this commit. */
    state_reader_refresh(state);
    /* Before an entry is freed: who walks the lists must not meet it. */
    for (int i = 0; i < state->tables_count; i++)
        state->tables[i].dirty[generation].count = 0;
    state_unlock(state);
    for (int i = 0; i < state->tables_count; i++)
        settle_table(&state->tables[i], generation);
    arena_reset(&state->flush_arena);
    state_lock(state);
    state->flushes++;
    state->flush_last_us = monotonic_us() - start_us;
    state->phase = FLUSH_NONE;
    state_unlock(state);
}

enum status state_flush(struct state *state, struct err *err)
{
    state_lock(state);
    enum flush_phase phase = state->phase;
    unsigned frozen = 1 - state->generation; /* stands still until the phase is FLUSH_NONE again */
    state_unlock(state);
    if (phase == FLUSH_NONE)
        return ST_OK;

    int64_t start_us = monotonic_us();
    HOOK("state_flush_begin");
    if (phase == FLUSH_FROZEN) {
        for (int i = 0; i < state->tables_count; i++)
            encode_table(&state->tables[i], frozen);
        state_lock(state);
        state->phase = FLUSH_ENCODED;
        state_unlock(state);
    }
    struct write_job job = {state, err, ST_OK};
    thread_background_run(write_job_run, &job);
    if (job.status != ST_OK)
        return job.status;
    HOOK("state_flush_after_commit");
    settle(state, frozen, start_us);
    return ST_OK;
}

/* --- the file
 * ---------------------------------------------------------------------------------------- */

/* A miss reads the file under the lock, so a page that is not in memory makes everybody wait for
 * the disk (seen: 20 to 90 ms, where the host takes cold pages away). Costs nothing for what is
 * there; what is not is read ahead, behind nobody's back. A file that the memory cannot hold is
 * left to the system. */
static void keep_in_memory(const char *path)
{
    struct stat file;
    int64_t memory = (int64_t)sysconf(_SC_PHYS_PAGES) * sysconf(_SC_PAGESIZE);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return; /* only an advice */
    if (fstat(fd, &file) == 0 && file.st_size < memory / 4)
        (void)posix_fadvise(fd, 0, 0, POSIX_FADV_WILLNEED);
    close(fd);
}

enum status state_checkpoint(struct state *state, bool truncate, struct err *err)
{
    /* A connection of its own, so that it may run beside a flush. */
    struct db *db = NULL;
    enum status status = db_open(state->path, false, &db, err);
    if (status == ST_OK)
        status = db_checkpoint(db, truncate, err);
    HOOK("state_checkpoint");
    db_close(db);
    keep_in_memory(state->path);
    return status;
}

/* All pages in one step, which is one read transaction: as of the last commit. */
static enum status copy_pages(struct db *from, struct db *to, struct err *err)
{
    sqlite3_backup *backup = sqlite3_backup_init(to->sqlite, "main", from->sqlite, "main");
    if (backup == NULL)
        return db_failed(to, "begin a copy of the state", err);
    int code = sqlite3_backup_step(backup, -1);
    int end = sqlite3_backup_finish(backup);
    return code == SQLITE_DONE && end == SQLITE_OK ? ST_OK : db_failed(to, "copy the state", err);
}

static enum status sync_file(struct disk *disk, const char *path, struct err *err)
{
    int fd = -1;
    enum status status = disk_open(disk, path, O_RDWR, &fd, err);
    if (status != ST_OK)
        return status;
    status = disk_sync(disk, fd, err);
    close(fd);
    return status;
}

enum status state_snapshot(struct state *state, const char *path, struct err *err)
{
    char beside[4096], folder[4096];
    const char *slash = strrchr(path, '/');
    CHECK(slash != NULL && strlen(path) + 5 < sizeof beside);
    snprintf(beside, sizeof beside, "%s.new", path);
    snprintf(folder, sizeof folder, "%.*s", (int)(slash - path), path);
    unlink(beside); /* of an earlier try */

    struct db *from = NULL, *to = NULL;
    enum status status = db_open(state->path, true, &from, err);
    if (status == ST_OK)
        status = db_open(beside, false, &to, err);
    if (status == ST_OK) /* half a copy is deleted, never repaired, and we sync the whole one */
        status = db_run(to, "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF;", err);
    if (status == ST_OK)
        status = copy_pages(from, to, err);
    db_close(to);
    db_close(from);
    struct disk disk;
    disk_init(&disk);
    if (status == ST_OK)
        status = sync_file(&disk, beside, err);
    HOOK("snapshot_half");
    if (status == ST_OK)
        status = disk_rename(&disk, beside, path, err);
    if (status == ST_OK)
        return disk_sync_folder(&disk, folder, err);
    unlink(beside);
    return status;
}
