-- name: sealing_key
-- The id of the master key that seals.
SELECT key_id FROM master_keys WHERE retired_at IS NULL ORDER BY place DESC LIMIT 1;

-- name: master_keys
-- All master keys that ever sealed here, the latest first.
SELECT key_id, since, retired_at FROM master_keys ORDER BY place DESC;

-- name: first_master_key
-- The master key that seals in a database where none has sealed yet.
INSERT INTO master_keys (key_id, place, since) SELECT :key_id, 1, :now WHERE NOT EXISTS (SELECT 1 FROM master_keys);

-- name: lead_master_key
-- Let a master key seal from now on; one that is retired never does again.
INSERT INTO master_keys (key_id, place, since) SELECT :key_id, COALESCE(MAX(place), 0) + 1, :now FROM master_keys WHERE true
ON CONFLICT (key_id) DO UPDATE SET place = excluded.place, since = excluded.since WHERE master_keys.retired_at IS NULL;

-- name: retire_master_key
-- Let a master key seal nothing any more, if it is not the one that seals and no data key needs it.
UPDATE master_keys SET retired_at = COALESCE(retired_at, :now)
WHERE key_id = :key_id
    AND key_id <> COALESCE((SELECT key_id FROM master_keys WHERE retired_at IS NULL ORDER BY place DESC LIMIT 1), x'')
    AND NOT EXISTS (SELECT 1 FROM data_keys WHERE key_id = :key_id);

-- name: data_key_counts
-- How many data keys of each kind are under which master key.
SELECT holder, key_id, count FROM data_key_census ORDER BY holder, key_id;

-- name: data_keys_under
-- The next data keys of one kind under a master key.
SELECT id, account_id, partner_id, data_key FROM data_keys WHERE holder = :holder AND key_id = :key_id AND id > :after ORDER BY id LIMIT :limit;

-- name: rewrap_accounts
-- An account's data key under another master key, if nobody else rewrapped it since it was read.
UPDATE accounts SET data_key = :data_key WHERE account_id = :id AND data_key = :was;

-- name: rewrap_connections
-- A connection's data key under another master key, if nobody else rewrapped it since it was read.
UPDATE connections SET data_key = :data_key WHERE connection_id = :id AND data_key = :was;

-- name: rewrap_oauth_apps
-- An OAuth app's data key under another master key, if nobody else rewrapped it since it was read.
UPDATE oauth_apps SET data_key = :data_key WHERE app_id = :id AND data_key = :was;
