/* load.c - the load client: many connections, one thread, and so little work of its own that the
 * server is measured.
 *
 *   load batch  --key K --port P [--events N] [--connections C] [--batch B] [--rate EVENTS/S]
 * [--seconds S] load single --key K …                    one event per POST load read   --bearer K
 * --rate R …        profiles of known persons, open loop
 *
 * Events come from generate.h (--short-days N: its short ones, over N days) and are the same for
 * the same --seed; --skip N starts after the first N of them. A batch that is refused (503, 429) or
 * cut is sent again with the same message ids, after Retry-After; so every event ends up
 * acknowledged, or the program says why not. With --rate each request has a time at which it is
 * due, and its latency counts from then: a server that stalls cannot hide the requests that it kept
 * from being sent. Without, it counts from the first byte sent. The result is one JSON object on
 * stdout. */
#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "generate.h"
#include "meter.h"

#define HEAD_MAX 8192
#define CONNECTIONS_MAX 4096
#define WINDOW_US 100000
#define SILENCE_US (INT64_C(60) * 1000000) /* nothing heard for so long: the run is broken */

enum mode { MODE_BATCH, MODE_SINGLE, MODE_READ };
enum state { IDLE, SENDING, WAITING, RESTING /* until due_us, then the same request again */ };

struct connection {
    int fd;
    enum state state;
    uint32_t events; /* in the request in hand */
    int64_t due_us, started_us;
    char *out;
    size_t out_n, out_sent;
    char head[HEAD_MAX + 1];
    size_t head_n, body_left;
    int code, retry_after_s;
    bool head_done, closing;
};

struct options {
    enum mode mode;
    int port, connections;
    uint32_t batch, persons, short_days, slow_ms;
    uint64_t events, skip, seed;
    double rate, seconds;
    const char *key, *bearer, *path;
};

static struct options options = {.port = 8080,
                                 .connections = 16,
                                 .batch = 100,
                                 .persons = 1000000,
                                 .events = 1000000,
                                 .seed = 1};
static struct generate *generate;
static struct connection *connections;
static struct meter meter;
static uint64_t *windows; /* window << 32 | µs */
static size_t windows_count, windows_capacity;
static int poller;
static uint64_t issued, acked, posts, resent, codes[600];
/* Within --seconds; who rests then is still served, but is not the rate's. */
static uint64_t acked_in_time;
static int64_t in_time_us;
static int64_t first_us, last_us, heard_us;
static char head_start[1024];

static void fail(const char *what, const char *why)
{
    fprintf(stderr, "load: %s: %s\n", what, why);
    exit(1);
}

static void watch(struct connection *connection, bool writing)
{
    struct epoll_event event = {.events = writing ? EPOLLIN | EPOLLOUT : EPOLLIN,
                                .data.ptr = connection};
    if (epoll_ctl(poller, EPOLL_CTL_MOD, connection->fd, &event) != 0)
        fail("epoll_ctl", strerror(errno));
}

/* Loopback connects at once or not at all, so this may block. */
static bool connect_to(struct connection *connection)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)options.port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    connection->fd = socket(AF_INET, SOCK_STREAM, 0);
    if (connection->fd < 0)
        fail("socket", strerror(errno));
    if (connect(connection->fd, (struct sockaddr *)&address, sizeof address) != 0) {
        close(connection->fd);
        connection->fd = -1;
        return false;
    }
    int one = 1;
    setsockopt(connection->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = connection};
    if (epoll_ctl(poller, EPOLL_CTL_ADD, connection->fd, &event) != 0)
        fail("epoll_ctl", strerror(errno));
    return true;
}

static char *put(char *out, const char *text)
{
    size_t n = strlen(text);
    memcpy(out, text, n);
    return out + n;
}

static void encode_base64(const char *text, char *out)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    size_t n = strlen(text);
    for (size_t i = 0; i < n; i += 3) {
        unsigned v = 0;
        for (size_t k = 0; k < 3; k++)
            v = v << 8 | (i + k < n ? (unsigned char)text[i + k] : 0u);
        *out++ = digits[v >> 18];
        *out++ = digits[v >> 12 & 63];
        *out++ = i + 1 < n ? digits[v >> 6 & 63] : '=';
        *out++ = i + 2 < n ? digits[v & 63] : '=';
    }
    *out = '\0';
}

static void make_head(void)
{
    char plain[256], coded[400];
    const char *path = options.path != NULL          ? options.path
                       : options.mode == MODE_SINGLE ? "/v1/track"
                                                     : "/v1/batch";
    if (options.mode == MODE_READ)
        return;
    snprintf(plain, sizeof plain, "%s:", options.key);
    encode_base64(plain, coded);
    snprintf(head_start, sizeof head_start,
             "POST %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nAuthorization: Basic %s\r\n"
             "Content-Type: application/json\r\nContent-Length: ",
             path, options.port, coded);
}

static void make_post(struct connection *connection)
{
    char length[64], *out = connection->out;
    uint32_t count = options.mode == MODE_SINGLE ? 1 : options.batch;
    if (options.events - issued < count)
        count = (uint32_t)(options.events - issued);
    size_t body =
        (size_t)count * (generate_bytes(generate) + 1) - 1 + (options.mode == MODE_SINGLE ? 0 : 12);
    snprintf(length, sizeof length, "%zu\r\n\r\n", body);
    out = put(put(out, head_start), length);
    if (options.mode == MODE_BATCH)
        out = put(out, "{\"batch\":[");
    for (uint32_t i = 0; i < count; i++) {
        struct generate_event event;
        generate_next(generate, &event);
        generate_write(generate, &event, out);
        out += generate_bytes(generate);
        if (i + 1 < count)
            *out++ = ',';
    }
    if (options.mode == MODE_BATCH)
        out = put(out, "]}");
    connection->events = count;
    connection->out_n = (size_t)(out - connection->out);
}

static void make_get(struct connection *connection)
{
    char user[16];
    generate_user_id(generate_person(generate), user);
    connection->events = 1;
    connection->out_n =
        (size_t)snprintf(connection->out, 1024,
                         "GET /api/v1/profiles/user_id:%s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n"
                         "Authorization: Bearer %s\r\n\r\n",
                         user, options.port, options.bearer);
}

static void rest(struct connection *connection, int64_t due_us)
{
    connection->state = RESTING;
    connection->due_us = due_us;
}

/* The connection is gone: the request in hand, if any, is sent again on a new one. */
static void reconnect(struct connection *connection)
{
    if (connection->fd >= 0)
        close(connection->fd);
    connection->fd = -1;
    if (connection->state == SENDING || connection->state == WAITING) {
        resent += connection->events;
        rest(connection, meter_now_us(CLOCK_MONOTONIC) + 20000);
    }
}

static void send_more(struct connection *connection)
{
    while (connection->out_sent < connection->out_n) {
        ssize_t n = send(connection->fd, connection->out + connection->out_sent,
                         connection->out_n - connection->out_sent, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
            watch(connection, true);
            return;
        }
        if (n < 0) {
            reconnect(connection);
            return;
        }
        connection->out_sent += (size_t)n;
    }
    if (connection->state == SENDING)
        connection->state = WAITING;
}

static void start_sending(struct connection *connection, int64_t now_us)
{
    if (connection->fd < 0 && !connect_to(connection)) {
        rest(connection, now_us + 50000);
        return;
    }
    connection->state = SENDING;
    connection->out_sent = connection->head_n = connection->body_left = 0;
    connection->head_done = connection->closing = false;
    connection->code = connection->retry_after_s = 0;
    posts++;
    send_more(connection);
}

/* Every latency with the window of 100 ms in which its request was due. */
static void windows_add(int64_t due_us, int64_t us)
{
    if (windows_count == windows_capacity) {
        windows_capacity = windows_capacity == 0 ? 1 << 16 : windows_capacity * 2;
        windows = realloc(windows, windows_capacity * sizeof *windows);
        if (windows == NULL)
            fail("out of memory", "latencies");
    }
    uint64_t window = due_us < first_us ? 0 : (uint64_t)(due_us - first_us) / WINDOW_US;
    windows[windows_count++] = window << 32 | (us > UINT32_MAX ? UINT32_MAX : (uint32_t)us);
}

static int compare_u64(const void *left, const void *right)
{
    uint64_t x = *(const uint64_t *)left, y = *(const uint64_t *)right;
    return (x > y) - (x < y);
}

/* The p99 of each window, and of those the middle one: what the server does when the machine does
 * not stand still. */
static double windows_middle_p99_ms(void)
{
    size_t count = 0;
    if (windows_count == 0)
        return 0;
    qsort(windows, windows_count, sizeof *windows, compare_u64);
    for (size_t i = 0, next; i < windows_count; i = next) {
        for (next = i; next < windows_count && windows[next] >> 32 == windows[i] >> 32;)
            next++;
        if (options.slow_ms > 0 && (uint32_t)windows[next - 1] >= options.slow_ms * 1000)
            fprintf(stderr, "at %.1f s: %zu requests, p50 %.1f ms, longest %.1f ms\n",
                    ((double)first_us + (double)(windows[i] >> 32) * WINDOW_US) / 1e6, next - i,
                    (uint32_t)windows[(i + next) / 2] / 1e3, (uint32_t)windows[next - 1] / 1e3);
        windows[count++] = (uint32_t)windows[i + (next - i - 1) * 99 / 100];
    }
    qsort(windows, count, sizeof *windows, compare_u64);
    return (double)windows[count / 2] / 1000;
}

/* A new request, whose latency counts from `due_us`. */
static void start(struct connection *connection, int64_t due_us, int64_t now_us)
{
    if (options.mode == MODE_READ)
        make_get(connection);
    else
        make_post(connection);
    issued += connection->events;
    connection->started_us = due_us;
    if (first_us == 0)
        first_us = now_us;
    start_sending(connection, now_us);
}

static bool may_start(int64_t now_us)
{
    return issued < options.events && (options.seconds <= 0 || first_us == 0 ||
                                       (double)(now_us - first_us) < options.seconds * 1e6);
}

static void finish(struct connection *connection, int64_t now_us)
{
    int code = connection->code;
    codes[code > 0 && code < 600 ? code : 0]++;
    if (connection->closing) {
        close(connection->fd);
        connection->fd = -1;
    }
    if (code == 503 || code == 429) {
        resent += connection->events;
        rest(connection,
             now_us + (int64_t)(connection->retry_after_s > 0 ? connection->retry_after_s : 1) *
                          1000000);
        return;
    }
    /* Zipf may name a person that was never seen: an answer all the same. */
    if ((code >= 200 && code < 300) || (code == 404 && options.mode == MODE_READ))
        acked += connection->events;
    if (options.seconds <= 0 || (double)(now_us - first_us) <= options.seconds * 1e6)
        acked_in_time = acked, in_time_us = now_us;
    meter_add(&meter, now_us - connection->started_us);
    windows_add(connection->started_us, now_us - connection->started_us);
    last_us = now_us;
    connection->state = IDLE;
    if (options.rate <= 0 && may_start(now_us))
        start(connection, now_us, now_us);
}

static void parse_head(struct connection *connection, const char *body)
{
    const char *length = strcasestr(connection->head, "\r\ncontent-length:");
    const char *after = strcasestr(connection->head, "\r\nretry-after:");
    const char *closing = strcasestr(connection->head, "\r\nconnection: close");
    if (strncmp(connection->head, "HTTP/1.1 ", 9) != 0)
        fail("not an HTTP answer", connection->head);
    connection->code = (int)strtol(connection->head + 9, NULL, 10);
    if (length != NULL && length < body)
        connection->body_left = strtoul(length + 17, NULL, 10);
    else if (connection->code != 204 && connection->code != 304)
        fail("an answer without Content-Length", connection->head);
    if (after != NULL && after < body)
        connection->retry_after_s = (int)strtol(after + 14, NULL, 10);
    connection->closing = closing != NULL && closing < body;
    connection->head_done = true;
}

static void receive(struct connection *connection, int64_t now_us)
{
    static char waste[1 << 16];
    char *into = connection->head_done ? waste : connection->head + connection->head_n;
    size_t room = connection->head_done ? sizeof waste : HEAD_MAX - connection->head_n;
    ssize_t n = recv(connection->fd, into, room, MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0 || connection->state == IDLE || connection->state == RESTING) {
        reconnect(connection);
        return;
    }
    heard_us = now_us;
    size_t body = (size_t)n;
    if (!connection->head_done) {
        connection->head_n += (size_t)n;
        connection->head[connection->head_n] = '\0';
        const char *end = strstr(connection->head, "\r\n\r\n");
        if (end == NULL && connection->head_n == HEAD_MAX)
            fail("an answer's head is too long", connection->head);
        if (end == NULL)
            return;
        parse_head(connection, end + 4);
        body = connection->head_n - (size_t)(end + 4 - connection->head);
    }
    connection->body_left -= body < connection->body_left ? body : connection->body_left;
    if (connection->body_left == 0)
        finish(connection, now_us);
}

/* Requests that are due, and those that rested long enough. */
static void start_due(int64_t now_us)
{
    static int next;
    double each_us = options.rate > 0 ? 1e6 / options.rate : 0;
    uint64_t per_post = options.mode == MODE_BATCH ? options.batch : 1;
    for (int i = 0; i < options.connections; i++) {
        struct connection *connection = &connections[(next + i) % options.connections];
        if (connection->state == RESTING && connection->due_us <= now_us)
            start_sending(connection, now_us);
        if (connection->state != IDLE || !may_start(now_us))
            continue;
        if (options.rate <= 0) {
            start(connection, now_us, now_us);
            continue;
        }
        if (first_us == 0)
            first_us = now_us;
        int64_t due_us = first_us + (int64_t)((double)(issued / per_post * per_post) * each_us);
        if (due_us > now_us)
            break;
        start(connection, due_us, now_us);
    }
    next = (next + 1) % options.connections;
}

static bool is_busy(void)
{
    for (int i = 0; i < options.connections; i++)
        if (connections[i].state != IDLE)
            return true;
    return false;
}

static void run(void)
{
    struct epoll_event events[256];
    int64_t swept_us = 0;
    heard_us = meter_now_us(CLOCK_MONOTONIC);
    for (;;) {
        int64_t now_us = meter_now_us(CLOCK_MONOTONIC);
        if (options.rate > 0 || now_us - swept_us >= 1000) {
            start_due(now_us);
            swept_us = now_us;
        }
        if (!may_start(now_us) && !is_busy())
            return;
        if (now_us - heard_us > SILENCE_US)
            fail("the server has been silent for", "60 s");
        int count = epoll_wait(poller, events, 256, 1);
        now_us = meter_now_us(CLOCK_MONOTONIC);
        for (int i = 0; i < count; i++) {
            struct connection *connection = events[i].data.ptr;
            if (connection->fd >= 0 && (events[i].events & EPOLLOUT) != 0) {
                watch(connection, false);
                send_more(connection);
            }
            if (connection->fd >= 0 && (events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0)
                receive(connection, now_us);
        }
    }
}

static double cpu_seconds(void)
{
    return (double)meter_now_us(CLOCK_PROCESS_CPUTIME_ID) / 1e6;
}

static void print_result(double cpu)
{
    static const char *const modes[] = {"batch", "single", "read"};
    double seconds = (double)(last_us - first_us) / 1e6;
    printf("{\"mode\":\"%s\",\"issued\":%llu,\"acked\":%llu,\"requests\":%llu,\"resent\":%llu,"
           "\"codes\":{",
           modes[options.mode], (unsigned long long)issued, (unsigned long long)acked,
           (unsigned long long)posts, (unsigned long long)resent);
    const char *comma = "";
    for (int code = 0; code < 600; code++) {
        if (codes[code] == 0)
            continue;
        printf("%s\"%d\":%llu", comma, code, (unsigned long long)codes[code]);
        comma = ",";
    }
    printf("},\"seconds\":%.3f,\"rate\":%.0f,\"latency_ms\":", seconds,
           in_time_us > first_us ? (double)acked_in_time * 1e6 / (double)(in_time_us - first_us)
                                 : 0);
    meter_print(&meter, stdout);
    printf(",\"p99_middle_window_ms\":%.3f", windows_middle_p99_ms());
    printf(",\"started_us\":%lld,\"ended_us\":%lld,\"client_cpu_s\":%.3f,\"client_us_per_event\":%."
           "3f}\n",
           (long long)first_us, (long long)last_us, cpu, acked > 0 ? cpu * 1e6 / (double)acked : 0);
}

static void usage(void)
{
    fputs("usage: load batch|single|read [--port P] [--connections C] [--events N] [--batch B] "
          "[--persons N]\n"
          "            [--seed N] [--skip N] [--rate PER_S] [--seconds S] [--key WRITE_KEY] "
          "[--bearer KEY]\n"
          "            [--path PATH] [--slow-ms MS]\n",
          stderr);
    exit(2);
}

static void set_option(int option, const char *text)
{
    switch (option) {
    case 'p':
        options.port = (int)strtol(text, NULL, 10);
        return;
    case 'c':
        options.connections = (int)strtol(text, NULL, 10);
        return;
    case 'n':
        options.events = strtoull(text, NULL, 10);
        return;
    case 'b':
        options.batch = (uint32_t)strtoul(text, NULL, 10);
        return;
    case 'P':
        options.persons = (uint32_t)strtoul(text, NULL, 10);
        return;
    case 's':
        options.seed = strtoull(text, NULL, 10);
        return;
    case 'S':
        options.skip = strtoull(text, NULL, 10);
        return;
    case 'r':
        options.rate = strtod(text, NULL);
        return;
    case 't':
        options.seconds = strtod(text, NULL);
        return;
    case 'k':
        options.key = text;
        return;
    case 'B':
        options.bearer = text;
        return;
    case 'd':
        options.short_days = (uint32_t)strtoul(text, NULL, 10);
        return;
    case 'l':
        options.slow_ms = (uint32_t)strtoul(text, NULL, 10);
        return;
    case 'u':
        options.path = text;
        return;
    default:
        usage();
    }
}

static void read_options(int argc, char **argv)
{
    static const struct option longs[] = {
        {"port", 1, NULL, 'p'},       {"connections", 1, NULL, 'c'}, {"events", 1, NULL, 'n'},
        {"batch", 1, NULL, 'b'},      {"persons", 1, NULL, 'P'},     {"seed", 1, NULL, 's'},
        {"skip", 1, NULL, 'S'},       {"rate", 1, NULL, 'r'},        {"seconds", 1, NULL, 't'},
        {"key", 1, NULL, 'k'},        {"bearer", 1, NULL, 'B'},      {"path", 1, NULL, 'u'},
        {"short-days", 1, NULL, 'd'}, {"slow-ms", 1, NULL, 'l'},     {NULL, 0, NULL, 0},
    };
    static const char *const modes[] = {"batch", "single", "read"};
    int mode = 0, option;
    while (argc > 1 && mode < 3 && strcmp(argv[1], modes[mode]) != 0)
        mode++;
    if (argc < 2 || mode == 3)
        usage();
    options.mode = (enum mode)mode;
    if (options.mode == MODE_SINGLE)
        options.connections = 256;
    while ((option = getopt_long(argc - 1, argv + 1, "", longs, NULL)) != -1)
        set_option(option, optarg);
    bool has_key = options.mode == MODE_READ ? options.bearer != NULL : options.key != NULL;
    if (!has_key || options.connections < 1 || options.connections > CONNECTIONS_MAX ||
        options.batch < 1 || options.persons < 1 ||
        (options.mode == MODE_READ && options.rate <= 0))
        usage();
}

int main(int argc, char **argv)
{
    read_options(argc, argv);
    generate = generate_new(options.seed, options.persons, meter_now_us(CLOCK_REALTIME) / 1000);
    if (options.short_days > 0)
        generate_make_short(generate, options.short_days, options.skip + options.events);
    for (uint64_t i = 0; i < options.skip; i++) {
        struct generate_event event;
        generate_next(generate, &event);
    }
    make_head();
    poller = epoll_create1(0);
    connections = calloc((size_t)options.connections, sizeof *connections);
    if (poller < 0 || connections == NULL)
        fail("could not start", strerror(errno));
    for (int i = 0; i < options.connections; i++) {
        connections[i].fd = -1;
        connections[i].out = malloc((size_t)options.batch * (GENERATE_EVENT_BYTES + 1) + 2048);
        if (connections[i].out == NULL || !connect_to(&connections[i]))
            fail("could not connect to 127.0.0.1", strerror(errno));
    }
    double cpu_before = cpu_seconds();
    run();
    print_result(cpu_seconds() - cpu_before);
    return acked == issued ? 0 : 1;
}
