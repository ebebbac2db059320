/* clean_merge.c - how a new sorted file of older message ids is made.
 *
 * An external merge sort. The day files are read in pieces of 4 MiB, each piece is sorted
 * and written to `old.runs`; then all runs and the old file, whose dead days are left out, are
 * merged through one heap into `old.keys.new`. Fences and filter come along in the same pass,
 * because both follow the order of the keys. At the end: header, sync, rename, sync the folder.
 *
 * Memory is a few dozen buffers, whatever the number of ids. The work runs on a helper thread and
 * touches nothing of the index: it reads files that no longer change. A crash leaves `old.runs` or
 * `old.keys.new`, which the next open removes. A full disk is noticed before the first byte. */
#include "clean/clean_int.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/check.h"
#include "base/hook.h"
#include "base/when.h"

#define RUN_KEYS ((uint64_t)1 << 18)
#define BUFFER_KEYS 4096u /* 64 KiB */

void clean_day_path(const char *folder, uint32_t day, uint32_t part, char *path, size_t n)
{
    int y, m, d;
    char number[16] = "";
    when_civil(day, &y, &m, &d);
    if (part > 0)
        snprintf(number, sizeof number, ".%u", part);
    CHECK((size_t)snprintf(path, n, "%s/%04d%02d%02d%s.keys", folder, y, m, d, number) < n);
}

static void path_of(const struct clean_merge *merge, const char *name, char path[4096])
{
    CHECK((size_t)snprintf(path, 4096, "%s/%s", merge->folder, name) < 4096);
}

/* --- runs ------------------------------------------------------------------------------------- */

/* Keys are spread evenly, so one pass into 65,536 buckets by the first bits leaves a handful each,
 * and inserting sorts those. `to` has room for as many. */
static void sort_keys(struct hash128 *keys, struct hash128 *to, size_t n)
{
    uint32_t *starts = mem_zero(sizeof(uint32_t) * ((size_t)65536 + 1));
    for (size_t i = 0; i < n; i++)
        starts[(keys[i].a >> 48) + 1]++;
    for (size_t i = 0; i < 65536; i++)
        starts[i + 1] += starts[i];
    for (size_t i = 0; i < n; i++)
        to[starts[keys[i].a >> 48]++] = keys[i];
    for (size_t i = 1; i < n; i++) {
        struct hash128 key = to[i];
        size_t j = i;
        for (; j > 0 && hash128_compare(key, to[j - 1]) < 0; j--)
            to[j] = to[j - 1];
        to[j] = key;
    }
    free(starts);
}

struct run {
    int fd;
    uint64_t offset;  /* of the next key to read into the buffer */
    uint64_t left;    /* keys behind offset */
    const bool *keep; /* NULL: all */
    struct hash128 *buffer;
    size_t at, n;
};

struct runs {
    struct clean_merge *merge;
    int fd; /* old.runs */
    uint64_t end;
    struct run *runs;
    size_t count;
};

static void runs_add(struct runs *runs, int fd, uint64_t offset, uint64_t count, const bool *keep)
{
    runs->runs = mem_grow(runs->runs, (runs->count + 1) * sizeof *runs->runs);
    runs->runs[runs->count++] =
        (struct run){.fd = fd, .offset = offset, .left = count, .keep = keep};
}

/* One day file into sorted runs; `keys` and `sorted` hold RUN_KEYS each. */
static enum status runs_of_day(struct runs *runs, const struct clean_day_count *add,
                               struct hash128 *keys, struct hash128 *sorted)
{
    struct clean_merge *merge = runs->merge;
    char path[4096];
    int fd = -1;
    uint64_t sum = 0;
    clean_day_path(merge->folder, add->day, add->part, path, sizeof path);
    enum status status = disk_open(merge->disk, path, O_RDONLY, &fd, &merge->err);
    for (uint64_t done = 0; status == ST_OK && done < add->count;) {
        size_t n = add->count - done > RUN_KEYS ? RUN_KEYS : add->count - done, got = 0;
        status = disk_read_at(merge->disk, fd, keys, n * CLEAN_KEY_BYTES,
                              CLEAN_KEYS_HEADER_BYTES + done * CLEAN_KEY_BYTES, &got, &merge->err);
        if (status == ST_OK && got != n * CLEAN_KEY_BYTES)
            status = err_set(&merge->err, ST_CORRUPT, "could not merge message ids: %s is cut off",
                             path);
        if (status != ST_OK)
            break;
        for (size_t i = 0; i < n; i++) {
            sum += keys[i].a;
            keys[i] = clean_old_entry(keys[i], add->day);
        }
        sort_keys(keys, sorted, n);
        status = disk_write_at(merge->disk, runs->fd, sorted, n * CLEAN_KEY_BYTES, runs->end,
                               &merge->err);
        runs_add(runs, runs->fd, runs->end, n, NULL);
        runs->end += n * CLEAN_KEY_BYTES;
        done += n;
    }
    if (fd >= 0)
        close(fd);
    if (status == ST_OK && sum != add->sum)
        status = err_set(&merge->err, ST_CORRUPT,
                         "could not merge message ids: %s is not what was synced", path);
    return status;
}

static enum status runs_make(struct runs *runs)
{
    struct clean_merge *merge = runs->merge;
    struct hash128 *keys = mem_alloc(RUN_KEYS * CLEAN_KEY_BYTES);
    struct hash128 *sorted = mem_alloc(RUN_KEYS * CLEAN_KEY_BYTES);
    enum status status = ST_OK;
    for (size_t i = 0; i < merge->adds_count && status == ST_OK; i++)
        status = runs_of_day(runs, &merge->adds[i], keys, sorted);
    free(keys);
    free(sorted);
    return status;
}

/* The run's next key at buffer[at]; false at its end. */
static enum status run_fill(struct clean_merge *merge, struct run *run, bool *ret_any)
{
    for (;;) {
        while (run->at < run->n && run->keep != NULL && !run->keep[run->buffer[run->at].b & 0xff])
            run->at++;
        if (run->at < run->n || run->left == 0)
            break;
        size_t n = run->left > BUFFER_KEYS ? BUFFER_KEYS : run->left, got = 0;
        if (run->buffer == NULL)
            run->buffer = mem_alloc(BUFFER_KEYS * CLEAN_KEY_BYTES);
        enum status status = disk_read_at(merge->disk, run->fd, run->buffer, n * CLEAN_KEY_BYTES,
                                          run->offset, &got, &merge->err);
        if (status != ST_OK)
            return status;
        if (got != n * CLEAN_KEY_BYTES)
            return err_set(&merge->err, ST_CORRUPT,
                           "could not merge message ids: a run is cut off");
        run->offset += got;
        run->left -= n;
        run->at = 0;
        run->n = n;
    }
    *ret_any = run->at < run->n;
    return ST_OK;
}

/* --- the heap: runs by their next key, smallest first ----------------------------------------- */

static bool run_before(const struct run *x, const struct run *y)
{
    return hash128_compare(x->buffer[x->at], y->buffer[y->at]) < 0;
}

static void heap_sink(struct run *runs, size_t count, size_t i)
{
    for (;;) {
        size_t least = i, left = 2 * i + 1;
        if (left < count && run_before(&runs[left], &runs[least]))
            least = left;
        if (left + 1 < count && run_before(&runs[left + 1], &runs[least]))
            least = left + 1;
        if (least == i)
            return;
        struct run held = runs[i];
        runs[i] = runs[least];
        runs[least] = held;
        i = least;
    }
}

/* Take away a run that has ended: its buffer goes to the back, where runs_done finds it. */
static void heap_drop(struct runs *runs, size_t *count, size_t i)
{
    struct run ended = runs->runs[i];
    runs->runs[i] = runs->runs[--*count];
    runs->runs[*count] = ended;
}

/* --- writing ---------------------------------------------------------------------------------- */

struct stream {
    struct buf buf;
    uint64_t at;
};

struct writer {
    struct clean_merge *merge;
    struct clean_old *old; /* being made; its filter is read back at the end */
    struct clean_old_shape shape;
    struct stream keys, bloom;
    uint64_t written; /* keys */
    uint64_t block_at;
    uint64_t block[CLEAN_OLD_BLOCK_WORDS];
    uint32_t bloom_crc;
};

/* Several pieces, so that each write waits for most of itself: the file has hundreds of MB, and its
 * sync at the end would send them at once, before everybody else's. */
#define STREAM_BYTES (4 * DISK_PIECE_BYTES)

static enum status stream_flush(struct writer *writer, struct stream *stream)
{
    enum status status = disk_write_at(writer->merge->disk, writer->old->fd, stream->buf.p,
                                       stream->buf.n, stream->at, &writer->merge->err);
    stream->at += stream->buf.n;
    buf_reset(&stream->buf);
    return status;
}

static enum status stream_put(struct writer *writer, struct stream *stream, const void *bytes,
                              size_t n)
{
    buf_put(&stream->buf, bytes, n);
    return stream->buf.n >= STREAM_BYTES ? stream_flush(writer, stream) : ST_OK;
}

/* Write out filter blocks up to, not with, `block`. */
static enum status bloom_forward(struct writer *writer, uint64_t block)
{
    enum status status = ST_OK;
    for (; writer->block_at < block && status == ST_OK; writer->block_at++) {
        writer->bloom_crc = crc32c(writer->bloom_crc, writer->block, sizeof writer->block);
        status = stream_put(writer, &writer->bloom, writer->block, sizeof writer->block);
        memset(writer->block, 0, sizeof writer->block);
    }
    return status;
}

static enum status writer_put(struct writer *writer, struct hash128 key)
{
    CHECK(writer->written < writer->old->count);
    if (writer->written % CLEAN_OLD_PAGE_KEYS == 0)
        writer->old->fences[writer->written / CLEAN_OLD_PAGE_KEYS] = key.a;
    writer->written++;
    enum status status = bloom_forward(writer, clean_old_block_of(key, writer->shape.blocks));
    clean_old_block_set(writer->block, key);
    return status == ST_OK ? stream_put(writer, &writer->keys, &key, sizeof key) : status;
}

static enum status merge_all(struct runs *runs, struct writer *writer)
{
    struct clean_merge *merge = runs->merge;
    size_t count = runs->count;
    bool any;
    for (size_t i = count; i-- > 0;) {
        enum status status = run_fill(merge, &runs->runs[i], &any);
        if (status != ST_OK)
            return status;
        if (!any)
            heap_drop(runs, &count, i);
    }
    for (size_t i = count; i-- > 0;)
        heap_sink(runs->runs, count, i);
    while (count > 0) {
        struct run *first = &runs->runs[0];
        enum status status = writer_put(writer, first->buffer[first->at++]);
        if (status == ST_OK)
            status = run_fill(merge, first, &any);
        if (status != ST_OK)
            return status;
        if (!any)
            heap_drop(runs, &count, 0);
        heap_sink(runs->runs, count, 0);
        if (writer->written % BUFFER_KEYS == 0 && __atomic_load_n(&merge->stop, __ATOMIC_RELAXED))
            return err_set(&merge->err, ST_BUSY, "could not merge message ids: stopping");
    }
    return ST_OK;
}

/* The rest of the file behind the keys, then the header, then durable. */
static enum status writer_finish(struct writer *writer)
{
    struct clean_old *old = writer->old;
    struct disk *disk = writer->merge->disk;
    struct err *err = &writer->merge->err;
    unsigned char header[CLEAN_OLD_HEADER_BYTES];
    if (writer->written != old->count)
        return err_set(err, ST_CORRUPT, "could not merge message ids: %llu found, %llu expected",
                       (unsigned long long)writer->written, (unsigned long long)old->count);
    enum status status = bloom_forward(writer, writer->shape.blocks);
    if (status == ST_OK)
        status = stream_flush(writer, &writer->keys);
    if (status == ST_OK)
        status = stream_flush(writer, &writer->bloom);
    if (status == ST_OK)
        status = disk_write_at(disk, old->fd, old->fences, old->pages * sizeof(uint64_t),
                               writer->shape.fences_at, err);
    clean_old_header(old, writer->bloom_crc, header);
    if (status == ST_OK)
        status = disk_write_at(disk, old->fd, header, sizeof header, 0, err);
    /* A failed sync is not retried and needs not be fatal: this file is thrown away with it. */
    return status == ST_OK ? disk_sync(disk, old->fd, err) : status;
}

/* --- the whole -------------------------------------------------------------------------------- */

static void days_of_result(const struct clean_merge *merge, struct clean_old *old)
{
    for (size_t i = 0; merge->old != NULL && i < merge->old->days_count; i++)
        if (merge->keep[merge->old->days[i].day & 0xff])
            old->days[old->days_count++] = merge->old->days[i];
    for (size_t i = 0; i < merge->adds_count; i++) {
        CHECK(old->days_count < CLEAN_DAYS_MAX);
        old->days[old->days_count++] = merge->adds[i];
    }
    for (size_t i = 0; i < old->days_count; i++)
        old->count += old->days[i].count;
}

static enum status merge_into(struct runs *runs, struct clean_old *old)
{
    struct clean_merge *merge = runs->merge;
    struct writer writer = {.merge = merge, .old = old, .shape = clean_old_shape_of(old->count)};
    old->pages = writer.shape.pages;
    old->blocks = writer.shape.blocks;
    old->fences = mem_zero(old->pages * sizeof(uint64_t));
    buf_init(&writer.keys.buf, 2 * STREAM_BYTES);
    buf_init(&writer.bloom.buf, 2 * STREAM_BYTES);
    writer.keys.at = CLEAN_OLD_HEADER_BYTES;
    writer.bloom.at = writer.shape.bloom_at;
    enum status status = disk_reserve(merge->disk, old->fd, writer.shape.size, &merge->err);
    if (status == ST_OK)
        status = runs_make(runs);
    if (merge->old != NULL)
        runs_add(runs, merge->old->fd, CLEAN_OLD_HEADER_BYTES, merge->old->count, merge->keep);
    if (status == ST_OK)
        status = merge_all(runs, &writer);
    if (status == ST_OK)
        status = writer_finish(&writer);
    buf_done(&writer.keys.buf);
    buf_done(&writer.bloom.buf);
    return status;
}

static void runs_done(struct runs *runs)
{
    for (size_t i = 0; i < runs->count; i++)
        free(runs->runs[i].buffer);
    free(runs->runs);
    if (runs->fd >= 0)
        close(runs->fd);
}

static enum status merge_files(struct clean_merge *merge, const char *fresh, const char *scratch)
{
    struct runs runs = {.merge = merge, .fd = -1};
    struct clean_old *old = mem_zero(sizeof *old);
    old->disk = merge->disk;
    old->fd = -1;
    days_of_result(merge, old);
    enum status status =
        disk_open(merge->disk, scratch, O_RDWR | O_CREAT | O_TRUNC, &runs.fd, &merge->err);
    if (status == ST_OK)
        status = disk_open(merge->disk, fresh, O_RDWR | O_CREAT | O_TRUNC, &old->fd, &merge->err);
    if (status == ST_OK)
        status = merge_into(&runs, old);
    runs_done(&runs);
    if (old->fd >= 0)
        close(old->fd);
    free(old->fences);
    free(old);
    return status;
}

/* One that cannot be removed now is removed by the next open, so a failure is nobody's concern. */
static void remove_leftover(struct disk *disk, const char *path)
{
    struct err err;
    if (disk_remove(disk, path, &err) != ST_OK)
        return;
}

void clean_merge_run(struct clean_merge *merge)
{
    char fresh[4096], scratch[4096], path[4096];
    path_of(merge, "old.keys.new", fresh);
    path_of(merge, "old.runs", scratch);
    path_of(merge, "old.keys", path);
    enum status status = merge_files(merge, fresh, scratch);
    remove_leftover(merge->disk, scratch);
    if (status == ST_OK)
        status = disk_rename(merge->disk, fresh, path, &merge->err);
    else
        remove_leftover(merge->disk, fresh);
    HOOK("dedup_merged");
    if (status == ST_OK)
        status = disk_sync_folder(merge->disk, merge->folder, &merge->err);
    if (status == ST_OK)
        status = clean_old_open(merge->disk, merge->folder, &merge->ret_old, &merge->err);
    merge->status = status;
    __atomic_store_n(&merge->done, true, __ATOMIC_RELEASE);
}
