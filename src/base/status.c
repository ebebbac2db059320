/* status.c - the words behind an outcome. */
#include "base/status.h"

#include <stdarg.h>
#include <stdio.h>

static const struct {
    const char *name;
    int http;
    bool retry;
} statuses[ST_COUNT] = {
#define X(name, http, retry, text) {#name, http, retry},
#include "base/status.def"
#undef X
};

enum status err_set(struct err *err, enum status status, const char *format, ...)
{
    if (err == NULL)
        return status;
    va_list args;
    va_start(args, format);
    vsnprintf(err->message, sizeof err->message, format, args);
    va_end(args);
    err->hint[0] = '\0';
    err->status = status;
    return status;
}

enum status err_hint(struct err *err, enum status status, const char *format, ...)
{
    if (err == NULL)
        return status;
    va_list args;
    va_start(args, format);
    vsnprintf(err->hint, sizeof err->hint, format, args);
    va_end(args);
    return status;
}

int status_http(enum status status)
{
    return statuses[status].http;
}

bool status_may_retry(enum status status)
{
    return statuses[status].retry;
}

const char *status_name(enum status status)
{
    return statuses[status].name;
}
