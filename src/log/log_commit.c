/* log_commit.c - the committer: many callers, one write, one sync.
 *
 * A sync costs 0.1-4 ms whatever it covers, so the one thread that syncs takes everything that is
 * queued as one group; what arrives meanwhile forms the next. An idle journal commits at once, a
 * busy one makes its groups larger by itself. Where a crowd waits for each sync, a group is given a
 * moment more: each sync also wakes the committer, the loops and the senders.
 *
 * Order, never changed: write, sync, move `end`, wake the readers, answer. A failed sync, and a
 * write that failed for another reason than room, end the process: nothing is known about the disk
 * then, and nobody has been answered. A write without room refuses the group and all that is queued
 * (log_room.c). */
#include "log/log_int.h"

#include <fcntl.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/check.h"
#include "base/hook.h"
#include "base/limits.h"
#include "base/thread.h"

#define IDLE_PROBE_US (INT64_C(200) * US_PER_MS)
/* A crowd: so many appends in the last group. 256 connections at 40,000 single events/s: 150 us
 * more make a third of the syncs, and 28.4 us of processor time per event in place of 32.1 (a
 * sender's 8.4 in place of 9.6); half of them are answered within 1.2 ms as before. */
#define CROWD_APPENDS 8
#define CROWD_US 150
/* The pace of who follows: no wait up to the first, the longest from the second on. */
#define PACE_FROM_BYTES (UINT64_C(4) << 20)
#define PACE_FULL_BYTES (UINT64_C(16) << 20)
#define PACE_US_MAX (INT64_C(5) * US_PER_MS)
#define PACE_STEP_US (INT64_C(1) * US_PER_MS)

struct group {
    struct log_append *first, *last;
    size_t bytes;
    size_t appends;
    uint64_t records;
};

/* Move the front of the queue into a group, as much as the segment has room for. */
static void group_take(struct log *log, size_t room, struct group *ret_group)
{
    struct group group = {.first = log->queue};
    while (log->queue != NULL) {
        struct log_append *append = log->queue;
        bool fits = group.bytes + append->frames.n <= room &&
                    group.bytes + append->frames.n <= GROUP_BYTES_MAX;
        if (group.appends > 0 && !fits)
            break;
        group.last = append;
        group.bytes += append->frames.n;
        group.records += append->count;
        group.appends++;
        log->queue = append->next;
    }
    if (log->queue == NULL)
        log->queue_tail = &log->queue;
    if (group.last != NULL)
        group.last->next = NULL;
    *ret_group = group;
}

/* Tell every caller of the group. An append is its caller's again, and perhaps freed, once told. */
static void group_answer(const struct group *group, enum status status, uint64_t offset,
                         int64_t received_us)
{
    for (struct log_append *append = group->first, *next; append != NULL; append = next) {
        next = append->next;
        size_t n = append->frames.n;
        append->done(append, status, offset, received_us);
        offset += status == ST_OK ? n : 0;
    }
}

/* No room: this group and all that waits behind it. */
static void group_refuse(struct log *log, struct group *group)
{
    struct group rest;
    pthread_mutex_lock(&log->mutex);
    group_take(log, SIZE_MAX, &rest);
    while (rest.first != NULL) { /* GROUP_BYTES_MAX splits it */
        group->last->next = rest.first;
        group->last = rest.last;
        group->bytes += rest.bytes;
        group->records += rest.records;
        group_take(log, SIZE_MAX, &rest);
    }
    log->full = true;
    log->stats.refused += group->records;
    log->inflight -= group->bytes;
    pthread_mutex_unlock(&log->mutex);
    ahead_give_up(log);
    log->probed_us = monotonic_us();
    group_answer(group, ST_BUSY, 0, 0);
}

/* A segment whose file could not be finished must not be there: the next group may be small enough
 * for the old one, and would then stand behind the new one's first offset. */
static void segment_undo(struct log *log, uint64_t base)
{
    char path[LOG_PATH_BYTES];
    struct err err;
    segment_path(log, base, path, sizeof path);
    if (disk_remove(log->disk, path, &err) != ST_OK ||
        disk_sync_folder(log->disk, log->folder, &err) != ST_OK)
        fatal("the journal cannot go on: %s", err.message);
}

/* Close the segment and begin the next one at the journal's end. ST_BUSY when there is no room. */
static enum status rotate(struct log *log, struct err *err)
{
    uint64_t end = log->end;
    int64_t now_us = clock_now_us(log->clock);
    struct segment next = {
        .base = end, .created_us = now_us, .before_us = log->last_us, .group = log->group};
    int fd = -1;
    uint64_t reserved = 0;
    enum status status = segment_create(log, &next, &fd, &reserved, err);
    if (status != ST_OK && status != ST_BUSY)
        fatal("the journal cannot go on: %s", err->message);
    if (status != ST_OK) {
        segment_undo(log, end);
        return status;
    }
    HOOK("log_rotate");
    struct err ignored; /* reserved space that stays behind the end costs room, nothing else */
    (void)!disk_truncate(log->disk, log->fd, segment_at(&log->active, end), &ignored);
    close(log->fd);
    log->fd = fd;
    log->active = next;
    log->reserved = reserved;
    pthread_mutex_lock(&log->mutex);
    segment_push(log, &next);
    pthread_mutex_unlock(&log->mutex);
    return ST_OK;
}

/* Must the next append go to a new segment? Full, or older than a day. */
static bool rotation_due(struct log *log, size_t next_bytes)
{
    uint64_t used = segment_at(&log->active, log->end);
    if (used == SEGMENT_HEADER_BYTES)
        return false;
    return used + next_bytes > log->segment_bytes ||
           clock_now_us(log->clock) - log->active.created_us >= SEGMENT_AGE_US;
}

static enum status group_write(struct log *log, const struct group *group, struct err *err)
{
    uint64_t at = segment_at(&log->active, log->end);
    room_reserve(log, at + group->bytes);
    struct iovec *parts = mem_alloc(group->appends * sizeof *parts);
    size_t count = 0;
    for (const struct log_append *append = group->first; append != NULL; append = append->next)
        parts[count++] = (struct iovec){(char *)(uintptr_t)append->frames.p, append->frames.n};
    enum status status = disk_writev_at(log->disk, log->fd, parts, count, at, err);
    free(parts);
    return status;
}

/* The file has it, so it holds no memory of anybody. */
static void group_written(struct log *log, const struct group *group)
{
    pthread_mutex_lock(&log->mutex);
    log->inflight -= group->bytes;
    log->unsynced = group->bytes;
    pthread_mutex_unlock(&log->mutex);
    for (struct log_append *append = group->first; append != NULL; append = append->next)
        if (append->written != NULL)
            append->written(append);
}

/* Gives the time that it took. */
static int64_t group_sync(struct log *log)
{
    struct err err;
    HOOK("log_before_sync");
    int64_t before_us = monotonic_us();
    if (disk_sync(log->disk, log->fd, &err) != ST_OK)
        fatal("the journal cannot go on: %s", err.message);
    int64_t took_us = monotonic_us() - before_us;
    HOOK("log_after_sync");
    return took_us;
}

static void group_publish(struct log *log, const struct group *group, int64_t sync_us)
{
    pthread_mutex_lock(&log->mutex);
    log->sync_us[log->stats.syncs % SYNC_SAMPLES] = sync_us;
    __atomic_store_n(&log->end, log->end + group->bytes, __ATOMIC_RELEASE);
    log->unsynced = 0;
    log->stats.records += group->records;
    log->stats.bytes += group->bytes;
    log->stats.syncs++;
    pthread_cond_broadcast(&log->progress);
    pthread_mutex_unlock(&log->mutex);
    log->group++;
    mark_write(log);
}

static void group_stamp(struct log *log, const struct group *group)
{
    int64_t now_us = clock_now_us(log->clock);
    if (log->last_us < now_us)
        log->last_us = now_us;
    for (struct log_append *append = group->first; append != NULL; append = append->next)
        record_stamp((char *)(uintptr_t)append->frames.p, append->frames.n, append->count,
                     log->group, log->last_us, append == group->last);
}

#ifdef HEZOU_TEST_HOOKS
static void done_already(struct log_append *append, enum status status, uint64_t offset,
                         int64_t received_us)
{
    (void)append, (void)status, (void)offset, (void)received_us;
}

/* The seeded bug: answer first, write and sync 50 ms later. A killed process must be found to have
 * lost what it acknowledged. `copy` stands in for the appends, which are their callers' again. */
static void group_answer_early(struct log *log, struct group *group, struct log_append *copy)
{
    char *bytes = mem_alloc(group->bytes);
    size_t n = 0;
    for (struct log_append *append = group->first; append != NULL; append = append->next) {
        memcpy(bytes + n, append->frames.p, append->frames.n);
        n += append->frames.n;
    }
    *copy = (struct log_append){.frames = {bytes, n}, .done = done_already};
    group_answer(group, ST_OK, log->end, log->last_us);
    group->first = group->last = copy;
    group->appends = 1;
    nanosleep(&(struct timespec){.tv_nsec = 50000000}, NULL);
}
#endif

static void group_commit(struct log *log, struct group *group)
{
    struct err err;
    if (log->full)
        room_spend(log); /* only an erase gets this far */
    bool refused =
        !room_cut(log) || (rotation_due(log, group->bytes) && rotate(log, &err) != ST_OK);
    if (refused) {
        group_refuse(log, group);
        return;
    }
    group_stamp(log, group);
#ifdef HEZOU_TEST_HOOKS
    struct log_append copy = {0};
    if (log->bug_ack_before_sync)
        group_answer_early(log, group, &copy);
#endif
    enum status status = group_write(log, group, &err);
    if (status == ST_BUSY) {
        log->uncut = true;
        room_cut(log);
        group_refuse(log, group);
        return;
    }
    if (status != ST_OK)
        fatal("the journal cannot go on: %s", err.message);
    group_written(log, group);
    int64_t sync_us = group_sync(log);
    uint64_t first = log->end;
    log->crowd = group->appends;
    group_publish(log, group, sync_us);
    ahead_want(log); /* before: who is answered may look at what is ahead */
    group_answer(group, ST_OK, first, log->last_us);
#ifdef HEZOU_TEST_HOOKS
    free((char *)(uintptr_t)copy.frames.p);
#endif
}

/* What a group may weigh: what is left of the segment, or a new segment's whole. */
static size_t group_room(struct log *log)
{
    if (log->queue == NULL)
        return 0;
    uint64_t used = segment_at(&log->active, log->end);
    if (rotation_due(log, log->queue->frames.n))
        used = SEGMENT_HEADER_BYTES;
    return used < log->segment_bytes ? (size_t)(log->segment_bytes - used) : 0;
}

static void overwrite_next(struct log *log)
{
    pthread_mutex_lock(&log->mutex);
    struct overwrite *overwrite = log->overwrites;
    if (overwrite != NULL) {
        log->overwrites = overwrite->next;
        if (log->overwrites == NULL)
            log->overwrites_tail = &log->overwrites;
    }
    pthread_mutex_unlock(&log->mutex);
    if (overwrite == NULL)
        return;
    enum status status = overwrite_run(log, overwrite->offsets, overwrite->count, &overwrite->err);
    pthread_mutex_lock(&log->mutex);
    overwrite->status = status;
    overwrite->done = true;
    pthread_cond_broadcast(&log->progress);
    pthread_mutex_unlock(&log->mutex);
}

static void work_wait(struct log *log)
{
    while (log->queue == NULL && log->overwrites == NULL && !log->stopping) {
        if (!log->full) {
            pthread_cond_wait(&log->work, &log->mutex);
            continue;
        }
        int64_t until_us = monotonic_us() + IDLE_PROBE_US;
        struct timespec until = {.tv_sec = until_us / US_PER_S,
                                 .tv_nsec = until_us % US_PER_S * 1000};
        if (pthread_cond_timedwait(&log->work, &log->mutex, &until) != 0)
            return; /* time to look for room */
    }
}

/* How long a group waits. */
static int64_t pace_us(const struct log *log)
{
    int64_t crowd_us = log->crowd >= CROWD_APPENDS ? CROWD_US : 0;
    uint64_t reached = __atomic_load_n(&log->reached, __ATOMIC_RELAXED);
    if (reached == 0 || log->end <= reached + PACE_FROM_BYTES)
        return crowd_us;
    uint64_t over = log->end - reached - PACE_FROM_BYTES;
    uint64_t full = PACE_FULL_BYTES - PACE_FROM_BYTES;
    if (over >= full)
        return PACE_US_MAX;
    int64_t behind_us = (int64_t)over * PACE_US_MAX / (int64_t)full;
    return behind_us > crowd_us ? behind_us : crowd_us;
}

/* What comes meanwhile joins the group, until an eighth of what may be in flight is there: nobody
 * is to be refused for this. Under the mutex. */
static void pace_keep(struct log *log)
{
    int64_t wait_us = pace_us(log);
    while (wait_us > 0 && log->queue != NULL && log->overwrites == NULL && !log->stopping &&
           log->inflight < log->inflight_max / 8) {
        int64_t step_us = wait_us < PACE_STEP_US ? wait_us : PACE_STEP_US;
        pthread_mutex_unlock(&log->mutex);
        nanosleep(&(struct timespec){.tv_nsec = step_us * 1000}, NULL);
        pthread_mutex_lock(&log->mutex);
        wait_us -= step_us;
    }
}

void *committer_run(void *arg)
{
    struct log *log = arg;
    thread_prompt();
    for (;;) {
        struct group group;
        pthread_mutex_lock(&log->mutex);
        work_wait(log);
        pace_keep(log);
        group_take(log, group_room(log), &group);
        bool finished = group.first == NULL && log->overwrites == NULL && log->stopping;
        pthread_mutex_unlock(&log->mutex);
        if (finished)
            return NULL;
        room_probe(log);
        if (group.first != NULL)
            group_commit(log, &group);
        overwrite_next(log);
    }
}
