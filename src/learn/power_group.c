/* power_group.c - boundaries for a fixed number of looks.
 *
 * S_k = sqrt(k) Z_k has independent N(drift, 1) increments. The density of S_k among those who have
 * not stopped before is the one of S_{k-1} between its bounds, carried on by a normal density: an
 * integral, done by Gauss-Legendre between the bounds, where all is smooth. What has gone out after
 * the last look is the power (alpha, for drift 0); the constant c and the drift are roots of it.
 *
 * Invariant: Jennison and Turnbull's tables, to their three decimals. */
#include <math.h>
#include <stdlib.h>

#include "base/arena.h"
#include "learn/distribution.h"
#include "learn/learn_int.h"
#include "learn/power.h"

#define POINTS_MAX 1024

struct walk {
    enum power_boundary boundary;
    size_t looks;
    double alpha, highest;       /* Bonferroni's c, above any that is wanted */
    int counts[POWER_LOOKS_MAX]; /* points of each look's rule */
    double *rules;               /* per look POINTS_MAX nodes and POINTS_MAX weights on [-1, 1] */
    double *room;                /* 2 × 3 × POINTS_MAX */
};

/* On the scale of S: z sqrt(k). */
static double bound_of(const struct walk *walk, double c, size_t look)
{
    return c * sqrt(walk->boundary == POWER_POCOCK ? (double)look : (double)walk->looks);
}

static void walk_init(struct walk *walk, enum power_boundary boundary, size_t looks, double alpha)
{
    *walk = (struct walk){.boundary = boundary, .looks = looks, .alpha = alpha};
    walk->highest = -distribution_normal_quantile(alpha / 2 / (double)looks);
    walk->rules = mem_alloc(looks * 2 * POINTS_MAX * sizeof *walk->rules);
    walk->room = mem_alloc(6 * POINTS_MAX * sizeof *walk->room);
    for (size_t k = 0; k < looks; k++) {
        /* A unit normal between the bounds needs about four points per unit of width. */
        double *rule = walk->rules + k * 2 * POINTS_MAX;
        walk->counts[k] = (int)fmin(POINTS_MAX, 24 + 8 * bound_of(walk, walk->highest, k + 1));
        learn_gauss_legendre(walk->counts[k], rule, rule + POINTS_MAX);
    }
}

static void walk_done(struct walk *walk)
{
    free(walk->rules);
    free(walk->room);
}

/* The density of S on a look's points, carried on from the look before. */
struct front {
    int count;
    double *x, *w, *f;
};

static void front_move(const struct front *from, struct front *to, const double *rule, double bound,
                       double drift)
{
    for (int i = 0; i < to->count; i++) {
        to->x[i] = bound * rule[i], to->w[i] = bound * rule[POINTS_MAX + i], to->f[i] = 0;
        for (int j = 0; j < from->count; j++) {
            double step = to->x[i] - from->x[j] - drift;
            if (fabs(step) < 9) /* beyond: below 1e-18 */
                to->f[i] += from->w[j] * from->f[j] * distribution_normal_density(step);
        }
    }
}

/* The probability of having stopped at the last look; at each in ret_each, unless NULL. */
static double stopped(const struct walk *walk, double c, double drift, double *ret_each)
{
    struct front fronts[2];
    double out = 0;
    for (int i = 0; i < 2; i++) {
        double *room = walk->room + i * 3 * POINTS_MAX;
        fronts[i] = (struct front){1, room, room + POINTS_MAX, room + (size_t)2 * POINTS_MAX};
    }
    fronts[0].x[0] = 0, fronts[0].w[0] = 1, fronts[0].f[0] = 1; /* all start at 0 */
    for (size_t k = 0; k < walk->looks; k++) {
        struct front *now = &fronts[k % 2], *next = &fronts[1 - k % 2];
        double bound = bound_of(walk, c, k + 1);
        for (int i = 0; i < now->count; i++)
            out += now->w[i] * now->f[i] *
                   (distribution_normal_tail(bound - now->x[i] - drift) +
                    distribution_normal_cdf(-bound - now->x[i] - drift));
        if (ret_each != NULL)
            ret_each[k] = out;
        next->count = walk->counts[k];
        front_move(now, next, walk->rules + k * 2 * POINTS_MAX, bound, drift);
    }
    return out;
}

/* The constant (drift unknown: NULL) or, for a given c, the drift per look with which the walk
 * stops with `goal`: regula falsi in [low, high], halving the side that stays (Illinois). */
static double stop_find(const struct walk *walk, const double *c, double goal, double low,
                        double high)
{
    double x[2] = {low, high}, y[2], middle = low;
    int stays = -1;
    for (int i = 0; i < 2; i++)
        y[i] = stopped(walk, c == NULL ? x[i] : *c, c == NULL ? 0 : x[i], NULL) - goal;
    for (int i = 0; i < 80 && x[1] - x[0] > 1e-14 * x[1]; i++) {
        middle = (x[0] * y[1] - x[1] * y[0]) / (y[1] - y[0]);
        double value = stopped(walk, c == NULL ? middle : *c, c == NULL ? 0 : middle, NULL) - goal;
        int side = (value > 0) == (y[0] > 0) ? 0 : 1;
        if (fabs(value) < 1e-13 * goal)
            break;
        x[side] = middle, y[side] = value;
        if (stays == 1 - side)
            y[1 - side] /= 2;
        stays = 1 - side;
    }
    return middle;
}

/* Drift × sqrt(looks) with which the walk's boundary gives the power. */
static double drift_of(const struct walk *walk, double c, double power)
{
    double root = sqrt((double)walk->looks);
    double enough = fmax(0, distribution_normal_quantile(power)) + walk->highest + 1;
    return root * stop_find(walk, &c, power, 0, enough / root);
}

void power_group_sequential(enum power_boundary boundary, size_t looks, double alpha, double power,
                            struct power_look *ret_looks, double *ret_inflation)
{
    struct walk walk, one;
    double spent[POWER_LOOKS_MAX], least = -distribution_normal_quantile(alpha / 2);
    walk_init(&walk, boundary, looks, alpha);
    double c = stop_find(&walk, NULL, alpha, least, walk.highest);
    (void)stopped(&walk, c, 0, spent); /* only the steps matter here */
    for (size_t k = 0; k < looks; k++) {
        double z = bound_of(&walk, c, k + 1) / sqrt((double)k + 1);
        ret_looks[k] = (struct power_look){z, 2 * distribution_normal_tail(z), spent[k]};
    }
    if (ret_inflation != NULL) {
        walk_init(&one, boundary, 1, alpha);
        double ratio = drift_of(&walk, c, power) / drift_of(&one, least, power);
        *ret_inflation = ratio * ratio;
        walk_done(&one);
    }
    walk_done(&walk);
}
