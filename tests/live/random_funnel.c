/* random_funnel.c - a random funnel, and the same as joins.
 *
 * c0, c1 …: chains of 1, 2 … steps, each event joined to the newest chain of one step less (ASOF).
 * way: of each person the chain that counts. In any order: windows that begin at an event. Strict:
 * the same chains, of the events before the first one that breaks the order. */
#include "random.h"

#include <stdio.h>

#define STEPS_MAX 4

enum order { ORDERED, ANY_ORDER, STRICT, REENTRY };

struct asked {
    struct window now;
    struct breakdown breakdown;
    unsigned steps;
    char conditions[STEPS_MAX][96], taken[200];
    int64_t seconds, gaps[STEPS_MAX]; /* -1 = none */
    char spoil[96];
    unsigned after, before; /* 0 = nothing spoils */
    enum order order;
    bool once, increase, hold, closed;
};

static const int lengths[] = {0, 20, 600, 7200, 86400, 3 * 86400, 8 * 86400};

/* --- the question ----------------------------------------------------------------------------- */

static void steps_make(struct question *question, struct asked *asked)
{
    struct buf *json = &question->json;
    bool any = false, can_be_any = chance(6) == 0;
    size_t n = 0;
    put(json, ",\"steps\":[");
    for (unsigned k = 0; k < asked->steps; k++) {
        const char *name = names[k];
        put(json, k == 0 ? "" : ",");
        if (asked->order == ORDERED) {
            event_make(json, asked->conditions[k], can_be_any, &name);
        } else { /* of different events */
            const char *plan = asked->order != ANY_ORDER && chance(5) == 0 ? plans[k % PLANS] : "";
            buf_fmt(json,
                    plan[0] == '\0' ? "\"%s\""
                                    : "{\"event\":\"%s\",\"where\":[{\"property\":\"plan\","
                                      "\"op\":\"=\",\"value\":\"%s\"}]}",
                    name, plan);
            snprintf(asked->conditions[k], sizeof asked->conditions[k],
                     plan[0] == '\0' ? "name = '%s'"
                                     : "name = '%s' AND coalesce(plan = '%s', false)",
                     name, plan);
        }
        any = any || name == NULL;
        n += (size_t)snprintf(asked->taken + n, sizeof asked->taken - n, "%sname = '%s'",
                              k == 0 ? "" : " OR ", name == NULL ? "" : name);
    }
    put(json, "]");
    if (any)
        snprintf(asked->taken, sizeof asked->taken, "true");
}

static void gaps_make(struct buf *json, struct asked *asked)
{
    put(json, ",\"step_windows\":[");
    for (unsigned k = 1; k < asked->steps; k++) {
        asked->gaps[k] = chance(2) == 0 ? -1 : lengths[1 + chance(5)];
        put(json, k == 1 ? "" : ",");
        if (asked->gaps[k] < 0)
            put(json, "null");
        else
            buf_fmt(json, "\"%ds\"", (int)asked->gaps[k]);
    }
    put(json, "]");
}

static void ordered_make(struct buf *json, struct asked *asked)
{
    const char *name;
    asked->increase = chance(4) == 0;
    if (asked->increase)
        put(json, ",\"modes\":\"strict_increase\"");
    asked->once = chance(4) != 0;
    if (!asked->once)
        put(json, ",\"once\":false");
    if (asked->steps > 1 && chance(4) == 0)
        gaps_make(json, asked);
    if (asked->steps > 1 && chance(4) == 0) {
        asked->after = 1 + chance(asked->steps - 1);
        asked->before = asked->after + 1 + chance(asked->steps - asked->after);
        put(json, ",\"exclusions\":[{\"event\":");
        event_make(json, asked->spoil, false, &name);
        buf_fmt(json, ",\"after\":%u,\"before\":%u}]", asked->after, asked->before);
    }
}

static void members_make(struct question *question, struct asked *asked)
{
    struct buf *json = &question->json;
    asked->seconds = lengths[chance(7)];
    buf_fmt(json, ",\"window\":%d", (int)asked->seconds);
    asked->hold = chance(5) == 0;
    if (asked->hold)
        put(json, ",\"hold\":\"plan\"");
    asked->breakdown = breakdown_make(question, 3);
    asked->closed = flag_make(json, "closed", 4);
    asked->once = true;
    for (unsigned k = 0; k < STEPS_MAX; k++)
        asked->gaps[k] = -1;
    if (asked->order == ORDERED)
        ordered_make(json, asked);
    else if (asked->order == ANY_ORDER)
        put(json, ",\"order\":\"unordered\"");
    else if (asked->order == STRICT)
        put(json, ",\"order\":\"strict\"");
    else
        put(json, ",\"modes\":\"strict_order,allow_reentry\"");
}

/* --- chains ----------------------------------------------------------------------------------- */

static void chain_sql(struct buf *sql, const struct asked *asked, const struct window *window,
                      unsigned k)
{
    if (k == 0) {
        buf_fmt(
            sql,
            ", c0 AS MATERIALIZED (SELECT person, h, i, t AS first, t AS last, i AS first_i, v, "
            "[t] AS times FROM e WHERE (%s) AND t < %lld)",
            asked->conditions[0], (long long)window->to);
        return;
    }
    buf_fmt(sql,
            ", c%u AS MATERIALIZED (SELECT e.person, e.h, e.i, c.first, e.t AS last, c.first_i, "
            "c.v, list_append(c.times, e.t) AS times FROM (SELECT * FROM e WHERE %s) AS e "
            "ASOF JOIN c%u AS c ON e.person = c.person AND e.h = c.h AND e.i %s c.i "
            "WHERE e.t - c.first <= %lld",
            k, asked->conditions[k], k - 1, asked->once ? ">" : ">=", (long long)asked->seconds);
    if (asked->gaps[k] >= 0)
        buf_fmt(sql, " AND e.t - c.last <= %lld", (long long)asked->gaps[k]);
    if (asked->increase)
        put(sql, " AND e.t > c.last");
    if (asked->after > 0 && k >= asked->after && k < asked->before)
        buf_fmt(sql,
                " AND NOT EXISTS (SELECT 1 FROM e AS x WHERE x.person = e.person AND x.h = e.h AND "
                "x.i > c.i AND x.i <= e.i AND (%s))",
                asked->spoil);
    put(sql, ")");
}

/* The first event after a start that is no step, a step that has no chain before it, or step 1
 * after step 2. What comes from there on does not count. */
static void breaks_sql(struct buf *sql, const struct asked *asked, const struct window *window)
{
    put(sql, ", m AS MATERIALIZED (SELECT person, h, min(i) AS m0");
    for (unsigned k = 1; k < asked->steps; k++)
        buf_fmt(sql,
                ", (SELECT min(i) FROM c%u AS x WHERE x.person = c0.person AND x.h = c0.h) AS "
                "m%u",
                k, k);
    put(sql, " FROM c0 GROUP BY person, h), "
             "b AS MATERIALIZED (SELECT person, h, min(i) AS stop FROM e JOIN m USING (person, h) "
             "WHERE i > m0 AND CASE");
    for (unsigned k = asked->steps; k-- > 0;) {
        buf_fmt(sql, " WHEN (%s)", asked->conditions[k]);
        if (k == 0)
            buf_fmt(sql, " AND t < %lld", (long long)window->to);
        if (k == 0 && asked->order == STRICT && asked->steps > 1)
            put(sql, " THEN coalesce(m1 < i, false)");
        else if (k > 1)
            buf_fmt(sql, " THEN NOT coalesce(m%u < i, false)", k - 1);
        else
            put(sql, " THEN false");
    }
    put(sql, " ELSE true END GROUP BY person, h)");
}

static void chains_sql(struct buf *sql, const struct asked *asked, const struct window *window)
{
    bool strict = asked->order == STRICT || asked->order == REENTRY;
    for (unsigned k = 0; k < asked->steps; k++)
        chain_sql(sql, asked, window, k);
    if (strict)
        breaks_sql(sql, asked, window);
    put(sql, ", best AS (");
    for (unsigned k = 0; k < asked->steps; k++) /* a whole chain ends the search */
        buf_fmt(sql,
                "%sSELECT person, h, %u AS level, %s({'first_i': first_i, 'v': v, 'times': times}, "
                "i) AS c FROM c%u%s GROUP BY person, h",
                k == 0 ? "" : " UNION ALL ", k + 1, k + 1 == asked->steps ? "arg_min" : "arg_max",
                k,
                strict ? " LEFT JOIN b USING (person, h) WHERE b.stop IS NULL OR i < b.stop" : "");
    put(sql, "), way AS MATERIALIZED (SELECT DISTINCT ON (person) person, level, c.v AS v, c.times "
             "AS times FROM best ORDER BY person, level DESC, c.first_i DESC)");
}

/* Windows that begin at an event; of a level the newest one, a whole one ends the search. */
static void any_order_sql(struct buf *sql, const struct asked *asked, const struct window *window)
{
    put(sql, ", s AS MATERIALIZED (");
    for (unsigned k = 0; k < asked->steps; k++)
        buf_fmt(sql, "%sSELECT person, h, i, t, v, %u AS k FROM e WHERE %s",
                k == 0 ? "" : " UNION ALL ", k, asked->conditions[k]);
    buf_fmt(
        sql,
        "), d AS (SELECT a.person, a.h, a.i, any_value(a.v) AS v, b.k, min(b.t) AS t FROM s AS a "
        "JOIN s AS b ON a.person = b.person AND a.h = b.h AND b.i >= a.i AND b.t - a.t <= %lld "
        "WHERE a.t < %lld GROUP BY ALL), "
        "w AS (SELECT person, h, i, any_value(v) AS v, count(*) AS level, list_sort(list(t)) AS "
        "times FROM d GROUP BY ALL), "
        "best AS (SELECT DISTINCT ON (person, h) * FROM w ORDER BY person, h, level DESC, CASE "
        "WHEN "
        "level = %u THEN i ELSE -i END), "
        "way AS MATERIALIZED (SELECT DISTINCT ON (person) person, level, v, times FROM best ORDER "
        "BY person, level DESC, i DESC)",
        (long long)asked->seconds, (long long)window->to, asked->steps);
}

/* --- numbers ---------------------------------------------------------------------------------- */

static void way_sql(struct buf *sql, const struct asked *asked, const struct window *window)
{
    int64_t end = window->to + (asked->closed ? 0 : asked->seconds);
    buf_fmt(sql, "WITH x AS (SELECT 1)");
    breakdown_sql(sql, &asked->breakdown, &asked->now, asked->taken);
    buf_fmt(sql, ", e AS MATERIALIZED (SELECT person, i, t, name, plan, %s AS h, ",
            asked->hold ? "plan" : "''");
    breakdown_value(sql, &asked->breakdown, asked->breakdown.column);
    buf_fmt(sql, " AS v FROM ev WHERE (%s) AND %s AND t >= %lld AND t < %lld)", window->where,
            asked->hold ? "plan IS NOT NULL" : "true", (long long)window->from, (long long)end);
    if (asked->order == ANY_ORDER)
        any_order_sql(sql, asked, window);
    else
        chains_sql(sql, asked, window);
}

static void funnel_sql(struct buf *sql, const struct asked *asked)
{
    bool by = asked->breakdown.column[0] != '\0';
    way_sql(sql, asked, &asked->now);
    buf_fmt(sql,
            ", r AS MATERIALIZED (SELECT person, v, k, level, times[k] - times[k - 1] AS s FROM "
            "way, range(1, %u) AS q(k) WHERE level >= k - 1) ",
            asked->steps + 1);
    put(sql, "SELECT v || '|' || k AS key, count(*) FILTER (level >= k) AS people, bit_xor(person) "
             "FILTER (level >= k) % 1000003 AS who_people, count(*) FILTER (level = k - 1) AS "
             "dropped, bit_xor(person) FILTER (level = k - 1) % 1000003 AS who_dropped, avg(s) "
             "FILTER (level >= k) AS mean_seconds, quantile_cont(s, 0.5) FILTER (level >= k) AS "
             "median_seconds, quantile_cont(s, 0.9) FILTER (level >= k) AS p90_seconds FROM r "
             "GROUP BY v, k ");
    if (by)
        put(sql, "UNION ALL BY NAME SELECT 'total|' || k AS key, count(*) FILTER (level >= k) AS "
                 "people, bit_xor(person) FILTER (level >= k) % 1000003 AS who_people, count(*) "
                 "FILTER (level = k - 1) AS dropped, bit_xor(person) FILTER (level = k - 1) % "
                 "1000003 AS who_dropped FROM r GROUP BY k ");
    buf_fmt(sql,
            "UNION ALL BY NAME SELECT 'root' AS key, count(*) AS entered, count(*) FILTER (level = "
            "%u) AS converted, count(*) FILTER (level < %u AND times[1] + %lld >= %lld) AS "
            "window_open",
            asked->steps, asked->steps, (long long)asked->seconds, (long long)NOW_S);
    if (asked->steps > 1)
        buf_fmt(sql,
                ", avg(times[%u] - times[1]) AS conversion_mean_seconds, quantile_cont(times[%u] - "
                "times[1], 0.5) AS conversion_median_seconds, quantile_cont(times[%u] - times[1], "
                "0.9) AS conversion_p90_seconds",
                asked->steps, asked->steps, asked->steps);
    put(sql, " FROM way");
}

static void before_sql(struct buf *sql, const struct asked *asked, const struct window *window)
{
    way_sql(sql, asked, window);
    buf_fmt(
        sql,
        " SELECT CASE WHEN grouping(v) = 1 THEN 'total' ELSE v END || '|' || k AS key, count(*) "
        "AS previous_people, bit_xor(person) %% 1000003 AS who_previous_people FROM way, "
        "range(1, %u) AS q(k) WHERE level >= k GROUP BY GROUPING SETS ((v, k)%s)",
        asked->steps + 1, asked->breakdown.column[0] != '\0' ? ", (k)" : "");
}

void funnel_make(struct question *question)
{
    static const enum order orders[] = {ORDERED, ORDERED, ORDERED, ANY_ORDER, STRICT, REENTRY};
    struct asked asked = {.steps = 1 + chance(STEPS_MAX), .order = orders[chance(6)]};
    question->report = "funnel";
    asked.now = window_make(question);
    steps_make(question, &asked);
    members_make(question, &asked);
    asked.breakdown.compare = chance(4) == 0;
    if (asked.breakdown.compare) {
        struct window before = window_before(&asked.now);
        put(&question->json, ",\"compare\":\"previous\"");
        before_sql(&question->sql_before, &asked, &before);
    }
    put(&question->json, "}");
    funnel_sql(&question->sql, &asked);
}
