-- Made by all migrations of this folder; src/store/store_test.c compares.

CREATE TABLE component (
    key   INTEGER PRIMARY KEY,            -- the component's number, made from a journal position
    value BLOB NOT NULL -- identity/: members, edges in order, people
);

CREATE TABLE delta (
    id      INTEGER PRIMARY KEY NOT NULL, -- 1
    history BLOB NOT NULL,             -- 8 random bytes: files of another history are not ours
    merged  BIGINT  NOT NULL              -- the last chunk that is in the tables; 0 = none
);

CREATE TABLE identifier (
    key   BLOB PRIMARY KEY NOT NULL, -- 16 bytes: keyed hash of type and normal form, its two numbers big-endian
    value BLOB NOT NULL              -- identity/: the visitor and the component it belongs to
) WITHOUT ROWID;

CREATE TABLE schema_migration (    name     TEXT PRIMARY KEY NOT NULL,    checksum TEXT NOT NULL);

CREATE TABLE summary (
    key   INTEGER PRIMARY KEY,            -- the visitor's number
    value BLOB NOT NULL -- profile/: traits, counters, lists of one visitor, mergeable
);

CREATE TABLE value (
    name  TEXT PRIMARY KEY NOT NULL, -- "position", "dedup.…", "store.rows.identifier"
    value BLOB NOT NULL           -- as its writer encodes it; written in the flush that it describes
) WITHOUT ROWID;
