/* timeline.h - every event in memory, ordered by person and time: what live analytics run on
 * (DESIGN §9).
 *
 * A cache: rebuilt from the warehouse in the background at start, fed by the pipeline beside the
 * warehouse. A VISITOR has one run of events, ordered by (time, journal position); a PERSON is a
 * set of visitors. So a merge, its undo and an erase change who owns which runs and move no event.
 * Numbers, not texts: a visitor or person is a SLOT (u32, fixed until the process ends), a name a
 * CODE, a pair of channel and campaign an ORIGIN. What the arrays cost is in the README.
 *
 * Readers open a VIEW: everything up to one journal position, unchanged until it is closed,
 * whatever is written meanwhile. A view holds memory that was replaced since, so close it soon.
 *
 * Events without identifiers belong to nobody: timeline_view_nobody gives them, no person does.
 * Above `memory_bytes` the newest by event time are kept; a view is complete from
 * `complete_from_us` on, and what it holds of the time before is not all there is.
 *
 * Threads: the feed (add, set_person, commit) is one thread's; all else is any thread's, a cursor
 * one thread's at a time. Depends on: base, warehouse, event. Called by: pipeline, analytics, api.
 */
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
/* All before `position` was added: it may be seen. Never waits for a reader or the rebuild. */
void timeline_commit(struct timeline *timeline, uint64_t position);

/* Any thread but the feed's: drop these visitors for good, whatever is fed for them later. Returns
 * when no new view shows them; their memory goes with the next merge. */
void timeline_erase(struct timeline *timeline, const uint64_t *visitors, size_t count);

/* --- a view ----------------------------------------------------------------------------------- */

#define TIMELINE_NONE UINT32_MAX /* no slot, no code, no origin */
/* The code and the origin of what came after the dictionary was full (65,534 entries). */
#define TIMELINE_OTHER 65534U

struct timeline_view {
    uint64_t position;        /* holds everything before it … */
    int64_t complete_from_us; /* … whose event time is not before this; INT64_MIN = everything */
    uint64_t events;          /* of people and of nobody */
    uint64_t delta_events;    /* of these, not yet merged into the base */
    uint32_t slots;           /* every slot is below; not every slot is a person */
    uint32_t names;           /* codes 0 … names - 1 (TIMELINE_OTHER apart) */
    uint32_t origins, channels, campaigns;
    bool wide_codes; /* some run has u16 codes: size tables by 65,536, else 256 do */
    const uint64_t
        *code_events; /* [names]: how many events, an upper bound once old ones were dropped */
};

/* ST_BUSY while the rebuild runs; it says how far it is. With `position` it waits until the view
 * holds everything before it, up to 10 s (ST_TIMEOUT); 0 = as it is. */
MUST_USE enum status timeline_view_open(struct timeline *timeline, uint64_t position,
                                        const struct timeline_view **ret_view, struct err *err);
void timeline_view_close(const struct timeline_view *view);

/* Texts live as long as the timeline. An origin's channel and campaign have codes of their own, in
 * one table each; the empty text is 0 and means none. */
struct str timeline_name(const struct timeline_view *view, uint32_t code);
uint32_t timeline_name_find(const struct timeline_view *view, struct str name); /* or NONE */
uint32_t timeline_origin_channel(const struct timeline_view *view, uint32_t origin);
uint32_t timeline_origin_campaign(const struct timeline_view *view, uint32_t origin);
struct str timeline_channel(const struct timeline_view *view, uint32_t channel);
struct str timeline_campaign(const struct timeline_view *view, uint32_t campaign);

/* --- reading people --------------------------------------------------------------------------- */

/* One person's events in the order (time, position); equal times stand in journal order. Arrays are
 * the timeline's own when nothing had to be merged, else the cursor's scratch, good until its next
 * step. 64 bytes after each array's end may be read. */
struct timeline_run {
    uint32_t person; /* slot; TIMELINE_NONE = nobody */
    uint32_t count;
    const uint8_t *code8; /* one of the two, the other is NULL */
    const uint16_t *code16;
    const uint32_t *time;   /* seconds since 1970 */
    const uint8_t *origin8; /* one of the two */
    const uint16_t *origin16;
    const uint64_t *rows; /* NULL: event i is row first_row + i */
    uint64_t first_row;
};

static inline uint32_t timeline_code(const struct timeline_run *run, uint32_t i)
{
    return run->code8 != NULL ? run->code8[i] : run->code16[i];
}

static inline uint32_t timeline_origin(const struct timeline_run *run, uint32_t i)
{
    return run->origin8 != NULL ? run->origin8[i] : run->origin16[i];
}

/* Names an event in this view, for what is not in the run: amount, microseconds, position,
 * properties. */
static inline uint64_t timeline_row(const struct timeline_run *run, uint32_t i)
{
    return run->rows != NULL ? run->rows[i] : run->first_row + i;
}

bool timeline_amount(const struct timeline_view *view, uint64_t row, int64_t *ret_micros);
int64_t timeline_time_us(const struct timeline_view *view, uint64_t row);
uint64_t timeline_position(const struct timeline_view *view, uint64_t row);

/* A set of slots, one bit each: people. */
struct timeline_set {
    uint64_t *words;
    uint32_t slots; /* of the view that it was made for */
};
void timeline_set_init(struct timeline_set *set, const struct timeline_view *view);
void timeline_set_done(struct timeline_set *set);
static inline void timeline_set_add(struct timeline_set *set, uint32_t slot)
{
    set->words[slot / 64] |= UINT64_C(1) << slot % 64;
}
static inline bool timeline_set_has(const struct timeline_set *set, uint32_t slot)
{
    return (set->words[slot / 64] >> slot % 64 & 1) != 0;
}
uint64_t timeline_set_count(const struct timeline_set *set);

/* Add the people who have at least one event of this code, from posting lists that are made at
 * first use. Cheap for a rare event: then scan only them. */
void timeline_people_with(const struct timeline_view *view, uint32_t code,
                          struct timeline_set *set);

/* A pass over all people, or over those of a set. Threads share one scan, each with a cursor of its
 * own; every person comes to exactly one of them, in no order that means anything. */
struct timeline_scan_options {
    const struct timeline_set *only; /* NULL = everybody who has an event */
    /* [65,536 or, without wide_codes, 256] by code, NULL = all. Where runs must be merged, only
     * events with a non-zero byte are; a run that needs no merge still has all. A person left
     * without an event may be passed over. */
    const uint8_t *wanted;
    bool nobody_too; /* the events without identifiers too, as runs of person TIMELINE_NONE, in
                        several pieces */
};
struct timeline_scan;
struct timeline_cursor;

void timeline_scan_open(const struct timeline_view *view,
                        const struct timeline_scan_options *options,
                        struct timeline_scan **ret_scan);
void timeline_scan_close(struct timeline_scan *scan);
/* 0 … 1, for progress. */
double timeline_scan_progress(const struct timeline_scan *scan);
/* Every cursor ends at its next step. Any thread. */
void timeline_scan_cancel(struct timeline_scan *scan);
bool timeline_scan_cancelled(const struct timeline_scan *scan);

struct timeline_cursor *timeline_cursor_open(struct timeline_scan *scan);
void timeline_cursor_close(struct timeline_cursor *cursor);
/* False at the end. */
bool timeline_cursor_next(struct timeline_cursor *cursor, struct timeline_run *ret_run);

/* The usual way to use it: `work` runs once on each of `threads` threads (0 = cores; this one is
 * the first) with a cursor and ctxs + n * ctx_size. Returns when all have ended. */
typedef void timeline_work(struct timeline_cursor *cursor, void *ctx);
void timeline_scan_run(struct timeline_scan *scan, int threads, timeline_work *work, void *ctxs,
                       size_t ctx_size);

/* One person's run by slot, through a cursor of any scan of the view. False: no event. */
bool timeline_person(struct timeline_cursor *cursor, uint32_t person, struct timeline_run *ret_run);

/* --- people ----------------------------------------------------------------------------------- */

/* The person's id, as everywhere else in Hezou; and back (or TIMELINE_NONE). */
uint64_t timeline_person_id(const struct timeline_view *view, uint32_t person);
uint32_t timeline_person_find(const struct timeline_view *view, uint64_t id);
/* "type:value" of each person's identifier of the highest priority (among equals the smallest), in
 * the arena; empty where the warehouse knows none. */
MUST_USE enum status timeline_people_name(const struct timeline_view *view, const uint32_t *people,
                                          size_t count, struct arena *arena, struct str **ret_names,
                                          struct err *err);

/* --- properties ------------------------------------------------------------------------------- */

/* The values of one property, as codes by row: read from the warehouse at first use, kept until
 * memory is short. Values are the property's JSON scalars as text; objects and lists have none.
 * `event` limits it to events of this name; empty = all. */
struct timeline_column;
MUST_USE enum status timeline_column_open(const struct timeline_view *view, struct str event,
                                          struct str property,
                                          const struct timeline_column **ret_column,
                                          struct err *err);
/* Before the view is closed. */
void timeline_column_close(const struct timeline_column *column);
/* 0 = the event has no such property. */
uint32_t timeline_column_code(const struct timeline_column *column, uint64_t row);
uint32_t timeline_column_values(const struct timeline_column *column); /* codes 1 … values */
struct str timeline_column_text(const struct timeline_column *column, uint32_t code);
uint32_t timeline_column_find(const struct timeline_column *column, struct str text); /* or 0 */

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
