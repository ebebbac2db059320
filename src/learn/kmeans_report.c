/* kmeans_report.c - `report kmeans` on a file: read columns, scale, cluster, describe.
 *
 * The object: what was asked, the figures of the clustering, `rows` (a row per cluster, with the
 * means of its members in the file's units), `portraits` (a row per cluster and feature, the most
 * unusual first: the word, by how many standard deviations, the centre as it was clustered and in
 * the file's units) and, for a range of k, `elbow`. With a range the k of the best silhouette is
 * described. With `each`, `rows` are the file's rows and the clusters stand in `clusters`. */
#include <math.h>
#include <stdlib.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/json.h"
#include "learn/kmeans.h"
#include "learn/report_int.h"

struct input {
    struct table *table;
    size_t rows, features;
    int columns[KMEANS_FEATURES_MAX];
    int customer;   /* or -1 */
    double *raw;    /* rows of features, in the file's units */
    double *points; /* the same, scaled */
    struct kmeans_scaling scaling;
};

struct found {
    size_t k;
    struct kmeans_result result;
    struct kmeans_quality quality;
};

/* --- the file --------------------------------------------------------------------------------- */

static enum status feature_add(struct input *input, int column, struct err *err)
{
    if (input->features == KMEANS_FEATURES_MAX)
        return err_set(err, ST_TOO_LARGE, "could not cluster: more than %d features",
                       KMEANS_FEATURES_MAX);
    for (size_t j = 0; j < input->features; j++)
        if (input->columns[j] == column)
            return err_set(err, ST_INVALID,
                           "could not cluster: the feature " STR_FMT " is named twice",
                           STR_ARG(table_name(input->table, column)));
    input->columns[input->features++] = column;
    return ST_OK;
}

static enum status features_find(struct input *input, const char *features, struct err *err)
{
    struct str list = str_of(features), name;
    enum status status =
        table_find(input->table, "customer", "customer_id|customer|cust|user_id|id", false,
                   &input->customer, err);
    if (list.n == 0) {
        for (size_t i = 0; i < table_columns(input->table) && status == ST_OK; i++)
            if ((int)i != input->customer)
                status = feature_add(input, (int)i, err);
        return status;
    }
    while (status == ST_OK && report_next(&list, &name)) {
        int column = -1;
        status = report_column(input->table, name, &column, err);
        if (status == ST_OK)
            status = feature_add(input, column, err);
    }
    return status;
}

static enum status column_read(struct input *input, size_t feature, bool log1p, struct err *err)
{
    double *values;
    int column = input->columns[feature];
    enum status status =
        table_numbers(input->table, column, TABLE_EMPTY_REFUSED, -INFINITY, &values, err);
    if (status != ST_OK)
        return err_hint(err, status, "Name the columns of numbers to use with --features A,B");
    for (size_t r = 0; r < input->rows && status == ST_OK; r++) {
        if (fabs(values[r]) > KMEANS_VALUE_MAX)
            status = table_bad(input->table, r, column, err, "is above %g", KMEANS_VALUE_MAX);
        else if (log1p && values[r] <= -1)
            status = table_bad(input->table, r, column, err, "has no log1p: it is -1 or less");
        input->raw[r * input->features + feature] = values[r];
    }
    free(values);
    return status;
}

static enum status input_read(struct input *input, const struct kmeans_report_options *options,
                              struct err *err)
{
    struct table_options file = {options->path, options->delimiter, options->columns};
    enum status status = table_read(&file, &input->table, err);
    if (status != ST_OK)
        return status;
    input->rows = table_rows(input->table);
    status = features_find(input, options->features, err);
    if (status != ST_OK)
        return status;
    if (input->features == 0)
        return err_set(err, ST_INVALID, "could not cluster: there is no column of numbers");
    size_t size = input->rows * input->features;
    input->raw = mem_alloc((size + 1) * sizeof(double));
    for (size_t j = 0; j < input->features && status == ST_OK; j++)
        status = column_read(input, j, options->log1p, err);
    if (status != ST_OK)
        return status;
    input->points = mem_alloc((size + 1) * sizeof(double));
    for (size_t i = 0; i < size; i++)
        input->points[i] = input->raw[i];
    if (input->rows == 0)
        return err_set(err, ST_INVALID, "could not cluster: the file has no rows under its head");
    return kmeans_scale(input->points, input->rows, input->features, options->log1p,
                        options->zscore, &input->scaling, err);
}

static void input_done(struct input *input)
{
    kmeans_scaling_done(&input->scaling);
    free(input->raw);
    free(input->points);
    if (input->table != NULL)
        table_free(input->table);
}

/* --- the object ------------------------------------------------------------------------------- */

static void quality_put(struct buf *json, const struct found *found)
{
    json_put_member_number(json, "inertia", found->result.inertia);
    json_put_member_number(json, "silhouette", found->quality.silhouette);
    json_put_member_uint(json, "silhouette_rows", found->quality.silhouette_rows);
    json_put_member_number(json, "davies_bouldin", found->quality.davies_bouldin);
    json_put_member_number(json, "calinski_harabasz", found->quality.calinski_harabasz);
    json_put_member_uint(json, "iterations", found->result.iterations);
    json_put_member_bool(json, "converged", found->result.converged);
    json_put_member_uint(json, "empty_clusters", found->result.empty);
}

/* The members' mean of every feature, in the file's units: k rows of features. */
static double *means_of(const struct input *input, const struct kmeans_result *result)
{
    size_t features = input->features;
    double *means = mem_zero((result->k * features + 1) * sizeof *means);
    for (size_t r = 0; r < input->rows; r++)
        for (size_t j = 0; j < features; j++)
            means[result->labels[r] * features + j] += input->raw[r * features + j];
    for (size_t i = 0; i < result->k * features; i++)
        means[i] /= (double)result->sizes[i / features]; /* no members: no mean */
    return means;
}

static void clusters_put(struct buf *json, const char *name, const struct input *input,
                         const struct kmeans_result *result, const double *means)
{
    struct buf field;
    buf_init(&field, (size_t)1 << 20);
    json_put_name(json, name);
    buf_char(json, '[');
    for (size_t c = 0; c < result->k; c++) {
        json_put_comma(json);
        buf_char(json, '{');
        json_put_member_uint(json, "cluster", c);
        json_put_member_uint(json, "size", result->sizes[c]);
        json_put_member_number(json, "share", (double)result->sizes[c] / (double)input->rows);
        json_put_member_number(json, "inertia", result->inertias[c]);
        for (size_t j = 0; j < input->features; j++) {
            buf_reset(&field);
            buf_text(&field, "mean_");
            buf_str(&field, table_name(input->table, input->columns[j]));
            json_put_comma(json);
            json_put_lossy(json, buf_view(&field));
            buf_char(json, ':');
            json_put_number(json, means[c * input->features + j]);
        }
        buf_char(json, '}');
    }
    buf_char(json, ']');
    buf_done(&field);
}

struct trait {
    size_t feature;
    double deviation; /* of the centre from the mean of all, in standard deviations of all */
};

static int by_deviation(const void *a, const void *b)
{
    const struct trait *x = a, *y = b;
    if (fabs(x->deviation) != fabs(y->deviation))
        return fabs(x->deviation) > fabs(y->deviation) ? -1 : 1;
    return (x->feature > y->feature) - (x->feature < y->feature);
}

static void portrait_put(struct buf *json, const struct input *input,
                         const struct kmeans_result *result, const double *means, size_t cluster)
{
    const struct kmeans_scaling *scaling = &input->scaling;
    size_t features = input->features;
    const double *centre = result->centres + cluster * features;
    struct trait *traits = mem_alloc(features * sizeof *traits);
    for (size_t j = 0; j < features; j++) {
        double value = centre[j] * scaling->deviations[j] + scaling->means[j];
        double spread = scaling->spreads[j];
        traits[j] = (struct trait){j, spread > 0 ? (value - scaling->averages[j]) / spread : 0};
    }
    qsort(traits, features, sizeof *traits, by_deviation);
    for (size_t i = 0; i < features; i++) {
        size_t j = traits[i].feature;
        json_put_comma(json);
        buf_char(json, '{');
        json_put_member_uint(json, "cluster", cluster);
        json_put_name(json, "feature");
        json_put_lossy(json, table_name(input->table, input->columns[j]));
        json_put_member_str(json, "portrait",
                            str_of(kmeans_level_name(kmeans_level(traits[i].deviation))));
        json_put_member_number(json, "deviation", traits[i].deviation);
        json_put_member_number(json, "mean", means[cluster * features + j]);
        json_put_member_number(json, "centre", centre[j]);
        json_put_member_number(json, "centre_in_units", kmeans_unscale(scaling, j, centre[j]));
        buf_char(json, '}');
    }
    free(traits);
}

static void portraits_put(struct buf *json, const struct input *input,
                          const struct kmeans_result *result, const double *means)
{
    json_put_name(json, "portraits");
    buf_char(json, '[');
    for (size_t c = 0; c < result->k; c++)
        if (result->sizes[c] > 0)
            portrait_put(json, input, result, means, c);
    buf_char(json, ']');
}

static void members_put(struct buf *json, const struct input *input,
                        const struct kmeans_result *result)
{
    json_put_name(json, "rows");
    buf_char(json, '[');
    for (size_t r = 0; r < input->rows; r++) {
        json_put_comma(json);
        buf_char(json, '{');
        json_put_member_uint(json, "line", table_line(input->table, r));
        if (input->customer >= 0) {
            json_put_name(json, "customer");
            json_put_lossy(json, table_cell(input->table, r, input->customer));
        }
        json_put_member_uint(json, "cluster", result->labels[r]);
        buf_char(json, '}');
    }
    buf_char(json, ']');
}

static void elbow_put(struct buf *json, const struct found *found, size_t count)
{
    json_put_name(json, "elbow");
    buf_char(json, '[');
    for (size_t i = 0; i < count; i++) {
        json_put_comma(json);
        buf_char(json, '{');
        json_put_member_uint(json, "k", found[i].k);
        quality_put(json, &found[i]);
        buf_char(json, '}');
    }
    buf_char(json, ']');
}

static void head_put(struct buf *json, const struct input *input,
                     const struct kmeans_report_options *options, const struct found *best,
                     double fit_seconds)
{
    report_begin(json, "kmeans");
    json_put_member_uint(json, "row_count", input->rows);
    json_put_name(json, "features");
    buf_char(json, '[');
    for (size_t j = 0; j < input->features; j++) {
        json_put_comma(json);
        json_put_lossy(json, table_name(input->table, input->columns[j]));
    }
    buf_char(json, ']');
    json_put_member_bool(json, "log1p", options->log1p);
    json_put_member_str(json, "standardize", options->zscore ? STR("zscore") : STR("none"));
    json_put_member_uint(json, "seed", options->fit.seed);
    json_put_member_uint(json, "k", best->k);
    quality_put(json, best);
    json_put_member_number(json, "fit_seconds", fit_seconds);
}

static void object_put(struct buf *json, const struct input *input,
                       const struct kmeans_report_options *options, const struct found *found,
                       size_t count, double fit_seconds)
{
    const struct found *best = &found[0];
    for (size_t i = 1; i < count; i++)
        if (found[i].quality.silhouette > best->quality.silhouette ||
            isnan(best->quality.silhouette))
            best = &found[i];
    double *means = means_of(input, &best->result);
    head_put(json, input, options, best, fit_seconds);
    if (!options->each)
        json_put_member_str(json, "bars", STR("share"));
    clusters_put(json, options->each ? "clusters" : "rows", input, &best->result, means);
    if (options->each)
        members_put(json, input, &best->result);
    portraits_put(json, input, &best->result, means);
    if (count > 1)
        elbow_put(json, found, count);
    report_left_out(json, NULL, NULL, 0);
    free(means);
}

/* --- the report ------------------------------------------------------------------------------- */

static enum status all_fit(const struct input *input, const struct kmeans_report_options *options,
                           struct found *found, size_t *ret_count, double *ret_seconds,
                           struct err *err)
{
    for (size_t k = options->k_first; k <= options->k_last; k++) {
        struct kmeans_options fit = options->fit;
        struct found *one = &found[*ret_count];
        int64_t start_us = monotonic_us();
        fit.k = one->k = k;
        enum status status =
            kmeans_fit(input->points, input->rows, input->features, &fit, &one->result, err);
        if (status != ST_OK)
            return status;
        *ret_seconds += (double)(monotonic_us() - start_us) / 1e6;
        (*ret_count)++;
        kmeans_measure(input->points, &one->result, fit.seed, &one->quality);
    }
    return ST_OK;
}

enum status kmeans_report(const struct kmeans_report_options *options, struct buf *json,
                          struct err *err)
{
    int64_t start_us = monotonic_us();
    struct input input = {.customer = -1};
    size_t count = 0;
    double seconds = 0;
    if (options->k_first == 0 || options->k_last < options->k_first ||
        options->k_last > KMEANS_CLUSTERS_MAX)
        return err_set(err, ST_INVALID, "could not cluster: k is not within 1 … %d",
                       KMEANS_CLUSTERS_MAX);
    struct found *found = mem_zero((options->k_last - options->k_first + 1) * sizeof *found);
    enum status status = input_read(&input, options, err);
    if (status == ST_OK)
        status = all_fit(&input, options, found, &count, &seconds, err);
    if (status == ST_OK) {
        object_put(json, &input, options, found, count, seconds);
        report_end(json, start_us);
    }
    for (size_t i = 0; i < count; i++)
        kmeans_result_done(&found[i].result);
    free(found);
    input_done(&input);
    return status;
}
