/* live_kmeans.c - groups of customers who are alike: the kernel of learn/kmeans.h on recency,
 * orders and revenue.
 *
 * The question, besides the common members and those of live_customer.h: "k" (without it 2 … 8, and
 * the one with the best silhouette), "log1p" and "zscore" (true), "seed" (42). Features: days since
 * the last order, orders, revenue. Clusters are numbered from 0 by falling size. Trait:
 * kmeans_cluster. */
#include <math.h>
#include <stdlib.h>

#include "analytics/live_customer.h"
#include "learn/kmeans.h"

#define FEATURES 3
#define K_FIRST 2
#define K_LAST 8

static const char *const names[FEATURES] = {"recency_days", "orders", "revenue"};

struct clusters {
    struct live_ask *ask;
    struct live_customers customers;
    double *raw, *points; /* people × FEATURES */
    size_t count;
    struct kmeans_scaling scaling;
    struct kmeans_result result;
    struct kmeans_quality quality;
    struct {
        size_t k;
        double inertia;
        struct kmeans_quality quality;
    } tried[K_LAST];
    size_t tried_count;
    bool log1p, zscore;
};

static void features_make(struct clusters *clusters)
{
    const struct live_orders *orders = &clusters->customers.orders;
    clusters->count = orders->people_count;
    clusters->raw = mem_alloc((clusters->count + 1) * FEATURES * sizeof(double));
    clusters->points = mem_alloc((clusters->count + 1) * FEATURES * sizeof(double));
    for (size_t p = 0; p < clusters->count; p++) {
        int64_t micros = 0;
        double *row = clusters->raw + p * FEATURES;
        size_t from = orders->starts[p], to = orders->starts[p + 1];
        for (size_t i = from; i < to; i++)
            micros += orders->list[i].micros;
        row[0] = clusters->customers.analysis_day - clusters->customers.days[to - 1];
        row[1] = (double)(to - from);
        row[2] = (double)micros / 1e6;
    }
    memcpy(clusters->points, clusters->raw, clusters->count * FEATURES * sizeof(double));
}

static enum status fit(struct clusters *clusters, size_t k_first, size_t k_last, uint64_t seed,
                       struct err *err)
{
    enum status status = ST_OK;
    k_last = k_last > clusters->count ? clusters->count : k_last;
    k_first = k_first > k_last ? k_last : k_first;
    for (size_t k = k_first; status == ST_OK && k <= k_last; k++) {
        struct kmeans_options options = {
            .k = k, .seed = seed, .threads = (unsigned)live_threads(clusters->ask)};
        struct kmeans_result result;
        struct kmeans_quality quality;
        status = live_goes_on(clusters->ask, err);
        if (status != ST_OK)
            break;
        status = kmeans_fit(clusters->points, clusters->count, FEATURES, &options, &result, err);
        if (status != ST_OK)
            break;
        kmeans_measure(clusters->points, &result, seed, &quality);
        clusters->tried[clusters->tried_count].k = k;
        clusters->tried[clusters->tried_count].inertia = result.inertia;
        clusters->tried[clusters->tried_count++].quality = quality;
        bool better =
            clusters->result.labels == NULL || quality.silhouette > clusters->quality.silhouette;
        if (!better) {
            kmeans_result_done(&result);
            continue;
        }
        if (clusters->result.labels != NULL)
            kmeans_result_done(&clusters->result);
        clusters->result = result;
        clusters->quality = quality;
    }
    return status;
}

/* --- the answer ------------------------------------------------------------------------------- */

static void put_portrait(struct buf *json, const struct clusters *clusters, size_t c)
{
    const struct kmeans_scaling *scaling = &clusters->scaling;
    for (size_t f = 0; f < FEATURES; f++) {
        double centre = clusters->result.centres[c * FEATURES + f];
        double value = centre * scaling->deviations[f] + scaling->means[f];
        double away =
            scaling->spreads[f] > 0 ? (value - scaling->averages[f]) / scaling->spreads[f] : 0;
        json_put_comma(json);
        buf_char(json, '{');
        json_put_member_uint(json, "cluster", c);
        json_put_member_str(json, "feature", str_of(names[f]));
        json_put_member_str(json, "portrait", str_of(kmeans_level_name(kmeans_level(away))));
        json_put_member_number(json, "deviation", away);
        json_put_member_number(json, "centre_in_units", kmeans_unscale(scaling, f, centre));
        buf_char(json, '}');
    }
}

static void put_rows(struct buf *json, const struct clusters *clusters)
{
    size_t k = clusters->result.k;
    double revenue = 0, *sums = mem_zero((k + 1) * FEATURES * sizeof *sums);
    for (size_t i = 0; i < clusters->count; i++)
        for (size_t f = 0; f < FEATURES; f++)
            sums[clusters->result.labels[i] * FEATURES + f] += clusters->raw[i * FEATURES + f];
    for (size_t c = 0; c < k; c++)
        revenue += sums[c * FEATURES + 2];
    json_put_name(json, "rows");
    buf_char(json, '[');
    for (size_t c = 0; c < k; c++) {
        double size = (double)clusters->result.sizes[c];
        json_put_comma(json);
        buf_char(json, '{');
        json_put_member_uint(json, "cluster", c);
        json_put_member_uint(json, "customers", clusters->result.sizes[c]);
        live_put_cell(clusters->ask, json, "{\"cluster\":%zu}", c);
        json_put_member_number(json, "share", size / (double)clusters->count);
        json_put_member_number(json, "mean_recency_days", sums[c * FEATURES] / size);
        json_put_member_number(json, "mean_orders", sums[c * FEATURES + 1] / size);
        json_put_member_number(json, "mean_revenue", sums[c * FEATURES + 2] / size);
        json_put_member_number(json, "revenue_share",
                               revenue > 0 ? sums[c * FEATURES + 2] / revenue : NAN);
        buf_char(json, '}');
    }
    buf_char(json, ']');
    free(sums);
}

static void put_quality(struct buf *json, double inertia, const struct kmeans_quality *quality)
{
    json_put_member_number(json, "inertia", inertia);
    json_put_member_number(json, "silhouette", quality->silhouette);
    json_put_member_number(json, "davies_bouldin", quality->davies_bouldin);
    json_put_member_number(json, "calinski_harabasz", quality->calinski_harabasz);
}

static void traits_put(const void *ctx, size_t i, struct buf *json)
{
    const struct clusters *clusters = ctx;
    json_put_member_uint(json, "kmeans_cluster", clusters->result.labels[i]);
}

static enum status answer(struct clusters *clusters, struct buf *json, struct err *err)
{
    json_put_member_uint(json, "customers", clusters->count);
    json_put_member_uint(json, "orders", clusters->customers.orders.count);
    json_put_member_uint(json, "k", clusters->result.k);
    json_put_member_bool(json, "log1p", clusters->log1p);
    json_put_member_str(json, "standardize", clusters->zscore ? STR("zscore") : STR("none"));
    put_quality(json, clusters->result.inertia, &clusters->quality);
    json_put_member_str(json, "bars", STR("share"));
    put_rows(json, clusters);
    json_put_name(json, "portraits");
    buf_char(json, '[');
    for (size_t c = 0; c < clusters->result.k; c++)
        if (clusters->result.sizes[c] > 0)
            put_portrait(json, clusters, c);
    buf_char(json, ']');
    if (clusters->tried_count > 1) {
        json_put_name(json, "elbow");
        buf_char(json, '[');
        for (size_t i = 0; i < clusters->tried_count; i++) {
            json_put_comma(json);
            buf_char(json, '{');
            json_put_member_uint(json, "k", clusters->tried[i].k);
            put_quality(json, clusters->tried[i].inertia, &clusters->tried[i].quality);
            buf_char(json, '}');
        }
        buf_char(json, ']');
    }
    live_customers_put_end(json, &clusters->customers, 0, "");
    return live_customers_save(clusters->ask, &clusters->customers, traits_put, clusters, json,
                               err);
}

static enum status people_want(struct clusters *clusters, struct err *err)
{
    uint64_t cluster;
    enum status status =
        live_cell_number(clusters->ask, "cluster", clusters->result.k, &cluster, err);
    for (size_t i = 0; status == ST_OK && i < clusters->count; i++)
        if (clusters->result.labels[i] == cluster)
            live_want(clusters->ask, clusters->customers.orders.people[i]);
    return status;
}

/* --- the question ----------------------------------------------------------------------------- */

static bool unless_false(const struct live_ask *ask, const char *member)
{
    return !yyjson_is_false(yyjson_obj_get(ask->question, member));
}

static enum status cluster(struct clusters *clusters, double k, double seed, struct err *err)
{
    features_make(clusters);
    enum status status = kmeans_scale(clusters->points, clusters->count, FEATURES, clusters->log1p,
                                      clusters->zscore, &clusters->scaling, err);
    if (status != ST_OK)
        return err_hint(err, status, "\"clean\": true leaves out orders of 0 or less.");
    return fit(clusters, k > 0 ? (size_t)k : K_FIRST, k > 0 ? (size_t)k : K_LAST, (uint64_t)seed,
               err);
}

enum status live_kmeans(struct live_ask *ask, struct buf *json, struct err *err)
{
    static const char *const members[] = {"order", "clean", "k", "log1p", "zscore", "seed", NULL};
    struct clusters clusters = {
        .ask = ask, .log1p = unless_false(ask, "log1p"), .zscore = unless_false(ask, "zscore")};
    double k = 0, seed = 42;
    enum status status = live_ask_plain(ask, members, err);
    if (status == ST_OK)
        status = live_ask_number(ask, "k", 1, KMEANS_CLUSTERS_MAX, 0, &k, err);
    if (status == ST_OK)
        status = live_ask_number(ask, "seed", 0, 9e15, 42, &seed, err);
    if (status == ST_OK)
        status = live_customers_collect(ask, "kmeans", &clusters.customers, err);
    if (status == ST_OK)
        status = cluster(&clusters, k, seed, err);
    if (status == ST_OK)
        status = ask->want != NULL ? people_want(&clusters, err) : answer(&clusters, json, err);
    if (clusters.result.labels != NULL)
        kmeans_result_done(&clusters.result);
    kmeans_scaling_done(&clusters.scaling);
    free(clusters.raw);
    free(clusters.points);
    live_customers_done(&clusters.customers);
    return status;
}
