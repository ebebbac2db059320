/* pipeline_state.c - the state's life: opening, notes, merges behind the loop, snapshots, the
 * journal's retention.
 *
 * A note takes down what changed at one position, at a batch's end, and is written after the
 * warehouse has committed it (pipeline_write.c). With the objects travel the position, the
 * deduplication's lengths and the visitors of erases that are not finished: a restart stands
 * exactly there. Many notes are merged into state.db by a thread of its own while folding goes on.
 * A flush is both, to the end: what was folded before it is in state.db, and its notes are gone.
 *
 * Once a day a merge is followed by a snapshot. The journal is cut only up to what the newest
 * snapshot covers, because a rebuild is newest snapshot + journal. */
#include "pipeline/pipeline_int.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/check.h"
#include "base/hook.h"
#include "base/thread.h"

#define PATH_MAX_BYTES 4096
#define SNAPSHOTS_KEPT 2
#define SNAPSHOT_US US_PER_DAY
#define JOURNAL_KEEP_US (30 * US_PER_DAY)
#define VALUE_BYTES_MAX ((size_t)16 << 20)

/* A state value that holds one unsigned integer. */
static uint64_t value_u64(struct state *state, const char *name, uint64_t otherwise)
{
    struct buf buf;
    buf_init(&buf, 64);
    uint64_t v = otherwise;
    if (state_value(state, name, &buf)) {
        struct cursor cursor = cursor_of(buf_view(&buf));
        v = cursor_u64(&cursor);
        if (cursor.bad)
            fatal("the state's value %s is damaged; delete state.db to rebuild it", name);
    }
    buf_done(&buf);
    return v;
}

static void value_set_u64(struct state *state, const char *name, uint64_t v)
{
    state_set_value(state, name, (struct str){(const char *)&v, sizeof v});
}

/* --- snapshots -------------------------------------------------------------------------------- */

/* The positions of the snapshots in DATA/snapshot, newest first; at most `max`. */
static size_t snapshots_list(const char *folder, uint64_t *positions, size_t max)
{
    size_t count = 0;
    DIR *dir = opendir(folder);
    if (dir == NULL)
        return 0;
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;) {
        unsigned long long position;
        char tail[8];
        if (sscanf(entry->d_name, "state-%20llu.%2s", &position, tail) != 2 ||
            strcmp(tail, "db") != 0)
            continue;
        size_t at = count;
        while (at > 0 && positions[at - 1] < position)
            at--;
        if (count < max)
            count++;
        if (at < count) {
            memmove(&positions[at + 1], &positions[at], (count - at - 1) * sizeof *positions);
            positions[at] = position;
        }
    }
    closedir(dir);
    return count;
}

static void snapshot_path(const struct pipeline *pipeline, uint64_t position,
                          char path[PATH_MAX_BYTES])
{
    snprintf(path, PATH_MAX_BYTES, "%s/snapshot/state-%020llu.db", pipeline->options.data,
             (unsigned long long)position);
}

/* A missing state is the newest snapshot's copy, of those that the warehouse has the rows for;
 * without one the journal is folded from its start. */
static enum status snapshot_restore(struct pipeline *pipeline, const char *state_path,
                                    struct err *err)
{
    char folder[PATH_MAX_BYTES], path[PATH_MAX_BYTES];
    uint64_t have[16], rows = pipeline->options.rows_position;
    snprintf(folder, sizeof folder, "%s/snapshot", pipeline->options.data);
    size_t i = 0, count = snapshots_list(folder, have, 16);
    while (i < count && have[i] > rows)
        i++;
    if (access(state_path, F_OK) == 0 || i == count)
        return ST_OK;
    snapshot_path(pipeline, have[i], path);
    struct str bytes = {NULL, 0}; /* mapped: it may be larger than the memory */
    enum status status = disk_map_file(pipeline->options.disk, path, &bytes, err);
    if (status == ST_OK)
        status = disk_write_file(pipeline->options.disk, state_path, bytes, err);
    disk_unmap(bytes);
    return status;
}

static enum status snapshot_make(struct pipeline *pipeline, uint64_t position, struct err *err)
{
    char folder[PATH_MAX_BYTES], path[PATH_MAX_BYTES];
    uint64_t have[16];
    snprintf(folder, sizeof folder, "%s/snapshot", pipeline->options.data);
    if (mkdir(folder, 0700) != 0 && errno != EEXIST)
        return err_set(err, ST_IO, "could not make %s: %s", folder, strerror(errno));
    snapshot_path(pipeline, position, path);
    enum status status = state_snapshot(pipeline->state, path, err);
    if (status == ST_OK) /* of the folder's own name, before the journal is cut */
        status = disk_sync_folder(pipeline->options.disk, pipeline->options.data, err);
    if (status != ST_OK)
        return status;
    size_t count = snapshots_list(folder, have, 16);
    for (size_t i = SNAPSHOTS_KEPT; i < count && status == ST_OK; i++) {
        snapshot_path(pipeline, have[i], path);
        status = disk_remove(pipeline->options.disk, path, err);
    }
    if (status == ST_OK)
        status = disk_sync_folder(pipeline->options.disk, folder, err);
    HOOK("snapshot_made");
    return status == ST_OK
               ? log_retain(pipeline->options.log, position,
                            clock_now_us(pipeline->options.clock) - JOURNAL_KEEP_US, err)
               : status;
}

enum status pipeline_snapshots_remake(struct pipeline *pipeline, struct err *err)
{
    char folder[PATH_MAX_BYTES], path[PATH_MAX_BYTES];
    uint64_t have[64];
    snprintf(folder, sizeof folder, "%s/snapshot", pipeline->options.data);
    size_t count = snapshots_list(folder, have, 64);
    enum status status = ST_OK;
    for (size_t i = 0; i < count && status == ST_OK; i++) {
        snapshot_path(pipeline, have[i], path);
        status = disk_remove(pipeline->options.disk, path, err);
    }
    HOOK("erase_snapshots_gone");
    pthread_mutex_lock(&pipeline->mutex);
    uint64_t position = pipeline->merged_position; /* the erase has waited for a flush */
    pthread_mutex_unlock(&pipeline->mutex);
    return status == ST_OK && count > 0 ? snapshot_make(pipeline, position, err) : status;
}

/* --- opening ---------------------------------------------------------------------------------- */

static enum status position_check(struct pipeline *pipeline, uint64_t position, struct err *err)
{
    struct log *log = pipeline->options.log;
    if (position > log_end(log))
        return err_set(err, ST_CORRUPT, "state.db stands at %llu, after the journal's end %llu",
                       (unsigned long long)position, (unsigned long long)log_end(log));
    if (position < log_start(log)) {
        err_set(err, ST_CORRUPT,
                "the journal begins at %llu, and neither state.db nor a snapshot reaches it",
                (unsigned long long)log_start(log));
        return err_hint(err, ST_CORRUPT,
                        "restore a backup; the journal alone no longer holds all events");
    }
    return ST_OK;
}

enum status pipeline_state_open(struct pipeline *pipeline, struct err *err)
{
    const struct pipeline_options *options = &pipeline->options;
    char path[PATH_MAX_BYTES], dedup[PATH_MAX_BYTES];
    snprintf(path, sizeof path, "%s/state.db", options->data);
    snprintf(dedup, sizeof dedup, "%s/dedup", options->data);
    struct state_options state_options = {
        .path = path, .cache_bytes = options->cache_bytes, .disk = options->disk};

    enum status status = snapshot_restore(pipeline, path, err);
    if (status == ST_OK)
        status = state_open(&state_options, &pipeline->state, err);
    if (status == ST_OK)
        status = identity_open(pipeline->state, options->key, &pipeline->identity, err);
    if (status == ST_OK)
        status = profile_open(pipeline->state, &pipeline->profile, err);
    if (status != ST_OK)
        return status;

    uint64_t position = value_u64(pipeline->state, "position", LOG_FIRST_OFFSET);
    pipeline->stats.state_position = position;
    pipeline->snapshot_us = (int64_t)value_u64(pipeline->state, "snapshot_us", 0);
    status = position_check(pipeline, position, err);
    if (status != ST_OK)
        return status;

    struct buf lengths;
    buf_init(&lengths, VALUE_BYTES_MAX);
    (void)state_value(pipeline->state, "dedup",
                      &lengths); /* never set in an empty state: no lengths */
    struct clean_options clean_options = {
        .folder = dedup,
        .disk = options->disk,
        .key = options->key,
        .bug_dedup_off_by_one = options->bug_dedup_off_by_one,
    };
    status = clean_open(&clean_options, buf_view(&lengths), &pipeline->clean, err);
    buf_done(&lengths);
    return status;
}

/* --- notes ------------------------------------------------------------------------------------ */

static bool snapshot_due(const struct pipeline *pipeline)
{
    return clock_now_us(pipeline->options.clock) - pipeline->snapshot_us >= SNAPSHOT_US;
}

/* *ret_asked: the flushes that a note from now on is good for. Only for the sake of bytes is the
 * one under way waited for. */
static bool note_due(struct pipeline *pipeline, uint64_t *ret_asked)
{
    pthread_mutex_lock(&pipeline->mutex);
    *ret_asked = pipeline->flush_asked;
    bool behind = pipeline->folded_end > pipeline->noted_end;
    bool enough = behind && pipeline->folded_end - pipeline->noted_end >=
                                at_most(pipeline->options.note_bytes, NOTE_BYTES);
    bool wanted = (*ret_asked > pipeline->flush_sealed && !pipeline->merge_running) ||
                  (behind && monotonic_us() >= pipeline->note_due_us);
    if (!wanted && !behind)
        pipeline->note_due_us = monotonic_us() + NOTE_US; /* an idle state is not late */
    bool due = enough || (wanted && pipeline->note_begun == 0);
    pthread_mutex_unlock(&pipeline->mutex);
    return due;
}

/* Until the note under way is written, and what was noted is not too much for the merge. False when
 * stopping. */
static bool note_room(struct pipeline *pipeline)
{
    pthread_mutex_lock(&pipeline->mutex);
    while (!pipeline->stopping && (pipeline->note_begun != 0 ||
                                   (pipeline->merge_running && !pipeline->stalled &&
                                    state_unmerged_bytes(pipeline->state) >= MERGE_WAIT_BYTES)))
        pthread_cond_wait(&pipeline->changed, &pipeline->mutex);
    bool room = !pipeline->stopping;
    pthread_mutex_unlock(&pipeline->mutex);
    return room;
}

static void put_values(struct pipeline *pipeline, uint64_t position, struct str lengths)
{
    pthread_mutex_lock(&pipeline->mutex);
    int64_t snapshot_us = pipeline->snapshot_us;
    pthread_mutex_unlock(&pipeline->mutex);
    state_lock(pipeline->state);
    value_set_u64(pipeline->state, "position", position);
    state_set_value(pipeline->state, "dedup", lengths);
    value_set_u64(pipeline->state, "snapshot_us", (uint64_t)snapshot_us);
    state_unlock(pipeline->state);
}

static enum status note_begin(struct pipeline *pipeline, uint64_t position, struct err *err)
{
    struct buf lengths;
    buf_init(&lengths, VALUE_BYTES_MAX);
    enum status status = clean_sync(pipeline->clean, &lengths, err);
    if (status != ST_OK && status != ST_BUSY)
        fatal("could not keep the message ids: %s", err->message);
    HOOK("pipeline_flush");
    if (status == ST_OK) {
        put_values(pipeline, position, buf_view(&lengths));
        state_note_begin(pipeline->state);
        HOOK("pipeline_note_begun");
    }
    buf_done(&lengths);
    return status;
}

void pipeline_note_if_due(struct pipeline *pipeline)
{
    struct err err;
    uint64_t asked;
    if (!note_due(pipeline, &asked))
        return;
    /* The seeded bug writes the position of rows that are not committed yet. */
    if (!pipeline->options.bug_cursor_before_effect && !pipeline_rows_seal(pipeline))
        return;
    if (!note_room(pipeline))
        return;
    uint64_t position = pipeline->folded_end > 0 ? pipeline->folded_end : pipeline->noted_end;
    if (note_begin(pipeline, position, &err) != ST_OK) {
        (void)pipeline_stall(pipeline); /* the loop asks again, or ends */
        pipeline->note_due_us = monotonic_us() + RETRY_US;
        return;
    }
    pipeline->noted_end = position;
    pipeline->note_due_us = monotonic_us() + NOTE_US;
    pipeline_note_give(pipeline, position, asked);
}

/* --- merges ----------------------------------------------------------------------------------- */

void pipeline_merge_if_due(struct pipeline *pipeline, uint64_t position, uint64_t asked)
{
    uint64_t bytes = state_unmerged_bytes(pipeline->state);
    bool crowded = state_is_crowded(pipeline->state);
    uint64_t merge_bytes = at_most(pipeline->options.note_bytes, MERGE_BYTES);
    pthread_mutex_lock(&pipeline->mutex);
    bool due =
        !pipeline->merge_running && (asked > pipeline->flush_sealed || bytes >= merge_bytes ||
                                     crowded || snapshot_due(pipeline));
    if (due) {
        state_seal(pipeline->state);
        pipeline->sealed_position = position;
        pipeline->merge_running = true;
        pipeline->flush_sealed = asked;
        pthread_cond_broadcast(&pipeline->changed);
    }
    pthread_mutex_unlock(&pipeline->mutex);
}

/* Waits out a full disk. False when stopping before it was written: the delta has it. */
static bool merge_write(struct pipeline *pipeline)
{
    struct err err;
    while (state_merge(pipeline->state, &err) != ST_OK) {
        if (err.status != ST_BUSY)
            fatal("could not write state.db: %s", err.message);
        if (pipeline_stall(pipeline))
            return false;
    }
    pipeline_unstall(pipeline);
    return true;
}

/* Behind the threads that answer somebody; holds no lock. */
static void merge_after(void *ctx)
{
    struct pipeline *pipeline = ctx;
    uint64_t position = pipeline->sealed_position; /* stands still while merge_running is true */
    struct err err;
    if (state_checkpoint(pipeline->state, false, &err) != ST_OK && err.status != ST_BUSY)
        fatal("could not checkpoint state.db: %s", err.message);
    if (!snapshot_due(pipeline)) /* this thread alone changes when */
        return;
    int64_t now_us = clock_now_us(pipeline->options.clock);
    if (snapshot_make(pipeline, position, &err) != ST_OK) {
        fprintf(stderr, "hezou: no snapshot today: %s\n", err.message);
        return;
    }
    pthread_mutex_lock(&pipeline->mutex);
    pipeline->snapshot_us = now_us;
    pthread_mutex_unlock(&pipeline->mutex);
}

static bool merge_wait(struct pipeline *pipeline)
{
    pthread_mutex_lock(&pipeline->mutex);
    while (!pipeline->merge_running && !pipeline->stopping)
        pthread_cond_wait(&pipeline->changed, &pipeline->mutex);
    bool work = pipeline->merge_running;
    pthread_mutex_unlock(&pipeline->mutex);
    return work;
}

void *pipeline_merge_main(void *ctx)
{
    struct pipeline *pipeline = ctx;
    while (merge_wait(pipeline) && merge_write(pipeline)) {
        pthread_mutex_lock(&pipeline->mutex);
        pipeline->merged_position = pipeline->sealed_position;
        pthread_mutex_unlock(&pipeline->mutex);
        thread_background_run(merge_after, pipeline);
        pthread_mutex_lock(&pipeline->mutex);
        pipeline->merge_running = false;
        pipeline->flush_done = pipeline->flush_sealed;
        pthread_cond_broadcast(&pipeline->changed);
        pthread_mutex_unlock(&pipeline->mutex);
        log_wake(pipeline->options.log); /* a flush that was wanted meanwhile can begin */
    }
    return NULL;
}

/* Is there no use in waiting for a flush? Needs the mutex. */
static bool hopeless(const struct pipeline *pipeline)
{
    return pipeline->stopping || pipeline->stalled;
}

enum status pipeline_flush(struct pipeline *pipeline, struct err *err)
{
    pthread_mutex_lock(&pipeline->mutex);
    uint64_t mine = ++pipeline->flush_asked;
    pthread_mutex_unlock(&pipeline->mutex);
    log_wake(pipeline->options.log);
    pthread_mutex_lock(&pipeline->mutex);
    while (pipeline->flush_done < mine && !hopeless(pipeline))
        pthread_cond_wait(&pipeline->changed, &pipeline->mutex);
    bool done = pipeline->flush_done >= mine, stopping = pipeline->stopping;
    pthread_mutex_unlock(&pipeline->mutex);
    return done ? ST_OK
                : err_set(err, ST_BUSY, "could not write the state: %s",
                          stopping ? "the server is stopping" : "the disk is full");
}
