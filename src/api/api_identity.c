/* api_identity.c - people are corrected by decisions that are journal records: rules and unmerges.
 *
 * Nothing here changes state: it checks, appends a record, waits until the fold has passed it and
 * says what became of it. */
#include "api/api_int.h"

#define RECORD_BYTES_MAX ((size_t)1 << 20)

/* Append one record of our own and wait until it is folded; the token of its position goes to
 * `json`. */
static enum status decide(struct api *api, struct http_request *request, enum log_type type,
                          struct str payload, struct buf *json, struct err *err)
{
    struct buf frames;
    uint64_t first = 0;
    buf_init(&frames, RECORD_BYTES_MAX);
    log_frame(&frames, type, EVENT_VERSION, SOURCE_SELF, payload);
    enum status status = log_append_wait(api->options.log, &frames, 1, &first, err);
    if (status == ST_OK)
        status = pipeline_wait_blocking(api->options.pipeline, first + frames.n, err);
    buf_done(&frames);
    struct audit_call *call = api_audited(request);
    if (call != NULL)
        call->position = first; /* also when the fold was not waited for to its end */
    if (status == ST_OK) {
        buf_char(json, '{');
        api_put_token(json, "position", first);
        buf_char(json, '}');
    }
    return status;
}

/* --- rules ------------------------------------------------------------------------------------ */

/* [{"type","value"}] again, every value in its normal form: a rule names what identity knows. */
static enum status values_normalise(struct http_request *request, yyjson_val *body,
                                    const char *name, struct buf *rule, struct err *err)
{
    size_t i, count;
    yyjson_val *item;
    yyjson_val *list = yyjson_obj_get(body, name);
    if (list == NULL)
        return ST_OK;
    if (!yyjson_is_arr(list))
        return err_set(err, ST_INVALID, "\"%s\" must be a list", name);
    json_put_name(rule, name);
    buf_char(rule, '[');
    yyjson_arr_foreach(list, i, count, item)
    {
        struct str type = json_member_str(item, "type"), value = json_member_str(item, "value");
        enum identifier_type known = identifier_type_of(type);
        if (known == IDENTIFIER_NONE)
            return err_set(err, ST_INVALID, "unknown identifier type \"" STR_FMT "\"",
                           STR_ARG(type));
        if (!clean_identifier(known, value, http_arena(request), &value))
            return err_set(err, ST_INVALID, "a value of \"%s\" can be no %s", name,
                           identifier_name(known));
        json_put_comma(rule);
        buf_char(rule, '{');
        json_put_member_str(rule, "type", type);
        json_put_member_str(rule, "value", value);
        buf_char(rule, '}');
    }
    buf_char(rule, ']');
    return ST_OK;
}

static enum status rule_normalise(struct http_request *request, struct buf *rule, struct err *err)
{
    yyjson_doc *doc = NULL;
    enum status status = api_body(request, &doc, err);
    if (status != ST_OK)
        return status;
    yyjson_val *body = yyjson_doc_get_root(doc);
    buf_char(rule, '{');
    status = values_normalise(request, body, "block", rule, err);
    if (status == ST_OK)
        status = values_normalise(request, body, "unblock", rule, err);
    yyjson_val *limits = yyjson_obj_get(body, "limits");
    if (status == ST_OK && limits != NULL) {
        json_put_name(rule, "limits");
        json_write(rule, limits);
    }
    buf_char(rule, '}');
    yyjson_doc_free(doc);
    return status;
}

/* What the rule would change; also the check of a rule before it becomes a record. */
static enum status rule_dry_run(struct api *api, struct http_request *request, struct str rule,
                                struct identity_result *ret_result, struct err *err)
{
    struct state *state = pipeline_state(api->options.pipeline);
    state_lock(state);
    enum status status =
        identity_rule(pipeline_identity(api->options.pipeline), log_end(api->options.log), rule,
                      true, http_arena(request), ret_result, err);
    state_unlock(state);
    return status;
}

static void rules_work(void *ctx, struct http_request *request)
{
    struct api *api = ctx;
    struct err err;
    struct buf json, rule;
    struct identity_result result = {0};
    buf_init(&json, ANSWER_BYTES_MAX);
    buf_init(&rule, RECORD_BYTES_MAX);
    bool dry = str_is(http_query(request, "dry_run"), "true");
    enum status status = rule_normalise(request, &rule, &err);
    if (status == ST_OK)
        status = rule_dry_run(api, request, buf_view(&rule), &result, &err);
    if (status == ST_OK && dry) {
        buf_char(&json, '{');
        json_put_member_bool(&json, "dry_run", true);
        json_put_member_uint(&json, "visitors_changed", result.changes_count);
        json_put_member_uint(&json, "edges_refused", result.edges_refused);
        buf_char(&json, '}');
    } else if (status == ST_OK) {
        status = decide(api, request, LOG_RULE, buf_view(&rule), &json, &err);
    }
    buf_done(&rule);
    api_finish(request, status, 200, &json, &err);
}

void api_rules_set(void *ctx, struct http_request *request)
{
    api_work(ctx, request, rules_work);
}

void api_rules_get(void *ctx, struct http_request *request)
{
    struct api *api = ctx;
    struct state *state = pipeline_state(api->options.pipeline);
    struct buf json;
    buf_init(&json, ANSWER_BYTES_MAX);
    state_lock(state);
    identity_rules_write(pipeline_identity(api->options.pipeline), &json);
    state_unlock(state);
    api_finish(request, ST_OK, 200, &json, NULL);
}

/* --- unmerge ---------------------------------------------------------------------------------- */

/* {"identifier":"email:a@b.cn"} takes it out of its person; with "from":["user_id:u1"] only those
 * edges end. */
static enum status unmerge_event(struct http_request *request, yyjson_val *body,
                                 struct event *event, struct err *err)
{
    enum identifier_type type;
    struct str value;
    enum status status =
        api_identifier(request, json_member_str(body, "identifier"), &type, &value, err);
    if (status != ST_OK)
        return status;
    event_add_identifier(event, type, value);
    size_t i, count;
    yyjson_val *item;
    yyjson_arr_foreach(yyjson_obj_get(body, "from"), i, count, item)
    {
        status = api_identifier(request, json_str(item), &type, &value, err);
        if (status != ST_OK)
            return status;
        if (!event_add_identifier(event, type, value))
            return err_set(err, ST_INVALID, "at most %d identifiers at a time",
                           LIMIT_EVENT_IDENTIFIERS);
    }
    return ST_OK;
}

static void unmerge_work(void *ctx, struct http_request *request)
{
    struct api *api = ctx;
    struct err err;
    yyjson_doc *doc = NULL;
    struct buf json, payload;
    char id[64];
    buf_init(&json, ANSWER_BYTES_MAX);
    buf_init(&payload, RECORD_BYTES_MAX);
    enum status status = api_body(request, &doc, &err);
    struct event event = {.type = EVENT_UNBIND};
    if (status == ST_OK)
        status = unmerge_event(request, yyjson_doc_get_root(doc), &event, &err);
    if (status == ST_OK) {
        /* Our own source has no client that repeats; the journal's end makes the id unique. */
        int n = snprintf(id, sizeof id, "unmerge-%llu-%lld",
                         (unsigned long long)log_end(api->options.log), (long long)monotonic_us());
        event.message_id = (struct str){id, (size_t)n};
        event_encode(&event, &payload);
        status = decide(api, request, LOG_EVENT, buf_view(&payload), &json, &err);
    }
    yyjson_doc_free(doc);
    buf_done(&payload);
    api_finish(request, status, 200, &json, &err);
}

void api_unmerge(void *ctx, struct http_request *request)
{
    api_work(ctx, request, unmerge_work);
}
