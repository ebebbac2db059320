/* log_segment.c - the segment files: names, headers, and which one holds an offset.
 *
 * A segment's name is the offset of its first record, so the list of names is the index of the
 * journal and nothing else has to be kept in step with it. The header repeats the name (a renamed
 * or swapped file is found) and carries what would otherwise be asked of the segment before: the
 * received time of its last record (retention, and time that must not go back) and the number of
 * the next group.
 *
 * A new segment is written beside, synced and renamed, so a header is never half there; where the
 * zeros of log_ahead.c are ready, it is those that get the header and the name. */
#include "log/log_int.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/check.h"
#include "base/hash.h"
#include "base/hook.h"

#define SEGMENT_VERSION 1u
#define NAME_DIGITS 20u

/* As it lies on the disk, little endian. */
struct segment_head {
    char magic[8];
    uint32_t version;
    uint32_t group;
    uint64_t base;
    int64_t created_us;
    int64_t before_us;
    uint8_t zero[20];
    uint32_t crc; /* of the 60 bytes before */
};
_Static_assert(sizeof(struct segment_head) == SEGMENT_HEADER_BYTES, "no padding");

static const char magic[8] = {'H', 'E', 'Z', 'O', 'U', 'L', 'O', 'G'};

void segment_path(const struct log *log, uint64_t base, char *ret_path, size_t n)
{
    int length = snprintf(ret_path, n, "%s/%020llu.log", log->folder, (unsigned long long)base);
    CHECK(length > 0 && (size_t)length < n);
}

enum status segment_damaged(uint64_t base, uint64_t offset, struct err *err)
{
    err_set(err, ST_CORRUPT, "the journal is damaged: segment %020llu.log, offset %llu",
            (unsigned long long)base, (unsigned long long)offset);
    return err_hint(err, ST_CORRUPT, "restore the segment from a copy; nothing was deleted");
}

static struct segment_head head_make(const struct segment *segment)
{
    struct segment_head head = {.version = SEGMENT_VERSION,
                                .group = segment->group,
                                .base = segment->base,
                                .created_us = segment->created_us,
                                .before_us = segment->before_us};
    memcpy(head.magic, magic, sizeof magic);
    head.crc = crc32c(0, &head, offsetof(struct segment_head, crc));
    return head;
}

enum status segment_create(struct log *log, const struct segment *segment, int *ret_fd,
                           uint64_t *ret_reserved, struct err *err)
{
    struct segment_head head = head_make(segment);
    char path[LOG_PATH_BYTES];
    segment_path(log, segment->base, path, sizeof path);
    int fd = ahead_take(log, ret_reserved);
    if (fd < 0) {
        *ret_reserved = SEGMENT_HEADER_BYTES;
        enum status status =
            disk_write_file(log->disk, path, (struct str){(const char *)&head, sizeof head}, err);
        return status == ST_OK ? disk_open(log->disk, path, O_RDWR, ret_fd, err) : status;
    }
    enum status status = disk_write_at(log->disk, fd, &head, sizeof head, 0, err);
    if (status == ST_OK)
        status = disk_sync(log->disk, fd, err);
    HOOK("log_ahead_head");
    if (status == ST_OK)
        status = ahead_name(log, path, err);
    if (status == ST_OK)
        *ret_fd = fd;
    else
        close(fd);
    return status;
}

enum status segment_open(struct log *log, uint64_t base, int flags, int *ret_fd, struct err *err)
{
    char path[LOG_PATH_BYTES];
    segment_path(log, base, path, sizeof path);
    return disk_open(log->disk, path, flags, ret_fd, err);
}

static enum status head_check(uint64_t base, const struct segment_head *head,
                              struct segment *ret_segment, struct err *err)
{
    if (memcmp(head->magic, magic, sizeof magic) != 0 ||
        head->crc != crc32c(0, head, offsetof(struct segment_head, crc)) || head->base != base)
        return err_set(err, ST_CORRUPT, "the journal is damaged: header of segment %020llu.log",
                       (unsigned long long)base);
    if (head->version != SEGMENT_VERSION)
        return err_set(err, ST_CORRUPT,
                       "could not read segment %020llu.log: its format is version %u, known is %u",
                       (unsigned long long)base, head->version, SEGMENT_VERSION);
    *ret_segment = (struct segment){.base = head->base,
                                    .created_us = head->created_us,
                                    .before_us = head->before_us,
                                    .group = (uint8_t)head->group};
    return ST_OK;
}

enum status segment_load(struct log *log, uint64_t base, struct segment *ret_segment,
                         uint64_t *ret_size, struct err *err)
{
    int fd = -1;
    enum status status = segment_open(log, base, O_RDONLY, &fd, err);
    if (status != ST_OK)
        return status;
    struct segment_head head = {0};
    size_t n = 0;
    status = disk_read_at(log->disk, fd, &head, sizeof head, 0, &n, err);
    if (status == ST_OK)
        status = disk_size(log->disk, fd, ret_size, err);
    close(fd);
    return status == ST_OK ? head_check(base, &head, ret_segment, err) : status;
}

/* "00000000000000000064.log" and nothing else. */
static bool name_base(const char *name, uint64_t *ret_base)
{
    if (strlen(name) != NAME_DIGITS + 4 || strspn(name, "0123456789") != NAME_DIGITS ||
        strcmp(name + NAME_DIGITS, ".log") != 0)
        return false;
    *ret_base = strtoull(name, NULL, 10);
    return true;
}

static int base_compare(const void *a, const void *b)
{
    uint64_t x, y;
    memcpy(&x, a, sizeof x);
    memcpy(&y, b, sizeof y);
    return (x > y) - (x < y);
}

enum status segment_list(const struct log *log, uint64_t **ret_bases, size_t *ret_count,
                         struct err *err)
{
    DIR *folder = opendir(log->folder);
    if (folder == NULL)
        return err_set(err, ST_IO, "could not list the journal's folder: %s", strerror(errno));
    uint64_t *bases = NULL;
    size_t count = 0, capacity = 0;
    for (struct dirent *entry; (entry = readdir(folder)) != NULL;) {
        uint64_t base;
        if (!name_base(entry->d_name, &base))
            continue;
        if (count == capacity) {
            capacity = capacity == 0 ? 64 : capacity * 2;
            bases = mem_grow(bases, capacity * sizeof *bases);
        }
        bases[count++] = base;
    }
    closedir(folder);
    if (count > 0)
        qsort(bases, count, sizeof *bases, base_compare);
    *ret_bases = bases;
    *ret_count = count;
    return ST_OK;
}

void segment_push(struct log *log, const struct segment *segment)
{
    if (log->segments_count == log->segments_capacity) {
        log->segments_capacity = log->segments_capacity == 0 ? 16 : log->segments_capacity * 2;
        log->segments = mem_grow(log->segments, log->segments_capacity * sizeof *log->segments);
    }
    log->segments[log->segments_count++] = *segment;
}

/* The segment that holds `offset` and where it ends, both of one moment. ST_GONE before the
 * start. */
static enum status segment_find(struct log *log, uint64_t offset, struct segment *ret_segment,
                                uint64_t *ret_limit, struct err *err)
{
    pthread_mutex_lock(&log->mutex);
    size_t low = 0, high = log->segments_count; /* the last one with base <= offset */
    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;
        if (log->segments[middle].base <= offset)
            low = middle;
        else
            high = middle;
    }
    bool gone = offset < log->segments[low].base;
    if (!gone) {
        *ret_segment = log->segments[low];
        *ret_limit = low + 1 < log->segments_count ? log->segments[low + 1].base : log->end;
    }
    pthread_mutex_unlock(&log->mutex);
    return gone ? err_set(err, ST_GONE, "offset %llu is no longer kept by the journal",
                          (unsigned long long)offset)
                : ST_OK;
}

void segment_close(struct segment_file *file)
{
    if (file->fd >= 0)
        close(file->fd);
    file->fd = -1;
}

enum status segment_turn(struct log *log, struct segment_file *file, uint64_t offset, int flags,
                         uint64_t *ret_limit, struct err *err)
{
    struct segment segment;
    enum status status = segment_find(log, offset, &segment, ret_limit, err);
    if (status != ST_OK || (file->fd >= 0 && file->segment.base == segment.base))
        return status;
    segment_close(file);
    status = segment_open(log, segment.base, flags, &file->fd, err);
    if (status == ST_NOT_FOUND) /* deleted by retention since we looked */
        return err_set(err, ST_GONE, "offset %llu is no longer kept by the journal",
                       (unsigned long long)offset);
    if (status == ST_OK)
        file->segment = segment;
    return status;
}
