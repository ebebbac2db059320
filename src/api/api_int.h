/* api_int.h - what the files of this folder share: the handlers, and how they answer. */
#ifndef API_API_INT_H
#define API_API_INT_H

#include <pthread.h>

#include "api/api.h"
#include "base/json.h"

struct api {
    struct api_options options;
    struct route *routes; /* routes.def, and /test/clock when the clock is virtual */
    size_t routes_count;
    /* One erase at a time: so an open entry of the ledger is an interrupted one. And no list is
     * made meanwhile, which could keep who is going. */
    pthread_mutex_t erasing;
    /* api_running.c */
    pthread_mutex_t running_mutex;
    struct api_run *running;
    uint64_t runs; /* so many were begun: their ids */
};

#define ANSWER_BYTES_MAX ((size_t)128 << 20)
#define ANSWER_BYTES_USUAL ((size_t)8 << 10) /* a profile: asked for at once */

/* One prototype per row of routes.def. */
#define X(method, pattern, handler, scope, audit, limit)                                           \
    void handler(void *ctx, struct http_request *request);
#include "api/routes.def"
#undef X
void api_test_clock(void *ctx, struct http_request *request);

/* Run `work` on a worker, after the position in the query's `after=` is reached; answers the
 * failures itself. */
void api_work(struct api *api, struct http_request *request, http_handler *work);
/* The same for reports, which have workers of their own: http_work_long. */
void api_work_long(struct api *api, struct http_request *request, http_handler *work);
/* The same, but without `after=` the work is done here and now (it takes microseconds). */
void api_quick(struct api *api, struct http_request *request, http_handler *work);

/* api_audit.c: the record of a change is on the disk when this returns ST_OK; for other requests it
 * does nothing. Waits. */
MUST_USE enum status api_audit_begin(struct api *api, struct http_request *request,
                                     struct err *err);
/* The record that goes with a request, or NULL; the calls of access/audit.h take that. */
struct audit_call *api_audited(struct http_request *request);

/* The end of every handler: `json` with `code` when the status is ST_OK, else the error. Releases
 * `json`. */
void api_finish(struct http_request *request, enum status status, int code, struct buf *json,
                const struct err *err);

/* A query parameter, and the {id} of the path (ST_NOT_FOUND: there is no such `what`). */
MUST_USE enum status api_number(struct http_request *request, const char *name, uint64_t otherwise,
                                uint64_t most, uint64_t *ret_number, struct err *err);
MUST_USE enum status api_param_number(struct api *api, struct http_request *request,
                                      const char *what, int64_t *ret_id, struct err *err);
/* --- a report that runs (api_running.c) ------------------------------------------------------- */

#define API_RUN_ID_BYTES 40

/* On the stack of its worker, from begin to end. */
struct api_run {
    struct live_run live; /* for live_…: after=, timeout=, the wish to stop, how far it is */
    struct api *api;
    struct api_run *prev, *next; /* under running_mutex */
    struct http_watch watch;
    char id[API_RUN_ID_BYTES + 1];
    char report[32];
    struct str key; /* of who asked */
    int64_t started_us, started_mono_us;
    uint32_t share;  /* atomic: millionths of the pass that runs */
    uint32_t passes; /* atomic: begun */
    bool cancelled;  /* by DELETE; under running_mutex */
    bool begun;
};

/* Reads after=, timeout= and run=, and lets the report be seen and ended. ST_NOT_FOUND when there
 * is no timeline, ST_BUSY when its client has left while it waited. */
MUST_USE enum status api_run_begin(struct api *api, struct http_request *request, struct str report,
                                   struct api_run *run, struct err *err);
/* Always, with what came of it; before the reply. Gives the outcome that the client reads: a report
 * that somebody ended is ST_CONFLICT, so that nobody's program asks again by itself. */
MUST_USE enum status api_run_end(struct api_run *run, enum status status, struct err *err);

/* What an erase must reach that pipeline does not know: lists and saved questions. */
pipeline_forget api_forget;

/* {id} of the path, "type:value", in normal form in the request's arena. ST_INVALID, ST_NOT_FOUND
 * for a blocked one. */
MUST_USE enum status api_identifier(struct http_request *request, struct str id,
                                    enum identifier_type *ret_type, struct str *ret_value,
                                    struct err *err);
/* The text of a path's parameter. */
struct str api_param(struct api *api, struct http_request *request, const char *name);
/* The body as a JSON object; the caller frees the document. */
MUST_USE enum status api_body(struct http_request *request, yyjson_doc **ret_doc, struct err *err);

/* Members for people: "2026-11-24T10:00:00.000000Z", or null for 0. */
void api_put_time(struct buf *json, const char *name, int64_t us);
/* Exact decimal from millionths: 12.5 */
void api_put_micros(struct buf *json, const char *name, int64_t micros);
void api_put_token(struct buf *json, const char *name, uint64_t offset);
/* Ids are texts: prefix and number. */
void api_put_id(struct buf *json, const char *name, const char *prefix, uint64_t id);
#endif
