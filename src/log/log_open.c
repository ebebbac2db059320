/* log_open.c - from a folder to a running journal, in the time that its last segment takes.
 *
 * Old segments are judged by header and length only; their records are checked when they are read.
 * The last one is walked record by record. Where the walk stops, the bytes behind are either what a
 * crash left of a write that nobody was told about (cut it) or damage to records that were
 * acknowledged (touch nothing, say where). Told apart by this rule:
 *
 *   - Before the mark (log_mark.c) it is damage: that much had been synced.
 *   - Behind the mark, whole records are searched for at every byte up to the file's end. A power
 * cut may keep the later sectors of one write and lose the earlier ones, so records of the SAME
 * group as the broken one prove nothing. A record of another group does: it was written only after
 * the broken one's group had been synced. So it is damage.
 *   - Else it is a torn tail. Reserved space reads as zeros and is the common case of it.
 *
 * The broken record's group is known although its own header may be unreadable: the record before
 * it says its group and whether it was the last one of it.
 *
 * What the walk accepts is synced before anybody may read it: after kill -9 it may be in the page
 * cache only, and nothing must be folded that a power cut could still take back. */
#include "log/log_int.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/check.h"
#include "base/limits.h"
#include "base/thread.h"

#define SCAN_BYTES ((size_t)4 << 20)

static void cond_init(pthread_cond_t *cond)
{
    pthread_condattr_t attr;
    CHECK(pthread_condattr_init(&attr) == 0);
    CHECK(pthread_condattr_setclock(&attr, CLOCK_MONOTONIC) == 0);
    CHECK(pthread_cond_init(cond, &attr) == 0);
    pthread_condattr_destroy(&attr);
}

static struct log *log_new(const struct log_options *options)
{
    struct log *log = mem_zero(sizeof *log);
    size_t n = strlen(options->folder);
    log->folder = memcpy(mem_alloc(n + 1), options->folder, n + 1);
    log->disk = options->disk;
    log->clock = options->clock;
    log->segment_bytes =
        options->segment_bytes > 0 ? options->segment_bytes : SEGMENT_BYTES_DEFAULT;
    log->size_max = options->size_max;
    log->inflight_max = options->inflight_max > 0 ? options->inflight_max : LIMIT_INFLIGHT_BYTES;
    log->bug_ack_before_sync = options->bug_ack_before_sync;
    log->queue_tail = &log->queue;
    log->overwrites_tail = &log->overwrites;
    log->fd = log->mark_fd = log->ahead.fd = -1;
    CHECK(pthread_mutex_init(&log->mutex, NULL) == 0);
    CHECK(pthread_mutex_init(&log->retain_mutex, NULL) == 0);
    cond_init(&log->work);
    cond_init(&log->progress);
    cond_init(&log->ahead.changed);
    /* Readers come again and again; without preference an overwrite might never get its turn. */
    pthread_rwlockattr_t attr;
    CHECK(pthread_rwlockattr_init(&attr) == 0);
    CHECK(pthread_rwlockattr_setkind_np(&attr, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP) == 0);
    CHECK(pthread_rwlock_init(&log->bytes_lock, &attr) == 0);
    pthread_rwlockattr_destroy(&attr);
    return log;
}

static void log_free(struct log *log)
{
    if (log->fd >= 0)
        close(log->fd);
    if (log->mark_fd >= 0)
        close(log->mark_fd);
    pthread_rwlock_destroy(&log->bytes_lock);
    pthread_cond_destroy(&log->ahead.changed);
    pthread_cond_destroy(&log->progress);
    pthread_cond_destroy(&log->work);
    pthread_mutex_destroy(&log->retain_mutex);
    pthread_mutex_destroy(&log->mutex);
    free(log->segments);
    free(log->folder);
    free(log);
}

void log_close(struct log *log)
{
    if (log == NULL)
        return;
    pthread_mutex_lock(&log->mutex);
    log->stopping = true;
    pthread_cond_signal(&log->work);
    pthread_mutex_unlock(&log->mutex);
    CHECK(pthread_join(log->committer, NULL) == 0);
    ahead_close(log);
    struct err ignored; /* reserved space may as well stay: the next open cuts it */
    (void)!disk_truncate(log->disk, log->fd, segment_at(&log->active, log->end), &ignored);
    log_free(log);
}

/* Load the header of each segment and see that they follow each other without a hole. */
static enum status chain_load(struct log *log, const uint64_t *bases, size_t count,
                              uint64_t *ret_limit, struct err *err)
{
    uint64_t size = 0;
    for (size_t i = 0; i < count; i++) {
        struct segment segment;
        if (i > 0 && bases[i] - bases[i - 1] > size - SEGMENT_HEADER_BYTES)
            return segment_damaged(bases[i - 1], bases[i - 1] + size - SEGMENT_HEADER_BYTES, err);
        enum status status = segment_load(log, bases[i], &segment, &size, err);
        if (status != ST_OK)
            return status;
        segment_push(log, &segment);
    }
    log->active = log->segments[count - 1];
    log->start = log->segments[0].base;
    *ret_limit = log->active.base + (size - SEGMENT_HEADER_BYTES);
    return ST_OK;
}

/* A journal's first segment. */
static enum status journal_begin(struct log *log, struct err *err)
{
    log->active =
        (struct segment){.base = LOG_FIRST_OFFSET, .created_us = clock_now_us(log->clock)};
    segment_push(log, &log->active);
    log->start = LOG_FIRST_OFFSET;
    return segment_create(log, &log->active, &log->fd, &log->reserved, err);
}

/* Is there a whole record in `bytes` that was written by a later group than `group`? */
static bool later_group_in(struct str bytes, uint8_t group)
{
    for (size_t i = 0; i < bytes.n;) {
        struct record_head head;
        enum record_state state = record_check((struct str){bytes.p + i, bytes.n - i}, &head);
        if (state == RECORD_WHOLE && head_group(&head) != group)
            return true;
        /* A true header says how long its payload is, whole or not: a stranger's bytes inside it
         * must not be taken for records. */
        if (state == RECORD_WHOLE || state == RECORD_BAD_PAYLOAD)
            i += sizeof head + head.length;
        else
            i++;
    }
    return false;
}

/* Where the zeros begin that stand before `limit`. A segment may consist of nothing else. */
static enum status zeros_skip(struct log *log, uint64_t *limit, struct err *err)
{
    enum status status = ST_OK;
    char *bytes = mem_alloc(SCAN_BYTES);
    bool zeros = true;
    while (status == ST_OK && zeros && *limit > log->end) {
        uint64_t from = *limit - log->end > SCAN_BYTES ? *limit - SCAN_BYTES : log->end;
        size_t n = 0;
        status = disk_read_at(log->disk, log->fd, bytes, (size_t)(*limit - from),
                              segment_at(&log->active, from), &n, err);
        zeros = n == 0 || (bytes[0] == 0 && memcmp(bytes, bytes + 1, n - 1) == 0);
        *limit = zeros ? from : *limit;
    }
    free(bytes);
    return status;
}

/* Decide about what stands behind the last whole record, [log->end, limit). ST_OK: cut it. */
static enum status tail_judge(struct log *log, uint64_t limit, uint64_t mark, struct err *err)
{
    if (log->end < mark)
        return segment_damaged(log->active.base, log->end, err);
    enum status status = zeros_skip(log, &limit, err);
    if (status != ST_OK || limit == log->end)
        return status;
    size_t n = (size_t)(limit - log->end), got = 0;
    char *bytes = mem_alloc(n);
    status =
        disk_read_at(log->disk, log->fd, bytes, n, segment_at(&log->active, log->end), &got, err);
    if (status == ST_OK && later_group_in((struct str){bytes, got}, log->group))
        status = segment_damaged(log->active.base, log->end, err);
    for (size_t i = got; status == ST_OK && i > 0; i--)
        if (bytes[i - 1] != 0) {
            log->stats.torn_bytes = i;
            break;
        }
    free(bytes);
    return status;
}

/* Walk the last segment; sets end, last_us and group. */
static enum status last_walk(struct log *log, uint64_t limit, struct err *err)
{
    struct window window = {0};
    enum status status = ST_OK;
    log->end = log->active.base;
    log->last_us = log->active.before_us;
    log->group = log->active.group;
    do {
        enum record_state stop;
        status = window_fill(&window, log->disk, log->fd, log->active.base, log->end, limit,
                             SCAN_BYTES, &stop, err);
        if (status != ST_OK || window.n == 0)
            break;
        log->end += window.n;
        log->last_us = window.last.received_us;
        /* A group that lost its last records in a crash is continued: all that a group promises is
         * that the one before it was synced. */
        bool closed = window.last.flags & HEAD_FLAG_LAST;
        log->group = (uint8_t)(head_group(&window.last) + (closed ? 1 : 0));
    } while (log->end < limit);
    free(window.bytes);
    return status;
}

/* Bring the last segment into the state in which the committer takes it over. */
static enum status last_open(struct log *log, uint64_t limit, uint64_t mark, struct err *err)
{
    enum status status = segment_open(log, log->active.base, O_RDWR, &log->fd, err);
    if (status == ST_OK)
        status = last_walk(log, limit, err);
    if (status == ST_OK && log->end < limit)
        status = tail_judge(log, limit, mark, err);
    else if (status == ST_OK && log->end < mark)
        status = segment_damaged(log->active.base, log->end, err);
    if (status == ST_OK)
        status = disk_truncate(log->disk, log->fd, segment_at(&log->active, log->end), err);
    return status == ST_OK ? disk_sync(log->disk, log->fd, err) : status;
}

static enum status journal_load(struct log *log, const uint64_t *bases, size_t count,
                                struct err *err)
{
    uint64_t mark = 0, limit = 0;
    enum status status = mark_open(log, &mark, err);
    if (status != ST_OK)
        return status;
    if (count == 0 && mark > 0)
        return err_set(err, ST_CORRUPT,
                       "the journal's segments are missing: it reached offset %llu",
                       (unsigned long long)mark);
    if (count == 0) {
        log->end = LOG_FIRST_OFFSET;
        return journal_begin(log, err);
    }
    status = chain_load(log, bases, count, &limit, err);
    if (status != ST_OK)
        return status;
    log->end = limit; /* for the replay: an erase reaches no further than what was synced */
    status = overwrite_replay(log, err);
    return status == ST_OK ? last_open(log, limit, mark, err) : status;
}

static enum status folder_make(struct log *log, struct err *err)
{
    if (strlen(log->folder) > LOG_PATH_BYTES - 64)
        return err_set(err, ST_INVALID, "the journal's folder has too long a name");
    if (mkdir(log->folder, 0700) != 0 && errno != EEXIST)
        return err_set(err, ST_IO, "could not make the journal's folder: %s", strerror(errno));
    return ST_OK;
}

enum status log_open(const struct log_options *options, struct log **ret_log, struct err *err)
{
    struct log *log = log_new(options);
    uint64_t *bases = NULL;
    size_t count = 0;
    enum status status = folder_make(log, err);
    if (status == ST_OK)
        status = segment_list(log, &bases, &count, err);
    if (status == ST_OK)
        status = journal_load(log, bases, count, err);
    free(bases);
    if (status != ST_OK) {
        log_free(log);
        return status;
    }
    log->reserved = segment_at(&log->active, log->end);
    mark_write(log);
    room_keep(log);
    ahead_open(log);
    CHECK(thread_start(&log->committer, "journal", committer_run, log) == 0);
    *ret_log = log;
    return ST_OK;
}
