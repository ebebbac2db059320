/* live_paths.c - which way people take: event after event from a step on, or back from one.
 *
 *   "start" or "end"  the event from which, or to which; neither: from the session's beginning
 *   "depth"           2 to 10 levels, default 5; "top" events of each level, default 8, and the
 * rest "gap"             the silence that ends a session, default 30m "cross_channel"   true: the
 * same event in two channels is two nodes "collapse"        true (default): the same node again and
 * again is one
 *
 * Events without a name (identify, bind …) are no steps of a path and not seen here.
 * A path belongs to one session: from the first such event in it, "depth" nodes; where the session
 * is over, the path ends. With "end" it is read backwards: level 1 is the event itself. Sessions
 * are cut at the window's borders.
 *
 * Two passes: the first counts the nodes of each level, so that the second needs tables of the most
 * frequent ones only. Where all nodes have a row there is no rest, and the second is enough: what
 * it counted is put into the order of the rows after. An edge goes from a node of one level to one
 * of the next, or to the end. */
#include "analytics/live_paths_int.h"
#include "analytics/live_reach.h"

#include <stdlib.h>

#define GAP_S (INT64_C(30) * 60)
#define DEPTH_DEFAULT 5
#define TOP_DEFAULT 8
#define TOP_MAX 50
#define NODES_MAX 200000
#define ORIGINS 65536

/* One thread's. */
struct worker {
    const struct live_paths *paths;
    struct live_path_counts counts;
    uint32_t *frequent; /* [depth × nodes], of the first pass; NULL in the second */
    uint32_t ring[LIVE_DEPTH_MAX];
    char apart[64];
};

/* --- the question ----------------------------------------------------------------------------- */

static enum status bool_member(const struct live_ask *ask, const char *member, bool otherwise,
                               bool *ret_value, struct err *err)
{
    yyjson_val *value = yyjson_obj_get(ask->question, member);
    *ret_value = value == NULL ? otherwise : yyjson_get_bool(value);
    if (value != NULL && !yyjson_is_bool(value))
        return err_set(err, ST_INVALID, "\"%s\" must be true or false", member);
    return ST_OK;
}

static enum status anchor_parse(struct live_ask *ask, struct live_paths *paths, struct err *err)
{
    bool start = yyjson_obj_get(ask->question, "start") != NULL;
    bool end = yyjson_obj_get(ask->question, "end") != NULL;
    if (start && end) {
        err_set(err, ST_INVALID, "paths go from \"start\" or to \"end\", not both");
        return err_hint(err, ST_INVALID, "a funnel says who came from one to the other");
    }
    paths->backwards = end;
    paths->has_anchor = start || end;
    if (!paths->has_anchor)
        return ST_OK;
    return live_ask_event(ask, end ? "end" : "start", &paths->anchor, err);
}

static enum status numbers_parse(struct live_ask *ask, struct live_paths *paths, struct err *err)
{
    double depth = 0, top = 0;
    enum status status =
        live_ask_number(ask, "depth", 2, LIVE_DEPTH_MAX, DEPTH_DEFAULT, &depth, err);
    if (status == ST_OK)
        status = live_ask_number(ask, "top", 1, TOP_MAX, TOP_DEFAULT, &top, err);
    if (status == ST_OK)
        status = live_ask_duration(ask, "gap", GAP_S, &paths->gap, err);
    if (status == ST_OK)
        status = bool_member(ask, "cross_channel", false, &paths->cross_channel, err);
    if (status == ST_OK)
        status = bool_member(ask, "collapse", true, &paths->collapse, err);
    paths->depth = (uint32_t)depth;
    paths->top = (uint32_t)top;
    return status;
}

/* Nodes are channel × name; what came after a dictionary was full is one more of its kind. */
static enum status nodes_make(struct live_ask *ask, struct live_paths *paths, struct err *err)
{
    uint64_t channels = paths->cross_channel ? ask->view->channels + UINT64_C(1) : 1;
    paths->names = ask->view->names + 1;
    paths->nameless = timeline_name_find(ask->view, STR(""));
    paths->channel_of = ARENA_ARRAY(ask->arena, uint32_t, ORIGINS);
    if (channels * paths->names > NODES_MAX) {
        err_set(err, ST_INVALID, "more than %d pairs of channel and event", NODES_MAX);
        return err_hint(err, ST_INVALID, "without \"cross_channel\"");
    }
    paths->nodes = (uint32_t)(channels * paths->names);
    for (uint32_t origin = 0; paths->cross_channel && origin < ORIGINS; origin++) {
        uint32_t channel = origin < ask->view->origins ? live_origin_code(ask, LIVE_CHANNEL, origin)
                                                       : ask->view->channels;
        paths->channel_of[origin] =
            (channel < ask->view->channels ? channel : ask->view->channels) * paths->names;
    }
    return ST_OK;
}

static enum status paths_parse(struct live_ask *ask, struct live_paths *paths, struct err *err)
{
    static const char *const members[] = {"start", "end",           "depth",    "top",
                                          "gap",   "cross_channel", "collapse", NULL};
    enum status status = live_ask_known(ask, members, err);
    if (status == ST_OK && (ask->breakdown != NULL || ask->compare))
        return err_set(err, ST_INVALID,
                       "\"breakdown\" and \"compare\": this report has none; use \"where\"");
    if (status == ST_OK)
        status = anchor_parse(ask, paths, err);
    if (status == ST_OK)
        status = numbers_parse(ask, paths, err);
    return status == ST_OK ? nodes_make(ask, paths, err) : status;
}

/* --- a path ----------------------------------------------------------------------------------- */

static inline void stamp_add(struct live_path_count *count, uint32_t stamp)
{
    count->paths++;
    count->people += count->stamp != stamp;
    count->stamp = stamp;
}

static bool is_wanted(const struct live_paths *paths, const struct live_path_want *want,
                      uint32_t level, uint32_t node)
{
    if (want->kind == LIVE_PATH_REST)
        return node != TIMELINE_NONE && paths->rank[level * paths->nodes + node] == paths->top;
    if (want->kind == LIVE_PATH_END)
        return node == TIMELINE_NONE;
    return want->node == node;
}

static void path_want(const struct live_ask *ask, const struct live_paths *paths, uint32_t person,
                      const uint32_t *nodes, uint32_t count)
{
    uint32_t level = paths->want_level;
    if (level >= count || !is_wanted(paths, &paths->want_from, level, nodes[level]))
        return;
    uint32_t next = level + 1 < count ? nodes[level + 1] : TIMELINE_NONE;
    if (!paths->want_edge ||
        (level + 1 < paths->depth && is_wanted(paths, &paths->want_to, level + 1, next)))
        live_want(ask, person);
}

/* A path is whole: its nodes in the order of the levels. */
static void path_put(const struct live_ask *ask, struct worker *worker, uint32_t person,
                     const uint32_t *nodes, uint32_t count)
{
    const struct live_paths *paths = worker->paths;
    struct live_path_counts *counts = &worker->counts;
    uint32_t wide = paths->top + 2;
    if (worker->frequent != NULL) {
        for (uint32_t l = 0; l < count; l++)
            worker->frequent[l * paths->nodes + nodes[l]]++;
        return;
    }
    if (ask->want != NULL) {
        path_want(ask, paths, person, nodes, count);
        return;
    }
    stamp_add(&counts->all, counts->stamp);
    for (uint32_t l = 0; l < count; l++) {
        uint32_t from = paths->rank[l * paths->nodes + nodes[l]];
        uint32_t to =
            l + 1 < count ? paths->rank[(l + 1) * paths->nodes + nodes[l + 1]] : paths->top + 1;
        stamp_add(&counts->nodes[l * wide + from], counts->stamp);
        if (l + 1 < paths->depth)
            stamp_add(&counts->edges[(l * wide + from) * wide + to], counts->stamp);
    }
}

static uint32_t node_of(const struct live_paths *paths, const struct timeline_run *run, uint32_t i)
{
    uint32_t code = timeline_code(run, i);
    if (code >= paths->names)
        code = paths->names - 1;
    return paths->cross_channel ? paths->channel_of[timeline_origin(run, i)] + code : code;
}

/* The session's events so far, the last `depth` of them in the ring; a path that runs. */
struct session {
    uint32_t count; /* nodes in the ring, or of the path */
    bool running, done;
};

static void path_back(const struct live_ask *ask, struct worker *worker, uint32_t person,
                      const struct session *session)
{
    uint32_t nodes[LIVE_DEPTH_MAX], depth = worker->paths->depth, n = 0;
    for (; n < depth && n < session->count; n++)
        nodes[n] = worker->ring[(session->count - 1 - n) % depth];
    path_put(ask, worker, person, nodes, n);
}

static void session_end(const struct live_ask *ask, struct worker *worker, uint32_t person,
                        struct session *session)
{
    if (session->running && !session->done)
        path_put(ask, worker, person, worker->ring, session->count);
    *session = (struct session){0};
}

static void session_event(const struct live_ask *ask, struct worker *worker,
                          const struct timeline_run *run, uint32_t i, struct session *session)
{
    const struct live_paths *paths = worker->paths;
    bool is_anchor = !paths->has_anchor || live_event_is(ask, &paths->anchor, run, i);
    if (session->done || (!paths->backwards && !session->running && !is_anchor))
        return;
    uint32_t node = node_of(paths, run, i), depth = paths->depth;
    session->running = session->running || !paths->backwards;
    bool again = session->count > 0 && worker->ring[(session->count - 1) % depth] == node;
    if (!again || !paths->collapse)
        worker->ring[session->count++ % depth] = node;
    if (paths->backwards ? is_anchor : session->count == depth) {
        if (paths->backwards)
            path_back(ask, worker, run->person, session);
        else
            path_put(ask, worker, run->person, worker->ring, depth);
        session->done = true;
    }
}

static void paths_each(const struct live_ask *ask, const struct timeline_run *run, void *ctx)
{
    struct worker *worker = ctx;
    const struct live_paths *paths = worker->paths;
    struct session session = {0};
    uint32_t first, end, last = 0;
    live_window(ask, run, &first, &end);
    worker->counts.stamp++;
    for (uint32_t i = first; i < end; i++) {
        if (timeline_code(run, i) == paths->nameless ||
            !live_filters_hold(ask, ask->filters, ask->filters_count, run, i))
            continue;
        if (run->time[i] - last > paths->gap)
            session_end(ask, worker, run->person, &session);
        last = run->time[i];
        session_event(ask, worker, run, i, &session);
    }
    session_end(ask, worker, run->person, &session);
}

/* The usual question, paths from every session's beginning without conditions: each event adds to
 * its node and to the edge that led to it, so no path is put together first. `count` says which
 * pass it is, known when this is compiled. */
static inline void plain_each(const struct live_ask *ask, const struct timeline_run *run,
                              struct worker *worker, bool count)
{
    const struct live_paths *paths = worker->paths;
    const uint32_t last_level = paths->depth - 1, stride = paths->nodes, wide = paths->top + 2;
    const uint32_t *rank = paths->rank, over = paths->top + 1, stamp = ++worker->counts.stamp;
    struct live_path_count *nodes = worker->counts.nodes, *edges = worker->counts.edges;
    uint32_t first, end, last = 0, level = 0, from = 0, *frequent = worker->frequent;
    uint32_t before = TIMELINE_NONE; /* the path's last node; NONE = no path yet */
    uint64_t all = 0;
    live_window(ask, run, &first, &end);
    for (uint32_t i = first; i < end; i++) {
        uint32_t node = node_of(paths, run, i), time = run->time[i], silence = time - last;
        if (timeline_code(run, i) == paths->nameless)
            continue;
        last = time;
        bool fresh = before == TIMELINE_NONE || silence > paths->gap;
        if (!fresh && (level == last_level || (node == before && paths->collapse)))
            continue;
        uint32_t next = fresh ? 0 : level + 1;
        if (count) {
            uint32_t to = rank[next * stride + node];
            stamp_add(&nodes[next * wide + to], stamp);
            if (before != TIMELINE_NONE && level < last_level)
                stamp_add(&edges[(level * wide + from) * wide + (fresh ? over : to)], stamp);
            from = to;
        } else {
            frequent[next * stride + node]++;
        }
        all += fresh;
        level = next;
        before = node;
    }
    if (!count || before == TIMELINE_NONE)
        return;
    if (level < last_level)
        stamp_add(&edges[(level * wide + from) * wide + over], stamp);
    worker->counts.all.paths += all;
    worker->counts.all.people++;
}

static void plain_frequent(const struct live_ask *ask, const struct timeline_run *run, void *ctx)
{
    plain_each(ask, run, ctx, false);
}

static void plain_count(const struct live_ask *ask, const struct timeline_run *run, void *ctx)
{
    plain_each(ask, run, ctx, true);
}

static live_each *each_of(const struct live_ask *ask, const struct live_paths *paths, bool count)
{
    if (ask->want != NULL || ask->filters_count > 0 || paths->has_anchor)
        return paths_each;
    return count ? plain_count : plain_frequent;
}

/* --- passes ----------------------------------------------------------------------------------- */

/* The `top` most frequent nodes of a level, those of one count by their texts. */
static void level_rank(const struct live_ask *ask, struct live_paths *paths,
                       const uint32_t *frequent, uint32_t level)
{
    uint32_t *rank = paths->rank + (size_t)level * paths->nodes;
    uint32_t *list = paths->ranked + (size_t)level * paths->top, count = 0;
    for (uint32_t node = 0; node < paths->nodes; node++) {
        rank[node] = paths->top;
        if (frequent[node] == 0)
            continue;
        uint32_t at = count;
        while (at > 0 && (frequent[list[at - 1]] < frequent[node] ||
                          (frequent[list[at - 1]] == frequent[node] &&
                           live_paths_order(ask, paths, node, list[at - 1]) < 0)))
            at--;
        if (at == paths->top)
            continue;
        uint32_t kept = count < paths->top ? count : paths->top - 1;
        memmove(list + at + 1, list + at, (kept - at) * sizeof *list);
        list[at] = node;
        count = kept + 1;
    }
    for (uint32_t i = 0; i < count; i++)
        rank[list[i]] = i;
    paths->ranked_count[level] = count;
}

static enum status nodes_rank(struct live_ask *ask, struct live_paths *paths, struct err *err)
{
    int threads = live_threads(ask);
    size_t cells = (size_t)paths->depth * paths->nodes;
    struct worker *workers = mem_zero((size_t)threads * sizeof *workers);
    for (int t = 0; t < threads; t++) {
        workers[t].paths = paths;
        workers[t].frequent = mem_zero(cells * sizeof(uint32_t));
    }
    uint64_t read = ask->events_read;
    enum status status =
        live_pass(ask, NULL, NULL, each_of(ask, paths, false), workers, sizeof *workers, err);
    ask->events_read = read; /* said once, by the second pass */
    for (int t = 1; t < threads; t++)
        for (size_t i = 0; i < cells; i++)
            workers[0].frequent[i] += workers[t].frequent[i];
    paths->rank = ARENA_ARRAY(ask->arena, uint32_t, cells);
    paths->ranked = ARENA_ARRAY(ask->arena, uint32_t, paths->depth * (paths->top + 1));
    for (uint32_t l = 0; status == ST_OK && l < paths->depth; l++)
        level_rank(ask, paths, workers[0].frequent + (size_t)l * paths->nodes, l);
    for (int t = 0; t < threads; t++)
        free(workers[t].frequent);
    free(workers);
    return status;
}

/* Every node has a row: its own number until it is counted. */
static void nodes_number(struct live_ask *ask, struct live_paths *paths)
{
    size_t cells = (size_t)paths->depth * paths->nodes;
    paths->rank = ARENA_ARRAY(ask->arena, uint32_t, cells);
    paths->ranked = ARENA_ARRAY(ask->arena, uint32_t, paths->depth * (paths->top + 1));
    for (size_t i = 0; i < cells; i++)
        paths->rank[i] = (uint32_t)(i % paths->nodes);
}

/* … and after: `counts` in the order of the ranks. */
static void nodes_settle(const struct live_ask *ask, struct live_paths *paths,
                         struct live_path_counts *counts)
{
    uint32_t depth = paths->depth, n = paths->nodes, wide = paths->top + 2, over = paths->top + 1;
    uint32_t *frequent = mem_zero(n * sizeof *frequent);
    struct live_path_count *nodes = mem_zero(depth * wide * sizeof *nodes);
    struct live_path_count *edges = mem_zero((size_t)depth * wide * wide * sizeof *edges);
    for (uint32_t l = 0; l < depth; l++) {
        for (uint32_t node = 0; node < n; node++)
            frequent[node] = (uint32_t)counts->nodes[l * wide + node].paths;
        level_rank(ask, paths, frequent, l);
    }
    for (uint32_t l = 0; l < depth; l++)
        for (uint32_t node = 0; node < n; node++) {
            uint32_t row = l * wide + paths->rank[l * n + node], was = l * wide + node;
            if (counts->nodes[was].paths == 0)
                continue;
            nodes[row] = counts->nodes[was];
            edges[row * wide + over] = counts->edges[was * wide + over];
            for (uint32_t to = 0; l + 1 < depth && to < n; to++)
                if (counts->edges[was * wide + to].paths > 0)
                    edges[row * wide + paths->rank[(l + 1) * n + to]] =
                        counts->edges[was * wide + to];
        }
    free(frequent);
    free(counts->nodes);
    free(counts->edges);
    counts->nodes = nodes;
    counts->edges = edges;
}

static void count_join(struct live_path_count *sum, const struct live_path_count *from, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        sum[i].paths += from[i].paths;
        sum[i].people += from[i].people;
    }
}

static enum status paths_count(struct live_ask *ask, struct live_paths *paths, struct buf *json,
                               struct err *err)
{
    int threads = live_threads(ask);
    size_t wide = paths->top + 2, nodes = paths->depth * wide, edges = nodes * wide;
    struct worker *workers = mem_zero((size_t)threads * sizeof *workers);
    for (int t = 0; t < threads; t++) {
        struct live_path_counts *counts = &workers[t].counts;
        workers[t].paths = paths;
        counts->nodes = mem_zero(nodes * sizeof *counts->nodes);
        counts->edges = mem_zero(edges * sizeof *counts->edges);
    }
    enum status status =
        live_pass(ask, NULL, NULL, each_of(ask, paths, true), workers, sizeof *workers, err);
    struct live_path_counts *sum = &workers[0].counts;
    for (int t = 1; t < threads; t++) {
        count_join(sum->nodes, workers[t].counts.nodes, nodes);
        count_join(sum->edges, workers[t].counts.edges, edges);
        count_join(&sum->all, &workers[t].counts.all, 1);
    }
    if (paths->nodes <= paths->top)
        nodes_settle(ask, paths, sum);
    if (status == ST_OK && ask->cell == NULL)
        live_paths_put(ask, paths, sum, json);
    for (int t = 0; t < threads; t++) {
        free(workers[t].counts.nodes);
        free(workers[t].counts.edges);
    }
    free(workers);
    return status;
}

void live_paths_reach(struct live_ask *ask, struct live_reach *reach)
{
    live_reach_all(ask, reach, ask->from_s, ask->to_s, NULL);
}

enum status live_paths(struct live_ask *ask, struct buf *json, struct err *err)
{
    struct live_paths *paths = ARENA_NEW(ask->arena, struct live_paths);
    enum status status = paths_parse(ask, paths, err);
    if (status == ST_OK && ask->cell != NULL)
        status = live_paths_cell(ask, paths, err);
    if (status == ST_OK && paths->nodes <= paths->top)
        nodes_number(ask, paths);
    else if (status == ST_OK)
        status = nodes_rank(ask, paths, err);
    return status == ST_OK ? paths_count(ask, paths, json, err) : status;
}
