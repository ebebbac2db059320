/* log_ahead_test.c - the next segment's file: there in time, whole or not, and no harm when it is
 * left behind, full of something else, or when there is no room for it. */
#include "log/log_test.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/check.h"
#include "log/log_int.h"

#define MB (UINT64_C(1) << 20)
#define SEGMENT (8 * MB)
#define RECORD ((size_t)MB / 4)

static void append_many(struct bench *bench, uint32_t first, uint32_t last)
{
    for (uint32_t id = first; id <= last; id++)
        assert_int_equal(append_one(bench->log, id, RECORD, NULL), ST_OK);
}

/* Until the thread has written all that is wanted so far, or has given up. */
static uint64_t ahead_settled(struct log *log)
{
    pthread_mutex_lock(&log->mutex);
    while (log->ahead.writing ||
           (!log->ahead.given_up && log->ahead.bytes + DISK_PIECE_BYTES <= log->ahead.wanted))
        pthread_cond_wait(&log->ahead.changed, &log->mutex);
    uint64_t bytes = log->ahead.bytes;
    pthread_mutex_unlock(&log->mutex);
    return bytes;
}

static uint64_t size_of(const struct bench *bench, const char *name)
{
    char path[512];
    struct stat file;
    snprintf(path, sizeof path, "%s/%s", bench->folder, name);
    return stat(path, &file) == 0 ? (uint64_t)file.st_size : 0;
}

static void all_there(struct bench *bench, uint32_t count)
{
    static struct seen seen;
    assert_int_equal(read_all(bench->log, &seen), ST_OK);
    assert_int_equal(seen.count, count);
    for (uint32_t i = 0; i < count; i++)
        assert_int_equal(seen.id[i], i + 1);
}

static void a_segment_that_turns_finds_its_file_made(void **state)
{
    struct bench *bench = *state;
    bench->options.segment_bytes = SEGMENT;
    bench_open(bench);
    append_many(bench, 1, 7); /* not a quarter yet */
    assert_int_equal(ahead_settled(bench->log), 0);
    assert_int_equal(size_of(bench, "ahead.new"), 0);
    append_many(bench, 8, 16); /* half */
    uint64_t half = ahead_settled(bench->log);
    assert_true(half >= 3 * MB && half <= 4 * MB);
    append_many(bench, 17, 31);
    assert_int_equal(ahead_settled(bench->log), SEGMENT);
    assert_int_equal(size_of(bench, "ahead.new"), SEGMENT);
    append_many(bench, 32, 33); /* with their headers they do not fit any more */
    assert_int_equal(bench->log->segments_count, 2);
    assert_int_equal(bench->log->reserved, SEGMENT);
    assert_int_equal(size_of(bench, "ahead.new"), 0);
    all_there(bench, 33);
    bench_reopen(bench);
    all_there(bench, 33);
    assert_int_equal(append_one(bench->log, 34, 100, NULL), ST_OK);
    all_there(bench, 34);
}

/* It turns before the zeros are all there: what there is of them is used. */
static void a_file_half_made_is_taken_as_it_is(void **state)
{
    struct bench *bench = *state;
    bench->options.segment_bytes = SEGMENT;
    bench_open(bench);
    append_many(bench, 1, 16);
    uint64_t half = ahead_settled(bench->log);
    pthread_mutex_lock(&bench->log->mutex);
    bench->log->ahead.given_up = true; /* no more of it, and it stays */
    pthread_mutex_unlock(&bench->log->mutex);
    append_many(bench, 17, 32);
    assert_int_equal(bench->log->segments_count, 2);
    assert_true(bench->log->reserved >= half);
    append_many(bench, 33, 60); /* through the end of the zeros, and on */
    bench_reopen(bench);
    all_there(bench, 60);
}

static void killed_at_the_turn(struct bench *bench, struct notes *notes)
{
    (void)notes;
    setenv("CRASH_AT", "log_ahead_head", 1);
    CHECK(log_open(&bench->options, &bench->log, NULL) == ST_OK);
    append_many(bench, 1, 31);
    (void)ahead_settled(bench->log);
    append_many(bench, 32, 40);
}

static void killed_after_the_turn(struct bench *bench, struct notes *notes)
{
    (void)notes;
    CHECK(log_open(&bench->options, &bench->log, NULL) == ST_OK);
    append_many(bench, 1, 31);
    (void)ahead_settled(bench->log);
    append_many(bench, 32, 40);
    kill(getpid(), SIGKILL);
}

static void a_kill_leaves_zeros_that_are_cut(void **state)
{
    struct bench *bench = *state;
    bench->options.segment_bytes = SEGMENT;
    assert_true(WIFSIGNALED(in_child(killed_at_the_turn, bench, NULL)));
    assert_int_equal(size_of(bench, "ahead.new"), SEGMENT); /* with a header already */
    bench_open(bench);
    assert_int_equal(size_of(bench, "ahead.new"), 0);
    all_there(bench, 31);
    bench_close(bench);
    folder_clear(bench->folder);

    char name[32];
    assert_true(WIFSIGNALED(in_child(killed_after_the_turn, bench, NULL)));
    bench_open(bench);
    all_there(bench, 40);
    assert_int_equal(bench->log->segments_count, 2);
    segment_name(bench->log->active.base, name);
    assert_true(size_of(bench, name) < SEGMENT);
    assert_int_equal(bench->log->stats.torn_bytes, 0);
}

static void without_room_there_is_none(void **state)
{
    struct bench *bench = *state;
    bench->options.segment_bytes = SEGMENT;
    bench_open(bench);
    append_many(bench, 1, 16);
    assert_true(ahead_settled(bench->log) > 0);
    __atomic_store_n(&bench->disk.fail_errno, ENOSPC, __ATOMIC_RELAXED);
    __atomic_store_n(&bench->disk.fail_at, 1, __ATOMIC_RELEASE);
    assert_int_equal(append_one(bench->log, 17, RECORD, NULL), ST_BUSY);
    assert_int_equal(size_of(bench, "ahead.new"), 0); /* its room is given back */
}

int log_ahead_tests_run(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_segment_that_turns_finds_its_file_made, bench_setup,
                                        bench_teardown),
        cmocka_unit_test_setup_teardown(a_file_half_made_is_taken_as_it_is, bench_setup,
                                        bench_teardown),
        cmocka_unit_test_setup_teardown(a_kill_leaves_zeros_that_are_cut, bench_setup,
                                        bench_teardown),
        cmocka_unit_test_setup_teardown(without_room_there_is_none, bench_setup, bench_teardown),
    };
    return cmocka_run_group_tests_name("log_ahead", tests, NULL, NULL);
}
