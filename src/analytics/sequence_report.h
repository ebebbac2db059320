/* sequence_report.h - `hezou report funnel | retention | sequence`: what people did in a file of
 * events (person, time, event and, if you like, further columns).
 *
 * A STEP is the name of an event, `*` for any, or `NAME where COLUMN OP VALUE` with OP one of
 * = != < <= > >= (numbers where both sides are numbers; < and > want numbers). An event may be
 * several steps, and a step may be given twice. Columns: user (user_id, customer_id, …), time,
 * event; --columns user=…,time=…,event=… else. Times are exact to the microsecond; equal ones count
 * in the order of the steps for a funnel (ClickHouse's rule), else in the order of the file.
 *
 * Depends on: base, table, sequence.h. Called by: app. On failure `json` may have grown: throw it
 * away. ST_NOT_FOUND for an event that the file does not have, with the nearest names. */
#ifndef ANALYTICS_SEQUENCE_REPORT_H
#define ANALYTICS_SEQUENCE_REPORT_H

#include "base/buf.h"
#include "table/table.h"

struct sequence_source {
    struct table_options file;
    bool plain_time; /* the time column holds whole numbers in a unit of its own; a second of a
                        window or pattern is one of them */
    const char *const *steps;
    size_t steps_count;
};

struct funnel_report_options {
    struct sequence_source source;
    int64_t window_us;
    const char *modes; /* funnel_modes_parse */
};

/* {"report":"funnel","events","people","window_seconds","mode","conversion","bottleneck",
 *  "bars":"people","rows":[{"step","name","people","from_previous","from_first",
 *  "median_seconds","p90_seconds"}],"left_out","seconds"}
 * people: who reached the step. The seconds lie between the step before and this one, in the chain
 * that the funnel kept (newest start); quantiles by nearest rank. bottleneck: the step with the
 * lowest from_previous. */
MUST_USE enum status funnel_report(const struct funnel_report_options *options, struct buf *json,
                                   struct err *err);

struct retention_report_options {
    struct sequence_source source; /* with steps: which of them each person ever did */
    const char *start, *back;      /* without: steps for cohorts */
    const char *period;            /* day, week (from Monday) or month, in UTC */
    size_t periods;
};

/* With steps: {"report":"retention","events","people","bars":"people",
 *  "rows":[{"step","name","people","from_first"}],…}: who did step 1, and of these who did step k.
 * Else: {"report":"retention","events","people","period_kind","bars":"rate",
 *  "rows":[{"period","people","returned","rate"}],
 *  "cohorts":[{"cohort","people","returned":[…],"unfinished"}],…}: a row sums the cohorts for which
 * the period had ended with the last event of the file; a cohort lists every period that had begun,
 * and says whether the last of them had not ended. */
MUST_USE enum status retention_report(const struct retention_report_options *options,
                                      struct buf *json, struct err *err);

struct sequence_report_options {
    struct sequence_source source;
    const char *pattern; /* sequence_pattern_parse */
    size_t examples;
};

/* {"report":"sequence","events","people","pattern","people_matching","rate","matches",
 *  "rows":[{"person","matches","times":[…]}],…}: rows are the first people for whom the pattern or
 * a beginning of it was found, with the times of the events that its steps took. */
MUST_USE enum status sequence_report(const struct sequence_report_options *options,
                                     struct buf *json, struct err *err);
#endif
