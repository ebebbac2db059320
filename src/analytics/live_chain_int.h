/* live_chain_int.h - one person's way through a funnel: which events make the chain that came
 * furthest.
 *
 * What the kernel of sequence.h gives is a level and times. A live funnel also asks which event was
 * the first (for its channel), and has what ClickHouse has not: steps in any order, most time
 * between two steps, events that spoil a chain, one event for one step only. */
#ifndef ANALYTICS_LIVE_CHAIN_INT_H
#define ANALYTICS_LIVE_CHAIN_INT_H

#include "analytics/live_int.h"

struct live_chain {
    unsigned steps;
    unsigned modes; /* FUNNEL_… */
    bool any_order, once;
    uint32_t window;
    uint32_t entry_end;            /* step 1 (in any order: the first) is before this */
    uint32_t gaps[LIVE_STEPS_MAX]; /* most seconds after the step before; UINT32_MAX = no limit */
    bool kernel;                   /* by funnel_level: no gaps, nothing spoils */
    bool plain;                    /* every event is one step, and the window is the only limit */
};

/* Working memory of one thread. */
struct live_chain_scratch {
    struct funnel_scratch kernel;
    uint32_t *before; /* as many as there are events */
    struct live_top *tops;
};

/* The chain that was found. */
struct live_way {
    unsigned level;                 /* steps reached, 0 = none */
    uint32_t times[LIVE_STEPS_MAX]; /* of steps 1 … level */
    uint32_t first;                 /* index in `events` of step 1 */
};

/* `events` hold a step, or spoil; with FUNNEL_STRICT_ORDER they are all that there are. spoils[i]
 * bit k: an event that ends chains of k + 1 steps; NULL = none does. */
void live_chain_find(const struct live_chain *chain, const struct sequence_event *events,
                     const uint32_t *spoils, size_t count, struct live_chain_scratch *scratch,
                     struct live_way *ret_way);
/* The best of the chains of one value each: events[i] has the value of[i] < values, 0 counts for
 * none. False: this question or so many values need each value's events searched alone. */
#define LIVE_CHAINS_PLAIN 128 /* values × (steps + 1): what is made anew for each person */
bool live_chain_find_of(const struct live_chain *chain, const struct sequence_event *events,
                        const uint32_t *of, uint32_t values, size_t count,
                        struct live_chain_scratch *scratch, struct live_way *ret_way);

/* Everybody of a batch at once, where the question is plain. Events in [from, end) count. A
 * person's chain is read backwards from its last event: before[last], … as long as `level` has
 * steps. */
struct live_top {
    uint32_t level, last; /* of each person; `last` in the batch */
};
void live_chain_find_all(const struct live_chain *chain, const struct timeline_batch *batch,
                         const uint8_t *step_of, int64_t from, int64_t end, uint32_t *before,
                         struct live_top *tops);
#endif
