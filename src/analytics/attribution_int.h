/* attribution_int.h - what the files of attribution share. */
#ifndef ANALYTICS_ATTRIBUTION_INT_H
#define ANALYTICS_ATTRIBUTION_INT_H

#include "analytics/attribution.h"
#include "base/hash.h"

/* A window of the last channels of a path: each one takes `bits` bits as number + 1, so that 0 is
 * "before the path". Windows of different length differ. */
__extension__ typedef unsigned __int128 attribution_window;

struct attribution_packing {
    unsigned bits, order;
    attribution_window mask;
};

MUST_USE enum status attribution_packing_init(uint32_t channels_count, unsigned order,
                                              struct attribution_packing *ret_packing,
                                              struct err *err);

static inline attribution_window attribution_push(const struct attribution_packing *packing,
                                                  attribution_window window, uint32_t channel)
{
    return ((window << packing->bits) | ((attribution_window)channel + 1)) & packing->mask;
}

/* One to one, well spread, never the zero key: a window has at most 127 bits. */
static inline struct hash128 attribution_window_key(attribution_window window)
{
    uint64_t low = (uint64_t)window, high = (uint64_t)(window >> 64);
    return (struct hash128){hash_mix(low ^ hash_mix(high + UINT64_C(0x9e3779b97f4a7c15))),
                            high + 1};
}

/* Sums over paths that count (those with a touch). */
double attribution_total(const struct attribution_paths *paths, const double *per_path);
/* What `path` earned: its value counts only with conversions. */
double attribution_value(const struct attribution_paths *paths, size_t path);

MUST_USE enum status attribution_markov(const struct attribution_paths *paths, unsigned order,
                                        struct arena *arena, struct attribution_credit *credit,
                                        struct err *err);
MUST_USE enum status attribution_shapley_rate(const struct attribution_paths *paths,
                                              struct attribution_credit *credit, struct err *err);
MUST_USE enum status attribution_shao(const struct attribution_paths *paths,
                                      struct attribution_credit *credit, struct err *err);
#endif
