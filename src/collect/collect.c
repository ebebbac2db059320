/* collect.c - the road of a request: key, body, items, journal, answer after the sync.
 *
 * A handler borrows a door (warm memory), lets a translator turn the body into frames, gives the
 * door back, and queues the frames. Then its thread is free; the committer's thread answers after
 * the sync. What the answer needs lives in the request's own arena (struct passage) until then.
 * Large bodies are translated on a worker thread.
 *
 * Answers: a wrong key 401, a body over its limit 413, bytes that are no JSON in any reading 400,
 * and a full disk or too much in flight 503 with Retry-After. All else is 2xx, for a 4xx makes SDKs
 * throw events away. 神策 transmissions get 401 only for their key, never for their content.
 *
 * Invariant: one http_reply per request. After it nothing of the request may be touched, the
 * passage included, so the passage's own memory is given back just before. */
#include "collect/collect.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/check.h"
#include "collect/collect_int.h"
#include "collect/page.h"
#include "net/inflate.h"

#define LARGE_BYTES 8192 /* of frames: worth giving back before the sync */

enum protocol { PROTOCOL_SEGMENT, PROTOCOL_SENSORS, PROTOCOL_OWN };

enum answer { ANSWER_SUCCESS, ANSWER_GIF, ANSWER_EMPTY, ANSWER_DEBUG, ANSWER_RESULTS };

struct collect {
    struct collect_options options;
    pthread_mutex_t mutex;
    struct door *doors;         /* free ones */
    struct collect_stats stats; /* added to atomically */
};

/* A request from the key to the answer; lives in the request's arena. */
struct passage {
    struct collect *collect;
    struct http_request *request;
    enum protocol protocol;
    enum answer answer;
    struct access_grant grant;
    struct intake intake;
    struct log_append append;
};

struct collect *collect_new(const struct collect_options *options)
{
    struct collect *collect = mem_zero(sizeof *collect);
    collect->options = *options;
    CHECK(pthread_mutex_init(&collect->mutex, NULL) == 0);
    return collect;
}

void collect_free(struct collect *collect)
{
    if (collect == NULL)
        return;
    while (collect->doors != NULL) {
        struct door *door = collect->doors;
        collect->doors = door->next;
        collect_door_done(door);
        free(door);
    }
    pthread_mutex_destroy(&collect->mutex);
    free(collect);
}

static struct door *door_take(struct collect *collect)
{
    pthread_mutex_lock(&collect->mutex);
    struct door *door = collect->doors;
    if (door != NULL)
        collect->doors = door->next;
    pthread_mutex_unlock(&collect->mutex);
    if (door == NULL) {
        door = mem_alloc(sizeof *door);
        collect_door_init(door, collect->options.rng);
    }
    return door;
}

static void door_give(struct collect *collect, struct door *door)
{
    collect_door_reset(door);
    pthread_mutex_lock(&collect->mutex);
    door->next = collect->doors;
    collect->doors = door;
    pthread_mutex_unlock(&collect->mutex);
}

/* --- counting --------------------------------------------------------------------------------- */

static void count(uint64_t *counter, uint64_t n)
{
    if (n > 0)
        __atomic_fetch_add(counter, n, __ATOMIC_RELAXED);
}

static uint64_t counted(const uint64_t *counter)
{
    return __atomic_load_n(counter, __ATOMIC_RELAXED);
}

void collect_stats(struct collect *collect, struct collect_stats *ret_stats)
{
    const struct collect_stats *stats = &collect->stats;
    *ret_stats = (struct collect_stats){
        .requests = counted(&stats->requests),
        .events = counted(&stats->events),
        .quarantined = counted(&stats->quarantined),
        .denied = counted(&stats->denied),
        .duplicates_known = counted(&stats->duplicates_known),
        .crc_mismatches = counted(&stats->crc_mismatches),
        .refused = counted(&stats->refused),
    };
    for (int i = 0; i < 3; i++)
        ret_stats->by_protocol[i] = counted(&stats->by_protocol[i]);
}

static void passage_count(const struct passage *passage)
{
    const struct intake *intake = &passage->intake;
    struct collect_stats *stats = &passage->collect->stats;
    if (intake->dry_run)
        return;
    count(&stats->events, intake->events);
    count(&stats->by_protocol[passage->protocol], intake->events);
    count(&stats->quarantined, intake->quarantined);
    count(&stats->denied, intake->denied);
    count(&stats->duplicates_known, intake->duplicates);
    count(&stats->crc_mismatches, intake->crc_mismatches);
}

/* --- answering -------------------------------------------------------------------------------- */

static void passage_refuse(struct passage *passage, const struct err *err)
{
    struct http_request *request = passage->request;
    bool gif = passage->answer == ANSWER_GIF && !status_may_retry(err->status);
    count(&passage->collect->stats.refused, 1);
    collect_intake_done(&passage->intake);
    if (gif)
        http_reply(request, status_http(err->status), "image/gif", collect_gif);
    else
        http_reply_error(request, err);
}

static void reply_debug(struct http_request *request, enum event_reason reason)
{
    if (reason == REASON_NONE) {
        http_reply(request, 200, "text/plain", STR(""));
        return;
    }
    struct buf text;
    buf_init(&text, 256);
    buf_text(&text, "invalid: ");
    buf_text(&text, event_reason_name(reason));
    http_reply(request, 400, "text/plain", buf_view(&text));
    buf_done(&text);
}

static void reply_results(struct passage *passage, uint64_t first)
{
    struct http_request *request = passage->request;
    struct buf answer;
    buf_init(&answer, COLLECT_FRAMES_MAX * 2);
    buf_room(&answer, passage->intake.results.n + 64 * (passage->intake.records + 1));
    collect_intake_answer(&passage->intake, first, log_end(passage->collect->options.log), &answer);
    collect_intake_done(&passage->intake);
    http_reply(request, 200, "application/json", buf_view(&answer));
    buf_done(&answer);
}

static void passage_answer(struct passage *passage, uint64_t first)
{
    struct http_request *request = passage->request;
    enum event_reason reason = passage->intake.first_reason;
    passage_count(passage);
    if (passage->answer == ANSWER_RESULTS) {
        reply_results(passage, first);
        return;
    }
    enum answer answer = passage->answer;
    collect_intake_done(&passage->intake);
    switch (answer) {
    case ANSWER_GIF:
        http_reply_fixed(request, 200, "image/gif", collect_gif);
        break;
    case ANSWER_EMPTY:
        http_reply_fixed(request, 200, "text/plain", STR(""));
        break;
    case ANSWER_DEBUG:
        reply_debug(request, reason);
        break;
    case ANSWER_SUCCESS:
    case ANSWER_RESULTS:
        http_reply_fixed(request, 200, "application/json", STR("{\"success\":true}"));
        break;
    }
}

/* On the committer's thread. The answer waits for the disk; the events no longer wait in memory. */
static void passage_written(struct log_append *append)
{
    struct passage *passage = append->ctx;
    buf_done(&passage->intake.frames);
    http_body_forget(passage->request);
}

/* On the committer's thread. */
static void passage_synced(struct log_append *append, enum status status, uint64_t first_offset,
                           int64_t received_us)
{
    (void)received_us;
    struct passage *passage = append->ctx;
    if (status == ST_OK) {
        passage_answer(passage, first_offset);
        return;
    }
    struct err err;
    (void)err_set(&err, status, "could not write the events to the journal: no room on the disk");
    passage_refuse(passage, &err);
}

/* Everything is translated: queue it, or answer at once when there is nothing to store. */
static void passage_end(struct passage *passage)
{
    struct intake *intake = &passage->intake;
    bool large = intake->frames.n >= LARGE_BYTES && !intake->want_results;
    struct err err;
    if (intake->quarantined + intake->denied > 0) {
        char digits[24];
        int n = snprintf(digits, sizeof digits, "%u", intake->quarantined + intake->denied);
        http_set_header(passage->request, "X-Rejected", (struct str){digits, (size_t)n});
    }
    if (intake->frames.overflow || intake->results.overflow) {
        (void)err_set(&err, ST_TOO_LARGE, "could not take the batch: written out it is over %zu MB",
                      COLLECT_FRAMES_MAX >> 20);
        passage_refuse(passage, &err);
        return;
    }
    if (intake->records == 0) {
        passage_answer(passage, 0);
        return;
    }
    passage->append = (struct log_append){.frames = buf_view(&intake->frames),
                                          .count = intake->records,
                                          .done = passage_synced,
                                          .written = large ? passage_written : NULL,
                                          .ctx = passage};
    http_body_drop(passage->request, intake->frames.n);
    if (log_append(passage->collect->options.log, &passage->append, &err) != ST_OK)
        passage_refuse(passage, &err);
}

/* --- keys ------------------------------------------------------------------------------------- */

static enum status key_check(struct passage *passage, struct str key, struct err *err)
{
    if (key.n == 0)
        return err_set(err, ST_UNAUTHORIZED, "could not take the events: no key was given");
    enum status status = access_check(passage->collect->options.access, key, &passage->grant, err);
    if (status == ST_OK && (passage->grant.scopes & SCOPE_COLLECT) == 0)
        return err_set(err, ST_FORBIDDEN, "could not take the events: the key may not collect");
    return status;
}

/* "Basic base64(key:)", the colon optional, or "Bearer key". */
static struct str key_of_header(struct http_request *request)
{
    struct str value = http_header(request, "Authorization"), bytes;
    const struct str basic = STR("Basic "), bearer = STR("Bearer ");
    if (value.n > basic.n && str_eq_nocase((struct str){value.p, basic.n}, basic)) {
        if (!collect_base64((struct str){value.p + basic.n, value.n - basic.n}, http_arena(request),
                            &bytes))
            return STR("");
        const char *colon = memchr(bytes.p, ':', bytes.n);
        return (struct str){bytes.p, colon == NULL ? bytes.n : (size_t)(colon - bytes.p)};
    }
    if (value.n > bearer.n && str_eq_nocase((struct str){value.p, bearer.n}, bearer))
        return str_trim((struct str){value.p + bearer.n, value.n - bearer.n});
    return http_header(request, "X-Write-Key");
}

/* The head's key if it is good, else the query's. */
static enum status key_of_request(struct passage *passage, struct err *err)
{
    enum status status = key_check(passage, key_of_header(passage->request), err);
    struct str query = http_query(passage->request, "writeKey");
    return status != ST_OK && query.n > 0 ? key_check(passage, query, err) : status;
}

/* --- the body --------------------------------------------------------------------------------- */

/* Sniffed, never trusted: real clients send gzip under any name or none. */
static enum status body_open(struct door *door, struct http_request *request, struct str *ret_body,
                             struct err *err)
{
    struct str body = http_body(request);
    if (inflate_is_gzip(body)) {
        enum status status = inflate_gzip(body, &door->body, err);
        if (status != ST_OK)
            return status;
        body = buf_view(&door->body);
    }
    if (body.n >= 3 && memcmp(body.p, "\xef\xbb\xbf", 3) == 0)
        body = (struct str){body.p + 3, body.n - 3};
    *ret_body = body;
    return ST_OK;
}

static struct passage *passage_new(struct collect *collect, struct http_request *request,
                                   enum protocol protocol, enum answer answer, struct door *door)
{
    struct passage *passage = ARENA_NEW(http_arena(request), struct passage);
    passage->collect = collect;
    passage->request = request;
    passage->protocol = protocol;
    passage->answer = answer;
    collect_intake_init(&passage->intake, door);
    passage->intake.privacy = collect->options.privacy;
    passage->intake.clean = collect->options.clean;
    passage->intake.path = http_path(request);
    passage->intake.gpc = str_is(http_header(request, "Sec-GPC"), "1");
    count(&collect->stats.requests, 1);
    return passage;
}

static void passage_grant(struct passage *passage)
{
    struct intake *intake = &passage->intake;
    intake->source = passage->grant.source;
    intake->channel = access_source_channel(passage->collect->options.access, intake->source);
    intake->event_max = passage->grant.trusted ? LIMIT_EVENT_TRUSTED_BYTES : LIMIT_EVENT_BYTES;
    buf_room(&intake->frames, http_body(passage->request).n);
    /* Who sends with a secret key is the company's own machine. */
    struct address address;
    if (!passage->grant.trusted && http_client_address(passage->request, &address))
        intake->ip = collect_ip_write(passage->collect->options.ip, address, intake->ip_text);
}

/* Body, translation, journal: with a door that is given back before the journal has it. */
static void passage_run(struct collect *collect, struct http_request *request,
                        enum protocol protocol, enum answer answer,
                        enum status (*translate)(struct passage *passage, struct err *err))
{
    struct door *door = door_take(collect);
    door->ip = collect->options.ip;
    struct passage *passage = passage_new(collect, request, protocol, answer, door);
    struct err err;
    collect_cors(request);
    enum status status = translate(passage, &err);
    passage->intake.door = NULL;
    door_give(collect, door);
    if (status == ST_OK)
        passage_end(passage);
    else
        passage_refuse(passage, &err);
}

/* A large body is no work for a network thread. */
static void passage_start(void *ctx, struct http_request *request, http_handler *work)
{
    struct err err;
    if (http_body(request).n <= COLLECT_WORK_BYTES) {
        work(ctx, request);
    } else if (http_work(request, work, ctx, &err) != ST_OK) {
        struct collect *collect = ctx;
        count(&collect->stats.refused, 1);
        collect_cors(request);
        http_reply_error(request, &err);
    }
}

/* --- Segment ---------------------------------------------------------------------------------- */

/* By the last word of the path; 0 for a batch. */
static enum event_type segment_type_of(struct str path)
{
    static const struct {
        const char *word;
        enum event_type type;
    } words[] = {{"identify", EVENT_IDENTIFY}, {"i", EVENT_IDENTIFY},  {"track", EVENT_TRACK},
                 {"t", EVENT_TRACK},           {"page", EVENT_PAGE},   {"p", EVENT_PAGE},
                 {"screen", EVENT_SCREEN},     {"s", EVENT_SCREEN},    {"group", EVENT_GROUP},
                 {"g", EVENT_GROUP},           {"alias", EVENT_ALIAS}, {"a", EVENT_ALIAS}};
    while (path.n > 0 && path.p[path.n - 1] == '/')
        path.n--;
    size_t from = path.n;
    while (from > 0 && path.p[from - 1] != '/')
        from--;
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (str_is((struct str){path.p + from, path.n - from}, words[i].word))
            return words[i].type;
    return 0;
}

/* The body's own key counts where the head's is missing or no good. */
static enum status segment_json(struct passage *passage, struct str body, enum status key_status,
                                const struct err *key_err, struct err *err)
{
    struct intake *intake = &passage->intake;
    yyjson_val *root;
    bool strict;
    enum status status = collect_door_parse(intake->door, body, &root, &strict, err);
    if (status != ST_OK)
        return status == ST_TOO_LARGE ? err_set(err, ST_INVALID, "the body is no JSON") : status;
    struct str body_key = json_member_str(root, "writeKey");
    if (key_status != ST_OK && body_key.n > 0)
        key_status = key_check(passage, body_key, err);
    else if (key_status != ST_OK)
        *err = *key_err;
    if (key_status != ST_OK)
        return key_status;
    passage_grant(passage);
    if (!collect_segment_take(intake, segment_type_of(intake->path), root, strict))
        return err_set(err, ST_INVALID, "the body is neither an event nor a batch");
    return ST_OK;
}

static enum status segment_translate(struct passage *passage, struct err *err)
{
    struct str body;
    struct err key_err;
    enum status key_status = key_of_request(passage, &key_err);
    enum status status = body_open(passage->intake.door, passage->request, &body, err);
    return status == ST_OK ? segment_json(passage, body, key_status, &key_err, err) : status;
}

static void segment_work(void *ctx, struct http_request *request)
{
    passage_run(ctx, request, PROTOCOL_SEGMENT, ANSWER_SUCCESS, segment_translate);
}

static void post_segment(void *ctx, struct http_request *request)
{
    passage_start(ctx, request, segment_work);
}

static enum status pixel_translate(struct passage *passage, struct err *err)
{
    struct door *door = passage->intake.door;
    enum status status = key_of_request(passage, err);
    if (status != ST_OK)
        return status;
    passage->intake.by_visitor = true; /* nobody else loads images */
    buf_reset(&door->body);
    if (!collect_page_pixel(passage->request, &door->arena, &door->body))
        return err_set(err, ST_INVALID, "the pixel's data is no base64");
    return segment_json(passage, buf_view(&door->body), ST_OK, NULL, err);
}

static void get_pixel(void *ctx, struct http_request *request)
{
    passage_run(ctx, request, PROTOCOL_SEGMENT, ANSWER_GIF, pixel_translate);
}

/* --- Sensors ---------------------------------------------------------------------------------- */

static void sensors_form_of_query(struct http_request *request, struct sensors_form *ret)
{
    *ret = (struct sensors_form){http_query(request, "data_list"), http_query(request, "gzip"),
                                 http_query(request, "crc")};
    struct str ext = http_query(request, "ext");
    if (ret->data.n == 0)
        ret->data = http_query(request, "data");
    if (ret->crc.n == 0 && str_starts(ext, STR("crc=")))
        ret->crc = (struct str){ext.p + 4, ext.n - 4};
}

static void sensors_form_of_body(struct str body, struct arena *arena, struct sensors_form *ret)
{
    *ret = (struct sensors_form){collect_form_field(body, "data_list", arena),
                                 collect_form_field(body, "gzip", arena),
                                 collect_form_field(body, "crc", arena)};
    struct str ext = collect_form_field(body, "ext", arena), plain = str_trim(body);
    if (ret->data.n == 0)
        ret->data = collect_form_field(body, "data", arena);
    if (ret->crc.n == 0 && str_starts(ext, STR("crc=")))
        ret->crc = (struct str){ext.p + 4, ext.n - 4};
    /* JSON without any wrapping, or something whose form nobody knows: kept as it is. */
    if (ret->data.n == 0 && plain.n > 0)
        ret->data = plain;
}

/* The token is the write key; without one the project's name is. Of the query, else of the first
 * record. */
static struct str sensors_key(struct http_request *request, yyjson_val *root)
{
    yyjson_val *record = yyjson_is_arr(root) ? yyjson_arr_get_first(root) : root;
    struct str keys[] = {http_query(request, "token"), json_member_str(record, "token"),
                         http_query(request, "project"), json_member_str(record, "project")};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        if (keys[i].n > 0)
            return keys[i];
    return STR("");
}

static enum status sensors_translate(struct passage *passage, struct err *err)
{
    struct door *door = passage->intake.door;
    struct http_request *request = passage->request;
    struct sensors_form form;
    struct sensors_opened opened = {0};
    struct str body;

    if (body_open(door, request, &body, err) != ST_OK)
        body = http_body(request); /* what cannot be inflated is kept as it came */
    sensors_form_of_query(request, &form);
    if (form.data.n == 0)
        sensors_form_of_body(body, &door->arena, &form);
    if (form.data.n > 0)
        collect_sensors_open(door, &form, &opened);
    enum status status = key_check(passage, sensors_key(request, opened.root), err);
    if (status != ST_OK)
        return status;
    passage_grant(passage);
    passage->intake.dry_run = passage->answer == ANSWER_DEBUG &&
                              str_eq_nocase(http_header(request, "Dry-Run"), STR("true"));
    if (form.data.n > 0)
        collect_sensors_take(&passage->intake, &opened);
    return ST_OK;
}

static void sensors_work(void *ctx, struct http_request *request)
{
    struct str path = http_path(request);
    enum answer answer = str_starts(path, STR("/debug"))    ? ANSWER_DEBUG
                         : str_starts(path, STR("/sa.gif")) ? ANSWER_GIF
                                                            : ANSWER_EMPTY;
    passage_run(ctx, request, PROTOCOL_SENSORS, answer, sensors_translate);
}

static void any_sensors(void *ctx, struct http_request *request)
{
    passage_start(ctx, request, sensors_work);
}

/* --- our own ---------------------------------------------------------------------------------- */

/* Only a hint that saves a parse: one event a line is found without it too. */
static bool lines_announced(struct str type)
{
    return type.n > 0 && memmem(type.p, type.n, "ndjson", 6) != NULL;
}

static enum status own_translate(struct passage *passage, struct err *err)
{
    struct intake *intake = &passage->intake;
    struct str body;
    yyjson_val *root;
    bool strict;
    enum status status = key_of_request(passage, err);
    if (status == ST_OK)
        status = body_open(intake->door, passage->request, &body, err);
    if (status != ST_OK)
        return status;
    passage_grant(passage);
    intake->want_results = true;
    intake->ask_known = true;
    if (lines_announced(http_header(passage->request, "Content-Type")) &&
        collect_own_take_lines(intake, body))
        return ST_OK;
    status = collect_door_parse(intake->door, body, &root, &strict, err);
    if (status == ST_OK && collect_own_take(intake, root, strict))
        return ST_OK;
    if (status == ST_OK)
        return err_set(err, ST_INVALID, "the body is neither an event nor {\"events\":[…]}");
    if (collect_own_take_lines(intake, body))
        return ST_OK;
    return status == ST_TOO_LARGE ? err_set(err, ST_INVALID, "the body is no JSON") : status;
}

static void own_work(void *ctx, struct http_request *request)
{
    passage_run(ctx, request, PROTOCOL_OWN, ANSWER_RESULTS, own_translate);
}

static void post_own(void *ctx, struct http_request *request)
{
    passage_start(ctx, request, own_work);
}

/* --- settings --------------------------------------------------------------------------------- */

static const struct route *settings_route(void);

static void page_reply(struct collect *collect, struct http_request *request, struct str key,
                       bool segment)
{
    struct access_grant grant;
    struct err err;
    struct buf page;
    collect_cors(request);
    if (access_check(collect->options.access, key, &grant, &err) != ST_OK) {
        http_reply_error(request, &err);
        return;
    }
    buf_init(&page, (size_t)16 << 10);
    if (segment)
        collect_page_settings(&page, key, http_header(request, "Host"));
    else
        collect_page_source_config(&page, key,
                                   access_source_name(collect->options.access, grant.source));
    http_reply(request, 200, "application/json", buf_view(&page));
    buf_done(&page);
}

static void get_settings(void *ctx, struct http_request *request)
{
    page_reply(ctx, request, route_param(settings_route(), http_path(request), "key"), true);
}

static void get_source_config(void *ctx, struct http_request *request)
{
    struct str key = key_of_header(request);
    page_reply(ctx, request, key.n > 0 ? key : http_query(request, "writeKey"), false);
}

/* --- routes ----------------------------------------------------------------------------------- */

static const struct route routes[] = {
#define X(method, pattern, handler, scope, audit, body)                                            \
    {method, pattern, handler, scope, audit, body},
#include "collect/routes.def"
#undef X
#define X(method, pattern, handler, scope, audit, body)                                            \
    {"OPTIONS", pattern, collect_preflight, 0, AUDIT_NONE, 0},
#include "collect/routes.def"
#undef X
};

static const struct route *settings_route(void)
{
    for (size_t i = 0; i < sizeof routes / sizeof *routes; i++)
        if (routes[i].handle == get_settings)
            return &routes[i];
    return NULL;
}

const struct route *collect_routes(size_t *ret_count)
{
    *ret_count = sizeof routes / sizeof *routes;
    return routes;
}
