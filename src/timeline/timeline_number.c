/* timeline_number.c - a rebuild's visitors get their slots.
 *
 * People in order, each person's visitors beside each other, so that a report reads memory from
 * front to back. Whoever the warehouse knows is numbered before the events are read, and their rows
 * go straight to their page. When not all of them can be meant (a question's parts, the newest days
 * of a history that is too long), rows come first: each loader numbers the strangers that it meets,
 * and they get slots afterwards. */
#include "timeline/timeline_rebuild_int.h"

#include <stdlib.h>

#include "base/arena.h"
#include "base/check.h"

#define AHEAD 16U              /* visitors whose entry is fetched while others get theirs */
#define PERSON_GONE UINT64_MAX /* of numbering: erased */

/* --- a set of visitors ------------------------------------------------------------------------ */

static void visitors_table(struct visitors *visitors, uint32_t size)
{
    struct id_table *table = &visitors->table;
    free(table->entries);
    *table = (struct id_table){mem_zero((size_t)size * 8), size - 1};
    for (uint32_t i = 0; i < visitors->count; i++) {
        uint64_t hash = hash_mix(visitors->ids[i]);
        uint32_t at = (uint32_t)hash & table->mask;
        while (table->entries[at] != 0)
            at = (at + 1) & table->mask;
        table->entries[at] = id_entry(hash, i);
    }
}

static uint32_t visitors_find(const struct visitors *visitors, uint64_t id, uint32_t *ret_at)
{
    uint64_t hash = hash_mix(id);
    for (uint32_t at = (uint32_t)hash;; at++) {
        at = id_probe(&visitors->table, hash, at);
        uint32_t number = id_number(visitors->table.entries[at]);
        if (number != TIMELINE_NONE && visitors->ids[number] != id)
            continue;
        *ret_at = at;
        return number;
    }
}

uint32_t timeline_visitors_add(struct visitors *visitors, uint64_t id)
{
    uint32_t at;
    if (visitors->table.entries == NULL)
        visitors_table(visitors, ID_TABLE_FIRST);
    else if (visitors->count >= visitors->table.mask / 4 * 3)
        visitors_table(visitors, (visitors->table.mask + 1) * 2);
    uint32_t known = visitors_find(visitors, id, &at);
    if (known != TIMELINE_NONE)
        return known;
    if (visitors->count == visitors->capacity) {
        visitors->capacity = visitors->capacity == 0 ? 4096 : visitors->capacity * 2;
        visitors->ids = mem_grow(visitors->ids, visitors->capacity * sizeof *visitors->ids);
    }
    visitors->ids[visitors->count] = id;
    visitors->table.entries[at] = id_entry(hash_mix(id), visitors->count);
    return visitors->count++;
}

void timeline_visitors_ahead(const struct visitors *visitors, const uint64_t *ids, size_t count)
{
    const struct id_table *table = &visitors->table;
    for (size_t i = 0; i < count; i++)
        __builtin_prefetch(&table->entries[hash_mix(ids[i]) & table->mask]);
    for (size_t i = 0; i < count; i++) {
        uint64_t hash = hash_mix(ids[i]);
        uint32_t number = id_number(table->entries[id_probe(table, hash, (uint32_t)hash)]);
        if (number != TIMELINE_NONE)
            __builtin_prefetch(&visitors->ids[number]);
    }
}

void timeline_visitors_done(struct visitors *visitors)
{
    free(visitors->ids);
    free(visitors->table.entries);
    *visitors = (struct visitors){0};
}

/* --- whose they are --------------------------------------------------------------------------- */

struct owner {
    uint64_t person, visitor;
};

struct owners {
    struct owner *rows;
    uint32_t count, capacity;
};

static void owners_add(struct owners *owners, uint64_t visitor, uint64_t person)
{
    if (owners->count == owners->capacity) {
        owners->capacity = owners->capacity == 0 ? 65536 : owners->capacity * 2;
        owners->rows = mem_grow(owners->rows, owners->capacity * sizeof *owners->rows);
    }
    owners->rows[owners->count++] = (struct owner){person != 0 ? person : visitor, visitor};
}

/* By person, least digit first; digits in which all are the same are passed over. What is sorted
 * is where the pointers say afterwards. */
static void persons_sort(struct owner **rows, struct owner **scratch, uint32_t count)
{
    uint64_t differ = 0;
    for (uint32_t i = 1; i < count; i++)
        differ |= (*rows)[i].person ^ (*rows)[0].person;
    unsigned shift = differ == 0 ? 64 : (unsigned)__builtin_ctzll(differ);
    for (; shift < 64 && differ >> shift != 0; shift += 11) {
        uint32_t starts[2048] = {0};
        for (uint32_t i = 0; i < count; i++)
            starts[(*rows)[i].person >> shift & 2047]++;
        uint32_t sum = 0;
        for (uint32_t i = 0; i < 2048; i++) {
            uint32_t n = starts[i];
            starts[i] = sum;
            sum += n;
        }
        for (uint32_t i = 0; i < count; i++)
            (*scratch)[starts[(*rows)[i].person >> shift & 2047]++] = (*rows)[i];
        struct owner *other = *rows;
        *rows = *scratch;
        *scratch = other;
    }
}

static int visitors_compare(const void *a, const void *b)
{
    uint64_t x = ((const struct owner *)a)->visitor, y = ((const struct owner *)b)->visitor;
    return x < y ? -1 : x > y;
}

/* In the order (person, visitor), whichever order they came in. */
static void owners_sort(struct owners *owners)
{
    struct owner *scratch = mem_alloc((owners->count + 1) * sizeof *scratch);
    persons_sort(&owners->rows, &scratch, owners->count);
    free(scratch);
    const struct owner *rows = owners->rows;
    for (uint32_t i = 0, end; i < owners->count; i = end) {
        for (end = i + 1; end < owners->count && rows[end].person == rows[i].person;)
            end++;
        if (end - i > 1)
            qsort(owners->rows + i, end - i, sizeof *rows, visitors_compare);
    }
}

static void slots_make(struct timeline *timeline, struct owners *owners)
{
    owners_sort(owners);
    timeline_slots_reserve(timeline, timeline->slots.count + owners->count);
    uint64_t last = 0;
    uint32_t person = 0;
    for (uint32_t i = 0; i < owners->count; i++) {
        const struct owner *owner = &owners->rows[i];
        if (i + AHEAD < owners->count)
            timeline_slot_ahead(&timeline->slots, owner[AHEAD].visitor, false);
        if (owner->person == PERSON_GONE) {
            timeline_slot_erase(timeline, timeline_slot_take(timeline, owner->visitor));
            continue;
        }
        if (owner->person != last)
            person = timeline_slot_take(timeline, owner->person);
        last = owner->person;
        uint32_t slot =
            owner->visitor == last ? person : timeline_slot_take(timeline, owner->visitor);
        timeline_slot_give(timeline, slot, person);
    }
}

static void all_take(void *ctx, size_t count, const uint64_t *visitors, const uint64_t *persons)
{
    struct owners *owners = ctx;
    for (size_t i = 0; i < count; i++)
        if (visitors[i] != 0)
            owners_add(owners, visitors[i], persons[i]);
}

enum status timeline_number_all(struct rebuilding *whole, struct err *err)
{
    struct timeline *timeline = whole->timeline;
    struct owners owners = {0};
    enum status status =
        warehouse_stream_owners(timeline->options.warehouse, all_take, &owners, err);
    if (status == ST_OK)
        slots_make(timeline, &owners);
    free(owners.rows);
    return status;
}

/* --- strangers -------------------------------------------------------------------------------- */

struct numbering {
    struct visitors *visitors; /* of all loaders: the first one's */
    uint64_t *persons;         /* 0 = no owner is known: the visitor itself */
};

static void owners_take(void *ctx, size_t count, const uint64_t *visitors, const uint64_t *persons)
{
    struct numbering *numbering = ctx;
    for (size_t i = 0; i < count; i++) {
        if (i % BATCH == 0)
            timeline_visitors_ahead(numbering->visitors, visitors + i,
                                    count - i < BATCH ? count - i : BATCH);
        uint32_t at, known = visitors_find(numbering->visitors, visitors[i], &at);
        if (known != TIMELINE_NONE)
            numbering->persons[known] = persons[i];
    }
}

/* Rows of the erased may have been read before the erase; they are dropped with their visitor. */
static void erased_take(void *ctx, size_t count, const uint64_t *visitors)
{
    struct numbering *numbering = ctx;
    for (size_t i = 0; i < count; i++) {
        uint32_t at, known = visitors_find(numbering->visitors, visitors[i], &at);
        if (known != TIMELINE_NONE)
            numbering->persons[known] = PERSON_GONE;
    }
}

/* All visitors in the first loader's set. */
static void visitors_unite(struct rebuilding *whole)
{
    struct visitors *all = &whole->loaders[0].strangers;
    for (int t = 1; t < whole->threads; t++) {
        const struct visitors *strangers = &whole->loaders[t].strangers;
        for (uint32_t i = 0; i < strangers->count; i++) {
            if (i % BATCH == 0)
                timeline_visitors_ahead(all, strangers->ids + i,
                                        strangers->count - i < BATCH ? strangers->count - i
                                                                     : BATCH);
            timeline_visitors_add(all, strangers->ids[i]);
        }
    }
}

static void strangers_make(struct timeline *timeline, const struct numbering *numbering)
{
    struct owners owners = {0};
    for (uint32_t i = 0; i < numbering->visitors->count; i++)
        if (numbering->visitors->ids[i] != 0)
            owners_add(&owners, numbering->visitors->ids[i], numbering->persons[i]);
    slots_make(timeline, &owners);
    free(owners.rows);
}

static void *slots_find_main(void *argument)
{
    struct loader *loader = argument;
    const struct slots *slots = &loader->whole->timeline->slots;
    struct visitors *strangers = &loader->strangers;
    uint32_t count = strangers->count;
    loader->slots = mem_alloc((count + 1) * sizeof *loader->slots);
    for (uint32_t i = 0; i < count; i++) {
        if (i + 2 * AHEAD < count)
            timeline_slot_ahead(slots, strangers->ids[i + 2 * AHEAD], false);
        if (i + AHEAD < count)
            timeline_slot_ahead(slots, strangers->ids[i + AHEAD], true);
        loader->slots[i] = timeline_slot_find(slots, strangers->ids[i]);
        CHECK(loader->slots[i] != TIMELINE_NONE);
    }
    timeline_visitors_done(strangers);
    return NULL;
}

enum status timeline_number_strangers(struct rebuilding *whole, struct err *err)
{
    struct timeline *timeline = whole->timeline;
    bool some = false;
    for (int t = 0; t < whole->threads; t++)
        some = some || whole->loaders[t].blocks != NULL;
    if (!some)
        return ST_OK;
    visitors_unite(whole);
    struct visitors *all = &whole->loaders[0].strangers;
    struct numbering numbering = {
        .visitors = all,
        .persons = mem_zero((all->count + 1) * sizeof *numbering.persons),
    };
    enum status status =
        warehouse_stream_owners(timeline->options.warehouse, owners_take, &numbering, err);
    if (status == ST_OK && timeline->extract != NULL)
        warehouse_erased(timeline->options.warehouse, erased_take, &numbering);
    if (status == ST_OK) {
        strangers_make(timeline, &numbering);
        timeline_threads_run(whole, slots_find_main);
    }
    free(numbering.persons);
    return status;
}
