/* rng.h - chance, passed in: from the system, or from a seed so that a test can repeat it. Safe
 * from any thread. */
#ifndef BASE_RNG_H
#define BASE_RNG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct rng {
    bool seeded;
    uint64_t state; /* moved atomically; only when seeded */
};

void rng_init_system(struct rng *rng);
void rng_init_seed(struct rng *rng, uint64_t seed);
void rng_bytes(struct rng *rng, void *ret_bytes, size_t n);
uint64_t rng_u64(struct rng *rng);
/* "xxxxxxxx-xxxx-4xxx-yxxx-xxxxxxxxxxxx", RFC 9562 version 4, terminated. */
void rng_uuid(struct rng *rng, char ret_text[37]);
#endif
