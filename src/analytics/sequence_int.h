/* sequence_int.h - what the files on sequences share. */
#ifndef ANALYTICS_SEQUENCE_INT_H
#define ANALYTICS_SEQUENCE_INT_H

#include "analytics/sequence.h"

/* funnel_level for FUNNEL_STRICT_ONCE. */
unsigned funnel_once_level(const struct funnel *funnel, const struct sequence_event *events,
                           size_t count, struct funnel_scratch *scratch, int64_t *ret_times);

/* Where the group of events that are taken together begins and ends: equal times, or one event. */
static inline size_t funnel_group_end(const struct funnel *funnel,
                                      const struct sequence_event *events, size_t count, size_t at)
{
    size_t end = at + 1;
    if ((funnel->modes & FUNNEL_ARRAY_ORDER) == 0)
        while (end < count && events[end].time == events[at].time)
            end++;
    return end;
}

static inline bool funnel_within(int64_t start, int64_t time, int64_t window)
{
    return (uint64_t)time - (uint64_t)start <= (uint64_t)window; /* time >= start */
}
#endif
