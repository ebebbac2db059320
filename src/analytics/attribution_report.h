/* attribution_report.h - `hezou report attribution`: a file of paths, one JSON object.
 *
 * The file's columns and their usual names: path (touches apart by a separator), conversions
 * (total_conversions), value (total_conversion_value), nulls (total_null: journeys that did not
 * convert), times (touch_times, exposure_times: one time per touch, apart by the same separator),
 * conversion_time (else a path converts at its last touch), new_customers (how many of the
 * conversions were a first one). All but path and conversions may be missing.
 *
 * A touch has no blanks at its ends. A channel whose name contains the separator stands in double
 * quotes inside the cell: a > "b > c" > d (in CSV the cell itself is quoted, so these are doubled).
 *
 * Depends on: attribution.h, table. Called by: app. */
#ifndef ANALYTICS_ATTRIBUTION_REPORT_H
#define ANALYTICS_ATTRIBUTION_REPORT_H

#include "analytics/attribution.h"
#include "base/buf.h"
#include "table/table.h"

#define ATTRIBUTION_EXAMPLE_TOUCHES_MAX 100

struct attribution_report_options {
    struct table_options file;
    const char *cost; /* file of channel, spend; NULL or "": none */
    enum attribution_model models[ATTRIBUTION_MODELS];
    size_t models_count;            /* >= 1; differences are against the first */
    struct attribution_rules rules; /* .direct is set by the report */
    bool order_auto;                /* else rules.order */
    const char *separator;
    const char *const *direct; /* names of the direct channel; none: the usual ones */
    size_t direct_count;
    const char *example; /* a path; NULL or "": the most valuable one of several channels */
};

/* Appends
 *   {"report":"attribution","paths","touches","channels","conversions","value","nulls",
 *    "conversion_rate","models":["markov"],"order","states","transitions","error_max",
 *    "bars","rows":[…],"order_choice":[{"order","auc","penalized_auc"}],"costs":[…],"example_path",
 *    "example":[{"touch","channel",<model>: weight}],"left_out":[…],"seconds"}
 * rows of one model, most conversions first: channel, conversions, value, share, and for markov
 * removal_effect, removal_effect_value. Of several: for each <model>_conversions, <model>_value,
 * and from the second on <model>_difference, <model>_value_difference (minus the first model's).
 * costs: per model and channel spend, cpa = spend / conversions, cac = spend / new customers (each
 * conversion is one where the file does not say: cac_counts), roas = value / spend, roi = (value -
 * spend) / spend. */
MUST_USE enum status attribution_report(const struct attribution_report_options *options,
                                        struct buf *json, struct err *err);
#endif
