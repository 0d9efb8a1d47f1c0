-- name: put_end_user
-- A user by the customer's own id: made, or changed in what is given; none while it is being deleted. A generation of 1 says that it was made.
INSERT INTO end_users (account_id, external_id, title, email, metadata, status, mark, generation, created_at, updated_at)
VALUES (:account_id, :external_id, :title, :email, COALESCE(:metadata, '{}'), 'active', NULL, 1, :now, :now)
ON CONFLICT (account_id, external_id) DO UPDATE SET title = CASE WHEN :has_title THEN excluded.title ELSE title END,
    email = CASE WHEN :has_email THEN excluded.email ELSE email END, metadata = COALESCE(:metadata, metadata),
    generation = generation + 1, updated_at = :now
WHERE status = 'active'
RETURNING end_user_id, account_id, external_id, title, email, metadata, status, mark, generation, created_at, updated_at;

-- name: patch_end_user
-- What the customer says about a user.
UPDATE end_users SET title = CASE WHEN :has_title THEN :title ELSE title END, email = CASE WHEN :has_email THEN :email ELSE email END,
    metadata = COALESCE(:metadata, metadata), generation = generation + 1, updated_at = :now
WHERE end_user_id = :end_user_id AND account_id = :account_id AND status = 'active'
RETURNING end_user_id, account_id, external_id, title, email, metadata, status, mark, generation, created_at, updated_at;

-- name: end_user
-- One end user of an account.
SELECT end_user_id, account_id, external_id, title, email, metadata, status, mark, generation, created_at, updated_at
FROM end_users WHERE end_user_id = :end_user_id AND account_id = :account_id;

-- name: end_users
-- A page of an account's end users that meet every filter given.
SELECT end_user_id, account_id, external_id, title, email, metadata, status, mark, generation, created_at, updated_at
FROM end_users
WHERE account_id = :account_id
    AND (:external_id IS NULL OR external_id = :external_id)
    AND (:external_id_like IS NULL OR instr(lower(external_id), lower(:external_id_like)) > 0)
    AND (:title IS NULL OR title = :title)
    AND (:title_like IS NULL OR instr(lower(title), lower(:title_like)) > 0)
    AND (:status IS NULL OR status = :status)
ORDER BY
    CASE WHEN :sort = 'title' THEN lower(title) END ASC,
    CASE WHEN :sort = '-title' THEN lower(title) END DESC,
    CASE WHEN :sort = 'externalId' THEN external_id END ASC,
    CASE WHEN :sort = '-externalId' THEN external_id END DESC,
    CASE WHEN :sort = '-id' THEN end_user_id END DESC,
    end_user_id ASC
LIMIT :limit OFFSET :offset;

-- name: count_end_users
-- How many end users of an account meet every filter given.
SELECT COUNT(*) FROM end_users
WHERE account_id = :account_id
    AND (:external_id IS NULL OR external_id = :external_id)
    AND (:external_id_like IS NULL OR instr(lower(external_id), lower(:external_id_like)) > 0)
    AND (:title IS NULL OR title = :title)
    AND (:title_like IS NULL OR instr(lower(title), lower(:title_like)) > 0)
    AND (:status IS NULL OR status = :status);

-- name: hold_end_user
-- See within a unit that a user is not being deleted: what the unit makes is made before a deletion begins, or not at all.
UPDATE end_users SET updated_at = updated_at WHERE end_user_id = :end_user_id AND account_id = :account_id AND status = 'active';
