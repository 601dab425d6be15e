CREATE TABLE agents (
    id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, run INTEGER NOT NULL, last_seen_s INTEGER NOT NULL,
    status BLOB, health BLOB, sample_rows INTEGER NOT NULL DEFAULT 0, alerts INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE progress (
    agent INTEGER NOT NULL, run INTEGER NOT NULL, up_to INTEGER NOT NULL, beyond BLOB NOT NULL, used INTEGER NOT NULL,
    PRIMARY KEY (agent, run)
) WITHOUT ROWID;
CREATE TABLE alerts (
    id INTEGER PRIMARY KEY, agent INTEGER NOT NULL, run INTEGER NOT NULL, number INTEGER NOT NULL,
    episode INTEGER NOT NULL, state INTEGER NOT NULL, host BLOB NOT NULL, role INTEGER NOT NULL,
    since_ns INTEGER NOT NULL, at_ns INTEGER NOT NULL, peak_nats REAL NOT NULL, limit_nats REAL NOT NULL,
    flows INTEGER NOT NULL, odd_flows INTEGER NOT NULL, service_port INTEGER NOT NULL, resembles TEXT,
    release INTEGER NOT NULL, received_s INTEGER NOT NULL, payload BLOB NOT NULL
);
CREATE INDEX alerts_by_episode ON alerts (agent, episode);
CREATE TABLE labels (
    agent INTEGER NOT NULL, episode INTEGER NOT NULL, label TEXT NOT NULL CHECK (label IN ('benign', 'attack')),
    who TEXT NOT NULL, when_s INTEGER NOT NULL, PRIMARY KEY (agent, episode)
) WITHOUT ROWID;
CREATE TABLE schemas (id INTEGER PRIMARY KEY, sha256 BLOB NOT NULL UNIQUE);
CREATE TABLE samples (
    id INTEGER PRIMARY KEY, agent INTEGER NOT NULL, run INTEGER NOT NULL, number INTEGER NOT NULL,
    schema INTEGER NOT NULL, rows INTEGER NOT NULL, payload BLOB NOT NULL
);
CREATE TABLE updates (
    id INTEGER PRIMARY KEY, agent INTEGER NOT NULL, run INTEGER NOT NULL, number INTEGER NOT NULL,
    release INTEGER NOT NULL, step TEXT NOT NULL, reason TEXT, received_s INTEGER NOT NULL
);
CREATE TABLE releases (
    group_name TEXT NOT NULL, version INTEGER NOT NULL, manifest_sha256 BLOB NOT NULL, made_s INTEGER NOT NULL,
    file TEXT NOT NULL, PRIMARY KEY (group_name, version)
) WITHOUT ROWID;
CREATE TABLE jobs (
    id INTEGER PRIMARY KEY, asked_s INTEGER NOT NULL, who TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('waiting', 'running', 'done', 'failed')), ended_s INTEGER, result TEXT
);
CREATE TABLE counters (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
