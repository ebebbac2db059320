/* log_ahead.c - the next segment's file, made of zeros before it is needed.
 *
 * A sync of bytes that the file system has already given blocks to, and written once, is the
 * disk's affair alone. Any other one also writes the file's map: one write more on ext4 without a
 * journal, and with one it waits until that has written what other files have got meanwhile.
 *
 * One thread writes zeros into `ahead.new`, a piece at a time, as the segment in use fills; from
 * three quarters of it on the file is whole. When the segment turns, the committer takes the file,
 * as far as it has come, gives it its header and its name. A quiet journal never begins one; a
 * disk with little room keeps it for what matters. It is only a help: what fails here is given up
 * until the next turn. */
#include "log/log_int.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/check.h"
#include "base/thread.h"

#define SEGMENT_BYTES_MIN (4 * DISK_PIECE_BYTES) /* smaller ones are for tests of other things */
#define ROOM_SEGMENTS 8                          /* free on the disk, or it is left alone */

static void ahead_path(const struct log *log, char *ret_path, size_t n)
{
    int length = snprintf(ret_path, n, "%s/ahead.new", log->folder);
    CHECK(length > 0 && (size_t)length < n);
}

static void ahead_remove(struct log *log)
{
    char path[LOG_PATH_BYTES];
    struct err ignored; /* the next one is made over it */
    ahead_path(log, path, sizeof path);
    (void)!disk_remove(log->disk, path, &ignored);
}

/* Under `mutex`. */
static void ahead_drop(struct log *log)
{
    if (log->ahead.fd < 0)
        return;
    close(log->ahead.fd);
    log->ahead.fd = -1;
    log->ahead.bytes = 0;
    ahead_remove(log);
}

static bool ahead_begin(struct log *log, int *ret_fd)
{
    char path[LOG_PATH_BYTES];
    struct err ignored;
    ahead_path(log, path, sizeof path);
    return room_has(log, ROOM_SEGMENTS * log->segment_bytes) &&
           disk_open(log->disk, path, O_RDWR | O_CREAT | O_TRUNC, ret_fd, &ignored) == ST_OK;
}

/* Without the mutex. False: no more of it. */
static bool piece_write(struct log *log, const char *zeros, int *fd, uint64_t at)
{
    struct err err;
    if (*fd < 0 && !ahead_begin(log, fd))
        return false;
    if (disk_write_at(log->disk, *fd, zeros, DISK_PIECE_BYTES, at, &err) != ST_OK)
        return false;
    if (disk_sync(log->disk, *fd, &err) != ST_OK)
        fatal("the journal cannot go on: %s", err.message);
    return true;
}

static bool piece_due(const struct log *log)
{
    return !log->ahead.given_up && log->ahead.bytes + DISK_PIECE_BYTES <= log->ahead.wanted;
}

static void *ahead_run(void *arg)
{
    struct log *log = arg;
    char *zeros = mem_zero(DISK_PIECE_BYTES);
    pthread_mutex_lock(&log->mutex);
    for (;;) {
        while (!log->stopping && !piece_due(log))
            pthread_cond_wait(&log->ahead.changed, &log->mutex);
        if (log->stopping)
            break;
        int fd = log->ahead.fd;
        uint64_t at = log->ahead.bytes;
        log->ahead.writing = true;
        pthread_mutex_unlock(&log->mutex);
        bool written = piece_write(log, zeros, &fd, at);
        pthread_mutex_lock(&log->mutex);
        log->ahead.writing = false;
        log->ahead.fd = fd;
        if (written)
            log->ahead.bytes = at + DISK_PIECE_BYTES;
        else
            log->ahead.given_up = true;
        if (log->ahead.given_up)
            ahead_drop(log);
        pthread_cond_broadcast(&log->ahead.changed);
    }
    ahead_drop(log);
    pthread_mutex_unlock(&log->mutex);
    free(zeros);
    return NULL;
}

void ahead_open(struct log *log)
{
    ahead_remove(log); /* a crash may have left one */
    CHECK(thread_start(&log->ahead.thread, "journal ahead", ahead_run, log) == 0);
}

void ahead_close(struct log *log)
{
    pthread_mutex_lock(&log->mutex);
    pthread_cond_broadcast(&log->ahead.changed);
    pthread_mutex_unlock(&log->mutex);
    CHECK(pthread_join(log->ahead.thread, NULL) == 0);
}

void ahead_want(struct log *log)
{
    uint64_t used = segment_at(&log->active, log->end), quarter = log->segment_bytes / 4;
    if (log->segment_bytes < SEGMENT_BYTES_MIN || used < quarter)
        return;
    uint64_t wanted = (used - quarter) * 2, whole = log->segment_bytes;
    wanted = wanted < whole ? wanted - wanted % DISK_PIECE_BYTES : whole;
    if (wanted == log->ahead.wanted)
        return;
    pthread_mutex_lock(&log->mutex);
    log->ahead.wanted = wanted;
    pthread_cond_broadcast(&log->ahead.changed);
    pthread_mutex_unlock(&log->mutex);
}

/* Under `mutex`: no piece is being written, and none will be until more is wanted. */
static void ahead_quiet(struct log *log)
{
    log->ahead.wanted = 0;
    while (log->ahead.writing)
        pthread_cond_wait(&log->ahead.changed, &log->mutex);
}

int ahead_take(struct log *log, uint64_t *ret_bytes)
{
    pthread_mutex_lock(&log->mutex);
    ahead_quiet(log);
    int fd = log->ahead.fd;
    *ret_bytes = log->ahead.bytes;
    log->ahead.fd = -1;
    log->ahead.bytes = 0;
    log->ahead.given_up = false;
    pthread_mutex_unlock(&log->mutex);
    return fd;
}

enum status ahead_name(struct log *log, const char *path, struct err *err)
{
    char from[LOG_PATH_BYTES];
    ahead_path(log, from, sizeof from);
    enum status status = disk_rename(log->disk, from, path, err);
    return status == ST_OK ? disk_sync_folder(log->disk, log->folder, err) : status;
}

void ahead_give_up(struct log *log)
{
    pthread_mutex_lock(&log->mutex);
    ahead_quiet(log);
    log->ahead.given_up = true;
    ahead_drop(log);
    pthread_mutex_unlock(&log->mutex);
}
