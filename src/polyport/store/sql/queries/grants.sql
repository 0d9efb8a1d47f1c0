-- name: put_grant
-- The grant of a connection that was made or authorised anew; what is under way for an earlier one is out of date then.
INSERT INTO grants (connection_id, sealed, generation, expires_at, refresh_at, exchange_until, exchange_by, failures, fence, updated_at)
VALUES (:connection_id, :sealed, 1, :expires_at, :refresh_at, NULL, NULL, 0, 0, :updated_at)
ON CONFLICT (connection_id) DO UPDATE SET sealed = excluded.sealed, generation = grants.generation + 1, expires_at = excluded.expires_at,
    refresh_at = excluded.refresh_at, exchange_until = NULL, exchange_by = NULL, failures = 0, updated_at = excluded.updated_at;

-- name: delete_grant
-- Drop the grant of a connection that is authorised in another way now.
DELETE FROM grants WHERE connection_id = :connection_id;

-- name: grant
-- The grant of a connection.
SELECT connection_id, sealed, generation, expires_at, refresh_at, exchange_until, exchange_by, failures, fence, updated_at
FROM grants WHERE connection_id = :connection_id;

-- name: begin_exchange
-- A new grant is about to be asked for under this fence, unless there is another one already, or somebody has begun since it was looked at (seen).
UPDATE grants SET fence = :fence, exchange_until = :exchange_until, exchange_by = :exchange_by
WHERE connection_id = :connection_id AND generation = :generation AND fence = :seen AND fence < :fence;

-- name: replace_grant
-- The new grant in place of the one it was asked for with, if that is still there and nobody has begun after us.
UPDATE grants SET sealed = :sealed, generation = generation + 1, expires_at = :expires_at, refresh_at = :refresh_at, exchange_until = NULL,
    exchange_by = NULL, failures = 0, updated_at = :updated_at
WHERE connection_id = :connection_id AND generation = :generation AND fence = :fence;

-- name: delay_grant
-- No new grant came: when to ask again, and whether the one asked for may have been given all the same.
UPDATE grants SET refresh_at = :refresh_at, exchange_until = :exchange_until, exchange_by = NULL, failures = failures + 1
WHERE connection_id = :connection_id AND generation = :generation AND fence = :fence;

-- name: end_exchange
-- The exchange that was begun under this fence is over, and its outcome is known.
UPDATE grants SET exchange_until = NULL, exchange_by = NULL WHERE connection_id = :connection_id AND generation = :generation AND fence = :fence;

-- name: end_connection
-- A connection serves no more, if it still rests on that very grant.
UPDATE connections SET status = :status, last_error = :last_error, updated_at = :now
WHERE connection_id = :connection_id AND generation = :connection_generation AND status IN ('active', 'pending')
    AND EXISTS (SELECT 1 FROM grants WHERE grants.connection_id = :connection_id AND grants.generation = :generation);

-- name: due_grants
-- Connections in use whose grant is to be renewed now, those that end first at first.
SELECT connections.account_id, connections.partner_id, connections.connection_id FROM grants CROSS JOIN connections USING (connection_id)
WHERE grants.refresh_at <= :now AND connections.status IN ('active', 'pending') AND connections.last_used_at >= :used_after
ORDER BY grants.refresh_at LIMIT :limit;

-- name: lease
-- Who holds a lease.
SELECT name, owner, fence, until FROM leases WHERE name = :name;

-- name: next_fence
-- A number higher than all before.
UPDATE sequences SET value = value + 1 WHERE name = 'fence';

-- name: claim_lease
-- Take a lease that is free: there is none (seen is 0), or it is still the one that the caller found to be over.
INSERT INTO leases (name, owner, fence, until) VALUES (:name, :owner, (SELECT value FROM sequences WHERE name = 'fence'), :until)
ON CONFLICT (name) DO UPDATE SET owner = excluded.owner, fence = excluded.fence, until = excluded.until WHERE leases.fence = :seen
RETURNING fence;

-- name: extend_lease
-- Hold a lease longer, if nobody else has taken it.
UPDATE leases SET until = :until WHERE name = :name AND fence = :fence;

-- name: release_lease
-- Give a lease back, if nobody else has taken it.
DELETE FROM leases WHERE name = :name AND fence = :fence;

-- name: delete_old_leases
-- Tidy up leases that nobody gave back and nobody wants, a few at once.
DELETE FROM leases WHERE name IN (SELECT name FROM leases WHERE until < :before LIMIT 1000);
