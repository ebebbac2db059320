/* timeline.c - opening, the keeper's loop, closing, figures.
 *
 * The keeper takes what was fed, makes a delta of it, publishes; when nothing waits it merges a
 * little, and when nothing is left to merge it sleeps. It is the only thread that changes anything
 * readers see, so there is no lock around it but the queue's. */
#include "timeline/timeline_int.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/thread.h"

#define CODES 65536

/* What one turn of the loop has to do, taken under the mutex. */
struct turn {
    struct feed *feeds;
    uint64_t *erasures;
    size_t erasures_count;
    uint64_t erasures_asked;
    bool rebuild, sweep;
    uint64_t cut;
};

size_t timeline_bytes(const struct timeline *timeline)
{
    return __atomic_load_n(&timeline->bytes, __ATOMIC_RELAXED) +
           __atomic_load_n(&timeline->postings_bytes, __ATOMIC_RELAXED) +
           __atomic_load_n(&timeline->columns.bytes, __ATOMIC_RELAXED) - timeline->retired_bytes;
}

/* Under the mutex. */
static struct turn turn_take(struct timeline *timeline)
{
    struct turn turn = {
        .feeds = timeline->queue,
        .erasures = timeline->erasures,
        .erasures_count = timeline->erasures_count,
        .erasures_asked = timeline->erasures_asked,
        .rebuild = timeline->rebuild_wanted || timeline->lost,
        .sweep = timeline->views_left,
        .cut = timeline->rebuild_cut,
    };
    timeline->queue = NULL;
    timeline->queue_end = &timeline->queue;
    timeline->queue_bytes = 0;
    timeline->erasures = NULL;
    timeline->erasures_count = timeline->erasures_capacity = 0;
    if (turn.rebuild) {
        timeline->ready = false;
        timeline->rebuild_wanted = timeline->lost = false;
        pthread_cond_broadcast(&timeline->published);
    }
    return turn;
}

/* One buffer goes back to the feed, the others are freed. */
static void feeds_give(struct timeline *timeline, struct feed *feeds)
{
    if (feeds == NULL)
        return;
    struct feed *first = feeds;
    timeline_feed_free(first->next);
    first->next = NULL;
    first->count = 0;
    pthread_mutex_lock(&timeline->mutex);
    if (timeline->spare == NULL) {
        timeline->spare = first;
        first = NULL;
    }
    pthread_mutex_unlock(&timeline->mutex);
    timeline_feed_free(first);
}

static bool rebuild_run(struct timeline *timeline, uint64_t cut)
{
    struct err err;
    int64_t start_us = monotonic_us();
    timeline->position = cut;
    if (timeline->options.warehouse != NULL && timeline_rebuild(timeline, cut, &err) != ST_OK) {
        pthread_mutex_lock(&timeline->mutex);
        if (!timeline->stopping)
            fprintf(stderr, "hezou: the timeline could not be rebuilt: %s\n", err.message);
        timeline->failed = true;
        timeline->failed_us = monotonic_us();
        pthread_mutex_unlock(&timeline->mutex);
        return false;
    }
    pthread_mutex_lock(&timeline->mutex);
    timeline->stats.rebuild_us = monotonic_us() - start_us;
    timeline->stats.rebuild_events = timeline->events;
    pthread_mutex_unlock(&timeline->mutex);
    return true;
}

/* The commit that waited longest, of those that were applied. */
static int64_t feeds_apply(struct timeline *timeline, const struct turn *turn)
{
    int64_t commit_us = 0;
    for (const struct feed *feed = turn->feeds; feed != NULL; feed = feed->next) {
        if (turn->rebuild && feed->position <= turn->cut)
            continue; /* it came from the warehouse */
        timeline_feed_apply(timeline, feed);
        commit_us = commit_us == 0 ? feed->commit_us : commit_us;
    }
    return commit_us;
}

static void turn_run(struct timeline *timeline, struct turn *turn)
{
    int64_t commit_us = 0, start_us = monotonic_us();
    bool good = !turn->rebuild || rebuild_run(timeline, turn->cut);
    if (good) {
        commit_us = feeds_apply(timeline, turn);
        timeline_erasures_apply(timeline, turn->erasures, turn->erasures_count);
        if (turn->rebuild || turn->feeds != NULL || turn->erasures_count > 0)
            timeline_snapshot_publish(timeline);
        else if (turn->sweep)
            timeline_retired_sweep(timeline);
    }
    feeds_give(timeline, turn->feeds);
    free(turn->erasures);
    pthread_mutex_lock(&timeline->mutex);
    if (commit_us != 0)
        timeline->stats.fresh_last_us = monotonic_us() - commit_us;
    timeline->erasures_done = turn->erasures_asked;
    /* Whoever asked to erase while the rebuild ran was told that no view would show it. */
    timeline->ready = timeline->ready || (good && timeline->erasures_count == 0);
    timeline->ready = timeline->ready && !timeline->failed;
    pthread_cond_broadcast(&timeline->published);
    pthread_mutex_unlock(&timeline->mutex);
    /* As much time for merging as for taking, so that neither is starved by the other. */
    if (good && timeline_base_step(timeline, monotonic_us() - start_us))
        timeline_snapshot_publish(timeline);
}

static bool is_idle(const struct timeline *timeline)
{
    return timeline->queue == NULL && timeline->erasures_count == 0 && !timeline->rebuild_wanted &&
           !timeline->lost && !timeline->views_left && !timeline->stopping;
}

static void *keeper_main(void *argument)
{
    struct timeline *timeline = argument;
    thread_background();
    for (;;) {
        pthread_mutex_lock(&timeline->mutex);
        while (is_idle(timeline) && !timeline_base_waits(timeline))
            pthread_cond_wait(&timeline->changed, &timeline->mutex);
        bool stopping = timeline->stopping;
        struct turn turn = turn_take(timeline);
        pthread_mutex_unlock(&timeline->mutex);
        if (stopping) {
            timeline_feed_free(turn.feeds);
            free(turn.erasures);
            return NULL;
        }
        turn_run(timeline, &turn);
    }
}

struct timeline *timeline_new(const struct timeline_options *options)
{
    struct timeline *timeline = mem_zero(sizeof *timeline);
    timeline->options = *options;
    timeline->threads =
        options->threads > 0 ? options->threads : (int)sysconf(_SC_NPROCESSORS_ONLN);
    timeline->epoch = 1;
    timeline_names_init(&timeline->names);
    timeline_slots_init(timeline);
    timeline->memo = mem_zero(sizeof *timeline->memo);
    timeline->filling = timeline_feed_new();
    timeline->queue_end = &timeline->queue;
    timeline->code_events = mem_zero(CODES * sizeof *timeline->code_events);
    timeline->hours = mem_zero(HOURS * sizeof *timeline->hours);
    if (options->warehouse != NULL)
        timeline->rebuild_cut = warehouse_position(options->warehouse);
    timeline->stats.complete_from_us = INT64_MIN;
    pthread_mutex_init(&timeline->mutex, NULL);
    timeline_columns_init(&timeline->columns);
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&timeline->changed, &monotonic);
    pthread_cond_init(&timeline->published, &monotonic);
    pthread_condattr_destroy(&monotonic);
    return timeline;
}

void timeline_open(const struct timeline_options *options, struct timeline **ret_timeline)
{
    struct timeline *timeline = timeline_new(options);
    timeline->rebuild_wanted = true;
    CHECK(thread_start(&timeline->keeper, "timeline", keeper_main, timeline) == 0);
    *ret_timeline = timeline;
}

void timeline_close(struct timeline *timeline)
{
    if (timeline == NULL)
        return;
    pthread_mutex_lock(&timeline->mutex);
    CHECK(timeline->stats.views == 0);
    timeline->stopping = true;
    pthread_cond_broadcast(&timeline->changed);
    pthread_cond_broadcast(&timeline->published);
    pthread_mutex_unlock(&timeline->mutex);
    if (timeline->extract == NULL)
        CHECK(pthread_join(timeline->keeper, NULL) == 0);
    timeline_columns_done(&timeline->columns);
    timeline_snapshot_publish(timeline); /* of all that is left, so that nothing retired is shown */
    for (uint32_t i = 0; i < timeline->slots.pages; i++)
        timeline_piece_free(timeline, timeline->base[i]);
    for (uint32_t i = 0; i < timeline->deltas_count; i++)
        timeline_piece_free(timeline, timeline->deltas[i]);
    timeline_piece_free(timeline, timeline->folding_piece);
    timeline_snapshots_done(timeline);
    timeline_slots_done(timeline);
    timeline_names_done(&timeline->names);
    timeline_feed_free(timeline->filling);
    timeline_feed_free(timeline->queue);
    timeline_feed_free(timeline->spare);
    timeline_feed_free(timeline->sealed);
    free(timeline->memo);
    free(timeline->code_events);
    free(timeline->hours);
    free(timeline->rows);
    free(timeline->rows_scratch);
    free(timeline->amounts);
    free(timeline->erasures);
    pthread_cond_destroy(&timeline->changed);
    pthread_cond_destroy(&timeline->published);
    pthread_mutex_destroy(&timeline->mutex);
    free(timeline);
}

void timeline_stats(struct timeline *timeline, struct timeline_stats *ret_stats)
{
    pthread_mutex_lock(&timeline->mutex);
    *ret_stats = timeline->stats;
    ret_stats->ready = timeline->ready;
    pthread_mutex_unlock(&timeline->mutex);
    ret_stats->bytes = __atomic_load_n(&timeline->bytes, __ATOMIC_RELAXED) +
                       __atomic_load_n(&timeline->postings_bytes, __ATOMIC_RELAXED) +
                       __atomic_load_n(&timeline->columns.bytes, __ATOMIC_RELAXED);
}
