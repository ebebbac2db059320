/* pipeline_test.c - the loop on a real data directory: nothing twice, nothing lost, the same after
 * every kind of end. */
#include "pipeline/pipeline.h"

#include <errno.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sodium.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/json.h"
#include "timeline/timeline_scan.h"

#define PEOPLE 40
#define START_US INT64_C(1795600000000000) /* 2026-11-25 */

/* The engine is not instrumented: ThreadSanitizer misses what orders its threads, and that a forked
 * child's allocator makes its locks anew. What our own threads share is still looked at. */
const char *__tsan_default_suppressions(void) __attribute__((visibility("default")));
const char *__tsan_default_suppressions(void)
{
    return "race:libduckdb.so\nmutex:libduckdb.so\n";
}

/* Everything below the pipeline, on one folder. */
struct world {
    char data[64];
    struct clock clock;
    struct disk disk;
    struct rng rng;
    struct hash_key key;
    struct facts *facts;
    struct access *access;
    struct log *log;
    struct warehouse *warehouse;
    struct timeline *timeline;
    struct pipeline *pipeline;
};

static void must(enum status status, const struct err *err)
{
    if (status != ST_OK)
        fail_msg("%s", err->message);
}

/* Gives what the pipeline's opening says. */
static enum status world_try(struct world *world, const char *data, struct err *ret_err)
{
    char path[5][128];
    struct err err;
    *world = (struct world){.key = {{7}}};
    snprintf(world->data, sizeof world->data, "%s", data);
    snprintf(path[0], sizeof path[0], "%s/facts.db", data);
    snprintf(path[1], sizeof path[1], "%s/owner.key", data);
    snprintf(path[2], sizeof path[2], "%s/journal", data);
    snprintf(path[3], sizeof path[3], "%s/warehouse", data);
    snprintf(path[4], sizeof path[4], "%s/export", data);
    clock_init_virtual(&world->clock, START_US);
    disk_init(&world->disk);
    rng_init_seed(&world->rng, 1);
    must(facts_open(path[0], &world->facts, &err), &err);
    must(access_open(world->facts, &world->rng, &world->clock, path[1], &world->access, &err),
         &err);
    struct log_options log_options = {
        .folder = path[2], .disk = &world->disk, .clock = &world->clock, .segment_bytes = 64 << 10};
    must(log_open(&log_options, &world->log, &err), &err);
    struct warehouse_options warehouse_options = {.folder = path[3],
                                                  .export_folder = path[4],
                                                  .disk = &world->disk,
                                                  .clock = &world->clock,
                                                  .memory_bytes = (size_t)128 << 20,
                                                  .threads = 1};
    must(warehouse_open(&warehouse_options, &world->warehouse, &err), &err);
    struct pipeline_options options = {.log = world->log,
                                       .access = world->access,
                                       .clock = &world->clock,
                                       .disk = &world->disk,
                                       .key = &world->key,
                                       .data = world->data};
    options.rows_position = warehouse_position(world->warehouse);
    enum status status = pipeline_open(&options, &world->pipeline, ret_err);
    if (status != ST_OK)
        return status;
    timeline_open(&(struct timeline_options){.warehouse = world->warehouse,
                                             .memory_bytes = (size_t)64 << 20,
                                             .threads = 1,
                                             .merge_events = 50},
                  &world->timeline);
    pipeline_timeline_set(world->pipeline, world->timeline);
    return pipeline_start(world->pipeline, world->warehouse, ret_err);
}

static void world_open(struct world *world, const char *data)
{
    struct err err;
    must(world_try(world, data, &err), &err);
}

static void world_close(struct world *world)
{
    pipeline_close(world->pipeline);
    timeline_close(world->timeline);
    warehouse_close(world->warehouse);
    log_close(world->log);
    access_close(world->access);
    facts_close(world->facts);
}

static int folder_new(void **state)
{
    char *data = strdup("/tmp/pipeline_test.XXXXXX");
    *state = mkdtemp(data);
    return *state == NULL;
}

static int folder_remove(void **state)
{
    char *const argv[] = {"rm", "-rf", *state, NULL};
    pid_t child = fork();
    if (child == 0)
        execvp("rm", argv);
    waitpid(child, NULL, 0);
    free(*state);
    return 0;
}

/* Event `n` of the test's history: person n % PEOPLE, every fifth also names an anonymous id. */
static void event_append(struct world *world, int n)
{
    char id[32], user[32], anonymous[32];
    struct err err;
    uint64_t first;
    struct buf payload, frames;
    snprintf(id, sizeof id, "m-%d", n);
    snprintf(user, sizeof user, "u-%d", n % PEOPLE);
    snprintf(anonymous, sizeof anonymous, "a-%d", n % 7);
    struct event event = {.type = EVENT_TRACK,
                          .message_id = str_of(id),
                          .name = STR("Order Completed"),
                          .original_us = START_US + n * US_PER_S,
                          .properties = STR("{\"revenue\":12.5,\"currency\":\"CNY\"}")};
    event_add_identifier(&event, IDENTIFIER_USER_ID, str_of(user));
    if (n % 5 == 0)
        event_add_identifier(&event, IDENTIFIER_ANONYMOUS_ID, str_of(anonymous));
    buf_init(&payload, 4096);
    buf_init(&frames, 8192);
    event_encode(&event, &payload);
    log_frame(&frames, LOG_EVENT, EVENT_VERSION, 1, buf_view(&payload));
    must(log_append_wait(world->log, &frames, 1, &first, &err), &err);
    buf_done(&payload);
    buf_done(&frames);
}

/* Person by person and event by event what the view `events` says. */
static void timeline_same(struct world *world)
{
    struct err err;
    struct buf json;
    const struct timeline_view *view;
    struct timeline_scan *scan;
    struct timeline_run run = {0};
    yyjson_doc *doc;
    yyjson_arr_iter rows;
    enum status status;
    uint64_t position = warehouse_position(world->warehouse);
    while ((status = timeline_view_open(world->timeline, position, &view, &err)) == ST_BUSY)
        assert_int_equal(sched_yield(), 0); /* the rebuild */
    must(status, &err);
    buf_init(&json, (size_t)16 << 20);
    must(warehouse_query(world->warehouse,
                         "SELECT person, position, epoch_us(time), name, channel, "
                         "CAST(amount * 1000000 AS BIGINT) FROM events WHERE person <> 0 "
                         "ORDER BY person, time, position",
                         NULL, 0, &json, &err),
         &err);
    must(json_parse(NULL, buf_view(&json), &doc, &err), &err);
    timeline_scan_open(view, NULL, &scan);
    struct timeline_cursor *cursor = timeline_cursor_open(scan);
    yyjson_arr_iter_init(yyjson_obj_get(yyjson_doc_get_root(doc), "rows"), &rows);
    assert_int_equal(view->events, rows.max);
    uint32_t i = 0;
    for (yyjson_val *values; (values = yyjson_arr_iter_next(&rows)) != NULL; i++) {
        uint32_t person = timeline_person_find(view, yyjson_get_uint(yyjson_arr_get(values, 0)));
        if (i == run.count || run.person != person) {
            assert_int_equal(i, run.count);
            assert_true(timeline_person(cursor, person, &run));
            i = 0;
        }
        uint64_t row = timeline_row(&run, i);
        uint32_t channel = timeline_origin_channel(view, timeline_origin(&run, i));
        const char *text = yyjson_get_str(yyjson_arr_get(values, 4));
        int64_t amount = 0;
        assert_int_equal(timeline_position(view, row), yyjson_get_uint(yyjson_arr_get(values, 1)));
        assert_int_equal(timeline_time_us(view, row), yyjson_get_sint(yyjson_arr_get(values, 2)));
        assert_true(str_is(timeline_name(view, timeline_code(&run, i)),
                           yyjson_get_str(yyjson_arr_get(values, 3))));
        assert_true(str_is(timeline_channel(view, channel), text == NULL ? "" : text));
        assert_int_equal(timeline_amount(view, row, &amount),
                         !yyjson_is_null(yyjson_arr_get(values, 5)));
        assert_int_equal(amount, yyjson_get_sint(yyjson_arr_get(values, 5)));
    }
    assert_int_equal(i, run.count);
    timeline_cursor_close(cursor);
    timeline_scan_close(scan);
    timeline_view_close(view);
    yyjson_doc_free(doc);
    buf_done(&json);
}

static struct pipeline_digest digest_of(struct world *world)
{
    struct err err;
    struct pipeline_digest digest;
    must(pipeline_catch_up(world->pipeline, &err), &err);
    must(pipeline_digest(world->pipeline, &digest, &err), &err);
    timeline_same(world);
    return digest;
}

static void assert_same(struct pipeline_digest a, struct pipeline_digest b)
{
    assert_true(hash128_eq(a.people, b.people));
    assert_true(hash128_eq(a.profiles, b.profiles));
    assert_true(hash128_eq(a.rows, b.rows));
    assert_int_equal(a.rows_count, b.rows_count);
}

/* What `count` events give when nothing happens on the way. */
static struct pipeline_digest straight_run(int count)
{
    void *folder = NULL;
    struct world world;
    folder_new(&folder);
    world_open(&world, folder);
    for (int n = 0; n < count; n++)
        event_append(&world, n);
    struct pipeline_digest digest = digest_of(&world);
    world_close(&world);
    folder_remove(&folder);
    return digest;
}

static void test_what_is_appended_becomes_people_and_rows(void **state)
{
    struct world world;
    struct pipeline_stats stats;
    struct identity_stats identity;
    world_open(&world, *state);
    for (int n = 0; n < 200; n++)
        event_append(&world, n);
    struct pipeline_digest digest = digest_of(&world);
    pipeline_stats(world.pipeline, &stats);
    state_lock(pipeline_state(world.pipeline));
    identity_stats(pipeline_identity(world.pipeline), &identity);
    state_unlock(pipeline_state(world.pipeline));
    assert_int_equal(digest.rows_count, 200);
    assert_int_equal(stats.stored, 200);
    assert_int_equal(stats.lag_bytes, 0);
    assert_int_equal(digest.people_count, identity.people);
    assert_int_equal(stats.state_position, log_end(world.log)); /* a digest flushes first */
    world_close(&world);
}

static void test_a_repeat_changes_nothing(void **state)
{
    struct world world;
    struct pipeline_stats stats;
    world_open(&world, *state);
    for (int n = 0; n < 50; n++)
        event_append(&world, n);
    struct pipeline_digest before = digest_of(&world);
    for (int n = 49; n >= 0; n--)
        event_append(&world, n);
    assert_same(before, digest_of(&world));
    pipeline_stats(world.pipeline, &stats);
    assert_int_equal(stats.duplicates, 50);
    world_close(&world);
}

/* Nobody is sent away: no rest. Somebody is: some batch soon after is followed by one. */
static void test_the_fold_makes_way_when_asked(void **state)
{
    struct world world;
    struct err err;
    struct pipeline_stats stats;
    int n = 0;
    world_open(&world, *state);
    for (; n < 20; n++) {
        event_append(&world, n);
        must(pipeline_catch_up(world.pipeline, &err), &err);
    }
    pipeline_stats(world.pipeline, &stats);
    assert_int_equal(stats.rests, 0);
    do { /* one batch may come later than 200 ms, where the machine is busy; not a hundred */
        pipeline_make_way(world.pipeline);
        event_append(&world, n++);
        must(pipeline_catch_up(world.pipeline, &err), &err);
        pipeline_stats(world.pipeline, &stats);
    } while (stats.rests == 0 && n < 120);
    assert_true(stats.rests > 0);
    assert_int_equal(stats.stored, n);
    world_close(&world);
}

static void test_a_restart_stands_where_it_stood(void **state)
{
    struct world world;
    struct pipeline_stats stats;
    world_open(&world, *state);
    for (int n = 0; n < 100; n++)
        event_append(&world, n);
    struct pipeline_digest before = digest_of(&world);
    world_close(&world);
    world_open(&world, *state);
    pipeline_stats(world.pipeline, &stats);
    assert_int_equal(stats.replayed_bytes, 0);
    assert_same(before, digest_of(&world));
    world_close(&world);
}

static void test_a_lost_state_is_rebuilt(void **state)
{
    static const char *const names[] = {"state.db", "state.db-wal", "state.db-shm"};
    char path[128];
    struct world world;
    world_open(&world, *state);
    for (int n = 0; n < 150; n++)
        event_append(&world, n);
    struct pipeline_digest before = digest_of(&world);
    world_close(&world);
    for (size_t i = 0; i < 3; i++) {
        snprintf(path, sizeof path, "%s/%s", (char *)*state, names[i]);
        unlink(path);
    }
    world_open(&world, *state);
    assert_same(before, digest_of(&world));
    event_append(&world, 3); /* the message ids were rebuilt too */
    assert_same(before, digest_of(&world));
    world_close(&world);
}

static void test_a_month_ends_between_two_events(void **state)
{
    struct world world;
    world_open(&world, *state);
    for (int n = 0; n < 60; n++) {
        if (n == 30)
            clock_set_us(&world.clock, START_US + 10 * US_PER_DAY);
        event_append(&world, n);
    }
    struct pipeline_digest digest = digest_of(&world);
    assert_int_equal(digest.rows_count, 60);
    assert_same(digest, straight_run(60));
    struct warehouse_stats stats;
    warehouse_stats(world.warehouse, &stats);
    assert_int_equal(stats.files, 2);
    world_close(&world);
}

#ifdef HEZOU_TEST_HOOKS
/* A child that is killed at a point in the middle of its work; the parent folds on. */
static void killed_at(const char *folder, const char *point, int before, int after)
{
    struct world world;
    struct pipeline_digest wanted = straight_run(before + after);
    int code;
    pid_t child = fork();
    if (child == 0) {
        struct err err;
        setenv("CRASH_AT", point, 1);
        world_open(&world, folder);
        for (int n = 0; n < before; n++) {
            event_append(&world, n);
            if (n % 20 == 19 && pipeline_catch_up(world.pipeline, &err) == ST_OK &&
                pipeline_flush(world.pipeline, &err) != ST_OK)
                _exit(3);
        }
        _exit(2); /* the point was not reached */
    }
    waitpid(child, &code, 0);
    assert_true(WIFSIGNALED(code) && WTERMSIG(code) == SIGKILL);
    world_open(&world, folder);
    for (int n = 0; n < before + after; n++)
        event_append(&world, n); /* what was stored is a duplicate, the rest is new */
    assert_same(wanted, digest_of(&world));
    world_close(&world);
}

static void test_a_kill_after_a_commit_doubles_nothing(void **state)
{
    killed_at(*state, "pipeline_committed:3", 100, 20);
}

static void test_a_kill_before_a_flush_loses_nothing(void **state)
{
    killed_at(*state, "pipeline_flush:2", 100, 20);
}

static void test_a_kill_between_a_note_and_its_writing_loses_nothing(void **state)
{
    killed_at(*state, "pipeline_note_begun:2", 100, 20);
}
#endif

static void test_an_erased_person_is_gone_and_stays_gone(void **state)
{
    struct world world;
    struct err err;
    struct pipeline_erased erased;
    struct visitor_id visitor;
    struct person_id person;
    world_open(&world, *state);
    for (int n = 1; n < 5; n++)
        event_append(&world, n);
    must(pipeline_catch_up(world.pipeline, &err), &err);
    must(pipeline_erase(world.pipeline, IDENTIFIER_USER_ID, STR("u-3"), 1, &erased, &err), &err);
    assert_int_equal(erased.identifiers, 1);
    assert_int_equal(erased.records, 1);
    assert_int_equal(digest_of(&world).rows_count, 3);
    event_append(&world, 3); /* the client tries again */
    assert_int_equal(digest_of(&world).rows_count, 3);
    event_append(&world, 3 + PEOPLE); /* a new event starts a new person */
    assert_int_equal(digest_of(&world).rows_count, 4);
    state_lock(pipeline_state(world.pipeline));
    assert_true(identity_find(pipeline_identity(world.pipeline), IDENTIFIER_USER_ID, STR("u-3"),
                              &visitor, &person));
    state_unlock(pipeline_state(world.pipeline));
    assert_int_equal(
        pipeline_erase(world.pipeline, IDENTIFIER_USER_ID, STR("nobody"), 2, &erased, &err),
        ST_NOT_FOUND);
    world_close(&world);
}

/* Whoever was killed before the ledger was closed asks again. */
static void test_an_erase_can_be_finished_again_until_it_is_forgotten(void **state)
{
    struct world world;
    struct err err;
    struct pipeline_erased erased = {0}, again = {0};
    world_open(&world, *state);
    for (int n = 0; n < 5; n++)
        event_append(&world, n);
    must(pipeline_erase(world.pipeline, IDENTIFIER_USER_ID, STR("u-0"), 9, &erased, &err), &err);
    world_close(&world);
    world_open(&world, *state);
    must(pipeline_erase_finish(world.pipeline, 9, &again, &err), &err);
    assert_int_equal(again.identifiers, erased.identifiers);
    assert_int_equal(again.records, erased.records);
    pipeline_erase_forget(world.pipeline, 9);
    assert_int_equal(pipeline_erase_finish(world.pipeline, 9, &again, &err), ST_NOT_FOUND);
    world_close(&world);
}

static void test_a_state_ahead_of_the_rows_is_refused(void **state)
{
    struct world world;
    struct err err;
    char rows[128], aside[128];
    snprintf(rows, sizeof rows, "%s/warehouse", (char *)*state);
    snprintf(aside, sizeof aside, "%s/aside", (char *)*state);
    world_open(&world, *state);
    event_append(&world, 1);
    struct pipeline_digest before = digest_of(&world);
    world_close(&world);
    assert_int_equal(rename(rows, aside), 0);
    assert_int_equal(world_try(&world, *state, &err), ST_CORRUPT);
    world_close(&world);
    snprintf(rows, sizeof rows, "%s/state.db", (char *)*state);
    assert_int_equal(unlink(rows), 0); /* as the hint says; the snapshot is ahead, too: not taken */
    world_open(&world, *state);
    assert_same(digest_of(&world), before);
    world_close(&world);
}

static void test_a_full_disk_keeps_nobody_waiting(void **state)
{
    struct world world;
    struct err err;
    world_open(&world, *state);
    for (int n = 0; n < 5; n++)
        event_append(&world, n);
    struct pipeline_digest before = digest_of(&world);
    event_append(&world, 5);
    must(pipeline_catch_up(world.pipeline, &err), &err);
    __atomic_store_n(&world.disk.fail_errno, ENOSPC, __ATOMIC_RELAXED);
    __atomic_store_n(&world.disk.fail_forever, true, __ATOMIC_RELAXED);
    __atomic_store_n(&world.disk.fail_at, 1, __ATOMIC_RELEASE);
    assert_int_equal(pipeline_flush(world.pipeline, &err), ST_BUSY);
    pipeline_close(world.pipeline);
    world.pipeline = NULL;
    __atomic_store_n(&world.disk.fail_at, 0, __ATOMIC_RELEASE);
    world_close(&world);
    world_open(&world, *state);
    assert_int_equal(digest_of(&world).rows_count, before.rows_count + 1);
    world_close(&world);
}

static void never_ready(struct pipeline_waiter *waiter, enum status status)
{
    int *answers = waiter->ctx;
    assert_int_equal(status, ST_TIMEOUT); /* the end of the pipeline is the end of waiting */
    (*answers)++;
}

static void test_waiters_are_bounded_and_all_answered(void **state)
{
    static struct pipeline_waiter waiters[LIMIT_WAITERS + 1];
    struct world world;
    struct err err;
    int answers = 0;
    world_open(&world, *state);
    for (int i = 0; i <= LIMIT_WAITERS; i++) {
        waiters[i] =
            (struct pipeline_waiter){.offset = UINT64_MAX, .ready = never_ready, .ctx = &answers};
        enum status status = pipeline_wait(world.pipeline, &waiters[i], &err);
        assert_int_equal(status, i < LIMIT_WAITERS ? ST_OK : ST_BUSY);
    }
    world_close(&world);
    assert_int_equal(answers, LIMIT_WAITERS);
}

#define STORY(test) cmocka_unit_test_setup_teardown(test, folder_new, folder_remove)

int main(void)
{
    const struct CMUnitTest tests[] = {
        STORY(test_what_is_appended_becomes_people_and_rows),
        STORY(test_a_repeat_changes_nothing),
        STORY(test_the_fold_makes_way_when_asked),
        STORY(test_a_restart_stands_where_it_stood),
        STORY(test_a_lost_state_is_rebuilt),
        STORY(test_a_month_ends_between_two_events),
#ifdef HEZOU_TEST_HOOKS
        STORY(test_a_kill_after_a_commit_doubles_nothing),
        STORY(test_a_kill_before_a_flush_loses_nothing),
        STORY(test_a_kill_between_a_note_and_its_writing_loses_nothing),
#endif
        STORY(test_an_erased_person_is_gone_and_stays_gone),
        STORY(test_an_erase_can_be_finished_again_until_it_is_forgotten),
        STORY(test_a_state_ahead_of_the_rows_is_refused),
        STORY(test_a_full_disk_keeps_nobody_waiting),
        STORY(test_waiters_are_bounded_and_all_answered),
    };
    if (sodium_init() < 0)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
