/* live_steps_int.h - events of a question as the steps of a run, for the kernels of sequence.h.
 *
 * A list of events becomes tables by code; a person's run in the window becomes the events that
 * are some step, in the person's order. Called by: live_sequence.c, live_conditions.c. */
#ifndef ANALYTICS_LIVE_STEPS_INT_H
#define ANALYTICS_LIVE_STEPS_INT_H

#include "analytics/live_int.h"

struct live_steps {
    size_t count;
    struct live_event *events;
    struct code_set set; /* their codes */
    bool all;            /* any event may be one of them */
    uint32_t filtered;   /* bit k: step k + 1 has conditions */
    uint32_t *bits;      /* [live_codes] by code: bit k = step k + 1 */
    uint8_t *wanted;     /* the same, for the pass; NULL = all */
};

/* One thread's. */
struct live_steps_reader {
    uint32_t *at;
    struct sequence_event *events;
    size_t capacity;
    uint32_t held; /* the steps that the last run has */
    bool has_any;  /* some event of it met the question's "where" */
};

MUST_USE enum status live_steps_parse(struct live_ask *ask, const char *member,
                                      struct live_steps *ret_steps, struct err *err);
/* Every event of a run is read, also those that are no step. */
void live_steps_take_all(struct live_steps *steps);

/* The run's events in the window that are a step: how many, in reader->events (`row` is the index
 * in the run). What no step wants is passed over 32 codes at a time. */
size_t live_steps_read(const struct live_ask *ask, const struct live_steps *steps,
                       const struct timeline_run *run, struct live_steps_reader *reader);
void live_steps_reader_done(struct live_steps_reader *reader);

/* "view", or "*". */
struct str live_step_name(const struct live_steps *steps, size_t step);

/* Whom to read when only people count who have all of these steps (bit k: step k + 1): with a rare
 * one among them those who have it. True = `set` is made, the caller ends it. */
bool live_steps_rare(const struct live_ask *ask, const struct live_steps *steps, uint32_t needed,
                     struct timeline_set *set);
#endif
