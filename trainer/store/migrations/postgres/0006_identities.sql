-- Tokens that enrol agents, and the agents' identities. Numbers are never used again: certificates contain them.
CREATE TABLE enrolment_tokens (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY, secret BYTEA NOT NULL, group_name TEXT COLLATE "C" NOT NULL,
    name TEXT COLLATE "C", uses BIGINT NOT NULL, used BIGINT NOT NULL DEFAULT 0, until_s BIGINT NOT NULL,
    must_be_accepted SMALLINT NOT NULL, replaces SMALLINT NOT NULL, who TEXT NOT NULL, created_s BIGINT NOT NULL
);
CREATE TABLE identities (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name TEXT COLLATE "C" NOT NULL UNIQUE,
    fingerprint BYTEA NOT NULL UNIQUE, group_name TEXT COLLATE "C" NOT NULL,
    state TEXT COLLATE "C" NOT NULL CHECK (state IN ('waiting', 'accepted', 'revoked')),
    issued BIGINT NOT NULL DEFAULT 0, until_s BIGINT NOT NULL DEFAULT 0, enrolled_s BIGINT NOT NULL,
    token BIGINT NOT NULL, who TEXT NOT NULL, changed_s BIGINT NOT NULL
);
CREATE INDEX identities_by_state ON identities (state, name);
