/* api.c - the frame of the API: routes, read-your-writes, the few forms that every answer uses.
 *
 * A handler parses, makes one module call and replies. It runs on a network thread, so whatever may
 * wait (SQL, erase, a position that is not reached) goes to a worker. A request that says
 * `after=TOKEN` is suspended without a thread until the pipeline stands there. */
#include "api/api_int.h"

#include <stdlib.h>

#include "analytics/saved.h"
#include "api_queries.h"
#include "base/check.h"
#include "base/when.h"

static const struct route routes[] = {
#define X(method, pattern, handler, scope, audit, limit)                                           \
    {method, pattern, handler, scope, audit, limit},
#include "api/routes.def"
#undef X
};

#define ROUTES (sizeof routes / sizeof routes[0])

struct api *api_new(const struct api_options *options)
{
    struct api *api = mem_zero(sizeof *api);
    pthread_mutex_init(&api->erasing, NULL);
    pthread_mutex_init(&api->running_mutex, NULL);
    api->options = *options;
    facts_prepare(options->facts, api_queries);
    saved_init(options->facts);
    pipeline_forget_set(options->pipeline, api_forget, api);
    api->routes = mem_zero((ROUTES + 1) * sizeof *api->routes);
    memcpy(api->routes, routes, sizeof routes);
    api->routes_count = ROUTES;
    if (options->clock->is_virtual) /* the route does not exist without the flag (DESIGN §11) */
        api->routes[api->routes_count++] =
            (struct route){"POST", "/test/clock", api_test_clock, SCOPE_ADMIN, AUDIT_NONE, 4096};
    return api;
}

void api_free(struct api *api)
{
    if (api == NULL)
        return;
    pthread_mutex_destroy(&api->erasing);
    pthread_mutex_destroy(&api->running_mutex);
    free(api->routes);
    free(api);
}

const struct route *api_routes(struct api *api, size_t *ret_count)
{
    *ret_count = api->routes_count;
    return api->routes;
}

/* --- answers ---------------------------------------------------------------------------------- */

void api_finish(struct http_request *request, enum status status, int code, struct buf *json,
                const struct err *err)
{
    struct err too_large;
    if (status == ST_OK && json->overflow) {
        status =
            err_set(&too_large, ST_TOO_LARGE, "the answer is larger than %zu bytes", json->max);
        err_hint(&too_large, status, "ask for less at a time");
        err = &too_large;
    }
    if (status == ST_OK)
        http_reply(request, code, "application/json", buf_view(json));
    else
        http_reply_error(request, err);
    buf_done(json);
}

void api_put_time(struct buf *json, const char *name, int64_t us)
{
    char text[28];
    if (us == 0) {
        json_put_member_raw(json, name, STR("null"));
        return;
    }
    when_format(us, text);
    json_put_member_str(json, name, str_of(text));
}

void api_put_micros(struct buf *json, const char *name, int64_t micros)
{
    uint64_t size = micros < 0 ? 0 - (uint64_t)micros : (uint64_t)micros;
    json_put_name(json, name);
    if (micros < 0)
        buf_char(json, '-');
    buf_decimal(json, size / 1000000);
    buf_char(json, '.');
    buf_digits(json, size % 1000000, 6);
}

void api_put_token(struct buf *json, const char *name, uint64_t offset)
{
    json_put_name(json, name);
    buf_text(json, "\"0:");
    buf_decimal(json, offset);
    buf_char(json, '"');
}

void api_put_id(struct buf *json, const char *name, const char *prefix, uint64_t id)
{
    json_put_name(json, name);
    buf_fmt(json, "\"%s_%016llx\"", prefix, (unsigned long long)id);
}

/* --- what requests say
 * -------------------------------------------------------------------------------------------- */

bool api_token_parse(struct str text, struct log_position *ret_position)
{
    uint64_t parts[2] = {0, 0};
    size_t part = 0, digits = 0;
    for (size_t i = 0; i < text.n; i++) {
        char c = text.p[i];
        if (c == ':' && part == 0 && digits > 0) {
            part = 1;
            digits = 0;
        } else if (c >= '0' && c <= '9' && digits < 19) {
            parts[part] = parts[part] * 10 + (uint64_t)(c - '0');
            digits++;
        } else {
            return false;
        }
    }
    if (part != 1 || digits == 0 || parts[0] > UINT32_MAX)
        return false;
    *ret_position = (struct log_position){(uint32_t)parts[0], parts[1]};
    return true;
}

struct str api_param(struct api *api, struct http_request *request, const char *name)
{
    bool known;
    const struct route *route = route_find(api->routes, api->routes_count, http_method(request),
                                           http_path(request), &known);
    CHECK(route != NULL);
    return route_param(route, http_path(request), name);
}

enum status api_identifier(struct http_request *request, struct str id,
                           enum identifier_type *ret_type, struct str *ret_value, struct err *err)
{
    const char *colon = id.n > 0 ? memchr(id.p, ':', id.n) : NULL;
    if (colon == NULL) {
        err_set(err, ST_INVALID, "an identifier is TYPE:VALUE");
        return err_hint(err, ST_INVALID, "for example phone:+8613812345678 or user_id:u-1001");
    }
    struct str name = {id.p, (size_t)(colon - id.p)};
    struct str value = {colon + 1, id.n - name.n - 1};
    enum identifier_type type = identifier_type_of(name);
    if (type == IDENTIFIER_NONE)
        return err_set(err, ST_INVALID, "unknown identifier type \"" STR_FMT "\"", STR_ARG(name));
    if (value.n > LIMIT_IDENTIFIER_BYTES)
        return err_set(err, ST_INVALID, "the identifier is longer than %d bytes",
                       LIMIT_IDENTIFIER_BYTES);
    if (!clean_identifier(type, value, http_arena(request), ret_value))
        return err_set(err, ST_INVALID, "the value can be no %s", identifier_name(type));
    *ret_type = type;
    *ret_value = arena_copy(http_arena(request), *ret_value); /* it may be a part of the body */
    audit_subject(api_audited(request), name, *ret_value);
    return ST_OK;
}

enum status api_body(struct http_request *request, yyjson_doc **ret_doc, struct err *err)
{
    yyjson_doc *doc = NULL;
    enum status status = json_parse(NULL, http_body(request), &doc, err);
    if (status != ST_OK)
        return status;
    if (!yyjson_is_obj(yyjson_doc_get_root(doc))) {
        yyjson_doc_free(doc);
        return err_set(err, ST_INVALID, "the body must be a JSON object");
    }
    *ret_doc = doc;
    return ST_OK;
}

/* --- read your writes
 * --------------------------------------------------------------------------------------------- */

/* http_work or http_work_long. */
typedef enum status to_queue(struct http_request *request, http_handler *work, void *ctx,
                             struct err *err);

struct after {
    struct pipeline_waiter waiter;
    struct api *api;
    struct http_request *request;
    http_handler *work;
    to_queue *queue;
};

/* A change is in the audit log before anything is done. */
struct change {
    struct api *api;
    http_handler *work;
};

static void change_work(void *ctx, struct http_request *request)
{
    struct change *change = ctx;
    struct err err;
    if (api_audit_begin(change->api, request, &err) == ST_OK)
        change->work(change->api, request);
    else
        http_reply_error(request, &err);
}

static void hand_to_worker(struct api *api, struct http_request *request, http_handler *work,
                           to_queue *queue)
{
    struct err err;
    void *ctx = api;
    struct audit_call *call = api_audited(request);
    if (call != NULL && call->kind == AUDIT_KIND_CHANGE) {
        struct change *change = ARENA_NEW(http_arena(request), struct change);
        *change = (struct change){api, work};
        ctx = change;
        work = change_work;
    }
    if (queue(request, work, ctx, &err) != ST_OK)
        http_reply_error(request, &err);
}

static void after_ready(struct pipeline_waiter *waiter, enum status status)
{
    struct after *after = waiter->ctx;
    if (status == ST_OK) {
        hand_to_worker(after->api, after->request, after->work, after->queue);
        return;
    }
    struct err err;
    err_set(&err, status, "the position %llu was not reached%s", (unsigned long long)waiter->offset,
            status == ST_BUSY ? ": the disk is full" : " in time");
    http_reply_error(after->request, &err);
}

/* True when the request waits (or was refused); false when it named no position. */
static bool waits(struct api *api, struct http_request *request, http_handler *work,
                  to_queue *queue)
{
    struct err err;
    struct log_position position;
    struct str token = http_query(request, "after");
    if (token.p == NULL)
        return false;
    if (!api_token_parse(token, &position) || position.part != 0) {
        err_set(&err, ST_INVALID, "after= is no position");
        err_hint(&err, ST_INVALID, "give back the \"position\" of an answer as it was");
        http_reply_error(request, &err);
        return true;
    }
    struct after *after = ARENA_NEW(http_arena(request), struct after);
    *after = (struct after){.api = api, .request = request, .work = work, .queue = queue};
    /* A token is the position of a record: what is wanted is that the record has been folded. */
    after->waiter = (struct pipeline_waiter){
        .offset = position.offset + 1,
        .ready = after_ready,
        .ctx = after,
    };
    if (position.offset >= log_end(api->options.log)) {
        err_set(&err, ST_NOT_FOUND, "the position lies after the journal's end");
        http_reply_error(request, &err);
    } else if (pipeline_wait(api->options.pipeline, &after->waiter, &err) != ST_OK) {
        http_reply_error(request, &err);
    }
    return true;
}

void api_work(struct api *api, struct http_request *request, http_handler *work)
{
    if (!waits(api, request, work, http_work))
        hand_to_worker(api, request, work, http_work);
}

void api_work_long(struct api *api, struct http_request *request, http_handler *work)
{
    if (!waits(api, request, work, http_work_long))
        hand_to_worker(api, request, work, http_work_long);
}

void api_quick(struct api *api, struct http_request *request, http_handler *work)
{
    if (!waits(api, request, work, http_work))
        work(api, request);
}
