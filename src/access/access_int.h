/* access_int.h - sources and keys as the files of access/ share them. */
#ifndef ACCESS_ACCESS_INT_H
#define ACCESS_ACCESS_INT_H

#include "access/access.h"

#include <pthread.h>

#include "base/map.h"

#define KEY_HASH_BYTES 32
#define KEY_ID_CHARS 14    /* "k_" and 12 random */
#define KEY_PREFIX_CHARS 7 /* "sk_" and 4 of 40: enough to recognise, useless to guess */
#define KEY_TEXT_BYTES_MAX 64

struct access_source {
    uint32_t id;
    struct str name, channel;
};

struct access_key {
    struct str id;
    unsigned char hash[KEY_HASH_BYTES];
    bool secret;
    uint32_t source;
    struct str label;
    uint32_t scopes;
    struct str prefix;
    int64_t created_us;
    int64_t revoked_us; /* 0 while valid */
};

struct access {
    struct facts *facts;
    struct rng *rng;
    const struct clock *clock;
    uint32_t api_source; /* what events sent with a secret key carry */

    pthread_rwlock_t lock; /* all below; written after the commit that it mirrors */
    struct arena arena;    /* texts and keys: as long as the access */
    struct access_source *sources;
    size_t sources_count;
    struct access_key **keys;
    size_t keys_count;
    struct map by_hash; /* the first 16 bytes of the hash to struct access_key */
};

/* access_key.c: the texts of keys. */

/* `prefix` and `count` random url-safe characters. */
void access_key_make(struct rng *rng, const char *prefix, size_t count, struct buf *ret_key);
void access_key_hash(struct str key, unsigned char ret_hash[KEY_HASH_BYTES]);
struct hash128 access_key_slot(const unsigned char hash[KEY_HASH_BYTES]);
bool access_key_is_well_formed(struct str key);
#endif
