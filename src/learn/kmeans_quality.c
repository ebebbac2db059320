/* kmeans_quality.c - scaling before, and how good and how different the groups are after.
 *
 * The silhouette of a row is (b - a) / max(a, b): a its mean distance to the others of its group, b
 * the smallest mean distance to another group. Every pair is measured once and counts for both
 * rows. Above KMEANS_SILHOUETTE_ROWS a sample drawn without replacement is measured among itself,
 * as scikit-learn's sample_size does; the answer says how many rows that were.
 *
 * Empty clusters take part in nothing. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "learn/kmeans_int.h"

/* --- scaling ---------------------------------------------------------------------------------- */

static enum status logs_take(double *points, size_t rows, size_t features, struct err *err)
{
    for (size_t i = 0; i < rows * features; i++) {
        if (points[i] <= -1)
            return err_set(err, ST_INVALID,
                           "could not take log1p: row %zu, feature %zu is -1 or less",
                           i / features + 1, i % features + 1);
        points[i] = log1p(points[i]);
    }
    return ST_OK;
}

static void mean_and_deviation(const double *points, size_t rows, size_t features, size_t feature,
                               double *ret_mean, double *ret_deviation)
{
    double sum = 0, squares = 0, rest = 0;
    for (size_t r = 0; r < rows; r++)
        sum += points[r * features + feature];
    double mean = sum / (double)rows;
    for (size_t r = 0; r < rows; r++) {
        double gap = points[r * features + feature] - mean;
        squares += gap * gap;
        rest += gap; /* what rounding left in the mean: 0 in exact arithmetic */
    }
    *ret_mean = mean;
    *ret_deviation = sqrt((squares - rest * rest / (double)rows) / (double)rows);
}

enum status kmeans_scale(double *points, size_t rows, size_t features, bool log1p, bool zscore,
                         struct kmeans_scaling *ret_scaling, struct err *err)
{
    enum status status = log1p ? logs_take(points, rows, features, err) : ST_OK;
    if (status != ST_OK)
        return status;
    struct kmeans_scaling scaling = {.features = features, .log1p = log1p};
    scaling.means = mem_zero((features + 1) * sizeof(double));
    scaling.deviations = mem_zero((features + 1) * sizeof(double));
    scaling.spreads = mem_zero((features + 1) * sizeof(double));
    scaling.averages = mem_zero((features + 1) * sizeof(double));
    for (size_t j = 0; j < features; j++) {
        mean_and_deviation(points, rows, features, j, &scaling.averages[j], &scaling.spreads[j]);
        /* What is left of a constant column is rounding. */
        if (!(scaling.spreads[j] > 1e-14 * fabs(scaling.averages[j])))
            scaling.spreads[j] = 0;
        scaling.means[j] = zscore ? scaling.averages[j] : 0;
        scaling.deviations[j] = zscore && scaling.spreads[j] > 0 ? scaling.spreads[j] : 1;
        for (size_t r = 0; zscore && r < rows; r++) {
            double *value = &points[r * features + j];
            *value =
                scaling.spreads[j] > 0 ? (*value - scaling.means[j]) / scaling.deviations[j] : 0;
        }
    }
    *ret_scaling = scaling;
    return ST_OK;
}

void kmeans_scaling_done(struct kmeans_scaling *scaling)
{
    free(scaling->means);
    free(scaling->deviations);
    free(scaling->spreads);
    free(scaling->averages);
    *scaling = (struct kmeans_scaling){0};
}

double kmeans_unscale(const struct kmeans_scaling *scaling, size_t feature, double value)
{
    double unscaled = value * scaling->deviations[feature] + scaling->means[feature];
    return scaling->log1p ? expm1(unscaled) : unscaled;
}

/* --- silhouette ------------------------------------------------------------------------------- */

static double distance(const double *a, const double *b, size_t features)
{
    double sum = 0;
    for (size_t j = 0; j < features; j++)
        sum += (a[j] - b[j]) * (a[j] - b[j]);
    return sqrt(sum);
}

/* The rows to measure: all, or a sample (selection sampling keeps the file's order). */
static size_t sample(size_t rows, uint64_t seed, size_t *ret_rows)
{
    struct rng rng;
    size_t taken = 0, wanted = rows < KMEANS_SILHOUETTE_ROWS ? rows : KMEANS_SILHOUETTE_ROWS;
    rng_init_seed(&rng, seed);
    for (size_t r = 0; r < rows && taken < wanted; r++) {
        double chance = (double)(rng_u64(&rng) >> 11) * 0x1p-53;
        if (rows == wanted || chance * (double)(rows - r) < (double)(wanted - taken))
            ret_rows[taken++] = r;
    }
    return taken;
}

/* A row's silhouette, from the sums of its distances to the rows of each group. */
static double row_silhouette(const double *sums, const size_t *sizes, size_t k, size_t own)
{
    double nearest = INFINITY;
    if (sizes[own] < 2)
        return 0;
    for (size_t c = 0; c < k; c++)
        if (c != own && sizes[c] > 0 && sums[c] / (double)sizes[c] < nearest)
            nearest = sums[c] / (double)sizes[c];
    double inner = sums[own] / (double)(sizes[own] - 1);
    double most = inner > nearest ? inner : nearest;
    return most > 0 ? (nearest - inner) / most : 0;
}

static double silhouette(const double *points, const struct kmeans_result *result, uint64_t seed,
                         size_t *ret_rows)
{
    size_t room = result->rows < KMEANS_SILHOUETTE_ROWS ? result->rows : KMEANS_SILHOUETTE_ROWS;
    size_t k = result->k, features = result->features, groups = 0;
    size_t *rows = mem_alloc(room * sizeof *rows);
    size_t *sizes = mem_zero(k * sizeof *sizes);
    double *sums = mem_zero(room * k * sizeof *sums);
    size_t count = sample(result->rows, seed, rows);
    for (size_t i = 0; i < count; i++) {
        const double *point = points + rows[i] * features;
        uint32_t label = result->labels[rows[i]];
        groups += sizes[label] == 0;
        sizes[label]++;
        for (size_t other = 0; other < i; other++) {
            double gap = distance(point, points + rows[other] * features, features);
            sums[i * k + result->labels[rows[other]]] += gap;
            sums[other * k + label] += gap;
        }
    }
    double sum = 0;
    for (size_t i = 0; i < count; i++)
        sum += row_silhouette(sums + i * k, sizes, k, result->labels[rows[i]]);
    free(rows);
    free(sizes);
    free(sums);
    *ret_rows = count;
    return groups > 1 && groups < count ? sum / (double)count : NAN;
}

/* --- Davies-Bouldin, Calinski-Harabasz -------------------------------------------------------- */

/* The centres as means of their rows: after an early stop they are a step ahead of the result's. */
static double *means_of(const double *points, const struct kmeans_result *result)
{
    size_t features = result->features;
    double *means = mem_zero(result->k * features * sizeof *means);
    for (size_t r = 0; r < result->rows; r++)
        for (size_t j = 0; j < features; j++)
            means[result->labels[r] * features + j] += points[r * features + j];
    for (size_t c = 0; c < result->k; c++)
        for (size_t j = 0; j < features && result->sizes[c] > 0; j++)
            means[c * features + j] /= (double)result->sizes[c];
    return means;
}

static double davies_bouldin(const double *points, const struct kmeans_result *result,
                             const double *means)
{
    size_t features = result->features, k = result->k;
    double *scatter = mem_zero(k * sizeof *scatter), sum = 0;
    for (size_t r = 0; r < result->rows; r++)
        scatter[result->labels[r]] +=
            distance(points + r * features, means + result->labels[r] * features, features);
    for (size_t c = 0; c < k; c++)
        scatter[c] /= result->sizes[c] > 0 ? (double)result->sizes[c] : 1;
    for (size_t a = 0; a < k; a++) {
        double worst = 0;
        for (size_t b = 0; b < k && result->sizes[a] > 0; b++) {
            if (a == b || result->sizes[b] == 0)
                continue;
            double gap = distance(means + a * features, means + b * features, features);
            double ratio = (scatter[a] + scatter[b]) / gap;
            if (gap > 0 && ratio > worst)
                worst = ratio;
        }
        sum += worst;
    }
    free(scatter);
    return sum / (double)(k - result->empty);
}

static double calinski_harabasz(const double *points, const struct kmeans_result *result,
                                const double *means)
{
    size_t features = result->features, groups = result->k - result->empty;
    double between = 0, within = 0;
    for (size_t j = 0; j < features; j++) {
        double all = 0;
        for (size_t c = 0; c < result->k; c++)
            all += means[c * features + j] * (double)result->sizes[c];
        all /= (double)result->rows;
        for (size_t c = 0; c < result->k; c++) {
            double gap = means[c * features + j] - all;
            between += (double)result->sizes[c] * gap * gap;
        }
    }
    for (size_t r = 0; r < result->rows; r++) {
        double gap =
            distance(points + r * features, means + result->labels[r] * features, features);
        within += gap * gap;
    }
    return between * (double)(result->rows - groups) / (within * (double)(groups - 1));
}

void kmeans_measure(const double *points, const struct kmeans_result *result, uint64_t seed,
                    struct kmeans_quality *ret_quality)
{
    size_t groups = result->k - result->empty;
    struct kmeans_quality quality = {NAN, 0, NAN, NAN};
    quality.silhouette = silhouette(points, result, seed, &quality.silhouette_rows);
    if (groups > 1 && groups < result->rows) {
        double *means = means_of(points, result);
        quality.davies_bouldin = davies_bouldin(points, result, means);
        quality.calinski_harabasz = calinski_harabasz(points, result, means);
        free(means);
    }
    *ret_quality = quality;
}

/* --- portrait --------------------------------------------------------------------------------- */

enum kmeans_level kmeans_level(double deviation)
{
    if (deviation <= -KMEANS_FAR)
        return KMEANS_FAR_BELOW;
    if (deviation <= -KMEANS_SOME)
        return KMEANS_BELOW;
    if (deviation >= KMEANS_FAR)
        return KMEANS_FAR_ABOVE;
    return deviation >= KMEANS_SOME ? KMEANS_ABOVE : KMEANS_AVERAGE;
}

const char *kmeans_level_name(enum kmeans_level level)
{
    static const char *const names[] = {"far_below", "below", "average", "above", "far_above"};
    return names[level];
}
