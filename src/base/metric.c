/* metric.c - figures for Prometheus. */
#include "base/metric.h"

void metric_put(struct buf *out, const char *name, const char *kind, const char *help, uint64_t v)
{
    buf_fmt(out, "# HELP %s %s\n# TYPE %s %s\n%s %llu\n", name, help, name, kind, name,
            (unsigned long long)v);
}
