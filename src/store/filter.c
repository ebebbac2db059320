/* filter.c - a blocked Bloom filter: one cache miss per question (Putze, Sanders, Singler 2007). */
#include "store/filter.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"

#define KEYS_PER_BLOCK 42 /* 512 bits at about 12 a key */
#define BLOCK_BYTES 64

void filter_init(struct filter *filter, uint64_t capacity)
{
    size_t blocks = (size_t)(capacity / KEYS_PER_BLOCK) + 1;
    void *memory = aligned_alloc(BLOCK_BYTES, blocks * BLOCK_BYTES);
    CHECK(memory != NULL);
    memset(memory, 0, blocks * BLOCK_BYTES);
    *filter = (struct filter){.blocks = memory, .blocks_count = blocks, .capacity = capacity};
}

void filter_done(struct filter *filter)
{
    free(filter->blocks);
    *filter = (struct filter){0};
}

/* The block by the high bits of `a`: the map beside us uses the low ones. */
static uint64_t *block_of(const struct filter *filter, struct hash128 key)
{
    return filter->blocks[(size_t)(((unsigned __int128)key.a * filter->blocks_count) >> 64)];
}

/* Six bits for each of the eight words. */
static uint64_t bits_of(struct hash128 key)
{
    return hash_mix(key.a ^ (key.b * UINT64_C(0x9e3779b97f4a7c15)));
}

void filter_add(struct filter *filter, struct hash128 key)
{
    uint64_t *block = block_of(filter, key), bits = bits_of(key);
    for (int i = 0; i < 8; i++, bits >>= 6)
        block[i] |= UINT64_C(1) << (bits & 63);
    filter->count++;
}

bool filter_may_hold(const struct filter *filter, struct hash128 key)
{
    const uint64_t *block = block_of(filter, key);
    uint64_t bits = bits_of(key), held = 1;
    for (int i = 0; i < 8; i++, bits >>= 6)
        held &= block[i] >> (bits & 63);
    return held != 0;
}

size_t filter_bytes(const struct filter *filter)
{
    return filter->blocks_count * BLOCK_BYTES;
}
