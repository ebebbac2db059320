/* pipeline_write.c - what the fold has ready goes to the disk beside it: rows, then notes.
 *
 * Problem: a commit packs thousands of rows into columns and a note writes tens of megabytes; half
 * of the fold's time went there, and nothing of it needs the fold. Rule: the fold SEALS rows and
 * BEGINS notes, one of each ahead, and goes on; this thread does them, rows first. A note is begun
 * after the rows before its position were sealed, so it is written after they are committed, and
 * state position <= warehouse position holds as if one thread did both.
 *
 * Who is a whole commit or a whole note ahead waits: the memory is bounded, and so is what a start
 * folds again. A full disk is waited out; rows go on being tried while a note waits. */
#include "pipeline/pipeline_int.h"

#include "base/check.h"
#include "base/hook.h"

/* --- the fold's half -------------------------------------------------------------------------- */

bool pipeline_rows_wait(struct pipeline *pipeline)
{
    pthread_mutex_lock(&pipeline->mutex);
    bool wait = pipeline->rows_sealed;
    pthread_mutex_unlock(&pipeline->mutex);
    return wait;
}

/* False when they never will be. */
static bool rows_written(struct pipeline *pipeline)
{
    pthread_mutex_lock(&pipeline->mutex);
    while (pipeline->rows_sealed && !pipeline->write_ended)
        pthread_cond_wait(&pipeline->changed, &pipeline->mutex);
    bool written = !pipeline->rows_sealed;
    pthread_mutex_unlock(&pipeline->mutex);
    return written;
}

bool pipeline_rows_seal(struct pipeline *pipeline)
{
    if (pipeline->commit_due_us == 0)
        return true;
    if (!rows_written(pipeline))
        return false;
    /* Folding again after a crash, the warehouse is ahead and has been given nothing. */
    if (pipeline->folded_end > warehouse_position(pipeline->warehouse)) {
        warehouse_seal(pipeline->warehouse, pipeline->folded_end, pipeline->folded_us);
        timeline_seal(pipeline->timeline, pipeline->folded_end);
        pthread_mutex_lock(&pipeline->mutex);
        pipeline->rows_sealed = true;
        pthread_cond_broadcast(&pipeline->changed);
        pthread_mutex_unlock(&pipeline->mutex);
    }
    pipeline->rows_since_commit = 0;
    pipeline->commit_due_us = 0;
    return true;
}

void pipeline_note_give(struct pipeline *pipeline, uint64_t position, uint64_t asked)
{
    pthread_mutex_lock(&pipeline->mutex);
    CHECK(pipeline->note_begun == 0 && position > 0);
    pipeline->note_begun = position;
    pipeline->note_asked = asked;
    pthread_cond_broadcast(&pipeline->changed);
    pthread_mutex_unlock(&pipeline->mutex);
}

void pipeline_write_end(struct pipeline *pipeline)
{
    if (pipeline_rows_seal(pipeline))
        (void)rows_written(pipeline); /* a full disk: the next start folds them again */
    pthread_mutex_lock(&pipeline->mutex);
    pipeline->fold_ended = true;
    pthread_cond_broadcast(&pipeline->changed);
    pthread_mutex_unlock(&pipeline->mutex);
}

/* --- the writing thread ----------------------------------------------------------------------- */

/* False when stopping before they were committed: the next start folds them again. */
static bool rows_write(struct pipeline *pipeline)
{
    struct warehouse *warehouse = pipeline->warehouse;
    struct err err;
    while (warehouse_commit_sealed(warehouse, &err) != ST_OK) {
        if (err.status != ST_BUSY)
            fatal("could not write the warehouse: %s", err.message);
        pipeline_waiters_refuse(pipeline);
        if (pipeline_stall(pipeline))
            return false;
    }
    pipeline_unstall(pipeline);
    timeline_commit_sealed(pipeline->timeline);
    HOOK("pipeline_committed");
    pthread_mutex_lock(&pipeline->mutex);
    pipeline->stats.warehouse_position = warehouse_position(warehouse);
    pipeline->rows_sealed = false;
    pthread_cond_broadcast(&pipeline->changed);
    pthread_mutex_unlock(&pipeline->mutex);
    pipeline_waiters_serve(pipeline);
    return true;
}

/* One attempt. False when stopping before it was written. */
static bool note_write(struct pipeline *pipeline, uint64_t position, uint64_t asked)
{
    struct err err;
    if (state_note_write(pipeline->state, &err) != ST_OK) {
        if (err.status != ST_BUSY)
            fatal("could not write the state: %s", err.message);
        pipeline_waiters_serve(pipeline); /* the fold may be waiting for this note */
        return !pipeline_stall(pipeline);
    }
    pipeline_unstall(pipeline);
    pthread_mutex_lock(&pipeline->mutex);
    pipeline->stats.state_position = position;
    pthread_mutex_unlock(&pipeline->mutex);
    pipeline_merge_if_due(pipeline, position, asked);
    pthread_mutex_lock(&pipeline->mutex);
    pipeline->note_begun = 0;
    pthread_cond_broadcast(&pipeline->changed);
    pthread_mutex_unlock(&pipeline->mutex);
    return true;
}

void *pipeline_write_main(void *ctx)
{
    struct pipeline *pipeline = ctx;
    bool more = true;
    while (more) {
        pthread_mutex_lock(&pipeline->mutex);
        while (!pipeline->rows_sealed && pipeline->note_begun == 0 && !pipeline->fold_ended)
            pthread_cond_wait(&pipeline->changed, &pipeline->mutex);
        bool rows = pipeline->rows_sealed;
        uint64_t position = pipeline->note_begun, asked = pipeline->note_asked;
        pthread_mutex_unlock(&pipeline->mutex);
        if (rows)
            more = rows_write(pipeline);
        else
            more = position != 0 && note_write(pipeline, position, asked);
        log_wake(pipeline->options.log); /* the fold may have more of it */
    }
    pthread_mutex_lock(&pipeline->mutex);
    pipeline->write_ended = true;
    pthread_cond_broadcast(&pipeline->changed);
    pthread_mutex_unlock(&pipeline->mutex);
    return NULL;
}
