-- What is folded from the journal: deleting this file is a rebuild, never a loss. A value is its owner module's own
-- encoding; docs/format/state.md names the documents.

CREATE TABLE identifier (
    key   @BYTES@ PRIMARY KEY NOT NULL, -- 16 bytes: keyed hash of type and normal form, its two numbers big-endian
    value @BYTES@ NOT NULL              -- identity/: the visitor and the component it belongs to
) @CLUSTER@;

CREATE TABLE component (
    key   @ID@,            -- the component's number, made from a journal position
    value @BYTES@ NOT NULL -- identity/: members, edges in order, people
);

CREATE TABLE summary (
    key   @ID@,            -- the visitor's number
    value @BYTES@ NOT NULL -- profile/: traits, counters, lists of one visitor, mergeable
);

CREATE TABLE value (
    name  TEXT PRIMARY KEY NOT NULL, -- "position", "dedup.…", "store.rows.identifier"
    value @BYTES@ NOT NULL           -- as its writer encodes it; written in the flush that it describes
) @CLUSTER@;
