-- What single agents are assigned, not signed, by name: an agent keeps the serial that it has, even if the store forgets it. At
-- most 10,000. `channel`, `pin` and `alerts_per_1000_days` are NULL if they are not assigned.
CREATE TABLE assignments (
    name TEXT PRIMARY KEY, serial INTEGER NOT NULL, channel TEXT, pin INTEGER, hold INTEGER NOT NULL,
    alerts_per_1000_days INTEGER, is_set_aside INTEGER NOT NULL, issued_s INTEGER NOT NULL, who TEXT NOT NULL
) WITHOUT ROWID;
CREATE UNIQUE INDEX assignments_by_serial ON assignments (serial);
