/* live_sequence.c - who did it in this pattern, how often, and how far the others came.
 *
 *   "steps"     1 to 20 events
 *   "pattern"   ClickHouse's: (?1) a step, . any event that is a step, .* any number of them,
 *               (?t<=3600) whole seconds since the event before (< <= > >= ==)
 *   "examples"  how many people to show with the times of their steps, default 0
 *
 * Only events in [from, to) that are some step are seen, in the person's order: time, then journal
 * position. A person ENTERS with the pattern's first step and reaches as many of its steps as the
 * longest beginning of a match has; a MATCH is all of it, also what stands behind the last step.
 * "matches" counts matches that do not overlap. So "A and then no B within an hour" is "missed" of
 * (?1)(?t<=3600)(?2). A pattern without steps looks at everybody who has an event that is one; one
 * that needs no event at all matches everybody who has any event.
 *
 * Every person counts once; with a breakdown the first event of their first match (or of the
 * longest beginning) says where. One pass: people without the first step are passed over by their
 * codes, 32 at a time; when it is rare, only those who have it are read. The bound by the order of
 * steps alone (sequence_reached) leaves the search itself to those who can get further. */
#include "analytics/live_steps_int.h"

#include <math.h>
#include <stdlib.h>

#define EXAMPLES_MAX 100

struct sequence_ask {
    struct live_steps steps;
    struct sequence_pattern pattern;
    struct str text;
    unsigned parts;                       /* of the pattern that are steps … */
    uint32_t order[SEQUENCE_ACTIONS_MAX]; /* … and which: indices into steps */
    bool needs_none;                      /* who did none of the steps matches, too */
    size_t examples;

    /* Of a cell: whose level lies within; value = values: any. */
    uint64_t want_least, want_most, want_value, want_person;
    bool want_previous;
};

/* Levels: so many steps of the pattern; parts + 1 = a match. */
static unsigned levels_of(const struct sequence_ask *sequence)
{
    return sequence->parts + 2;
}

/* Somebody to be shown. */
struct example {
    uint64_t person;
    size_t matches, steps;
    uint32_t times[SEQUENCE_ACTIONS_MAX];
};

struct examples {
    struct example *list; /* limit + 1 */
    size_t count, limit;
};

struct tally {
    uint64_t *people;  /* [values × levels] */
    uint64_t *matches; /* [values] */
    struct examples examples;
};

/* One thread's. */
struct worker {
    const struct sequence_ask *sequence;
    uint32_t values;
    struct tally tally;
    struct live_steps_reader reader;
    struct sequence_scratch scratch;
    char apart[64]; /* threads count into lines of their own */
};

/* --- the question ----------------------------------------------------------------------------- */

static enum status pattern_parse(struct live_ask *ask, struct sequence_ask *sequence,
                                 struct err *err)
{
    yyjson_val *text = yyjson_obj_get(ask->question, "pattern");
    struct sequence_scratch scratch;
    if (!yyjson_is_str(text)) {
        err_set(err, ST_INVALID, "\"pattern\" must be a text");
        return err_hint(err, ST_INVALID,
                        "(?1).*(?2): step 1 and later step 2; (?1)(?t<=3600)(?2): within an hour");
    }
    sequence->text = json_str(text);
    enum status status = sequence_pattern_parse(sequence->text, (unsigned)sequence->steps.count, 1,
                                                &sequence->pattern, err);
    if (status != ST_OK)
        return status;
    for (size_t i = 0; i < sequence->pattern.count; i++)
        if (sequence->pattern.actions[i].kind == SEQUENCE_STEP)
            sequence->order[sequence->parts++] = (uint32_t)sequence->pattern.actions[i].value;
    sequence_scratch_init(&scratch);
    sequence->needs_none = sequence_match(&sequence->pattern, NULL, 0, &scratch);
    sequence_scratch_done(&scratch);
    if (sequence->needs_none)
        live_steps_take_all(&sequence->steps);
    return ST_OK;
}

static enum status sequence_parse(struct live_ask *ask, struct sequence_ask *sequence,
                                  struct err *err)
{
    static const char *const members[] = {"steps", "pattern", "examples", NULL};
    double examples = 0;
    enum status status = live_ask_known(ask, members, err);
    if (status == ST_OK)
        status = live_steps_parse(ask, "steps", &sequence->steps, err);
    if (status == ST_OK)
        status = pattern_parse(ask, sequence, err);
    if (status == ST_OK)
        status = live_ask_number(ask, "examples", 0, EXAMPLES_MAX, 0, &examples, err);
    sequence->examples = ask->cell == NULL ? (size_t)examples : 0;
    return status;
}

static enum status cell_read(const struct live_ask *ask, struct sequence_ask *sequence,
                             struct err *err)
{
    uint64_t values = live_breakdown_values(ask);
    enum status status =
        live_cell_number(ask, "least", levels_of(sequence), &sequence->want_least, err);
    if (status == ST_OK)
        status = live_cell_number(ask, "most", levels_of(sequence), &sequence->want_most, err);
    sequence->want_value = values;
    if (status == ST_OK && yyjson_obj_get(ask->cell, "value") != NULL)
        status = live_cell_number(ask, "value", values, &sequence->want_value, err);
    if (status == ST_OK && yyjson_obj_get(ask->cell, "person") != NULL)
        status = live_cell_number(ask, "person", UINT64_MAX, &sequence->want_person, err);
    sequence->want_previous = yyjson_obj_get(ask->cell, "previous") != NULL;
    return status;
}

/* --- examples --------------------------------------------------------------------------------- */

/* Matches before beginnings, longer ones first, then the newest; and always the same. */
static bool comes_before(const struct example *a, const struct example *b)
{
    if ((a->matches > 0) != (b->matches > 0))
        return a->matches > 0;
    if (a->steps != b->steps)
        return a->steps > b->steps;
    uint32_t x = a->steps > 0 ? a->times[a->steps - 1] : 0;
    uint32_t y = b->steps > 0 ? b->times[b->steps - 1] : 0;
    return x != y ? x > y : a->person < b->person;
}

static void examples_init(struct examples *examples, size_t limit)
{
    *examples = (struct examples){.limit = limit};
    if (limit > 0)
        examples->list = mem_zero((limit + 1) * sizeof *examples->list);
}

static void example_add(struct examples *examples, const struct example *example)
{
    size_t at = examples->count;
    for (; at > 0 && comes_before(example, &examples->list[at - 1]); at--)
        examples->list[at] = examples->list[at - 1];
    if (at == examples->limit)
        return;
    examples->list[at] = *example;
    examples->count += examples->count < examples->limit;
}

/* --- a person --------------------------------------------------------------------------------- */

/* Reached `level`, in `matches` matches; `first` is the event that says where they count. */
static void person_add(const struct live_ask *ask, struct worker *worker,
                       const struct timeline_run *run, size_t level, size_t matches, uint32_t first)
{
    const struct sequence_ask *sequence = worker->sequence;
    uint32_t value = live_breakdown_of(ask, run, first);
    if (ask->want == NULL) {
        worker->tally.people[(size_t)value * levels_of(sequence) + level]++;
        worker->tally.matches[value] += matches;
        return;
    }
    if (level >= sequence->want_least && level <= sequence->want_most &&
        (sequence->want_value == worker->values || sequence->want_value == value))
        live_want(ask, run->person);
}

static void example_make(const struct live_ask *ask, struct worker *worker,
                         const struct timeline_run *run, size_t matches, const size_t *at, size_t n)
{
    struct example example = {timeline_person_id(ask->view, run->person), matches, n, {0}};
    for (size_t i = 0; i < n; i++)
        example.times[i] = (uint32_t)worker->reader.events[at[i]].time;
    example_add(&worker->tally.examples, &example);
}

/* A pattern without steps. */
static void stepless_each(const struct live_ask *ask, struct worker *worker,
                          const struct timeline_run *run, size_t count)
{
    const struct sequence_ask *sequence = worker->sequence;
    const struct sequence_event *events = worker->reader.events;
    uint32_t first = 0, end;
    if (count == 0 && !(sequence->needs_none && worker->reader.has_any))
        return;
    size_t matches = sequence_count(&sequence->pattern, events, count, &worker->scratch);
    if (count > 0)
        first = events[0].row;
    else
        live_window(ask, run, &first, &end);
    person_add(ask, worker, run, count == 0 || matches > 0, matches, first);
    if (sequence->examples > 0 && (count == 0 || matches > 0))
        example_make(ask, worker, run, matches, NULL, 0);
}

static void sequence_each(const struct live_ask *ask, const struct timeline_run *run, void *ctx)
{
    struct worker *worker = ctx;
    const struct sequence_ask *sequence = worker->sequence;
    const struct sequence_pattern *pattern = &sequence->pattern;
    const struct sequence_event *events;
    size_t at[SEQUENCE_ACTIONS_MAX] = {0}, matches = 0, reached;
    size_t count = live_steps_read(ask, &sequence->steps, run, &worker->reader);
    if (sequence->parts == 0) {
        stepless_each(ask, worker, run, count);
        return;
    }
    if ((worker->reader.held >> sequence->order[0] & 1) == 0)
        return;
    events = worker->reader.events;
    reached = ask->breakdown != NULL || sequence->examples > 0
                  ? sequence_match_events(pattern, events, count, &worker->scratch, at)
                  : sequence_reached(pattern, events, count, &worker->scratch);
    if (reached == 0)
        return;
    if (reached == sequence->parts)
        matches = sequence_count(pattern, events, count, &worker->scratch);
    person_add(ask, worker, run, reached + (matches > 0), matches, events[at[0]].row);
    if (sequence->examples > 0)
        example_make(ask, worker, run, matches, at, reached);
}

/* --- one window ------------------------------------------------------------------------------- */

/* Whom to read; true = `set` is made. */
static bool people_choose(const struct live_ask *ask, const struct sequence_ask *sequence,
                          struct timeline_set *set)
{
    uint32_t needed = 0;
    size_t steps = ask->cell != NULL && sequence->want_least > 1 ? sequence->want_least : 1;
    if (sequence->want_person != 0) {
        uint32_t slot = timeline_person_find(ask->view, sequence->want_person);
        timeline_set_init(set, ask->view);
        if (slot != TIMELINE_NONE)
            timeline_set_add(set, slot);
        return true;
    }
    for (size_t k = 0; k < steps && k < sequence->parts; k++)
        needed |= UINT32_C(1) << sequence->order[k];
    return live_steps_rare(ask, &sequence->steps, needed, set);
}

static void tally_init(struct tally *tally, const struct sequence_ask *sequence, uint32_t values)
{
    tally->people = mem_zero((size_t)values * levels_of(sequence) * sizeof *tally->people);
    tally->matches = mem_zero(values * sizeof *tally->matches);
    examples_init(&tally->examples, sequence->examples);
}

static void tally_done(struct tally *tally)
{
    free(tally->people);
    free(tally->matches);
    free(tally->examples.list);
}

static void tally_join(struct tally *tally, const struct tally *from,
                       const struct sequence_ask *sequence, uint32_t values)
{
    for (size_t i = 0; i < (size_t)values * levels_of(sequence); i++)
        tally->people[i] += from->people[i];
    for (uint32_t v = 0; v < values; v++)
        tally->matches[v] += from->matches[v];
    for (size_t i = 0; i < from->examples.count; i++)
        example_add(&tally->examples, &from->examples.list[i]);
}

static enum status window_count(struct live_ask *ask, const struct sequence_ask *sequence,
                                struct tally *tally, struct err *err)
{
    int threads = live_threads(ask);
    uint32_t values = live_breakdown_values(ask);
    struct timeline_set set;
    struct worker *workers = mem_zero((size_t)threads * sizeof *workers);
    for (int t = 0; t < threads; t++) {
        workers[t].sequence = sequence;
        workers[t].values = values;
        tally_init(&workers[t].tally, sequence, values);
        sequence_scratch_init(&workers[t].scratch);
    }
    bool chosen = people_choose(ask, sequence, &set);
    enum status status = live_pass(ask, chosen ? &set : NULL, sequence->steps.wanted, sequence_each,
                                   workers, sizeof *workers, err);
    tally_init(tally, sequence, values);
    for (int t = 0; t < threads; t++) {
        tally_join(tally, &workers[t].tally, sequence, values);
        tally_done(&workers[t].tally);
        live_steps_reader_done(&workers[t].reader);
        sequence_scratch_done(&workers[t].scratch);
    }
    if (chosen)
        timeline_set_done(&set);
    free(workers);
    return status;
}

/* --- the answer ------------------------------------------------------------------------------- */

/* Of one value of the breakdown, or of all (value = values). */
struct line {
    const struct sequence_ask *sequence;
    uint32_t value;
    bool all;
};

static uint64_t people_from(const struct live_ask *ask, const struct line *line,
                            const struct tally *tally, unsigned level)
{
    unsigned levels = levels_of(line->sequence);
    uint64_t people = 0;
    for (uint32_t value = 0; value < live_breakdown_values(ask); value++)
        for (unsigned k = level; (line->all || value == line->value) && k < levels; k++)
            people += tally->people[(size_t)value * levels + k];
    return people;
}

static uint64_t matches_of(const struct live_ask *ask, const struct line *line,
                           const struct tally *tally)
{
    uint64_t matches = 0;
    for (uint32_t value = 0; value < live_breakdown_values(ask); value++)
        matches += line->all || value == line->value ? tally->matches[value] : 0;
    return matches;
}

static double share_of(uint64_t part, uint64_t whole)
{
    return whole == 0 ? NAN : (double)part / (double)whole;
}

static double change_of(uint64_t then, uint64_t now)
{
    return then == 0 ? NAN : ((double)now - (double)then) / (double)then;
}

static void put_cell(const struct live_ask *ask, const struct line *line, const char *member,
                     unsigned least, unsigned most, bool previous, struct buf *json)
{
    char value[32] = "";
    if (!line->all)
        snprintf(value, sizeof value, ",\"value\":%u", line->value);
    live_put_cell_of(ask, json, member, "{\"least\":%u,\"most\":%u%s%s}", least, most,
                     previous ? ",\"previous\":1" : "", value);
}

/* Entered, matched, missed. */
static void put_match(const struct live_ask *ask, const struct line *line,
                      const struct tally *tally, const struct tally *before, struct buf *json)
{
    unsigned match = line->sequence->parts + 1, first = line->sequence->parts > 0;
    uint64_t entered = people_from(ask, line, tally, first);
    uint64_t people = people_from(ask, line, tally, match);
    json_put_member_uint(json, "entered", entered);
    json_put_member_uint(json, "people_matching", people);
    json_put_member_number(json, "rate", share_of(people, entered));
    json_put_member_uint(json, "matches", matches_of(ask, line, tally));
    json_put_member_uint(json, "missed", entered - people);
    if (before != NULL) {
        uint64_t then = people_from(ask, line, before, match);
        json_put_member_uint(json, "previous_people", then);
        json_put_member_uint(json, "previous_matches", matches_of(ask, line, before));
        json_put_member_number(json, "change", change_of(then, people));
        put_cell(ask, line, "previous_cell", match, match, true, json);
    }
    put_cell(ask, line, "cell", match, match, false, json);
    put_cell(ask, line, "entered_cell", first, match, false, json);
    put_cell(ask, line, "missed_cell", first, match - 1, false, json);
}

static void put_step(const struct live_ask *ask, const struct line *line, const struct tally *tally,
                     const struct tally *before, unsigned step, struct buf *json)
{
    const struct sequence_ask *sequence = line->sequence;
    unsigned match = sequence->parts + 1;
    uint64_t people = people_from(ask, line, tally, step);
    uint64_t last = people_from(ask, line, tally, step > 1 ? step - 1 : 1);
    json_put_comma(json);
    buf_char(json, '{');
    if (!line->all)
        live_put_breakdown(ask, json, line->value);
    json_put_member_uint(json, "step", step);
    json_put_member_str(json, "event", live_step_name(&sequence->steps, sequence->order[step - 1]));
    json_put_member_uint(json, "people", people);
    json_put_member_number(json, "from_previous", share_of(people, last));
    json_put_member_number(json, "from_first", share_of(people, people_from(ask, line, tally, 1)));
    json_put_member_uint(json, "dropped", last - people);
    if (before != NULL) {
        uint64_t then = people_from(ask, line, before, step);
        json_put_member_uint(json, "previous_people", then);
        json_put_member_number(json, "change", change_of(then, people));
        put_cell(ask, line, "previous_cell", step, match, true, json);
    }
    put_cell(ask, line, "cell", step, match, false, json);
    if (step > 1)
        put_cell(ask, line, "dropped_cell", step - 1, step - 1, false, json);
    buf_char(json, '}');
}

/* Of each value that occurred. */
static void put_values(const struct live_ask *ask, const struct sequence_ask *sequence,
                       const struct tally *tally, const struct tally *before, bool steps,
                       struct buf *json)
{
    buf_char(json, '[');
    for (uint32_t value = 0; value < live_breakdown_values(ask); value++) {
        struct line line = {sequence, value, ask->breakdown == NULL};
        bool occurred = people_from(ask, &line, tally, 0) > 0 ||
                        (before != NULL && people_from(ask, &line, before, 0) > 0);
        if (!occurred && ask->breakdown != NULL)
            continue;
        for (unsigned step = 1; steps && step <= sequence->parts; step++)
            put_step(ask, &line, tally, before, step, json);
        if (steps)
            continue;
        json_put_comma(json);
        buf_char(json, '{');
        live_put_breakdown(ask, json, value);
        put_match(ask, &line, tally, before, json);
        buf_char(json, '}');
    }
    buf_char(json, ']');
}

/* Times, and a cell that opens the one person; who it is, is read there. */
static void put_examples(const struct live_ask *ask, const struct sequence_ask *sequence,
                         const struct examples *examples, struct buf *json)
{
    json_put_name(json, "examples");
    buf_char(json, '[');
    for (size_t i = 0; i < examples->count; i++) {
        const struct example *example = &examples->list[i];
        json_put_comma(json);
        buf_char(json, '{');
        json_put_member_uint(json, "matches", example->matches);
        json_put_name(json, "times");
        buf_char(json, '[');
        for (size_t k = 0; k < example->steps; k++) {
            char text[LIVE_MOMENT_BYTES];
            live_moment(ask, example->times[k] * US_PER_S, text);
            json_put_comma(json);
            json_put_str(json, str_of(text));
        }
        buf_char(json, ']');
        live_put_cell(ask, json, "{\"least\":0,\"most\":%u,\"person\":%llu}", sequence->parts + 1,
                      (unsigned long long)example->person);
        buf_char(json, '}');
    }
    buf_char(json, ']');
}

static void put_answer(const struct live_ask *ask, const struct sequence_ask *sequence,
                       const struct tally *tally, const struct tally *before, struct buf *json)
{
    struct line all = {sequence, 0, true};
    json_put_member_str(json, "pattern", sequence->text);
    put_match(ask, &all, tally, before, json);
    json_put_member_str(json, "bars", STR("people"));
    json_put_name(json, "rows");
    put_values(ask, sequence, tally, before, true, json);
    if (ask->breakdown != NULL) {
        json_put_name(json, "matching");
        put_values(ask, sequence, tally, before, false, json);
    }
    if (sequence->examples > 0)
        put_examples(ask, sequence, &tally->examples, json);
    json_put_member_raw(json, "left_out", STR("[]"));
}

static enum status cell_count(struct live_ask *ask, struct sequence_ask *sequence, struct err *err)
{
    struct tally tally = {0};
    enum status status = cell_read(ask, sequence, err);
    if (status != ST_OK)
        return status;
    struct live_ask window = sequence->want_previous ? live_previous(ask) : *ask;
    status = window_count(&window, sequence, &tally, err);
    tally_done(&tally);
    return status;
}

enum status live_sequence(struct live_ask *ask, struct buf *json, struct err *err)
{
    struct sequence_ask *sequence = ARENA_NEW(ask->arena, struct sequence_ask);
    struct tally tally = {0}, before = {0};
    enum status status = sequence_parse(ask, sequence, err);
    if (status != ST_OK)
        return status;
    if (ask->cell != NULL)
        return cell_count(ask, sequence, err);
    if (ask->compare) {
        struct live_ask previous = live_previous(ask);
        status = window_count(&previous, sequence, &before, err);
        ask->events_read = previous.events_read;
    }
    if (status == ST_OK)
        status = window_count(ask, sequence, &tally, err);
    if (status == ST_OK)
        put_answer(ask, sequence, &tally, ask->compare ? &before : NULL, json);
    tally_done(&before);
    tally_done(&tally);
    return status;
}
