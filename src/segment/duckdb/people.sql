-- name: anchors
-- One visitor of each person: the first that was seen. $1 = persons' ids.
SELECT min(visitor) AS visitor FROM raw.owner
WHERE person IN (SELECT unnest(CAST($1 AS UBIGINT[]))) AND person <> 0
GROUP BY person;

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
