/* log.c - the journal's door: taking appends, asking for figures, deleting what is old.
 *
 * Everything here only queues work or reads what the committer (log_commit.c) published. The one
 * exception is retention, which removes whole files that the committer no longer touches. */
#include "log/log_int.h"

#include <fcntl.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/hook.h"

void log_reached(struct log *log, uint64_t offset)
{
    __atomic_store_n(&log->reached, offset, __ATOMIC_RELAXED);
}

uint64_t log_end(const struct log *log)
{
    return __atomic_load_n(&log->end, __ATOMIC_ACQUIRE);
}

uint64_t log_start(const struct log *log)
{
    return __atomic_load_n(&log->start, __ATOMIC_ACQUIRE);
}

/* Bytes of the segment files, without what is only reserved; under `mutex`. */
static uint64_t size_bytes(const struct log *log)
{
    return log->end - log->start + log->segments_count * SEGMENT_HEADER_BYTES;
}

/* An erase record is let through to a full disk (log_room.c keeps some space for it). */
static bool is_erase(const struct log_append *append)
{
    struct record_head head;
    memcpy(&head, append->frames.p, sizeof head);
    return head.type == LOG_ERASE;
}

static enum status refusal(const struct log *log, const struct log_append *append, struct err *err)
{
    size_t n = append->frames.n;
    if (is_erase(append))
        return ST_OK;
    if (log->full)
        return err_set(err, ST_BUSY, "the journal's disk is full");
    if (log->inflight > 0 && (n > log->inflight_max || log->inflight > log->inflight_max - n))
        return err_set(err, ST_BUSY, "too many bytes wait for the disk");
    if (log->size_max > 0 && size_bytes(log) + log->inflight + log->unsynced + n > log->size_max)
        return err_set(err, ST_BUSY, "the journal has reached its size limit");
    return ST_OK;
}

enum status log_append(struct log *log, struct log_append *append, struct err *err)
{
    CHECK(append->count > 0 && append->frames.n >= (size_t)append->count * LOG_HEADER_BYTES);
    append->next = NULL;
    pthread_mutex_lock(&log->mutex);
    CHECK(!log->stopping);
    enum status status = refusal(log, append, err);
    if (status == ST_OK) {
        log->inflight += append->frames.n;
        *log->queue_tail = append;
        log->queue_tail = &append->next;
        pthread_cond_signal(&log->work);
    } else {
        log->stats.refused += append->count;
    }
    pthread_mutex_unlock(&log->mutex);
    return status;
}

/* A caller that sleeps until its append is answered. */
struct waiter {
    pthread_mutex_t mutex;
    pthread_cond_t answered;
    bool done;
    enum status status;
    uint64_t offset;
};

static void waiter_done(struct log_append *append, enum status status, uint64_t first_offset,
                        int64_t received_us)
{
    struct waiter *waiter = append->ctx;
    (void)received_us;
    pthread_mutex_lock(&waiter->mutex);
    waiter->status = status;
    waiter->offset = first_offset;
    waiter->done = true;
    pthread_cond_signal(&waiter->answered);
    pthread_mutex_unlock(&waiter->mutex);
}

enum status log_append_wait(struct log *log, struct buf *frames, uint32_t count,
                            uint64_t *ret_first, struct err *err)
{
    struct waiter waiter = {.mutex = PTHREAD_MUTEX_INITIALIZER,
                            .answered = PTHREAD_COND_INITIALIZER};
    struct log_append append = {
        .frames = buf_view(frames), .count = count, .done = waiter_done, .ctx = &waiter};
    enum status status = log_append(log, &append, err);
    if (status != ST_OK)
        return status;
    pthread_mutex_lock(&waiter.mutex);
    while (!waiter.done)
        pthread_cond_wait(&waiter.answered, &waiter.mutex);
    pthread_mutex_unlock(&waiter.mutex);
    if (waiter.status != ST_OK)
        return err_set(err, waiter.status, "the journal's disk is full");
    *ret_first = waiter.offset;
    return ST_OK;
}

void log_erase_begins(struct log *log)
{
    pthread_mutex_lock(&log->mutex);
    bool full = log->full;
    pthread_mutex_unlock(&log->mutex);
    if (full)
        room_spend(log);
}

enum status log_overwrite(struct log *log, const uint64_t *offsets, size_t count, struct err *err)
{
    if (count == 0)
        return ST_OK;
    struct overwrite overwrite = {.offsets = offsets, .count = count};
    pthread_mutex_lock(&log->mutex);
    CHECK(!log->stopping);
    *log->overwrites_tail = &overwrite;
    log->overwrites_tail = &overwrite.next;
    pthread_cond_signal(&log->work);
    while (!overwrite.done)
        pthread_cond_wait(&log->progress, &log->mutex);
    pthread_mutex_unlock(&log->mutex);
    if (overwrite.status != ST_OK && err != NULL)
        *err = overwrite.err;
    return overwrite.status;
}

void log_wake(struct log *log)
{
    pthread_mutex_lock(&log->mutex);
    log->wakes++;
    pthread_cond_broadcast(&log->progress);
    pthread_mutex_unlock(&log->mutex);
}

/* The first segment, if it may go: it is not the last, ends at or before `offset`, and is old. */
static bool first_may_go(struct log *log, uint64_t offset, int64_t older_us, uint64_t *ret_base)
{
    pthread_mutex_lock(&log->mutex);
    bool may_go = log->segments_count > 1 && log->segments[1].base <= offset &&
                  log->segments[1].before_us < older_us;
    *ret_base = log->segments[0].base;
    pthread_mutex_unlock(&log->mutex);
    return may_go;
}

static void first_drop(struct log *log)
{
    pthread_mutex_lock(&log->mutex);
    log->segments_count--;
    memmove(log->segments, log->segments + 1, log->segments_count * sizeof *log->segments);
    __atomic_store_n(&log->start, log->segments[0].base, __ATOMIC_RELEASE);
    pthread_mutex_unlock(&log->mutex);
}

enum status log_retain(struct log *log, uint64_t offset, int64_t older_us, struct err *err)
{
    char path[LOG_PATH_BYTES];
    uint64_t base = 0;
    bool any = false;
    pthread_mutex_lock(&log->retain_mutex);
    enum status status = ST_OK;
    /* Oldest first, so that what a crash leaves is still without a hole. */
    while (status == ST_OK && first_may_go(log, offset, older_us, &base)) {
        segment_path(log, base, path, sizeof path);
        status = disk_remove(log->disk, path, err);
        if (status == ST_OK) {
            first_drop(log);
            any = true;
            HOOK("log_retain_half");
        }
    }
    if (any && status == ST_OK)
        status = disk_sync_folder(log->disk, log->folder, err);
    pthread_mutex_unlock(&log->retain_mutex);
    return status;
}

static int us_compare(const void *a, const void *b)
{
    int64_t x, y;
    memcpy(&x, a, sizeof x);
    memcpy(&y, b, sizeof y);
    return (x > y) - (x < y);
}

void log_stats(struct log *log, struct log_stats *ret_stats)
{
    int64_t sync_us[SYNC_SAMPLES];
    pthread_mutex_lock(&log->mutex);
    *ret_stats = log->stats;
    ret_stats->inflight_bytes = log->inflight;
    ret_stats->size_bytes = size_bytes(log);
    ret_stats->segments = log->segments_count;
    ret_stats->full = log->full;
    memcpy(sync_us, log->sync_us, sizeof sync_us);
    pthread_mutex_unlock(&log->mutex);
    size_t n = ret_stats->syncs < SYNC_SAMPLES ? (size_t)ret_stats->syncs : SYNC_SAMPLES;
    if (n == 0)
        return;
    qsort(sync_us, n, sizeof *sync_us, us_compare);
    ret_stats->sync_p50_us = sync_us[n / 2];
    ret_stats->sync_p99_us = sync_us[n * 99 / 100];
}
