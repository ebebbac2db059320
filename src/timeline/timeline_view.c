/* timeline_view.c - what readers see: snapshots, published one after the other.
 *
 * A snapshot is a handful of pointer arrays: 24 bytes per 1,024 slots and one entry per delta, so
 * publishing one costs microseconds. Parts that it shows and that the next one replaces are RETIRED
 * with the next one's epoch, and freed when every snapshot before that epoch has been left. Only
 * the keeper frees, so a reader that closes its view does no work. */
#include "timeline/timeline_int.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/limits.h"

static void *copy_of(const void *array, size_t bytes)
{
    void *copy = mem_alloc(bytes > 0 ? bytes : 1);
    if (bytes > 0)
        memcpy(copy, array, bytes);
    return copy;
}

static void deltas_take(struct timeline *timeline, struct snapshot *snapshot)
{
    if (timeline->folding_piece != NULL) {
        snapshot->deltas[snapshot->deltas_count++] = timeline->folding_piece;
        snapshot->folded_pages = timeline->folded_pages;
    }
    for (uint32_t i = 0; i < timeline->deltas_count; i++)
        snapshot->deltas[snapshot->deltas_count++] = timeline->deltas[i];
    for (uint32_t i = 0; i < snapshot->deltas_count; i++)
        snapshot->view.delta_events += snapshot->deltas[i]->count;
}

static void names_take(struct timeline *timeline, struct snapshot *snapshot)
{
    struct timeline_view *view = &snapshot->view;
    pthread_mutex_lock(&timeline->names.mutex);
    view->names = timeline->names.name.count;
    view->origins = timeline->names.origins_count;
    view->channels = timeline->names.channel.count;
    view->campaigns = timeline->names.campaign.count;
    pthread_mutex_unlock(&timeline->names.mutex);
    view->wide_codes = view->names > 256;
    snapshot->code_events =
        copy_of(timeline->code_events, view->names * sizeof *timeline->code_events);
    view->code_events = snapshot->code_events;
}

void timeline_snapshot_publish(struct timeline *timeline)
{
    struct snapshot *snapshot = mem_zero(sizeof *snapshot);
    const struct slots *slots = &timeline->slots;
    size_t pointers = slots->pages * sizeof(void *);
    snapshot->timeline = timeline;
    timeline_slots_settle(timeline);
    snapshot->epoch = timeline->epoch++;
    snapshot->pages = slots->pages;
    snapshot->ids = copy_of(slots->ids, pointers);
    snapshot->maps = copy_of(slots->maps, pointers);
    snapshot->base = copy_of(timeline->base, pointers);
    snapshot->erasures = __atomic_load_n(&timeline->columns.erasures, __ATOMIC_RELAXED);
    deltas_take(timeline, snapshot);
    names_take(timeline, snapshot);
    snapshot->view.position = timeline->position;
    snapshot->view.complete_from_us =
        timeline->trim_before == 0 ? INT64_MIN : (int64_t)timeline->trim_before * US_PER_S;
    snapshot->view.events = timeline->events;
    snapshot->view.slots = slots->count;

    pthread_mutex_lock(&timeline->mutex);
    if (timeline->current == NULL)
        timeline->oldest = snapshot;
    else
        timeline->current->next = snapshot;
    timeline->current = snapshot;
    struct timeline_stats *stats = &timeline->stats;
    stats->position = snapshot->view.position;
    stats->events = snapshot->view.events;
    stats->delta_events = snapshot->view.delta_events;
    stats->visitors = slots->count - 1;
    stats->complete_from_us = snapshot->view.complete_from_us;
    pthread_cond_broadcast(&timeline->published);
    pthread_mutex_unlock(&timeline->mutex);
    timeline_retired_sweep(timeline);
}

static void snapshot_free(struct snapshot *snapshot)
{
    free(snapshot->ids);
    free(snapshot->maps);
    free(snapshot->base);
    free(snapshot->code_events);
    free(snapshot);
}

void timeline_snapshots_done(struct timeline *timeline)
{
    while (timeline->oldest != NULL) {
        struct snapshot *snapshot = timeline->oldest;
        timeline->oldest = snapshot->next;
        snapshot_free(snapshot);
    }
    timeline->current = NULL;
}

static size_t part_bytes(enum retired_kind kind, const void *part)
{
    return kind == RETIRED_PIECE ? ((const struct piece *)part)->bytes : sizeof(struct slot_page);
}

void timeline_retire(struct timeline *timeline, enum retired_kind kind, void *part)
{
    struct retired *retired = mem_alloc(sizeof *retired);
    *retired = (struct retired){timeline->retired, timeline->epoch, kind, part};
    timeline->retired = retired;
    timeline->retired_bytes += part_bytes(kind, part);
}

static void part_free(struct timeline *timeline, const struct retired *retired)
{
    timeline->retired_bytes -= part_bytes(retired->kind, retired->part);
    if (retired->kind == RETIRED_PIECE) {
        timeline_piece_free(timeline, retired->part);
        return;
    }
    __atomic_sub_fetch(&timeline->bytes, sizeof(struct slot_page), __ATOMIC_RELAXED);
    free(retired->part);
}

void timeline_retired_sweep(struct timeline *timeline)
{
    struct snapshot *left = NULL;
    pthread_mutex_lock(&timeline->mutex);
    while (timeline->oldest != timeline->current && timeline->oldest->refs == 0) {
        struct snapshot *snapshot = timeline->oldest;
        timeline->oldest = snapshot->next;
        snapshot->next = left;
        left = snapshot;
    }
    uint64_t seen = timeline->oldest == NULL ? UINT64_MAX : timeline->oldest->epoch;
    timeline->views_left = false;
    pthread_mutex_unlock(&timeline->mutex);
    while (left != NULL) {
        struct snapshot *next = left->next;
        snapshot_free(left);
        left = next;
    }
    for (struct retired **at = &timeline->retired; *at != NULL;) {
        struct retired *retired = *at;
        if (retired->epoch > seen) {
            at = &retired->next;
            continue;
        }
        *at = retired->next;
        part_free(timeline, retired);
        free(retired);
    }
}

/* --- views ------------------------------------------------------------------------------------ */

static struct timespec deadline_of(int64_t us)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    int64_t nanoseconds = until.tv_nsec + us % US_PER_S * 1000;
    until.tv_sec += us / US_PER_S + nanoseconds / 1000000000;
    until.tv_nsec = nanoseconds % 1000000000;
    return until;
}

/* Under the mutex. */
static enum status view_wait(struct timeline *timeline, uint64_t position, struct err *err)
{
    struct timespec until = deadline_of(LIMIT_WAIT_US);
    while (timeline->ready && timeline->current->view.position < position)
        if (pthread_cond_timedwait(&timeline->published, &timeline->mutex, &until) != 0)
            return err_set(
                err, ST_TIMEOUT, "could not wait for the timeline: it is at %llu of %llu",
                (unsigned long long)timeline->current->view.position, (unsigned long long)position);
    if (timeline->ready)
        return ST_OK;
    err_set(err, ST_BUSY, "could not read the timeline: it is being rebuilt (%.0f %%)",
            timeline->rebuild_progress * 100);
    return err_hint(err, ST_BUSY, "try again in some seconds");
}

enum status timeline_view_open(struct timeline *timeline, uint64_t position,
                               const struct timeline_view **ret_view, struct err *err)
{
    pthread_mutex_lock(&timeline->mutex);
    enum status status = view_wait(timeline, position, err);
    if (status == ST_OK) {
        timeline->current->refs++;
        timeline->stats.views++;
        *ret_view = &timeline->current->view;
    }
    pthread_mutex_unlock(&timeline->mutex);
    return status;
}

void timeline_view_close(const struct timeline_view *view)
{
    struct snapshot *snapshot = (struct snapshot *)(uintptr_t)view;
    struct timeline *timeline = snapshot->timeline;
    pthread_mutex_lock(&timeline->mutex);
    timeline->stats.views--;
    if (--snapshot->refs == 0 && snapshot != timeline->current) {
        timeline->views_left = true;
        pthread_cond_signal(&timeline->changed);
    }
    pthread_mutex_unlock(&timeline->mutex);
}

/* --- rows ------------------------------------------------------------------------------------- */

static const struct piece *row_piece(const struct timeline_view *view, uint64_t row)
{
    return snapshot_piece(snapshot_of(view), (uint32_t)(row >> 32));
}

bool timeline_amount(const struct timeline_view *view, uint64_t row, int64_t *ret_micros)
{
    return timeline_piece_amount(row_piece(view, row), (uint32_t)row, ret_micros);
}

int64_t timeline_time_us(const struct timeline_view *view, uint64_t row)
{
    const struct piece *piece = row_piece(view, row);
    uint32_t i = (uint32_t)row;
    return (int64_t)piece->time[i] * US_PER_S + (int64_t)(piece->place[i] >> POSITION_BITS);
}

uint64_t timeline_position(const struct timeline_view *view, uint64_t row)
{
    return row_piece(view, row)->place[(uint32_t)row] & POSITION_MASK;
}

/* --- people ----------------------------------------------------------------------------------- */

uint64_t timeline_person_id(const struct timeline_view *view, uint32_t person)
{
    return snapshot_of(view)->ids[person / PAGE_SLOTS][person % PAGE_SLOTS];
}

uint32_t timeline_person_find(const struct timeline_view *view, uint64_t id)
{
    const struct snapshot *snapshot = snapshot_of(view);
    struct slots *slots = &snapshot->timeline->slots;
    pthread_mutex_lock(&slots->mutex);
    uint32_t slot = timeline_slot_find(slots, id);
    pthread_mutex_unlock(&slots->mutex);
    if (slot >= view->slots ||
        snapshot->maps[slot / PAGE_SLOTS]->first[slot % PAGE_SLOTS] == TIMELINE_NONE)
        return TIMELINE_NONE;
    return slot;
}

void timeline_set_init(struct timeline_set *set, const struct timeline_view *view)
{
    set->slots = view->slots;
    set->words = mem_zero(((size_t)view->slots / 64 + 1) * sizeof *set->words);
}

void timeline_set_done(struct timeline_set *set)
{
    free(set->words);
    *set = (struct timeline_set){0};
}

uint64_t timeline_set_count(const struct timeline_set *set)
{
    uint64_t count = 0;
    for (uint32_t i = 0; set->slots > 0 && i <= set->slots / 64; i++)
        count += (uint64_t)__builtin_popcountll(set->words[i]);
    return count;
}
