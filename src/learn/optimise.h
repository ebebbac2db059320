/* optimise.h - the maximum of a log-likelihood of few positive parameters, by Newton's method.
 *
 * Deterministic: the same function and start give the same digits. Pure. Called by: this module. */
#ifndef LEARN_OPTIMISE_H
#define LEARN_OPTIMISE_H

#include <stddef.h>

#define OPTIMISE_PARAMETERS_MAX 4

/* The value at `parameters` (all > 0), with the gradient and Hessian there (both come as zeros).
 * Not finite where it cannot be computed: the search then turns back. */
typedef double optimise_function(const void *context, const double *parameters, double *gradient,
                                 double (*hessian)[OPTIMISE_PARAMETERS_MAX]);

enum optimise_end {
    OPTIMISE_CONVERGED, /* zero gradient, negative definite Hessian */
    OPTIMISE_RUNAWAY,   /* a parameter went beyond e^±OPTIMISE_LOG_MAX and the value still grew */
    OPTIMISE_FLAT,      /* the Hessian does not fix a parameter: its logarithm has a standard error
                         * above OPTIMISE_ERROR_MAX */
    OPTIMISE_STUCK,     /* no step grew the value, or too many of them */
};
#define OPTIMISE_LOG_MAX 18.0
#define OPTIMISE_ERROR_MAX 10.0

struct optimise_result {
    enum optimise_end end;
    size_t culprit; /* the parameter that ran away or is flat */
    double parameters[OPTIMISE_PARAMETERS_MAX];
    double value;
    /* Of the parameters themselves: the inverse of minus the Hessian. */
    double covariance[OPTIMISE_PARAMETERS_MAX][OPTIMISE_PARAMETERS_MAX];
    double gradient; /* the largest |derivative by a parameter's logarithm| */
    int iterations;
};

/* From `start` uphill; every field of the result is set whatever the end. */
void optimise_maximise(optimise_function *function, const void *context, size_t count,
                       const double *start, struct optimise_result *ret_result);
#endif
