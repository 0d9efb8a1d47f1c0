-- part: connection_columns
-- What a connection is read from.
connection_id, account_id, partner_id, title, status, auth, account_label, external_user_id, metadata, shown, data_key,
    sealed, generation, data_status, last_error, last_used_at, last_verified_at, check_at, refusals, created_at, updated_at, simulated

-- part: narrowed
-- The filters of a list but those of the title.
AND (:only_user IS NULL OR external_user_id = :only_user)
    AND (:partner_id IS NULL OR partner_id = :partner_id)
    AND (:status IS NULL OR status = :status)
    AND (:external_user_id IS NULL OR external_user_id = :external_user_id)

-- part: titled
-- The filters of the title: the whole, or a part in any case; of what is looked for: an id, a part of the title or of the account at the partner, or how the external user's id begins; of whether a connection was ever proved.
AND (:title IS NULL OR title = :title)
    AND (:title_like IS NULL OR CASE WHEN length(:title_like) < 1000
        THEN title_key LIKE '%' || replace(replace(replace(lower(:title_like), '\', '\\'), '%', '\%'), '_', '\_') || '%' ESCAPE '\' ELSE FALSE END)
    AND (:sought IS NULL OR CASE WHEN length(:sought) < 1000
        THEN title_key LIKE '%' || replace(replace(replace(lower(:sought), '\', '\\'), '%', '\%'), '_', '\_') || '%' ESCAPE '\'
            OR account_label LIKE '%' || replace(replace(replace(:sought, '\', '\\'), '%', '\%'), '_', '\_') || '%' ESCAPE '\'
            OR external_user_id LIKE replace(replace(replace(:sought, '\', '\\'), '%', '\%'), '_', '\_') || '%' ESCAPE '\'
            OR connection_id = :sought_id ELSE FALSE END)
    AND (:verified IS NULL OR (last_verified_at IS NOT NULL) = :verified)

-- name: reserve_connection
-- The id of a connection that is about to be made; its secrets are sealed under it.
UPDATE sequences SET value = value + 1 WHERE name = 'connection' RETURNING value;

-- name: insert_connection
-- A new connection.
INSERT INTO connections (connection_id, account_id, partner_id, title, title_key, status, auth, account_label, external_user_id, metadata, shown, data_key,
    sealed, generation, data_status, last_error, last_used_at, last_verified_at, check_at, refusals, created_at, updated_at, simulated)
VALUES (:connection_id, :account_id, :partner_id, :title, lower(:title), :status, :auth, :account_label, COALESCE(:only_user, :external_user_id), :metadata, :shown, :data_key,
    :sealed, :generation, :data_status, :last_error, :last_used_at, :last_verified_at, :check_at, :refusals, :created_at, :updated_at, :simulated);

-- name: connection
-- One connection of an account.
SELECT {connection_columns}
FROM connections WHERE connection_id = :connection_id AND account_id = :account_id
    AND (:only_user IS NULL OR external_user_id = :only_user);

-- name: connections_newest
-- A page of an account's connections that meet every filter given, the newest first: read in the order of an index, as far as the page goes.
SELECT {connection_columns}
FROM connections
WHERE account_id = :account_id
    {narrowed}
    {titled}
    AND connection_id < COALESCE(:after_id, 9223372036854775807)
ORDER BY connection_id DESC LIMIT :limit OFFSET :offset;

-- name: connections_oldest
-- A page of an account's connections that meet every filter given, the oldest first: read in the order of an index, as far as the page goes.
SELECT {connection_columns}
FROM connections
WHERE account_id = :account_id
    {narrowed}
    {titled}
    AND connection_id > COALESCE(:after_id, 0)
ORDER BY connection_id ASC LIMIT :limit OFFSET :offset;

-- name: connections_by_title
-- A page of an account's connections that meet every filter given, from A to Z: read in the order of an index, as far as the page goes.
SELECT {connection_columns}
FROM connections
WHERE account_id = :account_id
    {narrowed}
    {titled}
    AND title_key >= COALESCE(lower(:after_key), '')
    AND (title_key > COALESCE(lower(:after_key), '') OR connection_id > COALESCE(:after_id, 0))
ORDER BY title_key ASC, connection_id ASC LIMIT :limit OFFSET :offset;

-- name: connections_by_title_down
-- The same from Z to A. A list that begins goes on after what sorts after all texts, an empty blob.
SELECT {connection_columns}
FROM connections
WHERE account_id = :account_id
    {narrowed}
    {titled}
    AND title_key <= COALESCE(lower(:after_key), x'')
    AND (title_key < COALESCE(lower(:after_key), x'') OR connection_id < COALESCE(:after_id, 0))
ORDER BY title_key DESC, connection_id DESC LIMIT :limit OFFSET :offset;

-- name: connections_of_partner_newest
-- Those of one partner that meet the other filters, the newest first: an account may have very many of others.
SELECT {connection_columns}
FROM connections
WHERE account_id = :account_id
    AND (:only_user IS NULL OR external_user_id = :only_user)
    AND partner_id = :partner_id
    AND (:status IS NULL OR status = :status)
    AND (:external_user_id IS NULL OR external_user_id = :external_user_id)
    {titled}
    AND connection_id < COALESCE(:after_id, 9223372036854775807)
ORDER BY connection_id DESC LIMIT :limit OFFSET :offset;

-- name: connections_of_partner_oldest
-- Those of one partner that meet the other filters, the oldest first.
SELECT {connection_columns}
FROM connections
WHERE account_id = :account_id
    AND (:only_user IS NULL OR external_user_id = :only_user)
    AND partner_id = :partner_id
    AND (:status IS NULL OR status = :status)
    AND (:external_user_id IS NULL OR external_user_id = :external_user_id)
    {titled}
    AND connection_id > COALESCE(:after_id, 0)
ORDER BY connection_id ASC LIMIT :limit OFFSET :offset;

-- name: connections_of_external_user_newest
-- Those of one external user that meet the other filters, the newest first.
SELECT {connection_columns}
FROM connections
WHERE account_id = :account_id
    AND (:only_user IS NULL OR external_user_id = :only_user)
    AND (:partner_id IS NULL OR partner_id = :partner_id)
    AND (:status IS NULL OR status = :status)
    AND external_user_id = :external_user_id
    {titled}
    AND connection_id < COALESCE(:after_id, 9223372036854775807)
ORDER BY connection_id DESC LIMIT :limit OFFSET :offset;

-- name: connections_of_external_user_oldest
-- Those of one external user that meet the other filters, the oldest first.
SELECT {connection_columns}
FROM connections
WHERE account_id = :account_id
    AND (:only_user IS NULL OR external_user_id = :only_user)
    AND (:partner_id IS NULL OR partner_id = :partner_id)
    AND (:status IS NULL OR status = :status)
    AND external_user_id = :external_user_id
    {titled}
    AND connection_id > COALESCE(:after_id, 0)
ORDER BY connection_id ASC LIMIT :limit OFFSET :offset;

-- name: count_connections
-- How many connections of an account meet every filter given; titles are not in it, so it is answered from an index alone.
SELECT COUNT(*) FROM connections INDEXED BY connections_by_status
WHERE account_id = :account_id
    {narrowed};

-- name: count_connections_unverified
-- How many of them nothing has ever proved: the same.
SELECT COUNT(*) FROM connections INDEXED BY connections_unverified
WHERE account_id = :account_id AND last_verified_at IS NULL
    {narrowed};

-- name: count_connections_titled
-- How many connections of an account have some title: titles are looked through in their index, rows only where there is another condition.
SELECT COUNT(*) FROM connections INDEXED BY connections_by_title
WHERE account_id = :account_id
    {titled}
    {narrowed};

-- name: count_connections_narrowed
-- The same where most rows have to be looked at for other conditions: in the order in which they lie.
SELECT COUNT(*) FROM connections INDEXED BY connections_by_account
WHERE account_id = :account_id
    {titled}
    {narrowed};

-- name: patch_connection
-- What people say about a connection.
UPDATE connections SET title = :title, title_key = lower(:title), metadata = :metadata, external_user_id = COALESCE(:only_user, :external_user_id), updated_at = :now
WHERE connection_id = :connection_id AND account_id = :account_id
    AND (:only_user IS NULL OR external_user_id = :only_user);

-- name: replace_secrets
-- New fields for a connection, if nobody else replaced them since they were read.
UPDATE connections SET auth = :auth, shown = :shown, sealed = :sealed, generation = generation + 1, status = :status,
    last_error = NULL, account_label = :account_label, last_verified_at = :last_verified_at, check_at = :check_at, refusals = 0, updated_at = :now
WHERE connection_id = :connection_id AND account_id = :account_id AND generation = :generation
    AND (:only_user IS NULL OR external_user_id = :only_user);

-- name: verified_connection
-- What proving a connection found, unless its secrets were replaced meanwhile.
UPDATE connections SET status = :status, account_label = COALESCE(:account_label, account_label), last_error = :last_error,
    last_verified_at = CASE WHEN :proved THEN :now ELSE last_verified_at END, check_at = :check_at, refusals = :refusals,
    updated_at = CASE WHEN status <> :status OR last_error IS DISTINCT FROM :last_error THEN :now ELSE updated_at END
WHERE connection_id = :connection_id AND account_id = :account_id AND generation = :generation
    AND (:only_user IS NULL OR external_user_id = :only_user);

-- name: due_partners
-- The partners with connections that are to be proved by a time; it steps from partner to partner, however many connections each has.
WITH RECURSIVE partners (partner_id) AS (
    SELECT MIN(partner_id) FROM connections WHERE check_at IS NOT NULL
    UNION ALL
    SELECT (SELECT MIN(c.partner_id) FROM connections c WHERE c.partner_id > partners.partner_id AND c.check_at IS NOT NULL)
    FROM partners WHERE partners.partner_id IS NOT NULL
)
SELECT partner_id FROM partners
WHERE (SELECT MIN(c.check_at) FROM connections c WHERE c.partner_id = partners.partner_id AND c.check_at IS NOT NULL) <= :now;

-- name: due_check
-- The connection of a partner that has waited longest to be proved.
SELECT {connection_columns}
FROM connections WHERE partner_id = :partner_id AND check_at <= :now ORDER BY check_at LIMIT 1;

-- name: move_check
-- Another time to prove a connection, if nobody else moved it: that is also how one process takes it.
UPDATE connections SET check_at = :check_at, refusals = :refusals WHERE connection_id = :connection_id AND check_at = :was;

-- name: check_soon
-- Something spoke against a connection: it is proved as soon as may be.
UPDATE connections SET check_at = :now WHERE connection_id = :connection_id AND check_at > :now;

-- name: proved_connection
-- A run that succeeded proves its connection.
UPDATE connections SET last_error = NULL, last_verified_at = :now, refusals = 0,
    check_at = CASE WHEN check_at IS NULL THEN NULL ELSE :check_at END
WHERE connection_id = :connection_id AND generation = :generation AND status = 'active';

-- name: touch_connection
-- When a connection was last used.
UPDATE connections SET last_used_at = :now WHERE connection_id = :connection_id;

-- name: move_data
-- Where the re-reading of a connection's lists stands, if it stood where the caller thinks. Without data_at nothing is due.
UPDATE connections SET data_status = :data_status, data_at = :data_at, data_tries = 0 WHERE connection_id = :connection_id AND data_status = :was;

-- name: hasten_data
-- A re-reading that failed is not waited for any longer.
UPDATE connections SET data_at = :now WHERE connection_id = :connection_id AND data_status = 4;

-- name: due_data
-- Connections whose lists are to be read again, the longest wait first.
SELECT account_id, connection_id FROM connections WHERE data_at <= :now AND data_status IN (1, 4) ORDER BY data_at LIMIT :limit;

-- name: claim_data
-- Take a connection whose lists are to be read again: nobody else reads them then. Gives how often that failed.
UPDATE connections SET data_status = 2, data_owner = :owner
WHERE connection_id = :connection_id AND data_status IN (1, 4) AND data_at <= :now RETURNING data_tries;

-- name: end_data
-- What came of re-reading, by the process that did it.
UPDATE connections SET data_status = :data_status, data_owner = NULL, data_at = :data_at, data_tries = :data_tries
WHERE connection_id = :connection_id AND data_status = 2 AND data_owner = :owner;

-- name: data_owners
-- The processes that read lists again.
SELECT DISTINCT data_owner FROM connections WHERE data_at IS NOT NULL AND data_status = 2;

-- name: requeue_data
-- Give back what a dead process was about to read again.
UPDATE connections SET data_status = 1, data_owner = NULL, data_at = :now WHERE data_at IS NOT NULL AND data_status = 2 AND data_owner = :owner;

-- name: delete_connection
-- Drop a connection with all that was kept for it.
DELETE FROM connections WHERE connection_id = :connection_id AND account_id = :account_id
    AND (:only_user IS NULL OR external_user_id = :only_user);

-- name: cached_list
-- What was read from a partner for a connection.
SELECT connection_id, name, sealed, read_at, stale_at FROM cached_lists WHERE connection_id = :connection_id AND name = :name;

-- name: put_cached_list
-- Keep what was read from a partner for a connection, unless its secrets were replaced meanwhile: others may see other things.
INSERT INTO cached_lists (connection_id, name, sealed, read_at, stale_at)
SELECT connection_id, :name, :sealed, :read_at, :stale_at FROM connections WHERE connection_id = :connection_id AND generation = :generation
ON CONFLICT (connection_id, name) DO UPDATE SET sealed = excluded.sealed, read_at = excluded.read_at, stale_at = excluded.stale_at;

-- name: delete_older_lists
-- Forget what was read from a partner for a connection before a time.
DELETE FROM cached_lists WHERE connection_id = :connection_id AND read_at < :before;

-- name: delete_cached_lists
-- Forget what was read from a partner for a connection.
DELETE FROM cached_lists WHERE connection_id = :connection_id;

-- name: connections_by_status
-- How many of an account's connections, or of those to one partner or of one external user, stand how; read from the index alone.
SELECT status, COUNT(*) FROM connections
WHERE account_id = :account_id AND (:partner_id IS NULL OR partner_id = :partner_id)
    AND (:external_user_id IS NULL OR external_user_id = :external_user_id) AND (:only_user IS NULL OR external_user_id = :only_user)
GROUP BY status;

-- name: connection_changes
-- How a connection came to stand, before one of the changes, the latest first.
SELECT change_id, at, status, reason FROM connection_changes WHERE connection_id = :connection_id AND change_id < :before ORDER BY change_id DESC LIMIT :limit;

-- name: titles_of_connections
-- Those of some connections (:ids, JSON) that are an account's, with their titles and whose they are.
SELECT connection_id, title, external_user_id FROM connections
WHERE connection_id IN (SELECT value FROM json_each(:ids)) AND account_id = :account_id AND (:only_user IS NULL OR external_user_id = :only_user);
