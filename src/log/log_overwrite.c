/* log_overwrite.c - erase: zeros over the payloads of records, whole or not at all, across a crash.
 *
 * The committer does it between two commits. First the redo file says, for each record, where it
 * stands and what its new header is (flag and checksums for a payload of zeros; no payload). Once
 * that file is durable the overwrite will happen: after a crash log_open repeats it from the start,
 * which is harmless, since it writes the same bytes. It is removed when all segments are synced.
 *
 * Readers are kept out of one segment's bytes while they change, so they see a record as it was or
 * erased. */
#include "log/log_int.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/arena.h"
#include "base/check.h"
#include "base/hash.h"
#include "base/hook.h"

#define REDO_VERSION 1u
#define REDO_BYTES_MAX ((size_t)1 << 30)

/* As it lies on the disk, little endian: head, entries, CRC-32C of both. */
struct redo_head {
    char magic[8];
    uint32_t version;
    uint32_t count;
};

struct redo_entry {
    uint64_t offset;
    struct record_head head;
};
_Static_assert(sizeof(struct redo_head) == 16 && sizeof(struct redo_entry) == 40, "no padding");

static const char magic[8] = {'H', 'E', 'Z', 'O', 'U', 'E', 'R', 'A'};
static const char zeros[65536];

static void redo_path(const struct log *log, char *ret_path, size_t n)
{
    int length = snprintf(ret_path, n, "%s/erase.redo", log->folder);
    CHECK(length > 0 && (size_t)length < n);
}

static uint32_t zeros_crc(size_t n)
{
    uint32_t crc = 0;
    for (size_t part; n > 0; n -= part) {
        part = n < sizeof zeros ? n : sizeof zeros;
        crc = crc32c(crc, zeros, part);
    }
    return crc;
}

static enum status zeros_write(struct log *log, int fd, uint64_t at, size_t n, struct err *err)
{
    enum status status = ST_OK;
    for (size_t part; n > 0 && status == ST_OK; n -= part, at += part) {
        part = n < sizeof zeros ? n : sizeof zeros;
        status = disk_write_at(log->disk, fd, zeros, part, at, err);
    }
    return status;
}

/* Overwrite entries[from, to), which stand in the segment of `file`. */
static enum status segment_overwrite(struct log *log, const struct segment_file *file,
                                     const struct redo_entry *entries, size_t from, size_t to,
                                     size_t half, struct err *err)
{
    enum status status = ST_OK;
    pthread_rwlock_wrlock(&log->bytes_lock);
    for (size_t i = from; i < to && status == ST_OK; i++) {
        const struct record_head *head = &entries[i].head;
        uint64_t at = segment_at(&file->segment, entries[i].offset);
        status = disk_write_at(log->disk, file->fd, head, sizeof *head, at, err);
        if (i == half)
            HOOK("log_overwrite_half");
        if (status == ST_OK)
            status = zeros_write(log, file->fd, at + sizeof *head, head->length, err);
    }
    pthread_rwlock_unlock(&log->bytes_lock);
    return status == ST_OK ? disk_sync(log->disk, file->fd, err) : status;
}

/* Do what the entries (sorted) say; those in deleted segments are skipped. */
static enum status entries_apply(struct log *log, const struct redo_entry *entries, size_t count,
                                 struct err *err)
{
    enum status status = ST_OK;
    struct segment_file file = {.fd = -1};
    for (size_t i = 0, to; i < count && status == ST_OK; i = to) {
        uint64_t limit = 0;
        to = i + 1;
        status = segment_turn(log, &file, entries[i].offset, O_RDWR, &limit, err);
        if (status == ST_GONE) {
            status = ST_OK;
            continue;
        }
        while (to < count && entries[to].offset < limit)
            to++;
        if (status == ST_OK &&
            entries[to - 1].offset + sizeof entries[i].head + entries[to - 1].head.length > limit)
            status = segment_damaged(file.segment.base, entries[to - 1].offset, err);
        if (status == ST_OK)
            status = segment_overwrite(log, &file, entries, i, to, count / 2, err);
    }
    segment_close(&file);
    return status;
}

/* Read the header of the record at `offset` and make of it the header of the erased record. */
static enum status entry_make(struct log *log, struct segment_file *file, uint64_t offset,
                              struct redo_entry *ret_entry, struct err *err)
{
    uint64_t limit = 0;
    enum status status = segment_turn(log, file, offset, O_RDWR, &limit, err);
    if (status != ST_OK)
        return status;
    struct redo_entry entry = {.offset = offset};
    char bytes[LOG_HEADER_BYTES];
    size_t n = 0;
    if (offset < limit)
        status = disk_read_at(log->disk, file->fd, bytes, sizeof bytes,
                              segment_at(&file->segment, offset), &n, err);
    if (status != ST_OK)
        return status;
    enum record_state state = record_check((struct str){bytes, n}, &entry.head);
    if (n < sizeof bytes || state == RECORD_BAD_HEAD ||
        entry.head.length > limit - offset - sizeof bytes)
        return err_set(err, ST_NOT_FOUND, "no record of the journal starts at offset %llu",
                       (unsigned long long)offset);
    entry.head.flags |= LOG_FLAG_ERASED;
    entry.head.payload_crc = zeros_crc(entry.head.length);
    record_head_close(&entry.head);
    *ret_entry = entry;
    return ST_OK;
}

static int offset_compare(const void *a, const void *b)
{
    uint64_t x, y;
    memcpy(&x, a, sizeof x);
    memcpy(&y, b, sizeof y);
    return (x > y) - (x < y);
}

/* The entries for `offsets`, sorted, each once, without those that are gone. */
static enum status entries_make(struct log *log, const uint64_t *offsets, size_t count,
                                struct redo_entry *entries, size_t *ret_count, struct err *err)
{
    uint64_t *sorted = mem_alloc(count * sizeof *sorted);
    memcpy(sorted, offsets, count * sizeof *sorted);
    qsort(sorted, count, sizeof *sorted, offset_compare);
    struct segment_file file = {.fd = -1};
    enum status status = ST_OK;
    size_t made = 0;
    for (size_t i = 0; i < count && status == ST_OK; i++) {
        if (i > 0 && sorted[i] == sorted[i - 1])
            continue;
        status = entry_make(log, &file, sorted[i], &entries[made], err);
        if (status == ST_OK)
            made++;
        else if (status == ST_GONE)
            status = ST_OK;
    }
    segment_close(&file);
    free(sorted);
    *ret_count = made;
    return status;
}

static enum status redo_write(struct log *log, const struct redo_entry *entries, size_t count,
                              struct err *err)
{
    struct redo_head head = {.version = REDO_VERSION, .count = (uint32_t)count};
    memcpy(head.magic, magic, sizeof magic);
    struct buf bytes;
    buf_init(&bytes, REDO_BYTES_MAX);
    buf_put(&bytes, &head, sizeof head);
    buf_put(&bytes, entries, count * sizeof *entries);
    buf_u32(&bytes, crc32c(0, bytes.p, bytes.n));
    char path[LOG_PATH_BYTES];
    redo_path(log, path, sizeof path);
    enum status status = bytes.overflow ? err_set(err, ST_TOO_LARGE, "too many records to erase")
                                        : disk_write_file(log->disk, path, buf_view(&bytes), err);
    buf_done(&bytes);
    return status;
}

static enum status redo_remove(struct log *log, struct err *err)
{
    char path[LOG_PATH_BYTES];
    redo_path(log, path, sizeof path);
    enum status status = disk_remove(log->disk, path, err);
    return status == ST_OK ? disk_sync_folder(log->disk, log->folder, err) : status;
}

enum status overwrite_run(struct log *log, const uint64_t *offsets, size_t count, struct err *err)
{
    struct redo_entry *entries = mem_alloc(count * sizeof *entries);
    size_t made = 0;
    enum status status = entries_make(log, offsets, count, entries, &made, err);
    if (status == ST_OK && made > 0) {
        if (log->full)
            room_spend(log);
        status = redo_write(log, entries, made, err);
        if (status == ST_OK) {
            HOOK("log_overwrite_redo");
            /* From here on it is decided: what cannot be finished now is finished by a restart. */
            status = entries_apply(log, entries, made, err);
            HOOK("log_overwrite_done");
            if (status != ST_OK || redo_remove(log, err) != ST_OK)
                fatal("could not finish an erase in the journal: %s", err->message);
        }
    }
    free(entries);
    return status;
}

/* Give the entries of a redo file, or ST_CORRUPT. */
static enum status redo_parse(const char *bytes, size_t n, struct redo_entry **ret_entries,
                              size_t *ret_count, struct err *err)
{
    struct redo_head head;
    uint32_t crc = 0;
    if (n >= sizeof head + sizeof crc) {
        memcpy(&head, bytes, sizeof head);
        memcpy(&crc, bytes + n - sizeof crc, sizeof crc);
    }
    if (n < sizeof head + sizeof crc || memcmp(head.magic, magic, sizeof magic) != 0 ||
        head.version != REDO_VERSION || crc != crc32c(0, bytes, n - sizeof crc) ||
        n != sizeof head + head.count * sizeof **ret_entries + sizeof crc)
        return err_set(err, ST_CORRUPT, "the journal is damaged: erase.redo");
    *ret_entries = mem_alloc(head.count * sizeof **ret_entries);
    memcpy(*ret_entries, bytes + sizeof head, head.count * sizeof **ret_entries);
    *ret_count = head.count;
    return ST_OK;
}

enum status overwrite_replay(struct log *log, struct err *err)
{
    char path[LOG_PATH_BYTES];
    redo_path(log, path, sizeof path);
    char *bytes = NULL;
    size_t n = 0, count = 0;
    enum status status = disk_read_file(log->disk, path, REDO_BYTES_MAX, &bytes, &n, err);
    if (status == ST_NOT_FOUND)
        return ST_OK;
    struct redo_entry *entries = NULL;
    if (status == ST_OK)
        status = redo_parse(bytes, n, &entries, &count, err);
    if (status == ST_OK)
        status = entries_apply(log, entries, count, err);
    if (status == ST_OK)
        status = redo_remove(log, err);
    free(entries);
    free(bytes);
    return status;
}
