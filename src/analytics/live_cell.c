/* live_cell.c - a number's address: a text from which its people are found again.
 *
 * "QUESTION.CELL", each compact JSON in base64url. The question is as it was meant: absolute times,
 * the zone, the values of the breakdown in their order; so the text means the same tomorrow, on
 * newer data. It is no secret and no permission: what comes back is parsed and judged like any
 * question. It holds no personal data but what the question itself has. */
#include "analytics/live_int.h"

#include <sodium.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/when.h"

#define CELL_BYTES_MAX ((size_t)64 << 10)
#define COORDINATES_BYTES_MAX 1024
#define VARIANT sodium_base64_VARIANT_URLSAFE_NO_PADDING

static void put_encoded(struct buf *out, const char *bytes, size_t n)
{
    size_t room = sodium_base64_encoded_len(n, VARIANT); /* with a terminator */
    char *at = buf_room(out, room);
    if (at == NULL)
        return;
    sodium_bin2base64(at, room, (const unsigned char *)bytes, n, VARIANT);
    out->n += room - 1;
}

static void put_moment(struct buf *json, const char *member, int64_t us)
{
    char text[28];
    when_format(us, text);
    json_put_member_str(json, member, str_of(text));
}

/* A member as it came, whatever its name is. */
static void put_member(struct buf *json, yyjson_val *key, yyjson_val *value)
{
    json_put_comma(json);
    json_put_str(json, json_str(key));
    buf_char(json, ':');
    json_write(json, value);
}

/* The breakdown with its values named. */
static void put_breakdown(const struct live_ask *ask, struct buf *json, yyjson_val *breakdown)
{
    yyjson_val *key, *value;
    yyjson_obj_iter members = yyjson_obj_iter_with(breakdown);
    json_put_name(json, "breakdown");
    buf_char(json, '{');
    while ((key = yyjson_obj_iter_next(&members)) != NULL) {
        value = yyjson_obj_iter_get_val(key);
        if (!str_is(json_str(key), "values"))
            put_member(json, key, value);
    }
    json_put_name(json, "values");
    buf_char(json, '[');
    for (uint32_t i = 1; i < live_breakdown_values(ask); i++) {
        if (live_breakdown_is_rest(ask, i))
            continue;
        json_put_comma(json);
        json_put_str(json, live_breakdown_text(ask, i));
    }
    buf_text(json, "]}");
}

static bool is_common(struct str member)
{
    return str_is(member, "from") || str_is(member, "to") || str_is(member, "zone") ||
           str_is(member, "breakdown");
}

void live_cell_prefix(struct live_ask *ask, struct str name)
{
    struct buf json, text;
    yyjson_val *key;
    yyjson_obj_iter members = yyjson_obj_iter_with(ask->question);
    buf_init(&json, CELL_BYTES_MAX);
    buf_init(&text, CELL_BYTES_MAX * 2);
    buf_char(&json, '{');
    json_put_member_str(&json, "name", name);
    json_put_name(&json, "question");
    buf_char(&json, '{');
    put_moment(&json, "from", ask->from_us);
    put_moment(&json, "to", ask->to_us);
    json_put_member_str(&json, "zone", ask->zone);
    while (ask->question != NULL && (key = yyjson_obj_iter_next(&members)) != NULL) {
        if (!is_common(json_str(key)))
            put_member(&json, key, yyjson_obj_iter_get_val(key));
    }
    if (ask->breakdown != NULL)
        put_breakdown(ask, &json, yyjson_obj_get(ask->question, "breakdown"));
    buf_text(&json, "}}");
    put_encoded(&text, json.p, json.n);
    buf_char(&text, '.');
    if (!json.overflow && !text.overflow)
        ask->cell_prefix = arena_copy(ask->arena, buf_view(&text));
    buf_done(&json);
    buf_done(&text);
}

static void put_cell(const struct live_ask *ask, struct buf *json, const char *member,
                     const char *format, va_list args)
{
    char coordinates[COORDINATES_BYTES_MAX];
    int n = vsnprintf(coordinates, sizeof coordinates, format, args);
    if (ask->cell_prefix.n == 0 || n < 0 || (size_t)n >= sizeof coordinates)
        return;
    json_put_name(json, member);
    buf_char(json, '"');
    buf_str(json, ask->cell_prefix);
    put_encoded(json, coordinates, (size_t)n);
    buf_char(json, '"');
}

void live_put_cell(const struct live_ask *ask, struct buf *json, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    put_cell(ask, json, "cell", format, args);
    va_end(args);
}

void live_put_cell_of(const struct live_ask *ask, struct buf *json, const char *member,
                      const char *format, ...)
{
    va_list args;
    va_start(args, format);
    put_cell(ask, json, member, format, args);
    va_end(args);
}

static enum status bad_cell(struct err *err)
{
    err_set(err, ST_INVALID, "\"cell\" is not the cell of a report");
    return err_hint(err, ST_INVALID, "take the \"cell\" that stands beside a number, whole");
}

/* One of the two parts; NULL when it is none. */
static yyjson_doc *part_parse(struct str text)
{
    size_t n = 0;
    yyjson_doc *doc = NULL;
    struct err ignored;
    unsigned char *bytes = mem_alloc(text.n + 1);
    if (sodium_base642bin(bytes, text.n + 1, text.p, text.n, NULL, &n, NULL, VARIANT) == 0 &&
        json_parse(NULL, (struct str){(const char *)bytes, n}, &doc, &ignored) == ST_OK &&
        !yyjson_is_obj(yyjson_doc_get_root(doc))) {
        yyjson_doc_free(doc);
        doc = NULL;
    }
    free(bytes);
    return doc;
}

enum status live_cell_parse(struct str text, yyjson_doc **ret_question, yyjson_doc **ret_cell,
                            struct err *err)
{
    const char *dot = text.n == 0 ? NULL : memchr(text.p, '.', text.n);
    if (dot == NULL || text.n > CELL_BYTES_MAX * 2)
        return bad_cell(err);
    struct str first = {text.p, (size_t)(dot - text.p)};
    struct str second = {dot + 1, text.n - first.n - 1};
    yyjson_doc *question = part_parse(first), *cell = part_parse(second);
    yyjson_val *root = yyjson_doc_get_root(question);
    if (question == NULL || cell == NULL || !yyjson_is_obj(yyjson_obj_get(root, "question")) ||
        json_member_str(root, "name").n == 0) {
        yyjson_doc_free(question);
        yyjson_doc_free(cell);
        return bad_cell(err);
    }
    *ret_question = question;
    *ret_cell = cell;
    return ST_OK;
}

enum status live_cell_number(const struct live_ask *ask, const char *member, uint64_t limit,
                             uint64_t *ret_number, struct err *err)
{
    yyjson_val *value = yyjson_obj_get(ask->cell, member);
    if (!yyjson_is_uint(value) || yyjson_get_uint(value) >= limit)
        return bad_cell(err);
    *ret_number = yyjson_get_uint(value);
    return ST_OK;
}
