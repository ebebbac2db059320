/* kmeans.c - Lloyd's iterations, several starts, and the order in which clusters are told.
 *
 * Rows are kept in blocks of eight, features apart (kmeans_int.h), and worked on in a fixed number
 * of parts. A part assigns a handful of blocks and, while they are in the cache, adds them to its
 * own sums; the parts' sums are added in order. Nothing is carried over from one iteration to the
 * next but the centres, so there is no drift, and each iteration is the textbook's.
 *
 * Bounds that spare distances (Elkan, Hamerly) were left out: with ten features and twenty centres
 * the comparisons cost what the distances do.
 *
 * Invariants: the inertia never grows from one iteration to the next; after convergence every
 * centre is the mean of its rows and every row is nearest to its own centre (kmeans_test.c). */
#include "learn/kmeans.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/check.h"
#include "learn/kmeans_int.h"

#define STARTS 10
#define ITERATIONS 300
#define CHUNK_BYTES ((size_t)24 << 10) /* of values: what stays in the first cache */

struct lloyd {
    struct kmeans_work work;
    size_t k, groups;
    double *centres;   /* k rows */
    double *packed;    /* the same for the kernel: GROUP centres side by side, padded */
    uint32_t *labels;  /* per row, padded to blocks */
    uint32_t *before;  /* of the last iteration */
    double *distances; /* padded to blocks; filled only when asked for */
    bool want_distances;
    double *sums;   /* PARTS times k rows */
    size_t *counts; /* PARTS times k */
    bool changed[PARTS];
};

/* --- assignment and sums ---------------------------------------------------------------------- */

static void add_rows(const struct lloyd *lloyd, size_t first, size_t end, double *sums,
                     size_t *counts)
{
    const struct kmeans_blocks *blocks = lloyd->work.blocks;
    size_t features = blocks->features;
    for (size_t b = first; b < end; b++) {
        const double *block = blocks->values + b * features * LANES;
        size_t rows = blocks->rows - b * LANES < LANES ? blocks->rows - b * LANES : LANES;
        for (size_t l = 0; l < rows; l++) {
            uint32_t label = lloyd->labels[b * LANES + l];
            double *sum = sums + label * features;
            counts[label]++;
            for (size_t j = 0; j < features; j++)
                sum[j] += block[j * LANES + l];
        }
    }
}

static void assign_part(void *context, size_t part)
{
    struct lloyd *lloyd = context;
    const struct kmeans_blocks *blocks = lloyd->work.blocks;
    size_t features = blocks->features, first, end;
    size_t chunk = CHUNK_BYTES / (features * LANES * sizeof(double)) + 1;
    double *sums = lloyd->sums + part * lloyd->k * features;
    size_t *counts = lloyd->counts + part * lloyd->k;
    kmeans_part_blocks(blocks, part, &first, &end);
    memset(sums, 0, lloyd->k * features * sizeof *sums);
    memset(counts, 0, lloyd->k * sizeof *counts);
    for (size_t b = first; b < end; b += chunk) {
        size_t stop = b + chunk < end ? b + chunk : end;
        lloyd->work.kernel->nearest(blocks->values + b * features * LANES, stop - b, features,
                                    lloyd->packed, lloyd->groups, lloyd->labels + b * LANES,
                                    lloyd->want_distances ? lloyd->distances + b * LANES : NULL);
        add_rows(lloyd, b, stop, sums, counts);
    }
    lloyd->changed[part] = memcmp(lloyd->labels + first * LANES, lloyd->before + first * LANES,
                                  (end - first) * LANES * sizeof *lloyd->labels) != 0;
}

static void pack(struct lloyd *lloyd)
{
    size_t features = lloyd->work.blocks->features;
    for (size_t c = 0; c < lloyd->groups * GROUP; c++)
        for (size_t j = 0; j < features; j++)
            lloyd->packed[(c / GROUP * features + j) * GROUP + c % GROUP] =
                c < lloyd->k ? lloyd->centres[c * features + j] : INFINITY;
}

/* Every row to its nearest centre; sums and counts of all in the first part's place. Returns
 * whether a row changed its group. */
static bool assign(struct lloyd *lloyd, bool want_distances)
{
    const struct kmeans_blocks *blocks = lloyd->work.blocks;
    size_t size = lloyd->k * blocks->features;
    bool changed = false;
    uint32_t *swap = lloyd->before;
    lloyd->before = lloyd->labels;
    lloyd->labels = swap;
    lloyd->want_distances = want_distances;
    pack(lloyd);
    kmeans_parts(&lloyd->work, (double)blocks->rows * (double)size, assign_part, lloyd);
    for (size_t part = 0; part < PARTS; part++) {
        changed = changed || lloyd->changed[part];
        for (size_t i = 0; part > 0 && i < size; i++)
            lloyd->sums[i] += lloyd->sums[part * size + i];
        for (size_t c = 0; part > 0 && c < lloyd->k; c++)
            lloyd->counts[c] += lloyd->counts[part * lloyd->k + c];
    }
    return changed;
}

/* --- empty clusters --------------------------------------------------------------------------- */

/* The row farthest from its centre, whose cluster can spare it; SIZE_MAX when all lie on theirs. */
static size_t farthest(const struct lloyd *lloyd)
{
    size_t found = SIZE_MAX;
    double most = 0;
    for (size_t r = 0; r < lloyd->work.blocks->rows; r++) {
        if (lloyd->distances[r] > most) {
            most = lloyd->distances[r];
            found = r;
        }
    }
    return found;
}

/* Give each empty cluster a row that lies far from its own centre. Sums and counts follow. */
static void fill_empty(struct lloyd *lloyd)
{
    const struct kmeans_blocks *blocks = lloyd->work.blocks;
    size_t features = blocks->features;
    bool measured = false;
    for (size_t c = 0; c < lloyd->k; c++) {
        if (lloyd->counts[c] > 0)
            continue;
        if (!measured) /* the same centres, so the same labels */
            assign(lloyd, true);
        measured = true;
        size_t row = farthest(lloyd);
        if (row == SIZE_MAX)
            return;
        uint32_t from = lloyd->labels[row];
        const double *value = blocks->values + row / LANES * features * LANES + row % LANES;
        for (size_t j = 0; j < features; j++) {
            lloyd->sums[from * features + j] -= value[j * LANES];
            lloyd->sums[c * features + j] = value[j * LANES];
        }
        lloyd->counts[from]--;
        lloyd->counts[c] = 1;
        lloyd->labels[row] = (uint32_t)c;
        lloyd->distances[row] = 0;
    }
}

/* --- one start -------------------------------------------------------------------------------- */

static void centres_move(struct lloyd *lloyd)
{
    size_t features = lloyd->work.blocks->features;
    fill_empty(lloyd);
    for (size_t c = 0; c < lloyd->k; c++)
        for (size_t j = 0; j < features && lloyd->counts[c] > 0; j++)
            lloyd->centres[c * features + j] =
                lloyd->sums[c * features + j] / (double)lloyd->counts[c];
}

/* Iterate from the centres that are there; then labels, distances and counts belong to the centres
 * that stay. */
static void lloyd_run(struct lloyd *lloyd, size_t iterations_max, size_t *ret_iterations,
                      bool *ret_converged)
{
    size_t done = 0;
    bool converged = false;
    memset(lloyd->before, 0xff, lloyd->work.blocks->count * LANES * sizeof *lloyd->before);
    memset(lloyd->labels, 0xff, lloyd->work.blocks->count * LANES * sizeof *lloyd->labels);
    while (done < iterations_max && !converged) {
        converged = !assign(lloyd, false);
        if (!converged)
            centres_move(lloyd);
        done++;
    }
    assign(lloyd, true);
    *ret_iterations = done;
    *ret_converged = converged;
}

/* --- the answer ------------------------------------------------------------------------------- */

struct place {
    size_t cluster, size, first_row;
};

static int by_size(const void *a, const void *b)
{
    const struct place *x = a, *y = b;
    if (x->size != y->size)
        return x->size > y->size ? -1 : 1;
    if (x->first_row != y->first_row)
        return x->first_row < y->first_row ? -1 : 1;
    return (x->cluster > y->cluster) - (x->cluster < y->cluster);
}

static double inertia(const struct lloyd *lloyd)
{
    double sum = 0;
    for (size_t r = 0; r < lloyd->work.blocks->rows; r++)
        sum += lloyd->distances[r];
    return sum;
}

/* What a start found, in the order in which clusters are told. */
static void result_take(struct kmeans_result *result, const struct lloyd *lloyd)
{
    size_t features = result->features;
    struct place *places = mem_alloc(result->k * sizeof *places);
    uint32_t *number = mem_alloc(result->k * sizeof *number);
    for (size_t c = 0; c < result->k; c++)
        places[c] = (struct place){c, lloyd->counts[c], SIZE_MAX};
    for (size_t r = result->rows; r-- > 0;)
        places[lloyd->labels[r]].first_row = r;
    qsort(places, result->k, sizeof *places, by_size);
    result->empty = 0;
    for (size_t c = 0; c < result->k; c++) {
        number[places[c].cluster] = (uint32_t)c;
        result->sizes[c] = places[c].size;
        result->inertias[c] = 0;
        result->empty += places[c].size == 0;
        memcpy(result->centres + c * features, lloyd->centres + places[c].cluster * features,
               features * sizeof(double));
    }
    for (size_t r = 0; r < result->rows; r++) {
        result->labels[r] = number[lloyd->labels[r]];
        result->inertias[result->labels[r]] += lloyd->distances[r];
    }
    free(places);
    free(number);
}

static void lloyd_init(struct lloyd *lloyd, size_t k)
{
    size_t features = lloyd->work.blocks->features;
    size_t padded = lloyd->work.blocks->count * LANES;
    lloyd->k = k;
    lloyd->groups = (k + GROUP - 1) / GROUP;
    lloyd->centres = mem_alloc(k * features * sizeof(double));
    lloyd->packed = mem_alloc(lloyd->groups * GROUP * features * sizeof(double));
    lloyd->labels = mem_alloc(padded * sizeof(uint32_t));
    lloyd->before = mem_alloc(padded * sizeof(uint32_t));
    lloyd->distances = mem_alloc(padded * sizeof(double));
    lloyd->sums = mem_alloc(PARTS * k * features * sizeof(double));
    lloyd->counts = mem_alloc(PARTS * k * sizeof(size_t));
}

static void lloyd_done(struct lloyd *lloyd)
{
    free(lloyd->centres);
    free(lloyd->packed);
    free(lloyd->labels);
    free(lloyd->before);
    free(lloyd->distances);
    free(lloyd->sums);
    free(lloyd->counts);
}

static void fit(const struct kmeans_blocks *blocks, const struct kmeans_options *options,
                struct kmeans_result *result)
{
    struct lloyd lloyd = {.work = {blocks, kmeans_kernel_choose(options->plain), options->threads}};
    struct rng rng;
    size_t starts = options->starts == 0 ? STARTS : options->starts;
    size_t iterations_max = options->iterations_max == 0 ? ITERATIONS : options->iterations_max;
    rng_init_seed(&rng, options->seed);
    lloyd_init(&lloyd, options->k);
    result->inertia = INFINITY;
    for (size_t i = 0; i < (options->centres == NULL ? starts : 1); i++) {
        size_t iterations;
        bool converged;
        if (options->centres == NULL)
            kmeans_seed(&lloyd.work, options->k, &rng, lloyd.centres);
        else
            memcpy(lloyd.centres, options->centres, options->k * blocks->features * sizeof(double));
        lloyd_run(&lloyd, iterations_max, &iterations, &converged);
        double found = inertia(&lloyd);
        if (found >= result->inertia)
            continue;
        result->inertia = found;
        result->iterations = iterations;
        result->converged = converged;
        result_take(result, &lloyd);
    }
    lloyd_done(&lloyd);
}

static double *blocks_make(const double *points, struct kmeans_blocks *blocks)
{
    double *values = mem_alloc(blocks->count * blocks->features * LANES * sizeof(double));
    for (size_t r = 0; r < blocks->count * LANES; r++) {
        size_t from = r < blocks->rows ? r : blocks->rows - 1;
        double *to = values + r / LANES * blocks->features * LANES + r % LANES;
        for (size_t j = 0; j < blocks->features; j++)
            to[j * LANES] = points[from * blocks->features + j];
    }
    return values;
}

static enum status check(const double *points, size_t rows, size_t features,
                         const struct kmeans_options *options, struct err *err)
{
    if (features == 0)
        return err_set(err, ST_INVALID, "could not cluster: there is no feature");
    if (features > KMEANS_FEATURES_MAX)
        return err_set(err, ST_TOO_LARGE, "could not cluster: %zu features (limit %d)", features,
                       KMEANS_FEATURES_MAX);
    if (options->k == 0)
        return err_set(err, ST_INVALID, "could not cluster: k must be at least 1");
    if (options->k > KMEANS_CLUSTERS_MAX)
        return err_set(err, ST_TOO_LARGE, "could not cluster: k is %zu (limit %d)", options->k,
                       KMEANS_CLUSTERS_MAX);
    if (options->k > rows)
        return err_set(err, ST_INVALID, "could not cluster: k is %zu, but there are %zu rows",
                       options->k, rows);
    for (size_t i = 0; i < rows * features; i++)
        if (!(fabs(points[i]) <= KMEANS_VALUE_MAX))
            return err_set(err, ST_INVALID,
                           "could not cluster: row %zu, feature %zu is no number up to %g",
                           i / features + 1, i % features + 1, KMEANS_VALUE_MAX);
    return ST_OK;
}

enum status kmeans_fit(const double *points, size_t rows, size_t features,
                       const struct kmeans_options *options, struct kmeans_result *ret_result,
                       struct err *err)
{
    enum status status = check(points, rows, features, options, err);
    if (status != ST_OK)
        return status;
    struct kmeans_blocks blocks = {rows, features, (rows + LANES - 1) / LANES, NULL};
    struct kmeans_result result = {.rows = rows, .features = features, .k = options->k};
    blocks.values = blocks_make(points, &blocks);
    result.labels = mem_alloc(rows * sizeof *result.labels);
    result.centres = mem_alloc(options->k * features * sizeof *result.centres);
    result.sizes = mem_alloc(options->k * sizeof *result.sizes);
    result.inertias = mem_alloc(options->k * sizeof *result.inertias);
    fit(&blocks, options, &result);
    free(blocks.values);
    *ret_result = result;
    return ST_OK;
}

void kmeans_result_done(struct kmeans_result *result)
{
    free(result->labels);
    free(result->centres);
    free(result->sizes);
    free(result->inertias);
    *result = (struct kmeans_result){0};
}
