/* net_attack_test.c - what strangers send to hurt: ambiguous bytes, too much, too slowly, too many.
 */
#include "net/net_test.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

static const char *const trust_loopback[] = {"127.0.0.1", NULL};

static const struct {
    const char *name;
    int calls_max;
    struct str bytes;
} smuggling[] = {
#define X(name, calls_max, bytes) {#name, calls_max, {bytes, sizeof(bytes) - 1}},
#include "net/testdata/smuggling.def"
#undef X
};

/* Each vector alone on a connection, in one piece and then cut in two at its middle. */
static void test_no_second_request_is_ever_seen(void **state)
{
    struct bench bench;
    char answer[4096];
    (void)state;

    bench_start(&bench, (struct http_options){.header_us_max = 200000, .body_us_max = 200000});
    for (size_t i = 0; i < 2 * (sizeof smuggling / sizeof *smuggling); i++) {
        struct str bytes = smuggling[i / 2].bytes;
        size_t first = i % 2 == 0 ? bytes.n : bytes.n / 2;
        int before = __atomic_load_n(&bench.calls, __ATOMIC_SEQ_CST);
        int fd = dial(&bench, NULL);
        say(fd, (struct str){bytes.p, first});
        say(fd, (struct str){bytes.p + first, bytes.n - first});
        assert_true(hear_end(fd, answer, sizeof answer));
        close(fd);
        int calls = __atomic_load_n(&bench.calls, __ATOMIC_SEQ_CST) - before;
        if (calls > smuggling[i / 2].calls_max || bench.smuggled != 0)
            fail_msg("%s: %d handler calls, answer: %s", smuggling[i / 2].name, calls, answer);
        if (smuggling[i / 2].calls_max == 0 && strstr(answer, "HTTP/1.1 2") != NULL)
            fail_msg("%s: answered %s", smuggling[i / 2].name, answer);
        const char *once = strstr(answer, "HTTP/1.1 ");
        if (once != NULL && strstr(once + 1, "HTTP/1.1 ") != NULL)
            fail_msg("%s: two answers: %s", smuggling[i / 2].name, answer);
    }
    bench_stop(&bench, 0);
}

static void expect_refusal(const struct bench *bench, struct str bytes, int code)
{
    char answer[4096];
    int fd = dial(bench, NULL);
    say(fd, bytes);
    int found = hear(fd, answer, sizeof answer);
    if (found != code)
        fail_msg("%d instead of %d for %.60s: %s", found, code, bytes.p, answer);
    if (code == 413 || code == 400)
        assert_non_null(strstr(answer, "Connection: close"));
    assert_true(hear_end(fd, answer, sizeof answer));
    close(fd);
}

static void test_refusals_have_their_codes(void **state)
{
    struct bench bench;
    char *long_text = malloc(64000);
    (void)state;

    bench_start(&bench, (struct http_options){0});
    expect_refusal(&bench, STR("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length : 1\r\n\r\n"),
                   400);
    expect_refusal(&bench, STR("POST /echo HTTP/1.2\r\nHost: x\r\n\r\n"), 505);
    expect_refusal(&bench, STR("POST /small HTTP/1.1\r\nHost: x\r\nContent-Length: 11\r\n\r\n"),
                   413);
    expect_refusal(&bench,
                   STR("POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
                       "4\r\nabcd\r\n0x0\r\n\r\n"),
                   400);
    int n = snprintf(long_text, 64000, "GET /%09000d HTTP/1.1\r\nHost: x\r\n\r\n", 1);
    expect_refusal(&bench, (struct str){long_text, (size_t)n}, 414);
    n = snprintf(long_text, 64000, "GET / HTTP/1.1\r\nHost: x\r\nX: %020000d\r\n\r\n", 1);
    expect_refusal(&bench, (struct str){long_text, (size_t)n}, 431);
    n = snprintf(long_text, 64000, "GET / HTTP/1.1\r\nHost: x\r\n");
    for (int i = 0; i < 100; i++)
        n += snprintf(long_text + n, 64000 - (size_t)n, "X: %d\r\n", i);
    n += snprintf(long_text + n, 64000 - (size_t)n, "\r\n");
    expect_refusal(&bench, (struct str){long_text, (size_t)n}, 431);
    assert_int_equal(bench.calls, 0);
    free(long_text);
    bench_stop(&bench, 0);
}

/* The sender gets to read 413, although it sends much more than the server ever reads as a body. */
static void test_a_body_over_its_limit_is_413(void **state)
{
    struct bench bench;
    size_t size = (size_t)2 << 20;
    char *text = malloc(size);
    char answer[4096];
    (void)state;

    bench_start(&bench, (struct http_options){0});
    memset(text, 'x', size);
    int n = snprintf(text, size, "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: %zu\r\n\r\n",
                     size - 200);
    text[n] = 'x';
    expect_refusal(&bench, (struct str){text, size - 200 + (size_t)n}, 413);

    int fd = dial(&bench, NULL);
    say(fd, STR("POST /small HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"));
    say(fd, STR("5\r\nabcde\r\n5\r\nfghij\r\n"));
    say(fd, STR("1\r\nk\r\n")); /* never ended: the answer comes at once */
    assert_int_equal(hear(fd, answer, sizeof answer), 413);
    assert_non_null(strstr(answer, "\r\nConnection: close\r\n"));
    assert_non_null(strstr(answer, "\"status\":413"));
    assert_true(hear_end(fd, answer, sizeof answer));
    close(fd);

    memset(text, 'x', size);
    n = snprintf(text, size,
                 "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1f0000\r\n");
    text[n] = 'x';
    expect_refusal(&bench, (struct str){text, size}, 413);
    assert_int_equal(bench.calls, 0);
    free(text);
    bench_stop(&bench, 0);
}

static void say_post(int fd, const char *path, const char *body)
{
    char text[512];
    int n =
        snprintf(text, sizeof text, "POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: %zu\r\n\r\n%s",
                 path, strlen(body), body);
    say(fd, (struct str){text, (size_t)n});
}

/* True while the peer has not closed. */
static bool is_open(int fd)
{
    char byte;
    ssize_t n = recv(fd, &byte, 1, MSG_DONTWAIT | MSG_PEEK);
    return n > 0 || (n < 0 && errno == EAGAIN);
}

/* Some drip a head (on a fresh and on a used connection), some a body; one works, one idles, one
 * waits for its answer. The drippers end, the others do not notice. */
static void test_dripping_ends_and_others_go_on(void **state)
{
    enum { DRIPS = 30, LIMIT_MS = 400 };
    struct bench bench;
    char answer[4096];
    int fds[DRIPS];
    (void)state;

    bench_start(&bench, (struct http_options){.header_us_max = LIMIT_MS * 1000,
                                              .body_us_max = LIMIT_MS * 1000});
    int honest = dial(&bench, NULL), idle = dial(&bench, NULL), waiting = dial(&bench, NULL);
    say_post(idle, "/echo", "x");
    assert_int_equal(hear(idle, answer, sizeof answer), 200);
    say_post(waiting, "/hold", "x");
    for (int i = 0; i < DRIPS; i++) {
        fds[i] = dial(&bench, NULL);
        if (i % 3 == 0)
            continue;
        say_post(fds[i], "/echo", "x");
        assert_int_equal(hear(fds[i], answer, sizeof answer), 200);
        say(fds[i], i % 3 == 1
                        ? STR("GET /echo HTTP/1.1\r\nX: ")
                        : STR("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 99999\r\n\r\n"));
    }
    int64_t begun = test_now_ms(), took[DRIPS] = {0};
    int64_t rounds = 0;
    for (int open = DRIPS; open > 0; rounds++) {
        assert_true(test_now_ms() - begun < WAIT_MS);
        say_post(honest, "/later", "x");
        assert_int_equal(hear(honest, answer, sizeof answer), 200);
        poll(NULL, 0, 10); /* the pace of the drip */
        for (int i = 0; i < DRIPS; i++) {
            if (took[i] != 0)
                continue;
            say(fds[i], STR("G"));
            if (is_open(fds[i]))
                continue;
            took[i] = test_now_ms() - begun;
            open--;
        }
    }
    for (int i = 0; i < DRIPS; i++) {
        assert_in_range(took[i], LIMIT_MS / 2, 4 * LIMIT_MS);
        close(fds[i]);
    }
    say_post(idle, "/echo", "x");
    assert_int_equal(hear(idle, answer, sizeof answer), 200);
    assert_int_equal(bench_release(&bench), 1);
    assert_int_equal(hear(waiting, answer, sizeof answer), 200);
    struct http_stats stats;
    http_stats(bench.server, &stats);
    assert_int_equal(stats.swept, DRIPS);
    close(honest);
    close(idle);
    close(waiting);
    bench_stop(&bench, 0);
}

/* Who takes nothing of his answer holds its memory; who asks nothing holds a descriptor. */
static void test_readers_that_take_nothing_and_idlers_end(void **state)
{
    struct bench bench;
    struct http_stats stats;
    char answer[4096];
    (void)state;

    bench_start(&bench, (struct http_options){.send_us_max = 100000});
    int idle = dial(&bench, NULL), deaf = dial_with_window(&bench, 4096);
    say_post(deaf, "/large", "");
    int64_t until = test_now_ms() + WAIT_MS;
    do {
        assert_true(test_now_ms() < until);
        poll(NULL, 0, 1);
        http_stats(bench.server, &stats);
    } while (stats.swept == 0);
    say_post(idle, "/echo", "x");
    assert_int_equal(hear(idle, answer, sizeof answer), 200);
    close(deaf);
    deaf = dial_with_window(&bench, 4096);
    say_post(deaf, "/large", "");
    close(idle);
    bench_stop(&bench, 0); /* does not wait for it */
    close(deaf);

    bench_start(&bench, (struct http_options){.idle_us_max = 100000});
    int busy = dial(&bench, NULL);
    idle = dial(&bench, NULL);
    say_post(busy, "/hold", "x");
    say_post(idle, "/echo", "x");
    assert_int_equal(hear(idle, answer, sizeof answer), 200);
    assert_true(hear_end(idle, answer, sizeof answer));
    bench_wait_held(&bench, 1);
    assert_int_equal(bench_release(&bench), 1);
    assert_int_equal(hear(busy, answer, sizeof answer), 200);
    http_stats(bench.server, &stats);
    assert_int_equal(stats.swept, 0);
    close(busy);
    close(idle);
    bench_stop(&bench, 0);
}

static void test_one_address_may_not_hold_more_than_256(void **state)
{
    struct bench bench;
    char answer[4096];
    int fds[300];
    (void)state;

    bench_start(&bench, (struct http_options){.trusted = trust_loopback});
    for (int i = 0; i < 256; i++) {
        fds[i] = dial(&bench, "127.0.0.2");
        say_post(fds[i], "/hold", "x");
    }
    bench_wait_held(&bench, 256);
    int one_more = dial(&bench, "127.0.0.2");
    say_post(one_more, "/echo", "x");
    assert_int_equal(hear(one_more, answer, sizeof answer), 503);
    assert_non_null(strstr(answer, "\r\nRetry-After: 1\r\n"));
    int other = dial(&bench, "127.0.0.3");
    say_post(other, "/echo", "x");
    assert_int_equal(hear(other, answer, sizeof answer), 200);
    for (int i = 256; i < 300; i++) { /* the trusted one may */
        fds[i] = dial(&bench, NULL);
        say_post(fds[i], "/hold", "x");
    }
    bench_wait_held(&bench, 300);
    assert_int_equal(bench_release(&bench), 300);
    for (int i = 0; i < 300; i++)
        assert_int_equal(hear(fds[i], answer, sizeof answer), 200);
    say_post(one_more, "/echo", "x"); /* refused but not closed */
    assert_int_equal(hear(one_more, answer, sizeof answer), 200);
    for (int i = 0; i < 300; i++)
        close(fds[i]);
    close(one_more);
    close(other);
    bench_stop(&bench, 0);
}

static void test_bytes_in_flight_are_bounded(void **state)
{
    struct bench bench;
    struct http_stats stats;
    char answer[4096], body[301];
    int fds[10];
    (void)state;

    memset(body, 'x', 300);
    body[300] = '\0';
    bench_start(&bench, (struct http_options){.inflight_max = 3000});
    for (int i = 0; i < 10; i++) {
        fds[i] = dial(&bench, NULL);
        say_post(fds[i], "/hold", body);
    }
    bench_wait_held(&bench, 10);
    http_stats(bench.server, &stats);
    assert_int_equal(stats.inflight_bytes, 3000);
    int fd = dial(&bench, NULL);
    say_post(fd, "/echo", body);
    assert_int_equal(hear(fd, answer, sizeof answer), 503);
    assert_non_null(strstr(answer, "\r\nRetry-After: 1\r\n"));
    say(fd, STR("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 99999\r\n\r\n"));
    assert_int_equal(hear(fd, answer, sizeof answer), 503); /* large: refused before its body */
    assert_true(hear_end(fd, answer, sizeof answer));
    close(fd);
    assert_int_equal(bench_release(&bench), 10);
    for (int i = 0; i < 10; i++)
        assert_int_equal(hear(fds[i], answer, sizeof answer), 200);
    say_post(fds[0], "/echo", body);
    assert_int_equal(hear(fds[0], answer, sizeof answer), 200);
    for (int i = 0; i < 10; i++)
        close(fds[i]);
    bench_stop(&bench, WAIT_MS * 1000);
}

static void wait_waiting(struct bench *bench, uint64_t bytes)
{
    struct http_stats stats;
    do
        http_stats(bench->server, &stats);
    while (stats.waiting_bytes != bytes);
}

static int sent_away; /* atomic */

static void count_sent_away(void *ctx)
{
    (void)ctx; /* the bench, of which one runs at a time */
    __atomic_add_fetch(&sent_away, 1, __ATOMIC_SEQ_CST);
}

/* Those that find no room stand in line, as many bytes as are let in, and come in one by one. */
static void test_who_finds_no_room_waits_for_it(void **state)
{
    struct bench bench;
    struct http_stats stats;
    char answer[4096];
    int fds[12], gone;
    (void)state;

    sent_away = 0;
    bench_start(&bench, (struct http_options){.inflight_max = 5,
                                              .room_us_max = WAIT_MS * INT64_C(1000),
                                              .no_room = count_sent_away});
    for (int i = 0; i < 5; i++) {
        fds[i] = dial(&bench, NULL);
        say_post(fds[i], "/hold", "x");
    }
    bench_wait_held(&bench, 5);
    gone = dial(&bench, NULL);
    say_post(gone, "/hold", "x");
    wait_waiting(&bench, 1);
    close(gone); /* its place in the line is not lost for the others */
    for (int i = 5; i < 9; i++) {
        fds[i] = dial(&bench, NULL);
        say_post(fds[i], "/hold", "x");
        wait_waiting(&bench, (uint64_t)i - 3);
    }
    fds[9] = dial(&bench, NULL);
    say_post(fds[9], "/echo", "x"); /* the line is full */
    assert_int_equal(hear(fds[9], answer, sizeof answer), 503);
    assert_int_equal(__atomic_load_n(&sent_away, __ATOMIC_SEQ_CST), 1);
    assert_int_equal(bench_release(&bench), 5);
    for (int i = 0; i < 5; i++)
        assert_int_equal(hear(fds[i], answer, sizeof answer), 200);
    wait_waiting(&bench, 0); /* all are in, perhaps even the one that left */
    do {
        (void)bench_release(&bench);
        http_stats(bench.server, &stats);
    } while (stats.inflight_bytes != 0);
    for (int i = 5; i < 9; i++)
        assert_int_equal(hear(fds[i], answer, sizeof answer), 200);
    for (int i = 0; i < 10; i++)
        close(fds[i]);
    bench_stop(&bench, WAIT_MS * 1000);
}

/* One that waits when the server ends is answered too. */
static void test_a_stop_refuses_who_waits_for_room(void **state)
{
    struct bench bench;
    char answer[4096];
    (void)state;

    bench_start(&bench, (struct http_options){.inflight_max = 1,
                                              .room_us_max = 10 * WAIT_MS * INT64_C(1000)});
    int inside = dial(&bench, NULL), outside = dial(&bench, NULL);
    say_post(inside, "/hold", "x");
    bench_wait_held(&bench, 1);
    say_post(outside, "/echo", "x");
    wait_waiting(&bench, 1);
    bench_stop(&bench, 0);
    assert_int_equal(bench_release(&bench), 1); /* too late: it only lets go */
    int code = hear(outside, answer, sizeof answer);
    assert_true(code == 503 || code <= 0); /* the answer, or the end: never what it asked for */
    close(inside);
    close(outside);
}

/* A client that leaves while its request is worked on costs nothing and breaks nothing. */
static void test_clients_may_leave_at_any_time(void **state)
{
    struct bench bench;
    char answer[4096];
    (void)state;

    bench_start(&bench, (struct http_options){0});
    for (int i = 0; i < 200; i++) {
        int fd = dial(&bench, NULL);
        say(fd, STR("POST /later HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\n"));
        if (i % 2 == 0)
            say(fd, STR("abcd"));
        close(fd);
    }
    for (int i = 0; i < 50; i++) {
        int fd = dial(&bench, NULL);
        say_post(fd, "/hold", "x");
        bench_wait_held(&bench, (unsigned)i + 1);
        close(fd);
    }
    assert_int_equal(bench_release(&bench), 50);
    int fd = dial(&bench, NULL);
    say_post(fd, "/later", "x");
    assert_int_equal(hear(fd, answer, sizeof answer), 200);
    close(fd);
    bench_stop(&bench, WAIT_MS * 1000);
}

int net_attack_tests(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_second_request_is_ever_seen),
        cmocka_unit_test(test_refusals_have_their_codes),
        cmocka_unit_test(test_a_body_over_its_limit_is_413),
        cmocka_unit_test(test_dripping_ends_and_others_go_on),
        cmocka_unit_test(test_readers_that_take_nothing_and_idlers_end),
        cmocka_unit_test(test_one_address_may_not_hold_more_than_256),
        cmocka_unit_test(test_bytes_in_flight_are_bounded),
        cmocka_unit_test(test_who_finds_no_room_waits_for_it),
        cmocka_unit_test(test_a_stop_refuses_who_waits_for_room),
        cmocka_unit_test(test_clients_may_leave_at_any_time),
    };
    return cmocka_run_group_tests_name("net: attacks", tests, NULL, NULL);
}
