/* http.c - the server: what libmicrohttpd calls, and how a request travels through it.
 *
 * MHD calls us for one request in this order, always on the thread that owns the connection:
 *
 *   on_target      the request line is read: take a request object
 *   on_request     1. the head is read: check it, refuse now or go on (request_begin)
 *                  2. for each piece of the body: keep it (request_body)
 *                  3. all is read: call the handler; no answer yet: suspend (request_handle)
 *                  4. after a resume: queue the answer (request_pick_up)
 *   on_completed   the answer is sent, or the connection is gone: put the object back
 *
 * Suspending without a lost wake-up: MHD_suspend_connection comes first, then HANDLING to WAITING
 * by compare-and-swap. A replier that was faster has made it REPLIED: then we resume ourselves. A
 * slower one finds WAITING, so the connection is surely suspended, and resumes it. MHD does not
 * look at a suspended connection, so nothing happens to the request while its replier works, even
 * if the client leaves; a replier that wants to know asks http_watch.c.
 *
 * epoll, not poll: a poll costs something for every open connection, and a thousand that idle or
 * drip would halve the rate of the others. http_lane.c stands between MHD and the kernel: the bug
 * that stood in the way, and what MHD asks too often.
 */
#include "net/http_int.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/limits.h"
#include "base/rng.h"

/* So long one that is over its address's limit may take: or it would hold a place for 30 s after
 * all. */
#define DROP_US (INT64_C(2) * US_PER_S)

static void *on_target(void *ctx, const char *uri, struct MHD_Connection *mhd)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    struct http_request *request = http_request_take(ctx);
    request->mhd = mhd;
    request->lane = http_lane_here();
    request->connection = info->socket_context;
    request->connection->linger = true; /* until the head is good: MHD may refuse it by itself */
    http_head_uri(request, uri);
    return request;
}

static bool must_close(const struct http_request *request)
{
    return request->close || __atomic_load_n(&request->server->stopping, __ATOMIC_RELAXED);
}

static enum MHD_Result queue(struct http_request *request, int code, struct MHD_Response *response)
{
    struct http_server *server = request->server;

    if (must_close(request))
        MHD_add_response_header(response, "Connection", "close");
    if (code >= 100 && code < 600)
        __atomic_add_fetch(&server->by_class[code / 100], 1, __ATOMIC_RELAXED);
    enum MHD_Result result = MHD_queue_response(request->mhd, (unsigned)code, response);
    MHD_destroy_response(response);
    return result;
}

static enum MHD_Result refuse(struct http_request *request, int code, const char *why)
{
    __atomic_add_fetch(&request->server->refused, 1, __ATOMIC_RELAXED);
    return queue(request, code, http_problem(code, why, "", code == 503));
}

/* Now, before the body: MHD reads nothing more of this connection. */
static enum MHD_Result refuse_early(struct http_request *request, int code, const char *why)
{
    request->close = true;
    request->connection->linger = true;
    return refuse(request, code, why);
}

/* Keep nothing of this body, answer 503 when it is through. */
static void refuse_later(struct http_request *request)
{
    request->refusal = 503;
    buf_reset(&request->body);
    http_room_set(request, 0);
}

#define TOO_LARGE "the body is larger than this route allows"
static const char busy[] = "could not take the request: too much is in flight";

void http_hurry(struct http_request *request)
{
    int64_t body_max = request->server->options.body_us_max;
    if (body_max > DROP_US)
        __atomic_store_n(&request->connection->since_us, monotonic_us() - (body_max - DROP_US),
                         __ATOMIC_RELAXED);
}

/* Admission, when the head is good: is there room for this one? */
static enum MHD_Result request_admit(struct http_request *request)
{
    const struct http_options *options = &request->server->options;
    bool allowed = http_connection_count(request->connection);

    request->body_max = options->body_limit(options->ctx, request);
    if (request->body_length > request->body_max)
        return refuse_early(request, 413, TOO_LARGE);
    request->body.max = request->body_max;
    if (allowed && http_room_ask(request) != ROOM_NONE)
        return MHD_YES; /* in, or waiting and no longer ours */
    if (request->body_length > HTTP_DROP_BYTES)
        return refuse_early(request, 503, busy);
    if (!allowed)
        http_hurry(request);
    refuse_later(request);
    return MHD_YES;
}

static enum MHD_Result request_begin(struct http_request *request, const char *method,
                                     const char *version)
{
    struct http_server *server = request->server;
    struct http_connection *connection = request->connection;
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(request->mhd, MHD_CONNECTION_INFO_REQUEST_HEADER_SIZE);
    const char *why = "";

    request->begun = true;
    connection->linger = false;
    __atomic_add_fetch(&server->requests, 1, __ATOMIC_RELAXED);
    __atomic_add_fetch(&server->unfinished, 1, __ATOMIC_RELAXED);
    __atomic_store_n(&connection->since_us, monotonic_us(), __ATOMIC_RELAXED);
    __atomic_store_n(&connection->phase, PHASE_BODY, __ATOMIC_RELEASE);

    int code = http_head_check(request, method, version, info->header_size, &why);
    if (code != 0)
        return refuse_early(request, code, why);
    request->path = str_of(request->uri); /* MHD cut the query off and decoded it by now */
    request->close = request->chunked;    /* http_head.c says why */
    if (__atomic_load_n(&server->stopping, __ATOMIC_RELAXED))
        return refuse_early(request, 503, "the server is stopping");
    return request_admit(request);
}

/* MHD takes no answer in the middle of a body, and only a chunked one can grow past its limit here.
 * Nothing else is on its way on this socket: the answers before were sent whole before this request
 * was read. */
static enum MHD_Result refuse_midway(struct http_request *request)
{
    static const char body[] = "{\"type\":\"about:blank\",\"title\":\"Content Too Large\","
                               "\"status\":413,\"detail\":\"" TOO_LARGE "\"}";
    char answer[512];
    int n = snprintf(answer, sizeof answer,
                     "HTTP/1.1 413 Content Too Large\r\nConnection: close\r\n"
                     "Content-Type: application/problem+json\r\nContent-Length: %zu\r\n\r\n%s",
                     sizeof body - 1, body);
    struct http_server *server = request->server;

    __atomic_add_fetch(&server->refused, 1, __ATOMIC_RELAXED);
    __atomic_add_fetch(&server->by_class[4], 1, __ATOMIC_RELAXED);
    request->connection->linger = true;
    /* A client too slow to take 250 bytes sees the connection close instead. */
    (void)!send(request->connection->fd, answer, (size_t)n, MSG_NOSIGNAL | MSG_DONTWAIT);
    return MHD_NO;
}

static enum MHD_Result request_body(struct http_request *request, const char *bytes, size_t n)
{
    if (request->refusal != 0)
        return MHD_YES;
    if (request->body.n + n > request->body_max)
        return refuse_midway(request);
    if (request->body.n == 0 && request->body_length <= HTTP_KEEP_BYTES)
        (void)buf_room(&request->body, request->body_length); /* exact: grows no more */
    buf_put(&request->body, bytes, n);
    if (request->body.n > request->charged &&
        !http_room_add(request, request->body.n - request->charged))
        refuse_later(request);
    return MHD_YES;
}

static void active_end(struct http_request *request)
{
    if (request->active)
        __atomic_sub_fetch(&request->server->active, 1, __ATOMIC_SEQ_CST);
    request->active = false;
}

static enum MHD_Result queue_fixed(struct http_request *request, const struct http_fixed *fixed)
{
    __atomic_add_fetch(&request->server->by_class[request->code / 100], 1, __ATOMIC_RELAXED);
    return MHD_queue_response(request->mhd, (unsigned)request->code, fixed->response);
}

static enum MHD_Result request_pick_up(struct http_request *request)
{
    active_end(request);
    if (__atomic_load_n(&request->state, __ATOMIC_ACQUIRE) == STATE_ABANDONED)
        return MHD_NO;
    struct MHD_Response *response = request->response;
    const struct http_fixed *fixed = request->fixed;
    request->response = NULL;
    if (fixed != NULL && !must_close(request))
        return queue_fixed(request, fixed);
    if (fixed != NULL) /* the fixed one says nothing of closing */
        response = http_response_make(fixed->type, fixed->body);
    return queue(request, request->code, response);
}

static enum MHD_Result request_handle(struct http_request *request)
{
    struct http_server *server = request->server;
    int state = STATE_HANDLING;

    request->read_whole = true;
    __atomic_store_n(&request->connection->phase, PHASE_BUSY, __ATOMIC_RELEASE);
    if (request->refusal != 0)
        return refuse(request, request->refusal, busy);
    /* First count, then look: http_stop first says closing, then waits for the count. */
    request->active = true;
    __atomic_add_fetch(&server->active, 1, __ATOMIC_SEQ_CST);
    if (__atomic_load_n(&server->closing, __ATOMIC_SEQ_CST)) {
        active_end(request);
        return refuse(request, 503, "the server is stopping");
    }
    __atomic_store_n(&request->state, STATE_HANDLING, __ATOMIC_RELEASE);
    server->options.handle(server->options.ctx, request);
    if (__atomic_load_n(&request->state, __ATOMIC_ACQUIRE) == STATE_REPLIED)
        return request_pick_up(request);

    struct MHD_Connection *mhd = request->mhd;
    MHD_suspend_connection(mhd);
    if (!__atomic_compare_exchange_n(&request->state, &state, STATE_WAITING, false,
                                     __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
        MHD_resume_connection(mhd);
    return MHD_YES;
}

static enum MHD_Result on_request(void *ctx, struct MHD_Connection *mhd, const char *url,
                                  const char *method, const char *version, const char *bytes,
                                  size_t *n, void **request_of)
{
    struct http_request *request = *request_of;
    (void)ctx;
    (void)mhd;
    (void)url;

    if (!request->begun)
        return request_begin(request, method, version);
    if (request->waits) {
        request->waits = false;
        active_end(request);
        /* MHD (0.9.75) says a second time that the head is read. */
        if (*n == 0)
            return request->refusal != 0 && request->body_length > HTTP_DROP_BYTES
                       ? refuse_early(request, request->refusal, busy)
                       : MHD_YES;
    }
    if (*n > 0) {
        size_t all = *n;
        *n = 0;
        return request_body(request, bytes, all);
    }
    return request->read_whole ? request_pick_up(request) : request_handle(request);
}

static void abandoned_let_go(struct http_request *request)
{
    struct http_server *server = request->server;

    pthread_mutex_lock(&server->pool_mutex);
    if (request->all_prev != NULL)
        request->all_prev->all_next = request->all_next;
    else
        server->requests_all = request->all_next;
    if (request->all_next != NULL)
        request->all_next->all_prev = request->all_prev;
    pthread_mutex_unlock(&server->pool_mutex);
    http_request_drop(request);
}

static void on_completed(void *ctx, struct MHD_Connection *mhd, void **request_of,
                         enum MHD_RequestTerminationCode code)
{
    struct http_request *request = *request_of;
    struct http_server *server = ctx;
    (void)mhd;
    (void)code;

    if (request == NULL)
        return;
    *request_of = NULL;
    struct http_connection *connection = request->connection;
    bool begun = request->begun;
    http_room_set(request, 0);
    active_end(request); /* a client that left may be noticed between resume and pick-up */
    int state = __atomic_load_n(&request->state, __ATOMIC_ACQUIRE);
    CHECK(state != STATE_HANDLING && state != STATE_WAITING); /* MHD leaves a suspended one alone */
    if (state == STATE_ABANDONED)
        abandoned_let_go(request);
    else
        http_request_give(request);
    if (!begun)
        return;
    http_connection_uncount(connection);
    __atomic_add_fetch(&connection->served, 1, __ATOMIC_RELEASE);
    __atomic_store_n(&connection->phase, PHASE_IDLE, __ATOMIC_RELEASE);
    __atomic_sub_fetch(&server->unfinished, 1, __ATOMIC_RELEASE);
}

static void on_connection(void *ctx, struct MHD_Connection *mhd, void **context,
                          enum MHD_ConnectionNotificationCode code)
{
    if (code == MHD_CONNECTION_NOTIFY_CLOSED) {
        http_lane_leave(((struct http_connection *)*context)->fd);
        http_connection_close(ctx, *context);
        *context = NULL;
        return;
    }
    int fd = MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd;
    const struct sockaddr *address =
        MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_CLIENT_ADDRESS)->client_addr;
    http_lane_enter(ctx, fd);
    *context = http_connection_open(ctx, fd, address);
}

static size_t on_unescape(void *ctx, struct MHD_Connection *mhd, char *text)
{
    (void)ctx;
    (void)mhd;
    return http_unescape(text);
}

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
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &(int){1}, sizeof(int)) != 0 ||
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
    unsigned wanted = server->options.connections_max + HTTP_FILES_RESERVED;

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
    rlim_t kept =
        limit.rlim_cur / 2 < HTTP_FILES_RESERVED ? limit.rlim_cur / 2 : HTTP_FILES_RESERVED;
    server->connections_max = (unsigned)(limit.rlim_cur - kept);
    if (server->connections_max >= 16)
        return ST_OK;
    (void)err_set(err, ST_INVALID, "could not start: only %lu open files are allowed",
                  (unsigned long)limit.rlim_cur);
    return err_hint(err, ST_INVALID, "raise LimitNOFILE (ulimit -n) to %u", wanted);
}

static enum status daemon_start(struct http_server *server, struct err *err)
{
    /* No MHD_USE_ERROR_LOG: a stranger must not fill our log. */
    unsigned flags = MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME;

    server->daemon = MHD_start_daemon(
        flags, 0, NULL, NULL, on_request, server, MHD_OPTION_LISTEN_SOCKET, server->listen_fd,
        MHD_OPTION_URI_LOG_CALLBACK, on_target, server, MHD_OPTION_NOTIFY_COMPLETED, on_completed,
        server, MHD_OPTION_NOTIFY_CONNECTION, on_connection, server, MHD_OPTION_UNESCAPE_CALLBACK,
        on_unescape, NULL, MHD_OPTION_THREAD_POOL_SIZE, (unsigned)server->options.threads,
        MHD_OPTION_CONNECTION_LIMIT, server->connections_max, MHD_OPTION_CONNECTION_TIMEOUT,
        HTTP_IDLE_S, MHD_OPTION_CONNECTION_MEMORY_LIMIT, HTTP_POOL_BYTES, MHD_OPTION_END);
    if (server->daemon == NULL)
        return err_set(err, ST_IO, "could not start the HTTP server: %s", strerror(errno));
    return ST_OK;
}

static void server_free(struct http_server *server)
{
    http_requests_free(server);
    http_lanes_free(server);
    map_done(&server->peers);
    pthread_mutex_destroy(&server->mutex);
    pthread_mutex_destroy(&server->pool_mutex);
    pthread_mutex_destroy(&server->room_mutex);
    close(server->listen_fd);
    free(server);
}

static void options_default(struct http_options *options)
{
    if (options->threads == 0)
        options->threads = 2;
    if (options->workers == 0)
        options->workers = 2;
    if (options->long_workers == 0)
        options->long_workers = 2;
    CHECK(options->workers + options->long_workers <= HTTP_WATCHES);
    if (options->inflight_max == 0)
        options->inflight_max = LIMIT_INFLIGHT_BYTES;
    if (options->connections_max == 0)
        options->connections_max = HTTP_CONNECTIONS;
    if (options->room_us_max == 0)
        options->room_us_max = HTTP_ROOM_US;
    if (options->header_us_max == 0)
        options->header_us_max = HTTP_HEAD_US;
    if (options->body_us_max == 0)
        options->body_us_max = HTTP_BODY_US;
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
    status = http_pool_start(&server->long_work, options->long_workers, HTTP_LONG_QUEUE, err);
    if (status != ST_OK)
        http_pool_stop(&server->work);
    return status;
}

static void pools_stop(struct http_server *server)
{
    http_pool_stop(&server->work);
    http_pool_stop(&server->long_work);
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
    pthread_mutex_init(&server->pool_mutex, NULL);
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
    status = http_sweeper_start(server, err);
    if (status == ST_OK) {
        status = daemon_start(server, err);
        if (status != ST_OK)
            http_sweeper_stop(server);
    }
    if (status != ST_OK) {
        pools_stop(server);
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

/* Wait in small steps until `counter` is 0 or the time has come; shutting down may be a little
 * coarse. */
static void wait_for_zero(int *counter, int64_t until_us)
{
    const struct timespec step = {0, 1000000};
    while (__atomic_load_n(counter, __ATOMIC_SEQ_CST) != 0 && monotonic_us() < until_us)
        nanosleep(&step, NULL);
}

/* Requests that wait for a replier who did not come in time: their connections are closed. */
static void requests_abandon(struct http_server *server)
{
    pthread_mutex_lock(&server->pool_mutex);
    for (struct http_request *r = server->requests_all; r != NULL; r = r->all_next) {
        int state = STATE_WAITING;
        if (__atomic_compare_exchange_n(&r->state, &state, STATE_ABANDONED, false, __ATOMIC_ACQ_REL,
                                        __ATOMIC_ACQUIRE))
            MHD_resume_connection(r->mhd);
    }
    pthread_mutex_unlock(&server->pool_mutex);
}

void http_stop(struct http_server *server, int64_t grace_us)
{
    __atomic_store_n(&server->stopping, true, __ATOMIC_SEQ_CST);
    /* Who knocks now is answered 503. The listening stays until the end: MHD_quiesce_daemon and a
     * thread that wakes just then both take the socket from its epoll set, and MHD (0.9.75) aborts
     * the process when the thread was first. */
    wait_for_zero(&server->unfinished, monotonic_us() + grace_us);

    __atomic_store_n(&server->closing, true, __ATOMIC_SEQ_CST);
    http_watch_stop(server);
    pools_stop(server);
    http_room_close(server);
    /* MHD aborts the process if a connection is suspended when it stops: so first none may be. */
    do {
        requests_abandon(server);
        wait_for_zero(&server->active, monotonic_us() + US_PER_MS);
    } while (__atomic_load_n(&server->active, __ATOMIC_SEQ_CST) != 0);
    MHD_stop_daemon(server->daemon);
    http_sweeper_stop(server);
    server_free(server);
}

void http_stats(struct http_server *server, struct http_stats *ret_stats)
{
    struct http_stats stats = {
        .requests = __atomic_load_n(&server->requests, __ATOMIC_RELAXED),
        .refused = __atomic_load_n(&server->refused, __ATOMIC_RELAXED),
        .swept = __atomic_load_n(&server->swept, __ATOMIC_RELAXED),
        .inflight_bytes = __atomic_load_n(&server->inflight, __ATOMIC_RELAXED),
        .waiting_bytes = __atomic_load_n(&server->room_bytes, __ATOMIC_RELAXED),
        .connections_max = server->connections_max,
    };
    for (int i = 0; i < 6; i++)
        stats.by_class[i] = __atomic_load_n(&server->by_class[i], __ATOMIC_RELAXED);
    pthread_mutex_lock(&server->mutex);
    stats.connections = server->connections_count;
    pthread_mutex_unlock(&server->mutex);
    *ret_stats = stats;
}
