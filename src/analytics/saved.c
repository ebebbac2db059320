/* saved.c - the table saved_report. */
#include "analytics/saved.h"

#include <stdlib.h>

#include "base/arena.h"
#include "base/when.h"
#include "saved_sql_queries.h"

#define QUESTION_BYTES_MAX ((size_t)64 << 10)

void saved_init(struct facts *facts)
{
    facts_prepare(facts, saved_sql_queries);
}

/* --- adding ----------------------------------------------------------------------------------- */

struct addition {
    int64_t id, now_us;
    struct str name, report, question;
};

static enum status number_of(struct db *db, const char *sql, struct str name, int64_t *ret_number,
                             struct err *err)
{
    bool row = false;
    struct db_stmt *stmt = db_prepare(db, sql);
    if (name.n > 0)
        db_bind_str(stmt, 1, name);
    enum status status = db_step(stmt, &row, err);
    *ret_number = status == ST_OK && row ? db_int(stmt, 0) : 0;
    db_reset(stmt);
    return status;
}

static enum status insert(void *ctx, struct db *db, struct err *err)
{
    struct addition *addition = ctx;
    int64_t count = 0, same = 0;
    bool row = false;
    enum status status = number_of(db, saved_sql_find_name, addition->name, &same, err);
    if (status == ST_OK)
        status = number_of(db, saved_sql_count, STR(""), &count, err);
    if (status != ST_OK)
        return status;
    if (same != 0)
        return err_set(err, ST_CONFLICT, "there is a saved report of this name already");
    if (count >= SAVED_MAX)
        return err_set(err, ST_TOO_LARGE, "there are %d saved reports already", SAVED_MAX);
    struct db_stmt *stmt = db_prepare(db, saved_sql_add);
    db_bind_str(stmt, 1, addition->name);
    db_bind_str(stmt, 2, addition->report);
    db_bind_str(stmt, 3, addition->question);
    db_bind_int(stmt, 4, addition->now_us);
    status = db_step(stmt, &row, err);
    if (status == ST_OK && row)
        addition->id = db_int(stmt, 0);
    db_reset(stmt);
    return status;
}

enum status saved_add(struct facts *facts, int64_t now_us, struct str name, struct str report,
                      yyjson_val *question, int64_t *ret_id, struct err *err)
{
    struct buf text;
    name = str_trim(name);
    if (name.n == 0 || name.n > SAVED_NAME_BYTES_MAX)
        return err_set(err, ST_INVALID, "\"name\" must have 1 to %d bytes", SAVED_NAME_BYTES_MAX);
    if (question != NULL && !yyjson_is_obj(question))
        return err_set(err, ST_INVALID, "\"question\" must be an object");
    buf_init(&text, QUESTION_BYTES_MAX);
    if (question == NULL)
        buf_text(&text, "{}");
    else
        json_write(&text, question);
    struct addition addition = {
        .now_us = now_us, .name = name, .report = report, .question = buf_view(&text)};
    enum status status =
        text.overflow
            ? err_set(err, ST_TOO_LARGE, "\"question\" has more than %zu bytes", QUESTION_BYTES_MAX)
            : facts_write(facts, insert, &addition, err);
    buf_done(&text);
    if (status == ST_OK)
        *ret_id = addition.id;
    return status;
}

/* --- reading ---------------------------------------------------------------------------------- */

static void put_row(struct db_stmt *stmt, struct buf *json)
{
    char time[28];
    buf_char(json, '{');
    json_put_member_int(json, "id", db_int(stmt, 0));
    json_put_member_str(json, "name", db_str(stmt, 1));
    json_put_member_str(json, "report", db_str(stmt, 2));
    json_put_member_raw(json, "question", db_str(stmt, 3));
    when_format(db_int(stmt, 4), time);
    json_put_member_str(json, "created", str_of(time));
    buf_char(json, '}');
}

static enum status put_all(void *ctx, struct db *db, struct err *err)
{
    struct buf *json = ctx;
    bool row = true;
    enum status status;
    struct db_stmt *stmt = db_prepare(db, saved_sql_list);
    buf_reset(json);
    buf_text(json, "{\"reports\":[");
    while ((status = db_step(stmt, &row, err)) == ST_OK && row) {
        json_put_comma(json);
        put_row(stmt, json);
    }
    buf_text(json, "]}");
    return status;
}

enum status saved_list(struct facts *facts, struct buf *json, struct err *err)
{
    return facts_read(facts, put_all, json, err);
}

struct one {
    int64_t id;
    struct buf *json;
    bool found;
};

static enum status put_one(void *ctx, struct db *db, struct err *err)
{
    struct one *one = ctx;
    struct db_stmt *stmt = db_prepare(db, saved_sql_get);
    db_bind_int(stmt, 1, one->id);
    enum status status = db_step(stmt, &one->found, err);
    if (status == ST_OK && one->found)
        put_row(stmt, one->json);
    db_reset(stmt);
    return status;
}

static enum status no_report(struct err *err)
{
    return err_set(err, ST_NOT_FOUND, "there is no such saved report");
}

enum status saved_get(struct facts *facts, int64_t id, struct buf *json, struct err *err)
{
    struct one one = {.id = id, .json = json};
    enum status status = facts_read(facts, put_one, &one, err);
    return status == ST_OK && !one.found ? no_report(err) : status;
}

/* --- removing --------------------------------------------------------------------------------- */

static enum status remove_one(void *ctx, struct db *db, struct err *err)
{
    struct one *one = ctx;
    struct db_stmt *stmt = db_prepare(db, saved_sql_remove);
    db_bind_int(stmt, 1, one->id);
    enum status status = db_step(stmt, &one->found, err);
    db_reset(stmt);
    return status;
}

enum status saved_remove(struct facts *facts, int64_t id, struct err *err)
{
    struct one one = {.id = id};
    enum status status = facts_write(facts, remove_one, &one, err);
    return status == ST_OK && !one.found ? no_report(err) : status;
}

/* Walks the document flat: yyjson keeps a value's parts right behind it. */
static bool has_value(yyjson_doc *doc, const struct str *values, size_t count)
{
    size_t left = yyjson_doc_get_val_count(doc);
    for (yyjson_val *value = yyjson_doc_get_root(doc); left > 0; value++, left--)
        for (size_t i = 0; i < count && yyjson_is_str(value); i++)
            if (str_eq(json_str(value), values[i]))
                return true;
    return false;
}

enum status saved_forget(struct facts *facts, const struct str *values, size_t count,
                         struct err *err)
{
    struct buf json;
    yyjson_doc *doc = NULL;
    size_t i, max, dropped = 0;
    yyjson_val *row;
    buf_init(&json, SAVED_MAX * (QUESTION_BYTES_MAX + 4096));
    enum status status = saved_list(facts, &json, err);
    if (status == ST_OK)
        status = json_parse(NULL, buf_view(&json), &doc, err);
    yyjson_val *rows = yyjson_obj_get(yyjson_doc_get_root(doc), "reports");
    yyjson_arr_foreach(rows, i, max, row)
    {
        struct buf text;
        yyjson_doc *question = NULL;
        buf_init(&text, QUESTION_BYTES_MAX * 2);
        json_write(&text, row);
        if (status == ST_OK)
            status = json_parse(NULL, buf_view(&text), &question, err);
        if (status == ST_OK && has_value(question, values, count)) {
            status = saved_remove(facts, yyjson_get_sint(yyjson_obj_get(row, "id")), err);
            dropped++;
        }
        yyjson_doc_free(question);
        buf_done(&text);
    }
    yyjson_doc_free(doc);
    buf_done(&json);
    return status == ST_OK && dropped > 0 ? facts_checkpoint(facts, err) : status;
}
