/* kmeans.h - groups of rows that lie close together: k-means, its quality, and what sets each group
 * apart.
 *
 * Sources. Lloyd, Least squares quantization in PCM (1982). Seeding: Arthur and Vassilvitskii,
 * k-means++ (SODA 2007), in the greedy form that scikit-learn uses: of 2 + floor(ln k) candidates
 * drawn by squared distance the one that leaves the smallest sum is taken. Silhouette: Rousseeuw
 * (1987). Davies-Bouldin (1979), with Euclidean distance to the centre. Calinski-Harabasz (1974).
 *
 * What is defined here, because programs differ:
 *   - Distance is the sum over the features, in their order, of (x - c) * (x - c), each step
 * rounded to double, no fused multiply-add. So the AVX2 code and the plain code give the same bits,
 * and the number of threads changes nothing: sums are made per part of the rows, parts in order.
 *   - A row goes to the nearest centre; on a tie to the one with the smaller number.
 *   - A start ends when no row changes its group, else after `iterations_max`; then rows are
 *     assigned once more to the last centres. The best of the starts has the smallest inertia; on a
 *     tie the first.
 *   - A cluster without rows takes the row that lies farthest from its own centre (on a tie the
 *     first), several such clusters the next ones. When every row lies on its centre, which needs
 *     fewer distinct rows than k, it stays empty, with size 0 and its centre where it was.
 *   - k = rows is allowed: equal rows share a group, every other row has its own. k > rows is
 *     refused.
 *   - In the answer clusters are numbered from 0 by falling size; on a tie by their first row;
 * empty ones last.
 *   - z-score divides by the population's standard deviation (n, not n - 1). A feature that never
 *     varies becomes 0. log1p is taken before, and refuses values of -1 or less.
 *
 * Same seed, same rows, same answer. Depends on: base. Called by: the file report below; meant for
 * live reports and the API too. Holds no state. */
#ifndef LEARN_KMEANS_H
#define LEARN_KMEANS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

#define KMEANS_CLUSTERS_MAX 1000 /* more are no longer groups that a person reads */
#define KMEANS_FEATURES_MAX 1000
#define KMEANS_VALUE_MAX 1e100       /* so that no sum of squares overflows */
#define KMEANS_SILHOUETTE_ROWS 10000 /* up to here exact; it costs rows squared */

struct kmeans_options {
    size_t k;
    size_t starts;         /* 0 = 10 */
    size_t iterations_max; /* 0 = 300 */
    uint64_t seed;
    unsigned threads; /* 0 = as many as there are processors; the answer is the same */
    bool plain;       /* without AVX2, as on a processor that lacks it; the answer is the same */
    const double *centres; /* NULL, or k rows to begin with in place of seeding: then one start */
};

struct kmeans_result {
    size_t rows, features, k;
    uint32_t *labels; /* per row */
    double *centres;  /* k rows of `features` */
    size_t *sizes;    /* k */
    double *inertias; /* k: squared distances of the cluster's rows to its centre */
    double inertia;
    size_t iterations; /* of the best start */
    bool converged;    /* it ended because no row changed its group */
    size_t empty;      /* clusters without rows */
};

/* `points`: rows of `features`, one after the other. ST_INVALID for k = 0, k > rows, no features, a
 * value that is not finite or above KMEANS_VALUE_MAX; ST_TOO_LARGE above the limits. */
MUST_USE enum status kmeans_fit(const double *points, size_t rows, size_t features,
                                const struct kmeans_options *options,
                                struct kmeans_result *ret_result, struct err *err);
void kmeans_result_done(struct kmeans_result *result);

/* --- scaling ---------------------------------------------------------------------------------- */

struct kmeans_scaling {
    size_t features;
    bool log1p;
    double *means;      /* after log1p; 0 where no z-score was asked for */
    double *deviations; /* what was divided by: population sd; 1 where constant or not asked for */
    double *spreads;    /* the population sd after log1p, in every case */
    double *averages;   /* the mean after log1p, in every case */
};

/* Change `points` in place. ST_INVALID for a value <= -1 under log1p; then `points` is half done.
 */
MUST_USE enum status kmeans_scale(double *points, size_t rows, size_t features, bool log1p,
                                  bool zscore, struct kmeans_scaling *ret_scaling, struct err *err);
void kmeans_scaling_done(struct kmeans_scaling *scaling);
/* A scaled value of `feature` in the file's own unit. */
double kmeans_unscale(const struct kmeans_scaling *scaling, size_t feature, double value);

/* --- quality ---------------------------------------------------------------------------------- */

struct kmeans_quality {
    double silhouette; /* mean over rows; a row alone in its group counts 0; NAN with one group */
    size_t silhouette_rows; /* fewer than all: a sample drawn by `seed`, measured among itself */
    double davies_bouldin, calinski_harabasz; /* NAN with one group, or as many as rows */
};

void kmeans_measure(const double *points, const struct kmeans_result *result, uint64_t seed,
                    struct kmeans_quality *ret_quality);

/* --- portrait --------------------------------------------------------------------------------- */

/* How far a cluster's centre lies from the mean of all, in standard deviations: 1 and more is far,
 * half and more is some. */
#define KMEANS_FAR 1.0
#define KMEANS_SOME 0.5

enum kmeans_level {
    KMEANS_FAR_BELOW,
    KMEANS_BELOW,
    KMEANS_AVERAGE,
    KMEANS_ABOVE,
    KMEANS_FAR_ABOVE
};

enum kmeans_level kmeans_level(double deviation);
const char *kmeans_level_name(enum kmeans_level level); /* "far_below" … */

/* --- the report on a file --------------------------------------------------------------------- */

struct buf; /* base/buf.h */

struct kmeans_report_options {
    const char *path;
    char delimiter;
    const char *columns;    /* roles, see table/table.h; role `customer` names the rows */
    const char *features;   /* "R,F,M"; "" = every column of numbers but the customer's */
    size_t k_first, k_last; /* equal: one k; else an elbow, and the k of the best silhouette */
    bool zscore, log1p;
    bool each; /* `rows` are the file's rows and their cluster */
    struct kmeans_options fit;
};

MUST_USE enum status kmeans_report(const struct kmeans_report_options *options, struct buf *json,
                                   struct err *err);
#endif
