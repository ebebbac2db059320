/* timeline_slots_int.h - texts and ids become numbers; which visitor is whose. */
#ifndef TIMELINE_TIMELINE_SLOTS_INT_H
#define TIMELINE_TIMELINE_SLOTS_INT_H

#include "timeline/timeline_view.h"

#include <pthread.h>

#include "base/hash.h"
#include "base/map.h"

#define PAGE_SLOTS 1024U          /* some 20,000 events: a unit of work that stays in the cache */
#define PERSON_UNKNOWN UINT32_MAX /* of a slot that is some person's id and had no event */
#define PERSON_ERASED (UINT32_MAX - 1)

/* --- timeline_names.c: texts become numbers --------------------------------------------------- */

#define TEXTS_CHUNK 1024
#define TEXTS_CHUNKS 64
struct texts {
    struct map map;
    struct str *chunks[TEXTS_CHUNKS]; /* never move: readers hold them */
    uint32_t count;
};

struct origin {
    uint16_t channel, campaign;
};

struct names {
    pthread_mutex_t mutex;
    struct hash_key key;
    struct texts name, channel, campaign;
    struct map origin_map;
    struct origin *origins; /* [65,536] */
    uint32_t origins_count;
    size_t bytes;
};

/* What one thread has asked lately, so that it asks nobody again. */
#define MEMO 64
struct memo {
    struct memo_text {
        struct str text;
        uint32_t code;
    } name[MEMO], channel[MEMO], campaign[MEMO];
    struct memo_origin {
        uint32_t pair, origin;
    } origin[MEMO];
};

void timeline_names_init(struct names *names);
void timeline_names_done(struct names *names);
uint16_t timeline_names_code(struct names *names, struct memo *memo, struct str name);
uint16_t timeline_names_origin(struct names *names, struct memo *memo, struct str channel,
                               struct str campaign);

/* --- tables from an id to a number ------------------------------------------------------------ */

/* Open addressing. An entry is half of the id's hash and 1 + the number, so that a probe looks at
 * the id itself, which lies elsewhere, only when it is nearly sure. */
struct id_table {
    uint64_t *entries; /* 0 = empty */
    uint32_t mask;
};

#define ID_TABLE_FIRST 4096U

static inline uint64_t id_entry(uint64_t hash, uint32_t number)
{
    return (hash >> 32) << 32 | (number + 1);
}

/* The entry at which to look for it next; after a false hit go on at + 1. */
static inline uint32_t id_probe(const struct id_table *table, uint64_t hash, uint32_t at)
{
    at &= table->mask;
    while (table->entries[at] != 0 && table->entries[at] >> 32 != hash >> 32)
        at = (at + 1) & table->mask;
    return at;
}

static inline uint32_t id_number(uint64_t entry)
{
    return (uint32_t)entry - 1; /* TIMELINE_NONE when empty */
}

/* --- timeline_slots.c: who is which number, and whose ----------------------------------------- */

struct slot_page {
    uint64_t epoch; /* made for this snapshot: may be changed until it is published */
    uint32_t person[PAGE_SLOTS];
    uint32_t next[PAGE_SLOTS];  /* the next visitor of the same person */
    uint32_t first[PAGE_SLOTS]; /* the first visitor of this person */
    /* A bit for each slot, true of what is published: the visitor is their own person; a link of
     * the chain leads to another page. */
    uint64_t own[PAGE_SLOTS / 64], far[PAGE_SLOTS / 64];
};

struct slots {
    pthread_mutex_t mutex; /* of table and ids, for readers who look for an id */
    uint64_t **ids;        /* [pages][PAGE_SLOTS], written once */
    uint64_t *region;      /* ids of `region_used` pages, from `region_first` on, in one block */
    uint32_t region_first, region_used, region_pages;
    struct slot_page **maps;
    uint32_t pages, pages_capacity;
    uint32_t count;
    struct id_table table;
};

void timeline_slots_init(struct timeline *timeline);
void timeline_slots_done(struct timeline *timeline);
uint32_t timeline_slot_find(const struct slots *slots, uint64_t id);
/* Made when new. */
uint32_t timeline_slot_take(struct timeline *timeline, uint64_t id);
void timeline_slots_reserve(struct timeline *timeline, uint32_t count);
/* The visitor belongs to the person's slot from now on. */
void timeline_slot_give(struct timeline *timeline, uint32_t visitor, uint32_t person);
/* The bits of all pages that were changed since the last snapshot. */
void timeline_slots_settle(struct timeline *timeline);
void timeline_slot_erase(struct timeline *timeline, uint32_t visitor);
static inline uint32_t timeline_slot_person(const struct slots *slots, uint32_t slot)
{
    return slots->maps[slot / PAGE_SLOTS]->person[slot % PAGE_SLOTS];
}
/* Into the cache what a later search will look at: first the table, then behind it. */
static inline void timeline_slot_ahead(const struct slots *slots, uint64_t id, bool behind)
{
    uint64_t hash = hash_mix(id);
    const uint64_t *entry = &slots->table.entries[hash & slots->table.mask];
    if (!behind) {
        __builtin_prefetch(entry);
        return;
    }
    uint32_t slot = id_number(slots->table.entries[id_probe(&slots->table, hash, (uint32_t)hash)]);
    if (slot == TIMELINE_NONE)
        return;
    __builtin_prefetch(&slots->ids[slot / PAGE_SLOTS][slot % PAGE_SLOTS]);
    __builtin_prefetch(&slots->maps[slot / PAGE_SLOTS]->person[slot % PAGE_SLOTS]);
}
#endif
