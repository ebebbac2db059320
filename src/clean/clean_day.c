/* clean_day.c - the append-only file of one received day's message ids.
 *
 *   header 16: "hezoukey", u32 version 1, u32 day | keys of 16 bytes, in journal order
 *
 * A day with very many ids is several files: all but the last are full and leave memory for the
 * sorted file before the day is over.
 *
 * Journal order is what makes the index exact: the file cut to the length that a flush of the state
 * told is the set of ids as it was at that flush, and what came after is decided again from the
 * journal. So nothing in a file is ever changed, only appended or cut. */
#include "clean/dedup_int.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/check.h"

#define VERSION 1u
#define PENDING_MAX ((size_t)1 << 30) /* a full disk for so long has stopped the journal before */
#define LOAD_KEYS 65536u
#define LOAD_AHEAD 24 /* how many keys the memory is asked ahead of */

static const char magic[8] = {'h', 'e', 'z', 'o', 'u', 'k', 'e', 'y'};

struct header {
    char magic[8];
    uint32_t version;
    uint32_t day;
};
_Static_assert(sizeof(struct header) == CLEAN_KEYS_HEADER_BYTES, "drawn in docs/format/dedup.md");

static struct header header_of(uint32_t day)
{
    struct header header = {.version = VERSION, .day = day};
    memcpy(header.magic, magic, sizeof magic);
    return header;
}

static uint64_t offset_of(uint64_t keys)
{
    return CLEAN_KEYS_HEADER_BYTES + keys * CLEAN_KEY_BYTES;
}

struct clean_day *clean_day_new(uint32_t day, uint32_t part)
{
    struct clean_day *d = mem_zero(sizeof *d);
    d->day = day;
    d->part = part;
    d->fd = -1;
    buf_init(&d->pending, PENDING_MAX);
    return d;
}

void clean_day_free(struct clean_day *day)
{
    if (day == NULL)
        return;
    if (day->fd >= 0)
        close(day->fd);
    buf_done(&day->pending);
    clean_set_free(day->set);
    free(day);
}

static enum status day_open(struct clean_dedup *dedup, struct clean_day *day, int flags,
                            struct err *err)
{
    char path[4096];
    if (day->fd >= 0)
        return ST_OK;
    clean_day_path(dedup->folder, day->day, day->part, path, sizeof path);
    return disk_open(dedup->disk, path, O_RDWR | flags, &day->fd, err);
}

/* Write the header of a new file that is open. */
static enum status day_begin(struct clean_dedup *dedup, struct clean_day *day, struct err *err)
{
    struct header header = header_of(day->day);
    dedup->folder_dirty = true;
    return disk_write_at(dedup->disk, day->fd, &header, sizeof header, 0, err);
}

enum status clean_day_make(struct clean_dedup *dedup, uint32_t day, const char *path,
                           struct err *err)
{
    struct header header = header_of(day);
    struct str bytes = {(const char *)&header, sizeof header};
    return disk_write_file(dedup->disk, path, bytes, err);
}

enum status clean_day_write(struct clean_dedup *dedup, struct clean_day *day, struct err *err)
{
    if (day->pending.n == 0)
        return ST_OK;
    enum status status = day_open(dedup, day, O_CREAT, err);
    if (status == ST_OK && day->written == 0)
        status = day_begin(dedup, day, err);
    if (status == ST_OK)
        status = disk_write_at(dedup->disk, day->fd, day->pending.p, day->pending.n,
                               offset_of(day->written), err);
    if (status != ST_OK)
        return status; /* still pending: the next call writes it again */
    day->written += day->pending.n / CLEAN_KEY_BYTES;
    day->dirty = true;
    buf_reset(&day->pending);
    return ST_OK;
}

enum status clean_day_sync(struct clean_dedup *dedup, struct clean_day *day, struct err *err)
{
    enum status status = clean_day_write(dedup, day, err);
    if (status == ST_OK && day->dirty)
        status = disk_sync(dedup->disk, day->fd, err);
    if (status == ST_OK)
        day->dirty = false;
    return status;
}

enum status clean_day_cut(struct clean_dedup *dedup, struct clean_day *day, struct err *err)
{
    struct header header, want = header_of(day->day);
    size_t got = 0;
    uint64_t size = 0;
    enum status status = day_open(dedup, day, 0, err);
    if (status == ST_OK)
        status = disk_read_at(dedup->disk, day->fd, &header, sizeof header, 0, &got, err);
    if (status == ST_OK)
        status = disk_size(dedup->disk, day->fd, &size, err);
    if (status != ST_OK)
        return status;
    if (got != sizeof header || memcmp(&header, &want, sizeof header) != 0)
        return err_set(err, ST_CORRUPT, "could not read the message ids of day %u: not its file",
                       day->day);
    if (size < offset_of(day->count))
        return err_set(
            err, ST_CORRUPT, "could not read the message ids of day %u: %llu bytes, %llu expected",
            day->day, (unsigned long long)size, (unsigned long long)offset_of(day->count));
    day->written = day->count;
    return size == offset_of(day->count)
               ? ST_OK
               : disk_truncate(dedup->disk, day->fd, offset_of(day->count), err);
}

enum status clean_day_load(struct clean_dedup *dedup, struct clean_day *day, uint64_t *ret_sum,
                           struct err *err)
{
    uint64_t sum = 0;
    struct hash128 *keys = mem_alloc(LOAD_KEYS * sizeof *keys);
    enum status status = ST_OK;
    day->set = clean_set_new();
    clean_set_reserve(day->set, day->count);
    for (uint64_t done = 0; done < day->count && status == ST_OK;) {
        size_t n = day->count - done > LOAD_KEYS ? LOAD_KEYS : day->count - done, got = 0;
        status =
            disk_read_at(dedup->disk, day->fd, keys, n * sizeof *keys, offset_of(done), &got, err);
        if (status == ST_OK && got != n * sizeof *keys)
            status = err_set(err, ST_CORRUPT, "could not read the message ids of day %u: cut off",
                             day->day);
        for (size_t i = 0; i < n && status == ST_OK; i++) {
            if (i + LOAD_AHEAD < n)
                clean_set_prefetch(day->set, keys[i + LOAD_AHEAD]);
            if (hash128_is_zero(keys[i]))
                status =
                    err_set(err, ST_CORRUPT,
                            "could not read the message ids of day %u: an empty key", day->day);
            else
                clean_set_add(day->set, keys[i]);
            sum += keys[i].a;
        }
        done += n;
    }
    free(keys);
    if (status == ST_OK)
        *ret_sum = sum;
    return status;
}
