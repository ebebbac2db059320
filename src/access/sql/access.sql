-- Sources and keys. All of both are in memory; the file is read at the start only.

-- name: source_list
-- A few dozen; never deleted, since records name them for ever.
SELECT id, name, channel FROM source ORDER BY id

-- name: source_find
-- Is the name taken? Asked inside the writer, so nobody can take it between question and insert.
SELECT id FROM source WHERE name = $1

-- name: source_next
-- Numbers only grow, and there is one writer.
SELECT COALESCE(MAX(id), 0) + 1 FROM source

-- name: source_add
INSERT INTO source (id, name, channel) VALUES ($1, $2, $3)

-- name: key_list
-- Revoked ones too: a list that forgets them could not answer who had access.
SELECT id, hash, kind, source, label, scopes, prefix, created_us, revoked_us
FROM access_key ORDER BY created_us, id

-- name: key_find
-- Was this text ever a key? A revoked one must not come back under another source.
SELECT id FROM access_key WHERE hash = $1

-- name: key_add
INSERT INTO access_key (id, hash, kind, source, label, scopes, prefix, created_us, revoked_us)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 0)

-- name: key_revoke
-- Once: the first time stays the time.
UPDATE access_key SET revoked_us = $2 WHERE id = $1 AND revoked_us = 0
