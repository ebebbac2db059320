/* logistic.c - Newton's method on the penalised likelihood (logistic.h).
 *
 * Each step solves (X' W X + I / C) d = gradient by Cholesky. The matrix is positive definite: the
 * penalty sees to the weights, and W > 0 to the intercept. With the intercept's weight near 0 (all
 * chances at 0 or 1) a trace of the diagonal is added, which shortens the step and nothing else. */
#include "learn/logistic.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"

#define STEPS_MAX 100
#define HALVINGS_MAX 40
#define GRADIENT_SMALL 1e-8

struct fit {
    const double *points;
    const uint8_t *outcomes;
    const size_t *rows_used;
    size_t count, features, size; /* size = features + 1: the intercept is last */
    double penalty;               /* 1 / C */
    double *weights, *trial, *gradient, *hessian, *step;
};

static double linear(const double *weights, const double *point, size_t features)
{
    double sum = weights[features];
    for (size_t j = 0; j < features; j++)
        sum += weights[j] * point[j];
    return sum;
}

static double chance(double z)
{
    if (z >= 0)
        return 1 / (1 + exp(-z));
    double e = exp(z);
    return e / (1 + e);
}

double logistic_chance(const double *weights, const double *point, size_t features)
{
    return chance(linear(weights, point, features));
}

static size_t row_of(const struct fit *fit, size_t i)
{
    return fit->rows_used == NULL ? i : fit->rows_used[i];
}

/* log(1 + exp(z)) without overflow. */
static double softplus(double z)
{
    return z > 0 ? z + log1p(exp(-z)) : log1p(exp(z));
}

static double loss(const struct fit *fit, const double *weights)
{
    double sum = 0;
    for (size_t i = 0; i < fit->count; i++) {
        size_t row = row_of(fit, i);
        double z = linear(weights, fit->points + row * fit->features, fit->features);
        sum += softplus(fit->outcomes[row] ? -z : z);
    }
    for (size_t j = 0; j < fit->features; j++)
        sum += weights[j] * weights[j] * fit->penalty / 2;
    return sum;
}

/* Gradient, and the lower half of the Hessian, at the weights. Returns the gradient's largest. */
static double slopes(struct fit *fit)
{
    size_t features = fit->features, size = fit->size;
    memset(fit->gradient, 0, size * sizeof(double));
    memset(fit->hessian, 0, size * size * sizeof(double));
    for (size_t i = 0; i < fit->count; i++) {
        size_t row = row_of(fit, i);
        const double *x = fit->points + row * features;
        double p = chance(linear(fit->weights, x, features)), w = p * (1 - p);
        double gap = p - fit->outcomes[row];
        for (size_t a = 0; a < features; a++) {
            double wx = w * x[a];
            fit->gradient[a] += gap * x[a];
            for (size_t b = 0; b <= a && wx != 0; b++)
                fit->hessian[a * size + b] += wx * x[b];
            fit->hessian[features * size + a] += wx;
        }
        fit->gradient[features] += gap;
        fit->hessian[features * size + features] += w;
    }
    double most = 0;
    for (size_t a = 0; a < size; a++) {
        if (a < features) {
            fit->gradient[a] += fit->penalty * fit->weights[a];
            fit->hessian[a * size + a] += fit->penalty;
        }
        most = fabs(fit->gradient[a]) > most ? fabs(fit->gradient[a]) : most;
    }
    fit->hessian[features * size + features] += 1e-12 * (double)fit->count;
    return most;
}

/* Solve hessian · step = gradient in place; false when the matrix is not positive definite. */
static bool solve(struct fit *fit)
{
    size_t n = fit->size;
    double *m = fit->hessian, *x = fit->step;
    for (size_t i = 0; i < n; i++) {
        for (size_t j = 0; j <= i; j++) {
            double sum = m[i * n + j];
            for (size_t k = 0; k < j; k++)
                sum -= m[i * n + k] * m[j * n + k];
            if (i == j && !(sum > 0))
                return false;
            m[i * n + j] = i == j ? sqrt(sum) : sum / m[j * n + j];
        }
    }
    for (size_t i = 0; i < n; i++) {
        x[i] = fit->gradient[i];
        for (size_t k = 0; k < i; k++)
            x[i] -= m[i * n + k] * x[k];
        x[i] /= m[i * n + i];
    }
    for (size_t i = n; i-- > 0;) {
        for (size_t k = i + 1; k < n; k++)
            x[i] -= m[k * n + i] * x[k];
        x[i] /= m[i * n + i];
    }
    return true;
}

/* Walk along the step as far as it descends; false when it no longer does. */
static bool descend(struct fit *fit, double *loss_now)
{
    double length = 1;
    for (int i = 0; i < HALVINGS_MAX; i++, length /= 2) {
        for (size_t j = 0; j < fit->size; j++)
            fit->trial[j] = fit->weights[j] - length * fit->step[j];
        double after = loss(fit, fit->trial);
        if (!(after < *loss_now))
            continue;
        double *swap = fit->weights;
        fit->weights = fit->trial;
        fit->trial = swap;
        *loss_now = after;
        return true;
    }
    return false;
}

static enum status newton(struct fit *fit, struct err *err)
{
    double now = loss(fit, fit->weights), small = GRADIENT_SMALL * (double)fit->count;
    for (int i = 0; i < STEPS_MAX; i++) {
        double most = slopes(fit);
        if (most <= small)
            return ST_OK;
        if (!solve(fit))
            break;
        if (!descend(fit, &now)) /* down to the loss's last digit */
            return most <= small * 1e4 ? ST_OK
                                       : err_set(err, ST_INVALID,
                                                 "could not fit: the regression does not converge");
    }
    return err_set(err, ST_INVALID, "could not fit: the regression does not converge");
}

static enum status check(const struct fit *fit, struct err *err)
{
    size_t yes = 0;
    if (fit->features > LOGISTIC_FEATURES_MAX)
        return err_set(err, ST_TOO_LARGE, "could not fit: %zu features (limit %d)", fit->features,
                       LOGISTIC_FEATURES_MAX);
    for (size_t i = 0; i < fit->count; i++) {
        if (fit->outcomes[row_of(fit, i)] > 1)
            return err_set(err, ST_INVALID, "could not fit: an outcome is neither 0 nor 1");
        yes += fit->outcomes[row_of(fit, i)];
    }
    if (yes == 0 || yes == fit->count)
        return err_set(err, ST_INVALID, "could not fit: of %zu rows %s have the outcome",
                       fit->count, yes == 0 ? "none" : "all");
    return ST_OK;
}

enum status logistic_fit(const double *points, size_t features, const uint8_t *outcomes,
                         const size_t *rows_used, size_t count, double c, double *ret_weights,
                         struct err *err)
{
    struct fit fit = {.points = points,
                      .outcomes = outcomes,
                      .rows_used = rows_used,
                      .count = count,
                      .features = features,
                      .size = features + 1,
                      .penalty = 1 / c};
    enum status status = check(&fit, err);
    if (status != ST_OK)
        return status;
    fit.weights = mem_zero(fit.size * sizeof(double));
    fit.trial = mem_zero(fit.size * sizeof(double));
    fit.gradient = mem_zero(fit.size * sizeof(double));
    fit.step = mem_zero(fit.size * sizeof(double));
    fit.hessian = mem_zero(fit.size * fit.size * sizeof(double));
    status = newton(&fit, err);
    if (status == ST_OK)
        memcpy(ret_weights, fit.weights, fit.size * sizeof(double));
    free(fit.weights);
    free(fit.trial);
    free(fit.gradient);
    free(fit.step);
    free(fit.hessian);
    return status;
}
