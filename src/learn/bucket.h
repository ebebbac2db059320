/* bucket.h - who falls into which variation: the same hash, ranges and namespaces as the GrowthBook
 * SDKs, so that a person sees one variation whether the server or a browser decides.
 *
 * Source: GrowthBook's public SDK documentation ("Build your own SDK", specification 0.8.0) and the
 * cases of its JavaScript SDK. The hash is FNV-1a of 32 bits (Fowler, Noll, Vo) over UTF-16 code
 * units, as JavaScript counts a text; for ASCII these are the bytes.
 *
 * Pure functions: no memory, no clock, no chance. Depends on: base. Called by: growthbook,
 * experiments, journeys, the API. */
#ifndef LEARN_BUCKET_H
#define LEARN_BUCKET_H

#include <stdint.h>

#include "base/str.h"

/* Part of the line from 0 to 1: from <= n < to. */
struct bucket_range {
    double from, to;
};

/* Where `value` falls, 0 <= n < 1, under `seed`. Version 1 has 1,000 places and is biased between
 * experiments whose seeds resemble each other; version 2 hashes twice and has 10,000. False when
 * there is no such version. */
bool bucket_hash(struct str seed, struct str value, int64_t version, double *ret_n);

static inline bool bucket_in_range(double n, struct bucket_range range)
{
    return n >= range.from && n < range.to;
}

/* `count` times 1/count. */
void bucket_equal_weights(size_t count, double *ret_weights);

/* One range per variation, each starting where the last would end at full coverage, so that raising
 * the coverage moves nobody to another variation. Coverage is cut to 0…1. Weights that are missing
 * (NULL), too many, too few, or do not add up to 0.99…1.01 become equal ones. */
void bucket_ranges(size_t count, double coverage, const double *weights, size_t weights_count,
                   struct bucket_range *ret_ranges);

/* The first range that holds n, else -1. */
int64_t bucket_choose(double n, const struct bucket_range *ranges, size_t count);

/* Whether `value` belongs to its part of a namespace: experiments of one namespace with parts that
 * do not meet never share a person. Hash version 1 under the seed "__" + name. */
bool bucket_in_namespace(struct str value, struct str name, struct bucket_range part);

/* The variation that a URL asks for by ?key=1, else -1. */
int64_t bucket_query_override(struct str key, struct str url, size_t count);
#endif
