/* timeline_feed.c - from the pipeline's thread to a delta that readers see.
 *
 * The feed's thread turns texts into codes and appends a row of 48 bytes; it seals the rows, and
 * whoever has committed them to the warehouse hands them over, by a pointer. Everything that costs
 * cache misses (who is this visitor?) or time (sorting) is the keeper's. So the road pays some ten
 * nanoseconds per event and waits for nobody.
 *
 * The queue is bounded. When the keeper is so far behind that it is full, what is fed is thrown
 * away until the next commit: everything before that commit's position is in the warehouse, so a
 * rebuild from there loses nothing. */
#include "timeline/timeline_int.h"

#include <stdlib.h>

#include "base/arena.h"
#include "base/check.h"
#include "base/clock.h"

#define FEED_FIRST 1024
#define QUEUE_BYTES_MIN ((size_t)64 << 20) /* a million rows: ten seconds of a busy road */
#define RETRY_US (10 * US_PER_S)           /* after a rebuild that failed */
#define AHEAD 16                           /* rows whose slots are fetched before they are needed */

struct feed *timeline_feed_new(void)
{
    struct feed *feed = mem_zero(sizeof *feed);
    feed->capacity = FEED_FIRST;
    feed->rows = mem_alloc(feed->capacity * sizeof *feed->rows);
    return feed;
}

void timeline_feed_free(struct feed *feed)
{
    while (feed != NULL) {
        struct feed *next = feed->next;
        free(feed->rows);
        free(feed);
        feed = next;
    }
}

static size_t queue_bytes_max(const struct timeline *timeline)
{
    size_t share = timeline->options.memory_bytes / 8;
    return share < QUEUE_BYTES_MIN ? QUEUE_BYTES_MIN : share;
}

static struct feed_row *row_add(struct timeline *timeline)
{
    struct feed *feed = timeline->filling;
    if (feed->count == feed->capacity) {
        feed->capacity *= 2;
        feed->rows = mem_grow(feed->rows, feed->capacity * sizeof *feed->rows);
    }
    return &feed->rows[feed->count++];
}

void timeline_add_event(struct timeline *timeline, const struct timeline_event *event)
{
    if (timeline == NULL)
        return;
    CHECK(event->position < TIMELINE_POSITION_MAX);
    struct feed_row *row = row_add(timeline);
    row->position = event->position;
    row->visitor = event->visitor;
    row->person = event->person;
    row->time_us = event->time_us;
    row->amount = event->amount_micros;
    row->code = timeline_names_code(&timeline->names, timeline->memo, event->name);
    row->origin =
        timeline_names_origin(&timeline->names, timeline->memo, event->channel, event->campaign);
    row->kind = event->has_amount ? FEED_AMOUNT : FEED_EVENT;
}

void timeline_set_person(struct timeline *timeline, uint64_t visitor, uint64_t person)
{
    if (timeline == NULL)
        return;
    struct feed_row *row = row_add(timeline);
    row->visitor = visitor;
    row->person = person;
    row->kind = FEED_PERSON;
}

void timeline_seal(struct timeline *timeline, uint64_t position)
{
    if (timeline == NULL)
        return;
    struct feed *feed = timeline->filling;
    feed->position = position;
    pthread_mutex_lock(&timeline->mutex);
    CHECK(timeline->sealed == NULL);
    timeline->sealed = feed;
    timeline->filling = timeline->spare;
    timeline->spare = NULL;
    pthread_mutex_unlock(&timeline->mutex);
    if (timeline->filling == NULL)
        timeline->filling = timeline_feed_new();
}

/* Under the mutex. False when nobody will take it. */
static bool feed_queue(struct timeline *timeline, struct feed *feed)
{
    size_t bytes = feed->capacity * sizeof *feed->rows;
    if (timeline->queue_bytes + bytes > queue_bytes_max(timeline)) {
        timeline->lost = true; /* the keeper empties the queue and begins at this position */
        timeline->rebuild_cut = feed->position;
        return false;
    }
    if (timeline->failed) { /* until the rebuild is tried again */
        timeline->lost = monotonic_us() - timeline->failed_us > RETRY_US;
        timeline->failed = !timeline->lost;
        timeline->rebuild_cut = feed->position;
        return false;
    }
    timeline->queue_bytes += bytes;
    *timeline->queue_end = feed;
    timeline->queue_end = &feed->next;
    return true;
}

void timeline_commit_sealed(struct timeline *timeline)
{
    if (timeline == NULL)
        return;
    pthread_mutex_lock(&timeline->mutex);
    struct feed *feed = timeline->sealed;
    timeline->sealed = NULL;
    if (feed != NULL) {
        feed->commit_us = monotonic_us();
        if (feed_queue(timeline, feed))
            feed = NULL;
    }
    pthread_cond_signal(&timeline->changed);
    pthread_mutex_unlock(&timeline->mutex);
    timeline_feed_free(feed);
}

void timeline_commit(struct timeline *timeline, uint64_t position)
{
    timeline_seal(timeline, position);
    timeline_commit_sealed(timeline);
}

/* --- the keeper's half ------------------------------------------------------------------------ */

static void rows_reserve(struct timeline *timeline, size_t count)
{
    if (timeline->rows_capacity >= count)
        return;
    timeline->rows_capacity = count;
    free(timeline->rows);
    free(timeline->rows_scratch);
    free(timeline->amounts);
    timeline->rows = mem_alloc(count * sizeof *timeline->rows);
    timeline->rows_scratch = mem_alloc(count * sizeof *timeline->rows_scratch);
    timeline->amounts = mem_alloc(count * sizeof *timeline->amounts);
}

/* The visitor's slot, its person as this event knows it. */
static uint32_t event_slot(struct timeline *timeline, const struct feed_row *from)
{
    uint32_t slot = timeline_slot_take(timeline, from->visitor);
    if (from->visitor != 0 && timeline_slot_person(&timeline->slots, slot) != PERSON_ERASED)
        timeline_slot_give(
            timeline, slot,
            from->person == from->visitor ? slot : timeline_slot_take(timeline, from->person));
    return slot;
}

static void person_apply(struct timeline *timeline, const struct feed_row *from)
{
    uint32_t slot = timeline_slot_find(&timeline->slots, from->visitor);
    if (slot == TIMELINE_NONE || timeline_slot_person(&timeline->slots, slot) >= PERSON_ERASED)
        return; /* no event: its first one will say whose it is */
    timeline_slot_give(timeline, slot, timeline_slot_take(timeline, from->person));
}

void timeline_feed_apply(struct timeline *timeline, const struct feed *feed)
{
    uint32_t count = 0, amounts = 0;
    uint64_t dropped = 0;
    rows_reserve(timeline, feed->count);
    for (size_t i = 0; i < feed->count; i++) {
        const struct feed_row *from = &feed->rows[i];
        if (i + 2 * AHEAD < feed->count)
            timeline_slot_ahead(&timeline->slots, feed->rows[i + 2 * AHEAD].visitor, false);
        if (i + AHEAD < feed->count)
            timeline_slot_ahead(&timeline->slots, feed->rows[i + AHEAD].visitor, true);
        if (from->kind == FEED_PERSON) {
            person_apply(timeline, from);
            continue;
        }
        struct row *row = &timeline->rows[count];
        *row = (struct row){.code = from->code, .origin = from->origin};
        timeline_row_time(from->time_us, from->position, row);
        row->slot = event_slot(timeline, from);
        bool erased = timeline_slot_person(&timeline->slots, row->slot) == PERSON_ERASED &&
                      from->visitor != 0;
        if (erased || row->time < timeline->trim_before) {
            dropped += !erased;
            continue;
        }
        if (from->kind == FEED_AMOUNT) {
            timeline->amounts[amounts++] = from->amount;
            row->amount = amounts;
        }
        timeline->code_events[row->code]++;
        timeline->hours[row->time / HOUR_S]++;
        count++;
    }
    timeline->events += count;
    timeline->position = feed->position;
    pthread_mutex_lock(&timeline->mutex);
    timeline->stats.dropped += dropped;
    pthread_mutex_unlock(&timeline->mutex);
    if (count == 0)
        return;
    timeline_rows_sort(timeline->rows, timeline->rows_scratch, count, 0, timeline->slots.count);
    timeline_deltas_add(timeline,
                        timeline_piece_build(timeline, timeline->rows, count, timeline->amounts));
}

/* Events of a run do not count any more. */
static uint64_t run_uncount(struct timeline *timeline, const struct piece *piece, uint32_t slot)
{
    uint32_t from, to;
    if (piece == NULL)
        return 0;
    timeline_piece_run(piece, slot, &from, &to);
    uint64_t gone = 0;
    for (uint32_t i = from; i < to; i++) {
        if (piece->time[i] < timeline->trim_before)
            continue; /* it does not count any more */
        timeline->code_events[timeline_piece_code(piece, i)]--;
        timeline->hours[piece->time[i] / HOUR_S]--;
        gone++;
    }
    return gone;
}

static void visitor_erase(struct timeline *timeline, uint64_t visitor)
{
    uint32_t slot = timeline_slot_take(timeline, visitor);
    if (timeline_slot_person(&timeline->slots, slot) == PERSON_ERASED)
        return;
    uint64_t gone = 0;
    uint32_t page = slot / PAGE_SLOTS;
    gone += run_uncount(timeline, timeline->base[page], slot);
    if (page >= timeline->folded_pages)
        gone += run_uncount(timeline, timeline->folding_piece, slot);
    for (uint32_t i = 0; i < timeline->deltas_count; i++)
        gone += run_uncount(timeline, timeline->deltas[i], slot);
    timeline->events -= gone;
    timeline->sweep_wanted |= gone > 0;
    timeline_slot_erase(timeline, slot);
}

void timeline_erasures_apply(struct timeline *timeline, const uint64_t *visitors, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (visitors[i] != 0)
            visitor_erase(timeline, visitors[i]);
    if (count > 0)
        __atomic_add_fetch(&timeline->columns.erasures, 1, __ATOMIC_RELAXED);
}

void timeline_erase(struct timeline *timeline, const uint64_t *visitors, size_t count)
{
    if (timeline == NULL || count == 0)
        return;
    pthread_mutex_lock(&timeline->mutex);
    size_t wanted = timeline->erasures_count + count;
    if (wanted > timeline->erasures_capacity) {
        timeline->erasures_capacity = wanted * 2;
        timeline->erasures = mem_grow(timeline->erasures, wanted * 2 * sizeof *timeline->erasures);
    }
    memcpy(timeline->erasures + timeline->erasures_count, visitors, count * sizeof *visitors);
    timeline->erasures_count = wanted;
    uint64_t ticket = ++timeline->erasures_asked;
    pthread_cond_signal(&timeline->changed);
    /* Until it is ready nobody can open a view, and its first one is made after this. */
    while (timeline->ready && !timeline->stopping && timeline->erasures_done < ticket)
        pthread_cond_wait(&timeline->published, &timeline->mutex);
    pthread_mutex_unlock(&timeline->mutex);
    timeline_columns_forget(timeline);
}
