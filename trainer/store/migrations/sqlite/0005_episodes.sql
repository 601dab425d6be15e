-- One row per alert episode, kept up to date by the commit that stores a message, so that no page derives episodes from
-- messages. Labels and attack classes move into it; `to_classify` is the classifier's queue: 0, or the number of changes
-- since its last pass.
CREATE TABLE episodes (
    id INTEGER PRIMARY KEY, agent INTEGER NOT NULL, episode INTEGER NOT NULL,
    -- The newest message: its row, its place among the agent's messages, and its fields.
    message INTEGER NOT NULL, run INTEGER NOT NULL, number INTEGER NOT NULL,
    state INTEGER NOT NULL, host BLOB NOT NULL, role INTEGER NOT NULL, since_ns INTEGER NOT NULL, at_ns INTEGER NOT NULL,
    peak_nats REAL NOT NULL, limit_nats REAL NOT NULL, flows INTEGER NOT NULL, odd_flows INTEGER NOT NULL,
    service_port INTEGER NOT NULL, resembles TEXT, release INTEGER NOT NULL,
    -- Over all messages: earliest start, latest time, latest time open and closed, highest limit.
    first_ns INTEGER NOT NULL, last_ns INTEGER NOT NULL, open_ns INTEGER, closed_ns INTEGER,
    highest_limit_nats REAL NOT NULL,
    -- Derived, for the indexes of the pages.
    is_open INTEGER NOT NULL, shown_class TEXT NOT NULL,
    class TEXT, class_probability REAL, class_rows INTEGER, class_model TEXT, classified_s INTEGER,
    to_classify INTEGER NOT NULL,
    label TEXT CHECK (label IN ('benign', 'attack')), labelled_by TEXT, labelled_s INTEGER,
    UNIQUE (agent, episode)
);
INSERT INTO episodes (
    agent, episode, message, run, number, state, host, role, since_ns, at_ns, peak_nats, limit_nats, flows, odd_flows,
    service_port, resembles, release, first_ns, last_ns, open_ns, closed_ns, highest_limit_nats, is_open, shown_class,
    class, class_probability, class_rows, class_model, classified_s, to_classify, label, labelled_by, labelled_s
)
SELECT
    a.agent, a.episode, a.id, a.run, a.number, a.state, a.host, a.role, a.since_ns, a.at_ns, a.peak_nats, a.limit_nats,
    a.flows, a.odd_flows, a.service_port, a.resembles, a.release, e.first_ns, e.last_ns, e.open_ns, e.closed_ns,
    e.highest_limit_nats, a.state < 2, coalesce(nullif(kinds.kind, 'unknown'), a.resembles, 'unknown'),
    kinds.kind, kinds.probability, kinds.rows, kinds.model, kinds.named_s,
    -- Alerts about the whole site, which have no host, have no rows to classify.
    a.host <> x'00000000000000000000ffff00000000' AND (
        a.id > coalesce((SELECT value FROM counters WHERE name = 'alerts-looked-at'), 0)
        OR EXISTS (
            SELECT 1 FROM samples WHERE samples.agent = a.agent
            AND samples.id > coalesce((SELECT value FROM counters WHERE name = 'samples-looked-at'), 0)
            AND suspect_last_ns >= e.first_ns AND suspect_first_ns - 60000000000 <= e.last_ns
        )
    ),
    labels.label, labels.who, labels.when_s
FROM (
    SELECT agent, episode, min(id) AS first_message, max(id) AS message, min(since_ns) AS first_ns, max(at_ns) AS last_ns,
        max(CASE WHEN state < 2 THEN at_ns END) AS open_ns, max(CASE WHEN state = 2 THEN at_ns END) AS closed_ns,
        max(limit_nats) AS highest_limit_nats
    FROM alerts GROUP BY agent, episode
) AS e
JOIN alerts AS a ON a.id = e.message
LEFT JOIN labels ON labels.agent = a.agent AND labels.episode = a.episode
LEFT JOIN kinds ON kinds.agent = a.agent AND kinds.episode = a.episode
ORDER BY e.first_message;
DROP TABLE labels;
DROP TABLE kinds;
DELETE FROM counters WHERE name IN ('alerts-looked-at', 'samples-looked-at');
DROP INDEX alerts_by_time;
-- alerts_by_episode begins with the agent as well.
DROP INDEX alerts_by_agent;
DROP INDEX alerts_opened;
-- An index per list: pages are ordered by the newest message, or by the start if they are limited to a time.
CREATE INDEX episodes_by_message ON episodes (message);
CREATE INDEX episodes_of_agent ON episodes (agent, message);
CREATE INDEX episodes_of_class ON episodes (shown_class, message);
CREATE INDEX episodes_open ON episodes (message) WHERE is_open = 1;
CREATE INDEX episodes_by_start ON episodes (since_ns);
CREATE INDEX episodes_by_end ON episodes (agent, last_ns);
CREATE INDEX episodes_to_classify ON episodes (id) WHERE to_classify > 0;
CREATE INDEX episodes_labelled ON episodes (label, labelled_s) WHERE label IS NOT NULL;
-- Episodes by the day of their start, for the chart.
CREATE TABLE episode_days (
    day INTEGER NOT NULL, agent INTEGER NOT NULL, episodes INTEGER NOT NULL, PRIMARY KEY (day, agent)
) WITHOUT ROWID;
INSERT INTO episode_days SELECT since_ns / 86400000000000, agent, count(*) FROM episodes GROUP BY 1, 2;
-- What the list of agents shows, by agent: open episodes and the newest update report.
ALTER TABLE agents ADD COLUMN open_episodes INTEGER NOT NULL DEFAULT 0;
ALTER TABLE agents ADD COLUMN update_run INTEGER;
ALTER TABLE agents ADD COLUMN update_number INTEGER;
ALTER TABLE agents ADD COLUMN update_release INTEGER;
ALTER TABLE agents ADD COLUMN update_step TEXT;
ALTER TABLE agents ADD COLUMN update_reason TEXT;
ALTER TABLE agents ADD COLUMN update_s INTEGER;
UPDATE agents SET open_episodes = (SELECT count(*) FROM episodes WHERE episodes.agent = agents.id AND is_open = 1);
UPDATE agents SET (update_run, update_number, update_release, update_step, update_reason, update_s) =
    (SELECT run, number, release, step, reason, received_s FROM updates WHERE updates.agent = agents.id
     ORDER BY id DESC LIMIT 1);
