/* sequence_step_int.h - one step of a report, as it was read. */
#ifndef ANALYTICS_SEQUENCE_STEP_INT_H
#define ANALYTICS_SEQUENCE_STEP_INT_H

#include "table/table.h"

enum sequence_compare {
    COMPARE_NONE,
    COMPARE_IS,
    COMPARE_NOT,
    COMPARE_BELOW,
    COMPARE_AT_MOST,
    COMPARE_ABOVE,
    COMPARE_AT_LEAST
};

struct sequence_step {
    struct str name;
    size_t event; /* its code */
    bool is_any;
    enum sequence_compare compare; /* COMPARE_NONE: the name is all */
    int column;
    struct str value;
    bool has_number;
    double number;
};

/* ST_NOT_FOUND with the nearest of `names`. The step borrows from `text`. */
MUST_USE enum status sequence_step_read(struct table *table, const char *text,
                                        const struct str *names, size_t names_count,
                                        struct sequence_step *ret_step, struct err *err);
/* Does the condition hold for this cell? Sets *ret_no_number when a number was needed. */
bool sequence_step_holds(const struct sequence_step *step, struct str cell, bool *ret_no_number);
bool sequence_number(struct str text, double *ret_number);
#endif
