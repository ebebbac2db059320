/* report_int.h - what the reports of this folder on files have in common: reading lists, and the
 * frame of their object. */
#ifndef LEARN_REPORT_INT_H
#define LEARN_REPORT_INT_H

#include "table/table.h"

/* {"report":"name" */
void report_begin(struct buf *json, const char *name);
/* "left_out":[…] of the reasons whose count is not 0. */
void report_left_out(struct buf *json, const char *const *reasons, const size_t *rows,
                     size_t count);
/* "seconds":…} */
void report_end(struct buf *json, int64_t start_us);

/* The next name of a list like "R,F,M", blanks around it taken off; false at its end. */
bool report_next(struct str *list, struct str *ret_name);
/* The column of that name. ST_INVALID lists the file's columns. */
MUST_USE enum status report_column(const struct table *table, struct str name, int *ret_column,
                                   struct err *err);
/* All of `text` is a finite number. */
bool report_number(struct str text, double *ret_value);
#endif
