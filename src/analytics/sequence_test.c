/* sequence_test.c - the kernels on sequences against searches that are slow and plain, and the
 * rules that their files state. The published cases run through the program (tests/golden). */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "analytics/retention.h"
#include "analytics/sequence_int.h"
#include "base/arena.h"

static uint64_t seed;

static uint32_t chance(uint32_t below)
{
    seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)((seed >> 33) % below);
}

/* A run with ties; `step_count` step bits, some events of several steps, some of none. */
static size_t random_run(struct sequence_event *events, size_t max, unsigned step_count,
                         bool with_others)
{
    size_t count = chance((uint32_t)max + 1);
    int64_t time = 0;
    for (size_t i = 0; i < count; i++) {
        uint32_t steps = UINT32_C(1) << chance(step_count);
        if (chance(4) == 0)
            steps |= UINT32_C(1) << chance(step_count);
        if (with_others && chance(8) == 0)
            steps = 0;
        time += chance(3);
        events[i] = (struct sequence_event){time, steps, (uint32_t)i};
    }
    return count;
}

/* --- funnel against a list of all chains ------------------------------------------------------ */

#define RUN_MAX 12
#define CHAINS_MAX 200000

struct entry {
    int64_t time;
    unsigned step; /* 0 = none */
    size_t id;
};

static unsigned tie_modes;

static int entry_order(const void *left, const void *right)
{
    const struct entry *a = left, *b = right;
    if ((tie_modes & FUNNEL_ARRAY_ORDER) != 0 && a->id != b->id)
        return a->id < b->id ? -1 : 1;
    if (a->time != b->time)
        return a->time < b->time ? -1 : 1;
    if (a->step != b->step)
        return a->step < b->step ? -1 : 1;
    return (a->id > b->id) - (a->id < b->id);
}

static size_t entries_of(const struct sequence_event *events, size_t count, unsigned modes,
                         struct entry *ret_entries)
{
    size_t n = 0;
    for (size_t i = 0; i < count; i++) {
        for (unsigned k = 0; k < SEQUENCE_STEPS_MAX; k++)
            if ((events[i].steps >> k & 1) != 0)
                ret_entries[n++] = (struct entry){events[i].time, k + 1, i};
        if (events[i].steps == 0 && (modes & FUNNEL_STRICT_ORDER) != 0)
            ret_entries[n++] = (struct entry){events[i].time, 0, i};
    }
    tie_modes = modes;
    qsort(ret_entries, n, sizeof *ret_entries, entry_order);
    return n;
}

/* Every chain there is, one list. */
struct chain {
    unsigned steps;
    int64_t first, last;
    size_t ids[RUN_MAX + 1];
};

static unsigned chains_level(const struct funnel *funnel, const struct entry *entries, size_t count)
{
    static struct chain chains[CHAINS_MAX];
    size_t n = 0;
    unsigned best = 0, modes = funnel->modes;
    for (size_t i = 0; i < count; i++) {
        struct entry entry = entries[i];
        bool ordered = (modes & FUNNEL_STRICT_ORDER) != 0;
        if (entry.step == 0 || (entry.step > best + 1 && ordered)) {
            if (best > 0)
                return best;
            continue;
        }
        if (entry.step == 1) {
            if (best > 1 && ordered && (modes & FUNNEL_ALLOW_REENTRY) == 0)
                return best;
            chains[n++] = (struct chain){1, entry.time, entry.time, {entry.id}};
            best = best < 1 ? 1 : best;
            continue;
        }
        if ((modes & FUNNEL_STRICT_DEDUPLICATION) != 0 && entry.step <= best)
            return entries[i - 1].step < best ? entries[i - 1].step : best;
        size_t before = n, newest = SIZE_MAX;
        for (size_t c = 0; c < before; c++)
            if (chains[c].steps == entry.step - 1)
                newest = c;
        for (size_t c = 0; c < before; c++) {
            bool fits = chains[c].steps == entry.step - 1 &&
                        entry.time - chains[c].first <= funnel->window &&
                        ((modes & FUNNEL_STRICT_INCREASE) == 0 || chains[c].last < entry.time);
            if ((modes & FUNNEL_STRICT_ONCE) == 0) /* only the newest chain is kept */
                fits = fits && c == newest;
            else
                for (unsigned k = 0; k < chains[c].steps; k++)
                    fits = fits && chains[c].ids[k] != entry.id;
            if (!fits)
                continue;
            assert_true(n < CHAINS_MAX);
            chains[n] = chains[c];
            chains[n].ids[chains[n].steps++] = entry.id;
            chains[n++].last = entry.time;
            best = best < entry.step ? entry.step : best;
        }
        if (best == funnel->steps)
            return best;
    }
    return best;
}

static void times_are_a_chain(const struct funnel *funnel, const int64_t *times, unsigned level)
{
    for (unsigned k = 1; k < level; k++)
        assert_true(times[k] >= times[k - 1] + ((funnel->modes & FUNNEL_STRICT_INCREASE) != 0));
    if (level > 0)
        assert_true(times[level - 1] - times[0] <= funnel->window);
}

static void test_every_mode_agrees_with_the_list_of_chains(void **state)
{
    static struct funnel_scratch scratch;
    struct sequence_event events[RUN_MAX];
    struct entry entries[RUN_MAX * 2];
    int64_t times[SEQUENCE_STEPS_MAX];
    (void)state;
    seed = 2;
    for (int round = 0; round < 200000; round++) {
        struct funnel funnel = {1 + chance(5), chance(64), chance(12)};
        if ((funnel.modes & FUNNEL_STRICT_ORDER) == 0)
            funnel.modes &= ~(unsigned)FUNNEL_ALLOW_REENTRY;
        size_t count = random_run(events, RUN_MAX, funnel.steps, true);
        size_t n = entries_of(events, count, funnel.modes, entries);
        unsigned level = funnel_level(&funnel, events, count, &scratch, times);
        assert_int_equal(level, chains_level(&funnel, entries, n));
        assert_int_equal(level, funnel_level(&funnel, events, count, &scratch, NULL));
        times_are_a_chain(&funnel, times, level);
    }
}

static void test_a_million_events_of_one_time_take_no_longer(void **state)
{
    static struct funnel_scratch scratch;
    enum { COUNT = 1000000 };
    struct sequence_event *events = mem_alloc(COUNT * sizeof *events);
    struct funnel funnel = {8, FUNNEL_STRICT_ONCE, 10};
    (void)state;
    for (uint32_t i = 0; i < COUNT; i++) /* seven events are steps 1 … 7, and two of them step 8 */
        events[i] = (struct sequence_event){5, i < 7 ? UINT32_C(127) | (i < 2) << 7 : 1, i};
    assert_int_equal(funnel_level(&funnel, events, COUNT, &scratch, NULL), 8);
    for (uint32_t i = 0; i < COUNT; i++)
        events[i] = (struct sequence_event){5, UINT32_C(255), i};
    assert_int_equal(funnel_level(&funnel, events, COUNT, &scratch, NULL), 8);
    for (uint32_t i = 0; i < COUNT; i++) /* too few for eight steps */
        events[i] = (struct sequence_event){5, i < 7 ? UINT32_C(255) : 0, i};
    assert_int_equal(funnel_level(&funnel, events, COUNT, &scratch, NULL), 7);
    free(events);
}

static void test_windows_near_the_ends_of_time_do_not_wrap(void **state)
{
    static struct funnel_scratch scratch;
    struct sequence_event events[] = {{INT64_MIN, 1, 0}, {INT64_MAX, 2, 0}};
    struct funnel funnel = {2, 0, INT64_MAX};
    (void)state;
    assert_int_equal(funnel_level(&funnel, events, 2, &scratch, NULL), 1);
    events[0].time = 0;
    assert_int_equal(funnel_level(&funnel, events, 2, &scratch, NULL), 2);
}

static void test_modes_are_read_by_name(void **state)
{
    struct err err;
    unsigned modes = 0;
    (void)state;
    assert_int_equal(funnel_modes_parse(STR("strict_order, allow_reentry"), &modes, &err), ST_OK);
    assert_int_equal(modes, FUNNEL_STRICT_ORDER | FUNNEL_ALLOW_REENTRY);
    assert_int_equal(funnel_modes_parse(STR(""), &modes, &err), ST_OK);
    assert_int_equal(modes, 0);
    assert_int_equal(funnel_modes_parse(STR("strict_ordr"), &modes, &err), ST_INVALID);
    assert_int_equal(funnel_modes_parse(STR("allow_reentry"), &modes, &err), ST_INVALID);
}

/* --- patterns against trying and going back --------------------------------------------------- */

struct naive {
    const struct sequence_pattern *pattern;
    const struct sequence_event *events;
    size_t count, end;
    size_t taken[SEQUENCE_ACTIONS_MAX], taken_count;
    size_t best[SEQUENCE_ACTIONS_MAX], best_count;
};

static bool naive_fits(const struct sequence_action *action, int64_t away)
{
    switch (action->kind) {
    case SEQUENCE_AT_MOST:
        return away <= action->value;
    case SEQUENCE_BELOW:
        return away < action->value;
    case SEQUENCE_AT_LEAST:
        return away >= action->value;
    case SEQUENCE_ABOVE:
        return away > action->value;
    case SEQUENCE_EQUAL:
        return away == action->value;
    case SEQUENCE_STAR:
    case SEQUENCE_STEP:
    case SEQUENCE_ANY:
        break;
    }
    return true;
}

static bool naive_tail(const struct naive *naive, size_t i)
{
    for (; i < naive->pattern->count; i++) {
        const struct sequence_action *action = &naive->pattern->actions[i];
        if (action->kind != SEQUENCE_STAR && action->kind != SEQUENCE_AT_MOST &&
            action->kind != SEQUENCE_BELOW &&
            (action->kind != SEQUENCE_AT_LEAST || action->value != 0))
            return false;
    }
    return true;
}

static bool naive_search(struct naive *naive, size_t i, size_t at, size_t base)
{
    naive->end = at;
    if (i == naive->pattern->count)
        return true;
    if (at == naive->count)
        return naive_tail(naive, i);
    const struct sequence_action *action = &naive->pattern->actions[i];
    if (action->kind == SEQUENCE_ANY)
        return naive_search(naive, i + 1, at + 1, at);
    if (action->kind == SEQUENCE_STEP) {
        if ((naive->events[at].steps >> action->value & 1) == 0)
            return false;
        naive->taken[naive->taken_count++] = at;
        if (naive->taken_count > naive->best_count) {
            naive->best_count = naive->taken_count;
            memcpy(naive->best, naive->taken, sizeof naive->best);
        }
        if (naive_search(naive, i + 1, at + 1, at))
            return true;
        naive->taken_count--;
        return false;
    }
    for (size_t to = at; to < naive->count; to++)
        if (naive_fits(action, naive->events[to].time - naive->events[base].time) &&
            naive_search(naive, i + 1, to, to))
            return true;
    return false;
}

static void random_pattern(char *text, size_t room, unsigned steps)
{
    static const char *const operators[] = {"<=", "<", ">=", ">", "=="};
    size_t n = 0;
    bool may_be_time = true;
    text[0] = '\0';
    for (uint32_t parts = chance(7); parts > 0; parts--) {
        uint32_t kind = chance(8);
        if (kind < 4)
            n += (size_t)snprintf(text + n, room - n, "(?%u)", 1 + chance(steps));
        else if (kind == 4)
            n += (size_t)snprintf(text + n, room - n, ".");
        else if (kind == 5)
            n += (size_t)snprintf(text + n, room - n, ".*");
        else if (may_be_time)
            n += (size_t)snprintf(text + n, room - n, "(?t%s%u)", operators[chance(5)], chance(5));
        may_be_time = kind < 6;
    }
}

static void test_patterns_agree_with_trying_and_going_back(void **state)
{
    struct sequence_event events[RUN_MAX];
    struct sequence_scratch scratch;
    (void)state;
    seed = 3;
    sequence_scratch_init(&scratch);
    for (int round = 0; round < 200000; round++) {
        char text[128];
        struct sequence_pattern pattern;
        struct err err;
        size_t at[SEQUENCE_ACTIONS_MAX], count = random_run(events, RUN_MAX, 3, false);
        random_pattern(text, sizeof text, 3);
        assert_int_equal(sequence_pattern_parse(str_of(text), 3, 1, &pattern, &err), ST_OK);
        struct naive naive = {.pattern = &pattern, .events = events, .count = count};
        bool found = naive_search(&naive, 0, 0, 0);
        assert_int_equal(sequence_match(&pattern, events, count, &scratch), found);
        size_t n = sequence_match_events(&pattern, events, count, &scratch, at);
        assert_int_equal(n, found ? naive.taken_count : naive.best_count);
        assert_memory_equal(at, found ? naive.taken : naive.best, n * sizeof at[0]);
        assert_int_equal(sequence_reached(&pattern, events, count, &scratch), n);
        size_t matches = 0;
        for (size_t from = 0; from < count; matches++) {
            struct naive next = {.pattern = &pattern, .events = events, .count = count};
            if (!naive_search(&next, 0, from, from))
                break;
            from = next.end == from ? from + 1 : next.end;
        }
        assert_int_equal(sequence_count(&pattern, events, count, &scratch), matches);
    }
    sequence_scratch_done(&scratch);
}

static void test_a_pattern_over_a_million_events_is_linear(void **state)
{
    enum { COUNT = 1000003 };
    static const struct {
        const char *pattern;
        bool found;
    } cases[] = {
        /* 00823: A B B … B C, and D much later */
        {"(?1)(?2)(?3)", false},
        {"(?1).*(?2).*(?3)", true},
        {"(?1).*(?2).*(?1)", false},
        {"(?1)(?t<=2)(?2).*(?2)(?3)", true},
        {"(?1).*(?2)(?t==3)(?2).*(?3)(?t>=10000000000000)(?4)", true},
        {"(?2)(?t>=7).*(?2)(?t<=3)(?2)(?t==1000001)(?3)", false},
    };
    struct sequence_event *events = mem_alloc(COUNT * sizeof *events);
    struct sequence_scratch scratch;
    struct sequence_pattern pattern;
    struct err err;
    (void)state;
    for (uint32_t i = 0; i < COUNT; i++)
        events[i] = (struct sequence_event){i, i == 0 ? 1 : i < COUNT - 2 ? 2 : 4, i};
    events[COUNT - 1] = (struct sequence_event){INT64_C(100000000000000), 8, 0};
    sequence_scratch_init(&scratch);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_int_equal(sequence_pattern_parse(str_of(cases[i].pattern), 4, 1, &pattern, &err),
                         ST_OK);
        assert_int_equal(sequence_match(&pattern, events, COUNT, &scratch), cases[i].found);
        assert_int_equal(sequence_count(&pattern, events, COUNT, &scratch) > 0, cases[i].found);
    }
    sequence_scratch_done(&scratch);
    free(events);
}

static void test_a_bad_pattern_names_the_place(void **state)
{
    static const char *const bad[] = {"(?0)",
                                      "(?4)",
                                      "(?",
                                      "(?1",
                                      "(?t5)",
                                      "(?t<=)",
                                      "x",
                                      "(?1)(?t<=1)(?t>=1)",
                                      "(?t<=99999999999999999999)",
                                      "(?1)*"};
    struct sequence_pattern pattern;
    struct err err;
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_int_equal(sequence_pattern_parse(str_of(bad[i]), 3, 1000000, &pattern, &err),
                         ST_INVALID);
        assert_non_null(strstr(err.message, "position"));
    }
    char text[4 * 64 + 1] = "";
    for (int i = 0; i < 64; i++)
        memcpy(text + 4 * i, "(?1)", 5);
    assert_int_equal(sequence_pattern_parse(str_of(text), 1, 1, &pattern, &err), ST_TOO_LARGE);
}

/* --- retention -------------------------------------------------------------------------------- */

static void test_a_start_is_not_its_own_return(void **state)
{
    const int64_t starts[] = {0, 10, 20, 30};
    uint64_t people[3] = {0}, returned[3 * 2] = {0};
    struct retention retention = {starts, 3, 2, people, returned};
    struct sequence_event once[] = {{5, 3, 0}};
    struct sequence_event again[] = {{2, 2, 0},  {5, 3, 0},  {5, 3, 1},
                                     {12, 3, 2}, {13, 2, 3}, {25, 2, 4}};
    struct sequence_event never[] = {{5, 2, 0}};
    (void)state;
    retention_add(&retention, once, 1);
    retention_add(&retention, again, 6);
    retention_add(&retention, never, 1);
    assert_int_equal(people[0], 2);
    assert_int_equal(people[1], 0);
    assert_int_equal(returned[0], 1); /* twice at 5 */
    assert_int_equal(returned[1], 1); /* 12 and 13 count once; 25 is beyond the columns */
    assert_int_equal(retention_conditions(again, 6), 3);
    assert_int_equal(retention_conditions(never, 1), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_mode_agrees_with_the_list_of_chains),
        cmocka_unit_test(test_a_million_events_of_one_time_take_no_longer),
        cmocka_unit_test(test_windows_near_the_ends_of_time_do_not_wrap),
        cmocka_unit_test(test_modes_are_read_by_name),
        cmocka_unit_test(test_patterns_agree_with_trying_and_going_back),
        cmocka_unit_test(test_a_pattern_over_a_million_events_is_linear),
        cmocka_unit_test(test_a_bad_pattern_names_the_place),
        cmocka_unit_test(test_a_start_is_not_its_own_return),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
