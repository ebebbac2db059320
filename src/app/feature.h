/* feature.h - `hezou feature` and `hezou bucket`: why a person got a variation.
 * Depends on: options, report, learn. Called by: main. */
#ifndef APP_FEATURE_H
#define APP_FEATURE_H

#include "app/options.h"

MUST_USE enum status feature_run(const struct options *options, struct err *err);
MUST_USE enum status feature_bucket(const struct options *options, struct err *err);
#endif
