/* random_way.c - random questions about coming back and about ways: retention and paths, as joins
 * and windows. */
#include "random.h"

#include <stdio.h>

/* --- retention -------------------------------------------------------------------------------- */

struct asked {
    struct window window;
    const char *unit;
    unsigned periods;
    char start[96], back[96];
    bool any, unbounded, closed;
};

/* s: who started in which period d, and at which of their events; r: k periods later they were
 * there again. */
static void cohorts_sql(struct buf *sql, const struct asked *asked)
{
    long long from = asked->window.from, to = asked->window.to;
    buf_fmt(sql,
            "WITH e AS MATERIALIZED (SELECT person, i, t, name, plan, date_trunc('%s', "
            "make_timestamp((t + %lld) * 1000000)) AS d FROM ev WHERE %s), s AS MATERIALIZED (",
            asked->unit, (long long)asked->window.off, asked->window.where);
    if (asked->any)
        buf_fmt(sql,
                "SELECT person, d, min(i) AS i FROM e WHERE (%s) AND t >= %lld AND t < %lld GROUP "
                "BY person, d)",
                asked->start, from, to);
    else
        buf_fmt(sql,
                "SELECT person, arg_min(d, i) AS d, min(i) AS i FROM e WHERE %s GROUP BY person "
                "HAVING arg_min(t, i) >= %lld AND arg_min(t, i) < %lld)",
                asked->start, from, to);
    buf_fmt(sql,
            ", r AS MATERIALIZED (SELECT DISTINCT s.person, s.d, date_diff('%s', s.d, e.d) AS k "
            "FROM s JOIN e ON e.person = s.person AND e.i > s.i WHERE (%s)",
            asked->unit, asked->back);
    if (asked->closed)
        buf_fmt(sql, " AND t < %lld", to);
    put(sql, ")");
    if (asked->unbounded)
        buf_fmt(sql,
                ", u AS MATERIALIZED (SELECT person, d, q.k FROM (SELECT person, d, max(k) AS last "
                "FROM r GROUP BY person, d), range(0, %u) AS q(k) WHERE q.k <= last)",
                asked->periods + 1);
}

/* Each cell; each cohort; the curve, of the periods that are over. */
static void retention_sql(struct buf *sql, const struct asked *asked)
{
    static const char *const steps[] = {"to_days", "7 * to_days", "to_months"};
    const char *step = steps[asked->unit[0] == 'd' ? 0 : asked->unit[0] == 'w' ? 1 : 2];
    const char *from = asked->unbounded ? "u" : "r";
    long long off = asked->window.off, over = NOW_S;
    if (asked->closed && asked->window.to < over)
        over = asked->window.to;
    cohorts_sql(sql, asked);
    buf_fmt(sql,
            " SELECT strftime(d, '%%Y-%%m-%%d') || '|' || k AS key, count(*) AS returned, "
            "bit_xor(person) %% 1000003 AS who_returned FROM %s WHERE k <= %u GROUP BY d, k "
            "UNION ALL BY NAME SELECT strftime(d, '%%Y-%%m-%%d') AS key, count(*) AS people, "
            "bit_xor(person) %% 1000003 AS who_people FROM s GROUP BY d "
            "UNION ALL BY NAME SELECT 'curve|' || q.k AS key, count(*) AS people, count(b.person) "
            "AS returned%s FROM s CROSS JOIN range(0, %u) AS q(k) LEFT JOIN %s AS b ON b.person = "
            "s.person AND b.d = s.d AND b.k = q.k WHERE s.d + %s((q.k + 1)::INT) <= "
            "make_timestamp(%lld000000) GROUP BY q.k",
            from, asked->periods, asked->any ? "" : ", bit_xor(b.person) % 1000003 AS who_returned",
            asked->periods + 1, from, step, over + off);
}

void retention_make(struct question *question)
{
    static const char *const units[] = {"day", "week", "month"};
    struct asked asked = {.window = window_make(question)};
    struct buf *json = &question->json;
    const char *name;
    question->report = "retention";
    asked.unit = units[chance(4) == 0 ? 1 + chance(2) : 0];
    asked.periods = 1 + chance(12);
    put(json, ",\"start\":");
    event_make(json, asked.start, true, &name);
    put(json, ",\"return\":");
    event_make(json, asked.back, true, &name);
    asked.any = chance(2) == 0;
    buf_fmt(json, ",\"unit\":\"%s\",\"periods\":%u,\"cohort\":\"%s\"", asked.unit, asked.periods,
            asked.any ? "any" : "first");
    asked.unbounded = flag_make(json, "unbounded", 3);
    asked.closed = flag_make(json, "closed", 4);
    put(json, "}");
    retention_sql(&question->sql, &asked);
}

/* --- paths ------------------------------------------------------------------------------------ */

/* g: sessions; x: where the anchor is in its session; l: a path's nodes, numbered; the most
 * frequent ones of a level have their names, the others are one. */
static void nodes_sql(struct buf *sql, const struct window *window, const char *anchor, int gap,
                      bool cross, bool collapse, bool back)
{
    buf_fmt(sql,
            "WITH e AS (SELECT person, i, t, name, %s AS ch, (%s) AS a, lag(t) OVER o AS was FROM "
            "ev WHERE name <> '' AND (%s) AND t >= %lld AND t < %lld WINDOW o AS (PARTITION BY "
            "person ORDER BY i)), "
            "g AS (SELECT *, sum((was IS NULL OR t - was > %d)::INT) OVER (PARTITION BY person "
            "ORDER BY i) AS s FROM e), "
            "h AS (SELECT *, min(i) FILTER (WHERE a) OVER (PARTITION BY person, s) AS x FROM g), "
            "n AS (SELECT *, lag((name, ch)) OVER (PARTITION BY person, s ORDER BY i) AS before "
            "FROM h WHERE i %s x), "
            "l AS MATERIALIZED (SELECT person, s, name, ch, row_number() OVER (PARTITION BY "
            "person, s ORDER BY i%s) AS l FROM n WHERE %s)",
            cross ? "channel" : "''", anchor, window->where, (long long)window->from,
            (long long)window->to, gap, back ? "<=" : ">=", back ? " DESC" : "",
            collapse ? "before IS NULL OR before <> (name, ch)" : "true");
}

void paths_make(struct question *question)
{
    static const int gaps[] = {20, 600, 1800, 86400};
    struct buf *json = &question->json, *sql = &question->sql;
    char anchor[96] = "true";
    const char *name;
    question->report = "paths";
    struct window window = window_make(question);
    unsigned depth = 2 + chance(6), kind = chance(3), top = chance(2) == 0 ? 50 : 1 + chance(4);
    int gap = gaps[chance(4)];
    buf_fmt(json, ",\"depth\":%u,\"gap\":%d,\"top\":%u", depth, gap, top);
    bool cross = flag_make(json, "cross_channel", 3), collapse = chance(3) != 0;
    if (!collapse)
        put(json, ",\"collapse\":false");
    if (kind > 0) {
        buf_fmt(json, ",\"%s\":", kind == 1 ? "start" : "end");
        event_make(json, anchor, false, &name);
    }
    put(json, "}");
    nodes_sql(sql, &window, anchor, gap, cross, collapse, kind == 2);
    buf_fmt(sql,
            ", ranks AS MATERIALIZED (SELECT l, name, ch, row_number() OVER (PARTITION BY l ORDER "
            "BY count(*) DESC, name, ch) AS r FROM l WHERE l <= %u GROUP BY l, name, ch), "
            "m AS (SELECT person, s, l, CASE WHEN r <= %u THEN name || '|' || ch ELSE 'other|' END "
            "AS node FROM l JOIN ranks USING (l, name, ch)), "
            "f AS MATERIALIZED (SELECT *, lead(node) OVER (PARTITION BY person, s ORDER BY l) AS "
            "next FROM m) "
            "SELECT l || '|' || node || '|' || coalesce(next, '|') AS key, count(*) AS paths, "
            "count(DISTINCT person) AS people, bit_xor(DISTINCT person) %% 1000003 AS who_people "
            "FROM f WHERE l < %u GROUP BY l, node, next "
            "UNION ALL BY NAME SELECT 'node|' || l || '|' || node AS key, count(*) AS paths, "
            "count(DISTINCT person) AS people, bit_xor(DISTINCT person) %% 1000003 AS who_people "
            "FROM f GROUP BY l, node "
            "UNION ALL BY NAME SELECT 'root' AS key, count(*) AS paths, count(DISTINCT person) AS "
            "path_people FROM f WHERE l = 1",
            depth, top, depth);
}
