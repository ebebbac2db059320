/* clv_report.h - `hezou report clv`: customer value from a file of purchases or of summaries.
 * Depends on: clv.h, table. Called by: app. */
#ifndef LEARN_CLV_REPORT_H
#define LEARN_CLV_REPORT_H

#include <stdint.h>

#include "base/buf.h"
#include "table/table.h"

struct clv_report_options {
    struct table_options file; /* path NULL with `survivors` */
    /* Rows are customers (repeats, recency, age, and perhaps mean spend, weight) and not purchases
     * (customer, day, and perhaps amount). */
    bool summaries;
    const char *model;           /* as clv_model_of */
    const char *calibration_end; /* a day that still belongs to it; "" = the file's last */
    double horizon;    /* weeks (bgbb, sbg: periods) to look ahead; 0 = 52 (as many as were seen) */
    double discount;   /* yearly, 0.1 = 10 %; sbg: per period */
    int64_t period_us; /* bgbb: the length of an opportunity; whole days */
    const char *survivors; /* sbg: "1000,869,743", instead of a file */
    int64_t now_us;        /* purchases later than this day are left out */
};

/* Appends one JSON object. Purchases: days in UTC, all of one customer's day are one purchase whose
 * amounts add up; rows without customer, with a negative amount or in the future are left out and
 * counted, customers who first bought after the calibration too.
 *   {"report":"clv","model","calibration_end","holdout_weeks","unit":"week"|"period","horizon",
 *    "discount","customers","repeat_customers","repeat_purchases","alive_customers",
 *    "expected_purchases_all","expected_of_new" (of who has just come),"discounted_value_all",
 *    "log_likelihood","converged","iterations","starts","starts_agreed","gradient",
 *    "spend_customers","spend_log_likelihood" or "spend_note" (why there is no money),"bars",
 *    "rows":[{"customer","customers","repeats","recency","age","alive","expected_purchases",
 *      "discounted_purchases","mean_spend","expected_spend","expected_value",
 *      "discounted_value","holdout_purchases"}],
 *    "parameters":[{"model","parameter","estimate","standard_error"}],
 *    "frequency":[{"repeats","customers","fitted_customers","mean_expected","holdout_mean",
 *      "holdout_expected"}],
 *    "tracking":[{"period","purchases","expected","cumulative_purchases",
 *      "cumulative_expected"}],
 *    "left_out","fit_seconds","seconds"}
 * rows stand by value, or by purchases to come. What a file cannot tell is not there. For sbg rows
 * are periods: {"period","survivors","expected_survivors","survival","retention",
 * "expected_retention","residual_periods"}. */
MUST_USE enum status clv_report(const struct clv_report_options *options, struct buf *json,
                                struct err *err);
#endif
