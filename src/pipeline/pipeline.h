/* pipeline.h - the loop that turns journal records into state, rows and reports: the picture of
 * DESIGN §2.
 *
 * pipeline.c is a table of steps (clean → identity → profile → warehouse). Steps share a batch and
 * never call the next one. The pipeline is the only reader of the journal that folds; it starts at
 * the state's position, so a crash, a replay and a rebuild give the same state. A flush of the
 * state at P waits until the warehouse stands at or after P.
 *
 * Depends on: everything below it. Called by: api, app. */
#ifndef PIPELINE_PIPELINE_H
#define PIPELINE_PIPELINE_H

#include "access/access.h"
#include "base/clock.h"
#include "base/disk.h"
#include "base/rng.h"
#include "clean/clean.h"
#include "identity/identity.h"
#include "log/log_read.h"
#include "profile/profile.h"
#include "store/state.h"
#include "timeline/timeline.h"
#include "warehouse/warehouse.h"

struct pipeline;

struct pipeline_options {
    struct log *log;
    struct access *access;
    const struct clock *clock;
    struct disk *disk;
    const struct hash_key *key;
    uint64_t rows_position; /* where the warehouse stands; needed only when there is no state.db, to
                             * choose a snapshot whose rows are there */
    const char *data;       /* DATA: state.db, dedup/, snapshot/ */
    size_t cache_bytes;
    uint64_t note_bytes; /* of journal until the state is noted, of notes until they are merged; at
                            most, and 0 = 24 MB and 64 MB */
    bool bug_cursor_before_effect, bug_dedup_off_by_one; /* HEZOU_BUG */
};

/* Opens the state (from DATA/state.db, else the newest snapshot, else empty) and the deduplication
 * index. The warehouse can be opened meanwhile, if there is a state.db. */
MUST_USE enum status pipeline_open(const struct pipeline_options *options,
                                   struct pipeline **ret_pipeline, struct err *err);
/* Start the folding and merging threads. ST_CORRUPT when state, warehouse and journal do not fit.
 */
MUST_USE enum status pipeline_start(struct pipeline *pipeline, struct warehouse *warehouse,
                                    struct err *err);
/* Before the start, if at all: what the warehouse gets the timeline gets too. It must have been
 * opened since the warehouse was. */
void pipeline_timeline_set(struct pipeline *pipeline, struct timeline *timeline);
struct timeline *pipeline_timeline(struct pipeline *pipeline); /* or NULL */
/* Stop at a batch's end, flush, close. */
void pipeline_close(struct pipeline *pipeline);

/* Modules that read under the state lock (api). */
struct state *pipeline_state(struct pipeline *pipeline);
struct identity *pipeline_identity(struct pipeline *pipeline);
struct profile *pipeline_profile(struct pipeline *pipeline);
struct clean *pipeline_clean(struct pipeline *pipeline);

/* Call `ready` (from the pipeline's thread, or at once from this one) when everything before
 * `offset` is folded AND in the warehouse; with ST_TIMEOUT after LIMIT_WAIT_US, with ST_BUSY while
 * the disk is full. ST_BUSY above LIMIT_WAITERS. Closes the batch at once. */
struct pipeline_waiter {
    uint64_t offset;
    void (*ready)(struct pipeline_waiter *waiter, enum status status);
    void *ctx;
    int64_t deadline_us; /* the pipeline's */
    struct pipeline_waiter *next;
};
MUST_USE enum status pipeline_wait(struct pipeline *pipeline, struct pipeline_waiter *waiter,
                                   struct err *err);
/* The same, blocking the calling thread (workers, the command line). */
MUST_USE enum status pipeline_wait_blocking(struct pipeline *pipeline, uint64_t offset,
                                            struct err *err);
/* Wait, however long it takes, until the journal's present end is folded and in the warehouse. */
MUST_USE enum status pipeline_catch_up(struct pipeline *pipeline, struct err *err);
/* Senders are being sent away: for the next 200 ms the fold rests a fifth of its time, for what
 * is refused may never come again, and what is in the journal can be folded later. Any thread, does
 * not wait. */
void pipeline_make_way(struct pipeline *pipeline);
/* Flush the state at the current position and wait (doctor, shutdown, snapshot, erase). */
MUST_USE enum status pipeline_flush(struct pipeline *pipeline, struct err *err);

/* Erase the whole component of an identifier in normal form: DESIGN §4's order. `ledger_id` names
 * the ledger entry in facts.db. ST_NOT_FOUND if never seen. Takes seconds; worker threads only. */
struct pipeline_erased {
    uint64_t identifiers, records, people;
};
MUST_USE enum status pipeline_erase(struct pipeline *pipeline, enum identifier_type type,
                                    struct str value, uint64_t ledger_id,
                                    struct pipeline_erased *ret_erased, struct err *err);

/* What else must forget the visitors and identifiers of an erase; once, before the first. It may be
 * called again for the same ones, after a crash. */
typedef enum status pipeline_forget(void *ctx, const uint64_t *visitors,
                                    const struct event_identifier *identifiers, size_t count,
                                    struct err *err);
void pipeline_forget_set(struct pipeline *pipeline, pipeline_forget *forget, void *ctx);

/* Go on with an erase that a crash interrupted; ST_NOT_FOUND when it has not begun: its record is
 * not in the journal. */
MUST_USE enum status pipeline_erase_finish(struct pipeline *pipeline, uint64_t ledger_id,
                                           struct pipeline_erased *ret_erased, struct err *err);
/* The ledger entry is closed: nothing of the erase need be remembered. */
void pipeline_erase_forget(struct pipeline *pipeline, uint64_t ledger_id);

/* Order-free digests (DESIGN §11); flushes first. */
struct pipeline_digest {
    struct hash128 people, profiles, rows, exact;
    uint64_t people_count, rows_count;
};
MUST_USE enum status pipeline_digest(struct pipeline *pipeline, struct pipeline_digest *ret_digest,
                                     struct err *err);

struct pipeline_stats {
    uint64_t position;           /* folded up to here */
    uint64_t warehouse_position; /* committed up to here */
    uint64_t state_position;     /* flushed up to here: a restart replays from it */
    uint64_t lag_bytes;          /* journal end - position */
    uint64_t records, stored, duplicates, quarantined;
    uint64_t replayed_bytes; /* at this start */
    uint64_t rests;          /* of the fold, for pipeline_make_way */
    bool caught_up;          /* the start's replay is done */
    uint64_t step_ns[4];     /* time spent per step */
};
void pipeline_stats(struct pipeline *pipeline, struct pipeline_stats *ret_stats);
#endif
