-- Signed root documents that were published. The agents' chain is made of them.
CREATE TABLE root_documents (
    version BIGINT PRIMARY KEY, bytes BYTEA NOT NULL, stored_s BIGINT NOT NULL, who TEXT NOT NULL
);
