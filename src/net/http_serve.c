/* http_serve.c - how a request travels through the server, on its loop.
 *
 *   http_serve_begin     the head is read: refuse it now, or let its body in, or let it wait
 *   http_serve_admitted  it has waited for room, and has it, or its time is up
 *   http_serve_body      a piece of the body is there; the last one: call the handler
 *   http_serve_answered  it was handed over, and its answer came by mail
 *
 * A handler that has not answered when it returns leaves the request WAITING, which costs nothing:
 * its connection is in PHASE_BUSY, and nothing is read of it. */
#include "net/http_int.h"

#include "base/check.h"

/* A refused body up to this size is read and dropped so that the connection stays good: under
 * overload the sender comes back in a second, and a new connection costs more than the bytes. */
#define DROP_BYTES ((uint64_t)64 << 10)
#define TOO_LARGE "the body is larger than this route allows"
static const char busy[] = "could not take the request: too much is in flight";
static const char stopping[] = "the server is stopping";

static struct http_counts *counts(struct http_request *request)
{
    return &request->loop->counts;
}

/* The answer is in the request, all but the beginning of its head. */
static void answer(struct http_request *request)
{
    int class = request->code / 100;
    if (class > 0 && class < 6)
        HTTP_COUNT(counts(request)->by_class[class], 1);
    if (__atomic_load_n(&request->server->stopping, __ATOMIC_RELAXED))
        request->close = true;
    http_room_set(request, 0);
    if (request->out.n == 0)
        http_answer_write(request, request->fixed_type, request->fixed_body);
    http_answer_begin(request);
    http_connection_send(request->connection);
}

static void refuse(struct http_request *request, int code, const char *why)
{
    HTTP_COUNT(counts(request)->refused, 1);
    http_answer_problem(request, code, why, "", code == 503);
    answer(request);
}

/* Now, before the body, of which nothing more is read as such. */
static void refuse_early(struct http_request *request, int code, const char *why)
{
    request->close = request->linger = true;
    request->raw_used = request->raw.n;
    refuse(request, code, why);
}

/* Keep nothing of this body, answer 503 when it is through. */
static void refuse_later(struct http_request *request)
{
    request->refusal = 503;
    buf_reset(&request->body);
    http_room_set(request, 0);
}

static void hand_over(struct http_request *request)
{
    struct http_server *server = request->server;
    struct http_connection *connection = request->connection;
    int state = STATE_HANDLING;

    if (request->refusal != 0) {
        refuse(request, request->refusal, busy);
        return;
    }
    if (__atomic_load_n(&server->closing, __ATOMIC_SEQ_CST)) {
        refuse_early(request, 503, stopping);
        return;
    }
    __atomic_store_n(&request->state, STATE_HANDLING, __ATOMIC_RELEASE);
    server->options.handle(server->options.ctx, request);
    if (__atomic_load_n(&request->state, __ATOMIC_ACQUIRE) == STATE_REPLIED) {
        answer(request);
        return;
    }
    if (__atomic_compare_exchange_n(&request->state, &state, STATE_WAITING, false, __ATOMIC_ACQ_REL,
                                    __ATOMIC_ACQUIRE))
        http_phase_enter(connection, PHASE_BUSY); /* its mail is read later, by this thread */
    else
        answer(request);
}

void http_serve_answered(struct http_request *request)
{
    answer(request);
}

bool http_serve_abandon(struct http_request *request)
{
    struct http_connection *connection = request->connection;
    int state = STATE_WAITING;
    http_room_set(request, 0);
    if (!__atomic_compare_exchange_n(&request->state, &state, STATE_ABANDONED, false,
                                     __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
        return false;
    connection->request = NULL; /* the replier's from here on */
    return true;
}

/* Room was granted: whoever waits to be asked for the body is asked. */
static void let_in(struct http_request *request)
{
    static const char go_on[] = "HTTP/1.1 100 Continue\r\n\r\n";
    struct http_connection *connection = request->connection;
    bool none = request->head.body_length == 0 && !request->head.chunked;

    if (none) {
        hand_over(request);
        return;
    }
    if (request->head.expects && request->raw_used == request->raw.n &&
        send(connection->fd, go_on, sizeof go_on - 1, MSG_NOSIGNAL) != sizeof go_on - 1)
        http_connection_close(connection); /* who does not take 25 bytes */
}

/* Nothing of its body is kept: a small one is read and dropped, and the connection stays good. */
static void turn_away(struct http_request *request)
{
    if (request->head.body_length > DROP_BYTES || request->head.expects)
        refuse_early(request, 503, busy);
    else
        refuse_later(request);
}

static void no_room(struct http_request *request)
{
    const struct http_options *options = &request->server->options;
    if (options->no_room != NULL)
        options->no_room(options->ctx);
    turn_away(request);
}

/* Admission, when the head is good: is there room for this one? */
static void admit(struct http_request *request)
{
    const struct http_options *options = &request->server->options;
    bool allowed = http_peer_count(request->connection);

    request->body_max = options->body_limit(options->ctx, request);
    request->body.max = request->body_max;
    if (request->head.body_length > request->body_max) {
        refuse_early(request, 413, TOO_LARGE);
        return;
    }
    request->hurry = !allowed;
    if (!allowed) {
        turn_away(request);
        return;
    }
    switch (http_room_ask(request)) {
    case ROOM_IN:
        let_in(request);
        break;
    case ROOM_WAIT:
        http_phase_enter(request->connection, PHASE_ROOM);
        break;
    case ROOM_NONE:
        no_room(request);
        break;
    }
}

void http_serve_admitted(struct http_request *request)
{
    http_phase_enter(request->connection, PHASE_BODY);
    if (request->refusal != 0)
        no_room(request);
    else
        let_in(request);
}

void http_serve_begin(struct http_request *request)
{
    const struct http_head *head = &request->head;

    request->begun = true;
    HTTP_COUNT(counts(request)->requests, 1);
    HTTP_COUNT(counts(request)->unfinished, 1);
    if (head->code != 0) {
        refuse_early(request, head->code, head->why);
        return;
    }
    request->path_bytes = http_unescape(request->raw.p + head->path.at, head->path.n);
    request->close = head->chunked || head->close || (head->is_1_0 && !head->keep_alive);
    request->linger = head->chunked;
    if (__atomic_load_n(&request->server->stopping, __ATOMIC_RELAXED))
        refuse_early(request, 503, stopping);
    else
        admit(request);
}

/* What is there counts, from its first byte over what was reserved. */
static void charge(struct http_request *request)
{
    if (request->refusal == 0 && request->body.n > request->charged &&
        !http_room_add(request, request->body.n - request->charged))
        refuse_later(request);
}

void http_serve_body(struct http_request *request, size_t n)
{
    request->body_read += n;
    charge(request);
    if (request->body_read == request->head.body_length)
        hand_over(request);
}

void http_serve_chunks(struct http_request *request, struct str bytes)
{
    struct str piece;
    enum http_parse read = PARSE_MORE;

    while (read == PARSE_MORE && bytes.n > 0) {
        read = http_chunks_read(&request->chunks, &bytes, &piece);
        if (request->refusal != 0)
            continue;
        if (piece.n > request->body_max - request->body.n) {
            refuse_early(request, 413, TOO_LARGE);
            return;
        }
        buf_put(&request->body, piece.p, piece.n);
        charge(request);
    }
    if (read == PARSE_DONE)
        hand_over(request);
    else if (read == PARSE_REFUSED)
        refuse_early(request, 400, "a chunk of the body is malformed");
}
