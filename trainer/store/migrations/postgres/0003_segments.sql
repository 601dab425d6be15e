-- Feature rows that have left `samples` for a Parquet file, as in SQLite's version 6. The transaction that adds a row of
-- `segments` deletes the batches. Its id is the number of changes of this table up to then, so a later segment has a higher
-- one, also after the newest was removed.
CREATE TABLE segments (
    id BIGINT PRIMARY KEY, file TEXT COLLATE "C" NOT NULL UNIQUE, group_name TEXT COLLATE "C" NOT NULL,
    schema BIGINT NOT NULL, bytes BIGINT NOT NULL, sha256 BYTEA NOT NULL, rows BIGINT NOT NULL, batches BIGINT NOT NULL,
    first_ns BIGINT NOT NULL, last_ns BIGINT NOT NULL, first_arrival BIGINT NOT NULL, last_arrival BIGINT NOT NULL,
    made_s BIGINT NOT NULL,
    -- 1: made of other segments, whose rows a reader may have read already.
    is_rewritten SMALLINT NOT NULL,
    -- 1: the file has rows of an agent that an operator removed.
    has_forgotten SMALLINT NOT NULL DEFAULT 0
);
CREATE INDEX segments_by_arrival ON segments (schema, last_arrival);
-- The agents whose rows of a segment count. Rows of others, which were removed or exceed a limit, are skipped until the file
-- is written again without them.
CREATE TABLE segment_agents (
    segment BIGINT NOT NULL, agent BIGINT NOT NULL, rows BIGINT NOT NULL, batches BIGINT NOT NULL,
    bytes BIGINT NOT NULL, last_arrival BIGINT NOT NULL,
    -- Time of the newest row in the newest batch, and of the first and last row of a host in an episode.
    newest_ns BIGINT NOT NULL, suspect_first_ns BIGINT, suspect_last_ns BIGINT,
    PRIMARY KEY (segment, agent)
);
CREATE INDEX segment_agents_by_arrival ON segment_agents (agent, last_arrival);
CREATE INDEX segment_agents_by_suspects ON segment_agents (agent, suspect_last_ns) WHERE suspect_last_ns IS NOT NULL;
-- Files that no segment names any more; they are deleted when nothing can be reading them.
CREATE TABLE removed_segments (file TEXT COLLATE "C" PRIMARY KEY, removed_s BIGINT NOT NULL);
CREATE TABLE settings (name TEXT COLLATE "C" PRIMARY KEY, value TEXT NOT NULL);
