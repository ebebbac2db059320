/* pipeline_int.h - what the files of this folder share. */
#ifndef PIPELINE_PIPELINE_INT_H
#define PIPELINE_PIPELINE_INT_H

#include <pthread.h>

#include "pipeline/pipeline.h"

#define BATCH_RECORDS_MAX 8192 /* bounds one batch's memory and a reader's wait for its end */
#define BATCH_BYTES_MAX ((size_t)4 << 20)
#define COMMIT_ROWS 10000     /* DESIGN §2: the warehouse commits each 200 ms or 10,000 rows … */
#define COMMIT_ROWS_MAX 20000 /* … and folding waits, so far ahead of a commit under way */
#define COMMIT_US (200 * US_PER_MS)
#define NOTE_BYTES (UINT64_C(24) << 20) /* the state is at most 10 s or 24 MB of journal behind */
#define NOTE_US (10 * US_PER_S)
/* Of notes. A merge rewrites most pages of a file of some hundred MB, however many rows of each it
 * has; and a start only looks where each row is, a fifth of a second for so many bytes. But
 * while a merge runs they are in the process' memory. */
#define MERGE_BYTES (UINT64_C(160) << 20)
#define MERGE_WAIT_BYTES (2 * MERGE_BYTES) /* then folding waits for the merge */
#define SPREAD_BYTES (UINT64_C(8) << 20)   /* so far behind, all cores are the fold's … */
#define GATHER_BYTES (UINT64_C(1) << 20)   /* … until only so much is left */
#define WAY_US (INT64_C(200) * US_PER_MS)  /* so long after the last who was sent away */
#define WAY_PART 4
#define WAY_REST_US_MAX (INT64_C(50) * US_PER_MS) /* a batch may have waited for a full disk */
#define RETRY_US (200 * US_PER_MS)                /* a full disk: try again */

static inline uint64_t at_most(uint64_t bound, uint64_t bytes)
{
    return bound != 0 && bound < bytes ? bound : bytes;
}

/* One journal record on its way through the steps. */
struct item {
    struct log_record record;
    struct clean_event event;
    struct identity_result who;
    struct identity_member *erased; /* a LOG_ERASE: what it dropped */
    size_t erased_count;
};

/* What the steps share. Everything borrowed lives in the arena or in the reader until the batch
 * ends. */
struct batch {
    struct arena arena;
    struct item *items; /* room for BATCH_RECORDS_MAX, as long as the pipeline */
    size_t count;
    uint64_t end;        /* the offset after its last record */
    int64_t received_us; /* of its last record */
};

struct pipeline {
    struct pipeline_options options;
    struct warehouse *warehouse; /* from the start on */
    struct timeline *timeline;   /* or NULL */
    pipeline_forget *forget;     /* or NULL */
    void *forget_ctx;
    struct state *state;
    struct identity *identity;
    struct profile *profile;
    struct clean *clean;
    struct log_reader *reader;
    struct batch batch;

    /* The pipeline's thread alone. */
    struct log_record pending; /* read, but of the next month */
    bool pending_set;
    uint64_t folded_end; /* the end of the last batch that ran through all steps */
    int64_t folded_us;   /* and its last received time */
    uint64_t replay_end; /* the journal's end at this start */
    uint64_t rows_since_commit;
    int64_t commit_due_us; /* monotonic; 0 = nothing to commit */
    uint64_t noted_end;    /* of the last note that was begun */
    int64_t note_due_us;

    int64_t way_until_us; /* atomic; monotonic: until then the fold makes way */

    /* Guarded by `mutex`. */
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    pthread_t fold_thread, write_thread, merge_thread;
    bool started, stopping;
    bool stalled;        /* a full disk holds up a commit or a flush */
    bool rows_sealed;    /* and not committed yet */
    uint64_t note_begun; /* and not written yet: its position; 0 = none */
    uint64_t note_asked; /* the flushes that it is good for */
    bool fold_ended, write_ended;
    /* Calls of pipeline_flush: all; those that the merge sealed last has; the one that ended last.
     * A note has those that came before it began. */
    uint64_t flush_asked, flush_sealed, flush_done;
    bool merge_running;
    uint64_t sealed_position; /* of the merge that runs */
    uint64_t merged_position; /* of state.db itself; 0 before the first merge */
    int64_t snapshot_us;      /* domain time of the newest snapshot */
    struct pipeline_waiter *waiters;
    size_t waiters_count;
    struct pipeline_stats stats;

    pthread_mutex_t erase_mutex; /* one erase at a time */
};

/* pipeline_steps.c: the steps themselves. */
void step_clean(struct pipeline *pipeline, struct batch *batch);
void step_identity(struct pipeline *pipeline, struct batch *batch);
void step_profile(struct pipeline *pipeline, struct batch *batch);
void step_warehouse(struct pipeline *pipeline, struct batch *batch);

/* pipeline.c. The disk is full: whoever waits for a flush learns it; wait a little. True when
 * stopping. */
bool pipeline_stall(struct pipeline *pipeline);
void pipeline_unstall(struct pipeline *pipeline);
bool pipeline_is_stopping(struct pipeline *pipeline);
/* Wait on `changed`; true when the pipeline is stopping. Any thread. */
bool pipeline_pause(struct pipeline *pipeline, int64_t us);

/* pipeline_state.c: opening, notes, merges, snapshots. */
MUST_USE enum status pipeline_state_open(struct pipeline *pipeline, struct err *err);
/* At a batch's end: begin a note of the state when it is due. */
void pipeline_note_if_due(struct pipeline *pipeline);
/* After a note was written, good for `asked` flushes: hand what was noted to the merging thread,
 * when there is enough of it or somebody waits. */
void pipeline_merge_if_due(struct pipeline *pipeline, uint64_t position, uint64_t asked);
void *pipeline_merge_main(void *ctx);

/* pipeline_write.c. By the fold: seal the rows that it has, if any, once those before are
 * committed. False when stopping before that: nothing may then be noted at a later position. */
bool pipeline_rows_seal(struct pipeline *pipeline);
/* Would pipeline_rows_seal wait? */
bool pipeline_rows_wait(struct pipeline *pipeline);
/* A note was begun; none waits. */
void pipeline_note_give(struct pipeline *pipeline, uint64_t position, uint64_t asked);
/* The fold's last call: all rows are committed, or the disk is full. */
void pipeline_write_end(struct pipeline *pipeline);
void *pipeline_write_main(void *ctx);

/* pipeline_wait.c: who waits for a position. */
void pipeline_waiters_serve(struct pipeline *pipeline);
bool pipeline_waiters_any(struct pipeline *pipeline);
void pipeline_waiters_end(struct pipeline *pipeline);
void pipeline_waiters_refuse(struct pipeline *pipeline); /* ST_BUSY: the disk is full */

/* After an erase: no snapshot may hold what was erased. */
MUST_USE enum status pipeline_snapshots_remake(struct pipeline *pipeline, struct err *err);

/* pipeline_erase.c: the fold's half. Remember, with the state, which visitors an erase record
 * dropped, until the worker has overwritten their bytes. */
void pipeline_erase_fold(struct pipeline *pipeline, struct item *item, struct arena *arena);

/* pipeline_search.c: does a quarantined record name one of these identifiers (in normal form)? */
bool pipeline_search(const struct log_record *record, const struct event_identifier *wanted,
                     size_t count, struct arena *arena);
#endif
