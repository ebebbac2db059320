/* experiment_int.h - what the files of the experiment report share: the arms as they were read. */
#ifndef LEARN_EXPERIMENT_INT_H
#define LEARN_EXPERIMENT_INT_H

#include "base/arena.h"
#include "learn/experiment.h"
#include "learn/experiment_many.h"
#include "learn/experiment_report.h"

struct experiment_input {
    struct arena arena; /* names */
    struct experiment_shape shape;
    size_t count;
    struct str *names;
    struct experiment_arm *arms;
    uint64_t no_variation; /* rows left out */
};

void experiment_input_init(struct experiment_input *input);
void experiment_input_done(struct experiment_input *input);
MUST_USE enum status experiment_input_read(const struct experiment_report_options *options,
                                           struct experiment_input *input, struct err *err);
/* The arm called `name`, or input->count. */
size_t experiment_input_find(const struct experiment_input *input, struct str name);

/* Position of `word` in "first|second|…"; "" is 0. ST_INVALID lists the words. */
MUST_USE enum status experiment_word(const char *option, const char *word, const char *words,
                                     int *ret_at, struct err *err);
/* "12.5" whole, else false. */
bool experiment_number(struct str text, double *ret_value);
#endif
