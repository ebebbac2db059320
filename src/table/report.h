/* report.h - `hezou report table`: what is in a file, before a report counts with it.
 * Depends on: table.h. Called by: app. */
#ifndef TABLE_REPORT_H
#define TABLE_REPORT_H

#include "table/table.h"

/* Appends one JSON object:
 *   {"report":"table","format":"text"|"parquet","delimiter":",","row_count","column_count",
 *    "bars":"empty",
 *    "rows":[{"column","kind","empty","odd","odd_line","distinct","min","max","mean"}],
 *    "left_out":[],"seconds"}
 * kind: what more than half of the cells that are not empty can be read as (number, time, text, or
 * empty when there are none); a column of numbers that all are times too is time when its name says
 * date or time. odd: the cells that are not of that kind, odd_line: where the first stands. min and
 * max are of the cells of the kind: numbers, times in ISO form, texts in byte order; mean of
 * numbers. `role` is there when options->columns gave roles. */
MUST_USE enum status table_report(const struct table_options *options, struct buf *json,
                                  struct err *err);
#endif
