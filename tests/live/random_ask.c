/* random_ask.c - a random question, and what SQL says about the same.
 *
 * The SQL knows nothing of the reports: chains of a funnel are ASOF joins (each event to the newest
 * chain of one step less), retention and paths are joins and windows. Its rows are (key, value);
 * random.c reads the same keys out of a report.
 *
 * ev: person, i (place in the person's order), t (seconds), name, channel, plan; ev_all: nobody's
 * too. */
#include "random.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#define STEPS_MAX 4
#define NOW_S (NOW_US / US_PER_S)

struct window {
    int64_t from, to;  /* seconds */
    const char *where; /* SQL; "true" = none */
};

static void put(struct buf *buf, const char *text)
{
    buf_text(buf, text);
}

/* "from", "to", "where", with the brace before them. */
static struct window window_make(struct question *question)
{
    static const char *const wheres[] = {"[{\"channel\":\"app\"}]",
                                         "[{\"property\":\"plan\",\"op\":\"=\",\"value\":\"pro\"}]",
                                         "[{\"property\":\"plan\",\"op\":\"in\",\"value\":[\"pro\","
                                         "\"team\"]},{\"channel\":\"web\"}]"};
    static const char *const sql[] = {"channel = 'app'", "plan = 'pro'",
                                      "plan IN ('pro', 'team') AND channel = 'web'"};
    struct window window = {.where = "true"};
    int64_t midnight = NOW_S - NOW_S % 86400;
    int from_day = (int)chance(16), days = 1 + (int)chance(16);
    window.from = midnight - (from_day + 1) * INT64_C(86400);
    window.to = window.from + days * INT64_C(86400);
    if (window.to > midnight + 86400)
        window.to = midnight + 86400;
    char from[32], to[32];
    time_t a = window.from, b = window.to - 86400; /* "to" includes its day */
    struct tm parts;
    strftime(from, sizeof from, "%Y-%m-%d", gmtime_r(&a, &parts));
    strftime(to, sizeof to, "%Y-%m-%d", gmtime_r(&b, &parts));
    buf_fmt(&question->json, "{\"from\":\"%s\",\"to\":\"%s\"", from, to);
    if (chance(4) == 0) {
        uint32_t which = chance(3);
        buf_fmt(&question->json, ",\"where\":%s", wheres[which]);
        window.where = sql[which];
    }
    return window;
}

/* An event of a question: a name or any, sometimes with a condition; its SQL in `sql`. */
static void event_make(struct buf *json, char sql[96], bool can_be_any)
{
    uint32_t name = chance(can_be_any ? NAMES + 1 : NAMES);
    const char *text = name == NAMES ? "*" : names[name];
    char base[48] = "true";
    if (name < NAMES)
        snprintf(base, sizeof base, "name = '%s'", text);
    if (chance(5) != 0) {
        buf_fmt(json, "\"%s\"", text);
        snprintf(sql, 96, "%s", base);
    } else {
        const char *plan = plans[chance(PLANS)];
        buf_fmt(
            json,
            "{\"event\":\"%s\",\"where\":[{\"property\":\"plan\",\"op\":\"=\",\"value\":\"%s\"}]}",
            text, plan);
        snprintf(sql, 96, "%s AND plan = '%s'", base, plan);
    }
}

static bool flag_make(struct buf *json, const char *name, uint32_t of)
{
    if (chance(of) != 0)
        return false;
    buf_fmt(json, ",\"%s\":true", name);
    return true;
}

/* --- funnel ----------------------------------------------------------------------------------- */

struct asked_funnel {
    struct window window;
    unsigned steps;
    char conditions[STEPS_MAX][96];
    int64_t seconds, gaps[STEPS_MAX]; /* -1 = none */
    char spoil[96];
    unsigned after, before; /* 0 = nothing spoils */
    bool once, increase, hold, by_channel, closed, any_order;
};

static void funnel_members(struct question *question, struct asked_funnel *asked)
{
    static const int windows[] = {0, 20, 600, 7200, 86400, 3 * 86400, 8 * 86400};
    struct buf *json = &question->json;
    asked->seconds = windows[chance(7)];
    buf_fmt(json, ",\"window\":%d", (int)asked->seconds);
    asked->hold = chance(5) == 0;
    if (asked->hold)
        put(json, ",\"hold\":\"plan\"");
    asked->by_channel = chance(3) == 0;
    if (asked->by_channel)
        put(json, ",\"breakdown\":{\"by\":\"channel\"}");
    asked->closed = flag_make(json, "closed", 4);
    for (unsigned k = 0; k < STEPS_MAX; k++)
        asked->gaps[k] = -1;
    asked->once = true;
    if (asked->any_order) {
        put(json, ",\"order\":\"unordered\"");
        return;
    }
    asked->increase = chance(4) == 0;
    if (asked->increase)
        put(json, ",\"modes\":\"strict_increase\"");
    asked->once = chance(4) != 0;
    if (!asked->once)
        put(json, ",\"once\":false");
    if (asked->steps > 1 && chance(4) == 0) {
        put(json, ",\"step_windows\":[");
        for (unsigned k = 1; k < asked->steps; k++) {
            asked->gaps[k] = chance(2) == 0 ? -1 : windows[1 + chance(5)];
            buf_fmt(json, k == 1 ? "" : ",");
            if (asked->gaps[k] < 0)
                put(json, "null");
            else
                buf_fmt(json, "\"%ds\"", (int)asked->gaps[k]);
        }
        put(json, "]");
    }
    if (asked->steps > 1 && chance(4) == 0) {
        asked->after = 1 + chance(asked->steps - 1);
        asked->before = asked->after + 1 + chance(asked->steps - asked->after);
        put(json, ",\"exclusions\":[{\"event\":");
        event_make(json, asked->spoil, false);
        buf_fmt(json, ",\"after\":%u,\"before\":%u}]", asked->after, asked->before);
    }
}

/* Chains of k + 1 steps: every such event, joined to the newest chain of one step less. */
static void chain_sql(struct buf *sql, const struct asked_funnel *asked, unsigned k)
{
    if (k == 0) {
        buf_fmt(sql,
                ", c0 AS (SELECT person, h, i, t AS first, t AS last, i AS first_i, channel AS ch, "
                "[t] AS times FROM e WHERE %s AND t < %lld)",
                asked->conditions[0], (long long)asked->window.to);
        return;
    }
    buf_fmt(sql,
            ", c%u AS (SELECT e.person, e.h, e.i, c.first, e.t AS last, c.first_i, c.ch, "
            "list_append(c.times, e.t) AS times FROM (SELECT * FROM e WHERE %s) AS e "
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

static void ordered_sql(struct buf *sql, const struct asked_funnel *asked)
{
    for (unsigned k = 0; k < asked->steps; k++)
        chain_sql(sql, asked, k);
    put(sql, ", best AS (");
    for (unsigned k = 0; k < asked->steps; k++) /* a whole chain ends the search */
        buf_fmt(
            sql,
            "%sSELECT person, h, %u AS level, %s({'first_i': first_i, 'ch': ch, 'times': times}, "
            "i) AS c FROM c%u GROUP BY person, h",
            k == 0 ? "" : " UNION ALL ", k + 1, k + 1 == asked->steps ? "arg_min" : "arg_max", k);
    put(sql,
        "), way AS (SELECT DISTINCT ON (person) person, level, c.ch AS ch, c.times AS times FROM "
        "best ORDER BY person, level DESC, c.first_i DESC)");
}

/* Windows that begin at an event; of a level the newest one, a whole one ends the search. */
static void any_order_sql(struct buf *sql, const struct asked_funnel *asked)
{
    put(sql, ", s AS (");
    for (unsigned k = 0; k < asked->steps; k++)
        buf_fmt(sql, "%sSELECT person, h, i, t, channel, %u AS k FROM e WHERE %s",
                k == 0 ? "" : " UNION ALL ", k, asked->conditions[k]);
    buf_fmt(
        sql,
        "), w AS (SELECT a.person, a.h, a.i, any_value(a.channel) AS ch, count(DISTINCT b.k) AS "
        "level FROM s AS a JOIN s AS b ON a.person = b.person AND a.h = b.h AND b.i >= a.i AND "
        "b.t - a.t <= %lld WHERE a.t < %lld GROUP BY ALL), "
        "best AS (SELECT DISTINCT ON (person, h) person, h, level, i, ch FROM w ORDER BY person, "
        "h, level DESC, CASE WHEN level = %u THEN i ELSE -i END), "
        "way AS (SELECT DISTINCT ON (person) person, level, ch, NULL::BIGINT[] AS times FROM best "
        "ORDER BY person, level DESC, i DESC)",
        (long long)asked->seconds, (long long)asked->window.to, asked->steps);
}

static void funnel_make(struct question *question)
{
    struct asked_funnel asked = {.steps = 1 + chance(STEPS_MAX)};
    struct buf *json = &question->json, *sql = &question->sql;
    question->report = "funnel";
    asked.window = window_make(question);
    asked.any_order = chance(6) == 0;
    put(json, ",\"steps\":[");
    for (unsigned k = 0; k < asked.steps; k++) {
        put(json, k == 0 ? "" : ",");
        if (asked.any_order) { /* of different events */
            buf_fmt(json, "\"%s\"", names[k]);
            snprintf(asked.conditions[k], sizeof asked.conditions[k], "name = '%s'", names[k]);
        } else {
            event_make(json, asked.conditions[k], chance(6) == 0);
        }
    }
    put(json, "]");
    funnel_members(question, &asked);
    put(json, "}");
    int64_t end = asked.window.to + (asked.closed ? 0 : asked.seconds);
    buf_fmt(sql, "WITH e AS (SELECT *, %s AS h FROM ev WHERE %s AND %s AND t >= %lld AND t < %lld)",
            asked.hold ? "plan" : "''", asked.window.where,
            asked.hold ? "plan IS NOT NULL" : "true", (long long)asked.window.from, (long long)end);
    if (asked.any_order)
        any_order_sql(sql, &asked);
    else
        ordered_sql(sql, &asked);
    const char *value = asked.by_channel ? "ch" : "''";
    buf_fmt(
        sql,
        ", r AS (SELECT %s AS v, k, times, level FROM way, range(1, %u) AS q(k) WHERE level >= k) "
        "SELECT v || '|' || k || '|people', count(*)::DOUBLE FROM r GROUP BY v, k",
        value, asked.steps + 1);
    if (!asked.any_order)
        put(sql,
            " UNION ALL SELECT v || '|' || k || '|mean_seconds', avg(times[k] - times[k - 1]) FROM "
            "r WHERE k > 1 GROUP BY v, k UNION ALL SELECT v || '|' || k || '|median_seconds', "
            "quantile_cont(times[k] - times[k - 1], 0.5) FROM r WHERE k > 1 GROUP BY v, k UNION "
            "ALL "
            "SELECT v || '|' || k || '|p90_seconds', quantile_cont(times[k] - times[k - 1], 0.9) "
            "FROM r WHERE k > 1 GROUP BY v, k");
}

/* --- retention -------------------------------------------------------------------------------- */

static void retention_make(struct question *question)
{
    static const char *const units[] = {"day", "week", "month"};
    struct buf *json = &question->json, *sql = &question->sql;
    char start[96], back[96];
    question->report = "retention";
    struct window window = window_make(question);
    const char *unit = units[chance(4) == 0 ? 1 + chance(2) : 0];
    unsigned periods = 1 + chance(12);
    long long off = chance(2) == 0 ? 0 : 8 * 3600;
    if (off != 0)
        put(json, ",\"zone\":\"Asia/Shanghai\"");
    put(json, ",\"start\":");
    event_make(json, start, true);
    put(json, ",\"return\":");
    event_make(json, back, true);
    bool any = chance(2) == 0;
    buf_fmt(json, ",\"unit\":\"%s\",\"periods\":%u,\"cohort\":\"%s\"", unit, periods,
            any ? "any" : "first");
    bool unbounded = flag_make(json, "unbounded", 3), closed = flag_make(json, "closed", 4);
    put(json, "}");
    long long from = window.from - off, to = window.to - off; /* the same days there */
    buf_fmt(
        sql,
        "WITH e AS (SELECT *, date_trunc('%s', make_timestamp((t + %lld) * 1000000)) AS d FROM ev "
        "WHERE %s), ",
        unit, off, window.where);
    if (any)
        buf_fmt(sql,
                "s AS (SELECT person, d, min(i) AS i FROM e WHERE %s AND t >= %lld AND t < %lld "
                "GROUP BY "
                "person, d), ",
                start, from, to);
    else
        buf_fmt(
            sql,
            "s AS (SELECT person, arg_min(d, i) AS d, min(i) AS i FROM e WHERE %s GROUP BY person "
            "HAVING arg_min(t, i) >= %lld AND arg_min(t, i) < %lld), ",
            start, from, to);
    buf_fmt(
        sql,
        "r AS (SELECT s.person, s.d, date_diff('%s', s.d, e.d) AS k FROM s JOIN e ON e.person = "
        "s.person AND e.i > s.i WHERE (%s)%s",
        unit, back, closed ? "" : ")");
    if (closed)
        buf_fmt(sql, " AND t < %lld)", to);
    if (unbounded)
        buf_fmt(
            sql,
            ", u AS (SELECT person, d, q.k FROM (SELECT person, d, max(k) AS last FROM r GROUP BY "
            "person, d), range(0, %u) AS q(k) WHERE q.k <= last)",
            periods + 1);
    buf_fmt(
        sql,
        " SELECT strftime(d, '%%Y-%%m-%%d') || '|' || k, count(DISTINCT person)::DOUBLE FROM %s "
        "WHERE k <= %u GROUP BY d, k UNION ALL SELECT strftime(d, '%%Y-%%m-%%d') || '|people', "
        "count(*)::DOUBLE FROM s GROUP BY d",
        unbounded ? "u" : "r", periods);
}

/* --- paths ------------------------------------------------------------------------------------ */

static void paths_make(struct question *question)
{
    static const int gaps[] = {20, 600, 1800, 86400};
    struct buf *json = &question->json, *sql = &question->sql;
    char anchor[96] = "true";
    question->report = "paths";
    struct window window = window_make(question);
    unsigned depth = 2 + chance(6), kind = chance(3);
    int gap = gaps[chance(4)];
    buf_fmt(json, ",\"depth\":%u,\"gap\":%d,\"top\":50", depth, gap);
    bool cross = flag_make(json, "cross_channel", 3), collapse = chance(3) != 0;
    if (!collapse)
        put(json, ",\"collapse\":false");
    if (kind > 0) {
        buf_fmt(json, ",\"%s\":", kind == 1 ? "start" : "end");
        event_make(json, anchor, false);
    }
    put(json, "}");
    buf_fmt(
        sql,
        "WITH e AS (SELECT person, i, t, %s AS node, (%s) AS a, lag(t) OVER o AS was FROM ev WHERE "
        "name <> '' AND "
        "%s AND t >= %lld AND t < %lld WINDOW o AS (PARTITION BY person ORDER BY i)), "
        "g AS (SELECT *, sum((was IS NULL OR t - was > %d)::INT) OVER (PARTITION BY person ORDER "
        "BY "
        "i) AS s FROM e), "
        "h AS (SELECT *, min(i) FILTER (WHERE a) OVER (PARTITION BY person, s) AS x FROM g), "
        "n AS (SELECT *, lag(node) OVER (PARTITION BY person, s ORDER BY i) AS before FROM h WHERE "
        "%s), "
        "l AS (SELECT *, row_number() OVER (PARTITION BY person, s ORDER BY i%s) AS l FROM n WHERE "
        "%s), "
        "m AS (SELECT *, lead(node) OVER (PARTITION BY person, s ORDER BY l) AS next FROM l WHERE "
        "l "
        "<= %u) "
        "SELECT l || '|' || node || '|' || coalesce(next, '') || '|paths', count(*)::DOUBLE FROM m "
        "WHERE l < %u GROUP BY l, node, next UNION ALL "
        "SELECT l || '|' || node || '|' || coalesce(next, '') || '|people', count(DISTINCT "
        "person)::DOUBLE FROM m WHERE l < %u GROUP BY l, node, next",
        cross ? "name || '/' || channel" : "name", anchor, window.where, (long long)window.from,
        (long long)window.to, gap, kind == 2 ? "i <= x" : "i >= x", kind == 2 ? " DESC" : "",
        collapse ? "before IS NULL OR before <> node" : "true", depth, depth, depth);
}

/* --- trend, lifecycle ------------------------------------------------------------------------- */

static void trend_make(struct question *question)
{
    static const char *const units[] = {"hour", "day", "week", "month"};
    struct buf *json = &question->json, *sql = &question->sql;
    char event[96];
    question->report = "trend";
    struct window window = window_make(question);
    const char *unit = units[chance(4)];
    bool by_channel = chance(2) == 0;
    put(json, ",\"event\":");
    event_make(json, event, true);
    buf_fmt(json, ",\"unit\":\"%s\"%s}", unit,
            by_channel ? ",\"breakdown\":{\"by\":\"channel\"}" : "");
    const char *format = strcmp(unit, "hour") == 0 ? "%Y-%m-%dT%H:%M" : "%Y-%m-%d";
    buf_fmt(
        sql,
        "WITH e AS (SELECT person, strftime(date_trunc('%s', make_timestamp(t * 1000000)), '%s') "
        "|| "
        "'|' || %s AS k FROM ev_all WHERE %s AND %s AND t >= %lld AND t < %lld) "
        "SELECT k || '|count', count(*)::DOUBLE FROM e GROUP BY k UNION ALL SELECT k || '|people', "
        "count(DISTINCT person) FILTER (WHERE person <> 0)::DOUBLE FROM e GROUP BY k",
        unit, format, by_channel ? "coalesce(channel, '')" : "''", event, window.where,
        (long long)window.from, (long long)window.to);
}

static void lifecycle_make(struct question *question)
{
    struct buf *json = &question->json, *sql = &question->sql;
    char event[96];
    question->report = "lifecycle";
    struct window window = window_make(question);
    put(json, ",\"event\":");
    event_make(json, event, true);
    put(json, ",\"unit\":\"day\"}");
    buf_fmt(
        sql,
        "WITH a AS (SELECT DISTINCT person, t // 86400 AS d FROM ev WHERE %s AND %s AND t < %lld), "
        "b AS (SELECT *, lag(d) OVER (PARTITION BY person ORDER BY d) AS was, lead(d) OVER "
        "(PARTITION BY person ORDER BY d) AS after FROM a), "
        "c AS (SELECT d, CASE WHEN was IS NULL THEN 'new' WHEN was = d - 1 THEN 'returning' ELSE "
        "'resurrecting' END AS s FROM b UNION ALL SELECT d + 1, 'dormant' FROM b WHERE after IS "
        "NULL "
        "OR after > d + 1) "
        "SELECT strftime(make_timestamp(d * 86400000000), '%%Y-%%m-%%d') || '|' || s, "
        "count(*)::DOUBLE FROM c WHERE d * 86400 >= %lld AND d * 86400 < %lld GROUP BY d, s",
        event, window.where, (long long)window.to, (long long)window.from, (long long)window.to);
}

void question_make(struct question *question)
{
    uint32_t kind = chance(20);
    buf_reset(&question->json);
    buf_reset(&question->sql);
    if (kind < 10)
        funnel_make(question);
    else if (kind < 13)
        retention_make(question);
    else if (kind < 16)
        paths_make(question);
    else if (kind < 18)
        trend_make(question);
    else
        lifecycle_make(question);
}
