-- Number of the newest change of each identity, so that a running server reads only what has changed.
ALTER TABLE identities ADD COLUMN revision BIGINT NOT NULL DEFAULT 0;
UPDATE identities SET revision = id;
CREATE INDEX identities_by_revision ON identities (revision);
