/* uplift.h - did a score find the people whom the treatment moves? Qini, AUUC, uplift@k.
 *
 * Source and conventions: scikit-uplift, which our figures equal; others (causalml) differ. Rows
 * are sorted by falling score. After n rows, with nt and nc of them treated and control, and yt and
 * yc of those with the outcome: uplift curve = (yt / nt - yc / nc) (nt + nc);  Qini curve = yt - yc
 * nt / nc a quotient by 0 being 0. Both start at (0, 0) and have one point per distinct score: rows
 * of equal score are one point, in no order of their own. Areas are by trapezoids. AUUC = (area -
 * random) / (perfect - random), Qini the same on its curve: `random` is the straight line to the
 * perfect curve's end. Perfect Qini curve (negative effects allowed): first the treated with the
 * outcome, last the control with it. Perfect uplift curve: order by 2 [y = t] + (y, when the
 * control's yes outnumber the treated's no, else t). uplift@k overall: rate of treated minus rate
 * of control among the first floor(k n) rows; by group: among the first floor(k nt) of the treated
 * and floor(k nc) of the control. Here equal scores have an order: the later row of the input comes
 * first. Sources: Radcliffe, Using control groups to target on predicted lift (2007); Gutierrez and
 * Gérardy (2016).
 *
 * T-learner (Künzel et al. 2019): one logistic regression (logistic.h) per arm; the score is the
 * difference of the two chances.
 *
 * Pure; depends on: base. Called by: the file report below; meant for live reports too. */
#ifndef LEARN_UPLIFT_H
#define LEARN_UPLIFT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

#define UPLIFT_TENTHS 10

struct uplift_tenth { /* of the rows by falling score, the later row first among equals */
    size_t treated, control;
    double treated_rate, control_rate, uplift; /* NAN where an arm has no row */
};

struct uplift_figures {
    size_t treated, control;
    double treated_rate, control_rate;
    double effect; /* average treatment effect: the difference of the rates */
    double score_mean;
    double qini, auuc;                  /* NAN when the perfect curve is the random one */
    double at_k_overall, at_k_by_group; /* NAN where an arm has no row among the first */
    struct uplift_tenth tenths[UPLIFT_TENTHS];
};

/* `treated`, `outcomes`: 0 or 1 per row; `k` in (0, 1]. ST_INVALID when an arm is empty, a score is
 * not finite, or k is out of range. */
MUST_USE enum status uplift_measure(const double *scores, const uint8_t *treated,
                                    const uint8_t *outcomes, size_t count, double k,
                                    struct uplift_figures *ret_figures, struct err *err);

/* Scores for all `count` rows of `features`, learnt from the rows in `train`. ST_INVALID as
 * logistic_fit, naming the arm. */
MUST_USE enum status uplift_t_learner(const double *points, size_t features, size_t count,
                                      const uint8_t *treated, const uint8_t *outcomes,
                                      const size_t *train, size_t train_count, double c,
                                      double *ret_scores, struct err *err);

/* --- the report on a file --------------------------------------------------------------------- */

struct buf; /* base/buf.h */

struct uplift_report_options {
    const char *path;
    char delimiter;
    const char *columns;             /* roles, see table/table.h */
    const char *treatment, *outcome; /* columns; the outcome is a number: above 0 is a yes */
    const char *treated_is;          /* the treatment's text for a treated row; "" = 1 */
    const char *control_is; /* for a control row; "" = 0. Rows of other arms are left out */
    const char *score;      /* a column: measure it on every row */
    const char *features;   /* else a T-learner on these columns, */
    double k;               /* learnt from even rows (0, 2, …), measured on odd ones */
};

MUST_USE enum status uplift_report(const struct uplift_report_options *options, struct buf *json,
                                   struct err *err);
#endif
