/* sequence_file_int.h - a file of events as one run per person. */
#ifndef ANALYTICS_SEQUENCE_FILE_INT_H
#define ANALYTICS_SEQUENCE_FILE_INT_H

#include "analytics/sequence.h"
#include "analytics/sequence_report.h"

struct sequence_file {
    struct table *table;
    size_t rows;
    struct str *users; /* by person; "" for rows that left_out counts */
    size_t users_count;
    size_t people; /* users that have a name */
    struct sequence_event *events;
    size_t *starts;      /* users_count + 1: where each person's run begins in `events` */
    int64_t first, last; /* of the times of all rows */
    size_t no_user;      /* rows left out */
    size_t no_number;    /* rows for which a step compares what is no number */
};

/* With `keep_all` also the events that are no step. */
MUST_USE enum status sequence_file_open(const struct sequence_source *source, bool keep_all,
                                        struct sequence_file *ret_file, struct err *err);
void sequence_file_close(struct sequence_file *file);

/* 1 second in the file's times. */
static inline int64_t sequence_file_unit(const struct sequence_source *source)
{
    return source->plain_time ? 1 : 1000000;
}

/* "left_out" and "seconds", which end each report. */
void sequence_file_put_end(const struct sequence_file *file, int64_t start_us, struct buf *json);
/* A quotient, or null when nothing is there to divide by. */
void sequence_put_ratio(struct buf *json, const char *name, size_t part, size_t whole);
#endif
