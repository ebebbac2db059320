/* clv.c - the fit of any model of customer value, and the choice of the model's own functions.
 *
 * Equal customers are merged before the fit: days are whole, so thousands of customers are hundreds
 * of rows. The fit climbs from several starts that are scaled to the data (a purchase rate, an age)
 * and keeps the highest maximum, if it is one. A likelihood without a maximum is said to be that,
 * with the parameter that ran away: its numbers would look like an answer. */
#include "learn/clv_int.h"

#include <math.h>
#include <stdlib.h>

#include "base/arena.h"
#include "base/check.h"

static const struct {
    const char *name;
    size_t parameters_count;
    const char *parameters[CLV_PARAMETERS_MAX];
} models[CLV_MODELS] = {
    [CLV_BGNBD] = {"bgnbd", 4, {"r", "alpha", "a", "b"}},
    [CLV_MBGNBD] = {"mbgnbd", 4, {"r", "alpha", "a", "b"}},
    [CLV_PARETONBD] = {"paretonbd", 4, {"r", "alpha", "s", "beta"}},
    [CLV_BGBB] = {"bgbb", 4, {"alpha", "beta", "gamma", "delta"}},
    [CLV_GAMMAGAMMA] = {"gammagamma", 3, {"p", "q", "gamma"}},
    [CLV_SBG] = {"sbg", 2, {"alpha", "beta"}},
};

bool clv_model_of(struct str name, enum clv_model *ret_model)
{
    for (int i = 0; i < CLV_MODELS; i++)
        if (str_is(name, models[i].name)) {
            *ret_model = (enum clv_model)i;
            return true;
        }
    return false;
}

const char *clv_model_name(enum clv_model model)
{
    return models[model].name;
}

size_t clv_parameters_count(enum clv_model model)
{
    return models[model].parameters_count;
}

const char *clv_parameter_name(enum clv_model model, size_t i)
{
    return models[model].parameters[i];
}

const char *clv_customer_check(enum clv_model model, const struct clv_customer *customer)
{
    const struct clv_customer *c = customer;
    if (!(c->repeats >= 0) || c->repeats != floor(c->repeats))
        return "repeat purchases are no whole number";
    if (c->repeats > CLV_REPEATS_MAX)
        return "more than 1,000,000 repeat purchases";
    if (!isfinite(c->weight) || c->weight <= 0)
        return "the number of customers is not positive";
    if (!isfinite(c->spend) || c->spend < 0)
        return "the mean amount is negative";
    if (model == CLV_GAMMAGAMMA)
        return NULL;
    if (!isfinite(c->age) || c->age < 0)
        return "the age is negative";
    if (!(c->recency >= 0) || c->recency > c->age)
        return "the last purchase is after the end";
    if ((c->repeats > 0) != (c->recency > 0))
        return c->repeats > 0 ? "repeat purchases, but none after the first"
                              : "no repeat purchase, but a last one after the first";
    if (model == CLV_BGBB && (c->age != floor(c->age) || c->recency != floor(c->recency) ||
                              c->repeats > c->recency || c->age > CLV_REPEATS_MAX))
        return "no whole numbers with x <= t_x <= n, as bgbb needs";
    return NULL;
}

/* --- the problem ------------------------------------------------------------------------------ */

static int by_values(const void *a, const void *b)
{
    const struct clv_customer *p = a, *q = b;
    if (p->repeats != q->repeats)
        return p->repeats < q->repeats ? -1 : 1;
    if (p->recency != q->recency)
        return p->recency < q->recency ? -1 : 1;
    if (p->age != q->age)
        return p->age < q->age ? -1 : 1;
    return (p->spend > q->spend) - (p->spend < q->spend);
}

/* Sorted, equal rows merged; for gamma-gamma only those that say something of amounts. */
static struct clv_customer *rows_of(enum clv_model model, const struct clv_customer *customers,
                                    size_t count, size_t *ret_count)
{
    struct clv_customer *rows = mem_alloc((count + 1) * sizeof *rows);
    bool money = model == CLV_GAMMAGAMMA;
    size_t n = 0;
    for (size_t i = 0; i < count; i++) {
        rows[n] = customers[i];
        if (money)
            rows[n].recency = rows[n].age = 0;
        else
            rows[n].spend = 0;
        n += !money || (customers[i].repeats > 0 && customers[i].spend > 0);
    }
    qsort(rows, n, sizeof *rows, by_values);
    size_t kept = 0;
    for (size_t i = 0; i < n; i++)
        if (kept > 0 && by_values(&rows[kept - 1], &rows[i]) == 0)
            rows[kept - 1].weight += rows[i].weight;
        else
            rows[kept++] = rows[i];
    *ret_count = kept;
    return rows;
}

static void problem_init(struct clv_problem *problem, enum clv_model model,
                         const struct clv_customer *rows, size_t rows_count)
{
    *problem = (struct clv_problem){.model = model, .rows = rows, .rows_count = rows_count};
    for (size_t i = 0; i < rows_count; i++) {
        double most = model == CLV_BGBB ? rows[i].age : rows[i].repeats;
        problem->tables_max = (size_t)fmax((double)problem->tables_max, most + 1);
    }
    size_t places = problem->tables_max + 1;
    for (int i = 0; i < 6; i++) {
        double *block = mem_alloc(3 * places * sizeof *block);
        problem->rising[i] = (struct special_rising){block, block + places, block + 2 * places};
    }
}

static void problem_done(struct clv_problem *problem)
{
    for (int i = 0; i < 6; i++)
        free(problem->rising[i].log);
}

static optimise_function *function_of(enum clv_model model)
{
    switch (model) {
    case CLV_BGNBD:
    case CLV_MBGNBD:
        return clv_bgnbd_likelihood;
    case CLV_PARETONBD:
        return clv_pareto_likelihood;
    case CLV_BGBB:
        return clv_bgbb_likelihood;
    case CLV_GAMMAGAMMA:
        return clv_gammagamma_likelihood;
    case CLV_SBG:
    case CLV_MODELS:
        break;
    }
    CHECK(!"a model of customers");
    return NULL;
}

/* --- the fit ---------------------------------------------------------------------------------- */

#define STARTS 3

/* Weighted sums over the rows. */
struct totals {
    double customers;
    double repeats;
    double age;
    double amount; /* x z */
};

static struct totals totals_of(const struct clv_problem *problem)
{
    struct totals sum = {0};
    for (size_t i = 0; i < problem->rows_count; i++) {
        const struct clv_customer *row = &problem->rows[i];
        sum.customers += row->weight;
        sum.repeats += row->weight * row->repeats;
        sum.age += row->weight * row->age;
        sum.amount += row->weight * row->repeats * row->spend;
    }
    return sum;
}

/* Shapes are of the order of 1 in all published fits; scales follow from the data's own means. */
static void starts_of(enum clv_model model, const struct totals *sum,
                      double (*starts)[CLV_PARAMETERS_MAX])
{
    static const double shapes[STARTS][3] = {{0.5, 1, 2}, {1, 0.5, 3}, {2, 2, 1}};
    double gap = sum->age / fmax(sum->repeats, 1); /* weeks per repeat purchase */
    double age = sum->age / fmax(sum->customers, 1);
    for (int i = 0; i < STARTS; i++) {
        const double *shape = shapes[i];
        double *start = starts[i];
        switch (model) {
        case CLV_BGNBD:
        case CLV_MBGNBD:
            start[0] = shape[0];
            start[1] = shape[0] * gap;
            start[2] = shape[1];
            start[3] = shape[2];
            break;
        case CLV_PARETONBD:
            start[0] = shape[0];
            start[1] = shape[0] * gap;
            start[2] = shape[1];
            start[3] = shape[1] * age;
            break;
        case CLV_GAMMAGAMMA:
            start[0] = 3 * shape[0];
            start[1] = 1.5 + shape[1];
            start[2] = sum->amount / sum->repeats * (start[1] - 1) / start[0];
            break;
        case CLV_BGBB:
        case CLV_SBG:
        case CLV_MODELS:
            start[0] = shape[0];
            start[1] = shape[1];
            start[2] = 0.5;
            start[3] = shape[2];
            break;
        }
    }
}

static enum status no_maximum(enum clv_model model, const struct optimise_result *result,
                              struct err *err)
{
    const char *parameter = clv_parameter_name(model, result->culprit);
    double at = result->parameters[result->culprit];
    if (result->end == OPTIMISE_RUNAWAY)
        err_set(err, ST_INVALID,
                "could not fit %s: the likelihood has no maximum, it still grows with %s at %.3g "
                "(log-likelihood %.6f)",
                clv_model_name(model), parameter, at, result->value);
    else if (result->end == OPTIMISE_FLAT)
        err_set(err, ST_INVALID,
                "could not fit %s: the data do not fix %s, near %.3g the likelihood is flat",
                clv_model_name(model), parameter, at);
    else
        err_set(err, ST_INVALID, "could not fit %s: no convergence after %d steps (gradient %.2g)",
                clv_model_name(model), result->iterations, result->gradient);
    return err_hint(err, ST_INVALID,
                    "Take a longer calibration, more customers, or another model.");
}

enum status clv_fit_from(enum clv_model model, optimise_function *function, const void *context,
                         const double (*starts)[CLV_PARAMETERS_MAX], size_t starts_count,
                         struct clv_fit *ret_fit, struct err *err)
{
    size_t count = clv_parameters_count(model);
    struct optimise_result results[STARTS];
    CHECK(starts_count <= STARTS);
    size_t best = 0;
    for (size_t i = 0; i < starts_count; i++) {
        optimise_maximise(function, context, count, starts[i], &results[i]);
        bool better =
            isfinite(results[i].value) && !(results[i].value <= results[best].value + 1e-9);
        bool firmer = results[i].end == OPTIMISE_CONVERGED &&
                      results[best].end != OPTIMISE_CONVERGED &&
                      results[i].value > results[best].value - 1e-6;
        if (better || firmer)
            best = i;
    }
    const struct optimise_result *result = &results[best];
    if (result->end != OPTIMISE_CONVERGED)
        return no_maximum(model, result, err);
    ret_fit->model = model;
    ret_fit->log_likelihood = result->value;
    ret_fit->gradient = result->gradient;
    ret_fit->iterations = result->iterations;
    ret_fit->starts = (int)starts_count;
    ret_fit->agreed = 0;
    for (size_t i = 0; i < starts_count; i++)
        ret_fit->agreed +=
            results[i].end == OPTIMISE_CONVERGED && fabs(results[i].value - result->value) < 1e-6;
    for (size_t i = 0; i < count; i++) {
        ret_fit->parameters[i] = result->parameters[i];
        ret_fit->errors[i] = sqrt(result->covariance[i][i]);
        for (size_t j = 0; j < count; j++)
            ret_fit->covariance[i][j] = result->covariance[i][j];
    }
    return ST_OK;
}

enum status clv_fit(enum clv_model model, const struct clv_customer *customers,
                    size_t customers_count, struct clv_fit *ret_fit, struct err *err)
{
    size_t rows_count;
    struct clv_customer *rows = rows_of(model, customers, customers_count, &rows_count);
    struct clv_problem problem;
    problem_init(&problem, model, rows, rows_count);
    struct totals sum = totals_of(&problem);
    struct clv_fit fit = {.customers = sum.customers};
    enum status status;
    if (sum.customers < (double)clv_parameters_count(model)) {
        status = err_set(err, ST_INVALID, "could not fit %s: %.0f customers for %zu parameters%s",
                         clv_model_name(model), sum.customers, clv_parameters_count(model),
                         model == CLV_GAMMAGAMMA ? " (with repeat purchases and amounts)" : "");
    } else if (!(sum.repeats > 0)) {
        status = err_set(err, ST_INVALID, "could not fit %s: no customer has bought again",
                         clv_model_name(model));
    } else {
        double starts[STARTS][CLV_PARAMETERS_MAX] = {0};
        starts_of(model, &sum, starts);
        status = clv_fit_from(model, function_of(model), &problem,
                              (const double(*)[CLV_PARAMETERS_MAX])starts, STARTS, &fit, err);
    }
    problem_done(&problem);
    free(rows);
    if (status == ST_OK)
        *ret_fit = fit;
    return status;
}

double clv_log_likelihood(enum clv_model model, const double *parameters,
                          const struct clv_customer *customers, size_t customers_count)
{
    size_t rows_count;
    struct clv_customer *rows = rows_of(model, customers, customers_count, &rows_count);
    struct clv_problem problem;
    double gradient[CLV_N] = {0};
    double hessian[CLV_N][CLV_N] = {0};
    problem_init(&problem, model, rows, rows_count);
    double value = function_of(model)(&problem, parameters, gradient, hessian);
    problem_done(&problem);
    free(rows);
    return value;
}

/* --- one customer ----------------------------------------------------------------------------- */

double clv_log_ways(double r, size_t repeats)
{
    double x = (double)repeats;
    return special_log_gamma(r + x) - special_log_gamma(r) - special_log_gamma(x + 1);
}

double clv_log_nbd(double log_ways, double r, double alpha, double weeks, size_t repeats)
{
    if (!(weeks > 0))
        return repeats == 0 ? 0 : -INFINITY;
    return log_ways - r * log1p(weeks / alpha) -
           (repeats > 0 ? (double)repeats * log1p(alpha / weeks) : 0);
}

double clv_alive(const struct clv_fit *fit, const struct clv_customer *customer)
{
    if (fit->model == CLV_PARETONBD)
        return clv_pareto_alive(fit, customer);
    return fit->model == CLV_BGBB ? clv_bgbb_alive(fit, customer) : clv_bgnbd_alive(fit, customer);
}

double clv_expected_alive(const struct clv_fit *fit, const struct clv_customer *customer,
                          double weeks)
{
    if (fit->model == CLV_PARETONBD)
        return clv_pareto_expected(fit, customer, weeks);
    return fit->model == CLV_BGBB ? clv_bgbb_expected(fit, customer, weeks)
                                  : clv_bgnbd_expected(fit, customer, weeks);
}

double clv_expected(const struct clv_fit *fit, const struct clv_customer *customer, double weeks)
{
    return clv_alive(fit, customer) * clv_expected_alive(fit, customer, weeks);
}

double clv_expected_new(const struct clv_fit *fit, double weeks)
{
    const struct clv_customer fresh = {.weight = 1};
    return clv_expected(fit, &fresh, weeks);
}

double clv_discounted_alive(const struct clv_fit *fit, const struct clv_customer *customer,
                            double rate)
{
    if (fit->model == CLV_PARETONBD)
        return clv_pareto_discounted(fit, customer, rate);
    return fit->model == CLV_BGBB ? clv_bgbb_discounted(fit, customer, rate)
                                  : clv_bgnbd_discounted(fit, customer, rate);
}

double clv_discounted(const struct clv_fit *fit, const struct clv_customer *customer, double rate)
{
    return clv_alive(fit, customer) * clv_discounted_alive(fit, customer, rate);
}

double clv_probability(const struct clv_fit *fit, double weeks, size_t repeats)
{
    if (fit->model == CLV_PARETONBD)
        return clv_pareto_probability(fit, weeks, repeats);
    return fit->model == CLV_BGBB ? clv_bgbb_probability(fit, weeks, repeats)
                                  : clv_bgnbd_probability(fit, weeks, repeats);
}
