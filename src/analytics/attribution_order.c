/* attribution_order.c - which order of the Markov chain predicts conversion best.
 *
 * A path's forecast at order k is the share of conversions among all journeys that end in its last
 * state. The ROC curve is drawn through 100 thresholds between the least and the largest forecast
 * (not through every distinct one: that is how the reference program does it, and the figures must
 * agree), plus the two corners. A higher order never fits worse, so the area is penalised by the
 * number of states that the order could have; see attribution.h. */
#include "analytics/attribution_int.h"

#include <math.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/map.h"

#define THRESHOLDS 100

struct ends {
    double conversions, nulls;
};

static double null_of(const struct attribution_paths *paths, size_t path)
{
    return paths->nulls == NULL ? 0 : paths->nulls[path];
}

static bool has_touch(const struct attribution_paths *paths, size_t path)
{
    return paths->starts[path] < paths->starts[path + 1];
}

/* The last min(k, length) channels. */
static attribution_window last_window(const struct attribution_paths *paths, size_t path,
                                      const struct attribution_packing *packing)
{
    uint64_t at = paths->starts[path], end = paths->starts[path + 1];
    attribution_window window = 0;
    if (end - at > packing->order)
        at = end - packing->order;
    for (; at < end; at++)
        window = attribution_push(packing, window, paths->touches[at]);
    return window;
}

/* Per path the share of conversions among the journeys that end as it does. */
static void forecast(const struct attribution_paths *paths,
                     const struct attribution_packing *packing, double *ret_forecast)
{
    struct map map;
    struct ends *ends = mem_alloc((paths->paths_count + 1) * sizeof *ends);
    uint32_t *state = mem_alloc((paths->paths_count + 1) * sizeof *state);
    map_init(&map);
    for (size_t i = 0; i < paths->paths_count; i++) {
        bool fresh;
        uint64_t *place =
            map_put(&map, attribution_window_key(last_window(paths, i, packing)), &fresh);
        if (fresh) {
            *place = map.count - 1;
            ends[*place] = (struct ends){0};
        }
        state[i] = (uint32_t)*place;
        ends[state[i]].conversions += paths->conversions[i];
        ends[state[i]].nulls += null_of(paths, i);
    }
    for (size_t i = 0; i < paths->paths_count; i++) {
        struct ends *end = &ends[state[i]];
        double all = end->conversions + end->nulls;
        ret_forecast[i] = all > 0 ? end->conversions / all : 0;
    }
    map_done(&map);
    free(state);
    free(ends);
}

/* The highest threshold that the forecast reaches; thresholds rise. */
static size_t bin_of(const double *thresholds, double forecast)
{
    size_t low = 0, high = THRESHOLDS;
    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;
        if (thresholds[middle] <= forecast)
            low = middle;
        else
            high = middle;
    }
    return low;
}

static double area(const struct attribution_paths *paths, const double *forecasts)
{
    double least = 1, most = 0, thresholds[THRESHOLDS];
    struct ends bins[THRESHOLDS] = {0}, all = {0}, reached = {0};
    for (size_t i = 0; i < paths->paths_count; i++) {
        if (!has_touch(paths, i))
            continue;
        least = fmin(least, forecasts[i]);
        most = fmax(most, forecasts[i]);
    }
    for (size_t k = 0; k < THRESHOLDS; k++)
        thresholds[k] = least + ((double)k * (most - least) / (THRESHOLDS - 1));
    for (size_t i = 0; i < paths->paths_count; i++) {
        if (!has_touch(paths, i))
            continue;
        struct ends *bin = &bins[bin_of(thresholds, forecasts[i])];
        bin->conversions += paths->conversions[i];
        bin->nulls += null_of(paths, i);
        all.conversions += paths->conversions[i];
        all.nulls += null_of(paths, i);
    }
    if (all.conversions <= 0 || all.nulls <= 0)
        return NAN;
    double auc = 0, hits = 0, alarms = 0;
    for (size_t k = THRESHOLDS; k-- > 0;) {
        reached.conversions += bins[k].conversions;
        reached.nulls += bins[k].nulls;
        double more_hits = reached.conversions / all.conversions;
        double more_alarms = reached.nulls / all.nulls;
        auc += (more_alarms - alarms) * (hits + more_hits) / 2;
        hits = more_hits;
        alarms = more_alarms;
    }
    return auc;
}

/* C(channels + order - 1, order): the multisets, as the reference program counts parameters. */
static double parameters(uint32_t channels, unsigned order)
{
    double count = 1;
    for (unsigned i = 1; i <= order; i++)
        count = count * ((double)channels + i - 1) / i;
    return count;
}

enum status attribution_choose_order(const struct attribution_paths *paths, unsigned order_max,
                                     struct attribution_order *ret_auc, unsigned *ret_count,
                                     unsigned *ret_order, struct err *err)
{
    CHECK(order_max >= 1 && order_max <= ATTRIBUTION_ORDER_MAX);
    double journeys =
        attribution_total(paths, paths->conversions) + attribution_total(paths, paths->nulls);
    double *forecasts = mem_alloc((paths->paths_count + 1) * sizeof *forecasts), best = -1;
    unsigned count = 0, chosen = 1;
    struct attribution_packing packing;
    for (unsigned order = 1; order <= order_max; order++) {
        double p = parameters(paths->channels_count, order);
        if (p >= journeys - 1 ||
            attribution_packing_init(paths->channels_count, order, &packing, NULL) != ST_OK)
            break;
        forecast(paths, &packing, forecasts);
        double auc = area(paths, forecasts);
        if (isnan(auc))
            break;
        double penalized = 1 - (1 - auc) * ((journeys - 1) / (journeys - p - 1));
        if (penalized < 0 || penalized > 1)
            penalized = 0;
        ret_auc[count++] = (struct attribution_order){auc, penalized};
        if (penalized > best)
            best = penalized, chosen = order;
    }
    free(forecasts);
    if (count == 0) {
        err_set(err, ST_INVALID,
                "could not choose an order: it takes conversions, journeys without one, and more "
                "journeys than channels");
        return err_hint(err, ST_INVALID, "name it: --order 1");
    }
    *ret_count = count;
    *ret_order = chosen;
    return ST_OK;
}
