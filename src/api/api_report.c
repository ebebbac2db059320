/* api_report.c - numbers: named reports, a person's own SQL, single journal records, files out. */
#include "analytics/analytics.h"
#include "api/api_int.h"

/* --- reports ---------------------------------------------------------------------------------- */

static void overview_work(void *ctx, struct http_request *request)
{
    struct api *api = ctx;
    struct err err;
    struct buf json;
    buf_init(&json, ANSWER_BYTES_MAX);
    api_finish(request, analytics_overview(api->options.warehouse, &json, &err), 200, &json, &err);
}

void api_overview(void *ctx, struct http_request *request)
{
    api_work(ctx, request, overview_work);
}

/* --- SQL -------------------------------------------------------------------------------------- */

static void sql_work(void *ctx, struct http_request *request)
{
    struct api *api = ctx;
    struct err err;
    yyjson_doc *doc = NULL;
    struct buf json;
    struct warehouse_limits limits = {0};
    buf_init(&json, ANSWER_BYTES_MAX);
    enum status status = api_body(request, &doc, &err);
    struct str sql = json_member_str(yyjson_doc_get_root(doc), "sql");
    if (status == ST_OK && sql.n == 0)
        status = err_set(&err, ST_INVALID,
                         "the body needs \"sql\": one SELECT over events, people or records");
    if (status == ST_OK)
        status = warehouse_sql(api->options.warehouse, sql, &limits, &json, &err);
    struct audit_call *call = api_audited(request);
    if (status == ST_OK && call != NULL)
        call->detail = audit_shape(sql, http_arena(request));
    yyjson_doc_free(doc);
    api_finish(request, status, 200, &json, &err);
}

void api_sql(void *ctx, struct http_request *request)
{
    api_work(ctx, request, sql_work);
}

/* --- one record ------------------------------------------------------------------------------- */

static void put_event(struct buf *json, const struct event *event)
{
    json_put_member_str(json, "type", str_of(event_type_name(event->type)));
    json_put_member_str(json, "message_id", event->message_id);
    json_put_member_str(json, "name", event->name);
    json_put_member_str(json, "channel", event->channel);
    json_put_name(json, "identifiers");
    buf_char(json, '[');
    for (size_t i = 0; i < event->identifiers_count; i++) {
        json_put_comma(json);
        buf_char(json, '{');
        json_put_member_str(json, "type", str_of(identifier_name(event->identifiers[i].type)));
        json_put_member_str(json, "value", event->identifiers[i].value);
        buf_char(json, '}');
    }
    buf_char(json, ']');
    api_put_time(json, "original_time", event->original_us);
    api_put_time(json, "sent_time", event->sent_us);
    json_put_member_raw(json, "properties",
                        event->properties.n > 0 ? event->properties : STR("{}"));
    json_put_member_raw(json, "context", event->context.n > 0 ? event->context : STR("{}"));
}

/* What the client sent, as the door kept it. */
static enum status put_payload(struct buf *json, const struct log_record *record, struct err *err)
{
    struct event event;
    struct quarantine quarantine;
    if (record->flags & LOG_FLAG_ERASED) {
        json_put_member_bool(json, "erased", true);
    } else if (record->type == LOG_EVENT) {
        enum status status = event_decode(record->payload, &event, err);
        if (status != ST_OK)
            return status;
        json_put_name(json, "event");
        buf_char(json, '{');
        put_event(json, &event);
        buf_char(json, '}');
    } else if (record->type == LOG_QUARANTINE) {
        enum status status = quarantine_decode(record->payload, &quarantine, err);
        if (status != ST_OK)
            return status;
        json_put_member_str(json, "path", quarantine.path);
        json_put_name(json, "raw");
        json_put_lossy(json, quarantine.raw);
    }
    return ST_OK;
}

/* The fold's verdict is in the warehouse; before it is folded there is none ("pending"). */
static enum status put_verdict(struct api *api, struct buf *json, uint64_t offset, struct err *err)
{
    char text[24];
    struct buf answer;
    yyjson_doc *doc = NULL;
    int n = snprintf(text, sizeof text, "%llu", (unsigned long long)offset);
    struct str param = {text, (size_t)n};
    buf_init(&answer, (size_t)1 << 16);
    enum status status =
        warehouse_query(api->options.warehouse,
                        "SELECT verdict, reason FROM records WHERE position = CAST($1 AS UBIGINT)",
                        &param, 1, &answer, err);
    if (status == ST_OK)
        status = json_parse(NULL, buf_view(&answer), &doc, err);
    if (status == ST_OK) {
        yyjson_val *row = yyjson_arr_get_first(yyjson_obj_get(yyjson_doc_get_root(doc), "rows"));
        struct str reason = json_str(yyjson_arr_get(row, 1));
        json_put_member_str(json, "verdict",
                            row == NULL ? STR("pending") : json_str(yyjson_arr_get_first(row)));
        if (reason.n > 0)
            json_put_member_str(json, "reason", reason);
    }
    yyjson_doc_free(doc);
    buf_done(&answer);
    return status;
}

static const char *record_type_name(enum log_type type)
{
    switch (type) {
    case LOG_EVENT:
        return "event";
    case LOG_QUARANTINE:
        return "quarantine";
    case LOG_ERASE:
        return "erase";
    case LOG_TICK:
        return "tick";
    case LOG_RULE:
        return "rule";
    }
    return "unknown";
}

static enum status record_json(struct api *api, struct http_request *request, struct buf *json,
                               struct err *err)
{
    struct log_position position;
    struct log_record record;
    struct str text = api_param(api, request, "position");
    if (!api_token_parse(text, &position) || position.part != 0)
        return err_set(err, ST_INVALID, "a position looks like 0:12345");
    audit_object(api_audited(request), "0:%llu", (unsigned long long)position.offset);
    struct buf bytes;
    buf_init(&bytes, LIMIT_INFLATED_BYTES * 2);
    enum status status = log_read_at(api->options.log, position.offset, &bytes, &record, err);
    if (status == ST_OK) {
        buf_char(json, '{');
        api_put_token(json, "position", record.offset);
        json_put_member_str(json, "record", str_of(record_type_name(record.type)));
        json_put_member_str(json, "source", access_source_name(api->options.access, record.source));
        api_put_time(json, "received", record.received_us);
        status = put_verdict(api, json, record.offset, err);
    }
    if (status == ST_OK)
        status = put_payload(json, &record, err);
    buf_char(json, '}');
    buf_done(&bytes);
    return status;
}

static void record_work(void *ctx, struct http_request *request)
{
    struct err err;
    struct buf json;
    buf_init(&json, ANSWER_BYTES_MAX);
    api_finish(request, record_json(ctx, request, &json, &err), 200, &json, &err);
}

void api_record(void *ctx, struct http_request *request)
{
    api_work(ctx, request, record_work);
}

/* --- files out -------------------------------------------------------------------------------- */

static void export_work(void *ctx, struct http_request *request)
{
    struct api *api = ctx;
    struct err err;
    yyjson_doc *doc = NULL;
    struct buf json, folder;
    buf_init(&json, ANSWER_BYTES_MAX);
    buf_init(&folder, 4096);
    enum status status = api_body(request, &doc, &err);
    yyjson_val *root = yyjson_doc_get_root(doc);
    if (status == ST_OK)
        status = warehouse_export(api->options.warehouse, json_member_str(root, "from"),
                                  json_member_str(root, "to"), &folder, &err);
    if (status == ST_OK) /* two dates, since the export took them */
        audit_object(api_audited(request), STR_FMT ".." STR_FMT,
                     STR_ARG(json_member_str(root, "from")), STR_ARG(json_member_str(root, "to")));
    yyjson_doc_free(doc);
    if (status == ST_OK) {
        buf_char(&json, '{');
        json_put_member_str(&json, "folder", buf_view(&folder));
        buf_char(&json, '}');
    }
    api_finish(request, status, 201, &json, &err);
    buf_done(&folder);
}

void api_export(void *ctx, struct http_request *request)
{
    api_work(ctx, request, export_work);
}
