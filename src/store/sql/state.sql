-- The cache's five questions to each of its tables, named table_get, _put, _delete, _scan, _keys; state_table() finds
-- them by these names. A new table is a migration in sql/state/ and five queries here.

-- name: identifier_get
-- A miss of the cache.
SELECT value FROM identifier WHERE key = $1

-- name: identifier_put
-- A flush writes the whole object: there is nothing to merge with.
INSERT INTO identifier (key, value) VALUES ($1, $2)
ON CONFLICT (key) DO UPDATE SET value = excluded.value

-- name: identifier_delete
-- Removed since the last flush; it may never have been written.
DELETE FROM identifier WHERE key = $1

-- name: identifier_scan
-- One slice of a scan, from a key on: a slice is read under the lock, so it must be short.
SELECT key, value FROM identifier WHERE key >= $1 ORDER BY key LIMIT $2

-- name: identifier_keys
-- One slice of what the filter is built from.
SELECT key FROM identifier WHERE key >= $1 ORDER BY key LIMIT $2

-- name: component_get
-- A miss of the cache.
SELECT value FROM component WHERE key = $1

-- name: component_put
-- A flush writes the whole object.
INSERT INTO component (key, value) VALUES ($1, $2)
ON CONFLICT (key) DO UPDATE SET value = excluded.value

-- name: component_delete
-- Merged into another component, or erased.
DELETE FROM component WHERE key = $1

-- name: component_scan
-- One slice of a scan.
SELECT key, value FROM component WHERE key >= $1 ORDER BY key LIMIT $2

-- name: component_keys
-- One slice of what the filter is built from.
SELECT key FROM component WHERE key >= $1 ORDER BY key LIMIT $2

-- name: summary_get
-- A miss of the cache.
SELECT value FROM summary WHERE key = $1

-- name: summary_put
-- A flush writes the whole object.
INSERT INTO summary (key, value) VALUES ($1, $2)
ON CONFLICT (key) DO UPDATE SET value = excluded.value

-- name: summary_delete
-- Erased.
DELETE FROM summary WHERE key = $1

-- name: summary_scan
-- One slice of a scan.
SELECT key, value FROM summary WHERE key >= $1 ORDER BY key LIMIT $2

-- name: summary_keys
-- One slice of what the filter is built from.
SELECT key FROM summary WHERE key >= $1 ORDER BY key LIMIT $2

-- name: value_list
-- All of them at open; there are a few dozen.
SELECT name, value FROM value ORDER BY name

-- name: value_put
-- Written in the flush that it describes.
INSERT INTO value (name, value) VALUES ($1, $2)
ON CONFLICT (name) DO UPDATE SET value = excluded.value

-- name: delta_get
-- Which delta files are this file's, and how much of them is in its tables.
SELECT history, merged FROM delta

-- name: delta_make
-- Once in a file's life.
INSERT INTO delta (id, history, merged) VALUES (1, $1, 0)

-- name: delta_merged
-- In the transaction that brings the chunks in.
UPDATE delta SET merged = $1 WHERE id = 1
