/* serve.c - wiring: one process, one data directory, all roles.
 *
 * A request finds its row in the table of the door (collect) or of the API; the row's scope is
 * checked here, once, for all. Collection routes have no scope, because their keys travel in many
 * forms and are checked by the door itself. */
#include "app/serve.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "api/api.h"
#include "base/check.h"
#include "base/limits.h"
#include "base/metric.h"
#include "collect/collect.h"
#include "net/http.h"
#include "net/route.h"
#include "privacy/privacy.h"

#define STOP_GRACE_US (5 * US_PER_S)

struct server {
    struct core core;
    struct privacy *privacy;
    struct collect *collect;
    struct api *api;
    struct http_server *http;
    const struct route *doors, *rooms; /* collect's routes, api's routes */
    size_t doors_count, rooms_count;
    bool was_empty;
    char url[128];
    char trusted_text[4096];
    const char *trusted[HTTP_TRUSTED_MAX + 1];
};

/* --- one request ------------------------------------------------------------------------------ */

/* *ret_key is the key's id, also when it may not do this; empty when it is unknown. */
static enum status scope_check(struct server *server, const struct route *route,
                               struct http_request *request, struct str *ret_key, struct err *err)
{
    struct access_grant grant;
    *ret_key = (struct str){NULL, 0};
    if (route->scope == SCOPE_NONE)
        return ST_OK;
    struct str key = http_bearer(request);
    if (key.n == 0) {
        err_set(err, ST_UNAUTHORIZED, "this route needs a secret key");
        return err_hint(err, ST_UNAUTHORIZED, "send it as Authorization: Bearer KEY");
    }
    enum status status = access_check(server->core.access, key, &grant, err);
    if (status != ST_OK)
        return status;
    *ret_key = grant.id;
    if ((grant.scopes & route->scope) != route->scope)
        return err_set(err, ST_FORBIDDEN, "the key lacks the scope that this route needs");
    return ST_OK;
}

static const struct route *route_of(struct server *server, struct http_request *request,
                                    void **ret_ctx, bool *ret_known)
{
    bool door_known = false, room_known = false;
    struct str method = http_method(request), path = http_path(request);
    const struct route *route =
        route_find(server->doors, server->doors_count, method, path, &door_known);
    *ret_ctx = server->collect;
    if (route == NULL) {
        route = route_find(server->rooms, server->rooms_count, method, path, &room_known);
        *ret_ctx = server->api;
    }
    *ret_known = door_known || room_known;
    return route;
}

/* The record of the call goes with it from here on; what was decided before stays decided. */
static enum status audited(struct server *server, const struct route *route, struct str key,
                           enum status decided, struct http_request *request, struct err *err)
{
    if (decided != ST_OK) {
        struct err ignored; /* a refusal is recorded where there is place */
        (void)!api_audit_call(server->api, route, key, false, request, &ignored);
        return decided;
    }
    return api_audit_call(server->api, route, key, true, request, err);
}

static void handle(void *ctx, struct http_request *request)
{
    struct server *server = ctx;
    void *module;
    bool known;
    struct err err;
    const struct route *route = route_of(server, request, &module, &known);
    if (route == NULL && known) {
        http_reply(request, 405, "text/plain; charset=utf-8",
                   STR("this path does not take that method\n"));
        return;
    }
    struct str key;
    enum status status = route == NULL
                             ? err_set(&err, ST_NOT_FOUND, "there is nothing at this path")
                             : scope_check(server, route, request, &key, &err);
    if (route != NULL && module == server->api)
        status = audited(server, route, key, status, request, &err);
    if (status == ST_OK)
        route->handle(module, request);
    else
        http_reply_error(request, &err);
}

static void no_room(void *ctx)
{
    struct server *server = ctx;
    pipeline_make_way(server->core.pipeline);
}

static size_t body_limit(void *ctx, struct http_request *request)
{
    void *module;
    bool known;
    const struct route *route = route_of(ctx, request, &module, &known);
    /* Who asks at the wrong place shall read 404 or 405, not that the body was too long. */
    return route == NULL ? LIMIT_EVENT_BYTES : route->body_limit;
}

/* --- figures of the network and the door
 * -------------------------------------------------------------------------- */

static void write_metrics(void *ctx, struct buf *out)
{
    struct server *server = ctx;
    struct http_stats http;
    struct collect_stats collect;
    struct privacy_stats privacy;
    http_stats(server->http, &http);
    collect_stats(server->collect, &collect);
    privacy_stats(server->privacy, &privacy);
    metric_put(out, "hezou_http_requests_total", "counter", "Requests since the start.",
               http.requests);
    metric_put(out, "hezou_http_refused_total", "counter", "Requests refused before a handler.",
               http.refused);
    metric_put(out, "hezou_http_swept_total", "counter", "Connections ended because they dripped.",
               http.swept);
    metric_put(out, "hezou_http_connections", "gauge", "Open connections.", http.connections);
    metric_put(out, "hezou_http_inflight_bytes", "gauge", "Bytes of bodies in hand.",
               http.inflight_bytes);
    metric_put(out, "hezou_http_waiting_bytes", "gauge",
               "Bytes of bodies that wait for room, unread.", http.waiting_bytes);
    metric_put(out, "hezou_collect_events_total", "counter", "Events taken by the door.",
               collect.events);
    metric_put(out, "hezou_collect_quarantined_total", "counter",
               "Events the door could not translate.", collect.quarantined);
    metric_put(out, "hezou_collect_duplicates_known_total", "counter",
               "Events the door already knew.", collect.duplicates_known);
    metric_put(out, "hezou_collect_crc_mismatch_total", "counter",
               "Records whose crc did not fit (kept).", collect.crc_mismatches);
    metric_put(out, "hezou_collect_refused_total", "counter", "Requests answered 503 by the door.",
               collect.refused);
    metric_put(out, "hezou_denied_consent_total", "counter", "Events not kept: no consent.",
               privacy.denied_consent);
    metric_put(out, "hezou_denied_gpc_total", "counter", "Events not kept: Sec-GPC.",
               privacy.denied_gpc);
}

/* --- start and stop --------------------------------------------------------------------------- */

static enum status ip_read(const char *text, enum collect_ip *ret_ip, struct err *err)
{
    static const char *const names[] = {"keep", "truncate", "drop"}; /* as enum collect_ip */
    for (int i = 0; i < 3; i++)
        if (strcmp(text, names[i]) == 0) {
            *ret_ip = (enum collect_ip)i;
            return ST_OK;
        }
    return err_set(err, ST_INVALID, "--ip is keep, truncate or drop, not %s", text);
}

static enum status doors_open(struct server *server, const struct options *options, struct err *err)
{
    struct privacy_options privacy_options = {
        .category = str_of(option_text(options, OPTION_CONSENT)),
        .ignore_gpc = option_is_set(options, OPTION_IGNORE_GPC),
    };
    struct core *core = &server->core;
    enum collect_ip ip;
    enum status status = ip_read(option_text(options, OPTION_IP), &ip, err);
    if (status != ST_OK)
        return status;
    server->privacy = privacy_new(&privacy_options);
    struct collect_options collect_options = {
        .log = core->log,
        .access = core->access,
        .clean = pipeline_clean(core->pipeline),
        .privacy = server->privacy,
        .rng = &core->rng,
        .ip = ip,
    };
    server->collect = collect_new(&collect_options);
    server->doors = collect_routes(&server->doors_count);
    struct api_options api_options = {
        .log = core->log,
        .pipeline = core->pipeline,
        .warehouse = core->warehouse,
        .access = core->access,
        .audit = core->audit,
        .facts = core->facts,
        .live = core->live,
        .segment = core->segment,
        .clock = &core->clock,
        .write_metrics = write_metrics,
        .metrics_ctx = server,
    };
    server->api = api_new(&api_options);
    server->rooms = api_routes(server->api, &server->rooms_count);
    return api_erasures_resume(server->api, err);
}

/* "10.0.0.1,10.0.0.0/8" in place into a list that ends with NULL. */
static enum status trusted_split(struct server *server, const char *text, struct err *err)
{
    size_t count = 0;
    if (strlen(text) >= sizeof server->trusted_text)
        return err_set(err, ST_INVALID, "--trusted-proxies is longer than %zu bytes",
                       sizeof server->trusted_text - 1);
    snprintf(server->trusted_text, sizeof server->trusted_text, "%s", text);
    char *rest = server->trusted_text;
    for (char *one; (one = strsep(&rest, ",")) != NULL;) {
        if (one[0] == '\0')
            continue;
        if (count == HTTP_TRUSTED_MAX)
            return err_set(err, ST_INVALID, "--trusted-proxies has more than %d addresses",
                           HTTP_TRUSTED_MAX);
        server->trusted[count++] = one;
    }
    return ST_OK;
}

static enum status listen_at(struct server *server, const struct options *options, struct err *err)
{
    char path[4096];
    enum status status = trusted_split(server, option_text(options, OPTION_TRUSTED), err);
    if (status != ST_OK)
        return status;
    struct http_options http_options = {
        .address = option_text(options, OPTION_ADDRESS),
        .port = (int)option_number(options, OPTION_PORT),
        .threads = (int)option_number(options, OPTION_THREADS),
        .inflight_max = (size_t)option_number(options, OPTION_INFLIGHT) << 10,
        .body_limit = body_limit,
        .no_room = no_room,
        .trusted = server->trusted,
        .handle = handle,
        .ctx = server,
    };
    status = http_start(&http_options, &server->http, err);
    if (status != ST_OK)
        return status;
    bool bare_v6 = strchr(http_options.address, ':') != NULL; /* a URL wants brackets around it */
    snprintf(server->url, sizeof server->url, "http://%s%s%s:%d", bare_v6 ? "[" : "",
             http_options.address, bare_v6 ? "]" : "", http_port(server->http));
    core_path(&server->core, "listen", path);
    return disk_write_file(&server->core.disk, path, str_of(server->url), err);
}

enum status server_start(const struct options *options, struct server **ret_server, struct err *err)
{
    struct server *server = mem_zero(sizeof *server);
    enum status status = core_open(&server->core, options, err);
    if (status != ST_OK) {
        free(server);
        return status;
    }
    server->was_empty = log_end(server->core.log) == LOG_FIRST_OFFSET;
    status = doors_open(server, options, err);
    if (status == ST_OK)
        status = listen_at(server, options, err);
    if (status != ST_OK) {
        server_stop(server);
        return status;
    }
    *ret_server = server;
    return ST_OK;
}

const char *server_url(const struct server *server)
{
    return server->url;
}

bool server_is_empty(const struct server *server)
{
    return server->was_empty;
}

static uint64_t replayed_bytes(const struct server *server)
{
    struct pipeline_stats stats;
    pipeline_stats(server->core.pipeline, &stats);
    return stats.replayed_bytes;
}

void server_stop(struct server *server)
{
    char path[4096];
    struct err err;
    if (server == NULL)
        return;
    core_path(&server->core, "listen", path);
    if (server->http != NULL)
        http_stop(server->http, STOP_GRACE_US);
    if (server->url[0] != '\0' && disk_remove(&server->core.disk, path, &err) != ST_OK)
        fprintf(stderr, "hezou: %s\n", err.message);
    api_free(server->api);
    collect_free(server->collect);
    privacy_free(server->privacy);
    core_close(&server->core);
    free(server);
}

static sigset_t stop_signals(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    return set;
}

void signals_block(void)
{
    sigset_t set = stop_signals();
    CHECK(pthread_sigmask(SIG_BLOCK, &set, NULL) == 0);
    signal(SIGPIPE, SIG_IGN); /* a client that went away is no event of ours */
    signal(SIGXFSZ, SIG_IGN); /* a file-size limit is a full disk: an outcome, not an end */
}

void signals_wait(void)
{
    int which;
    sigset_t set = stop_signals();
    CHECK(sigwait(&set, &which) == 0);
}

enum status serve(const struct options *options, struct err *err)
{
    struct server *server = NULL;
    signals_block();
    enum status status = server_start(options, &server, err);
    if (status != ST_OK)
        return status;
    if (replayed_bytes(server) > 0)
        fprintf(stderr, "hezou: %s %llu\n", text_in(options->language, TEXT_REPLAYING),
                (unsigned long long)replayed_bytes(server));
    fprintf(stderr, "hezou: %s %s\n", text_in(options->language, TEXT_LISTENING),
            server_url(server));
    signals_wait();
    fprintf(stderr, "hezou: %s\n", text_in(options->language, TEXT_STOPPING));
    server_stop(server);
    return ST_OK;
}
