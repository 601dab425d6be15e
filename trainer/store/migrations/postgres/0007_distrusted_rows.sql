-- Rows up to this position in the order of arrival do not train: they are of a revoked key that had the name before.
ALTER TABLE identities ADD COLUMN rows_after BIGINT NOT NULL DEFAULT 0;
