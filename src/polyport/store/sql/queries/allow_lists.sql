-- name: allow_lists
-- Which partners an account is limited to: the operator's list and its own, where there are any.
SELECT setter, partners, updated_at FROM allow_lists WHERE account_id = :account_id;

-- name: put_allow_list
-- A list in place of the one before.
INSERT INTO allow_lists (account_id, setter, partners, updated_at) VALUES (:account_id, :setter, :partners, :updated_at)
ON CONFLICT (account_id, setter) DO UPDATE SET partners = excluded.partners, updated_at = excluded.updated_at;

-- name: delete_allow_list
-- Limit an account no more, as far as this setter goes.
DELETE FROM allow_lists WHERE account_id = :account_id AND setter = :setter;
