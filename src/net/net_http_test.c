/* net_http_test.c - honest requests: answered, in order, from any thread, for many, to the end. */
#include "net/net_test.h"

#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/buf.h"

static const char *const trust_loopback[] = {"127.0.0.1", NULL};

static const char *body_of(const char *answer)
{
    const char *at = strstr(answer, "\r\n\r\n");
    return at == NULL ? "" : at + 4;
}

static void say_post(int fd, const char *path, const char *body)
{
    char text[512];
    int n =
        snprintf(text, sizeof text, "POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: %zu\r\n\r\n%s",
                 path, strlen(body), body);
    say(fd, (struct str){text, (size_t)n});
}

static void test_a_handler_sees_the_request(void **state)
{
    struct bench bench;
    char answer[4096];
    (void)state;

    bench_start(&bench, (struct http_options){0});
    int fd = dial(&bench, "127.0.0.9");
    say(fd, STR("GET /facts/%e4%bd%a0%00%zz?a=1&q=a%20b+c%26 HTTP/1.1\r\nHost: x\r\n"
                "X-Header:  some value\t\r\n\r\n"));
    assert_int_equal(hear(fd, answer, sizeof answer), 200);
    assert_string_equal(body_of(answer),
                        "GET|/facts/你\xef\xbf\xbd%zz|a b c&|some value|127.0.0.9|1");
    assert_non_null(strstr(answer, "\r\nDate: "));
    assert_null(strstr(answer, "Connection: close"));
    say_post(fd, "/echo", "again on the same connection");
    assert_int_equal(hear(fd, answer, sizeof answer), 200);
    assert_string_equal(body_of(answer), "again on the same connection");
    assert_non_null(strstr(answer, "\r\nX-Test: yes\r\n"));
    assert_null(strstr(answer, "Set-Cookie"));
    close(fd);
    bench_stop(&bench, 0);
}

static void test_pipelined_requests_are_answered_in_order(void **state)
{
    static const char *const paths[] = {"/echo", "/later", "/work", "/early"};
    struct bench bench;
    char text[8192] = "", answer[4096], body[32];
    size_t n = 0;
    (void)state;

    bench_start(&bench, (struct http_options){0});
    int fd = dial(&bench, NULL);
    for (int i = 0; i < 40; i++)
        n += (size_t)snprintf(text + n, sizeof text - n,
                              "POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n%02d",
                              paths[i % 4], i);
    say(fd, (struct str){text, n});
    for (int i = 0; i < 40; i++) {
        assert_int_equal(hear(fd, answer, sizeof answer), 200);
        snprintf(body, sizeof body, "%02d", i);
        assert_string_equal(body_of(answer), body);
    }
    close(fd);
    assert_int_equal(bench.calls, 40);
    bench_stop(&bench, 0);
}

/* More than one turn of the loop takes of one connection; the others are served in between. */
static void test_a_flood_in_one_packet_is_answered_in_order(void **state)
{
    enum { MANY = 2000 };
    struct bench bench;
    struct buf text;
    char answer[4096], other_answer[4096];
    (void)state;

    bench_start(&bench, (struct http_options){.threads = 1});
    buf_init(&text, 1 << 20);
    for (int i = 0; i < MANY; i++)
        buf_fmt(&text, "GET /facts/%d HTTP/1.1\r\nHost: x\r\n\r\n", i);
    int fd = dial(&bench, NULL), other = dial(&bench, NULL);
    say(fd, buf_view(&text));
    say_post(other, "/later", "me too");
    assert_int_equal(hear(other, other_answer, sizeof other_answer), 200);
    for (int i = 0; i < MANY; i++) {
        char path[32];
        snprintf(path, sizeof path, "|/facts/%d|", i);
        assert_int_equal(hear(fd, answer, sizeof answer), 200);
        assert_non_null(strstr(answer, path));
    }
    buf_done(&text);
    close(fd);
    close(other);
    bench_stop(&bench, 0);
}

/* All of them are there when the loop looks; a large body is handled in a turn of its own, in the
 * order of coming, and what is short and came last goes before all of them. */
static void test_a_short_request_does_not_wait_behind_large_ones(void **state)
{
    enum { MANY = 4, BODY = 20000 };
    struct bench bench;
    char answer[4096];
    int fd[MANY], blocker, late;
    struct buf text;
    (void)state;
    bench_start(&bench, (struct http_options){.threads = 1});
    buf_init(&text, 1 << 20);
    buf_fmt(&text, "POST /calls HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n", BODY);
    for (int i = 0; i < BODY; i++)
        buf_char(&text, 'x');
    blocker = dial(&bench, NULL);
    late = dial(&bench, NULL);
    for (int i = 0; i < MANY; i++)
        fd[i] = dial(&bench, NULL);
    say_post(late, "/calls", "");
    assert_int_equal(hear(late, answer, sizeof answer), 200);
    say_post(blocker, "/block", "");
    while (__atomic_load_n(&bench.calls, __ATOMIC_SEQ_CST) < 2)
        sched_yield();
    for (int i = 0; i < MANY; i++)
        say(fd[i], buf_view(&text));
    say_post(late, "/calls", "");
    sem_post(&bench.gate);
    assert_int_equal(hear(late, answer, sizeof answer), 200);
    assert_string_equal(body_of(answer), "3");
    for (int i = 0; i < MANY; i++) {
        assert_int_equal(hear(fd[i], answer, sizeof answer), 200);
        assert_int_equal(strtol(body_of(answer), NULL, 10), 4 + i);
        close(fd[i]);
    }
    close(late);
    close(blocker);
    buf_done(&text);
    bench_stop(&bench, 0);
}

/* What the kernel does not take at once is sent as the reader takes it. */
static void test_a_slow_reader_gets_all(void **state)
{
    enum { ROUNDS = 3 };
    struct bench bench;
    struct http_stats stats;
    char *answer = malloc(LARGE_BYTES + 4096);
    (void)state;

    bench_start(&bench, (struct http_options){0});
    int fd = dial_with_window(&bench, 4096);
    for (int i = 0; i < ROUNDS; i++) {
        say_post(fd, "/large", "");
        say_post(fd, "/echo", "behind it");
        int64_t until = test_now_ms() + WAIT_MS;
        do { /* it is sent as far as it goes: nobody reads yet */
            assert_true(test_now_ms() < until);
            http_stats(bench.server, &stats);
        } while (stats.by_class[2] < 2 * (uint64_t)i + 1);
        assert_int_equal(hear(fd, answer, LARGE_BYTES + 4096), 200);
        const char *body = body_of(answer);
        for (size_t k = 0; k < LARGE_BYTES; k++)
            if (body[k] != large_byte(k))
                fail_msg("byte %zu is %d", k, body[k]);
        assert_int_equal(hear(fd, answer, LARGE_BYTES), 200);
        assert_string_equal(body_of(answer), "behind it");
    }
    close(fd);
    bench_stop(&bench, 0);
    free(answer);
}

static void test_a_client_may_end_its_side_after_asking(void **state)
{
    static const char *const paths[] = {"/echo", "/later", "/work"};
    struct bench bench;
    char answer[4096];
    (void)state;

    bench_start(&bench, (struct http_options){0});
    for (int i = 0; i < 30; i++) {
        int fd = dial(&bench, NULL);
        say_post(fd, paths[i % 3], "first");
        say_post(fd, paths[i % 3], "second");
        shutdown(fd, SHUT_WR);
        assert_int_equal(hear(fd, answer, sizeof answer), 200);
        assert_int_equal(hear(fd, answer, sizeof answer), 200);
        assert_string_equal(body_of(answer), "second");
        assert_true(hear_end(fd, answer, sizeof answer));
        close(fd);
    }
    bench_stop(&bench, 0);
}

static void test_a_connection_stays_as_it_was_agreed(void **state)
{
    struct bench bench;
    char answer[4096];
    (void)state;

    bench_start(&bench, (struct http_options){0});
    int fd = dial(&bench, NULL);
    say(fd, STR("GET /echo HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n"));
    assert_int_equal(hear(fd, answer, sizeof answer), 200);
    assert_non_null(strstr(answer, "\r\nConnection: keep-alive\r\n"));
    say(fd, STR("\r\nGET /echo HTTP/1.1\r\nHost: x\r\nConnection: TE, Close\r\n\r\n"));
    assert_int_equal(hear(fd, answer, sizeof answer), 200);
    assert_non_null(strstr(answer, "\r\nConnection: close\r\n"));
    assert_true(hear_end(fd, answer, sizeof answer));
    close(fd);
    fd = dial(&bench, NULL);
    say(fd, STR("GET /echo HTTP/1.0\r\n\r\n"));
    assert_int_equal(hear(fd, answer, sizeof answer), 200);
    assert_true(hear_end(fd, answer, sizeof answer));
    close(fd);
    bench_stop(&bench, 0);
}

/* Who finds no place waits in the kernel's queue until another leaves. */
static void test_connections_are_bounded(void **state)
{
    enum { PLACES = 4, ALL = 10 };
    struct bench bench;
    struct http_stats stats;
    char answer[4096];
    int fds[ALL];
    (void)state;

    bench_start(&bench, (struct http_options){.connections_max = PLACES});
    for (int i = 0; i < ALL; i++) {
        fds[i] = dial(&bench, NULL);
        say_post(fds[i], "/echo", "x");
    }
    for (int i = 0; i < ALL; i++) {
        assert_int_equal(hear(fds[i], answer, sizeof answer), 200);
        http_stats(bench.server, &stats);
        assert_in_range(stats.connections, 1, PLACES + 2); /* a loop counts, then looks */
        close(fds[i]);
    }
    bench_stop(&bench, 0);
}

static void test_bytes_may_come_one_by_one(void **state)
{
    struct bench bench;
    char answer[4096];
    struct str text = STR("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc");
    (void)state;

    bench_start(&bench, (struct http_options){0});
    int fd = dial(&bench, NULL);
    for (size_t i = 0; i < text.n; i++)
        say(fd, (struct str){text.p + i, 1});
    assert_int_equal(hear(fd, answer, sizeof answer), 200);
    assert_string_equal(body_of(answer), "abc");
    close(fd);
    bench_stop(&bench, 0);
}

static void test_large_bodies_come_back_whole(void **state)
{
    struct bench bench;
    char *body = malloc(BODY_LIMIT + 4096), *answer = malloc(BODY_LIMIT + 4096);
    (void)state;

    bench_start(&bench, (struct http_options){0});
    int fd = dial(&bench, NULL);
    int n = snprintf(body, 200, "POST /later HTTP/1.1\r\nHost: x\r\nContent-Length: %zu\r\n\r\n",
                     BODY_LIMIT);
    for (size_t i = 0; i < BODY_LIMIT; i++)
        body[(size_t)n + i] = (char)('a' + i * i % 23);
    for (int round = 0; round < 3; round++) {
        say(fd, (struct str){body, (size_t)n + BODY_LIMIT});
        assert_int_equal(hear(fd, answer, BODY_LIMIT + 4096), 200);
        assert_memory_equal(body_of(answer), body + n, BODY_LIMIT);
    }
    struct http_stats stats;
    http_stats(bench.server, &stats);
    assert_int_equal(stats.connections, 1);
    close(fd);
    bench_stop(&bench, 0);
    free(body);
    free(answer);
}

static void test_head_has_no_body_and_errors_are_problems(void **state)
{
    struct bench bench;
    char answer[4096];
    (void)state;

    bench_start(&bench, (struct http_options){0});
    int fd = dial(&bench, NULL);
    say(fd, STR("HEAD /facts HTTP/1.1\r\nHost: x\r\n\r\nGET /busy HTTP/1.1\r\nHost: x\r\n\r\n"));
    int64_t until = test_now_ms() + WAIT_MS;
    size_t n = 0;
    while (strstr(answer, "free some space") == NULL || n == 0) {
        struct pollfd wait = {.fd = fd, .events = POLLIN};
        assert_true(test_now_ms() < until && poll(&wait, 1, WAIT_MS) == 1);
        ssize_t more = recv(fd, answer + n, sizeof answer - n - 1, 0);
        assert_true(more > 0);
        n += (size_t)more;
        answer[n] = '\0';
    }
    assert_null(strstr(answer, "HEAD|"));
    const char *second = strstr(answer, "\r\n\r\nHTTP/1.1 503");
    assert_non_null(second);
    assert_non_null(strstr(second, "\r\nRetry-After: 1\r\n"));
    assert_non_null(strstr(second, "\r\nContent-Type: application/problem+json\r\n"));
    assert_string_equal(body_of(second + 4),
                        "{\"type\":\"about:blank\",\"title\":\"Service Unavailable\","
                        "\"status\":503,\"detail\":\"could not write: the \\\"disk\\\" is full\","
                        "\"hint\":\"free some space\"}");
    close(fd);
    bench_stop(&bench, 0);
}

static void test_expect_continue_and_chunks(void **state)
{
    struct bench bench;
    char answer[4096];
    (void)state;

    bench_start(&bench, (struct http_options){0});
    int fd = dial(&bench, NULL);
    say(fd, STR("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n"
                "Expect: 100-continue\r\n\r\n"));
    assert_int_equal(hear(fd, answer, sizeof answer), 100);
    say(fd, STR("abcd"));
    assert_int_equal(hear(fd, answer, sizeof answer), 200);
    say(fd, STR("POST /later HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: Chunked\r\n\r\n"
                "4\r\nabcd\r\n0a\r\nefghijklmn\r\n0\r\nX: y\r\n\r\n"));
    assert_int_equal(hear(fd, answer, sizeof answer), 200);
    assert_string_equal(body_of(answer), "abcdefghijklmn");
    assert_non_null(strstr(answer, "Connection: close"));
    assert_true(hear_end(fd, answer, sizeof answer));
    close(fd);
    bench_stop(&bench, 0);
}

/* A list of events that is exactly full (128 was one for libmicrohttpd, 256 is one for us) must not
 * wait for another event. */
static void test_a_full_list_of_events_is_served_at_once(void **state)
{
    static const int sizes[] = {128, 255, 256};
    char answer[4096];
    int fds[256];
    (void)state;

    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        struct bench bench;
        bench_start(&bench, (struct http_options){.trusted = trust_loopback, .threads = 1});
        int blocker = dial(&bench, NULL);
        for (int i = 0; i < sizes[s]; i++) {
            fds[i] = dial(&bench, NULL);
            say_post(fds[i], "/echo", "accepted");
            assert_int_equal(hear(fds[i], answer, sizeof answer), 200);
        }
        say_post(blocker, "/block", "x");
        while (__atomic_load_n(&bench.calls, __ATOMIC_SEQ_CST) != sizes[s] + 1)
            sched_yield();
        for (int i = 0; i < sizes[s]; i++)
            say_post(fds[i], "/echo", "ready");
        sem_post(&bench.gate);
        for (int i = 0; i < sizes[s]; i++)
            assert_int_equal(hear(fds[i], answer, sizeof answer), 200);
        assert_int_equal(hear(blocker, answer, sizeof answer), 200);
        for (int i = 0; i < sizes[s]; i++)
            close(fds[i]);
        close(blocker);
        bench_stop(&bench, 0);
    }
}

static void test_many_connections_all_get_all_answers(void **state)
{
    static const int sizes[] = {128, 256, 300, 512};
    enum { ROUNDS = 20 };
    char answer[4096], body[32];
    int fds[512];
    (void)state;

    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        struct bench bench;
        bench_start(&bench, (struct http_options){.trusted = trust_loopback, .threads = 2});
        for (int i = 0; i < sizes[s]; i++)
            fds[i] = dial(&bench, NULL);
        for (int round = 0; round < ROUNDS; round++) {
            for (int i = 0; i < sizes[s]; i++) {
                snprintf(body, sizeof body, "%d in %d", i, round);
                say_post(fds[i], (i + round) % 2 == 0 ? "/echo" : "/later", body);
            }
            for (int i = 0; i < sizes[s]; i++) {
                assert_int_equal(hear(fds[i], answer, sizeof answer), 200);
                snprintf(body, sizeof body, "%d in %d", i, round);
                assert_string_equal(body_of(answer), body);
            }
        }
        assert_int_equal(bench.calls, sizes[s] * ROUNDS);
        for (int i = 0; i < sizes[s]; i++)
            close(fds[i]);
        bench_stop(&bench, 0);
    }
}

static void many_answers(const char *path, int count)
{
    enum { CONNECTIONS = 64 };
    struct bench bench;
    char answer[4096], body[32];
    int fds[CONNECTIONS];

    bench_start(&bench, (struct http_options){.threads = 2});
    for (int i = 0; i < CONNECTIONS; i++)
        fds[i] = dial(&bench, NULL);
    for (int i = 0; i < count + CONNECTIONS; i++) {
        int fd = fds[i % CONNECTIONS];
        if (i >= CONNECTIONS) {
            assert_int_equal(hear(fd, answer, sizeof answer), 200);
            snprintf(body, sizeof body, "%d", i - CONNECTIONS);
            assert_string_equal(body_of(answer), body);
        }
        snprintf(body, sizeof body, "%d", i);
        if (i < count)
            say_post(fd, path, body);
    }
    assert_int_equal(bench.calls, count);
    struct http_stats stats;
    http_stats(bench.server, &stats);
    assert_int_equal(stats.by_class[2], count);
    assert_int_equal(stats.refused, 0);
    for (int i = 0; i < CONNECTIONS; i++)
        close(fds[i]);
    bench_stop(&bench, 0);
}

static void test_ten_thousand_suspended_answers(void **state)
{
    (void)state;
    many_answers("/later", 10000);
}

static void test_answers_before_the_handler_returns(void **state)
{
    (void)state;
    many_answers("/early", 1000);
}

/* The kernel tells once that something came: what it tells while a request waits must not be lost.
 */
static void test_what_comes_while_a_request_waits_is_read_afterwards(void **state)
{
    struct bench bench;
    char answer[4096];
    (void)state;

    bench_start(&bench, (struct http_options){.threads = 1});
    int fd = dial(&bench, NULL), other = dial(&bench, NULL);
    for (int round = 0; round < 50; round++) {
        say_post(fd, "/hold", "first");
        bench_wait_held(&bench, 1);
        say_post(fd, "/echo", "second");
        for (int i = 0; i < 3; i++) { /* the only network thread has looked at its events by then */
            say_post(other, "/later", "between");
            assert_int_equal(hear(other, answer, sizeof answer), 200);
        }
        assert_int_equal(bench_release(&bench), 1);
        assert_int_equal(hear(fd, answer, sizeof answer), 200);
        assert_int_equal(hear(fd, answer, sizeof answer), 200);
        assert_non_null(strstr(answer, "second"));
    }
    say_post(fd, "/hold", "left");
    bench_wait_held(&bench, 1);
    close(fd);
    say_post(other, "/later", "between");
    assert_int_equal(hear(other, answer, sizeof answer), 200);
    assert_int_equal(bench_release(&bench), 1);
    int64_t until = test_now_ms() + WAIT_MS;
    struct http_stats stats;
    for (http_stats(bench.server, &stats); stats.connections > 1;
         http_stats(bench.server, &stats)) {
        assert_true(test_now_ms() < until);
        fd = dial(&bench, NULL); /* may have the descriptor that was just given back */
        say_post(fd, "/later", "new");
        assert_int_equal(hear(fd, answer, sizeof answer), 200);
        close(fd);
        poll(NULL, 0, 1);
    }
    close(other);
    bench_stop(&bench, 0);
}

static void wait_for(const int *counter, int wanted)
{
    int64_t until = test_now_ms() + WAIT_MS;
    while (__atomic_load_n(counter, __ATOMIC_SEQ_CST) < wanted) {
        assert_true(test_now_ms() < until);
        poll(NULL, 0, 1);
    }
}

static void test_a_client_that_leaves_is_noticed(void **state)
{
    struct bench bench;
    char answer[4096];
    (void)state;

    bench_start(&bench, (struct http_options){.long_workers = 1});
    int first = dial(&bench, NULL), waits = dial(&bench, NULL), half = dial(&bench, NULL);
    say_post(first, "/watch", "x");
    wait_for(&bench.watching, 1);
    say_post(waits, "/watch", "x"); /* for the only worker: found to be gone at its turn */
    close(waits);
    close(first);
    wait_for(&bench.gone, 2);
    say_post(half, "/watch", "x");
    wait_for(&bench.watching, 3);
    shutdown(half, SHUT_WR);
    wait_for(&bench.gone, 3);
    assert_true(hear_end(half, answer, sizeof answer));
    close(half);
    bench_stop(&bench, 0);
}

static void test_a_client_that_stays_is_answered(void **state)
{
    struct bench bench;
    char answer[4096];
    (void)state;

    bench_start(&bench, (struct http_options){.long_workers = 2});
    int fds[2] = {dial(&bench, NULL), dial(&bench, NULL)}, other = dial(&bench, NULL);
    for (int i = 0; i < 2; i++)
        say_post(fds[i], "/watch", "x");
    wait_for(&bench.watching, 2);
    say_post(fds[0], "/echo", "next"); /* more to read is no end */
    say_post(other, "/work", "short work does not wait behind long work");
    assert_int_equal(hear(other, answer, sizeof answer), 200);
    assert_string_equal(body_of(answer), "short work does not wait behind long work");
    for (int i = 0; i < 2; i++)
        sem_post(&bench.gate);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(hear(fds[i], answer, sizeof answer), 200);
        assert_string_equal(body_of(answer), "stayed");
    }
    assert_int_equal(hear(fds[0], answer, sizeof answer), 200);
    assert_string_equal(body_of(answer), "next");
    assert_int_equal(bench.gone, 0);
    for (int i = 0; i < 2; i++)
        close(fds[i]);
    close(other);
    bench_stop(&bench, 0);
}

static void test_stop_tells_who_is_watched(void **state)
{
    struct bench bench;
    (void)state;

    bench_start(&bench, (struct http_options){0});
    int fd = dial(&bench, NULL);
    say_post(fd, "/watch", "x");
    wait_for(&bench.watching, 1);
    bench_stop(&bench, 0);
    assert_int_equal(bench.stopped, 1);
    close(fd);
}

static void test_work_is_bounded(void **state)
{
    enum { MANY = 2 + 256 + 20 };
    struct bench bench;
    char answer[4096];
    int fds[MANY], done = 0, busy = 0;
    (void)state;

    bench_start(&bench, (struct http_options){.trusted = trust_loopback, .workers = 2});
    for (int i = 0; i < MANY; i++) {
        fds[i] = dial(&bench, NULL);
        say_post(fds[i], "/gate", "x");
    }
    /* The last ones find the queue full: those are answered now, before the gate opens. */
    int64_t until = test_now_ms() + WAIT_MS;
    struct http_stats stats;
    do {
        assert_true(test_now_ms() < until);
        poll(NULL, 0, 1);
        http_stats(bench.server, &stats);
    } while (stats.by_class[5] < 20);
    for (int i = 0; i < MANY; i++)
        sem_post(&bench.gate);
    for (int i = 0; i < MANY; i++) {
        int code = hear(fds[i], answer, sizeof answer);
        done += code == 200;
        busy += code == 503;
        close(fds[i]);
    }
    assert_int_equal(done + busy, MANY);
    assert_in_range(busy, 20, 22); /* the two workers may not have taken theirs yet */
    bench_stop(&bench, 0);
}

struct stopper {
    struct bench *bench;
    int64_t grace_us;
};

static void *stop_main(void *ctx)
{
    struct stopper *stopper = ctx;
    http_stop(stopper->bench->server, stopper->grace_us);
    return NULL;
}

static void test_stop_waits_for_what_was_begun(void **state)
{
    struct bench bench;
    char answer[4096];
    pthread_t thread;
    (void)state;

    bench_start(&bench, (struct http_options){0});
    int fd = dial(&bench, NULL), idle = dial(&bench, NULL);
    say_post(fd, "/hold", "x");
    bench_wait_held(&bench, 1);
    struct stopper stopper = {&bench, WAIT_MS * 1000};
    pthread_create(&thread, NULL, stop_main, &stopper);
    /* Once it refuses new requests, or has ended the idle connection, it has begun to stop. */
    for (int code = 200; code == 200;) {
        say_post(idle, "/echo", "x");
        code = hear(idle, answer, sizeof answer);
        assert_true(code == 200 || code == 503 || code == 0);
    }
    assert_true(hear_end(idle, answer, sizeof answer));
    assert_int_equal(bench_release(&bench), 1);
    assert_int_equal(hear(fd, answer, sizeof answer), 200);
    assert_string_equal(body_of(answer), "held");
    assert_non_null(strstr(answer, "Connection: close"));
    pthread_join(thread, NULL);
    pthread_mutex_lock(&bench.mutex);
    bench.stop = true;
    pthread_mutex_unlock(&bench.mutex);
    sem_post(&bench.filled);
    pthread_join(bench.replier, NULL);
    close(fd);
    close(idle);
}

static void test_stop_leaves_late_repliers_unharmed(void **state)
{
    enum { HELD = 50 };
    struct bench bench;
    char answer[4096];
    int fds[HELD];
    (void)state;

    bench_start(&bench, (struct http_options){0});
    for (int i = 0; i < HELD; i++) {
        fds[i] = dial(&bench, NULL);
        say_post(fds[i], "/hold", "x");
    }
    bench_wait_held(&bench, HELD);
    bench_stop(&bench, 1000);
    for (int i = 0; i < HELD; i++) {
        assert_true(hear_end(fds[i], answer, sizeof answer));
        assert_string_equal(answer, "");
        close(fds[i]);
    }
    assert_int_equal(bench_release(&bench), HELD); /* after the server is gone */
}

static void test_start_says_why_it_cannot(void **state)
{
    struct bench bench;
    struct http_server *second = NULL;
    struct err err;
    (void)state;

    bench_start(&bench, (struct http_options){0});
    struct http_options options = {.address = "127.0.0.1", .port = http_port(bench.server)};
    options.handle = (http_handler *)abort; /* never called */
    options.body_limit = (size_t(*)(void *, struct http_request *))abort;
    assert_int_equal(http_start(&options, &second, &err), ST_CONFLICT);
    options.address = "localhost";
    assert_int_equal(http_start(&options, &second, &err), ST_INVALID);
    assert_null(second);
    bench_stop(&bench, 0);
}

static void client_is(struct bench *bench, const char *from, const char *heads, const char *client)
{
    char text[4096], answer[4096];
    int fd = dial(bench, from);
    int n = snprintf(text, sizeof text, "GET /client HTTP/1.1\r\nHost: x\r\n%s\r\n", heads);
    say(fd, (struct str){text, (size_t)n});
    assert_int_equal(hear(fd, answer, sizeof answer), 200);
    if (strcmp(body_of(answer), client) != 0)
        fail_msg("%s from %s: %s, must be %s", heads, from, body_of(answer), client);
    close(fd);
}

static void test_the_client_is_found_behind_trusted_proxies_only(void **state)
{
    static const char *const trusted[] = {"127.0.0.1", "127.9.0.0/16", "2001:db8::/32", NULL};
    static const struct {
        const char *from, *heads, *client;
    } cases[] = {
        {"127.0.0.5", "", "127.0.0.5"},
        {"127.0.0.5", "X-Forwarded-For: 1.2.3.4\r\n", "127.0.0.5"}, /* nobody's word counts */
        {"127.0.0.1", "", "127.0.0.1"},
        {"127.0.0.1", "X-Forwarded-For: 1.2.3.4\r\n", "1.2.3.4"},
        {"127.9.8.7", "x-forwarded-for: 1.2.3.4\r\n", "1.2.3.4"},
        {"127.0.0.1", "X-Forwarded-For: 9.9.9.9, 1.2.3.4, 127.9.1.1\r\n", "1.2.3.4"},
        {"127.0.0.1", "X-Forwarded-For: 9.9.9.9\r\nX-Forwarded-For: 1.2.3.4\r\n", "1.2.3.4"},
        {"127.0.0.1", "X-Forwarded-For: 1.2.3.4\r\nX-Forwarded-For: 127.9.1.1\r\n", "1.2.3.4"},
        {"127.0.0.1", "X-Forwarded-For: 127.9.1.1\r\n", "127.9.1.1"},
        {"127.0.0.1", "X-Forwarded-For: ::ffff:1.2.3.4\r\n", "1.2.3.4"},
        {"127.0.0.1", "X-Forwarded-For: 2400:cb00::1, 2001:db8::7\r\n", "2400:cb00::1"},
        {"127.0.0.1", "X-Forwarded-For: 1.2.3.4:5678\r\n", "1.2.3.4"},
        {"127.0.0.1", "X-Forwarded-For: [2400:cb00::1]:443\r\n", "2400:cb00::1"},
        {"127.0.0.1", "X-Forwarded-For: unknown\r\n", "?"},
        {"127.0.0.1", "X-Forwarded-For: 1.2.3.4, \r\n", "?"},
        {"127.0.0.1", "X-Forwarded-For: 1.2.3.4.5\r\nForwarded: for=1.1.1.1\r\n", "?"},
        {"127.0.0.1", "Forwarded: for=1.2.3.4;proto=https, For=127.9.0.1\r\n", "1.2.3.4"},
        {"127.0.0.1", "Forwarded: by=_x;for=\"[2400:cb00::1]:4711\"\r\n", "2400:cb00::1"},
        {"127.0.0.1", "Forwarded: for=_hidden\r\n", "?"},
        {"127.0.0.1", "Forwarded: proto=https\r\n", "?"},
    };
    struct bench bench;
    (void)state;
    bench_start(&bench, (struct http_options){.trusted = trusted});
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        client_is(&bench, cases[i].from, cases[i].heads, cases[i].client);
    /* No road is that long: it is not walked to its end. */
    char many[3000] = "X-Forwarded-For: 1.2.3.4";
    for (int i = 0; i < 200; i++)
        strncat(many, ", 127.9.1.1", sizeof many - strlen(many) - 1);
    strncat(many, "\r\n", sizeof many - strlen(many) - 1);
    client_is(&bench, "127.0.0.1", many, "127.9.1.1");
    bench_stop(&bench, 0);
}

static void test_whoever_must_know_is_told_before_the_answer_leaves(void **state)
{
    struct bench bench;
    char answer[4096];
    (void)state;
    bench_start(&bench, (struct http_options){0});
    int fd = dial(&bench, NULL), told = 0;
    for (int i = 0; i < 20; i++) {
        say_post(fd, "/told", i % 2 == 0 ? "" : "no");
        int code = hear(fd, answer, sizeof answer);
        assert_int_equal(code, i % 2 == 0 ? 200 : 409);
        told += code;
        assert_int_equal(__atomic_load_n(&bench.told, __ATOMIC_SEQ_CST), told);
        say_post(fd, "/echo", "x"); /* the object is used again: nobody is told of this one */
        assert_int_equal(hear(fd, answer, sizeof answer), 200);
    }
    assert_int_equal(bench.told, told);
    close(fd);
    bench_stop(&bench, 0);
}

int net_http_tests(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_handler_sees_the_request),
        cmocka_unit_test(test_pipelined_requests_are_answered_in_order),
        cmocka_unit_test(test_a_flood_in_one_packet_is_answered_in_order),
        cmocka_unit_test(test_a_short_request_does_not_wait_behind_large_ones),
        cmocka_unit_test(test_a_slow_reader_gets_all),
        cmocka_unit_test(test_a_client_may_end_its_side_after_asking),
        cmocka_unit_test(test_a_connection_stays_as_it_was_agreed),
        cmocka_unit_test(test_connections_are_bounded),
        cmocka_unit_test(test_bytes_may_come_one_by_one),
        cmocka_unit_test(test_large_bodies_come_back_whole),
        cmocka_unit_test(test_head_has_no_body_and_errors_are_problems),
        cmocka_unit_test(test_expect_continue_and_chunks),
        cmocka_unit_test(test_a_full_list_of_events_is_served_at_once),
        cmocka_unit_test(test_many_connections_all_get_all_answers),
        cmocka_unit_test(test_ten_thousand_suspended_answers),
        cmocka_unit_test(test_answers_before_the_handler_returns),
        cmocka_unit_test(test_what_comes_while_a_request_waits_is_read_afterwards),
        cmocka_unit_test(test_a_client_that_leaves_is_noticed),
        cmocka_unit_test(test_a_client_that_stays_is_answered),
        cmocka_unit_test(test_stop_tells_who_is_watched),
        cmocka_unit_test(test_work_is_bounded),
        cmocka_unit_test(test_stop_waits_for_what_was_begun),
        cmocka_unit_test(test_stop_leaves_late_repliers_unharmed),
        cmocka_unit_test(test_start_says_why_it_cannot),
        cmocka_unit_test(test_the_client_is_found_behind_trusted_proxies_only),
        cmocka_unit_test(test_whoever_must_know_is_told_before_the_answer_leaves),
    };
    return cmocka_run_group_tests_name("net: server", tests, NULL, NULL);
}
