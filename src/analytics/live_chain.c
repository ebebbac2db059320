/* live_chain.c - how far one person came in a live funnel.
 *
 * In order: as in funnel.c the newest chain of each length is kept, and an event makes the chain of
 * one step less longer. The newest chain of a length has both the latest start and the latest end,
 * so it is the one that lives longest under a window and under a limit between steps, and what
 * spoils it spoils every older one of its length: keeping one is exact. An event that is several
 * steps is taken as the highest first, so that it cannot follow itself; without `once` as the
 * lowest first. An event that spoils does so before it is a step.
 *
 * In any order: the most different steps in a window that begins at an event; two pointers. The
 * steps' times are those of the 1st, 2nd, … different step.
 *
 * Among chains of the same level the one with the newest start is taken, as windowFunnel does; a
 * complete one ends the search. */
#include "analytics/live_chain_int.h"

struct state {
    unsigned level;
    uint32_t alive; /* bit k: there is a chain of k + 1 steps */
    uint32_t start[LIVE_STEPS_MAX], end[LIVE_STEPS_MAX];
    uint32_t at[LIVE_STEPS_MAX][LIVE_STEPS_MAX]; /* [k][0 … k]: its events */
};

/* True: the last step was reached. */
static inline bool take(const struct live_chain *chain, struct state *state, unsigned k,
                        uint32_t time, uint32_t i)
{
    if (k == 0) {
        state->start[0] = state->end[0] = time;
        state->at[0][0] = i;
    } else {
        if ((state->alive >> (k - 1) & 1) == 0 || time - state->start[k - 1] > chain->window ||
            time - state->end[k - 1] > chain->gaps[k] ||
            ((chain->modes & FUNNEL_STRICT_INCREASE) != 0 && time == state->end[k - 1]))
            return false;
        state->start[k] = state->start[k - 1];
        state->end[k] = time;
        for (unsigned j = 0; j < k; j++)
            state->at[k][j] = state->at[k - 1][j];
        state->at[k][k] = i;
    }
    state->alive |= UINT32_C(1) << k;
    if (state->level < k + 1)
        state->level = k + 1;
    return k + 1 == chain->steps;
}

static bool take_event(const struct live_chain *chain, struct state *state,
                       const struct sequence_event *event, uint32_t i)
{
    uint32_t time = (uint32_t)event->time;
    for (uint32_t steps = event->steps; steps != 0;) {
        unsigned k =
            chain->once ? 31U - (unsigned)__builtin_clz(steps) : (unsigned)__builtin_ctz(steps);
        steps ^= UINT32_C(1) << k;
        if (take(chain, state, k, time, i))
            return true;
    }
    return false;
}

static void find_ordered(const struct live_chain *chain, const struct sequence_event *events,
                         const uint32_t *spoils, size_t count, struct live_way *way)
{
    /* Nothing is read before it is written: not cleared for each person. */
    struct state state __attribute__((uninitialized));
    state.level = 0;
    state.alive = 0;
    for (uint32_t i = 0; i < count; i++) {
        if (spoils != NULL)
            state.alive &= ~spoils[i];
        if (take_event(chain, &state, &events[i], i))
            break;
    }
    way->level = state.level;
    if (state.level == 0)
        return;
    way->first = state.at[state.level - 1][0];
    for (unsigned k = 0; k < state.level; k++)
        way->times[k] = (uint32_t)events[state.at[state.level - 1][k]].time;
}

/* The newest chain of a length. */
struct newest {
    uint64_t start;
    uint32_t first, last; /* events */
};

/* The same where no event is two steps and only the window limits: most questions. An event names
 * the one before it in its chain, so making a chain longer is a number to write and no list to
 * copy; and whether it is made longer is a mask and no branch: what people do next has no rule
 * that a processor could guess. Each value has chains of its own; `of` NULL: there is one value. */
static inline void find_plain(const struct live_chain *chain, const struct sequence_event *events,
                              const uint32_t *of, uint32_t values, size_t count, uint32_t *before,
                              struct live_way *way)
{
    struct newest newest[LIVE_CHAINS_PLAIN] __attribute__((uninitialized));
    uint32_t levels[LIVE_CHAINS_PLAIN] __attribute__((uninitialized));
    const unsigned steps = chain->steps, stride = steps + 1;
    const uint64_t window = chain->window;
    uint64_t best = 0; /* level, then the newest start */
    uint32_t value = 0;
    for (unsigned k = 0; k < values * stride; k++) /* no such chain: farther than any window */
        newest[k] = (struct newest){UINT64_MAX / 2, 0, 0};
    for (uint32_t v = 0; v < values; v++)
        levels[v] = 0;
    for (uint32_t i = 0; i < count && (of != NULL || levels[0] < steps); i++) {
        uint32_t v = of == NULL ? 0 : of[i];
        unsigned k = (unsigned)__builtin_ctz(events[i].steps);
        uint64_t time = (uint64_t)events[i].time;
        newest[v * stride].start = time;
        newest[v * stride].first = i;
        struct newest *from = &newest[v * stride + k], *to = from + 1;
        bool open = of == NULL || levels[v] < steps; /* a complete chain ends its value's search */
        uint32_t longer = -(uint32_t)((time - from->start <= window) & open);
        before[i] = from->last;
        to->start ^= (to->start ^ from->start) & (uint64_t)(int32_t)longer;
        to->first ^= (to->first ^ from->first) & longer;
        to->last ^= (to->last ^ i) & longer;
        unsigned reached = (k + 1) & longer;
        levels[v] = reached > levels[v] ? reached : levels[v];
    }
    for (uint32_t v = of != NULL; v < values; v++) {
        uint64_t way_of = (uint64_t)levels[v] << 32 | newest[v * stride + levels[v]].first;
        value = way_of > best ? v : value;
        best = way_of > best ? way_of : best;
    }
    way->level = (unsigned)(best >> 32);
    way->first = (uint32_t)best;
    for (uint32_t k = way->level, i = newest[value * stride + k].last; k-- > 0; i = before[i])
        way->times[k] = (uint32_t)events[i].time;
}

bool live_chain_find_of(const struct live_chain *chain, const struct sequence_event *events,
                        const uint32_t *of, uint32_t values, size_t count,
                        struct live_chain_scratch *scratch, struct live_way *ret_way)
{
    if (!chain->plain || (uint64_t)values * (chain->steps + 1) > LIVE_CHAINS_PLAIN)
        return false;
    find_plain(chain, events, of, values, count, scratch->before, ret_way);
    return true;
}

/* --- many people ------------------------------------------------------------------------------ */

/* As find_plain, without a beginning and an end for each person: times are counted from 2^33 times
 * the person's number, so that what was before is outside of any window by itself. `whole`: no
 * event is out of the report's time. */
static inline __attribute__((always_inline)) void
find_all(const struct live_chain *chain, const struct timeline_batch *batch, const uint8_t *step_of,
         bool whole, uint64_t first, uint64_t span, uint32_t *restrict before,
         struct live_top *tops)
{
    uint64_t starts[LIVE_STEPS_MAX + 1] = {0}, top = 0, own = 0;
    uint32_t lasts[LIVE_STEPS_MAX + 1] = {0};
    const uint64_t steps = chain->steps, window = chain->window, entry_end = chain->entry_end;
    const uint32_t *restrict times = batch->time;
    const uint16_t *restrict codes = batch->code;
    const uint8_t *restrict begins = batch->begins;
    struct live_top *restrict to = tops - 1;
    for (uint32_t i = 0, count = batch->count; i < count; i++) {
        uint64_t k = step_of[codes[i]], time = times[i], begin = begins[i];
        own += begin << 33;
        top &= begin - 1;
        to += begin;
        uint64_t at = own | time;
        starts[0] = at;
        uint64_t longer = at - starts[k] <= window;
        if (!whole)
            longer &= (time - first < span) & ((k != 0) | (time < entry_end));
        uint64_t mask = -longer;
        before[i] = lasts[k];
        starts[k + 1] ^= (starts[k + 1] ^ starts[k]) & mask;
        lasts[k + 1] ^= (lasts[k + 1] ^ i) & (uint32_t)mask;
        /* The farthest, of equals the last; of complete ones the first. */
        uint64_t complete = -(uint64_t)(k + 1 == steps);
        uint64_t rank = ((k + 1) << 32 | (uint32_t)(i ^ complete)) & mask;
        top = rank > top ? rank : top;
        *to = (struct live_top){(uint32_t)(top >> 32), (uint32_t)top};
    }
}

void live_chain_find_all(const struct live_chain *chain, const struct timeline_batch *batch,
                         const uint8_t *step_of, int64_t from, int64_t end, uint32_t *before,
                         struct live_top *tops)
{
    uint64_t span = end > from ? (uint64_t)(end - from) : 0, first = (uint64_t)from;
    uint32_t least = UINT32_MAX, most = 0;
    for (uint32_t i = 0; i < batch->count; i++) {
        least = batch->time[i] < least ? batch->time[i] : least;
        most = batch->time[i] > most ? batch->time[i] : most;
    }
    if (least >= from && most < end && most < chain->entry_end)
        find_all(chain, batch, step_of, true, first, span, before, tops);
    else
        find_all(chain, batch, step_of, false, first, span, before, tops);
    for (uint32_t i = 0; i < batch->people; i++)
        if (tops[i].level == chain->steps)
            tops[i].last = ~tops[i].last;
}

/* --- any order -------------------------------------------------------------------------------- */

static void steps_count(uint32_t steps, int by, uint32_t *counts, unsigned *ret_different)
{
    for (; steps != 0; steps &= steps - 1) {
        unsigned k = (unsigned)__builtin_ctz(steps);
        *ret_different += by > 0 && counts[k] == 0;
        counts[k] += (uint32_t)by;
        *ret_different -= by < 0 && counts[k] == 0;
    }
}

static void times_put(const struct live_chain *chain, const struct sequence_event *events,
                      size_t count, struct live_way *way)
{
    uint32_t seen = 0;
    unsigned level = 0;
    for (size_t i = way->first; i < count && level < way->level; i++) {
        if (events[i].time - events[way->first].time > chain->window)
            break;
        for (uint32_t new = events[i].steps & ~seen; new != 0; new &= new - 1)
            way->times[level++] = (uint32_t)events[i].time;
        seen |= events[i].steps;
    }
}

static void find_any_order(const struct live_chain *chain, const struct sequence_event *events,
                           size_t count, struct live_way *way)
{
    uint32_t counts[LIVE_STEPS_MAX] = {0};
    unsigned different = 0;
    size_t end = 0;
    way->level = 0;
    for (size_t i = 0; i < count && way->level < chain->steps; i++) {
        if (events[i].time >= chain->entry_end)
            break;
        for (; end < count && events[end].time - events[i].time <= chain->window; end++)
            steps_count(events[end].steps, 1, counts, &different);
        if (events[i].steps != 0 && different >= way->level) {
            way->level = different;
            way->first = (uint32_t)i;
        }
        steps_count(events[i].steps, -1, counts, &different);
    }
    times_put(chain, events, count, way);
}

/* --- the shared kernel ------------------------------------------------------------------------ */

static void find_kernel(const struct live_chain *chain, const struct sequence_event *events,
                        size_t count, struct funnel_scratch *scratch, struct live_way *way)
{
    struct funnel funnel = {.steps = chain->steps, .modes = chain->modes, .window = chain->window};
    int64_t times[SEQUENCE_STEPS_MAX] __attribute__((uninitialized));
    way->level = funnel_level(&funnel, events, count, scratch, times);
    for (unsigned k = 0; k < way->level; k++)
        way->times[k] = (uint32_t)times[k];
    for (size_t i = count; way->level > 0 && i-- > 0;)
        if (events[i].row == scratch->first_row) {
            way->first = (uint32_t)i;
            return;
        }
}

void live_chain_find(const struct live_chain *chain, const struct sequence_event *events,
                     const uint32_t *spoils, size_t count, struct live_chain_scratch *scratch,
                     struct live_way *ret_way)
{
    if (chain->plain)
        find_plain(chain, events, NULL, 1, count, scratch->before, ret_way);
    else if (chain->any_order)
        find_any_order(chain, events, count, ret_way);
    else if (chain->kernel)
        find_kernel(chain, events, count, &scratch->kernel, ret_way);
    else
        find_ordered(chain, events, spoils, count, ret_way);
}
