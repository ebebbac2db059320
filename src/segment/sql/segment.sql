-- Named lists of people, in facts.db.

-- name: list_add
-- Not seen by anybody until it is ready.
INSERT INTO segment_list (name, report, created_us, is_ready) VALUES ($1, $2, $3, 0) RETURNING id

-- name: list_find_name
SELECT id FROM segment_list WHERE name = $1

-- name: list_ready
UPDATE segment_list SET is_ready = 1, people = $2 WHERE id = $1

-- name: list_hide
-- The first step of deleting it: what follows can be interrupted.
UPDATE segment_list SET is_ready = 0 WHERE id = $1 AND is_ready = 1 RETURNING id

-- name: list_get
SELECT name, report, created_us FROM segment_list WHERE id = $1 AND is_ready = 1

-- name: list_all
SELECT id, name, report, created_us, people FROM segment_list WHERE is_ready = 1 ORDER BY id

-- name: list_unready
-- What a crash left half made or half deleted.
SELECT id FROM segment_list WHERE is_ready = 0 ORDER BY id

-- name: list_drop
DELETE FROM segment_list WHERE id = $1 AND is_ready = 0

-- name: member_add
INSERT INTO segment_member (list, visitor) VALUES ($1, $2) ON CONFLICT (list, visitor) DO NOTHING

-- name: member_list
SELECT visitor FROM segment_member WHERE list = $1 ORDER BY visitor

-- name: member_drop
-- A part of a list at a time: everybody in the writer's queue waits for it.
DELETE FROM segment_member WHERE list = $1 AND visitor IN
    (SELECT visitor FROM segment_member WHERE list = $1 ORDER BY visitor LIMIT 500) RETURNING visitor

-- name: member_forget
-- An erase: from every list.
DELETE FROM segment_member WHERE visitor = $1 RETURNING visitor
