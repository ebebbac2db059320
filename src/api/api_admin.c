/* api_admin.c - who may send and ask: sources and keys. A key is shown once, in the answer that
 * makes it. */
#include "api/api_int.h"

static void put_key(struct buf *json, const struct buf *key)
{
    json_put_member_str(json, "key", buf_view(key));
}

void api_keys(void *ctx, struct http_request *request)
{
    struct api *api = ctx;
    struct err err;
    struct buf json;
    buf_init(&json, ANSWER_BYTES_MAX);
    api_finish(request, access_list(api->options.access, &json, &err), 200, &json, &err);
}

/* {"name":"shop-web","channel":"web"}, and "key" when a shop brings the write key it already uses.
 */
static enum status source_add(struct api *api, struct http_request *request, struct buf *json,
                              struct err *err)
{
    yyjson_doc *doc = NULL;
    struct buf key;
    uint32_t source = 0;
    enum status status = api_body(request, &doc, err);
    if (status != ST_OK)
        return status;
    buf_init(&key, 256);
    yyjson_val *root = yyjson_doc_get_root(doc);
    struct str own = json_member_str(root, "key");
    status = access_add_source(api->options.access, json_member_str(root, "name"),
                               json_member_str(root, "channel"), &key, &source, err);
    if (status == ST_OK && own.n > 0) {
        status = access_add_write_key_value(api->options.access, json_member_str(root, "name"), own,
                                            err);
        buf_reset(&key);
        buf_str(&key, own);
    }
    if (status == ST_OK) {
        audit_object(api_audited(request), "%u", source);
        buf_char(json, '{');
        json_put_member_uint(json, "source", source);
        put_key(json, &key);
        buf_char(json, '}');
    }
    buf_done(&key);
    yyjson_doc_free(doc);
    return status;
}

static void source_work(void *ctx, struct http_request *request)
{
    struct err err;
    struct buf json;
    buf_init(&json, ANSWER_BYTES_MAX);
    api_finish(request, source_add(ctx, request, &json, &err), 201, &json, &err);
}

void api_source_add(void *ctx, struct http_request *request)
{
    api_work(ctx, request, source_work);
}

/* {"source":"shop-web"} or {"label":"bi","scopes":"read"}. */
static enum status key_add(struct api *api, struct http_request *request, struct buf *json,
                           struct err *err)
{
    yyjson_doc *doc = NULL;
    struct buf key;
    uint32_t scopes = 0;
    enum status status = api_body(request, &doc, err);
    if (status != ST_OK)
        return status;
    buf_init(&key, 256);
    yyjson_val *root = yyjson_doc_get_root(doc);
    struct str source = json_member_str(root, "source");
    if (source.n > 0) {
        status = access_add_write_key(api->options.access, source, &key, err);
    } else {
        status = access_scopes_parse(json_member_str(root, "scopes"), &scopes, err);
        if (status == ST_OK)
            status = access_add_secret_key(api->options.access, json_member_str(root, "label"),
                                           scopes, &key, err);
    }
    struct access_grant made;
    if (status == ST_OK)
        status = access_check(api->options.access, buf_view(&key), &made, err);
    if (status == ST_OK) {
        audit_object(api_audited(request), STR_FMT, STR_ARG(made.id));
        buf_char(json, '{');
        json_put_member_str(json, "id", made.id);
        put_key(json, &key);
        buf_char(json, '}');
    }
    buf_done(&key);
    yyjson_doc_free(doc);
    return status;
}

static void key_work(void *ctx, struct http_request *request)
{
    struct err err;
    struct buf json;
    buf_init(&json, ANSWER_BYTES_MAX);
    api_finish(request, key_add(ctx, request, &json, &err), 201, &json, &err);
}

void api_key_add(void *ctx, struct http_request *request)
{
    api_work(ctx, request, key_work);
}

static void revoke_work(void *ctx, struct http_request *request)
{
    struct api *api = ctx;
    struct err err;
    struct buf json;
    buf_init(&json, ANSWER_BYTES_MAX);
    enum status status = access_revoke(api->options.access, api_param(api, request, "id"), &err);
    buf_text(&json, "{\"revoked\":true}");
    api_finish(request, status, 200, &json, &err);
}

void api_key_revoke(void *ctx, struct http_request *request)
{
    api_work(ctx, request, revoke_work);
}
