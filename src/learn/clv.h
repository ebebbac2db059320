/* clv.h - what customers will still do: purchases, life, spend and their present value, by six
 * published models.
 *
 * Time is counted in weeks = days / 7 since a customer's first purchase (BG/BB: in opportunities to
 * buy; sBG: in renewal periods). The first purchase itself is never counted. Sources:
 *   BG/NBD      Fader, Hardie & Lee (2005), Marketing Science 24(2): eq. 6 (likelihood), 8, 10
 *   MBG/NBD     Batislam, Denizel & Filiztekin (2007), IJRM 24(3); = CBG/NBD of Hoppe & Wagner
 * (2007): BG/NBD in which a customer may also leave right after the first purchase Pareto/NBD
 * Schmittlein, Morrison & Colombo (1987); Fader & Hardie (2005), note 009; pmf: note 012
 *   gamma-gamma Fader & Hardie (2013), note 025, eq. 1a and 5; spend is the mean per repeat
 * purchase sBG         Fader & Hardie (2007), J. Interactive Marketing 21(1) BG/BB       Fader,
 * Hardie & Shang (2010), Marketing Science 29(6): eq. 5, 7, 8, 11, 13, 14 Where a paper has a
 * difference of hypergeometric functions, the integral is taken from which the paper derived it:
 * equal, and without cancellation (special.c). Reference programs for the figures: CLVTools, BTYD,
 * lifetimes, BTYDplus.
 *
 * Everything here is pure and safe from any thread. Depends on: base. Called by: learn's report;
 * meant for traits too. */
#ifndef LEARN_CLV_H
#define LEARN_CLV_H

#include <stdbool.h>
#include <stddef.h>

#include "base/status.h"
#include "base/str.h"

enum clv_model {
    CLV_BGNBD,      /* r, alpha, a, b */
    CLV_MBGNBD,     /* r, alpha, a, b */
    CLV_PARETONBD,  /* r, alpha, s, beta */
    CLV_BGBB,       /* alpha, beta, gamma, delta */
    CLV_GAMMAGAMMA, /* p, q, gamma */
    CLV_SBG,        /* alpha, beta */
    CLV_MODELS,
};
#define CLV_PARAMETERS_MAX 4
#define CLV_REPEATS_MAX 1000000 /* of one customer: more is a machine, and tables grow with it */

/* One customer, or `weight` equal ones. */
struct clv_customer {
    double repeats; /* x: purchases after the first */
    double recency; /* t_x: from the first purchase to the last; 0 without repeats */
    double age;     /* T: from the first purchase to the end of the calibration; BG/BB: n */
    double spend;   /* z: mean amount of the repeat purchases; gamma-gamma only */
    double weight;
};

struct clv_fit {
    enum clv_model model;
    double parameters[CLV_PARAMETERS_MAX];
    /* Standard errors: roots of the diagonal of the inverse of minus the Hessian, which at the
     * maximum is the same on the parameters' scale and, by the delta method, on their logarithms'.
     */
    double errors[CLV_PARAMETERS_MAX];
    double covariance[CLV_PARAMETERS_MAX][CLV_PARAMETERS_MAX];
    double log_likelihood; /* without the constants that the sources leave out: see each file */
    double customers;      /* the weight that was fitted */
    double gradient;       /* the largest |d log-likelihood / d log parameter| left */
    int iterations;        /* of the best start */
    int starts;            /* how many were tried, */
    int agreed;            /* and how many ended in the same maximum */
};

/* "bgnbd", "mbgnbd", "paretonbd", "bgbb", "gammagamma", "sbg"; false for another word. */
bool clv_model_of(struct str name, enum clv_model *ret_model);
const char *clv_model_name(enum clv_model model);
size_t clv_parameters_count(enum clv_model model);
const char *clv_parameter_name(enum clv_model model, size_t i);

/* Maximum likelihood. Any model but sBG; gamma-gamma leaves out who has repeats 0 or spend <= 0
 * (`customers` of the fit says how many stayed). ST_INVALID: fewer customers than parameters, no
 * repeat purchase at all, or a likelihood without a maximum (which parameter, and where it went).
 * Values must be clv_customer_check'ed. */
MUST_USE enum status clv_fit(enum clv_model model, const struct clv_customer *customers,
                             size_t customers_count, struct clv_fit *ret_fit, struct err *err);
/* What is impossible in this customer, in words; NULL when nothing is. */
const char *clv_customer_check(enum clv_model model, const struct clv_customer *customer);
/* At given parameters; for tests and comparisons. */
double clv_log_likelihood(enum clv_model model, const double *parameters,
                          const struct clv_customer *customers, size_t customers_count);

/* --- the purchase models: BG/NBD, MBG/NBD, Pareto/NBD, BG/BB ---------------------------------- */

/* The probability that the customer has not left: at `age`; BG/BB: at opportunity n + 1. */
double clv_alive(const struct clv_fit *fit, const struct clv_customer *customer);
/* Purchases expected in the next `weeks` (BG/BB: opportunities, rounded down). */
double clv_expected(const struct clv_fit *fit, const struct clv_customer *customer, double weeks);
/* The same given that the customer has not left: depends on repeats and age alone, so a caller with
 * many customers need not compute it for each. clv_expected = clv_alive × this. */
double clv_expected_alive(const struct clv_fit *fit, const struct clv_customer *customer,
                          double weeks);
/* The same for a customer who has just bought for the first time. */
double clv_expected_new(const struct clv_fit *fit, double weeks);
/* Discounted expected residual transactions, DERT: all purchases still to come, for ever, each
 * worth exp(-rate × time until it). Fader, Hardie & Lee (2005), J. Marketing Research 42(4), eq. 2,
 * with `rate` continuous per week: log(1 + yearly) / 52; BG/NBD: the same integral. BG/BB: eq. 14
 * of its source, `rate` = log(1 + d) per opportunity. rate > 0. */
double clv_discounted(const struct clv_fit *fit, const struct clv_customer *customer, double rate);
double clv_discounted_alive(const struct clv_fit *fit, const struct clv_customer *customer,
                            double rate);
/* P(exactly `repeats` repeat purchases in the first `weeks`). */
double clv_probability(const struct clv_fit *fit, double weeks, size_t repeats);

/* --- gamma-gamma ------------------------------------------------------------------------------ */

/* The expected mean amount of one purchase of this customer; without repeats the population's. Not
 * finite where the fitted distribution has no mean (q <= 1 and no repeats). */
double clv_spend(const struct clv_fit *fit, double repeats, double spend);

/* --- sBG -------------------------------------------------------------------------------------- */

/* survivors[0] customers at the start, survivors[t] after t renewals; falling. ST_INVALID as
 * clv_fit. */
MUST_USE enum status clv_sbg_fit(const double *survivors, size_t survivors_count,
                                 struct clv_fit *ret_fit, struct err *err);
/* The share still there after `period` renewals, S(t). */
double clv_sbg_survival(const struct clv_fit *fit, double period);
/* The share of those there after period - 1 renewals that renews once more, r(t); period >= 1. */
double clv_sbg_retention(const struct clv_fit *fit, double period);
/* Discounted expected residual lifetime just before the renewal number `renewals` + 1, which counts
 * in full: Fader & Hardie (2010), Marketing Science 29(1), eq. 9; `yearly` per period. */
double clv_sbg_residual(const struct clv_fit *fit, double renewals, double yearly);
#endif
