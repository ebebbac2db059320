/* timeline_pages.c - a rebuild's rows lie in a list for each page, and the lists become pieces.
 *
 * Each thread has lists of its own. Groups of pages share slabs of memory, which are given back as
 * soon as the group is built. */
#include "timeline/timeline_rebuild_int.h"

#include <stdlib.h>

#include "base/arena.h"

#define AHEAD 16U       /* rows whose slot is fetched while others are dealt */
#define GROUP_PAGES 64U /* share slabs, and are given back together */
#define SLAB_LEAST ((size_t)64 << 10)
#define SLAB_MOST ((size_t)2 << 20)
#define SLABS 6U /* of a thread's group, so that the last, half empty one costs little */

static size_t slab_bytes(const struct rebuilding *whole)
{
    uint64_t rows = whole->known ? whole->rows_all : whole->rows_loaded;
    size_t share = rows * sizeof(struct row) / (whole->groups * (size_t)whole->threads * SLABS);
    size_t bytes = SLAB_LEAST;
    while (bytes * 2 <= share && bytes < SLAB_MOST)
        bytes *= 2;
    return bytes;
}

void timeline_pages_reserve(struct rebuilding *whole)
{
    uint32_t pages = whole->timeline->slots.pages, before = whole->pages;
    uint32_t groups = (pages + GROUP_PAGES - 1) / GROUP_PAGES, groups_before = whole->groups;
    for (int t = 0; t < whole->threads; t++) {
        struct loader *loader = &whole->loaders[t];
        loader->lists = mem_grow(loader->lists, pages * sizeof *loader->lists);
        memset(loader->lists + before, 0, (pages - before) * sizeof *loader->lists);
        loader->groups = mem_grow(loader->groups, groups * sizeof(void *));
        memset(loader->groups + groups_before, 0, (groups - groups_before) * sizeof(void *));
    }
    whole->pages = pages;
    whole->groups = groups;
    if (whole->slab_bytes == 0 || !whole->known) /* then there is no slab before the deal */
        whole->slab_bytes = slab_bytes(whole);
}

void timeline_list_grow(struct loader *loader, uint32_t page)
{
    size_t bytes = loader->whole->slab_bytes;
    struct slab **slab = &loader->groups[page / GROUP_PAGES];
    if (*slab == NULL || (*slab)->used + sizeof(struct chunk) > bytes) {
        struct slab *fresh = timeline_map_take(loader->whole, bytes);
        fresh->next = *slab;
        fresh->used = 64;
        *slab = fresh;
    }
    struct chunk *chunk = (struct chunk *)((char *)*slab + (*slab)->used);
    struct list *list = &loader->lists[page];
    (*slab)->used += sizeof *chunk;
    chunk->next = NULL;
    *(list->first == NULL ? &list->first : &list->last->next) = chunk;
    list->last = chunk;
    list->at = chunk->rows;
    list->end = chunk->rows + CHUNK_ROWS;
}

/* --- strangers -------------------------------------------------------------------------------- */

static void *deal_main(void *argument)
{
    struct loader *loader = argument;
    while (loader->blocks != NULL) {
        struct block *block = loader->blocks;
        for (uint32_t i = 0; i < block->count; i++) {
            const struct row *row = &block->rows[i];
            if (i + AHEAD < block->count)
                __builtin_prefetch(&loader->slots[row[AHEAD].slot]);
            uint32_t slot = loader->slots[row->slot];
            struct row *to = timeline_list_row(loader, slot);
            *to = *row;
            to->slot = slot;
        }
        loader->blocks = block->next;
        timeline_map_give(loader->whole, block, sizeof *block);
    }
    return NULL;
}

void timeline_pages_deal(struct rebuilding *whole)
{
    timeline_pages_reserve(whole);
    timeline_threads_run(whole, deal_main);
}

/* --- build ------------------------------------------------------------------------------------ */

struct parts {
    struct rows_part *parts;
    size_t count, capacity;
};

static void parts_add(struct parts *parts, const struct loader *loader, uint32_t page)
{
    const struct list *list = &loader->lists[page];
    for (const struct chunk *chunk = list->first; chunk != NULL; chunk = chunk->next) {
        if (parts->count == parts->capacity) {
            parts->capacity = parts->capacity == 0 ? 1024 : parts->capacity * 2;
            parts->parts = mem_grow(parts->parts, parts->capacity * sizeof *parts->parts);
        }
        parts->parts[parts->count++] = (struct rows_part){
            chunk->rows, loader->amounts,
            chunk == list->last ? (uint32_t)(list->at - chunk->rows) : CHUNK_ROWS};
    }
}

static void *build_main(void *argument)
{
    struct loader *loader = argument;
    struct rebuilding *whole = loader->whole;
    struct timeline *timeline = whole->timeline;
    struct parts parts = {0};
    for (uint32_t group;
         (group = __atomic_fetch_add(&whole->next, 1, __ATOMIC_RELAXED)) < whole->groups;) {
        uint32_t end = (group + 1) * GROUP_PAGES;
        for (uint32_t page = group * GROUP_PAGES; page < end && page < whole->pages; page++) {
            parts.count = 0;
            for (int t = 0; t < whole->threads; t++)
                parts_add(&parts, &whole->loaders[t], page);
            if (parts.count == 0)
                continue;
            struct piece *piece =
                timeline_piece_gather(timeline, parts.parts, parts.count, page, &loader->gathering);
            timeline->base[page] = piece;
            loader->events += piece == NULL ? 0 : piece->count;
        }
        for (int t = 0; t < whole->threads; t++)
            while (whole->loaders[t].groups[group] != NULL) {
                struct slab *slab = whole->loaders[t].groups[group];
                whole->loaders[t].groups[group] = slab->next;
                timeline_map_give(whole, slab, whole->slab_bytes);
            }
    }
    free(parts.parts);
    return NULL;
}

/* Whoever was only known as somebody's person, and turned out to have rows, is their own person. */
static void unlisted_give(struct timeline *timeline)
{
    for (uint32_t page = 0; page < timeline->slots.pages; page++) {
        const struct piece *piece = timeline->base[page];
        for (uint32_t i = 0; i < PAGE_SLOTS && piece != NULL; i++) {
            uint32_t slot = page * PAGE_SLOTS + i;
            if (piece->offsets[i + 1] > piece->offsets[i] &&
                timeline_slot_person(&timeline->slots, slot) == PERSON_UNKNOWN)
                timeline_slot_give(timeline, slot, slot);
        }
    }
}

void timeline_pages_build(struct rebuilding *whole)
{
    struct timeline *timeline = whole->timeline;
    for (int t = 0; t < whole->threads; t++) {
        struct gathering *gathering = &whole->loaders[t].gathering;
        gathering->code_events = mem_zero(65536 * sizeof *gathering->code_events);
        gathering->hours = mem_zero(HOURS * sizeof *gathering->hours);
    }
    timeline_threads_run(whole, build_main);
    for (int t = 0; t < whole->threads; t++) {
        const struct loader *loader = &whole->loaders[t];
        timeline->events += loader->events;
        for (uint32_t i = 0; i < 65536 && timeline->extract == NULL; i++)
            timeline->code_events[i] += loader->gathering.code_events[i];
        for (uint32_t i = 0; i < HOURS; i++)
            if (loader->gathering.hours[i] > 0)
                timeline->hours[i] += loader->gathering.hours[i];
    }
    timeline->base_events = timeline->events;
    unlisted_give(timeline);
}
