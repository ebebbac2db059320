/* timeline_scan.h - passes over the people of a view.
 *
 * Threads share one scan, each with a cursor of its own; every person comes to exactly one of them,
 * in no order that means anything. A cursor is one thread's at a time. Called by: analytics. */
#ifndef TIMELINE_TIMELINE_SCAN_H
#define TIMELINE_TIMELINE_SCAN_H

#include "timeline/timeline_view.h"

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
    /* [65,536 or, without wide_codes, 256] by code: a byte that is not zero for what is asked for.
     * Not NULL: the scan gives batches; NULL: runs of all events. */
    const uint8_t *wanted;
    bool no_origins; /* batches without: one array less to read */
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

/* --- many people at once ---------------------------------------------------------------------- */

/* Only events that are wanted, one person after the other, each in their order: the fast way to
 * what asks for few names, because a page's codes are searched in one go. Whoever has none is not
 * in it. 64 bytes after each array's end may be read. Good until the cursor's next step. */
struct timeline_batch {
    uint32_t people, count;
    const uint32_t *person;        /* [people] */
    const uint32_t *starts;        /* [people + 1]: the events of each */
    const uint8_t *begins;         /* [count]: 1 where a person begins */
    const uint16_t *code, *origin; /* `origin` NULL with no_origins */
    const uint32_t *time;
    const uint64_t *rows;
    uint64_t events; /* that were looked at for it, those not wanted included */
};

/* In place of timeline_cursor_next, of a scan with `wanted`; without nobody. May give no people.
 * False at the end. */
bool timeline_cursor_batch(struct timeline_cursor *cursor, struct timeline_batch *ret_batch);

/* One of its people as a run. */
static inline void timeline_batch_run(const struct timeline_batch *batch, uint32_t i,
                                      struct timeline_run *ret_run)
{
    uint32_t at = batch->starts[i];
    *ret_run = (struct timeline_run){
        .person = batch->person[i],
        .count = batch->starts[i + 1] - at,
        .code16 = batch->code + at,
        .time = batch->time + at,
        .origin16 = batch->origin == NULL ? NULL : batch->origin + at,
        .rows = batch->rows + at,
    };
}

/* --- threads ---------------------------------------------------------------------------------- */

/* The usual way to use it: `work` runs once on each of `threads` threads (0 = cores; this one is
 * the first) with a cursor and ctxs + n * ctx_size. Returns when all have ended. */
typedef void timeline_work(struct timeline_cursor *cursor, void *ctx);
void timeline_scan_run(struct timeline_scan *scan, int threads, timeline_work *work, void *ctxs,
                       size_t ctx_size);

/* One person's run by slot, through a cursor of any scan of the view. False: no event. */
bool timeline_person(struct timeline_cursor *cursor, uint32_t person, struct timeline_run *ret_run);
#endif
