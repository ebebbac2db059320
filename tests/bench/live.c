/* live.c - live reports against DuckDB's SQL on the same events, one engine after the other.
 *
 *   live_bench DATA [ROUNDS]
 *
 * DATA is a data directory that came through the road (tests/bench/live_data). DuckDB is the one of
 * the warehouse, with all cores; it may first copy what it needs into a narrow table in memory
 * (person, second, small numbers instead of names), sorted by person and time, which is not
 * counted. Its SQL is the window form: one sort by person, no join. Prints one line of JSON per
 * figure: the best of ROUNDS (5; more within a second) in seconds; a ratio is DuckDB's by ours. The
 * answers of both are compared first. "live" is the same funnel after a twentieth of the events
 * came again as deltas and one person of 500 of them changed owner; they are fed to the timeline,
 * not sent. */
#include <math.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "analytics/live.h"
#include "base/check.h"
#include "base/disk.h"
#include "base/rng.h"
#include "timeline/timeline_scan.h"

#define LEAST_S 1.0 /* of each engine and question */
#define ANSWER_MAX ((size_t)256 << 20)

struct bench {
    struct warehouse *warehouse;
    struct timeline *timeline;
    struct live *live;
    struct clock clock;
    int rounds;
};

static void must(enum status status, const struct err *err)
{
    if (status != ST_OK)
        fatal("%s (%s)", err->message, err->hint);
}

static double seconds_now(void)
{
    return (double)monotonic_us() / 1e6;
}

/* --- the two engines -------------------------------------------------------------------------- */

/* Best seconds; the sum of member `sum` over the answer's rows. */
static double ours(struct bench *bench, const char *report, const char *question, const char *sum,
                   double *ret_sum)
{
    struct err err;
    yyjson_doc *asked, *doc;
    yyjson_val *row;
    double best = INFINITY;
    must(json_parse(NULL, str_of(question), &asked, &err), &err);
    double until = seconds_now() + LEAST_S;
    for (int round = 0; round < bench->rounds || seconds_now() < until; round++) {
        struct buf json;
        struct live_run run = {.limit_us = 600 * US_PER_S};
        buf_init(&json, ANSWER_MAX);
        double start = seconds_now();
        must(
            live_report(bench->live, str_of(report), yyjson_doc_get_root(asked), &run, &json, &err),
            &err);
        best = fmin(best, seconds_now() - start);
        must(json_parse(NULL, buf_view(&json), &doc, &err), &err);
        *ret_sum = 0;
        const char *list = strcmp(report, "retention") == 0 ? "triangle" : "rows";
        yyjson_arr_iter rows = yyjson_arr_iter_with(yyjson_obj_get(yyjson_doc_get_root(doc), list));
        while ((row = yyjson_arr_iter_next(&rows)) != NULL)
            *ret_sum += yyjson_get_num(yyjson_obj_get(row, sum));
        yyjson_doc_free(doc);
        buf_done(&json);
    }
    yyjson_doc_free(asked);
    return best;
}

static double theirs(struct bench *bench, const char *sql, int rounds, double *ret_sum)
{
    struct err err;
    double best = INFINITY;
    double until = rounds == 1 ? 0 : seconds_now() + LEAST_S;
    for (int round = 0; round < rounds || seconds_now() < until; round++) {
        struct buf json;
        yyjson_doc *doc;
        buf_init(&json, ANSWER_MAX);
        double start = seconds_now();
        must(warehouse_query(bench->warehouse, sql, NULL, 0, &json, &err), &err);
        best = fmin(best, seconds_now() - start);
        must(json_parse(NULL, buf_view(&json), &doc, &err), &err);
        yyjson_val *rows = yyjson_obj_get(yyjson_doc_get_root(doc), "rows");
        *ret_sum = yyjson_get_num(yyjson_arr_get_first(yyjson_arr_get_first(rows)));
        yyjson_doc_free(doc);
        buf_done(&json);
    }
    return best;
}

static void compare(struct bench *bench, const char *what, const char *report, const char *question,
                    const char *sum, const char *sql)
{
    double a = 0, b = 0;
    double own = ours(bench, report, question, sum, &a);
    double other = theirs(bench, sql, bench->rounds < 3 ? bench->rounds : 3, &b);
    printf("{\"figure\":\"%s\",\"seconds\":%.4f,\"duckdb\":%.4f,\"ratio\":%.2f,\"same\":%s,"
           "\"sum\":%.0f,\"duckdb_sum\":%.0f}\n",
           what, own, other, other / own, a == b ? "true" : "false", a, b);
    fflush(stdout);
}

/* --- the questions ---------------------------------------------------------------------------- */

/* Steps are the 2nd, 4th and 7th name; the window of the answer is everything. */
#define ALL "\"from\":\"2026-01-01\",\"to\":\"2105-12-31\",\"closed\":true"
#define WINDOW "604800"
/* The newest start of each chain by running maxima. */
#define STEP(CODE, START) "code = " CODE " AND t - " START " <= " WINDOW
#define CHAINS(A, B, C)                                                                            \
    "WITH a AS (SELECT *, max(CASE WHEN code = " A                                                 \
    " THEN t END) OVER w AS s1 FROM narrow WHERE code IN (" A ", " B ", " C                        \
    ") WINDOW w AS (PARTITION BY person ORDER BY n ROWS UNBOUNDED PRECEDING)), b AS "              \
    "(SELECT *, max(CASE WHEN " STEP(                                                              \
        B, "s1") " THEN s1 END) OVER w AS s2 FROM a WINDOW w AS "                                  \
                 "(PARTITION BY person ORDER BY n ROWS UNBOUNDED PRECEDING)), c AS (SELECT "       \
                 "person, max(CASE WHEN " STEP(C, "s2") " THEN 3 WHEN " STEP(                      \
                     B, "s1") " THEN 2 WHEN code = " A " THEN 1 END) AS level FROM b "             \
                              "GROUP BY person) SELECT sum(level) FROM c WHERE level > 0"
/* The same for each value of p; a start is its second and its channel in one number. */
#define HELD                                                                                       \
    "WITH a AS (SELECT *, max(CASE WHEN code = 1 THEN t::BIGINT * 4 + ch END) OVER w AS s1 FROM "  \
    "narrow "                                                                                      \
    "WHERE code IN (1, 3, 6) AND NOT (code = 3 AND p = 3) WINDOW w AS (PARTITION BY person, p "    \
    "ORDER BY n "                                                                                  \
    "ROWS UNBOUNDED PRECEDING)), b AS (SELECT *, max(CASE WHEN " STEP(                             \
        "3",                                                                                       \
        "s1 // 4") " THEN s1 END) OVER "                                                           \
                   "w AS s2 FROM a WINDOW w AS (PARTITION BY person, p ORDER BY n ROWS UNBOUNDED " \
                   "PRECEDING)), c AS "                                                            \
                   "(SELECT person, max(CASE WHEN " STEP(                                          \
                       "6",                                                                        \
                       "s2 // 4") " THEN 3 * 1099511627776 + s2 WHEN " STEP("3",                   \
                                                                            "s1 // 4") " THEN 2 "  \
                                                                                       "* "        \
                                                                                       "109951162" \
                                                                                       "7776 + "   \
                                                                                       "s1 WHEN "  \
                                                                                       "code = 1 " \
                                                                                       "THEN "     \
                                                                                       "109951162" \
                                                                                       "7776 + "   \
                                                                                       "s1 END) "  \
                                                                                       "AS best "  \
                                                                                       "FROM b "   \
                                                                                       "GROUP BY " \
                                                                                       "person) "  \
                                                                                       "SELECT "   \
                                                                                       "sum(s) "   \
                                                                                       "FROM "     \
                                                                                       "(SELECT "  \
                                                                                       "best % 4 " \
                                                                                       "AS ch, "   \
                                                                                       "sum(best " \
                                                                                       "// "       \
                                                                                       "109951162" \
                                                                                       "7776) AS " \
                                                                                       "s "        \
                                                                                       "FROM c "   \
                                                                                       "WHERE "    \
                                                                                       "best IS "  \
                                                                                       "NOT NULL " \
                                                                                       "GROUP BY " \
                                                                                       "ch)"

static void reports_compare(struct bench *bench)
{
    double ignored;
    theirs(bench,
           "CREATE OR REPLACE TABLE memory.main.narrow AS SELECT person::UBIGINT AS person, "
           "epoch(time)::UINTEGER AS t, (name[2:])::UTINYINT AS code, channel::VARCHAR AS channel, "
           "CASE channel WHEN 'server' THEN 0 WHEN 'mobile' THEN 1 ELSE 2 END::UTINYINT AS ch, "
           "json_extract_string(properties, '$.p')::UTINYINT AS p, row_number() OVER (ORDER BY "
           "person, "
           "time, position)::UINTEGER AS n FROM events WHERE person <> 0 ORDER BY person, time, "
           "position",
           1, &ignored);
    compare(bench, "funnel, 3 steps, 7 days", "funnel",
            "{" ALL ",\"steps\":[\"e01\",\"e03\",\"e06\"],\"window\":\"7d\"}", "people",
            CHAINS("1", "3", "6"));
    compare(bench, "funnel with filter, breakdown and hold", "funnel",
            "{" ALL
            ",\"steps\":[\"e01\",{\"event\":\"e03\",\"where\":[{\"property\":\"p\",\"op\":\"!=\","
            "\"value\":\"3\"}]},\"e06\"],\"window\":\"7d\",\"hold\":\"p\",\"breakdown\":{\"by\":"
            "\"channel\"}}",
            "people", HELD);
    compare(bench, "funnel of rare events", "funnel",
            "{" ALL ",\"steps\":[\"e39\",\"e38\",\"e37\"],\"window\":\"7d\"}", "people",
            CHAINS("39", "38", "37"));
    char question[200], from[16], to[16];
    time_t now = (time_t)(clock_now_us(&bench->clock) / US_PER_S), then = now - 120 * 86400;
    struct tm parts;
    strftime(from, sizeof from, "%Y-%m-%d", gmtime_r(&then, &parts));
    strftime(to, sizeof to, "%Y-%m-%d", gmtime_r(&now, &parts));
    snprintf(question, sizeof question,
             "{\"from\":\"%s\",\"to\":\"%s\",\"closed\":true,\"periods\":14}", from, to);
    compare(bench, "retention, 14 days", "retention", question, "returned",
            "WITH s AS (SELECT person, min(t // 86400) AS d, min(n) AS n FROM narrow GROUP BY "
            "person), r "
            "AS (SELECT DISTINCT e.person, e.t // 86400 - s.d AS k FROM narrow AS e JOIN s ON "
            "s.person = "
            "e.person AND e.n > s.n) SELECT count(*) FROM r WHERE k <= 14");
    compare(
        bench, "paths, depth 5", "paths",
        "{\"from\":\"2026-01-01\",\"to\":\"2105-12-31\",\"depth\":5,\"top\":50}", "paths",
        "WITH e AS (SELECT *, lag(t) OVER w AS was, lag(code) OVER w AS before FROM narrow WINDOW "
        "w AS "
        "(PARTITION BY person ORDER BY n)), g AS (SELECT *, sum((was IS NULL OR t - was > "
        "1800)::INT) "
        "OVER (PARTITION BY person ORDER BY n) AS s FROM e), l AS (SELECT person, s, n, code, "
        "row_number() OVER v AS l FROM g WHERE was IS NULL OR t - was > 1800 OR before <> code "
        "WINDOW "
        "v AS (PARTITION BY person, s ORDER BY n)), m AS (SELECT *, lead(code) OVER (PARTITION BY "
        "person, s ORDER BY n) AS next FROM l WHERE l <= 5), x AS (SELECT l, code, next, count(*) "
        "AS "
        "c, count(DISTINCT person) AS u FROM m WHERE l < 5 GROUP BY ALL) SELECT sum(c) FROM x");
}

/* --- the memory itself ------------------------------------------------------------------------ */

struct adder {
    uint64_t sum;
    char apart[56];
};

static void sum_work(struct timeline_cursor *cursor, void *ctx)
{
    struct adder *adder = ctx;
    struct timeline_run run;
    while (timeline_cursor_next(cursor, &run)) {
        uint32_t codes = 0, times = 0;
        for (uint32_t i = 0; run.code8 != NULL && i < run.count; i++)
            codes += run.code8[i];
        for (uint32_t i = 0; i < run.count; i++)
            times += run.time[i];
        adder->sum += codes + times;
    }
}

/* Every code and every time, added up run by run by the same threads. */
static double plain_sum(struct bench *bench)
{
    struct err err;
    const struct timeline_view *view;
    double best = INFINITY;
    must(timeline_view_open(bench->timeline, 0, &view, &err), &err);
    for (int round = 0; round < bench->rounds; round++) {
        struct adder adders[64] = {0};
        struct timeline_scan *scan;
        double start = seconds_now();
        timeline_scan_open(view, NULL, &scan);
        timeline_scan_run(scan, 0, sum_work, adders, sizeof adders[0]);
        timeline_scan_close(scan);
        best = fmin(best, seconds_now() - start);
    }
    timeline_view_close(view);
    return best;
}

/* A twentieth of the events again as deltas; some visitors change their owner. Gives the worst time
 * from a commit until it is seen. */
static double deltas_feed(struct bench *bench, uint64_t events)
{
    struct err err;
    const struct timeline_view *view;
    struct rng rng;
    char name[8];
    double worst = 0;
    rng_init_seed(&rng, 4);
    must(timeline_view_open(bench->timeline, 0, &view, &err), &err);
    uint64_t position = view->position, slots = view->slots;
    uint64_t *people = mem_alloc(slots * sizeof *people);
    for (uint32_t slot = 0; slot < slots; slot++)
        people[slot] = timeline_person_id(view, slot);
    timeline_view_close(view);
    for (uint64_t i = 0; i < events; i++) {
        uint64_t id = people[1 + rng_u64(&rng) % (slots - 1)];
        snprintf(name, sizeof name, "e%02u", (unsigned)(rng_u64(&rng) % 40));
        struct timeline_event event = {.position = position += 128,
                                       .visitor = id,
                                       .person = id,
                                       .time_us = clock_now_us(&bench->clock) -
                                                  (int64_t)(rng_u64(&rng) % 86400) * US_PER_S,
                                       .name = str_of(name),
                                       .channel = STR("server")};
        timeline_add_event(bench->timeline, &event);
        if (i % 500 == 0)
            timeline_set_person(bench->timeline, id, people[1 + rng_u64(&rng) % (slots - 1)]);
        if (i % 10000 != 9999)
            continue;
        double start = seconds_now();
        timeline_commit(bench->timeline, position + 1);
        must(timeline_view_open(bench->timeline, position + 1, &view, &err), &err);
        worst = fmax(worst, seconds_now() - start);
        timeline_view_close(view);
    }
    free(people);
    return worst;
}

static void memory_measure(struct bench *bench)
{
    static const char question[] =
        "{" ALL ",\"steps\":[\"e01\",\"e03\",\"e06\"],\"window\":\"7d\"}";
    struct timeline_stats stats;
    double ignored, clean = ours(bench, "funnel", question, "people", &ignored);
    double sum = plain_sum(bench);
    timeline_stats(bench->timeline, &stats);
    printf("{\"figure\":\"plain sum of the bytes\",\"seconds\":%.4f,\"ratio\":%.2f}\n", sum,
           clean / sum);
    double fresh = deltas_feed(bench, stats.events / 20);
    timeline_stats(bench->timeline, &stats);
    double live = ours(bench, "funnel", question, "people", &ignored);
    printf("{\"figure\":\"live against clean\",\"seconds\":%.4f,\"clean\":%.4f,\"ratio\":%.2f,"
           "\"delta_events\":%llu}\n",
           live, clean, live / clean, (unsigned long long)stats.delta_events);
    printf("{\"figure\":\"freshness\",\"seconds\":%.4f}\n", fresh);
}

int main(int argc, char **argv)
{
    struct err err;
    struct disk disk;
    char folder[512], exports[512];
    if (argc < 2)
        fatal("live_bench DATA [ROUNDS]");
    struct bench bench = {.rounds = argc > 2 ? (int)strtol(argv[2], NULL, 10) : 5};
    disk_init(&disk);
    clock_init_system(&bench.clock);
    snprintf(folder, sizeof folder, "%s/warehouse", argv[1]);
    snprintf(exports, sizeof exports, "%s/export", argv[1]);
    struct warehouse_options options = {.folder = folder,
                                        .export_folder = exports,
                                        .disk = &disk,
                                        .clock = &bench.clock,
                                        .memory_bytes = (size_t)8 << 30};
    must(warehouse_open(&options, &bench.warehouse, &err), &err);
    struct timeline_options with = {.warehouse = bench.warehouse, .memory_bytes = (size_t)8 << 30};
    struct timeline_stats stats;
    timeline_open(&with, &bench.timeline);
    while (timeline_stats(bench.timeline, &stats), !stats.ready)
        (void)poll(NULL, 0, 5); /* there is nobody to wait for */
    printf("{\"figure\":\"rebuild\",\"events\":%llu,\"seconds\":%.3f,\"events_per_s\":%.0f,"
           "\"bytes_per_event\":%.2f}\n",
           (unsigned long long)stats.rebuild_events, (double)stats.rebuild_us / 1e6,
           (double)stats.rebuild_events * 1e6 / (double)stats.rebuild_us,
           (double)stats.bytes / (double)stats.rebuild_events);
    struct live_options live = {
        .timeline = bench.timeline, .warehouse = bench.warehouse, .clock = &bench.clock};
    must(live_open(&live, &bench.live, &err), &err);
    reports_compare(&bench);
    memory_measure(&bench);
    live_close(bench.live);
    timeline_close(bench.timeline);
    warehouse_close(bench.warehouse);
    return 0;
}
