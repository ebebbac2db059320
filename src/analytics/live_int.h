/* live_int.h - what the live reports share: the question's common part, windows, filters, cells,
 * passes over the timeline.
 *
 * The life of a question: live_report opens a view, parses the common part into struct live_ask,
 * then calls the report's `run`, which parses the rest, scans, and puts its members; live_report
 * puts the common members. The same `run` answers a cell: ask->want is then where to put the
 * people, and the report adds to it the people of the cell named in ask->cell instead of writing
 * rows. So a number and its people come from one piece of code. */
#ifndef ANALYTICS_LIVE_INT_H
#define ANALYTICS_LIVE_INT_H

#include "analytics/live.h"
#include "analytics/sequence.h"

#define LIVE_BORDERS_MAX 4000 /* hours of half a year, days of ten years */
#define LIVE_STEPS_MAX 20
#define LIVE_TOP_MAX 1000

/* One condition of a "where". */
struct live_filter;

/* An event of the question: which codes, and which further conditions an event must meet. */
struct live_event {
    struct str name; /* "" = any */
    uint32_t code;   /* TIMELINE_NONE = any */
    size_t filters_count;
    struct live_filter *filters;
};

struct live_ask {
    struct live *live;
    const struct timeline_view *view;
    const struct live_run *run;
    struct arena *arena; /* of the question */
    yyjson_val *question;
    int64_t from_us, to_us; /* to is exclusive */
    uint32_t from_s, to_s;  /* the same in the timeline's seconds */
    struct str zone;
    size_t filters_count; /* of the whole question */
    struct live_filter *filters;
    struct live_breakdown *breakdown; /* NULL = none */
    bool compare;

    /* When people are asked for: the coordinates of one cell, and where they go. */
    yyjson_val *cell; /* NULL = a report */
    struct timeline_set *want;

    uint64_t events_read; /* atomic; added by the passes */
    uint64_t people;
};

struct live_definition {
    const char *name;
    enum status (*run)(struct live_ask *ask, struct buf *json, struct err *err);
};

/* --- parts of a question (live_ask.c); errors name the member -------------------------------- */

MUST_USE enum status live_ask_event(struct live_ask *ask, const char *member,
                                    struct live_event *ret_event, struct err *err);
/* A member that is a list of events. */
MUST_USE enum status live_ask_events(struct live_ask *ask, const char *member, size_t least,
                                     size_t most, struct live_event **ret_events, size_t *ret_count,
                                     struct err *err);
/* "3600s", "7d", or a number of seconds. */
MUST_USE enum status live_ask_duration(struct live_ask *ask, const char *member,
                                       int64_t otherwise_s, int64_t *ret_s, struct err *err);
/* One of `words` (NULL at the end); its index. */
MUST_USE enum status live_ask_word(struct live_ask *ask, const char *member,
                                   const char *const *words, int otherwise, int *ret_index,
                                   struct err *err);
MUST_USE enum status live_ask_number(struct live_ask *ask, const char *member, double least,
                                     double most, double otherwise, double *ret_v, struct err *err);
/* Every member of the question must be one that the common part or the report knows. */
MUST_USE enum status live_ask_known(struct live_ask *ask, const char *const *members,
                                    struct err *err);

/* --- filters and breakdowns (live_filter.c) --------------------------------------------------- */

/* Does event i of the run meet them? Columns are read on first use. */
bool live_filters_hold(const struct live_ask *ask, const struct live_filter *filters, size_t count,
                       const struct timeline_run *run, uint32_t i);
static inline bool live_event_is(const struct live_ask *ask, const struct live_event *event,
                                 const struct timeline_run *run, uint32_t i)
{
    return (event->code == TIMELINE_NONE || timeline_code(run, i) == event->code) &&
           (event->filters_count == 0 ||
            live_filters_hold(ask, event->filters, event->filters_count, run, i));
}
/* The value of the breakdown at event i: 0 … live_breakdown_values - 1 (0 = none). */
uint32_t live_breakdown_of(const struct live_ask *ask, const struct timeline_run *run, uint32_t i);
uint32_t live_breakdown_values(const struct live_ask *ask);
struct str live_breakdown_text(const struct live_ask *ask, uint32_t value);

/* --- time (live_time.c): IANA zones, borders of periods --------------------------------------- */

enum live_unit { LIVE_HOUR, LIVE_DAY, LIVE_WEEK, LIVE_MONTH };
/* Borders in seconds from the period that holds from_s to the one that holds to_s - 1, both ends
 * included: count + 1 borders, in the arena. ST_INVALID above LIVE_BORDERS_MAX. */
MUST_USE enum status live_borders(struct live_ask *ask, enum live_unit unit, uint32_t **ret_borders,
                                  size_t *ret_count, struct err *err);
/* Which period `time` lies in, from a guess (0 or the last answer). */
size_t live_period_of(const uint32_t *borders, size_t count, uint32_t time, size_t guess);
/* "2026-11-24", "2026-11-24T13:00" in the zone. */
void live_put_time(const struct live_ask *ask, struct buf *json, const char *member, uint32_t time,
                   enum live_unit unit);

/* --- a pass (live_pass.c) --------------------------------------------------------------------- */

/* Calls `each` for every person (of `only`, if not NULL) with their whole run; `ctxs` has one
 * context per thread (live_threads), which the caller adds up. Runs hold events outside the window
 * too. ST_TIMEOUT, ST_BUSY (cancelled). */
typedef void live_each(const struct live_ask *ask, const struct timeline_run *run, void *ctx);
int live_threads(const struct live_ask *ask);
MUST_USE enum status live_pass(struct live_ask *ask, const struct timeline_set *only,
                               const uint8_t *wanted, live_each *each, void *ctxs, size_t ctx_size,
                               struct err *err);
/* The indices of the run's events inside the window: [*ret_first, *ret_end). */
void live_window(const struct live_ask *ask, const struct timeline_run *run, uint32_t *ret_first,
                 uint32_t *ret_end);

/* --- cells (live_cell.c) ---------------------------------------------------------------------- */

/* "cell": a text that holds the question and these coordinates (`format` makes a JSON object). */
void live_put_cell(const struct live_ask *ask, struct buf *json, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* --- the reports, a file each ----------------------------------------------------------------- */

enum status live_trend(struct live_ask *ask, struct buf *json, struct err *err);
enum status live_lifecycle(struct live_ask *ask, struct buf *json, struct err *err);
enum status live_stickiness(struct live_ask *ask, struct buf *json, struct err *err);
enum status live_funnel(struct live_ask *ask, struct buf *json, struct err *err);
enum status live_retention(struct live_ask *ask, struct buf *json, struct err *err);
enum status live_paths(struct live_ask *ask, struct buf *json, struct err *err);
enum status live_cohort(struct live_ask *ask, struct buf *json, struct err *err);
enum status live_attribution(struct live_ask *ask, struct buf *json, struct err *err);
#endif
