/* timeline_rebuild_test.c - a rebuild from the warehouse, and what is read from it later. */
#include "timeline/timeline_extract.h"
#include "timeline/timeline_test_int.h"

#include <ftw.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/arena.h"

/* --- with a warehouse ------------------------------------------------------------------------- */

static void stored_open(struct world *world, uint64_t seed)
{
    struct err err;
    *world = (struct world){.names = 20, .position = 64};
    rng_init_seed(&world->rng, seed);
    disk_init(&world->disk);
    clock_init_virtual(&world->clock, NOVEMBER);
    const char *tmp = getenv("TMPDIR");
    snprintf(world->folder, sizeof world->folder, "%s/hezou-timeline-XXXXXX",
             tmp != NULL && strlen(tmp) < 32 ? tmp : "/tmp");
    assert_non_null(mkdtemp(world->folder));
    char folder[96], exports[96];
    snprintf(folder, sizeof folder, "%s/warehouse", world->folder);
    snprintf(exports, sizeof exports, "%s/export", world->folder);
    struct warehouse_options options = {.folder = folder,
                                        .export_folder = exports,
                                        .disk = &world->disk,
                                        .clock = &world->clock,
                                        .threads = 2};
    must(warehouse_open(&options, &world->warehouse, &err), &err);
    struct timeline_options with = {.warehouse = world->warehouse,
                                    .memory_bytes = (size_t)1 << 30,
                                    .threads = 2,
                                    .merge_events = 2000};
    timeline_open(&with, &world->timeline);
    wait_ready(world->timeline);
}

static int file_remove(const char *path, const struct stat *stat, int kind, struct FTW *ftw)
{
    (void)stat, (void)kind, (void)ftw;
    return remove(path);
}

static void stored_close(struct world *world)
{
    timeline_close(world->timeline);
    warehouse_close(world->warehouse);
    free(world->facts);
    assert_int_equal(nftw(world->folder, file_remove, 16, FTW_DEPTH | FTW_PHYS), 0);
}

static void reopen(struct world *world, size_t memory_bytes)
{
    timeline_close(world->timeline);
    struct timeline_options with = {.warehouse = world->warehouse,
                                    .memory_bytes = memory_bytes,
                                    .threads = 2,
                                    .merge_events = 2000};
    timeline_open(&with, &world->timeline);
    wait_ready(world->timeline);
}

static void a_rebuild_gives_what_the_feed_gave(void **state)
{
    (void)state;
    static struct world world;
    for (uint64_t seed = 31; seed < 34; seed++) {
        stored_open(&world, seed);
        for (int round = 0; round < 3; round++) {
            history_run(&world, 2500);
            world_check(&world);
            reopen(&world, (size_t)1 << 30);
            world_check(&world);
        }
        stored_close(&world);
    }
}

/* Events of visitors without a row of their own: they get their slots after everybody else. */
static void who_the_warehouse_does_not_list_is_there_too(void **state)
{
    (void)state;
    static struct world world;
    stored_open(&world, 35);
    history_run(&world, 2500);
    uint32_t unlisted = 0;
    world.facts = mem_grow(world.facts, (world.count + VISITORS) * sizeof *world.facts);
    world.capacity = world.count + VISITORS;
    for (uint32_t number = 1; number < VISITORS; number++) {
        if (world.owner[number] != 0 || world.erased[number])
            continue;
        unlisted++;
        world.owner[number] = id_of(number);
        world.position += 10;
        world.facts[world.count] = (struct fact){.visitor = id_of(number),
                                                 .position = world.position,
                                                 .time_us = NOVEMBER + number,
                                                 .amount = number % 2 == 0 ? (int64_t)number : -1};
        fact_feed(&world, &world.facts[world.count++], false);
    }
    assert_true(unlisted > 100);
    world_commit(&world);
    world_check(&world);
    reopen(&world, (size_t)1 << 30);
    world_check(&world);
    stored_close(&world);
}

/* The feed goes on while the rebuild runs; nothing is twice, nothing is missing. */
static void what_is_fed_during_the_rebuild_comes_after_it(void **state)
{
    (void)state;
    static struct world world;
    stored_open(&world, 41);
    for (int round = 0; round < 6; round++) {
        history_run(&world, 1500);
        timeline_close(world.timeline);
        struct timeline_options with = {.warehouse = world.warehouse,
                                        .memory_bytes = (size_t)1 << 30,
                                        .threads = 2,
                                        .merge_events = 2000};
        timeline_open(&with, &world.timeline);
        history_run(&world, 800);
        wait_ready(world.timeline);
        world_check(&world);
    }
    stored_close(&world);
}

/* A queue that was full ends in a rebuild from there. */
static void what_was_lost_is_read_from_the_warehouse(void **state)
{
    (void)state;
    static struct world world;
    stored_open(&world, 51);
    history_run(&world, 2000);
    pthread_mutex_lock(&world.timeline->mutex);
    world.timeline->queue_bytes = SIZE_MAX / 2; /* as if the keeper slept */
    pthread_mutex_unlock(&world.timeline->mutex);
    history_run(&world, 2000);
    pthread_mutex_lock(&world.timeline->mutex);
    while (world.timeline->lost || !world.timeline->ready)
        pthread_cond_wait(&world.timeline->published, &world.timeline->mutex);
    pthread_mutex_unlock(&world.timeline->mutex);
    world_check(&world);
    history_run(&world, 500);
    world_check(&world);
    stored_close(&world);
}

/* Half an hour's events, of which the memory has room for a part only. */
static void of_a_full_hour_the_newest_seconds_are_read(void **state)
{
    (void)state;
    static struct world world;
    const struct timeline_view *view;
    struct timeline_stats stats;
    struct err err;
    stored_open(&world, 55);
    world.capacity = 18000;
    world.facts = mem_alloc(world.capacity * sizeof *world.facts);
    for (; world.count < world.capacity; world.count++) {
        uint32_t number = 1 + (uint32_t)(world.count % 1000);
        world.owner[number] = id_of(number);
        world.position += 10;
        world.facts[world.count] =
            (struct fact){.visitor = id_of(number),
                          .position = world.position,
                          .time_us = NOVEMBER + (int64_t)world.count * 100000,
                          .amount = -1};
        fact_feed(&world, &world.facts[world.count], world.count < 1000);
    }
    world_commit(&world);
    world_check(&world);
    reopen(&world, 300000); /* 252,000 without the people, 27 an event */
    must(timeline_view_open(world.timeline, world.position, &view, &err), &err);
    uint64_t want = 0;
    for (size_t i = 0; i < world.count; i++)
        want += world.facts[i].time_us >= view->complete_from_us;
    assert_in_range(want, 9320, 9333); /* whole seconds of ten */
    assert_int_equal(view->events, want);
    timeline_stats(world.timeline, &stats);
    assert_int_equal(stats.dropped, world.count - want);
    timeline_view_close(view);
    stored_close(&world);
}

static void column_check(const struct world *world, const struct timeline_view *view,
                         const char *event)
{
    struct err err;
    char text[32];
    const struct timeline_column *colour, *number, *list;
    must(timeline_column_open(view, str_of(event), STR("colour"), &colour, &err), &err);
    must(timeline_column_open(view, str_of(event), STR("n"), &number, &err), &err);
    must(timeline_column_open(view, str_of(event), STR("list"), &list, &err), &err);
    assert_int_equal(timeline_column_values(list), 0);
    struct seen *all = expected(world);
    struct timeline_scan *scan;
    struct timeline_run run;
    timeline_scan_open(view, NULL, &scan);
    struct timeline_cursor *cursor = timeline_cursor_open(scan);
    while (timeline_cursor_next(cursor, &run)) {
        size_t at = person_start(all, world->count, timeline_person_id(view, run.person));
        for (uint32_t i = 0; i < run.count; i++) {
            const struct fact *fact = all[at + i].fact;
            uint64_t row = timeline_row(&run, i);
            bool asked = *event == '\0' || strcmp(text_of(text, "name", fact->name), event) == 0;
            const char *want = !asked ? "" : fact->name % 3 == 0 ? "red" : "blue";
            assert_true(
                str_is(timeline_column_text(colour, timeline_column_code(colour, row)), want));
            snprintf(text, sizeof text, asked ? "%u" : "", fact->campaign);
            assert_true(
                str_is(timeline_column_text(number, timeline_column_code(number, row)), text));
        }
    }
    timeline_cursor_close(cursor);
    timeline_scan_close(scan);
    free(all);
    timeline_column_close(colour);
    timeline_column_close(number);
    timeline_column_close(list);
}

static void properties_are_those_of_the_very_event(void **state)
{
    (void)state;
    static struct world world;
    struct err err;
    stored_open(&world, 61);
    for (int round = 0; round < 6; round++) {
        history_run(&world, 900);
        const struct timeline_view *view;
        must(timeline_view_open(world.timeline, world.position, &view, &err), &err);
        column_check(&world, view, "");
        column_check(&world, view, "name 3");
        column_check(&world, view, "name 4");
        timeline_view_close(view);
    }
    stored_close(&world);
}

static void people_have_the_name_of_their_most_important_identifier(void **state)
{
    (void)state;
    static struct world world;
    struct err err;
    struct arena arena;
    struct str *names;
    stored_open(&world, 71);
    warehouse_add_visitor(world.warehouse, id_of(7), id_of(5), STR("anonymous_id"), STR("a"), 70);
    warehouse_add_visitor(world.warehouse, id_of(5), id_of(5), STR("phone"), STR("+8613"), 71);
    warehouse_add_visitor(world.warehouse, id_of(6), id_of(6), STR("phone"), STR("+8612"), 72);
    warehouse_add_override(world.warehouse, id_of(6), id_of(5), 73);
    world.owner[5] = world.owner[6] = world.owner[7] = id_of(5);
    world.position = 80;
    struct fact fact = {.visitor = id_of(7), .position = 80, .time_us = NOVEMBER, .amount = -1};
    fact_feed(&world, &fact, false);
    world_commit(&world);
    const struct timeline_view *view;
    must(timeline_view_open(world.timeline, world.position, &view, &err), &err);
    uint32_t person = timeline_person_find(view, id_of(5));
    assert_int_not_equal(person, TIMELINE_NONE);
    arena_init(&arena);
    must(timeline_people_name(view, &person, 1, &arena, &names, &err), &err);
    assert_true(str_is(names[0], "phone:+8612"));
    arena_done(&arena);
    timeline_view_close(view);
    stored_close(&world);
}

/* --- a timeline of one question --------------------------------------------------------------- */

static bool never(void *ctx)
{
    (void)ctx;
    return false;
}

static void extract_open(struct world *world, const struct timeline_extract *extract,
                         struct timeline **ret_timeline, const struct timeline_view **ret_view)
{
    struct err err;
    struct timeline_options with = {
        .warehouse = world->warehouse, .memory_bytes = (size_t)64 << 20, .threads = 2};
    must(timeline_extract(&with, extract, ret_timeline, &err), &err);
    must(timeline_view_open(*ret_timeline, world->position, ret_view, &err), &err);
}

static void an_extract_of_everything_is_what_the_feed_gave(void **state)
{
    (void)state;
    static struct world world;
    struct timeline *timeline;
    const struct timeline_view *view;
    /* Apart by time, so that every event is in one of them. */
    const struct warehouse_span parts[] = {{.time_below_us = NOVEMBER - 40000 * US_PER_S},
                                           {.time_from_us = NOVEMBER - 40000 * US_PER_S}};
    const struct timeline_extract extract = {.parts = parts, .parts_count = 2, .stop = never};
    for (uint64_t seed = 81; seed < 83; seed++) {
        stored_open(&world, seed);
        history_run(&world, 3000);
        extract_open(&world, &extract, &timeline, &view);
        view_check(&world, view);
        column_check(&world, view, "name 3");
        timeline_view_close(view);
        timeline_close(timeline);
        stored_close(&world);
    }
}

struct erasing {
    struct world *world;
    pthread_t thread, reader;
    uint64_t visitors[2];
    bool begun;
};

static void *erase_main(void *argument)
{
    struct erasing *erasing = argument;
    struct err err;
    must(warehouse_erase(erasing->world->warehouse, erasing->visitors, 2, NULL, 0, &err), &err);
    return NULL;
}

static void erased_count(void *ctx, size_t count, const uint64_t *visitors)
{
    (void)visitors;
    *(size_t *)ctx = count;
}

/* The first time that rows have come, an erase begins. It cannot end before their stream does. */
static bool erase_begins(void *ctx)
{
    struct erasing *erasing = ctx;
    size_t count = 0;
    if (!pthread_equal(pthread_self(), erasing->reader) || erasing->begun)
        return false; /* the warehouse asks, too */
    erasing->begun = true;
    assert_int_equal(pthread_create(&erasing->thread, NULL, erase_main, erasing), 0);
    while (count == 0) {
        sched_yield();
        warehouse_erased(erasing->world->warehouse, erased_count, &count);
    }
    return false;
}

static void who_is_erased_while_it_is_read_is_left_out(void **state)
{
    (void)state;
    static struct world world;
    struct err err;
    struct timeline *timeline;
    const struct timeline_view *view;
    stored_open(&world, 91);
    history_run(&world, 3000);
    struct erasing erasing = {.world = &world, .reader = pthread_self()};
    for (uint32_t number = 1, n = 0; n < 2; number++)
        if (world.owner[number] != 0)
            erasing.visitors[n++] = id_of(number);
    const struct warehouse_span part = {0};
    const struct timeline_extract extract = {
        .parts = &part, .parts_count = 1, .stop = erase_begins, .stop_ctx = &erasing};
    struct timeline_options with = {
        .warehouse = world.warehouse, .memory_bytes = (size_t)64 << 20, .threads = 1};
    must(timeline_extract(&with, &extract, &timeline, &err), &err);
    assert_true(erasing.begun);
    assert_int_equal(pthread_join(erasing.thread, NULL), 0);
    for (uint32_t number = 1; number < VISITORS; number++)
        if (id_of(number) == erasing.visitors[0] || id_of(number) == erasing.visitors[1])
            visitor_erased(&world, number);
    must(timeline_view_open(timeline, world.position, &view, &err), &err);
    view_check(&world, view);
    timeline_view_close(view);
    timeline_close(timeline);
    stored_close(&world);
}

static void what_does_not_fit_is_not_cut(void **state)
{
    (void)state;
    static struct world world;
    struct err err;
    struct timeline *timeline = NULL;
    const struct warehouse_span part = {0};
    const struct timeline_extract extract = {.parts = &part, .parts_count = 1, .stop = never};
    struct timeline_options with = {.memory_bytes = 30000, .threads = 2};
    stored_open(&world, 95);
    history_run(&world, 3000);
    with.warehouse = world.warehouse;
    assert_int_equal(timeline_extract(&with, &extract, &timeline, &err), ST_TOO_LARGE);
    assert_null(timeline);
    stored_close(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_rebuild_gives_what_the_feed_gave),
        cmocka_unit_test(who_the_warehouse_does_not_list_is_there_too),
        cmocka_unit_test(what_is_fed_during_the_rebuild_comes_after_it),
        cmocka_unit_test(what_was_lost_is_read_from_the_warehouse),
        cmocka_unit_test(of_a_full_hour_the_newest_seconds_are_read),
        cmocka_unit_test(properties_are_those_of_the_very_event),
        cmocka_unit_test(people_have_the_name_of_their_most_important_identifier),
        cmocka_unit_test(an_extract_of_everything_is_what_the_feed_gave),
        cmocka_unit_test(who_is_erased_while_it_is_read_is_left_out),
        cmocka_unit_test(what_does_not_fit_is_not_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
