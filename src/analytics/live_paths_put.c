/* live_paths_put.c - nodes and edges as an answer, and what a cell of theirs means.
 *
 * A cell names its nodes by their texts, so it means the same when other events have become the
 * most frequent ones, or the numbers of names have changed. Only "the rest" is what it is at the
 * time of the asking. */
#include "analytics/live_paths_int.h"

#include <math.h>

static struct str name_of(const struct live_ask *ask, const struct live_paths *paths, uint32_t node)
{
    uint32_t code = node % paths->names;
    return code + 1 == paths->names ? STR("…") : timeline_name(ask->view, code);
}

static struct str channel_text(const struct live_ask *ask, const struct live_paths *paths,
                               uint32_t node)
{
    uint32_t channel = node / paths->names;
    return channel >= ask->view->channels ? STR("…") : timeline_channel(ask->view, channel);
}

int live_paths_order(const struct live_ask *ask, const struct live_paths *paths, uint32_t a,
                     uint32_t b)
{
    int order = str_compare(name_of(ask, paths, a), name_of(ask, paths, b));
    if (order == 0 && paths->cross_channel)
        order = str_compare(channel_text(ask, paths, a), channel_text(ask, paths, b));
    return order;
}

/* The node of a rank: "from": "Order Paid", "from_channel": "app". */
static void put_node(const struct live_ask *ask, const struct live_paths *paths, uint32_t level,
                     uint32_t rank, const char *member, const char *channel, struct buf *json)
{
    if (rank > paths->top) {
        json_put_member_raw(json, member, STR("null"));
        return;
    }
    if (rank == paths->top) {
        json_put_member_str(json, member, STR("other"));
        return;
    }
    uint32_t node = paths->ranked[level * paths->top + rank];
    json_put_member_str(json, member, name_of(ask, paths, node));
    if (!paths->cross_channel)
        return;
    struct str text = channel_text(ask, paths, node);
    if (text.n == 0)
        json_put_member_raw(json, channel, STR("null"));
    else
        json_put_member_str(json, channel, text);
}

/* ["name", "channel"], "rest" or "end". */
static void put_coordinate(const struct live_ask *ask, const struct live_paths *paths,
                           uint32_t level, uint32_t rank, const char *member, struct buf *cell)
{
    if (rank >= paths->top) {
        json_put_member_str(cell, member, rank == paths->top ? STR("rest") : STR("end"));
        return;
    }
    uint32_t node = paths->ranked[level * paths->top + rank];
    json_put_name(cell, member);
    buf_char(cell, '[');
    json_put_str(cell, name_of(ask, paths, node));
    if (paths->cross_channel) {
        buf_char(cell, ',');
        json_put_str(cell, channel_text(ask, paths, node));
    }
    buf_char(cell, ']');
}

static void put_cell(const struct live_ask *ask, const struct live_paths *paths, uint32_t level,
                     uint32_t from, const uint32_t *to, struct buf *json)
{
    struct buf cell;
    buf_init(&cell, 1000);
    buf_char(&cell, '{');
    json_put_member_uint(&cell, "level", level);
    put_coordinate(ask, paths, level, from, "from", &cell);
    if (to != NULL)
        put_coordinate(ask, paths, level + 1, *to, "to", &cell);
    buf_char(&cell, '}');
    if (!cell.overflow)
        live_put_cell(ask, json, "%s", cell.p);
    buf_done(&cell);
}

static void put_count(const struct live_path_count *count, uint64_t all, struct buf *json)
{
    json_put_member_uint(json, "paths", count->paths);
    json_put_member_uint(json, "people", count->people);
    json_put_member_number(json, "share", all == 0 ? NAN : (double)count->paths / (double)all);
}

static void put_nodes(const struct live_ask *ask, const struct live_paths *paths,
                      const struct live_path_counts *counts, struct buf *json)
{
    uint32_t wide = paths->top + 2;
    json_put_name(json, "nodes");
    buf_char(json, '[');
    for (uint32_t l = 0; l < paths->depth; l++)
        for (uint32_t rank = 0; rank <= paths->top; rank++) {
            const struct live_path_count *count = &counts->nodes[l * wide + rank];
            if (count->paths == 0)
                continue;
            json_put_comma(json);
            buf_char(json, '{');
            json_put_member_uint(json, "level", l + 1);
            put_node(ask, paths, l, rank, "event", "channel", json);
            if (rank == paths->top)
                json_put_member_bool(json, "other", true);
            put_count(count, counts->all.paths, json);
            put_cell(ask, paths, l, rank, NULL, json);
            buf_char(json, '}');
        }
    buf_char(json, ']');
}

static void put_edge(const struct live_ask *ask, const struct live_paths *paths,
                     const struct live_path_counts *counts, uint32_t level, uint32_t from,
                     uint32_t to, struct buf *json)
{
    uint32_t wide = paths->top + 2;
    const struct live_path_count *count = &counts->edges[(level * wide + from) * wide + to];
    const struct live_path_count *node = &counts->nodes[level * wide + from];
    if (count->paths == 0)
        return;
    json_put_comma(json);
    buf_char(json, '{');
    json_put_member_uint(json, "level", level + 1);
    put_node(ask, paths, level, from, "from_event", "from_channel", json);
    put_node(ask, paths, level + 1, to, "to_event", "to_channel", json);
    put_count(count, counts->all.paths, json);
    json_put_member_number(json, "share_of_node", (double)count->paths / (double)node->paths);
    put_cell(ask, paths, level, from, &to, json);
    buf_char(json, '}');
}

void live_paths_put(const struct live_ask *ask, const struct live_paths *paths,
                    const struct live_path_counts *counts, struct buf *json)
{
    json_put_member_str(json, "direction", paths->backwards ? STR("to") : STR("from"));
    json_put_member_uint(json, "depth", paths->depth);
    json_put_member_int(json, "gap_seconds", paths->gap);
    json_put_member_uint(json, "paths", counts->all.paths);
    json_put_member_uint(json, "path_people", counts->all.people);
    json_put_member_str(json, "bars", STR("share"));
    json_put_name(json, "rows");
    buf_char(json, '[');
    for (uint32_t l = 0; l + 1 < paths->depth; l++)
        for (uint32_t from = 0; from <= paths->top; from++)
            for (uint32_t to = 0; to <= paths->top + 1; to++)
                put_edge(ask, paths, counts, l, from, to, json);
    buf_char(json, ']');
    put_nodes(ask, paths, counts, json);
    json_put_name(json, "left_out");
    buf_text(json, "[]");
}

/* --- a cell ----------------------------------------------------------------------------------- */

static enum status bad_cell(struct err *err)
{
    err_set(err, ST_INVALID, "\"cell\" is not the cell of a report");
    return err_hint(err, ST_INVALID, "take the \"cell\" that stands beside a number, whole");
}

static enum status want_parse(const struct live_ask *ask, const struct live_paths *paths,
                              const char *member, struct live_path_want *want, struct err *err)
{
    yyjson_val *value = yyjson_obj_get(ask->cell, member);
    struct str word = json_str(value), channel = json_str(yyjson_arr_get(value, 1));
    want->kind = str_is(word, "rest")  ? LIVE_PATH_REST
                 : str_is(word, "end") ? LIVE_PATH_END
                                       : LIVE_PATH_NODE;
    if (want->kind != LIVE_PATH_NODE)
        return ST_OK;
    if (!yyjson_is_arr(value))
        return bad_cell(err);
    uint32_t code = timeline_name_find(ask->view, json_str(yyjson_arr_get(value, 0)));
    uint32_t at = 0;
    while (paths->cross_channel && at < ask->view->channels &&
           !str_eq(timeline_channel(ask->view, at), channel))
        at++;
    want->node = at * paths->names + (code < paths->names ? code : paths->names - 1);
    return ST_OK;
}

enum status live_paths_cell(struct live_ask *ask, struct live_paths *paths, struct err *err)
{
    uint64_t level = 0;
    enum status status = live_cell_number(ask, "level", paths->depth, &level, err);
    paths->want_level = (uint32_t)level;
    paths->want_edge = yyjson_obj_get(ask->cell, "to") != NULL;
    if (status == ST_OK)
        status = want_parse(ask, paths, "from", &paths->want_from, err);
    if (status == ST_OK && paths->want_edge)
        status = want_parse(ask, paths, "to", &paths->want_to, err);
    return status;
}
