/* timeline_test.c - whatever came in whatever order, every person's events are what a naive list
 * says, from deltas, from the base, and from a rebuild alike. */
#include "timeline/timeline_int.h"

#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/rng.h"

#define VISITORS 3000
#define NOVEMBER (INT64_C(1793491200) * US_PER_S) /* 2026-11-01 */

static void must(enum status status, const struct err *err)
{
    if (status != ST_OK)
        fail_msg("%s", err->message);
}

/* --- the naive list --------------------------------------------------------------------------- */

struct fact {
    uint64_t visitor, position;
    int64_t time_us;
    int64_t amount; /* -1 = none */
    uint32_t name, channel, campaign;
};

struct world {
    struct timeline *timeline;
    struct warehouse *warehouse;
    struct rng rng;
    struct fact *facts;
    size_t count, capacity;
    uint64_t owner[VISITORS]; /* a person's id, by visitor's number; 0 = never seen */
    bool erased[VISITORS];
    uint64_t position;
    uint32_t names;
    char folder[64];
    struct disk disk;
    struct clock clock;
};

/* Ids as identity makes them, in no order of appearance. */
static uint64_t id_of(uint32_t number)
{
    return number == 0 ? 0 : (uint64_t)(number * 2654435761U % 1000003 + 1) << 10;
}

static uint32_t below(struct world *world, uint32_t n)
{
    return (uint32_t)(rng_u64(&world->rng) % n);
}

static const char *text_of(char out[32], const char *kind, uint32_t number)
{
    snprintf(out, 32, "%s %u", kind, number);
    return out;
}

static void fact_feed(struct world *world, const struct fact *fact, bool is_new)
{
    char name[32], channel[32], campaign[32], message[32];
    uint32_t number = 0;
    while (id_of(number) != fact->visitor)
        number++;
    struct timeline_event event = {
        .position = fact->position,
        .visitor = fact->visitor,
        .person = world->owner[number],
        .time_us = fact->time_us,
        .name = str_of(text_of(name, "name", fact->name)),
        .channel = str_of(text_of(channel, "channel", fact->channel)),
        .campaign = fact->campaign == 0 ? STR("") : str_of(text_of(campaign, "c", fact->campaign)),
        .has_amount = fact->amount >= 0,
        .amount_micros = fact->amount,
    };
    timeline_add_event(world->timeline, &event);
    if (world->warehouse == NULL)
        return;
    if (is_new && number != 0)
        warehouse_add_visitor(world->warehouse, fact->visitor, event.person, STR("user_id"),
                              str_of(text_of(message, "u", number)), fact->position);
    char properties[64];
    snprintf(properties, sizeof properties, "{\"colour\":\"%s\",\"n\":%u,\"list\":[1]}",
             fact->name % 3 == 0 ? "red" : "blue", fact->campaign);
    struct warehouse_event row = {
        .position = fact->position,
        .visitor = fact->visitor,
        .person = event.person,
        .source = STR("shop"),
        .type = STR("track"),
        .name = event.name,
        .channel = event.channel,
        .campaign = event.campaign,
        .message_id = str_of(text_of(message, "m", (uint32_t)fact->position)),
        .time_us = fact->time_us,
        .received_us = NOVEMBER,
        .has_amount = event.has_amount,
        .amount_micros = fact->amount,
        .properties = str_of(properties),
    };
    warehouse_add_event(world->warehouse, &row);
}

static void event_happens(struct world *world)
{
    uint32_t number = below(world, 20) == 0 ? 0 : 1 + below(world, VISITORS - 1);
    if (world->erased[number])
        return;
    bool is_new = world->owner[number] == 0;
    if (is_new && number != 0)
        world->owner[number] = id_of(number);
    if (world->count == world->capacity) {
        world->capacity = world->capacity == 0 ? 1024 : world->capacity * 2;
        world->facts = mem_grow(world->facts, world->capacity * sizeof *world->facts);
    }
    /* Half of them now, the others late; many at the same second, some at the same microsecond. */
    int64_t second = (int64_t)world->position / 500;
    if (below(world, 2) == 0)
        second -= below(world, 100000);
    world->position += 1 + below(world, 300);
    world->facts[world->count] = (struct fact){
        .visitor = id_of(number),
        .position = world->position,
        .time_us = NOVEMBER + second * US_PER_S + below(world, 4) * 250000,
        .amount = below(world, 5) == 0 ? (int64_t)below(world, 1000000) : -1,
        .name = below(world, world->names),
        .channel = below(world, 5),
        .campaign = below(world, 3) == 0 ? below(world, 40) : 0,
    };
    fact_feed(world, &world->facts[world->count++], is_new);
}

/* A merge, an undo or a move: it is all the same here. */
static void person_changes(struct world *world)
{
    uint32_t number = 1 + below(world, VISITORS - 1), other = 1 + below(world, VISITORS / 4);
    if (world->owner[number] == 0 || world->erased[number])
        return;
    uint64_t person = below(world, 3) == 0 ? id_of(number) : id_of(other);
    world->position += 1 + below(world, 300);
    world->owner[number] = person;
    timeline_set_person(world->timeline, id_of(number), person);
    if (world->warehouse != NULL)
        warehouse_add_override(world->warehouse, id_of(number), person, world->position);
}

static void world_commit(struct world *world)
{
    struct err err;
    world->position++;
    if (world->warehouse != NULL)
        must(warehouse_commit(world->warehouse, world->position, NOVEMBER, &err), &err);
    timeline_commit(world->timeline, world->position);
}

static void visitor_erased(struct world *world, uint32_t number)
{
    uint64_t id = id_of(number);
    size_t kept = 0;
    world->erased[number] = true;
    for (size_t i = 0; i < world->count; i++)
        if (world->facts[i].visitor != id)
            world->facts[kept++] = world->facts[i];
    world->count = kept;
    timeline_erase(world->timeline, &id, 1);
}

/* --- the comparison --------------------------------------------------------------------------- */

struct seen {
    uint64_t person;
    int64_t time_us;
    uint64_t position;
    const struct fact *fact;
};

static int seen_compare(const void *left, const void *right)
{
    const struct seen *a = left, *b = right;
    if (a->person != b->person)
        return a->person < b->person ? -1 : 1;
    if (a->time_us != b->time_us)
        return a->time_us < b->time_us ? -1 : 1;
    return (a->position > b->position) - (a->position < b->position);
}

/* All facts as they should be read, nobody's (person 0) first. */
static struct seen *expected(const struct world *world)
{
    struct seen *all = mem_alloc((world->count + 1) * sizeof *all);
    struct map numbers;
    map_init(&numbers);
    for (uint32_t i = 1; i < VISITORS; i++)
        *map_put(&numbers, map_key_u64(id_of(i)), NULL) = world->owner[i];
    for (size_t i = 0; i < world->count; i++) {
        const struct fact *fact = &world->facts[i];
        uint64_t person = fact->visitor == 0 ? 0 : *map_find(&numbers, map_key_u64(fact->visitor));
        all[i] = (struct seen){person, fact->time_us, fact->position, fact};
    }
    map_done(&numbers);
    qsort(all, world->count, sizeof *all, seen_compare);
    return all;
}

static void event_check(const struct timeline_view *view, const struct timeline_run *run,
                        uint32_t i, const struct seen *want)
{
    char text[32];
    uint64_t row = timeline_row(run, i);
    uint32_t origin = timeline_origin(run, i), code = timeline_code(run, i);
    const struct fact *fact = want->fact;
    assert_int_equal(timeline_position(view, row), want->position);
    assert_int_equal(timeline_time_us(view, row), want->time_us);
    assert_int_equal(run->time[i], want->time_us / US_PER_S);
    assert_true(str_is(timeline_name(view, code), text_of(text, "name", fact->name)));
    assert_true(str_is(timeline_channel(view, timeline_origin_channel(view, origin)),
                       text_of(text, "channel", fact->channel)));
    assert_true(str_is(timeline_campaign(view, timeline_origin_campaign(view, origin)),
                       fact->campaign == 0 ? "" : text_of(text, "c", fact->campaign)));
    int64_t amount = -1;
    assert_int_equal(timeline_amount(view, row, &amount), fact->amount >= 0);
    assert_int_equal(amount, fact->amount);
}

static size_t person_start(const struct seen *all, size_t count, uint64_t person)
{
    size_t low = 0, high = count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (all[middle].person < person)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* Everything that the view holds is what the list says, and nothing is missing. */
static void view_check(const struct world *world, const struct timeline_view *view)
{
    struct seen *all = expected(world);
    struct timeline_scan *scan;
    struct timeline_run run;
    size_t people = 0, nobody = 0;
    timeline_scan_open(view, &(struct timeline_scan_options){.nobody_too = true}, &scan);
    struct timeline_cursor *cursor = timeline_cursor_open(scan);
    while (timeline_cursor_next(cursor, &run)) {
        assert_true(run.count > 0);
        if (run.person == TIMELINE_NONE) {
            nobody += run.count;
            continue;
        }
        uint64_t person = timeline_person_id(view, run.person);
        size_t at = person_start(all, world->count, person);
        for (uint32_t i = 0; i < run.count; i++) {
            assert_true(at + i < world->count);
            assert_int_equal(all[at + i].person, person);
            event_check(view, &run, i, &all[at + i]);
        }
        assert_true(at + run.count == world->count || all[at + run.count].person != person);
        assert_int_equal(timeline_person_find(view, person), run.person);
        people += run.count;
    }
    assert_int_equal(nobody, person_start(all, world->count, 1));
    assert_int_equal(people + nobody, world->count);
    assert_int_equal(view->events, world->count);
    assert_int_equal(view->position, world->position);
    timeline_cursor_close(cursor);
    timeline_scan_close(scan);
    free(all);
}

/* Posting lists and the filter of merged runs, by the same list. */
static void filter_check(const struct world *world, const struct timeline_view *view, uint32_t name)
{
    char text[32];
    uint32_t code = timeline_name_find(view, str_of(text_of(text, "name", name)));
    if (code == TIMELINE_NONE)
        return;
    uint8_t wanted[65536] = {0};
    struct timeline_set set;
    struct timeline_scan *scan;
    struct timeline_run run;
    size_t found = 0, have = 0;
    wanted[code] = 1;
    timeline_set_init(&set, view);
    timeline_people_with(view, code, &set);
    timeline_scan_open(view, &(struct timeline_scan_options){.only = &set, .wanted = wanted},
                       &scan);
    struct timeline_cursor *cursor = timeline_cursor_open(scan);
    while (timeline_cursor_next(cursor, &run)) {
        size_t before = found;
        for (uint32_t i = 0; i < run.count; i++) {
            found += timeline_code(&run, i) == code;
            if (run.rows != NULL)
                assert_int_equal(timeline_code(&run, i), code);
        }
        assert_true(found > before);
        have++;
    }
    assert_int_equal(have, timeline_set_count(&set));
    size_t want = 0;
    for (size_t i = 0; i < world->count; i++)
        want += world->facts[i].name == name && world->facts[i].visitor != 0;
    assert_int_equal(found, want);
    timeline_cursor_close(cursor);
    timeline_scan_close(scan);
    timeline_set_done(&set);
}

static void world_check(const struct world *world)
{
    const struct timeline_view *view;
    struct err err;
    must(timeline_view_open(world->timeline, world->position, &view, &err), &err);
    view_check(world, view);
    filter_check(world, view, 0);
    filter_check(world, view, world->names - 1);
    timeline_view_close(view);
}

static void wait_ready(struct timeline *timeline)
{
    pthread_mutex_lock(&timeline->mutex);
    while (!timeline->ready)
        pthread_cond_wait(&timeline->published, &timeline->mutex);
    pthread_mutex_unlock(&timeline->mutex);
}

static void history_run(struct world *world, size_t steps)
{
    for (size_t i = 0; i < steps; i++) {
        uint32_t what = below(world, 100);
        if (what < 88)
            event_happens(world);
        else if (what < 97)
            person_changes(world);
        else
            world_commit(world);
    }
    world_commit(world);
}

static void world_open(struct world *world, uint64_t seed, uint32_t names, uint32_t merge_events)
{
    *world = (struct world){.names = names, .position = 64};
    rng_init_seed(&world->rng, seed);
    struct timeline_options options = {
        .memory_bytes = (size_t)1 << 30, .threads = 2, .merge_events = merge_events};
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

static void above_the_limit_the_newest_are_complete(void **state)
{
    (void)state;
    struct timeline *timeline;
    struct err err;
    struct timeline_options options = {
        .memory_bytes = (size_t)3 << 20, .threads = 1, .merge_events = 4096};
    timeline_open(&options, &timeline);
    wait_ready(timeline);
    uint64_t position = 64, days = 100, per_day = 4000;
    for (uint64_t day = 0; day < days; day++) {
        for (uint64_t i = 0; i < per_day; i++) {
            struct timeline_event event = {.position = ++position,
                                           .visitor = (i % 500 + 1) << 10,
                                           .person = (i % 500 + 1) << 10,
                                           .time_us =
                                               NOVEMBER + (int64_t)day * US_PER_DAY + (int64_t)i,
                                           .name = STR("x")};
            timeline_add_event(timeline, &event);
        }
        timeline_commit(timeline, ++position);
        const struct timeline_view *each;
        must(timeline_view_open(timeline, position, &each, &err), &err);
        timeline_view_close(each);
    }
    const struct timeline_view *view;
    struct timeline_stats stats;
    struct timeline_scan *scan;
    struct timeline_run run;
    must(timeline_view_open(timeline, position, &view, &err), &err);
    timeline_stats(timeline, &stats);
    assert_true(view->complete_from_us > NOVEMBER);
    assert_true(stats.bytes < 4 << 20);
    uint64_t kept_days = days - (uint64_t)((view->complete_from_us - NOVEMBER) / US_PER_DAY),
             kept = 0;
    assert_true(kept_days > 5);
    timeline_scan_open(view, NULL, &scan);
    struct timeline_cursor *cursor = timeline_cursor_open(scan);
    while (timeline_cursor_next(cursor, &run))
        for (uint32_t i = 0; i < run.count; i++)
            kept += (int64_t)run.time[i] * US_PER_S >= view->complete_from_us;
    timeline_cursor_close(cursor);
    timeline_scan_close(scan);
    assert_int_equal(kept, kept_days * per_day);
    assert_int_equal(view->events, kept);
    assert_int_equal(stats.dropped, (days - kept_days) * per_day);
    timeline_view_close(view);
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
        cmocka_unit_test(too_many_names_are_other),
        cmocka_unit_test(a_rebuild_gives_what_the_feed_gave),
        cmocka_unit_test(what_is_fed_during_the_rebuild_comes_after_it),
        cmocka_unit_test(what_was_lost_is_read_from_the_warehouse),
        cmocka_unit_test(properties_are_those_of_the_very_event),
        cmocka_unit_test(people_have_the_name_of_their_most_important_identifier),
        cmocka_unit_test(readers_and_the_writer_do_not_disturb_each_other),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
