-- Episodes of several sites that belong together. `key` is the rule, the cause and what the rule compares; `severity` is 1 low to
-- 4 critical; `active_s` is when the trainer last added an episode or a message.
CREATE TABLE incidents (
    id INTEGER PRIMARY KEY, rule TEXT NOT NULL, cause TEXT NOT NULL, key TEXT NOT NULL, group_name TEXT NOT NULL,
    release INTEGER NOT NULL, state TEXT NOT NULL, verdict TEXT, severity INTEGER NOT NULL, first_s INTEGER NOT NULL,
    last_s INTEGER NOT NULL, active_s INTEGER NOT NULL, sites INTEGER NOT NULL, episodes INTEGER NOT NULL, assigned TEXT,
    seen_by TEXT, resolved_by TEXT, again_of INTEGER, merged_into INTEGER, made_s INTEGER NOT NULL
);
CREATE INDEX incidents_by_key ON incidents (key, id);
CREATE INDEX incidents_by_state ON incidents (state, id);
-- An episode belongs to one incident at most, with the sentence that says why. `pinned`: a person put it there.
CREATE TABLE incident_episodes (
    agent INTEGER NOT NULL, episode INTEGER NOT NULL, incident INTEGER NOT NULL, joined_by TEXT NOT NULL, why TEXT NOT NULL,
    pinned INTEGER NOT NULL, severity INTEGER NOT NULL, since_s INTEGER NOT NULL, last_s INTEGER NOT NULL,
    at_s INTEGER NOT NULL, PRIMARY KEY (agent, episode)
) WITHOUT ROWID;
CREATE INDEX episodes_of_incident ON incident_episodes (incident, at_s);
-- What people wrote and did; `on_kind` is `incident`.
CREATE TABLE notes (
    id INTEGER PRIMARY KEY, on_kind TEXT NOT NULL, on_id TEXT NOT NULL, who TEXT NOT NULL, at_s INTEGER NOT NULL,
    text TEXT NOT NULL
);
CREATE INDEX notes_by_object ON notes (on_kind, on_id, id);
-- The joiner's queue: 0, or the number of changes since its last pass. Episodes of earlier versions join nothing until they
-- change. `join_cause` is what the joiner took for the cause; NULL until then, and for test alerts.
ALTER TABLE episodes ADD COLUMN to_join INTEGER NOT NULL DEFAULT 0;
ALTER TABLE episodes ADD COLUMN join_cause TEXT;
CREATE INDEX episodes_to_join ON episodes (id) WHERE to_join > 0;
CREATE INDEX episodes_by_cause ON episodes (join_cause, since_ns) WHERE join_cause IS NOT NULL;
-- A deleted episode leaves its incident, whoever deletes it.
CREATE TRIGGER leave_incident AFTER DELETE ON episodes BEGIN
    DELETE FROM incident_episodes WHERE agent = OLD.agent AND episode = OLD.episode;
END;
