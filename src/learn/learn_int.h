/* learn_int.h - what the files of learn share: tails of the beta, Gauss-Legendre nodes. */
#ifndef LEARN_LEARN_INT_H
#define LEARN_LEARN_INT_H

/* Beyond so many degrees of freedom t and normal differ by less than 1e-13 where p > 1e-40. */
#define T_IS_NORMAL_DF 1e17

struct learn_tails {
    double lower, upper;
};

/* Both tails of Beta(a, b) at x, with y = 1 - x given. */
struct learn_tails learn_beta_tails(double x, double y, double a, double b);
/* x^a y^b / B(a, b): the density of ln x/(1-x). */
double learn_beta_density_logit(double x, double y, double a, double b);

/* Nodes and weights of the Gauss-Legendre rule of `count` points on [-1, 1], ascending. */
void learn_gauss_legendre(int count, double *nodes, double *weights);
#endif
