/* api_live.c - reports on live people: asked, saved, and the people behind a number.
 *
 * A question is the body, a JSON object; none is the report's defaults. after=TOKEN waits twice:
 * until the event is folded, and until the timeline shows it. Every report can be seen and ended
 * while it runs: api_running.c. */
#include "analytics/saved.h"
#include "api/api_int.h"

#include <stdlib.h>

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
    struct api_run run;
    yyjson_doc *doc = NULL;
    struct str name = api_param(api, request, "name");
    buf_init(&json, ANSWER_BYTES_MAX);
    enum status status = api_run_begin(api, request, name, &run, &err);
    run.live.save = save;
    if (status == ST_OK)
        status = question_read(request, &doc, &err);
    if (status == ST_OK)
        status =
            live_report(api->options.live, name, yyjson_doc_get_root(doc), &run.live, &json, &err);
    yyjson_doc_free(doc);
    status = api_run_end(&run, status, &err);
    api_finish(request, status, 200, &json, &err);
}

static void live_work(void *ctx, struct http_request *request)
{
    live_answer(ctx, request, false);
}

void api_live(void *ctx, struct http_request *request)
{
    api_work_long(ctx, request, live_work);
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
    api_work_long(ctx, request, live_save_work);
}

static void people_work(void *ctx, struct http_request *request)
{
    struct api *api = ctx;
    struct err err;
    struct buf json;
    struct api_run run;
    uint64_t limit = 0;
    buf_init(&json, ANSWER_BYTES_MAX);
    enum status status = api_run_begin(api, request, STR("people"), &run, &err);
    if (status == ST_OK)
        status = api_number(request, "limit", 0, 1000, &limit, &err);
    if (status == ST_OK)
        status = live_people(api->options.live, http_query(request, "cell"),
                             http_query(request, "page"), (size_t)limit, &run.live, &json, &err);
    status = api_run_end(&run, status, &err);
    api_finish(request, status, 200, &json, &err);
}

void api_live_people(void *ctx, struct http_request *request)
{
    api_work_long(ctx, request, people_work);
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

/* The document of a saved question; the caller frees it. */
static enum status saved_read(struct api *api, struct http_request *request, yyjson_doc **ret_doc,
                              struct err *err)
{
    struct buf saved;
    int64_t id = 0;
    buf_init(&saved, ANSWER_BYTES_MAX);
    enum status status = api_param_number(api, request, "saved report", &id, err);
    if (status == ST_OK)
        status = saved_get(api->options.facts, id, &saved, err);
    if (status == ST_OK)
        status = json_parse(NULL, buf_view(&saved), ret_doc, err);
    buf_done(&saved);
    return status;
}

static void saved_run_work(void *ctx, struct http_request *request)
{
    struct api *api = ctx;
    struct err err;
    struct buf json;
    struct api_run run = {.begun = false};
    yyjson_doc *doc = NULL;
    buf_init(&json, ANSWER_BYTES_MAX);
    enum status status = saved_read(api, request, &doc, &err);
    yyjson_val *root = yyjson_doc_get_root(doc);
    struct str report = json_member_str(root, "report");
    if (status == ST_OK)
        status = api_run_begin(api, request, report, &run, &err);
    if (status == ST_OK)
        status = live_report(api->options.live, report, yyjson_obj_get(root, "question"), &run.live,
                             &json, &err);
    yyjson_doc_free(doc);
    status = api_run_end(&run, status, &err);
    api_finish(request, status, 200, &json, &err);
}

void api_saved_run(void *ctx, struct http_request *request)
{
    api_work_long(ctx, request, saved_run_work);
}
