/* clv_report.c - `hezou report clv`: fit, then every customer's future, best first.
 *
 * The model of purchases gives life and number of purchases, gamma-gamma (where there are amounts)
 * what one is worth; value is their product, which is right as long as how often and how much do
 * not depend on each other (the assumption of Fader, Hardie & Lee 2005). Where gamma-gamma has no
 * maximum the purchases are still reported, and `spend_note` says why there is no money. */
#include "learn/clv_report.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/when.h"
#include "learn/clv_report_int.h"

#define WEEKS_PER_YEAR 52.0 /* as the sources count */
#define HORIZON_MAX 100000.0

/* --- pieces of the object --------------------------------------------------------------------- */

void clv_put_parameters(struct buf *json, const struct clv_fit *fit)
{
    for (size_t i = 0; i < clv_parameters_count(fit->model); i++) {
        json_put_comma(json);
        buf_char(json, '{');
        json_put_member_str(json, "model", str_of(clv_model_name(fit->model)));
        json_put_member_str(json, "parameter", str_of(clv_parameter_name(fit->model, i)));
        json_put_member_number(json, "estimate", fit->parameters[i]);
        json_put_member_number(json, "standard_error", fit->errors[i]);
        buf_char(json, '}');
    }
}

void clv_put_fit(struct buf *json, const struct clv_fit *fit)
{
    json_put_member_number(json, "log_likelihood", fit->log_likelihood);
    json_put_member_bool(json, "converged", true); /* else there is an error, and no report */
    json_put_member_int(json, "iterations", fit->iterations);
    json_put_member_int(json, "starts", fit->starts);
    json_put_member_int(json, "starts_agreed", fit->agreed);
    json_put_member_number(json, "gradient", fit->gradient);
}

static void put_day(struct buf *json, const char *name, int32_t day)
{
    int y, m, d;
    char text[40];
    when_civil(day, &y, &m, &d);
    snprintf(text, sizeof text, "%04d-%02d-%02d", y, m, d);
    json_put_member_str(json, name, str_of(text));
}

static void put_left_out(struct buf *json, const struct clv_people *people)
{
    static const char *const reasons[CLV_LEFT_COUNT] = {[CLV_LEFT_NO_CUSTOMER] = "no_customer",
                                                        [CLV_LEFT_NEGATIVE] = "negative_amount",
                                                        [CLV_LEFT_FUTURE] = "future_date",
                                                        [CLV_LEFT_LATE] =
                                                            "first_purchase_after_calibration"};
    json_put_name(json, "left_out");
    buf_char(json, '[');
    for (int i = 0; i < CLV_LEFT_COUNT; i++) {
        if (people->left[i] == 0)
            continue;
        json_put_comma(json);
        buf_char(json, '{');
        json_put_member_str(json, "reason", str_of(reasons[i]));
        json_put_member_uint(json, i < CLV_LEFT_LATE ? "rows" : "customers", people->left[i]);
        buf_char(json, '}');
    }
    buf_char(json, ']');
}

/* --- the customers ---------------------------------------------------------------------------- */

struct models {
    struct clv_fit fit;   /* of purchases, or gamma-gamma alone */
    struct clv_fit spend; /* when `money` */
    bool money;
    double fit_seconds; /* of both, with their standard errors */
    double horizon;
    double rate; /* of discount, per unit of time */
};

static int by_future(const void *a, const void *b)
{
    const struct clv_person *p = a, *q = b;
    if (p->value.repeats != q->value.repeats)
        return p->value.repeats < q->value.repeats ? -1 : 1;
    if (p->value.age != q->value.age)
        return p->value.age < q->value.age ? -1 : 1;
    return (p->ahead > q->ahead) - (p->ahead < q->ahead);
}

static double worth(const struct clv_person *person)
{
    double value = person->discounted * person->spend;
    return isfinite(value) ? value : INFINITY;
}

static int by_worth(const void *a, const void *b)
{
    const struct clv_person *p = a, *q = b;
    if (worth(p) != worth(q))
        return worth(p) > worth(q) ? -1 : 1;
    return (p->order > q->order) - (p->order < q->order);
}

/* The future given alive depends on repeats and age only: computed once for each pair. */
static void people_judge(struct clv_people *people, const struct models *models)
{
    const struct clv_fit *fit = &models->fit;
    double expected = 0, discounted = 0, holdout = 0;
    qsort(people->list, people->count, sizeof *people->list, by_future);
    for (size_t i = 0; i < people->count; i++) {
        struct clv_person *person = &people->list[i];
        const struct clv_customer *value = &person->value;
        if (i == 0 || by_future(person - 1, person) != 0) {
            expected = clv_expected_alive(fit, value, models->horizon);
            discounted = clv_discounted_alive(fit, value, models->rate);
            holdout = person->ahead > 0 ? clv_expected_alive(fit, value, person->ahead) : 0;
        }
        person->alive = clv_alive(fit, value);
        person->expected = person->alive * expected;
        person->discounted = person->alive * discounted;
        person->holdout_expected = person->alive * holdout;
        person->spend = models->money ? clv_spend(&models->spend, value->repeats, value->spend) : 1;
    }
    qsort(people->list, people->count, sizeof *people->list, by_worth);
}

static void spenders_judge(struct clv_people *people, const struct clv_fit *fit)
{
    for (size_t i = 0; i < people->count; i++) {
        struct clv_person *person = &people->list[i];
        person->spend = clv_spend(fit, person->value.repeats, person->value.spend);
        person->discounted = 1;
    }
    qsort(people->list, people->count, sizeof *people->list, by_worth);
}

static void put_person(struct buf *json, const struct clv_people *people,
                       const struct clv_person *person, const struct models *models)
{
    const struct clv_customer *value = &person->value;
    bool purchases = models->fit.model != CLV_GAMMAGAMMA;
    json_put_comma(json);
    buf_char(json, '{');
    if (person->name.n > 0) {
        json_put_name(json, "customer");
        json_put_lossy(json, person->name);
    }
    if (value->weight != 1 || person->name.n == 0)
        json_put_member_number(json, "customers", value->weight);
    json_put_member_number(json, "repeats", value->repeats);
    if (purchases) {
        json_put_member_number(json, "recency", value->recency);
        json_put_member_number(json, "age", value->age);
        json_put_member_number(json, "alive", person->alive);
        json_put_member_number(json, "expected_purchases", person->expected);
        json_put_member_number(json, "discounted_purchases", person->discounted);
    }
    if (models->money) {
        json_put_member_number(json, "mean_spend", value->spend);
        json_put_member_number(json, "expected_spend", person->spend);
    }
    if (models->money && purchases) {
        json_put_member_number(json, "expected_value", person->expected * person->spend);
        json_put_member_number(json, "discounted_value", person->discounted * person->spend);
    }
    if (person->ahead > 0 && people->dated && purchases)
        json_put_member_number(json, "holdout_purchases", person->holdout);
    buf_char(json, '}');
}

static void put_rows(struct buf *json, const struct clv_people *people, const struct models *models)
{
    bool purchases = models->fit.model != CLV_GAMMAGAMMA;
    json_put_member_str(json, "bars",
                        !purchases      ? STR("expected_spend")
                        : models->money ? STR("discounted_value")
                                        : STR("discounted_purchases"));
    json_put_name(json, "rows");
    buf_char(json, '[');
    for (size_t i = 0; i < people->count; i++)
        put_person(json, people, &people->list[i], models);
    buf_char(json, ']');
    json_put_name(json, "parameters");
    buf_char(json, '[');
    clv_put_parameters(json, &models->fit);
    if (models->money && purchases)
        clv_put_parameters(json, &models->spend);
    buf_char(json, ']');
}

static void put_totals(struct buf *json, const struct clv_people *people,
                       const struct models *models)
{
    double customers = 0, back = 0, repeats = 0, alive = 0, expected = 0, value = 0;
    for (size_t i = 0; i < people->count; i++) {
        const struct clv_person *person = &people->list[i];
        double weight = person->value.weight;
        customers += weight;
        back += person->value.repeats > 0 ? weight : 0;
        repeats += weight * person->value.repeats;
        alive += weight * person->alive;
        expected += weight * person->expected;
        value += weight * person->discounted * person->spend;
    }
    json_put_member_number(json, "customers", customers);
    json_put_member_number(json, "repeat_customers", back);
    json_put_member_number(json, "repeat_purchases", repeats);
    if (models->fit.model == CLV_GAMMAGAMMA)
        return;
    json_put_member_number(json, "alive_customers", alive);
    json_put_member_number(json, "expected_purchases_all", expected);
    json_put_member_number(json, "expected_of_new",
                           clv_expected_new(&models->fit, models->horizon));
    if (models->money)
        json_put_member_number(json, "discounted_value_all", value);
}

/* --- the report ------------------------------------------------------------------------------- */

static enum status models_fit(const struct clv_people *people, enum clv_model model,
                              struct models *models, struct err *spend_err, struct err *err)
{
    struct clv_customer *customers = mem_alloc((people->count + 1) * sizeof *customers);
    for (size_t i = 0; i < people->count; i++)
        customers[i] = people->list[i].value;
    int64_t start_us = monotonic_us();
    enum status status = clv_fit(model, customers, people->count, &models->fit, err);
    if (status == ST_OK && model == CLV_GAMMAGAMMA)
        models->spend = models->fit;
    models->money = people->money;
    if (status == ST_OK && people->money && model != CLV_GAMMAGAMMA)
        models->money =
            clv_fit(CLV_GAMMAGAMMA, customers, people->count, &models->spend, spend_err) == ST_OK;
    models->fit_seconds = (double)(monotonic_us() - start_us) / 1e6;
    free(customers);
    return status;
}

static void put_settings(struct buf *json, const struct clv_report_options *options,
                         const struct clv_people *people, const struct models *models)
{
    bool purchases = models->fit.model != CLV_GAMMAGAMMA;
    json_put_member_str(json, "model", str_of(clv_model_name(models->fit.model)));
    if (people->dated) {
        put_day(json, "calibration_end", people->calibration_day);
        json_put_member_number(json, "holdout_weeks",
                               (double)(people->last_day - people->calibration_day) / 7);
    }
    if (purchases) {
        json_put_member_str(json, "unit",
                            models->fit.model == CLV_BGBB ? STR("period") : STR("week"));
        json_put_member_number(json, "horizon", models->horizon);
        json_put_member_number(json, "discount", options->discount);
    }
}

static void put_report(struct buf *json, const struct clv_report_options *options,
                       const struct clv_people *people, const struct models *models,
                       const struct err *spend_err, int64_t start_us)
{
    bool purchases = models->fit.model != CLV_GAMMAGAMMA;
    buf_char(json, '{');
    json_put_member_str(json, "report", STR("clv"));
    put_settings(json, options, people, models);
    put_totals(json, people, models);
    clv_put_fit(json, &models->fit);
    if (models->money) {
        json_put_member_number(json, "spend_customers", models->spend.customers);
        json_put_member_number(json, "spend_log_likelihood", models->spend.log_likelihood);
    } else if (people->money) {
        json_put_member_str(json, "spend_note", str_of(spend_err->message));
    }
    put_rows(json, people, models);
    if (purchases) {
        clv_put_frequency(json, people, &models->fit);
        clv_put_tracking(json, people, &models->fit, models->horizon);
    }
    put_left_out(json, people);
    json_put_member_number(json, "fit_seconds", models->fit_seconds);
    json_put_member_number(json, "seconds", (double)(monotonic_us() - start_us) / 1e6);
    buf_char(json, '}');
}

static enum status options_check(const struct clv_report_options *options, enum clv_model *model,
                                 struct err *err)
{
    if (!clv_model_of(str_of(options->model), model)) {
        err_set(err, ST_INVALID, "\"%.40s\" is no model of customer value", options->model);
        return err_hint(err, ST_INVALID, "Models: bgnbd, mbgnbd, paretonbd, bgbb, gammagamma, sbg");
    }
    if (!(options->horizon >= 0) || options->horizon > HORIZON_MAX)
        return err_set(err, ST_INVALID, "the horizon %g is not between 0 and %g", options->horizon,
                       HORIZON_MAX);
    if (!(options->discount > 0) || options->discount > 10)
        return err_set(err, ST_INVALID,
                       "the yearly discount %g is not above 0 and at most 10 (0.1 is 10 %%)",
                       options->discount);
    if (options->period_us < US_PER_DAY || options->period_us % US_PER_DAY != 0 ||
        options->period_us > 10000 * US_PER_DAY)
        return err_set(err, ST_INVALID, "the period is not a whole number of days, 1 to 10,000");
    return ST_OK;
}

static void units_set(const struct clv_report_options *options, const struct clv_people *people,
                      struct models *models)
{
    double yearly = log1p(options->discount);
    double most = 0;
    for (size_t i = 0; i < people->count; i++)
        most = fmax(most, people->list[i].value.age);
    if (models->fit.model == CLV_BGBB) {
        models->rate = yearly * (double)(options->period_us / US_PER_DAY) / 365;
        models->horizon = options->horizon > 0 ? floor(options->horizon) : most;
    } else {
        models->rate = yearly / WEEKS_PER_YEAR;
        models->horizon = options->horizon > 0 ? options->horizon : WEEKS_PER_YEAR;
    }
}

enum status clv_report(const struct clv_report_options *options, struct buf *json, struct err *err)
{
    int64_t start_us = monotonic_us();
    enum clv_model model;
    struct models models = {0};
    struct err spend_err = {0};
    struct clv_people people;
    enum status status = options_check(options, &model, err);
    if (status != ST_OK)
        return status;
    if (model == CLV_SBG)
        return clv_put_sbg(json, options, err);
    status = clv_people_read(options, model, &people, err);
    if (status == ST_OK && model == CLV_GAMMAGAMMA && !people.money)
        status = err_set(err, ST_INVALID, "could not fit gammagamma: the file has no amounts");
    if (status == ST_OK)
        status = models_fit(&people, model, &models, &spend_err, err);
    if (status == ST_OK) {
        units_set(options, &people, &models);
        if (model == CLV_GAMMAGAMMA)
            spenders_judge(&people, &models.fit);
        else
            people_judge(&people, &models);
        put_report(json, options, &people, &models, &spend_err, start_us);
    }
    clv_people_done(&people);
    return status;
}
