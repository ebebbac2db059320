/* api_audit.c - the audit log at the door of the API: whom a call concerns, and reading it.
 *
 * Records are made here, once, for all routes: a handler adds only what it alone knows (the number
 * of what it made, the position of what it wrote). Of a change, which is recorded before its
 * handler sees it, the person is read from the body's "identifier" and the object from the path. */
#include "api/api_int.h"
#include "base/when.h"

#define PAGE_RECORDS 100

/* --- a call ----------------------------------------------------------------------------------- */

static void tell(void *ctx, struct http_request *request, int code)
{
    (void)request;
    audit_end(ctx, code);
}

struct audit_call *api_audited(struct http_request *request)
{
    return http_told(request);
}

enum status api_audit_call(struct api *api, const struct route *route, struct str key, bool allowed,
                           struct http_request *request, struct err *err)
{
    enum audit_kind kind = AUDIT_KIND_REFUSAL;
    if (allowed && route->audit == AUDIT_NONE)
        return ST_OK;
    if (allowed)
        kind = route->audit == AUDIT_WRITE ? AUDIT_KIND_CHANGE : AUDIT_KIND_READ;
    if (kind == AUDIT_KIND_READ) {
        enum status status = audit_room(api->options.audit, err);
        if (status != ST_OK)
            return status;
    }
    struct audit_call *call = ARENA_NEW(http_arena(request), struct audit_call);
    call->audit = api->options.audit;
    call->kind = kind;
    call->key = key;
    call->method = route->method;
    call->route = route->pattern;
    http_before_answer(request, tell, call);
    return ST_OK;
}

/* A number of ours or a key's id; not whatever else somebody may have put into a path. */
static bool is_own_id(struct str text)
{
    size_t digits = 0, word = 0;
    for (size_t i = 0; i < text.n; i++) {
        char c = text.p[i];
        digits += c >= '0' && c <= '9';
        word += (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c == '-';
    }
    if (digits == text.n)
        return text.n > 0 && text.n < 10; /* a phone number has more */
    return text.n == 14 && str_starts(text, STR("k_")) && digits + word == text.n;
}

/* What does not read as an identifier here is refused by the handler later. */
static void change_target(struct api *api, struct http_request *request, struct audit_call *call)
{
    struct err ignored;
    enum identifier_type type;
    struct str value, id = api_param(api, request, "id");
    yyjson_doc *doc = NULL;
    if (is_own_id(id))
        audit_object(call, STR_FMT, STR_ARG(id));
    if (http_body(request).n == 0 || api_body(request, &doc, &ignored) != ST_OK)
        return;
    struct str identifier = json_member_str(yyjson_doc_get_root(doc), "identifier");
    if (identifier.n > 0) /* notes the subject by itself */
        (void)!api_identifier(request, identifier, &type, &value, &ignored);
    yyjson_doc_free(doc);
}

enum status api_audit_begin(struct api *api, struct http_request *request, struct err *err)
{
    bool known;
    char id[24];
    struct audit_call *call = api_audited(request);
    if (call == NULL || call->kind != AUDIT_KIND_CHANGE)
        return ST_OK;
    change_target(api, request, call);
    const struct route *route = route_find(api->routes, api->routes_count, http_method(request),
                                           http_path(request), &known);
    if ((route->scope & SCOPE_ERASE) != 0) /* on a full disk its record has room, too */
        log_erase_begins(api->options.log);
    enum status status = audit_begin(call, err);
    if (status != ST_OK)
        return status;
    snprintf(id, sizeof id, "%lld", (long long)call->begun);
    http_set_header(request, "Hezou-Audit", str_of(id));
    return ST_OK;
}

/* --- reading it ------------------------------------------------------------------------------- */

static enum status time_read(struct http_request *request, const char *name, int64_t *ret_us,
                             struct err *err)
{
    struct str text = http_query(request, name);
    if (text.n == 0 || when_parse(text, 0, ret_us))
        return ST_OK;
    err_set(err, ST_INVALID, "%s= is no time", name);
    return err_hint(err, ST_INVALID, "for example 2026-11-24 or 2026-11-24T10:00:00+08:00");
}

static enum status kind_read(struct str text, int *ret_kind, struct err *err)
{
    static const char *const names[] = {"", "change", "read", "refusal"};
    for (int i = 0; i < 4; i++)
        if (str_is(text, names[i])) {
            *ret_kind = i;
            return ST_OK;
        }
    return err_set(err, ST_INVALID, "kind= is change, read or refusal");
}

static enum status filter_read(struct http_request *request, struct audit_filter *filter,
                               struct err *err)
{
    uint64_t before = 0, limit = PAGE_RECORDS;
    enum identifier_type type;
    struct str subject = http_query(request, "subject");
    filter->key = http_query(request, "key");
    filter->route = http_query(request, "route");
    enum status status = kind_read(http_query(request, "kind"), &filter->kind, err);
    if (status == ST_OK)
        status = time_read(request, "from", &filter->from_us, err);
    if (status == ST_OK)
        status = time_read(request, "to", &filter->to_us, err);
    if (status == ST_OK)
        status = api_number(request, "page", 0, INT64_MAX, &before, err);
    if (status == ST_OK)
        status = api_number(request, "limit", PAGE_RECORDS, AUDIT_PAGE_MAX, &limit, err);
    if (status == ST_OK && subject.n > 0) {
        status = api_identifier(request, subject, &type, &filter->value, err);
        if (status == ST_OK)
            filter->type = str_of(identifier_name(type));
    }
    filter->before = (int64_t)before;
    filter->limit = limit == 0 ? PAGE_RECORDS : (size_t)limit;
    return status;
}

static void audit_work(void *ctx, struct http_request *request)
{
    struct api *api = ctx;
    struct err err;
    struct buf json;
    struct audit_filter filter = {.limit = PAGE_RECORDS};
    buf_init(&json, ANSWER_BYTES_MAX);
    enum status status = filter_read(request, &filter, &err);
    if (status == ST_OK)
        status = audit_flush(api->options.audit, &err);
    if (status == ST_OK || status == ST_BUSY) /* on a full disk: what is there, not what waits */
        status = audit_list(api->options.audit, api->options.access, &filter, &json, &err);
    api_finish(request, status, 200, &json, &err);
}

void api_audit(void *ctx, struct http_request *request)
{
    api_work(ctx, request, audit_work);
}

static void check_work(void *ctx, struct http_request *request)
{
    struct api *api = ctx;
    struct err err;
    struct buf json;
    buf_init(&json, ANSWER_BYTES_MAX);
    api_finish(request, audit_check(api->options.audit, &json, &err), 200, &json, &err);
}

void api_audit_check(void *ctx, struct http_request *request)
{
    api_work(ctx, request, check_work);
}
