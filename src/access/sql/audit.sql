-- The audit log: appended to, read by pages, deleted at its old end; no row is ever updated.

-- name: add
INSERT INTO audit (id, kind, answer_to, at_us, key_id, method, route, subject, object, detail, status, times, position,
    hash)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)

-- name: next
-- Also when everything was deleted meanwhile: a number that was shown once means one record for ever.
SELECT COALESCE(MAX(last_id), 0) + 1 FROM audit_chain

-- name: chain_find
SELECT before, last_id, last, records, seal FROM audit_chain WHERE kind = $1

-- name: chain_put
INSERT INTO audit_chain (kind, before, last_id, last, records, seal) VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (kind) DO UPDATE SET before = excluded.before, last_id = excluded.last_id, last = excluded.last,
    records = excluded.records, seal = excluded.seal

-- name: oldest
-- What a slice of the sweeper may take.
SELECT id, at_us, hash FROM audit WHERE kind = $1 ORDER BY id LIMIT $2

-- name: forget
DELETE FROM audit WHERE kind = $1 AND id <= $2

-- name: walk
-- A kind from the old end to the new one, a slice at a time.
SELECT id, answer_to, at_us, key_id, method, route, subject, object, detail, status, times, position, hash
FROM audit WHERE kind = $1 AND id > $2 ORDER BY id LIMIT $3

-- name: page
-- The newest first, within a window of ids, so that a filter that nothing passes ends too. Typed comparisons come first:
-- PostgreSQL takes a parameter's type from where it stands first.
SELECT a.id, a.kind, a.at_us, a.key_id, a.method, a.route, a.subject, a.object, a.detail, a.status, a.times, a.position,
    b.status, b.at_us, b.object, b.position
FROM audit a LEFT JOIN audit b ON b.answer_to = a.id AND b.answer_to > 0
WHERE a.id < $1 AND a.id >= $2 AND a.answer_to = 0 AND a.at_us >= $3 AND a.at_us < $4
    AND (a.kind = $5 OR $5 = 0) AND (a.key_id = $6 OR $6 = '') AND (a.route = $7 OR $7 = '')
    AND (a.subject = $8 OR length($8) = 0)
ORDER BY a.id DESC LIMIT $9
