/* log_read.h - reading the journal: synced records only, one after the other or by offset.
 *
 * Depends on: base. Called by: pipeline (the only reader that folds), clean, api. */
#ifndef LOG_LOG_READ_H
#define LOG_LOG_READ_H

#include "log/log.h"

/* The payload is zeroed: a replay treats the record as its position only. */
#define LOG_FLAG_ERASED 0x0001u

/* A record as a reader sees it; `payload` is borrowed from the reader until its next read. */
struct log_record {
    uint64_t offset;
    uint64_t next; /* where the following record starts */
    enum log_type type;
    uint8_t version;
    uint16_t flags;
    uint32_t source;
    int64_t received_us; /* set by the committer; never goes backwards along the journal */
    struct str payload;
};

struct log_reader;

/* A reader at `from`, which is a record's offset, the end, or 0 (the journal's birth). ST_GONE when
 * retention has deleted it, ST_CORRUPT behind the end. */
MUST_USE enum status log_reader_open(struct log *log, uint64_t from, struct log_reader **ret_reader,
                                     struct err *err);
void log_reader_close(struct log_reader *reader);

/* Fill the reader with up to `bytes_max` bytes of whole synced records of one segment (at least
 * one, however long), waiting up to `wait_us` (monotonic) for the first; it goes on where the fill
 * before ended. ST_OK with *ret_any false when none came. Bytes are copied under a read lock, so a
 * record's overwrite is seen whole or not at all. ST_CORRUPT when the next record is damaged: the
 * error names segment and offset. ST_GONE when retention has deleted it. */
MUST_USE enum status log_reader_fill(struct log_reader *reader, size_t bytes_max, int64_t wait_us,
                                     bool *ret_any, struct err *err);
/* The next record of the filled bytes; false at their end. Payloads live until the next fill. */
bool log_reader_next(struct log_reader *reader, struct log_record *ret_record);
/* Let each reader's waiting fill, or else its next one that finds nothing, answer at once
 * (shutdown, a waiter that wants its batch closed). */
void log_wake(struct log *log);

/* One record by its offset; `buf` is emptied and holds it afterwards. ST_NOT_FOUND when no record
 * starts there, ST_GONE when its segment was deleted, ST_TOO_LARGE when it does not fit. */
MUST_USE enum status log_read_at(struct log *log, uint64_t offset, struct buf *buf,
                                 struct log_record *ret_record, struct err *err);
#endif
