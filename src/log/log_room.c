/* log_room.c - a full disk: refuse, keep reading and erasing, resume when there is room.
 *
 * A refused group may have left bytes behind the end of the journal. They are cut off before
 * anything else is written, or a later, shorter group could end exactly where an old record starts
 * and a refused event would come back.
 *
 * Erasing must work on a full disk, since it is often asked for then: the folder holds a spare file
 * whose space is given back for the erase record and the redo file, and for what the pipeline and
 * the warehouse write before the person is gone. Appends are taken again only when the spare file
 * could be made anew and the segment can grow. */
#include "log/log_int.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/check.h"

/* At least an erase record of 1,000 hashes and a redo of 10,000 records. */
#define SPARE_BYTES_MIN (UINT64_C(1) << 20)
/* Rows that wait for their commit, a flush of the state, a month's file of a small shop. */
#define SPARE_BYTES_MAX (UINT64_C(32) << 20)
#define SPARE_PART 16                     /* of the disk, where that is less */
#define PROBE_BYTES (UINT64_C(4) << 20)   /* the largest append that the door makes */
#define ERASE_US (INT64_C(30) * US_PER_S) /* longer than an erase takes */
#define PROBE_EVERY_US (INT64_C(200) * US_PER_MS)

static void spare_path(const struct log *log, char *ret_path, size_t n)
{
    int length = snprintf(ret_path, n, "%s/spare", log->folder);
    CHECK(length > 0 && (size_t)length < n);
}

static uint64_t spare_bytes(const struct log *log)
{
    struct statvfs disk;
    if (statvfs(log->folder, &disk) != 0)
        return SPARE_BYTES_MIN;
    uint64_t part = (uint64_t)disk.f_blocks * disk.f_frsize / SPARE_PART;
    if (part < SPARE_BYTES_MIN)
        return SPARE_BYTES_MIN;
    return part > SPARE_BYTES_MAX ? SPARE_BYTES_MAX : part;
}

bool room_has(const struct log *log, uint64_t bytes)
{
    struct statvfs disk;
    return statvfs(log->folder, &disk) == 0 && (uint64_t)disk.f_bavail * disk.f_frsize >= bytes;
}

/* Is an erase perhaps still using what was given back? Then its room is not taken again. */
static bool spare_in_use(const struct log *log, int64_t now_us)
{
    int64_t spent_us = __atomic_load_n(&log->spent_us, __ATOMIC_ACQUIRE);
    if (spent_us == 0 || now_us - spent_us >= ERASE_US)
        return false;
    return !room_has(log, 2 * spare_bytes(log));
}

static bool spare_make(struct log *log)
{
    char path[LOG_PATH_BYTES];
    struct err err;
    int fd = -1;
    spare_path(log, path, sizeof path);
    if (disk_open(log->disk, path, O_RDWR | O_CREAT, &fd, &err) != ST_OK)
        return false;
    bool made = disk_reserve(log->disk, fd, spare_bytes(log), &err) == ST_OK;
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
    __atomic_store_n(&log->spent_us, monotonic_us(), __ATOMIC_RELEASE);
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
    if (spare_in_use(log, now_us))
        return;
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
