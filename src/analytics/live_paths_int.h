/* live_paths_int.h - what the files of the live report on paths share. */
#ifndef ANALYTICS_LIVE_PATHS_INT_H
#define ANALYTICS_LIVE_PATHS_INT_H

#include "analytics/live_int.h"

#define LIVE_DEPTH_MAX 10

struct live_path_count {
    uint64_t paths;
    uint32_t people, stamp; /* stamp: who was counted last */
};

/* [depth × wide] nodes by rank, [depth × wide × wide] edges; wide = top + 2: the rest, the end. */
struct live_path_counts {
    struct live_path_count *nodes, *edges, all;
    uint32_t stamp;
};

enum live_path_kind { LIVE_PATH_NODE, LIVE_PATH_REST, LIVE_PATH_END };
struct live_path_want {
    enum live_path_kind kind;
    uint32_t node;
};

struct live_paths {
    struct live_event anchor;
    bool has_anchor, backwards, cross_channel, collapse;
    uint32_t depth, top;
    int64_t gap;
    uint32_t names, nodes;
    uint32_t nameless;    /* the code of the empty name, or NONE */
    uint32_t *channel_of; /* by origin: the channel's first node */
    uint32_t *rank;       /* [depth × nodes]; top = the rest */
    uint32_t *ranked;     /* [depth × top] nodes, the most frequent first */
    uint32_t ranked_count[LIVE_DEPTH_MAX];

    /* Of a cell. */
    uint32_t want_level;
    bool want_edge;
    struct live_path_want want_from, want_to;
};

/* live_paths_put.c */
/* Two nodes by their texts: numbers are others after a restart. */
int live_paths_order(const struct live_ask *ask, const struct live_paths *paths, uint32_t a,
                     uint32_t b);
MUST_USE enum status live_paths_cell(struct live_ask *ask, struct live_paths *paths,
                                     struct err *err);
void live_paths_put(const struct live_ask *ask, const struct live_paths *paths,
                    const struct live_path_counts *counts, struct buf *json);
#endif
