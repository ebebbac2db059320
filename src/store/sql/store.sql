-- Migrations: which ones a file has had, and that nobody edited one of them since.

-- name: migration_list
-- In the order in which they were applied, which is the order of their names.
SELECT name, checksum FROM schema_migration ORDER BY name

-- name: migration_add
-- In the same transaction as the migration itself.
INSERT INTO schema_migration (name, checksum) VALUES ($1, $2)
