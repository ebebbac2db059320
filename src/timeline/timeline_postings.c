/* timeline_postings.c - who has an event of this name, without reading everybody.
 *
 * Per piece: the codes that it has, and per code its runs that have one. Made at first use, for all
 * codes at once, because the pass over the piece is the price; it goes with the piece. Two readers
 * may make the same list; the second one throws its own away. */
#include "timeline/timeline_int.h"

#include <stdlib.h>
#include <string.h>

#include "base/arena.h"

#define CODES 65536

/* Scratch of one call: per code, the run that counted it last and how many runs did. */
struct tally {
    uint32_t last[CODES]; /* run + 1 */
    uint32_t count[CODES];
};

static void piece_tally(const struct piece *piece, struct tally *tally, const struct postings *into)
{
    for (uint32_t run = 0; run < piece->runs; run++)
        for (uint32_t i = piece->offsets[run]; i < piece->offsets[run + 1]; i++) {
            uint32_t code = timeline_piece_code(piece, i);
            if (tally->last[code] == run + 1)
                continue;
            tally->last[code] = run + 1;
            uint32_t at = tally->count[code]++;
            if (into != NULL)
                into->runs[at] = run;
        }
}

static struct postings *postings_make(const struct piece *piece)
{
    struct postings *postings = mem_zero(sizeof *postings);
    struct tally *tally = mem_zero(sizeof *tally);
    piece_tally(piece, tally, NULL);
    uint32_t codes = 0, runs = 0;
    for (uint32_t code = 0; code < CODES; code++) {
        codes += tally->count[code] > 0;
        runs += tally->count[code];
    }
    postings->codes = mem_alloc((codes + 1) * sizeof *postings->codes);
    postings->starts = mem_alloc((codes + 1) * sizeof *postings->starts);
    postings->runs = mem_alloc((runs + 1) * sizeof *postings->runs);
    postings->bytes = sizeof *postings + codes * 6 + runs * 4;
    uint32_t sum = 0;
    for (uint32_t code = 0; code < CODES; code++) {
        uint32_t n = tally->count[code];
        if (n == 0)
            continue;
        postings->codes[postings->codes_count] = (uint16_t)code;
        postings->starts[postings->codes_count++] = sum;
        tally->count[code] = sum;
        sum += n;
    }
    postings->starts[codes] = sum;
    memset(tally->last, 0, sizeof tally->last);
    piece_tally(piece, tally, postings);
    free(tally);
    return postings;
}

void timeline_postings_free(struct timeline *timeline, struct postings *postings)
{
    __atomic_sub_fetch(&timeline->postings_bytes, postings->bytes, __ATOMIC_RELAXED);
    free(postings->codes);
    free(postings->starts);
    free(postings->runs);
    free(postings);
}

static const struct postings *postings_of(struct timeline *timeline, const struct piece *piece)
{
    struct postings **place = (struct postings **)(uintptr_t)&piece->postings;
    struct postings *postings = __atomic_load_n(place, __ATOMIC_ACQUIRE);
    if (postings != NULL)
        return postings;
    postings = postings_make(piece);
    struct postings *other = NULL;
    __atomic_add_fetch(&timeline->postings_bytes, postings->bytes, __ATOMIC_RELAXED);
    if (__atomic_compare_exchange_n(place, &other, postings, false, __ATOMIC_ACQ_REL,
                                    __ATOMIC_ACQUIRE))
        return postings;
    timeline_postings_free(timeline, postings);
    return other;
}

static void run_add(const struct snapshot *snapshot, const struct piece *piece, uint32_t run,
                    struct timeline_set *set)
{
    uint32_t slot = piece->slots == NULL ? piece->first_slot + run : piece->slots[run];
    uint32_t person = snapshot->maps[slot / PAGE_SLOTS]->person[slot % PAGE_SLOTS];
    if (person < PERSON_ERASED)
        timeline_set_add(set, person);
}

/* From the run on that lies in page `from_page`: what lies before is part of the base already. */
static void piece_people(const struct snapshot *snapshot, const struct piece *piece, uint32_t code,
                         uint32_t from_page, struct timeline_set *set)
{
    const struct postings *postings = postings_of(snapshot->timeline, piece);
    uint32_t low = 0, high = postings->codes_count;
    uint32_t first = from_page == 0              ? 0
                     : from_page < piece->fences ? piece->fence[from_page]
                                                 : piece->runs;
    while (low < high) {
        uint32_t middle = (low + high) / 2;
        if (postings->codes[middle] < code)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == postings->codes_count || postings->codes[low] != code)
        return;
    for (uint32_t i = postings->starts[low]; i < postings->starts[low + 1]; i++)
        if (postings->runs[i] >= first)
            run_add(snapshot, piece, postings->runs[i], set);
}

void timeline_people_with(const struct timeline_view *view, uint32_t code, struct timeline_set *set)
{
    const struct snapshot *snapshot = snapshot_of(view);
    for (uint32_t i = 0; i < snapshot->pages; i++)
        if (snapshot->base[i] != NULL)
            piece_people(snapshot, snapshot->base[i], code, 0, set);
    for (uint32_t i = 0; i < snapshot->deltas_count; i++)
        piece_people(snapshot, snapshot->deltas[i], code, i == 0 ? snapshot->folded_pages : 0, set);
}
