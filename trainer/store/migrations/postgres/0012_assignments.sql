-- What single agents are assigned, not signed, by name: an agent keeps the serial that it has, even if the store forgets it. At
-- most 10,000. `channel`, `pin` and `alerts_per_1000_days` are NULL if they are not assigned.
CREATE TABLE assignments (
    name TEXT COLLATE "C" PRIMARY KEY, serial BIGINT NOT NULL, channel TEXT, pin BIGINT, hold BIGINT NOT NULL,
    alerts_per_1000_days BIGINT, is_set_aside BIGINT NOT NULL, issued_s BIGINT NOT NULL, who TEXT NOT NULL
);
CREATE UNIQUE INDEX assignments_by_serial ON assignments (serial);
