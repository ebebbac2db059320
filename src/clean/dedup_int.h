/* dedup_int.h - the deduplication index as its own files see it: clean_dedup.c decides,
 * clean_day.c keeps the day files, clean_dedup_open.c brings it back after a stop. */
#ifndef CLEAN_DEDUP_INT_H
#define CLEAN_DEDUP_INT_H

#include <pthread.h>

#include "clean/clean_int.h"

#define DEDUP_LOCKS 64
#define DEDUP_GRACE_DAYS 3 /* files outlive the window by this: an older snapshot still opens */
#define DEDUP_PART_IDS UINT64_C(4000000) /* of a day in memory: 100 MB */
#define DEDUP_PENDING_MAX                                                                          \
    UINT64_C(8000000) /* ids that ought to leave memory before a sync waits                        \
                       */
#define DEDUP_LENGTHS_BYTES ((size_t)16 << 10) /* 256 parts of at most 40 characters */

/* One received day that is remembered, or a part of one that has very many ids. */
struct clean_day {
    uint32_t day, part;
    bool in_old;           /* in the sorted file; then `set` is NULL */
    bool dirty;            /* written and not yet synced */
    uint64_t count;        /* keys in all */
    uint64_t sum;          /* of their first halves */
    uint64_t last;         /* the first half of the newest: the seeded bug forgets it */
    uint64_t written;      /* of them in the file */
    int fd;                /* -1 = not open */
    struct buf pending;    /* keys behind `written` */
    struct clean_set *set; /* while not in the sorted file */
};

struct clean_dedup {
    struct disk *disk;
    char *folder;
    uint32_t window_days;
    uint64_t ids_max, part_ids;
    bool bug_off_by_one;

    /* `shape` guards which days and which sorted file there are; changed by the cleaning thread
     * alone. `locks` guard the segments of the sets the same way. */
    pthread_rwlock_t shape;
    pthread_mutex_t locks[DEDUP_LOCKS];
    struct clean_day *days[CLEAN_DAYS_MAX]; /* oldest first; the last one is today */
    size_t days_count;
    uint64_t ids;     /* atomic */
    uint32_t cut_day; /* the last day that was dropped by the count bound; 0 = none */
    struct clean_old *old;
    bool old_alive[CLEAN_DAYS_MAX]; /* by the low byte of the day */

    uint32_t retired[CLEAN_DAYS_MAX]; /* day files that are no longer remembered but still there */
    size_t retired_count;
    uint32_t oldest_synced[2]; /* the oldest day as the last two syncs told it; 0 = not yet */
    bool folder_dirty;

    struct clean_merge *merge; /* under way, or NULL */
    pthread_t merge_thread;

    pthread_mutex_t buried_lock;
    struct clean_set *buried;
    uint64_t buried_count; /* atomic */
    int buried_fd;
};

/* --- day files (clean_day.c) ------------------------------------------------------------------ */

struct clean_day *clean_day_new(uint32_t day, uint32_t part);
void clean_day_free(struct clean_day *day); /* NULL is fine */
static inline struct clean_day_count clean_day_is(const struct clean_day *day)
{
    return (struct clean_day_count){
        .day = day->day, .part = day->part, .count = day->count, .sum = day->sum};
}
/* A whole new file, on the disk with its name. */
MUST_USE enum status clean_day_make(struct clean_dedup *dedup, uint32_t day, const char *path,
                                    struct err *err);
/* Write what is pending; makes the file when it is new. */
MUST_USE enum status clean_day_write(struct clean_dedup *dedup, struct clean_day *day,
                                     struct err *err);
MUST_USE enum status clean_day_sync(struct clean_dedup *dedup, struct clean_day *day,
                                    struct err *err);
/* Open the file and cut it to day->count keys; ST_NOT_FOUND, ST_CORRUPT when it is shorter. */
MUST_USE enum status clean_day_cut(struct clean_dedup *dedup, struct clean_day *day,
                                   struct err *err);
/* Its keys into a new set; their sum. */
MUST_USE enum status clean_day_load(struct clean_dedup *dedup, struct clean_day *day,
                                    uint64_t *ret_sum, struct err *err);

/* --- the days --------------------------------------------------------------------------------- */

void clean_dedup_add_day(struct clean_dedup *dedup, struct clean_day *day);
/* Start a merge of the older days that are not in the sorted file, when there are any. */
void clean_dedup_merge_start(struct clean_dedup *dedup);
uint64_t clean_dedup_pending(const struct clean_dedup *dedup);
#endif
