-- How soon retention may take a record. 0: version 1 wrote it, whose hashes do not have
-- these two columns.
ALTER TABLE record ADD COLUMN class INTEGER NOT NULL DEFAULT 0;
-- How the body is stored: 0 as it is, 1 packed.
ALTER TABLE record ADD COLUMN form  INTEGER NOT NULL DEFAULT 0;

-- What retention takes first, in order: by the number, which every index ends in.
CREATE INDEX minor  ON record (seq) WHERE class = 1;
CREATE INDEX normal ON record (seq) WHERE class = 2 OR (class = 0 AND kind = 'action' AND outcome NOT IN ('live', 'unloaded')
  AND (outcome <> 'pending' OR action = 'request'));

-- What changed which modules are loaded.
DROP INDEX changes;
CREATE INDEX changes ON record (module)
  WHERE kind IN ('present', 'appeared', 'vanished') OR (kind = 'action' AND outcome IN ('live', 'unloaded'));

-- Parts of bodies that several of them have, by their SHA-256, and how many bodies and
-- other parts have each.
CREATE TABLE shared (
  sum   BLOB PRIMARY KEY NOT NULL,
  refs  INTEGER NOT NULL,
  value BLOB NOT NULL
) STRICT;
