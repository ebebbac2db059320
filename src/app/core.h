/* core.h - everything of one data directory but the network: opened in the order of the layers,
 * closed in reverse.
 *
 * Layout of DATA (docs/format/data.md): VERSION, lock, secret.key, owner.key, listen, facts.db,
 * state.db, journal/, dedup/, warehouse/, export/, snapshot/. One process at a time: the lock says
 * so. Depends on: every module. Called by: serve, doctor. */
#ifndef APP_CORE_H
#define APP_CORE_H

#include "access/audit.h"
#include "analytics/live.h"
#include "app/options.h"
#include "pipeline/pipeline.h"
#include "segment/segment.h"

struct core {
    struct clock clock;
    struct rng rng;
    struct disk disk;
    struct hash_key key;
    char data[3072];
    int lock_fd;
    struct facts *facts;
    struct access *access;
    struct audit *audit;
    struct log *log;
    struct warehouse *warehouse;
    struct timeline *timeline; /* or NULL */
    struct pipeline *pipeline;
    struct live *live; /* or NULL, as the timeline */
    struct segment *segment;
};

/* Open and start folding. ST_CONFLICT when another process has the directory, ST_CORRUPT when it
 * was made by a newer program or is damaged. On failure everything that was opened is closed again.
 */
MUST_USE enum status core_open(struct core *core, const struct options *options, struct err *err);
/* Flush and close. */
void core_close(struct core *core);

/* DATA/NAME into `path`. */
void core_path(const struct core *core, const char *name, char path[4096]);
#endif
