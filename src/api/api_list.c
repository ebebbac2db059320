/* api_list.c - named lists of people: the cell of a report, kept; and what an erase must reach.
 *
 * The cell is answered, its people are handed to the list, and the cell is forgotten: it could name
 * somebody. No list is made while somebody is erased, so nobody who is going gets onto one. */
#include "analytics/saved.h"
#include "api/api_int.h"

#include <stdlib.h>

enum status api_forget(void *ctx, const uint64_t *visitors,
                       const struct event_identifier *identifiers, size_t count, struct err *err)
{
    struct api *api = ctx;
    struct str *values = mem_alloc((count + 1) * sizeof *values);
    for (size_t i = 0; i < count; i++)
        values[i] = identifiers[i].value;
    enum status status = segment_forget(api->options.segment, visitors, count, err);
    if (status == ST_OK)
        status = saved_forget(api->options.facts, values, count, err);
    free(values);
    return status;
}

/* --- adding ----------------------------------------------------------------------------------- */

/* The name of the report that a cell is of: live has judged the cell, so it is there. */
static enum status list_make(struct api *api, struct str name, struct str cell,
                             const struct live_run *run, struct buf *json, int64_t *ret_id,
                             struct err *err)
{
    uint64_t *people = NULL;
    size_t count = 0, kept = 0;
    int64_t id = 0;
    pthread_mutex_lock(&api->erasing);
    enum status status = live_cell_people(api->options.live, cell, run, &people, &count, err);
    if (status == ST_OK)
        status = segment_add(api->options.segment, name, live_cell_report(cell), people, count, &id,
                             &kept, err);
    pthread_mutex_unlock(&api->erasing);
    free(people);
    if (status != ST_OK)
        return status;
    buf_char(json, '{');
    json_put_member_int(json, "list", id);
    json_put_member_str(json, "name", str_trim(name));
    json_put_member_uint(json, "people", kept);
    buf_char(json, '}');
    *ret_id = id;
    return ST_OK;
}

static void list_add_work(void *ctx, struct http_request *request)
{
    struct api *api = ctx;
    struct err err;
    struct buf json;
    struct api_run run;
    int64_t id = 0;
    yyjson_doc *doc = NULL;
    buf_init(&json, ANSWER_BYTES_MAX);
    enum status status = api_run_begin(api, request, STR("list"), &run, &err);
    if (status == ST_OK)
        status = api_body(request, &doc, &err);
    yyjson_val *root = yyjson_doc_get_root(doc);
    if (status == ST_OK)
        status = list_make(api, json_member_str(root, "name"), json_member_str(root, "cell"),
                           &run.live, &json, &id, &err);
    if (status == ST_OK)
        audit_object(api_audited(request), "%lld", (long long)id);
    yyjson_doc_free(doc);
    status = api_run_end(&run, status, &err);
    api_finish(request, status, 201, &json, &err);
}

void api_list_add(void *ctx, struct http_request *request)
{
    api_work_long(ctx, request, list_add_work);
}

/* --- reading and removing --------------------------------------------------------------------- */

static void list_all_work(void *ctx, struct http_request *request)
{
    struct api *api = ctx;
    struct err err;
    struct buf json;
    buf_init(&json, ANSWER_BYTES_MAX);
    api_finish(request, segment_lists(api->options.segment, &json, &err), 200, &json, &err);
}

void api_list_all(void *ctx, struct http_request *request)
{
    api_work(ctx, request, list_all_work);
}

static void list_people_work(void *ctx, struct http_request *request)
{
    struct api *api = ctx;
    struct err err;
    struct buf json;
    int64_t id = 0;
    uint64_t limit = 0;
    buf_init(&json, ANSWER_BYTES_MAX);
    enum status status = api_param_number(api, request, "list", &id, &err);
    if (status == ST_OK)
        status = api_number(request, "limit", 0, 1000, &limit, &err);
    if (status == ST_OK)
        status = segment_people(api->options.segment, id, http_query(request, "page"),
                                (size_t)limit, &json, &err);
    api_finish(request, status, 200, &json, &err);
}

void api_list_people(void *ctx, struct http_request *request)
{
    api_work(ctx, request, list_people_work);
}

static void list_remove_work(void *ctx, struct http_request *request)
{
    struct api *api = ctx;
    struct err err;
    struct buf json;
    int64_t id = 0;
    buf_init(&json, ANSWER_BYTES_MAX);
    enum status status = api_param_number(api, request, "list", &id, &err);
    if (status == ST_OK)
        status = segment_remove(api->options.segment, id, &err);
    buf_char(&json, '{');
    json_put_member_int(&json, "removed", id);
    buf_char(&json, '}');
    api_finish(request, status, 200, &json, &err);
}

void api_list_remove(void *ctx, struct http_request *request)
{
    api_work(ctx, request, list_remove_work);
}
