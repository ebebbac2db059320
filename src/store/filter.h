/* filter.h - "never seen" in one cache line: a blocked Bloom filter over 128-bit keys.
 *
 * Eight bits per key, one in each word of one 64-byte block, at 12 bits of memory per key: about 1
 * in 150 unseen keys is taken for a seen one. Keys are well-spread hashes, as in base/map.h.
 * Private to store/. */
#ifndef STORE_FILTER_H
#define STORE_FILTER_H

#include "base/hash.h"

#include <stddef.h>

struct filter {
    uint64_t (*blocks)[8];
    size_t blocks_count;
    uint64_t capacity; /* above it the error rate grows: make a larger one */
    uint64_t count;    /* keys added */
};

void filter_init(struct filter *filter, uint64_t capacity);
void filter_done(struct filter *filter);
void filter_add(struct filter *filter, struct hash128 key);
/* False: certainly never added. */
bool filter_may_hold(const struct filter *filter, struct hash128 key);
size_t filter_bytes(const struct filter *filter);
#endif
