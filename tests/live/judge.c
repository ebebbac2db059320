/* judge.c - the engine that random.c asks, as a process of its own.
 *
 * Planning and running the SQL is most of the random test's time, and three times as much under a
 * sanitizer, which has nothing to look at there. So the engine lives in a program that is built
 * without one, and works while the report is being answered.
 *
 * In: SQL, each with a zero byte at its end. Out: for each SQL its rows, "KEY#NAME<tab>NUMBER" for
 * each number of a row (its first column is the key, the others are numbers with names), then an
 * empty line; or "error" and the engine's words as one line, then the end. */
#include <duckdb.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void rows_put(duckdb_result *result)
{
    for (idx_t row = 0; row < duckdb_row_count(result); row++) {
        char *key = duckdb_value_varchar(result, 0, row);
        for (idx_t c = 1; c < duckdb_column_count(result); c++)
            if (!duckdb_value_is_null(result, c, row))
                printf("%s#%s\t%.17g\n", key, duckdb_column_name(result, c),
                       duckdb_value_double(result, c, row));
        duckdb_free(key);
    }
    puts("");
}

static bool answer(duckdb_connection connection, const char *sql)
{
    duckdb_result result;
    bool good = duckdb_query(connection, sql, &result) == DuckDBSuccess;
    if (good) {
        rows_put(&result);
    } else {
        printf("error ");
        for (const char *words = duckdb_result_error(&result); *words != '\0'; words++)
            putchar(*words == '\n' ? ' ' : *words);
        puts("");
    }
    fflush(stdout);
    duckdb_destroy_result(&result);
    return good;
}

int main(void)
{
    char *sql = NULL;
    size_t size = 0;
    bool good = true;
    duckdb_database database;
    duckdb_connection connection;
    if (duckdb_open(NULL, &database) != DuckDBSuccess ||
        duckdb_connect(database, &connection) != DuckDBSuccess)
        return 1;
    while (good && getdelim(&sql, &size, '\0', stdin) > 0)
        good = answer(connection, sql);
    free(sql);
    duckdb_disconnect(&connection);
    duckdb_close(&database);
    return good ? 0 : 1;
}
