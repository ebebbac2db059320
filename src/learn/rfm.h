/* rfm.h - recency, frequency, monetary: how lately, how often, for how much; scores and segments.
 *
 * Source and conventions: the R package rfm (rsquaredacademy), which our scores equal.
 *   - Cut points are the quantiles i / bins of type 7 (Hyndman and Fan 1996: linear between order
 *     statistics at (n - 1) p) PLUS `step`, which is 1. A bin is [cut, next cut); the score is the
 *     number of cuts at or below the value, plus 1. Ties never part: bins may be unequal, even
 *     empty. There are no ranks in it.
 *   - Recency counts the other way: the most recent have the highest score.
 *   - Recency is the number of calendar days (UTC) from the last order to the day of the analysis.
 *     Frequency is the number of orders: of distinct order numbers when the file has them, else of
 *     rows. Monetary is the sum of the amounts, refunds (negative) subtracted.
 *
 * A trap: the 1 in "plus 1" was made for whole numbers. It moves the cut past customers whose
 * amount lies within 1 above the quantile. With amounts in small units (a median order of 0.80) it
 * moves whole bins: give `step` the smallest amount there is, 0.01 for cents, or count in cents.
 *
 * Segments (rfm_segment.def) speak of fifths; with other bins a score counts as the fifth in which
 * the middle of its bin lies.
 *
 * Pure; depends on: base. Called by: the file report below; meant for live reports too. */
#ifndef LEARN_RFM_H
#define LEARN_RFM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

#define RFM_BINS_MAX 99 /* so that a score has two digits */

enum rfm_segment {
#define X(id, name, r0, r1, f0, f1, m0, m1) RFM_##id,
#include "learn/rfm_segment.def"
#undef X
    RFM_SEGMENT_COUNT
};

struct rfm_customer {
    double recency_days, orders, revenue;
    uint32_t recency_score, frequency_score, monetary_score; /* 1 … bins; 5 is best of five */
    enum rfm_segment segment;
};

/* Sum up orders. `customers`: a number below `customers_count` per row; `orders`: the order a row
 * belongs to, or NULL when each row is one; `days`: since 1970, none after `analysis_day`.
 * Customers without rows get a recency of NAN. Fills everything but scores. */
void rfm_collect(const uint32_t *customers, const uint32_t *orders, const int64_t *days,
                 const double *amounts, size_t rows, int64_t analysis_day, size_t customers_count,
                 struct rfm_customer *ret_customers);

struct rfm_options {
    size_t bins;                  /* 0 = 5 */
    double step;                  /* 0 = 1 */
    const double *recency_cuts;   /* bins - 1 rising values in place of quantiles, or NULL; */
    const double *frequency_cuts; /* a value equal to a cut lies above it; no step is added */
    const double *monetary_cuts;
};

struct rfm_cuts {
    size_t bins;
    double recency[RFM_BINS_MAX], frequency[RFM_BINS_MAX], monetary[RFM_BINS_MAX]; /* bins - 1 */
};

/* Fill scores and segments. ST_INVALID without customers, for bins outside 2 … RFM_BINS_MAX, for
 * cuts that do not rise, and for values that are not finite. */
MUST_USE enum status rfm_score(struct rfm_customer *customers, size_t count,
                               const struct rfm_options *options, struct rfm_cuts *ret_cuts,
                               struct err *err);
/* 343; with more than nine bins two digits each: 30403. */
uint32_t rfm_code(const struct rfm_customer *customer, size_t bins);

struct rfm_summary {
    size_t customers;
    double orders, revenue;
    double recency_median, orders_median, revenue_median; /* NAN without customers */
};

/* One for each segment. */
void rfm_summarise(const struct rfm_customer *customers, size_t count,
                   struct rfm_summary ret_summaries[RFM_SEGMENT_COUNT]);
const char *rfm_segment_name(enum rfm_segment segment); /* "champions" … */

/* --- the report on a file --------------------------------------------------------------------- */

struct buf; /* base/buf.h */

struct rfm_report_options {
    const char *transactions; /* customer, date and amount (or quantity and price), perhaps order */
    const char *customers; /* in its place: customer, revenue, orders, recency days or last day */
    char delimiter;
    const char *columns;       /* roles, see table/table.h */
    const char *analysis_date; /* "" = the day after the last order */
    size_t bins;
    double step;
    const char *recency_cuts, *frequency_cuts, *monetary_cuts; /* "115,181,297,482", or "" */
    bool clean; /* leave out rows with a quantity, price or amount of 0 or less */
    bool each;  /* `rows` are the customers, else the segments */
};

MUST_USE enum status rfm_report(const struct rfm_report_options *options, struct buf *json,
                                struct err *err);
#endif
