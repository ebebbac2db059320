/* live_storm_test.c - reports while people merge and part, late events come and somebody is erased.
 *
 * The storm: one thread feeds events, merges and their undoing, and commits after every few of
 * them, while others ask every kind of report and open cells. An answer says of which position it
 * is. Afterwards the same history is fed to a second, quiet timeline up to each of these positions,
 * and the same question must get the same answer there: the one was read out of bases and deltas
 * that changed beneath it, the other out of a row of deltas at rest. How far the feeding may be
 * ahead of the answers is counted, so the test is as long on a slow machine as on a fast one. */
#include "analytics/live_test_int.h"

#include <pthread.h>
#include <stdio.h>

#include "base/check.h"

#define VISITORS 8000 /* eight pages */
#define HOT 125       /* every 125th has most events, and merges */
#define ASKERS 2
#define ANSWERS 42 /* of each */
#define ROUNDS_PER_ANSWER 40
#define CHANGES 6 /* of a round */
#define CHANGES_MAX (ASKERS * (ANSWERS + 2) * ROUNDS_PER_ANSWER * VISITORS / HOT * CHANGES)

/* Every kind but clv, whose model needs real customers and which reads the same orders as rfm. */
static const struct {
    const char *report, *question;
    const char *list, *number; /* beside a cell */
} kinds[] = {
    {"trend", "{\"from\":\"2026-11-01\",\"breakdown\":{\"by\":\"channel\"}}", "totals", "people"},
    {"trend",
     "{\"event\":\"order\",\"from\":\"2026-11-10\",\"to\":\"2026-11-20\",\"measure\":\"p90\","
     "\"compare\":\"previous\"}",
     "rows", "people"},
    {"lifecycle", "{\"event\":\"view\",\"from\":\"2026-11-08\"}", "rows", "active"},
    {"stickiness", "{\"event\":\"*\",\"from\":\"2026-11-10\"}", "rows", "people"},
    {"funnel",
     "{\"steps\":[\"visit\",\"view\",\"order\"],\"from\":\"2026-11-05\",\"window\":\"3d\","
     "\"breakdown\":{\"by\":\"channel\",\"top\":2}}",
     "rows", "people"},
    {"funnel", "{\"steps\":[\"visit\",\"view\"],\"order\":\"strict\",\"from\":\"2026-11-05\"}",
     "rows", "people"},
    {"funnel", "{\"steps\":[\"order\",\"visit\"],\"order\":\"unordered\",\"window\":\"1d\"}",
     "rows", "people"},
    {"retention", "{\"start\":\"visit\",\"return\":\"*\",\"from\":\"2026-11-05\",\"periods\":7}",
     "triangle", "returned"},
    {"paths", "{\"from\":\"2026-11-05\",\"gap\":\"12h\",\"cross_channel\":true,\"top\":3}", "rows",
     "people"},
    {"sequence",
     "{\"steps\":[\"visit\",\"order\"],\"pattern\":\"(?1)(?t<=86400)(?2)\",\"from\":\"2026-11-"
     "05\"}",
     "rows", "people"},
    {"cohort", "{\"from\":\"2026-11-01\",\"unit\":\"week\",\"order\":\"order\"}", "rows", "people"},
    {"attribution", "{\"conversion\":\"order\",\"from\":\"2026-11-10\"}", NULL, NULL},
    {"rfm", "{\"order\":\"order\"}", "rows", "customers"},
    {"kmeans", "{\"k\":3,\"order\":\"order\",\"from\":\"2026-11-20\",\"to\":\"2026-11-21\"}",
     "rows", "customers"},
    {"weekly", "{\"order\":\"order\"}", NULL, NULL},
};
#define KINDS (sizeof kinds / sizeof kinds[0])

/* --- what happened ---------------------------------------------------------------------------- */

struct change {
    struct timeline_event event;
    bool is_person; /* only visitor and person count */
};

struct storm {
    struct world world;
    pthread_mutex_t gate; /* the feed holds it for a round: who has it sees one position */
    pthread_mutex_t mutex;
    pthread_cond_t answered;
    unsigned answers, asking; /* under the mutex */

    /* The feed's own until it has ended. */
    struct change *changes;
    size_t count;
    uint64_t owner[VISITORS], chance;
    uint64_t position;
};

struct answer {
    size_t kind;
    uint64_t position;
    enum status status;
    yyjson_doc *doc; /* NULL unless ST_OK */
};

struct asker {
    struct storm *storm;
    struct answer answers[ANSWERS];
    size_t first_kind;
    uint64_t chance;
    unsigned cells, differences;
};

static uint32_t below(uint64_t *chance, uint32_t n)
{
    *chance = *chance * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)((*chance >> 33) % n);
}

static void change_apply(struct timeline *timeline, const struct change *change)
{
    if (change->is_person)
        timeline_set_person(timeline, change->event.visitor, change->event.person);
    else
        timeline_add_event(timeline, &change->event);
}

static void change_add(struct storm *storm, const struct change *change)
{
    CHECK(storm->count < CHANGES_MAX);
    storm->changes[storm->count] = *change;
    storm->changes[storm->count].event.position = ++storm->position;
    change_apply(storm->world.timeline, &storm->changes[storm->count++]);
}

static void event_happens(struct storm *storm, uint32_t visitor)
{
    static const char *const names[] = {"visit", "view", "order", "help"};
    static const char *const channels[] = {"web", "app", "store"};
    uint32_t name = below(&storm->chance, 4);
    struct timeline_event event = {.visitor = (visitor + UINT64_C(1)) << 10,
                                   .person = storm->owner[visitor],
                                   .name = str_of(names[name]),
                                   .channel = str_of(channels[below(&storm->chance, 3)]),
                                   .has_amount = name == 2,
                                   .amount_micros = below(&storm->chance, 500) * INT64_C(10000)};
    if (below(&storm->chance, 20) == 0)
        event.visitor = event.person = 0;
    event.time_us = clock_now_us(&storm->world.clock) -
                    below(&storm->chance, 40 * 24 * 60) * INT64_C(60) * US_PER_S;
    change_add(storm, &(struct change){.event = event});
}

/* Two persons become one, or a visitor is somebody alone again. */
static void people_change(struct storm *storm)
{
    uint32_t a = below(&storm->chance, VISITORS / HOT) * HOT;
    uint32_t b = below(&storm->chance, VISITORS / HOT) * HOT;
    uint64_t from = storm->owner[a], to = storm->owner[b];
    bool undo = below(&storm->chance, 3) != 0;
    for (uint32_t i = 0; i < VISITORS; i += HOT) {
        if (undo ? i != a : storm->owner[i] != from)
            continue;
        storm->owner[i] = undo ? (i + UINT64_C(1)) << 10 : to;
        struct timeline_event event = {.visitor = (i + UINT64_C(1)) << 10,
                                       .person = storm->owner[i]};
        change_add(storm, &(struct change){event, true});
    }
}

static void round_feed(struct storm *storm)
{
    pthread_mutex_lock(&storm->gate);
    for (int i = 0; i < CHANGES; i++) {
        uint32_t what = below(&storm->chance, 12);
        if (what < 6)
            event_happens(storm, below(&storm->chance, VISITORS / HOT) * HOT);
        else if (what < 8)
            event_happens(storm, below(&storm->chance, VISITORS));
        else
            people_change(storm);
    }
    timeline_commit(storm->world.timeline, ++storm->position);
    pthread_mutex_unlock(&storm->gate);
}

static void *feed_main(void *ctx)
{
    struct storm *storm = ctx;
    for (unsigned rounds = 0;; rounds++) {
        pthread_mutex_lock(&storm->mutex);
        while (storm->asking > 0 && rounds >= (storm->answers + 2) * ROUNDS_PER_ANSWER)
            pthread_cond_wait(&storm->answered, &storm->mutex);
        bool over = storm->asking == 0;
        pthread_mutex_unlock(&storm->mutex);
        if (over)
            return NULL;
        round_feed(storm);
    }
}

/* --- asking ----------------------------------------------------------------------------------- */

static void answer_get(struct live *live, size_t kind, uint64_t after, struct answer *ret_answer)
{
    struct err err;
    struct buf json;
    yyjson_doc *question = NULL;
    struct live_run run = {.after = after, .limit_us = 600 * US_PER_S};
    buf_init(&json, (size_t)16 << 20);
    *ret_answer = (struct answer){.kind = kind};
    if (json_parse(NULL, str_of(kinds[kind].question), &question, &err) != ST_OK)
        fatal("%s", err.message);
    ret_answer->status = live_report(live, str_of(kinds[kind].report),
                                     yyjson_doc_get_root(question), &run, &json, &err);
    if (ret_answer->status == ST_OK) {
        if (json_parse(NULL, buf_view(&json), &ret_answer->doc, &err) != ST_OK)
            fatal("%s", err.message);
        yyjson_val *root = yyjson_doc_get_root(ret_answer->doc);
        const char *position = yyjson_get_str(yyjson_obj_get(root, "position"));
        ret_answer->position = strtoull(position + 2, NULL, 10) + 1;
    } else if (ret_answer->status != ST_NOT_FOUND && ret_answer->status != ST_INVALID) {
        fatal("%s: %s", kinds[kind].report, err.message);
    }
    yyjson_doc_free(question);
    buf_done(&json);
}

/* What two answers may differ in: how long it took, and which events had to be looked at. */
static yyjson_mut_doc *without_costs(const yyjson_doc *doc)
{
    yyjson_mut_doc *copy = yyjson_doc_mut_copy((yyjson_doc *)(uintptr_t)doc, NULL);
    yyjson_mut_val *root = yyjson_mut_doc_get_root(copy);
    yyjson_mut_obj_remove_key(root, "seconds");
    yyjson_mut_obj_remove_key(root, "events_read");
    return copy;
}

static bool answers_equal(const struct answer *a, const struct answer *b)
{
    if (a->status != b->status || (a->doc == NULL) != (b->doc == NULL))
        return false;
    if (a->doc == NULL)
        return true;
    yyjson_mut_doc *x = without_costs(a->doc), *y = without_costs(b->doc);
    bool equal = yyjson_mut_equals(yyjson_mut_doc_get_root(x), yyjson_mut_doc_get_root(y));
    char *left = equal ? NULL : yyjson_mut_write(x, 0, NULL);
    char *right = equal ? NULL : yyjson_mut_write(y, 0, NULL);
    if (!equal)
        print_error("%s %s\n%.4000s\n%.4000s\n", kinds[a->kind].report, kinds[a->kind].question,
                    left, right);
    free(left);
    free(right);
    yyjson_mut_doc_free(x);
    yyjson_mut_doc_free(y);
    return equal;
}

/* Some cell of the answer: as many people as its number says, when the view is still the same. */
static void cell_open(struct asker *asker, const struct answer *answer, bool same_view)
{
    struct live *live = asker->storm->world.live;
    struct err err;
    struct buf json;
    uint64_t *people = NULL;
    size_t count = 0;
    yyjson_val *root = yyjson_doc_get_root(answer->doc);
    yyjson_val *list =
        kinds[answer->kind].list == NULL ? NULL : yyjson_obj_get(root, kinds[answer->kind].list);
    if (yyjson_arr_size(list) == 0)
        return;
    yyjson_val *row = yyjson_arr_get(list, below(&asker->chance, (uint32_t)yyjson_arr_size(list)));
    struct str cell = json_member_str(row, "cell");
    buf_init(&json, (size_t)1 << 20);
    if (live_people(live, cell, STR(""), 10, NULL, &json, &err) != ST_OK ||
        live_cell_people(live, cell, NULL, &people, &count, &err) != ST_OK)
        fatal("a cell of %s: %s", kinds[answer->kind].report, err.message);
    free(people);
    buf_done(&json);
    asker->cells++;
    if (!same_view || count == yyjson_get_uint(yyjson_obj_get(row, kinds[answer->kind].number)))
        return;
    print_error("%s: a cell has %zu people\n", kinds[answer->kind].report, count);
    asker->differences++;
}

static void *asker_main(void *ctx)
{
    struct asker *asker = ctx;
    struct storm *storm = asker->storm;
    for (size_t n = 0; n < ANSWERS; n++) {
        struct answer *answer = &asker->answers[n], again;
        bool held = n % 4 == 3;
        if (held)
            pthread_mutex_lock(&storm->gate);
        answer_get(storm->world.live, (n + asker->first_kind) % KINDS, held ? storm->position : 0,
                   answer);
        if (answer->doc != NULL)
            cell_open(asker, answer, held);
        if (held) {
            answer_get(storm->world.live, answer->kind, 0, &again);
            asker->differences += !answers_equal(answer, &again);
            yyjson_doc_free(again.doc);
            pthread_mutex_unlock(&storm->gate);
        }
        pthread_mutex_lock(&storm->mutex);
        storm->answers++;
        pthread_cond_signal(&storm->answered);
        pthread_mutex_unlock(&storm->mutex);
    }
    pthread_mutex_lock(&storm->mutex);
    storm->asking--;
    pthread_cond_signal(&storm->answered);
    pthread_mutex_unlock(&storm->mutex);
    return NULL;
}

/* --- the comparison --------------------------------------------------------------------------- */

static int position_order(const void *a, const void *b)
{
    const struct answer *x = *(const struct answer *const *)a,
                        *y = *(const struct answer *const *)b;
    return (x->position > y->position) - (x->position < y->position);
}

/* A trend of everything counts every event that was fed. */
static void count_check(const struct answer *answer, uint64_t events)
{
    uint64_t sum = 0;
    yyjson_val *total;
    yyjson_arr_iter totals =
        yyjson_arr_iter_with(yyjson_obj_get(yyjson_doc_get_root(answer->doc), "totals"));
    while ((total = yyjson_arr_iter_next(&totals)) != NULL)
        sum += yyjson_get_uint(yyjson_obj_get(total, "count"));
    assert_int_equal(sum, events);
}

static void answers_check(struct storm *storm, const struct answer **answers, size_t count)
{
    struct world quiet;
    int64_t from = at("2026-11-01T00:00:00Z");
    uint64_t events = 0;
    size_t fed = 0, positions = 0;
    unsigned differences = 0, answered[KINDS] = {0};
    world_open_merging(&quiet, NULL, UINT32_MAX);
    for (size_t i = 0; i < count; i++) {
        struct answer expected;
        if (answers[i]->doc == NULL)
            continue;
        uint64_t position = answers[i]->position;
        for (; fed < storm->count && storm->changes[fed].event.position < position; fed++) {
            const struct change *change = &storm->changes[fed];
            change_apply(quiet.timeline, change);
            events += !change->is_person && change->event.time_us >= from;
        }
        positions += i == 0 || position != answers[i - 1]->position;
        timeline_commit(quiet.timeline, position);
        answer_get(quiet.live, answers[i]->kind, position, &expected);
        differences += !answers_equal(answers[i], &expected);
        answered[answers[i]->kind]++;
        if (answers[i]->kind == 0)
            count_check(answers[i], events);
        yyjson_doc_free(expected.doc);
    }
    assert_int_equal(differences, 0);
    for (size_t kind = 0; kind < KINDS; kind++)
        if (answered[kind] == 0)
            fail_msg("%s was never answered", kinds[kind].report);
    assert_true(positions > ASKERS); /* it was a storm, and not a lull */
    world_close(&quiet);
}

static void a_storm_of_merges_changes_no_answer(void **state)
{
    (void)state;
    struct storm *storm = mem_zero(sizeof *storm);
    struct asker *askers = mem_zero(ASKERS * sizeof *askers);
    const struct answer *answers[ASKERS * ANSWERS];
    pthread_t feed, threads[ASKERS];
    world_open_merging(&storm->world, NULL, 50);
    pthread_mutex_init(&storm->gate, NULL);
    pthread_mutex_init(&storm->mutex, NULL);
    pthread_cond_init(&storm->answered, NULL);
    storm->changes = mem_alloc(CHANGES_MAX * sizeof *storm->changes);
    storm->asking = ASKERS;
    storm->position = 64;
    storm->chance = 7;
    for (uint32_t i = 0; i < VISITORS; i++)
        storm->owner[i] = (i + UINT64_C(1)) << 10;
    for (uint32_t i = 0; i < VISITORS; i++)
        event_happens(storm, i);
    round_feed(storm);
    assert_int_equal(pthread_create(&feed, NULL, feed_main, storm), 0);
    for (size_t a = 0; a < ASKERS; a++) {
        askers[a] = (struct asker){.storm = storm, .first_kind = a * KINDS / 2, .chance = a};
        assert_int_equal(pthread_create(&threads[a], NULL, asker_main, &askers[a]), 0);
    }
    for (size_t a = 0; a < ASKERS; a++)
        assert_int_equal(pthread_join(threads[a], NULL), 0);
    assert_int_equal(pthread_join(feed, NULL), 0);
    for (size_t a = 0; a < ASKERS; a++) {
        assert_int_equal(askers[a].differences, 0);
        assert_true(askers[a].cells > ANSWERS / 4);
        for (size_t n = 0; n < ANSWERS; n++)
            answers[a * ANSWERS + n] = &askers[a].answers[n];
    }
    qsort(answers, ASKERS * ANSWERS, sizeof answers[0], position_order);
    answers_check(storm, answers, ASKERS * ANSWERS);
    for (size_t i = 0; i < ASKERS * ANSWERS; i++)
        yyjson_doc_free(answers[i]->doc);
    world_close(&storm->world);
    pthread_mutex_destroy(&storm->gate);
    pthread_mutex_destroy(&storm->mutex);
    pthread_cond_destroy(&storm->answered);
    free(storm->changes);
    free(storm);
    free(askers);
}

/* --- an erase in the middle ------------------------------------------------------------------- */

#define PEOPLE 3500 /* several pages, and several looks at the progress */
static const uint64_t erased[2] = {77 << 10, 3407 << 10}; /* passed already, and still to come */

struct erasing {
    struct world *world;
    size_t kind;
    bool done;
    struct answer during; /* of a report that began after the erase, inside the other */
};

/* Called in the middle of a pass, once. */
static void erase_now(void *ctx, double share)
{
    struct erasing *erasing = ctx;
    if (erasing->done || share < 0.4)
        return;
    erasing->done = true;
    timeline_erase(erasing->world->timeline, erased, 2);
    answer_get(erasing->world->live, erasing->kind, 0, &erasing->during);
}

static void crowd(struct world *world)
{
    for (uint64_t person = 1; person <= PEOPLE; person++) {
        add(world, person, "visit", "2026-11-20T08:00:00Z", "web", -1);
        add(world, person, "view", "2026-11-20T09:00:00Z", "app", -1);
        if (person % 10 == 7)
            add(world, person, "order", "2026-11-20T10:00:00Z", "web", 10);
        if (person << 10 == erased[0] || person << 10 == erased[1]) { /* alone in this */
            add(world, person, "view", "2026-11-21T10:00:00Z", "booth", -1);
            add(world, person, "order", "2026-11-21T11:00:00Z", "booth", 999);
        }
    }
    timeline_commit(world->timeline, ++world->position);
}

static bool is_behind(struct world *world, struct str cell)
{
    struct err err;
    uint64_t *people = NULL;
    size_t count = 0;
    bool found = false;
    must(live_cell_people(world->live, cell, NULL, &people, &count, &err), &err);
    for (size_t i = 0; i < count; i++)
        found = found || people[i] == erased[0] || people[i] == erased[1];
    free(people);
    return found;
}

/* The erase comes while the report runs: its answer is that of before, whole; a report that begins
 * after the erase has returned has nothing of the person, nor has a cell of the older answer. */
static void erased_in_the_middle(size_t kind)
{
    struct world world;
    struct answer before, after;
    struct err err;
    struct buf json;
    yyjson_doc *question = NULL;
    struct erasing erasing = {.world = &world, .kind = kind};
    struct live_run run = {.progress = erase_now, .ctx = &erasing};
    world_open(&world, NULL);
    live_close(world.live);
    struct live_options one = {.timeline = world.timeline, .clock = &world.clock, .threads = 1};
    must(live_open(&one, &world.live, &err), &err);
    crowd(&world);
    answer_get(world.live, kind, world.position, &before);
    buf_init(&json, (size_t)16 << 20);
    must(json_parse(NULL, str_of(kinds[kind].question), &question, &err), &err);
    must(live_report(world.live, str_of(kinds[kind].report), yyjson_doc_get_root(question), &run,
                     &json, &err),
         &err);
    if (!erasing.done)
        fail_msg("%s never said how far it is", kinds[kind].report);
    struct answer running = {.kind = kind, .position = before.position};
    must(json_parse(NULL, buf_view(&json), &running.doc, &err), &err);
    assert_true(answers_equal(&before, &running));
    answer_get(world.live, kind, 0, &after);
    assert_true(answers_equal(&erasing.during, &after));
    yyjson_val *row, *list = yyjson_obj_get(yyjson_doc_get_root(running.doc), kinds[kind].list);
    yyjson_arr_iter rows = yyjson_arr_iter_with(list);
    while ((row = yyjson_arr_iter_next(&rows)) != NULL)
        if (json_member_str(row, "cell").n > 0)
            assert_false(is_behind(&world, json_member_str(row, "cell")));
    yyjson_mut_doc *x = without_costs(before.doc), *y = without_costs(after.doc);
    assert_false(yyjson_mut_equals(yyjson_mut_doc_get_root(x), yyjson_mut_doc_get_root(y)));
    char *text = yyjson_mut_write(y, 0, NULL);
    assert_null(strstr(text, "booth"));
    free(text);
    yyjson_mut_doc_free(x);
    yyjson_mut_doc_free(y);
    yyjson_doc_free(before.doc);
    yyjson_doc_free(running.doc);
    yyjson_doc_free(after.doc);
    yyjson_doc_free(erasing.during.doc);
    yyjson_doc_free(question);
    buf_done(&json);
    world_close(&world);
}

static void who_is_erased_while_a_report_runs_is_in_no_later_one(void **state)
{
    (void)state;
    for (size_t kind = 0; kind < KINDS; kind++)
        erased_in_the_middle(kind);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_storm_of_merges_changes_no_answer),
        cmocka_unit_test(who_is_erased_while_a_report_runs_is_in_no_later_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
