/* timeline_snapshot_int.h - what a view really is, and the parts that outlive their snapshot.
 *
 * See timeline_int.h: published by the keeper, never changed, freed when no view needs it. */
#ifndef TIMELINE_TIMELINE_SNAPSHOT_INT_H
#define TIMELINE_TIMELINE_SNAPSHOT_INT_H

#include "timeline/timeline_piece_int.h"
#include "timeline/timeline_slots_int.h"

/* Each at least twice as large as the next: more events than slots can be. */
#define DELTAS_MAX 32

struct snapshot {
    struct timeline_view view; /* first: a view is a snapshot */
    struct timeline *timeline;
    struct snapshot *next; /* newer */
    uint64_t epoch;
    uint32_t refs; /* views */
    uint32_t pages;
    uint64_t **ids;
    struct slot_page **maps;
    struct piece **base;
    struct piece *deltas[DELTAS_MAX];
    uint32_t deltas_count;
    uint32_t folded_pages; /* deltas[0] is part of the base already in the pages below */
    uint64_t *code_events;
    uint64_t erasures; /* of the column cache, when it was published */
};

static inline const struct snapshot *snapshot_of(const struct timeline_view *view)
{
    return (const struct snapshot *)view;
}

/* Deltas are numbered after the pages. */
static inline const struct piece *snapshot_piece(const struct snapshot *snapshot, uint32_t number)
{
    return number < snapshot->pages ? snapshot->base[number]
                                    : snapshot->deltas[number - snapshot->pages];
}

void timeline_snapshot_publish(struct timeline *timeline);
void timeline_snapshots_done(struct timeline *timeline);

/* A part that the newest snapshot has no more. */
enum retired_kind { RETIRED_PIECE, RETIRED_PAGE };

struct retired {
    struct retired *next;
    uint64_t epoch; /* snapshots before this may show it */
    enum retired_kind kind;
    void *part;
};

void timeline_retire(struct timeline *timeline, enum retired_kind kind, void *part);
/* Free what no open view can see. */
void timeline_retired_sweep(struct timeline *timeline);
#endif
