/* http.c - the server's beginning, end and figures; what it does in between is in http_loop.c.
 *
 * The end: first nothing new is begun and what was begun may be answered (`stopping`); then the
 * jobs are told and waited for, and nobody waits for room any more (`closing`); then the loops send
 * what is there, abandon the rest and close everything (`ending`). */
#include "net/http_int.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/limits.h"
#include "base/rng.h"

#define CONNECTIONS 8192u
#define FILES_RESERVED 256u /* descriptors that are not connections: journal, databases */
#define HEAD_US (10 * US_PER_S)
#define BODY_US (30 * US_PER_S)
#define IDLE_US (60 * US_PER_S)
#define SEND_US (30 * US_PER_S)
#define ROOM_US (50 * US_PER_MS) /* so long a body waits for room before it is refused */
#define LONG_QUEUE 32            /* jobs of http_work_long that may wait: each may take minutes */

static enum status listen_open(struct http_server *server, struct err *err)
{
    const struct http_options *options = &server->options;
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)options->port)};
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons((uint16_t)options->port)};
    bool is_v6 = inet_pton(AF_INET6, options->address, &v6.sin6_addr) == 1;

    if (!is_v6 && inet_pton(AF_INET, options->address, &v4.sin_addr) != 1)
        return err_set(err, ST_INVALID, "could not listen on %s: not an address in numbers",
                       options->address);
    const struct sockaddr *address =
        is_v6 ? (const struct sockaddr *)&v6 : (const struct sockaddr *)&v4;
    socklen_t n = is_v6 ? sizeof v6 : sizeof v4;
    int fd = socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return err_set(err, ST_IO, "could not make a socket: %s", strerror(errno));
    /* Who is accepted inherits TCP_NODELAY: an answer is one piece and shall not wait. */
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &(int){1}, sizeof(int)) != 0 ||
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int)) != 0 ||
        bind(fd, address, n) != 0 || listen(fd, SOMAXCONN) != 0 ||
        getsockname(fd, is_v6 ? (struct sockaddr *)&v6 : (struct sockaddr *)&v4, &n) != 0) {
        int reason = errno;
        close(fd);
        return err_set(err, reason == EADDRINUSE ? ST_CONFLICT : ST_IO,
                       "could not listen on %s port %d: %s", options->address, options->port,
                       strerror(reason));
    }
    server->listen_fd = fd;
    server->port = ntohs(is_v6 ? v6.sin6_port : v4.sin_port);
    return ST_OK;
}

/* Each connection is an open file: raise our limit as far as we may, and take no more connections
 * than it carries. */
static enum status files_reserve(struct http_server *server, struct err *err)
{
    struct rlimit limit;
    unsigned wanted = server->options.connections_max + FILES_RESERVED;

    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return err_set(err, ST_IO, "could not read the limit of open files: %s", strerror(errno));
    if (limit.rlim_cur < wanted) {
        struct rlimit raised = {limit.rlim_max < wanted ? limit.rlim_max : wanted, limit.rlim_max};
        if (setrlimit(RLIMIT_NOFILE, &raised) == 0)
            limit = raised;
    }
    server->connections_max = server->options.connections_max;
    if (limit.rlim_cur >= wanted)
        return ST_OK;
    /* Half of a small allowance is kept for files. */
    rlim_t kept = limit.rlim_cur / 2 < FILES_RESERVED ? limit.rlim_cur / 2 : FILES_RESERVED;
    server->connections_max = (unsigned)(limit.rlim_cur - kept);
    if (server->connections_max >= 16)
        return ST_OK;
    (void)err_set(err, ST_INVALID, "could not start: only %lu open files are allowed",
                  (unsigned long)limit.rlim_cur);
    return err_hint(err, ST_INVALID, "raise LimitNOFILE (ulimit -n) to %u", wanted);
}

static void options_default(struct http_options *options)
{
    if (options->threads == 0)
        options->threads = 2;
    if (options->threads > HTTP_LOOPS)
        options->threads = HTTP_LOOPS;
    if (options->workers == 0)
        options->workers = 2;
    if (options->long_workers == 0)
        options->long_workers = 2;
    if (options->inflight_max == 0)
        options->inflight_max = LIMIT_INFLIGHT_BYTES;
    if (options->connections_max == 0)
        options->connections_max = CONNECTIONS;
    if (options->room_us_max == 0)
        options->room_us_max = ROOM_US;
    if (options->header_us_max == 0)
        options->header_us_max = HEAD_US;
    if (options->body_us_max == 0)
        options->body_us_max = BODY_US;
    if (options->idle_us_max == 0)
        options->idle_us_max = IDLE_US;
    if (options->send_us_max == 0)
        options->send_us_max = SEND_US;
}

static enum status trusted_read(struct http_server *server, struct err *err)
{
    enum status status = ST_OK;
    const char *const *texts = server->options.trusted;
    for (; status == ST_OK && texts != NULL && *texts != NULL; texts++) {
        if (server->trusted_count == HTTP_TRUSTED_MAX)
            return err_set(err, ST_INVALID, "could not start: more than %d trusted proxies",
                           HTTP_TRUSTED_MAX);
        status = address_range_parse(str_trim(str_of(*texts)),
                                     &server->trusted[server->trusted_count++], err);
    }
    return status;
}

static enum status pools_start(struct http_server *server, struct err *err)
{
    const struct http_options *options = &server->options;
    enum status status = http_pool_start(&server->work, options->workers, HTTP_WORK_QUEUE, err);
    if (status != ST_OK)
        return status;
    status = http_pool_start(&server->long_work, options->long_workers, LONG_QUEUE, err);
    if (status != ST_OK)
        http_pool_stop(&server->work);
    return status;
}

static void pools_stop(struct http_server *server)
{
    http_pool_stop(&server->work);
    http_pool_stop(&server->long_work);
}

static void pools_free(struct http_server *server)
{
    http_pool_free(&server->work);
    http_pool_free(&server->long_work);
}

static enum status loops_start(struct http_server *server, struct err *err)
{
    enum status status = ST_OK;
    for (int i = 0; status == ST_OK && i < server->options.threads; i++)
        status = http_loop_make(server, err);
    for (int i = 0; status == ST_OK && i < server->loops_count; i++)
        status = http_loop_start(server->loops[i], err);
    return status;
}

static void loops_end(struct http_server *server)
{
    __atomic_store_n(&server->ending, true, __ATOMIC_SEQ_CST);
    for (int i = 0; i < server->loops_count; i++)
        if (server->loops[i]->started)
            http_loop_wake(server->loops[i]);
    for (int i = 0; i < server->loops_count; i++)
        if (server->loops[i]->started)
            pthread_join(server->loops[i]->thread, NULL);
    for (int i = 0; i < server->loops_count; i++)
        http_loop_free(server->loops[i]);
}

static void server_free(struct http_server *server)
{
    map_done(&server->peers);
    pthread_mutex_destroy(&server->mutex);
    pthread_mutex_destroy(&server->room_mutex);
    if (server->listen_fd >= 0)
        close(server->listen_fd);
    free(server);
}

enum status http_start(const struct http_options *options, struct http_server **ret_server,
                       struct err *err)
{
    struct http_server *server = mem_zero(sizeof *server);
    struct rng rng;

    server->options = *options;
    options_default(&server->options);
    CHECK(server->options.handle != NULL && server->options.body_limit != NULL);
    server->listen_fd = -1;
    rng_init_system(&rng);
    rng_bytes(&rng, server->peers_key.bytes, sizeof server->peers_key.bytes);
    map_init(&server->peers);
    pthread_mutex_init(&server->mutex, NULL);
    pthread_mutex_init(&server->room_mutex, NULL);

    enum status status = trusted_read(server, err);
    if (status == ST_OK)
        status = files_reserve(server, err);
    if (status == ST_OK)
        status = listen_open(server, err);
    if (status == ST_OK)
        status = pools_start(server, err);
    if (status != ST_OK) {
        server_free(server);
        return status;
    }
    status = loops_start(server, err);
    if (status != ST_OK) {
        loops_end(server);
        pools_stop(server);
        pools_free(server);
        server_free(server);
        return status;
    }
    *ret_server = server;
    return ST_OK;
}

int http_port(const struct http_server *server)
{
    return server->port;
}

static bool has_unfinished(const struct http_server *server)
{
    int64_t count = 0;
    for (int i = 0; i < server->loops_count; i++)
        count += __atomic_load_n(&server->loops[i]->counts.unfinished, __ATOMIC_RELAXED);
    return count > 0;
}

void http_stop(struct http_server *server, int64_t grace_us)
{
    /* In small steps: shutting down may be a little coarse. */
    const struct timespec step = {0, 1000000};
    int64_t until_us = monotonic_us() + grace_us;

    __atomic_store_n(&server->stopping, true, __ATOMIC_SEQ_CST);
    while (has_unfinished(server) && monotonic_us() < until_us)
        nanosleep(&step, NULL);

    __atomic_store_n(&server->closing, true, __ATOMIC_SEQ_CST);
    http_watch_stop(server);
    pools_stop(server);
    http_room_close(server);
    loops_end(server);
    pools_free(server);
    server_free(server);
}

void http_stats(struct http_server *server, struct http_stats *ret_stats)
{
    struct http_stats stats = {
        .connections = __atomic_load_n(&server->connections, __ATOMIC_RELAXED),
        .connections_max = server->connections_max,
        .inflight_bytes = __atomic_load_n(&server->inflight, __ATOMIC_RELAXED),
        .waiting_bytes = __atomic_load_n(&server->room_bytes, __ATOMIC_RELAXED),
    };
    for (int i = 0; i < server->loops_count; i++) {
        const struct http_counts *counts = &server->loops[i]->counts;
        stats.requests += __atomic_load_n(&counts->requests, __ATOMIC_RELAXED);
        stats.refused += __atomic_load_n(&counts->refused, __ATOMIC_RELAXED);
        stats.swept += __atomic_load_n(&counts->swept, __ATOMIC_RELAXED);
        for (int k = 0; k < 6; k++)
            stats.by_class[k] += __atomic_load_n(&counts->by_class[k], __ATOMIC_RELAXED);
    }
    *ret_stats = stats;
}
