/* net_test.c - routes, gzip, the client; and the server and sockets that the other test files use.
 */
#include "net/net_test.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>
#include <zlib.h>

#include "base/buf.h"
#include "base/clock.h"
#include "net/client.h"
#include "net/inflate.h"
#include "net/route.h"

int64_t test_now_ms(void)
{
    return monotonic_us() / US_PER_MS;
}

static void reply_echo(struct http_request *request)
{
    http_set_header(request, "X-Test", STR("yes"));
    http_set_header(request, "X-Bad", STR("a\r\nSet-Cookie: b"));
    http_reply(request, 200, "text/plain", http_body(request));
}

static void *replier_main(void *ctx)
{
    struct bench *bench = ctx;
    for (;;) {
        while (sem_wait(&bench->filled) != 0)
            ; /* a signal, e.g. of a debugger */
        pthread_mutex_lock(&bench->mutex);
        bool stop = bench->stop && bench->head == bench->tail;
        struct http_request *request = stop ? NULL : bench->queue[bench->head++ % 1024];
        pthread_mutex_unlock(&bench->mutex);
        if (stop)
            return NULL;
        bool early = str_is(http_path(request), "/early");
        reply_echo(request);
        if (early)
            sem_post(&bench->done);
    }
}

static void reply_facts(struct http_request *request)
{
    struct buf text;
    buf_init(&text, 4096);
    buf_fmt(&text, STR_FMT "|" STR_FMT "|" STR_FMT "|" STR_FMT "|" STR_FMT "|%d",
            STR_ARG(http_method(request)), STR_ARG(http_path(request)),
            STR_ARG(http_query(request, "q")), STR_ARG(http_header(request, "x-HEADER")),
            STR_ARG(http_remote(request)), http_query(request, "none").p == NULL);
    http_reply(request, 200, "text/plain", buf_view(&text));
    buf_done(&text);
}

static void reply_number(struct http_request *request, int number)
{
    char text[16];
    snprintf(text, sizeof text, "%d", number);
    http_reply(request, 200, "text/plain", str_of(text));
}

static void reply_large(struct http_request *request)
{
    char *text = malloc(LARGE_BYTES);
    for (size_t i = 0; i < LARGE_BYTES; i++)
        text[i] = large_byte(i);
    http_reply(request, 200, "text/plain", (struct str){text, LARGE_BYTES});
    free(text);
}

static void job_echo(void *ctx, struct http_request *request)
{
    (void)ctx;
    reply_echo(request);
}

static void job_gate(void *ctx, struct http_request *request)
{
    struct bench *bench = ctx;
    sem_wait(&bench->gate);
    reply_echo(request);
}

static void job_watch(void *ctx, struct http_request *request)
{
    struct bench *bench = ctx;
    struct http_watch watch;
    const char *how = "stayed";
    http_watch_begin(request, &watch);
    __atomic_add_fetch(&bench->watching, 1, __ATOMIC_SEQ_CST);
    while (!__atomic_load_n(&watch.over, __ATOMIC_ACQUIRE) && sem_trywait(&bench->gate) != 0)
        poll(NULL, 0, 1);
    http_watch_end(&watch);
    if (watch.over) {
        how = watch.stopping ? "stopping" : "gone";
        __atomic_add_fetch(watch.stopping ? &bench->stopped : &bench->gone, 1, __ATOMIC_SEQ_CST);
    }
    http_reply(request, 200, "text/plain", str_of(how));
}

static void handle_watch(struct bench *bench, struct http_request *request)
{
    struct err err;
    if (http_work_long(request, job_watch, bench, &err) != ST_OK)
        http_reply_error(request, &err);
}

static void handle_work(struct bench *bench, struct http_request *request, http_handler *job)
{
    struct err err;
    if (http_work(request, job, bench, &err) != ST_OK)
        http_reply_error(request, &err);
}

/* Who sent it, as an address; "?" when nobody knows. */
static void reply_client(struct http_request *request)
{
    char text[ADDRESS_TEXT_BYTES];
    struct address address;
    struct str body = STR("?");
    if (http_client_address(request, &address))
        body = address_write(&address, text);
    http_reply(request, 200, "text/plain", body);
}

static void count_told(void *ctx, struct http_request *request, int code)
{
    struct bench *bench = ctx;
    (void)request;
    __atomic_add_fetch(&bench->told, code, __ATOMIC_SEQ_CST);
}

/* The body says how to answer; whoever is told has not been told yet. */
static void job_told(void *ctx, struct http_request *request)
{
    struct bench *bench = ctx;
    struct err err;
    assert_ptr_equal(http_told(request), bench);
    if (http_body(request).n == 0) {
        reply_echo(request);
    } else {
        (void)err_set(&err, ST_CONFLICT, "no");
        http_reply_error(request, &err);
    }
}

static void handle_hold(struct bench *bench, struct http_request *request)
{
    pthread_mutex_lock(&bench->mutex);
    assert_true(bench->held_count < 1024);
    bench->held[bench->held_count++] = request;
    pthread_mutex_unlock(&bench->mutex);
}

static void handle_elsewhere(struct bench *bench, struct http_request *request, bool wait)
{
    pthread_mutex_lock(&bench->mutex);
    bench->queue[bench->tail++ % 1024] = request;
    pthread_mutex_unlock(&bench->mutex);
    sem_post(&bench->filled);
    if (wait)
        sem_wait(&bench->done);
}

static void handle(void *ctx, struct http_request *request)
{
    struct bench *bench = ctx;
    struct str path = http_path(request);
    struct err err;

    int call = __atomic_add_fetch(&bench->calls, 1, __ATOMIC_SEQ_CST);
    if (str_is(path, "/smuggled"))
        __atomic_add_fetch(&bench->smuggled, 1, __ATOMIC_SEQ_CST);
    if (str_is(path, "/later") || str_is(path, "/early")) {
        handle_elsewhere(bench, request, str_is(path, "/early"));
    } else if (str_is(path, "/work")) {
        handle_work(bench, request, job_echo);
    } else if (str_is(path, "/watch")) {
        handle_watch(bench, request);
    } else if (str_is(path, "/gate")) {
        handle_work(bench, request, job_gate);
    } else if (str_is(path, "/hold")) {
        handle_hold(bench, request);
    } else if (str_is(path, "/large")) {
        reply_large(request);
    } else if (str_is(path, "/calls")) {
        reply_number(request, call);
    } else if (str_is(path, "/block")) {
        sem_wait(&bench->gate); /* on the network thread, as no real handler may */
        reply_echo(request);
    } else if (str_is(path, "/busy")) {
        (void)err_set(&err, ST_BUSY, "could not write: the \"disk\" is full");
        (void)err_hint(&err, ST_BUSY, "free some space");
        http_reply_error(request, &err);
    } else if (str_starts(path, STR("/facts"))) {
        reply_facts(request);
    } else if (str_is(path, "/client")) {
        reply_client(request);
    } else if (str_is(path, "/told")) {
        http_before_answer(request, count_told, bench);
        handle_work(bench, request, job_told);
    } else {
        reply_echo(request);
    }
}

static size_t body_limit(void *ctx, struct http_request *request)
{
    (void)ctx;
    return str_is(http_path(request), "/small") ? 10 : BODY_LIMIT;
}

void bench_start(struct bench *bench, struct http_options options)
{
    struct err err = {0};
    *bench = (struct bench){0};
    sem_init(&bench->filled, 0, 0);
    sem_init(&bench->done, 0, 0);
    sem_init(&bench->gate, 0, 0);
    pthread_mutex_init(&bench->mutex, NULL);
    assert_int_equal(pthread_create(&bench->replier, NULL, replier_main, bench), 0);
    options.address = "127.0.0.1";
    options.body_limit = body_limit;
    options.handle = handle;
    options.ctx = bench;
    if (http_start(&options, &bench->server, &err) != ST_OK)
        fail_msg("%s", err.message);
}

void bench_stop(struct bench *bench, int64_t grace_us)
{
    http_stop(bench->server, grace_us);
    pthread_mutex_lock(&bench->mutex);
    bench->stop = true;
    pthread_mutex_unlock(&bench->mutex);
    sem_post(&bench->filled);
    pthread_join(bench->replier, NULL);
}

unsigned bench_release(struct bench *bench)
{
    struct http_request *held[1024];
    pthread_mutex_lock(&bench->mutex);
    unsigned count = bench->held_count;
    memcpy(held, bench->held, sizeof held);
    bench->held_count = 0;
    pthread_mutex_unlock(&bench->mutex);
    for (unsigned i = 0; i < count; i++)
        http_reply(held[i], 200, NULL, STR("held"));
    return count;
}

void bench_wait_held(struct bench *bench, unsigned count)
{
    int64_t until = test_now_ms() + WAIT_MS;
    for (unsigned held = 0; held < count;) {
        assert_true(test_now_ms() < until);
        poll(NULL, 0, 1);
        pthread_mutex_lock(&bench->mutex);
        held = bench->held_count;
        pthread_mutex_unlock(&bench->mutex);
    }
}

static int dial_as(const struct bench *bench, const char *source, int window)
{
    struct sockaddr_in here = {.sin_family = AF_INET};
    struct sockaddr_in there = {.sin_family = AF_INET,
                                .sin_port = htons((uint16_t)http_port(bench->server)),
                                .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    if (window > 0)
        assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &window, sizeof window), 0);
    if (source != NULL) {
        assert_int_equal(inet_pton(AF_INET, source, &here.sin_addr), 1);
        assert_int_equal(bind(fd, (struct sockaddr *)&here, sizeof here), 0);
    }
    assert_int_equal(connect(fd, (struct sockaddr *)&there, sizeof there), 0);
    return fd;
}

int dial(const struct bench *bench, const char *source)
{
    return dial_as(bench, source, 0);
}

int dial_with_window(const struct bench *bench, int bytes)
{
    return dial_as(bench, NULL, bytes);
}

void say(int fd, struct str bytes)
{
    while (bytes.n > 0) {
        ssize_t n = send(fd, bytes.p, bytes.n, MSG_NOSIGNAL);
        if (n <= 0)
            return; /* refused midway: the answer tells */
        bytes.p += n;
        bytes.n -= (size_t)n;
    }
}

/* One more piece before `until`; 0 = closed. */
static size_t hear_some(int fd, char *to, size_t room, int64_t until)
{
    struct pollfd wait = {.fd = fd, .events = POLLIN};
    int64_t left = until - test_now_ms();
    if (poll(&wait, 1, left > 0 ? (int)left : 0) <= 0)
        fail_msg("no answer within %d ms", WAIT_MS);
    ssize_t n = recv(fd, to, room, 0);
    return n > 0 ? (size_t)n : 0;
}

static size_t content_length(const char *head)
{
    const char *at = strcasestr(head, "\r\nContent-Length:");
    return at == NULL ? 0 : strtoul(at + 17, NULL, 10);
}

/* Takes from the socket no more than one answer: what was pipelined behind it stays there. */
int hear(int fd, char *ret_text, size_t size)
{
    int64_t until = test_now_ms() + WAIT_MS;
    const char *end = NULL;
    size_t n = 0;
    for (ret_text[0] = '\0'; end == NULL; end = strstr(ret_text, "\r\n\r\n")) {
        ssize_t seen = recv(fd, ret_text + n, size - n - 1, MSG_PEEK | MSG_DONTWAIT);
        if (seen > 0) { /* take up to the head's end, or all if it is not there yet */
            ret_text[n + (size_t)seen] = '\0';
            end = strstr(ret_text, "\r\n\r\n");
            seen = end != NULL ? end + 4 - (ret_text + n) : seen;
        }
        size_t more = hear_some(fd, ret_text + n, seen > 0 ? (size_t)seen : 1, until);
        if (more == 0)
            return 0;
        n += more;
        ret_text[n] = '\0';
    }
    size_t whole = n + content_length(ret_text);
    assert_true(whole < size);
    while (n < whole) {
        size_t more = hear_some(fd, ret_text + n, whole - n, until);
        if (more == 0)
            return 0;
        n += more;
    }
    ret_text[n] = '\0';
    return (int)strtol(ret_text + 9, NULL, 10);
}

bool hear_end(int fd, char *ret_text, size_t size)
{
    int64_t until = test_now_ms() + WAIT_MS;
    size_t n = 0;
    for (;;) {
        size_t more = hear_some(fd, ret_text + n, size - n - 1, until);
        n += more;
        ret_text[n] = '\0';
        if (more == 0)
            return true;
    }
}

static void route_none(void *ctx, struct http_request *request)
{
    (void)ctx;
    (void)request;
}

static void test_addresses_are_read_cut_and_compared(void **state)
{
    static const struct {
        const char *text, *plain, *cut; /* NULL: no address */
    } cases[] = {
        {"1.2.3.4", "1.2.3.4", "1.2.3.0"},
        {"255.0.10.199", "255.0.10.199", "255.0.10.0"},
        {" 1.2.3.4:80 ", "1.2.3.4", "1.2.3.0"},
        {"::ffff:1.2.3.4", "1.2.3.4", "1.2.3.0"},
        {"2001:db8:1:2:3:4:5:6", "2001:db8:1:2:3:4:5:6", "2001:db8:1::"},
        {"[2001:db8:1:2::1]:443", "2001:db8:1:2::1", "2001:db8:1::"},
        {"::1", "::1", "::"},
        {"", NULL, NULL},
        {"1.2.3", NULL, NULL},
        {"1.2.3.4, 5.6.7.8", NULL, NULL},
        {"[::1", NULL, NULL},
        {"fe80::1%eth0", NULL, NULL},
        {"01.2.3.4.", NULL, NULL},
        {"2001:0db8:0001:0002:0003:0004:0005:0006:0007:0008:0009", NULL, NULL},
    };
    static const char *const bad[] = {"",        "/8",        "1.2.3.4/",     "1.2.3.4/33",
                                      "::1/129", "1.2.3.4/x", "1.2.3.4/8888", "10/8"};
    char text[ADDRESS_TEXT_BYTES];
    struct address address;
    struct address_range range;
    struct err err;
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        bool good = address_parse(str_of(cases[i].text), &address);
        assert_int_equal(good, cases[i].plain != NULL);
        if (!good)
            continue;
        assert_true(str_is(address_write(&address, text), cases[i].plain));
        address_cut(&address, 24, 48);
        assert_true(str_is(address_write(&address, text), cases[i].cut));
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(address_range_parse(str_of(bad[i]), &range, &err), ST_INVALID);
    static const struct {
        const char *range, *inside, *outside;
    } ranges[] = {{"10.0.0.0/8", "10.255.1.2", "11.0.0.0"},
                  {"10.16.0.0/12", "10.31.0.1", "10.32.0.1"},
                  {"10.1.2.3", "10.1.2.3", "10.1.2.2"},
                  {"2001:db8::/33", "2001:db8:7fff::1", "2001:db8:8000::1"},
                  {"::1", "::1", "::2"},
                  {"0.0.0.0/0", "255.1.1.1", "2001:db8::1"}};
    for (size_t i = 0; i < sizeof ranges / sizeof ranges[0]; i++) {
        assert_int_equal(address_range_parse(str_of(ranges[i].range), &range, &err), ST_OK);
        assert_true(address_parse(str_of(ranges[i].inside), &address));
        assert_true(address_in(&address, &range));
        assert_true(address_parse(str_of(ranges[i].outside), &address));
        assert_false(address_in(&address, &range));
    }
}

static const struct route routes[] = {
    {"GET", "/", route_none, 0, AUDIT_NONE, 0},
    {"GET", "/v1/people/{id}", route_none, 0, AUDIT_READ, 0},
    {"GET", "/v1/people/me", route_none, 0, AUDIT_READ, 0},
    {"POST", "/v1/people/{id}", route_none, 0, AUDIT_WRITE, 0},
    {"GET", "/v1/people/{id}/orders/{order}", route_none, 0, AUDIT_READ, 0},
    {"POST", "/v1/t", route_none, 0, AUDIT_NONE, 0},
};

static void test_route_table(void **state)
{
    static const struct {
        const char *method, *path;
        int row; /* -1 = none */
        bool known;
    } cases[] = {
        {"GET", "/", 0, true},
        {"GET", "/v1/people/7", 1, true},
        {"GET", "/v1/people/7/", 1, true},
        {"HEAD", "/v1/people/7", 1, true},
        {"GET", "/v1/people/me", 2, true},
        {"POST", "/v1/people/me", 3, true},
        {"DELETE", "/v1/people/7", -1, true},
        {"GET", "/v1/people/7/orders/8", 4, true},
        {"GET", "/v1/people//orders/8", -1, false},
        {"GET", "/v1/people/", -1, false},
        {"GET", "/v1/people", -1, false},
        {"GET", "/v1/people/7/orders", -1, false},
        {"GET", "/v1/people/7/orders/8/9", -1, false},
        {"GET", "//v1/people/7", -1, false},
        {"GET", "/v1/people/7//", -1, false},
        {"get", "/v1/people/7", -1, true},
        {"POST", "/v1/tt", -1, false},
        {"POST", "/v1/t/", 5, true},
        {"POST", "v1/t", -1, false},
        {"POST", "", -1, false},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        bool known = !cases[i].known;
        const struct route *route =
            route_find(routes, sizeof routes / sizeof *routes, str_of(cases[i].method),
                       str_of(cases[i].path), &known);
        const struct route *wanted = cases[i].row < 0 ? NULL : &routes[cases[i].row];
        if (route != wanted || known != cases[i].known)
            fail_msg("%s %s", cases[i].method, cases[i].path);
    }
}

static void test_route_params(void **state)
{
    struct str path = STR("/v1/people/phone:+86 1/orders/ä/");
    (void)state;
    assert_true(str_is(route_param(&routes[4], path, "id"), "phone:+86 1"));
    assert_true(str_is(route_param(&routes[4], path, "order"), "ä"));
    assert_null(route_param(&routes[4], path, "other").p);
}

/* `text` as one gzip member. */
static struct str gzip(struct str text, unsigned char *to, size_t size)
{
    z_stream z = {0};
    assert_int_equal(deflateInit2(&z, 9, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
    z.next_in = (unsigned char *)text.p;
    z.avail_in = (unsigned)text.n;
    z.next_out = to;
    z.avail_out = (unsigned)size;
    assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
    deflateEnd(&z);
    return (struct str){(char *)to, size - z.avail_out};
}

static void test_inflate_round_trip(void **state)
{
    enum { SIZE = 100000 };
    char *text = malloc(SIZE);
    unsigned char *packed = malloc(2 * SIZE);
    struct buf buf;
    struct err err;
    (void)state;

    for (size_t i = 0; i < SIZE; i++)
        text[i] = (char)(i * i >> 7);
    for (size_t n = 0; n <= SIZE; n = n * 3 + 1) {
        struct str member = gzip((struct str){text, n}, packed, 2 * SIZE);
        assert_true(inflate_is_gzip(member));
        buf_init(&buf, n + 2); /* exact: the limit itself is allowed */
        buf_text(&buf, "> ");
        assert_int_equal(inflate_gzip(member, &buf, &err), ST_OK);
        assert_int_equal(buf.n, n + 2);
        assert_memory_equal(buf.p + 2, text, n);
        buf_done(&buf);
        buf_init(&buf, n + 1);
        buf_text(&buf, "> ");
        if (n > 0)
            assert_int_equal(inflate_gzip(member, &buf, &err), ST_TOO_LARGE);
        buf_done(&buf);
    }
    assert_false(inflate_is_gzip(STR("\x1f")));
    assert_false(inflate_is_gzip(STR("{}")));
    free(text);
    free(packed);
}

static void test_inflate_cuts_a_bomb_at_the_limit(void **state)
{
    size_t size = (size_t)32 << 20;
    char *zeros = calloc(1, size);
    unsigned char *packed = malloc(1 << 20);
    struct buf buf;
    struct err err;
    (void)state;

    struct str bomb = gzip((struct str){zeros, size}, packed, 1 << 20);
    assert_true(bomb.n < 40000);
    buf_init(&buf, 1 << 20);
    buf_text(&buf, "kept");
    assert_int_equal(inflate_gzip(bomb, &buf, &err), ST_TOO_LARGE);
    assert_true(str_is(buf_view(&buf), "kept"));
    assert_true(buf.capacity <= (size_t)2 << 20);
    buf_done(&buf);
    free(zeros);
    free(packed);
}

static void test_inflate_refuses_every_cut_and_damage(void **state)
{
    unsigned char packed[512];
    struct buf buf;
    struct err err;
    (void)state;

    struct str member = gzip(STR("a person becomes a row and a report, and a row"), packed, 400);
    buf_init(&buf, 4096);
    for (size_t n = 0; n < member.n; n++) {
        assert_int_equal(inflate_gzip((struct str){member.p, n}, &buf, &err), ST_INVALID);
        assert_int_equal(buf.n, 0);
    }
    packed[member.n] = 'x';
    assert_int_equal(inflate_gzip((struct str){member.p, member.n + 1}, &buf, &err), ST_INVALID);
    packed[member.n - 5] ^= 1; /* its checksum */
    assert_int_equal(inflate_gzip(member, &buf, &err), ST_INVALID);
    packed[member.n - 5] ^= 1;
    struct str second = gzip(STR(" and more"), packed + member.n, sizeof packed - member.n);
    assert_int_equal(inflate_gzip((struct str){member.p, member.n + second.n}, &buf, &err), ST_OK);
    assert_true(str_is(buf_view(&buf), "a person becomes a row and a report, and a row and more"));
    buf_done(&buf);
}

static void test_client_against_server(void **state)
{
    struct bench bench;
    struct buf body, large;
    struct err err;
    char url[64];
    int code = 0;
    (void)state;

    bench_start(&bench, (struct http_options){0});
    snprintf(url, sizeof url, "http://127.0.0.1:%d/", http_port(bench.server));
    struct http_client *client = http_client_new(url, "secret");
    buf_init(&body, 1 << 20);
    assert_int_equal(
        http_client_send(client, "GET", "/facts/a%2Fb?q=1", NULL, STR(""), &code, &body, &err),
        ST_OK);
    assert_int_equal(code, 200);
    assert_true(str_is(buf_view(&body), "GET|/facts/a/b|1||127.0.0.1|1"));
    assert_int_equal(
        http_client_send(client, "POST", "/later", "text/plain", STR("hello"), &code, &body, &err),
        ST_OK);
    assert_true(str_is(buf_view(&body), "hello"));
    assert_int_equal(http_client_send(client, "HEAD", "/echo", NULL, STR(""), &code, &body, &err),
                     ST_OK);
    assert_int_equal(body.n, 0);
    assert_int_equal(http_client_send(client, "GET", "/busy", NULL, STR(""), &code, &body, &err),
                     ST_OK);
    assert_int_equal(code, 503);
    assert_non_null(strstr(body.p, "\"status\":503"));

    buf_init(&large, 100);
    buf_room(&large, 99);
    large.n = 99;
    memset(large.p, 'x', 99);
    buf_done(&body);
    buf_init(&body, 50);
    assert_int_equal(http_client_send(client, "POST", "/echo", "text/plain", buf_view(&large),
                                      &code, &body, &err),
                     ST_TOO_LARGE);
    buf_done(&large);
    bench_stop(&bench, 0);
    assert_int_equal(http_client_send(client, "GET", "/echo", NULL, STR(""), &code, &body, &err),
                     ST_BUSY);
    http_client_free(client);
    buf_done(&body);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_addresses_are_read_cut_and_compared),
        cmocka_unit_test(test_route_table),
        cmocka_unit_test(test_route_params),
        cmocka_unit_test(test_inflate_round_trip),
        cmocka_unit_test(test_inflate_cuts_a_bomb_at_the_limit),
        cmocka_unit_test(test_inflate_refuses_every_cut_and_damage),
        cmocka_unit_test(test_client_against_server),
    };
    int failed = cmocka_run_group_tests_name("net", tests, NULL, NULL);
    failed += net_parse_tests();
    failed += net_http_tests();
    failed += net_attack_tests();
    return failed;
}
