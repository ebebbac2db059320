/* api.h - the HTTP API for people and programs: parse, one module call, reply. No SQL of its own
 * but named reports.
 *
 * Routes stand in routes.def with permission and audit class; docs/api/openapi.yaml is the contract
 * and a test compares both. Errors are problem+json. Reads take `after=TOKEN` (read your writes).
 * Depends on: everything below. Called by: app. */
#ifndef API_API_H
#define API_API_H

#include "access/audit.h"
#include "analytics/live.h"
#include "net/route.h"
#include "pipeline/pipeline.h"
#include "segment/segment.h"

struct api;

struct api_options {
    struct log *log;
    struct pipeline *pipeline;
    struct warehouse *warehouse;
    struct access *access;
    struct audit *audit;
    struct facts *facts;
    struct live *live; /* NULL = there is no timeline: live reports answer 404 */
    struct segment *segment;
    struct clock *clock; /* POST /test/clock moves it when it is virtual */
    /* Appends the figures of modules that api must not know (collect, net) to /metrics; may be
     * NULL. */
    void (*write_metrics)(void *ctx, struct buf *metrics);
    void *metrics_ctx;
};

struct api *api_new(const struct api_options *options);
void api_free(struct api *api);
/* The routes; handlers take the struct api as ctx. The caller has checked the scope. */
const struct route *api_routes(struct api *api, size_t *ret_count);

/* A request that stands at `route` with a key (its id, or empty): its record goes with it from here
 * on. `allowed` is false when its key may not do that. ST_BUSY when there is no place for the
 * record: then it must not be handled. */
MUST_USE enum status api_audit_call(struct api *api, const struct route *route, struct str key,
                                    bool allowed, struct http_request *request, struct err *err);

/* Finish the erasures that a crash interrupted; once, after the pipeline was started. */
MUST_USE enum status api_erasures_resume(struct api *api, struct err *err);

/* A position token: "0:12345". False if it is none. */
bool api_token_parse(struct str text, struct log_position *ret_position);
#endif
