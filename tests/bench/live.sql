-- live.sql - the questions of tests/bench/live in DuckDB's SQL, each in the fastest form that we found.
--
-- DuckDB first copies what it needs into `narrow` in memory: people as numbers from 1 on, codes instead of names, ordered by person
-- and time, which n numbers. That is not counted. Three kinds of form were tried on 5 million of the 50 million events (engine 1.5.6,
-- two threads; CPU seconds, best of three; the same order in wall seconds):
--
--                              by person, windows   ASOF joins   running windows over the table's own order
--   funnel, 3 steps                  0.70              0.31           0.42
--   … filter, breakdown, hold        0.79              0.38           1.18
--   funnel of rare events            0.11              0.06           0.08
--   paths, depth 5                   4.5 … 8.1           -            0.91
--
-- Retention: join and DISTINCT 0.42, the join into bits 0.40, groups by person and day 1.2 … 2.1, running windows 1.2. Lists of
-- events per person cost more than all of these once they must be walked in order. A running window (OVER () on a table that stands
-- in its order) needs no sort, but runs on one thread.

-- name: people
CREATE OR REPLACE TABLE memory.main.numbers AS
SELECT person, row_number() OVER (ORDER BY person)::UINTEGER AS number FROM (SELECT DISTINCT person FROM events WHERE person <> 0);

-- name: narrow
CREATE OR REPLACE TABLE memory.main.narrow AS
SELECT number AS person, epoch(time)::INTEGER AS t, (name[2:])::UTINYINT AS code,
       CASE channel WHEN 'server' THEN 0 WHEN 'mobile' THEN 1 ELSE 2 END::UTINYINT AS ch,
       json_extract_string(properties, '$.p')::UTINYINT AS p,
       row_number() OVER (ORDER BY number, time, position)::UINTEGER AS n
FROM events JOIN memory.main.numbers USING (person) ORDER BY n;

-- name: funnel
-- The newest first step before an event is the best start that a chain can have; so is the newest chain of two.
WITH a AS MATERIALIZED (SELECT person, n, t FROM narrow WHERE code = 1),
     b AS MATERIALIZED (SELECT e.person, e.n, a.t FROM (SELECT person, n, t FROM narrow WHERE code = 3) AS e
                        ASOF JOIN a ON e.person = a.person AND e.n >= a.n WHERE e.t - a.t <= 604800),
     c AS (SELECT e.person FROM (SELECT person, n, t FROM narrow WHERE code = 6) AS e
           ASOF JOIN b ON e.person = b.person AND e.n >= b.n WHERE e.t - b.t <= 604800)
SELECT (SELECT count(DISTINCT person) FROM a) + (SELECT count(DISTINCT person) FROM b) + (SELECT count(DISTINCT person) FROM c);

-- name: funnel_held
-- The same for each value of p; a person counts with the chain that came farthest, of equals the newest, under its start's channel.
WITH a AS MATERIALIZED (SELECT person, p, n, t, ch FROM narrow WHERE code = 1),
     b AS MATERIALIZED (SELECT e.person, e.p, e.n, a.t, a.ch FROM (SELECT person, p, n, t FROM narrow WHERE code = 3 AND p <> 3) AS e
                        ASOF JOIN a ON e.person = a.person AND e.p = a.p AND e.n >= a.n WHERE e.t - a.t <= 604800),
     c AS (SELECT e.person, b.t, b.ch FROM (SELECT person, p, n, t FROM narrow WHERE code = 6) AS e
           ASOF JOIN b ON e.person = b.person AND e.p = b.p AND e.n >= b.n WHERE e.t - b.t <= 604800),
     ways AS (SELECT person, 1099511627776 + t::BIGINT * 4 + ch AS way FROM a
              UNION ALL SELECT person, 2 * 1099511627776 + t::BIGINT * 4 + ch FROM b
              UNION ALL SELECT person, 3 * 1099511627776 + t::BIGINT * 4 + ch FROM c),
     best AS (SELECT max(way) AS way FROM ways GROUP BY person)
SELECT sum(levels) FROM (SELECT way % 4 AS ch, sum(way // 1099511627776) AS levels FROM best GROUP BY ch);

-- name: funnel_rare
WITH f AS MATERIALIZED (SELECT person, n, t, code FROM narrow WHERE code IN (37, 38, 39)),
     a AS MATERIALIZED (SELECT person, n, t FROM f WHERE code = 39),
     b AS MATERIALIZED (SELECT e.person, e.n, a.t FROM (SELECT person, n, t FROM f WHERE code = 38) AS e
                        ASOF JOIN a ON e.person = a.person AND e.n >= a.n WHERE e.t - a.t <= 604800),
     c AS (SELECT e.person FROM (SELECT person, n, t FROM f WHERE code = 37) AS e
           ASOF JOIN b ON e.person = b.person AND e.n >= b.n WHERE e.t - b.t <= 604800)
SELECT (SELECT count(DISTINCT person) FROM a) + (SELECT count(DISTINCT person) FROM b) + (SELECT count(DISTINCT person) FROM c);

-- name: retention
WITH s AS (SELECT person, min(t // 86400) AS d, min(n) AS n FROM narrow GROUP BY person),
     r AS (SELECT e.person, any_value(s.d) AS d,
                  bit_or(CASE WHEN e.n > s.n AND e.t // 86400 - s.d <= 14 THEN 1::USMALLINT << (e.t // 86400 - s.d)::USMALLINT
                         ELSE 0::USMALLINT END) AS days
           FROM narrow AS e JOIN s ON s.person = e.person GROUP BY e.person),
     x AS (SELECT d, days, count(*) AS people FROM r GROUP BY d, days)
SELECT sum(people * bit_count(days)) FROM x;

-- name: paths
-- Half an hour of quiet ends a session; the same event again is one step.
WITH e AS (SELECT person, t, code, lag(t) OVER () AS was, lag(code) OVER () AS before, lag(person) OVER () AS whose FROM narrow),
     f AS (SELECT person, code, (whose IS DISTINCT FROM person OR t - was > 1800) AS starts FROM e
           WHERE whose IS DISTINCT FROM person OR t - was > 1800 OR before <> code),
     g AS (SELECT person, code, starts, row_number() OVER () AS r, lead(code) OVER () AS next, lead(starts) OVER () AS ends FROM f),
     h AS (SELECT *, r - max(CASE WHEN starts THEN r END) OVER (ROWS UNBOUNDED PRECEDING) + 1 AS place FROM g),
     x AS (SELECT place, code, CASE WHEN ends IS NOT DISTINCT FROM false THEN next END AS next, count(*) AS paths,
                  count(DISTINCT person) AS people
           FROM h WHERE place < 5 GROUP BY ALL)
SELECT sum(paths) FROM x;

-- name: attribution
-- The last touch before a conversion and after the one before it; with no gap, that is the event before it.
WITH e AS (SELECT person, t, code, ch FROM narrow WHERE code IN (2, 4, 6, 8)),
     a AS (SELECT code, person, t, lag(person) OVER () AS whose, lag(code) OVER () AS before, lag(t) OVER () AS was,
                  lag(ch) OVER () AS ch FROM e)
SELECT sum(conversions) FROM (SELECT ch, count(*) AS conversions FROM a
                              WHERE code = 8 AND whose = person AND before <> 8 AND t - was <= 2592000 GROUP BY ch);

-- name: for_clickhouse
-- ClickHouse leaves the order of equal seconds open, so its times count quarters: the second, and which of up to four events in it.
COPY (WITH e AS (SELECT person, t, code, n, lag(person, 1) OVER () = person AND lag(t, 1) OVER () = t AS a,
                        lag(person, 2) OVER () = person AND lag(t, 2) OVER () = t AS b,
                        lag(person, 3) OVER () = person AND lag(t, 3) OVER () = t AS c FROM narrow)
      SELECT person, (t - (SELECT min(t) FROM narrow)) * 4 + coalesce(a, false)::INTEGER + coalesce(b, false)::INTEGER +
             coalesce(c, false)::INTEGER AS time, code FROM e ORDER BY n)
TO '@FILE@' (HEADER false);
