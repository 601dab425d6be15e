-- Requests of running agents for their next certificates, and the responses. States: 0 waits, 1 is answered, 2 is sent.
CREATE TABLE renewals (
    agent TEXT PRIMARY KEY, request BLOB NOT NULL, asked_s INTEGER NOT NULL, state INTEGER NOT NULL DEFAULT 0,
    response BLOB
);
CREATE INDEX renewals_by_state ON renewals (state, asked_s) WHERE state < 2;
