/* run.h - the first minute: serve, feed the sample through the door, print the first report; and
 * `hezou import`. Depends on: serve, remote, import. Called by: main. */
#ifndef APP_RUN_H
#define APP_RUN_H

#include "app/options.h"

MUST_USE enum status run_sample(const struct options *options, struct err *err);
MUST_USE enum status run_import(const struct options *options, struct err *err);
#endif
