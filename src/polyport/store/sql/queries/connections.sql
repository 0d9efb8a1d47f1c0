-- name: reserve_connection
-- The id of a connection that is about to be made; its secrets are sealed under it.
UPDATE sequences SET value = value + 1 WHERE name = 'connection' RETURNING value;

-- name: insert_connection
-- A new connection.
INSERT INTO connections (connection_id, account_id, partner_id, title, status, auth, account_label, external_user_id, metadata, shown, data_key,
    sealed, generation, data_status, last_error, last_used_at, last_verified_at, created_at, updated_at)
VALUES (:connection_id, :account_id, :partner_id, :title, :status, :auth, :account_label, COALESCE(:only_user, :external_user_id), :metadata, :shown, :data_key,
    :sealed, :generation, :data_status, :last_error, :last_used_at, :last_verified_at, :created_at, :updated_at);

-- name: connection
-- One connection of an account.
SELECT connection_id, account_id, partner_id, title, status, auth, account_label, external_user_id, metadata, shown, data_key,
    sealed, generation, data_status, last_error, last_used_at, last_verified_at, created_at, updated_at
FROM connections WHERE connection_id = :connection_id AND account_id = :account_id
    AND (:only_user IS NULL OR external_user_id = :only_user);

-- name: connections
-- A page of an account's connections that meet every filter given.
SELECT connection_id, account_id, partner_id, title, status, auth, account_label, external_user_id, metadata, shown, data_key,
    sealed, generation, data_status, last_error, last_used_at, last_verified_at, created_at, updated_at
FROM connections
WHERE account_id = :account_id
    AND (:only_user IS NULL OR external_user_id = :only_user)
    AND (:partner_id IS NULL OR partner_id = :partner_id)
    AND (:status IS NULL OR status = :status)
    AND (:external_user_id IS NULL OR external_user_id = :external_user_id)
    AND (:title IS NULL OR title = :title)
    AND (:title_like IS NULL OR instr(lower(title), lower(:title_like)) > 0)
ORDER BY
    CASE WHEN :sort = 'title' THEN lower(title) END ASC,
    CASE WHEN :sort = '-title' THEN lower(title) END DESC,
    CASE WHEN :sort = '-credentialId' THEN connection_id END DESC,
    connection_id ASC
LIMIT :limit OFFSET :offset;

-- name: count_connections
-- How many connections of an account meet every filter given.
SELECT COUNT(*) FROM connections
WHERE account_id = :account_id
    AND (:only_user IS NULL OR external_user_id = :only_user)
    AND (:partner_id IS NULL OR partner_id = :partner_id)
    AND (:status IS NULL OR status = :status)
    AND (:external_user_id IS NULL OR external_user_id = :external_user_id)
    AND (:title IS NULL OR title = :title)
    AND (:title_like IS NULL OR instr(lower(title), lower(:title_like)) > 0);

-- name: patch_connection
-- What people say about a connection.
UPDATE connections SET title = :title, metadata = :metadata, external_user_id = COALESCE(:only_user, :external_user_id), updated_at = :now
WHERE connection_id = :connection_id AND account_id = :account_id
    AND (:only_user IS NULL OR external_user_id = :only_user);

-- name: replace_secrets
-- New fields for a connection, if nobody else replaced them since they were read.
UPDATE connections SET auth = :auth, shown = :shown, sealed = :sealed, generation = generation + 1, status = :status,
    last_error = NULL, account_label = :account_label, last_verified_at = :last_verified_at, updated_at = :now
WHERE connection_id = :connection_id AND account_id = :account_id AND generation = :generation
    AND (:only_user IS NULL OR external_user_id = :only_user);

-- name: verified_connection
-- What a verify call found.
UPDATE connections SET status = :status, account_label = COALESCE(:account_label, account_label), last_error = :last_error,
    last_verified_at = CASE WHEN :status = 'active' THEN :now ELSE last_verified_at END, updated_at = :now
WHERE connection_id = :connection_id AND account_id = :account_id AND generation = :generation
    AND (:only_user IS NULL OR external_user_id = :only_user);

-- name: touch_connection
-- When a connection was last used.
UPDATE connections SET last_used_at = :now WHERE connection_id = :connection_id;

-- name: set_data_status
-- Where the re-reading of a connection's lists stands, if it stood where the caller thinks.
UPDATE connections SET data_status = :data_status WHERE connection_id = :connection_id AND data_status = :was;

-- name: delete_connection
-- Drop a connection with all that was kept for it.
DELETE FROM connections WHERE connection_id = :connection_id AND account_id = :account_id
    AND (:only_user IS NULL OR external_user_id = :only_user);

-- name: cached_list
-- What was read from a partner for a connection.
SELECT connection_id, name, sealed, read_at, stale_at FROM cached_lists WHERE connection_id = :connection_id AND name = :name;

-- name: put_cached_list
-- Keep what was read from a partner for a connection.
INSERT INTO cached_lists (connection_id, name, sealed, read_at, stale_at) VALUES (:connection_id, :name, :sealed, :read_at, :stale_at)
ON CONFLICT (connection_id, name) DO UPDATE SET sealed = excluded.sealed, read_at = excluded.read_at, stale_at = excluded.stale_at;

-- name: delete_cached_lists
-- Forget what was read from a partner for a connection.
DELETE FROM cached_lists WHERE connection_id = :connection_id;
