/* timeline_int.h - what the files of this folder share; nobody else includes it.
 *
 * One thread, the KEEPER, changes everything: it rebuilds, takes what was fed, merges, publishes
 * and frees. What readers see is never changed in place. A SNAPSHOT is a set of pointers to parts
 * (slot pages, pieces); the keeper makes new parts, publishes the next snapshot, and RETIRES the
 * old parts: they are freed when no older snapshot is open. So a reader takes no lock after its
 * view is open, and nobody waits for a reader.
 *
 * Slots come in PAGES of 1,024. A page has a map (who owns which run) and one base piece with the
 * events of its slots. Delta pieces hold what came since, of all slots, oldest first. */
#ifndef TIMELINE_TIMELINE_INT_H
#define TIMELINE_TIMELINE_INT_H

#include "base/clock.h"
#include "timeline/timeline_piece_int.h"
#include "timeline/timeline_scan.h"
#include "timeline/timeline_slots_int.h"
#include "timeline/timeline_snapshot_int.h"

#define HOUR_S 3600U
#define HOURS 1193047 /* of u32 seconds */

/* --- timeline_feed.c -------------------------------------------------------------------------- */

enum feed_kind { FEED_EVENT, FEED_AMOUNT /* an event with one */, FEED_PERSON };

struct feed_row {
    uint64_t position, visitor, person;
    int64_t time_us, amount;
    uint16_t code, origin;
    uint32_t kind;
};

struct feed {
    struct feed_row *rows;
    size_t count, capacity;
    uint64_t position; /* of its commit */
    int64_t commit_us; /* monotonic */
    struct feed *next;
};

/* Second and place of an event's time. */
static inline void timeline_row_time(int64_t time_us, uint64_t position, struct row *row)
{
    const int64_t last_us = (int64_t)UINT32_MAX * US_PER_S;
    time_us = time_us < 0 ? 0 : time_us > last_us ? last_us : time_us;
    row->time = (uint32_t)((uint64_t)time_us / US_PER_S);
    row->place = ((uint64_t)time_us % US_PER_S) << POSITION_BITS | position;
}
struct feed *timeline_feed_new(void);
void timeline_feed_free(struct feed *feed);
/* Keeper: into slots and one more delta. */
void timeline_feed_apply(struct timeline *timeline, const struct feed *feed);
void timeline_erasures_apply(struct timeline *timeline, const uint64_t *visitors, size_t count);

/* --- timeline_merge.c ------------------------------------------------------------------------- */

void timeline_deltas_add(struct timeline *timeline, struct piece *piece);
/* A merge into the base is under way or due. */
bool timeline_base_waits(const struct timeline *timeline);
/* Some pages of the merge into the base, for about this long, if one is due. False: nothing to do.
 */
bool timeline_base_step(struct timeline *timeline, int64_t us);

/* --- timeline_rebuild.c ----------------------------------------------------------------------- */

/* From the warehouse's rows before `cut`. ST_… leaves the timeline empty. */
MUST_USE enum status timeline_rebuild(struct timeline *timeline, uint64_t cut, struct err *err);

/* --- timeline_extract.c ----------------------------------------------------------------------- */

/* All names and origins below `cut`, and how many events the names have. */
MUST_USE enum status timeline_extract_names(struct timeline *timeline, uint64_t cut,
                                            struct err *err);

/* --- timeline_column.c ------------------------------------------------------------------------ */

struct column_cache {
    pthread_mutex_t mutex; /* also held while a column is made: one at a time */
    struct timeline_column *newest;
    size_t bytes;      /* atomic */
    uint64_t erasures; /* atomic: applied so far; a column of before holds texts of who went */
};
void timeline_columns_init(struct column_cache *cache);
/* After an erase: what nobody reads goes now, what is being read when it is closed. */
void timeline_columns_forget(struct timeline *timeline);
void timeline_columns_done(struct column_cache *cache);

/* --- the whole -------------------------------------------------------------------------------- */

struct timeline {
    struct timeline_options options;
    const struct timeline_extract *extract; /* of one question: no keeper; NULL = the usual one */
    struct names names;
    int threads;

    /* The feed's thread. */
    struct memo *memo;
    struct feed *filling;

    /* The keeper's. */
    struct slots slots;
    struct memo *keeper_memo;
    uint64_t epoch;      /* of the snapshot in the making */
    struct piece **base; /* [slots.pages_capacity] */
    struct piece *deltas[DELTAS_MAX];
    uint32_t deltas_count;
    bool folding;                /* a merge into the base is under way: … */
    struct piece *folding_piece; /* … all deltas of its beginning, as one; NULL = only to sweep */
    uint32_t folded_pages;       /* pages below this are done */
    bool sweep_wanted;           /* erased or old events lie in the base */
    bool sweeping;               /* this merge visits every page */
    uint64_t retired_bytes;
    uint64_t events, base_events;
    uint64_t *code_events; /* [65,536] */
    uint32_t *hours;       /* [HOURS]: events by hour; sparse */
    uint32_t trim_before;  /* seconds: what is older is dropped */
    uint64_t position;
    struct retired *retired;
    uint64_t serials;
    struct row *rows, *rows_scratch; /* of feed_apply */
    size_t rows_capacity;
    int64_t *amounts;
    size_t amounts_capacity;

    size_t bytes;          /* of pieces, pages and tables; atomic */
    size_t postings_bytes; /* atomic */

    pthread_mutex_t mutex;    /* all of this block */
    pthread_cond_t changed;   /* for the keeper: something to do */
    pthread_cond_t published; /* for readers */
    pthread_t keeper;
    bool stopping, ready;
    struct feed *queue, **queue_end, *spare;
    struct feed *sealed; /* until the warehouse has its rows */
    size_t queue_bytes;
    bool lost;   /* the queue was full: rebuild from rebuild_cut on */
    bool failed; /* the rebuild: nothing is taken until it is tried again */
    int64_t failed_us;
    bool rebuild_wanted;
    uint64_t rebuild_cut;
    uint64_t *erasures; /* visitors */
    size_t erasures_count, erasures_capacity;
    uint64_t erasures_asked, erasures_done;
    struct snapshot *oldest, *current;
    bool views_left; /* an old snapshot's last view was closed */
    struct timeline_stats stats;
    double rebuild_progress;

    struct column_cache columns;
};

size_t timeline_bytes(const struct timeline *timeline);
/* Without a keeper: whoever made it is the only one to change it. */
struct timeline *timeline_new(const struct timeline_options *options);
#endif
