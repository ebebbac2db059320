/* live_funnel.c - how many people did these steps, and where they were lost.
 *
 * Step 1 must lie in [from, to); what follows may lie after `to`, as long as the window of the
 * funnel allows it, unless the question is "closed": people who came in late would else look lost.
 * One pass, that only sees events that are some step. A plain question (no conditions, exclusions
 * or held property) finds the chains of a page's people in one loop and counts them level by level;
 * others go person by person. When step 1 is rare, only the people who have it are read at all.
 *
 * With "hold" a chain's events have one value of a property: the candidates are sorted by it and
 * each value's are searched alone; the furthest chain counts, among equals the newest start.
 *
 * Every person counts once, for their best chain; its first event gives the breakdown. */
#include "analytics/live_funnel_int.h"

#include <stdlib.h>

#define KEYS_FEW 16
/* Posting lists win below one of so many events, where each person costs something; and below one
 * of so many people, where only pages do. */
#define RARE_EVENTS 64
#define RARE_SLOTS 2048

/* One thread's. */
struct worker {
    const struct live_funnel *funnel;
    struct live_tally tally;
    uint32_t *at; /* candidates, relative to the first */
    struct sequence_event *events, *held;
    uint32_t *spoils, *held_spoils;
    uint64_t *keys;
    uint32_t *of; /* the value that is held, by event */
    size_t capacity;
    uint32_t people_room, *levels; /* of a batch; by level who reached it */
    uint32_t values;
    int64_t now_s;
    struct live_chain_scratch scratch;
    char apart[64]; /* threads count into lines of their own */
};

static void reserve(struct worker *worker, size_t count)
{
    if (count <= worker->capacity)
        return;
    size_t n = worker->capacity = count * 2;
    worker->at = mem_grow(worker->at, n * sizeof *worker->at);
    worker->events = mem_grow(worker->events, n * sizeof *worker->events);
    worker->scratch.before = mem_grow(worker->scratch.before, n * sizeof(uint32_t));
    if (worker->funnel->spoil_bits != NULL)
        worker->spoils = mem_grow(worker->spoils, n * sizeof *worker->spoils);
    if (worker->funnel->hold == NULL)
        return;
    worker->held = mem_grow(worker->held, n * sizeof *worker->held);
    worker->held_spoils = mem_grow(worker->held_spoils, n * sizeof *worker->held_spoils);
    worker->keys = mem_grow(worker->keys, n * sizeof *worker->keys);
    worker->of = mem_grow(worker->of, n * sizeof *worker->of);
}

static void batch_reserve(struct worker *worker, const struct timeline_batch *batch)
{
    if (batch->count > worker->capacity) {
        worker->capacity = batch->count * 2;
        worker->scratch.before =
            mem_grow(worker->scratch.before, worker->capacity * sizeof(uint32_t));
    }
    if (batch->people > worker->people_room) {
        uint32_t room = worker->people_room = batch->people * 2;
        unsigned levels = worker->funnel->chain.steps + 1;
        worker->scratch.tops = mem_grow(worker->scratch.tops, room * sizeof(struct live_top));
        worker->levels = mem_grow(worker->levels, (size_t)room * levels * sizeof *worker->levels);
    }
}

static size_t candidates(struct worker *worker, const struct timeline_run *run, uint32_t first,
                         uint32_t count)
{
    if (worker->funnel->all) {
        for (uint32_t i = 0; i < count; i++)
            worker->at[i] = i;
        return count;
    }
    return run->code8 != NULL
               ? code_set_find_u8_beyond(&worker->funnel->set, run->code8 + first, count,
                                         worker->at)
               : code_set_find_u16(&worker->funnel->set, run->code16 + first, count, worker->at);
}

/* Of these steps those whose conditions hold. */
static uint32_t steps_meant(const struct live_ask *ask, const struct live_event *events,
                            uint32_t steps, uint32_t filtered, const struct timeline_run *run,
                            uint32_t i)
{
    for (uint32_t left = steps & filtered; left != 0; left &= left - 1) {
        unsigned k = (unsigned)__builtin_ctz(left);
        if (!live_filters_hold(ask, events[k].filters, events[k].filters_count, run, i))
            steps &= ~(UINT32_C(1) << k);
    }
    return steps;
}

static uint32_t spoils_meant(const struct live_ask *ask, const struct live_funnel *funnel,
                             const struct timeline_run *run, uint32_t i)
{
    uint32_t spoils = 0;
    for (uint32_t left = funnel->spoil_bits[timeline_code(run, i)]; left != 0; left &= left - 1) {
        const struct live_exclusion *exclusion = &funnel->exclusions[__builtin_ctz(left)];
        const struct live_event *event = &exclusion->event;
        if (event->filters_count == 0 ||
            live_filters_hold(ask, event->filters, event->filters_count, run, i))
            spoils |= exclusion->spoils;
    }
    return spoils;
}

/* Candidates become events with their steps; what lies before the first step 1 is left out unless
 * it may be part of a chain all the same. */
static size_t events_make(const struct live_ask *ask, struct worker *worker,
                          const struct timeline_run *run, uint32_t first, size_t found)
{
    const struct live_funnel *funnel = worker->funnel;
    bool any = funnel->chain.any_order, keep = any || funnel->ties_by_steps;
    size_t count = 0;
    for (size_t c = 0; c < found; c++) {
        uint32_t i = first + worker->at[c], spoils = 0;
        uint32_t steps = funnel->step_bits[timeline_code(run, i)];
        if (run->time[i] >= ask->to_s && !any)
            steps &= ~UINT32_C(1);
        bool skip = count == 0 && !keep && (steps & 1) == 0;
        if (skip || !live_filters_hold(ask, ask->filters, ask->filters_count, run, i))
            continue;
        if ((steps & funnel->filtered) != 0)
            steps = steps_meant(ask, funnel->steps, steps, funnel->filtered, run, i);
        if (count == 0 && !keep && (steps & 1) == 0)
            continue;
        if (funnel->spoil_bits != NULL)
            worker->spoils[count] = spoils = spoils_meant(ask, funnel, run, i);
        worker->events[count] = (struct sequence_event){run->time[i], steps, i};
        count += (steps | spoils) != 0 || (funnel->chain.modes & FUNNEL_STRICT_ORDER) != 0;
    }
    return count;
}

/* The same without conditions, exclusions and "*": most questions. */
static size_t events_make_plain(const struct live_ask *ask, struct worker *worker,
                                const struct timeline_run *run, uint32_t first, size_t found)
{
    const uint32_t *step_bits = worker->funnel->step_bits, *at = worker->at;
    struct sequence_event *events = worker->events;
    size_t count = 0;
    for (size_t c = 0; c < found; c++) {
        uint32_t i = first + at[c], steps = step_bits[timeline_code(run, i)];
        uint32_t late = run->time[i] >= ask->to_s;
        steps &= ~late; /* no step 1 any more */
        events[count] = (struct sequence_event){run->time[i], steps, i};
        count += steps != 0;
    }
    return count;
}

/* --- one value of a property ------------------------------------------------------------------ */

static int key_order(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

/* Keys differ. A few find their places by counting who is smaller: no branch to guess. */
static void keys_sort(uint64_t *keys, size_t count)
{
    uint64_t sorted[KEYS_FEW] __attribute__((uninitialized));
    if (count > KEYS_FEW) {
        qsort(keys, count, sizeof *keys, key_order);
        return;
    }
    for (size_t i = 0; i < count; i++) {
        size_t at = 0;
        for (size_t j = 0; j < count; j++)
            at += keys[j] < keys[i];
        sorted[at] = keys[i];
    }
    memcpy(keys, sorted, count * sizeof *keys);
}

static bool is_better(const struct live_way *way, const struct live_way *best,
                      const struct sequence_event *of, const struct sequence_event *of_best)
{
    if (way->level != best->level)
        return way->level > best->level;
    return way->level > 0 && of[way->first].row > of_best[best->first].row;
}

/* Events by value, in their order; the best of all values. The way's `first` is a run's index. */
static void find_held(struct worker *worker, const struct timeline_run *run, size_t count,
                      struct live_way *best)
{
    const struct live_funnel *funnel = worker->funnel;
    size_t keys = 0;
    uint32_t values = timeline_column_values(funnel->hold) + 1;
    for (size_t i = 0; i < count; i++)
        worker->of[i] =
            timeline_column_code(funnel->hold, timeline_row(run, worker->events[i].row));
    if (live_chain_find_of(&funnel->chain, worker->events, worker->of, values, count,
                           &worker->scratch, best)) {
        best->first = best->level > 0 ? worker->events[best->first].row : 0;
        return;
    }
    for (size_t i = 0; i < count; i++) {
        uint64_t value = worker->of[i];
        if (value != 0)
            worker->keys[keys++] = value << 32 | i;
    }
    keys_sort(worker->keys, keys);
    for (size_t i = 0; i < keys; i++) {
        worker->held[i] = worker->events[(uint32_t)worker->keys[i]];
        if (worker->spoils != NULL)
            worker->held_spoils[i] = worker->spoils[(uint32_t)worker->keys[i]];
    }
    best->level = 0;
    const struct sequence_event *of_best = worker->held;
    for (size_t from = 0, to; from < keys; from = to) {
        struct live_way way __attribute__((uninitialized));
        for (to = from; to < keys && worker->keys[to] >> 32 == worker->keys[from] >> 32;)
            to++;
        live_chain_find(&funnel->chain, worker->held + from,
                        worker->spoils != NULL ? worker->held_spoils + from : NULL, to - from,
                        &worker->scratch, &way);
        if (is_better(&way, best, worker->held + from, of_best)) {
            *best = way;
            of_best = worker->held + from;
        }
    }
    if (best->level > 0)
        best->first = of_best[best->first].row;
}

/* --- a person --------------------------------------------------------------------------------- */

/* The first index whose time is not below `time`. */
static uint32_t index_of(const struct timeline_run *run, uint64_t time)
{
    uint32_t low = 0, high = run->count;
    if (run->time[0] >= time)
        return 0;
    if (run->time[high - 1] < time)
        return high;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (run->time[middle] < time)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static void tally_add(struct worker *worker, const struct live_way *way, uint32_t value)
{
    unsigned steps = worker->funnel->chain.steps;
    size_t at = (size_t)value * (steps + 1);
    struct live_waits *waits = worker->tally.waits + at;
    worker->tally.people[at + way->level]++;
    for (unsigned k = 1; k < way->level; k++)
        live_waits_add(&waits[k], way->times[k] - way->times[k - 1]);
    if (way->level == steps)
        live_waits_add(&waits[steps], way->times[steps - 1] - way->times[0]);
    else
        worker->tally.open += way->times[0] + worker->funnel->window >= worker->now_s;
}

static void want(const struct live_ask *ask, const struct worker *worker, uint32_t person,
                 unsigned level, uint32_t value)
{
    const struct live_funnel *funnel = worker->funnel;
    if (funnel->want_value != worker->values && funnel->want_value != value)
        return;
    if (funnel->want_dropped ? level + 1 == funnel->want_step : level >= funnel->want_step)
        live_want(ask, person);
}

/* The chain of one person of a batch, from its end. */
static void top_add(const struct live_ask *ask, struct worker *worker,
                    const struct timeline_batch *batch, uint32_t person)
{
    struct live_top top = worker->scratch.tops[person];
    unsigned steps = worker->funnel->chain.steps;
    uint32_t at = top.last, value = 0;
    uint32_t waited[LIVE_STEPS_MAX] __attribute__((uninitialized));
    for (unsigned k = top.level - 1; k > 0; k--) {
        waited[k] = batch->time[at] - batch->time[worker->scratch.before[at]];
        at = worker->scratch.before[at];
    }
    if (ask->breakdown != NULL) {
        struct timeline_run run;
        timeline_batch_run(batch, person, &run);
        value = live_breakdown_of(ask, &run, at - batch->starts[person]);
    }
    if (ask->want != NULL) {
        want(ask, worker, batch->person[person], top.level, value);
        return;
    }
    size_t cell = (size_t)value * (steps + 1);
    struct live_waits *waits = worker->tally.waits + cell;
    worker->tally.people[cell + top.level]++;
    for (unsigned k = 1; k < top.level; k++)
        live_waits_add(&waits[k], waited[k]);
    if (top.level == steps)
        live_waits_add(&waits[steps], batch->time[top.last] - batch->time[at]);
    else
        worker->tally.open += batch->time[at] + worker->funnel->window >= worker->now_s;
}

/* Everybody of one level at a time: their chains are of one length, which no processor has to
 * guess. Without a breakdown and not for a cell. */
static void level_add(struct worker *worker, const struct timeline_batch *batch, unsigned level,
                      const uint32_t *people, uint32_t count)
{
    unsigned steps = worker->funnel->chain.steps;
    const uint32_t *before = worker->scratch.before, *time = batch->time;
    struct live_waits *waits = worker->tally.waits;
    worker->tally.people[level] += count;
    for (unsigned k = 1; k < level; k++)
        live_waits_reserve(&waits[k], count);
    if (level == steps)
        live_waits_reserve(&waits[steps], count);
    for (uint32_t i = 0; i < count; i++) {
        uint32_t last = worker->scratch.tops[people[i]].last, at = last;
        for (unsigned k = level - 1; k > 0; k--) {
            live_waits_put(&waits[k], time[at] - time[before[at]]);
            at = before[at];
        }
        if (level == steps)
            live_waits_put(&waits[steps], time[last] - time[at]);
        else
            worker->tally.open += time[at] + worker->funnel->window >= worker->now_s;
    }
}

static void levels_add(struct worker *worker, const struct timeline_batch *batch)
{
    uint32_t counts[LIVE_STEPS_MAX + 1] = {0}, *lists = worker->levels, room = worker->people_room;
    for (uint32_t i = 0; i < batch->people; i++) {
        uint32_t level = worker->scratch.tops[i].level;
        lists[level * room + counts[level]++] = i;
    }
    for (unsigned level = 1; level <= worker->funnel->chain.steps; level++)
        level_add(worker, batch, level, lists + level * room, counts[level]);
}

static void funnel_batch(const struct live_ask *ask, const struct timeline_batch *batch, void *ctx)
{
    struct worker *worker = ctx;
    const struct live_funnel *funnel = worker->funnel;
    if (batch->count == 0)
        return;
    batch_reserve(worker, batch);
    live_chain_find_all(&funnel->chain, batch, funnel->step_of, ask->from_s,
                        funnel->closed ? ask->to_s : ask->to_s + funnel->window,
                        worker->scratch.before, worker->scratch.tops);
    if (ask->breakdown == NULL && ask->want == NULL) {
        levels_add(worker, batch);
        return;
    }
    for (uint32_t i = 0; i < batch->people; i++)
        if (worker->scratch.tops[i].level > 0)
            top_add(ask, worker, batch, i);
}

static void funnel_each(const struct live_ask *ask, const struct timeline_run *run, void *ctx)
{
    struct worker *worker = ctx;
    const struct live_funnel *funnel = worker->funnel;
    struct live_way way __attribute__((uninitialized));
    if (run->count == 0)
        return;
    uint32_t first = index_of(run, ask->from_s);
    uint32_t end = index_of(run, funnel->closed ? ask->to_s : ask->to_s + (uint64_t)funnel->window);
    if (first == end)
        return;
    reserve(worker, end - first);
    size_t found = candidates(worker, run, first, end - first);
    bool plain = !funnel->all && funnel->filtered == 0 && funnel->spoil_bits == NULL &&
                 ask->filters_count == 0 && !funnel->chain.any_order && !funnel->ties_by_steps;
    size_t count = plain ? events_make_plain(ask, worker, run, first, found)
                         : events_make(ask, worker, run, first, found);
    if (count == 0)
        return;
    if (funnel->hold != NULL) {
        find_held(worker, run, count, &way);
    } else {
        live_chain_find(&funnel->chain, worker->events, worker->spoils, count, &worker->scratch,
                        &way);
        if (way.level > 0)
            way.first = worker->events[way.first].row;
    }
    if (way.level == 0)
        return;
    uint32_t value = ask->breakdown == NULL ? 0 : live_breakdown_of(ask, run, way.first);
    if (ask->want != NULL)
        want(ask, worker, run->person, way.level, value);
    else
        tally_add(worker, &way, value);
}

/* --- one window ------------------------------------------------------------------------------- */

/* No conditions, one step an event, no value to hold: most questions. */
static bool is_plain(const struct live_ask *ask, const struct live_funnel *funnel)
{
    return funnel->chain.plain && !funnel->chain.any_order && !funnel->all &&
           funnel->filtered == 0 && funnel->spoil_bits == NULL && funnel->hold == NULL &&
           ask->filters_count == 0;
}

/* Who is to be read: with a rare step that everybody needs who counts, those who have it. True =
 * `set` is made. */
static bool people_rare(const struct live_ask *ask, const struct live_funnel *funnel,
                        struct timeline_set *set)
{
    const struct timeline_view *view = ask->view;
    uint64_t rarest = is_plain(ask, funnel) ? view->slots / RARE_SLOTS : view->events / RARE_EVENTS;
    uint64_t events = 0;
    unsigned needed = ask->want != NULL && !funnel->want_dropped ? (unsigned)funnel->want_step : 1;
    uint32_t code = TIMELINE_NONE;
    if (funnel->chain.any_order) { /* whoever did one of them */
        for (unsigned k = 0; k < funnel->chain.steps; k++)
            events += funnel->steps[k].code == TIMELINE_NONE
                          ? view->events
                          : view->code_events[funnel->steps[k].code];
        if (events >= rarest)
            return false;
        timeline_set_init(set, view);
        for (unsigned k = 0; k < funnel->chain.steps; k++)
            timeline_people_with(view, funnel->steps[k].code, set);
        return true;
    }
    for (unsigned k = 0; k < needed; k++)
        if (funnel->steps[k].code != TIMELINE_NONE &&
            view->code_events[funnel->steps[k].code] < rarest) {
            code = funnel->steps[k].code;
            rarest = view->code_events[code];
        }
    if (code == TIMELINE_NONE)
        return false;
    timeline_set_init(set, view);
    timeline_people_with(view, code, set);
    return true;
}

static void tally_init(struct live_tally *tally, size_t cells)
{
    tally->people = mem_zero(cells * sizeof *tally->people);
    tally->waits = mem_zero(cells * sizeof *tally->waits);
}

static void tally_done(struct live_tally *tally, size_t cells)
{
    for (size_t i = 0; tally->waits != NULL && i < cells; i++)
        free(tally->waits[i].list);
    free(tally->waits);
    free(tally->people);
}

static void worker_done(struct worker *worker)
{
    free(worker->at);
    free(worker->events);
    free(worker->scratch.before);
    free(worker->scratch.tops);
    free(worker->levels);
    free(worker->spoils);
    free(worker->held);
    free(worker->held_spoils);
    free(worker->keys);
    free(worker->of);
}

static enum status window_count(struct live_ask *ask, const struct live_funnel *funnel,
                                struct live_tally *tally, struct err *err)
{
    int threads = live_threads(ask);
    uint32_t values = live_breakdown_values(ask);
    size_t cells = (size_t)values * (funnel->chain.steps + 1);
    struct timeline_set set;
    struct live_funnel own = *funnel;
    struct worker *workers = mem_zero((size_t)threads * sizeof *workers);
    own.chain.entry_end = ask->to_s;
    for (int t = 0; t < threads; t++) {
        workers[t].funnel = &own;
        workers[t].values = values;
        workers[t].now_s = ask->now_us / US_PER_S;
        tally_init(&workers[t].tally, cells);
    }
    bool rare = people_rare(ask, funnel, &set);
    const struct timeline_set *only = rare ? &set : NULL;
    enum status status =
        is_plain(ask, funnel)
            ? live_pass_batches(ask, only, funnel->wanted, funnel_batch, workers, sizeof *workers,
                                err)
            : live_pass(ask, only, funnel->wanted, funnel_each, workers, sizeof *workers, err);
    tally_init(tally, cells);
    for (int t = 0; t < threads; t++) {
        struct live_tally *from = &workers[t].tally;
        for (size_t i = 0; i < cells; i++) {
            tally->people[i] += from->people[i];
            live_waits_join(&tally->waits[i], &from->waits[i]);
        }
        tally->open += from->open;
        tally_done(from, cells);
        worker_done(&workers[t]);
    }
    if (rare)
        timeline_set_done(&set);
    free(workers);
    return status;
}

static enum status cell_read(const struct live_ask *ask, struct live_funnel *funnel,
                             struct err *err)
{
    uint64_t values = live_breakdown_values(ask);
    enum status status =
        live_cell_number(ask, "step", funnel->chain.steps + 1, &funnel->want_step, err);
    funnel->want_value = values;
    if (status == ST_OK && yyjson_obj_get(ask->cell, "value") != NULL)
        status = live_cell_number(ask, "value", values, &funnel->want_value, err);
    if (funnel->want_step == 0)
        funnel->want_step = 1;
    funnel->want_dropped = yyjson_obj_get(ask->cell, "dropped") != NULL && funnel->want_step > 1;
    funnel->want_previous = yyjson_obj_get(ask->cell, "previous") != NULL;
    return status;
}

static enum status cell_count(struct live_ask *ask, struct live_funnel *funnel, struct err *err)
{
    struct live_tally tally = {0};
    enum status status = cell_read(ask, funnel, err);
    if (status != ST_OK)
        return status;
    struct live_ask window = funnel->want_previous ? live_previous(ask) : *ask;
    status = window_count(&window, funnel, &tally, err);
    tally_done(&tally, (size_t)live_breakdown_values(ask) * (funnel->chain.steps + 1));
    return status;
}

enum status live_funnel(struct live_ask *ask, struct buf *json, struct err *err)
{
    struct live_funnel *funnel = ARENA_NEW(ask->arena, struct live_funnel);
    struct live_tally tally = {0}, before = {0};
    enum status status = live_funnel_parse(ask, funnel, err);
    if (status != ST_OK)
        return status;
    if (ask->cell != NULL)
        return cell_count(ask, funnel, err);
    if (ask->compare) {
        struct live_ask previous = live_previous(ask);
        status = window_count(&previous, funnel, &before, err);
        ask->events_read = previous.events_read;
    }
    if (status == ST_OK)
        status = window_count(ask, funnel, &tally, err);
    if (status == ST_OK)
        live_funnel_put(ask, funnel, &tally, ask->compare ? &before : NULL, json);
    size_t cells = (size_t)live_breakdown_values(ask) * (funnel->chain.steps + 1);
    tally_done(&before, cells);
    tally_done(&tally, cells);
    return status;
}
