/* retention.c - who started, and in which later periods they came back.
 *
 * Two forms. ClickHouse's: which of several conditions held at some time, given that the first did;
 * order and time play no part. And the one that people read: a cohort is everybody whose FIRST
 * start event lies in one period; its row counts, for each period after, those who did the return
 * event in it. What counts must come after the first start event in the run, so a start is never
 * its own return, also where both are the same event; column 0 is then "came again in the same
 * period".
 *
 * Invariant: returned <= people in every cell. */
#include "analytics/retention.h"

#include "base/check.h"

uint32_t retention_conditions(const struct sequence_event *events, size_t count)
{
    uint32_t held = 0;
    for (size_t i = 0; i < count; i++)
        held |= events[i].steps;
    return (held & 1) != 0 ? held : 0;
}

/* The period of `time`, which is at least that of period `from`. */
static size_t period_of(const struct retention *retention, size_t from, int64_t time)
{
    CHECK(time >= retention->starts[0] && time < retention->starts[retention->starts_count]);
    size_t low = from, high = retention->starts_count - 1;
    while (low < high) { /* the last period that begins at or before `time` */
        size_t middle = low + (high - low + 1) / 2;
        if (retention->starts[middle] <= time)
            low = middle;
        else
            high = middle - 1;
    }
    return low;
}

void retention_add(struct retention *retention, const struct sequence_event *events, size_t count)
{
    size_t i = 0;
    while (i < count && (events[i].steps & 1) == 0)
        i++;
    if (i == count)
        return;
    size_t cohort = period_of(retention, 0, events[i].time), period = cohort;
    uint64_t *row = retention->returned + cohort * retention->columns;
    bool is_counted = false;
    retention->people[cohort]++;
    while (++i < count) {
        if ((events[i].steps & 2) == 0)
            continue;
        if (events[i].time >= retention->starts[period + 1]) {
            period = period_of(retention, period + 1, events[i].time);
            is_counted = false;
        }
        if (period - cohort >= retention->columns)
            return;
        row[period - cohort] += !is_counted;
        is_counted = true;
    }
}
