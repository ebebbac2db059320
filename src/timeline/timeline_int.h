/* timeline_int.h - what the files of this folder share; nobody else includes it.
 *
 * One thread, the KEEPER, changes everything: it rebuilds, takes what was fed, merges, publishes
 * and frees. What readers see is never changed in place. A SNAPSHOT is a set of pointers to parts
 * (slot pages, pieces); the keeper makes new parts, publishes the next snapshot, and RETIRES the
 * old parts: they are freed when no older snapshot is open. So a reader takes no lock after its
 * view is open, and nobody waits for a reader.
 *
 * Slots come in PAGES of 1,024. A page has a map (who owns which run) and one base piece with the
 * events of its slots. Delta pieces hold what came since, of all slots, oldest first. */
#ifndef TIMELINE_TIMELINE_INT_H
#define TIMELINE_TIMELINE_INT_H

#include "timeline/timeline.h"

#include <pthread.h>

#include "base/hash.h"
#include "base/map.h"

#define PAGE_SLOTS 1024U          /* some 20,000 events: a unit of work that stays in the cache */
#define PERSON_UNKNOWN UINT32_MAX /* of a slot that is some person's id and had no event */
#define PERSON_ERASED (UINT32_MAX - 1)
#define POSITION_BITS 44
#define POSITION_MASK (TIMELINE_POSITION_MAX - 1)
#define DELTAS_MAX                                                                                 \
    32                 /* each at least twice as large as the next: more events than slots can be  \
                        */
#define READ_BEYOND 64 /* bytes after an array's end that a reader may load */
#define DAYS 49711     /* of u32 seconds */

/* An event on its way into a piece. `amount` is 0 or 1 + its index in an array beside. */
struct row {
    uint64_t place; /* microseconds inside the second << 44 | position: the order in a second */
    uint32_t time;
    uint32_t slot;
    uint16_t code, origin;
    uint32_t amount;
};

static inline bool row_before(const struct row *a, const struct row *b)
{
    return a->time != b->time ? a->time < b->time : a->place < b->place;
}

/* --- timeline_piece.c: columns, never changed once made --------------------------------------- */

struct piece {
    uint64_t serial;
    uint32_t count;
    uint8_t code_bytes, origin_bytes;
    uint8_t *code, *origin; /* u16 each when their bytes are 2 */
    uint32_t *time;
    uint64_t *place;

    /* Amounts: bit i says that event i has one; rank[w] amounts lie before word w. */
    uint64_t *amount_bits; /* NULL = none */
    uint32_t *amount_rank;
    int64_t *amounts;
    uint32_t amounts_count;

    /* Runs. A base piece has one per slot of its page (slots NULL), a delta one per slot that has
     * events, and fence[p] is its first run of page p. */
    uint32_t runs;
    uint32_t first_slot; /* of the base's page */
    uint32_t *slots;
    uint32_t *offsets; /* [runs + 1] */
    uint32_t *fence;   /* [fences + 1] */
    uint32_t fences;

    struct postings *postings; /* made at first use; atomic */
    void *memory;
    size_t bytes;
};

/* `rows` in the order (slot, time, place). A base piece for the page when `page` is not NONE. */
struct piece *timeline_piece_build(struct timeline *timeline, const struct row *rows,
                                   uint32_t count, const int64_t *amounts, uint32_t page);
void timeline_piece_free(struct timeline *timeline, struct piece *piece);
/* Both in one: of page `page` as its base piece, or all of two deltas (`page` NONE). Leaves out who
 * is erased and what is older than the memory allows. NULL: nothing is left. */
struct piece *timeline_piece_merge(struct timeline *timeline, const struct piece *a,
                                   const struct piece *b, uint32_t page);
/* How many events it has of a page's slots. */
uint32_t timeline_piece_page_events(const struct piece *piece, uint32_t page);
/* The run of a slot. */
void timeline_piece_run(const struct piece *piece, uint32_t slot, uint32_t *ret_from,
                        uint32_t *ret_to);
bool timeline_piece_amount(const struct piece *piece, uint32_t i, int64_t *ret_micros);

static inline uint32_t timeline_piece_code(const struct piece *piece, uint32_t i)
{
    return piece->code_bytes == 1 ? piece->code[i] : ((const uint16_t *)piece->code)[i];
}

static inline uint32_t timeline_piece_origin(const struct piece *piece, uint32_t i)
{
    return piece->origin_bytes == 1 ? piece->origin[i] : ((const uint16_t *)piece->origin)[i];
}

/* --- timeline_sort.c -------------------------------------------------------------------------- */

/* By (slot, time, place); `scratch` as large as rows; slots lie in [first, first + slots). */
void timeline_rows_sort(struct row *rows, struct row *scratch, size_t count, uint32_t first,
                        uint32_t slots);

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
};

struct slots {
    pthread_mutex_t mutex; /* of table and ids, for readers who look for an id */
    uint64_t **ids;        /* [pages][PAGE_SLOTS], written once */
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

/* --- timeline_feed.c -------------------------------------------------------------------------- */

enum feed_kind { FEED_EVENT, FEED_AMOUNT /* an event with one */, FEED_PERSON };

struct feed_row {
    uint64_t position, visitor, person;
    int64_t time_us, amount;
    uint16_t code, origin;
    uint32_t kind;
};

struct feed {
    struct feed_row *rows;
    size_t count, capacity;
    uint64_t position; /* of its commit */
    int64_t commit_us; /* monotonic */
    struct feed *next;
};

/* Second and place of an event's time. */
void timeline_row_time(int64_t time_us, uint64_t position, struct row *row);
struct feed *timeline_feed_new(void);
void timeline_feed_free(struct feed *feed);
/* Keeper: into slots and one more delta. */
void timeline_feed_apply(struct timeline *timeline, const struct feed *feed);
void timeline_erasures_apply(struct timeline *timeline, const uint64_t *visitors, size_t count);

/* --- timeline_view.c: snapshots --------------------------------------------------------------- */

struct snapshot {
    struct timeline_view view; /* first: a view is a snapshot */
    struct timeline *timeline;
    struct snapshot *next; /* newer */
    uint64_t epoch;
    uint32_t refs; /* views */
    uint32_t pages;
    uint64_t **ids;
    struct slot_page **maps;
    struct piece **base;
    struct piece *deltas[DELTAS_MAX];
    uint32_t deltas_count;
    uint32_t folded_pages; /* deltas[0] is part of the base already in the pages below */
    uint64_t *code_events;
};

static inline const struct snapshot *snapshot_of(const struct timeline_view *view)
{
    return (const struct snapshot *)view;
}

/* Deltas are numbered after the pages. */
static inline const struct piece *snapshot_piece(const struct snapshot *snapshot, uint32_t number)
{
    return number < snapshot->pages ? snapshot->base[number]
                                    : snapshot->deltas[number - snapshot->pages];
}

void timeline_snapshot_publish(struct timeline *timeline);
void timeline_snapshots_done(struct timeline *timeline);
enum retired_kind { RETIRED_PIECE, RETIRED_PAGE };
void timeline_retire(struct timeline *timeline, enum retired_kind kind, void *part);
/* Free what no open view can see. */
void timeline_retired_sweep(struct timeline *timeline);

/* --- timeline_merge.c ------------------------------------------------------------------------- */

void timeline_deltas_add(struct timeline *timeline, struct piece *piece);
/* A merge into the base is under way or due. */
bool timeline_base_waits(const struct timeline *timeline);
/* Some pages of the merge into the base, for about this long, if one is due. False: nothing to do.
 */
bool timeline_base_step(struct timeline *timeline, int64_t us);

/* --- timeline_rebuild.c ----------------------------------------------------------------------- */

/* From the warehouse's rows before `cut`. ST_… leaves the timeline empty. */
MUST_USE enum status timeline_rebuild(struct timeline *timeline, uint64_t cut, struct err *err);

/* --- timeline_extract.c ----------------------------------------------------------------------- */

/* All names and origins below `cut`, and how many events the names have. */
MUST_USE enum status timeline_extract_names(struct timeline *timeline, uint64_t cut,
                                            struct err *err);

/* --- timeline_postings.c ---------------------------------------------------------------------- */

/* Per code the runs that have it, ascending. */
struct postings {
    uint32_t codes_count;
    uint16_t *codes;  /* ascending */
    uint32_t *starts; /* [codes_count + 1] */
    uint32_t *runs;
    size_t bytes;
};
void timeline_postings_free(struct timeline *timeline, struct postings *postings);

/* --- timeline_column.c ------------------------------------------------------------------------ */

struct column_cache {
    pthread_mutex_t mutex; /* also held while a column is made: one at a time */
    struct timeline_column *newest;
    size_t bytes; /* atomic */
};
void timeline_columns_init(struct column_cache *cache);
void timeline_columns_done(struct column_cache *cache);

/* --- the whole -------------------------------------------------------------------------------- */

struct retired {
    struct retired *next;
    uint64_t epoch; /* snapshots before this may show it */
    enum retired_kind kind;
    void *part;
};

struct timeline {
    struct timeline_options options;
    const struct timeline_extract *extract; /* of one question: no keeper; NULL = the usual one */
    struct names names;
    int threads;

    /* The feed's thread. */
    struct memo *memo;
    struct feed *filling;

    /* The keeper's. */
    struct slots slots;
    struct memo *keeper_memo;
    uint64_t epoch;      /* of the snapshot in the making */
    struct piece **base; /* [slots.pages_capacity] */
    struct piece *deltas[DELTAS_MAX];
    uint32_t deltas_count;
    bool folding;                /* a merge into the base is under way: … */
    struct piece *folding_piece; /* … all deltas of its beginning, as one; NULL = only to sweep */
    uint32_t folded_pages;       /* pages below this are done */
    bool sweep_wanted;           /* erased or old events lie in the base */
    bool sweeping;               /* this merge visits every page */
    uint64_t retired_bytes;
    uint64_t events, base_events;
    uint64_t *code_events; /* [65,536] */
    uint32_t *days;        /* [DAYS]: events by day */
    uint32_t trim_before;  /* seconds: what is older is dropped */
    uint64_t position;
    struct retired *retired;
    uint64_t serials;
    struct row *rows, *rows_scratch; /* of feed_apply */
    size_t rows_capacity;
    int64_t *amounts;
    size_t amounts_capacity;

    size_t bytes;          /* of pieces, pages and tables; atomic */
    size_t postings_bytes; /* atomic */

    pthread_mutex_t mutex;    /* all of this block */
    pthread_cond_t changed;   /* for the keeper: something to do */
    pthread_cond_t published; /* for readers */
    pthread_t keeper;
    bool stopping, ready;
    struct feed *queue, **queue_end, *spare;
    size_t queue_bytes;
    bool lost;   /* the queue was full: rebuild from rebuild_cut on */
    bool failed; /* the rebuild: nothing is taken until it is tried again */
    int64_t failed_us;
    bool rebuild_wanted;
    uint64_t rebuild_cut;
    uint64_t *erasures; /* visitors */
    size_t erasures_count, erasures_capacity;
    uint64_t erasures_asked, erasures_done;
    struct snapshot *oldest, *current;
    bool views_left; /* an old snapshot's last view was closed */
    struct timeline_stats stats;
    double rebuild_progress;

    struct column_cache columns;
};

size_t timeline_bytes(const struct timeline *timeline);
/* Without a keeper: whoever made it is the only one to change it. */
struct timeline *timeline_new(const struct timeline_options *options);
#endif
