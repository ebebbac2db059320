/* funnel.c - how far one person came: the highest step k for which step 1, …, step k happened in
 * this order, the last at most a window after the first.
 *
 * For every step the newest chain that ends there is kept: when its first event was and when its
 * last. An event of step k makes the chain of step k - 1 longer if the window allows it, and takes
 * the place of the older chain of step k. One pass, no way back: a newer start can only live
 * longer. With STRICT_INCREASE this is a rule and not only a short cut: the newest chain counts,
 * also where an older one would have allowed the next step (a@1 a@2 b@2 reaches step 1).
 *
 * An event that is several steps is taken as each, in the order of the steps. Equal times: the
 * events are taken step by step as well, so that neither the order of a file nor of its parts
 * matters (01646); FUNNEL_ARRAY_ORDER takes them as they stand.
 *
 * Where a strict mode stops:
 *   STRICT_ORDER at an event that is no step, and at a step whose predecessor has not been reached
 *     (once step 1 was); at step 1 after step 2, unless ALLOW_REENTRY: then it is a new start.
 *   STRICT_DEDUPLICATION at a step (but the first) that was reached before. ClickHouse then answers
 *     with the step of the event before, even if it was never reached (its issue 40263); here the
 *     answer is at most what was reached.
 *
 * STRICT_ONCE keeps more than one chain in mind: funnel_once.c.
 *
 * Invariant: the steps reached are 1 … level without a gap. */
#include "analytics/sequence_int.h"

#include "base/check.h"

struct state {
    const struct funnel *funnel;
    struct funnel_scratch *scratch; /* NULL = nobody asked for the times */
    unsigned reached;               /* steps 1 … reached */
    unsigned before;                /* the step of the entry before; 0 = an event that is no step */
    int64_t first[SEQUENCE_STEPS_MAX], last[SEQUENCE_STEPS_MAX]; /* of steps reached */
    uint32_t first_row[SEQUENCE_STEPS_MAX];
};

static void reach(struct state *state, unsigned k, int64_t first, uint32_t first_row, int64_t time)
{
    state->first[k] = first;
    state->first_row[k] = first_row;
    state->last[k] = time;
    if (state->scratch != NULL) {
        if (k > 0)
            memcpy(state->scratch->times[k], state->scratch->times[k - 1], k * sizeof time);
        state->scratch->times[k][k] = time;
    }
    if (state->reached < k + 1)
        state->reached = k + 1;
}

/* One event taken as step k + 1; true = the answer is state->reached. */
static bool take(struct state *state, unsigned k, const struct sequence_event *event)
{
    unsigned modes = state->funnel->modes, before = state->before;
    int64_t time = event->time;
    state->before = k + 1;
    if (k == 0) {
        if (state->reached > 1 &&
            (modes & (FUNNEL_STRICT_ORDER | FUNNEL_ALLOW_REENTRY)) == FUNNEL_STRICT_ORDER)
            return true;
        reach(state, 0, time, event->row, time);
        return state->funnel->steps == 1;
    }
    if (k < state->reached && (modes & FUNNEL_STRICT_DEDUPLICATION) != 0) {
        if (before < state->reached)
            state->reached = before;
        return true;
    }
    if (k > state->reached)
        return state->reached > 0 && (modes & FUNNEL_STRICT_ORDER) != 0;
    if (!funnel_within(state->first[k - 1], time, state->funnel->window) ||
        ((modes & FUNNEL_STRICT_INCREASE) != 0 && state->last[k - 1] >= time))
        return false;
    reach(state, k, state->first[k - 1], state->first_row[k - 1], time);
    return k + 1 == state->funnel->steps;
}

/* An event that is no step. */
static bool take_other(struct state *state)
{
    if ((state->funnel->modes & FUNNEL_STRICT_ORDER) == 0)
        return false;
    state->before = 0;
    return state->reached > 0;
}

static bool take_one(struct state *state, const struct sequence_event *event)
{
    uint32_t steps = event->steps;
    if (steps == 0)
        return take_other(state);
    for (; steps != 0; steps &= steps - 1)
        if (take(state, (unsigned)__builtin_ctz(steps), event))
            return true;
    return false;
}

/* Events of one time: those that are no step first, then step by step. */
static bool take_group(struct state *state, const struct sequence_event *events, size_t count)
{
    uint32_t steps = 0;
    for (size_t i = 0; i < count; i++) {
        steps |= events[i].steps;
        if (events[i].steps == 0 && take_other(state))
            return true;
    }
    for (; steps != 0; steps &= steps - 1) {
        unsigned k = (unsigned)__builtin_ctz(steps);
        for (size_t i = 0; i < count; i++)
            if ((events[i].steps >> k & 1) != 0 && take(state, k, &events[i]))
                return true;
    }
    return false;
}

unsigned funnel_level(const struct funnel *funnel, const struct sequence_event *events,
                      size_t count, struct funnel_scratch *scratch, int64_t *ret_times)
{
    CHECK(funnel->steps >= 1 && funnel->steps <= SEQUENCE_STEPS_MAX && funnel->window >= 0);
    if ((funnel->modes & FUNNEL_STRICT_ONCE) != 0)
        return funnel_once_level(funnel, events, count, scratch, ret_times);
    /* first and last are written before they are read, so they are not cleared for each person. */
    struct state state __attribute__((uninitialized));
    state.funnel = funnel;
    state.scratch = ret_times == NULL ? NULL : scratch;
    state.reached = 0;
    state.before = 0;
    bool done = false;
    for (size_t i = 0; !done && i < count;) {
        size_t end = funnel_group_end(funnel, events, count, i);
        done =
            end == i + 1 ? take_one(&state, &events[i]) : take_group(&state, events + i, end - i);
        i = end;
    }
    if (ret_times != NULL && state.reached > 0) {
        memcpy(ret_times, scratch->times[state.reached - 1], state.reached * sizeof *ret_times);
        scratch->first_row = state.first_row[state.reached - 1];
    }
    return state.reached;
}

enum status funnel_modes_parse(struct str text, unsigned *ret_modes, struct err *err)
{
    static const struct {
        const char *name;
        unsigned mode;
    } names[] = {
        {"strict_order", FUNNEL_STRICT_ORDER},
        {"strict_deduplication", FUNNEL_STRICT_DEDUPLICATION},
        {"strict", FUNNEL_STRICT_DEDUPLICATION},
        {"strict_increase", FUNNEL_STRICT_INCREASE},
        {"strict_once", FUNNEL_STRICT_ONCE},
        {"allow_reentry", FUNNEL_ALLOW_REENTRY},
    };
    unsigned modes = 0;
    while (text.n > 0) {
        const char *comma = memchr(text.p, ',', text.n);
        size_t n = comma == NULL ? text.n : (size_t)(comma - text.p), i = 0;
        struct str word = str_trim((struct str){text.p, n});
        while (i < sizeof names / sizeof names[0] && !str_is(word, names[i].name))
            i++;
        if (i == sizeof names / sizeof names[0]) {
            err_set(err, ST_INVALID, "unknown funnel mode: " STR_FMT, STR_ARG(word));
            return err_hint(err, ST_INVALID,
                            "modes: strict_order, strict_deduplication, strict_increase, "
                            "strict_once, allow_reentry");
        }
        modes |= names[i].mode;
        n += comma != NULL;
        text = (struct str){text.p + n, text.n - n};
    }
    if ((modes & FUNNEL_ALLOW_REENTRY) != 0 && (modes & FUNNEL_STRICT_ORDER) == 0)
        return err_set(err, ST_INVALID, "allow_reentry needs strict_order");
    *ret_modes = modes;
    return ST_OK;
}
