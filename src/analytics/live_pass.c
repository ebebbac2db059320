/* live_pass.c - one pass over people, on all cores, that ends in time.
 *
 * The threads look at the clock and at the caller's wish to stop once in some people; then the scan
 * is cancelled and every cursor ends at its next step. */
#include "analytics/live_int.h"

#include <stdlib.h>
#include <unistd.h>

#include "base/hook.h"

#define LOOK_EVERY 256    /* people … */
#define LOOK_EVENTS 65536 /* … or events, whichever is first */

struct pass {
    struct live_ask *ask;
    struct timeline_scan *scan;
    live_each *each;
    live_each_batch *each_batch; /* instead, or NULL */
    int late, cancelled;         /* atomic */
};

struct passer {
    struct pass *pass;
    void *ctx;
    bool is_first;
    uint64_t events;
};

int live_threads(const struct live_ask *ask)
{
    int threads = ask->live->options.threads;
    return threads > 0 ? threads : (int)sysconf(_SC_NPROCESSORS_ONLN);
}

/* Asked or out of time: then every thread's cursor ends at its next step. */
static bool is_over(struct passer *passer)
{
    struct pass *pass = passer->pass;
    const struct live_run *run = pass->ask->run;
    if (run->cancel != NULL && __atomic_load_n(run->cancel, __ATOMIC_RELAXED))
        __atomic_store_n(&pass->cancelled, 1, __ATOMIC_RELAXED);
    else if (monotonic_us() > pass->ask->deadline_us)
        __atomic_store_n(&pass->late, 1, __ATOMIC_RELAXED);
    else
        return false;
    timeline_scan_cancel(pass->scan);
    return true;
}

static void look(struct passer *passer)
{
    const struct live_run *run = passer->pass->ask->run;
    bool over;
    do {
        over = is_over(passer);
        if (!over && passer->is_first && run->progress != NULL)
            run->progress(run->ctx, timeline_scan_progress(passer->pass->scan));
    } while (!over && hook_held("live_pass"));
}

static void batch_work(struct timeline_cursor *cursor, void *ctx)
{
    struct passer *passer = ctx;
    struct pass *pass = passer->pass;
    struct timeline_batch batch;
    struct timeline_run run;
    while (timeline_cursor_batch(cursor, &batch)) {
        passer->events += batch.events;
        if (pass->each_batch != NULL)
            pass->each_batch(pass->ask, &batch, passer->ctx);
        for (uint32_t i = 0; i < batch.people && pass->each_batch == NULL; i++) {
            timeline_batch_run(&batch, i, &run);
            pass->each(pass->ask, &run, passer->ctx);
        }
        look(passer);
    }
}

static void pass_work(struct timeline_cursor *cursor, void *ctx)
{
    struct passer *passer = ctx;
    struct pass *pass = passer->pass;
    struct timeline_run run;
    uint64_t events = 0, looked = 0;
    for (unsigned people = 0; timeline_cursor_next(cursor, &run); people++) {
        if (people % LOOK_EVERY == 0 || events - looked > LOOK_EVENTS) {
            looked = events;
            look(passer);
        }
        events += run.count;
        pass->each(pass->ask, &run, passer->ctx);
    }
    passer->events = events;
}

static enum status cancelled(struct err *err)
{
    return err_set(err, ST_BUSY, "the report was cancelled");
}

static enum status late(const struct live_ask *ask, struct err *err)
{
    err_set(err, ST_TIMEOUT, "could not finish the report within its time limit of %.3g s",
            (double)ask->limit_us / US_PER_S);
    return err_hint(err, ST_TIMEOUT,
                    "ask for a shorter window, or allow it more: timeout=SECONDS "
                    "(--timeout on the command line), at most 600");
}

enum status live_goes_on(const struct live_ask *ask, struct err *err)
{
    if (ask->run->cancel != NULL && __atomic_load_n(ask->run->cancel, __ATOMIC_RELAXED))
        return cancelled(err);
    return monotonic_us() > ask->deadline_us ? late(ask, err) : ST_OK;
}

static enum status run_pass(struct live_ask *ask, const struct timeline_scan_options *options,
                            struct pass pass, void *ctxs, size_t ctx_size, struct err *err)
{
    int threads = live_threads(ask);
    pass.ask = ask;
    struct passer *passers = mem_zero((size_t)threads * sizeof *passers);
    for (int i = 0; i < threads; i++)
        passers[i] = (struct passer){
            .pass = &pass, .ctx = (char *)ctxs + (size_t)i * ctx_size, .is_first = i == 0};
    if (ask->run->progress != NULL)
        ask->run->progress(ask->run->ctx, 0);
    timeline_scan_open(ask->view, options, &pass.scan);
    timeline_scan_run(pass.scan, threads, options->wanted != NULL ? batch_work : pass_work, passers,
                      sizeof *passers);
    timeline_scan_close(pass.scan);
    for (int i = 0; i < threads; i++)
        ask->events_read += passers[i].events;
    free(passers);
    if (pass.cancelled)
        return cancelled(err);
    return pass.late ? late(ask, err) : ST_OK;
}

enum status live_pass(struct live_ask *ask, const struct timeline_set *only, const uint8_t *wanted,
                      live_each *each, void *ctxs, size_t ctx_size, struct err *err)
{
    struct timeline_scan_options options = {.only = only, .wanted = wanted};
    return run_pass(ask, &options, (struct pass){.each = each}, ctxs, ctx_size, err);
}

enum status live_pass_batches(struct live_ask *ask, const struct timeline_set *only,
                              const uint8_t *wanted, live_each_batch *each, void *ctxs,
                              size_t ctx_size, struct err *err)
{
    struct timeline_scan_options options = {
        .only = only, .wanted = wanted, .no_origins = ask->breakdown == NULL};
    return run_pass(ask, &options, (struct pass){.each_batch = each}, ctxs, ctx_size, err);
}

enum status live_pass_all(struct live_ask *ask, live_each *each, void *ctxs, size_t ctx_size,
                          struct err *err)
{
    struct timeline_scan_options options = {.nobody_too = true};
    return run_pass(ask, &options, (struct pass){.each = each}, ctxs, ctx_size, err);
}

/* The first index whose time is not below `time`. */
static uint32_t lower_bound(const uint32_t *times, uint32_t count, uint32_t time)
{
    uint32_t low = 0;
    while (count > 0) {
        uint32_t half = count / 2;
        if (times[low + half] < time) {
            low += half + 1;
            count -= half + 1;
        } else {
            count = half;
        }
    }
    return low;
}

void live_window(const struct live_ask *ask, const struct timeline_run *run, uint32_t *ret_first,
                 uint32_t *ret_end)
{
    uint32_t first = run->count > 0 && run->time[0] >= ask->from_s
                         ? 0
                         : lower_bound(run->time, run->count, ask->from_s);
    *ret_first = first;
    *ret_end = run->count > 0 && run->time[run->count - 1] < ask->to_s
                   ? run->count
                   : first + lower_bound(run->time + first, run->count - first, ask->to_s);
}
