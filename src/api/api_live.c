/* api_live.c - reports on live people: asked, saved, and the people behind a number.
 *
 * A question is the body, a JSON object; none is the report's defaults. after=TOKEN waits twice:
 * until the event is folded, and until the timeline shows it. A client that goes away is not
 * noticed, so a report ends by its time limit: timeout=SECONDS, 30 if nobody says otherwise. */
#include "analytics/saved.h"
#include "api/api_int.h"

#include <stdlib.h>

#define TIMEOUT_S_MAX 600

/* --- what requests say ------------------------------------------------------------------------ */

static bool number_read(struct str text, uint64_t most, uint64_t *ret_number)
{
    uint64_t number = 0;
    if (text.n == 0 || text.n > 18)
        return false;
    for (size_t i = 0; i < text.n; i++) {
        if (text.p[i] < '0' || text.p[i] > '9')
            return false;
        number = number * 10 + (uint64_t)(text.p[i] - '0');
    }
    *ret_number = number;
    return number <= most;
}

enum status api_number(struct http_request *request, const char *name, uint64_t otherwise,
                       uint64_t most, uint64_t *ret_number, struct err *err)
{
    struct str text = http_query(request, name);
    uint64_t number = otherwise;
    if (text.p != NULL && !number_read(text, most, &number))
        return err_set(err, ST_INVALID, "%s= must be a whole number up to %llu", name,
                       (unsigned long long)most);
    *ret_number = number;
    return ST_OK;
}

enum status api_param_number(struct api *api, struct http_request *request, const char *what,
                             int64_t *ret_id, struct err *err)
{
    uint64_t id = 0;
    if (!number_read(api_param(api, request, "id"), INT64_MAX, &id))
        return err_set(err, ST_NOT_FOUND, "there is no such %s", what);
    *ret_id = (int64_t)id;
    audit_object(api_audited(request), "%lld", (long long)*ret_id);
    return ST_OK;
}

enum status api_live_run(struct api *api, struct http_request *request, struct live_run *ret_run,
                         struct err *err)
{
    uint64_t seconds = 0;
    struct log_position position;
    struct live_run run = {0};
    if (api->options.live == NULL) {
        err_set(err, ST_NOT_FOUND, "there are no live reports: the timeline is switched off");
        return err_hint(err, ST_NOT_FOUND, "start the server with --timeline-mb above 0");
    }
    enum status status = api_number(request, "timeout", 0, TIMEOUT_S_MAX, &seconds, err);
    if (status != ST_OK)
        return status;
    run.limit_us = (int64_t)seconds * US_PER_S;
    if (api_token_parse(http_query(request, "after"), &position))
        run.after = position.offset + 1;
    *ret_run = run;
    return ST_OK;
}

/* The body, NULL when there is none. */
static enum status question_read(struct http_request *request, yyjson_doc **ret_doc,
                                 struct err *err)
{
    *ret_doc = NULL;
    return str_trim(http_body(request)).n == 0 ? ST_OK : api_body(request, ret_doc, err);
}

/* --- reports ---------------------------------------------------------------------------------- */

static void live_answer(struct api *api, struct http_request *request, bool save)
{
    struct err err;
    struct buf json;
    struct live_run run;
    yyjson_doc *doc = NULL;
    buf_init(&json, ANSWER_BYTES_MAX);
    enum status status = api_live_run(api, request, &run, &err);
    run.save = save;
    if (status == ST_OK)
        status = question_read(request, &doc, &err);
    if (status == ST_OK)
        status = live_report(api->options.live, api_param(api, request, "name"),
                             yyjson_doc_get_root(doc), &run, &json, &err);
    yyjson_doc_free(doc);
    api_finish(request, status, 200, &json, &err);
}

static void live_work(void *ctx, struct http_request *request)
{
    live_answer(ctx, request, false);
}

void api_live(void *ctx, struct http_request *request)
{
    api_work(ctx, request, live_work);
}

/* No result is written while somebody is erased: it would bring back who is going. */
static void live_save_work(void *ctx, struct http_request *request)
{
    struct api *api = ctx;
    pthread_mutex_lock(&api->erasing);
    live_answer(api, request, true);
    pthread_mutex_unlock(&api->erasing);
}

void api_live_save(void *ctx, struct http_request *request)
{
    api_work(ctx, request, live_save_work);
}

static void people_work(void *ctx, struct http_request *request)
{
    struct api *api = ctx;
    struct err err;
    struct buf json;
    struct live_run run;
    uint64_t limit = 0;
    buf_init(&json, ANSWER_BYTES_MAX);
    enum status status = api_live_run(api, request, &run, &err);
    if (status == ST_OK)
        status = api_number(request, "limit", 0, 1000, &limit, &err);
    if (status == ST_OK)
        status = live_people(api->options.live, http_query(request, "cell"),
                             http_query(request, "page"), (size_t)limit, &run, &json, &err);
    api_finish(request, status, 200, &json, &err);
}

void api_live_people(void *ctx, struct http_request *request)
{
    api_work(ctx, request, people_work);
}

/* --- saved questions -------------------------------------------------------------------------- */

void api_saved_list(void *ctx, struct http_request *request)
{
    struct api *api = ctx;
    struct err err;
    struct buf json;
    buf_init(&json, ANSWER_BYTES_MAX);
    api_finish(request, saved_list(api->options.facts, &json, &err), 200, &json, &err);
}

static bool is_report(struct str name)
{
    for (const char *const *names = live_names(); *names != NULL; names++)
        if (str_is(name, *names))
            return true;
    return false;
}

static void saved_add_work(void *ctx, struct http_request *request)
{
    struct api *api = ctx;
    struct err err;
    struct buf json;
    int64_t id = 0;
    yyjson_doc *doc = NULL;
    buf_init(&json, ANSWER_BYTES_MAX);
    enum status status = api_body(request, &doc, &err);
    yyjson_val *root = yyjson_doc_get_root(doc);
    struct str report = json_member_str(root, "report");
    if (status == ST_OK && !is_report(report))
        status = err_set(&err, ST_INVALID, "\"report\" is no live report");
    if (status == ST_OK)
        status = saved_add(api->options.facts, clock_now_us(api->options.clock),
                           json_member_str(root, "name"), report, yyjson_obj_get(root, "question"),
                           &id, &err);
    if (status == ST_OK)
        audit_object(api_audited(request), "%lld", (long long)id);
    if (status == ST_OK)
        status = saved_get(api->options.facts, id, &json, &err);
    yyjson_doc_free(doc);
    api_finish(request, status, 201, &json, &err);
}

void api_saved_add(void *ctx, struct http_request *request)
{
    api_work(ctx, request, saved_add_work);
}

void api_saved_get(void *ctx, struct http_request *request)
{
    struct api *api = ctx;
    struct err err;
    struct buf json;
    int64_t id = 0;
    buf_init(&json, ANSWER_BYTES_MAX);
    enum status status = api_param_number(api, request, "saved report", &id, &err);
    if (status == ST_OK)
        status = saved_get(api->options.facts, id, &json, &err);
    api_finish(request, status, 200, &json, &err);
}

static void saved_remove_work(void *ctx, struct http_request *request)
{
    struct api *api = ctx;
    struct err err;
    struct buf json;
    int64_t id = 0;
    buf_init(&json, ANSWER_BYTES_MAX);
    enum status status = api_param_number(api, request, "saved report", &id, &err);
    if (status == ST_OK)
        status = saved_remove(api->options.facts, id, &err);
    buf_char(&json, '{');
    json_put_member_int(&json, "removed", id);
    buf_char(&json, '}');
    api_finish(request, status, 200, &json, &err);
}

void api_saved_remove(void *ctx, struct http_request *request)
{
    api_work(ctx, request, saved_remove_work);
}

static void saved_run_work(void *ctx, struct http_request *request)
{
    struct api *api = ctx;
    struct err err;
    struct buf json, saved;
    struct live_run run;
    int64_t id = 0;
    yyjson_doc *doc = NULL;
    buf_init(&json, ANSWER_BYTES_MAX);
    buf_init(&saved, ANSWER_BYTES_MAX);
    enum status status = api_live_run(api, request, &run, &err);
    if (status == ST_OK)
        status = api_param_number(api, request, "saved report", &id, &err);
    if (status == ST_OK)
        status = saved_get(api->options.facts, id, &saved, &err);
    if (status == ST_OK)
        status = json_parse(NULL, buf_view(&saved), &doc, &err);
    yyjson_val *root = yyjson_doc_get_root(doc);
    if (status == ST_OK)
        status = live_report(api->options.live, json_member_str(root, "report"),
                             yyjson_obj_get(root, "question"), &run, &json, &err);
    yyjson_doc_free(doc);
    buf_done(&saved);
    api_finish(request, status, 200, &json, &err);
}

void api_saved_run(void *ctx, struct http_request *request)
{
    api_work(ctx, request, saved_run_work);
}
