/* identity_pair.c - the edges of one pair: the earliest since the unbind, and the newest.
 *
 * A pair that is seen each day for a year has made thousands of edges, and the fold asks one thing:
 * which is the earliest after the latest unbind? While unbinds come in order that is one edge. A
 * LATE unbind voids edges that arrived before it, and then the earliest one behind it must still be
 * here: so the newest IDENTITY_EDGES_KEPT - 1 stay too. That makes the answer exact, in any arrival
 * order, unless more edges of this one pair than that are already here with a later time than an
 * unbind that arrives after them; then the oldest one kept stands for it. README.md says what that
 * means.
 *
 * Invariants: edges ascend by (time, message); all live, or exactly one void one. */
#include "identity/identity_int.h"

static int edge_compare(const struct edge *x, const struct edge *y)
{
    if (x->time_us != y->time_us)
        return x->time_us < y->time_us ? -1 : 1;
    return hash128_compare(x->message, y->message);
}

static void edges_remove(struct pair *pair, uint8_t at)
{
    memmove(&pair->edges[at], &pair->edges[at + 1],
            (size_t)(pair->kept - at - 1) * sizeof pair->edges[0]);
    pair->kept--;
}

/* Room is made where nothing is lost that a late unbind would ask for: behind the earliest. */
static void edges_insert(struct pair *pair, const struct edge *edge)
{
    uint8_t at = 0;
    while (at < pair->kept && edge_compare(&pair->edges[at], edge) < 0)
        at++;
    if (pair->kept == IDENTITY_EDGES_KEPT) {
        if (at == 1)
            return; /* older than all of the newest */
        edges_remove(pair, at == 0 ? 0 : 1);
        at = at == 0 ? 0 : (uint8_t)(at - 1);
    }
    memmove(&pair->edges[at + 1], &pair->edges[at],
            (size_t)(pair->kept - at) * sizeof pair->edges[0]);
    pair->edges[at] = *edge;
    pair->kept++;
}

bool pair_add_edge(struct pair *pair, const struct edge *edge)
{
    if (edge->time_us <= pair->unbound_us) {
        if (pair->kept == 0 || (!pair_live(pair) && edge_compare(&pair->edges[0], edge) < 0)) {
            pair->edges[0] = *edge;
            pair->kept = 1;
        }
        return false;
    }
    if (!pair_live(pair)) {
        pair->edges[0] = *edge;
        pair->kept = 1;
        return true;
    }
    bool first = edge_compare(edge, &pair->edges[0]) < 0;
    edges_insert(pair, edge);
    return first;
}

bool pair_unbind(struct pair *pair, int64_t time_us)
{
    if (time_us <= pair->unbound_us)
        return false;
    bool moved = pair_live(pair) && pair->edges[0].time_us <= time_us;
    pair->unbound_us = time_us;
    while (pair->kept > 1 && pair->edges[0].time_us <= time_us)
        edges_remove(pair, 0);
    return moved;
}
