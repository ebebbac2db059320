/* log_room.c - a full disk: refuse, keep reading and erasing, resume when there is room.
 *
 * A refused group may have left bytes behind the end of the journal. They are cut off before
 * anything else is written, or a later, shorter group could end exactly where an old record starts
 * and a refused event would come back.
 *
 * Erasing must work on a full disk, since it is often asked for then: the folder holds a spare file
 * whose space is given back for the redo file and the erase record. Appends are taken again only
 * when the spare file could be made anew and the segment can grow. */
#include "log/log_int.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "base/check.h"

#define SPARE_BYTES                                                                                \
    (UINT64_C(1) << 20) /* an erase record of 1,000 hashes and a redo of 10,000 records */
#define PROBE_BYTES (UINT64_C(4) << 20) /* the largest append that the door makes */
#define PROBE_EVERY_US (INT64_C(200) * US_PER_MS)

static void spare_path(const struct log *log, char *ret_path, size_t n)
{
    int length = snprintf(ret_path, n, "%s/spare", log->folder);
    CHECK(length > 0 && (size_t)length < n);
}

static bool spare_make(struct log *log)
{
    char path[LOG_PATH_BYTES];
    struct err err;
    int fd = -1;
    spare_path(log, path, sizeof path);
    if (disk_open(log->disk, path, O_RDWR | O_CREAT, &fd, &err) != ST_OK)
        return false;
    bool made = disk_reserve(log->disk, fd, SPARE_BYTES, &err) == ST_OK;
    close(fd);
    return made;
}

void room_keep(struct log *log)
{
    (void)spare_make(log); /* without it only an erase on a full disk has to wait */
}

void room_spend(struct log *log)
{
    char path[LOG_PATH_BYTES];
    struct err ignored; /* the write that needs the room says it better */
    spare_path(log, path, sizeof path);
    (void)!disk_remove(log->disk, path, &ignored);
}

bool room_cut(struct log *log)
{
    if (!log->uncut)
        return true;
    struct err err;
    uint64_t size = segment_at(&log->active, log->end);
    if (disk_truncate(log->disk, log->fd, size, &err) != ST_OK)
        return false;
    log->reserved = size;
    log->uncut = false;
    return true;
}

void room_probe(struct log *log)
{
    struct err err;
    int64_t now_us = monotonic_us();
    if (!log->full || now_us - log->probed_us < PROBE_EVERY_US)
        return;
    log->probed_us = now_us;
    uint64_t size = segment_at(&log->active, log->end) + PROBE_BYTES;
    if (!room_cut(log) || !spare_make(log) || disk_reserve(log->disk, log->fd, size, &err) != ST_OK)
        return;
    if (log->reserved < size)
        log->reserved = size;
    pthread_mutex_lock(&log->mutex);
    log->full = false;
    pthread_mutex_unlock(&log->mutex);
}

void room_reserve(struct log *log, uint64_t bytes)
{
    if (bytes <= log->reserved)
        return;
    uint64_t size = bytes + RESERVE_STEP_BYTES;
    if (size > log->segment_bytes)
        size = bytes > log->segment_bytes ? bytes : log->segment_bytes;
    struct err ignored; /* only a help: the write itself finds out whether there is room */
    (void)!disk_reserve(log->disk, log->fd, size, &ignored);
    log->reserved = size;
}
