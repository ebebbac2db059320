/* http_watch.c - a worker learns that nobody waits for its answer any more.
 *
 * MHD does not look at a suspended connection, so a client that leaves is noticed by nobody until
 * the answer is written. The sweeper sleeps in poll anyway: it also sleeps on the sockets of the
 * jobs that are watched. An end of the peer's stream wakes it at once, and it costs the job nothing
 * but the read of a flag.
 *
 * Invariant: a watched request is unanswered, so its connection is suspended or just being handled,
 * and MHD does not close its descriptor; http_stop gives up on requests only after the jobs ended.
 * The sleeping poll may still hold a descriptor whose watch has ended: so what it says is only a
 * reason to look at each watch again, under the mutex.
 *
 * What is not noticed: a peer that vanished without a word (power, cable). Its job ends by the
 * limit of its own. */
#include "net/http_int.h"

#include <poll.h>

static bool is_gone(int fd)
{
    struct pollfd one = {.fd = fd, .events = POLLRDHUP};
    return poll(&one, 1, 0) > 0;
}

static bool is_over(const struct http_watch *watch)
{
    return __atomic_load_n(&watch->over, __ATOMIC_ACQUIRE);
}

static void set_over(struct http_watch *watch)
{
    __atomic_store_n(&watch->over, true, __ATOMIC_RELEASE);
}

void http_watch_begin(struct http_request *request, struct http_watch *watch)
{
    struct http_server *server = request->server;
    *watch = (struct http_watch){.fd = request->connection->fd, .server = server};
    pthread_mutex_lock(&server->mutex);
    /* http_stop first says closing, then takes the mutex: one of the two sees the other. */
    watch->stopping = __atomic_load_n(&server->closing, __ATOMIC_SEQ_CST);
    watch->over = watch->stopping || is_gone(watch->fd);
    watch->next = server->watches;
    if (watch->next != NULL)
        watch->next->prev = watch;
    server->watches = watch;
    pthread_mutex_unlock(&server->mutex);
    http_sweeper_nudge(server);
}

void http_watch_end(struct http_watch *watch)
{
    struct http_server *server = watch->server;
    pthread_mutex_lock(&server->mutex);
    if (watch->prev != NULL)
        watch->prev->next = watch->next;
    else
        server->watches = watch->next;
    if (watch->next != NULL)
        watch->next->prev = watch->prev;
    pthread_mutex_unlock(&server->mutex);
    http_sweeper_nudge(server); /* it must not keep the socket open while it sleeps */
}

unsigned http_watch_fds(const struct http_server *server, struct pollfd *ret_fds)
{
    unsigned count = 0;
    for (const struct http_watch *watch = server->watches; watch != NULL; watch = watch->next)
        if (!is_over(watch) && count < HTTP_WATCHES) /* else it would wake us for ever */
            ret_fds[count++] = (struct pollfd){.fd = watch->fd, .events = POLLRDHUP};
    return count;
}

void http_watch_look(struct http_server *server)
{
    for (struct http_watch *watch = server->watches; watch != NULL; watch = watch->next)
        if (!is_over(watch) && is_gone(watch->fd))
            set_over(watch);
}

void http_watch_stop(struct http_server *server)
{
    pthread_mutex_lock(&server->mutex);
    for (struct http_watch *watch = server->watches; watch != NULL; watch = watch->next) {
        watch->stopping = true;
        set_over(watch);
    }
    pthread_mutex_unlock(&server->mutex);
}
