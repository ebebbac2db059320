/* warehouse_sql_test.c - what a person's SQL may do, and what it may not. */
#include "warehouse/warehouse_test.h"

#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/json.h"

static enum status run(struct bench *bench, const char *sql, const struct warehouse_limits *limits,
                       struct err *err)
{
    buf_reset(&bench->json);
    return warehouse_sql(bench->warehouse, str_of(sql), limits, &bench->json, err);
}

static int setup(void **state)
{
    int failed = bench_setup(state);
    struct bench *bench = *state;
    for (uint64_t i = 0; i < 100; i++) {
        struct warehouse_event event = event_of(i, i % 10 + 1, NOVEMBER);
        warehouse_add_event(bench->warehouse, &event);
    }
    warehouse_add_visitor(bench->warehouse, 1, 1, STR("email"), STR("a@b.c"), 1);
    commit(bench, 100, NOVEMBER);
    return failed;
}

static void honest_questions_are_answered(void **state)
{
    static const char *const sqls[] = {
        "SELECT count(*) FROM events",
        "FROM events LIMIT 1;",
        "SELECT name, count(*) FROM Events GROUP BY 1 ORDER BY 2 DESC",
        "WITH w AS (SELECT person FROM events) SELECT count(DISTINCT person) FROM w",
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5) SELECT sum(i) "
        "FROM n",
        "SELECT * FROM people p LEFT JOIN events e ON e.person = p.person",
        "SELECT verdict, count(*) FROM records GROUP BY ALL",
        "SELECT json_extract_string(properties, '$.a') FROM events",
        "SELECT * FROM range(3), generate_series(1, 2), unnest([1, 2])",
        "SELECT unnest([1, 2]), {'a': 1}, [x + 1 FOR x IN [1, 2]], map(['k'], [2])",
        "SELECT person, row_number() OVER (PARTITION BY person ORDER BY time) FROM events QUALIFY "
        "row_number() OVER () < 3",
        "SELECT * FROM (VALUES (1, 'a'), (2, 'b')) AS t(x, y) UNION ALL SELECT 3, 'c' ORDER BY 1",
        "SELECT date_trunc('day', time) AS d, current_date FROM events GROUP BY ALL HAVING "
        "count(*) > 1",
        "SELECT * FROM events PIVOT (count(*) FOR name IN ('Order Completed', 'x'))",
        "SELECT EXISTS (FROM events WHERE person = 1), time AT TIME ZONE 'Asia/Shanghai' FROM "
        "events",
        "SELECT a.position FROM events a ASOF JOIN events b ON a.person = b.person AND a.time >= "
        "b.time",
        "SELECT 'events; DROP TABLE events' -- not two",
    };
    struct bench *bench = *state;
    for (size_t i = 0; i < sizeof sqls / sizeof sqls[0]; i++) {
        struct err err = {0};
        yyjson_doc *doc = NULL;
        if (run(bench, sqls[i], NULL, &err) != ST_OK)
            fail_msg("%s: %s", sqls[i], err.message);
        assert_int_equal(json_parse(NULL, buf_view(&bench->json), &doc, &err), ST_OK);
        yyjson_doc_free(doc);
    }
}

static void hostile_statements_are_refused(void **state)
{
    static const char *const sqls[] = {
        "",
        ";",
        "SELEC 1",
        "SELECT 1; SELECT 2",
        "SELECT 1; DROP VIEW events",
        "COPY events TO '/tmp/x.csv'",
        "COPY (SELECT 1) TO '/tmp/x.csv'",
        "COPY events FROM '/etc/passwd'",
        "ATTACH '/tmp/x.duckdb' AS x",
        "DETACH m2026_11",
        "USE m2026_11",
        "PRAGMA database_list",
        "PRAGMA table_info('events')",
        "CALL duckdb_tables()",
        "SHOW TABLES",
        "DESCRIBE events",
        "SUMMARIZE events",
        "SELECT * FROM (DESCRIBE events)",
        "SELECT * FROM (SHOW ALL TABLES)",
        "EXPLAIN SELECT 1",
        "EXPLAIN ANALYZE SELECT 1",
        "SET memory_limit = '10GB'",
        "RESET lock_configuration",
        "INSTALL httpfs",
        "LOAD httpfs",
        "CREATE TABLE t (a INT)",
        "CREATE TEMP TABLE t AS SELECT 1",
        "CREATE OR REPLACE VIEW events AS SELECT 1",
        "CREATE MACRO f(x) AS x",
        "DROP VIEW events",
        "INSERT INTO events VALUES (1)",
        "UPDATE m2026_11.event SET person = 0",
        "DELETE FROM m2026_11.event",
        "WITH w AS (DELETE FROM m2026_11.event RETURNING *) SELECT * FROM w",
        "BEGIN",
        "COMMIT",
        "CHECKPOINT",
        "EXPORT DATABASE '/tmp/x'",
        "PREPARE p AS SELECT 1",
        "EXECUTE p",
        "SELECT * FROM read_csv('/etc/passwd')",
        "SELECT * FROM read_text('/etc/passwd')",
        "SELECT * FROM read_parquet('x.parquet')",
        "SELECT * FROM glob('/*')",
        "SELECT * FROM '/etc/passwd'",
        "SELECT * FROM 'file.csv'",
        "SELECT * FROM \"2026-11.duckdb\"",
        "WITH \"a.parquet\" AS (SELECT 1) SELECT * FROM \"a.parquet\"",
        "SELECT * FROM duckdb_tables()",
        "SELECT * FROM duckdb_settings()",
        "SELECT * FROM duckdb_secrets()",
        "SELECT * FROM duckdb_tables",
        "SELECT * FROM sqlite_master",
        "SELECT * FROM information_schema.tables",
        "SELECT * FROM pg_catalog.pg_class",
        "SELECT * FROM event",
        "SELECT * FROM person_override",
        "SELECT * FROM m2026_11.event",
        "SELECT * FROM m2026_11.main.event",
        "SELECT * FROM raw.event",
        "SELECT * FROM none.event",
        "SELECT * FROM main.events",
        "SELECT * FROM memory.main.events",
        "SELECT * FROM query('SELECT 1')",
        "SELECT * FROM query_table('events')",
        "SELECT (SELECT count(*) FROM read_text('/etc/passwd'))",
        "SELECT 1 WHERE EXISTS (SELECT 1 FROM raw.event)",
        "SELECT * FROM events WHERE person IN (SELECT oid FROM duckdb_tables())",
        "WITH w AS (SELECT * FROM raw.event) SELECT * FROM w",
        "WITH x AS (WITH duckdb_tables AS (SELECT 1) SELECT 1) SELECT * FROM duckdb_tables",
        "WITH x AS (WITH sqlite_master AS (SELECT 1) SELECT 1) SELECT * FROM sqlite_master",
        "SELECT * FROM events UNION ALL SELECT * FROM raw.event",
        "SELECT * FROM events, LATERAL (SELECT * FROM glob('*'))",
        "SELECT getenv('HOME')",
        "SELECT main.getenv('HOME')",
        "SELECT 'HOME'.getenv()",
        "SELECT current_setting('temp_directory')",
        "SELECT list_transform(['temp_directory'], x -> current_setting(x))",
        "SELECT count(*) FROM events GROUP BY current_setting('threads')",
        "SELECT person FROM events ORDER BY current_setting('threads')",
        "SELECT sum(1) FILTER (WHERE current_setting('threads') = 1) FROM events",
        "SELECT getvariable('x')",
        "SELECT nextval('s')",
        "SELECT current_query()",
        "SELECT sleep_ms(1000)",
        "SELECT write_log('x')",
        "SELECT pg_get_viewdef('events')",
        "SELECT json_serialize_plan('SELECT * FROM raw.event')",
        "SELECT * FROM json_execute_serialized_sql(json_serialize_sql('SELECT 1'))",
        "SELECT * FROM pragma_table_info('events')",
        "SELECT * FROM seq_scan('event')",
        "SELECT * FROM summary((SELECT 1))",
        "SELECT * FROM repeat_row(1, num_rows = 10)",
        "SELECT $1",
        "PIVOT events ON name USING count(*)",
        "FROM events SELECT person INTO OUTFILE 'x'",
    };
    struct bench *bench = *state;
    assert_true(sizeof sqls / sizeof sqls[0] >= 40);
    for (size_t i = 0; i < sizeof sqls / sizeof sqls[0]; i++) {
        struct err err = {0};
        enum status status = run(bench, sqls[i], NULL, &err);
        if (status != ST_INVALID)
            fail_msg("%s: %s %s", sqls[i], status_name(status), bench->json.p);
        assert_int_equal(bench->json.n, 0);
        assert_true(err.message[0] != '\0');
    }
    struct err err;
    assert_int_equal(run(bench, "SELECT count(*) FROM events", NULL, &err),
                     ST_OK); /* all is still there */
}

static void every_table_of_the_engine_has_a_name_that_is_refused(void **state)
{
    struct bench *bench = *state;
    assert_string_equal(
        rows_of(bench, "SELECT view_name FROM duckdb_views() WHERE database_name = 'system' AND "
                       "schema_name = 'main' "
                       "AND NOT regexp_matches(view_name, '^(duckdb_|sqlite_|pragma_|pg_)')"),
        "[]");
}

static void depth_is_no_weapon(void **state)
{
    struct bench *bench = *state;
    struct buf sql;
    struct err err;
    buf_init(&sql, 65536);
    for (int kind = 0; kind < 3; kind++) {
        buf_reset(&sql);
        buf_text(&sql, "SELECT ");
        for (int i = 0; i < 9000; i++)
            buf_text(&sql, kind == 0 ? "(" : kind == 1 ? "1+" : "[");
        buf_text(&sql, "1");
        for (int i = 0; i < 9000; i++)
            buf_text(&sql, kind == 0 ? ")" : kind == 1 ? "" : "]");
        enum status status = run(bench, sql.p, NULL, &err);
        assert_true(status == ST_INVALID || status == ST_OK);
    }
    buf_reset(&sql);
    for (int i = 0; i < 65000; i++)
        buf_char(&sql, ' ');
    buf_text(&sql, "SELECT 1");
    for (int i = 0; i < 500; i++)
        buf_char(&sql, ' ');
    assert_int_equal(run(bench, sql.p, NULL, &err), ST_OK);
    buf_done(&sql);
    static char long_text[(64 << 10) + 2];
    memset(long_text, ' ', sizeof long_text - 1);
    assert_int_equal(run(bench, long_text, NULL, &err), ST_TOO_LARGE);
    assert_int_equal(
        warehouse_sql(bench->warehouse, (struct str){"SELECT\0 1", 9}, NULL, &bench->json, &err),
        ST_INVALID);
}

static void time_is_limited(void **state)
{
    struct bench *bench = *state;
    struct err err;
    struct warehouse_limits limits = {.time_us = 200000};
    int64_t start_us = monotonic_us();
    assert_int_equal(run(bench,
                         "SELECT count(*) FROM range(100000) a, range(100000) b, range(1000) c "
                         "WHERE a.range * b.range % 7 = c.range",
                         &limits, &err),
                     ST_TIMEOUT);
    assert_true(monotonic_us() - start_us < 5000000);
    assert_int_equal(run(bench, "SELECT range FROM range(100000000000)",
                         &(struct warehouse_limits){.time_us = 200000,
                                                    .rows_max = UINT64_MAX,
                                                    .bytes_max = (size_t)1 << 40},
                         &err),
                     ST_TIMEOUT);
    assert_int_equal(run(bench, "SELECT 1", &limits, &err), ST_OK);
}

static void rows_and_bytes_are_limited(void **state)
{
    struct bench *bench = *state;
    struct err err;
    struct warehouse_limits limits = {.rows_max = 5};
    assert_int_equal(run(bench, "SELECT range FROM range(100000000000)", &limits, &err), ST_OK);
    assert_non_null(
        strstr(bench->json.p, "\"rows\":[[0],[1],[2],[3],[4]],\"row_count\":5,\"truncated\":true"));
    limits = (struct warehouse_limits){.bytes_max = 1000};
    assert_int_equal(run(bench, "SELECT range FROM range(100000000000)", &limits, &err), ST_OK);
    assert_non_null(strstr(bench->json.p, "\"truncated\":true"));
    assert_true(bench->json.n < 1300);
    limits = (struct warehouse_limits){.rows_max = 100};
    assert_int_equal(run(bench, "SELECT position FROM events", &limits, &err), ST_OK);
    assert_non_null(strstr(bench->json.p, "\"row_count\":100,\"truncated\":false"));
}

static void an_error_in_a_late_row_is_an_error(void **state)
{
    struct bench *bench = *state;
    struct err err;
    assert_int_equal(
        run(bench,
            "SELECT CASE WHEN range = 70000 THEN error('late') ELSE range END FROM range(90000)",
            NULL, &err),
        ST_INVALID);
    assert_int_equal(bench->json.n, 0);
}

static void every_type_has_its_form(void **state)
{
    struct bench *bench = *state;
    struct err err;
    assert_int_equal(
        run(bench,
            "SELECT 18446744073709551615::UBIGINT a, "
            "'-170141183460469231731687303715884105728'::HUGEINT b, 0.000001::DECIMAL(18,6) c, "
            "-12.5::DECIMAL(4,1) d, 0.1::DOUBLE e, 'nan'::DOUBLE f, 1.5::FLOAT g, DATE "
            "'0044-03-15' h, TIME '01:02:03.5' i, "
            "TIMESTAMP '1969-12-31 23:59:59.999999' j, [1, NULL] k, {'a': 'x\"'} l, map(['k'], "
            "[1]) m, '{\"z\":[1]}'::JSON n, "
            "true o, NULL p, '00000000-0000-4000-8000-000000000001'::UUID q, 'infinity'::TIMESTAMP "
            "r, "
            "array_value(1, 2) s, 12345678901234567890.5::DECIMAL(38,1) t, INTERVAL '1 month 2 "
            "days 3.5 seconds' u, TIMESTAMPTZ '2026-11-02 12:00:00+08' v",
            NULL, &err),
        ST_OK);
    assert_non_null(strstr(
        bench->json.p, "[[18446744073709551615,-170141183460469231731687303715884105728,0.000001,-"
                       "12.5,0.1,null,1.5,"
                       "\"0044-03-15\",\"01:02:03.500000\",\"1969-12-31T23:59:59.999999Z\",[1,null]"
                       ",{\"a\":\"x\\\"\"},"
                       "{\"k\":1},{\"z\":[1]},true,null,\"00000000-0000-4000-8000-000000000001\","
                       "\"infinity\",[1,2],"
                       "12345678901234567890.5,\"P1M2DT3.500000S\",\"2026-11-02T04:00:00Z\"]]"));
    assert_non_null(strstr(bench->json.p, "{\"name\":\"l\",\"type\":\"STRUCT(a VARCHAR)\"}"));
    assert_non_null(strstr(bench->json.p, "{\"name\":\"k\",\"type\":\"INTEGER[]\"}"));
    assert_int_equal(run(bench, "SELECT '\\x00'::BLOB", NULL, &err), ST_INVALID);
    assert_int_equal(run(bench, "SELECT [[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]", NULL, &err),
                     ST_INVALID);
}

struct query {
    struct bench *bench;
    enum status status;
};

static void *query_main(void *argument)
{
    static const char sql[] = "SELECT count(*) FROM range(100000) a, range(100000) b "
                              "WHERE a.range * b.range % 7 = 9";
    struct query *query = argument;
    struct buf json;
    struct err err;
    struct warehouse_limits limits = {.time_us = 2500000};
    buf_init(&json, 1 << 20);
    do /* the test's own question may have had the slot for a moment */
        query->status = warehouse_sql(query->bench->warehouse, str_of(sql), &limits, &json, &err);
    while (query->status == ST_BUSY);
    buf_done(&json);
    return NULL;
}

static void the_third_at_once_is_told_to_wait(void **state)
{
    struct bench *bench = *state;
    struct err err;
    struct query queries[2] = {{bench, ST_OK}, {bench, ST_OK}};
    pthread_t threads[2];
    for (size_t i = 0; i < 2; i++)
        pthread_create(&threads[i], NULL, query_main, &queries[i]);
    enum status status = ST_OK;
    int64_t until_us = monotonic_us() + 2400000;
    while (status != ST_BUSY && monotonic_us() < until_us) {
        sched_yield(); /* each of our tries has a slot for a moment, which the others need */
        status = run(bench, "SELECT 1", NULL, &err);
    }
    buf_reset(&bench->json);
    enum status own = warehouse_query(bench->warehouse, "SELECT count(*) FROM events", NULL, 0,
                                      &bench->json, &err);
    for (size_t i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(status, ST_BUSY);
    assert_int_equal(own, ST_OK); /* our own goes on meanwhile */
    for (size_t i = 0; i < 2; i++)
        assert_int_equal(queries[i].status, ST_TIMEOUT);
    assert_int_equal(run(bench, "SELECT 1", NULL, &err), ST_OK);
}

static void our_own_takes_parameters_as_text(void **state)
{
    struct bench *bench = *state;
    struct err err;
    struct str params[] = {STR("3"), STR("it's")};
    buf_reset(&bench->json);
    assert_int_equal(
        warehouse_query(bench->warehouse,
                        "SELECT count(*), $2 FROM events WHERE person = CAST($1 AS UBIGINT)",
                        params, 2, &bench->json, &err),
        ST_OK);
    assert_non_null(strstr(bench->json.p, "\"rows\":[[10,\"it's\"]]"));
    assert_int_equal(
        warehouse_query(bench->warehouse, "SELECT nonsense", NULL, 0, &bench->json, &err), ST_IO);
}

struct committer {
    struct bench *bench;
    bool done; /* atomic */
};

static void *committer_main(void *argument)
{
    struct committer *committer = argument;
    for (uint64_t i = 0; i < 1500; i++) {
        uint64_t position = warehouse_position(committer->bench->warehouse);
        struct warehouse_event event = event_of(position, 3, NOVEMBER);
        warehouse_add_event(committer->bench->warehouse, &event);
        commit(committer->bench, position + 1, NOVEMBER);
    }
    __atomic_store_n(&committer->done, true, __ATOMIC_RELEASE);
    return NULL;
}

/* All rows met the bound when the question was planned; some that came since do not. */
static void a_bound_holds_beside_commits(void **state)
{
    struct bench *bench = *state;
    struct committer committer = {bench, false};
    pthread_t thread;
    char sql[96], wanted[32];
    int wrong = 0;
    uint64_t before = warehouse_position(bench->warehouse);
    uint64_t rows = strtoull(rows_of(bench, "SELECT count(*) FROM events") + 2, NULL, 10);
    pthread_create(&thread, NULL, committer_main, &committer);
    while (!__atomic_load_n(&committer.done, __ATOMIC_ACQUIRE)) {
        uint64_t position = warehouse_position(bench->warehouse);
        snprintf(sql, sizeof sql, "SELECT count(*) FROM events WHERE position < %llu",
                 (unsigned long long)position);
        snprintf(wanted, sizeof wanted, "[[%llu]]", (unsigned long long)(rows + position - before));
        wrong += strcmp(rows_of(bench, sql), wanted) != 0;
    }
    pthread_join(thread, NULL);
    assert_int_equal(wrong, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, bench_teardown)

int sql_tests(void);

int sql_tests(void)
{
    const struct CMUnitTest tests[] = {
        TEST(honest_questions_are_answered),
        TEST(hostile_statements_are_refused),
        TEST(every_table_of_the_engine_has_a_name_that_is_refused),
        TEST(depth_is_no_weapon),
        TEST(time_is_limited),
        TEST(rows_and_bytes_are_limited),
        TEST(an_error_in_a_late_row_is_an_error),
        TEST(every_type_has_its_form),
        TEST(the_third_at_once_is_told_to_wait),
        TEST(our_own_takes_parameters_as_text),
        TEST(a_bound_holds_beside_commits),
    };
    return cmocka_run_group_tests_name("warehouse_sql", tests, NULL, NULL);
}
