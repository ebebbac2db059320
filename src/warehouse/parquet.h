/* parquet.h - a Parquet file as texts: names and cells, read by an engine of its own.
 *
 * The engine lives in memory for this one call, with no way to any other file, and knows nothing of
 * a data directory: reports on files run beside a server or without one.
 *
 * Depends on: base. Called by: table. */
#ifndef WAREHOUSE_PARQUET_H
#define WAREHOUSE_PARQUET_H

#include "base/arena.h"
#include "base/status.h"
#include "base/str.h"

struct warehouse_parquet {
    size_t columns, rows;
    struct str *cells; /* rows + 1 times columns: the first row are the names; texts terminated */
    struct arena texts;
};

/* All rows in the file's order. A missing value is an empty text; numbers have the fewest digits
 * that read back the same, times are "2026-11-24 10:00:00.123" (UTC when they have a zone).
 * ST_INVALID when it is no Parquet file, ST_TOO_LARGE above `cells_max` cells or `bytes_max` bytes
 * of text, ST_NOT_FOUND, ST_IO. */
MUST_USE enum status warehouse_parquet_read(const char *path, size_t cells_max, size_t bytes_max,
                                            struct warehouse_parquet *ret_parquet, struct err *err);
void warehouse_parquet_done(struct warehouse_parquet *parquet);
#endif
