/* timeline_merge.c - deltas become fewer, and then part of the base.
 *
 * Deltas double: a new piece is merged with the one before while that is less than twice as large,
 * so there are at most some log2 of them, and an event is copied log2 times. When together they
 * reach a thirty-second of the base they become one piece, and that is merged into the base page by
 * page; between two steps the keeper looks whether something was fed, so freshness does not suffer.
 * Readers take pages below `folded_pages` from the base alone, pages above from both.
 *
 * The merge is also where what must go does go: events of the erased, and, above the memory's
 * limit, the oldest. What is too old is decided from counts kept per hour of event time, and in the
 * one hour of which only a part goes, by second: a day's or an hour's rush may be more than fits.
 * Such an event does not count from that moment on. */
#include "timeline/timeline_int.h"

#include "base/check.h"
#include "base/clock.h"

#define BASE_SHARE 32
#define BASE_MIN 65536               /* events: below it a merge would cost more than it saves */
#define STEP_MAX_US (50 * US_PER_MS) /* and at most: what was fed waits so long */
#define STEP_US (2 * US_PER_MS)      /* of the merge at least, before the next look at the queue */
#define MEMORY_HIGH_PERMILLE 940     /* above it the oldest go … */
#define MEMORY_LOW_PERMILLE 850      /* … until this is left: seldom, as each time all is swept */

static void deltas_remove(struct timeline *timeline, uint32_t at)
{
    timeline->deltas_count--;
    for (uint32_t i = at; i < timeline->deltas_count; i++)
        timeline->deltas[i] = timeline->deltas[i + 1];
    timeline->deltas[timeline->deltas_count] = NULL;
}

/* The last two become one. */
static void deltas_join(struct timeline *timeline)
{
    uint32_t at = timeline->deltas_count - 2;
    struct piece *a = timeline->deltas[at], *b = timeline->deltas[at + 1];
    struct piece *both = timeline_piece_merge(timeline, a, b, TIMELINE_NONE);
    timeline_retire(timeline, RETIRED_PIECE, a);
    timeline_retire(timeline, RETIRED_PIECE, b);
    deltas_remove(timeline, at + 1);
    timeline->deltas[at] = both;
    if (both == NULL)
        deltas_remove(timeline, at);
}

void timeline_deltas_add(struct timeline *timeline, struct piece *piece)
{
    CHECK(timeline->deltas_count < DELTAS_MAX - 2);
    timeline->deltas[timeline->deltas_count++] = piece;
    for (uint32_t n; (n = timeline->deltas_count) >= 2 &&
                     timeline->deltas[n - 2]->count / 2 < timeline->deltas[n - 1]->count;)
        deltas_join(timeline);
}

static uint64_t deltas_events(const struct timeline *timeline)
{
    uint64_t events = 0;
    for (uint32_t i = 0; i < timeline->deltas_count; i++)
        events += timeline->deltas[i]->count;
    return events;
}

/* A part of an hour of event time; who is erased does not count. */
struct part {
    uint32_t from, below; /* seconds since 1970 */
    uint32_t seconds[HOUR_S];
};

static void part_add(const struct timeline *timeline, const struct piece *piece, struct part *part)
{
    uint32_t length = part->below - part->from;
    for (uint32_t run = 0; piece != NULL && run < piece->runs; run++) {
        uint32_t slot = piece->slots != NULL ? piece->slots[run] : piece->first_slot + run;
        if (piece->offsets[run] == piece->offsets[run + 1] ||
            timeline_slot_person(&timeline->slots, slot) == PERSON_ERASED)
            continue;
        for (uint32_t i = piece->offsets[run]; i < piece->offsets[run + 1]; i++)
            if (piece->time[i] - part->from < length) /* also below: what wraps is large */
                part->seconds[piece->time[i] - part->from]++;
    }
}

/* Of the hour that `trim_before` lies in, so many of the oldest or a few more; how many. */
static uint64_t trim_in_hour(struct timeline *timeline, uint64_t too_many)
{
    struct part part = {.from = timeline->trim_before,
                        .below = (timeline->trim_before / HOUR_S + 1) * HOUR_S};
    for (uint32_t page = 0; page < timeline->slots.pages; page++)
        part_add(timeline, timeline->base[page], &part);
    for (uint32_t i = 0; i < timeline->deltas_count; i++)
        part_add(timeline, timeline->deltas[i], &part);
    uint64_t gone = 0;
    uint32_t *left = &timeline->hours[part.from / HOUR_S];
    for (uint32_t second = part.from; second < part.below && gone < too_many; second++) {
        gone += part.seconds[second - part.from];
        timeline->trim_before = second + 1;
    }
    CHECK(gone <= *left);
    *left -= (uint32_t)gone;
    if (*left == 0)
        timeline->trim_before = part.below;
    return gone;
}

/* Above the limit: from which second on events are kept. No merge is under way. */
static void trim_decide(struct timeline *timeline)
{
    size_t held = timeline_bytes(timeline), memory = timeline->options.memory_bytes;
    size_t high = memory / 1000 * MEMORY_HIGH_PERMILLE, low = memory / 1000 * MEMORY_LOW_PERMILLE;
    uint64_t stored = timeline->base_events + deltas_events(timeline);
    if (held <= high || timeline->sweep_wanted || stored == 0)
        return; /* what is decided already must go first */
    uint64_t too_many = (uint64_t)((double)(held - low) / ((double)held / (double)stored));
    if (too_many > timeline->events)
        too_many = timeline->events; /* the rest is erased already; no later hour is to go */
    uint64_t gone = 0;
    for (uint32_t hour = timeline->trim_before / HOUR_S;
         gone < too_many && hour + 1 < HOURS && gone + timeline->hours[hour] <= too_many; hour++) {
        gone += timeline->hours[hour];
        timeline->hours[hour] = 0;
        timeline->trim_before = (hour + 1) * HOUR_S;
    }
    if (gone < too_many && timeline->trim_before / HOUR_S + 1 < HOURS)
        gone += trim_in_hour(timeline, too_many - gone);
    timeline->events -= gone;
    timeline->sweep_wanted = true;
    pthread_mutex_lock(&timeline->mutex);
    timeline->stats.dropped += gone;
    pthread_mutex_unlock(&timeline->mutex);
}

static bool base_due(const struct timeline *timeline)
{
    uint64_t share = timeline->base_events / BASE_SHARE;
    uint64_t least = timeline->options.merge_events > 0 ? timeline->options.merge_events : BASE_MIN;
    return deltas_events(timeline) >= (share < least ? least : share);
}

bool timeline_base_waits(const struct timeline *timeline)
{
    return timeline->folding || timeline->sweep_wanted || base_due(timeline);
}

static void base_begin(struct timeline *timeline)
{
    if (base_due(timeline))
        trim_decide(timeline);
    while (timeline->deltas_count > 1)
        deltas_join(timeline);
    timeline->folding_piece = timeline->deltas[0];
    if (timeline->deltas_count > 0)
        deltas_remove(timeline, 0);
    timeline->folding = true;
    timeline->folded_pages = 0;
    timeline->sweeping = timeline->sweep_wanted;
    timeline->sweep_wanted = false;
}

static void page_fold(struct timeline *timeline, uint32_t page)
{
    struct piece *old = timeline->base[page];
    if (timeline_piece_page_events(timeline->folding_piece, page) == 0 &&
        (!timeline->sweeping || old == NULL))
        return;
    timeline->base[page] = timeline_piece_merge(timeline, old, timeline->folding_piece, page);
    timeline->base_events += timeline->base[page] == NULL ? 0 : timeline->base[page]->count;
    if (old != NULL) {
        timeline->base_events -= old->count;
        timeline_retire(timeline, RETIRED_PIECE, old);
    }
}

static void base_end(struct timeline *timeline)
{
    if (timeline->folding_piece != NULL)
        timeline_retire(timeline, RETIRED_PIECE, timeline->folding_piece);
    timeline->folding_piece = NULL;
    timeline->folding = timeline->sweeping = false;
    timeline->folded_pages = 0;
    pthread_mutex_lock(&timeline->mutex);
    timeline->stats.merges++;
    pthread_mutex_unlock(&timeline->mutex);
}

bool timeline_base_step(struct timeline *timeline, int64_t us)
{
    if (!timeline_base_waits(timeline))
        return false;
    if (!timeline->folding)
        base_begin(timeline);
    us = us < STEP_US ? STEP_US : us > STEP_MAX_US ? STEP_MAX_US : us;
    int64_t end_us = monotonic_us() + us;
    uint32_t most = timeline->options.merge_pages, done = 0;
    while (timeline->folded_pages < timeline->slots.pages && monotonic_us() < end_us &&
           (most == 0 || done++ < most))
        page_fold(timeline, timeline->folded_pages++);
    if (timeline->folded_pages >= timeline->slots.pages)
        base_end(timeline);
    return true;
}
