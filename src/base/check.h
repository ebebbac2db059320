/* check.h - bugs are not outcomes: a broken invariant stops the process, and a restart is safe.
 *
 * CHECK stays on in release builds. Data from outside never reaches one unvalidated: a visitor must
 * not be able to stop the server. `fatal` is for the one outside event after which going on would
 * lie: a failed sync. */
#ifndef BASE_CHECK_H
#define BASE_CHECK_H

void check_failed(const char *file, int line, const char *expression)
    __attribute__((noreturn, cold));

/* Print why on stderr and leave at once with exit code 1, without flushing anything. */
void fatal(const char *format, ...) __attribute__((noreturn, cold, format(printf, 1, 2)));

#define CHECK(expression)                                                                          \
    do {                                                                                           \
        if (__builtin_expect(!(expression), 0))                                                    \
            check_failed(__FILE__, __LINE__, #expression);                                         \
    } while (0)

#define CLEANUP(function) __attribute__((cleanup(function)))
#endif
