-- For the dashboard: the previous health message for rates, the reason of a release, and an index per list.
ALTER TABLE agents ADD COLUMN health_before BLOB;
ALTER TABLE releases ADD COLUMN reason TEXT;
CREATE INDEX alerts_by_agent ON alerts (agent);
CREATE INDEX alerts_opened ON alerts (since_ns, agent) WHERE state = 0;
CREATE INDEX updates_by_agent ON updates (agent);
