-- For pages that read only what they show, however many agents and episodes there are.
-- An agent's state as columns: from its status (online is NULL without one), its health, and whether it is silent, which the
-- server sets when time passes. After
-- this script the trainer fills these columns from the stored messages.
ALTER TABLE agents ADD COLUMN release INTEGER NOT NULL DEFAULT 0;
ALTER TABLE agents ADD COLUMN on_trial INTEGER NOT NULL DEFAULT 0;
ALTER TABLE agents ADD COLUMN online INTEGER;
ALTER TABLE agents ADD COLUMN degraded INTEGER NOT NULL DEFAULT 0;
ALTER TABLE agents ADD COLUMN silent INTEGER NOT NULL DEFAULT 0;
-- 0 offline, 1 silent, 2 unknown, 3 degraded, 4 online.
ALTER TABLE agents ADD COLUMN state INTEGER GENERATED ALWAYS AS (
    CASE WHEN online IS NULL THEN 2 WHEN online = 0 THEN 0 WHEN silent = 1 THEN 1 WHEN degraded = 1 THEN 3 ELSE 4 END
) VIRTUAL;
ALTER TABLE agents ADD COLUMN has_open INTEGER GENERATED ALWAYS AS (open_episodes > 0) VIRTUAL;
ALTER TABLE agents ADD COLUMN group_name TEXT
    GENERATED ALWAYS AS (coalesce(assigned_group, reported_group, '')) VIRTUAL;
-- The release that the agent refused or rolled back, 0 for none.
ALTER TABLE agents ADD COLUMN failed_release INTEGER GENERATED ALWAYS AS (
    CASE WHEN on_trial = 0 AND update_step IN ('refused', 'rolled-back') THEN update_release ELSE 0 END
) VIRTUAL;
-- To the minute, so that most messages leave the index as it is.
ALTER TABLE agents ADD COLUMN seen_minute INTEGER GENERATED ALWAYS AS (last_seen_s / 60) VIRTUAL;
CREATE INDEX agents_by_state ON agents (has_open, state, name);
CREATE INDEX agents_of_group ON agents (group_name, has_open, state, name);
CREATE INDEX agents_by_seen ON agents (seen_minute) WHERE online = 1 AND silent = 0;
-- Numbers of agents and of their open episodes, kept by the triggers.
CREATE TABLE agent_counts (
    state INTEGER NOT NULL, group_name TEXT NOT NULL, release INTEGER NOT NULL, on_trial INTEGER NOT NULL,
    failed_release INTEGER NOT NULL, agents INTEGER NOT NULL, open_episodes INTEGER NOT NULL,
    PRIMARY KEY (state, group_name, release, on_trial, failed_release)
) WITHOUT ROWID;
INSERT INTO agent_counts SELECT state, group_name, release, on_trial, failed_release, count(*), sum(open_episodes)
    FROM agents GROUP BY 1, 2, 3, 4, 5;
CREATE TRIGGER count_new_agent AFTER INSERT ON agents BEGIN
    INSERT INTO agent_counts VALUES
        (NEW.state, NEW.group_name, NEW.release, NEW.on_trial, NEW.failed_release, 1, NEW.open_episodes)
        ON CONFLICT DO UPDATE SET agents = agents + 1, open_episodes = open_episodes + excluded.open_episodes;
END;
CREATE TRIGGER count_removed_agent AFTER DELETE ON agents BEGIN
    UPDATE agent_counts SET agents = agents - 1, open_episodes = open_episodes - OLD.open_episodes
        WHERE state = OLD.state AND group_name = OLD.group_name AND release = OLD.release
        AND on_trial = OLD.on_trial AND failed_release = OLD.failed_release;
    DELETE FROM agent_counts WHERE state = OLD.state AND group_name = OLD.group_name AND release = OLD.release
        AND on_trial = OLD.on_trial AND failed_release = OLD.failed_release AND agents = 0;
END;
CREATE TRIGGER count_changed_agent
AFTER UPDATE OF online, silent, degraded, reported_group, assigned_group, release, on_trial, update_step, update_release,
    open_episodes ON agents
WHEN (OLD.state, OLD.group_name, OLD.release, OLD.on_trial, OLD.failed_release, OLD.open_episodes)
    <> (NEW.state, NEW.group_name, NEW.release, NEW.on_trial, NEW.failed_release, NEW.open_episodes)
BEGIN
    UPDATE agent_counts SET agents = agents - 1, open_episodes = open_episodes - OLD.open_episodes
        WHERE state = OLD.state AND group_name = OLD.group_name AND release = OLD.release
        AND on_trial = OLD.on_trial AND failed_release = OLD.failed_release;
    INSERT INTO agent_counts VALUES
        (NEW.state, NEW.group_name, NEW.release, NEW.on_trial, NEW.failed_release, 1, NEW.open_episodes)
        ON CONFLICT DO UPDATE SET agents = agents + 1, open_episodes = open_episodes + excluded.open_episodes;
    DELETE FROM agent_counts WHERE state = OLD.state AND group_name = OLD.group_name AND release = OLD.release
        AND on_trial = OLD.on_trial AND failed_release = OLD.failed_release AND agents = 0;
END;
-- An index for each combination of filters and order. A page without a filter of the state merges both states.
DROP INDEX episodes_by_message;
DROP INDEX episodes_of_agent;
DROP INDEX episodes_of_class;
DROP INDEX episodes_open;
DROP INDEX episodes_by_start;
CREATE INDEX episodes_by_message ON episodes (is_open, message);
CREATE INDEX episodes_of_agent_by_message ON episodes (agent, is_open, message);
CREATE INDEX episodes_of_class_by_message ON episodes (shown_class, is_open, message);
CREATE INDEX episodes_of_agent_and_class_by_message ON episodes (agent, shown_class, is_open, message);
CREATE INDEX episodes_by_start ON episodes (is_open, since_ns);
CREATE INDEX episodes_of_agent_by_start ON episodes (agent, is_open, since_ns);
CREATE INDEX episodes_of_class_by_start ON episodes (shown_class, is_open, since_ns);
CREATE INDEX episodes_of_agent_and_class_by_start ON episodes (agent, shown_class, is_open, since_ns);
