/* live_steps.c - a question's events as steps: tables by code before the pass, a run's events in
 * it. */
#include "analytics/live_steps_int.h"

#include <stdlib.h>

#define RARE_SHARE 64 /* below 1 / this of all events posting lists win */

enum status live_steps_parse(struct live_ask *ask, const char *member, struct live_steps *ret_steps,
                             struct err *err)
{
    struct live_steps steps = {0};
    enum status status =
        live_ask_events(ask, member, 1, LIVE_STEPS_MAX, &steps.events, &steps.count, err);
    if (status != ST_OK)
        return status;
    uint32_t codes = live_codes(ask);
    code_set_init(&steps.set);
    steps.bits = ARENA_ARRAY(ask->arena, uint32_t, codes);
    for (size_t k = 0; k < steps.count; k++) {
        const struct live_event *event = &steps.events[k];
        uint32_t bit = UINT32_C(1) << k;
        if (event->filters_count > 0)
            steps.filtered |= bit;
        if (event->code != TIMELINE_NONE) {
            steps.bits[event->code] |= bit;
            code_set_add(&steps.set, (uint16_t)event->code);
            continue;
        }
        steps.all = true;
        for (uint32_t code = 0; code < codes; code++)
            steps.bits[code] |= bit;
    }
    if (!steps.all) {
        steps.wanted = ARENA_ARRAY(ask->arena, uint8_t, codes);
        for (uint32_t code = 0; code < codes; code++)
            steps.wanted[code] = steps.bits[code] != 0;
    }
    *ret_steps = steps;
    return ST_OK;
}

void live_steps_take_all(struct live_steps *steps)
{
    steps->all = true;
    steps->wanted = NULL;
}

static void reserve(struct live_steps_reader *reader, size_t count)
{
    if (count <= reader->capacity)
        return;
    reader->capacity = count * 2;
    reader->at = mem_grow(reader->at, reader->capacity * sizeof *reader->at);
    reader->events = mem_grow(reader->events, reader->capacity * sizeof *reader->events);
}

/* Of these steps those whose conditions event i meets. */
static uint32_t steps_meant(const struct live_ask *ask, const struct live_steps *steps,
                            uint32_t bits, const struct timeline_run *run, uint32_t i)
{
    for (uint32_t left = bits & steps->filtered; left != 0; left &= left - 1) {
        const struct live_event *event = &steps->events[__builtin_ctz(left)];
        if (!live_filters_hold(ask, event->filters, event->filters_count, run, i))
            bits &= ~(left & -left);
    }
    return bits;
}

size_t live_steps_read(const struct live_ask *ask, const struct live_steps *steps,
                       const struct timeline_run *run, struct live_steps_reader *reader)
{
    uint32_t first, end;
    size_t found, count = 0;
    live_window(ask, run, &first, &end);
    reader->held = 0;
    reader->has_any = false;
    if (first == end)
        return 0;
    reserve(reader, end - first);
    if (steps->all)
        found = end - first;
    else if (run->code8 != NULL)
        found = code_set_find_u8_beyond(&steps->set, run->code8 + first, end - first, reader->at);
    else
        found = code_set_find_u16(&steps->set, run->code16 + first, end - first, reader->at);
    for (size_t c = 0; c < found; c++) {
        uint32_t i = first + (steps->all ? (uint32_t)c : reader->at[c]);
        uint32_t bits = steps->bits[timeline_code(run, i)];
        if (ask->filters_count > 0 &&
            !live_filters_hold(ask, ask->filters, ask->filters_count, run, i))
            continue;
        if ((bits & steps->filtered) != 0)
            bits = steps_meant(ask, steps, bits, run, i);
        reader->events[count] = (struct sequence_event){run->time[i], bits, i};
        reader->held |= bits;
        reader->has_any = true;
        count += bits != 0;
    }
    return count;
}

void live_steps_reader_done(struct live_steps_reader *reader)
{
    free(reader->at);
    free(reader->events);
}

struct str live_step_name(const struct live_steps *steps, size_t step)
{
    struct str name = steps->events[step].name;
    return name.n == 0 ? STR("*") : name;
}

bool live_steps_rare(const struct live_ask *ask, const struct live_steps *steps, uint32_t needed,
                     struct timeline_set *set)
{
    const struct timeline_view *view = ask->view;
    uint64_t rarest = view->events / RARE_SHARE;
    uint32_t code = TIMELINE_NONE;
    for (; needed != 0; needed &= needed - 1) {
        uint32_t one = steps->events[__builtin_ctz(needed)].code;
        if (one != TIMELINE_NONE && view->code_events[one] < rarest) {
            rarest = view->code_events[one];
            code = one;
        }
    }
    if (code == TIMELINE_NONE)
        return false;
    timeline_set_init(set, view);
    timeline_people_with(view, code, set);
    return true;
}
