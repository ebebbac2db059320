/* segment.c - lists of visitors in facts.db, and the people that they are now.
 *
 * The writer of facts.db takes short closures only, so a list is filled and emptied in steps. It is
 * shown when the last step is done; what a crash interrupts is not ready and goes at the next
 * start. */
#include "segment/segment.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/json.h"
#include "base/when.h"
#include "segment_queries.h"
#include "segment_rows_queries.h"

#define STEP 200 /* members in one closure: about a millisecond */
#define PAGE_DEFAULT 50
#define PAGE_MAX 1000
#define ANSWER_BYTES_MAX ((size_t)64 << 20)

struct segment {
    struct segment_options options;
};

/* --- closures --------------------------------------------------------------------------------- */

struct list {
    int64_t id, created_us, people;
    struct str name, report;
    struct buf text; /* name and report as they were read */
    bool found;
};

static enum status list_insert(void *ctx, struct db *db, struct err *err)
{
    struct list *list = ctx;
    bool row = false;
    struct db_stmt *find = db_prepare(db, segment_list_find_name);
    db_bind_str(find, 1, list->name);
    enum status status = db_step(find, &row, err);
    db_reset(find);
    if (status != ST_OK)
        return status;
    if (row)
        return err_set(err, ST_CONFLICT, "there is a list of this name already");
    struct db_stmt *stmt = db_prepare(db, segment_list_add);
    db_bind_str(stmt, 1, list->name);
    db_bind_str(stmt, 2, list->report);
    db_bind_int(stmt, 3, list->created_us);
    status = db_step(stmt, &row, err);
    if (status == ST_OK && row)
        list->id = db_int(stmt, 0);
    db_reset(stmt);
    return status;
}

static enum status list_show(void *ctx, struct db *db, struct err *err)
{
    const struct list *list = ctx;
    struct db_stmt *stmt = db_prepare(db, segment_list_ready);
    db_bind_int(stmt, 1, list->id);
    db_bind_int(stmt, 2, list->people);
    return db_exec(stmt, err);
}

static enum status list_hide(void *ctx, struct db *db, struct err *err)
{
    struct list *list = ctx;
    struct db_stmt *stmt = db_prepare(db, segment_list_hide);
    db_bind_int(stmt, 1, list->id);
    enum status status = db_step(stmt, &list->found, err);
    db_reset(stmt);
    return status;
}

static enum status list_read(void *ctx, struct db *db, struct err *err)
{
    struct list *list = ctx;
    struct db_stmt *stmt = db_prepare(db, segment_list_get);
    db_bind_int(stmt, 1, list->id);
    enum status status = db_step(stmt, &list->found, err);
    if (status == ST_OK && list->found)
        buf_str(&list->text, db_str(stmt, 0));
    db_reset(stmt);
    return status;
}

/* Some members, in or out. */
struct members {
    int64_t list;
    const uint64_t *visitors;
    size_t count;
    size_t gone; /* rows that were deleted */
};

static enum status members_insert(void *ctx, struct db *db, struct err *err)
{
    const struct members *members = ctx;
    struct db_stmt *stmt = db_prepare(db, segment_member_add);
    for (size_t i = 0; i < members->count; i++) {
        db_bind_int(stmt, 1, members->list);
        db_bind_int(stmt, 2, (int64_t)members->visitors[i]);
        enum status status = db_exec(stmt, err);
        if (status != ST_OK)
            return status;
    }
    return ST_OK;
}

static enum status rows_count(struct db_stmt *stmt, size_t *gone, struct err *err)
{
    bool row = true;
    enum status status;
    while ((status = db_step(stmt, &row, err)) == ST_OK && row)
        ++*gone;
    return status;
}

static enum status members_delete(void *ctx, struct db *db, struct err *err)
{
    struct members *members = ctx;
    struct db_stmt *stmt = db_prepare(db, segment_member_drop);
    members->gone = 0;
    db_bind_int(stmt, 1, members->list);
    return rows_count(stmt, &members->gone, err);
}

static enum status members_forget(void *ctx, struct db *db, struct err *err)
{
    struct members *members = ctx;
    struct db_stmt *stmt = db_prepare(db, segment_member_forget);
    enum status status = ST_OK;
    members->gone = 0;
    for (size_t i = 0; i < members->count && status == ST_OK; i++) {
        db_bind_int(stmt, 1, (int64_t)members->visitors[i]);
        status = rows_count(stmt, &members->gone, err);
    }
    return status;
}

static enum status list_delete(void *ctx, struct db *db, struct err *err)
{
    const struct list *list = ctx;
    struct db_stmt *stmt = db_prepare(db, segment_list_drop);
    db_bind_int(stmt, 1, list->id);
    return db_exec(stmt, err);
}

struct unready {
    int64_t ids[64];
    size_t count;
};

static enum status unready_read(void *ctx, struct db *db, struct err *err)
{
    struct unready *unready = ctx;
    bool row = true;
    struct db_stmt *stmt = db_prepare(db, segment_list_unready);
    unready->count = 0;
    while (unready->count < sizeof unready->ids / sizeof unready->ids[0]) {
        enum status status = db_step(stmt, &row, err);
        if (status != ST_OK)
            return status;
        if (!row)
            return ST_OK;
        unready->ids[unready->count++] = db_int(stmt, 0);
    }
    db_reset(stmt);
    return ST_OK;
}

/* --- opening ---------------------------------------------------------------------------------- */

/* Of a list that nobody sees. */
static enum status list_empty(struct segment *segment, int64_t id, struct err *err)
{
    struct members members = {.list = id};
    struct list list = {.id = id};
    enum status status;
    do {
        status = facts_write(segment->options.facts, members_delete, &members, err);
    } while (status == ST_OK && members.gone > 0);
    return status == ST_OK ? facts_write(segment->options.facts, list_delete, &list, err) : status;
}

enum status segment_lists_open(const struct segment_options *options, struct segment **ret_segment,
                               struct err *err)
{
    struct segment *segment = mem_zero(sizeof *segment);
    struct unready unready = {.count = 0};
    segment->options = *options;
    facts_prepare(options->facts, segment_queries);
    enum status status = ST_OK;
    do {
        status = facts_read(options->facts, unready_read, &unready, err);
        for (size_t i = 0; i < unready.count && status == ST_OK; i++)
            status = list_empty(segment, unready.ids[i], err);
    } while (status == ST_OK && unready.count > 0);
    if (status == ST_OK)
        *ret_segment = segment;
    else
        free(segment);
    return status;
}

void segment_lists_close(struct segment *segment)
{
    free(segment);
}

/* --- the engine's half ------------------------------------------------------------------------ */

static void put_ids(struct buf *list, const uint64_t *ids, size_t count)
{
    buf_char(list, '[');
    for (size_t i = 0; i < count; i++)
        buf_fmt(list, i == 0 ? "%llu" : ",%llu", (unsigned long long)ids[i]);
    buf_char(list, ']');
}

/* The rows of an answer; the caller frees the document. */
static enum status ask(struct segment *segment, const char *sql, const struct str *params,
                       size_t params_count, yyjson_doc **ret_doc, yyjson_val **ret_rows,
                       struct err *err)
{
    struct buf json;
    yyjson_doc *doc = NULL;
    buf_init(&json, ANSWER_BYTES_MAX);
    enum status status =
        warehouse_query(segment->options.warehouse, sql, params, params_count, &json, err);
    if (status == ST_TOO_LARGE)
        err_set(err, status, "the list is too large: its members take more than %zu bytes",
                ANSWER_BYTES_MAX);
    if (status == ST_OK)
        status = json_parse(NULL, buf_view(&json), &doc, err);
    buf_done(&json);
    if (status != ST_OK)
        return status;
    *ret_doc = doc;
    *ret_rows = yyjson_obj_get(yyjson_doc_get_root(doc), "rows");
    return ST_OK;
}

/* The visitors through which these people are on a list, malloc'd for the caller, and how many
 * people there are. */
static enum status visitors_find(struct segment *segment, const uint64_t *people, size_t count,
                                 uint64_t **ret_visitors, size_t *ret_count, int64_t *ret_people,
                                 struct err *err)
{
    struct buf ids;
    yyjson_doc *doc = NULL;
    yyjson_val *rows, *visitor;
    buf_init(&ids, ANSWER_BYTES_MAX);
    put_ids(&ids, people, count);
    struct str param = buf_view(&ids);
    enum status status = ask(segment, segment_rows_visitors, &param, 1, &doc, &rows, err);
    buf_done(&ids);
    if (status != ST_OK)
        return status;
    size_t i, max, found = 0;
    yyjson_val *row = yyjson_arr_get_first(rows);
    yyjson_val *list = yyjson_arr_get_first(row);
    uint64_t *visitors = mem_alloc((yyjson_arr_size(list) + 1) * sizeof *visitors);
    yyjson_arr_foreach(list, i, max, visitor) visitors[found++] = yyjson_get_uint(visitor);
    *ret_people = yyjson_get_sint(yyjson_arr_get(row, 1));
    yyjson_doc_free(doc);
    *ret_visitors = visitors;
    *ret_count = found;
    return ST_OK;
}

/* --- adding ----------------------------------------------------------------------------------- */

static enum status list_fill(struct segment *segment, int64_t id, const uint64_t *visitors,
                             size_t count, struct err *err)
{
    enum status status = ST_OK;
    for (size_t at = 0; at < count && status == ST_OK; at += STEP) {
        struct members members = {
            .list = id, .visitors = visitors + at, .count = count - at < STEP ? count - at : STEP};
        status = facts_write(segment->options.facts, members_insert, &members, err);
    }
    return status;
}

enum status segment_add(struct segment *segment, struct str name, struct str report,
                        const uint64_t *people, size_t people_count, int64_t *ret_id,
                        size_t *ret_people, struct err *err)
{
    uint64_t *visitors = NULL;
    size_t count = 0;
    name = str_trim(name);
    if (name.n == 0 || name.n > SEGMENT_NAME_BYTES_MAX)
        return err_set(err, ST_INVALID, "\"name\" must have 1 to %d bytes", SEGMENT_NAME_BYTES_MAX);
    if (people_count > SEGMENT_PEOPLE_MAX)
        return err_set(err, ST_TOO_LARGE, "a list of %zu people: at most %d", people_count,
                       SEGMENT_PEOPLE_MAX);
    struct list list = {
        .name = name, .report = report, .created_us = clock_now_us(segment->options.clock)};
    enum status status =
        visitors_find(segment, people, people_count, &visitors, &count, &list.people, err);
    if (status == ST_OK)
        status = facts_write(segment->options.facts, list_insert, &list, err);
    if (status == ST_OK) {
        status = list_fill(segment, list.id, visitors, count, err);
        if (status == ST_OK)
            status = facts_write(segment->options.facts, list_show, &list, err);
        struct err ignored;
        if (status != ST_OK) /* else the next start does it */
            (void)!list_empty(segment, list.id, &ignored);
    }
    free(visitors);
    if (status != ST_OK)
        return status;
    *ret_id = list.id;
    *ret_people = (size_t)list.people;
    return ST_OK;
}

/* --- reading ---------------------------------------------------------------------------------- */

static enum status lists_put(void *ctx, struct db *db, struct err *err)
{
    struct buf *json = ctx;
    bool row = true;
    char time[28];
    enum status status;
    struct db_stmt *stmt = db_prepare(db, segment_list_all);
    buf_reset(json);
    buf_text(json, "{\"lists\":[");
    while ((status = db_step(stmt, &row, err)) == ST_OK && row) {
        json_put_comma(json);
        buf_char(json, '{');
        json_put_member_int(json, "list", db_int(stmt, 0));
        json_put_member_str(json, "name", db_str(stmt, 1));
        json_put_member_str(json, "report", db_str(stmt, 2));
        when_format(db_int(stmt, 3), time);
        json_put_member_str(json, "created", str_of(time));
        json_put_member_int(json, "people", db_int(stmt, 4));
        buf_char(json, '}');
    }
    buf_text(json, "]}");
    return status;
}

enum status segment_lists(struct segment *segment, struct buf *json, struct err *err)
{
    return facts_read(segment->options.facts, lists_put, json, err);
}

struct reading {
    int64_t list;
    struct buf ids; /* "[1,2,3]" */
};

static enum status members_read(void *ctx, struct db *db, struct err *err)
{
    struct reading *reading = ctx;
    bool row = true;
    enum status status;
    struct db_stmt *stmt = db_prepare(db, segment_member_list);
    buf_reset(&reading->ids);
    db_bind_int(stmt, 1, reading->list);
    buf_char(&reading->ids, '[');
    for (size_t i = 0; (status = db_step(stmt, &row, err)) == ST_OK && row; i++)
        buf_fmt(&reading->ids, i == 0 ? "%lld" : ",%lld", (long long)db_int(stmt, 0));
    buf_char(&reading->ids, ']');
    return status;
}

static enum status total_put(struct segment *segment, struct str ids, struct buf *json,
                             struct err *err)
{
    yyjson_doc *doc = NULL;
    yyjson_val *rows;
    enum status status = ask(segment, segment_rows_count, &ids, 1, &doc, &rows, err);
    if (status != ST_OK)
        return status;
    json_put_member_uint(json, "total",
                         yyjson_get_uint(yyjson_arr_get_first(yyjson_arr_get_first(rows))));
    yyjson_doc_free(doc);
    return ST_OK;
}

/* "p_0000000000000400" of the last person is where the next page begins. */
static void person_text(uint64_t id, char text[24])
{
    snprintf(text, 24, "p_%016llx", (unsigned long long)id);
}

static enum status page_parse(struct str page, char after[24], struct err *err)
{
    unsigned long long id = 0;
    char text[24];
    snprintf(text, sizeof text, STR_FMT, STR_ARG(page));
    if (page.n > 0 && (page.n != 18 || sscanf(text, "p_%16llx", &id) != 1))
        return err_set(err, ST_INVALID, "\"page\" is not the \"next\" of a list of people");
    snprintf(after, 24, "%llu", id);
    return ST_OK;
}

static enum status page_put(struct segment *segment, struct str ids, const char *after,
                            size_t limit, struct buf *json, struct err *err)
{
    char count[24], person[24];
    yyjson_doc *doc = NULL;
    yyjson_val *rows, *row;
    size_t i, max;
    snprintf(count, sizeof count, "%zu", limit + 1);
    const struct str params[] = {ids, str_of(after), str_of(count)};
    enum status status = ask(segment, segment_rows_page, params, 3, &doc, &rows, err);
    if (status != ST_OK)
        return status;
    json_put_name(json, "people");
    buf_char(json, '[');
    yyjson_arr_foreach(rows, i, max, row)
    {
        if (i == limit)
            break;
        person_text(yyjson_get_uint(yyjson_arr_get_first(row)), person);
        json_put_comma(json);
        buf_char(json, '{');
        json_put_member_str(json, "person", str_of(person));
        json_put_member_str(json, "identifier", json_str(yyjson_arr_get(row, 1)));
        buf_char(json, '}');
    }
    buf_char(json, ']');
    if (max > limit)
        json_put_member_str(json, "next", str_of(person));
    yyjson_doc_free(doc);
    return ST_OK;
}

static enum status no_list(struct err *err)
{
    return err_set(err, ST_NOT_FOUND, "there is no such list");
}

enum status segment_people(struct segment *segment, int64_t id, struct str page, size_t limit,
                           struct buf *json, struct err *err)
{
    char after[24];
    struct list list = {.id = id};
    struct reading reading = {.list = id};
    size_t shown = limit == 0 ? PAGE_DEFAULT : limit < PAGE_MAX ? limit : PAGE_MAX;
    buf_init(&list.text, 4096);
    buf_init(&reading.ids, ANSWER_BYTES_MAX);
    enum status status = page_parse(page, after, err);
    if (status == ST_OK)
        status = facts_read(segment->options.facts, list_read, &list, err);
    if (status == ST_OK && !list.found)
        status = no_list(err);
    if (status == ST_OK)
        status = facts_read(segment->options.facts, members_read, &reading, err);
    if (status == ST_OK) {
        buf_char(json, '{');
        json_put_member_int(json, "list", id);
        json_put_member_str(json, "name", buf_view(&list.text));
        status = total_put(segment, buf_view(&reading.ids), json, err);
    }
    if (status == ST_OK)
        status = page_put(segment, buf_view(&reading.ids), after, shown, json, err);
    buf_char(json, '}');
    buf_done(&list.text);
    buf_done(&reading.ids);
    return status;
}

/* --- removing --------------------------------------------------------------------------------- */

enum status segment_remove(struct segment *segment, int64_t id, struct err *err)
{
    struct list list = {.id = id};
    enum status status = facts_write(segment->options.facts, list_hide, &list, err);
    if (status == ST_OK && !list.found)
        return no_list(err);
    return status == ST_OK ? list_empty(segment, id, err) : status;
}

enum status segment_forget(struct segment *segment, const uint64_t *visitors, size_t count,
                           struct err *err)
{
    enum status status = ST_OK;
    size_t gone = 0;
    for (size_t at = 0; at < count && status == ST_OK; at += STEP) {
        struct members members = {.visitors = visitors + at,
                                  .count = count - at < STEP ? count - at : STEP};
        status = facts_write(segment->options.facts, members_forget, &members, err);
        gone += members.gone;
    }
    return status == ST_OK && gone > 0 ? facts_checkpoint(segment->options.facts, err) : status;
}
