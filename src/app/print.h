/* print.h - answers for people: tables, lines and bars on stdout.
 *
 * Depends on: base. Called by: remote, run, report. A write that fails is seen by whoever flushes
 * stdout last (main). */
#ifndef APP_PRINT_H
#define APP_PRINT_H

#include "base/status.h"
#include "base/str.h"
#include "base/text.h"

/* print.c: `json` is a server's answer. */
void print_json(struct str json);
void print_rows(struct str json);
void print_overview(struct str json, enum language language);
/* print_audit.c: a page of the audit log; where it goes on is said on stderr. */
void print_audit(struct str json, enum language language);

/* A bar of `share` (0 … 1), terminated. */
#define PRINT_BAR_COLUMNS 20
void print_bar(char ret_cells[PRINT_BAR_COLUMNS + 1], double share);

/* print_report.c: `json` is the object of a report on a file. ST_INVALID when it has no rows. */
void print_report(struct str json, enum language language);
MUST_USE enum status print_csv(struct str json, enum language language, struct err *err);
#endif
