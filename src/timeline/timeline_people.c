/* timeline_people.c - what to call the people behind a number.
 *
 * The warehouse knows every visitor's identifier; of a person's the one of the type with the
 * highest priority is taken, as the order of event/identifier.def says, among equals the smallest.
 * The timeline itself holds no identifier. */
#include "timeline/timeline_int.h"

#include "base/json.h"
#include "event/event.h"

#define ANSWER_BYTES ((size_t)256 << 20)

/* "['user_id','member_no',…]", the types by priority. */
static void types_put(struct buf *sql)
{
    buf_char(sql, '[');
    for (int type = 1; type < IDENTIFIER_END; type++)
        buf_fmt(sql, "%s'%s'", type == 1 ? "" : ",", identifier_name((enum identifier_type)type));
    buf_char(sql, ']');
}

/* People by the number of their place in the question. */
static void question_put(struct buf *sql, struct buf *list, const struct timeline_view *view,
                         const uint32_t *people, size_t count)
{
    buf_text(sql, "WITH asked AS (SELECT unnest(CAST($1 AS UBIGINT[])) AS person), "
                  "known AS (SELECT coalesce(o.person, v.person) AS person, v.type, v.value, "
                  "list_position(");
    types_put(sql);
    buf_text(sql, ", v.type) AS rank FROM raw.visitor AS v LEFT JOIN raw.override AS o "
                  "ON o.visitor = v.visitor WHERE coalesce(o.person, v.person) IN (FROM asked)) "
                  "SELECT person, arg_min(type || ':' || value, (rank, value)) FROM known "
                  "GROUP BY person");
    buf_char(list, '[');
    for (size_t i = 0; i < count; i++)
        buf_fmt(list, i == 0 ? "%llu" : ",%llu",
                (unsigned long long)timeline_person_id(view, people[i]));
    buf_char(list, ']');
}

enum status timeline_people_name(const struct timeline_view *view, const uint32_t *people,
                                 size_t count, struct arena *arena, struct str **ret_names,
                                 struct err *err)
{
    struct buf sql, list, json;
    yyjson_doc *doc = NULL;
    struct map names;
    struct warehouse *warehouse = snapshot_of(view)->timeline->options.warehouse;
    buf_init(&sql, 8192);
    buf_init(&list, count * 21 + 16);
    buf_init(&json, ANSWER_BYTES);
    map_init(&names);
    question_put(&sql, &list, view, people, count);
    const struct str params[] = {buf_view(&list)};
    enum status status = warehouse_query(warehouse, sql.p, params, 1, &json, err);
    if (status == ST_OK)
        status = json_parse(NULL, buf_view(&json), &doc, err);
    if (status == ST_OK) {
        struct str *texts = ARENA_ARRAY(arena, struct str, count + 1);
        yyjson_val *row;
        yyjson_arr_iter rows;
        yyjson_arr_iter_init(yyjson_obj_get(yyjson_doc_get_root(doc), "rows"), &rows);
        while ((row = yyjson_arr_iter_next(&rows)) != NULL)
            *map_put(&names, map_key_u64(yyjson_get_uint(yyjson_arr_get_first(row))), NULL) =
                (uint64_t)(uintptr_t)yyjson_arr_get_last(row);
        for (size_t i = 0; i < count; i++) {
            uint64_t *name = map_find(&names, map_key_u64(timeline_person_id(view, people[i])));
            yyjson_val *text = name == NULL ? NULL : (yyjson_val *)(uintptr_t)*name;
            if (yyjson_is_str(text))
                texts[i] =
                    arena_copy(arena, (struct str){yyjson_get_str(text), yyjson_get_len(text)});
        }
        *ret_names = texts;
    }
    yyjson_doc_free(doc);
    map_done(&names);
    buf_done(&sql);
    buf_done(&list);
    buf_done(&json);
    return status;
}
