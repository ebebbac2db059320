/* state.h - state.db behind a write-back cache of decoded objects.
 *
 * A table holds objects under a key; the owner module brings four functions. The hot part lives in
 * memory, bounded; a miss reads the file, behind a filter that answers "never seen" without
 * touching it. ONE thread, the pipeline's, changes objects, under the state lock. From time to time
 * it NOTES what changed, at one journal position, for a file beside state.db (the delta), which
 * another thread writes; more seldom a third MERGES what was noted into the tables, while folding
 * goes on (ADR 0013).
 *
 * All calls but state_note…, _seal, _merge, _checkpoint, _snapshot and the scans need the state
 * lock (state_lock), whose long holder gives way: readers wait for one slice. state_table is for
 * the start, before threads. Depends on: base, store/store.h. Called by: clean (no), identity,
 * profile, pipeline. */
#ifndef STORE_STATE_H
#define STORE_STATE_H

#include "base/hash.h"
#include "store/store.h"

struct state;
struct state_table;

/* Every object begins with this; the rest is its owner's. */
struct state_entry {
    struct hash128 key;
    uint32_t bytes; /* what it costs in memory, this struct included; its owner sets it at birth and
                       may change it whenever the object is its to change */
    uint8_t flags;  /* the cache's */
    uint8_t used;   /* the cache's: second chance */
    uint16_t slot;  /* the owner's: free to use */
    uint32_t chunk; /* the cache's: which note has it as it is */
};

struct state_table_def {
    const char *name; /* the SQL table: name(key, value), with its queries in sql/state.sql */
    bool integer_key; /* key.a is an integer key and key.b is 0; else 16 bytes, never all zero */
    /* Append the object's bytes to `buf`. */
    void (*encode)(const struct state_entry *entry, struct buf *buf);
    /* A malloc'd object, its `bytes` set; NULL when the bytes are damaged. */
    struct state_entry *(*decode)(struct hash128 key, struct str bytes);
    void (*free)(struct state_entry *entry);
    /* Or NULL. Begin to fetch what encode will read outside the object itself: a hint. */
    void (*prefetch)(const struct state_entry *entry);
};

struct state_options {
    const char *path;   /* DATA/state.db */
    size_t cache_bytes; /* 0 = 640 MiB: what objects may take; what changed since the last note is
                           on top, and so is what no merge has had yet where it alone is more */
    struct disk *disk;  /* of the delta's files; NULL = the state's own */
};

#define STATE_TABLES_MAX 8
#define STATE_VALUE_BYTES_MAX ((size_t)1 << 20) /* a few counters, not a table */
#define STATE_OBJECT_BYTES_MAX                                                                     \
    ((size_t)16 << 20) /* encoded; a component of 1,000 identifiers is far below */

/* Opens or makes the file. ST_CORRUPT or ST_CONFLICT: delete it, the journal has everything. */
MUST_USE enum status state_open(const struct state_options *options, struct state **ret_state,
                                struct err *err);
/* Without a flush: what is dirty is lost, and the journal has it. */
void state_close(struct state *state);
/* Before the first get, without the lock. Finds what the delta has of its objects. The definition
 * must outlive the state. */
struct state_table *state_table(struct state *state, const struct state_table_def *def);

void state_lock(struct state *state);
void state_unlock(struct state *state);
/* Between two events of a batch: answer what was asked, let in who waits, and evict down to the
 * bound. */
void state_breathe(struct state *state);

/* Ask without waiting for the lock. `look` is called once, under the lock, by this thread before
 * state_ask returns or soon by whichever holds it: it reads, for some microseconds. Then, on that
 * thread, `then`: it must neither take the lock nor wait, and the question may be gone after it.
 * Call without the lock; what the question needs is not the caller's any more. */
struct state_question {
    void (*look)(void *ctx);
    void (*then)(void *ctx);
    void *ctx;
    struct state_question *next; /* the state's */
};
void state_ask(struct state *state, struct state_question *question);

/* The object, from memory or file, or NULL when there is none. Stays valid until state_breathe or
 * state_unlock. A file that cannot be read is fatal: going on would fold on nothing. */
struct state_entry *state_get(struct state_table *table, struct hash128 key);
/* Bring what `keys` stand for into the processor's cache, `bytes` of each object: a hint before
 * some tens of gets in a row, each of which would wait for memory twice. ret_found[i] is the object
 * if it is in memory, else NULL. Nothing is read from the file. */
void state_prefetch(struct state_table *table, const struct hash128 *keys, size_t count,
                    size_t bytes, struct state_entry **ret_found);
/* Add a new object under its entry.key, which must not exist. The table owns it from here. Dirty.
 */
void state_add(struct state_table *table, struct state_entry *entry);
/* MUST be called before each change of an object that is in the table. */
void state_change(struct state_table *table, struct state_entry *entry);
/* Remove it, from memory now and from the file at a later merge. The entry is the cache's now. */
void state_remove(struct state_table *table, struct state_entry *entry);

/* Small named values that are written with each note: the position, the dedup lengths, the
 * counters. Names that begin with "store." are ours. */
void state_set_value(struct state *state, const char *name, struct str value);
/* Appended to `buf`; false if never set. */
bool state_value(struct state *state, const char *name, struct buf *buf);

/* Take down what was changed since the last note, with the values, at the journal position that
 * they name. Call without the lock, from the one thread that changes objects, and not before the
 * last one is written. */
void state_note_begin(struct state *state);
/* Write what was taken down: on the disk when it returns, and where the next open stands. From one
 * thread, beside the changing one. ST_OK when there is nothing. ST_BUSY on a full disk: call it
 * again later, nothing was noted. */
MUST_USE enum status state_note_write(struct state *state, struct err *err);
/* Both, for who has one thread; after ST_BUSY it writes what that call took down. */
MUST_USE enum status state_note(struct state *state, struct err *err);
/* Bytes that were noted since the last seal: what a start would read beside the file. */
uint64_t state_unmerged_bytes(struct state *state);
/* True when the memory is full of what only a merge lets go. */
bool state_is_crowded(struct state *state);
/* A merge goes up to here. Right after a note was written, by the same thread. */
void state_seal(struct state *state);
/* Bring what is sealed into the file, in ONE transaction. Call without the lock, from one thread.
 * ST_BUSY on a full disk: call it again later, nothing was committed. */
MUST_USE enum status state_merge(struct state *state, struct err *err);
/* Move the WAL into the file, on the disk, and remove the delta's files that were merged; on its
 * own thread, at leisure. `truncate` after an erase: no old page stays. */
MUST_USE enum status state_checkpoint(struct state *state, bool truncate, struct err *err);
/* A consistent copy of the file as of the last merge, at `path` (the journal's retention needs it).
 * On the disk when it returns; whole or absent. */
MUST_USE enum status state_snapshot(struct state *state, const char *path, struct err *err);

/* Each object that is in the file, as memory has it now, in key order of the file (integers as
 * signed); takes and gives back the lock in slices, so call it without. The caller merges first if
 * it wants to see everything, or asks state_scan_unmerged for the rest. The entry is borrowed for
 * the call of `each`, which runs under the lock and must not change or remove. Stops when `each`
 * returns false. */
typedef bool state_each(void *ctx, struct state_entry *entry);
MUST_USE enum status state_scan(struct state_table *table, state_each *each, void *ctx,
                                struct err *err);
/* Each object in memory that the file may not have yet, or not as it is; in no order, under one
 * hold of the lock, which it takes itself. */
void state_scan_unmerged(struct state_table *table, state_each *each, void *ctx);

struct state_stats {
    uint64_t cached, dirty, loads, evictions;
    uint64_t flushes;   /* merges that wrote something */
    uint64_t filtered;  /* misses that the filter answered */
    size_t cache_bytes; /* clean objects and the maps */
    size_t filter_bytes;
    bool filters_ready;
    int64_t flush_last_us;
};
void state_stats(struct state *state, struct state_stats *ret_stats);
#endif
