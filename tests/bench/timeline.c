/* timeline.c - the timeline by itself: rebuild, memory, passes over a clean and over a live one.
 *
 *   timeline FOLDER EVENTS [SECONDS_OF_FEED]
 *
 * Makes a warehouse of EVENTS events in FOLDER if there is none: a person has 25 events, 30 % of
 * people two visitors, 40 names by Zipf, 20 campaigns, an amount on one event of eight, 1 % late.
 * Then it opens the timeline and prints one line of JSON per figure. CPU is this process's. */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/disk.h"
#include "base/rng.h"
#include "timeline/timeline_scan.h"

#define START (INT64_C(1793491200) * US_PER_S) /* 2026-11-01 */
#define PER_PERSON 25
#define NAMES 40
#define COMMIT 10000

struct bench {
    struct warehouse *warehouse;
    struct timeline *timeline;
    struct rng rng;
    uint64_t events, people, position;
    double zipf[NAMES];
    char names[NAMES][16], campaigns[20][16];
};

static void must(enum status status, const struct err *err)
{
    if (status != ST_OK)
        fatal("%s", err->message);
}

static double cpu_s(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

static double peak_mb(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (double)usage.ru_maxrss / 1024;
}

static double chance(struct bench *bench)
{
    return (double)(rng_u64(&bench->rng) >> 11) * 0x1p-53;
}

static unsigned name_draw(struct bench *bench)
{
    double x = chance(bench);
    unsigned i = 0;
    while (i + 1 < NAMES && x > bench->zipf[i])
        i++;
    return i;
}

static void event_make(struct bench *bench, uint64_t i, struct warehouse_event *event)
{
    uint64_t person = 1 + (uint64_t)(chance(bench) * (double)bench->people);
    bool second = person % 10 < 3 && rng_u64(&bench->rng) % 2 == 0;
    bench->position += 120;
    *event = (struct warehouse_event){
        .position = bench->position,
        .visitor = (person << 20 | (second ? 1 : 0)) << 1,
        .person = person << 21,
        .source = STR("shop"),
        .type = STR("track"),
        .name = str_of(bench->names[name_draw(bench)]),
        .channel = i % 3 == 0 ? STR("app") : STR("web"),
        .message_id = STR("m"),
        .time_us = START + (int64_t)((double)i / (double)bench->events * 90 * 86400e6),
        .received_us = START,
        .has_amount = i % 8 == 0,
        .amount_micros = (int64_t)(i % 100000) * 10000,
        .currency = STR("CNY"),
    };
    if (i % 4 == 0)
        event->campaign = str_of(bench->campaigns[person % 20]);
    if (i % 100 == 0)
        event->time_us -= 3600 * US_PER_S;
}

static void names_make(struct bench *bench)
{
    double sum = 0, so_far = 0;
    for (unsigned i = 0; i < NAMES; i++)
        sum += 1.0 / (i + 1);
    for (unsigned i = 0; i < NAMES; i++) {
        so_far += 1.0 / (i + 1);
        bench->zipf[i] = so_far / sum;
        snprintf(bench->names[i], sizeof bench->names[i], "Event Nr %u", i);
    }
    for (unsigned i = 0; i < 20; i++)
        snprintf(bench->campaigns[i], sizeof bench->campaigns[i], "campaign %u", i);
}

static void warehouse_fill(struct bench *bench)
{
    struct err err;
    struct warehouse_event event;
    for (uint64_t person = 1; person <= bench->people; person++)
        for (uint64_t second = 0; second < (person % 10 < 3 ? 2 : 1); second++)
            warehouse_add_visitor(bench->warehouse, (person << 20 | second) << 1, person << 21,
                                  second != 0 ? STR("anonymous_id") : STR("user_id"), STR("x"),
                                  100);
    bench->position = 100;
    for (uint64_t i = 0; i < bench->events; i++) {
        event_make(bench, i, &event);
        warehouse_add_event(bench->warehouse, &event);
        if (i % (COMMIT * 10) == 0)
            must(warehouse_commit(bench->warehouse, bench->position + 1, START, &err), &err);
    }
    must(warehouse_commit(bench->warehouse, bench->position + 1, START, &err), &err);
}

static const struct timeline_view *view_wait(struct bench *bench, uint64_t position)
{
    struct err err;
    const struct timeline_view *view;
    enum status status;
    struct timeline_stats stats;
    do
        timeline_stats(bench->timeline, &stats);
    while (!stats.ready && poll(NULL, 0, 2) == 0);
    status = timeline_view_open(bench->timeline, position, &view, &err);
    must(status, &err);
    return view;
}

/* Three steps inside seven days, the plainest way to count them: what a kernel pays for reading. */
struct funnel {
    uint64_t reached[4];
    bool filtered;
};

static void funnel_take(struct funnel *funnel, const struct timeline_run *run)
{
    uint32_t started[3] = {0};
    unsigned level = 0;
    for (uint32_t i = 0; i < run->count && level < 3; i++) {
        uint32_t code = timeline_code(run, i), t = run->time[i];
        if (code == 1) {
            started[0] = t;
            level = level > 1 ? level : 1;
        } else if (code == 3 && started[0] != 0 && t - started[0] <= 7 * 86400) {
            started[1] = started[0];
            level = 2;
        } else if (code == 6 && started[1] != 0 && t - started[1] <= 7 * 86400) {
            level = 3;
        }
    }
    funnel->reached[level]++;
}

static void funnel_work(struct timeline_cursor *cursor, void *ctx)
{
    struct funnel *funnel = ctx;
    struct timeline_run run;
    struct timeline_batch batch;
    while (!funnel->filtered && timeline_cursor_next(cursor, &run))
        funnel_take(funnel, &run);
    while (funnel->filtered && timeline_cursor_batch(cursor, &batch))
        for (uint32_t i = 0; i < batch.people; i++) {
            timeline_batch_run(&batch, i, &run);
            funnel_take(funnel, &run);
        }
}

static void pass_measure(const struct timeline_view *view, const char *what, bool filtered)
{
    uint8_t wanted[65536] = {0};
    double best_cpu = 1e9, best = 1e9;
    struct funnel all = {0};
    wanted[1] = wanted[3] = wanted[6] = 1;
    for (int round = 0; round < 5; round++) {
        struct timeline_scan *scan;
        struct funnel funnels[2] = {{.filtered = filtered}, {.filtered = filtered}};
        struct timeline_scan_options options = {.wanted = filtered ? wanted : NULL};
        double cpu = cpu_s();
        int64_t start_us = monotonic_us();
        timeline_scan_open(view, &options, &scan);
        timeline_scan_run(scan, 2, funnel_work, funnels, sizeof funnels[0]);
        timeline_scan_close(scan);
        double seconds = (double)(monotonic_us() - start_us) / 1e6;
        cpu = cpu_s() - cpu;
        best_cpu = cpu < best_cpu ? cpu : best_cpu;
        best = seconds < best ? seconds : best;
        for (unsigned i = 0; i < 4; i++)
            all.reached[i] = funnels[0].reached[i] + funnels[1].reached[i];
    }
    printf("{\"figure\":\"%s\",\"events\":%llu,\"delta_events\":%llu,\"seconds\":%.4f,\"cpu\":%.4f,"
           "\"reached\":[%llu,%llu,%llu]}\n",
           what, (unsigned long long)view->events, (unsigned long long)view->delta_events, best,
           best_cpu, (unsigned long long)(all.reached[1] + all.reached[2] + all.reached[3]),
           (unsigned long long)(all.reached[2] + all.reached[3]),
           (unsigned long long)all.reached[3]);
}

/* A share of the base comes as deltas, some people merge: what a day does to a clean timeline. */
static void feed(struct bench *bench, uint64_t events)
{
    struct warehouse_event row;
    double cpu = cpu_s();
    int64_t fresh_us = 0;
    for (uint64_t i = 0; i < events; i++) {
        event_make(bench, bench->events - events + i, &row);
        struct timeline_event event = {.position = row.position,
                                       .visitor = row.visitor,
                                       .person = row.person,
                                       .time_us = row.time_us,
                                       .name = row.name,
                                       .channel = row.channel,
                                       .campaign = row.campaign,
                                       .has_amount = row.has_amount,
                                       .amount_micros = row.amount_micros};
        timeline_add_event(bench->timeline, &event);
        if (i % 500 == 0)
            timeline_set_person(bench->timeline, row.visitor,
                                (1 + rng_u64(&bench->rng) % bench->people) << 21);
        if (i % COMMIT != COMMIT - 1)
            continue;
        int64_t start_us = monotonic_us();
        timeline_commit(bench->timeline, bench->position + 1);
        timeline_view_close(view_wait(bench, bench->position + 1));
        int64_t took_us = monotonic_us() - start_us;
        fresh_us = took_us > fresh_us ? took_us : fresh_us;
    }
    timeline_commit(bench->timeline, bench->position + 1);
    printf(
        "{\"figure\":\"feed\",\"events\":%llu,\"cpu_us_per_event\":%.3f,\"fresh_max_ms\":%.1f}\n",
        (unsigned long long)events, (cpu_s() - cpu) * 1e6 / (double)events, (double)fresh_us / 1e3);
}

int main(int argc, char **argv)
{
    struct err err;
    struct bench bench = {0};
    struct disk disk;
    struct clock clock;
    char folder[512], exports[512];
    if (argc < 3)
        fatal("timeline FOLDER EVENTS");
    bench.events = strtoull(argv[2], NULL, 10);
    bench.people = bench.events / PER_PERSON;
    disk_init(&disk);
    clock_init_virtual(&clock, START);
    rng_init_seed(&bench.rng, 1);
    names_make(&bench);
    snprintf(folder, sizeof folder, "%s/warehouse", argv[1]);
    snprintf(exports, sizeof exports, "%s/export", argv[1]);
    (void)mkdir(argv[1], 0700); /* warehouse_open says what is wrong */
    struct warehouse_options options = {
        .folder = folder, .export_folder = exports, .disk = &disk, .clock = &clock};
    must(warehouse_open(&options, &bench.warehouse, &err), &err);
    if (warehouse_position(bench.warehouse) == 0)
        warehouse_fill(&bench);
    bench.position = warehouse_position(bench.warehouse);

    double cpu = cpu_s();
    struct timeline_options with = {.warehouse = bench.warehouse, .memory_bytes = (size_t)8 << 30};
    timeline_open(&with, &bench.timeline);
    struct timeline_stats stats;
    do
        (void)poll(NULL, 0, 2); /* there is nobody to wait for */
    while (timeline_stats(bench.timeline, &stats), !stats.ready);
    printf("{\"figure\":\"rebuild\",\"events\":%llu,\"seconds\":%.3f,\"cpu\":%.3f,\"events_per_s\":"
           "%.0f,\"bytes_per_event\":%.2f,\"peak_bytes_per_event\":%.2f,\"rss_peak_mb\":%.0f}\n",
           (unsigned long long)stats.rebuild_events, (double)stats.rebuild_us / 1e6, cpu_s() - cpu,
           (double)stats.rebuild_events * 1e6 / (double)stats.rebuild_us,
           (double)stats.bytes / (double)stats.rebuild_events,
           (double)stats.rebuild_bytes_peak / (double)stats.rebuild_events, peak_mb());
    const struct timeline_view *view = view_wait(&bench, 0);
    pass_measure(view, "clean, all events", false);
    pass_measure(view, "clean, wanted events", true);
    timeline_view_close(view);
    feed(&bench, bench.events / 20);
    view = view_wait(&bench, bench.position + 1);
    pass_measure(view, "live, all events", false);
    pass_measure(view, "live, wanted events", true);
    timeline_view_close(view);
    timeline_close(bench.timeline);
    warehouse_close(bench.warehouse);
    return 0;
}
