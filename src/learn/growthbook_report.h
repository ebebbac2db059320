/* growthbook_report.h - why did this person get variation B: a payload file evaluated for one
 * person, as an object for people and programs; and a single hash taken apart.
 *
 * Depends on: growthbook, bucket, base. Called by: app. Reads one file, keeps nothing. */
#ifndef LEARN_GROWTHBOOK_REPORT_H
#define LEARN_GROWTHBOOK_REPORT_H

#include "base/buf.h"
#include "base/status.h"

struct growthbook_report_options {
    const char *path;       /* a payload; may also hold attributes, url, forcedVariations, enabled,
                               qaMode, stickyBucketAssignmentDocs, as an SDK's context does */
    const char *attributes; /* JSON object; "" = those of the file */
    const char *url;        /* "" = that of the file */
    const char *key;        /* to decrypt, or "" */
    const char *const *features; /* none = all of the payload */
    size_t features_count;
    bool is_full; /* also the results as the SDKs write them, and the sticky buckets */
};

/* {"report":"feature", "rows":[a feature each], "experiments":[…], "trace":[a rule each, in the
 * order of looking], "redirect_url", and when full "results", "runs", "sticky_buckets"}. ST_IO,
 * ST_INVALID, ST_TOO_LARGE. */
MUST_USE enum status growthbook_report(const struct growthbook_report_options *options,
                                       struct buf *json, struct err *err);

struct bucket_report_options {
    const char *seed, *value;
    long long version;
    const char *weights;  /* ".5,.5", or "" = equal */
    long long variations; /* 0 = as many as weights, or 2 */
    double coverage;
};

/* {"report":"bucket", "bucket":0.0505, "variation":0 (null: not covered), "rows":[{"variation",
 * "weight", "from", "to", "chosen"}]}. ST_INVALID. */
MUST_USE enum status bucket_report(const struct bucket_report_options *options, struct buf *json,
                                   struct err *err);
#endif
