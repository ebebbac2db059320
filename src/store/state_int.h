/* state_int.h - the inside of the cache, for the state_*.c files alone.
 *
 * The life of an entry: CHANGED since the last note; noted, in a chunk that the tables do not have
 * yet (chunk > merged); merged. Only a merged one may be evicted, for only then does a miss find
 * it.
 *
 *   merged ── change ──► CHANGED ── note ──► noted ── merge ──► merged
 *                           ▲─────── change ──┘
 *
 * A removed entry stays in the map as a tombstone (else a get would read the old row from the file)
 * until the merge that deletes its row. Its key may be added again meanwhile: then the map points
 * to the new entry, whose row comes later in the delta, and the tombstone is only waiting to be
 * freed. */
#ifndef STORE_STATE_INT_H
#define STORE_STATE_INT_H

#include <pthread.h>

#include "base/disk.h"
#include "base/lock.h"
#include "base/map.h"
#include "store/filter.h"
#include "store/state.h"
#include "store/store_int.h"

#define FLAG_CHANGED 1u /* in its table's list: the next note has it */
#define FLAG_REMOVED 2u

#define CACHE_LINE 64
#define STATE_PATH_MAX 4096
#define SLICE 64 /* objects encoded or scanned per hold of the lock: some 50 µs */

struct entry_list {
    struct state_entry **entries;
    size_t count, capacity;
};

struct removed_entry {
    struct state_table *table;
    struct state_entry *entry;
};

struct removed_list {
    struct removed_entry *entries;
    size_t count, capacity;
};

struct state_table {
    struct state *state;
    const struct state_table_def *def;
    struct map map;            /* key to struct state_entry */
    struct map recovered;      /* key to the last row of it in state->recovered */
    struct entry_list changed; /* since the last note */
    uint64_t rows;             /* objects, in file and memory: sizes the filter */
    const char *sql_get, *sql_put, *sql_delete, *sql_scan, *sql_keys;
    /* Only `filter_ready` may answer "never seen"; a next one is filled beside it. */
    struct filter filter, filter_next;
    bool filter_ready, filter_building;
};

struct state_named_value {
    char *name;
    struct buf value;
    bool changed; /* since the last note */
};

/* One file of chunks, [first, last]. */
struct delta_file {
    uint64_t first, last; /* last = first - 1: none yet */
    bool sealed;          /* no chunk is added any more */
};

struct state_delta {
    struct disk *disk, own_disk;
    char folder[STATE_PATH_MAX];
    uint64_t history;
    /* The changing thread's until state_note_begin has made a chunk, then the writing one's until
     * it is on the disk. */
    struct buf chunk;
    bool chunk_waits; /* atomic: it is the writing thread's */
    /* The writing thread's. */
    int fd; /* of the last file, or -1 */
    uint64_t end;
    bool folder_dirty;
    uint64_t noted; /* the last chunk on the disk; the changing thread's while none waits */
    /* Atomic; the merging thread writes it, under the state's lock. */
    uint64_t merged;
    /* Under the mutex, between the writing thread and the merging one. */
    pthread_mutex_t mutex;
    struct delta_file *files;
    size_t files_count;
    uint64_t unmerged_bytes; /* since the seal */
    uint64_t sealed;         /* a merge goes so far */
};

/* One chunk; the body points into its file's bytes. */
struct delta_chunk {
    uint64_t number;
    struct str body;
};

/* What a start found in the delta, as bytes: an object is decoded when somebody asks for it. The
 * first merge has all of it. */
struct state_recovered {
    struct buf *files;
    size_t files_count;
    struct delta_chunk *chunks; /* ascending */
    size_t chunks_count;
    uint64_t upto; /* the last one, or 0 */
    size_t bytes;  /* of files and maps: part of the state's */
};

struct state {
    struct polite_lock lock;
    struct state_question *questions; /* atomic: a stack that is only ever taken whole */
    char *path;
    struct db *reader; /* under the lock: misses and scans */
    bool reading;      /* the reader stands in a transaction, so a miss costs no locks of its own */
    struct db *writer; /* the flush thread's */
    struct state_table tables[STATE_TABLES_MAX];
    int tables_count;
    struct state_named_value *values;
    size_t values_count;

    size_t cache_bytes; /* the bound */
    size_t bytes;       /* what it bounds: of all entries that are not CHANGED */
    int hand_table;     /* the clock of second chances */
    size_t hand_slot;
    size_t hand_idle; /* so many slots without one that could leave */

    struct removed_list removed;
    struct state_delta delta;
    struct state_recovered recovered;

    pthread_t builder; /* fills filters */
    pthread_mutex_t build_mutex;
    pthread_cond_t build_changed;
    bool build_wanted[STATE_TABLES_MAX]; /* this and the next under build_mutex */
    bool build_stop;

    uint64_t loads, evictions, flushes, filtered;
    int64_t flush_last_us;
};

/* What an entry costs besides its own bytes: its place in the map (at half load) and malloc's. */
static inline size_t entry_cost(const struct state_entry *entry)
{
    return (size_t)entry->bytes + 2 * sizeof(struct map_slot) + 16;
}

static inline struct hash128 map_key(const struct state_table *table, struct hash128 key)
{
    return table->def->integer_key ? map_key_u64(key.a) : key;
}

static inline struct state_entry *entry_of(uint64_t value)
{
    return (struct state_entry *)(uintptr_t)value;
}

void state_bind_key(const struct state_table *table, struct db_stmt *stmt, int n,
                    struct hash128 key);
struct hash128 state_column_key(const struct state_table *table, struct db_stmt *stmt, int column);
/* The key after `key`; false when it was the last that can be. */
bool state_key_next(const struct state_table *table, struct hash128 *key);
struct hash128 state_key_first(const struct state_table *table);

/* The name of the value that keeps a table's count of objects. */
#define STATE_ROWS_NAME_MAX 64
void state_rows_name(const char *table, char ret_name[STATE_ROWS_NAME_MAX]);

/* May it leave the memory? Under the lock. */
static inline bool is_merged(const struct state *state, const struct state_entry *entry)
{
    return entry->flags == 0 && entry->chunk <= state->delta.merged;
}

/* The object of these bytes, as the file or the delta has them; not in the map. Damage is fatal. */
struct state_entry *state_decode(struct state_table *table, struct hash128 key, struct str bytes);

/* Slice after slice until the bound holds: an idle server must not stay above. Without the lock. */
void state_evict_down(struct state *state);

void removed_add(struct removed_list *list, struct removed_entry removed);

/* A value as the file has it: not a change. */
void state_set_loaded_value(struct state *state, struct str name, struct str bytes);
/* Ends the reader's transaction, so that its next question sees the newest commit. */
void state_reader_refresh(struct state *state);

/* --- state_delta.c ---------------------------------------------------------------------------- */

enum delta_kind { DELTA_REMOVED = 0, DELTA_PUT = 1 };

struct delta_row {
    struct hash128 key;
    const char *place; /* where it begins */
    struct str bytes;
    bool removed;
};

/* False at the end, and where no whole chunk of this history is. */
bool delta_chunk_next(struct cursor *cursor, uint64_t history, struct delta_chunk *ret_chunk);
typedef void delta_value(void *ctx, struct str name, struct str bytes);
/* At the body's beginning. */
void delta_values(struct cursor *cursor, delta_value *value, void *ctx);
typedef void delta_row_found(void *ctx, const struct delta_row *row);
/* False when the bytes are damaged. */
bool delta_row_next(const struct state_table *table, struct cursor *cursor, struct delta_row *row);
/* The rows of one table; false when the bytes are damaged. */
bool delta_rows(const struct state_table *table, struct str body, delta_row_found *found,
                void *ctx);

void state_delta_init(struct state *state, struct disk *disk);
void state_delta_close(struct state *state);
void state_delta_path(const struct state *state, uint64_t first, char ret[STATE_PATH_MAX]);
/* All files that the folder has, ascending, into `delta.files`. */
void state_delta_list(struct state *state);
/* Remove the files that the tables have, on the disk, up to this chunk. */
void state_delta_forget(struct state *state, uint64_t merged);
/* The first chunks of all files, ascending; malloc'd. */
size_t state_delta_files(struct state *state, uint64_t **ret_first);
MUST_USE enum status state_delta_map(struct state *state, uint64_t first, struct str *ret_bytes,
                                     struct err *err);
MUST_USE enum status state_delta_read(struct state *state, uint64_t first, struct buf *ret_bytes,
                                      struct err *err);

/* --- state_recovered.c ------------------------------------------------------------------------ */

/* Finds the chunks behind `delta.merged`, takes their values, and cuts off what cannot follow. */
MUST_USE enum status state_recovered_open(struct state *state, struct err *err);
/* What they have of one table. */
void state_recovered_table(struct state_table *table);
/* The last word on a key; false when there is none. Under the lock. */
bool state_recovered_find(const struct state_table *table, struct hash128 mapped,
                          struct delta_row *ret_row);
/* Each object that is nowhere else in memory, decoded for the call. False when `each` wanted no
 * more. Under the lock. */
bool state_recovered_scan(struct state_table *table, state_each *each, void *ctx);
/* Under the lock, by who has merged it: takes it out of the state. To be freed without the lock. */
struct recovered_rest {
    struct state_recovered recovered;
    struct map maps[STATE_TABLES_MAX];
};
void state_recovered_take(struct state *state, struct recovered_rest *ret_rest);
void state_recovered_free(struct recovered_rest *rest);

/* --- state_filter.c --------------------------------------------------------------------------- */

void state_filter_start(struct state *state);
void state_filter_stop(struct state *state);
/* Called once per table, and when a filter is full. */
void state_filter_want(struct state_table *table);
void state_filter_note(struct state_table *table, struct hash128 mapped);
#endif
