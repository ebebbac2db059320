/* warehouse_parquet_test.c - a Parquet file gives its values as texts, whatever it is called, and
 * the engine that reads it can open nothing else. */
#include "warehouse/parquet.h"

#include <duckdb.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

static char path[200];

/* A file whose name holds a quote and what the engine takes for patterns. */
static int file_make(void **state)
{
    (void)state;
    char plain[160], sql[1000];
    const char *tmp = getenv("TMPDIR");
    duckdb_database database;
    duckdb_connection connection;
    snprintf(plain, sizeof plain, "%s/parquet_test_%d", tmp == NULL ? "/tmp" : tmp, (int)getpid());
    snprintf(path, sizeof path, "%s it's [1]*?.parquet", plain);
    snprintf(sql, sizeof sql,
             "COPY (SELECT range AS \"Id\", range / 8 AS x, 0.1 + range AS tenth, "
             "TIMESTAMP '2026-11-24 10:00:00.5' + INTERVAL (range) DAY AS t, "
             "CASE WHEN range = 1 THEN NULL ELSE '渠道 ' || range END AS text "
             "FROM range(10000)) TO '%s' (FORMAT parquet, ROW_GROUP_SIZE 2048)",
             plain);
    if (duckdb_open(NULL, &database) != DuckDBSuccess ||
        duckdb_connect(database, &connection) != DuckDBSuccess)
        return 1;
    int failed = duckdb_query(connection, sql, NULL) != DuckDBSuccess;
    duckdb_disconnect(&connection);
    duckdb_close(&database);
    return failed != 0 || rename(plain, path) != 0;
}

static int file_remove(void **state)
{
    (void)state;
    return unlink(path);
}

static void values_are_texts_in_the_order_of_the_file(void **state)
{
    (void)state;
    struct warehouse_parquet parquet;
    struct err err = {0};
    if (warehouse_parquet_read(path, 1000000, (size_t)1 << 24, &parquet, &err) != ST_OK)
        fail_msg("%s", err.message);
    assert_int_equal(parquet.columns, 5);
    assert_int_equal(parquet.rows, 10000);
    static const char *const want[3][5] = {
        {"Id", "x", "tenth", "t", "text"},
        {"0", "0.0", "0.1", "2026-11-24 10:00:00.5", "渠道 0"},
        {"1", "0.125", "1.1", "2026-11-25 10:00:00.5", ""},
    };
    for (size_t row = 0; row < 3; row++)
        for (size_t i = 0; i < 5; i++)
            assert_true(str_is(parquet.cells[row * 5 + i], want[row][i]));
    for (size_t row = 0; row < parquet.rows; row++)
        assert_int_equal(strtoull(parquet.cells[(row + 1) * 5].p, NULL, 10), row);
    warehouse_parquet_done(&parquet);
}

static void what_cannot_be_read_is_said_by_name(void **state)
{
    (void)state;
    struct warehouse_parquet parquet;
    struct err err;
    assert_int_equal(warehouse_parquet_read("/nowhere/x", 10, 10, &parquet, &err), ST_NOT_FOUND);
    assert_int_equal(warehouse_parquet_read("/", 10, 10, &parquet, &err), ST_INVALID);
    assert_int_equal(
        warehouse_parquet_read("src/warehouse/parquet.h", 1000, 100000, &parquet, &err),
        ST_INVALID);
    assert_non_null(strstr(err.message, "could not read \"src/warehouse/parquet.h\": "));
    assert_int_equal(warehouse_parquet_read(path, 999, (size_t)1 << 24, &parquet, &err),
                     ST_TOO_LARGE);
    assert_int_equal(warehouse_parquet_read(path, 1000000, 1000, &parquet, &err), ST_TOO_LARGE);
    assert_non_null(strstr(err.message, "more than 1000000 cells or 1000 bytes"));
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_are_texts_in_the_order_of_the_file),
        cmocka_unit_test(what_cannot_be_read_is_said_by_name),
    };
    return cmocka_run_group_tests(tests, file_make, file_remove);
}
