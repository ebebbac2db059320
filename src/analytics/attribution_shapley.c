/* attribution_shapley.c - the two models that look at sets of channels: Shapley's value of the
 * conversion rate, and Shao and Li's pairs.
 *
 * Shapley, by rate: worth v(S) = conversions / journeys of the paths whose channels all lie in S,
 * 0 without journeys. phi(c) = sum over S without c of |S|! (n-1-|S|)! / n! (v(S + c) - v(S)). The
 * sums over subsets of all 2^n sets are made at once by adding along one channel after another. The
 * closed form for worth = number of conversions is a rule of attribution.c.
 *
 * Shao: see attribution.h. Pairs are kept sparse: only those that a path has. */
#include "analytics/attribution_int.h"

#include <math.h>
#include <stdlib.h>

#include "base/map.h"

/* Scale raw credit so that it sums to `total`; without any credit there is nothing to share. */
static void scale(double *credit, size_t count, double total)
{
    double sum = 0;
    for (size_t i = 0; i < count; i++)
        sum += credit[i];
    for (size_t i = 0; i < count; i++)
        credit[i] = sum != 0 ? credit[i] / sum * total : 0;
}

static double null_of(const struct attribution_paths *paths, size_t path)
{
    return paths->nulls == NULL ? 0 : paths->nulls[path];
}

/* --- the value of the rate -------------------------------------------------------------------- */

static void add_subsets(double *sums, unsigned channels)
{
    for (unsigned c = 0; c < channels; c++)
        for (size_t set = 0; set < (size_t)1 << channels; set++)
            if ((set >> c & 1) != 0)
                sums[set] += sums[set ^ (size_t)1 << c];
}

static void shapley_of(const double *gains, const double *journeys, unsigned channels,
                       double *ret_phi)
{
    double weight[ATTRIBUTION_RATE_CHANNELS_MAX] = {0}; /* s! (n-1-s)! / n! */
    weight[0] = 1 / (double)channels;
    for (unsigned s = 1; s < channels; s++)
        weight[s] = weight[s - 1] * (double)s / (double)(channels - s);
    for (size_t set = 0; set < (size_t)1 << channels; set++) {
        unsigned size = (unsigned)__builtin_popcountll(set);
        double worth = journeys[set] > 0 ? gains[set] / journeys[set] : 0;
        for (unsigned c = 0; c < channels; c++)
            ret_phi[c] += (set >> c & 1) != 0 ? worth * weight[size - 1] : -worth * weight[size];
    }
}

enum status attribution_shapley_rate(const struct attribution_paths *paths,
                                     struct attribution_credit *credit, struct err *err)
{
    unsigned channels = paths->channels_count;
    if (channels > ATTRIBUTION_RATE_CHANNELS_MAX) {
        err_set(err, ST_TOO_LARGE,
                "could not share out by conversion rate: %u channels have more than 2^%d sets",
                channels, ATTRIBUTION_RATE_CHANNELS_MAX);
        return err_hint(err, ST_TOO_LARGE, "by number of conversions there is no such limit");
    }
    if (channels == 0)
        return ST_OK;
    size_t sets = (size_t)1 << channels;
    double *sums[3]; /* conversions, value, journeys */
    for (size_t k = 0; k < 3; k++)
        sums[k] = mem_zero(sets * sizeof *sums[k]);
    for (size_t path = 0; path < paths->paths_count; path++) {
        size_t set = 0;
        for (uint64_t i = paths->starts[path]; i < paths->starts[path + 1]; i++)
            set |= (size_t)1 << paths->touches[i];
        if (set == 0)
            continue;
        sums[0][set] += paths->conversions[path];
        sums[1][set] += attribution_value(paths, path);
        sums[2][set] += paths->conversions[path] + null_of(paths, path);
    }
    for (size_t k = 0; k < 3; k++)
        add_subsets(sums[k], channels);
    shapley_of(sums[0], sums[2], channels, credit->conversions);
    scale(credit->conversions, channels, attribution_total(paths, paths->conversions));
    if (credit->values != NULL) {
        shapley_of(sums[1], sums[2], channels, credit->values);
        scale(credit->values, channels, attribution_total(paths, paths->values));
    }
    for (size_t k = 0; k < 3; k++)
        free(sums[k]);
    return ST_OK;
}

/* --- Shao and Li ------------------------------------------------------------------------------ */

struct tally {
    double conversions, journeys;
};

struct pairs {
    struct map map; /* (i, j), i < j → place in tallies */
    struct tally *tallies, *single;
    size_t count, capacity;
    uint32_t *set; /* the distinct channels of the path at hand */
    size_t set_count;
    size_t *seen;
};

static struct tally *pair(struct pairs *pairs, uint32_t i, uint32_t j)
{
    uint64_t key = i < j ? (uint64_t)i << 32 | j : (uint64_t)j << 32 | i;
    bool fresh;
    uint64_t *place = map_put(&pairs->map, map_key_u64(key), &fresh);
    if (!fresh)
        return &pairs->tallies[*place];
    if (pairs->count == pairs->capacity) {
        pairs->capacity = pairs->capacity == 0 ? 256 : pairs->capacity * 2;
        pairs->tallies = mem_grow(pairs->tallies, pairs->capacity * sizeof *pairs->tallies);
    }
    *place = pairs->count;
    pairs->tallies[pairs->count] = (struct tally){0};
    return &pairs->tallies[pairs->count++];
}

static void set_of(struct pairs *pairs, const struct attribution_paths *paths, size_t path)
{
    pairs->set_count = 0;
    for (uint64_t i = paths->starts[path]; i < paths->starts[path + 1]; i++) {
        uint32_t channel = paths->touches[i];
        if (pairs->seen[channel] != path + 1)
            pairs->set[pairs->set_count++] = channel;
        pairs->seen[channel] = path + 1;
    }
}

static void tally_add(struct tally *tally, double conversions, double nulls)
{
    tally->conversions += conversions;
    tally->journeys += conversions + nulls;
}

/* False when there would be more pairs than the limit. */
static bool tally_all(struct pairs *pairs, const struct attribution_paths *paths)
{
    for (size_t path = 0; path < paths->paths_count; path++) {
        double conversions = paths->conversions[path], nulls = null_of(paths, path);
        set_of(pairs, paths, path);
        for (size_t i = 0; i < pairs->set_count; i++) {
            tally_add(&pairs->single[pairs->set[i]], conversions, nulls);
            if (pairs->count + pairs->set_count > ATTRIBUTION_PAIRS_MAX)
                return false;
            for (size_t j = i + 1; j < pairs->set_count; j++)
                tally_add(pair(pairs, pairs->set[i], pairs->set[j]), conversions, nulls);
        }
    }
    return true;
}

static double rate(const struct tally *tally)
{
    return tally->journeys > 0 ? tally->conversions / tally->journeys : 0;
}

static void share_out(struct pairs *pairs, const struct attribution_paths *paths, size_t path,
                      struct attribution_credit *credit)
{
    size_t others = pairs->set_count - 1;
    for (size_t i = 0; i < pairs->set_count; i++) {
        uint32_t channel = pairs->set[i];
        double alone = rate(&pairs->single[channel]), more = 0;
        for (size_t j = 0; j < pairs->set_count; j++)
            if (j != i)
                more += rate(pair(pairs, channel, pairs->set[j])) - alone -
                        rate(&pairs->single[pairs->set[j]]);
        double earned = others == 0 ? alone : alone + more / (2 * (double)others);
        credit->conversions[channel] += paths->conversions[path] * earned;
        if (credit->values != NULL)
            credit->values[channel] += attribution_value(paths, path) * earned;
    }
}

enum status attribution_shao(const struct attribution_paths *paths,
                             struct attribution_credit *credit, struct err *err)
{
    size_t channels = (size_t)paths->channels_count + 1;
    struct pairs pairs = {.single = mem_zero(channels * sizeof *pairs.single),
                          .set = mem_alloc(channels * sizeof *pairs.set),
                          .seen = mem_zero(channels * sizeof *pairs.seen)};
    enum status status = ST_OK;
    map_init(&pairs.map);
    if (!tally_all(&pairs, paths))
        status = err_set(err, ST_TOO_LARGE,
                         "could not use the model shao: more than %zu pairs of channels",
                         ATTRIBUTION_PAIRS_MAX);
    for (size_t i = 0; i < channels; i++)
        pairs.seen[i] = 0;
    for (size_t path = 0; status == ST_OK && path < paths->paths_count; path++) {
        set_of(&pairs, paths, path);
        if (paths->conversions[path] > 0 && pairs.set_count > 0)
            share_out(&pairs, paths, path, credit);
    }
    scale(credit->conversions, paths->channels_count, attribution_total(paths, paths->conversions));
    if (credit->values != NULL)
        scale(credit->values, paths->channels_count, attribution_total(paths, paths->values));
    map_done(&pairs.map);
    free(pairs.tallies);
    free(pairs.single);
    free(pairs.set);
    free(pairs.seen);
    return status;
}
