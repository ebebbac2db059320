/* api_running.c - the reports that run: seen, ended, and told to end when nobody waits for them.
 *
 * A report that runs is a node on its worker's stack and in one list, so the list is as long as
 * there are workers for reports. Its live_run.cancel is the flag of its watch (net/http.h): the
 * client's leaving, a DELETE and the end of the server are one wish to stop for the report, and
 * only the words of the answer differ.
 *
 * Shown are the report's name, not its question: that may name people, and who may end a report
 * need not know whom it asks about. Anybody with the scope `read` sees what runs (it is why their
 * own report waits); only the key that asked, or one with `admin`, ends it. */
#include "api/api_int.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/when.h"

#define TIMEOUT_S_MAX 600

/* --- begin and end ---------------------------------------------------------------------------- */

/* On the worker's own thread. A share that falls is a new pass's. */
static void on_progress(void *ctx, double share)
{
    struct api_run *run = ctx;
    uint32_t now = (uint32_t)(share * 1e6);
    if (now < __atomic_load_n(&run->share, __ATOMIC_RELAXED) || run->passes == 0)
        __atomic_add_fetch(&run->passes, 1, __ATOMIC_RELAXED);
    __atomic_store_n(&run->share, now, __ATOMIC_RELAXED);
}

static struct api_run *run_find(struct api *api, struct str id)
{
    struct api_run *run = api->running;
    while (run != NULL && !str_is(id, run->id))
        run = run->next;
    return run;
}

/* run=WORD: the caller's own name for it. */
static enum status id_read(struct http_request *request, struct api_run *run, struct err *err)
{
    struct str id = http_query(request, "run");
    bool good = id.n <= API_RUN_ID_BYTES;
    for (size_t i = 0; i < id.n && good; i++)
        good = (id.p[i] >= 'a' && id.p[i] <= 'z') || (id.p[i] >= 'A' && id.p[i] <= 'Z') ||
               (id.p[i] >= '0' && id.p[i] <= '9') || id.p[i] == '-' || id.p[i] == '_';
    if (!good || (id.p != NULL && id.n == 0))
        return err_set(err, ST_INVALID, "run= must be 1 to %d of A-Z a-z 0-9 - _",
                       API_RUN_ID_BYTES);
    snprintf(run->id, sizeof run->id, STR_FMT, STR_ARG(id));
    return ST_OK;
}

static enum status live_run_read(struct api *api, struct http_request *request,
                                 struct live_run *live, struct err *err)
{
    uint64_t seconds = 0;
    struct log_position position;
    if (api->options.live == NULL) {
        err_set(err, ST_NOT_FOUND, "there are no live reports: the timeline is switched off");
        return err_hint(err, ST_NOT_FOUND, "start the server with --timeline-mb above 0");
    }
    enum status status = api_number(request, "timeout", 0, TIMEOUT_S_MAX, &seconds, err);
    if (status != ST_OK)
        return status;
    live->limit_us = (int64_t)seconds * US_PER_S;
    if (api_token_parse(http_query(request, "after"), &position))
        live->after = position.offset + 1;
    return ST_OK;
}

static enum status run_list(struct api_run *run, struct err *err)
{
    struct api *api = run->api;
    enum status status = ST_OK;
    pthread_mutex_lock(&api->running_mutex);
    if (run->id[0] == '\0')
        do
            snprintf(run->id, sizeof run->id, "r_%016" PRIx64, ++api->runs);
        while (run_find(api, str_of(run->id)) != NULL);
    if (run_find(api, str_of(run->id)) != NULL) {
        status = err_set(err, ST_CONFLICT, "a report with this run= runs already");
    } else {
        run->next = api->running;
        if (run->next != NULL)
            run->next->prev = run;
        api->running = run;
    }
    pthread_mutex_unlock(&api->running_mutex);
    return status;
}

static void run_unlist(struct api_run *run)
{
    struct api *api = run->api;
    pthread_mutex_lock(&api->running_mutex);
    if (run->prev != NULL)
        run->prev->next = run->next;
    else
        api->running = run->next;
    if (run->next != NULL)
        run->next->prev = run->prev;
    pthread_mutex_unlock(&api->running_mutex);
}

enum status api_run_begin(struct api *api, struct http_request *request, struct str report,
                          struct api_run *run, struct err *err)
{
    struct access_grant grant = {0};
    *run = (struct api_run){.api = api,
                            .started_us = clock_now_us(api->options.clock),
                            .started_mono_us = monotonic_us()};
    enum status status = live_run_read(api, request, &run->live, err);
    if (status == ST_OK)
        status = id_read(request, run, err);
    if (status == ST_OK)
        status = access_check(api->options.access, http_bearer(request), &grant, err);
    if (status != ST_OK)
        return status;
    run->key = grant.id;
    snprintf(run->report, sizeof run->report, STR_FMT, STR_ARG(report));
    run->live.cancel = &run->watch.over;
    run->live.progress = on_progress;
    run->live.ctx = run;
    http_watch_begin(request, &run->watch);
    status = run_list(run, err);
    run->begun = status == ST_OK;
    if (!run->begun)
        http_watch_end(&run->watch);
    else if (__atomic_load_n(&run->watch.over, __ATOMIC_ACQUIRE))
        status = err_set(err, ST_BUSY, "the report was not begun");
    return status;
}

/* What the report left as its hint says more than ours. */
static enum status ended(struct err *err, enum status status, const char *message, const char *hint)
{
    char kept[sizeof err->hint];
    memcpy(kept, err->hint, sizeof kept);
    err_set(err, status, "%s", message);
    return err_hint(err, status, "%s", kept[0] != '\0' ? kept : hint);
}

enum status api_run_end(struct api_run *run, enum status status, struct err *err)
{
    if (!run->begun)
        return status;
    run_unlist(run); /* from now on nobody sets the flag of the watch but net */
    http_watch_end(&run->watch);
    if (status != ST_BUSY || !run->watch.over)
        return status;
    if (run->cancelled)
        return ended(err, ST_CONFLICT, "the report was cancelled by a request",
                     "ask again if it is still wanted");
    if (run->watch.stopping)
        return ended(err, ST_BUSY, "the report was cancelled: the server is stopping",
                     "ask again when it is back");
    return ended(err, ST_BUSY, "the report was cancelled: its client closed the connection",
                 "keep the connection open until the answer is there");
}

/* --- routes ----------------------------------------------------------------------------------- */

static void run_put(struct buf *json, const struct api_run *run, struct str asker)
{
    int64_t us = monotonic_us() - run->started_mono_us;
    uint32_t share = __atomic_load_n(&run->share, __ATOMIC_RELAXED);
    json_put_comma(json);
    buf_char(json, '{');
    json_put_member_str(json, "id", str_of(run->id));
    json_put_member_str(json, "report", str_of(run->report));
    api_put_time(json, "started", run->started_us);
    json_put_member_number(json, "seconds", (double)(us / US_PER_MS) / 1000.0);
    json_put_member_uint(json, "pass", __atomic_load_n(&run->passes, __ATOMIC_RELAXED));
    json_put_member_number(json, "share", share / 1e6);
    json_put_member_str(json, "key", run->key);
    json_put_member_bool(json, "yours", str_eq(run->key, asker));
    json_put_member_bool(json, "ending", __atomic_load_n(&run->watch.over, __ATOMIC_ACQUIRE));
    buf_char(json, '}');
}

void api_running(void *ctx, struct http_request *request)
{
    struct api *api = ctx;
    struct err err;
    struct buf json;
    struct access_grant grant = {0};
    buf_init(&json, ANSWER_BYTES_MAX);
    enum status status = access_check(api->options.access, http_bearer(request), &grant, &err);
    buf_text(&json, "{\"reports\":[");
    pthread_mutex_lock(&api->running_mutex);
    for (const struct api_run *run = api->running; run != NULL; run = run->next)
        run_put(&json, run, grant.id);
    pthread_mutex_unlock(&api->running_mutex);
    buf_text(&json, "]}");
    api_finish(request, status, 200, &json, &err);
}

static enum status run_cancel(struct api *api, struct str id, const struct access_grant *grant,
                              struct err *err)
{
    enum status status = ST_OK;
    pthread_mutex_lock(&api->running_mutex);
    struct api_run *run = run_find(api, id);
    if (run == NULL) {
        status = err_set(err, ST_NOT_FOUND, "no such report runs: it may have ended");
    } else if (!str_eq(run->key, grant->id) && (grant->scopes & SCOPE_ADMIN) == 0) {
        err_set(err, ST_FORBIDDEN, "this report was asked with another key");
        status = err_hint(err, ST_FORBIDDEN, "end it with that key, or one with the scope admin");
    } else {
        run->cancelled = true;
        __atomic_store_n(&run->watch.over, true, __ATOMIC_RELEASE);
    }
    pthread_mutex_unlock(&api->running_mutex);
    return status;
}

static void running_end_work(void *ctx, struct http_request *request)
{
    struct api *api = ctx;
    struct err err;
    struct buf json;
    struct access_grant grant = {0};
    struct str id = api_param(api, request, "id");
    buf_init(&json, ANSWER_BYTES_MAX);
    enum status status = access_check(api->options.access, http_bearer(request), &grant, &err);
    if (status == ST_OK)
        status = run_cancel(api, id, &grant, &err);
    buf_char(&json, '{');
    json_put_member_str(&json, "ending", id);
    buf_char(&json, '}');
    api_finish(request, status, 202, &json, &err);
}

/* On a worker: it is in the audit log before it is done. Reports have workers of their own. */
void api_running_end(void *ctx, struct http_request *request)
{
    api_work(ctx, request, running_end_work);
}
