/* log.h - the journal: what is in it happened, and an answer 2xx means that it is on the disk.
 *
 * An append-only sequence of records in segment files (docs/format/journal.md), written by ONE
 * committer thread that gathers the appends of many callers, writes them with one pwrite and syncs
 * them with one fdatasync; where a crowd appends at once, each group waits 150 us for company.
 * Readers see synced records only. A failed sync is fatal: the process exits within a second and a
 * restart is safe.
 *
 * A position is {part, offset}; the embedded journal has part 0 only, and `offset` is the number of
 * bytes before the record's header, counted from the journal's birth (the first record stands at
 * LOG_FIRST_OFFSET). Positions never move: retention deletes whole segments, erase overwrites in
 * place.
 *
 * Reading is log_read.h. Depends on: base. Called by: collect, pipeline, analytics, api. */
#ifndef LOG_LOG_H
#define LOG_LOG_H

#include "base/buf.h"
#include "base/clock.h"
#include "base/disk.h"
#include "base/status.h"
#include "base/str.h"

#define LOG_FIRST_OFFSET UINT64_C(64) /* so that 0 is no record's position */
#define LOG_HEADER_BYTES 32u
/* The largest payload: twice what a whole inflated body may be, which quarantine keeps raw. */
#define LOG_PAYLOAD_MAX ((size_t)16 << 20)

struct log_position {
    uint32_t part;
    uint64_t offset;
};

/* What a record is; the payload's form is the writer's affair, named by `version`. */
enum log_type {
    LOG_EVENT = 1,      /* event/event.h */
    LOG_QUARANTINE = 2, /* the door could not translate it: reason + raw bytes, event/event.h */
    LOG_ERASE = 3, /* keyed hashes of a person's identifiers; the fold drops the component here */
    LOG_TICK = 4,  /* time passed and no event came */
    LOG_RULE = 5,  /* a change of the identity rules, JSON */
};

struct log_options {
    const char *folder; /* made if absent */
    struct disk *disk;
    const struct clock *clock;
    uint64_t segment_bytes; /* roll above this; 0 = 128 MiB */
    uint64_t size_max;      /* total bytes; above it appends answer ST_BUSY; 0 = no limit */
    size_t
        inflight_max; /* bytes of appends accepted and not yet written; 0 = LIMIT_INFLIGHT_BYTES */
    bool bug_ack_before_sync; /* HEZOU_BUG, test builds only */
};

struct log;

/* Open or create. Cuts a torn tail (a last record whose CRC fails and after which nothing valid
 * follows) and finishes an interrupted overwrite from its redo file. ST_CORRUPT when a record in
 * the middle is damaged: the error names segment and offset, nothing is deleted. */
MUST_USE enum status log_open(const struct log_options *options, struct log **ret_log,
                              struct err *err);
/* Waits for accepted appends, then closes. NULL is fine. */
void log_close(struct log *log);

/* Append one framed record to `frames`: header with payload CRC; the committer adds received time
 * and header CRC. */
void log_frame(struct buf *frames, enum log_type type, uint8_t version, uint32_t source,
               struct str payload);

/* One caller's append. The caller fills the first part and keeps it alive until `done` is called,
 * and `frames` until `written` or `done`. */
struct log_append {
    struct str
        frames;     /* from log_frame; the committer writes received time and header CRC into it */
    uint32_t count; /* records in it */
    /* Called once, by the committer thread, after the sync (or the refusal): must be short and must
     * not append. `status`: ST_OK with the offset of the first record, or ST_BUSY (disk full, retry
     * later). */
    void (*done)(struct log_append *append, enum status status, uint64_t first_offset,
                 int64_t received_us);
    /* Or NULL. Before `done`, by the same thread, when the file has the frames and the disk perhaps
     * not: they are not looked at again and may be freed. Not called for what is refused. */
    void (*written)(struct log_append *append);
    void *ctx;
    struct log_append *next; /* the journal's */
};

/* Queue it. ST_BUSY (nothing queued, `done` not called) above the in-flight limit, above size_max
 * or while the disk is full. An append that starts with a LOG_ERASE record is let through: erasing
 * goes on when nothing else does. */
MUST_USE enum status log_append(struct log *log, struct log_append *append, struct err *err);
/* The same, waiting for the sync. *ret_first is the first record's offset. */
MUST_USE enum status log_append_wait(struct log *log, struct buf *frames, uint32_t count,
                                     uint64_t *ret_first, struct err *err);

/* The end of what is synced: the offset the next record will get. */
uint64_t log_end(const struct log *log);
/* The first offset that is still kept. */
uint64_t log_start(const struct log *log);

/* So far has come whoever follows the journal and should not fall behind; any thread, as often as
 * it likes. From 4 MiB behind on, a group waits before it is written, the longer the further behind
 * and at most 5 ms (not while an eighth of what may be in flight waits): whoever sends and waits
 * for answers then keeps the pace of who follows, and a flood is taken in larger groups. Never
 * called: nothing waits. */
void log_reached(struct log *log, uint64_t offset);

/* An erase begins: on a full disk the space that was kept for it is given back now, for it needs
 * room in other files before the journal. */
void log_erase_begins(struct log *log);

/* Erase: overwrite the payloads of these records with zeros and set LOG_FLAG_ERASED, between two
 * commits: redo file (positions and new headers, no payload), sync, overwrite, sync, remove the
 * redo file. Offsets that are gone are skipped. Waits until done. ST_NOT_FOUND when no record
 * starts at one of them: nothing is overwritten. ST_BUSY when the disk has no room for the redo
 * file. */
MUST_USE enum status log_overwrite(struct log *log, const uint64_t *offsets, size_t count,
                                   struct err *err);

/* Delete whole segments that end at or before `offset` and whose last record was received before
 * `older_us` (a time). The segment that is written to stays; it is closed when it is full or a day
 * old. */
MUST_USE enum status log_retain(struct log *log, uint64_t offset, int64_t older_us,
                                struct err *err);

struct log_stats {
    uint64_t records, bytes, syncs, refused; /* since the journal was opened */
    uint64_t torn_bytes;                     /* cut off by log_open */
    uint64_t inflight_bytes, size_bytes, segments;
    int64_t sync_p50_us, sync_p99_us; /* of the last 1,024 syncs */
    bool full; /* the disk has no room: appends answer ST_BUSY until it has */
};
void log_stats(struct log *log, struct log_stats *ret_stats);
#endif
