/* live_funnel_int.h - what the files of the live funnel share. */
#ifndef ANALYTICS_LIVE_FUNNEL_INT_H
#define ANALYTICS_LIVE_FUNNEL_INT_H

#include "analytics/live_chain_int.h"

#define LIVE_EXCLUSIONS_MAX 16

/* An event that ends chains of after … before - 1 steps. */
struct live_exclusion {
    struct live_event event;
    uint32_t spoils; /* bit k: chains of k + 1 steps */
};

struct live_funnel {
    struct live_chain chain;
    struct live_event *steps;
    size_t exclusions_count;
    struct live_exclusion exclusions[LIVE_EXCLUSIONS_MAX];
    const struct timeline_column *hold; /* NULL = none */
    int order, ties;
    bool closed, ties_by_steps;
    int64_t window;

    struct code_set set;               /* codes of steps and exclusions */
    bool all;                          /* every event is a candidate */
    uint32_t *step_bits;               /* [live_codes] by code */
    uint8_t *step_of;                  /* [live_codes]: its only step, where the chain is plain */
    uint32_t *spoil_bits;              /* the same: bit e = exclusion e; NULL = none */
    uint32_t filtered, spoil_filtered; /* which of them have conditions */
    uint8_t *wanted;                   /* the same; NULL = all */

    /* Of a cell. */
    uint64_t want_step, want_value; /* want_value = values: any */
    bool want_dropped, want_previous;
};

/* Seconds that people took; each list is unordered. */
struct live_waits {
    uint32_t *list;
    size_t count, capacity;
    uint64_t sum;
};
/* Room for so many more … */
void live_waits_reserve(struct live_waits *waits, size_t count);
/* … which are put there. */
static inline void live_waits_put(struct live_waits *waits, uint32_t seconds)
{
    waits->list[waits->count++] = seconds;
    waits->sum += seconds;
}
static inline void live_waits_add(struct live_waits *waits, uint32_t seconds)
{
    if (waits->count == waits->capacity)
        live_waits_reserve(waits, 1);
    live_waits_put(waits, seconds);
}
/* Appends `from` and gives its memory back. */
void live_waits_join(struct live_waits *waits, struct live_waits *from);

/* What came of one window, in threads and in sum: [values × (steps + 1)] people by the level that
 * they reached, [values × (steps + 1)] waits: k = 1 … from the step before to step k + 1, and at
 * `steps` of those who did all, from the first to the last. */
struct live_tally {
    uint64_t *people;
    struct live_waits *waits;
    uint64_t open; /* not all steps, and the window is not over yet */
};

MUST_USE enum status live_funnel_parse(struct live_ask *ask, struct live_funnel *funnel,
                                       struct err *err);
void live_funnel_put(const struct live_ask *ask, const struct live_funnel *funnel,
                     const struct live_tally *tally, const struct live_tally *before,
                     struct buf *json);
#endif
