/* rows.h - rows one at a time, from a stream (import/) or from a text that lies whole in memory
 * (table.c): one reader of packed bytes, one of CSV.
 *
 * Depends on: base, zlib, zstd. Called by: import. */
#ifndef TABLE_ROWS_H
#define TABLE_ROWS_H

#include <stdint.h>

#include "base/buf.h"
#include "base/status.h"

#define TABLE_ROW_BYTES_MAX ((size_t)1 << 20) /* of a stream: a longer row is an unclosed quote */
#define TABLE_COLUMNS_MAX 1024                /* the widest export of a shop system seen has 300 */

/* --- bytes (input.c) -------------------------------------------------------------------------- */

struct table_input;
/* Plain, gzip or zstd, told by the first bytes. ST_NOT_FOUND, ST_IO. */
MUST_USE enum status table_input_open(const char *path, struct table_input **ret_input,
                                      struct err *err);
void table_input_close(struct table_input *input);
/* Up to `n` unpacked bytes; *ret_n is 0 only at the end. ST_INVALID when the packing is damaged. */
MUST_USE enum status table_input_read(struct table_input *input, char *to, size_t n, size_t *ret_n,
                                      struct err *err);
void table_input_bytes(const struct table_input *input, uint64_t *ret_read, uint64_t *ret_total);
/* SHA-256 of the file as it lies on the disk, in hexadecimal. */
MUST_USE enum status table_input_hash(const char *path, char ret_text[65], struct err *err);

/* --- rows (csv.c) ----------------------------------------------------------------------------- */

/* Where rows come from: table_input_read, or a test's text. */
typedef enum status table_read_bytes(void *ctx, char *to, size_t n, size_t *ret_n, struct err *err);

struct table_csv {
    table_read_bytes *read; /* NULL: all bytes are in the window */
    void *ctx;
    char delimiter;
    char *window;
    size_t from, end, capacity;
    bool at_end;
    uint64_t line; /* where the row in hand starts, from 1 */
    uint64_t line_next;
    struct str *fields;
    size_t count;
    bool *escaped; /* fields whose doubled quotes must be undone */
};

void table_csv_init(struct table_csv *csv, table_read_bytes *read, void *ctx, char delimiter);
/* Over `n` bytes that the caller keeps and that the reader changes (doubled quotes): a row may be
 * as long as all of them, and fields live as long as the bytes. */
void table_csv_init_bytes(struct table_csv *csv, char *bytes, size_t n, char delimiter);
void table_csv_done(struct table_csv *csv);
/* The next row; *ret_any false at the end. Empty lines are passed over. Of a stream, fields live
 * until the next row. ST_INVALID names line and column. */
MUST_USE enum status table_csv_next(struct table_csv *csv, bool *ret_any, struct err *err);
/* The one of , ; tab | that parts the first lines most evenly; a comma when none occurs. */
char table_csv_guess(struct str text);
#endif
