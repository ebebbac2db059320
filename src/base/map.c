/* map.c - linear probing with backward-shift deletion: no tombstones, load at most 3/4. */
#include "base/map.h"

#include <stdlib.h>

#include "base/arena.h"
#include "base/check.h"

#define SLOTS_FIRST 64u

void map_init(struct map *map)
{
    *map = (struct map){0};
}

void map_done(struct map *map)
{
    free(map->slots);
    *map = (struct map){0};
}

size_t map_bytes(const struct map *map)
{
    return map->slots == NULL ? 0 : (map->mask + 1) * sizeof *map->slots;
}

static size_t probe(const struct map *map, struct hash128 key)
{
    size_t i = (size_t)key.a & map->mask;
    while (!hash128_is_zero(map->slots[i].key) && !hash128_eq(map->slots[i].key, key))
        i = (i + 1) & map->mask;
    return i;
}

uint64_t *map_find(const struct map *map, struct hash128 key)
{
    if (map->count == 0)
        return NULL;
    struct map_slot *slot = &map->slots[probe(map, key)];
    return hash128_is_zero(slot->key) ? NULL : &slot->value;
}

static void map_grow(struct map *map)
{
    struct map old = *map;
    size_t slots = old.slots == NULL ? SLOTS_FIRST : (old.mask + 1) * 2;
    map->slots = mem_table(slots * sizeof *map->slots);
    map->mask = slots - 1;
    for (size_t i = 0; old.slots != NULL && i <= old.mask; i++)
        if (!hash128_is_zero(old.slots[i].key))
            map->slots[probe(map, old.slots[i].key)] = old.slots[i];
    free(old.slots);
}

uint64_t *map_put(struct map *map, struct hash128 key, bool *ret_new)
{
    CHECK(!hash128_is_zero(key));
    if (map->slots == NULL || map->count >= (map->mask + 1) / 4 * 3)
        map_grow(map);
    struct map_slot *slot = &map->slots[probe(map, key)];
    bool fresh = hash128_is_zero(slot->key);
    if (fresh) {
        slot->key = key;
        slot->value = 0;
        map->count++;
    }
    if (ret_new != NULL)
        *ret_new = fresh;
    return &slot->value;
}

bool map_remove(struct map *map, struct hash128 key)
{
    if (map->count == 0)
        return false;
    size_t hole = probe(map, key);
    if (hash128_is_zero(map->slots[hole].key))
        return false;
    for (size_t i = (hole + 1) & map->mask; !hash128_is_zero(map->slots[i].key);
         i = (i + 1) & map->mask) {
        size_t home = (size_t)map->slots[i].key.a & map->mask;
        if (((i - home) & map->mask) >= ((i - hole) & map->mask)) {
            map->slots[hole] = map->slots[i];
            hole = i;
        }
    }
    map->slots[hole] = (struct map_slot){0};
    map->count--;
    return true;
}

struct map_slot *map_next(const struct map *map, struct map_slot *slot)
{
    if (map->slots == NULL)
        return NULL;
    struct map_slot *end = map->slots + map->mask + 1;
    for (slot = slot == NULL ? map->slots : slot + 1; slot < end; slot++)
        if (!hash128_is_zero(slot->key))
            return slot;
    return NULL;
}
