-- Requests of running agents for their next certificates, and the responses. States: 0 waits, 1 is answered, 2 is sent.
CREATE TABLE renewals (
    agent TEXT COLLATE "C" PRIMARY KEY, request BYTEA NOT NULL, asked_s BIGINT NOT NULL,
    state SMALLINT NOT NULL DEFAULT 0, response BYTEA
);
CREATE INDEX renewals_by_state ON renewals (state, asked_s) WHERE state < 2;
