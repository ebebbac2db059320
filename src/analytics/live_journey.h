/* live_journey.h - journeys as paths of numbers, each distinct path once, with what came of it.
 *
 * A thread interns into a table of its own, so the pass shares nothing; then tables are added up.
 * Sums are whole numbers (counts, millionths of money), so the answer is the same however people
 * fell to the threads. Part of analytics: included by its live reports only. */
#ifndef ANALYTICS_LIVE_JOURNEY_H
#define ANALYTICS_LIVE_JOURNEY_H

#include "analytics/attribution.h"

struct live_journey {
    uint64_t hash;
    size_t start; /* into touches */
    uint32_t length;
    uint64_t conversions, arrivals, nulls; /* arrivals: by a new customer */
    int64_t micros;
};

struct live_journeys {
    struct live_journey *list;
    size_t count, capacity;
    uint32_t *slots; /* index + 1 into list; 0 = free */
    size_t slots_count;
    uint32_t *touches;
    size_t touches_count, touches_capacity;
};

/* All zero is an empty table. */
void live_journeys_done(struct live_journeys *journeys);
/* The entry of this path; good until the next call. */
struct live_journey *live_journeys_put(struct live_journeys *journeys, const uint32_t *path,
                                       uint32_t length);
void live_journeys_add(struct live_journeys *journeys, const struct live_journeys *others);
/* In an order that depends on the paths alone. */
void live_journeys_sort(struct live_journeys *journeys);
#endif
