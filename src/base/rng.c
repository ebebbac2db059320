/* rng.c - libsodium's generator, or splitmix64 for tests. */
#include "base/rng.h"

#include <sodium.h>
#include <stdio.h>
#include <string.h>

#include "base/hash.h"

void rng_init_system(struct rng *rng)
{
    *rng = (struct rng){0};
}

void rng_init_seed(struct rng *rng, uint64_t seed)
{
    *rng = (struct rng){.seeded = true, .state = seed};
}

void rng_bytes(struct rng *rng, void *ret_bytes, size_t n)
{
    if (!rng->seeded) {
        randombytes_buf(ret_bytes, n);
        return;
    }
    unsigned char *to = ret_bytes;
    while (n > 0) {
        uint64_t step = UINT64_C(0x9e3779b97f4a7c15);
        uint64_t v = hash_mix(__atomic_add_fetch(&rng->state, step, __ATOMIC_RELAXED));
        size_t part = n < sizeof v ? n : sizeof v;
        memcpy(to, &v, part);
        to += part;
        n -= part;
    }
}

uint64_t rng_u64(struct rng *rng)
{
    uint64_t v;
    rng_bytes(rng, &v, sizeof v);
    return v;
}

void rng_uuid(struct rng *rng, char ret_text[37])
{
    unsigned char b[16];
    rng_bytes(rng, b, sizeof b);
    b[6] = (unsigned char)((b[6] & 0x0f) | 0x40);
    b[8] = (unsigned char)((b[8] & 0x3f) | 0x80);
    snprintf(ret_text, 37, "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x",
             b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7], b[8], b[9], b[10], b[11], b[12], b[13],
             b[14], b[15]);
}
