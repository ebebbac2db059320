/* state_delta_test.c - what the files say after a crash, a full disk, damage and an erase. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "store/state_test.h"
#include "store/store.h"

/* 0 when notes and merges on a full disk change nothing, and those after it have everything. */
static int fill_the_disk(void)
{
    struct opened o = open_at(file_in("state.db"), 1 << 20);
    struct rlimit limit = {.rlim_cur = 600 * 1024, .rlim_max = RLIM_INFINITY};
    struct err err;
    make_places(&o);
    signal(SIGXFSZ, SIG_IGN);
    state_lock(o.state);
    for (uint64_t i = 1; i < 5000; i++)
        state_add(o.hashes, &object_new(hash_of(i), i, 300)->entry);
    state_change(o.numbers, state_get(o.numbers, (struct hash128){1, 0}));
    ((struct object *)state_get(o.numbers, (struct hash128){1, 0}))->number = 1;
    set_u64(&o, "position", 5);
    state_unlock(o.state);
    setrlimit(RLIMIT_FSIZE, &limit);
    for (int i = 0; i < 3; i++) {
        if (state_note(o.state, &err) != ST_BUSY)
            return 1;
        state_lock(o.state); /* folding goes on meanwhile */
        struct state_entry *entry = state_get(o.numbers, (struct hash128){1, 0});
        state_change(o.numbers, entry);
        ((struct object *)entry)->number = 77;
        state_remove(o.hashes, state_get(o.hashes, hash_of((uint64_t)i)));
        state_unlock(o.state);
    }
    limit.rlim_cur = RLIM_INFINITY;
    setrlimit(RLIMIT_FSIZE, &limit);
    for (int i = 0; i < 2; i++) /* the one that waited, then what was changed since */
        if (state_note(o.state, &err) != ST_OK)
            return 2;
    state_seal(o.state);
    limit.rlim_cur = 600 * 1024;
    setrlimit(RLIMIT_FSIZE, &limit);
    if (state_merge(o.state, &err) != ST_BUSY)
        return 3;
    limit.rlim_cur = RLIM_INFINITY;
    setrlimit(RLIMIT_FSIZE, &limit);
    if (getenv("MERGE") != NULL && state_merge(o.state, &err) != ST_OK)
        return 4;
    state_lock(o.state);
    if (((struct object *)state_get(o.numbers, (struct hash128){1, 0}))->number != 77 ||
        state_get(o.hashes, hash_of(0)) != NULL)
        return 5;
    state_unlock(o.state);
    state_close(o.state);
    return 0;
}

static void full_disk_loses_nothing_and_half_applies_nothing(void **unused)
{
    (void)unused;
    for (int merged = 0; merged < 2; merged++) {
        pid_t child = fork();
        if (child == 0) {
            if (merged)
                setenv("MERGE", "1", 1);
            exit(fill_the_disk()); /* exit, so that a coverage build keeps the count */
        }
        int how = 0;
        waitpid(child, &how, 0);
        assert_true(WIFEXITED(how));
        assert_int_equal(WEXITSTATUS(how), 0);
        struct opened o = open_at(file_in("state.db"), 0);
        state_lock(o.state);
        assert_int_equal(value_u64(&o, "position"), 5);
        assert_int_equal(((struct object *)state_get(o.numbers, (struct hash128){1, 0}))->number,
                         77);
        for (uint64_t i = 0; i < 5000; i++)
            assert_int_equal(state_get(o.hashes, hash_of(i)) == NULL, i < 3);
        state_unlock(o.state);
        state_close(o.state);
        unlink(file_in("state.db"));
    }
}

/* --- the delta -------------------------------------------------------------------------------- */

static unsigned long number_of(const char *name)
{
    return strtoul(name + strlen("state.db-delta-"), NULL, 10);
}

static int by_number_in_name(const void *left, const void *right)
{
    unsigned long x = number_of(left), y = number_of(right);
    return (x > y) - (x < y);
}

/* The names of its files, in order; how many there are. */
static int delta_files(char names[][64], int max)
{
    int count = 0;
    DIR *dir = opendir(folder);
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;)
        if (strncmp(entry->d_name, "state.db-delta-", 15) == 0 && count < max)
            snprintf(names[count++], 64, "%.63s", entry->d_name);
    closedir(dir);
    qsort(names, (size_t)count, 64, by_number_in_name);
    return count;
}

static off_t size_of(const char *name)
{
    struct stat file;
    assert_int_equal(stat(file_in(name), &file), 0);
    return file.st_size;
}

/* Four notes after a merge, the first two sealed: positions 101 to 104. */
static void four_notes(void)
{
    struct mover mover = {.o = open_at(file_in("state.db"), 0)};
    make_places(&mover.o);
    mover.steps = 100;
    for (uint64_t i = 0; i < 4; i++) {
        state_lock(mover.o.state);
        move_one(&mover, i, i + 9);
        if (i == 2)
            state_add(mover.o.numbers, &object_new((struct hash128){PLACES, 0}, 0, 40)->entry);
        if (i == 3)
            state_remove(mover.o.numbers, state_get(mover.o.numbers, (struct hash128){PLACES, 0}));
        state_unlock(mover.o.state);
        note(&mover.o);
        if (i == 1)
            state_seal(mover.o.state);
    }
    state_close(mover.o.state);
}

/* Cut anywhere, it stands at the last whole note, and goes on from there. */
static void a_torn_delta_is_the_note_before(void **unused)
{
    (void)unused;
    char names[8][64];
    four_notes();
    assert_int_equal(delta_files(names, 8),
                     3); /* make_places' own is not removed before a checkpoint */
    off_t full = size_of(names[2]);
    for (off_t at = full - 1; at >= 0; at -= 7) {
        if (truncate(file_in(names[2]), at) != 0)
            fail();
        struct mover mover = {.o = open_at(file_in("state.db"), 0)};
        uint64_t position = value_u64(&mover.o, "position");
        assert_true(position >= 102 && position < 104);
        assert_true(position == 102 || at > full / 3);
        check_moment(&mover.o);
        state_lock(mover.o.state);
        assert_int_equal(state_get(mover.o.numbers, (struct hash128){PLACES, 0}) != NULL,
                         position == 103);
        mover.steps = position;
        move_one(&mover, 20, 30);
        state_unlock(mover.o.state);
        note(&mover.o);
        state_close(mover.o.state);
        mover.o = open_at(file_in("state.db"), 0);
        assert_int_equal(value_u64(&mover.o, "position"), position + 1);
        check_moment(&mover.o);
        flush(&mover.o);
        assert_int_equal(sum_of(&mover.o).count, PLACES + (position == 103));
        state_close(mover.o.state);
        remove_folder(NULL);
        assert_int_equal(mkdir(folder, 0700), 0);
        four_notes();
    }
}

static void flip(const char *name, off_t at)
{
    int fd = open(file_in(name), O_RDWR);
    char byte = 0;
    assert_int_equal(pread(fd, &byte, 1, at), 1);
    byte ^= 4;
    assert_int_equal(pwrite(fd, &byte, 1, at), 1);
    close(fd);
}

/* A flipped bit ends the reading; what lies behind it cannot follow, and is gone. */
static void a_damaged_chunk_and_all_behind_it_are_cut_off(void **unused)
{
    (void)unused;
    char names[8][64];
    four_notes();
    assert_int_equal(delta_files(names, 8), 3);
    flip(names[1], size_of(names[1]) - 3);
    struct opened o = open_at(file_in("state.db"), 0);
    assert_int_equal(value_u64(&o, "position"), 101);
    check_moment(&o);
    state_close(o.state);
    assert_int_equal(delta_files(names, 8), 2); /* the merged one waits for a checkpoint */
}

/* What a full disk cut off, and the end of the file with it, is passed over. */
static void a_tail_that_is_no_chunk_hides_nothing_behind_it(void **unused)
{
    (void)unused;
    char names[8][64];
    four_notes();
    assert_int_equal(delta_files(names, 8), 3);
    FILE *file = fopen(file_in(names[1]), "a");
    fputs("HZD1, and what was to come after it did not", file);
    fclose(file);
    struct opened o = open_at(file_in("state.db"), 0);
    assert_int_equal(value_u64(&o, "position"), 104);
    check_moment(&o);
    flush(&o);
    assert_int_equal(sum_of(&o).count, PLACES);
    state_close(o.state);
}

/* Files that another state.db left are not read: they belong to what is no more. */
static void the_delta_of_another_file_is_not_ours(void **unused)
{
    (void)unused;
    char names[8][64];
    four_notes();
    unlink(file_in("state.db"));
    unlink(file_in("state.db-wal"));
    struct opened o = open_at(file_in("state.db"), 0);
    assert_int_equal(value_u64(&o, "position"), 0);
    assert_int_equal(delta_files(names, 8), 0);
    state_lock(o.state);
    assert_null(state_get(o.numbers, (struct hash128){3, 0}));
    state_unlock(o.state);
    state_close(o.state);
}

/* Merged and on the disk: the files go, and what was made and removed between leaves no trace. */
static void a_checkpoint_removes_what_was_merged(void **unused)
{
    (void)unused;
    char names[8][64];
    struct err err;
    four_notes();
    struct opened o = open_at(file_in("state.db"), 0);
    check_moment(&o);
    struct sum sum = {0};
    state_scan_unmerged(o.numbers, add_up, &sum);
    assert_int_equal(sum.count, 8);
    flush(&o);
    assert_int_equal(state_checkpoint(o.state, false, &err), ST_OK);
    assert_int_equal(delta_files(names, 8), 0);
    sum = (struct sum){0};
    state_scan_unmerged(o.numbers, add_up, &sum);
    assert_int_equal(sum.count, 0);
    assert_int_equal(sum_of(&o).count, PLACES);
    state_close(o.state);
    o = open_at(file_in("state.db"), 0);
    assert_int_equal(value_u64(&o, "position"), 104);
    check_moment(&o);
    state_close(o.state);
}

/* What a start finds is not decoded before somebody asks, and is the last word for gets, scans and
 * filters alike: changed, removed, removed and made again, and new. */
static void a_start_decodes_nothing_and_hides_nothing(void **unused)
{
    (void)unused;
    struct opened o = open_at(file_in("state.db"), 0);
    struct state_stats stats;
    struct sum sum = {0};
    state_lock(o.state);
    for (uint64_t i = 0; i < 4; i++)
        state_add(o.numbers, &object_new((struct hash128){i, 0}, 1 + i, 40)->entry);
    state_unlock(o.state);
    flush(&o);
    for (uint64_t step = 0; step < 2; step++) { /* in two notes, of which the second counts */
        state_lock(o.state);
        struct state_entry *changed = state_get(o.numbers, (struct hash128){0, 0});
        state_change(o.numbers, changed);
        ((struct object *)changed)->number = 100 + step;
        if (step == 0)
            state_remove(o.numbers, state_get(o.numbers, (struct hash128){2, 0}));
        else
            state_add(o.numbers, &object_new((struct hash128){2, 0}, 1000, 9)->entry);
        if (step == 1)
            state_remove(o.numbers, state_get(o.numbers, (struct hash128){1, 0}));
        if (step == 1)
            state_add(o.numbers, &object_new((struct hash128){4, 0}, 10000, 9)->entry);
        state_unlock(o.state);
        note(&o);
    }
    state_close(o.state);
    for (int merged = 0; merged < 2; merged++) {
        o = open_at(file_in("state.db"), 0);
        state_lock(o.state);
        state_stats(o.state, &stats);
        state_unlock(o.state);
        assert_int_equal(stats.cached, 0);
        assert_true(merged == (stats.cache_bytes == 0)); /* what it holds of the delta counts */
        assert_int_equal(sum_of(&o).total, 101 + 1000 + 4 + (merged ? 10000 : 0));
        sum = (struct sum){0};
        state_scan_unmerged(o.numbers, add_up, &sum);
        assert_int_equal(sum.total, merged ? 0 : 101 + 1000 + 10000);
        state_lock(o.state);
        assert_null(state_get(o.numbers, (struct hash128){1, 0}));
        assert_int_equal(((struct object *)state_get(o.numbers, (struct hash128){4, 0}))->number,
                         10000);
        state_stats(o.state, &stats);
        assert_int_equal(stats.cached, 1);
        state_unlock(o.state);
        sum = (struct sum){0};
        state_scan_unmerged(o.numbers, add_up, &sum); /* what was asked for is not shown twice */
        assert_int_equal(sum.count, merged ? 0 : 3);
        flush(&o);
        state_close(o.state);
    }
}

/* Keys that begin with the same 8 bytes are told apart, each by its last word. */
static void keys_that_begin_alike_are_merged_each_by_itself(void **unused)
{
    (void)unused;
    struct opened o = open_at(file_in("state.db"), 0);
    for (uint64_t step = 0; step < 4; step++) {
        state_lock(o.state);
        for (uint64_t b = step; b < 8; b++) {
            struct state_entry *entry = state_get(o.hashes, (struct hash128){7, b});
            if (entry == NULL) {
                state_add(o.hashes, &object_new((struct hash128){7, b}, b, 5)->entry);
                continue;
            }
            state_change(o.hashes, entry);
            ((struct object *)entry)->number = 100 * step + b;
        }
        if (step == 2)
            state_remove(o.hashes, state_get(o.hashes, (struct hash128){7, 0}));
        state_unlock(o.state);
        note(&o);
    }
    state_seal(o.state);
    merge(&o);
    state_close(o.state);
    o = open_at(file_in("state.db"), 0);
    state_lock(o.state);
    assert_null(state_get(o.hashes, (struct hash128){7, 0}));
    for (uint64_t b = 1; b < 8; b++)
        assert_int_equal(((struct object *)state_get(o.hashes, (struct hash128){7, b}))->number,
                         100 * (b < 3 ? b : 3) + b);
    state_unlock(o.state);
    state_close(o.state);
}

static void killed_between_notes_is_the_last_note(void **unused)
{
    (void)unused;
    pid_t child = fork();
    if (child == 0) {
        struct mover mover = {.o = open_at(file_in("state.db"), 0)};
        make_places(&mover.o);
        for (uint64_t i = 0; i < 1000; i++) {
            state_lock(mover.o.state);
            move_one(&mover, i % PLACES, (i * 7 + 1) % PLACES);
            state_unlock(mover.o.state);
            if (i == 300)
                flush(&mover.o);
            if (i == 700)
                note(&mover.o);
        }
        kill(getpid(), SIGKILL);
    }
    waitpid(child, NULL, 0);
    struct opened o = open_at(file_in("state.db"), 0);
    assert_int_equal(value_u64(&o, "position"), 701);
    assert_int_equal(sum_of(&o).total, TOTAL);
    state_close(o.state);
}

static void moves(struct mover *mover, uint64_t count)
{
    state_lock(mover->o.state);
    for (uint64_t i = 0; i < count; i++)
        move_one(mover, i % PLACES, (i * 7 + 1) % PLACES);
    state_unlock(mover->o.state);
}

/* Whatever is changed between its beginning and its end. */
static void a_note_is_of_the_moment_when_it_was_begun(void **unused)
{
    (void)unused;
    for (int written = 0; written < 2; written++) {
        const char *name = written ? "written.db" : "begun.db";
        pid_t child = fork();
        if (child == 0) {
            struct mover mover = {.o = open_at(file_in(name), 0)};
            struct err err;
            make_places(&mover.o);
            moves(&mover, 100);
            note(&mover.o);
            moves(&mover, 50);
            state_note_begin(mover.o.state);
            moves(&mover, 30);
            if (written && state_note_write(mover.o.state, &err) != ST_OK)
                _exit(1);
            kill(getpid(), SIGKILL);
        }
        int how = 0;
        waitpid(child, &how, 0);
        assert_true(WIFSIGNALED(how));
        struct opened o = open_at(file_in(name), 0);
        assert_int_equal(value_u64(&o, "position"), written ? 150 : 100);
        assert_int_equal(sum_of(&o).total, TOTAL);
        state_close(o.state);
    }
}

/* A merge meanwhile goes only as far as what was written, and nothing that was not leaves the
 * memory. */
static void what_a_note_has_begun_stays_until_it_is_merged(void **unused)
{
    (void)unused;
    struct mover mover = {.o = open_at(file_in("state.db"), 4 << 10)};
    struct err err;
    make_places(&mover.o);
    flush(&mover.o);
    for (int round = 0; round < 5; round++) {
        moves(&mover, 40);
        state_note_begin(mover.o.state);
        moves(&mover, 40);
        state_seal(mover.o.state);
        merge(&mover.o);
        moves(&mover, 40);
        assert_int_equal(state_note_write(mover.o.state, &err), ST_OK);
        assert_int_equal(state_note_write(mover.o.state, &err), ST_OK); /* nothing waits */
        check_moment(&mover.o);
    }
    flush(&mover.o);
    state_close(mover.o.state);
    struct opened o = open_at(file_in("state.db"), 0);
    assert_int_equal(value_u64(&o, "position"), 600);
    check_moment(&o);
    state_close(o.state);
}

static void damaged_object_ends_the_process_rather_than_fold_on_nothing(void **unused)
{
    (void)unused;
    struct opened o = open_at(file_in("state.db"), 0);
    make_places(&o);
    state_close(o.state);
    struct db *db = NULL;
    struct err err;
    assert_int_equal(db_open(file_in("state.db"), false, &db, &err), ST_OK);
    assert_int_equal(db_run(db, "UPDATE summary SET value = 'x' WHERE key = 3", &err), ST_OK);
    db_close(db);
    pid_t child = fork();
    if (child == 0) {
        if (freopen("/dev/null", "w", stderr) == NULL)
            _exit(2);
        o = open_at(file_in("state.db"), 0);
        state_lock(o.state);
        (void)state_get(o.numbers, (struct hash128){3, 0});
        _exit(0);
    }
    int how = 0;
    waitpid(child, &how, 0);
    assert_true(WIFEXITED(how));
    assert_int_equal(WEXITSTATUS(how), 1);

    struct sum sum = {0}; /* a scan has a caller to tell */
    o = open_at(file_in("state.db"), 0);
    assert_int_equal(state_scan(o.numbers, add_up, &sum, &err), ST_CORRUPT);
    assert_int_equal(sum.count, 3);
    state_close(o.state);
}

static void unusable_file_is_refused_with_the_way_out(void **unused)
{
    (void)unused;
    struct state *state = NULL;
    struct err err;
    struct state_options options = {.path = file_in("state.db")};
    struct db *db = NULL;
    struct opened o = open_at(options.path, 0);
    state_close(o.state);
    assert_int_equal(db_open(options.path, false, &db, &err), ST_OK);
    assert_int_equal(
        db_run(db, "INSERT INTO schema_migration VALUES ('0999_future.sql', 'x')", &err), ST_OK);
    db_close(db);
    assert_int_equal(state_open(&options, &state, &err), ST_CONFLICT);
    assert_string_equal(err.hint, "delete state.db: it is rebuilt from the journal");

    FILE *file = fopen(options.path, "w");
    fputs("this is no database, and it is long enough to be read as one ..........", file);
    fclose(file);
    assert_int_equal(state_open(&options, &state, &err), ST_CORRUPT);
    assert_null(state);
}

static void erased_bytes_are_in_no_file_after_a_truncating_checkpoint(void **unused)
{
    (void)unused;
    struct opened o = open_at(file_in("state.db"), 0);
    struct err err;
    const uint64_t canary = UINT64_C(0x59524e4143594e41);
    make_places(&o);
    state_lock(o.state);
    state_add(o.hashes, &object_new(hash_of(2), canary, 100)->entry);
    state_unlock(o.state);
    flush(&o);
    state_lock(o.state);
    state_remove(o.hashes, state_get(o.hashes, hash_of(2)));
    state_unlock(o.state);
    flush(&o);
    assert_int_equal(state_checkpoint(o.state, true, &err), ST_OK);
    char names[8][64] = {"state.db", "state.db-wal"};
    int count = 2 + delta_files(names + 2, 6);
    assert_int_equal(count, 2);
    for (int i = 0; i < count; i++) {
        static char bytes[1 << 20];
        FILE *file = fopen(file_in(names[i]), "r");
        size_t n = fread(bytes, 1, sizeof bytes, file);
        fclose(file);
        assert_true(n < sizeof bytes);
        assert_null(memmem(bytes, n, &canary, sizeof canary));
    }
    state_close(o.state);
}

static void values_are_those_of_the_note(void **unused)
{
    (void)unused;
    struct opened o = open_at(file_in("state.db"), 0);
    state_lock(o.state);
    set_u64(&o, "position", 10);
    set_u64(&o, "dedup.day", 3);
    state_unlock(o.state);
    note(&o);
    state_lock(o.state);
    set_u64(&o, "position", 11);
    state_unlock(o.state);
    assert_int_equal(value_u64(&o, "position"), 11);
    state_close(o.state);
    o = open_at(file_in("state.db"), 0);
    assert_int_equal(value_u64(&o, "position"), 10);
    assert_int_equal(value_u64(&o, "dedup.day"), 3);
    struct buf none;
    buf_init(&none, 10);
    assert_false(state_value(o.state, "never", &none));
    state_close(o.state);
}

#ifdef HEZOU_TEST_HOOKS
/* Two flushes and a checkpoint; killed at `point` (the second passing of a flush's points). */
static void die_at(const char *point)
{
    setenv("CRASH_AT", point, 1);
    struct mover mover = {.o = open_at(file_in("state.db"), 0)};
    make_places(&mover.o); /* the first note and merge: position 0 */
    state_lock(mover.o.state);
    for (uint64_t i = 0; i < 100; i++)
        move_one(&mover, i, i + 1);
    state_unlock(mover.o.state);
    flush(&mover.o); /* position 100 */
    struct err err;
    if (state_checkpoint(mover.o.state, false, &err) != ST_OK)
        _exit(1);
    _exit(2);
}

static void a_kill_at_any_point_leaves_one_whole_note(void **unused)
{
    (void)unused;
    const struct {
        const char *point;
        uint64_t position;
    } kills[] = {
        {"state_note_half:2", 0},
        {"state_flush_begin:2", 100},
        {"state_flush_before_commit:2", 100},
        {"state_flush_after_commit:2", 100},
        {"state_checkpoint", 100},
    };
    for (size_t i = 0; i < sizeof kills / sizeof *kills; i++) {
        pid_t child = fork();
        if (child == 0)
            die_at(kills[i].point);
        int how = 0;
        waitpid(child, &how, 0);
        assert_true(WIFSIGNALED(how));
        struct opened o = open_at(file_in("state.db"), 0);
        check_moment(&o);
        assert_int_equal(value_u64(&o, "position"), kills[i].position);
        state_close(o.state);
        unlink(file_in("state.db"));
    }
}
#endif

#define TEST(name) cmocka_unit_test_setup_teardown(name, make_folder, remove_folder)

int delta_tests(void)
{
    const struct CMUnitTest tests[] = {
        TEST(full_disk_loses_nothing_and_half_applies_nothing),
        TEST(a_torn_delta_is_the_note_before),
        TEST(a_damaged_chunk_and_all_behind_it_are_cut_off),
        TEST(a_tail_that_is_no_chunk_hides_nothing_behind_it),
        TEST(the_delta_of_another_file_is_not_ours),
        TEST(a_checkpoint_removes_what_was_merged),
        TEST(a_start_decodes_nothing_and_hides_nothing),
        TEST(keys_that_begin_alike_are_merged_each_by_itself),
        TEST(killed_between_notes_is_the_last_note),
        TEST(a_note_is_of_the_moment_when_it_was_begun),
        TEST(what_a_note_has_begun_stays_until_it_is_merged),
        TEST(damaged_object_ends_the_process_rather_than_fold_on_nothing),
        TEST(unusable_file_is_refused_with_the_way_out),
        TEST(erased_bytes_are_in_no_file_after_a_truncating_checkpoint),
        TEST(values_are_those_of_the_note),
#ifdef HEZOU_TEST_HOOKS
        TEST(a_kill_at_any_point_leaves_one_whole_note),
#endif
    };
    return cmocka_run_group_tests_name("state_delta", tests, NULL, NULL);
}
