-- What we decide, second part: questions worth keeping, and people worth keeping together.

CREATE TABLE saved_report (
    id         @ID@,
    name       TEXT NOT NULL UNIQUE, -- what a person calls it
    report     TEXT NOT NULL,        -- "trend", "funnel", …
    question   TEXT NOT NULL,        -- JSON, as it was asked
    created_us BIGINT NOT NULL       -- microseconds UTC
);

CREATE TABLE segment_list (
    id         @ID@,
    name       TEXT NOT NULL UNIQUE, -- what a person calls it
    report     TEXT NOT NULL,        -- the report that a cell of was saved
    created_us BIGINT NOT NULL,      -- microseconds UTC
    is_ready   INTEGER NOT NULL      -- 0 while it is filled or emptied: nobody sees it, the next start drops it
);

CREATE TABLE segment_member (
    list    BIGINT NOT NULL, -- segment_list.id
    visitor BIGINT NOT NULL, -- one visitor of each person: whoever it belongs to is on the list
    PRIMARY KEY (list, visitor)
) @CLUSTER@;

CREATE INDEX segment_member_visitor ON segment_member (visitor); -- an erase asks by it
