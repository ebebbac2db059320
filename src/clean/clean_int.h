/* clean_int.h - what the files of clean share: pieces of the normal forms, and the deduplication
 * index (clean_dedup.c) with its two halves, the sets in memory (clean_set.c) and the sorted file
 * of older days (clean_old.c, made by clean_merge.c). */
#ifndef CLEAN_CLEAN_INT_H
#define CLEAN_CLEAN_INT_H

#include "clean/clean.h"

/* --- normal forms ----------------------------------------------------------------------------- */

/* An amount as a JSON number or text. */
bool clean_amount_json(yyjson_val *value, int64_t *ret_micros);

/* Why a text is not taken, or REASON_NONE. */
enum event_reason clean_json(struct str text, struct arena *arena, yyjson_val **ret_object);

/* --- event names (clean_names.c) -------------------------------------------------------------- */

struct clean_names;
struct clean_names *clean_names_new(const struct hash_key *key);
void clean_names_free(struct clean_names *names);
/* Count the name; true when events of that name carry an amount. */
bool clean_names_see(struct clean_names *names, struct str name);
void clean_names_stats(struct clean_names *names, uint64_t *ret_names, uint64_t *ret_overflow);

/* --- a set of keys in memory ------------------------------------------------------------------ */

#define CLEAN_SET_SEGMENTS 256

struct clean_set {
    struct clean_set_segment {
        struct hash128 *slots;
        uint32_t capacity, count;
    } segments[CLEAN_SET_SEGMENTS];
    uint64_t bytes; /* atomic: asked by other threads */
};

static inline unsigned clean_set_segment_of(struct hash128 key)
{
    return (unsigned)(key.a >> 56);
}
struct clean_set *clean_set_new(void);
void clean_set_free(struct clean_set *set); /* NULL is fine */
bool clean_set_has(const struct clean_set *set, struct hash128 key);
void clean_set_add(struct clean_set *set, struct hash128 key);
void clean_set_prefetch(const struct clean_set *set, struct hash128 key);
/* Make room for `count` keys in all, so that loading does not grow step by step. Empty sets only.
 */
void clean_set_reserve(struct clean_set *set, uint64_t count);

/* --- the sorted file -------------------------------------------------------------------------- */

#define CLEAN_DAYS_MAX 256 /* distinct values of the day byte */
#define CLEAN_KEY_BYTES 16u
#define CLEAN_KEYS_HEADER_BYTES 16u

/* Which keys a day holds: how many, and the sum of their first halves as a fingerprint, so that two
 * histories of one day with the same count are not taken for each other after a restore. */
struct clean_day_count {
    uint32_t day;  /* since 1970 */
    uint32_t part; /* of that day, from 0; all but the last are full */
    uint64_t count;
    uint64_t sum;
};

struct clean_old {
    struct disk *disk;
    int fd;
    uint64_t count;
    uint64_t *fences; /* the first 8 bytes of each page's first key */
    uint64_t pages;
    uint64_t *bloom;
    uint64_t blocks;
    struct clean_day_count days[CLEAN_DAYS_MAX];
    size_t days_count;
};

/* An entry of the sorted file: the key with the low byte of `b` replaced by the day's number. */
static inline struct hash128 clean_old_entry(struct hash128 key, uint32_t day)
{
    return (struct hash128){key.a, (key.b & ~UINT64_C(0xff)) | (day & 0xff)};
}
/* ST_NOT_FOUND when there is none, ST_CORRUPT when it cannot be used and is to be made again. */
MUST_USE enum status clean_old_open(struct disk *disk, const char *folder,
                                    struct clean_old **ret_old, struct err *err);
void clean_old_close(struct clean_old *old); /* NULL is fine */
/* Does it hold exactly these keys of that part of a day? */
bool clean_old_holds(const struct clean_old *old, const struct clean_day_count *want);
/* Is the key there with a day that is alive? */
MUST_USE enum status clean_old_has(const struct clean_old *old, struct hash128 key,
                                   const bool alive[CLEAN_DAYS_MAX], bool *ret_has,
                                   struct err *err);
void clean_old_prefetch(const struct clean_old *old, struct hash128 key);
uint64_t clean_old_bytes(const struct clean_old *old);

/* The geometry of the file, from its number of keys. */
#define CLEAN_OLD_HEADER_BYTES 8192u
#define CLEAN_OLD_PAGE_BYTES 4096u
#define CLEAN_OLD_PAGE_KEYS (CLEAN_OLD_PAGE_BYTES / CLEAN_KEY_BYTES)
#define CLEAN_OLD_BLOCK_BYTES 64u
#define CLEAN_OLD_BLOCK_WORDS (CLEAN_OLD_BLOCK_BYTES / 8u)
#define CLEAN_OLD_KEY_BITS 12u /* 512 / 12 = 42 keys in a block; 0.5 % of strangers pass */

struct clean_old_shape {
    uint64_t pages, blocks;
    uint64_t fences_at, bloom_at, size;
};
struct clean_old_shape clean_old_shape_of(uint64_t count);
/* Set the bits of an entry in its block; which block it is. */
uint64_t clean_old_block_of(struct hash128 key, uint64_t blocks);
void clean_old_block_set(uint64_t block[CLEAN_OLD_BLOCK_WORDS], struct hash128 key);
/* The header's bytes, with their checksum. */
void clean_old_header(const struct clean_old *old, uint32_t bloom_crc,
                      unsigned char bytes[CLEAN_OLD_HEADER_BYTES]);

/* --- making it -------------------------------------------------------------------------------- */

struct clean_merge {
    struct disk *disk;
    const char *folder;
    const struct clean_old *old;                 /* NULL if none; only read */
    bool keep[CLEAN_DAYS_MAX];                   /* which of its days go on */
    struct clean_day_count adds[CLEAN_DAYS_MAX]; /* day files to take in, whole and synced */
    size_t adds_count;
    bool stop; /* atomic: give up */
    bool done; /* atomic: the result stands */
    enum status status;
    struct err err;
    struct clean_old *ret_old; /* when ST_OK and anything was left to write, else NULL */
};
/* The whole work, on any thread: sorted runs, one merge, rename. */
void clean_merge_run(struct clean_merge *merge);

void clean_day_path(const char *folder, uint32_t day, uint32_t part, char *path, size_t n);

/* --- the index -------------------------------------------------------------------------------- */

struct clean_dedup;
MUST_USE enum status clean_dedup_open(const struct clean_options *options, struct str lengths,
                                      struct clean_dedup **ret_dedup, struct err *err);
void clean_dedup_close(struct clean_dedup *dedup);
void clean_dedup_prefetch(const struct clean_dedup *dedup, struct hash128 key);
/* False when the key is known; else it is remembered under the day of `received_us`. */
bool clean_dedup_add(struct clean_dedup *dedup, struct hash128 key, int64_t received_us);
bool clean_dedup_known(struct clean_dedup *dedup, struct hash128 key); /* any thread */
MUST_USE enum status clean_dedup_sync(struct clean_dedup *dedup, struct buf *lengths,
                                      struct err *err);
MUST_USE enum status clean_dedup_bury(struct clean_dedup *dedup, const struct hash128 *keys,
                                      size_t keys_count, struct err *err);
bool clean_dedup_buried_any(const struct clean_dedup *dedup);           /* any thread */
bool clean_dedup_buried(struct clean_dedup *dedup, struct hash128 key); /* any thread */
void clean_dedup_stats(struct clean_dedup *dedup, struct clean_stats *ret_stats);
/* Wait for a merge under way and take it in. */
void clean_dedup_settle(struct clean_dedup *dedup);
#endif
