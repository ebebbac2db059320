/* api_erase.c - the ledger's half of forgetting: asked, then done, without a word about whom.
 *
 * What is asked for and then cannot be finished (a crash, a full disk) stays open in the ledger;
 * the next start, and the next erase, goes on with it first. So an answer 503 means: ask again. */
#include "api/api_int.h"

#include <stdio.h>

#include "api_queries.h"

struct ledger {
    int64_t id, requested_us;
    struct pipeline_erased erased;
};

static enum status ledger_ask(void *ctx, struct db *db, struct err *err)
{
    struct ledger *ledger = ctx;
    bool row = false;
    struct db_stmt *stmt = db_prepare(db, api_erasure_ask);
    db_bind_int(stmt, 1, ledger->requested_us);
    db_bind_bytes(stmt, 2, STR(""));
    enum status status = db_step(stmt, &row, err);
    if (status == ST_OK && row)
        ledger->id = db_int(stmt, 0);
    db_reset(stmt);
    return status;
}

static enum status ledger_done(void *ctx, struct db *db, struct err *err)
{
    struct ledger *ledger = ctx;
    struct db_stmt *stmt = db_prepare(db, api_erasure_done);
    db_bind_int(stmt, 1, ledger->id);
    db_bind_int(stmt, 2, (int64_t)ledger->erased.identifiers);
    db_bind_int(stmt, 3, (int64_t)ledger->erased.records);
    return db_exec(stmt, err);
}

static enum status ledger_drop(void *ctx, struct db *db, struct err *err)
{
    struct ledger *ledger = ctx;
    struct db_stmt *stmt = db_prepare(db, api_erasure_drop);
    db_bind_int(stmt, 1, ledger->id);
    return db_exec(stmt, err);
}

static enum status ledger_close(struct api *api, struct ledger *ledger, struct err *err)
{
    enum status status = facts_write(api->options.facts, ledger_done, ledger, err);
    if (status == ST_OK)
        pipeline_erase_forget(api->options.pipeline, (uint64_t)ledger->id);
    return status;
}

struct open_list {
    int64_t ids[256];
    size_t count;
};

static enum status ledger_open(void *ctx, struct db *db, struct err *err)
{
    struct open_list *open = ctx;
    bool row = true;
    struct db_stmt *stmt = db_prepare(db, api_erasure_open);
    while (open->count < sizeof open->ids / sizeof open->ids[0]) {
        enum status status = db_step(stmt, &row, err);
        if (status != ST_OK)
            return status;
        if (!row)
            break;
        open->ids[open->count++] = db_int(stmt, 0);
    }
    db_reset(stmt);
    return ST_OK;
}

/* Go on with what was interrupted, by a crash or a full disk. One that has nothing left never got
 * as far as its record in the journal: at a start, with all folded, that is certain. */
static enum status open_finish(struct api *api, bool at_start, struct err *err)
{
    struct open_list open = {.count = 0};
    enum status status = facts_read(api->options.facts, ledger_open, &open, err);
    if (status == ST_OK && open.count > 0 && at_start)
        status = pipeline_catch_up(api->options.pipeline, err);
    for (size_t i = 0; status == ST_OK && i < open.count; i++) {
        struct ledger ledger = {.id = open.ids[i]};
        status =
            pipeline_erase_finish(api->options.pipeline, (uint64_t)ledger.id, &ledger.erased, err);
        if (status == ST_OK)
            status = ledger_close(api, &ledger, err);
        else if (status == ST_NOT_FOUND)
            status = at_start ? facts_write(api->options.facts, ledger_drop, &ledger, err) : ST_OK;
    }
    return status;
}

enum status api_erasures_resume(struct api *api, struct err *err)
{
    enum status status = open_finish(api, true, err);
    if (status != ST_BUSY)
        return status;
    /* A full disk must not keep the door shut; the entry stays open for the next erase or start. */
    fprintf(stderr, "hezou: an erasure waits: %s\n", err->message);
    return ST_OK;
}

static enum status erase(struct api *api, struct http_request *request, struct ledger *ledger,
                         struct err *err)
{
    yyjson_doc *doc = NULL;
    enum identifier_type type;
    struct str value;
    enum status status = api_body(request, &doc, err);
    if (status != ST_OK)
        return status;
    status = api_identifier(request, json_member_str(yyjson_doc_get_root(doc), "identifier"), &type,
                            &value, err);
    yyjson_doc_free(doc);
    if (status != ST_OK)
        return status;

    ledger->requested_us = clock_now_us(api->options.clock);
    status = facts_write(api->options.facts, ledger_ask, ledger, err);
    if (status != ST_OK)
        return status;
    status = pipeline_erase(api->options.pipeline, type, value, (uint64_t)ledger->id,
                            &ledger->erased, err);
    if (status == ST_NOT_FOUND) {
        /* Nobody of that name: nothing was promised, so nothing stays in the ledger. */
        struct err ignored;
        (void)!facts_write(api->options.facts, ledger_drop, ledger, &ignored);
        return status;
    }
    return status == ST_OK ? ledger_close(api, ledger, err) : status;
}

static void erase_work(void *ctx, struct http_request *request)
{
    struct api *api = ctx;
    struct err err;
    struct ledger ledger = {0};
    pthread_mutex_lock(&api->erasing);
    log_erase_begins(api->options.log);
    enum status status = open_finish(api, false, &err);
    if (status == ST_OK)
        status = erase(api, request, &ledger, &err);
    pthread_mutex_unlock(&api->erasing);
    if (status != ST_OK) {
        http_reply_error(request, &err);
        return;
    }
    audit_object(api_audited(request), "%lld", (long long)ledger.id);
    struct buf json;
    buf_init(&json, ANSWER_BYTES_MAX);
    buf_char(&json, '{');
    json_put_member_int(&json, "erasure", ledger.id);
    json_put_member_uint(&json, "identifiers", ledger.erased.identifiers);
    json_put_member_uint(&json, "records", ledger.erased.records);
    buf_char(&json, '}');
    api_finish(request, ST_OK, 200, &json, NULL);
}

void api_erase(void *ctx, struct http_request *request)
{
    api_work(ctx, request, erase_work);
}

static enum status ledger_list(void *ctx, struct db *db, struct err *err)
{
    struct buf *json = ctx;
    bool row = true;
    struct db_stmt *stmt = db_prepare(db, api_erasure_list);
    buf_text(json, "{\"erasures\":[");
    for (;;) {
        enum status status = db_step(stmt, &row, err);
        if (status != ST_OK)
            return status;
        if (!row)
            break;
        json_put_comma(json);
        buf_char(json, '{');
        json_put_member_int(json, "erasure", db_int(stmt, 0));
        api_put_time(json, "requested", db_int(stmt, 1));
        json_put_member_int(json, "identifiers", db_int(stmt, 2));
        json_put_member_int(json, "records", db_int(stmt, 3));
        json_put_member_str(json, "state", db_str(stmt, 4));
        buf_char(json, '}');
    }
    buf_text(json, "]}");
    return ST_OK;
}

void api_erasures(void *ctx, struct http_request *request)
{
    struct api *api = ctx;
    struct err err;
    struct buf json;
    buf_init(&json, ANSWER_BYTES_MAX);
    api_finish(request, facts_read(api->options.facts, ledger_list, &json, &err), 200, &json, &err);
}
