/* live_reach.h - what of the past a question needs: said by each report, before its view is open.
 *
 * A report reads its window, and some of what lies before or behind it: periods before the first, a
 * funnel's window after the last day, whether somebody was there before. When the memory does not
 * reach back as far, exactly this is taken out of the warehouse (live_older.c). Too much costs time
 * and memory only; too little would be a wrong number, so when in doubt it is more.
 *
 * Only the question is known here, not yet looked at by the report. What is no good in it asks for
 * all names; the report will refuse it. */
#ifndef ANALYTICS_LIVE_REACH_H
#define ANALYTICS_LIVE_REACH_H

#include "analytics/live_int.h"
#include "timeline/timeline_extract.h"

#define LIVE_REACH_PARTS 3
#define LIVE_FOREVER_S (INT64_C(1) << 33) /* after the timeline's end */

struct live_reach {
    struct warehouse_span parts[LIVE_REACH_PARTS]; /* no event is in two */
    size_t count;
    bool columns; /* a property is asked for */
};

/* Names of events in the question, in the arena. */
struct live_names {
    struct str list[WAREHOUSE_NAMES_MAX];
    size_t count;
    bool any; /* all events */
};

/* Add the names of an event or a list of events; an exclusion is one, too. A member that is not
 * there adds nothing. */
void live_names_add(struct live_names *names, yyjson_val *value);
/* Of a member of the question that means any event when it is not there. */
void live_names_ask(const struct live_ask *ask, struct live_names *names, const char *member);
/* … and that of the breakdown, which counts events of its own. */
void live_names_breakdown(const struct live_ask *ask, struct live_names *names);

/* All events of these names (NULL = all) in [from_s, below_s). */
void live_reach_all(const struct live_ask *ask, struct live_reach *reach, int64_t from_s,
                    int64_t below_s, const struct live_names *names);
/* For a report that asks whether a person had such an event (`member` of the question, NULL = any
 * at all) before `below_s`: no more than one of each visitor, where no condition needs more. */
void live_reach_before(const struct live_ask *ask, struct live_reach *reach, int64_t below_s,
                       const char *member, const struct live_names *names);
/* For a report that counts who was there at all, beside those with events of these names. */
void live_reach_present(const struct live_ask *ask, struct live_reach *reach,
                        const struct live_names *names);
/* Where the window begins, or the one before it if the two are compared. */
int64_t live_reach_from(const struct live_ask *ask);
#endif
