/* audit_read.c - reading the audit log: pages for people, and the walk that says whether it is
 * whole.
 *
 * A page looks at no more than SCAN_MAX ids, so a filter that nothing passes costs a bounded time;
 * then it is empty and says where the next one begins. The walk takes a slice per transaction: a
 * reader that stayed for all of it would keep an erase from cutting the write-ahead log. Slices may
 * be deleted meanwhile, at the old end: then the walk begins anew. */
#include "access/audit_int.h"

#include <sodium.h>

#include "audit_sql.h"
#include "base/check.h"
#include "base/json.h"
#include "base/when.h"

#define SCAN_MAX INT64_C(1000000) /* a quarter of a second */
#define WALK_SLICE 4096

static const char *kind_name(int64_t kind)
{
    return kind == AUDIT_KIND_CHANGE ? "change" : kind == AUDIT_KIND_READ ? "read" : "refusal";
}

static void put_hex(struct buf *json, const char *name, struct str bytes)
{
    json_put_name(json, name);
    buf_char(json, '"');
    for (size_t i = 0; i < bytes.n; i++)
        buf_fmt(json, "%02x", (unsigned char)bytes.p[i]);
    buf_char(json, '"');
}

/* --- a page ----------------------------------------------------------------------------------- */

struct page {
    struct audit *audit;
    struct access *access;
    const struct audit_filter *filter;
    struct buf *json;
    unsigned char subject[AUDIT_SUBJECT_BYTES];
    size_t subject_n;
};

static void put_time(struct buf *json, const char *name, int64_t us)
{
    char text[28];
    when_format(us, text);
    json_put_member_str(json, name, str_of(text));
}

static void put_member(struct buf *json, const char *name, struct str text)
{
    if (text.n > 0)
        json_put_member_str(json, name, text);
}

/* Columns of the query `page`; the last four are the answer's, NULL when there is none. */
static void put_row(struct page *page, struct db_stmt *row)
{
    struct buf *json = page->json;
    bool answered = !db_is_null(row, 12);
    int64_t position = answered ? db_int(row, 15) : db_int(row, 11);
    struct str key = db_str(row, 3);
    json_put_comma(json);
    buf_char(json, '{');
    json_put_member_int(json, "id", db_int(row, 0));
    put_time(json, "time", db_int(row, 2));
    json_put_member_str(json, "kind", str_of(kind_name(db_int(row, 1))));
    put_member(json, "key", key);
    put_member(json, "key_name", access_key_label(page->access, key));
    json_put_member_str(json, "method", db_str(row, 4));
    json_put_member_str(json, "route", db_str(row, 5));
    if (db_str(row, 6).n > 0)
        put_hex(json, "subject", db_str(row, 6));
    put_member(json, "object",
               answered && db_str(row, 14).n > 0 ? db_str(row, 14) : db_str(row, 7));
    put_member(json, "detail", db_str(row, 8));
    if (answered || db_int(row, 9) != 0)
        json_put_member_int(json, "status", answered ? db_int(row, 12) : db_int(row, 9));
    else
        json_put_member_raw(json, "status", STR("null"));
    json_put_member_int(json, "times", db_int(row, 10));
    if (position != 0) {
        json_put_name(json, "position");
        buf_fmt(json, "\"0:%lld\"", (long long)position);
    }
    if (answered)
        put_time(json, "answered", db_int(row, 13));
    buf_char(json, '}');
}

static void page_bind(const struct page *page, struct db_stmt *stmt, int64_t before, int64_t least)
{
    const struct audit_filter *filter = page->filter;
    const struct audit_options *options = &page->audit->options;
    int64_t kept_us = clock_now_us(options->clock) - options->keep_us;
    db_bind_int(stmt, 1, before);
    db_bind_int(stmt, 2, least);
    db_bind_int(stmt, 3, filter->from_us > kept_us ? filter->from_us : kept_us);
    db_bind_int(stmt, 4, filter->to_us == 0 ? INT64_MAX : filter->to_us);
    db_bind_int(stmt, 5, filter->kind);
    db_bind_str(stmt, 6, filter->key);
    db_bind_str(stmt, 7, filter->route);
    db_bind_bytes(stmt, 8, (struct str){(const char *)page->subject, page->subject_n});
    db_bind_int(stmt, 9, (int64_t)filter->limit);
}

static enum status newest_next(struct db *db, int64_t *ret_id, struct err *err)
{
    bool row = false;
    struct db_stmt *stmt = db_prepare(db, audit_next);
    enum status status = db_step(stmt, &row, err);
    if (status == ST_OK && row)
        *ret_id = db_int(stmt, 0);
    db_reset(stmt);
    return status;
}

static enum status page_read(void *ctx, struct db *db, struct err *err)
{
    struct page *page = ctx;
    int64_t before = 0;
    bool row = false;
    size_t count = 0;
    enum status status = newest_next(db, &before, err);
    if (status != ST_OK)
        return status;
    if (page->filter->before > 0 && page->filter->before < before)
        before = page->filter->before;
    int64_t least = before > SCAN_MAX ? before - SCAN_MAX : 1, next = least;
    struct db_stmt *stmt = db_prepare(db, audit_page);
    page_bind(page, stmt, before, least);
    buf_text(page->json, "{\"records\":[");
    while ((status = db_step(stmt, &row, err)) == ST_OK && row) {
        put_row(page, stmt);
        if (++count == page->filter->limit)
            next = db_int(stmt, 0);
    }
    buf_char(page->json, ']');
    if (next > 1)
        json_put_member_int(page->json, "next", next);
    buf_char(page->json, '}');
    return status;
}

enum status audit_list(struct audit *audit, struct access *access,
                       const struct audit_filter *filter, struct buf *json, struct err *err)
{
    struct page page = {.audit = audit, .access = access, .filter = filter, .json = json};
    CHECK(filter->limit > 0 && filter->limit <= AUDIT_PAGE_MAX);
    if (filter->type.n > 0) {
        struct audit_call call = {.audit = audit};
        audit_subject(&call, filter->type, filter->value);
        memcpy(page.subject, call.subject, sizeof page.subject);
        page.subject_n = sizeof page.subject;
    }
    return facts_read(audit->options.facts, page_read, &page, err);
}

/* --- is it whole? ----------------------------------------------------------------------------- */

struct walk {
    struct audit *audit;
    int kind;
    bool begun, ended;
    struct audit_chain chain; /* as it was in the slice before */
    unsigned char hash[AUDIT_HASH_BYTES];
    int64_t id, seen;
};

static enum status broken(const struct walk *walk, int64_t id, const char *how, struct err *err)
{
    return err_set(err, ST_CORRUPT,
                   "the audit log was changed after it was written: chain \"%s\", %s %lld",
                   kind_name(walk->kind), how, (long long)id);
}

static void row_read(struct db_stmt *stmt, int kind, struct audit_row *ret_row)
{
    *ret_row = (struct audit_row){
        .id = db_int(stmt, 0),
        .kind = kind,
        .answer_to = db_int(stmt, 1),
        .at_us = db_int(stmt, 2),
        .key = db_str(stmt, 3),
        .method = db_str(stmt, 4),
        .route = db_str(stmt, 5),
        .subject = db_str(stmt, 6),
        .object = db_str(stmt, 7),
        .detail = db_str(stmt, 8),
        .status = db_int(stmt, 9),
        .times = db_int(stmt, 10),
        .position = db_int(stmt, 11),
        .hash = db_str(stmt, 12),
    };
}

static enum status walk_rows(struct walk *walk, struct db *db, size_t *ret_count, struct err *err)
{
    bool more = false;
    struct audit_row row;
    enum status status;
    struct db_stmt *stmt = db_prepare(db, audit_walk);
    db_bind_int(stmt, 1, walk->kind);
    db_bind_int(stmt, 2, walk->id);
    db_bind_int(stmt, 3, WALK_SLICE);
    while ((status = db_step(stmt, &more, err)) == ST_OK && more) {
        row_read(stmt, walk->kind, &row);
        audit_row_hash(walk->audit, walk->hash, &row, walk->hash);
        walk->id = row.id;
        walk->seen++;
        ++*ret_count;
        if (row.hash.n != AUDIT_HASH_BYTES ||
            sodium_memcmp(row.hash.p, walk->hash, AUDIT_HASH_BYTES) != 0) {
            db_reset(stmt);
            return broken(walk, walk->id, "at record", err);
        }
    }
    return status;
}

static enum status walk_end(struct walk *walk, struct err *err)
{
    const struct audit_chain *chain = &walk->chain;
    walk->ended = true;
    if (walk->seen != chain->records || (chain->records > 0 && walk->id != chain->last_id) ||
        sodium_memcmp(walk->hash, chain->last, AUDIT_HASH_BYTES) != 0)
        return broken(walk, chain->last_id, "records are missing up to", err);
    return ST_OK;
}

static enum status walk_slice(void *ctx, struct db *db, struct err *err)
{
    struct walk *walk = ctx;
    struct audit_chain chain;
    unsigned char seal[AUDIT_HASH_BYTES];
    size_t count = 0;
    enum status status = audit_chain_read(walk->audit, db, walk->kind, &chain, err);
    if (status != ST_OK)
        return status;
    audit_chain_seal(walk->audit, &chain, seal);
    if (sodium_memcmp(seal, chain.seal, sizeof seal) != 0)
        return broken(walk, chain.last_id, "an end was cut off; the newest record was", err);
    if (!walk->begun || memcmp(walk->chain.before, chain.before, sizeof chain.before) != 0) {
        walk->begun = true;
        walk->id = walk->seen = 0;
        memcpy(walk->hash, chain.before, sizeof chain.before);
    }
    walk->chain = chain;
    status = walk_rows(walk, db, &count, err);
    return status == ST_OK && count < WALK_SLICE ? walk_end(walk, err) : status;
}

enum status audit_check(struct audit *audit, struct buf *json, struct err *err)
{
    enum status status = ST_OK;
    int64_t records = 0;
    buf_text(json, "{\"chains\":[");
    for (int kind = 1; status == ST_OK && kind <= AUDIT_KINDS; kind++) {
        struct walk walk = {.audit = audit, .kind = kind};
        while (status == ST_OK && !walk.ended)
            status = facts_read(audit->options.facts, walk_slice, &walk, err);
        records += walk.seen;
        json_put_comma(json);
        buf_char(json, '{');
        json_put_member_str(json, "kind", str_of(kind_name(kind)));
        json_put_member_int(json, "records", walk.seen);
        json_put_member_int(json, "last", walk.chain.last_id);
        put_hex(json, "hash", (struct str){(const char *)walk.hash, sizeof walk.hash});
        buf_char(json, '}');
    }
    buf_char(json, ']');
    json_put_member_int(json, "records", records);
    buf_char(json, '}');
    return status;
}
