/* http_loop.c - one of the server's few threads: it sleeps in epoll_wait and drives its
 * connections.
 *
 * A connection is registered once, for everything, edge-triggered: the kernel tells once that
 * something came, and is asked for nothing more in its whole life than to read and to write. What
 * it told while a request was handled is kept as a bit (`readable`, `ended`). So a request costs a
 * recv and a send, and its share of one epoll_wait.
 *
 * All loops listen on the same socket (EPOLLEXCLUSIVE: one of them is woken). Who accepts gives the
 * connection to the loop that has the fewest.
 *
 * Other threads lay what is for a loop (an answered request, a new connection) on a stack of its
 * own, and write its eventfd only when it sleeps. It says that it sleeps, then looks at its stacks,
 * then sleeps; they lay down, then look whether it sleeps: one of both sees the other.
 *
 * A turn: the events, the mail, one of those that wait for a turn of their own (a large body, more
 * than one share of reads), the times that are over. So what is short waits for one large body and
 * not for a row of them. Times come last and only when all events were read: a sender is never
 * ended for what we were too slow to read. */
#include "net/http_int.h"

#include <errno.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/thread.h"

/* So long one that is over its address's limit may take: or it would hold a place for 30 s after
 * all. */
#define HURRY_US (2 * US_PER_S)
#define LINGER_US (2 * US_PER_S)
#define EVENTS (int)(sizeof loop->events / sizeof loop->events[0])
#define ACCEPTS 64                   /* in a row, before the others are served again */
#define DEAF_US (INT64_C(20) * 1000) /* with all places taken */

/* --- phases ----------------------------------------------------------------------------------- */

static void list_remove(struct http_list *list, struct http_connection *connection)
{
    if (connection->prev != NULL)
        connection->prev->next = connection->next;
    else
        list->first = connection->next;
    if (connection->next != NULL)
        connection->next->prev = connection->prev;
    else
        list->last = connection->prev;
}

static void list_append(struct http_list *list, struct http_connection *connection)
{
    connection->prev = list->last;
    connection->next = NULL;
    if (list->last != NULL)
        list->last->next = connection;
    else
        list->first = connection;
    list->last = connection;
}

static void phase_begin(struct http_connection *connection, enum http_phase phase)
{
    struct http_loop *loop = connection->loop;
    struct http_list *list = &loop->phases[phase];
    list_append(list, connection);
    connection->phase = phase;
    /* A minute is not measured: the turn's time will do. */
    int64_t now = phase == PHASE_IDLE || list->limit_us == 0 ? loop->now_us : monotonic_us();
    connection->until_us = list->limit_us == 0 ? INT64_MAX : now + list->limit_us;
}

void http_phase_enter(struct http_connection *connection, enum http_phase phase)
{
    list_remove(&connection->loop->phases[connection->phase], connection);
    phase_begin(connection, phase);
}

static void time_over(struct http_connection *connection)
{
    struct http_loop *loop = connection->loop;
    switch (connection->phase) {
    case PHASE_HEAD:
    case PHASE_BODY:
    case PHASE_HURRY:
    case PHASE_SEND:
        HTTP_COUNT(loop->counts.swept, 1);
        http_connection_close(connection);
        return;
    case PHASE_ROOM:
        if (!http_room_leave(connection->request)) { /* its mail is on the way */
            http_phase_enter(connection, PHASE_ROOM);
            return;
        }
        connection->request->refusal = 503;
        http_serve_admitted(connection->request);
        http_connection_read(connection);
        return;
    case PHASE_IDLE:
    case PHASE_LINGER:
        http_connection_close(connection);
        return;
    case PHASE_BUSY:
    case PHASE_CLOSED:
    case HTTP_PHASES:
        break;
    }
    CHECK(false); /* these have no time */
}

static void times_over(struct http_loop *loop)
{
    for (int i = 0; i < HTTP_PHASES; i++) {
        struct http_list *list = &loop->phases[i];
        while (list->first != NULL && list->first->until_us <= loop->now_us)
            time_over(list->first);
    }
}

static int64_t next_time(const struct http_loop *loop)
{
    int64_t next = loop->deaf ? loop->deaf_until_us : INT64_MAX;
    for (int i = 0; i < HTTP_PHASES; i++) {
        const struct http_connection *first = loop->phases[i].first;
        if (first != NULL && first->until_us < next)
            next = first->until_us;
    }
    return next;
}

/* --- who comes -------------------------------------------------------------------------------- */

static enum status listen_begin(struct http_loop *loop, struct err *err)
{
    struct epoll_event event = {.events = EPOLLIN | EPOLLEXCLUSIVE, .data.ptr = loop->server};
    if (epoll_ctl(loop->poller, EPOLL_CTL_ADD, loop->server->listen_fd, &event) != 0)
        return err_set(err, ST_IO, "could not watch the listening socket: %s", strerror(errno));
    loop->deaf = false;
    return ST_OK;
}

/* Whoever knocks waits in the kernel's queue; to look at it in vain would cost a core. */
static void listen_pause(struct http_loop *loop)
{
    (void)epoll_ctl(loop->poller, EPOLL_CTL_DEL, loop->server->listen_fd, NULL);
    loop->deaf = true;
    loop->deaf_until_us = monotonic_us() + DEAF_US;
}

static void listen_again(struct http_loop *loop)
{
    if (loop->deaf && loop->deaf_until_us <= loop->now_us && listen_begin(loop, NULL) != ST_OK)
        loop->deaf_until_us = loop->now_us + DEAF_US;
}

static void enter(struct http_loop *loop, struct http_connection *connection)
{
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET,
                                .data.ptr = connection};
    phase_begin(connection, PHASE_IDLE);
    if (epoll_ctl(loop->poller, EPOLL_CTL_ADD, connection->fd, &event) != 0)
        http_connection_close(connection);
}

static void wake_sleeper(struct http_loop *loop)
{
    if (__atomic_load_n(&loop->asleep, __ATOMIC_SEQ_CST) &&
        __atomic_exchange_n(&loop->asleep, false, __ATOMIC_SEQ_CST))
        http_loop_wake(loop);
}

static struct http_loop *fewest(struct http_loop *here)
{
    struct http_server *server = here->server;
    struct http_loop *best = here;
    unsigned least = __atomic_load_n(&here->connections, __ATOMIC_RELAXED);
    for (int i = 0; i < server->loops_count; i++) {
        unsigned has = __atomic_load_n(&server->loops[i]->connections, __ATOMIC_RELAXED);
        if (has < least) {
            best = server->loops[i];
            least = has;
        }
    }
    return best;
}

static void give(struct http_loop *here, int fd, const struct sockaddr *address)
{
    struct http_loop *loop = fewest(here);
    struct http_connection *connection = http_connection_open(loop, fd, address);
    if (loop == here) {
        enter(here, connection);
        return;
    }
    __atomic_add_fetch(&loop->posting, 1, __ATOMIC_SEQ_CST);
    connection->next = __atomic_load_n(&loop->arrived, __ATOMIC_RELAXED);
    while (!__atomic_compare_exchange_n(&loop->arrived, &connection->next, connection, true,
                                        __ATOMIC_SEQ_CST, __ATOMIC_RELAXED))
        continue;
    wake_sleeper(loop);
    __atomic_sub_fetch(&loop->posting, 1, __ATOMIC_SEQ_CST);
}

static void accept_some(struct http_loop *loop)
{
    struct http_server *server = loop->server;
    for (int i = 0; i < ACCEPTS; i++) {
        struct sockaddr_in6 address; /* or a sockaddr_in, which is smaller */
        socklen_t n = sizeof address;
        if (__atomic_add_fetch(&server->connections, 1, __ATOMIC_RELAXED) >
            server->connections_max) {
            __atomic_sub_fetch(&server->connections, 1, __ATOMIC_RELAXED);
            listen_pause(loop);
            return;
        }
        int fd = accept4(server->listen_fd, (struct sockaddr *)&address, &n,
                         SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0) {
            give(loop, fd, (struct sockaddr *)&address);
            continue;
        }
        int why = errno;
        __atomic_sub_fetch(&server->connections, 1, __ATOMIC_RELAXED);
        if (why == EMFILE || why == ENFILE || why == ENOBUFS || why == ENOMEM)
            listen_pause(loop);
        if (why != EINTR && why != ECONNABORTED)
            return;
    }
}

/* --- mail ------------------------------------------------------------------------------------- */

void http_loop_wake(struct http_loop *loop)
{
    /* Cannot fail but by a counter of 2^64 - 2. */
    (void)!write(loop->wake, &(uint64_t){1}, sizeof(uint64_t));
}

void http_loop_post(struct http_request *request)
{
    struct http_loop *loop = request->loop;
    __atomic_add_fetch(&loop->posting, 1, __ATOMIC_SEQ_CST);
    request->mail_next = __atomic_load_n(&loop->mail, __ATOMIC_RELAXED);
    while (!__atomic_compare_exchange_n(&loop->mail, &request->mail_next, request, true,
                                        __ATOMIC_SEQ_CST, __ATOMIC_RELAXED))
        continue; /* from here on the request may be gone */
    wake_sleeper(loop);
    __atomic_sub_fetch(&loop->posting, 1, __ATOMIC_SEQ_CST);
}

static void mail_take(struct http_loop *loop)
{
    if (__atomic_load_n(&loop->mail, __ATOMIC_RELAXED) == NULL)
        return;
    struct http_request *request = __atomic_exchange_n(&loop->mail, NULL, __ATOMIC_ACQUIRE);
    for (struct http_request *next; request != NULL; request = next) {
        struct http_connection *connection = request->connection;
        next = request->mail_next;
        if (connection->phase == PHASE_ROOM)
            http_serve_admitted(request);
        else
            http_serve_answered(request);
        http_connection_read(connection);
    }
}

static void arrived_take(struct http_loop *loop)
{
    if (__atomic_load_n(&loop->arrived, __ATOMIC_RELAXED) == NULL)
        return;
    struct http_connection *connection =
        __atomic_exchange_n(&loop->arrived, NULL, __ATOMIC_ACQUIRE);
    for (struct http_connection *next; connection != NULL; connection = next) {
        next = connection->next;
        enter(loop, connection);
    }
}

static bool has_mail(struct http_loop *loop)
{
    return __atomic_load_n(&loop->mail, __ATOMIC_SEQ_CST) != NULL ||
           __atomic_load_n(&loop->arrived, __ATOMIC_SEQ_CST) != NULL;
}

/* --- turns ------------------------------------------------------------------------------------ */

static void connection_event(struct http_connection *connection, uint32_t events)
{
    if ((events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0)
        connection->readable = true;
    if ((events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0)
        http_watch_left(connection);
    switch (connection->phase) {
    case PHASE_IDLE:
    case PHASE_HEAD:
    case PHASE_BODY:
    case PHASE_HURRY:
        http_connection_event(connection);
        return;
    case PHASE_SEND:
        http_connection_send(connection);
        http_connection_read(connection);
        return;
    case PHASE_LINGER:
        http_connection_drop_input(connection);
        return;
    case PHASE_ROOM:
    case PHASE_BUSY:
    case PHASE_CLOSED:
    case HTTP_PHASES:
        return;
    }
}

static struct http_connection *again_take(struct http_loop *loop)
{
    struct http_connection *connection = loop->again;
    if (connection == NULL)
        return NULL;
    loop->again = connection->again_next;
    if (loop->again == NULL)
        loop->again_tail = &loop->again;
    connection->again = false;
    return connection;
}

/* One of those that wait: then what is short and came meanwhile goes first. */
static void again_one(struct http_loop *loop)
{
    struct http_connection *connection = again_take(loop);
    while (connection != NULL && connection->phase == PHASE_CLOSED)
        connection = again_take(loop);
    if (connection == NULL)
        return;
    if (connection->phase == PHASE_LINGER)
        http_connection_drop_input(connection);
    else
        http_connection_read(connection);
}

static void closed_free(struct http_loop *loop)
{
    struct http_list *closed = &loop->phases[PHASE_CLOSED];
    for (struct http_connection *c = closed->first, *next; c != NULL; c = next) {
        next = c->next;
        if (c->again) /* still in that list: the next turn takes it out */
            continue;
        list_remove(closed, c);
        free(c);
    }
}

static int sleep_for_events(struct http_loop *loop)
{
    int64_t next = next_time(loop), wait = next - loop->now_us;
    int timeout = next == INT64_MAX ? -1 : wait <= 0 ? 0 : (int)(wait / US_PER_MS) + 1;
    if (loop->again != NULL)
        timeout = 0;
    if (timeout != 0)
        __atomic_store_n(&loop->asleep, true, __ATOMIC_SEQ_CST);
    if (has_mail(loop))
        timeout = 0;
    int count = epoll_wait(loop->poller, loop->events, EVENTS, timeout);
    __atomic_store_n(&loop->asleep, false, __ATOMIC_RELAXED);
    loop->now_us = monotonic_us();
    return count;
}

static void turn(struct http_loop *loop)
{
    int count = sleep_for_events(loop);
    for (int i = 0; i < count; i++) {
        const struct epoll_event *event = &loop->events[i];
        if (event->data.ptr == loop->server)
            accept_some(loop);
        else if (event->data.ptr != loop) /* its own: it was woken, for its mail */
            connection_event(event->data.ptr, event->events);
    }
    arrived_take(loop);
    mail_take(loop);
    again_one(loop);
    if (count < EVENTS) {
        listen_again(loop);
        times_over(loop);
    }
    closed_free(loop);
}

/* Answers that are there are sent, who waits for one is abandoned, everything is closed. */
static void end(struct http_loop *loop)
{
    struct http_connection *next;
    arrived_take(loop);
    mail_take(loop);
    for (struct http_connection *c = loop->phases[PHASE_BUSY].first; c != NULL; c = next) {
        next = c->next;
        if (http_serve_abandon(c->request))
            http_connection_close(c);
    }
    while (loop->phases[PHASE_BUSY].first != NULL) {
        mail_take(loop); /* answered in this very moment */
        sched_yield();
    }
    for (int i = 0; i < PHASE_CLOSED; i++)
        while (loop->phases[i].first != NULL)
            http_connection_close(loop->phases[i].first);
    while (again_take(loop) != NULL)
        continue;
    closed_free(loop);
}

static void *loop_main(void *ctx)
{
    struct http_loop *loop = ctx;
    thread_prompt();
    loop->now_us = monotonic_us();
    while (!__atomic_load_n(&loop->server->ending, __ATOMIC_ACQUIRE))
        turn(loop);
    end(loop);
    return NULL;
}

static void limits_set(struct http_loop *loop)
{
    const struct http_options *options = &loop->server->options;
    const int64_t limits[HTTP_PHASES] = {
        [PHASE_IDLE] = options->idle_us_max,
        [PHASE_HEAD] = options->header_us_max,
        [PHASE_BODY] = options->body_us_max,
        [PHASE_ROOM] = options->room_us_max,
        [PHASE_HURRY] = HURRY_US < options->body_us_max ? HURRY_US : options->body_us_max,
        [PHASE_SEND] = options->send_us_max,
        [PHASE_LINGER] = LINGER_US,
    };
    for (int i = 0; i < HTTP_PHASES; i++)
        loop->phases[i].limit_us = limits[i];
}

enum status http_loop_make(struct http_server *server, struct err *err)
{
    struct http_loop *loop = aligned_alloc(64, (sizeof *loop + 63) / 64 * 64);
    if (loop == NULL)
        fatal("out of memory");
    memset(loop, 0, sizeof *loop);
    loop->server = server;
    loop->again_tail = &loop->again;
    loop->date_s = INT64_MIN;
    limits_set(loop);
    loop->poller = epoll_create1(EPOLL_CLOEXEC);
    loop->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    server->loops[server->loops_count++] = loop;
    struct epoll_event event = {.events = EPOLLIN | EPOLLET, .data.ptr = loop};
    if (loop->poller < 0 || loop->wake < 0 ||
        epoll_ctl(loop->poller, EPOLL_CTL_ADD, loop->wake, &event) != 0)
        return err_set(err, ST_IO, "could not make an epoll set: %s", strerror(errno));
    return listen_begin(loop, err);
}

enum status http_loop_start(struct http_loop *loop, struct err *err)
{
    int failed = thread_start(&loop->thread, "net", loop_main, loop);
    if (failed != 0)
        return err_set(err, ST_IO, "could not start a network thread: %s", strerror(failed));
    loop->started = true;
    return ST_OK;
}

void http_loop_free(struct http_loop *loop)
{
    while (__atomic_load_n(&loop->posting, __ATOMIC_SEQ_CST) != 0)
        sched_yield();
    arrived_take(loop); /* what another one gave it after its end */
    while (loop->phases[PHASE_IDLE].first != NULL)
        http_connection_close(loop->phases[PHASE_IDLE].first);
    closed_free(loop);
    for (struct http_request *request = loop->requests_free, *next; request != NULL;
         request = next) {
        next = request->free_next;
        http_request_free(request);
    }
    if (loop->poller >= 0)
        close(loop->poller);
    if (loop->wake >= 0)
        close(loop->wake);
    free(loop);
}
