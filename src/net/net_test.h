/* net_test.h - what the test files share: a server with a few routes, and raw sockets.
 *
 * Every wait has a deadline (WAIT_MS), so a lost answer fails a test instead of hanging it. */
#ifndef NET_NET_TEST_H
#define NET_NET_TEST_H

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>
#include <semaphore.h>

#include "net/http.h"

#define WAIT_MS 10000
#define BODY_LIMIT ((size_t)1 << 20)
#define LARGE_BYTES ((size_t)12 << 20) /* more than the kernel keeps for one connection */

/* Of the body of /large. */
static inline char large_byte(size_t at)
{
    return (char)('a' + (at ^ at >> 9) % 23);
}

/* Routes: /echo answers the body, /later the same from another thread, /early the same before the
 * handler returns but from another thread, /work by http_work, /watch by http_work_long until the
 * gate opens or the watch is over, /hold is kept until bench_release,
 * /large answers LARGE_BYTES, /calls the how-manieth call it is, /block stops the network thread
 * until the gate opens, /busy an error, /facts what it sees. */
struct bench {
    struct http_server *server;
    int calls, smuggled; /* atomic */
    int told;            /* atomic: the codes of answers that somebody was told of, added up */
    pthread_t replier;
    sem_t filled, done;
    pthread_mutex_t mutex;
    struct http_request *queue[1024], *held[1024];
    unsigned head, tail, held_count; /* under mutex */
    bool stop;
    sem_t gate;                  /* http_work jobs of /gate wait for it */
    int watching, gone, stopped; /* atomic: jobs of /watch that began, that ended so */
};

void bench_start(struct bench *bench, struct http_options options);
void bench_stop(struct bench *bench, int64_t grace_us);
/* Answer all held requests; how many. */
unsigned bench_release(struct bench *bench);
/* Until `count` requests are held. */
void bench_wait_held(struct bench *bench, unsigned count);

int dial(const struct bench *bench, const char *source);
/* It takes few bytes before they are read. */
int dial_with_window(const struct bench *bench, int bytes);
void say(int fd, struct str bytes);
/* One answer: its code; head and body in `ret_text` (terminated). 0 = closed before a whole one. */
int hear(int fd, char *ret_text, size_t size);
/* All until the peer closes. True if it did within the deadline. */
bool hear_end(int fd, char *ret_text, size_t size);
int64_t test_now_ms(void);

int net_parse_tests(void);
int net_http_tests(void);
int net_attack_tests(void);
#endif
