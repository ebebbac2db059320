/* audit_test.c - who did what is written before it counts, bounded, without names, and shows when
 * somebody changed it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>
#include <semaphore.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "access/audit.h"
#include "access/audit_int.h"
#include "base/disk.h"
#include "base/json.h"

#define START_US (INT64_C(1700000000) * US_PER_S)

static char folder[256], facts_path[300], owner_path[300];
static struct rng rng;
static struct clock now;
static struct facts *facts;
static struct access *people;
static struct audit *held;
static struct arena arena;
static int64_t records_max = 1000000;

static void open_all(void)
{
    struct err err;
    struct audit_options options = {.clock = &now,
                                    .secret = {{1, 2, 3}},
                                    .keep_us = 400 * US_PER_DAY,
                                    .records_max = records_max};
    if (facts_open(facts_path, &facts, &err) != ST_OK ||
        access_open(facts, &rng, &now, owner_path, &people, &err) != ST_OK)
        fail_msg("%s", err.message);
    options.facts = facts;
    if (audit_open(&options, &held, &err) != ST_OK)
        fail_msg("%s", err.message);
}

static void close_all(void)
{
    audit_close(held);
    access_close(people);
    facts_close(facts);
}

static int make_folder(void **unused)
{
    (void)unused;
    const char *tmp = getenv("TMPDIR");
    snprintf(folder, sizeof folder, "%s/hezou_audit_XXXXXX", tmp == NULL ? "/tmp" : tmp);
    if (mkdtemp(folder) == NULL)
        return -1;
    snprintf(facts_path, sizeof facts_path, "%s/facts.db", folder);
    snprintf(owner_path, sizeof owner_path, "%s/owner.key", folder);
    rng_init_seed(&rng, 3);
    clock_init_virtual(&now, START_US);
    arena_init(&arena);
    records_max = 1000000;
    open_all();
    return 0;
}

static int remove_folder(void **unused)
{
    (void)unused;
    close_all();
    arena_done(&arena);
    unlink(facts_path);
    unlink(owner_path);
    return rmdir(folder);
}

/* --- calls ------------------------------------------------------------------------------------ */

static struct audit_call call_of(enum audit_kind kind, const char *route)
{
    return (struct audit_call){
        .audit = held, .kind = kind, .key = STR("k_0123456789ab"), .method = "GET", .route = route};
}

static void read_person(const char *value)
{
    struct audit_call call = call_of(AUDIT_KIND_READ, "/people/{id}");
    audit_subject(&call, STR("email"), str_of(value));
    audit_end(&call, 200);
}

static int64_t change(int code)
{
    struct err err;
    struct audit_call call = call_of(AUDIT_KIND_CHANGE, "/keys");
    if (audit_begin(&call, &err) != ST_OK)
        fail_msg("%s", err.message);
    audit_object(&call, "k_new");
    audit_end(&call, code);
    return call.begun;
}

static void flush(void)
{
    struct err err;
    if (audit_flush(held, &err) != ST_OK)
        fail_msg("%s", err.message);
}

static yyjson_doc *list(struct audit_filter filter)
{
    struct buf json;
    struct err err;
    yyjson_doc *doc = NULL;
    buf_init(&json, (size_t)64 << 20);
    if (filter.limit == 0)
        filter.limit = AUDIT_PAGE_MAX;
    flush();
    if (audit_list(held, people, &filter, &json, &err) != ST_OK ||
        json_parse(NULL, buf_view(&json), &doc, &err) != ST_OK)
        fail_msg("%s", err.message);
    buf_done(&json);
    return doc;
}

static yyjson_val *records_of(yyjson_doc *doc)
{
    return yyjson_obj_get(yyjson_doc_get_root(doc), "records");
}

static size_t count_of(struct audit_filter filter)
{
    yyjson_doc *doc = list(filter);
    size_t count = yyjson_arr_size(records_of(doc));
    yyjson_doc_free(doc);
    return count;
}

static int64_t member(yyjson_val *record, const char *name)
{
    return yyjson_get_sint(yyjson_obj_get(record, name));
}

static enum status check(void)
{
    struct buf json;
    struct err err;
    buf_init(&json, 1 << 16);
    flush();
    enum status status = audit_check(held, &json, &err);
    buf_done(&json);
    return status;
}

/* --- what is written, and when ---------------------------------------------------------------- */

static void a_change_is_there_before_it_is_made_and_its_answer_before_it_leaves(void **unused)
{
    (void)unused;
    struct err err;
    struct audit_call call = call_of(AUDIT_KIND_CHANGE, "/keys");
    assert_int_equal(audit_begin(&call, &err), ST_OK);
    /* Another connection sees only what is on the disk. */
    sqlite3 *db = NULL;
    sqlite3_stmt *stmt = NULL;
    assert_int_equal(sqlite3_open(facts_path, &db), SQLITE_OK);
    assert_int_equal(
        sqlite3_prepare_v2(db, "SELECT count(*), max(status) FROM audit", -1, &stmt, 0), SQLITE_OK);
    assert_int_equal(sqlite3_step(stmt), SQLITE_ROW);
    assert_int_equal(sqlite3_column_int(stmt, 0), 1);
    assert_int_equal(sqlite3_column_int(stmt, 1), 0);
    sqlite3_reset(stmt);
    yyjson_doc *doc = list((struct audit_filter){0});
    assert_true(yyjson_is_null(yyjson_obj_get(yyjson_arr_get_first(records_of(doc)), "status")));
    yyjson_doc_free(doc);

    audit_object(&call, "k_made");
    call.position = 4711;
    clock_set_us(&now, START_US + US_PER_S);
    audit_end(&call, 201);
    assert_int_equal(sqlite3_step(stmt), SQLITE_ROW);
    assert_int_equal(sqlite3_column_int(stmt, 0), 2);
    assert_int_equal(sqlite3_column_int(stmt, 1), 201);
    sqlite3_finalize(stmt);
    sqlite3_close(db);

    doc = list((struct audit_filter){0});
    yyjson_val *record = yyjson_arr_get_first(records_of(doc));
    assert_int_equal(yyjson_arr_size(records_of(doc)), 1);
    assert_int_equal(member(record, "id"), call.begun);
    assert_int_equal(member(record, "status"), 201);
    assert_true(str_is(json_member_str(record, "object"), "k_made"));
    assert_true(str_is(json_member_str(record, "position"), "0:4711"));
    assert_true(str_is(json_member_str(record, "key"), "k_0123456789ab"));
    assert_true(str_is(json_member_str(record, "time"), "2023-11-14T22:13:20.000000Z"));
    assert_true(str_is(json_member_str(record, "answered"), "2023-11-14T22:13:21.000000Z"));
    yyjson_doc_free(doc);
}

static void equal_reads_of_a_moment_are_one_record_that_counts(void **unused)
{
    (void)unused;
    for (int i = 0; i < 100; i++) {
        read_person("a@shop.cn");
        read_person("b@shop.cn");
    }
    yyjson_doc *doc = list((struct audit_filter){0});
    int64_t times = 0;
    for (size_t i = 0; i < yyjson_arr_size(records_of(doc)); i++)
        times += member(yyjson_arr_get(records_of(doc), i), "times");
    /* The writer may have come in between, each second. */
    assert_in_range(yyjson_arr_size(records_of(doc)), 2, 199);
    assert_int_equal(times, 200);
    yyjson_doc_free(doc);
}

static void a_person_is_found_by_identifier_and_stands_nowhere_by_name(void **unused)
{
    (void)unused;
    read_person("zhang.canary@shop.cn");
    read_person("li.canary@shop.cn");
    const struct audit_filter zhang = {.type = STR("email"), .value = STR("zhang.canary@shop.cn")};
    assert_int_equal(count_of(zhang), 1);
    assert_int_equal(count_of((struct audit_filter){.type = STR("phone"), .value = zhang.value}),
                     0);
    close_all();
    struct disk disk;
    struct err err;
    char *bytes = NULL;
    size_t n = 0;
    disk_init(&disk);
    assert_int_equal(disk_read_file(&disk, facts_path, (size_t)64 << 20, &bytes, &n, &err), ST_OK);
    assert_null(memmem(bytes, n, "canary", 6));
    free(bytes);
    open_all();
    assert_int_equal(count_of(zhang), 1);
}

static void what_was_refused_leaves_no_number_of_a_stranger(void **unused)
{
    (void)unused;
    struct audit_call call = call_of(AUDIT_KIND_READ, "/lists/{id}/people");
    audit_object(&call, "%s", "13812345678");
    audit_end(&call, 404);
    yyjson_doc *doc = list((struct audit_filter){0});
    yyjson_val *record = yyjson_arr_get_first(records_of(doc));
    assert_int_equal(member(record, "status"), 404);
    assert_null(yyjson_obj_get(record, "object"));
    yyjson_doc_free(doc);
}

static void filters_and_pages_give_every_record_once(void **unused)
{
    (void)unused;
    for (int i = 0; i < 500; i++) {
        char value[32];
        snprintf(value, sizeof value, "p%d@shop.cn", i);
        read_person(value);
        if (i % 10 == 0)
            change(200);
        if (i % 100 == 50)
            clock_set_us(&now, START_US + i * US_PER_S);
    }
    int64_t before = 0, last = INT64_MAX;
    size_t total = 0;
    do {
        yyjson_doc *doc = list((struct audit_filter){.before = before, .limit = 7});
        size_t count = yyjson_arr_size(records_of(doc));
        for (size_t i = 0; i < count; i++) {
            int64_t id = member(yyjson_arr_get(records_of(doc), i), "id");
            assert_true(id < last);
            last = id;
        }
        total += count;
        before = member(yyjson_doc_get_root(doc), "next");
        yyjson_doc_free(doc);
    } while (before != 0);
    assert_int_equal(total, 550);
    assert_int_equal(count_of((struct audit_filter){.kind = AUDIT_KIND_CHANGE}), 50);
    assert_int_equal(count_of((struct audit_filter){.route = STR("/keys")}), 50);
    assert_int_equal(count_of((struct audit_filter){.key = STR("k_other")}), 0);
    /* Reads carry the moment at which they were ended, whenever they were written. */
    const int64_t cut_us = START_US + 150 * US_PER_S;
    assert_int_equal(count_of((struct audit_filter){.to_us = cut_us}) +
                         count_of((struct audit_filter){.from_us = cut_us}),
                     550);
    assert_int_equal(count_of((struct audit_filter){.to_us = cut_us}), 151 + 16);
}

/* --- full ------------------------------------------------------------------------------------- */

static sem_t go_on, stands;

static enum status stand_still(void *ctx, struct db *db, struct err *err)
{
    (void)ctx;
    (void)db;
    (void)err;
    sem_post(&stands);
    while (sem_wait(&go_on) != 0) {
    }
    return ST_OK;
}

static void *stand_main(void *unused)
{
    struct err err;
    (void)unused;
    assert_int_equal(facts_write(facts, stand_still, NULL, &err), ST_OK);
    return NULL;
}

static void reads_are_refused_when_their_records_have_no_place(void **unused)
{
    (void)unused;
    struct err err;
    pthread_t thread;
    sem_init(&go_on, 0, 0);
    sem_init(&stands, 0, 0);
    pthread_create(&thread, NULL, stand_main, NULL); /* nothing is written from here on */
    while (sem_wait(&stands) != 0) {
    }
    int reads = 0;
    for (; audit_room(held, &err) == ST_OK; reads++) {
        char value[32];
        snprintf(value, sizeof value, "p%d@shop.cn", reads);
        read_person(value);
    }
    assert_int_equal(reads, AUDIT_WAITING_MAX);
    assert_int_equal(err.status, ST_BUSY);
    sem_post(&go_on);
    pthread_join(thread, NULL);
    flush();
    assert_int_equal(audit_room(held, &err), ST_OK);
    struct audit_stats stats;
    audit_stats(held, &stats);
    assert_int_equal(stats.written, AUDIT_WAITING_MAX);
    assert_int_equal(stats.waiting, 0);
    assert_int_equal(check(), ST_OK);
    sem_destroy(&go_on);
    sem_destroy(&stands);
}

/* --- bounded ---------------------------------------------------------------------------------- */

static void old_records_go_and_their_numbers_never_come_again(void **unused)
{
    (void)unused;
    struct err err;
    int64_t first = change(200);
    for (int i = 0; i < 600; i++) {
        char value[32];
        snprintf(value, sizeof value, "p%d@shop.cn", i);
        read_person(value);
    }
    flush();
    clock_set_us(&now, START_US + 300 * US_PER_DAY);
    change(200);
    clock_set_us(&now, START_US + 401 * US_PER_DAY);
    assert_int_equal(count_of((struct audit_filter){0}), 1); /* decided when it is read … */
    assert_int_equal(audit_tidy(held, 100, &err), ST_OK);    /* … whenever it is swept */
    assert_int_equal(check(), ST_OK);
    clock_set_us(&now, START_US + 900 * US_PER_DAY);
    assert_int_equal(audit_tidy(held, 100, &err), ST_OK);
    assert_int_equal(count_of((struct audit_filter){0}), 0);
    assert_int_equal(check(), ST_OK);
    assert_true(change(200) >= first + 604);
    assert_int_equal(check(), ST_OK);
    close_all();
    open_all();
    assert_int_equal(check(), ST_OK);
}

static void too_many_reads_push_out_reads_and_nothing_else(void **unused)
{
    (void)unused;
    struct err err;
    close_all();
    records_max = 300;
    open_all();
    change(200);
    for (int i = 0; i < 1000; i++) {
        char value[32];
        snprintf(value, sizeof value, "p%d@shop.cn", i);
        read_person(value);
    }
    flush();
    assert_int_equal(audit_tidy(held, 100, &err), ST_OK);
    assert_int_equal(count_of((struct audit_filter){.kind = AUDIT_KIND_READ}), 300);
    assert_int_equal(count_of((struct audit_filter){.kind = AUDIT_KIND_CHANGE}), 1);
    assert_int_equal(
        count_of((struct audit_filter){.type = STR("email"), .value = STR("p999@shop.cn")}), 1);
    assert_int_equal(check(), ST_OK);
}

/* --- changed afterwards ----------------------------------------------------------------------- */

static void run(const char *sql)
{
    sqlite3 *db = NULL;
    char *why = NULL;
    assert_int_equal(sqlite3_open(facts_path, &db), SQLITE_OK);
    sqlite3_busy_timeout(db, 60000);
    if (sqlite3_exec(db, sql, NULL, NULL, &why) != SQLITE_OK)
        fail_msg("%s: %s", sql, why);
    if (strncmp(sql, "CREATE", 6) != 0)
        assert_int_not_equal(sqlite3_changes(db), 0);
    sqlite3_close(db);
}

/* One way of tampering, on the record with this id. */
static void tamper_sql(int way, int64_t id, char sql[512])
{
    static const char *const ways[] = {
        "UPDATE audit SET at_us = at_us + 1 WHERE id = %lld",
        "UPDATE audit SET key_id = 'k_ffffffffffff' WHERE id = %lld",
        "UPDATE audit SET method = 'PUT' WHERE id = %lld",
        "UPDATE audit SET route = route || 'x' WHERE id = %lld",
        "UPDATE audit SET subject = CASE WHEN length(subject) = 0 THEN x'00' ELSE x'' END"
        " WHERE id = %lld",
        "UPDATE audit SET object = 'other' WHERE id = %lld",
        "UPDATE audit SET detail = 'other' WHERE id = %lld",
        "UPDATE audit SET status = status + 1 WHERE id = %lld",
        "UPDATE audit SET times = times + 1 WHERE id = %lld",
        "UPDATE audit SET position = position + 1 WHERE id = %lld",
        "UPDATE audit SET answer_to = answer_to + 1 WHERE id = %lld",
        "UPDATE audit SET kind = kind %% 3 + 1 WHERE id = %lld",
        "UPDATE audit SET hash = zeroblob(32) WHERE id = %lld",
        "DELETE FROM audit WHERE id = %lld",
        "UPDATE audit SET id = 1000000 + id WHERE id = %lld",
        "INSERT INTO audit SELECT 2000000 + id, kind, answer_to, at_us, key_id, method, route,"
        " subject, object, detail, status, times, position, hash FROM audit WHERE id = %lld",
    };
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    snprintf(sql, 512, ways[way % (int)(sizeof ways / sizeof ways[0])], (long long)id);
#pragma GCC diagnostic pop
}

static void whatever_is_changed_removed_added_or_moved_is_found(void **unused)
{
    (void)unused;
    for (int i = 0; i < 20; i++) {
        char value[32];
        snprintf(value, sizeof value, "p%d@shop.cn", i);
        read_person(value);
        change(200);
    }
    assert_int_equal(check(), ST_OK);
    run("CREATE TABLE kept AS SELECT * FROM audit");
    run("CREATE TABLE kept_chain AS SELECT * FROM audit_chain");
    for (int i = 0; i < 1000; i++) {
        char sql[512];
        tamper_sql(i, (int64_t)(rng_u64(&rng) % 60 + 1), sql);
        run(sql);
        if (check() != ST_CORRUPT)
            fail_msg("not found: %s", sql);
        run("DELETE FROM audit; INSERT INTO audit SELECT * FROM kept");
    }
    assert_int_equal(check(), ST_OK);
    static const char *const ends[] = {
        "DELETE FROM audit WHERE id = (SELECT max(id) FROM audit WHERE kind = 1)",
        "UPDATE audit_chain SET records = records - 1 WHERE kind = 2",
        "UPDATE audit_chain SET last_id = last_id - 1 WHERE kind = 1",
        "UPDATE audit_chain SET before = zeroblob(31) || x'01' WHERE kind = 1",
        "UPDATE audit_chain SET seal = zeroblob(32) WHERE kind = 2",
        "DELETE FROM audit_chain WHERE kind = 1",
        "DELETE FROM audit",
    };
    for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++) {
        run(ends[i]);
        if (check() != ST_CORRUPT)
            fail_msg("not found: %s", ends[i]);
        run("DELETE FROM audit; INSERT INTO audit SELECT * FROM kept");
        run("DELETE FROM audit_chain; INSERT INTO audit_chain SELECT * FROM kept_chain");
        assert_int_equal(check(), ST_OK);
    }
}

static void what_comes_later_does_not_mend_a_chain_that_was_cut(void **unused)
{
    (void)unused;
    int64_t last = 0;
    for (int i = 0; i < 10; i++)
        last = change(200);
    assert_int_equal(check(), ST_OK);
    char sql[256];
    snprintf(sql, sizeof sql,
             "DELETE FROM audit WHERE id >= %lld; UPDATE audit_chain SET records = records - 2,"
             " last_id = %lld, last = (SELECT hash FROM audit WHERE id = %lld) WHERE kind = 1",
             (long long)last, (long long)last - 1, (long long)last - 1);
    run(sql);
    assert_int_equal(check(), ST_CORRUPT);
    change(200);
    assert_int_equal(check(), ST_CORRUPT);
    close_all();
    open_all();
    change(200);
    assert_int_equal(check(), ST_CORRUPT);
}

/* --- many at once ----------------------------------------------------------------------------- */

static void *many_main(void *ctx)
{
    for (int i = 0; i < 50; i++) {
        char value[64];
        snprintf(value, sizeof value, "%s%d@shop.cn", (const char *)ctx, i);
        read_person(value);
        change(200);
    }
    return NULL;
}

static void many_threads_make_one_chain(void **unused)
{
    (void)unused;
    static char names[4][8] = {"a", "b", "c", "d"};
    pthread_t threads[4];
    for (int i = 0; i < 4; i++)
        pthread_create(&threads[i], NULL, many_main, names[i]);
    for (int i = 0; i < 20; i++)
        assert_int_equal(check(), ST_OK);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(check(), ST_OK);
    assert_int_equal(count_of((struct audit_filter){.kind = AUDIT_KIND_CHANGE}), 200);
    assert_int_equal(count_of((struct audit_filter){.kind = AUDIT_KIND_READ}), 200);
}

/* --- SQL -------------------------------------------------------------------------------------- */

static void a_statement_is_kept_without_what_it_asked_for(void **unused)
{
    (void)unused;
    static const struct {
        const char *sql, *shape;
    } cases[] = {
        {"SELECT count(*) FROM events", "SELECT count(*) FROM events"},
        {"SELECT *  FROM people\n WHERE email = 'a''b@c.cn'",
         "SELECT * FROM people WHERE email = ?"},
        {"SELECT 13812345678, 1.5e10, 0x1F AS a1", "SELECT ?, ?, ? AS a1"},
        {"SELECT \"Zhang \"\"San\" FROM x -- 张三\nLIMIT 1", "SELECT ? FROM x ? LIMIT ?"},
        {"SELECT /* a /* b */ c */ 1", "SELECT ? ?"},
        {"SELECT $$a'b$$, $t$ $$ $t$, $1", "SELECT ?, ?, ?"},
        {"SELECT 张三, a张, \xff", "SELECT ?, ?, ?"},
        {"SELECT 'open", "SELECT ?"},
        {"SELECT /* open", "SELECT ?"},
        {"a->>'$.phone' = e'\\x'", "a->>? = e?"},
        {"", ""},
        {"$", "?"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct str shape = audit_shape(str_of(cases[i].sql), &arena);
        if (!str_is(shape, cases[i].shape))
            fail_msg("%s: " STR_FMT, cases[i].sql, STR_ARG(shape));
    }
    char *many = mem_alloc(100000);
    memset(many, 'x', 100000);
    for (int i = 0; i < 100000; i += 5)
        many[i] = ',';
    assert_in_range(audit_shape((struct str){many, 100000}, &arena).n, AUDIT_DETAIL_BYTES - 8,
                    AUDIT_DETAIL_BYTES);
    free(many);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, make_folder, remove_folder)
    const struct CMUnitTest tests[] = {
        TEST(a_change_is_there_before_it_is_made_and_its_answer_before_it_leaves),
        TEST(equal_reads_of_a_moment_are_one_record_that_counts),
        TEST(a_person_is_found_by_identifier_and_stands_nowhere_by_name),
        TEST(what_was_refused_leaves_no_number_of_a_stranger),
        TEST(filters_and_pages_give_every_record_once),
        TEST(reads_are_refused_when_their_records_have_no_place),
        TEST(old_records_go_and_their_numbers_never_come_again),
        TEST(too_many_reads_push_out_reads_and_nothing_else),
        TEST(whatever_is_changed_removed_added_or_moved_is_found),
        TEST(what_comes_later_does_not_mend_a_chain_that_was_cut),
        TEST(many_threads_make_one_chain),
        TEST(a_statement_is_kept_without_what_it_asked_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
