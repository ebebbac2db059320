/* map.h - 128-bit key to a 64-bit value, open addressing, in one flat array.
 *
 * Keys are already well-spread hashes (hash.h), so the table uses their bits as they are. The zero
 * key is not allowed. Not for two threads at once unless all only read. */
#ifndef BASE_MAP_H
#define BASE_MAP_H

#include "base/hash.h"

struct map_slot {
    struct hash128 key;
    uint64_t value;
};

struct map {
    struct map_slot *slots;
    size_t mask; /* slots - 1 */
    size_t count;
};

void map_init(struct map *map);
void map_done(struct map *map);

/* The value's address, or NULL. Valid until the next put or remove. */
uint64_t *map_find(const struct map *map, struct hash128 key);
/* Bring the memory that a find will look at; for several finds in a row, each a wait for memory. */
static inline void map_prefetch(const struct map *map, struct hash128 key)
{
    if (map->count > 0)
        __builtin_prefetch(&map->slots[key.a & map->mask]);
}
/* The value's address, made as 0 when the key is new; *ret_new says so (ret_new may be NULL). */
uint64_t *map_put(struct map *map, struct hash128 key, bool *ret_new);
/* False if the key was not there. */
bool map_remove(struct map *map, struct hash128 key);
/* What its array takes. */
size_t map_bytes(const struct map *map);

/* A 64-bit number as a key. */
static inline struct hash128 map_key_u64(uint64_t v)
{
    return (struct hash128){hash_mix(v ^ UINT64_C(0x9e3779b97f4a7c15)), v + 1};
}

/* for (struct map_slot *s = NULL; (s = map_next(map, s)) != NULL;) */
struct map_slot *map_next(const struct map *map, struct map_slot *slot);
#endif
