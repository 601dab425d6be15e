-- Groups of agents: the one that an agent reports, the one that an operator assigned instead, and the feature rows of each
-- group that a trainer serves.
ALTER TABLE agents ADD COLUMN reported_group TEXT;
ALTER TABLE agents ADD COLUMN assigned_group TEXT;
CREATE INDEX agents_by_group ON agents (coalesce(assigned_group, reported_group));
CREATE TABLE group_rows (
    group_name TEXT PRIMARY KEY, stored INTEGER NOT NULL, trained INTEGER NOT NULL
) WITHOUT ROWID;
-- NULL: a request for every group that the trainer serves.
ALTER TABLE jobs ADD COLUMN group_name TEXT;
