/* power.h - how many units an experiment needs, what it can find, and when it may be looked at.
 *
 * Two groups of equal size n. Conventions of R's stats::power.t.test and power.prop.test: exact
 * noncentral t; unpooled/pooled normal approximation for proportions; unless `strict`, rejections
 * on the wrong side of a two-sided test are not counted (statsmodels counts them). Arcsine: J.
 * Cohen, "Statistical power analysis" (1988), h = 2 asin sqrt(p2) - 2 asin sqrt(p1).
 *
 * Pure. Depends on: base. Called by: the file report, later the API. */
#ifndef LEARN_POWER_H
#define LEARN_POWER_H

#include <stddef.h>

#include "base/status.h"

enum power_kind { POWER_T, POWER_PROPORTIONS, POWER_ARCSINE };

struct power_design {
    enum power_kind kind;
    double n;        /* units per group */
    double effect;   /* difference of means or proportions; its sign only chooses the direction */
    double power;    /* one of n, effect and power is NAN: it is found */
    double baseline; /* the control's proportion */
    double stddev;   /* of a unit, for POWER_T */
    double alpha;
    bool one_sided, strict;
};
/* ST_INVALID says which figure is out of its range, or that no n or effect reaches the power. */
MUST_USE enum status power_solve(struct power_design *design, struct err *err);

/* --- group sequential designs ----------------------------------------------------------------- */

enum power_boundary { POWER_POCOCK, POWER_OBRIEN_FLEMING };

#define POWER_LOOKS_MAX 100

struct power_look {
    double z;         /* stop when |z| is at least this */
    double nominal_p; /* two-sided p-value that it is */
    double spent;     /* alpha spent up to this look */
};
/* Two-sided, `looks` equal steps of information: z_k = c (Pocock 1977) or c sqrt(looks/k) (O'Brien
 * and Fleming 1979), c such that all looks together reject with alpha (Armitage, McPherson, Rowe
 * 1969; Jennison and Turnbull 2000, ch. 19). *ret_inflation (NULL allowed): how many more units at
 * most than one look for the same power. */
void power_group_sequential(enum power_boundary boundary, size_t looks, double alpha, double power,
                            struct power_look *ret_looks, double *ret_inflation);
#endif
