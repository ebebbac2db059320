/* timeline_test.c - whatever came in whatever order, every person's events are what a naive list
 * says, from deltas and from the base alike. With a warehouse: timeline_rebuild_test.c. */
#include "timeline/timeline_test_int.h"

#include <sched.h>
#include <stdlib.h>

#define US_PER_HOUR (3600 * US_PER_S)

static void world_open(struct world *world, uint64_t seed, uint32_t names, uint32_t merge_events)
{
    *world = (struct world){.names = names, .position = 64};
    rng_init_seed(&world->rng, seed);
    struct timeline_options options = {.memory_bytes = (size_t)1 << 30,
                                       .threads = 2,
                                       .merge_events = merge_events,
                                       .merge_pages = 1};
    timeline_open(&options, &world->timeline);
    wait_ready(world->timeline);
}

static void world_close(struct world *world)
{
    timeline_close(world->timeline);
    free(world->facts);
}

/* --- tests ------------------------------------------------------------------------------------ */

static void any_history_reads_as_the_naive_list_says(void **state)
{
    (void)state;
    static struct world world;
    for (uint64_t seed = 1; seed <= 6; seed++) {
        world_open(&world, seed, seed % 2 == 0 ? 400 : 12, 2000);
        for (int round = 0; round < 5; round++) {
            history_run(&world, 1500);
            world_check(&world);
        }
        world_close(&world);
    }
}

static void erased_visitors_are_gone_at_once_and_stay_away(void **state)
{
    (void)state;
    static struct world world;
    world_open(&world, 11, 12, 1000);
    for (int round = 0; round < 6; round++) {
        history_run(&world, 1000);
        for (int i = 0; i < 40; i++)
            visitor_erased(&world, 1 + below(&world, VISITORS - 1));
        world_check(&world);
        /* What comes for them later is dropped. */
        for (uint32_t number = 1; number < VISITORS; number++)
            if (world.erased[number] && world.owner[number] != 0) {
                struct timeline_event late = {.position = ++world.position,
                                              .visitor = id_of(number),
                                              .person = id_of(number),
                                              .time_us = NOVEMBER,
                                              .name = STR("late")};
                timeline_add_event(world.timeline, &late);
                break;
            }
        world_commit(&world);
        world_check(&world);
    }
    world_close(&world);
}

static void a_view_stays_as_it_was_whatever_is_written_meanwhile(void **state)
{
    (void)state;
    static struct world world;
    struct err err;
    const struct timeline_view *view;
    world_open(&world, 21, 30, 500);
    history_run(&world, 3000);
    must(timeline_view_open(world.timeline, world.position, &view, &err), &err);
    struct world then = world; /* owners as of now; facts are appended only */
    then.facts = mem_alloc(world.count * sizeof *then.facts);
    memcpy(then.facts, world.facts, world.count * sizeof *then.facts);
    for (int round = 0; round < 10; round++)
        history_run(&world, 500);
    world_check(&world);
    view_check(&then, view);
    timeline_view_close(view);
    free(then.facts);
    world_close(&world);
}

/* --- above the limit -------------------------------------------------------------------------- */

#define FED UINT64_C(400000)
#define FED_AN_HOUR UINT64_C(4000)
#define FED_VISITORS 500

/* A hundred hours, or all of it within one. */
static int64_t fed_us(bool rush, uint64_t i)
{
    if (rush)
        return NOVEMBER + (int64_t)(i * US_PER_HOUR / FED);
    return NOVEMBER + (int64_t)(i / FED_AN_HOUR) * US_PER_HOUR + (int64_t)(i % FED_AN_HOUR);
}

static uint64_t fed_visitor(uint64_t i)
{
    return (i % FED_VISITORS + 1) << 10;
}

/* Every visitor below `erased` is erased half-way. */
static void limit_feed(struct timeline *timeline, bool rush, uint64_t erased)
{
    struct err err;
    const struct timeline_view *view;
    for (uint64_t i = 0; i < FED; i++) {
        struct timeline_event event = {.position = 65 + i,
                                       .visitor = fed_visitor(i),
                                       .person = fed_visitor(i),
                                       .time_us = fed_us(rush, i),
                                       .name = STR("x")};
        timeline_add_event(timeline, &event);
        if ((i + 1) % FED_AN_HOUR != 0)
            continue;
        timeline_commit(timeline, event.position + 1);
        must(timeline_view_open(timeline, event.position + 1, &view, &err), &err);
        timeline_view_close(view);
        for (uint64_t k = 0; i + 1 == FED / 2 && k < erased; k++) {
            uint64_t visitor = fed_visitor(k);
            timeline_erase(timeline, &visitor, 1);
        }
    }
}

static void limit_check(bool rush, uint64_t erased)
{
    struct timeline *timeline;
    const struct timeline_view *view;
    struct timeline_stats stats;
    struct timeline_scan *scan;
    struct timeline_run run;
    struct err err;
    struct timeline_options options = {
        .memory_bytes = (size_t)3 << 20, .threads = 1, .merge_events = 4096};
    timeline_open(&options, &timeline);
    wait_ready(timeline);
    limit_feed(timeline, rush, erased);
    do { /* the keeper may still be merging: it ends below the limit, or the test never does */
        sched_yield();
        timeline_stats(timeline, &stats);
    } while (stats.bytes >= 4 << 20);
    must(timeline_view_open(timeline, 65 + FED, &view, &err), &err);
    uint64_t want = 0, kept = 0;
    for (uint64_t i = 0; i < FED; i++)
        want += fed_us(rush, i) >= view->complete_from_us && i % FED_VISITORS >= erased;
    timeline_scan_open(view, NULL, &scan);
    struct timeline_cursor *cursor = timeline_cursor_open(scan);
    while (timeline_cursor_next(cursor, &run))
        for (uint32_t i = 0; i < run.count; i++)
            kept += (int64_t)run.time[i] * US_PER_S >= view->complete_from_us;
    timeline_cursor_close(cursor);
    timeline_scan_close(scan);
    assert_true(view->complete_from_us > NOVEMBER);
    assert_true(kept > FED / 20);
    assert_int_equal(kept, want);
    assert_int_equal(view->events, kept);
    timeline_view_close(view);
    timeline_close(timeline);
}

static void above_the_limit_the_newest_are_complete(void **state)
{
    (void)state;
    limit_check(false, 0);
    limit_check(false, 20);
}

/* One hour is more than fits: what fits of it stays. */
static void above_the_limit_an_hour_is_cut(void **state)
{
    (void)state;
    limit_check(true, 0);
    limit_check(true, 20);
}

static void what_is_fed_after_the_seal_is_for_the_next_commit(void **state)
{
    (void)state;
    struct timeline *timeline;
    const struct timeline_view *view;
    struct err err;
    struct timeline_options options = {.memory_bytes = (size_t)1 << 30, .threads = 1};
    timeline_open(&options, &timeline);
    wait_ready(timeline);
    uint64_t position = 64;
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 4; i++) {
            struct timeline_event event = {.position = ++position,
                                           .visitor = 1024,
                                           .person = 1024,
                                           .time_us = NOVEMBER,
                                           .name = STR("x")};
            if (i == 3)
                timeline_seal(timeline, position);
            timeline_add_event(timeline, &event);
        }
        timeline_commit_sealed(timeline);
        must(timeline_view_open(timeline, position, &view, &err), &err);
        assert_int_equal(view->position, position);
        assert_int_equal(view->events, 4 * round + 3);
        timeline_view_close(view);
    }
    timeline_close(timeline);
}

static void too_many_names_are_other(void **state)
{
    (void)state;
    struct timeline *timeline;
    struct err err;
    const struct timeline_view *view;
    struct timeline_options options = {.memory_bytes = (size_t)1 << 30, .threads = 1};
    timeline_open(&options, &timeline);
    wait_ready(timeline);
    char name[32], campaign[32];
    uint64_t position = 64;
    for (uint32_t i = 0; i < 70000; i++) {
        struct timeline_event event = {.position = ++position,
                                       .visitor = 1024,
                                       .person = 1024,
                                       .time_us = NOVEMBER + i,
                                       .name = str_of(text_of(name, "name", i)),
                                       .channel = i % 2 == 0 ? STR("web") : STR("app"),
                                       .campaign = str_of(text_of(campaign, "c", i))};
        timeline_add_event(timeline, &event);
    }
    timeline_commit(timeline, ++position);
    must(timeline_view_open(timeline, position, &view, &err), &err);
    struct timeline_scan *scan;
    struct timeline_run run;
    uint32_t others = 0, web = 0;
    timeline_scan_open(view, NULL, &scan);
    struct timeline_cursor *cursor = timeline_cursor_open(scan);
    assert_true(timeline_cursor_next(cursor, &run));
    for (uint32_t i = 0; i < run.count; i++) {
        others += timeline_code(&run, i) == TIMELINE_OTHER;
        web += str_is(
            timeline_channel(view, timeline_origin_channel(view, timeline_origin(&run, i))), "web");
    }
    assert_int_equal(run.count, 70000);
    assert_int_equal(others, 70000 - TIMELINE_OTHER);
    assert_int_equal(web, 35000); /* channels stay right in a flood of campaigns */
    timeline_cursor_close(cursor);
    timeline_scan_close(scan);
    timeline_view_close(view);
    timeline_close(timeline);
}

/* --- threads ---------------------------------------------------------------------------------- */

struct reading {
    struct timeline *timeline;
    uint32_t stop; /* atomic */
    uint64_t views;
};

static void count_work(struct timeline_cursor *cursor, void *ctx)
{
    struct timeline_run run;
    uint64_t *events = ctx;
    while (timeline_cursor_next(cursor, &run)) {
        for (uint32_t i = 1; i < run.count; i++)
            assert_true(run.time[i - 1] <= run.time[i]);
        *events += run.count;
    }
}

static void *reader_main(void *argument)
{
    struct reading *reading = argument;
    while (__atomic_load_n(&reading->stop, __ATOMIC_RELAXED) == 0) {
        const struct timeline_view *view;
        struct err err;
        struct timeline_scan *scan;
        uint64_t events[2] = {0};
        must(timeline_view_open(reading->timeline, 0, &view, &err), &err);
        timeline_scan_open(view, &(struct timeline_scan_options){.nobody_too = true}, &scan);
        timeline_scan_run(scan, 2, count_work, events, sizeof events[0]);
        assert_int_equal(events[0] + events[1], view->events);
        timeline_scan_close(scan);
        struct timeline_set set;
        timeline_set_init(&set, view);
        for (uint32_t code = 0; code < view->names; code++)
            timeline_people_with(view, code, &set);
        timeline_set_done(&set);
        timeline_view_close(view);
        reading->views++;
    }
    return NULL;
}

static void readers_and_the_writer_do_not_disturb_each_other(void **state)
{
    (void)state;
    static struct world world;
    pthread_t threads[2];
    struct reading readings[2];
    world_open(&world, 81, 12, 1000);
    for (int i = 0; i < 2; i++) {
        readings[i] = (struct reading){.timeline = world.timeline};
        assert_int_equal(pthread_create(&threads[i], NULL, reader_main, &readings[i]), 0);
    }
    for (int round = 0; round < 20; round++) {
        history_run(&world, 400);
        visitor_erased(&world, 1 + below(&world, VISITORS - 1));
    }
    for (int i = 0; i < 2; i++)
        __atomic_store_n(&readings[i].stop, 1, __ATOMIC_RELAXED);
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    assert_true(readings[0].views > 0 && readings[1].views > 0);
    world_check(&world);
    world_close(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_history_reads_as_the_naive_list_says),
        cmocka_unit_test(erased_visitors_are_gone_at_once_and_stay_away),
        cmocka_unit_test(a_view_stays_as_it_was_whatever_is_written_meanwhile),
        cmocka_unit_test(above_the_limit_the_newest_are_complete),
        cmocka_unit_test(above_the_limit_an_hour_is_cut),
        cmocka_unit_test(what_is_fed_after_the_seal_is_for_the_next_commit),
        cmocka_unit_test(too_many_names_are_other),
        cmocka_unit_test(readers_and_the_writer_do_not_disturb_each_other),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
