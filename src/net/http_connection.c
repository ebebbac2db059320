/* http_connection.c - bytes in and out of one connection, by its loop.
 *
 * Reading. As long as something is there: a head into the request's `raw`, with whatever follows it
 * (a small body comes in the same recv), then the body straight into its place. A read that does
 * not fill its room has emptied the socket, so no recv is spent on hearing that nothing is there;
 * only after the peer's end the next one is, for it gives 0. While a request is handled nothing is
 * read: what was pipelined behind it waits in the kernel, and what came along with it in `kept`.
 *
 * Writing. An answer is one piece of memory and usually one send. What the kernel does not take
 * waits in it, and the kernel tells when it takes more.
 *
 * Closing. A socket that is closed with unread input makes the kernel send a reset, which can
 * overtake the answer that was just written (413, 400). So whoever was refused lingers: we say that
 * we are done, and drop what still comes for up to two seconds. */
#include "net/http_int.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/check.h"

#define READ_BYTES (((size_t)4 << 10) - 1)   /* of a request's first read; with a buffer's end */
#define PIECE_BYTES (((size_t)64 << 10) - 1) /* room that a body gets before its bytes come */
#define STEPS 16 /* reads of one connection before the others of its loop are served */
/* A hundred events take a third of a millisecond; who only asks for one person does not wait behind
 * a row of such. */
#define LARGE_BYTES ((uint64_t)16 << 10)

static void address_read(const struct sockaddr *from, struct address *ret_address)
{
    if (from->sa_family == AF_INET6) {
        memcpy(ret_address->bytes, &((const struct sockaddr_in6 *)from)->sin6_addr, 16);
        return;
    }
    memset(ret_address->bytes, 0, 10);
    memset(ret_address->bytes + 10, 0xff, 2);
    memcpy(ret_address->bytes + 12, &((const struct sockaddr_in *)from)->sin_addr, 4);
}

struct http_connection *http_connection_open(struct http_loop *loop, int fd,
                                             const struct sockaddr *address)
{
    struct http_connection *connection = mem_zero(sizeof *connection);
    connection->loop = loop;
    connection->fd = fd;
    buf_init(&connection->kept, SIZE_MAX);
    address_read(address, &connection->address);
    address_write(&connection->address, connection->remote);
    connection->trusted = http_is_trusted(loop->server, &connection->address);
    http_peer_enter(connection);
    __atomic_add_fetch(&loop->connections, 1, __ATOMIC_RELAXED);
    return connection;
}

/* Whatever is left of its request. */
static void request_end(struct http_connection *connection)
{
    struct http_request *request = connection->request;
    if (request == NULL)
        return;
    connection->request = NULL;
    if (connection->phase == PHASE_ROOM)
        (void)http_room_leave(request);
    http_room_set(request, 0);
    if (request->begun)
        HTTP_COUNT(connection->loop->counts.unfinished, -1);
    http_request_give(request);
    http_peer_uncount(connection);
}

void http_connection_close(struct http_connection *connection)
{
    struct http_loop *loop = connection->loop;
    CHECK(connection->phase != PHASE_CLOSED);
    request_end(connection);
    http_peer_leave(connection);
    close(connection->fd); /* which takes it out of the epoll set */
    buf_done(&connection->kept);
    http_phase_enter(connection, PHASE_CLOSED);
    __atomic_sub_fetch(&loop->connections, 1, __ATOMIC_RELAXED);
    __atomic_sub_fetch(&loop->server->connections, 1, __ATOMIC_RELAXED);
}

/* In a turn of its own, after all that is short and behind those that wait already. */
static void again(struct http_connection *connection)
{
    struct http_loop *loop = connection->loop;
    if (connection->again)
        return;
    connection->again = true;
    connection->again_next = NULL;
    *loop->again_tail = connection;
    loop->again_tail = &connection->again_next;
}

/* --- in --------------------------------------------------------------------------------------- */

static bool is_reading(const struct http_connection *connection)
{
    return connection->phase <= PHASE_HURRY;
}

/* How many bytes came; 0: none are there now; -1: the end, and the connection is closed. Without
 * `to` they are dropped. */
static ssize_t receive(struct http_connection *connection, void *to, size_t room)
{
    struct http_loop *loop = connection->loop;
    if (to == NULL && room > sizeof loop->piece)
        room = sizeof loop->piece;
    ssize_t n;
    do
        n = recv(connection->fd, to == NULL ? loop->piece : to, room, 0);
    while (n < 0 && errno == EINTR);
    if (n > 0) {
        if ((size_t)n < room && !connection->ended)
            connection->readable = false;
        return n;
    }
    if (n < 0 && errno == EAGAIN) {
        connection->readable = false;
        return 0;
    }
    http_connection_close(connection);
    return -1;
}

/* Something is missing: its time runs. Another byte does not begin it anew. */
static bool wait_for_more(struct http_connection *connection)
{
    const struct http_request *request = connection->request;
    enum http_phase phase = connection->phase;
    if (request->begun)
        phase = request->hurry ? PHASE_HURRY : PHASE_BODY;
    else if (phase == PHASE_IDLE)
        phase = http_peer_count(connection) ? PHASE_HEAD : PHASE_HURRY;
    if (phase != connection->phase)
        http_phase_enter(connection, phase);
    return false;
}

/* So many bytes came into its room. */
static void grow(struct buf *buf, size_t n)
{
    buf->n += n;
    buf->p[buf->n] = '\0';
}

/* More of the head into `raw`. False: nothing came, or the end. */
static bool head_fill(struct http_connection *connection, struct http_request *request)
{
    struct buf *raw = &request->raw;
    if (connection->kept.n > 0) {
        buf_put(raw, connection->kept.p, connection->kept.n);
        buf_done(&connection->kept);
        return true;
    }
    size_t room = raw->capacity > raw->n + 1 ? raw->capacity - raw->n - 1 : READ_BYTES;
    ssize_t n = receive(connection, buf_room(raw, room), room);
    if (n > 0)
        grow(raw, (size_t)n);
    return n > 0;
}

/* One step; false: nothing is left to do now. */
static bool read_head(struct http_connection *connection)
{
    struct http_request *request = connection->request;
    if (connection->kept.n == 0 && !connection->readable) {
        if (request != NULL && request->raw.n > 0)
            return wait_for_more(connection);
        request_end(connection);
        return false;
    }
    if (request == NULL)
        request = connection->request = http_request_take(connection);
    if (!head_fill(connection, request))
        return true;
    enum http_parse read = http_head_read(&request->head, request->raw.p, request->raw.n);
    request->raw_used = read == PARSE_DONE ? request->head.bytes : request->raw.n;
    if (read != PARSE_MORE)
        http_serve_begin(request);
    return true;
}

/* What came along with the head. */
static bool body_take(struct http_request *request)
{
    struct str rest = {request->raw.p + request->raw_used, request->raw.n - request->raw_used};
    uint64_t missing = request->head.body_length - request->body_read;
    if (!request->head.chunked && rest.n > missing)
        rest.n = (size_t)missing;
    if (rest.n == 0)
        return false;
    request->raw_used += rest.n;
    if (request->head.chunked) {
        http_serve_chunks(request, rest);
        return true;
    }
    if (request->refusal == 0)
        buf_put(&request->body, rest.p, rest.n);
    http_serve_body(request, rest.n);
    return true;
}

/* A body of known length is read where it belongs. Its place grows as it comes. */
static void body_read(struct http_connection *connection, struct http_request *request)
{
    uint64_t missing = request->head.body_length - request->body_read;
    size_t room = missing < PIECE_BYTES ? (size_t)missing : PIECE_BYTES;
    bool kept = request->refusal == 0;
    ssize_t n = receive(connection, kept ? buf_room(&request->body, room) : NULL, room);
    if (n <= 0)
        return;
    if (kept)
        grow(&request->body, (size_t)n);
    http_serve_body(request, (size_t)n);
}

static bool read_body(struct http_connection *connection)
{
    struct http_request *request = connection->request;
    if (body_take(request))
        return true;
    if (!connection->readable)
        return wait_for_more(connection);
    if (!request->head.chunked) {
        body_read(connection, request);
        return true;
    }
    char *piece = connection->loop->piece;
    ssize_t n = receive(connection, piece, sizeof connection->loop->piece);
    if (n > 0)
        http_serve_chunks(request, (struct str){piece, (size_t)n});
    return true;
}

static bool is_begun(const struct http_connection *connection)
{
    return connection->request != NULL && connection->request->begun;
}

/* Is a large body to be read? */
static bool is_large(const struct http_connection *connection)
{
    return is_reading(connection) && is_begun(connection) &&
           connection->request->head.body_length >= LARGE_BYTES;
}

void http_connection_read(struct http_connection *connection)
{
    for (int i = 0; is_reading(connection); i++) {
        bool begun = is_begun(connection);
        if (!(begun ? read_body(connection) : read_head(connection)))
            return;
        if (i == STEPS || (!begun && is_large(connection))) {
            again(connection);
            return;
        }
    }
}

void http_connection_event(struct http_connection *connection)
{
    if (is_large(connection))
        again(connection);
    else
        http_connection_read(connection);
}

/* --- out -------------------------------------------------------------------------------------- */

static void linger(struct http_connection *connection)
{
    shutdown(connection->fd, SHUT_WR);
    buf_done(&connection->kept);
    http_phase_enter(connection, PHASE_LINGER);
    http_connection_drop_input(connection);
}

/* The answer is sent. */
static void finish(struct http_connection *connection)
{
    struct http_request *request = connection->request;
    size_t rest = request->raw.n - request->raw_used;
    bool close = request->close, lingers = request->linger || rest > 0 || connection->readable;
    if (!close && rest > 0)
        buf_put(&connection->kept, request->raw.p + request->raw_used, rest);
    request_end(connection);
    if (!close)
        http_phase_enter(connection, PHASE_IDLE);
    else if (lingers)
        linger(connection);
    else
        http_connection_close(connection);
}

void http_connection_send(struct http_connection *connection)
{
    struct http_request *request = connection->request;
    bool sent = false;
    while (request->out_sent < request->out.n) {
        ssize_t n = send(connection->fd, request->out.p + request->out_sent,
                         request->out.n - request->out_sent, MSG_NOSIGNAL);
        if (n > 0) {
            request->out_sent += (size_t)n;
            sent = true;
        } else if (n < 0 && errno == EAGAIN) {
            if (sent || connection->phase != PHASE_SEND)
                http_phase_enter(connection, PHASE_SEND);
            return;
        } else if (n == 0 || errno != EINTR) {
            http_connection_close(connection);
            return;
        }
    }
    finish(connection);
}

void http_connection_drop_input(struct http_connection *connection)
{
    for (int i = 0; connection->readable; i++) {
        if (i == STEPS) {
            again(connection);
            return;
        }
        if (receive(connection, NULL, (size_t)1 << 20) < 0)
            return;
    }
}
