/* live.c - live reports against DuckDB's SQL on the same events, one engine after the other.
 *
 *   live_bench DATA [ROUNDS [CSV]]
 *
 * DATA is a data directory that came through the road (tests/bench/live_data); CSV is where to put
 * the same events for ClickHouse. DuckDB is the one of the warehouse, with all cores; its SQL and
 * what it may prepare stand in live.sql. Prints one line of JSON per figure: the best of ROUNDS (5;
 * more within two seconds; of DuckDB 3) in seconds of the clock, and the CPU's seconds beside it,
 * which say more where others use the machine too. Ours is measured before and after DuckDB's turn,
 * so that a slow stretch of the machine does not fall on one of the two. A ratio is DuckDB's by
 * ours. The answers of both are compared. "live" is the same funnel after a twentieth of the events
 * came again as deltas and one person of 500 of them changed owner; they are fed to the timeline,
 * not sent. With ALONE=TEXT in the environment only ours is measured, of the
 * questions whose figure has this text (empty: all): for work on it. */
#include <math.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "analytics/live.h"
#include "base/arena.h"
#include "base/check.h"
#include "base/disk.h"
#include "base/rng.h"
#include "timeline/timeline_scan.h"
#include "bench_queries.h"

#include "../load/generate.h"

#define LEAST_S 2.0 /* of each engine and question */
#define ANSWER_MAX ((size_t)256 << 20)
#define DUCKDB_ROUNDS 3
#define REBUILDS 3
#define WIDE_DAYS 90 /* as in live_data */
#define THREADS_MAX 64

struct bench {
    struct warehouse *warehouse;
    struct timeline *timeline;
    struct live *live;
    struct clock clock;
    int rounds;
    const char *alone; /* NULL: both engines */
};

static void must(enum status status, const struct err *err)
{
    if (status != ST_OK)
        fatal("%s (%s)", err->message, err->hint);
}

/* --- time ------------------------------------------------------------------------------------- */

struct took {
    double wall, cpu;
};

static struct took now(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (struct took){(double)monotonic_us() / 1e6,
                         (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
                             (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6};
}

/* The least of each: other work on the machine only adds. */
static void took_since(struct took *best, struct took start)
{
    struct took end = now();
    best->wall = fmin(best->wall, end.wall - start.wall);
    best->cpu = fmin(best->cpu, end.cpu - start.cpu);
}

/* --- the two engines -------------------------------------------------------------------------- */

struct question {
    const char *figure, *report, *json;
    const char *list, *sum; /* member `sum` of this list's rows, added up, is compared … */
    const char *sql;        /* … with the only number of DuckDB's answer */
};

static struct took ours(struct bench *bench, const struct question *question, double *ret_sum)
{
    struct err err;
    yyjson_doc *asked, *doc;
    yyjson_val *row;
    struct took best = {INFINITY, INFINITY};
    must(json_parse(NULL, str_of(question->json), &asked, &err), &err);
    double until = now().wall + LEAST_S;
    for (int round = 0; round < bench->rounds || now().wall < until; round++) {
        struct buf json;
        struct live_run run = {.limit_us = 600 * US_PER_S};
        buf_init(&json, ANSWER_MAX);
        struct took start = now();
        must(live_report(bench->live, str_of(question->report), yyjson_doc_get_root(asked), &run,
                         &json, &err),
             &err);
        took_since(&best, start);
        must(json_parse(NULL, buf_view(&json), &doc, &err), &err);
        *ret_sum = 0;
        yyjson_arr_iter rows =
            yyjson_arr_iter_with(yyjson_obj_get(yyjson_doc_get_root(doc), question->list));
        while ((row = yyjson_arr_iter_next(&rows)) != NULL)
            *ret_sum += yyjson_get_num(yyjson_obj_get(row, question->sum));
        yyjson_doc_free(doc);
        buf_done(&json);
    }
    yyjson_doc_free(asked);
    return best;
}

static struct took theirs(struct bench *bench, const char *sql, int rounds, double *ret_sum)
{
    struct err err;
    struct took best = {INFINITY, INFINITY};
    double until = rounds == 1 ? 0 : now().wall + LEAST_S;
    *ret_sum = NAN;
    if (bench->alone != NULL)
        return best;
    for (int round = 0; round < rounds || now().wall < until; round++) {
        struct buf json;
        yyjson_doc *doc;
        buf_init(&json, ANSWER_MAX);
        struct took start = now();
        must(warehouse_query(bench->warehouse, sql, NULL, 0, &json, &err), &err);
        took_since(&best, start);
        must(json_parse(NULL, buf_view(&json), &doc, &err), &err);
        yyjson_val *rows = yyjson_obj_get(yyjson_doc_get_root(doc), "rows");
        *ret_sum = yyjson_get_num(yyjson_arr_get_first(yyjson_arr_get_first(rows)));
        yyjson_doc_free(doc);
        buf_done(&json);
    }
    return best;
}

static void compare(struct bench *bench, const struct question *question)
{
    double a = 0, b = 0;
    if (bench->alone != NULL && strstr(question->figure, bench->alone) == NULL)
        return;
    struct took own = ours(bench, question, &a);
    struct took other = theirs(bench, question->sql,
                               bench->rounds < DUCKDB_ROUNDS ? bench->rounds : DUCKDB_ROUNDS, &b);
    struct took again = ours(bench, question, &a);
    own = (struct took){fmin(own.wall, again.wall), fmin(own.cpu, again.cpu)};
    printf("{\"figure\":\"%s\",\"seconds\":%.4f,\"duckdb\":%.4f,\"ratio\":%.2f,\"cpu\":%.4f,"
           "\"duckdb_cpu\":%.4f,\"cpu_ratio\":%.2f,\"same\":%s,\"sum\":%.0f,\"duckdb_sum\":%.0f}\n",
           question->figure, own.wall, other.wall, other.wall / own.wall, own.cpu, other.cpu,
           other.cpu / own.cpu, a == b ? "true" : "false", a, b);
    fflush(stdout);
}

/* --- the questions ---------------------------------------------------------------------------- */

/* Steps are the 2nd, 4th and 7th name; the window of the answer is everything. */
#define ALWAYS "\"from\":\"2026-01-01\",\"to\":\"2105-12-31\""
static const struct question funnel = {
    "funnel, 3 steps, 7 days",
    "funnel",
    "{" ALWAYS ",\"closed\":true,\"steps\":[\"e01\",\"e03\",\"e06\"],\"window\":\"7d\"}",
    "rows",
    "people",
    bench_funnel};

static void reports_compare(struct bench *bench)
{
    const struct question held = {
        "funnel with filter, breakdown and hold",
        "funnel",
        "{" ALWAYS
        ",\"closed\":true,\"steps\":[\"e01\",{\"event\":\"e03\",\"where\":[{\"property\":"
        "\"p\",\"op\":\"!=\",\"value\":\"3\"}]},\"e06\"],\"window\":\"7d\",\"hold\":\"p\","
        "\"breakdown\":{\"by\":\"channel\"}}",
        "rows",
        "people",
        bench_funnel_held};
    const struct question rare = {
        "funnel of rare events",
        "funnel",
        "{" ALWAYS ",\"closed\":true,\"steps\":[\"e39\",\"e38\",\"e37\"],\"window\":\"7d\"}",
        "rows",
        "people",
        bench_funnel_rare};
    const struct question paths = {"paths, depth 5", "paths", "{" ALWAYS ",\"depth\":5,\"top\":50}",
                                   "rows",           "paths", bench_paths};
    const struct question attribution = {
        "attribution",
        "attribution",
        "{" ALWAYS ",\"conversion\":\"e08\",\"gap\":0,\"lookback\":\"30d\",\"touches\":["
        "{\"type\":\"click\",\"event\":\"e02\"},{\"type\":\"view\",\"event\":\"e04\"},"
        "{\"type\":\"visit\",\"event\":\"e06\"}]}",
        "rows",
        "conversions",
        bench_attribution};
    char json[200], from[16], to[16];
    time_t today = (time_t)(clock_now_us(&bench->clock) / US_PER_S), then = today - 120 * 86400;
    struct tm parts;
    strftime(from, sizeof from, "%Y-%m-%d", gmtime_r(&then, &parts));
    strftime(to, sizeof to, "%Y-%m-%d", gmtime_r(&today, &parts));
    snprintf(json, sizeof json, "{\"from\":\"%s\",\"to\":\"%s\",\"closed\":true,\"periods\":14}",
             from, to);
    const struct question retention = {"retention, 14 days", "retention", json,
                                       "triangle",           "returned",  bench_retention};
    double ignored;
    theirs(bench, bench_people, 1, &ignored);
    theirs(bench, bench_narrow, 1, &ignored);
    compare(bench, &funnel);
    compare(bench, &held);
    compare(bench, &rare);
    compare(bench, &retention);
    compare(bench, &paths);
    compare(bench, &attribution);
}

static void csv_write(struct bench *bench, const char *path)
{
    struct buf sql;
    double ignored;
    const char *mark = strstr(bench_for_clickhouse, "@FILE@");
    buf_init(&sql, 8192);
    buf_str(&sql, (struct str){bench_for_clickhouse, (size_t)(mark - bench_for_clickhouse)});
    buf_text(&sql, path);
    buf_text(&sql, mark + strlen("@FILE@"));
    buf_char(&sql, '\0');
    theirs(bench, sql.p, 1, &ignored);
    buf_done(&sql);
}

/* --- the memory itself ------------------------------------------------------------------------ */

/* Codes and times of all events, one after the other in two plain arrays. */
struct plain {
    uint8_t *codes;
    uint32_t *times;
    size_t count;
};

struct adder {
    pthread_t thread;
    const struct plain *plain;
    size_t from, to;
    uint64_t sum;
};

static void *sum_main(void *argument)
{
    struct adder *adder = argument;
    const uint8_t *codes = adder->plain->codes;
    const uint32_t *times = adder->plain->times;
    uint32_t a = 0, b = 0;
    for (size_t i = adder->from; i < adder->to; i++)
        a += codes[i];
    for (size_t i = adder->from; i < adder->to; i++)
        b += times[i];
    adder->sum = a + b;
    return NULL;
}

static void plain_copy(struct bench *bench, struct plain *plain)
{
    struct err err;
    struct timeline_scan *scan;
    struct timeline_run run;
    const struct timeline_view *view;
    must(timeline_view_open(bench->timeline, 0, &view, &err), &err);
    *plain = (struct plain){mem_alloc(view->events), mem_alloc(view->events * 4), 0};
    timeline_scan_open(view, NULL, &scan);
    struct timeline_cursor *cursor = timeline_cursor_open(scan);
    while (timeline_cursor_next(cursor, &run)) {
        CHECK(run.code8 != NULL); /* 40 names */
        memcpy(plain->codes + plain->count, run.code8, run.count);
        memcpy(plain->times + plain->count, run.time, run.count * sizeof *run.time);
        plain->count += run.count;
    }
    timeline_cursor_close(cursor);
    timeline_scan_close(scan);
    timeline_view_close(view);
}

/* By as many threads as a report has. */
static struct took plain_sum(struct bench *bench)
{
    struct plain plain;
    struct took best = {INFINITY, INFINITY};
    struct adder adders[THREADS_MAX];
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    size_t threads = cores > THREADS_MAX ? THREADS_MAX : (size_t)cores;
    plain_copy(bench, &plain);
    for (int round = 0; round < bench->rounds * 3; round++) {
        struct took start = now();
        for (size_t i = 0; i < threads; i++) {
            adders[i] = (struct adder){.plain = &plain,
                                       .from = plain.count * i / threads,
                                       .to = plain.count * (i + 1) / threads};
            CHECK(pthread_create(&adders[i].thread, NULL, sum_main, &adders[i]) == 0);
        }
        uint64_t sum = 0;
        for (size_t i = 0; i < threads; i++) {
            CHECK(pthread_join(adders[i].thread, NULL) == 0);
            sum += adders[i].sum;
        }
        took_since(&best, start);
        CHECK(sum != 0); /* it is used */
    }
    free(plain.codes);
    free(plain.times);
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
        double start = now().wall;
        timeline_commit(bench->timeline, position + 1);
        must(timeline_view_open(bench->timeline, position + 1, &view, &err), &err);
        worst = fmax(worst, now().wall - start);
        timeline_view_close(view);
    }
    free(people);
    return worst;
}

static void memory_measure(struct bench *bench)
{
    struct timeline_stats stats;
    double ignored;
    struct took clean = ours(bench, &funnel, &ignored), sum = plain_sum(bench);
    timeline_stats(bench->timeline, &stats);
    printf("{\"figure\":\"plain sum of the "
           "bytes\",\"seconds\":%.4f,\"ratio\":%.2f,\"cpu_ratio\":%.2f}\n",
           sum.wall, clean.wall / sum.wall, clean.cpu / sum.cpu);
    fflush(stdout);
    double fresh = deltas_feed(bench, stats.events / 20);
    timeline_stats(bench->timeline, &stats);
    struct took live = ours(bench, &funnel, &ignored);
    printf("{\"figure\":\"live against clean\",\"seconds\":%.4f,\"clean\":%.4f,\"ratio\":%.2f,"
           "\"cpu_ratio\":%.2f,\"delta_events\":%llu}\n",
           live.wall, clean.wall, live.wall / clean.wall, live.cpu / clean.cpu,
           (unsigned long long)stats.delta_events);
    printf("{\"figure\":\"freshness\",\"seconds\":%.4f}\n", fresh);
}

/* The mean length of an event as it was sent; the blanks that fill it up do not count. */
static void size_print(uint64_t events)
{
    char text[GENERATE_SHORT_BYTES];
    struct generate_event event;
    struct generate *generate = generate_new(4, (uint32_t)(events / 25), INT64_C(1795600000000));
    uint64_t bytes = 0, written = 0;
    generate_make_short(generate, WIDE_DAYS, events);
    for (uint64_t i = 0; i < events; i++) {
        generate_next(generate, &event);
        if (i % 97 != 0)
            continue;
        generate_write(generate, &event, text);
        size_t n = sizeof text - 1;
        while (text[n - 1] == ' ')
            n--;
        bytes += n + 1; /* the last brace stands behind the blanks */
        written++;
    }
    printf("{\"figure\":\"event\",\"bytes\":%.1f}\n", (double)bytes / (double)written);
    generate_free(generate);
}

/* The best of some; the last stays. */
static void rebuild_measure(struct bench *bench)
{
    struct timeline_options with = {.warehouse = bench->warehouse, .memory_bytes = (size_t)8 << 30};
    struct timeline_stats stats = {0};
    struct took took = {INFINITY, INFINITY};
    int64_t best_us = INT64_MAX;
    for (int round = 0; round < (bench->alone != NULL ? 1 : REBUILDS); round++) {
        if (round > 0)
            timeline_close(bench->timeline);
        struct took start = now();
        timeline_open(&with, &bench->timeline);
        while (timeline_stats(bench->timeline, &stats), !stats.ready)
            (void)poll(NULL, 0, 5); /* there is nobody to wait for */
        took_since(&took, start);
        best_us = stats.rebuild_us < best_us ? stats.rebuild_us : best_us;
    }
    printf("{\"figure\":\"rebuild\",\"events\":%llu,\"seconds\":%.3f,\"events_per_s\":%.0f,"
           "\"cpu\":%.3f,\"bytes_per_event\":%.2f}\n",
           (unsigned long long)stats.rebuild_events, (double)best_us / 1e6,
           (double)stats.rebuild_events * 1e6 / (double)best_us, took.cpu,
           (double)stats.bytes / (double)stats.rebuild_events);
    if (bench->alone == NULL)
        size_print(stats.rebuild_events);
    fflush(stdout);
}

int main(int argc, char **argv)
{
    struct err err;
    struct disk disk;
    char folder[512], exports[512];
    if (argc < 2)
        fatal("live_bench DATA [ROUNDS [CSV]]");
    struct bench bench = {.rounds = argc > 2 ? (int)strtol(argv[2], NULL, 10) : 5,
                          .alone = getenv("ALONE")};
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
    rebuild_measure(&bench);
    struct live_options live = {
        .timeline = bench.timeline, .warehouse = bench.warehouse, .clock = &bench.clock};
    must(live_open(&live, &bench.live, &err), &err);
    reports_compare(&bench);
    if (argc > 3)
        csv_write(&bench, argv[3]);
    memory_measure(&bench);
    live_close(bench.live);
    timeline_close(bench.timeline);
    warehouse_close(bench.warehouse);
    return 0;
}
