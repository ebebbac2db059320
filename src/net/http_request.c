/* http_request.c - one request: its memory, what the handler reads of it, and the answer from any
 * thread.
 *
 * The objects are reused: a resting one keeps its small buffers, so an ordinary request costs no
 * allocation but those of MHD's answer. All of them live until the server stops (there are never
 * more than connections), so http_stop may look at every state without asking whether the object is
 * in use. */
#include "net/http_int.h"

#include <stdlib.h>

#include "base/check.h"
#include "base/json.h"

struct http_request *http_request_take(struct http_server *server)
{
    pthread_mutex_lock(&server->pool_mutex);
    struct http_request *request = server->requests_free;
    if (request != NULL) {
        server->requests_free = request->free_next;
    } else {
        request = mem_zero(sizeof *request);
        arena_init(&request->arena);
        buf_init(&request->body, 0);
        request->server = server;
        request->all_next = server->requests_all;
        if (request->all_next != NULL)
            request->all_next->all_prev = request;
        server->requests_all = request;
    }
    pthread_mutex_unlock(&server->pool_mutex);
    request->holders = 2;
    return request;
}

/* Back to the state of a new object, but for the memory worth keeping. */
static void request_clear(struct http_request *request)
{
    if (request->body.capacity > HTTP_KEEP_BYTES)
        buf_done(&request->body);
    if (request->arena.total > HTTP_KEEP_BYTES)
        arena_done(&request->arena);
    buf_reset(&request->body);
    arena_reset(&request->arena);
    if (request->response != NULL)
        MHD_destroy_response(request->response);
    request->response = NULL;
    request->fixed = NULL;
    request->extras = NULL;
    request->tell = NULL;
    request->tell_ctx = NULL;
    request->fields_count = 0;
    request->begun = request->waits = request->read_whole = request->close = request->chunked =
        false;
    request->refusal = request->code = 0;
    request->body_length = 0;
    CHECK(request->charged == 0 && !request->active);
}

void http_request_give(struct http_request *request)
{
    struct http_server *server = request->server;

    request_clear(request);
    __atomic_store_n(&request->state, STATE_READING, __ATOMIC_RELEASE);
    pthread_mutex_lock(&server->pool_mutex);
    request->free_next = server->requests_free;
    server->requests_free = request;
    pthread_mutex_unlock(&server->pool_mutex);
}

static void request_free(struct http_request *request)
{
    request_clear(request);
    buf_done(&request->body);
    arena_done(&request->arena);
    free(request);
}

void http_request_drop(struct http_request *request)
{
    if (__atomic_sub_fetch(&request->holders, 1, __ATOMIC_ACQ_REL) == 0)
        request_free(request);
}

void http_requests_free(struct http_server *server)
{
    for (unsigned i = 0; i < server->fixed_count; i++)
        MHD_destroy_response(server->fixed[i].response);
    struct http_request *next;
    for (struct http_request *request = server->requests_all; request != NULL; request = next) {
        next = request->all_next;
        request_free(request);
    }
}

struct str http_method(struct http_request *request)
{
    return request->method;
}

struct str http_path(struct http_request *request)
{
    return request->path;
}

struct str http_header(struct http_request *request, const char *name)
{
    struct str wanted = str_of(name);
    for (unsigned i = 0; i < request->fields_count; i++)
        if (request->fields[i].name.n == wanted.n && str_eq_nocase(request->fields[i].name, wanted))
            return request->fields[i].value;
    return (struct str){NULL, 0};
}

struct str http_query(struct http_request *request, const char *name)
{
    const char *value = NULL;
    size_t n = 0;
    if (MHD_lookup_connection_value_n(request->mhd, MHD_GET_ARGUMENT_KIND, name, strlen(name),
                                      &value, &n) == MHD_NO)
        return (struct str){NULL, 0};
    return value == NULL ? STR("") : (struct str){value, n};
}

struct str http_body(struct http_request *request)
{
    return buf_view(&request->body);
}

void http_body_drop(struct http_request *request, size_t bytes)
{
    if (request->body.capacity > HTTP_KEEP_BYTES)
        buf_done(&request->body);
    buf_reset(&request->body);
    http_room_set(request, bytes);
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

struct MHD_Response *http_response_make(const char *type, struct str body)
{
    /* MHD takes a non-const pointer but copies in this mode. */
    struct MHD_Response *response =
        MHD_create_response_from_buffer(body.n, (void *)body.p, MHD_RESPMEM_MUST_COPY);
    if (response == NULL)
        fatal("out of memory (%zu bytes wanted)", body.n);
    if (type != NULL)
        MHD_add_response_header(response, "Content-Type", type);
    return response;
}

/* Hand the answer to the network thread. After a successful swap the request may be gone. */
static void request_answer(struct http_request *request, int code, struct MHD_Response *response)
{
    struct http_lane *lane = request->lane;
    int state = STATE_HANDLING;

    if (request->tell != NULL)
        request->tell(request->tell_ctx, request, code);
    for (struct http_extra *extra = request->extras; response != NULL && extra != NULL;
         extra = extra->next)
        MHD_add_response_header(response, extra->name, extra->value);
    CHECK(request->response == NULL);
    http_room_set(request, 0);
    request->response = response;
    request->code = code;
    if (__atomic_compare_exchange_n(&request->state, &state, STATE_REPLIED, false, __ATOMIC_ACQ_REL,
                                    __ATOMIC_ACQUIRE))
        return;
    if (state == STATE_WAITING &&
        __atomic_compare_exchange_n(&request->state, &state, STATE_REPLIED, false, __ATOMIC_ACQ_REL,
                                    __ATOMIC_ACQUIRE)) {
        http_lane_answer(lane, request);
        return;
    }
    CHECK(state ==
          STATE_ABANDONED); /* anything else: answered twice, or before it was handed out */
    http_request_drop(request);
}

void http_reply(struct http_request *request, int code, const char *type, struct str body)
{
    request_answer(request, code, http_response_make(type, body));
}

static const struct http_fixed *fixed_find(struct http_server *server, const char *type,
                                           struct str body)
{
    unsigned count = __atomic_load_n(&server->fixed_count, __ATOMIC_ACQUIRE);
    for (unsigned i = 0; i < count; i++) {
        const struct http_fixed *fixed = &server->fixed[i];
        if (fixed->body.p == body.p && fixed->body.n == body.n && fixed->type == type)
            return fixed;
    }
    return NULL;
}

static const struct http_fixed *fixed_make(struct http_server *server, const char *type,
                                           struct str body)
{
    pthread_mutex_lock(&server->pool_mutex);
    const struct http_fixed *fixed = fixed_find(server, type, body);
    if (fixed == NULL && server->fixed_count < HTTP_FIXED) {
        struct http_fixed *fresh = &server->fixed[server->fixed_count];
        *fresh = (struct http_fixed){type, body, http_response_make(type, body)};
        __atomic_store_n(&server->fixed_count, server->fixed_count + 1, __ATOMIC_RELEASE);
        fixed = fresh;
    }
    pthread_mutex_unlock(&server->pool_mutex);
    return fixed;
}

void http_reply_fixed(struct http_request *request, int code, const char *type, struct str body)
{
    const struct http_fixed *fixed =
        request->extras != NULL ? NULL : fixed_find(request->server, type, body);
    if (fixed == NULL && request->extras == NULL)
        fixed = fixed_make(request->server, type, body);
    request->fixed = fixed;
    request_answer(request, code, fixed != NULL ? NULL : http_response_make(type, body));
}

struct MHD_Response *http_problem(int code, const char *detail, const char *hint, bool retry)
{
    struct buf json;
    buf_init(&json, 8 << 10);
    buf_text(&json, "{\"type\":\"about:blank\"");
    json_put_member_str(&json, "title", str_of(MHD_get_reason_phrase_for((unsigned)code)));
    json_put_member_int(&json, "status", code);
    json_put_member_str(&json, "detail", str_of(detail));
    if (hint[0] != '\0')
        json_put_member_str(&json, "hint", str_of(hint));
    buf_char(&json, '}');
    CHECK(!json.overflow); /* detail and hint are bounded by struct err */

    struct MHD_Response *response = http_response_make("application/problem+json", buf_view(&json));
    buf_done(&json);
    if (retry)
        MHD_add_response_header(response, "Retry-After", "1");
    return response;
}

void http_reply_error(struct http_request *request, const struct err *err)
{
    int code = status_http(err->status);
    request_answer(request, code,
                   http_problem(code, err->message, err->hint, status_may_retry(err->status)));
}
