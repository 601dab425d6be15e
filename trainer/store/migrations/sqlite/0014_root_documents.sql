-- Signed root documents that were published. The agents' chain is made of them.
CREATE TABLE root_documents (
    version INTEGER PRIMARY KEY, bytes BLOB NOT NULL, stored_s INTEGER NOT NULL, who TEXT NOT NULL
);
