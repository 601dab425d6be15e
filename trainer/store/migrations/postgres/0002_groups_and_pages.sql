-- Groups of agents: the one that an agent reports, the one that an operator assigned instead, and the feature rows of each
-- group that a trainer serves.
ALTER TABLE agents ADD COLUMN reported_group TEXT COLLATE "C", ADD COLUMN assigned_group TEXT COLLATE "C";
CREATE TABLE group_rows (
    group_name TEXT COLLATE "C" PRIMARY KEY, stored BIGINT NOT NULL, trained BIGINT NOT NULL
) WITH (fillfactor = 50);
-- NULL: a request for every group that the trainer serves.
ALTER TABLE jobs ADD COLUMN group_name TEXT COLLATE "C";
-- For pages that read only what they show.
-- An agent's state as columns: from its status (online is NULL without one), its health, and whether it is silent, which the
-- server sets when time passes.
ALTER TABLE agents
    ADD COLUMN release BIGINT NOT NULL DEFAULT 0,
    ADD COLUMN on_trial SMALLINT NOT NULL DEFAULT 0,
    ADD COLUMN online SMALLINT,
    ADD COLUMN degraded SMALLINT NOT NULL DEFAULT 0,
    ADD COLUMN silent SMALLINT NOT NULL DEFAULT 0;
-- 0 offline, 1 silent, 2 unknown, 3 degraded, 4 online.
ALTER TABLE agents
    ADD COLUMN state SMALLINT GENERATED ALWAYS AS (
        CASE WHEN online IS NULL THEN 2 WHEN online = 0 THEN 0 WHEN silent = 1 THEN 1 WHEN degraded = 1 THEN 3 ELSE 4 END
    ) STORED,
    ADD COLUMN has_open SMALLINT GENERATED ALWAYS AS (CASE WHEN open_episodes > 0 THEN 1 ELSE 0 END) STORED,
    ADD COLUMN group_name TEXT COLLATE "C" GENERATED ALWAYS AS (coalesce(assigned_group, reported_group, '')) STORED,
    -- The release that the agent refused or rolled back, 0 for none.
    ADD COLUMN failed_release BIGINT GENERATED ALWAYS AS (
        CASE WHEN on_trial = 0 AND update_step IN ('refused', 'rolled-back') THEN update_release ELSE 0 END
    ) STORED,
    -- To the minute, so that most messages leave the indexes as they are.
    ADD COLUMN seen_minute BIGINT GENERATED ALWAYS AS (last_seen_s / 60) STORED;
CREATE INDEX agents_by_state ON agents (has_open, state, name);
CREATE INDEX agents_of_group ON agents (group_name, has_open, state, name);
CREATE INDEX agents_by_seen ON agents (seen_minute) WHERE online = 1 AND silent = 0;
-- Numbers of agents and of their open episodes, kept by the trigger. They are sums of shards, so that writers do not wait for
-- each other's commits; a shard alone may be negative.
CREATE TABLE agent_counts (
    shard SMALLINT NOT NULL, state SMALLINT NOT NULL, group_name TEXT COLLATE "C" NOT NULL, release BIGINT NOT NULL,
    on_trial SMALLINT NOT NULL, failed_release BIGINT NOT NULL, agents BIGINT NOT NULL, open_episodes BIGINT NOT NULL,
    PRIMARY KEY (shard, state, group_name, release, on_trial, failed_release)
) WITH (fillfactor = 50);
INSERT INTO agent_counts SELECT 0, state, group_name, release, on_trial, failed_release, count(*), sum(open_episodes)
    FROM agents GROUP BY 2, 3, 4, 5, 6;
CREATE FUNCTION count_agent(agent agents, sign SMALLINT) RETURNS VOID LANGUAGE sql AS $$
    INSERT INTO agent_counts AS c VALUES (pg_backend_pid() % 16, agent.state, agent.group_name, agent.release,
        agent.on_trial, agent.failed_release, sign, sign * agent.open_episodes)
    ON CONFLICT (shard, state, group_name, release, on_trial, failed_release)
    DO UPDATE SET agents = c.agents + excluded.agents, open_episodes = c.open_episodes + excluded.open_episodes
$$;
CREATE FUNCTION count_agents() RETURNS TRIGGER LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP <> 'INSERT' THEN PERFORM count_agent(OLD, -1::SMALLINT); END IF;
    IF TG_OP <> 'DELETE' THEN PERFORM count_agent(NEW, 1::SMALLINT); END IF;
    RETURN NULL;
END
$$;
CREATE TRIGGER count_new_or_removed_agents AFTER INSERT OR DELETE ON agents
    FOR EACH ROW EXECUTE FUNCTION count_agents();
CREATE TRIGGER count_changed_agents AFTER UPDATE ON agents FOR EACH ROW
    WHEN ((OLD.state, OLD.group_name, OLD.release, OLD.on_trial, OLD.failed_release, OLD.open_episodes)
        IS DISTINCT FROM (NEW.state, NEW.group_name, NEW.release, NEW.on_trial, NEW.failed_release, NEW.open_episodes))
    EXECUTE FUNCTION count_agents();
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
CREATE INDEX episodes_by_start ON episodes (is_open, since_ns, id);
CREATE INDEX episodes_of_agent_by_start ON episodes (agent, is_open, since_ns, id);
CREATE INDEX episodes_of_class_by_start ON episodes (shown_class, is_open, since_ns, id);
CREATE INDEX episodes_of_agent_and_class_by_start ON episodes (agent, shown_class, is_open, since_ns, id);
