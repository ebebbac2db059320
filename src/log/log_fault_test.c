/* log_fault_test.c - what the journal promises when the disk, the process or the bytes fail.
 *
 * Whatever may end a process runs in a forked child, which notes in shared memory what it was told
 * (acknowledged, erased). The parent then opens what is left and holds it against the notes: what
 * was acknowledged is there, in order, and nothing that is there is damaged. */
#include "log/log_test.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/check.h"

#define IDS_MAX 64u

/* ThreadSanitizer would let each of the many children wait a second at its end. */
const char *__tsan_default_options(void) __attribute__((visibility("default")));
const char *__tsan_default_options(void)
{
    return "atexit_sleep_ms=0";
}

/* Written by the child, read by the parent. */
struct notes {
    bool acked[IDS_MAX];
    bool refused[IDS_MAX];
    bool erase_asked[IDS_MAX];
    bool erased[IDS_MAX];
    bool finished;
    uint64_t calls;
};

static struct notes *notes_new(void)
{
    void *p =
        mmap(NULL, sizeof(struct notes), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(p != MAP_FAILED);
    return p;
}

static void notes_free(struct notes *notes)
{
    munmap(notes, sizeof *notes);
}

static void note_append(struct log *log, struct notes *notes, uint32_t id, size_t n,
                        uint64_t *ret_offset)
{
    *(append_one(log, id, n, ret_offset) == ST_OK ? &notes->acked[id] : &notes->refused[id]) = true;
}

/* Run `work` in a child; gives the wait status. The child's stderr is closed: it ends as planned.
 */
int in_child(void (*work)(struct bench *, struct notes *), struct bench *bench, struct notes *notes)
{
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        CHECK(freopen("/dev/null", "w", stderr) != NULL);
        work(bench, notes);
        _exit(0);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    return status;
}

/* What every survivor must show: acknowledged = there, once, in order; erased = zeros. */
static void survivor_check(struct bench *bench, const struct notes *notes)
{
    static struct seen seen;
    uint32_t before = 0;
    bool there[IDS_MAX] = {false};
    bench_open(bench);
    assert_int_equal(read_all(bench->log, &seen), ST_OK);
    size_t zeros = 0, zeros_max = 0, zeros_min = 0;
    for (size_t i = 0; i < seen.count; i++) {
        if (seen.erased[i]) {
            zeros++;
            continue;
        }
        assert_true(seen.id[i] > before && seen.id[i] < IDS_MAX);
        before = seen.id[i];
        there[before] = true;
        assert_false(notes->erased[before]);
    }
    for (uint32_t id = 1; id < IDS_MAX; id++) {
        zeros_max += notes->erase_asked[id];
        zeros_min += notes->erased[id];
        if (notes->acked[id] && !notes->erase_asked[id])
            assert_true(there[id]);
    }
    assert_true(zeros >= zeros_min && zeros <= zeros_max);
    /* And it is a journal that works. */
    assert_int_equal(append_one(bench->log, IDS_MAX, 100, NULL), ST_OK);
    bench_close(bench);
}

/* Three segments, appends, an erase over two of them, a second opening. */
static void script(struct bench *bench, struct notes *notes)
{
    uint64_t offset[IDS_MAX] = {0};
    if (log_open(&bench->options, &bench->log, NULL) != ST_OK)
        return;
    for (uint32_t id = 1; id <= 7; id++)
        note_append(bench->log, notes, id, 100, &offset[id]);
    if (notes->acked[3] && notes->acked[4]) {
        notes->erase_asked[3] = notes->erase_asked[4] = true;
        if (log_overwrite(bench->log, &offset[3], 2, NULL) == ST_OK)
            notes->erased[3] = notes->erased[4] = true;
    }
    bench_close(bench);
    if (log_open(&bench->options, &bench->log, NULL) != ST_OK)
        return;
    for (uint32_t id = 8; id <= 9; id++)
        note_append(bench->log, notes, id, 100, NULL);
    static struct seen seen;
    enum status status = read_all(bench->log, &seen);
    CHECK(status == ST_OK || status == ST_IO || status == ST_BUSY);
    bench_close(bench);
    notes->calls = bench->disk.calls;
    notes->finished = true;
}

static void script_options(struct bench *bench)
{
    bench->options.segment_bytes = 64 + 3 * 132;
}

/* After each failure: it was answered (exit 0), or the process ended itself in order (exit 1). */
static void fail_each_call(struct bench *bench, int error, bool forever)
{
    struct notes *notes = notes_new();
    script_options(bench);
    uint64_t calls = 1;
    for (uint64_t at = 0; at <= calls; at++) {
        *notes = (struct notes){0};
        folder_clear(bench->folder);
        disk_init(&bench->disk);
        bench->disk.fail_at = (int64_t)at;
        bench->disk.fail_errno = error;
        bench->disk.fail_forever = forever;
        int status = in_child(script, bench, notes);
        assert_true(WIFEXITED(status) && WEXITSTATUS(status) <= 1);
        if (at == 0) {
            assert_true(notes->finished && notes->erased[3] && notes->acked[9]);
            calls = notes->calls;
            assert_true(calls > 50);
        }
        disk_init(&bench->disk);
        survivor_check(bench, notes);
    }
    notes_free(notes);
}

static void no_acknowledged_record_is_lost_whichever_call_fails_once(void **state)
{
    fail_each_call(*state, EIO, false);
}

static void no_acknowledged_record_is_lost_whichever_call_fails_for_ever(void **state)
{
    fail_each_call(*state, EIO, true);
}

static void no_acknowledged_record_is_lost_whenever_the_disk_is_full_once(void **state)
{
    fail_each_call(*state, ENOSPC, false);
}

static void no_acknowledged_record_is_lost_whenever_the_disk_stays_full(void **state)
{
    fail_each_call(*state, ENOSPC, true);
}

/* One append whose sync fails. */
static void sync_fails(struct bench *bench, struct notes *notes)
{
    CHECK(log_open(&bench->options, &bench->log, NULL) == ST_OK);
    note_append(bench->log, notes, 1, 100, NULL); /* reserves the space for the next ones, too */
    __atomic_store_n(&bench->disk.fail_errno, EIO, __ATOMIC_RELAXED);
    __atomic_store_n(&bench->disk.fail_at, 2, __ATOMIC_RELAXED); /* a write, then its sync */
    for (uint32_t id = 2; id < IDS_MAX; id++)
        note_append(bench->log, notes, id, 100, NULL);
}

static void a_failed_sync_ends_the_process_and_answers_nobody(void **state)
{
    struct bench *bench = *state;
    struct notes *notes = notes_new();
    int status = in_child(sync_fails, bench, notes);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 1);
    assert_true(notes->acked[1] && !notes->acked[2] && !notes->refused[2]);
    survivor_check(bench, notes);
    notes_free(notes);
}

/* Kill at each point, each time that it is passed, until a run passes it no more. */
static struct notes *crash_notes;
static char crash_at[64];

static void crash_script(struct bench *bench, struct notes *notes)
{
    setenv("CRASH_AT", crash_at, 1);
    script(bench, notes);
}

static void a_crash_at_each_point_loses_nothing_acknowledged(void **state)
{
    static const char *const points[] = {"log_rotate",         "log_before_sync",
                                         "log_after_sync",     "log_overwrite_redo",
                                         "log_overwrite_half", "log_overwrite_done"};
    struct bench *bench = *state;
    crash_notes = notes_new();
    script_options(bench);
    for (size_t p = 0; p < sizeof points / sizeof *points; p++) {
        bool killed = true;
        int kills = 0;
        for (; killed; kills += killed) {
            *crash_notes = (struct notes){0};
            folder_clear(bench->folder);
            snprintf(crash_at, sizeof crash_at, "%s:%d", points[p], kills + 1);
            int status = in_child(crash_script, bench, crash_notes);
            killed = WIFSIGNALED(status);
            assert_true(killed ? WTERMSIG(status) == SIGKILL : crash_notes->finished);
            survivor_check(bench, crash_notes);
        }
        assert_true(kills > 0);
    }
    notes_free(crash_notes);
}

/* After the redo file is durable the erase happens, whatever comes. */
static void a_crash_after_the_redo_file_still_erases(void **state)
{
    static const char *const points[] = {"log_overwrite_redo", "log_overwrite_half",
                                         "log_overwrite_done"};
    struct bench *bench = *state;
    static struct seen seen;
    crash_notes = notes_new();
    script_options(bench);
    for (size_t p = 0; p < sizeof points / sizeof *points; p++) {
        *crash_notes = (struct notes){0};
        folder_clear(bench->folder);
        snprintf(crash_at, sizeof crash_at, "%s", points[p]);
        assert_true(WIFSIGNALED(in_child(crash_script, bench, crash_notes)));
        bench_open(bench);
        assert_int_equal(read_all(bench->log, &seen), ST_OK);
        assert_int_equal(seen.count, 7);
        assert_true(seen.erased[2] && seen.erased[3]);
        bench_close(bench);
    }
    notes_free(crash_notes);
}

/* The seeded bug: the suite must be able to see it. */
static void ack_early(struct bench *bench, struct notes *notes)
{
    bool any = true;
    struct log_reader *reader = NULL;
    CHECK(log_open(&bench->options, &bench->log, NULL) == ST_OK);
    CHECK(log_reader_open(bench->log, 0, &reader, NULL) == ST_OK);
    note_append(bench->log, notes, 1, 100, NULL);
    CHECK(log_reader_fill(reader, 100, 0, &any, NULL) == ST_OK);
    notes->finished = !any; /* a reader sees synced records only */
    kill(getpid(), SIGKILL);
}

static void acknowledging_before_the_sync_is_caught_by_a_kill(void **state)
{
    struct bench *bench = *state;
    static struct seen seen;
    struct notes *notes = notes_new();
    bench->options.bug_ack_before_sync = true;
    assert_true(WIFSIGNALED(in_child(ack_early, bench, notes)));
    assert_true(notes->acked[1] && notes->finished);
    bench_open(bench);
    assert_int_equal(read_all(bench->log, &seen), ST_OK);
    assert_int_equal(seen.count, 0); /* acknowledged and lost: the oracle must cry */
    notes_free(notes);
}

/* Try until an append is taken again; the reader's wait is the pause between two tries. */
static bool resumes_within(struct log *log, uint32_t id, int64_t limit_us)
{
    struct log_reader *reader = NULL;
    bool any;
    int64_t until_us = monotonic_us() + limit_us;
    enum status status = ST_BUSY;
    CHECK(log_reader_open(log, log_end(log), &reader, NULL) == ST_OK);
    while ((status = append_one(log, id, 100, NULL)) == ST_BUSY && monotonic_us() < until_us)
        CHECK(log_reader_fill(reader, 1000, 5 * US_PER_MS, &any, NULL) == ST_OK);
    log_reader_close(reader);
    return status == ST_OK;
}

static void file_size_limited(struct bench *bench, struct notes *notes)
{
    static struct seen seen;
    struct log_stats stats;
    signal(SIGXFSZ, SIG_IGN);
    CHECK(log_open(&bench->options, &bench->log, NULL) == ST_OK);
    struct rlimit limit;
    CHECK(getrlimit(RLIMIT_FSIZE, &limit) == 0);
    limit.rlim_cur = 20000;
    CHECK(setrlimit(RLIMIT_FSIZE, &limit) == 0);
    uint32_t id = 1;
    for (; id < 30; id++)
        note_append(bench->log, notes, id, 1000, NULL);
    CHECK(notes->acked[1] && notes->refused[29]);
    log_stats(bench->log, &stats);
    CHECK(stats.full && stats.refused > 0 && stats.inflight_bytes == 0);
    CHECK(read_all(bench->log, &seen) == ST_OK && seen.count == stats.records);
    limit.rlim_cur = limit.rlim_max;
    CHECK(setrlimit(RLIMIT_FSIZE, &limit) == 0);
    CHECK(resumes_within(bench->log, id, US_PER_S));
    notes->acked[id] = true;
    log_stats(bench->log, &stats);
    CHECK(!stats.full);
    notes->finished = true;
    kill(getpid(), SIGKILL);
}

static void a_full_disk_refuses_reads_on_and_resumes_by_itself(void **state)
{
    struct bench *bench = *state;
    static struct seen seen;
    struct notes *notes = notes_new();
    in_child(file_size_limited, bench, notes);
    assert_true(notes->finished);
    survivor_check(bench, notes);
    bench_open(bench);
    assert_int_equal(read_all(bench->log, &seen), ST_OK);
    for (size_t i = 0; i + 1 < seen.count; i++)
        assert_false(notes->refused[seen.id[i]]); /* cut off before the next was written */
    notes_free(notes);
}

static void an_injected_full_disk_clears_within_a_second(void **state)
{
    struct bench *bench = *state;
    struct log_stats stats;
    bench_open(bench);
    bench->disk.fail_errno = ENOSPC;
    bench->disk.fail_forever = true;
    __atomic_store_n(&bench->disk.fail_at, 1, __ATOMIC_RELEASE);
    assert_int_equal(append_one(bench->log, 1, 100, NULL), ST_BUSY);
    assert_int_equal(append_one(bench->log, 1, 100, NULL), ST_BUSY);
    log_stats(bench->log, &stats);
    assert_true(stats.full);
    __atomic_store_n(&bench->disk.fail_at, 0, __ATOMIC_RELEASE);
    assert_true(resumes_within(bench->log, 2, US_PER_S));
}

static int64_t begin_fails_at;

static void segment_begin_fails(struct bench *bench, struct notes *notes)
{
    CHECK(log_open(&bench->options, &bench->log, NULL) == ST_OK);
    note_append(bench->log, notes, 1, 3000, NULL);
    __atomic_store_n(&bench->disk.fail_errno, ENOSPC, __ATOMIC_RELAXED);
    __atomic_store_n(&bench->disk.fail_at, begin_fails_at, __ATOMIC_RELEASE);
    note_append(bench->log, notes, 2, 3000, NULL);
    __atomic_store_n(&bench->disk.fail_at, 0, __ATOMIC_RELEASE);
    CHECK(resumes_within(bench->log, 3, US_PER_S));
    notes->acked[3] = true;
}

/* The next group may fit into the old segment: then no new one may stand before its end. */
static void a_segment_that_could_not_be_begun_is_not_there(void **state)
{
    struct bench *bench = *state;
    struct notes *notes = notes_new();
    bench->options.segment_bytes = 4096;
    for (begin_fails_at = 1; begin_fails_at <= 10; begin_fails_at++) {
        *notes = (struct notes){0};
        folder_clear(bench->folder);
        int status = in_child(segment_begin_fails, bench, notes);
        assert_true(WIFEXITED(status) && WEXITSTATUS(status) <= 1);
        survivor_check(bench, notes);
    }
    notes_free(notes);
}

static void an_erase_goes_on_while_the_disk_is_full(void **state)
{
    struct bench *bench = *state;
    struct log_stats stats;
    struct buf frames;
    uint64_t offset = 0, erase = 0;
    char path[512];
    buf_init(&frames, 1000);
    log_frame(&frames, LOG_ERASE, 1, 0, STR("keyed hashes"));
    snprintf(path, sizeof path, "%s/spare", bench->folder);
    bench_open(bench);
    assert_int_equal(append_one(bench->log, 1, 100, &offset), ST_OK);
    __atomic_store_n(&bench->disk.fail_errno, ENOSPC, __ATOMIC_RELAXED);
    __atomic_store_n(&bench->disk.fail_at, 1, __ATOMIC_RELEASE);
    assert_int_equal(append_one(bench->log, 2, 100, NULL), ST_BUSY);
    assert_int_equal(log_append_wait(bench->log, &frames, 1, &erase, NULL), ST_OK);
    assert_int_equal(log_overwrite(bench->log, &offset, 1, NULL), ST_OK);
    assert_true(resumes_within(bench->log, 3, US_PER_S));
    assert_int_equal(access(path, F_OK), 0); /* made anew for the next time */
    log_stats(bench->log, &stats);
    assert_false(stats.full);
    bench_close(bench);
    buf_done(&frames);
    bench_open(bench);
    struct log_record record;
    buf_init(&frames, 1000);
    assert_int_equal(log_read_at(bench->log, offset, &frames, &record, NULL), ST_OK);
    assert_int_equal(record.flags, LOG_FLAG_ERASED);
    assert_int_equal(log_read_at(bench->log, erase, &frames, &record, NULL), ST_OK);
    assert_int_equal(record.type, LOG_ERASE);
    buf_done(&frames);
}

/* A journal of one segment with `count` records of `n` bytes; as killed: the mark is `mark` records
 * old. Gives the offsets; offset[count] is the end. */
static void journal_make(struct bench *bench, uint32_t count, size_t n, uint32_t marked,
                         uint64_t *offset)
{
    size_t mark_n = 0;
    char *mark = NULL;
    folder_clear(bench->folder);
    bench_open(bench);
    for (uint32_t i = 0; i < count; i++) {
        if (i == marked)
            mark = file_read(bench, "synced", &mark_n);
        assert_int_equal(append_one(bench->log, i + 1, n, &offset[i]), ST_OK);
    }
    offset[count] = log_end(bench->log);
    bench_close(bench);
    if (mark != NULL)
        file_write(bench, "synced", mark, mark_n);
    free(mark);
}

static void torn_check(struct bench *bench, uint32_t count, uint64_t end)
{
    static struct seen seen;
    bench_open(bench);
    assert_int_equal(log_end(bench->log), end);
    assert_int_equal(read_all(bench->log, &seen), ST_OK);
    assert_int_equal(seen.count, count);
    assert_int_equal(append_one(bench->log, 60, 30, NULL), ST_OK);
    bench_reopen(bench);
    assert_int_equal(read_all(bench->log, &seen), ST_OK);
    assert_int_equal(seen.count, count + 1);
    bench_close(bench);
}

static void a_tail_torn_at_any_byte_is_cut(void **state)
{
    struct bench *bench = *state;
    uint64_t offset[4];
    char name[32];
    size_t n = 0;
    journal_make(bench, 3, 40, 2, offset);
    segment_name(LOG_FIRST_OFFSET, name);
    char *bytes = file_read(bench, name, &n);
    size_t mark_n;
    char *mark = file_read(bench, "synced", &mark_n);
    assert_int_equal(n, offset[3]);
    for (size_t cut = offset[2]; cut < n; cut++) {
        file_write(bench, name, bytes, cut);
        file_write(bench, "synced", mark, mark_n);
        torn_check(bench, 2, offset[2]);
        char *zeroed = mem_zero(n + 100); /* the same, in reserved space */
        memcpy(zeroed, bytes, cut);
        file_write(bench, name, zeroed, n + 100);
        file_write(bench, "synced", mark, mark_n);
        torn_check(bench, 2, offset[2]);
        free(zeroed);
    }
    free(mark);
    free(bytes);
}

static void a_missing_acknowledged_record_is_damage_not_a_torn_tail(void **state)
{
    struct bench *bench = *state;
    uint64_t offset[4];
    char name[32];
    size_t n = 0;
    struct err err = {0};
    journal_make(bench, 3, 40, 3, offset);
    segment_name(LOG_FIRST_OFFSET, name);
    char *bytes = file_read(bench, name, &n);
    for (size_t cut = 0; cut < n; cut++) {
        file_write(bench, name, bytes, cut);
        assert_int_equal(log_open(&bench->options, &bench->log, &err), ST_CORRUPT);
        assert_non_null(strstr(err.message, name));
    }
    free(bytes);
}

/* A power cut may keep later sectors of a write and lose earlier ones: whole records of the same
 * group behind a broken one prove nothing, one of a later group does. */
static void a_later_group_proves_damage_and_the_same_group_does_not(void **state)
{
    struct bench *bench = *state;
    uint64_t offset[5], first = 0;
    char name[32];
    size_t n = 0, mark_n = 0;
    journal_make(bench, 1, 40, 9, offset);
    char *mark = file_read(bench, "synced", &mark_n);
    bench_open(bench);
    struct buf frames, payload;
    buf_init(&frames, 10000);
    buf_init(&payload, 1000);
    for (uint32_t id = 2; id <= 4; id++) { /* one group of three */
        buf_reset(&payload);
        payload_put(&payload, id, 40);
        log_frame(&frames, LOG_EVENT, 7, 1000 + id, buf_view(&payload));
    }
    assert_int_equal(log_append_wait(bench->log, &frames, 3, &first, NULL), ST_OK);
    bench_close(bench);
    segment_name(LOG_FIRST_OFFSET, name);
    char *bytes = file_read(bench, name, &n);
    for (size_t at = 0; at < 72; at++) { /* the first, then the second record of the group */
        for (uint64_t broken = first; broken <= first + 72; broken += 72) {
            bytes[broken + at] ^= 1;
            file_write(bench, name, bytes, n);
            file_write(bench, "synced", mark, mark_n);
            torn_check(bench, broken == first ? 1 : 2, broken);
            bytes[broken + at] ^= 1;
        }
    }
    file_write(bench, name, bytes, n);
    bench_open(bench);
    assert_int_equal(append_one(bench->log, 5, 40, NULL), ST_OK); /* a later group */
    bench_close(bench);
    free(bytes);
    bytes = file_read(bench, name, &n);
    for (size_t at = 0; at < 3 * 72; at++) {
        bytes[first + at] ^= 1;
        file_write(bench, name, bytes, n);
        file_write(bench, "synced", mark, mark_n);
        assert_int_equal(log_open(&bench->options, &bench->log, NULL), ST_CORRUPT);
        bytes[first + at] ^= 1;
    }
    buf_done(&payload);
    buf_done(&frames);
    free(mark);
    free(bytes);
}

/* Bytes that a stranger chose look like a record; the payload around them is torn. */
static void a_record_inside_a_torn_payload_is_not_taken_for_one(void **state)
{
    struct bench *bench = *state;
    uint64_t offset[2], first = 0;
    size_t n = 0, mark_n = 0, inner_n = 0;
    char name[32];
    segment_name(LOG_FIRST_OFFSET, name);
    journal_make(bench, 1, 40, 1, offset);
    char *mark = file_read(bench, "synced", &mark_n);
    char *inner = file_read(bench, name, &inner_n); /* record 1 as it lies on the disk, group 0 */
    struct buf frames;
    buf_init(&frames, 10000);
    char payload[200] = {'x'};
    memcpy(payload + 20, inner + 64, inner_n - 64);
    log_frame(&frames, LOG_QUARANTINE, 1, 0, (struct str){payload, sizeof payload});
    bench_open(bench);
    assert_int_equal(log_append_wait(bench->log, &frames, 1, &first, NULL), ST_OK);
    bench_close(bench);
    char *bytes = file_read(bench, name, &n);
    bytes[n - 1] ^= 1;
    file_write(bench, name, bytes, n);
    file_write(bench, "synced", mark, mark_n);
    torn_check(bench, 1, first);
    buf_done(&frames);
    free(bytes);
    free(inner);
    free(mark);
}

/* Every record is there as written, or the damage is named. */
static bool flip_is_seen_or_harmless(struct bench *bench, uint32_t count)
{
    static struct seen seen;
    struct err err = {0};
    enum status status = log_open(&bench->options, &bench->log, &err);
    if (status == ST_OK) {
        status = read_all(bench->log, &seen);
        if (status == ST_OK && seen.count != count)
            status = ST_CONFLICT;
        for (uint32_t i = 0; status == ST_OK && i < count; i++)
            if (seen.id[i] != i + 1 || seen.erased[i])
                status = ST_CONFLICT;
        bench_close(bench);
    }
    return status == ST_OK || status == ST_CORRUPT;
}

static void a_flipped_bit_anywhere_is_found_or_harmless(void **state)
{
    struct bench *bench = *state;
    uint64_t offset[6];
    bench->options.segment_bytes = 64 + 2 * 72;
    journal_make(bench, 5, 40, 9, offset);
    char names[4][32] = {"synced"};
    size_t kept_n[4] = {0};
    char *kept[4] = {NULL};
    for (size_t f = 0; f < 3; f++)
        segment_name(offset[2 * f], names[f + 1]);
    for (size_t f = 0; f < 4; f++)
        kept[f] = file_read(bench, names[f], &kept_n[f]);
    for (size_t f = 0; f < 4; f++) {
        for (size_t bit = 0; bit < kept_n[f] * 8; bit += 3) { /* each byte, 2 or 3 of its bits */
            kept[f][bit / 8] ^= (char)(1 << bit % 8);
            file_write(bench, names[f], kept[f], kept_n[f]);
            assert_true(flip_is_seen_or_harmless(bench, 5));
            kept[f][bit / 8] ^= (char)(1 << bit % 8);
            for (size_t k = 0; k < 4; k++)
                file_write(bench, names[k], kept[k], kept_n[k]);
        }
    }
    for (size_t f = 0; f < 4; f++)
        free(kept[f]);
}

static void damage_in_an_old_segment_is_found_when_read(void **state)
{
    struct bench *bench = *state;
    uint64_t offset[6];
    struct log_reader *reader = NULL;
    struct log_record record;
    struct err err = {0};
    struct buf buf;
    char name[32];
    size_t n;
    bool any;
    bench->options.segment_bytes = 64 + 2 * 72;
    journal_make(bench, 5, 40, 9, offset);
    segment_name(offset[2], name);
    char *bytes = file_read(bench, name, &n);
    bytes[64 + 72 + 50] ^= 4; /* the payload of record 4 */
    file_write(bench, name, bytes, n);
    bench_open(bench);
    buf_init(&buf, 1000);
    assert_int_equal(log_read_at(bench->log, offset[3], &buf, &record, NULL), ST_CORRUPT);
    assert_int_equal(log_reader_open(bench->log, offset[2], &reader, NULL), ST_OK);
    assert_int_equal(log_reader_fill(reader, 1000, 0, &any, NULL), ST_OK);
    assert_true(log_reader_next(reader, &record)); /* what stands before it is served */
    assert_false(log_reader_next(reader, &record));
    assert_int_equal(log_reader_fill(reader, 1000, 0, &any, &err), ST_CORRUPT);
    snprintf(name, sizeof name, "offset %llu", (unsigned long long)offset[3]);
    assert_non_null(strstr(err.message, name));
    log_reader_close(reader);
    /* It can still be erased. */
    assert_int_equal(log_overwrite(bench->log, &offset[3], 1, NULL), ST_OK);
    assert_int_equal(log_read_at(bench->log, offset[3], &buf, &record, NULL), ST_OK);
    buf_done(&buf);
    free(bytes);
}

static void a_missing_segment_stops_the_opening(void **state)
{
    struct bench *bench = *state;
    uint64_t offset[6];
    char path[512], name[32];
    bench->options.segment_bytes = 64 + 2 * 72;
    for (size_t lost = 1; lost < 4; lost++) { /* the middle one, the last one, all */
        journal_make(bench, 5, 40, 9, offset);
        for (size_t f = lost % 3; f < (lost == 3 ? 3 : lost + 1); f++) {
            segment_name(offset[2 * f], name);
            snprintf(path, sizeof path, "%s/%s", bench->folder, name);
            assert_int_equal(unlink(path), 0);
        }
        assert_int_equal(log_open(&bench->options, &bench->log, NULL), ST_CORRUPT);
    }
}

static void a_damaged_redo_file_stops_the_opening(void **state)
{
    struct bench *bench = *state;
    uint64_t offset[6];
    size_t n;
    crash_notes = notes_new();
    script_options(bench);
    snprintf(crash_at, sizeof crash_at, "log_overwrite_redo");
    assert_true(WIFSIGNALED(in_child(crash_script, bench, crash_notes)));
    char *redo = file_read(bench, "erase.redo", &n);
    for (size_t i = 0; i < n; i++) {
        redo[i] ^= 1;
        file_write(bench, "erase.redo", redo, n);
        assert_int_equal(log_open(&bench->options, &bench->log, NULL), ST_CORRUPT);
        redo[i] ^= 1;
    }
    for (size_t cut = 0; cut < n; cut++) {
        file_write(bench, "erase.redo", redo, cut);
        assert_int_equal(log_open(&bench->options, &bench->log, NULL), ST_CORRUPT);
    }
    /* One that names what the journal does not have. */
    journal_make(bench, 1, 40, 9, offset);
    file_write(bench, "erase.redo", redo, n);
    assert_int_equal(log_open(&bench->options, &bench->log, NULL), ST_CORRUPT);
    free(redo);
    notes_free(crash_notes);
}

#define BENCH_TEST(name) cmocka_unit_test_setup_teardown(name, bench_setup, bench_teardown)

int log_fault_tests_run(void)
{
    const struct CMUnitTest tests[] = {
        BENCH_TEST(no_acknowledged_record_is_lost_whichever_call_fails_once),
        BENCH_TEST(no_acknowledged_record_is_lost_whichever_call_fails_for_ever),
        BENCH_TEST(no_acknowledged_record_is_lost_whenever_the_disk_is_full_once),
        BENCH_TEST(no_acknowledged_record_is_lost_whenever_the_disk_stays_full),
        BENCH_TEST(a_failed_sync_ends_the_process_and_answers_nobody),
        BENCH_TEST(a_crash_at_each_point_loses_nothing_acknowledged),
        BENCH_TEST(a_crash_after_the_redo_file_still_erases),
        BENCH_TEST(acknowledging_before_the_sync_is_caught_by_a_kill),
        BENCH_TEST(a_full_disk_refuses_reads_on_and_resumes_by_itself),
        BENCH_TEST(an_injected_full_disk_clears_within_a_second),
        BENCH_TEST(a_segment_that_could_not_be_begun_is_not_there),
        BENCH_TEST(an_erase_goes_on_while_the_disk_is_full),
        BENCH_TEST(a_tail_torn_at_any_byte_is_cut),
        BENCH_TEST(a_missing_acknowledged_record_is_damage_not_a_torn_tail),
        BENCH_TEST(a_later_group_proves_damage_and_the_same_group_does_not),
        BENCH_TEST(a_record_inside_a_torn_payload_is_not_taken_for_one),
        BENCH_TEST(a_flipped_bit_anywhere_is_found_or_harmless),
        BENCH_TEST(damage_in_an_old_segment_is_found_when_read),
        BENCH_TEST(a_missing_segment_stops_the_opening),
        BENCH_TEST(a_damaged_redo_file_stops_the_opening),
    };
    return cmocka_run_group_tests_name("log faults", tests, NULL, NULL);
}
