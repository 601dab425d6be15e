-- People who use the web page and the API, with their sessions, tokens and links. Secrets are stored as SHA-256, passwords
-- as PHC strings of Argon2id. A person without a password gets one with a link; a link without a person adds the first one.
CREATE TABLE people (
    name TEXT PRIMARY KEY, role TEXT NOT NULL CHECK (role IN ('viewer', 'operator', 'administrator')), password TEXT,
    created_s INTEGER NOT NULL, who TEXT NOT NULL
);
CREATE TABLE sessions (
    sha256 BLOB PRIMARY KEY, person TEXT NOT NULL, created_s INTEGER NOT NULL, used_s INTEGER NOT NULL
);
CREATE INDEX sessions_of_person ON sessions (person, used_s);
CREATE TABLE api_tokens (
    id INTEGER PRIMARY KEY AUTOINCREMENT, sha256 BLOB NOT NULL UNIQUE, person TEXT NOT NULL, label TEXT NOT NULL,
    role TEXT NOT NULL CHECK (role IN ('viewer', 'operator', 'administrator')), created_s INTEGER NOT NULL,
    until_s INTEGER NOT NULL, used_s INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX api_tokens_of_person ON api_tokens (person, id);
CREATE TABLE links (sha256 BLOB PRIMARY KEY, person TEXT UNIQUE, until_s INTEGER NOT NULL);
