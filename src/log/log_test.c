/* log_test.c - what the journal promises while nothing goes wrong.
 *
 * Faults, crashes and damage are in log_fault_test.c. */
#include "log/log_test.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/check.h"

#define START_US INT64_C(1700000000000000)

int bench_setup(void **state)
{
    struct bench *bench = mem_zero(sizeof *bench);
    const char *tmp = getenv("TMPDIR");
    snprintf(bench->folder, sizeof bench->folder, "%s/log_test.XXXXXX", tmp ? tmp : "/tmp");
    if (mkdtemp(bench->folder) == NULL)
        return -1;
    disk_init(&bench->disk);
    clock_init_virtual(&bench->clock, START_US);
    bench->options =
        (struct log_options){.folder = bench->folder, .disk = &bench->disk, .clock = &bench->clock};
    *state = bench;
    return 0;
}

int bench_teardown(void **state)
{
    struct bench *bench = *state;
    log_close(bench->log);
    folder_clear(bench->folder);
    rmdir(bench->folder);
    free(bench);
    return 0;
}

void folder_clear(const char *folder)
{
    DIR *dir = opendir(folder);
    assert_non_null(dir);
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;)
        if (entry->d_name[0] != '.')
            assert_int_equal(unlinkat(dirfd(dir), entry->d_name, 0), 0);
    closedir(dir);
}

void bench_open(struct bench *bench)
{
    struct err err = {0};
    if (log_open(&bench->options, &bench->log, &err) != ST_OK)
        fail_msg("%s", err.message);
}

void bench_close(struct bench *bench)
{
    log_close(bench->log);
    bench->log = NULL;
}

void bench_reopen(struct bench *bench)
{
    bench_close(bench);
    bench_open(bench);
}

void payload_put(struct buf *buf, uint32_t id, size_t n)
{
    size_t from = buf->n;
    buf_fmt(buf, "%u.", id);
    while (buf->n - from < n)
        buf_char(buf, (char)('a' + (id + buf->n - from) % 26));
}

enum status append_one(struct log *log, uint32_t id, size_t n, uint64_t *ret_offset)
{
    struct buf payload, frames;
    buf_init(&payload, LOG_PAYLOAD_MAX);
    buf_init(&frames, LOG_PAYLOAD_MAX + LOG_HEADER_BYTES);
    payload_put(&payload, id, n);
    log_frame(&frames, LOG_EVENT, 7, 1000 + id, buf_view(&payload));
    uint64_t offset = 0;
    enum status status = log_append_wait(log, &frames, 1, &offset, NULL);
    if (status == ST_OK && ret_offset != NULL)
        *ret_offset = offset;
    buf_done(&frames);
    buf_done(&payload);
    return status;
}

/* Take one record into `seen`; false when its payload is not what its number asks for. */
static bool seen_add(struct seen *seen, const struct log_record *record)
{
    size_t i = seen->count++;
    seen->offset[i] = record->offset;
    seen->received_us[i] = record->received_us;
    seen->erased[i] = (record->flags & LOG_FLAG_ERASED) != 0;
    if (seen->erased[i]) {
        for (size_t k = 0; k < record->payload.n; k++)
            if (record->payload.p[k] != 0)
                return false;
        return true;
    }
    seen->id[i] = (uint32_t)strtoul(record->payload.p, NULL, 10);
    struct buf expected;
    buf_init(&expected, LOG_PAYLOAD_MAX);
    payload_put(&expected, seen->id[i], record->payload.n);
    bool equal = str_eq(buf_view(&expected), record->payload) && record->type == LOG_EVENT &&
                 record->version == 7 && record->source == 1000 + seen->id[i];
    buf_done(&expected);
    return equal;
}

enum status read_all(struct log *log, struct seen *ret_seen)
{
    struct log_reader *reader = NULL;
    *ret_seen = (struct seen){0};
    enum status status = log_reader_open(log, log_start(log), &reader, NULL);
    for (bool any = true; status == ST_OK && any;) {
        status = log_reader_fill(reader, 1000, 0, &any, NULL);
        for (struct log_record record; status == ST_OK && log_reader_next(reader, &record);)
            if (!seen_add(ret_seen, &record))
                status = ST_CONFLICT; /* damage that the journal did not notice */
    }
    log_reader_close(reader);
    return status;
}

char *file_read(const struct bench *bench, const char *name, size_t *ret_n)
{
    char path[512], *bytes = NULL;
    struct disk disk;
    disk_init(&disk);
    snprintf(path, sizeof path, "%s/%s", bench->folder, name);
    assert_int_equal(disk_read_file(&disk, path, SIZE_MAX, &bytes, ret_n, NULL), ST_OK);
    return bytes;
}

void file_write(const struct bench *bench, const char *name, const char *bytes, size_t n)
{
    char path[512];
    snprintf(path, sizeof path, "%s/%s", bench->folder, name);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, bytes, n), n);
    close(fd);
}

void segment_name(uint64_t base, char ret_name[32])
{
    snprintf(ret_name, 32, "%020llu.log", (unsigned long long)base);
}

static void what_is_appended_is_read_back(void **state)
{
    struct bench *bench = *state;
    uint64_t offset[4];
    size_t sizes[4] = {2, 100, 5000, 3000000};
    bench_open(bench);
    for (uint32_t i = 0; i < 4; i++)
        assert_int_equal(append_one(bench->log, i + 1, sizes[i], &offset[i]), ST_OK);
    assert_int_equal(offset[0], LOG_FIRST_OFFSET);
    for (int round = 0; round < 2; round++) {
        static struct seen seen;
        assert_int_equal(read_all(bench->log, &seen), ST_OK);
        assert_int_equal(seen.count, 4);
        for (uint32_t i = 0; i < 4; i++) {
            assert_int_equal(seen.id[i], i + 1);
            assert_int_equal(seen.offset[i], offset[i]);
            assert_int_equal(seen.received_us[i], START_US);
        }
        assert_int_equal(log_end(bench->log), offset[3] + LOG_HEADER_BYTES + sizes[3]);
        bench_reopen(bench);
    }
}

static void a_payload_may_be_empty(void **state)
{
    struct bench *bench = *state;
    struct buf frames;
    uint64_t first = 0;
    bench_open(bench);
    buf_init(&frames, 1000);
    log_frame(&frames, LOG_TICK, 1, 0, STR(""));
    log_frame(&frames, LOG_TICK, 1, 0, STR(""));
    assert_int_equal(log_append_wait(bench->log, &frames, 2, &first, NULL), ST_OK);
    bench_reopen(bench);
    struct buf buf;
    struct log_record record;
    buf_init(&buf, 1000);
    assert_int_equal(log_read_at(bench->log, first + LOG_HEADER_BYTES, &buf, &record, NULL), ST_OK);
    assert_int_equal(record.type, LOG_TICK);
    assert_int_equal(record.payload.n, 0);
    buf_done(&buf);
    buf_done(&frames);
}

static void a_frame_without_room_is_left_out_whole(void **state)
{
    (void)state;
    struct buf frames;
    buf_init(&frames, 100);
    log_frame(&frames, LOG_EVENT, 1, 0, STR("0123456789"));
    log_frame(&frames, LOG_EVENT, 1, 0, STR("0123456789012345678901234567890123456789"));
    assert_true(frames.overflow);
    assert_int_equal(frames.n, LOG_HEADER_BYTES + 10);
    buf_done(&frames);
}

static void one_record_is_found_by_its_offset_only(void **state)
{
    struct bench *bench = *state;
    struct buf buf, small;
    struct log_record record;
    uint64_t offset = 0;
    bench_open(bench);
    buf_init(&buf, 1000);
    buf_init(&small, 40);
    assert_int_equal(append_one(bench->log, 5, 50, NULL), ST_OK);
    assert_int_equal(append_one(bench->log, 6, 50, &offset), ST_OK);
    assert_int_equal(log_read_at(bench->log, offset, &buf, &record, NULL), ST_OK);
    assert_int_equal(record.offset, offset);
    assert_int_equal(record.next, log_end(bench->log));
    assert_int_equal(record.source, 1006);
    assert_int_equal(log_read_at(bench->log, offset, &small, &record, NULL), ST_TOO_LARGE);
    for (uint64_t wrong = 0; wrong < log_end(bench->log) + 100; wrong++)
        if (wrong != offset && wrong != LOG_FIRST_OFFSET)
            assert_int_equal(log_read_at(bench->log, wrong, &buf, &record, NULL), ST_NOT_FOUND);
    buf_done(&small);
    buf_done(&buf);
}

#define THREADS 8u
#define BATCHES 60u
#define BATCH 3u

struct writer {
    struct log *log;
    uint32_t first_id;
};

static void *writer_run(void *arg)
{
    struct writer *writer = arg;
    for (uint32_t i = 0; i < BATCHES; i++) {
        struct buf frames, payload;
        uint64_t offset;
        buf_init(&frames, 100000);
        buf_init(&payload, 10000);
        for (uint32_t k = 0; k < BATCH; k++) {
            buf_reset(&payload);
            payload_put(&payload, writer->first_id + i * BATCH + k, 20 + i);
            log_frame(&frames, LOG_EVENT, 7, 1000 + writer->first_id + i * BATCH + k,
                      buf_view(&payload));
        }
        CHECK(log_append_wait(writer->log, &frames, BATCH, &offset, NULL) == ST_OK);
        buf_done(&payload);
        buf_done(&frames);
    }
    return NULL;
}

static void batches_of_many_threads_stay_whole_and_in_order(void **state)
{
    struct bench *bench = *state;
    static struct seen seen;
    pthread_t threads[THREADS];
    struct writer writers[THREADS];
    bench->options.segment_bytes = 20000; /* and the segment turns meanwhile */
    bench_open(bench);
    for (uint32_t t = 0; t < THREADS; t++) {
        writers[t] = (struct writer){bench->log, 1 + t * BATCHES * BATCH};
        assert_int_equal(pthread_create(&threads[t], NULL, writer_run, &writers[t]), 0);
    }
    for (uint32_t t = 0; t < THREADS; t++)
        pthread_join(threads[t], NULL);
    assert_int_equal(read_all(bench->log, &seen), ST_OK);
    assert_int_equal(seen.count, THREADS * BATCHES * BATCH);
    uint32_t next[THREADS] = {0};
    for (size_t i = 0; i < seen.count; i++) {
        uint32_t thread = (seen.id[i] - 1) / (BATCHES * BATCH);
        assert_int_equal((seen.id[i] - 1) % (BATCHES * BATCH), next[thread]++);
        if (i % BATCH > 0)
            assert_int_equal(seen.id[i], seen.id[i - 1] + 1);
    }
    struct log_stats stats;
    log_stats(bench->log, &stats);
    assert_int_equal(stats.records, seen.count);
    assert_int_equal(stats.inflight_bytes, 0);
    assert_true(stats.segments > 3 && stats.syncs > 0 && stats.sync_p99_us >= stats.sync_p50_us);
}

static void a_reader_waits_for_records_and_for_a_wake(void **state)
{
    struct bench *bench = *state;
    struct log_reader *reader = NULL;
    struct log_record record;
    bool any = true;
    bench_open(bench);
    assert_int_equal(log_reader_open(bench->log, 0, &reader, NULL), ST_OK);
    assert_int_equal(log_reader_fill(reader, 100, 1000, &any, NULL), ST_OK);
    assert_false(any);
    pthread_t thread;
    struct writer writer = {bench->log, 1};
    assert_int_equal(pthread_create(&thread, NULL, writer_run, &writer), 0);
    uint32_t count = 0;
    while (count < BATCHES * BATCH) {
        assert_int_equal(log_reader_fill(reader, 100, 20 * US_PER_S, &any, NULL), ST_OK);
        assert_true(any);
        while (log_reader_next(reader, &record)) {
            assert_true(record.next <= log_end(bench->log));
            assert_int_equal(record.source, 1000 + ++count);
        }
    }
    pthread_join(thread, NULL);
    log_wake(bench->log); /* before the wait: must not be lost */
    int64_t before_us = monotonic_us();
    assert_int_equal(log_reader_fill(reader, 100, 20 * US_PER_S, &any, NULL), ST_OK);
    assert_false(any);
    assert_true(monotonic_us() - before_us < 10 * US_PER_S);
    log_reader_close(reader);
}

static void a_reader_starts_anywhere_but_behind_the_end(void **state)
{
    struct bench *bench = *state;
    struct log_reader *reader = NULL;
    struct log_record record;
    uint64_t offset[3];
    bool any = false;
    bench_open(bench);
    for (uint32_t i = 0; i < 3; i++)
        assert_int_equal(append_one(bench->log, i, 60, &offset[i]), ST_OK);
    assert_int_equal(log_reader_open(bench->log, offset[1], &reader, NULL), ST_OK);
    assert_int_equal(log_reader_fill(reader, 1, 0, &any, NULL), ST_OK); /* less than a record */
    assert_true(any && log_reader_next(reader, &record));
    assert_int_equal(record.offset, offset[1]);
    assert_false(log_reader_next(reader, &record));
    log_reader_close(reader);
    assert_int_equal(log_reader_open(bench->log, log_end(bench->log), &reader, NULL), ST_OK);
    log_reader_close(reader);
    assert_int_equal(log_reader_open(bench->log, log_end(bench->log) + 1, &reader, NULL),
                     ST_CORRUPT);
}

static void a_segment_closes_when_full_or_a_day_old(void **state)
{
    struct bench *bench = *state;
    static struct seen seen;
    struct log_stats stats;
    bench->options.segment_bytes = 64 + 3 * 132;
    bench_open(bench);
    for (uint32_t i = 1; i <= 7; i++)
        assert_int_equal(append_one(bench->log, i, 100, NULL), ST_OK);
    log_stats(bench->log, &stats);
    assert_int_equal(stats.segments, 3);
    assert_int_equal(append_one(bench->log, 8, 1000, NULL), ST_OK); /* more than a segment */
    clock_set_us(&bench->clock, START_US + US_PER_DAY);
    assert_int_equal(append_one(bench->log, 9, 100, NULL), ST_OK);
    bench_reopen(bench);
    log_stats(bench->log, &stats);
    assert_int_equal(stats.segments, 5);
    assert_int_equal(stats.size_bytes, log_end(bench->log) - 64 + 5 * 64);
    assert_int_equal(append_one(bench->log, 10, 100, NULL), ST_OK);
    assert_int_equal(read_all(bench->log, &seen), ST_OK);
    assert_int_equal(seen.count, 10);
}

static void retention_deletes_whole_old_segments_that_nobody_needs(void **state)
{
    struct bench *bench = *state;
    static struct seen seen;
    struct log_reader *reader = NULL;
    struct log_record record;
    struct buf buf;
    uint64_t offset[6], erase;
    bool any;
    buf_init(&buf, 1000);
    bench->options.segment_bytes = 64 + 132; /* one record each */
    bench_open(bench);
    for (uint32_t i = 0; i < 6; i++) {
        clock_set_us(&bench->clock, START_US + i);
        assert_int_equal(append_one(bench->log, i + 1, 100, &offset[i]), ST_OK);
    }
    assert_int_equal(log_reader_open(bench->log, 0, &reader, NULL), ST_OK);
    assert_int_equal(log_retain(bench->log, offset[4], START_US + 2, NULL), ST_OK); /* by time */
    assert_int_equal(log_start(bench->log), offset[2]);
    assert_int_equal(log_retain(bench->log, offset[4] - 1, INT64_MAX, NULL), ST_OK); /* by offset */
    assert_int_equal(log_start(bench->log), offset[3]);
    assert_int_equal(log_reader_fill(reader, 100, 0, &any, NULL), ST_GONE);
    log_reader_close(reader);
    assert_int_equal(log_reader_open(bench->log, offset[0], &reader, NULL), ST_GONE);
    assert_int_equal(log_read_at(bench->log, offset[1], &buf, &record, NULL), ST_GONE);
    erase = offset[1];
    assert_int_equal(log_overwrite(bench->log, &erase, 1, NULL), ST_OK); /* skipped */
    assert_int_equal(log_retain(bench->log, UINT64_MAX, INT64_MAX, NULL), ST_OK);
    assert_int_equal(log_start(bench->log), offset[5]); /* the last one stays */
    bench_reopen(bench);
    assert_int_equal(log_start(bench->log), offset[5]);
    assert_int_equal(read_all(bench->log, &seen), ST_OK);
    assert_int_equal(seen.count, 1);
    buf_done(&buf);
}

static void received_time_never_goes_back(void **state)
{
    struct bench *bench = *state;
    static struct seen seen;
    int64_t clock_us[6] = {START_US + 5, START_US + 9,  START_US + 1,
                           START_US,     START_US - 50, START_US + 10};
    int64_t expected_us[6] = {START_US + 5, START_US + 9, START_US + 9,
                              START_US + 9, START_US + 9, START_US + 10};
    bench->options.segment_bytes = 64 + 132;
    bench_open(bench);
    for (uint32_t i = 0; i < 6; i++) {
        if (i == 3 || i == 4)
            bench_reopen(bench);
        __atomic_store_n(&bench->clock.virtual_us, clock_us[i], __ATOMIC_RELEASE);
        assert_int_equal(append_one(bench->log, i, 100, NULL), ST_OK);
    }
    assert_int_equal(read_all(bench->log, &seen), ST_OK);
    for (size_t i = 0; i < 6; i++)
        assert_int_equal(seen.received_us[i], expected_us[i]);
}

/* An append whose answer holds the committer until `gate` is given free. */
struct gated {
    struct log_append append;
    struct buf frames;
    pthread_mutex_t *gate;
    bool stored, refused;
};

static void gated_done(struct log_append *append, enum status status, uint64_t offset,
                       int64_t received_us)
{
    struct gated *gated = append->ctx;
    (void)offset, (void)received_us;
    pthread_mutex_lock(gated->gate);
    gated->stored = status == ST_OK;
    gated->refused = status == ST_BUSY;
    pthread_mutex_unlock(gated->gate);
}

static enum status gated_append(struct log *log, struct gated *gated, pthread_mutex_t *gate,
                                uint32_t id)
{
    struct buf payload;
    buf_init(&payload, 10000);
    payload_put(&payload, id, 3000);
    buf_init(&gated->frames, 10000);
    log_frame(&gated->frames, LOG_EVENT, 7, 1000 + id, buf_view(&payload));
    buf_done(&payload);
    gated->gate = gate;
    gated->append = (struct log_append){
        .frames = buf_view(&gated->frames), .count = 1, .done = gated_done, .ctx = gated};
    return log_append(log, &gated->append, NULL);
}

static void the_in_flight_limit_refuses_but_never_the_first(void **state)
{
    struct bench *bench = *state;
    static struct seen seen;
    struct log_stats stats;
    struct gated gated[4] = {0};
    pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;
    bench->options.inflight_max = 7000;
    bench_open(bench);
    assert_int_equal(append_one(bench->log, 1, 9000, NULL), ST_OK); /* alone: larger is fine */
    pthread_mutex_lock(&gate);
    assert_int_equal(gated_append(bench->log, &gated[0], &gate, 2), ST_OK);
    do /* until the committer stands in front of the gate */
        log_stats(bench->log, &stats);
    while (stats.records < 2);
    assert_int_equal(gated_append(bench->log, &gated[1], &gate, 3), ST_OK);
    assert_int_equal(gated_append(bench->log, &gated[2], &gate, 4), ST_OK);
    assert_int_equal(gated_append(bench->log, &gated[3], &gate, 5), ST_BUSY);
    log_stats(bench->log, &stats);
    assert_int_equal(stats.inflight_bytes, 2 * 3032);
    assert_int_equal(stats.refused, 1);
    pthread_mutex_unlock(&gate);
    bench_reopen(bench); /* closing waits for what was accepted */
    assert_true(gated[0].stored && gated[1].stored && gated[2].stored && !gated[3].stored);
    assert_int_equal(read_all(bench->log, &seen), ST_OK);
    assert_int_equal(seen.count, 4);
    log_stats(bench->log, &stats);
    assert_int_equal(stats.records, 0); /* counted since the opening */
    for (size_t i = 0; i < 4; i++)
        buf_done(&gated[i].frames);
}

struct early {
    struct log_append append;
    struct buf frames;
    struct log *log;
    size_t inflight_bytes;
    uint64_t syncs, end, first;
    bool written, done;
};

/* Nothing is promised yet, and no memory is needed any more. */
static void early_written(struct log_append *append)
{
    struct early *early = append->ctx;
    struct log_stats stats;
    log_stats(early->log, &stats);
    early->written = true;
    early->inflight_bytes = stats.inflight_bytes;
    early->syncs = stats.syncs;
    early->end = log_end(early->log);
    memset(early->frames.p, 0xee, early->frames.n);
    buf_done(&early->frames);
}

static void early_done(struct log_append *append, enum status status, uint64_t first,
                       int64_t received_us)
{
    struct early *early = append->ctx;
    (void)received_us;
    early->first = first;
    early->done = status == ST_OK && early->written;
}

static void frames_are_given_back_between_write_and_sync(void **state)
{
    struct bench *bench = *state;
    static struct seen seen;
    struct log_stats before;
    struct buf payload;
    bench_open(bench);
    struct early early = {.log = bench->log};
    assert_int_equal(append_one(bench->log, 1, 300, NULL), ST_OK);
    log_stats(bench->log, &before);
    uint64_t end = log_end(bench->log);
    buf_init(&payload, 1000);
    payload_put(&payload, 2, 1000);
    buf_init(&early.frames, 4096);
    log_frame(&early.frames, LOG_EVENT, 7, 1002, buf_view(&payload));
    buf_done(&payload);
    early.append = (struct log_append){.frames = buf_view(&early.frames),
                                       .count = 1,
                                       .done = early_done,
                                       .written = early_written,
                                       .ctx = &early};
    assert_int_equal(log_append(bench->log, &early.append, NULL), ST_OK);
    bench_reopen(bench); /* closing waits for what was accepted */
    assert_true(early.done);
    assert_int_equal(early.inflight_bytes, 0);
    assert_int_equal(early.syncs, before.syncs);
    assert_int_equal(early.end, end);
    assert_int_equal(early.first, end);
    assert_int_equal(read_all(bench->log, &seen), ST_OK);
    assert_int_equal(seen.count, 2);
}

/* The shortest time that one of twenty small appends takes. */
static int64_t shortest_append_us(struct log *log)
{
    int64_t shortest_us = INT64_MAX;
    for (uint32_t i = 0; i < 20; i++) {
        int64_t before_us = monotonic_us();
        assert_int_equal(append_one(log, i, 10, NULL), ST_OK);
        int64_t took_us = monotonic_us() - before_us;
        if (took_us < shortest_us)
            shortest_us = took_us;
    }
    return shortest_us;
}

/* What comes behind a group of many waits for company; what comes behind one alone does not. */
static void a_crowd_is_given_a_moment(void **state)
{
    enum { MANY = 8 };
    struct bench *bench = *state;
    struct log_stats before, after;
    int64_t shortest_us = INT64_MAX;
    pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;
    bench_open(bench);
    for (uint32_t round = 0; round < 20; round++) {
        struct gated gated[1 + MANY] = {0};
        log_stats(bench->log, &before);
        pthread_mutex_lock(&gate);
        assert_int_equal(gated_append(bench->log, &gated[0], &gate, 1), ST_OK);
        do /* until the committer stands in front of the gate */
            log_stats(bench->log, &after);
        while (after.records == before.records);
        for (uint32_t i = 1; i <= MANY; i++)
            assert_int_equal(gated_append(bench->log, &gated[i], &gate, 1 + i), ST_OK);
        pthread_mutex_unlock(&gate);
        do
            log_stats(bench->log, &after);
        while (after.records < before.records + 1 + MANY);
        assert_int_equal(after.syncs, before.syncs + 2);
        int64_t from_us = monotonic_us();
        assert_int_equal(append_one(bench->log, 99, 10, NULL), ST_OK);
        int64_t took_us = monotonic_us() - from_us;
        if (took_us < shortest_us)
            shortest_us = took_us;
        for (uint32_t i = 0; i <= MANY; i++)
            buf_done(&gated[i].frames);
    }
    assert_true(shortest_us >= 150);
}

/* 20 MiB behind, each group waits the longest; nobody waits for who came along, or never says where
 * it stands. */
static void whoever_sends_keeps_the_pace_of_who_follows(void **state)
{
    struct bench *bench = *state;
    bench_open(bench);
    for (uint32_t i = 0; i < 5; i++)
        assert_int_equal(append_one(bench->log, i, 4 << 20, NULL), ST_OK);
    assert_true(shortest_append_us(bench->log) < 5000);
    log_reached(bench->log, log_start(bench->log));
    assert_true(shortest_append_us(bench->log) >= 5000);
    log_reached(bench->log, log_end(bench->log));
    assert_true(shortest_append_us(bench->log) < 5000);
}

static void a_full_disk_refuses_all_that_is_queued(void **state)
{
    struct bench *bench = *state;
    static struct seen seen;
    struct log_stats stats;
    struct gated gated[4] = {0};
    pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;
    bench->options.segment_bytes = 4000; /* a group of one each */
    bench_open(bench);
    pthread_mutex_lock(&gate);
    assert_int_equal(gated_append(bench->log, &gated[0], &gate, 1), ST_OK);
    do /* until the committer stands in front of the gate */
        log_stats(bench->log, &stats);
    while (stats.records < 1);
    for (uint32_t i = 1; i < 4; i++)
        assert_int_equal(gated_append(bench->log, &gated[i], &gate, 1 + i), ST_OK);
    __atomic_store_n(&bench->disk.fail_errno, ENOSPC, __ATOMIC_RELAXED);
    __atomic_store_n(&bench->disk.fail_at, 1, __ATOMIC_RELEASE);
    pthread_mutex_unlock(&gate);
    bench_close(bench);
    assert_true(gated[0].stored && gated[1].refused && gated[2].refused && gated[3].refused);
    bench_open(bench);
    assert_int_equal(read_all(bench->log, &seen), ST_OK);
    assert_int_equal(seen.count, 1);
    for (size_t i = 0; i < 4; i++)
        buf_done(&gated[i].frames);
}

static void the_size_limit_refuses_all_but_an_erase(void **state)
{
    struct bench *bench = *state;
    struct buf frames;
    uint64_t first;
    bench->options.size_max = 64 + 2 * 132;
    bench_open(bench);
    assert_int_equal(append_one(bench->log, 1, 100, NULL), ST_OK);
    assert_int_equal(append_one(bench->log, 2, 100, NULL), ST_OK);
    assert_int_equal(append_one(bench->log, 3, 100, NULL), ST_BUSY);
    buf_init(&frames, 1000);
    log_frame(&frames, LOG_ERASE, 1, 0, STR("who"));
    assert_int_equal(log_append_wait(bench->log, &frames, 1, &first, NULL), ST_OK);
    struct log_stats stats;
    log_stats(bench->log, &stats);
    assert_int_equal(stats.refused, 1);
    assert_false(stats.full);
    buf_done(&frames);
}

static void an_overwrite_leaves_zeros_and_the_neighbours(void **state)
{
    struct bench *bench = *state;
    static struct seen seen;
    uint64_t offset[8];
    bench->options.segment_bytes = 64 + 3 * 132;
    bench_open(bench);
    for (uint32_t i = 0; i < 8; i++)
        assert_int_equal(append_one(bench->log, i + 1, 100, &offset[i]), ST_OK);
    uint64_t erase[5] = {offset[7], offset[1], offset[2], offset[3], offset[1]};
    assert_int_equal(log_overwrite(bench->log, erase, 5, NULL), ST_OK);
    assert_int_equal(log_overwrite(bench->log, erase, 1, NULL), ST_OK); /* again: no harm */
    for (int round = 0; round < 2; round++) {
        assert_int_equal(read_all(bench->log, &seen), ST_OK);
        assert_int_equal(seen.count, 8);
        for (uint32_t i = 0; i < 8; i++) {
            assert_int_equal(seen.erased[i], i == 1 || i == 2 || i == 3 || i == 7);
            assert_int_equal(seen.id[i], seen.erased[i] ? 0 : i + 1);
            assert_int_equal(seen.offset[i], offset[i]);
            assert_int_equal(seen.received_us[i], START_US);
        }
        bench_reopen(bench);
    }
    uint64_t wrong[2] = {offset[0], offset[4] + 1};
    assert_int_equal(log_overwrite(bench->log, wrong, 2, NULL), ST_NOT_FOUND);
    wrong[1] = log_end(bench->log);
    assert_int_equal(log_overwrite(bench->log, wrong, 2, NULL), ST_NOT_FOUND);
    assert_int_equal(read_all(bench->log, &seen), ST_OK);
    assert_false(seen.erased[0]);
}

#define REWRITES 40u

static void *overwriter_run(void *arg)
{
    struct bench *bench = arg;
    for (uint64_t i = 0; i < REWRITES; i++) {
        uint64_t offset = LOG_FIRST_OFFSET + i * 5032;
        CHECK(log_overwrite(bench->log, &offset, 1, NULL) == ST_OK);
    }
    return NULL;
}

static void a_reader_sees_an_overwrite_whole_or_not_at_all(void **state)
{
    struct bench *bench = *state;
    static struct seen seen;
    pthread_t thread;
    bench->options.segment_bytes = 100000;
    bench_open(bench);
    for (uint32_t i = 1; i <= REWRITES; i++)
        assert_int_equal(append_one(bench->log, i, 5000, NULL), ST_OK);
    assert_int_equal(pthread_create(&thread, NULL, overwriter_run, bench), 0);
    for (size_t erased = 0; erased < REWRITES;) {
        assert_int_equal(read_all(bench->log, &seen), ST_OK);
        assert_int_equal(seen.count, REWRITES);
        erased = 0;
        for (size_t i = 0; i < seen.count; i++)
            erased += seen.erased[i];
    }
    pthread_join(thread, NULL);
}

#define BENCH_TEST(name) cmocka_unit_test_setup_teardown(name, bench_setup, bench_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        BENCH_TEST(what_is_appended_is_read_back),
        BENCH_TEST(a_payload_may_be_empty),
        cmocka_unit_test(a_frame_without_room_is_left_out_whole),
        BENCH_TEST(one_record_is_found_by_its_offset_only),
        BENCH_TEST(batches_of_many_threads_stay_whole_and_in_order),
        BENCH_TEST(a_reader_waits_for_records_and_for_a_wake),
        BENCH_TEST(a_reader_starts_anywhere_but_behind_the_end),
        BENCH_TEST(a_segment_closes_when_full_or_a_day_old),
        BENCH_TEST(retention_deletes_whole_old_segments_that_nobody_needs),
        BENCH_TEST(received_time_never_goes_back),
        BENCH_TEST(the_in_flight_limit_refuses_but_never_the_first),
        BENCH_TEST(frames_are_given_back_between_write_and_sync),
        BENCH_TEST(a_crowd_is_given_a_moment),
        BENCH_TEST(whoever_sends_keeps_the_pace_of_who_follows),
        BENCH_TEST(a_full_disk_refuses_all_that_is_queued),
        BENCH_TEST(the_size_limit_refuses_all_but_an_erase),
        BENCH_TEST(an_overwrite_leaves_zeros_and_the_neighbours),
        BENCH_TEST(a_reader_sees_an_overwrite_whole_or_not_at_all),
    };
    int failed = cmocka_run_group_tests_name("log", tests, NULL, NULL);
    return failed + log_fault_tests_run() + log_ahead_tests_run() > 0;
}
