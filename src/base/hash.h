/* hash.h - CRC-32C for what may rot, keyed SipHash-2-4-128 for keys that strangers choose.
 *
 * A 128-bit keyed hash stands for its text in indexes: at 10^9 keys the chance of any collision is
 * 10^-21 (birthday bound), far below a disk's error rate, and without the key nobody can aim for
 * one. */
#ifndef BASE_HASH_H
#define BASE_HASH_H

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"

struct hash128 {
    uint64_t a, b;
};

struct hash_key {
    unsigned char bytes[16];
};

static inline bool hash128_eq(struct hash128 x, struct hash128 y)
{
    return x.a == y.a && x.b == y.b;
}

static inline int hash128_compare(struct hash128 x, struct hash128 y)
{
    if (x.a != y.a)
        return x.a < y.a ? -1 : 1;
    return (x.b > y.b) - (x.b < y.b);
}

static inline bool hash128_is_zero(struct hash128 x)
{
    return (x.a | x.b) == 0;
}

/* CRC-32C (Castagnoli, RFC 3720 B.4), continued from `crc`; start with 0. Uses the SSE 4.2
 * instruction if there. */
uint32_t crc32c(uint32_t crc, const void *bytes, size_t n);

/* SipHash-2-4-128 (libsodium siphashx24) under `key`. Never gives the zero hash, which maps reserve
 * for "empty". */
struct hash128 hash_keyed(const struct hash_key *key, struct str text);

/* The same under a fixed public key: an order and a fingerprint that are equal in every data
 * directory. Never an index key for text that strangers choose. */
struct hash128 hash_public(struct str text);

/* Cheap mixing of an integer into a well spread one (splitmix64 finaliser). */
static inline uint64_t hash_mix(uint64_t x)
{
    x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
    return x ^ (x >> 31);
}
#endif
