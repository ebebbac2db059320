/* table.h - a file of rows, whole in memory: CSV, TSV (plain, gzip, zstd) or Parquet, told by its
 * bytes.
 *
 * What the reports on files read. Cells are text until a caller asks for numbers or times, so that
 * an error can name line and column. Columns are found by their usual names or as the caller says
 * (--columns). import/ reads the same rows one at a time (table/rows.h).
 *
 * Depends on: base, warehouse (Parquet). Called by: analytics, learn, import, app. No tables, keeps
 * nothing: personal data lives as long as the report runs. */
#ifndef TABLE_TABLE_H
#define TABLE_TABLE_H

#include <stdint.h>

#include "base/buf.h"
#include "base/status.h"
#include "base/str.h"

#define TABLE_BYTES_MAX ((size_t)4 << 30) /* unpacked; a larger file belongs into the warehouse */
#define TABLE_CELLS_MAX ((size_t)256 << 20)

struct table;

struct table_options {
    const char *path;
    char delimiter; /* 0 = guessed from the first lines: , ; tab | */
    /* "customer=cust,time=Date": for a role, the file's column. Else a column is found by the usual
     * names. NULL or "" = none. */
    const char *columns;
};

/* The first row names the columns. ST_NOT_FOUND, ST_IO; ST_INVALID (line and column) for an empty
 * file, a row with more or fewer cells than the head, no CSV, or a role in `columns` that names no
 * column. */
MUST_USE enum status table_read(const struct table_options *options, struct table **ret_table,
                                struct err *err);
void table_free(struct table *table);

size_t table_rows(const struct table *table);
size_t table_columns(const struct table *table);
struct str table_name(const struct table *table, int column);
/* Lives as long as the table. */
struct str table_cell(const struct table *table, size_t row, int column);
/* The file's line where the row starts, from 1 (the head is line 1); row + 2 for Parquet. */
uint64_t table_line(const struct table *table, size_t row);

/* The column for `role`: what --columns says, else the first of `usual` ("customer_id|cust|id",
 * case, blanks and _ ignored) that the file has. Without one: -1, and when `must` ST_INVALID that
 * lists the file's columns and hints --columns role=NAME. */
MUST_USE enum status table_find(const struct table *table, const char *role, const char *usual,
                                bool must, int *ret_column, struct err *err);

/* After the last table_find: ST_INVALID when --columns gave a role that none of them asked for (a
 * misspelled one would be ignored in silence). Lists those that were. */
MUST_USE enum status table_roles_check(const struct table *table, struct err *err);

/* What an empty cell (also NA, NULL, NaN, -, N/A) means to a column of numbers. */
enum table_empty { TABLE_EMPTY_REFUSED, TABLE_EMPTY_ZERO, TABLE_EMPTY_NAN };

/* A whole column, one value per row, malloc'd for the caller. ST_INVALID "line 7, column Price:
 * …" at the first cell that is no finite number (of at least `least`). */
MUST_USE enum status table_numbers(const struct table *table, int column, enum table_empty empty,
                                   double least, double **ret_values, struct err *err);
/* Microseconds UTC; forms: YYYY-MM-DD, YYYYMMDD, with time and zone (RFC 3339, blank for T), Unix
 * seconds (10 digits or a fraction), milliseconds (13), microseconds (16). */
MUST_USE enum status table_times(const struct table *table, int column, int64_t **ret_us,
                                 struct err *err);
/* Each distinct text of the column gets a number from 0 in order of first appearance; malloc'd
 * codes per row, and malloc'd texts that live as long as the table. */
MUST_USE enum status table_codes(const struct table *table, int column, uint32_t **ret_codes,
                                 struct str **ret_texts, size_t *ret_texts_count, struct err *err);

/* ST_INVALID "line 7, column Price: <format>", for a caller's own checks. */
enum status table_bad(const struct table *table, size_t row, int column, struct err *err,
                      const char *format, ...) __attribute__((format(printf, 5, 6)));
#endif
