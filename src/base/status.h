/* status.h - outcomes and their story.
 *
 * A function that can fail returns an enum status; each value asks for a different reaction. The
 * words for a person stand in struct err: what happened and why (message), what to do next (hint).
 * On any status but ST_OK the caller's `ret_` parameters are untouched. A function logs or returns,
 * never both. Called by: everything. */
#ifndef BASE_STATUS_H
#define BASE_STATUS_H

#include <stdbool.h>

#define MUST_USE __attribute__((warn_unused_result))

enum status {
#define X(name, http, retry, text) name,
#include "base/status.def"
#undef X
    ST_COUNT
};

struct err {
    enum status status;
    char message[240]; /* "could not …: reason"; no function names, no personal data */
    char hint[160];    /* the next step, or "" */
};

/* Fill `err` (NULL is allowed) and return `status`, so that `return err_set(…)` is the whole error
 * path. */
enum status err_set(struct err *err, enum status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Add what the reader should do next to an error that is already set; returns its status. */
enum status err_hint(struct err *err, enum status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

int status_http(enum status status);
bool status_may_retry(enum status status);
const char *status_name(enum status status);
#endif
