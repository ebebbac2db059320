/* state_int.h - the inside of the cache, for the state_*.c files alone.
 *
 * The life of an entry is its flags; 0 means clean: what the file holds, committed. Only then may
 * it be evicted.
 *
 *   clean ── change ──► DIRTY(g) ── freeze: g becomes the other generation ──► frozen
 *     ▲                                                                          │ encode slice
 *     └──────────────────────── commit ◄──────────────────────── DIRTY(g)|ENCODED
 *
 * There are two generations, A and B: one is being changed, the other is frozen or empty, so a
 * freeze moves nothing but one bit. An entry may be in both: frozen as it was and changed since;
 * then `frozen` keeps its bytes until they are written.
 *
 * A removed entry stays in the map as a tombstone (else a get would read the old row from the file)
 * until the commit that deletes its row. Its key may be added again meanwhile: then the map points
 * to the new entry, and a tombstone of the same generation is REPLACED: it writes no row, for the
 * new entry's row takes its place. */
#ifndef STORE_STATE_INT_H
#define STORE_STATE_INT_H

#include <pthread.h>

#include "base/lock.h"
#include "base/map.h"
#include "store/filter.h"
#include "store/state.h"
#include "store/store_int.h"

#define FLAG_A 1u       /* in the dirty list of generation A */
#define FLAG_B 2u       /* … of B */
#define FLAG_ENCODED 4u /* its frozen bytes are taken, not yet committed */
#define FLAG_REMOVED 8u
#define FLAG_REPLACED 16u

#define CACHE_LINE 64
#define GENERATIONS 2
#define SLICE 64 /* objects encoded or scanned per hold of the lock: some 50 µs */

struct entry_list {
    struct state_entry **entries;
    size_t count, capacity;
};

/* One row of a flush, taken from an entry under the lock and written without it. */
struct flush_row {
    struct hash128 key;
    struct state_entry *entry;
    struct str bytes;
    bool write;  /* put `bytes` */
    bool remove; /* delete the row */
    bool retire; /* free the entry after the commit: it was removed */
};

struct state_table {
    struct state *state;
    const struct state_table_def *def;
    struct map map; /* key to struct state_entry */
    struct entry_list dirty[GENERATIONS];
    uint64_t rows; /* objects, in file and memory: sizes the filter */
    const char *sql_get, *sql_put, *sql_delete, *sql_scan, *sql_keys;
    /* Only `filter_ready` may answer "never seen"; a next one is filled beside it. */
    struct filter filter, filter_next;
    bool filter_ready, filter_building;
    struct flush_row *flush_rows;
    size_t flush_count;
};

struct state_named_value {
    char *name;
    struct buf value;
    bool changed; /* since the last freeze */
};

/* A value as it was at the freeze. */
struct flush_value {
    struct str name, bytes;
};

enum flush_phase {
    FLUSH_NONE,    /* nothing frozen */
    FLUSH_FROZEN,  /* frozen, bytes still in the entries */
    FLUSH_ENCODED, /* bytes in flush_rows, not committed */
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
    unsigned generation; /* 0 or 1: the one being changed */
    struct state_named_value *values;
    size_t values_count;

    size_t cache_bytes; /* the bound */
    size_t clean_bytes; /* what it bounds */
    int hand_table;     /* the clock of second chances */
    size_t hand_slot;

    enum flush_phase phase;
    struct arena flush_arena; /* bytes of flush_rows, and all of flush_values */
    struct flush_value *flush_values;
    size_t flush_values_count;
    struct buf scratch; /* the flush's */

    pthread_t builder; /* fills filters */
    pthread_mutex_t build_mutex;
    pthread_cond_t build_changed;
    bool build_wanted[STATE_TABLES_MAX]; /* this and the next under build_mutex */
    bool build_stop;

    uint64_t loads, evictions, flushes, filtered;
    int64_t flush_last_us;
};

static inline uint8_t flag_of(unsigned generation)
{
    return (uint8_t)(FLAG_A << generation);
}

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

/* Keys as the file orders them. */
int state_key_compare(const struct state_table *table, struct hash128 x, struct hash128 y);
void state_bind_key(const struct state_table *table, struct db_stmt *stmt, int n,
                    struct hash128 key);
struct hash128 state_column_key(const struct state_table *table, struct db_stmt *stmt, int column);
/* The key after `key`; false when it was the last that can be. */
bool state_key_next(const struct state_table *table, struct hash128 *key);
struct hash128 state_key_first(const struct state_table *table);

/* The name of the value that keeps a table's count of objects. */
#define STATE_ROWS_NAME_MAX 64
void state_rows_name(const char *table, char ret_name[STATE_ROWS_NAME_MAX]);

/* Ends the reader's transaction, so that its next question sees the newest commit. */
void state_reader_refresh(struct state *state);

/* state_filter.c */
void state_filter_start(struct state *state);
void state_filter_stop(struct state *state);
/* Called once per table, and when a filter is full. */
void state_filter_want(struct state_table *table);
void state_filter_note(struct state_table *table, struct hash128 mapped);
#endif
