/* live_conditions.c - retention by conditions: of those who did the first thing, how many did each
 * of the others, too.
 *
 *   "conditions"  1 to 20 events
 *
 * ClickHouse's retention(cond1, cond2, …): a person has row 1 when condition 1 held at some event
 * in [from, to), row k when that and condition k held. Order and time play no part, so this is the
 * way to ask "of the people of Monday's mail, who came on Tuesday, who on Friday". A member of the
 * report retention, which else speaks of periods. */
#include "analytics/live_steps_int.h"

#include <math.h>
#include <stdlib.h>

#include "analytics/retention.h"

struct worker {
    const struct live_steps *steps;
    uint64_t want; /* of a cell: row */
    uint64_t people[LIVE_STEPS_MAX];
    struct live_steps_reader reader;
    char apart[64];
};

static void conditions_each(const struct live_ask *ask, const struct timeline_run *run, void *ctx)
{
    struct worker *worker = ctx;
    size_t count = live_steps_read(ask, worker->steps, run, &worker->reader);
    uint32_t held = retention_conditions(worker->reader.events, count);
    if (ask->want != NULL && (held >> worker->want & 1) != 0)
        live_want(ask, run->person);
    for (; ask->want == NULL && held != 0; held &= held - 1)
        worker->people[__builtin_ctz(held)]++;
}

static void put_answer(const struct live_ask *ask, const struct live_steps *steps,
                       const uint64_t *people, struct buf *json)
{
    json_put_member_uint(json, "people_started", people[0]);
    json_put_member_str(json, "bars", STR("people"));
    json_put_name(json, "rows");
    buf_char(json, '[');
    for (size_t k = 0; k < steps->count; k++) {
        json_put_comma(json);
        buf_char(json, '{');
        json_put_member_uint(json, "step", k + 1);
        json_put_member_str(json, "event", live_step_name(steps, k));
        json_put_member_uint(json, "people", people[k]);
        json_put_member_number(json, "from_first",
                               people[0] == 0 ? NAN : (double)people[k] / (double)people[0]);
        live_put_cell(ask, json, "{\"condition\":%zu}", k);
        buf_char(json, '}');
    }
    buf_text(json, "],\"left_out\":[]");
}

enum status live_conditions(struct live_ask *ask, struct buf *json, struct err *err)
{
    static const char *const members[] = {"conditions", NULL};
    struct live_steps steps;
    struct timeline_set set;
    uint64_t want = 0;
    int threads = live_threads(ask);
    enum status status = live_ask_known(ask, members, err);
    if (status == ST_OK && (ask->breakdown != NULL || ask->compare))
        return err_set(err, ST_INVALID,
                       "\"breakdown\" and \"compare\": this report has none; use \"where\"");
    if (status == ST_OK)
        status = live_steps_parse(ask, "conditions", &steps, err);
    if (status == ST_OK && ask->cell != NULL)
        status = live_cell_number(ask, "condition", steps.count, &want, err);
    if (status != ST_OK)
        return status;
    struct worker *workers = mem_zero((size_t)threads * sizeof *workers), *sum = &workers[0];
    for (int t = 0; t < threads; t++) {
        workers[t].steps = &steps;
        workers[t].want = want;
    }
    bool rare = live_steps_rare(ask, &steps, 1 | UINT32_C(1) << want, &set);
    status = live_pass(ask, rare ? &set : NULL, steps.wanted, conditions_each, workers,
                       sizeof *workers, err);
    for (int t = 0; t < threads; t++) {
        for (size_t k = 0; t > 0 && k < steps.count; k++)
            sum->people[k] += workers[t].people[k];
        live_steps_reader_done(&workers[t].reader);
    }
    if (status == ST_OK && ask->cell == NULL)
        put_answer(ask, &steps, sum->people, json);
    if (rare)
        timeline_set_done(&set);
    free(workers);
    return status;
}
