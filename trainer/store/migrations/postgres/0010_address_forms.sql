-- What the host of an episode is: NULL an address, 0 a pseudonym that no key resolves, otherwise the identifier of the key
-- that resolves it.
ALTER TABLE episodes ADD COLUMN address_key BIGINT;
