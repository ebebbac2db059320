/* random.h - what the files of the random test of live reports share. */
#ifndef TESTS_LIVE_RANDOM_H
#define TESTS_LIVE_RANDOM_H

#include "analytics/live.h"
#include "pipeline/pipeline.h"

#define NOW_US INT64_C(1795600000000000) /* 2026-11-25T09:46:40Z */
#define NAMES 5
#define PLANS 3
#define CHANNELS 3

extern const char *const names[NAMES], *const plans[PLANS], *const channels[CHANNELS];

void must(enum status status, const struct err *err);
/* The whole test hangs on the seed. */
void chance_seed(uint64_t seed);
uint32_t chance(uint32_t below);

/* --- random_world.c: a data directory with all that stands on it ----------------------------- */

struct world {
    char data[256];
    struct clock clock;
    struct disk disk;
    struct rng rng;
    struct hash_key key;
    struct facts *facts;
    struct access *access;
    struct log *log;
    struct warehouse *warehouse;
    struct timeline *timeline;
    struct pipeline *pipeline;
    struct live *live;
    unsigned sent;
    uint64_t position; /* after what was sent last */
};
void world_open(struct world *world, const char *data);
void world_close(struct world *world);
/* `count` more random events through the journal, the cleaning and the identities. */
void world_send(struct world *world, unsigned count);

/* --- random_ask.c: a question, and the same in SQL ------------------------------------------- */

struct question {
    const char *report;
    struct buf json;
    struct buf sql; /* (key, value) rows over ev and ev_all */
};
void question_make(struct question *question);
#endif
