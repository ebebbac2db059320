/* check.c - the two ways in which the process ends itself. */
#include "base/check.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

void check_failed(const char *file, int line, const char *expression)
{
    fprintf(stderr, "hezou: %s:%d: broken invariant: %s\n", file, line, expression);
    abort();
}

void fatal(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fputs("hezou: ", stderr);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
    _exit(1);
}
