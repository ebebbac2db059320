/* sequence_match.c - does a pattern of steps, gaps and distances in time occur in a run?
 *
 * A pattern is a list of actions. Steps (?n) and . take one event. Gaps take any number: .* as it
 * is, (?t<=n) and its like such that the event AFTER the gap is that far from the BASE: the event
 * before the gap, or, behind a .*, the event where .* ended. Among several matches the first in the
 * order of a lazy search is meant: each gap as short as possible, the first gap first.
 *
 * ClickHouse searches by trying and going back, which can take time without bound. But what can
 * still follow at an event depends on the action and the event only: the base is the event before
 * or the event itself, known from the pattern. So one row of bits per action, filled from the last
 * action to the first: bit p of row i = actions i … end can be done from event p on. A gap needs
 * the next possible event (at most), the last one (at least) or a second pointer (equal); times
 * ascend, so a row is one sweep. Reading forward along possible bits then never goes back: counting
 * matches is one more sweep. Patterns without times only asked for "does it occur" need no rows:
 * a set of actions in one word, moved on by each event.
 *
 * The end of the run (bit `count`): what is left of the pattern may take nothing there if it is .*,
 * (?t<=n), (?t<n) or (?t>=0).
 *
 * Invariant, tested against a naive search: same answers; time count × actions. */
#include "analytics/sequence_int.h"

#include <stdlib.h>

#include "base/arena.h"
#include "base/check.h"

/* --- the pattern's text ----------------------------------------------------------------------- */

struct reader {
    struct str text;
    size_t at;
};

static bool read_word(struct reader *reader, const char *word)
{
    struct str rest = {reader->text.p + reader->at, reader->text.n - reader->at};
    if (!str_starts(rest, str_of(word)))
        return false;
    reader->at += strlen(word);
    return true;
}

static bool read_number(struct reader *reader, int64_t *ret_value)
{
    size_t start = reader->at;
    int64_t value = 0;
    for (; reader->at < reader->text.n; reader->at++) {
        unsigned digit = (unsigned)(reader->text.p[reader->at] - '0');
        if (digit > 9)
            break;
        if (__builtin_mul_overflow(value, 10, &value) ||
            __builtin_add_overflow(value, (int64_t)digit, &value))
            return false;
    }
    *ret_value = value;
    return reader->at > start;
}

static enum status bad(const struct reader *reader, const char *what, struct err *err)
{
    err_set(err, ST_INVALID, "the pattern has %s at position %zu", what, reader->at + 1);
    return err_hint(err, ST_INVALID,
                    "(?1) a step, . any event, .* any number of events, "
                    "(?t<=3600) seconds since the event before");
}

/* The rest of "(?t…": an operator and a number. */
static enum status read_time(struct reader *reader, int64_t unit,
                             struct sequence_action *ret_action, struct err *err)
{
    static const struct {
        const char *word;
        enum sequence_action_kind kind;
    } operators[] = {{"<=", SEQUENCE_AT_MOST},
                     {"<", SEQUENCE_BELOW},
                     {">=", SEQUENCE_AT_LEAST},
                     {">", SEQUENCE_ABOVE},
                     {"==", SEQUENCE_EQUAL}};
    size_t i = 0;
    while (i < 5 && !read_word(reader, operators[i].word))
        i++;
    if (i == 5)
        return bad(reader, "no <=, <, >=, > or ==", err);
    ret_action->kind = operators[i].kind;
    if (!read_number(reader, &ret_action->value) ||
        __builtin_mul_overflow(ret_action->value, unit, &ret_action->value))
        return bad(reader, "no number, or one that is too large,", err);
    return ST_OK;
}

static bool takes_one(enum sequence_action_kind kind)
{
    return kind == SEQUENCE_STEP || kind == SEQUENCE_ANY;
}

static enum status read_action(struct reader *reader, unsigned steps, int64_t unit,
                               enum sequence_action_kind before, struct sequence_action *ret_action,
                               struct err *err)
{
    enum status status = ST_OK;
    if (read_word(reader, ".*")) {
        *ret_action = (struct sequence_action){SEQUENCE_STAR, 0};
        return ST_OK;
    }
    if (read_word(reader, ".")) {
        *ret_action = (struct sequence_action){SEQUENCE_ANY, 0};
        return ST_OK;
    }
    if (!read_word(reader, "(?"))
        return bad(reader, "something unknown", err);
    if (read_word(reader, "t")) {
        if (!takes_one(before) && before != SEQUENCE_STAR)
            return bad(reader, "a time condition without an event before it", err);
        status = read_time(reader, unit, ret_action, err);
    } else {
        ret_action->kind = SEQUENCE_STEP;
        if (!read_number(reader, &ret_action->value))
            return bad(reader, "no number of a step", err);
        if (ret_action->value < 1 || ret_action->value > (int64_t)steps)
            return bad(reader, "a step that was not given", err);
        ret_action->value--;
    }
    if (status == ST_OK && !read_word(reader, ")"))
        return bad(reader, "no )", err);
    return status;
}

static void add_action(struct sequence_pattern *pattern, struct sequence_action action)
{
    uint64_t bit = UINT64_C(1) << pattern->count;
    pattern->actions[pattern->count++] = action;
    if (action.kind == SEQUENCE_STAR)
        pattern->stars |= bit;
    else if (action.kind == SEQUENCE_ANY)
        pattern->anything |= bit;
    else if (action.kind == SEQUENCE_STEP)
        pattern->accepts[action.value] |= bit;
    else
        pattern->has_time = true;
}

enum status sequence_pattern_parse(struct str text, unsigned steps, int64_t unit,
                                   struct sequence_pattern *ret_pattern, struct err *err)
{
    struct sequence_pattern pattern = {0};
    struct reader reader = {text, 0};
    CHECK(steps <= SEQUENCE_STEPS_MAX && unit >= 1);
    add_action(&pattern, (struct sequence_action){SEQUENCE_STAR, 0});
    while (reader.at < text.n) {
        struct sequence_action action = {0};
        enum status status = read_action(&reader, steps, unit,
                                         pattern.actions[pattern.count - 1].kind, &action, err);
        if (status != ST_OK)
            return status;
        if (pattern.count == SEQUENCE_ACTIONS_MAX)
            return err_set(err, ST_TOO_LARGE, "the pattern has more than %d parts",
                           SEQUENCE_ACTIONS_MAX - 1);
        add_action(&pattern, action);
    }
    *ret_pattern = pattern;
    return ST_OK;
}

/* --- rows of bits ----------------------------------------------------------------------------- */

void sequence_scratch_init(struct sequence_scratch *scratch)
{
    *scratch = (struct sequence_scratch){0};
}

void sequence_scratch_done(struct sequence_scratch *scratch)
{
    free(scratch->bits);
    *scratch = (struct sequence_scratch){0};
}

struct rows {
    const struct sequence_pattern *pattern;
    const struct sequence_event *events;
    size_t count;   /* of events; each row has count + 1 bits */
    size_t actions; /* of the pattern, from its beginning */
    size_t words;   /* of a row */
    uint64_t *bits; /* row i of actions + 1 */
};

#define NOWHERE SIZE_MAX

static bool can(const struct rows *rows, size_t action, size_t at)
{
    return (rows->bits[action * rows->words + at / 64] >> at % 64 & 1) != 0;
}

static void set_can(struct rows *rows, size_t action, size_t at)
{
    rows->bits[action * rows->words + at / 64] |= UINT64_C(1) << at % 64;
}

/* The first possible event of the row from `at` on, or NOWHERE. */
static size_t next_can(const struct rows *rows, size_t action, size_t at)
{
    const uint64_t *row = rows->bits + action * rows->words;
    if (at >= rows->count)
        return NOWHERE;
    size_t word = at / 64;
    uint64_t bits = row[word] >> at % 64 << at % 64;
    while (bits == 0 && ++word < rows->words)
        bits = row[word];
    if (bits == 0)
        return NOWHERE;
    at = word * 64 + (size_t)__builtin_ctzll(bits);
    return at < rows->count ? at : NOWHERE;
}

/* The event from which a time condition counts when the search stands at `at`. */
static size_t base_of(const struct rows *rows, size_t action, size_t at)
{
    return takes_one(rows->pattern->actions[action - 1].kind) ? at - 1 : at;
}

/* How far `at` is from the base of the time condition that was met at `from`. */
static uint64_t distance(const struct rows *rows, size_t action, size_t from, size_t at)
{
    return (uint64_t)rows->events[at].time -
           (uint64_t)rows->events[base_of(rows, action, from)].time;
}

static bool may_be_empty(const struct sequence_action *action)
{
    switch (action->kind) {
    case SEQUENCE_STAR:
    case SEQUENCE_AT_MOST:
    case SEQUENCE_BELOW:
        return true;
    case SEQUENCE_AT_LEAST:
        return action->value == 0;
    case SEQUENCE_STEP:
    case SEQUENCE_ANY:
    case SEQUENCE_ABOVE:
    case SEQUENCE_EQUAL:
        break;
    }
    return false;
}

static void fill_one(struct rows *rows, size_t i)
{
    const struct sequence_action *action = &rows->pattern->actions[i];
    uint32_t mask = action->kind == SEQUENCE_ANY ? UINT32_MAX : UINT32_C(1) << action->value;
    for (size_t at = 0; at < rows->count; at++)
        if ((rows->events[at].steps & mask) != 0 && can(rows, i + 1, at + 1))
            set_can(rows, i, at);
}

/* (?t==n), n > 0: `hit` is the first possible event at least n away; it only moves to the left. */
static void fill_equal(struct rows *rows, size_t i, size_t lowest)
{
    uint64_t value = (uint64_t)rows->pattern->actions[i].value;
    size_t hit = rows->count, left = rows->count;
    for (size_t at = rows->count; at-- > lowest;) {
        while (left > lowest && (left - 1 >= base_of(rows, i, at)) &&
               distance(rows, i, at, left - 1) >= value) {
            left--;
            if (can(rows, i + 1, left))
                hit = left;
        }
        if (hit < rows->count && distance(rows, i, at, hit) == value)
            set_can(rows, i, at);
    }
}

static void fill_gap(struct rows *rows, size_t i)
{
    const struct sequence_action *action = &rows->pattern->actions[i];
    uint64_t value = (uint64_t)action->value;
    size_t next = NOWHERE, last = NOWHERE;
    /* Behind a step there is an event before. */
    size_t lowest = i > 0 && takes_one(rows->pattern->actions[i - 1].kind);
    if (action->kind == SEQUENCE_EQUAL && value > 0) {
        fill_equal(rows, i, lowest);
        return;
    }
    for (size_t at = rows->count; at-- > lowest;) {
        if (can(rows, i + 1, at)) {
            next = at;
            last = last == NOWHERE ? at : last;
        }
        if (next == NOWHERE)
            continue;
        bool fits = true;
        if (action->kind == SEQUENCE_AT_MOST || action->kind == SEQUENCE_EQUAL)
            fits = distance(rows, i, at, next) <= value;
        else if (action->kind == SEQUENCE_BELOW)
            fits = distance(rows, i, at, next) < value;
        else if (action->kind == SEQUENCE_AT_LEAST)
            fits = distance(rows, i, at, last) >= value;
        else if (action->kind == SEQUENCE_ABOVE)
            fits = distance(rows, i, at, last) > value;
        if (fits)
            set_can(rows, i, at);
    }
}

/* The rows of the pattern's first `actions` actions. */
static struct rows fill(const struct sequence_pattern *pattern, size_t actions,
                        const struct sequence_event *events, size_t count,
                        struct sequence_scratch *scratch)
{
    struct rows rows = {pattern, events, count, actions, count / 64 + 1, NULL};
    size_t words = rows.words * (actions + 1);
    if (scratch->words < words) {
        scratch->words = words + words / 2;
        free(scratch->bits);
        scratch->bits = mem_alloc(scratch->words * sizeof *scratch->bits);
    }
    rows.bits = scratch->bits;
    memset(rows.bits, 0, rows.words * actions * sizeof *rows.bits);
    memset(rows.bits + rows.words * actions, 0xff, rows.words * sizeof *rows.bits);
    bool is_tail = true;
    for (size_t i = actions; i-- > 0;) {
        is_tail = is_tail && may_be_empty(&pattern->actions[i]);
        if (is_tail)
            set_can(&rows, i, count);
        if (takes_one(pattern->actions[i].kind))
            fill_one(&rows, i);
        else
            fill_gap(&rows, i);
    }
    return rows;
}

/* --- reading them ----------------------------------------------------------------------------- */

/* Where a gap that was met at `at` ends, as short as possible. */
static size_t gap_end(const struct rows *rows, size_t action, size_t at)
{
    const struct sequence_action *gap = &rows->pattern->actions[action];
    size_t end = next_can(rows, action + 1, at);
    while (end != NOWHERE) {
        bool fits = true;
        if (gap->kind == SEQUENCE_AT_LEAST || gap->kind == SEQUENCE_EQUAL)
            fits = distance(rows, action, at, end) >= (uint64_t)gap->value;
        else if (gap->kind == SEQUENCE_ABOVE)
            fits = distance(rows, action, at, end) > (uint64_t)gap->value;
        if (fits)
            break;
        end = next_can(rows, action + 1, end + 1);
    }
    CHECK(end != NOWHERE); /* the row said that there is one */
    return end;
}

/* The match that a lazy search from `at` finds first (there is one): where it ends. With `ret_at`
 * the events that steps took. */
static size_t walk(const struct rows *rows, size_t at, size_t *ret_at, size_t *ret_count)
{
    for (size_t i = 0; i < rows->actions && at < rows->count; i++) {
        enum sequence_action_kind kind = rows->pattern->actions[i].kind;
        if (!takes_one(kind)) {
            at = gap_end(rows, i, at);
            continue;
        }
        if (ret_at != NULL && kind == SEQUENCE_STEP)
            ret_at[(*ret_count)++] = at;
        at++;
    }
    return at;
}

/* The actions that an active set leads to without an event: what stands behind a star. */
static uint64_t closure(const struct sequence_pattern *pattern, uint64_t active)
{
    for (uint64_t more; (more = (active & pattern->stars) << 1 & ~active) != 0;)
        active |= more;
    return active;
}

/* Every action that the events of the run lead to, the pattern's end included; patterns without
 * times only. */
static uint64_t sweep(const struct sequence_pattern *pattern, const struct sequence_event *events,
                      size_t count)
{
    uint64_t end = UINT64_C(1) << pattern->count, active = closure(pattern, 1), met = active;
    for (size_t i = 0; i < count && (met & end) == 0; i++) {
        uint64_t takes = pattern->anything;
        for (uint32_t steps = events[i].steps; steps != 0; steps &= steps - 1)
            takes |= pattern->accepts[__builtin_ctz(steps)];
        active = closure(pattern, (active & takes) << 1 | (active & pattern->stars));
        met |= active;
    }
    return met;
}

static bool match_untimed(const struct sequence_pattern *pattern,
                          const struct sequence_event *events, size_t count)
{
    return (sweep(pattern, events, count) >> pattern->count & 1) != 0;
}

bool sequence_match(const struct sequence_pattern *pattern, const struct sequence_event *events,
                    size_t count, struct sequence_scratch *scratch)
{
    if (!pattern->has_time)
        return match_untimed(pattern, events, count);
    struct rows rows = fill(pattern, pattern->count, events, count, scratch);
    return can(&rows, 0, 0);
}

size_t sequence_count(const struct sequence_pattern *pattern, const struct sequence_event *events,
                      size_t count, struct sequence_scratch *scratch)
{
    size_t matches = 0;
    if (!pattern->has_time && !match_untimed(pattern, events, count))
        return 0;
    struct rows rows = fill(pattern, pattern->count, events, count, scratch);
    for (size_t at = 0; at < count && can(&rows, 0, at); matches++) {
        size_t end = walk(&rows, at, NULL, NULL);
        at = end == at ? at + 1 : end; /* a match of nothing: go on behind the next event */
    }
    return matches;
}

/* The beginnings that end with a step: of how many actions each is. */
static size_t beginnings(const struct sequence_pattern *pattern, size_t ends[])
{
    size_t steps = 0;
    for (size_t i = 0; i < pattern->count; i++)
        if (pattern->actions[i].kind == SEQUENCE_STEP)
            ends[steps++] = i + 1;
    return steps;
}

/* How many of the pattern's steps the run has in their order, whatever must lie between them: no
 * beginning can be longer. */
static size_t steps_in_order(const struct sequence_pattern *pattern, const size_t ends[],
                             size_t steps, const struct sequence_event *events, size_t count)
{
    size_t n = 0;
    for (size_t i = 0; i < count && n < steps; i++)
        n += events[i].steps >> pattern->actions[ends[n] - 1].value & 1;
    return n;
}

size_t sequence_reached(const struct sequence_pattern *pattern, const struct sequence_event *events,
                        size_t count, struct sequence_scratch *scratch)
{
    size_t ends[SEQUENCE_ACTIONS_MAX], steps = beginnings(pattern, ends);
    if (!pattern->has_time) {
        uint64_t behind = 0;
        for (size_t k = 0; k < steps; k++)
            behind |= UINT64_C(1) << ends[k];
        return (size_t)__builtin_popcountll(sweep(pattern, events, count) & behind);
    }
    size_t high = steps_in_order(pattern, ends, steps, events, count), probe = high;
    size_t low = high > 0 && ends[0] == 2; /* its first step alone: needs no search */
    while (low < high) { /* beginnings are found as long as they are short enough: halve */
        struct rows rows = fill(pattern, ends[probe - 1], events, count, scratch);
        if (can(&rows, 0, 0))
            low = probe;
        else
            high = probe - 1;
        probe = (low + high + 1) / 2;
    }
    return low;
}

size_t sequence_match_events(const struct sequence_pattern *pattern,
                             const struct sequence_event *events, size_t count,
                             struct sequence_scratch *scratch, size_t *ret_at)
{
    size_t found = 0, ends[SEQUENCE_ACTIONS_MAX], steps = beginnings(pattern, ends);
    size_t reached = sequence_reached(pattern, events, count, scratch);
    if (reached == 0)
        return 0;
    bool whole = reached == steps; /* unless what stands behind the last step is missing */
    struct rows rows =
        fill(pattern, whole ? pattern->count : ends[reached - 1], events, count, scratch);
    if (whole && !can(&rows, 0, 0))
        rows = fill(pattern, ends[reached - 1], events, count, scratch);
    walk(&rows, 0, ret_at, &found);
    return found;
}
