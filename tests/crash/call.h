/* call.h - one HTTP/1.1 request at a time over a kept connection, for test clients; says honestly
 * when it was cut. */
#ifndef TESTS_CRASH_CALL_H
#define TESTS_CRASH_CALL_H

#include <stddef.h>

#define CALL_CUT 0 /* no whole answer: the outcome of the request is unknown */

struct call {
    int port, fd;      /* fd -1 = not connected */
    int retry_after_s; /* 0: not said */
    int rejected;      /* X-Rejected: events of a batch that were not taken as they are */
    char *body;        /* of the last answer, terminated */
    size_t body_n, capacity;
};

void call_init(struct call *call, int port);
void call_done(struct call *call);
/* The HTTP code, or CALL_CUT. `authorization` may be NULL; `body` NULL sends none. */
int call_send(struct call *call, const char *method, const char *path, const char *authorization,
              const char *body, size_t body_n);
#endif
