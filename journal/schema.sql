-- One journal. The number and hash of its last record are kept apart from the chain.
CREATE TABLE head (
  one     INTEGER PRIMARY KEY CHECK (one = 1),
  journal TEXT NOT NULL,
  seq     INTEGER NOT NULL,
  hash    BLOB NOT NULL
) STRICT;

CREATE TABLE record (
  seq       INTEGER PRIMARY KEY,
  id        TEXT NOT NULL UNIQUE,
  time      INTEGER NOT NULL, -- nanoseconds since 1970
  boot      TEXT NOT NULL,
  kind      TEXT NOT NULL,
  module    TEXT NOT NULL,
  action    TEXT NOT NULL,
  outcome   TEXT NOT NULL,
  cause     TEXT NOT NULL,
  user      TEXT NOT NULL,
  container TEXT NOT NULL,
  file      TEXT NOT NULL,
  content   TEXT NOT NULL,
  uid       INTEGER,
  count     INTEGER NOT NULL,
  prev      BLOB NOT NULL,
  hash      BLOB NOT NULL,
  body      BLOB NOT NULL     -- last: it may fill pages of its own
) STRICT;

-- Every index ends in seq, so that one filter gives its records in order.
CREATE INDEX by_boot      ON record (boot);
CREATE INDEX by_kind      ON record (kind);
CREATE INDEX by_module    ON record (module)    WHERE module <> '';
CREATE INDEX by_action    ON record (action)    WHERE action <> '';
CREATE INDEX by_outcome   ON record (outcome)   WHERE outcome <> '';
CREATE INDEX by_cause     ON record (cause)     WHERE cause <> '';
CREATE INDEX by_user      ON record (user)      WHERE user <> '';
CREATE INDEX by_container ON record (container) WHERE container <> '';
CREATE INDEX by_file      ON record (file)      WHERE file <> '';
CREATE INDEX by_content   ON record (content)   WHERE content <> '';
CREATE INDEX by_uid       ON record (uid)       WHERE uid IS NOT NULL;
-- What changed which modules are loaded.
CREATE INDEX changes      ON record (module)
  WHERE kind = 'present' OR (kind = 'action' AND outcome IN ('live', 'unloaded'));

-- The earliest and latest time in each block of records: times are not in order, but
-- where a time can be is narrowed down by these.
CREATE TABLE span (
  block INTEGER PRIMARY KEY,
  lo    INTEGER NOT NULL,
  hi    INTEGER NOT NULL
) STRICT;

-- When each module, file and content was seen first, also where retention has removed
-- that record.
CREATE TABLE first (
  what  TEXT NOT NULL,
  value TEXT NOT NULL,
  seq   INTEGER NOT NULL,
  time  INTEGER NOT NULL,
  id    TEXT NOT NULL,
  PRIMARY KEY (what, value)
) STRICT, WITHOUT ROWID;
CREATE INDEX first_by_seq ON first (seq);

-- How far each output has come. No part of the chain.
CREATE TABLE cursor (
  name TEXT PRIMARY KEY,
  seq  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
