/* report_sequence.h - what the reports on files of events share.
 * Depends on: options, analytics. Called by: report_funnel.c, report_retention.c,
 * report_sequence.c. */
#ifndef APP_REPORT_SEQUENCE_H
#define APP_REPORT_SEQUENCE_H

#include "analytics/sequence_report.h"
#include "app/options.h"

/* --events, --step, --plain-time; borrows from `options`. */
MUST_USE enum status report_sequence_source(const struct options *options,
                                            struct sequence_source *ret_source, struct err *err);
#endif
