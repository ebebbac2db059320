/* audit_int.h - the audit log as its files share it. */
#ifndef ACCESS_AUDIT_INT_H
#define ACCESS_AUDIT_INT_H

#include "access/audit.h"

#include <pthread.h>

#include "base/map.h"

#define AUDIT_HASH_BYTES 32
#define AUDIT_KINDS 3
#define AUDIT_SLICE 256 /* records of one transaction: 1 to 3 ms of the facts writer's five */
/* Reads whose records wait for the disk: at 5,000 a second a full disk may last 13 s. 12 MB. */
#define AUDIT_WAITING_MAX 65536

/* What makes two calls equal; compared as bytes, so it is zeroed before it is filled. */
struct audit_what {
    int kind, status;
    const char *key; /* of access's memory; key_n bytes */
    size_t key_n;
    const char *method, *route;
    unsigned char subject[AUDIT_SUBJECT_BYTES];
    size_t subject_n;
    char object[AUDIT_OBJECT_BYTES];
    int64_t answer_to;
    uint64_t position;
};

struct audit_entry {
    struct audit_what what;
    int64_t at_us;
    int64_t times;
    char *detail; /* malloc'd, or NULL; then it is never merged with another */
    size_t detail_n;
};

struct audit_batch {
    struct audit_entry *entries;
    size_t count, capacity;
};

struct audit {
    struct audit_options options;
    unsigned char chain_key[32], subject_key[32];
    struct hash_key merge_key;

    pthread_mutex_t mutex; /* all below */
    pthread_cond_t wake;   /* the writer's */
    pthread_cond_t done;   /* audit_flush's */
    struct audit_batch waiting;
    struct map merged; /* audit_what to its index in `waiting`, plus 1 */
    size_t writing;    /* entries that the writer holds */
    uint64_t flush_wanted, flush_tried, flush_done;
    bool failing; /* the last try: then the next one comes a second later, however much waits */
    struct err flush_err;
    bool closing;
    struct audit_stats stats;
    pthread_t thread;
};

/* --- audit_chain.c: records as they stand on the disk ------------------------------------------
 */

struct audit_chain {
    int kind;
    unsigned char before[AUDIT_HASH_BYTES], last[AUDIT_HASH_BYTES], seal[AUDIT_HASH_BYTES];
    int64_t last_id, records;
};

/* One row of the table, texts borrowed. */
struct audit_row {
    int64_t id, answer_to, at_us, status, times, position;
    int kind;
    struct str key, method, route, subject, object, detail, hash;
};

void audit_keys_make(struct audit *audit);
void audit_row_hash(const struct audit *audit, const unsigned char before[AUDIT_HASH_BYTES],
                    const struct audit_row *row, unsigned char ret_hash[AUDIT_HASH_BYTES]);
void audit_chain_seal(const struct audit *audit, const struct audit_chain *chain,
                      unsigned char ret_seal[AUDIT_HASH_BYTES]);
/* The chain of a kind; one that does not exist yet is empty and sealed. */
MUST_USE enum status audit_chain_read(const struct audit *audit, struct db *db, int kind,
                                      struct audit_chain *ret_chain, struct err *err);
/* Append entries, at most AUDIT_SLICE, in one transaction; *ret_id is the last one's. */
MUST_USE enum status audit_append(struct audit *audit, const struct audit_entry *entries,
                                  size_t count, int64_t *ret_id, struct err *err);
/* Delete what is too old or too much, a slice at a time, at most `slices` of each kind. */
MUST_USE enum status audit_tidy(struct audit *audit, int slices, struct err *err);
#endif
