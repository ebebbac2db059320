/* attribution_markov.c - removal effects of a Markov chain of any order, solved exactly.
 *
 * The model. A state is the window of the last k channels, sliding by one touch; a path shorter
 * than k is one short state; equal states in a row are one visit. A path weighs conversions +
 * nulls. From its last state it goes to conversion or null. The removal effect of channel c is the
 * share of conversions that is lost when every state containing c leads to null: 1 - P'(conv) /
 * P(conv). With value the same, a state's conversions being worth their mean value. Credit: removal
 * effects, scaled to all conversions (all value).
 *
 * The solution walks backwards. A count of paths is conserved: what enters a state leaves it, so
 * the expected visits of the chain are the counts themselves, N(s). Hence the share of visits of s
 * whose past contains a state with c, t(s), is 1 for those states and otherwise the mean over the
 * states before s, weighted by the transitions counted:
 *
 *     t(s) = sum over p of n(p → s) t(p) / N(s),   t(start) = 0
 *     removal effect = sum conv(s) t(s) / sum conv(s),   of value = sum value(s) t(s) / sum
 * value(s)
 *
 * One system per channel gives both figures; all terms are positive, so a channel met once in a
 * million journeys keeps its digits (1 - P'/P would lose them). Solved by Gauss-Seidel in order of
 * first appearance, which runs along the paths, for LANES channels at once. Long paths have a slow
 * mode: after some sweeps all that changes is one pattern that shrinks by a hair each time. So
 * every STRIDE sweeps the last change is continued as far as conservation asks: touched visits that
 * enter the unknown states (from states with c) must leave them (to the end or to c). What no
 * longer changes is not moved by this.
 *
 * Chains that still do not settle (several groups of channels, each with paths of 100,000 touches)
 * are small ones: those are eliminated state by state, without a subtraction (Grassmann, Taksar and
 * Heyman 1985), so that the digits stay.
 *
 * The bound. If a sweep changed t by d, the touched conversions are off by at most sum N(s) |d(s)|:
 * a residual at s is felt by at most the N(s) journeys that pass. A lane is done when this is below
 * TOLERANCE of its result, or below what rounding leaves.
 *
 * Why not sparse LU? A channel's removal is another matrix each time and order 4 fills in; the
 * sweeps need 30 times the transitions and no fill.
 *
 * Invariants, in tests: P(conv) and E[value] are the same at every order; 10,000 channels and a
 * path of a million touches end. */
#include "analytics/attribution_int.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/map.h"

#define LANES 8
#define TOLERANCE 1e-13
#define FACTOR_MAX 1e9
#define REFUSED 1e-6
#define STRIDE 8u      /* of 2, 3, 4, 5, 6, 8 the best on sparse and on dense chains */
#define PATIENCE 2000u /* sweeps before a small chain is eliminated */
#define ELIMINATED_MAX ((size_t)512) /* states: 2 MB, 0.05 s a channel */
#define SWEEPS_MAX 100000u
#define WORK_MAX 2e11 /* transitions × lanes × sweeps: about two minutes */

struct state {
    attribution_window window;
    double visits, starts, ends, conversions, value; /* N(s); ends = conversions + nulls */
};

struct step {
    uint32_t from, to;
    double weight;
};

struct chain {
    struct attribution_packing packing;
    uint32_t channels;
    struct map state_map, step_map;
    struct state *states;
    struct step *steps;
    size_t states_count, states_capacity, steps_count, steps_capacity;
    double conversions, value;
    /* After sorting: the steps into state s are those from into[s] on. */
    uint32_t *into;
};

/* --- counting --------------------------------------------------------------------------------- */

enum status attribution_packing_init(uint32_t channels_count, unsigned order,
                                     struct attribution_packing *ret_packing, struct err *err)
{
    unsigned bits = 1;
    CHECK(order >= 1);
    while (channels_count >> bits != 0)
        bits++;
    if (order > ATTRIBUTION_ORDER_MAX || order * bits > 127)
        return err_set(err, ST_TOO_LARGE,
                       "could not use order %u: with %u channels the highest is %u", order,
                       channels_count,
                       127 / bits < ATTRIBUTION_ORDER_MAX ? 127 / bits : ATTRIBUTION_ORDER_MAX);
    *ret_packing = (struct attribution_packing){
        .bits = bits,
        .order = order,
        .mask = ((attribution_window)1 << (order * bits)) - 1,
    };
    return ST_OK;
}

static uint32_t state_of(struct chain *chain, attribution_window window)
{
    bool fresh;
    uint64_t *place = map_put(&chain->state_map, attribution_window_key(window), &fresh);
    if (!fresh)
        return (uint32_t)*place;
    if (chain->states_count == chain->states_capacity) {
        chain->states_capacity = chain->states_capacity == 0 ? 256 : chain->states_capacity * 2;
        chain->states = mem_grow(chain->states, chain->states_capacity * sizeof *chain->states);
    }
    *place = chain->states_count;
    chain->states[chain->states_count] = (struct state){.window = window};
    return (uint32_t)chain->states_count++;
}

/* The step that `channel` makes from `from`: the window after it is known by these two. */
static struct step *step_of(struct chain *chain, uint32_t from, uint32_t channel)
{
    bool fresh;
    uint64_t key = (uint64_t)from * chain->channels + channel;
    uint64_t *place = map_put(&chain->step_map, map_key_u64(key), &fresh);
    if (!fresh)
        return &chain->steps[*place];
    if (chain->steps_count == chain->steps_capacity) {
        chain->steps_capacity = chain->steps_capacity == 0 ? 256 : chain->steps_capacity * 2;
        chain->steps = mem_grow(chain->steps, chain->steps_capacity * sizeof *chain->steps);
    }
    *place = chain->steps_count;
    attribution_window window =
        attribution_push(&chain->packing, chain->states[from].window, channel);
    uint32_t to = state_of(chain, window);
    chain->steps[chain->steps_count] = (struct step){.from = from, .to = to};
    return &chain->steps[chain->steps_count++];
}

/* False when the chain would become larger than the limit. */
static bool chain_path(struct chain *chain, const struct attribution_paths *paths, size_t path)
{
    uint64_t at = paths->starts[path], end = paths->starts[path + 1];
    double conversions = paths->conversions[path];
    double weight = conversions + (paths->nulls == NULL ? 0 : paths->nulls[path]);
    attribution_window window = 0;
    if (at == end || weight <= 0)
        return true;
    for (unsigned k = 0; k < chain->packing.order && at < end; k++)
        window = attribution_push(&chain->packing, window, paths->touches[at++]);
    uint32_t state = state_of(chain, window);
    chain->states[state].visits += weight;
    chain->states[state].starts += weight;
    for (; at < end; at++) {
        struct step *step = step_of(chain, state, paths->touches[at]);
        if (step->to == state) /* k times the same channel and once more: no new visit */
            continue;
        step->weight += weight;
        state = step->to;
        chain->states[state].visits += weight;
        if (chain->steps_count > ATTRIBUTION_TRANSITIONS_MAX)
            return false;
    }
    chain->states[state].ends += weight;
    chain->states[state].conversions += conversions;
    chain->states[state].value += attribution_value(paths, path);
    chain->conversions += conversions;
    chain->value += attribution_value(paths, path);
    return chain->states_count <= ATTRIBUTION_TRANSITIONS_MAX;
}

static enum status chain_count(struct chain *chain, const struct attribution_paths *paths,
                               struct err *err)
{
    for (size_t path = 0; path < paths->paths_count; path++) {
        if (chain_path(chain, paths, path))
            continue;
        err_set(err, ST_TOO_LARGE, "could not use order %u: more than %zu transitions in %zu paths",
                chain->packing.order, ATTRIBUTION_TRANSITIONS_MAX, path + 1);
        return err_hint(err, ST_TOO_LARGE, "use a lower order or group rare channels");
    }
    return ST_OK;
}

/* Steps by state entered, their weights divided by its visits: the means of the system. */
static void chain_sort(struct chain *chain)
{
    struct step *sorted = mem_alloc((chain->steps_count + 1) * sizeof *sorted);
    chain->into = mem_zero((chain->states_count + 2) * sizeof *chain->into);
    uint32_t *next = chain->into + 1; /* where s goes on; in the end where s + 1 begins */
    for (size_t i = 0; i < chain->steps_count; i++)
        if (chain->steps[i].weight > 0)
            next[chain->steps[i].to + 1]++;
    for (size_t s = 1; s <= chain->states_count; s++)
        next[s] += next[s - 1];
    for (size_t i = 0; i < chain->steps_count; i++) {
        struct step step = chain->steps[i];
        if (step.weight <= 0)
            continue;
        step.weight /= chain->states[step.to].visits;
        sorted[next[step.to]++] = step;
    }
    free(chain->steps);
    chain->steps = sorted;
}

static void chain_done(struct chain *chain)
{
    map_done(&chain->state_map);
    map_done(&chain->step_map);
    free(chain->states);
    free(chain->steps);
    free(chain->into);
}

/* --- solving ---------------------------------------------------------------------------------- */

/* LANES systems at once: those of the channels first … first + LANES - 1. */
struct batch {
    const struct chain *chain;
    uint32_t first;
    unsigned char *holds;     /* per state: a bit for each lane whose channel the state contains */
    double *touched, *before; /* t(s), × LANES: now, and before the last sweep of a stride */
    double *leaves;        /* per state, × LANES: what leaves the unknowns, to the end or to c */
    double enters[LANES];  /* what enters the unknowns from states with c */
    double changed[LANES]; /* the last sweep's bound, see above */
    double visits[LANES], conversions[LANES], value[LANES]; /* touched, of the last sweep */
};

static void batch_holds(struct batch *batch)
{
    const struct chain *chain = batch->chain;
    attribution_window one = ((attribution_window)1 << chain->packing.bits) - 1;
    for (size_t s = 0; s < chain->states_count; s++) {
        unsigned holds = 0;
        for (attribution_window w = chain->states[s].window; w != 0; w >>= chain->packing.bits) {
            uint32_t lane = (uint32_t)(w & one) - 1 - batch->first;
            if (lane < LANES)
                holds |= 1u << lane;
        }
        batch->holds[s] = (unsigned char)holds;
    }
}

static void batch_begin(struct batch *batch)
{
    const struct chain *chain = batch->chain;
    batch_holds(batch);
    memset(batch->enters, 0, sizeof batch->enters);
    for (size_t s = 0; s < chain->states_count; s++) {
        for (unsigned l = 0; l < LANES; l++) {
            bool holds = (batch->holds[s] >> l & 1) != 0;
            batch->touched[s * LANES + l] = holds ? 1 : 0;
            batch->leaves[s * LANES + l] = holds ? 0 : chain->states[s].ends;
        }
    }
    for (size_t s = 0; s < chain->states_count; s++) {
        for (uint32_t i = chain->into[s]; i < chain->into[s + 1]; i++) {
            uint32_t from = chain->steps[i].from;
            double weight = chain->steps[i].weight * chain->states[s].visits;
            unsigned enters = (unsigned)batch->holds[from] & ~(unsigned)batch->holds[s];
            unsigned leaves = (unsigned)batch->holds[s] & ~(unsigned)batch->holds[from];
            for (unsigned l = 0; (enters | leaves) != 0 && l < LANES; l++) {
                batch->enters[l] += (enters >> l & 1) != 0 ? weight : 0;
                batch->leaves[(size_t)from * LANES + l] += (leaves >> l & 1) != 0 ? weight : 0;
            }
        }
    }
}

static void sweep_state(struct batch *batch, size_t s)
{
    const struct chain *chain = batch->chain;
    const struct state *state = &chain->states[s];
    double *touched = &batch->touched[s * LANES], mean[LANES] = {0};
    for (uint32_t i = chain->into[s]; i < chain->into[s + 1]; i++) {
        const double *before = &batch->touched[(size_t)chain->steps[i].from * LANES];
        double weight = chain->steps[i].weight;
        for (unsigned l = 0; l < LANES; l++)
            mean[l] += weight * before[l];
    }
    for (unsigned l = 0; batch->holds[s] != 0 && l < LANES; l++)
        if ((batch->holds[s] >> l & 1) != 0)
            mean[l] = 1;
    for (unsigned l = 0; l < LANES; l++) {
        batch->changed[l] += state->visits * fabs(mean[l] - touched[l]);
        batch->visits[l] += state->visits * mean[l];
        batch->conversions[l] += state->conversions * mean[l];
        batch->value[l] += state->value * mean[l];
        touched[l] = mean[l];
    }
}

static void sweep(struct batch *batch)
{
    memset(batch->changed, 0, sizeof batch->changed);
    memset(batch->visits, 0, sizeof batch->visits);
    memset(batch->conversions, 0, sizeof batch->conversions);
    memset(batch->value, 0, sizeof batch->value);
    for (size_t s = 0; s < batch->chain->states_count; s++)
        sweep_state(batch, s);
}

/* The last sweep's bound is small beside the result, or nothing but rounding is left. */
static bool lane_is_done(const struct batch *batch, unsigned l)
{
    const struct chain *chain = batch->chain;
    double result = batch->conversions[l];
    if (chain->value > 0)
        result = fmin(result, batch->value[l] / chain->value * chain->conversions);
    return batch->changed[l] <= TOLERANCE * result ||
           batch->changed[l] <= 2 * DBL_EPSILON * batch->visits[l];
}

static bool batch_is_done(const struct batch *batch)
{
    for (unsigned l = 0; l < LANES; l++)
        if (!lane_is_done(batch, l))
            return false;
    return true;
}

/* Continue the last change until what enters the unknown states leaves them. */
static void conserve(struct batch *batch)
{
    size_t count = batch->chain->states_count * LANES;
    double left[LANES] = {0}, more[LANES] = {0}, factor[LANES];
    for (size_t i = 0; i < count; i++) {
        left[i % LANES] += batch->leaves[i] * batch->touched[i];
        more[i % LANES] += batch->leaves[i] * (batch->touched[i] - batch->before[i]);
    }
    for (unsigned l = 0; l < LANES; l++) {
        factor[l] = (batch->enters[l] - left[l]) / more[l];
        if (!(factor[l] > 0 && factor[l] < FACTOR_MAX) || lane_is_done(batch, l))
            factor[l] = 0;
    }
    for (size_t i = 0; i < count; i++)
        batch->touched[i] += factor[i % LANES] * (batch->touched[i] - batch->before[i]);
}

/* --- elimination ------------------------------------------------------------------------------ */

/* One lane's unknown states: before[i * count + j] the share of i's visits that come from j,
 * touched[i] the share that comes from states with c, start[i] from nowhere. */
struct unknowns {
    size_t count;
    size_t *states;
    double *before, *touched, *start;
};

static void unknowns_fill(const struct batch *batch, unsigned l, struct unknowns *unknowns)
{
    const struct chain *chain = batch->chain;
    size_t *place = mem_alloc((chain->states_count + 1) * sizeof *place);
    unknowns->count = 0;
    for (size_t s = 0; s < chain->states_count; s++)
        if ((batch->holds[s] >> l & 1) == 0) {
            place[s] = unknowns->count;
            unknowns->states[unknowns->count++] = s;
        }
    for (size_t i = 0; i < unknowns->count; i++) {
        size_t s = unknowns->states[i];
        for (size_t j = 0; j < unknowns->count; j++)
            unknowns->before[i * unknowns->count + j] = 0;
        unknowns->touched[i] = 0;
        unknowns->start[i] = chain->states[s].starts / chain->states[s].visits;
        for (uint32_t k = chain->into[s]; k < chain->into[s + 1]; k++) {
            const struct step *step = &chain->steps[k];
            if ((batch->holds[step->from] >> l & 1) != 0)
                unknowns->touched[i] += step->weight;
            else
                unknowns->before[i * unknowns->count + place[step->from]] += step->weight;
        }
    }
    free(place);
}

/* What of the visits of unknown n does not come from itself, once those after n are eliminated. */
static double unknowns_rest(const struct unknowns *unknowns, size_t n)
{
    double rest = unknowns->touched[n] + unknowns->start[n];
    for (size_t j = 0; j < n; j++)
        rest += unknowns->before[n * unknowns->count + j];
    return rest;
}

/* Afterwards touched[i] is t of the i-th unknown. */
static void unknowns_solve(struct unknowns *unknowns)
{
    size_t count = unknowns->count;
    for (size_t n = count; n-- > 1;) {
        const double *row = &unknowns->before[n * count];
        double rest = unknowns_rest(unknowns, n);
        for (size_t i = 0; i < n; i++) {
            double *to = &unknowns->before[i * count];
            double factor = rest > 0 ? to[n] / rest : 0;
            for (size_t j = 0; factor > 0 && j < n; j++)
                to[j] += factor * row[j];
            unknowns->touched[i] += factor * unknowns->touched[n];
            unknowns->start[i] += factor * unknowns->start[n];
        }
    }
    for (size_t n = 0; n < count; n++) {
        double rest = unknowns_rest(unknowns, n);
        for (size_t j = 0; j < n; j++)
            unknowns->touched[n] += unknowns->before[n * count + j] * unknowns->touched[j];
        unknowns->touched[n] = rest > 0 ? unknowns->touched[n] / rest : 0;
    }
}

static void lane_eliminate(struct batch *batch, unsigned l)
{
    const struct chain *chain = batch->chain;
    size_t n = chain->states_count;
    struct unknowns unknowns = {.states = mem_alloc(n * sizeof *unknowns.states),
                                .before = mem_alloc(n * n * sizeof *unknowns.before),
                                .touched = mem_alloc(n * sizeof *unknowns.touched),
                                .start = mem_alloc(n * sizeof *unknowns.start)};
    unknowns_fill(batch, l, &unknowns);
    unknowns_solve(&unknowns);
    for (size_t i = 0; i < unknowns.count; i++)
        batch->touched[unknowns.states[i] * LANES + l] = unknowns.touched[i];
    batch->conversions[l] = batch->value[l] = 0;
    for (size_t s = 0; s < n; s++) {
        batch->conversions[l] += chain->states[s].conversions * batch->touched[s * LANES + l];
        batch->value[l] += chain->states[s].value * batch->touched[s * LANES + l];
    }
    batch->changed[l] = (double)n * DBL_EPSILON * batch->conversions[l]; /* rounding's share */
    free(unknowns.states);
    free(unknowns.before);
    free(unknowns.touched);
    free(unknowns.start);
}

/* --- channel after channel -------------------------------------------------------------------- */

/* Returns the transitions worked. */
static double batch_solve(struct batch *batch, double work_max)
{
    size_t states = batch->chain->states_count;
    double work = 0;
    batch_begin(batch);
    for (unsigned i = 1; i <= SWEEPS_MAX && work < work_max; i++) {
        bool last = i % STRIDE == 0;
        if (last)
            memcpy(batch->before, batch->touched, states * LANES * sizeof *batch->before);
        sweep(batch);
        work += (double)(batch->chain->steps_count + states) * LANES;
        if (batch_is_done(batch))
            break;
        if (i == PATIENCE && states <= ELIMINATED_MAX) {
            for (unsigned l = 0; l < LANES; l++)
                if (!lane_is_done(batch, l))
                    lane_eliminate(batch, l);
            break;
        }
        if (last)
            conserve(batch);
    }
    return work;
}

static void batch_take(const struct batch *batch, struct attribution_credit *credit)
{
    const struct chain *chain = batch->chain;
    for (uint32_t l = 0; l < LANES && batch->first + l < chain->channels; l++) {
        uint32_t c = batch->first + l;
        double conversions = batch->conversions[l], bound = batch->changed[l];
        if (chain->conversions > 0)
            credit->removal_conversions[c] = conversions / chain->conversions;
        if (chain->value > 0)
            credit->removal_values[c] = batch->value[l] / chain->value;
        if (bound > 0 && bound > credit->error_max * conversions)
            credit->error_max = conversions > 0 ? bound / conversions : bound;
    }
}

/* False when the work allowed would not do: seen after the first channels, not after all. */
static bool solve_all(const struct chain *chain, struct attribution_credit *credit)
{
    struct batch batch = {.chain = chain};
    double work = 0, batches = (double)(chain->channels / LANES + 1);
    bool enough = true;
    batch.holds = mem_alloc(chain->states_count + 1);
    batch.touched = mem_alloc((chain->states_count + 1) * LANES * sizeof *batch.touched);
    batch.before = mem_alloc((chain->states_count + 1) * LANES * sizeof *batch.before);
    batch.leaves = mem_alloc((chain->states_count + 1) * LANES * sizeof *batch.leaves);
    for (uint32_t first = 0; enough && first < chain->channels; first += LANES) {
        batch.first = first;
        work += batch_solve(&batch, WORK_MAX - work);
        batch_take(&batch, credit);
        enough = credit->error_max <= REFUSED && (first > 0 || work * batches <= WORK_MAX);
    }
    free(batch.holds);
    free(batch.touched);
    free(batch.before);
    free(batch.leaves);
    return enough;
}

/* --- the door --------------------------------------------------------------------------------- */

static void share_out(const double *removal, size_t count, double total, double *credit)
{
    double sum = 0;
    for (size_t c = 0; c < count; c++)
        sum += removal[c];
    for (size_t c = 0; sum > 0 && c < count; c++)
        credit[c] = removal[c] / sum * total;
}

static enum status solve(const struct chain *chain, struct attribution_credit *credit,
                         struct err *err)
{
    credit->states = chain->states_count;
    credit->transitions = chain->into[chain->states_count];
    if (!solve_all(chain, credit)) {
        err_set(err, ST_TOO_LARGE,
                "could not solve order %u: too much work for %u channels and %zu transitions",
                chain->packing.order, chain->channels, credit->transitions);
        return err_hint(err, ST_TOO_LARGE, "use a lower order or group rare channels");
    }
    share_out(credit->removal_conversions, chain->channels, chain->conversions,
              credit->conversions);
    if (credit->values != NULL)
        share_out(credit->removal_values, chain->channels, chain->value, credit->values);
    return ST_OK;
}

enum status attribution_markov(const struct attribution_paths *paths, unsigned order,
                               struct arena *arena, struct attribution_credit *credit,
                               struct err *err)
{
    struct chain chain = {.channels = paths->channels_count};
    enum status status =
        attribution_packing_init(paths->channels_count, order, &chain.packing, err);
    if (status != ST_OK)
        return status;
    map_init(&chain.state_map);
    map_init(&chain.step_map);
    size_t count = (size_t)paths->channels_count + 1;
    credit->removal_conversions = ARENA_ARRAY(arena, double, count);
    credit->removal_values = ARENA_ARRAY(arena, double, count);
    status = chain_count(&chain, paths, err);
    if (status == ST_OK) {
        chain_sort(&chain);
        status = solve(&chain, credit, err);
    }
    chain_done(&chain);
    return status;
}
