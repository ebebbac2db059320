/* timeline_slots.c - who is which number, and who belongs to whom.
 *
 * One space of slots for visitors and for people: a person's id is nearly always its founding
 * visitor's. A person's visitors are a chain through `next`, from the person's `first`. Readers
 * walk the chains of their snapshot, so a page that was published is copied before it is changed:
 * 12 KB, and only for pages in which somebody was merged, split or erased.
 *
 * Slot 0 is visitor 0: its events are nobody's, and no person's chain has it. An erased slot stays
 * as a tombstone, so that what a rebuild or a late batch still brings for it is dropped. */
#include "timeline/timeline_int.h"

#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/check.h"

static void bytes_add(struct timeline *timeline, size_t n)
{
    __atomic_add_fetch(&timeline->bytes, n, __ATOMIC_RELAXED);
}

/* The first time that many are announced, their ids get one block. */
static void region_reserve(struct slots *slots, uint32_t count)
{
    if (slots->region != NULL || count / PAGE_SLOTS <= slots->pages)
        return;
    slots->region_first = slots->pages;
    slots->region_pages = count / PAGE_SLOTS + 1 - slots->pages;
    slots->region = mem_table((size_t)slots->region_pages * PAGE_SLOTS * sizeof(uint64_t));
}

static uint64_t *ids_new(struct slots *slots)
{
    if (slots->region_used < slots->region_pages)
        return slots->region + (size_t)PAGE_SLOTS * slots->region_used++;
    return mem_zero(PAGE_SLOTS * sizeof(uint64_t));
}

void timeline_slots_init(struct timeline *timeline)
{
    struct slots *slots = &timeline->slots;
    *slots = (struct slots){.table = {mem_zero(ID_TABLE_FIRST * 8), ID_TABLE_FIRST - 1}};
    pthread_mutex_init(&slots->mutex, NULL);
    bytes_add(timeline, ID_TABLE_FIRST * 8);
    uint32_t nobody = timeline_slot_take(timeline, 0);
    CHECK(nobody == 0);
}

void timeline_slots_done(struct timeline *timeline)
{
    struct slots *slots = &timeline->slots;
    for (uint32_t i = 0; i < slots->pages; i++) {
        if (i < slots->region_first || i >= slots->region_first + slots->region_used)
            free(slots->ids[i]);
        free(slots->maps[i]);
    }
    bytes_add(timeline, -(slots->pages * (sizeof(struct slot_page) + PAGE_SLOTS * 8) +
                          ((size_t)slots->table.mask + 1) * 8));
    free(slots->region);
    free(slots->ids);
    free(slots->maps);
    free(slots->table.entries);
    free(timeline->base);
    timeline->base = NULL;
    pthread_mutex_destroy(&slots->mutex);
    *slots = (struct slots){0};
}

uint32_t timeline_slot_find(const struct slots *slots, uint64_t id)
{
    uint64_t hash = hash_mix(id);
    for (uint32_t at = (uint32_t)hash;; at++) {
        at = id_probe(&slots->table, hash, at);
        uint32_t slot = id_number(slots->table.entries[at]);
        if (slot == TIMELINE_NONE || slots->ids[slot / PAGE_SLOTS][slot % PAGE_SLOTS] == id)
            return slot;
    }
}

static void table_put(struct id_table *table, uint64_t id, uint32_t slot)
{
    uint64_t hash = hash_mix(id);
    uint32_t at = (uint32_t)hash & table->mask;
    while (table->entries[at] != 0)
        at = (at + 1) & table->mask;
    table->entries[at] = id_entry(hash, slot);
}

void timeline_slots_reserve(struct timeline *timeline, uint32_t count)
{
    struct slots *slots = &timeline->slots;
    size_t old = (size_t)slots->table.mask + 1, size = old;
    region_reserve(slots, count);
    while (count > size / 4 * 3)
        size *= 2;
    if (size == old)
        return;
    CHECK(size <= (size_t)1 << 32);
    struct id_table larger = {mem_table(size * 8), (uint32_t)(size - 1)};
    for (uint32_t slot = 0; slot < slots->count; slot++)
        table_put(&larger, slots->ids[slot / PAGE_SLOTS][slot % PAGE_SLOTS], slot);
    pthread_mutex_lock(&slots->mutex);
    struct id_table before = slots->table;
    slots->table = larger;
    pthread_mutex_unlock(&slots->mutex);
    free(before.entries);
    bytes_add(timeline, (size - old) * 8);
}

static void page_add(struct timeline *timeline)
{
    struct slots *slots = &timeline->slots;
    pthread_mutex_lock(&slots->mutex); /* who looks for an id reads `ids` */
    if (slots->pages == slots->pages_capacity) {
        slots->pages_capacity = slots->pages_capacity == 0 ? 64 : slots->pages_capacity * 2;
        size_t n = slots->pages_capacity * sizeof(void *);
        slots->ids = mem_grow(slots->ids, n);
        slots->maps = mem_grow(slots->maps, n);
        timeline->base = mem_grow(timeline->base, n);
    }
    struct slot_page *map = mem_alloc(sizeof *map);
    memset(map, 0xff, sizeof *map);
    map->epoch = timeline->epoch;
    slots->maps[slots->pages] = map;
    slots->ids[slots->pages] = ids_new(slots);
    timeline->base[slots->pages] = NULL;
    slots->pages++;
    pthread_mutex_unlock(&slots->mutex);
    bytes_add(timeline, sizeof *map + PAGE_SLOTS * 8);
}

uint32_t timeline_slot_take(struct timeline *timeline, uint64_t id)
{
    struct slots *slots = &timeline->slots;
    uint32_t slot = timeline_slot_find(slots, id);
    if (slot != TIMELINE_NONE)
        return slot;
    timeline_slots_reserve(timeline, slots->count + 1);
    slot = slots->count;
    CHECK(slot < PERSON_ERASED);
    if (slot == slots->pages * PAGE_SLOTS)
        page_add(timeline);
    pthread_mutex_lock(&slots->mutex);
    slots->ids[slot / PAGE_SLOTS][slot % PAGE_SLOTS] = id;
    table_put(&slots->table, id, slot);
    slots->count++;
    pthread_mutex_unlock(&slots->mutex);
    return slot;
}

/* The page of a slot, to be changed: a copy if a snapshot has it. */
static struct slot_page *page_write(struct timeline *timeline, uint32_t slot)
{
    struct slot_page **page = &timeline->slots.maps[slot / PAGE_SLOTS];
    if ((*page)->epoch != timeline->epoch) {
        struct slot_page *copy = mem_alloc(sizeof *copy);
        *copy = **page;
        copy->epoch = timeline->epoch;
        bytes_add(timeline, sizeof *copy);
        timeline_retire(timeline, RETIRED_PAGE, *page);
        *page = copy;
    }
    return *page;
}

static void person_set(struct timeline *timeline, uint32_t slot, uint32_t person)
{
    page_write(timeline, slot)->person[slot % PAGE_SLOTS] = person;
}

static void next_set(struct timeline *timeline, uint32_t slot, uint32_t next)
{
    page_write(timeline, slot)->next[slot % PAGE_SLOTS] = next;
}

static void first_set(struct timeline *timeline, uint32_t slot, uint32_t first)
{
    page_write(timeline, slot)->first[slot % PAGE_SLOTS] = first;
}

static uint32_t next_of(const struct slots *slots, uint32_t slot)
{
    return slots->maps[slot / PAGE_SLOTS]->next[slot % PAGE_SLOTS];
}

static uint32_t first_of(const struct slots *slots, uint32_t slot)
{
    return slots->maps[slot / PAGE_SLOTS]->first[slot % PAGE_SLOTS];
}

static void unlink_visitor(struct timeline *timeline, uint32_t visitor, uint32_t person)
{
    const struct slots *slots = &timeline->slots;
    uint32_t at = first_of(slots, person), after = next_of(slots, visitor);
    if (at == visitor) {
        first_set(timeline, person, after);
        return;
    }
    while (next_of(slots, at) != visitor)
        at = next_of(slots, at);
    next_set(timeline, at, after);
}

/* A person's own slot goes first, others behind it: they stand in memory in that order. */
void timeline_slot_give(struct timeline *timeline, uint32_t visitor, uint32_t person)
{
    const struct slots *slots = &timeline->slots;
    uint32_t before = timeline_slot_person(slots, visitor);
    if (visitor == 0 || before == person || before == PERSON_ERASED)
        return;
    if (before != PERSON_UNKNOWN)
        unlink_visitor(timeline, visitor, before);
    person_set(timeline, visitor, person);
    uint32_t first = first_of(slots, person);
    if (first == person) {
        next_set(timeline, visitor, next_of(slots, first));
        next_set(timeline, first, visitor);
    } else {
        next_set(timeline, visitor, first);
        first_set(timeline, person, visitor);
    }
}

static bool is_elsewhere(uint32_t page, uint32_t visitor)
{
    return (visitor / PAGE_SLOTS != page) & (visitor != TIMELINE_NONE);
}

static void page_settle(struct slot_page *map, uint32_t page)
{
    for (uint32_t w = 0; w < PAGE_SLOTS / 64; w++) {
        uint64_t own = 0, far = 0;
        for (uint32_t i = 0; i < 64; i++) {
            uint32_t slot = w * 64 + i;
            own |= (uint64_t)(map->person[slot] == page * PAGE_SLOTS + slot) << i;
            far |= (uint64_t)(is_elsewhere(page, map->next[slot]) |
                              is_elsewhere(page, map->first[slot]))
                   << i;
        }
        map->own[w] = own;
        map->far[w] = far;
    }
}

void timeline_slots_settle(struct timeline *timeline)
{
    struct slots *slots = &timeline->slots;
    for (uint32_t page = 0; page < slots->pages; page++)
        if (slots->maps[page]->epoch == timeline->epoch)
            page_settle(slots->maps[page], page);
}

void timeline_slot_erase(struct timeline *timeline, uint32_t visitor)
{
    uint32_t person = timeline_slot_person(&timeline->slots, visitor);
    if (person == PERSON_ERASED)
        return;
    if (person != PERSON_UNKNOWN)
        unlink_visitor(timeline, visitor, person);
    person_set(timeline, visitor, PERSON_ERASED);
    next_set(timeline, visitor, TIMELINE_NONE);
}
