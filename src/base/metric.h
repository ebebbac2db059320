/* metric.h - one figure in Prometheus's text format 0.0.4.
 * Depends on: base/buf.h. Called by: api, app. */
#ifndef BASE_METRIC_H
#define BASE_METRIC_H

#include "base/buf.h"

/* HELP, TYPE ("counter" or "gauge") and the value. Names end in _total, _bytes, _us …; no customer
 * is in a name. */
void metric_put(struct buf *out, const char *name, const char *kind, const char *help, uint64_t v);
#endif
