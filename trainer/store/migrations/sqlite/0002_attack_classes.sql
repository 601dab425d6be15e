-- Attack classes of episodes, and the columns that find the rows to classify: times of the first and last row of a host
-- in an episode, by batch. Batches of older files lack these times, so their rows are not classified.
ALTER TABLE samples ADD COLUMN suspect_first_ns INTEGER;
ALTER TABLE samples ADD COLUMN suspect_last_ns INTEGER;
CREATE INDEX samples_by_suspects ON samples (agent, suspect_last_ns) WHERE suspect_last_ns IS NOT NULL;
CREATE INDEX alerts_by_time ON alerts (agent, at_ns);
CREATE TABLE kinds (
    agent INTEGER NOT NULL, episode INTEGER NOT NULL, kind TEXT NOT NULL, probability REAL, rows INTEGER NOT NULL,
    model TEXT NOT NULL, named_s INTEGER NOT NULL, PRIMARY KEY (agent, episode)
) WITHOUT ROWID;
