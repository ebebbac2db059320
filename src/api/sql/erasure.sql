-- name: erasure_ask
-- Before the journal knows: a crash from here on is found by erasure_open.
INSERT INTO erase_ledger (requested_us, identifiers_count, records_count, hashes, state)
VALUES ($1, 0, 0, $2, 'asked')
RETURNING id

-- name: erasure_done
-- Counts only; who it was is nowhere.
UPDATE erase_ledger SET state = 'done', identifiers_count = $2, records_count = $3 WHERE id = $1

-- name: erasure_drop
-- Nobody of that name was known, or nothing had begun.
DELETE FROM erase_ledger WHERE id = $1 AND state = 'asked'

-- name: erasure_open
-- What a crash interrupted.
SELECT id FROM erase_ledger WHERE state <> 'done' ORDER BY id

-- name: erasure_list
-- The newest first.
SELECT id, requested_us, identifiers_count, records_count, state FROM erase_ledger ORDER BY id DESC LIMIT 1000
