/* power_report.c - sample size, power or least effect, and the looks of a group sequential design.
 *
 * With looks the sample size found for one look is multiplied by the boundary's inflation: what the
 * experiment takes at most if it is never stopped early. */
#include <math.h>

#include "base/clock.h"
#include "base/json.h"
#include "learn/experiment_int.h"
#include "learn/power.h"

static const char *const kind_names[] = {"t_test", "proportions", "arcsine"};
static const char *const boundary_names[] = {"pocock", "obrien-fleming"};

static enum status kind_read(const struct power_report_options *o, enum power_kind *ret_kind,
                             struct err *err)
{
    int kind = 0;
    enum status status = experiment_word("method", o->method, "t|proportions|arcsine", &kind, err);
    if (status != ST_OK)
        return status;
    if (o->method[0] == '\0' && !isnan(o->baseline))
        kind = POWER_PROPORTIONS;
    if (kind != POWER_T && isnan(o->baseline))
        return err_set(err, ST_INVALID, "--method %s needs --baseline", o->method);
    if (o->relative && !(kind != POWER_T || (!isnan(o->baseline) && o->baseline != 0)))
        return err_set(err, ST_INVALID, "--relative needs a --baseline other than 0");
    *ret_kind = (enum power_kind)kind;
    return ST_OK;
}

static enum status looks_check(const struct power_report_options *o, int *ret_boundary,
                               struct err *err)
{
    bool asked = o->looks > 0 || o->boundary[0] != '\0';
    enum status status =
        experiment_word("boundary", o->boundary, "pocock|obrien-fleming", ret_boundary, err);
    if (status != ST_OK)
        return status;
    if (asked && (o->looks < 1 || o->looks > POWER_LOOKS_MAX))
        return err_set(err, ST_INVALID, "--looks must lie between 1 and %d", POWER_LOOKS_MAX);
    if (asked && o->one_sided)
        return err_set(err, ST_INVALID, "--looks are two-sided: leave --one-sided out");
    if (asked && o->boundary[0] == '\0')
        *ret_boundary = POWER_OBRIEN_FLEMING;
    if (asked && !(o->alpha >= 1e-12))
        return err_set(err, ST_INVALID, "--alpha must be at least 1e-12 with --looks");
    return ST_OK;
}

static void put_looks(const struct power_look *looks, size_t count, struct buf *json)
{
    json_put_name(json, "rows");
    buf_char(json, '[');
    for (size_t k = 0; k < count; k++) {
        json_put_comma(json);
        buf_char(json, '{');
        json_put_member_uint(json, "look", k + 1);
        json_put_member_number(json, "share", ((double)k + 1) / (double)count);
        json_put_member_number(json, "z", looks[k].z);
        json_put_member_number(json, "nominal_p", looks[k].nominal_p);
        json_put_member_number(json, "alpha_spent", looks[k].spent);
        buf_char(json, '}');
    }
    buf_char(json, ']');
}

static void put_design(const struct power_report_options *o, const struct power_design *d,
                       struct buf *json)
{
    json_put_member_str(json, "report", STR("power"));
    json_put_member_str(json, "method", str_of(kind_names[d->kind]));
    json_put_member_str(json, "side", d->one_sided ? STR("greater") : STR("two-sided"));
    json_put_member_number(json, "alpha", d->alpha);
    if (d->kind == POWER_T)
        json_put_member_number(json, "stddev", d->stddev);
    if (!isnan(o->baseline))
        json_put_member_number(json, "baseline", o->baseline);
    json_put_member_number(json, "effect", d->effect);
    if (!isnan(o->baseline) && o->baseline != 0)
        json_put_member_number(json, "effect_relative", d->effect / fabs(o->baseline));
    json_put_member_number(json, "power", d->power);
    json_put_member_number(json, "n", d->n);
    json_put_member_number(json, "units_per_group", ceil(d->n));
    json_put_member_number(json, "units", 2 * ceil(d->n));
}

enum status power_report(const struct power_report_options *o, struct buf *json, struct err *err)
{
    int64_t start_us = monotonic_us();
    struct power_look looks[POWER_LOOKS_MAX];
    struct power_design design = {.n = o->n,
                                  .effect = o->effect,
                                  .power = o->power,
                                  .baseline = o->baseline,
                                  .stddev = o->stddev,
                                  .alpha = o->alpha,
                                  .one_sided = o->one_sided,
                                  .strict = o->strict};
    int boundary = 0;
    double inflation = 1;
    enum status status = kind_read(o, &design.kind, err);
    if (status == ST_OK)
        status = looks_check(o, &boundary, err);
    if (status != ST_OK)
        return status;
    if (o->relative)
        design.effect *= fabs(o->baseline);
    status = power_solve(&design, err);
    if (status != ST_OK)
        return status;
    bool in_steps = o->looks > 0;
    double power = fmin(1 - 1e-9, fmax(design.power, 1.01 * o->alpha));
    if (in_steps)
        power_group_sequential((enum power_boundary)boundary, (size_t)o->looks, o->alpha, power,
                               looks, &inflation);
    buf_char(json, '{');
    put_design(o, &design, json);
    if (in_steps) {
        json_put_member_str(json, "boundary", str_of(boundary_names[boundary]));
        json_put_member_number(json, "inflation", inflation);
        json_put_member_number(json, "n_max", design.n * inflation);
    }
    put_looks(looks, in_steps ? (size_t)o->looks : 0, json);
    json_put_member_raw(json, "left_out", STR("[]"));
    json_put_member_number(json, "seconds", (double)(monotonic_us() - start_us) / 1e6);
    buf_char(json, '}');
    return ST_OK;
}
