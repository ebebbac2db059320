/* timeline_cursor_int.h - a pass over people from within: what timeline_scan.c and timeline_batch.c
 * share. */
#ifndef TIMELINE_TIMELINE_CURSOR_INT_H
#define TIMELINE_TIMELINE_CURSOR_INT_H

#include "base/code_set.h"
#include "timeline/timeline_int.h"
#include "timeline/timeline_scan.h"

struct timeline_scan {
    const struct snapshot *snapshot;
    struct timeline_scan_options options;
    uint32_t next_page;    /* atomic: the next to be taken */
    uint32_t pages_done;   /* atomic: given back, all their people seen */
    uint32_t nobody_taken; /* atomic */
    uint32_t cancelled;    /* atomic */
    struct code_set set;   /* of options.wanted */
};

/* Part of a person: a span of one piece. */
struct part {
    const struct piece *piece;
    uint32_t number; /* the piece's, for rows */
    uint32_t from, to;
};

/* A delta's run of one of the page's slots; the next one is of a younger delta. */
struct touch {
    uint32_t number, from, to, next;
};

struct item {
    uint32_t time;
    uint32_t at; /* in its piece */
    uint32_t part;
};

struct batch_scratch;
struct timeline_cursor {
    struct timeline_scan *scan;
    const struct snapshot *snapshot;

    uint32_t page; /* TIMELINE_NONE before the first */
    uint32_t slot, slot_end;
    const struct slot_page *map;
    const struct piece *base;
    uint32_t touched[PAGE_SLOTS]; /* by slot: the first of its touches, or NONE */
    uint32_t touched_last[PAGE_SLOTS];
    struct touch *touches;
    uint32_t touches_count, touches_capacity;

    uint32_t nobody_next; /* piece number; pages + deltas = done */
    bool nobody;          /* this cursor gives nobody's events */

    struct part *parts;
    uint32_t parts_count, parts_capacity;
    struct item *items, *items_scratch;
    uint32_t *ends; /* of the sorted stretches in items */
    uint32_t ends_capacity;
    uint32_t capacity;      /* events of the arrays below, and of items */
    uint32_t *at, *when;    /* of two parts' wanted events, one part after the other … */
    uint32_t *order;        /* … and these in their order */
    uint8_t *code, *origin; /* u8 or u16, as the widest part has */
    uint32_t *time;
    uint64_t *rows;

    struct batch_scratch *batch; /* made at first use */
};

/* The next page that nobody has taken, with what the deltas have of it. False: there is none. */
bool timeline_cursor_page(struct timeline_cursor *cursor);
/* `parts` become those of a person whose first visitor this is; in no order that means anything. */
void timeline_cursor_parts(struct timeline_cursor *cursor, uint32_t first);
/* The next slot of a set at or after this one, or `end`. */
uint32_t timeline_set_next(const struct timeline_set *set, uint32_t slot, uint32_t end);
/* One visitor, no event in the deltas: their run lies in the page's own piece. */
static inline bool timeline_cursor_alone(const struct timeline_cursor *cursor, uint32_t person,
                                         uint32_t first)
{
    return first == person && cursor->map->next[person % PAGE_SLOTS] == TIMELINE_NONE &&
           cursor->touched[person % PAGE_SLOTS] == TIMELINE_NONE && cursor->base != NULL;
}

void timeline_batch_free(struct batch_scratch *scratch);
#endif
