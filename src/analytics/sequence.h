/* sequence.h - questions to one person's events in their order: funnel and pattern.
 *
 * Pure kernels: one person's run in, a result or a sum out; nothing is allocated per person, no
 * clock, no file. The reports on files and on the timeline stand on them. Semantics are those of
 * ClickHouse's windowFunnel, sequenceMatch, sequenceCount and sequenceMatchEvents as its tests
 * 00222, 00632, 00823 and 01646 state them; what these leave open is said in each .c.
 *
 * A run is ordered by time; among equal times by arrival. Depends on: base. Called by: the reports
 * of analytics. Not for two threads at once with one scratch. */
#ifndef ANALYTICS_SEQUENCE_H
#define ANALYTICS_SEQUENCE_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "base/str.h"

#define SEQUENCE_STEPS_MAX 32 /* bits of a word; ClickHouse's limit too */

struct sequence_event {
    int64_t time;   /* any unit; windows have the same */
    uint32_t steps; /* bit k: step (or condition) k + 1 holds; none above the question's steps */
    uint32_t row;   /* where it came from; not read here */
};

/* --- funnel ----------------------------------------------------------------------------------- */

enum {
    FUNNEL_STRICT_ORDER = 1,         /* nothing else between the steps */
    FUNNEL_STRICT_DEDUPLICATION = 2, /* stops at a step that comes again */
    FUNNEL_STRICT_INCREASE = 4,      /* each step later than the one before */
    FUNNEL_STRICT_ONCE = 8,          /* one event counts for one step of a chain */
    FUNNEL_ALLOW_REENTRY = 16,       /* with STRICT_ORDER: step 1 may come again in between */
    FUNNEL_ARRAY_ORDER = 32          /* equal times: order of the array, else of the steps */
};

struct funnel {
    unsigned steps; /* 1 … SEQUENCE_STEPS_MAX */
    unsigned modes;
    int64_t window; /* the last step at most this long after the first, inclusive; >= 0 */
};

/* Working memory for one thread; no need to clear it. */
struct funnel_scratch {
    int64_t times[SEQUENCE_STEPS_MAX][SEQUENCE_STEPS_MAX];
    uint32_t candidates[SEQUENCE_STEPS_MAX][SEQUENCE_STEPS_MAX + 1];
    uint32_t first_row; /* result, with times: the row of the chain's first event */
};

/* "strict_order,allow_reentry" (also the old "strict"); ST_INVALID names the modes. */
MUST_USE enum status funnel_modes_parse(struct str text, unsigned *ret_modes, struct err *err);

/* The highest step reached, 0 = none. With `ret_times` (room for SEQUENCE_STEPS_MAX) the times of
 * steps 1 … level of the chain that reached it: the chain with the newest start. Events without a
 * step matter to FUNNEL_STRICT_ORDER only. */
unsigned funnel_level(const struct funnel *funnel, const struct sequence_event *events,
                      size_t count, struct funnel_scratch *scratch, int64_t *ret_times);

/* --- pattern ---------------------------------------------------------------------------------- */

#define SEQUENCE_ACTIONS_MAX 63 /* one bit of a word each, and one for the end */

enum sequence_action_kind {
    SEQUENCE_STEP, /* (?3) */
    SEQUENCE_ANY,  /* . */
    SEQUENCE_STAR, /* .* */
    /* (?t<=n) (?t<n) (?t>=n) (?t>n) (?t==n) */
    SEQUENCE_AT_MOST,
    SEQUENCE_BELOW,
    SEQUENCE_AT_LEAST,
    SEQUENCE_ABOVE,
    SEQUENCE_EQUAL
};

struct sequence_action {
    enum sequence_action_kind kind;
    int64_t value; /* of a step its index from 0; of a time condition the distance */
};

/* A pattern is found anywhere: its first action is a star. */
struct sequence_pattern {
    struct sequence_action actions[SEQUENCE_ACTIONS_MAX];
    size_t count;
    bool has_time;
    uint64_t stars;                       /* bit i: action i is a star */
    uint64_t accepts[SEQUENCE_STEPS_MAX]; /* [step] bit i: action i takes an event of this step */
    uint64_t anything;                    /* bit i: action i takes any event */
};

/* Grows to the longest run that it met: count × actions bits. */
struct sequence_scratch {
    uint64_t *bits;
    size_t words;
};

/* `unit` = what 1 in (?t<=1) is in the events' times. ST_INVALID with the position in the text. */
MUST_USE enum status sequence_pattern_parse(struct str text, unsigned steps, int64_t unit,
                                            struct sequence_pattern *ret_pattern, struct err *err);
void sequence_scratch_init(struct sequence_scratch *scratch);
void sequence_scratch_done(struct sequence_scratch *scratch);

/* All of these take events that have a step, and no others. Time: count × actions (× log steps
 * where it looks for a beginning), whatever the events are. */
bool sequence_match(const struct sequence_pattern *pattern, const struct sequence_event *events,
                    size_t count, struct sequence_scratch *scratch);
/* Matches that do not overlap. */
size_t sequence_count(const struct sequence_pattern *pattern, const struct sequence_event *events,
                      size_t count, struct sequence_scratch *scratch);
/* How many of the pattern's steps the longest beginning of a match takes; all of them is not yet a
 * match where something stands behind the last one. */
size_t sequence_reached(const struct sequence_pattern *pattern, const struct sequence_event *events,
                        size_t count, struct sequence_scratch *scratch);
/* Indices of the events that the pattern's steps took, of a match or else of the longest beginning
 * of one; room for SEQUENCE_ACTIONS_MAX. */
size_t sequence_match_events(const struct sequence_pattern *pattern,
                             const struct sequence_event *events, size_t count,
                             struct sequence_scratch *scratch, size_t *ret_at);
#endif
