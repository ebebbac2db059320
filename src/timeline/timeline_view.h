/* timeline_view.h - what a view of the timeline shows: names, people, their events, properties.
 *
 * A view is everything up to one journal position, unchanged until it is closed, whatever is
 * written meanwhile. It holds memory that was replaced since, so close it soon. Any thread.
 *
 * Events without identifiers belong to nobody: no person has them, a scan gives them on request.
 * A view is complete from `complete_from_us` on; what it holds of the time before is not all there
 * is. Called by: analytics. */
#ifndef TIMELINE_TIMELINE_VIEW_H
#define TIMELINE_TIMELINE_VIEW_H

#include "timeline/timeline.h"

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
#endif
