/* api_health.c - is it alive, is it ready, how far is it, and does it still know the same as
 * before.
 *
 * Ready means: an event can be taken durably and a profile answered. A full disk is not ready; lag
 * is reported and is no reason to be taken out, because the door takes what the disk holds. */
#include "api/api_int.h"
#include "base/metric.h"
#include "base/when.h"

#include <stdio.h>
#include <unistd.h>

void api_livez(void *ctx, struct http_request *request)
{
    (void)ctx; /* answering is all there is to being alive */
    http_reply(request, 200, "text/plain; charset=utf-8", STR("ok\n"));
}

void api_version(void *ctx, struct http_request *request)
{
    (void)ctx; /* the same for every instance */
    http_reply(request, 200, "application/json",
               STR("{\"name\":\"hezou\",\"version\":\"" HEZOU_VERSION "\"}"));
}

void api_readyz(void *ctx, struct http_request *request)
{
    struct api *api = ctx;
    struct pipeline_stats pipeline;
    struct log_stats log;
    struct clean_stats clean;
    pipeline_stats(api->options.pipeline, &pipeline);
    log_stats(api->options.log, &log);
    clean_stats(pipeline_clean(api->options.pipeline), &clean);
    struct buf json;
    buf_init(&json, ANSWER_BYTES_MAX);
    buf_char(&json, '{');
    json_put_member_str(&json, "status", log.full ? STR("disk full") : STR("ready"));
    api_put_token(&json, "journal_end", log_end(api->options.log));
    json_put_member_uint(&json, "pipeline_lag_bytes", pipeline.lag_bytes);
    json_put_member_uint(&json, "warehouse_lag_bytes",
                         log_end(api->options.log) - pipeline.warehouse_position);
    json_put_member_uint(&json, "state_lag_bytes",
                         log_end(api->options.log) - pipeline.state_position);
    json_put_member_uint(&json, "replayed_bytes", pipeline.replayed_bytes);
    json_put_member_bool(&json, "caught_up", pipeline.caught_up);
    json_put_member_int(&json, "dedup_window_days", clean.window_us / US_PER_DAY);
    json_put_member_bool(&json, "dedup_window_cut", clean.window_cut);
    buf_char(&json, '}');
    if (log.full)
        http_set_header(request, "Retry-After", STR("5"));
    api_finish(request, ST_OK, log.full ? 503 : 200, &json, NULL);
}

/* --- metrics ---------------------------------------------------------------------------------- */

static uint64_t resident_bytes(void)
{
    unsigned long long pages = 0, resident = 0;
    FILE *file = fopen("/proc/self/statm", "re");
    if (file == NULL)
        return 0;
    if (fscanf(file, "%llu %llu", &pages, &resident) != 2)
        resident = 0;
    fclose(file);
    return resident * (uint64_t)sysconf(_SC_PAGESIZE);
}

static void put_journal(struct api *api, struct buf *out)
{
    struct log_stats log;
    log_stats(api->options.log, &log);
    metric_put(out, "hezou_journal_end_bytes", "counter",
               "Journal position up to which all is synced.", log_end(api->options.log));
    metric_put(out, "hezou_journal_records_total", "counter", "Records appended since the start.",
               log.records);
    metric_put(out, "hezou_journal_syncs_total", "counter", "Syncs since the start.", log.syncs);
    metric_put(out, "hezou_journal_refused_total", "counter",
               "Appends refused (full disk or in-flight limit).", log.refused);
    metric_put(out, "hezou_journal_inflight_bytes", "gauge", "Bytes accepted and not yet written.",
               log.inflight_bytes);
    metric_put(out, "hezou_journal_size_bytes", "gauge", "Bytes of the kept segments.",
               log.size_bytes);
    metric_put(out, "hezou_journal_full", "gauge", "1 while the disk has no room.", log.full);
    metric_put(out, "hezou_journal_sync_p50_us", "gauge", "Median sync of the last 1,024.",
               (uint64_t)log.sync_p50_us);
    metric_put(out, "hezou_journal_sync_p99_us", "gauge", "99th percentile sync of the last 1,024.",
               (uint64_t)log.sync_p99_us);
}

static void put_pipeline(struct api *api, struct buf *out)
{
    static const char *const steps[] = {"clean", "identity", "profile", "warehouse"};
    struct pipeline_stats pipeline;
    pipeline_stats(api->options.pipeline, &pipeline);
    metric_put(out, "hezou_lag_bytes", "gauge", "Journal bytes not yet folded.",
               pipeline.lag_bytes);
    metric_put(out, "hezou_pipeline_position_bytes", "counter", "Folded up to here.",
               pipeline.position);
    metric_put(out, "hezou_warehouse_position_bytes", "counter", "Committed rows up to here.",
               pipeline.warehouse_position);
    metric_put(out, "hezou_state_position_bytes", "counter", "Flushed state up to here.",
               pipeline.state_position);
    metric_put(out, "hezou_replayed_bytes", "gauge", "Journal bytes folded again at this start.",
               pipeline.replayed_bytes);
    metric_put(out, "hezou_records_total", "counter", "Records folded since the start.",
               pipeline.records);
    metric_put(out, "hezou_events_stored_total", "counter", "Events stored since the start.",
               pipeline.stored);
    metric_put(out, "hezou_events_duplicate_total", "counter",
               "Duplicates dropped since the start.", pipeline.duplicates);
    metric_put(out, "hezou_events_quarantined_total", "counter",
               "Events quarantined since the start.", pipeline.quarantined);
    metric_put(out, "hezou_fold_rests_total", "counter",
               "Rests of the fold while senders were sent away.", pipeline.rests);
    buf_text(
        out,
        "# HELP hezou_step_ns_total Time spent per step.\n# TYPE hezou_step_ns_total counter\n");
    for (size_t i = 0; i < 4; i++)
        buf_fmt(out, "hezou_step_ns_total{step=\"%s\"} %llu\n", steps[i],
                (unsigned long long)pipeline.step_ns[i]);
}

static void put_timeline(struct api *api, struct buf *out)
{
    struct timeline *timeline = pipeline_timeline(api->options.pipeline);
    struct timeline_stats stats;
    if (timeline == NULL)
        return;
    timeline_stats(timeline, &stats);
    metric_put(out, "hezou_timeline_ready", "gauge", "1 once it was rebuilt.", stats.ready);
    metric_put(out, "hezou_timeline_position_bytes", "counter", "Reports may see up to here.",
               stats.position);
    metric_put(out, "hezou_timeline_events", "gauge", "Events in memory.", stats.events);
    metric_put(out, "hezou_timeline_delta_events", "gauge",
               "Of these, not yet merged into the base.", stats.delta_events);
    metric_put(out, "hezou_timeline_complete_from_seconds", "gauge",
               "Complete from this event time on (since 1970); 0 = everything.",
               stats.complete_from_us < 0 ? 0 : (uint64_t)(stats.complete_from_us / US_PER_S));
    metric_put(out, "hezou_timeline_dropped_total", "counter",
               "Events left out because they are too old for its memory.", stats.dropped);
    metric_put(out, "hezou_timeline_rebuild_us", "gauge", "How long the last rebuild took.",
               (uint64_t)stats.rebuild_us);
    metric_put(out, "hezou_timeline_fresh_us", "gauge",
               "From the last commit until reports saw it.", (uint64_t)stats.fresh_last_us);
    metric_put(out, "hezou_timeline_views", "gauge", "Reports that read it now.", stats.views);
}

/* Where the memory is; what is missing to the resident bytes is the allocators' and code. */
static void put_memory(struct api *api, struct buf *out, const struct state_stats *cache,
                       const struct clean_stats *clean, const struct warehouse_stats *warehouse)
{
    struct timeline *timeline = pipeline_timeline(api->options.pipeline);
    struct timeline_stats events = {.bytes = 0};
    if (timeline != NULL)
        timeline_stats(timeline, &events);
    const struct {
        const char *part;
        uint64_t bytes;
    } parts[] = {{"objects", cache->cache_bytes},
                 {"filters", cache->filter_bytes},
                 {"message_ids", clean->memory_bytes},
                 {"timeline", events.bytes},
                 {"warehouse", warehouse->memory_bytes}};
    buf_text(out, "# HELP hezou_memory_bytes Memory by what holds it.\n"
                  "# TYPE hezou_memory_bytes gauge\n");
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++)
        buf_fmt(out, "hezou_memory_bytes{part=\"%s\"} %llu\n", parts[i].part,
                (unsigned long long)parts[i].bytes);
    metric_put(out, "hezou_resident_bytes", "gauge", "Resident memory of the process.",
               resident_bytes());
}

static void put_state(struct api *api, struct buf *out)
{
    struct state *state = pipeline_state(api->options.pipeline);
    struct state_stats cache;
    struct identity_stats identity;
    struct clean_stats clean;
    struct warehouse_stats warehouse;
    state_lock(state);
    state_stats(state, &cache);
    identity_stats(pipeline_identity(api->options.pipeline), &identity);
    state_unlock(state);
    clean_stats(pipeline_clean(api->options.pipeline), &clean);
    warehouse_stats(api->options.warehouse, &warehouse);
    metric_put(out, "hezou_state_cached", "gauge", "Objects in the cache.", cache.cached);
    metric_put(out, "hezou_state_dirty", "gauge", "Objects to be flushed.", cache.dirty);
    metric_put(out, "hezou_state_flushes_total", "counter", "Flushes since the start.",
               cache.flushes);
    metric_put(out, "hezou_visitors", "gauge", "Identifiers known.", identity.visitors);
    metric_put(out, "hezou_people", "gauge", "People known.", identity.people);
    metric_put(out, "hezou_merges_total", "counter", "Merges.", identity.merges);
    metric_put(out, "hezou_edges_refused_total", "counter", "Edges refused by a limit.",
               identity.edges_refused);
    metric_put(out, "hezou_components_frozen", "gauge", "Components above the limit.",
               identity.components_frozen);
    metric_put(out, "hezou_dedup_ids", "gauge", "Message ids remembered.", clean.ids);
    metric_put(out, "hezou_event_names", "gauge", "Distinct event names.", clean.names);
    metric_put(out, "hezou_event_names_overflow_total", "counter",
               "Events whose name had no room (drift).", clean.names_overflow);
    metric_put(out, "hezou_identifiers_refused_total", "counter",
               "Identifiers without a normal form.", clean.identifiers_refused);
    metric_put(out, "hezou_warehouse_events_total", "counter", "Rows written since the start.",
               warehouse.events);
    metric_put(out, "hezou_warehouse_commits_total", "counter", "Commits since the start.",
               warehouse.commits);
    put_memory(api, out, &cache, &clean, &warehouse);
}

static void put_audit(struct api *api, struct buf *out)
{
    struct audit_stats audit;
    audit_stats(api->options.audit, &audit);
    metric_put(out, "hezou_audit_written_total", "counter",
               "Gathered records of the audit log written since the start.", audit.written);
    metric_put(out, "hezou_audit_waiting", "gauge", "Records of the audit log not yet written.",
               audit.waiting);
    metric_put(out, "hezou_audit_lost_total", "counter",
               "Answers of changes that the audit log could not take.", audit.lost);
}

void api_metrics(void *ctx, struct http_request *request)
{
    struct api *api = ctx;
    struct buf out;
    buf_init(&out, (size_t)1 << 20);
    put_journal(api, &out);
    put_pipeline(api, &out);
    put_timeline(api, &out);
    put_state(api, &out);
    put_audit(api, &out);
    if (api->options.write_metrics != NULL)
        api->options.write_metrics(api->options.metrics_ctx, &out);
    http_reply(request, 200, "text/plain; version=0.0.4; charset=utf-8", buf_view(&out));
    buf_done(&out);
}

/* --- doctor ----------------------------------------------------------------------------------- */

static void put_hash(struct buf *json, const char *name, struct hash128 hash)
{
    json_put_name(json, name);
    buf_fmt(json, "\"%016llx%016llx\"", (unsigned long long)hash.a, (unsigned long long)hash.b);
}

static void digest_work(void *ctx, struct http_request *request)
{
    struct api *api = ctx;
    struct err err;
    struct pipeline_digest digest;
    if (pipeline_digest(api->options.pipeline, &digest, &err) != ST_OK) {
        http_reply_error(request, &err);
        return;
    }
    struct buf json;
    buf_init(&json, 4096);
    buf_char(&json, '{');
    put_hash(&json, "people", digest.people);
    put_hash(&json, "profiles", digest.profiles);
    put_hash(&json, "rows", digest.rows);
    if (str_is(http_query(request, "exact"), "true"))
        put_hash(&json, "exact", digest.exact);
    json_put_member_uint(&json, "people_count", digest.people_count);
    json_put_member_uint(&json, "rows_count", digest.rows_count);
    buf_char(&json, '}');
    api_finish(request, ST_OK, 200, &json, NULL);
}

void api_digest(void *ctx, struct http_request *request)
{
    api_work(ctx, request, digest_work);
}

/* --- the virtual clock
 * -------------------------------------------------------------------------------------------- */

/* {"now":"2026-11-24T10:00:00Z"} or {"advance_ms":86400000}. */
void api_test_clock(void *ctx, struct http_request *request)
{
    struct api *api = ctx;
    struct err err;
    yyjson_doc *doc = NULL;
    int64_t now_us = clock_now_us(api->options.clock);
    enum status status = api_body(request, &doc, &err);
    yyjson_val *root = yyjson_doc_get_root(doc);
    struct str now = json_member_str(root, "now");
    if (status == ST_OK && now.n > 0 && !when_parse(now, 0, &now_us))
        status = err_set(&err, ST_INVALID, "\"now\" is no time");
    int64_t advance_ms = yyjson_get_sint(yyjson_obj_get(root, "advance_ms"));
    if (status == ST_OK && (advance_ms < 0 || advance_ms > 366 * 86400000LL))
        status = err_set(&err, ST_INVALID, "\"advance_ms\" must be between 0 and a year");
    yyjson_doc_free(doc);
    if (status != ST_OK) {
        http_reply_error(request, &err);
        return;
    }
    clock_set_us(api->options.clock, now_us + advance_ms * US_PER_MS);
    struct buf json;
    buf_init(&json, 256);
    buf_char(&json, '{');
    api_put_time(&json, "now", clock_now_us(api->options.clock));
    buf_char(&json, '}');
    api_finish(request, ST_OK, 200, &json, NULL);
}
