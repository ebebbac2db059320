/* random_int.h - keys and numbers, of a report and of SQL: random.c and random_read.c. */
#ifndef TESTS_LIVE_RANDOM_INT_H
#define TESTS_LIVE_RANDOM_INT_H

#include "random.h"

#include <stdio.h>

#define KEY_BYTES 160

struct pair {
    char key[KEY_BYTES + 40];
    double value;
};

struct pairs {
    struct pair *list;
    size_t count, capacity;
};

struct counts {
    unsigned reports, differences, cells, refused, erased;
};

struct test {
    struct world world;
    FILE *to_judge, *from_judge; /* judge.c */
    struct question question;
    struct pairs want, got; /* KEY#NUMBER; of `want` also KEY#who_NUMBER */
    char first[600];        /* the first difference */
    unsigned limit;
    struct counts counts;
};

/* What nobody did is no row in SQL: without 0 and what is no number. */
void pair_add(struct pairs *pairs, double value, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* 0 = none; of sorted pairs. */
double pairs_find(const struct pairs *pairs, const char *key);

/* The report's numbers into test->got; some of its cells are opened. False: one of them does not
 * hold who it should, test->first says it. */
bool answer_read(struct test *test, yyjson_val *root);
#endif
