/* pauses.c - how still this machine stands while nothing runs on it.
 *
 * A thread on each core does the same piece of arithmetic again and again, without memory and
 * without the kernel, and takes the time. On a machine of one's own each piece takes the same time;
 * on a shared one whole tens of milliseconds are many times slower, and no server can answer faster
 * than its processor. make bench prints both beside the figures that they bound.
 *
 * usage: pauses SECONDS; prints "P50_US P99_US SHARE": of the pieces, and of the windows of 50 ms
 * the share (in %) in which a third of the pieces took over twice the p50. */
#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "meter.h"

#define PIECE_STEPS 100000
#define WINDOW_US 50000
#define CORES_MAX 64

struct piece {
    int64_t at_us, us;
};

struct core {
    pthread_t thread;
    int number;
    int64_t end_us;
    struct piece *pieces;
    size_t count, capacity;
};

static volatile uint64_t sink;

static void *core_run(void *ctx)
{
    struct core *core = ctx;
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(core->number, &set);
    (void)sched_setaffinity(0, sizeof set, &set); /* one that it may not have: it goes anywhere */
    uint64_t x = 1;
    for (int64_t before = meter_now_us(CLOCK_MONOTONIC); before < core->end_us;) {
        for (int i = 0; i < PIECE_STEPS; i++)
            x = x * UINT64_C(6364136223846793005) + 1;
        sink = x;
        int64_t after = meter_now_us(CLOCK_MONOTONIC);
        if (core->count == core->capacity) {
            core->capacity = core->capacity == 0 ? 4096 : core->capacity * 2;
            core->pieces = realloc(core->pieces, core->capacity * sizeof *core->pieces);
            if (core->pieces == NULL)
                abort();
        }
        core->pieces[core->count++] = (struct piece){before, after - before};
        before = after;
    }
    return NULL;
}

/* Of one core: how many windows there are, and how many are slow. */
static void windows_judge(const struct core *core, int64_t slow_us, long *windows, long *slow)
{
    for (size_t i = 0; i < core->count;) {
        int64_t window = core->pieces[i].at_us / WINDOW_US;
        long all = 0, late = 0;
        for (; i < core->count && core->pieces[i].at_us / WINDOW_US == window; i++) {
            all++;
            late += core->pieces[i].us > slow_us;
        }
        ++*windows;
        *slow += late * 3 > all;
    }
}

int main(int argc, char **argv)
{
    static struct core cores[CORES_MAX];
    static struct meter meter;
    long count = sysconf(_SC_NPROCESSORS_ONLN), windows = 0, slow = 0;
    double seconds = argc == 2 ? strtod(argv[1], NULL) : 0;
    if (seconds <= 0) {
        fputs("usage: pauses SECONDS\n", stderr);
        return 2;
    }
    count = count > CORES_MAX ? CORES_MAX : count;
    int64_t end_us = meter_now_us(CLOCK_MONOTONIC) + (int64_t)(seconds * 1e6);
    for (int i = 0; i < count; i++) {
        cores[i] = (struct core){.number = i, .end_us = end_us};
        if (pthread_create(&cores[i].thread, NULL, core_run, &cores[i]) != 0)
            return 1;
    }
    for (int i = 0; i < count; i++) {
        pthread_join(cores[i].thread, NULL);
        for (size_t at = 0; at < cores[i].count; at++)
            meter_add(&meter, cores[i].pieces[at].us);
    }
    double p50_us = meter_quantile_ms(&meter, 0.5) * 1000;
    for (int i = 0; i < count; i++) {
        windows_judge(&cores[i], (int64_t)(2 * p50_us), &windows, &slow);
        free(cores[i].pieces);
    }
    printf("%.0f %.0f %.1f\n", p50_us, meter_quantile_ms(&meter, 0.99) * 1000,
           windows == 0 ? 0 : 100.0 * (double)slow / (double)windows);
    return 0;
}
