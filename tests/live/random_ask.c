/* random_ask.c - a random question, and what SQL says about the same: what questions have in
 * common; trend, lifecycle, stickiness.
 *
 * The SQL knows nothing of the reports. Its rows are a key and numbers; random_read.c reads the
 * same keys and numbers out of a report.
 *
 * ev: person, i (place in the person's order), t (seconds), name, channel, campaign, plan, n (a
 * text), amount (a decimal); ev_all: nobody's too. A channel or campaign that is not there is the
 * empty text, a property NULL. */
#include "random.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#define NOVEMBER INT64_C(1793491200)
#define MONTH_S (30 * INT64_C(86400))
#define OCTOBER (NOVEMBER - 31 * INT64_C(86400))

static const char *const unit_names[] = {"hour", "day", "week", "month"};

void put(struct buf *buf, const char *text)
{
    buf_text(buf, text);
}

/* --- windows ---------------------------------------------------------------------------------- */

struct window window_make(struct question *question)
{
    static const char *const wheres[] = {
        "[{\"channel\":\"app\"}]", "[{\"property\":\"plan\",\"op\":\"=\",\"value\":\"pro\"}]",
        "[{\"property\":\"plan\",\"op\":\"in\",\"value\":[\"pro\",\"team\"]},{\"channel\":\"web\"}"
        "]",
        "[{\"property\":\"n\",\"op\":\">\",\"value\":2}]", "[{\"campaign\":\"c1\",\"op\":\"!=\"}]"};
    static const char *const sql[] = {
        "channel = 'app'", "plan = 'pro'", "plan IN ('pro', 'team') AND channel = 'web'",
        "coalesce(TRY_CAST(n AS DOUBLE) > 2, false)", "campaign <> 'c1'"};
    struct window window = {.where = "true"};
    int64_t midnight = NOW_S - NOW_S % 86400;
    int from_day = (int)chance(16), days = 1 + (int)chance(16);
    window.from = midnight - (from_day + 1) * INT64_C(86400);
    window.to = window.from + days * INT64_C(86400);
    if (window.to > midnight + 86400)
        window.to = midnight + 86400;
    if (chance(8) == 0) {
        window.from = NOVEMBER;
        window.to = NOVEMBER + MONTH_S;
    }
    char from[32], to[32];
    time_t a = window.from, b = window.to - 86400; /* "to" includes its day */
    struct tm parts;
    strftime(from, sizeof from, "%Y-%m-%d", gmtime_r(&a, &parts));
    strftime(to, sizeof to, "%Y-%m-%d", gmtime_r(&b, &parts));
    buf_fmt(&question->json, "{\"from\":\"%s\",\"to\":\"%s\"", from, to);
    if (chance(3) == 0) {
        put(&question->json, ",\"zone\":\"Asia/Shanghai\"");
        window.off = INT64_C(8) * 3600; /* the same days there */
        window.from -= window.off;
        window.to -= window.off;
    }
    if (chance(4) == 0) {
        uint32_t which = chance(5);
        buf_fmt(&question->json, ",\"where\":%s", wheres[which]);
        window.where = sql[which];
    }
    return window;
}

struct window window_before(const struct window *window)
{
    struct window before = *window;
    before.to = window->from;
    before.from = window->from - (window->to - window->from);
    if (window->from + window->off == NOVEMBER && window->to - window->from == MONTH_S)
        before.from = OCTOBER - window->off; /* a whole month */
    return before;
}

/* --- events and values ------------------------------------------------------------------------ */

void event_make(struct buf *json, char sql[96], bool can_be_any, const char **ret_name)
{
    uint32_t name = chance(can_be_any ? NAMES + 1 : NAMES);
    const char *text = name == NAMES ? "*" : names[name];
    char base[48] = "true";
    *ret_name = name == NAMES ? NULL : text;
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
        snprintf(sql, 96, "%s AND coalesce(plan = '%s', false)", base, plan);
    }
}

bool flag_make(struct buf *json, const char *name, uint32_t of)
{
    if (chance(of) != 0)
        return false;
    buf_fmt(json, ",\"%s\":true", name);
    return true;
}

struct breakdown breakdown_make(struct question *question, uint32_t of)
{
    static const char *const columns[] = {"channel", "campaign", "plan", "n"};
    struct breakdown breakdown = {.column = ""};
    if (chance(of) != 0)
        return breakdown;
    uint32_t which = chance(4);
    breakdown.column = columns[which];
    breakdown.top = chance(3) == 0 ? 10 : 1 + chance(CHANNELS);
    buf_fmt(&question->json,
            which < 2 ? ",\"breakdown\":{\"by\":\"%s\""
                      : ",\"breakdown\":{\"by\":\"property\",\"property\":\"%s\"",
            breakdown.column);
    if (breakdown.top != 10)
        buf_fmt(&question->json, ",\"top\":%u", breakdown.top);
    put(&question->json, "}");
    return breakdown;
}

void breakdown_sql(struct buf *sql, const struct breakdown *breakdown, const struct window *window,
                   const char *taken)
{
    const char *column = breakdown->column;
    struct window before = window_before(window);
    long long from = window->from, oldest = breakdown->compare ? before.from : window->from;
    if (column[0] != '\0')
        buf_fmt(sql,
                ", val AS (SELECT %s AS c FROM ev_all WHERE %s <> '' AND (%s) AND (%s) AND t >= "
                "%lld AND t < %lld GROUP BY c ORDER BY count(*) FILTER (t >= %lld) DESC, count(*) "
                "DESC, c LIMIT %u)",
                column, column, taken, window->where, oldest, (long long)window->to, from,
                breakdown->top);
}

void breakdown_value(struct buf *sql, const struct breakdown *breakdown, const char *column)
{
    if (breakdown->column[0] == '\0')
        put(sql, "''");
    else
        buf_fmt(sql,
                "CASE WHEN coalesce(%s, '') = '' THEN '' WHEN %s IN (FROM val) THEN %s ELSE "
                "'other' END",
                column, column, column);
}

/* --- trend ------------------------------------------------------------------------------------ */

struct asked_trend {
    struct window now;
    struct breakdown breakdown;
    unsigned unit, events;
    const char *texts[2]; /* of the events, as the report says them; "" when it does not */
    char conditions[2][96], taken[200];
    const char *number; /* SQL; NULL = none */
    bool has_quantiles;
};

static void trend_events(struct question *question, struct asked_trend *asked)
{
    const char *name = NULL;
    bool any = false;
    size_t n = 0;
    asked->events = chance(4) == 0 ? 2 : 1;
    put(&question->json, asked->events == 2 ? ",\"events\":[" : ",\"event\":");
    for (unsigned e = 0; e < asked->events; e++) {
        put(&question->json, e == 0 ? "" : ",");
        if (e == 0) {
            event_make(&question->json, asked->conditions[0], asked->events == 1, &name);
        } else { /* another one */
            const char *other = names[chance(NAMES)];
            name = other == name ? NULL : other;
            buf_fmt(&question->json, "\"%s\"", name == NULL ? "*" : name);
            snprintf(asked->conditions[e], sizeof asked->conditions[e],
                     name == NULL ? "true" : "name = '%s'", name);
        }
        asked->texts[e] = asked->events == 1 ? "" : name == NULL ? "*" : name;
        any = any || name == NULL;
        n += (size_t)snprintf(asked->taken + n, sizeof asked->taken - n, "%sname = '%s'",
                              e == 0 ? "" : " OR ", name == NULL ? "" : name);
    }
    put(&question->json, asked->events == 2 ? "]" : "");
    if (any)
        snprintf(asked->taken, sizeof asked->taken, "true");
}

static void trend_numbers(struct question *question, struct asked_trend *asked)
{
    static const char *const measures[] = {"count", "people", "sum", "mean", "p50", "p90", "p99"};
    unsigned measure = chance(7);
    bool property = chance(3) == 0;
    buf_fmt(&question->json, ",\"measure\":\"%s\"%s", measures[measure],
            property ? ",\"property\":\"n\"" : "");
    asked->number = property ? "TRY_CAST(n AS DECIMAL(18,6))" : measure >= 2 ? "amount" : NULL;
    asked->has_quantiles = measure >= 4;
}

/* Periods are matched by their place in the window: p, from 0. */
static void trend_sql(struct buf *sql, const struct asked_trend *asked, const struct window *window,
                      const char *prefix)
{
    static const char *const steps[] = {"to_hours", "to_days", "7 * to_days", "to_months"};
    const char *unit = unit_names[asked->unit];
    long long off = asked->now.off, from = asked->now.from + off, last = asked->now.to - 1 + off;
    put(sql, "WITH e AS (");
    for (unsigned e = 0; e < asked->events; e++)
        buf_fmt(
            sql,
            "%sSELECT *, '%s' AS event, date_diff('%s', date_trunc('%s', make_timestamp(%lld000000"
            ")), date_trunc('%s', make_timestamp((t + %lld) * 1000000))) AS p FROM "
            "ev_all WHERE (%s) AND (%s) AND t >= %lld AND t < %lld",
            e == 0 ? "" : " UNION ALL ", asked->texts[e], unit, unit, (long long)window->from + off,
            unit, off, asked->conditions[e], window->where, (long long)window->from,
            (long long)window->to);
    put(sql, ")");
    breakdown_sql(sql, &asked->breakdown, &asked->now, asked->taken);
    put(sql, ", f AS (SELECT *, ");
    breakdown_value(sql, &asked->breakdown, asked->breakdown.column);
    buf_fmt(sql,
            " AS v, %s AS x FROM e) SELECT CASE WHEN grouping(p) = 1 THEN 'total' ELSE "
            "strftime(date_trunc('%s', make_timestamp(%lld000000)) + %s(p::INT), '%s') END || "
            "'|' || event || '|' || v AS key, count(*) AS %scount, count(DISTINCT person) FILTER "
            "(person <> 0) AS %speople, " WHO_SQL " AS who_%speople",
            asked->number == NULL ? "NULL" : asked->number, unit, from, steps[asked->unit],
            asked->unit == 0 ? "%Y-%m-%dT%H:%M" : "%Y-%m-%d", prefix, prefix, prefix);
    if (asked->number != NULL)
        buf_fmt(sql, ", sum(x)::DOUBLE AS %ssum, sum(x)::DOUBLE / count(x) AS %smean", prefix,
                prefix);
    if (asked->has_quantiles)
        buf_fmt(sql,
                ", quantile_cont(x::DOUBLE, 0.5) AS %sp50, quantile_cont(x::DOUBLE, 0.9) AS %sp90, "
                "quantile_cont(x::DOUBLE, 0.99) AS %sp99",
                prefix, prefix, prefix);
    buf_fmt(sql,
            " FROM f GROUP BY GROUPING SETS ((event, v, p), (event, v)) HAVING grouping(p) = 1 OR "
            "p <= date_diff('%s', date_trunc('%s', make_timestamp(%lld000000)), "
            "date_trunc('%s', make_timestamp(%lld000000)))",
            unit, unit, from, unit, last);
}

static void trend_make(struct question *question)
{
    struct asked_trend asked = {0};
    question->report = "trend";
    asked.now = window_make(question);
    asked.unit = chance(4);
    trend_events(question, &asked);
    trend_numbers(question, &asked);
    buf_fmt(&question->json, ",\"unit\":\"%s\"", unit_names[asked.unit]);
    asked.breakdown = breakdown_make(question, 2);
    asked.breakdown.compare = chance(3) == 0;
    if (asked.breakdown.compare) {
        struct window before = window_before(&asked.now);
        put(&question->json, ",\"compare\":\"previous\"");
        trend_sql(&question->sql_before, &asked, &before, "previous_");
    }
    put(&question->json, "}");
    trend_sql(&question->sql, &asked, &asked.now, "");
}

/* --- lifecycle, stickiness -------------------------------------------------------------------- */

static void lifecycle_make(struct question *question)
{
    struct buf *json = &question->json, *sql = &question->sql;
    char event[96];
    const char *name;
    question->report = "lifecycle";
    struct window window = window_make(question);
    const char *unit = unit_names[chance(3) == 0 ? 2 + chance(2) : 1];
    put(json, ",\"event\":");
    event_make(json, event, true, &name);
    buf_fmt(json, ",\"unit\":\"%s\"}", unit);
    buf_fmt(
        sql,
        "WITH a AS (SELECT DISTINCT person, date_trunc('%s', make_timestamp((t + %lld) * 1000000)) "
        "AS d FROM ev WHERE (%s) AND (%s) AND t < %lld), "
        "b AS (SELECT *, lag(d) OVER (PARTITION BY person ORDER BY d) AS was, lead(d) OVER "
        "(PARTITION BY person ORDER BY d) AS after FROM a), "
        "c AS (SELECT person, d, CASE WHEN was IS NULL THEN 'new' WHEN was = d - INTERVAL 1 %s "
        "THEN 'returning' ELSE 'resurrecting' END AS s FROM b UNION ALL SELECT person, d + "
        "INTERVAL 1 %s, 'dormant' FROM b WHERE after IS NULL OR after > d + INTERVAL 1 %s) "
        "SELECT strftime(d, '%%Y-%%m-%%d') AS key, count(*) FILTER (s <> 'dormant') AS active, "
        "bit_xor(person) FILTER (s <> 'dormant') %% 1000003 AS who_active",
        unit, (long long)window.off, event, window.where, (long long)window.to, unit, unit, unit);
    static const char *const states[] = {"new", "returning", "resurrecting", "dormant"};
    for (size_t i = 0; i < 4; i++)
        buf_fmt(sql,
                ", count(*) FILTER (s = '%s') AS %s, bit_xor(person) FILTER (s = '%s') %% 1000003 "
                "AS who_%s",
                states[i], states[i], states[i], states[i]);
    buf_fmt(sql,
            " FROM c WHERE d >= date_trunc('%s', make_timestamp(%lld000000)) AND d < "
            "make_timestamp(%lld000000) GROUP BY d",
            unit, (long long)(window.from + window.off), (long long)(window.to + window.off));
}

/* d: days since 1970 in the zone; the window's are from … to - 1. */
static void stickiness_make(struct question *question)
{
    static const char *const spans[] = {"dau", "wau", "mau"};
    static const int lengths[] = {1, 7, 30};
    struct buf *json = &question->json, *sql = &question->sql;
    char event[96];
    const char *name;
    question->report = "stickiness";
    struct window window = window_make(question);
    long long from = (window.from + window.off) / 86400, to = (window.to + window.off) / 86400;
    put(json, ",\"event\":");
    event_make(json, event, true, &name);
    put(json, "}");
    buf_fmt(sql,
            "WITH a AS MATERIALIZED (SELECT DISTINCT person, (t + %lld) // 86400 AS d FROM ev "
            "WHERE (%s) AND (%s) AND d > %lld AND d < %lld), "
            "c AS MATERIALIZED (SELECT person, count(*) AS n FROM a WHERE d >= %lld GROUP BY "
            "person) "
            "SELECT q.n::VARCHAR AS key, count(*) FILTER (c.n = q.n) AS people, "
            "bit_xor(person) FILTER (c.n = q.n) %% 1000003 AS who_people, count(*) FILTER "
            "(c.n >= q.n) AS at_least FROM c, range(1, %lld) AS q(n) GROUP BY q.n "
            "UNION ALL BY NAME SELECT 'root' AS key, count(*) AS people, avg(n) AS "
            "average_days FROM c "
            "UNION ALL BY NAME SELECT strftime(make_timestamp(q.d * 86400000000), '%%Y-%%m-%%d') "
            "AS key",
            (long long)window.off, event, window.where, from - 30, to, from, to - from + 1);
    for (size_t i = 0; i < 3; i++)
        buf_fmt(sql,
                ", count(DISTINCT person) FILTER (a.d > q.d - %d) AS %s, bit_xor(DISTINCT person) "
                "FILTER (a.d > q.d - %d) %% 1000003 AS who_%s",
                lengths[i], spans[i], lengths[i], spans[i]);
    buf_fmt(sql, " FROM a, range(%lld, %lld) AS q(d) WHERE a.d <= q.d GROUP BY q.d", from, to);
}

void question_make(struct question *question)
{
    uint32_t kind = chance(20);
    buf_reset(&question->json);
    buf_reset(&question->sql);
    buf_reset(&question->sql_before);
    if (kind < 9)
        funnel_make(question);
    else if (kind < 11)
        retention_make(question);
    else if (kind < 14)
        paths_make(question);
    else if (kind < 17)
        trend_make(question);
    else if (kind < 18)
        lifecycle_make(question);
    else
        stickiness_make(question);
}
