/* experiment_report.h - `hezou report experiment` and `hezou report power`: the kernels on files.
 *
 * Depends on: table, base. Called by: app. Reads personal data only as numbers per unit; the report
 * has variations and figures, never units. */
#ifndef LEARN_EXPERIMENT_REPORT_H
#define LEARN_EXPERIMENT_REPORT_H

#include "base/buf.h"
#include "base/status.h"

/* Words are checked by the report; "" takes the first of those named. One of data, counts and stats
 * is given. */
struct experiment_report_options {
    const char *data;    /* a row per unit: variation, metric [denominator] [covariate] … */
    const char *columns; /* as in struct table_options */
    char delimiter;
    const char *counts;  /* "control=1000:120,blue=1010:150": units and conversions */
    const char *stats;   /* file of sums per variation, CSV or a JSON array (experiment_read.c) */
    const char *control; /* its name; else control, baseline, original, off, a, 0; else the first */
    const char *weights; /* "0.5,0.5" or "control=1,blue=2": the split that was meant */
    const char *test;    /* welch, sequential, bayes, z */
    const char *side;    /* two-sided, greater, less */
    const char *interval;   /* wilson, agresti-coull, clopper-pearson, jeffreys */
    const char *correction; /* holm, bh, none */
    const char *prior;      /* "MEAN,VARIANCE" of the effect; "" = flat */
    bool absolute, cuped;
    bool inverse; /* less is better: of chance to win, risk and the best arm */
    double alpha, tuning, tolerance;
    double target, power; /* how many more units find this effect; target 0 = not asked */
};

/* Appends one object:
 *   {"report":"experiment", "method", "mode": relative or absolute, "kind": mean, proportion or
 *    ratio, "side", "correction", "alpha", "control", "units", "srm_chi_square", "srm_p_value",
 *    "srm_mismatch",
 *    "rows": one per variation but the control: "variation", "n", "mean", "effect", "low", "high",
 *        "standard_error", then "statistic", "df", "p_value", "p_value_adjusted", or with bayes
 *        "chance_to_win", "risk_control", "risk_treatment"; with CUPED "theta"; with a target
 *        "scaling_factor", "additional_units"; where there are no figures, the "reason",
 *    "arms": "variation", "n", "mean", "stddev", "low", "high", "share", "expected_share",
 *        "best_arm_probability",
 *    "left_out", "seconds"}
 * Open sides of intervals are null. ST_INVALID for fewer than two variations, impossible figures,
 * unknown words. */
MUST_USE enum status experiment_report(const struct experiment_report_options *options,
                                       struct buf *json, struct err *err);

struct power_report_options {
    const char *method;      /* proportions (the usual with a baseline), arcsine, t */
    const char *boundary;    /* pocock, obrien-fleming: asks for the looks; "" = one look */
    double n, effect, power; /* NAN = to be found: one of the three */
    double baseline;         /* NAN = means */
    double stddev, alpha;
    bool relative; /* the effect is a share of the baseline */
    bool one_sided, strict;
    long long looks; /* 0 = one */
};

/* Appends {"report":"power","method","n","effect","power",…,"units","boundary","inflation",
 * "n_max","rows":[{"look","share","z","nominal_p","alpha_spent"}],"left_out","seconds"}. n is exact
 * (not rounded up) and per group, "units_per_group" whole. */
MUST_USE enum status power_report(const struct power_report_options *options, struct buf *json,
                                  struct err *err);
#endif
