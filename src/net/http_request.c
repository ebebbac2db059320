/* http_request.c - one request: its memory, what the handler reads of it, and the answer from any
 * thread.
 *
 * The objects are reused: a resting one keeps its small buffers, so an ordinary request costs no
 * allocation. A connection that idles has none. */
#include "net/http_int.h"

#include <stdlib.h>

#include "base/check.h"

#define KEEP_BYTES ((size_t)64 << 10) /* a larger buffer is not kept for the next request */
#define RESTING 256                   /* objects that a loop keeps */

struct http_request *http_request_take(struct http_connection *connection)
{
    struct http_loop *loop = connection->loop;
    struct http_request *request = loop->requests_free;
    if (request != NULL) {
        loop->requests_free = request->free_next;
        loop->requests_free_count--;
    } else {
        request = mem_zero(sizeof *request);
        arena_init(&request->arena);
        buf_init(&request->raw, SIZE_MAX);
        buf_init(&request->body, 0);
        buf_init(&request->out, SIZE_MAX);
        request->server = loop->server;
        request->loop = loop;
    }
    request->connection = connection;
    http_head_init(&request->head);
    return request;
}

static void buf_rest(struct buf *buf)
{
    if (buf->capacity > KEEP_BYTES)
        buf_done(buf);
    buf_reset(buf);
}

void http_request_give(struct http_request *request)
{
    struct http_loop *loop = request->loop;

    CHECK(request->charged == 0 && !request->in_line && request->watch == NULL);
    if (loop->requests_free_count == RESTING) {
        http_request_free(request);
        return;
    }
    buf_rest(&request->raw);
    buf_rest(&request->body);
    buf_rest(&request->out);
    if (request->arena.total > KEEP_BYTES)
        arena_done(&request->arena);
    arena_reset(&request->arena);
    size_t from = offsetof(struct http_request, connection);
    memset((char *)request + from, 0, offsetof(struct http_request, head) - from);
    request->free_next = loop->requests_free;
    loop->requests_free = request;
    loop->requests_free_count++;
}

void http_request_free(struct http_request *request)
{
    buf_done(&request->raw);
    buf_done(&request->body);
    buf_done(&request->out);
    arena_done(&request->arena);
    free(request);
}

/* --- what the handler reads ------------------------------------------------------------------- */

static struct str text_of(const struct http_request *request, struct http_span span)
{
    return http_span_str(request->raw.p, span);
}

struct str http_method(struct http_request *request)
{
    return text_of(request, request->head.method);
}

struct str http_path(struct http_request *request)
{
    return (struct str){request->raw.p + request->head.path.at, request->path_bytes};
}

struct str http_request_field(const struct http_request *request, unsigned i, struct str *ret_name)
{
    const struct http_field *field = &request->head.fields[i];
    *ret_name = text_of(request, field->name);
    return text_of(request, field->value);
}

struct str http_header(struct http_request *request, const char *name)
{
    struct str wanted = str_of(name);
    for (unsigned i = 0; i < request->head.fields_count; i++) {
        const struct http_field *field = &request->head.fields[i];
        if (field->name.n == wanted.n && str_eq_nocase(text_of(request, field->name), wanted))
            return text_of(request, field->value);
    }
    return (struct str){NULL, 0};
}

/* A name or a value of a query; most need no decoding and are borrowed. */
static struct str decoded(struct http_request *request, struct str text)
{
    if (text.n == 0)
        return STR("");
    if (memchr(text.p, '%', text.n) == NULL && memchr(text.p, '+', text.n) == NULL)
        return text;
    char *copy = arena_alloc(&request->arena, text.n);
    for (size_t i = 0; i < text.n; i++)
        copy[i] = text.p[i] == '+' ? ' ' : text.p[i];
    return (struct str){copy, http_unescape(copy, text.n)};
}

struct str http_query(struct http_request *request, const char *name)
{
    struct str query = text_of(request, request->head.query), wanted = str_of(name);
    while (query.n > 0) {
        const char *end = memchr(query.p, '&', query.n);
        struct str pair = {query.p, end != NULL ? (size_t)(end - query.p) : query.n};
        size_t taken = end != NULL ? pair.n + 1 : pair.n;
        query = (struct str){query.p + taken, query.n - taken};
        const char *equals = pair.n > 0 ? memchr(pair.p, '=', pair.n) : NULL;
        struct str left = {pair.p, equals != NULL ? (size_t)(equals - pair.p) : pair.n};
        if (left.n < wanted.n || !str_eq_nocase(decoded(request, left), wanted))
            continue; /* decoding makes nothing longer */
        return equals == NULL ? STR("")
                              : decoded(request, (struct str){equals + 1, pair.n - left.n - 1});
    }
    return (struct str){NULL, 0};
}

struct str http_body(struct http_request *request)
{
    return buf_view(&request->body);
}

void http_body_drop(struct http_request *request, size_t bytes)
{
    buf_rest(&request->body);
    http_room_set(request, bytes);
}

void http_body_forget(struct http_request *request)
{
    http_room_set(request, 0);
}

struct str http_remote(struct http_request *request)
{
    return str_of(request->connection->remote);
}

struct str http_bearer(struct http_request *request)
{
    struct str header = http_header(request, "Authorization");
    struct str word = STR("Bearer ");
    if (header.n > word.n && str_eq_nocase((struct str){header.p, word.n}, word))
        return str_trim((struct str){header.p + word.n, header.n - word.n});
    return (struct str){NULL, 0};
}

struct arena *http_arena(struct http_request *request)
{
    return &request->arena;
}

/* --- the answer ------------------------------------------------------------------------------- */

void http_set_header(struct http_request *request, const char *name, struct str value)
{
    for (size_t i = 0; i < value.n; i++)
        if ((unsigned char)value.p[i] < 0x20 || value.p[i] == 0x7f)
            return;
    struct http_extra *extra = ARENA_NEW(&request->arena, struct http_extra);
    extra->name = arena_cstr(&request->arena, str_of(name));
    extra->value = arena_cstr(&request->arena, value);
    extra->next = request->extras;
    request->extras = extra;
}

void http_before_answer(struct http_request *request, http_tell *tell, void *ctx)
{
    CHECK(request->tell == NULL);
    request->tell = tell;
    request->tell_ctx = ctx;
}

void *http_told(struct http_request *request)
{
    return request->tell_ctx;
}

/* Hand the answer to the loop. After a successful swap the request may be gone. */
static void request_answer(struct http_request *request)
{
    int state = STATE_HANDLING;

    if (__atomic_compare_exchange_n(&request->state, &state, STATE_REPLIED, false, __ATOMIC_ACQ_REL,
                                    __ATOMIC_ACQUIRE))
        return;
    if (state == STATE_WAITING &&
        __atomic_compare_exchange_n(&request->state, &state, STATE_REPLIED, false, __ATOMIC_ACQ_REL,
                                    __ATOMIC_ACQUIRE)) {
        http_loop_post(request);
        return;
    }
    CHECK(state ==
          STATE_ABANDONED); /* anything else: answered twice, or before it was handed out */
    http_request_free(request);
}

static void request_tell(struct http_request *request, int code)
{
    request->code = code;
    if (request->tell != NULL)
        request->tell(request->tell_ctx, request, code);
}

void http_reply(struct http_request *request, int code, const char *type, struct str body)
{
    request_tell(request, code);
    http_answer_write(request, type, body);
    request_answer(request);
}

/* The loop writes it: this thread copies nothing, and the other one need not fetch it. */
void http_reply_fixed(struct http_request *request, int code, const char *type, struct str body)
{
    request_tell(request, code);
    request->fixed_type = type;
    request->fixed_body = body;
    request_answer(request);
}

void http_reply_error(struct http_request *request, const struct err *err)
{
    int code = status_http(err->status);
    request_tell(request, code);
    http_answer_problem(request, code, err->message, err->hint, status_may_retry(err->status));
    request_answer(request);
}
