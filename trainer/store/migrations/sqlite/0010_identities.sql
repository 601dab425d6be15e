-- Tokens that enrol agents, and the agents' identities. Numbers are never used again: certificates contain them.
CREATE TABLE enrolment_tokens (
    id INTEGER PRIMARY KEY AUTOINCREMENT, secret BLOB NOT NULL, group_name TEXT NOT NULL, name TEXT,
    uses INTEGER NOT NULL, used INTEGER NOT NULL DEFAULT 0, until_s INTEGER NOT NULL,
    must_be_accepted INTEGER NOT NULL, replaces INTEGER NOT NULL, who TEXT NOT NULL, created_s INTEGER NOT NULL
);
CREATE TABLE identities (
    id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE, fingerprint BLOB NOT NULL UNIQUE,
    group_name TEXT NOT NULL, state TEXT NOT NULL CHECK (state IN ('waiting', 'accepted', 'revoked')),
    issued INTEGER NOT NULL DEFAULT 0, until_s INTEGER NOT NULL DEFAULT 0, enrolled_s INTEGER NOT NULL,
    token INTEGER NOT NULL, who TEXT NOT NULL, changed_s INTEGER NOT NULL
);
CREATE INDEX identities_by_state ON identities (state, name);
