/* optimise.c - the maximum of a log-likelihood of few positive parameters, by Newton's method.
 *
 * The search goes over the logarithms of the parameters, so they stay positive and a step is a
 * ratio. Where the surface is not a dome the Hessian gets a ridge on its diagonal until it is one
 * (Levenberg), steps are at most LOG_STEP_MAX, and halved until the value grows (Armijo). Close to
 * the top that is plain Newton: five digits become ten become all. The end is declared by what
 * Newton promises (half the decrement, in units of the log-likelihood), not by small steps: small
 * steps also happen in a valley.
 *
 * Why not simplex or BFGS, as the reference programs do? The Hessian is needed for the standard
 * errors anyway, it comes almost free with the gradient here, and their ends depend on the start in
 * the fourth digit. */
#include "learn/optimise.h"

#include <math.h>
#include <stdbool.h>

#define ITERATIONS_MAX 200
#define LOG_STEP_MAX 1.5
#define DECREMENT_END 1e-13
#define ARMIJO 1e-4

#define N OPTIMISE_PARAMETERS_MAX

/* A point, its value and derivatives by the logarithms. `h` is minus the Hessian. */
struct point {
    double at[N];
    double value;
    double g[N];
    double h[N][N];
};

static void point_at(optimise_function *function, const void *context, size_t count,
                     const double *at, struct point *ret)
{
    double parameters[N] = {0};
    double g[N] = {0};
    double h[N][N] = {0};
    for (size_t i = 0; i < count; i++)
        parameters[i] = exp(at[i]);
    ret->value = function(context, parameters, g, h);
    for (size_t i = 0; i < count; i++) {
        ret->at[i] = at[i];
        ret->g[i] = parameters[i] * g[i];
        for (size_t j = 0; j < count; j++)
            ret->h[i][j] = -parameters[i] * parameters[j] * h[i][j];
        ret->h[i][i] -= ret->g[i];
    }
}

/* L with L Lᵀ = h + ridge; false when that is not positive definite. */
static bool cholesky(size_t count, const double h[N][N], const double *ridge, double l[N][N])
{
    for (size_t i = 0; i < count; i++)
        for (size_t j = 0; j <= i; j++) {
            double sum = h[i][j] + (i == j ? ridge[i] : 0);
            for (size_t k = 0; k < j; k++)
                sum -= l[i][k] * l[j][k];
            if (i == j && !(sum > 0))
                return false;
            l[i][j] = i == j ? sqrt(sum) : sum / l[j][j];
        }
    return true;
}

static void solve(size_t count, const double l[N][N], const double *right, double *ret)
{
    for (size_t i = 0; i < count; i++) {
        double sum = right[i];
        for (size_t k = 0; k < i; k++)
            sum -= l[i][k] * ret[k];
        ret[i] = sum / l[i][i];
    }
    for (size_t i = count; i-- > 0;) {
        double sum = ret[i];
        for (size_t k = i + 1; k < count; k++)
            sum -= l[k][i] * ret[k];
        ret[i] = sum / l[i][i];
    }
}

/* The step to try; true when it is Newton's own, without a ridge. */
static bool step_from(size_t count, const struct point *point, double *ret_step)
{
    double ridge[N] = {0};
    double l[N][N];
    bool dome = cholesky(count, point->h, ridge, l);
    bool found = dome;
    for (double factor = 1e-3; !found && factor < 1e12; factor *= 10) {
        for (size_t i = 0; i < count; i++)
            ridge[i] = factor * (fabs(point->h[i][i]) + fabs(point->g[i]) + 1e-12);
        found = cholesky(count, point->h, ridge, l);
    }
    for (size_t i = 0; i < count; i++)
        ret_step[i] = 0;
    if (found)
        solve(count, l, point->g, ret_step);
    double longest = 0;
    for (size_t i = 0; i < count; i++)
        longest = fmax(longest, fabs(ret_step[i]));
    for (size_t i = 0; i < count && longest > LOG_STEP_MAX; i++)
        ret_step[i] *= LOG_STEP_MAX / longest;
    return dome;
}

/* The point at the end of the step, halved until it is higher; false when none is. */
static bool climb(optimise_function *function, const void *context, size_t count,
                  struct point *point, const double *step)
{
    double slope = 0;
    for (size_t i = 0; i < count; i++)
        slope += point->g[i] * step[i];
    for (double length = 1; length > 1e-9; length /= 2) {
        double at[N] = {0};
        struct point next;
        for (size_t i = 0; i < count; i++)
            at[i] = point->at[i] + length * step[i];
        point_at(function, context, count, at, &next);
        if (isfinite(next.value) && next.value >= point->value + ARMIJO * length * slope) {
            *point = next;
            return true;
        }
    }
    return false;
}

static double decrement(size_t count, const struct point *point, const double *step)
{
    double sum = 0;
    for (size_t i = 0; i < count; i++)
        sum += point->g[i] * step[i];
    return sum / 2;
}

static bool away(size_t count, const struct point *point, size_t *ret_culprit)
{
    for (size_t i = 0; i < count; i++)
        if (fabs(point->at[i]) > OPTIMISE_LOG_MAX) {
            *ret_culprit = i;
            return true;
        }
    return false;
}

/* Fill the result from the last point; a dome that is flat along a parameter is no maximum. */
static void finish(size_t count, const struct point *point, struct optimise_result *result)
{
    const double none[N] = {0};
    double l[N][N];
    result->value = point->value;
    result->gradient = 0;
    for (size_t i = 0; i < count; i++) {
        result->parameters[i] = exp(point->at[i]);
        result->gradient = fmax(result->gradient, fabs(point->g[i]));
    }
    bool dome = cholesky(count, point->h, none, l);
    double worst = 0;
    for (size_t i = 0; i < count; i++) {
        double unit[N] = {0};
        double column[N] = {0};
        unit[i] = 1;
        if (dome)
            solve(count, l, unit, column);
        for (size_t j = 0; j < count; j++)
            result->covariance[i][j] =
                dome ? column[j] * result->parameters[i] * result->parameters[j] : NAN;
        if (dome && column[i] > worst) {
            worst = column[i];
            if (result->end == OPTIMISE_CONVERGED)
                result->culprit = i;
        }
    }
    if (result->end == OPTIMISE_CONVERGED && sqrt(worst) > OPTIMISE_ERROR_MAX)
        result->end = OPTIMISE_FLAT;
}

void optimise_maximise(optimise_function *function, const void *context, size_t count,
                       const double *start, struct optimise_result *ret_result)
{
    struct point point;
    double at[N] = {0};
    *ret_result = (struct optimise_result){.end = OPTIMISE_STUCK};
    for (size_t i = 0; i < count; i++)
        at[i] = log(start[i]);
    point_at(function, context, count, at, &point);
    while (isfinite(point.value) && ret_result->iterations++ < ITERATIONS_MAX) {
        double step[N];
        bool dome = step_from(count, &point, step);
        bool close = dome && decrement(count, &point, step) < DECREMENT_END;
        bool higher = climb(function, context, count, &point, step); /* once more when close */
        if (close) {
            ret_result->end = OPTIMISE_CONVERGED;
            break;
        }
        if (away(count, &point, &ret_result->culprit)) {
            ret_result->end = OPTIMISE_RUNAWAY;
            break;
        }
        if (!higher) {
            /* The value has no more digits to grow by: the top, if Newton promises next to
             * nothing. */
            if (dome && decrement(count, &point, step) < 1e-9)
                ret_result->end = OPTIMISE_CONVERGED;
            break;
        }
    }
    finish(count, &point, ret_result);
}
