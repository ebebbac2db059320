/* attribution.h - who earned the conversions: credit per channel from paths of touches.
 *
 * Pure kernel: paths as channel numbers in, credit per channel out. It reads no file and no
 * warehouse, so a report on a file and a live report use the same code. Each model shares out all
 * conversions and all value of the paths, no more and no less.
 *
 * Models, their source and their conventions (a path that earned nothing gives nobody credit):
 *   first, last      the touch at that end of the path.
 *   last-non-direct  the last touch that is no direct visit; a path of direct visits only: its
 * last. linear           every touch the same. position         weights of the first, all middle
 * and the last touch (40, 20, 40); of two touches the middle's weight goes to both ends in
 * proportion of their own (eeghor/mta); one touch takes all. decay            without a half-life
 * by rank: touch i of n weighs i (eeghor/mta). With a half- life h: 2^(-age/h), age = time before
 * the conversion. Where ages are unknown, one touch is one day older than the next. markov Anderl,
 * Becker, von Wangenheim, Schumann (2016); state space, collapsing of equal states and weights as
 * the R package ChannelAttribution 2.0.7 has them, solved exactly instead of simulated: see
 * attribution_markov.c. shapley          Zhao, Mahboobi, Bagheri (2018). Worth of a set of channels
 * = conversions of the paths whose channels all lie in it: then the Shapley value has the closed
 *                    form "a path's conversions in equal parts to its distinct channels", for any
 *                    number of channels. With shapley_rate the worth is the share of such paths
 *                    that convert; no closed form, all 2^n sets are summed (n <= 20), the result is
 *                    scaled to all conversions and may be negative.
 *   shao             Shao and Li (2011) as eeghor/mta has it: on each converting path channel i
 *                    earns p(i) + mean over the path's other channels j of (p(ij)-p(i)-p(j))/2, p =
 *                    share of converting journeys among those with the channel or the pair; scaled
 *                    to all conversions; may be negative.
 * The first six may count touches in three ways (enum attribution_touches); markov always reads the
 * path as it is, shapley and shao read its set of channels.
 *
 * Depends on: base. Called by: attribution_report.c, live reports. Ownership: results live in the
 * arena that was passed in. No tables, no personal data. */
#ifndef ANALYTICS_ATTRIBUTION_H
#define ANALYTICS_ATTRIBUTION_H

#include <stdint.h>

#include "base/arena.h"
#include "base/status.h"

#define ATTRIBUTION_ORDER_MAX 16
#define ATTRIBUTION_RATE_CHANNELS_MAX 20              /* 2^20 sets, 8 MB */
#define ATTRIBUTION_PAIRS_MAX ((size_t)8 << 20)       /* shao: 0.5 GB */
#define ATTRIBUTION_TRANSITIONS_MAX ((size_t)8 << 20) /* markov: at most 2 GB */
#define ATTRIBUTION_STEP_US INT64_C(86400000000)

enum attribution_model {
    ATTRIBUTION_FIRST,
    ATTRIBUTION_LAST,
    ATTRIBUTION_LAST_NON_DIRECT,
    ATTRIBUTION_LINEAR,
    ATTRIBUTION_POSITION,
    ATTRIBUTION_DECAY,
    ATTRIBUTION_MARKOV,
    ATTRIBUTION_SHAPLEY,
    ATTRIBUTION_SHAO,
    ATTRIBUTION_MODELS,
};

/* "last-non-direct"; and back (false: no such model). */
const char *attribution_model_name(enum attribution_model model);
bool attribution_model_of(struct str name, enum attribution_model *ret_model);

/* How the first six models count touches. */
enum attribution_touches {
    ATTRIBUTION_ALL,       /* as they are */
    ATTRIBUTION_COLLAPSED, /* the same channel again at once is no new touch */
    ATTRIBUTION_UNIQUE,    /* a channel counts once, where it came first */
};

struct attribution_paths {
    const uint32_t *touches; /* channels 0 … channels_count - 1, path after path */
    const uint64_t *starts;  /* paths_count + 1; a path may be empty, it earns nobody anything */
    const int64_t *ages_us;  /* per touch, time before the conversion; NULL: unknown */
    /* Per path, none negative, finite. `values` and `nulls` may be NULL. A value counts only where
     * there are conversions. */
    const double *conversions, *values, *nulls;
    size_t paths_count;
    uint32_t channels_count;
};

struct attribution_rules {
    enum attribution_touches touches;
    double first, middle, last; /* position; any scale */
    int64_t half_life_us;       /* decay; 0: by rank */
    const bool *direct;         /* per channel; NULL: none is */
    unsigned order;             /* markov: 1 … ATTRIBUTION_ORDER_MAX */
    bool shapley_rate;
};

struct attribution_credit {
    double *conversions, *values; /* per channel; values NULL without */
    /* Markov only, else NULL: share of the conversions (the value) that is lost without it. */
    double *removal_conversions, *removal_values;
    /* Markov only. The bound that the solver reached: no removal effect of conversions is further
     * than this from the exact one, relative to itself (rounding aside). */
    double error_max;
    size_t states, transitions;
};

/* 40-20-40, decay by rank, order 1, all touches. */
struct attribution_rules attribution_rules_usual(void);

/* ST_TOO_LARGE when the model needs more than the limits above, or an order whose states do not
 * fit 127 bits (order × log2(channels + 1)), or did not converge to 1e-6 within the work allowed
 * (about two minutes). Otherwise ST_OK. */
MUST_USE enum status attribution_run(const struct attribution_paths *paths,
                                     enum attribution_model model,
                                     const struct attribution_rules *rules, struct arena *arena,
                                     struct attribution_credit *ret_credit, struct err *err);

/* The weights of the touches of ONE path, one per touch, summing to 1. For markov and shapley a
 * channel's share is split evenly among its touches: shapley's share is an equal part, markov's the
 * channel's removal effect (`credit` of an earlier run, else NULL) among those of the path. False:
 * the model has none for this path (shao, shapley_rate; a path without a touch). */
bool attribution_weights(const struct attribution_paths *paths, size_t path,
                         enum attribution_model model, const struct attribution_rules *rules,
                         const struct attribution_credit *credit, double *ret_weights);

/* Which order predicts best: for each order the ROC curve of "share of conversions of the path's
 * last state" over all journeys (100 thresholds, as ChannelAttribution's choose_order draws it),
 * its area, and the area penalised like an adjusted R²: 1 - (1-auc)(n-1)/(n-p-1), n journeys, p =
 * C(channels+order-1, order) parameters; 0 when that is no share. The list ends before p >= n.
 * The suggested order has the largest penalised area (the lowest of equals). */
struct attribution_order {
    double auc, penalized;
};
MUST_USE enum status attribution_choose_order(const struct attribution_paths *paths,
                                              unsigned order_max, struct attribution_order *ret_auc,
                                              unsigned *ret_count, unsigned *ret_order,
                                              struct err *err);
#endif
