/* live.h - reports on live people: a question in JSON, one JSON object out, every number opens its
 * people.
 *
 * One door for the API, the command line, saved reports and the weekly page: a report is a NAME and
 * its parameters. live_report.c is the table of reports; each report is a file of its own
 * (live_funnel.c …) that parses its part of the question, makes one pass over the timeline on all
 * cores and writes its part of the answer. SQL is for extraction, not here.
 *
 * What every question may hold:
 *   "from", "to"   "2026-11-01" (whole days of the zone) or RFC 3339; default: the last 30 days
 *   "zone"         IANA, default that of the options
 *   "where"        [{"property"|"channel"|"campaign": …, "op": "=", "value": …}], all must hold
 *   "breakdown"    {"by": "channel"|"campaign"|"property", "event": …, "property": …, "top": 10}
 *   "compare"      "previous": the same length before; the answer has "previous" beside each number
 * An EVENT is a name, "*" for any, or {"event": name, "where": […]}.
 * What every answer holds: "report", "from", "to", "zone", "as_of" (the newest moment that is
 * complete), "position" (a token for after=), "events_read", "people" (in the window), "seconds",
 * "complete_from" when the memory holds less than was asked (then older questions go to SQL),
 * "rows", "bars", "left_out", as the reports on files do; and beside each count of people a "cell":
 * a text that live_people opens. A breakdown that has more values than "top" has a row with
 * "other": true, and says how many.
 *
 * Depends on: base, table (times), timeline, warehouse, store. Called by: api, app. Personal data:
 * none kept but saved lists (segment/). */
#ifndef ANALYTICS_LIVE_H
#define ANALYTICS_LIVE_H

#include "base/clock.h"
#include "base/json.h"
#include "timeline/timeline.h"

struct live;
struct log; /* log/log.h */

struct live_options {
    struct timeline *timeline;
    struct warehouse *warehouse;
    const struct clock *clock; /* domain time: what "the last 30 days" are */
    const char *zone;          /* the company's; NULL = UTC */
    int threads;               /* 0 = cores */
    struct log *log;           /* for results saved as traits; NULL = none are */
};
/* ST_INVALID for a zone that nobody knows. */
MUST_USE enum status live_open(const struct live_options *options, struct live **ret_live,
                               struct err *err);
void live_close(struct live *live);

/* How one question is run. All zero = nothing waited for, 30 s. */
struct live_run {
    uint64_t after;     /* a journal position that the answer must hold */
    int64_t limit_us;   /* ST_TIMEOUT after this; 0 = 30 s, at most 10 min */
    const bool *cancel; /* atomic: ST_BUSY soon after it is true; NULL = never */
    /* From the caller's thread: 0 as a pass begins, then how much of it is done. */
    void (*progress)(void *ctx, double share);
    void *ctx;
    bool save; /* results of rfm, kmeans and clv become traits; who asks may write events */
};

/* Appends the answer. ST_NOT_FOUND with the nearest names for a report, event, property, channel or
 * campaign that nobody has; ST_INVALID says which member of the question is wrong and what it may
 * be; ST_BUSY while the timeline is rebuilt. */
MUST_USE enum status live_report(struct live *live, struct str name, yyjson_val *question,
                                 const struct live_run *run, struct buf *json, struct err *err);

/* The people behind a cell, most recent first: {"total", "people": [{"person","identifier",
 * "last_seen","events"}], "next"}; `page` "" or a "next". The cell is answered anew on the newest
 * view: "as_of" says of when. ST_INVALID for a text that is no cell of ours. */
MUST_USE enum status live_people(struct live *live, struct str cell, struct str page, size_t limit,
                                 const struct live_run *run, struct buf *json, struct err *err);

/* All of them, for a named list: ids as everywhere in Hezou, malloc'd for the caller. */
MUST_USE enum status live_cell_people(struct live *live, struct str cell,
                                      const struct live_run *run, uint64_t **ret_people,
                                      size_t *ret_count, struct err *err);

/* The name of the report that a cell is of; of a text that is none: empty. */
struct str live_cell_report(struct str cell);

/* Names for help, errors and documents, in their order; NULL at the end. */
const char *const *live_names(void);
#endif
