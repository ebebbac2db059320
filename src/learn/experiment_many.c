/* experiment_many.c - many arms: were they dealt as meant, which p-values survive, which arm is
 * best.
 *
 * The probability that arm i is the largest is ∫ f_i(x) Π_{j≠i} F_j(x) dx. All arms are integrated
 * in one pass: at a point x the sum of ln F_j is made once, and each arm takes its own out of it;
 * logarithms keep far tails from vanishing. Beta arms are integrated over ln x/(1-x), where their
 * tails are exponential whatever their parameters.
 *
 * Panels start at the arms' own scales (a narrow arm next to a wide one is a step for it) and are
 * halved until a 16-point Gauss-Legendre rule and its two halves agree to 1e-13 for every arm. An
 * arm without spread is a point: only the highest point can win, with the probability that all
 * spread arms are below it; equal points share it.
 *
 * Holm 1979; Benjamini and Hochberg 1995. */
#include "learn/experiment_many.h"

#include <math.h>
#include <stdlib.h>

#include "base/arena.h"
#include "learn/distribution.h"
#include "learn/learn_int.h"

/* --- sample ratio ----------------------------------------------------------------------------- */

double experiment_srm(const double *sizes, const double *weights, size_t count,
                      double *ret_chi_square)
{
    double all = 0, weight = 0, sum = 0;
    for (size_t i = 0; i < count; i++)
        all += sizes[i], weight += weights[i];
    for (size_t i = 0; i < count; i++) {
        double expected = weights[i] / weight * all;
        if (weights[i] > 0 && all > 0)
            sum += (sizes[i] - expected) * (sizes[i] - expected) / expected;
    }
    *ret_chi_square = sum;
    return count < 2 ? 1 : distribution_chi_square_tail(sum, (double)count - 1);
}

/* --- many comparisons ------------------------------------------------------------------------- */

struct ranked {
    double p;
    size_t at;
};

static int by_p(const void *a, const void *b)
{
    const struct ranked *x = a, *y = b;
    if (x->p != y->p)
        return x->p < y->p ? -1 : 1;
    return (x->at > y->at) - (x->at < y->at);
}

void experiment_correct(enum experiment_correction kind, double *p_values, size_t count)
{
    struct ranked *order = mem_alloc((count + 1) * sizeof *order);
    size_t tests = 0;
    for (size_t i = 0; i < count; i++)
        if (!isnan(p_values[i]))
            order[tests++] = (struct ranked){p_values[i], i};
    qsort(order, tests, sizeof *order, by_p);
    double bound = kind == EXPERIMENT_HOLM ? 0 : 1;
    for (size_t k = 0; k < tests && kind == EXPERIMENT_HOLM; k++) {
        bound = fmax(bound, fmin(1, order[k].p * (double)(tests - k)));
        p_values[order[k].at] = bound;
    }
    for (size_t k = tests; k > 0 && kind == EXPERIMENT_BENJAMINI_HOCHBERG; k--) {
        bound = fmin(bound, order[k - 1].p * (double)tests / (double)k);
        p_values[order[k - 1].at] = bound;
    }
    free(order);
}

/* --- the best arm ----------------------------------------------------------------------------- */

#define POINTS 16
#define AGREES 1e-13
#define DEPTH_MAX 60
#define MARKS 7 /* places of interest per arm */

struct race {
    const struct experiment_belief *arms;
    size_t count;
    double nodes[POINTS], weights[POINTS];
    double *below; /* ln F_j(x), per arm */
};

static bool is_point(const struct experiment_belief *arm)
{
    return !arm->is_beta && !(arm->b > 0);
}

static double density_at(const struct experiment_belief *arm, double u)
{
    if (!arm->is_beta)
        return distribution_normal_density((u - arm->a) / arm->b) / arm->b;
    return learn_beta_density_logit(1 / (1 + exp(-u)), 1 / (1 + exp(u)), arm->a, arm->b);
}

static double log_below(const struct experiment_belief *arm, double u)
{
    if (is_point(arm)) /* an integral starts above the highest point */
        return 0;
    if (!arm->is_beta)
        return distribution_normal_log_cdf((u - arm->a) / arm->b);
    double lower = learn_beta_tails(1 / (1 + exp(-u)), 1 / (1 + exp(u)), arm->a, arm->b).lower;
    return log(fmax(lower, 1e-300));
}

/* Adds the integral over one panel to `sums`. */
static void panel_add(struct race *race, double from, double to, double *sums)
{
    double middle = (from + to) / 2, half = (to - from) / 2;
    for (int k = 0; k < POINTS; k++) {
        double u = middle + half * race->nodes[k], all = 0;
        for (size_t j = 0; j < race->count; j++)
            all += race->below[j] = log_below(&race->arms[j], u);
        for (size_t j = 0; j < race->count; j++)
            if (!is_point(&race->arms[j]))
                sums[j] += half * race->weights[k] * density_at(&race->arms[j], u) *
                           exp(all - race->below[j]);
    }
}

static bool agree(const double *whole, const double *parts, size_t count)
{
    for (size_t j = 0; j < count; j++)
        if (!(fabs(whole[j] - parts[j]) <= AGREES))
            return false;
    return true;
}

/* One panel, halved as often as needed: a stack of right ends, no recursion. `work` is room for
 * 2 × count numbers. */
static void span_add(struct race *race, double from, double to, double *work, double *sums)
{
    double ends[DEPTH_MAX + 1];
    int depth = 0;
    double *whole = work, *parts = work + race->count;
    ends[0] = to;
    while (depth >= 0) {
        double end = ends[depth], middle = (from + end) / 2;
        for (size_t j = 0; j < 2 * race->count; j++)
            work[j] = 0;
        panel_add(race, from, end, whole);
        panel_add(race, from, middle, parts);
        panel_add(race, middle, end, parts);
        if (depth < DEPTH_MAX && middle > from && middle < end &&
            !agree(whole, parts, race->count)) {
            ends[++depth] = middle;
            continue;
        }
        for (size_t j = 0; j < race->count; j++)
            sums[j] += parts[j];
        from = end;
        depth--;
    }
}

/* Where an arm's density and distribution change. */
static void marks_of(const struct experiment_belief *arm, double *ret_marks)
{
    static const double at[MARKS] = {-38, -9, -3, 0, 3, 9, 38};
    double centre = arm->a, scale = arm->b, low = 0, high = 0;
    if (arm->is_beta) {
        centre = log(arm->a / arm->b);
        scale = sqrt(1 / arm->a + 1 / arm->b);
        low = 45 / arm->a, high = 45 / arm->b;
    }
    for (int k = 0; k < MARKS; k++)
        ret_marks[k] =
            centre +
            scale * (arm->is_beta && (k == 0 || k == MARKS - 1) ? (k == 0 ? -9 : 9) : at[k]);
    ret_marks[0] -= low;
    ret_marks[MARKS - 1] += high;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Panels between the marks; marks that stand closer than a quarter of the narrowest arm are one. */
static void spread_add(struct race *race, double floor_at, double *sums)
{
    size_t used = 0;
    double *marks = mem_alloc((race->count * MARKS + 1) * sizeof *marks);
    double *work = mem_zero(2 * race->count * sizeof *work);
    double narrowest = INFINITY;
    for (size_t j = 0; j < race->count; j++) {
        const struct experiment_belief *arm = &race->arms[j];
        if (is_point(arm))
            continue;
        marks_of(arm, marks + used);
        used += MARKS;
        narrowest = fmin(narrowest, arm->is_beta ? sqrt(1 / arm->a + 1 / arm->b) : arm->b);
    }
    qsort(marks, used, sizeof *marks, by_value);
    double from = used > 0 ? fmax(marks[0], floor_at) : 0;
    for (size_t k = 1; k < used; k++) {
        bool last = k + 1 == used;
        if (marks[k] > from && (last || marks[k] - from > narrowest / 4)) {
            span_add(race, from, marks[k], work, sums);
            from = marks[k];
        }
    }
    free(work);
    free(marks);
}

void experiment_best_arm(const struct experiment_belief *arms, size_t count,
                         double *ret_probabilities)
{
    struct race race = {.arms = arms, .count = count};
    double floor_at = -INFINITY, all = 0;
    size_t sharing = 0;
    learn_gauss_legendre(POINTS, race.nodes, race.weights);
    race.below = mem_zero((count + 1) * sizeof *race.below);
    for (size_t j = 0; j < count; j++)
        if (is_point(&arms[j]))
            floor_at = fmax(floor_at, arms[j].a);
    for (size_t j = 0; j < count; j++) {
        ret_probabilities[j] = 0;
        if (is_point(&arms[j]))
            sharing += arms[j].a == floor_at;
        else if (floor_at > -INFINITY)
            all += log_below(&arms[j], floor_at);
    }
    for (size_t j = 0; j < count; j++)
        if (is_point(&arms[j]) && arms[j].a == floor_at)
            ret_probabilities[j] = exp(all) / (double)sharing;
    spread_add(&race, floor_at, ret_probabilities);
    free(race.below);
}
