/* pipeline_wait.c - read your writes: who waits until a position is folded and in the warehouse.
 *
 * A waiter is a suspended request or a worker thread. Its being there makes the loop commit at the
 * end of the batch in hand, so nothing ever needs to sleep. At most LIMIT_WAITERS, each at most
 * LIMIT_WAIT_US; while a full disk holds up the commit, nobody. */
#include "pipeline/pipeline_int.h"

#include "base/check.h"

/* Both positions stand at or after `offset`. Needs the mutex. */
static bool reached(const struct pipeline *pipeline, uint64_t offset)
{
    return pipeline->stats.position >= offset && pipeline->stats.warehouse_position >= offset;
}

bool pipeline_waiters_any(struct pipeline *pipeline)
{
    pthread_mutex_lock(&pipeline->mutex);
    bool any = pipeline->waiters != NULL;
    pthread_mutex_unlock(&pipeline->mutex);
    return any;
}

/* Take those out that are due: reached, or too late, or all. They are answered without the mutex.
 */
static struct pipeline_waiter *waiters_due(struct pipeline *pipeline, bool all)
{
    struct pipeline_waiter *due = NULL;
    int64_t now_us = monotonic_us();
    pthread_mutex_lock(&pipeline->mutex);
    for (struct pipeline_waiter **at = &pipeline->waiters; *at != NULL;) {
        struct pipeline_waiter *waiter = *at;
        if (!all && !reached(pipeline, waiter->offset) && now_us < waiter->deadline_us) {
            at = &waiter->next;
            continue;
        }
        *at = waiter->next;
        waiter->next = due;
        due = waiter;
        CHECK(pipeline->waiters_count > 0);
        pipeline->waiters_count--;
    }
    pthread_mutex_unlock(&pipeline->mutex);
    return due;
}

static void answer(struct pipeline *pipeline, struct pipeline_waiter *due, enum status otherwise)
{
    while (due != NULL) {
        struct pipeline_waiter *next = due->next;
        pthread_mutex_lock(&pipeline->mutex);
        bool there = reached(pipeline, due->offset);
        pthread_mutex_unlock(&pipeline->mutex);
        due->ready(due, there ? ST_OK : otherwise);
        due = next;
    }
}

void pipeline_waiters_serve(struct pipeline *pipeline)
{
    answer(pipeline, waiters_due(pipeline, false), ST_TIMEOUT);
}

void pipeline_waiters_refuse(struct pipeline *pipeline)
{
    answer(pipeline, waiters_due(pipeline, true), ST_BUSY);
}

void pipeline_waiters_end(struct pipeline *pipeline)
{
    answer(pipeline, waiters_due(pipeline, true), ST_TIMEOUT);
}

enum status pipeline_wait(struct pipeline *pipeline, struct pipeline_waiter *waiter,
                          struct err *err)
{
    waiter->deadline_us = monotonic_us() + LIMIT_WAIT_US;
    pthread_mutex_lock(&pipeline->mutex);
    bool there = reached(pipeline, waiter->offset);
    bool full = !there && (pipeline->waiters_count >= LIMIT_WAITERS || pipeline->stopping);
    if (!there && !full) {
        waiter->next = pipeline->waiters;
        pipeline->waiters = waiter;
        pipeline->waiters_count++;
    }
    pthread_mutex_unlock(&pipeline->mutex);
    if (full)
        return err_set(err, ST_BUSY, "too many requests wait for the pipeline (limit %d)",
                       LIMIT_WAITERS);
    if (there)
        waiter->ready(waiter, ST_OK);
    else
        log_wake(pipeline->options.log);
    return ST_OK;
}

struct blocked {
    struct pipeline_waiter waiter;
    pthread_mutex_t mutex;
    pthread_cond_t done;
    bool is_done;
    enum status status;
};

static void blocked_ready(struct pipeline_waiter *waiter, enum status status)
{
    struct blocked *blocked = waiter->ctx;
    pthread_mutex_lock(&blocked->mutex);
    blocked->status = status;
    blocked->is_done = true;
    pthread_cond_signal(&blocked->done);
    pthread_mutex_unlock(&blocked->mutex);
}

enum status pipeline_wait_blocking(struct pipeline *pipeline, uint64_t offset, struct err *err)
{
    struct blocked blocked = {.mutex = PTHREAD_MUTEX_INITIALIZER, .done = PTHREAD_COND_INITIALIZER};
    blocked.waiter =
        (struct pipeline_waiter){.offset = offset, .ready = blocked_ready, .ctx = &blocked};
    enum status status = pipeline_wait(pipeline, &blocked.waiter, err);
    if (status != ST_OK)
        return status;
    pthread_mutex_lock(&blocked.mutex);
    while (!blocked.is_done)
        pthread_cond_wait(&blocked.done, &blocked.mutex);
    status = blocked.status;
    pthread_mutex_unlock(&blocked.mutex);
    pthread_mutex_destroy(&blocked.mutex);
    if (status == ST_BUSY)
        return err_set(err, status, "the disk is full: what was sent last is not visible yet");
    if (status == ST_TIMEOUT)
        return err_set(err, status, "the pipeline did not reach position %llu within %d s",
                       (unsigned long long)offset, (int)(LIMIT_WAIT_US / US_PER_S));
    return status;
}

enum status pipeline_catch_up(struct pipeline *pipeline, struct err *err)
{
    uint64_t end = log_end(pipeline->options.log);
    enum status status;
    do
        status = pipeline_wait_blocking(pipeline, end, err);
    while (status == ST_TIMEOUT && !pipeline_is_stopping(pipeline));
    return status;
}
