/* pipeline.c - the loop that turns journal records into state and rows; the steps below ARE the
 * picture.
 *
 * One thread gathers synced records into a batch, runs it through the table of steps, and at the
 * batch's end seals rows and begins a note of the state when they are due; another writes both
 * (pipeline_write.c). The order is what makes a crash harmless:
 *
 *   1. steps fold a whole batch in memory (state) and into the warehouse's pending rows;
 *   2. the warehouse commits rows and position P together;
 *   3. a note of the state at P is written only after 2, objects and P in one chunk.
 *
 * So state position <= warehouse position <= journal end, always. A restart folds again from the
 * state's position; the warehouse takes only rows at or after its own. Invariants, checked: a batch
 * never spans two months of received time; positions only grow. */
#include "pipeline/pipeline_int.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/check.h"
#include "base/hook.h"
#include "base/thread.h"

static const struct step {
    const char *name;
    void (*run)(struct pipeline *pipeline, struct batch *batch);
} steps[] = {
    {"clean", step_clean},         /* one definition of every value, one verdict for every event */
    {"identity", step_identity},   /* which person */
    {"profile", step_profile},     /* what is known of them */
    {"warehouse", step_warehouse}, /* rows for reports */
};

#define STEPS (sizeof steps / sizeof steps[0])

/* Months of received time since year 0: a warehouse file holds one. */
static int month_of(int64_t received_us)
{
    time_t seconds = (time_t)(received_us / US_PER_S);
    struct tm tm;
    gmtime_r(&seconds, &tm);
    return tm.tm_year * 12 + tm.tm_mon;
}

static bool next_record(struct pipeline *pipeline, struct log_record *ret_record)
{
    if (pipeline->pending_set) {
        *ret_record = pipeline->pending;
        pipeline->pending_set = false;
        return true;
    }
    return log_reader_next(pipeline->reader, ret_record);
}

/* Take what the reader holds, up to the batch's bounds or the month's end. False when it holds
 * nothing. */
static bool batch_gather(struct pipeline *pipeline, struct batch *batch)
{
    arena_reset(&batch->arena);
    batch->count = 0;
    int month = 0;
    struct log_record record;
    while (batch->count < BATCH_RECORDS_MAX && next_record(pipeline, &record)) {
        int record_month = month_of(record.received_us);
        if (batch->count > 0 && record_month != month) {
            pipeline->pending = record;
            pipeline->pending_set = true;
            break;
        }
        CHECK(record.next > record.offset && record.offset >= batch->end);
        month = record_month;
        /* Only what is used is cleared: a batch of a few records is the usual one. */
        batch->items[batch->count++] = (struct item){.record = record};
        batch->end = record.next;
        batch->received_us = record.received_us;
    }
    return batch->count > 0;
}

static int64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void batch_run(struct pipeline *pipeline, struct batch *batch)
{
    for (size_t i = 0; i < STEPS; i++) {
        int64_t start = now_ns();
        steps[i].run(pipeline, batch);
        __atomic_add_fetch(&pipeline->stats.step_ns[i], (uint64_t)(now_ns() - start),
                           __ATOMIC_RELAXED);
    }
    pipeline->folded_end = batch->end;
    pipeline->folded_us = batch->received_us;
    if (pipeline->commit_due_us == 0)
        pipeline->commit_due_us = monotonic_us() + COMMIT_US;
    pthread_mutex_lock(&pipeline->mutex);
    struct pipeline_stats *stats = &pipeline->stats;
    CHECK(batch->end > stats->position);
    stats->position = batch->end;
    stats->records += batch->count;
    for (size_t i = 0; i < batch->count; i++) {
        enum clean_verdict verdict = batch->items[i].event.verdict;
        stats->stored += verdict == CLEAN_STORED;
        stats->duplicates += verdict == CLEAN_DUPLICATE;
        stats->quarantined += verdict == CLEAN_QUARANTINED;
    }
    pthread_mutex_unlock(&pipeline->mutex);
}

/* Wait, unless the end has come: true then. */
bool pipeline_pause(struct pipeline *pipeline, int64_t us)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    int64_t nanoseconds = until.tv_nsec + us * 1000;
    until.tv_sec += nanoseconds / 1000000000;
    until.tv_nsec = nanoseconds % 1000000000;
    pthread_mutex_lock(&pipeline->mutex);
    if (!pipeline->stopping)
        pthread_cond_timedwait(&pipeline->changed, &pipeline->mutex, &until);
    bool stopping = pipeline->stopping;
    pthread_mutex_unlock(&pipeline->mutex);
    return stopping;
}

bool pipeline_stall(struct pipeline *pipeline)
{
    pthread_mutex_lock(&pipeline->mutex);
    pipeline->stalled = true;
    pthread_cond_broadcast(&pipeline->changed);
    pthread_mutex_unlock(&pipeline->mutex);
    return pipeline_pause(pipeline, RETRY_US);
}

void pipeline_unstall(struct pipeline *pipeline)
{
    pthread_mutex_lock(&pipeline->mutex);
    pipeline->stalled = false;
    pthread_mutex_unlock(&pipeline->mutex);
}

/* While a commit is under way the rows go on collecting, up to a bound. */
static void commit_if_due(struct pipeline *pipeline)
{
    if (pipeline->commit_due_us == 0)
        return;
    if (pipeline->rows_since_commit < COMMIT_ROWS && monotonic_us() < pipeline->commit_due_us &&
        !pipeline_waiters_any(pipeline))
        return;
    if (pipeline->rows_since_commit >= COMMIT_ROWS_MAX || !pipeline_rows_wait(pipeline))
        (void)pipeline_rows_seal(pipeline); /* stopping: the loop ends */
}

bool pipeline_is_stopping(struct pipeline *pipeline)
{
    pthread_mutex_lock(&pipeline->mutex);
    bool stopping = pipeline->stopping;
    pthread_mutex_unlock(&pipeline->mutex);
    return stopping;
}

/* How long the next fill may wait: until the commit or the note that is due. While one is under way
 * the writing thread wakes the fold at its end. */
static int64_t wait_us(struct pipeline *pipeline)
{
    pthread_mutex_lock(&pipeline->mutex);
    bool commit_waits = pipeline->commit_due_us != 0 && !pipeline->rows_sealed;
    bool note_waits = pipeline->note_begun == 0;
    pthread_mutex_unlock(&pipeline->mutex);
    int64_t now_us = monotonic_us(), until_us = now_us + NOTE_US;
    if (note_waits && pipeline->note_due_us < until_us)
        until_us = pipeline->note_due_us;
    if (commit_waits && pipeline->commit_due_us < until_us)
        until_us = pipeline->commit_due_us;
    return until_us < now_us ? 0 : until_us - now_us;
}

/* Rows of last month are sealed before the first of this one is added. */
static void commit_at_month_end(struct pipeline *pipeline, const struct batch *batch)
{
    if (pipeline->commit_due_us != 0 &&
        month_of(batch->received_us) != month_of(pipeline->folded_us))
        (void)pipeline_rows_seal(pipeline); /* stopping: neither month is committed */
}

/* One half of the cores is enough, or it is not; and who sends is held to this pace. */
static void pace_choose(struct pipeline *pipeline)
{
    uint64_t behind = log_end(pipeline->options.log) - pipeline->batch.end;
    log_reached(pipeline->options.log, pipeline->batch.end);
    if (behind >= SPREAD_BYTES)
        thread_keep_half(false);
    else if (behind < GATHER_BYTES)
        thread_keep_half(true);
}

void pipeline_make_way(struct pipeline *pipeline)
{
    __atomic_store_n(&pipeline->way_until_us, monotonic_us() + WAY_US, __ATOMIC_RELAXED);
}

/* A quarter of what this batch took. Doors with little in hand wait for the disk again and again,
 * and the fold takes what they leave: on two cores they acknowledged with 1 MB in flight 0.88 of
 * what they do without that limit (0.86 to 0.91), and so 0.93 to 0.97. */
static void rest_if_asked(struct pipeline *pipeline, int64_t began_us)
{
    int64_t now_us = monotonic_us();
    if (now_us >= __atomic_load_n(&pipeline->way_until_us, __ATOMIC_RELAXED))
        return;
    int64_t rest_us = (now_us - began_us) / WAY_PART;
    pthread_mutex_lock(&pipeline->mutex);
    pipeline->stats.rests++;
    pthread_mutex_unlock(&pipeline->mutex);
    (void)pipeline_pause(pipeline, rest_us < WAY_REST_US_MAX ? rest_us : WAY_REST_US_MAX);
}

static void *fold_main(void *ctx)
{
    struct pipeline *pipeline = ctx;
    struct batch *batch = &pipeline->batch;
    thread_keep_half(true);
    while (!pipeline_is_stopping(pipeline)) {
        if (batch_gather(pipeline, batch)) {
            int64_t began_us = monotonic_us();
            commit_at_month_end(pipeline, batch);
            batch_run(pipeline, batch);
            pace_choose(pipeline);
            commit_if_due(pipeline);
            pipeline_note_if_due(pipeline);
            pipeline_waiters_serve(pipeline);
            rest_if_asked(pipeline, began_us);
            continue;
        }
        commit_if_due(pipeline);
        pipeline_note_if_due(pipeline);
        pipeline_waiters_serve(pipeline);
        struct err err;
        bool any = false;
        if (log_reader_fill(pipeline->reader, BATCH_BYTES_MAX, wait_us(pipeline), &any, &err) !=
            ST_OK)
            fatal("could not read the journal: %s", err.message);
    }
    pipeline_write_end(pipeline);
    return NULL;
}

enum status pipeline_open(const struct pipeline_options *options, struct pipeline **ret_pipeline,
                          struct err *err)
{
    struct pipeline *pipeline = mem_zero(sizeof *pipeline);
    pipeline->options = *options;
    pthread_mutex_init(&pipeline->mutex, NULL);
    pthread_mutex_init(&pipeline->erase_mutex, NULL);
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&pipeline->changed, &monotonic);
    arena_init(&pipeline->batch.arena);
    pipeline->batch.items = mem_alloc(BATCH_RECORDS_MAX * sizeof(struct item));

    enum status status = pipeline_state_open(pipeline, err);
    uint64_t from = pipeline->stats.state_position;
    if (status == ST_OK)
        status = log_reader_open(options->log, from, &pipeline->reader, err);
    if (status != ST_OK) {
        pipeline_close(pipeline);
        return status;
    }
    pipeline->batch.end = from;
    pipeline->stats.position = from;
    pipeline->replay_end = log_end(options->log);
    pipeline->stats.replayed_bytes = pipeline->replay_end - from;
    *ret_pipeline = pipeline;
    return ST_OK;
}

/* state position <= warehouse position <= journal end, or one of them is from another history. */
static enum status positions_check(const struct pipeline *pipeline, uint64_t rows, struct err *err)
{
    uint64_t state = pipeline->stats.state_position, end = log_end(pipeline->options.log);
    if (rows > end)
        return err_set(err, ST_CORRUPT,
                       "the warehouse stands at %llu, after the journal's end %llu",
                       (unsigned long long)rows, (unsigned long long)end);
    if (state <= LOG_FIRST_OFFSET || state <= rows || pipeline->options.bug_cursor_before_effect)
        return ST_OK;
    err_set(err, ST_CORRUPT, "state.db stands at %llu, after the warehouse at %llu",
            (unsigned long long)state, (unsigned long long)rows);
    return err_hint(
        err, ST_CORRUPT,
        "delete state.db: it is rebuilt from the journal, and the missing rows with it");
}

enum status pipeline_start(struct pipeline *pipeline, struct warehouse *warehouse, struct err *err)
{
    CHECK(!pipeline->started);
    enum status status = positions_check(pipeline, warehouse_position(warehouse), err);
    if (status != ST_OK)
        return status;
    pipeline->warehouse = warehouse;
    pipeline->stats.warehouse_position = warehouse_position(warehouse);
    pipeline->started = true;
    pipeline->noted_end = pipeline->stats.state_position;
    pipeline->note_due_us = monotonic_us() + NOTE_US;
    CHECK(thread_start(&pipeline->fold_thread, "fold", fold_main, pipeline) == 0);
    CHECK(thread_start(&pipeline->write_thread, "write", pipeline_write_main, pipeline) == 0);
    CHECK(thread_start(&pipeline->merge_thread, "merge", pipeline_merge_main, pipeline) == 0);
    return ST_OK;
}

void pipeline_close(struct pipeline *pipeline)
{
    if (pipeline == NULL)
        return;
    if (pipeline->started) {
        struct err err;
        if (pipeline_flush(pipeline, &err) != ST_OK) /* only means a longer replay */
            fprintf(stderr, "hezou: the state was not flushed: %s\n", err.message);
        HOOK("pipeline_stop");
        pthread_mutex_lock(&pipeline->mutex);
        pipeline->stopping = true;
        pthread_cond_broadcast(&pipeline->changed);
        pthread_mutex_unlock(&pipeline->mutex);
        log_wake(pipeline->options.log);
        pthread_join(pipeline->fold_thread, NULL);
        pthread_join(pipeline->write_thread, NULL);
        pthread_join(pipeline->merge_thread, NULL);
    }
    pipeline_waiters_end(pipeline);
    log_reader_close(pipeline->reader);
    clean_close(pipeline->clean);
    profile_close(pipeline->profile);
    identity_close(pipeline->identity);
    state_close(pipeline->state);
    arena_done(&pipeline->batch.arena);
    free(pipeline->batch.items);
    pthread_cond_destroy(&pipeline->changed);
    pthread_mutex_destroy(&pipeline->mutex);
    pthread_mutex_destroy(&pipeline->erase_mutex);
    free(pipeline);
}

void pipeline_timeline_set(struct pipeline *pipeline, struct timeline *timeline)
{
    CHECK(!pipeline->started);
    pipeline->timeline = timeline;
}

void pipeline_forget_set(struct pipeline *pipeline, pipeline_forget *forget, void *ctx)
{
    pipeline->forget = forget;
    pipeline->forget_ctx = ctx;
}

struct timeline *pipeline_timeline(struct pipeline *pipeline)
{
    return pipeline->timeline;
}

struct state *pipeline_state(struct pipeline *pipeline)
{
    return pipeline->state;
}

struct identity *pipeline_identity(struct pipeline *pipeline)
{
    return pipeline->identity;
}

struct profile *pipeline_profile(struct pipeline *pipeline)
{
    return pipeline->profile;
}

struct clean *pipeline_clean(struct pipeline *pipeline)
{
    return pipeline->clean;
}

void pipeline_stats(struct pipeline *pipeline, struct pipeline_stats *ret_stats)
{
    uint64_t end = log_end(pipeline->options.log);
    pthread_mutex_lock(&pipeline->mutex);
    *ret_stats = pipeline->stats;
    pthread_mutex_unlock(&pipeline->mutex);
    ret_stats->lag_bytes = end > ret_stats->position ? end - ret_stats->position : 0;
    ret_stats->caught_up = ret_stats->position >= pipeline->replay_end;
}
