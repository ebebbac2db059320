/* report.h - `hezou report NAME`: reports on files, without a server.
 *
 * Each REPORT line of options.def names a function here: it takes its options, calls the report of
 * its module and gives one JSON object (docs in the module's header). Printing is the same for all.
 *
 * Depends on: options, print. Called by: main. */
#ifndef APP_REPORT_H
#define APP_REPORT_H

#include "app/options.h"
#include "base/buf.h"
#include "table/table.h"

#define REPORT(id, word, function, en, zh)                                                         \
    MUST_USE enum status function(const struct options *options, struct buf *json, struct err *err);
#include "app/options.def"

/* Makes the report of options->command and prints it as --json, --csv or for people. */
MUST_USE enum status report_run(const struct options *options, struct err *err);

/* The object as --json, --csv or for people. */
MUST_USE enum status report_show(const struct options *options, struct str json, struct err *err);

/* What table_read needs: the file that option `file` names, --columns, --delimiter. ST_INVALID when
 * the file is not named. */
MUST_USE enum status report_file(const struct options *options, enum option file,
                                 struct table_options *ret_file, struct err *err);
#endif
