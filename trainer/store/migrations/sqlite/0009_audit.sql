-- What people and processes changed; each entry has the SHA-256 of the one before it. Older entries than the newest 100,000
-- are deleted. The head is the newest entry, so that its removal shows, too.
CREATE TABLE audit (
    number INTEGER PRIMARY KEY, at_s INTEGER NOT NULL, who TEXT NOT NULL, action TEXT NOT NULL, object TEXT NOT NULL,
    detail TEXT NOT NULL, previous BLOB NOT NULL
);
CREATE TABLE audit_head (id INTEGER PRIMARY KEY CHECK (id = 1), number INTEGER NOT NULL, sha256 BLOB NOT NULL);
