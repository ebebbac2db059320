/* live_journey.c - the table: open addressing over hashes, paths end to end in one array. */
#include "analytics/live_journey.h"

#include <stdlib.h>

#include "base/hash.h"

void live_journeys_done(struct live_journeys *journeys)
{
    free(journeys->list);
    free(journeys->slots);
    free(journeys->touches);
    *journeys = (struct live_journeys){0};
}

static uint64_t hash_of(const uint32_t *path, uint32_t length)
{
    uint64_t hash = length;
    for (uint32_t i = 0; i < length; i++)
        hash = hash_mix(hash ^ (path[i] + UINT64_C(0x9e3779b97f4a7c15)));
    return hash;
}

static void slots_fill(struct live_journeys *journeys)
{
    memset(journeys->slots, 0, journeys->slots_count * sizeof *journeys->slots);
    for (size_t i = 0; i < journeys->count; i++) {
        size_t at = journeys->list[i].hash & (journeys->slots_count - 1);
        while (journeys->slots[at] != 0)
            at = (at + 1) & (journeys->slots_count - 1);
        journeys->slots[at] = (uint32_t)i + 1;
    }
}

static void table_grow(struct live_journeys *journeys)
{
    journeys->capacity = journeys->capacity == 0 ? 1024 : journeys->capacity * 2;
    journeys->list = mem_grow(journeys->list, journeys->capacity * sizeof *journeys->list);
    journeys->slots_count = journeys->capacity * 2;
    free(journeys->slots);
    journeys->slots = mem_alloc(journeys->slots_count * sizeof *journeys->slots);
    slots_fill(journeys);
}

static struct live_journey *journey_new(struct live_journeys *journeys, const uint32_t *path,
                                        uint32_t length, uint64_t hash, size_t slot)
{
    if (journeys->touches_count + length > journeys->touches_capacity) {
        journeys->touches_capacity = (journeys->touches_count + length) * 2 + 4096;
        journeys->touches =
            mem_grow(journeys->touches, journeys->touches_capacity * sizeof *journeys->touches);
    }
    if (length > 0)
        memcpy(journeys->touches + journeys->touches_count, path, length * sizeof *path);
    struct live_journey *journey = &journeys->list[journeys->count++];
    *journey =
        (struct live_journey){.hash = hash, .start = journeys->touches_count, .length = length};
    journeys->touches_count += length;
    journeys->slots[slot] = (uint32_t)journeys->count;
    return journey;
}

struct live_journey *live_journeys_put(struct live_journeys *journeys, const uint32_t *path,
                                       uint32_t length)
{
    uint64_t hash = hash_of(path, length);
    if (journeys->count == journeys->capacity)
        table_grow(journeys);
    size_t mask = journeys->slots_count - 1, at = hash & mask;
    for (; journeys->slots[at] != 0; at = (at + 1) & mask) {
        struct live_journey *journey = &journeys->list[journeys->slots[at] - 1];
        if (journey->hash == hash && journey->length == length &&
            (length == 0 ||
             memcmp(journeys->touches + journey->start, path, length * sizeof *path) == 0))
            return journey;
    }
    return journey_new(journeys, path, length, hash, at);
}

void live_journeys_add(struct live_journeys *journeys, const struct live_journeys *others)
{
    for (size_t i = 0; i < others->count; i++) {
        const struct live_journey *from = &others->list[i];
        struct live_journey *to =
            live_journeys_put(journeys, others->touches + from->start, from->length);
        to->conversions += from->conversions;
        to->arrivals += from->arrivals;
        to->nulls += from->nulls;
        to->micros += from->micros;
    }
}

/* Equal hashes of unequal paths: rarer than a broken disk, and then only the order is by chance. */
static int by_hash(const void *a, const void *b)
{
    const struct live_journey *x = a, *y = b;
    if (x->hash != y->hash)
        return x->hash < y->hash ? -1 : 1;
    return (x->length > y->length) - (x->length < y->length);
}

void live_journeys_sort(struct live_journeys *journeys)
{
    if (journeys->count == 0)
        return;
    qsort(journeys->list, journeys->count, sizeof *journeys->list, by_hash);
    slots_fill(journeys);
}
