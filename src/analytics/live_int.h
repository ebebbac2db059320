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

#include <pthread.h>

#include "analytics/sequence.h"
#include "base/arena.h"
#include "base/code_set.h"
#include "base/near.h"
#include "base/zone.h"
#include "timeline/timeline_scan.h"

#define LIVE_BORDERS_MAX 4000 /* hours of half a year, days of ten years */
#define LIVE_STEPS_MAX 20
#define LIVE_TOP_MAX 100 /* values of a breakdown; every cell names them */

/* Who reads older events (live_older.c). */
struct live_turns {
    pthread_mutex_t mutex;
    pthread_cond_t left;
    bool taken;
};

struct live {
    struct live_options options;
    struct live_turns turns;
};

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
    struct live_older *older; /* a timeline of its own; NULL = the view is the memory's */
    const struct live_run *run;
    struct arena *arena; /* of the question */
    yyjson_val *question;
    int64_t from_us, to_us; /* to is exclusive */
    uint32_t from_s, to_s;  /* the same in the timeline's seconds */
    int64_t now_us;         /* when the view was opened */
    int64_t limit_us;       /* how long it may take */
    int64_t deadline_us;    /* monotonic */
    struct str zone;
    struct zone *calendar;
    size_t filters_count; /* of the whole question */
    struct live_filter *filters;
    struct live_breakdown *breakdown; /* NULL = none */
    bool compare;

    /* When people are asked for: the coordinates of one cell, and where they go. */
    yyjson_val *cell; /* NULL = a report */
    struct timeline_set *want;

    uint64_t events_read; /* added by the passes */
    uint64_t people;      /* with an event in the window: by the report; UINT64_MAX = not counted */

    /* Of live_ask.c and live_cell.c. */
    struct live_column *columns;
    struct str cell_prefix;
};

/* The person of this slot is of the cell. In a pass: a word of the set belongs to one thread. */
static inline void live_want(const struct live_ask *ask, uint32_t person)
{
    if (person != TIMELINE_NONE)
        timeline_set_add(ask->want, person);
}

/* What of the past the question needs (live_reach.h). */
struct live_reach;
typedef void live_reaches(struct live_ask *ask, struct live_reach *reach);

struct live_definition {
    const char *name;
    enum status (*run)(struct live_ask *ask, struct buf *json, struct err *err);
    live_reaches *reaches; /* NULL = everything */
    bool saves;            /* its results can become traits of people */
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
/* The same for a value that stands elsewhere in the member. */
MUST_USE enum status live_event_parse(struct live_ask *ask, const char *member, yyjson_val *value,
                                      struct live_event *ret_event, struct err *err);
MUST_USE enum status live_duration_parse(const char *member, yyjson_val *value, int64_t *ret_s,
                                         struct err *err);
/* One of `words` (NULL at the end); its index. */
MUST_USE enum status live_ask_word(struct live_ask *ask, const char *member,
                                   const char *const *words, int otherwise, int *ret_index,
                                   struct err *err);
MUST_USE enum status live_ask_number(struct live_ask *ask, const char *member, double least,
                                     double most, double otherwise, double *ret_v, struct err *err);
/* A property's column, closed with the question. ST_NOT_FOUND when no event (of this name) has it.
 */
MUST_USE enum status live_column(struct live_ask *ask, struct str event, struct str property,
                                 const struct timeline_column **ret_column, struct err *err);
/* "could not …: no event is called ordr", and what is near as the hint. */
enum status live_not_found(struct err *err, const char *what, struct near *near);
/* The window before this one, as long in the calendar (whole months, else days, else seconds). */
struct live_ask live_previous(const struct live_ask *ask);
/* The common part of the question: its time, before the view is open; then the rest of it; then
 * the end of what it opened. */
MUST_USE enum status live_ask_begin(struct live_ask *ask, struct err *err);
MUST_USE enum status live_ask_open(struct live_ask *ask, struct err *err);
void live_ask_close(struct live_ask *ask);
/* Every member of the question must be one that the common part or the report knows. */
MUST_USE enum status live_ask_known(struct live_ask *ask, const char *const *members,
                                    struct err *err);

/* --- the view (live_older.c) ------------------------------------------------------------------ */

void live_turns_init(struct live_turns *turns);
void live_turns_done(struct live_turns *turns);
/* The memory's, or one of the question's own out of the warehouse. Close it in any case. */
MUST_USE enum status live_view_open(struct live_ask *ask, live_reaches *reaches, struct err *err);
void live_view_close(struct live_ask *ask);
/* Calls `each` for everybody in ask->want: their last event of all, and how many lie in the window.
 * For a view of the question's own, which has neither. */
typedef void live_person_each(void *ctx, uint32_t slot, uint32_t last_seen, uint32_t events);
MUST_USE enum status live_older_people(struct live_ask *ask, live_person_each *each, void *ctx,
                                       struct err *err);

/* --- filters and breakdowns (live_filter.c, live_breakdown.c) --------------------------------- */

enum live_kind { LIVE_PROPERTY, LIVE_CHANNEL, LIVE_CAMPAIGN };
#define LIVE_ORIGINS 65536
/* Of an origin, a channel or a campaign as a code; its text; how many codes there are (0 = none).
 */
uint32_t live_origin_code(const struct live_ask *ask, enum live_kind kind, uint32_t origin);
struct str live_origin_text(const struct live_ask *ask, enum live_kind kind, uint32_t code);
uint32_t live_origin_codes(const struct live_ask *ask, enum live_kind kind);

/* How long a table by code must be. */
static inline uint32_t live_codes(const struct live_ask *ask)
{
    return ask->view->wide_codes ? 65536 : 256;
}
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
/* Is it the rest: all values without a number of their own? */
bool live_breakdown_is_rest(const struct live_ask *ask, uint32_t value);
/* "breakdown": the text, null for none; for the rest also "other": true and "values". Nothing
 * without a breakdown. */
void live_put_breakdown(const struct live_ask *ask, struct buf *json, uint32_t value);
MUST_USE enum status live_filters_parse(struct live_ask *ask, yyjson_val *where, struct str event,
                                        struct live_filter **ret_filters, size_t *ret_count,
                                        struct err *err);
MUST_USE enum status live_breakdown_parse(struct live_ask *ask, yyjson_val *by, struct err *err);
/* A number in `text`, whole. */
bool live_number(struct str text, double *ret_number);

/* --- time (live_time.c): IANA zones, borders of periods --------------------------------------- */

enum live_unit { LIVE_HOUR, LIVE_DAY, LIVE_WEEK, LIVE_MONTH };
/* Borders in seconds from the period that holds from_s to the one that holds to_s - 1, both ends
 * included: count + 1 borders, in the arena. ST_INVALID above LIVE_BORDERS_MAX. */
MUST_USE enum status live_borders(struct live_ask *ask, enum live_unit unit, uint32_t **ret_borders,
                                  size_t *ret_count, struct err *err);
/* Where the period that holds `time` begins. */
int64_t live_start_of(const struct live_ask *ask, enum live_unit unit, int64_t time);
/* Which period `time` lies in, from a guess (0 or the last answer). */
size_t live_period_of(const uint32_t *borders, size_t count, uint32_t time, size_t guess);
/* "from" and "to" as texts; empty = the last 30 days. */
MUST_USE enum status live_window_parse(struct live_ask *ask, struct str from, struct str to,
                                       struct err *err);
/* "2026-11-24", "2026-11-24T13:00" in the zone. */
void live_put_time(const struct live_ask *ask, struct buf *json, const char *member, uint32_t time,
                   enum live_unit unit);
/* "2026-11-24T13:00:05+08:00". */
#define LIVE_MOMENT_BYTES 64
void live_moment(const struct live_ask *ask, int64_t us, char ret_text[LIVE_MOMENT_BYTES]);

/* --- a pass (live_pass.c) --------------------------------------------------------------------- */

/* May it go on? ST_BUSY when it was cancelled, ST_TIMEOUT when its time is over, both with words.
 * For what takes long and is no pass. */
MUST_USE enum status live_goes_on(const struct live_ask *ask, struct err *err);
/* Calls `each` for every person (of `only`, if not NULL) with their run: whole, or with `wanted`
 * only the events whose code has a byte there, and only people who have one. `ctxs` has one context
 * per thread (live_threads), which the caller adds up. Runs hold events outside the window too.
 * ST_TIMEOUT, ST_BUSY (cancelled). */
typedef void live_each(const struct live_ask *ask, const struct timeline_run *run, void *ctx);
int live_threads(const struct live_ask *ask);
MUST_USE enum status live_pass(struct live_ask *ask, const struct timeline_set *only,
                               const uint8_t *wanted, live_each *each, void *ctxs, size_t ctx_size,
                               struct err *err);
/* The same, many people at a time; with origins only for a breakdown. */
typedef void live_each_batch(const struct live_ask *ask, const struct timeline_batch *batch,
                             void *ctx);
MUST_USE enum status live_pass_batches(struct live_ask *ask, const struct timeline_set *only,
                                       const uint8_t *wanted, live_each_batch *each, void *ctxs,
                                       size_t ctx_size, struct err *err);
/* The same over everybody, and the events of nobody as runs of person TIMELINE_NONE, in pieces. */
MUST_USE enum status live_pass_all(struct live_ask *ask, live_each *each, void *ctxs,
                                   size_t ctx_size, struct err *err);
/* The indices of the run's events inside the window: [*ret_first, *ret_end). */
void live_window(const struct live_ask *ask, const struct timeline_run *run, uint32_t *ret_first,
                 uint32_t *ret_end);

/* A sum of millionths as an exact decimal. */
void live_put_micros(struct buf *json, const char *member, __int128 micros);

/* --- cells (live_cell.c) ---------------------------------------------------------------------- */

/* "cell": a text that holds the question and these coordinates (`format` makes a JSON object). */
void live_put_cell(const struct live_ask *ask, struct buf *json, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* The same under another name, for rows with several counts: "new_cell". */
void live_put_cell_of(const struct live_ask *ask, struct buf *json, const char *member,
                      const char *format, ...) __attribute__((format(printf, 4, 5)));

/* The beginning of all cells of this question. */
void live_cell_prefix(struct live_ask *ask, struct str name);
/* What a cell's text holds: two documents that the caller frees. */
MUST_USE enum status live_cell_parse(struct str text, yyjson_doc **ret_question,
                                     yyjson_doc **ret_cell, struct err *err);
/* A coordinate: a whole number below `limit`. */
MUST_USE enum status live_cell_number(const struct live_ask *ask, const char *member,
                                      uint64_t limit, uint64_t *ret_number, struct err *err);

/* --- the reports, a file each ----------------------------------------------------------------- */

enum status live_trend(struct live_ask *ask, struct buf *json, struct err *err);
enum status live_lifecycle(struct live_ask *ask, struct buf *json, struct err *err);
enum status live_stickiness(struct live_ask *ask, struct buf *json, struct err *err);
enum status live_funnel(struct live_ask *ask, struct buf *json, struct err *err);
enum status live_sequence(struct live_ask *ask, struct buf *json, struct err *err);
enum status live_retention(struct live_ask *ask, struct buf *json, struct err *err);
/* A retention whose question has "conditions". */
enum status live_conditions(struct live_ask *ask, struct buf *json, struct err *err);
enum status live_paths(struct live_ask *ask, struct buf *json, struct err *err);
enum status live_cohort(struct live_ask *ask, struct buf *json, struct err *err);
enum status live_attribution(struct live_ask *ask, struct buf *json, struct err *err);
enum status live_rfm(struct live_ask *ask, struct buf *json, struct err *err);
enum status live_kmeans(struct live_ask *ask, struct buf *json, struct err *err);
enum status live_clv(struct live_ask *ask, struct buf *json, struct err *err);
enum status live_weekly(struct live_ask *ask, struct buf *json, struct err *err);

live_reaches live_trend_reach, live_lifecycle_reach, live_stickiness_reach, live_funnel_reach,
    live_retention_reach, live_sequence_reach, live_paths_reach, live_cohort_reach,
    live_attribution_reach, live_customers_reach, live_weekly_reach;
#endif
