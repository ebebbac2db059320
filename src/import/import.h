/* import.h - files in: rows of CSV (also packed by gzip or zstd) become events by a mapping, and go
 * through the same door.
 *
 * A mapping (JSON) names the column that groups rows into one event, its key columns (which make
 * the message id, so the same file imported twice adds nothing), the time column and zone,
 * identifiers, properties and product lines. No line is thrown away: cleaning is a report's rule.
 * Without key columns the message id is (file SHA-256, line number). Depends on: base, net, event
 * (identifier types), clean (times). Called by: app. docs/format/mapping.md */
#ifndef IMPORT_IMPORT_H
#define IMPORT_IMPORT_H

#include "base/buf.h"
#include "base/status.h"
#include "net/client.h"

struct import_progress {
    uint64_t bytes_read, bytes_total; /* of the file as it lies on the disk */
    uint64_t lines, events, stored, duplicates, quarantined;
    struct buf position; /* the last batch's token for `after=`; the caller's to free at the end */
};

struct import_options {
    const char *file;
    struct str mapping;         /* JSON text */
    struct http_client *client; /* a secret key with collect */
    /* Called after each batch; may be NULL. */
    void (*progress)(void *ctx, const struct import_progress *progress);
    void *ctx;
};

/* Reads, posts batches to /api/v1/batch (of at most 100 events or 1 MB) and repeats each until it
 * is answered (503, a cut connection: again after a second, for ten minutes). ST_INVALID with file
 * line and column for a row that is no CSV or misses a mapped column; what was sent before stays.
 */
MUST_USE enum status import_file(const struct import_options *options,
                                 struct import_progress *ret_progress, struct err *err);
#endif
