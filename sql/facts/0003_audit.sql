-- What we decide, third part: who did what, in chains that show when somebody changed them afterwards.

CREATE TABLE audit (
    id        @ID@,             -- given by us: one sequence for all kinds, never used twice
    kind      INTEGER NOT NULL, -- 1 change, 2 read of personal data, 3 refusal; each kind is a chain of its own
    answer_to BIGINT NOT NULL,  -- 0, or the id of the change whose answer this is
    at_us     BIGINT NOT NULL,  -- microseconds UTC
    key_id    TEXT NOT NULL,    -- access_key.id; empty when the key is unknown
    method    TEXT NOT NULL,
    route     TEXT NOT NULL,    -- its pattern, never the path that was asked for
    subject   @BYTES@ NOT NULL, -- keyed hash of the identifier that was named, 16 bytes; or empty
    object    TEXT NOT NULL,    -- what else it was about, in our own numbers: "5", "k_…", "0:123"
    detail    TEXT NOT NULL,    -- SQL without its literals; else empty
    status    INTEGER NOT NULL, -- the answer's HTTP code; 0 in a change, which is written before it is made
    times     BIGINT NOT NULL,  -- equal reads or refusals of one moment are one record
    position  BIGINT NOT NULL,  -- of the journal record that was written; 0 = none
    hash      @BYTES@ NOT NULL  -- 32 bytes: keyed BLAKE2b over the hash before it and all of this
);

CREATE INDEX audit_kind ON audit (kind, id);                         -- the oldest of a kind go first
CREATE INDEX audit_answer ON audit (answer_to) WHERE answer_to > 0;  -- a change asks for its answer

CREATE TABLE audit_chain (
    kind    INTEGER PRIMARY KEY, -- as audit.kind
    before  @BYTES@ NOT NULL,    -- the hash before the oldest record that is kept
    last_id BIGINT NOT NULL,     -- the newest record; 0 = there never was one
    last    @BYTES@ NOT NULL,    -- its hash
    records BIGINT NOT NULL,     -- how many are kept
    seal    @BYTES@ NOT NULL     -- 32 bytes: keyed BLAKE2b over this row, so that no end can be cut off
);
