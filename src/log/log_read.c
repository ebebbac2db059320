/* log_read.c - reading what is synced: a reader that moves on, and single records.
 *
 * A reader has a file and a buffer of its own; it shares nothing with the committer but the end of
 * the journal and the lock that keeps an overwrite out while bytes are copied. Every record is
 * checked (header and payload) before it is handed out, so damage in an old segment is found when,
 * and only when, it is read: opening the journal need not look at all of it. */
#include "log/log_int.h"

#include <fcntl.h>
#include <stdlib.h>
#include <time.h>

#include "base/arena.h"
#include "base/check.h"

struct log_reader {
    struct log *log;
    uint64_t from;  /* offset of the window's first record */
    uint64_t next;  /* where the following fill starts */
    size_t handed;  /* bytes of the window that log_reader_next has passed */
    uint64_t wakes; /* log_wake calls that this reader has answered */
    struct segment_file file;
    struct window window;
};

enum status log_reader_open(struct log *log, uint64_t from, struct log_reader **ret_reader,
                            struct err *err)
{
    if (from < LOG_FIRST_OFFSET)
        from = LOG_FIRST_OFFSET;
    if (from < log_start(log))
        return err_set(err, ST_GONE, "offset %llu is no longer kept by the journal",
                       (unsigned long long)from);
    if (from > log_end(log))
        return err_set(err, ST_CORRUPT, "the journal ends at %llu, before offset %llu",
                       (unsigned long long)log_end(log), (unsigned long long)from);
    struct log_reader *reader = mem_zero(sizeof *reader);
    *reader = (struct log_reader){.log = log, .from = from, .next = from, .file = {.fd = -1}};
    pthread_mutex_lock(&log->mutex);
    reader->wakes = log->wakes;
    pthread_mutex_unlock(&log->mutex);
    *ret_reader = reader;
    return ST_OK;
}

void log_reader_close(struct log_reader *reader)
{
    if (reader == NULL)
        return;
    segment_close(&reader->file);
    free(reader->window.bytes);
    free(reader);
}

/* True when there is something behind reader->next, at once or within `wait_us`. */
static bool reader_wait(struct log_reader *reader, int64_t wait_us)
{
    struct log *log = reader->log;
    int64_t until_us = monotonic_us() + wait_us;
    struct timespec until = {.tv_sec = until_us / US_PER_S, .tv_nsec = until_us % US_PER_S * 1000};
    bool late = wait_us <= 0;
    pthread_mutex_lock(&log->mutex);
    while (log->end == reader->next && reader->wakes == log->wakes && !late)
        late = pthread_cond_timedwait(&log->progress, &log->mutex, &until) != 0;
    bool any = log->end != reader->next;
    if (!any)
        reader->wakes = log->wakes;
    pthread_mutex_unlock(&log->mutex);
    return any;
}

enum status log_reader_fill(struct log_reader *reader, size_t bytes_max, int64_t wait_us,
                            bool *ret_any, struct err *err)
{
    struct log *log = reader->log;
    struct window *window = &reader->window;
    CHECK(bytes_max > 0);
    window->n = reader->handed = 0;
    reader->from = reader->next;
    if (!reader_wait(reader, wait_us)) {
        *ret_any = false;
        return ST_OK;
    }
    uint64_t limit = 0;
    enum status status = segment_turn(log, &reader->file, reader->next, O_RDONLY, &limit, err);
    if (status != ST_OK)
        return status;
    enum record_state stop;
    pthread_rwlock_rdlock(&log->bytes_lock);
    status = window_fill(window, log->disk, reader->file.fd, reader->file.segment.base,
                         reader->next, limit, bytes_max, &stop, err);
    pthread_rwlock_unlock(&log->bytes_lock);
    if (status != ST_OK)
        return status;
    if (window->n == 0)
        return segment_damaged(reader->file.segment.base, reader->next, err);
    reader->next += window->n;
    *ret_any = true;
    return ST_OK;
}

bool log_reader_next(struct log_reader *reader, struct log_record *ret_record)
{
    if (reader->handed == reader->window.n)
        return false;
    *ret_record = record_view(reader->window.bytes + reader->handed, reader->from + reader->handed);
    reader->handed += LOG_HEADER_BYTES + ret_record->payload.n;
    return true;
}

static enum status no_record(uint64_t offset, struct err *err)
{
    return err_set(err, ST_NOT_FOUND, "no record of the journal starts at offset %llu",
                   (unsigned long long)offset);
}

/* Header and payload of one record into `buf`; the segment's bytes are held still. */
static enum status record_copy(struct log *log, const struct segment_file *file, uint64_t offset,
                               uint64_t limit, struct buf *buf, struct record_head *ret_head,
                               struct err *err)
{
    char bytes[LOG_HEADER_BYTES];
    size_t n = 0;
    uint64_t at = segment_at(&file->segment, offset);
    enum status status = disk_read_at(log->disk, file->fd, bytes, sizeof bytes, at, &n, err);
    if (status != ST_OK)
        return status;
    if (n < sizeof bytes || record_check((struct str){bytes, n}, ret_head) == RECORD_BAD_HEAD ||
        ret_head->length > limit - offset - sizeof bytes)
        return no_record(offset, err);
    char *to = buf_room(buf, sizeof bytes + ret_head->length);
    if (to == NULL)
        return err_set(err, ST_TOO_LARGE, "a record of %u bytes is more than was asked for",
                       ret_head->length);
    status = disk_read_at(log->disk, file->fd, to, sizeof bytes + ret_head->length, at, &n, err);
    if (status == ST_OK)
        buf->n += n;
    return status;
}

enum status log_read_at(struct log *log, uint64_t offset, struct buf *buf,
                        struct log_record *ret_record, struct err *err)
{
    buf_reset(buf);
    if (offset < LOG_FIRST_OFFSET || offset >= log_end(log))
        return no_record(offset, err);
    struct segment_file file = {.fd = -1};
    struct record_head head = {0};
    uint64_t limit = 0;
    enum status status = segment_turn(log, &file, offset, O_RDONLY, &limit, err);
    if (status == ST_OK) {
        pthread_rwlock_rdlock(&log->bytes_lock);
        status = record_copy(log, &file, offset, limit, buf, &head, err);
        pthread_rwlock_unlock(&log->bytes_lock);
    }
    if (status == ST_OK && record_check(buf_view(buf), &head) != RECORD_WHOLE)
        status = segment_damaged(file.segment.base, offset, err);
    segment_close(&file);
    if (status == ST_OK)
        *ret_record = record_view(buf->p, offset);
    return status;
}
