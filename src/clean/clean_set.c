/* clean_set.c - the message ids of one day in memory: a set of 16-byte keys, nothing else.
 *
 * Open addressing in 256 segments chosen by the key's first byte. Each segment grows by half on its
 * own, so growing never holds two copies of the whole set, and one step moves at most a 256th of
 * it. Slots come from the system in pages and go back to it when the day leaves memory.
 *
 * Keys are keyed hashes: their bits place them, and nobody outside can aim for one slot. The zero
 * key marks an empty slot (hash.h never gives it). One thread adds; it may look without a lock.
 * Others look under the segment's lock, which the adder holds while it adds (clean_dedup.c). */
#include "clean/clean_int.h"

#include <stdlib.h>
#include <sys/mman.h>

#include "base/check.h"

#define PAGE_SLOTS 256u /* 4 KiB */

struct clean_set *clean_set_new(void)
{
    return mem_zero(sizeof(struct clean_set));
}

/* Zeroed, by the page. */
static struct hash128 *slots_new(size_t capacity)
{
    void *p = mmap(NULL, capacity * sizeof(struct hash128), PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED)
        fatal("out of memory for the deduplication index");
    return p;
}

static void slots_free(struct hash128 *slots, uint32_t capacity)
{
    if (slots != NULL)
        munmap(slots, (size_t)capacity * sizeof *slots);
}

void clean_set_free(struct clean_set *set)
{
    if (set == NULL)
        return;
    for (unsigned i = 0; i < CLEAN_SET_SEGMENTS; i++)
        slots_free(set->segments[i].slots, set->segments[i].capacity);
    free(set);
}

static uint32_t first_slot(const struct clean_set_segment *segment, struct hash128 key)
{
    return (uint32_t)(((key.b >> 32) * segment->capacity) >> 32);
}

/* The slot that holds the key, or the empty one where it belongs. */
static struct hash128 *slot_of(const struct clean_set_segment *segment, struct hash128 key)
{
    uint32_t i = first_slot(segment, key);
    while (!hash128_is_zero(segment->slots[i]) && !hash128_eq(segment->slots[i], key))
        i = i + 1 == segment->capacity ? 0 : i + 1;
    return &segment->slots[i];
}

static void bytes_add(struct clean_set *set, uint64_t slots)
{
    __atomic_store_n(&set->bytes, set->bytes + slots * sizeof(struct hash128), __ATOMIC_RELAXED);
}

static void segment_grow(struct clean_set *set, struct clean_set_segment *segment,
                         uint32_t capacity)
{
    struct clean_set_segment old = *segment;
    segment->slots = slots_new(capacity);
    segment->capacity = capacity;
    for (uint32_t i = 0; i < old.capacity; i++)
        if (!hash128_is_zero(old.slots[i]))
            *slot_of(segment, old.slots[i]) = old.slots[i];
    slots_free(old.slots, old.capacity);
    bytes_add(set, capacity - old.capacity);
}

static uint32_t in_pages(uint64_t slots)
{
    CHECK(slots < UINT32_MAX - PAGE_SLOTS);
    return (uint32_t)((slots + PAGE_SLOTS - 1) / PAGE_SLOTS * PAGE_SLOTS);
}

bool clean_set_has(const struct clean_set *set, struct hash128 key)
{
    const struct clean_set_segment *segment = &set->segments[clean_set_segment_of(key)];
    return segment->count > 0 && !hash128_is_zero(*slot_of(segment, key));
}

void clean_set_add(struct clean_set *set, struct hash128 key)
{
    struct clean_set_segment *segment = &set->segments[clean_set_segment_of(key)];
    CHECK(!hash128_is_zero(key));
    if ((uint64_t)segment->count * 4 >= (uint64_t)segment->capacity * 3)
        segment_grow(set, segment, in_pages((uint64_t)segment->capacity * 3 / 2 + 1));
    struct hash128 *slot = slot_of(segment, key);
    segment->count += hash128_is_zero(*slot);
    *slot = key;
}

void clean_set_prefetch(const struct clean_set *set, struct hash128 key)
{
    const struct clean_set_segment *segment = &set->segments[clean_set_segment_of(key)];
    if (segment->capacity > 0)
        __builtin_prefetch(&segment->slots[first_slot(segment, key)]);
}

/* All segments are cut from one region of huge pages: loading ten million keys is then bound by the
 * memory and not by page faults. Each slice goes back alone when its segment grows. */
void clean_set_reserve(struct clean_set *set, uint64_t count)
{
    /* A segment's share scatters by its square root; 1/16 more covers that from 10,000 keys on,
     * and below it a segment that is short simply grows. */
    uint64_t share = count / CLEAN_SET_SEGMENTS;
    uint32_t capacity = in_pages((share + share / 16) * 3 / 2 + 1);
    struct hash128 *slots = slots_new((size_t)capacity * CLEAN_SET_SEGMENTS);
    if (madvise(slots, (size_t)capacity * CLEAN_SET_SEGMENTS * sizeof *slots, MADV_HUGEPAGE) != 0)
        set->bytes = 0; /* small pages do as well */
    for (unsigned i = 0; i < CLEAN_SET_SEGMENTS; i++) {
        CHECK(set->segments[i].capacity == 0);
        set->segments[i].slots = slots + (size_t)i * capacity;
        set->segments[i].capacity = capacity;
    }
    bytes_add(set, (uint64_t)capacity * CLEAN_SET_SEGMENTS);
}
