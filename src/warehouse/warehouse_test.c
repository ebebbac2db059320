/* warehouse_test.c - what is committed stays, what is erased goes, whatever stops the process. */
#include "warehouse/warehouse_test.h"

#include <ftw.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/check.h"

static void must(enum status status, const struct err *err)
{
    if (status != ST_OK)
        fail_msg("%s", err->message);
}

void bench_open(struct bench *bench)
{
    struct err err;
    char folder[96], exports[96];
    snprintf(folder, sizeof folder, "%s/warehouse", bench->folder);
    snprintf(exports, sizeof exports, "%s/export", bench->folder);
    struct warehouse_options options = {.folder = folder,
                                        .export_folder = exports,
                                        .disk = &bench->disk,
                                        .clock = &bench->clock,
                                        .threads = 2};
    must(warehouse_open(&options, &bench->warehouse, &err), &err);
}

void bench_reopen(struct bench *bench)
{
    warehouse_close(bench->warehouse);
    bench_open(bench);
}

int bench_setup(void **state)
{
    static struct bench bench;
    const char *tmp = getenv("TMPDIR");
    bench = (struct bench){0};
    snprintf(bench.folder, sizeof bench.folder, "%s/hezou-warehouse-XXXXXX",
             tmp != NULL && strlen(tmp) < 32 ? tmp : "/tmp");
    assert_non_null(mkdtemp(bench.folder));
    disk_init(&bench.disk);
    clock_init_virtual(&bench.clock, NOVEMBER);
    buf_init(&bench.json, (size_t)256 << 20);
    bench_open(&bench);
    *state = &bench;
    return 0;
}

static int entry_remove(const char *path, const struct stat *st, int kind, struct FTW *where)
{
    (void)st, (void)kind, (void)where;
    return remove(path);
}

int bench_teardown(void **state)
{
    struct bench *bench = *state;
    warehouse_close(bench->warehouse);
    buf_done(&bench->json);
    return nftw(bench->folder, entry_remove, 16, FTW_DEPTH | FTW_PHYS);
}

struct warehouse_event event_of(uint64_t position, uint64_t visitor, int64_t received_us)
{
    return (struct warehouse_event){.position = position,
                                    .visitor = visitor,
                                    .person = visitor,
                                    .source = STR("shop"),
                                    .type = STR("track"),
                                    .name = STR("Order Completed"),
                                    .message_id = STR("m"),
                                    .time_us = received_us - 1000000,
                                    .received_us = received_us,
                                    .properties = STR("{\"a\":1}")};
}

void commit(struct bench *bench, uint64_t position, int64_t received_us)
{
    struct err err;
    must(warehouse_commit(bench->warehouse, position, received_us, &err), &err);
}

const char *rows_of(struct bench *bench, const char *sql)
{
    struct err err;
    buf_reset(&bench->json);
    must(warehouse_query(bench->warehouse, sql, NULL, 0, &bench->json, &err), &err);
    char *rows = strstr(bench->json.p, "\"rows\":");
    char *end = strstr(bench->json.p, ",\"row_count\"");
    assert_non_null(rows);
    assert_non_null(end);
    *end = '\0';
    return rows + 7;
}

static void add_event(struct bench *bench, uint64_t position, uint64_t visitor, int64_t received_us)
{
    struct warehouse_event event = event_of(position, visitor, received_us);
    warehouse_add_event(bench->warehouse, &event);
}

static void an_event_comes_back_with_all_its_columns(void **state)
{
    struct bench *bench = *state;
    struct warehouse_event event = event_of(7, 3, NOVEMBER);
    event.channel = STR("微信");
    event.campaign = STR("双十一");
    event.has_amount = true;
    event.amount_micros = -1234567890123;
    event.currency = STR("CNY");
    event.original_us = NOVEMBER - 5;
    event.context = STR("{\"ip\":\"::1\"}");
    warehouse_add_event(bench->warehouse, &event);
    commit(bench, 8, NOVEMBER);
    assert_string_equal(rows_of(bench, "SELECT * FROM events"),
                        "[[7,3,3,\"shop\",\"track\",\"Order Completed\",\"微信\",\"双十一\",\"m\","
                        "\"2026-11-02T11:59:59Z\",\"2026-11-02T12:00:00Z\",-1234567.890123,\"CNY\","
                        "\"{\\\"a\\\":1}\",\"{\\\"ip\\\":\\\"::1\\\"}\"]]");
    assert_string_equal(rows_of(bench, "SELECT original, sent FROM raw.event"),
                        "[[\"2026-11-02T11:59:59.999995Z\",null]]");
    assert_int_equal(warehouse_position(bench->warehouse), 8);
}

static void what_is_there_is_not_added_again(void **state)
{
    struct bench *bench = *state;
    for (int round = 0; round < 2; round++) {
        for (uint64_t i = 0; i < 10; i++)
            add_event(bench, i, 1, NOVEMBER);
        commit(bench, 10, NOVEMBER);
        bench_reopen(bench);
    }
    assert_string_equal(rows_of(bench, "SELECT count(*), count(DISTINCT position) FROM events"),
                        "[[10,10]]");
}

static void what_is_added_beside_a_commit_is_for_the_next(void **state)
{
    struct bench *bench = *state;
    struct err err;
    add_event(bench, 1, 1, NOVEMBER);
    add_event(bench, 2, 2, NOVEMBER);
    warehouse_add_override(bench->warehouse, 2, 1, 2);
    warehouse_seal(bench->warehouse, 3, NOVEMBER);
    add_event(bench, 3, 3, NOVEMBER + 40 * DAY);
    warehouse_add_override(bench->warehouse, 3, 1, 3);
    assert_int_equal(warehouse_position(bench->warehouse), 0);
    must(warehouse_commit_sealed(bench->warehouse, &err), &err);
    assert_int_equal(warehouse_position(bench->warehouse), 3);
    assert_string_equal(rows_of(bench, "SELECT position, person FROM events ORDER BY 1"),
                        "[[1,1],[2,1]]");
    must(warehouse_commit_sealed(bench->warehouse, &err), &err); /* nothing is sealed */
    assert_int_equal(warehouse_position(bench->warehouse), 3);
    commit(bench, 4, NOVEMBER + 40 * DAY);
    assert_string_equal(rows_of(bench, "SELECT position, person FROM events ORDER BY 1"),
                        "[[1,1],[2,1],[3,1]]");
}

static void records_show_every_verdict(void **state)
{
    struct bench *bench = *state;
    struct warehouse_record record = {2, 5, STR("duplicate"), STR(""), STR("shop"), NOVEMBER};
    add_event(bench, 1, 5, NOVEMBER);
    warehouse_add_record(bench->warehouse, &record);
    record =
        (struct warehouse_record){3, 0, STR("quarantined"), STR("bad_json"), STR("shop"), NOVEMBER};
    warehouse_add_record(bench->warehouse, &record);
    commit(bench, 4, NOVEMBER);
    assert_string_equal(
        rows_of(bench, "SELECT position, visitor, verdict, reason FROM records ORDER BY 1"),
        "[[1,5,\"stored\",null],[2,5,\"duplicate\",null],[3,0,\"quarantined\",\"bad_json\"]]");
}

static void a_month_begins_a_file_that_knows_all_people(void **state)
{
    struct bench *bench = *state;
    int64_t december = NOVEMBER + 40 * DAY;
    add_event(bench, 1, 1, NOVEMBER);
    add_event(bench, 2, 2, NOVEMBER);
    warehouse_add_override(bench->warehouse, 2, 1, 2);
    commit(bench, 3, NOVEMBER);
    add_event(bench, 3, 2, december);
    commit(bench, 4, december);
    bench_reopen(bench);
    struct warehouse_stats stats;
    warehouse_stats(bench->warehouse, &stats);
    assert_int_equal(stats.files, 2);
    assert_int_equal(stats.events, 3);
    assert_int_equal(warehouse_position(bench->warehouse), 4);
    assert_string_equal(rows_of(bench, "SELECT position, person FROM events ORDER BY 1"),
                        "[[1,1],[2,1],[3,1]]");
    assert_string_equal(rows_of(bench, "SELECT count(*) FROM m2026_12.event"), "[[1]]");
    assert_string_equal(rows_of(bench, "SELECT * FROM m2026_12.person_override"), "[[2,1,2]]");
}

static void the_newest_override_wins_and_an_undo_is_one_more(void **state)
{
    struct bench *bench = *state;
    for (uint64_t i = 0; i < 3; i++)
        add_event(bench, i, i + 1, NOVEMBER);
    commit(bench, 3, NOVEMBER);
    warehouse_add_override(bench->warehouse, 2, 9,
                           3); /* two at one position: the last one counts */
    warehouse_add_override(bench->warehouse, 2, 1, 3);
    warehouse_add_override(bench->warehouse, 3, 1, 3);
    commit(bench, 4, NOVEMBER);
    assert_string_equal(rows_of(bench, "SELECT visitor, person FROM events ORDER BY 1"),
                        "[[1,1],[2,1],[3,1]]");
    warehouse_add_override(bench->warehouse, 2, 2, 4);
    commit(bench, 5, NOVEMBER);
    assert_string_equal(rows_of(bench, "SELECT visitor, person FROM events ORDER BY 1"),
                        "[[1,1],[2,2],[3,1]]");
}

static void a_long_tail_of_overrides_is_compacted(void **state)
{
    struct bench *bench = *state;
    struct warehouse_stats stats;
    add_event(bench, 0, 1, NOVEMBER);
    commit(bench, 1, NOVEMBER);
    for (uint64_t round = 0; round < 3; round++) {
        for (uint64_t i = 0; i < 40000; i++)
            warehouse_add_override(bench->warehouse, i + 1, 1000 + round, round + 1);
        commit(bench, round + 2, NOVEMBER);
    }
    warehouse_stats(bench->warehouse, &stats);
    assert_int_equal(stats.overrides_tail, 0);
    assert_string_equal(
        rows_of(bench, "SELECT count(*), max(person) FROM m2026_11.person_override"),
        "[[40000,1002]]");
    assert_string_equal(rows_of(bench, "SELECT person FROM events"), "[[1002]]");
    bench_reopen(bench);
    assert_string_equal(rows_of(bench, "SELECT person FROM events"), "[[1002]]");
}

static void people_are_what_their_visitors_say(void **state)
{
    struct bench *bench = *state;
    struct warehouse *warehouse = bench->warehouse;
    warehouse_add_visitor(warehouse, 1, 1, STR("email"), STR("li@example.com"), 0);
    warehouse_add_visitor(warehouse, 2, 2, STR("device_id"), STR("d1"), 1);
    warehouse_add_visitor(warehouse, 3, 3, STR("phone"), STR("+8613800000000"), 2);
    add_event(bench, 0, 1, NOVEMBER);
    add_event(bench, 1, 2, NOVEMBER + DAY);
    warehouse_add_trait(warehouse, 1, STR("city"), STR("\"上海\""), NOVEMBER, 0);
    warehouse_add_trait(warehouse, 2, STR("city"), STR("\"北京\""), NOVEMBER + 5, 1);
    warehouse_add_trait(warehouse, 1, STR("age"), STR("41"), NOVEMBER, 0);
    warehouse_add_trait(warehouse, 1, STR("vip"), STR("true"), NOVEMBER, 0);
    warehouse_add_trait(warehouse, 1, STR("vip"), STR(""), NOVEMBER + 1, 1);
    warehouse_add_override(warehouse, 2, 1, 2);
    commit(bench, 3, NOVEMBER);
    assert_string_equal(rows_of(bench,
                                "SELECT person, identifiers, first_seen, last_seen, events, "
                                "traits->>'city', traits->>'age', json_exists(traits, '$.vip') "
                                "FROM people ORDER BY person"),
                        "[[1,[\"device_id:d1\",\"email:li@example.com\"],\"2026-11-02T11:59:59Z\","
                        "\"2026-11-03T11:59:59Z\",2,\"北京\",\"41\",false],"
                        "[3,[\"phone:+8613800000000\"],null,null,0,null,null,false]]");
}

/* --- stops ------------------------------------------------------------------------------------ */

static void child_appends(struct bench *bench, int acknowledged)
{
    for (uint64_t batch = 0;; batch++) {
        uint64_t rows =
            batch % 3 == 0 ? 5000 : 300; /* both ways into the file: direct, and by its log */
        uint64_t first = warehouse_position(bench->warehouse);
        for (uint64_t i = 0; i < rows; i++)
            add_event(bench, first + i, first % 100 + 1, NOVEMBER);
        commit(bench, first + rows, NOVEMBER);
        uint64_t position = first + rows;
        if (write(acknowledged, &position, sizeof position) != (ssize_t)sizeof position)
            _exit(1);
    }
}

static void after_kill_there_is_exactly_what_was_acknowledged(void **state)
{
    struct bench *bench = *state;
    uint64_t last = 0;
    for (int round = 0; round < 3; round++) {
        int pipes[2];
        warehouse_close(bench->warehouse);
        bench->warehouse = NULL;
        assert_int_equal(pipe(pipes), 0);
        pid_t child = fork();
        if (child == 0) {
            bench_open(bench);
            child_appends(bench, pipes[1]);
        }
        close(pipes[1]);
        for (int i = 0; i < 8 + round; i++)
            assert_int_equal(read(pipes[0], &last, sizeof last), sizeof last);
        kill(child, SIGKILL);
        while (read(pipes[0], &last, sizeof last) == (ssize_t)sizeof last)
            ;
        waitpid(child, NULL, 0);
        close(pipes[0]);
        bench_open(bench);
        uint64_t position = warehouse_position(bench->warehouse);
        assert_in_range(position, last,
                        last + 5000); /* one commit may have been done and not told */
        char expected[64];
        snprintf(expected, sizeof expected, "[[%llu,%llu,%llu]]", (unsigned long long)position,
                 (unsigned long long)position, (unsigned long long)position - 1);
        assert_string_equal(
            rows_of(bench, "SELECT count(*), count(DISTINCT position), max(position) FROM events"),
            expected);
    }
}

static off_t wal_size(const struct bench *bench)
{
    char path[128];
    struct stat st;
    snprintf(path, sizeof path, "%s/warehouse/2026-11.duckdb.wal", bench->folder);
    return stat(path, &st) == 0 ? st.st_size : 0;
}

static void commit_rows(struct bench *bench, uint64_t rows)
{
    uint64_t first = warehouse_position(bench->warehouse);
    for (uint64_t i = 0; i < rows; i++)
        add_event(bench, first + i, first + i + 1, NOVEMBER + (int64_t)(first + i));
    commit(bench, first + rows, NOVEMBER);
}

/* Three commits, and a process that ends without a checkpoint; gives where the third begins in the
 * engine's log, and its end. */
static void three_commits(struct bench *bench, off_t ret_third[2])
{
    int pipes[2];
    assert_int_equal(pipe(pipes), 0);
    pid_t child = fork();
    if (child == 0) {
        bench_open(bench);
        commit_rows(bench, 100);
        commit_rows(bench, 100);
        off_t at[2] = {wal_size(bench), 0};
        commit_rows(bench, 100);
        at[1] = wal_size(bench);
        _exit(write(pipes[1], at, sizeof at) != (ssize_t)sizeof at);
    }
    close(pipes[1]);
    assert_int_equal(read(pipes[0], ret_third, 2 * sizeof *ret_third), 2 * sizeof *ret_third);
    close(pipes[0]);
    assert_int_equal(waitpid(child, NULL, 0), child);
    assert_true(ret_third[0] > 0 && ret_third[1] > ret_third[0] + 1024);
}

/* A file as it is now, to be put back as often as it is wanted. */
struct kept {
    char path[128];
    char *bytes;
    size_t n;
};

static struct kept keep(struct bench *bench, const char *name)
{
    struct err err;
    struct kept kept = {0};
    snprintf(kept.path, sizeof kept.path, "%s/warehouse/%s", bench->folder, name);
    must(disk_read_file(&bench->disk, kept.path, SIZE_MAX, &kept.bytes, &kept.n, &err), &err);
    return kept;
}

static void put_back(struct bench *bench, const struct kept *kept)
{
    struct err err;
    struct str bytes = {kept->bytes, kept->n};
    must(disk_write_file(&bench->disk, kept->path, bytes, &err), &err);
}

/* Whichever sectors of the last commit a power cut loses, the two before it are there. */
static void a_commit_that_a_power_cut_tore_is_dropped(void **state)
{
    struct bench *bench = *state;
    off_t third[2];
    warehouse_close(bench->warehouse);
    bench->warehouse = NULL;
    three_commits(bench, third);
    struct kept file = keep(bench, "2026-11.duckdb"), wal = keep(bench, "2026-11.duckdb.wal");
    for (size_t at = (size_t)third[0]; at < wal.n; at += 512) {
        struct kept torn = wal;
        size_t n = wal.n - at < 512 ? wal.n - at : 512;
        /* To a sector of one word again and again the engine's checksum, a XOR of words, is blind.
         */
        if (n > 8 && memcmp(wal.bytes + at, wal.bytes + at + 8, n - 8) == 0)
            continue;
        torn.bytes = malloc(wal.n);
        assert_non_null(torn.bytes);
        memcpy(torn.bytes, wal.bytes, wal.n);
        memset(torn.bytes + at, 0, n);
        put_back(bench, &file);
        put_back(bench, &torn);
        free(torn.bytes);
        bench_open(bench);
        assert_int_equal(warehouse_position(bench->warehouse), 200);
        assert_string_equal(rows_of(bench, "SELECT count(*), max(position) FROM events"),
                            "[[200,199]]");
        commit_rows(bench, 1);
        warehouse_close(bench->warehouse);
        bench->warehouse = NULL;
    }
    free(file.bytes);
    free(wal.bytes);
}

/* Syncs of ours: the engine's own are not counted. */
static uint64_t syncs_of(struct bench *bench, uint64_t rows)
{
    uint64_t before = bench->disk.calls;
    commit_rows(bench, rows);
    return bench->disk.calls - before;
}

static void a_log_that_is_new_is_on_the_disk_with_its_name(void **state)
{
    struct bench *bench = *state;
    bench->disk.fail_syncs = true;              /* counts them; none is told to fail */
    assert_in_range(syncs_of(bench, 10), 1, 9); /* and the manifest */
    assert_int_equal(syncs_of(bench, 10), 0);
    bench_reopen(bench); /* a checkpoint: the log is gone */
    assert_int_equal(wal_size(bench), 0);
    assert_int_equal(syncs_of(bench, 10), 1);
    assert_int_equal(syncs_of(bench, 10), 0);
}

static void a_full_disk_is_waited_out(void **state)
{
    struct bench *bench = *state;
    warehouse_close(bench->warehouse);
    bench->warehouse = NULL;
    pid_t child = fork();
    if (child == 0) {
        struct err err;
        enum status status = ST_OK;
        int failures = 0;
        uint64_t position = 0;
        signal(SIGXFSZ, SIG_IGN);
        bench_open(bench);
        struct rlimit limit = {(rlim_t)3 << 20, RLIM_INFINITY};
        setrlimit(RLIMIT_FSIZE, &limit);
        for (int batch = 0; batch < 400 && failures < 3; batch++) {
            uint64_t rows = batch % 2 == 0 ? 6000 : 500;
            for (uint64_t i = 0; i < rows && status == ST_OK; i++) {
                char id[32];
                struct warehouse_event event = event_of(position + i, 1, NOVEMBER);
                snprintf(id, sizeof id, "%llx", (unsigned long long)hash_mix(position + i));
                event.message_id = str_of(id);
                warehouse_add_event(bench->warehouse, &event);
            }
            status = warehouse_commit(bench->warehouse, position + rows, NOVEMBER, &err);
            if (status == ST_OK)
                position += rows;
            else if (status != ST_BUSY || warehouse_position(bench->warehouse) != position)
                _exit(2);
            else
                failures++, batch--;
        }
        limit.rlim_cur = RLIM_INFINITY;
        setrlimit(RLIMIT_FSIZE, &limit);
        if (failures != 3 ||
            warehouse_commit(bench->warehouse, position + 1000000, NOVEMBER, &err) != ST_OK)
            _exit(3);
        char sql[200];
        snprintf(sql, sizeof sql,
                 "SELECT count(*) = count(DISTINCT position) AND count(*) >= %llu FROM events",
                 (unsigned long long)position + 500);
        _exit(strcmp(rows_of(bench, sql), "[[true]]") == 0 ? 0 : 4);
    }
    int how = 0;
    waitpid(child, &how, 0);
    assert_true(WIFEXITED(how));
    assert_int_equal(WEXITSTATUS(how), 0);
    bench_open(bench);
}

/* --- erase ------------------------------------------------------------------------------------ */

static struct warehouse_event person_event(uint64_t position, uint64_t visitor, int64_t received_us,
                                           char text[64])
{
    struct warehouse_event event = event_of(position, visitor, received_us);
    snprintf(text, 64, "{\"note\":\"canary-%llu-of-%llu\"}", (unsigned long long)position,
             (unsigned long long)visitor);
    event.properties = str_of(text);
    event.context = STR("{}");
    return event;
}

/* Three visitors in two months, a merge, one record without a visitor. */
static void people_add(struct bench *bench)
{
    char text[64];
    for (uint64_t position = 0; position < 12; position++) {
        int64_t received_us = position < 6 ? NOVEMBER : NOVEMBER + 40 * DAY;
        struct warehouse_event event = person_event(position, position % 3 + 1, received_us, text);
        warehouse_add_event(bench->warehouse, &event);
        if (position < 3) {
            char value[32];
            snprintf(value, sizeof value, "canary-visitor-%llu", (unsigned long long)position + 1);
            warehouse_add_visitor(bench->warehouse, position + 1, position + 1, STR("email"),
                                  str_of(value), position);
            warehouse_add_trait(bench->warehouse, position + 1, STR("mail"), str_of(value),
                                NOVEMBER, position);
        }
        if (position == 5) {
            warehouse_add_override(bench->warehouse, 3, 2, 5);
            commit(bench, 6, NOVEMBER);
        }
    }
    struct warehouse_record record = {
        12, 0, STR("quarantined"), STR("canary-reason"), STR("shop"), NOVEMBER + 40 * DAY};
    warehouse_add_record(bench->warehouse, &record);
    record.position = 13;
    record.reason = STR("other");
    warehouse_add_record(bench->warehouse, &record);
    commit(bench, 14, NOVEMBER + 40 * DAY);
}

static const char *canary; /* nftw takes no argument */

static int file_scan(const char *path, const struct stat *st, int kind, struct FTW *where)
{
    (void)where;
    if (kind != FTW_F || st->st_size == 0)
        return 0;
    char *bytes = malloc((size_t)st->st_size);
    FILE *file = fopen(path, "rb");
    size_t n = file == NULL ? 0 : fread(bytes, 1, (size_t)st->st_size, file);
    bool found = n > 0 && memmem(bytes, n, canary, strlen(canary)) != NULL;
    if (file != NULL)
        fclose(file);
    free(bytes);
    return found ? 1 : 0;
}

static bool in_files(struct bench *bench, const char *text)
{
    canary = text;
    return nftw(bench->folder, file_scan, 16, FTW_PHYS) == 1;
}

static void check_erased(struct bench *bench)
{
    static const char *const gone[] = {"-of-1\"", "canary-visitor-1", "canary-reason"};
    assert_string_equal(
        rows_of(bench, "SELECT count(*), count(*) FILTER (WHERE visitor = 1) FROM events"),
        "[[8,0]]");
    assert_string_equal(
        rows_of(bench,
                "SELECT string_agg(position || '=' || person || properties, ' ' ORDER BY position) "
                "FROM events WHERE position < 6"),
        "[[\"1=2{\\\"note\\\":\\\"canary-1-of-2\\\"} 2=2{\\\"note\\\":\\\"canary-2-of-3\\\"} "
        "4=2{\\\"note\\\":\\\"canary-4-of-2\\\"} 5=2{\\\"note\\\":\\\"canary-5-of-3\\\"}\"]]");
    assert_string_equal(rows_of(bench, "SELECT person, identifiers, traits FROM people"),
                        "[[2,[\"email:canary-visitor-2\",\"email:canary-visitor-3\"],"
                        "{\"mail\":\"canary-visitor-3\"}]]");
    assert_string_equal(rows_of(bench, "SELECT position FROM records WHERE verdict <> 'stored'"),
                        "[[13]]");
    for (size_t i = 0; i < sizeof gone / sizeof gone[0]; i++)
        assert_false(in_files(bench, gone[i]));
    assert_int_equal(warehouse_position(bench->warehouse), 14);
}

static void an_erased_person_is_in_no_byte_of_no_file(void **state)
{
    struct bench *bench = *state;
    struct err err;
    struct buf folder;
    uint64_t visitor = 1, extra = 12, *positions = NULL;
    size_t count = 0;
    people_add(bench);
    must(warehouse_positions_of(bench->warehouse, &visitor, 1, &positions, &count, &err), &err);
    assert_int_equal(count, 4);
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(positions[i], i * 3);
    free(positions);
    buf_init(&folder, 4096);
    must(warehouse_export(bench->warehouse, STR(""), STR(""), &folder, &err), &err);
    assert_int_equal(access(folder.p, F_OK), 0);
    assert_true(in_files(bench, "canary-visitor-1"));

    must(warehouse_erase(bench->warehouse, &visitor, 1, &extra, 1, &err), &err);
    check_erased(bench);
    assert_int_not_equal(access(folder.p, F_OK), 0);
    buf_done(&folder);
    bench_reopen(bench);
    check_erased(bench);
    assert_string_equal(rows_of(bench, "SELECT max(version) FROM m2026_12_v2.meta"), "[[2]]");
    add_event(bench, 14, 3, NOVEMBER + 40 * DAY); /* and the road goes on */
    commit(bench, 15, NOVEMBER + 40 * DAY);
    assert_string_equal(rows_of(bench, "SELECT person FROM events WHERE position = 14"), "[[2]]");
}

struct eraser {
    struct warehouse *warehouse;
    enum status status;
    bool done;
};

static void *eraser_main(void *argument)
{
    struct eraser *eraser = argument;
    for (uint64_t visitor = 100; visitor < 105 && eraser->status == ST_OK; visitor++)
        eraser->status = warehouse_erase(eraser->warehouse, &visitor, 1, NULL, 0, NULL);
    __atomic_store_n(&eraser->done, true, __ATOMIC_RELEASE);
    return NULL;
}

/* One thread erases five people, this one commits meanwhile, and asks. */
static void rows_committed_during_an_erase_are_kept(void **state)
{
    struct bench *bench = *state;
    struct eraser eraser = {.warehouse = bench->warehouse};
    pthread_t thread;
    uint64_t position = 0;
    for (; position < 20000; position++)
        add_event(bench, position, position % 1000 + 1, NOVEMBER);
    commit(bench, position, NOVEMBER);
    pthread_create(&thread, NULL, eraser_main, &eraser);
    while (!__atomic_load_n(&eraser.done, __ATOMIC_ACQUIRE)) {
        for (int i = 0; i < 50; i++, position++)
            add_event(bench, position, 7, NOVEMBER);
        commit(bench, position, NOVEMBER);
        char expected[64];
        snprintf(expected, sizeof expected, "[[%llu]]", (unsigned long long)position - 20000 + 20);
        assert_string_equal(rows_of(bench, "SELECT count(*) FROM events WHERE visitor = 7"),
                            expected);
    }
    pthread_join(thread, NULL);
    assert_int_equal(eraser.status, ST_OK);
    char expected[64];
    snprintf(expected, sizeof expected, "[[%llu,0]]", (unsigned long long)position - 100);
    const char *sql = "SELECT count(*), count(*) FILTER (WHERE visitor BETWEEN 100 AND 104) "
                      "FROM events";
    assert_string_equal(rows_of(bench, sql), expected);
    bench_reopen(bench);
    assert_string_equal(rows_of(bench, sql), expected);
    struct warehouse_stats stats;
    warehouse_stats(bench->warehouse, &stats);
    assert_int_equal(stats.events, position - 100);
}

/* Kill at a point of an erase or a new month; after the start all is as before or as after. */
static void killed_at(struct bench *bench, const char *point, void (*work)(struct bench *))
{
    warehouse_close(bench->warehouse);
    bench->warehouse = NULL;
    pid_t child = fork();
    if (child == 0) {
        setenv("CRASH_AT", point, 1);
        bench_open(bench);
        work(bench);
        _exit(0);
    }
    int how = 0;
    waitpid(child, &how, 0);
    assert_true(WIFSIGNALED(how) && WTERMSIG(how) == SIGKILL);
    bench_open(bench);
}

static void work_erase(struct bench *bench)
{
    struct err err;
    uint64_t visitor = 1, extra = 12;
    must(warehouse_erase(bench->warehouse, &visitor, 1, &extra, 1, &err), &err);
}

static void an_erase_that_is_killed_is_finished_by_doing_it_again(void **state)
{
    struct bench *bench = *state;
    static const char *const points[] = {"warehouse_rewrite_half",
                                         "warehouse_manifest_before", /* nothing is changed yet */
                                         "warehouse_manifest_after",  /* the first file is */
                                         "warehouse_rewrite_half",    /* now of the second file */
                                         "warehouse_manifest_after"};
    people_add(bench);
    for (size_t i = 0; i < sizeof points / sizeof points[0]; i++) {
        killed_at(bench, points[i], work_erase);
        assert_string_equal(rows_of(bench, "SELECT count(*) FROM events WHERE visitor <> 1"),
                            "[[8]]");
        assert_string_equal(rows_of(bench, "SELECT count(*) FROM events WHERE visitor = 1"),
                            i < 2   ? "[[4]]"
                            : i < 4 ? "[[2]]"
                                    : "[[0]]");
    }
    work_erase(bench);
    check_erased(bench);
}

static void work_month(struct bench *bench)
{
    add_event(bench, 14, 2, NOVEMBER + 70 * DAY);
    commit(bench, 15, NOVEMBER + 70 * DAY);
}

static void a_month_that_is_killed_while_beginning_begins_again(void **state)
{
    struct bench *bench = *state;
    static const char *const points[] = {"warehouse_rollover", "warehouse_manifest_before",
                                         "warehouse_manifest_after", "warehouse_commit_before"};
    people_add(bench);
    for (size_t i = 0; i < sizeof points / sizeof points[0]; i++) {
        killed_at(bench, points[i], work_month);
        assert_int_equal(warehouse_position(bench->warehouse), 14);
        assert_string_equal(
            rows_of(bench, "SELECT count(*), min(person) FILTER (WHERE visitor = 3) FROM events"),
            "[[12,2]]");
        warehouse_close(bench->warehouse);
        bench_open(bench);
    }
    killed_at(bench, "warehouse_commit_after", work_month);
    assert_int_equal(warehouse_position(bench->warehouse), 15);
    assert_string_equal(rows_of(bench, "SELECT person FROM events WHERE position = 14"), "[[2]]");
}

/* --- digest, export --------------------------------------------------------------------------- */

static struct hash128 digest_of(struct bench *bench)
{
    struct err err;
    struct hash128 sum;
    uint64_t rows = 0;
    must(warehouse_digest(bench->warehouse, &sum, &rows, &err), &err);
    assert_int_equal(rows, 20);
    return sum;
}

static void twenty_events(struct bench *bench, bool backwards)
{
    for (uint64_t i = 0; i < 20; i++) {
        uint64_t which = backwards ? 19 - i : i;
        char id[16];
        struct warehouse_event event = event_of(i, which % 4 + 1, NOVEMBER);
        snprintf(id, sizeof id, "m%llu", (unsigned long long)which);
        event.message_id = str_of(id);
        event.person = backwards ? event.visitor + 100 : event.visitor;
        warehouse_add_event(bench->warehouse, &event);
    }
    for (uint64_t v = 1; v <= 4; v++) {
        char value[16];
        snprintf(value, sizeof value, "v%llu", (unsigned long long)v);
        warehouse_add_visitor(bench->warehouse, v, backwards ? v + 100 : v, STR("device_id"),
                              str_of(value), v);
    }
    commit(bench, 20, NOVEMBER);
}

static void the_digest_knows_no_order_and_no_person_numbers(void **state)
{
    struct bench *bench = *state;
    twenty_events(bench, false);
    struct hash128 forwards = digest_of(bench);
    warehouse_add_override(bench->warehouse, 2, 1, 20);
    commit(bench, 21, NOVEMBER);
    struct hash128 merged = digest_of(bench);
    assert_false(hash128_eq(forwards, merged)); /* a merge shows … */
    warehouse_add_override(bench->warehouse, 2, 2, 21);
    commit(bench, 22, NOVEMBER);
    assert_true(hash128_eq(forwards, digest_of(bench))); /* … and its undo shows nothing */

    void *second_state = NULL;
    struct bench first = *bench;
    assert_int_equal(bench_setup(&second_state), 0);
    struct bench *second = second_state;
    twenty_events(second, true);
    struct hash128 backwards = digest_of(second);
    assert_int_equal(bench_teardown(&second_state), 0);
    *bench = first;
    assert_true(hash128_eq(forwards, backwards));
}

static void an_export_is_read_back_day_by_day(void **state)
{
    struct bench *bench = *state;
    struct err err;
    struct buf folder;
    char sql[400];
    for (uint64_t i = 0; i < 10; i++)
        add_event(bench, i, i + 1, NOVEMBER + (int64_t)i / 2 * DAY);
    commit(bench, 10, NOVEMBER);
    buf_init(&folder, 4096);
    must(warehouse_export(bench->warehouse, STR("2026-11-03"), STR("2026-11-05"), &folder, &err),
         &err);
    snprintf(sql, sizeof sql,
             "SELECT day, count(*) FROM read_parquet('%s/*/*.parquet', hive_partitioning = true, "
             "hive_types_autocast = false) GROUP BY 1 ORDER BY 1",
             folder.p);
    assert_string_equal(rows_of(bench, sql),
                        "[[\"2026-11-03\",2],[\"2026-11-04\",2],[\"2026-11-05\",2]]");
    assert_int_equal(warehouse_export(bench->warehouse, STR("2026'--"), STR(""), &folder, &err),
                     ST_INVALID);
    buf_done(&folder);
}

static void a_file_that_is_missing_is_damage(void **state)
{
    struct bench *bench = *state;
    char path[128], folder[96], exports[96];
    struct err err;
    struct warehouse *warehouse = NULL;
    add_event(bench, 0, 1, NOVEMBER);
    commit(bench, 1, NOVEMBER);
    warehouse_close(bench->warehouse);
    bench->warehouse = NULL;
    snprintf(path, sizeof path, "%s/warehouse/2026-11.duckdb", bench->folder);
    snprintf(folder, sizeof folder, "%s/warehouse", bench->folder);
    snprintf(exports, sizeof exports, "%s/export", bench->folder);
    assert_int_equal(unlink(path), 0);
    struct warehouse_options options = {folder, exports, &bench->disk, &bench->clock, 0, 1};
    assert_int_equal(warehouse_open(&options, &warehouse, &err), ST_CORRUPT);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, bench_setup, bench_teardown)

int sql_tests(void);

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(an_event_comes_back_with_all_its_columns),
        TEST(what_is_there_is_not_added_again),
        TEST(what_is_added_beside_a_commit_is_for_the_next),
        TEST(records_show_every_verdict),
        TEST(a_month_begins_a_file_that_knows_all_people),
        TEST(the_newest_override_wins_and_an_undo_is_one_more),
        TEST(a_long_tail_of_overrides_is_compacted),
        TEST(people_are_what_their_visitors_say),
        TEST(after_kill_there_is_exactly_what_was_acknowledged),
        TEST(a_commit_that_a_power_cut_tore_is_dropped),
        TEST(a_log_that_is_new_is_on_the_disk_with_its_name),
        TEST(a_full_disk_is_waited_out),
        TEST(an_erased_person_is_in_no_byte_of_no_file),
        TEST(rows_committed_during_an_erase_are_kept),
        TEST(an_erase_that_is_killed_is_finished_by_doing_it_again),
        TEST(a_month_that_is_killed_while_beginning_begins_again),
        TEST(the_digest_knows_no_order_and_no_person_numbers),
        TEST(an_export_is_read_back_day_by_day),
        TEST(a_file_that_is_missing_is_damage),
    };
    int failed = cmocka_run_group_tests_name("warehouse", tests, NULL, NULL);
    return failed + sql_tests();
}
