-- Campaigns, of which a group has one at most that has not ended, and the newest 1,000 that have. `body` is JSON; the other
-- columns repeat what statements need of it.
CREATE TABLE campaigns (
    id INTEGER PRIMARY KEY, group_name TEXT NOT NULL, version INTEGER NOT NULL, state TEXT NOT NULL,
    is_open INTEGER NOT NULL, revision INTEGER NOT NULL, made_s INTEGER NOT NULL, changed_s INTEGER NOT NULL,
    body TEXT NOT NULL
);
CREATE UNIQUE INDEX campaigns_open ON campaigns (group_name) WHERE is_open = 1;
CREATE INDEX campaigns_of_group ON campaigns (group_name, id);
-- The newest 1,000 changes of each campaign. `who` is NULL for a change that no person made.
CREATE TABLE campaign_transitions (
    campaign INTEGER NOT NULL, number INTEGER NOT NULL, at_s INTEGER NOT NULL, state TEXT NOT NULL,
    wave INTEGER, wave_state TEXT, who TEXT, why TEXT NOT NULL, PRIMARY KEY (campaign, number)
) WITHOUT ROWID;
-- The newest 1,428 results of each of the seven gates of a campaign: at most 10,000. `missing` is what an undecided gate lacks.
CREATE TABLE gate_results (
    campaign INTEGER NOT NULL, gate TEXT NOT NULL, number INTEGER NOT NULL, wave INTEGER NOT NULL,
    since_s INTEGER NOT NULL, at_s INTEGER NOT NULL, verdict TEXT NOT NULL, missing TEXT NOT NULL,
    numerator REAL NOT NULL, denominator REAL NOT NULL, control_numerator REAL NOT NULL,
    control_denominator REAL NOT NULL, threshold REAL NOT NULL, text TEXT NOT NULL, PRIMARY KEY (campaign, gate, number)
) WITHOUT ROWID;
-- What was published, not signed: the newest 1,000 rollouts of each group.
CREATE TABLE rollouts (
    group_name TEXT NOT NULL, serial INTEGER NOT NULL, body BLOB NOT NULL, issued_s INTEGER NOT NULL,
    campaign INTEGER NOT NULL, PRIMARY KEY (group_name, serial)
) WITHOUT ROWID;
-- By agent, if it reports its release: the version in use, what the one before cost, and since when its coverage is degraded.
-- The report itself is a part of agents.health.
CREATE TABLE release_health (
    agent INTEGER PRIMARY KEY, version INTEGER NOT NULL, first_s INTEGER NOT NULL, degraded_since_s INTEGER,
    before_version INTEGER NOT NULL, before_cpu_ms INTEGER NOT NULL, before_packets INTEGER NOT NULL
);
CREATE INDEX updates_of_release ON updates (release, agent);
