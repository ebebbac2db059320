-- name: visitors
-- The visitors of these people ($1 = their ids) that did something, and how many people that is. One that was only tied
-- to others (a card, a phone) may be somebody else's tomorrow: it is taken only where a person has no other.
SELECT coalesce(list(visitor), []) AS visitors, count(DISTINCT person) AS people FROM (
    SELECT o.visitor, o.person, bool_or(e.type NOT IN ('bind', 'unbind')) AS did
    FROM raw.owner AS o JOIN raw.event AS e ON e.visitor = o.visitor
    WHERE o.person IN (SELECT unnest(CAST($1 AS UBIGINT[]))) AND o.person <> 0
    GROUP BY o.visitor, o.person
    QUALIFY did OR NOT bool_or(did) OVER (PARTITION BY o.person));

-- name: count
-- How many people these visitors ($1) are now: fewer after a merge.
SELECT count(DISTINCT person) AS people FROM raw.owner
WHERE visitor IN (SELECT unnest(CAST($1 AS UBIGINT[]))) AND person <> 0;

-- name: page
-- Who these visitors ($1) are now, after the person $2, at most $3.
SELECT person, min(identifier) AS identifier FROM raw.owner
WHERE person > CAST($2 AS UBIGINT)
  AND person IN (SELECT person FROM raw.owner WHERE visitor IN (SELECT unnest(CAST($1 AS UBIGINT[]))))
GROUP BY person ORDER BY person LIMIT (SELECT CAST($3 AS BIGINT));
