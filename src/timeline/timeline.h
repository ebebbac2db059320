/* timeline.h - every event in memory, ordered by person and time: what live analytics run on
 * (DESIGN §9).
 *
 * A cache: rebuilt from the warehouse in the background at start, fed by the pipeline beside the
 * warehouse. A VISITOR has one run of events, ordered by (time, journal position); a PERSON is a
 * set of visitors. So a merge, its undo and an erase change who owns which runs and move no event.
 * Numbers, not texts: a visitor or person is a SLOT (u32, fixed until the process ends), a name a
 * CODE, a pair of channel and campaign an ORIGIN. What the arrays cost is in the README.
 *
 * Readers open a VIEW (timeline_view.h): everything up to one journal position, and pass over its
 * people (timeline_scan.h). Above `memory_bytes` the newest events by event time are kept.
 *
 * Threads: the feed (add, set_person, seal) is one thread's; all else is any thread's.
 * Depends on: base, warehouse, event. Called by: pipeline, analytics, api. */
#ifndef TIMELINE_TIMELINE_H
#define TIMELINE_TIMELINE_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/status.h"
#include "base/str.h"
#include "warehouse/warehouse.h"

struct timeline;

struct timeline_options {
    struct warehouse *warehouse; /* NULL = begin empty, and without properties (tests) */
    size_t memory_bytes;         /* of everything here but open views' leftovers */
    int threads;                 /* of the rebuild; 0 = cores */
    uint32_t merge_events;       /* fed before they are merged into the base, if they are 1/32 of
                                    it; 0 = 65,536 */
    uint32_t merge_pages;        /* merged before what came meanwhile is taken; 0 = as many as some
                                    milliseconds allow */
};

/* Begin to rebuild from the warehouse, in the background. What is fed must lie at or after the
 * warehouse's position of this moment, so call it before the pipeline starts. */
void timeline_open(const struct timeline_options *options, struct timeline **ret_timeline);
/* No view may be open. NULL is allowed, here and in all calls of the feed. */
void timeline_close(struct timeline *timeline);

/* --- the feed, by the pipeline's thread ------------------------------------------------------- */

struct timeline_event {
    uint64_t position; /* below TIMELINE_POSITION_MAX */
    uint64_t visitor;  /* 0 = nobody */
    uint64_t person;   /* at that position */
    int64_t time_us;   /* outside 1970 … 2106 it is moved to the border */
    struct str name, channel, campaign;
    bool has_amount;
    int64_t amount_micros;
};
#define TIMELINE_POSITION_MAX (UINT64_C(1) << 44) /* 17 TB of journal */

void timeline_add_event(struct timeline *timeline, const struct timeline_event *event);
/* From here on the visitor belongs to this person. In the order of the events. */
void timeline_set_person(struct timeline *timeline, uint64_t visitor, uint64_t person);
/* All before `position` was added. It is for the next timeline_commit_sealed, which must have come
 * before this is called again. */
void timeline_seal(struct timeline *timeline, uint64_t position);
/* By any one thread: what was sealed is in the warehouse, it may be seen. Nothing sealed: nothing.
 * Never waits for a reader or the rebuild. */
void timeline_commit_sealed(struct timeline *timeline);
/* Both. */
void timeline_commit(struct timeline *timeline, uint64_t position);

/* Any thread but the feed's: drop these visitors for good, whatever is fed for them later. Returns
 * when no new view shows them; their memory goes with the next merge. */
void timeline_erase(struct timeline *timeline, const uint64_t *visitors, size_t count);

/* --- figures ---------------------------------------------------------------------------------- */

struct timeline_stats {
    bool ready;        /* the rebuild is done */
    uint64_t position; /* seen up to here */
    uint64_t events, delta_events, visitors;
    uint64_t bytes;   /* held, replaced parts that a view still reads included */
    uint64_t dropped; /* events left out because they were too old for the memory */
    int64_t complete_from_us;
    int64_t rebuild_us; /* how long it took, 0 while it runs */
    uint64_t rebuild_events;
    uint64_t rebuild_bytes_peak;
    int64_t fresh_last_us; /* from the last commit until it could be seen */
    uint64_t merges;       /* of deltas into the base */
    uint64_t views;        /* open */
};
void timeline_stats(struct timeline *timeline, struct timeline_stats *ret_stats);
#endif
