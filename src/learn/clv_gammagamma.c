/* clv_gammagamma.c - gamma-gamma: amounts of one customer are gamma-distributed around that
 * customer's own mean, and the means are inverse-gamma-distributed.
 *
 *   log f(z | x) = log Γ(px+q) - log Γ(px) - log Γ(q) + q log γ + (px-1) log z + px log x
 *                  - (px+q) log(γ + x z)
 *
 * Only customers with x > 0 and z > 0 say something. Their rows are sorted by x, so that the gamma
 * functions are computed once per distinct x. Expected mean amount: (γ + x z) p / (px + q - 1). */
#include "learn/clv_int.h"

#include <math.h>

enum { P, Q, G, COUNT };

/* What the rows of one x sum to. */
struct run {
    double weight;
    double log_z;
    double log_scale; /* log(γ + x z) */
    double rec;       /* 1/(γ + x z) */
    double rec2;
};

static double put_run(const double *p, double x, const struct run *run, double *g,
                      double (*h)[CLV_N])
{
    double n = run->weight;
    double px = p[P] * x, both = px + p[Q];
    double psi_both = special_digamma(both), psi_px = special_digamma(px);
    double tri_both = special_trigamma(both), tri_px = special_trigamma(px);
    g[P] += x * (n * (psi_both - psi_px + log(x)) + run->log_z - run->log_scale);
    g[Q] += n * (psi_both - special_digamma(p[Q]) + log(p[G])) - run->log_scale;
    g[G] += n * p[Q] / p[G] - both * run->rec;
    h[P][P] += n * x * x * (tri_both - tri_px);
    h[P][Q] += n * x * tri_both;
    h[P][G] -= x * run->rec;
    h[Q][Q] += n * (tri_both - special_trigamma(p[Q]));
    h[Q][G] += n / p[G] - run->rec;
    h[G][G] += both * run->rec2 - n * p[Q] / (p[G] * p[G]);
    return n * (special_log_gamma(both) - special_log_gamma(px) - special_log_gamma(p[Q]) +
                p[Q] * log(p[G]) + px * log(x)) +
           (px - 1) * run->log_z - both * run->log_scale;
}

double clv_gammagamma_likelihood(const void *context, const double *parameters, double *gradient,
                                 double (*hessian)[OPTIMISE_PARAMETERS_MAX])
{
    const struct clv_problem *problem = context;
    double value = 0;
    struct run run = {0};
    for (size_t i = 0; i < problem->rows_count; i++) {
        const struct clv_customer *row = &problem->rows[i];
        double scale = parameters[G] + row->repeats * row->spend;
        run.weight += row->weight;
        run.log_z += row->weight * log(row->spend);
        run.log_scale += row->weight * log(scale);
        run.rec += row->weight / scale;
        run.rec2 += row->weight / (scale * scale);
        if (i + 1 == problem->rows_count || row[1].repeats != row->repeats) {
            value += put_run(parameters, row->repeats, &run, gradient, hessian);
            run = (struct run){0};
        }
    }
    for (int i = 0; i < COUNT; i++)
        for (int j = 0; j < i; j++)
            hessian[i][j] = hessian[j][i];
    return value;
}

double clv_spend(const struct clv_fit *fit, double repeats, double spend)
{
    const double *p = fit->parameters;
    double known = repeats > 0 && spend > 0 ? repeats : 0;
    double below = p[P] * known + p[Q] - 1;
    if (!(below > 0))
        return INFINITY;
    return (p[G] + known * spend) * p[P] / below;
}
