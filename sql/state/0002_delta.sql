-- What changed since the last merge lies in files beside this one, state.db-delta-N (docs/format/state.md). One row, made
-- with the file: which of those files belong to it, and how far it has them.

CREATE TABLE delta (
    id      INTEGER PRIMARY KEY NOT NULL, -- 1
    history @BYTES@ NOT NULL,             -- 8 random bytes: files of another history are not ours
    merged  BIGINT  NOT NULL              -- the last chunk that is in the tables; 0 = none
);
