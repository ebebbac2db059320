/* random.h - what the files of the random test of live reports share. */
#ifndef TESTS_LIVE_RANDOM_H
#define TESTS_LIVE_RANDOM_H

#include "analytics/live.h"
#include "pipeline/pipeline.h"

#define NOW_US INT64_C(1795600000000000) /* 2026-11-25T09:46:40Z */
#define NOW_S (NOW_US / US_PER_S)
#define NAMES 5
#define PLANS 3
#define CHANNELS 4
#define CAMPAIGNS 3

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
    unsigned sent, erased;
    uint64_t position; /* after what was sent last */
};
void world_open(struct world *world, const char *data);
void world_close(struct world *world);
/* `count` more random events through the journal, the cleaning and the identities. */
void world_send(struct world *world, unsigned count);
/* Somebody is erased; anybody: one of those who have become one with others, who then go, too. */
void world_erase(struct world *world, bool anybody);

/* --- random_ask.c, random_funnel.c, random_way.c: a question, and the same in SQL ------------- */

/* `sql` gives rows over ev and ev_all: a key, then numbers, each named as in the report. A column
 * who_NUMBER is a fingerprint of the people behind that number. `sql_before`: the same of the
 * window before; empty = none. */
struct question {
    const char *report;
    struct buf json;
    struct buf sql, sql_before;
};
void question_make(struct question *question);

/* The window of a question. */
struct window {
    int64_t from, to, off; /* seconds; off: of the zone, east of UTC */
    const char *where;     /* SQL; "true" = none */
};
/* "from", "to", "zone", "where", with the brace before them. */
struct window window_make(struct question *question);
/* The one before, as long. */
struct window window_before(const struct window *window);
/* An event of a question: a name or any, sometimes with a condition; its SQL in `sql`. *ret_name is
 * the name, NULL = any. */
void event_make(struct buf *json, char sql[96], bool can_be_any, const char **ret_name);
bool flag_make(struct buf *json, const char *name, uint32_t of);
void put(struct buf *buf, const char *text);
/* The people of a group as one number. */
#define WHO_SQL "bit_xor(DISTINCT person) FILTER (person <> 0) %% 1000003" /* of a format */

/* A breakdown: its column ("" = none), how many values have a row of their own; is the window
 * compared with the one before? */
struct breakdown {
    const char *column;
    unsigned top;
    bool compare;
};
struct breakdown breakdown_make(struct question *question, uint32_t of);
/* ", val AS (…)": the values by frequency among the events that `taken` says. */
void breakdown_sql(struct buf *sql, const struct breakdown *breakdown, const struct window *window,
                   const char *taken);
/* The value of `column` as the report says it: text, "other" or "". */
void breakdown_value(struct buf *sql, const struct breakdown *breakdown, const char *column);

void funnel_make(struct question *question);
void retention_make(struct question *question);
void paths_make(struct question *question);
#endif
