/* sequence_sql_test.c - 10,000 random funnels in several modes, counted by SQL as well.
 *
 * The engine knows nothing of our kernels: what a mode means is said as joins. "Exists" = some
 * chain of entries in order, each step after the one before, the last within the window of the
 * first; "newest" = each entry joins the newest entry of the step before (ASOF), which is what
 * strict_increase is defined by. An entry is an event as one of its steps, ordered by (time, step,
 * event), or by (event, step) where the order of arrival decides. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>
#include <duckdb.h>

#include "analytics/sequence.h"
#include "base/buf.h"

#define FUNNELS 10000
#define EVENTS_MAX 14
#define STEPS_MAX 5

struct story {
    struct funnel funnel;
    struct sequence_event events[EVENTS_MAX];
    size_t count;
};

static struct story stories[FUNNELS];
static uint64_t seed = 20240815;

static uint32_t chance(uint32_t below)
{
    seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)((seed >> 33) % below);
}

static void stories_make(void)
{
    for (size_t f = 0; f < FUNNELS; f++) {
        struct story *story = &stories[f];
        int64_t time = chance(1000);
        story->funnel = (struct funnel){1 + chance(STEPS_MAX), 0, chance(20)};
        story->count = chance(EVENTS_MAX + 1);
        for (size_t i = 0; i < story->count; i++) {
            uint32_t steps = UINT32_C(1) << chance(story->funnel.steps);
            if (chance(5) == 0)
                steps |= UINT32_C(1) << chance(story->funnel.steps);
            time += chance(4);
            story->events[i] = (struct sequence_event){time, steps, (uint32_t)i};
        }
    }
}

struct engine {
    duckdb_database database;
    duckdb_connection connection;
};

static void run(struct engine *engine, const char *sql)
{
    duckdb_result result;
    duckdb_state state = duckdb_query(engine->connection, sql, &result);
    if (state != DuckDBSuccess)
        print_error("%s\n%s\n", duckdb_result_error(&result), sql);
    duckdb_destroy_result(&result);
    assert_int_equal(state, DuckDBSuccess);
}

static int setup(void **state)
{
    static struct engine engine;
    duckdb_appender appender;
    stories_make();
    assert_int_equal(duckdb_open(NULL, &engine.database), DuckDBSuccess);
    assert_int_equal(duckdb_connect(engine.database, &engine.connection), DuckDBSuccess);
    run(&engine, "SET threads = 2");
    run(&engine, "CREATE TABLE entry (f INTEGER, w BIGINT, t BIGINT, id INTEGER, k INTEGER)");
    assert_int_equal(duckdb_appender_create(engine.connection, NULL, "entry", &appender),
                     DuckDBSuccess);
    for (int32_t f = 0; f < FUNNELS; f++) {
        for (size_t i = 0; i < stories[f].count; i++) {
            const struct sequence_event *event = &stories[f].events[i];
            for (int32_t k = 0; k < STEPS_MAX; k++) {
                if ((event->steps >> k & 1) == 0)
                    continue;
                duckdb_append_int32(appender, f);
                duckdb_append_int64(appender, stories[f].funnel.window);
                duckdb_append_int64(appender, event->time);
                duckdb_append_int32(appender, (int32_t)i);
                duckdb_append_int32(appender, k + 1);
                duckdb_appender_end_row(appender);
            }
        }
    }
    assert_int_equal(duckdb_appender_destroy(&appender), DuckDBSuccess);
    *state = &engine;
    return 0;
}

static int teardown(void **state)
{
    struct engine *engine = *state;
    duckdb_disconnect(&engine->connection);
    duckdb_close(&engine->database);
    return 0;
}

/* Each funnel's level by `sql` (columns f, level) into levels; funnels without a row have 0. */
static void levels_by_sql(struct engine *engine, const char *sql, int32_t *levels)
{
    duckdb_result result;
    memset(levels, 0, FUNNELS * sizeof *levels);
    duckdb_state state = duckdb_query(engine->connection, sql, &result);
    if (state != DuckDBSuccess)
        print_error("%s\n%s\n", duckdb_result_error(&result), sql);
    assert_int_equal(state, DuckDBSuccess);
    for (duckdb_data_chunk chunk; (chunk = duckdb_fetch_chunk(result)) != NULL;) {
        const int32_t *f = duckdb_vector_get_data(duckdb_data_chunk_get_vector(chunk, 0));
        const int32_t *level = duckdb_vector_get_data(duckdb_data_chunk_get_vector(chunk, 1));
        for (idx_t i = 0; i < duckdb_data_chunk_get_size(chunk); i++)
            levels[f[i]] = level[i];
        duckdb_destroy_data_chunk(&chunk);
    }
    duckdb_destroy_result(&result);
}

/* How a mode is said in SQL. */
struct said {
    const char *name;
    unsigned modes;
    const char *order; /* of a funnel's entries */
    bool newest;       /* join the newest entry of the step before, else any */
    const char *also;  /* further condition between p, the chain so far, and x, the next entry */
};

static void level_sql(const struct said *said, struct buf *sql)
{
    buf_fmt(sql,
            "WITH e AS (SELECT *, row_number() OVER (PARTITION BY f ORDER BY %s) AS o FROM entry), "
            "c1 AS (SELECT f, w, o, t, t AS first, [id] AS ids FROM e WHERE k = 1)",
            said->order);
    for (int k = 2; k <= STEPS_MAX; k++)
        buf_fmt(sql,
                ", c%d AS (SELECT x.f, x.w, x.o, x.t, p.first, list_append(p.ids, x.id) AS ids "
                "FROM (SELECT * FROM e WHERE k = %d) x %s JOIN c%d p ON x.f = p.f AND x.o > p.o "
                "WHERE x.t <= p.first + x.w AND %s)",
                k, k, said->newest ? "ASOF" : "", k - 1, said->also);
    buf_text(sql, " SELECT f, max(level)::INTEGER AS level FROM (SELECT f, 1 AS level FROM c1");
    for (int k = 2; k <= STEPS_MAX; k++)
        buf_fmt(sql, " UNION ALL SELECT f, %d FROM c%d", k, k);
    buf_text(sql, ") GROUP BY f");
}

static void test_funnels_agree_with_sql(void **state)
{
    static const struct said ways[] = {
        {"window", 0, "t, k, id", false, "true"},
        {"window, newest start", 0, "t, k, id", true, "true"},
        {"strict_increase", FUNNEL_STRICT_INCREASE, "t, k, id", true, "p.t < x.t"},
        {"strict_once", FUNNEL_STRICT_ONCE, "t, k, id", false, "NOT list_contains(p.ids, x.id)"},
        {"strict_once, strict_increase", FUNNEL_STRICT_ONCE | FUNNEL_STRICT_INCREASE, "t, k, id",
         false, "NOT list_contains(p.ids, x.id) AND p.t < x.t"},
        {"order of arrival", FUNNEL_ARRAY_ORDER, "id, k", false, "true"},
        {"order of arrival, strict_increase", FUNNEL_ARRAY_ORDER | FUNNEL_STRICT_INCREASE, "id, k",
         true, "p.t < x.t"},
        {"order of arrival, strict_once", FUNNEL_ARRAY_ORDER | FUNNEL_STRICT_ONCE, "id, k", false,
         "p.ids[-1] < x.id"},
    };
    static int32_t levels[FUNNELS];
    static struct funnel_scratch scratch;
    int differences = 0, counts[STEPS_MAX + 1] = {0};
    for (size_t w = 0; w < sizeof ways / sizeof ways[0]; w++) {
        struct buf sql;
        buf_init(&sql, 1 << 16);
        level_sql(&ways[w], &sql);
        levels_by_sql(*state, sql.p, levels);
        for (size_t f = 0; f < FUNNELS; f++) {
            struct funnel funnel = stories[f].funnel;
            funnel.modes = ways[w].modes;
            int level =
                (int)funnel_level(&funnel, stories[f].events, stories[f].count, &scratch, NULL);
            counts[level]++;
            if (level == levels[f])
                continue;
            if (differences++ < 5)
                print_error("%s, funnel %zu: %d, SQL %d\n", ways[w].name, f, level, levels[f]);
        }
        buf_done(&sql);
    }
    print_message("%d random funnels in %zu modes against SQL: %d differences; levels", FUNNELS,
                  sizeof ways / sizeof ways[0], differences);
    for (int k = 0; k <= STEPS_MAX; k++)
        print_message(" %d", counts[k]);
    print_message("\n");
    assert_int_equal(differences, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_funnels_agree_with_sql)};
    return cmocka_run_group_tests(tests, setup, teardown);
}
