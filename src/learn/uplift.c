/* uplift.c - curves over people sorted by score, their areas, and the T-learner (uplift.h).
 *
 * A curve is never stored: areas are summed while the sorted rows are walked once. The perfect
 * curves come from the same walk over scores of a handful of values.
 *
 * Invariant, checked by uplift_test.c: rows of equal score may be given in any order without
 * changing Qini or AUUC; the perfect score's Qini and AUUC are 1. */
#include "learn/uplift.h"

#include <math.h>
#include <stdlib.h>

#include "base/arena.h"
#include "learn/logistic.h"

struct row {
    double score;
    size_t number; /* in the input */
    uint8_t treated, outcome;
};

/* Falling score; among equals the later row first. */
static int by_score(const void *a, const void *b)
{
    const struct row *x = a, *y = b;
    if (x->score != y->score)
        return x->score > y->score ? -1 : 1;
    return x->number > y->number ? -1 : x->number < y->number;
}

/* --- curves ----------------------------------------------------------------------------------- */

struct tally {
    double treated, control, treated_yes, control_yes;
};

static void tally_add(struct tally *tally, const struct row *row)
{
    if (row->treated) {
        tally->treated++;
        tally->treated_yes += row->outcome;
    } else {
        tally->control++;
        tally->control_yes += row->outcome;
    }
}

static double ratio(double a, double b)
{
    return b > 0 ? a / b : 0;
}

struct area {
    double uplift, qini;         /* under the curves */
    double uplift_end, qini_end; /* the curves' last values */
};

static struct area area_under(const struct row *rows, size_t count)
{
    struct area area = {0};
    struct tally tally = {0};
    size_t from = 0;
    for (size_t i = 0; i < count; i++) {
        tally_add(&tally, &rows[i]);
        if (i + 1 < count && rows[i + 1].score == rows[i].score)
            continue;
        double width = (double)(i + 1 - from);
        double uplift =
            (ratio(tally.treated_yes, tally.treated) - ratio(tally.control_yes, tally.control)) *
            (double)(i + 1);
        double qini = tally.treated_yes - tally.control_yes * ratio(tally.treated, tally.control);
        area.uplift += width * (area.uplift_end + uplift) / 2;
        area.qini += width * (area.qini_end + qini) / 2;
        area.uplift_end = uplift;
        area.qini_end = qini;
        from = i + 1;
    }
    return area;
}

static struct area perfect(const struct row *rows, size_t count, bool want_qini)
{
    struct row *sorted = mem_alloc(count * sizeof *sorted);
    size_t control_yes = 0, treated_no = 0;
    for (size_t i = 0; i < count; i++) {
        control_yes += !rows[i].treated && rows[i].outcome;
        treated_no += rows[i].treated && !rows[i].outcome;
    }
    for (size_t i = 0; i < count; i++) {
        int y = rows[i].outcome, t = rows[i].treated;
        sorted[i] = rows[i];
        sorted[i].score =
            want_qini ? y * t - y * (1 - t) : 2 * (y == t) + (control_yes > treated_no ? y : t);
    }
    qsort(sorted, count, sizeof *sorted, by_score);
    struct area area = area_under(sorted, count);
    free(sorted);
    return area;
}

static double normalised(double actual, double best, double end, size_t count)
{
    double chance = (double)count * end / 2, room = best - chance;
    return fabs(room) > 1e-12 * (fabs(best) + fabs(chance)) ? (actual - chance) / room : NAN;
}

/* --- the first of each ------------------------------------------------------------------------ */

static double rates_apart(const struct tally *tally)
{
    return tally->treated > 0 && tally->control > 0
               ? tally->treated_yes / tally->treated - tally->control_yes / tally->control
               : NAN;
}

static double at_k_overall(const struct row *rows, size_t count, double k)
{
    struct tally tally = {0};
    for (size_t i = 0; i < (size_t)((double)count * k); i++)
        tally_add(&tally, &rows[i]);
    return rates_apart(&tally);
}

static double at_k_by_group(const struct row *rows, size_t count, const struct tally *all, double k)
{
    struct tally tally = {0};
    double treated_max = floor(all->treated * k), control_max = floor(all->control * k);
    for (size_t i = 0; i < count; i++)
        if (rows[i].treated ? tally.treated < treated_max : tally.control < control_max)
            tally_add(&tally, &rows[i]);
    return rates_apart(&tally);
}

static void tenths_fill(const struct row *rows, size_t count,
                        struct uplift_tenth tenths[UPLIFT_TENTHS])
{
    for (size_t t = 0; t < UPLIFT_TENTHS; t++) {
        struct tally tally = {0};
        size_t end = count * (t + 1) / UPLIFT_TENTHS;
        for (size_t i = count * t / UPLIFT_TENTHS; i < end; i++)
            tally_add(&tally, &rows[i]);
        tenths[t] = (struct uplift_tenth){
            .treated = (size_t)tally.treated,
            .control = (size_t)tally.control,
            .treated_rate = tally.treated > 0 ? tally.treated_yes / tally.treated : NAN,
            .control_rate = tally.control > 0 ? tally.control_yes / tally.control : NAN,
            .uplift = rates_apart(&tally)};
    }
}

/* --- figures ---------------------------------------------------------------------------------- */

static void figures_fill(const struct row *rows, size_t count, const struct tally *all, double k,
                         struct uplift_figures *figures)
{
    struct area actual = area_under(rows, count);
    struct area best_uplift = perfect(rows, count, false), best_qini = perfect(rows, count, true);
    figures->treated = (size_t)all->treated;
    figures->control = (size_t)all->control;
    figures->treated_rate = all->treated_yes / all->treated;
    figures->control_rate = all->control_yes / all->control;
    figures->effect = rates_apart(all);
    figures->qini = normalised(actual.qini, best_qini.qini, best_qini.qini_end, count);
    figures->auuc = normalised(actual.uplift, best_uplift.uplift, best_uplift.uplift_end, count);
    figures->at_k_overall = at_k_overall(rows, count, k);
    figures->at_k_by_group = at_k_by_group(rows, count, all, k);
    tenths_fill(rows, count, figures->tenths);
}

enum status uplift_measure(const double *scores, const uint8_t *treated, const uint8_t *outcomes,
                           size_t count, double k, struct uplift_figures *ret_figures,
                           struct err *err)
{
    struct tally all = {0};
    double sum = 0;
    if (!(k > 0 && k <= 1))
        return err_set(err, ST_INVALID, "could not measure uplift: k must be above 0, at most 1");
    for (size_t i = 0; i < count; i++)
        if (!isfinite(scores[i]))
            return err_set(err, ST_INVALID, "could not measure uplift: score %zu is no number",
                           i + 1);
    struct row *rows = mem_alloc((count + 1) * sizeof *rows);
    for (size_t i = 0; i < count; i++) {
        rows[i] = (struct row){scores[i], i, treated[i] != 0, outcomes[i] != 0};
        tally_add(&all, &rows[i]);
        sum += scores[i];
    }
    if (!(all.treated > 0 && all.control > 0)) {
        free(rows);
        return err_set(err, ST_INVALID,
                       "could not measure uplift: %zu rows are treated, %zu are control",
                       (size_t)all.treated, (size_t)all.control);
    }
    qsort(rows, count, sizeof *rows, by_score);
    figures_fill(rows, count, &all, k, ret_figures);
    ret_figures->score_mean = sum / (double)count;
    free(rows);
    return ST_OK;
}

/* --- the T-learner ---------------------------------------------------------------------------- */

static enum status learn_arm(const double *points, size_t features, const uint8_t *treated,
                             const uint8_t *outcomes, const size_t *train, size_t train_count,
                             bool arm, double c, double *ret_weights, struct err *err)
{
    size_t *rows = mem_alloc((train_count + 1) * sizeof *rows), count = 0;
    for (size_t i = 0; i < train_count; i++)
        if ((treated[train[i]] != 0) == arm)
            rows[count++] = train[i];
    struct err why = {0};
    enum status status =
        logistic_fit(points, features, outcomes, rows, count, c, ret_weights, &why);
    free(rows);
    return status == ST_OK ? ST_OK
                           : err_set(err, status, "could not learn from the %s rows: %s",
                                     arm ? "treated" : "control", why.message);
}

enum status uplift_t_learner(const double *points, size_t features, size_t count,
                             const uint8_t *treated, const uint8_t *outcomes, const size_t *train,
                             size_t train_count, double c, double *ret_scores, struct err *err)
{
    double *of_treated = mem_zero((features + 1) * sizeof(double));
    double *of_control = mem_zero((features + 1) * sizeof(double));
    enum status status = learn_arm(points, features, treated, outcomes, train, train_count, true, c,
                                   of_treated, err);
    if (status == ST_OK)
        status = learn_arm(points, features, treated, outcomes, train, train_count, false, c,
                           of_control, err);
    for (size_t i = 0; i < count && status == ST_OK; i++)
        ret_scores[i] = logistic_chance(of_treated, points + i * features, features) -
                        logistic_chance(of_control, points + i * features, features);
    free(of_treated);
    free(of_control);
    return status;
}
