/* clv_report_int.h - customers as read from a file, and what the report's files share. */
#ifndef LEARN_CLV_REPORT_INT_H
#define LEARN_CLV_REPORT_INT_H

#include "learn/clv.h"
#include "learn/clv_report.h"

struct clv_person {
    struct clv_customer value;
    struct str name; /* "" when the file names nobody */
    size_t order;    /* in the file */
    int32_t first_day;
    double holdout; /* purchases after the calibration */
    double ahead;   /* length of the hold-out, in the model's units; 0 = there is none */
    double alive, expected, holdout_expected, discounted, spend; /* filled by the report */
};

enum clv_left {
    CLV_LEFT_NO_CUSTOMER, /* rows */
    CLV_LEFT_NEGATIVE,
    CLV_LEFT_FUTURE,
    CLV_LEFT_LATE, /* customers from here on */
    CLV_LEFT_COUNT,
};

struct clv_people {
    struct table *table; /* names live in it */
    struct clv_person *list;
    size_t count;
    bool money; /* there are amounts */
    bool dated; /* made from purchases: the days below are known */
    int32_t first_day, calibration_day, last_day;
    uint32_t *repeats_on; /* repeat purchases per day since first_day, until last_day */
    uint64_t left[CLV_LEFT_COUNT];
};

/* Reads options->file; ST_INVALID with line and column. clv_people_done also after a failure. */
MUST_USE enum status clv_people_read(const struct clv_report_options *options, enum clv_model model,
                                     struct clv_people *ret_people, struct err *err);
void clv_people_done(struct clv_people *people);

/* The arrays "frequency" and "tracking". */
void clv_put_frequency(struct buf *json, const struct clv_people *people,
                       const struct clv_fit *fit);
void clv_put_tracking(struct buf *json, const struct clv_people *people, const struct clv_fit *fit,
                      double horizon);
/* The whole report of an sBG model. */
MUST_USE enum status clv_put_sbg(struct buf *json, const struct clv_report_options *options,
                                 struct err *err);
void clv_put_parameters(struct buf *json, const struct clv_fit *fit);
void clv_put_fit(struct buf *json, const struct clv_fit *fit);
#endif
