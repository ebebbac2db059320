/* timeline_test_int.h - a world of visitors, told to a timeline and to a naive list. */
#ifndef TIMELINE_TIMELINE_TEST_INT_H
#define TIMELINE_TIMELINE_TEST_INT_H

#include "timeline/timeline_int.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/disk.h"
#include "base/rng.h"

#define VISITORS 3000
#define NOVEMBER (INT64_C(1793491200) * US_PER_S) /* 2026-11-01 */

struct fact {
    uint64_t visitor, position;
    int64_t time_us;
    int64_t amount; /* -1 = none */
    uint32_t name, channel, campaign;
    uint32_t number; /* the visitor's */
};

struct world {
    struct timeline *timeline;
    struct warehouse *warehouse;
    struct rng rng;
    struct fact *facts;
    size_t count, capacity;
    uint64_t owner[VISITORS]; /* a person's id, by visitor's number; 0 = never seen */
    bool erased[VISITORS];
    uint64_t position;
    uint32_t names;
    char folder[64];
    struct disk disk;
    struct clock clock;
};

/* A fact, and whose it is. */
struct seen {
    uint64_t person;
    int64_t time_us;
    uint64_t position;
    const struct fact *fact;
};

void must(enum status status, const struct err *err);
/* Ids as identity makes them, in no order of appearance. */
uint64_t id_of(uint32_t number);
uint32_t below(struct world *world, uint32_t n);
const char *text_of(char out[32], const char *kind, uint32_t number);
void fact_feed(struct world *world, const struct fact *fact, bool is_new);
void world_commit(struct world *world);
void visitor_erased(struct world *world, uint32_t number);
/* All facts as they should be read, nobody's (person 0) first. */
struct seen *expected(const struct world *world);
/* A person's first fact. */
size_t person_start(const struct seen *all, size_t count, uint64_t person);
/* What the newest view holds is what the list says. */
void world_check(const struct world *world);
void view_check(const struct world *world, const struct timeline_view *view);
void wait_ready(struct timeline *timeline);
void history_run(struct world *world, size_t steps);
#endif
