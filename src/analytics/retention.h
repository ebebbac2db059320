/* retention.h - who came back: of one person's run into sums of cohorts.
 *
 * Pure kernels beside those of sequence.h, on the same runs. The first form is ClickHouse's
 * retention (its tests 00688, 00938); the second is the table of cohorts that people read.
 *
 * Depends on: sequence.h. Called by: the reports of analytics. */
#ifndef ANALYTICS_RETENTION_H
#define ANALYTICS_RETENTION_H

#include "analytics/sequence.h"

/* Bit 0: condition 1 held at some time; bit k: it did and condition k + 1 did. */
uint32_t retention_conditions(const struct sequence_event *events, size_t count);

#define RETENTION_PERIODS_MAX 366

/* Cohorts by the period of the first start event × periods after it. */
struct retention {
    const int64_t *starts; /* periods_count + 1 borders, ascending; every event lies within */
    size_t starts_count;   /* periods */
    size_t columns;        /* periods after the first that are counted, the first included */
    uint64_t *people;      /* [starts_count] */
    uint64_t *returned;    /* [starts_count × columns] */
};

/* Step 1 is the start, step 2 the return. A return counts when it comes after the first start in
 * the run, once per person and period. */
void retention_add(struct retention *retention, const struct sequence_event *events, size_t count);
#endif
