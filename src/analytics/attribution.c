/* attribution.c - the models that look at one path at a time, and the door to the others.
 *
 * A rule gives each touch of a path a weight, the weights of a path sum to 1, and a path's
 * conversions and value are handed out by weight. What "a touch" is (each one; repeats as one; each
 * channel once) is decided first, in one place: the rules then see the touches that are kept.
 * Shapley's closed form is such a rule as well: linear over the distinct channels.
 *
 * Invariant, checked in tests: credit sums to all conversions and all value. */
#include "analytics/attribution_int.h"

#include <math.h>
#include <stdlib.h>

#include "base/check.h"

static const char *const names[ATTRIBUTION_MODELS] = {
    "first", "last", "last-non-direct", "linear", "position", "decay", "markov", "shapley", "shao",
};

const char *attribution_model_name(enum attribution_model model)
{
    return names[model];
}

bool attribution_model_of(struct str name, enum attribution_model *ret_model)
{
    for (size_t i = 0; i < ATTRIBUTION_MODELS; i++) {
        if (!str_is(name, names[i]))
            continue;
        *ret_model = (enum attribution_model)i;
        return true;
    }
    return false;
}

struct attribution_rules attribution_rules_usual(void)
{
    return (struct attribution_rules){.first = 40, .middle = 20, .last = 40, .order = 1};
}

double attribution_value(const struct attribution_paths *paths, size_t path)
{
    bool counts = paths->values != NULL && paths->conversions[path] > 0;
    return counts ? paths->values[path] : 0;
}

double attribution_total(const struct attribution_paths *paths, const double *per_path)
{
    double sum = 0;
    for (size_t i = 0; per_path != NULL && i < paths->paths_count; i++)
        if (paths->starts[i] < paths->starts[i + 1])
            sum += per_path == paths->values ? attribution_value(paths, i) : per_path[i];
    return sum;
}

/* --- the touches that are kept ---------------------------------------------------------------- */

/* Scratch for one path after another: which of its touches are kept, and their weights. */
struct view {
    uint64_t *kept; /* places in paths->touches */
    double *weights;
    size_t count;
    size_t *seen; /* per channel: the last path that had it, + 1 */
};

static void view_init(struct view *view, const struct attribution_paths *paths)
{
    uint64_t longest = 1;
    for (size_t i = 0; i < paths->paths_count; i++)
        if (paths->starts[i + 1] - paths->starts[i] > longest)
            longest = paths->starts[i + 1] - paths->starts[i];
    view->kept = mem_alloc(longest * sizeof *view->kept);
    view->weights = mem_alloc(longest * sizeof *view->weights);
    view->seen = mem_zero(((size_t)paths->channels_count + 1) * sizeof *view->seen);
    view->count = 0;
}

static void view_done(struct view *view)
{
    free(view->kept);
    free(view->weights);
    free(view->seen);
}

static void view_path(struct view *view, const struct attribution_paths *paths, size_t path,
                      enum attribution_touches touches)
{
    uint64_t start = paths->starts[path];
    view->count = 0;
    for (uint64_t i = start; i < paths->starts[path + 1]; i++) {
        uint32_t channel = paths->touches[i];
        if (touches == ATTRIBUTION_COLLAPSED && i > start && channel == paths->touches[i - 1])
            continue;
        if (touches == ATTRIBUTION_UNIQUE && view->seen[channel] == path + 1)
            continue;
        view->seen[channel] = path + 1;
        view->kept[view->count++] = i;
    }
}

/* --- the rules -------------------------------------------------------------------------------- */

static void weigh_alone(struct view *view, size_t at)
{
    for (size_t i = 0; i < view->count; i++)
        view->weights[i] = 0;
    view->weights[at] = 1;
}

static void weigh_linear(struct view *view)
{
    for (size_t i = 0; i < view->count; i++)
        view->weights[i] = 1 / (double)view->count;
}

static size_t last_non_direct(const struct view *view, const struct attribution_paths *paths,
                              const bool *direct)
{
    for (size_t i = view->count; direct != NULL && i-- > 0;)
        if (!direct[paths->touches[view->kept[i]]])
            return i;
    return view->count - 1;
}

static void weigh_position(struct view *view, const struct attribution_rules *rules)
{
    size_t n = view->count;
    double ends = rules->first + rules->last, sum = ends + rules->middle;
    if (n == 1) {
        view->weights[0] = 1;
    } else if (n == 2) {
        view->weights[0] = ends > 0 ? rules->first / ends : 0.5;
        view->weights[1] = ends > 0 ? rules->last / ends : 0.5;
    } else {
        for (size_t i = 1; i + 1 < n; i++)
            view->weights[i] = rules->middle / sum / (double)(n - 2);
        view->weights[0] = rules->first / sum;
        view->weights[n - 1] = rules->last / sum;
    }
}

static void weigh_rank(struct view *view)
{
    double n = (double)view->count, sum = n * (n + 1) / 2;
    for (size_t i = 0; i < view->count; i++)
        view->weights[i] = (double)(i + 1) / sum;
}

/* Ages count from the youngest touch: only their differences matter, and the sum cannot vanish. */
static void weigh_half_life(struct view *view, const struct attribution_paths *paths,
                            int64_t half_life_us)
{
    size_t n = view->count;
    double sum = 0, youngest = INFINITY;
    for (size_t i = 0; i < n; i++) {
        double age_us = paths->ages_us == NULL ? (double)(n - 1 - i) * (double)ATTRIBUTION_STEP_US
                                               : (double)paths->ages_us[view->kept[i]];
        view->weights[i] = age_us;
        youngest = fmin(youngest, age_us);
    }
    for (size_t i = 0; i < n; i++) {
        view->weights[i] = exp2(-(view->weights[i] - youngest) / (double)half_life_us);
        sum += view->weights[i];
    }
    for (size_t i = 0; i < n; i++)
        view->weights[i] /= sum;
}

static void weigh(struct view *view, const struct attribution_paths *paths,
                  enum attribution_model model, const struct attribution_rules *rules)
{
    switch (model) {
    case ATTRIBUTION_FIRST:
        weigh_alone(view, 0);
        return;
    case ATTRIBUTION_LAST:
        weigh_alone(view, view->count - 1);
        return;
    case ATTRIBUTION_LAST_NON_DIRECT:
        weigh_alone(view, last_non_direct(view, paths, rules->direct));
        return;
    case ATTRIBUTION_LINEAR:
    case ATTRIBUTION_SHAPLEY:
        weigh_linear(view);
        return;
    case ATTRIBUTION_POSITION:
        weigh_position(view, rules);
        return;
    case ATTRIBUTION_DECAY:
        if (rules->half_life_us > 0)
            weigh_half_life(view, paths, rules->half_life_us);
        else
            weigh_rank(view);
        return;
    case ATTRIBUTION_MARKOV:
    case ATTRIBUTION_SHAO:
    case ATTRIBUTION_MODELS:
        break;
    }
    CHECK(false);
}

static enum attribution_touches touches_of(enum attribution_model model,
                                           const struct attribution_rules *rules)
{
    return model == ATTRIBUTION_SHAPLEY ? ATTRIBUTION_UNIQUE : rules->touches;
}

static void run_rule(const struct attribution_paths *paths, enum attribution_model model,
                     const struct attribution_rules *rules, struct attribution_credit *credit)
{
    struct view view;
    view_init(&view, paths);
    for (size_t path = 0; path < paths->paths_count; path++) {
        double conversions = paths->conversions[path], value = attribution_value(paths, path);
        if (conversions <= 0 || paths->starts[path] == paths->starts[path + 1])
            continue;
        view_path(&view, paths, path, touches_of(model, rules));
        weigh(&view, paths, model, rules);
        for (size_t i = 0; i < view.count; i++) {
            uint32_t channel = paths->touches[view.kept[i]];
            credit->conversions[channel] += conversions * view.weights[i];
            if (credit->values != NULL)
                credit->values[channel] += value * view.weights[i];
        }
    }
    view_done(&view);
}

/* --- doors ------------------------------------------------------------------------------------ */

enum status attribution_run(const struct attribution_paths *paths, enum attribution_model model,
                            const struct attribution_rules *rules, struct arena *arena,
                            struct attribution_credit *ret_credit, struct err *err)
{
    size_t channels = (size_t)paths->channels_count + 1; /* never an array of none */
    struct attribution_credit credit = {.conversions = ARENA_ARRAY(arena, double, channels)};
    if (paths->values != NULL)
        credit.values = ARENA_ARRAY(arena, double, channels);
    CHECK(rules->first >= 0 && rules->middle >= 0 && rules->last >= 0);
    CHECK(rules->first + rules->middle + rules->last > 0);

    enum status status = ST_OK;
    if (model == ATTRIBUTION_MARKOV)
        status = attribution_markov(paths, rules->order, arena, &credit, err);
    else if (model == ATTRIBUTION_SHAO)
        status = attribution_shao(paths, &credit, err);
    else if (model == ATTRIBUTION_SHAPLEY && rules->shapley_rate)
        status = attribution_shapley_rate(paths, &credit, err);
    else
        run_rule(paths, model, rules, &credit);
    if (status == ST_OK)
        *ret_credit = credit;
    return status;
}

/* A channel's share among the distinct channels of the path, split among its touches. */
static void weigh_removal(struct view *view, const struct attribution_paths *paths, size_t path,
                          const double *removal, double *weights)
{
    uint64_t start = paths->starts[path], end = paths->starts[path + 1];
    double *times = mem_zero(((size_t)paths->channels_count + 1) * sizeof *times), sum = 0;
    view_path(view, paths, path, ATTRIBUTION_UNIQUE);
    for (size_t i = 0; i < view->count; i++)
        sum += removal[paths->touches[view->kept[i]]];
    for (uint64_t i = start; i < end; i++)
        times[paths->touches[i]]++;
    for (uint64_t i = start; i < end; i++) {
        uint32_t channel = paths->touches[i];
        double share = sum > 0 ? removal[channel] / sum : 1 / (double)view->count;
        weights[i - start] = share / times[channel];
    }
    free(times);
}

bool attribution_weights(const struct attribution_paths *paths, size_t path,
                         enum attribution_model model, const struct attribution_rules *rules,
                         const struct attribution_credit *credit, double *ret_weights)
{
    uint64_t start = paths->starts[path], end = paths->starts[path + 1];
    bool by_channel = model == ATTRIBUTION_MARKOV || model == ATTRIBUTION_SHAPLEY;
    if (start == end || model == ATTRIBUTION_SHAO ||
        (model == ATTRIBUTION_SHAPLEY && rules->shapley_rate) ||
        (model == ATTRIBUTION_MARKOV && (credit == NULL || credit->removal_conversions == NULL)))
        return false;
    struct view view;
    view_init(&view, paths);
    if (by_channel) {
        double *equal = mem_alloc(((size_t)paths->channels_count + 1) * sizeof *equal);
        for (size_t i = 0; i < paths->channels_count; i++)
            equal[i] = 1;
        weigh_removal(&view, paths, path,
                      model == ATTRIBUTION_MARKOV ? credit->removal_conversions : equal,
                      ret_weights);
        free(equal);
    } else {
        view_path(&view, paths, path, rules->touches);
        weigh(&view, paths, model, rules);
        for (uint64_t i = start; i < end; i++)
            ret_weights[i - start] = 0;
        for (size_t i = 0; i < view.count; i++)
            ret_weights[view.kept[i] - start] = view.weights[i];
    }
    view_done(&view);
    return true;
}
