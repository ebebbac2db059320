/* live_people.c - the live reports on customers, on attribution and on patterns by themselves.
 *
 *   live_people EVENTS
 *
 * Feeds EVENTS events of EVENTS / 25 people (30 % with two visitors, 1 % late) into a timeline
 * without a warehouse: 40 names by Zipf, of which four are touches and one the order (2 % of
 * events), 6 channels, 20 campaigns on an eighth of the events, half a year. Then each report
 * three times; one line of JSON per report with the best. CPU is this process's. */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

#include "analytics/live.h"
#include "base/arena.h"
#include "base/check.h"
#include "base/rng.h"

#define START (INT64_C(1767225600) * US_PER_S) /* 2026-01-01 */
#define DAYS 182
#define PER_PERSON 25
#define NAMES 40
#define RUNS 3

static const char *const touches[] = {"Ad Clicked", "Email Link Clicked", "Session Started",
                                      "QR Code Scanned"};
static const char *const channels[] = {"web", "app", "ads", "mail", "store", "miniprogram"};

struct bench {
    struct timeline *timeline;
    struct live *live;
    struct rng rng;
    uint64_t events, people, position;
    char names[NAMES][24], campaigns[20][16];
};

static double chance(struct bench *bench)
{
    return (double)(rng_u64(&bench->rng) >> 11) * 0x1p-53;
}

static double cpu_s(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

static const char *name_draw(struct bench *bench, bool *ret_order)
{
    double x = chance(bench);
    *ret_order = x < 0.02;
    if (x < 0.02)
        return "Order Completed";
    if (x < 0.14)
        return touches[(size_t)(chance(bench) * 4)];
    double y = chance(bench); /* most are of few names */
    return bench->names[(size_t)(y * y * y * NAMES)];
}

static void event_feed(struct bench *bench, uint64_t i)
{
    bool order;
    uint64_t person = 1 + (uint64_t)(chance(bench) * (double)bench->people);
    bool second = person % 10 < 3 && rng_u64(&bench->rng) % 2 == 0;
    int64_t time_us =
        START + (int64_t)((double)i / (double)bench->events * DAYS * 86400) * US_PER_S;
    if (chance(bench) < 0.01)
        time_us -= (int64_t)(chance(bench) * 86400) * US_PER_S;
    bench->position += 120;
    const char *name = name_draw(bench, &order);
    bool campaign = rng_u64(&bench->rng) % 8 == 0;
    struct timeline_event event = {
        .position = bench->position,
        .visitor = (person << 20 | (second ? 1 : 0)) << 1,
        .person = person << 21,
        .time_us = time_us,
        .name = str_of(name),
        .channel = str_of(channels[rng_u64(&bench->rng) % 6]),
        .campaign = campaign ? str_of(bench->campaigns[rng_u64(&bench->rng) % 20]) : STR(""),
        .has_amount = order,
        .amount_micros = order ? (int64_t)(chance(bench) * 5e8) : 0};
    timeline_add_event(bench->timeline, &event);
    if (i % 10000 == 9999)
        timeline_commit(bench->timeline, bench->position + 1);
}

static void report(struct bench *bench, const char *label, const char *name, const char *question)
{
    yyjson_doc *parsed = NULL;
    struct err err;
    struct buf json;
    double best = 1e9, cpu = 0;
    struct live_run run = {.after = bench->position, .limit_us = 600 * US_PER_S};
    if (json_parse(NULL, str_of(question), &parsed, &err) != ST_OK)
        fatal("%s", err.message);
    buf_init(&json, (size_t)64 << 20);
    for (int i = 0; i < RUNS; i++) {
        double cpu_before = cpu_s();
        int64_t before = monotonic_us();
        buf_reset(&json);
        if (live_report(bench->live, str_of(name), yyjson_doc_get_root(parsed), &run, &json,
                        &err) != ST_OK)
            fatal("%s: %s", label, err.message);
        double took = (double)(monotonic_us() - before) / 1e6;
        if (took < best) {
            best = took;
            cpu = cpu_s() - cpu_before;
        }
    }
    printf("{\"figure\":\"%s\",\"events\":%llu,\"seconds\":%.3f,\"cpu_seconds\":%.3f}\n", label,
           (unsigned long long)bench->events, best, cpu);
    fflush(stdout);
    if (getenv("SHOW") != NULL)
        printf("%.*s\n", (int)json.n, json.p);
    buf_done(&json);
    yyjson_doc_free(parsed);
}

static void world_make(struct bench *bench, struct clock *clock)
{
    struct err err;
    struct timeline_options options = {.memory_bytes = (size_t)8 << 30};
    struct timeline_stats stats = {0};
    int64_t before = monotonic_us();
    clock_init_virtual(clock, START + DAYS * US_PER_DAY);
    timeline_open(&options, &bench->timeline);
    for (timeline_stats(bench->timeline, &stats); !stats.ready;) {
        poll(NULL, 0, 1);
        timeline_stats(bench->timeline, &stats);
    }
    for (uint64_t i = 0; i < bench->events; i++)
        event_feed(bench, i);
    timeline_commit(bench->timeline, bench->position + 1);
    timeline_stats(bench->timeline, &stats);
    printf("{\"figure\":\"fed\",\"seconds\":%.1f,\"bytes_per_event\":%.1f,\"delta_events\":%llu}\n",
           (double)(monotonic_us() - before) / 1e6, (double)stats.bytes / (double)stats.events,
           (unsigned long long)stats.delta_events);
    struct live_options live = {
        .timeline = bench->timeline, .clock = clock, .zone = "Asia/Shanghai"};
    if (live_open(&live, &bench->live, &err) != ST_OK)
        fatal("%s", err.message);
}

int main(int argc, char **argv)
{
    static struct bench bench;
    struct clock clock;
    bench.events = argc > 1 ? strtoull(argv[1], NULL, 10) : 5000000;
    bench.people = bench.events / PER_PERSON + 1;
    bench.position = 64;
    rng_init_seed(&bench.rng, 7);
    for (int i = 0; i < NAMES; i++)
        snprintf(bench.names[i], sizeof bench.names[i], "event %d", i);
    for (int i = 0; i < 20; i++)
        snprintf(bench.campaigns[i], sizeof bench.campaigns[i], "campaign %d", i);
    world_make(&bench, &clock);
    report(&bench, "attribution last, half a year", "attribution",
           "{\"from\":\"2026-01-01\",\"to\":\"2026-07-01\"}");
    report(&bench, "attribution last, decay, shapley, markov", "attribution",
           "{\"from\":\"2026-01-01\",\"to\":\"2026-07-01\",\"models\":[\"last\",\"decay\","
           "\"shapley\",\"markov\"]}");
    report(&bench, "attribution last, 30 days", "attribution",
           "{\"from\":\"2026-06-01\",\"to\":\"2026-06-30\"}");
    report(&bench, "cohort revenue by month", "cohort", "{}");
    report(&bench, "rfm", "rfm", "{}");
    report(&bench, "weekly page", "weekly", "{}");
#define HALF_YEAR "{\"from\":\"2026-01-01\",\"to\":\"2026-07-01\""
#define STEPS HALF_YEAR ",\"steps\":[\"event 0\",\"event 1\",\"Order Completed\"]"
    report(&bench, "funnel, 3 steps, 7 days, to compare", "funnel", STEPS ",\"window\":\"7d\"}");
    report(&bench, "sequence (?1).*(?2).*(?3)", "sequence",
           STEPS ",\"pattern\":\"(?1).*(?2).*(?3)\"}");
    report(&bench, "sequence with times", "sequence",
           STEPS ",\"pattern\":\"(?1)(?t<=604800)(?2).*(?3)\"}");
    report(&bench, "sequence with times, by channel", "sequence",
           STEPS ",\"pattern\":\"(?1)(?t<=604800)(?2).*(?3)\","
                 "\"breakdown\":{\"by\":\"channel\"}}");
    report(&bench, "retention by conditions", "retention",
           HALF_YEAR ",\"conditions\":[\"event 0\",\"event 1\",\"Order Completed\"]}");
    live_close(bench.live);
    timeline_close(bench.timeline);
    return 0;
}
