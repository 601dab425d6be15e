-- What people and processes changed, as in SQLite's version 9; each entry has the SHA-256 of the one before it. Older
-- entries than the newest 100,000 are deleted. The head is the newest entry, so that its removal shows, too.
CREATE TABLE audit (
    number BIGINT PRIMARY KEY, at_s BIGINT NOT NULL, who TEXT NOT NULL, action TEXT NOT NULL, object TEXT NOT NULL,
    detail TEXT NOT NULL, previous BYTEA NOT NULL
);
CREATE TABLE audit_head (id INTEGER PRIMARY KEY CHECK (id = 1), number BIGINT NOT NULL, sha256 BYTEA NOT NULL);
