/* experiment_report.c - an experiment in a file, judged: one row per variation against the control.
 *
 * What cannot be said is null with its reason (a relative effect of a control mean of zero, an arm
 * without spread), the rest of the report stands. P-values of several variations are adjusted
 * together. Best-arm probabilities: Beta(1 + conversions, 1 + others) for proportions, else normal
 * with each arm's mean and standard error, with CUPED adjusted by one theta of all arms. */
#include <math.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/json.h"
#include "learn/distribution.h"
#include "learn/experiment_int.h"

#define SRM_MISMATCH_P                                                                             \
    0.001 /* below, the split itself is in doubt and no effect can be believed                     \
           */

enum method { METHOD_WELCH, METHOD_SEQUENTIAL, METHOD_BAYES, METHOD_Z };

static const char *const method_names[] = {"welch", "sequential", "bayes", "z_test"};
static const char *const side_names[] = {"two-sided", "greater", "less"};
static const char *const correction_names[] = {"none", "holm", "bh"};

struct plan {
    const struct experiment_report_options *options;
    struct experiment_input input;
    enum method method;
    struct experiment_test test;
    enum experiment_interval interval;
    enum experiment_correction correction;
    struct experiment_prior prior;
    size_t control;
    double *weights, *sizes;
};

/* A comparison's row before it is written. */
struct verdict {
    struct experiment_effect effect;
    struct experiment_result result;
    struct experiment_posterior posterior;
    double scaling;
};

/* --- what was asked --------------------------------------------------------------------------- */

static enum status prior_read(const char *text, struct experiment_prior *prior, struct err *err)
{
    const char *comma = text == NULL || text[0] == '\0' ? NULL : strchr(text, ',');
    *prior = (struct experiment_prior){.proper = text != NULL && text[0] != '\0'};
    if (!prior->proper)
        return ST_OK;
    if (comma == NULL ||
        !experiment_number((struct str){text, (size_t)(comma - text)}, &prior->mean) ||
        !experiment_number(str_of(comma + 1), &prior->variance) || !(prior->variance > 0))
        return err_set(err, ST_INVALID, "--prior %s: not MEAN,VARIANCE with a variance above 0",
                       text);
    return ST_OK;
}

static enum status words_read(struct plan *plan, struct err *err)
{
    const struct experiment_report_options *o = plan->options;
    int method, side, interval, correction;
    enum status status = experiment_word("test", o->test, "welch|sequential|bayes|z", &method, err);
    if (status == ST_OK)
        status = experiment_word("side", o->side, "two-sided|greater|less", &side, err);
    if (status == ST_OK)
        status = experiment_word("interval", o->interval,
                                 "wilson|agresti-coull|clopper-pearson|jeffreys", &interval, err);
    if (status == ST_OK)
        status = experiment_word("correction", o->correction, "holm|bh|none", &correction, err);
    if (status == ST_OK)
        status = prior_read(o->prior, &plan->prior, err);
    if (status != ST_OK)
        return status;
    plan->method = (enum method)method;
    plan->test = (struct experiment_test){.alpha = o->alpha,
                                          .side = (enum experiment_side)side,
                                          .tuning = o->tuning,
                                          .tolerance = o->tolerance};
    plan->interval = (enum experiment_interval)interval;
    plan->correction = (enum experiment_correction)(correction == 2 ? 0 : correction + 1);
    return ST_OK;
}

static enum status numbers_check(const struct plan *plan, struct err *err)
{
    const struct experiment_report_options *o = plan->options;
    double most =
        plan->method == METHOD_SEQUENTIAL && plan->test.side != EXPERIMENT_TWO_SIDED ? 0.5 : 1;
    if (!(o->alpha > 0 && o->alpha < most))
        return err_set(err, ST_INVALID, "--alpha must lie between 0 and %g here", most);
    if (!(o->tuning > 0 && isfinite(o->tuning)))
        return err_set(err, ST_INVALID, "--tuning must be above 0");
    if (!(o->tolerance >= 0 && o->tolerance < 1))
        return err_set(err, ST_INVALID, "--tolerance must lie between 0 and 1");
    if (!isfinite(o->target) || (o->target != 0 && !(o->power > 0 && o->power < 1)))
        return err_set(err, ST_INVALID, "--power must lie between 0 and 1");
    return ST_OK;
}

/* z is for two proportions and says nothing relative. */
static enum status method_check(const struct plan *plan, struct err *err)
{
    const struct experiment_shape *shape = &plan->input.shape;
    if (plan->method != METHOD_Z)
        return ST_OK;
    if (!shape->proportion || shape->ratio || shape->cuped)
        return err_set(err, ST_INVALID, "--test z is for proportions (0 and 1) without --cuped");
    if (!plan->options->absolute)
        return err_set(err, ST_INVALID, "--test z compares absolutely: add --absolute");
    return ST_OK;
}

static enum status control_find(struct plan *plan, struct err *err)
{
    static const char *const usual[] = {"control", "baseline", "original", "off", "a", "0"};
    const struct experiment_input *input = &plan->input;
    const char *name = plan->options->control;
    if (name != NULL && name[0] != '\0') {
        plan->control = experiment_input_find(input, str_of(name));
        if (plan->control == input->count)
            return err_set(err, ST_INVALID, "--control %s: there is no such variation", name);
        return ST_OK;
    }
    for (size_t k = 0; k < sizeof usual / sizeof usual[0]; k++)
        for (size_t i = 0; i < input->count; i++)
            if (str_eq_nocase(str_trim(input->names[i]), str_of(usual[k]))) {
                plan->control = i;
                return ST_OK;
            }
    plan->control = 0;
    return ST_OK;
}

/* "W,W,…" in the order of the arms or "NAME=W,…"; none: all equal. */
static enum status weights_read(struct plan *plan, struct err *err)
{
    const struct experiment_input *input = &plan->input;
    struct str left = str_of(plan->options->weights);
    size_t given = 0;
    double sum = 0;
    for (size_t i = 0; i < input->count; i++)
        plan->weights[i] = left.n == 0 ? 1 : 0;
    while (left.n > 0) {
        const char *comma = memchr(left.p, ',', left.n);
        struct str item = {left.p, comma == NULL ? left.n : (size_t)(comma - left.p)};
        const char *equals = memchr(item.p, '=', item.n);
        size_t named = equals == NULL ? 0 : (size_t)(equals - item.p) + 1, at = given;
        double weight;
        if (named > 0)
            at = experiment_input_find(input, str_trim((struct str){item.p, named - 1}));
        if (!experiment_number((struct str){item.p + named, item.n - named}, &weight) || weight < 0)
            return err_set(err, ST_INVALID, "--split " STR_FMT ": not a number of at least 0",
                           STR_ARG(item));
        if (at >= input->count)
            return err_set(err, ST_INVALID, "--split " STR_FMT ": there is no such variation",
                           STR_ARG(item));
        plan->weights[at] = weight;
        sum += weight;
        given++;
        left = comma == NULL ? (struct str){0} : (struct str){comma + 1, left.n - item.n - 1};
    }
    if (given > 0 && given != input->count)
        return err_set(err, ST_INVALID, "--split has %zu weights for %zu variations", given,
                       input->count);
    if (given > 0 && !(sum > 0))
        return err_set(err, ST_INVALID, "--split: all weights are 0");
    return ST_OK;
}

/* --- judging ---------------------------------------------------------------------------------- */

static enum experiment_method kernel_of(enum method method)
{
    return method == METHOD_SEQUENTIAL ? EXPERIMENT_SEQUENTIAL
           : method == METHOD_BAYES    ? EXPERIMENT_BAYES
                                       : EXPERIMENT_WELCH;
}

static struct verdict judge(const struct plan *plan, size_t at)
{
    const struct experiment_report_options *o = plan->options;
    const struct experiment_arm *a = &plan->input.arms[plan->control], *b = &plan->input.arms[at];
    struct verdict out = {.scaling = NAN};
    out.effect = experiment_effect(a, b, &plan->input.shape, !o->absolute);
    if (out.effect.problem != EXPERIMENT_FINE) {
        out.result.p_value = NAN;
        return out;
    }
    switch (plan->method) {
    case METHOD_WELCH:
        out.result = experiment_welch(&out.effect, &plan->test);
        break;
    case METHOD_SEQUENTIAL:
        out.result = experiment_sequential(&out.effect, &plan->test);
        break;
    case METHOD_Z:
        out.result = experiment_two_proportions(a->mean[0] * a->n, a->n, b->mean[0] * b->n, b->n,
                                                &plan->test);
        break;
    case METHOD_BAYES:
        out.posterior = experiment_bayes(&out.effect, &plan->prior, o->alpha);
        if (o->inverse) {
            double risk = out.posterior.risk[0];
            out.posterior.chance_to_win =
                distribution_normal_tail(out.posterior.mean / out.posterior.stddev);
            out.posterior.risk[0] = out.posterior.risk[1], out.posterior.risk[1] = risk;
        }
        break;
    }
    if (o->target != 0)
        out.scaling =
            experiment_scaling(&out.effect, kernel_of(plan->method), &plan->test, &plan->prior,
                               o->target, o->power, o->tolerance > 0 ? o->tolerance : 1e-12);
    return out;
}

/* --- writing ---------------------------------------------------------------------------------- */

static void put_frequentist(const struct verdict *v, enum method method, double adjusted, bool fine,
                            struct buf *json)
{
    json_put_member_number(json, "effect", fine ? v->effect.estimate : NAN);
    json_put_member_number(json, "low", fine ? v->result.low : NAN);
    json_put_member_number(json, "high", fine ? v->result.high : NAN);
    json_put_member_number(json, "standard_error", fine ? v->effect.standard_error : NAN);
    json_put_member_number(json, "statistic", fine ? v->result.statistic : NAN);
    if (method == METHOD_WELCH)
        json_put_member_number(json, "df", fine ? v->effect.df : NAN);
    json_put_member_number(json, "p_value", v->result.p_value);
    json_put_member_number(json, "p_value_adjusted", adjusted);
}

static void put_bayes(const struct verdict *v, bool fine, struct buf *json)
{
    json_put_member_number(json, "effect", fine ? v->posterior.mean : NAN);
    json_put_member_number(json, "low", fine ? v->posterior.low : NAN);
    json_put_member_number(json, "high", fine ? v->posterior.high : NAN);
    json_put_member_number(json, "standard_error", fine ? v->posterior.stddev : NAN);
    json_put_member_number(json, "chance_to_win", fine ? v->posterior.chance_to_win : NAN);
    json_put_member_number(json, "risk_control", fine ? v->posterior.risk[0] : NAN);
    json_put_member_number(json, "risk_treatment", fine ? v->posterior.risk[1] : NAN);
}

static double shown_mean(const struct experiment_arm *arm)
{
    return arm->n > 0 ? arm->mean[EXPERIMENT_METRIC] / arm->mean[EXPERIMENT_DENOMINATOR] : NAN;
}

static void put_row(const struct plan *plan, size_t at, const struct verdict *v, double adjusted,
                    struct buf *json)
{
    const struct experiment_arm *arm = &plan->input.arms[at];
    bool fine = v->effect.problem == EXPERIMENT_FINE;
    json_put_comma(json);
    buf_char(json, '{');
    json_put_name(json, "variation");
    json_put_lossy(json, plan->input.names[at]);
    json_put_member_number(json, "n", arm->n);
    json_put_member_number(json, "mean", shown_mean(arm));
    if (plan->method == METHOD_BAYES)
        put_bayes(v, fine, json);
    else
        put_frequentist(v, plan->method, adjusted, fine, json);
    if (plan->input.shape.cuped)
        json_put_member_number(json, "theta", fine ? v->effect.theta : NAN);
    if (plan->options->target != 0) {
        json_put_member_number(json, "scaling_factor", v->scaling);
        json_put_member_number(json, "additional_units", v->scaling * v->effect.n);
    }
    if (!fine)
        json_put_member_str(json, "reason", str_of(experiment_problem_name(v->effect.problem)));
    buf_char(json, '}');
}

static void put_rows(const struct plan *plan, struct buf *json)
{
    size_t count = plan->input.count, used = 0;
    struct verdict *verdicts = mem_zero(count * sizeof *verdicts);
    double *adjusted = mem_zero(count * sizeof *adjusted);
    for (size_t i = 0; i < count; i++) {
        if (i == plan->control)
            continue;
        verdicts[used] = judge(plan, i);
        adjusted[used] = verdicts[used].result.p_value;
        used++;
    }
    experiment_correct(plan->correction, adjusted, used);
    json_put_name(json, "rows");
    buf_char(json, '[');
    used = 0;
    for (size_t i = 0; i < count; i++) {
        if (i == plan->control)
            continue;
        put_row(plan, i, &verdicts[used], adjusted[used], json);
        used++;
    }
    buf_char(json, ']');
    free(adjusted);
    free(verdicts);
}

/* The spread per unit of what is shown (a ratio's is its linearised series'). */
static double shown_stddev(const struct experiment_arm *arm)
{
    double mean, variance = 0;
    if (arm->n > 0)
        experiment_adjusted(arm, 0, &mean, &variance);
    return sqrt(variance);
}

static void arm_interval(const struct plan *plan, const struct experiment_arm *arm, double stddev,
                         double *ret_low, double *ret_high)
{
    double mean = shown_mean(arm), alpha = plan->options->alpha;
    *ret_low = *ret_high = NAN;
    if (plan->input.shape.proportion && !plan->input.shape.ratio && arm->n > 0) {
        experiment_proportion_interval(plan->interval, round(arm->mean[0] * arm->n), arm->n, alpha,
                                       ret_low, ret_high);
    } else if (arm->n > 1) {
        double half = -distribution_t_quantile(alpha / 2, arm->n - 1) * stddev / sqrt(arm->n);
        *ret_low = mean - half, *ret_high = mean + half;
    }
}

/* Normal with the arm's (adjusted) mean and its error; NAN where it is too small to have a spread.
 */
static struct experiment_belief normal_belief(const struct experiment_arm *arm, double theta)
{
    double mean = NAN, variance = NAN;
    if (arm->n >= 2)
        experiment_adjusted(arm, theta, &mean, &variance);
    return (struct experiment_belief){false, mean, sqrt(variance / arm->n)};
}

static void best_find(const struct plan *plan, double *ret_best)
{
    const struct experiment_input *input = &plan->input;
    const struct experiment_shape *shape = &input->shape;
    struct experiment_belief *beliefs = mem_zero(input->count * sizeof *beliefs);
    const struct experiment_arm **all = mem_zero(input->count * sizeof *all);
    bool inverse = plan->options->inverse, possible = true;
    for (size_t i = 0; i < input->count; i++)
        all[i] = &input->arms[i];
    double theta = experiment_theta(all, input->count, shape);
    for (size_t i = 0; i < input->count; i++) {
        double hits = round(all[i]->mean[0] * all[i]->n), misses = all[i]->n - hits;
        if (shape->proportion && !shape->ratio && !shape->cuped) {
            beliefs[i] = (struct experiment_belief){true, 1 + (inverse ? misses : hits),
                                                    1 + (inverse ? hits : misses)};
        } else {
            beliefs[i] = normal_belief(all[i], theta);
            beliefs[i].a *= inverse ? -1 : 1;
        }
        possible = possible && isfinite(beliefs[i].a) && isfinite(beliefs[i].b);
    }
    if (possible)
        experiment_best_arm(beliefs, input->count, ret_best);
    for (size_t i = 0; i < input->count && !possible; i++)
        ret_best[i] = NAN;
    free(all);
    free(beliefs);
}

static void put_arms(const struct plan *plan, double units, struct buf *json)
{
    const struct experiment_input *input = &plan->input;
    double *best = mem_zero(input->count * sizeof *best), weight = 0;
    for (size_t i = 0; i < input->count; i++)
        weight += plan->weights[i];
    best_find(plan, best);
    json_put_name(json, "arms");
    buf_char(json, '[');
    for (size_t i = 0; i < input->count; i++) {
        const struct experiment_arm *arm = &input->arms[i];
        double low, high, stddev = shown_stddev(arm);
        arm_interval(plan, arm, stddev, &low, &high);
        json_put_comma(json);
        buf_char(json, '{');
        json_put_name(json, "variation");
        json_put_lossy(json, input->names[i]);
        json_put_member_number(json, "n", arm->n);
        json_put_member_number(json, "mean", shown_mean(arm));
        json_put_member_number(json, "stddev", stddev);
        json_put_member_number(json, "low", low);
        json_put_member_number(json, "high", high);
        json_put_member_number(json, "share", arm->n / units);
        json_put_member_number(json, "expected_share", plan->weights[i] / weight);
        json_put_member_number(json, "best_arm_probability", best[i]);
        buf_char(json, '}');
    }
    buf_char(json, ']');
    free(best);
}

static void put_head(const struct plan *plan, double units, struct buf *json)
{
    const struct experiment_shape *shape = &plan->input.shape;
    double chi_square, p;
    json_put_member_str(json, "report", STR("experiment"));
    json_put_member_str(json, "method", str_of(method_names[plan->method]));
    json_put_member_str(json, "mode", plan->options->absolute ? STR("absolute") : STR("relative"));
    json_put_member_str(json, "kind",
                        shape->ratio        ? STR("ratio")
                        : shape->proportion ? STR("proportion")
                                            : STR("mean"));
    if (plan->method != METHOD_BAYES) {
        json_put_member_str(json, "side", str_of(side_names[plan->test.side]));
        json_put_member_str(json, "correction", str_of(correction_names[plan->correction]));
    }
    json_put_member_number(json, "alpha", plan->options->alpha);
    json_put_name(json, "control");
    json_put_lossy(json, plan->input.names[plan->control]);
    json_put_member_number(json, "units", units);
    p = experiment_srm(plan->sizes, plan->weights, plan->input.count, &chi_square);
    json_put_member_number(json, "srm_chi_square", chi_square);
    json_put_member_number(json, "srm_p_value", p);
    json_put_member_bool(json, "srm_mismatch", p < SRM_MISMATCH_P);
}

static void report_write(const struct plan *plan, int64_t start_us, struct buf *json)
{
    double units = 0;
    for (size_t i = 0; i < plan->input.count; i++)
        units += plan->sizes[i] = plan->input.arms[i].n;
    buf_char(json, '{');
    put_head(plan, units, json);
    put_rows(plan, json);
    put_arms(plan, units, json);
    json_put_name(json, "left_out");
    buf_char(json, '[');
    if (plan->input.no_variation > 0) {
        buf_char(json, '{');
        json_put_member_str(json, "reason", STR("no_variation"));
        json_put_member_uint(json, "rows", plan->input.no_variation);
        buf_char(json, '}');
    }
    buf_char(json, ']');
    json_put_member_number(json, "seconds", (double)(monotonic_us() - start_us) / 1e6);
    buf_char(json, '}');
}

enum status experiment_report(const struct experiment_report_options *options, struct buf *json,
                              struct err *err)
{
    struct plan plan = {.options = options};
    int64_t start_us = monotonic_us();
    enum status status = words_read(&plan, err);
    if (status == ST_OK)
        status = numbers_check(&plan, err);
    if (status != ST_OK)
        return status;
    experiment_input_init(&plan.input);
    plan.weights = mem_zero(EXPERIMENT_ARMS_MAX * sizeof *plan.weights);
    plan.sizes = mem_zero(EXPERIMENT_ARMS_MAX * sizeof *plan.sizes);
    status = experiment_input_read(options, &plan.input, err);
    if (status == ST_OK)
        status = method_check(&plan, err);
    if (status == ST_OK)
        status = control_find(&plan, err);
    if (status == ST_OK)
        status = weights_read(&plan, err);
    if (status == ST_OK)
        report_write(&plan, start_us, json);
    free(plan.sizes);
    free(plan.weights);
    experiment_input_done(&plan.input);
    return status;
}
