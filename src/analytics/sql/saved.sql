-- Questions that are kept under a name, in facts.db.

-- name: find_name
SELECT id FROM saved_report WHERE name = $1

-- name: add
INSERT INTO saved_report (name, report, question, created_us) VALUES ($1, $2, $3, $4) RETURNING id

-- name: list
SELECT id, name, report, question, created_us FROM saved_report ORDER BY id

-- name: count
SELECT COUNT(*) FROM saved_report

-- name: get
SELECT id, name, report, question, created_us FROM saved_report WHERE id = $1

-- name: remove
DELETE FROM saved_report WHERE id = $1 RETURNING id
