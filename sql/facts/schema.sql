-- Made by all migrations of this folder; src/store/store_test.c compares.

CREATE TABLE access_key (
    id         TEXT PRIMARY KEY,     -- random, public: what lists show and revoke names
    hash       BLOB NOT NULL UNIQUE, -- 32 bytes of BLAKE2b over the key's text; the key itself is nowhere
    kind       TEXT NOT NULL,        -- "write": may only send; "secret": has scopes
    source     INTEGER NOT NULL,     -- source.id that its events carry
    label      TEXT NOT NULL,        -- what a person calls it
    scopes     BIGINT NOT NULL,      -- bits of enum access_scope
    prefix     TEXT NOT NULL,        -- the first characters of the key, so that a person recognises it
    created_us BIGINT NOT NULL,      -- microseconds UTC
    revoked_us BIGINT NOT NULL       -- 0 while it is valid
);

CREATE TABLE audit (
    id        INTEGER PRIMARY KEY,             -- given by us: one sequence for all kinds, never used twice
    kind      INTEGER NOT NULL, -- 1 change, 2 read of personal data, 3 refusal; each kind is a chain of its own
    answer_to BIGINT NOT NULL,  -- 0, or the id of the change whose answer this is
    at_us     BIGINT NOT NULL,  -- microseconds UTC
    key_id    TEXT NOT NULL,    -- access_key.id; empty when the key is unknown
    method    TEXT NOT NULL,
    route     TEXT NOT NULL,    -- its pattern, never the path that was asked for
    subject   BLOB NOT NULL, -- keyed hash of the identifier that was named, 16 bytes; or empty
    object    TEXT NOT NULL,    -- what else it was about, in our own numbers: "5", "k_…", "0:123"
    detail    TEXT NOT NULL,    -- SQL without its literals; else empty
    status    INTEGER NOT NULL, -- the answer's HTTP code; 0 in a change, which is written before it is made
    times     BIGINT NOT NULL,  -- equal reads or refusals of one moment are one record
    position  BIGINT NOT NULL,  -- of the journal record that was written; 0 = none
    hash      BLOB NOT NULL  -- 32 bytes: keyed BLAKE2b over the hash before it and all of this
);

CREATE TABLE audit_chain (
    kind    INTEGER PRIMARY KEY, -- as audit.kind
    before  BLOB NOT NULL,    -- the hash before the oldest record that is kept
    last_id BIGINT NOT NULL,     -- the newest record; 0 = there never was one
    last    BLOB NOT NULL,    -- its hash
    records BIGINT NOT NULL,     -- how many are kept
    seal    BLOB NOT NULL     -- 32 bytes: keyed BLAKE2b over this row, so that no end can be cut off
);

CREATE TABLE erase_ledger (
    id                INTEGER PRIMARY KEY,             -- the order of requests; a restore replays them in this order
    requested_us      BIGINT NOT NULL,  -- microseconds UTC
    identifiers_count BIGINT NOT NULL,  -- how many identifiers the erased component had
    records_count     BIGINT NOT NULL,  -- journal records whose payload was overwritten
    hashes            BLOB NOT NULL, -- keyed hashes of the identifiers, 16 bytes each: a restored copy is erased again by them
    state             TEXT NOT NULL     -- "asked", "folded" (its journal record was passed), "done"
);

CREATE TABLE saved_report (
    id         INTEGER PRIMARY KEY,
    name       TEXT NOT NULL UNIQUE, -- what a person calls it
    report     TEXT NOT NULL,        -- "trend", "funnel", …
    question   TEXT NOT NULL,        -- JSON, as it was asked
    created_us BIGINT NOT NULL       -- microseconds UTC
);

CREATE TABLE schema_migration (    name     TEXT PRIMARY KEY NOT NULL,    checksum TEXT NOT NULL);

CREATE TABLE segment_list (
    id         INTEGER PRIMARY KEY,
    name       TEXT NOT NULL UNIQUE, -- what a person calls it
    report     TEXT NOT NULL,        -- the report that a cell of was saved
    created_us BIGINT NOT NULL,      -- microseconds UTC
    is_ready   INTEGER NOT NULL      -- 0 while it is filled or emptied: nobody sees it, the next start drops it
, people BIGINT NOT NULL DEFAULT 0 /* when it was made */);

CREATE TABLE segment_member (
    list    BIGINT NOT NULL, -- segment_list.id
    visitor BIGINT NOT NULL, -- one visitor of each person: whoever it belongs to is on the list
    PRIMARY KEY (list, visitor)
) WITHOUT ROWID;

CREATE TABLE setting (
    name  TEXT PRIMARY KEY, -- module.word
    value TEXT NOT NULL     -- as its module writes it
);

CREATE TABLE source (
    id         INTEGER PRIMARY KEY, -- given by us, for ever: records and rows carry it; 0 is ourselves and never a row
    name       TEXT NOT NULL UNIQUE, -- "shop-web", "till-3", "api", "import"
    channel    TEXT NOT NULL         -- "web", "store", "app", …; reports group by it
);

CREATE INDEX audit_answer ON audit (answer_to) WHERE answer_to > 0;

CREATE INDEX audit_kind ON audit (kind, id);

CREATE INDEX segment_member_visitor ON segment_member (visitor);
