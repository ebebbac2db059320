/* funnel_once.c - the funnel in which one event counts for one step of a chain only.
 *
 * "failure, failure, success" needs two failures. One newest chain per step (funnel.c) would not
 * do: it may hold the very event that comes again as the next step. But an event can only come
 * again at its own time, so chains that ended EARLIER are kept by their newest start alone, and
 * only events of one time have to be told apart. For them: a chain of step j that ended earlier
 * grows to step k within the group if steps j + 1 … k can each have an event of their own, a
 * matching of steps to events (augmenting paths; a step needs at most as many candidates as there
 * are steps, so a group of any size costs the same). Chains of fewer steps have newer starts, so
 * the first j that works is the best. Not exponential, unlike the list of all chains.
 *
 * STRICT_INCREASE: nothing grows within one time. The stops are those of funnel.c.
 *
 * Invariant: first[k] never grows with k: the beginning of a chain is a chain. */
#include "analytics/sequence_int.h"

#define NONE UINT32_MAX

/* A step that was reached in the group: from which earlier chain. */
struct gain {
    bool is_new;
    unsigned from; /* steps of the earlier chain; 0 = starts in the group */
};

struct once {
    const struct funnel *funnel;
    struct funnel_scratch *scratch;
    bool wants_times;
    bool alone;       /* the group has one event */
    unsigned reached; /* steps 1 … reached, the group's included */
    unsigned earlier; /* the same before the group */
    unsigned before;  /* the step of the entry before */
    int64_t first[SEQUENCE_STEPS_MAX];
    uint32_t first_row[SEQUENCE_STEPS_MAX];
    uint32_t start_row; /* the group's newest step 1 */
    struct gain gains[SEQUENCE_STEPS_MAX];
    unsigned counts[SEQUENCE_STEPS_MAX]; /* candidates of the group, at most steps + 1 */
};

/* --- a matching of steps to events of one time ------------------------------------------------ */

struct matching {
    const struct once *once;
    uint32_t event_of[SEQUENCE_STEPS_MAX]; /* what each step has taken, or NONE */
};

/* The step that has taken the event, or -1. */
static int holder(const struct matching *matching, unsigned low, unsigned high, uint32_t event)
{
    for (unsigned k = low; k < high; k++)
        if (matching->event_of[k] == event)
            return (int)k;
    return -1;
}

/* Give `step` an event, moving others (of steps low … high - 1) if need be; breadth first. */
static bool augment(struct matching *matching, unsigned low, unsigned high, unsigned step,
                    uint32_t taken)
{
    const struct once *once = matching->once;
    unsigned queue[SEQUENCE_STEPS_MAX], head = 0, tail = 0;
    int parent[SEQUENCE_STEPS_MAX]; /* the step that wants this step's event */
    uint32_t seen = UINT32_C(1) << step;
    queue[tail++] = step;
    parent[step] = -1;
    while (head < tail) {
        unsigned at = queue[head++];
        for (unsigned c = 0; c < once->counts[at]; c++) {
            uint32_t event = once->scratch->candidates[at][c];
            int other = event == taken ? (int)at : holder(matching, low, high, event);
            if (other < 0) { /* free: pass the events along the path */
                for (int k = (int)at; k >= 0; k = parent[k]) {
                    uint32_t old = matching->event_of[k];
                    matching->event_of[k] = event;
                    event = old;
                }
                return true;
            }
            if ((seen >> other & 1) == 0) {
                seen |= UINT32_C(1) << other;
                parent[other] = (int)at;
                queue[tail++] = (unsigned)other;
            }
        }
    }
    return false;
}

/* Can steps low … high - 1 each have an event of their own, none of them `taken`? */
static bool can_match(const struct once *once, unsigned low, unsigned high, uint32_t taken)
{
    struct matching matching = {.once = once};
    for (unsigned k = low; k < high; k++)
        matching.event_of[k] = NONE;
    for (unsigned k = low; k < high; k++)
        if (!augment(&matching, low, high, k, taken))
            return false;
    return true;
}

/* --- entries ---------------------------------------------------------------------------------- */

/* The event as step k + 1 of the longest-lived chain that can have it. */
static void grow(struct once *once, unsigned k, uint32_t event, int64_t time)
{
    bool is_long = once->alone || (once->funnel->modes & FUNNEL_STRICT_INCREASE) != 0;
    unsigned from = is_long ? k : 0; /* else events of the group may be steps in between */
    unsigned end = once->gains[k].is_new ? once->gains[k].from : k + 1; /* only what is better */
    for (; from < end; from++) {
        if (from > once->earlier)
            return;
        if (from > 0 && !funnel_within(once->first[from - 1], time, once->funnel->window))
            return; /* chains of more steps began even earlier */
        if (can_match(once, from, k, event)) {
            once->gains[k] = (struct gain){true, from};
            if (once->reached < k + 1)
                once->reached = k + 1;
            return;
        }
    }
}

/* One event taken as step k + 1; true = the answer is once->reached. The stops: funnel.c. */
static bool take(struct once *once, unsigned k, uint32_t event, const struct sequence_event *entry)
{
    unsigned modes = once->funnel->modes, before = once->before;
    once->before = k + 1;
    if (k == 0) {
        if (once->reached > 1 &&
            (modes & (FUNNEL_STRICT_ORDER | FUNNEL_ALLOW_REENTRY)) == FUNNEL_STRICT_ORDER)
            return true;
        once->gains[0] = (struct gain){true, 0};
        once->start_row = entry->row;
        if (once->reached < 1)
            once->reached = 1;
        return once->funnel->steps == 1;
    }
    if (k < once->reached && (modes & FUNNEL_STRICT_DEDUPLICATION) != 0) {
        if (before < once->reached)
            once->reached = before;
        return true;
    }
    if (k > once->reached)
        return once->reached > 0 && (modes & FUNNEL_STRICT_ORDER) != 0;
    if (event != NONE)
        grow(once, k, event, entry->time);
    return once->reached == once->funnel->steps;
}

/* What the group has reached becomes what was reached earlier. */
static void settle(struct once *once, int64_t time)
{
    for (unsigned k = once->reached; k-- > 0;) { /* from above: chains grow from shorter ones */
        unsigned from = once->gains[k].from;
        if (!once->gains[k].is_new)
            continue;
        once->gains[k].is_new = false;
        once->first[k] = from == 0 ? time : once->first[from - 1];
        once->first_row[k] = from == 0 ? once->start_row : once->first_row[from - 1];
        if (!once->wants_times)
            continue;
        if (from > 0)
            memcpy(once->scratch->times[k], once->scratch->times[from - 1], from * sizeof time);
        for (unsigned j = from; j <= k; j++)
            once->scratch->times[k][j] = time;
    }
    once->earlier = once->reached;
}

static bool take_group(struct once *once, const struct sequence_event *events, size_t count)
{
    uint32_t steps = 0;
    memset(once->counts, 0, once->funnel->steps * sizeof once->counts[0]);
    for (size_t i = 0; i < count; i++) {
        steps |= events[i].steps;
        if (events[i].steps == 0 && (once->funnel->modes & FUNNEL_STRICT_ORDER) != 0) {
            once->before = 0;
            if (once->reached > 0)
                return true;
        }
        for (uint32_t bits = events[i].steps; bits != 0; bits &= bits - 1) {
            unsigned k = (unsigned)__builtin_ctz(bits);
            if (once->counts[k] <= once->funnel->steps)
                once->scratch->candidates[k][once->counts[k]++] = (uint32_t)i;
        }
    }
    for (; steps != 0; steps &= steps - 1) {
        unsigned k = (unsigned)__builtin_ctz(steps), seen = 0;
        for (size_t i = 0; i < count; i++) {
            if ((events[i].steps >> k & 1) == 0)
                continue;
            bool is_candidate = seen++ < once->counts[k];
            if (take(once, k, is_candidate ? (uint32_t)i : NONE, &events[i]))
                return true;
        }
    }
    return false;
}

unsigned funnel_once_level(const struct funnel *funnel, const struct sequence_event *events,
                           size_t count, struct funnel_scratch *scratch, int64_t *ret_times)
{
    struct once once = {.funnel = funnel, .scratch = scratch, .wants_times = ret_times != NULL};
    for (size_t i = 0, end; i < count; i = end) {
        end = funnel_group_end(funnel, events, count, i);
        once.alone = end == i + 1;
        bool done = take_group(&once, events + i, end - i);
        bool is_time_over = end == count || events[end].time != events[i].time;
        if (done || is_time_over || (funnel->modes & FUNNEL_STRICT_INCREASE) == 0)
            settle(&once, events[i].time);
        if (done)
            break;
    }
    if (ret_times != NULL && once.reached > 0) {
        memcpy(ret_times, scratch->times[once.reached - 1], once.reached * sizeof *ret_times);
        scratch->first_row = once.first_row[once.reached - 1];
    }
    return once.reached;
}
