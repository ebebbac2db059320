/* random.c - 10,000 random live reports on random histories that came through the road, each equal
 * to DuckDB SQL over the view `events`.
 *
 *   random_live [HISTORIES] [REPORTS] [SEED]     8 histories, 10,000 reports
 *
 * A history is sent in parts with reports in between, so that they meet a base, deltas, merges of
 * people and their undoing. The view's rows are copied into an engine of the test's own, where a
 * question is a millisecond. A number is also asked for its people. The last line says how many
 * differed; the first ones are shown with their question and their SQL. */
#include "random.h"

#include <duckdb.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/check.h"
#include "base/json.h"

#define PARTS 4
#define SHOWN 5
#define WORKERS 2

struct pair {
    char key[128];
    double value;
};

struct pairs {
    struct pair *list;
    size_t count, capacity;
};

struct test {
    struct world world;
    duckdb_database database;
    duckdb_connection connection;
    struct question question;
    struct pairs want, got;
    unsigned limit, reports, differences, cells, refused;
};

/* --- keys and values -------------------------------------------------------------------------- */

static void pair_add(struct pairs *pairs, double value, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static void pair_add(struct pairs *pairs, double value, const char *format, ...)
{
    va_list args;
    if (value == 0 || !isfinite(value))
        return; /* what nobody did is no row in SQL */
    if (pairs->count == pairs->capacity) {
        pairs->capacity = pairs->capacity == 0 ? 64 : pairs->capacity * 2;
        pairs->list = mem_grow(pairs->list, pairs->capacity * sizeof *pairs->list);
    }
    va_start(args, format);
    vsnprintf(pairs->list[pairs->count].key, sizeof pairs->list->key, format, args);
    va_end(args);
    pairs->list[pairs->count++].value = value;
}

static int pair_order(const void *a, const void *b)
{
    return strcmp(((const struct pair *)a)->key, ((const struct pair *)b)->key);
}

static bool pairs_equal(struct pairs *a, struct pairs *b, char *ret_first, size_t size)
{
    qsort(a->list, a->count, sizeof *a->list, pair_order);
    qsort(b->list, b->count, sizeof *b->list, pair_order);
    for (size_t i = 0; i < a->count || i < b->count; i++) {
        const struct pair *x = i < a->count ? &a->list[i] : NULL;
        const struct pair *y = i < b->count ? &b->list[i] : NULL;
        if (x != NULL && y != NULL && strcmp(x->key, y->key) == 0 &&
            fabs(x->value - y->value) <= 1e-9 * fabs(x->value))
            continue;
        snprintf(ret_first, size, "SQL %s = %g, report %s = %g", x == NULL ? "-" : x->key,
                 x == NULL ? 0 : x->value, y == NULL ? "-" : y->key, y == NULL ? 0 : y->value);
        return false;
    }
    return true;
}

/* --- the engine ------------------------------------------------------------------------------- */

static void sql_run(struct test *test, const char *sql, struct pairs *pairs)
{
    duckdb_result result;
    if (duckdb_query(test->connection, sql, &result) != DuckDBSuccess)
        fatal("%s\n%s", duckdb_result_error(&result), sql);
    for (idx_t row = 0; pairs != NULL && row < duckdb_row_count(&result); row++) {
        char *key = duckdb_value_varchar(&result, 0, row);
        pair_add(pairs, duckdb_value_double(&result, 1, row), "%s", key == NULL ? "" : key);
        duckdb_free(key);
    }
    duckdb_destroy_result(&result);
}

static void append_text(duckdb_appender appender, yyjson_val *value)
{
    if (yyjson_is_str(value))
        duckdb_append_varchar(appender, yyjson_get_str(value));
    else
        duckdb_append_null(appender);
}

/* The view's rows, as they are now. */
static void rows_copy(struct test *test)
{
    struct err err;
    struct buf json;
    yyjson_doc *doc;
    yyjson_val *row;
    duckdb_appender appender;
    buf_init(&json, (size_t)256 << 20);
    must(warehouse_query(test->world.warehouse,
                         "SELECT person, position, epoch_us(time), name, channel, "
                         "json_extract_string(properties, '$.plan') FROM events",
                         NULL, 0, &json, &err),
         &err);
    must(json_parse(NULL, buf_view(&json), &doc, &err), &err);
    sql_run(
        test,
        "CREATE OR REPLACE TABLE raw (person UBIGINT, position UBIGINT, us BIGINT, name VARCHAR, "
        "channel VARCHAR, plan VARCHAR)",
        NULL);
    if (duckdb_appender_create(test->connection, NULL, "raw", &appender) != DuckDBSuccess)
        fatal("no appender");
    yyjson_arr_iter rows = yyjson_arr_iter_with(yyjson_obj_get(yyjson_doc_get_root(doc), "rows"));
    while ((row = yyjson_arr_iter_next(&rows)) != NULL) {
        duckdb_append_uint64(appender, yyjson_get_uint(yyjson_arr_get(row, 0)));
        duckdb_append_uint64(appender, yyjson_get_uint(yyjson_arr_get(row, 1)));
        duckdb_append_int64(appender, yyjson_get_sint(yyjson_arr_get(row, 2)));
        for (size_t i = 3; i < 6; i++)
            append_text(appender, yyjson_arr_get(row, i));
        duckdb_appender_end_row(appender);
    }
    duckdb_appender_destroy(&appender);
    yyjson_doc_free(doc);
    buf_done(&json);
    sql_run(
        test,
        "CREATE OR REPLACE TABLE ev_all AS SELECT person, row_number() OVER (PARTITION BY person "
        "ORDER BY us, position) AS i, us // 1000000 AS t, name, channel, plan FROM raw",
        NULL);
    sql_run(test, "CREATE OR REPLACE TABLE ev AS SELECT * FROM ev_all WHERE person <> 0", NULL);
}

/* --- what a report says ----------------------------------------------------------------------- */

static const char *text_of(yyjson_val *object, const char *name)
{
    const char *text = yyjson_get_str(yyjson_obj_get(object, name));
    return text == NULL ? "" : text;
}

static double number_of(yyjson_val *object, const char *name)
{
    yyjson_val *value = yyjson_obj_get(object, name);
    return yyjson_is_num(value) ? yyjson_get_num(value) : NAN;
}

/* The number that a row's first cell stands beside. */
static const char *row_read(struct pairs *got, const char *report, yyjson_val *row)
{
    static const char *const funnel[] = {"people", "mean_seconds", "median_seconds", "p90_seconds"};
    static const char *const states[] = {"new", "returning", "resurrecting", "dormant"};
    if (strcmp(report, "funnel") == 0) {
        for (size_t i = 0; i < 4; i++)
            if (yyjson_obj_get(row, "event") != NULL || i == 0)
                pair_add(got, number_of(row, funnel[i]), "%s|%g|%s", text_of(row, "breakdown"),
                         number_of(row, "step"), funnel[i]);
        return "people";
    }
    if (strcmp(report, "trend") == 0) {
        for (size_t i = 0; i < 2; i++)
            pair_add(got, number_of(row, i == 0 ? "count" : "people"), "%s|%s|%s",
                     text_of(row, "time"), text_of(row, "breakdown"), i == 0 ? "count" : "people");
        return "people";
    }
    if (strcmp(report, "lifecycle") == 0) {
        for (size_t i = 0; i < 4; i++)
            pair_add(got, number_of(row, states[i]), "%s|%s", text_of(row, "time"), states[i]);
        return "active";
    }
    if (strcmp(report, "retention") == 0) {
        pair_add(got, number_of(row, "returned"), "%s|%g", text_of(row, "cohort"),
                 number_of(row, "period"));
        return "returned";
    }
    char from[64], to[64];
    bool cross = yyjson_obj_get(row, "from_channel") != NULL;
    bool last = yyjson_is_null(yyjson_obj_get(row, "to_event"));
    snprintf(from, sizeof from, "%s%s%s", text_of(row, "from_event"), cross ? "/" : "",
             text_of(row, "from_channel"));
    snprintf(to, sizeof to, "%s%s%s", text_of(row, "to_event"), cross && !last ? "/" : "",
             text_of(row, "to_channel"));
    for (size_t i = 0; i < 2; i++)
        pair_add(got, number_of(row, i == 0 ? "paths" : "people"), "%g|%s|%s|%s",
                 number_of(row, "level"), from, to, i == 0 ? "paths" : "people");
    return "people";
}

/* Do as many people come out of the cell as stand beside it? */
static bool cell_opens(struct test *test, yyjson_val *row, const char *number)
{
    struct err err;
    uint64_t *people = NULL;
    size_t count = 0;
    must(live_cell_people(test->world.live, json_member_str(row, "cell"), NULL, &people, &count,
                          &err),
         &err);
    free(people);
    test->cells++;
    return (double)count == number_of(row, number);
}

static bool answer_read(struct test *test, yyjson_val *root)
{
    const char *report = test->question.report, *number = NULL;
    bool is_retention = strcmp(report, "retention") == 0, opens = true;
    yyjson_val *list = yyjson_obj_get(root, is_retention ? "triangle" : "rows"), *row, *chosen;
    yyjson_arr_iter rows = yyjson_arr_iter_with(list);
    while ((row = yyjson_arr_iter_next(&rows)) != NULL)
        number = row_read(&test->got, report, row);
    if (number != NULL && chance(4) == 0) {
        chosen = yyjson_arr_get(list, chance((uint32_t)yyjson_arr_size(list)));
        opens = cell_opens(test, chosen, number);
    }
    rows = yyjson_arr_iter_with(yyjson_obj_get(root, "cohorts"));
    while (is_retention && (row = yyjson_arr_iter_next(&rows)) != NULL)
        pair_add(&test->got, number_of(row, "people"), "%s|people", text_of(row, "cohort"));
    return opens;
}

/* --- one report ------------------------------------------------------------------------------- */

static void report_compare(struct test *test)
{
    struct err err;
    struct buf json;
    yyjson_doc *asked, *answer = NULL;
    char first[600] = "a cell opens another number of people";
    struct question *question = &test->question;
    struct live_run run = {.after = test->world.position};
    question_make(question);
    test->want.count = test->got.count = 0;
    buf_init(&json, (size_t)64 << 20);
    must(json_parse(NULL, buf_view(&question->json), &asked, &err), &err);
    enum status status = live_report(test->world.live, str_of(question->report),
                                     yyjson_doc_get_root(asked), &run, &json, &err);
    bool same = false;
    if (status == ST_INVALID && strstr(err.message, "do not go") != NULL) {
        test->refused++;
        same = true;
    } else if (status != ST_OK) {
        snprintf(first, sizeof first, "%s (%s)", err.message, err.hint);
    } else {
        must(json_parse(NULL, buf_view(&json), &answer, &err), &err);
        sql_run(test, question->sql.p, &test->want);
        same = answer_read(test, yyjson_doc_get_root(answer));
        same = same && pairs_equal(&test->want, &test->got, first, sizeof first);
    }
    test->reports++;
    if (!same && test->differences++ < SHOWN)
        fprintf(stderr, "%s %s\n  %s\n  %s\n", question->report, question->json.p, first,
                question->sql.p);
    yyjson_doc_free(asked);
    yyjson_doc_free(answer);
    buf_done(&json);
}

static void history(struct test *test, unsigned number, unsigned reports)
{
    char folder[256];
    const char *where = getenv("TMPDIR");
    snprintf(folder, sizeof folder, "%s/hezou-live-XXXXXX", where == NULL ? "/tmp" : where);
    if (mkdtemp(folder) == NULL)
        fatal("no folder in %s", where);
    world_open(&test->world, folder);
    for (unsigned part = 0; part < PARTS; part++) {
        world_send(&test->world, part == 0 ? 250 + number * 37 % 200 : 60);
        rows_copy(test);
        for (unsigned i = 0; i < reports / PARTS && test->reports < test->limit; i++)
            report_compare(test);
    }
    world_close(&test->world);
    char *const remove[] = {"rm", "-rf", folder, NULL};
    pid_t child = fork();
    if (child == 0) {
        execvp("rm", remove);
        _exit(1);
    }
    if (waitpid(child, NULL, 0) != child)
        fatal("could not remove %s", folder);
}

struct counts {
    unsigned reports, differences, cells, refused;
};

static struct counts worker_run(unsigned histories, unsigned reports, uint64_t seed)
{
    struct test test = {.limit = reports};
    chance_seed(seed);
    buf_init(&test.question.json, 65536);
    buf_init(&test.question.sql, 65536);
    if (duckdb_open(NULL, &test.database) != DuckDBSuccess ||
        duckdb_connect(test.database, &test.connection) != DuckDBSuccess)
        fatal("the engine does not open");
    sql_run(&test, "SET threads = 1", NULL);
    unsigned step = histories * PARTS, each = (reports + step - 1) / step * PARTS;
    for (unsigned h = 0; h < histories; h++)
        history(&test, h, each);
    duckdb_disconnect(&test.connection);
    duckdb_close(&test.database);
    buf_done(&test.question.json);
    buf_done(&test.question.sql);
    free(test.want.list);
    free(test.got.list);
    return (struct counts){test.reports, test.differences, test.cells, test.refused};
}

/* Planning SQL is nearly all of the time, and one thread's: so there are two processes. */
int main(int argc, char **argv)
{
    unsigned histories = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : 8;
    unsigned reports = argc > 2 ? (unsigned)strtoul(argv[2], NULL, 10) : 10000;
    uint64_t seed = argc > 3 ? strtoull(argv[3], NULL, 10) : 20261124;
    struct counts sum = {0}, part;
    int pipes[WORKERS][2];
    for (unsigned w = 0; w < WORKERS; w++) {
        unsigned own = reports / WORKERS + (w < reports % WORKERS);
        pid_t child = pipe(pipes[w]) == 0 ? fork() : -1;
        if (child < 0)
            fatal("no process");
        if (child > 0)
            continue;
        part = worker_run((histories + WORKERS - 1) / WORKERS, own, seed + w);
        _exit(write(pipes[w][1], &part, sizeof part) == sizeof part ? 0 : 1);
    }
    for (unsigned w = 0; w < WORKERS; w++) {
        (void)close(pipes[w][1]);
        if (read(pipes[w][0], &part, sizeof part) != sizeof part)
            fatal("a process ended early"); /* it has said why */
        sum.reports += part.reports;
        sum.differences += part.differences;
        sum.cells += part.cells;
        sum.refused += part.refused;
    }
    for (unsigned w = 0; w < WORKERS; w++)
        wait(NULL);
    fprintf(stderr, "live: %u cells opened, %u questions refused\n", sum.cells, sum.refused);
    printf("live: %u random reports, %u differences\n", sum.reports, sum.differences);
    return sum.differences != 0 || sum.reports != reports;
}
