/* http_room.c - room for bodies: who may send now, who waits a moment, who is told to come back.
 *
 * A body counts from its admission until its request is answered; what was made of it, once that
 * took its place, until that has left the memory, too (http_body_forget). One that finds no room
 * waits, unread: its bytes stay with the sender, so waiting costs no memory, and a sender who is
 * let in as soon as another is answered keeps the journal busy where one sent away rests a second.
 * As many bytes may wait as are let in, for HTTP_ROOM_US; the rest is answered 503.
 *
 * The line is one for all loops, first come, first served. Whoever makes room takes the first out
 * and posts it to its loop; a loop whose time for one is over takes it out itself. Both under
 * room_mutex, so that a request leaves the line once. */
#include "net/http_int.h"

#include "base/check.h"
#include "base/clock.h"

/* So much of a body has its place before it comes: of many that arrive at once as many as fit are
 * let in, and those get through. Counted only as the bytes came, all were let in, met the limit
 * half-way, and hardly one got through. Small enough that nobody can hold the limit by announcing
 * bodies that never come. */
#define RESERVE_BYTES ((size_t)64 << 10)

/* One that is alone has room whatever its size: refused for ever it would never get in. */
static bool fits(const struct http_server *server, uint64_t others, uint64_t bytes)
{
    return others == 0 || others + bytes <= server->options.inflight_max;
}

bool http_room_add(struct http_request *request, size_t bytes)
{
    struct http_server *server = request->server;
    request->charged += bytes;
    uint64_t sum = __atomic_add_fetch(&server->inflight, bytes, __ATOMIC_SEQ_CST);
    return fits(server, sum - request->charged, request->charged);
}

static bool let_in(struct http_request *request)
{
    uint64_t others = __atomic_load_n(&request->server->inflight, __ATOMIC_SEQ_CST);
    size_t length = (size_t)request->head.body_length;
    if (!fits(request->server, others, length))
        return false;
    (void)http_room_add(request, length < RESERVE_BYTES ? length : RESERVE_BYTES);
    return true;
}

/* Under the mutex. */
static void line_remove(struct http_request *request)
{
    struct http_server *server = request->server;
    if (request->room_prev != NULL)
        request->room_prev->room_next = request->room_next;
    else
        server->room_first = request->room_next;
    if (request->room_next != NULL)
        request->room_next->room_prev = request->room_prev;
    else
        server->room_last = request->room_prev;
    request->in_line = false;
    __atomic_sub_fetch(&server->room_bytes, request->head.body_length, __ATOMIC_SEQ_CST);
}

static void line_move(struct http_server *server)
{
    pthread_mutex_lock(&server->room_mutex);
    while (server->room_first != NULL && let_in(server->room_first)) {
        struct http_request *first = server->room_first;
        line_remove(first);
        http_loop_post(first);
    }
    pthread_mutex_unlock(&server->room_mutex);
}

void http_room_set(struct http_request *request, size_t bytes)
{
    struct http_server *server = request->server;
    size_t before = __atomic_exchange_n(&request->charged, bytes, __ATOMIC_SEQ_CST);
    if (before == bytes)
        return;
    __atomic_add_fetch(&server->inflight, bytes - before, __ATOMIC_SEQ_CST);
    if (__atomic_load_n(&server->room_bytes, __ATOMIC_SEQ_CST) > 0)
        line_move(server);
}

/* False when the line is full, or the server ends. */
static bool line_stand(struct http_request *request)
{
    struct http_server *server = request->server;
    bool stands = false;

    pthread_mutex_lock(&server->room_mutex);
    uint64_t bytes = server->room_bytes + request->head.body_length;
    if (!server->room_closed && bytes <= server->options.inflight_max) {
        stands = request->in_line = true;
        request->room_next = NULL;
        request->room_prev = server->room_last;
        if (server->room_last != NULL)
            server->room_last->room_next = request;
        else
            server->room_first = request;
        server->room_last = request;
        __atomic_store_n(&server->room_bytes, bytes, __ATOMIC_SEQ_CST);
    }
    pthread_mutex_unlock(&server->room_mutex);
    return stands;
}

enum http_room http_room_ask(struct http_request *request)
{
    struct http_server *server = request->server;
    if (request->head.body_length == 0)
        return ROOM_IN; /* chunked ones are counted as they come */
    /* Nobody overtakes the line. */
    if (__atomic_load_n(&server->room_bytes, __ATOMIC_SEQ_CST) == 0 && let_in(request))
        return ROOM_IN;
    if (!line_stand(request))
        return ROOM_NONE;
    line_move(server); /* who left in between did not see us */
    return ROOM_WAIT;
}

bool http_room_leave(struct http_request *request)
{
    struct http_server *server = request->server;
    pthread_mutex_lock(&server->room_mutex);
    bool stood = request->in_line;
    if (stood)
        line_remove(request);
    pthread_mutex_unlock(&server->room_mutex);
    return stood;
}

void http_room_close(struct http_server *server)
{
    pthread_mutex_lock(&server->room_mutex);
    server->room_closed = true;
    while (server->room_first != NULL) {
        struct http_request *first = server->room_first;
        line_remove(first);
        first->refusal = 503;
        http_loop_post(first);
    }
    pthread_mutex_unlock(&server->room_mutex);
}
