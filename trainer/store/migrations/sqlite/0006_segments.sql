-- Feature rows that have left `samples` for a Parquet file. A row of `segments` makes the file visible; the transaction that
-- adds it deletes the batches. Its id is the number of changes of this table up to then, so a later segment has a higher
-- one, also after the newest was removed.
CREATE TABLE segments (
    id INTEGER PRIMARY KEY, file TEXT NOT NULL UNIQUE, group_name TEXT NOT NULL, schema INTEGER NOT NULL,
    bytes INTEGER NOT NULL, sha256 BLOB NOT NULL, rows INTEGER NOT NULL, batches INTEGER NOT NULL,
    first_ns INTEGER NOT NULL, last_ns INTEGER NOT NULL, first_arrival INTEGER NOT NULL, last_arrival INTEGER NOT NULL,
    made_s INTEGER NOT NULL,
    -- 1: made of other segments, whose rows a reader may have read already.
    is_rewritten INTEGER NOT NULL,
    -- 1: the file has rows of an agent that an operator removed.
    has_forgotten INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX segments_by_arrival ON segments (schema, last_arrival);
-- The agents whose rows of a segment count. Rows of others, which were removed or exceed a limit, are skipped until the file
-- is written again without them.
CREATE TABLE segment_agents (
    segment INTEGER NOT NULL, agent INTEGER NOT NULL, rows INTEGER NOT NULL, batches INTEGER NOT NULL,
    bytes INTEGER NOT NULL, last_arrival INTEGER NOT NULL,
    -- Time of the newest row in the newest batch, and of the first and last row of a host in an episode.
    newest_ns INTEGER NOT NULL, suspect_first_ns INTEGER, suspect_last_ns INTEGER,
    PRIMARY KEY (segment, agent)
) WITHOUT ROWID;
CREATE INDEX segment_agents_by_arrival ON segment_agents (agent, last_arrival);
CREATE INDEX segment_agents_by_suspects ON segment_agents (agent, suspect_last_ns) WHERE suspect_last_ns IS NOT NULL;
-- Files that no segment names any more; they are deleted when nothing can be reading them.
CREATE TABLE removed_segments (file TEXT PRIMARY KEY, removed_s INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE settings (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
