/* timeline_rebuild_int.h - what the steps of a rebuild share (timeline_rebuild.c says which). */
#ifndef TIMELINE_TIMELINE_REBUILD_INT_H
#define TIMELINE_TIMELINE_REBUILD_INT_H

#include "timeline/timeline_int.h"
#include "warehouse/warehouse_stream.h"

#define THREADS_MAX 64
#define BATCH 64U /* visitors that are asked ahead: so many lines the nearest cache holds twice */
#define BLOCK_ROWS 65536
#define CHUNK_ROWS 128 /* of a page's list */
#define PAIRS_MEMO 256U

/* A set of visitors, numbered in the order of adding. */
struct visitors {
    uint64_t *ids;
    uint32_t count, capacity;
    struct id_table table;
};

/* Rows of strangers: `slot` is the visitor's number in the loader's set. */
struct block {
    struct block *next;
    uint32_t count;
    struct row rows[BLOCK_ROWS];
};

struct chunk {
    struct chunk *next;
    struct row rows[CHUNK_ROWS];
};

/* One thread's rows of a page, in the order in which they came. All chunks but the last are full.
 */
struct list {
    struct row *at, *end; /* of the last chunk */
    struct chunk *first, *last;
};

struct slab {
    struct slab *next;
    size_t used;
};

/* One thread's share. */
struct loader {
    struct rebuilding *whole;
    pthread_t thread;
    uint32_t span, spans_end; /* its part of the spans; the first atomic */
    struct visitors strangers;
    uint32_t *slots; /* [strangers.count] */
    struct block *blocks;
    int64_t *amounts;
    uint32_t amounts_count, amounts_capacity;
    struct memo *memo;
    /* The stream's codes in ours, + 1; 0 = not asked yet. */
    uint32_t *name_codes;
    uint32_t codes_capacity;
    struct pair_memo {
        uint32_t channel, campaign, origin; /* origin + 1 */
    } pairs[PAIRS_MEMO];                    /* where the pair's hash says */
    struct list *lists;                     /* [whole->pages] */
    struct slab **groups;                   /* [whole->groups] */
    struct gathering gathering;
    uint64_t events;
    enum status status;
    struct err err;
};

struct rebuilding {
    struct timeline *timeline;
    struct loader loaders[THREADS_MAX];
    int threads;
    uint64_t cut;
    bool known; /* all visitors got their slots before the events are read */
    uint32_t trim_before;
    uint32_t next; /* group; atomic */
    uint32_t spans, pages, groups;
    size_t slab_bytes;
    uint64_t rows_all, rows_loaded; /* the second atomic */
    uint64_t visitors_loaded;       /* atomic; who is in two threads' sets counts twice */
    size_t bytes, peak;             /* atomic */
};

/* --- timeline_rebuild.c ----------------------------------------------------------------------- */

void *timeline_map_take(struct rebuilding *whole, size_t bytes);
void timeline_map_give(struct rebuilding *whole, void *p, size_t bytes);
/* On all threads at once; this one is the first. */
void timeline_threads_run(struct rebuilding *whole, void *(*run)(void *loader));

/* --- timeline_number.c ------------------------------------------------------------------------ */

uint32_t timeline_visitors_add(struct visitors *visitors, uint64_t id);
/* What is asked soon, in the cache now. */
void timeline_visitors_ahead(const struct visitors *visitors, const uint64_t *ids, size_t count);
void timeline_visitors_done(struct visitors *visitors);
/* Slots for all visitors that the warehouse has. */
MUST_USE enum status timeline_number_all(struct rebuilding *whole, struct err *err);
/* Slots for those who had none when their rows came. */
MUST_USE enum status timeline_number_strangers(struct rebuilding *whole, struct err *err);

/* --- timeline_pages.c ------------------------------------------------------------------------- */

/* Lists for all pages that there are now. */
void timeline_pages_reserve(struct rebuilding *whole);
void timeline_list_grow(struct loader *loader, uint32_t page);
/* Where a row of this slot belongs. */
static inline struct row *timeline_list_row(struct loader *loader, uint32_t slot)
{
    struct list *list = &loader->lists[slot / PAGE_SLOTS];
    if (list->at == list->end)
        timeline_list_grow(loader, slot / PAGE_SLOTS);
    __builtin_prefetch((char *)list->at + 128, 1); /* a row that comes soon */
    return list->at++;
}
/* The strangers' rows to their pages. */
void timeline_pages_deal(struct rebuilding *whole);
/* All lists become pieces. */
void timeline_pages_build(struct rebuilding *whole);
#endif
