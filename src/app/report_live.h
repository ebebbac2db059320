/* report_live.h - `hezou report NAME` of the running server: options to a question, the answer on
 * the terminal.
 * Depends on: options, remote, print. Called by: main. */
#ifndef APP_REPORT_LIVE_H
#define APP_REPORT_LIVE_H

#include "app/options.h"
#include "base/buf.h"

/* Is it a report on live people? funnel, sequence, retention and attribution are when no file is
 * named. */
bool report_is_live(const struct options *options);
MUST_USE enum status report_live(const struct options *options, struct err *err);
/* The file of --cost as the question's list. */
MUST_USE enum status report_costs(const struct options *options, struct buf *json, struct err *err);
#endif
