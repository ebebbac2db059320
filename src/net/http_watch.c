/* http_watch.c - a worker learns that nobody waits for its answer any more.
 *
 * The kernel tells the loop that a peer has ended (EPOLLRDHUP) at once, also while its request is
 * worked on. So a watch costs the job nothing but the read of a flag. Whether a peer has ended and
 * whether it is watched are both looked at under the mutex: one of the two sees the other.
 *
 * What is not noticed: a peer that vanished without a word (power, cable). Its job ends by the
 * limit of its own. */
#include "net/http_int.h"

static void set_over(struct http_watch *watch)
{
    __atomic_store_n(&watch->over, true, __ATOMIC_RELEASE);
}

void http_watch_begin(struct http_request *request, struct http_watch *watch)
{
    struct http_server *server = request->server;
    *watch = (struct http_watch){.request = request};
    pthread_mutex_lock(&server->mutex);
    /* http_stop first says closing, then takes the mutex: one of the two sees the other. */
    watch->stopping = __atomic_load_n(&server->closing, __ATOMIC_SEQ_CST);
    watch->over = watch->stopping || request->connection->ended;
    watch->next = server->watches;
    if (watch->next != NULL)
        watch->next->prev = watch;
    server->watches = watch;
    request->watch = watch;
    pthread_mutex_unlock(&server->mutex);
}

void http_watch_end(struct http_watch *watch)
{
    struct http_server *server = watch->request->server;
    pthread_mutex_lock(&server->mutex);
    if (watch->prev != NULL)
        watch->prev->next = watch->next;
    else
        server->watches = watch->next;
    if (watch->next != NULL)
        watch->next->prev = watch->prev;
    watch->request->watch = NULL;
    pthread_mutex_unlock(&server->mutex);
}

void http_watch_left(struct http_connection *connection)
{
    struct http_server *server = connection->loop->server;
    pthread_mutex_lock(&server->mutex);
    connection->ended = true;
    if (connection->request != NULL && connection->request->watch != NULL)
        set_over(connection->request->watch);
    pthread_mutex_unlock(&server->mutex);
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
